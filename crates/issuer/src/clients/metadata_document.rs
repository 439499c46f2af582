//! Client ID metadata documents (draft-ietf-oauth-client-id-metadata-document): fetched when a client names itself
//! by a URL, believed only as far as they speak for that URL.

use std::sync::Arc;

use http::StatusCode;
use http::header::CACHE_CONTROL;
use sekisho_client::http::{Destination, HttpError, Named, Request, Response, may_name};
use sekisho_protocol::env::after;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::{Client, ClientAuthentication, ClientOrigin};
use sekisho_protocol::text::plain_text;
use sekisho_token::PublicKeys;
use sekisho_web::Visit;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::{Host, Url};

use super::documents::Believed;
use super::dynamic::{REDIRECT_URIS_MAX, grant_types_unsaid};
use crate::Issuer;
use crate::settings::DocumentPolicy;

/// The longest document that is read, in bytes (AS-32).
const DOCUMENT_BYTES_MAX: usize = 5 * 1024;

/// How long a document is believed, in seconds: at least, unless it says otherwise, and at most (AS-30, ATK-32).
const AGE_SECONDS_MIN: u32 = 60;
const AGE_SECONDS: u32 = 3_600;
const AGE_SECONDS_MAX: u32 = 24 * 3_600;

/// For how long a document that was read is believed beyond its time while it cannot be fetched, in seconds: the outage of
/// a host, or a flood that keeps us from asking it, does not end the work of a client that people use.
const STALE_SECONDS_MAX: u32 = 24 * 3_600;

