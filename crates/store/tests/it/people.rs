//! Users, their setup links, browsers, and failed attempts.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::role::Role;
use sekisho_store::{BrowserSession, Lane, SecretKey, SetupLink, SignInMethod, StoreError, Tx, User};

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
        tx.users().insert(&User { role: Role::Owner, ..world.user("bob") }).await.unwrap();
        tx.commit().await.unwrap();
        keep(&world.store, &[&grant]).await;
        let mut tx = world.begin().await;
        let before = tx.grants().alive(grant.id).await.unwrap().unwrap();
        assert!(before.honours(before.epoch, world.now));
        assert!(tx.users().set_disabled(ada.id, true).await.unwrap());
        assert_eq!(tx.users().owners_count().await.unwrap(), 1);
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
        tx.setup_links().insert(&link("one"), world.now).await.unwrap();
        assert_eq!(tx.setup_links().find(&digest("one")).await.unwrap(), Some(link("one")));
        assert_eq!(tx.setup_links().find(&digest("three")).await.unwrap(), None);
        assert_eq!(tx.setup_links().consume(&digest("one"), world.at(59)).await.unwrap(), Some(ada));
        assert_eq!(tx.setup_links().consume(&digest("one"), world.at(59)).await.unwrap(), None);
        assert_eq!(tx.setup_links().find(&digest("one")).await.unwrap().unwrap().used_at, Some(world.at(59)));
        tx.setup_links().insert(&link("two"), world.now).await.unwrap();
        assert_eq!(tx.setup_links().consume(&digest("two"), world.at(60)).await.unwrap(), None);
        assert_eq!(tx.setup_links().consume(&digest("three"), world.now).await.unwrap(), None);
        let stranger = SetupLink { user: world.user("eve").id, ..link("four") };
        assert!(matches!(tx.setup_links().insert(&stranger, world.now).await, Err(StoreError::Conflict { .. })));
    })
    .await;
}

/// ATK-128: only the newest link works, and none of somebody who is shut out, then or later.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_setup_link_ends_older_ones() {
    on_both(async |world| {
        let (ada, bob) = (world.kept_user("ada").await.id, world.kept_user("bob").await.id);
        let link = |word: &str, user| SetupLink { digest: digest(word), user, expires_at: world.at(60), used_at: None };
        let mut tx = world.begin().await;
        for (word, user) in [("one", ada), ("bob's", bob), ("two", ada)] {
            tx.setup_links().insert(&link(word, user), world.now).await.unwrap();
        }
        assert_eq!(tx.setup_links().consume(&digest("one"), world.at(1)).await.unwrap(), None);
        assert_eq!(tx.setup_links().consume(&digest("bob's"), world.at(1)).await.unwrap(), Some(bob));
        tx.users().set_disabled(ada, true).await.unwrap();
        assert_eq!(tx.setup_links().consume(&digest("two"), world.at(1)).await.unwrap(), None);
        assert_eq!(tx.setup_links().end_of_user(ada, world.at(1)).await.unwrap(), 1);
        tx.users().set_disabled(ada, false).await.unwrap();
        assert_eq!(tx.setup_links().consume(&digest("two"), world.at(2)).await.unwrap(), None);
    })
    .await;
}

/// ATK-130: the last owner who may sign in is not shut out, and one who is shut out already may lose the part.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_owner_is_not_shut_out() {
    on_both(async |world| {
        let [ada, bob] = ["ada", "bob"].map(|name| User { role: Role::Owner, ..world.user(name) });
        let mut tx = world.begin().await;
        tx.users().insert(&ada).await.unwrap();
        assert!(!tx.users().set_disabled(ada.id, true).await.unwrap());
        tx.users().insert(&bob).await.unwrap();
        assert!(tx.users().set_disabled(ada.id, true).await.unwrap());
        assert!(tx.users().set_disabled(ada.id, true).await.unwrap(), "once more changes nothing");
        assert!(!tx.users().set_disabled(bob.id, true).await.unwrap());
        assert!(tx.users().set_role(ada.id, Role::User).await.unwrap());
        assert!(tx.users().set_disabled(ada.id, false).await.unwrap());
        assert!(!tx.users().set_disabled(bob.id, true).await.unwrap(), "a user who is no owner is none");
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
        method: SignInMethod::Password,
        browser: "Firefox, Linux".to_owned(),
        seen_at: world.now,
    }
}

