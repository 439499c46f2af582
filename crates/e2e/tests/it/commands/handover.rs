//! `run`: what it prints, how a second one adds its server to the first, and that no child outlives it.

use std::time::Duration;

use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::oauth::{Client, REDIRECT};
use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::fakes::wire::{Ask, ask};
use sekisho_e2e::harness::wait::within;
use sekisho_e2e::harness::{Checkpoint, binary};

use super::{script, sekisho};

const PASSWORD: &str = "correct horse battery staple";

fn address(checkpoint: &Checkpoint) -> std::net::SocketAddr {
    let port = checkpoint.base_url().rsplit(':').next().unwrap();
    format!("127.0.0.1:{port}").parse().unwrap()
}

/// The ready line contains the exact line or link for each client, and the text form contains the same.
#[tokio::test]
async fn run_prints_what_to_paste_into_each_client() {
    let checkpoint = Checkpoint::notes().start().await;
    let connect = &checkpoint.ready()["servers"][0]["connect"];
    let url = checkpoint.server();
    assert_eq!(connect["Claude Code"], format!("claude mcp add --transport http notes {url}"));
    assert!(connect["VS Code"].as_str().unwrap().starts_with("code --add-mcp '{"));
    assert!(
        connect["Cursor"]
            .as_str()
            .unwrap()
            .starts_with("cursor://anysphere.cursor-deeplink/mcp/install?name=notes&config=")
    );
    assert!(connect["Inspector"].as_str().unwrap().contains(url));
    assert!(checkpoint.setup_url().starts_with(&format!("{}/setup/sks_su_", checkpoint.base_url())));
    assert!(checkpoint.base_url().starts_with("http://localhost:"));
}

/// The same for people, with the link for the owner's password and a note on clients in the cloud.
#[tokio::test]
async fn run_tells_a_person_what_to_do_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(binary());
    command.env("SEKISHO_DATA_DIR", folder.path()).env("NO_COLOR", "1").env_remove("SEKISHO_LOG");
    command.args(["run", "--listen", "127.0.0.1:0", "--name", "notes", "--"]).arg(binary()).args(["bundled", "notes"]);
    let process = sekisho_e2e::harness::Process::start(&mut command);
    process.stdout().contains("Stop with Ctrl-C").await;
    let said = process.stdout().now();
    for word in [
        "works once",
        "/setup/",
        "claude mcp add",
        "code --add-mcp",
        "cursor://",
        "inspector",
        "cannot reach this address",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0));
}

/// ST-02, PX-35: a second `run` on the same data directory passes its server to the first, which serves both.
#[tokio::test]
async fn a_second_run_joins_the_first() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let checkpoint = Checkpoint::notes().owner("alice", PASSWORD).start().await;
    let second =
        sekisho(&checkpoint.data_dir(), &["--json", "run", "--name", "second", "--http", &upstream.url()], "").await;
    assert_eq!(second.code(), Some(0), "{}", second.stderr);
    let line: serde_json::Value = serde_json::from_str(second.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(line["servers"][0]["url"], checkpoint.server_named("second"));
    assert_eq!((&line["ready"], &line["handed_over"]), (&true.into(), &true.into()));
    checkpoint.ask(&["server", "classify", "second", "look=read"]).await;
    let client = Client::register(checkpoint.base_url(), "x", REDIRECT).await;
    let granted = client.be_granted(&checkpoint.server_named("second"), "mcp:read tool:look", "alice", PASSWORD).await;
    let reply = ask(address(&checkpoint), &tool("/mcp/second", &granted.access, "look")).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let first = ask(address(&checkpoint), &tool("/mcp/notes", "", "list_notes")).await.unwrap();
    assert_eq!(first.status, 401, "the first is still there");
    let nothing = sekisho(&checkpoint.data_dir(), &["run"], "").await;
    assert_eq!(nothing.code(), Some(2), "{}", nothing.stderr);
    // Both are there after a restart, although no command names them again.
    let restarted = checkpoint.restart().await;
    let names: Vec<_> =
        restarted.ready()["servers"].as_array().unwrap().iter().map(|server| server["name"].clone()).collect();
    assert_eq!(names, ["notes", "second"]);
}

