//! Every failure says what happened and what to do, with its own exit code.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::fakes::wire::Connection;
use sekisho_e2e::harness::{Checkpoint, Process, binary};
use tokio::net::TcpListener;

use super::{script, sekisho};

/// ST-05: if a child ends before its first answer, the error shows its last lines and the names of variables that it
/// did not get.
#[tokio::test]
async fn a_child_that_ends_at_once_is_told_by_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(folder.path(), "echo first >&2\necho 'API_TOKEN is not set' >&2\nexit 7");
    let setup =
        Checkpoint::program([program]).variable("API_TOKEN", "the-secret-value").variable("OTHER_VARIABLE", "x");
    let failed = setup.fail().await;
    assert_eq!(failed.code(), Some(3), "{}", failed.stderr);
    for word in ["API_TOKEN is not set", "status 7", "OTHER_VARIABLE", "--env"] {
        assert!(failed.stderr.contains(word), "{word}: {}", failed.stderr);
    }
    assert!(!failed.stderr.contains("the-secret-value"), "names only: {}", failed.stderr);
    assert!(!failed.stdout.contains("\"ready\":true"));
    // The server was not stored: the next start has none.
    assert_eq!(sekisho(&setup.data_dir(), &["server", "list"], "").await.stdout.lines().count(), 1);
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_named() {
    let failed =
        Checkpoint::program(["/nowhere/no-such-program", "x"]).argument("--name").argument("gone").fail().await;
    assert_eq!(failed.code(), Some(3), "{}", failed.stderr);
    assert!(failed.stderr.contains("/nowhere/no-such-program"), "{}", failed.stderr);
}

/// A program that starts and never speaks MCP is given up after a bounded time.
#[tokio::test]
async fn a_program_that_says_nothing_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(folder.path(), "echo 'this is not MCP'\nexec sleep 600");
    let failed = Checkpoint::program([program]).argument("--start-seconds").argument("2").fail().await;
    assert_eq!(failed.code(), Some(3), "{}", failed.stderr);
    assert!(failed.stderr.contains("start_seconds"), "{}", failed.stderr);
}

#[tokio::test]
async fn a_port_in_use_is_said_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let failed = sekisho(
        folder.path(),
        &["run", "--listen", &address, "--", &binary().display().to_string(), "bundled", "notes"],
        "",
    )
    .await;
    assert_eq!(failed.code(), Some(3), "{}", failed.stderr);
    assert!(failed.stderr.contains(&address) && failed.stderr.contains("--listen"), "{}", failed.stderr);
    let json = sekisho(folder.path(), &["--json", "run", "--listen", &address, "--", "x"], "").await;
    let error: serde_json::Value = serde_json::from_str(json.stderr.lines().last().unwrap_or_default())
        .unwrap_or_else(|_| panic!("{}", json.stderr));
    assert!(error["error"].is_string() && error["help"].is_string(), "{error}");
}

/// Root can read everything, so the program runs as another user if the tests run as root.
#[tokio::test]
async fn an_unreadable_data_directory_is_said_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o000)).unwrap();
    // A copy that everybody may execute, wherever the build folder is.
    let program = folder.path().join("sekisho");
    std::fs::copy(binary(), &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        command
    } else {
        Command::new(&program)
    };
    command.env("SEKISHO_DATA_DIR", &data).env("NO_COLOR", "1").current_dir(folder.path()).args(["user", "list"]);
    let mut process = Process::start(&mut command);
    process.close_stdin();
    let status = process.ended().await;
    let said = process.stderr().now();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(status.code(), Some(3), "{said}");
    let plain: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(plain.contains("--data-dir"), "{said}");
}

/// If the data directory is a file, or its key is damaged, there is an error and nothing is overwritten.
#[tokio::test]
async fn a_damaged_data_directory_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert_eq!(sekisho(&file, &["user", "list"], "").await.code(), Some(3));
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
    let data = folder.path().join("data");
    assert_eq!(
        sekisho(&data, &["user", "add", "alice", "--password-stdin"], "a good long password").await.code(),
        Some(0)
    );
    std::fs::write(data.join("seal.key"), "short").unwrap();
    let failed = sekisho(&data, &["user", "list"], "").await;
    assert_eq!(failed.code(), Some(3), "{}", failed.stderr);
    assert_eq!(std::fs::read(data.join("seal.key")).unwrap(), b"short");
}

