//! Real children, most of them the scripted program of the fixture.

use std::time::Duration;

use futures_util::future::join_all;
use sekisho_protocol::secret::UpstreamSecret;
use serde_json::{Value, json};

use super::super::fixture::program::{guard, is_alive, mounting, scripted, shell};
use super::super::fixture::{
    MODERN, OLDER, call, cleared, events_of, eventually, in_session, initialize, json_of, next_message, request,
    text_of,
};
use super::super::tests::{Program, stdio};
use super::super::{AnswerBody, Deadline, ForwardError, ListenRequest, UpstreamSession};
use crate::credential::Credential;
use crate::revision::FarRevision;
use crate::upstream::{EnvValue, Isolation, StdioSettings};

mod eras;

fn shared(era: &str) -> StdioSettings {
    StdioSettings { isolation: Isolation::Shared, ..scripted(era) }
}

async fn begin(upstream: &Program, subject: &str, capabilities: Value) -> UpstreamSession {
    let answer = upstream.send(initialize(subject, "i", capabilities)).await.unwrap();
    let session = answer.session.clone().unwrap();
    assert_eq!(json_of(answer)["id"], "i");
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let told = upstream.send(in_session(request(subject, OLDER, initialized), &session)).await.unwrap();
    assert!(matches!(told.body, AnswerBody::Accepted));
    session
}

fn listening(subject: &str, session: &UpstreamSession) -> ListenRequest {
    ListenRequest {
        cleared: cleared(subject, "ping"),
        upstream: request(subject, OLDER, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).upstream,
        credential: Credential::None,
        session: Some(session.clone()),
        far: FarRevision(OLDER),
        headers: http::HeaderMap::new(),
        last_event_id: None,
    }
}

async fn process(upstream: &Program, subject: &str) -> u32 {
    let answer = upstream.send(call(subject, MODERN, "process", json!({}))).await.unwrap();
    text_of(answer).parse().unwrap()
}

async fn heard(upstream: &Program, subject: &str) -> Value {
    let answer = upstream.send(call(subject, MODERN, "heard", json!({}))).await.unwrap();
    serde_json::from_str(&text_of(answer)).unwrap()
}

/// ATK-73, TR-11, ST-12: 200 callers use one id through one child. The child answers in another order, while other
/// callers give up. Each caller gets its own answer under its own id.
#[tokio::test]
async fn callers_with_the_same_id_get_their_own_answers() {
    let upstream = stdio(shared("modern"));
    let calls = (0..200).map(|caller| {
        let upstream = &upstream;
        async move {
            let subject = format!("user{caller}");
            let quitter = upstream.send(call(&subject, MODERN, "hang", json!({})));
            if caller % 5 == 0 {
                let _ = tokio::time::timeout(Duration::from_millis(caller), quitter).await;
            }
            let arguments = json!({ "marker": subject, "size": 20 });
            let answer = json_of(upstream.send(call(&subject, MODERN, "batch", arguments)).await.unwrap());
            assert_eq!(answer["id"], 1, "{answer}");
            assert_eq!(answer["result"]["content"][0]["text"], subject.as_str(), "{answer}");
        }
    });
    join_all(calls).await;
    upstream.stop().await;
}

/// TR-11: a progress token belongs to one caller, too; string ids and tokens come back as they were written.
#[tokio::test]
async fn progress_comes_back_under_the_callers_token() {
    let upstream = stdio(shared("modern"));
    let body = r#"{"jsonrpc":"2.0","id":"é\n","method":"tools/call","params":{"name":"progress","_meta":{"progressToken":"mine"}}}"#;
    let mut events = events_of(upstream.send(request("a", MODERN, body)).await.unwrap());
    let progress = next_message(&mut events).await;
    assert_eq!(progress["params"], json!({ "progressToken": "mine", "progress": 1 }));
    let answer = next_message(&mut events).await;
    assert_eq!(answer["id"], "é\n");
    assert!(futures_util::StreamExt::next(&mut events).await.is_none());
    // A caller that asked for no progress gets none.
    let answer = upstream.send(call("a", MODERN, "progress", json!({}))).await.unwrap();
    assert_eq!(text_of(answer), "done");
    upstream.stop().await;
}

