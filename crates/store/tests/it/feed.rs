//! The change feed: in order, nothing lost, and honest about what it missed.

use std::time::Duration;

use sekisho_store::{ChangeFeed, ChangeKind, FeedEvent, Store};

use crate::harness::{CONTENDERS, next, on_both, race};

async fn put(store: &Store, name: &str) {
    let mut tx = store.begin().await.unwrap();
    tx.settings().put(name, "value").await.unwrap();
    tx.commit().await.unwrap();
}

/// The settings that so many events name; their numbers follow one another.
async fn settings(feed: &mut ChangeFeed, count: u32) -> Vec<String> {
    let mut names = Vec::new();
    let mut last = None;
    for _ in 0..count {
        let FeedEvent::Change(change) = next(feed).await else { panic!("a gap") };
        assert_eq!(change.kind, ChangeKind::Setting);
        assert!(last.is_none_or(|last| change.seq == last + 1), "{last:?} {change:?}");
        last = Some(change.seq);
        names.push(change.id);
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_in_the_order_in_which_they_were_committed() {
    on_both(async |world| {
        let mut feed = world.store.changes();
        let names: Vec<String> = (0..20).map(|number| format!("setting {number}")).collect();
        for name in &names {
            put(&world.store, name).await;
        }
        assert_eq!(settings(&mut feed, 20).await, names);
    })
    .await;
}

/// ATK-59: on every node a revocation is known within a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_another_store_on_the_same_database_within_a_second() {
    on_both(async |world| {
        let other = world.another_store().await;
        let mut feed = other.changes();
        for name in ["one", "two", "three"] {
            put(&world.store, name).await;
            let began = tokio::time::Instant::now();
            assert_eq!(settings(&mut feed, 1).await, [name]);
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        }
    })
    .await;
}

/// Numbers given out before the commit become visible in another order than they were given out; a reader that
/// goes by the highest number then loses what comes late.
#[tokio::test(flavor = "multi_thread")]
async fn no_change_is_lost_among_sixty_four_concurrent_committers() {
    on_both(async |world| {
        let third = world.another_store().await;
        let mut feeds = [world.store.changes(), third.changes()];
        let rounds = 4;
        let found = race(&world, |store, number| async move {
            for round in 0..rounds {
                let mut tx = store.begin().await?;
                tx.settings().put(&format!("{number:02} {round}"), "value").await?;
                tx.commit().await?;
            }
            Ok(())
        })
        .await;
        assert!(found.iter().all(Result::is_ok), "{found:?}");
        for feed in &mut feeds {
            let mut names = settings(feed, CONTENDERS * rounds).await;
            names.sort_unstable();
            let all = (0..CONTENDERS).flat_map(|number| (0..rounds).map(move |round| format!("{number:02} {round}")));
            assert_eq!(names, all.collect::<Vec<_>>());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rolled_back_is_not_announced() {
    on_both(async |world| {
        let mut feed = world.store.changes();
        let mut tx = world.begin().await;
        tx.settings().put("never", "value").await.unwrap();
        tx.rollback().await.unwrap();
        let mut tx = world.begin().await;
        tx.settings().put("dropped", "value").await.unwrap();
        drop(tx);
        put(&world.store, "kept").await;
        assert_eq!(settings(&mut feed, 1).await, ["kept"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_transaction_announces_each_thing_once() {
    on_both(async |world| {
        let mut feed = world.store.changes();
        let mut tx = world.begin().await;
        tx.settings().put("one", "value").await.unwrap();
        tx.settings().put("one", "another value").await.unwrap();
        tx.settings().put("two", "value").await.unwrap();
        tx.commit().await.unwrap();
        put(&world.store, "three").await;
        assert_eq!(settings(&mut feed, 3).await, ["one", "two", "three"]);
    })
    .await;
}

/// A node that slept while changes were made and pruned.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_missed_changes_for_good_is_told_of_a_gap() {
    on_both(async |world| {
        let mut feed = world.store.changes();
        put(&world.store, "before").await;
        assert_eq!(settings(&mut feed, 1).await, ["before"]);
        // At once, so that nobody sees the changes before they are gone: five were made, only the last is left.
        world
            .raw()
            .await
            .execute(
                "BEGIN;
                 UPDATE counters SET value = value + 5 WHERE name = 'changes';
                 INSERT INTO changes (seq, kind, id) SELECT value, 'user', 'usr' FROM counters WHERE name = 'changes';
                 COMMIT;",
            )
            .await;
        assert_eq!(next(&mut feed).await, FeedEvent::Gap);
        put(&world.store, "after").await;
        assert_eq!(settings(&mut feed, 1).await, ["after"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_keeps_the_newest_changes() {
    on_both(async |world| {
        let mut feed = world.store.changes();
        for number in 0..10 {
            put(&world.store, &format!("setting {number}")).await;
        }
        // A node that has not read what is pruned would be told of a gap, and rightly.
        settings(&mut feed, 10).await;
        assert_eq!(world.store.prune_changes(4).await.unwrap(), 6);
        assert_eq!(world.store.prune_changes(4).await.unwrap(), 0);
        put(&world.store, "after").await;
        assert_eq!(settings(&mut feed, 1).await, ["after"]);
    })
    .await;
}

/// A listener that does not listen is not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_too_slow_is_told_of_a_gap() {
    on_both(async |world| {
        let (mut slow, mut quick) = (world.store.changes(), world.store.changes());
        let mut tx = world.begin().await;
        for number in 0..5_000 {
            tx.settings().put(&format!("setting {number:04}"), "value").await.unwrap();
        }
        tx.commit().await.unwrap();
        // The quick one keeps up, or is told too; it hears the last change in either case.
        loop {
            if matches!(next(&mut quick).await, FeedEvent::Change(change) if change.id == "setting 4999") {
                break;
            }
        }
        assert_eq!(next(&mut slow).await, FeedEvent::Gap);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_says_so_once_and_then_nothing() {
    on_both(async |world| {
        let mut feed = world.store.changes();
        world.store.close().await;
        assert_eq!(next(&mut feed).await, FeedEvent::Unavailable);
        assert!(tokio::time::timeout(Duration::from_millis(50), feed.next()).await.is_err());
        assert!(world.store.begin().await.unwrap_err().is_unavailable());
        assert_eq!(next(&mut world.store.changes()).await, FeedEvent::Unavailable);
    })
    .await;
}
