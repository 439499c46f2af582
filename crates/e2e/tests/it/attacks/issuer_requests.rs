//! Authorization requests that are manipulated.

use std::collections::BTreeSet;

use sekisho_e2e::fakes::browser::{Browser, Landing};
use sekisho_e2e::fakes::oauth::{CHALLENGE, Client, Parameters, REDIRECT, VERIFIER, answer_in, code_in};
use sekisho_e2e::fakes::wire::{Ask, Reply};
use serde_json::json;

use super::field::{Field, OWNER, PASSWORD, UP};

async fn authorize(field: &Field, wish: &Parameters) -> Reply {
    field.ask(&Ask::get(&format!("/oauth/authorize?{}", wish.text()))).await
}

/// Checks for a refusal before the redirect URI is verified: a page of ours, without a redirect.
fn is_local_refusal(reply: &Reply, what: &str) {
    assert!((400..500).contains(&reply.status), "{what}: {}", reply.status);
    assert_eq!(reply.header("location"), None, "{what}");
    assert!(!reply.text().contains("code="), "{what}");
}

/// Whether a request was accepted: the browser is redirected to our consent page.
fn is_accepted(reply: &Reply) -> bool {
    reply.status == 303 && reply.header("location").is_some_and(|to| to.contains("/consent/"))
}

/// ATK-01, AS-09: a foreign redirect URI leads to an error page of ours, before any consent page or redirect.
#[tokio::test]
async fn a_foreign_redirect_is_refused_on_a_page_of_ours() {
    let field = Field::start().await;
    let client = field.client().await;
    let wish = client.wish(&field.resource(UP), "mcp:read");
    for foreign in [
        "https://m.test/cb",
        "https://m.test/cb?code=1",
        "http://127.0.0.1:9/other",
        "",
        "callback",
        "//m.test/callback",
    ] {
        let reply = authorize(&field, &wish.clone().set("redirect_uri", foreign)).await;
        is_local_refusal(&reply, foreign);
        assert_eq!(field.record_of(&reply).await["act"], "authorization_refused", "{foreign}");
    }
    let unknown = authorize(&field, &wish.clone().set("client_id", "nobody")).await;
    is_local_refusal(&unknown, "unknown client");
    assert!(is_accepted(&authorize(&field, &wish).await));
    field.lets_in().await;
}

