//! The records after a power failure, and after somebody removed a part of them.

use std::process::Command;
use std::time::Duration;

use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::upstream::Conduct;
use sekisho_e2e::fakes::upstream::Speaks;
use sekisho_e2e::fakes::wire::ask;
use sekisho_e2e::harness::Process;
use sekisho_e2e::harness::wait::within;
use serde_json::Value;

use super::field::{Field, UP, USER};

/// ATK-175: the checkpoint is killed while calls are open. After the next start, each decision has an outcome; calls
/// whose end is unknown are recorded as such.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_never_ends_in_nothing() {
    let mut field = Field::start().await;
    let granted = field.granted(USER, "mcp:read mcp:write").await;
    for round in 0..3 {
        field.upstream.behave(Conduct::Drip(1_000, Duration::from_millis(100)));
        let open: Vec<_> = (0..8)
            .map(|_| {
                let (address, call) = (field.address, tool(UP, &granted.access, "keep"));
                tokio::spawn(async move { ask(address, &call).await })
            })
            .collect();
        within(Duration::from_secs(10), "the calls are open", async || {
            (field.upstream.calls().len() >= 8).then_some(())
        })
        .await;
        field.checkpoint = field.checkpoint.crash().await;
        for call in open {
            drop(call.await);
        }
        field.upstream.forget();
        field.upstream.behave(Conduct::Honest);
        within(Duration::from_secs(10), "every decision has an outcome", async || {
            let records = field.checkpoint.records().await;
            let of = |is_it: &dyn Fn(&Value) -> bool| -> Vec<&Value> {
                records
                    .iter()
                    .filter(|row| is_it(&row["record"]["event"]))
                    .map(|row| &row["record"]["request"])
                    .collect()
            };
            let permitted = of(&|event| event["kind"] == "decision" && event["verdict"] == "permit");
            let ended = of(&|event| event["kind"] == "outcome");
            let unknown = of(&|event| event["kind"] == "outcome" && event["result"] == "unknown");
            assert_eq!(ended.len(), ended.iter().collect::<std::collections::HashSet<_>>().len(), "one outcome each");
            let all = permitted.iter().all(|request| ended.contains(request));
            // The outcome of an honest call may be lost as well.
            (all && unknown.len() >= 8 * (round + 1)).then_some(())
        })
        .await;
        let reply = field.ask(&tool(UP, &granted.access, "keep")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let verified = field.checkpoint.command(&["audit", "verify"]).await;
        assert_eq!(verified.code(), Some(0), "{}", verified.stderr);
    }
}

/// Changes the database of a checkpoint that is not running.
async fn tamper(database: &std::path::Path, statements: &str) {
    let program = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\nc.executescript(sys.argv[2])\nc.commit()";
    let mut python = Command::new("python3");
    python.args(["-c", program]).arg(database).arg(statements);
    let done = Process::start(&mut python);
    assert!(done.ended().await.success(), "{}", done.stderr().now());
}

/// Deletes the last record of the chain, and sets the head back to the record before it.
const CUT: &str = "
    DELETE FROM audit WHERE place = (SELECT MAX(place) FROM audit);
    UPDATE audit_heads SET
        seq = (SELECT MAX(place) FROM audit) % 1099511627776,
        mac = (SELECT mac FROM audit ORDER BY place DESC LIMIT 1);";

/// Removes a whole chain without a trace.
const DELETE: &str = "DELETE FROM audit; DELETE FROM audit_heads; DELETE FROM audit_checkpoints;";

/// ATK-176: somebody cuts off the end of the records, or removes a whole chain, and leaves everything consistent. The
/// records are compared with their configured second place at the start and on request, without naming that place.
#[tokio::test(flavor = "multi_thread")]
async fn records_are_compared_with_their_second_place_without_being_asked() {
    for statements in [CUT, DELETE] {
        let folder = tempfile::tempdir().unwrap();
        let heads = folder.path().join("heads.jsonl");
        let configuration = format!("[audit]\nheads = \"file:{}\"\nheads_every = 1\n", heads.display());
        let mut field = Field::before(Speaks::Modern, &configuration).await;
        let granted = field.granted(USER, "mcp:read mcp:write").await;
        assert_eq!(field.ask(&tool(UP, &granted.access, "keep")).await.status, 200);
        let verified = field.checkpoint.command(&["audit", "verify"]).await;
        assert_eq!(verified.code(), Some(0), "{}", verified.stderr);
        // The head of all records is written before the process ends.
        let database = field.checkpoint.data_dir().join("sekisho.db");
        let setup = {
            field.checkpoint.process().terminate();
            field.checkpoint.process().ended().await;
            field.checkpoint.kill().await
        };
        assert!(std::fs::read_to_string(&heads).unwrap().lines().count() > 0);
        let whole = setup.command(&["audit", "verify"]).await;
        assert_eq!(whole.code(), Some(0), "{}", whole.stderr);
        assert!(whole.stdout.contains("signed heads say"), "{}", whole.stdout);

        tamper(&database, statements).await;
        let cut = setup.command(&["audit", "verify"]).await;
        assert_eq!(cut.code(), Some(1), "{}{}", cut.stdout, cut.stderr);

        // It starts, reports the loss, and continues to find it.
        field.checkpoint = setup.start_again().await;
        field.checkpoint.stderr().contains("contradict their second place").await;
        let found = field.checkpoint.command(&["audit", "verify"]).await;
        assert_eq!(found.code(), Some(1), "{}{}", found.stdout, found.stderr);
        assert!(found.stderr.contains("it had come to record"), "{}", found.stderr);
        let noted = field.recorded("the contradiction", |event| event["act"] == "records_contradicted").await;
        assert_eq!(noted["event"]["actor"], "checkpoint");
        assert_eq!(field.ask(&tool(UP, &granted.access, "keep")).await.status, 200);
    }
}

/// ATK-176: without a second place to compare with, the command says what it cannot detect.
#[tokio::test]
async fn who_verifies_without_a_second_place_is_told_so() {
    let field = Field::start().await;
    field.granted(USER, "mcp:read").await;
    let verified = field.checkpoint.command(&["audit", "verify"]).await;
    assert_eq!(verified.code(), Some(0), "{}", verified.stderr);
    assert!(verified.stderr.contains("not compared with a second place"), "{}", verified.stderr);
}
