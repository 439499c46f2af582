//! The login: how a client without a token gets one, with every kind of grant. It is the whole sequence of the
//! specification.
//!
//! Between two calls, tokens and registrations are only in the [`TokenStore`].

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
use crate::callback::{CallbackAddress, CallbackError};
use crate::challenge::BearerChallenge;
use crate::discovery::{
    IssuerError, ResourceError, discover_any_issuer, discover_issuer_of, discover_origin, discover_resource,
    is_same_issuer, select_scopes,
};
use crate::exchange::{ExchangeError, IdentityProvider, id_jag, is_for};
use crate::http::HttpClient;
use crate::registration::{Registration, RegistrationError};
use crate::signing::{ClientKey, DpopKey, KeyError};
use crate::token::{TokenEndpoint, TokenError, TokenParameters, Tokens};
use crate::token_store::{At, Pin, StoreError, TokenStore, Turn, Wait};
use terms::{is_passing, takes_proofs};

mod known;
mod logout;
mod older;
mod origin;
mod terms;

/// A way to send a person to an authorization server, such as a browser or a line on a terminal.
pub trait Browser: Send + Sync + Debug {
    /// Prepares to receive an answer at this address.
    fn ready<'a>(&'a self, place: &'a CallbackAddress) -> BoxFuture<'a, Result<Box<dyn Visit>, VisitError>>;

    /// Shows a page from which no answer is expected.
    fn show(&self, url: &str);

    /// Tells the person something that they should know before they agree to the login.
    fn warn(&self, text: &str);

    /// Whether there is a person who can log in. If not, a login in another program is not waited for either.
    fn is_there(&self) -> bool {
        true
    }
}

/// One visit to an authorization server.
pub trait Visit: Send {
    /// The redirect URI at which the answer will arrive.
    fn redirect_uri(&self) -> &RedirectUri;

    /// Sends the person to the URL, and waits for the answer.
    fn go<'a>(
        self: Box<Self>,
        request: &'a AuthorizationRequest,
    ) -> BoxFuture<'a, Result<AuthorizationAnswer, VisitError>>;
}

/// Why no answer came back.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// The listener failed, the browser did not come back, or the answer was a refusal.
    #[error(transparent)]
    Callback(#[from] CallbackError),
    /// There is no person who could log in.
    #[error("a person has to log in, and there is nobody to ask here: {0}")]
    Nobody(String),
}

/// Who this client is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The client's name for people, used for registration.
    pub client_name: String,
    /// Client identifiers that a person gave us (CL-14). They are used before every other kind of client (CL-11).
    pub known: Vec<KnownClient>,
    /// Our metadata document, if there is one (CL-12).
    pub document: Option<MetadataDocument>,
    /// The redirect URI that is registered for the given identifier or in the document. `None`: the issuer's own path
    /// is used.
    pub redirect: Option<RedirectUri>,
    /// The scopes to ask for instead of those that the server names.
    pub scopes: Option<ScopeSet>,
}

/// A client metadata document.
#[derive(Debug, Clone)]
pub struct MetadataDocument {
    /// Its URL, which is the client identifier.
    pub client: ClientId,
    /// An issuer at which the document is used even though that issuer sends no `iss`, because a person said so. Other
    /// issuers have to send `iss` (RFC 9207): all of them accept the same document with the same redirect URIs, so a
    /// separate path for each issuer protects nothing (decision 0050).
    pub issuer: Option<String>,
}

/// A client identifier that a person gave us.
#[derive(Debug, Clone)]
pub struct KnownClient {
    /// The issuer that gave it. `None`: the first issuer at which it is used, and no other after that (CL-19).
    pub issuer: Option<String>,
    /// The identifier.
    pub client: ClientId,
    /// How the client authenticates. `None`: by its secret or key, in a way that the issuer offers.
    pub authentication: Option<ClientAuthentication>,
    /// The client's secret.
    pub secret: Option<ClientSecret>,
    /// The client's key.
    pub key: Option<Arc<ClientKey>>,
}

/// The kind of grant with which a token is requested.
#[derive(Debug, Clone)]
pub enum Grant {
    /// The client acts in its own name (CL-53).
    ClientCredentials,
    /// A person agrees.
    Code,
    /// An identity provider vouches for a person who logged in there (CL-54).
    Enterprise(IdentityProvider),
    /// A platform vouches for this workload (RFC 7523 §2.1).
    Workload(SubjectToken),
}

