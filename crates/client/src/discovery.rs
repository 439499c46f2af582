//! From a server's URL to the issuer that grants access to it (RFC 9728, RFC 8414, OpenID Connect Discovery).

use sekisho_protocol::metadata::{AuthorizationServer, ProtectedResource};
use sekisho_protocol::pkce::CodeChallenge;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::{Scope, ScopeSet};
use url::Url;

use crate::challenge::BearerChallenge;
use crate::http::{Destination, HttpClient, HttpError, Named, Request, is_as_secure};

/// Why a server's description of itself is not used.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// The fetch failed at every place, for this reason at the last.
    #[error("the metadata of `{resource}` could not be fetched")]
    Http {
        /// The server's URL.
        resource: String,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// The challenge points from https to plain http, or to no URL.
    #[error("the challenge names metadata at a place that is not as secure as the server")]
    Insecure,
    /// Something is there, it is no such document, and no other place has one.
    #[error("what is at `{url}` is not a protected resource document (RFC 9728 §2)")]
    Malformed {
        /// Where.
        url: String,
    },
    /// The document is about another resource (RFC 9728 §3.3).
    #[error(
        "the metadata at `{url}` describes another resource than `{resource}`: use the URL that the server itself names"
    )]
    Mismatch {
        /// Where.
        url: String,
        /// The URL that was called.
        resource: String,
    },
    /// No document at any place.
    #[error("`{resource}` does not say who grants access to it: no protected resource metadata was found (RFC 9728)")]
    Missing {
        /// The server's URL.
        resource: String,
    },
    /// No issuer in the document.
    #[error("the metadata at `{url}` names no authorization server")]
    NoIssuer {
        /// Where.
        url: String,
    },
}

/// Why an issuer's description of itself is not used.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// An endpoint is no https URL (CL-43, CL-46).
    #[error("the authorization server `{issuer}` names an endpoint that is not an https URL")]
    Endpoint {
        /// The issuer.
        issuer: String,
    },
    /// The fetch failed at every place, for this reason at the last.
    #[error("the metadata of the authorization server `{issuer}` could not be fetched")]
    Http {
        /// The issuer.
        issuer: String,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// Not an https URL without query and fragment (RFC 8414 §2).
    #[error("`{issuer}` is not an issuer identifier: expected an https URL without query and fragment")]
    Identifier {
        /// What was named.
        issuer: String,
    },
    /// Something is there, it is no such document, and no other place has one.
    #[error("what is at `{url}` is not an authorization server document (RFC 8414 §2)")]
    Malformed {
        /// Where.
        url: String,
    },
    /// The document is another issuer's (RFC 8414 §3.3, CL-09).
    #[error("the metadata at `{url}` belongs to another issuer than `{issuer}`")]
    Mismatch {
        /// Where.
        url: String,
        /// The issuer that was asked for.
        issuer: String,
    },
    /// No document at any place.
    #[error("the authorization server `{issuer}` publishes no metadata")]
    Missing {
        /// The issuer.
        issuer: String,
    },
}

/// Where a server's metadata may be, best first: the challenge's place wins; otherwise the well-known place for
/// its path, then the one at the root (CL-03, RFC 9728 §3.1).
pub fn resource_metadata_urls(resource: &ResourceId, challenge: Option<&BearerChallenge>) -> Vec<String> {
    if let Some(named) = challenge.and_then(|challenge| challenge.resource_metadata.as_ref()) {
        return vec![named.clone()];
    }
    let (origin, path) = split_origin(resource.as_str());
    let root = format!("{origin}/.well-known/oauth-protected-resource");
    if path.is_empty() { vec![root] } else { vec![format!("{root}{path}"), root] }
}

/// Where an issuer's metadata may be, in the order of CL-08.
pub fn issuer_metadata_urls(issuer: &str) -> Vec<String> {
    let (origin, path) = split_origin(issuer);
    let mut urls = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        urls.push(format!("{origin}{path}/.well-known/openid-configuration"));
    }
    urls
}

/// `https://host` and `/path?query`; the lone or last slash of a path is dropped, as the RFCs have it.
fn split_origin(url: &str) -> (&str, &str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url.bytes().skip(start).position(|b| matches!(b, b'/' | b'?')).map_or(url.len(), |at| at + start);
    let (origin, path) = url.split_at_checked(end).unwrap_or((url, ""));
    (origin, path.strip_suffix('/').unwrap_or(path))
}

/// `https://host` of a resource.
pub(crate) fn origin_of(resource: &ResourceId) -> &str {
    split_origin(resource.as_str()).0
}

