//! The permanent identity of a person: the issuer and its identifier for the person. Never a name or an e-mail address,
//! which people and administrators change (OpenID Connect Core 1.0 §5.7, ATK-84).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::text::is_invisible;

/// A person at a provider. Two of them are the same person exactly if both texts are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The issuer identifier of the provider.
    pub issuer: String,
    /// What it calls the person: the values of the claims that name them, each with `/` and `%` escaped, joined by `/`. At
    /// most [`Identity::SUBJECT_BYTES_MAX`] bytes.
    pub subject: String,
}

impl Identity {
    /// The longest subject, in bytes: four claims of 255 bytes, all of which had to be escaped.
    pub const SUBJECT_BYTES_MAX: usize = 4 * 255 * 3 + 3;
}

/// Why claims do not name a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A claim is not there.
    #[error("the provider sends no `{claim}`, which names the person")]
    Missing {
        /// The claim.
        claim: String,
    },
    /// A claim is no text of 1 to 255 ASCII characters.
    #[error("`{claim}` is not a text of 1 to 255 ASCII characters")]
    Form {
        /// The claim.
        claim: String,
    },
    /// There are more claims than one subject can hold.
    #[error("a person is named by one to four claims")]
    Number,
}

/// The claim by which tenants of one issuer are told apart (OpenID Connect Enterprise Extensions, AS-58).
const TENANT: &str = "tenant";

/// Returns the person that these claims name: the values of `named_by`, in its order. If `tenant` is sent and is not
/// one of them, it comes first, so that people of two tenants of one issuer are never taken for one person.
///
/// `claims` are those of a signed token. UserInfo is asked only sometimes, and must not change who somebody is.
pub fn identity(issuer: &str, named_by: &[&str], claims: &Map<String, Value>) -> Result<Identity, IdentityError> {
    let tenant = claims.contains_key(TENANT) && !named_by.contains(&TENANT);
    let all: Vec<&str> = tenant.then_some(TENANT).into_iter().chain(named_by.iter().copied()).collect();
    if named_by.is_empty() || all.len() > 4 {
        return Err(IdentityError::Number);
    }
    let mut subject = String::new();
    for (at, claim) in all.iter().enumerate() {
        let value = claims.get(*claim).ok_or_else(|| IdentityError::Missing { claim: (*claim).to_owned() })?;
        let text = value.as_str().filter(|text| is_plain(text));
        let text = text.ok_or_else(|| IdentityError::Form { claim: (*claim).to_owned() })?;
        if at > 0 {
            subject.push('/');
        }
        escape(&mut subject, text);
    }
    Ok(Identity { issuer: issuer.to_owned(), subject })
}

fn is_plain(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

/// With `/` and `%` as `%2F` and `%25`: two lists of values never make one subject.
fn escape(subject: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '/' | '%' => drop(write!(subject, "%{:02X}", u32::from(character))),
            other => subject.push(other),
        }
    }
}

/// A claim that people must have to come in has another value, or is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{claim}` is not what the configuration requires")]
pub struct RequirementError {
    /// The claim.
    pub claim: String,
}

/// Whether these claims are those of somebody who may come in at all: each required claim has one of its values, or, if it is
/// a list, holds one of them. Google has everybody with an account sign in, so `hd` has to say of which domain they are.
pub fn meets(
    required: &BTreeMap<String, BTreeSet<String>>,
    claims: &Map<String, Value>,
) -> Result<(), RequirementError> {
    let is_one = |values: &BTreeSet<String>, value: &Value| value.as_str().is_some_and(|text| values.contains(text));
    for (claim, values) in required {
        let met = match claims.get(claim) {
            Some(Value::Array(items)) => items.iter().any(|item| is_one(values, item)),
            Some(value) => is_one(values, value),
            None => false,
        };
        if !met {
            return Err(RequirementError { claim: claim.clone() });
        }
    }
    Ok(())
}

