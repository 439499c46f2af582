//! What a server is shown beside its fixed headers or variables: `credential` in its table.

use schemars::JsonSchema;
use sekisho_protocol::account::profile::{VendorProfile, vendor_profile};
use serde::{Deserialize, Serialize};

/// What a server is shown beside its fixed headers or variables.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CredentialDefinition {
    /// `"none"`, `"secret"` or `"linked"`.
    pub(crate) kind: CredentialKind,
    /// The header that holds it, for a URL. `Authorization` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) header: Option<String>,
    /// The text before it in that header. When absent, `"Bearer "` in `Authorization`, and nothing in another header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
    /// The variable that holds it, for a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) variable: Option<String>,
    /// `secret`: the value. `${env:NAME}`, `${env:NAME:-DEFAULT}` and `${file:PATH}` are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    /// `secret`: the program that prints it on one line, and its arguments; no shell is involved. `${env:NAME}` and the like are
    /// replaced in arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) command: Vec<String>,
    /// `secret`: names of our own variables to pass through to the command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) pass: Vec<String>,
    /// `secret`: how long what the command printed is used before it runs again, in seconds (300 when absent).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifetime_seconds: Option<u32>,
    /// `secret`: how long the command may take, in seconds (10 when absent, at most 60).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_seconds: Option<u32>,
    /// `linked`: a vendor whose endpoints are known: `"atlassian"`, `"github"`, `"google"`, `"microsoft"` or `"slack"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    /// `linked`: how a person links an account: `"key"` (pastes a key) or `"oauth"` (agrees at the vendor). `"oauth"` when
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<LinkWay>,
    /// `linked`: the vendor's name for people. That of the profile when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vendor: Option<String>,
    /// `linked`: the vendor's authorization endpoint. With `token_url` for a vendor that is no MCP server. Without both, the
    /// metadata of the server at `url` name them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authorization_url: Option<String>,
    /// `linked`: the vendor's token endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_url: Option<String>,
    /// `linked`: the vendor's revocation endpoint (RFC 7009), where an account is given back when it is unlinked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revocation_url: Option<String>,
    /// `linked`: the client identifier that the vendor gave you. Without it, the checkpoint registers itself, if the vendor
    /// lets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<String>,
    /// `linked`: its secret. `${env:NAME}` and the like are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_secret: Option<String>,
    /// `linked`: the vendor's scopes to ask for. Those of the profile, or those that the server names, when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) scopes: Vec<String>,
    /// `linked`: a URL that changes nothing and tells whose account a key or token is for. It is asked once when an account is
    /// linked, with the same header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) account_url: Option<String>,
    /// `linked`: where the name of the account stands in its answer, as a JSON Pointer such as `/login`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) account_name: Option<String>,
}

/// What kind of credential a server is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CredentialKind {
    /// The account that the person who calls has linked.
    Linked,
    /// Nothing.
    #[default]
    None,
    /// A secret that is the same for everybody.
    Secret,
}

/// How a person links an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LinkWay {
    /// They paste a key.
    Key,
    /// They agree at the vendor.
    #[default]
    Oauth,
}

/// The longest time that a command for a secret may take, in seconds.
pub(crate) const COMMAND_SECONDS_MAX: u32 = 60;

impl CredentialDefinition {
    /// The profile that it names, if there is one of that name.
    pub(crate) fn vendor_profile(&self) -> Option<&'static VendorProfile> {
        self.profile.as_deref().and_then(vendor_profile)
    }

    /// The header that holds it, and the text before it there.
    pub(crate) fn header(&self) -> (&str, &str) {
        let header = self.header.as_deref().unwrap_or("Authorization");
        let usual = if header.eq_ignore_ascii_case("Authorization") { "Bearer " } else { "" };
        (header, self.prefix.as_deref().unwrap_or(usual))
    }

    /// The members that are set, with the kind that they belong to. `None`: they belong to every kind but `none`.
    pub(crate) fn set(&self) -> Vec<(&'static str, Option<CredentialKind>)> {
        use CredentialKind::{Linked, Secret};
        let members = [
            ("header", None, self.header.is_some()),
            ("prefix", None, self.prefix.is_some()),
            ("variable", None, self.variable.is_some()),
            ("value", Some(Secret), self.value.is_some()),
            ("command", Some(Secret), !self.command.is_empty()),
            ("pass", Some(Secret), !self.pass.is_empty()),
            ("lifetime_seconds", Some(Secret), self.lifetime_seconds.is_some()),
            ("timeout_seconds", Some(Secret), self.timeout_seconds.is_some()),
            ("profile", Some(Linked), self.profile.is_some()),
            ("link", Some(Linked), self.link.is_some()),
            ("vendor", Some(Linked), self.vendor.is_some()),
            ("authorization_url", Some(Linked), self.authorization_url.is_some()),
            ("token_url", Some(Linked), self.token_url.is_some()),
            ("revocation_url", Some(Linked), self.revocation_url.is_some()),
            ("client_id", Some(Linked), self.client_id.is_some()),
            ("client_secret", Some(Linked), self.client_secret.is_some()),
            ("scopes", Some(Linked), !self.scopes.is_empty()),
            ("account_url", Some(Linked), self.account_url.is_some()),
            ("account_name", Some(Linked), self.account_name.is_some()),
        ];
        members.into_iter().filter(|(_, _, is_set)| *is_set).map(|(name, kind, _)| (name, kind)).collect()
    }
}
