//! Client metadata: dynamic registration (RFC 7591 §2) and client ID metadata documents.

use serde::{Deserialize, Serialize};

use crate::ids::ClientId;
use crate::redirect::RedirectUri;

/// How a client proves itself at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthentication {
    /// `Authorization: Basic` (RFC 6749 §2.3.1).
    ClientSecretBasic,
    /// Secret in the form (RFC 6749 §2.3.1).
    ClientSecretPost,
    /// A public client.
    None,
    /// A signed assertion (RFC 7523 §2.2).
    PrivateKeyJwt,
}

impl ClientAuthentication {
    /// The registered word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::None => "none",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }
}

impl std::str::FromStr for ClientAuthentication {
    type Err = ClientAuthenticationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "client_secret_basic" => Ok(Self::ClientSecretBasic),
            "client_secret_post" => Ok(Self::ClientSecretPost),
            "none" => Ok(Self::None),
            "private_key_jwt" => Ok(Self::PrivateKeyJwt),
            _ => Err(ClientAuthenticationError),
        }
    }
}

/// A word that names no method of authentication we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a method of client authentication: expected `none`, `client_secret_basic`, `client_secret_post` or `private_key_jwt`"
)]
pub struct ClientAuthenticationError;

/// How a client came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientOrigin {
    /// Registered itself (RFC 7591): nobody vouches for its name.
    Dynamic,
    /// Its identifier is the URL of its metadata document.
    MetadataDocument,
    /// Registered by an operator.
    Registered,
}

impl ClientOrigin {
    /// The word kept in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::MetadataDocument => "metadata_document",
            Self::Registered => "registered",
        }
    }
}

/// A client as the issuer acts on it: checked, bounded, nothing else kept of what was sent (ATK-25).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The identifier.
    pub id: ClientId,
    /// How it came to be known.
    pub origin: ClientOrigin,
    /// A name for people: control and bidirectional characters removed, at most 80 characters. Untrusted.
    pub name: String,
    /// Where answers may be sent.
    pub redirect_uris: Vec<RedirectUri>,
    /// How it authenticates.
    pub authentication: ClientAuthentication,
    /// Whether it may have refresh tokens (`grant_types` holds `refresh_token`).
    pub refresh: bool,
    /// Its public keys as a JWK Set in JSON, when it authenticates with one and gave them inline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
    /// Where its public keys are published, otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Whether new authorizations and tokens are refused.
    #[serde(default)]
    pub disabled: bool,
}

impl Client {
    /// Whether somebody else could pose as this client: no secret, or an answer to a program on the user's
    /// machine (ATK-07). Its consent is never skipped.
    pub fn can_be_impersonated(&self) -> bool {
        self.authentication == ClientAuthentication::None || self.redirect_uris.iter().any(RedirectUri::is_local)
    }
}
