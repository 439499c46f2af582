//! Dynamic client registration at an authorization server that offers it (RFC 7591, CL-15 to CL-18). A registration
//! belongs to one issuer and cannot be used at another.

use std::sync::Arc;

use sekisho_protocol::ids::ClientId;
use sekisho_protocol::metadata::AuthorizationServer;
use sekisho_protocol::oauth_error::OauthErrorBody;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::ClientSecret;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::http::{Destination, HttpClient, HttpError, Named, Request};
use crate::signing::ClientKey;
use crate::text::{code, presentable};

/// Where a client runs (OpenID Connect Registration §2, CL-16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplicationType {
    /// On the user's own machine: desktop, mobile, command line.
    Native,
    /// In a remote browser application.
    Web,
}

impl ApplicationType {
    /// Returns the registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Web => "web",
        }
    }
}

/// What a client registers about itself.
#[derive(Debug, Clone)]
pub struct RegistrationRequest {
    /// A name for people.
    pub client_name: String,
    /// The redirect URIs at which it listens (CL-35).
    pub redirect_uris: Vec<RedirectUri>,
    /// Where the client runs.
    pub application_type: ApplicationType,
    /// The scopes that it will ask for, if it names them.
    pub scope: Option<ScopeSet>,
}

/// A client as one issuer knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The issuer, from its validated metadata. The registration is stored under this key (CL-18).
    pub issuer: String,
    /// The client identifier.
    pub client: ClientId,
    /// How the client authenticates.
    pub authentication: ClientAuthentication,
    /// Its secret, if it has one.
    pub secret: Option<ClientSecret>,
    /// Its key, if it proves itself by signing (`private_key_jwt`).
    pub key: Option<Arc<ClientKey>>,
    /// The redirect URIs.
    pub redirect_uris: Vec<RedirectUri>,
}

impl Registration {
    /// A client without a secret.
    pub(crate) fn public(issuer: &str, client: ClientId) -> Self {
        Self {
            issuer: issuer.to_owned(),
            client,
            authentication: ClientAuthentication::None,
            secret: None,
            key: None,
            redirect_uris: Vec::new(),
        }
    }
}

/// Why a client could not be registered.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// The issuer demands an authentication method that is not supported here.
    #[error("`{issuer}` registered the client with a kind of authentication that is not supported here")]
    Authentication {
        /// The issuer.
        issuer: String,
    },
    /// The exchange failed.
    #[error("`{issuer}` could not be asked to register the client")]
    Http {
        /// The issuer.
        issuer: String,
        /// The cause.
        #[source]
        source: HttpError,
    },
    /// The answer is not a registration.
    #[error("`{issuer}` answered the registration with something else (status {status})")]
    Malformed {
        /// The issuer.
        issuer: String,
        /// The HTTP status.
        status: u16,
    },
    /// The issuer has no registration endpoint.
    #[error("`{issuer}` lets no client register itself: ask its operator for a client identifier")]
    NotOffered {
        /// The issuer.
        issuer: String,
    },
    /// The issuer registered other redirect URIs than those that were sent.
    #[error("`{issuer}` did not accept the redirect URIs as they are")]
    Redirects {
        /// The issuer.
        issuer: String,
    },
    /// The issuer refused (CL-17).
    #[error("`{issuer}` refuses to register the client: {code} ({description})")]
    Refused {
        /// The issuer.
        issuer: String,
        /// The error code, such as `invalid_redirect_uri`.
        code: String,
        /// The issuer's description of the error, made presentable.
        description: String,
    },
}

/// The members of the response that are used (RFC 7591 §3.2.1).
#[derive(Deserialize)]
struct Registered {
    client_id: ClientId,
    #[serde(default, deserialize_with = "secret")]
    client_secret: Option<ClientSecret>,
    #[serde(default)]
    token_endpoint_auth_method: Option<String>,
    #[serde(default)]
    redirect_uris: Option<Vec<String>>,
}

/// Reads a secret. Some servers write `null` or an empty text if there is none.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ClientSecret>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(ClientSecret::from_outside))
}

/// Registers a public client: a program on a user's machine cannot keep a secret.
pub async fn register(
    http: &dyn HttpClient,
    server: &AuthorizationServer,
    request: &RegistrationRequest,
) -> Result<Registration, RegistrationError> {
    let issuer = || server.issuer.clone();
    let endpoint =
        server.registration_endpoint.as_ref().ok_or_else(|| RegistrationError::NotOffered { issuer: issuer() })?;
    let mut body = json!({
        "client_name": request.client_name,
        "redirect_uris": request.redirect_uris,
        "application_type": request.application_type.as_str(),
        // CL-39: this requests permission to use refresh tokens.
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    if let (Some(scope), Some(members)) = (&request.scope, body.as_object_mut()) {
        members.insert("scope".to_owned(), json!(scope));
    }
    let failed = |source| RegistrationError::Http { issuer: issuer(), source };
    let to = Destination::named(Named::RegistrationEndpoint, &server.issuer, endpoint).map_err(failed)?;
    let response = http.send(Request::post_json(to, &body)).await.map_err(failed)?;
    let status = response.status.as_u16();
    if !matches!(status, 200 | 201) {
        return Err(match response.json::<OauthErrorBody>() {
            Some(error) if (400..500).contains(&status) => RegistrationError::Refused {
                issuer: issuer(),
                code: code(&error.error),
                description: presentable(&error.error_description.unwrap_or_default()),
            },
            _ => RegistrationError::Malformed { issuer: issuer(), status },
        });
    }
    let registered =
        response.json::<Registered>().ok_or_else(|| RegistrationError::Malformed { issuer: issuer(), status })?;
    check(server, request, registered)
}

fn check(
    server: &AuthorizationServer,
    request: &RegistrationRequest,
    registered: Registered,
) -> Result<Registration, RegistrationError> {
    let issuer = server.issuer.clone();
    if let Some(accepted) = &registered.redirect_uris {
        let kept = |wanted: &RedirectUri| accepted.iter().any(|uri| uri == wanted.as_str());
        if !request.redirect_uris.iter().all(kept) {
            return Err(RegistrationError::Redirects { issuer });
        }
    }
    let method = registered.token_endpoint_auth_method.as_deref();
    let authentication = match (method, registered.client_secret.is_some()) {
        (None | Some("none"), false) => ClientAuthentication::None,
        // RFC 7591 §2: the default for a client with a secret.
        (None | Some("client_secret_basic"), true) => ClientAuthentication::ClientSecretBasic,
        (Some("client_secret_post"), true) => ClientAuthentication::ClientSecretPost,
        (Some("none"), true) => ClientAuthentication::None,
        _ => return Err(RegistrationError::Authentication { issuer }),
    };
    let secret = registered.client_secret.filter(|_| authentication != ClientAuthentication::None);
    Ok(Registration {
        issuer,
        client: registered.client_id,
        authentication,
        secret,
        key: None,
        redirect_uris: request.redirect_uris.clone(),
    })
}

#[cfg(test)]
mod tests;