/// Returns spellings that a careless comparison takes for `uri`.
fn mutants(uri: &str) -> BTreeSet<String> {
    let (scheme, rest) = uri.split_once("://").unwrap();
    let (authority, path) = rest.split_at(rest.find('/').unwrap());
    let host = authority.split(':').next().unwrap();
    let mut found: BTreeSet<String> = [
        format!("{scheme}://{authority}@m.test{path}"),
        format!("{scheme}://m.test@{authority}{path}"),
        format!("{scheme}://x:y@{authority}{path}"),
        format!("{scheme}://{authority}.m.test{path}"),
        format!("{scheme}://m.test{path}"),
        format!("{scheme}://m.test/{authority}{path}"),
        format!("{scheme}://{host}.{path}"),
        format!("{scheme}://{authority}.{path}"),
        format!("{}://{authority}{path}", scheme.to_uppercase()),
        format!("{scheme}://{}{}", authority.to_uppercase(), path.to_uppercase()),
        format!("{scheme}://{authority}{}", path.to_uppercase()),
        format!("{scheme}:{authority}{path}"),
        format!("{scheme}:/{authority}{path}"),
        format!("{scheme}:///{authority}{path}"),
        format!("//{authority}{path}"),
        format!("{scheme}:\\\\{authority}{path}"),
        format!("{scheme}://{authority}\\@m.test{path}"),
        format!("{scheme}://{authority}\\.m.test{path}"),
        format!("{scheme}://{authority}:443{path}"),
        format!("{scheme}://{authority}:80{path}"),
        format!("{scheme}://{authority}:{path}"),
        format!("{scheme}://{host}:0{path}"),
        format!("{scheme}://{host}:65536{path}"),
        format!("{scheme}://{host}:-1{path}"),
        format!("{scheme}://{host}:1a{path}"),
        format!("{scheme}://{host}:+1{path}"),
        format!("{scheme}://{host}:01{path}"),
        format!("{scheme}://{host}: 1{path}"),
        path.to_owned(),
        String::new(),
        format!("javascript:{uri}"),
        format!("data:text/html,{uri}"),
        format!("{scheme}s://{authority}{path}"),
        format!("ftp://{authority}{path}"),
        format!("{scheme}://ⓛocalhost{path}"),
        format!("{scheme}://xn--{authority}{path}"),
        format!("{scheme}://[::ffff:127.0.0.1]{path}"),
        format!("{scheme}://2130706433{path}"),
        format!("{scheme}://0x7f.1{path}"),
        format!("{scheme}://0{path}"),
        format!("{scheme}://127.1{path}"),
    ]
    .into();
    let insertions = [
        "/", "//", "/.", "/..", "/./", "/../", "/%2e", "/%2e%2e/", "/x", "x", ".", "?", "?x=1", "?code=1", "&x=1", "#",
        "#x", "%00", "%0d%0a", "%20", " ", "\t", "%23", "%3f", "%2f", "%5c", "\\", "*", ";", ";x=1", "%", "%zz", "%41",
        "\u{2044}", "\u{3002}", "\u{ff0f}", "\u{200b}", "ſ", "K", "@", ":", "@m.test", "..;/", "~", "+", "=", "|",
    ];
    for insertion in insertions {
        found.insert(format!("{uri}{insertion}"));
        found.insert(format!("{insertion}{uri}"));
        found.insert(format!("{scheme}://{authority}{insertion}{path}"));
        found.insert(format!("{scheme}://{insertion}{authority}{path}"));
        for at in [1, path.len() / 2, path.len() - 1] {
            let (left, right) = path.split_at(at);
            found.insert(format!("{scheme}://{authority}{left}{insertion}{right}"));
        }
    }
    for (at, byte) in path.char_indices().filter(|(_, byte)| byte.is_ascii_alphanumeric()) {
        let (left, right) = (&path[..at], &path[at + 1..]);
        found.insert(format!("{scheme}://{authority}{left}%{:02x}{right}", byte as u32));
        found.insert(format!("{scheme}://{authority}{left}{right}"));
        found.insert(format!("{scheme}://{authority}{left}{}{right}", byte.to_ascii_uppercase()));
    }
    found.remove(uri);
    found
}

/// Sends every mutant. The authorization requests of one address are bounded, so every URI gets its own checkpoint.
async fn refuses_mutants_of(uri: &str) {
    let field = Field::start().await;
    let client = Client::register(field.base_url(), "One", uri).await;
    let wish = client.wish(&field.resource(UP), "mcp:read");
    let all = mutants(uri);
    assert!((300..595).contains(&all.len()), "{} mutants", all.len());
    for mutant in &all {
        let reply = authorize(&field, &wish.clone().set("redirect_uri", mutant)).await;
        assert_ne!(reply.status, 429, "the budget must not be what refuses");
        let port_alone = mutant
            .strip_prefix("http://127.0.0.1")
            .and_then(|rest| rest.strip_suffix("/callback"))
            .is_some_and(|port| {
                port.is_empty()
                    || port.strip_prefix(':').is_some_and(|port| {
                        port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port)
                    })
            });
        if uri != REDIRECT || !port_alone {
            is_local_refusal(&reply, mutant);
        }
    }
    assert!(is_accepted(&authorize(&field, &wish).await), "the registered one is accepted");
}

/// ATK-02, AS-09: a redirect URI must equal the registered one byte for byte.
#[tokio::test]
async fn only_the_exact_redirect_is_accepted() {
    refuses_mutants_of("https://app.example/callback").await;
}