/// Gets and renews tokens.
#[derive(Debug)]
pub struct Login {
    parts: LoginParts,
    /// The issuers that are certain to still know our registration.
    seen: Mutex<HashSet<String>>,
    /// Locked for reading by every exchange of a code or a refresh token, and for writing by [`Login::finished`].
    exchanges: Arc<RwLock<()>>,
}

/// A guard: while it lives, no exchange is under way and none begins.
#[derive(Debug)]
pub struct Finished {
    _alone: OwnedRwLockWriteGuard<()>,
}

/// The parts of a [`Login`].
#[derive(Debug)]
pub struct LoginParts {
    /// The HTTP client.
    pub http: Arc<dyn HttpClient>,
    /// The store for tokens and registrations.
    pub store: Arc<dyn TokenStore>,
    /// How a person is asked.
    pub browser: Arc<dyn Browser>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The source of random values.
    pub entropy: Arc<dyn Entropy>,
    /// Who this client is.
    pub identity: Identity,
    /// The kind of grant to use.
    pub grant: Grant,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The authorization request could not be created.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// The identity provider issued no assertion.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The issuer's metadata cannot be used.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// No key could be created.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The login was made as a client whose secret or key was not given this time.
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
        /// The issuer that gave the identifier.
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
        /// The issuer to which the path belongs.
        registered: String,
    },
    /// The given redirect URI is not on loopback.
    #[error(
        "`{redirect}` is no redirect URI that can be listened at: expected `http://127.0.0.1/PATH` or `http://localhost/PATH`, with or without a port"
    )]
    RedirectUnusable {
        /// The redirect URI that was given.
        redirect: String,
    },
    /// The client could not be registered.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// The resource does not say who grants access.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token endpoint gave no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// There is no way to become a client of the issuer (CL-11).
    #[error(
        "`{issuer}` lets no client register itself, and takes no metadata document of ours: ask its operator for a client identifier"
    )]
    Unknown {
        /// The issuer.
        issuer: String,
    },
    /// The issuer accepts our metadata document, but sends no `iss`.
    #[error(
        "`{issuer}` takes client metadata documents, but sends no `iss` in its answers (RFC 9207), so that another authorization server's answer could be taken for its own: ask its operator for a client identifier, or, if you trust it with what others grant to this document, add `{redirect}` to the redirect URIs of the document and give `--issuer '{issuer}'`"
    )]
    Unnamed {
        /// The issuer.
        issuer: String,
        /// The redirect URI that the document would have to list.
        redirect: String,
    },
    /// The authorization request got no answer.
    #[error(transparent)]
    Visit(#[from] VisitError),
}

/// A token that ends within this many seconds is renewed before it is used.
const RENEW_BEFORE_SECONDS: u32 = 30;

impl Login {
    /// Creates a login. Nothing is sent yet.
    pub fn new(parts: LoginParts) -> Self {
        Self { parts, seen: Mutex::default(), exchanges: Arc::default() }
    }

