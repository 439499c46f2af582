//! What a store does after something went wrong below it: a transaction that the database ended, a clock that was set, a
//! process that was killed, a flood of strangers.

use std::borrow::Cow;
use std::time::Duration;

use sekisho_protocol::audit::{Decision, Event, Need, Outcome, OutcomeResult, Record, Verdict};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{NodeId, RequestId};
use sekisho_protocol::scope::ScopeSet;
use sekisho_store::{
    AuditFilter, BrowserSession, ClockStep, GrantTask, SecretKey, SignInMethod, Store, StoreError, StoreSettings,
    UnendedCall, UnendedCursor,
};

use crate::harness::{World, on_both, on_sqlite, seal_key};
use crate::things::{digest, server};

async fn put(store: &Store, name: &str) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    tx.settings().put(name, "value").await?;
    tx.commit().await
}

async fn get(store: &Store, name: &str) -> Option<String> {
    store.read().await.unwrap().settings().get(name).await.unwrap()
}

/// ATK-168: where the database ends a transaction by itself, as SQLite does on a full disk, nothing more is done in it, and
/// the next transaction gets a connection that works.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_database_ended_is_over_and_stops_nobody() {
    on_sqlite(async |world| {
        world
            .raw()
            .await
            .execute(
                "CREATE TRIGGER full BEFORE INSERT ON settings WHEN NEW.name = 'full'
                 BEGIN SELECT RAISE(ROLLBACK, 'the disk is full'); END",
            )
            .await;
        for round in 0..5 {
            let mut tx = world.begin().await;
            tx.settings().put("before", "value").await.unwrap();
            tx.settings().put("full", "value").await.unwrap_err();
            // By itself it would be a transaction of its own, and succeed.
            assert!(tx.settings().put("after", "value").await.unwrap_err().is_unavailable());
            assert!(tx.commit().await.unwrap_err().is_unavailable());
            put(&world.store, &format!("round {round}")).await.unwrap();
        }
        assert_eq!(get(&world.store, "before").await, None);
        assert_eq!(get(&world.store, "after").await, None);
        assert!(get(&world.store, "round 4").await.is_some());
    })
    .await;
}

/// PostgreSQL answers `COMMIT` of a transaction in which a statement failed with success, and undoes everything. Nothing is
/// acknowledged by that.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_undone_is_not_acknowledged() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        let mut tx = world.begin().await;
        tx.settings().put("beside", "value").await.unwrap();
        assert!(matches!(tx.users().insert(&user).await, Err(StoreError::Conflict { .. })));
        let committed = tx.commit().await;
        assert_eq!(committed.is_ok(), get(&world.store, "beside").await.is_some(), "{committed:?}");
        put(&world.store, "after").await.unwrap();
    })
    .await;
}

/// Whoever goes away in the middle of anything leaves connections that work.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_given_up_half_way_leaves_connections_that_work() {
    on_both(async |world| {
        for micros in 0..200 {
            let work = put(&world.store, "given up");
            let _ = tokio::time::timeout(Duration::from_micros(micros * 20), work).await;
            let read = world.store.read();
            let _ = tokio::time::timeout(Duration::from_micros(micros * 5), read).await;
        }
        let working: Vec<_> = (0..32)
            .map(|number| {
                let store = world.store.clone();
                tokio::spawn(async move { put(&store, &format!("afterwards {number}")).await })
            })
            .collect();
        for work in working {
            work.await.unwrap().unwrap();
        }
    })
    .await;
}

/// ATK-171: however many strangers want to write, everybody else waits for one of them at most.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_write_one_at_a_time() {
    on_both(async |world| {
        let first = world.store.begin_for_stranger().await.unwrap();
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let store = world.store.clone();
                tokio::spawn(async move { store.begin_for_stranger().await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(first);
        // Among a hundred who wait, this is the second to write.
        put(&world.store, "honest").await.unwrap();
        let still_waiting = waiting.iter().filter(|waits| !waits.is_finished()).count();
        for waits in waiting {
            waits.await.unwrap().unwrap();
        }
        assert!(still_waiting > 50, "{still_waiting} of 100 came later");
    })
    .await;
}

/// ATK-171: and no more of them wait than can come in time.
#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_strangers_wait() {
    on_both(async |world| {
        let first = world.store.begin_for_stranger().await.unwrap();
        let waiting: Vec<_> = (0..700)
            .map(|_| {
                let store = world.store.clone();
                tokio::spawn(async move { store.begin_for_stranger().await.map(drop) })
            })
            .collect();
        while waiting.iter().filter(|waits| waits.is_finished()).count() < 700 - 512 {
            tokio::task::yield_now().await;
        }
        drop(first);
        let mut refused = 0;
        for waits in waiting {
            match waits.await.unwrap() {
                Ok(()) => {}
                Err(error) => {
                    assert!(error.is_unavailable());
                    refused += 1;
                }
            }
        }
        assert_eq!(refused, 700 - 512);
    })
    .await;
}

