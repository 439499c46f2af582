//! One act in one place: done on a page and at the command line it leaves the same record but for the actor, and the same
//! rows; and what one of them refuses, the other refuses, with nothing changed.

use std::collections::BTreeSet;

use http::StatusCode;
use sekisho_acts::access::Ask;
use sekisho_acts::command::{Command, perform};
use sekisho_acts::{ActError, Performer};
use sekisho_protocol::audit::{Act, ActKind, Actor, Event, Record};
use sekisho_protocol::catalogue::{ToolClass, ToolSeen};
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::ids::{GrantId, NodeId, RequestId, ServerName, TaskId};
use sekisho_protocol::refusal::SetName;
use sekisho_protocol::task::{ANY, TaskDefinition};
use sekisho_store::{AuditFilter, GrantFilter, TaskFilter};
use serde_json::{Value, json};

use crate::given::tidy_up;
use crate::harness::{Browser, Site};

/// Who does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Command,
    Page,
}

/// What is done, and with what input.
#[derive(Debug, Clone, Copy)]
enum Doing {
    Ask { reason: &'static str },
    BeginTask { tools: &'static [&'static str], calls: &'static str },
    Classify,
    FinishTask,
    Lend { bounds: &'static str, word: &'static str, seconds: u32 },
    ReadArguments,
    Refuse,
    ResumeTask,
    Revoke,
    RevokeAll,
    TakeBack,
}

const GOOD: [Doing; 12] = [
    Doing::Ask { reason: "the old notes have to go" },
    Doing::BeginTask { tools: &["read_note"], calls: "7" },
    Doing::BeginTask { tools: &["read_note"], calls: "" },
    Doing::Classify,
    Doing::FinishTask,
    Doing::Lend {
        bounds: r#"{"properties":{"all":{"const":false}},"required":["all"]}"#,
        word: "day",
        seconds: 86_400,
    },
    Doing::ReadArguments,
    Doing::Refuse,
    Doing::ResumeTask,
    Doing::Revoke,
    Doing::RevokeAll,
    Doing::TakeBack,
];

/// A site with all that any of them needs, and what it is about.
struct Scene {
    site: Site,
    grant: GrantId,
    task: TaskId,
    call: RequestId,
    /// The exchanges that were on record when everything was prepared.
    before: BTreeSet<RequestId>,
}

const USER: &str = "reader";

impl Scene {
    async fn new() -> Self {
        let site = Site::new().await;
        site.three_tools().await;
        let grant = site.grant(USER, "mcp:read").await;
        let other = site.grant(USER, "mcp:read").await;
        let task = site.task(other, tidy_up()).await;
        let call = site.refused(grant, "delete_note", SetName::Rights).await;
        let mut tx = site.store.begin().await.unwrap();
        let end = sekisho_protocol::env::after(site.clock.now(), 600);
        tx.audit().keep_arguments(call, b"{\"id\":7}", end).await.unwrap();
        tx.commit().await.unwrap();
        Self { site, grant, task, call, before: BTreeSet::new() }
    }

    async fn browser(&self, name: &str) -> Browser {
        self.site.signed_in(name).await
    }

    /// At the command line, with the answer in words.
    async fn command(&self, command: Command) -> Result<(), ActError> {
        let (now, entropy) = (self.site.clock.now(), &*self.site.entropy);
        let request = RequestId::generate(now, entropy);
        let by = Performer { actor: Actor::Operator, node: NodeId::generate(now, entropy), request, now, entropy };
        perform(&self.site.store, &by, command).await.map(drop)
    }

    /// A request for access that is open.
    async fn asked(&self) -> sekisho_store::AccessRequest {
        let mut tx = self.site.store.read().await.unwrap();
        tx.access_requests().open(self.site.clock.now()).await.unwrap().pop().unwrap()
    }

    /// What has to be there before.
    async fn prepare(&mut self, doing: Doing) {
        let ask = Ask {
            grant: self.grant,
            task: None,
            tool: "delete_note".to_owned(),
            reason: "old".to_owned(),
            bounds: None,
        };
        match doing {
            Doing::Lend { .. } | Doing::Refuse | Doing::TakeBack => {
                self.command(Command::RequestFile(ask)).await.unwrap();
            }
            Doing::Classify => {
                let seen = ToolSeen {
                    name: "write_note".to_owned(),
                    summary: String::new(),
                    proposed: ToolClass::Write,
                    definition: "another".to_owned(),
                };
                let mut tx = self.site.store.begin().await.unwrap();
                tx.catalogue().sync(&notes(), &[seen], self.site.clock.now()).await.unwrap();
                tx.commit().await.unwrap();
            }
            Doing::ResumeTask => self.command(Command::TaskFinish { task: self.task }).await.unwrap(),
            Doing::Ask { .. }
            | Doing::BeginTask { .. }
            | Doing::FinishTask
            | Doing::ReadArguments
            | Doing::Revoke
            | Doing::RevokeAll => {}
        }
        if matches!(doing, Doing::TakeBack) {
            let request = self.asked().await.id;
            self.command(Command::RequestGrant { request, seconds: 3600, bounds: None }).await.unwrap();
        }
        self.before = self.stored().await.into_iter().map(|record| record.request).collect();
    }

