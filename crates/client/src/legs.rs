//! The labels of a recorded exchange in a sequence diagram.

use crate::http::Leg;
use serde_json::Value;

/// The path of a URL, without query and without the identifier of a single request.
pub fn path(url: &str) -> String {
    let path = url.split("://").nth(1).and_then(|rest| rest.find('/').and_then(|at| rest.get(at..))).unwrap_or("/");
    let path = path.split('?').next().unwrap_or(path);
    match path.rsplit_once('/') {
        Some((before, last)) if last.starts_with("req_") => format!("{before}/…"),
        _ => path.to_owned(),
    }
}

/// The MCP method and target of a call, or the grant type of a token request, after a space. Empty for other requests.
pub fn request_summary(leg: &Leg) -> String {
    if let Ok(body) = serde_json::from_str::<Value>(&leg.request_body) {
        let method = body.get("method").and_then(Value::as_str).unwrap_or_default();
        let target =
            body.get("params").and_then(|params| params.get("name")).and_then(Value::as_str).unwrap_or_default();
        return format!(" {method} {target}").trim_end().to_owned();
    }
    let kind = leg.request_body.lines().find_map(|line| line.strip_prefix("grant_type="));
    kind.map(|kind| format!(" ({kind})")).unwrap_or_default()
}

/// The message of the error in a response, after a space. Empty if there is none.
pub fn error_summary(leg: &Leg) -> String {
    let error = serde_json::from_str::<Value>(&leg.response_body).ok().and_then(|body| {
        let error = body.get("error")?;
        error.get("message").or(Some(error)).and_then(Value::as_str).map(str::to_owned)
    });
    error.map(|error| format!(" {error}")).unwrap_or_default()
}
