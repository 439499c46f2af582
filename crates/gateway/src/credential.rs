//! Step 6: drops the caller's token and makes the credential that the upstream is shown.
//!
//! [`Credential::obtain`] makes the credential from the permit, for the upstream to which the call goes, and forwarding
//! takes it by value. A part of it comes from the configuration and is the same for every caller. Another part may be
//! what a command prints, or the account that the caller's user linked. [`outbound`] keeps the headers of the caller
//! that go on; every other header is dropped, whether we know it or not (PX-10, PX-12, ATK-53).

mod command;

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use sekisho_policy::permit::Permit;
use sekisho_protocol::account::AccountRule;
use sekisho_protocol::caller::{Basis, Caller, Subject};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::mcp::headers::{METHOD, NAME, PARAM_PREFIX, PROTOCOL_VERSION};
use sekisho_protocol::mcp::method::Era;
use sekisho_protocol::scope::Scope;
use sekisho_protocol::secret::UpstreamSecret;
use sekisho_protocol::server::ServerCard;
use sekisho_store::AccountKey;

use crate::accounts::{AccountError, AccountToken, Accounts};
use crate::credential_settings::{CredentialPlace, CredentialSettings};
use crate::upstream::{EnvValue, UpstreamSettings};
use command::{CommandError, CommandSecret};

/// What an upstream is shown in place of the caller's token. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Credential {
    /// The whole environment of a program.
    Environment {
        /// The variables.
        variables: Arc<BTreeMap<String, EnvValue>>,
        /// The digest of the value that a running program would not notice if it changed. `None`: no value changes.
        changing: Option<Digest>,
    },
    /// Headers that are set on the request, whatever the caller sent under their names.
    Headers {
        /// The headers.
        headers: Arc<HeaderMap>,
        /// The account that one of them shows.
        account: Option<Box<AccountInUse>>,
    },
    /// Nothing, because the upstream is part of the checkpoint itself.
    None,
}

/// Why there is no credential. The text is for the operator.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum CredentialError {
    /// The command that prints it failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A value with a line break or another control character cannot be sent as a header (ATK-64).
    #[error("the value of header `{name}` cannot stand in a header")]
    Header {
        /// The name of the header.
        name: HeaderName,
    },
    /// The vendor of a linked account, or the store, cannot be asked.
    #[error(transparent)]
    Account(AccountError),
}

/// Why a call has no credential.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NoCredential {
    /// It is the operator's to correct, or will pass.
    Failed(CredentialError),
    /// The person who calls can help.
    Person(AccountNeed),
}

/// What a person has to do so that a call gets a credential.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum AccountNeed {
    /// Grant the client the use of the linked account.
    Grant,
    /// Link an account.
    Link,
    /// Link the account anew, because it cannot be used any more, for this reason.
    LinkAnew(String),
    /// Sign in: a caller without a user has no account.
    User,
}

impl<E: Into<CredentialError>> From<E> for NoCredential {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What an upstream is shown: the part that the configuration gives, and where the rest comes from.
#[derive(Debug)]
pub(crate) struct CredentialSource {
    fixed: Result<Credential, CredentialError>,
    added: Added,
}

/// The part of a credential that the configuration does not give.
#[derive(Debug)]
enum Added {
    Account(CredentialPlace),
    Command(CredentialPlace, Arc<CommandSecret>),
    Nothing,
}

impl CredentialSource {
    /// Reads what the configuration says.
    pub(crate) fn new(settings: &UpstreamSettings) -> Self {
        let added = match settings {
            UpstreamSettings::BuiltIn(_) => &CredentialSettings::None,
            UpstreamSettings::Http(settings) => &settings.credential,
            UpstreamSettings::Stdio(settings) => &settings.credential,
        };
        let added = match added {
            CredentialSettings::Account(place) => Added::Account(place.clone()),
            CredentialSettings::Command { place, command } => {
                Added::Command(place.clone(), CommandSecret::new(command.clone()))
            }
            CredentialSettings::None => Added::Nothing,
        };
        Self { fixed: Credential::fixed(settings), added }
    }

