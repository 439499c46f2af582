//! Step 6: the caller's token ends here. A list names what goes on; everything else leaves, whether we know it or not
//! (PX-10, PX-12, ATK-53).
//!
//! The upstream's own credential is part of its settings and is added where the request leaves (`forward`).

use http::HeaderMap;
use http::header::HeaderName;
use sekisho_policy::permit::Permit;
use sekisho_protocol::mcp::headers::{METHOD, NAME, PARAM_PREFIX, PROTOCOL_VERSION};
use sekisho_protocol::mcp::method::Era;

/// Trace context (W3C): says nothing about who calls.
const TRACE: [HeaderName; 3] =
    [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate"), HeaderName::from_static("baggage")];

/// The headers that go on with a permitted call. It takes the permit as proof that something goes on at all.
pub(crate) fn outbound(_permit: &Permit, mut headers: HeaderMap, era: Era) -> HeaderMap {
    let goes_on = |name: &HeaderName| match name.as_str() {
        PROTOCOL_VERSION => true,
        // What mirrors the body was compared with it, or is unknown to us and not ours to drop (PX-29).
        METHOD | NAME => era == Era::Stateless,
        other => TRACE.contains(name) || (era == Era::Stateless && other.starts_with(PARAM_PREFIX)),
    };
    keep_only(&mut headers, goes_on);
    headers
}

/// Whatever is not on the list leaves, with all its values; the map is not made anew for those that stay.
pub(crate) fn keep_only(headers: &mut HeaderMap, stays: impl Fn(&HeaderName) -> bool) {
    let foreign: Vec<HeaderName> = headers.keys().filter(|name| !stays(name)).cloned().collect();
    for name in foreign {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use sekisho_policy::decide::{Decision, decide};
    use sekisho_policy::model::{Authority, Call, Target};
    use sekisho_policy::permit::Permit;
    use sekisho_policy::rights::{Rights, RightsParts, RightsServer};
    use sekisho_protocol::caller::Caller;
    use sekisho_protocol::env::{Clock, ManualClock};
    use sekisho_protocol::mcp::method::Era;
    use sekisho_protocol::scope::ScopeSet;

    use super::outbound;

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

    /// PX-10, PX-12, ATK-53, ATK-62: nothing of the caller's goes on but what mirrors the body and traces.
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
}
