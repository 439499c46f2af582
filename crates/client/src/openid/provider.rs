//! The metadata of a provider (OpenID Connect Discovery 1.0 §4).

use sekisho_protocol::metadata::AuthorizationServer;
use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::registration::ClientAuthentication;
use serde::Deserialize;
use url::Url;

use crate::http::{Destination, HttpClient, HttpError, Named, Request};
use crate::text::presentable;

/// A provider with usable metadata, whose endpoints are as secure as its issuer URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The members that every authorization server has.
    pub server: AuthorizationServer,
    /// The URL of its keys.
    pub keys: Destination,
    /// Where claims that are not in the ID token can be fetched.
    pub user_info_endpoint: Option<String>,
    /// Where a person signs out (RP-Initiated Logout 1.0).
    pub end_session_endpoint: Option<String>,
    /// Where tokens can be introspected (RFC 7662).
    pub introspection_endpoint: Option<String>,
    /// The algorithms with which it signs ID tokens, as far as they are accepted here.
    pub id_token_algorithms: Vec<SigningAlgorithm>,
}

/// Why nobody can sign in at a provider.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The provider signs with no accepted algorithm, or not with the one that the client is registered for.
    #[error("`{issuer}` does not sign ID tokens with {algorithm}: it names {offered}")]
    Algorithm {
        /// The provider.
        issuer: String,
        /// The algorithm that the client is registered for.
        algorithm: SigningAlgorithm,
        /// The algorithms that the provider names.
        offered: String,
    },
    /// The client cannot authenticate in the configured way.
    #[error("`{issuer}` does not take {method} from its clients")]
    Authentication {
        /// The provider.
        issuer: String,
        /// The configured authentication method.
        method: &'static str,
    },
    /// An endpoint is less secure than the provider's issuer URL.
    #[error("`{issuer}` names as `{member}` no https URL, or one that lies further inside than itself")]
    Endpoint {
        /// The provider.
        issuer: String,
        /// The metadata member of the endpoint.
        member: &'static str,
    },
    /// The fetch failed.
    #[error("the metadata of the provider `{issuer}` could not be fetched")]
    Http {
        /// The provider.
        issuer: String,
        /// The cause.
        #[source]
        source: HttpError,
    },
    /// The issuer is not an https URL without query and fragment.
    #[error("`{issuer}` is not an issuer identifier: expected an https URL without query and fragment")]
    Identifier {
        /// The issuer that was named.
        issuer: String,
    },
    /// The response is not the metadata of a provider.
    #[error(
        "what is at `{url}` is no metadata of an OpenID provider (status {status}): compare `issuer` with what the provider documents"
    )]
    Malformed {
        /// The URL.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The document names another issuer.
    #[error("the metadata at `{url}` calls itself `{named}`: write it so, if that is the provider you mean")]
    Mismatch {
        /// The URL.
        url: String,
        /// The issuer in the document, made presentable.
        named: String,
    },
}

impl ProviderError {
    /// Whether the provider is away, and has not said anything wrong: what it said before may still be so.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Http { .. } => true,
            Self::Malformed { status, .. } => *status >= 500,
            Self::Algorithm { .. }
            | Self::Authentication { .. }
            | Self::Endpoint { .. }
            | Self::Identifier { .. }
            | Self::Mismatch { .. } => false,
        }
    }
}

/// The members of the document that are used.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    end_session_endpoint: Option<String>,
    #[serde(default)]
    introspection_endpoint: Option<String>,
    #[serde(default)]
    revocation_endpoint: Option<String>,
    #[serde(default)]
    response_types_supported: Vec<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    id_token_signing_alg_values_supported: Vec<String>,
    /// A flag. Some providers write it as text.
    #[serde(default)]
    authorization_response_iss_parameter_supported: serde_json::Value,
}

/// Reads the metadata of a configured provider. They have to name exactly this issuer (§4.3), because the issuer in ID
/// tokens is compared with the same text.
pub async fn discover(http: &dyn HttpClient, issuer: &str) -> Result<Provider, ProviderError> {
    let named = || issuer.to_owned();
    let plain = Url::parse(issuer).is_ok_and(|url| url.query().is_none() && url.fragment().is_none());
    if !plain || !crate::http::is_as_secure(issuer, issuer) {
        return Err(ProviderError::Identifier { issuer: named() });
    }
    let url = format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer));
    let to = Destination::named(Named::WellKnown, issuer, &url);
    let to = to.map_err(|source| ProviderError::Http { issuer: named(), source })?;
    let response = http.send(Request::get(to)).await;
    let response = response.map_err(|source| ProviderError::Http { issuer: named(), source })?;
    let status = response.status.as_u16();
    let document = (status == 200).then(|| response.json::<Document>()).flatten();
    let Some(document) = document else { return Err(ProviderError::Malformed { url, status }) };
    if document.issuer != issuer {
        return Err(ProviderError::Mismatch { url, named: presentable(&document.issuer) });
    }
    document.read()
}

