//! Trading a code or a refresh token for an access token, and giving tokens back (OAuth 2.1 §3.2, RFC 7009,
//! RFC 8707).

use jiff::Timestamp;
use sekisho_protocol::env::after;
use sekisho_protocol::metadata::AuthorizationServer;
use sekisho_protocol::oauth_error::OauthErrorBody;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::{AccessToken, AuthorizationCode, RefreshToken};
use serde::{Deserialize, Deserializer};

use crate::authorization::AuthorizationRequest;
use crate::http::{HttpClient, HttpError, Request, Response};
use crate::registration::Registration;
use crate::text::{code as error_code, presentable};

/// What a client holds after a login: good for one resource, from one issuer, and shown to nobody else (CL-37).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Who granted it.
    pub issuer: String,
    /// Where it may be shown.
    pub resource: ResourceId,
    /// The access token.
    pub access: AccessToken,
    /// The refresh token, if one was given; nobody has to give one (CL-41).
    pub refresh: Option<RefreshToken>,
    /// When the access token ends, if the issuer said so.
    pub expires: Option<Timestamp>,
    /// What was granted, if it is not what was asked for (RFC 6749 §5.1).
    pub scopes: Option<ScopeSet>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The exchange failed. Whether the code was used is unknown, and a code is never sent twice.
    #[error("`{issuer}` could not be asked for a token")]
    Http {
        /// The issuer.
        issuer: String,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// The answer is not a token response.
    #[error("`{issuer}` answered with something else than a token (status {status})")]
    Malformed {
        /// The issuer.
        issuer: String,
        /// The status.
        status: u16,
    },
    /// The issuer has no such endpoint.
    #[error("`{issuer}` takes no tokens back")]
    NotOffered {
        /// The issuer.
        issuer: String,
    },
    /// There is no refresh token.
    #[error("`{issuer}` gave no refresh token: log in again")]
    NoRefreshToken {
        /// The issuer.
        issuer: String,
    },
    /// The code, token or registration belongs to another issuer (CL-06, ATK-83, ATK-87).
    #[error("this login belongs to another authorization server than `{issuer}`: log in again")]
    OtherIssuer {
        /// The issuer that would have been asked.
        issuer: String,
    },
    /// The issuer refused.
    #[error("`{issuer}` gives no token: {code} ({description})")]
    Refused {
        /// The issuer.
        issuer: String,
        /// The code, e.g. `invalid_grant`.
        code: String,
        /// What it says about it, made presentable.
        description: String,
    },
    /// The token is not of the type `Bearer`, so it cannot be used as one (RFC 6749 §7.1).
    #[error("`{issuer}` gave a token of a type that is not supported here")]
    Type {
        /// The issuer.
        issuer: String,
    },
}

/// The answer (RFC 6749 §5.1).
#[derive(Deserialize)]
struct Granted {
    #[serde(deserialize_with = "access")]
    access_token: AccessToken,
    token_type: String,
    #[serde(default)]
    expires_in: Option<u32>,
    #[serde(default, deserialize_with = "refresh")]
    refresh_token: Option<RefreshToken>,
    #[serde(default)]
    scope: Option<ScopeSet>,
}

fn access<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AccessToken, D::Error> {
    String::deserialize(deserializer).map(AccessToken::from_outside)
}

fn refresh<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RefreshToken>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(RefreshToken::from_outside))
}

/// The token endpoint of one issuer, for a client that is registered there.
#[derive(Debug, Clone, Copy)]
pub struct TokenEndpoint<'a> {
    http: &'a dyn HttpClient,
    server: &'a AuthorizationServer,
    registration: &'a Registration,
}

impl<'a> TokenEndpoint<'a> {
    /// The endpoint, if the client is registered at that issuer.
    pub fn new(
        http: &'a dyn HttpClient,
        server: &'a AuthorizationServer,
        registration: &'a Registration,
    ) -> Result<Self, TokenError> {
        if registration.issuer == server.issuer {
            Ok(Self { http, server, registration })
        } else {
            Err(TokenError::OtherIssuer { issuer: server.issuer.clone() })
        }
    }

