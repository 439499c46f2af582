//! Whether the tools of a server are known when a person is asked, and how they become known.

use std::time::Duration;

use sekisho_protocol::ids::ServerName;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How long a grant page waits until the tools of its server are known.
const WAIT: Duration = Duration::from_secs(3);

/// A request to ask a server for its tools. The issuer sends it when a person is about to consent and no tool of the
/// server is known.
#[derive(Debug)]
pub struct ListingRequest {
    /// The server.
    pub server: ServerName,
    /// Used, or dropped, once the tools are in the store or will not be.
    pub done: oneshot::Sender<()>,
}

/// What is known of a server's tools on a grant page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    /// Each tool that would be granted stands on the page.
    Listed,
    /// There are too many tools for the page: this many.
    Many(usize),
    /// The owner gives the tools their classes on this very page.
    New,
    /// No tool of the server is known.
    Unknown,
}

/// Has a server asked for its tools, and waits for the answer for a few seconds. Returns whether it was asked.
pub(super) async fn ask(requests: &mpsc::Sender<ListingRequest>, server: &ServerName) -> bool {
    let (done, answered) = oneshot::channel();
    if requests.try_send(ListingRequest { server: server.clone(), done }).is_err() {
        return false;
    }
    // Whatever comes of it, the page then shows what is known.
    let _ = timeout(WAIT, answered).await;
    true
}
