//! A table of providers: by what each calls a person for good, where its groups stand, and in what it differs from the
//! specification. Each row says from where it is known, and when that was read.

use serde::{Deserialize, Serialize};

use super::groups::Shape;

/// A kind of provider.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Auth0.
    Auth0,
    /// authentik.
    Authentik,
    /// Microsoft Entra ID.
    Entra,
    /// Any provider that keeps to OpenID Connect Core 1.0.
    #[default]
    Generic,
    /// Google.
    Google,
    /// Keycloak.
    Keycloak,
    /// LemonLDAP::NG.
    Lemonldap,
    /// Okta.
    Okta,
}

/// The known facts about one kind of provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileRow {
    /// Its name for people.
    pub label: &'static str,
    /// How its issuer identifier looks.
    pub issuer: &'static str,
    /// The claims that together name a person for good, in order. `sub` alone unless the provider says otherwise.
    pub identity: &'static [&'static str],
    /// Where groups stand unless the configuration says otherwise: the path of the claim, and how it is read. `None`: this
    /// provider sends none by itself.
    pub groups: Option<(&'static [&'static str], Shape)>,
    /// From how many groups on the provider leaves some out without saying so. `None`: it says so, or leaves none out.
    pub groups_cut_at: Option<usize>,
    /// Where all groups of a person can be read with the access token when the token has not room for them.
    pub overage: Option<&'static str>,
    /// Whether the provider takes `resource` (RFC 8707) in a request.
    pub takes_resource: bool,
    /// What an operator has to know, each in a sentence.
    pub quirks: &'static [&'static str],
    /// The source of these facts.
    pub source: &'static str,
    /// When the source was read.
    pub checked: &'static str,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Auth0,
        Self::Authentik,
        Self::Entra,
        Self::Generic,
        Self::Google,
        Self::Keycloak,
        Self::Lemonldap,
        Self::Okta,
    ];

    /// What is known of it.
    pub fn row(self) -> ProfileRow {
        match self {
            Self::Auth0 => AUTH0,
            Self::Authentik => AUTHENTIK,
            Self::Entra => ENTRA,
            Self::Generic => GENERIC,
            Self::Google => GOOGLE,
            Self::Keycloak => KEYCLOAK,
            Self::Lemonldap => LEMONLDAP,
            Self::Okta => OKTA,
        }
    }
}

const GENERIC: ProfileRow = ProfileRow {
    label: "OpenID provider",
    issuer: "https://login.example.com",
    identity: &["sub"],
    groups: Some((&["groups"], Shape::Values)),
    groups_cut_at: None,
    overage: None,
    takes_resource: true,
    quirks: &[],
    source: "https://openid.net/specs/openid-connect-core-1_0.html",
    checked: "2026-12-01",
};

const AUTH0: ProfileRow = ProfileRow {
    label: "Auth0",
    issuer: "https://TENANT.auth0.com/",
    groups: None,
    quirks: &[
        "The issuer ends in a slash.",
        "`groups` and `roles` are reserved: an action sets a claim whose name is a URL, such as `https://example.com/groups`.",
    ],
    source: "https://auth0.com/docs/secure/tokens/json-web-tokens/create-custom-claims",
    ..GENERIC
};

const AUTHENTIK: ProfileRow = ProfileRow {
    label: "authentik",
    issuer: "https://HOST/application/o/APPLICATION/",
    quirks: &[
        "The issuer ends in a slash.",
        "`groups` holds names and comes with the scope `profile`: renaming a group changes rights.",
        "The subject mode of the provider must be one that does not change: not the user name, the e-mail address or the UPN.",
    ],
    source: "https://version-2023-1.goauthentik.io/docs/providers/oauth2",
    ..GENERIC
};

const ENTRA: ProfileRow = ProfileRow {
    label: "Microsoft Entra ID",
    issuer: "https://login.microsoftonline.com/TENANT-ID/v2.0",
    identity: &["tid", "oid"],
    overage: Some("https://graph.microsoft.com/v1.0/me/getMemberObjects"),
    takes_resource: false,
    quirks: &[
        "`sub` differs from application to application: `tid` and `oid` name the person.",
        "Groups are object identifiers, and are sent only if the application is set up so.",
        "Beyond 200 groups the token has none, but a link (`_claim_names`) or `hasgroups`.",
        "The issuer of `common` and `organizations` is no issuer: name the tenant by its identifier.",
        "A token is dated back by five minutes.",
    ],
    source: "https://learn.microsoft.com/en-us/entra/identity-platform/id-token-claims-reference",
    ..GENERIC
};

const GOOGLE: ProfileRow = ProfileRow {
    label: "Google",
    issuer: "https://accounts.google.com",
    groups: None,
    takes_resource: false,
    quirks: &[
        "No groups are sent.",
        "Everybody with a Google account can sign in: require the claim `hd` of your domain.",
        "The e-mail address is not unique.",
    ],
    source: "https://developers.google.com/identity/openid-connect/reference",
    ..GENERIC
};

const KEYCLOAK: ProfileRow = ProfileRow {
    label: "Keycloak",
    issuer: "https://HOST/realms/REALM",
    quirks: &[
        "Groups need the mapper `Group Membership`; with full paths each begins with a slash.",
        "Roles stand in `realm_access.roles` and in `resource_access.CLIENT.roles`.",
        "A mapper for audiences can put further ones into the ID token.",
    ],
    source: "https://www.keycloak.org/docs-api/latest/javadocs/org/keycloak/protocol/oidc/mappers/GroupMembershipMapper.html",
    ..GENERIC
};

const LEMONLDAP: ProfileRow = ProfileRow {
    label: "LemonLDAP::NG",
    issuer: "https://HOST",
    groups: Some((&["groups"], Shape::Separated(';'))),
    quirks: &[
        "Several values come as one text with a separator unless the attribute is exported as an array.",
        "Claims other than `sub` come from UserInfo.",
    ],
    source: "https://lemonldap-ng.org/documentation/latest/idpopenidconnect.html",
    ..GENERIC
};

const OKTA: ProfileRow = ProfileRow {
    label: "Okta",
    issuer: "https://ORGANIZATION.okta.com",
    groups_cut_at: Some(100),
    quirks: &[
        "Groups need a claim of type Groups with a filter, or the scope `groups`.",
        "From 100 groups on some can be left out without a word: make the filter narrower.",
    ],
    source: "https://developer.hashicorp.com/vault/docs/auth/jwt/oidc-providers/okta",
    ..GENERIC
};

#[cfg(test)]
mod tests {
    use super::Profile;

    #[test]
    fn every_row_says_from_where_it_is_known() {
        for profile in Profile::ALL {
            let row = profile.row();
            assert!(row.source.starts_with("https://"), "{profile:?}");
            assert!(row.checked.parse::<jiff::civil::Date>().is_ok(), "{profile:?}");
            assert!(!row.identity.is_empty() && row.issuer.starts_with("https://"), "{profile:?}");
            assert!(row.quirks.iter().all(|quirk| quirk.ends_with('.')), "{profile:?}");
            // ATK-84: nothing that a person can change names a person.
            for mutable in ["email", "preferred_username", "upn", "name", "unique_name", "nickname"] {
                assert!(!row.identity.contains(&mutable), "{profile:?}");
            }
            let word = serde_json::to_value(profile).unwrap();
            assert_eq!(serde_json::from_value::<Profile>(word).unwrap(), profile);
        }
    }
}
