//! Vendors whose endpoints are known: a table, with the vendor's own documentation and the date on which it was read.

/// What is known of a vendor's authorization server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VendorProfile {
    /// The name in the configuration.
    pub name: &'static str,
    /// The vendor's name for people.
    pub vendor: &'static str,
    /// The authorization endpoint.
    pub authorization: &'static str,
    /// The token endpoint.
    pub token: &'static str,
    /// The revocation endpoint, if there is one that RFC 7009 describes.
    pub revocation: Option<&'static str>,
    /// The scopes that are asked for unless the configuration names others.
    pub scopes: &'static [&'static str],
    /// The parameter of the authorization request that holds the scopes, if it is not `scope`.
    pub scope_parameter: Option<&'static str>,
    /// Further parameters of the authorization request.
    pub parameters: &'static [(&'static str, &'static str)],
    /// The member of the token response that holds the person's tokens, if it is not the response itself.
    pub token_member: Option<&'static str>,
    /// The URL that tells whose account a token is for.
    pub account_url: &'static str,
    /// Where the account's name stands in its answer (RFC 6901).
    pub account_name: &'static str,
    /// The vendor's documentation.
    pub source: &'static str,
    /// When it was read.
    pub read_on: &'static str,
}

/// All known vendors, by name.
pub const VENDORS: &[VendorProfile] = &[
    VendorProfile {
        name: "atlassian",
        vendor: "Atlassian",
        authorization: "https://auth.atlassian.com/authorize",
        token: "https://auth.atlassian.com/oauth/token",
        revocation: None,
        scopes: &["read:me", "offline_access"],
        scope_parameter: None,
        parameters: &[("audience", "api.atlassian.com"), ("prompt", "consent")],
        token_member: None,
        account_url: "https://api.atlassian.com/me",
        account_name: "/email",
        source: "https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/",
        read_on: "2026-12-01",
    },
    VendorProfile {
        name: "github",
        vendor: "GitHub",
        authorization: "https://github.com/login/oauth/authorize",
        token: "https://github.com/login/oauth/access_token",
        // Tokens are revoked by an API of its own, not by RFC 7009.
        revocation: None,
        scopes: &["repo", "read:user"],
        scope_parameter: None,
        parameters: &[],
        token_member: None,
        account_url: "https://api.github.com/user",
        account_name: "/login",
        source: "https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps",
        read_on: "2026-12-01",
    },
    VendorProfile {
        name: "google",
        vendor: "Google",
        authorization: "https://accounts.google.com/o/oauth2/v2/auth",
        token: "https://oauth2.googleapis.com/token",
        revocation: Some("https://oauth2.googleapis.com/revoke"),
        scopes: &["openid", "email"],
        scope_parameter: None,
        // A refresh token is given only for both together.
        parameters: &[("access_type", "offline"), ("prompt", "consent")],
        token_member: None,
        account_url: "https://openidconnect.googleapis.com/v1/userinfo",
        account_name: "/email",
        source: "https://developers.google.com/identity/protocols/oauth2/web-server",
        read_on: "2026-12-01",
    },
    VendorProfile {
        name: "microsoft",
        vendor: "Microsoft",
        authorization: "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        token: "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        revocation: None,
        scopes: &["offline_access", "User.Read"],
        scope_parameter: None,
        parameters: &[],
        token_member: None,
        account_url: "https://graph.microsoft.com/v1.0/me",
        account_name: "/userPrincipalName",
        source: "https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow",
        read_on: "2026-12-01",
    },
    VendorProfile {
        name: "slack",
        vendor: "Slack",
        authorization: "https://slack.com/oauth/v2/authorize",
        token: "https://slack.com/api/oauth.v2.access",
        revocation: None,
        scopes: &["users:read"],
        // `scope` would ask for a bot, which is nobody's account.
        scope_parameter: Some("user_scope"),
        parameters: &[],
        token_member: Some("authed_user"),
        account_url: "https://slack.com/api/auth.test",
        account_name: "/user",
        source: "https://docs.slack.dev/reference/methods/oauth.v2.access",
        read_on: "2026-12-01",
    },
];

/// Returns the profile of this name.
pub fn vendor_profile(name: &str) -> Option<&'static VendorProfile> {
    VENDORS.iter().find(|profile| profile.name == name)
}

#[cfg(test)]
mod tests {
    use super::{VENDORS, vendor_profile};

    /// A profile that names a place without https, or none of its documentation, could send a token anywhere.
    #[test]
    fn every_profile_names_https_endpoints_and_its_source() {
        for profile in VENDORS {
            let urls = [profile.authorization, profile.token, profile.account_url, profile.source];
            let urls = urls.into_iter().chain(profile.revocation);
            assert!(urls.into_iter().all(|url| url.starts_with("https://")), "{profile:?}");
            assert!(profile.account_name.starts_with('/') && profile.read_on.len() == 10, "{profile:?}");
            assert_eq!(vendor_profile(profile.name), Some(profile));
        }
        assert!(VENDORS.is_sorted_by_key(|profile| profile.name));
        assert_eq!(vendor_profile("nobody"), None);
    }
}
