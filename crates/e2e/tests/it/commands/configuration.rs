//! `init`, `check`, `schema`, `serve`: a file is checked whole, and taken over while it is served.

use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::fakes::wire::{Ask, ask};
use sekisho_e2e::harness::Checkpoint;
use sekisho_e2e::harness::wait::within;

use super::{WATCHED, sekisho};

const BROKEN: &str = r#"listen = "0.0.0.0:8420"
base_url = "http://mcp.example.com/"
orgins = ["https://app.example"]

[tls]
cert = "/etc/sekisho/chain.pem"

[outbound]
allow_private = ["10.0.0.0/99"]

[servers.Notes]
command = ["notes"]
url = "http://127.0.0.1:1/mcp"

[servers.empty]

[servers.search]
url = "ftp://search/mcp"
everyone = "reed"
scopes_default = ["offline_access"]
access = "public"
"#;

/// Every mistake at once, each with its line and a caret.
#[tokio::test]
async fn check_reports_every_mistake_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.toml");
    std::fs::write(&file, BROKEN).unwrap();
    let checked = sekisho(folder.path(), &["check", "-c", &file.display().to_string()], "").await;
    assert_eq!(checked.code(), Some(1));
    let said = checked.stderr.replace(&folder.path().display().to_string(), "FOLDER");
    insta::assert_snapshot!("check_broken", said);
    let json = sekisho(folder.path(), &["--json", "check", "-c", &file.display().to_string()], "").await;
    let mistakes: serde_json::Value = serde_json::from_str(json.stdout.trim()).unwrap();
    let fatal = mistakes.as_array().unwrap().iter().filter(|mistake| mistake["fatal"] == true).count();
    assert!(fatal >= 9, "{fatal} mistakes: {mistakes}");
    let served = sekisho(folder.path(), &["serve", "-c", &file.display().to_string()], "").await;
    assert_eq!(served.code(), Some(2), "{}", served.stderr);
}

/// What `init` writes is good, and `schema` describes it.
#[tokio::test]
async fn what_init_writes_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sekisho.toml").display().to_string();
    assert_eq!(sekisho(folder.path(), &["init", &file], "").await.code(), Some(0));
    let checked = sekisho(folder.path(), &["check", "-c", &file], "").await;
    assert_eq!(checked.code(), Some(0), "{}", checked.stderr);
    for words in [
        &["policy", "check", "-c", &file][..],
        &["policy", "test", "-c", &file],
        &["policy", "format", "--check", "-c", &file],
    ] {
        let said = sekisho(folder.path(), words, "").await;
        assert_eq!(said.code(), Some(0), "{words:?}: {}{}", said.stdout, said.stderr);
    }
    let tested = sekisho(folder.path(), &["policy", "test", "-c", &file], "").await;
    assert_eq!(tested.stdout.trim(), "5 passed, 0 failed");
    let schema = sekisho(folder.path(), &["schema"], "").await;
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout).unwrap();
    assert!(schema["properties"]["servers"].is_object(), "{schema}");
}

fn toml(upstream: &Upstream, names: &[&str]) -> String {
    names
        .iter()
        .map(|name| {
            format!(
                "[servers.{name}]\nurl = \"{}\"\neveryone = \"read\"\ntools = {{ look = \"read\" }}\n",
                upstream.url()
            )
        })
        .collect()
}

async fn status(checkpoint: &Checkpoint, path: &str) -> u16 {
    let port = checkpoint.base_url().rsplit(':').next().unwrap();
    ask(format!("127.0.0.1:{port}").parse().unwrap(), &Ask::post(path)).await.unwrap().status
}

/// A server that is added, changed or removed in the file is so within moments; a broken file changes nothing.
#[tokio::test]
async fn a_changed_file_is_taken_over_and_a_broken_one_is_not() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let checkpoint = Checkpoint::configured(&toml(&upstream, &["one"])).start().await;
    let file = checkpoint.configuration();
    assert_eq!((status(&checkpoint, "/mcp/one").await, status(&checkpoint, "/mcp/two").await), (401, 404));
    std::fs::write(&file, toml(&upstream, &["one", "two"])).unwrap();
    within(WATCHED, "the second server", async || (status(&checkpoint, "/mcp/two").await == 401).then_some(())).await;
    std::fs::write(
        &file,
        format!("{}\n[servers.three]\nurl = \"{}\"\n[servers.broken", toml(&upstream, &["one"]), upstream.url()),
    )
    .unwrap();
    checkpoint.stderr().contains("the old one stays").await;
    assert_eq!(
        (
            status(&checkpoint, "/mcp/one").await,
            status(&checkpoint, "/mcp/two").await,
            status(&checkpoint, "/mcp/three").await
        ),
        (401, 401, 404)
    );
    // Editors write beside the file and move it into place.
    let beside = file.with_extension("new");
    std::fs::write(&beside, toml(&upstream, &["two"])).unwrap();
    std::fs::rename(&beside, &file).unwrap();
    within(WATCHED, "the first server is gone", async || (status(&checkpoint, "/mcp/one").await == 404).then_some(()))
        .await;
    assert_eq!(status(&checkpoint, "/mcp/two").await, 401);
}

/// A public server beyond loopback has to be meant twice.
#[tokio::test]
async fn a_public_server_beyond_loopback_is_said_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sekisho.toml");
    let public = "base_url = \"https://mcp.example.com\"\n[tls]\nterminated_in_front = true\n[servers.open]\nurl = \"http://127.0.0.1:9/mcp\"\naccess = \"public\"\n";
    std::fs::write(&file, public).unwrap();
    let path = file.display().to_string();
    let refused = sekisho(&folder.path().join("data"), &["serve", "-c", &path, "--listen", "127.0.0.1:0"], "").await;
    assert_eq!(refused.code(), Some(2), "{}", refused.stderr);
    let said: String = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("public_beyond_loopback"), "{said}");
    let warned = sekisho(&folder.path().join("data"), &["check", "-c", &path], "").await;
    assert!(warned.stderr.contains("anybody who can reach"), "{}", warned.stderr);
    std::fs::write(&file, "listen = \"0.0.0.0:0\"\n[servers.one]\nurl = \"http://127.0.0.1:9/mcp\"\n").unwrap();
    let plain = sekisho(&folder.path().join("data"), &["serve", "-c", &path], "").await;
    assert_eq!(plain.code(), Some(2), "plain HTTP beyond loopback: {}", plain.stderr);
}

/// A second `serve` on the same data directory is refused; nothing of the first is disturbed.
#[tokio::test]
async fn one_data_directory_has_one_instance() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let checkpoint = Checkpoint::configured(&toml(&upstream, &["one"])).start().await;
    let second = sekisho(
        &checkpoint.data_dir(),
        &["serve", "-c", &checkpoint.configuration().display().to_string(), "--listen", "127.0.0.1:0"],
        "",
    )
    .await;
    assert_eq!(second.code(), Some(3), "{}", second.stderr);
    assert_eq!(status(&checkpoint, "/mcp/one").await, 401);
}
