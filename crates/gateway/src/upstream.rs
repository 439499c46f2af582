//! What stands behind mounts: the key of an upstream, and its settings by an operator. Only configuration makes these:
//! no request of a caller can choose a command, an argument, a variable or a URL (PX-34, ATK-89).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::{self, Debug};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use sekisho_protocol::caller::Caller;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::secret::UpstreamSecret;
use serde_json::{Map, Value};

use crate::credential_settings::CredentialSettings;

/// The key of an upstream. A mount has a key of its own, its [`ServerName`]: several mounts may share one upstream.
/// Cheap to clone.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UpstreamName(Arc<str>);

impl UpstreamName {
    /// Returns the key of an upstream that stands behind this mount alone.
    pub fn behind(server: &ServerName) -> Self {
        Self(server.as_str().into())
    }
}

impl fmt::Display for UpstreamName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The settings of what stands behind a server. A reload compares them to see what changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UpstreamSettings {
    /// A part of the checkpoint itself.
    BuiltIn(BuiltInSettings),
    /// A server that speaks Streamable HTTP.
    Http(HttpSettings),
    /// A program that speaks MCP over its standard streams.
    Stdio(StdioSettings),
}

impl UpstreamSettings {
    /// How long one call may take without progress, if this server has a setting for it.
    pub(crate) fn call_timeout(&self) -> Option<Duration> {
        match self {
            Self::BuiltIn(_) => None,
            Self::Http(settings) => settings.call_timeout,
            Self::Stdio(settings) => settings.call_timeout,
        }
    }
}

/// What a built-in server can do.
pub trait BuiltIn: fmt::Debug + Send + Sync {
    /// Name and version, as in `serverInfo`.
    fn info(&self) -> Value;

    /// The definitions of its tools, as `tools/list` shows them.
    fn tools(&self) -> Vec<Value>;

    /// The definitions of its prompts, as `prompts/list` shows them; may be empty.
    fn prompts(&self) -> Vec<Value>;

    /// The result of `tools/call`.
    fn call(&self, asked: BuiltInCall) -> BuiltInAnswer<'_>;

    /// The result of `prompts/get`.
    fn prompt(&self, asked: BuiltInCall) -> BuiltInAnswer<'_>;
}

/// A request to a built-in server, and who made it. It was decided before that the caller may make it.
#[derive(Debug)]
pub struct BuiltInCall {
    /// The caller. The answer must not hold more than this caller may know.
    pub caller: Caller,
    /// The tool or prompt.
    pub name: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
}

/// A result object, or an error text about the parameters. The caller gets either.
pub type BuiltInAnswer<'a> = Pin<Box<dyn Future<Output = Result<Value, String>> + Send + 'a>>;

/// A built-in server. It is equal only to itself.
#[derive(Clone, Debug)]
pub struct BuiltInSettings(pub Arc<dyn BuiltIn>);

impl PartialEq for BuiltInSettings {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for BuiltInSettings {}

/// A Streamable HTTP upstream.
#[derive(Clone, Eq, PartialEq)]
pub struct HttpSettings {
    /// Its MCP endpoint, `http` or `https`.
    pub url: String,
    /// Headers that we set on every request, whatever the caller sent under these names.
    pub headers: Vec<(HeaderName, UpstreamSecret)>,
    /// What it is shown beside these headers.
    pub credential: CredentialSettings,
    /// Further trust anchors, in PEM, beside those of the platform.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// How long connecting may take, TLS included.
    pub connect_timeout: Duration,
    /// How long the head of the answer may take. The request's own deadline holds as well.
    pub answer_timeout: Duration,
    /// How long one call may take without progress; [`crate::Limits::request_deadline`] when absent.
    pub call_timeout: Option<Duration>,
}

impl HttpSettings {
    /// An endpoint with the usual bounds: 5 s to connect, 60 s to the first byte of an answer.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            credential: CredentialSettings::None,
            extra_ca_pem: None,
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(60),
            call_timeout: None,
        }
    }
}

impl Debug for HttpSettings {
    /// Prints the URL without its query and user information, which may be secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        formatter
            .debug_struct("HttpSettings")
            .field("url", &shown_url(&self.url))
            .field("headers", &names)
            .field("credential", &self.credential)
            .field("extra_ca_pem", &self.extra_ca_pem.is_some())
            .field("connect_timeout", &self.connect_timeout)
            .field("answer_timeout", &self.answer_timeout)
            .field("call_timeout", &self.call_timeout)
            .finish()
    }
}

