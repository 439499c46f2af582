//! A gateway with everything around it, and a client that sends exactly what a test wants.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sekisho_client::http::{HttpSettings as OutwardSettings, SafeHttp};
use sekisho_gateway::{
    Arrival, Gateway, GatewayParts, GatewaySettings, HttpSettings, KeepArguments, Limits, Route, Routes, Upstream,
    UpstreamSettings,
};
use sekisho_policy::rights::{Rights, RightsParts, RightsServer, RightsUser};
use sekisho_protocol::audit::{Event, Record};
use sekisho_protocol::caller::{ActorPath, Recognition, Subject};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock, Entropy, ManualClock, SeededEntropy, after};
use sekisho_protocol::ids::{ClientId, GrantId, KeyId, NodeId, RequestId, ServerName, TaskId, TokenId, UserId};
use sekisho_protocol::registration::{Client as OAuthClient, ClientAuthentication, ClientOrigin};
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::server::ServerCard;
use sekisho_protocol::task::{TaskDefinition, TaskOrigin};
use sekisho_store::{
    AuditFilter, NewClient, NewGrant, NewTask, SealKey, Store, StoreSettings, StoreUrl, TaskPlace, User,
};
use sekisho_token::{AccessClaims, KeyDuty, KeyEntry, Keys, SigningKey, sign};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::fake::{Fake, Speaks};

pub(crate) const MODERN: &str = "2026-07-28";
pub(crate) const NOVEMBER: &str = "2025-11-25";
pub(crate) const JUNE: &str = "2025-06-18";

/// How to make a world.
pub(crate) struct Plan {
    pub(crate) speaks: Speaks,
    pub(crate) limits: Limits,
    pub(crate) public: bool,
    pub(crate) record_reads_first: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self { speaks: Speaks::Both, limits: Limits::default(), public: false, record_reads_first: false }
    }
}

pub(crate) struct World {
    pub(crate) fake: Arc<Fake>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) entropy: Arc<SeededEntropy>,
    pub(crate) key: SigningKey,
    pub(crate) keys: watch::Sender<Keys>,
    pub(crate) rights: watch::Sender<Arc<Rights>>,
    pub(crate) routes: watch::Sender<Arc<Routes>>,
    /// `http://127.0.0.1:PORT`.
    pub(crate) base: String,
    pub(crate) client: Client<HttpConnector, Full<Bytes>>,
    owner: UserId,
    others: Mutex<Vec<UserId>>,
    public: bool,
    ids: AtomicU64,
    _directory: tempfile::TempDir,
}

/// A user with a client and a grant, for which there are tokens.
#[derive(Clone, Debug)]
pub(crate) struct Grantee {
    pub(crate) user: UserId,
    pub(crate) client: ClientId,
    pub(crate) grant: GrantId,
    pub(crate) scopes: String,
}

