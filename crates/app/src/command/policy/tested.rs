//! `sekisho policy test`: expected decisions, as files beside the policies.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sekisho_policy::bounds::BoundsError;
use sekisho_policy::decide::Candidate;
use sekisho_policy::explain::explain;
use sekisho_policy::model::{Authority, Call, Target, ToolState, Trust};
use sekisho_policy::rights::{OWNERS, Rights};
use sekisho_policy::task::{BoundTask, Need};
use sekisho_protocol::audit::Verdict;
use sekisho_protocol::caller::{ActorPath, Principal, Subject};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock as _, Timestamp};
use sekisho_protocol::ids::{ClientId, GrantId, ServerName, TaskId, UserId};
use sekisho_protocol::refusal::SetName;
use sekisho_protocol::role::Role;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::task::{Task, TaskDefinition, TaskOrigin};
use sekisho_store::User;
use serde::Deserialize;

use crate::cli::Common;
use crate::command::{print_json, visible};
use crate::config::{Configuration, policy_folder};
use crate::error::CommandError;
use crate::os::{OsEntropy, SystemClock};
use crate::servers;

/// A file of tests beside the policies.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestFile {
    /// The calls to judge.
    call: Vec<TestCall>,
}

/// One call and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestCall {
    /// What the test shows, in words.
    what: String,
    /// The name of the user, who need not exist.
    user: String,
    #[serde(default)]
    owner: bool,
    /// Groups of the user, in addition to those of the configuration.
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    client: Option<ClientId>,
    #[serde(default)]
    trust: TestTrust,
    server: ServerName,
    tool: String,
    /// The tool's class; if left out, that of the configuration.
    class: Option<ToolClass>,
    #[serde(default)]
    arguments: Option<serde_json::Value>,
    /// The granted scopes; if left out, all of them.
    #[serde(default = "everything")]
    scopes: ScopeSet,
    /// When the call is made; if left out, now.
    at: Option<Timestamp>,
    /// The address that the call comes from (`context.source`); if left out, unknown.
    source: Option<IpAddr>,
    /// The task that the call is part of (`context.task`), which names the tool of the call; if left out, no task is
    /// declared.
    task: Option<TestTask>,
    /// The clients that the call came through, the first one first (`context.path`); if left out, `client` alone.
    #[serde(default)]
    path: Vec<ClientId>,
    expect: Verdict,
    /// The set that is expected to refuse the call.
    set: Option<SetName>,
}

/// The task of a call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestTask {
    purpose: String,
    /// The bounds on the tool's arguments, as JSON Schema; if left out, any arguments are inside.
    bounds: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TestTrust {
    Published,
    #[default]
    Registered,
    Unverified,
}

/// Returns the scopes of a test that names none: all of them, because tests of policies are about rights.
fn everything() -> ScopeSet {
    std::iter::once(sekisho_protocol::scope::Scope::destructive()).collect()
}

/// Judges every call of the test files by the policies.
pub(super) fn test(common: &Common, configuration: &Configuration, path: &Path) -> Result<(), CommandError> {
    let folder = policy_folder(path, configuration);
    let names = Names::of(configuration);
    let (mut passed, mut failed) = (0_u32, Vec::new());
    for file in test_files(&folder)? {
        let wrong = |error: &dyn std::fmt::Display| {
            CommandError::usage(format!("`{}`: {error}", file.display()), "see the file that `sekisho init` writes")
        };
        let text = std::fs::read_to_string(&file).map_err(|error| wrong(&error))?;
        let tests: TestFile = toml::from_str(&text).map_err(|error| wrong(&error))?;
        for call in &tests.call {
            let found = match names.unknown(configuration, call) {
                Some(unknown) => Some(unknown),
                None => judge(configuration, call)?,
            };
            match found {
                None => passed += 1,
                Some(found) => failed.push(format!("{}: {}: {found}", file.display(), call.what)),
            }
        }
    }
    if passed == 0 && failed.is_empty() {
        return Err(CommandError::usage(
            format!("there are no tests in `{}`", folder.display()),
            "write some into a file there whose name ends in `.test.toml`; `sekisho init` writes an example",
        ));
    }
    if common.json {
        print_json(&serde_json::json!({ "passed": passed, "failed": failed }))?;
    } else {
        failed.iter().for_each(|failure| say!("{}", visible(failure)));
        say!("{passed} passed, {} failed", failed.len());
    }
    if failed.is_empty() { Ok(()) } else { Err(CommandError::no(String::new())) }
}

