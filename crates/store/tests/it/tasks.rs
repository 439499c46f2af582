//! Tasks: their budgets, their ends, and what a grant's tokens are held to.

use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, GrantId, TaskId};
use sekisho_protocol::registration::{Client, ClientOrigin};
use sekisho_protocol::task::{Task, TaskDefinition, TaskOrigin};
use sekisho_store::{
    ChangeKind, NewClient, NewGrant, NewTask, StoreError, TASKS_BY_CLIENT_MAX, TASKS_BY_PERSON_MAX, Taken, TaskFilter,
    TaskPlace, Tx,
};

use crate::harness::{CONTENDERS, World, announced, on_both, race, winners};
use crate::things::{keep, server};

async fn left(world: &World, task: TaskId) -> Option<i64> {
    world.begin().await.tasks().find(task).await.unwrap().unwrap().calls_left
}

pub(crate) async fn ids(tx: &mut Tx, grant: GrantId) -> Vec<TaskId> {
    tx.tasks().of_grant(grant).await.unwrap().into_iter().map(|task| task.id).collect()
}

fn grant_changed(grants: &[GrantId]) -> Vec<(ChangeKind, String)> {
    let mut changes: Vec<_> = grants.iter().map(|grant| (ChangeKind::Grant, grant.to_string())).collect();
    changes.sort_unstable();
    changes
}

/// A task that was begun is kept whole, with its budget and its end counted from its beginning.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_comes_back_as_it_was_begun() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let new = world.task(&grant, Some(10));
        let endless = TaskDefinition { expires_in: None, calls: None, ..new.definition.clone() };
        let endless = NewTask { id: world.task(&grant, None).id, definition: endless, ..new.clone() };
        world.begin_task(&new).await.unwrap();
        world.begin_task(&endless).await.unwrap();
        let mut tx = world.begin().await;
        let expected = Task {
            id: new.id,
            grant: grant.id,
            parent: None,
            server: grant.server.clone(),
            definition: new.definition.clone(),
            origin: new.origin,
            calls_left: Some(10),
            created_at: world.now,
            ends_at: Some(world.at(60)),
            ended_at: None,
        };
        assert_eq!(tx.tasks().find(new.id).await.unwrap(), Some(expected));
        let kept = tx.tasks().find(endless.id).await.unwrap().unwrap();
        assert_eq!((kept.calls_left, kept.ends_at), (None, None));
        assert_eq!(tx.tasks().find(world.task(&grant, None).id).await.unwrap(), None);
        assert!(matches!(tx.tasks().begin(&new).await, Err(StoreError::Conflict { .. })));
    })
    .await;
}

/// No task begins on a grant that was revoked, has expired, is of another server or does not exist.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_begins_on_a_grant_that_is_not_alive() {
    on_both(async |world| {
        let revoked = world.kept_grant("ada").await;
        let expired = NewGrant { expires_at: Some(world.now), ..world.grant(revoked.subject.clone()) };
        let elsewhere = world.grant(revoked.subject.clone());
        keep(&world.store, &[&expired, &elsewhere]).await;
        let mut tx = world.begin().await;
        tx.grants().revoke(revoked.id, "test", world.now).await.unwrap();
        tx.commit().await.unwrap();
        let unknown = world.grant(revoked.subject.clone());
        let elsewhere = NewGrant { server: server("files"), ..elsewhere };
        for grant in [&revoked, &expired, &elsewhere, &unknown] {
            for place in [TaskPlace::Aside, TaskPlace::Current, TaskPlace::Inside] {
                let error = world.begin_task(&NewTask { place, ..world.task(grant, None) }).await.unwrap_err();
                assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
            }
        }
        let mut tx = world.begin().await;
        assert_eq!(tx.tasks().list(&TaskFilter::default(), world.now).await.unwrap(), []);
        assert_eq!(tx.grants().find(revoked.id).await.unwrap().unwrap().task, None);
    })
    .await;
}

