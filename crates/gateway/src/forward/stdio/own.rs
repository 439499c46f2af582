//! The gateway's own child: which revisions the program speaks, and its tools. It never serves a caller.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::super::probe::{self, Discovered, Own, ToolPages};
use super::super::{ForwardError, Spoken};
use super::StdioUpstream;
use super::connection::{Connection, SharedRouter, Ticket, answer};
use super::mailbox::Receiver;
use super::router::{QueueBytes, Router};
use super::slot::own_opening;

/// How long a program may take to say something to `server/discover` before it is asked in the older way as well.
const SILENCE: Duration = Duration::from_secs(5);

/// What is known of the program, and the child that said it.
#[derive(Debug)]
pub(super) struct OwnChild {
    /// There is one such child at a time, and callers cannot take its place: without it no list can be had, and so no
    /// tool be called.
    permits: Arc<Semaphore>,
    spoken: Mutex<Option<Arc<Spoken>>>,
    probed: Mutex<Arc<OnceCell<Arc<Probed>>>>,
}

#[derive(Debug)]
struct Probed {
    spoken: Arc<Spoken>,
    connection: Arc<Connection>,
}

impl Default for OwnChild {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(1)), spoken: Mutex::default(), probed: Mutex::default() }
    }
}

impl OwnChild {
    /// Waits until the one before it is gone.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, ForwardError> {
        self.permits.clone().acquire_owned().await.map_err(|_| ForwardError::Busy { sent: false })
    }
}

impl StdioUpstream {
    /// See [`super::super::Upstreams::revisions`].
    pub(in super::super) async fn revisions(self: &Arc<Self>) -> Result<Arc<Spoken>, ForwardError> {
        let known = self.own.spoken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(spoken) => Ok(spoken),
            None => Ok(self.probed().await?.spoken.clone()),
        }
    }

    /// See [`super::super::Upstreams::list_tools`].
    pub(in super::super) async fn list_tools(self: &Arc<Self>) -> Result<Vec<Box<RawValue>>, ForwardError> {
        let probed = self.probed().await?;
        let revision = probed.spoken.newest();
        let mut pages = ToolPages::new(revision, self.context.limits.answer_bytes_max);
        while let Some(question) = pages.question() {
            let answer = ask(&probed.connection, &question, self.context.limits.own_deadline).await?;
            pages.take(&answer)?;
        }
        Ok(pages.into_tools())
    }

    /// The child, ready to be asked. Whoever comes while it starts waits for the same one.
    async fn probed(self: &Arc<Self>) -> Result<Arc<Probed>, ForwardError> {
        let cell = {
            let mut cell = self.own.probed.lock().unwrap_or_else(PoisonError::into_inner);
            if cell.get().is_some_and(|probed| probed.connection.ended().is_some()) {
                *cell = Arc::default();
            }
            cell.clone()
        };
        let probed = cell.get_or_try_init(|| self.probe()).await?;
        let mut spoken = self.own.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        *spoken = Some(probed.spoken.clone());
        Ok(probed.clone())
    }

    /// `server/discover` first, then `initialize` (ST-10, ST-11). A program that does not survive the first question
    /// gets a second life in which it is asked the second question only.
    async fn probe(self: &Arc<Self>) -> Result<Arc<Probed>, ForwardError> {
        let connection = self.start_own().await?;
        match self.discover(&connection).await {
            Ok(spoken) => Ok(Arc::new(Probed { spoken: Arc::new(spoken), connection })),
            Err(ForwardError::ChildExited { .. }) => {
                drop(connection);
                let connection = self.start_own().await?;
                let timeout = self.context.settings.start_timeout;
                let told = ask(&connection, &Own::initialize(), timeout).await?;
                let spoken = Arc::new(probe::read_initialized(&told)?);
                connection.write(&Own::initialized().bytes).await?;
                Ok(Arc::new(Probed { spoken, connection }))
            }
            Err(error) => Err(error),
        }
    }

    async fn start_own(self: &Arc<Self>) -> Result<Arc<Connection>, ForwardError> {
        let permit = self.own.permit().await?;
        let max = self.context.limits.answer_bytes_max;
        let bytes = QueueBytes { request_max: max, session_max: max };
        Connection::start(&self.context, &SharedRouter::new(Router::new(bytes, true)), permit).await
    }

    async fn discover(&self, connection: &Arc<Connection>) -> Result<Spoken, ForwardError> {
        let start_timeout = self.context.settings.start_timeout;
        let (_discovering, mut discovered) = open(connection, &Own::discover()).await?;
        // Silence means the older era, or a program that is slow to start; so both questions stay open then.
        match tokio::time::timeout(SILENCE.min(start_timeout / 2), answer(&mut discovered)).await {
            Ok(told) => match probe::read_discovered(&told?)? {
                Discovered::Modern(spoken) => Ok(*spoken),
                Discovered::Legacy => {
                    let told = ask(connection, &Own::initialize(), start_timeout).await?;
                    initialized(connection, &told).await
                }
            },
            Err(_) => {
                let question = Own::initialize();
                let asking = ask(connection, &question, start_timeout);
                tokio::select! {
                    told = asking => initialized(connection, &told?).await,
                    spoken = late(&mut discovered) => spoken,
                }
            }
        }
    }
}

/// A modern answer that comes late. Any other says nothing that `initialize` does not say better.
async fn late(discovered: &mut Receiver) -> Result<Spoken, ForwardError> {
    match probe::read_discovered(&answer(discovered).await?)? {
        Discovered::Modern(spoken) => Ok(*spoken),
        Discovered::Legacy => std::future::pending().await,
    }
}

async fn initialized(connection: &Arc<Connection>, told: &[u8]) -> Result<Spoken, ForwardError> {
    let spoken = probe::read_initialized(told)?;
    connection.write(&Own::initialized().bytes).await?;
    Ok(spoken)
}

async fn open(connection: &Arc<Connection>, question: &Own) -> Result<(Ticket, Receiver), ForwardError> {
    let no_id = || ForwardError::Edit { reason: "a question needs an id".to_owned() };
    let opening = own_opening(question.id.clone().ok_or_else(no_id)?, &connection.memory);
    connection.open(opening, &question.bytes).await
}

async fn ask(connection: &Arc<Connection>, question: &Own, timeout: Duration) -> Result<Bytes, ForwardError> {
    let asking = async {
        let (_ticket, mut receiver) = open(connection, question).await?;
        answer(&mut receiver).await
    };
    tokio::time::timeout(timeout, asking).await.map_err(|_| ForwardError::Timeout { sent: true })?
}
