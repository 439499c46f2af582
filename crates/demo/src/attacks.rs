//! Attacks from the MCP security best practices. Each succeeds at a proxy with a common mistake, and fails at the
//! checkpoint.

use axum::http::Method;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use sekisho_client::http::{Destination, HttpClient as _, Request, Response};
use sekisho_client::registration::{ApplicationType, RegistrationRequest, register};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::secret::AccessToken;
use serde_json::{Value, json};

use crate::checkpoint::{Checkpoint, Introduction, OWNER, READER};
use crate::failure::{Failure, failure};
use crate::person::{Landing, Person};
use crate::scene::Scene;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The attacker's redirect URI. Nothing listens there: the story reads the redirect itself.
const TRAP: &str = "https://mallory.example/callback";

/// The labels on the arrows of each attack.
const DEPUTY: &str = "MCP security best practices: confused deputy";
const PASSTHROUGH: &str = "MCP security best practices: token passthrough";
const HIJACK: &str = "MCP security best practices: session hijacking";

/// Confused deputy: a client uses the consent that was given to the proxy, and the person is never asked about that
/// client.
pub(crate) async fn confused_deputy(checkpoint: &Checkpoint, scene: &mut Scene) -> Result<(), Failure> {
    let naive = &checkpoint.naive.origin;
    let mut alice = Person::new(OWNER, &checkpoint.password);
    let honest = at_naive(checkpoint, "http://127.0.0.1:8765/callback").await?;
    let link = format!("{naive}/proxy/authorize?client_id={honest}&state=honest");
    alice.approve(&checkpoint.http, &link).await?;
    scene.arrows("Alice", "Naive proxy", "she agrees to the proxy, once", checkpoint.http.take());
    scene.step(
        "naive proxy: alice lets an honest client in",
        "302",
        "the third party remembers: she agreed to the proxy",
        true,
    );
    let mallory = at_naive(checkpoint, TRAP).await?;
    let link = format!("{naive}/proxy/authorize?client_id={mallory}&state=trap");
    let arrived = alice.open(&checkpoint.http, &link).await?;
    scene.arrows("Alice", "Naive proxy", DEPUTY, checkpoint.http.take());
    let code = match &arrived {
        Landing::Away(url) if url.starts_with(TRAP) => parameter(url, "code"),
        Landing::Away(_) | Landing::Page(_) => None,
    };
    scene.step(
        "  mallory registers, and alice opens mallory's link",
        "302",
        "no page in between: the code is mallory's",
        code.is_some(),
    );
    let code = code.unwrap_or_default();
    let token = Destination::given(format!("{naive}/proxy/token"));
    let redeemed = send(checkpoint, Request::post_form(token, [("code", code.as_str())])).await?;
    let token = text_of(&redeemed, "/access_token");
    let read = call(checkpoint, &format!("{naive}/proxy/mcp"), Some(&token), None, "tools/call").await?;
    scene.arrows("Mallory", "Naive proxy", DEPUTY, checkpoint.http.take());
    scene.step(
        "  mallory calls as alice",
        &status(&read),
        &format!("“{}”", text_of(&read, "/result/content/0/text")),
        read.status.is_success(),
    );

    let Introduction { server, scopes, .. } = checkpoint.introduce(&checkpoint.notes).await?;
    let registration = register(&checkpoint.http, &server, &helper()?).await.map_err(failure)?;
    let request = checkpoint.invite_to(&server, &registration, &checkpoint.notes, scopes.as_ref(), TRAP)?;
    scene.arrows("Mallory", "Checkpoint", "RFC 7591: anybody may register", checkpoint.http.take());
    let mut alice = Person::new(OWNER, &checkpoint.password);
    checkpoint.log_in(&mut alice).await?;
    scene.arrows("Alice", "Checkpoint", "she logs in, for an agent of her own", checkpoint.http.take());
    let arrived = alice.open(&checkpoint.http, request.url()).await?;
    scene.arrows("Alice", "Checkpoint", DEPUTY, checkpoint.http.take());
    let (asked, names) = match &arrived {
        Landing::Page(page) => (true, page.contains("mallory.example")),
        Landing::Away(_) => (false, false),
    };
    scene.step(
        "checkpoint: alice, logged in, opens mallory's link",
        "200",
        "a page asks her, and nothing goes to mallory",
        asked,
    );
    scene.step(
        "  … which names where the answer would go",
        if names { "yes" } else { "no" },
        "mallory.example, unverified",
        names,
    );
    Ok(())
}