    /// Returns the parts of this login.
    pub fn parts(&self) -> &LoginParts {
        &self.parts
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Waits until no exchange is under way. A program has to wait for this before it ends: the issuer invalidates a
    /// used refresh token, and its successor is in the response.
    pub async fn finished(&self) -> Finished {
        Finished { _alone: Arc::clone(&self.exchanges).write_owned().await }
    }

    /// Runs an exchange of a code or a refresh token, and the write that follows, to the end, even if the caller is
    /// dropped.
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

    /// Waits for this program's turn at a server.
    async fn turn(&self, resource: &ResourceId) -> Result<Arc<Turn>, LoginError> {
        let wait = if self.parts.browser.is_there() { Wait::ForPeople } else { Wait::ForPrograms };
        Ok(Arc::new(self.parts.store.turn(At::Server(resource), wait).await?))
    }

    /// Whether this token has ended, or ends within the next half minute.
    pub fn is_due(&self, tokens: &Tokens) -> bool {
        let soon = after(self.now(), RENEW_BEFORE_SECONDS);
        tokens.expires.is_some_and(|expires| expires <= soon)
    }

    /// Whether a token can be obtained without a person.
    pub fn asks_nobody(&self) -> bool {
        !matches!(self.parts.grant, Grant::Code)
    }

    /// Returns the stored tokens for a server, if they were granted to the client that this login uses.
    pub fn held(&self, resource: &ResourceId) -> Result<Option<Tokens>, LoginError> {
        Ok(self.parts.store.tokens(resource)?.filter(|tokens| self.is_ours(tokens)))
    }

    /// Returns a token in place of `rejected`, or a first one: a token that another program got meanwhile, a refreshed
    /// one, or one from a new login. One program at a time does this (`TokenStore::turn`), so that several programs
    /// refresh once.
    pub async fn renew(
        &self,
        resource: &ResourceId,
        rejected: Option<&AccessToken>,
        challenge: Option<&BearerChallenge>,
    ) -> Result<Tokens, LoginError> {
        self.renew_as(Asks::Somebody, resource, rejected, challenge).await
    }

    /// Does the same when no call of the user needs it. No page is opened then (ATK-227).
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
            // A new login asks for the scopes of the old one again, not for fewer.
            asked = kept.asked;
        }
        self.nobody_is_asked(asks)?;
        self.obtain(resource, challenge, asked.as_ref(), &turn).await
    }

    /// Returns an error if a person would have to be asked, but must not be. The stored tokens stay, and the next call
    /// asks.
    fn nobody_is_asked(&self, asks: Asks) -> Result<(), LoginError> {
        match (asks, &self.parts.grant) {
            (Asks::Nobody, Grant::Code) => Err(VisitError::Nobody("the next call asks".to_owned()).into()),
            _ => Ok(()),
        }
    }

    /// Returns a token with more scopes than `held`: those that were asked for before, and those that are needed now
    /// (CL-25). A refresh never adds scopes, so this is a new login (CL-24).
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
        // Another program may have asked for the same scopes meanwhile.
        if let (Some(kept), Some(needed)) = (&kept, needed)
            && kept.scopes.as_ref().or(kept.asked.as_ref()).is_some_and(|scopes| scopes.satisfies_all(needed))
            && !self.is_due(kept)
        {
            return Ok(kept.clone());
        }
        self.obtain(resource, challenge, before.as_ref(), &turn).await
    }

    /// Refreshes tokens and stores the new ones. `None`: there is no refresh token, or the issuer refuses it.
    async fn refresh(
        &self,
        resource: &ResourceId,
        kept: &Tokens,
        described: Result<&ProtectedResource, &ResourceError>,
        turn: &Arc<Turn>,
    ) -> Result<Option<Tokens>, LoginError> {
        // The resource may have moved to another issuer: a refresh token of the old one cannot be used there (CL-18).
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
            // No other program may use the same refresh token before the new one is stored.
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
        // CL-21: the identifier as the document spells it. The document was checked before.
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
            // These tokens belong to another client. They are replaced now, and could not be given back later.
            self.give_back(&replaced).await.ok();
        }
        Ok(tokens)
    }

    fn keep(&self, resource: &ResourceId, granted: Tokens) -> Result<Tokens, LoginError> {
        let tokens = Tokens { client: self.without_what_was_given(&granted.client), ..granted };
        self.parts.store.keep_tokens(resource, &tokens)?;
        Ok(tokens)
    }

    /// Returns the issuer that grants access: the one that gave us an identifier, if the resource names it; otherwise
    /// the first with usable metadata (CL-05).
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
        // An issuer that has sent `iss` once has to send it from then on, even if its metadata no longer announce it.
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
                // The code is used up, so this login fails. The next attempt registers a new client.
                store.forget_registration(&server.issuer)?;
            }
            let tokens = Tokens { client, ..granted? };
            store.keep_tokens(&resource, &tokens)?;
            Ok(tokens)
        };
        self.exchange(exchange).await
    }
}

/// Whether a person may be asked, by opening a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Nobody,
    Somebody,
}

/// The parameters of one login.
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
    fn asked(self) -> TokenParameters<'a> {
        TokenParameters { resource: self.resource, scopes: self.scopes }
    }
}

#[cfg(test)]
pub(crate) mod tests;