/// ST-04, ST-07: a body with line breaks becomes one line with its `_meta` unchanged. No header is sent to a child.
#[tokio::test]
async fn a_message_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let told = directory.path().join("told");
    let script = r#"IFS= read -r line; printf '%s' "$line" > TOLD; id=${line#*\"id\":}; id=${id%%[!0-9]*}
        printf '{"jsonrpc":"2.0","id":%s,"result":{}}\n' "$id"; cat"#;
    let upstream = stdio(shell(&script.replace("TOLD", told.to_str().unwrap())));
    let meta = r#""_meta":{ "traceparent" : "00-1", "dev.example/k":{"b":[1.50,"\u00e9"]} }"#;
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\n\"id\":1,\r\n\"method\":\"tools/call\",\"params\":{{\"name\":\"a\\nb\",\n{meta}}}}}\n"
    );
    let mut request = request("a", MODERN, &body);
    request.headers.insert("traceparent", http::HeaderValue::from_static("header-canary"));
    request.headers.insert("mcp-name", http::HeaderValue::from_static("header-canary"));
    assert_eq!(json_of(upstream.send(request).await.unwrap())["id"], 1);
    let told = std::fs::read_to_string(told).unwrap();
    assert!(told.contains(meta) && told.contains(r#""name":"a\nb""#), "{told}");
    assert!(!told.contains(['\n', '\r']) && !told.contains("canary"), "{told}");
    upstream.stop().await;
}

/// ATK-90, ST-05: partial, binary and huge lines, unexpected answers and noise on standard error do not disturb any
/// call.
#[tokio::test]
async fn rubbish_from_a_child_harms_no_call() {
    let upstream = stdio(shared("modern"));
    let other = upstream.send(call("b", MODERN, "batch", json!({ "marker": "b", "size": 2 })));
    let (other, answer, _) = tokio::join!(
        other,
        upstream.send(call("a", MODERN, "rubbish", json!({ "bytes": 20 << 20 }))),
        upstream.send(call("c", MODERN, "batch", json!({ "marker": "c", "size": 2 }))),
    );
    assert_eq!(text_of(answer.unwrap()), "still here");
    assert_eq!(text_of(other.unwrap()), "b");
    // If only one call is open, it gets the error that its answer was too long.
    let error = upstream.send(call("a", MODERN, "huge", json!({ "bytes": 17 << 20 }))).await.unwrap_err();
    assert_eq!(error, ForwardError::TooLarge { max: 16 << 20 });
    upstream.stop().await;
}

/// ST-13, ATK-90: after a crash every open call gets a clear error, without the secret that the child printed. The next
/// call gets a new child.
#[tokio::test]
async fn a_crash_is_told_and_the_child_started_again() {
    let mut settings = shared("modern");
    settings.withheld = vec!["UNUSED".into()];
    let secret = UpstreamSecret::from_outside("hush-hush");
    settings.environment.insert("KEY".into(), EnvValue::Secret(secret));
    let upstream = stdio(settings);
    let first = process(&upstream, "a").await;
    let (hanging, crashing) = tokio::join!(
        upstream.send(call("b", MODERN, "hang", json!({}))),
        upstream.send(call("a", MODERN, "crash", json!({}))),
    );
    for error in [hanging.unwrap_err(), crashing.unwrap_err()] {
        let ForwardError::ChildExited { status, stderr_tail, withheld, sent } = error else { panic!("{error}") };
        assert_eq!(status, "exited with status 7");
        assert_eq!(stderr_tail, ["about to fall", "the key was …"]);
        // It had answered before, so a missing variable is not the reason.
        assert!(withheld.is_empty());
        assert!(sent);
    }
    assert_ne!(process(&upstream, "a").await, first);
    upstream.stop().await;
}

/// ST-13: the waits between starts grow. A caller that would have to wait long gets an error instead.
#[tokio::test]
async fn starting_again_is_slowed_down() {
    let upstream = stdio(shell("echo no luck >&2; exit 3"));
    for _ in 0..3 {
        let error = upstream.send(call("a", MODERN, "x", json!({}))).await.unwrap_err();
        assert!(matches!(error, ForwardError::ChildExited { .. }), "{error}");
    }
    let later = async || {
        let error = upstream.send(call("a", MODERN, "x", json!({}))).await.unwrap_err();
        matches!(error, ForwardError::Restarting { retry_after } if retry_after > Duration::from_secs(1))
    };
    eventually("a wait of more than a second", later).await;
    upstream.stop().await;
}

/// If a program ends before its first answer, the error shows its last lines and the variables that it was not given.
/// The message was not sent, or the program answers nobody, as the probe of `run` shows.
#[tokio::test]
async fn an_exit_before_the_first_answer_names_what_was_withheld() {
    let mut settings = shell("echo booting >&2; echo 'API_KEY is not set' >&2; exit 1");
    settings.withheld = vec!["API_KEY".into()];
    let error = stdio(settings).revisions().await.unwrap_err();
    let ForwardError::ChildExited { status, stderr_tail, withheld, .. } = error else { panic!("{error}") };
    assert_eq!(status, "exited with status 1");
    assert_eq!(stderr_tail, ["booting", "API_KEY is not set"]);
    assert_eq!(withheld, ["API_KEY"]);
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let upstream = stdio(StdioSettings::new("/no/such/program"));
    let error = upstream.send(call("a", MODERN, "x", json!({}))).await.unwrap_err();
    assert!(matches!(&error, ForwardError::ChildMissing { program, .. } if program == "/no/such/program"));
    assert!(!error.sent());
    let mut settings = shell("exit 0");
    settings.directory = Some("/no/such/directory".into());
    let error = stdio(settings).revisions().await.unwrap_err();
    assert!(matches!(&error, ForwardError::ChildMissing { reason, .. } if reason.contains("/no/such/directory")));
}

/// ATK-90, ST-01: the child gets exactly the environment that is configured, none of our descriptors, and the
/// configured directory.
#[tokio::test]
async fn a_child_gets_exactly_what_it_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let kept_open = directory.path().join("store.db");
    let _store = std::fs::File::create(&kept_open).unwrap();
    let mut settings = scripted("modern");
    settings.directory = Some(directory.path().to_owned());
    settings.environment.insert("MODE".into(), EnvValue::Plain("a b\n$HOME".into()));
    let expected: Value =
        settings.environment.iter().map(|(name, value)| (name.clone(), json!(value.expose()))).collect();
    let upstream = stdio(settings);
    let answer = upstream.send(call("a", MODERN, "environment", json!({}))).await.unwrap();
    let told: Value = serde_json::from_str(&text_of(answer)).unwrap();
    assert_eq!(told["variables"], expected);
    assert_eq!(told["directory"], directory.path().canonicalize().unwrap().to_str().unwrap());
    let open = told["open"].to_string();
    assert!(!open.contains("store.db") && !open.contains("socket"), "{open}");
    upstream.stop().await;
}