/// Finds out who grants access to `resource` (CL-01). The document must be about exactly the URL that was called, or,
/// where it came from the well-known place at the root, about the origin that this place belongs to (CL-04, RFC 9728
/// §3.3). What the document names is the identifier that tokens are asked for.
pub async fn discover_resource(
    http: &dyn HttpClient,
    resource: &ResourceId,
    challenge: Option<&BearerChallenge>,
) -> Result<ProtectedResource, ResourceError> {
    let mut failure = ResourceError::Missing { resource: resource.as_str().to_owned() };
    let led = challenge.is_some_and(|challenge| challenge.resource_metadata.is_some());
    let what = if led { Named::ResourceMetadata } else { Named::WellKnown };
    for url in resource_metadata_urls(resource, challenge) {
        let to = Destination::named(what, resource.as_str(), &url).map_err(|_| ResourceError::Insecure)?;
        match http.send(Request::get(to)).await {
            Ok(response) if response.status.as_u16() == 200 => {
                // Some servers answer every unknown path with their front page, and 200: the next place may have the document.
                let Some(document) = response.json::<ProtectedResource>() else {
                    failure = ResourceError::Malformed { url };
                    continue;
                };
                return check_resource(resource, &url, challenge, document);
            }
            Ok(_) => {}
            Err(source) => failure = ResourceError::Http { resource: resource.as_str().to_owned(), source },
        }
    }
    Err(failure)
}

fn check_resource(
    resource: &ResourceId,
    url: &str,
    challenge: Option<&BearerChallenge>,
    document: ProtectedResource,
) -> Result<ProtectedResource, ResourceError> {
    let led_here = challenge.is_some_and(|challenge| challenge.resource_metadata.is_some());
    let at_root = !led_here && url.ends_with("/.well-known/oauth-protected-resource");
    let is_about = |named: &ResourceId| *named == *resource || (at_root && is_origin_of(named, resource));
    if !ResourceId::parse(&document.resource).is_ok_and(|named| is_about(&named)) {
        return Err(ResourceError::Mismatch { url: url.to_owned(), resource: resource.as_str().to_owned() });
    }
    if document.authorization_servers.is_empty() {
        return Err(ResourceError::NoIssuer { url: url.to_owned() });
    }
    Ok(document)
}

/// Whether `named` is the whole origin in which `resource` is.
pub(crate) fn is_origin_of(named: &ResourceId, resource: &ResourceId) -> bool {
    let (named, resource) = (named.canonical(), resource.canonical());
    let (origin, _) = split_origin(&resource);
    named == origin
}

/// How many of a resource's authorization servers are tried.
const ISSUERS_TRIED_MAX: usize = 4;