    async fn stored(&self) -> Vec<Record> {
        let mut tx = self.site.store.read().await.unwrap();
        let stored = tx.audit().list(&AuditFilter::default()).await.unwrap();
        stored.into_iter().map(|stored| stored.record).collect()
    }

    /// Does it; whether it was done.
    async fn run(&self, doing: Doing, way: Way) -> bool {
        match way {
            Way::Command => self.run_command(doing).await,
            Way::Page => self.run_page(doing).await,
        }
    }

    async fn run_command(&self, doing: Doing) -> bool {
        let done = match doing {
            Doing::Ask { reason } => {
                let (tool, reason) = ("delete_note".to_owned(), reason.to_owned());
                self.command(Command::RequestFile(Ask { grant: self.grant, task: None, tool, reason, bounds: None }))
                    .await
            }
            Doing::BeginTask { tools, calls } => {
                let any = vec![ANY.to_owned()];
                let definition = TaskDefinition {
                    purpose: "Tidy up".to_owned(),
                    tools: tools.iter().map(|tool| ((*tool).to_owned(), None)).collect(),
                    calls: (!calls.is_empty()).then(|| calls.parse().unwrap()),
                    resources: any.clone(),
                    prompts: any,
                    ..TaskDefinition::default()
                };
                self.command(Command::TaskStart { grant: self.grant, definition }).await
            }
            Doing::Classify => {
                let classes = vec![("write_note".to_owned(), ToolClass::Destructive)];
                self.command(Command::ToolsClassify { server: notes(), classes }).await
            }
            Doing::FinishTask => self.command(Command::TaskFinish { task: self.task }).await,
            Doing::Lend { bounds, seconds, .. } => {
                let request = self.asked().await.id;
                let bounds = Some(bounds.to_owned()).filter(|bounds| !bounds.is_empty());
                self.command(Command::RequestGrant { request, seconds, bounds }).await
            }
            Doing::ReadArguments => self.command(Command::AuditArguments { request: self.call }).await,
            Doing::Refuse => self.command(Command::RequestRefuse { request: self.asked().await.id }).await,
            Doing::ResumeTask => {
                let grant = self.site.stored_task(self.task).await.grant;
                self.command(Command::TaskResume { grant }).await
            }
            Doing::Revoke => self.command(Command::GrantRevoke { grant: self.grant }).await,
            Doing::RevokeAll => self.command(Command::GrantRevokeAll { user: Some(USER.to_owned()) }).await,
            Doing::TakeBack => {
                let mut tx = self.site.store.read().await.unwrap();
                let loan = tx.loans().list(self.site.clock.now()).await.unwrap().pop().unwrap().id;
                drop(tx);
                self.command(Command::LoanRevoke { loan }).await
            }
        };
        assert!(!matches!(done, Err(ActError::Store(_))), "{doing:?}: {done:?}");
        done.is_ok()
    }

    async fn run_page(&self, doing: Doing) -> bool {
        let (who, path, act) = match doing {
            Doing::Ask { .. } => (USER, format!("/access/{}", self.call), "value=\"ask\""),
            Doing::BeginTask { .. } => (USER, format!("/grants/{}", self.grant), "name=\"purpose\""),
            Doing::Classify => ("owner", "/servers/notes/tools".to_owned(), "name=\"class.write_note\""),
            Doing::FinishTask => (USER, format!("/tasks/{}", self.task), "value=\"finish\""),
            Doing::Lend { .. } => ("owner", format!("/access/{}", self.asked().await.id), "value=\"lend\""),
            Doing::ReadArguments => ("owner", format!("/records/{}", self.call), "name=\"csrf\""),
            Doing::Refuse => ("owner", format!("/access/{}", self.asked().await.id), "value=\"refuse\""),
            Doing::ResumeTask => (USER, format!("/tasks/{}", self.task), "value=\"resume\""),
            Doing::Revoke => (USER, format!("/grants/{}", self.grant), "/end\""),
            Doing::RevokeAll => (USER, "/".to_owned(), "/agents/end"),
            Doing::TakeBack => ("owner", format!("/access/{}", self.decided().await), "value=\"take-back\""),
        };
        let mut browser = self.browser(who).await;
        let page = browser.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{doing:?}: {}", page.body);
        let csrf = match doing {
            Doing::ReadArguments => page.csrf(),
            _ => page.csrf_of(act),
        };
        let (to, fields) = form(doing, &path);
        let mut fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fields.push(("csrf", &csrf));
        let reply = browser.post(&to, &fields).await;
        assert!(!reply.status.is_server_error(), "{doing:?}: {}", reply.body);
        !reply.status.is_client_error()
    }

