//! From "no token" to a token, whichever way leads there: the whole sequence of the specification, in one place.
//!
//! Nothing here is remembered between two calls but what the [`TokenStore`] keeps.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sekisho_protocol::env::{Clock, Entropy, after};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::metadata::{AuthorizationServer, ProtectedResource};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::{AccessToken, ClientSecret, SubjectToken};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

use crate::authorization::{AuthorizationAnswer, AuthorizationRequest, BeginError};
use crate::callback::{CallbackError, Place};
use crate::challenge::BearerChallenge;
use crate::discovery::{
    IssuerError, ResourceError, discover_any_issuer, discover_issuer_of, discover_origin, discover_resource,
    is_same_issuer, select_scopes,
};
use crate::exchange::{ExchangeError, IdentityProvider, id_jag, is_for};
use crate::http::HttpClient;
use crate::registration::{Registration, RegistrationError};
use crate::signing::{ClientKey, DpopKey, KeyError};
use crate::token::{Asked, TokenEndpoint, TokenError, Tokens};
use crate::token_store::{At, Pin, StoreError, TokenStore, Turn, Wait};
use terms::{is_passing, takes_proofs};

mod known;
mod logout;
mod older;
mod origin;
mod terms;

/// How a person is sent to an authorization server: a browser, a line on a terminal.
pub trait Browser: Send + Sync + Debug {
    /// Gets ready to receive an answer at this place.
    fn ready<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Box<dyn Visit>, VisitError>>;

    /// Shows a page from which no answer comes back.
    fn show(&self, url: &str);

    /// Tells the person something about the login that they should know before they agree to it.
    fn warn(&self, text: &str);

    /// Whether there is a person who can log in. If not, a login in another program is not waited for either.
    fn is_there(&self) -> bool {
        true
    }
}

/// One visit to an authorization server.
pub trait Visit: Send {
    /// Where the answer will arrive.
    fn redirect_uri(&self) -> &RedirectUri;

    /// Sends the person, and waits for the answer.
    fn go<'a>(
        self: Box<Self>,
        request: &'a AuthorizationRequest,
    ) -> BoxFuture<'a, Result<AuthorizationAnswer, VisitError>>;
}

/// Why no answer came back.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// The listener failed, nobody came, or the answer was no.
    #[error(transparent)]
    Callback(#[from] CallbackError),
    /// There is nobody who could be sent.
    #[error("a person has to log in, and there is nobody to ask here: {0}")]
    Nobody(String),
}

/// Who we are.
#[derive(Debug, Clone)]
pub struct Identity {
    /// A name for people, for the registration.
    pub client_name: String,
    /// Identifiers that were given to us (CL-14). They come before every other way to be known (CL-11).
    pub known: Vec<KnownClient>,
    /// Our metadata document, if there is one (CL-12).
    pub document: Option<MetadataDocument>,
    /// The redirect URI that is registered for the given identifier or in the document. `None`: the issuer's own path.
    pub redirect: Option<RedirectUri>,
    /// What is asked for in place of what the server names.
    pub scopes: Option<ScopeSet>,
}

/// A client metadata document.
#[derive(Debug, Clone)]
pub struct MetadataDocument {
    /// Its URL, which is the client identifier.
    pub client: ClientId,
    /// An issuer at which it is used although that issuer sends no `iss`, because a person said so. Other issuers have to
    /// send `iss` (RFC 9207): all of them accept the same document with the same redirect URIs, so a path for each issuer
    /// protects nothing (decision 0050).
    pub issuer: Option<String>,
}

/// An identifier that somebody gave us.
#[derive(Debug, Clone)]
pub struct KnownClient {
    /// The issuer that gave it. `None`: the first that is asked, and no other after it (CL-19).
    pub issuer: Option<String>,
    /// The identifier.
    pub client: ClientId,
    /// How it authenticates. `None`: by what it has, in a way that the issuer offers.
    pub authentication: Option<ClientAuthentication>,
    /// Its secret.
    pub secret: Option<ClientSecret>,
    /// Its key.
    pub key: Option<Arc<ClientKey>>,
}

/// By what right a token is asked for.
#[derive(Debug, Clone)]
pub enum Grant {
    /// In our own name (CL-53).
    ClientCredentials,
    /// A person says yes.
    Code,
    /// An identity provider vouches for a person who logged in there (CL-54).
    Enterprise(IdentityProvider),
    /// A platform vouches for this workload (RFC 7523 §2.1).
    Workload(SubjectToken),
}

