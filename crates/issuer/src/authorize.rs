//! `GET /oauth/authorize` (RFC 6749 §4.1.1): a list of checks in an argued order that ends in a pending request.
//!
//! Until the redirect is proven a failure is a page, afterwards it is an answer to the client: two error types, so
//! that the compiler knows which. A request is a repeatable GET without cookies: each makes a pending request that
//! is bound to no browser until a person acts.

use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_policy::bounds::BoundsError;
use sekisho_policy::task::check_bounds;
use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::env::after;
use sekisho_protocol::ids::{ClientId, PendingId};
use sekisho_protocol::oauth_error::OauthErrorCode;
use sekisho_protocol::pkce::CodeChallenge;
use sekisho_protocol::registration::{Client, ClientOrigin};
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::server::{ServerCard, ServerDirectory};
use sekisho_protocol::task::{self, TaskDefinition, TaskError};
use sekisho_protocol::text::plain_text;
use sekisho_store::Pending;
use sekisho_web::Visit;
use sekisho_web::error::Fault;
use sekisho_web::parameters::{Parameters, ParametersError};

use crate::clients::{self, LookupError};
use crate::redirect::ProvenRedirect;
use crate::{Issuer, records};

/// The longest `state` that is given back, in bytes.
const STATE_BYTES_MAX: usize = 4096;

