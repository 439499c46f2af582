//! Accounts that people link for servers, and the steps on the way to one.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::after;
use sekisho_protocol::ids::{NodeId, UserId};
use sekisho_store::{
    AccountKey, BrowserSession, ChangeKind, LinkFlow, LinkStep, LinkTaker, NewLinkedAccount, Renewed, SecretBytes,
    SecretKey, SignInMethod, StoreError,
};

use crate::harness::{World, announced, on_both, race, winners};
use crate::things::{digest, server};

fn key(user: UserId) -> AccountKey {
    AccountKey { user, server: server("files") }
}

fn secret(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

/// Links an account whose token is this text.
async fn link(world: &World, key: &AccountKey, account: &str, token: &str) {
    let mut tx = world.begin().await;
    let secret = secret(token);
    let new = NewLinkedAccount {
        key,
        issuer: "https://vendor.example",
        account: Some(account),
        scopes: Some("files"),
        secret: &secret,
        token_expires_at: Some(world.at(60)),
    };
    tx.linked_accounts().put(&new, world.now).await.unwrap();
    tx.commit().await.unwrap();
}

/// What is stored of an account: its name, its opened token, and its generation.
async fn stored(world: &World, key: &AccountKey) -> Option<(String, String, i64)> {
    let found = world.store.read().await.unwrap().linked_accounts().find(key).await.unwrap()?;
    let opened = world.store.open_account(&found).unwrap();
    let token = String::from_utf8(opened.expose().to_vec()).unwrap();
    Some((found.account.unwrap_or_default(), token, found.generation))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_linked_replaced_used_and_removed() {
    on_both(async |world| {
        let (ada, bob) = (key(world.kept_user("ada").await.id), key(world.kept_user("bob").await.id));
        assert_eq!(stored(&world, &ada).await, None);
        link(&world, &ada, "one", "hush-1").await;
        link(&world, &bob, "bobs", "hush-2").await;
        assert_eq!(stored(&world, &ada).await, Some(("one".to_owned(), "hush-1".to_owned(), 1)));
        link(&world, &ada, "two", "hush-3").await;
        assert_eq!(stored(&world, &ada).await, Some(("two".to_owned(), "hush-3".to_owned(), 2)));
        let mut tx = world.begin().await;
        let listed = tx.linked_accounts().list(None).await.unwrap();
        assert_eq!(listed.len(), 2);
        assert!(!format!("{listed:?}").contains("hush"), "{listed:?}");
        assert_eq!(tx.linked_accounts().list(Some(bob.user)).await.unwrap().len(), 1);
        tx.linked_accounts().touch(&ada, world.at(30)).await.unwrap();
        tx.linked_accounts().touch(&ada, world.at(20)).await.unwrap();
        assert_eq!(tx.linked_accounts().find(&ada).await.unwrap().unwrap().last_used_at, Some(world.at(30)));
        assert!(tx.linked_accounts().end(&ada, 2, "refused").await.unwrap());
        assert!(!tx.linked_accounts().end(&ada, 2, "again").await.unwrap());
        assert!(!tx.linked_accounts().end(&bob, 7, "an older token").await.unwrap());
        let ended = tx.linked_accounts().find(&ada).await.unwrap().unwrap().ended_reason;
        assert_eq!(ended.as_deref(), Some("refused"));
        tx.commit().await.unwrap();
        // What is sealed for one account opens as no other, and only with the seal key.
        let raw = world.raw().await.blobs("SELECT secret AS found FROM linked_accounts").await;
        assert!(raw.iter().all(|bytes| !bytes.windows(4).any(|part| part == b"hush")), "{raw:?}");
        let told = announced(&world, async |tx| {
            assert!(tx.linked_accounts().remove(&ada).await.unwrap().is_some());
            assert!(tx.linked_accounts().remove(&ada).await.unwrap().is_none());
        });
        assert_eq!(told.await, [(ChangeKind::LinkedAccount, ada.change())]);
        assert_eq!(AccountKey::read_change(&ada.change()), Some(ada.clone()));
        assert_eq!(stored(&world, &ada).await, None);
    })
    .await;
}

/// ATK-415: of many processes whose token ends at the same moment, one renews it. A lease ends by itself, and what its
/// holder brings afterwards is not stored; an account that was linked anew meanwhile keeps its own token.
#[tokio::test(flavor = "multi_thread")]
async fn one_process_at_a_time_renews_a_token() {
    on_both(async |world| {
        let ada = key(world.kept_user("ada").await.id);
        link(&world, &ada, "one", "hush-1").await;
        let (now, end) = (world.now, world.at(20));
        let lease = |key: AccountKey, name: String| {
            move |store: sekisho_store::Store| async move {
                let mut tx = store.begin().await?;
                let taken = tx.linked_accounts().lease(&key, 1, (&name, end), now).await?;
                tx.commit().await?;
                Ok::<_, StoreError>(taken)
            }
        };
        let found = race(&world, |store, number| lease(ada.clone(), format!("node {number}"))(store)).await;
        assert_eq!(winners(found), 1);
        let node = NodeId::generate(world.now, world.entropy.as_ref());
        let mut tx = world.begin().await;
        let mine = format!("{node} mine");
        // Nobody else has it before it ends, and not for an older token.
        assert!(!tx.linked_accounts().lease(&ada, 1, (&mine, world.at(40)), world.at(19)).await.unwrap());
        assert!(!tx.linked_accounts().lease(&ada, 0, (&mine, world.at(40)), world.at(20)).await.unwrap());
        assert!(tx.linked_accounts().lease(&ada, 1, (&mine, world.at(40)), world.at(20)).await.unwrap());
        let next = secret("hush-2");
        let renewed = Renewed {
            issuer: "https://vendor.example",
            scopes: None,
            secret: &next,
            token_expires_at: Some(world.at(90)),
        };
        assert!(!tx.linked_accounts().renew(&ada, "node 1", &renewed).await.unwrap(), "its lease has passed");
        assert!(tx.linked_accounts().renew(&ada, &mine, &renewed).await.unwrap());
        assert!(!tx.linked_accounts().renew(&ada, &mine, &renewed).await.unwrap(), "a lease is used once");
        tx.commit().await.unwrap();
        assert_eq!(stored(&world, &ada).await, Some(("one".to_owned(), "hush-2".to_owned(), 2)));
        // A process that was started anew ends the leases of its last one.
        let mut tx = world.begin().await;
        assert!(tx.linked_accounts().lease(&ada, 2, (&mine, world.at(60)), world.at(41)).await.unwrap());
        assert_eq!(tx.linked_accounts().release_of_node(node).await.unwrap(), 1);
        assert!(tx.linked_accounts().lease(&ada, 2, ("other x", world.at(60)), world.at(41)).await.unwrap());
        assert!(!tx.linked_accounts().release(&ada, &mine).await.unwrap());
        tx.commit().await.unwrap();
        link(&world, &ada, "another", "hush-3").await;
        let mut tx = world.begin().await;
        assert!(!tx.linked_accounts().renew(&ada, "other x", &renewed).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(stored(&world, &ada).await, Some(("another".to_owned(), "hush-3".to_owned(), 3)));
    })
    .await;
}

/// A user's accounts are gone with the user.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_gone_with_their_user() {
    on_both(async |world| {
        let ada = key(world.kept_user("ada").await.id);
        link(&world, &ada, "one", "hush-1").await;
        let mut tx = world.begin().await;
        assert!(tx.users().remove(ada.user).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(stored(&world, &ada).await, None);
    })
    .await;
}

async fn session(world: &World, user: UserId, word: &str) -> Digest {
    let row = BrowserSession {
        digest: digest(word),
        user,
        csrf: SecretKey::from_bytes([1; 32]),
        created_at: world.now,
        expires_at: world.at(7200),
        authenticated_at: world.now,
        method: SignInMethod::Password,
        browser: "Firefox, Linux".to_owned(),
        seen_at: world.now,
    };
    let mut tx = world.begin().await;
    tx.browser_sessions().insert(&row).await.unwrap();
    tx.commit().await.unwrap();
    row.digest
}

/// ATK-400, ATK-401: a step is taken once, by the browser and the session that began it, on its own server's page, within
/// its ten minutes, and while its person is signed in and not shut out. Whoever tries otherwise takes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_a_link_is_taken_once_by_its_own_browser() {
    on_both(async |world| {
        let (ada, bob) = (world.kept_user("ada").await, world.kept_user("bob").await);
        let (hers, his) = (session(&world, ada.id, "hers").await, session(&world, bob.id, "his").await);
        let (files, more, browser, other) = (server("files"), server("more"), digest("browser"), digest("other"));
        let flow = |word: &str| LinkFlow {
            digest: digest(word),
            step: LinkStep::Sent,
            user: ada.id,
            server: files.clone(),
            browser,
            session: hers,
            kept: secret("hush"),
            expires_at: after(world.now, 600),
        };
        let mut tx = world.begin().await;
        for word in ["one", "two", "three", "late"] {
            tx.link_flows().insert(&flow(word)).await.unwrap();
        }
        tx.commit().await.unwrap();
        let one = digest("one");
        let good =
            LinkTaker { digest: &one, step: LinkStep::Sent, server: &files, browser: &browser, session: Some(&hers) };
        let mut tx = world.begin().await;
        for wrong in [
            LinkTaker { browser: &other, ..good },
            LinkTaker { session: Some(&his), ..good },
            LinkTaker { server: &more, ..good },
            LinkTaker { step: LinkStep::Confirm, ..good },
            LinkTaker { digest: &other, ..good },
        ] {
            assert!(tx.link_flows().consume(wrong, world.now).await.unwrap().is_none(), "{wrong:?}");
            assert!(tx.link_flows().find(wrong, world.now).await.unwrap().is_none(), "{wrong:?}");
        }
        assert!(tx.link_flows().consume(good, world.at(600)).await.unwrap().is_none(), "its ten minutes are over");
        assert!(tx.link_flows().find(good, world.at(599)).await.unwrap().is_some());
        let taken = tx.link_flows().consume(good, world.at(599)).await.unwrap().unwrap();
        assert_eq!((taken.user, taken.kept.expose()), (ada.id, b"hush".as_slice()));
        assert!(tx.link_flows().consume(good, world.now).await.unwrap().is_none(), "it was taken");
        // Without a session to compare, it still has to be alive.
        let two = digest("two");
        let two = LinkTaker { digest: &two, session: None, ..good };
        assert!(tx.link_flows().consume(two, world.now).await.unwrap().is_some());
        tx.browser_sessions().delete(&hers, world.now).await.unwrap();
        let three = digest("three");
        let three = LinkTaker { digest: &three, session: None, ..good };
        assert!(tx.link_flows().consume(three, world.now).await.unwrap().is_none(), "she has signed out");
        tx.commit().await.unwrap();
        world.store.sweep(world.at(601)).await.unwrap();
        let left = world.raw().await.blobs("SELECT kept AS found FROM link_flows").await;
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}
