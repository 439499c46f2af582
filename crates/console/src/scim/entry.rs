//! The way in for provisioning clients: their turn, their token, their parameters, their body; in this order, so that a stranger
//! costs one look at most, and no body of theirs is read.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::Response;
use http::header::{AUTHORIZATION, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};
use sekisho_acts::Performer;
use sekisho_acts::scim::ProvisioningClient;
use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::secret::ScimToken;
use sekisho_scim::discovery::BODY_BYTES_MAX;
use sekisho_scim::error::ScimError;
use sekisho_store::{ScimTokenRow, StoreError, Tx};
use sekisho_web::Visit;
use sekisho_web::parameters::{BODY_TIMEOUT, Parameters};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use super::answer::{CallError, MEDIA_TYPE, refused};
use super::body;
use super::provisioning::Provisioning;

/// How long a request waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// The last use of a token is noted this exactly, in milliseconds.
const USE_MILLIS: i64 = 60_000;

/// A request of a provisioning client. Only [`Call::from_request`] makes one.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) visit: Visit,
    pub(super) client: ProvisioningClient,
    pub(super) parameters: Parameters,
    token: Digest,
    headers: HeaderMap,
    body: Option<Value>,
    _turn: OwnedSemaphorePermit,
}

impl Call {
    /// The one who acts.
    pub(super) fn performer<'p>(&self, provisioning: &'p Provisioning) -> Performer<'p> {
        performer(provisioning, &self.visit, Actor::Provisioner)
    }

    /// A transaction for a change. The token has to be good still: it may have been taken back while the body arrived (ATK-374).
    pub(super) async fn begin(&self, provisioning: &Provisioning) -> Result<Tx, CallError> {
        let mut tx = provisioning.site.store.begin().await?;
        if tx.scim_tokens().hold(&self.token, self.visit.now).await? {
            return Ok(tx);
        }
        drop(tx);
        note_refusal(provisioning, &self.visit, Actor::Anonymous, &CallError::Unauthorized).await;
        Err(CallError::Unauthorized)
    }

    /// The body.
    pub(super) fn body(&self) -> Result<&Value, ScimError> {
        self.body
            .as_ref()
            .ok_or(ScimError::InvalidSyntax("it is not JSON, is nested too deeply, or has a member twice"))
    }

    /// `If-Match`.
    pub(super) fn if_match(&self) -> Option<String> {
        self.listed(&IF_MATCH)
    }

    /// `If-None-Match`.
    pub(super) fn if_none_match(&self) -> Option<String> {
        self.listed(&IF_NONE_MATCH)
    }

    /// Every value of a header that is a list. One that is no text matches nothing.
    fn listed(&self, name: &HeaderName) -> Option<String> {
        let all: Vec<&str> =
            self.headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect();
        (!all.is_empty()).then(|| all.join(","))
    }
}

fn performer<'p>(provisioning: &'p Provisioning, visit: &Visit, actor: Actor) -> Performer<'p> {
    let site = &provisioning.site;
    Performer { actor, node: site.node, request: visit.request, now: visit.now, entropy: &*site.entropy }
}

/// A provisioning client where there is nothing to do, so that no body of it is read: another method than an address has, or an
/// address at which there is nothing.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) visit: Visit,
}

impl FromRequestParts<Arc<Provisioning>> for Known {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Provisioning>) -> Result<Self, Response> {
        let (visit, _) = arrive(state, parts).await?;
        Ok(Self { visit })
    }
}

/// Who sends a request.
async fn arrive(state: &Provisioning, parts: &Parts) -> Result<(Visit, ScimTokenRow), Response> {
    let visit = Visit::read(parts, &state.site);
    match authenticate(state, &visit, &parts.headers).await {
        Ok(row) => {
            visit.recognition.recognize();
            Ok((visit, row))
        }
        Err(error) => {
            if matches!(error, CallError::Unauthorized) {
                note_refusal(state, &visit, Actor::Anonymous, &error).await;
            }
            Err(refused(&visit, &error))
        }
    }
}