/// PX-34, ATK-89: nothing in a message becomes a part of a command line: arguments are passed as words, and no shell
/// reads them.
#[tokio::test]
async fn arguments_are_words_and_not_a_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let marker = directory.path().join("marker");
    let mut settings = StdioSettings::new("/bin/echo");
    settings.arguments = vec![format!("$(touch {0}); touch {0}", marker.display()).into()];
    let upstream = stdio(settings);
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","command":"/bin/sh","args":["-c","exit"],"env":{"LD_PRELOAD":"x"}}}"#;
    let error = upstream.send(request("a", MODERN, body)).await.unwrap_err();
    assert!(matches!(&error, ForwardError::ChildExited { status, .. } if status == "exited with status 0"), "{error}");
    assert!(!marker.exists());
}

/// PX-36, ST-12: each subject has a child of its own, unless the setting shares one.
#[tokio::test]
async fn subjects_have_children_of_their_own() {
    let upstream = stdio(scripted("modern"));
    let (a, b) = (process(&upstream, "a").await, process(&upstream, "b").await);
    assert_ne!(a, b);
    assert_eq!(process(&upstream, "a").await, a);
    upstream.stop().await;
    let upstream = stdio(shared("modern"));
    assert_eq!(process(&upstream, "a").await, process(&upstream, "b").await);
    upstream.stop().await;
}

