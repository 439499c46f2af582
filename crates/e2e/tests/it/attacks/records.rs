//! The records exist, are complete, and are a condition for every act; and nothing is open by default.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use sekisho_e2e::fakes::browser::{Browser, Landing};
use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::wire::{Ask, ask};
use sekisho_e2e::harness::Checkpoint;
use sekisho_e2e::harness::wait::within;
use serde_json::json;

use super::field::{Field, OWNER, UP, USER};

/// ATK-98, PX-38, RS-64: each decision and its outcome are recorded under the request's id: who, what and why.
#[tokio::test]
async fn every_call_is_on_record() {
    let field = Field::start().await;
    let granted = field.granted(USER, "mcp:read").await;
    for (name, status, verdict) in [("look", 200, "permit"), ("keep", 403, "step_up"), ("wipe", 403, "deny")] {
        let reply = field.ask(&tool(UP, &granted.access, name)).await;
        assert_eq!(reply.status, status, "{name}");
        let request = reply.header("x-request-id").unwrap().to_owned();
        let wanted = if status == 200 { 2 } else { 1 };
        let rows = within(Duration::from_secs(10), "the records", async || {
            let rows = field.checkpoint.ask(&["audit", "export", "--request", &request]).await;
            (rows.len() >= wanted).then_some(rows)
        })
        .await;
        let decision =
            rows.iter().map(|row| &row["record"]["event"]).find(|event| event["kind"] == "decision").unwrap();
        assert_eq!(
            (&decision["verdict"], &decision["target"], &decision["server"], &decision["need"]),
            (&json!(verdict), &json!(name), &json!("up"), &json!("undeclared")),
            "{decision}"
        );
        assert_eq!(
            (&decision["grant"], &decision["client"], &decision["subject"], &decision["token"]),
            (&granted.claim("grant"), &granted.claim("client_id"), &granted.claim("sub"), &granted.claim("jti"))
        );
        assert_eq!(rows.iter().any(|row| row["record"]["event"]["kind"] == "outcome"), status == 200);
    }
}

/// ATK-98: a write that was answered is recorded, even if the power fails at the same moment.
#[tokio::test]
async fn an_answered_write_is_on_record_after_a_crash() {
    let mut field = Field::start().await;
    let granted = field.granted(USER, "mcp:read mcp:write").await;
    let mut requests = Vec::new();
    for _ in 0..20 {
        let reply = field.ask(&tool(UP, &granted.access, "keep")).await;
        assert_eq!(reply.status, 200);
        requests.push(reply.header("x-request-id").unwrap().to_owned());
    }
    field.checkpoint = field.checkpoint.crash().await;
    let records = field.checkpoint.records().await;
    for request in requests {
        assert!(
            records
                .iter()
                .any(|row| row["record"]["request"] == json!(request) && row["record"]["event"]["verdict"] == "permit"),
            "{request} has no record"
        );
    }
    field.is_healthy(&granted).await;
}

/// ATK-98: if nothing can be recorded, only reads are done; everything works again when recording does.
#[tokio::test]
async fn what_cannot_be_recorded_is_not_done() {
    let field = Field::start().await;
    let granted = field.granted(USER, "mcp:read mcp:write").await;
    field.is_healthy(&granted).await;
    // Another process holds the database's lock: all our writes fail until it releases the lock.
    let database = field.checkpoint.data_dir().join("sekisho.db");
    let program = format!(
        "import sqlite3,sys\nc=sqlite3.connect({:?},isolation_level=None,timeout=30)\nc.execute('BEGIN IMMEDIATE')\nprint('held',flush=True)\nsys.stdin.read()\n",
        database.display().to_string()
    );
    let mut holder = std::process::Command::new("python3");
    holder.args(["-c", &program]);
    let mut holder = sekisho_e2e::harness::Process::start(&mut holder);
    holder.stdout().contains("held").await;
    let reply = field.ask(&tool(UP, &granted.access, "keep")).await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.header("retry-after").is_some());
    field.untouched();
    holder.close_stdin();
    holder.ended().await;
    let again = within(Duration::from_secs(20), "a write works again", async || {
        let reply = field.ask(&tool(UP, &granted.access, "keep")).await;
        (reply.status == 200).then_some(())
    });
    again.await;
}

