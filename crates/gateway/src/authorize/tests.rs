//! What a refusal says to its client, and what it says in the record.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_policy::model::{Authority, Call, Target, ToolState};
use sekisho_policy::rights::{PolicyFile, Rights, RightsParts, RightsServer, RightsUser};
use sekisho_policy::task::{BoundTask, Need};
use sekisho_protocol::audit::{self, Verdict, Why};
use sekisho_protocol::caller::{Basis, Caller, Granted, Subject};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy, Timestamp, after};
use sekisho_protocol::ids::{ApprovalId, GrantId, RequestId, TaskId, UserId};
use sekisho_protocol::refusal::{RemedyKind, SetName};
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::task::{Task, TaskDefinition, TaskOrigin};
use sekisho_protocol::uri::ResourceUri;
use serde_json::json;

use super::{Allowed, AskedFor, Denied, authorize};

const BASE: &str = "https://sekisho.example";

/// One tool may only be used in tasks, and one has to be approved.
const RULES: &str = r#"
@task_required permit(principal, action == Action::"call", resource == Tool::"notes/add_note");
@approval @reason("it is for good") permit(principal, action == Action::"call", resource == Tool::"notes/wipe");
@reason("one at a time") forbid(principal, action == Action::"call", resource == Tool::"notes/pay")
when { context.numbers.hasTag("n") && context.numbers.getTag("n") > 0 };
@reason("never") forbid(principal, action == Action::"call", resource == Tool::"notes/burn");
"#;

