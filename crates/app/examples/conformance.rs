//! A client for the public conformance suite: the bridge of `sekisho connect`, with a small MCP client at its other end.
//!
//! `conformance client --command target/release/examples/conformance --suite auth`; the suite says what to do by
//! `MCP_CONFORMANCE_SCENARIO`, `MCP_CONFORMANCE_CONTEXT` and `MCP_CONFORMANCE_PROTOCOL_VERSION`, and gives the URL of
//! its server as the last argument.

#![expect(clippy::disallowed_methods, reason = "a program of its own: it has no `os.rs` to ask")]

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sekisho_client::authorization::{AuthorizationAnswer, AuthorizationRequest, finish};
use sekisho_client::bridge::{Bridge, BridgeSettings, Notice, OutLine};
use sekisho_client::callback::{CallbackAddress, CallbackError};
use sekisho_client::discovery::discover_resource;
use sekisho_client::exchange::IdentityProvider;
use sekisho_client::http::{Destination, HttpClient, HttpSettings, Request, SafeHttp};
use sekisho_client::login::{
    Browser, Grant, Identity, KnownClient, Login, LoginParts, MetadataDocument, Visit, VisitError,
};
use sekisho_client::session::{Entry, Session};
use sekisho_client::signing::ClientKey;
use sekisho_client::token_store::MemoryStore;
use sekisho_protocol::env::{Clock, Entropy, Timestamp};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::secret::{ClientSecret, SubjectToken};
use serde_json::{Value, json};
use tokio::sync::mpsc;

type Failure = Box<dyn Error + Send + Sync>;

/// The identifier that the suite expects; it is never fetched.
const METADATA_DOCUMENT: &str = "https://conformance-test.local/client-metadata.json";
/// Where answers are said to arrive, before the path; the suite only writes it into a `Location`.
const REDIRECT: &str = "http://127.0.0.1:3999";
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

#[derive(Debug)]
struct OsEntropy;

impl Entropy for OsEntropy {
    #[expect(clippy::expect_used, reason = "without chance nothing can be done safely")]
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the system's generator");
    }
}

/// A person who says yes to everything: the answer is where the authorization endpoint sends to.
#[derive(Debug, Clone)]
struct Willing {
    http: Arc<dyn HttpClient>,
}

/// One visit of that person.
struct Visiting {
    http: Arc<dyn HttpClient>,
    redirect: RedirectUri,
}

impl Browser for Willing {
    fn ready<'a>(&'a self, place: &'a CallbackAddress) -> BoxFuture<'a, Result<Box<dyn Visit>, VisitError>> {
        Box::pin(async move {
            let redirect = RedirectUri::parse(&format!("{REDIRECT}{}", place.path()));
            let redirect = redirect.map_err(|error| VisitError::Nobody(error.to_string()))?;
            Ok(Box::new(Visiting { http: Arc::clone(&self.http), redirect }) as Box<dyn Visit>)
        })
    }

    fn show(&self, _: &str) {}

    fn warn(&self, _: &str) {}
}

impl Visit for Visiting {
    fn redirect_uri(&self) -> &RedirectUri {
        &self.redirect
    }

    fn go<'a>(
        self: Box<Self>,
        request: &'a AuthorizationRequest,
    ) -> BoxFuture<'a, Result<AuthorizationAnswer, VisitError>> {
        Box::pin(async move {
            let sent = self.http.send(Request::get(Destination::given(request.url()))).await;
            let answer = sent.map_err(|error| VisitError::Nobody(error.to_string()))?;
            let location = answer.headers.get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
            Ok(finish(request, location).map_err(CallbackError::from)?)
        })
    }
}

/// What the suite says about this scenario.
struct Context {
    scenario: String,
    revision: String,
    url: String,
    given: Value,
}

impl Context {
    fn read() -> Result<Self, Failure> {
        let variable = |name| std::env::var(name).ok();
        let given = variable("MCP_CONFORMANCE_CONTEXT").map(|text| serde_json::from_str(&text)).transpose()?;
        Ok(Self {
            scenario: variable("MCP_CONFORMANCE_SCENARIO").unwrap_or_default(),
            revision: variable("MCP_CONFORMANCE_PROTOCOL_VERSION").unwrap_or_else(|| "2025-11-25".to_owned()),
            url: std::env::args().next_back().unwrap_or_default(),
            given: given.unwrap_or(Value::Null),
        })
    }

