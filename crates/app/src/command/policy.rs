//! `sekisho policy`

use std::path::{Path, PathBuf};

use sekisho_policy::explain::explain;
use sekisho_policy::model::{Authority, Call, Target, ToolStanding, Trust};
use sekisho_policy::rights::{Rights, format_policies, schema_text};
use sekisho_protocol::audit::Verdict;
use sekisho_protocol::caller::{ActorPath, Caller, Subject};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock as _, Timestamp, after};
use sekisho_protocol::ids::{ClientId, ServerName, UserId};
use sekisho_protocol::refusal::SetName;
use sekisho_protocol::role::Role;
use sekisho_protocol::scope::ScopeSet;
use sekisho_store::User;
use serde::Deserialize;

use super::{check, print_json};
use crate::cli::{Common, PolicyCommand};
use crate::config::{Configuration, policy_folder};
use crate::error::CommandError;
use crate::os::{OsEntropy, SystemClock};
use crate::servers;

/// Performs one of the commands.
pub(crate) fn perform(common: &Common, command: PolicyCommand) -> Result<(), CommandError> {
    match command {
        PolicyCommand::Check { config } => {
            let configuration = usable(&config)?;
            let files = configuration.policy_files.len();
            if common.json {
                return print_json(&serde_json::json!({ "files": files }));
            }
            say!("{files} policy files are good");
            Ok(())
        }
        PolicyCommand::Format { config, check } => format(&config, check),
        PolicyCommand::Schema => {
            say_part!("{}", schema_text());
            Ok(())
        }
        PolicyCommand::Test { config } => test(common, &config),
    }
}

/// The configuration with its policies, if nothing is wrong with either.
fn usable(path: &Path) -> Result<Configuration, CommandError> {
    let loaded = check::read(path)?;
    if loaded.is_usable() {
        return Ok(loaded.configuration);
    }
    check::report(&loaded);
    Err(CommandError::no(format!("`{}` and its policies have mistakes", path.display())))
}

fn format(path: &Path, only_check: bool) -> Result<(), CommandError> {
    let configuration = usable(path)?;
    let folder = policy_folder(path, &configuration);
    let mut others = Vec::new();
    for file in &configuration.policy_files {
        let text = format_policies(file).map_err(|fault| CommandError::no(fault.to_string()))?;
        if text == file.text {
            continue;
        }
        others.push(file.name.clone());
        if !only_check {
            let target = folder.join(&file.name);
            std::fs::write(&target, text).map_err(|error| {
                CommandError::environment(format!("`{}` cannot be written: {error}", target.display()), "see its mode")
            })?;
        }
    }
    match (others.is_empty(), only_check) {
        (true, _) => say!("all policy files are in their usual form"),
        (false, true) => return Err(CommandError::no(format!("not in their usual form: {}", others.join(", ")))),
        (false, false) => say!("written: {}", others.join(", ")),
    }
    Ok(())
}

/// A file of tests beside the policies.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestFile {
    /// The calls to be judged.
    call: Vec<TestCall>,
}

/// One call and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestCall {
    /// What it shows, in words.
    what: String,
    /// The name of the user; need not exist.
    user: String,
    #[serde(default)]
    owner: bool,
    /// Groups beside those of the configuration.
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    client: Option<ClientId>,
    #[serde(default)]
    trust: TestTrust,
    server: ServerName,
    tool: String,
    /// The tool's class; that of the configuration, if it is left out.
    class: Option<ToolClass>,
    #[serde(default)]
    arguments: Option<serde_json::Value>,
    /// What was granted.
    #[serde(default = "everything")]
    scopes: ScopeSet,
    /// The moment; now, if it is left out.
    at: Option<Timestamp>,
    expect: Verdict,
    /// The set that refuses.
    set: Option<SetName>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TestTrust {
    Published,
    #[default]
    Registered,
    Unverified,
}

/// Tests of policies are about rights, unless they say otherwise.
fn everything() -> ScopeSet {
    std::iter::once(sekisho_protocol::scope::Scope::destructive()).collect()
}

fn test(common: &Common, path: &Path) -> Result<(), CommandError> {
    let configuration = usable(path)?;
    let (mut passed, mut failed) = (0_u32, Vec::new());
    for file in test_files(&policy_folder(path, &configuration))? {
        let wrong = |error: &dyn std::fmt::Display| {
            CommandError::usage(format!("`{}`: {error}", file.display()), "see the file that `sekisho init` writes")
        };
        let text = std::fs::read_to_string(&file).map_err(|error| wrong(&error))?;
        let tests: TestFile = toml::from_str(&text).map_err(|error| wrong(&error))?;
        for call in &tests.call {
            match judge(&configuration, call)? {
                None => passed += 1,
                Some(found) => failed.push(format!("{}: {}: {found}", file.display(), call.what)),
            }
        }
    }
    if common.json {
        print_json(&serde_json::json!({ "passed": passed, "failed": failed }))?;
    } else {
        failed.iter().for_each(|failure| say!("{failure}"));
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

/// What is different from what was expected.
fn judge(configuration: &Configuration, test: &TestCall) -> Result<Option<String>, CommandError> {
    let clock = SystemClock::default();
    let now = test.at.unwrap_or_else(|| clock.now());
    let id = UserId::generate(clock.now(), &OsEntropy);
    let rights = rights(configuration, test, id)?;
    let client = match &test.client {
        Some(client) => client.clone(),
        None => ClientId::generate(clock.now(), &OsEntropy),
    };
    let caller = Caller {
        subject: Subject::User(id),
        path: Some(ActorPath::direct(client.clone())),
        client: Some(client),
        expires: after(now, 60),
        ..Caller::anonymous(test.scopes.clone())
    };
    let trust = match test.trust {
        TestTrust::Published => Trust::Published,
        TestTrust::Registered => Trust::Registered,
        TestTrust::Unverified => Trust::Unverified,
    };
    let configured = configuration.servers.get(test.server.as_str());
    let class = test.class.or_else(|| configured.and_then(|server| server.tools.get(&test.tool)).copied());
    let call = Call {
        server: test.server.clone(),
        method: "tools/call",
        target: Target::Tool {
            name: test.tool.clone(),
            standing: class.map_or(ToolStanding::Unclassified, ToolStanding::Classified),
        },
        arguments: test.arguments.as_ref().map(|arguments| arguments.to_string().into_bytes().into()),
        arguments_digest: None,
        round: None,
        source: None,
    };
    let said = explain(&rights, &caller, &Authority { trust, ..Authority::default() }, &call, now);
    let as_expected = said.decision == test.expect && (test.set.is_none() || test.set == said.set);
    let spoke = said.set.map_or_else(String::new, |set| format!(" by {set:?}").to_lowercase());
    let because = said.rights.because.join(", ");
    let words = |verdict: Verdict| format!("{verdict:?}").to_lowercase();
    let (expected, found) = (words(test.expect), words(said.decision));
    Ok((!as_expected).then(|| format!("expected {expected}, found {found}{spoke} ({because})")))
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
