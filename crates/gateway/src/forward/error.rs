//! Why a cleared message came to nothing.

use std::time::Duration;

use crate::credential::CredentialError;
use crate::upstream::UpstreamName;

/// Why a cleared message came to nothing. Everything here is the upstream's fault or ours, never the caller's.
///
/// The texts are for the operator: they name programs and quote what a child wrote on its standard error, which may
/// hold secrets (ST-05). What a caller is told of them is decided where answers are written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ForwardError {
    /// The upstream asks to be called later: 429 or 503.
    #[error("the upstream asks to wait (it answered {status}{})", .retry_after_seconds.map_or_else(String::new, |seconds| format!(", for {seconds} s")))]
    AskedToWait {
        /// The HTTP status.
        status: u16,
        /// Its `Retry-After`, as seconds from now; at most a day.
        retry_after_seconds: Option<u32>,
    },
    /// More is open at this child or session than is allowed, or the child does not read what it is sent.
    #[error("the upstream does not keep up: too much is waiting for it; try again")]
    Busy {
        /// Whether the message may have reached the upstream.
        sent: bool,
    },
    /// The child ended.
    #[error("the program {status}{}{}", said(.stderr_tail), withheld_hint(.withheld))]
    ChildExited {
        /// How: `exited with status 1`, `was ended by signal 9`.
        status: String,
        /// Its last lines on standard error, oldest first, values of secret variables struck out.
        stderr_tail: Vec<String>,
        /// Names of variables that it did not get.
        withheld: Vec<String>,
        /// Whether the message may have reached it.
        sent: bool,
    },
    /// There is no such program, or it may not be run.
    #[error("cannot start `{program}`: {reason}; check the command and the PATH it is given")]
    ChildMissing {
        /// As configured.
        program: String,
        /// As the system says it.
        reason: String,
    },
    /// The child was stopped to make room for callers who had fewer.
    #[error("the program was stopped to make room for callers who had fewer; try again")]
    GaveWay,
    /// A message could not be edited so that it surely says the same as before.
    #[error("the message could not be edited safely: {reason}")]
    Edit {
        /// What went wrong.
        reason: String,
    },
    /// The upstream said something that is not MCP.
    #[error("the upstream's answer is not MCP: {reason}")]
    Malformed {
        /// What is wrong with it, without quoting it.
        reason: String,
    },
    /// The upstream does not offer this HTTP method: no stream of its own, or sessions that cannot be ended.
    #[error("the upstream does not offer this HTTP method")]
    MethodNotAllowed,
    /// The settings of the upstream cannot be used.
    #[error("the upstream's settings cannot be used: {reason}")]
    Misconfigured {
        /// Which setting, and what is wrong with it.
        reason: String,
    },
    /// Another upstream took the key of this one while the call was on its way.
    #[error("the server was configured anew while the call was on its way; try again")]
    Replaced,
    /// The upstream wants us to go elsewhere, and we do not (ATK-88).
    #[error("the upstream answered with a redirect ({status}); configure the final URL")]
    Redirected {
        /// The HTTP status.
        status: u16,
    },
    /// The child lives and has not answered its first message.
    #[error(
        "the program did not answer within {seconds} s of its start (`start_seconds` of the server){}{}",
        said(.stderr_tail),
        withheld_hint(.withheld)
    )]
    NotStarted {
        /// How long it was waited for.
        seconds: u64,
        /// As of [`ForwardError::ChildExited`].
        stderr_tail: Vec<String>,
        /// As of [`ForwardError::ChildExited`].
        withheld: Vec<String>,
    },
    /// Too many messages are held in this process, or for this caller: most likely answers that clients do not read.
    #[error("too much is held in memory for clients that do not read; try again")]
    NoRoom {
        /// Whether the message may have reached the upstream.
        sent: bool,
    },
    /// The child ended before, and its next start is not due yet.
    #[error("the program ended and is started again in {} ms", .retry_after.as_millis())]
    Restarting {
        /// Until the next start.
        retry_after: Duration,
    },
    /// The caller has a share of this upstream already, and what is left is for others.
    #[error("this caller holds its share of the upstream, and there is no more room; end something first")]
    Share,
    /// The session is over at the upstream: the client must initialise anew (2025-11-25 Session Management).
    #[error("the upstream ended the session")]
    SessionGone,
    /// No answer in time.
    #[error(
        "the upstream did not answer in time; `call_seconds` of the server is how long a call may take without progress"
    )]
    Timeout {
        /// Whether the message may have reached the upstream.
        sent: bool,
    },
    /// One event or one answer is larger than allowed.
    #[error(
        "the upstream sent more than {max} bytes in one message; `limits.result_mib` of the configuration is the bound"
    )]
    TooLarge {
        /// The bound, in bytes.
        max: usize,
    },
    /// As many children run as are allowed, and each has something to do.
    #[error("all {max} children of this server are busy; raise the limit or share them")]
    TooManyChildren {
        /// How many are allowed.
        max: usize,
    },
    /// There is no upstream of this key (any more).
    #[error("no server `{upstream}` is mounted")]
    UnknownUpstream {
        /// The key.
        upstream: UpstreamName,
    },
    /// No connection, or one that broke.
    #[error("cannot reach the upstream at {url}: {reason}")]
    Unreachable {
        /// Where, without query and user information.
        url: String,
        /// As the transport says it.
        reason: String,
        /// Whether the message may have reached the upstream.
        sent: bool,
    },
    /// The upstream speaks no revision that we do.
    #[error("the upstream speaks {}, which is not served; 2024-11-05, 2025-03-26, 2025-06-18, 2025-11-25 and 2026-07-28 are", .offered.join(", "))]
    UnsupportedRevision {
        /// What it offers, as it writes it, shortened.
        offered: Vec<String>,
    },
    /// The upstream answered 401 or 403. Its challenge names another resource and is never relayed (PX-13).
    #[error(
        "the upstream wants its own credential (it answered {status}); configure one, for example as a secret header"
    )]
    WantsOwnCredential {
        /// The HTTP status.
        status: u16,
    },
}

