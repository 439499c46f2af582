//! Grants that tokens of external authorization servers brought.

use sekisho_protocol::caller::Subject;
use sekisho_store::{GrantIssuer, NewGrant, StoreError};

use crate::harness::on_both;
use crate::things::scopes;

const ISSUER: GrantIssuer<'static> = GrantIssuer { issuer: "https://login.example", subject: "ada-1" };

/// ATK-390: there is one grant for each user, client and server. It is found when it has ended, until it is released.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_grant_of_an_issuer_is_found_until_it_is_released() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        let subject = Subject::User(user.id);
        let first = world.grant(subject.clone());
        let second = NewGrant { id: world.grant_id(), ..first.clone() };
        let mut tx = world.begin().await;
        // A grant of our own issuer is not one of them.
        tx.grants().insert(&NewGrant { id: world.grant_id(), ..first.clone() }).await.unwrap();
        assert_eq!(tx.grants().find_external(&subject, &first.client, &first.server).await.unwrap(), None);
        tx.grants().insert_external(&first, ISSUER).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = world.begin().await;
        let clash = tx.grants().insert_external(&second, ISSUER).await;
        assert!(matches!(clash, Err(StoreError::Conflict { .. })), "{clash:?}");
        drop(tx);
        let mut tx = world.begin().await;
        let found = tx.grants().find_external(&subject, &first.client, &first.server).await.unwrap().unwrap();
        assert_eq!((found.id, found.issuer.as_deref(), found.keeps_out()), (first.id, Some(ISSUER.issuer), false));
        assert!(tx.grants().set_scopes(first.id, &scopes("mcp:write")).await.unwrap());
        assert!(!tx.grants().release(first.id, world.now).await.unwrap(), "it lives");
        assert!(tx.grants().revoke(first.id, "test", world.now).await.unwrap());
        assert!(!tx.grants().set_scopes(first.id, &scopes("mcp:read")).await.unwrap(), "it has ended");
        let found = tx.grants().find_external(&subject, &first.client, &first.server).await.unwrap().unwrap();
        assert!(found.keeps_out() && found.scopes == scopes("mcp:write"));
        assert!(tx.grants().release(first.id, world.now).await.unwrap());
        assert!(!tx.grants().release(first.id, world.now).await.unwrap(), "it works once");
        assert_eq!(tx.grants().find_external(&subject, &first.client, &first.server).await.unwrap(), None);
        tx.grants().insert_external(&second, ISSUER).await.unwrap();
        // Unlinking an account ends what its tokens brought, and nothing else.
        assert_eq!(tx.grants().revoke_of_identity(user.id, "bob-1", "test", world.now).await.unwrap(), 0);
        assert_eq!(tx.grants().revoke_of_identity(user.id, ISSUER.subject, "test", world.now).await.unwrap(), 1);
        let ended = tx.grants().find(second.id).await.unwrap().unwrap();
        assert!(ended.revoked_at.is_some());
        tx.commit().await.unwrap();
    })
    .await;
}
