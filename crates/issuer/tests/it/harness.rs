//! A site with an issuer and a console, and browsers and clients that talk to it. The tests of both surfaces use it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use sekisho_client::http::{HttpClient, HttpError, Request, Response};
use sekisho_console::Console;
use sekisho_issuer::login::upstream::LoginParts;
use sekisho_issuer::{Issuer, IssuerParts, IssuerSettings, ListingRequest};
use sekisho_policy::rights::{PolicyFile, Rights, RightsParts, RightsServer, RightsUser};
use sekisho_protocol::audit::{ActKind, Event};
use sekisho_protocol::catalogue::{ToolClass, ToolSeen};
use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy, Timestamp};
use sekisho_protocol::ids::{KeyId, NodeId, ServerName, UserId};
use sekisho_protocol::pkce::{CodeChallenge, generate_verifier};
use sekisho_protocol::registration::Client;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::role::Role;
use sekisho_protocol::secret::{CodeVerifier, Password};
use sekisho_protocol::server::{ServerCard, ServerDirectory};
use sekisho_store::{AuditFilter, NewClient, SealKey, Store, StoreSettings, StoreUrl, User};
use sekisho_token::{KeyDuty, KeyEntry, Keys, SigningKey};
use sekisho_web::{SiteParts, SiteSettings};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt as _;

pub(crate) const BASE: &str = "http://localhost:8420";
pub(crate) const NOTES: &str = "http://localhost:8420/mcp/notes";
pub(crate) const FILES: &str = "http://localhost:8420/mcp/files";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A user's hash of [`PASSWORD`], made once: hashing takes longer than most tests.
static HASH: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();

/// Status, media type and body.
type Scripted = (u16, &'static str, String);

/// Documents at URLs, and every URL that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Web {
    pub(crate) answers: Mutex<BTreeMap<String, VecDeque<Scripted>>>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Web {
    /// The next answer of a URL; the last one stays.
    pub(crate) fn put(&self, url: &str, status: u16, media: &'static str, body: &Value) {
        let body = body.to_string();
        self.answers.lock().unwrap().entry(url.to_owned()).or_default().push_back((status, media, body));
    }
}

impl HttpClient for Web {
    fn send(
        &self,
        request: Request,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Response, HttpError>> + Send + '_>> {
        self.asked.lock().unwrap().push(request.url().to_owned());
        let mut answers = self.answers.lock().unwrap();
        let queue = answers.get_mut(request.url());
        let found = queue.and_then(|queue| if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() });
        Box::pin(async move {
            let (status, media, body) = found.ok_or(HttpError::Resolve { host: "nowhere".to_owned() })?;
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, media.parse().unwrap());
            Ok(Response { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into_bytes().into() })
        })
    }
}

/// What a server shows when it is asked for its tools, and which servers were asked.
#[derive(Debug, Default)]
pub(crate) struct Shows {
    pub(crate) tools: Mutex<Vec<ToolSeen>>,
    pub(crate) asked: Mutex<Vec<ServerName>>,
}

/// Answers requests for the tools of a server with what it shows.
fn answered(store: &Store, clock: &Arc<ManualClock>, shows: &Arc<Shows>) -> mpsc::Sender<ListingRequest> {
    let (sender, mut requests) = mpsc::channel::<ListingRequest>(4);
    let (store, clock, shows) = (store.clone(), Arc::clone(clock), Arc::clone(shows));
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            shows.asked.lock().unwrap().push(request.server.clone());
            let tools = shows.tools.lock().unwrap().clone();
            if !tools.is_empty() {
                let mut tx = store.begin().await.unwrap();
                tx.catalogue().sync(&request.server, &tools, clock.now()).await.unwrap();
                tx.commit().await.unwrap();
            }
            let _ = request.done.send(());
        }
    });
    sender
}

/// A running issuer with two servers, an owner, and a user who may only read notes.
pub(crate) struct Site {
    pub(crate) router: Router,
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) entropy: Arc<SeededEntropy>,
    pub(crate) keys: Keys,
    pub(crate) web: Arc<Web>,
    pub(crate) owner: UserId,
    pub(crate) servers: watch::Sender<Arc<ServerDirectory>>,
    _keys: watch::Sender<Keys>,
    rights: watch::Sender<Arc<Rights>>,
    parts: RightsParts,
    pub(crate) shows: Arc<Shows>,
    folder: tempfile::TempDir,
}

pub(crate) fn card(name: &str) -> ServerCard {
    ServerCard {
        name: name.parse().unwrap(),
        title: format!("The {name} server"),
        resource: ResourceId::parse(&format!("{BASE}/mcp/{name}")).unwrap(),
        scopes_default: "mcp:read mcp:write".parse().unwrap(),
        public: false,
        classes: BTreeMap::new(),
        templates: Vec::new(),
        classify_at_consent: false,
        account: None,
        external: None,
    }
}

