//! The folder of policy files: which are read, and which look like policies and are not.

use std::path::{Path, PathBuf};

use sekisho_policy::rights::PolicyFile;

use super::model::Configuration;

/// What to do about a file that is not read.
pub(crate) const UNREAD_HELP: &str =
    "move it into the folder itself and let its name end in `.cedar`, or remove it if it should not count";

/// How deep folders are searched for policy files that would not be read.
const DEPTH_MAX: usize = 8;
/// How many entries one such search looks at.
const ENTRIES_MAX: usize = 10_000;

/// What a folder of policies holds.
#[derive(Debug, Default)]
pub(crate) struct PolicyFolder {
    /// The policy files, in the order of their names.
    pub(crate) files: Vec<PolicyFile>,
    /// What is not read, although its name says that it is a policy.
    pub(crate) unread: Vec<Unread>,
}

/// A file that is not read.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unread {
    path: PathBuf,
    /// Whether its author surely meant it to count: its name ends in `.cedar`, in whatever case. Otherwise it may be the
    /// copy of an editor.
    pub(crate) is_policy: bool,
}

impl Unread {
    /// Says which file it is, and that it does not count.
    pub(crate) fn sentence(&self, folder: &Path) -> String {
        let name = self.path.strip_prefix(folder).unwrap_or(&self.path);
        format!("`{}` in `{}` is not read: its rules do not count", name.display(), folder.display())
    }
}

/// Where the policy files are.
pub(crate) fn policy_folder(path: &Path, configuration: &Configuration) -> PathBuf {
    let beside = path.parent().unwrap_or(Path::new(""));
    beside.join(configuration.policies.as_deref().unwrap_or(Path::new("policies")))
}

/// The policy files: those directly in the folder whose names end in `.cedar`. A folder that nobody named need not be
/// there.
pub(crate) fn policy_files(folder: &Path, is_named: bool) -> std::io::Result<PolicyFolder> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_named => return Ok(PolicyFolder::default()),
        entries => entries?,
    };
    let mut found = PolicyFolder::default();
    let mut looked_at = 0;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cedar") && !path.is_dir() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            found.files.push(PolicyFile { name, text: std::fs::read_to_string(&path)? });
        } else {
            unread(path, 1, &mut looked_at, &mut found.unread)?;
        }
    }
    found.files.sort_by(|one, other| one.name.cmp(&other.name));
    found.unread.sort();
    Ok(found)
}

/// Notes a file that is not read, and those in a folder. Hidden folders are left out: mounted configurations keep older
/// copies there. Links to folders are not followed, so that the search ends.
fn unread(path: PathBuf, depth: usize, looked_at: &mut usize, found: &mut Vec<Unread>) -> std::io::Result<()> {
    *looked_at += 1;
    if *looked_at > ENTRIES_MAX {
        return Ok(());
    }
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    if std::fs::symlink_metadata(&path)?.is_dir() {
        if depth >= DEPTH_MAX || name.starts_with('.') {
            return Ok(());
        }
        return std::fs::read_dir(&path)?.try_for_each(|entry| unread(entry?.path(), depth + 1, looked_at, found));
    }
    if name.contains(".cedar") {
        found.push(Unread { is_policy: name.ends_with(".cedar"), path });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::policy_files;

    /// ATK-242: what looks like a policy and is not read is named.
    #[test]
    fn what_is_not_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["sub/deep", ".hidden"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in [
            "a.cedar",
            "b.cedar",
            "C.CEDAR",
            "d.cedar.bak",
            "e.test.toml",
            "README.md",
            "sub/f.cedar",
            "sub/deep/g.Cedar",
            ".hidden/h.cedar",
        ] {
            std::fs::write(root.join(name), "").unwrap();
        }
        let found = policy_files(root, true).unwrap();
        let names: Vec<_> = found.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["a.cedar", "b.cedar"]);
        let unread: Vec<_> = found
            .unread
            .iter()
            .map(|unread| (unread.path.strip_prefix(root).unwrap().display().to_string(), unread.is_policy))
            .collect();
        let expected = [("C.CEDAR", true), ("d.cedar.bak", false), ("sub/deep/g.Cedar", true), ("sub/f.cedar", true)];
        assert_eq!(unread, expected.map(|(name, is_policy)| (name.to_owned(), is_policy)));
        assert!(found.unread[0].sentence(root).starts_with("`C.CEDAR` in `"));
    }

    #[test]
    fn only_a_folder_that_was_named_has_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("policies");
        assert!(policy_files(&missing, false).unwrap().files.is_empty());
        assert!(policy_files(&missing, true).is_err());
    }
}
