//! Whatever works once works once: 64 contenders, half of them through a second store on the same database.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::role::Role;
use sekisho_store::{BrowserSession, GrantFilter, Lane, SecretKey, SetupLink, SignInMethod, StoreError, User};

use crate::harness::{CONTENDERS, on_both, race, winners};
use crate::things::{digest, server};

/// AS-21, ATK-18: two redemptions of one code at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_consumed_by_one_of_sixty_four() {
    on_both(async |world| {
        let mut tx = world.begin().await;
        tx.codes().insert(&world.code("code")).await.unwrap();
        tx.commit().await.unwrap();
        let grants: Vec<GrantId> = (0..CONTENDERS).map(|_| world.grant_id()).collect();
        let now = world.at(1);
        let found = race(&world, |store, number| {
            let grant = grants[number as usize];
            async move {
                let mut tx = store.begin().await?;
                let won = tx.codes().consume(&digest("code"), grant, now).await?;
                tx.commit().await?;
                Ok(won.then_some(grant))
            }
        })
        .await;
        let won: Vec<GrantId> = found.into_iter().filter_map(|result| result.unwrap()).collect();
        let kept = world.begin().await.codes().find(&digest("code")).await.unwrap().unwrap();
        assert_eq!(won, kept.grant.into_iter().collect::<Vec<_>>());
        assert_eq!(won.len(), 1);
    })
    .await;
}

