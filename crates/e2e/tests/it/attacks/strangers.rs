//! Requests of strangers cause a bounded number of records, however many there are; and every one is counted.
//!
//! `SEKISHO_TEST_STRANGERS` sets the number of requests of each kind; the default is 1000.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::wire::{Ask, ask};
use sekisho_protocol::secret::ScimToken;
use serde_json::Value;
use tokio::time::Instant;

use super::faults_of_disks::number_in;
use super::field::{Field, UP, USER};

/// The highest number of single records of one kind from one address: those at once, and those that become due during
/// the test.
const RECORDED_MAX: usize = 160;

fn requests() -> usize {
    number_in("SEKISHO_TEST_STRANGERS").unwrap_or(1_000)
}

/// Returns requests that need no authority, with the reason for which each is refused.
fn kinds() -> Vec<(&'static str, Ask)> {
    let form = |target: &str, fields: &[(&str, &str)]| Ask::post(target).form(fields);
    let unknown = [("grant_type", "refresh_token"), ("refresh_token", "nothing"), ("client_id", "nobody")];
    vec![
        ("token_refused", form("/oauth/token", &unknown)),
        ("authorization_refused", Ask::get("/oauth/authorize?client_id=nobody&response_type=code")),
        ("token_missing", Ask::post(UP).header("accept", "application/json, text/event-stream").body(b"{}")),
        ("server_unknown", Ask::post("/mcp/nowhere").body(b"{}")),
        // A token of the right form, which has to be looked for.
        ("provisioning_refused", Ask::get("/scim/v2/Users").bearer(ScimToken::from_key([7; 32]).expose())),
    ]
}

async fn flood(address: SocketAddr, request: &Ask, count: usize) -> usize {
    let answers = stream::iter(0..count).map(|_| async { ask(address, request).await.unwrap().status });
    let statuses: Vec<u16> = answers.buffer_unordered(32).collect().await;
    statuses.into_iter().filter(|status| (400..500).contains(status)).count()
}

/// ATK-170, ATK-171, ATK-172, ATK-370: a flood of requests without any authority. A few are recorded singly and the rest as
/// sums, so that every refusal is counted and the disk does not fill; honest work continues meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_send_is_counted_and_not_written_one_by_one() {
    let mut field = Field::start().await;
    let granted = field.granted(USER, "mcp:read mcp:write").await;
    let database = field.checkpoint.data_dir();
    let bytes = || -> u64 {
        ["sekisho.db", "sekisho.db-wal"]
            .iter()
            .map(|name| std::fs::metadata(database.join(name)).map_or(0, |found| found.len()))
            .sum()
    };
    let (before, mut refused) = (bytes(), Vec::new());
    for (kind, request) in kinds() {
        let honest = async {
            let mut slowest = Duration::ZERO;
            for _ in 0..10 {
                let began = Instant::now();
                let reply = field.ask(&tool(UP, &granted.access, "keep")).await;
                assert_eq!(reply.status, 200, "{kind}: {}", reply.text());
                slowest = slowest.max(began.elapsed());
            }
            slowest
        };
        let (count, slowest) = tokio::join!(flood(field.address, &request, requests()), honest);
        assert!(slowest < Duration::from_secs(2), "{kind}: an honest write took {slowest:?}");
        refused.push((kind, count));
    }
    let grown = bytes().saturating_sub(before);
    assert!(grown < 6 << 20, "{grown} bytes for {refused:?}");
    // The sums are also written when the process ends.
    field.checkpoint = field.checkpoint.restart().await;
    let records = field.checkpoint.records().await;
    let events: Vec<&Value> = records.iter().map(|row| &row["record"]["event"]).collect();
    for (kind, count) in refused {
        let single = events.iter().filter(|event| event["act"] == kind || event["reason"] == kind).count();
        let sums = events.iter().filter(|event| event["kind"] == "refusals" && event["what"] == kind);
        let summed: u64 = sums.clone().map(|sum| sum["count"].as_u64().unwrap()).sum();
        assert!(single > 0 && single <= RECORDED_MAX, "{kind}: {single} records for {count} requests");
        assert_eq!(single + usize::try_from(summed).unwrap(), count, "{kind}: {single} records and {summed} in sums");
        assert!(sums.into_iter().all(|sum| sum["source"] == "127.0.0.1"), "{kind}");
    }
}
