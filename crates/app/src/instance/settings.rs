//! Makes the settings of the issuer and of the gateway from the configuration.

use std::num::NonZeroU32;

use sekisho_gateway::memory::Memory;
use sekisho_gateway::{GatewaySettings, Limits};
use sekisho_issuer::{DocumentPolicy, IssuerSettings, RegistrationPolicy};
use sekisho_protocol::ids::ClientId;

use crate::base_url::{BaseUrlSettings, hosts};
use crate::config::Configuration;
use crate::provisioning;

/// Returns the settings of the base URL, from the configuration and the port.
pub(super) fn base_url_settings(configuration: &Configuration, port: u16) -> BaseUrlSettings<'_> {
    let scheme = if configuration.tls.cert.is_some() { "https" } else { "http" };
    BaseUrlSettings { configured: configuration.base_url.as_deref(), scheme, port }
}

pub(super) fn issuer_settings(configuration: &Configuration) -> IssuerSettings {
    let clients = &configuration.clients;
    let mut settings = IssuerSettings::default();
    if !clients.registration {
        settings.registration = RegistrationPolicy::Closed;
    }
    settings.assertion_issuers = provisioning::assertion_issuers(&configuration.login.provider);
    settings.dynamic_clients_max = u64::from(clients.registered_max);
    settings.client_documents = match (clients.metadata_documents, clients.metadata_document_hosts.is_empty()) {
        (false, _) => DocumentPolicy::Off,
        (true, true) => DocumentPolicy::Any,
        (true, false) => DocumentPolicy::Hosts(clients.metadata_document_hosts.clone()),
    };
    settings
}

pub(super) fn gateway_settings(configuration: &Configuration, base_url: &str) -> GatewaySettings {
    let mut allowed_origins = vec![base_url.to_owned()];
    allowed_origins.extend(configuration.origins.iter().cloned());
    GatewaySettings {
        base_url: base_url.to_owned(),
        allowed_hosts: hosts(base_url),
        allowed_origins,
        record_reads_first: configuration.audit.reads_first,
        // Invalid identifiers were refused when the file was read.
        tool_error_clients: configuration
            .clients
            .tool_errors
            .iter()
            .filter_map(|id| ClientId::parse(id).ok())
            .collect(),
        limits: Limits {
            calls_per_second_max: NonZeroU32::new(configuration.limits.calls_per_second),
            memory: memory(configuration.limits.memory_mib),
            answer_bytes_max: mib(configuration.limits.result_mib.max(1)),
            ..Limits::default()
        },
    }
}

/// Returns how much memory bodies and answers may take. Below the minimum, the share of one client would be too small
/// for an answer.
fn memory(mib: u32) -> Memory {
    const LEAST_MIB: u32 = 128;
    Memory::new(self::mib(mib.max(LEAST_MIB)))
}

fn mib(mib: u32) -> usize {
    usize::try_from(mib).unwrap_or(usize::MAX).saturating_mul(1 << 20)
}
