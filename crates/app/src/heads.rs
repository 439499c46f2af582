//! The second place of the records: where the signed heads of our chain go, out of reach of whoever has this machine.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sekisho_client::http::{Destination, HttpClient, Request};
use sekisho_protocol::env::Clock;
use sekisho_protocol::ids::NodeId;
use sekisho_store::{SignedHead, Store, StoreError};

/// Where a local syslog daemon listens (RFC 5424 over a datagram socket).
const SYSLOG: &str = "/dev/log";
/// Facility `authpriv` (10), severity `notice` (5): 10 × 8 + 5 (RFC 5424 §6.2.1).
const PRIORITY: u8 = 85;

/// Where signed heads go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecondPlace {
    /// The end of a file: one line of JSON each.
    File(PathBuf),
    /// The local syslog daemon.
    Syslog,
    /// A POST of JSON.
    Url(String),
}

impl SecondPlace {
    /// Reads the setting.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if text == "syslog" {
            return Ok(Self::Syslog);
        }
        if let Some(path) = text.strip_prefix("file:").map(Path::new) {
            let good = path.is_absolute();
            return good
                .then(|| Self::File(path.to_owned()))
                .ok_or_else(|| format!("`{text}`: the path is not absolute"));
        }
        let is_url = url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if is_url { Ok(Self::Url(text.to_owned())) } else { Err(format!("`{text}` is not a place for signed heads")) }
    }

    async fn send(&self, http: &dyn HttpClient, head: &SignedHead) -> Result<(), String> {
        let line = serde_json::to_string(head).map_err(|error| error.to_string())?;
        match self {
            Self::File(path) => append(path, &line).map_err(|error| format!("`{}`: {error}", path.display())),
            Self::Syslog => log(&line).map_err(|error| format!("`{SYSLOG}`: {error}")),
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

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    // One write: lines of two processes do not mix.
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()
}

fn log(line: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.send_to(format!("<{PRIORITY}>sekisho: audit head {line}").as_bytes(), SYSLOG).map(drop)
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
            ("https://logs.example/heads", true),
            ("file:heads.jsonl", false),
            ("/var/log/heads.jsonl", false),
            ("ftp://logs.example", false),
            ("", false),
        ] {
            assert_eq!(SecondPlace::read(text).is_ok(), good, "{text}");
        }
        assert!(read("").unwrap().is_empty());
        assert!(read("\n{\"node\":1}\n").unwrap_err().starts_with("line 2: "));
    }
}