/// ST-08, TR-37: in 2026-07-28 a client that goes away cancels its request, even before the first message.
#[tokio::test]
async fn a_modern_disconnect_is_a_cancellation() {
    let upstream = stdio(scripted("modern"));
    process(&upstream, "a").await;
    let hanging = upstream.send(call("a", MODERN, "hang", json!({})));
    assert!(tokio::time::timeout(Duration::from_millis(200), hanging).await.is_err());
    let cancelled = async || heard(&upstream, "a").await["cancelled"].as_array().unwrap().len() == 1;
    eventually("a cancellation", cancelled).await;
    upstream.stop().await;
}

/// TR-38: in the older revisions a disconnect does not cancel. `notifications/cancelled` does, by the session's own id.
#[tokio::test]
async fn an_older_disconnect_is_no_cancellation() {
    let upstream = stdio(scripted("older"));
    let session = begin(&upstream, "a", json!({})).await;
    let cancelled = async || {
        let asked = in_session(call("a", OLDER, "heard", json!({})), &session);
        let told: Value = serde_json::from_str(&text_of(upstream.send(asked).await.unwrap())).unwrap();
        told["cancelled"].as_array().unwrap().len()
    };
    let hanging = upstream.send(in_session(call("a", OLDER, "hang", json!({})), &session));
    assert!(tokio::time::timeout(Duration::from_millis(200), hanging).await.is_err());
    assert_eq!(cancelled().await, 0);
    for id in ["99", "1"] {
        let body = format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#);
        upstream.send(in_session(request("a", OLDER, &body), &session)).await.unwrap();
    }
    eventually("the cancellation of the request that is open", async || cancelled().await == 1).await;
    upstream.stop().await;
}

/// TR-44: a call whose answer does not come in time is given up, and the child is told.
#[tokio::test]
async fn a_call_has_a_deadline() {
    let upstream = stdio(scripted("modern"));
    process(&upstream, "a").await;
    let mut hanging = call("a", MODERN, "hang", json!({}));
    hanging.deadline = Deadline::new(tokio::time::Instant::now(), Duration::from_millis(100));
    assert_eq!(upstream.send(hanging).await.unwrap_err(), ForwardError::Timeout { sent: true });
    let cancelled = async || heard(&upstream, "a").await["cancelled"].as_array().unwrap().len() == 1;
    eventually("a cancellation", cancelled).await;
    upstream.stop().await;
}

/// Sessions of the older revisions that declare the same capabilities share a child, which is initialised once. Each
/// gets the answer under its own id. Other capabilities mean another child.
#[tokio::test]
async fn a_child_is_initialised_once() {
    let upstream = stdio(scripted("older"));
    let child = |answer: Value| answer["result"]["serverInfo"]["version"].clone();
    let first = upstream.send(initialize("a", "one", json!({}))).await.unwrap();
    let session = first.session.clone().unwrap();
    let first = child(json_of(first));
    let second = json_of(upstream.send(initialize("a", "two", json!({}))).await.unwrap());
    assert_eq!(second["id"], "two");
    assert_eq!(child(second), first);
    let other = upstream.send(initialize("a", "three", json!({ "roots": {} }))).await.unwrap();
    assert_ne!(child(json_of(other)), first);
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    for _ in 0..2 {
        upstream.send(in_session(request("a", OLDER, initialized), &session)).await.unwrap();
    }
    let asked = in_session(call("a", OLDER, "heard", json!({})), &session);
    let told: Value = serde_json::from_str(&text_of(upstream.send(asked).await.unwrap())).unwrap();
    assert_eq!(told["initialized"], 1);
    upstream.stop().await;
}

