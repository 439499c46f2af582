//! Chooses the client and the redirect URI for an issuer: a client identifier that a person gave (CL-14), our metadata
//! document (CL-12), or a registration of our own (CL-15).

use std::sync::PoisonError;

use sekisho_protocol::metadata::AuthorizationServer;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;

use super::{KnownClient, Login, LoginError, Visit, Way};
use crate::authorization::{AuthorizationParameters, AuthorizationRequest, begin, redirect_path};
use crate::callback::CallbackAddress;
use crate::discovery::is_same_issuer;
use crate::http::Request;
use crate::registration::{ApplicationType, Registration, RegistrationRequest, register};
use crate::token::Tokens;
use crate::token_store::{At, Pin, Wait};

impl Login {
    /// Whether tokens were granted to the client that this login uses. If no identifier was given, all tokens count as
    /// ours.
    pub(super) fn is_ours(&self, tokens: &Tokens) -> bool {
        let known = &self.parts.identity.known;
        known.is_empty() || known.iter().any(|known| known.client == tokens.client.client)
    }

    /// Returns the client to which tokens were granted, with its secret or key.
    pub fn client_of(&self, tokens: &Tokens, server: &AuthorizationServer) -> Result<Registration, LoginError> {
        let kept = &tokens.client;
        if let Some(known) = self.parts.identity.known.iter().find(|known| known.client == kept.client) {
            let given = self.given_by(known, server)?;
            return Ok(Registration { authentication: kept.authentication, ..given });
        }
        let can_be_proven = match kept.authentication {
            ClientAuthentication::None => true,
            ClientAuthentication::PrivateKeyJwt => kept.key.is_some(),
            _ => kept.secret.is_some(),
        };
        if can_be_proven {
            return Ok(kept.clone());
        }
        Err(LoginError::Credentials { issuer: server.issuer.clone(), client: kept.client.as_str().to_owned() })
    }

    /// Returns a client as it is stored with its tokens: without the secret and the key if a person gave them, because
    /// that person keeps them.
    pub(super) fn without_what_was_given(&self, client: &Registration) -> Registration {
        if self.parts.identity.known.iter().any(|known| known.client == client.client) {
            return Registration { secret: None, key: None, ..client.clone() };
        }
        client.clone()
    }

    /// Returns the client for grants without a browser.
    pub(super) fn own(&self, server: &AuthorizationServer) -> Result<Registration, LoginError> {
        if let Some(given) = self.given(server)? {
            return Ok(given);
        }
        let document = self.parts.identity.document.as_ref().filter(|_| server.client_id_metadata_document_supported);
        if let Some(document) = document {
            return Ok(Registration::public(&server.issuer, document.client.clone()));
        }
        let kept = self.parts.store.registration(&server.issuer)?;
        kept.ok_or_else(|| LoginError::Unknown { issuer: server.issuer.clone() })
    }

    /// Returns the client identifier that was given to us, if there is one. It is an error if another issuer gave it
    /// (CL-19).
    fn given(&self, server: &AuthorizationServer) -> Result<Option<Registration>, LoginError> {
        let known = &self.parts.identity.known;
        let is_this = |named: &String| is_same_issuer(named, &server.issuer);
        let of_this = known.iter().find(|known| known.issuer.as_ref().is_some_and(is_this));
        let of_any = || known.iter().find(|known| known.issuer.is_none());
        match of_this.or_else(of_any).or_else(|| known.first()) {
            Some(known) => self.given_by(known, server).map(Some),
            None => Ok(None),
        }
    }

    /// Returns a given client, if it belongs to this issuer: the issuer that was named with it, or the first at which
    /// it was used. The issuer is stored as a pin, which only a person can remove (decision 0051).
    fn given_by(&self, known: &KnownClient, server: &AuthorizationServer) -> Result<Registration, LoginError> {
        let issuer = &server.issuer;
        let registered = match &known.issuer {
            Some(named) => named.clone(),
            None => self.parts.store.pin(Pin::Client(&known.client), issuer)?,
        };
        if !is_same_issuer(&registered, issuer) {
            let client = known.client.as_str().to_owned();
            return Err(LoginError::Moved { client, issuer: issuer.clone(), registered });
        }
        // A named issuer is pinned as well: the next command may not name it.
        self.parts.store.pin(Pin::Client(&known.client), issuer)?;
        Ok(Registration {
            authentication: known.authentication.unwrap_or_else(|| fitting(known, server)),
            secret: known.secret.clone(),
            key: known.key.clone(),
            ..Registration::public(issuer, known.client.clone())
        })
    }

    /// Returns our document as the client, if the issuer sends `iss` or a person named the issuer.
    fn by_document(&self, server: &AuthorizationServer) -> Option<Registration> {
        let document =
            self.parts.identity.document.as_ref().filter(|_| server.client_id_metadata_document_supported)?;
        let is_named = document.issuer.as_ref().is_some_and(|named| is_same_issuer(named, &server.issuer));
        let can_be_told = server.authorization_response_iss_parameter_supported || is_named;
        can_be_told.then(|| Registration::public(&server.issuer, document.client.clone()))
    }

    /// Chooses the client, registers it if there is none, and starts listening for the answer.
    pub(super) async fn become_known(&self, way: Way<'_>) -> Result<(Registration, Box<dyn Visit>), LoginError> {
        let server = way.server;
        let (client, place) = if let Some(given) = self.given(server)? {
            (given, self.place(server, CallbackAddress::of_issuer(&server.issuer, None))?)
        } else if let Some(document) = self.by_document(server) {
            let tells_itself = server.authorization_response_iss_parameter_supported;
            let own =
                if tells_itself { CallbackAddress::shared() } else { CallbackAddress::of_issuer(&server.issuer, None) };
            (document, self.place(server, own)?)
        } else {
            return self.by_registration(way).await;
        };
        let visit = self.parts.browser.ready(&place).await?;
        let redirect_uris = vec![visit.redirect_uri().clone()];
        Ok((Registration { redirect_uris, ..client }, visit))
    }

