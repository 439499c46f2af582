//! A store in a folder of sealed files, which several programs of one user can share.

use std::fmt::{self, Debug};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::ScopeSet;
use sekisho_protocol::secret::{AccessToken, ClientSecret, RefreshToken};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::{At, Pin, StoreError, TokenStore, Turn, Wait};
use crate::registration::Registration;
use crate::signing::DpopKey;
use crate::token::Tokens;

/// The key under which everything is sealed.
#[derive(Clone)]
pub struct StoreKey(Zeroizing<[u8; 32]>);

impl StoreKey {
    /// Creates the key from bytes that are stored elsewhere.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey")
    }
}

/// Stores tokens and registrations in files of mode 0600, sealed (AES-256-GCM). Each is replaced atomically.
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
    key: StoreKey,
    patience: Duration,
}

/// How long to wait for another program's turn to end: a person may be logging in there.
const PATIENCE: Duration = Duration::from_secs(600);
/// The same for a program that is not waiting for a person: it sends a few requests, each with its own timeout.
const PATIENCE_WITH_PROGRAMS: Duration = Duration::from_secs(120);
/// How often to check whether the lock is free.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The first byte of a sealed file.
const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct KeptTokens {
    server: String,
    issuer: String,
    /// Missing in files of earlier versions. If so, the registration at the issuer is used.
    client: Option<KeptRegistration>,
    resource: String,
    access: Zeroizing<String>,
    refresh: Option<Zeroizing<String>>,
    expires: Option<Timestamp>,
    scopes: Option<ScopeSet>,
    asked: Option<ScopeSet>,
    dpop: Option<Zeroizing<String>>,
}

#[derive(Serialize, Deserialize)]
struct KeptRegistration {
    issuer: String,
    client: ClientId,
    authentication: ClientAuthentication,
    secret: Option<Zeroizing<String>>,
    redirect_uris: Vec<RedirectUri>,
}

#[derive(Serialize, Deserialize)]
struct KeptPin {
    kind: String,
    name: String,
    issuer: String,
}

