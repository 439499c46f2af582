//! `sekisho run`: protects one server, without a configuration file.

use std::collections::BTreeSet;
use std::sync::Arc;

use sekisho_acts::command::{Command, Outcome};
use sekisho_acts::server::Add as ServerAdd;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::redirect::is_loopback_host;
use sekisho_protocol::role::Role;

use super::connect_lines::{connect_lines, print_connect_lines};
use crate::base_url::{at_stored_port, stored_port};
use crate::cli::{Common, RunArguments};
use crate::config::{Configuration, ServerDefinition, check_server};
use crate::data_dir::DataDir;
use crate::error::CommandError;
use crate::instance::{Instance, Parts, Source};
use crate::listen::{self, PORT};
use crate::signals::stop_signal;
use crate::{control, os, servers, serving, telemetry};

/// Protects one server, or all that were protected before if none is named.
pub(crate) async fn run(common: &Common, arguments: &RunArguments) -> Result<(), CommandError> {
    let _log = telemetry::start(common.json);
    let data = DataDir::open(common.data_dir.as_deref())?;
    let names_one = arguments.builtin || arguments.http.is_some() || !arguments.command.is_empty();
    let server = if names_one { Some(definition(arguments)?) } else { None };
    match data.lock()? {
        Some(lock) => {
            let store = data.store().await?;
            let wanted = at_stored_port(arguments.listen, stored_port(&store).await);
            let listeners = listen::bind(wanted, PORT).await?;
            if !listeners.address.ip().is_loopback() {
                return Err(CommandError::usage(
                    "`run` listens on loopback only",
                    "for other addresses write a configuration: `sekisho init`, then `sekisho serve`",
                ));
            }
            let port = listeners.address.port();
            let name = server.as_ref().map(|server| server.name.clone());
            let asked = name.clone();
            let mut before = None;
            if let Some(server) = server {
                let kept = control::kept(&store, &server.name).await;
                before = kept.map_err(|error| CommandError::environment(error.to_string(), "see the disk"))?;
                servers::keep_name(before.as_ref(), &server)?;
                perform(&store, &data, Command::ServerAdd(server)).await?;
            }
            let parts = Parts {
                data: data.clone(),
                lock,
                store,
                configuration: Configuration::default(),
                source: Source::Store,
                port,
            };
            let stop = stop_signal()?;
            let instance = Instance::start(parts).await?;
            let looked = look_behind(common, &instance, name.as_ref()).await;
            if let (Err(_), Some(name)) = (&looked, name) {
                // Restores the previous definition: an upstream that is down must not end anybody's grants.
                perform(&instance.store, &data, control::undo(name, before)).await?;
                instance.gateway.shutdown().await;
            }
            if let (Some(why), Some(name)) = (looked?, &asked) {
                tell!("{name} is not ready: {why}\nIt becomes ready by itself once it answers.");
            }
            let (servers, setup) = start(arguments, &data, &instance).await?;
            let entry = serving::Entry { listeners, certificate: None, stop };
            serving::serve(&instance, entry, || announce(common, &instance, &servers, setup)).await
        }
        None => match server {
            Some(server) => hand_over(common, &data, server).await,
            None => Err(CommandError::usage(
                "an instance is running already, and no server is named",
                "name a program after `--`, or a URL with --http URL",
            )),
        },
    }
}

/// Asks a server for its tools, and tells the user. Returns why the server cannot be reached, if it cannot.
async fn look_behind(
    common: &Common,
    instance: &Instance,
    name: Option<&ServerName>,
) -> Result<Option<String>, CommandError> {
    let Some(name) = name else { return Ok(None) };
    if !common.json {
        tell!("asking {name} what it offers …");
    }
    instance.look_behind(name).await
}

/// Makes the owner if there is none. Returns all servers, and the link with which the owner sets a password.
async fn start(
    arguments: &RunArguments,
    data: &DataDir,
    instance: &Arc<Instance>,
) -> Result<(BTreeSet<ServerName>, Option<String>), CommandError> {
    let setup = owner_link(instance, data, &arguments.owner).await?;
    let servers = match perform(&instance.store, data, Command::ServerList).await? {
        Outcome::Servers { servers } => servers.into_iter().map(|server| server.name).collect::<BTreeSet<_>>(),
        other => return Err(super::unexpected(&other)),
    };
    Ok((servers, setup))
}