/// Why a document is not believed. The records say it; the caller is not told (ATK-29).
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error("too many documents are being fetched at the moment")]
    Busy,
    #[error("the document cannot be used: {0}")]
    Content(&'static str),
    #[error("the document could not be fetched")]
    Fetch(#[source] Arc<HttpError>),
    #[error("documents of this host are not accepted here")]
    Policy,
    #[error("the document was answered with status {0}")]
    Status(StatusCode),
    #[error("the client identifier is not the URL of a document: {0}")]
    Url(&'static str),
}

/// The client that a document describes, fetched again when its time is over.
pub(crate) async fn find(
    issuer: &Issuer,
    visit: &Visit,
    id: &ClientId,
    is_stored: bool,
) -> Result<Arc<Client>, DocumentError> {
    let (documents, now) = (&issuer.documents, visit.now);
    let url = check_url(id)?;
    check_policy(&issuer.settings.client_documents, &url)?;
    if let Some(known) = documents.cache.get(id).await {
        if now < known.until {
            return Ok(known.client);
        }
        documents.cache.invalidate(id).await;
    }
    let before = documents.good.get(id).await;
    let was_read = is_stored || before.is_some();
    let fetched = documents.cache.try_get_with(id.clone(), fetch(issuer, visit, id, &url, was_read)).await;
    match (fetched, before) {
        (Ok(believed), _) => {
            documents.good.insert(id.clone(), believed.clone()).await;
            Ok(believed.client)
        }
        (Err(error), Some(before)) if error.is_passing() && now < after(before.until, STALE_SECONDS_MAX) => {
            tracing::info!(request = %visit.request, client = %id, error = &*error as &dyn std::error::Error, "a client's document cannot be fetched; what was read last counts");
            Ok(before.client)
        }
        (Err(error), _) => {
            // What the host takes back, or changes into something that cannot be used, is not good any more.
            if !error.is_passing() {
                documents.good.invalidate(id).await;
            }
            Err(error.again())
        }
    }
}

impl DocumentError {
    /// The same error for each of those who waited for one fetch.
    fn again(&self) -> Self {
        match self {
            Self::Busy => Self::Busy,
            Self::Content(what) => Self::Content(what),
            Self::Fetch(source) => Self::Fetch(Arc::clone(source)),
            Self::Policy => Self::Policy,
            Self::Status(status) => Self::Status(*status),
            Self::Url(what) => Self::Url(what),
        }
    }
}

/// AS-26: https, a path, no userinfo, no fragment, no dot segments, and only one way to write it. Anything else is
/// refused before a packet leaves.
fn check_url(id: &ClientId) -> Result<Url, DocumentError> {
    let text = id.as_str();
    let rest = text.strip_prefix("https://").ok_or(DocumentError::Url("it must begin with `https://`"))?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at_checked(at).unwrap_or((rest, "")),
        None => (rest, ""),
    };
    if text.contains(['#', '\\', '"', '<', '>', '`', '{', '}', '|', '^']) {
        return Err(DocumentError::Url("it holds a fragment or a character that a URL cannot hold"));
    }
    if authority.is_empty() || authority.contains(['@', '?', '%']) {
        return Err(DocumentError::Url("its authority must be a plain host, with a port at most"));
    }
    if path.len() < 2 || path.starts_with("/?") {
        return Err(DocumentError::Url("it must have a path"));
    }
    let before_query = path.split('?').next().unwrap_or_default().to_ascii_lowercase();
    let dotted =
        before_query.split('/').skip(1).any(|segment| matches!(segment.replace("%2e", ".").as_str(), "." | ".."));
    if dotted {
        return Err(DocumentError::Url("its path must not have dot segments"));
    }
    let url = Url::parse(text).map_err(|_| DocumentError::Url("it is not a URL"))?;
    // A name that a parser rewrites (case, default port, other notations of an address) is not the one written.
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    if authority != format!("{host}{port}") || host.ends_with('.') {
        return Err(DocumentError::Url("its host or port is written in an unusual way"));
    }
    match url.host() {
        Some(Host::Domain(_)) => Ok(url),
        _ => Err(DocumentError::Url("its host must be a name")),
    }
}

/// AS-37: whose documents are accepted.
fn check_policy(policy: &DocumentPolicy, url: &Url) -> Result<(), DocumentError> {
    let host = url.host_str().unwrap_or_default();
    let accepted = match policy {
        DocumentPolicy::Any => true,
        DocumentPolicy::Hosts(hosts) => hosts.iter().any(|accepted| accepted == host),
        DocumentPolicy::Off => false,
    };
    if accepted { Ok(()) } else { Err(DocumentError::Policy) }
}

async fn fetch(
    issuer: &Issuer,
    visit: &Visit,
    id: &ClientId,
    url: &Url,
    was_read: bool,
) -> Result<Believed, DocumentError> {
    let limits = &issuer.limits;
    let may = if was_read {
        limits.may_fetch_again(id.as_str())
    } else {
        limits.may_fetch_first(id.as_str(), url.host_str().unwrap_or_default(), visit.peer)
    };
    if !may {
        return Err(DocumentError::Busy);
    }
    // Documents that were read before do not wait for those of strangers.
    let room = if was_read { &limits.fetching_again } else { &limits.fetching };
    let _room = room.try_acquire().map_err(|_| DocumentError::Busy)?;
    let mut request = Request::get(Destination::brought(Named::ClientDocument, id.as_str()));
    request.body_bytes_max = DOCUMENT_BYTES_MAX;
    let response = issuer.http.send(request).await.map_err(|error| DocumentError::Fetch(Arc::new(error)))?;
    let client = understand(id, &response)?;
    Ok(Believed { client: Arc::new(client), until: after(visit.now, age_seconds(&response)) })
}

/// AS-30: as long as the answer allows, within our own bounds.
fn age_seconds(response: &Response) -> u32 {
    let value = response.headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let value = value.to_ascii_lowercase();
    let mut directives = value.split(',').map(str::trim);
    if directives.clone().any(|directive| matches!(directive, "no-store" | "no-cache")) {
        return AGE_SECONDS_MIN;
    }
    let age = directives.find_map(|directive| directive.strip_prefix("max-age="));
    age.map_or(AGE_SECONDS, |age| age.trim_matches('"').parse().unwrap_or(AGE_SECONDS))
        .clamp(AGE_SECONDS_MIN, AGE_SECONDS_MAX)
}

/// The members that are read. One that occurs twice is an error; others fall away.
#[derive(Deserialize)]
struct Document {
    client_id: String,
    client_name: String,
    redirect_uris: Vec<String>,
    token_endpoint_auth_method: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    jwks: Option<Box<RawValue>>,
    jwks_uri: Option<String>,
    client_secret: Option<serde::de::IgnoredAny>,
    client_secret_expires_at: Option<serde::de::IgnoredAny>,
}

/// Reads an answer (AS-25, AS-27, AS-29, AS-33).
fn understand(id: &ClientId, response: &Response) -> Result<Client, DocumentError> {
    if response.status != StatusCode::OK {
        return Err(DocumentError::Status(response.status));
    }
    if response.body.len() > DOCUMENT_BYTES_MAX {
        return Err(DocumentError::Content("it is longer than 5 KB"));
    }
    let document: Document =
        response.json().ok_or(DocumentError::Content("it is not JSON with the required members"))?;
    if document.client_id != id.as_str() {
        return Err(DocumentError::Content("its `client_id` is another one"));
    }
    if document.client_secret.is_some() || document.client_secret_expires_at.is_some() {
        return Err(DocumentError::Content("it holds a secret"));
    }
    if document.redirect_uris.is_empty() || document.redirect_uris.len() > REDIRECT_URIS_MAX {
        return Err(DocumentError::Content("it has no or too many redirect URIs"));
    }
    let redirect_uris: Result<Vec<RedirectUri>, _> =
        document.redirect_uris.iter().map(|text| RedirectUri::parse(text)).collect();
    let redirect_uris =
        redirect_uris.map_err(|_| DocumentError::Content("it holds a redirect URI that is not allowed"))?;
    let name = plain_text(&document.client_name, 80);
    if name.is_empty() {
        return Err(DocumentError::Content("it has no name"));
    }
    let grants = document.grant_types.unwrap_or_else(|| grant_types_unsaid(true));
    let code = document.response_types.is_none_or(|types| types.iter().any(|kind| kind == "code"));
    if !code || !grants.iter().any(|grant| grant == "authorization_code") {
        return Err(DocumentError::Content("it does not use the authorization code flow"));
    }
    let authentication = authentication(document.token_endpoint_auth_method.as_deref())?;
    let (jwks, jwks_uri) = keys(id, authentication, document.jwks, document.jwks_uri)?;
    Ok(Client {
        id: id.clone(),
        origin: ClientOrigin::MetadataDocument,
        name,
        redirect_uris,
        authentication,
        refresh: grants.iter().any(|grant| grant == "refresh_token"),
        jwks,
        jwks_uri,
        disabled: false,
    })
}

/// AS-33: nothing that rests on a shared secret.
fn authentication(method: Option<&str>) -> Result<ClientAuthentication, DocumentError> {
    match method {
        None | Some("none") => Ok(ClientAuthentication::None),
        Some("private_key_jwt") => Ok(ClientAuthentication::PrivateKeyJwt),
        Some(_) => Err(DocumentError::Content("its method of authentication is not allowed in a document")),
    }
}

/// AS-33, AS-34: public keys only, and exactly one place for them where they are needed.
fn keys(
    client: &ClientId,
    authentication: ClientAuthentication,
    jwks: Option<Box<RawValue>>,
    jwks_uri: Option<String>,
) -> Result<(Option<String>, Option<String>), DocumentError> {
    if let Some(jwks) = &jwks {
        PublicKeys::parse(jwks.get()).map_err(|_| DocumentError::Content("its `jwks` is no set of public keys"))?;
    }
    if let Some(uri) = &jwks_uri {
        let id = ClientId::parse(uri).map_err(|_| DocumentError::Content("its `jwks_uri` is not a URL"))?;
        check_url(&id).map_err(|_| DocumentError::Content("its `jwks_uri` is not a plain https URL"))?;
        if !may_name(Named::ClientKeys, client.as_str(), uri) {
            return Err(DocumentError::Content("its `jwks_uri` lies further inside than the document"));
        }
    }
    match (authentication, jwks, jwks_uri) {
        (ClientAuthentication::PrivateKeyJwt, Some(jwks), None) => Ok((Some(jwks.get().to_owned()), None)),
        (ClientAuthentication::PrivateKeyJwt, None, Some(uri)) => Ok((None, Some(uri))),
        (ClientAuthentication::PrivateKeyJwt, _, _) => {
            Err(DocumentError::Content("it needs either `jwks` or `jwks_uri` to authenticate with a key"))
        }
        _ => Ok((None, None)),
    }
}

/// Whether a document was refused because of load, so that asking again later may help.
impl DocumentError {
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Busy | Self::Fetch(_) => true,
            Self::Status(status) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Content(_) | Self::Policy | Self::Url(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
