//! Announces requests for access, and tools that are held back, to the configured webhook: a signed POST for each
//! (Standard Webhooks).
//!
//! One node takes what is to be announced and sends it, again if need be. The message says enough to decide whether somebody
//! has to look, and nothing of arguments or of definitions. Nothing can be decided by answering: the pages and the command line
//! are for that.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use sekisho_acts::tool::fingerprint;
use sekisho_client::http::{Destination, HttpClient, Request};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Clock, Timestamp};
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::secret::UpstreamSecret;
use sekisho_protocol::server::ServerDirectory;
use sekisho_store::{AccessRequest, Store, StoreError};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::config;

/// How often it is looked for what there is to announce.
const EVERY: Duration = Duration::from_secs(2);
/// The waits before each further attempt.
const AGAIN: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];
/// The shortest secret, in characters.
const SECRET_CHARS_MIN: usize = 24;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Whether the settings can be used.
pub(crate) fn check(webhook: &config::Webhook) -> Result<(), String> {
    let url = url::Url::parse(&webhook.url).map_err(|error| format!("`{}` is not a URL: {error}", webhook.url))?;
    let loopback = url.host_str().is_some_and(sekisho_protocol::redirect::is_loopback_host);
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        return Err(format!("`{}`: plain http is for loopback only, use https", webhook.url));
    }
    // A reference is as long as what it stands for, which is not known here.
    let short = !webhook.secret.contains("${") && webhook.secret.chars().count() < SECRET_CHARS_MIN;
    if short { Err(format!("`secret` needs at least {SECRET_CHARS_MIN} characters")) } else { Ok(()) }
}

/// Announces requests for access, and tools that are held back.
pub(crate) struct Announcer {
    pub(crate) url: String,
    pub(crate) secret: UpstreamSecret,
    pub(crate) base_url: String,
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    /// The servers in force.
    pub(crate) servers: watch::Receiver<Arc<ServerDirectory>>,
}

/// One announcement.
#[derive(Debug)]
struct Announcement {
    /// The same for each attempt, so that a receiver finds out what it has already.
    id: String,
    body: Value,
}