    /// The request for access that was answered.
    async fn decided(&self) -> sekisho_protocol::ids::AccessRequestId {
        let subject = self.site.stored_grant(self.grant).await.subject;
        let mut tx = self.site.store.read().await.unwrap();
        tx.access_requests().of_subject(&subject).await.unwrap().pop().unwrap().id
    }

    /// The acts on record since [`Self::prepare`], without signing in, without the actor and without what is new each time.
    async fn acts(&self) -> Vec<Value> {
        let new = self.stored().await.into_iter().filter(|record| !self.before.contains(&record.request));
        let acts = new.filter_map(|record| match record.event {
            Event::Act(act) if act.act != ActKind::LoginSucceeded => Some(act),
            _ => None,
        });
        let unsigned = acts.map(|act| Act { actor: Actor::Checkpoint, ..act });
        unsigned.map(|act| plain(&serde_json::to_value(act).unwrap())).collect()
    }

    /// What the tables say that an act can change.
    async fn rows(&self) -> Value {
        let now = self.site.clock.now();
        let mut tx = self.site.store.read().await.unwrap();
        let grants = tx.grants().list(&GrantFilter::default()).await.unwrap();
        let grants: Vec<Value> = grants
            .iter()
            .map(|grant| json!([grant.subject.to_string(), grant.revoked_at.is_some(), grant.task.is_some()]))
            .collect();
        let tasks = TaskFilter { include_over: true, ..TaskFilter::default() };
        let tasks = tx.tasks().list(&tasks, now).await.unwrap();
        let tasks: Vec<Value> =
            tasks.iter().map(|task| json!([task.definition, task.calls_left, task.is_over(now)])).collect();
        let loans = tx.loans().list(now).await.unwrap();
        let loans: Vec<Value> = loans
            .iter()
            .map(|loan| json!([loan.tool, loan.bounds, loan.expires_at.to_string(), loan.revoked_at.is_some()]))
            .collect();
        let subject = tx.grants().find(self.grant).await.unwrap().unwrap().subject;
        let requests = tx.access_requests().of_subject(&subject).await.unwrap();
        let requests: Vec<Value> = requests
            .iter()
            .map(|asked| {
                json!([asked.tool, asked.reason, asked.bounds, asked.decided_at.is_some(), asked.loan.is_some()])
            })
            .collect();
        let tools = tx.catalogue().list(&notes()).await.unwrap();
        let tools: Vec<Value> =
            tools.iter().map(|tool| json!([tool.name, tool.class.map(ToolClass::as_str), tool.is_held()])).collect();
        json!({ "grants": grants, "tasks": tasks, "loans": loans, "requests": requests, "tools": tools })
    }
}

fn notes() -> ServerName {
    "notes".parse().unwrap()
}

/// Where a form goes, and what it holds besides its hidden value.
fn form(doing: Doing, path: &str) -> (String, Vec<(&'static str, String)>) {
    let same = path.to_owned();
    match doing {
        Doing::Ask { reason } => (same, vec![("reason", reason.to_owned()), ("decision", "ask".to_owned())]),
        Doing::BeginTask { tools, calls } => {
            let mut fields = vec![
                ("purpose", "Tidy up".to_owned()),
                ("calls", calls.to_owned()),
                ("end", String::new()),
                ("reads", "yes".to_owned()),
            ];
            fields.extend(tools.iter().map(|tool| ("tool", (*tool).to_owned())));
            (format!("{path}/tasks"), fields)
        }
        Doing::Classify => {
            (same, vec![("tool", "write_note".to_owned()), ("class.write_note", "destructive".to_owned())])
        }
        Doing::FinishTask => (same, vec![("act", "finish".to_owned())]),
        Doing::Lend { bounds, word, .. } => {
            (same, vec![("end", word.to_owned()), ("bounds", bounds.to_owned()), ("decision", "lend".to_owned())])
        }
        Doing::ReadArguments => (same, Vec::new()),
        Doing::Refuse => (same, vec![("decision", "refuse".to_owned())]),
        Doing::ResumeTask => (same, vec![("act", "resume".to_owned())]),
        Doing::Revoke => (format!("{path}/end"), Vec::new()),
        Doing::RevokeAll => ("/agents/end".to_owned(), Vec::new()),
        Doing::TakeBack => (same, vec![("decision", "take-back".to_owned())]),
    }
}

/// Identifiers by their kind only.
fn plain(value: &Value) -> Value {
    let text = value.to_string();
    let mut out = String::new();
    for part in text.split_inclusive(|character: char| !character.is_ascii_alphanumeric() && character != '_') {
        let word = part.trim_end_matches(|character: char| !character.is_ascii_alphanumeric());
        match word.split_once('_') {
            Some((kind, rest)) if rest.len() >= 24 && rest.chars().all(|c| c.is_ascii_alphanumeric()) => {
                out.push_str(kind);
                out.push_str(part.split_at(word.len()).1);
            }
            _ => out.push_str(part),
        }
    }
    serde_json::from_str(&out).unwrap()
}

async fn done(doing: Doing, way: Way) -> (Vec<Value>, Value) {
    let mut scene = Scene::new().await;
    scene.prepare(doing).await;
    assert!(scene.run(doing, way).await, "{doing:?} by {way:?}");
    let acts = scene.acts().await;
    assert_eq!(acts.len(), 1, "{doing:?} by {way:?} is one act: {acts:?}");
    (acts, scene.rows().await)
}

/// Issue "one act in one place": the same record and the same rows, whoever does it.
#[tokio::test]
async fn an_act_leaves_the_same_record_and_rows_on_a_page_and_at_the_command_line() {
    for doing in GOOD {
        let (page, command) = (done(doing, Way::Page).await, done(doing, Way::Command).await);
        assert_eq!(page, command, "{doing:?}");
    }
}

const BAD: [Doing; 7] = [
    Doing::Ask { reason: "  \u{200b} " },
    Doing::BeginTask { tools: &["read_note"], calls: "0" },
    Doing::BeginTask { tools: &["read_note"], calls: "4000000000" },
    Doing::Lend { bounds: "{", word: "day", seconds: 86_400 },
    Doing::Lend { bounds: r##"{"$ref":"#"}"##, word: "day", seconds: 86_400 },
    Doing::Lend { bounds: r#"{"maxlength":3}"#, word: "day", seconds: 86_400 },
    Doing::Lend { bounds: "7", word: "day", seconds: 86_400 },
];

/// Bad input: refused alike, with nothing on record and nothing changed.
#[tokio::test]
async fn what_a_page_refuses_the_command_line_refuses() {
    let long = Box::leak("x".repeat(501).into_boxed_str());
    let large = format!(r#"{{"properties":{{"a":{{"const":"{}"}}}}}}"#, "x".repeat(17 * 1024));
    let large = Box::leak(large.into_boxed_str());
    let made = [Doing::Ask { reason: long }, Doing::Lend { bounds: large, word: "day", seconds: 86_400 }];
    for doing in BAD.into_iter().chain(made) {
        for way in [Way::Page, Way::Command] {
            let mut scene = Scene::new().await;
            scene.prepare(doing).await;
            let (acts, rows) = (scene.acts().await, scene.rows().await);
            assert!(!scene.run(doing, way).await, "{doing:?} by {way:?}");
            assert_eq!((scene.acts().await, scene.rows().await), (acts, rows), "{doing:?} by {way:?}");
        }
    }
}

/// What was done already is refused alike, too: nobody ends, lends or finishes twice.
#[tokio::test]
async fn what_is_over_is_refused_at_the_command_line() {
    for doing in [Doing::FinishTask, Doing::Refuse, Doing::ResumeTask, Doing::Revoke, Doing::TakeBack] {
        let mut scene = Scene::new().await;
        scene.prepare(doing).await;
        let asked = match doing {
            Doing::Refuse => Some(scene.asked().await.id),
            _ => None,
        };
        assert!(scene.run(doing, Way::Page).await, "{doing:?}");
        let (acts, rows) = (scene.acts().await, scene.rows().await);
        let again = match (doing, asked) {
            (Doing::Refuse, Some(request)) => scene.command(Command::RequestRefuse { request }).await.is_ok(),
            (Doing::TakeBack, _) => false,
            _ => scene.run(doing, Way::Command).await,
        };
        assert!(!again, "{doing:?}");
        assert_eq!((scene.acts().await, scene.rows().await), (acts, rows), "{doing:?}");
    }
}
