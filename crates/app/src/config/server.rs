//! What is wrong, or unwise, with one server of the configuration, beyond the types of its members.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use sekisho_gateway::check_upstream_url;
use sekisho_policy::task::check_bounds;
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::scope::Scope;
use sekisho_protocol::text::for_terminal;

use super::model::{Access, ServerDefinition};
use super::server_credential::check_credential;
use super::values::{Filled, fill, refers, stand_in};
use crate::os::SystemClock;

/// Something wrong, or unwise, with one server.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) key: &'static str,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) fatal: bool,
}

/// What is wrong with a server, beyond the types of its members.
pub(crate) fn check_server(server: &ServerDefinition) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut note = |key, message: &str, help: &str, fatal| {
        problems.push(Problem { key, message: message.to_owned(), help: Some(help.to_owned()), fatal });
    };
    let stands_behind = [server.builtin, server.url.is_some(), !server.command.is_empty()];
    match (stands_behind.iter().filter(|is| **is).count(), &server.url) {
        (0, _) => {
            note("command", "a server needs `command` or `url`", "give the program to start, or the URL to reach", true)
        }
        (1, Some(url)) => {
            if let Err(why) = check_upstream_url(&stand_in(url)) {
                note("url", why, "write it as `https://host/path`", true);
            }
        }
        (1, None) => {}
        (_, _) if server.builtin => {
            let help = "remove `command` and `url`, or `builtin`";
            note("builtin", "`builtin` is a server by itself", help, true)
        }
        _ => note("url", "a server has either `command` or `url`", "remove one of them", true),
    }
    if server.builtin && !(server.environment.is_empty() && server.pass.is_empty() && server.headers.is_empty()) {
        note("builtin", "the checkpoint is shown no credential", "remove `environment`, `pass` and `headers`", true);
    }
    if server.url.is_some() && !(server.environment.is_empty() && server.pass.is_empty()) {
        note("environment", "a URL has no environment", "use `headers` for its credential", true);
    }
    if server.url.is_none() && !server.builtin && !server.headers.is_empty() {
        note("headers", "a program is shown no headers", "use `environment` for its credential", true);
    }
    for (what, help) in check_credential(server) {
        note("credential", &what, &help, true);
    }
    check_times(server, &mut note);
    check_values(server, &mut note);
    for scope in server.scopes_default.iter().flatten() {
        if scope == Scope::offline_access().as_str() {
            note(
                "scopes_default",
                "`offline_access` is for clients to ask for, not for servers to demand",
                "remove it",
                true,
            );
        } else if scope.parse::<Scope>().is_err() {
            note(
                "scopes_default",
                "not a scope",
                "use `mcp:read`, `mcp:write`, `mcp:destructive` or `tool:NAME`",
                true,
            );
        }
    }
    for (name, template) in &server.templates {
        let definition = template.definition();
        let checked = definition.check().map_err(|error| error.to_string());
        let checked =
            checked.and_then(|()| check_bounds(&definition, &BTreeMap::new()).map_err(|error| error.to_string()));
        if let Err(why) = checked {
            let message = format!("the template `{name}` is no task: {why}");
            note("templates", &message, "give `purpose` and `tools`, and bounds that are JSON Schema", true);
        }
    }
    let is_one = stands_behind.iter().filter(|is| **is).count() == 1;
    check_access(server, is_one, &mut note);
    problems
}

