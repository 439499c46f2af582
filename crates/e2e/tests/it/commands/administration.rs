//! Users, clients, grants, records: each act has its effect on the next call, and is recorded.

use std::time::Duration;

use sekisho_e2e::fakes::browser::{Browser, Landing};
use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::oauth::{Client, Granted, REDIRECT};
use sekisho_e2e::fakes::wire::ask;
use sekisho_e2e::harness::Checkpoint;
use sekisho_e2e::harness::wait::within;

use super::sekisho;

const PASSWORD: &str = "correct horse battery staple";

fn address(checkpoint: &Checkpoint) -> std::net::SocketAddr {
    let port = checkpoint.base_url().rsplit(':').next().unwrap();
    format!("127.0.0.1:{port}").parse().unwrap()
}

async fn status(checkpoint: &Checkpoint, granted: &Granted) -> u16 {
    ask(address(checkpoint), &tool("/mcp/notes", &granted.access, "list_notes")).await.unwrap().status
}

async fn granted(checkpoint: &Checkpoint, user: &str) -> Granted {
    let client = Client::register(checkpoint.base_url(), "A client", REDIRECT).await;
    client.be_granted(checkpoint.server(), "mcp:read tool:list_notes", user, PASSWORD).await
}

async fn started() -> Checkpoint {
    let checkpoint = Checkpoint::notes().owner("alice", PASSWORD).start().await;
    checkpoint.classify(&["list_notes=read"]).await;
    checkpoint
}

/// `user role`: the user's rights to read the records and to change things apply at once, and the last owner stays an
/// owner.
#[tokio::test]
async fn a_user_has_one_part_at_a_time() {
    let checkpoint = started().await;
    for (role, word) in [("auditor", "auditor"), ("administrator", "administrator"), ("user", "user")] {
        assert_eq!(checkpoint.command(&["user", "role", "alice", role]).await.code(), Some(1), "the last owner");
        let name = format!("{word}-1");
        checkpoint.add_user(&name, PASSWORD, false).await;
        assert_eq!(checkpoint.command(&["user", "role", &name, role]).await.code(), Some(0));
        let listed = checkpoint.command(&["user", "list"]).await.stdout;
        let line = listed.lines().find(|line| line.starts_with(&name)).unwrap();
        assert!(line.split_whitespace().any(|cell| cell == word), "{line}");
    }
    let wrong = checkpoint.command(&["user", "role", "alice", "root"]).await;
    assert_eq!(wrong.code(), Some(2));
    assert!(wrong.stderr.contains("expected `owner`, `administrator`, `auditor` or `user`"), "{}", wrong.stderr);
    let both = checkpoint.command(&["user", "add", "eve", "--owner", "--role", "auditor"]).await;
    assert_eq!(both.code(), Some(2), "{}", both.stderr);
}

/// `user disable`: tokens, sessions and logins of that user end at once, and no others.
#[tokio::test]
async fn a_disabled_user_is_out_at_once() {
    let checkpoint = started().await;
    checkpoint.add_user("carol", PASSWORD, true).await;
    let (own, other) = (granted(&checkpoint, "carol").await, granted(&checkpoint, "alice").await);
    let mut browser = Browser::new(checkpoint.base_url());
    let Landing::Page(login) = browser.open("/login").await else { panic!("a page") };
    let _ = browser.submit(&login.form().unwrap().fill("username", "carol").fill("password", PASSWORD)).await;
    assert_eq!(status(&checkpoint, &own).await, 200);
    let done = checkpoint.command(&["user", "disable", "carol"]).await;
    assert_eq!((done.code(), done.stdout.trim()), (Some(0), "done; 1 grants ended"));
    within(Duration::from_secs(1), "the token is dead", async || {
        (status(&checkpoint, &own).await == 401).then_some(())
    })
    .await;
    assert_eq!(own.client.token(&own.client.refreshing(&own.refresh)).await.status, 400);
    let Landing::Page(home) = browser.open("/").await else { panic!("a page") };
    assert!(!home.reply.text().contains("carol"), "the session has ended");
    let Landing::Page(login) = browser.open("/login").await else { panic!("a page") };
    assert_eq!(
        browser.post(&login.form().unwrap().fill("username", "carol").fill("password", PASSWORD)).await.status,
        401
    );
    assert_eq!(status(&checkpoint, &other).await, 200);
    let users = checkpoint.ask(&["user", "list"]).await;
    let carol = users[0]["users"].as_array().unwrap().iter().find(|user| user["name"] == "carol").unwrap();
    assert_eq!(carol["disabled"], true);
    assert!(checkpoint.records().await.iter().any(|row| row["record"]["event"]["act"] == "user_disabled"));
}

/// `grant list | revoke`
#[tokio::test]
async fn a_revoked_grant_is_listed_and_dead() {
    let checkpoint = started().await;
    let held = granted(&checkpoint, "alice").await;
    let listed = checkpoint.ask(&["grant", "list", "--user", "alice"]).await;
    let grant = &listed[0]["grants"][0];
    assert_eq!(
        (&grant["subject"], &grant["server"], &grant["revoked"], &grant["id"]),
        (&"alice".into(), &"notes".into(), &false.into(), &held.claim("grant"))
    );
    assert_eq!(status(&checkpoint, &held).await, 200);
    let id = grant["id"].as_str().unwrap();
    assert_eq!(checkpoint.command(&["grant", "revoke", id]).await.code(), Some(0));
    within(Duration::from_secs(1), "the token is dead", async || {
        (status(&checkpoint, &held).await == 401).then_some(())
    })
    .await;
    assert_eq!(
        checkpoint.command(&["grant", "revoke", id]).await.code(),
        Some(1),
        "there is no living grant of that name any more"
    );
    let table = checkpoint.command(&["grant", "list"]).await.stdout;
    assert!(table.starts_with("GRANT") && table.contains("revoked"), "{table}");
}

