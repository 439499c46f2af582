//! Grants: their lineage, their end, and the consents behind them.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::{GrantId, TaskId};
use sekisho_store::{ChangeKind, Consent, FeedEvent, GrantFilter, NewGrant, StoreError, Tx};

use crate::harness::{World, announced, next, on_both};
use crate::things::{digest, keep, scopes, server};

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_comes_back_as_it_was_made() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        let task = TaskId::generate(world.now, &*world.entropy);
        let new = NewGrant { task: Some(task), expires_at: Some(world.at(60)), ..world.grant(Subject::User(user.id)) };
        let derived = world.derived(&new);
        keep(&world.store, &[&new, &derived]).await;
        let mut tx = world.begin().await;
        let kept = tx.grants().find(derived.id).await.unwrap().unwrap();
        assert_eq!((&kept.subject, &kept.client, &kept.server), (&new.subject, &derived.client, &new.server));
        assert_eq!((&kept.scopes, &kept.path, &kept.resource), (&new.scopes, &derived.path, &new.resource));
        assert_eq!((kept.parent, kept.task, kept.epoch), (Some(new.id), Some(task), 0));
        assert_eq!((kept.created_at, kept.expires_at, kept.revoked_at), (world.now, Some(world.at(60)), None));
        assert_eq!(tx.grants().find(world.grant_id()).await.unwrap(), None);
        assert!(matches!(tx.grants().insert(&new).await, Err(StoreError::Conflict { .. })));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_are_listed_by_subject_client_and_server() {
    on_both(async |world| {
        let (ada, bob) = (Subject::User(world.user("ada").id), Subject::User(world.user("bob").id));
        let one = world.grant(ada.clone());
        let other = NewGrant { server: server("files"), created_at: world.at(1), ..world.grant(ada.clone()) };
        let third = NewGrant { created_at: world.at(2), ..world.grant(bob) };
        keep(&world.store, &[&one, &other, &third]).await;
        let mut tx = world.begin().await;
        for (filter, expected) in [
            (GrantFilter::default(), vec![one.id, other.id, third.id]),
            (GrantFilter { subject: Some(ada.clone()), ..GrantFilter::default() }, vec![one.id, other.id]),
            (GrantFilter { client: Some(third.client.clone()), ..GrantFilter::default() }, vec![third.id]),
            (GrantFilter { subject: Some(ada), server: Some(server("files")), client: None }, vec![other.id]),
        ] {
            let found: Vec<GrantId> =
                tx.grants().list(&filter).await.unwrap().into_iter().map(|grant| grant.id).collect();
            assert_eq!(found, expected, "{filter:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cache_keeps_of_a_grant_is_one_answer() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        let mine = NewGrant { expires_at: Some(world.at(60)), ..world.grant(Subject::User(user.id)) };
        let stranger = world.grant(Subject::User(world.user("eve").id));
        let service = world.grant(Subject::Service(world.client_id()));
        keep(&world.store, &[&mine, &stranger, &service]).await;
        let mut tx = world.begin().await;
        let state = tx.grants().alive(mine.id).await.unwrap().unwrap();
        assert_eq!((state.grant, &state.subject, &state.client), (mine.id, &mine.subject, &mine.client));
        assert_eq!((&state.server, &state.scopes, &state.path), (&mine.server, &mine.scopes, &mine.path));
        assert!(state.honours(0, world.at(59)));
        assert!(!state.honours(0, world.at(60)) && !state.honours(1, world.now));
        // A user who is gone is as good as disabled; a service has no user.
        assert!(tx.grants().alive(stranger.id).await.unwrap().unwrap().user_disabled);
        assert!(!tx.grants().alive(service.id).await.unwrap().unwrap().user_disabled);
        assert_eq!(tx.grants().alive(world.grant_id()).await.unwrap(), None);
    })
    .await;
}

/// ATK-59, ATK-156: of many grants at once the same is said as of each alone, however many are asked about.
#[tokio::test(flavor = "multi_thread")]
async fn many_grants_are_asked_about_at_once() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        let mine = |seconds| NewGrant { expires_at: Some(world.at(seconds)), ..world.grant(Subject::User(user.id)) };
        let (short, long) = (mine(10), mine(60));
        let stranger = world.grant(Subject::User(world.user("eve").id));
        let service = world.grant(Subject::Service(world.client_id()));
        let derived = world.derived(&long);
        let many: Vec<NewGrant> = (0..150).map(|_| mine(60)).collect();
        let named = [&short, &long, &stranger, &service, &derived];
        let all: Vec<&NewGrant> = named.into_iter().chain(&many).collect();
        keep(&world.store, &all).await;
        let mut ids: Vec<GrantId> = all.iter().map(|grant| grant.id).collect();
        ids.push(world.grant_id());
        let mut tx = world.begin().await;
        tx.grants().revoke(many[149].id, "test", world.now).await.unwrap();
        for seconds in [9, 10] {
            let now = world.at(seconds);
            let alive = tx.grants().alive_among(&ids, now).await.unwrap();
            for id in &ids {
                let state = tx.grants().alive(*id).await.unwrap();
                let lives = state.is_some_and(|state| state.honours(state.epoch, now));
                assert_eq!(alive.contains(id), lives, "{id} at {seconds}");
            }
            assert_eq!(alive.len(), 152 + usize::from(seconds < 10));
        }
        assert!(tx.grants().alive_among(&[], world.now).await.unwrap().is_empty());
    })
    .await;
}