    fn text(&self, name: &str) -> Option<String> {
        self.given.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    fn is_modern(&self) -> bool {
        self.revision.as_str() >= "2026-07-28"
    }

    /// `issuer`: the issuer at which the metadata document is used although no `iss` is sent there. The suite of 2025
    /// wants that.
    fn identity(&self, issuer: Option<String>) -> Result<Identity, Failure> {
        let key = self.text("private_key_pem").map(|pem| ClientKey::from_pem(pem.as_bytes(), None)).transpose()?;
        let known = match self.text("client_id") {
            Some(client) => vec![KnownClient {
                issuer: self.text("issuer"),
                client: ClientId::parse(&client)?,
                authentication: None,
                secret: self.text("client_secret").map(ClientSecret::from_outside),
                key: key.map(Arc::new),
            }],
            None => Vec::new(),
        };
        Ok(Identity {
            client_name: "Sekisho conformance client".to_owned(),
            known,
            document: Some(MetadataDocument { client: ClientId::parse(METADATA_DOCUMENT)?, issuer }),
            redirect: None,
            scopes: None,
        })
    }

    fn grant(&self) -> Result<Grant, Failure> {
        if let (Some(issuer), Some(endpoint), Some(token)) =
            (self.text("idp_issuer"), self.text("idp_token_endpoint"), self.text("idp_id_token"))
        {
            return Ok(Grant::Enterprise(IdentityProvider {
                issuer,
                token_endpoint: endpoint,
                client: ClientId::parse(&self.text("idp_client_id").unwrap_or_default())?,
                secret: None,
                id_token: SubjectToken::from_outside(token),
            }));
        }
        if let Some(statement) = self.text("valid_jwt") {
            return Ok(Grant::Workload(SubjectToken::from_outside(statement)));
        }
        let own = self.scenario.contains("client-credentials");
        Ok(if own { Grant::ClientCredentials } else { Grant::Code })
    }
}

/// A client at the other end of the bridge.
struct Client {
    lines: mpsc::Sender<Vec<u8>>,
    answers: mpsc::Receiver<OutLine>,
    modern: bool,
    revision: String,
    next: u64,
}

impl Client {
    async fn send(&self, message: &Value) -> Result<(), Failure> {
        Ok(self.lines.send(message.to_string().into_bytes()).await?)
    }

    fn capabilities() -> Value {
        json!({ "elicitation": { "form": { "applyDefaults": true } },
            "extensions": { "io.modelcontextprotocol/oauth-client-credentials": {},
                "io.modelcontextprotocol/enterprise-managed-authorization": {} } })
    }

    fn info() -> Value {
        json!({ "name": "sekisho-conformance", "version": env!("CARGO_PKG_VERSION") })
    }

    /// One request and its answer; what the server asks meanwhile is answered.
    async fn ask(&mut self, method: &str, mut params: Value) -> Result<Value, Failure> {
        self.next += 1;
        let id = self.next;
        if let (true, Some(params)) = (self.modern, params.as_object_mut()) {
            params.insert(
                "_meta".to_owned(),
                json!({ "io.modelcontextprotocol/protocolVersion": self.revision,
                    "io.modelcontextprotocol/clientInfo": Self::info(),
                    "io.modelcontextprotocol/clientCapabilities": Self::capabilities() }),
            );
        }
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await?;
        loop {
            let line = tokio::time::timeout(PATIENCE, self.answers.recv()).await?;
            let message: Value = serde_json::from_slice(line.ok_or("the bridge has gone")?.bytes())?;
            if message.get("method").is_some() {
                self.serve(&message).await?;
            } else if message.get("id") == Some(&json!(id)) {
                return Ok(message);
            }
        }
    }

    /// Answers what the server asks.
    async fn serve(&self, asked: &Value) -> Result<(), Failure> {
        let Some(id) = asked.get("id") else { return Ok(()) };
        let result = match asked.get("method").and_then(Value::as_str) {
            Some("elicitation/create") => consent(asked.get("params").unwrap_or(&Value::Null)),
            Some("ping") => json!({}),
            _ => {
                let error = json!({ "code": -32601, "message": "not here" });
                return self.send(&json!({ "jsonrpc": "2.0", "id": id, "error": error })).await;
            }
        };
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": result })).await
    }

    /// The result of a request, after as many rounds as it takes (2026-07-28, `input_required`).
    async fn result(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let mut round = params.clone();
        for _ in 0..8 {
            let answer = self.ask(method, round).await?;
            if let Some(error) = answer.get("error") {
                return Err(format!("{method}: {error}").into());
            }
            let result = answer.get("result").cloned().unwrap_or_default();
            if result.get("resultType").and_then(Value::as_str) != Some("input_required") {
                return Ok(result);
            }
            let questions = result.get("inputRequests").and_then(Value::as_object).cloned().unwrap_or_default();
            let answers = questions
                .into_iter()
                .map(|(key, question)| (key, consent(question.get("params").unwrap_or(&Value::Null))));
            round = params.clone();
            if let Some(members) = round.as_object_mut() {
                members.insert("inputResponses".to_owned(), Value::Object(answers.collect()));
                if let Some(state) = result.get("requestState") {
                    members.insert("requestState".to_owned(), state.clone());
                }
            }
        }
        Err(format!("{method}: no end of questions").into())
    }

