//! The gateway's own children, which tell which revisions the program speaks and which tools it has. They serve no
//! caller.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sekisho_protocol::mcp::method::Era;
use serde_json::value::RawValue;

use super::super::probe::{self, Discovered, Own, ToolPages};
use super::super::{ForwardError, Spoken};
use super::connection::{Connection, SharedRouter, Ticket, answer};
use super::mailbox::Receiver;
use super::own_children::Probed;
use super::router::{QueueBytes, Router};
use super::slot::own_opening;
use super::upstream::StdioUpstream;

/// How long a program may be silent after `server/discover` before it is sent `initialize` as well.
const SILENCE: Duration = Duration::from_secs(5);

impl StdioUpstream {
    /// See [`super::super::Upstreams::known_revisions`].
    pub(in super::super) fn known_revisions(&self) -> Option<Arc<Spoken>> {
        self.own.spoken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// See [`super::super::Upstreams::revisions`].
    pub(in super::super) async fn revisions(self: &Arc<Self>) -> Result<Arc<Spoken>, ForwardError> {
        match self.known_revisions() {
            Some(spoken) => Ok(spoken),
            None => Ok(self.probed().await?.spoken.clone()),
        }
    }

    /// See [`super::super::Upstreams::list_tools`].
    pub(in super::super) async fn list_tools(self: &Arc<Self>) -> Result<Vec<Vec<Box<RawValue>>>, ForwardError> {
        let probed = self.probed().await?;
        let mut lists = Vec::new();
        for (revision, connection) in &probed.children {
            let mut pages = ToolPages::new(*revision, self.context.limits.answer_bytes_max);
            while let Some(question) = pages.question() {
                let answer = ask(connection, &question, self.context.limits.own_deadline).await?;
                pages.take(&answer)?;
            }
            lists.push(pages.into_tools());
        }
        Ok(lists)
    }

    /// Returns the children, ready to be asked. A call that comes while they start waits for the same ones.
    async fn probed(self: &Arc<Self>) -> Result<Arc<Probed>, ForwardError> {
        let cell = {
            let mut cell = self.own.probed.lock().unwrap_or_else(PoisonError::into_inner);
            let has_ended = |probed: &Arc<Probed>| probed.children.iter().any(|(_, child)| child.ended().is_some());
            if cell.get().is_some_and(has_ended) {
                *cell = Arc::default();
            }
            cell.clone()
        };
        let probed = cell.get_or_try_init(|| self.probe()).await?;
        let mut spoken = self.own.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        *spoken = Some(probed.spoken.clone());
        Ok(probed.clone())
    }

    /// Sends `server/discover` first, then `initialize` (ST-10, ST-11). A program that answers the first is sent the
    /// second in another process, and so is one that does not survive the first.
    async fn probe(self: &Arc<Self>) -> Result<Arc<Probed>, ForwardError> {
        let connection = self.start_own().await?;
        match self.discover(&connection).await {
            Ok(spoken) if spoken.newest().era() == Era::Stateless => self.probe_older(spoken, connection).await,
            Ok(spoken) => {
                let children = vec![(spoken.newest(), connection)];
                Ok(Arc::new(Probed { spoken: Arc::new(spoken), children }))
            }
            Err(ForwardError::ChildExited { .. }) => {
                drop(connection);
                let (spoken, connection) = self.initialize_own().await?;
                let children = vec![(spoken.newest(), connection)];
                Ok(Arc::new(Probed { spoken: Arc::new(spoken), children }))
            }
            Err(error) => Err(error),
        }
    }

    /// Finds out whether a program that answered `server/discover` also has a handshake. Its behaviour counts more than
    /// what it says about older revisions.
    async fn probe_older(
        self: &Arc<Self>,
        modern: Spoken,
        connection: Arc<Connection>,
    ) -> Result<Arc<Probed>, ForwardError> {
        let mut children = vec![(modern.newest(), connection)];
        let mut spoken = Spoken { revisions: Vec::new(), server_info: modern.server_info };
        match self.initialize_own().await {
            Ok((older, connection)) => {
                children.push((older.newest(), connection));
                spoken.revisions.extend(older.revisions);
                spoken.server_info = spoken.server_info.or(older.server_info);
            }
            // It refused, or sent something that does not mean yes.
            Err(
                error @ (ForwardError::ChildExited { .. }
                | ForwardError::Malformed { .. }
                | ForwardError::NotStarted { .. }
                | ForwardError::UnsupportedRevision { .. }),
            ) => tracing::debug!(server = %self.context.server, %error, "the program has no handshake"),
            Err(error) => return Err(error),
        }
        spoken.revisions.extend(modern.revisions.into_iter().filter(|revision| revision.era() == Era::Stateless));
        Ok(Arc::new(Probed { spoken: Arc::new(spoken), children }))
    }

    /// Starts a child that is only sent `initialize`.
    async fn initialize_own(self: &Arc<Self>) -> Result<(Spoken, Arc<Connection>), ForwardError> {
        let connection = self.start_own().await?;
        let told = connection.starting(asked(&connection, &Own::initialize())).await??;
        let spoken = initialized(&connection, &told).await?;
        Ok((spoken, connection))
    }

    async fn start_own(self: &Arc<Self>) -> Result<Arc<Connection>, ForwardError> {
        let permit = self.own.permit().await?;
        let max = self.context.limits.answer_bytes_max;
        let bytes = QueueBytes { request_max: max, session_max: max };
        let environment = self.source.own().await?.into_environment();
        Connection::start(&self.context, &SharedRouter::new(Router::of_our_own(bytes)), environment, permit).await
    }

    async fn discover(&self, connection: &Arc<Connection>) -> Result<Spoken, ForwardError> {
        let (_discovering, mut discovered) = open(connection, &Own::discover()).await?;
        // Silence means the older era, or a program that starts slowly, so both questions stay open.
        match tokio::time::timeout(SILENCE, answer(&mut discovered)).await {
            Ok(told) => match probe::read_discovered(&told?)? {
                Discovered::Modern(spoken) => Ok(*spoken),
                Discovered::Legacy => {
                    let told = connection.starting(asked(connection, &Own::initialize())).await??;
                    initialized(connection, &told).await
                }
            },
            Err(_) => {
                let question = Own::initialize();
                let first = async {
                    tokio::select! {
                        biased;
                        // A program that was only slow answers the questions in their order.
                        spoken = late(&mut discovered) => spoken,
                        told = asked(connection, &question) => initialized(connection, &told?).await,
                    }
                };
                connection.starting(first).await?
            }
        }
    }
}

/// Waits for a late modern answer. Any other answer says nothing that the answer to `initialize` does not say better.
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

async fn asked(connection: &Arc<Connection>, question: &Own) -> Result<Bytes, ForwardError> {
    let (_ticket, mut receiver) = open(connection, question).await?;
    answer(&mut receiver).await
}

async fn ask(connection: &Arc<Connection>, question: &Own, timeout: Duration) -> Result<Bytes, ForwardError> {
    let asking = asked(connection, question);
    tokio::time::timeout(timeout, asking).await.map_err(|_| ForwardError::Timeout { sent: true })?
}
