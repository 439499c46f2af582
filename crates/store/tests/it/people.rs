//! Users, their setup links, browsers, and failed attempts.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::role::Role;
use sekisho_store::{BrowserSession, SecretKey, SetupLink, StoreError, User};

use crate::harness::{World, on_both};
use crate::things::{digest, keep};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_found_by_identifier_and_by_name_in_any_case() {
    on_both(async |world| {
        let ada = User { role: Role::Owner, ..world.user("Ada") };
        let mut tx = world.begin().await;
        tx.users().insert(&ada).await.unwrap();
        tx.users().insert(&world.user("bob")).await.unwrap();
        assert_eq!(tx.users().find(ada.id).await.unwrap(), Some(ada.clone()));
        assert_eq!(tx.users().find_by_name("aDA").await.unwrap(), Some(ada.clone()));
        assert_eq!(tx.users().find_by_name("eve").await.unwrap(), None);
        assert_eq!(tx.users().find(world.user("eve").id).await.unwrap(), None);
        let names: Vec<String> = tx.users().list().await.unwrap().into_iter().map(|user| user.name).collect();
        assert_eq!(names, ["Ada", "bob"]);
        assert_eq!(tx.users().owners_count().await.unwrap(), 1);
        let error = tx.users().insert(&world.user("ADA")).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_set_and_a_stranger_has_none() {
    on_both(async |world| {
        let ada = world.kept_user("ada").await;
        let mut tx = world.begin().await;
        assert!(tx.users().set_password(ada.id, "$argon2id$…", world.now).await.unwrap());
        assert!(!tx.users().set_password(world.user("eve").id, "$argon2id$…", world.now).await.unwrap());
        let kept = tx.users().find(ada.id).await.unwrap().unwrap();
        assert_eq!(kept.password.as_deref(), Some("$argon2id$…"));
        assert!(!format!("{kept:?}").contains("argon2"));
    })
    .await;
}

/// A user has one part in running the checkpoint at a time, and the last owner who may log in stays one.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_owner_stays_one() {
    on_both(async |world| {
        let [ada, bob] = ["ada", "bob"].map(|name| User { role: Role::Owner, ..world.user(name) });
        let eve = world.user("eve");
        let mut tx = world.begin().await;
        for user in [&ada, &bob, &eve] {
            tx.users().insert(user).await.unwrap();
        }
        assert!(tx.users().set_role(eve.id, Role::Auditor).await.unwrap());
        assert!(tx.users().set_role(eve.id, Role::Administrator).await.unwrap());
        assert!(tx.users().set_role(bob.id, Role::User).await.unwrap());
        assert!(!tx.users().set_role(ada.id, Role::Auditor).await.unwrap(), "the last one");
        assert!(tx.users().set_role(ada.id, Role::Owner).await.unwrap());
        // One who may not log in is none to rely on.
        assert!(tx.users().set_role(bob.id, Role::Owner).await.unwrap());
        tx.users().set_disabled(bob.id, true).await.unwrap();
        assert!(!tx.users().set_role(ada.id, Role::User).await.unwrap());
        assert!(!tx.users().set_role(world.user("nobody").id, Role::Owner).await.unwrap());
        let roles = tx.users().list().await.unwrap().into_iter().map(|user| user.role);
        assert_eq!(roles.collect::<Vec<_>>(), [Role::Owner, Role::Owner, Role::Administrator]);
        tx.commit().await.unwrap();
    })
    .await;
}

/// ATK-59: tokens made before a user was disabled stay dead when the user is enabled again.
#[tokio::test(flavor = "multi_thread")]
async fn disabling_a_user_ends_what_was_made_before_for_good() {
    on_both(async |world| {
        let ada = User { role: Role::Owner, ..world.user("ada") };
        let grant = world.grant(Subject::User(ada.id));
        let mut tx = world.begin().await;
        tx.users().insert(&ada).await.unwrap();
        tx.commit().await.unwrap();
        keep(&world.store, &[&grant]).await;
        let mut tx = world.begin().await;
        let before = tx.grants().alive(grant.id).await.unwrap().unwrap();
        assert!(before.honours(before.epoch, world.now));
        assert!(tx.users().set_disabled(ada.id, true).await.unwrap());
        assert_eq!(tx.users().owners_count().await.unwrap(), 0);
        let during = tx.grants().alive(grant.id).await.unwrap().unwrap();
        assert!(during.user_disabled && !during.revoked && !during.honours(during.epoch, world.now));
        assert!(tx.users().set_disabled(ada.id, false).await.unwrap());
        let after = tx.grants().alive(grant.id).await.unwrap().unwrap();
        assert!(!after.honours(before.epoch, world.now) && after.honours(after.epoch, world.now));
        assert_eq!(tx.users().find(ada.id).await.unwrap().unwrap().epoch, 2);
        assert!(!tx.users().set_disabled(world.user("eve").id, true).await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_link_works_until_it_is_used_or_ends() {
    on_both(async |world| {
        let ada = world.kept_user("ada").await.id;
        let link = |word: &str| SetupLink { digest: digest(word), user: ada, expires_at: world.at(60), used_at: None };
        let mut tx = world.begin().await;
        tx.setup_links().insert(&link("one")).await.unwrap();
        tx.setup_links().insert(&link("two")).await.unwrap();
        assert_eq!(tx.setup_links().find(&digest("one")).await.unwrap(), Some(link("one")));
        assert_eq!(tx.setup_links().find(&digest("three")).await.unwrap(), None);
        assert_eq!(tx.setup_links().consume(&digest("one"), world.at(59)).await.unwrap(), Some(ada));
        assert_eq!(tx.setup_links().consume(&digest("one"), world.at(59)).await.unwrap(), None);
        assert_eq!(tx.setup_links().find(&digest("one")).await.unwrap().unwrap().used_at, Some(world.at(59)));
        assert_eq!(tx.setup_links().consume(&digest("two"), world.at(60)).await.unwrap(), None);
        assert_eq!(tx.setup_links().consume(&digest("three"), world.now).await.unwrap(), None);
        let stranger = SetupLink { user: world.user("eve").id, ..link("four") };
        assert!(matches!(tx.setup_links().insert(&stranger).await, Err(StoreError::Conflict { .. })));
    })
    .await;
}

fn session(world: &World, word: &str, user: &User) -> BrowserSession {
    BrowserSession {
        digest: digest(word),
        user: user.id,
        csrf: SecretKey::generate(&*world.entropy),
        created_at: world.now,
        expires_at: world.at(3600),
        authenticated_at: world.now,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_session_lasts_until_it_ends_or_is_ended() {
    on_both(async |world| {
        let ada = world.kept_user("ada").await;
        let kept = session(&world, "one", &ada);
        let mut tx = world.begin().await;
        tx.browser_sessions().insert(&kept).await.unwrap();
        tx.browser_sessions().insert(&session(&world, "two", &ada)).await.unwrap();
        tx.browser_sessions().insert(&session(&world, "three", &ada)).await.unwrap();
        let found = tx.browser_sessions().find(&digest("one"), world.at(3599)).await.unwrap().unwrap();
        assert_eq!((found.user, found.expires_at, found.authenticated_at), (ada.id, kept.expires_at, world.now));
        assert_eq!(found.csrf.expose(), kept.csrf.expose());
        assert!(tx.browser_sessions().find(&digest("one"), world.at(3600)).await.unwrap().is_none());
        assert!(tx.browser_sessions().delete(&digest("one")).await.unwrap());
        assert!(!tx.browser_sessions().delete(&digest("one")).await.unwrap());
        assert!(tx.browser_sessions().find(&digest("one"), world.now).await.unwrap().is_none());
        tx.users().set_disabled(ada.id, true).await.unwrap();
        assert!(tx.browser_sessions().find(&digest("two"), world.now).await.unwrap().is_none());
        assert_eq!(tx.browser_sessions().delete_of_user(ada.id).await.unwrap(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_make_the_next_attempt_wait_and_success_forgives() {
    on_both(async |world| {
        let mut tx = world.begin().await;
        for count in 1..=5 {
            let attempts = tx.throttle().fail("ada", world.now).await.unwrap();
            assert_eq!((attempts.count, attempts.blocked_until), (count, None));
        }
        assert_eq!(tx.throttle().fail("ada", world.now).await.unwrap().blocked_until, Some(world.at(1)));
        assert_eq!(tx.throttle().fail("ada", world.now).await.unwrap().blocked_until, Some(world.at(2)));
        assert_eq!(tx.throttle().blocked_until("ada", world.at(1)).await.unwrap(), Some(world.at(2)));
        assert_eq!(tx.throttle().blocked_until("ada", world.at(2)).await.unwrap(), None);
        assert_eq!(tx.throttle().blocked_until("bob", world.now).await.unwrap(), None);
        // An hour without a failure forgets them.
        assert_eq!(tx.throttle().fail("ada", world.at(3600)).await.unwrap().count, 1);
        tx.throttle().clear("ada").await.unwrap();
        assert_eq!(tx.throttle().fail("ada", world.at(3600)).await.unwrap().count, 1);
        assert_eq!(tx.throttle().sweep(world.at(7199)).await.unwrap(), 0);
        assert_eq!(tx.throttle().sweep(world.at(7200)).await.unwrap(), 1);
    })
    .await;
}
