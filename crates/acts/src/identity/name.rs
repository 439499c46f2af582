//! How a user is called whom a provider brings, by a sign-in or by SCIM: `PROVIDER:NAME`, in one form for both.
//!
//! A local name has no colon and a group of a provider has a slash. So a name that somebody chose at a provider is never the name
//! of a user or a group of this checkpoint, or of another provider (decision 0093).

use sekisho_protocol::ids::UserId;
use sekisho_store::{StoreError, Tx};

/// The most characters of the part of a name that comes from the provider. A local name has no more.
const NAME_CHARS_MAX: usize = 64;

/// How many users of one provider may have the same name at first; after them an identifier tells the next ones apart.
const SAME_NAME_MAX: u32 = 20;

/// The name of a user who is called `shown` at this provider: letters, digits and `. - _ @ +`, with a hyphen in place of any other
/// character.
pub(crate) fn name_of(provider: &str, shown: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '+') { c } else { '-' };
    let shown: String = shown.chars().take(NAME_CHARS_MAX).map(plain).collect();
    let shown = if shown.chars().any(char::is_alphanumeric) { shown.as_str() } else { "person" };
    format!("{provider}:{shown}")
}

/// A name of this form that no user has, for the user `id`: the second person who is called `ada` at `corp` is `corp:ada-2`.
pub(crate) async fn free_name(tx: &mut Tx, provider: &str, shown: &str, id: UserId) -> Result<String, StoreError> {
    let name = name_of(provider, shown);
    for number in 1..=SAME_NAME_MAX {
        let name = if number == 1 { name.clone() } else { format!("{name}-{number}") };
        if tx.users().find_by_name(&name).await?.is_none() {
            return Ok(name);
        }
    }
    Ok(format!("{name}-{id}"))
}

#[cfg(test)]
mod tests {
    use super::{NAME_CHARS_MAX, name_of};

    /// ATK-378: what a provider writes becomes a name of these characters, whatever it is.
    #[test]
    fn a_name_of_a_provider_has_one_form() {
        for (shown, name) in [
            ("ada", "corp:ada"),
            ("Ada@Example.com", "corp:Ada@Example.com"),
            ("corp/engineers: x\u{202e}", "corp:corp-engineers--x-"),
            ("エイダ", "corp:エイダ"),
            ("", "corp:person"),
            ("//", "corp:person"),
        ] {
            assert_eq!(name_of("corp", shown), name, "{shown}");
        }
        assert_eq!(name_of("corp", &"x".repeat(500)).len(), "corp:".len() + NAME_CHARS_MAX);
    }
}
