//! The cost of a decision, by the number of policies: `cargo bench -p sekisho-policy`.
//!
//! Measures the best of many short batches, as ratios to Cedar's bare `is_authorized` over as many policies in the same
//! run. The exit status is 1 if a target is missed (targets are in microseconds, so run this on a quiet machine).

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to say")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cedar_policy::{Authorizer, Context, Entities, PolicySet, Request};
use sekisho_policy::decide::{decide, may_see};
use sekisho_policy::model::{Authority, Call, Target, ToolState};
use sekisho_policy::rights::{PolicyFile, Rights, RightsParts, RightsServer, RightsUser};
use sekisho_policy::schema::ToolSchema;
use sekisho_protocol::caller::{ActorPath, Basis, Caller, Granted, IssuedBy, Subject};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock, ManualClock, SeededEntropy, Timestamp, after};
use sekisho_protocol::ids::{ClientId, GrantId, TokenId, UserId};
use serde_json::json;

/// The numbers of policies. One policy in a hundred is about the server in question.
const COUNTS: [usize; 4] = [10, 100, 1_000, 10_000];
/// The number of tools in one list.
const TOOLS: usize = 1_000;

/// Targets, in microseconds.
const REPEATED_MAX: f64 = 2.0;
const FIRST_MAX: f64 = 100.0;
const LIST_FIRST_MAX: f64 = 10_000.0;
const LIST_REPEATED_MAX: f64 = 2_000.0;
/// How much the check of an ordinary call's arguments against the tool's schema may add, in microseconds.
const SCHEMA_MAX: f64 = 1.0;

fn now() -> Timestamp {
    ManualClock::default().now()
}

/// The number of users without a kept answer: each first decision is about another one.
const USERS: u64 = 300;

fn user(seed: u64) -> UserId {
    UserId::generate(now(), &SeededEntropy::from_seed(seed))
}

fn policies(count: usize) -> String {
    let mut text = String::new();
    for at in 0..count {
        let server = if at % 100 == 0 { "notes".to_owned() } else { format!("s{at}") };
        let level = at % 3;
        writeln!(
            text,
            "permit(principal in Group::\"g{}\", action == Action::\"call\", resource in Server::\"{server}\") when {{ resource.level <= {level} }};",
            at % 7
        )
        .unwrap();
    }
    text
}

fn rights(count: usize) -> Rights {
    let groups: Vec<String> = (0..7).map(|group| format!("g{group}")).collect();
    let person = |seed| (user(seed), RightsUser { name: format!("user{seed}"), owner: false, groups: groups.clone() });
    Rights::new(RightsParts {
        users: (0..=USERS).map(person).collect(),
        servers: BTreeMap::from([("notes".parse().unwrap(), RightsServer::default())]),
        files: vec![PolicyFile { name: "bench.cedar".to_owned(), text: policies(count) }],
        ..RightsParts::default()
    })
    .unwrap()
}

fn caller(seed: u64) -> Caller {
    let client = ClientId::parse("cli_a").unwrap();
    Caller {
        scopes: "mcp:destructive".parse().unwrap(),
        basis: Basis::Grant(Granted {
            subject: Subject::User(user(seed)),
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

fn call(tool: usize) -> Call {
    let target = Target::Tool { name: format!("tool{tool}"), standing: ToolState::Classified(ToolClass::Read) };
    Call::bare("notes".parse().unwrap(), "tools/call", target)
}

/// Returns the best time of one run, in microseconds. `make` prepares each run and is not measured.
fn best<T>(runs: usize, mut make: impl FnMut() -> T, mut work: impl FnMut(&T)) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..runs {
        let input = make();
        let began = Instant::now();
        work(&input);
        best = best.min(began.elapsed());
    }
    best.as_secs_f64() * 1e6
}

/// Cedar alone, with request and entities prepared, over all policies.
fn bare(count: usize) -> f64 {
    let set: PolicySet = policies(count).parse().unwrap();
    let request = Request::new(
        "User::\"alice\"".parse().unwrap(),
        "Action::\"call\"".parse().unwrap(),
        "Tool::\"notes/tool1\"".parse().unwrap(),
        Context::empty(),
        None,
    )
    .unwrap();
    let authorizer = Authorizer::new();
    best(20, || (), |()| drop(black_box(authorizer.is_authorized(&request, &set, &Entities::empty()))))
}

/// The check of an ordinary call's arguments against the tool's schema, in microseconds.
fn schema() -> f64 {
    let schema = ToolSchema::read(&json!({
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "limit": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "force": {"type": "boolean", "default": false},
        },
        "required": ["path"],
    }));
    let arguments = br#"{"path":"/srv/notes/2026/11/minutes.md","limit":20,"tags":["work","draft"],"force":false}"#;
    let check = |arguments: &[u8]| assert!(black_box(schema.check(Some(black_box(arguments)))).is_ok());
    let held = best(50, || (), |()| (0..1_000).for_each(|_| check(arguments))) / 1_000.0;
    println!("arguments of {} bytes held to a schema of four properties: {held:.2} µs", arguments.len());
    held
}

fn main() -> ExitCode {
    let (someone, authority, now) = (caller(0), Authority::default(), now());
    let mut missed = Vec::new();
    println!("{:>9} {:>12} {:>18} {:>18}", "policies", "bare Cedar", "first decision", "repeated decision");
    for count in COUNTS {
        let bare = bare(count);
        let shared = rights(count);
        let known = call(0);
        let mut met = 0;
        let fresh = || {
            met += 1;
            caller(met)
        };
        let first = best(200, fresh, |fresh| drop(black_box(decide(&shared, fresh, &authority, &known, now))));
        let repeated = best(
            50,
            || (),
            |()| {
                for _ in 0..100 {
                    drop(black_box(decide(&shared, &someone, &authority, &known, now)));
                }
            },
        ) / 100.0;
        println!(
            "{count:>9} {bare:>9.1} µs {first:>9.1} µs {:>4.2} x {repeated:>9.2} µs {:>4.2} x",
            first / bare,
            repeated / bare
        );
        if repeated > REPEATED_MAX {
            missed.push(format!("repeated decision with {count} policies"));
        }
        if count == 1_000 && first > FIRST_MAX {
            missed.push("first decision with 1,000 policies".to_owned());
        }
    }
    let calls: Vec<Call> = (0..TOOLS).map(call).collect();
    let list = |rights: &Rights| {
        let shown = calls.iter().filter(|call| may_see(rights, &someone, &authority, call, now)).count();
        assert_eq!(black_box(shown), TOOLS);
    };
    let first = best(5, || rights(1_000), list);
    let warm = rights(1_000);
    list(&warm);
    let repeated = best(20, || (), |()| list(&warm));
    println!("a list of {TOOLS} tools with 1,000 policies: first {first:.0} µs, repeated {repeated:.0} µs");
    if first > LIST_FIRST_MAX {
        missed.push("first list".to_owned());
    }
    if repeated > LIST_REPEATED_MAX {
        missed.push("repeated list".to_owned());
    }
    if schema() > SCHEMA_MAX {
        missed.push("arguments held to a schema".to_owned());
    }
    for target in &missed {
        println!("missed: {target}");
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
