//! The key under which tokens are sealed: in the system's keyring where there is one, otherwise in a file that only we
//! may read (CL-38).
//!
//! The file `key` is written once. It holds the key, or the mark of a key in the keyring. If several programs begin at the
//! same time, each makes a key, and all of them use the one that is in the file afterwards (decision 0053). A key is made
//! only if nothing is sealed yet, and only by a command that may keep something.
//!
//! The keyring is asked through the system's own program, as git and docker ask it: a client of its protocol would be
//! a quarter of all that is compiled here. The key goes in by standard input and never stands on a command line.

use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_client::token_store::StoreKey;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::random;

use crate::error::CommandError;
use crate::os::{self, OsEntropy};

/// Under which name the keyring knows it.
const SERVICE: &str = "sekisho";
/// The beginning of the file if the key is in the keyring. The mark of the key follows.
const IN_KEYRING: &str = "keyring ";
/// Digits of a mark: enough that no two keys share one.
const MARK_DIGITS: usize = 32;

/// What a command does with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It only reads. If there is no key, none is made.
    Read,
    /// It may keep something.
    Write,
}

/// The content of the file `key` of a folder.
enum Named {
    /// The key itself.
    Key([u8; 32]),
    /// The mark of a key in the keyring.
    Mark(String),
}

/// The key of this folder, made if it has none and `need` is to write. `None`: there is none, and nothing is sealed.
pub(super) fn key(folder: &Path, need: Need) -> Result<Option<StoreKey>, CommandError> {
    let place = KeyFolder { folder, file: folder.join("key") };
    // In this order: a program writes the file `key` before it seals anything.
    let is_sealed = place.holds_sealed()?;
    let key = match (place.named()?, need) {
        (Some(named), _) => place.open(named)?,
        (None, _) if is_sealed => place.of_an_earlier_version()?,
        (None, Need::Read) => return Ok(None),
        (None, Need::Write) => place.make()?,
    };
    Ok(Some(StoreKey::new(key)))
}

/// The folder, and the file that names its key.
struct KeyFolder<'a> {
    folder: &'a Path,
    file: PathBuf,
}

impl KeyFolder<'_> {
    fn unusable(&self, error: &std::io::Error) -> CommandError {
        CommandError::environment(
            format!("`{}` cannot be used: {error}", self.folder.display()),
            "choose another with --data-dir DIR, or change its owner",
        )
    }

    fn holds_sealed(&self) -> Result<bool, CommandError> {
        let entries = match std::fs::read_dir(self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(self.unusable(&error)),
        };
        Ok(entries.flatten().any(|entry| entry.path().extension().is_some_and(|ending| ending == "sealed")))
    }

    fn named(&self) -> Result<Option<Named>, CommandError> {
        let text = match std::fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let message = format!("`{}` cannot be read: {error}", self.file.display());
                return Err(CommandError::environment(message, "it has to be yours alone"));
            }
        };
        let named = match text.strip_prefix(IN_KEYRING) {
            Some(mark) => Some(Named::Mark(mark.trim().to_owned())),
            None => read(&text).map(Named::Key),
        };
        named.map(Some).ok_or_else(|| {
            let message = format!("`{}` is no key", self.file.display());
            CommandError::environment(message, "remove the folder it is in, and log in again")
        })
    }

    /// Makes a key. Another program may do the same at the same time, so the file is read afterwards.
    fn make(&self) -> Result<[u8; 32], CommandError> {
        os::private_folder(self.folder).map_err(|error| self.unusable(&error))?;
        let fresh = random::<32>(&OsEntropy);
        let mark = mark(&fresh);
        let kept = Keyring::here().filter(|keyring| keyring.keep(&mark, &fresh) && keyring.find(&mark) == Some(fresh));
        let text = match kept {
            Some(_) => format!("{IN_KEYRING}{mark}\n"),
            None => URL_SAFE_NO_PAD.encode(fresh),
        };
        os::private_file(&self.file, text.as_bytes()).map_err(|error| self.unusable(&error))?;
        let named = self.named()?.ok_or_else(|| self.unusable(&ErrorKind::NotFound.into()))?;
        if let Some(keyring) = kept
            && !matches!(&named, Named::Mark(named) if *named == mark)
        {
            keyring.forget(&mark);
        }
        self.open(named)
    }

    fn open(&self, named: Named) -> Result<[u8; 32], CommandError> {
        let mark = match named {
            Named::Key(key) => return Ok(key),
            Named::Mark(mark) => mark,
        };
        let sealed = format!("the tokens in `{}` are sealed with a key in the system's keyring", self.folder.display());
        let Some(keyring) = Keyring::here() else {
            return Err(CommandError::environment(
                format!("{sealed}, and this session has no keyring (`DBUS_SESSION_BUS_ADDRESS` is not set)"),
                "run it in your desktop session, or use another folder with --data-dir DIR",
            ));
        };
        let fits = |key: &[u8; 32]| self::mark(key) == mark;
        let found = keyring.find(&mark).filter(fits).or_else(|| keyring.find(&account(self.folder)).filter(fits));
        found.ok_or_else(|| {
            CommandError::environment(
                format!("{sealed}, and the keyring does not give it"),
                "unlock the keyring and try again; if the key is lost, remove the folder and log in again",
            )
        })
    }

    /// Earlier versions wrote no file if the key was in the keyring. Its name there was a digest of the folder's path.
    fn of_an_earlier_version(&self) -> Result<[u8; 32], CommandError> {
        let found = Keyring::here().and_then(|keyring| keyring.find(&account(self.folder)));
        let key = found.ok_or_else(|| {
            CommandError::environment(
                format!("`{}` holds sealed tokens, and their key is neither there nor in a keyring", self.folder.display()),
                "run it in your desktop session, whose keyring may have it; if the key is lost, remove the folder and log in again",
            )
        })?;
        let text = format!("{IN_KEYRING}{}\n", mark(&key));
        os::private_file(&self.file, text.as_bytes()).map_err(|error| self.unusable(&error))?;
        let named = self.named()?.ok_or_else(|| self.unusable(&ErrorKind::NotFound.into()))?;
        self.open(named)
    }
}

