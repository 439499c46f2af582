//! The clients that are known not to handle a refusal as the protocol requires.
//!
//! A client is recognised by its verified identifier: the URL of its metadata document, or the name under which an
//! operator registered it. The name that it gives itself (`clientInfo`) does not count (RS-55), and a client that
//! registered itself has no profile. An operator can add more identifiers (`clients.tool_errors`).

use sekisho_protocol::audit::Verdict;
use sekisho_protocol::caller::Caller;

use crate::limits::GatewaySettings;

/// What a client fails to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// After a 403 that names scopes, it does not ask for them and tells its user nothing.
    StepUp,
}

/// One client, with a report of its behaviour and the date of that.
#[derive(Debug)]
struct Profile {
    client: &'static str,
    lacks: Lack,
    source: &'static str,
    date: &'static str,
}

const PROFILES: [Profile; 1] = [Profile {
    client: "https://claude.ai/oauth/claude-code-client-metadata",
    lacks: Lack::StepUp,
    source: "https://github.com/anthropics/claude-code/issues/68720",
    date: "2026-06-16",
}];

/// Whether this client's model is told of a refused call by the result of the tool.
pub(crate) fn wants_tool_error(settings: &GatewaySettings, caller: &Caller, verdict: Verdict) -> bool {
    let Some(client) = caller.client() else { return false };
    if settings.tool_error_clients.contains(client) {
        return true;
    }
    let lacks = |profile: &Profile| match profile.lacks {
        Lack::StepUp => verdict == Verdict::StepUp,
    };
    let known = PROFILES.iter().find(|profile| profile.client == client.as_str() && lacks(profile));
    if let Some(profile) = known {
        tracing::debug!(client = profile.client, source = profile.source, date = profile.date, "told by a tool error");
    }
    known.is_some()
}

#[cfg(test)]
mod tests {
    use sekisho_protocol::audit::Verdict;
    use sekisho_protocol::caller::Caller;
    use sekisho_protocol::ids::ClientId;
    use sekisho_protocol::scope::ScopeSet;

    use super::{PROFILES, wants_tool_error};
    use crate::limits::{GatewaySettings, Limits};

    fn settings(clients: &[&str]) -> GatewaySettings {
        GatewaySettings {
            base_url: "https://sekisho.example".to_owned(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            tool_error_clients: clients.iter().map(|client| ClientId::parse(client).unwrap()).collect(),
            record_reads_first: false,
            limits: Limits::default(),
        }
    }

    fn caller(client: &str) -> Caller {
        Caller::of_test(1, |granted| granted.client = ClientId::parse(client).unwrap())
    }

    #[test]
    fn only_what_is_known_of_a_verified_client_counts() {
        let (none, told) = (settings(&[]), settings(&["cli_told"]));
        let known = caller(PROFILES[0].client);
        assert!(wants_tool_error(&none, &known, Verdict::StepUp));
        assert!(!wants_tool_error(&none, &known, Verdict::Deny));
        let near = caller(&format!("{}/", PROFILES[0].client));
        assert!(!wants_tool_error(&none, &near, Verdict::StepUp));
        assert!(!wants_tool_error(&none, &caller("cli_told"), Verdict::StepUp));
        assert!(wants_tool_error(&told, &caller("cli_told"), Verdict::Deny));
        assert!(!wants_tool_error(&told, &Caller::anonymous(ScopeSet::empty()), Verdict::Deny));
    }

    #[test]
    fn every_profile_says_where_and_when_it_was_seen() {
        for profile in &PROFILES {
            assert!(profile.client.starts_with("https://") && profile.source.starts_with("https://"));
            assert!(profile.date.parse::<jiff::civil::Date>().is_ok(), "{}", profile.date);
        }
    }
}
