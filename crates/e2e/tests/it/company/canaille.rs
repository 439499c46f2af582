//! PyPI `canaille` as the company's identity provider, behind Chromium.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use sekisho_e2e::harness::node::company_program;
use sekisho_e2e::harness::{Agent, Caller, Checkpoint, Process, wait};
use serde_json::{Value, json};

use super::{
    CLIENT, GRANTED, PASSWORD, SECRET, browser_of, comes_to_read, let_in, people, reads, redeem, setup, sign_in,
    sign_out, text,
};

/// The provider, with its own folder. It stops when it is dropped.
struct Canaille {
    folder: tempfile::TempDir,
    address: String,
    process: Option<Process>,
}

impl Canaille {
    /// Makes a key and a database, and starts.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut canaille = Self { folder, address: free.to_string(), process: None };
        let key = canaille.command(&["jwk", "create", "rsa"]).await;
        let key: Value = serde_json::from_str(&key).unwrap();
        let members = key.as_object().unwrap().iter().map(|(name, value)| format!("{name} = {value}"));
        let key = members.collect::<Vec<_>>().join(", ");
        let toml = format!(
            "SECRET_KEY = \"a key of this test\"\nSERVER_NAME = \"{free}\"\nPREFERRED_URL_SCHEME = \"http\"\n\
             [CANAILLE]\nDATABASE = \"sql\"\nLANGUAGE = \"en\"\n\
             [CANAILLE_SQL]\nDATABASE_URI = \"sqlite:///{}/canaille.db\"\n\
             [CANAILLE_OIDC]\nACTIVE_JWKS = [{{ {key} }}]\n",
            canaille.folder.path().display()
        );
        std::fs::write(canaille.folder.path().join("canaille.toml"), toml).unwrap();
        canaille.command(&["install"]).await;
        canaille.serve().await;
        canaille
    }

    fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    fn program(&self) -> Command {
        let mut command = company_program("canaille");
        command.current_dir(self.folder.path());
        let file = self.folder.path().join("canaille.toml");
        if Path::exists(&file) {
            command.env("CANAILLE_CONFIG", file);
        }
        command
    }

    /// Runs a command of canaille to its end; what it writes.
    async fn command(&self, words: &[&str]) -> String {
        let mut process = Process::start(self.program().args(words));
        process.close_stdin();
        let status = process.ended().await;
        assert!(status.success(), "canaille {words:?}: {}", process.stderr().now());
        process.stdout().now()
    }

    async fn serve(&mut self) {
        self.process = Some(Process::start(self.program().args(["run", "--bind", &self.address])));
        let url = format!("{}/.well-known/openid-configuration", self.issuer());
        let running = async || {
            let connected = std::net::TcpStream::connect(&self.address).is_ok();
            (connected && Caller::new().get(&url).send().await.status == 200).then_some(())
        };
        wait::until("canaille answers", running).await;
    }

    fn stop(&mut self) {
        self.process = None;
    }

    async fn user(&self, name: &str) {
        let mail = format!("{name}@example.com");
        let words = ["create", "user", "--user-name", name, "--family-name", name, "--emails", &mail, "--password"];
        self.command(&[&words[..], &[PASSWORD]].concat()).await;
    }

    async fn group(&self, name: &str, members: &str) -> String {
        let made = self.command(&["create", "group", "--display-name", name, "--members", members]).await;
        serde_json::from_str::<Value>(&made).unwrap()["id"].as_str().unwrap().to_owned()
    }

    async fn members(&self, group: &str, members: &str) {
        self.command(&["set", "group", group, "--members", members]).await;
    }

    /// Registers the checkpoint. `client_uri` is not of this machine, or canaille would trust it without asking the person.
    async fn client(&self, checkpoint: &Checkpoint) {
        let redirect = format!("{}/login/corp/callback", checkpoint.base_url());
        let words = ["create", "client", "--client-id", CLIENT, "--client-secret", SECRET, "--client-name", "Sekisho"];
        let more = ["--client-uri", "https://sekisho.example", "--redirect-uris", &redirect];
        let grants = ["--grant-types", "authorization_code", "--response-types", "code"];
        let scopes = ["--scope", "openid", "--scope", "profile", "--scope", "email", "--scope", "groups"];
        // Without the second it signs with the strongest algorithm of its key, and not with that of OpenID Connect, RS256.
        let method = ["--token-endpoint-auth-method", "client_secret_basic", "--id-token-signed-response-alg", "RS256"];
        self.command(&[&words[..], &more, &grants, &scopes, &method].concat()).await;
        // A client that is made on the command line gets ID tokens for nobody until it is its own audience.
        self.command(&["set", "client", CLIENT, "--audience", CLIENT]).await;
    }
}