/// `client add | list | remove`
#[tokio::test]
async fn a_client_is_added_listed_and_removed() {
    let checkpoint = started().await;
    let added = checkpoint
        .ask(&["client", "add", "Backend", "--redirect-uri", "https://backend.example/cb", "--confidential"])
        .await;
    let (id, secret) = (added[0]["id"].as_str().unwrap(), added[0]["secret"].as_str().unwrap());
    let client = Client::known(checkpoint.base_url(), id, Some(secret), "https://backend.example/cb");
    let held = client.be_granted(checkpoint.server(), "mcp:read", "alice", PASSWORD).await;
    assert_eq!(status(&checkpoint, &held).await, 200);
    let listed = checkpoint.ask(&["client", "list"]).await;
    assert_eq!(
        (&listed[0]["clients"][0]["id"], &listed[0]["clients"][0]["origin"]),
        (&id.into(), &"registered".into())
    );
    assert!(!listed[0].to_string().contains(secret), "a secret is shown once");
    assert_eq!(checkpoint.command(&["client", "remove", id]).await.code(), Some(0));
    within(Duration::from_secs(1), "its token is dead", async || {
        (status(&checkpoint, &held).await == 401).then_some(())
    })
    .await;
    assert_eq!(client.token(&client.refreshing(&held.refresh)).await.status, 401, "nobody of that name any more");
    assert_eq!(checkpoint.command(&["client", "remove", id]).await.code(), Some(1));
}

/// The output of every `--json` form can be parsed; without a running instance, the same commands open the store
/// themselves.
#[tokio::test]
async fn every_command_speaks_json() {
    let checkpoint = started().await;
    granted(&checkpoint, "alice").await;
    let commands: [&[&str]; 10] = [
        &["user", "list"],
        &["client", "list"],
        &["grant", "list"],
        &["server", "list"],
        &["server", "tools", "list", "notes"],
        &["base-url", "show"],
        &["audit", "export"],
        &["audit", "tail", "--once"],
        &["user", "link", "alice"],
        &["audit", "tail", "--once", "-n", "3"],
    ];
    for words in commands {
        let lines = checkpoint.ask(words).await;
        assert!(!lines.is_empty(), "{words:?}");
    }
    assert_eq!(checkpoint.ask(&["audit", "tail", "--once", "-n", "3"]).await.len(), 3);
    let data = checkpoint.data_dir();
    let shown = sekisho(&data, &["base-url", "show"], "").await;
    assert_eq!(shown.stdout.trim(), checkpoint.base_url());
    let setup = checkpoint.kill().await;
    for words in commands {
        let alone = sekisho(&setup.data_dir(), &[&["--json"], words].concat(), "").await;
        assert_eq!(alone.code(), Some(0), "{words:?}: {}", alone.stderr);
        for line in alone.stdout.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|_| panic!("{words:?}: {line}"));
        }
    }
}

/// `audit export` prints every record once, oldest first, even if there are more than fit on one page.
#[tokio::test]
async fn an_export_is_complete_and_in_order() {
    let checkpoint = started().await;
    let held = granted(&checkpoint, "alice").await;
    // Reads are recorded a moment later than writes, which are recorded before they are done: the order of their times
    // differs from that of their numbers.
    for _ in 0..200 {
        let write = tool("/mcp/notes", &held.access, "delete_all_notes");
        let (first, second, refused) =
            tokio::join!(status(&checkpoint, &held), status(&checkpoint, &held), ask(address(&checkpoint), &write));
        assert_eq!((first, second, refused.unwrap().status), (200, 200, 403));
    }
    let rows = within(Duration::from_secs(20), "800 records", async || {
        let rows = checkpoint.records().await;
        (rows.iter().filter(|row| row["record"]["event"]["kind"] == "outcome").count() >= 400).then_some(rows)
    })
    .await;
    let numbers: Vec<i64> = rows.iter().map(|row| row["seq"].as_i64().unwrap()).collect();
    let complete: Vec<i64> = (1..=i64::try_from(numbers.len()).unwrap()).collect();
    assert_eq!(numbers, complete, "a record is missing, twice or out of order");
}

/// `base-url set` needs a stopped instance. It ends every grant, and says how many.
#[tokio::test]
async fn a_changed_base_url_ends_every_grant() {
    let checkpoint = started().await;
    let held = granted(&checkpoint, "alice").await;
    assert_eq!(status(&checkpoint, &held).await, 200);
    let running = checkpoint.command(&["base-url", "set", "https://mcp.example.com"]).await;
    assert_eq!(running.code(), Some(3), "{}", running.stderr);
    let setup = checkpoint.kill().await;
    let set = sekisho(&setup.data_dir(), &["base-url", "set", "https://mcp.example.com"], "").await;
    assert_eq!((set.code(), set.stdout.trim()), (Some(0), "changed; 1 grants ended"), "{}", set.stderr);
    let grants = sekisho(&setup.data_dir(), &["--json", "grant", "list"], "").await;
    let grants: serde_json::Value = serde_json::from_str(grants.stdout.trim()).unwrap();
    assert!(grants["grants"].as_array().unwrap().iter().all(|grant| grant["revoked"] == true), "{grants}");
    assert_eq!(sekisho(&setup.data_dir(), &["base-url", "show"], "").await.stdout.trim(), "https://mcp.example.com");
}
