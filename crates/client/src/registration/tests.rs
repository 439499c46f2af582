use sekisho_protocol::registration::ClientAuthentication;
use serde_json::{Value, json};

use super::{ApplicationType, Registration, RegistrationError, RegistrationRequest, register};
use crate::fixtures::{ISSUER, REDIRECT, redirect_uri, server};
use crate::http::Scripted;

const ENDPOINT: &str = "POST https://issuer.test/register";

fn request() -> RegistrationRequest {
    RegistrationRequest {
        client_name: "Demo".to_owned(),
        redirect_uris: vec![redirect_uri()],
        application_type: ApplicationType::Native,
        scope: Some("mcp:read".parse().unwrap()),
    }
}

async fn answered(status: u16, answer: Value) -> Result<Registration, RegistrationError> {
    register(&Scripted::default().json(ENDPOINT, status, &answer), &server(), &request()).await
}

/// CL-15, CL-16, CL-35, CL-39: the content of the request, and the registration that is stored by issuer (CL-18).
#[tokio::test]
async fn a_native_public_client_is_registered() {
    let http = Scripted::default().json(ENDPOINT, 201, &json!({ "client_id": "cli_x", "redirect_uris": [REDIRECT] }));
    let registration = register(&http, &server(), &request()).await.unwrap();
    assert_eq!((registration.issuer.as_str(), registration.client.as_str()), (ISSUER, "cli_x"));
    assert_eq!(registration.authentication, ClientAuthentication::None);
    let sent = http.sent().remove(0).json();
    assert_eq!(
        sent,
        json!({
            "client_name": "Demo", "redirect_uris": [REDIRECT], "application_type": "native", "scope": "mcp:read",
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"], "token_endpoint_auth_method": "none",
        })
    );
}

#[tokio::test]
async fn a_secret_is_used_as_the_server_says() {
    for (method, secret, expected) in [
        (json!(null), json!("s"), Some(ClientAuthentication::ClientSecretBasic)),
        (json!("client_secret_basic"), json!("s"), Some(ClientAuthentication::ClientSecretBasic)),
        (json!("client_secret_post"), json!("s"), Some(ClientAuthentication::ClientSecretPost)),
        (json!("none"), json!("s"), Some(ClientAuthentication::None)),
        (json!("none"), json!(""), Some(ClientAuthentication::None)),
        (json!("none"), json!(null), Some(ClientAuthentication::None)),
        (json!("client_secret_post"), json!(null), None),
        (json!("tls_client_auth"), json!("s"), None),
    ] {
        let answer = json!({ "client_id": "cli_x", "client_secret": secret, "token_endpoint_auth_method": method });
        match answered(201, answer).await {
            Ok(registration) => {
                assert_eq!(Some(registration.authentication), expected, "{method} {secret}");
                assert_eq!(registration.secret.is_some(), expected != Some(ClientAuthentication::None));
            }
            Err(error) => {
                assert!(matches!(error, RegistrationError::Authentication { .. }) && expected.is_none(), "{error:?}")
            }
        }
    }
}

/// CL-17: the error for a refusal contains the server's own reason, made presentable.
#[tokio::test]
async fn a_refusal_says_why() {
    let error = answered(400, json!({ "error": "invalid_redirect_uri", "error_description": "no\u{1b}[31m loopback" }))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("`{ISSUER}` refuses to register the client: invalid_redirect_uri (no[31m loopback)")
    );
}

#[tokio::test]
async fn what_is_no_registration_is_refused() {
    for (status, answer) in [
        (201, json!({})),
        (201, json!({ "client_id": "" })),
        (201, json!([])),
        (302, json!({ "client_id": "x" })),
        (500, json!({ "error": "server_error" })),
    ] {
        let error = answered(status, answer.clone()).await.unwrap_err();
        assert!(matches!(error, RegistrationError::Malformed { .. }), "{status} {answer}: {error:?}");
    }
    let error = answered(201, json!({ "client_id": "x", "redirect_uris": ["https://evil.test/"] })).await.unwrap_err();
    assert!(matches!(error, RegistrationError::Redirects { .. }));
    let mut server = server();
    server.registration_endpoint = None;
    let http = Scripted::default();
    assert!(matches!(register(&http, &server, &request()).await, Err(RegistrationError::NotOffered { .. })));
    assert!(http.lines().is_empty());
}