impl FromRequest<Arc<Provisioning>> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Arc<Provisioning>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let (visit, row) = arrive(state, &parts).await?;
        let taken = take(state, &parts.method, &parts.headers, body).await;
        let (turn, body) = taken.map_err(|error| refused(&visit, &error))?;
        let parameters = read_query(parts.uri.query().unwrap_or_default());
        let parameters = parameters.map_err(|error| refused(&visit, &error.into()))?;
        let rule = state.rules.get(&row.provider).cloned();
        let (token, headers) = (row.digest, parts.headers);
        let client = ProvisioningClient { provider: row.provider, label: row.label, rule };
        Ok(Self { visit, client, parameters, token, headers, body, _turn: turn })
    }
}

/// The token that is shown, if it is good. A text that we could not have made is not looked for.
async fn authenticate(state: &Provisioning, visit: &Visit, headers: &HeaderMap) -> Result<ScimTokenRow, CallError> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return Err(CallError::Unauthorized) };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(CallError::Unauthorized)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(CallError::Unauthorized);
    }
    let token = ScimToken::parse(token.trim()).map_err(|_| CallError::Unauthorized)?;
    // Found by its digest, so that nothing of the token itself is compared, and no time tells how much of it is right.
    let digest = token.digest();
    let found = state.site.store.read().await?.scim_tokens().find(&digest, visit.now).await?;
    let row = found.ok_or(CallError::Unauthorized)?;
    let last = row.last_used_at.map_or(i64::MIN, |last| last.as_millisecond());
    if visit.now.as_millisecond().saturating_sub(last) >= USE_MILLIS {
        let mut tx = state.site.store.begin().await?;
        tx.scim_tokens().used(&digest, visit.now).await?;
        tx.commit().await?;
    }
    Ok(row)
}

/// The turn of a request, and its body.
async fn take(
    state: &Provisioning,
    method: &Method,
    headers: &HeaderMap,
    body: Body,
) -> Result<(OwnedSemaphorePermit, Option<Value>), CallError> {
    let turn = tokio::time::timeout(TURN_TIMEOUT, Arc::clone(&state.turns).acquire_owned()).await;
    let Ok(Ok(turn)) = turn else { return Err(CallError::Busy) };
    if ![Method::POST, Method::PUT, Method::PATCH].contains(method) {
        return Ok((turn, None));
    }
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let named = value.split(';').next().unwrap_or_default().trim();
    if !named.eq_ignore_ascii_case(MEDIA_TYPE) && !named.eq_ignore_ascii_case("application/json") {
        return Err(CallError::MediaType);
    }
    let read = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, BODY_BYTES_MAX));
    let bytes = read.await.map_err(|_| CallError::Late)?.map_err(|_| CallError::Long)?;
    Ok((turn, body::read(&bytes)))
}

fn read_query(query: &str) -> Result<Parameters, ScimError> {
    let parameters =
        Parameters::read(query).map_err(|_| ScimError::InvalidValue("the parameters of the URL cannot be read"))?;
    if parameters.repeated(&[]).is_some() {
        return Err(ScimError::InvalidValue("a parameter of the URL occurs twice"));
    }
    Ok(parameters)
}

/// Puts a refusal on record, or counts it where too many come. It stands whether or not that succeeds.
pub(super) async fn note_refusal(state: &Provisioning, visit: &Visit, actor: Actor, error: &CallError) {
    let kind = ActKind::ProvisioningRefused;
    if !state.refusals.admit(kind.as_str(), visit.peer) {
        return;
    }
    let by = performer(state, visit, actor);
    let written = async {
        let mut tx = state.site.store.begin_for_stranger().await?;
        by.record(&mut tx, Act { detail: error.to_string(), ..by.act(kind) }).await?;
        tx.commit().await
    };
    let written: Result<(), StoreError> = written.await;
    if let Err(error) = written {
        state.refusals.count(kind.as_str(), visit.peer);
        tracing::debug!(request = %visit.request, error = &error as &dyn std::error::Error, "a refusal is only counted");
    }
}