fn test_files(folder: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        CommandError::environment(
            format!("`{}` cannot be read: {error}", folder.display()),
            "make the folder, or name it with `policies` in the configuration",
        )
    })?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(".test.toml"))
        .collect();
    files.sort();
    Ok(files)
}

/// Returns how the decision differs from the expected one, or `None` if it does not.
fn judge(configuration: &Configuration, test: &TestCall) -> Result<Option<String>, CommandError> {
    let clock = SystemClock;
    let now = test.at.unwrap_or_else(|| clock.now());
    let id = UserId::generate(clock.now(), &OsEntropy);
    let rights = rights(configuration, test, id)?;
    let client = match &test.client {
        Some(client) => client.clone(),
        None => ClientId::generate(clock.now(), &OsEntropy),
    };
    let hops = if test.path.is_empty() { vec![client] } else { test.path.clone() };
    let Some(client) = hops.last().cloned() else { return Ok(Some("the path is empty".to_owned())) };
    if test.client.as_ref().is_some_and(|named| *named != client) {
        return Ok(Some("`client` is not the last client of `path`".to_owned()));
    }
    let path = match ActorPath::new(hops) {
        Ok(path) => path,
        Err(error) => return Ok(Some(error.to_string())),
    };
    let need = match &test.task {
        None => Need::undeclared(),
        Some(task) => match bound(test, task, now) {
            Ok(task) => Need::of([Arc::new(task)]),
            Err(error) => return Ok(Some(error.to_string())),
        },
    };
    let subject = Subject::User(id);
    let principal = Principal { subject: &subject, path: Some(&path) };
    let candidate = Candidate { principal, scopes: &test.scopes, ends: Timestamp::MAX };
    let trust = match test.trust {
        TestTrust::Published => Trust::Published,
        TestTrust::Registered => Trust::Registered,
        TestTrust::Unverified => Trust::Unverified,
    };
    let configured = configuration.servers.get(test.server.as_str());
    let class = test.class.or_else(|| configured.and_then(|server| server.tools.get(&test.tool)).copied());
    let standing = class.map_or(ToolState::Unclassified, ToolState::Classified);
    let call = Call {
        arguments: test.arguments.as_ref().map(|arguments| arguments.to_string().into_bytes().into()),
        source: test.source,
        ..Call::bare(test.server.clone(), "tools/call", Target::Tool { name: test.tool.clone(), standing })
    };
    let said = explain(&rights, candidate, &Authority { trust, need }, &call, now);
    let as_expected = said.decision == test.expect && (test.set.is_none() || test.set == said.set);
    let spoke = said.set.map_or_else(String::new, |set| format!(" by {set:?}").to_lowercase());
    let because = said.rights.because.join(", ");
    let words = |verdict: Verdict| format!("{verdict:?}").to_lowercase();
    let (expected, found) = (words(test.expect), words(said.decision));
    Ok((!as_expected).then(|| format!("expected {expected}, found {found}{spoke} ({because})")))
}

/// Makes a running task of the one that a test describes.
fn bound(test: &TestCall, task: &TestTask, now: Timestamp) -> Result<BoundTask, BoundsError> {
    let tools = BTreeMap::from([(test.tool.clone(), task.bounds.clone())]);
    BoundTask::new(Task {
        id: TaskId::generate(now, &OsEntropy),
        grant: GrantId::generate(now, &OsEntropy),
        parent: None,
        server: test.server.clone(),
        definition: TaskDefinition { purpose: task.purpose.clone(), tools, ..TaskDefinition::default() },
        origin: TaskOrigin::Command,
        calls_left: None,
        created_at: now,
        ends_at: None,
        ended_at: None,
    })
}

