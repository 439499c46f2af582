//! The HTTP request that a message becomes.

use ::http::Method;
use ::http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use sekisho_protocol::mcp::headers::{METHOD, NAME, PROTOCOL_VERSION, encode_value};

use super::line::{Line, SESSION};
use super::state::Bridge;
use crate::http::{Destination, Request};

impl Bridge {
    /// The request that a message becomes, and the session it is for.
    pub(super) fn request(&self, line: &Line) -> (Request, u64) {
        let to = Destination::given(self.session.resource().as_str());
        let mut request = Request::new(Method::POST, to, line.bytes.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream");
        request.begins_within = Some(self.settings.begins_within);
        let state = self.state();
        if let Some(version) = &line.version {
            request = request.header(HeaderName::from_static(PROTOCOL_VERSION), version);
            if let Some(method) = &line.method {
                request = request.header(HeaderName::from_static(METHOD), &encode_value(method));
            }
            if let Some(name) = &line.name {
                request = request.header(HeaderName::from_static(NAME), &encode_value(name));
            }
            let mirrored = line.tool.as_ref().and_then(|tool| state.mirrored.get(tool));
            for (name, value) in mirrored.map(|known| known.headers(line.arguments.as_deref())).unwrap_or_default() {
                if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                    request = request.header(name, &value);
                }
            }
        } else if line.method.as_deref() != Some("initialize") {
            if let Some(session) = &state.session {
                request = request.header(SESSION, session);
            }
            if let Some(revision) = &state.revision {
                request = request.header(HeaderName::from_static(PROTOCOL_VERSION), revision);
            }
        }
        (request, state.generation)
    }
}