/// If a server that is passed to a running instance does not work, it is refused, and the others continue.
#[tokio::test]
async fn a_second_run_that_fails_harms_nothing() {
    let checkpoint = Checkpoint::notes().start().await;
    let second =
        sekisho(&checkpoint.data_dir(), &["run", "--name", "broken", "--", "/nowhere/no-such-program"], "").await;
    let reply = ask(address(&checkpoint), &Ask::get("/readyz")).await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(
        second.code(),
        Some(3),
        "a program that does not exist is an error here too: {}{}",
        second.stdout,
        second.stderr
    );
}

/// ATK-283: a name in use stays with its server, and so does everything that was granted there, because people
/// consented to the server behind that name. The same program again counts as the same server.
#[tokio::test]
async fn a_name_that_is_taken_is_not_given_to_another_server() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let checkpoint = Checkpoint::notes().owner("alice", PASSWORD).start().await;
    checkpoint.ask(&["server", "classify", "notes", "list_notes=read"]).await;
    let client = Client::register(checkpoint.base_url(), "x", REDIRECT).await;
    let granted = client.be_granted(&checkpoint.server_named("notes"), "mcp:read", "alice", PASSWORD).await;
    let data = checkpoint.data_dir();
    for other in [&["--http", &upstream.url()][..], &["--", "/nowhere/no-such-program"]] {
        let refused = sekisho(&data, &[&["run", "--name", "notes"], other].concat(), "").await;
        assert_eq!(refused.code(), Some(2), "{}{}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains("--name NAME"), "{}", refused.stderr);
    }
    let program = binary().display().to_string();
    let again = sekisho(&data, &["run", "--name", "notes", "--", &program, "bundled", "notes"], "").await;
    assert_eq!(again.code(), Some(0), "{}{}", again.stdout, again.stderr);
    let reply = ask(address(&checkpoint), &tool("/mcp/notes", &granted.access, "list_notes")).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let kept = checkpoint.ask(&["server", "list"]).await;
    assert!(!format!("{kept:?}").contains("no-such-program") && format!("{kept:?}").contains("bundled"), "{kept:?}");
    // The same if no instance runs.
    let _kept = checkpoint.kill().await;
    let refused = sekisho(&data, &["run", "--name", "notes", "--http", &upstream.url()], "").await;
    assert_eq!(refused.code(), Some(2), "{}{}", refused.stdout, refused.stderr);
}

fn is_alive(pid: &str) -> bool {
    // A zombie counts as ended, even if its parent has not noticed yet.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

/// ST-13: when the checkpoint ends, by SIGTERM or SIGKILL, its children and their children end.
#[tokio::test]
async fn no_child_outlives_a_kill() {
    for polite in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let notes = binary().display().to_string();
        let program = script(
            folder.path(),
            &format!("sleep 600 &\necho $! >> {0}\necho $$ >> {0}\n{notes} bundled notes", pids.display()),
        );
        let checkpoint = Checkpoint::program([program]).argument("--name").argument("notes").start().await;
        let started = std::fs::read_to_string(&pids).unwrap();
        let started: Vec<&str> = started.lines().collect();
        assert!(started.len() >= 2 && started.iter().any(|pid| is_alive(pid)), "{started:?}");
        if polite {
            checkpoint.stop().await;
        } else {
            checkpoint.kill().await;
        }
        within(Duration::from_secs(20), &format!("{started:?} have ended"), async || {
            (!started.iter().any(|pid| is_alive(pid))).then_some(())
        })
        .await;
    }
}

/// SIGTERM ends it cleanly: exit code 0, and the control socket is removed.
#[tokio::test]
async fn it_ends_in_order_when_it_is_told_to() {
    let checkpoint = Checkpoint::notes().start().await;
    let socket = checkpoint.data_dir().join("control.sock");
    assert!(socket.exists());
    let folder = checkpoint.folder().to_owned();
    let finished = checkpoint.stop().await;
    assert_eq!(finished.code(), Some(0), "{}", finished.stderr);
    assert!(!socket.exists() || !folder.exists());
}
