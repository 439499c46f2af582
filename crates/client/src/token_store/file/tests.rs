use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::secret::{AccessToken, ClientSecret, RefreshToken};

use super::{At, FileStore, KeptRegistration, Pin, StoreError, StoreKey, TokenStore as _, Tokens, Wait};
use crate::fixtures::{ISSUER, registration, resource_id};
use crate::registration::Registration;
use crate::signing::DpopKey;

fn store(folder: &Path, key: u8) -> FileStore {
    FileStore::open(folder.join("client"), StoreKey::new([key; 32])).unwrap()
}

fn tokens() -> Tokens {
    Tokens {
        issuer: ISSUER.to_owned(),
        client: registration(),
        resource: resource_id(),
        access: AccessToken::from_outside("CANARY-access"),
        refresh: Some(RefreshToken::from_outside("CANARY-refresh")),
        expires: Some(jiff::Timestamp::from_second(4711).unwrap()),
        scopes: Some("mcp:read".parse().unwrap()),
        asked: Some("mcp:read mcp:write".parse().unwrap()),
        dpop: Some(Arc::new(DpopKey::generate().unwrap())),
    }
}

/// CL-38, CL-06, CL-18: stored data is read back complete, by resource and by issuer; nobody else can read the files,
/// and no secret is visible in them.
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

/// A file that was changed, was sealed under another key, or has another file's name is refused.
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

/// One program at a time has its turn, whoever opened the store; a program that waits too long gets an error.
#[tokio::test]
async fn turns_are_taken_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (store(folder.path(), 1), store(folder.path(), 1));
    let resource = resource_id();
    let (server, people) = (At::Server(&resource), Wait::ForPeople);
    let turn = one.turn(server, people).await.unwrap();
    let hasty = store(folder.path(), 1).patient_for(Duration::from_millis(1));
    assert!(matches!(hasty.turn(server, people).await, Err(StoreError::Busy { .. })));
    let elsewhere = ResourceId::parse("https://server.test/mcp/other").unwrap();
    hasty.turn(At::Server(&elsewhere), people).await.unwrap();
    hasty.turn(At::Issuer(ISSUER), people).await.unwrap();
    let mut waiting = std::pin::pin!(other.turn(server, people));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    drop(turn);
    waiting.await.unwrap();
}

/// ATK-214: a program that does not wait for people gets an error while a person logs in elsewhere, and waits for other
/// exchanges.
#[tokio::test]
async fn a_person_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (store(folder.path(), 1), store(folder.path(), 1));
    let resource = resource_id();
    let turn = one.turn(At::Server(&resource), Wait::ForPeople).await.unwrap();
    let mut waiting = std::pin::pin!(other.turn(At::Server(&resource), Wait::ForPrograms));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    assert!(!other.is_visited(&resource).unwrap());
    let visit = one.turn(At::Visit(&resource), Wait::ForPrograms).await.unwrap();
    assert!(other.is_visited(&resource).unwrap());
    assert!(matches!(waiting.await, Err(StoreError::Unfinished { .. })));
    drop((visit, turn));
    assert!(!other.is_visited(&resource).unwrap());
    other.turn(At::Server(&resource), Wait::ForPrograms).await.unwrap();
}

/// ATK-204, CL-19: the first pin stays, whatever is registered or deleted.
#[test]
fn a_pin_stays_until_a_person_removes_it() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path(), 1);
    let client = registration().client;
    let pin = Pin::Client(&client);
    assert_eq!(kept.pinned(pin).unwrap(), None);
    assert_eq!(kept.pin(pin, ISSUER).unwrap(), ISSUER);
    kept.keep_registration(&registration()).unwrap();
    kept.forget_registration(ISSUER).unwrap();
    let again = store(folder.path(), 1);
    assert_eq!(again.pin(pin, "https://other.test").unwrap(), ISSUER);
    for other in [Pin::Iss(client.as_str()), Pin::Redirect(client.as_str())] {
        assert_eq!(again.pinned(other).unwrap(), None);
    }
    // A pin that cannot be opened is not replaced.
    let broken = store(folder.path(), 2);
    assert!(matches!(broken.pin(pin, "https://other.test"), Err(StoreError::Broken { .. })));
    assert!(again.unpin(pin).unwrap());
    assert!(!again.unpin(pin).unwrap());
    assert_eq!(again.pin(pin, "https://other.test").unwrap(), "https://other.test");
}

/// Files of earlier versions can be read: a pin among the registrations, and tokens without their client.
#[test]
fn what_earlier_versions_kept_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let kept = store(folder.path(), 1);
    let pinned = Registration { redirect_uris: Vec::new(), ..registration() };
    kept.keep_registration(&pinned).unwrap();
    kept.keep_registration(&Registration { issuer: "https://other.test".to_owned(), ..registration() }).unwrap();
    let again = store(folder.path(), 1);
    assert_eq!(again.pinned(Pin::Client(&pinned.client)).unwrap().as_deref(), Some(ISSUER));
    assert_eq!(again.registration(ISSUER).unwrap(), None);
    assert!(again.registration("https://other.test").unwrap().is_some());

    let mut old = super::KeptTokens::of(&resource_id(), &tokens());
    old.client = None;
    again.write(&again.tokens_path(&resource_id()), &old).unwrap();
    assert_eq!(again.tokens(&resource_id()).unwrap(), None);
    assert!(again.all_tokens().unwrap().is_empty());
    let known = Registration { secret: Some(ClientSecret::from_outside("s")), ..registration() };
    again.write(&again.registration_path(ISSUER), &KeptRegistration::from(&known)).unwrap();
    assert_eq!(again.tokens(&resource_id()).unwrap().unwrap().client, known);
}