/// Of these grants, those that have ended.
async fn ended(tx: &mut Tx, grants: &[&NewGrant]) -> Vec<GrantId> {
    let mut ended = Vec::new();
    for grant in grants {
        let state = tx.grants().alive(grant.id).await.unwrap().unwrap();
        if state.revoked {
            assert_eq!(state.epoch, 1);
            ended.push(grant.id);
        }
    }
    ended
}

/// Ada's grant, two derived from it in a row, one derived beside; and Bob's.
async fn family(world: &World) -> [NewGrant; 5] {
    let (ada, bob) = (world.kept_user("ada").await, world.kept_user("bob").await);
    let root = world.grant(Subject::User(ada.id));
    let child = world.derived(&root);
    let grandchild = world.derived(&child);
    let beside = world.derived(&root);
    let other = world.grant(Subject::User(bob.id));
    keep(&world.store, &[&root, &child, &grandchild, &beside, &other]).await;
    [root, child, grandchild, beside, other]
}

/// ATK-19: cutting one link ends everything derived from it, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_grant_ends_everything_derived_from_it_and_says_so() {
    on_both(async |world| {
        let [root, child, grandchild, beside, other] = family(&world).await;
        let all = [&root, &child, &grandchild, &beside, &other];
        let mut feed = world.store.changes();
        let mut tx = world.begin().await;
        assert!(tx.grants().revoke(child.id, "test", world.at(1)).await.unwrap());
        assert!(!tx.grants().revoke(child.id, "test", world.at(2)).await.unwrap());
        assert_eq!(ended(&mut tx, &all).await, [child.id, grandchild.id]);
        tx.commit().await.unwrap();
        let mut told = Vec::new();
        while told.len() < 2 {
            if let FeedEvent::Change(change) = next(&mut feed).await {
                // The feed may still be telling of what was made before.
                if change.kind == ChangeKind::Grant && change.seq > 7 {
                    told.push(change.id);
                }
            }
        }
        let mut expected = [child.id, grandchild.id].map(|id| id.to_string());
        expected.sort_unstable();
        assert_eq!(told, expected);
        let mut tx = world.begin().await;
        assert!(tx.grants().revoke(root.id, "test", world.at(3)).await.unwrap());
        assert_eq!(ended(&mut tx, &all).await, [root.id, child.id, grandchild.id, beside.id]);
        assert_eq!(tx.grants().find(child.id).await.unwrap().unwrap().revoked_at, Some(world.at(1)));
        assert!(!tx.grants().revoke(world.grant_id(), "test", world.at(3)).await.unwrap());
    })
    .await;
}

