//! Exchanges a code or a refresh token for an access token, and gives tokens back (OAuth 2.1 §3.2, RFC 7009, RFC 8707).

use std::sync::Arc;

use ::http::HeaderMap;
use jiff::Timestamp;
use sekisho_protocol::env::{Entropy, after};
use sekisho_protocol::metadata::AuthorizationServer;
use sekisho_protocol::oauth_error::OauthErrorBody;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::{AccessToken, AuthorizationCode, RefreshToken, SubjectToken};
use serde::{Deserialize, Deserializer};

use crate::authorization::AuthorizationRequest;
use crate::discovery::is_origin_of;
use crate::http::{Destination, HttpClient, HttpError, Named, Request, Response};
use crate::registration::Registration;
use crate::signing::{DpopKey, KeyError, ProofOf};
use crate::text::{code as error_code, presentable};

/// The tokens of a login: for one resource, from one issuer, and sent to no other server (CL-37).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// The issuer that granted them.
    pub issuer: String,
    /// The client to which they were granted, and as which they are refreshed and given back. If a person gave the
    /// client, its secret and key are not stored here.
    pub client: Registration,
    /// The resource they are for, as its metadata name it. [`Tokens::is_for`] says where they may be sent.
    pub resource: ResourceId,
    /// The access token.
    pub access: AccessToken,
    /// The refresh token, if the issuer issued one (CL-41).
    pub refresh: Option<RefreshToken>,
    /// When the access token ends, if the issuer said so.
    pub expires: Option<Timestamp>,
    /// The granted scopes, if they differ from the requested ones (RFC 6749 §5.1).
    pub scopes: Option<ScopeSet>,
    /// The requested scopes, if any were named: a step-up asks for these and more (CL-25).
    pub asked: Option<ScopeSet>,
    /// The key to which the access token is bound, if it is bound to one (RFC 9449).
    pub dpop: Option<Arc<DpopKey>>,
}

impl Tokens {
    /// Whether they may be sent to this URL: it is the resource, or is within the origin that the resource is (CL-37).
    pub fn is_for(&self, url: &ResourceId) -> bool {
        self.resource == *url || is_origin_of(&self.resource, url)
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The exchange failed. Whether the code was used is unknown, so it is not sent again.
    #[error("`{issuer}` could not be asked for a token")]
    Http {
        /// The issuer.
        issuer: String,
        /// The cause.
        #[source]
        source: HttpError,
    },
    /// The client's key, or the key for the token, cannot be used.
    #[error("no proof could be made for `{issuer}`")]
    Key {
        /// The issuer.
        issuer: String,
        /// The cause.
        #[source]
        source: KeyError,
    },
    /// The response is not a token response.
    #[error("`{issuer}` answered with something else than a token (status {status})")]
    Malformed {
        /// The issuer.
        issuer: String,
        /// The HTTP status.
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
        /// The error code, such as `invalid_grant`.
        code: String,
        /// The issuer's description of the error, made presentable.
        description: String,
    },
    /// The token has another type than requested: `Bearer`, or `DPoP` if a key was proven (RFC 6749 §7.1, RFC 9449 §5).
    #[error("`{issuer}` gave a token of a type that is not supported here")]
    Type {
        /// The issuer.
        issuer: String,
    },
}

/// The response (RFC 6749 §5.1).
#[derive(Deserialize)]
struct Granted {
    #[serde(deserialize_with = "access")]
    access_token: AccessToken,
    token_type: String,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u32>,
    #[serde(default, deserialize_with = "refresh")]
    refresh_token: Option<RefreshToken>,
    #[serde(default)]
    scope: Option<ScopeSet>,
}

/// RFC 6749 appendix A.12: only visible ASCII. Any other character is not valid in a header, and could control a
/// terminal (ATK-231).
fn access<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AccessToken, D::Error> {
    let token = String::deserialize(deserializer)?;
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(serde::de::Error::custom("an access token is visible ASCII"));
    }
    Ok(AccessToken::from_outside(token))
}

