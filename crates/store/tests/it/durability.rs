//! What was acknowledged survives the sudden end of the process.

use std::process::Stdio;

use sekisho_store::{Store, StoreUrl};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::harness::{on_both, patient};

/// Set for the process that is killed: where it writes.
const WRITES_TO: &str = "SEKISHO_TEST_WRITES_TO";

/// ATK-38, ATK-98: whatever was answered "done" is there after a kill, and nothing is half there.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    if let Some(url) = std::env::var_os(WRITES_TO) {
        return write_until_killed(url.into_string().unwrap().parse().unwrap()).await;
    }
    on_both(async |world| {
        let url = match &world.url {
            StoreUrl::Postgres(url) => url.clone(),
            StoreUrl::Sqlite(path) => format!("sqlite:{}", path.display()),
        };
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "durability::what_was_acknowledged_survives_a_kill", "--nocapture"])
            .env(WRITES_TO, url)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut acknowledged = 0;
        while let Some(line) = lines.next_line().await.unwrap() {
            let Some(number) = line.strip_prefix("acknowledged ") else { continue };
            acknowledged = number.parse().unwrap();
            if acknowledged == 40 {
                writer.start_kill().unwrap();
            }
        }
        let status = writer.wait().await.unwrap();
        assert!(!status.success() && status.code().is_none(), "killed: {status}");
        assert!(acknowledged >= 40);
        let mut tx = world.begin().await;
        for number in 1..=acknowledged {
            for half in ["first", "second"] {
                let name = format!("{half} {number}");
                assert!(tx.settings().get(&name).await.unwrap().is_some(), "{name} of {acknowledged} is lost");
            }
        }
        let next = acknowledged + 1;
        let begun = tx.settings().get(&format!("first {next}")).await.unwrap().is_some();
        let ended = tx.settings().get(&format!("second {next}")).await.unwrap().is_some();
        assert_eq!(begun, ended, "half of a transaction is there");
    })
    .await;
}

async fn write_until_killed(url: StoreUrl) {
    let store = Store::open(patient(url)).await.unwrap();
    for number in 1_u64.. {
        let mut tx = store.begin().await.unwrap();
        tx.settings().put(&format!("first {number}"), "value").await.unwrap();
        tx.settings().put(&format!("second {number}"), "value").await.unwrap();
        tx.commit().await.unwrap();
        println!("acknowledged {number}");
    }
}