/// What is unwise in who may call its tools. `is_one`: one thing stands behind it, as it has to be.
fn check_access(server: &ServerDefinition, is_one: bool, note: &mut impl FnMut(&'static str, &str, &str, bool)) {
    if let Some(observe) = server.rights
        && observe.end().is_none_or(|end| end <= SystemClock.now())
    {
        let help = "remove `rights`, or write a day that is to come";
        let message = format!("`observe until` ended on {}: what rights or need refuse is refused", observe.day);
        note("rights", &message, help, false);
    } else if let Some(observe) = server.rights {
        let help = "remove `rights` when nothing is refused any more that should pass: `sekisho audit tail` shows it";
        let message = format!("until the end of {} nothing is refused by rights or need, only recorded", observe.day);
        note("rights", &message, help, false);
    }
    if is_one && server.tools.is_empty() && !server.builtin && server.access == Access::Users {
        let help = "write a table `tools` with a class for each; `sekisho server tools propose NAME` prints one";
        let message =
            "none of its tools has a class: each call needs a scope of its own name, which no client asks for first";
        note("tools", message, help, false);
    }
    if server.access == Access::Public {
        let help = "remove `access = \"public\"` unless that is what you want";
        note("access", "anybody who can reach this address may call every tool of this server", help, false);
    }
}

/// How long calls and starts may take.
fn check_times(server: &ServerDefinition, note: &mut impl FnMut(&'static str, &str, &str, bool)) {
    for (key, seconds) in [("call_seconds", server.call_seconds), ("start_seconds", server.start_seconds)] {
        if seconds == Some(0) {
            note(key, &format!("`{key}` is at least 1"), "remove it to have the default", true);
        }
    }
    if server.command.is_empty() && server.start_seconds.is_some() {
        note("start_seconds", "only a program is started", "remove `start_seconds`", true);
    }
}

/// Headers and variables that could not be sent, or with which no program would be started.
fn check_values(server: &ServerDefinition, note: &mut impl FnMut(&'static str, &str, &str, bool)) {
    for (name, value) in &server.headers {
        let is_value = value.contains("${") || HeaderValue::from_str(value).is_ok();
        if HeaderName::from_bytes(name.as_bytes()).is_err() || !is_value {
            let message = format!("`{}` is no header, or its value cannot stand in one", for_terminal(name));
            note("headers", &message, "use a name such as `Authorization`, and a value on one line", true);
        }
    }
    for (name, value) in &server.environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let message = format!("`{}` is no variable, or its value cannot be one's", for_terminal(name));
            note("environment", &message, "use a name such as `API_KEY`", true);
        }
    }
}

/// What a server needs of this machine and does not get: variables, files, a folder; and what would then stand where it
/// cannot. The key at which it stands, what is wrong, what to do. Values are never shown.
pub(crate) fn unfilled(server: &ServerDefinition) -> Vec<(&'static str, String, String)> {
    let words = server.command.iter().skip(1).map(|word| ("command", "command", word, Filled::Word));
    let url = server.url.iter().map(|url| ("url", "url", url, Filled::Value));
    let headers = server.headers.iter().map(|(name, value)| ("headers", name.as_str(), value, Filled::Value));
    let variables = server.environment.iter().map(|(name, value)| ("environment", name.as_str(), value, Filled::Value));
    let credential = server.credential.iter().flat_map(|credential| {
        let values = [("value", &credential.value), ("client_secret", &credential.client_secret)];
        let values = values.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?, Filled::Value)));
        let words = credential.command.iter().skip(1).map(|word| ("command", word, Filled::Word));
        values.chain(words).map(|(name, value, place)| ("credential", name, value, place))
    });
    let mut found = Vec::new();
    for (key, name, value, place) in words.chain(url).chain(headers).chain(variables).chain(credential) {
        match fill(value, place) {
            Err(error) => found.push((key, format!("`{}` {error}", for_terminal(name)), error.help())),
            Ok(filled) if refers(value) => {
                let fits = match key {
                    "credential" | "headers" => HeaderValue::from_str(&filled).is_ok(),
                    "url" => check_upstream_url(&filled).is_ok(),
                    _ => !filled.contains('\0'),
                };
                if !fits {
                    let message = format!("what is filled into `{}` cannot stand there", for_terminal(name));
                    found.push((key, message, "see the variable or the file that it names".to_owned()));
                }
            }
            Ok(_) => {}
        }
    }
    found
}
