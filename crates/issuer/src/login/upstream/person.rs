//! What a provider says of the person who signed in: who it is, and in which groups.

use sekisho_client::http::{Destination, HttpClient};
use sekisho_client::jwks::KeySets;
use sekisho_client::openid::member_groups::member_groups;
use sekisho_client::openid::provider::Provider as Described;
use sekisho_client::openid::sign_in::SignIn;
use sekisho_client::openid::user_info::user_info;
use sekisho_client::token::TokenEndpoint;
use sekisho_protocol::env::{Entropy, Timestamp};
use sekisho_protocol::openid::groups::{Fault, Reading, lacks_a_claim, merged, read, resolved};
use sekisho_protocol::openid::identity::{Identity, identity, meets, shown_name};
use sekisho_protocol::secret::SubjectToken;
use sekisho_token::{IdToken, IdTokenExpectation, PublicKeys, verify_id_token};
use serde_json::{Map, Value};

use super::failure::UpstreamError;
use super::provider::ProviderParts;

/// A person, as a provider describes them in one sign-in.
#[derive(Debug, Clone)]
pub struct Person {
    /// Who it is, for good.
    pub identity: Identity,
    /// The believed ID token.
    pub id_token: IdToken,
    /// The same as it came.
    pub id_token_text: SubjectToken,
    /// What they are called. It proves nothing.
    pub shown_name: Option<String>,
    /// All claims: those of the ID token, and of UserInfo where that was asked.
    pub claims: Map<String, Value>,
    /// Whether UserInfo was asked.
    pub asked_user_info: bool,
    /// Whether the token had no room for the groups, and another place was asked for them.
    pub asked_for_groups: bool,
    /// What the claims say about groups.
    pub reading: Reading,
}

/// With what a provider is asked.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// The way to it.
    pub http: &'a dyn HttpClient,
    /// Its keys.
    pub keys: &'a KeySets,
    /// What the configuration says of it.
    pub parts: &'a ProviderParts,
    /// What it says of itself.
    pub described: &'a Described,
    /// For proofs of a client with a key.
    pub entropy: &'a dyn Entropy,
}

/// Finishes a sign-in: `back` is the URL at which the browser arrived. Whoever calls has taken `sign_in` for the last time.
pub async fn person(asking: Asking<'_>, sign_in: &SignIn, back: &str, now: Timestamp) -> Result<Person, UpstreamError> {
    let Asking { http, keys, parts, described, entropy } = asking;
    let code = sign_in.answer(back, now)?;
    let endpoint = TokenEndpoint::new(http, &described.server, &parts.registration)?.proving(entropy, None);
    let tokens = sign_in.exchange(&endpoint, &code, now).await?;
    let expect = IdTokenExpectation {
        issuer: described.issuer(),
        client: &parts.registration.client,
        other_audiences: &parts.audiences,
        algorithm: parts.algorithm,
        nonce: sign_in.nonce(),
        access_token: &tokens.access,
        max_age_seconds: sign_in.max_age_seconds(),
        acr_required: if parts.acr_required { &parts.acr_values } else { &[] },
        now,
    };
    let check = |text: &str| -> Result<IdToken, UpstreamError> {
        Ok(verify_id_token(&PublicKeys::parse(text)?, tokens.id_token.expose(), &expect)?)
    };
    let id_token = keys.check(&described.keys, now, check, UpstreamError::lacks_key).await??;
    let named_by: Vec<&str> = parts.named_by.iter().map(String::as_str).collect();
    // From the signed token alone: UserInfo is asked only sometimes, and must not change who somebody is.
    let identity = identity(described.issuer(), &named_by, &id_token.claims)?;
    let mut claims = id_token.claims.clone();
    let asked_user_info = described.user_info_endpoint.is_some() && lacks_a_claim(&parts.rules, &claims);
    if asked_user_info {
        claims = merged(&claims, &user_info(http, described, &tokens.access, &id_token.subject).await?);
    }
    meets(&parts.require, &claims)?;
    let mut reading = read(parts.group_rules(), &claims);
    let mut asked_for_groups = false;
    if let (Some(place), Some(Fault::Elsewhere { claim })) = (&parts.overage, reading.fault.clone()) {
        asked_for_groups = true;
        let groups = member_groups(http, &Destination::given(place.as_str()), &tokens.access).await?;
        claims = resolved(&claims, &claim, groups);
        reading = read(parts.group_rules(), &claims);
    }
    Ok(Person {
        identity,
        shown_name: shown_name(&claims),
        id_token,
        id_token_text: tokens.id_token,
        claims,
        asked_user_info,
        asked_for_groups,
        reading,
    })
}
