//! One sign-in: where the browser is sent, what is kept until it comes back, and what is exchanged then (OpenID Connect
//! Core 1.0 §3.1, RFC 7636, RFC 9207). Everything except the exchange is pure.

use std::fmt::{self, Debug};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sekisho_protocol::env::{Entropy, random};
use sekisho_protocol::pkce::{CodeChallenge, generate_verifier};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::{AccessToken, AuthorizationCode, CodeVerifier, CsrfToken, SubjectToken};
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::BODY_BYTES_MAX;
use super::provider::Provider;
use crate::authorization::{Awaited, FinishError, read_answer};
use crate::http::{Destination, Named};
use crate::registration::Registration;
use crate::token::{TokenEndpoint, TokenError};

/// The parameters of a sign-in at a provider.
#[derive(Debug, Clone, Copy)]
pub struct SignInWish<'a> {
    /// Where the answer is to arrive: exactly one of the registered redirect URIs. Every provider has its own (ATK-83).
    pub redirect_uri: &'a RedirectUri,
    /// The scopes to ask for; `openid` is added.
    pub scopes: &'a ScopeSet,
    /// `login`, `consent`, `select_account`, or several (§3.1.2.1).
    pub prompt: Option<&'a str>,
    /// How many seconds ago the person may have authenticated at most.
    pub max_age_seconds: Option<u32>,
    /// Authentication context classes, in order of preference.
    pub acr_values: &'a [String],
    /// Who is about to sign in, if that is known.
    pub login_hint: Option<&'a str>,
}

/// A sign-in under way: the record against which the answer is checked. It belongs to one browser and may be used once;
/// the caller has to ensure both.
#[derive(Clone, PartialEq, Eq)]
pub struct SignIn {
    state: CsrfToken,
    nonce: String,
    verifier: CodeVerifier,
    issuer: String,
    iss_required: bool,
    redirect_uri: String,
    max_age_seconds: Option<u32>,
    begun_at: Timestamp,
}

/// Why the browser cannot be sent to a provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The endpoint is not a URL that a browser may be sent to.
    #[error("the authorization endpoint of `{issuer}` is not an https URL")]
    Endpoint {
        /// The provider.
        issuer: String,
    },
    /// The registration belongs to another provider, or the redirect URI is not in it.
    #[error("the client is not registered at `{issuer}` with this redirect URI")]
    Registration {
        /// The provider.
        issuer: String,
    },
}

/// Why an answer is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It is not the expected answer, or the provider refused.
    #[error(transparent)]
    Answer(FinishError),
    /// The answer came too late.
    #[error("the sign-in took more than ten minutes: begin again")]
    Expired,
    /// `iss` is missing, although the provider's metadata announce it (RFC 9207 §2.4).
    #[error(
        "`{issuer}` says in its metadata that it sends `iss`, and the answer has none: another provider may have sent it"
    )]
    Unnamed {
        /// The provider.
        issuer: String,
    },
}

/// The tokens that a provider gave for a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderTokens {
    /// The ID token, not verified yet.
    pub id_token: SubjectToken,
    /// The access token. It is only for UserInfo.
    pub access: AccessToken,
}

/// The stored form of a sign-in. Its texts are secrets, so the caller has to encrypt it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept<'a> {
    state: &'a str,
    nonce: &'a str,
    verifier: &'a str,
    issuer: &'a str,
    iss_required: bool,
    redirect_uri: &'a str,
    max_age_seconds: Option<u32>,
    begun_at: i64,
}

/// Prepares to send a browser to a provider. Returns the URL, which contains `state` and must not be logged, and the
/// record to keep.
pub fn begin(
    provider: &Provider,
    registration: &Registration,
    wish: SignInWish<'_>,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<(String, SignIn), SignInError> {
    let issuer = provider.issuer().to_owned();
    let redirect = wish.redirect_uri;
    if registration.issuer != issuer || !registration.redirect_uris.contains(redirect) {
        return Err(SignInError::Registration { issuer });
    }
    let endpoint = Destination::named(Named::AuthorizationEndpoint, &issuer, &provider.server.authorization_endpoint);
    let parsed = endpoint.ok().and_then(|named| Url::parse(named.as_str()).ok());
    let Some(mut url) = parsed else { return Err(SignInError::Endpoint { issuer }) };
    let sign_in = SignIn {
        state: CsrfToken::generate(entropy),
        nonce: URL_SAFE_NO_PAD.encode(random::<32>(entropy)),
        verifier: generate_verifier(entropy),
        issuer,
        iss_required: provider.server.authorization_response_iss_parameter_supported,
        redirect_uri: redirect.as_str().to_owned(),
        max_age_seconds: wish.max_age_seconds,
        begun_at: now,
    };
    let max_age = wish.max_age_seconds.map(|seconds| seconds.to_string());
    let acr_values = (!wish.acr_values.is_empty()).then(|| wish.acr_values.join(" "));
    let mut pairs = url.query_pairs_mut();
    pairs
        .append_pair("response_type", "code")
        .append_pair("client_id", registration.client.as_str())
        .append_pair("redirect_uri", &sign_in.redirect_uri)
        .append_pair("scope", &scope(wish.scopes))
        .append_pair("state", sign_in.state.expose())
        .append_pair("nonce", &sign_in.nonce)
        .append_pair("code_challenge", CodeChallenge::of(&sign_in.verifier).as_str())
        .append_pair("code_challenge_method", CodeChallenge::METHOD);
    for (name, value) in [
        ("prompt", wish.prompt),
        ("max_age", max_age.as_deref()),
        ("acr_values", acr_values.as_deref()),
        ("login_hint", wish.login_hint),
    ] {
        if let Some(value) = value {
            pairs.append_pair(name, value);
        }
    }
    drop(pairs);
    Ok((url.into(), sign_in))
}

