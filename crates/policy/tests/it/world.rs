//! Users, servers, callers and calls for the tests of rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_policy::model::{Authority, Call, Target, ToolState};
use sekisho_policy::rights::{PolicyFile, Rights, RightsParts, RightsServer, RightsUser};
use sekisho_policy::task::{BoundTask, Need};
use sekisho_protocol::caller::{ActorPath, Basis, Caller, Granted, IssuedBy, Subject};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock, ManualClock, SeededEntropy, Timestamp, after};
use sekisho_protocol::ids::{ClientId, GrantId, TaskId, TokenId, UserId};
use sekisho_protocol::task::{Task, TaskDefinition, TaskOrigin};

pub(crate) fn now() -> Timestamp {
    ManualClock::default().now()
}

pub(crate) fn user(seed: u64) -> UserId {
    UserId::generate(now(), &SeededEntropy::from_seed(seed))
}

/// User 1 owns; 2 is in `editors`; 3 is in nothing. Servers: `notes` (in `office`), `news` (third party).
pub(crate) fn parts(policies: &str) -> RightsParts {
    let person = |name: &str, owner, groups: &[&str]| RightsUser {
        name: name.to_owned(),
        owner,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    };
    RightsParts {
        users: BTreeMap::from([
            (user(1), person("alice", true, &[])),
            (user(2), person("bob", false, &["editors"])),
            (user(3), person("carol", false, &[])),
        ]),
        servers: BTreeMap::from([
            ("notes".parse().unwrap(), RightsServer { groups: vec!["office".to_owned()], ..RightsServer::default() }),
            ("news".parse().unwrap(), RightsServer { third_party: true, ..RightsServer::default() }),
        ]),
        files: vec![PolicyFile { name: "rules.cedar".to_owned(), text: policies.to_owned() }],
        ..RightsParts::default()
    }
}

pub(crate) fn rights(policies: &str) -> Rights {
    Rights::new(parts(policies)).unwrap()
}

pub(crate) fn caller(subject: UserId, scopes: &str) -> Caller {
    let client = ClientId::parse("cli_a").unwrap();
    Caller {
        scopes: scopes.parse().unwrap(),
        basis: Basis::Grant(Granted {
            subject: Subject::User(subject),
            path: ActorPath::direct(client.clone()),
            client,
            grant: GrantId::generate(now(), &SeededEntropy::default()),
            task: None,
            token: TokenId::generate(now(), &SeededEntropy::default()),
            expires: after(now(), 60),
            issued_by: IssuedBy::Checkpoint,
        }),
    }
}

/// The same caller with a change to what its token says.
pub(crate) fn with(caller: &Caller, change: impl FnOnce(&mut Granted)) -> Caller {
    let Basis::Grant(mut granted) = caller.basis.clone() else { panic!("an anonymous caller has no token") };
    change(&mut granted);
    Caller { scopes: caller.scopes.clone(), basis: Basis::Grant(granted) }
}

pub(crate) fn tool(server: &str, name: &str, class: ToolClass, arguments: &str) -> Call {
    Call {
        server: server.parse().unwrap(),
        method: "tools/call",
        target: Target::Tool { name: name.to_owned(), standing: ToolState::Classified(class) },
        arguments: (!arguments.is_empty()).then(|| Bytes::copy_from_slice(arguments.as_bytes())),
        schema: None,
        params: None,
        arguments_digest: None,
        round: None,
        source: None,
    }
}

/// A task that has just begun.
pub(crate) fn task(definition: TaskDefinition) -> Task {
    let entropy = SeededEntropy::from_seed(2);
    Task {
        id: TaskId::generate(now(), &entropy),
        grant: GrantId::generate(now(), &entropy),
        parent: None,
        server: "notes".parse().unwrap(),
        calls_left: definition.calls.map(i64::from),
        definition,
        origin: TaskOrigin::Command,
        created_at: now(),
        ends_at: None,
        ended_at: None,
    }
}

/// A task to tidy up, which names these tools with any arguments.
pub(crate) fn tidy_up(tools: &[&str]) -> TaskDefinition {
    TaskDefinition {
        purpose: "tidy up".to_owned(),
        tools: tools.iter().map(|name| ((*name).to_owned(), None)).collect(),
        ..TaskDefinition::default()
    }
}

/// The authority of a caller that declared this task.
pub(crate) fn declared(task: Task) -> Authority {
    Authority { need: Need::of([Arc::new(BoundTask::new(task).unwrap())]), ..Authority::default() }
}

/// What the rights alone decide.
pub(crate) fn may(rights: &Rights, subject: UserId, call: &Call) -> bool {
    rights.judge(&caller(subject, ""), &Authority::default(), call, now()).permitted
}
