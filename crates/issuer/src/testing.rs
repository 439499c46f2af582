//! An issuer in a temporary folder, for the tests beside the code.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sekisho_client::http::{HttpClient, HttpError, Request, Response};
use sekisho_policy::rights::{Rights, RightsParts, RightsServer, RightsUser};
use sekisho_protocol::audit::{Act, ActKind, Event};
use sekisho_protocol::caller::{ActorPath, Recognition, Subject};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy, after};
use sekisho_protocol::ids::{ClientId, GrantId, KeyId, NodeId, RequestId, UserId};
use sekisho_protocol::pkce::{CodeChallenge, generate_verifier};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::{Client, ClientAuthentication, ClientOrigin};
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::role::Role;
use sekisho_protocol::secret::{AuthorizationCode, CodeVerifier, CsrfToken};
use sekisho_protocol::server::{ServerCard, ServerDirectory};
use sekisho_store::{Code, Conditions, NewClient, SealKey, Store, StoreSettings, StoreUrl, User};
use sekisho_token::{KeyDuty, KeyEntry, Keys, SigningKey};
use sekisho_web::language::Language;
use sekisho_web::visit::{Browser, Source, Visit};
use sekisho_web::{Site, SiteParts, SiteSettings};
use tokio::sync::watch;

use crate::clients::authenticate::AuthenticatedClient;
use crate::token::authorization_code::CodeRequest;
use crate::token::refresh::RefreshRequest;
use crate::token::{GrantRequest, Issued, TokenError, perform};
use crate::{Issuer, IssuerParts, IssuerSettings};

pub(crate) const BASE: &str = "https://sekisho.example";
pub(crate) const NOTES: &str = "https://sekisho.example/mcp/notes";
pub(crate) const FILES: &str = "https://sekisho.example/mcp/files";
pub(crate) const REDIRECT: &str = "https://client.example/callback";

/// Answers that are given in order, and the requests that asked for them.
#[derive(Debug, Default)]
pub(crate) struct ScriptedHttp {
    pub(crate) answers: Mutex<VecDeque<Result<Response, HttpError>>>,
    pub(crate) asked: Mutex<Vec<String>>,
    /// When there is a gate, each answer waits until it is let through.
    pub(crate) gate: Option<tokio::sync::Semaphore>,
}

impl ScriptedHttp {
    pub(crate) fn answer(&self, status: u16, media: &str, body: impl Into<String>) {
        self.answer_with(status, &[("content-type", media)], body);
    }

    pub(crate) fn answer_with(&self, status: u16, headers: &[(&str, &str)], body: impl Into<String>) {
        let mut map = http::HeaderMap::new();
        for (name, value) in headers {
            map.insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let body = body.into().into_bytes().into();
        let response = Response { status: http::StatusCode::from_u16(status).unwrap(), headers: map, body };
        self.answers.lock().unwrap().push_back(Ok(response));
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl HttpClient for ScriptedHttp {
    fn send(
        &self,
        request: Request,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Response, HttpError>> + Send + '_>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(request.url().to_owned());
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            let answer = self.answers.lock().unwrap().pop_front();
            let answer = answer.unwrap_or_else(|| Err(HttpError::Resolve { host: "unscripted".to_owned() }))?;
            if answer.body.len() > request.body_bytes_max {
                return Err(HttpError::BodyTooLarge { max: request.body_bytes_max });
            }
            Ok(answer)
        })
    }
}

/// An issuer with two servers, an owner and a user who may only read notes.
pub(crate) struct World {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) http: Arc<ScriptedHttp>,
    pub(crate) owner: UserId,
    pub(crate) reader: UserId,
    pub(crate) servers: watch::Sender<Arc<ServerDirectory>>,
    _keys: watch::Sender<Keys>,
    _rights: watch::Sender<Arc<Rights>>,
    _folder: tempfile::TempDir,
}

