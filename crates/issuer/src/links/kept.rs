//! What is kept, sealed, while an account is being linked.

use sekisho_client::vendor::{AccountTokens, VendorRequest};
use serde::{Deserialize, Serialize};

/// What is kept while the browser is at the vendor.
#[derive(Serialize, Deserialize)]
pub(super) struct Sent {
    /// What the answer is checked against.
    request: Vec<u8>,
    /// The path behind which the person is signed in, on plain http.
    pub(super) door: Option<String>,
}

/// An account that waits for the person's yes.
#[derive(Serialize, Deserialize)]
pub(super) struct Found {
    /// The vendor.
    pub(super) issuer: String,
    /// The account's name there, if the vendor told it.
    pub(super) account: Option<String>,
    /// The granted scopes, as the vendor writes them.
    pub(super) scopes: Option<String>,
    tokens: Vec<u8>,
}

impl Sent {
    pub(super) fn new(request: &VendorRequest, door: Option<String>) -> Self {
        Self { request: request.to_bytes().to_vec(), door }
    }

    pub(super) fn request(&self) -> Option<VendorRequest> {
        VendorRequest::from_bytes(&self.request)
    }
}

impl Found {
    pub(super) fn new(issuer: &str, account: Option<String>, tokens: &AccountTokens) -> Self {
        Self { issuer: issuer.to_owned(), account, scopes: tokens.scopes.clone(), tokens: tokens.to_bytes().to_vec() }
    }

    pub(super) fn tokens(&self) -> Option<AccountTokens> {
        AccountTokens::from_bytes(&self.tokens)
    }

    pub(super) fn sealed_tokens(&self) -> Vec<u8> {
        self.tokens.clone()
    }
}
