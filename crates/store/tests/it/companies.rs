//! People and groups of identity providers: who somebody is, in which groups, and what ends when a provider says so.

use std::collections::BTreeSet;

use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::{ScimGroupId, UserId};
use sekisho_protocol::openid::identity::Identity;
use sekisho_store::{
    BrowserSession, ChangeKind, GroupSource, ID_TOKEN_BYTES_MAX, LinkedIdentity, LoggedOut, Membership, PendingSignIn,
    ProviderSession, ScimGroupRow, ScimTokenRow, ScimUserRow, SecretBytes, SecretKey, SignInMethod, StoreError,
};

use crate::harness::{World, announced, on_both, race, winners};
use crate::things::{digest, keep};

const ISSUER: &str = "https://login.example";

fn identity(subject: &str) -> Identity {
    Identity { issuer: ISSUER.to_owned(), subject: subject.to_owned() }
}

fn linked(world: &World, subject: &str, user: UserId, made_user: bool) -> LinkedIdentity {
    LinkedIdentity { identity: identity(subject), user, made_user, created_at: world.now, signed_in_at: None }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_one_user() {
    on_both(async |world| {
        let (ada, bob) = (world.kept_user("ada").await, world.kept_user("bob").await);
        let mut tx = world.begin().await;
        assert_eq!(tx.identities().find(&identity("1")).await.unwrap(), None);
        assert!(tx.identities().link(&linked(&world, "1", ada.id, true)).await.unwrap());
        assert!(!tx.identities().link(&linked(&world, "1", bob.id, false)).await.unwrap());
        assert!(tx.identities().link(&linked(&world, "2", bob.id, false)).await.unwrap());
        let other = Identity { issuer: "https://other.example".to_owned(), subject: "1".to_owned() };
        assert_eq!(tx.identities().find(&other).await.unwrap(), None);
        let found = tx.identities().find(&identity("1")).await.unwrap().unwrap();
        assert_eq!((found.user, found.made_user, found.signed_in_at), (ada.id, true, None));
        assert_eq!(tx.identities().sign_in(&identity("1"), world.at(5)).await.unwrap(), Some(ada.id));
        assert_eq!(tx.identities().sign_in(&identity("3"), world.at(5)).await.unwrap(), None);
        assert_eq!(tx.identities().of_user(ada.id).await.unwrap()[0].signed_in_at, Some(world.at(5)));
        // A local user keeps another way to sign in; one who was made for the identity has none.
        assert!(!tx.identities().unlink(&identity("1"), ada.id).await.unwrap());
        assert!(!tx.identities().unlink(&identity("2"), ada.id).await.unwrap());
        assert!(tx.identities().unlink(&identity("2"), bob.id).await.unwrap());
        tx.commit().await.unwrap();
        let told = announced(&world, async |tx| {
            tx.identities().link(&linked(&world, "9", bob.id, false)).await.unwrap();
            tx.identities().link(&linked(&world, "9", ada.id, false)).await.unwrap();
        });
        assert_eq!(told.await, [(ChangeKind::User, bob.id.to_string())]);
    })
    .await;
}

/// ATK-300: of many first sign-ins of one person at the same moment, one makes the user.
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_signs_in_many_times_at_once_becomes_one_user() {
    on_both(async |world| {
        let user = world.kept_user("ada").await.id;
        let row = linked(&world, "1", user, true);
        let found = race(&world, |store, _| {
            let row = row.clone();
            async move {
                let mut tx = store.begin().await?;
                let won = tx.identities().link(&row).await?;
                tx.commit().await?;
                Ok(won)
            }
        })
        .await;
        assert_eq!(winners(found), 1);
    })
    .await;
}

/// ATK-301: a disabled user does not come in by their provider, and one who was made for it never gets a password.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_a_provider_signs_in_there_only_and_only_while_enabled() {
    on_both(async |world| {
        let (ada, bob) = (world.kept_user("ada").await, world.kept_user("bob").await);
        let mut tx = world.begin().await;
        tx.identities().link(&linked(&world, "1", ada.id, true)).await.unwrap();
        tx.identities().link(&linked(&world, "2", bob.id, false)).await.unwrap();
        assert!(!tx.users().set_password(ada.id, "$argon2id$…", world.now).await.unwrap());
        assert_eq!(tx.users().find(ada.id).await.unwrap().unwrap().password, None);
        assert!(tx.users().set_password(bob.id, "$argon2id$…", world.now).await.unwrap());
        assert!(tx.users().set_disabled(ada.id, true).await.unwrap());
        assert_eq!(tx.identities().sign_in(&identity("1"), world.now).await.unwrap(), None);
        assert!(tx.users().set_disabled(ada.id, false).await.unwrap());
        assert_eq!(tx.identities().sign_in(&identity("1"), world.now).await.unwrap(), Some(ada.id));
        // Who is forgotten comes back as somebody new.
        assert!(tx.users().remove(ada.id).await.unwrap());
        assert_eq!(tx.identities().find(&identity("1")).await.unwrap(), None);
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_groups_of_a_sign_in_replace_those_before() {
    on_both(async |world| {
        let user = world.kept_user("ada").await.id;
        let groups = async |tx: &mut sekisho_store::Tx| -> Vec<String> {
            tx.user_groups().of_user(user).await.unwrap().into_iter().map(|one| one.group).collect()
        };
        let mut tx = world.begin().await;
        assert!(tx.user_groups().replace(user, "corp", &names(&["corp/a", "corp/b"])).await.unwrap());
        assert!(!tx.user_groups().replace(user, "corp", &names(&["corp/b", "corp/a"])).await.unwrap());
        assert!(tx.user_groups().replace(user, "other", &names(&["other/a"])).await.unwrap());
        assert_eq!(groups(&mut tx).await, ["corp/a", "corp/b", "other/a"]);
        assert!(tx.user_groups().replace(user, "corp", &names(&["corp/b", "corp/c"])).await.unwrap());
        assert_eq!(groups(&mut tx).await, ["corp/b", "corp/c", "other/a"]);
        assert_eq!(tx.user_groups().forget("corp").await.unwrap(), 2);
        assert_eq!(groups(&mut tx).await, ["other/a"]);
        tx.commit().await.unwrap();
        let same = announced(&world, async |tx| {
            tx.user_groups().replace(user, "other", &names(&["other/a"])).await.unwrap();
        });
        assert!(same.await.is_empty(), "what did not change is not announced");
        let told = announced(&world, async |tx| {
            tx.user_groups().replace(user, "other", &names(&[])).await.unwrap();
        });
        assert_eq!(told.await, [(ChangeKind::User, user.to_string())]);
    })
    .await;
}

/// Two sign-ins at the same moment: the groups of one of them, and never of both.
#[tokio::test(flavor = "multi_thread")]
async fn groups_of_two_sign_ins_are_never_mixed() {
    on_both(async |world| {
        let user = world.kept_user("ada").await.id;
        let found = race(&world, |store, number| async move {
            let both = ["x", "y"].map(|word| format!("corp/{word}{number}"));
            let mut tx = store.begin().await?;
            let changed = tx.user_groups().replace(user, "corp", &both.into_iter().collect()).await?;
            tx.commit().await?;
            Ok(changed)
        })
        .await;
        assert_eq!(winners(found), crate::harness::CONTENDERS as usize);
        let mut tx = world.begin().await;
        let kept: Vec<Membership> = tx.user_groups().all().await.unwrap();
        let numbers: BTreeSet<&str> =
            kept.iter().map(|one| one.group.trim_start_matches(['c', 'o', 'r', 'p', '/', 'x', 'y'])).collect();
        assert_eq!((kept.len(), numbers.len()), (2, 1), "{kept:?}");
    })
    .await;
}

fn sign_in(world: &World) -> PendingSignIn {
    PendingSignIn {
        digest: digest("state"),
        provider: "corp".to_owned(),
        browser: digest("browser"),
        pending: None,
        kept: SecretBytes::new(b"verifier".to_vec()),
        expires_at: world.at(600),
    }
}

/// PX-09, ATK-81, ATK-83: once, in the browser that was sent, at the provider's own address, in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_is_taken_once_by_the_browser_that_was_sent() {
    on_both(async |world| {
        let mut tx = world.begin().await;
        tx.sign_ins().insert(&sign_in(&world)).await.unwrap();
        let (state, browser) = (digest("state"), digest("browser"));
        for (state, provider, browser, seconds) in [
            (digest("other"), "corp", browser, 1),
            (state, "other", browser, 1),
            (state, "corp", digest("another"), 1),
            (state, "corp", browser, 600),
        ] {
            let found = tx.sign_ins().consume(&state, provider, &browser, world.at(seconds)).await.unwrap();
            assert!(found.is_none());
        }
        let taken = tx.sign_ins().consume(&state, "corp", &browser, world.at(599)).await.unwrap().unwrap();
        assert_eq!(taken.kept.expose(), b"verifier");
        assert!(tx.sign_ins().consume(&state, "corp", &browser, world.at(1)).await.unwrap().is_none());
        tx.commit().await.unwrap();
        let mut tx = world.begin().await;
        tx.sign_ins().insert(&sign_in(&world)).await.unwrap();
        tx.commit().await.unwrap();
        let found = race(&world, |store, _| {
            let now = world.at(1);
            async move {
                let mut tx = store.begin().await?;
                let won = tx.sign_ins().consume(&digest("state"), "corp", &digest("browser"), now).await?.is_some();
                tx.commit().await?;
                Ok(won)
            }
        })
        .await;
        assert_eq!(winners(found), 1);
        let mut tx = world.begin().await;
        tx.sign_ins().insert(&sign_in(&world)).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(world.store.sweep(world.at(599)).await.unwrap(), 0);
        assert_eq!(world.store.sweep(world.at(600)).await.unwrap(), 1);
    })
    .await;
}

async fn browser_session(world: &World, user: UserId, word: &str, subject: &str, sid: Option<&str>) {
    let session = BrowserSession {
        digest: digest(word),
        user,
        csrf: SecretKey::from_bytes([1; 32]),
        created_at: world.now,
        expires_at: world.at(3600),
        authenticated_at: world.now,
        method: SignInMethod::Password,
        browser: "Firefox, Linux".to_owned(),
        seen_at: world.now,
    };
    let provider_session = ProviderSession {
        browser_session: digest(word),
        identity: identity(subject),
        sid: sid.map(str::to_owned),
        id_token: Some(SecretBytes::new(b"a.b.c".to_vec())),
    };
    let mut tx = world.begin().await;
    tx.browser_sessions().insert(&session).await.unwrap();
    tx.provider_sessions().insert(&provider_session).await.unwrap();
    tx.commit().await.unwrap();
}

/// ATK-294: what a logout token names ends, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_the_provider_ends_what_it_names() {
    on_both(async |world| {
        let (ada, bob) = (world.kept_user("ada").await.id, world.kept_user("bob").await.id);
        for (word, user, subject, sid) in [
            ("a1", ada, "1", Some("s1")),
            ("a2", ada, "1", Some("s2")),
            ("a3", ada, "1", None),
            ("b1", bob, "2", Some("s1")),
        ] {
            browser_session(&world, user, word, subject, sid).await;
        }
        let left = async |tx: &mut sekisho_store::Tx| -> Vec<&'static str> {
            let mut left = Vec::new();
            for word in ["a1", "a2", "a3", "b1"] {
                if tx.browser_sessions().find(&digest(word), world.now).await.unwrap().is_some() {
                    left.push(word);
                }
            }
            left
        };
        let mut tx = world.begin().await;
        let kept = tx.provider_sessions().find(&digest("a1")).await.unwrap().unwrap();
        assert_eq!((kept.sid.as_deref(), kept.id_token.unwrap().expose()), (Some("s1"), &b"a.b.c"[..]));
        let end = async |tx: &mut sekisho_store::Tx, issuer: &str, what| {
            tx.provider_sessions().end(issuer, what, world.now).await.unwrap()
        };
        let one = LoggedOut::Session { sid: "s1", subject: Some("1") };
        assert!(end(&mut tx, "https://other.example", one).await.is_empty());
        assert!(end(&mut tx, ISSUER, LoggedOut::Session { sid: "s9", subject: None }).await.is_empty());
        assert_eq!(end(&mut tx, ISSUER, one).await, [ada]);
        assert_eq!(left(&mut tx).await, ["a2", "a3", "b1"]);
        assert!(tx.provider_sessions().find(&digest("a1")).await.unwrap().is_none());
        assert_eq!(end(&mut tx, ISSUER, LoggedOut::Subject("1")).await, [ada, ada]);
        assert_eq!(left(&mut tx).await, ["b1"]);
        assert_eq!(end(&mut tx, ISSUER, LoggedOut::Session { sid: "s1", subject: None }).await, [bob]);
        assert!(left(&mut tx).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_that_is_too_long_for_a_url_is_not_kept() {
    on_both(async |world| {
        let user = world.kept_user("ada").await.id;
        for (word, length) in [("fits", ID_TOKEN_BYTES_MAX), ("long", ID_TOKEN_BYTES_MAX + 1)] {
            browser_session(&world, user, word, "1", None).await;
            let mut tx = world.begin().await;
            tx.browser_sessions().delete(&digest(word), world.now).await.unwrap();
            tx.commit().await.unwrap();
            let session = BrowserSession {
                digest: digest(word),
                user,
                csrf: SecretKey::from_bytes([1; 32]),
                created_at: world.now,
                expires_at: world.at(60),
                authenticated_at: world.now,
                method: SignInMethod::Password,
                browser: "Firefox, Linux".to_owned(),
                seen_at: world.now,
            };
            let id_token = Some(SecretBytes::new(vec![b'x'; length]));
            let kept = ProviderSession { browser_session: digest(word), identity: identity("1"), sid: None, id_token };
            let mut tx = world.begin().await;
            tx.browser_sessions().insert(&session).await.unwrap();
            tx.provider_sessions().insert(&kept).await.unwrap();
            let found = tx.provider_sessions().find(&digest(word)).await.unwrap().unwrap();
            assert_eq!(found.id_token.is_some(), word == "fits");
            tx.commit().await.unwrap();
        }
    })
    .await;
}

/// Back-channel logout ends the grants that were to last as long as the session, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_the_provider_ends_the_grants_of_the_session() {
    on_both(async |world| {
        let user = world.kept_user("ada").await.id;
        let (bound, free) = (world.grant(Subject::User(user)), world.grant(Subject::User(user)));
        keep(&world.store, &[&bound, &free]).await;
        browser_session(&world, user, "a1", "1", Some("s1")).await;
        let mut tx = world.begin().await;
        tx.grants().end_with_session(bound.id, &digest("a1")).await.unwrap();
        tx.provider_sessions().end(ISSUER, LoggedOut::Subject("1"), world.now).await.unwrap();
        assert!(tx.grants().find(bound.id).await.unwrap().unwrap().revoked_at.is_some());
        assert!(tx.grants().find(free.id).await.unwrap().unwrap().revoked_at.is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provisioning_token_is_good_until_it_ends_or_is_revoked() {
    on_both(async |world| {
        let token = |word: &str, label: &str, expires| ScimTokenRow {
            digest: digest(word),
            provider: "corp".to_owned(),
            label: label.to_owned(),
            created_at: world.now,
            expires_at: expires,
            last_used_at: None,
            revoked_at: None,
        };
        let mut tx = world.begin().await;
        tx.scim_tokens().insert(&token("t1", "entra", None)).await.unwrap();
        tx.scim_tokens().insert(&token("t2", "okta", Some(world.at(60)))).await.unwrap();
        assert_eq!(tx.scim_tokens().find(&digest("t1"), world.at(9999)).await.unwrap().unwrap().provider, "corp");
        assert!(tx.scim_tokens().find(&digest("t2"), world.at(59)).await.unwrap().is_some());
        assert!(tx.scim_tokens().find(&digest("t2"), world.at(60)).await.unwrap().is_none());
        assert!(tx.scim_tokens().find(&digest("t3"), world.now).await.unwrap().is_none());
        for second in [0, 59, 60] {
            tx.scim_tokens().used(&digest("t1"), world.at(second)).await.unwrap();
        }
        assert_eq!(tx.scim_tokens().list().await.unwrap()[0].last_used_at, Some(world.at(60)));
        for (name, at, holds) in [("t1", 61, true), ("t2", 59, true), ("t2", 60, false), ("t3", 61, false)] {
            assert_eq!(tx.scim_tokens().hold(&digest(name), world.at(at)).await.unwrap(), holds, "{name} {at}");
        }
        assert!(tx.scim_tokens().revoke("corp", "entra", world.now).await.unwrap());
        assert!(!tx.scim_tokens().hold(&digest("t1"), world.at(62)).await.unwrap());
        assert!(!tx.scim_tokens().revoke("corp", "entra", world.now).await.unwrap());
        assert!(!tx.scim_tokens().revoke("corp", "none", world.now).await.unwrap());
        assert!(tx.scim_tokens().find(&digest("t1"), world.now).await.unwrap().is_none());
        tx.commit().await.unwrap();
        let mut tx = world.begin().await;
        let error = tx.scim_tokens().insert(&token("t4", "entra", None)).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    })
    .await;
}

fn scim_user(world: &World, user: UserId, name: &str, external: Option<&str>) -> ScimUserRow {
    ScimUserRow {
        provider: "corp".to_owned(),
        user,
        user_name_folded: name.to_owned(),
        external_id: external.map(str::to_owned),
        attributes: "{}".to_owned(),
        version: 1,
        created_at: world.now,
        changed_at: world.now,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provisioned_user_is_changed_by_its_newest_version_only() {
    on_both(async |world| {
        let (ada, bob) = (world.kept_user("ada").await.id, world.kept_user("bob").await.id);
        let mut tx = world.begin().await;
        let row = scim_user(&world, ada, "ada", Some("x1"));
        tx.scim_users().insert(&row).await.unwrap();
        tx.scim_users().insert(&scim_user(&world, bob, "bob", None)).await.unwrap();
        assert_eq!(tx.scim_users().find_external("corp", "x1").await.unwrap(), Some(row.clone()));
        assert_eq!(tx.scim_users().find_external("other", "x1").await.unwrap(), None);
        let newer = ScimUserRow { attributes: r#"{"title":"x"}"#.to_owned(), changed_at: world.at(5), ..row.clone() };
        assert!(tx.scim_users().update(&newer).await.unwrap());
        assert!(!tx.scim_users().update(&newer).await.unwrap(), "it has the version of before");
        let kept = tx.scim_users().find("corp", ada).await.unwrap().unwrap();
        assert_eq!((kept.version, kept.changed_at, kept.created_at), (2, world.at(5), world.now));
        let all = tx.scim_users().list("corp", None, 10).await.unwrap();
        assert_eq!(all.len(), 2);
        let rest = tx.scim_users().list("corp", Some(all[0].user), 10).await.unwrap();
        assert_eq!(rest, all[1..]);
        tx.commit().await.unwrap();
        for taken in [scim_user(&world, bob, "ada", None), scim_user(&world, bob, "bob", Some("x1"))] {
            let mut tx = world.begin().await;
            assert!(matches!(tx.scim_users().update(&taken).await, Err(StoreError::Conflict { .. })));
        }
    })
    .await;
}

fn scim_group(world: &World, name: &str) -> ScimGroupRow {
    ScimGroupRow {
        id: ScimGroupId::generate(world.now, &*world.entropy),
        provider: "corp".to_owned(),
        display_name: name.to_owned(),
        name: format!("corp/{name}"),
        external_id: None,
        version: 1,
        created_at: world.now,
        changed_at: world.now,
    }
}

/// A change of a group is heard at once by whoever caches rights, for everybody who came, went or stayed under a new name.
#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_provisioned_group_are_in_it_at_once() {
    on_both(async |world| {
        let [ada, bob, eve] =
            [world.kept_user("ada").await.id, world.kept_user("bob").await.id, world.kept_user("eve").await.id];
        let group = scim_group(&world, "engineers");
        let mut tx = world.begin().await;
        for (user, name) in [(ada, "ada"), (bob, "bob")] {
            tx.scim_users().insert(&scim_user(&world, user, name, None)).await.unwrap();
        }
        tx.scim_groups().insert(&group).await.unwrap();
        // Only the provider's own people.
        assert_eq!(tx.scim_groups().set_members(&group, &BTreeSet::from([ada, eve])).await.unwrap(), None);
        assert!(tx.scim_groups().members(group.id).await.unwrap().is_empty());
        tx.commit().await.unwrap();
        let told = announced(&world, async |tx| {
            let moved = tx.scim_groups().set_members(&group, &BTreeSet::from([ada, bob])).await.unwrap();
            assert_eq!(moved, Some(BTreeSet::from([ada, bob])));
        });
        assert_eq!(told.await.len(), 2);
        let told = announced(&world, async |tx| {
            assert_eq!(
                tx.scim_groups().set_members(&group, &BTreeSet::from([bob])).await.unwrap(),
                Some(BTreeSet::from([ada]))
            );
        });
        assert_eq!(told.await, [(ChangeKind::User, ada.to_string())]);
        let mut tx = world.begin().await;
        let expected =
            Membership { user: bob, provider: "corp".to_owned(), group: group.name.clone(), source: GroupSource::Scim };
        assert_eq!(tx.user_groups().of_user(bob).await.unwrap(), [expected]);
        assert!(tx.user_groups().of_user(ada).await.unwrap().is_empty());
        tx.rollback().await.unwrap();
        let renamed =
            ScimGroupRow { name: "corp/builders".to_owned(), display_name: "builders".to_owned(), ..group.clone() };
        let told = announced(&world, async |tx| assert!(tx.scim_groups().update(&renamed).await.unwrap()));
        assert_eq!(told.await, [(ChangeKind::User, bob.to_string())]);
        let mut tx = world.begin().await;
        assert!(!tx.scim_groups().update(&renamed).await.unwrap(), "it has the version of before");
        assert_eq!(tx.scim_groups().find("corp", group.id).await.unwrap().unwrap().version, 2);
        assert_eq!(tx.scim_groups().find("other", group.id).await.unwrap(), None);
        assert!(tx.scim_users().remove("corp", bob).await.unwrap());
        assert!(tx.scim_groups().members(group.id).await.unwrap().is_empty());
        tx.commit().await.unwrap();
        let mut tx = world.begin().await;
        assert!(!tx.scim_groups().remove("other", group.id).await.unwrap());
        assert!(tx.scim_groups().remove("corp", group.id).await.unwrap());
        assert!(tx.scim_groups().list("corp", None, 10).await.unwrap().is_empty());
    })
    .await;
}
