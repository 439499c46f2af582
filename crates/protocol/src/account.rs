//! Which account of its users a server is shown: the vendor, how a person links an account there, and how the vendor
//! tells the account's name.

pub mod profile;

use crate::ids::ClientId;
use crate::secret::ClientSecret;

/// What is known of the accounts that people link for one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRule {
    /// The vendor's name for people.
    pub vendor: String,
    /// The identifier under which links are kept: an account that was linked under another one is not used (ATK-87).
    /// `None`: whatever issuer the server's metadata named when the account was linked.
    pub issuer: Option<String>,
    /// How a person links an account.
    pub way: AccountWay,
    /// How the vendor tells whose account it is.
    pub lookup: Option<AccountLookup>,
}

/// How a person links an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountWay {
    /// The person pastes a key that the vendor gave them.
    Key,
    /// The person agrees at the vendor's authorization server.
    OAuth(Box<OAuthVendor>),
}

/// An authorization server at which people link accounts, and as which client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthVendor {
    /// Where its endpoints are.
    pub endpoints: VendorEndpoints,
    /// The client that an operator registered there. Without it, the client is a metadata document or registers itself.
    pub client: Option<VendorClient>,
    /// The scopes to ask for, as the vendor writes them. `None`: those that the server's challenge and metadata name.
    pub scopes: Option<String>,
    /// Further parameters of the authorization request, such as `access_type=offline`.
    pub parameters: Vec<(String, String)>,
    /// The member of the token response that holds the tokens of the person, where it is not the response itself.
    pub token_member: Option<String>,
}

/// Where the endpoints of an authorization server are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VendorEndpoints {
    /// The metadata of the MCP server at this URL name the authorization server (RFC 9728).
    Discovered {
        /// The URL of the MCP server.
        server: String,
    },
    /// The configuration names them.
    Given {
        /// The authorization endpoint.
        authorization: String,
        /// The token endpoint.
        token: String,
        /// The revocation endpoint, if there is one.
        revocation: Option<String>,
    },
}

/// A client that an operator registered at a vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorClient {
    /// Its identifier.
    pub id: ClientId,
    /// Its secret, if it has one.
    pub secret: Option<ClientSecret>,
}

/// A request that changes nothing and tells whose account a key or token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountLookup {
    /// The URL, which is asked with `GET`.
    pub url: String,
    /// The header that holds the key or token.
    pub header: String,
    /// The text before the key or token in that header.
    pub prefix: String,
    /// Where the name stands in the answer: a JSON Pointer (RFC 6901).
    pub name: String,
}

impl AccountRule {
    /// Whether an account that was linked under this identifier may still be used.
    pub fn admits(&self, issuer: &str) -> bool {
        self.issuer.as_ref().is_none_or(|own| own == issuer)
    }
}
