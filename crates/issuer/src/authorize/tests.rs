//! The table of checks: what is a page, what is an answer, what is a request that waits for a person.

use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::oauth_error::OauthErrorCode;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::{ClientAuthentication, ClientOrigin};
use sekisho_protocol::server::ServerDirectory;
use sekisho_protocol::task::TaskDefinition;
use sekisho_store::Pending;

use super::{AuthorizeError, Prompt, UnprovenError, begin, may_skip_consent};
use crate::IssuerSettings;
use crate::testing::{self, FILES, NOTES, REDIRECT, World, card, client};

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A good request with some parameters changed; an empty value leaves one out, `+` adds it once more.
fn query(changes: &[(&str, &str)]) -> String {
    let mut fields = BTreeMap::from([
        ("response_type", "code"),
        ("client_id", "client"),
        ("redirect_uri", REDIRECT),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("resource", NOTES),
        ("scope", "mcp:read"),
        ("state", "s"),
    ]);
    let mut more = Vec::new();
    for (name, value) in changes {
        match name.strip_prefix('+') {
            Some(name) => more.push((name, *value)),
            None if value.is_empty() => drop(fields.remove(name)),
            None => drop(fields.insert(name, value)),
        }
    }
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).extend_pairs(more).finish()
}

/// What became of a request.
#[derive(Debug, PartialEq)]
enum Became {
    /// A page, and nobody is sent anywhere.
    Page(&'static str),
    /// An answer to the client.
    Answer(OauthErrorCode),
    /// A pending request for these scopes.
    Pending(String),
}

async fn kept(world: &World, query: &str) -> Result<Pending, AuthorizeError> {
    let id = begin(&world.issuer, &world.visit(), query).await?;
    let mut tx = world.issuer.site.store.read().await.unwrap();
    Ok(tx.pendings().find(id).await.unwrap().unwrap())
}

async fn became(world: &World, query: &str) -> Became {
    match kept(world, query).await {
        Ok(pending) => Became::Pending(pending.scopes.to_string()),
        Err(AuthorizeError::Proven(refusal)) => {
            assert_eq!(refusal.redirect.as_str(), REDIRECT);
            Became::Answer(refusal.error.code())
        }
        Err(AuthorizeError::Unproven(error)) => Became::Page(match error {
            UnprovenError::Busy => "busy",
            UnprovenError::Client(_) | UnprovenError::ClientId => "client",
            UnprovenError::Internal(_) => "internal",
            UnprovenError::Malformed(_) => "malformed",
            UnprovenError::Redirect => "redirect",
            UnprovenError::Repeated(_) => "repeated",
        }),
    }
}

async fn check(cases: Vec<(Vec<(&str, &str)>, Became)>) {
    let world = World::new().await;
    world.client("client", |_| {}).await;
    world.client("disabled", |client| client.disabled = true).await;
    let mut refused = 0;
    for (changes, expected) in cases {
        let query = query(&changes);
        refused += usize::from(!matches!(expected, Became::Pending(_)));
        assert_eq!(became(&world, &query).await, expected, "{query}");
    }
    // Every refusal is on record.
    assert_eq!(world.recorded(ActKind::AuthorizationRefused).await, refused);
}

/// AS-09, AS-11, ATK-01, ATK-02, ATK-05, PX-07: whatever is wrong before the redirect is proven stays on a page of
/// ours.
#[tokio::test]
async fn nobody_is_sent_anywhere_before_the_redirect_is_proven() {
    let page = Became::Page;
    let mut cases = vec![
        (vec![("client_id", "")], page("client")),
        (vec![("client_id", "nobody")], page("client")),
        (vec![("client_id", "Client")], page("client")),
        (vec![("client_id", "client ")], page("client")),
        (vec![("client_id", "disabled")], page("client")),
        (vec![("client_id", "caf\u{e9}")], page("client")),
        (vec![("redirect_uri", "")], page("redirect")),
        // An error elsewhere does not change that.
        (vec![("redirect_uri", "https://evil.example/cb"), ("scope", "bogus"), ("prompt", "none")], page("redirect")),
        (vec![("redirect_uri", "https://evil.example/cb"), ("response_type", "token")], page("redirect")),
    ];
    let mutants = [
        "https://client.example/callback/",
        "https://client.example/Callback",
        "https://client.example/callback?x=1",
        "https://client.example/callback#f",
        "https://client.example/callback/../callback",
        "https://client.example//callback",
        "https://client.example/%63allback",
        "https://client.example:443/callback",
        "https://client.example:8443/callback",
        "https://CLIENT.example/callback",
        "https://client.example./callback",
        "https://client.example@evil.example/callback",
        "https://user@client.example/callback",
        "https://evil.example/https://client.example/callback",
        "https://client.example.evil.example/callback",
        "http://client.example/callback",
        "HTTPS://client.example/callback",
        "https:/client.example/callback",
        "https://client.example\\@evil.example/callback",
        "https://client.example/callback%00",
        "https://client.example/callback%0d%0aX: y",
        " https://client.example/callback",
        "javascript:alert(1)",
        "//client.example/callback",
        "/callback",
    ];
    cases.extend(mutants.into_iter().map(|mutant| (vec![("redirect_uri", mutant)], page("redirect"))));
    check(cases).await;
}

/// ATK-05: every parameter, doubled, is refused before anything else is read; only `resource` is left to be judged.
#[tokio::test]
async fn a_doubled_parameter_is_refused_on_a_page() {
    let names = [
        "+response_type",
        "+client_id",
        "+redirect_uri",
        "+code_challenge",
        "+code_challenge_method",
        "+scope",
        "+state",
    ];
    let mut cases: Vec<_> = names.into_iter().map(|name| (vec![(name, "code")], Became::Page("repeated"))).collect();
    cases.push((vec![("+unheard_of", "1"), ("+unheard_of", "2")], Became::Page("repeated")));
    cases.push((vec![("+resource", FILES)], Became::Answer(OauthErrorCode::InvalidTarget)));
    cases.push((vec![("+resource", NOTES)], Became::Answer(OauthErrorCode::InvalidTarget)));
    check(cases).await;
    let world = World::new().await;
    assert_eq!(became(&world, "client_id=%zz").await, Became::Page("malformed"));
    assert_eq!(became(&world, "client_id=%ff").await, Became::Page("malformed"));
}

/// AS-01, AS-06, AS-15, AS-16, AS-17, ATK-06, ATK-15, ATK-16, ATK-40: the checks behind the proven redirect.
#[tokio::test]
async fn a_request_is_judged_check_by_check() {
    let answer = Became::Answer;
    let pending = |scopes: &str| Became::Pending(scopes.to_owned());
    let [request, scope, target] =
        [OauthErrorCode::InvalidRequest, OauthErrorCode::InvalidScope, OauthErrorCode::InvalidTarget];
    let long = "s".repeat(4097);
    let kind = OauthErrorCode::UnsupportedResponseType;
    check(vec![
        (vec![], pending("mcp:read")),
        // What is wanted.
        (vec![("response_type", "")], answer(kind)),
        (vec![("response_type", "token")], answer(kind)),
        (vec![("response_type", "id_token")], answer(kind)),
        (vec![("response_type", "code token")], answer(kind)),
        (vec![("response_type", "CODE")], answer(kind)),
        (vec![("response_type", "none")], answer(kind)),
        (vec![("response_mode", "query")], pending("mcp:read")),
        (vec![("response_mode", "fragment")], answer(request)),
        (vec![("response_mode", "form_post")], answer(request)),
        (vec![("response_mode", "web_message")], answer(request)),
        (vec![("request", "eyJhbGciOiJub25lIn0.e30.")], answer(request)),
        (vec![("request_uri", "https://evil.example/r")], answer(request)),
        (vec![("state", "")], pending("mcp:read")),
        (vec![("state", &long)], answer(request)),
        // PKCE.
        (vec![("code_challenge", "")], answer(request)),
        (vec![("code_challenge_method", "")], answer(request)),
        (vec![("code_challenge", ""), ("code_challenge_method", "")], answer(request)),
        (vec![("code_challenge_method", "plain")], answer(request)),
        (vec![("code_challenge_method", "s256")], answer(request)),
        (vec![("code_challenge_method", "S256 ")], answer(request)),
        (vec![("code_challenge_method", "S512")], answer(request)),
        (vec![("code_challenge", "short")], answer(request)),
        (vec![("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=")], answer(request)),
        (vec![("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM")], answer(request)),
        // The server.
        (vec![("resource", "")], answer(target)),
        (vec![("resource", FILES)], pending("mcp:read")),
        (vec![("resource", "https://SEKISHO.example/mcp/notes")], pending("mcp:read")),
        (vec![("resource", "https://sekisho.example/mcp/notes/")], answer(target)),
        (vec![("resource", "https://sekisho.example/mcp/Notes")], answer(target)),
        (vec![("resource", "https://sekisho.example")], answer(target)),
        (vec![("resource", "https://other.example/mcp/notes")], answer(target)),
        (vec![("resource", "nonsense")], answer(target)),
        // Scopes.
        (vec![("scope", "")], pending("mcp:read mcp:write")),
        (vec![("scope", "bogus")], answer(scope)),
        // Clients made for OpenID providers ask every server for these words.
        (vec![("scope", "openid profile")], pending("mcp:read mcp:write")),
        (vec![("scope", "openid profile email address phone")], pending("mcp:read mcp:write")),
        (vec![("scope", "openid offline_access")], pending("mcp:read mcp:write offline_access")),
        (vec![("scope", "openid bogus")], answer(scope)),
        (vec![("scope", "OpenID")], answer(scope)),
        (vec![("scope", "mcp:read \"quoted\"")], answer(scope)),
        (vec![("scope", "openid mcp:read email")], pending("mcp:read")),
        (vec![("scope", "mcp:destructive tool:wipe")], pending("mcp:destructive tool:wipe")),
        (vec![("scope", "offline_access")], pending("mcp:read mcp:write offline_access")),
        (vec![("scope", "mcp:read offline_access")], pending("mcp:read offline_access")),
        // How the person may be asked.
        (vec![("prompt", "none")], answer(OauthErrorCode::InteractionRequired)),
        (vec![("prompt", "none login")], answer(request)),
        (vec![("prompt", "consent")], pending("mcp:read")),
        (vec![("prompt", "login select_account whatever")], pending("mcp:read")),
        (vec![("nonce", "n"), ("ui_locales", "ja"), ("unheard_of", "1")], pending("mcp:read")),
    ])
    .await;
}

/// RFC 9396 §2, §5: a task is kept as it was declared; what is none of this server's, or cannot be checked, is an answer.
#[tokio::test]
async fn a_declared_task_is_kept_as_it_was_declared() {
    let world = World::new().await;
    world.client("client", |_| {}).await;
    assert_eq!(kept(&world, &query(&[])).await.unwrap().task, None);
    let task = |more: &str| {
        format!(r#"[{{"type":"mcp_task","purpose":"tidy up","tools":[{{"name":"read_note"{more}}}],"calls":3}}]"#)
    };
    let details = task("");
    let kept = kept(&world, &query(&[("authorization_details", &details)])).await.unwrap().task.unwrap();
    let tools = [("read_note".to_owned(), None)].into();
    let declared = TaskDefinition { purpose: "tidy up".to_owned(), tools, calls: Some(3), ..TaskDefinition::default() };
    assert_eq!(kept, declared);
    let elsewhere = details.replace("\"calls\":3", "\"locations\":[\"https://sekisho.example/mcp/files\"]");
    let explosive = task(r##","arguments":{"$ref":"#"}"##);
    for bad in ["x", r#"[{"type":"payment"}]"#, elsewhere.as_str(), explosive.as_str()] {
        let became = became(&world, &query(&[("authorization_details", bad)])).await;
        assert_eq!(became, Became::Answer(OauthErrorCode::InvalidAuthorizationDetails), "{bad}");
    }
}

/// AS-15: one server is clear without being named; two are not.
#[tokio::test]
async fn the_only_server_need_not_be_named() {
    let world = World::new().await;
    world.client("client", |_| {}).await;
    world.servers.send_replace(Arc::new(ServerDirectory::new([card("notes", NOTES)])));
    let pending = kept(&world, &query(&[("resource", "")])).await.unwrap();
    assert_eq!((pending.server.as_str(), pending.resource.as_str()), ("notes", NOTES));
    world.servers.send_replace(Arc::new(ServerDirectory::default()));
    assert_eq!(became(&world, &query(&[("resource", "")])).await, Became::Answer(OauthErrorCode::InvalidTarget));
}

/// AS-10: the port of a loopback redirect is free, and the port that was used is kept to the letter.
#[tokio::test]
async fn a_loopback_redirect_may_use_any_port() {
    let world = World::new().await;
    let redirects = ["http://127.0.0.1/cb", "http://localhost:1/cb"].map(|uri| RedirectUri::parse(uri).unwrap());
    world.client("client", |client| client.redirect_uris = redirects.to_vec()).await;
    for used in ["http://127.0.0.1:51763/cb", "http://127.0.0.1/cb", "http://localhost:65535/cb", "http://localhost/cb"]
    {
        let pending = kept(&world, &query(&[("redirect_uri", used)])).await.unwrap();
        assert_eq!(pending.redirect_uri, used);
    }
    for bad in [
        "http://127.0.0.1:51763/cb/",
        "http://127.0.0.2:80/cb",
        "https://127.0.0.1:51763/cb",
        "http://[::1]:80/cb",
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:99999/cb",
    ] {
        let error = kept(&world, &query(&[("redirect_uri", bad)])).await.unwrap_err();
        assert!(matches!(error, AuthorizeError::Unproven(UnprovenError::Redirect)), "{bad}");
    }
}

/// A request can be repeated: each makes a pending request of its own that is bound to nobody.
#[tokio::test]
async fn each_request_waits_for_itself() {
    let world = World::new().await;
    world.client("client", |_| {}).await;
    let one = kept(&world, &query(&[])).await.unwrap();
    let two = kept(&world, &query(&[])).await.unwrap();
    assert_ne!(one.id, two.id);
    assert_eq!((one.browser, one.user, one.answered_at), (None, None, None));
}

/// ATK-04: only a client that an operator vouches for may be told by an automatic redirect.
#[tokio::test]
async fn a_refusal_says_whether_the_client_is_vouched_for() {
    let world = World::new().await;
    for (id, origin, vouched_for) in [("a", ClientOrigin::Registered, true), ("b", ClientOrigin::Dynamic, false)] {
        world.client(id, |client| client.origin = origin).await;
        match kept(&world, &query(&[("client_id", id), ("scope", "bogus")])).await {
            Err(AuthorizeError::Proven(refusal)) => assert_eq!(refusal.vouched_for, vouched_for, "{id}"),
            other => panic!("{other:?}"),
        }
    }
}

/// ATK-07, ATK-14, ATK-80: whose consent may be remembered at all.
#[test]
fn consent_is_remembered_only_for_clients_that_nobody_can_pose_as() {
    let with = |change: fn(&mut sekisho_protocol::registration::Client)| {
        let mut client = client("c");
        client.authentication = ClientAuthentication::ClientSecretBasic;
        change(&mut client);
        may_skip_consent(&client)
    };
    assert!(with(|_| {}));
    assert!(!with(|client| client.authentication = ClientAuthentication::None));
    assert!(!with(|client| client.origin = ClientOrigin::Dynamic));
    assert!(!with(|client| client.origin = ClientOrigin::MetadataDocument));
    assert!(!with(|client| client.redirect_uris.push(RedirectUri::parse("http://localhost/cb").unwrap())));
    assert!(!with(|client| client.redirect_uris.push(RedirectUri::parse("com.example.app:/cb").unwrap())));
}

#[test]
fn a_prompt_is_kept_as_it_was_understood() {
    for text in ["", "none", "login", "consent login", "consent select_account unknown"] {
        let prompt = Prompt::words(text);
        assert_eq!(Prompt::kept(&prompt.to_kept()), prompt, "{text}");
    }
}

/// ATK-24, ATK-29: one address can only ask so often.
#[tokio::test]
async fn too_many_requests_from_one_place_are_refused() {
    let settings = IssuerSettings { authorizations_per_minute: 5, ..IssuerSettings::default() };
    let world = World::with(settings, testing::ScriptedHttp::default()).await;
    world.client("client", |_| {}).await;
    let mut busy = 0;
    for _ in 0..10 {
        busy += usize::from(became(&world, &query(&[])).await == Became::Page("busy"));
    }
    assert_eq!(busy, 5);
}

/// RFC 6749 §4.1.2.1: a refusal gives back the `state` that came, unless it is longer than what is given back at all.
#[tokio::test]
async fn a_refusal_gives_back_the_state() {
    let world = World::new().await;
    world.client("client", |_| {}).await;
    let [longest, longer] = [4096, 4097].map(|bytes| "s".repeat(bytes));
    for (state, given_back) in
        [("", None), ("the state", Some("the state")), (&longest, Some(longest.as_str())), (&longer, None)]
    {
        match kept(&world, &query(&[("state", state), ("scope", "bogus")])).await {
            Err(AuthorizeError::Proven(refusal)) => assert_eq!(refusal.state.as_deref(), given_back),
            other => panic!("{other:?}"),
        }
    }
    let pending = kept(&world, &query(&[("state", &longest)])).await.unwrap();
    assert_eq!(pending.state, Some(longest));
}

/// ATK-01: a refusal is on record with why, and with the client as soon as it is named.
#[tokio::test]
async fn the_records_say_who_was_refused_and_why() {
    let world = World::new().await;
    world.client("client", |_| {}).await;
    let refusals = [
        (("client_id", ""), None, "`client_id` is missing or malformed"),
        (
            ("redirect_uri", "https://evil.example/cb"),
            Some("client"),
            "`redirect_uri` is missing, or is not one that the client registered",
        ),
        (("scope", "bogus"), Some("client"), "`scope` is malformed, or holds nothing that exists here"),
    ];
    let act = ActKind::AuthorizationRefused;
    let mut expected = Vec::new();
    for (change, named, why) in refusals {
        kept(&world, &query(&[change])).await.unwrap_err();
        let client = named.map(|id| id.parse().unwrap());
        expected.push(Act { client, detail: why.to_owned(), ..Act::new(Actor::Anonymous, act) });
    }
    assert_eq!(world.entries(act).await, expected);
}
