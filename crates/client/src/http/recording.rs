//! Records the HTTP exchanges, with every secret taken out.

use std::sync::{Mutex, PoisonError};

use ::http::HeaderMap;
use ::http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{HttpClient, HttpError, Request, Response};

/// One request and its outcome, fit to be shown: no member contains a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// The method.
    pub method: String,
    /// The URL, with its secret parameters replaced.
    pub url: String,
    /// The request's headers in lower case.
    pub request_headers: Vec<(String, String)>,
    /// The request's body; a form is written one parameter per line.
    pub request_body: String,
    /// The response's status, or why there was none.
    pub outcome: Result<u16, String>,
    /// The answer's headers.
    pub response_headers: Vec<(String, String)>,
    /// The answer's body.
    pub response_body: String,
}

/// A client that records every exchange, in order, up to [`Recording::LEGS_MAX`].
#[derive(Debug)]
pub struct Recording<H> {
    inner: H,
    legs: Mutex<Vec<Leg>>,
}

impl<H: HttpClient> Recording<H> {
    /// How many exchanges are recorded; further ones are sent and not recorded.
    pub const LEGS_MAX: usize = 1000;

    /// Creates a recording of the requests that go through `inner`.
    pub fn new(inner: H) -> Self {
        Self { inner, legs: Mutex::new(Vec::new()) }
    }

    /// Returns what was recorded since the last call.
    pub fn take(&self) -> Vec<Leg> {
        std::mem::take(&mut *self.legs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, leg: Leg) {
        let mut legs = self.legs.lock().unwrap_or_else(PoisonError::into_inner);
        if legs.len() < Self::LEGS_MAX {
            legs.push(leg);
        }
    }
}

impl<H: HttpClient> HttpClient for Recording<H> {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, HttpError>> {
        Box::pin(async move {
            let mut leg = Leg {
                method: request.method.to_string(),
                url: redact_url(request.url()),
                request_headers: redact_headers(&request.headers),
                request_body: redact_body(&request.headers, &request.body),
                outcome: Err(String::new()),
                response_headers: Vec::new(),
                response_body: String::new(),
            };
            let answer = self.inner.send(request).await;
            match &answer {
                Ok(response) => {
                    leg.outcome = Ok(response.status.as_u16());
                    leg.response_headers = redact_headers(&response.headers);
                    leg.response_body = redact_body(&response.headers, &response.body);
                }
                Err(error) => leg.outcome = Err(error.to_string()),
            }
            self.note(leg);
            answer
        })
    }
}

/// The text in place of a secret.
const REDACTED: &str = "…";

/// Parameters and members that contain secrets, wherever they occur (RFC 6749, 7009, 7521, 7591, 7636, 8693).
const SECRET_NAMES: [&str; 18] = [
    "access_token",
    "actor_token",
    "assertion",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "csrf",
    "id_token",
    "login_hint",
    "password",
    "refresh_token",
    "registration_access_token",
    "request",
    "requestState",
    "state",
    "subject_token",
    "token",
];

/// Whether a header contains a secret, even if it was not marked as sensitive.
fn is_secret_header(name: &::http::HeaderName) -> bool {
    [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE].contains(name) || name.as_str() == "mcp-session-id"
}

fn redact_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let show = |(name, value): (&::http::HeaderName, &::http::HeaderValue)| {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let shown = if !is_secret_header(name) && !value.is_sensitive() {
            redact_nested_url(&text)
        } else {
            // The scheme is kept: `Bearer …`.
            match text.split_once(' ') {
                Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphabetic()) => format!("{scheme} {REDACTED}"),
                _ => REDACTED.to_owned(),
            }
        };
        (name.as_str().to_owned(), shown)
    };
    headers.iter().map(show).collect()
}

/// Redacts a header that is a URL (`Location`), which can contain a code.
fn redact_nested_url(text: &str) -> String {
    if text.contains('?') && !text.contains(' ') { redact_url(text) } else { text.to_owned() }
}

fn redact_url(url: &str) -> String {
    let Some((base, query)) = url.split_once(['?', '#']) else { return url.to_owned() };
    let pairs: Vec<String> = url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| format!("{name}={}", if is_secret_name(&name) { REDACTED } else { &value }))
        .collect();
    format!("{base}?{}", pairs.join("&"))
}

fn is_secret_name(name: &str) -> bool {
    SECRET_NAMES.iter().any(|secret| secret.eq_ignore_ascii_case(name))
}

