//! Asks upstreams whether they answer, and which tools they have.

use sekisho_gateway::ProbeError;
use sekisho_protocol::ids::ServerName;

use super::wiring::Instance;
use crate::error::CommandError;

impl Instance {
    /// Asks a server for its tools if they are not known. If the server does not answer, that is logged and not an
    /// error.
    pub(crate) async fn look_once(&self, name: &ServerName) {
        let known = match self.store.read().await {
            Ok(mut tx) => tx.catalogue().list(name).await.is_ok_and(|tools| !tools.is_empty()),
            Err(_) => true,
        };
        if !known && let Err(error) = self.look_behind(name).await {
            tracing::info!(server = %name, %error, "the server does not say what it offers");
        }
    }

    /// Starts or calls the upstream of a server, and learns its tools; the error says why it does not work. If it
    /// cannot be reached at the moment, that is no error: the reason is returned.
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