/// A grant never has more running tasks of one side than the bound, also when many begin at the same moment; those whose
/// time is over do not count.
///
/// ATK-131: what the client begins takes nothing of the room of what a person begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_has_only_so_many_running_tasks() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let of = |origin| NewTask { origin, ..world.task(&grant, None) };
        for (origin, max) in [(TaskOrigin::Exchange, TASKS_BY_CLIENT_MAX), (TaskOrigin::Person, TASKS_BY_PERSON_MAX)] {
            let tasks: Vec<_> = (0..CONTENDERS).map(|_| of(origin)).collect();
            let found = race(&world, |store, number| {
                let task = tasks[number as usize].clone();
                async move {
                    let mut tx = store.begin().await?;
                    match tx.tasks().begin(&task).await {
                        Ok(()) => tx.commit().await.map(|()| true),
                        Err(StoreError::Full { .. }) => Ok(false),
                        Err(other) => Err(other),
                    }
                }
            })
            .await;
            assert_eq!(winners(found) as i64, max, "{origin:?}");
        }
        // Their time is a minute.
        let late = |seconds| NewTask { created_at: world.at(seconds), ..world.task(&grant, None) };
        assert!(world.begin_task(&late(59)).await.is_err());
        let later = late(60);
        world.begin_task(&later).await.unwrap();
        assert_eq!(ids(&mut world.begin().await, grant.id).await, [later.id]);
    })
    .await;
}

/// A budget of ten lets exactly ten of sixty-four calls pass that come at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_ten_is_taken_by_ten_of_sixty_four() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let task = world.kept_task(&grant, Some(10)).await.id;
        let now = world.at(1);
        let found = race(&world, |store, _| async move {
            let mut tx = store.begin().await?;
            let taken = tx.tasks().take(task, now).await?;
            tx.commit().await?;
            Ok(taken)
        })
        .await;
        let found: Vec<Taken> = found.into_iter().map(|taken| taken.unwrap()).collect();
        assert_eq!(found.iter().filter(|taken| **taken == Taken::Taken).count(), 10);
        assert_eq!(found.iter().filter(|taken| **taken == Taken::Spent).count(), CONTENDERS as usize - 10);
        assert_eq!(left(&world, task).await, Some(0));
    })
    .await;
}

/// However often it is given back, a budget never grows beyond what it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_never_exceeds_the_total() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let task = world.kept_task(&grant, Some(10)).await.id;
        let uncounted = world.kept_task(&grant, None).await.id;
        let mut tx = world.begin().await;
        for _ in 0..3 {
            assert_eq!(tx.tasks().take(task, world.at(1)).await.unwrap(), Taken::Taken);
        }
        tx.commit().await.unwrap();
        let found = race(&world, |store, _| async move {
            let mut tx = store.begin().await?;
            tx.tasks().give_back(task).await?;
            tx.tasks().give_back(uncounted).await?;
            tx.commit().await
        })
        .await;
        assert!(found.iter().all(Result::is_ok), "{found:?}");
        assert_eq!(left(&world, task).await, Some(10));
        assert_eq!(left(&world, uncounted).await, None);
    })
    .await;
}

/// Nothing is taken from a task that is over, for whatever reason it is over.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_from_a_task_that_is_over() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let expiring = NewGrant { expires_at: Some(world.at(30)), ..world.grant(grant.subject.clone()) };
        keep(&world.store, &[&expiring]).await;
        let (counted, uncounted) = (world.kept_task(&grant, Some(1)).await.id, world.kept_task(&grant, None).await.id);
        let (finished, short) = (world.kept_task(&grant, Some(1)).await.id, world.kept_task(&expiring, None).await.id);
        let unknown = world.task(&grant, None).id;
        let mut tx = world.begin().await;
        assert!(tx.tasks().finish(finished, "done", world.at(1)).await.unwrap());
        for (task, seconds, taken) in [
            (counted, 60, Taken::Over),
            (counted, 59, Taken::Taken),
            (counted, 59, Taken::Spent),
            (counted, 60, Taken::Over),
            (uncounted, 59, Taken::Uncounted),
            (uncounted, 60, Taken::Over),
            (finished, 1, Taken::Over),
            (short, 29, Taken::Uncounted),
            (short, 30, Taken::Over),
            (unknown, 1, Taken::Over),
        ] {
            assert_eq!(tx.tasks().take(task, world.at(seconds)).await.unwrap(), taken, "{task} after {seconds}");
        }
        tx.tasks().give_back(counted).await.unwrap();
        tx.grants().revoke(grant.id, "test", world.at(2)).await.unwrap();
        assert_eq!(tx.tasks().take(counted, world.at(2)).await.unwrap(), Taken::Over);
        assert_eq!(tx.tasks().take(uncounted, world.at(2)).await.unwrap(), Taken::Over);
    })
    .await;
}

