//! What an operator can decide about the issuer. Every default is the safe one.

use crate::assertions::AssertionIssuer;

/// Settings of the issuer. They are fixed while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// How long a code lives. More than 60 is taken as 60 (ATK-08).
    pub code_ttl_seconds: u32,
    /// How long an access token lives (AS-12).
    pub access_token_ttl_seconds: u32,
    /// How long an unused refresh token lives; 0 issues none (AS-14).
    pub refresh_ttl_seconds: u32,
    /// For how long the same client may repeat a refresh whose answer it lost.
    pub refresh_retry_seconds: u32,
    /// How long a person may take to answer a request.
    pub pending_ttl_seconds: u32,
    /// Who may register itself.
    pub registration: RegistrationPolicy,
    /// Registrations per minute and address.
    pub registrations_per_minute: u32,
    /// How many self-registered clients there may be at once (ATK-24).
    pub dynamic_clients_max: u64,
    /// After how many seconds a self-registered client that was never used is forgotten (AS-41).
    pub dynamic_client_ttl_seconds: u32,
    /// Which hosts' client metadata documents are read.
    pub client_documents: DocumentPolicy,
    /// Authorization requests per minute and address.
    pub authorizations_per_minute: u32,
    /// Providers whose identity assertions are taken. None: the grant is not there.
    pub assertion_issuers: Vec<AssertionIssuer>,
}

/// Who may register itself (RFC 7591).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationPolicy {
    /// No client; there is no registration endpoint (ATK-23).
    Closed,
    /// Any client, with redirects on https, loopback or a private-use scheme.
    Open,
}

/// Which client metadata documents are read (AS-37).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentPolicy {
    /// Those of any host.
    Any,
    /// Those of these hosts only, compared exactly.
    Hosts(Vec<String>),
    /// None.
    Off,
}

impl Default for IssuerSettings {
    fn default() -> Self {
        Self {
            code_ttl_seconds: 60,
            access_token_ttl_seconds: 600,
            refresh_ttl_seconds: 30 * 24 * 60 * 60,
            refresh_retry_seconds: 30,
            pending_ttl_seconds: 600,
            registration: RegistrationPolicy::Open,
            registrations_per_minute: 60,
            dynamic_clients_max: 10_000,
            dynamic_client_ttl_seconds: 7 * 24 * 60 * 60,
            client_documents: DocumentPolicy::Any,
            authorizations_per_minute: 600,
            assertion_issuers: Vec::new(),
        }
    }
}

impl IssuerSettings {
    /// How long a code lives, within the bound of ATK-08.
    pub(crate) fn code_seconds(&self) -> u32 {
        self.code_ttl_seconds.min(60)
    }

    /// Whether refresh tokens are given at all.
    pub(crate) fn refreshes(&self) -> bool {
        self.refresh_ttl_seconds > 0
    }
}
