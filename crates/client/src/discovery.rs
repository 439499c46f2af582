//! From a server's URL to the issuer that grants access to it (RFC 9728, RFC 8414, OpenID Connect Discovery).

use sekisho_protocol::metadata::{AuthorizationServer, ProtectedResource};
use sekisho_protocol::pkce::CodeChallenge;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::{Scope, ScopeSet};
use url::Url;

use crate::challenge::BearerChallenge;
use crate::http::{Destination, HttpClient, HttpError, Named, Request, is_as_secure};

/// Why a server's metadata is not used.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// The fetch failed at every place; this is the error of the last one.
    #[error("the metadata of `{resource}` could not be fetched")]
    Http {
        /// The server's URL.
        resource: String,
        /// The cause.
        #[source]
        source: HttpError,
    },
    /// The challenge points from https to plain http, or its value is not a URL.
    #[error("the challenge names metadata at a place that is not as secure as the server")]
    Insecure,
    /// Something else than metadata was found, and no other place has metadata.
    #[error("what is at `{url}` is not a protected resource document (RFC 9728 §2)")]
    Malformed {
        /// The URL at which it was found.
        url: String,
    },
    /// The document describes another resource (RFC 9728 §3.3).
    #[error(
        "the metadata at `{url}` describes another resource than `{resource}`: use the URL that the server itself names"
    )]
    Mismatch {
        /// The URL of the document.
        url: String,
        /// The URL that was called.
        resource: String,
    },
    /// No place has a document.
    #[error("`{resource}` does not say who grants access to it: no protected resource metadata was found (RFC 9728)")]
    Missing {
        /// The server's URL.
        resource: String,
    },
    /// The document names no issuer.
    #[error("the metadata at `{url}` names no authorization server")]
    NoIssuer {
        /// The URL of the document.
        url: String,
    },
}

/// Why an issuer's metadata is not used.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// An endpoint is not an https URL (CL-43, CL-46).
    #[error("the authorization server `{issuer}` names an endpoint that is not an https URL")]
    Endpoint {
        /// The issuer.
        issuer: String,
    },
    /// The fetch failed at every place; this is the error of the last one.
    #[error("the metadata of the authorization server `{issuer}` could not be fetched")]
    Http {
        /// The issuer.
        issuer: String,
        /// The cause.
        #[source]
        source: HttpError,
    },
    /// The identifier is not an https URL without query and fragment (RFC 8414 §2).
    #[error("`{issuer}` is not an issuer identifier: expected an https URL without query and fragment")]
    Identifier {
        /// The identifier that was named.
        issuer: String,
    },
    /// Something else than metadata was found, and no other place has metadata.
    #[error("what is at `{url}` is not an authorization server document (RFC 8414 §2)")]
    Malformed {
        /// The URL at which it was found.
        url: String,
    },
    /// The document belongs to another issuer (RFC 8414 §3.3, CL-09).
    #[error("the metadata at `{url}` belongs to another issuer than `{issuer}`")]
    Mismatch {
        /// The URL of the document.
        url: String,
        /// The issuer that was asked for.
        issuer: String,
    },
    /// No place has a document.
    #[error("the authorization server `{issuer}` publishes no metadata")]
    Missing {
        /// The issuer.
        issuer: String,
    },
}

/// Returns the URLs at which a server's metadata may be, best first: only the URL in the challenge if there is one;
/// otherwise the well-known URL for the server's path, then the one at the root (CL-03, RFC 9728 §3.1).
pub fn resource_metadata_urls(resource: &ResourceId, challenge: Option<&BearerChallenge>) -> Vec<String> {
    if let Some(named) = challenge.and_then(|challenge| challenge.resource_metadata.as_ref()) {
        return vec![named.clone()];
    }
    let (origin, path) = split_origin(resource.as_str());
    let root = format!("{origin}/.well-known/oauth-protected-resource");
    if path.is_empty() { vec![root] } else { vec![format!("{root}{path}"), root] }
}

/// Returns the URLs at which an issuer's metadata may be, in the order of CL-08.
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