/// Returns a name for a key. The key cannot be found from the name.
fn mark(key: &[u8; 32]) -> String {
    Digest::of_list(&[b"mark of a store key", key]).to_string().chars().take(MARK_DIGITS).collect()
}

/// The name under which earlier versions kept the key of a folder.
fn account(folder: &Path) -> String {
    Digest::of(folder.as_os_str().as_encoded_bytes()).to_string()
}

fn read(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text.trim()).ok()?.try_into().ok()
}

/// The program that speaks with the keyring.
enum Keyring {
    /// `secret-tool` of libsecret.
    SecretTool,
    /// `security` of macOS.
    Security,
}

impl Keyring {
    /// The one of this machine, if there is one that this session can use.
    fn here() -> Option<Self> {
        if cfg!(target_os = "macos") {
            return Some(Self::Security);
        }
        // Without a session bus there is no keyring, and the program would start a useless bus.
        os::variable("DBUS_SESSION_BUS_ADDRESS").filter(|address| !address.is_empty()).map(|_| Self::SecretTool)
    }

    fn find(&self, account: &str) -> Option<[u8; 32]> {
        let output = match self {
            Self::SecretTool => ask("secret-tool", &["lookup", "service", SERVICE, "account", account], b"")?,
            Self::Security => ask("security", &["find-generic-password", "-s", SERVICE, "-a", account, "-w"], b"")?,
        };
        read(&output)
    }

    /// Removes a key with which nothing was sealed.
    fn forget(&self, account: &str) {
        match self {
            Self::SecretTool => ask("secret-tool", &["clear", "service", SERVICE, "account", account], b""),
            Self::Security => ask("security", &["delete-generic-password", "-s", SERVICE, "-a", account], b""),
        };
    }

    fn keep(&self, account: &str, key: &[u8; 32]) -> bool {
        let text = URL_SAFE_NO_PAD.encode(key);
        let done = match self {
            Self::SecretTool => {
                let words = ["store", "--label=Sekisho: key of the tokens", "service", SERVICE, "account", account];
                ask("secret-tool", &words, text.as_bytes())
            }
            Self::Security => {
                // Commands by standard input: the key is on no command line.
                let line = format!("add-generic-password -U -s {SERVICE} -a {account} -w {text}\n");
                ask("security", &["-i"], line.as_bytes())
            }
        };
        done.is_some()
    }
}

/// Returns what the program prints, if it succeeds.
fn ask(program: &str, words: &[&str], input: &[u8]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    // A program that does not read its input says so by its exit code.
    child.stdin.take()?.write_all(input).ok();
    let mut output = String::new();
    child.stdout.take()?.take(4096).read_to_string(&mut output).ok()?;
    child.wait().ok()?.success().then_some(output)
}
