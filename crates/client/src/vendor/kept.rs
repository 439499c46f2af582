//! The stored forms of a request, of tokens and of a client. Their texts are secrets, so the caller has to encrypt them.

use std::borrow::Cow;

use jiff::Timestamp;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::secret::{AccessToken, ClientSecret, CodeVerifier, CsrfToken, RefreshToken};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{AccountClient, AccountTokens, VendorEndpoint, VendorRequest};

/// How long before its end an access token is renewed at most, in seconds.
const EARLY_SECONDS_MAX: u32 = 30;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptClient<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    secret: Option<Cow<'a, str>>,
    authentication: ClientAuthentication,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptEndpoint<'a> {
    #[serde(borrow)]
    issuer: Cow<'a, str>,
    #[serde(borrow)]
    authorization: Cow<'a, str>,
    #[serde(borrow)]
    token: Cow<'a, str>,
    #[serde(borrow)]
    revocation: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client: KeptClient<'a>,
    iss_required: bool,
    #[serde(borrow)]
    resource: Option<Cow<'a, str>>,
    #[serde(borrow)]
    scopes: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptTokens<'a> {
    #[serde(borrow)]
    access: Cow<'a, str>,
    #[serde(borrow)]
    refresh: Option<Cow<'a, str>>,
    /// In milliseconds since 1970.
    expires: Option<i64>,
    #[serde(borrow)]
    scopes: Option<Cow<'a, str>>,
    #[serde(borrow)]
    endpoint: Option<KeptEndpoint<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptRequest<'a> {
    #[serde(borrow)]
    state: Cow<'a, str>,
    #[serde(borrow)]
    verifier: Cow<'a, str>,
    #[serde(borrow)]
    redirect_uri: Cow<'a, str>,
    #[serde(borrow)]
    endpoint: KeptEndpoint<'a>,
}

/// Texts and numbers always serialise, so the default is never taken.
fn bytes(kept: &impl Serialize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(serde_json::to_vec(kept).unwrap_or_default())
}

impl<'a> KeptEndpoint<'a> {
    fn of(endpoint: &'a VendorEndpoint) -> Self {
        Self {
            issuer: (&endpoint.issuer).into(),
            authorization: (&endpoint.authorization).into(),
            token: (&endpoint.token).into(),
            revocation: endpoint.revocation.as_ref().map(Cow::from),
            client: KeptClient {
                id: endpoint.client.as_str().into(),
                secret: endpoint.secret.as_ref().map(|secret| secret.expose().into()),
                authentication: endpoint.authentication,
            },
            iss_required: endpoint.iss_required,
            resource: endpoint.resource.as_ref().map(Cow::from),
            scopes: endpoint.scopes.as_ref().map(Cow::from),
        }
    }

    fn read(self) -> Option<VendorEndpoint> {
        Some(VendorEndpoint {
            issuer: self.issuer.into_owned(),
            authorization: self.authorization.into_owned(),
            token: self.token.into_owned(),
            revocation: self.revocation.map(Cow::into_owned),
            client: ClientId::parse(&self.client.id).ok()?,
            secret: self.client.secret.map(ClientSecret::from_outside),
            authentication: self.client.authentication,
            iss_required: self.iss_required,
            resource: self.resource.map(Cow::into_owned),
            scopes: self.scopes.map(Cow::into_owned),
        })
    }
}

impl AccountTokens {
    /// Tokens that are only this key.
    pub fn key(key: &str) -> Self {
        Self { access: AccessToken::from_outside(key), refresh: None, expires: None, scopes: None, endpoint: None }
    }

    /// When the access token is to be renewed, if it ends: a little before its end, so that it does not end on its way.
    pub fn renew_at(&self, now: Timestamp) -> Option<Timestamp> {
        let lasts_seconds = self.expires?.as_second().saturating_sub(now.as_second());
        let early = u32::try_from(lasts_seconds / 2).unwrap_or_default().min(EARLY_SECONDS_MAX);
        self.expires?.checked_sub(jiff::SignedDuration::from_secs(i64::from(early))).ok()
    }

    /// Returns the stored form, which has to be encrypted.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        bytes(&KeptTokens {
            access: self.access.expose().into(),
            refresh: self.refresh.as_ref().map(|token| token.expose().into()),
            expires: self.expires.map(Timestamp::as_millisecond),
            scopes: self.scopes.as_ref().map(Cow::from),
            endpoint: self.endpoint.as_ref().map(KeptEndpoint::of),
        })
    }

    /// Reads the stored form. `None`: the bytes are no tokens.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let kept: KeptTokens<'_> = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            access: AccessToken::from_outside(kept.access),
            refresh: kept.refresh.map(RefreshToken::from_outside),
            expires: kept.expires.map(Timestamp::from_millisecond).transpose().ok()?,
            scopes: kept.scopes.map(Cow::into_owned),
            endpoint: match kept.endpoint {
                Some(endpoint) => Some(endpoint.read()?),
                None => None,
            },
        })
    }

    /// Reads only the access token of the stored form, for a call. `None`: the bytes are no tokens.
    pub fn access_of(bytes: &[u8]) -> Option<AccessToken> {
        let kept: KeptTokens<'_> = serde_json::from_slice(bytes).ok()?;
        Some(AccessToken::from_outside(kept.access))
    }
}

impl VendorRequest {
    /// Returns the stored form. It contains the verifier, so it has to be encrypted.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        bytes(&KeptRequest {
            state: self.state.expose().into(),
            verifier: self.verifier.expose().into(),
            redirect_uri: (&self.redirect_uri).into(),
            endpoint: KeptEndpoint::of(&self.endpoint),
        })
    }

    /// Reads the stored form. `None`: the bytes are no request.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let kept: KeptRequest<'_> = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            state: CsrfToken::parse(&kept.state).ok()?,
            verifier: CodeVerifier::from_outside(kept.verifier),
            redirect_uri: kept.redirect_uri.into_owned(),
            endpoint: kept.endpoint.read()?,
        })
    }
}

impl AccountClient {
    /// Returns the stored form, which has to be encrypted: it may hold a secret.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        bytes(&KeptClient {
            id: self.id.as_str().into(),
            secret: self.secret.as_ref().map(|secret| secret.expose().into()),
            authentication: self.authentication,
        })
    }

    /// Reads the stored form. `None`: the bytes are no client.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let kept: KeptClient<'_> = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            id: ClientId::parse(&kept.id).ok()?,
            secret: kept.secret.map(ClientSecret::from_outside),
            authentication: kept.authentication,
        })
    }
}