    /// Returns what the upstream is shown with our own questions: never anybody's account.
    pub(crate) async fn own(&self) -> Result<Credential, CredentialError> {
        match &self.added {
            Added::Account(_) | Added::Nothing => self.fixed.clone(),
            Added::Command(place, command) => self.with_command(place, command).await,
        }
    }

    /// Whether the upstream is shown the account of the person who calls.
    pub(crate) fn is_of_the_person(&self) -> bool {
        matches!(self.added, Added::Account(_))
    }

    async fn with_account(
        &self,
        (place, accounts): (&CredentialPlace, &Arc<Accounts>),
        caller: &Caller,
        card: &ServerCard,
        now: Timestamp,
    ) -> Result<Credential, NoCredential> {
        let (key, rule) = account(caller, card).map_err(NoCredential::Person)?;
        let token = accounts.token(&key, &rule, now).await.map_err(no_account)?;
        let in_use = AccountInUse { accounts: Arc::clone(accounts), key, rule, place: place.clone(), generation: 0 };
        Ok(in_use.shown(self.fixed.clone()?, &token)?)
    }

    async fn with_command(
        &self,
        place: &CredentialPlace,
        command: &Arc<CommandSecret>,
    ) -> Result<Credential, CredentialError> {
        let secret = Box::pin(command.secret()).await?;
        self.fixed.clone()?.with(place, &secret)
    }
}

/// An account that an upstream is shown, for the case that the upstream refuses it.
#[derive(Clone)]
pub(crate) struct AccountInUse {
    accounts: Arc<Accounts>,
    key: AccountKey,
    rule: Arc<AccountRule>,
    place: CredentialPlace,
    generation: i64,
}

impl Credential {
    /// Reads the credential that the configuration gives an upstream.
    fn fixed(settings: &UpstreamSettings) -> Result<Self, CredentialError> {
        match settings {
            UpstreamSettings::BuiltIn(_) => Ok(Self::None),
            UpstreamSettings::Http(settings) => {
                let mut headers = HeaderMap::new();
                for (name, secret) in &settings.headers {
                    headers.append(name.clone(), header(name, secret.expose())?);
                }
                Ok(Self::Headers { headers: Arc::new(headers), account: None })
            }
            UpstreamSettings::Stdio(settings) => {
                Ok(Self::Environment { variables: Arc::new(settings.environment.clone()), changing: None })
            }
        }
    }

    /// Returns the credential for a permitted call, for the upstream to which the call goes.
    pub(crate) async fn obtain(
        permit: &Permit,
        source: &CredentialSource,
        accounts: &Arc<Accounts>,
        card: &ServerCard,
        now: Timestamp,
    ) -> Result<Self, NoCredential> {
        match &source.added {
            Added::Account(place) => source.with_account((place, accounts), permit.caller(), card, now).await,
            Added::Command(place, command) => Ok(source.with_command(place, command).await?),
            Added::Nothing => Ok(source.fixed.clone()?),
        }
    }

    /// Returns what the upstream is shown with a question of ours that is asked for this caller: the caller's account, if
    /// the upstream is shown accounts and the caller has one.
    pub(crate) async fn for_question(
        source: &CredentialSource,
        accounts: &Arc<Accounts>,
        caller: &Caller,
        card: &ServerCard,
        now: Timestamp,
    ) -> Option<Self> {
        match &source.added {
            Added::Account(place) => source.with_account((place, accounts), caller, card, now).await.ok(),
            Added::Command(..) | Added::Nothing => None,
        }
    }

    /// Adds a value in its place, or replaces the one that is there.
    fn with(self, place: &CredentialPlace, secret: &UpstreamSecret) -> Result<Self, CredentialError> {
        Ok(match (self, place) {
            (Self::Headers { headers, account }, CredentialPlace::Header { name, prefix }) => {
                let value = zeroize::Zeroizing::new(format!("{prefix}{}", secret.expose()));
                let mut headers = HeaderMap::clone(&headers);
                headers.insert(name.clone(), header(name, &value)?);
                Self::Headers { headers: Arc::new(headers), account }
            }
            (Self::Environment { variables, .. }, CredentialPlace::Variable(name)) => {
                let mut variables = BTreeMap::clone(&variables);
                variables.insert(name.clone(), EnvValue::Secret(secret.clone()));
                Self::Environment { variables: Arc::new(variables), changing: Some(secret.digest()) }
            }
            // A program has no headers and a URL no variables; such a configuration is refused when it is read.
            (other, _) => other,
        })
    }

