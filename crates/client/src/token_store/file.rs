//! A folder of sealed files, for as many programs of one user as there are.

use std::fmt::{self, Debug};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
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
use zeroize::Zeroizing;

use super::{StoreError, TokenStore, Turn};
use crate::registration::Registration;
use crate::signing::DpopKey;
use crate::token::Tokens;

/// The key under which everything is sealed.
#[derive(Clone)]
pub struct StoreKey(Zeroizing<[u8; 32]>);

impl StoreKey {
    /// From bytes that are kept elsewhere.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey")
    }
}

/// Tokens and registrations in files of mode 0600, sealed (AES-256-GCM), each replaced in one step.
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
    key: StoreKey,
    patience: Duration,
}

/// How long another program may take for its turn: a person may be logging in.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often it is looked whether the turn is ours.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The most bytes of a file that are read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// What a sealed file begins with.
const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct KeptTokens {
    server: String,
    issuer: String,
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

impl FileStore {
    /// A store in this folder, which is made if it is not there.
    pub fn open(folder: PathBuf, key: StoreKey) -> Result<Self, StoreError> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| failed(&folder, source))?;
        Ok(Self { folder, key, patience: PATIENCE })
    }

    /// The same, but less patient with other programs.
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

    fn write(&self, path: &Path, kept: &impl Serialize) -> Result<(), StoreError> {
        let broken = || StoreError::Broken { path: path.display().to_string() };
        let plain = Zeroizing::new(serde_json::to_vec(kept).map_err(|_| broken())?);
        let sealed = self.seal(path, &plain).ok_or_else(broken)?;
        // Another program reads the old file or the new one, and never half of one.
        let part = path.with_extension(format!("{}.part", std::process::id()));
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
            file.write_all(&sealed)?;
            file.sync_all()?;
            std::fs::rename(&part, path)
        };
        write().map_err(|source| failed(path, source))
    }

    /// Bound to the file's name: what is sealed for one resource is nothing under the name of another.
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

    /// The files of a kind, in order of their names.
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

    async fn wait(&self, resource: &ResourceId) -> Result<Turn, StoreError> {
        let path = self.path("tokens", &resource.canonical(), "lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|source| failed(&path, source))?;
        // The lock is the operating system's, so it ends with whoever held it. It cannot be waited for without a
        // thread that nothing could call back, so it is looked at again and again.
        let locked = tokio::time::timeout(self.patience, async {
            loop {
                match file.try_lock() {
                    Ok(()) => return Ok(()),
                    Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK_EVERY).await,
                    Err(TryLockError::Error(source)) => return Err(failed(&path, source)),
                }
            }
        });
        match locked.await {
            Ok(result) => result.map(|()| Turn { _lock: Some(file) }),
            Err(_) => {
                Err(StoreError::Busy { resource: resource.as_str().to_owned(), seconds: self.patience.as_secs() })
            }
        }
    }
}

fn failed(path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { path: path.display().to_string(), source }
}

impl TokenStore for FileStore {
    fn tokens(&self, resource: &ResourceId) -> Result<Option<Tokens>, StoreError> {
        let path = self.tokens_path(resource);
        let kept = self.read::<KeptTokens>(&path)?;
        kept.map(|kept| kept.open(&path).map(|(_, tokens)| tokens)).transpose()
    }

    fn keep_tokens(&self, server: &ResourceId, tokens: &Tokens) -> Result<(), StoreError> {
        self.write(&self.tokens_path(server), &KeptTokens::of(server, tokens))
    }

    fn forget_tokens(&self, resource: &ResourceId) -> Result<(), StoreError> {
        Self::remove(&self.tokens_path(resource))
    }

    fn all_tokens(&self) -> Result<Vec<(ResourceId, Tokens)>, StoreError> {
        let open = |path: PathBuf| match self.read::<KeptTokens>(&path) {
            Ok(kept) => kept.map(|kept| kept.open(&path)),
            Err(error) => Some(Err(error)),
        };
        self.files("tokens")?.into_iter().filter_map(open).collect()
    }

    fn registration(&self, issuer: &str) -> Result<Option<Registration>, StoreError> {
        let kept = self.read::<KeptRegistration>(&self.registration_path(issuer))?;
        Ok(kept.map(Into::into))
    }

    fn registrations(&self) -> Result<Vec<Registration>, StoreError> {
        let open = |path: PathBuf| self.read::<KeptRegistration>(&path).transpose();
        self.files("client")?.into_iter().filter_map(open).map(|kept| kept.map(Into::into)).collect()
    }

    fn keep_registration(&self, registration: &Registration) -> Result<(), StoreError> {
        let kept = KeptRegistration {
            issuer: registration.issuer.clone(),
            client: registration.client.clone(),
            authentication: registration.authentication,
            secret: registration.secret.as_ref().map(|secret| Zeroizing::new(secret.expose().to_owned())),
            redirect_uris: registration.redirect_uris.clone(),
        };
        self.write(&self.registration_path(&registration.issuer), &kept)
    }

    fn forget_registration(&self, issuer: &str) -> Result<(), StoreError> {
        Self::remove(&self.registration_path(issuer))
    }

    fn turn<'a>(&'a self, resource: &'a ResourceId) -> BoxFuture<'a, Result<Turn, StoreError>> {
        Box::pin(self.wait(resource))
    }
}

impl KeptTokens {
    fn of(server: &ResourceId, tokens: &Tokens) -> Self {
        let secret = |text: &str| Zeroizing::new(text.to_owned());
        Self {
            server: server.as_str().to_owned(),
            issuer: tokens.issuer.clone(),
            resource: tokens.resource.as_str().to_owned(),
            access: secret(tokens.access.expose()),
            refresh: tokens.refresh.as_ref().map(|refresh| secret(refresh.expose())),
            expires: tokens.expires,
            scopes: tokens.scopes.clone(),
            asked: tokens.asked.clone(),
            dpop: tokens.dpop.as_ref().map(|key| Zeroizing::new(STANDARD.encode(key.expose_pkcs8()))),
        }
    }

    fn open(self, path: &Path) -> Result<(ResourceId, Tokens), StoreError> {
        let broken = || StoreError::Broken { path: path.display().to_string() };
        let key = |text: &Zeroizing<String>| {
            let pkcs8 = Zeroizing::new(STANDARD.decode(text.as_bytes()).map_err(|_| broken())?);
            DpopKey::from_pkcs8(&pkcs8).map(Arc::new).map_err(|_| broken())
        };
        let read = |text: &str| ResourceId::parse(text).map_err(|_| broken());
        let tokens = Tokens {
            issuer: self.issuer,
            resource: read(&self.resource)?,
            access: AccessToken::from_outside(self.access.as_str()),
            refresh: self.refresh.map(|refresh| RefreshToken::from_outside(refresh.as_str())),
            expires: self.expires,
            scopes: self.scopes,
            asked: self.asked,
            dpop: self.dpop.as_ref().map(key).transpose()?,
        };
        Ok((read(&self.server)?, tokens))
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
