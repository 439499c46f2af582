//! `[servers.NAME.authorization]`: an external authorization server whose access tokens one server accepts.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use sekisho_client::registration::Registration;
use sekisho_gateway::{ExternalParts, ExternalTokens, TokenForm};
use sekisho_protocol::external::{ExternalIssuer, ScopeMap};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::{AudienceForm, ProviderName, SigningAlgorithm};
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::secret::ClientSecret;
use sekisho_protocol::text::for_terminal;
use sekisho_token::TokenType;
use serde::{Deserialize, Serialize};

use super::login::{Login, LoginProvider, Unusable};
use super::values::{Filled, fill};

/// An external authorization server of one server: its access tokens are accepted there, in place of the checkpoint's own or
/// beside them.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Authorization {
    /// The name of the `[[login.provider]]` at which the same people sign in. A token and a sign-in there that name the same
    /// person are the same user here.
    pub(crate) provider: String,
    /// The issuer identifier, exactly as tokens name it. When absent: the issuer of that provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    /// The form of the tokens: `"jwt"` (signed, verified with the issuer's keys) or `"introspection"` (the issuer is asked
    /// about each, RFC 7662).
    pub(crate) accept: Accept,
    /// The audience that tokens name for this server: an identifier such as `api://notes`, or the client identifier of the
    /// server at the issuer. When absent: the URL of this server (RFC 8707).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) audience: Option<String>,
    /// Further audiences that a token may name beside it. A token that names any other is refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) other_audiences: Vec<String>,
    /// What the issuer signs access tokens with. When empty: any of `RS256`, `PS256`, `ES256` and `EdDSA`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) algorithms: Vec<SigningAlgorithm>,
    /// Whether tokens of the type `JWT`, or without a type, are accepted besides `at+jwt` (RFC 9068). Entra ID and Keycloak
    /// write such tokens.
    pub(crate) untyped: bool,
    /// The client as which the issuer is asked about tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<String>,
    /// That client's secret. `${env:NAME}` and `${file:PATH}` are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_secret: Option<String>,
    /// How that client proves itself: `client_secret_basic` unless this says `client_secret_post`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authentication: Option<ClientAuthentication>,
    /// What each scope of the issuer permits here, such as `"notes.read" = ["mcp:read"]`. A scope that is not named permits
    /// nothing. When empty: the issuer's scopes are called like ours.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) scopes: BTreeMap<String, Vec<String>>,
    /// Whether tokens of the checkpoint's own issuer are accepted at this server as well.
    pub(crate) ours_too: bool,
}

impl Default for Authorization {
    fn default() -> Self {
        Self {
            provider: String::new(),
            issuer: None,
            accept: Accept::Jwt,
            audience: None,
            other_audiences: Vec::new(),
            algorithms: Vec::new(),
            untyped: false,
            client_id: None,
            client_secret: None,
            authentication: None,
            scopes: BTreeMap::new(),
            ours_too: false,
        }
    }
}

/// The form of an external authorization server's access tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Accept {
    /// The issuer is asked about each token (RFC 7662).
    Introspection,
    /// Signed tokens (RFC 9068).
    #[default]
    Jwt,
}

impl Authorization {
    /// The provider at which the same people sign in.
    pub(super) fn provider_of<'l>(&self, login: &'l Login) -> Option<&'l LoginProvider> {
        login.provider.iter().find(|provider| provider.name == self.provider)
    }

    /// The issuer of the tokens.
    pub(super) fn issuer_of<'s>(&'s self, provider: &'s LoginProvider) -> &'s str {
        self.issuer.as_deref().unwrap_or(&provider.issuer)
    }

    /// The algorithms that the issuer signs with: all that are accepted anywhere, unless some are named.
    fn algorithms_of(&self) -> Vec<SigningAlgorithm> {
        if self.algorithms.is_empty() { SigningAlgorithm::ALL.to_vec() } else { self.algorithms.clone() }
    }

    /// What its scopes mean. What cannot be read was reported by `authorization_check.rs`.
    pub(super) fn scope_map(&self) -> ScopeMap {
        let rows = self.scopes.iter().filter_map(|(theirs, ours)| {
            let ours: ScopeSet = ours.iter().filter_map(|scope| scope.parse::<Scope>().ok()).collect();
            Some((theirs.parse::<Scope>().ok()?, ours))
        });
        ScopeMap::new(rows.collect())
    }

    /// The issuer, as all surfaces see it.
    pub(crate) fn external_issuer(&self, login: &Login) -> Result<ExternalIssuer, Unusable> {
        let provider = self.provider_of(login).ok_or_else(|| self.no_provider())?;
        let name: ProviderName = provider.name.parse().map_err(|_| self.no_provider())?;
        let issuer = self.issuer_of(provider).to_owned();
        Ok(ExternalIssuer { provider: name, issuer, scopes: self.scope_map(), ours_too: self.ours_too })
    }

    /// What the server accepts, with the secret filled in.
    pub(crate) fn tokens(
        &self,
        login: &Login,
        issuer: Arc<ExternalIssuer>,
        resource: &ResourceId,
    ) -> Result<Arc<ExternalTokens>, Unusable> {
        let provider = self.provider_of(login).ok_or_else(|| self.no_provider())?;
        let audience = self.audience.clone().map_or(AudienceForm::Resource, AudienceForm::Text);
        let form = match self.accept {
            Accept::Introspection => TokenForm::Introspected(Box::new(self.registration(&issuer.issuer)?)),
            Accept::Jwt => TokenForm::Signed {
                algorithms: self.algorithms_of(),
                typed: if self.untyped { TokenType::Untyped } else { TokenType::AtJwt },
            },
        };
        Ok(ExternalTokens::new(ExternalParts {
            issuer,
            provider_issuer: provider.issuer.clone(),
            named_by: provider.named_by().into_iter().map(str::to_owned).collect(),
            require: provider.require.clone(),
            audiences: audience.audiences(resource),
            other_audiences: self.other_audiences.clone(),
            form,
        }))
    }

    /// The client as which the issuer is asked.
    pub(crate) fn registration(&self, issuer: &str) -> Result<Registration, Unusable> {
        let wrong = |key, message: String, help: String| Unusable { key, message, help };
        let client = ClientId::parse(self.client_id.as_deref().unwrap_or_default());
        let client =
            client.map_err(|error| wrong("client_id", error.to_string(), "copy it from the issuer".to_owned()))?;
        let secret = self.client_secret.as_deref().unwrap_or_default();
        let secret = fill(secret, Filled::Value)
            .map_err(|error| wrong("client_secret", format!("`client_secret` {error}"), error.help()))?;
        if secret.is_empty() {
            let help = "see the file or the variable that it names".to_owned();
            return Err(wrong("client_secret", "the secret is empty".to_owned(), help));
        }
        Ok(Registration {
            issuer: issuer.to_owned(),
            client,
            authentication: self.authentication.unwrap_or(ClientAuthentication::ClientSecretBasic),
            secret: Some(ClientSecret::from_outside(secret)),
            key: None,
            redirect_uris: Vec::new(),
        })
    }

    pub(super) fn no_provider(&self) -> Unusable {
        let message = format!("there is no login provider `{}`", for_terminal(&self.provider));
        let help = "add `[[login.provider]]` with this issuer: approvals and other pages sign in there".to_owned();
        Unusable { key: "provider", message, help }
    }
}
