//! `sekisho login`, `logout`, `whoami`, `token`

use std::sync::Arc;

use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE};
use sekisho_client::http::{Destination, Request};
use sekisho_client::login::LoginError;
use sekisho_client::session::SessionError;
use sekisho_client::token::Tokens;
use sekisho_protocol::env::{Clock as _, Timestamp};
use sekisho_protocol::resource::ResourceId;
use serde_json::json;

use super::{print_json, print_table, visible};
use crate::cli::{Common, LoginArguments, ServerUrl};
use crate::error::CommandError;
use crate::os::SystemClock;
use crate::outside::{self, Nobody, Terminal, failed};
use crate::telemetry;

/// Logs in to a server, and shows what was granted.
pub(crate) async fn login(common: &Common, arguments: &LoginArguments) -> Result<(), CommandError> {
    telemetry::start_quiet();
    let server = outside::server(&arguments.url)?;
    let instead = "there is neither a browser nor a terminal here";
    let browser = Terminal { browser: !arguments.no_browser, paste: true, instead };
    let session = arguments.client.session(common, server.clone(), Arc::new(browser)).await?;
    if arguments.again
        && let Some(login) = session.login()
    {
        login.parts().store.forget_tokens(&server).map_err(|error| failed(&error))?;
    }
    // A real first request: its challenge says where to go, and afterwards it shows that the token is taken.
    let answer = session.open(&hello(&server), "initialize").await.map_err(|error| failed(&error))?;
    if session.issuer().is_none() {
        say_lines!("`{server}` asks for no login (status {}).", answer.status.as_u16());
        return Ok(());
    }
    let Some(tokens) = session.enter(None).await.map_err(|error| failed(&error))? else { return Ok(()) };
    let now = SystemClock.now();
    if common.json {
        return print_json(&shown(&server, &tokens));
    }
    say_lines!("Logged in to `{server}` at `{}`.", visible(&tokens.issuer));
    say_lines!("  granted  {}", granted(&tokens));
    say_lines!("  token    {}", life(&tokens, now));
    Ok(())
}

/// Introduces us: what every server understands, and what changes nothing.
fn hello(server: &ResourceId) -> Request {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "sekisho", "version": env!("CARGO_PKG_VERSION") } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
    Request::new(Method::POST, Destination::given(server.as_str()), body.to_string().into())
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json, text/event-stream")
}

/// Gives a grant back and forgets it.
pub(crate) async fn logout(common: &Common, arguments: &ServerUrl) -> Result<(), CommandError> {
    telemetry::start_quiet();
    let server = outside::server(&arguments.url)?;
    let login = arguments.client.login(common, Arc::new(Nobody { instead: "logging out asks nobody" })).await?;
    match login.logout(&server).await.map_err(|error| failed(&error))? {
        None => Err(CommandError::no(format!("not logged in to `{server}`"))),
        Some(Ok(())) => {
            say_lines!("Logged out of `{server}`; the grant was given back.");
            Ok(())
        }
        Some(Err(error)) => {
            say_lines!(
                "Logged out of `{server}`. Its authorization server did not take the grant back: {}",
                visible(&error.to_string())
            );
            Ok(())
        }
    }
}

/// Shows where this user's clients are logged in.
pub(crate) fn whoami(common: &Common) -> Result<(), CommandError> {
    let held = outside::store(common)?.all_tokens().map_err(|error| failed(&error))?;
    if common.json {
        return print_json(&held.iter().map(|(server, tokens)| shown(server, tokens)).collect::<Vec<_>>());
    }
    if held.is_empty() {
        return Err(CommandError::no("logged in nowhere: `sekisho login URL`"));
    }
    let now = SystemClock.now();
    let row = |(server, tokens): &(ResourceId, Tokens)| {
        vec![server.to_string(), tokens.issuer.clone(), granted(tokens), life(tokens, now)]
    };
    print_table(&["SERVER", "LOGGED IN AT", "GRANTED", "TOKEN"], &held.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

/// Prints a token for a script, renewed if it has to be; asks nobody.
pub(crate) async fn token(common: &Common, arguments: &ServerUrl) -> Result<(), CommandError> {
    telemetry::start_quiet();
    let server = outside::server(&arguments.url)?;
    let nobody = Nobody { instead: "run `sekisho login URL` first" };
    let session = arguments.client.session(common, server.clone(), Arc::new(nobody)).await?;
    let tokens = session.enter(None).await.map_err(|error| match error {
        SessionError::Login(LoginError::Visit(_)) => {
            CommandError::no(format!("not logged in to `{server}`: run `sekisho login {server}`"))
        }
        other => failed(&other),
    })?;
    let tokens = tokens
        .ok_or_else(|| CommandError::usage("a token that was given needs no printing", "leave --token-env out"))?;
    if tokens.dpop.is_some() {
        return Err(CommandError::no("this token is bound to a key that stays here: use `sekisho connect`"));
    }
    if common.json {
        let value =
            json!({ "access_token": tokens.access.expose(), "expires": tokens.expires.map(|at| at.to_string()) });
        return print_json(&value);
    }
    say_lines!("{}", tokens.access.expose());
    Ok(())
}

fn shown(server: &ResourceId, tokens: &Tokens) -> serde_json::Value {
    json!({ "server": server, "issuer": tokens.issuer, "scopes": tokens.scopes.as_ref().or(tokens.asked.as_ref()),
        "expires": tokens.expires.map(|at| at.to_string()), "renews_itself": tokens.refresh.is_some() })
}

fn granted(tokens: &Tokens) -> String {
    let scopes = tokens.scopes.as_ref().or(tokens.asked.as_ref());
    scopes.map_or_else(|| "what the server names".to_owned(), |scopes| visible(&scopes.to_string()))
}

fn life(tokens: &Tokens, now: Timestamp) -> String {
    let renews = if tokens.refresh.is_some() { ", renews itself" } else { "" };
    match tokens.expires {
        Some(end) if end <= now => format!("over{renews}"),
        Some(end) => format!("until {}{renews}", end.strftime("%Y-%m-%d %H:%M UTC")),
        None => format!("no end is known{renews}"),
    }
}
