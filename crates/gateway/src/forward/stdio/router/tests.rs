//! The tables alone: a message that belongs to nobody is delivered to nobody.

use std::time::Duration;

use sekisho_protocol::caller::Caller;
use sekisho_protocol::scope::ScopeSet;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::mailbox::{Delivery, Receiver};
use super::super::sessions::SessionId;
use crate::memory::{Memory, Room};

use super::{Deadline, ForwardError, Id, Opening, PENDING_MAX, QueueBytes, Router};
use crate::shares::Holder;

fn router(shared: bool) -> Router {
    Router::new(QueueBytes { request_max: 1 << 20, session_max: 1 << 20 }, shared)
}

fn room() -> Room {
    Memory::default().own_room()
}

fn opening(session: Option<SessionId>) -> Opening {
    let id = Id::String("mine".to_owned());
    Opening { id, progress_token: None, session, holder: None, is_subscription: false, deadline: None, room: room() }
}

fn anybody() -> Holder {
    Holder::of(&Caller::anonymous(ScopeSet::empty()), None)
}

fn line(message: Value) -> String {
    message.to_string()
}

async fn next(receiver: &mut Receiver) -> Value {
    match receiver.receive().await.unwrap().unwrap() {
        Delivery::Answer(bytes) | Delivery::Message(bytes) => serde_json::from_slice(&bytes).unwrap(),
    }
}

fn log() -> String {
    line(json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": "x" } }))
}

/// ATK-73: nothing is delivered under a number that is not open, or that is not ours. A number is used once.
#[tokio::test]
async fn an_answer_that_nobody_waits_for_goes_nowhere() {
    let mut router = router(false);
    let (number, mut receiver) = router.open(opening(None)).unwrap();
    for id in [json!(number + 1), json!(number.to_string()), json!(0), json!(-1)] {
        let heard = router.hear(line(json!({ "jsonrpc": "2.0", "id": id, "result": {} })).as_bytes());
        assert!(heard.dropped.is_some() && !heard.answered, "{id}");
    }
    let answer = line(json!({ "jsonrpc": "2.0", "id": number, "result": { "x": 1 } }));
    assert!(router.hear(answer.as_bytes()).answered);
    assert_eq!(next(&mut receiver).await, json!({ "jsonrpc": "2.0", "id": "mine", "result": { "x": 1 } }));
    assert!(!router.hear(answer.as_bytes()).answered);
    let (again, _receiver) = router.open(opening(None)).unwrap();
    assert_ne!(again, number);
}

/// ATK-73: a message that names no request goes to the only receiver that can be meant; among several subjects it goes
/// to nobody.
#[tokio::test]
async fn what_names_nobody_is_not_guessed_among_subjects() {
    let mut alone = router(false);
    let (_, mut receiver) = alone.open(opening(None)).unwrap();
    assert_eq!(alone.hear(log().as_bytes()).dropped, None);
    assert_eq!(next(&mut receiver).await["method"], "notifications/message");
    let (_, _other) = alone.open(opening(None)).unwrap();
    assert!(alone.hear(log().as_bytes()).dropped.is_some());

    let mut shared = router(true);
    let (_, _receiver) = shared.open(opening(None)).unwrap();
    assert!(shared.hear(log().as_bytes()).dropped.is_some());
}

/// With several sessions, a question of the child goes to the one with an open request, and to nobody if there are two.
/// Its withdrawal goes to the same session.
#[tokio::test]
async fn a_question_is_routed_or_refused() {
    let mut router = router(true);
    let (one, two) = (router.attach(anybody(), room()).0, router.attach(anybody(), room()).0);
    let question = line(json!({ "jsonrpc": "2.0", "id": "q", "method": "roots/list" }));
    let refused = router.hear(question.as_bytes());
    let reply: Value = serde_json::from_slice(&refused.reply.unwrap()).unwrap();
    assert_eq!((&reply["id"], &reply["error"]["code"]), (&json!("q"), &json!(-32601)));

    let (_, mut receiver) = router.open(opening(Some(one))).unwrap();
    assert_eq!(router.hear(question.as_bytes()).reply, None);
    let asked = next(&mut receiver).await;
    let withdrawn =
        line(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": "q" } }));
    router.hear(withdrawn.as_bytes());
    assert_eq!(next(&mut receiver).await["params"]["requestId"], asked["id"]);

    router.hear(question.as_bytes());
    let asked = next(&mut receiver).await;
    let id = Id::Integer(asked["id"].as_i64().unwrap());
    let body = line(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": {} }));
    assert_eq!(router.respond(two, &id, body.as_bytes()), None);
    let restored: Value = serde_json::from_slice(&router.respond(one, &id, body.as_bytes()).unwrap()).unwrap();
    assert_eq!(restored["id"], "q");
    assert_eq!(router.respond(one, &id, body.as_bytes()), None);

    let (_, _receiver) = router.open(opening(Some(two))).unwrap();
    assert!(router.hear(question.as_bytes()).reply.is_some());
}

/// When a session ends its requests end, and the child is told; the other sessions keep theirs.
#[tokio::test]
async fn a_session_ends_with_all_that_is_its_own() {
    let mut router = router(true);
    let (one, two) = (router.attach(anybody(), room()).0, router.attach(anybody(), room()).0);
    let (number, mut gone) = router.open(opening(Some(one))).unwrap();
    let (_, _stays) = router.open(opening(Some(two))).unwrap();
    let told: Vec<Value> = router.detach(one).iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["params"]["requestId"], number);
    assert_eq!(gone.receive().await, Err(ForwardError::SessionGone));
    assert_eq!(router.number_of(two, &Id::String("mine".to_owned())), Some(number + 1));
}

/// Updates of a resource reach those who subscribed to it or to a resource that holds it. When the last session
/// unsubscribes, nobody has the subscription.
#[tokio::test]
async fn updates_reach_their_subscribers() {
    let mut router = router(true);
    let (one, two) = (router.attach(anybody(), room()).0, router.attach(anybody(), room()).0);
    router.sessions().subscribe(one, "file:///a").unwrap();
    router.sessions().subscribe(two, "file:///b").unwrap();
    let mut of_one = router.sessions().listen(one, 1 << 20).unwrap();
    let mut of_two = router.sessions().listen(two, 1 << 20).unwrap();
    for uri in ["file:///ab", "file:///a/x", "file:///b"] {
        let update = json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } });
        router.hear(line(update).as_bytes());
    }
    assert_eq!(next(&mut of_one).await["params"]["uri"], "file:///a/x");
    assert_eq!(next(&mut of_two).await["params"]["uri"], "file:///b");
    router.sessions().subscribe(two, "file:///a").unwrap();
    assert!(router.sessions().unsubscribe(one, "file:///a"));
    assert!(!router.sessions().unsubscribe(two, "file:///a"));
}