/// Stores an owner and a user with [`PASSWORD`].
async fn keep_users(store: &Store, owner: UserId, reader: UserId, now: Timestamp) {
    let hash = async || {
        let password = Password::from_outside(PASSWORD);
        sekisho_issuer::login::password::hash_password(password, &SeededEntropy::default()).await.unwrap()
    };
    let hash = HASH.get_or_init(hash).await;
    let mut tx = store.begin().await.unwrap();
    for (id, name, role) in [(owner, "owner", Role::Owner), (reader, "reader", Role::User)] {
        let user = User {
            id,
            name: name.to_owned(),
            password: Some(hash.clone()),
            role,
            disabled: false,
            created_at: now,
            epoch: 0,
        };
        tx.users().insert(&user).await.unwrap();
    }
    tx.commit().await.unwrap();
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::with(|settings| settings).await
    }

    pub(crate) async fn with(change: impl FnOnce(IssuerSettings) -> IssuerSettings) -> Self {
        Self::at(BASE, change).await
    }

    /// The same with another base URL.
    pub(crate) async fn at(base_url: &str, change: impl FnOnce(IssuerSettings) -> IssuerSettings) -> Self {
        Self::made(base_url, change, LoginParts::default()).await
    }

    /// The same with other ways to sign in.
    pub(crate) async fn with_login(login: LoginParts) -> Self {
        Self::made(BASE, |settings| settings, login).await
    }

    async fn made(base_url: &str, change: impl FnOnce(IssuerSettings) -> IssuerSettings, login: LoginParts) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let entropy = Arc::new(SeededEntropy::default());
        let clock = Arc::new(ManualClock::default());
        let now = clock.now();
        let url = StoreUrl::Sqlite(folder.path().join("store.db"));
        let mut store_settings = StoreSettings::new(url, SealKey::generate(&*entropy));
        store_settings.acquire_timeout = Duration::from_secs(30);
        let store = Store::open(store_settings).await.unwrap();
        let [owner, reader] = [UserId::generate(now, &*entropy), UserId::generate(now, &*entropy)];
        keep_users(&store, owner, reader, now).await;
        let notes = RightsServer { users: BTreeMap::from([(reader, ToolClass::Read)]), ..RightsServer::default() };
        let reach =
            BTreeMap::from([("notes".parse().unwrap(), notes), ("files".parse().unwrap(), RightsServer::default())]);
        let person = |id, owner| (id, RightsUser { owner, ..RightsUser::default() });
        let users = BTreeMap::from([person(owner, true), person(reader, false)]);
        let parts = RightsParts { users, servers: reach, ..RightsParts::default() };
        let rights = Rights::new(parts.clone()).unwrap();
        let (rights, rights_seen) = watch::channel(Arc::new(rights));
        let (servers, servers_seen) = watch::channel(Arc::new(ServerDirectory::new([card("notes"), card("files")])));
        let key = SigningKey::generate(KeyId::generate(now, &*entropy)).unwrap();
        let keys = Keys::new(vec![KeyEntry { key, duty: KeyDuty::Sign }]).unwrap();
        let (keys_sent, keys_seen) = watch::channel(keys.clone());
        let web = Arc::new(Web::default());
        let shows = Arc::<Shows>::default();
        let site = sekisho_web::Site::new(SiteParts {
            store: store.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            servers: servers_seen,
            node: NodeId::generate(now, &*entropy),
            settings: SiteSettings { base_url: base_url.to_owned(), ..SiteSettings::default() },
        });
        let console = Console::new(site.clone(), rights_seen.clone());
        let issuer = Issuer::new(IssuerParts {
            site: site.clone(),
            keys: keys_seen,
            http: web.clone(),
            rights: rights_seen,
            refusals: Arc::default(),
            listings: answered(&store, &clock, &shows),
            settings: change(IssuerSettings::default()),
            login,
        });
        let pages = issuer.clone().pages().merge(console.pages());
        let router = sekisho_web::serve(site, pages).merge(issuer.programs());
        Self {
            router,
            store,
            clock,
            entropy,
            keys,
            web,
            owner,
            servers,
            _keys: keys_sent,
            rights,
            parts,
            shows,
            folder,
        }
    }

    /// Puts a policy file in force.
    pub(crate) fn rules(&self, text: &str) {
        let files = vec![PolicyFile { name: "rules.cedar".to_owned(), text: text.to_owned() }];
        let rights = Rights::new(RightsParts { files, ..self.parts.clone() }).unwrap();
        self.rights.send_replace(Arc::new(rights));
    }

    /// Gives a user another part in running the checkpoint.
    pub(crate) async fn role(&self, name: &str, role: Role) {
        let mut tx = self.store.begin().await.unwrap();
        let user = tx.users().find_by_name(name).await.unwrap().unwrap();
        assert!(tx.users().set_role(user.id, role).await.unwrap());
        tx.commit().await.unwrap();
    }

    /// Where the store keeps its files.
    pub(crate) fn folder(&self) -> std::path::PathBuf {
        self.folder.path().to_owned()
    }

    /// A browser with an empty cookie jar.
    pub(crate) fn browser(&self) -> Browser {
        Browser { router: self.router.clone(), jar: BTreeMap::new(), door: None, headers: HeaderMap::new() }
    }

    /// A browser in which this user is signed in.
    pub(crate) async fn signed_in(&self, name: &str) -> Browser {
        let mut browser = self.browser();
        let page = browser.get("/login").await;
        let reply = browser.post("/login", &[("csrf", &page.csrf()), ("username", name), ("password", PASSWORD)]).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
        browser
    }

    /// Sends one request without cookies.
    pub(crate) async fn send(&self, request: http::Request<Body>) -> Reply {
        reply(self.router.clone().oneshot(request).await.unwrap()).await
    }

    pub(crate) async fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.send(form(path).body(encoded(fields)).unwrap()).await
    }

    pub(crate) async fn register(&self, metadata: &Value) -> Reply {
        let request = http::Request::post("/oauth/register").header(CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(metadata.to_string())).unwrap()).await
    }

    /// A dynamically registered client at this redirect; its identifier.
    pub(crate) async fn registered(&self, redirect: &str) -> String {
        let metadata = json!({
            "client_name": "Test Client", "redirect_uris": [redirect], "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        });
        let reply = self.register(&metadata).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
        reply.json()["client_id"].as_str().unwrap().to_owned()
    }

    /// A client that an operator registered.
    pub(crate) async fn keep(&self, client: &Client, secret: Option<sekisho_protocol::digest::Digest>) {
        let new = NewClient { client: client.clone(), secret, created_at: self.clock.now(), expires_at: None };
        let mut tx = self.store.begin().await.unwrap();
        tx.clients().insert(&new).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn acts(&self) -> Vec<ActKind> {
        let mut tx = self.store.read().await.unwrap();
        let mut stored = tx.audit().list(&AuditFilter::default()).await.unwrap();
        // In the order in which they were made; exchanges of one moment have none.
        stored.sort_by_key(|stored| stored.seq);
        let act = |event: &Event| match event {
            Event::Act(what) => Some(what.act),
            _ => None,
        };
        stored.iter().filter_map(|stored| act(&stored.record.event)).collect()
    }
}

/// An authorization request under construction.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) verifier: CodeVerifier,
}

impl Ask {
    pub(crate) fn new(site: &Site, client: &str, redirect: &str) -> Self {
        let verifier = generate_verifier(&*site.entropy);
        let fields = vec![
            ("response_type", "code".to_owned()),
            ("client_id", client.to_owned()),
            ("redirect_uri", redirect.to_owned()),
            ("code_challenge", CodeChallenge::of(&verifier).as_str().to_owned()),
            ("code_challenge_method", "S256".to_owned()),
            ("resource", NOTES.to_owned()),
            ("scope", "mcp:read mcp:write".to_owned()),
            ("state", "the state".to_owned()),
        ];
        Self { fields, verifier }
    }

    /// The same with another value; an empty one leaves the parameter out.
    pub(crate) fn set(mut self, name: &'static str, value: &str) -> Self {
        self.fields.retain(|(found, _)| *found != name);
        if !value.is_empty() {
            self.fields.push((name, value.to_owned()));
        }
        self
    }

    pub(crate) fn url(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.fields);
        format!("/oauth/authorize?{}", query.finish())
    }
}

