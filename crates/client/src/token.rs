//! Trading a code or a refresh token for an access token, and giving tokens back (OAuth 2.1 §3.2, RFC 7009,
//! RFC 8707).

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

/// What a client holds after a login: good for one resource, from one issuer, and shown to no other server (CL-37).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Who granted it.
    pub issuer: String,
    /// The client that they were granted to, as which they are refreshed and given back. If it was given by a person, its
    /// secret and key are not kept here.
    pub client: Registration,
    /// What it is for, as the resource's metadata names it: where it may be shown (see [`Tokens::is_for`]).
    pub resource: ResourceId,
    /// The access token.
    pub access: AccessToken,
    /// The refresh token, if one was issued; an issuer need not (CL-41).
    pub refresh: Option<RefreshToken>,
    /// When the access token ends, if the issuer said so.
    pub expires: Option<Timestamp>,
    /// What was granted, if it is not what was asked for (RFC 6749 §5.1).
    pub scopes: Option<ScopeSet>,
    /// What was asked for, if anything was named: stepping up asks for this and more (CL-25).
    pub asked: Option<ScopeSet>,
    /// The key that has to be proven with the access token, if it is bound to one (RFC 9449).
    pub dpop: Option<Arc<DpopKey>>,
}

impl Tokens {
    /// Whether they may be shown at this URL: it is the resource, or within the origin that the resource is (CL-37).
    pub fn is_for(&self, url: &ResourceId) -> bool {
        self.resource == *url || is_origin_of(&self.resource, url)
    }
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
    /// The client's key, or the key for the token, cannot be used.
    #[error("no proof could be made for `{issuer}`")]
    Key {
        /// The issuer.
        issuer: String,
        /// Why.
        #[source]
        source: KeyError,
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
    /// The token is not of the type that was asked for: `Bearer`, or `DPoP` where a key was proven (RFC 6749 §7.1,
    /// RFC 9449 §5).
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
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u32>,
    #[serde(default, deserialize_with = "refresh")]
    refresh_token: Option<RefreshToken>,
    #[serde(default)]
    scope: Option<ScopeSet>,
}

/// RFC 6749 appendix A.12: visible ASCII. Anything else would stand in no header, and command a terminal (ATK-231).
fn access<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AccessToken, D::Error> {
    let token = String::deserialize(deserializer)?;
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(serde::de::Error::custom("an access token is visible ASCII"));
    }
    Ok(AccessToken::from_outside(token))
}

/// `expires_in` as servers write it: a whole number (RFC 6749 §5.1), a fraction, or either as text. Five client libraries
/// take all of these (npm `@modelcontextprotocol/sdk` 1.32, `client` 2.4, `oauth4webapi` 3.8; PyPI `mcp` 1.30 and 2.3),
/// so such servers are not noticed. A fraction is cut off. What is no number counts as not said: the member is optional.
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

/// How a client proves itself with an assertion (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// A grant by a statement of another issuer (RFC 7523 §2.1).
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

impl<'a> TokenEndpoint<'a> {
    /// The endpoint, if the client is registered at that issuer.
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

    /// The same, for what is signed: assertions of a client with a key, and proofs for tokens bound to `dpop`.
    #[must_use]
    pub fn proving(self, entropy: &'a dyn Entropy, dpop: Option<&'a Arc<DpopKey>>) -> Self {
        Self { entropy: Some(entropy), dpop, ..self }
    }

    /// The issuer that is asked.
    pub fn issuer(&self) -> &str {
        &self.server.issuer
    }

    /// The same, for longer answers than an OAuth server gives: an ID token can name thousands of groups.
    #[must_use]
    pub(crate) fn with_body_bytes_max(self, body_bytes_max: usize) -> Self {
        Self { body_bytes_max, ..self }
    }

    /// Sends a form as this client to the token endpoint, and gives the answer if it is a good one.
    pub(crate) async fn post(&self, form: &[(&str, &str)], now: Timestamp) -> Result<Response, TokenError> {
        self.post_to(NamedEndpoint { named: Named::TokenEndpoint, url: &self.server.token_endpoint }, form, now).await
    }

    /// The same to another endpoint of the issuer that knows clients by the same proof.
    pub(crate) async fn post_to(
        &self,
        endpoint: NamedEndpoint<'_>,
        form: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<Response, TokenError> {
        let response = self.send(endpoint, form, None, now).await?;
        if response.status.as_u16() == 200 { Ok(response) } else { Err(self.refusal(&response)) }
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
        let granted = self.ask(&form, now).await?;
        self.tokens(granted, TokenParameters { resource: request.resource(), scopes: request.scopes() }, None, now)
    }

    /// A token in the client's own name (RFC 6749 §4.4, CL-53).
    pub async fn client_credentials(&self, asked: TokenParameters<'_>, now: Timestamp) -> Result<Tokens, TokenError> {
        self.grant(&[("grant_type", "client_credentials")], asked, now).await
    }

    /// Trades the statement of an identity provider or a platform for a token (RFC 7523 §2.1, CL-56).
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

    /// Trades the refresh token for new tokens. It widens nothing (CL-24); without a successor the old one stays.
    ///
    /// Where no answer came, it is asked once more, at once: some issuers give the same successor to who asks again within
    /// a short time (ours: 30 s, decision 0006). Others take the second request for a replay, but they would take the next
    /// refresh for one as well, because the old token is all that is here.
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

    /// Gives the grant back (RFC 7009): its refresh token, or the access token where there is none.
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
        // RFC 9449 §8: refused before anything was used up, so the same request may come again, once.
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

    /// The assertion of a client with a key. Its audience is the issuer's identifier, not the URL of the endpoint.
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

/// Whether it is unknown what the issuer answered: nothing came, or nothing that can be read.
fn is_lost(error: &TokenError) -> bool {
    matches!(error, TokenError::Http { .. } | TokenError::Malformed { .. })
}

/// An endpoint of the issuer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NamedEndpoint<'a> {
    /// What names it.
    pub(crate) named: Named,
    pub(crate) url: &'a str,
}

/// What a token is for.
#[derive(Debug, Clone, Copy)]
pub struct TokenParameters<'a> {
    /// The server, named in every request (CL-20).
    pub resource: &'a ResourceId,
    /// What is asked for; `None` leaves it to the issuer (CL-22).
    pub scopes: Option<&'a ScopeSet>,
}

/// The nonce without which an issuer takes no proof (RFC 9449 §8).
fn wants_nonce(response: &Response) -> Option<String> {
    let asks = response.status.as_u16() == 400
        && response.json::<OauthErrorBody>().is_some_and(|body| body.error == "use_dpop_nonce");
    if asks { dpop_nonce(&response.headers) } else { None }
}

/// The nonce that a server wants in the next proofs (RFC 9449 §8.2).
pub(crate) fn dpop_nonce(headers: &HeaderMap) -> Option<String> {
    Some(headers.get("dpop-nonce")?.to_str().ok()?.to_owned())
}

#[cfg(test)]
mod tests;
