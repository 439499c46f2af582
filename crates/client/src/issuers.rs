//! The metadata of external authorization servers, as a protected resource needs them: where their keys are, and where a
//! token can be introspected (RFC 8414, OpenID Connect Discovery 1.0). They are cached, and used for a bounded time while
//! an issuer does not respond.

use std::fmt::{self, Debug};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use moka::sync::Cache;
use sekisho_protocol::metadata::AuthorizationServer;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::discovery::issuer_metadata_urls;
use crate::http::{Destination, HttpClient, HttpError, Named, Request, is_as_secure};

/// An authorization server with usable metadata, whose endpoints are as secure as its issuer URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIssuer {
    /// Its issuer identifier and its endpoints.
    pub server: AuthorizationServer,
    /// The URL of its keys, if it publishes some.
    pub keys: Option<Destination>,
    /// Where its tokens can be introspected (RFC 7662), if it offers that.
    pub introspection_endpoint: Option<String>,
}

/// Why an issuer's metadata are not known.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenIssuerError {
    /// An endpoint is less secure than the issuer URL.
    #[error("`{issuer}` names as `{member}` no https URL, or one that lies further inside than itself")]
    Endpoint {
        /// The issuer.
        issuer: String,
        /// The metadata member of the endpoint.
        member: &'static str,
    },
    /// The fetch failed.
    #[error("the metadata of `{issuer}` could not be fetched")]
    Http {
        /// The issuer.
        issuer: String,
        /// The cause.
        #[source]
        source: Arc<HttpError>,
    },
    /// The issuer is not an https URL.
    #[error("`{issuer}` is not an issuer identifier: expected an https URL without query and fragment")]
    Identifier {
        /// The issuer that was named.
        issuer: String,
    },
    /// No place has metadata.
    #[error("`{issuer}` does not describe itself: there are no metadata (RFC 8414 §3)")]
    Missing {
        /// The issuer.
        issuer: String,
    },
    /// The document names another issuer (RFC 8414 §3.3).
    #[error("the metadata at `{url}` name another issuer: write `issuer` as they do, if that is the one you mean")]
    Mismatch {
        /// The URL.
        url: String,
    },
    /// A fetch failed a moment ago, and the next attempt is not allowed yet.
    #[error("the metadata of `{issuer}` could not be fetched a moment ago")]
    Wait {
        /// The issuer.
        issuer: String,
    },
}

/// A cache of the metadata of issuers that the configuration names. There is one fetch at a time for each.
pub struct TokenIssuers {
    http: Arc<dyn HttpClient>,
    known: Cache<String, Arc<Mutex<CachedIssuer>>>,
}

#[derive(Default)]
struct CachedIssuer {
    /// The last usable metadata, and when they were fetched.
    good: Option<(Arc<TokenIssuer>, Timestamp)>,
    /// When a fetch failed last.
    failed_at: Option<Timestamp>,
}

/// The members of the document that are used.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    #[serde(default)]
    authorization_endpoint: String,
    #[serde(default)]
    token_endpoint: String,
    #[serde(default)]
    jwks_uri: Option<String>,
    #[serde(default)]
    introspection_endpoint: Option<String>,
}

impl TokenIssuers {
    /// How many issuers are cached; the least recently used one is dropped.
    const ISSUERS_MAX: u64 = 1000;
    /// How long metadata are used without a new fetch.
    const FRESH: SignedDuration = SignedDuration::from_mins(15);
    /// How long the last metadata are used while fetches fail.
    const STALE_MAX: SignedDuration = SignedDuration::from_hours(4);
    /// How long to wait after a failed fetch.
    const PAUSE: SignedDuration = SignedDuration::from_secs(5);

    /// Creates an empty cache that fetches through `http`.
    pub fn new(http: Arc<dyn HttpClient>) -> Self {
        Self { http, known: Cache::new(Self::ISSUERS_MAX) }
    }

