//! The endpoints that programs call: documents, errors, headers, limits.

use axum::body::Body;
use http::{Request, StatusCode};
use sekisho_issuer::{DocumentPolicy, IssuerSettings, RegistrationPolicy};
use sekisho_protocol::audit::ActKind;
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::{Client, ClientAuthentication, ClientOrigin};
use sekisho_web::PeerAddress;
use serde_json::json;

use crate::harness::{Ask, Reply, Site};

type Fields<'a> = &'a [(&'a str, &'a str)];

const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

async fn get(site: &Site, path: &str) -> Reply {
    site.send(Request::get(path).body(Body::empty()).unwrap()).await
}

/// AS-02, AS-03, AS-05, AS-19, AS-23, RS-10, RS-11: the document, word for word.
#[tokio::test]
async fn the_metadata_says_what_is_enforced() {
    let site = Site::new().await;
    let reply = get(&site, WELL_KNOWN).await;
    assert_eq!(reply.header("content-type"), "application/json");
    // Sorted: the order of members says nothing, and depends on what else is built.
    let members: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_value(reply.json()).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&members).unwrap(), @r#"
    {
      "authorization_details_types_supported": [
        "mcp_task"
      ],
      "authorization_endpoint": "http://localhost:8420/oauth/authorize",
      "authorization_response_iss_parameter_supported": true,
      "client_id_metadata_document_supported": true,
      "code_challenge_methods_supported": [
        "S256"
      ],
      "grant_types_supported": [
        "authorization_code",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "refresh_token"
      ],
      "issuer": "http://localhost:8420",
      "jwks_uri": "http://localhost:8420/oauth/jwks",
      "registration_endpoint": "http://localhost:8420/oauth/register",
      "response_modes_supported": [
        "query"
      ],
      "response_types_supported": [
        "code"
      ],
      "revocation_endpoint": "http://localhost:8420/oauth/revoke",
      "revocation_endpoint_auth_methods_supported": [
        "none",
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt"
      ],
      "scopes_supported": [
        "mcp:read",
        "mcp:write",
        "offline_access"
      ],
      "token_endpoint": "http://localhost:8420/oauth/token",
      "token_endpoint_auth_methods_supported": [
        "none",
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt"
      ],
      "token_endpoint_auth_signing_alg_values_supported": [
        "ES256",
        "EdDSA",
        "PS256",
        "RS256"
      ],
      "ui_locales_supported": [
        "en",
        "ja"
      ]
    }
    "#);
    assert_eq!(get(&site, OPENID).await.json(), reply.json());
}

/// AS-04, AS-03: an identifier with a path is answered at every place where a client may look, and everything is
/// below it.
#[tokio::test]
async fn an_issuer_with_a_path_is_found() {
    let site = Site::at("https://h.example/t", |settings| settings).await;
    for path in [
        "/.well-known/oauth-authorization-server/t",
        "/.well-known/openid-configuration/t",
        "/t/.well-known/openid-configuration",
    ] {
        let document = get(&site, path).await.json();
        assert_eq!(document["issuer"], "https://h.example/t", "{path}");
        for (name, value) in document.as_object().unwrap() {
            if name.ends_with("_endpoint") || name == "jwks_uri" {
                assert!(value.as_str().unwrap().starts_with("https://h.example/t/oauth/"), "{name}");
            }
        }
    }
    assert_eq!(get(&site, "/t/oauth/jwks").await.status, StatusCode::OK);
    let page = get(&site, "/t/login").await;
    assert!(
        page.body.contains("action=\"/t/login\"") && page.body.contains("href=\"/t/assets/sekisho-"),
        "{}",
        page.body
    );
    assert!(page.header("set-cookie").starts_with("__Host-sekisho-browser="));
    assert!(page.header("set-cookie").ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"));
}

/// ATK-13, RS-12: nothing in a request changes what we are called, not even in the first one.
#[tokio::test]
async fn headers_change_nothing_in_the_documents() {
    let site = Site::new().await;
    let honest = get(&Site::new().await, WELL_KNOWN).await.body;
    let hostile = [
        ("host", "evil.example"),
        ("host", "localhost:8420\""),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-prefix", "/evil"),
        ("forwarded", "host=\"evil.example\";proto=https"),
        ("x-original-url", "/evil"),
    ];
    for (name, value) in hostile {
        let reply = site.send(Request::get(WELL_KNOWN).header(name, value).body(Body::empty()).unwrap()).await;
        assert_eq!(reply.body, honest, "{name}: {value}");
        let page = site.send(Request::get("/login").header(name, value).body(Body::empty()).unwrap()).await;
        assert!(!page.body.contains("evil"), "{name}: {value}");
    }
}

/// The published keys are public halves, and those that sign (RFC 7517 §5).
#[tokio::test]
async fn the_key_set_holds_no_private_part() {
    let site = Site::new().await;
    let set = get(&site, "/oauth/jwks").await.json();
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0]["kid"], site.keys.signer().id().to_string());
    assert!(["d", "p", "q", "k"].iter().all(|name| keys[0].get(name).is_none()), "{set}");
}

