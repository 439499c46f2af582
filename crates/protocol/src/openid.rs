//! Signing in at somebody else's OpenID provider: how its tokens are signed, what it is known for, and what its claims make
//! of a person. Pure; the network is in `client::openid`, signatures are in `token`.
//!
//! Start from [`identity::identity`] (who it is) and [`groups::read`] (in which groups). A new provider is a row of
//! [`profile::Profile`].

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

pub mod groups;
pub mod identity;
pub mod profile;
pub mod quirk;

use crate::resource::ResourceId;

/// An algorithm with which another issuer signs (RFC 7518 §3.1, RFC 8037 §3.1). No `none`, and none with a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, schemars::JsonSchema)]
pub enum SigningAlgorithm {
    /// Ed25519.
    #[schemars(rename = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256.
    #[schemars(rename = "ES256")]
    Es256,
    /// RSA-PSS.
    #[schemars(rename = "PS256")]
    Ps256,
    /// RSA PKCS#1 1.5: what OpenID Connect has every provider and client support.
    #[schemars(rename = "RS256")]
    Rs256,
}

/// A text that names none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an algorithm that is accepted: expected `RS256`, `PS256`, `ES256` or `EdDSA`")]
pub struct SigningAlgorithmError;

impl SigningAlgorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::EdDsa, Self::Es256, Self::Ps256, Self::Rs256];

    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }
}

impl Display for SigningAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SigningAlgorithm {
    type Err = SigningAlgorithmError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|one| one.as_str() == text).ok_or(SigningAlgorithmError)
    }
}

impl Serialize for SigningAlgorithm {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SigningAlgorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What signing out here does at the provider at which somebody signed in (OpenID Connect RP-Initiated Logout 1.0).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignOutThere {
    /// The browser is sent there to sign out as well.
    Always,
    /// Nothing: the person stays signed in there.
    #[default]
    Never,
    /// A page offers to sign out there as well.
    Offer,
}

/// How the access tokens of another authorization server say that they are for one of our servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudienceForm {
    /// The identifier of a client that was registered there for the server (Entra ID, version 2; Keycloak).
    ClientId(String),
    /// The server's resource identifier (RFC 8707, RFC 9068).
    Resource,
    /// A text that was agreed on there, such as `api://notes` (Entra ID, version 1) or an API identifier (Auth0).
    Text(String),
}

impl AudienceForm {
    /// The audiences of which one has to be named for this server. Where an identifier is a bare origin, its two spellings
    /// are one resource (RFC 9728 §3.1).
    pub fn audiences(&self, resource: &ResourceId) -> Vec<String> {
        match self {
            Self::ClientId(text) | Self::Text(text) => vec![text.clone()],
            Self::Resource => {
                let written = resource.as_str().to_owned();
                let canonical = resource.canonical();
                if canonical == written { vec![written] } else { vec![written, canonical] }
            }
        }
    }
}

/// The short name of a provider in the configuration: it stands in URLs and before the names of its groups.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ProviderName(String);

/// A text that cannot be the name of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a provider: 1 to 32 lower-case letters, digits and hyphens, not at the ends a hyphen")]
pub struct ProviderNameError;

impl ProviderName {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 32;

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the policies call a group of this provider. A name has no slash, so two providers never share a group, whatever
    /// their groups are called.
    pub fn group(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }
}

impl Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ProviderName {
    type Err = ProviderNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let sized = (1..=Self::BYTES_MAX).contains(&text.len());
        if plain && sized && !text.starts_with('-') && !text.ends_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(ProviderNameError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AudienceForm, ProviderName, SigningAlgorithm};
    use crate::resource::ResourceId;

    #[test]
    fn no_algorithm_is_accepted_that_needs_no_key_or_a_shared_one() {
        for algorithm in SigningAlgorithm::ALL {
            assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
        }
        for bad in ["none", "None", "HS256", "rs256", "RS256 ", "ES384", ""] {
            assert!(bad.parse::<SigningAlgorithm>().is_err(), "{bad}");
        }
    }

    /// ATK-290: whatever a provider calls its groups, they are its own.
    #[test]
    fn groups_of_two_providers_never_meet() {
        let names = ["okta", "okta-2", "a"].map(|name| name.parse::<ProviderName>().unwrap());
        let groups = ["owners", "2/owners", "okta/owners", "../okta/owners", "/owners", ""];
        let mut all = std::collections::BTreeSet::new();
        for name in &names {
            for group in groups {
                assert!(all.insert(name.group(group)), "{name} {group}");
            }
        }
        for bad in ["", "Okta", "a/b", "a b", "-a", "a-", "a_b", &"x".repeat(33)] {
            assert!(bad.parse::<ProviderName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_server_is_named_in_the_form_of_its_issuer() {
        let resource = ResourceId::parse("https://Sekisho.example/mcp/notes").unwrap();
        assert_eq!(
            AudienceForm::Resource.audiences(&resource),
            ["https://Sekisho.example/mcp/notes", "https://sekisho.example/mcp/notes"]
        );
        assert_eq!(AudienceForm::Text("api://notes".to_owned()).audiences(&resource), ["api://notes"]);
        assert_eq!(AudienceForm::ClientId("f00".to_owned()).audiences(&resource), ["f00"]);
    }
}