/// ATK-19: a task that begins while its grant is revoked comes too late or ends with it.
#[tokio::test(flavor = "multi_thread")]
async fn no_running_task_is_left_on_a_grant_revoked_at_the_same_moment() {
    on_both(async |world| {
        let parent = world.kept_grant("ada").await;
        let child = world.derived(&parent);
        keep(&world.store, &[&child]).await;
        let tasks: Vec<_> = (0..CONTENDERS)
            .map(|number| NewTask {
                place: if number % 3 == 0 { TaskPlace::Current } else { TaskPlace::Aside },
                ..world.task(if number % 2 == 0 { &parent } else { &child }, None)
            })
            .collect();
        let (root, now) = (parent.id, world.at(1));
        let found = race(&world, |store, number| {
            let task = tasks[number as usize].clone();
            async move {
                loop {
                    let mut tx = store.begin().await?;
                    let done = if number == CONTENDERS / 2 {
                        tx.grants().revoke(root, "test", now).await
                    } else {
                        tx.tasks().begin(&task).await.map(|()| true)
                    };
                    match done {
                        Ok(done) => return tx.commit().await.map(|()| done),
                        Err(StoreError::Conflict { .. }) => return Ok(false),
                        // PostgreSQL ends one of two transactions that wait for each other; it did nothing.
                        Err(StoreError::Unavailable { .. }) => {}
                        Err(other) => return Err(other),
                    }
                }
            }
        })
        .await;
        let won = winners(found);
        let mut tx = world.begin().await;
        let all = TaskFilter { include_over: true, ..TaskFilter::default() };
        assert_eq!(tx.tasks().list(&all, now).await.unwrap().len(), won - 1);
        assert_eq!(tx.tasks().list(&TaskFilter::default(), now).await.unwrap(), []);
    })
    .await;
}

/// A grant's current task is one: a new one ends the one before, but never the task of the grant above.
#[tokio::test(flavor = "multi_thread")]
async fn a_standing_task_replaces_the_one_before() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let (first, second) = (world.task(&grant, Some(1)), world.task(&grant, None));
        let beside = world.kept_task(&grant, None).await;
        for task in [&first, &second] {
            world.begin_task(&NewTask { place: TaskPlace::Current, ..task.clone() }).await.unwrap();
            let mut tx = world.begin().await;
            assert_eq!(tx.grants().alive(grant.id).await.unwrap().unwrap().task, Some(task.id));
        }
        let derived = NewGrant { task: Some(second.id), ..world.derived(&grant) };
        keep(&world.store, &[&derived]).await;
        let mut tx = world.begin().await;
        assert_eq!(tx.tasks().find(first.id).await.unwrap().unwrap().ended_at, Some(world.now));
        // The derived grant is held to the task of the one above, until it has one of its own.
        assert_eq!(ids(&mut tx, derived.id).await, [second.id]);
        let own = NewTask { place: TaskPlace::Current, ..world.task(&derived, None) };
        tx.tasks().begin(&own).await.unwrap();
        assert_eq!(ids(&mut tx, derived.id).await, [own.id]);
        assert_eq!(ids(&mut tx, grant.id).await.len(), 2);
        let state = tx.grants().alive(grant.id).await.unwrap().unwrap();
        assert_eq!((state.task, state.epoch), (Some(second.id), 0));
        assert!(state.tasks.iter().any(|task| task.id == beside.id));
    })
    .await;
}

