//! From "no token" to a token, whichever way leads there: the whole sequence of the specification, in one place.
//!
//! Nothing here is remembered between two calls but what the [`TokenStore`] keeps.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sekisho_protocol::env::{Clock, Entropy, after};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::metadata::{AuthorizationServer, ProtectedResource};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::{AccessToken, AuthorizationCode, ClientSecret, SubjectToken};

use crate::authorization::{AuthorizationRequest, BeginError, Wish, begin};
use crate::callback::CallbackError;
use crate::challenge::BearerChallenge;
use crate::discovery::{
    IssuerError, ResourceError, discover_any_issuer, discover_issuer_of, discover_resource, select_scopes,
};
use crate::exchange::{ExchangeError, IdentityProvider, id_jag};
use crate::http::{HttpClient, Request};
use crate::registration::{ApplicationType, Registration, RegistrationError, RegistrationRequest, register};
use crate::signing::{ClientKey, DpopKey, KeyError};
use crate::token::{Asked, TokenEndpoint, TokenError, Tokens};
use crate::token_store::{StoreError, TokenStore};

/// How a person is sent to an authorization server: a browser, a line on a terminal.
pub trait Browser: Send + Sync + Debug {
    /// Gets ready to receive an answer. `before`: where one was awaited another time.
    fn ready<'a>(&'a self, before: Option<&'a RedirectUri>) -> BoxFuture<'a, Result<Box<dyn Visit>, VisitError>>;

    /// Shows a page from which no answer comes back.
    fn show(&self, url: &str);
}

/// One visit to an authorization server.
pub trait Visit: Send {
    /// Where the answer will arrive.
    fn redirect_uri(&self) -> &RedirectUri;

