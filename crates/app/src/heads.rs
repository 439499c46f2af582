//! The second place of the records: where the signed heads of our chain go, so that an attacker who controls
//! this machine cannot change them.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sekisho_client::http::{Destination, HttpClient, Request};
use sekisho_protocol::env::Clock;
use sekisho_protocol::ids::NodeId;
use sekisho_store::{SignedHead, Store, StoreError};
use tokio::net::UnixDatagram;

use crate::os;

/// Where a local syslog daemon listens (RFC 5424 over a datagram socket).
const SYSLOG: &str = "/dev/log";
/// Facility `authpriv` (10), severity `notice` (5): 10 × 8 + 5 (RFC 5424 §6.2.1).
const PRIORITY: u8 = 85;

/// The setting in which the place is noted, for commands that run while no instance does.
pub(crate) const PLACE_SETTING: &str = "audit.heads";
/// How much of the end of a file is read at a start, in bytes: some thousand heads.
const END_BYTES: u64 = 1 << 20;
/// How long one head may take to be written. A daemon that hangs, or a disk that does not answer, holds up nothing: the
/// next head says all that this one would have said (ATK-194).
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where signed heads go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecondPlace {
    /// The end of a file: one line of JSON each.
    File(PathBuf),
    /// A local syslog daemon, which listens here.
    Syslog(PathBuf),
    /// A POST of JSON.
    Url(String),
}

impl SecondPlace {
    /// Reads the setting.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if text == "syslog" {
            return Ok(Self::Syslog(PathBuf::from(SYSLOG)));
        }
        let absolute = |path: &str| match Path::new(path) {
            path if path.is_absolute() => Ok(path.to_owned()),
            _ => Err(format!("`{text}`: the path is not absolute")),
        };
        if let Some(path) = text.strip_prefix("syslog:") {
            return absolute(path).map(Self::Syslog);
        }
        if let Some(path) = text.strip_prefix("file:") {
            return absolute(path).map(Self::File);
        }
        let is_url = url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if is_url { Ok(Self::Url(text.to_owned())) } else { Err(format!("`{text}` is not a place for signed heads")) }
    }

    /// The newest head of every chain, as far as it can be read from the end of the place.
    pub(crate) fn newest(&self) -> Result<Vec<SignedHead>, String> {
        let Self::File(path) = self else { return Ok(Vec::new()) };
        let text = match end_of(path) {
            Ok(text) => text,
            // Nothing has been written there yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(format!("`{}`: {error}", path.display())),
        };
        let mut newest: BTreeMap<NodeId, SignedHead> = BTreeMap::new();
        for head in read(&text)? {
            newest.insert(head.node, head);
        }
        Ok(newest.into_values().collect())
    }

    /// Every head that is kept there. `None`: what was sent there cannot be asked back.
    pub(crate) fn all(&self) -> Result<Option<Vec<SignedHead>>, String> {
        let Self::File(path) = self else { return Ok(None) };
        let bad =
            |error: String| format!("the second place of the records, `{}`, cannot be read: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        read(whole_lines(&text)).map(Some).map_err(bad)
    }

    async fn send(&self, http: &dyn HttpClient, head: &SignedHead) -> Result<(), String> {
        let line = serde_json::to_string(head).map_err(|error| error.to_string())?;
        match self {
            Self::File(path) => {
                let shown = path.display().to_string();
                let path = path.clone();
                let appended = os::beside(WRITE_TIMEOUT, move || append(&path, &line)).await;
                let appended = appended.ok_or_else(|| format!("`{shown}` was not written in time"))?;
                appended.map_err(|error| format!("`{shown}`: {error}"))
            }
            Self::Syslog(path) => {
                let logged = tokio::time::timeout(WRITE_TIMEOUT, log(path, &line)).await;
                let logged = logged.map_err(|_| format!("`{}` does not read what it is sent", path.display()))?;
                logged.map_err(|error| format!("`{}`: {error}", path.display()))
            }
            Self::Url(url) => {
                let body = serde_json::to_value(head).map_err(|error| error.to_string())?;
                let answer = http
                    .send(Request::post_json(Destination::given(url), &body))
                    .await
                    .map_err(|error| error.to_string())?;
                let taken = answer.status.is_success();
                if taken { Ok(()) } else { Err(format!("`{url}` answered {}", answer.status)) }
            }
        }
    }
}

/// The last lines of a file, whole ones.
fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(END_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(END_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = if from == 0 { &text } else { text.split_once('\n').map_or("", |(_, rest)| rest) };
    Ok(whole_lines(text).to_owned())
}

/// Without a last line that was begun and not finished: the machine stopped while it was being written.
fn whole_lines(text: &str) -> &str {
    text.rfind('\n').and_then(|end| text.get(..=end)).unwrap_or_default()
}

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    // One write: lines of two processes do not mix.
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}

async fn log(path: &Path, line: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.send_to(format!("<{PRIORITY}>sekisho: audit head {line}").as_bytes(), path).await.map(drop)
}

/// Writes down how far our chain has come.
pub(crate) struct Heads {
    pub(crate) place: SecondPlace,
    pub(crate) every: Duration,
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) store: Store,
    pub(crate) node: NodeId,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Heads {
    /// Until the task is ended. What could not be written is written with the next one: a later head says more.
    pub(crate) async fn keep(self: Arc<Self>) {
        let mut last = 0;
        let mut every = tokio::time::interval(self.every);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            match self.write(last).await {
                Ok(seq) => last = seq,
                Err(error) => {
                    tracing::error!(%error, "the head of the records could not be written to its second place")
                }
            }
        }
    }

    /// Once, if anything was recorded after `last`. Gives the place it stands at.
    pub(crate) async fn write(&self, last: i64) -> Result<i64, String> {
        let store = |error: StoreError| error.to_string();
        let mut tx = self.store.read().await.map_err(store)?;
        let head = tx.audit().head(self.node).await.map_err(store)?;
        drop(tx);
        let Some(head) = head.filter(|head| head.seq > last) else { return Ok(last) };
        let signed = self.store.sign_head(self.node, head, self.clock.now());
        self.place.send(self.http.as_ref(), &signed).await?;
        Ok(head.seq)
    }
}

/// Reads the heads of a file, as [`SecondPlace::File`] writes them. Also of a log in which other text stands before them.
pub(crate) fn read(text: &str) -> Result<Vec<SignedHead>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let heads = lines.map(|(at, line)| {
        let json = line.find('{').and_then(|from| line.get(from..)).unwrap_or_default();
        serde_json::from_str(json.trim()).map_err(|error| format!("line {}: {error}", at + 1))
    });
    heads.collect()
}

#[cfg(test)]
mod tests {
    use super::{SecondPlace, read};

    #[test]
    fn a_second_place_is_a_file_a_log_or_a_url() {
        for (text, good) in [
            ("file:/var/log/heads.jsonl", true),
            ("syslog", true),
            ("syslog:/run/systemd/journal/syslog", true),
            ("syslog:log", false),
            ("https://logs.example/heads", true),
            ("file:heads.jsonl", false),
            ("/var/log/heads.jsonl", false),
            ("ftp://logs.example", false),
            ("", false),
        ] {
            assert_eq!(SecondPlace::read(text).is_ok(), good, "{text}");
        }
        assert_eq!(super::whole_lines("a\nb\nc"), "a\nb\n");
        assert_eq!(super::whole_lines("c"), "");
        assert!(read("").unwrap().is_empty());
        assert!(read("\n{\"node\":1}\n").unwrap_err().starts_with("line 2: "));
    }
}
