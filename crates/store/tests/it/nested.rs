//! Tasks inside other tasks.

use sekisho_protocol::ids::TaskId;
use sekisho_protocol::task::TaskDefinition;
use sekisho_store::{NewGrant, NewTask, StoreError, TaskPlace};

use crate::harness::{CONTENDERS, World, on_both, race, winners};
use crate::tasks::ids;

fn inside(world: &World, grant: &NewGrant, parent: Option<TaskId>) -> NewTask {
    NewTask { parent, place: TaskPlace::Inside, ..world.task(grant, None) }
}

/// What begins inside another task takes its place and never outlives it; only a person's task replaces one.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_inside_another_ends_with_it() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let outer = inside(&world, &grant, None);
        world.begin_task(&outer).await.unwrap();
        // Not beside the one that is there, and not inside one that is not.
        for wrong in [None, Some(world.task(&grant, None).id)] {
            let error = world.begin_task(&inside(&world, &grant, wrong)).await.unwrap_err();
            assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
        }
        let long = TaskDefinition { expires_in: Some(600), ..outer.definition.clone() };
        let inner = NewTask { definition: long, ..inside(&world, &grant, Some(outer.id)) };
        world.begin_task(&inner).await.unwrap();
        let mut tx = world.begin().await;
        let kept = tx.tasks().find(inner.id).await.unwrap().unwrap();
        assert_eq!((kept.parent, kept.ends_at), (Some(outer.id), Some(world.at(60))));
        assert_eq!(tx.grants().find(grant.id).await.unwrap().unwrap().task, Some(inner.id));
        assert_eq!(ids(&mut tx, grant.id).await, [outer.id, inner.id]);
        tx.commit().await.unwrap();
        // Inside a task that is not the current one any more, nothing begins.
        let error = world.begin_task(&inside(&world, &grant, Some(outer.id))).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");

        // After the inner task has ended, the grant is held to the outer one again.
        let mut tx = world.begin().await;
        assert!(tx.tasks().finish(inner.id, "test", world.now).await.unwrap());
        assert!(!tx.tasks().find(outer.id).await.unwrap().unwrap().is_over(world.now));
        assert!(tx.tasks().resume(grant.id, world.now).await.unwrap());
        assert_eq!(tx.grants().find(grant.id).await.unwrap().unwrap().task, Some(outer.id));
        tx.commit().await.unwrap();

        // The outer one ends: so does what is inside it, at any depth.
        let second = inside(&world, &grant, Some(outer.id));
        let third = inside(&world, &grant, Some(second.id));
        for task in [&second, &third] {
            world.begin_task(task).await.unwrap();
        }
        let mut tx = world.begin().await;
        assert!(tx.tasks().finish(outer.id, "test", world.now).await.unwrap());
        for task in [outer.id, second.id, third.id] {
            assert!(tx.tasks().find(task).await.unwrap().unwrap().is_over(world.now));
        }
        assert!(tx.tasks().resume(grant.id, world.now).await.unwrap());
        assert_eq!(tx.grants().find(grant.id).await.unwrap().unwrap().task, None);
    })
    .await;
}

/// Of many that begin inside the same at the same moment, one does: two would each be free of the other.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_begin_inside_one_place_one_does() {
    on_both(async |world| {
        let grant = world.kept_grant("ada").await;
        let tasks: Vec<NewTask> = (0..CONTENDERS).map(|_| inside(&world, &grant, None)).collect();
        let found = race(&world, |store, number| {
            let task = tasks[number as usize].clone();
            async move {
                let mut tx = store.begin().await?;
                match tx.tasks().begin(&task).await {
                    Ok(()) => tx.commit().await.map(|()| true),
                    Err(StoreError::Conflict { .. }) => Ok(false),
                    Err(error) => Err(error),
                }
            }
        });
        assert_eq!(winners(found.await), 1);
    })
    .await;
}