    /// Sends the person, and waits for the answer.
    fn go<'a>(
        self: Box<Self>,
        request: &'a AuthorizationRequest,
    ) -> BoxFuture<'a, Result<AuthorizationCode, VisitError>>;
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
    /// The URL of our metadata document, if there is one (CL-12).
    pub metadata_document: Option<ClientId>,
    /// What is asked for in place of what the server names.
    pub scopes: Option<ScopeSet>,
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
    /// The identifier was given by another issuer than the one that grants access now (CL-19).
    #[error(
        "the client identifier was given by `{registered}`, but `{issuer}` grants access now: if that is right, ask its operator for an identifier there"
    )]
    Moved {
        /// The issuer that grants access now.
        issuer: String,
        /// The one that knows the identifier.
        registered: String,
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
    /// Nobody answered.
    #[error(transparent)]
    Visit(#[from] VisitError),
}

/// A token that ends sooner than this is renewed before it is used.
const RENEW_BEFORE_SECONDS: u32 = 30;

impl Login {
    /// A way in that was not tried yet.
    pub fn new(parts: LoginParts) -> Self {
        Self { parts, seen: Mutex::default() }
    }

    /// What it is made of.
    pub fn parts(&self) -> &LoginParts {
        &self.parts
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Whether this token has ended, or is about to.
    pub fn is_due(&self, tokens: &Tokens) -> bool {
        let soon = after(self.now(), RENEW_BEFORE_SECONDS);
        tokens.expires.is_some_and(|expires| expires <= soon)
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
        let _turn = self.parts.store.turn(resource).await?;
        let kept = self.parts.store.tokens(resource)?;
        let mut asked = None;
        if let Some(kept) = kept {
            if Some(&kept.access) != rejected && !self.is_due(&kept) {
                return Ok(kept);
            }
            let described = discover_resource(&*self.parts.http, resource, challenge).await;
            if let Some(fresh) = self.refresh(&kept, described.as_ref().ok()).await? {
                self.parts.store.keep_tokens(resource, &fresh)?;
                return Ok(fresh);
            }
            self.nobody_is_asked(asks)?;
            self.parts.store.forget_tokens(resource)?;
            // What the person had agreed to before is asked for again, not less.
            asked = kept.asked;
        }
        self.nobody_is_asked(asks)?;
        self.obtain(resource, challenge, asked.as_ref()).await
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
        let _turn = self.parts.store.turn(resource).await?;
        let before = held.asked.clone().or_else(|| held.scopes.clone());
        let kept = self.parts.store.tokens(resource)?.filter(|kept| kept.access != held.access);
        let needed = challenge.and_then(|challenge| challenge.scope.as_ref());
        // Another program may have asked for the same meanwhile.
        if let (Some(kept), Some(needed)) = (&kept, needed)
            && kept.scopes.as_ref().or(kept.asked.as_ref()).is_some_and(|scopes| scopes.satisfies_all(needed))
            && !self.is_due(kept)
        {
            return Ok(kept.clone());
        }
        self.obtain(resource, challenge, before.as_ref()).await
    }

    /// Gives the grant back and forgets it. Whether the issuer took it back; it is forgotten in any case.
    pub async fn logout(&self, resource: &ResourceId) -> Result<Option<Result<(), LoginError>>, LoginError> {
        let _turn = self.parts.store.turn(resource).await?;
        let Some(tokens) = self.parts.store.tokens(resource)? else { return Ok(None) };
        self.parts.store.forget_tokens(resource)?;
        Ok(Some(self.give_back(&tokens).await))
    }

    async fn give_back(&self, tokens: &Tokens) -> Result<(), LoginError> {
        let server = discover_issuer_of(&*self.parts.http, tokens.resource.as_str(), &tokens.issuer).await?;
        let registration =
            self.already_known(&server)?.ok_or_else(|| LoginError::Unknown { issuer: server.issuer.clone() })?;
        let endpoint =
            TokenEndpoint::new(&*self.parts.http, &server, &registration)?.proving(&*self.parts.entropy, None);
        Ok(endpoint.revoke(tokens, self.now()).await?)
    }

    /// A refreshed token. `None`: there is nothing to refresh, or it is not taken any more.
    async fn refresh(
        &self,
        kept: &Tokens,
        described: Option<&ProtectedResource>,
    ) -> Result<Option<Tokens>, LoginError> {
        // The resource may have moved to another issuer: what the old one gave is of no use there (CL-18).
        let moved = described.is_some_and(|described| !described.authorization_servers.contains(&kept.issuer));
        if kept.refresh.is_none() || moved {
            return Ok(None);
        }
        let server = discover_issuer_of(&*self.parts.http, kept.resource.as_str(), &kept.issuer).await?;
        let Some(registration) = self.already_known(&server)? else { return Ok(None) };
        let endpoint = TokenEndpoint::new(&*self.parts.http, &server, &registration)?
            .proving(&*self.parts.entropy, kept.dpop.as_ref());
        match endpoint.refresh(kept, self.now()).await {
            Ok(fresh) => Ok(Some(fresh)),
            Err(TokenError::Refused { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn obtain(
        &self,
        resource: &ResourceId,
        challenge: Option<&BearerChallenge>,
        before: Option<&ScopeSet>,
    ) -> Result<Tokens, LoginError> {
        let described = discover_resource(&*self.parts.http, resource, challenge).await?;
        let server = self.issuer(&described).await?;
        let named = self.parts.identity.scopes.clone().or_else(|| select_scopes(challenge, &described, &server));
        let scopes = match (named, before) {
            (Some(named), Some(before)) => Some(named.union(before)),
            (named, before) => named.or_else(|| before.cloned()),
        };
        let dpop = takes_proofs(&described, &server, challenge).then(DpopKey::generate).transpose()?.map(Arc::new);
        // CL-21: as the document spells it. It was checked there.
        let named = ResourceId::parse(&described.resource).unwrap_or_else(|_| resource.clone());
        let way = Way { resource: &named, server: &server, scopes: scopes.as_ref(), dpop: dpop.as_ref() };
        let tokens = match &self.parts.grant {
            Grant::Code => self.by_code(way).await?,
            Grant::ClientCredentials => {
                let registration = self.own(&server).await?;
                self.endpoint(way, &registration)?.client_credentials(way.asked(), self.now()).await?
            }
            Grant::Workload(statement) => {
                let registration = self.own(&server).await?;
                self.endpoint(way, &registration)?.redeem(statement, way.asked(), self.now()).await?
            }
            Grant::Enterprise(provider) => {
                let registration = self.own(&server).await?;
                let grant = id_jag(&*self.parts.http, provider, &server.issuer, way.resource, way.scopes).await?;
                self.endpoint(way, &registration)?.redeem(&grant, way.asked(), self.now()).await?
            }
        };
        self.parts.store.keep_tokens(resource, &tokens)?;
        Ok(tokens)
    }

    /// Who grants access: the issuer that gave us an identifier, if the resource names it; otherwise the first that
    /// describes itself (CL-05).
    async fn issuer(&self, described: &ProtectedResource) -> Result<AuthorizationServer, LoginError> {
        let ours = |issuer: &&String| {
            self.parts.identity.known.iter().any(|known| known.issuer.as_ref().is_some_and(|known| known == *issuer))
        };
        if described.authorization_servers.len() > 1
            && let Some(issuer) = described.authorization_servers.iter().find(ours)
        {
            let only = ProtectedResource { authorization_servers: vec![issuer.clone()], ..described.clone() };
            return Ok(discover_any_issuer(&*self.parts.http, &only).await?);
        }
        Ok(discover_any_issuer(&*self.parts.http, described).await?)
    }

    fn endpoint<'a>(&'a self, way: Way<'a>, registration: &'a Registration) -> Result<TokenEndpoint<'a>, LoginError> {
        Ok(TokenEndpoint::new(&*self.parts.http, way.server, registration)?.proving(&*self.parts.entropy, way.dpop))
    }

    /// The registration of a client that nobody sends anywhere: it has to have been given.
    async fn own(&self, server: &AuthorizationServer) -> Result<Registration, LoginError> {
        self.already_known(server)?.ok_or_else(|| LoginError::Unknown { issuer: server.issuer.clone() })
    }

    /// How the issuer knows us already: by an identifier that was given, by our document, or from another time.
    fn already_known(&self, server: &AuthorizationServer) -> Result<Option<Registration>, LoginError> {
        if let Some(given) = self.given(server)? {
            return Ok(Some(given));
        }
        if let Some(document) = self.by_document(server) {
            return Ok(Some(document));
        }
        Ok(self.parts.store.registration(&server.issuer)?)
    }

    fn by_document(&self, server: &AuthorizationServer) -> Option<Registration> {
        let client =
            self.parts.identity.metadata_document.clone().filter(|_| server.client_id_metadata_document_supported)?;
        Some(Registration {
            issuer: server.issuer.clone(),
            client,
            authentication: ClientAuthentication::None,
            secret: None,
            key: None,
            redirect_uris: Vec::new(),
        })
    }

    fn given(&self, server: &AuthorizationServer) -> Result<Option<Registration>, LoginError> {
        let issuer = &server.issuer;
        let of_this = self.parts.identity.known.iter().find(|known| known.issuer.as_ref() == Some(issuer));
        let of_any = || self.parts.identity.known.iter().find(|known| known.issuer.is_none());
        let Some(known) = of_this.or_else(of_any) else {
            // All that was given was given by others (CL-19).
            let other = self.parts.identity.known.iter().find_map(|known| known.issuer.clone());
            return match other {
                Some(registered) => Err(LoginError::Moved { issuer: issuer.clone(), registered }),
                None => Ok(None),
            };
        };
        let registration = Registration {
            issuer: issuer.clone(),
            client: known.client.clone(),
            authentication: known.authentication.unwrap_or_else(|| fitting(known, server)),
            secret: known.secret.clone(),
            key: known.key.clone(),
            redirect_uris: Vec::new(),
        };
        if known.issuer.is_none() {
            let elsewhere = self.parts.store.registrations()?;
            let elsewhere = elsewhere.into_iter().find(|kept| kept.client == known.client && kept.issuer != *issuer);
            if let Some(kept) = elsewhere {
                return Err(LoginError::Moved { issuer: issuer.clone(), registered: kept.issuer });
            }
            // From now on it is this issuer's.
            let bare = Registration { secret: None, key: None, ..registration.clone() };
            self.parts.store.keep_registration(&bare)?;
        }
        Ok(Some(registration))
    }

    async fn by_code(&self, way: Way<'_>) -> Result<Tokens, LoginError> {
        let given = match self.given(way.server)? {
            Some(given) => Some(given),
            None => self.by_document(way.server),
        };
        let kept = self.parts.store.registration(&way.server.issuer)?;
        let before = kept.as_ref().and_then(|kept| kept.redirect_uris.first().cloned());
        let visit = self.parts.browser.ready(before.as_ref()).await?;
        let here = visit.redirect_uri().clone();
        let registration = match given {
            // Whoever gave it knows that we listen on loopback, on whichever port (RFC 8252 §7.3).
            Some(given) => Registration { redirect_uris: vec![here.clone()], ..given },
            None => match kept.filter(|kept| kept.redirect_uris.contains(&here)) {
                Some(kept) => self.still_there(way, kept).await?,
                None => self.register(way.server, &here).await?,
            },
        };
        let request = self.request(way, &registration, &here)?;
        let code = visit.go(&request).await?;
        let granted = self.endpoint(way, &registration)?.exchange_code(&request, &code, self.now()).await;
        if let Err(TokenError::Refused { code, .. }) = &granted
            && code == "invalid_client"
        {
            // The next attempt registers anew; this code is used up.
            self.parts.store.forget_registration(&way.server.issuer)?;
        }
        Ok(granted?)
    }

    fn request(
        &self,
        way: Way<'_>,
        registration: &Registration,
        here: &RedirectUri,
    ) -> Result<AuthorizationRequest, LoginError> {
        let wish = Wish { resource: way.resource, redirect_uri: here, scopes: way.scopes };
        Ok(begin(way.server, registration, wish, &*self.parts.entropy)?)
    }

    /// A registration of another time, if the issuer still knows it. An issuer that has forgotten a client shows its
    /// person an error and sends no answer, so it is asked before anybody is sent there; requests can be repeated.
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
            return Err(LoginError::Unknown { issuer: server.issuer.clone() });
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

/// Whether tokens are bound to a key: where the issuer binds them, and the resource takes such (RFC 9449 §5, RFC 9728
/// §2). A resource that knows nothing of it would refuse them.
fn takes_proofs(
    described: &ProtectedResource,
    server: &AuthorizationServer,
    challenge: Option<&BearerChallenge>,
) -> bool {
    let has = |algorithms: &[String]| algorithms.iter().any(|algorithm| algorithm == DpopKey::ALGORITHM);
    let taken = described.dpop_bound_access_tokens_required
        || has(&described.dpop_signing_alg_values_supported)
        || challenge.is_some_and(|challenge| challenge.dpop);
    has(&server.dpop_signing_alg_values_supported) && taken
}

/// How a client with these secrets authenticates, where nothing else was said.
fn fitting(known: &KnownClient, server: &AuthorizationServer) -> ClientAuthentication {
    if known.key.is_some() {
        return ClientAuthentication::PrivateKeyJwt;
    }
    if known.secret.is_none() {
        return ClientAuthentication::None;
    }
    let offered = &server.token_endpoint_auth_methods_supported;
    let is_offered = |method: ClientAuthentication| offered.iter().any(|word| word == method.as_str());
    // RFC 8414 §2: without a list it is Basic.
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
pub(crate) mod tests;
