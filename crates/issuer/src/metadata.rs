//! Authorization server metadata (RFC 8414 §2), also at the path where OpenID clients look.

use sekisho_protocol::metadata::AuthorizationServer;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::server::ServerDirectory;
use sekisho_protocol::task::TASK_TYPE;
use sekisho_web::SiteSettings;
use sekisho_web::language::Language;

use crate::settings::{DocumentPolicy, IssuerSettings, RegistrationPolicy};
use crate::token::{EXCHANGE, id_jag};

/// The document. It is made from settings only: nothing in a request can change it (ATK-13).
pub(crate) fn metadata(
    site: &SiteSettings,
    settings: &IssuerSettings,
    servers: &ServerDirectory,
) -> AuthorizationServer {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let authentication = texts(&["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]);
    // What ordinary use needs at any server; and `offline_access` where refresh tokens are issued, so that clients that
    // want to stay connected can ask for it (2026-07-28 Authorization, Refresh Tokens). It is never in a challenge or
    // in the metadata of a server (RS-11).
    let scopes = servers.iter().fold(ScopeSet::empty(), |scopes, card| scopes.union(&card.scopes_default));
    let refreshes = settings.refreshes();
    let scopes = scopes.union(&refreshes.then(Scope::offline_access).into_iter().collect());
    let mut grants = texts(&["authorization_code", EXCHANGE]);
    grants.extend(refreshes.then(|| "refresh_token".to_owned()));
    grants.extend((!settings.assertion_issuers.is_empty()).then(|| id_jag::GRANT_TYPE.to_owned()));
    AuthorizationServer {
        issuer: site.base_url.clone(),
        authorization_endpoint: site.url("/oauth/authorize"),
        token_endpoint: site.url("/oauth/token"),
        registration_endpoint: (settings.registration == RegistrationPolicy::Open).then(|| site.url("/oauth/register")),
        revocation_endpoint: Some(site.url("/oauth/revoke")),
        jwks_uri: Some(site.url("/oauth/jwks")),
        scopes_supported: scopes.iter().cloned().collect(),
        response_types_supported: texts(&["code"]),
        response_modes_supported: texts(&["query"]),
        grant_types_supported: grants,
        token_endpoint_auth_methods_supported: authentication.clone(),
        token_endpoint_auth_signing_alg_values_supported: texts(&["ES256", "EdDSA", "PS256", "RS256"]),
        revocation_endpoint_auth_methods_supported: authentication,
        code_challenge_methods_supported: texts(&["S256"]),
        authorization_details_types_supported: texts(&[TASK_TYPE]),
        authorization_response_iss_parameter_supported: true,
        client_id_metadata_document_supported: settings.client_documents != DocumentPolicy::Off,
        dpop_signing_alg_values_supported: Vec::new(),
        ui_locales_supported: texts(&Language::TAGS),
    }
}