/// A grant that is replaced ends at a given time with everything derived from it, and gateways are told, because they
/// remember when a grant ends. What ends sooner stays as it is.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_brought_forward_for_everything_derived_and_announced() {
    on_both(async |world| {
        let [root, child, grandchild, beside, other] = family(&world).await;
        let told = announced(&world, async |tx| {
            assert!(tx.grants().end_at(child.id, world.at(30)).await.unwrap());
            assert!(tx.grants().end_at(root.id, world.at(60)).await.unwrap());
            assert!(!tx.grants().end_at(root.id, world.at(60)).await.unwrap(), "it ends then already");
            assert!(!tx.grants().end_at(root.id, world.at(90)).await.unwrap(), "an end is never put off");
        })
        .await;
        let mut ends = Vec::new();
        for grant in [&root, &child, &grandchild, &beside, &other] {
            ends.push(world.begin().await.grants().find(grant.id).await.unwrap().unwrap().expires_at);
        }
        let (early, late) = (Some(world.at(30)), Some(world.at(60)));
        assert_eq!(ends, [late, early, early, late, other.expires_at]);
        let mut told: Vec<_> =
            told.into_iter().filter(|(kind, _)| *kind == ChangeKind::Grant).map(|(_, id)| id).collect();
        told.sort_unstable();
        let mut expected = [&root, &child, &grandchild, &beside].map(|grant| grant.id.to_string());
        expected.sort_unstable();
        assert_eq!(told, expected);
        let gone = world.derived(&other);
        keep(&world.store, &[&gone]).await;
        let mut tx = world.begin().await;
        assert!(tx.grants().revoke(gone.id, "test", world.at(1)).await.unwrap());
        assert!(!tx.grants().end_at(gone.id, world.at(30)).await.unwrap(), "it has been revoked");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_for_a_user_a_client_or_all_ends_what_was_derived_too() {
    on_both(async |world| {
        let [root, child, grandchild, beside, other] = family(&world).await;
        let all = [&root, &child, &grandchild, &beside, &other];
        let Subject::User(ada) = root.subject.clone() else { panic!() };
        for word in ["ada's code", "another code"] {
            let mut code = world.code(word);
            if word.starts_with("ada") {
                code.subject = root.subject.clone();
            }
            let mut tx = world.begin().await;
            tx.codes().insert(&code).await.unwrap();
            tx.commit().await.unwrap();
        }
        let mut tx = world.begin().await;
        assert_eq!(tx.grants().revoke_of_client(&child.client, "test", world.at(1)).await.unwrap(), 2);
        assert_eq!(ended(&mut tx, &all).await, [child.id, grandchild.id]);
        assert_eq!(tx.grants().revoke_of_user(ada, "test", world.at(1)).await.unwrap(), 2);
        assert_eq!(ended(&mut tx, &all).await, [root.id, child.id, grandchild.id, beside.id]);
        // A code that was on its way when everything was revoked leads nowhere.
        assert!(!tx.codes().consume(&digest("ada's code"), world.grant_id(), world.at(1)).await.unwrap());
        assert_eq!(tx.codes().find(&digest("another code")).await.unwrap().unwrap().used_at, None);
        assert_eq!(tx.grants().revoke_all("test", world.at(1)).await.unwrap(), 1);
        assert_eq!(tx.grants().revoke_all("test", world.at(1)).await.unwrap(), 0);
        assert!(!tx.codes().consume(&digest("another code"), world.grant_id(), world.at(1)).await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_derived_from_a_grant_that_has_ended() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        let revoked = world.grant(Subject::User(user.id));
        let expired = NewGrant { expires_at: Some(world.now), ..world.grant(Subject::User(user.id)) };
        keep(&world.store, &[&revoked, &expired]).await;
        let mut tx = world.begin().await;
        tx.grants().revoke(revoked.id, "test", world.now).await.unwrap();
        tx.commit().await.unwrap();
        for parent in [&revoked, &expired, &world.grant(Subject::Anonymous)] {
            let mut tx = world.begin().await;
            let error = tx.grants().insert(&world.derived(parent)).await.unwrap_err();
            assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn using_a_grant_is_noted_once_a_minute() {
    on_both(async |world| {
        let grant = world.grant(Subject::User(world.user("ada").id));
        keep(&world.store, &[&grant]).await;
        let mut tx = world.begin().await;
        for (seconds, noted) in [(10, 10), (69, 10), (70, 70)] {
            tx.grants().touch(grant.id, world.at(seconds)).await.unwrap();
            assert_eq!(tx.grants().find(grant.id).await.unwrap().unwrap().last_used_at, Some(world.at(noted)));
        }
    })
    .await;
}

/// ATK-14, PX-02: a consent counts for the same user, client, redirect, server and scopes, and for no others.
#[tokio::test(flavor = "multi_thread")]
async fn a_consent_is_remembered_for_exactly_what_was_agreed_to() {
    on_both(async |world| {
        let consent = Consent {
            user: world.user("ada").id,
            client: world.client_id(),
            redirect_uri: "https://client.example/callback".to_owned(),
            server: server("notes"),
            scopes: scopes("mcp:read"),
        };
        let mut tx = world.begin().await;
        assert!(!tx.grants().consented(&consent).await.unwrap());
        tx.grants().remember_consent(&consent, world.now).await.unwrap();
        tx.grants().remember_consent(&consent, world.at(1)).await.unwrap();
        assert!(tx.grants().consented(&consent).await.unwrap());
        for other in [
            Consent { user: world.user("bob").id, ..consent.clone() },
            Consent { client: world.client_id(), ..consent.clone() },
            Consent { redirect_uri: "https://client.example/other".to_owned(), ..consent.clone() },
            Consent { server: server("files"), ..consent.clone() },
            Consent { scopes: scopes("mcp:read mcp:write"), ..consent.clone() },
        ] {
            assert!(!tx.grants().consented(&other).await.unwrap(), "{other:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_is_forgotten_with_its_grant_its_user_and_its_client() {
    on_both(async |world| {
        let user = world.kept_user("ada").await.id;
        let grant = world.grant(Subject::User(user));
        keep(&world.store, &[&grant]).await;
        let consent = Consent {
            user,
            client: grant.client.clone(),
            redirect_uri: "https://client.example/callback".to_owned(),
            server: grant.server.clone(),
            scopes: grant.scopes.clone(),
        };
        let mut tx = world.begin().await;
        for how in 0..4 {
            tx.grants().remember_consent(&consent, world.now).await.unwrap();
            let elsewhere = Consent { server: server("files"), ..consent.clone() };
            tx.grants().remember_consent(&elsewhere, world.now).await.unwrap();
            match how {
                0 => drop(tx.grants().revoke(grant.id, "test", world.now).await.unwrap()),
                1 => drop(tx.grants().revoke_of_user(user, "test", world.now).await.unwrap()),
                2 => drop(tx.grants().revoke_of_client(&grant.client, "test", world.now).await.unwrap()),
                _ => drop(tx.grants().revoke_all("test", world.now).await.unwrap()),
            }
            assert!(!tx.grants().consented(&consent).await.unwrap(), "{how}");
            assert_eq!(tx.grants().consented(&elsewhere).await.unwrap(), how == 0, "{how}");
        }
    })
    .await;
}
