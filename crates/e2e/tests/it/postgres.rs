//! `[store] url`: the same story on PostgreSQL, and what is refused there.

use std::process::Command;
use std::time::Duration;

use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::oauth::{Client, REDIRECT};
use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::fakes::wire::{Reply, ask};
use sekisho_e2e::harness::wait::within;
use sekisho_e2e::harness::{Checkpoint, Person};

const PASSWORD: &str = "correct horse battery staple";
const UP: &str = "/mcp/up";

/// A separate database in the PostgreSQL that `SEKISHO_TEST_POSTGRES` names. It is dropped with this value.
pub(crate) struct Database {
    base: String,
    name: String,
}

impl Database {
    #[expect(clippy::disallowed_methods, reason = "which PostgreSQL the tests may use is said from outside")]
    pub(crate) fn create() -> Self {
        let base = std::env::var("SEKISHO_TEST_POSTGRES")
            .expect("SEKISHO_TEST_POSTGRES names a PostgreSQL for the tests; scripts/test starts one");
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let unique = folder.path().file_name().expect("it has a name").to_string_lossy().to_lowercase();
        let name: String =
            format!("sekisho_e2e_{unique}").chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
        psql(&base, &format!("CREATE DATABASE {name} TEMPLATE template0"));
        Self { base, name }
    }

    /// Returns its URL.
    pub(crate) fn url(&self) -> String {
        let (head, query) = self.base.split_once('?').unwrap_or((&self.base, ""));
        let server = head.rsplit_once('/').expect("a URL that names a database").0;
        format!("{server}/{}?{query}", self.name)
    }

    /// Returns the output of `psql` for this statement.
    pub(crate) fn ask(&self, sql: &str) -> String {
        psql(&self.url(), sql)
    }

