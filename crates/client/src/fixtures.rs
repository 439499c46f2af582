//! One resource, one issuer and one registration without defects; tests change one thing in them.

use sekisho_protocol::ids::ClientId;
use sekisho_protocol::metadata::{AuthorizationServer, ProtectedResource};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::resource::ResourceId;
use serde_json::{Value, json};

use crate::registration::Registration;

pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const RESOURCE: &str = "https://server.test/mcp/notes";
/// A redirect URI with the path of that issuer.
pub(crate) const REDIRECT: &str = "http://127.0.0.1:4711/callback/5b7eae105d1ea62f17db0287af9d572d";

pub(crate) fn resource_id() -> ResourceId {
    ResourceId::parse(RESOURCE).unwrap()
}

pub(crate) fn redirect_uri() -> RedirectUri {
    RedirectUri::parse(REDIRECT).unwrap()
}

pub(crate) fn resource_json() -> Value {
    json!({ "resource": RESOURCE, "authorization_servers": [ISSUER], "scopes_supported": ["mcp:read"] })
}

pub(crate) fn issuer_json(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize?fixed=1"),
        "token_endpoint": format!("{issuer}/token"),
        "registration_endpoint": format!("{issuer}/register"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    })
}

pub(crate) fn resource() -> ProtectedResource {
    serde_json::from_value(resource_json()).unwrap()
}

pub(crate) fn server() -> AuthorizationServer {
    serde_json::from_value(issuer_json(ISSUER)).unwrap()
}

pub(crate) fn registration() -> Registration {
    Registration {
        issuer: ISSUER.to_owned(),
        client: ClientId::parse("cli_1").unwrap(),
        authentication: ClientAuthentication::None,
        secret: None,
        key: None,
        redirect_uris: vec![redirect_uri()],
    }
}