fn announce(
    common: &Common,
    instance: &Instance,
    servers: &BTreeSet<ServerName>,
    setup: Option<String>,
) -> Result<(), CommandError> {
    let url = |name: &ServerName| format!("{}/mcp/{name}", instance.base_url);
    if common.json {
        let rows: Vec<_> = servers
            .iter()
            .map(|name| {
                let lines: serde_json::Map<_, _> = connect_lines(name, &url(name))
                    .into_iter()
                    .map(|(client, line)| (client.to_owned(), line.into()))
                    .collect();
                serde_json::json!({ "name": name, "url": url(name), "connect": lines })
            })
            .collect();
        let line = serde_json::json!({ "ready": true, "base_url": instance.base_url, "servers": rows, "setup_url": setup, "pid": std::process::id() });
        return super::print_json(&line);
    }
    say_lines!("Sekisho is up at {}. Every call needs a login, a consent and a right.", instance.base_url);
    for name in servers {
        say_lines!("  {name:<20} {}", url(name));
    }
    if let Some(setup) = setup {
        say_lines!("\nFirst, set the owner's password (this link works once, for 30 minutes):\n  {setup}");
    }
    for name in servers {
        print_connect_lines(name, &url(name));
    }
    say_lines!("\nStop with Ctrl-C. Records: `sekisho audit tail`. Who holds what: `sekisho grant list`.");
    Ok(())
}

/// Returns the link with which the owner sets a password, or `None` if the owner has one.
async fn owner_link(instance: &Instance, data: &DataDir, owner: &str) -> Result<Option<String>, CommandError> {
    let users = match perform(&instance.store, data, Command::UserList).await? {
        Outcome::Users { users } => users,
        other => return Err(super::unexpected(&other)),
    };
    let owners: Vec<_> = users.iter().filter(|user| user.role.owns() && !user.disabled).collect();
    let command = match owners.first() {
        None => Command::UserAdd { name: owner.to_owned(), role: Role::Owner, password: None },
        Some(owner) if owners.iter().all(|owner| !owner.password) => Command::UserLink { name: owner.name.clone() },
        Some(_) => return Ok(None),
    };
    match perform(&instance.store, data, command).await? {
        Outcome::Link { token, .. } => Ok(Some(format!("{}/setup/{token}", instance.base_url))),
        other => Err(super::unexpected(&other)),
    }
}

/// Hands the server over to the instance that uses the data directory.
async fn hand_over(common: &Common, data: &DataDir, server: ServerAdd) -> Result<(), CommandError> {
    let name = server.name.clone();
    control::act_in(data, Command::ServerAdd(server)).await?;
    let base = match control::act_in(data, Command::BaseUrlShow).await? {
        Outcome::BaseUrl { url: Some(url) } => url,
        other => return Err(super::unexpected(&other)),
    };
    let url = format!("{base}/mcp/{name}");
    if common.json {
        return super::print_json(
            &serde_json::json!({ "ready": true, "handed_over": true, "base_url": base, "servers": [{ "name": name, "url": url }] }),
        );
    }
    say_lines!("The running instance protects it now:\n  {name:<20} {url}");
    print_connect_lines(&name, &url);
    say_lines!("\nRemove it with `sekisho server remove {name}`.");
    Ok(())
}

async fn perform(store: &sekisho_store::Store, data: &DataDir, command: Command) -> Result<Outcome, CommandError> {
    let clock = os::SystemClock;
    control::perform_here(store, data.node(&clock)?, &clock, command).await
}

/// Makes the definition of a server and its sealed values from the arguments.
fn definition(arguments: &RunArguments) -> Result<ServerAdd, CommandError> {
    let mut secrets = Vec::new();
    for given in &arguments.environment {
        let (name, value) = match given.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => (
                given.as_str(),
                os::variable(given).ok_or_else(|| {
                    CommandError::usage(
                        format!("`{given}` is not set here"),
                        format!("set it, or write --env {given}=VALUE"),
                    )
                })?,
            ),
        };
        secrets.push((format!("env:{name}"), value));
    }
    for name in &arguments.secrets {
        secrets.push((format!("env:{name}"), ask(name)?));
    }
    for name in &arguments.secret_headers {
        secrets.push((format!("header:{name}"), ask(name)?));
    }
    let directory = std::env::current_dir().ok().filter(|_| !arguments.command.is_empty());
    let definition = ServerDefinition {
        builtin: arguments.builtin,
        call_seconds: arguments.call_seconds,
        start_seconds: arguments.start_seconds,
        command: arguments.command.clone(),
        directory,
        url: arguments.http.clone(),
        ..ServerDefinition::default()
    };
    if let Some(problem) = check_server(&definition).into_iter().find(|problem| problem.fatal) {
        return Err(CommandError::usage(problem.message, problem.help.unwrap_or_default()));
    }
    let name = arguments.name.clone().map_or_else(|| default_name(arguments), Ok)?;
    let text = serde_json::to_string(&definition)
        .map_err(|error| CommandError::usage(error.to_string(), "use text in arguments"))?;
    Ok(ServerAdd { name, definition: text, secrets })
}

