//! What `import --write` writes: the servers for `serve`, files for secrets, a backup.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::entries::{Entry, Names};
use super::parts::{Parts, StoredValue};
use crate::data_dir::DataDir;
use crate::error::CommandError;
use crate::os;

/// The folder for secrets.
struct Folder {
    path: PathBuf,
    /// The names of its files, which belong to other values or other imports and may be in use (ATK-229).
    names: Names,
    /// For each input that a person was asked for, the reference to the file that holds its value.
    asked: BTreeMap<String, String>,
}

impl Folder {
    fn open(data: &DataDir) -> Result<Self, CommandError> {
        let path = data.path().join("imported");
        os::private_folder(&path).map_err(|error| cannot("make", &path, &error))?;
        let mut names = Names::default();
        for entry in std::fs::read_dir(&path).map_err(|error| cannot("read", &path, &error))? {
            let entry = entry.map_err(|error| cannot("read", &path, &error))?;
            names.take(entry.file_name().to_string_lossy().into_owned());
        }
        Ok(Self { path, names, asked: BTreeMap::new() })
    }

    /// Keeps a value in a file that only we may read, and returns its reference for the configuration.
    fn keep(&mut self, name: &str, value: &str) -> Result<String, CommandError> {
        let path = self.path.join(self.names.free(name));
        os::private_file(&path, value.as_bytes()).map_err(|error| cannot("write", &path, &error))?;
        // Another import at the same time may have taken the name.
        let kept = std::fs::read(&path).map_err(|error| cannot("read", &path, &error))?;
        if kept != value.as_bytes() {
            let message = format!("`{}` was written by somebody else in this moment", path.display());
            return Err(CommandError::environment(message, "let one import end before the next begins"));
        }
        Ok(format!("${{file:{}}}", path.display()))
    }
}

/// Returns the servers as the configuration of `serve` defines them. Secrets go into files that only we may read.
pub(super) fn definitions(
    entries: &[Entry],
    asked: &BTreeMap<String, String>,
    data: &DataDir,
) -> Result<toml::Table, CommandError> {
    let mut folder = Folder::open(data)?;
    let mut servers = toml::Table::new();
    for entry in entries {
        let mut written = |name: &str, parts: &Parts| -> Result<toml::Value, CommandError> {
            let text = parts.written(|kept| match kept {
                StoredValue::Secret(value) => folder.keep(&format!("{}-{}", entry.server, plain(name)), value),
                StoredValue::Input(id) => match folder.asked.get(id) {
                    Some(known) => Ok(known.clone()),
                    None => {
                        let value = asked.get(id).map(String::as_str).unwrap_or_default();
                        let reference = folder.keep(&format!("input-{}", plain(id)), value)?;
                        folder.asked.insert(id.to_owned(), reference.clone());
                        Ok(reference)
                    }
                },
            })?;
            Ok(toml::Value::String(text))
        };
        let mut server = toml::Table::new();
        server.insert("title".to_owned(), toml::Value::String(entry.name.clone()));
        if let Some(url) = &entry.url {
            server.insert("url".to_owned(), written("url", url)?);
        } else {
            let words = entry.command.iter().map(|word| written("argument", word));
            server.insert("command".to_owned(), toml::Value::Array(words.collect::<Result<_, _>>()?));
        }
        if let Some(directory) = &entry.directory {
            server.insert("directory".to_owned(), toml::Value::String(directory.display().to_string()));
        }
        for (member, pairs) in [("environment", &entry.environment), ("headers", &entry.headers)] {
            if !pairs.is_empty() {
                let values = pairs.iter().map(|(name, parts)| Ok((name.clone(), written(name, parts)?)));
                server.insert(member.to_owned(), toml::Value::Table(values.collect::<Result<_, CommandError>>()?));
            }
        }
        servers.insert(entry.server.clone(), toml::Value::Table(server));
    }
    Ok(servers)
}

fn plain(name: &str) -> String {
    name.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '_').take(64).collect()
}

/// Reads a configuration, and refuses it if it has a server with one of these names.
pub(super) fn known(config: &Path, entries: &[Entry]) -> Result<String, CommandError> {
    let before = match std::fs::read_to_string(config) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(cannot("read", config, &error)),
    };
    let known: toml::Table = before.parse().map_err(|error| {
        CommandError::usage(format!("`{}` cannot be read: {error}", config.display()), "`sekisho check` says more")
    })?;
    let known = known.get("servers").and_then(toml::Value::as_table);
    let mut names = entries.iter().map(|entry| &entry.server);
    if let Some(name) = names.find(|name| known.is_some_and(|known| known.contains_key(*name))) {
        return Err(CommandError::usage(
            format!("`{}` has a server `{name}` already", config.display()),
            "rename one of them, or name another file with --config",
        ));
    }
    Ok(before)
}

/// Adds the servers to a configuration that has none of these names.
pub(super) fn append(config: &Path, before: String, servers: &toml::Table) -> Result<(), CommandError> {
    let whole = toml::Table::from_iter([("servers".to_owned(), toml::Value::Table(servers.clone()))]);
    let added = toml::to_string(&whole).unwrap_or_default();
    let gap = if before.is_empty() || before.ends_with("\n\n") { "" } else { "\n" };
    replace(config, &format!("{before}{gap}{added}"))
}

/// Writes a backup of the file beside it, under a free name.
pub(super) fn keep(file: &Path, text: &str) -> Result<PathBuf, CommandError> {
    for number in 1..100 {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".before-sekisho-{number}"));
        let path = PathBuf::from(name);
        // The backup may hold secrets, as the file did.
        let made =
            std::os::unix::fs::OpenOptionsExt::mode(std::fs::OpenOptions::new().write(true).create_new(true), 0o600)
                .open(&path);
        match made {
            Ok(mut kept) => {
                kept.write_all(text.as_bytes()).map_err(|error| cannot("write", &path, &error))?;
                return Ok(path);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot("write", &path, &error)),
        }
    }
    Err(CommandError::environment(format!("too many backups of `{}`", file.display()), "remove some"))
}

/// Replaces a file in whole or not at all; its mode, its owner and a symbolic link to it stay.
pub(super) fn replace(file: &Path, text: &str) -> Result<(), CommandError> {
    os::replace_file(file, text.as_bytes()).map_err(|error| cannot("write", file, &error))
}

pub(super) fn cannot(what: &str, path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::environment(format!("cannot {what} `{}`: {error}", path.display()), "check the path and its owner")
}