/// Returns the scopes with `openid` first, as some providers require.
fn scope(scopes: &ScopeSet) -> String {
    let others = scopes.iter().map(|scope| scope.as_str()).filter(|scope| *scope != "openid");
    std::iter::once("openid").chain(others).collect::<Vec<_>>().join(" ")
}

impl SignIn {
    /// How long a sign-in may take, in seconds (PX-09).
    pub const SECONDS_MAX: i64 = 10 * 60;

    /// The value by which this record is found when the browser comes back. The caller refuses a browser to which it
    /// does not belong.
    pub fn state(&self) -> &CsrfToken {
        &self.state
    }

    /// The `nonce` that the ID token has to contain.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The provider that was asked.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// How many seconds ago the person may have authenticated at most, if that was asked for.
    pub fn max_age_seconds(&self) -> Option<u32> {
        self.max_age_seconds
    }

    /// Returns the stored form. It contains the verifier, so it has to be encrypted.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let kept = Kept {
            state: self.state.expose(),
            nonce: &self.nonce,
            verifier: self.verifier.expose(),
            issuer: &self.issuer,
            iss_required: self.iss_required,
            redirect_uri: &self.redirect_uri,
            max_age_seconds: self.max_age_seconds,
            begun_at: self.begun_at.as_second(),
        };
        // Serialising texts and numbers cannot fail.
        Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default())
    }

    /// Reads the stored form. `None`: the bytes are not a sign-in.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let kept: Kept<'_> = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            state: CsrfToken::parse(kept.state).ok()?,
            nonce: kept.nonce.to_owned(),
            verifier: CodeVerifier::from_outside(kept.verifier),
            issuer: kept.issuer.to_owned(),
            iss_required: kept.iss_required,
            redirect_uri: kept.redirect_uri.to_owned(),
            max_age_seconds: kept.max_age_seconds,
            begun_at: Timestamp::from_second(kept.begun_at).ok()?,
        })
    }

    /// Takes the code out of the URL to which the browser was sent back.
    pub fn answer(&self, redirected: &str, now: Timestamp) -> Result<AuthorizationCode, AnswerError> {
        let age = now.as_second().saturating_sub(self.begun_at.as_second());
        if !(0..=Self::SECONDS_MAX).contains(&age) {
            return Err(AnswerError::Expired);
        }
        let awaited = Awaited {
            redirect_uri: &self.redirect_uri,
            state: &self.state,
            issuer: &self.issuer,
            iss_required: self.iss_required,
        };
        match read_answer(awaited, redirected) {
            Ok(answer) => Ok(answer.code),
            Err(FinishError::Unnamed { issuer }) => Err(AnswerError::Unnamed { issuer }),
            Err(other) => Err(AnswerError::Answer(other)),
        }
    }

    /// Exchanges the code at the provider that was asked, and at no other.
    pub async fn exchange(
        &self,
        endpoint: &TokenEndpoint<'_>,
        code: &AuthorizationCode,
        now: Timestamp,
    ) -> Result<ProviderTokens, TokenError> {
        let issuer = || self.issuer.clone();
        if endpoint.issuer() != self.issuer {
            return Err(TokenError::OtherIssuer { issuer: endpoint.issuer().to_owned() });
        }
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code_verifier", self.verifier.expose()),
        ];
        let response = endpoint.with_body_bytes_max(BODY_BYTES_MAX).post(&form, now).await?;
        let granted: Option<Granted> = response.json();
        let granted = granted.ok_or_else(|| TokenError::Malformed { issuer: issuer(), status: 200 })?;
        if !granted.token_type.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::Type { issuer: issuer() });
        }
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible(&granted.id_token) || !visible(&granted.access_token) {
            return Err(TokenError::Malformed { issuer: issuer(), status: 200 });
        }
        Ok(ProviderTokens {
            id_token: SubjectToken::from_outside(granted.id_token),
            access: AccessToken::from_outside(granted.access_token),
        })
    }
}

/// The response (§3.1.3.3). A refresh token is not kept: nothing is requested while the person is away.
#[derive(Deserialize)]
struct Granted {
    id_token: String,
    access_token: String,
    token_type: String,
}

impl Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").field("issuer", &self.issuer).field("begun_at", &self.begun_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
