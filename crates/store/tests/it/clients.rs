//! Clients and their assertions.

use sekisho_protocol::caller::Subject;
use sekisho_protocol::registration::ClientOrigin;
use sekisho_store::{NewClient, StoreError};

use crate::harness::on_both;
use crate::things::{digest, keep};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_comes_back_as_it_was_kept() {
    on_both(async |world| {
        let mut registered = NewClient { secret: Some(digest("secret")), ..world.client() };
        registered.client.origin = ClientOrigin::Registered;
        let dynamic = NewClient { expires_at: Some(world.at(60)), created_at: world.at(1), ..world.client() };
        let mut tx = world.begin().await;
        tx.clients().insert(&registered).await.unwrap();
        tx.clients().insert(&dynamic).await.unwrap();
        let kept = tx.clients().find(&registered.client.id).await.unwrap().unwrap();
        assert_eq!(
            (kept.client, kept.secret, kept.created_at),
            (registered.client.clone(), registered.secret, world.now)
        );
        assert_eq!((kept.last_used_at, kept.expires_at), (None, None));
        assert_eq!(tx.clients().find(&world.client_id()).await.unwrap(), None);
        let ids: Vec<_> = tx.clients().list().await.unwrap().into_iter().map(|kept| kept.client.id).collect();
        assert_eq!(ids, [registered.client.id.clone(), dynamic.client.id.clone()]);
        assert_eq!(tx.clients().count_dynamic().await.unwrap(), 1);
        assert!(matches!(tx.clients().insert(&registered).await, Err(StoreError::Conflict { .. })));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_fetched_again_replaces_the_client_but_not_what_the_owner_decided() {
    on_both(async |world| {
        let mut known = world.client();
        known.client.origin = ClientOrigin::MetadataDocument;
        let mut tx = world.begin().await;
        tx.clients().put(&known).await.unwrap();
        assert!(tx.clients().set_disabled(&known.client.id, true).await.unwrap());
        let mut newer = NewClient { created_at: world.at(60), ..known.clone() };
        newer.client.name = "Another name".to_owned();
        tx.clients().put(&newer).await.unwrap();
        let kept = tx.clients().find(&known.client.id).await.unwrap().unwrap();
        assert_eq!(kept.client.name, "Another name");
        assert!(kept.client.disabled);
        assert_eq!(kept.created_at, world.now);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn using_a_client_is_noted_once_an_hour_and_keeps_it() {
    on_both(async |world| {
        let new = NewClient { expires_at: Some(world.at(60)), ..world.client() };
        let id = &new.client.id;
        let mut tx = world.begin().await;
        tx.clients().insert(&new).await.unwrap();
        for (seconds, noted) in [(10, 10), (3609, 10), (3610, 3610)] {
            tx.clients().touch(id, world.at(seconds)).await.unwrap();
            let kept = tx.clients().find(id).await.unwrap().unwrap();
            assert_eq!((kept.last_used_at, kept.expires_at), (Some(world.at(noted)), None));
        }
        assert_eq!(tx.clients().delete_expired(world.at(100_000)).await.unwrap(), 0);
    })
    .await;
}

/// ATK-24: what registered itself and never came back is forgotten; what somebody consented to is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_never_used_is_forgotten_in_time() {
    on_both(async |world| {
        let [idle, granted] = [0, 1].map(|_| NewClient { expires_at: Some(world.at(60)), ..world.client() });
        let mut grant = world.grant(Subject::Service(granted.client.id.clone()));
        grant.client = granted.client.id.clone();
        let mut tx = world.begin().await;
        tx.clients().insert(&idle).await.unwrap();
        tx.clients().insert(&granted).await.unwrap();
        tx.grants().insert(&grant).await.unwrap();
        assert_eq!(tx.clients().delete_expired(world.at(59)).await.unwrap(), 0);
        assert_eq!(tx.clients().delete_expired(world.at(60)).await.unwrap(), 1);
        assert!(tx.clients().find(&idle.client.id).await.unwrap().is_none());
        assert!(tx.clients().find(&granted.client.id).await.unwrap().is_some());
    })
    .await;
}

/// ATK-139: the one that registered itself first of those that were never used gives way; one that was used never does.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_unused_client_gives_way() {
    on_both(async |world| {
        let at =
            |seconds| NewClient { expires_at: Some(world.at(600)), created_at: world.at(seconds), ..world.client() };
        let [used, first, second] = [0, 1, 2].map(at);
        let mut document = NewClient { created_at: world.now, ..world.client() };
        document.client.origin = ClientOrigin::MetadataDocument;
        let mut tx = world.begin().await;
        for client in [&second, &used, &first, &document] {
            tx.clients().insert(client).await.unwrap();
        }
        tx.clients().touch(&used.client.id, world.at(3)).await.unwrap();
        for gone in [&first, &second] {
            assert!(tx.clients().forget_oldest_unused().await.unwrap());
            assert!(tx.clients().find(&gone.client.id).await.unwrap().is_none());
        }
        assert!(!tx.clients().forget_oldest_unused().await.unwrap());
        assert!(tx.clients().find(&used.client.id).await.unwrap().is_some());
        assert!(tx.clients().find(&document.client.id).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_a_client_ends_its_grants_and_what_was_derived_from_them() {
    on_both(async |world| {
        let client = world.client();
        let user = world.kept_user("ada").await;
        let mut grant = world.grant(Subject::User(user.id));
        grant.client = client.client.id.clone();
        let derived = world.derived(&grant);
        let other = world.grant(Subject::User(user.id));
        keep(&world.store, &[&grant, &derived, &other]).await;
        let mut tx = world.begin().await;
        tx.clients().insert(&client).await.unwrap();
        assert!(tx.clients().remove(&client.client.id, world.at(1)).await.unwrap());
        assert!(!tx.clients().remove(&client.client.id, world.at(1)).await.unwrap());
        assert!(tx.clients().find(&client.client.id).await.unwrap().is_none());
        for (id, revoked) in [(grant.id, true), (derived.id, true), (other.id, false)] {
            assert_eq!(tx.grants().find(id).await.unwrap().unwrap().revoked_at.is_some(), revoked);
        }
    })
    .await;
}

/// A disabled client in the middle of a path stops everything that came through it.
#[tokio::test(flavor = "multi_thread")]
async fn disabling_a_client_stops_its_grants_and_those_derived_from_them() {
    on_both(async |world| {
        let client = world.client();
        let user = world.kept_user("ada").await;
        let mut grant = world.grant(Subject::User(user.id));
        grant.client = client.client.id.clone();
        let derived = world.derived(&grant);
        keep(&world.store, &[&grant, &derived]).await;
        let mut tx = world.begin().await;
        tx.clients().insert(&client).await.unwrap();
        let before = tx.grants().alive(grant.id).await.unwrap().unwrap();
        assert!(!before.client_disabled);
        assert!(tx.clients().set_disabled(&client.client.id, true).await.unwrap());
        for id in [grant.id, derived.id] {
            assert!(tx.grants().alive(id).await.unwrap().unwrap().client_disabled);
        }
        assert!(tx.clients().set_disabled(&client.client.id, false).await.unwrap());
        let after = tx.grants().alive(grant.id).await.unwrap().unwrap();
        assert!(
            !after.client_disabled && !after.honours(before.epoch, world.now) && after.honours(after.epoch, world.now)
        );
        assert!(!tx.clients().set_disabled(&world.client_id(), true).await.unwrap());
    })
    .await;
}

/// ATK-35: an assertion is one of its client: the same `jti` of another client is another.
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_taken_once_for_each_client() {
    on_both(async |world| {
        let mut tx = world.begin().await;
        let end = world.at(300);
        assert!(tx.assertions().take("one", &digest("jti"), end, world.now).await.unwrap());
        assert!(!tx.assertions().take("one", &digest("jti"), world.at(600), world.at(1)).await.unwrap());
        assert!(tx.assertions().take("two", &digest("jti"), end, world.now).await.unwrap());
        assert!(tx.assertions().take("one", &digest("another"), end, world.now).await.unwrap());
    })
    .await;
}
