//! Checks the authorization server's metadata, and whether the server redirects to addresses that were not registered.

use ::http::Method;
use bytes::Bytes;
use serde_json::Value;
use url::Url;

use super::{Doctor, NOWHERE, Party, RowState, Trap, location, traps};
use crate::discovery::issuer_metadata_urls;
use crate::http::{Destination, HttpClient, Named, Request, is_as_secure};
use crate::text::presentable;

impl<H: HttpClient> Doctor<'_, H> {
    /// AS-02, AS-03, AS-05, AS-07, AS-19, AS-23, AS-39, RS-12: checks the issuer's metadata.
    pub(super) async fn issuer_metadata(&mut self, issuer: &str) -> Option<Value> {
        self.issuer = Some(issuer.to_owned());
        if Url::parse(issuer).is_ok_and(|url| url.host_str().is_some_and(traps::is_entra)) {
            self.trap(Trap::EntraAndResource, format!("the authorization server is {issuer}"));
        }
        if !is_as_secure(self.server.as_str(), issuer) {
            let evidence = format!("`{}` is named as authorization server", presentable(issuer));
            self.note("AS-07", RowState::Broken, evidence.clone());
            self.trap(traps::of_names(self.server.as_str(), issuer).unwrap_or(Trap::WrongScheme), evidence);
            return None;
        }
        let mut found = None;
        let (server, appended) =
            (self.server, format!("{}/.well-known/oauth-authorization-server", issuer.trim_end_matches('/')));
        let place = |url: &str| Destination::named(Named::AuthorizationServer, server.as_str(), url).ok();
        for url in issuer_metadata_urls(issuer) {
            let Some(to) = place(&url) else { continue };
            if let Some(document) = self.document(Party::Issuer, "RFC 8414 §3.1", to, "issuer").await {
                found = Some((url, document));
                break;
            }
        }
        let Some((url, document)) = found else {
            self.note("AS-02", RowState::Broken, format!("`{issuer}` describes itself at none of the places"));
            if !issuer_metadata_urls(issuer).contains(&appended)
                && let Some(to) = place(&appended)
                && self.document(Party::Issuer, "RFC 8414 §3.1", to, "issuer").await.is_some()
            {
                self.trap(Trap::WrongWellKnown, appended);
            }
            return None;
        };
        self.note("AS-02", RowState::Met, url.clone());
        let says = document.get("issuer").and_then(Value::as_str).unwrap_or_default().to_owned();
        let evidence = format!("{url} says `{}`, and the resource names `{issuer}`", presentable(&says));
        self.judge("RS-12", says == issuer, evidence.clone());
        if says == issuer {
            self.note("AS-03", RowState::Met, evidence.clone());
        } else {
            self.follows("AS-03", "RS-12");
            let other = traps::of_names(issuer, &says).filter(|trap| *trap != Trap::TrailingSlash);
            let mixed = other.filter(|trap| *trap != Trap::PathAgainstOrigin).unwrap_or(Trap::IssuerMismatch);
            self.trap(mixed, evidence);
            return None;
        }
        self.promises(issuer, &document);
        Some(document)
    }

    fn promises(&mut self, issuer: &str, document: &Value) {
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let is_true = |name: &str| document.get(name) == Some(&Value::Bool(true));
        let methods = document.get("code_challenge_methods_supported");
        let has = methods.and_then(Value::as_array).is_some_and(|all| all.iter().any(|method| method == "S256"));
        let said = methods.map_or_else(|| "no `code_challenge_methods_supported`".to_owned(), ToString::to_string);
        self.judge("AS-05", has, said.clone());
        if !has {
            self.trap(Trap::NoS256, said);
        }
        let endpoints = ["authorization_endpoint", "token_endpoint", "registration_endpoint", "jwks_uri"];
        let insecure = endpoints.iter().filter_map(|name| text(name)).find(|url| !is_as_secure(issuer, url));
        let evidence =
            insecure.map_or_else(|| "all endpoints are https".to_owned(), |url| format!("`{}`", presentable(url)));
        self.judge("AS-07", insecure.is_none(), evidence.clone());
        if let Some(url) = insecure {
            self.trap(traps::of_names(issuer, url).unwrap_or(Trap::WrongScheme), evidence);
        }
        let iss = is_true("authorization_response_iss_parameter_supported");
        self.judge("AS-19", iss, format!("`authorization_response_iss_parameter_supported` is {iss}"));
        if !iss {
            self.trap(Trap::MissingIss, "the metadata does not promise `iss`");
        }
        let documents = is_true("client_id_metadata_document_supported");
        self.judge("AS-23", documents, format!("`client_id_metadata_document_supported` is {documents}"));
        match text("registration_endpoint") {
            Some(url) => self.note("AS-39", RowState::Met, url),
            None => self.note("AS-39", RowState::NotVisible, "clients cannot register themselves, which is allowed"),
        }
        if !documents && text("registration_endpoint").is_none() {
            self.trap(Trap::RegistrationClosed, "neither metadata documents nor dynamic registration");
        }
    }

    /// AS-11: sends an authorization request of an unknown client, with a redirect URI that was not registered.
    pub(super) async fn nobody_is_sent_to_strangers(&mut self, metadata: &Value) {
        let Some(endpoint) = metadata.get("authorization_endpoint").and_then(Value::as_str) else { return };
        let Ok(mut url) = Url::parse(endpoint) else { return };
        // If the endpoint is less secure than its issuer, AS-07 reports it.
        let (what, issuer) = (Named::AuthorizationEndpoint, self.named_issuer());
        if Destination::named(what, &issuer, endpoint).is_err() {
            return;
        }
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", "sekisho-doctor-nobody")
            .append_pair("redirect_uri", NOWHERE)
            .append_pair("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
            .append_pair("code_challenge_method", "S256")
            .append_pair("state", "doctor");
        let Ok(to) = Destination::named(what, &issuer, url.as_str()) else { return };
        let request = Request::new(Method::GET, to, Bytes::new());
        let Ok(answer) = self.ask(Party::Issuer, "OAuth 2.1 §4.1.2.1", request).await else { return };
        let sent = location(&answer).is_some_and(|place| place.starts_with("https://doctor.invalid"));
        let evidence = format!("an unknown client with a foreign redirect is answered with {}", answer.status.as_u16());
        self.judge("AS-11", !sent, evidence);
    }
}