impl FileStore {
    /// Opens a store in this folder, which is created if it does not exist.
    pub fn open(folder: PathBuf, key: StoreKey) -> Result<Self, StoreError> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| failed(&folder, source))?;
        let store = Self { folder, key, patience: PATIENCE };
        store.adopt()?;
        Ok(store)
    }

    /// Converts the files of earlier versions. These stored the pin of a given client as a registration without
    /// redirect URIs, which a later registration replaced.
    fn adopt(&self) -> Result<(), StoreError> {
        for path in self.files("client")? {
            // If a file cannot be opened, the command that needs it reports the error.
            let Ok(Some(kept)) = self.read::<KeptRegistration>(&path) else { continue };
            if kept.redirect_uris.is_empty() {
                self.pin(Pin::Client(&kept.client), &kept.issuer)?;
                Self::remove(&path)?;
            }
        }
        Ok(())
    }

    /// Changes how long to wait for another program's turn to end.
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn path(&self, kind: &str, of: &str, ending: &str) -> PathBuf {
        let digest = Digest::of_list(&[kind.as_bytes(), of.as_bytes()]).to_string();
        let name: String = digest.chars().take(32).collect();
        self.folder.join(format!("{kind}-{name}.{ending}"))
    }

    fn tokens_path(&self, resource: &ResourceId) -> PathBuf {
        self.path("tokens", &resource.canonical(), "sealed")
    }

    fn registration_path(&self, issuer: &str) -> PathBuf {
        self.path("client", issuer, "sealed")
    }

    fn pin_path(&self, pin: Pin<'_>) -> PathBuf {
        let (kind, name) = pin.parts();
        self.path("pin", &format!("{kind} {name}"), "sealed")
    }

    fn turn_path(&self, at: At<'_>) -> PathBuf {
        match at {
            At::Issuer(issuer) => self.path("client", issuer, "lock"),
            At::Server(server) => self.path("tokens", &server.canonical(), "lock"),
            At::Visit(server) => self.path("tokens", &server.canonical(), "visit"),
        }
    }

    fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, StoreError> {
        let mut sealed = Vec::new();
        match File::open(path) {
            Ok(file) => file.take(FILE_BYTES_MAX).read_to_end(&mut sealed).map_err(|source| failed(path, source))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(path, source)),
        };
        let broken = || StoreError::Broken { path: path.display().to_string() };
        let plain = self.unseal(path, &sealed).ok_or_else(broken)?;
        serde_json::from_slice(&plain).map(Some).map_err(|_| broken())
    }

    /// Replaces a file. Another program reads the old or the new content, and never a part of one.
    fn write(&self, path: &Path, kept: &impl Serialize) -> Result<(), StoreError> {
        let written = self.part(path, kept)?.persist(path).map_err(|error| error.error);
        written.and_then(|_| self.sync()).map_err(|source| failed(path, source))
    }

    /// Writes a file, unless it exists.
    fn write_once(&self, path: &Path, kept: &impl Serialize) -> Result<(), StoreError> {
        match self.part(path, kept)?.persist_noclobber(path) {
            Ok(_) => self.sync().map_err(|source| failed(path, source)),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(failed(path, error.error)),
        }
    }

    /// Writes the content for `path` into a new file beside it.
    fn part(&self, path: &Path, kept: &impl Serialize) -> Result<NamedTempFile, StoreError> {
        let broken = || StoreError::Broken { path: path.display().to_string() };
        let plain = Zeroizing::new(serde_json::to_vec(kept).map_err(|_| broken())?);
        let sealed = self.seal(path, &plain).ok_or_else(broken)?;
        let write = || {
            // The file is new (O_EXCL) and has mode 0600.
            let mut part = NamedTempFile::new_in(&self.folder)?;
            part.write_all(&sealed)?;
            part.as_file().sync_all()?;
            Ok(part)
        };
        write().map_err(|source| failed(path, source))
    }

    /// Syncs the folder, so that a used refresh token is not back after a power failure.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    /// Seals data. The seal includes the file's name: data for one resource cannot be opened under the name of another.
    fn seal(&self, path: &Path, plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = plain.to_vec();
        let name = path.file_name()?.as_encoded_bytes();
        let nonce = self.cipher()?.seal_in_place_append_tag(Aad::from(name), &mut sealed).ok()?;
        Some([&[VERSION], nonce.as_ref().as_slice(), &sealed].concat())
    }

    fn unseal(&self, path: &Path, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, rest) = rest.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok().filter(|_| *version == VERSION)?;
        let mut plain = Zeroizing::new(rest.to_vec());
        let name = path.file_name()?.as_encoded_bytes();
        let length = self.cipher()?.open_in_place(nonce, Aad::from(name), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }

    fn cipher(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, self.key.0.as_slice()).ok()
    }

    fn remove(path: &Path) -> Result<(), StoreError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
            _ => Ok(()),
        }
    }

    /// Returns the files of a kind, sorted by name.
    fn files(&self, kind: &str) -> Result<Vec<PathBuf>, StoreError> {
        let entries = std::fs::read_dir(&self.folder).map_err(|source| failed(&self.folder, source))?;
        let ours = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            name.starts_with(kind) && name.ends_with(".sealed")
        };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(ours).collect();
        files.sort();
        Ok(files)
    }

    async fn wait(&self, at: At<'_>, wait: Wait) -> Result<Turn, StoreError> {
        let path = self.turn_path(at);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|source| failed(&path, source))?;
        let (name, patience) = match at {
            At::Issuer(issuer) => (issuer, self.patience.min(PATIENCE_WITH_PROGRAMS)),
            At::Server(server) => (server.as_str(), self.patience),
            At::Visit(server) => (server.as_str(), self.patience.min(PATIENCE_WITH_PROGRAMS)),
        };
        // The operating system holds the lock, so the lock ends with its process. Waiting for it would need a thread
        // that cannot be cancelled, so the lock is tried repeatedly.
        let locked = tokio::time::timeout(patience, async {
            loop {
                match file.try_lock() {
                    Ok(()) => return Ok(()),
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(source)) => return Err(failed(&path, source)),
                }
                if let (At::Server(server), Wait::ForPrograms) = (at, wait)
                    && self.is_visited(server)?
                {
                    return Err(StoreError::Unfinished { resource: server.as_str().to_owned() });
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        match locked.await {
            Ok(result) => result.map(|()| Turn { _lock: Some(file) }),
            Err(_) => Err(StoreError::Busy { resource: name.to_owned(), seconds: patience.as_secs() }),
        }
    }

    /// Opens stored tokens. `None`: an earlier version stored them, and their client is not known.
    fn open_tokens(&self, kept: KeptTokens, path: &Path) -> Result<Option<(ResourceId, Tokens)>, StoreError> {
        let client = match &kept.client {
            Some(_) => None,
            None => self.registration(&kept.issuer)?,
        };
        kept.open(client, path)
    }
}

fn failed(path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { path: path.display().to_string(), source }
}

impl TokenStore for FileStore {
    fn tokens(&self, resource: &ResourceId) -> Result<Option<Tokens>, StoreError> {
        let path = self.tokens_path(resource);
        let Some(kept) = self.read::<KeptTokens>(&path)? else { return Ok(None) };
        Ok(self.open_tokens(kept, &path)?.map(|(_, tokens)| tokens))
    }

    fn keep_tokens(&self, server: &ResourceId, tokens: &Tokens) -> Result<(), StoreError> {
        self.write(&self.tokens_path(server), &KeptTokens::of(server, tokens))
    }

    fn forget_tokens(&self, resource: &ResourceId) -> Result<(), StoreError> {
        Self::remove(&self.tokens_path(resource))
    }

    fn all_tokens(&self) -> Result<Vec<(ResourceId, Tokens)>, StoreError> {
        let open = |path: PathBuf| match self.read::<KeptTokens>(&path) {
            Ok(kept) => self.open_tokens(kept?, &path).transpose(),
            Err(error) => Some(Err(error)),
        };
        self.files("tokens")?.into_iter().filter_map(open).collect()
    }

    fn registration(&self, issuer: &str) -> Result<Option<Registration>, StoreError> {
        let kept = self.read::<KeptRegistration>(&self.registration_path(issuer))?;
        Ok(kept.map(Into::into))
    }

    fn keep_registration(&self, registration: &Registration) -> Result<(), StoreError> {
        self.write(&self.registration_path(&registration.issuer), &KeptRegistration::from(registration))
    }

    fn forget_registration(&self, issuer: &str) -> Result<(), StoreError> {
        Self::remove(&self.registration_path(issuer))
    }

    fn pin(&self, pin: Pin<'_>, issuer: &str) -> Result<String, StoreError> {
        if let Some(pinned) = self.pinned(pin)? {
            return Ok(pinned);
        }
        let (kind, name) = pin.parts();
        let kept = KeptPin { kind: kind.to_owned(), name: name.to_owned(), issuer: issuer.to_owned() };
        let path = self.pin_path(pin);
        self.write_once(&path, &kept)?;
        // If two programs pin it at the same time, the first pin stays.
        self.pinned(pin)?.ok_or_else(|| failed(&path, ErrorKind::NotFound.into()))
    }

    fn pinned(&self, pin: Pin<'_>) -> Result<Option<String>, StoreError> {
        let kept = self.read::<KeptPin>(&self.pin_path(pin))?;
        Ok(kept.map(|kept| kept.issuer))
    }

    fn unpin(&self, pin: Pin<'_>) -> Result<bool, StoreError> {
        // A person may also remove a pin that cannot be opened.
        let path = self.pin_path(pin);
        let is_there = path.symlink_metadata().is_ok();
        Self::remove(&path)?;
        Ok(is_there)
    }

    fn turn<'a>(&'a self, at: At<'a>, wait: Wait) -> BoxFuture<'a, Result<Turn, StoreError>> {
        Box::pin(self.wait(at, wait))
    }

    fn is_visited(&self, server: &ResourceId) -> Result<bool, StoreError> {
        let path = self.turn_path(At::Visit(server));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(failed(&path, source)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(failed(&path, source)),
        }
    }
}

impl KeptTokens {
    fn of(server: &ResourceId, tokens: &Tokens) -> Self {
        let secret = |text: &str| Zeroizing::new(text.to_owned());
        Self {
            server: server.as_str().to_owned(),
            issuer: tokens.issuer.clone(),
            client: Some(KeptRegistration::from(&tokens.client)),
            resource: tokens.resource.as_str().to_owned(),
            access: secret(tokens.access.expose()),
            refresh: tokens.refresh.as_ref().map(|refresh| secret(refresh.expose())),
            expires: tokens.expires,
            scopes: tokens.scopes.clone(),
            asked: tokens.asked.clone(),
            dpop: tokens.dpop.as_ref().map(|key| Zeroizing::new(STANDARD.encode(key.expose_pkcs8()))),
        }
    }

    /// Opens the tokens. `client` is used if none was stored with them.
    fn open(self, client: Option<Registration>, path: &Path) -> Result<Option<(ResourceId, Tokens)>, StoreError> {
        let broken = || StoreError::Broken { path: path.display().to_string() };
        let key = |text: &Zeroizing<String>| {
            let pkcs8 = Zeroizing::new(STANDARD.decode(text.as_bytes()).map_err(|_| broken())?);
            DpopKey::from_pkcs8(&pkcs8).map(Arc::new).map_err(|_| broken())
        };
        let read = |text: &str| ResourceId::parse(text).map_err(|_| broken());
        let Some(client) = self.client.map(Registration::from).or(client) else { return Ok(None) };
        let tokens = Tokens {
            issuer: self.issuer,
            client,
            resource: read(&self.resource)?,
            access: AccessToken::from_outside(self.access.as_str()),
            refresh: self.refresh.map(|refresh| RefreshToken::from_outside(refresh.as_str())),
            expires: self.expires,
            scopes: self.scopes,
            asked: self.asked,
            dpop: self.dpop.as_ref().map(key).transpose()?,
        };
        Ok(Some((read(&self.server)?, tokens)))
    }
}

impl From<&Registration> for KeptRegistration {
    /// Leaves out the key of a client, which is in a file that a person names.
    fn from(registration: &Registration) -> Self {
        Self {
            issuer: registration.issuer.clone(),
            client: registration.client.clone(),
            authentication: registration.authentication,
            secret: registration.secret.as_ref().map(|secret| Zeroizing::new(secret.expose().to_owned())),
            redirect_uris: registration.redirect_uris.clone(),
        }
    }
}

impl From<KeptRegistration> for Registration {
    fn from(kept: KeptRegistration) -> Self {
        Self {
            issuer: kept.issuer,
            client: kept.client,
            authentication: kept.authentication,
            secret: kept.secret.map(|secret| ClientSecret::from_outside(secret.as_str())),
            key: None,
            redirect_uris: kept.redirect_uris,
        }
    }
}

#[cfg(test)]
mod tests;
