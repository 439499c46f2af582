//! Every error as a response, in one place: pages for people, answers to clients, JSON for programs.
//!
//! What is our own fault is logged in full and answered with the request's name and nothing else.

use axum::response::{IntoResponse as _, Response};
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use sekisho_protocol::oauth_error::{OauthErrorBody, OauthErrorCode};
use sekisho_web::Visit;
use sekisho_web::error::{Fault, Telling, tell, tell_fault, told};
use sekisho_web::frame::{self, Chrome};
use sekisho_web::sentence::Sentence;
use serde::Serialize;

use crate::Issuer;
use crate::authorize::{AuthorizeError, Refusal, UnprovenError};
use crate::clients::LookupError;
use crate::clients::authenticate::AuthenticationError;
use crate::clients::dynamic::{MetadataError, Registered};
use crate::consent::ConsentError;
use crate::login::LoginError;
use crate::pages::ReturnPage;
use crate::register::RegistrationError;
use crate::setup::SetupError;
use crate::token::{Issued, TokenError};

/// A refused authorization request: a page before the redirect is proven, an answer to the client after.
pub(crate) fn authorize(issuer: &Issuer, visit: &Visit, error: &AuthorizeError) -> Response {
    match error {
        AuthorizeError::Unproven(error) => told(&issuer.site, visit, tell_unproven(error, visit)),
        AuthorizeError::Proven(refusal) => refused(issuer, visit, refusal),
    }
}

fn tell_unproven(error: &UnprovenError, visit: &Visit) -> Telling {
    let bad = StatusCode::BAD_REQUEST;
    match error {
        UnprovenError::Busy => tell(StatusCode::TOO_MANY_REQUESTS, Sentence::ErrorBusy, Sentence::HintStartAgain),
        UnprovenError::Client(error) => tell_lookup(error, visit),
        UnprovenError::ClientId => tell(bad, Sentence::ErrorClientUnknown, Sentence::HintTellDeveloper),
        UnprovenError::Internal(fault) => tell_fault(fault, visit),
        UnprovenError::Malformed(_) => tell(bad, Sentence::ErrorRequestMalformed, Sentence::HintTellDeveloper),
        UnprovenError::Redirect => tell(bad, Sentence::ErrorRedirect, Sentence::HintTellDeveloper),
        UnprovenError::Repeated(name) => {
            Telling { detail: name.clone(), ..tell(bad, Sentence::ErrorRepeated, Sentence::HintTellDeveloper) }
        }
    }
}

/// The page does not say what is wrong with a document (ATK-29).
fn tell_lookup(error: &LookupError, visit: &Visit) -> Telling {
    let bad = StatusCode::BAD_REQUEST;
    match error {
        LookupError::Disabled => tell(StatusCode::FORBIDDEN, Sentence::ErrorClientDisabled, Sentence::HintTellOperator),
        LookupError::Document(why) => {
            tracing::info!(request = %visit.request, error = why as &dyn std::error::Error, "a client's document was refused");
            tell(bad, Sentence::ErrorClientDocument, Sentence::HintTellDeveloper)
        }
        LookupError::Internal(fault) => tell_fault(fault, visit),
        LookupError::Unknown => tell(bad, Sentence::ErrorClientUnknown, Sentence::HintStartAgain),
    }
}

/// RFC 6749 §4.1.2.1 with `iss` (RFC 9207). For a client that no operator registered it is a page with a link (ATK-04).
fn refused(issuer: &Issuer, visit: &Visit, refusal: &Refusal) -> Response {
    let description = match &refusal.error {
        crate::authorize::ProvenError::Internal(fault) => {
            fault.status(visit);
            format!("request {}", visit.request)
        }
        error => error.to_string(),
    };
    let code = refusal.error.code().as_str();
    let words = [("error", code), ("error_description", description.as_str())];
    let target = refusal.redirect.answer(&issuer.site.settings.base_url, refusal.state.as_deref(), &words);
    if refusal.vouched_for {
        return frame::see_other(&target);
    }
    let page = ReturnPage {
        chrome: Chrome::new(&issuer.site, visit),
        title: Sentence::ErrorTitle,
        what: Sentence::ReturnRefused,
        code: code.to_owned(),
        detail: description,
        target,
        host: refusal.redirect.host(),
    };
    frame::page(visit, &issuer.site, StatusCode::BAD_REQUEST, &page, "")
}

