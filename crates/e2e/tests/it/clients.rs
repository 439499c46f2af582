//! Clients that others wrote, with a person in a real browser: each signs in, calls what it may, and is refused what it
//! may not. A snapshot keeps what each shows of the refusal, because its model sees the same.
//!
//! The owner set the class of the refused tool to destructive on the first consent page, and no client asked for that
//! scope. Clients that support step-up then ask for it, and the person in the second browser agrees.

use sekisho_e2e::harness::{Checkpoint, node, wait};
use serde_json::{Value, json};

use crate::picture::steady;

pub(crate) const OWNER: &str = "ada";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The tools that the tests call at a server: one that reads, and one that the owner classed as destructive.
pub(crate) struct Tools {
    pub(crate) permitted: (&'static str, &'static str),
    pub(crate) refused: (&'static str, &'static str),
}

/// At the reference server.
pub(crate) const EVERYTHING: Tools =
    Tools { permitted: ("echo", r#"{"message":"hello"}"#), refused: ("get-sum", r#"{"a":1,"b":2}"#) };
/// At the server of both eras.
pub(crate) const BOTH_ERAS: Tools =
    Tools { permitted: ("test_simple_text", "{}"), refused: ("test_error_handling", "{}") };

impl Tools {
    /// Returns the arguments for the programs: who signs in, the class that the owner chooses, and the calls.
    pub(crate) fn arguments(&self, url: &str, options: &[&str]) -> Vec<String> {
        let call = |(name, arguments): (&str, &str)| format!("{name}={arguments}");
        let mut all = vec![url.to_owned(), "--user".into(), OWNER.into(), "--password".into(), PASSWORD.into()];
        all.extend(["--class".into(), format!("{}=destructive", self.refused.0)]);
        all.extend(["--call".into(), call(self.permitted), "--call".into(), call(self.refused)]);
        all.extend(options.iter().map(|&option| option.to_owned()));
        all
    }
}

pub(crate) async fn everything_over_stdio() -> Checkpoint {
    Checkpoint::program(node::everything_stdio())
        .argument("--name")
        .argument("everything")
        .owner(OWNER, PASSWORD)
        .start()
        .await
}

pub(crate) async fn over_http(serving: &node::Serving) -> Checkpoint {
    Checkpoint::http(&serving.url).argument("--name").argument("behind-http").owner(OWNER, PASSWORD).start().await
}

/// Runs a client library's program: it signs in, gets an answer, is refused, and gets an answer after the step-up.
async fn a_library(program: &str, options: &[&str], tools: &Tools, checkpoint: &Checkpoint) -> Value {
    let outcome = node::run(program, &tools.arguments(checkpoint.server(), options)).await.worked();
    let shown = outcome.result;
    assert_eq!(shown["connected"], true, "{shown:#}\n{}", outcome.stderr);
    let listed: Vec<_> =
        shown["tools"].as_array().unwrap_or_else(|| panic!("{shown:#}")).iter().filter_map(Value::as_str).collect();
    assert!(
        listed.contains(&tools.permitted.0) && listed.contains(&tools.refused.0),
        "a list shows what one may step up to: {listed:?}"
    );
    assert!(
        shown["calls"][0]["result"]["isError"].is_null() || shown["calls"][0]["result"]["isError"] == false,
        "{:#}",
        shown["calls"][0]
    );
    assert!(shown["calls"][0]["error"].is_null(), "{:#}", shown["calls"][0]);
    let refused = decision_on(checkpoint, tools.refused.0).await;
    assert_eq!(refused, "step_up", "the records say why");
    shown
}

/// Returns the verdict of the first decision on a tool. Refusals are recorded in batches, so it may appear a moment
/// later.
pub(crate) async fn decision_on(checkpoint: &Checkpoint, tool: &str) -> String {
    let look = async || {
        let records = checkpoint.records().await;
        let mut decisions =
            records.iter().map(|row| &row["record"]["event"]).filter(|event| event["kind"] == "decision");
        decisions.find(|event| event["target"] == tool).and_then(|event| event["verdict"].as_str()).map(str::to_owned)
    };
    wait::until("a record of the decision", look).await
}

/// Returns the part of a library's report that is kept: without the list of tools and random values.
fn picture(shown: &Value, checkpoint: &Checkpoint) -> String {
    let mut kept = shown.clone();
    if let Some(members) = kept.as_object_mut() {
        members.remove("tools");
        members.remove("ok");
    }
    for authorization in kept["authorizations"].as_array_mut().into_iter().flatten() {
        let scope = authorization["scope"].clone();
        *authorization = json!({ "scope": scope });
    }
    steady(&kept, checkpoint)
}

/// Checks the step-up of a client with a refresh token: the person was asked a second time, and the call was answered.
fn stepped_up(shown: &Value) {
    assert_eq!(shown["refreshable"], true, "{shown:#}");
    assert_eq!(shown["calls"][1]["retried"]["content"][0]["text"], "The sum of 1 and 2 is 3.", "{shown:#}");
    assert_eq!(shown["authorizations"].as_array().map(Vec::len), Some(2), "{shown:#}");
}

/// Returns how many refreshes were answered, and how many were refused so that the person is asked, by the records.
async fn refreshes(checkpoint: &Checkpoint) -> (usize, usize) {
    let records = checkpoint.records().await;
    let of = |act: &str, detail: &str| {
        let events = records.iter().map(|row| &row["record"]["event"]);
        let is =
            |event: &&Value| event["act"] == act && event["detail"].as_str().is_some_and(|text| text.contains(detail));
        events.filter(is).count()
    };
    (of("token_issued", "refresh"), of("token_refused", "a refresh gives no more"))
}

/// RS-13, RS-19, RS-21, decision 0070: the 1.x SDK with a refresh token, at the reference server as a child process. It
/// responds to the 403 with a refresh, which is refused with the error code that makes it ask the person.
#[tokio::test(flavor = "multi_thread")]
async fn sdk1_steps_up_at_a_stdio_server_holding_a_refresh_token() {
    let checkpoint = everything_over_stdio().await;
    let shown = a_library("client-sdk1", &["--step-up"], &EVERYTHING, &checkpoint).await;
    stepped_up(&shown);
    assert_eq!(refreshes(&checkpoint).await, (0, 1));
    insta::assert_snapshot!("sdk1_step_up", picture(&shown, &checkpoint));
}

/// The same at the reference server over HTTP; and without a refresh token, when no refresh has to be refused.
#[tokio::test(flavor = "multi_thread")]
async fn sdk1_steps_up_at_an_http_server() {
    let everything = node::serve::<&str>("everything", &[]).await;
    let checkpoint = over_http(&everything).await;
    let shown = a_library("client-sdk1", &["--step-up"], &EVERYTHING, &checkpoint).await;
    stepped_up(&shown);
    let without = over_http(&everything).await;
    let shown = a_library("client-sdk1", &["--step-up", "--forget-refresh"], &EVERYTHING, &without).await;
    assert_eq!(shown["calls"][1]["retried"]["content"][0]["text"], "The sum of 1 and 2 is 3.", "{shown:#}");
    assert_eq!(refreshes(&without).await, (0, 0));
}

/// RS-13, RS-19, RS-21: the 2.x SDK in the older revisions steps up and is answered.
#[tokio::test(flavor = "multi_thread")]
async fn sdk2_in_the_older_era_steps_up_at_a_stdio_server() {
    let checkpoint = everything_over_stdio().await;
    let shown = a_library("client-sdk2", &["--era", "legacy", "--step-up"], &EVERYTHING, &checkpoint).await;
    stepped_up(&shown);
    // This client asks the person at once, so no refresh has to be refused.
    assert_eq!(refreshes(&checkpoint).await, (0, 0));
    insta::assert_snapshot!("sdk2_legacy_step_up", picture(&shown, &checkpoint));
}

/// TR-14: a client that tries the newest revision first gets an error from a server of older ones, and falls back to
/// one of these.
#[tokio::test(flavor = "multi_thread")]
async fn sdk2_falls_back_to_what_a_server_speaks() {
    let everything = node::serve::<&str>("everything", &[]).await;
    let checkpoint = over_http(&everything).await;
    let shown = a_library("client-sdk2", &["--era", "auto", "--step-up"], &EVERYTHING, &checkpoint).await;
    assert_eq!((shown["era"].as_str(), shown["protocol"].as_str()), (Some("legacy"), Some("2025-11-25")), "{shown:#}");
}

/// The same in front of a child process, whose revisions the checkpoint detected by asking it.
#[tokio::test(flavor = "multi_thread")]
async fn sdk2_falls_back_to_what_a_child_speaks() {
    let checkpoint = everything_over_stdio().await;
    let shown = a_library("client-sdk2", &["--era", "auto", "--step-up"], &EVERYTHING, &checkpoint).await;
    assert_eq!((shown["era"].as_str(), shown["protocol"].as_str()), (Some("legacy"), Some("2025-11-25")), "{shown:#}");
}

/// RS-13, RS-19, RS-21: the 2.x SDK in 2026-07-28 over HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn sdk2_in_the_newer_era_steps_up_at_an_http_server() {
    let upstream = node::serve::<&str>("upstream", &[]).await;
    let checkpoint = over_http(&upstream).await;
    let shown = a_library("client-sdk2", &["--era", "modern", "--step-up"], &BOTH_ERAS, &checkpoint).await;
    assert_eq!(shown["protocol"], "2026-07-28");
    assert_eq!(shown["calls"][1]["retried"]["isError"], true, "the tool itself answers with an error: {shown:#}");
    insta::assert_snapshot!("sdk2_modern_step_up", picture(&shown, &checkpoint));
}

/// The 2.x SDK finds out by itself that a child process speaks 2026-07-28.
#[tokio::test(flavor = "multi_thread")]
async fn sdk2_finds_the_newer_era_at_a_stdio_server() {
    let checkpoint = Checkpoint::program(node::upstream_stdio())
        .argument("--name")
        .argument("both")
        .owner(OWNER, PASSWORD)
        .start()
        .await;
    let shown = a_library("client-sdk2", &["--era", "auto", "--step-up"], &BOTH_ERAS, &checkpoint).await;
    assert_eq!((shown["era"].as_str(), shown["protocol"].as_str()), (Some("modern"), Some("2026-07-28")), "{shown:#}");
}

/// If the person denies, the client gets `access_denied` and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_denied_client_is_told_so() {
    let checkpoint = Checkpoint::notes().owner(OWNER, PASSWORD).start().await;
    for decision in ["deny", "cancel"] {
        let arguments = [checkpoint.server(), "--user", OWNER, "--password", PASSWORD, "--decision", decision];
        let shown = node::run("client-sdk1", &arguments).await.worked().result;
        assert_eq!(shown["connected"], false, "{shown:#}");
        assert_eq!(shown["error"]["error"], "access_denied", "{decision}: {shown:#}");
    }
    assert_eq!(checkpoint.ask(&["grant", "list"]).await[0]["grants"], json!([]));
}

