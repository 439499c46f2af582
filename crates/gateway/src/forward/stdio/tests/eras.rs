//! Which revisions a program speaks, how long it may take to tell, and which child serves whom.

use std::time::Duration;

use futures_util::future::join_all;
use sekisho_protocol::mcp::method::Revision;
use serde_json::json;

use super::super::super::ForwardError;
use super::super::super::fixture::program::{scripted, shell};
use super::super::super::fixture::{MODERN, OLDER, call, in_session, text_of};
use super::super::super::tests::stdio;
use super::{begin, process, shared};

/// ST-10, ST-11: `server/discover` is sent first. However an older program reacts, `initialize` follows, and all pages
/// of its tools are listed.
#[tokio::test]
async fn the_era_of_a_program_is_found_out() {
    let older = vec![Revision::V2025_06_18, Revision::V2025_11_25];
    let both = [older.clone(), vec![MODERN]].concat();
    let cases = [
        ("modern", both.clone()),
        ("locked", both),
        ("stateless", vec![MODERN]),
        ("-32601", older.clone()),
        ("-32602", older.clone()),
        ("1", older.clone()),
        ("dying", older.clone()),
        ("mute", older),
    ];
    let found = cases.map(async |(era, revisions)| {
        let mut settings = scripted(era);
        settings.start_timeout = Duration::from_secs(10);
        settings.children_max = 1;
        let upstream = stdio(settings);
        let spoken = upstream.revisions().await.unwrap();
        assert_eq!(spoken.revisions, revisions, "{era}");
        assert!(spoken.server_info.as_ref().unwrap().contains("scripted"), "{era}");
        let lists = upstream.list_tools().await.unwrap();
        let eras = if spoken.newest() == MODERN && spoken.revisions.len() > 1 { 2 } else { 1 };
        assert_eq!(lists.len(), eras, "{era}");
        for tools in lists {
            let tools: Vec<_> = tools.iter().map(|tool| tool.get()).collect();
            assert_eq!(tools, [r#"{"name":"one"}"#, r#"{"name":"two"}"#], "{era}");
        }
        upstream.stop().await;
    });
    join_all(found).await;
}

/// A program that keeps to the era of its first message serves clients of both eras, each era with a child of its own.
#[tokio::test]
async fn a_program_that_keeps_to_its_first_era_serves_both() {
    let upstream = stdio(shared("locked"));
    let modern = process(&upstream, "a").await;
    let session = begin(&upstream, "a", json!({})).await;
    let older = in_session(call("a", OLDER, "process", json!({})), &session);
    let older: u32 = text_of(upstream.send(older).await.unwrap()).parse().unwrap();
    assert_ne!(modern, older);
    upstream.stop().await;
}

/// A server may ask its client something before it lists its tools. We declare every capability, and answer.
#[tokio::test]
async fn a_program_that_asks_before_it_lists_is_answered() {
    let upstream = stdio(scripted("curious"));
    let lists = upstream.list_tools().await.unwrap();
    let tools: Vec<_> = lists.iter().flatten().map(|tool| tool.get()).collect();
    assert_eq!(tools, [r#"{"name":"of 0 roots"}"#]);
    upstream.stop().await;
}

/// A start is not a call. A line on standard error is a sign of life. A program that prints nothing is given up, and
/// the error names the variables that it was not given.
#[tokio::test]
async fn a_program_that_says_something_while_it_starts_is_waited_for() {
    let inner = scripted("older");
    let mut words: Vec<String> = vec![inner.program.into_string().unwrap()];
    words.extend(inner.arguments.into_iter().map(|word| word.into_string().unwrap()));
    let mut settings =
        shell(&format!("for i in 1 2 3 4 5 6; do echo downloading >&2; sleep 0.5; done; exec {}", words.join(" ")));
    settings.environment.extend(inner.environment);
    settings.start_timeout = Duration::from_millis(2500);
    let upstream = stdio(settings);
    assert_eq!(upstream.revisions().await.unwrap().newest(), Revision::V2025_11_25);
    upstream.stop().await;

    let mut settings = shell("echo 'looking for the registry' >&2; exec sleep 600");
    settings.start_timeout = Duration::from_millis(300);
    settings.withheld = vec!["NODE_EXTRA_CA_CERTS".into()];
    let upstream = stdio(settings);
    let error = upstream.revisions().await.unwrap_err();
    let ForwardError::NotStarted { stderr_tail, withheld, .. } = error else { panic!("{error}") };
    assert_eq!(stderr_tail, ["looking for the registry"]);
    assert_eq!(withheld, ["NODE_EXTRA_CA_CERTS"]);
    upstream.stop().await;
}