/// TR-44, ATK-93: a request is given up when its time is over, and the number of open requests is bounded.
#[tokio::test]
async fn open_requests_are_bounded_in_time_and_number() {
    let mut router = router(true);
    let now = Instant::now();
    let at_once = Some(Deadline::new(now, Duration::ZERO));
    let (_, mut over) = router.open(Opening { deadline: at_once, ..opening(None) }).unwrap();
    let later = Some(Deadline::new(now, Duration::from_secs(60)));
    let (_, _later) = router.open(Opening { deadline: later, ..opening(None) }).unwrap();
    assert_eq!(router.expire(now).len(), 1);
    assert_eq!(over.receive().await, Err(ForwardError::Timeout { sent: true }));
    let mut kept = Vec::new();
    while let Ok((_, receiver)) = router.open(opening(None)) {
        kept.push(receiver);
    }
    assert_eq!(kept.len(), PENDING_MAX - 1);
}

/// TR-44: progress gives only its own request the full time again, up to twelve times that time.
#[tokio::test(start_paused = true)]
async fn progress_gives_a_request_its_time_anew() {
    let mut router = router(true);
    let each = Duration::from_secs(60);
    let deadline = Some(Deadline::new(Instant::now(), each));
    let token = Some(Id::Integer(7));
    let reports = Opening { deadline, progress_token: token, ..opening(None) };
    let (number, _reports) = router.open(reports).unwrap();
    let (silent, _silent) = router.open(Opening { deadline, ..opening(None) }).unwrap();
    assert!(silent > number);
    let mut expired = Vec::new();
    for minute in 0..24 {
        tokio::time::advance(each / 2).await;
        let params = json!({ "progressToken": number, "progress": minute });
        router.hear(line(json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })).as_bytes());
        expired.push(router.expire(Instant::now()).len());
    }
    let at = |index: usize| expired.get(index).copied();
    // The silent one ends after its minute, the other at the end of the twelfth.
    assert_eq!((at(1), at(23)), (Some(1), Some(1)), "{expired:?}");
    assert_eq!(expired.iter().sum::<usize>(), 2, "{expired:?}");
}

/// The end of a subscription names it in its result, under the caller's id (TR-43).
#[tokio::test]
async fn a_subscription_ends_under_its_own_id() {
    let mut router = router(false);
    let (number, mut receiver) = router.open(Opening { is_subscription: true, ..opening(None) }).unwrap();
    let meta = json!({ "io.modelcontextprotocol/subscriptionId": number, "other": 1 });
    let end = json!({ "jsonrpc": "2.0", "id": number, "result": { "resultType": "complete", "_meta": meta } });
    router.hear(line(end).as_bytes());
    let end = next(&mut receiver).await;
    assert_eq!(end["id"], "mine");
    assert_eq!(end["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "mine");
    assert_eq!(end["result"]["_meta"]["other"], 1);
}
