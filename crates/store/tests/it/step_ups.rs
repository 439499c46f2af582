//! What a client was refused for, as its next refresh is told.

use sekisho_protocol::caller::Subject;
use sekisho_store::STEP_UP_SECONDS;

use crate::harness::on_both;
use crate::things::{keep, scopes};

/// Decision 0070: a note is given out once, while it is fresh, and to the grant that it is about.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_up_is_told_to_one_refresh() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        let (grant, other) = (world.grant(Subject::User(user.id)), world.grant(Subject::User(user.id)));
        keep(&world.store, &[&grant, &other]).await;
        let mut tx = world.begin().await;
        assert_eq!(tx.grants().take_step_up(grant.id, world.now).await.unwrap(), None);
        tx.grants().note_step_up(grant.id, &scopes("mcp:write"), world.now).await.unwrap();
        assert_eq!(tx.grants().take_step_up(other.id, world.now).await.unwrap(), None);
        assert_eq!(tx.grants().take_step_up(grant.id, world.at(1)).await.unwrap(), Some(scopes("mcp:write")));
        assert_eq!(tx.grants().take_step_up(grant.id, world.at(1)).await.unwrap(), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_up_is_forgotten_after_its_time() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        let grant = world.grant(Subject::User(user.id));
        keep(&world.store, &[&grant]).await;
        let end = STEP_UP_SECONDS;
        let mut tx = world.begin().await;
        tx.grants().note_step_up(grant.id, &scopes("mcp:write"), world.now).await.unwrap();
        assert_eq!(tx.grants().take_step_up(grant.id, world.at(end)).await.unwrap(), None);
        // One that was made while the clock was ahead is none.
        tx.grants().note_step_up(grant.id, &scopes("mcp:write"), world.at(3600)).await.unwrap();
        assert_eq!(tx.grants().take_step_up(grant.id, world.at(3599)).await.unwrap(), None);
        assert_eq!(tx.grants().take_step_up(grant.id, world.at(3601)).await.unwrap(), Some(scopes("mcp:write")));
    })
    .await;
}

/// ATK-271: a caller who is refused all the time with a token of the grant does not keep its client from refreshing.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_step_up_was_told_half_a_minute_of_refreshes_succeeds() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        let grant = world.grant(Subject::User(user.id));
        keep(&world.store, &[&grant]).await;
        let mut told = Vec::new();
        let mut tx = world.begin().await;
        for second in 0..100 {
            tx.grants().note_step_up(grant.id, &scopes("mcp:write"), world.at(second)).await.unwrap();
            if tx.grants().take_step_up(grant.id, world.at(second)).await.unwrap().is_some() {
                told.push(second);
            }
        }
        assert_eq!(told, [0, 30, 60, 90]);
    })
    .await;
}