/// The longest name that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// Returns the name of a person for pages: the first of the usual claims with visible text. It proves nothing.
pub fn shown_name(claims: &Map<String, Value>) -> Option<String> {
    let candidates = ["preferred_username", "upn", "email", "name", "nickname"];
    candidates.iter().filter_map(|claim| claims.get(*claim).and_then(Value::as_str)).find_map(|text| {
        let shown: String = text.trim().chars().filter(|c| !is_invisible(*c)).take(SHOWN_CHARS_MAX).collect();
        (!shown.trim().is_empty()).then_some(shown)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::{Strategy, proptest};
    use serde_json::{Map, Value, json};

    use super::{Identity, IdentityError, identity, meets, shown_name};

    const ISSUER: &str = "https://login.example";

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn subject(named_by: &[&str], value: Value) -> Result<String, IdentityError> {
        identity(ISSUER, named_by, &claims(value)).map(|identity| identity.subject)
    }

    /// ATK-84: the same address at the same provider is another person if the provider calls them otherwise.
    #[test]
    fn an_e_mail_address_names_nobody() {
        let of = |sub: &str, email: &str| {
            identity(ISSUER, &["sub"], &claims(json!({ "sub": sub, "email": email, "email_verified": true }))).unwrap()
        };
        assert_ne!(of("1", "ada@example.com"), of("2", "ada@example.com"));
        assert_eq!(of("1", "ada@example.com"), of("1", "ada@new.example"));
        let other = identity("https://other.example", &["sub"], &claims(json!({ "sub": "1" }))).unwrap();
        assert_ne!(other, of("1", "ada@example.com"));
    }

    /// AS-58: tenants that share an issuer share nobody.
    #[test]
    fn a_tenant_is_part_of_who_somebody_is() {
        assert_eq!(subject(&["tid", "oid"], json!({ "tid": "t", "oid": "o", "sub": "s" })).unwrap(), "t/o");
        assert_eq!(subject(&["sub"], json!({ "sub": "s", "tenant": "a" })).unwrap(), "a/s");
        assert_ne!(subject(&["sub"], json!({ "sub": "s", "tenant": "b" })), Ok("a/s".to_owned()));
        assert_eq!(subject(&["sub"], json!({ "sub": "a/s" })).unwrap(), "a%2Fs");
        assert_eq!(subject(&["tenant", "sub"], json!({ "sub": "s", "tenant": "a" })).unwrap(), "a/s");
    }

    #[test]
    fn claims_that_name_nobody_are_refused() {
        assert_eq!(subject(&["oid"], json!({ "sub": "s" })), Err(IdentityError::Missing { claim: "oid".to_owned() }));
        for bad in [json!(""), json!(7), json!(null), json!(["s"]), json!("x".repeat(256)), json!("é"), json!("a\n")] {
            let found = subject(&["sub"], json!({ "sub": bad }));
            assert_eq!(found, Err(IdentityError::Form { claim: "sub".to_owned() }), "{bad}");
        }
        assert_eq!(subject(&[], json!({})), Err(IdentityError::Number));
        assert_eq!(subject(&["a", "b", "c", "d", "e"], json!({})), Err(IdentityError::Number));
        // A tenant that cannot be read is not left out.
        assert!(subject(&["sub"], json!({ "sub": "s", "tenant": 1 })).is_err());
    }

    /// ATK-302: a provider that lets everybody in is held to its own people.
    #[test]
    fn people_of_another_domain_do_not_come_in() {
        let domain = BTreeSet::from(["example.com".to_owned(), "example.org".to_owned()]);
        let required = BTreeMap::from([("hd".to_owned(), domain)]);
        for good in [json!({ "hd": "example.com" }), json!({ "hd": ["x", "example.org"] })] {
            assert_eq!(meets(&required, &claims(good)), Ok(()));
        }
        for bad in [
            json!({}),
            json!({ "hd": "Example.com" }),
            json!({ "hd": "example.com.evil.test" }),
            json!({ "hd": true }),
            json!({ "hd": { "example.com": 1 } }),
            json!({ "hd": [] }),
            json!({ "email": "ada@example.com" }),
        ] {
            assert!(meets(&required, &claims(bad.clone())).is_err(), "{bad}");
        }
        assert_eq!(meets(&BTreeMap::new(), &claims(json!({}))), Ok(()));
    }

    #[test]
    fn what_is_shown_has_nothing_invisible_in_it() {
        assert_eq!(shown_name(&claims(json!({ "email": "a@b", "name": "Ada" }))).as_deref(), Some("a@b"));
        assert_eq!(shown_name(&claims(json!({ "upn": " \u{202e} ", "name": "A\u{200b}da" }))).as_deref(), Some("Ada"));
        assert_eq!(shown_name(&claims(json!({ "name": 1 }))), None);
        let long = shown_name(&claims(json!({ "name": "x".repeat(500) }))).unwrap();
        assert_eq!(long.len(), 80);
    }

    proptest! {
        /// Two lists of values never make one subject.
        #[test]
        fn different_values_make_different_subjects(
            one in proptest::collection::vec("[ -~]{1,8}", 1..=3), other in proptest::collection::vec("[ab/%2F]{1,4}", 1..=3)
                .prop_map(|list| list),
        ) {
            let names = ["c0", "c1", "c2"];
            let make = |list: &[String]| {
                let pairs = names.iter().zip(list).map(|(name, value)| ((*name).to_owned(), json!(value)));
                identity(ISSUER, &names[..list.len()], &pairs.collect()).unwrap()
            };
            let (first, second): (Identity, Identity) = (make(&one), make(&other));
            assert_eq!(first == second, one == other);
            assert!(first.subject.len() <= Identity::SUBJECT_BYTES_MAX);
        }
    }
}