/// AS-39, AS-37, ATK-23: what is switched off is not there, and not announced.
#[tokio::test]
async fn what_is_off_is_neither_there_nor_announced() {
    let off = |settings| IssuerSettings {
        registration: RegistrationPolicy::Closed,
        client_documents: DocumentPolicy::Off,
        refresh_ttl_seconds: 0,
        ..settings
    };
    let site = Site::with(off).await;
    let document = get(&site, WELL_KNOWN).await.json();
    assert!(document.get("registration_endpoint").is_none());
    assert_eq!(document["client_id_metadata_document_supported"], false);
    assert_eq!(
        document["grant_types_supported"],
        json!(["authorization_code", "urn:ietf:params:oauth:grant-type:token-exchange"])
    );
    assert_eq!(site.register(&json!({ "redirect_uris": ["http://127.0.0.1/cb"] })).await.status, StatusCode::NOT_FOUND);
}

/// AS-39, AS-40: a registration over HTTP, with and without a secret.
#[tokio::test]
async fn a_client_registers_itself() {
    let site = Site::new().await;
    let native = json!({ "redirect_uris": ["http://localhost:6274/oauth/callback"], "client_name": "X", "application_type": "native" });
    let reply = site.register(&native).await;
    assert_eq!((reply.status, reply.header("cache-control")), (StatusCode::CREATED, "no-store"));
    assert_eq!(reply.json()["token_endpoint_auth_method"], "none");
    assert!(reply.json().get("client_secret").is_none());
    for method in ["client_secret_basic", "client_secret_post"] {
        let mut web = native.clone();
        web["token_endpoint_auth_method"] = json!(method);
        let reply = site.register(&web).await.json();
        assert!(reply["client_secret"].as_str().unwrap().starts_with("sks_cs_"));
        assert_eq!(reply["client_secret_expires_at"], 0);
        // The secret is needed from then on.
        let id = reply["client_id"].as_str().unwrap();
        let fields = [("grant_type", "refresh_token"), ("refresh_token", "x"), ("client_id", id)];
        assert_eq!(site.post_form("/oauth/token", &fields).await.status, StatusCode::UNAUTHORIZED);
    }
    let mut bodies =
        vec!["", "[]", "null", "{", "{\"redirect_uris\":[1]}", "{\"redirect_uris\":[],\"redirect_uris\":[]}"];
    let long = format!("{{\"redirect_uris\":[\"https://c.example/{}\"]}}", "x".repeat(20_000));
    bodies.push(&long);
    for body in bodies {
        let request = Request::post("/oauth/register").header("content-type", "application/json");
        let reply = site.send(request.body(Body::from(body.to_owned())).unwrap()).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_client_metadata")),
            "{body}"
        );
    }
    let evil = site.register(&json!({ "redirect_uris": ["http://evil.example/cb"] })).await;
    assert_eq!(evil.json()["error"], "invalid_redirect_uri");
    let typed = Request::post("/oauth/register")
        .header("content-type", "text/plain")
        .body(Body::from(native.to_string()))
        .unwrap();
    assert_eq!(site.send(typed).await.status, StatusCode::BAD_REQUEST);
    assert!(site.acts().await.contains(&ActKind::ClientRefused));
}

