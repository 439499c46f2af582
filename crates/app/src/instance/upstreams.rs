//! Asks what is behind a server: whether it answers, and what it offers.

use sekisho_gateway::ProbeError;
use sekisho_protocol::ids::ServerName;

use super::wiring::Instance;
use crate::error::CommandError;

impl Instance {
    /// Asks a server what it offers if that is not known. A server that does not answer is logged, and no error.
    pub(crate) async fn look_once(&self, name: &ServerName) {
        let known = match self.store.read().await {
            Ok(mut tx) => tx.catalogue().list(name).await.is_ok_and(|tools| !tools.is_empty()),
            Err(_) => true,
        };
        if !known && let Err(error) = self.look_behind(name).await {
            tracing::info!(server = %name, %error, "the server does not say what it offers");
        }
    }

    /// Starts or calls what is behind a server, and learns its tools; the error says why it does not work. What cannot be
    /// reached at the moment is no mistake: then this gives why.
    pub(crate) async fn look_behind(&self, name: &ServerName) -> Result<Option<String>, CommandError> {
        // A server that was added a moment ago is not in force yet.
        self.take_over().await?;
        match self.gateway.probe(name).await {
            Ok(_) => Ok(None),
            Err(ProbeError::Away(why)) => Ok(Some(why)),
            Err(error) => Err(CommandError::environment(
                error.to_string(),
                "see that it starts by itself and speaks MCP; --env and --secret give a program variables, --secret-header a URL its credential",
            )),
        }
    }
}
