//! Why a cleared message was not answered.

use std::time::Duration;

use crate::accounts::AccountError;
use crate::credential::CredentialError;
use crate::upstream::UpstreamName;

/// Why a cleared message was not answered. Everything here is the upstream's fault or ours, never the caller's.
///
/// The texts are for the operator: they name programs and quote what a child wrote on its standard error, which may
/// hold secrets (ST-05). What a caller is told of them is decided where answers are written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ForwardError {
    /// The upstream refused the account of the person who calls, and it could not be renewed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The upstream asks to be called later: 429 or 503.
    #[error("the upstream asks to wait (it answered {status}{})", .retry_after_seconds.map_or_else(String::new, |seconds| format!(", for {seconds} s")))]
    AskedToWait {
        /// The HTTP status.
        status: u16,
        /// The seconds from now in its `Retry-After`; at most a day.
        retry_after_seconds: Option<u32>,
    },
    /// More requests are open at this child or session than is allowed, or the child does not read its input.
    #[error("the upstream does not keep up: too much is waiting for it; try again")]
    Busy {
        /// Whether the message may have reached the upstream.
        sent: bool,
    },
    /// The child ended.
    #[error("the program {status}{}{}", said(.stderr_tail), withheld_hint(.withheld))]
    ChildExited {
        /// How it ended: `exited with status 1`, `was ended by signal 9`.
        status: String,
        /// Its last lines on standard error, oldest first, without the values of secret variables.
        stderr_tail: Vec<String>,
        /// The names of the variables that it was not given.
        withheld: Vec<String>,
        /// Whether the message may have reached it.
        sent: bool,
    },
    /// The program does not exist, or may not be run.
    #[error("cannot start `{program}`: {reason}; check the command and the PATH it is given")]
    ChildMissing {
        /// The program as configured.
        program: String,
        /// The system's error text.
        reason: String,
    },
    /// The child was stopped to make room for callers who had fewer.
    #[error("the program was stopped to make room for callers who had fewer; try again")]
    GaveWay,
    /// A message could not be edited so that it certainly still says the same.
    #[error("the message could not be edited safely: {reason}")]
    Edit {
        /// What went wrong.
        reason: String,
    },
    /// The upstream encoded its answer although it was asked for `identity`. The answer is not decoded, because a small
    /// body can grow to any size (ATK-93).
    #[error(
        "the upstream's answer has `Content-Encoding: {encoding}`, although it was asked for `identity`; switch compression off at the upstream, or at the proxy before it, for requests with `Accept-Encoding: identity`"
    )]
    Encoded {
        /// The encoding, if it is a registered one.
        encoding: &'static str,
    },
    /// The upstream sent something that is not MCP.
    #[error("the upstream's answer is not MCP: {reason}")]
    Malformed {
        /// What is wrong with it, without a quotation from it.
        reason: String,
    },
    /// The upstream does not offer this HTTP method: it has no stream of its own, or its sessions cannot be ended.
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
    /// The upstream redirects us elsewhere, and we do not follow (ATK-88).
    #[error("the upstream answered with a redirect ({status}); configure the final URL")]
    Redirected {
        /// The HTTP status.
        status: u16,
    },
    /// The child runs but has not answered its first message in time.
    #[error(
        "the program did not answer within {seconds} s of its start (`start_seconds` of the server){}{}",
        said(.stderr_tail),
        withheld_hint(.withheld)
    )]
    NotStarted {
        /// How many seconds we waited for it.
        seconds: u64,
        /// As of [`ForwardError::ChildExited`].
        stderr_tail: Vec<String>,
        /// As of [`ForwardError::ChildExited`].
        withheld: Vec<String>,
    },
    /// The credential that the upstream is shown cannot be had at the moment.
    #[error("there is no credential for the upstream: {reason}")]
    NoCredential {
        /// What went wrong.
        reason: String,
    },
    /// Too many bytes of messages are held in this process, or for this caller, most likely because clients do not read
    /// their answers.
    #[error("too much is held in memory for clients that do not read; try again")]
    NoRoom {
        /// Whether the message may have reached the upstream.
        sent: bool,
    },
    /// The child ended before, and may not be started again yet.
    #[error("the program ended and is started again in {} ms", .retry_after.as_millis())]
    Restarting {
        /// The time until the next start.
        retry_after: Duration,
    },
    /// The caller has its share of this upstream already, and the rest is kept for others.
    #[error("this caller holds its share of the upstream, and there is no more room; end something first")]
    Share,
    /// The upstream has ended the session: the client must initialise again (2025-11-25 Session Management).
    #[error("the upstream ended the session")]
    SessionGone,
    /// The answer did not come in time.
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
    /// As many children run as are allowed, and all of them are busy.
    #[error("all {max} children of this server are busy; raise the limit or share them")]
    TooManyChildren {
        /// How many are allowed.
        max: usize,
    },
    /// No upstream of this key is mounted, or no longer.
    #[error("no server `{upstream}` is mounted")]
    UnknownUpstream {
        /// The key.
        upstream: UpstreamName,
    },
    /// The connection could not be made, or broke.
    #[error("cannot reach the upstream at {url}: {reason}")]
    Unreachable {
        /// The upstream's URL, without query and user information.
        url: String,
        /// The error text of the transport.
        reason: String,
        /// Whether the message may have reached the upstream.
        sent: bool,
    },
    /// The upstream speaks no revision that we speak.
    #[error("the upstream speaks {}, which is not served; 2024-11-05, 2025-03-26, 2025-06-18, 2025-11-25 and 2026-07-28 are", .offered.join(", "))]
    UnsupportedRevision {
        /// The revisions that it offers, as it writes them, shortened.
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
        let reason = error.to_string();
        match error {
            CredentialError::Account(error) => Self::Account(error),
            CredentialError::Command(_) => Self::NoCredential { reason },
            CredentialError::Header { .. } => Self::Misconfigured { reason },
        }
    }
}

impl ForwardError {
    /// Whether the upstream may have seen the message. A budget gets back only what was certainly not sent.
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
            | Self::NoCredential { .. }
            | Self::NotStarted { .. }
            | Self::Replaced
            | Self::Restarting { .. }
            | Self::Share
            | Self::TooManyChildren { .. }
            | Self::UnknownUpstream { .. } => false,
            Self::Account(_)
            | Self::AskedToWait { .. }
            | Self::Encoded { .. }
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

    /// Whether the error may be gone next time without a change of any setting: the upstream is down, or overloaded.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::AskedToWait { .. } | Self::Timeout { .. } | Self::Unreachable { .. })
    }

    /// Returns the same error, for a message that was certainly not sent.
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

/// Names first the variables that programs most often need: certificates and proxies, then keys and addresses.
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

    /// On a company's laptop `npx` hangs without the company's certificates, and the missing variable must be visible
    /// among a hundred names.
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