/// An owner with a grant, and a server that anonymous callers may use as well.
struct World {
    rights: Rights,
    caller: Caller,
    grant: GrantId,
    request: RequestId,
    entropy: SeededEntropy,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let (entropy, now) = (SeededEntropy::default(), ManualClock::default().now());
        let (user, grant) = (UserId::generate(now, &entropy), GrantId::generate(now, &entropy));
        let rights = Rights::new(RightsParts {
            users: BTreeMap::from([(user, RightsUser { owner: true, ..RightsUser::default() })]),
            servers: BTreeMap::from([(
                "notes".parse().unwrap(),
                RightsServer { public: true, ..RightsServer::default() },
            )]),
            files: vec![PolicyFile { name: "rules.cedar".to_owned(), text: RULES.to_owned() }],
            ..RightsParts::default()
        });
        let mut caller = Caller::of_test(1, |granted| {
            (granted.subject, granted.grant, granted.expires) = (Subject::User(user), grant, after(now, 600));
        });
        caller.scopes = "mcp:read".parse().unwrap();
        let request = RequestId::generate(now, &entropy);
        Self { rights: rights.unwrap(), caller, grant, request, entropy, now }
    }

    /// A task of the grant, for one tool.
    fn task(&self, purpose: &str, bounds: Option<serde_json::Value>) -> Task {
        let tools = BTreeMap::from([("get_note".to_owned(), bounds)]);
        Task {
            id: TaskId::generate(self.now, &self.entropy),
            grant: self.grant,
            parent: None,
            server: "notes".parse().unwrap(),
            definition: TaskDefinition { purpose: purpose.to_owned(), tools, ..TaskDefinition::default() },
            origin: TaskOrigin::Person,
            calls_left: None,
            created_at: self.now,
            ends_at: None,
            ended_at: None,
        }
    }

    fn denied(&self, caller: &Caller, authority: &Authority, target: Target) -> Denied {
        *self.authorize(caller, authority, target).unwrap_err()
    }

    fn authorize(&self, caller: &Caller, authority: &Authority, target: Target) -> Result<Allowed, Box<Denied>> {
        let call = Call {
            server: "notes".parse().unwrap(),
            method: "tools/call",
            target,
            arguments: Some(Bytes::from_static(br#"{"n":1}"#)),
            schema: None,
            params: None,
            arguments_digest: None,
            round: None,
            source: None,
        };
        authorize(&self.rights, caller, authority, &call, self.now)
    }
}

fn needing(tasks: impl IntoIterator<Item = Task>) -> Authority {
    let need = Need::of(tasks.into_iter().map(|task| Arc::new(BoundTask::new(task).unwrap())));
    Authority { need, ..Authority::default() }
}

fn tool(name: &str, standing: ToolState) -> Target {
    Target::Tool { name: name.to_owned(), standing }
}

fn job(own: bool) -> Target {
    Target::Job { id: "job".to_owned(), own }
}

/// Product §4, RS-36, RS-53: each refusal names the set that refused and the remedy, with the page if there is one. An
/// owner is asked only about a tool, only for a caller with a grant, and only if rights refused. Only a job of another
/// caller is refused as an unknown job.
#[test]
fn a_refusal_names_its_set_and_its_way_out() {
    let world = World::new();
    let (free, task) = (Authority::default(), world.task("tidy up", None));
    let nobodys = TaskId::generate(world.now, &world.entropy);
    let unknown = Authority { need: Need::unknown(nobodys), ..Authority::default() };
    let held_to = needing([task.clone()]);
    let changed = |change: &dyn Fn(&mut Granted)| {
        let mut caller = world.caller.clone();
        if let Basis::Grant(granted) = &mut caller.basis {
            change(granted);
        }
        caller
    };
    let over = changed(&|granted| granted.expires = world.now);
    let other = Subject::User(UserId::generate(world.now, &world.entropy));
    let stranger = changed(&|granted| granted.subject = other.clone());
    let nobody = Caller::anonymous(ScopeSet::empty());
    let (caller, ask) = (&world.caller, RemedyKind::AskAccess);
    let read = || tool("get_note", ToolState::Classified(ToolClass::Read));
    let add = || tool("add_note", ToolState::Classified(ToolClass::Read));
    let resource = || Target::Resource { uri: ResourceUri::parse("file:///a").unwrap() };
    let page = |path: String| Some(format!("{BASE}{path}"));
    let by_request = || page(format!("/access/{}", world.request));
    let (rights, need, grant) = (SetName::Rights, SetName::Need, SetName::Grant);
    for (by, authority, target, set, kind, url, why) in [
        (caller, &free, tool("ghost", ToolState::Unknown), rights, ask, by_request(), "rights"),
        (caller, &free, tool("get_note", ToolState::Held), rights, ask, by_request(), "held_back"),
        (&stranger, &free, read(), rights, ask, by_request(), "rights"),
        (&stranger, &free, resource(), rights, ask, None, "rights"),
        (&nobody, &free, tool("ghost", ToolState::Unknown), rights, ask, None, "rights"),
        (caller, &free, job(false), rights, ask, None, "rights"),
        (caller, &free, tool("burn", ToolState::Classified(ToolClass::Read)), rights, ask, by_request(), "rights"),
        (caller, &free, tool("pay", ToolState::Classified(ToolClass::Read)), rights, RemedyKind::None, None, "rights"),
        (&over, &free, read(), grant, RemedyKind::None, None, "expired"),
        (&over, &free, job(true), grant, RemedyKind::None, None, "expired"),
        (caller, &held_to, add(), need, RemedyKind::WidenTask, page(format!("/tasks/{}", task.id)), "outside_task"),
        (caller, &unknown, read(), need, RemedyKind::WidenTask, None, "task_unknown"),
        (caller, &free, add(), need, RemedyKind::WidenTask, page(format!("/grants/{}", world.grant)), "task_required"),
    ] {
        let what = format!("{target:?} {why}");
        let unknown_job = target == job(false);
        let denied = world.denied(by, authority, target);
        let (refusal, judged) = (denied.refusal(world.request, BASE), denied.judgement());
        assert_eq!((refusal.set, refusal.remedy.kind, refusal.remedy.url), (set, kind, url), "{what}");
        assert_eq!((refusal.remedy.scopes, refusal.request), (None, world.request), "{what}");
        assert_eq!((denied.is_unknown_job(), matches!(denied, Denied::Declined(_))), (unknown_job, false), "{what}");
        assert_eq!(
            (judged.verdict, judged.set, judged.why.map(Why::as_str)),
            (Verdict::Deny, Some(set), Some(why)),
            "{what}"
        );
        assert_eq!(judged.task, authority.need.task(), "{what}");
    }
}

/// RS-36: a hidden tool is refused in the words for a tool that does not exist. A call that a rule forbids is refused
/// in the rule's own words, and without a remedy, for there is none.
#[test]
fn a_rule_is_named_only_to_who_may_know_of_the_tool() {
    let (world, free) = (World::new(), Authority::default());
    let said = |name: &str, standing| {
        world.denied(&world.caller, &free, tool(name, standing)).refusal(world.request, BASE).reason
    };
    let known = ToolState::Classified(ToolClass::Read);
    assert_eq!(said("pay", known), "a rule forbids this call: one at a time; nobody can lend it");
    assert_eq!(said("burn", known), said("ghost", ToolState::Unknown));
    assert_eq!(said("get_note", ToolState::Held), said("ghost", ToolState::Unknown));
    assert!(said("ghost", ToolState::Unknown).ends_with("the user can see at the link what can be done"));
}

/// RS-19, RS-20: the scopes that were not granted are named to the client and in the record, and there is no page.
#[test]
fn a_step_up_names_the_scopes() {
    let world = World::new();
    let write = tool("put_note", ToolState::Classified(ToolClass::Write));
    let denied = world.denied(&world.caller, &Authority::default(), write);
    let (refusal, judged) = (denied.refusal(world.request, BASE), denied.judgement());
    let scopes: ScopeSet = "mcp:write".parse().unwrap();
    assert_eq!((refusal.set, refusal.remedy.kind, refusal.remedy.url), (SetName::Grant, RemedyKind::StepUp, None));
    assert_eq!((refusal.remedy.scopes, judged.scopes), (Some(scopes.clone()), scopes));
    assert_eq!((judged.verdict, judged.why), (Verdict::StepUp, Some(Why::Scopes)));
}

/// Product §4, Ask: a person is asked on a page of their own, and a declined call is not to be made again. Where nobody
/// is signed in nobody can be asked, so the call is refused without a remedy.
#[test]
fn a_person_is_asked_where_there_is_one() {
    let world = World::new();
    let (free, wipe) = (Authority::default(), || tool("wipe", ToolState::Classified(ToolClass::Read)));
    let Ok(Allowed::Ask(ask)) = world.authorize(&world.caller, &free, wipe()) else { panic!("nobody was asked") };
    let (first, second) = (AskedFor::of(&ask, &free), AskedFor::of(&ask, &free));
    let ask = AskedFor::of(&ask, &free);
    let approval = ApprovalId::generate(world.now, &world.entropy);
    let asked = Denied::Approval { ask: first, approval };
    let declined = Denied::Declined(second);
    let unasked = world.denied(&Caller::anonymous("mcp:read".parse().unwrap()), &free, wipe());
    let page = Some(format!("{BASE}/approvals/{approval}"));
    for (denied, verdict, kind, url, why, said) in [
        (&asked, Verdict::Ask, RemedyKind::Approve, page, Why::Approval, ": it is for good"),
        (&declined, Verdict::Deny, RemedyKind::None, None, Why::Declined, "declined this very call"),
        (&unasked, Verdict::Deny, RemedyKind::None, None, Why::Approval, "nobody is signed in"),
    ] {
        let (refusal, judged) = (denied.refusal(world.request, BASE), denied.judgement());
        assert_eq!((refusal.set, refusal.remedy.kind, refusal.remedy.url), (SetName::Rights, kind, url));
        assert_eq!((judged.verdict, judged.why), (verdict, Some(why)));
        assert!(refusal.reason.contains(said), "{}", refusal.reason);
        assert_eq!(judged.because, [ask.rule.clone()].into());
    }
}

/// Product §4: the refusal names an argument that is out of bounds, and the bounds.
#[test]
fn an_argument_beyond_its_bounds_is_named() {
    let world = World::new();
    for (bounds, said) in [
        (
            json!({ "properties": { "n": { "maximum": 0 } } }),
            "the argument `/n` is beyond the bounds of the task “tidy up”; it has to fit {\"maximum\":0,\"type\":[\"number\"]}",
        ),
        (json!({ "required": ["id"] }), "the argument `id` is missing, and it is bounded by the task “tidy up”"),
    ] {
        let authority = needing([world.task("tidy up", Some(bounds))]);
        let denied = world.denied(&world.caller, &authority, tool("get_note", ToolState::Classified(ToolClass::Read)));
        let reason = denied.refusal(world.request, BASE).reason;
        assert_eq!(reason, format!("{said}; the user can widen it"));
    }
}

/// Product §4: of several tasks, the refusal names the one that others spent or ended meanwhile, with that task's page.
#[test]
fn the_task_that_was_spent_meanwhile_is_named() {
    let world = World::new();
    let (outer, inner) = (world.task("tidy up", None), world.task("look", None));
    let authority = needing([outer.clone(), inner.clone()]);
    for (task, over, reason, why) in [
        (&outer, false, "the task “tidy up” has used up its calls; the user can give it more", "budget_spent"),
        (
            &inner,
            true,
            "the task “look” is finished; the user can resume what was granted, or begin another",
            "task_finished",
        ),
    ] {
        let denied = Denied::by_task(&authority, task.id, over);
        let (refusal, judged) = (denied.refusal(world.request, BASE), denied.judgement());
        assert_eq!((refusal.set, refusal.reason.as_str()), (SetName::Need, reason));
        assert_eq!(refusal.remedy.url, Some(format!("{BASE}/tasks/{}", task.id)));
        assert_eq!((judged.task, judged.need), (Some(task.id), audit::Need::Outside));
        assert_eq!(judged.why.map(Why::as_str), Some(why));
    }
}
