//! Becoming known to an authorization server: dynamic registration (RFC 7591, CL-15 to CL-18), for servers that
//! offer it. What was registered belongs to one issuer and is of no use at another.

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
    /// The registered word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Web => "web",
        }
    }
}

/// What a client says of itself when it registers.
#[derive(Debug, Clone)]
pub struct RegistrationRequest {
    /// A name for people.
    pub client_name: String,
    /// Where it listens (CL-35).
    pub redirect_uris: Vec<RedirectUri>,
    /// Where it runs.
    pub application_type: ApplicationType,
    /// Which scopes it will ask for, if it wants to say.
    pub scope: Option<ScopeSet>,
}

/// A client as one issuer knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The issuer, from its validated metadata: the key under which this may be kept (CL-18).
    pub issuer: String,
    /// The identifier it gave.
    pub client: ClientId,
    /// How the client authenticates.
    pub authentication: ClientAuthentication,
    /// Its secret, if it has one.
    pub secret: Option<ClientSecret>,
    /// Its key, if it proves itself by signing (`private_key_jwt`).
    pub key: Option<Arc<ClientKey>>,
    /// Where answers may be sent.
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

/// Why a client is not known to the issuer.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// It wants a kind of authentication that we do not speak.
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
        /// Why.
        #[source]
        source: HttpError,
    },
    /// The answer is not a registration.
    #[error("`{issuer}` answered the registration with something else (status {status})")]
    Malformed {
        /// The issuer.
        issuer: String,
        /// The status.
        status: u16,
    },
    /// It has no registration endpoint.
    #[error("`{issuer}` lets no client register itself: ask its operator for a client identifier")]
    NotOffered {
        /// The issuer.
        issuer: String,
    },
    /// It registered other redirect URIs than asked for.
    #[error("`{issuer}` did not accept the redirect URIs as they are")]
    Redirects {
        /// The issuer.
        issuer: String,
    },
    /// It refused (CL-17).
    #[error("`{issuer}` refuses to register the client: {code} ({description})")]
    Refused {
        /// The issuer.
        issuer: String,
        /// The code, e.g. `invalid_redirect_uri`.
        code: String,
        /// What it says about it, made presentable.
        description: String,
    },
}

/// The answer (RFC 7591 §3.2.1), as far as it is acted on.
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

/// Some servers write `null` or an empty text where there is no secret.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ClientSecret>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(ClientSecret::from_outside))
}

/// Registers a public client, because a program on a user's machine can keep no secret.
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
        // A client that wants refresh tokens says so here (CL-39).
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
        // RFC 7591 §2: what a client with a secret uses when nothing is said.
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