fn redact_body(headers: &HeaderMap, body: &[u8]) -> String {
    let media = headers.get(::http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if body.is_empty() {
        return String::new();
    }
    if media == "application/x-www-form-urlencoded" {
        let shown = url::form_urlencoded::parse(body)
            .map(|(name, value)| format!("{name}={}", if is_secret_name(&name) { REDACTED } else { &value }));
        return shown.collect::<Vec<_>>().join("\n");
    }
    if media.ends_with("json")
        && let Ok(value) = serde_json::from_slice::<Value>(body)
    {
        return redact_json(value).to_string();
    }
    if media == "text/event-stream" {
        return String::from_utf8_lossy(body).lines().map(redact_event_line).collect::<Vec<_>>().join("\n");
    }
    // A body of an unknown format is not shown.
    format!("({} bytes)", body.len())
}

fn redact_event_line(line: &str) -> String {
    let Some(data) = line.strip_prefix("data:") else {
        let field = line.split(':').next().unwrap_or_default();
        return if matches!(field, "" | "event" | "retry") { line.to_owned() } else { format!("{field}: {REDACTED}") };
    };
    match serde_json::from_str::<Value>(data.trim_start()) {
        Ok(value) => format!("data: {}", redact_json(value)),
        Err(_) => format!("data: ({} bytes)", data.len()),
    }
}

/// Redacts a JSON value. The JSON reader bounds the depth (128).
fn redact_json(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(redact_json).collect()),
        Value::Object(members) => {
            let redact = |(name, value): (String, Value)| {
                // The `code` of a JSON-RPC error is a number and not a secret.
                let secret = is_secret_name(&name) && !value.is_number();
                let shown = if secret { Value::String(REDACTED.to_owned()) } else { redact_json(value) };
                (name, shown)
            };
            Value::Object(members.into_iter().map(redact).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::future::BoxFuture;
    use http::{HeaderMap, StatusCode};
    use sekisho_protocol::secret::AccessToken;

    use super::{HttpClient, HttpError, Recording, Request, Response};
    use crate::http::Destination;

    #[derive(Debug)]
    struct Canned(&'static str, &'static str);

    impl HttpClient for Canned {
        fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, HttpError>> {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", self.0.parse().unwrap());
            headers.insert("set-cookie", "session=CANARY".parse().unwrap());
            headers.insert("mcp-session-id", "CANARY".parse().unwrap());
            headers.insert("location", "https://c/cb?code=CANARY&iss=seen".parse().unwrap());
            let response = Response { status: StatusCode::OK, headers, body: Bytes::from_static(self.1.as_bytes()) };
            Box::pin(async { Ok(response) })
        }
    }

    /// ATK-58, RS-38, CL-57: a recording shows what happened, without any of the secrets in it.
    #[tokio::test]
    async fn a_recording_holds_no_secret() {
        for (media, body) in [
            (
                "application/json",
                r#"{"access_token":"CANARY","nested":[{"refresh_token":"CANARY"}],"token_type":"Bearer","seen":1}"#,
            ),
            (
                "text/event-stream",
                "id: CANARY\nevent: seen\ndata: {\"result\":{\"requestState\":\"CANARY\",\"code\":-1}}\ndata: CANARY\n",
            ),
            ("text/html", "<input name=csrf value=CANARY> not understood: seen"),
            ("application/json; charset=utf-8", "not json CANARY"),
        ] {
            let recording = Recording::new(Canned(media, body));
            let form = [
                ("code", "CANARY"),
                ("code_verifier", "CANARY"),
                ("grant_type", "seen"),
                ("client_secret", "CANARY"),
                ("token", "CANARY"),
                ("assertion", "CANARY"),
                ("subject_token", "CANARY"),
                ("client_assertion", "CANARY"),
            ];
            let request = Request::post_form(Destination::given("https://h/p?state=CANARY&resource=seen"), form)
                .bearer(&AccessToken::from_outside("CANARY"));
            assert!(!format!("{request:?}").contains("CANARY"));
            recording.send(request).await.unwrap();
            let legs = recording.take();
            let text = format!("{legs:?}");
            assert!(!text.contains("CANARY"), "{text}");
            assert!(text.contains("resource=seen") && text.contains("grant_type=seen") && text.contains("iss=seen"));
            assert!(text.contains("Bearer …"));
            assert_eq!(legs[0].outcome, Ok(200));
            assert!(recording.take().is_empty());
        }
    }
}