/// A request that cannot be shown or answered.
pub(crate) fn consent(issuer: &Issuer, visit: &Visit, error: &ConsentError) -> Response {
    let telling = match error {
        ConsentError::Client(error) => tell_lookup(error, visit),
        ConsentError::Forgery => tell(StatusCode::FORBIDDEN, Sentence::ErrorForgery, Sentence::HintReload),
        ConsentError::Internal(fault) => tell_fault(fault, visit),
        ConsentError::Malformed => tell(StatusCode::BAD_REQUEST, Sentence::ErrorRequestMalformed, Sentence::HintReload),
        ConsentError::OtherBrowser => {
            tell(StatusCode::FORBIDDEN, Sentence::ErrorOtherBrowser, Sentence::HintStartAgain)
        }
        ConsentError::RequestGone => tell(StatusCode::GONE, Sentence::ErrorRequestGone, Sentence::HintStartAgain),
    };
    told(&issuer.site, visit, telling)
}

/// A login that is not just a wrong password.
pub(crate) fn login(issuer: &Issuer, visit: &Visit, error: &LoginError) -> Response {
    let telling = match error {
        LoginError::Busy => tell(StatusCode::SERVICE_UNAVAILABLE, Sentence::ErrorBusy, Sentence::HintReload),
        LoginError::Forgery => tell(StatusCode::FORBIDDEN, Sentence::ErrorForgery, Sentence::HintReload),
        LoginError::Internal(fault) => tell_fault(fault, visit),
        LoginError::Malformed => tell(StatusCode::BAD_REQUEST, Sentence::ErrorRequestMalformed, Sentence::HintReload),
        LoginError::Throttled => tell(StatusCode::TOO_MANY_REQUESTS, Sentence::LoginThrottled, Sentence::HintReload),
        LoginError::Wrong => tell(StatusCode::UNAUTHORIZED, Sentence::LoginFailed, Sentence::HintReload),
    };
    told(&issuer.site, visit, telling)
}

/// A setup link that does not work, or a password that was not set.
pub(crate) fn setup(issuer: &Issuer, visit: &Visit, error: &SetupError) -> Response {
    let telling = match error {
        SetupError::Busy => tell(StatusCode::SERVICE_UNAVAILABLE, Sentence::ErrorBusy, Sentence::HintReload),
        SetupError::Forgery => tell(StatusCode::FORBIDDEN, Sentence::ErrorForgery, Sentence::HintReload),
        SetupError::Internal(fault) => tell_fault(fault, visit),
        SetupError::Link => tell(StatusCode::NOT_FOUND, Sentence::ErrorSetupLink, Sentence::HintTellOperator),
        SetupError::Malformed => tell(StatusCode::BAD_REQUEST, Sentence::ErrorRequestMalformed, Sentence::HintReload),
        SetupError::Password(what) => tell(StatusCode::UNPROCESSABLE_ENTITY, *what, Sentence::HintReload),
    };
    told(&issuer.site, visit, telling)
}

/// The body of a token response (RFC 6749 §5.1).
#[derive(Serialize)]
struct TokenBody<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_details: Option<[&'a serde_json::Value; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
}

/// What a client gets (AS-16, AS-20).
pub(crate) fn issued(issued: &Issued) -> Response {
    json(
        StatusCode::OK,
        &TokenBody {
            access_token: issued.access.expose(),
            token_type: "Bearer",
            expires_in: issued.expires_in_seconds,
            refresh_token: issued.refresh.as_ref().map(|token| token.expose()),
            scope: issued.scopes.to_string(),
            // RFC 9396 §7: an array, and what was granted of what was asked.
            authorization_details: issued.details.as_ref().map(|details| [details]),
            issued_token_type: issued.kind,
        },
    )
}

/// A refused token or revocation request (RFC 6749 §5.2).
pub(crate) fn token(visit: &Visit, error: &TokenError) -> Response {
    let bad = |code: OauthErrorCode| oauth_error(StatusCode::BAD_REQUEST, code, error.to_string(), visit);
    match error {
        TokenError::Authentication(error) => authentication(visit, error),
        // RFC 9396 §5.
        TokenError::Bounds(_) | TokenError::Details(_) => bad(OauthErrorCode::InvalidAuthorizationDetails),
        TokenError::Full(_) => {
            let code = OauthErrorCode::TemporarilyUnavailable;
            oauth_error(StatusCode::TOO_MANY_REQUESTS, code, error.to_string(), visit)
        }
        TokenError::Grant(_) => bad(OauthErrorCode::InvalidGrant),
        TokenError::GrantType => bad(OauthErrorCode::UnsupportedGrantType),
        TokenError::Internal(fault) => internal(visit, fault),
        TokenError::Exchange(_) | TokenError::Malformed(_) | TokenError::Missing(_) | TokenError::Repeated(_) => {
            bad(OauthErrorCode::InvalidRequest)
        }
        TokenError::Raced => internal(visit, &Fault::Contended),
        TokenError::Scope => bad(OauthErrorCode::InvalidScope),
        TokenError::StepUp => bad(OauthErrorCode::ServerError),
        TokenError::Target => bad(OauthErrorCode::InvalidTarget),
    }
}