impl From<CredentialError> for ForwardError {
    fn from(error: CredentialError) -> Self {
        Self::Misconfigured { reason: error.to_string() }
    }
}

impl ForwardError {
    /// Whether the upstream may have seen the message. Only what was surely not sent may be given back to a budget.
    pub(crate) fn sent(&self) -> bool {
        match self {
            Self::Busy { sent }
            | Self::ChildExited { sent, .. }
            | Self::NoRoom { sent }
            | Self::Timeout { sent }
            | Self::Unreachable { sent, .. } => *sent,
            Self::ChildMissing { .. }
            | Self::Edit { .. }
            | Self::Misconfigured { .. }
            | Self::NotStarted { .. }
            | Self::Replaced
            | Self::Restarting { .. }
            | Self::Share
            | Self::TooManyChildren { .. }
            | Self::UnknownUpstream { .. } => false,
            Self::AskedToWait { .. }
            | Self::GaveWay
            | Self::Malformed { .. }
            | Self::MethodNotAllowed
            | Self::Redirected { .. }
            | Self::SessionGone
            | Self::TooLarge { .. }
            | Self::UnsupportedRevision { .. }
            | Self::WantsOwnCredential { .. } => true,
        }
    }

    /// Whether it may be gone the next time without anybody changing a setting: the upstream is down, or overloaded.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::AskedToWait { .. } | Self::Timeout { .. } | Self::Unreachable { .. })
    }

    /// The same, of a message that was surely not sent.
    pub(super) fn unsent(mut self) -> Self {
        if let Self::Busy { sent }
        | Self::ChildExited { sent, .. }
        | Self::NoRoom { sent }
        | Self::Timeout { sent }
        | Self::Unreachable { sent, .. } = &mut self
        {
            *sent = false;
        }
        self
    }
}

fn said(stderr_tail: &[String]) -> String {
    if stderr_tail.is_empty() {
        return " and wrote nothing on its standard error".to_owned();
    }
    format!("; its last lines were:\n  {}", stderr_tail.join("\n  "))
}

/// Names first what a program most often stops without: certificates and proxies, then keys and addresses.
fn withheld_hint(withheld: &[String]) -> String {
    if withheld.is_empty() {
        return String::new();
    }
    const FIRST: [&str; 4] = ["CERT", "PROXY", "_CA", "SSL"];
    const THEN: [&str; 5] = ["KEY", "TOKEN", "SECRET", "URL", "HOST"];
    let rank = |name: &&String| {
        let upper = name.to_ascii_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| upper.contains(word));
        (!has(&FIRST), !has(&THEN))
    };
    let mut named: Vec<&String> = withheld.iter().collect();
    named.sort_by_key(rank);
    let flags: Vec<_> = named.into_iter().map(|name| format!("--env {name}")).collect();
    format!("\nit was not given these variables, which are set here; to pass one: {}", flags.join(" "))
}

#[cfg(test)]
mod tests {
    use super::ForwardError;

    #[test]
    fn an_exit_is_told_with_the_last_lines_and_the_flags_that_would_help() {
        let error = ForwardError::ChildExited {
            status: "exited with status 1".into(),
            stderr_tail: vec!["boot".into(), "API_KEY is not set".into()],
            withheld: vec!["API_KEY".into()],
            sent: false,
        };
        let text = error.to_string();
        assert!(text.starts_with("the program exited with status 1; its last lines were:\n  boot\n"), "{text}");
        assert!(text.ends_with("--env API_KEY"), "{text}");
        assert!(!error.sent());
    }

    /// A company's laptop: without its certificates `npx` hangs, and what is missing has to be seen among a hundred names.
    #[test]
    fn a_start_that_takes_too_long_names_withheld_variables_certificates_first() {
        let withheld = ["EDITOR", "API_KEY", "NODE_EXTRA_CA_CERTS", "corp_proxy"].map(str::to_owned).to_vec();
        let error = ForwardError::NotStarted { seconds: 120, stderr_tail: Vec::new(), withheld };
        let text = error.to_string();
        assert!(text.contains("within 120 s") && text.contains("`start_seconds`"), "{text}");
        let order = "--env NODE_EXTRA_CA_CERTS --env corp_proxy --env API_KEY --env EDITOR";
        assert!(text.ends_with(order), "{text}");
        assert!(!error.sent());
    }
}
