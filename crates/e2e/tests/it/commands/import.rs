//! `sekisho import`: from a client's file to a checkpoint, without a secret left where it was.

use sekisho_e2e::harness::{Checkpoint, binary};
use serde_json::{Value, json};

use super::sekisho;

const PASSWORD: &str = "correct horse battery staple";
const SECRET: &str = "ghp_CANARYCANARYCANARY";

/// What the file carries is shown without its secrets; with `--write` it leads to the checkpoint, the secret lies in a
/// file that only we may read, and the checkpoint serves what was imported.
#[tokio::test(flavor = "multi_thread")]
async fn a_clients_servers_move_behind_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("mcp.json"));
    let config = folder.path().join("sekisho.toml");
    let program = binary().display().to_string();
    let before = format!(
        "{{\n  // mine\n  \"mcpServers\": {{\n    \"My Notes\": {{ \"command\": {}, \"args\": [\"bundled\", \"notes\"], \
         \"env\": {{ \"GITHUB_TOKEN\": \"{SECRET}\", \"LEVEL\": \"info\" }} }},\n  }},\n  \"other\": true\n}}\n",
        json!(program)
    );
    std::fs::write(&file, &before).unwrap();
    let words = |more: &[&str]| -> Vec<String> {
        let mut words =
            vec!["import".to_owned(), file.display().to_string(), "--config".into(), config.display().to_string()];
        words.extend(more.iter().map(|&word| word.to_owned()));
        words
    };
    let run = async |more: &[&str]| {
        let words = words(more);
        sekisho(&data, &words.iter().map(String::as_str).collect::<Vec<_>>(), "").await
    };

    let shown = run(&[]).await;
    assert!(shown.status.success(), "{}", shown.stderr);
    assert!(shown.stdout.contains("GITHUB_TOKEN") && shown.stdout.contains("Nothing was changed"), "{}", shown.stdout);
    assert!(!shown.stdout.contains("CANARY"), "{}", shown.stdout);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    assert!(!config.exists());

    let written = run(&["--write"]).await;
    assert!(written.status.success(), "{}", written.stderr);
    assert!(!written.stdout.contains("CANARY"), "{}", written.stdout);
    let after: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(
        after,
        json!({ "mcpServers": { "My Notes": { "url": "http://localhost:8420/mcp/my-notes" } }, "other": true })
    );
    let backup = folder.path().join("mcp.json.before-sekisho-1");
    assert_eq!(std::fs::read_to_string(&backup).unwrap(), before);
    let mode = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    let secret = data.join("imported/my-notes-GITHUB_TOKEN");
    assert_eq!((mode(&backup), mode(&secret)), (0o600, 0o600));
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), SECRET);
    let toml = std::fs::read_to_string(&config).unwrap();
    assert!(!toml.contains("CANARY") && toml.contains("LEVEL = \"info\""), "{toml}");

    // Twice is once too often, and changes nothing.
    std::fs::write(&file, &before).unwrap();
    let again = run(&["--write"]).await;
    assert_eq!(again.code(), Some(2), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    assert_eq!(std::fs::read_to_string(&config).unwrap(), toml);

    let checkpoint = Checkpoint::configured(&toml).owner("alice", PASSWORD).start().await;
    assert!(checkpoint.server().ends_with("/mcp/my-notes"), "{}", checkpoint.server());

    for (text, code) in [("{", 2), ("{\"mcp\":1}", 2)] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(run(&[]).await.code(), Some(code), "{text}");
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(run(&[]).await.code(), Some(3));
}