/// AS-41, ATK-24, ATK-139: a flood from one address is stopped and leaves others alone; the number of clients is bounded,
/// and the oldest of those that were never used makes room.
#[tokio::test]
async fn a_flood_of_registrations_stays_bounded() {
    let site =
        Site::with(|settings| IssuerSettings { dynamic_clients_max: 8, registrations_per_minute: 6, ..settings }).await;
    let from = async |address: &str| {
        let mut request = Request::post("/oauth/register").header("content-type", "application/json");
        request.extensions_mut().unwrap().insert(PeerAddress(address.parse().unwrap()));
        let body = json!({ "redirect_uris": ["http://127.0.0.1/cb"] }).to_string();
        site.send(request.body(Body::from(body)).unwrap()).await.status
    };
    let mut created = 0;
    for _ in 0..20 {
        created += usize::from(from("192.0.2.1").await == StatusCode::CREATED);
    }
    assert_eq!(created, 6);
    // A flood does not fill the records either.
    assert!(!site.acts().await.contains(&ActKind::ClientRefused));
    for n in 2..20 {
        created += usize::from(from(&format!("192.0.2.{n}")).await == StatusCode::CREATED);
    }
    assert_eq!(created, 24);
    let mut tx = site.store.begin().await.unwrap();
    assert_eq!(tx.clients().count_dynamic().await.unwrap(), 8);
    // Once all are in use there is no room.
    for client in tx.clients().list().await.unwrap() {
        tx.clients().touch(&client.client.id, site.clock.now()).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(from("192.0.2.99").await, StatusCode::SERVICE_UNAVAILABLE);
}

/// ATK-05: every parameter of every form endpoint, doubled, is `invalid_request`; so is one in the URL of a POST.
#[tokio::test]
async fn doubled_parameters_are_refused_at_every_endpoint() {
    let site = Site::new().await;
    let client = site.registered("http://127.0.0.1/cb").await;
    let token = [
        "grant_type",
        "client_id",
        "client_secret",
        "code",
        "redirect_uri",
        "code_verifier",
        "refresh_token",
        "scope",
        "client_assertion",
    ];
    let revoke = ["token", "token_type_hint", "client_id", "resource"];
    let cases =
        token.iter().map(|name| ("/oauth/token", *name)).chain(revoke.iter().map(|name| ("/oauth/revoke", *name)));
    for (path, name) in cases {
        let fields = [("client_id", client.as_str()), ("grant_type", "authorization_code"), ("token", "x")];
        let mut fields: Vec<(&str, &str)> = fields.into_iter().filter(|(found, _)| *found != name).collect();
        fields.extend([(name, client.as_str()), (name, "other")]);
        let reply = site.post_form(path, &fields).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_request")),
            "{path} {name}"
        );
    }
    for path in ["/oauth/token", "/oauth/revoke"] {
        let reply = site.post_form(&format!("{path}?client_id=x"), &[("client_id", "x"), ("token", "x")]).await;
        assert_eq!(reply.json()["error"], "invalid_request");
    }
}

/// RFC 6749 §5.2, AS-01: the implicit and password grants and whatever else is not offered, and how errors look.
#[tokio::test]
async fn token_errors_are_the_registered_ones() {
    let site = Site::new().await;
    let client = site.registered("http://127.0.0.1/cb").await;
    let id = client.as_str();
    let cases: [(Fields<'_>, &str, u16); 11] = [
        (&[("client_id", id)], "invalid_request", 400),
        (
            &[("client_id", id), ("grant_type", "password"), ("username", "owner"), ("password", "x")],
            "unsupported_grant_type",
            400,
        ),
        (&[("client_id", id), ("grant_type", "client_credentials")], "unsupported_grant_type", 400),
        (&[("client_id", id), ("grant_type", "implicit")], "unsupported_grant_type", 400),
        (&[("client_id", id), ("grant_type", "authorization_code")], "invalid_request", 400),
        (&[("client_id", id), ("grant_type", "authorization_code"), ("code", "x")], "invalid_grant", 400),
        (&[("client_id", id), ("grant_type", "refresh_token")], "invalid_request", 400),
        (&[("client_id", id), ("grant_type", "refresh_token"), ("refresh_token", "x")], "invalid_grant", 400),
        (
            &[("client_id", id), ("grant_type", "refresh_token"), ("refresh_token", "x"), ("scope", "\"")],
            "invalid_scope",
            400,
        ),
        (&[("client_id", "nobody"), ("grant_type", "authorization_code"), ("code", "x")], "invalid_client", 401),
        (&[("grant_type", "authorization_code"), ("code", "x")], "invalid_client", 401),
    ];
    for (fields, error, status) in cases {
        let reply = site.post_form("/oauth/token", fields).await;
        assert_eq!((reply.json()["error"].as_str(), reply.status.as_u16()), (Some(error), status), "{fields:?}");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("www-authenticate").is_empty(), status != 401);
        assert!(reply.json()["error_description"].as_str().unwrap().contains("(request rid_"), "{}", reply.body);
    }
    let json_body = Request::post("/oauth/token").header("content-type", "application/json");
    let reply = site.send(json_body.body(Body::from("{}")).unwrap()).await;
    assert_eq!((reply.status, &reply.json()["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_request")));
    // Each of these is on record.
    let refused = site.acts().await.iter().filter(|act| **act == ActKind::TokenRefused).count();
    assert_eq!(refused, cases.len());
}