    fn count(&self, table: &str) -> u64 {
        psql(&self.url(), &format!("SELECT count(*) FROM {table}")).trim().parse().expect("a number")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        psql(&self.base, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn psql(url: &str, sql: &str) -> String {
    let output = Command::new("psql").args([url, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql]).output();
    let output = output.expect("psql is there: scripts/install installs it with PostgreSQL");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("psql writes text")
}

fn toml(upstream: &Upstream, database: &str) -> String {
    let url = upstream.url();
    format!(
        "policies = \"rules\"\n[store]\nurl = \"{database}\"\n[servers.up]\nurl = \"{url}\"\ntools = {{ look = \"read\", keep = \"write\" }}\n"
    )
}

const RULES: &str = "@id(\"read\") permit(principal in Group::\"owners\", action, resource) unless { resource is Tool && resource.level >= 1 };
@id(\"keep\") @approval permit(principal in Group::\"owners\", action == Action::\"call\", resource == Tool::\"up/keep\");
";

async fn call(checkpoint: &Checkpoint, token: &str, name: &str) -> Reply {
    let port = checkpoint.base_url().rsplit(':').next().expect("a port");
    let address = format!("127.0.0.1:{port}").parse().expect("an address");
    ask(address, &tool(UP, token, name)).await.expect("an answer")
}

/// Calls until the change has taken effect, which must happen within a second.
async fn felt(checkpoint: &Checkpoint, token: &str, name: &str, status: u16) -> Reply {
    within(Duration::from_secs(1), &format!("{status} for {name}"), async || {
        let reply = call(checkpoint, token, name).await;
        (reply.status == status).then_some(reply)
    })
    .await
}

/// Sign in, consent, call, task, approval, restart and revocation, with all data in PostgreSQL and none beside it.
#[tokio::test]
async fn the_whole_story_is_kept_in_postgresql() {
    let database = Database::create();
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let setup = Checkpoint::configured(&toml(&upstream, &database.url()));
    std::fs::create_dir(setup.folder().join("rules")).unwrap();
    std::fs::write(setup.folder().join("rules/rules.cedar"), RULES).unwrap();
    let checkpoint = setup.start().await;
    checkpoint.add_user("alice", PASSWORD, true).await;
    let client = Client::register(checkpoint.base_url(), "Honest client", REDIRECT).await;
    let granted =
        client.be_granted(&format!("{}{UP}", checkpoint.base_url()), "mcp:read mcp:write", "alice", PASSWORD).await;
    assert_eq!(call(&checkpoint, &granted.access, "look").await.status, 200);

    // A task restricts the grant, and its budget is counted in the database.
    let grant = granted.claim("grant").as_str().unwrap().to_owned();
    let task = checkpoint
        .ask(&["task", "start", "--grant", &grant, "--purpose", "look", "--tool", "look", "--calls", "1"])
        .await;
    felt(&checkpoint, &granted.access, "keep", 403).await;
    assert_eq!(call(&checkpoint, &granted.access, "look").await.status, 200);
    assert_eq!(call(&checkpoint, &granted.access, "look").await.status, 403);
    checkpoint.ask(&["task", "finish", task[0]["id"].as_str().unwrap()]).await;
    checkpoint.ask(&["task", "resume", "--grant", &grant]).await;
    felt(&checkpoint, &granted.access, "look", 401).await;
    let fresh = client.granted(&client.token(&client.refreshing(&granted.refresh)).await);

    // One call is approved, once, by the person who gave the grant.
    let asked = call(&checkpoint, &fresh.access, "keep").await.json();
    let url = asked["result"]["_meta"]["io.sekisho/refusal"]["remedy"]["url"].as_str().unwrap().to_owned();
    assert_eq!(Person::new("alice", PASSWORD).say_yes(&url).await.status, 200);
    assert_ne!(call(&checkpoint, &fresh.access, "keep").await.json()["result"]["isError"], true);
    assert_eq!(call(&checkpoint, &fresh.access, "keep").await.json()["result"]["isError"], true);

    // After a restart all data is there, and the commands find the database without the configuration.
    let records = checkpoint.records().await.len();
    let checkpoint = checkpoint.crash().await;
    assert!(checkpoint.records().await.len() >= records);
    assert_eq!(call(&checkpoint, &fresh.access, "look").await.status, 200);
    checkpoint.ask(&["grant", "revoke", &grant]).await;
    felt(&checkpoint, &fresh.access, "look", 401).await;
    let data = checkpoint.data_dir();
    let setup = checkpoint.kill().await;
    assert_eq!(setup.command(&["grant", "list"]).await.code(), Some(0));
    let verified = setup.command(&["audit", "verify"]).await;
    assert_eq!(verified.code(), Some(0), "{}", verified.stderr);
    let files: Vec<String> =
        std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!files.iter().any(|name| name.ends_with(".db")), "{files:?}");
    assert!(database.count("users") == 1 && database.count("grants") == 1);
}

/// A folder belongs to its database. If a database does not exist, or was used with another key, the error does not
/// contain the password in its URL.
#[tokio::test]
async fn another_database_is_not_taken_by_mistake() {
    let database = Database::create();
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let first = Checkpoint::configured(&toml(&upstream, &database.url()));
    std::fs::create_dir(first.folder().join("rules")).unwrap();
    let first = first.start().await;
    let configuration = first.configuration();
    let setup = first.kill().await;
    let with = |url: Option<&str>| {
        let text = toml(&upstream, url.unwrap_or_default());
        let text = if url.is_none() { text.replace("[store]\nurl = \"\"\n", "") } else { text };
        std::fs::write(&configuration, text).unwrap();
    };
    with(None);
    let none = setup.fail().await;
    assert_eq!(none.code(), Some(2), "{}", none.stderr);
    assert!(none.stderr.contains("belongs to a PostgreSQL database"), "{}", none.stderr);
    with(Some("postgres://somebody:canary-4711@127.0.0.1:1/none"));
    let away = setup.fail().await;
    assert_eq!(away.code(), Some(3), "{}", away.stderr);
    assert!(away.stderr.contains("`[store] url` cannot be used"), "{}", away.stderr);
    assert!(away.stderr.contains("the password of the database stands in this file"), "{}", away.stderr);
    for said in [&none, &away] {
        assert!(!format!("{}{}", said.stdout, said.stderr).contains("canary-4711"), "{}", said.stderr);
    }
    // Another folder has another key.
    let other = Checkpoint::configured(&toml(&upstream, &database.url()));
    std::fs::create_dir(other.folder().join("rules")).unwrap();
    let refused = other.fail().await;
    assert_eq!(refused.code(), Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains("is the key it was first used with"), "{}", refused.stderr);
    // A folder with a SQLite database accepts no other database.
    let sqlite = Checkpoint::configured(&toml(&upstream, &database.url())).owner("alice", PASSWORD);
    std::fs::create_dir(sqlite.folder().join("rules")).unwrap();
    let refused = sqlite.fail().await;
    assert_eq!(refused.code(), Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("holds a SQLite database"), "{}", refused.stderr);
}