fn form(path: &str) -> http::request::Builder {
    http::Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded")
}

fn encoded(fields: &[(&str, &str)]) -> Body {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(fields);
    Body::from(text.finish())
}

/// A browser with a strict cookie jar, which follows nothing by itself but goes through the door of its session, as the
/// links and the script of our pages make it.
#[derive(Clone)]
pub(crate) struct Browser {
    router: Router,
    pub(crate) jar: BTreeMap<String, String>,
    /// Where a session's pages lie: the path for which its cookie was set.
    pub(crate) door: Option<String>,
    /// Sent with every request.
    pub(crate) headers: HeaderMap,
}

impl Browser {
    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        let path = self.at(path);
        self.send(http::Request::builder().method(Method::GET).uri(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let path = self.at(path);
        self.send(form(&path).body(encoded(fields)).unwrap()).await
    }

    /// A path of ours, behind the door.
    fn at(&self, path: &str) -> String {
        match &self.door {
            Some(door) if !path.starts_with("/~") && !path.starts_with("/oauth/") => {
                format!("{door}{}", if path == "/" { "" } else { path })
            }
            _ => path.to_owned(),
        }
    }

    async fn send(&mut self, mut request: http::Request<Body>) -> Reply {
        let (path, door) = (request.uri().path().to_owned(), self.door.clone());
        let is_behind = door.is_none_or(|door| path == door || path.starts_with(&format!("{door}/")));
        let shown = self.jar.iter().filter(|(name, _)| *name != "sekisho_8420" || is_behind);
        let cookies: Vec<String> = shown.map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request.headers_mut().insert(COOKIE, cookies.join("; ").parse().unwrap());
        }
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let mut reply = reply(self.router.clone().oneshot(request).await.unwrap()).await;
        if let Some(door) = &self.door {
            reply.body = reply.body.replace(&format!("\"{door}\""), "\"/\"").replace(&format!("\"{door}/"), "\"/");
        }
        for line in reply.headers.get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            self.jar.insert(name.to_owned(), value.to_owned());
            self.jar.retain(|_, value| !value.is_empty());
            if let Some(door) =
                line.split("; ").find_map(|part| part.strip_prefix("Path=")).filter(|path| path.len() > 1)
            {
                self.door = (!value.is_empty()).then(|| door.to_owned());
            }
        }
        // The script forgets a door that is closed.
        if self.door.as_ref().is_some_and(|door| reply.header("location").ends_with(&door.replacen('/', "#", 1))) {
            self.door = None;
        }
        reply
    }

    /// Opens an authorization request and goes to the page it leads to.
    pub(crate) async fn open(&mut self, ask: &Ask) -> (String, Reply) {
        let first = self.get(&ask.url()).await;
        assert_eq!(first.status, StatusCode::SEE_OTHER, "{}", first.body);
        let path = first.location();
        let page = self.get(&path).await;
        (path, page)
    }

    /// Says yes to everything on the grant page at `path`.
    pub(crate) async fn approve(&mut self, path: &str, page: &Reply) -> Reply {
        let csrf = page.csrf();
        let scopes = page.values("scope");
        let mut fields = vec![("csrf", csrf.as_str()), ("decision", "approve")];
        fields.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
        self.post(path, &fields).await
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// With the links as if there were no doors.
    pub(crate) body: String,
    pub(crate) as_sent: String,
}

