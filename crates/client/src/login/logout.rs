//! Logging out.

use sekisho_protocol::resource::ResourceId;

use super::{Login, LoginError};
use crate::discovery::discover_issuer_of;
use crate::token::{TokenEndpoint, Tokens};

impl Login {
    /// Gives the grant back and deletes it from the store. The inner result says whether the issuer accepted that. The
    /// grant stays stored only if the secret or key of its client is missing, because it could never be given back
    /// then.
    pub async fn logout(&self, resource: &ResourceId) -> Result<Option<Result<(), LoginError>>, LoginError> {
        let _turn = self.turn(resource).await?;
        let Some(tokens) = self.parts.store.tokens(resource)? else { return Ok(None) };
        let given_back = self.give_back(&tokens).await;
        if let Err(error @ (LoginError::Credentials { .. } | LoginError::Moved { .. })) = given_back {
            return Err(error);
        }
        self.parts.store.forget_tokens(resource)?;
        Ok(Some(given_back))
    }

    pub(super) async fn give_back(&self, tokens: &Tokens) -> Result<(), LoginError> {
        let server = discover_issuer_of(&*self.parts.http, tokens.resource.as_str(), &tokens.issuer).await?;
        let registration = self.client_of(tokens, &server)?;
        let endpoint =
            TokenEndpoint::new(&*self.parts.http, &server, &registration)?.proving(&*self.parts.entropy, None);
        Ok(endpoint.revoke(tokens, self.now()).await?)
    }
}