/// The first of a resource's authorization servers that describes itself (CL-05). Which one it was is the
/// document's `issuer`; credentials of one are never shown to another (CL-06).
pub async fn discover_any_issuer(
    http: &dyn HttpClient,
    resource: &ProtectedResource,
) -> Result<AuthorizationServer, IssuerError> {
    let mut failure = IssuerError::Identifier { issuer: String::new() };
    for issuer in resource.authorization_servers.iter().take(ISSUERS_TRIED_MAX) {
        match discover_issuer_of(http, &resource.resource, issuer).await {
            Ok(server) => return Ok(server),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The metadata of an issuer that a person named (CL-07, CL-08), used only if it says that it is that issuer's (CL-09).
pub async fn discover_issuer(http: &dyn HttpClient, issuer: &str) -> Result<AuthorizationServer, IssuerError> {
    discover_issuer_of(http, issuer, issuer).await
}

/// The same for an issuer that the party at `by` names.
pub async fn discover_issuer_of(
    http: &dyn HttpClient,
    by: &str,
    issuer: &str,
) -> Result<AuthorizationServer, IssuerError> {
    find_issuer(http, by, issuer, |named| is_same_issuer(named, issuer)).await
}

/// The metadata at the places of `issuer`, if what they call themselves counts as it.
async fn find_issuer(
    http: &dyn HttpClient,
    by: &str,
    issuer: &str,
    is_it: impl Fn(&str) -> bool,
) -> Result<AuthorizationServer, IssuerError> {
    let plain = Url::parse(issuer).is_ok_and(|url| url.query().is_none() && url.fragment().is_none());
    if !plain || !is_as_secure(by, issuer) {
        return Err(IssuerError::Identifier { issuer: issuer.to_owned() });
    }
    let mut failure = IssuerError::Missing { issuer: issuer.to_owned() };
    for url in issuer_metadata_urls(issuer) {
        let to = Destination::named(Named::AuthorizationServer, by, &url)
            .map_err(|_| IssuerError::Identifier { issuer: issuer.to_owned() })?;
        match http.send(Request::get(to)).await {
            Ok(response) if response.status.as_u16() == 200 => {
                // As above: a 200 alone does not say that a document is there.
                let Some(document) = response.json::<AuthorizationServer>() else {
                    failure = IssuerError::Malformed { url };
                    continue;
                };
                if !is_it(&document.issuer) {
                    return Err(IssuerError::Mismatch { url, issuer: issuer.to_owned() });
                }
                return check_endpoints(issuer, document);
            }
            Ok(_) => {}
            Err(source) => failure = IssuerError::Http { issuer: issuer.to_owned(), source },
        }
    }
    Err(failure)
}

/// Whether two texts name one issuer (CL-09): the same text, or an origin with and without the slash of its empty path.
/// Both have the same metadata URLs (RFC 8414 §3.1), and PyPI `fastmcp` and `mcp` write such an issuer with the slash
/// in one document and without it in the other. Where there is a path, a slash more is another issuer.
pub fn is_same_issuer(one: &str, other: &str) -> bool {
    let without = |text: &str| -> Option<String> {
        let origin = text.strip_suffix('/').unwrap_or(text);
        let (scheme, authority) = origin.split_once("://")?;
        let is_bare = !scheme.is_empty() && !authority.is_empty() && !authority.contains(['/', '?', '#']);
        is_bare.then(|| origin.to_owned())
    };
    one == other || without(one).is_some_and(|one| without(other) == Some(one))
}

/// The authorization server of a server without protected resource metadata, as 2025-03-26 had it (Authorization,
/// §2.3): at the origin of the server; without metadata there, at the paths of §2.3.3.
///
/// No issuer was named, so the origin is taken. Metadata there may call themselves otherwise within the origin, as
/// some servers of that revision do, and that name is not used: what is kept for an issuer of that name stays with it.
/// Tokens of such a server are bound to no resource: other servers of the same origin may take them, too.
pub async fn discover_origin(http: &dyn HttpClient, resource: &ResourceId) -> Result<AuthorizationServer, IssuerError> {
    let origin = origin_of(resource);
    match find_issuer(http, resource.as_str(), origin, |named| split_origin(named).0 == origin).await {
        Ok(server) => Ok(AuthorizationServer { issuer: origin.to_owned(), ..server }),
        Err(IssuerError::Missing { .. } | IssuerError::Malformed { .. }) => Ok(at_the_paths(origin)),
        Err(error) => Err(error),
    }
}

/// An authorization server that publishes nothing, at the paths of 2025-03-26. PKCE was required of every client there.
fn at_the_paths(origin: &str) -> AuthorizationServer {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    AuthorizationServer {
        issuer: origin.to_owned(),
        authorization_endpoint: format!("{origin}/authorize"),
        token_endpoint: format!("{origin}/token"),
        registration_endpoint: Some(format!("{origin}/register")),
        revocation_endpoint: None,
        jwks_uri: None,
        scopes_supported: Vec::new(),
        response_types_supported: texts(&["code"]),
        response_modes_supported: Vec::new(),
        grant_types_supported: texts(&["authorization_code", "refresh_token"]),
        token_endpoint_auth_methods_supported: Vec::new(),
        token_endpoint_auth_signing_alg_values_supported: Vec::new(),
        revocation_endpoint_auth_methods_supported: Vec::new(),
        code_challenge_methods_supported: texts(&[CodeChallenge::METHOD]),
        authorization_details_types_supported: Vec::new(),
        authorization_response_iss_parameter_supported: false,
        client_id_metadata_document_supported: false,
        dpop_signing_alg_values_supported: Vec::new(),
        ui_locales_supported: Vec::new(),
    }
}

fn check_endpoints(issuer: &str, document: AuthorizationServer) -> Result<AuthorizationServer, IssuerError> {
    let required = [&document.authorization_endpoint, &document.token_endpoint];
    let offered = [&document.registration_endpoint, &document.revocation_endpoint, &document.jwks_uri];
    let secure =
        required.into_iter().chain(offered.into_iter().flatten()).all(|endpoint| is_as_secure(issuer, endpoint));
    if !secure {
        return Err(IssuerError::Endpoint { issuer: issuer.to_owned() });
    }
    Ok(document)
}

/// What to ask for at first: the challenge's scopes, else all that the resource lists, else nothing is named
/// (CL-22). `offline_access` is added where the issuer knows it (CL-40).
pub fn select_scopes(
    challenge: Option<&BearerChallenge>,
    resource: &ProtectedResource,
    server: &AuthorizationServer,
) -> Option<ScopeSet> {
    let challenged = challenge.and_then(|challenge| challenge.scope.clone());
    let listed =
        || (!resource.scopes_supported.is_empty()).then(|| resource.scopes_supported.iter().cloned().collect());
    let scopes: ScopeSet = challenged.or_else(listed)?;
    let offline = server.scopes_supported.contains(&Scope::offline_access()).then(Scope::offline_access);
    Some(scopes.union(&offline.into_iter().collect()))
}

#[cfg(test)]
mod tests;