/// A session serves only its subject, and only until it is ended; a request without a session has none (RS-52 is
/// checked before forwarding, and this is a second check; PX-20, PX-36).
#[tokio::test]
async fn a_session_serves_its_subject_until_it_ends() {
    let upstream = stdio(scripted("older"));
    let session = begin(&upstream, "a", json!({})).await;
    let UpstreamSession::Stdio(place) = &session else { panic!("{session:?}") };
    for request in [
        in_session(call("b", OLDER, "x", json!({})), &session),
        call("a", OLDER, "x", json!({})),
        in_session(call("a", OLDER, "x", json!({})), &UpstreamSession::Http("x".into())),
    ] {
        assert_eq!(upstream.send(request).await.unwrap_err(), ForwardError::SessionGone);
    }
    upstream.end_session(place);
    let error = upstream.send(in_session(call("a", OLDER, "x", json!({})), &session)).await.unwrap_err();
    assert_eq!(error, ForwardError::SessionGone);
    // A session of an upstream that was replaced does not work at its successor.
    let session = begin(&upstream, "a", json!({})).await;
    let successor = stdio(scripted("older"));
    begin(&successor, "a", json!({})).await;
    let error = successor.send(in_session(call("a", OLDER, "x", json!({})), &session)).await.unwrap_err();
    assert_eq!(error, ForwardError::SessionGone);
    tokio::join!(upstream.stop(), successor.stop());
}

/// A child that ended is initialised again for its sessions, with the same request and their subscriptions. A session
/// with a child of its own ends with that child (ST-13).
#[tokio::test]
async fn sessions_that_share_a_child_survive_it() {
    let upstream = stdio(scripted("older"));
    let session = begin(&upstream, "a", json!({})).await;
    let subscribe = r#"{"jsonrpc":"2.0","id":5,"method":"resources/subscribe","params":{"uri":"file:///a"}}"#;
    upstream.send(in_session(request("a", OLDER, subscribe), &session)).await.unwrap();
    let crashing = upstream.send(in_session(call("a", OLDER, "crash", json!({})), &session)).await;
    assert!(matches!(crashing, Err(ForwardError::ChildExited { .. })));
    let asked = in_session(call("a", OLDER, "heard", json!({})), &session);
    let told: Value = serde_json::from_str(&text_of(upstream.send(asked).await.unwrap())).unwrap();
    assert_eq!((&told["initialized"], &told["subscribed"]), (&json!(1), &json!(["file:///a"])));
    upstream.stop().await;

    let upstream = stdio(StdioSettings { isolation: Isolation::Session, ..scripted("older") });
    let (mine, other) = (begin(&upstream, "a", json!({})).await, begin(&upstream, "a", json!({})).await);
    let crashing = upstream.send(in_session(call("a", OLDER, "crash", json!({})), &mine)).await;
    assert!(matches!(crashing, Err(ForwardError::ChildExited { .. })));
    let error = upstream.send(in_session(call("a", OLDER, "x", json!({})), &mine)).await.unwrap_err();
    assert_eq!(error, ForwardError::SessionGone);
    assert_eq!(text_of(upstream.send(in_session(call("a", OLDER, "x", json!({})), &other)).await.unwrap()), "x");
    upstream.stop().await;
}

/// TR-35 (older revisions): a question of the child reaches the client under our id, and the client's answer reaches
/// the child under the child's id. An answer of another session does not, and no answer does twice.
#[tokio::test]
async fn a_question_of_the_child_reaches_the_session_that_is_meant() {
    let upstream = stdio(shared("older"));
    let session = begin(&upstream, "a", json!({})).await;
    let bystander = begin(&upstream, "b", json!({})).await;
    let asking = upstream.send(in_session(call("a", OLDER, "ask", json!({})), &session)).await.unwrap();
    let mut events = events_of(asking);
    let question = next_message(&mut events).await;
    assert_eq!(question["method"], "elicitation/create");
    assert_ne!(question["id"], "q");
    let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "accept" } }).to_string();
    let foreign = answer.replace("accept", "foreign");
    for (subject, session, body) in [("b", &bystander, &foreign), ("a", &session, &answer), ("a", &session, &foreign)] {
        let taken = upstream.send(in_session(request(subject, OLDER, body), session)).await.unwrap();
        assert!(matches!(taken.body, AnswerBody::Accepted));
    }
    let answered = next_message(&mut events).await;
    assert_eq!(answered["result"]["content"][0]["text"], r#""q" {"action":"accept"}"#);
    upstream.stop().await;
}