/// AS-13, ATK-37: never more than one live successor.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_rotated_by_one_of_sixty_four() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        world.kept_family("first", user.id).await;
        let (now, end) = (world.at(1), world.at(1000));
        let successor = |number: u32| digest(&format!("successor {number}"));
        let found = race(&world, |store, number| async move {
            let mut tx = store.begin().await?;
            let won = tx.refresh_tokens().rotate(&digest("first"), &successor(number), now, end).await?;
            tx.commit().await?;
            Ok(won)
        })
        .await;
        assert_eq!(winners(found), 1);
        let mut tx = world.begin().await;
        let mut live = 0;
        for number in 0..CONTENDERS {
            live += usize::from(tx.refresh_tokens().is_unused(&successor(number)).await.unwrap());
        }
        assert_eq!(live, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_request_is_answered_by_one_of_sixty_four() {
    on_both(async |world| {
        let pending = world.pending();
        let mut tx = world.begin().await;
        tx.pendings().insert(&pending).await.unwrap();
        tx.commit().await.unwrap();
        let now = world.at(1);
        let found = race(&world, |store, _| async move {
            let mut tx = store.begin().await?;
            let won = tx.pendings().answer(pending.id, now).await?;
            tx.commit().await?;
            Ok(won)
        })
        .await;
        assert_eq!(winners(found), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_link_is_used_by_one_of_sixty_four() {
    on_both(async |world| {
        let user = world.kept_user("ada").await.id;
        let mut tx = world.begin().await;
        let link = SetupLink { digest: digest("link"), user, expires_at: world.at(600), used_at: None };
        tx.setup_links().insert(&link, world.now).await.unwrap();
        tx.commit().await.unwrap();
        let now = world.at(1);
        let found = race(&world, |store, _| async move {
            let mut tx = store.begin().await?;
            let won = tx.setup_links().consume(&digest("link"), now).await?;
            tx.commit().await?;
            Ok(won == Some(user))
        })
        .await;
        assert_eq!(winners(found), 1);
    })
    .await;
}

/// ATK-35: the same assertion presented many times at once, at two nodes.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_assertion_is_taken_by_one_of_sixty_four() {
    on_both(async |world| {
        let (now, end) = (world.now, world.at(300));
        let found = race(&world, |store, _| async move {
            let mut tx = store.begin().await?;
            let won = tx.assertions().take("client", &digest("jti"), end, now).await?;
            tx.commit().await?;
            Ok(won)
        })
        .await;
        assert_eq!(winners(found), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_setting_is_set_by_one_of_sixty_four() {
    on_both(async |world| {
        let found = race(&world, |store, number| async move {
            let mut tx = store.begin().await?;
            let value = format!("node {number}");
            let won = tx.settings().put_new("base_url", &value).await?;
            tx.commit().await?;
            Ok(won.then_some(value))
        })
        .await;
        let won: Vec<String> = found.into_iter().filter_map(|result| result.unwrap()).collect();
        let kept = world.begin().await.settings().get("base_url").await.unwrap();
        assert_eq!(won, kept.into_iter().collect::<Vec<_>>());
        assert_eq!(won.len(), 1);
    })
    .await;
}

/// ATK-138: guessing passwords at many nodes at once counts as if it were at one: the free ones get through, and the one that
/// makes the others wait.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_attempts_at_once_are_six() {
    on_both(async |world| {
        let now = world.now;
        let lane = Lane { free: 5, wait_seconds_max: 900 };
        let found = race(&world, |store, _| async move {
            let mut tx = store.begin().await?;
            let may = tx.throttle().take("ada", lane, now).await?;
            tx.commit().await?;
            Ok(may)
        })
        .await;
        assert_eq!(winners(found), 6);
    })
    .await;
}

/// ATK-130: if two owners disable each other, or take the role from each other, at the same moment, one of them stays
/// an owner.
#[tokio::test(flavor = "multi_thread")]
async fn one_owner_of_two_is_left_whoever_is_faster() {
    on_both(async |world| {
        let owners = [0, 1].map(|number| User { role: Role::Owner, ..world.user(&format!("owner{number}")) });
        let mut tx = world.begin().await;
        for owner in &owners {
            tx.users().insert(owner).await.unwrap();
        }
        tx.commit().await.unwrap();
        let found = race(&world, |store, number| {
            // The two stores take turns, so every pair of contenders is at two nodes.
            let id = owners[(number / 2 % 2) as usize].id;
            async move {
                let mut tx = store.begin().await?;
                let done = if number % 3 == 0 {
                    tx.users().set_role(id, Role::User).await?
                } else {
                    tx.users().set_disabled(id, true).await?
                };
                tx.commit().await?;
                Ok(done)
            }
        })
        .await;
        assert!(winners(found) > 0);
        assert_eq!(world.begin().await.users().owners_count().await.unwrap(), 1);
    })
    .await;
}

/// ATK-128: of links that are made at the same moment, one works.
#[tokio::test(flavor = "multi_thread")]
async fn one_setup_link_of_sixty_four_works() {
    on_both(async |world| {
        let (user, now, end) = (world.kept_user("ada").await.id, world.now, world.at(60));
        race(&world, |store, number| async move {
            let digest = digest(&format!("link {number}"));
            let mut tx = store.begin().await?;
            tx.setup_links().insert(&SetupLink { digest, user, expires_at: end, used_at: None }, now).await?;
            tx.commit().await
        })
        .await
        .into_iter()
        .for_each(|made| made.unwrap());
        let mut tx = world.begin().await;
        let mut used = 0;
        for number in 0..CONTENDERS {
            let digest = digest(&format!("link {number}"));
            used += usize::from(tx.setup_links().consume(&digest, world.at(1)).await.unwrap().is_some());
        }
        assert_eq!(used, 1);
    })
    .await;
}

/// ATK-126: a grant that was to end with its browser session is made before the session ends, and ends with it; or it is
/// not made.
#[tokio::test(flavor = "multi_thread")]
async fn no_grant_outlives_the_session_that_ends_while_it_is_made() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        let session = BrowserSession {
            digest: digest("cookie"),
            user: user.id,
            csrf: SecretKey::from_bytes([1; 32]),
            created_at: world.now,
            expires_at: world.at(60),
            authenticated_at: world.now,
            method: SignInMethod::Password,
            browser: "Firefox, Linux".to_owned(),
            seen_at: world.now,
        };
        let mut tx = world.begin().await;
        tx.browser_sessions().insert(&session).await.unwrap();
        tx.commit().await.unwrap();
        let grants: Vec<_> = (0..CONTENDERS).map(|_| world.grant(Subject::User(user.id))).collect();
        let now = world.at(1);
        let found = race(&world, |store, number| {
            let grant = grants[number as usize].clone();
            async move {
                let mut tx = store.begin().await?;
                if number == CONTENDERS / 2 {
                    tx.browser_sessions().delete(&digest("cookie"), now).await?;
                } else if tx.browser_sessions().hold(&digest("cookie"), now).await?.is_some() {
                    tx.grants().insert(&grant).await?;
                    tx.grants().end_with_session(grant.id, &digest("cookie")).await?;
                }
                tx.commit().await
            }
        })
        .await;
        found.into_iter().for_each(|done| done.unwrap());
        let kept = world.begin().await.grants().list(&GrantFilter::default()).await.unwrap();
        assert!(kept.iter().all(|grant| grant.revoked_at.is_some()), "{kept:#?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_consented_to_for_the_first_time_once() {
    on_both(async |world| {
        let now = world.now;
        let mut tx = world.begin().await;
        tx.servers().put(&server("notes"), "{}", now).await.unwrap();
        tx.commit().await.unwrap();
        let found = race(&world, |store, _| async move {
            let mut tx = store.begin().await?;
            let won = tx.servers().mark_consented(&server("notes"), now).await?;
            tx.commit().await?;
            Ok(won)
        })
        .await;
        assert_eq!(winners(found), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_is_given_to_one_of_sixty_four_users() {
    on_both(async |world| {
        let users: Vec<_> =
            (0..CONTENDERS).map(|number| world.user(if number % 2 == 0 { "ada" } else { "ADA" })).collect();
        let found = race(&world, |store, number| {
            let user = users[number as usize].clone();
            async move {
                let mut tx = store.begin().await?;
                match tx.users().insert(&user).await {
                    Ok(()) => tx.commit().await.map(|()| true),
                    Err(StoreError::Conflict { .. }) => Ok(false),
                    Err(other) => Err(other),
                }
            }
        })
        .await;
        assert_eq!(winners(found), 1);
    })
    .await;
}

/// ATK-19: whoever derives a grant while its parent is revoked either comes too late or is revoked with it.
#[tokio::test(flavor = "multi_thread")]
async fn no_derived_grant_escapes_a_revocation_at_the_same_moment() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        let parent = world.grant(Subject::User(user.id));
        let child = world.derived(&parent);
        crate::things::keep(&world.store, &[&parent, &child]).await;
        let derived: Vec<_> =
            (0..CONTENDERS).map(|number| world.derived(if number % 2 == 0 { &parent } else { &child })).collect();
        let (root, now) = (parent.id, world.at(1));
        let found = race(&world, |store, number| {
            let grant = derived[number as usize].clone();
            async move {
                loop {
                    let mut tx = store.begin().await?;
                    let done = if number == CONTENDERS / 2 {
                        tx.grants().revoke(root, "test", now).await
                    } else {
                        tx.grants().insert(&grant).await.map(|()| true)
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
        let made = winners(found);
        let left = world.begin().await.grants().list(&sekisho_store::GrantFilter::default()).await.unwrap();
        // Parent and child were there before; of the winners one revoked.
        assert_eq!(left.len(), 2 + made - 1);
        let escaped: Vec<_> = left.iter().filter(|grant| grant.revoked_at.is_none()).collect();
        assert!(escaped.is_empty(), "{escaped:?}");
    })
    .await;
}
