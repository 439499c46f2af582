//! From identity providers in the configuration to what the endpoint for provisioning clients and the token endpoint know of them.

use std::collections::BTreeMap;

use sekisho_acts::scim::{IdentityRule, RuleError};
use sekisho_console::scim::IdentityRules;
use sekisho_issuer::AssertionIssuer;
use sekisho_protocol::openid::profile::Profile;

use crate::config::LoginProvider;

/// The SCIM attribute that has the identifier by which a provider knows a person at sign-in.
const ATTRIBUTE: &str = "externalId";

/// Returns the rule, by provider, that finds the provisioned user for a sign-in. Users of a provider without a rule are
/// found at no sign-in.
pub(crate) fn rules(providers: &[LoginProvider]) -> IdentityRules {
    let rules = providers.iter().filter_map(|provider| match rule(provider) {
        Ok(rule) => Some((provider.name.clone(), rule)),
        Err(error) => {
            tracing::warn!(provider = %provider.name, %error, "users who are provisioned are not known at sign-in");
            None
        }
    });
    rules.collect()
}

/// The providers whose identity assertions are taken.
pub(crate) fn assertion_issuers(providers: &[LoginProvider]) -> Vec<AssertionIssuer> {
    let trusted = providers.iter().filter(|provider| provider.assertions);
    let issuers = trusted.map(|provider| AssertionIssuer {
        name: provider.name.clone(),
        issuer: provider.issuer.clone(),
        algorithms: vec![provider.id_token_algorithm],
        named_by: provider.named_by().into_iter().map(str::to_owned).collect(),
        require: provider.require.clone(),
    });
    issuers.collect()
}

fn rule(provider: &LoginProvider) -> Result<IdentityRule, RuleError> {
    let mut fixed = BTreeMap::new();
    // The issuer of a tenant of Entra ID is `https://login.microsoftonline.com/TENANT-ID/v2.0`.
    if let (Profile::Entra, Some(tenant)) = (provider.profile, provider.issuer.split('/').nth(3)) {
        fixed.insert("tid".to_owned(), tenant.to_owned());
    }
    IdentityRule::new(&provider.issuer, &provider.named_by(), fixed, ATTRIBUTE)
}

#[cfg(test)]
mod tests {
    use sekisho_protocol::openid::profile::Profile;
    use serde_json::json;

    use super::{assertion_issuers, rules};
    use crate::config::LoginProvider;

    /// A person whom Entra ID provisions by their object identifier is the one who signs in with `tid` and `oid`.
    #[test]
    fn provisioned_people_are_known_by_what_they_sign_in_with() {
        let entra = LoginProvider {
            name: "corp".to_owned(),
            profile: Profile::Entra,
            issuer: "https://login.microsoftonline.com/the-tenant/v2.0".to_owned(),
            ..LoginProvider::default()
        };
        let other =
            LoginProvider { name: "two".to_owned(), identity: vec!["a".to_owned(), "b".to_owned()], ..entra.clone() };
        let found = rules(&[entra, other]);
        let user = json!({ "externalId": "the-object" });
        let identity = found["corp"].identity(user.as_object().unwrap()).unwrap().unwrap();
        assert_eq!(identity.subject, "the-tenant/the-object");
        assert!(!found.contains_key("two"), "two claims cannot come from one attribute");
    }

    /// A provider at which people sign in is not trusted for assertions by that alone.
    #[test]
    fn only_a_provider_that_says_so_is_trusted_for_assertions() {
        let one = LoginProvider { name: "one".to_owned(), ..LoginProvider::default() };
        let two = LoginProvider { name: "two".to_owned(), assertions: true, ..one.clone() };
        let trusted = assertion_issuers(&[one, two]);
        assert_eq!(trusted.iter().map(|issuer| issuer.name.as_str()).collect::<Vec<_>>(), ["two"]);
    }
}
