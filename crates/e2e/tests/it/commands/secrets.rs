//! The secrets that a program and an HTTP upstream get, and how they are stored.

use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::harness::{Checkpoint, binary};

use super::script;

/// Returns every file of a data directory, as bytes.
fn files(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter_map(|path| Some((path.display().to_string(), std::fs::read(&path).ok()?))).collect()
}

fn stands_nowhere(folder: &std::path::Path, secret: &str) {
    for (path, bytes) in files(folder) {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "a secret stands in {path}");
    }
}

/// ATK-90, ST-01, PX-34: a child gets the configured variables and nothing else; their values are stored sealed.
#[tokio::test]
async fn a_child_has_what_it_was_given_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("environment");
    let notes = binary().display().to_string();
    let program = script(
        folder.path(),
        &format!(
            "env > {0}.part; ls -l /proc/self/fd > {0}.fds; mv {0}.part {0}\nexec {notes} bundled notes",
            seen.display()
        ),
    );
    let mut setup = Checkpoint::program([program]).argument("--name").argument("notes");
    for word in ["--env", "PASSED_THROUGH", "--env", "GIVEN=given value with = in it", "--secret", "ASKED_FOR"] {
        setup = setup.argument(word);
    }
    let checkpoint = setup
        .variable("PASSED_THROUGH", "passed-value")
        .variable("ASKED_FOR", "asked-secret-value")
        .variable("WITHHELD_TOKEN", "withheld-value")
        .variable("LD_PRELOAD_X", "x")
        .start()
        .await;
    let environment = std::fs::read_to_string(&seen).unwrap();
    for line in ["PASSED_THROUGH=passed-value", "GIVEN=given value with = in it", "ASKED_FOR=asked-secret-value"] {
        assert!(environment.lines().any(|found| found == line), "{line}: {environment}");
    }
    assert!(environment.lines().any(|line| line.starts_with("PATH=")));
    for name in ["WITHHELD_TOKEN", "SEKISHO_DATA_DIR", "LD_PRELOAD_X", "CARGO", "NO_COLOR"] {
        assert!(!environment.lines().any(|line| line.starts_with(name)), "{name}: {environment}");
    }
    let opened = std::fs::read_to_string(format!("{}.fds", seen.display())).unwrap();
    let data = checkpoint.data_dir().display().to_string();
    assert!(!opened.contains(&data) && !opened.contains("socket:"), "descriptors were inherited: {opened}");
    let data = checkpoint.data_dir();
    for secret in ["asked-secret-value", "passed-value", "given value with"] {
        stands_nowhere(&data, secret);
        assert!(!checkpoint.stderr().now().contains(secret) && !checkpoint.process().stdout().now().contains(secret));
    }
    // The value was asked for once: the next start reads it from the store.
    std::fs::remove_file(&seen).unwrap();
    let list = checkpoint.ask(&["server", "list"]).await;
    assert!(!list[0].to_string().contains("asked-secret-value"), "{}", list[0]);
}

/// ATK-53, PX-11, RS-37: an HTTP upstream gets its secret header and not our token; the value is stored sealed.
#[tokio::test]
async fn an_upstream_is_shown_its_secret_header() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let setup = Checkpoint::http(&upstream.url())
        .argument("--name")
        .argument("up")
        .argument("--secret-header")
        .argument("X_Api_Key".replace('_', "-"));
    let checkpoint = setup.variable("X-Api-Key", "header-secret-value").start().await;
    let seen = upstream.seen();
    assert!(!seen.is_empty());
    for request in seen {
        let keys: Vec<_> =
            request.headers.iter().filter(|(name, _)| name == "x-api-key").map(|(_, value)| value.as_str()).collect();
        assert_eq!(keys, ["header-secret-value"], "{}", request.text());
    }
    stands_nowhere(&checkpoint.data_dir(), "header-secret-value");
    assert!(!checkpoint.stderr().now().contains("header-secret-value"));
    let again = checkpoint.restart().await;
    assert_eq!(again.server_name(), "up");
    stands_nowhere(&again.data_dir(), "header-secret-value");
}
