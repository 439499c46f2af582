//! The checkpoint of the story, as a client, a person and an operator use it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use sekisho_client::authorization::{self, AuthorizationParameters, AuthorizationRequest};
use sekisho_client::discovery::{discover_any_issuer, discover_resource, select_scopes};
use sekisho_client::http::{HttpSettings, Recording, SafeHttp};
use sekisho_client::mcp::{McpAnswer, McpSession};
use sekisho_client::registration::{ApplicationType, Registration, RegistrationRequest, register};
use sekisho_client::token::{TokenEndpoint, Tokens};
use sekisho_protocol::env::{Clock, Entropy};
use sekisho_protocol::mcp::method::Revision;
use sekisho_protocol::metadata::AuthorizationServer;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use serde_json::{Value, json};

use crate::failure::{Failure, failure};
use crate::naive::NaiveProxy;
use crate::person::Person;

/// The user who owns the checkpoint.
pub const OWNER: &str = "alice";
/// The user who may read notes, and nothing else.
pub const READER: &str = "bob";

/// The only rule beside the short ones in the configuration.
pub const POLICY: &str = r#"
@id("ask-before-losing")
@approval
@reason("every note would be gone")
permit(principal in Group::"owners", action == Action::"call", resource == Tool::"notes/delete_all_notes");
"#;

/// How long one command of the operator may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// A running checkpoint, and what is needed to use it.
#[derive(Debug)]
pub struct CheckpointParts {
    /// The issuer identifier.
    pub base_url: String,
    /// The password of both users.
    pub password: String,
    /// The path of this program. The operator's commands are run with it.
    pub program: PathBuf,
    /// The data directory of the checkpoint.
    pub data_dir: PathBuf,
    /// The proxy with mistakes, for comparison.
    pub naive: Arc<NaiveProxy>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of random values.
    pub entropy: Arc<dyn Entropy>,
}

/// Everything that the scenes share.
pub(crate) struct Checkpoint {
    pub(crate) base_url: String,
    pub(crate) notes: ResourceId,
    pub(crate) diary: ResourceId,
    /// A server over HTTP that inspects the tokens that it gets.
    pub(crate) relay: ResourceId,
    pub(crate) naive: Arc<NaiveProxy>,
    pub(crate) password: String,
    pub(crate) http: Recording<SafeHttp>,
    pub(crate) clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    program: PathBuf,
    data_dir: PathBuf,
}

/// A client program that a person has approved.
pub(crate) struct Visitor {
    pub(crate) server: AuthorizationServer,
    pub(crate) registration: Registration,
    pub(crate) tokens: Tokens,
}

/// What a client learns before a person is asked.
pub(crate) struct Introduction {
    pub(crate) server: AuthorizationServer,
    pub(crate) registration: Registration,
    /// The scopes to ask for, as the server names them.
    pub(crate) scopes: Option<ScopeSet>,
}

impl Checkpoint {
    pub(crate) fn new(parts: CheckpointParts) -> Result<Self, Failure> {
        let CheckpointParts { base_url, password, program, data_dir, naive, clock, entropy } = parts;
        let resource = |name: &str| ResourceId::parse(&format!("{base_url}/mcp/{name}")).map_err(failure);
        let (notes, diary, relay) = (resource("notes")?, resource("diary")?, resource("relay")?);
        let http = SafeHttp::new(HttpSettings { allow_http_loopback: true, ..HttpSettings::default() });
        let http = Recording::new(http.map_err(failure)?);
        Ok(Self { base_url, notes, diary, relay, naive, password, http, clock, entropy, program, data_dir })
    }

    /// The folder in which the story keeps files.
    pub(crate) fn folder(&self) -> &Path {
        &self.data_dir
    }

