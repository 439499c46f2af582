//! A table of providers: by what each calls a person for good, where its groups stand, and in what it differs from the
//! specification. Each row says from where it is known, and when that was read.

use serde::{Deserialize, Serialize};

use super::groups::Shape;
use super::quirk::{Quirk, Sign};

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
    /// What an operator has to know.
    pub quirks: &'static [Quirk],
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

/// A quirk and its sign.
const fn quirk(sign: Sign, sentence: &'static str) -> Quirk {
    Quirk { sentence, sign }
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
        quirk(Sign::IssuerWithSlash, "The issuer ends in a slash."),
        quirk(
            Sign::NamedByUrl,
            "`groups` and `roles` are reserved: an action sets a claim whose name is a URL, such as `https://example.com/groups`.",
        ),
    ],
    source: "https://auth0.com/docs/secure/tokens/json-web-tokens/create-custom-claims",
    ..GENERIC
};

const AUTHENTIK: ProfileRow = ProfileRow {
    label: "authentik",
    issuer: "https://HOST/application/o/APPLICATION/",
    quirks: &[
        quirk(Sign::IssuerWithSlash, "The issuer ends in a slash."),
        quirk(
            Sign::GroupsAsNames,
            "`groups` holds names and comes with the scope `profile`: renaming a group changes rights.",
        ),
        quirk(
            Sign::SubjectIsName,
            "The subject mode of the provider must be one that does not change: not the user name, the e-mail address or the UPN.",
        ),
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
        quirk(Sign::SubjectOfClient, "`sub` differs from application to application: `tid` and `oid` name the person."),
        quirk(
            Sign::GroupsAsIdentifiers,
            "Groups are object identifiers, and are sent only if the application is set up so.",
        ),
        quirk(
            Sign::GroupsElsewhere,
            "Beyond 200 groups the token has none, but a link (`_claim_names`) or `hasgroups`.",
        ),
        quirk(
            Sign::Settings,
            "The issuer of `common` and `organizations` is no issuer: name the tenant by its identifier.",
        ),
        quirk(Sign::DatedBack, "A token is dated back by five minutes."),
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
        quirk(Sign::NoGroups, "No groups are sent."),
        quirk(Sign::OfDomain, "Everybody with a Google account can sign in: require the claim `hd` of your domain."),
        quirk(Sign::Settings, "The e-mail address is not unique."),
        quirk(Sign::NoSignOut, "There is no page to sign out (`end_session_endpoint`): people stay signed in there."),
    ],
    source: "https://developers.google.com/identity/openid-connect/reference",
    ..GENERIC
};

const KEYCLOAK: ProfileRow = ProfileRow {
    label: "Keycloak",
    issuer: "https://HOST/realms/REALM",
    quirks: &[
        quirk(Sign::FullPaths, "Groups need the mapper `Group Membership`; with full paths each begins with a slash."),
        quirk(Sign::RealmRoles, "Roles stand in `realm_access.roles` and in `resource_access.CLIENT.roles`."),
        quirk(Sign::Audiences, "A mapper for audiences can put further ones into the ID token."),
    ],
    source: "https://www.keycloak.org/docs-api/latest/javadocs/org/keycloak/protocol/oidc/mappers/GroupMembershipMapper.html",
    ..GENERIC
};

const LEMONLDAP: ProfileRow = ProfileRow {
    label: "LemonLDAP::NG",
    issuer: "https://HOST",
    groups: Some((&["groups"], Shape::Separated(';'))),
    quirks: &[
        quirk(
            Sign::GroupsInOneText,
            "Several values come as one text with a separator unless the attribute is exported as an array.",
        ),
        quirk(Sign::UserInfo, "Claims other than `sub` come from UserInfo."),
    ],
    source: "https://lemonldap-ng.org/documentation/latest/idpopenidconnect.html",
    ..GENERIC
};

const OKTA: ProfileRow = ProfileRow {
    label: "Okta",
    issuer: "https://ORGANIZATION.okta.com",
    groups_cut_at: Some(100),
    quirks: &[
        quirk(Sign::NoGroups, "Groups need a claim of type Groups with a filter, or the scope `groups`."),
        quirk(Sign::GroupsCut, "From 100 groups on some can be left out without a word: make the filter narrower."),
    ],
    source: "https://support.okta.com/help/s/article/how-to-exceed-the-100-groups-limitation-on-a-claim",
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
            assert!(row.quirks.iter().all(|quirk| quirk.sentence.ends_with('.')), "{profile:?}");
            // ATK-84: nothing that a person can change names a person.
            for mutable in ["email", "preferred_username", "upn", "name", "unique_name", "nickname"] {
                assert!(!row.identity.contains(&mutable), "{profile:?}");
            }
            let word = serde_json::to_value(profile).unwrap();
            assert_eq!(serde_json::from_value::<Profile>(word).unwrap(), profile);
        }
    }
}
