//! What the story happens in: an instance in a temporary folder, two servers, two users, one client program.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use sekisho_acts::command::{Command, Outcome};
use sekisho_client::authorization::{self, AuthorizationRequest, Wish};
use sekisho_client::discovery::{discover_any_issuer, discover_resource, select_scopes};
use sekisho_client::http::{HttpSettings, Recording, SafeHttp};
use sekisho_client::mcp::{McpAnswer, McpSession};
use sekisho_client::registration::{ApplicationType, Registration, RegistrationRequest, register};
use sekisho_client::token::{TokenEndpoint, Tokens};
use sekisho_issuer::login::password::hash_password;
use sekisho_policy::rights::PolicyFile;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock as _, Entropy as _};
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::mcp::method::Revision;
use sekisho_protocol::metadata::AuthorizationServer;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::role::Role;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::Password;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::naive::Naive;
use super::person::Person;
use super::scene::{Failure, failure};
use crate::config::{Arguments, Configuration, ServerDefinition};
use crate::data_dir::DataDir;
use crate::error::CommandError;
use crate::instance::{Instance, Parts, Source};
use crate::os::{OsEntropy, SystemClock};
use crate::{control, listen};

/// Owns the checkpoint.
pub(super) const OWNER: &str = "alice";
/// May read notes, and nothing else.
pub(super) const READER: &str = "bob";

/// The one rule beside what the configuration says in short.
pub(super) const POLICY: &str = r#"
@id("ask-before-losing")
@approval
@reason("every note would be gone")
permit(principal in Group::"owners", action == Action::"call", resource == Tool::"notes/delete_all_notes");
"#;

/// Everything the scenes share.
pub(super) struct World {
    pub(super) base_url: String,
    pub(super) notes: ResourceId,
    pub(super) diary: ResourceId,
    /// A server over HTTP that looks at what it is shown.
    pub(super) relay: ResourceId,
    pub(super) naive: Naive,
    pub(super) password: String,
    pub(super) http: Recording<SafeHttp>,
    pub(super) data: DataDir,
    stop: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<Result<(), CommandError>>,
    _folder: tempfile::TempDir,
}

/// A client program that somebody let in.
pub(super) struct Visitor {
    pub(super) server: AuthorizationServer,
    pub(super) registration: Registration,
    pub(super) tokens: Tokens,
}

impl World {
    /// Starts the checkpoint on a free port.
    pub(super) async fn start(listen: SocketAddr) -> Result<Self, CommandError> {
        let folder = tempfile::tempdir()
            .map_err(|error| CommandError::environment(format!("no temporary folder: {error}"), "free some disk"))?;
        let data = DataDir::open(Some(folder.path()))?;
        let lock =
            data.lock()?.ok_or_else(|| CommandError::environment("the temporary folder is in use", "try again"))?;
        let store = data.store().await?;
        let listeners = listen::bind(Some(listen), 0).await?;
        if !listeners.address.ip().is_loopback() {
            return Err(CommandError::usage("the demo listens on loopback only", "leave out --listen"));
        }
        let naive = Naive::start().await?;
        let policy = PolicyFile { name: "demo.cedar".to_owned(), text: POLICY.to_owned() };
        let configuration =
            Configuration { servers: servers(&naive.origin)?, policy_files: vec![policy], ..Configuration::default() };
        let port = listeners.address.port();
        let instance =
            Instance::start(Parts { data: data.clone(), lock, store, configuration, source: Source::File, port })
                .await?;
        let (stop, stopped) = watch::channel(false);
        let base_url = instance.base_url.clone();
        let serving = tokio::spawn({
            let instance: Arc<Instance> = instance.clone();
            async move { instance.serve(listeners, None, stopped, || Ok(())).await }
        });
        let password = password();
        for (name, role) in [(OWNER, Role::Owner), (READER, Role::User)] {
            let hashed = hash_password(Password::from_outside(password.clone()), &OsEntropy).await;
            let hashed = hashed.map_err(|error| {
                CommandError::environment(format!("no password could be made: {error}"), "free some memory")
            })?;
            perform(&instance, Command::UserAdd { name: name.to_owned(), role, password: Some(hashed) }).await?;
        }
        instance.take_over().await?;
        let identifier = |name: &str| {
            ResourceId::parse(&format!("{base_url}/mcp/{name}"))
                .map_err(|error| CommandError::environment(error.to_string(), "leave out --listen"))
        };
        let outbound = SafeHttp::new(HttpSettings { allow_http_loopback: true, ..HttpSettings::default() });
        let outbound = outbound.map_err(|error| CommandError::environment(error.to_string(), "try again"))?;
        Ok(Self {
            notes: identifier("notes")?,
            diary: identifier("diary")?,
            relay: identifier("relay")?,
            naive,
            base_url,
            password,
            http: Recording::new(outbound),
            data,
            stop,
            serving,
            _folder: folder,
        })
    }