/// A way in.
#[derive(Debug)]
pub struct Login {
    parts: LoginParts,
    /// Issuers of which it is certain that they still know our registration.
    seen: Mutex<HashSet<String>>,
    /// Read by every exchange of a code or a refresh token; written by [`Login::finished`].
    exchanges: Arc<RwLock<()>>,
}

/// A guard: no exchange is under way, and none begins while it lives.
#[derive(Debug)]
pub struct Finished {
    _alone: OwnedRwLockWriteGuard<()>,
}

/// What [`Login`] is made of.
#[derive(Debug)]
pub struct LoginParts {
    /// The way out.
    pub http: Arc<dyn HttpClient>,
    /// What is remembered.
    pub store: Arc<dyn TokenStore>,
    /// Who can be asked.
    pub browser: Arc<dyn Browser>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Who we are.
    pub identity: Identity,
    /// By what right.
    pub grant: Grant,
}

/// Why there is no way in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The authorization request cannot be made.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// The identity provider vouches for nobody.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The issuer cannot be used.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The login was made as a client whose secret or key is not here.
    #[error(
        "the login at `{issuer}` was made as the client `{client}`, whose secret or key was not given: give it again with `--client-id {client}`"
    )]
    Credentials {
        /// The issuer.
        issuer: String,
        /// The client.
        client: String,
    },
    /// The runtime ended before the exchange did.
    #[error("the exchange was broken off")]
    Interrupted,
    /// The identifier was given by another issuer than the one that grants access now (CL-19).
    #[error(
        "the client identifier `{client}` belongs to `{registered}`, but `{issuer}` grants access now, and was shown neither it nor its secret: if that is right, ask the operator of `{issuer}` for an identifier there; only `sekisho forget client '{client}'` lets it go to another authorization server"
    )]
    Moved {
        /// The client identifier.
        client: String,
        /// The issuer that grants access now.
        issuer: String,
        /// The one that knows the identifier.
        registered: String,
    },
    /// The path of the given redirect URI belongs to another issuer.
    #[error(
        "the redirect path `{path}` belongs to `{registered}`, and `{issuer}` sends no `iss` in its answers (RFC 9207), so that their answers could be confused: register another redirect URI at one of them (RFC 9700 §4.4.2), or run `sekisho forget redirect '{path}'` if the other is not used any more"
    )]
    RedirectTaken {
        /// The issuer that grants access now.
        issuer: String,
        /// The path.
        path: String,
        /// The other one.
        registered: String,
    },
    /// The given redirect URI is not on loopback.
    #[error(
        "`{redirect}` is no redirect URI that can be listened at: expected `http://127.0.0.1/PATH` or `http://localhost/PATH`, with or without a port"
    )]
    RedirectUnusable {
        /// What was given.
        redirect: String,
    },
    /// The client cannot be registered.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// The resource does not say who grants access.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// Nothing can be remembered.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No way to be known there (CL-11).
    #[error(
        "`{issuer}` lets no client register itself, and takes no metadata document of ours: ask its operator for a client identifier"
    )]
    Unknown {
        /// The issuer.
        issuer: String,
    },
    /// It takes our metadata document, but sends no `iss`.
    #[error(
        "`{issuer}` takes client metadata documents, but sends no `iss` in its answers (RFC 9207), so that another authorization server's answer could be taken for its own: ask its operator for a client identifier, or, if you trust it with what others grant to this document, add `{redirect}` to the redirect URIs of the document and give `--issuer '{issuer}'`"
    )]
    Unnamed {
        /// The issuer.
        issuer: String,
        /// What the document would have to list.
        redirect: String,
    },
    /// Nobody answered.
    #[error(transparent)]
    Visit(#[from] VisitError),
}

/// A token that ends sooner than this is renewed before it is used.
const RENEW_BEFORE_SECONDS: u32 = 30;

impl Login {
    /// A way in that was not tried yet.
    pub fn new(parts: LoginParts) -> Self {
        Self { parts, seen: Mutex::default(), exchanges: Arc::default() }
    }