/// Why a request is refused before its redirect URI is proven. The person sees a page, and nothing is sent to the
/// client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnprovenError {
    #[error("too many authorization requests from this address")]
    Busy,
    #[error("`client_id` is missing or malformed")]
    ClientId,
    #[error(transparent)]
    Client(#[from] LookupError),
    #[error("the request cannot be read: {0}")]
    Malformed(#[from] ParametersError),
    #[error("`redirect_uri` is missing, or is not one that the client registered")]
    Redirect,
    #[error("`{0}` occurs more than once")]
    Repeated(String),
    #[error(transparent)]
    Internal(#[from] Fault),
}

/// Why a request is refused after its redirect URI is proven. The client is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProvenError {
    #[error("`authorization_details`: {0}")]
    Bounds(#[from] BoundsError),
    #[error("`code_challenge` must be 43 base64url characters, and `code_challenge_method` must be `S256`")]
    Challenge,
    #[error("`authorization_details`: {0}")]
    Details(#[from] TaskError),
    #[error("a page is needed, and `prompt=none` forbids it")]
    Interaction,
    #[error("`prompt` holds `none` and something else")]
    Prompt,
    #[error("request objects are not supported: send the parameters themselves")]
    RequestObject,
    #[error("`response_mode` must be `query`")]
    ResponseMode,
    #[error("`response_type` must be `code`")]
    ResponseType,
    #[error("`scope` is malformed, or holds nothing that exists here")]
    Scope,
    #[error("`state` is longer than {STATE_BYTES_MAX} bytes")]
    State,
    #[error("`resource` must name exactly one server to which this issuer grants access")]
    Target,
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl ProvenError {
    /// The code on the wire (RFC 6749 §4.1.2.1, RFC 8707 §2, OpenID Connect Core §3.1.2.6).
    pub(crate) fn code(&self) -> OauthErrorCode {
        match self {
            Self::Challenge | Self::Prompt | Self::RequestObject | Self::ResponseMode | Self::State => {
                OauthErrorCode::InvalidRequest
            }
            // RFC 9396 §5.
            Self::Bounds(_) | Self::Details(_) => OauthErrorCode::InvalidAuthorizationDetails,
            Self::Interaction => OauthErrorCode::InteractionRequired,
            Self::ResponseType => OauthErrorCode::UnsupportedResponseType,
            Self::Scope => OauthErrorCode::InvalidScope,
            Self::Target => OauthErrorCode::InvalidTarget,
            Self::Internal(_) => OauthErrorCode::ServerError,
        }
    }
}

/// A refusal that is an answer to a client.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) redirect: ProvenRedirect,
    pub(crate) state: Option<String>,
    /// Whether the client is one that an operator vouches for. To any other nobody is sent who has not seen a page
    /// of ours (ATK-04).
    pub(crate) vouched_for: bool,
    pub(crate) error: ProvenError,
}

/// Either kind of refusal.
#[derive(Debug)]
pub(crate) enum AuthorizeError {
    Proven(Box<Refusal>),
    Unproven(UnprovenError),
}

impl<E: Into<UnprovenError>> From<E> for AuthorizeError {
    fn from(error: E) -> Self {
        Self::Unproven(error.into())
    }
}

/// What the parameter `prompt` asks for (OpenID Connect Core §3.1.2.1). Unknown words are ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) consent: bool,
    pub(crate) login: bool,
    pub(crate) none: bool,
}

impl Prompt {
    fn words(text: &str) -> Self {
        let has = |word: &str| text.split(' ').any(|found| found == word);
        Self { consent: has("consent"), login: has("login") || has("select_account"), none: has("none") }
    }

    /// Reads the prompt back from the words that are stored with the request.
    pub(crate) fn kept(text: &str) -> Self {
        Self::words(text)
    }

    fn to_kept(self) -> String {
        let words = [(self.consent, "consent"), (self.login, "login"), (self.none, "none")];
        let words: Vec<&str> = words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
        words.join(" ")
    }
}

/// Judges a request and keeps it for a person's answer.
pub(crate) async fn begin(issuer: &Issuer, visit: &Visit, query: &str) -> Result<PendingId, AuthorizeError> {
    let mut client_id = None;
    match judge(issuer, visit, query, &mut client_id).await {
        Ok(pending) => {
            let mut tx = issuer.site.store.begin_for_stranger().await.map_err(Fault::from)?;
            tx.pendings().insert(&pending).await.map_err(Fault::from)?;
            tx.commit().await.map_err(Fault::from)?;
            Ok(pending.id)
        }
        Err(error) => {
            refused(issuer, visit, client_id, &error).await;
            Err(error)
        }
    }
}

/// Records a refusal. If too many come, it is counted instead.
async fn refused(issuer: &Issuer, visit: &Visit, client: Option<ClientId>, error: &AuthorizeError) {
    let detail = match error {
        AuthorizeError::Unproven(UnprovenError::Busy) => {
            let act = ActKind::AuthorizationRefused;
            return records::count(issuer, visit, act);
        }
        AuthorizeError::Proven(refusal) => refusal.error.to_string(),
        AuthorizeError::Unproven(error) => error.to_string(),
    };
    let entry = Act::new(Actor::Anonymous, ActKind::AuthorizationRefused);
    records::refused(issuer, visit, Act { client, detail, ..entry }).await;
}

async fn judge(
    issuer: &Issuer,
    visit: &Visit,
    query: &str,
    client_id: &mut Option<ClientId>,
) -> Result<Pending, AuthorizeError> {
    // First what costs nothing, and what makes every later reading ambiguous.
    if !issuer.limits.may_authorize(visit.peer) {
        return Err(UnprovenError::Busy.into());
    }
    let parameters = Parameters::read(query).map_err(UnprovenError::from)?;
    no_parameter_twice(&parameters)?;
    // Then which client asks and where the answer goes: there is no redirect before that is proven (ATK-01).
    let id = named_client(&parameters)?;
    *client_id = Some(id.clone());
    let client = clients::find(issuer, visit, &id).await.map_err(UnprovenError::from)?.client;
    let redirect = ProvenRedirect::prove(&client, parameters.one("redirect_uri")).ok_or(UnprovenError::Redirect)?;
    // From here on the client can be told.
    let state = parameters.one("state").map(str::to_owned);
    let servers = Arc::clone(&issuer.site.servers.borrow());
    let asked = read_request(&parameters, &client, &servers);
    asked.map(|asked| pending(issuer, visit, &client, &redirect, asked)).map_err(|error| {
        let state = state.filter(|state| state.len() <= STATE_BYTES_MAX);
        let vouched_for = client.origin == ClientOrigin::Registered;
        AuthorizeError::Proven(Box::new(Refusal { redirect, state, vouched_for, error }))
    })
}

/// A request whose parameters were checked.
struct AuthorizationParameters {
    state: Option<String>,
    challenge: CodeChallenge,
    server: ServerCard,
    scopes: ScopeSet,
    task: Option<TaskDefinition>,
    prompt: Prompt,
}

fn read_request(
    parameters: &Parameters,
    client: &Client,
    servers: &ServerDirectory,
) -> Result<AuthorizationParameters, ProvenError> {
    let state = bounded_state(parameters)?;
    no_request_object(parameters)?;
    // The client has to want a code, and in the query (ATK-06).
    response_type_is_code(parameters)?;
    response_mode_is_query(parameters)?;
    // How the code is bound to the client, for which server, with which scopes.
    let challenge = challenge_is_s256(parameters)?;
    let server = one_known_server(parameters, servers)?;
    let scopes = known_scopes(parameters, server, client)?;
    let task = declared_task(parameters, server)?;
    // Last, how the person may be asked.
    let prompt = possible_prompt(parameters, client)?;
    Ok(AuthorizationParameters { state, challenge, server: server.clone(), scopes, task, prompt })
}

/// ATK-05. `resource` may be repeated (RFC 8707 §2) and is judged later.
fn no_parameter_twice(parameters: &Parameters) -> Result<(), UnprovenError> {
    match parameters.repeated(&["resource"]) {
        Some(name) => Err(UnprovenError::Repeated(plain_text(name, 40))),
        None => Ok(()),
    }
}

fn named_client(parameters: &Parameters) -> Result<ClientId, UnprovenError> {
    let text = parameters.one("client_id").ok_or(UnprovenError::ClientId)?;
    ClientId::parse(text).map_err(|_| UnprovenError::ClientId)
}

fn bounded_state(parameters: &Parameters) -> Result<Option<String>, ProvenError> {
    match parameters.one("state") {
        Some(state) if state.len() > STATE_BYTES_MAX => Err(ProvenError::State),
        state => Ok(state.map(str::to_owned)),
    }
}

/// What a request object says would count more than what was checked here (RFC 9101 §6.3).
fn no_request_object(parameters: &Parameters) -> Result<(), ProvenError> {
    let objects = ["request", "request_uri"];
    if objects.iter().any(|name| parameters.one(name).is_some()) { Err(ProvenError::RequestObject) } else { Ok(()) }
}

fn response_type_is_code(parameters: &Parameters) -> Result<(), ProvenError> {
    if parameters.one("response_type") == Some("code") { Ok(()) } else { Err(ProvenError::ResponseType) }
}

fn response_mode_is_query(parameters: &Parameters) -> Result<(), ProvenError> {
    match parameters.one("response_mode") {
        None | Some("query") => Ok(()),
        Some(_) => Err(ProvenError::ResponseMode),
    }
}

/// ATK-15, ATK-16: for every client, `S256` and nothing else, said and not guessed.
fn challenge_is_s256(parameters: &Parameters) -> Result<CodeChallenge, ProvenError> {
    if parameters.one("code_challenge_method") != Some(CodeChallenge::METHOD) {
        return Err(ProvenError::Challenge);
    }
    let text = parameters.one("code_challenge").ok_or(ProvenError::Challenge)?;
    CodeChallenge::parse(text).map_err(|_| ProvenError::Challenge)
}

/// AS-15, ATK-40: one token, one audience. Left out, it is clear only where there is one server.
fn one_known_server<'s>(parameters: &Parameters, servers: &'s ServerDirectory) -> Result<&'s ServerCard, ProvenError> {
    let mut asked = parameters.all("resource");
    let server = match (asked.next(), asked.next()) {
        (None, _) => servers.single(),
        (Some(one), None) => ResourceId::parse(one).ok().and_then(|resource| servers.of_resource(&resource)),
        (Some(_), Some(_)) => None,
    };
    server.ok_or(ProvenError::Target)
}

