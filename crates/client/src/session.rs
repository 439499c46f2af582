//! Sends requests to one server with a token. On the way there is at most one login, and a bounded number of step-ups
//! (CL-24 to CL-26).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ::http::HeaderMap;
use ::http::header::WWW_AUTHENTICATE;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::AccessToken;

use crate::challenge::{BearerChallenge, bearer};
use crate::http::{HttpClient, HttpError, Opened, Request};
use crate::login::{Login, LoginError};
use crate::signing::ProofOf;
use crate::token::{Tokens, dpop_nonce};

/// Where the token for requests comes from.
#[derive(Debug)]
pub enum Entry {
    /// A token that was given to us (ST-01): it is used as it is, and never renewed.
    Given(AccessToken),
    /// A login gets and renews the token.
    Login(Box<Login>),
}

/// The connection to one server, with the tokens for it.
#[derive(Debug)]
pub struct Session {
    http: Arc<dyn HttpClient>,
    entry: Entry,
    resource: ResourceId,
    held: Mutex<SessionState>,
    /// One request at a time renews: the others wait, and use its result.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct SessionState {
    looked: bool,
    tokens: Option<Tokens>,
    /// The nonce that the server wants in proofs (RFC 9449 §9).
    nonce: Option<String>,
    /// How many step-ups each operation has had (CL-26).
    steps: HashMap<String, u32>,
}

/// Why a request was not answered, or was refused.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The server does not accept the token that was given to us.
    #[error("`{resource}` does not take the token that was given: is it for this server, and still good")]
    Given {
        /// The server.
        resource: String,
    },
    /// The exchange failed.
    #[error("`{resource}` could not be called")]
    Http {
        /// The server.
        resource: String,
        /// The cause.
        #[source]
        source: HttpError,
    },
    /// The login failed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The server does not accept a token that was just issued.
    #[error("`{resource}` does not take a token that `{issuer}` has just granted for it")]
    NotTaken {
        /// The server.
        resource: String,
        /// The issuer.
        issuer: String,
    },
    /// After step-ups the server still refuses (CL-26).
    #[error("`{resource}` still refuses `{operation}` after access was widened for it")]
    StillRefused {
        /// The server.
        resource: String,
        /// The operation that was refused.
        operation: String,
    },
}

/// The highest number of step-ups for one operation.
const STEPS_MAX: u32 = 2;
/// For how many operations the number of step-ups is remembered.
const OPERATIONS_MAX: usize = 1024;

impl Session {
    /// Creates a session. Nothing is sent yet.
    pub fn new(http: Arc<dyn HttpClient>, resource: ResourceId, entry: Entry) -> Self {
        Self { http, entry, resource, held: Mutex::default(), renewing: tokio::sync::Mutex::default() }
    }

    /// The server.
    pub fn resource(&self) -> &ResourceId {
        &self.resource
    }

    /// The login that gets the tokens, if there is one.
    pub fn login(&self) -> Option<&Login> {
        match &self.entry {
            Entry::Given(_) => None,
            Entry::Login(login) => Some(login),
        }
    }

    /// The issuer of the tokens in use.
    pub fn issuer(&self) -> Option<String> {
        self.held().tokens.as_ref().map(|tokens| tokens.issuer.clone())
    }

