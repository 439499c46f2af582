//! The signals that end us.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::error::CommandError;

/// Becomes true at Ctrl-C or SIGTERM, which end us in order from the moment this returns.
pub(crate) fn stop_signal() -> Result<watch::Receiver<bool>, CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::environment(format!("signals cannot be waited for: {error}"), "try again")
    };
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        let _ = sender.send(true);
    });
    Ok(receiver)
}
