//! Streams must not outlive the authority with which they were opened.

use std::time::Duration;

use sekisho_e2e::fakes::call::{headers, initialize, legacy, message, modern};
use sekisho_e2e::fakes::oauth::Granted;
use sekisho_e2e::fakes::upstream::{Conduct, Speaks};
use sekisho_e2e::fakes::wire::{Ask, Connection};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::field::{Field, OWNER, UP, USER};

/// Opens a stream, and waits for its head and a first part.
async fn open(field: &Field, ask: &Ask) -> Connection {
    let mut connection = Connection::open(field.address).await.unwrap();
    connection.send(&ask.bytes(&field.host())).await.unwrap();
    let head = connection.head().await.unwrap();
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")), "{head:?}");
    connection.part().await.unwrap().expect("a first event");
    connection
}

/// A subscription, which stays open until its token ends.
fn subscription(granted: &Granted) -> Ask {
    let body = message("subscriptions/listen", json!({ "notifications": { "toolsListChanged": true } }));
    headers(UP, &granted.access, "subscriptions/listen").json(&body)
}

/// A call whose answer never ends.
fn endless(granted: &Granted) -> Ask {
    let mut body = message("tools/call", json!({ "name": "look", "arguments": {} }));
    body["params"]["_meta"]["progressToken"] = json!("p");
    headers(UP, &granted.access, "tools/call").header("mcp-name", "look").json(&body)
}

/// Reads until the stream ends. Returns how long that took.
async fn ends(mut connection: Connection) -> Duration {
    let begun = Instant::now();
    let reading = async { while matches!(connection.part().await, Ok(Some(_))) {} };
    timeout(Duration::from_secs(10), reading).await.expect("the stream goes on");
    begun.elapsed()
}

/// The ways in which authority ends.
enum End {
    Client,
    Grant,
    Replay,
    User,
}

/// ATK-59, TR-42: whatever ends a grant ends its streams within a second, both standing streams and answers, and no
/// others.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_authority() {
    for end in [End::Grant, End::User, End::Client, End::Replay] {
        let field = Field::start().await;
        let victim = field.granted(USER, "mcp:read mcp:write").await;
        let other = field.granted(OWNER, "mcp:read").await;
        field.upstream.behave(Conduct::Endless);
        let streams = [open(&field, &subscription(&victim)).await, open(&field, &endless(&victim)).await];
        let mut untouched = open(&field, &subscription(&other)).await;
        let grant = victim.claim("grant").as_str().unwrap().to_owned();
        let what = match end {
            End::Grant => {
                field.checkpoint.ask(&["grant", "revoke", &grant]).await;
                "grant revoke"
            }
            End::User => {
                field.checkpoint.ask(&["user", "disable", USER]).await;
                "user disable"
            }
            End::Client => {
                field.checkpoint.ask(&["client", "remove", &victim.client.id]).await;
                "client remove"
            }
            End::Replay => {
                let next =
                    victim.client.granted(&victim.client.token(&victim.client.refreshing(&victim.refresh)).await);
                next.client.granted(&next.client.token(&next.client.refreshing(&next.refresh)).await);
                assert_eq!(victim.client.token(&victim.client.refreshing(&victim.refresh)).await.status, 400);
                "replay"
            }
        };
        for stream in streams {
            let took = ends(stream).await;
            assert!(took < Duration::from_secs(1), "{what}: a stream went on for {took:?}");
        }
        let again = field.ask(&modern(UP, &victim.access, "tools/list", json!({}))).await;
        assert_eq!(again.status, 401, "{what}");
        for _ in 0..3 {
            untouched.part().await.unwrap().expect("somebody else's stream goes on");
        }
        field.rejected("grant_ended").await;
        field.upstream.behave(Conduct::Honest);
        field.is_healthy(&other).await;
    }
}

/// ATK-59: the standing stream of an older revision ends in the same way, and its session with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_standing_stream_of_an_older_revision_ends_too() {
    let field = Field::before(Speaks::Legacy, "").await;
    let victim = field.granted(USER, "mcp:read").await;
    let session = field
        .ask(&legacy(UP, &victim.access, None, &initialize("2025-11-25")))
        .await
        .header("mcp-session-id")
        .unwrap()
        .to_owned();
    let listen = Ask::get(UP)
        .bearer(&victim.access)
        .header("accept", "text/event-stream")
        .header("mcp-session-id", &session)
        .header("mcp-protocol-version", "2025-11-25");
    let stream = open(&field, &listen).await;
    field.checkpoint.ask(&["user", "disable", USER]).await;
    let took = ends(stream).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(field.ask(&listen).await.status, 401);
    field.rejected("grant_ended").await;
}

/// ATK-94: a grant has a bounded number of streams; a further one gets 429, and other grants are not affected.
#[tokio::test(flavor = "multi_thread")]
async fn one_grant_has_so_many_streams_and_no_more() {
    let field = Field::start().await;
    let greedy = field.granted(USER, "mcp:read").await;
    let other = field.granted(OWNER, "mcp:read").await;
    let mut held = Vec::new();
    let refused = loop {
        let mut connection = Connection::open(field.address).await.unwrap();
        connection.send(&subscription(&greedy).bytes(&field.host())).await.unwrap();
        let head = connection.head().await.unwrap();
        if head.status != 200 {
            break head;
        }
        held.push(connection);
        assert!(held.len() <= 64, "{} streams of one grant", held.len());
    };
    assert_eq!(refused.status, 429, "after {} streams", held.len());
    assert!(refused.header("retry-after").is_some());
    field.rejected("too_many_streams").await;
    let mut own = open(&field, &subscription(&other)).await;
    own.part().await.unwrap().expect("somebody else is not affected");
    field.is_healthy(&greedy).await;
    let before = held.len();
    held.clear();
    let again = sekisho_e2e::harness::wait::within(Duration::from_secs(10), "the places are free again", async || {
        let mut connection = Connection::open(field.address).await.ok()?;
        connection.send(&subscription(&greedy).bytes(&field.host())).await.ok()?;
        (connection.head().await.ok()?.status == 200).then_some(connection)
    })
    .await;
    drop(again);
    assert!(before >= 8, "honest use has room");
}

/// TR-37: when a client disconnects, its call at the upstream is cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_reads_is_let_go() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    field.upstream.behave(Conduct::Endless);
    let stream = open(&field, &endless(&granted)).await;
    assert_eq!(field.upstream.open_streams(), 1);
    drop(stream);
    sekisho_e2e::harness::wait::within(Duration::from_secs(5), "the upstream's stream ends", async || {
        (field.upstream.open_streams() == 0).then_some(())
    })
    .await;
    field.recorded("the outcome", |event| event["kind"] == "outcome" && event["result"] == "cancelled").await;
}
