//! What a request asks for, by its grant type.

use sekisho_web::parameters::Parameters;

use super::authorization_code::CodeRequest;
use super::exchange::ExchangeRequest;
use super::failure::{EXCHANGE, TokenError};
use super::refresh::RefreshRequest;

/// What a request asks for, read but not judged.
#[derive(Debug)]
pub(crate) enum GrantRequest {
    Code(CodeRequest),
    Exchange(ExchangeRequest),
    Refresh(RefreshRequest),
}

impl GrantRequest {
    /// Reads the parameters of the request.
    pub(crate) fn read(parameters: &Parameters) -> Result<Self, TokenError> {
        match parameters.one("grant_type") {
            Some("authorization_code") => Ok(Self::Code(CodeRequest::read(parameters)?)),
            Some(EXCHANGE) => Ok(Self::Exchange(ExchangeRequest::read(parameters)?)),
            Some("refresh_token") => Ok(Self::Refresh(RefreshRequest::read(parameters)?)),
            Some(_) => Err(TokenError::GrantType),
            None => Err(TokenError::Missing("grant_type")),
        }
    }
}
