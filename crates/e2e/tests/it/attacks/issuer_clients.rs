//! Registrations that ask for too much, and headers that nobody can read.

use sekisho_e2e::fakes::canary::Canary;
use sekisho_e2e::fakes::oauth::{Client, REDIRECT};
use sekisho_e2e::fakes::upstream::Speaks;
use sekisho_e2e::fakes::wire::{Ask, Connection, Reply};
use serde_json::{Value, json};

use super::field::{Field, UP};

/// The number of registrations in one checkpoint: one address may register only so many clients in a minute.
const PER_FIELD: usize = 28;

async fn register(field: &Field, metadata: &Value) -> Reply {
    field.ask(&Ask::post("/oauth/register").json(metadata)).await
}

/// ATK-03: no dangerous URI scheme is accepted in any field: none that executes, reads, or can be claimed by everybody.
#[tokio::test]
async fn a_dangerous_scheme_gets_in_nowhere() {
    let schemes = [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "blob:https://x/1",
        "intent://x#Intent;end",
        "ftp://x/",
        "about:blank",
        "chrome://settings",
        "ws://x/",
        "http://x.example/cb",
        "myapp:/cb",
        "\u{1}https://x/",
        "https://u:p@x/cb",
        "mailto:a@b",
        "view-source:https://x",
        "https:x",
    ];
    let mut asked = Vec::new();
    for scheme in schemes {
        asked.push(("invalid_redirect_uri", json!({ "redirect_uris": [scheme] })));
        asked.push(("invalid_redirect_uri", json!({ "redirect_uris": [REDIRECT, scheme] })));
    }
    for scheme in schemes.iter().take(10) {
        for member in ["client_uri", "logo_uri", "tos_uri", "policy_uri", "jwks_uri"] {
            asked.push(("invalid_client_metadata", json!({ "redirect_uris": [REDIRECT], member: scheme })));
        }
    }
    for part in asked.chunks(PER_FIELD) {
        let field = Field::start().await;
        for (error, metadata) in part {
            let reply = register(&field, metadata).await;
            assert_eq!(
                (reply.status, reply.json()["error"].as_str()),
                (400, Some(*error)),
                "{metadata}: {}",
                reply.text()
            );
        }
        field.noted("client_refused").await;
        assert_eq!(field.checkpoint.ask(&["client", "list"]).await[0]["clients"], json!([]));
        field.client().await;
    }
}

/// ATK-23: if registration is closed, there is no registration endpoint, and nothing mentions one.
#[tokio::test]
async fn a_closed_registration_is_not_there() {
    let field = Field::before(Speaks::Modern, "[clients]\nregistration = false\nmetadata_documents = false\n").await;
    let reply = register(&field, &json!({ "redirect_uris": [REDIRECT] })).await;
    assert!(matches!(reply.status, 403 | 404), "{}", reply.status);
    let metadata = field.ask(&Ask::get("/.well-known/oauth-authorization-server")).await.json();
    assert_eq!(metadata.get("registration_endpoint"), None);
    assert_ne!(metadata["client_id_metadata_document_supported"], true);
    let client = Client::known(field.base_url(), "https://app.example/client.json", None, REDIRECT);
    let wish = client.wish(&field.resource(UP), "mcp:read");
    assert_eq!(field.ask(&Ask::get(&format!("/oauth/authorize?{}", wish.text()))).await.status, 400);
    field.confidential("https://backend.example/cb").await;
}

/// ATK-24: one address can register a bounded number of clients a minute, each is small, and other addresses can still
/// register.
#[tokio::test]
async fn a_flood_of_registrations_is_dammed() {
    let mut field = Field::start().await;
    let honest = field.client().await;
    let mut statuses = Vec::new();
    for _ in 0..120 {
        statuses.push(register(&field, &json!({ "redirect_uris": [REDIRECT] })).await.status);
    }
    let made = statuses.iter().filter(|status| **status == 201).count();
    assert!((1..=65).contains(&made), "{made} in one moment");
    assert!(statuses.ends_with(&[429]), "{statuses:?}");
    let granted = honest.be_granted(&field.resource(UP), "mcp:read", super::field::OWNER, super::field::PASSWORD).await;
    field.is_healthy(&granted).await;
    // Single requests of a flood are not recorded. Their number is, at the latest when the process ends.
    field.checkpoint = field.checkpoint.restart().await;
    let refused = |event: &serde_json::Value| event["kind"] == "refusals" && event["what"] == "client_refused";
    let sum = field.recorded("the number of refusals", refused).await;
    assert_eq!(sum["event"]["count"].as_u64(), Some(120 - made as u64));
}