/// What a cache keeps of a grant holds its tasks that were not ended and the current one whatever became of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_grant_holds_its_tasks() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let current = NewTask { place: TaskPlace::Current, ..world.task(&grant, Some(3)) };
        world.begin_task(&current).await.unwrap();
        let (running, finished) = (world.kept_task(&grant, None).await, world.kept_task(&grant, None).await);
        let mut tx = world.begin().await;
        assert!(tx.tasks().finish(finished.id, "done", world.at(1)).await.unwrap());
        assert!(!tx.tasks().finish(finished.id, "done", world.at(1)).await.unwrap());
        assert!(!tx.tasks().finish(running.id, "done", world.at(60)).await.unwrap());
        assert!(tx.tasks().finish(current.id, "done", world.at(1)).await.unwrap());
        tx.commit().await.unwrap();
        let state = world.store.read().await.unwrap().grants().alive(grant.id).await.unwrap().unwrap();
        let mut found: Vec<_> = state.tasks.iter().map(|task| (task.id, task.is_over(world.at(1)))).collect();
        found.sort_unstable();
        let mut expected = [(current.id, true), (running.id, false)];
        expected.sort_unstable();
        assert_eq!((found.as_slice(), state.task), (expected.as_slice(), Some(current.id)));
        let mut tx = world.begin().await;
        for (subject, grant, include_over, count) in [
            (None, None, false, 1),
            (Some(&grant.subject), Some(grant.id), true, 3),
            (Some(&grant.subject), None, false, 1),
            (Some(&sekisho_protocol::caller::Subject::Anonymous), None, true, 0),
            (None, Some(world.grant_id()), true, 0),
        ] {
            let filter = TaskFilter { subject: subject.cloned(), grant, include_over };
            assert_eq!(tx.tasks().list(&filter, world.at(1)).await.unwrap().len(), count, "{filter:?}");
        }
    })
    .await;
}

/// The state of a grant says how every client along its lineage came to be known, and of nobody more than is known.
#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_grant_tells_where_its_clients_come_from() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        let root = world.grant(sekisho_protocol::caller::Subject::User(user.id));
        let document: ClientId = "https://client.example/metadata.json".parse().unwrap();
        let middle = NewGrant { client: document, created_at: world.at(1), ..world.derived(&root) };
        let leaf = NewGrant { created_at: world.at(2), ..world.derived(&middle) };
        let unknown = NewGrant { created_at: world.at(3), ..world.derived(&leaf) };
        keep(&world.store, &[&root, &middle, &leaf, &unknown]).await;
        let mut tx = world.begin().await;
        for (grant, origin) in [(&root, ClientOrigin::Registered), (&leaf, ClientOrigin::Dynamic)] {
            let plain = world.client();
            let client = Client { id: grant.client.clone(), origin, ..plain.client.clone() };
            tx.clients().insert(&NewClient { client, ..plain }).await.unwrap();
        }
        let all = [
            ClientOrigin::Registered,
            ClientOrigin::MetadataDocument,
            ClientOrigin::Dynamic,
            // Nobody knows it any more.
            ClientOrigin::Dynamic,
        ];
        for (grant, count) in [(&root, 1), (&middle, 2), (&leaf, 3), (&unknown, 4)] {
            assert_eq!(tx.grants().alive(grant.id).await.unwrap().unwrap().origins, all[..count]);
        }
        tx.clients().set_disabled(&leaf.client, true).await.unwrap();
        assert!(!tx.grants().alive(middle.id).await.unwrap().unwrap().client_disabled);
        assert!(tx.grants().alive(unknown.id).await.unwrap().unwrap().client_disabled);
    })
    .await;
}

async fn widen(world: &World, task: TaskId, calls: Option<u32>, now: Timestamp) -> bool {
    let mut tx = world.begin().await;
    let before = tx.tasks().find(task).await.unwrap().unwrap();
    let definition = TaskDefinition { purpose: "tidy up more".to_owned(), calls, ..before.definition.clone() };
    let widened = tx.tasks().widen(task, &definition, Some(world.at(120)), now).await.unwrap();
    let after = tx.tasks().find(task).await.unwrap().unwrap();
    if widened {
        assert_eq!((after.definition, after.ends_at), (definition, Some(world.at(120))));
    } else {
        assert_eq!(after, before);
    }
    tx.commit().await.unwrap();
    widened
}

