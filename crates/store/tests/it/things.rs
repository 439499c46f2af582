//! Things to put into a store, plain but for their identifiers.

use sekisho_protocol::caller::{ActorPath, Subject};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::{
    AccessRequestId, ApprovalId, ClientId, GrantId, LoanId, PendingId, RequestId, ServerName, TaskId, UserId,
};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::{Client, ClientAuthentication, ClientOrigin};
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::task::{TaskDefinition, TaskOrigin};
use sekisho_store::{
    Code, Conditions, NewAccessRequest, NewApproval, NewClient, NewGrant, NewLoan, NewTask, Pending, SecretBytes,
    SecretKey, Store, StoreError, TaskPlace, User,
};

use crate::harness::World;

/// A digest for a word.
pub(crate) fn digest(word: &str) -> Digest {
    Digest::of(word.as_bytes())
}

/// A server by its name.
pub(crate) fn server(name: &str) -> ServerName {
    name.parse().expect("a server's name")
}

/// Scopes by their names.
pub(crate) fn scopes(names: &str) -> ScopeSet {
    names.parse().expect("scopes")
}

impl World {
    pub(crate) fn user(&self, name: &str) -> User {
        User {
            id: UserId::generate(self.now, &*self.entropy),
            name: name.to_owned(),
            password: None,
            role: sekisho_protocol::role::Role::User,
            disabled: false,
            created_at: self.now,
            epoch: 0,
        }
    }

    /// A user who is kept already.
    pub(crate) async fn kept_user(&self, name: &str) -> User {
        let user = self.user(name);
        let mut tx = self.begin().await;
        tx.users().insert(&user).await.expect("inserting");
        tx.commit().await.expect("committing");
        user
    }

    pub(crate) fn client_id(&self) -> ClientId {
        ClientId::generate(self.now, &*self.entropy)
    }

    pub(crate) fn client(&self) -> NewClient {
        let client = Client {
            id: self.client_id(),
            origin: ClientOrigin::Dynamic,
            name: "A client".to_owned(),
            redirect_uris: vec![RedirectUri::parse("https://client.example/callback").expect("a redirect URI")],
            authentication: ClientAuthentication::None,
            refresh: true,
            jwks: None,
            jwks_uri: None,
            disabled: false,
        };
        NewClient { client, secret: None, created_at: self.now, expires_at: None }
    }

    pub(crate) fn pending(&self) -> Pending {
        Pending {
            id: PendingId::generate(self.now, &*self.entropy),
            client: self.client_id(),
            redirect_uri: "https://client.example/callback".to_owned(),
            state: Some("state".to_owned()),
            challenge: "challenge".to_owned(),
            resource: "https://sekisho.example/mcp/notes".to_owned(),
            server: server("notes"),
            scopes: scopes("mcp:read"),
            task: None,
            prompt_flags: "consent".to_owned(),
            browser: None,
            user: None,
            created_at: self.now,
            expires_at: self.at(600),
            answered_at: None,
        }
    }

    pub(crate) fn code(&self, word: &str) -> Code {
        let client = self.client_id();
        Code {
            digest: digest(word),
            client: client.clone(),
            redirect_uri: "https://client.example/callback".to_owned(),
            challenge: "challenge".to_owned(),
            subject: Subject::User(UserId::generate(self.now, &*self.entropy)),
            server: server("notes"),
            resource: "https://sekisho.example/mcp/notes".to_owned(),
            scopes: scopes("mcp:read"),
            path: ActorPath::direct(client),
            conditions: Conditions::default(),
            issued_at: self.now,
            expires_at: self.at(60),
            used_at: None,
            grant: None,
            failures: 0,
        }
    }

    pub(crate) fn grant_id(&self) -> GrantId {
        GrantId::generate(self.now, &*self.entropy)
    }

    /// A grant of a user to some client.
    pub(crate) fn grant(&self, subject: Subject) -> NewGrant {
        let client = self.client_id();
        NewGrant {
            id: self.grant_id(),
            subject,
            client: client.clone(),
            server: server("notes"),
            resource: "https://sekisho.example/mcp/notes".to_owned(),
            scopes: scopes("mcp:read mcp:write"),
            path: ActorPath::direct(client),
            parent: None,
            task: None,
            created_at: self.now,
            expires_at: None,
        }
    }

    /// A grant of a user who is kept, kept too.
    pub(crate) async fn kept_grant(&self, user: &str) -> NewGrant {
        let grant = self.grant(Subject::User(self.kept_user(user).await.id));
        keep(&self.store, &[&grant]).await;
        grant
    }

