//! Documents of strangers: never a panic, and nothing that is used is less secure than what led there.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sekisho_client::authorization::{Wish, begin};
use sekisho_client::discovery::{issuer_metadata_urls, resource_metadata_urls, select_scopes};
use sekisho_client::http::Response;
use sekisho_client::registration::Registration;
use sekisho_protocol::env::SeededEntropy;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::metadata::{AuthorizationServer, ProtectedResource};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::resource::ResourceId;

static REDIRECT: LazyLock<RedirectUri> =
    LazyLock::new(|| RedirectUri::parse("http://127.0.0.1:4711/callback").expect("it is one"));

fuzz_target!(|body: &[u8]| {
    let mut headers = http::HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    let response = Response { status: http::StatusCode::OK, headers, body: bytes::Bytes::copy_from_slice(body) };
    let resource = response.json::<ProtectedResource>();
    if let Some(resource) = &resource
        && let Ok(id) = ResourceId::parse(&resource.resource)
    {
        assert!(!resource_metadata_urls(&id, None).is_empty());
        #[cfg(planted)]
        assert!(resource.authorization_servers.len() < 2, "planted");
    }
    let Some(server) = response.json::<AuthorizationServer>() else { return };
    assert!(issuer_metadata_urls(&server.issuer).len() >= 2);
    if let Some(resource) = &resource {
        select_scopes(None, resource, &server);
    }
    let registration = Registration {
        issuer: server.issuer.clone(),
        client: ClientId::parse("cli_1").expect("it is one"),
        authentication: ClientAuthentication::None,
        secret: None,
        key: None,
        redirect_uris: vec![REDIRECT.clone()],
    };
    let id = ResourceId::parse("https://server.test/mcp").expect("it is one");
    let wish = Wish { resource: &id, redirect_uri: &REDIRECT, scopes: None, by_hand: false };
    if let Ok(request) = begin(&server, &registration, wish, &SeededEntropy::from_seed(1)) {
        // CL-46: nobody is sent anywhere else than to a web page.
        assert!(request.url().starts_with("https://") || request.url().starts_with("http://"), "{}", request.url());
    }
    #[cfg(planted)]
    assert!(server.code_challenge_methods_supported.is_empty(), "planted");
});