    /// Returns the environment with which a program is started; empty for a credential of another kind.
    pub(crate) fn into_environment(self) -> Arc<BTreeMap<String, EnvValue>> {
        match self {
            Self::Environment { variables, .. } => variables,
            Self::Headers { .. } | Self::None => Arc::default(),
        }
    }

    /// Returns the digest of the value that a running program would not notice if it changed.
    pub(crate) fn changing(&self) -> Option<Digest> {
        match self {
            Self::Environment { changing, .. } => *changing,
            Self::Headers { .. } | Self::None => None,
        }
    }

    /// Returns the account that is shown, if one is.
    pub(crate) fn account(&self) -> Option<&AccountInUse> {
        match self {
            Self::Headers { account, .. } => account.as_deref(),
            Self::Environment { .. } | Self::None => None,
        }
    }

    /// Sets the credential's headers on a request, replacing those of the same name. A credential of another kind sets
    /// none.
    pub(crate) fn set_on(&self, headers: &mut HeaderMap) {
        match self {
            Self::Headers { headers: own, .. } => {
                for (name, value) in &**own {
                    headers.insert(name.clone(), value.clone());
                }
            }
            Self::Environment { .. } | Self::None => {}
        }
    }
}

impl AccountInUse {
    /// Returns the credential that shows this token.
    fn shown(mut self, fixed: Credential, token: &AccountToken) -> Result<Credential, CredentialError> {
        self.generation = token.generation;
        let secret = UpstreamSecret::from_outside(token.access.expose());
        let place = self.place.clone();
        Ok(match fixed.with(&place, &secret)? {
            Credential::Headers { headers, .. } => Credential::Headers { headers, account: Some(Box::new(self)) },
            other => other,
        })
    }

    /// Returns the credential that the upstream is shown after it refused this one, if there is another.
    pub(crate) async fn after_refusal(&self, before: &Credential) -> Result<Credential, AccountError> {
        let token = self.accounts.refused(&self.key, &self.rule, self.generation).await?;
        self.clone().shown(before.clone(), &token).map_err(|error| AccountError::Away(error.to_string()))
    }

    /// Notes that the upstream refused a token that was renewed for it a moment ago. Returns why the account has ended.
    pub(crate) async fn end(&self) -> AccountError {
        let reason = format!("{} refuses the access that it has just renewed", self.rule.vendor);
        self.accounts.end(&self.key, self.generation, reason.clone()).await;
        AccountError::Ended(reason)
    }
}

/// Returns whose account a caller uses at a server, and the rule for accounts there.
pub(crate) fn account(caller: &Caller, card: &ServerCard) -> Result<(AccountKey, Arc<AccountRule>), AccountNeed> {
    let rule = card.account.clone().ok_or(AccountNeed::User)?;
    let user = match (&caller.basis, caller.subject()) {
        (Basis::Grant(_), Subject::User(user)) => *user,
        (Basis::Grant(_) | Basis::Open, _) => return Err(AccountNeed::User),
    };
    // The grant has to say so: its page told the person in words.
    if !caller.scopes.contains(&Scope::account()) {
        return Err(AccountNeed::Grant);
    }
    Ok((AccountKey { user, server: card.name.clone() }, rule))
}

/// What an account's state means for a call.
pub(crate) fn no_account(error: AccountError) -> NoCredential {
    match error {
        AccountError::Ended(reason) => NoCredential::Person(AccountNeed::LinkAnew(reason)),
        AccountError::Missing => NoCredential::Person(AccountNeed::Link),
        error @ (AccountError::Away(_) | AccountError::Store(_)) => {
            NoCredential::Failed(CredentialError::Account(error))
        }
    }
}

fn header(name: &HeaderName, value: &str) -> Result<HeaderValue, CredentialError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| CredentialError::Header { name: name.clone() })?;
    value.set_sensitive(true);
    Ok(value)
}

