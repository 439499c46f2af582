//! Dynamic registration judged: what of the sent metadata becomes a client (RFC 7591 §2).
//!
//! A closed list of members is read; everything else is dropped, and the answer says what was kept (ATK-25).

use sekisho_protocol::ids::ClientId;
use sekisho_protocol::redirect::{RedirectUri, RedirectUriError};
use sekisho_protocol::registration::{Client, ClientAuthentication, ClientOrigin};
use sekisho_protocol::text::plain_text;
use serde::{Deserialize, Serialize};
use url::Url;

/// How many redirect URIs one client may have.
pub(crate) const REDIRECT_URIS_MAX: usize = 10;

/// The members that are read. Whatever else is sent (scopes of administrators, consent switches, audiences,
/// software statements) falls away here.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Metadata {
    redirect_uris: Option<Vec<String>>,
    client_name: Option<String>,
    token_endpoint_auth_method: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    // Not kept, but refused when they could do harm on a page or in a fetch (ATK-03, ATK-28).
    client_uri: Option<String>,
    logo_uri: Option<String>,
    tos_uri: Option<String>,
    policy_uri: Option<String>,
    jwks_uri: Option<String>,
    sector_identifier_uri: Option<String>,
    initiate_login_uri: Option<String>,
    backchannel_logout_uri: Option<String>,
    request_uris: Option<Vec<String>>,
}

/// Why a registration is refused. The codes are those of RFC 7591 §3.2.2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MetadataError {
    #[error("`token_endpoint_auth_method` must be `none`, `client_secret_basic` or `client_secret_post`")]
    Authentication,
    #[error("`grant_types` must hold `authorization_code`; `refresh_token` may stand beside it")]
    GrantTypes,
    #[error("`redirect_uris` is missing, empty, or has more than {REDIRECT_URIS_MAX} entries")]
    RedirectCount,
    #[error("`redirect_uris` holds one that cannot be registered: {0}")]
    Redirect(#[from] RedirectUriError),
    #[error("`response_types` must hold `code`")]
    ResponseTypes,
    #[error("`{0}` must be an https URL")]
    Url(&'static str),
}

/// What a registered client is told of itself (RFC 7591 §3.2.1), apart from its secret.
#[derive(Debug, Serialize)]
pub(crate) struct Registered {
    client_id: ClientId,
    client_id_issued_at: i64,
    client_name: String,
    redirect_uris: Vec<RedirectUri>,
    token_endpoint_auth_method: &'static str,
    grant_types: Vec<&'static str>,
    response_types: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_secret: Option<String>,
    /// 0: the secret does not expire by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_secret_expires_at: Option<i64>,
}

impl Registered {
    pub(crate) fn of(client: &Client, issued_at: i64) -> Self {
        let mut grant_types = vec!["authorization_code"];
        grant_types.extend(client.refresh.then_some("refresh_token"));
        Self {
            client_id: client.id.clone(),
            client_id_issued_at: issued_at,
            client_name: client.name.clone(),
            redirect_uris: client.redirect_uris.clone(),
            token_endpoint_auth_method: client.authentication.as_str(),
            grant_types,
            response_types: ["code"],
            client_secret: None,
            client_secret_expires_at: None,
        }
    }
}

/// What a client is taken to use that names no grant types, where refresh tokens are issued or not. RFC 7591 §2 says
/// `authorization_code` alone; but clients that leave the member out are surprised by a login every hour, and whether a
/// refresh token is given is decided by the person all the same. The answer says what was registered.
pub(super) fn grant_types_unsaid(refreshes: bool) -> Vec<String> {
    let mut types = vec!["authorization_code".to_owned()];
    types.extend(refreshes.then(|| "refresh_token".to_owned()));
    types
}

/// The client that this metadata makes, at an issuer that gives refresh tokens or does not. Scopes asked for at registration bind nobody: policy and the person
/// decide at each authorization (AS-17).
pub(crate) fn judge(id: ClientId, metadata: Metadata, refreshes: bool) -> Result<Client, MetadataError> {
    check_urls(&metadata)?;
    let texts = metadata.redirect_uris.unwrap_or_default();
    if texts.is_empty() || texts.len() > REDIRECT_URIS_MAX {
        return Err(MetadataError::RedirectCount);
    }
    let redirect_uris: Vec<RedirectUri> =
        texts.iter().map(|text| RedirectUri::parse(text)).collect::<Result<_, _>>()?;
    // RFC 7591 would make `client_secret_basic` of a missing method; a public native client is what registers
    // itself here, and the answer says so.
    let authentication = match metadata.token_endpoint_auth_method.as_deref() {
        None | Some("none") => ClientAuthentication::None,
        Some("client_secret_basic") => ClientAuthentication::ClientSecretBasic,
        Some("client_secret_post") => ClientAuthentication::ClientSecretPost,
        Some(_) => return Err(MetadataError::Authentication),
    };
    let grant_types = metadata.grant_types.unwrap_or_else(|| grant_types_unsaid(refreshes));
    if !grant_types.iter().any(|grant| grant == "authorization_code") {
        return Err(MetadataError::GrantTypes);
    }
    if metadata.response_types.is_some_and(|types| !types.iter().any(|kind| kind == "code")) {
        return Err(MetadataError::ResponseTypes);
    }
    Ok(Client {
        id,
        origin: ClientOrigin::Dynamic,
        name: plain_text(&metadata.client_name.unwrap_or_default(), 80),
        redirect_uris,
        authentication,
        refresh: refreshes && grant_types.iter().any(|grant| grant == "refresh_token"),
        jwks: None,
        jwks_uri: None,
        disabled: false,
    })
}

fn check_urls(metadata: &Metadata) -> Result<(), MetadataError> {
    let single = [
        ("client_uri", &metadata.client_uri),
        ("logo_uri", &metadata.logo_uri),
        ("tos_uri", &metadata.tos_uri),
        ("policy_uri", &metadata.policy_uri),
        ("jwks_uri", &metadata.jwks_uri),
        ("sector_identifier_uri", &metadata.sector_identifier_uri),
        ("initiate_login_uri", &metadata.initiate_login_uri),
        ("backchannel_logout_uri", &metadata.backchannel_logout_uri),
    ];
    let bad = single.into_iter().find(|(_, value)| value.as_deref().is_some_and(|text| !is_harmless_url(text)));
    if let Some((name, _)) = bad {
        return Err(MetadataError::Url(name));
    }
    let requests = metadata.request_uris.iter().flatten();
    if requests.into_iter().any(|text| !is_harmless_url(text)) {
        return Err(MetadataError::Url("request_uris"));
    }
    Ok(())
}

/// `https`, or `http` on loopback as development builds name their home page; written plainly.
fn is_harmless_url(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['\\', '"', '<', '>', '`']);
    let Ok(url) = Url::parse(text) else { return false };
    let loopback = url.host_str().is_some_and(sekisho_protocol::redirect::is_loopback_host);
    let scheme = match text.split_once("://") {
        Some(("https", _)) => true,
        Some(("http", _)) => loopback,
        _ => false,
    };
    plain && scheme && url.username().is_empty() && url.password().is_none()
}

#[cfg(test)]
mod tests;