/// `expires_in` as servers write it: a whole number (RFC 6749 §5.1), a fraction, or either as text. Five client
/// libraries accept all of these (npm `@modelcontextprotocol/sdk` 1.32, `client` 2.4, `oauth4webapi` 3.8; PyPI `mcp`
/// 1.30 and 2.3), so nobody notices such servers. A fraction is cut off. Any other value counts as missing, which is
/// allowed: the member is optional.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    let number = match &value {
        Some(serde_json::Value::Number(number)) => number.as_f64(),
        Some(serde_json::Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was brought into the range before")]
    Ok(number.filter(|number| number.is_finite()).map(|number| number.clamp(0.0, f64::from(u32::MAX)) as u32))
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
    entropy: Option<&'a dyn Entropy>,
    dpop: Option<&'a Arc<DpopKey>>,
    body_bytes_max: usize,
}

/// The type of a client assertion (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The grant type for an assertion of another issuer (RFC 7523 §2.1).
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

impl<'a> TokenEndpoint<'a> {
    /// Creates the endpoint, if the client is registered at that issuer.
    pub fn new(
        http: &'a dyn HttpClient,
        server: &'a AuthorizationServer,
        registration: &'a Registration,
    ) -> Result<Self, TokenError> {
        if registration.issuer == server.issuer {
            let body_bytes_max = Request::BODY_BYTES_MAX;
            Ok(Self { http, server, registration, entropy: None, dpop: None, body_bytes_max })
        } else {
            Err(TokenError::OtherIssuer { issuer: server.issuer.clone() })
        }
    }

    /// Adds what is needed to sign: assertions of a client with a key, and proofs for tokens that are bound to `dpop`.
    #[must_use]
    pub fn proving(self, entropy: &'a dyn Entropy, dpop: Option<&'a Arc<DpopKey>>) -> Self {
        Self { entropy: Some(entropy), dpop, ..self }
    }

    /// The issuer that is asked.
    pub fn issuer(&self) -> &str {
        &self.server.issuer
    }

    /// Allows longer responses than those of an OAuth server: an ID token can name thousands of groups.
    #[must_use]
    pub(crate) fn with_body_bytes_max(self, body_bytes_max: usize) -> Self {
        Self { body_bytes_max, ..self }
    }

    /// Sends a form as this client to the token endpoint, and returns the response if its status is 200.
    pub(crate) async fn post(&self, form: &[(&str, &str)], now: Timestamp) -> Result<Response, TokenError> {
        self.post_to(NamedEndpoint { named: Named::TokenEndpoint, url: &self.server.token_endpoint }, form, now).await
    }

