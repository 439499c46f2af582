//! What an instance sends unasked: heads of the records to the second place, and to the webhook what waits for an owner.

use std::sync::Arc;
use std::time::Duration;

use sekisho_client::http::SafeHttp;
use sekisho_protocol::secret::UpstreamSecret;

use super::wiring::Instance;
use crate::config::Configuration;
use crate::error::CommandError;
use crate::heads::{Heads, SecondPlace};
use crate::webhook::Announcer;
use crate::{reach, servers};

impl Instance {
    /// Returns the sender of our chain's heads, if the configuration names a second place.
    pub(crate) fn heads(&self) -> Result<Option<Heads>, CommandError> {
        let configuration = self.configuration.load();
        let Some(place) = &configuration.audit.heads else { return Ok(None) };
        let place = SecondPlace::read(place).map_err(|message| CommandError::usage(message, "see `sekisho check`"))?;
        Ok(Some(Heads {
            place,
            every: Duration::from_secs(u64::from(configuration.audit.heads_every.max(1))),
            http: self.reach_out(&configuration)?,
            store: self.store.clone(),
            node: self.node,
            clock: self.clock.clone(),
        }))
    }

    /// Returns the announcer of what waits for an owner, if the configuration names a webhook.
    pub(crate) fn announcer(&self) -> Result<Option<Announcer>, CommandError> {
        let configuration = self.configuration.load();
        let Some(webhook) = &configuration.webhook else { return Ok(None) };
        let secret = servers::resolve("the webhook", UpstreamSecret::from_outside(webhook.secret.clone()))?;
        Ok(Some(Announcer {
            url: webhook.url.clone(),
            secret,
            base_url: self.base_url.clone(),
            http: self.reach_out(&configuration)?,
            store: self.store.clone(),
            clock: self.clock.clone(),
            servers: self.site.servers.clone(),
        }))
    }

    /// Returns the HTTP client for addresses that the operator named. Only such an address may be a loopback one.
    fn reach_out(&self, configuration: &Configuration) -> Result<Arc<SafeHttp>, CommandError> {
        reach::named(configuration, self.extra_ca.clone()).map(Arc::new)
    }
}