/// ATK-02, AS-09, AS-10: for a loopback redirect URI, only the port may differ.
#[tokio::test]
async fn a_loopback_redirect_is_exact_but_for_its_port() {
    refuses_mutants_of(REDIRECT).await;
}

/// ATK-02, AS-10: the port of a loopback redirect URI may differ.
#[tokio::test]
async fn the_port_of_a_loopback_redirect_is_the_clients_to_choose() {
    let field = Field::start().await;
    let client = field.client().await;
    let wish = client.wish(&field.resource(UP), "mcp:read");
    for good in
        [REDIRECT, "http://127.0.0.1:49152/callback", "http://127.0.0.1:1/callback", "http://127.0.0.1/callback"]
    {
        assert!(is_accepted(&authorize(&field, &wish.clone().set("redirect_uri", good)).await), "{good}");
    }
    for bad in [
        "http://localhost:9/callback",
        "http://[::1]:9/callback",
        "http://127.0.0.2:9/callback",
        "https://127.0.0.1:9/callback",
    ] {
        is_local_refusal(&authorize(&field, &wish.clone().set("redirect_uri", bad)).await, bad);
    }
    field.lets_in().await;
}

/// ATK-04, AS-11: an error never redirects to a client that the operator did not register.
#[tokio::test]
async fn an_error_does_not_bounce_anybody_to_a_stranger() {
    let field = Field::start().await;
    let client = Client::register(field.base_url(), "Prize", "https://phish.example/cb").await;
    let wish = client.wish(&field.resource(UP), "mcp:read");
    for bent in [
        wish.clone().set("scope", "bogus"),
        wish.clone().set("scope", "\"bad\""),
        wish.clone().set("prompt", "none"),
        wish.clone().set("response_type", "token"),
        wish.clone().set("resource", "https://elsewhere.example/mcp"),
        wish.clone().without("code_challenge"),
    ] {
        let reply = authorize(&field, &bent).await;
        assert_eq!(reply.header("location"), None, "{bent:?}");
        assert!(!reply.text().contains("http-equiv"), "no navigation without a person");
        assert_eq!(field.record_of(&reply).await["act"], "authorization_refused");
    }
    field.lets_in().await;
}

/// ATK-05: a parameter that occurs twice is refused, wherever it is.
#[tokio::test]
async fn a_repeated_parameter_is_refused_everywhere() {
    let field = Field::start().await;
    let client = field.client().await;
    let wish = client.wish(&field.resource(UP), "mcp:read");
    for (name, value) in &wish.0 {
        for second in [value.as_str(), "other"] {
            let reply = authorize(&field, &wish.clone().add(name, second)).await;
            if name == "resource" && second == value {
                continue;
            }
            assert!(!is_accepted(&reply) && reply.header("location").is_none(), "{name} twice: {}", reply.status);
            assert!((400..500).contains(&reply.status), "{name} twice: {}", reply.status);
        }
    }
    let code = client.code(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    let redemption = client.redemption(&code);
    for (name, value) in &redemption.0 {
        for second in [value.as_str(), "other"] {
            let reply = client.token(&redemption.clone().add(name, second)).await;
            assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some("invalid_request")), "{name} twice");
        }
    }
    // A POST takes its parameters only from the body.
    let both = field.ask(&redemption.post(&format!("/oauth/token?{}", redemption.text()))).await;
    assert_eq!((both.status, both.json()["error"].as_str()), (400, Some("invalid_request")));
    let revocation = Parameters(vec![
        ("token".into(), "x".into()),
        ("token".into(), "y".into()),
        ("client_id".into(), client.id.clone()),
    ]);
    assert_eq!(field.ask(&revocation.post("/oauth/revoke")).await.status, 400);
    let granted = client.granted(&client.token(&redemption).await);
    field.is_healthy(&granted).await;
}

