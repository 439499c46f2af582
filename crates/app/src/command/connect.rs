//! `sekisho connect`

use std::io::Read as _;
use std::sync::Arc;

use sekisho_client::bridge::{Bridge, BridgeSettings, Notice, OutLine};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::visible;
use crate::cli::{Common, ConnectArguments};
use crate::error::CommandError;
use crate::outside::{self, Terminal};
use crate::telemetry;

/// The most messages queued for the client; the bridge bounds the large ones.
const QUEUE: usize = 64;
/// The most messages queued from the client: each may be large, and further ones wait in the pipe.
const LINES_QUEUE: usize = 2;

/// Carries messages between standard input and output and a server, until the client closes its side.
pub(crate) async fn connect(common: &Common, arguments: &ConnectArguments) -> Result<(), CommandError> {
    telemetry::start_quiet();
    let server = outside::server(&arguments.url)?;
    let instead = "there is no browser here, so run `sekisho login URL` in a terminal, and start this again";
    let browser = Terminal { browser: !arguments.no_browser, paste: false, instead };
    let session = arguments.client.session(common, server, Arc::new(browser)).await?;
    let settings = BridgeSettings::default();
    let from_client = lines(settings.message_bytes_max);
    let (to_client, out) = mpsc::channel(QUEUE);
    let writer = tokio::spawn(write(out));
    // A separate task, so that signals are not polled with every message.
    let stopped = tokio::spawn(outside::stopped());
    let bridge = Bridge::new(session, settings, to_client, Box::new(say));
    tokio::select! {
        () = bridge.run(from_client) => {}
        stopped = stopped => stopped.unwrap_or(Ok(()))?,
    }
    let finished = outside::finish(bridge.login()).await;
    drop(bridge);
    // Gives answers that are already queued one second to reach the client.
    tokio::time::timeout(std::time::Duration::from_secs(1), writer).await.ok();
    drop(finished);
    Ok(())
}

/// Reads lines of standard input in a thread that ends with the process. A line that is too long ends the session.
fn lines(bytes_max: usize) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(LINES_QUEUE);
    std::thread::spawn(move || {
        let mut input = std::io::BufReader::new(std::io::stdin().lock());
        loop {
            let mut line = Vec::new();
            let bound = u64::try_from(bytes_max).unwrap_or(u64::MAX);
            let read = std::io::BufRead::read_until(&mut input.by_ref().take(bound), b'\n', &mut line);
            let whole = line.last() == Some(&b'\n') || line.len() < bytes_max;
            match read {
                Ok(0) | Err(_) => return,
                Ok(_) if !whole => {
                    tell!("sekisho: a message of the client is longer than {bytes_max} bytes");
                    return;
                }
                Ok(_) => {
                    if sender.blocking_send(line).is_err() {
                        return;
                    }
                }
            }
        }
    });
    receiver
}

/// Writes messages to standard output, where nothing else is ever written (ST-04).
async fn write(mut lines: mpsc::Receiver<OutLine>) {
    let mut out = tokio::io::stdout();
    while let Some(line) = lines.recv().await.map(OutLine::ended) {
        if out.write_all(line.bytes()).await.is_err() || out.flush().await.is_err() {
            return;
        }
    }
}

/// Writes a notice to standard error, for the log of the client that started us (ST-05).
fn say(notice: Notice) {
    let text = match notice {
        Notice::Asked { url } => format!("a person has to decide at {url}"),
        Notice::BegunAgain => "the server had forgotten the session; a new one was begun".to_owned(),
        Notice::Dropped { why } => format!("left out: {why}"),
        Notice::Reconnecting => "a stream broke; it is opened again".to_owned(),
        Notice::ToolsLeftOut { names } => {
            format!("tools left out, their headers are wrongly declared: {}", names.join(", "))
        }
    };
    tell!("sekisho: {}", visible(&text));
}