/// ATK-24, ATK-93: a registration that is large, deeply nested or has many entries is refused before it is stored.
#[tokio::test]
async fn an_oversized_registration_is_refused() {
    let field = Field::start().await;
    let many: Vec<String> = (0..1000).map(|at| format!("https://app.example/{at}")).collect();
    let deep = "[".repeat(5000);
    for body in [
        json!({ "redirect_uris": many }).to_string(),
        json!({ "redirect_uris": [format!("https://app.example/{}", "a".repeat(3000))] }).to_string(),
        json!({ "redirect_uris": [REDIRECT], "client_name": "a".repeat(100_000) }).to_string(),
        json!({ "redirect_uris": [] }).to_string(),
        format!(r#"{{"redirect_uris":["{REDIRECT}"],"x":{deep}"#),
        format!(r#"{{"redirect_uris":["{REDIRECT}"],"redirect_uris":["https://m.test/"]}}"#),
        "[]".to_owned(),
        "null".to_owned(),
        String::new(),
    ] {
        let reply = field
            .ask(&Ask::post("/oauth/register").header("content-type", "application/json").body(body.as_bytes()))
            .await;
        assert!(matches!(reply.status, 400 | 413), "{}: {}", &body[..body.len().min(80)], reply.status);
    }
    let typed = field
        .ask(
            &Ask::post("/oauth/register")
                .header("content-type", "text/plain")
                .body(br#"{"redirect_uris":["https://a.example/"]}"#),
        )
        .await;
    assert_eq!(typed.status, 400);
    field.noted("client_refused").await;
    field.lets_in().await;
}

/// ATK-25, ATK-28, AS-01, AS-44, AS-48, AS-61, ATK-41, ATK-42, ATK-44: only a short list of the metadata that a client
/// registers has an effect, and no URL in it is ever fetched.
#[tokio::test]
async fn what_a_client_says_of_itself_gives_it_nothing() {
    let field = Field::start().await;
    let canary = Canary::start().await.unwrap();
    let url = |path: &str| canary.url(path);
    let greedy = json!({
        "redirect_uris": [REDIRECT], "client_id": "chosen", "client_secret": "chosen", "client_secret_expires_at": 0, "client_id_issued_at": 1,
        "grant_types": ["authorization_code", "refresh_token", "client_credentials", "password", "implicit", "urn:ietf:params:oauth:grant-type:token-exchange", "urn:ietf:params:oauth:grant-type:jwt-bearer"],
        "response_types": ["code", "token", "id_token"], "scope": "admin mcp:destructive *", "audience": "*", "resource": "https://elsewhere.example/",
        "subject_type": "public", "skip_consent": true, "require_auth_time": false, "trusted": true, "first_party": true, "origin": "registered", "disabled": false,
        "default_max_age": 0, "id_token_signed_response_alg": "none", "request_object_signing_alg": "none", "tls_client_certificate_bound_access_tokens": false,
        "jwks": { "keys": [] }, "software_statement": "a.b.c", "policy": { "x": 1 }, "registration_client_uri": url("/x"), "registration_access_token": "x",
        "jwks_uri": url("/jwks"), "logo_uri": url("/logo"), "sector_identifier_uri": url("/sector"), "request_uris": [url("/request")],
        "initiate_login_uri": url("/login"), "backchannel_logout_uri": url("/logout"), "client_uri": url("/"), "token_endpoint_auth_method": "none",
    });
    let reply = register(&field, &greedy).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let kept = reply.json();
    assert_ne!(kept["client_id"], "chosen");
    assert_eq!(
        (&kept["grant_types"], &kept["response_types"]),
        (&json!(["authorization_code", "refresh_token"]), &json!(["code"]))
    );
    assert_eq!(kept.get("client_secret"), None);
    for member in
        ["scope", "audience", "skip_consent", "trusted", "jwks", "jwks_uri", "registration_access_token", "logo_uri"]
    {
        assert_eq!(kept.get(member), None, "{member} was kept");
    }
    let client = Client::known(field.base_url(), kept["client_id"].as_str().unwrap(), None, REDIRECT);
    for (grant, more) in [
        ("client_credentials", ("scope", "mcp:read")),
        ("password", ("username", "alice")),
        ("urn:ietf:params:oauth:grant-type:jwt-bearer", ("assertion", "a.b.c")),
        ("urn:ietf:params:oauth:grant-type:device_code", ("device_code", "x")),
    ] {
        let reply = client.token(&client.refreshing("x").set("grant_type", grant).set(more.0, more.1)).await;
        assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some("unsupported_grant_type")), "{grant}");
        assert_eq!(field.record_of(&reply).await["act"], "token_refused");
    }
    // Token exchange is offered, but only for our own tokens, and not because a client's registration asks for it.
    let exchange = client
        .refreshing("x")
        .set("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
        .set("subject_token", "x")
        .set("subject_token_type", "urn:ietf:params:oauth:token-type:access_token");
    let reply = client.token(&exchange).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(field.record_of(&reply).await["act"], "token_refused");
    for bad in [
        json!({ "redirect_uris": [REDIRECT], "grant_types": ["client_credentials"] }),
        json!({ "redirect_uris": [REDIRECT], "response_types": ["token"] }),
        json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "private_key_jwt" }),
    ] {
        assert_eq!(register(&field, &bad).await.status, 400, "{bad}");
    }
    let granted = client.be_granted(&field.resource(UP), "mcp:read", super::field::OWNER, super::field::PASSWORD).await;
    assert_eq!(granted.claim("scope"), "mcp:read");
    field.is_healthy(&granted).await;
    assert_eq!(canary.visits(), Vec::<String>::new());
}

