//! Which rule led to an answer.

use std::borrow::Cow;
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::ids::{LoanId, ServerName, UserId};

/// A rule that led to an answer, by its kind and its name.
///
/// Records, pages and commands show a rule as one text, and [`RuleId::read`] reads that text back as the same rule. So
/// that no text means two rules, an `@id` of a policy file that would read as another kind is refused when the file is
/// loaded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RuleId {
    /// What a word of the configuration comes to: `servers.NAME.public`, `servers.NAME.everyone` or
    /// `servers.NAME.users.USER`.
    Configuration(String),
    /// A loan, shown as `loan:LOAN`.
    Loan(LoanId),
    /// The built-in rule that an owner may do everything, shown as `owner`.
    Owner,
    /// A rule of a policy file: its `@id`, or `FILE#NUMBER` where it has none.
    Policy(String),
}

impl RuleId {
    /// What the text of a loan begins with. No `@id` may begin with it, whatever follows.
    pub const LOAN_PREFIX: &'static str = "loan:";
    /// The text of the built-in rule.
    const OWNER: &'static str = "owner";

    /// The rule that this text shows. Total: a text that is of no other kind is the name of a policy.
    pub fn read(text: &str) -> Self {
        let loan = || text.strip_prefix(Self::LOAN_PREFIX).and_then(|id| id.parse().ok());
        match text {
            Self::OWNER => Self::Owner,
            _ if is_of_configuration(text) => Self::Configuration(text.to_owned()),
            _ => loan().map_or_else(|| Self::Policy(text.to_owned()), Self::Loan),
        }
    }

    /// The text that shows it. Allocates for a loan only.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Configuration(name) | Self::Policy(name) => Cow::Borrowed(name),
            Self::Loan(loan) => Cow::Owned(format!("{}{loan}", Self::LOAN_PREFIX)),
            Self::Owner => Cow::Borrowed(Self::OWNER),
        }
    }
}

/// `servers.NAME.` and one of the words that make rules.
fn is_of_configuration(text: &str) -> bool {
    let named = text.strip_prefix("servers.").and_then(|rest| rest.split_once('.'));
    named.is_some_and(|(server, word)| {
        let is_user = || word.strip_prefix("users.").is_some_and(|user| user.parse::<UserId>().is_ok());
        server.parse::<ServerName>().is_ok() && (matches!(word, "everyone" | "public") || is_user())
    })
}

impl Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Serialize for RuleId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for RuleId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer).map(|text| Self::read(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::RuleId;

    /// The kind of a rule is read from its text, and only the exact form of a kind is of that kind.
    #[test]
    fn a_rule_reads_back_as_the_kind_that_it_is() {
        let user = "usr_01a2b3c4d5e6f708091a2b3c4d5e6f70";
        let loan = "loan:lon_01a2b3c4d5e6f708091a2b3c4d5e6f70";
        let policy = |text: &str| RuleId::Policy(text.to_owned());
        let configuration = |text: &str| RuleId::Configuration(text.to_owned());
        for (text, rule) in [
            ("owner", RuleId::Owner),
            ("owners", policy("owners")),
            (loan, RuleId::Loan("lon_01a2b3c4d5e6f708091a2b3c4d5e6f70".parse().unwrap())),
            ("loan-desk", policy("loan-desk")),
            ("loan", policy("loan")),
            ("loan:", policy("loan:")),
            ("loan:lon_1", policy("loan:lon_1")),
            ("servers.notes.everyone", configuration("servers.notes.everyone")),
            ("servers.notes.public", configuration("servers.notes.public")),
            (&format!("servers.notes.users.{user}"), configuration(&format!("servers.notes.users.{user}"))),
            ("servers.notes.users.ada", policy("servers.notes.users.ada")),
            ("servers.Notes.everyone", policy("servers.Notes.everyone")),
            ("servers.notes", policy("servers.notes")),
            ("a.cedar#3", policy("a.cedar#3")),
            ("", policy("")),
        ] {
            assert_eq!(RuleId::read(text), rule, "{text}");
            assert_eq!(rule.text(), text);
            let written = serde_json::to_string(&rule).unwrap();
            assert_eq!(written, serde_json::to_string(text).unwrap());
            assert_eq!(serde_json::from_str::<RuleId>(&written).unwrap(), rule);
        }
    }
}