    /// Returns the metadata of an issuer. They are at most a quarter of an hour old if it responds, and a few hours
    /// otherwise.
    pub async fn current(&self, issuer: &str, now: Timestamp) -> Result<Arc<TokenIssuer>, TokenIssuerError> {
        let known = self.known.get_with_by_ref(issuer, Arc::default);
        // Held across the fetch on purpose: other tasks that want the same issuer wait for its outcome.
        let mut known = known.lock().await;
        let age = known.good.as_ref().map(|(_, from)| now.duration_since(*from));
        if let Some((good, _)) = known.good.as_ref().filter(|_| age.is_some_and(|age| age < Self::FRESH)) {
            return Ok(Arc::clone(good));
        }
        let error = if known.failed_at.is_some_and(|at| now.duration_since(at) < Self::PAUSE) {
            TokenIssuerError::Wait { issuer: issuer.to_owned() }
        } else {
            match fetch(&*self.http, issuer).await {
                Ok(fetched) => {
                    let fetched = Arc::new(fetched);
                    *known = CachedIssuer { good: Some((Arc::clone(&fetched), now)), failed_at: None };
                    return Ok(fetched);
                }
                Err(error) => {
                    known.failed_at = Some(now);
                    error
                }
            }
        };
        match &known.good {
            Some((good, _)) if age.is_some_and(|age| age < Self::STALE_MAX) => Ok(Arc::clone(good)),
            _ => Err(error),
        }
    }
}

/// Fetches the metadata from the first place that has some. They have to name exactly this issuer, because the `iss` of
/// tokens is compared with the same text.
async fn fetch(http: &dyn HttpClient, issuer: &str) -> Result<TokenIssuer, TokenIssuerError> {
    let plain = url::Url::parse(issuer).is_ok_and(|url| url.query().is_none() && url.fragment().is_none());
    if !plain || !is_as_secure(issuer, issuer) {
        return Err(TokenIssuerError::Identifier { issuer: issuer.to_owned() });
    }
    let mut failure = TokenIssuerError::Missing { issuer: issuer.to_owned() };
    for url in issuer_metadata_urls(issuer) {
        let failed = |source| TokenIssuerError::Http { issuer: issuer.to_owned(), source: Arc::new(source) };
        let to = Destination::named(Named::WellKnown, issuer, &url).map_err(failed)?;
        let response = match http.send(Request::get(to)).await {
            Ok(response) => response,
            Err(error) => {
                failure = failed(error);
                continue;
            }
        };
        let document = (response.status.as_u16() == 200).then(|| response.json::<Document>()).flatten();
        let Some(document) = document else { continue };
        if document.issuer != issuer {
            return Err(TokenIssuerError::Mismatch { url });
        }
        return document.read();
    }
    Err(failure)
}

impl Document {
    /// Returns the issuer, if every URL that is used is as secure as its issuer URL.
    fn read(self) -> Result<TokenIssuer, TokenIssuerError> {
        let named = |what, member, url: &str| {
            let error = || TokenIssuerError::Endpoint { issuer: self.issuer.clone(), member };
            Destination::named(what, &self.issuer, url).map_err(|_| error())
        };
        let keys = self.jwks_uri.as_deref().map(|url| named(Named::ProviderKeys, "jwks_uri", url)).transpose()?;
        if let Some(url) = &self.introspection_endpoint {
            named(Named::IntrospectionEndpoint, "introspection_endpoint", url)?;
        }
        let server = AuthorizationServer {
            issuer: self.issuer,
            authorization_endpoint: self.authorization_endpoint,
            token_endpoint: self.token_endpoint,
            registration_endpoint: None,
            revocation_endpoint: None,
            jwks_uri: self.jwks_uri,
            scopes_supported: Vec::new(),
            response_types_supported: Vec::new(),
            response_modes_supported: Vec::new(),
            grant_types_supported: Vec::new(),
            token_endpoint_auth_methods_supported: Vec::new(),
            token_endpoint_auth_signing_alg_values_supported: Vec::new(),
            revocation_endpoint_auth_methods_supported: Vec::new(),
            code_challenge_methods_supported: Vec::new(),
            authorization_details_types_supported: Vec::new(),
            authorization_response_iss_parameter_supported: false,
            client_id_metadata_document_supported: false,
            dpop_signing_alg_values_supported: Vec::new(),
            ui_locales_supported: Vec::new(),
        };
        Ok(TokenIssuer { server, keys, introspection_endpoint: self.introspection_endpoint })
    }
}

