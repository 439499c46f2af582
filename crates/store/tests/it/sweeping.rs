//! The sweep removes what has served its time, and nothing sooner.

use sekisho_store::{BrowserSession, Lane, NewClient, SecretKey, SetupLink, SignInMethod};

use crate::harness::{World, on_both};
use crate::things::digest;

/// One thing of every kind that ends; those that last longest last a day.
async fn keep_things(world: &World) {
    let user = world.kept_user("ada").await.id;
    world.kept_family("first", user).await;
    let mut tx = world.begin().await;
    tx.pendings().insert(&world.pending()).await.unwrap();
    tx.codes().insert(&world.code("code")).await.unwrap();
    let link = SetupLink { digest: digest("link"), user, expires_at: world.at(60), used_at: None };
    tx.setup_links().insert(&link, world.now).await.unwrap();
    let session = BrowserSession {
        digest: digest("cookie"),
        user,
        csrf: SecretKey::from_bytes([1; 32]),
        created_at: world.now,
        expires_at: world.at(60),
        authenticated_at: world.now,
        method: SignInMethod::Password,
        browser: "Firefox, Linux".to_owned(),
        seen_at: world.now,
    };
    tx.browser_sessions().insert(&session).await.unwrap();
    let lane = Lane { free: 5, wait_seconds_max: 900 };
    assert!(tx.throttle().take("ada", lane, world.now).await.unwrap());
    tx.assertions().take("client", &digest("jti"), world.at(60), world.now).await.unwrap();
    tx.clients().insert(&NewClient { expires_at: Some(world.at(60)), ..world.client() }).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_removes_each_thing_when_its_time_is_over() {
    on_both(async |world| {
        keep_things(&world).await;
        // At each moment, how many things end: link, session and client; the request; the assertion, whose time is
        // longer than its own end; the failure; the code, kept for replays, and the refresh token.
        for (seconds, count) in
            [(59, 0), (60, 3), (599, 0), (600, 1), (659, 0), (660, 1), (3599, 0), (3600, 1), (86_399, 0), (86_400, 2)]
        {
            assert_eq!(world.store.sweep(world.at(seconds)).await.unwrap(), count, "after {seconds} seconds");
        }
    })
    .await;
}

/// ATK-35, ATK-38: an assertion is remembered longer than it lives, so that a clock set back revives none.
#[tokio::test(flavor = "multi_thread")]
async fn a_swept_store_still_knows_assertions_and_codes_that_just_ended() {
    on_both(async |world| {
        keep_things(&world).await;
        world.store.sweep(world.at(120)).await.unwrap();
        let mut tx = world.begin().await;
        assert!(!tx.assertions().take("client", &digest("jti"), world.at(300), world.at(10)).await.unwrap());
        assert!(tx.codes().find(&digest("code")).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_of_very_many_rows_removes_them_all() {
    on_both(async |world| {
        world
            .raw()
            .await
            .execute(
                "WITH RECURSIVE numbers (number) AS (
                     SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 2500
                 )
                 INSERT INTO assertions (digest, expires_at) SELECT CAST(number AS TEXT), 0 FROM numbers",
            )
            .await;
        assert_eq!(world.store.sweep(world.now).await.unwrap(), 2500);
    })
    .await;
}

/// The key of a family does not outlive its last token.
#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_forgets_the_keys_of_families_that_have_ended() {
    on_both(async |world| {
        keep_things(&world).await;
        let keys = "SELECT family_key AS found FROM refresh_families";
        world.store.sweep(world.at(86_399)).await.unwrap();
        assert_eq!(world.raw().await.blobs(keys).await.len(), 1);
        world.store.sweep(world.at(86_400)).await.unwrap();
        assert_eq!(world.raw().await.blobs(keys).await.len(), 0);
    })
    .await;
}
