//! Finds the servers that ask their clients for a login. The client itself logs in there, and the checkpoint has no
//! credential to do so; so these servers stay as they are.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE};
use sekisho_client::http::{Destination, HttpClient as _, HttpSettings, Request, SafeHttp};
use serde_json::json;

use super::entries::Entry;
use super::findings::Finding;
use crate::error::CommandError;

/// How long one server may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// The most servers that are asked at the same time.
const AT_ONCE: usize = 16;
/// The most servers that are asked. No person writes a file with more.
const ASKED_MAX: usize = 100;

/// How a server answers a request without a token.
#[derive(Debug, Clone)]
enum LoginProbe {
    /// With status 401: it wants a token.
    Login,
    /// With any other status.
    Other,
    /// It does not answer, for this reason.
    Silent(String),
}

/// Asks each server that gets no credential from its entry, once, with a request that changes nothing.
pub(super) async fn ask(entries: &mut [Entry]) -> Result<(), CommandError> {
    let mut urls: Vec<String> = entries.iter().filter_map(Entry::asks_nobody).collect();
    urls.sort();
    urls.dedup();
    urls.truncate(ASKED_MAX);
    if urls.is_empty() {
        return Ok(());
    }
    let settings = HttpSettings { allow_http_loopback: true, timeout: ASK_TIMEOUT, ..HttpSettings::default() };
    let http = SafeHttp::new(settings)
        .map_err(|error| CommandError::environment(format!("no outbound HTTP: {error}"), "say --offline"))?;
    let http = &http;
    let asked = stream::iter(urls).map(|url| async move {
        let said = hello(http, &url).await;
        (url, said)
    });
    let said: BTreeMap<String, LoginProbe> = asked.buffer_unordered(AT_ONCE).collect().await;
    for entry in entries {
        match entry.asks_nobody().and_then(|url| said.get(&url)) {
            Some(LoginProbe::Login) => {
                entry.stays = Some("it asks for a login (401), and its client logs in there by itself".to_owned())
            }
            Some(LoginProbe::Silent(why)) => {
                let says =
                    format!("it was not seen whether it asks for a login, which the checkpoint would not have: {why}");
                entry.carries.push(Finding::warning(says));
            }
            Some(LoginProbe::Other) | None => {}
        }
    }
    Ok(())
}

/// Sends `initialize` (2025-11-25 lifecycle), which changes nothing.
async fn hello(http: &SafeHttp, url: &str) -> LoginProbe {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "sekisho import", "version": env!("CARGO_PKG_VERSION") } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
    let request = Request::new(Method::POST, Destination::given(url), body.to_string().into())
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json, text/event-stream");
    // The head of the response is enough: its body may be an endless stream.
    match http.open(request).await {
        Ok(answer) if answer.status.as_u16() == 401 => LoginProbe::Login,
        Ok(_) => LoginProbe::Other,
        Err(error) => LoginProbe::Silent(error.to_string()),
    }
}
