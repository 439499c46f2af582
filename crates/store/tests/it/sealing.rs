//! What is sealed cannot be read, moved or opened with another key by whoever has the database.

use sekisho_protocol::env::SeededEntropy;
use sekisho_protocol::ids::KeyId;
use sekisho_protocol::secret::UpstreamSecret;
use sekisho_store::{
    BrowserSession, SealError, SealKey, SecretBytes, SecretKey, SignInMethod, SigningKeyRow, Store, StoreError,
    StoreSettings, StoreUrl,
};

use crate::harness::{World, on_both, patient};
use crate::things::{digest, server};

const MARKER: [u8; 32] = *b"a secret that nobody must find!!";

/// One secret of every kind that is sealed, each the marker.
async fn keep_secrets(world: &World) {
    let user = world.kept_user("ada").await.id;
    let marker = SecretKey::from_bytes(MARKER);
    let grant = world.grant(sekisho_protocol::caller::Subject::User(user));
    let mut tx = world.begin().await;
    let secret = UpstreamSecret::from_outside(std::str::from_utf8(&MARKER).unwrap());
    tx.credentials().put(&server("notes"), "authorization", &secret).await.unwrap();
    tx.grants().insert(&grant).await.unwrap();
    tx.refresh_tokens().insert_first(grant.id, &digest("first"), &marker, world.now, world.at(60)).await.unwrap();
    let session = BrowserSession {
        digest: digest("cookie"),
        user,
        csrf: marker,
        created_at: world.now,
        expires_at: world.at(60),
        authenticated_at: world.now,
        method: SignInMethod::Password,
        browser: "Firefox, Linux".to_owned(),
        seen_at: world.now,
    };
    tx.browser_sessions().insert(&session).await.unwrap();
    let key = SigningKeyRow {
        id: KeyId::generate(world.now, &*world.entropy),
        algorithm: "EdDSA".to_owned(),
        private: SecretBytes::new(MARKER.to_vec()),
        public_jwk: "{}".to_owned(),
        created_at: world.now,
        active_from: world.now,
        retires_at: None,
        removed_at: None,
    };
    tx.keys().insert(&key).await.unwrap();
    tx.commit().await.unwrap();
}

fn holds_marker(bytes: &[u8]) -> bool {
    // Half of it would be a leak too.
    bytes.windows(16).any(|window| window == &MARKER[..16])
}

/// ATK-58, RS-37: the database's own bytes tell no secret, and the store gives each back.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_sealed_can_be_read_in_the_database() {
    on_both(async |world| {
        keep_secrets(&world).await;
        let mut tx = world.begin().await;
        let secret = tx.credentials().find(&server("notes"), "authorization").await.unwrap().unwrap();
        assert_eq!(secret.expose().as_bytes(), MARKER);
        assert_eq!(tx.refresh_tokens().find(&digest("first")).await.unwrap().unwrap().family_key.expose(), &MARKER);
        assert_eq!(
            tx.browser_sessions().find(&digest("cookie"), world.now).await.unwrap().unwrap().csrf.expose(),
            &MARKER
        );
        assert_eq!(tx.keys().list(world.now).await.unwrap()[0].private.expose(), &MARKER);
        tx.rollback().await.unwrap();
        let sealed = world
            .raw()
            .await
            .blobs(
                "SELECT secret AS found FROM credentials UNION ALL SELECT family_key FROM refresh_families
                 UNION ALL SELECT csrf FROM browser_sessions UNION ALL SELECT private FROM signing_keys",
            )
            .await;
        assert_eq!(sealed.len(), 4);
        assert!(!sealed.iter().any(|bytes| holds_marker(bytes)));
        if let StoreUrl::Sqlite(path) = &world.url {
            for entry in std::fs::read_dir(path.parent().unwrap()).unwrap() {
                let path = entry.unwrap().path();
                assert!(!holds_marker(&std::fs::read(&path).unwrap()), "{}", path.display());
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_value_moved_to_another_row_does_not_open() {
    on_both(async |world| {
        let mut tx = world.begin().await;
        tx.credentials().put(&server("mine"), "authorization", &UpstreamSecret::from_outside("mine")).await.unwrap();
        tx.credentials().put(&server("yours"), "authorization", &UpstreamSecret::from_outside("yours")).await.unwrap();
        tx.commit().await.unwrap();
        let mut raw = world.raw().await;
        raw.execute(
            "UPDATE credentials SET secret = (SELECT secret FROM credentials WHERE server = 'yours') WHERE server = 'mine'",
        )
        .await;
        let mut tx = world.begin().await;
        let error = tx.credentials().find(&server("mine"), "authorization").await.unwrap_err();
        assert!(matches!(error, StoreError::Seal(SealError::Broken)), "{error:?}");
        assert!(tx.credentials().find(&server("yours"), "authorization").await.unwrap().is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_does_not_open_with_another_seal_key() {
    on_both(async |world| {
        let other = SealKey::generate(&SeededEntropy::from_seed(9));
        let settings = StoreSettings { seal_key: other, ..patient(world.url.clone()) };
        let error = Store::open(settings).await.unwrap_err();
        assert!(matches!(error, StoreError::Seal(SealError::OtherKey)), "{error:?}");
        world.another_store().await.ping().await.unwrap();
    })
    .await;
}