    /// Trades the code that `request` brought. The code goes to the issuer that was asked and to no other.
    pub async fn exchange_code(
        &self,
        request: &AuthorizationRequest,
        code: &AuthorizationCode,
        now: Timestamp,
    ) -> Result<Tokens, TokenError> {
        self.belongs(request.issuer())?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", request.redirect_uri().as_str()),
            ("code_verifier", request.verifier().expose()),
            // CL-20: named in every request, whether or not the issuer knows it.
            ("resource", request.resource().as_str()),
        ];
        let granted = self.ask(&form).await?;
        self.tokens(granted, request.resource(), None, now)
    }

    /// Trades the refresh token for new tokens. It widens nothing (CL-24); without a successor the old one stays.
    pub async fn refresh(&self, tokens: &Tokens, now: Timestamp) -> Result<Tokens, TokenError> {
        self.belongs(&tokens.issuer)?;
        let refresh =
            tokens.refresh.as_ref().ok_or_else(|| TokenError::NoRefreshToken { issuer: self.server.issuer.clone() })?;
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose()),
            ("resource", tokens.resource.as_str()),
        ];
        let granted = self.ask(&form).await?;
        self.tokens(granted, &tokens.resource, Some(tokens), now)
    }

    /// Gives the grant back (RFC 7009): its refresh token, or the access token where there is none.
    pub async fn revoke(&self, tokens: &Tokens) -> Result<(), TokenError> {
        self.belongs(&tokens.issuer)?;
        let issuer = || self.server.issuer.clone();
        let endpoint =
            self.server.revocation_endpoint.as_ref().ok_or_else(|| TokenError::NotOffered { issuer: issuer() })?;
        let (token, hint) = match &tokens.refresh {
            Some(refresh) => (refresh.expose(), "refresh_token"),
            None => (tokens.access.expose(), "access_token"),
        };
        let response = self.send(endpoint, &[("token", token), ("token_type_hint", hint)]).await?;
        if response.status.as_u16() == 200 { Ok(()) } else { Err(self.refusal(&response)) }
    }

    fn belongs(&self, issuer: &str) -> Result<(), TokenError> {
        if issuer == self.server.issuer {
            Ok(())
        } else {
            Err(TokenError::OtherIssuer { issuer: self.server.issuer.clone() })
        }
    }

    async fn ask(&self, form: &[(&str, &str)]) -> Result<Granted, TokenError> {
        let response = self.send(&self.server.token_endpoint, form).await?;
        if response.status.as_u16() != 200 {
            return Err(self.refusal(&response));
        }
        response.json().ok_or_else(|| TokenError::Malformed { issuer: self.server.issuer.clone(), status: 200 })
    }

    async fn send(&self, endpoint: &str, form: &[(&str, &str)]) -> Result<Response, TokenError> {
        let client = &self.registration.client;
        let mut fields = form.to_vec();
        let mut basic = None;
        match (self.registration.authentication, &self.registration.secret) {
            (ClientAuthentication::ClientSecretBasic, Some(secret)) => basic = Some(secret),
            (ClientAuthentication::ClientSecretPost, Some(secret)) => {
                fields.extend([("client_id", client.as_str()), ("client_secret", secret.expose())]);
            }
            _ => fields.push(("client_id", client.as_str())),
        }
        let mut request = Request::post_form(endpoint, fields);
        if let Some(secret) = basic {
            request = request.basic(client, secret);
        }
        self.http.send(request).await.map_err(|source| TokenError::Http { issuer: self.server.issuer.clone(), source })
    }

    fn refusal(&self, response: &Response) -> TokenError {
        let (issuer, status) = (self.server.issuer.clone(), response.status.as_u16());
        match response.json::<OauthErrorBody>() {
            Some(error) if (400..500).contains(&status) => TokenError::Refused {
                issuer,
                code: error_code(&error.error),
                description: presentable(&error.error_description.unwrap_or_default()),
            },
            _ => TokenError::Malformed { issuer, status },
        }
    }

    fn tokens(
        &self,
        granted: Granted,
        resource: &ResourceId,
        before: Option<&Tokens>,
        now: Timestamp,
    ) -> Result<Tokens, TokenError> {
        let issuer = self.server.issuer.clone();
        if !granted.token_type.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::Type { issuer });
        }
        Ok(Tokens {
            issuer,
            resource: resource.clone(),
            access: granted.access_token,
            refresh: granted.refresh_token.or_else(|| before.and_then(|before| before.refresh.clone())),
            expires: granted.expires_in.map(|seconds| after(now, seconds)),
            scopes: granted.scope.or_else(|| before.and_then(|before| before.scopes.clone())),
        })
    }
}

#[cfg(test)]
mod tests;