/// Returns the environment variable of this name if it is set; otherwise asks for the secret.
fn ask(name: &str) -> Result<String, CommandError> {
    if let Some(value) = os::variable(name) {
        return Ok(value);
    }
    let prompt = format!("{name} (kept sealed, shown to the server only):");
    inquire::Password::new(&prompt).without_confirmation().prompt().map_err(|error| {
        CommandError::usage(
            format!("no value for `{name}`: {error}"),
            format!("run it in a terminal, or set the variable {name}"),
        )
    })
}

/// Programs that start other programs, so their own name says nothing about the server.
const LAUNCHERS: [&str; 16] = [
    "npx", "uvx", "uv", "run", "node", "python", "python3", "bunx", "deno", "tool", "exec", "dlx", "pnpm", "yarn",
    "npm", "cargo",
];
/// Names of folders and files that say nothing about their content.
const GENERIC: [&str; 13] =
    ["app", "bin", "build", "cli", "dist", "index", "lib", "main", "mod", "out", "server", "src", "target"];

/// Returns a name for the server: from host and port of its URL, or from the last word of its program that is not an
/// option, without scope, folder and ending.
fn default_name(arguments: &RunArguments) -> Result<ServerName, CommandError> {
    if arguments.builtin {
        return named("sekisho");
    }
    if let Some(url) = &arguments.http {
        return named(&name_of_url(url));
    }
    let word = arguments.command.iter().find(|word| {
        let base = word.rsplit('/').next().unwrap_or(word);
        !word.starts_with('-') && !LAUNCHERS.contains(&base)
    });
    let word = word.or(arguments.command.first()).map(String::as_str).unwrap_or_default();
    // `…/server-everything/dist/index.js` is named after the folder with a telling name.
    let stems = word.rsplit('/').map(|part| {
        let name = part.split_once('@').map_or(part, |(name, _)| name);
        ["js", "mjs", "cjs", "py", "ts"]
            .iter()
            .find_map(|ending| name.strip_suffix(&format!(".{ending}")))
            .unwrap_or(name)
    });
    let stem = stems.clone().find(|stem| !stem.is_empty() && !GENERIC.contains(stem));
    named(stem.or_else(|| stems.clone().next()).unwrap_or_default())
}

/// Returns a name of host and port, because several servers on one machine differ only in the port.
fn name_of_url(url: &str) -> String {
    let Ok(url) = url::Url::parse(url) else { return String::new() };
    let port = url.port().map_or_else(String::new, |port| format!("-{port}"));
    let host = url.host_str().unwrap_or_default();
    match url.host() {
        _ if is_loopback_host(host) => format!("localhost{port}"),
        Some(url::Host::Domain(domain)) => format!("{domain}{port}"),
        _ => format!("server-{host}{port}"),
    }
}

fn named(text: &str) -> Result<ServerName, CommandError> {
    let plain: String = text
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .collect();
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    let plain = words.join("-");
    let plain: String = plain.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit()).chars().take(63).collect();
    plain
        .trim_end_matches('-')
        .parse()
        .map_err(|_| CommandError::usage(format!("no name can be made from `{text}`"), "give one with --name NAME"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::default_name;
    use crate::cli::{Cli, Command};

    #[test]
    fn a_server_is_named_after_its_program() {
        for (words, expected) in [
            ("-- npx -y @modelcontextprotocol/server-everything", "server-everything"),
            ("-- npx -y @modelcontextprotocol/server-filesystem@1.2 /tmp", "server-filesystem"),
            ("-- uvx mcp-server-git --repository .", "mcp-server-git"),
            ("-- /usr/bin/python3 /opt/My_Server.py", "my-server"),
            ("-- ./notes", "notes"),
            ("-- node /opt/server-everything/dist/index.js stdio", "server-everything"),
            ("--http http://127.0.0.1:3000/mcp --name kept", "kept"),
            ("--http https://api.example.com/mcp", "api-example-com"),
            ("--http https://api.example.com:8443/mcp", "api-example-com-8443"),
            ("--http http://127.0.0.1:3000/mcp", "localhost-3000"),
            ("--http http://localhost:3001/mcp", "localhost-3001"),
            ("--http http://[::1]:3000/mcp", "localhost-3000"),
            ("--http http://10.0.0.5:3000/mcp", "server-10-0-0-5-3000"),
            ("--http http://[2001:db8::1]/mcp", "server-2001-db8-1"),
            ("-- ./server2", "server2"),
            ("--builtin", "sekisho"),
        ] {
            let cli = Cli::try_parse_from(["sekisho", "run"].into_iter().chain(words.split(' '))).unwrap();
            let Command::Run(arguments) = cli.command else { panic!("{words}") };
            let name = arguments.name.clone().unwrap_or_else(|| default_name(&arguments).unwrap());
            assert_eq!(name.as_str(), expected, "{words}");
        }
    }
}
