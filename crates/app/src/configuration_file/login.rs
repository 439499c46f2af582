//! Reads `[login]`: the providers one by one, each key on its own, so that every mistake has its place.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::{Reader, place};
use crate::config::Configuration;
use crate::config::login::{Login, LoginProvider, check_login};
use crate::reach;

impl Reader<'_> {
    /// Reads the table. What is wrong with one provider does not hide the others.
    pub(super) fn login(&mut self, login: &DeTable<'_>) -> Login {
        let providers = |key: &str| key == "provider";
        let plain = login
            .iter()
            .filter(|(key, value)| !(providers(key.get_ref()) && matches!(value.get_ref(), DeValue::Array(_))));
        let plain: DeTable<'_> = plain.map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut read: Login = self.table(&plain);
        for table in tables(login) {
            read.provider.push(self.table::<LoginProvider>(table));
        }
        let expected = "expected `[[login.provider]]` with `name`, `issuer` and `client_id`";
        let stray =
            login.iter().filter(|(key, _)| providers(key.get_ref())).filter_map(|(_, value)| match value.get_ref() {
                DeValue::Array(items) => items.iter().find(|item| !matches!(item.get_ref(), DeValue::Table(_))),
                _ => None,
            });
        let stray: Vec<Range<usize>> = stray.map(toml::Spanned::span).collect();
        for span in stray {
            self.note(span, expected.to_owned(), None);
        }
        read
    }

    /// What is wrong with the providers beyond the types of their members, each at its own place in the file.
    pub(super) fn check_login(&mut self, configuration: &Configuration, table: &DeTable<'_>) {
        let login = table.iter().find(|(key, _)| key.get_ref() == "login").map(|(_, value)| value.get_ref());
        let Some(DeValue::Table(inner)) = login else { return };
        let top = place(table, "login").unwrap_or(0..0);
        let places: Vec<&DeTable<'_>> = tables(inner).collect();
        let at = |provider: usize, key: &str| {
            let found = places.get(provider);
            let first = found.and_then(|table| table.iter().next()).map(|(key, _)| key.span());
            found.and_then(|table| place(table, key)).or(first).unwrap_or_else(|| top.clone())
        };
        let groups: BTreeSet<String> = configuration.groups.keys().cloned().collect();
        for problem in check_login(&configuration.login, &groups) {
            let span = match problem.provider {
                Some(provider) => at(provider, problem.key),
                None => place(inner, problem.key).unwrap_or_else(|| top.clone()),
            };
            self.push(span, problem.message, Some(problem.help), problem.fatal);
        }
        let base_url = configuration.base_url.as_deref().unwrap_or("http://localhost:8420");
        for (number, provider) in configuration.login.provider.iter().enumerate() {
            if let Err(message) = reach::check(configuration, &provider.issuer) {
                self.note(at(number, "issuer"), message, Some("see `outbound.allow_private`".to_owned()));
            }
            // Mistakes of the file itself were reported above.
            if let Err(unusable) = provider.registration(base_url)
                && matches!(unusable.key, "client_key" | "client_secret")
                && (provider.client_key.is_some() || provider.client_secret.is_some())
            {
                self.push_here(at(number, unusable.key), unusable.message, unusable.help);
            }
        }
    }
}

/// The tables of the providers.
fn tables<'t>(login: &'t DeTable<'_>) -> impl Iterator<Item = &'t DeTable<'t>> {
    let found = login.iter().find(|(key, _)| key.get_ref() == "provider").map(|(_, value)| value.get_ref());
    let items = match found {
        Some(DeValue::Array(items)) => Some(items),
        _ => None,
    };
    items.into_iter().flatten().filter_map(|item| match item.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Reader;

    fn messages(text: &str) -> Vec<(String, String)> {
        let loaded = Reader::new("sekisho.toml", text).read();
        let found = loaded.mistakes.iter().filter(|mistake| mistake.fatal);
        found
            .map(|mistake| (mistake.message.clone(), text.get(mistake.span.clone()).unwrap_or_default().to_owned()))
            .collect()
    }

    const GOOD: &str = r#"
        [login]
        passwords = false
        [[login.provider]]
        name = "corp"
        issuer = "https://login.example"
        client_id = "sekisho"
        client_secret = "a secret of the test"
    "#;

    #[test]
    fn a_provider_is_read() {
        let loaded = Reader::new("sekisho.toml", GOOD).read();
        assert_eq!(messages(GOOD), []);
        assert!(!loaded.configuration.login.passwords);
        assert_eq!(loaded.configuration.login.provider[0].name, "corp");
    }

    /// Each mistake is told at its own key of its own provider, and none hides another.
    #[test]
    fn every_mistake_of_every_provider_has_its_place() {
        let bad = format!(
            "{GOOD}\n[[login.provider]]\nname = \"Corp\"\nissuer = \"http://login.example\"\nclient_id = \"x\"\n\
             client_secret = \"y\"\nmax_age_seconds = \"soon\"\nclaims = 1\n"
        );
        let found = messages(&bad);
        let has = |word: &str, at: &str| {
            assert!(found.iter().any(|(message, place)| message.contains(word) && place == at), "{word}: {found:?}");
        };
        has("name of a provider", "\"Corp\"");
        has("issuer identifier", "\"http://login.example\"");
        has("invalid type", "\"soon\"");
        has("unknown field", "claims");
        let nobody = "[login]\npasswords = false\n";
        assert!(messages(nobody).iter().any(|(message, _)| message.contains("nobody could sign in")));
        let array = "[login]\nprovider = [1]\n";
        assert!(messages(array).iter().any(|(message, _)| message.contains("[[login.provider]]")));
    }
}
