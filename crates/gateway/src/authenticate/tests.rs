//! The header as data, and the cache of grants against a real store.

use std::sync::Arc;

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue};
use sekisho_protocol::caller::{ActorPath, Subject};
use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy, Timestamp, after};
use sekisho_protocol::ids::{ClientId, GrantId, UserId};
use sekisho_protocol::registration::{Client, ClientAuthentication, ClientOrigin};
use sekisho_protocol::scope::ScopeSet;
use sekisho_store::{NewClient, NewGrant, SealKey, Store, StoreSettings, StoreUrl, User};

use super::{AuthenticateError, GrantSnapshot, Grants, b64token, bearer};

fn headers(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append("authorization", HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// RS-13, ATK-47: every shape of the header is a token, absent, or malformed; nothing is guessed.
#[test]
fn an_authorization_header_is_a_token_or_absent_or_malformed() {
    for (values, expected) in [
        (&[][..], "missing"),
        (&["Bearer abc"], "abc"),
        (&["bearer abc"], "abc"),
        (&["BEARER  abc "], "abc"),
        (&["Bearer abc=="], "abc=="),
        (&["Basic dXNlcjpwYXNz"], "missing"),
        (&["DPoP abc"], "missing"),
        (&["Bearer"], "malformed"),
        (&["Bearer "], "malformed"),
        (&["Bearer ="], "malformed"),
        (&["Bearer a=b"], "malformed"),
        (&["Bearer a b"], "malformed"),
        (&["Bearer a,Bearer b"], "malformed"),
        (&["Bearer \"abc\""], "malformed"),
        (&["Bearer\tabc"], "malformed"),
        (&["Bearer \tabc"], "malformed"),
        (&["Bearer é"], "malformed"),
        (&[""], "malformed"),
        (&[" abc"], "malformed"),
        (&["Bearer abc", "Bearer abc"], "malformed"),
        (&["Bearer abc", "Basic abc"], "malformed"),
    ] {
        let found = match bearer(&headers(values)).and_then(b64token) {
            Ok(token) => token.to_owned(),
            Err(AuthenticateError::Missing) => "missing".to_owned(),
            Err(AuthenticateError::Malformed) => "malformed".to_owned(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, expected, "{values:?}");
    }
}

/// A store with one grant in it, and the cache of what is known of it.
struct World {
    grants: Grants,
    store: Store,
    grant: GrantId,
    now: Timestamp,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (entropy, now) = (SeededEntropy::default(), ManualClock::default().now());
        let url = StoreUrl::Sqlite(folder.path().join("store.db"));
        let store = Store::open(StoreSettings::new(url, SealKey::generate(&entropy))).await.unwrap();
        let (user, grant) = (UserId::generate(now, &entropy), GrantId::generate(now, &entropy));
        let client = Client {
            id: ClientId::parse("cli_a").unwrap(),
            origin: ClientOrigin::Registered,
            name: "A".to_owned(),
            redirect_uris: vec![],
            authentication: ClientAuthentication::None,
            refresh: true,
            jwks: None,
            jwks_uri: None,
            disabled: false,
        };
        let new = NewGrant {
            id: grant,
            subject: Subject::User(user),
            client: client.id.clone(),
            server: "notes".parse().unwrap(),
            resource: "https://sekisho.example/mcp/notes".to_owned(),
            scopes: ScopeSet::empty(),
            path: ActorPath::direct(client.id.clone()),
            parent: None,
            task: None,
            created_at: now,
            expires_at: None,
        };
        let user = User {
            id: user,
            name: "owner".to_owned(),
            password: None,
            role: sekisho_protocol::role::Role::Owner,
            disabled: false,
            created_at: now,
            epoch: 0,
        };
        let mut tx = store.begin().await.unwrap();
        tx.users().insert(&user).await.unwrap();
        tx.clients().insert(&NewClient { client, secret: None, created_at: now, expires_at: None }).await.unwrap();
        tx.grants().insert(&new).await.unwrap();
        tx.commit().await.unwrap();
        Self { grants: Grants::new(8, store.clone()), store, grant, now, _folder: folder }
    }

    async fn snapshot(&self) -> Arc<GrantSnapshot> {
        self.grants.snapshot(self.grant).await.unwrap()
    }

    async fn lives(&self, grant: GrantId) -> bool {
        self.grants.alive_among(&[grant], self.now).await.is_ok_and(|alive| alive.contains(&grant))
    }

    async fn revoke(&self) {
        let mut tx = self.store.begin().await.unwrap();
        assert!(tx.grants().revoke(self.grant, "test", self.now).await.unwrap());
        tx.commit().await.unwrap();
    }
}

/// ATK-59: what is known of a grant is read once, until the feed says that it, or anything, changed.
#[tokio::test]
async fn a_grant_is_read_once_until_it_may_have_changed() {
    let world = World::new().await;
    let first = world.snapshot().await;
    assert!(first.honours(Some(0), world.now));
    assert!(Arc::ptr_eq(&first, &world.snapshot().await));
    assert!(world.grants.is_current(&first));
    world.grants.forget(world.grant);
    assert!(!world.grants.is_current(&first));
    let second = world.snapshot().await;
    assert!(!Arc::ptr_eq(&first, &second));
    world.grants.forget(GrantId::generate(world.now, &SeededEntropy::from_seed(2)));
    assert!(world.grants.is_current(&second));
    assert!(Arc::ptr_eq(&second, &world.snapshot().await));
    world.grants.forget_all();
    assert!(!world.grants.is_current(&second));
    let third = world.snapshot().await;
    assert!(!Arc::ptr_eq(&second, &third));
    assert!(world.grants.is_current(&third));
}

/// ATK-59: a result is not remembered if the grant changed while it was read.
#[tokio::test]
async fn a_reading_that_a_change_overtakes_is_not_remembered() {
    let world = World::new().await;
    // If the database answers before the first poll is over, the change did not come in between: try again.
    let read = loop {
        world.grants.forget(world.grant);
        let mut reading = Box::pin(world.grants.snapshot(world.grant));
        if (&mut reading).now_or_never().is_none() {
            world.grants.forget(world.grant);
            break reading.await.unwrap();
        }
    };
    assert!(!Arc::ptr_eq(&read, &world.snapshot().await));
    assert!(!world.grants.is_current(&read));
}

/// ATK-59: authority that was established before holds while nothing changes, and is checked in the store again after a
/// change.
#[tokio::test]
async fn what_was_established_before_is_asked_again_after_a_change() {
    let world = World::new().await;
    let snapshot = world.snapshot().await;
    let stands = async || world.grants.still_stands(world.grant, &snapshot, world.now).await.is_ok();
    assert!(stands().await && world.lives(world.grant).await);
    world.grants.forget(world.grant);
    assert!(stands().await && world.lives(world.grant).await);
    world.revoke().await;
    world.grants.forget(world.grant);
    assert!(!stands().await && !world.lives(world.grant).await);
    // A grant that never existed.
    let nobodys = GrantId::generate(world.now, &SeededEntropy::from_seed(2));
    let snapshot = world.grants.snapshot(nobodys).await.unwrap();
    world.grants.forget(nobodys);
    let nobody = world.grants.still_stands(nobodys, &snapshot, world.now).await;
    assert!(matches!(nobody, Err(AuthenticateError::Ended)), "{nobody:?}");
    assert!(!world.lives(nobodys).await);
}

/// Product §7: while the store is unreachable nothing counts as known, and when it is back nothing from before does.
#[tokio::test]
async fn what_was_known_before_the_store_went_away_is_not_known_after() {
    let world = World::new().await;
    let before = world.snapshot().await;
    // Setting the same state again is not reported as news, and changes nothing.
    assert!(!world.grants.set_down(false));
    assert!(world.grants.is_current(&before));
    assert!(Arc::ptr_eq(&before, &world.snapshot().await));
    assert!(world.grants.set_down(true));
    assert!(!world.grants.set_down(true));
    assert!(world.grants.is_down() && !world.grants.is_current(&before));
    let meanwhile = world.snapshot().await;
    assert!(!Arc::ptr_eq(&before, &meanwhile));
    let last = world.snapshot().await;
    assert!(!Arc::ptr_eq(&meanwhile, &last));
    assert!(world.grants.set_down(false));
    assert!(!world.grants.is_down() && !world.grants.is_current(&before));
    let after = world.snapshot().await;
    assert!(!Arc::ptr_eq(&last, &after) && world.grants.is_current(&after));
    world.store.close().await;
    world.grants.forget(world.grant);
    let unknown = world.grants.still_stands(world.grant, &after, world.now).await;
    assert!(matches!(unknown, Err(AuthenticateError::Unavailable(_))), "{unknown:?}");
    assert!(!world.lives(world.grant).await);
}

/// A grant that was replaced is honoured until its new end and not after, once the feed has told of it.
#[tokio::test]
async fn an_end_that_is_brought_forward_holds_after_the_change() {
    let world = World::new().await;
    let (soon, then) = (after(world.now, 59), after(world.now, 60));
    assert!(world.snapshot().await.honours(Some(0), then));
    let mut tx = world.store.begin().await.unwrap();
    assert!(tx.grants().end_at(world.grant, then).await.unwrap());
    tx.commit().await.unwrap();
    world.grants.forget(world.grant);
    let snapshot = world.snapshot().await;
    assert!(snapshot.honours(Some(0), soon) && !snapshot.honours(Some(0), then));
}