/// ATK-05: a redirect URI whose query contains a parameter of answers cannot be registered.
#[tokio::test]
async fn a_redirect_that_answers_itself_cannot_be_registered() {
    let field = Field::start().await;
    for name in ["code", "state", "iss", "error", "error_description", "co%64e"] {
        let metadata = json!({ "redirect_uris": [format!("https://app.example/cb?{name}=1")] });
        let reply = field.ask(&Ask::post("/oauth/register").json(&metadata)).await;
        assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some("invalid_redirect_uri")), "{name}");
    }
    field.noted("client_refused").await;
    field.lets_in().await;
}

/// ATK-06, ATK-46, ATK-45: only `code` is supported, only in the query; request objects and other response modes do not
/// exist.
#[tokio::test]
async fn only_a_code_in_the_query_can_be_asked_for() {
    let field = Field::start().await;
    let client = field.confidential("https://backend.example/cb").await;
    let wish = client.wish(&field.resource(UP), "mcp:read");
    let mut bent = Vec::new();
    for kind in [
        "token",
        "id_token",
        "code token",
        "code id_token",
        "code id_token token",
        "none",
        "CODE",
        "code code",
        "device_code",
    ] {
        bent.push(("unsupported_response_type", wish.clone().set("response_type", kind)));
    }
    bent.push(("unsupported_response_type", wish.clone().without("response_type")));
    for mode in ["fragment", "form_post", "query.jwt", "jwt", "web_message", "QUERY"] {
        bent.push(("invalid_request", wish.clone().set("response_mode", mode)));
    }
    bent.push(("invalid_request", wish.clone().set("request", "eyJhbGciOiJub25lIn0.e30.")));
    bent.push(("invalid_request", wish.clone().set("request_uri", "urn:ietf:params:oauth:request_uri:x")));
    for (error, wish) in bent {
        let reply = authorize(&field, &wish).await;
        // The operator registered this client, so it gets the error: in the query, with `iss`, and without a token.
        let to = reply.header("location").unwrap_or_else(|| panic!("{wish:?}: {} {}", reply.status, reply.text()));
        assert_eq!(answer_in(to, "error").as_deref(), Some(error), "{to}");
        assert_eq!(answer_in(to, "iss").as_deref(), Some(field.base_url()));
        assert!(!to.contains('#') && !to.contains("token=") && code_in(to).is_none(), "{to}");
    }
    field.noted("authorization_refused").await;
    field.lets_in().await;
}

/// ATK-06: an accepted request cannot be changed on the way: the pages' fields contain no part of it.
#[tokio::test]
async fn an_accepted_request_cannot_be_changed_on_the_way() {
    let field = Field::start().await;
    let client = field.client().await;
    let link = client.link(&client.wish(&field.resource(UP), "mcp:read"));
    let mut browser = Browser::new(field.base_url());
    let page = browser.to_grant_page(&link, OWNER, PASSWORD).await;
    let form = page.form().unwrap();
    let widened = form
        .clone()
        .press("approve")
        .fill("scope", "mcp:destructive")
        .fill("redirect_uri", "https://m.test/")
        .fill("response_mode", "fragment")
        .fill("client_id", "x")
        .fill("resource", "x");
    let Landing::Away(to) = browser.submit(&widened).await else { panic!("sent on") };
    assert!(to.starts_with(REDIRECT) && !to.contains('#'), "{to}");
    assert_eq!(code_in(&to), None, "what was ticked was never asked for, so nothing was granted: {to}");
    let again = browser.post(&form.press("approve")).await;
    assert!(
        again.status >= 400 && again.header("location").is_none(),
        "an answered request stays answered: {}",
        again.status
    );
    field.lets_in().await;
}