    /// Gets a token, with a login if necessary, without calling the server with it.
    pub async fn enter(&self, challenge: Option<&BearerChallenge>) -> Result<Option<Tokens>, SessionError> {
        let Entry::Login(login) = &self.entry else { return Ok(None) };
        let tokens = self.current(login).await?;
        match tokens {
            Some(tokens) => Ok(Some(tokens)),
            None => Ok(Some(self.renew(login, None, challenge).await?)),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, SessionState> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request with a token. `operation` names the operation, for the bound on step-ups.
    pub async fn open(&self, request: &Request, operation: &str) -> Result<Opened, SessionError> {
        let login = match &self.entry {
            Entry::Given(token) => {
                let opened = self.send(request.clone().bearer(token)).await?;
                return match opened.status.as_u16() {
                    401 => Err(SessionError::Given { resource: self.resource.as_str().to_owned() }),
                    _ => Ok(opened),
                };
            }
            Entry::Login(login) => login,
        };
        let mut tokens = self.current(login).await?;
        let mut renewed = false;
        // The scopes that were added for this request.
        let mut widened: Option<ScopeSet> = None;
        loop {
            let opened = self.prove(login, tokens.as_ref(), request).await?;
            let challenge = bearer(&opened.headers);
            match opened.status.as_u16() {
                401 if renewed => {
                    let issuer = tokens.map(|tokens| tokens.issuer).unwrap_or_default();
                    return Err(SessionError::NotTaken { resource: self.resource.as_str().to_owned(), issuer });
                }
                401 => {
                    let rejected = tokens.as_ref().map(|tokens| &tokens.access);
                    tokens = Some(self.renew(login, rejected, challenge.as_ref()).await?);
                    renewed = true;
                }
                403 if is_step_up(challenge.as_ref()) => {
                    let Some(held) = tokens.as_ref() else { return Ok(opened) };
                    let needed = challenge.as_ref().and_then(|challenge| challenge.scope.clone()).unwrap_or_default();
                    // Scopes that did not help are not requested again: each page is opened at most once for a call
                    // (ATK-227).
                    if widened.as_ref().is_some_and(|widened| widened.satisfies_all(&needed)) {
                        return Err(self.still_refused(operation));
                    }
                    self.step(operation)?;
                    tokens = Some(self.widen(login, held, challenge.as_ref()).await?);
                    widened = Some(widened.unwrap_or_default().union(&needed));
                    renewed = true;
                }
                _ => return Ok(opened),
            }
        }
    }

    /// Sends a request that does not come from a call of the client, or that repeats one: with the tokens in use,
    /// refreshed if that helps. No page is opened, whatever the server says (ATK-227).
    pub async fn open_quietly(&self, request: &Request) -> Result<Opened, SessionError> {
        let login = match &self.entry {
            Entry::Given(token) => return self.send(request.clone().bearer(token)).await,
            Entry::Login(login) => login,
        };
        let mut tokens = self.kept(login)?;
        if tokens.as_ref().is_some_and(|tokens| login.is_due(tokens) && tokens.refresh.is_some()) {
            tokens = self.renew_quietly(login, tokens.as_ref().map(|tokens| &tokens.access)).await?;
        }
        let opened = self.prove(login, tokens.as_ref(), request).await?;
        let Some(rejected) = tokens.filter(|_| opened.status.as_u16() == 401) else { return Ok(opened) };
        let tokens = self.renew_quietly(login, Some(&rejected.access)).await?;
        self.prove(login, tokens.as_ref(), request).await
    }

    async fn renew_quietly(
        &self,
        login: &Login,
        rejected: Option<&AccessToken>,
    ) -> Result<Option<Tokens>, SessionError> {
        let _one = self.renewing.lock().await;
        let held = self.held().tokens.clone().filter(|tokens| Some(&tokens.access) != rejected);
        if held.is_some() {
            return Ok(held);
        }
        let tokens = login.renew_quietly(&self.resource, rejected).await?;
        self.held().tokens = Some(tokens.clone());
        Ok(Some(tokens))
    }

    fn kept(&self, login: &Login) -> Result<Option<Tokens>, SessionError> {
        let mut held = self.held();
        if !held.looked {
            held.looked = true;
            held.tokens = login.held(&self.resource)?;
        }
        Ok(held.tokens.clone())
    }

    /// Returns the tokens in use, renewed if they are about to end.
    async fn current(&self, login: &Login) -> Result<Option<Tokens>, SessionError> {
        match self.kept(login)? {
            Some(tokens) if login.is_due(&tokens) && (tokens.refresh.is_some() || login.asks_nobody()) => {
                self.renew(login, Some(&tokens.access), None).await.map(Some)
            }
            other => Ok(other),
        }
    }

    async fn renew(
        &self,
        login: &Login,
        rejected: Option<&AccessToken>,
        challenge: Option<&BearerChallenge>,
    ) -> Result<Tokens, SessionError> {
        let _one = self.renewing.lock().await;
        if let Some(tokens) = self.held().tokens.clone().filter(|tokens| Some(&tokens.access) != rejected) {
            return Ok(tokens);
        }
        let tokens = login.renew(&self.resource, rejected, challenge).await?;
        self.held().tokens = Some(tokens.clone());
        Ok(tokens)
    }

    async fn widen(
        &self,
        login: &Login,
        before: &Tokens,
        challenge: Option<&BearerChallenge>,
    ) -> Result<Tokens, SessionError> {
        let _one = self.renewing.lock().await;
        let held = self.held().tokens.clone().filter(|tokens| tokens.access != before.access);
        if let Some(tokens) = held {
            return Ok(tokens);
        }
        let tokens = login.widen(&self.resource, before, challenge).await?;
        self.held().tokens = Some(tokens.clone());
        Ok(tokens)
    }

    /// Counts a step-up for this operation.
    fn step(&self, operation: &str) -> Result<(), SessionError> {
        let mut held = self.held();
        if held.steps.len() >= OPERATIONS_MAX && !held.steps.contains_key(operation) {
            held.steps.clear();
        }
        let steps = held.steps.entry(operation.to_owned()).or_default();
        *steps = steps.saturating_add(1);
        if *steps <= STEPS_MAX {
            return Ok(());
        }
        drop(held);
        Err(self.still_refused(operation))
    }

    /// Returns the error for an operation for which no person is asked again.
    fn still_refused(&self, operation: &str) -> SessionError {
        self.held().steps.insert(operation.to_owned(), STEPS_MAX);
        SessionError::StillRefused { resource: self.resource.as_str().to_owned(), operation: operation.to_owned() }
    }

    /// Sends with a token. If it is bound to a key, adds a proof, and sends once more if the server wants another
    /// nonce.
    async fn prove(&self, login: &Login, tokens: Option<&Tokens>, request: &Request) -> Result<Opened, SessionError> {
        let Some(tokens) = tokens else { return self.send(request.clone()).await };
        let Some(key) = &tokens.dpop else {
            return self.send(request.clone().bearer(&tokens.access)).await;
        };
        let nonce = self.held().nonce.clone();
        let proven = |nonce: Option<&str>| {
            let of = ProofOf { method: request.method.as_str(), url: request.url(), nonce };
            let proof = key.proof(of, Some(&tokens.access), login.parts().clock.now(), &*login.parts().entropy);
            proof.map(|proof| request.clone().dpop(&tokens.access, &proof)).map_err(LoginError::from)
        };
        let opened = self.send(proven(nonce.as_deref())?).await?;
        let wanted = dpop_nonce(&opened.headers);
        if wanted.is_some() && wanted != nonce {
            self.held().nonce.clone_from(&wanted);
            if opened.status.as_u16() == 401 && wants_nonce(&opened.headers) {
                return self.send(proven(wanted.as_deref())?).await;
            }
        }
        Ok(opened)
    }

    async fn send(&self, request: Request) -> Result<Opened, SessionError> {
        let failed = |source| SessionError::Http { resource: self.resource.as_str().to_owned(), source };
        self.http.open(request).await.map_err(failed)
    }
}

/// Whether the refusal says that more scope would help (RFC 6750 §3.1).
fn is_step_up(challenge: Option<&BearerChallenge>) -> bool {
    challenge.is_some_and(|challenge| challenge.error.as_deref() == Some("insufficient_scope"))
}

/// Whether a refusal asks only for another nonce in the proof (RFC 9449 §9).
fn wants_nonce(headers: &HeaderMap) -> bool {
    let line = |value: &::http::HeaderValue| value.to_str().is_ok_and(|line| line.contains("use_dpop_nonce"));
    headers.get_all(WWW_AUTHENTICATE).iter().any(line)
}

#[cfg(test)]
mod tests;