async fn reply(response: axum::response::Response) -> Reply {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Reply { status: parts.status, headers: parts.headers, as_sent: body.clone(), body }
}

impl Reply {
    /// Our one script, as it stands on the page.
    pub(crate) fn script(&self) -> Option<&str> {
        let (_, rest) = self.body.split_once("<script data-base=\"\" ")?;
        rest.split_once('>')?.1.split_once("</script>").map(|(text, _)| text)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Where the answer sends to, as if there were no doors.
    pub(crate) fn location(&self) -> String {
        let to = self.header(LOCATION.as_str());
        let to = to.split("#~").next().unwrap();
        match to.strip_prefix("/~").map(|rest| rest.find('/').map_or("/", |at| rest.split_at(at).1)) {
            Some(inside) => inside.to_owned(),
            None => to.to_owned(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The hidden value of the page's main form: the last one.
    pub(crate) fn csrf(&self) -> String {
        self.values("csrf").pop().unwrap_or_default()
    }

    /// The values of all inputs of this name, as the browser would send them.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        self.fields(name, true)
    }

    /// The values of all fields of this name, boxes that are not ticked among them.
    pub(crate) fn offered(&self, name: &str) -> Vec<String> {
        self.fields(name, false)
    }

    fn fields(&self, name: &str, sent: bool) -> Vec<String> {
        let marker = format!("name=\"{name}\" value=\"");
        let found = self.body.match_indices(&marker).map(|(at, _)| self.body.split_at(at));
        let is_sent = |(before, rest): &(&str, &str)| {
            let kind = before.rsplit('<').next().unwrap();
            let attributes = rest.split('>').next().unwrap();
            !sent || !kind.contains("type=\"checkbox\"") || attributes.contains(" checked")
        };
        let value = |(_, rest): (&str, &str)| unescape(rest.split_at(marker.len()).1.split('"').next().unwrap());
        found.filter(is_sent).map(value).collect()
    }

    /// The parameters of the redirect.
    pub(crate) fn redirected(&self) -> BTreeMap<String, String> {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        let url = url::Url::parse(&self.location()).unwrap();
        url.query_pairs().into_owned().collect()
    }
}

fn unescape(text: &str) -> String {
    text.replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#38;", "&")
        .replace("&amp;", "&")
}
