//! The key under which tokens are sealed: in the system's keyring where there is one, otherwise in a file that only we
//! may read (CL-38).
//!
//! The keyring is asked through the system's own program, as git and docker ask it: a client of its protocol would be
//! a quarter of all that is compiled here. The key goes in by standard input and never stands on a command line.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_client::token_store::StoreKey;
use sekisho_protocol::env::random;

use crate::error::CommandError;
use crate::os::{self, OsEntropy};

/// Under which name the keyring knows it.
const SERVICE: &str = "sekisho";

/// The key, made if there is none.
pub(super) fn key(folder: &Path) -> Result<StoreKey, CommandError> {
    let unusable = |error: std::io::Error| {
        CommandError::environment(
            format!("`{}` cannot be used: {error}", folder.display()),
            "choose another with --data-dir DIR, or change its owner",
        )
    };
    os::private_folder(folder).map_err(unusable)?;
    let file = folder.join("key");
    // Whoever has begun with a file stays with it: what was sealed must be opened again.
    if let Some(key) = from_file(&file)? {
        return Ok(key);
    }
    let account = account(folder);
    if let Some(keyring) = Keyring::here() {
        if let Some(key) = keyring.find(&account) {
            return Ok(key);
        }
        let fresh = random::<32>(&OsEntropy);
        if keyring.keep(&account, &fresh) && keyring.find(&account).is_some() {
            return Ok(StoreKey::new(fresh));
        }
    }
    let fresh = random::<32>(&OsEntropy);
    os::private_file(&file, URL_SAFE_NO_PAD.encode(fresh).as_bytes()).map_err(unusable)?;
    // Of two programs that begin at once, one writes it.
    from_file(&file)?.ok_or_else(|| unusable(std::io::ErrorKind::NotFound.into()))
}

/// Several data directories have a key each.
fn account(folder: &Path) -> String {
    sekisho_protocol::digest::Digest::of(folder.as_os_str().as_encoded_bytes()).to_string()
}

fn from_file(path: &Path) -> Result<Option<StoreKey>, CommandError> {
    match std::fs::read_to_string(path) {
        Ok(text) => match read(&text) {
            Some(key) => Ok(Some(key)),
            None => Err(CommandError::environment(
                format!("`{}` is no key", path.display()),
                "remove the folder it is in, and log in again",
            )),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CommandError::environment(
            format!("`{}` cannot be read: {error}", path.display()),
            "it has to be yours alone",
        )),
    }
}

fn read(text: &str) -> Option<StoreKey> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim()).ok()?;
    bytes.try_into().ok().map(StoreKey::new)
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
        // Without a session bus nothing answers, and the program would start one for nobody.
        os::variable("DBUS_SESSION_BUS_ADDRESS").filter(|address| !address.is_empty()).map(|_| Self::SecretTool)
    }

    fn find(&self, account: &str) -> Option<StoreKey> {
        let output = match self {
            Self::SecretTool => ask("secret-tool", &["lookup", "service", SERVICE, "account", account], b"")?,
            Self::Security => ask("security", &["find-generic-password", "-s", SERVICE, "-a", account, "-w"], b"")?,
        };
        read(&output)
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

/// What the program prints, if it says yes.
fn ask(program: &str, words: &[&str], input: &[u8]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    // Whoever does not read says no by its exit code.
    child.stdin.take()?.write_all(input).ok();
    let mut output = String::new();
    child.stdout.take()?.take(4096).read_to_string(&mut output).ok()?;
    child.wait().ok()?.success().then_some(output)
}