/// ATK-12, AS-18, RS-12, AS-03, AS-19: every answer to a client names its issuer, exactly as the metadata do.
#[tokio::test]
async fn every_answer_says_who_gives_it() {
    let field = Field::start().await;
    let metadata = field.ask(&Ask::get("/.well-known/oauth-authorization-server")).await.json();
    assert_eq!(metadata["issuer"], field.base_url());
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
    let client = field.client().await;
    let wish = client.wish(&field.resource(UP), "mcp:read");
    let mut browser = Browser::new(field.base_url());
    let page = browser.to_grant_page(&client.link(&wish), OWNER, PASSWORD).await;
    let Landing::Away(denied) = browser.submit(&page.form().unwrap().press("deny")).await else { panic!("sent back") };
    assert_eq!(answer_in(&denied, "error").as_deref(), Some("access_denied"));
    let Landing::Away(given) = browser.agree(&client.link(&wish), OWNER, PASSWORD).await else { panic!("sent back") };
    assert!(code_in(&given).is_some());
    for to in [denied, given] {
        assert_eq!(answer_in(&to, "iss").as_deref(), metadata["issuer"].as_str(), "{to}");
        assert_eq!(answer_in(&to, "state").as_deref(), Some("state-of-this-client"));
    }
    field.noted("consent_denied").await;
}

/// ATK-15, AS-06: a request without a challenge fails, and so does an exchange whose verifier is missing or wrong.
#[tokio::test]
async fn a_challenge_and_its_verifier_belong_together() {
    let field = Field::start().await;
    let public = field.client().await;
    let confidential = field.confidential("https://backend.example/cb").await;
    for client in [&public, &confidential] {
        let wish = client.wish(&field.resource(UP), "mcp:read");
        for challenge in [None, Some(""), Some("short"), Some(VERIFIER)] {
            let bent = match challenge {
                None => wish.clone().without("code_challenge"),
                Some(text) if text == VERIFIER => wish.clone().set("code_challenge_method", "plain"),
                Some(text) => wish.clone().set("code_challenge", text),
            };
            assert!(!is_accepted(&authorize(&field, &bent).await), "{challenge:?}");
        }
        for verifier in
            [None, Some(""), Some(CHALLENGE), Some("short"), Some(sekisho_e2e::fakes::oauth::OTHER_VERIFIER)]
        {
            let code = client.code(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
            let good = client.redemption(&code);
            let bent = match verifier {
                None => good.clone().without("code_verifier"),
                Some(text) => good.clone().set("code_verifier", text),
            };
            let reply = client.token(&bent).await;
            assert_eq!(
                (reply.status, reply.json()["error"].as_str()),
                (400, Some("invalid_grant")),
                "{verifier:?}: {}",
                reply.text()
            );
            assert_eq!(field.record_of(&reply).await["act"], "token_refused");
            client.granted(&client.token(&good).await);
        }
    }
}

/// ATK-16, AS-05: only `S256` is accepted, and nothing similar; the metadata say the same.
#[tokio::test]
async fn no_other_challenge_method_is_taken() {
    let field = Field::start().await;
    let metadata = field.ask(&Ask::get("/.well-known/oauth-authorization-server")).await.json();
    assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
    let client = field.client().await;
    let wish = client.wish(&field.resource(UP), "mcp:read");
    for method in ["plain", "", "s256", "S256 ", " S256", "S512", "S256,plain", "[\"S256\"]", "S256\0"] {
        assert!(
            !is_accepted(&authorize(&field, &wish.clone().set("code_challenge_method", method)).await),
            "{method:?}"
        );
    }
    assert!(
        !is_accepted(&authorize(&field, &wish.clone().without("code_challenge_method")).await),
        "said, not guessed"
    );
    let long = "A".repeat(44);
    for challenge in [
        &CHALLENGE[1..],
        &long,
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM",
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c=",
    ] {
        assert!(!is_accepted(&authorize(&field, &wish.clone().set("code_challenge", challenge)).await), "{challenge}");
    }
    field.noted("authorization_refused").await;
    field.lets_in().await;
}
