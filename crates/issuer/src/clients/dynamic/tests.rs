//! Registration metadata, honest and not.

use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::registration::{Client, ClientAuthentication, ClientOrigin};
use serde_json::{Value, json};

use super::{Metadata, MetadataError, Registered, judge};

fn registered(metadata: &Value) -> Result<Client, MetadataError> {
    let metadata: Metadata = serde_json::from_value(metadata.clone()).unwrap();
    judge(ClientId::generate(ManualClock::default().now(), &SeededEntropy::default()), metadata, true)
}

fn with(name: &str, value: Value) -> Value {
    let mut metadata = json!({ "client_name": "C", "redirect_uris": ["http://127.0.0.1/cb"] });
    metadata[name] = value;
    metadata
}

/// AS-38, AS-39, AS-40: what real clients send becomes a public client with an opaque identifier.
#[test]
fn an_honest_registration_becomes_a_public_client() {
    let client = registered(&json!({
        "client_name": "MCP Inspector", "redirect_uris": ["http://localhost:6274/oauth/callback", "cursor://anysphere.cursor-mcp/cb"],
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "token_endpoint_auth_method": "none", "client_uri": "https://example.com", "application_type": "native",
        "software_id": "x", "scope": "mcp:read",
    }))
    .unwrap();
    assert_eq!(
        (client.origin, client.authentication, client.refresh),
        (ClientOrigin::Dynamic, ClientAuthentication::None, true)
    );
    assert!(!client.id.is_metadata_document());
    assert!(client.can_be_impersonated());
    let answer = serde_json::to_value(Registered::of(&client, 1)).unwrap();
    let names: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = vec![
        "client_id",
        "client_id_issued_at",
        "client_name",
        "redirect_uris",
        "token_endpoint_auth_method",
        "grant_types",
        "response_types",
    ];
    let mut names = names;
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

/// AS-08, ATK-03: every scheme that runs, reads or can be claimed is refused as a redirect, however it is spelled.
#[test]
fn a_dangerous_redirect_is_not_registered() {
    let schemes = [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "java\tscript:alert(1)",
        "\u{1}javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "blob:https://c.example/x",
        "intent://x",
        "about:blank",
        "myapp:/cb",
        "view-source:https://c.example",
        "ftp://c.example/cb",
        "ws://c.example/cb",
        "http://evil.example/cb",
        "http://localhost.evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://[::2]/cb",
        "http://0.0.0.0/cb",
        "https://c.example/cb#f",
        "https://c.example\\@evil.example",
        "https://user@c.example/cb",
        "https://c.example/cb?code=1",
        "https://c.example/cb?state=1",
        "https://c.example/cb?iss=x",
        "https://c.example/../cb",
        "https://c.example/%2e%2e/cb",
        "//c.example/cb",
        "/cb",
        "",
        "https://",
        "https://c.example/\"onload=",
        "https://c.example/<script>",
    ];
    for scheme in schemes {
        let outcome = registered(&with("redirect_uris", json!([scheme])));
        assert!(matches!(outcome, Err(MetadataError::Redirect(_))), "{scheme:?}: {outcome:?}");
        let beside = registered(&with("redirect_uris", json!(["https://c.example/cb", scheme])));
        assert!(beside.is_err(), "{scheme:?}");
    }
    for missing in [json!([]), json!(null), json!(vec!["https://c.example/cb"; 11])] {
        assert_eq!(registered(&with("redirect_uris", missing)).unwrap_err(), MetadataError::RedirectCount);
    }
}

/// ATK-03, ATK-28: no URL member can carry a scheme that could do harm on a page or in a fetch; and none is kept.
#[test]
fn a_dangerous_url_is_not_accepted_in_any_member() {
    let members = [
        "client_uri",
        "logo_uri",
        "tos_uri",
        "policy_uri",
        "jwks_uri",
        "sector_identifier_uri",
        "initiate_login_uri",
        "backchannel_logout_uri",
    ];
    let bad = [
        "javascript:alert(1)",
        "data:image/svg+xml,x",
        "file:///x",
        " https://c.example",
        "http://10.0.0.1/x",
        "https://a@b/x",
        "HTTPS://c.example",
        "nonsense",
        "https://c.example/\u{202e}",
    ];
    for member in members {
        for text in bad {
            assert_eq!(registered(&with(member, json!(text))).unwrap_err(), MetadataError::Url(member), "{text}");
        }
        assert!(registered(&with(member, json!("https://c.example/x"))).is_ok(), "{member}");
    }
    assert!(registered(&with("request_uris", json!(["https://c.example/x", "javascript:x"]))).is_err());
}

/// ATK-25: what asks for privilege falls away or is refused; the stored client never exceeds the closed list.
#[test]
fn no_member_gives_a_client_more_than_any_other_client_has() {
    let plain = registered(&with("client_name", json!("C"))).unwrap();
    let harmless = [
        ("scope", json!("admin mcp:destructive")),
        ("audience", json!("https://other.example")),
        ("consent_required", json!(false)),
        ("skip_consent", json!(true)),
        ("trusted", json!(true)),
        ("disabled", json!(true)),
        ("origin", json!("registered")),
        ("id", json!("cli_chosen")),
        ("client_id", json!("chosen")),
        ("client_secret", json!("chosen")),
        ("subject_type", json!("pairwise")),
        ("default_acr_values", json!(["x"])),
        ("require_pushed_authorization_requests", json!(false)),
        ("dpop_bound_access_tokens", json!(false)),
        ("software_statement", json!("eyJ.e30.x")),
        ("contacts", json!(["a@b"])),
        ("jwks", json!({ "keys": [] })),
        ("id_token_signed_response_alg", json!("none")),
        ("registration_access_token", json!("x")),
        ("application_type", json!("web")),
        ("urn:vendor:permissions", json!({ "admin": true })),
    ];
    for (name, value) in harmless {
        let client = registered(&with(name, value)).unwrap();
        assert_eq!(Client { id: plain.id.clone(), ..client }, plain, "{name}");
    }
    let refused = [
        ("grant_types", json!(["client_credentials"])),
        ("grant_types", json!(["urn:ietf:params:oauth:grant-type:jwt-bearer"])),
        ("grant_types", json!(["implicit", "password"])),
        ("grant_types", json!([])),
        ("response_types", json!(["token"])),
        ("response_types", json!([])),
        ("token_endpoint_auth_method", json!("private_key_jwt")),
        ("token_endpoint_auth_method", json!("tls_client_auth")),
        ("token_endpoint_auth_method", json!("client_secret_jwt")),
        ("token_endpoint_auth_method", json!("NONE")),
    ];
    for (name, value) in refused {
        assert!(registered(&with(name, value.clone())).is_err(), "{name} {value}");
    }
    // Types beside the one that is offered are not registered.
    let beside = registered(&with(
        "grant_types",
        json!(["authorization_code", "urn:ietf:params:oauth:grant-type:token-exchange"]),
    ));
    let answer = serde_json::to_value(Registered::of(&beside.unwrap(), 1)).unwrap();
    assert_eq!(answer["grant_types"], json!(["authorization_code"]));
}

/// Who names no grant types gets what the metadata offer; who names them gets what was named.
#[test]
fn a_registration_without_grant_types_is_answered_with_those_that_are_offered() {
    let answered = |grant_types: Value, refreshes: bool| {
        let metadata: Metadata = serde_json::from_value(with("grant_types", grant_types)).unwrap();
        let id = ClientId::generate(ManualClock::default().now(), &SeededEntropy::default());
        serde_json::to_value(Registered::of(&judge(id, metadata, refreshes).unwrap(), 1)).unwrap()["grant_types"]
            .clone()
    };
    let (code, both) = (json!(["authorization_code"]), json!(["authorization_code", "refresh_token"]));
    assert_eq!(answered(Value::Null, true), both);
    assert_eq!(answered(Value::Null, false), code);
    assert_eq!(answered(code.clone(), true), code);
    assert_eq!(answered(both.clone(), true), both);
    assert_eq!(answered(both.clone(), false), code, "the answer says what was kept");
}

/// ATK-11: a name is kept as it may be shown.
#[test]
fn a_name_is_cleaned_before_it_is_kept() {
    let client = registered(&with("client_name", json!("\u{202e}Evil\u{200b}\n\tName "))).unwrap();
    assert_eq!(client.name, "Evil Name");
    assert_eq!(registered(&with("client_name", json!("x".repeat(5000)))).unwrap().name.len(), 80);
    assert_eq!(registered(&with("client_name", Value::Null)).unwrap().name, "");
}