/// Every failure of authentication looks alike: 401 with a challenge (ATK-33).
fn authentication(visit: &Visit, error: &AuthenticationError) -> Response {
    let later = StatusCode::SERVICE_UNAVAILABLE;
    match error {
        AuthenticationError::Internal(fault) => internal(visit, fault),
        AuthenticationError::Unavailable => {
            oauth_error(later, OauthErrorCode::TemporarilyUnavailable, error.to_string(), visit)
        }
        AuthenticationError::Assertion(_)
        | AuthenticationError::AssertionUsed
        | AuthenticationError::Credentials(_)
        | AuthenticationError::Keys
        | AuthenticationError::Method(_)
        | AuthenticationError::Secret
        | AuthenticationError::Unknown => {
            let description = "the client is not known, or did not authenticate as it registered".to_owned();
            let mut response = oauth_error(StatusCode::UNAUTHORIZED, OauthErrorCode::InvalidClient, description, visit);
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"sekisho\""));
            response
        }
    }
}

fn internal(visit: &Visit, fault: &Fault) -> Response {
    let status = fault.status(visit);
    let code = match status {
        StatusCode::SERVICE_UNAVAILABLE => OauthErrorCode::TemporarilyUnavailable,
        _ => OauthErrorCode::ServerError,
    };
    oauth_error(status, code, "the request failed on our side".to_owned(), visit)
}

/// A client that was registered (RFC 7591 §3.2.1).
pub(crate) fn registered(registered: &Registered) -> Response {
    json(StatusCode::CREATED, registered)
}

/// A refused registration (RFC 7591 §3.2.2).
pub(crate) fn registration(visit: &Visit, error: &RegistrationError) -> Response {
    let answer = |status, code| oauth_error(status, code, error.to_string(), visit);
    let bad = StatusCode::BAD_REQUEST;
    match error {
        RegistrationError::Busy => answer(StatusCode::TOO_MANY_REQUESTS, OauthErrorCode::TemporarilyUnavailable),
        RegistrationError::Full => answer(StatusCode::SERVICE_UNAVAILABLE, OauthErrorCode::TemporarilyUnavailable),
        RegistrationError::Internal(fault) => internal(visit, fault),
        RegistrationError::Malformed | RegistrationError::MediaType => {
            answer(bad, OauthErrorCode::InvalidClientMetadata)
        }
        RegistrationError::Metadata(MetadataError::Redirect(_) | MetadataError::RedirectCount) => {
            answer(bad, OauthErrorCode::InvalidRedirectUri)
        }
        RegistrationError::Metadata(_) => answer(bad, OauthErrorCode::InvalidClientMetadata),
    }
}

/// The answer to every revocation that was understood (RFC 7009 §2.2).
pub(crate) fn revoked() -> Response {
    let mut response = StatusCode::OK.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn oauth_error(status: StatusCode, code: OauthErrorCode, description: String, visit: &Visit) -> Response {
    // RFC 6749 §5.2: printable ASCII without quotes and backslashes.
    let plain = |character: char| matches!(character, ' '..='~') && !matches!(character, '"' | '\\');
    let description: String = description.chars().filter(|character| plain(*character)).take(300).collect();
    let description = format!("{description} (request {})", visit.request);
    let body = OauthErrorBody { error: code.as_str().to_owned(), error_description: Some(description) };
    let mut response = json(status, &body);
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
    }
    response
}

/// JSON that no cache may keep (AS-20, ATK-50).
fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut response = (status, serde_json::to_vec(body).unwrap_or_default()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A public document that may be kept for five minutes.
pub(crate) fn document(body: &impl Serialize) -> Response {
    let mut response = json(StatusCode::OK, body);
    response.headers_mut().remove(PRAGMA);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

/// The endpoints that programs call from pages of any origin (ATK-51): never with the browser's credentials.
pub(crate) async fn cross_origin(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let preflight = request.method() == http::Method::OPTIONS;
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if preflight {
        let put = [
            ("access-control-allow-methods", "GET, POST, OPTIONS"),
            ("access-control-allow-headers", "Authorization, Content-Type, MCP-Protocol-Version"),
            ("access-control-max-age", "600"),
        ];
        for (name, value) in put {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    } else {
        headers.insert(
            HeaderName::from_static("access-control-expose-headers"),
            HeaderValue::from_static("WWW-Authenticate, Retry-After"),
        );
    }
    response
}