/// ATK-51: programs in pages of any origin may call what needs no cookie, never with credentials; pages for people
/// say nothing to other origins.
#[tokio::test]
async fn other_origins_reach_what_needs_no_cookie_and_nothing_else() {
    let site = Site::new().await;
    for origin in ["https://app.example", "null", "http://localhost:6274"] {
        for path in [WELL_KNOWN, OPENID, "/oauth/jwks", "/oauth/token", "/oauth/register", "/oauth/revoke"] {
            let preflight =
                Request::options(path).header("origin", origin).header("access-control-request-method", "POST");
            let reply = site.send(preflight.body(Body::empty()).unwrap()).await;
            assert_eq!(
                (reply.status, reply.header("access-control-allow-origin")),
                (StatusCode::NO_CONTENT, "*"),
                "{path}"
            );
            assert!(reply.header("access-control-allow-headers").contains("Authorization"));
            assert_eq!(reply.header("access-control-allow-credentials"), "");
        }
        for path in ["/", "/login", "/oauth/authorize", "/consent/x", "/setup/x", "/logout"] {
            for method in ["GET", "OPTIONS", "POST"] {
                let request = Request::builder().method(method).uri(path).header("origin", origin);
                let reply = site.send(request.body(Body::empty()).unwrap()).await;
                assert!(
                    reply.headers.keys().all(|name| !name.as_str().starts_with("access-control")),
                    "{method} {path}"
                );
            }
        }
    }
}

/// ATK-50: no suffix, no other spelling of a path reaches an endpoint.
#[tokio::test]
async fn only_the_written_paths_are_answered() {
    let site = Site::new().await;
    for path in [
        "/oauth/token/x.css",
        "/oauth/token/",
        "/oauth/token%2Fx.css",
        "/oauth/token;x",
        "/OAuth/token",
        "/oauth//token",
        "/oauth/jwks/",
        "/.well-known/oauth-authorization-server/mcp/notes",
        "/assets/other.css",
        "/assets/..%2f..%2fx",
        "/login/",
        "/oauth/introspect",
    ] {
        for method in ["GET", "POST"] {
            let reply = site.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await;
            assert!([404, 405].contains(&reply.status.as_u16()), "{method} {path}: {}", reply.status);
        }
    }
}

/// ATK-04, AS-11, AS-18: a client that nobody vouches for gets no automatic redirect from an error, only a link after a
/// page; one that an operator registered gets its redirect; both carry `iss` and `state`.
#[tokio::test]
async fn an_error_sends_nobody_to_a_stranger() {
    let site = Site::new().await;
    let dynamic = site.registered("https://phishing.example/cb").await;
    let vouched = Client {
        id: ClientId::parse("vouched").unwrap(),
        origin: ClientOrigin::Registered,
        name: "V".to_owned(),
        redirect_uris: vec![RedirectUri::parse("https://client.example/cb").unwrap()],
        authentication: ClientAuthentication::None,
        refresh: false,
        jwks: None,
        jwks_uri: None,
        disabled: false,
    };
    site.keep(&vouched, None).await;
    for (name, value, error) in [
        ("scope", "bogus", "invalid_scope"),
        ("prompt", "none", "interaction_required"),
        ("response_type", "token", "unsupported_response_type"),
        ("resource", "https://other.example", "invalid_target"),
        ("code_challenge_method", "plain", "invalid_request"),
    ] {
        let ask = Ask::new(&site, &dynamic, "https://phishing.example/cb").set(name, value);
        let page = get(&site, &ask.url()).await;
        assert_eq!((page.status, page.location().as_str()), (StatusCode::BAD_REQUEST, ""), "{name}={value}");
        assert!(page.body.contains(&format!("href=\"https://phishing.example/cb?error={error}")), "{}", page.body);
        assert!(!page.body.contains("http-equiv"), "{}", page.body);
        let ask = Ask::new(&site, "vouched", "https://client.example/cb").set(name, value);
        let answer = get(&site, &ask.url()).await.redirected();
        assert_eq!((answer["error"].as_str(), answer["state"].as_str()), (error, "the state"));
        assert_eq!(answer["iss"], "http://localhost:8420");
        assert!(!answer.contains_key("code"));
    }
}

/// Authorization requests are repeatable GETs without cookies: some clients fetch them once before they open them.
#[tokio::test]
async fn an_authorization_request_can_be_fetched_before_it_is_opened() {
    let site = Site::new().await;
    let client = site.registered("http://127.0.0.1/cb").await;
    let ask = Ask::new(&site, &client, "http://127.0.0.1:1234/cb");
    let first = get(&site, &ask.url()).await;
    let second = get(&site, &ask.url()).await;
    assert_eq!((first.status, second.status), (StatusCode::SEE_OTHER, StatusCode::SEE_OTHER));
    assert_ne!(first.location(), second.location());
    assert_eq!(get(&site, &second.location()).await.status, StatusCode::OK);
}