impl Debug for AccountInUse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AccountInUse").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Debug for Credential {
    /// Prints only names.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment { variables, .. } => {
                formatter.debug_tuple("Environment").field(&variables.keys().collect::<Vec<_>>()).finish()
            }
            Self::Headers { headers, .. } => {
                formatter.debug_tuple("Headers").field(&headers.keys().collect::<Vec<_>>()).finish()
            }
            Self::None => formatter.write_str("None"),
        }
    }
}

/// The headers of W3C trace context, which say nothing about who calls.
const TRACE: [HeaderName; 3] =
    [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate"), HeaderName::from_static("baggage")];

/// Returns the headers that go on with a permitted call. Takes the permit as proof that the call may go on at all.
pub(crate) fn outbound(_permit: &Permit, mut headers: HeaderMap, era: Era) -> HeaderMap {
    let goes_on = |name: &HeaderName| match name.as_str() {
        PROTOCOL_VERSION => true,
        // Headers that mirror the body were compared with it, or are unknown to us and not ours to drop (PX-29).
        METHOD | NAME => era == Era::Stateless,
        other => TRACE.contains(name) || (era == Era::Stateless && other.starts_with(PARAM_PREFIX)),
    };
    keep_only(&mut headers, goes_on);
    headers
}

/// Removes every header that is not on the list, with all its values. The headers that stay are not copied.
pub(crate) fn keep_only(headers: &mut HeaderMap, stays: impl Fn(&HeaderName) -> bool) {
    let foreign: Vec<HeaderName> = headers.keys().filter(|name| !stays(name)).cloned().collect();
    for name in foreign {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http::{HeaderMap, HeaderName, HeaderValue};
    use sekisho_policy::decide::{Decision, decide};
    use sekisho_policy::model::{Authority, Call, Target};
    use sekisho_policy::permit::Permit;
    use sekisho_policy::rights::{Rights, RightsParts, RightsServer};
    use sekisho_protocol::caller::Caller;
    use sekisho_protocol::env::{Clock, ManualClock};
    use sekisho_protocol::mcp::method::Era;
    use sekisho_protocol::scope::ScopeSet;

    use sekisho_protocol::secret::UpstreamSecret;

    use super::{Credential, CredentialError, CredentialSource, outbound};
    use crate::credential_settings::{CredentialPlace, CredentialSettings, SecretCommand};
    use crate::upstream::{EnvValue, HttpSettings, StdioSettings, UpstreamSettings};

    fn permit() -> Permit {
        let server: sekisho_protocol::ids::ServerName = "notes".parse().unwrap();
        let open = RightsServer { public: true, ..RightsServer::default() };
        let servers = [(server.clone(), open)].into();
        let rights = Rights::new(RightsParts { servers, ..RightsParts::default() }).unwrap();
        let call = Call::bare(server, "ping", Target::Server);
        let caller = Caller::anonymous(ScopeSet::empty());
        match decide(&rights, &caller, &Authority::default(), &call, ManualClock::default().now()) {
            Decision::Permit(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    /// PX-10, PX-12, ATK-53, ATK-62: of the caller's headers, only those that mirror the body and those for tracing go
    /// on.
    #[test]
    fn no_credential_and_no_identity_goes_on() {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "cookie",
            "dpop",
            "proxy-authorization",
            "x-api-key",
            "x-forwarded-user",
            "x-forwarded-for",
            "x-forwarded-host",
            "forwarded",
            "x-real-ip",
            "x-original-url",
            "x-http-method-override",
            "mcp-session-id",
            "mcp-init-host",
            "host",
            "origin",
            "referer",
            "connection",
            "te",
            "transfer-encoding",
            "content-length",
            "last-event-id",
            "user-agent",
            "x-user",
            "mcp-method",
            "mcp-name",
            "mcp-param-tenant",
            "mcp-protocol-version",
            "traceparent",
            "tracestate",
            "baggage",
            "accept",
            "content-type",
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("canary"));
        }
        let names = |era| {
            let mut names: Vec<String> =
                outbound(&permit(), headers.clone(), era).keys().map(ToString::to_string).collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(
            names(Era::Stateless),
            "baggage mcp-method mcp-name mcp-param-tenant mcp-protocol-version traceparent tracestate"
        );
        assert_eq!(names(Era::Initialize), "baggage mcp-protocol-version traceparent tracestate");
    }

    fn obtained(settings: &UpstreamSettings) -> Result<Credential, CredentialError> {
        CredentialSource::new(settings).own().now_or_never().unwrap()
    }

    /// PX-12, ATK-53, ATK-64: a credential is made for the kind of upstream to which the call goes. One that cannot be
    /// sent is refused with the name of its header. None is printed.
    #[test]
    fn a_credential_is_a_value_or_a_refusal() {
        let http = |value: &str| {
            let mut settings = HttpSettings::new("http://127.0.0.1:9/mcp");
            settings.headers.push((HeaderName::from_static("x-key"), UpstreamSecret::from_outside(value)));
            UpstreamSettings::Http(settings)
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-key", HeaderValue::from_static("from the caller"));
        let credential = obtained(&http("hush")).unwrap();
        credential.set_on(&mut headers);
        assert_eq!(headers["x-key"], "hush");
        assert_eq!(format!("{credential:?}"), r#"Headers(["x-key"])"#);
        assert!(credential.into_environment().is_empty());
        let refused = obtained(&http("hush\r\nx-admin: yes")).unwrap_err();
        assert_eq!(refused.to_string(), "the value of header `x-key` cannot stand in a header");

        let mut stdio = StdioSettings::new("server");
        let secret = EnvValue::Secret(UpstreamSecret::from_outside("hush"));
        stdio.environment.insert("KEY".to_owned(), secret.clone());
        let credential = obtained(&UpstreamSettings::Stdio(stdio)).unwrap();
        assert_eq!(format!("{credential:?}"), r#"Environment(["KEY"])"#);
        let mut headers = HeaderMap::new();
        credential.set_on(&mut headers);
        assert!(headers.is_empty());
        assert_eq!(credential.into_environment().get("KEY"), Some(&secret));
    }

    /// What a command prints is shown in its place, beside what the configuration gives, and never printed by us. A
    /// value that cannot stand in a header is refused with the header's name.
    #[tokio::test]
    async fn what_a_command_prints_is_put_in_its_place() {
        let printing = |text: &str, place: CredentialPlace| CredentialSettings::Command {
            place,
            command: SecretCommand {
                program: "/bin/echo".into(),
                arguments: vec![text.into()],
                environment: std::collections::BTreeMap::new(),
                lifetime: std::time::Duration::from_secs(60),
                timeout: std::time::Duration::from_secs(20),
                directory: None,
            },
        };
        let header = CredentialPlace::Header { name: HeaderName::from_static("x-key"), prefix: "Bearer ".to_owned() };
        let mut http = HttpSettings::new("http://127.0.0.1:9/mcp");
        http.headers.push((HeaderName::from_static("x-team"), UpstreamSecret::from_outside("seven")));
        http.credential = printing("hush-hush", header.clone());
        let source = CredentialSource::new(&UpstreamSettings::Http(http.clone()));
        let credential = source.own().await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-key", HeaderValue::from_static("from the caller"));
        credential.set_on(&mut headers);
        assert_eq!(
            (headers["x-key"].to_str().unwrap(), headers["x-team"].to_str().unwrap()),
            ("Bearer hush-hush", "seven")
        );
        assert!(headers["x-key"].is_sensitive());
        assert!(!format!("{source:?} {credential:?}").contains("hush"), "{source:?}");
        http.credential = printing("h\u{e9}\u{7f}", header);
        let refused = CredentialSource::new(&UpstreamSettings::Http(http)).own().await.unwrap_err();
        assert!(matches!(refused, CredentialError::Command(_)), "{refused}");

        let mut stdio = StdioSettings::new("server");
        stdio.environment.insert("MODE".to_owned(), EnvValue::Plain("fast".to_owned()));
        stdio.credential = printing("hush-hush", CredentialPlace::Variable("KEY".to_owned()));
        let credential = CredentialSource::new(&UpstreamSettings::Stdio(stdio)).own().await.unwrap();
        assert!(credential.changing().is_some());
        let environment = credential.into_environment();
        assert_eq!(environment.get("KEY"), Some(&EnvValue::Secret(UpstreamSecret::from_outside("hush-hush"))));
        assert_eq!(environment.get("MODE"), Some(&EnvValue::Plain("fast".to_owned())));
    }
}