    /// What it is made of.
    pub fn parts(&self) -> &LoginParts {
        &self.parts
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Waits until no exchange is under way. A program has to wait for this before it ends: a refresh token that the issuer
    /// has used up is worth nothing, and its successor is in the answer.
    pub async fn finished(&self) -> Finished {
        Finished { _alone: Arc::clone(&self.exchanges).write_owned().await }
    }

    /// Runs an exchange of a code or a refresh token, with the write that follows, to its end, also if the caller is dropped.
    async fn exchange<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, LoginError>> + Send + 'static,
    ) -> Result<T, LoginError> {
        let under_way = Arc::clone(&self.exchanges).read_owned().await;
        let task = tokio::spawn(async move {
            let _under_way = under_way;
            work.await
        });
        task.await.unwrap_or(Err(LoginError::Interrupted))
    }

    /// Waits for our turn at a server.
    async fn turn(&self, resource: &ResourceId) -> Result<Arc<Turn>, LoginError> {
        let wait = if self.parts.browser.is_there() { Wait::ForPeople } else { Wait::ForPrograms };
        Ok(Arc::new(self.parts.store.turn(At::Server(resource), wait).await?))
    }

    /// Whether this token has ended, or is about to.
    pub fn is_due(&self, tokens: &Tokens) -> bool {
        let soon = after(self.now(), RENEW_BEFORE_SECONDS);
        tokens.expires.is_some_and(|expires| expires <= soon)
    }

    /// Whether a token can be obtained without a person.
    pub fn asks_nobody(&self) -> bool {
        !matches!(self.parts.grant, Grant::Code)
    }

    /// The kept tokens for a server, if they were granted to the client that we are.
    pub fn held(&self, resource: &ResourceId) -> Result<Option<Tokens>, LoginError> {
        Ok(self.parts.store.tokens(resource)?.filter(|tokens| self.is_ours(tokens)))
    }

    /// A token in place of `rejected`, or a first one: one that another program got meanwhile, a refreshed one, or one
    /// from the beginning. One program at a time asks (`TokenStore::turn`), so that several refresh once.
    pub async fn renew(
        &self,
        resource: &ResourceId,
        rejected: Option<&AccessToken>,
        challenge: Option<&BearerChallenge>,
    ) -> Result<Tokens, LoginError> {
        self.renew_as(Asks::Somebody, resource, rejected, challenge).await
    }

    /// The same, where nobody has called: no page is opened because a server says so (ATK-227).
    pub async fn renew_quietly(
        &self,
        resource: &ResourceId,
        rejected: Option<&AccessToken>,
    ) -> Result<Tokens, LoginError> {
        self.renew_as(Asks::Nobody, resource, rejected, None).await
    }

    async fn renew_as(
        &self,
        asks: Asks,
        resource: &ResourceId,
        rejected: Option<&AccessToken>,
        challenge: Option<&BearerChallenge>,
    ) -> Result<Tokens, LoginError> {
        let turn = self.turn(resource).await?;
        let mut asked = None;
        if let Some(kept) = self.held(resource)? {
            if Some(&kept.access) != rejected && !self.is_due(&kept) {
                return Ok(kept);
            }
            let described = discover_resource(&*self.parts.http, resource, challenge).await;
            if let Some(fresh) = self.refresh(resource, &kept, described.as_ref(), &turn).await? {
                return Ok(fresh);
            }
            self.nobody_is_asked(asks)?;
            self.parts.store.forget_tokens(resource)?;
            // What the person had agreed to before is asked for again, not less.
            asked = kept.asked;
        }
        self.nobody_is_asked(asks)?;
        self.obtain(resource, challenge, asked.as_ref(), &turn).await
    }

    /// Where a person would have to be asked, and may not be: what is kept stays, and the next call asks.
    fn nobody_is_asked(&self, asks: Asks) -> Result<(), LoginError> {
        match (asks, &self.parts.grant) {
            (Asks::Nobody, Grant::Code) => Err(VisitError::Nobody("the next call asks".to_owned()).into()),
            _ => Ok(()),
        }
    }

    /// A token for more than `held` is good for: what was asked for before, and what is needed now (CL-25). A refresh
    /// never widens, so this asks from the beginning (CL-24).
    pub async fn widen(
        &self,
        resource: &ResourceId,
        held: &Tokens,
        challenge: Option<&BearerChallenge>,
    ) -> Result<Tokens, LoginError> {
        let turn = self.turn(resource).await?;
        let before = held.asked.clone().or_else(|| held.scopes.clone());
        let kept = self.held(resource)?.filter(|kept| kept.access != held.access);
        let needed = challenge.and_then(|challenge| challenge.scope.as_ref());
        // Another program may have asked for the same meanwhile.
        if let (Some(kept), Some(needed)) = (&kept, needed)
            && kept.scopes.as_ref().or(kept.asked.as_ref()).is_some_and(|scopes| scopes.satisfies_all(needed))
            && !self.is_due(kept)
        {
            return Ok(kept.clone());
        }
        self.obtain(resource, challenge, before.as_ref(), &turn).await
    }

