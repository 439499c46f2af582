use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::secret::{AccessToken, ClientSecret, RefreshToken};

use super::{FileStore, StoreError, StoreKey, TokenStore as _, Tokens};
use crate::fixtures::{ISSUER, registration, resource_id};
use crate::registration::Registration;
use crate::signing::DpopKey;

fn store(folder: &Path, key: u8) -> FileStore {
    FileStore::open(folder.join("client"), StoreKey::new([key; 32])).unwrap()
}

fn tokens() -> Tokens {
    Tokens {
        issuer: ISSUER.to_owned(),
        resource: resource_id(),
        access: AccessToken::from_outside("CANARY-access"),
        refresh: Some(RefreshToken::from_outside("CANARY-refresh")),
        expires: Some(jiff::Timestamp::from_second(4711).unwrap()),
        scopes: Some("mcp:read".parse().unwrap()),
        asked: Some("mcp:read mcp:write".parse().unwrap()),
        dpop: Some(Arc::new(DpopKey::generate().unwrap())),
    }
}

/// CL-38, CL-06, CL-18: what is kept comes back whole, by resource and by issuer; nobody else can read it, and no
/// secret is in it.
#[test]
fn what_is_kept_comes_back_and_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path(), 1);
    assert_eq!(kept.tokens(&resource_id()).unwrap(), None);
    kept.keep_tokens(&resource_id(), &tokens()).unwrap();
    let secret = Registration { secret: Some(ClientSecret::from_outside("CANARY-secret")), ..registration() };
    kept.keep_registration(&secret).unwrap();

    let again = store(folder.path(), 1);
    let found = again.tokens(&resource_id()).unwrap().unwrap();
    assert_eq!(found.access, tokens().access);
    assert_eq!((found.refresh, found.expires, found.scopes), (tokens().refresh, tokens().expires, tokens().scopes));
    assert!(found.dpop.is_some());
    assert_eq!(again.registration(ISSUER).unwrap(), Some(secret));
    assert_eq!(again.registrations().unwrap().len(), 1);
    let other = ResourceId::parse("https://server.test/mcp/other").unwrap();
    assert_eq!(again.tokens(&other).unwrap(), None);
    assert_eq!(again.registration("https://other.test").unwrap(), None);
    assert_eq!(again.all_tokens().unwrap().len(), 1);

    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("client")), 0o700);
    for file in std::fs::read_dir(folder.path().join("client")).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
        assert!(!String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains("CANARY"), "{path:?}");
    }

    again.forget_tokens(&resource_id()).unwrap();
    again.forget_tokens(&resource_id()).unwrap();
    again.forget_registration(ISSUER).unwrap();
    assert_eq!(kept.tokens(&resource_id()).unwrap(), None);
    assert_eq!(kept.registration(ISSUER).unwrap(), None);
}

/// What was changed, was sealed under another key, or lies under another name is refused and not read.
#[test]
fn what_is_not_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path(), 1);
    kept.keep_tokens(&resource_id(), &tokens()).unwrap();
    let refused =
        |store: &FileStore, resource: &ResourceId| matches!(store.tokens(resource), Err(StoreError::Broken { .. }));
    assert!(refused(&store(folder.path(), 2), &resource_id()));
    let other = ResourceId::parse("https://server.test/mcp/other").unwrap();
    std::fs::copy(kept.tokens_path(&resource_id()), kept.tokens_path(&other)).unwrap();
    assert!(refused(&kept, &other));
    let path = kept.tokens_path(&resource_id());
    let sealed = std::fs::read(&path).unwrap();
    for at in [0, 5, 20, sealed.len() - 1] {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        assert!(refused(&kept, &resource_id()), "{at}");
    }
    for length in [0, 1, 12, 20] {
        std::fs::write(&path, &sealed[..length]).unwrap();
        assert!(refused(&kept, &resource_id()), "{length}");
    }
}

/// One at a time has its turn, whoever opened the store; whoever waits too long is told so.
#[tokio::test]
async fn turns_are_taken_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (store(folder.path(), 1), store(folder.path(), 1));
    let turn = one.turn(&resource_id()).await.unwrap();
    let hasty = store(folder.path(), 1).patient_for(Duration::from_millis(1));
    assert!(matches!(hasty.turn(&resource_id()).await, Err(StoreError::Busy { .. })));
    let elsewhere = ResourceId::parse("https://server.test/mcp/other").unwrap();
    hasty.turn(&elsewhere).await.unwrap();
    let resource = resource_id();
    let mut waiting = std::pin::pin!(other.turn(&resource));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop(turn);
    waiting.await.unwrap();
}