impl Drop for Canaille {
    /// What the provider wrote is needed where a test fails at its page.
    fn drop(&mut self) {
        if let Some(process) = self.process.as_ref().filter(|_| std::thread::panicking()) {
            eprintln!("canaille wrote:\n{}", process.stderr().now());
        }
    }
}

const SCOPES: &str = "scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\
    [[login.provider.groups]]\nclaim = \"groups\"";

/// PX-08, AS-35: somebody lets a client in and signs in at canaille on the way; a group there gives rights, and its loss takes them
/// from tokens that are out; who signs out is out; and a provider that is away or is restarted in the middle of a sign-in harms
/// nobody.
#[tokio::test(flavor = "multi_thread")]
async fn people_of_canaille_sign_in() {
    let mut canaille = Canaille::start().await;
    for name in ["ada", "grace"] {
        canaille.user(name).await;
    }
    let engineers = canaille.group("engineers", "ada").await;
    let checkpoint = setup(&canaille.issuer(), SCOPES).start().await;
    canaille.client(&checkpoint).await;

    let mut ada = browser_of(&checkpoint, "ada", PASSWORD).await;
    let tokens = let_in(&checkpoint, &mut ada).await;
    assert!(reads(&checkpoint, &tokens).await);
    assert_eq!(people(&checkpoint).await, ["corp:ada@example.com"]);

    // Out of the group. The next sign-in says so: the provider knows the browser still.
    canaille.members(&engineers, "grace").await;
    sign_out(&checkpoint, &mut ada).await;
    let seen = sign_in(&checkpoint, &mut ada).await;
    assert!(text(&seen).contains("corp:ada"), "{seen:#}");
    comes_to_read(&checkpoint, &tokens, false).await;
    let mut grace = browser_of(&checkpoint, "grace", PASSWORD).await;
    let of_grace = let_in(&checkpoint, &mut grace).await;
    assert!(reads(&checkpoint, &of_grace).await);

    // The provider is away: a page says so, nobody is signed in, and what was granted before goes on.
    sign_out(&checkpoint, &mut ada).await;
    canaille.stop();
    let agent = Agent::register(&checkpoint.server_named("notes")).await;
    let invitation = agent.invite(Some(GRANTED));
    let seen = ada.ask(&json!({ "go": invitation.url })).await;
    assert!(seen["redirect"].is_null(), "{seen:#}");
    assert!(reads(&checkpoint, &of_grace).await);
    canaille.serve().await;

    // It is restarted between the page of the name and that of the password. Whatever canaille forgets of it, the person comes in
    // by the same link.
    canaille.members(&engineers, "ada").await;
    let mut ada = browser_of(&checkpoint, "ada", PASSWORD).await;
    let seen = ada.ask(&json!({ "go": invitation.url, "until": "input[type=password]" })).await;
    assert!(seen["page"]["url"].as_str().unwrap().starts_with(&canaille.issuer()), "{seen:#}");
    canaille.stop();
    canaille.serve().await;
    let mut seen = ada.ask(&json!({ "on": true })).await;
    if seen["redirect"].is_null() {
        seen = ada.ask(&json!({ "go": invitation.url })).await;
    }
    let again = redeem(&checkpoint, &agent, &invitation, &seen).await;
    assert!(reads(&checkpoint, &again).await);
    comes_to_read(&checkpoint, &tokens, true).await;
    assert_eq!(people(&checkpoint).await.len(), 2, "still the same people");
}