pub(crate) fn name(text: &str) -> ServerName {
    text.parse().unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Plan::default()).await
    }

    pub(crate) async fn with(plan: Plan) -> Self {
        let fake = Fake::start(plan.speaks).await;
        let directory = tempfile::tempdir().unwrap();
        let (clock, entropy) = (Arc::new(ManualClock::default()), Arc::new(SeededEntropy::from_seed(7)));
        let seal_key = SealKey::generate(entropy.as_ref());
        let url = StoreUrl::Sqlite(directory.path().join("store.db"));
        let store = Store::open(StoreSettings::new(url, seal_key)).await.unwrap();
        let key = SigningKey::generate(KeyId::generate(clock.now(), entropy.as_ref())).unwrap();
        let keys = watch::channel(keys_of(&key)).0;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let base = format!("http://{host}");
        let owner = UserId::generate(clock.now(), entropy.as_ref());
        let routes = watch::channel(Arc::new(routes_of(&base, &fake, plan.public))).0;
        let rights = watch::channel(Arc::new(rights_of(owner, &[], plan.public))).0;
        let gateway = Gateway::start(GatewayParts {
            store: store.clone(),
            keys: keys.subscribe(),
            rights: rights.subscribe(),
            routes: routes.subscribe(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy: Arc::clone(&entropy) as Arc<dyn Entropy>,
            node: NodeId::generate(clock.now(), entropy.as_ref()),
            http: Arc::new(SafeHttp::new(OutwardSettings { allow_http_loopback: true, ..Default::default() }).unwrap()),
            refusals: Arc::default(),
            settings: GatewaySettings {
                tool_error_clients: vec![ClientId::parse("cli_told").unwrap()],
                record_reads_first: plan.record_reads_first,
                base_url: base.clone(),
                allowed_hosts: vec![host],
                allowed_origins: vec![base.clone()],
                limits: plan.limits,
            },
        })
        .await;
        let (served, named) = (Arc::clone(&gateway), (Arc::clone(&clock), Arc::clone(&entropy)));
        let router = Arc::clone(&gateway).router().fallback(async move |request: axum::extract::Request| {
            let id = RequestId::generate(named.0.now(), named.1.as_ref());
            served.serve(request, Arrival { request: id, source: None, recognition: Recognition::default() }).await
        });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let world = Self {
            fake,
            gateway,
            store,
            clock,
            entropy,
            key,
            keys,
            rights,
            routes,
            base,
            client: Client::builder(TokioExecutor::new()).build_http(),
            owner,
            others: Mutex::default(),
            public: plan.public,
            ids: AtomicU64::new(0),
            _directory: directory,
        };
        world.insert_user(owner, "owner").await;
        world.insert_client("cli_alpha").await;
        world.insert_client("cli_beta").await;
        world.insert_client("cli_told").await;
        world
    }

    /// Lists the upstream's tools and gives the usual ones their classes.
    pub(crate) async fn classified(self) -> Self {
        self.gateway.probe(&name("notes")).await.unwrap();
        for (tool, class) in [
            ("get_note", ToolClass::Read),
            ("get_stream", ToolClass::Read),
            ("get_hang", ToolClass::Read),
            ("get_region", ToolClass::Read),
            ("get_broken", ToolClass::Read),
            ("add_note", ToolClass::Write),
            ("delete_note", ToolClass::Destructive),
        ] {
            self.classify(tool, class).await;
        }
        self
    }

    pub(crate) async fn classify(&self, tool: &str, class: ToolClass) {
        let mut tx = self.store.begin().await.unwrap();
        let known = tx.catalogue().find(&name("notes"), tool).await.unwrap().unwrap();
        assert!(tx.catalogue().classify(&name("notes"), tool, class, &known.seen, self.clock.now()).await.unwrap());
        tx.commit().await.unwrap();
        // The change feed causes this reload as well; a probe does it at once.
        self.gateway.probe(&name("notes")).await.unwrap();
    }

    async fn insert_user(&self, id: UserId, name: &str) {
        let mut tx = self.store.begin().await.unwrap();
        let user = User {
            id,
            name: name.to_owned(),
            password: None,
            role: sekisho_protocol::role::Role::User,
            disabled: false,
            created_at: self.clock.now(),
            epoch: 0,
        };
        tx.users().insert(&user).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn insert_client(&self, id: &str) {
        let client = OAuthClient {
            id: ClientId::parse(id).unwrap(),
            origin: ClientOrigin::Registered,
            name: id.to_owned(),
            redirect_uris: vec![],
            authentication: ClientAuthentication::None,
            refresh: true,
            jwks: None,
            jwks_uri: None,
            disabled: false,
        };
        let mut tx = self.store.begin().await.unwrap();
        tx.clients()
            .insert(&NewClient { client, secret: None, created_at: self.clock.now(), expires_at: None })
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// A user with only the rights that `rights_of` gives everybody.
    pub(crate) async fn user(&self, text: &str) -> UserId {
        let id = UserId::generate(self.clock.now(), self.entropy.as_ref());
        self.insert_user(id, text).await;
        self.others.lock().unwrap().push(id);
        let others = self.others.lock().unwrap().clone();
        self.rights.send(Arc::new(rights_of(self.owner, &others, self.public))).unwrap();
        id
    }

    pub(crate) fn owner(&self) -> UserId {
        self.owner
    }

    /// A grant of the owner, through the first client, with these scopes.
    pub(crate) async fn granted(&self, scopes: &str) -> Grantee {
        self.grant(self.owner, "cli_alpha", "notes", scopes).await
    }

    pub(crate) async fn grant(&self, user: UserId, client: &str, server: &str, scopes: &str) -> Grantee {
        let (client, grant) =
            (ClientId::parse(client).unwrap(), GrantId::generate(self.clock.now(), self.entropy.as_ref()));
        let new = NewGrant {
            id: grant,
            subject: Subject::User(user),
            client: client.clone(),
            server: name(server),
            resource: format!("{}/mcp/{server}", self.base),
            scopes: scopes.parse().unwrap(),
            path: ActorPath::direct(client.clone()),
            parent: None,
            task: None,
            created_at: self.clock.now(),
            expires_at: None,
        };
        let mut tx = self.store.begin().await.unwrap();
        tx.grants().insert(&new).await.unwrap();
        tx.commit().await.unwrap();
        Grantee { user, client, grant, scopes: scopes.to_owned() }
    }

    /// Begins a task that binds every token of the grant.
    pub(crate) async fn task(&self, grantee: &Grantee, definition: TaskDefinition) -> TaskId {
        let id = TaskId::generate(self.clock.now(), self.entropy.as_ref());
        let (server, created_at) = (name("notes"), self.clock.now());
        let new = NewTask {
            id,
            grant: grantee.grant,
            server,
            definition,
            origin: TaskOrigin::Person,
            created_at,
            parent: None,
            place: TaskPlace::Current,
        };
        let mut tx = self.store.begin().await.unwrap();
        tx.tasks().begin(&new).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    pub(crate) fn claims(&self, grantee: &Grantee) -> AccessClaims {
        AccessClaims {
            iss: self.base.clone(),
            sub: Subject::User(grantee.user),
            aud: ResourceId::parse(&format!("{}/mcp/notes", self.base)).unwrap(),
            client_id: grantee.client.clone(),
            scope: grantee.scopes.parse().unwrap(),
            grant: grantee.grant,
            epoch: 0,
            path: ActorPath::direct(grantee.client.clone()),
            task: None,
            iat: self.clock.now(),
            exp: after(self.clock.now(), 600),
            jti: TokenId::generate(self.clock.now(), self.entropy.as_ref()),
        }
    }

    pub(crate) fn sign(&self, claims: &AccessClaims) -> String {
        sign(&self.keys.borrow(), claims).unwrap().expose().to_owned()
    }

    pub(crate) fn token(&self, grantee: &Grantee) -> String {
        self.sign(&self.claims(grantee))
    }

    /// The owner's token with these scopes.
    pub(crate) async fn owner_token(&self, scopes: &str) -> String {
        self.token(&self.granted(scopes).await)
    }

    /// A request to `/mcp/notes`, to be completed.
    pub(crate) fn post(&self, token: &str, body: impl ToString) -> Ask<'_> {
        self.ask(Method::POST, "/mcp/notes")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("authorization", &format!("Bearer {token}"))
            .body(body.to_string())
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        Ask { world: self, method, path: path.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }

    /// A request of 2026-07-28 with everything that the revision requires.
    pub(crate) fn modern(&self, token: &str, method: &str, params: Value) -> Ask<'_> {
        let id = self.ids.fetch_add(1, Ordering::SeqCst);
        let name = params["name"].as_str().or(params["uri"].as_str()).or(params["taskId"].as_str()).map(str::to_owned);
        let mut body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let meta = &mut body["params"]["_meta"];
        meta["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
        if meta["io.modelcontextprotocol/clientCapabilities"].is_null() {
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        let ask = self.post(token, body).header("mcp-protocol-version", MODERN).header("mcp-method", method);
        match name.filter(|_| !matches!(method, "completion/complete")) {
            Some(name) => ask.header("mcp-name", &name),
            None => ask,
        }
    }

    /// Calls a tool in 2026-07-28.
    pub(crate) fn call(&self, token: &str, tool: &str) -> Ask<'_> {
        self.modern(token, "tools/call", json!({ "name": tool, "arguments": {} }))
    }

    /// Returns the names of the tools that a list shows.
    pub(crate) async fn listed(&self, token: &str) -> Vec<String> {
        let reply = self.modern(token, "tools/list", json!({})).send().await;
        let tools = reply.json()["result"]["tools"].as_array().unwrap().clone();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Opens a session of an older revision and returns its identifier.
    pub(crate) async fn session(&self, token: &str, revision: &str) -> String {
        let reply = self.initialize(token, revision).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.json()["result"]["protocolVersion"], revision);
        reply.header("mcp-session-id").unwrap().to_owned()
    }

    /// Does the same for a client with these capabilities.
    pub(crate) async fn session_with(&self, token: &str, revision: &str, capabilities: Value) -> String {
        let client = json!({ "name": "t", "version": "1" });
        let params = json!({ "protocolVersion": revision, "capabilities": capabilities, "clientInfo": client });
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let reply = self.post(token, body).send().await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.header("mcp-session-id").unwrap().to_owned()
    }

    pub(crate) async fn initialize(&self, token: &str, revision: &str) -> Reply {
        let params =
            json!({ "protocolVersion": revision, "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
        self.post(token, json!({ "jsonrpc": "2.0", "id": "init", "method": "initialize", "params": params }))
            .send()
            .await
    }

    /// A request of an older revision.
    pub(crate) fn legacy(&self, token: &str, session: &str, revision: &str, method: &str, params: Value) -> Ask<'_> {
        let id = self.ids.fetch_add(1, Ordering::SeqCst);
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.post(token, body).header("mcp-session-id", session).header("mcp-protocol-version", revision)
    }

    pub(crate) async fn revoke(&self, grant: GrantId) {
        let mut tx = self.store.begin().await.unwrap();
        assert!(tx.grants().revoke(grant, "test", self.clock.now()).await.unwrap());
        tx.commit().await.unwrap();
    }

    /// Returns every record, after those that wait were written.
    pub(crate) async fn records(&self) -> Vec<Record> {
        let mut tx = self.store.read().await.unwrap();
        let mut stored = tx.audit().list(&AuditFilter::default()).await.unwrap();
        // In the order in which they were made; exchanges of the same moment have no order.
        stored.sort_by_key(|stored| stored.seq);
        stored.into_iter().map(|stored| stored.record).collect()
    }

    /// Waits for a record that fits, and returns it.
    pub(crate) async fn recorded(&self, what: &str, fits: impl Fn(&Event) -> bool) -> Record {
        for _ in 0..200 {
            if let Some(record) = self.records().await.into_iter().find(|record| fits(&record.event)) {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no record of {what}: {:#?}", self.records().await);
    }
}

pub(crate) fn keys_of(key: &SigningKey) -> Keys {
    Keys::new(vec![KeyEntry { key: key.clone(), duty: KeyDuty::Sign }]).unwrap()
}

fn routes_of(base: &str, fake: &Fake, public: bool) -> Routes {
    let servers = [("notes", public), ("other", false)].map(|(server, public)| {
        let route = Route {
            card: ServerCard {
                name: name(server),
                title: server.to_owned(),
                resource: ResourceId::parse(&format!("{base}/mcp/{server}")).unwrap(),
                scopes_default: "mcp:read offline_access".parse().unwrap(),
                public,
                classes: BTreeMap::new(),
                templates: Vec::new(),
                classify_at_consent: false,
                account: None,
                external: None,
            },
            upstream: Upstream::behind(&name(server), UpstreamSettings::Http(HttpSettings::new(fake.url()))),
            arguments: KeepArguments::Digest,
            agent_tasks: false,
            external: None,
        };
        (name(server), Arc::new(route))
    });
    Routes { servers: BTreeMap::from(servers) }
}

/// The owner may do everything, every signed-in user may read, and anonymous callers may use a public server.
pub(crate) fn rights_of(owner: UserId, others: &[UserId], public: bool) -> Rights {
    let servers = ["notes", "other"].map(|server| {
        let public = public && server == "notes";
        let rights = RightsServer { public, everyone: Some(ToolClass::Read), ..RightsServer::default() };
        (name(server), rights)
    });
    let owner = (owner, RightsUser { name: "owner".to_owned(), owner: true, ..RightsUser::default() });
    let others = others.iter().map(|id| (*id, RightsUser::default()));
    let users = others.chain([owner]).collect();
    Rights::new(RightsParts { users, servers: servers.into(), ..RightsParts::default() }).unwrap()
}

/// A request that a test puts together.
pub(crate) struct Ask<'w> {
    world: &'w World,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Ask<'_> {
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    #[must_use]
    pub(crate) fn replace(self, name: &str, value: &str) -> Self {
        self.without(name).header(name, value)
    }

    #[must_use]
    pub(crate) fn path(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    #[must_use]
    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    async fn response(self) -> http::Response<Incoming> {
        let mut request = Request::builder().method(self.method).uri(format!("{}{}", self.world.base, self.path));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        self.world.client.request(request.body(Full::new(self.body)).unwrap()).await.unwrap()
    }

    /// Sends the request and reads the whole response.
    pub(crate) async fn send(self) -> Reply {
        let response = self.response().await;
        let (head, body) = response.into_parts();
        let body = tokio::time::timeout(Duration::from_secs(20), body.collect()).await.unwrap().unwrap().to_bytes();
        Reply { status: head.status, headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(crate) async fn open(self) -> Stream {
        let response = self.response().await;
        let (head, body) = response.into_parts();
        Stream { status: head.status, body, text: String::new() }
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    pub(crate) fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_default()
    }

    pub(crate) fn messages_or_json(&self) -> Value {
        self.messages().pop().unwrap_or_else(|| self.json())
    }

    pub(crate) fn messages(&self) -> Vec<Value> {
        messages(&self.body)
    }
}

fn messages(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect()
}

pub(crate) struct Stream {
    pub(crate) status: StatusCode,
    body: Incoming,
    text: String,
}

impl Stream {
    pub(crate) async fn next(&mut self) -> Option<Value> {
        self.within(Duration::from_secs(20)).await
    }

    async fn within(&mut self, limit: Duration) -> Option<Value> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                if let Some(message) = messages(&event).pop() {
                    return Some(message);
                }
                continue;
            }
            let frame = tokio::time::timeout(limit, self.body.frame()).await.expect("nothing came and nothing ended");
            match frame {
                Some(Ok(frame)) => self.text.push_str(std::str::from_utf8(frame.data_ref()?).unwrap()),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Returns the messages until the end, which must come soon.
    pub(crate) async fn rest(&mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while let Some(message) = self.within(Duration::from_secs(3)).await {
            rest.push(message);
        }
        rest
    }
}
