//! One folder, one instance: the lock, the sealing key, the node's name, the control socket.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use sekisho_protocol::env::{Clock, random};
use sekisho_protocol::ids::NodeId;
use sekisho_store::{SealKey, Store, StoreSettings, StoreUrl};

use crate::error::CommandError;
use crate::os;

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

    /// Opens the store, making its key and tables when it is new.
    pub(crate) async fn store(&self) -> Result<Store, CommandError> {
        let settings = StoreSettings::new(StoreUrl::Sqlite(self.path.join("sekisho.db")), self.seal_key()?);
        Store::open(settings).await.map_err(|error| {
            CommandError::environment(
                format!("the store in `{}` cannot be opened: {error}", self.path.display()),
                "see whether the disk is full or the files belong to another user",
            )
        })
    }

    /// The name under which this node chains its records.
    pub(crate) fn node(&self, clock: &dyn Clock) -> Result<NodeId, CommandError> {
        let path = self.path.join("node");
        // Nothing is written where it is there already: the disk may be full.
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
        let path = self.path.join("seal.key");
        // A new key opens nothing of what an older one sealed. The database is looked for first, because the key is
        // made before it.
        if self.path.join("sekisho.db").exists() && !path.exists() {
            return Err(CommandError::environment(
                format!("`{}` is missing, and the database beside it was sealed with it", path.display()),
                "restore it from a backup: without it sealed secrets are lost",
            ));
        }
        // Nothing is written where it is there already: the disk may be full.
        if !path.exists() {
            os::private_file(&path, &random::<32>(&os::OsEntropy))
                .map_err(|error| self.unusable("seal.key", &error))?;
        }
        let bytes = std::fs::read(&path).map_err(|error| self.unusable("seal.key", &error))?;
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