/// ST-06: a modern child may not ask anything. It gets an error, and its client does not notice. We answer its pings.
#[tokio::test]
async fn a_modern_child_is_refused_its_questions() {
    let upstream = stdio(scripted("modern"));
    let answer = upstream.send(call("a", MODERN, "ask", json!({}))).await.unwrap();
    assert_eq!(text_of(answer), r#""q" null"#);
    let answer = upstream.send(call("a", MODERN, "ping", json!({}))).await.unwrap();
    assert_eq!(text_of(answer), r#""p" {}"#);
    upstream.stop().await;
}

/// A notice of a change goes to every session, at once or when it listens. TR-40: a second stream of a session ends the
/// first, so that no message goes to two.
#[tokio::test]
async fn every_session_hears_of_changes() {
    let upstream = stdio(scripted("older"));
    let (one, two) = (begin(&upstream, "a", json!({})).await, begin(&upstream, "a", json!({})).await);
    let mut early = events_of(upstream.listen(listening("a", &one)).unwrap());
    upstream.send(in_session(call("a", OLDER, "change", json!({})), &one)).await.unwrap();
    let mut late = events_of(upstream.listen(listening("a", &two)).unwrap());
    for events in [&mut early, &mut late] {
        assert_eq!(next_message(events).await["method"], "notifications/tools/list_changed");
    }
    let _replacing = upstream.listen(listening("a", &one)).unwrap();
    assert!(futures_util::StreamExt::next(&mut early).await.is_none());
    assert_eq!(upstream.listen(listening("b", &one)).unwrap_err(), ForwardError::SessionGone);
    upstream.stop().await;
}

/// ST-09, TR-41: notifications of a subscription carry the caller's id; the subscription outlives its child and is
/// acknowledged once; dropping its stream ends it.
#[tokio::test]
async fn a_subscription_outlives_its_child() {
    let upstream = stdio(scripted("modern"));
    let body = r#"{"jsonrpc":"2.0","id":"sub","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true}}}"#;
    let mut events = events_of(upstream.send(request("a", MODERN, body)).await.unwrap());
    let acknowledged = next_message(&mut events).await;
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    let crashing = upstream.send(call("a", MODERN, "crash", json!({}))).await;
    assert!(matches!(crashing, Err(ForwardError::ChildExited { .. })));
    // A change before the subscription is open again is not reported, so changes are made until one is.
    let is_heard = std::cell::Cell::new(false);
    let changing = async {
        while !is_heard.get() {
            upstream.send(call("a", MODERN, "change", json!({}))).await.unwrap();
        }
    };
    let hearing = async {
        let changed = next_message(&mut events).await;
        is_heard.set(true);
        changed
    };
    let ((), changed) = tokio::join!(changing, hearing);
    assert_eq!(changed["method"], "notifications/tools/list_changed");
    assert_eq!(changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "sub");
    drop(events);
    let cancelled = async || heard(&upstream, "a").await["cancelled"].as_array().unwrap().len() == 1;
    eventually("the end of the subscription", cancelled).await;
    upstream.stop().await;
}

/// A child with nothing to do makes room for another; busy ones do not.
#[tokio::test]
async fn children_are_counted() {
    let upstream = stdio(StdioSettings { children_max: 1, ..scripted("modern") });
    let first = process(&upstream, "a").await;
    let second = process(&upstream, "b").await;
    assert!(!is_alive(first));
    let hanging = upstream.send(call("b", MODERN, "hang", json!({})));
    let crowding = async {
        let busy = async || heard(&upstream, "b").await["cancelled"] == json!([]);
        eventually("a busy child", busy).await;
        upstream.send(call("c", MODERN, "process", json!({}))).await
    };
    let crowded = tokio::select! {
        biased;
        answer = hanging => panic!("{answer:?}"),
        crowded = crowding => crowded,
    };
    assert_eq!(crowded.unwrap_err(), ForwardError::TooManyChildren { max: 1 });
    assert!(is_alive(second));
    upstream.stop().await;
}

/// A child that nobody wants is stopped by itself.
#[tokio::test]
async fn an_idle_child_is_stopped() {
    let upstream = stdio(StdioSettings { idle_stop: Duration::from_secs(1), ..scripted("modern") });
    let first = process(&upstream, "a").await;
    eventually("the end of an idle child", async || !is_alive(first)).await;
    assert_ne!(process(&upstream, "a").await, first);
    upstream.stop().await;
}

/// Waits until a program has written `count` process ids to a file, and returns them.
async fn processes(path: &std::path::Path, count: usize) -> Vec<u32> {
    let mut found = Vec::new();
    eventually("processes that say who they are", async || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        found = text.lines().filter_map(|line| line.parse().ok()).collect();
        found.len() == count
    })
    .await;
    found
}

/// A program that ignores the end of its input and `SIGTERM`, and has a child that does so, too.
fn stubborn(path: &std::path::Path) -> String {
    let path = path.display();
    format!("trap '' TERM HUP; sleep 600 & echo $! >> {path}; echo $$ >> {path}; while :; do wait; done")
}

/// ST-13: a child is stopped by the end of its input, then `SIGTERM`, then `SIGKILL`, each for its whole group. Nothing
/// is left after a stop, even of a program that ignores the first two. The same holds when the upstream is dropped.
#[tokio::test]
async fn nothing_is_left_after_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    for (file, is_stopped) in [("stopped", true), ("dropped", false)] {
        let path = directory.path().join(file);
        let upstream = stdio(shell(&stubborn(&path)));
        let calling = {
            let upstream = upstream.clone();
            tokio::spawn(async move { upstream.send(call("a", MODERN, "x", json!({}))).await })
        };
        let found = processes(&path, 2).await;
        if is_stopped {
            upstream.stop().await;
            assert!(matches!(calling.await.unwrap(), Err(ForwardError::ChildExited { .. })));
        } else {
            calling.abort();
            drop(upstream);
        }
        // A killed process is not gone at once: the system removes the last of them a moment later.
        eventually("nobody left", async || !found.iter().any(|process| is_alive(*process))).await;
    }
}

