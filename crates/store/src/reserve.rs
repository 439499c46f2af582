//! Reserves disk space for the time when the disk is full: a file beside the database that has no other use.
//!
//! A SQLite database cannot be opened on a full disk, because its shared index needs a few pages; and nothing can be
//! deleted from it, because a deletion is first written to the log. The file is given up to make these two possible.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

/// The reserved space, in bytes. A log that is not yet copied into the database usually has 4 MiB, and copying it may
/// need as much again; the rest is for opening and for the first deletions.
pub(crate) const RESERVE_BYTES: u64 = 8 << 20;

/// How many bytes are given up to open a database; the rest is left for deleting.
const FOR_OPENING_BYTES: u64 = 1 << 20;

/// The reserve file of one database.
#[derive(Debug, Clone)]
pub(crate) struct Reserve(PathBuf);

impl Reserve {
    /// Makes the reserve beside this database.
    pub(crate) fn beside(database: &Path) -> Self {
        let mut name = database.as_os_str().to_owned();
        name.push("-reserve");
        Self(name.into())
    }

    /// Fills the file up to its size, if the disk has the room.
    pub(crate) fn fill(&self) -> std::io::Result<()> {
        if self.bytes() >= RESERVE_BYTES {
            return Ok(());
        }
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&self.0)?;
        let filled = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES);
        if let Err(error) = filled {
            // A smaller file would not be enough for what it is kept for, and would only take space from other files.
            drop(std::fs::remove_file(&self.0));
            return Err(error.into());
        }
        Ok(())
    }

    /// Gives up the space that opening needs. Returns whether there was any.
    pub(crate) fn give_up_some(&self) -> bool {
        let Some(rest) = self.bytes().checked_sub(FOR_OPENING_BYTES) else { return false };
        File::options().write(true).open(&self.0).and_then(|file| file.set_len(rest)).is_ok()
    }

    /// Gives up the whole file. Returns whether there was one.
    pub(crate) fn give_up(&self) -> bool {
        std::fs::remove_file(&self.0).is_ok()
    }

    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.0).map_or(0, |found| found.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{FOR_OPENING_BYTES, RESERVE_BYTES, Reserve};

    #[test]
    fn a_reserve_is_given_up_in_two_parts_and_made_whole_again() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&folder.path().join("store.db"));
        assert!(!reserve.give_up_some() && !reserve.give_up());
        for _ in 0..2 {
            reserve.fill().unwrap();
            let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&reserve.0).unwrap());
            assert_eq!(reserve.bytes(), RESERVE_BYTES);
            assert!(blocks * 512 >= RESERVE_BYTES, "the room is taken: {blocks} blocks");
            assert!(reserve.give_up_some());
            assert_eq!(reserve.bytes(), RESERVE_BYTES - FOR_OPENING_BYTES);
        }
        assert!(reserve.give_up());
        assert!(!reserve.give_up());
    }
}