/// Runs the Inspector's command line: the first run signs in, the next ones use its tokens.
async fn the_inspector(era: &str, tools: &Tools, checkpoint: &Checkpoint) -> Value {
    let shown = node::run("inspector", &tools.arguments(checkpoint.server(), &["--era", era])).await.worked().result;
    let runs = shown["runs"].as_array().unwrap_or_else(|| panic!("{shown:#}"));
    assert_eq!((runs[0]["exit"].as_i64(), runs[1]["exit"].as_i64()), (Some(0), Some(0)), "{shown:#}");
    assert_ne!(runs[2]["exit"], 0, "{shown:#}");
    assert_eq!(decision_on(checkpoint, tools.refused.0).await, "step_up");
    let mut kept = shown.clone();
    kept["runs"] = runs[1..].iter().cloned().collect();
    kept
}

/// RS-13, RS-19, RS-21: the Inspector in the older revisions at the reference server.
#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_calls_a_stdio_server_and_shows_a_refusal() {
    let checkpoint = everything_over_stdio().await;
    let shown = the_inspector("legacy", &EVERYTHING, &checkpoint).await;
    insta::assert_snapshot!("inspector_legacy_refusal", picture(&shown, &checkpoint));
}

/// RS-13, RS-19, RS-21: the Inspector in 2026-07-28.
#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_calls_an_http_server_and_shows_a_refusal() {
    let upstream = node::serve::<&str>("upstream", &[]).await;
    let checkpoint = over_http(&upstream).await;
    let shown = the_inspector("modern", &BOTH_ERAS, &checkpoint).await;
    insta::assert_snapshot!("inspector_modern_refusal", picture(&shown, &checkpoint));
}