    /// Refreshes and keeps tokens. `None`: there is no refresh token, or the issuer refuses it.
    async fn refresh(
        &self,
        resource: &ResourceId,
        kept: &Tokens,
        described: Result<&ProtectedResource, &ResourceError>,
        turn: &Arc<Turn>,
    ) -> Result<Option<Tokens>, LoginError> {
        // The resource may have moved to another issuer: what the old one gave is of no use there (CL-18).
        let is_kept = |issuer: &String| is_same_issuer(issuer, &kept.issuer);
        let moved = described.is_ok_and(|described| !described.authorization_servers.iter().any(is_kept));
        if kept.refresh.is_none() || moved {
            return Ok(None);
        }
        let server = match described {
            Err(error) if older::is_of_the_origin(kept) && older::is_for(error, None) => {
                discover_origin(&*self.parts.http, &kept.resource).await?
            }
            _ => discover_issuer_of(&*self.parts.http, kept.resource.as_str(), &kept.issuer).await?,
        };
        let registration = self.client_of(kept, &server)?;
        let (http, store, entropy) =
            (Arc::clone(&self.parts.http), Arc::clone(&self.parts.store), Arc::clone(&self.parts.entropy));
        let (resource, kept, turn, now) = (resource.clone(), kept.clone(), Arc::clone(turn), self.now());
        let exchange = async move {
            // No other program may use the same refresh token before the new one is kept.
            let _turn = turn;
            let endpoint = TokenEndpoint::new(&*http, &server, &registration)?.proving(&*entropy, kept.dpop.as_ref());
            match endpoint.refresh(&kept, now).await {
                Ok(fresh) => {
                    let fresh = Tokens { client: kept.client, ..fresh };
                    store.keep_tokens(&resource, &fresh)?;
                    Ok(Some(fresh))
                }
                Err(TokenError::Refused { code, .. }) if !is_passing(&code) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        self.exchange(exchange).await
    }

    async fn obtain(
        &self,
        resource: &ResourceId,
        challenge: Option<&BearerChallenge>,
        before: Option<&ScopeSet>,
        turn: &Arc<Turn>,
    ) -> Result<Tokens, LoginError> {
        let replaced = self.parts.store.tokens(resource)?.filter(|tokens| !self.is_ours(tokens));
        let (described, server) = match discover_resource(&*self.parts.http, resource, challenge).await {
            Ok(described) => {
                let server = self.issuer(&described).await?;
                (described, server)
            }
            Err(error) if older::is_for(&error, challenge) => self.older(resource, error).await?,
            Err(error) => return Err(error.into()),
        };
        let named = self.parts.identity.scopes.clone().or_else(|| select_scopes(challenge, &described, &server));
        let scopes = match (named, before) {
            (Some(named), Some(before)) => Some(named.union(before)),
            (named, before) => named.or_else(|| before.cloned()),
        };
        let dpop = takes_proofs(&described, &server, challenge).then(DpopKey::generate).transpose()?.map(Arc::new);
        // CL-21: as the document spells it. It was checked there.
        let named = ResourceId::parse(&described.resource).unwrap_or_else(|_| resource.clone());
        let way =
            Way { held_for: resource, resource: &named, server: &server, scopes: scopes.as_ref(), dpop: dpop.as_ref() };
        let tokens = match &self.parts.grant {
            Grant::Code => self.by_code(way, turn).await?,
            Grant::ClientCredentials => {
                let registration = self.own(&server)?;
                let granted = self.endpoint(way, &registration)?.client_credentials(way.asked(), self.now()).await?;
                self.keep(resource, granted)?
            }
            Grant::Workload(statement) => {
                is_for(statement, &server)?;
                let registration = self.own(&server)?;
                let granted = self.endpoint(way, &registration)?.redeem(statement, way.asked(), self.now()).await?;
                self.keep(resource, granted)?
            }
            Grant::Enterprise(provider) => {
                let registration = self.own(&server)?;
                let grant = id_jag(&*self.parts.http, provider, &server.issuer, way.resource, way.scopes).await?;
                let granted = self.endpoint(way, &registration)?.redeem(&grant, way.asked(), self.now()).await?;
                self.keep(resource, granted)?
            }
        };
        if let Some(replaced) = replaced {
            // The grant of another client, which was replaced and could not be given back later.
            self.give_back(&replaced).await.ok();
        }
        Ok(tokens)
    }

    fn keep(&self, resource: &ResourceId, granted: Tokens) -> Result<Tokens, LoginError> {
        let tokens = Tokens { client: self.without_what_was_given(&granted.client), ..granted };
        self.parts.store.keep_tokens(resource, &tokens)?;
        Ok(tokens)
    }

    /// Who grants access: the issuer that gave us an identifier, if the resource names it; otherwise the first that
    /// describes itself (CL-05).
    async fn issuer(&self, described: &ProtectedResource) -> Result<AuthorizationServer, LoginError> {
        let ours = |issuer: &&String| {
            let is_this = |known: &String| is_same_issuer(known, issuer);
            self.parts.identity.known.iter().any(|known| known.issuer.as_ref().is_some_and(is_this))
        };
        let ours =
            described.authorization_servers.iter().find(ours).filter(|_| described.authorization_servers.len() > 1);
        let mut server = match ours {
            Some(issuer) => {
                let only = ProtectedResource { authorization_servers: vec![issuer.clone()], ..described.clone() };
                discover_any_issuer(&*self.parts.http, &only).await?
            }
            None => discover_any_issuer(&*self.parts.http, described).await?,
        };
        // An issuer that has sent `iss` once has to send it from then on, whatever its metadata say now.
        if self.parts.store.pinned(Pin::Iss(&server.issuer))?.is_some() {
            server.authorization_response_iss_parameter_supported = true;
        }
        Ok(server)
    }

    fn endpoint<'a>(&'a self, way: Way<'a>, registration: &'a Registration) -> Result<TokenEndpoint<'a>, LoginError> {
        Ok(TokenEndpoint::new(&*self.parts.http, way.server, registration)?.proving(&*self.parts.entropy, way.dpop))
    }