/// A running task is widened as a whole, and its budget stays between nothing and its new total.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_task_is_widened() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let task = world.kept_task(&grant, Some(2)).await.id;
        let mut tx = world.begin().await;
        assert_eq!(tx.tasks().take(task, world.at(1)).await.unwrap(), Taken::Taken);
        tx.commit().await.unwrap();
        for (calls, kept) in [
            (Some(2), Some(1)),
            (Some(20), Some(19)),
            (Some(10), Some(9)),
            (Some(1), Some(0)),
            (None, None),
            (Some(3), Some(3)),
        ] {
            assert!(widen(&world, task, calls, world.at(1)).await);
            assert_eq!(left(&world, task).await, kept, "{calls:?}");
        }
        let mut tx = world.begin().await;
        tx.tasks().give_back(task).await.unwrap();
        assert_eq!(tx.tasks().find(task).await.unwrap().unwrap().calls_left, Some(3));
        assert_eq!(tx.tasks().take(task, world.at(119)).await.unwrap(), Taken::Taken);
        assert!(
            !tx.tasks()
                .widen(TaskId::generate(world.now, &*world.entropy), &TaskDefinition::default(), None, world.now)
                .await
                .unwrap()
        );
    })
    .await;
}

/// Nothing of a task changes once it is over or its grant has ended.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_not_widened() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let expiring = NewGrant { expires_at: Some(world.at(30)), ..world.grant(grant.subject.clone()) };
        keep(&world.store, &[&expiring]).await;
        let (task, finished) = (world.kept_task(&grant, Some(2)).await.id, world.kept_task(&grant, None).await.id);
        let short = world.kept_task(&expiring, None).await.id;
        assert!(!widen(&world, task, Some(9), world.at(60)).await);
        assert!(!widen(&world, short, Some(9), world.at(30)).await);
        let mut tx = world.begin().await;
        tx.tasks().finish(finished, "done", world.at(1)).await.unwrap();
        tx.grants().revoke(grant.id, "test", world.at(2)).await.unwrap();
        tx.commit().await.unwrap();
        assert!(!widen(&world, finished, Some(9), world.at(2)).await);
        assert!(!widen(&world, task, Some(9), world.at(2)).await);
    })
    .await;
}

/// Resuming after a task has ended lets go of it, and no token that was made for it works any more.
#[tokio::test(flavor = "multi_thread")]
async fn resuming_a_grant_ends_the_tokens_of_its_finished_task() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let resume = async |seconds| {
            let mut tx = world.begin().await;
            let resumed = tx.tasks().resume(grant.id, world.at(seconds)).await.unwrap();
            tx.commit().await.unwrap();
            let kept = world.begin().await.grants().find(grant.id).await.unwrap().unwrap();
            (resumed, kept.task, kept.epoch)
        };
        assert_eq!(resume(1).await, (false, None, 0));
        let task = NewTask { place: TaskPlace::Current, ..world.task(&grant, None) };
        world.begin_task(&task).await.unwrap();
        assert_eq!(resume(59).await, (false, Some(task.id), 0));
        assert_eq!(resume(60).await, (true, None, 1));
        assert_eq!(resume(60).await, (false, None, 1));
        let second =
            NewTask { parent: None, place: TaskPlace::Current, created_at: world.at(61), ..world.task(&grant, None) };
        world.begin_task(&second).await.unwrap();
        let mut tx = world.begin().await;
        tx.tasks().finish(second.id, "done", world.at(62)).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(resume(62).await, (true, None, 2));
        let third =
            NewTask { parent: None, place: TaskPlace::Current, created_at: world.at(63), ..world.task(&grant, None) };
        world.begin_task(&third).await.unwrap();
        let mut tx = world.begin().await;
        tx.grants().revoke(grant.id, "test", world.at(64)).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(resume(64).await, (false, Some(third.id), 3));
    })
    .await;
}