impl Debug for TokenIssuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuers").field("known", &self.known.entry_count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::{TokenIssuerError, TokenIssuers};
    use crate::http::Scripted;

    const ISSUER: &str = "https://login.test/tenant";
    const FIRST: &str = "GET https://login.test/.well-known/oauth-authorization-server/tenant";
    const SECOND: &str = "GET https://login.test/.well-known/openid-configuration/tenant";
    const THIRD: &str = "GET https://login.test/tenant/.well-known/openid-configuration";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn document() -> Value {
        json!({
            "issuer": ISSUER, "token_endpoint": "https://login.test/token", "jwks_uri": "https://login.test/keys",
            "introspection_endpoint": "https://login.test/introspect",
        })
    }

    fn issuers(http: Scripted) -> (Arc<Scripted>, TokenIssuers) {
        let http = Arc::new(http);
        (Arc::clone(&http), TokenIssuers::new(http))
    }

    /// Metadata are found at each of the places, are cached, and are used for some hours while the issuer is down.
    #[tokio::test]
    async fn metadata_are_cached_and_outlast_a_failure() {
        let html: &[(&'static str, &str)] = &[("content-type", "text/html")];
        let http = Scripted::default()
            .with(FIRST, 404, html, "no")
            .with(SECOND, 404, html, "no")
            .json(THIRD, 200, &document())
            .with(THIRD, 503, html, "busy");
        let (http, issuers) = issuers(http);
        for second in [0, 899] {
            let found = issuers.current(ISSUER, at(second)).await.unwrap();
            assert_eq!(found.keys.as_ref().unwrap().as_str(), "https://login.test/keys");
            assert_eq!(found.introspection_endpoint.as_deref(), Some("https://login.test/introspect"));
        }
        assert_eq!(http.lines().len(), 3);
        for second in [900, 901, 904, 14_399] {
            assert!(issuers.current(ISSUER, at(second)).await.is_ok(), "{second}");
        }
        assert_eq!(http.lines().len(), 9);
        assert!(matches!(issuers.current(ISSUER, at(14_400)).await, Err(TokenIssuerError::Wait { .. })));
        assert!(matches!(issuers.current(ISSUER, at(14_405)).await, Err(TokenIssuerError::Missing { .. })));
    }

    /// ATK-85, ATK-381: metadata that name another issuer, or what lies further inside, are not used.
    #[tokio::test]
    async fn metadata_of_another_issuer_are_not_used() {
        for (member, value) in [
            ("issuer", "https://login.test/tenant/"),
            ("issuer", "https://login.test"),
            ("jwks_uri", "http://login.test/keys"),
            ("jwks_uri", "https://127.0.0.1/keys"),
            ("introspection_endpoint", "https://intranet/introspect"),
        ] {
            let mut bad = document();
            bad[member] = json!(value);
            let (http, issuers) = issuers(Scripted::default().json(FIRST, 200, &bad));
            let error = issuers.current(ISSUER, at(0)).await.unwrap_err();
            let named = matches!(error, TokenIssuerError::Endpoint { .. } | TokenIssuerError::Mismatch { .. });
            assert!(named, "{member} {value}: {error}");
            assert_eq!(http.lines(), [FIRST], "{member}");
        }
        let (_, issuers) = issuers(Scripted::default());
        assert!(matches!(issuers.current("http://login.test", at(0)).await, Err(TokenIssuerError::Identifier { .. })));
    }
}