impl Announcer {
    /// Until the task is ended.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            if let Err(error) = self.announce_requests().await {
                tracing::warn!(%error, "requests for access could not be looked for");
            }
            if let Err(error) = self.announce_tools().await {
                tracing::warn!(%error, "tools that are held back could not be looked for");
            }
        }
    }

    async fn announce_requests(self: &Arc<Self>) -> Result<(), StoreError> {
        while let Some(announcement) = self.take_request().await? {
            tokio::spawn(Arc::clone(self).announce(announcement));
        }
        Ok(())
    }

    async fn take_request(&self) -> Result<Option<Announcement>, StoreError> {
        let mut tx = self.store.begin().await?;
        let Some(asked) = tx.access_requests().take_unannounced(self.clock.now()).await? else { return Ok(None) };
        let person = match &asked.subject {
            Subject::User(user) => tx.users().find(*user).await?.map(|user| user.name),
            Subject::Anonymous | Subject::Service(_) => None,
        };
        tx.commit().await?;
        Ok(Some(Announcement { id: asked.id.to_string(), body: self.request_body(&asked, person) }))
    }

    fn request_body(&self, asked: &AccessRequest, person: Option<String>) -> Value {
        json!({
            "type": "access_request.asked",
            "timestamp": asked.created_at,
            "data": {
                "request": asked.id,
                "url": format!("{}/access/{}", self.base_url, asked.id),
                "user": person.unwrap_or_else(|| asked.subject.to_string()),
                "client": asked.client,
                "server": asked.server,
                "tool": asked.tool,
                "task": asked.task,
                "bounds": asked.bounds,
                "reason": asked.reason,
                "expires": asked.expires_at,
            },
        })
    }

    /// Announces held tools, each server's in one message. Of a server that is not mounted there is no page to read them on.
    async fn announce_tools(self: &Arc<Self>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let found = self.store.read().await?.catalogue().with_unannounced(now).await?;
        let servers = Arc::clone(&self.servers.borrow());
        for server in found.into_iter().filter(|server| servers.find(server).is_some()) {
            let mut tx = self.store.begin().await?;
            let tools = tx.catalogue().take_unannounced(&server, now).await?;
            // Another node may have taken them.
            if !tools.is_empty() {
                tx.commit().await?;
                tokio::spawn(Arc::clone(self).announce(self.of_tools(&server, &tools, now)));
            }
        }
        Ok(())
    }

    fn of_tools(&self, server: &ServerName, tools: &[Tool], now: Timestamp) -> Announcement {
        let row = |tool: &Tool| {
            json!({
                "name": tool.name,
                "change": if tool.accepted.is_none() { "new" } else { "changed" },
                "class": tool.class,
                "proposed": tool.proposed,
                "fingerprint": fingerprint(&tool.seen),
            })
        };
        let time = now.to_string();
        let mut parts = vec![server.as_str().as_bytes(), time.as_bytes()];
        parts.extend(tools.iter().flat_map(|tool| [tool.name.as_bytes(), tool.seen.as_bytes().as_slice()]));
        let body = json!({
            "type": "tools.held",
            "timestamp": now,
            "data": {
                "server": server,
                "url": format!("{}/servers/{server}/tools", self.base_url),
                "tools": tools.iter().map(row).collect::<Vec<_>>(),
            },
        });
        Announcement { id: format!("held_{}", fingerprint(&Digest::of_list(&parts))), body }
    }

    async fn announce(self: Arc<Self>, announcement: Announcement) {
        let Announcement { id, body } = announcement;
        let mut waits = AGAIN.iter();
        loop {
            let why = match self.http.send(self.request(&id, &body)).await {
                Ok(answer) if answer.status.is_success() => return,
                Ok(answer) => format!("it answered {}", answer.status),
                Err(error) => error.to_string(),
            };
            let Some(wait) = waits.next() else {
                let what = body.get("type").and_then(Value::as_str).unwrap_or_default();
                tracing::error!(id, what, url = %self.url, why, "the webhook was not told of this");
                return;
            };
            tokio::time::sleep(*wait).await;
        }
    }

    /// Signed anew for each attempt, because a receiver refuses old signatures.
    fn request(&self, id: &str, body: &Value) -> Request {
        let seconds = self.clock.now().as_second().to_string();
        let request = Request::post_json(Destination::given(&self.url), body);
        let signature = sign(&self.secret, id, &seconds, &request.body);
        request.header(ID, id).header(TIMESTAMP, &seconds).header(SIGNATURE, &signature)
    }
}

/// `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
fn sign(secret: &UpstreamSecret, id: &str, seconds: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        context.update(part);
    }
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use sekisho_protocol::secret::UpstreamSecret;

    use super::{check, sign};
    use crate::config::Webhook;

    /// The signature covers name, moment and body, and nothing can be moved between them.
    #[test]
    fn a_signature_is_of_name_moment_and_body() {
        let secret = UpstreamSecret::from_outside("a secret of twenty-four characters");
        let base = sign(&secret, "acr_1", "100", b"{}");
        // Computed with `printf 'acr_1.100.{}' | openssl dgst -sha256 -hmac '…' -binary | base64`.
        assert_eq!(base, "v1,1v5R08kQ9f7JDkCN0HYzBgHH06XDkjLncl5T0P7pnHk=");
        for other in [
            sign(&secret, "acr_2", "100", b"{}"),
            sign(&secret, "acr_1", "101", b"{}"),
            sign(&secret, "acr_1", "100", b"{ }"),
            sign(&UpstreamSecret::from_outside("another secret of that length"), "acr_1", "100", b"{}"),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_webhook_is_https_and_has_a_real_secret() {
        let secret = "0123456789abcdef01234567".to_owned();
        for (url, secret, good) in [
            ("https://hooks.example/x", secret.as_str(), true),
            ("http://127.0.0.1:9/x", &secret, true),
            ("http://hooks.example/x", &secret, false),
            ("hooks.example", &secret, false),
            ("https://hooks.example/x", "short", false),
            ("https://hooks.example/x", "${env:HOOK}", true),
        ] {
            let webhook = Webhook { url: url.to_owned(), secret: secret.to_owned() };
            assert_eq!(check(&webhook).is_ok(), good, "{url} {secret}");
        }
    }
}