/// Resuming while a new task begins does not let go of the new one, which PostgreSQL does not show to a statement that
/// waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn resuming_does_not_let_go_of_a_task_that_begins_at_the_same_moment() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let old = NewTask { place: TaskPlace::Current, ..world.task(&grant, None) };
        world.begin_task(&old).await.unwrap();
        let (id, now) = (grant.id, world.at(60));
        let new = NewTask { parent: None, place: TaskPlace::Current, created_at: now, ..world.task(&grant, None) };
        let mut beginning = world.begin().await;
        beginning.tasks().begin(&new).await.unwrap();
        let store = world.store.clone();
        let resuming = tokio::spawn(async move {
            let mut tx = store.begin().await?;
            let resumed = tx.tasks().resume(id, now).await?;
            tx.commit().await.map(|()| resumed)
        });
        world.raw().await.until_somebody_waits().await;
        beginning.commit().await.unwrap();
        assert!(!resuming.await.unwrap().unwrap());
        let kept = world.begin().await.grants().find(id).await.unwrap().unwrap();
        assert_eq!((kept.task, kept.epoch), (Some(new.id), 0));
    })
    .await;
}

/// Whoever caches a grant with its tasks, also one derived from it, is told of every change but the taking of a call
/// that leaves others.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_tasks_are_announced_to_those_who_cache_their_grants() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let task = NewTask { place: TaskPlace::Current, ..world.task(&grant, Some(2)) };
        let begun = announced(&world, async |tx| tx.tasks().begin(&task).await.unwrap()).await;
        assert_eq!(begun, grant_changed(&[grant.id]));
        let derived = NewGrant { task: Some(task.id), ..world.derived(&grant) };
        keep(&world.store, &[&derived]).await;
        let both = grant_changed(&[grant.id, derived.id]);
        for expected in [vec![], both.clone(), vec![]] {
            let taken = announced(&world, async |tx| {
                tx.tasks().take(task.id, world.at(1)).await.unwrap();
            })
            .await;
            assert_eq!(taken, expected);
        }
        assert_eq!(announced(&world, async |tx| tx.tasks().give_back(task.id).await.unwrap()).await, both);
        let widened = announced(&world, async |tx| {
            assert!(tx.tasks().widen(task.id, &task.definition, None, world.at(1)).await.unwrap());
        })
        .await;
        assert_eq!(widened, both);
        let finish = async |tx: &mut Tx| {
            tx.tasks().finish(task.id, "done", world.at(1)).await.unwrap();
        };
        assert_eq!(announced(&world, finish).await, both);
        assert_eq!(announced(&world, finish).await, []);
        let resume = async |tx: &mut Tx| assert!(tx.tasks().resume(grant.id, world.at(1)).await.unwrap());
        assert_eq!(announced(&world, resume).await, grant_changed(&[grant.id]));
    })
    .await;
}

/// Tasks are shown for three months after their end, and longer where a grant is still held to one.
#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_forgets_tasks_long_after_their_end() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let current = NewTask { place: TaskPlace::Current, ..world.task(&grant, None) };
        world.begin_task(&current).await.unwrap();
        let (expired, finished) = (world.kept_task(&grant, None).await.id, world.kept_task(&grant, None).await.id);
        let mut tx = world.begin().await;
        tx.tasks().finish(finished, "done", world.at(10)).await.unwrap();
        tx.commit().await.unwrap();
        let kept = 90 * 86_400;
        for (seconds, count) in [(kept + 9, 0), (kept + 10, 1), (kept + 59, 0), (kept + 60, 1), (kept + 9_999, 0)] {
            assert_eq!(world.store.sweep(world.at(seconds)).await.unwrap(), count, "after {seconds} seconds");
        }
        let mut tx = world.begin().await;
        assert_eq!(tx.tasks().find(expired).await.unwrap(), None);
        assert!(tx.tasks().find(current.id).await.unwrap().is_some());
    })
    .await;
}