/// Words of OpenID Connect (Core §5.4, §11). They say what a client wants to know of the person, which is nothing that is
/// granted here, and clients that were made for OpenID providers send them to everybody.
const OPENID_WORDS: [&str; 6] = ["address", "email", "offline_access", "openid", "phone", "profile"];

/// AS-16, AS-17: what is not known here falls away; what is known may be asked for whatever was said at
/// registration. Asking for nothing, or for words of OpenID only, is asking for what ordinary use needs.
fn known_scopes(parameters: &Parameters, server: &ServerCard, client: &Client) -> Result<ScopeSet, ProvenError> {
    let asked: ScopeSet = parameters.one("scope").unwrap_or_default().parse().map_err(|_| ProvenError::Scope)?;
    let offline = Scope::offline_access();
    let wish: ScopeSet = asked.iter().filter(|scope| !OPENID_WORDS.contains(&scope.as_str())).cloned().collect();
    // The use of linked accounts can be granted only at a server that is shown them.
    let is_known = |scope: &Scope| match *scope == Scope::account() {
        true => server.account.is_some(),
        false => is_known(scope),
    };
    let known: ScopeSet = wish.iter().filter(|scope| is_known(scope)).cloned().collect();
    let known = match (wish.is_empty(), known.is_empty()) {
        (true, _) => server.scopes_default.clone(),
        (false, true) => return Err(ProvenError::Scope),
        (false, false) => known,
    };
    let stays = asked.contains(&offline) && client.refresh;
    Ok(if stays { known.union(&std::iter::once(offline).collect()) } else { known })
}

