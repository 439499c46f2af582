//! By what a person who is provisioned is the same as one who signs in: a value that the provider never gives to anybody else, and
//! never an e-mail address or a name.

use std::collections::BTreeMap;

use sekisho_protocol::openid::identity::{Identity, identity};
use sekisho_scim::error::ScimError;
use sekisho_scim::path::{AttributePath, Home};
use sekisho_scim::schema::ENTERPRISE;
use serde_json::{Map, Value};

/// Attributes that people and administrators change, or that can be given to somebody else.
const UNSTABLE: [&str; 9] =
    ["userName", "name", "displayName", "nickName", "profileUrl", "title", "emails", "phoneNumbers", "ims"];

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The attribute can be given to somebody else, or is none.
    #[error("`{0}` names nobody for good: use `externalId`, or an attribute that is never given to anybody else")]
    Attribute(String),
    /// Not exactly one of the claims that name a person is left for the attribute.
    #[error("a person is named by {0:?}: all of these but one have to be the same for everybody")]
    Claims(Vec<String>),
}

/// How an identity is made of a user that a provider provisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRule {
    issuer: String,
    named_by: Vec<String>,
    /// Claims that are the same for everybody, such as the tenant.
    fixed: BTreeMap<String, String>,
    /// The claim that the attribute stands for.
    claim: String,
    attribute: AttributePath,
}

impl IdentityRule {
    /// A rule. `named_by`: the claims that name a person at sign-in, in order. `fixed`: values of those that are the same for
    /// everybody, such as the tenant at Entra ID; exactly one has to be left. `attribute`: what holds the value of that one,
    /// usually `externalId`.
    pub fn new(
        issuer: &str,
        named_by: &[&str],
        fixed: BTreeMap<String, String>,
        attribute: &str,
    ) -> Result<Self, RuleError> {
        let named_by: Vec<String> = named_by.iter().map(|&claim| claim.to_owned()).collect();
        let left: Vec<&String> = named_by.iter().filter(|claim| !fixed.contains_key(*claim)).collect();
        let [claim] = left.as_slice() else { return Err(RuleError::Claims(named_by)) };
        let claim = (*claim).clone();
        let wrong = || RuleError::Attribute(attribute.to_owned());
        let path = AttributePath::parse(attribute).ok_or_else(wrong)?;
        let unstable = UNSTABLE.iter().any(|name| name.eq_ignore_ascii_case(&path.name));
        if path.part.is_some() || path.name.is_empty() || unstable {
            return Err(wrong());
        }
        Ok(Self { issuer: issuer.to_owned(), named_by, fixed, claim, attribute: path })
    }

    /// The issuer whose people these are.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Who a provisioned user is at sign-in. `None`: the attribute is not there, so nobody knows yet.
    pub fn identity(&self, resource: &Map<String, Value>) -> Result<Option<Identity>, ScimError> {
        let home = match self.attribute.home {
            Home::Core => Some(resource),
            Home::Enterprise => resource.get(ENTERPRISE).and_then(Value::as_object),
        };
        let found = home.and_then(|home| {
            home.iter().find(|(name, _)| name.eq_ignore_ascii_case(&self.attribute.name)).map(|(_, value)| value)
        });
        let Some(value) = found else { return Ok(None) };
        let mut claims: Map<String, Value> =
            self.fixed.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        claims.insert(self.claim.clone(), value.clone());
        let named_by: Vec<&str> = self.named_by.iter().map(String::as_str).collect();
        let wrong = ScimError::InvalidValue("what names the person at sign-in is a text of 1 to 255 ASCII characters");
        identity(&self.issuer, &named_by, &claims).map(Some).map_err(|_| wrong)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sekisho_protocol::openid::identity::identity;
    use sekisho_scim::schema::ENTERPRISE;
    use serde_json::{Map, Value, json};

    use super::{IdentityRule, RuleError};

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    /// A person who is provisioned and one who signs in make the same identity.
    #[test]
    fn the_rule_makes_the_identity_of_a_sign_in() {
        let fixed = BTreeMap::from([("tid".to_owned(), "t/1".to_owned())]);
        let rule = IdentityRule::new("https://entra.example", &["tid", "oid"], fixed, "externalId").unwrap();
        let made = rule.identity(&map(json!({ "externalId": "o", "userName": "ada" }))).unwrap();
        let signed_in = identity("https://entra.example", &["tid", "oid"], &map(json!({ "tid": "t/1", "oid": "o" })));
        assert_eq!(made, signed_in.ok());
        assert_eq!(rule.identity(&map(json!({ "userName": "ada" }))), Ok(None));
        assert!(rule.identity(&map(json!({ "externalId": "é" }))).is_err());
        let number = format!("{ENTERPRISE}:employeeNumber");
        let rule = IdentityRule::new("https://idp.example", &["sub"], BTreeMap::new(), &number).unwrap();
        let made = rule.identity(&map(json!({ ENTERPRISE: { "employeeNumber": "7" } }))).unwrap().unwrap();
        assert_eq!((made.issuer.as_str(), made.subject.as_str()), ("https://idp.example", "7"));
    }

    /// ATK-322: what can be given to somebody else names nobody.
    #[test]
    fn a_rule_by_a_name_or_an_address_is_refused() {
        for attribute in ["userName", "USERNAME", "emails", "emails.value", "displayName", "name.familyName", "", "a b"]
        {
            let rule = IdentityRule::new("https://idp.example", &["sub"], BTreeMap::new(), attribute);
            assert_eq!(rule, Err(RuleError::Attribute(attribute.to_owned())));
        }
        for (claims, fixed) in [(&["tid", "oid"][..], None), (&["sub"], Some("sub")), (&[], None)] {
            let fixed = fixed.map(|name: &str| (name.to_owned(), "x".to_owned())).into_iter().collect();
            let rule = IdentityRule::new("https://idp.example", claims, fixed, "externalId");
            assert!(matches!(rule, Err(RuleError::Claims(_))));
        }
    }
}