/// The registration that mallory sends.
fn helper() -> Result<RegistrationRequest, Failure> {
    Ok(RegistrationRequest {
        client_name: "Mallory's helper".to_owned(),
        redirect_uris: vec![RedirectUri::parse(TRAP).map_err(failure)?],
        application_type: ApplicationType::Web,
        scope: None,
    })
}

/// Token passthrough: a server gets its caller's token, and uses it elsewhere.
pub(crate) async fn token_passthrough(checkpoint: &Checkpoint, scene: &mut Scene) -> Result<(), Failure> {
    let naive = &checkpoint.naive.origin;
    let token = a_token(checkpoint).await?;
    checkpoint.http.take();
    checkpoint.naive.take_shown();
    let good = call(checkpoint, &format!("{naive}/proxy/mcp"), Some(&token), None, "tools/call").await?;
    scene.arrows("Agent", "Naive proxy", PASSTHROUGH, checkpoint.http.take());
    let shown = checkpoint.naive.take_shown();
    let stolen = shown.as_deref().and_then(|shown| shown.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
    scene.step(
        "naive proxy: alice's agent calls a server",
        &status(&good),
        "the proxy passes her token on",
        stolen == token,
    );
    let mail = call(checkpoint, &format!("{naive}/mail/mcp"), Some(&stolen), None, "tools/call").await?;
    scene.arrows("Server", "Mail server", PASSTHROUGH, checkpoint.http.take());
    scene.step(
        "  that server uses it at the mail server",
        &status(&mail),
        &format!("“{}”", text_of(&mail, "/result/content/0/text")),
        mail.status.is_success(),
    );

    let visitor = checkpoint.visitor(OWNER, &checkpoint.relay, "mcp:read").await?;
    let access = visitor.tokens.access.expose().to_owned();
    let session = begin(checkpoint, &checkpoint.relay, &access).await?;
    let good = call(checkpoint, checkpoint.relay.as_str(), Some(&access), Some(&session), "tools/call").await?;
    scene.arrows("Agent", "Checkpoint", PASSTHROUGH, checkpoint.http.take());
    let shown = checkpoint.naive.take_shown();
    scene.step(
        "checkpoint: alice's agent calls the same server",
        &status(&good),
        "her token ends at the checkpoint",
        good.status.is_success(),
    );
    scene.step("  … what the server was shown", "-", "no Authorization at all", shown.is_none());
    let other = call(checkpoint, checkpoint.notes.as_str(), Some(&access), None, "tools/call").await?;
    scene.arrows("Server", "Checkpoint", "RFC 8707 §2: the audience", checkpoint.http.take());
    scene.step(
        "  … and if it had it: shown at the notes",
        &status(&other),
        "its audience is another server",
        other.status.as_u16() == 401,
    );
    Ok(())
}

/// Session hijacking: whoever has a session id is taken for its user.
pub(crate) async fn session_hijack(checkpoint: &Checkpoint, scene: &mut Scene) -> Result<(), Failure> {
    let naive = format!("{}/proxy/mcp", checkpoint.naive.origin);
    let token = a_token(checkpoint).await?;
    checkpoint.http.take();
    let begun = call(checkpoint, &naive, Some(&token), None, "initialize").await?;
    let session = header(&begun);
    scene.arrows("Agent", "Naive proxy", "MCP transports: session management", checkpoint.http.take());
    scene.step(
        "naive proxy: alice's agent begins a session",
        &status(&begun),
        &format!("Mcp-Session-Id: {session}"),
        !session.is_empty(),
    );
    let taken = call(checkpoint, &naive, None, Some(&session), "tools/call").await?;
    scene.arrows("Mallory", "Naive proxy", HIJACK, checkpoint.http.take());
    scene.step(
        "  mallory guesses it, and calls without a token",
        &status(&taken),
        &format!("“{}”", text_of(&taken, "/result/content/0/text")),
        taken.status.is_success(),
    );

    let visitor = checkpoint.visitor(OWNER, &checkpoint.relay, "mcp:read").await?;
    let other = checkpoint.visitor(READER, &checkpoint.relay, "mcp:read").await?;
    let session = begin(checkpoint, &checkpoint.relay, visitor.tokens.access.expose()).await?;
    scene.arrows("Agent", "Checkpoint", "MCP transports: session management", checkpoint.http.take());
    let long = session.len() >= 32 && session.parse::<u64>().is_err();
    scene.step("checkpoint: alice's agent begins a session", "200", "its id is chance, and long", long);
    let without = call(checkpoint, checkpoint.relay.as_str(), None, Some(&session), "tools/call").await?;
    scene.step(
        "  mallory has the id, and no token",
        &status(&without),
        "a session is no authority",
        without.status.as_u16() == 401,
    );
    let bob = other.tokens.access.expose().to_owned();
    let with = call(checkpoint, checkpoint.relay.as_str(), Some(&bob), Some(&session), "tools/call").await?;
    scene.arrows("Mallory", "Checkpoint", HIJACK, checkpoint.http.take());
    scene.step(
        "  bob has the id, and a token of his own",
        &status(&with),
        "for him there is no such session",
        with.status.as_u16() == 404,
    );
    Ok(())
}

/// Registers a client at the naive proxy.
async fn at_naive(checkpoint: &Checkpoint, redirect: &str) -> Result<String, Failure> {
    let wish = json!({ "redirect_uris": [redirect] });
    let register = Destination::given(format!("{}/proxy/register", checkpoint.naive.origin));
    let answer = send(checkpoint, Request::post_json(register, &wish)).await?;
    Ok(text_of(&answer, "/client_id"))
}

/// Gets a token of the naive proxy, issued to an honest client.
async fn a_token(checkpoint: &Checkpoint) -> Result<String, Failure> {
    let naive = &checkpoint.naive.origin;
    let client = at_naive(checkpoint, "http://127.0.0.1:8765/callback").await?;
    let mut alice = Person::new(OWNER, &checkpoint.password);
    let link = format!("{naive}/proxy/authorize?client_id={client}&state=s");
    let redirected = alice.approve(&checkpoint.http, &link).await?;
    let code = parameter(&redirected, "code").unwrap_or_default();
    let token = Destination::given(format!("{naive}/proxy/token"));
    let redeemed = send(checkpoint, Request::post_form(token, [("code", code.as_str())])).await?;
    Ok(text_of(&redeemed, "/access_token"))
}

/// Begins a session of 2025-11-25. Returns its id.
async fn begin(checkpoint: &Checkpoint, at: &ResourceId, token: &str) -> Result<String, Failure> {
    let begun = call(checkpoint, at.as_str(), Some(token), None, "initialize").await?;
    let session = header(&begun);
    call(checkpoint, at.as_str(), Some(token), Some(&session), "notifications/initialized").await?;
    Ok(session)
}

async fn call(
    checkpoint: &Checkpoint,
    url: &str,
    token: Option<&str>,
    session: Option<&str>,
    method: &str,
) -> Result<Response, Failure> {
    let params = match method {
        "initialize" => {
            json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "demo", "version": "1" } })
        }
        "tools/call" => json!({ "name": "lookup", "arguments": {} }),
        _ => json!({}),
    };
    let mut body = json!({ "jsonrpc": "2.0", "method": method, "params": params });
    if let (false, Some(members)) = (method.starts_with("notifications/"), body.as_object_mut()) {
        members.insert("id".to_owned(), json!(1));
    }
    let mut request = Request::new(Method::POST, Destination::given(url), body.to_string().into())
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json, text/event-stream");
    if let Some(token) = token {
        request = request.bearer(&AccessToken::from_outside(token));
    }
    if let Some(session) = session {
        request =
            request.header(SESSION, session).header(HeaderName::from_static("mcp-protocol-version"), "2025-11-25");
    }
    send(checkpoint, request).await
}

async fn send(checkpoint: &Checkpoint, request: Request) -> Result<Response, Failure> {
    checkpoint.http.send(request).await.map_err(failure)
}

fn status(response: &Response) -> String {
    response.status.as_u16().to_string()
}

fn header(response: &Response) -> String {
    response.headers.get(SESSION).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Returns a text from a response in JSON, or from the first event of a stream.
fn text_of(response: &Response, pointer: &str) -> String {
    let body = String::from_utf8_lossy(&response.body);
    let line = body.lines().find_map(|line| line.strip_prefix("data:")).unwrap_or(&body);
    let value: Value = serde_json::from_str(line.trim()).unwrap_or_default();
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn parameter(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}