/// ATK-166: readiness is asked of a write, which fails where reading works.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_that_something_can_be_written() {
    on_sqlite(async |world| {
        let store = Store::open(StoreSettings::new(world.url.clone(), seal_key())).await.unwrap();
        store.probe().await.unwrap();
        let mut raw = world.raw().await;
        raw.execute("BEGIN IMMEDIATE").await;
        store.ping().await.unwrap();
        assert!(store.probe().await.unwrap_err().is_unavailable());
        raw.execute("ROLLBACK").await;
        store.probe().await.unwrap();
    })
    .await;
    on_both(async |world| world.store.probe().await.unwrap()).await;
}

async fn session(world: &World, name: &str, made: Timestamp, seconds: u32) {
    let user = world.kept_user(name).await.id;
    let session = BrowserSession {
        digest: digest(name),
        user,
        csrf: SecretKey::from_bytes([1; 32]),
        created_at: made,
        expires_at: sekisho_protocol::env::after(made, seconds),
        authenticated_at: made,
        method: SignInMethod::Password,
        browser: "Firefox, Linux".to_owned(),
        seen_at: made,
    };
    let mut tx = world.begin().await;
    tx.browser_sessions().insert(&session).await.unwrap();
    tx.commit().await.unwrap();
}

async fn lives(world: &World, name: &str, now: Timestamp) -> bool {
    let mut tx = world.store.read().await.unwrap();
    tx.browser_sessions().find(&digest(name), now).await.unwrap().is_some()
}

/// ATK-173: what was made while the clock was wrong moves with it, in either direction; what was made before stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_lasts_moves_with_a_step_of_the_clock() {
    on_both(async |world| {
        let (since, from) = (world.at(10_000), world.at(20_000));
        session(&world, "before", world.at(9_000), 100_000).await;
        session(&world, "meanwhile", world.at(15_000), 6_000).await;
        let user = world.kept_user("ada").await.id;
        let grant = world.kept_family("first", user).await;
        // Back by 12,000 seconds: 5,000 of its 6,000 seconds have passed.
        world.store.take_step(ClockStep { since, from, to: world.at(8_000) }).await.unwrap();
        assert!(lives(&world, "meanwhile", world.at(8_999)).await);
        assert!(!lives(&world, "meanwhile", world.at(9_001)).await);
        assert!(lives(&world, "before", world.at(108_999)).await);
        // And ahead again, to where everything was.
        let step = ClockStep { since: world.at(0), from: world.at(8_500), to: world.at(20_500) };
        world.store.take_step(ClockStep { since: world.at(1_000), ..step }).await.unwrap();
        assert!(lives(&world, "meanwhile", world.at(20_999)).await);
        assert!(!lives(&world, "meanwhile", world.at(21_001)).await);
        // Made at the very beginning, before either.
        let mut tx = world.begin().await;
        let kept = tx.refresh_tokens().find(&digest("first")).await.unwrap().unwrap();
        assert_eq!((kept.grant, kept.issued_at, kept.expires_at), (grant.id, world.at(0), world.at(86_400)));
    })
    .await;
}

/// ATK-174: what seems to come from the future lasts from now on, for as long as it was to last; everything else stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_the_future_is_brought_back() {
    on_both(async |world| {
        session(&world, "future", world.at(90_000), 600).await;
        session(&world, "nearly now", world.at(30), 600).await;
        let mut tx = world.begin().await;
        let code =
            sekisho_store::Code { issued_at: world.at(90_000), expires_at: world.at(90_060), ..world.code("code") };
        tx.codes().insert(&code).await.unwrap();
        let lane = sekisho_store::Lane { free: 0, wait_seconds_max: 60 };
        assert!(tx.throttle().take("ada", lane, world.at(90_000)).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(world.store.bring_back(world.at(0)).await.unwrap(), 3);
        assert_eq!(world.store.bring_back(world.at(0)).await.unwrap(), 0);
        assert!(lives(&world, "future", world.at(599)).await && !lives(&world, "future", world.at(601)).await);
        assert!(lives(&world, "nearly now", world.at(629)).await && !lives(&world, "nearly now", world.at(631)).await);
        let mut tx = world.begin().await;
        let code = tx.codes().find(&digest("code")).await.unwrap().unwrap();
        assert_eq!((code.issued_at, code.expires_at), (world.at(0), world.at(60)));
        let _: Option<GrantTask> = code.conditions.task;
    })
    .await;
}

