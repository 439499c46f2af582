//! `POST /oauth/register` (RFC 7591 §3): a client registers itself. No operator has confirmed who it is.

use axum::extract::Request;
use http::header::CONTENT_TYPE;
use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::env::after;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::registration::{Client, ClientAuthentication};
use sekisho_protocol::secret::ClientSecret;
use sekisho_store::{NewClient, StoreError};
use sekisho_web::Visit;
use sekisho_web::error::Fault;
use sekisho_web::parameters::whole_body;

use crate::clients::dynamic::{Metadata, MetadataError, Registered, judge};
use crate::limits::REGISTRATION_BYTES_MAX;
use crate::{Issuer, records};

/// Why a client was not registered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistrationError {
    #[error("too many registrations from this address: wait a minute")]
    Busy,
    #[error(
        "as many clients as there may be have registered themselves and are in use: ask the operator to remove some"
    )]
    Full,
    #[error("the body must be a JSON object of at most {REGISTRATION_BYTES_MAX} bytes")]
    Malformed,
    #[error("the body must be `application/json`")]
    MediaType,
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl From<StoreError> for RegistrationError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

/// Registers a client, and puts a refusal on record.
pub(crate) async fn register(
    issuer: &Issuer,
    visit: &Visit,
    request: Request,
) -> Result<Registered, RegistrationError> {
    let outcome = match read(issuer, visit, request).await {
        Ok(metadata) => keep(issuer, visit, metadata).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &outcome {
        refused(issuer, visit, error).await;
    }
    outcome
}

/// Records a refusal. If too many come, it is counted instead (AS-41).
async fn refused(issuer: &Issuer, visit: &Visit, error: &RegistrationError) {
    if matches!(error, RegistrationError::Busy) {
        return records::count(issuer, visit, ActKind::ClientRefused);
    }
    let entry = Act::new(Actor::Anonymous, ActKind::ClientRefused);
    records::refused(issuer, visit, Act { detail: error.to_string(), ..entry }).await;
}

async fn read(issuer: &Issuer, visit: &Visit, request: Request) -> Result<Metadata, RegistrationError> {
    if !issuer.limits.may_register(visit.peer) {
        return Err(RegistrationError::Busy);
    }
    let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(RegistrationError::MediaType);
    }
    let body = whole_body(request.into_body(), REGISTRATION_BYTES_MAX).await.ok_or(RegistrationError::Malformed)?;
    serde_json::from_slice(&body).map_err(|_| RegistrationError::Malformed)
}

/// Keeps what is left of the metadata as a client, until it is used or its time is over.
async fn keep(issuer: &Issuer, visit: &Visit, metadata: Metadata) -> Result<Registered, RegistrationError> {
    let client = judge(ClientId::generate(visit.now, &*issuer.site.entropy), metadata, issuer.settings.refreshes())?;
    let secret = needs_secret(&client).then(|| ClientSecret::generate(&*issuer.site.entropy));
    let mut tx = issuer.site.store.begin_for_stranger().await?;
    // If all places are taken, a registration that was never used is removed for a new one, so that nobody can use up
    // all places by registering.
    let full = tx.clients().count_dynamic().await? >= issuer.settings.dynamic_clients_max;
    if full && !tx.clients().forget_oldest_unused().await? {
        return Err(RegistrationError::Full);
    }
    let new = NewClient {
        client: client.clone(),
        secret: secret.as_ref().map(ClientSecret::digest),
        created_at: visit.now,
        expires_at: Some(after(visit.now, issuer.settings.dynamic_client_ttl_seconds)),
    };
    tx.clients().insert(&new).await?;
    let entry = Act::new(Actor::Anonymous, ActKind::ClientRegistered);
    let entry = Act { client: Some(client.id.clone()), detail: client.name.clone(), ..entry };
    records::append_of_stranger(issuer, &mut tx, visit, entry).await?;
    tx.commit().await?;
    let mut registered = Registered::of(&client, visit.now.as_second());
    if let Some(secret) = secret {
        // The one response that must carry it.
        registered.client_secret = Some(secret.expose().to_owned());
        registered.client_secret_expires_at = Some(0);
    }
    Ok(registered)
}

fn needs_secret(client: &Client) -> bool {
    match client.authentication {
        ClientAuthentication::ClientSecretBasic | ClientAuthentication::ClientSecretPost => true,
        ClientAuthentication::None | ClientAuthentication::PrivateKeyJwt => false,
    }
}