pub(crate) fn card(name: &str, resource: &str) -> ServerCard {
    ServerCard {
        name: name.parse().unwrap(),
        title: format!("The {name}"),
        resource: ResourceId::parse(resource).unwrap(),
        scopes_default: "mcp:read mcp:write".parse().unwrap(),
        public: false,
        classes: BTreeMap::new(),
        templates: Vec::new(),
        classify_at_consent: false,
        account: None,
        external: None,
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(IssuerSettings::default(), ScriptedHttp::default()).await
    }

    pub(crate) async fn with(settings: IssuerSettings, http: ScriptedHttp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let entropy = Arc::new(SeededEntropy::default());
        let clock = Arc::new(ManualClock::default());
        let now = clock.now();
        let url = StoreUrl::Sqlite(folder.path().join("store.db"));
        let mut store_settings = StoreSettings::new(url, SealKey::generate(&*entropy));
        // The races of these tests queue for longer than a real request may.
        store_settings.acquire_timeout = Duration::from_secs(30);
        let store = Store::open(store_settings).await.unwrap();
        let [owner, reader] = [UserId::generate(now, &*entropy), UserId::generate(now, &*entropy)];
        let mut tx = store.begin().await.unwrap();
        for (id, name) in [(owner, "owner"), (reader, "reader")] {
            let role = if name == "owner" { Role::Owner } else { Role::User };
            let user =
                User { id, name: name.to_owned(), password: None, role, disabled: false, created_at: now, epoch: 0 };
            tx.users().insert(&user).await.unwrap();
        }
        tx.commit().await.unwrap();
        let notes = RightsServer { users: BTreeMap::from([(reader, ToolClass::Read)]), ..RightsServer::default() };
        let files = RightsServer::default();
        let rights = BTreeMap::from([("notes".parse().unwrap(), notes), ("files".parse().unwrap(), files)]);
        let person = |id, owner| (id, RightsUser { owner, ..RightsUser::default() });
        let users = BTreeMap::from([person(owner, true), person(reader, false)]);
        let rights = Rights::new(RightsParts { users, servers: rights, ..RightsParts::default() }).unwrap();
        let (rights, rights_seen) = watch::channel(Arc::new(rights));
        let cards = [card("notes", NOTES), card("files", FILES)];
        let (servers, servers_seen) = watch::channel(Arc::new(ServerDirectory::new(cards)));
        let key = SigningKey::generate(KeyId::generate(now, &*entropy)).unwrap();
        let (keys, keys_seen) = watch::channel(Keys::new(vec![KeyEntry { key, duty: KeyDuty::Sign }]).unwrap());
        let http = Arc::new(http);
        let site = Site::new(SiteParts {
            store,
            clock: clock.clone(),
            node: NodeId::generate(now, &*entropy),
            entropy,
            servers: servers_seen,
            settings: SiteSettings { base_url: BASE.to_owned(), ..SiteSettings::default() },
        });
        let issuer = Issuer::new(IssuerParts {
            site,
            keys: keys_seen,
            http: http.clone(),
            rights: rights_seen,
            refusals: Arc::default(),
            // Nobody asks servers for their tools here.
            listings: tokio::sync::mpsc::channel(1).0,
            settings,
            login: crate::login::upstream::LoginParts::default(),
        });
        Self { issuer, clock, http, owner, reader, servers, _keys: keys, _rights: rights, _folder: folder }
    }

    pub(crate) fn visit(&self) -> Visit {
        Visit {
            now: self.clock.now(),
            request: RequestId::generate(self.clock.now(), &*self.issuer.site.entropy),
            peer: None,
            language: Language::English,
            session: None,
            target: "/".to_owned(),
            door: None,
            browser: Browser::New(CsrfToken::generate(&*self.issuer.site.entropy)),
            known: None,
            source: Source::Ours,
            recognition: Recognition::default(),
            browser_name: String::new(),
            seen: sekisho_web::Seen::default(),
        }
    }

    /// A client in the store.
    pub(crate) async fn client(&self, id: &str, change: impl FnOnce(&mut Client)) -> Client {
        let mut client = client(id);
        change(&mut client);
        self.keep(&client, None).await;
        client
    }

    pub(crate) async fn keep(&self, client: &Client, secret: Option<sekisho_protocol::digest::Digest>) {
        let new = NewClient { client: client.clone(), secret, created_at: self.clock.now(), expires_at: None };
        let mut tx = self.issuer.site.store.begin().await.unwrap();
        tx.clients().insert(&new).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A code for the owner's notes, as consent would have made it.
    pub(crate) async fn code(&self, client: &Client) -> (AuthorizationCode, CodeVerifier) {
        self.code_with(client, Conditions::default()).await
    }

    /// The same with what a person set beside the scopes.
    pub(crate) async fn code_with(&self, client: &Client, conditions: Conditions) -> (AuthorizationCode, CodeVerifier) {
        let code = AuthorizationCode::generate(&*self.issuer.site.entropy);
        let verifier = generate_verifier(&*self.issuer.site.entropy);
        let now = self.clock.now();
        let row = Code {
            digest: code.digest(),
            client: client.id.clone(),
            redirect_uri: REDIRECT.to_owned(),
            challenge: CodeChallenge::of(&verifier).as_str().to_owned(),
            subject: Subject::User(self.owner),
            server: "notes".parse().unwrap(),
            resource: NOTES.to_owned(),
            scopes: "mcp:read mcp:write".parse().unwrap(),
            path: ActorPath::direct(client.id.clone()),
            conditions,
            issued_at: now,
            expires_at: after(now, 60),
            used_at: None,
            grant: None,
            failures: 0,
        };
        let mut tx = self.issuer.site.store.begin().await.unwrap();
        tx.codes().insert(&row).await.unwrap();
        tx.commit().await.unwrap();
        (code, verifier)
    }

    pub(crate) async fn redeem(&self, client: &Client, request: CodeRequest) -> Result<Issued, TokenError> {
        let client = AuthenticatedClient::for_tests(client.clone());
        perform(&self.issuer, &self.visit(), &client, &GrantRequest::Code(request)).await
    }

    pub(crate) async fn refresh(&self, client: &Client, request: RefreshRequest) -> Result<Issued, TokenError> {
        let client = AuthenticatedClient::for_tests(client.clone());
        perform(&self.issuer, &self.visit(), &client, &GrantRequest::Refresh(request)).await
    }

    /// Whether the grant behind an access token lives.
    pub(crate) async fn is_alive(&self, issued: &Issued) -> bool {
        let (grant, epoch) = self.grant_of(issued);
        let mut tx = self.issuer.site.store.read().await.unwrap();
        tx.grants().alive(grant).await.unwrap().is_some_and(|state| state.honours(epoch, self.clock.now()))
    }

    pub(crate) fn grant_of(&self, issued: &Issued) -> (GrantId, i64) {
        let claims = self.claims(issued);
        (claims.grant, claims.epoch)
    }

    pub(crate) fn claims(&self, issued: &Issued) -> sekisho_token::AccessClaims {
        let audience = ResourceId::parse(NOTES).unwrap();
        let expect = sekisho_token::Expectation::new(BASE, &audience, self.clock.now());
        let keys = self.issuer.keys.borrow().clone();
        sekisho_token::verify(&keys, issued.access.expose(), &expect).unwrap()
    }

    /// How many entries of the records say that this happened.
    pub(crate) async fn recorded(&self, act: ActKind) -> usize {
        self.entries(act).await.len()
    }

    /// The entries of the records that say that this happened.
    pub(crate) async fn entries(&self, act: ActKind) -> Vec<Act> {
        let mut tx = self.issuer.site.store.read().await.unwrap();
        let mut records = tx.audit().list(&sekisho_store::AuditFilter::default()).await.unwrap();
        // In the order in which they were made; exchanges of one moment have none.
        records.sort_by_key(|stored| stored.seq);
        let entry = |event: Event| match event {
            Event::Act(what) if what.act == act => Some(what),
            _ => None,
        };
        records.into_iter().filter_map(|stored| entry(stored.record.event)).collect()
    }
}

/// A registered client with a redirect of its own.
pub(crate) fn client(id: &str) -> Client {
    Client {
        id: ClientId::parse(id).unwrap(),
        origin: ClientOrigin::Registered,
        name: "Client".to_owned(),
        redirect_uris: vec![RedirectUri::parse(REDIRECT).unwrap()],
        authentication: ClientAuthentication::None,
        refresh: true,
        jwks: None,
        jwks_uri: None,
        disabled: false,
    }
}

/// What an honest client sends for a code.
pub(crate) fn honest(code: &AuthorizationCode, verifier: &CodeVerifier) -> CodeRequest {
    CodeRequest {
        code: Some(code.clone()),
        redirect_uri: Some(REDIRECT.to_owned()),
        verifier: Some(verifier.clone()),
        verifier_shown: true,
        resources: vec![NOTES.to_owned()],
    }
}

/// What an honest client sends to refresh.
pub(crate) fn again(issued: &Issued) -> RefreshRequest {
    RefreshRequest { token: issued.refresh.clone(), scopes: None, resources: vec![NOTES.to_owned()] }
}
