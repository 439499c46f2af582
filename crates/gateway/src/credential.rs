//! Step 6: drops the caller's token and makes the credential that the upstream is shown.
//!
//! [`Credential::obtain`] makes the credential from the permit, for the upstream to which the call goes, and forwarding
//! takes it by value. Today the credential comes from the configuration, so it is there at once and is the same for
//! every caller. Making it may also fail. [`outbound`] keeps the headers of the caller that go on; every other header
//! is dropped, whether we know it or not (PX-10, PX-12, ATK-53).

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use sekisho_policy::permit::Permit;
use sekisho_protocol::mcp::headers::{METHOD, NAME, PARAM_PREFIX, PROTOCOL_VERSION};
use sekisho_protocol::mcp::method::Era;

use crate::upstream::{EnvValue, UpstreamSettings};

/// What an upstream is shown in place of the caller's token. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Credential {
    /// The whole environment of a program. It is used only by a call that starts the program.
    Environment(Arc<BTreeMap<String, EnvValue>>),
    /// Headers that are set on the request, whatever the caller sent under their names.
    Headers(Arc<HeaderMap>),
    /// Nothing, because the upstream is part of the checkpoint itself.
    None,
}

/// Why there is no credential. The text is for the operator.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum CredentialError {
    /// A value with a line break or another control character cannot be sent as a header (ATK-64).
    #[error("the value of header `{name}` cannot stand in a header")]
    Header {
        /// The name of the header.
        name: HeaderName,
    },
}

impl Credential {
    /// Reads the credential that the configuration gives an upstream.
    pub(crate) fn configured(settings: &UpstreamSettings) -> Result<Self, CredentialError> {
        match settings {
            UpstreamSettings::BuiltIn(_) => Ok(Self::None),
            UpstreamSettings::Http(settings) => {
                let mut headers = HeaderMap::new();
                for (name, secret) in &settings.headers {
                    let value = HeaderValue::from_str(secret.expose());
                    let mut value = value.map_err(|_| CredentialError::Header { name: name.clone() })?;
                    value.set_sensitive(true);
                    headers.append(name.clone(), value);
                }
                Ok(Self::Headers(Arc::new(headers)))
            }
            UpstreamSettings::Stdio(settings) => Ok(Self::Environment(Arc::new(settings.environment.clone()))),
        }
    }

    /// Returns the credential for a permitted call. Async, because a credential that comes from elsewhere will be
    /// waited for here. `configured` is the credential that the configuration gives the upstream to which the call
    /// goes.
    pub(crate) async fn obtain(
        _permit: &Permit,
        configured: &Result<Self, CredentialError>,
    ) -> Result<Self, CredentialError> {
        configured.clone()
    }

    /// Returns the environment with which a program is started; empty for a credential of another kind.
    pub(crate) fn into_environment(self) -> Arc<BTreeMap<String, EnvValue>> {
        match self {
            Self::Environment(environment) => environment,
            Self::Headers(_) | Self::None => Arc::default(),
        }
    }

    /// Sets the credential's headers on a request, replacing those of the same name. A credential of another kind sets
    /// none.
    pub(crate) fn set_on(&self, headers: &mut HeaderMap) {
        match self {
            Self::Headers(own) => {
                for (name, value) in &**own {
                    headers.insert(name.clone(), value.clone());
                }
            }
            Self::Environment(_) | Self::None => {}
        }
    }
}

impl Debug for Credential {
    /// Prints only names.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(environment) => {
                formatter.debug_tuple("Environment").field(&environment.keys().collect::<Vec<_>>()).finish()
            }
            Self::Headers(headers) => {
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

    use super::{Credential, CredentialError, outbound};
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
        Credential::obtain(&permit(), &Credential::configured(settings)).now_or_never().unwrap()
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
}