    /// Introduces itself, in the way of the revision; a server that speaks another one is asked in that.
    async fn begin(&mut self) -> Result<(), Failure> {
        if self.modern {
            let answer = self.ask("server/discover", json!({})).await?;
            let supported = answer.pointer("/error/data/supported/0").and_then(Value::as_str).map(str::to_owned);
            if let Some(supported) = supported {
                self.revision = supported;
                self.result("server/discover", json!({})).await?;
            } else if let Some(error) = answer.get("error") {
                return Err(format!("server/discover: {error}").into());
            }
            return Ok(());
        }
        let params = json!({ "protocolVersion": self.revision, "capabilities": Self::capabilities(),
            "clientInfo": Self::info() });
        self.result("initialize", params).await?;
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await
    }
}

/// Says yes, with the defaults of the form.
fn consent(params: &Value) -> Value {
    let properties = params.pointer("/requestedSchema/properties").and_then(Value::as_object).cloned();
    let content = properties.unwrap_or_default().into_iter().map(|(name, schema)| {
        let value = schema.get("default").cloned().unwrap_or_else(|| sample(&schema));
        (name, value)
    });
    json!({ "action": "accept", "content": Value::Object(content.collect()) })
}

/// A value of this schema.
fn sample(schema: &Value) -> Value {
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => json!(true),
        Some("integer" | "number") => json!(1),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => schema.pointer("/enum/0").cloned().unwrap_or_else(|| json!("text")),
    }
}

/// What a tool is called with, if the suite does not say: what its schema requires.
fn arguments(tool: &Value, tools: &[Value]) -> Value {
    let schema = tool.get("inputSchema").unwrap_or(&Value::Null);
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let one = |name: &Value| {
        let name = name.as_str()?;
        // A tool that wants a schema is shown the one that came first, as it came.
        let value = if name == "schema" {
            tools.iter().find(|other| other.get("name") != tool.get("name"))?.get("inputSchema")?.clone()
        } else {
            sample(schema.pointer(&format!("/properties/{name}")).unwrap_or(&Value::Null))
        };
        Some((name.to_owned(), value))
    };
    Value::Object(required.iter().filter_map(one).collect())
}

async fn converse(client: &mut Client, context: &Context) -> Result<(), Failure> {
    client.begin().await?;
    let listed = client.result("tools/list", json!({})).await?;
    let tools = listed.get("tools").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(calls) = context.given.get("toolCalls").and_then(Value::as_array) {
        for call in calls {
            client.result("tools/call", call.clone()).await?;
        }
        return Ok(());
    }
    for tool in &tools {
        let call = json!({ "name": tool.get("name"), "arguments": arguments(tool, &tools) });
        // That the server refuses a call which nobody asked for is no fault of the client.
        if let Err(error) = client.result("tools/call", call).await {
            eprintln!("{error}");
        }
    }
    Ok(())
}

async fn run() -> Result<(), Failure> {
    let context = Context::read()?;
    let resource = ResourceId::parse(&context.url)?;
    let settings = HttpSettings { allow_http_loopback: true, ..HttpSettings::default() };
    let http: Arc<dyn HttpClient> = Arc::new(SafeHttp::new(settings)?);
    let issuer = if context.scenario.contains("cimd") {
        discover_resource(&*http, &resource, None).await?.authorization_servers.into_iter().next()
    } else {
        None
    };
    let login = Login::new(LoginParts {
        http: Arc::clone(&http),
        store: Arc::new(MemoryStore::default()),
        browser: Arc::new(Willing { http: Arc::clone(&http) }),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
        identity: context.identity(issuer)?,
        grant: context.grant()?,
    });
    let session = Session::new(http, resource, Entry::Login(Box::new(login)));
    let (to_client, answers) = mpsc::channel(64);
    let (lines, from_client) = mpsc::channel(64);
    let tell = Box::new(|notice: Notice| eprintln!("{notice:?}"));
    let bridge = Bridge::new(session, BridgeSettings::default(), to_client, tell);
    let pump = tokio::spawn(async move { bridge.run(from_client).await });
    let mut client =
        Client { lines, answers, modern: context.is_modern(), revision: context.revision.clone(), next: 0 };
    let outcome = converse(&mut client, &context).await;
    drop(client);
    pump.await?;
    outcome
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