    /// Does the same for another endpoint of the issuer with the same client authentication.
    pub(crate) async fn post_to(
        &self,
        endpoint: NamedEndpoint<'_>,
        form: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<Response, TokenError> {
        let response = self.send(endpoint, form, None, now).await?;
        if response.status.as_u16() == 200 { Ok(response) } else { Err(self.refusal(&response)) }
    }

    /// Exchanges the code that was the answer to `request`. The code is sent only to the issuer that was asked.
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
            // CL-20: named in every request, whether or not the issuer supports it.
            ("resource", request.resource().as_str()),
        ];
        let granted = self.ask(&form, now).await?;
        self.tokens(granted, TokenParameters { resource: request.resource(), scopes: request.scopes() }, None, now)
    }

    /// Gets a token in the client's own name (RFC 6749 §4.4, CL-53).
    pub async fn client_credentials(&self, asked: TokenParameters<'_>, now: Timestamp) -> Result<Tokens, TokenError> {
        self.grant(&[("grant_type", "client_credentials")], asked, now).await
    }

    /// Exchanges the assertion of an identity provider or a platform for a token (RFC 7523 §2.1, CL-56).
    pub async fn redeem(
        &self,
        assertion: &SubjectToken,
        asked: TokenParameters<'_>,
        now: Timestamp,
    ) -> Result<Tokens, TokenError> {
        self.grant(&[("grant_type", JWT_BEARER), ("assertion", assertion.expose())], asked, now).await
    }

    async fn grant(
        &self,
        form: &[(&str, &str)],
        asked: TokenParameters<'_>,
        now: Timestamp,
    ) -> Result<Tokens, TokenError> {
        let scope = asked.scopes.map(ToString::to_string);
        let mut form = form.to_vec();
        form.push(("resource", asked.resource.as_str()));
        if let Some(scope) = &scope {
            form.push(("scope", scope));
        }
        let granted = self.ask(&form, now).await?;
        self.tokens(granted, asked, None, now)
    }

    /// Exchanges the refresh token for new tokens. The scopes do not grow (CL-24). If there is no new refresh token,
    /// the old one stays.
    ///
    /// If the response is lost, the request is repeated once, at once: some issuers give the same successor again
    /// within a short time (ours: 30 s, decision 0006). Others treat the repetition as a replay, but they would treat
    /// the next refresh as one too, because only the old token is known here.
    pub async fn refresh(&self, tokens: &Tokens, now: Timestamp) -> Result<Tokens, TokenError> {
        self.belongs(&tokens.issuer)?;
        let refresh =
            tokens.refresh.as_ref().ok_or_else(|| TokenError::NoRefreshToken { issuer: self.server.issuer.clone() })?;
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose()),
            ("resource", tokens.resource.as_str()),
        ];
        let granted = match self.ask(&form, now).await {
            Err(error) if is_lost(&error) => self.ask(&form, now).await?,
            answered => answered?,
        };
        let asked = TokenParameters { resource: &tokens.resource, scopes: tokens.asked.as_ref() };
        self.tokens(granted, asked, Some(tokens), now)
    }

    /// Gives the grant back (RFC 7009): its refresh token, or the access token if there is none.
    pub async fn revoke(&self, tokens: &Tokens, now: Timestamp) -> Result<(), TokenError> {
        self.belongs(&tokens.issuer)?;
        let issuer = || self.server.issuer.clone();
        let endpoint =
            self.server.revocation_endpoint.as_ref().ok_or_else(|| TokenError::NotOffered { issuer: issuer() })?;
        let (token, hint) = match &tokens.refresh {
            Some(refresh) => (refresh.expose(), "refresh_token"),
            None => (tokens.access.expose(), "access_token"),
        };
        let response = self
            .send(
                NamedEndpoint { named: Named::RevocationEndpoint, url: endpoint },
                &[("token", token), ("token_type_hint", hint)],
                None,
                now,
            )
            .await?;
        if response.status.as_u16() == 200 { Ok(()) } else { Err(self.refusal(&response)) }
    }

    fn belongs(&self, issuer: &str) -> Result<(), TokenError> {
        if issuer == self.server.issuer {
            Ok(())
        } else {
            Err(TokenError::OtherIssuer { issuer: self.server.issuer.clone() })
        }
    }

    async fn ask(&self, form: &[(&str, &str)], now: Timestamp) -> Result<Granted, TokenError> {
        let endpoint = NamedEndpoint { named: Named::TokenEndpoint, url: &self.server.token_endpoint };
        let mut response = self.send(endpoint, form, None, now).await?;
        // RFC 9449 §8: this refusal comes before anything is used up, so the same request may be sent once more.
        if let Some(nonce) = self.dpop.and_then(|_| wants_nonce(&response)) {
            response = self.send(endpoint, form, Some(&nonce), now).await?;
        }
        if response.status.as_u16() != 200 {
            return Err(self.refusal(&response));
        }
        response.json().ok_or_else(|| TokenError::Malformed { issuer: self.server.issuer.clone(), status: 200 })
    }

    async fn send(
        &self,
        endpoint: NamedEndpoint<'_>,
        form: &[(&str, &str)],
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<Response, TokenError> {
        let failed = |source| TokenError::Http { issuer: self.server.issuer.clone(), source };
        let to = Destination::named(endpoint.named, &self.server.issuer, endpoint.url).map_err(failed)?;
        let client = &self.registration.client;
        let mut fields = form.to_vec();
        let mut basic = None;
        let assertion = self.assertion(now)?;
        match (self.registration.authentication, &self.registration.secret) {
            (ClientAuthentication::ClientSecretBasic, Some(secret)) => basic = Some(secret),
            (ClientAuthentication::ClientSecretPost, Some(secret)) => {
                fields.extend([("client_id", client.as_str()), ("client_secret", secret.expose())]);
            }
            _ => fields.push(("client_id", client.as_str())),
        }
        if let Some(assertion) = &assertion {
            fields.extend([("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)]);
        }
        let mut request = Request::post_form(to, fields);
        request.body_bytes_max = self.body_bytes_max;
        if let Some(secret) = basic {
            request = request.basic(client, secret);
        }
        if let (Some(key), Some(entropy)) = (self.dpop, self.entropy) {
            let proof = key.proof(ProofOf { method: "POST", url: endpoint.url, nonce }, None, now, entropy);
            request = request.proof(&proof.map_err(|source| self.key(source))?);
        }
        self.http.send(request).await.map_err(failed)
    }

    /// Returns the assertion of a client with a key. Its audience is the issuer's identifier, not the endpoint's URL.
    fn assertion(&self, now: Timestamp) -> Result<Option<String>, TokenError> {
        match (self.registration.authentication, &self.registration.key, self.entropy) {
            (ClientAuthentication::PrivateKeyJwt, Some(key), Some(entropy)) => {
                let assertion = key.assertion(&self.registration.client, &self.server.issuer, now, entropy);
                assertion.map(Some).map_err(|source| self.key(source))
            }
            (ClientAuthentication::PrivateKeyJwt, ..) => Err(self.key(KeyError::Unreadable)),
            _ => Ok(None),
        }
    }

    fn key(&self, source: KeyError) -> TokenError {
        TokenError::Key { issuer: self.server.issuer.clone(), source }
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
        asked: TokenParameters<'_>,
        before: Option<&Tokens>,
        now: Timestamp,
    ) -> Result<Tokens, TokenError> {
        let issuer = self.server.issuer.clone();
        let expected = if self.dpop.is_some() { "dpop" } else { "bearer" };
        if !granted.token_type.eq_ignore_ascii_case(expected) {
            return Err(TokenError::Type { issuer });
        }
        Ok(Tokens {
            issuer,
            client: self.registration.clone(),
            resource: asked.resource.clone(),
            access: granted.access_token,
            refresh: granted.refresh_token.or_else(|| before.and_then(|before| before.refresh.clone())),
            expires: granted.expires_in.map(|seconds| after(now, seconds)),
            scopes: granted.scope.or_else(|| before.and_then(|before| before.scopes.clone())),
            asked: asked.scopes.cloned(),
            dpop: self.dpop.cloned(),
        })
    }
}

/// Whether the issuer's response is lost: nothing came, or nothing that can be read.
fn is_lost(error: &TokenError) -> bool {
    matches!(error, TokenError::Http { .. } | TokenError::Malformed { .. })
}

/// An endpoint of the issuer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NamedEndpoint<'a> {
    /// The kind of link by which it was named.
    pub(crate) named: Named,
    pub(crate) url: &'a str,
}

/// The resource and the scopes of a token request.
#[derive(Debug, Clone, Copy)]
pub struct TokenParameters<'a> {
    /// The resource, named in every request (CL-20).
    pub resource: &'a ResourceId,
    /// The scopes to ask for; `None` leaves them to the issuer (CL-22).
    pub scopes: Option<&'a ScopeSet>,
}

/// Returns the nonce that the issuer requires in a proof, if that is why it refused (RFC 9449 §8).
fn wants_nonce(response: &Response) -> Option<String> {
    let asks = response.status.as_u16() == 400
        && response.json::<OauthErrorBody>().is_some_and(|body| body.error == "use_dpop_nonce");
    if asks { dpop_nonce(&response.headers) } else { None }
}

/// Returns the nonce that a server wants in the next proofs (RFC 9449 §8.2).
pub(crate) fn dpop_nonce(headers: &HeaderMap) -> Option<String> {
    Some(headers.get("dpop-nonce")?.to_str().ok()?.to_owned())
}

#[cfg(test)]
mod tests;
