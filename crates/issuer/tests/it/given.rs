//! What is there before a person looks: a client, grants, tools, tasks, approvals.

use sekisho_protocol::caller::{ActorPath, Subject};
use sekisho_protocol::catalogue::{ToolClass, ToolSeen};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Clock as _, after};
use sekisho_protocol::ids::{ApprovalId, ClientId, GrantId, RequestId, TaskId, UserId};
use sekisho_protocol::task::{Task, TaskDefinition, TaskOrigin};
use sekisho_store::{Approval, Grant, NewApproval, NewGrant, NewTask, SecretBytes, TaskPlace};
use serde_json::{Value, json};

use crate::harness::{NOTES, Reply, Site};

/// One exact call.
pub(crate) struct Call<'a> {
    pub(crate) tool: &'a str,
    pub(crate) arguments: &'a str,
    pub(crate) reason: &'a str,
}

/// An ordinary one.
pub(crate) const CALL: Call<'static> =
    Call { tool: "delete_note", arguments: r#"{"id":7,"why":"old"}"#, reason: "what is deleted stays deleted" };

impl Site {
    pub(crate) async fn user(&self, name: &str) -> UserId {
        let mut tx = self.store.read().await.unwrap();
        tx.users().find_by_name(name).await.unwrap().unwrap().id
    }

    /// A grant at the notes server, for a client that registered itself as `Test Client`.
    pub(crate) async fn grant(&self, user: &str, scopes: &str) -> GrantId {
        let client = ClientId::parse(&self.registered("http://127.0.0.1/callback").await).unwrap();
        self.grant_for(&client, user, scopes).await
    }

    pub(crate) async fn grant_for(&self, client: &ClientId, user: &str, scopes: &str) -> GrantId {
        let now = self.clock.now();
        let new = NewGrant {
            id: GrantId::generate(now, &*self.entropy),
            subject: Subject::User(self.user(user).await),
            client: client.clone(),
            server: "notes".parse().unwrap(),
            resource: NOTES.to_owned(),
            scopes: scopes.parse().unwrap(),
            path: ActorPath::direct(client.clone()),
            parent: None,
            task: None,
            created_at: now,
            expires_at: None,
        };
        let mut tx = self.store.begin().await.unwrap();
        tx.grants().insert(&new).await.unwrap();
        tx.commit().await.unwrap();
        new.id
    }

    pub(crate) async fn stored_grant(&self, id: GrantId) -> Grant {
        let mut tx = self.store.read().await.unwrap();
        tx.grants().find(id).await.unwrap().unwrap()
    }

    pub(crate) async fn revoke(&self, id: GrantId) {
        let mut tx = self.store.begin().await.unwrap();
        assert!(tx.grants().revoke(id, "test", self.clock.now()).await.unwrap());
        tx.commit().await.unwrap();
    }

    /// The tools that the notes server shows.
    pub(crate) async fn tools(&self, tools: &[(&str, ToolClass)]) {
        let seen = |(name, class): &(&str, ToolClass)| ToolSeen {
            name: (*name).to_owned(),
            summary: format!("What {name} does"),
            proposed: *class,
            definition: (*name).to_owned(),
        };
        let (now, notes) = (self.clock.now(), "notes".parse().unwrap());
        let mut tx = self.store.begin().await.unwrap();
        let shown: Vec<ToolSeen> = tools.iter().map(seen).collect();
        tx.catalogue().sync(&notes, &shown, now).await.unwrap();
        for ((name, class), shown) in tools.iter().zip(&shown) {
            assert!(tx.catalogue().classify(&notes, name, *class, &shown.digest(), now).await.unwrap());
        }
        tx.commit().await.unwrap();
    }

    /// Three tools, one of each class.
    pub(crate) async fn three_tools(&self) {
        let tools =
            [("delete_note", ToolClass::Destructive), ("read_note", ToolClass::Read), ("write_note", ToolClass::Write)];
        self.tools(&tools).await;
    }

    pub(crate) async fn asked(&self, grant: GrantId, call: &Call<'_>) -> ApprovalId {
        let (now, grant) = (self.clock.now(), self.stored_grant(grant).await);
        let new = NewApproval {
            id: ApprovalId::generate(now, &*self.entropy),
            digest: Digest::of_list(&[call.tool.as_bytes(), call.arguments.as_bytes()]),
            subject: grant.subject,
            client: grant.client,
            grant: grant.id,
            server: grant.server,
            tool: call.tool.to_owned(),
            arguments: Some(SecretBytes::new(call.arguments.as_bytes().to_vec())),
            arguments_left_out: 0,
            beside: None,
            task: grant.task,
            rule: "ask-first".to_owned(),
            reason: Some(call.reason.to_owned()).filter(|reason| !reason.is_empty()),
            request: RequestId::generate(now, &*self.entropy),
            expires_at: after(now, 600),
        };
        let mut tx = self.store.begin().await.unwrap();
        let id = tx.approvals().ask(&new, now).await.unwrap().id;
        tx.commit().await.unwrap();
        id
    }

    pub(crate) async fn approval(&self, id: ApprovalId) -> Approval {
        let mut tx = self.store.read().await.unwrap();
        tx.approvals().find(id).await.unwrap().unwrap()
    }

    /// Uses a yes up, as the gateway does.
    pub(crate) async fn consume(&self, id: ApprovalId) -> bool {
        let approval = self.approval(id).await;
        let mut tx = self.store.begin().await.unwrap();
        let used = tx.approvals().consume(approval.grant, &approval.digest, self.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        used
    }

    /// A standing task that an agent declared.
    pub(crate) async fn task(&self, grant: GrantId, definition: TaskDefinition) -> TaskId {
        let now = self.clock.now();
        let new = NewTask {
            id: TaskId::generate(now, &*self.entropy),
            grant,
            server: "notes".parse().unwrap(),
            definition,
            origin: TaskOrigin::Details,
            created_at: now,
            parent: None,
            place: TaskPlace::Current,
        };
        let mut tx = self.store.begin().await.unwrap();
        tx.tasks().begin(&new).await.unwrap();
        tx.commit().await.unwrap();
        new.id
    }

    pub(crate) async fn stored_task(&self, id: TaskId) -> Task {
        let mut tx = self.store.read().await.unwrap();
        tx.tasks().find(id).await.unwrap().unwrap()
    }
}

/// Reads notes, and writes one of them: ten calls, one hour.
pub(crate) fn tidy_up() -> TaskDefinition {
    let bounds: Value = json!({ "type": "object", "properties": { "id": { "const": 7 } }, "required": ["id"] });
    TaskDefinition {
        purpose: "Tidy up the notes".to_owned(),
        tools: [("read_note".to_owned(), None), ("write_note".to_owned(), Some(bounds))].into(),
        calls: Some(10),
        expires_in: Some(3600),
        ..TaskDefinition::default()
    }
}

impl Reply {
    /// The hidden value of the form in which a button or field is written like this.
    pub(crate) fn csrf_of(&self, marker: &str) -> String {
        let form = self.body.split("<form").find(|part| part.split("</form>").next().unwrap().contains(marker));
        assert!(form.is_some(), "no form with {marker}: {}", self.body);
        let form = form.unwrap();
        form.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    /// The page without what differs each time: request, form values, and this identifier.
    pub(crate) fn without(&self, id: &str) -> String {
        let mut text = self.body.replace(id, "ID");
        for marker in ["name=\"csrf\" value=\"", "<code>rid_"] {
            let mut parts = text.split(marker).map(str::to_owned).collect::<Vec<_>>();
            for part in parts.iter_mut().skip(1) {
                *part = part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_-".contains(c)).to_owned();
            }
            text = parts.join(marker);
        }
        text
    }
}
