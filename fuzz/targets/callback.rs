//! What comes to the port where an answer is awaited: never a panic, and a code only with our `state` and the right
//! `iss`.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sekisho_client::authorization::{AuthorizationRequest, Wish, begin, finish};
use sekisho_client::registration::Registration;
use sekisho_protocol::env::SeededEntropy;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::resource::ResourceId;

const ISSUER: &str = "https://issuer.test";

static REQUEST: LazyLock<AuthorizationRequest> = LazyLock::new(|| {
    let redirect = RedirectUri::parse("http://127.0.0.1:4711/callback").expect("it is one");
    let server = server();
    let registration = Registration {
        issuer: ISSUER.to_owned(),
        client: ClientId::parse("cli_1").expect("it is one"),
        authentication: ClientAuthentication::None,
        secret: None,
        key: None,
        redirect_uris: vec![redirect.clone()],
    };
    let id = ResourceId::parse("https://server.test/mcp").expect("it is one");
    let wish = Wish { resource: &id, redirect_uri: &redirect, scopes: None, by_hand: false };
    begin(&server, &registration, wish, &SeededEntropy::from_seed(1)).expect("it can begin")
});

fn server() -> sekisho_protocol::metadata::AuthorizationServer {
    let text = r#"{"issuer":"https://issuer.test","authorization_endpoint":"https://issuer.test/a",
        "token_endpoint":"https://issuer.test/t","response_types_supported":["code"],
        "code_challenge_methods_supported":["S256"],"authorization_response_iss_parameter_supported":true}"#;
    let response = sekisho_client::http::Response {
        status: http::StatusCode::OK,
        headers: [(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"))]
            .into_iter()
            .collect(),
        body: bytes::Bytes::from_static(text.as_bytes()),
    };
    response.json().expect("it is a document")
}

/// `state` of the request, which the fuzzer cannot guess: `STATE` in its input stands for it.
fn state() -> String {
    let url = REQUEST.url();
    let at = url.find("state=").map(|at| at + 6).unwrap_or_default();
    url[at..].split('&').next().unwrap_or_default().to_owned()
}

fuzz_target!(|text: &str| {
    let query = text.replace("STATE", &state());
    let redirected = format!("http://127.0.0.1:4711/callback?{query}");
    if let Ok(answer) = finish(&REQUEST, &redirected) {
        assert!(text.contains("STATE"), "a code without our state");
        assert!(!answer.code.expose().is_empty());
        #[cfg(planted)]
        panic!("planted");
    }
});