/// RFC 9396 §2, §5: a task of this server, of a type that is known, with bounds that bind; or none.
fn declared_task(parameters: &Parameters, server: &ServerCard) -> Result<Option<TaskDefinition>, ProvenError> {
    let Some(text) = parameters.one(task::DETAILS) else { return Ok(None) };
    let declared = TaskDefinition::read_details(text, &server.resource)?;
    // They are not checked against the schemas of the tools here, because no user who may know those is signed in yet.
    declared.iter().try_for_each(|task| check_bounds(task, &BTreeMap::new()))?;
    Ok(declared)
}

fn is_known(scope: &Scope) -> bool {
    matches!(scope.as_str(), "mcp:read" | "mcp:write" | "mcp:destructive") || scope.as_str().starts_with("tool:")
}

/// `prompt=none` can only ever succeed for a client whose consent may be remembered.
fn possible_prompt(parameters: &Parameters, client: &Client) -> Result<Prompt, ProvenError> {
    let prompt = Prompt::words(parameters.one("prompt").unwrap_or_default());
    if prompt.none && (prompt.consent || prompt.login) {
        return Err(ProvenError::Prompt);
    }
    if prompt.none && !may_skip_consent(client) { Err(ProvenError::Interaction) } else { Ok(prompt) }
}

/// ATK-07, ATK-14, ATK-80: consent is remembered only for clients that an operator registered, that prove who they
/// are, and whose answers go to a host of their own.
pub(crate) fn may_skip_consent(client: &Client) -> bool {
    client.origin == ClientOrigin::Registered && !client.can_be_impersonated()
}

fn pending(
    issuer: &Issuer,
    visit: &Visit,
    client: &Client,
    redirect: &ProvenRedirect,
    asked: AuthorizationParameters,
) -> Pending {
    Pending {
        id: PendingId::generate(visit.now, &*issuer.site.entropy),
        client: client.id.clone(),
        redirect_uri: redirect.as_str().to_owned(),
        state: asked.state,
        challenge: asked.challenge.as_str().to_owned(),
        resource: asked.server.resource.as_str().to_owned(),
        server: asked.server.name,
        scopes: asked.scopes,
        task: asked.task,
        prompt_flags: asked.prompt.to_kept(),
        browser: None,
        user: None,
        created_at: visit.now,
        expires_at: after(visit.now, issuer.settings.pending_ttl_seconds),
        answered_at: None,
    }
}

#[cfg(test)]
mod tests;
