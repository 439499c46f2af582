//! The stations of a login: the request, the code, the refresh tokens.

use sekisho_store::{CODE_FAILURES_MAX, Pending, SecretKey, StoreError};

use crate::harness::on_both;
use crate::things::{digest, keep};

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_request_belongs_to_the_first_browser_and_is_answered_once() {
    on_both(async |world| {
        let pending = world.pending();
        let ada = world.user("ada").id;
        let (mine, yours) = (digest("my cookie"), digest("your cookie"));
        let mut tx = world.begin().await;
        tx.pendings().insert(&pending).await.unwrap();
        assert_eq!(tx.pendings().find(pending.id).await.unwrap(), Some(pending.clone()));
        assert!(tx.pendings().bind(pending.id, &mine, None).await.unwrap());
        assert!(!tx.pendings().bind(pending.id, &yours, Some(ada)).await.unwrap());
        assert!(tx.pendings().bind(pending.id, &mine, Some(ada)).await.unwrap());
        assert!(tx.pendings().bind(pending.id, &mine, None).await.unwrap());
        let bound = Pending { browser: Some(mine), user: Some(ada), ..pending.clone() };
        assert_eq!(tx.pendings().find(pending.id).await.unwrap(), Some(bound));
        assert!(!tx.pendings().answer(pending.id, pending.expires_at).await.unwrap());
        assert!(tx.pendings().answer(pending.id, world.at(1)).await.unwrap());
        assert!(!tx.pendings().answer(pending.id, world.at(1)).await.unwrap());
        assert!(!tx.pendings().bind(pending.id, &mine, None).await.unwrap());
        assert_eq!(tx.pendings().find(pending.id).await.unwrap().unwrap().answered_at, Some(world.at(1)));
        assert_eq!(tx.pendings().find(world.pending().id).await.unwrap(), None);
    })
    .await;
}

/// AS-21: once, and not after its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_works_only_once_and_not_late() {
    on_both(async |world| {
        let (code, late) = (world.code("code"), world.code("late"));
        let grant = world.grant_id();
        let mut tx = world.begin().await;
        tx.codes().insert(&code).await.unwrap();
        tx.codes().insert(&late).await.unwrap();
        assert_eq!(tx.codes().find(&code.digest).await.unwrap(), Some(code.clone()));
        assert!(tx.codes().consume(&code.digest, grant, world.at(59)).await.unwrap());
        assert!(!tx.codes().consume(&code.digest, world.grant_id(), world.at(59)).await.unwrap());
        let used = tx.codes().find(&code.digest).await.unwrap().unwrap();
        assert_eq!((used.used_at, used.grant), (Some(world.at(59)), Some(grant)));
        assert!(!tx.codes().consume(&late.digest, grant, world.at(60)).await.unwrap());
        assert!(!tx.codes().consume(&digest("unknown"), grant, world.now).await.unwrap());
        assert_eq!(tx.codes().find(&digest("unknown")).await.unwrap(), None);
    })
    .await;
}

/// ATK-20: a stranger's wrong attempts do not end a grant, but they end a code.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_does_not_survive_too_many_wrong_attempts() {
    on_both(async |world| {
        let code = world.code("code");
        let mut tx = world.begin().await;
        tx.codes().insert(&code).await.unwrap();
        for count in 1..CODE_FAILURES_MAX {
            assert_eq!(tx.codes().fail(&code.digest).await.unwrap(), count);
        }
        tx.commit().await.unwrap();
        let mut tx = world.begin().await;
        assert!(tx.codes().consume(&code.digest, world.grant_id(), world.now).await.unwrap());
        tx.rollback().await.unwrap();
        let mut tx = world.begin().await;
        assert_eq!(tx.codes().fail(&code.digest).await.unwrap(), CODE_FAILURES_MAX);
        assert!(!tx.codes().consume(&code.digest, world.grant_id(), world.now).await.unwrap());
        assert_eq!(tx.codes().fail(&digest("unknown")).await.unwrap(), 0);
    })
    .await;
}

/// AS-13, ATK-36: every rotation leaves exactly one token that works.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_family_has_one_live_token() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        let grant = world.grant(sekisho_protocol::caller::Subject::User(user.id));
        keep(&world.store, &[&grant]).await;
        let key = SecretKey::generate(&*world.entropy);
        let words = ["first", "second", "third"];
        let end = world.at(1000);
        let mut tx = world.begin().await;
        let mut tokens = tx.refresh_tokens();
        tokens.insert_first(grant.id, &digest("first"), &key, world.now, end).await.unwrap();
        assert!(tokens.is_unused(&digest("first")).await.unwrap());
        assert!(tokens.rotate(&digest("first"), &digest("second"), world.at(1), end).await.unwrap());
        assert!(!tokens.rotate(&digest("first"), &digest("other"), world.at(2), end).await.unwrap());
        assert!(tokens.rotate(&digest("second"), &digest("third"), world.at(2), end).await.unwrap());
        for (generation, word) in (0..).zip(words) {
            let row = tokens.find(&digest(word)).await.unwrap().unwrap();
            assert_eq!(
                (row.digest, row.grant, row.generation, row.expires_at),
                (digest(word), grant.id, generation, end)
            );
            assert_eq!(row.family_key.expose(), key.expose());
            assert_eq!(row.successor, words.get(generation as usize + 1).map(|next| digest(next)));
            assert_eq!(row.used_at.is_none(), tokens.is_unused(&digest(word)).await.unwrap());
            assert_eq!(row.used_at.is_none(), word == "third");
        }
        assert!(!tokens.is_unused(&digest("other")).await.unwrap());
        assert!(!tokens.rotate(&digest("third"), &digest("late"), end, world.at(2000)).await.unwrap());
        assert_eq!(tokens.delete_of_grant(grant.id).await.unwrap(), 3);
        assert!(tokens.find(&digest("third")).await.unwrap().is_none());
    })
    .await;
}

/// ATK-19: with its grant the family ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_of_an_ended_grant_is_not_rotated() {
    on_both(async |world| {
        let user = world.kept_user("ada").await;
        let grant = world.kept_family("first", user.id).await;
        let mut tx = world.begin().await;
        let error = tx
            .refresh_tokens()
            .insert_first(grant.id, &digest("x"), &SecretKey::from_bytes([1; 32]), world.now, world.at(9))
            .await;
        assert!(matches!(error, Err(StoreError::Conflict { .. })), "{error:?}");
        tx.rollback().await.unwrap();
        let mut tx = world.begin().await;
        assert!(tx.grants().revoke(grant.id, "test", world.at(1)).await.unwrap());
        assert!(
            !tx.refresh_tokens().rotate(&digest("first"), &digest("second"), world.at(2), world.at(9)).await.unwrap()
        );
    })
    .await;
}