/// What a person is told of their sessions, and which of them they can end.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_and_ended_one_by_one_and_all_but_one() {
    on_both(async |world| {
        let (ada, bob) = (world.kept_user("ada").await, world.kept_user("bob").await);
        let mut tx = world.begin().await;
        for (word, user, method) in [
            ("one", &ada, SignInMethod::Provider("corp".to_owned())),
            ("two", &ada, SignInMethod::Link),
            ("three", &ada, SignInMethod::Unknown),
            ("other", &bob, SignInMethod::Password),
        ] {
            let kept = BrowserSession { method, ..session(&world, word, user) };
            tx.browser_sessions().insert(&kept).await.unwrap();
        }
        tx.commit().await.unwrap();
        let mut tx = world.begin().await;
        // Noted at most every few minutes, and never back in time.
        assert!(tx.browser_sessions().note_seen(&digest("two"), world.at(400), 300).await.unwrap());
        assert!(!tx.browser_sessions().note_seen(&digest("two"), world.at(699), 300).await.unwrap());
        let listed = tx.browser_sessions().of_user(ada.id, world.at(500)).await.unwrap();
        assert_eq!(listed.len(), 3);
        assert_eq!((&listed[0].digest, listed[0].seen_at), (&digest("two"), world.at(400)));
        assert!(listed.iter().any(|one| one.method == SignInMethod::Provider("corp".to_owned())));
        assert!(tx.browser_sessions().of_user(ada.id, world.at(3600)).await.unwrap().is_empty());
        let users = tx.browser_sessions().users(world.at(500)).await.unwrap();
        let seen: Vec<_> = users.iter().map(|one| (one.name.as_str(), one.sessions, one.seen_at)).collect();
        assert_eq!(seen, [("ada", 3, world.at(400)), ("bob", 1, world.now)]);
        // Nobody ends a session of somebody else.
        let ended = tx.browser_sessions().delete_one_of_user(bob.id, &digest("one"), world.now).await.unwrap();
        assert_eq!(ended, 0);
        let ended = tx.browser_sessions().delete_one_of_user(ada.id, &digest("one"), world.now).await.unwrap();
        assert_eq!(ended, 1);
        let ended = tx.browser_sessions().delete_others_of_user(ada.id, &digest("two"), world.now).await.unwrap();
        assert_eq!(ended, 1);
        assert!(tx.browser_sessions().find(&digest("two"), world.now).await.unwrap().is_some());
        assert!(tx.browser_sessions().find(&digest("other"), world.now).await.unwrap().is_some());
        tx.commit().await.unwrap();
    })
    .await;
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
        assert!(tx.browser_sessions().delete(&digest("one"), world.now).await.unwrap());
        assert!(!tx.browser_sessions().delete(&digest("one"), world.now).await.unwrap());
        assert!(tx.browser_sessions().find(&digest("one"), world.now).await.unwrap().is_none());
        tx.users().set_disabled(ada.id, true).await.unwrap();
        assert!(tx.browser_sessions().find(&digest("two"), world.now).await.unwrap().is_none());
        assert_eq!(tx.browser_sessions().delete_of_user(ada.id, world.now).await.unwrap(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_make_the_next_attempt_wait_and_success_forgives() {
    on_both(async |world| {
        let lane = Lane { free: 5, wait_seconds_max: 900 };
        let mut tx = world.begin().await;
        for _ in 1..=6 {
            assert!(tx.throttle().take("ada", lane, world.now).await.unwrap());
        }
        assert!(tx.throttle().is_blocked("ada", lane, world.now).await.unwrap());
        assert!(!tx.throttle().take("ada", lane, world.now).await.unwrap());
        assert!(tx.throttle().take("ada", lane, world.at(1)).await.unwrap());
        assert!(!tx.throttle().take("ada", lane, world.at(2)).await.unwrap());
        assert!(!tx.throttle().is_blocked("bob", lane, world.now).await.unwrap());
        // One that was no failure is taken back, and the others stay: the eighth waits as long as the eighth does.
        assert!(tx.throttle().take("ada", lane, world.at(3)).await.unwrap());
        tx.throttle().give_back("ada").await.unwrap();
        assert!(tx.throttle().take("ada", lane, world.at(3)).await.unwrap());
        assert!(!tx.throttle().take("ada", lane, world.at(6)).await.unwrap());
        assert!(tx.throttle().take("ada", lane, world.at(7)).await.unwrap());
        // What a clock ahead of its time wrote blocks nobody.
        assert!(tx.throttle().take("clock", lane, world.at(90_000)).await.unwrap());
        for _ in 0..12 {
            assert!(tx.throttle().take("clock", lane, world.now).await.is_ok());
        }
        // An hour without a failure forgets them.
        assert!(tx.throttle().take("ada", lane, world.at(3607)).await.unwrap());
        assert!(tx.throttle().take("ada", lane, world.at(3607)).await.unwrap());
        tx.throttle().clear("ada").await.unwrap();
        tx.throttle().clear("clock").await.unwrap();
        assert!(tx.throttle().take("ada", lane, world.at(3607)).await.unwrap());
        assert_eq!(tx.throttle().sweep(world.at(7206)).await.unwrap(), 0);
        assert_eq!(tx.throttle().sweep(world.at(7207)).await.unwrap(), 1);
    })
    .await;
}

/// What was to last as long as a browser session ends with it, and goes over to the next one of the same user.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_ends_with_its_browser_session() {
    on_both(async |world| {
        let (ada, bob) = (world.kept_user("ada").await, world.kept_user("bob").await);
        let [bound, free] = [0, 1].map(|_| world.grant(Subject::User(ada.id)));
        keep(&world.store, &[&bound, &free]).await;
        let mut tx = world.begin().await;
        tx.browser_sessions().insert(&session(&world, "one", &ada)).await.unwrap();
        assert_eq!(tx.browser_sessions().hold(&digest("one"), world.now).await.unwrap(), Some(world.at(3600)));
        assert_eq!(tx.browser_sessions().hold(&digest("none"), world.now).await.unwrap(), None);
        tx.grants().end_with_session(bound.id, &digest("one")).await.unwrap();
        let ended = async |tx: &mut Tx| tx.grants().find(bound.id).await.unwrap().unwrap().revoked_at.is_some();
        let next = session(&world, "two", &ada);
        tx.browser_sessions().renew(&digest("one"), &next, world.at(1)).await.unwrap();
        tx.browser_sessions().insert(&next).await.unwrap();
        assert!(!ended(&mut tx).await);
        assert_eq!(tx.browser_sessions().hold(&digest("one"), world.now).await.unwrap(), None);
        let other = session(&world, "three", &bob);
        tx.browser_sessions().renew(&digest("two"), &other, world.at(2)).await.unwrap();
        assert!(ended(&mut tx).await);
        assert!(tx.grants().find(free.id).await.unwrap().unwrap().revoked_at.is_none());
    })
    .await;
}

/// A user that is removed is gone with sessions and links, and the name is free for somebody else; the only owner stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_removed_and_the_only_owner_is_not() {
    on_both(async |world| {
        let (ada, bob) = (world.kept_user("ada").await, world.kept_user("bob").await);
        let mut tx = world.begin().await;
        assert!(tx.users().set_role(ada.id, Role::Owner).await.unwrap());
        tx.browser_sessions().insert(&session(&world, "one", &bob)).await.unwrap();
        assert!(!tx.users().remove(ada.id).await.unwrap(), "the only owner");
        assert!(tx.users().remove(bob.id).await.unwrap());
        assert!(!tx.users().remove(bob.id).await.unwrap(), "only once");
        assert!(tx.users().find(bob.id).await.unwrap().is_none());
        assert!(tx.browser_sessions().find(&digest("one"), world.now).await.unwrap().is_none());
        let again = world.user("BOB");
        tx.users().insert(&again).await.unwrap();
        assert_eq!(tx.users().find_by_name("bob").await.unwrap().unwrap().id, again.id);
        assert!(tx.users().set_role(again.id, Role::Owner).await.unwrap());
        assert!(tx.users().remove(ada.id).await.unwrap(), "there is another owner");
        tx.commit().await.unwrap();
    })
    .await;
}