impl Document {
    /// Returns the provider, if every URL that it names is as secure as its issuer URL.
    fn read(self) -> Result<Provider, ProviderError> {
        let issuer = self.issuer.clone();
        let check = |what, member, url: &str| {
            let error = || ProviderError::Endpoint { issuer: issuer.clone(), member };
            Destination::named(what, &issuer, url).map_err(|_| error())
        };
        check(Named::AuthorizationEndpoint, "authorization_endpoint", &self.authorization_endpoint)?;
        check(Named::TokenEndpoint, "token_endpoint", &self.token_endpoint)?;
        let keys = check(Named::ProviderKeys, "jwks_uri", &self.jwks_uri)?;
        for (what, member, url) in [
            (Named::UserInfoEndpoint, "userinfo_endpoint", &self.userinfo_endpoint),
            (Named::EndSessionEndpoint, "end_session_endpoint", &self.end_session_endpoint),
            (Named::IntrospectionEndpoint, "introspection_endpoint", &self.introspection_endpoint),
            (Named::RevocationEndpoint, "revocation_endpoint", &self.revocation_endpoint),
        ] {
            if let Some(url) = url {
                check(what, member, url)?;
            }
        }
        let says_iss = match &self.authorization_response_iss_parameter_supported {
            serde_json::Value::Bool(says) => *says,
            serde_json::Value::String(text) => text == "true",
            _ => false,
        };
        let algorithms = self.id_token_signing_alg_values_supported.iter();
        let id_token_algorithms = algorithms.filter_map(|name| name.parse().ok()).collect();
        let server = AuthorizationServer {
            issuer: self.issuer,
            authorization_endpoint: self.authorization_endpoint,
            token_endpoint: self.token_endpoint,
            registration_endpoint: None,
            revocation_endpoint: self.revocation_endpoint,
            jwks_uri: Some(self.jwks_uri),
            scopes_supported: Vec::new(),
            response_types_supported: self.response_types_supported,
            response_modes_supported: Vec::new(),
            grant_types_supported: Vec::new(),
            token_endpoint_auth_methods_supported: self.token_endpoint_auth_methods_supported,
            token_endpoint_auth_signing_alg_values_supported: Vec::new(),
            revocation_endpoint_auth_methods_supported: Vec::new(),
            code_challenge_methods_supported: self.code_challenge_methods_supported,
            authorization_details_types_supported: Vec::new(),
            authorization_response_iss_parameter_supported: says_iss,
            client_id_metadata_document_supported: false,
            dpop_signing_alg_values_supported: Vec::new(),
            ui_locales_supported: Vec::new(),
        };
        Ok(Provider {
            server,
            keys,
            user_info_endpoint: self.userinfo_endpoint,
            end_session_endpoint: self.end_session_endpoint,
            introspection_endpoint: self.introspection_endpoint,
            id_token_algorithms,
        })
    }
}

impl Provider {
    /// Its issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.server.issuer
    }

    /// Checks whether the provider's metadata permit a client with this registration to sign people in. It is for
    /// `check`, which reports problems before anybody tries.
    pub fn suits(&self, algorithm: SigningAlgorithm, method: ClientAuthentication) -> Result<(), ProviderError> {
        let issuer = || self.server.issuer.clone();
        if !self.id_token_algorithms.contains(&algorithm) {
            let names: Vec<&str> = self.id_token_algorithms.iter().map(|one| one.as_str()).collect();
            let offered = if names.is_empty() { "none that is accepted".to_owned() } else { names.join(", ") };
            return Err(ProviderError::Algorithm { issuer: issuer(), algorithm, offered });
        }
        // Discovery 1.0 §3: without this member, Basic is accepted.
        let listed = &self.server.token_endpoint_auth_methods_supported;
        let basic = listed.is_empty() && method == ClientAuthentication::ClientSecretBasic;
        if basic || listed.iter().any(|one| one == method.as_str()) {
            Ok(())
        } else {
            Err(ProviderError::Authentication { issuer: issuer(), method: method.as_str() })
        }
    }
}

#[cfg(test)]
mod tests;
