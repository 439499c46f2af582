//! A server of 2025-03-26, asked at its own origin who grants access (Authorization, §2.3).

use sekisho_protocol::metadata::{AuthorizationServer, ProtectedResource};
use sekisho_protocol::resource::ResourceId;

use super::{Login, LoginError};
use crate::discovery::{ResourceError, discover_origin};

impl Login {
    /// Returns the issuer of a server that does not name one, and warns the person. If the origin is not an issuer
    /// either, returns the error that led here.
    pub(super) async fn older(
        &self,
        resource: &ResourceId,
        why: ResourceError,
    ) -> Result<(ProtectedResource, AuthorizationServer), LoginError> {
        let Ok(server) = discover_origin(&*self.parts.http, resource).await else { return Err(why.into()) };
        self.parts.browser.warn(&format!(
            "`{resource}` does not say who grants access to it (RFC 9728), as servers of 2025-03-26 do not: `{}` is asked, \
             and what it grants may be good at every server there, not at this one only",
            server.issuer
        ));
        let described = ProtectedResource {
            resource: resource.as_str().to_owned(),
            authorization_servers: vec![server.issuer.clone()],
            bearer_methods_supported: Vec::new(),
            scopes_supported: Vec::new(),
            resource_name: None,
            dpop_signing_alg_values_supported: Vec::new(),
            dpop_bound_access_tokens_required: false,
        };
        Ok((described, server))
    }
}