/// Splits a URL into `https://host` and `/path?query`. The last slash of a path is dropped, as the RFCs demand.
fn split_origin(url: &str) -> (&str, &str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url.bytes().skip(start).position(|b| matches!(b, b'/' | b'?')).map_or(url.len(), |at| at + start);
    let (origin, path) = url.split_at_checked(end).unwrap_or((url, ""));
    (origin, path.strip_suffix('/').unwrap_or(path))
}

/// Returns the `https://host` part of a resource.
pub(crate) fn origin_of(resource: &ResourceId) -> &str {
    split_origin(resource.as_str()).0
}

/// Finds out who grants access to `resource` (CL-01). The document must describe exactly the URL that was called; a
/// document from the well-known place at the root may also describe the whole origin (CL-04, RFC 9728 §3.3). Tokens are
/// requested for the identifier in the document.
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
                // Some servers answer every unknown path with their front page and status 200: the next place may have
                // the document.
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

/// Whether `named` is the origin of `resource` as a whole.
pub(crate) fn is_origin_of(named: &ResourceId, resource: &ResourceId) -> bool {
    let (named, resource) = (named.canonical(), resource.canonical());
    let (origin, _) = split_origin(&resource);
    named == origin
}

/// How many of a resource's authorization servers are tried.
const ISSUERS_TRIED_MAX: usize = 4;

/// Returns the first of a resource's authorization servers whose metadata can be used (CL-05). The document's `issuer`
/// says which one it is; credentials of one issuer are never shown to another (CL-06).
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

/// Fetches the metadata of an issuer that a person named (CL-07, CL-08). It is used only if it names that issuer
/// (CL-09).
pub async fn discover_issuer(http: &dyn HttpClient, issuer: &str) -> Result<AuthorizationServer, IssuerError> {
    discover_issuer_of(http, issuer, issuer).await
}

/// Does the same for an issuer that the party at `by` names.
pub async fn discover_issuer_of(
    http: &dyn HttpClient,
    by: &str,
    issuer: &str,
) -> Result<AuthorizationServer, IssuerError> {
    find_issuer(http, by, issuer, |named| is_same_issuer(named, issuer)).await
}

/// Returns the first metadata at the places of `issuer`. It is an error if they name an issuer that `is_it` rejects.
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
                // As above: status 200 alone does not mean that a document was found.
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

/// Whether two texts name the same issuer (CL-09): equal texts, or an origin with and without a slash at its end. Both
/// have the same metadata URLs (RFC 8414 §3.1), and PyPI `fastmcp` and `mcp` write such an issuer with the slash in one
/// document and without it in the other. If there is a path, an additional slash makes it another issuer.
pub fn is_same_issuer(one: &str, other: &str) -> bool {
    let without = |text: &str| -> Option<String> {
        let origin = text.strip_suffix('/').unwrap_or(text);
        let (scheme, authority) = origin.split_once("://")?;
        let is_bare = !scheme.is_empty() && !authority.is_empty() && !authority.contains(['/', '?', '#']);
        is_bare.then(|| origin.to_owned())
    };
    one == other || without(one).is_some_and(|one| without(other) == Some(one))
}

/// Returns the authorization server of a server without protected resource metadata, as 2025-03-26 defined it
/// (Authorization, §2.3): the metadata at the server's origin, or, without metadata there, the paths of §2.3.3.
///
/// No issuer was named, so the origin is taken as the issuer. Metadata there may name another issuer within the origin,
/// as that of some servers of that revision does. That name is not used: what is kept for an issuer of that name is not
/// shown here. Tokens of such a server are not bound to a resource: other servers of the same origin may accept them
/// too.
pub async fn discover_origin(http: &dyn HttpClient, resource: &ResourceId) -> Result<AuthorizationServer, IssuerError> {
    let origin = origin_of(resource);
    match find_issuer(http, resource.as_str(), origin, |named| split_origin(named).0 == origin).await {
        Ok(server) => Ok(AuthorizationServer { issuer: origin.to_owned(), ..server }),
        Err(IssuerError::Missing { .. } | IssuerError::Malformed { .. }) => Ok(at_the_paths(origin)),
        Err(error) => Err(error),
    }
}

/// An authorization server without metadata, at the paths of 2025-03-26. That revision required PKCE of every client.
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

/// Selects the scopes for the first request: those of the challenge, else all that the resource lists, else none is
/// named (CL-22). `offline_access` is added if the issuer supports it (CL-40).
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