    /// Returns the address of the redirect URI that a person gave; otherwise `own`.
    fn place(&self, server: &AuthorizationServer, own: CallbackAddress) -> Result<CallbackAddress, LoginError> {
        let Some(redirect) = &self.parts.identity.redirect else { return Ok(own) };
        let unusable = || LoginError::RedirectUnusable { redirect: redirect.as_str().to_owned() };
        let place = CallbackAddress::registered(redirect).ok_or_else(unusable)?;
        if !server.authorization_response_iss_parameter_supported {
            let registered = self.parts.store.pin(Pin::Redirect(place.path()), &server.issuer)?;
            if registered != server.issuer {
                let (issuer, path) = (server.issuer.clone(), place.path().to_owned());
                return Err(LoginError::RedirectTaken { issuer, path, registered });
            }
        }
        Ok(place)
    }

    /// Registers a client, unless the stored registration has our redirect URI. One program at a time does this for an
    /// issuer.
    async fn by_registration(&self, way: Way<'_>) -> Result<(Registration, Box<dyn Visit>), LoginError> {
        let issuer = &way.server.issuer;
        let _turn = self.parts.store.turn(At::Issuer(issuer), Wait::ForPrograms).await?;
        let kept = self.parts.store.registration(issuer)?;
        let before = kept.as_ref().and_then(|kept| kept.redirect_uris.first());
        let visit = self.parts.browser.ready(&CallbackAddress::of_issuer(issuer, before)).await?;
        let here = visit.redirect_uri();
        let registration = match kept.filter(|kept| kept.redirect_uris.contains(here)) {
            Some(kept) => self.still_there(way, kept).await?,
            None => self.register(way.server, here).await?,
        };
        Ok((registration, visit))
    }

    pub(super) fn request(
        &self,
        way: Way<'_>,
        registration: &Registration,
        here: &RedirectUri,
    ) -> Result<AuthorizationRequest, LoginError> {
        let by_hand = self.parts.identity.known.iter().any(|known| known.client == registration.client);
        let wish = AuthorizationParameters { resource: way.resource, redirect_uri: here, scopes: way.scopes, by_hand };
        Ok(begin(way.server, registration, wish, &*self.parts.entropy)?)
    }

    /// Returns an earlier registration, if the issuer still knows it. An issuer that has forgotten a client shows an
    /// error to the person and sends no answer, so a request of our own finds that out first; such requests can be
    /// repeated.
    async fn still_there(&self, way: Way<'_>, kept: Registration) -> Result<Registration, LoginError> {
        let issuer = &way.server.issuer;
        let is_seen = || self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(issuer);
        let Some(here) = kept.redirect_uris.first().filter(|_| !is_seen()).cloned() else { return Ok(kept) };
        let request = self.request(way, &kept, &here)?;
        let Ok(to) = request.destination() else { return Ok(kept) };
        let answer = self.parts.http.send(Request::new(::http::Method::GET, to, bytes::Bytes::new()));
        let gone = answer.await.is_ok_and(|answer| matches!(answer.status.as_u16(), 400 | 401 | 403 | 404));
        if !gone {
            self.is_known(issuer);
            return Ok(kept);
        }
        self.parts.store.forget_registration(issuer)?;
        self.register(way.server, &here).await
    }

    fn is_known(&self, issuer: &str) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(issuer.to_owned());
    }

    async fn register(&self, server: &AuthorizationServer, here: &RedirectUri) -> Result<Registration, LoginError> {
        if server.registration_endpoint.is_none() {
            return Err(self.unknown(server));
        }
        let wish = RegistrationRequest {
            client_name: self.parts.identity.client_name.clone(),
            redirect_uris: vec![here.clone()],
            application_type: ApplicationType::Native,
            scope: None,
        };
        let registration = register(&*self.parts.http, server, &wish).await?;
        self.parts.store.keep_registration(&registration)?;
        self.is_known(&server.issuer);
        Ok(registration)
    }

    /// Returns the error for an issuer at which no client can be used.
    fn unknown(&self, server: &AuthorizationServer) -> LoginError {
        let issuer = server.issuer.clone();
        if self.parts.identity.document.is_some() && server.client_id_metadata_document_supported {
            let redirect = format!("http://127.0.0.1{}", redirect_path(&issuer));
            return LoginError::Unnamed { issuer, redirect };
        }
        LoginError::Unknown { issuer }
    }
}

/// Returns how a client with these secrets authenticates, if nothing else was configured.
fn fitting(known: &KnownClient, server: &AuthorizationServer) -> ClientAuthentication {
    if known.key.is_some() {
        return ClientAuthentication::PrivateKeyJwt;
    }
    if known.secret.is_none() {
        return ClientAuthentication::None;
    }
    let offered = &server.token_endpoint_auth_methods_supported;
    let is_offered = |method: ClientAuthentication| offered.iter().any(|word| word == method.as_str());
    // RFC 8414 §2: without a list, the method is Basic.
    if !offered.is_empty()
        && !is_offered(ClientAuthentication::ClientSecretBasic)
        && is_offered(ClientAuthentication::ClientSecretPost)
    {
        ClientAuthentication::ClientSecretPost
    } else {
        ClientAuthentication::ClientSecretBasic
    }
}

#[cfg(test)]
mod tests;