    /// A task of a grant with a budget, for a minute.
    pub(crate) fn task(&self, grant: &NewGrant, calls: Option<u32>) -> NewTask {
        let definition = TaskDefinition {
            purpose: "tidy up".to_owned(),
            tools: [("write_note".to_owned(), Some(serde_json::json!({"type": "object"})))].into(),
            calls,
            expires_in: Some(60),
            ..TaskDefinition::default()
        };
        NewTask {
            id: TaskId::generate(self.now, &*self.entropy),
            grant: grant.id,
            server: grant.server.clone(),
            definition,
            origin: TaskOrigin::Agent,
            created_at: self.now,
            parent: None,
            place: TaskPlace::Aside,
        }
    }

    /// A task that has begun.
    pub(crate) async fn kept_task(&self, grant: &NewGrant, calls: Option<u32>) -> NewTask {
        let task = self.task(grant, calls);
        self.begin_task(&task).await.expect("beginning");
        task
    }

    /// Begins a task in a transaction of its own.
    pub(crate) async fn begin_task(&self, task: &NewTask) -> Result<(), StoreError> {
        let mut tx = self.begin().await;
        tx.tasks().begin(task).await?;
        tx.commit().await
    }

    /// A call of a grant, for a minute.
    pub(crate) fn approval(&self, grant: &NewGrant, call: &str) -> NewApproval {
        NewApproval {
            id: ApprovalId::generate(self.now, &*self.entropy),
            digest: digest(call),
            subject: grant.subject.clone(),
            client: grant.client.clone(),
            grant: grant.id,
            server: grant.server.clone(),
            tool: "delete_note".to_owned(),
            arguments: Some(SecretBytes::new(format!(r#"{{"note":"{call}"}}"#).into_bytes())),
            arguments_left_out: 0,
            beside: None,
            task: None,
            rule: "ask-before-deleting".to_owned(),
            reason: Some("it cannot be undone".to_owned()),
            request: RequestId::generate(self.now, &*self.entropy),
            expires_at: self.at(60),
        }
    }

    /// A request for a tool, for a minute.
    pub(crate) fn access_request(&self, grant: &NewGrant, tool: &str) -> NewAccessRequest {
        NewAccessRequest {
            id: AccessRequestId::generate(self.now, &*self.entropy),
            subject: grant.subject.clone(),
            client: grant.client.clone(),
            grant: grant.id,
            task: None,
            server: grant.server.clone(),
            tool: tool.to_owned(),
            bounds: Some(serde_json::json!({"required": ["note"]})),
            reason: "the report is due".to_owned(),
            created_at: self.now,
            expires_at: self.at(60),
        }
    }

    /// A tool lent for a minute.
    pub(crate) fn loan(&self, grant: &NewGrant, tool: &str) -> NewLoan {
        NewLoan {
            id: LoanId::generate(self.now, &*self.entropy),
            subject: grant.subject.clone(),
            client: grant.client.clone(),
            grant: grant.id,
            task: None,
            server: grant.server.clone(),
            tool: tool.to_owned(),
            bounds: Some(serde_json::json!({"required": ["note"]})),
            expires_at: self.at(60),
        }
    }

    /// A grant to some delegate, derived from another.
    pub(crate) fn derived(&self, parent: &NewGrant) -> NewGrant {
        let client = self.client_id();
        let hops = parent.path.hops().iter().cloned().chain([client.clone()]).collect();
        NewGrant {
            id: self.grant_id(),
            client,
            path: ActorPath::new(hops).expect("a path"),
            parent: Some(parent.id),
            ..parent.clone()
        }
    }

    /// A grant that is kept already, with the first token of a refresh family.
    pub(crate) async fn kept_family(&self, first: &str, user: UserId) -> NewGrant {
        let grant = self.grant(Subject::User(user));
        let mut tx = self.begin().await;
        tx.grants().insert(&grant).await.expect("inserting");
        let key = SecretKey::generate(&*self.entropy);
        tx.refresh_tokens()
            .insert_first(grant.id, &digest(first), &key, self.now, self.at(86_400))
            .await
            .expect("inserting");
        tx.commit().await.expect("committing");
        grant
    }
}

/// Keeps grants, each in the order given.
pub(crate) async fn keep(store: &Store, grants: &[&NewGrant]) {
    let mut tx = store.begin().await.expect("a transaction begins");
    for grant in grants {
        tx.grants().insert(grant).await.expect("inserting");
    }
    tx.commit().await.expect("committing");
}
