//! The setting of every attack: a checkpoint with two servers in front of one fake upstream, an owner and a user.

use std::net::SocketAddr;
use std::time::Duration;

use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::oauth::{Client, Granted, REDIRECT};
use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::fakes::wire::{Ask, Reply, ask};
use sekisho_e2e::harness::wait::within;
use sekisho_e2e::harness::{Checkpoint, Setup};
use serde_json::Value;

/// The user who owns the checkpoint.
pub(crate) const OWNER: &str = "alice";
/// The user who may read and write, but not destroy.
pub(crate) const USER: &str = "bob";
/// The password of both users.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The path of the first server.
pub(crate) const UP: &str = "/mcp/up";
/// The path of the second server, which has the same upstream.
pub(crate) const OTHER: &str = "/mcp/other";

/// A checkpoint and its surroundings.
pub(crate) struct Field {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) upstream: Upstream,
    pub(crate) address: SocketAddr,
}

impl Field {
    /// Starts in front of an upstream of 2026-07-28.
    pub(crate) async fn start() -> Self {
        Self::before(Speaks::Modern, "").await
    }

    /// Starts in front of this kind of upstream, with more lines at the beginning of the configuration.
    pub(crate) async fn before(speaks: Speaks, configuration: &str) -> Self {
        Self::changed(speaks, configuration, async |setup| setup).await
    }

    /// Does the same with a changed setup.
    pub(crate) async fn changed(speaks: Speaks, configuration: &str, change: impl AsyncFnOnce(Setup) -> Setup) -> Self {
        let upstream = Upstream::start(speaks).await.unwrap();
        let server = |name: &str| {
            let url = upstream.url();
            format!(
                "[servers.{name}]\nurl = \"{url}\"\neveryone = \"write\"\ntools = {{ look = \"read\", keep = \"write\", wipe = \"destructive\" }}\n"
            )
        };
        let toml = format!("{configuration}\n{}{}", server("up"), server("other"));
        let setup = change(Checkpoint::configured(&toml)).await;
        let checkpoint = setup.owner(OWNER, PASSWORD).user(USER, PASSWORD).start().await;
        let port = checkpoint.base_url().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
        Self { checkpoint, upstream, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    pub(crate) fn base_url(&self) -> &str {
        self.checkpoint.base_url()
    }

    /// Returns the identifier of a server, from its path.
    pub(crate) fn resource(&self, path: &str) -> String {
        format!("{}{path}", self.base_url())
    }

    /// Returns `localhost:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Returns the bytes that begin an HTTP/2 connection and request a path (RFC 9113 §3.4; RFC 7541 §6.2.2).
    pub(crate) fn over_http2(&self, path: &str, settings: &[u8]) -> Vec<u8> {
        let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
            let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
            [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
        };
        let text = |index: u8, value: &str| [&[index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
        let fields = [vec![0x82, 0x86], text(0x04, path), text(0x01, &self.host())].concat();
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, settings), frame(1, 5, 1, &fields)].concat()
    }

    pub(crate) async fn ask(&self, request: &Ask) -> Reply {
        ask(self.address, request).await.unwrap_or_else(|error| panic!("no answer ({error}) to {request:?}"))
    }

    /// Registers a client.
    pub(crate) async fn client(&self) -> Client {
        Client::register(self.base_url(), "Honest client", REDIRECT).await
    }

    /// Lets the operator register a confidential client with this redirect URI.
    pub(crate) async fn confidential(&self, redirect: &str) -> Client {
        let lines =
            self.checkpoint.ask(&["client", "add", "Backend", "--redirect-uri", redirect, "--confidential"]).await;
        let text = |name: &str| lines[0][name].as_str().unwrap().to_owned();
        Client::known(self.base_url(), &text("id"), Some(&text("secret")), redirect)
    }

    /// Registers a client that this user approves at the first server.
    pub(crate) async fn granted(&self, user: &str, scope: &str) -> Granted {
        self.client().await.be_granted(&self.resource(UP), scope, user, PASSWORD).await
    }

    /// Lets a user approve the same client at the second server.
    pub(crate) async fn granted_other(&self, client: &Client, user: &str) -> Granted {
        client.be_granted(&self.resource(OTHER), "mcp:read mcp:write", user, PASSWORD).await
    }

    /// Waits for a record that satisfies the condition; rejections and reads are recorded a moment later.
    pub(crate) async fn recorded(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        within(Duration::from_secs(10), &format!("a record of {what}"), async || {
            self.checkpoint
                .records()
                .await
                .into_iter()
                .find(|row| is_it(&row["record"]["event"]))
                .map(|mut row| row["record"].take())
        })
        .await
    }

    /// Waits for a record of a request that was rejected for this reason before it became a call.
    pub(crate) async fn rejected(&self, reason: &str) -> Value {
        self.recorded(reason, |event| event["kind"] == "rejection" && event["reason"] == reason).await
    }

    /// Waits for a record of an act at the issuer.
    pub(crate) async fn noted(&self, act: &str) -> Value {
        self.recorded(act, |event| event["kind"] == "act" && event["act"] == act).await
    }

    /// Returns the record of the request that this reply answers.
    pub(crate) async fn record_of(&self, reply: &Reply) -> Value {
        let request = reply.header("x-request-id").unwrap_or_else(|| panic!("no request id on {reply:?}")).to_owned();
        within(Duration::from_secs(10), &format!("a record of {request} ({})", reply.status), async || {
            let rows = self.checkpoint.ask(&["audit", "export", "--request", &request]).await;
            rows.into_iter().next().map(|mut row| row["record"]["event"].take())
        })
        .await
    }

    /// Checks that nothing of an attack reached the upstream.
    pub(crate) fn untouched(&self) {
        let calls = self.upstream.calls();
        assert!(calls.is_empty(), "the upstream was called: {calls:#?}");
    }

    /// Checks that the server still works for those who may use it.
    pub(crate) async fn is_healthy(&self, granted: &Granted) {
        let reply = self.ask(&tool(UP, &granted.access, "look")).await;
        assert_eq!(reply.status, 200, "an honest call after the attack: {}", reply.text());
        assert!(reply.json()["result"]["content"].is_array(), "{}", reply.text());
        self.upstream.forget();
    }

    /// Checks that the issuer still accepts an honest client.
    pub(crate) async fn lets_in(&self) {
        let granted = self.granted(OWNER, "mcp:read").await;
        self.is_healthy(&granted).await;
    }
}