/// If an HTTP upstream answers 401, the error says that it needs its own credential, and names the flag for it.
#[tokio::test]
async fn an_upstream_with_a_lock_of_its_own_is_named_so() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", upstream.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = upstream.accept().await {
            tokio::spawn(async move {
                let mut connection = Connection::over(stream);
                let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer resource_metadata=\"https://foreign.example/\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = connection.rest(std::time::Duration::from_millis(200)).await;
                let _ = connection.send(answer.as_bytes()).await;
                let _ = connection.closes_within(std::time::Duration::from_secs(2)).await;
            });
        }
    });
    let failed = Checkpoint::http(&url).fail().await;
    serving.abort();
    let said: String = failed.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(failed.code(), Some(3), "{said}");
    assert!(said.contains("wants its own credential") && said.contains("--secret-header"), "{said}");
    assert!(!said.contains("foreign.example"), "{said}");
}

#[tokio::test]
async fn an_upstream_that_is_away_is_said() {
    let closed = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let checkpoint = Checkpoint::http(&format!("http://{closed}/mcp")).start().await;
    checkpoint.stderr().contains(&closed.to_string()).await;
    checkpoint.stderr().contains("is not ready").await;
}

/// Exit codes: 0 yes, 1 no, 2 usage, 3 environment.
#[tokio::test]
async fn exit_codes_say_what_kind_of_failure_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("sekisho.toml");
    let path = file.display().to_string();
    for (words, code) in [
        (vec!["user", "list"], 0),
        (vec!["--version"], 0),
        (vec!["schema"], 0),
        (vec!["init", &path], 0),
        (vec!["init", &path], 3),
        (vec!["user", "disable", "nobody"], 1),
        (vec!["grant", "list", "--user", "nobody"], 1),
        (vec!["client", "remove", "nobody"], 1),
        (vec!["server", "remove", "nothing"], 1),
        (vec!["grant", "revoke", "not-a-grant"], 2),
        (vec!["client", "add", "x", "--redirect-uri", "javascript:alert(1)"], 2),
        (vec!["client", "add", "x", "--redirect-uri", "http://host.example/"], 2),
        (vec!["base-url", "set", "http://host.example"], 2),
        (vec!["run", "--http", "x", "--", "y"], 2),
        (vec!["run", "--http", "not a url"], 2),
        (vec!["run", "--secret-header", "X", "--", "y"], 2),
        (vec!["nonsense"], 2),
        (vec![], 2),
        (vec!["run", "--listen", "0.0.0.0:0", "--http", "http://127.0.0.1:9/mcp"], 2),
        (vec!["check", "-c", "/nowhere/sekisho.toml"], 3),
        (vec!["serve", "-c", "/nowhere/sekisho.toml"], 3),
        (vec!["run", "--env", "NOT_SET_ANYWHERE", "--", "true"], 2),
    ] {
        let finished = sekisho(&data, &words, "").await;
        assert_eq!(finished.code(), Some(code), "sekisho {}: {}{}", words.join(" "), finished.stdout, finished.stderr);
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    }
    let short = sekisho(&data, &["user", "add", "bob", "--password-stdin"], "short").await;
    assert_eq!(short.code(), Some(2), "{}", short.stderr);
}

/// A failed start leaves nothing behind that prevents the next one.
#[tokio::test]
async fn a_failed_start_can_be_repeated() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = script(folder.path(), "exit 1");
    let failing = Checkpoint::program([program]);
    assert_eq!(failing.fail().await.code(), Some(3));
    assert_eq!(failing.fail().await.code(), Some(3));
    let other = Checkpoint::http(&upstream.url()).start().await;
    assert!(other.server().contains("/mcp/localhost-"), "{}", other.server());
}
