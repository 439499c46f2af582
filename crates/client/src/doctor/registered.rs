//! Checks with a client that was registered for them and is removed afterwards.

use ::http::Method;
use bytes::Bytes;
use serde_json::{Value, json};
use url::Url;

use super::{Doctor, NOWHERE, Party, RowState, Trap, location};
use crate::http::{Destination, HttpClient, Named, Request};
use crate::text::presentable;

/// The redirect URI of that client. Nothing listens there.
const REDIRECT: &str = "http://127.0.0.1:9/callback";

impl<H: HttpClient> Doctor<'_, H> {
    /// AS-09, AS-11, AS-18: sends requests that have to be refused.
    pub(super) async fn registered(&mut self, metadata: &Value) {
        let text = |name: &str| metadata.get(name).and_then(Value::as_str);
        let (Some(endpoint), Some(registration)) = (text("authorization_endpoint"), text("registration_endpoint"))
        else {
            return;
        };
        let body = json!({ "client_name": "sekisho doctor", "redirect_uris": [REDIRECT], "application_type": "native",
            "grant_types": ["authorization_code"], "response_types": ["code"], "token_endpoint_auth_method": "none" });
        let Ok(to) = Destination::named(Named::RegistrationEndpoint, &self.named_issuer(), registration) else {
            return;
        };
        let request = Request::post_json(to, &body);
        let Ok(answer) = self.ask(Party::Issuer, "RFC 7591 §3.1", request).await else { return };
        let registered = answer.json::<Value>().unwrap_or_default();
        let Some(client) = registered.get("client_id").and_then(Value::as_str) else {
            let evidence = format!("a registration is answered with {}", answer.status.as_u16());
            self.note("AS-39", RowState::Broken, evidence);
            return;
        };
        for foreign in [NOWHERE, "http://127.0.0.1:9/callback/other", "http://127.0.0.1:9/callback?more=1"] {
            let Some(sent) = self.sent(endpoint, client, foreign, "code").await else { continue };
            let followed = sent.as_deref().is_some_and(|place| place.starts_with(foreign));
            self.judge("AS-09", !followed, format!("with the redirect `{foreign}`"));
            self.judge("AS-11", !followed, format!("with the redirect `{foreign}`"));
        }
        let promised = metadata.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true));
        if let Some(Some(place)) = self.sent(endpoint, client, REDIRECT, "sekisho-doctor").await
            && place.starts_with(REDIRECT)
        {
            let has = Url::parse(&place).is_ok_and(|url| url.query_pairs().any(|(name, _)| name == "iss"));
            self.judge("AS-18", has, format!("an answer with an error: {}", presentable(&place)));
            if promised && !has {
                self.trap(Trap::MissingIss, "`iss` is promised, and not in an answer with an error");
            }
        }
        self.throw_away(&registered).await;
    }

    /// Returns where an authorization request redirects to. The outer `None` means that there was no answer.
    async fn sent(&mut self, endpoint: &str, client: &str, redirect: &str, kind: &str) -> Option<Option<String>> {
        let mut url = Url::parse(endpoint).ok()?;
        url.query_pairs_mut()
            .append_pair("response_type", kind)
            .append_pair("client_id", client)
            .append_pair("redirect_uri", redirect)
            .append_pair("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
            .append_pair("code_challenge_method", "S256")
            .append_pair("resource", self.server.as_str())
            .append_pair("state", "doctor");
        let to = Destination::named(Named::AuthorizationEndpoint, &self.named_issuer(), url.as_str()).ok()?;
        let request = Request::new(Method::GET, to, Bytes::new());
        let answer = self.ask(Party::Issuer, "OAuth 2.1 §4.1.2.1", request).await.ok()?;
        Some(location(&answer).map(str::to_owned))
    }

    /// Removes the client, if the issuer offers that (RFC 7592 §2.3) at a URL that the issuer may name (ATK-222).
    async fn throw_away(&mut self, registered: &Value) {
        let text = |name: &str| registered.get(name).and_then(Value::as_str);
        let (Some(url), Some(token)) = (text("registration_client_uri"), text("registration_access_token")) else {
            return;
        };
        let token = sekisho_protocol::secret::AccessToken::from_outside(token);
        let Ok(to) = Destination::named(Named::RegistrationClient, &self.named_issuer(), url) else { return };
        let request = Request::new(Method::DELETE, to, Bytes::new()).bearer(&token);
        self.ask(Party::Issuer, "RFC 7592 §2.3", request).await.ok();
    }
}
