//! What a provisioning client is answered, and every refusal as a SCIM error (RFC 7644 §3.12).

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use sekisho_acts::scim::ProvisioningError;
use sekisho_scim::error::{SCHEMA, ScimError};
use sekisho_scim::list::etag;
use sekisho_store::StoreError;
use sekisho_web::Visit;
use sekisho_web::error::Fault;
use serde_json::{Map, Value, json};

/// The media type (RFC 7644 §3.1).
pub(super) const MEDIA_TYPE: &str = "application/scim+json";

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("too many requests of provisioning clients at one time: try again in a moment")]
    Busy,
    #[error("the body did not arrive in time")]
    Late,
    #[error("the body is longer than the {} bytes that are read", sekisho_scim::discovery::BODY_BYTES_MAX)]
    Long,
    #[error("the body has to be `application/scim+json`")]
    MediaType,
    #[error("this method is not for this address")]
    Method,
    #[error("{0}")]
    NotSupported(&'static str),
    #[error(transparent)]
    Refused(#[from] ScimError),
    #[error("a token of a provisioning client is needed: `sekisho scim token add` makes one")]
    Unauthorized,
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<ProvisioningError> for CallError {
    fn from(error: ProvisioningError) -> Self {
        match error {
            ProvisioningError::Refused(error) => Self::Refused(error),
            ProvisioningError::Store(error) => error.into(),
        }
    }
}

/// A refusal.
pub(super) fn refused(visit: &Visit, error: &CallError) -> Response {
    let plain = |status: StatusCode| {
        let detail = error.to_string();
        let body = json!({ "schemas": [SCHEMA], "status": status.as_u16().to_string(), "detail": detail });
        document(status, &body)
    };
    match error {
        CallError::Busy => with(plain(StatusCode::TOO_MANY_REQUESTS), RETRY_AFTER, "1"),
        CallError::Late => plain(StatusCode::REQUEST_TIMEOUT),
        CallError::Long => plain(StatusCode::PAYLOAD_TOO_LARGE),
        CallError::MediaType => plain(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        CallError::Method => plain(StatusCode::METHOD_NOT_ALLOWED),
        CallError::NotSupported(_) => plain(StatusCode::NOT_IMPLEMENTED),
        CallError::Refused(error) => {
            document(StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST), &error.body())
        }
        CallError::Unauthorized => with(plain(StatusCode::UNAUTHORIZED), WWW_AUTHENTICATE, "Bearer realm=\"scim\""),
        CallError::Internal(fault) => {
            let status = fault.status(visit);
            let detail = format!("this should not have happened; the log knows more: {}", visit.request);
            document(status, &json!({ "schemas": [SCHEMA], "status": status.as_u16().to_string(), "detail": detail }))
        }
    }
}

/// A document.
pub(super) fn document(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A resource: where it is, and of which version.
pub(super) fn resource(status: StatusCode, shown: Map<String, Value>, place: &Place) -> Response {
    placed(document(status, &Value::Object(shown)), place)
}

/// Nothing but the version: the change was made.
pub(super) fn changed(place: &Place) -> Response {
    placed(empty(StatusCode::NO_CONTENT), place)
}

/// The reader has this version.
pub(super) fn unchanged(place: &Place) -> Response {
    placed(empty(StatusCode::NOT_MODIFIED), place)
}

/// It is gone.
pub(super) fn removed() -> Response {
    empty(StatusCode::NO_CONTENT)
}

/// Where a resource is, and its version.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) location: String,
    pub(super) version: i64,
}

fn placed(response: Response, place: &Place) -> Response {
    let response = with(response, ETAG, &etag(place.version));
    with(response, LOCATION, &place.location)
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
