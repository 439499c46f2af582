use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_gateway::{BuiltIn, BuiltInAnswer, BuiltInCall, BuiltInSettings, UpstreamSettings};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy};
use sekisho_protocol::ids::UserId;
use sekisho_protocol::role::Role;
use sekisho_protocol::secret::UpstreamSecret;
use sekisho_store::{GroupSource, Membership, User};
use serde_json::{Value, json};

use super::{Defined, RouteParts, directory, groups_of, resolve, routes};
use crate::builtin::TOOLS;
use crate::config::login::Login;
use crate::config::{Configuration, ServerDefinition};

fn defined(definition: ServerDefinition) -> Defined {
    let secrets = BTreeMap::from([("env:TOKEN".to_owned(), UpstreamSecret::from_outside("sealed"))]);
    Defined { name: "notes".parse().unwrap(), definition, secrets, classify_at_consent: true }
}

fn program() -> ServerDefinition {
    ServerDefinition { command: vec!["notes".to_owned(), "--flag".to_owned()], ..ServerDefinition::default() }
}

/// A built-in server that can do nothing.
#[derive(Debug)]
struct Idle;

impl BuiltIn for Idle {
    fn info(&self) -> Value {
        json!({ "name": "idle" })
    }

    fn tools(&self) -> Vec<Value> {
        Vec::new()
    }

    fn prompts(&self) -> Vec<Value> {
        Vec::new()
    }

    fn call(&self, asked: BuiltInCall) -> BuiltInAnswer<'_> {
        self.prompt(asked)
    }

    fn prompt(&self, _: BuiltInCall) -> BuiltInAnswer<'_> {
        Box::pin(async { Err("it can do nothing".to_owned()) })
    }
}

static NO_LOGIN: Login = Login { passwords: true, provider: Vec::new() };

fn parts(builtin: &BuiltInSettings) -> RouteParts<'_> {
    let login = &NO_LOGIN;
    RouteParts { base_url: "http://localhost:1", arguments_days: 30, extra_ca: None, builtin, login }
}

/// ST-01, ATK-90: a child gets what is named and nothing else of our environment.
#[test]
fn a_program_gets_named_variables_only() {
    let idle = BuiltInSettings(Arc::new(Idle));
    let routes = routes(&[defined(program())], parts(&idle)).unwrap();
    let route = routes.servers.values().next().unwrap();
    let UpstreamSettings::Stdio(stdio) = route.upstream.settings() else { panic!("not a program") };
    assert!(stdio.environment.contains_key("TOKEN"));
    assert!(stdio.environment.contains_key("PATH"));
    assert!(!stdio.environment.contains_key("CARGO_MANIFEST_DIR"));
    assert!(stdio.withheld.iter().any(|name| name == "CARGO_MANIFEST_DIR"));
    assert!(!format!("{route:?}").contains("sealed"));
}

/// What is the checkpoint itself is no program and no URL, and is shown no secret.
#[test]
fn the_checkpoint_itself_is_mounted_like_any_other() {
    let idle = BuiltInSettings(Arc::new(Idle));
    let itself = ServerDefinition { builtin: true, ..ServerDefinition::default() };
    let routes = routes(&[defined(itself)], parts(&idle)).unwrap();
    let route = routes.servers.values().next().unwrap();
    assert_eq!(*route.upstream.settings(), UpstreamSettings::BuiltIn(idle));
    assert_eq!(route.card.resource.as_str(), "http://localhost:1/mcp/notes");
    assert!(TOOLS.iter().all(|tool| route.card.classes.get(*tool) == Some(&ToolClass::Read)));
}

#[test]
fn a_server_is_identified_by_the_base_url_and_its_name() {
    let directory = directory(&[defined(program())], "https://mcp.example.com", &NO_LOGIN).unwrap();
    let card = directory.single().unwrap();
    assert_eq!(card.resource.as_str(), "https://mcp.example.com/mcp/notes");
    assert_eq!(card.scopes_default.to_string(), "mcp:read mcp:write");
}

#[test]
fn a_value_may_stand_elsewhere() {
    let server = "notes";
    let secret = |text: &str| UpstreamSecret::from_outside(text);
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), "from a file\n").unwrap();
    let value = resolve(server, secret(&format!("Bearer ${{file:{}}}!", path.path().display()))).unwrap();
    assert_eq!(value.expose(), "Bearer from a file!");
    for bad in ["${", "${env:}", "${env:SURELY_NOT_SET_ANYWHERE}", "${file:/does/not/exist}", "${other:x}"] {
        assert!(resolve(server, secret(bad)).is_err(), "{bad}");
    }
}

/// ATK-283: the same program or URL again is the same server; the folder counts where a word of the command is a file in
/// it.
#[test]
fn a_server_is_what_stands_behind_it() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(one.path().join("server.js"), "").unwrap();
    let program = |folder: &tempfile::TempDir, words: &[&str]| ServerDefinition {
        command: words.iter().map(|&word| word.to_owned()).collect(),
        directory: Some(folder.path().to_owned()),
        ..ServerDefinition::default()
    };
    let url = |url: &str| ServerDefinition { url: Some(url.to_owned()), ..ServerDefinition::default() };
    for (before, after, expected) in [
        (program(&one, &["npx", "x"]), program(&one, &["npx", "x"]), true),
        (program(&one, &["npx", "x"]), program(&other, &["npx", "x"]), true),
        (program(&one, &["node", "server.js"]), program(&one, &["node", "server.js"]), true),
        (program(&one, &["node", "server.js"]), program(&other, &["node", "server.js"]), false),
        (program(&one, &["files", "."]), program(&other, &["files", "."]), false),
        (program(&one, &["npx", "x"]), program(&one, &["npx", "y"]), false),
        (url("http://127.0.0.1:3000/mcp"), url("http://127.0.0.1:3000/mcp"), true),
        (url("http://127.0.0.1:3000/mcp"), url("http://127.0.0.1:3001/mcp"), false),
        (url("http://127.0.0.1:3000/mcp"), program(&one, &["x"]), false),
    ] {
        assert_eq!(super::is_same(&before, &after), expected, "{before:?} {after:?}");
    }
}

/// ATK-308: a group of a provider counts while the provider is in the configuration, and under its own name only.
#[test]
fn groups_of_providers_join_those_of_the_file() {
    let text = "[groups]\nreaders = [\"corp/engineers\", \"bob\"]\n[login]\n[[login.provider]]\nname = \"corp\"\n";
    let configuration: Configuration = toml::from_str(text).unwrap();
    let (now, entropy) = (ManualClock::default().now(), SeededEntropy::default());
    let user = |name: &str| User {
        id: UserId::generate(now, &entropy),
        name: name.to_owned(),
        password: None,
        role: Role::User,
        disabled: false,
        created_at: now,
        epoch: 0,
    };
    let (ada, bob) = (user("corp:ada"), user("bob"));
    let member = |user: &User, provider: &str, group: &str| Membership {
        user: user.id,
        provider: provider.to_owned(),
        group: group.to_owned(),
        source: GroupSource::Claims,
    };
    let members = [
        member(&ada, "corp", "corp/engineers"),
        member(&ada, "gone", "gone/engineers"),
        member(&bob, "other", "corp/engineers"),
    ];
    assert_eq!(groups_of(&ada, &members, &configuration), ["readers", "corp/engineers"]);
    assert_eq!(groups_of(&bob, &members, &configuration), ["readers"]);
    assert!(groups_of(&user("engineers"), &members, &configuration).is_empty());
}