    /// Runs `sekisho WORDS --json`, as the operator does at the command line. Returns what it prints.
    pub(crate) async fn operate(&self, words: &[&str]) -> Result<Value, Failure> {
        let mut command = tokio::process::Command::new(&self.program);
        command.arg("--json").arg("--data-dir").arg(&self.data_dir).args(words);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let shown = || format!("sekisho {}", words.join(" "));
        let output = tokio::time::timeout(COMMAND_TIMEOUT, command.output()).await;
        let output = output.map_err(|_| failure(format!("`{}` takes too long", shown())))?.map_err(failure)?;
        // Exit code 1 is an answer, too: no.
        if !matches!(output.status.code(), Some(0 | 1)) {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(failure(format!("`{}` failed: {}", shown(), said.trim())));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            failure(format!("`{}` printed no JSON ({error}): {}", shown(), said.trim()))
        })
    }

    /// Sends one request of the newest revision.
    pub(crate) async fn call(
        &self,
        at: &ResourceId,
        tokens: Option<&Tokens>,
        method: &str,
        params: Value,
    ) -> Result<McpAnswer, Failure> {
        McpSession::new(at.clone(), Revision::V2026_07_28, "sekisho demo")
            .call(&self.http, tokens, method, params)
            .await
            .map_err(failure)
    }

    /// Calls one tool.
    pub(crate) async fn tool(
        &self,
        at: &ResourceId,
        tokens: Option<&Tokens>,
        name: &str,
        arguments: Value,
    ) -> Result<McpAnswer, Failure> {
        self.call(at, tokens, "tools/call", json!({ "name": name, "arguments": arguments })).await
    }

    /// Follows the first 401 to the issuer, and registers a client there.
    pub(crate) async fn introduce(&self, at: &ResourceId) -> Result<Introduction, Failure> {
        let refused = self.call(at, None, "tools/list", json!({})).await?;
        let resource = discover_resource(&self.http, at, refused.challenge.as_ref()).await.map_err(failure)?;
        let server = discover_any_issuer(&self.http, &resource).await.map_err(failure)?;
        let request = RegistrationRequest {
            client_name: "Demo agent".to_owned(),
            redirect_uris: vec![redirect()?],
            application_type: ApplicationType::Native,
            scope: None,
        };
        let registration = register(&self.http, &server, &request).await.map_err(failure)?;
        let scopes = select_scopes(refused.challenge.as_ref(), &resource, &server);
        Ok(Introduction { server, registration, scopes })
    }

    /// Returns the authorization request, with the URL to which a person is sent.
    pub(crate) fn invite(
        &self,
        server: &AuthorizationServer,
        registration: &Registration,
        at: &ResourceId,
        scopes: Option<&ScopeSet>,
    ) -> Result<AuthorizationRequest, Failure> {
        self.invite_to(server, registration, at, scopes, redirect()?.as_str())
    }

    /// Does the same for another redirect URI.
    pub(crate) fn invite_to(
        &self,
        server: &AuthorizationServer,
        registration: &Registration,
        at: &ResourceId,
        scopes: Option<&ScopeSet>,
        redirect: &str,
    ) -> Result<AuthorizationRequest, Failure> {
        let redirect_uri = RedirectUri::parse(redirect).map_err(failure)?;
        let wish = AuthorizationParameters { resource: at, redirect_uri: &redirect_uri, scopes, by_hand: false };
        authorization::begin(server, registration, wish, self.entropy.as_ref()).map_err(failure)
    }

    /// Signs a person in, by approving a client of theirs.
    pub(crate) async fn log_in(&self, person: &mut Person) -> Result<(), Failure> {
        let Introduction { server, registration, scopes } = self.introduce(&self.notes).await?;
        let request = self.invite(&server, &registration, &self.notes, scopes.as_ref())?;
        self.let_in(person, &request, &server, &registration).await.map(drop)
    }

    /// Lets a person approve the client: login, consent, code, token.
    pub(crate) async fn let_in(
        &self,
        person: &mut Person,
        request: &AuthorizationRequest,
        server: &AuthorizationServer,
        registration: &Registration,
    ) -> Result<Tokens, Failure> {
        let redirected = person.approve(&self.http, request.url()).await?;
        let answer = authorization::finish(request, &redirected).map_err(failure)?;
        let endpoint = TokenEndpoint::new(&self.http, server, registration).map_err(failure)?;
        endpoint.exchange_code(request, &answer.code, self.clock.now()).await.map_err(failure)
    }

    /// Returns the identifiers of the owner's active grants.
    pub(crate) async fn grants(&self) -> Result<Vec<String>, Failure> {
        let listed = self.operate(&["grant", "list", "--user", OWNER]).await?;
        let grants = listed.get("grants").and_then(Value::as_array).ok_or_else(|| failure("no grants are listed"))?;
        let living = grants.iter().filter(|grant| grant.get("revoked") == Some(&Value::Bool(false)));
        Ok(living.filter_map(|grant| grant.get("id")?.as_str().map(str::to_owned)).collect())
    }

    /// Returns the owner's newest grant. Identifiers sort by time.
    pub(crate) async fn newest_grant(&self) -> Result<String, Failure> {
        self.grants().await?.into_iter().max().ok_or_else(|| failure("there is no grant"))
    }

    /// Does all of that at once, for scenes that are about something else.
    pub(crate) async fn visitor(&self, user: &str, at: &ResourceId, scopes: &str) -> Result<Visitor, Failure> {
        let Introduction { server, registration, .. } = self.introduce(at).await?;
        let scopes: ScopeSet = scopes.parse().map_err(failure)?;
        let request = self.invite(&server, &registration, at, Some(&scopes))?;
        let mut person = Person::new(user, &self.password);
        let tokens = self.let_in(&mut person, &request, &server, &registration).await?;
        self.http.take();
        Ok(Visitor { server, registration, tokens })
    }
}

/// Returns the redirect URI of the demo's client. Nothing listens there, because the story reads the redirect itself.
fn redirect() -> Result<RedirectUri, Failure> {
    RedirectUri::parse("http://127.0.0.1:8765/callback").map_err(failure)
}