/// The names that tests can use. A test with a misspelt name would show nothing about the real one.
struct Names {
    groups: BTreeSet<String>,
    tools: BTreeSet<String>,
    users: BTreeSet<String>,
}

impl Names {
    /// Collects the names of the configuration, and those that its policies mention.
    fn of(configuration: &Configuration) -> Self {
        let written = |kind: &str| {
            let texts = configuration.policy_files.iter().map(|file| file.text.as_str());
            texts.flat_map(|text| literals(text, kind)).collect::<Vec<_>>()
        };
        let servers = configuration.servers.values();
        let mut groups: BTreeSet<String> = configuration.groups.keys().cloned().collect();
        groups.extend(written("Group"));
        let mut tools: BTreeSet<String> = servers.clone().flat_map(|server| server.tools.keys().cloned()).collect();
        tools.extend(written("Tool").into_iter().filter_map(|name| Some(name.split_once('/')?.1.to_owned())));
        let mut users: BTreeSet<String> = servers.flat_map(|server| server.users.keys().cloned()).collect();
        users.extend(configuration.groups.values().flatten().cloned());
        Self { groups, tools, users }
    }

    /// Returns a sentence about the first unknown name of a test, if there is one.
    fn unknown(&self, configuration: &Configuration, test: &TestCall) -> Option<String> {
        let servers: BTreeSet<String> = configuration.servers.keys().cloned().collect();
        if !servers.contains(test.server.as_str()) {
            let meant = near(&servers, test.server.as_str());
            return Some(format!("there is no server `{}` in the configuration{meant}", test.server));
        }
        if let Some(group) = test.groups.iter().find(|group| !self.groups.contains(*group) && *group != OWNERS) {
            let meant = near(&self.groups, group);
            return Some(format!("neither the configuration nor a policy names the group `{group}`{meant}"));
        }
        // Users and unclassified tools need not be mentioned anywhere; a name that is similar to a known one is a
        // mistake.
        if !self.tools.contains(&test.tool) {
            let meant = near(&self.tools, &test.tool);
            if test.class.is_none() || !meant.is_empty() {
                return Some(format!(
                    "the configuration gives the tool `{}` no class, and the test gives none{meant}",
                    test.tool
                ));
            }
        }
        let meant = near(&self.users, &test.user);
        let is_near = !self.users.contains(&test.user) && !meant.is_empty();
        is_near.then(|| format!("the configuration does not name the user `{}`{meant}", test.user))
    }
}

/// Returns the names that a policy text writes as `Kind::"name"`.
fn literals(text: &str, kind: &str) -> Vec<String> {
    let start = format!("{kind}::\"");
    let found = text.match_indices(&start).filter_map(|(at, _)| text.get(at + start.len()..)?.split('"').next());
    found.map(str::to_owned).collect()
}

/// Returns a "did you mean" hint, if one of the names is similar to this one.
fn near(names: &BTreeSet<String>, name: &str) -> String {
    let distances = names.iter().map(|known| (strsim::damerau_levenshtein(known, name), known));
    match distances.min() {
        Some((1..=2, known)) if name.chars().count() > 3 => format!("; did you mean `{known}`?"),
        _ => String::new(),
    }
}

fn rights(configuration: &Configuration, test: &TestCall, id: UserId) -> Result<Rights, CommandError> {
    let user = User {
        id,
        name: test.user.clone(),
        password: None,
        role: if test.owner { Role::Owner } else { Role::User },
        disabled: false,
        created_at: Timestamp::UNIX_EPOCH,
        epoch: 0,
    };
    servers::rights_with(configuration, user, &test.groups)
}