fn decision(world: &World, request: RequestId, verdict: Verdict) -> Record {
    let decision = Decision {
        subject: Subject::Anonymous,
        client: None,
        path: None,
        grant: None,
        token: None,
        issuer: None,
        task: None,
        server: server("notes"),
        method: Cow::Borrowed("tools/call"),
        target: Some(r#"{"kind":"outcome"}"#.to_owned()),
        arguments: None,
        verdict,
        set: None,
        need: Need::Undeclared,
        why: None,
        observed: None,
        because: Vec::new().into(),
        scopes: ScopeSet::empty(),
    };
    Record { at: world.now, request, event: Event::Decision(Box::new(decision)) }
}

fn outcome(world: &World, request: RequestId) -> Record {
    let outcome =
        Outcome { server: server("notes"), result: OutcomeResult::Answered, status: 200, bytes: 1, millis: 1 };
    Record { at: world.now, request, event: Event::Outcome(outcome) }
}

/// ATK-175: calls without an outcome are found, wherever the outcome of the others stands, and nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn calls_without_an_outcome_are_found() {
    on_both(async |world| {
        let [own, other] = [(); 2].map(|()| NodeId::generate(world.now, &*world.entropy));
        let requests: Vec<RequestId> =
            (0..40).map(|number| RequestId::generate(world.at(number), &*world.entropy)).collect();
        let mut batches: Vec<(NodeId, Vec<Record>)> = Vec::new();
        for (number, request) in requests.iter().enumerate() {
            let verdict = if number % 5 == 0 { Verdict::Deny } else { Verdict::Permit };
            batches.push((own, vec![decision(&world, *request, verdict)]));
            batches.push((other, vec![decision(&world, RequestId::generate(world.at(3), &*world.entropy), verdict)]));
        }
        // Of every third an outcome, in a batch of its own and much later.
        let ended = requests.iter().step_by(3);
        batches.push((own, ended.map(|request| outcome(&world, *request)).collect()));
        let mut head = None;
        for (node, batch) in &batches {
            let mut tx = world.begin().await;
            let appended = tx.audit().append(*node, batch, world.now).await.unwrap();
            tx.commit().await.unwrap();
            head = (*node == own).then_some(appended).or(head);
        }
        let expected: Vec<RequestId> = requests
            .iter()
            .enumerate()
            .filter(|(number, _)| number % 5 != 0 && number % 3 != 0 && *number >= 4)
            .map(|(_, request)| *request)
            .collect();
        let mut cursor = UnendedCursor::from(world.at(4));
        let mut found: Vec<UnendedCall> = Vec::new();
        let last = head.unwrap().seq;
        loop {
            let mut tx = world.store.read().await.unwrap();
            let Some(more) = tx.audit().unended(own, last, &mut cursor).await.unwrap() else { break };
            found.extend(more);
        }
        // A span is about a second: one that began in the same as the first is found, too.
        let found: Vec<RequestId> =
            found.into_iter().map(|call| call.request).filter(|request| *request >= requests[4]).collect();
        assert_eq!(found, expected);
        let mut tx = world.begin().await;
        assert_eq!(tx.audit().open_since(own).await.unwrap(), None);
        tx.audit().set_open_since(own, world.at(7)).await.unwrap();
        assert_eq!(tx.audit().open_since(own).await.unwrap(), Some(world.at(7)));
        assert_eq!(tx.audit().open_since(other).await.unwrap(), None);
        assert_eq!(tx.audit().last_kept_at(own).await.unwrap(), Some(world.now));
    })
    .await;
}

/// ATK-168: whether a batch was taken of which nothing was heard is known by the head that it would have made.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_taken_is_recognised() {
    on_both(async |world| {
        let node = NodeId::generate(world.now, &*world.entropy);
        let request = RequestId::generate(world.now, &*world.entropy);
        let mut tx = world.begin().await;
        let head = tx.audit().append(node, &[outcome(&world, request)], world.now).await.unwrap();
        tx.rollback().await.unwrap();
        let mut tx = world.begin().await;
        assert!(!tx.audit().has_come_to(node, head).await.unwrap());
        let head = tx.audit().append(node, &[outcome(&world, request)], world.now).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = world.begin().await;
        tx.audit().append(node, &[outcome(&world, request)], world.now).await.unwrap();
        assert!(tx.audit().has_come_to(node, head).await.unwrap());
        tx.commit().await.unwrap();
        let found = world.store.read().await.unwrap().audit().list(&AuditFilter::default()).await.unwrap();
        assert_eq!(found.len(), 2);
    })
    .await;
}

/// ATK-167: room is kept beside the database, and given up when it is needed.
#[tokio::test(flavor = "multi_thread")]
async fn room_is_kept_for_a_full_disk() {
    on_both(async |world| {
        world.store.keep_reserve().unwrap();
        let sqlite = matches!(world.url, sekisho_store::StoreUrl::Sqlite(_));
        assert_eq!(world.store.give_up_reserve().await.unwrap(), sqlite);
        assert!(!world.store.give_up_reserve().await.unwrap());
        put(&world.store, "afterwards").await.unwrap();
    })
    .await;
}