    async fn by_code(&self, way: Way<'_>, turn: &Arc<Turn>) -> Result<Tokens, LoginError> {
        let issuer = &way.server.issuer;
        let (registration, visit) = self.become_known(way).await?;
        let request = self.request(way, &registration, visit.redirect_uri())?;
        let answer = {
            let _visit = self.parts.store.turn(At::Visit(way.held_for), Wait::ForPrograms).await?;
            visit.go(&request).await?
        };
        if answer.names_issuer {
            self.parts.store.pin(Pin::Iss(issuer), issuer)?;
        }
        let (http, store, entropy) =
            (Arc::clone(&self.parts.http), Arc::clone(&self.parts.store), Arc::clone(&self.parts.entropy));
        let (server, resource, dpop) = (way.server.clone(), way.held_for.clone(), way.dpop.cloned());
        let (client, turn, now) = (self.without_what_was_given(&registration), Arc::clone(turn), self.now());
        let exchange = async move {
            let _turn = turn;
            let endpoint = TokenEndpoint::new(&*http, &server, &registration)?.proving(&*entropy, dpop.as_ref());
            let granted = endpoint.exchange_code(&request, &answer.code, now).await;
            if let Err(TokenError::Refused { code, .. }) = &granted
                && code == "invalid_client"
                && store.registration(&server.issuer)?.is_some_and(|kept| kept.client == registration.client)
            {
                // The next attempt registers anew; this code is used up.
                store.forget_registration(&server.issuer)?;
            }
            let tokens = Tokens { client, ..granted? };
            store.keep_tokens(&resource, &tokens)?;
            Ok(tokens)
        };
        self.exchange(exchange).await
    }
}

/// Whether a person may be sent anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Nobody,
    Somebody,
}

/// One way to one token.
#[derive(Clone, Copy)]
struct Way<'a> {
    /// The URL of the server, under which tokens are kept.
    held_for: &'a ResourceId,
    /// The resource identifier, as the metadata names it.
    resource: &'a ResourceId,
    server: &'a AuthorizationServer,
    scopes: Option<&'a ScopeSet>,
    dpop: Option<&'a Arc<DpopKey>>,
}

impl<'a> Way<'a> {
    fn asked(self) -> Asked<'a> {
        Asked { resource: self.resource, scopes: self.scopes }
    }
}

#[cfg(test)]
pub(crate) mod tests;