    /// Ends everything.
    pub(super) async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.serving.await;
    }

    /// What an operator does at the command line, through the control socket.
    pub(super) async fn operate(&self, command: Command) -> Result<Outcome, Failure> {
        control::act_in(&self.data, command).await.map_err(failure)
    }

    /// One request of the newest revision.
    pub(super) async fn call(
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

    /// One tool call.
    pub(super) async fn tool(
        &self,
        at: &ResourceId,
        tokens: Option<&Tokens>,
        name: &str,
        arguments: Value,
    ) -> Result<McpAnswer, Failure> {
        self.call(at, tokens, "tools/call", json!({ "name": name, "arguments": arguments })).await
    }

    /// From the first 401 to who grants access, and as which client.
    pub(super) async fn introduce(
        &self,
        at: &ResourceId,
    ) -> Result<(AuthorizationServer, Registration, Option<ScopeSet>), Failure> {
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
        Ok((server, registration, scopes))
    }

    /// The URL to which a person is sent.
    pub(super) fn invite(
        &self,
        server: &AuthorizationServer,
        registration: &Registration,
        at: &ResourceId,
        scopes: Option<&ScopeSet>,
    ) -> Result<AuthorizationRequest, Failure> {
        self.invite_to(server, registration, at, scopes, redirect()?.as_str())
    }

    /// The same, for an answer that goes elsewhere.
    pub(super) fn invite_to(
        &self,
        server: &AuthorizationServer,
        registration: &Registration,
        at: &ResourceId,
        scopes: Option<&ScopeSet>,
        redirect: &str,
    ) -> Result<AuthorizationRequest, Failure> {
        let redirect_uri = RedirectUri::parse(redirect).map_err(failure)?;
        let wish = Wish { resource: at, redirect_uri: &redirect_uri, scopes, by_hand: false };
        authorization::begin(server, registration, wish, &OsEntropy).map_err(failure)
    }

    /// A person logs in, by letting a client of theirs in.
    pub(super) async fn log_in(&self, person: &mut Person) -> Result<(), Failure> {
        let (server, registration, scopes) = self.introduce(&self.notes).await?;
        let request = self.invite(&server, &registration, &self.notes, scopes.as_ref())?;
        self.let_in(person, &request, &server, &registration).await.map(drop)
    }

    /// A person lets the client in: login, consent, code, token.
    pub(super) async fn let_in(
        &self,
        person: &mut Person,
        request: &AuthorizationRequest,
        server: &AuthorizationServer,
        registration: &Registration,
    ) -> Result<Tokens, Failure> {
        let redirected = person.approve(&self.http, request.url()).await?;
        let answer = authorization::finish(request, &redirected).map_err(failure)?;
        let endpoint = TokenEndpoint::new(&self.http, server, registration).map_err(failure)?;
        endpoint.exchange_code(request, &answer.code, SystemClock.now()).await.map_err(failure)
    }

    /// The newest grant of the owner at the server with the notes.
    pub(super) async fn newest_grant(&self) -> Result<GrantId, Failure> {
        match self.operate(Command::GrantList { user: Some(OWNER.to_owned()) }).await? {
            Outcome::Grants { grants } => {
                let living = grants.iter().filter(|grant| !grant.revoked);
                living.max_by_key(|grant| grant.id).map(|grant| grant.id).ok_or_else(|| failure("there is no grant"))
            }
            other => Err(failure(format!("unexpected: {other:?}"))),
        }
    }

    /// All of that at once, for scenes that are about something else.
    pub(super) async fn visitor(&self, user: &str, at: &ResourceId, scopes: &str) -> Result<Visitor, Failure> {
        let (server, registration, _) = self.introduce(at).await?;
        let scopes: ScopeSet = scopes.parse().map_err(failure)?;
        let request = self.invite(&server, &registration, at, Some(&scopes))?;
        let mut person = Person::new(user, &self.password);
        let tokens = self.let_in(&mut person, &request, &server, &registration).await?;
        self.http.take();
        Ok(Visitor { server, registration, tokens })
    }
}

/// Where the demo's client would listen; nothing needs to, for the story reads the redirect itself.
fn redirect() -> Result<RedirectUri, Failure> {
    RedirectUri::parse("http://127.0.0.1:8765/callback").map_err(failure)
}

fn servers(naive: &str) -> Result<BTreeMap<String, ServerDefinition>, CommandError> {
    let own = std::env::current_exe().map_err(|error| {
        CommandError::environment(format!("this program cannot be found: {error}"), "run it by its path")
    })?;
    let command = vec![own.display().to_string(), "bundled".to_owned(), "notes".to_owned()];
    let classes = [
        ("list_notes", ToolClass::Read),
        ("read_note", ToolClass::Read),
        ("write_note", ToolClass::Write),
        ("delete_all_notes", ToolClass::Destructive),
    ];
    let tools: BTreeMap<_, _> = classes.into_iter().map(|(name, class)| (name.to_owned(), class)).collect();
    let notes = ServerDefinition {
        title: Some("Notes".to_owned()),
        command: command.clone(),
        users: BTreeMap::from([(READER.to_owned(), ToolClass::Read)]),
        tools: tools.clone(),
        arguments: Arguments::Sealed,
        ..ServerDefinition::default()
    };
    let diary = ServerDefinition { title: Some("Diary".to_owned()), command, tools, ..ServerDefinition::default() };
    let relay = ServerDefinition {
        title: Some("Relay".to_owned()),
        url: Some(format!("{naive}/upstream/mcp")),
        users: BTreeMap::from([(READER.to_owned(), ToolClass::Read)]),
        tools: BTreeMap::from([("lookup".to_owned(), ToolClass::Read)]),
        ..ServerDefinition::default()
    };
    let named = [("notes", notes), ("diary", diary), ("relay", relay)];
    Ok(named.into_iter().map(|(name, server)| (name.to_owned(), server)).collect())
}

/// A password that nobody could have guessed beforehand: no default credential, not even here (ATK-100).
fn password() -> String {
    let mut bytes = [0; 9];
    OsEntropy.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn perform(instance: &Instance, command: Command) -> Result<Outcome, CommandError> {
    control::perform_here(&instance.store, instance.node, instance.clock.as_ref(), command).await
}
