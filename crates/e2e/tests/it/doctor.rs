//! `sekisho doctor` at real servers: our checkpoint, and servers that others built. docs/doctor.md contains its
//! reports; `UPDATE=1` writes them again.

use sekisho_e2e::harness::{Outside, node};
use serde_json::Value;

use crate::clients::{OWNER, PASSWORD, everything_over_stdio};

/// The options for a complete examination.
const WHOLE: [&str; 1] = ["--login"];

async fn examined(url: &str, words: &[&str]) -> (Option<i32>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let client = Outside::new(folder.path(), OWNER, PASSWORD);
    let mut all = vec!["--json", "doctor", url];
    all.extend(words);
    let finished = client.run(&all).await;
    let report = serde_json::from_str(&finished.stdout);
    (finished.code(), report.unwrap_or_else(|error| panic!("{error}: {}\n{}", finished.stdout, finished.stderr)))
}

fn standing<'a>(report: &'a Value, standing: &str) -> Vec<&'a str> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.filter(|finding| finding["standing"] == standing).filter_map(|finding| finding["id"].as_str()).collect()
}

fn traps(report: &Value) -> Vec<&str> {
    report["traps"].as_array().unwrap().iter().filter_map(|trap| trap["trap"].as_str()).collect()
}

/// Our own checkpoint meets every requirement that can be seen, also from inside.
#[tokio::test(flavor = "multi_thread")]
async fn the_checkpoint_is_in_good_health() {
    let checkpoint = everything_over_stdio().await;
    let (code, report) = examined(checkpoint.server(), &WHOLE).await;
    assert_eq!(standing(&report, "broken"), [""; 0], "{report:#}");
    assert_eq!(traps(&report), [""; 0]);
    assert_eq!(code, Some(0));
    // A client that registered itself gets an error page, where others would be redirected with an error.
    assert_eq!(standing(&report, "not_visible"), ["AS-18"], "{report:#}");
}

/// A server without a login gets that report, and no reports about what it therefore does not have.
#[tokio::test(flavor = "multi_thread")]
async fn an_unprotected_server_is_told_to_get_a_checkpoint() {
    let everything = node::serve::<&str>("everything", &[]).await;
    let (code, report) = examined(&everything.url, &[]).await;
    assert_eq!((code, traps(&report)), (Some(1), vec!["unprotected"]), "{report:#}");
    assert!(report["traps"][0]["change"].as_str().unwrap().contains("sekisho run --http"));
    assert!(standing(&report, "broken").iter().all(|row| ["RS-13", "TR-02"].contains(row)), "{report:#}");
}

/// The documentation contains the reports about the example server of the SDK, FastMCP and our checkpoint.
#[tokio::test(flavor = "multi_thread")]
async fn the_kept_reports_are_what_it_prints() {
    let checkpoint = everything_over_stdio().await;
    let example = node::serve::<&str>("sdk-example", &[]).await;
    let fastmcp = node::serve_fastmcp().await;
    let folder = tempfile::tempdir().unwrap();
    let client = Outside::new(folder.path(), OWNER, PASSWORD);
    let mut text = INTRODUCTION.to_owned();
    for (title, url) in [
        ("A server behind this checkpoint", checkpoint.server()),
        ("The TypeScript SDK's example server with its demo authorization server", &example.url),
        ("FastMCP with its OAuth provider", &fastmcp.url),
    ] {
        let finished = client.run(&["doctor", url, "--login", "--format", "markdown"]).await;
        assert!(matches!(finished.code(), Some(0 | 1)), "{}\n{}", finished.stdout, finished.stderr);
        text.push_str(&format!("\n## {title}\n\n{}", steady(&finished.stdout)));
    }
    let kept = node::root().join("docs/doctor.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&kept, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(kept).unwrap(), text, "UPDATE=1 writes it again");
}

const INTRODUCTION: &str = "# What the doctor finds

`sekisho doctor URL` looks at a server and its authorization server from outside, against every requirement that can be
seen so: reads and wrong tokens only. `--register` registers a client and throws it away; `--login` also logs in, and tries
what tokens and codes are good for. `--format sarif` is for code scanning, `--diagram FILE` draws the exchange.

These are its reports about three servers, as the tests make them (`UPDATE=1 cargo nextest run -p sekisho-e2e -E
'test(kept_reports)'`), with `--login`, on loopback. They speak of the versions in `scripts/versions.env` and of nothing
else.
";

/// Replaces the ports, which differ in every run.
fn steady(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) =
        rest.find("localhost:").map(|at| at + 10).into_iter().chain(rest.find("127.0.0.1:").map(|at| at + 10)).min()
    {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let (port, following) = after.split_at(digits);
        // The port at which nothing listens is always the same.
        out.push_str(if digits > 1 { "PORT" } else { port });
        rest = following;
    }
    out.push_str(rest);
    out
}
