//! `sekisho login`, `logout`, `whoami`, `token`, `forget`

use std::sync::Arc;

use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE};
use sekisho_client::http::{Destination, Request};
use sekisho_client::login::{Login, LoginError};
use sekisho_client::session::{Session, SessionError};
use sekisho_client::token::Tokens;
use sekisho_client::token_store::Pin;
use sekisho_protocol::env::{Clock as _, Timestamp};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::resource::ResourceId;
use serde_json::json;

use super::{print_json, print_table, visible};
use crate::cli::{Common, ForgetCommand, LoginArguments, ServerUrl};
use crate::error::CommandError;
use crate::os::SystemClock;
use crate::outside::{self, Need, Nobody, Terminal, failed};
use crate::telemetry;

/// Logs in to a server, and shows what was granted.
pub(crate) async fn login(common: &Common, arguments: &LoginArguments) -> Result<(), CommandError> {
    telemetry::start_quiet();
    let server = outside::server(&arguments.url)?;
    let instead = "there is neither a browser nor a terminal here: `--no-browser` prints the page's address and waits";
    let browser = Terminal { browser: !arguments.no_browser, paste: true, instead };
    let session = arguments.client.session(common, server.clone(), Arc::new(browser)).await?;
    outside::unless_stopped(session.login(), log_in(common, arguments, &session, server)).await
}

async fn log_in(
    common: &Common,
    arguments: &LoginArguments,
    session: &Session,
    server: ResourceId,
) -> Result<(), CommandError> {
    if let Some(login) = session.login().filter(|_| arguments.again) {
        let given_back = login.logout(&server).await;
        if let Ok(Some(Err(error))) | Err(error) = given_back {
            tell!("The old grant was not given back: {}", visible(&error.to_string()));
        }
        login.parts().store.forget_tokens(&server).map_err(|error| failed(&error))?;
    }
    // A real request: its challenge says where to log in, and then its answer shows that the server accepts the token.
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

/// Makes an `initialize` request, which every server understands and which changes nothing.
fn hello(server: &ResourceId) -> Request {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "sekisho", "version": env!("CARGO_PKG_VERSION") } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
    Request::new(Method::POST, Destination::given(server.as_str()), body.to_string().into())
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json, text/event-stream")
}

/// Revokes the grant at the server and forgets it here.
pub(crate) async fn logout(common: &Common, arguments: &ServerUrl) -> Result<(), CommandError> {
    telemetry::start_quiet();
    let server = outside::server(&arguments.url)?;
    let login = arguments.client.login(common, Arc::new(Nobody { instead: "logging out asks nobody" })).await?;
    let outcome = async { login.logout(&server).await.map_err(|error| failed(&error)) };
    match outside::unless_stopped(Some(&login), outcome).await? {
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
    let held = outside::store(common, Need::Read)?.all_tokens().map_err(|error| failed(&error))?;
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

/// Removes a pin, which nothing else in the program does.
pub(crate) fn forget(common: &Common, what: &ForgetCommand) -> Result<(), CommandError> {
    let store = outside::store(common, Need::Read)?;
    let (forgotten, told) = match what {
        ForgetCommand::Client { id } => {
            let client = ClientId::parse(id)
                .map_err(|error| CommandError::usage(format!("`{id}`: {error}"), "give it as it was given to you"))?;
            (store.unpin(Pin::Client(&client)), "may be used at another authorization server now")
        }
        ForgetCommand::Issuer { url } => {
            (store.unpin(Pin::Iss(url)), "does not have to send `iss` in its answers any more")
        }
        ForgetCommand::Redirect { path } => {
            (store.unpin(Pin::Redirect(path)), "may be used at another authorization server now")
        }
    };
    let name = match what {
        ForgetCommand::Client { id: name }
        | ForgetCommand::Issuer { url: name }
        | ForgetCommand::Redirect { path: name } => name,
    };
    if !forgotten.map_err(|error| failed(&error))? {
        return Err(CommandError::no(format!("nothing is remembered of `{name}`")));
    }
    say!("`{name}` {told}.");
    Ok(())
}

/// Prints an access token for a script, after renewing it if needed. Never opens a browser.
pub(crate) async fn token(common: &Common, arguments: &ServerUrl) -> Result<(), CommandError> {
    telemetry::start_quiet();
    let server = outside::server(&arguments.url)?;
    let nobody = Nobody { instead: "run `sekisho login URL` first" };
    let session = arguments.client.session(common, server.clone(), Arc::new(nobody)).await?;
    if let Some(login) = session.login().filter(|login| !login.asks_nobody()) {
        look(login, &server)?;
    }
    let not_in = || CommandError::no(format!("not logged in to `{server}`: run `sekisho login {server}`"));
    let entered = async {
        session.enter(None).await.map_err(|error| match error {
            SessionError::Login(LoginError::Visit(_)) => not_in(),
            other => failed(&other),
        })
    };
    let tokens = outside::unless_stopped(session.login(), entered).await?;
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

/// Fails at once, without a request, if there is no login whose token could be printed.
fn look(login: &Login, server: &ResourceId) -> Result<(), CommandError> {
    let held = login.held(server).map_err(|error| failed(&error))?;
    let now = login.parts().clock.now();
    let is_over = |tokens: &Tokens| tokens.refresh.is_none() && tokens.expires.is_some_and(|end| end <= now);
    if held.as_ref().is_some_and(|tokens| !is_over(tokens)) {
        return Ok(());
    }
    let is_visited = login.parts().store.is_visited(server).map_err(|error| failed(&error))?;
    Err(CommandError::no(if is_visited {
        format!(
            "a login to `{server}` has begun in another program and is not finished: finish it in the browser first"
        )
    } else if held.is_some() {
        format!("the login to `{server}` is over: run `sekisho login {server}`")
    } else {
        format!("not logged in to `{server}`: run `sekisho login {server}`")
    }))
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