/// ATK-26, ATK-41, ATK-42, ATK-44, ATK-45, ATK-49, ATK-97: endpoints that are not offered do not exist, at any spelling
/// of their usual path.
#[tokio::test]
async fn what_is_not_offered_is_not_there() {
    let field = Field::start().await;
    let metadata = field.ask(&Ask::get("/.well-known/oauth-authorization-server")).await.json();
    for member in [
        "pushed_authorization_request_endpoint",
        "device_authorization_endpoint",
        "introspection_endpoint",
        "userinfo_endpoint",
        "end_session_endpoint",
        "backchannel_authentication_endpoint",
        "require_pushed_authorization_requests",
        "dpop_signing_alg_values_supported",
        "request_object_signing_alg_values_supported",
        "mtls_endpoint_aliases",
    ] {
        assert_eq!(metadata.get(member), None, "{member}");
    }
    assert_eq!(
        metadata["grant_types_supported"],
        json!(["authorization_code", "urn:ietf:params:oauth:grant-type:token-exchange", "refresh_token"])
    );
    let client = field.client().await;
    for path in [
        "/oauth/par",
        "/par",
        "/oauth/device",
        "/oauth/device_authorization",
        "/device",
        "/oauth/introspect",
        "/introspect",
        "/oauth/userinfo",
        "/userinfo",
        "/token",
        "/authorize",
        "/register",
        "/revoke",
        "/oauth/logout",
        "/oauth/bc-authorize",
        "/oauth/exchange",
        "/webauthn/register",
        "/oauth/register/x",
        "/admin",
        "/api",
        "/api/v1/clients",
        "/metrics",
        "/debug",
        "/debug/pprof",
    ] {
        assert_eq!(field.ask(&Ask::get(path)).await.status, 404, "GET {path}");
        assert_eq!(
            field.ask(&Ask::post(path).form(&[("client_id", &client.id), ("token", "x")])).await.status,
            404,
            "POST {path}"
        );
    }
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let reply = field.ask(&Ask::new(method, &format!("/oauth/register/{}", client.id)).bearer("guess")).await;
        assert_eq!(reply.status, 404, "{method}");
    }
    field.lets_in().await;
}

/// ATK-27: any `Authorization` header is either read or refused; none causes a server error.
#[tokio::test]
async fn no_authorization_header_is_a_server_error() {
    let field = Field::start().await;
    // The invalid requests use up the registrations of this address.
    let granted = field.granted(super::field::OWNER, "mcp:read").await;
    let pid = field.checkpoint.process().pid();
    let mut values: Vec<Vec<u8>> = [
        "",
        "Bearer",
        "Bearer ",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic AAAA",
        "Basic Og==",
        "Basic OjpA",
        "Basic %%%",
        "bearer",
        "BEARER x",
        "Bearer a b c",
        "Bearer \"x\"",
        "Bearer ,",
        "Bearer a,Bearer b",
        "Digest username=\"x\"",
        "Negotiate",
        "DPoP x",
        ":",
        "=",
        "Bearer=",
        "Basic=",
        "Bearer a.b.c",
        "Bearer ..",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Basic dXNlcjpwYXNz\tx",
        "Token x",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    values.extend([
        b"Bearer \xff\xfe".to_vec(),
        b"Basic \x80".to_vec(),
        b"\xc3\xa9".to_vec(),
        b"Bearer ".iter().copied().chain(std::iter::repeat_n(b'a', 60_000)).collect(),
    ]);
    for seed in 0..60_u32 {
        let junk = (0..(seed % 40)).map(|at| 0x20 + u8::try_from((seed * 7919 + at * 104_729) % 95).unwrap()).collect();
        values.push(junk);
    }
    for target in [
        UP,
        "/oauth/token",
        "/oauth/revoke",
        "/oauth/register",
        "/oauth/authorize",
        "/",
        "/.well-known/oauth-protected-resource/mcp/up",
    ] {
        for value in &values {
            let method = if target.starts_with("/oauth/authorize") || target == "/" || target.starts_with("/.well") {
                "GET"
            } else {
                "POST"
            };
            let mut request = format!(
                "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: 0\r\nAuthorization: ",
                field.host()
            )
            .into_bytes();
            request.extend(value);
            request.extend(b"\r\n\r\n");
            let mut connection = Connection::open(field.address).await.unwrap();
            let _ = connection.send(&request).await;
            let reply = connection.reply(method).await.unwrap_or_else(|error| panic!("{target} {value:?}: {error}"));
            assert!((200..500).contains(&reply.status), "{target} {value:?}: {}", reply.status);
            assert!(target != UP || matches!(reply.status, 400 | 401 | 431), "{value:?}: {}", reply.status);
        }
    }
    field.untouched();
    field.rejected("authorization_malformed").await;
    assert!(field.checkpoint.process().is_running() && field.checkpoint.process().pid() == pid);
    field.is_healthy(&granted).await;
}
