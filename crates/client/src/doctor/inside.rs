//! Checks that need a login.

use std::sync::PoisonError;

use ::http::header::CACHE_CONTROL;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::secret::AccessToken;
use serde_json::Value;

use super::insider::Insider;
use super::{Doctor, Party, RowState, SESSION};
use crate::discovery::discover_issuer_of;
use crate::http::{Destination, HttpClient, Request};
use crate::token::{TokenEndpoint, Tokens};

impl<H: HttpClient> Doctor<'_, H> {
    /// RS-28, RS-32, RS-35, TR-02, AS-13, AS-20, AS-21: checks with a token, and with codes and tokens that were used
    /// before.
    pub(super) async fn inside(&mut self, insider: &Insider) {
        let tokens = match insider.login.renew(self.server, None, None).await {
            Ok(tokens) => tokens,
            Err(error) => {
                self.keep(Party::Issuer, "OAuth 2.1 §4.1");
                self.note("RS-28", RowState::NotVisible, format!("no login: {error}"));
                return;
            }
        };
        self.keep(Party::Issuer, "OAuth 2.1 §4.1");
        self.not_stored();
        self.audience(&tokens);
        self.tokens_at_the_server(&tokens).await;
        let now = insider.login.parts().clock.now();
        self.used_twice(insider, &tokens, now).await;
    }

    fn not_stored(&mut self) {
        let told = self.steps.iter().rev().find(|step| step.leg.request_body.contains("grant_type="));
        let Some(step) = told else { return };
        let is = |(name, value): &(String, String)| name == CACHE_CONTROL.as_str() && value.contains("no-store");
        let good = step.leg.response_headers.iter().any(is);
        self.judge("AS-20", good, format!("the answer of {}", step.leg.url));
    }

    fn audience(&mut self, tokens: &Tokens) {
        let claims = tokens.access.expose().split('.').nth(1).and_then(|claims| {
            let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
            serde_json::from_slice::<Value>(&claims).ok()
        });
        let Some(audience) = claims.and_then(|claims| claims.get("aud").cloned()) else {
            self.note("RS-28", RowState::NotVisible, "the token cannot be read by its client, as it should be");
            return;
        };
        let named = tokens.resource.as_str();
        let only = match &audience {
            Value::String(one) => one == named,
            Value::Array(list) => list.len() == 1 && list.first().is_some_and(|one| one == named),
            _ => false,
        };
        self.judge("RS-28", only, format!("`aud` is {audience}"));
    }

    async fn tokens_at_the_server(&mut self, tokens: &Tokens) {
        let good = self.hello().bearer(&tokens.access);
        let Ok(answer) = self.ask(Party::Resource, "RFC 6750 §2.1", good).await else { return };
        // A server of another revision does not know `initialize`, but it checks the token before it says so.
        if matches!(answer.status.as_u16(), 401 | 403) {
            self.note("RS-14", RowState::Broken, format!("a good token is answered with {}", answer.status.as_u16()));
            return;
        }
        let session = answer.headers.get(&SESSION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let changed = AccessToken::from_outside(other(tokens.access.expose()));
        let changed = self.hello().bearer(&changed);
        if let Ok(answer) = self.ask(Party::Resource, "RFC 9068 §4", changed).await {
            let status = answer.status.as_u16();
            self.judge("RS-32", status == 401, format!("a token with one character changed is answered with {status}"));
        }
        let mut query = self.hello();
        query.to = query.to.with_parameter("access_token", tokens.access.expose());
        if let Ok(answer) = self.ask(Party::Resource, "OAuth 2.1 §5.1.1", query).await {
            let status = answer.status.as_u16();
            self.judge("RS-35", status == 401, format!("a good token in the query is answered with {status}"));
        }
        let foreign = self.hello().bearer(&tokens.access).header(::http::header::ORIGIN, "https://stranger.invalid");
        if let Ok(answer) = self.ask(Party::Resource, "MCP transports: Origin", foreign).await {
            let status = answer.status.as_u16();
            self.judge(
                "TR-02",
                status == 403,
                format!("a foreign `Origin` with a good token is answered with {status}"),
            );
        }
        if let Some(session) = session {
            let end =
                Request::new(::http::Method::DELETE, Destination::given(self.server.as_str()), bytes::Bytes::new());
            let end = end.bearer(&tokens.access).header(SESSION, &session);
            self.ask(Party::Resource, "MCP transports: session management", end).await.ok();
        }
    }

    /// Sends what may work only once a second time, and gives the grant back.
    async fn used_twice(&mut self, insider: &Insider, tokens: &Tokens, now: Timestamp) {
        let parts = insider.login.parts();
        let Ok(server) = discover_issuer_of(self.http, self.server.as_str(), &tokens.issuer).await else { return };
        let Ok(registration) = insider.login.client_of(tokens, &server) else { return };
        let Ok(endpoint) = TokenEndpoint::new(self.http, &server, &registration) else { return };
        let endpoint = endpoint.proving(&*parts.entropy, tokens.dpop.as_ref());
        let mut newest = tokens.clone();
        if tokens.refresh.is_some() {
            match endpoint.refresh(tokens, now).await {
                Ok(fresh) if fresh.refresh == tokens.refresh => {
                    let evidence = "a refresh gives no new refresh token";
                    let confidential = registration.secret.is_some();
                    self.judge("AS-13", confidential, evidence);
                }
                Ok(fresh) => {
                    // After a second refresh the old token must have ended. Before it, a retry may get the same tokens
                    // again.
                    let next = endpoint.refresh(&fresh, now).await;
                    let again = endpoint.refresh(tokens, now).await;
                    self.judge("AS-13", again.is_err(), "a refresh token that was used twice over");
                    newest = next.unwrap_or(fresh);
                }
                Err(error) => self.note("AS-13", RowState::NotVisible, format!("no refresh: {error}")),
            }
        } else {
            self.note("AS-13", RowState::NotVisible, "no refresh token was given, which is allowed");
        }
        let last = insider.seen.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((request, code)) = last {
            let again = endpoint.exchange_code(&request, &code, now).await;
            self.judge("AS-21", again.is_err(), "a code that was used before");
        }
        endpoint.revoke(&newest, now).await.ok();
        self.keep(Party::Issuer, "OAuth 2.1 §4.3, RFC 7009");
    }
}

/// Returns the token with its fourth-last character changed: that is in the signature, and not in its padding.
fn other(token: &str) -> String {
    let at = token.chars().count().saturating_sub(4);
    let change = |(place, character): (usize, char)| match (place == at, character) {
        (true, 'A') => 'B',
        (true, _) => 'A',
        (false, character) => character,
    };
    token.chars().enumerate().map(change).collect()
}