/// Returns scheme, host and path of a URL, for logs and errors. Some servers have their credential in the path, so a
/// segment that looks random is replaced.
pub(crate) fn shown_url(text: &str) -> String {
    let Ok(url) = url::Url::parse(text) else { return "(not a URL)".to_owned() };
    let is_random = |segment: &str| {
        segment.len() >= RANDOM_BYTES_MIN
            && segment.bytes().any(|byte| byte.is_ascii_digit())
            && segment.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    let shown: Vec<&str> =
        url.path().split('/').map(|segment| if is_random(segment) { "…" } else { segment }).collect();
    format!("{}{}", url.origin().ascii_serialization(), shown.join("/"))
}

/// The length in bytes from which a segment with letters and digits may be a credential.
const RANDOM_BYTES_MIN: usize = 20;

/// A program that we start.
#[derive(Clone, Eq, PartialEq)]
pub struct StdioSettings {
    /// A path, or a name that is looked up in the `PATH` of `environment`.
    pub program: OsString,
    /// The program's arguments. No shell reads them.
    pub arguments: Vec<OsString>,
    /// The directory in which it starts; our own if absent.
    pub directory: Option<PathBuf>,
    /// The child's whole environment: it gets exactly this (ATK-90).
    pub environment: BTreeMap<String, EnvValue>,
    /// What it is given beside this environment.
    pub credential: CredentialSettings,
    /// Names of variables in our environment that are not passed on. Errors name them, because a missing variable is
    /// the usual reason why a program exits at once.
    pub withheld: Vec<String>,
    /// Which callers share a child.
    pub isolation: Isolation,
    /// A child that was idle for this long is stopped.
    pub idle_stop: Duration,
    /// The most children of this upstream at one time, not counting the gateway's own, which serve no caller. If there
    /// is no room, a child of the holder with the most gives way to one of a holder that has fewer.
    pub children_max: usize,
    /// How long a new child may be silent before it has answered its first message. Every line on its standard error
    /// begins this time anew, up to ten minutes in all.
    pub start_timeout: Duration,
    /// How long one call may take without progress; [`crate::Limits::request_deadline`] when absent.
    pub call_timeout: Option<Duration>,
    /// The time between closing its input and `SIGTERM`, and between that and `SIGKILL`.
    pub stop_grace: Duration,
    /// Our own binary. It is put before the program as `GUARD child-guard --` so that the child ends with us even when
    /// we are killed; see [`crate::guard`]. Without it, a child only ends with us if it obeys the end of its input.
    pub guard: Option<PathBuf>,
}

impl StdioSettings {
    /// A program with the usual bounds: one child per subject, at most 16; stopped after 10 idle minutes; 120 s to
    /// start, 2 s between the steps of stopping; an empty environment, no guard.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            directory: None,
            environment: BTreeMap::new(),
            credential: CredentialSettings::None,
            withheld: Vec::new(),
            isolation: Isolation::default(),
            idle_stop: Duration::from_secs(10 * 60),
            children_max: 16,
            start_timeout: Duration::from_mins(2),
            call_timeout: None,
            stop_grace: Duration::from_secs(2),
            guard: None,
        }
    }
}

impl Debug for StdioSettings {
    /// Prints no arguments, because people put secrets into them, and only the names of variables.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StdioSettings")
            .field("program", &self.program)
            .field("arguments", &self.arguments.len())
            .field("directory", &self.directory)
            .field("environment", &self.environment.keys().collect::<Vec<_>>())
            .field("credential", &self.credential)
            .field("withheld", &self.withheld)
            .field("isolation", &self.isolation)
            .field("idle_stop", &self.idle_stop)
            .field("children_max", &self.children_max)
            .field("start_timeout", &self.start_timeout)
            .field("call_timeout", &self.call_timeout)
            .field("stop_grace", &self.stop_grace)
            .field("guard", &self.guard)
            .finish()
    }
}

/// The value of an environment variable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EnvValue {
    /// A value that is not secret.
    Plain(String),
    /// A secret value. It is removed from everything that the child writes on standard error.
    Secret(UpstreamSecret),
}

impl EnvValue {
    /// Returns the value.
    pub(crate) fn expose(&self) -> &str {
        match self {
            Self::Plain(value) => value,
            Self::Secret(value) => value.expose(),
        }
    }
}

/// Which callers share a child (PX-36).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Isolation {
    /// Each session of the older revisions has its own child. A revision without sessions is served as with `Subject`.
    Session,
    /// All callers share one child. Only for programs that hold no caller's credentials and no caller's state.
    Shared,
    /// All sessions and clients of one subject share a child.
    #[default]
    Subject,
}

#[cfg(test)]
mod tests {
    use super::{EnvValue, HttpSettings, StdioSettings};
    use sekisho_protocol::secret::UpstreamSecret;

    /// ATK-53: settings are printed at start and in errors, and show no secret.
    #[test]
    fn settings_are_printed_without_secrets() {
        let mut http = HttpSettings::new("https://user:hush@example.org/mcp?key=hush");
        http.headers.push((http::header::AUTHORIZATION, UpstreamSecret::from_outside("hush")));
        let mut stdio = StdioSettings::new("server");
        stdio.arguments.push("--key=hush".into());
        stdio.environment.insert("KEY".into(), EnvValue::Secret(UpstreamSecret::from_outside("hush")));
        stdio.environment.insert("MODE".into(), EnvValue::Plain("hush".into()));
        let shown = format!("{http:?} {stdio:?}");
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("https://example.org/mcp"), "{shown}");
        let in_path = format!("{:?}", HttpSettings::new("https://example.org/s/hush1hush2hush3hush4/mcp"));
        assert!(!in_path.contains("hush") && in_path.contains("https://example.org/s/…/mcp"), "{in_path}");
        assert!(shown.contains("KEY"), "{shown}");
    }
}
