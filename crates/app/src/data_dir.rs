//! One folder, one instance: the lock, the sealing key, the node's name, the control socket.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use sekisho_protocol::env::{Clock, random};
use sekisho_protocol::ids::NodeId;
use sekisho_protocol::secret::UpstreamSecret;
use sekisho_store::{SealKey, Store, StoreSettings, StoreUrl};

use crate::error::CommandError;
use crate::os;
use crate::servers::resolve;

/// The SQLite database of a folder that belongs to no other one.
const SQLITE: &str = "sekisho.db";
/// `[store] url`, for folders that belong to a PostgreSQL database.
const DATABASE: &str = "store.url";
/// The key that seals secrets at rest.
const SEAL_KEY: &str = "seal.key";

/// The folder in which everything is kept.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    path: PathBuf,
}

/// Proof that no other instance uses the folder, for as long as it lives.
#[derive(Debug)]
pub(crate) struct InstanceLock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

impl DataDir {
    /// The folder at `path`, or the default one; made if it is not there.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, CommandError> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => os::default_data_dir().ok_or_else(|| {
                CommandError::environment(
                    "no folder for data: neither HOME nor XDG_DATA_HOME is set",
                    "give one with --data-dir DIR",
                )
            })?,
        };
        let path = std::path::absolute(&path).unwrap_or(path);
        os::private_folder(&path).map_err(|error| {
            CommandError::environment(
                format!("the data directory `{}` cannot be used: {error}", path.display()),
                "choose another with --data-dir DIR, or change its owner",
            )
        })?;
        Ok(Self { path })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the running instance listens for administrative commands.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// Takes the folder for this process; `None` when another instance has it.
    pub(crate) fn lock(&self) -> Result<Option<InstanceLock>, CommandError> {
        let path = self.path.join("instance.lock");
        let file =
            File::options().create(true).append(true).open(&path).map_err(|error| self.unusable("lock", &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(InstanceLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(self.unusable("lock", &error)),
        }
    }

    /// Opens the store, making its key and tables when it is new: the database that [`Self::choose_database`] kept, or
    /// the SQLite file of this folder.
    pub(crate) async fn store(&self) -> Result<Store, CommandError> {
        let Some(url) = self.database()? else {
            let settings = StoreSettings::new(StoreUrl::Sqlite(self.path.join(SQLITE)), self.seal_key()?);
            return Store::open(settings).await.map_err(|error| {
                CommandError::environment(
                    format!("the store in `{}` cannot be opened: {error}", self.path.display()),
                    "see whether the disk is full or the files belong to another user",
                )
            });
        };
        let url = resolve("`[store] url`", UpstreamSecret::from_outside(url))?;
        let settings = StoreSettings::new(StoreUrl::Postgres(url.expose().to_owned()), self.seal_key()?);
        Store::open(settings).await.map_err(|error| {
            CommandError::environment(
                format!("the database of `[store] url` cannot be used: {error}"),
                format!(
                    "see that it runs and lets this user in, and that `{}` is the key it was first used with",
                    self.path.join(SEAL_KEY).display()
                ),
            )
        })
    }

    /// Keeps which database this folder belongs to, so that every command finds it: `[store] url` as it is written, with its
    /// references. Nothing is copied from one database to another, so a folder with a SQLite database takes no other one.
    pub(crate) fn choose_database(&self, url: Option<&str>) -> Result<(), CommandError> {
        let kept = self.database()?;
        match url {
            None if kept.is_some() => Err(CommandError::usage(
                format!("`{}` belongs to a PostgreSQL database, and the configuration names none", self.path.display()),
                "give `[store] url`, or another `data_dir`",
            )),
            None => Ok(()),
            Some(_) if kept.is_none() && self.path.join(SQLITE).exists() => Err(CommandError::usage(
                format!("`{}` holds a SQLite database, and `[store] url` names another one", self.path.display()),
                "choose another `data_dir`: nothing is copied from one database to the other",
            )),
            Some(url) if kept.as_deref() == Some(url) => Ok(()),
            Some(url) => {
                let path = self.path.join(DATABASE);
                let written = if path.exists() {
                    os::replace_file(&path, url.as_bytes())
                } else {
                    os::private_file(&path, url.as_bytes())
                };
                written.map_err(|error| self.unusable(DATABASE, &error))
            }
        }
    }

    /// The PostgreSQL database of this folder; `None`: its SQLite file.
    fn database(&self) -> Result<Option<String>, CommandError> {
        match std::fs::read_to_string(self.path.join(DATABASE)) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unusable(DATABASE, &error)),
        }
    }

    /// The name under which this node chains its records.
    pub(crate) fn node(&self, clock: &dyn Clock) -> Result<NodeId, CommandError> {
        let path = self.path.join("node");
        // If it exists already, nothing is written, because the disk may be full.
        if !path.exists() {
            let fresh = NodeId::generate(clock.now(), &os::OsEntropy);
            os::private_file(&path, fresh.to_string().as_bytes()).map_err(|error| self.unusable("node", &error))?;
        }
        let text = std::fs::read_to_string(&path).map_err(|error| self.unusable("node", &error))?;
        text.trim().parse().map_err(|error| {
            CommandError::environment(format!("`{}` is damaged: {error}", path.display()), "restore it from a backup")
        })
    }

    /// The key that seals secrets at rest.
    fn seal_key(&self) -> Result<SealKey, CommandError> {
        let path = self.path.join(SEAL_KEY);
        // A new key cannot open what an older one sealed. So a database is looked for first: the key is always made
        // before the database.
        if self.path.join(SQLITE).exists() && !path.exists() {
            return Err(CommandError::environment(
                format!("`{}` is missing, and the database beside it was sealed with it", path.display()),
                "restore it from a backup: without it sealed secrets are lost",
            ));
        }
        // If it exists already, nothing is written, because the disk may be full.
        if !path.exists() {
            os::private_file(&path, &random::<32>(&os::OsEntropy)).map_err(|error| self.unusable(SEAL_KEY, &error))?;
        }
        let bytes = std::fs::read(&path).map_err(|error| self.unusable(SEAL_KEY, &error))?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| {
            CommandError::environment(
                format!("`{}` is damaged: it must hold 32 bytes", path.display()),
                "restore it from a backup: without it sealed secrets are lost",
            )
        })?;
        Ok(SealKey::from_bytes(bytes))
    }

    fn unusable(&self, file: &str, error: &std::io::Error) -> CommandError {
        CommandError::environment(
            format!("`{}` in the data directory `{}` cannot be used: {error}", file, self.path.display()),
            "choose another directory with --data-dir DIR, or change its owner",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::DataDir;

    /// A folder keeps to the database that it was first used with; commands without a configuration find it.
    #[test]
    fn a_folder_belongs_to_one_database() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(Some(folder.path())).unwrap();
        data.choose_database(None).unwrap();
        assert_eq!(data.database().unwrap(), None);
        for url in ["postgres://a@localhost/a", "postgres://a:${env:PASSWORD}@localhost/a"] {
            data.choose_database(Some(url)).unwrap();
            data.choose_database(Some(url)).unwrap();
            assert_eq!(data.database().unwrap().as_deref(), Some(url));
        }
        data.choose_database(None).unwrap_err();
        let mode = std::fs::metadata(folder.path().join("store.url")).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
        std::fs::remove_file(folder.path().join("store.url")).unwrap();
        std::fs::write(folder.path().join("sekisho.db"), "").unwrap();
        data.choose_database(Some("postgres://a@localhost/a")).unwrap_err();
        data.choose_database(None).unwrap();
        assert_eq!(data.database().unwrap(), None);
    }

    /// ATK-211, ATK-212: programs that begin at once in a fresh folder have one sealing key, and none is made beside a
    /// database that was sealed with another.
    #[test]
    fn a_folder_has_one_sealing_key() {
        for _ in 0..50 {
            let folder = tempfile::tempdir().unwrap();
            let data = DataDir::open(Some(folder.path())).unwrap();
            std::thread::scope(|scope| {
                let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| data.seal_key().map(drop))).collect();
                for maker in makers {
                    maker.join().unwrap().unwrap();
                }
            });
            let key = folder.path().join("seal.key");
            assert_eq!(std::fs::read(&key).unwrap().len(), 32);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
            std::fs::write(folder.path().join("sekisho.db"), "sealed").unwrap();
            data.seal_key().unwrap();
            std::fs::remove_file(&key).unwrap();
            data.seal_key().unwrap_err();
            assert!(!key.exists());
        }
    }
}