/// ATK-100, ATK-96: a new checkpoint has no password; its one-time link works once, and guesses of it fail.
#[tokio::test]
async fn nothing_is_open_by_default() {
    let checkpoint = Checkpoint::notes().start().await;
    let mut stranger = Browser::new(checkpoint.base_url());
    for (name, password) in
        [("owner", ""), ("owner", "owner"), ("owner", "admin"), ("admin", "admin"), ("root", "root"), ("", "")]
    {
        let Landing::Page(page) = stranger.open("/login").await else { panic!("a page") };
        let reply = stranger.post(&page.form().unwrap().fill("username", name).fill("password", password)).await;
        assert!(matches!(reply.status, 401 | 429), "{name}/{password}: {}", reply.status);
    }
    assert!(stranger.cookies().keys().all(|name| name.ends_with("browser")), "no session");
    let link = checkpoint.setup_url().to_owned();
    for bent in
        [format!("{link}A"), link[..link.len() - 1].to_owned(), format!("{}/setup/sks_su_guess", checkpoint.base_url())]
    {
        let Landing::Page(page) = stranger.open(&bent).await else { panic!("a page") };
        assert_eq!(page.reply.status, 404, "{bent}");
    }
    let mut owner = Browser::new(checkpoint.base_url());
    let Landing::Page(page) = owner.open(&link).await else { panic!("a page") };
    let form = page.form().unwrap();
    let chosen = form.clone().fill("password", "a good long password").fill("repeat", "a good long password");
    assert!(matches!(owner.post(&chosen).await.status, 302 | 303));
    let second = stranger.open(&link).await;
    assert!(matches!(second, Landing::Page(page) if page.reply.status == 404), "the link works once");
    assert!(owner.post(&chosen).await.status >= 400, "and so does its form");
    let recorded = checkpoint.records().await;
    assert!(recorded.iter().any(|row| row["record"]["event"]["act"] == "login_failed"));
    assert!(recorded.iter().any(|row| row["record"]["event"]["act"] == "password_set"));
}

/// ATK-96: guessing is slowed down by account and by address, an unknown name gets the same response as a wrong
/// password, and the owner is not locked out for good.
#[tokio::test]
async fn guessing_is_slowed_down() {
    let field = Field::start().await;
    let mut guesser = Browser::new(field.base_url());
    let mut known = Vec::new();
    let mut texts = Vec::new();
    for name in [OWNER, "nobody-of-that-name"] {
        let Landing::Page(page) = guesser.open("/login").await else { panic!("a page") };
        let csrf = page.form().unwrap().value("csrf").to_owned();
        let reply = guesser.post(&page.form().unwrap().fill("username", name).fill("password", "wrong password")).await;
        assert_eq!(reply.status, 401);
        let id = reply.header("x-request-id").unwrap().to_owned();
        texts.push(reply.text().replace(&id, "-").replace(name, "-").replace(&csrf, "-"));
    }
    assert_eq!(texts[0], texts[1], "an unknown name looks like a wrong password");
    for _ in 0..30 {
        let Landing::Page(page) = guesser.open("/login").await else { panic!("a page") };
        known.push(
            guesser.post(&page.form().unwrap().fill("username", OWNER).fill("password", "wrong password")).await.status,
        );
    }
    assert!(known.contains(&429), "{known:?}");
    field.noted("login_failed").await;
    let granted = field.client().await;
    assert_eq!(field.ask(&Ask::get("/healthz")).await.status, 200);
    drop(granted);
}

/// ATK-90, ATK-100, ST-02, PX-35: only its owner can read what the checkpoint stores, and its control socket is not
/// reachable over the network.
#[tokio::test]
async fn what_is_kept_is_the_owners_alone() {
    let field = Field::start().await;
    field.granted(OWNER, "mcp:read").await;
    let data = field.checkpoint.data_dir();
    let mode = |path: &std::path::Path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("control.sock")), 0o600);
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "key") {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
    for path in ["/control", "/control.sock", "/admin", "/api/grants", "/users"] {
        let reply = ask(field.address, &Ask::get(path)).await.unwrap();
        assert_eq!(reply.status, 404, "{path}");
    }
    field.lets_in().await;
}

/// ATK-58, RS-35, RS-37: no secret that was issued is readable in the data directory or in the log.
#[tokio::test]
async fn no_secret_is_kept_in_clear() {
    let field = Field::start().await;
    let client = field.confidential("https://backend.example/cb").await;
    let code = client.code(&field.resource(UP), "mcp:read", OWNER, super::field::PASSWORD).await;
    let granted = client.granted(&client.token(&client.redemption(&code)).await);
    field.is_healthy(&granted).await;
    let secrets = [
        code,
        granted.access.clone(),
        granted.refresh.clone(),
        client.secret.clone().unwrap(),
        super::field::PASSWORD.to_owned(),
    ];
    // The records are stored compressed, so they are also checked as they are read.
    let records = serde_json::to_string(&field.checkpoint.records().await).unwrap();
    assert!(records.contains(&client.id), "what is no secret is found, so a secret would be");
    let (log, data) = (field.checkpoint.stderr().now(), field.checkpoint.data_dir());
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a secret stands in {}", path.display());
        }
    }
    for secret in &secrets {
        assert!(!log.contains(secret.as_str()), "a secret stands in the log");
        assert!(!records.contains(secret.as_str()), "a secret stands in the records");
    }
}