/// ST-13: the same holds when we are killed and can do nothing any more, with a program that ignores everything.
#[tokio::test]
async fn nothing_is_left_when_the_gateway_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("guarded");
    let mut gateway = mounting(directory.path(), &stubborn(&path));
    let found = processes(&path, 2).await;
    assert!(found.iter().all(|process| is_alive(*process)));
    gateway.kill().await.unwrap();
    eventually("nobody left", async || !found.iter().any(|process| is_alive(*process))).await;
}

/// The guard changes nothing that a caller could see, and passes on how the program ended.
#[tokio::test]
async fn a_guarded_program_is_the_same_program() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = scripted("modern");
    settings.guard = Some(guard(directory.path()));
    settings.environment.insert("PATH".into(), EnvValue::Plain("/usr/bin:/bin".into()));
    let upstream = stdio(settings);
    assert_eq!(text_of(upstream.send(call("a", MODERN, "hello", json!({}))).await.unwrap()), "hello");
    let error = upstream.send(call("a", MODERN, "crash", json!({}))).await.unwrap_err();
    assert!(matches!(&error, ForwardError::ChildExited { status, .. } if status == "exited with status 7"), "{error}");
    let process = process(&upstream, "a").await;
    upstream.stop().await;
    assert!(!is_alive(process));

    let mut settings = StdioSettings::new("/no/such/program");
    settings.guard = Some(guard(directory.path()));
    settings.environment.insert("PATH".into(), EnvValue::Plain("/usr/bin:/bin".into()));
    let error = stdio(settings).revisions().await.unwrap_err();
    assert!(matches!(&error, ForwardError::ChildMissing { program, .. } if program == "/no/such/program"), "{error}");
}
