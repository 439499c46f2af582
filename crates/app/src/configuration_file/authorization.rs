//! Reads `[servers.NAME.authorization]`: each key on its own, so that every mistake has its place.

use toml::de::{DeTable, DeValue};

use super::{Reader, place};
use crate::config::authorization::Authorization;
use crate::config::authorization_check::check;
use crate::config::{Configuration, ServerDefinition};
use crate::reach;

const KEY: &str = "authorization";

impl Reader<'_> {
    /// Reads the table of a server. What is wrong in the table `authorization` does not hide the rest of it.
    pub(super) fn server(&mut self, table: &DeTable<'_>) -> ServerDefinition {
        let is_nested = |key: &str, value: &DeValue<'_>| key == KEY && matches!(value, DeValue::Table(_));
        let plain = table.iter().filter(|(key, value)| !is_nested(key.get_ref(), value.get_ref()));
        let plain: DeTable<'_> = plain.map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut server: ServerDefinition = self.table(&plain);
        if let Some(nested) = nested(table) {
            server.authorization = Some(self.table::<Authorization>(nested));
        }
        server
    }

    /// What is wrong with external authorization servers beyond the types of their members, each at its own place.
    pub(super) fn check_authorization(&mut self, configuration: &Configuration, table: &DeTable<'_>) {
        let servers = table.iter().find(|(key, _)| key.get_ref() == "servers").map(|(_, value)| value.get_ref());
        let Some(DeValue::Table(servers)) = servers else { return };
        let at = |server: &str, key: &str| {
            let found = servers.iter().find(|(name, _)| name.get_ref() == server);
            let inner = found.and_then(|(_, value)| match value.get_ref() {
                DeValue::Table(table) => Some(table),
                _ => None,
            });
            let own = inner.and_then(nested).and_then(|table| place(table, key));
            own.or_else(|| inner.and_then(|table| place(table, KEY))).unwrap_or(0..0)
        };
        let (servers, login) = (&configuration.servers, &configuration.login);
        for problem in check(servers, login, configuration.base_url.as_deref()) {
            self.push(at(&problem.server, problem.key), problem.message, Some(problem.help), problem.fatal);
        }
        for (name, server) in servers {
            let Some(authorization) = &server.authorization else { continue };
            let Ok(issuer) = authorization.external_issuer(login) else { continue };
            if let Err(message) = reach::check(configuration, &issuer.issuer) {
                self.note(at(name, "issuer"), message, Some("see `outbound.allow_private`".to_owned()));
            }
            // What the file itself has wrong was told above.
            if authorization.client_secret.is_some()
                && let Err(unusable) = authorization.registration(&issuer.issuer)
                && unusable.key == "client_secret"
            {
                self.push_here(at(name, unusable.key), unusable.message, unusable.help);
            }
        }
    }
}

/// The table `authorization` of a server.
fn nested<'t>(table: &'t DeTable<'t>) -> Option<&'t DeTable<'t>> {
    let found = table.iter().find(|(key, _)| key.get_ref() == KEY).map(|(_, value)| value.get_ref());
    match found {
        Some(DeValue::Table(table)) => Some(table),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reader;

    /// What is wrong in a file that is otherwise good, with the place in it, and whether the file is refused for it.
    fn found(login: &str, authorization: &str) -> Vec<(String, String, bool)> {
        let text = format!(
            "base_url = \"https://gate.example\"\n[[login.provider]]\nname = \"corp\"\nissuer = \"https://login.example\"\n\
             client_id = \"sekisho\"\nclient_secret = \"${{env:PATH}}\"\n{login}\n[servers.notes]\nurl = \"https://notes.example/mcp\"\n\
             tools = {{ a = \"read\" }}\n[servers.notes.authorization]\n{authorization}\n"
        );
        let loaded = Reader::new("sekisho.toml", &text).read();
        let all = loaded.mistakes.iter();
        all.map(|mistake| {
            let at = text.get(mistake.span.clone()).unwrap_or_default().to_owned();
            (mistake.message.clone(), at, mistake.fatal)
        })
        .collect()
    }

    const ASKED: &str =
        "provider = \"corp\"\naccept = \"introspection\"\nclient_id = \"gate\"\nclient_secret = \"${env:PATH}\"";

    #[test]
    fn good_tables_are_read() {
        for (login, good) in [
            ("", "provider = \"corp\""),
            ("", "provider = \"corp\"\naudience = \"api://notes\"\nother_audiences = [\"account\"]\nuntyped = true"),
            ("", "provider = \"corp\"\nalgorithms = [\"RS256\"]\nours_too = true"),
            (
                "",
                "provider = \"corp\"\nscopes = { \"notes.read\" = [\"mcp:read\"], \"notes.edit\" = [\"mcp:write\", \"tool:a\"] }",
            ),
            ("identity = [\"oid\"]", "provider = \"corp\"\nissuer = \"https://sts.example/tenant\""),
            ("", ASKED),
        ] {
            assert_eq!(found(login, good), [], "{good}");
        }
    }

    /// Each mistake is told at its own key, and none hides another.
    #[test]
    fn every_mistake_has_its_place() {
        let asked = |more: &str| format!("{ASKED}\n{more}");
        for (login, bad, word, at) in [
            ("", "provider = \"other\"".to_owned(), "no login provider `other`", "\"other\""),
            ("", "accept = \"jwt\"".to_owned(), "no login provider", "authorization"),
            ("", "provider = \"corp\"\nissuers = 1".to_owned(), "unknown field", "issuers"),
            ("", "provider = \"corp\"\naccept = \"opaque\"".to_owned(), "unknown variant", "\"opaque\""),
            ("", "provider = \"corp\"\nalgorithms = [\"HS256\"]".to_owned(), "not an algorithm", "[\"HS256\"]"),
            (
                "",
                "provider = \"corp\"\nissuer = \"http://login.example\"".to_owned(),
                "not an issuer identifier",
                "\"http://login.example\"",
            ),
            (
                "",
                "provider = \"corp\"\nissuer = \"https://gate.example\"".to_owned(),
                "own issuer",
                "\"https://gate.example\"",
            ),
            (
                "",
                "provider = \"corp\"\nissuer = \"https://login2.example\"".to_owned(),
                "the same `sub`",
                "\"https://login2.example\"",
            ),
            ("", "provider = \"corp\"\naudience = \"sekisho\"".to_owned(), "ID tokens", "\"sekisho\""),
            ("", "provider = \"corp\"\naudience = \"\"".to_owned(), "an audience is a text", "\"\""),
            ("", "provider = \"corp\"\nother_audiences = [\"a\", \"a\"]".to_owned(), "named already", "[\"a\", \"a\"]"),
            ("profile = \"entra\"", "provider = \"corp\"".to_owned(), "no token for the URL", "authorization"),
            ("", "provider = \"corp\"\nclient_id = \"x\"".to_owned(), "nobody is asked", "\"x\""),
            (
                "",
                "provider = \"corp\"\nclient_secret = \"${env:PATH}\"".to_owned(),
                "nobody is asked",
                "\"${env:PATH}\"",
            ),
            (
                "",
                "provider = \"corp\"\naccept = \"introspection\"\nclient_id = \"gate\"".to_owned(),
                "a secret is needed",
                "authorization",
            ),
            (
                "",
                "provider = \"corp\"\naccept = \"introspection\"\nclient_secret = \"${env:PATH}\"".to_owned(),
                "a client that it knows",
                "authorization",
            ),
            ("", asked("untyped = true"), "says of each token", "true"),
            ("", asked("algorithms = [\"ES256\"]"), "no signature", "[\"ES256\"]"),
            ("", asked("authentication = \"none\""), "does not prove itself", "\"none\""),
            ("", asked("scopes = { \"a\\\"b\" = [\"mcp:read\"] }"), "is not a scope", "scopes"),
            ("", asked("scopes = { a = [] }"), "permits nothing", "scopes"),
            ("", asked("scopes = { a = [\"mcp:write\"], b = [\"admin\"] }"), "none of the scopes", "scopes"),
            ("", asked("scopes = { a = [\"mcp:read\"] }"), "no scope of the issuer gives `mcp:write`", "scopes"),
            ("", asked("scopes = 1"), "invalid type", "1"),
        ] {
            let all = found(login, &bad);
            let is = |(message, place, fatal): &(String, String, bool)| message.contains(word) && place == at && *fatal;
            assert!(all.iter().any(is), "{bad}: {all:?}");
        }
        let missing = "provider = \"corp\"\naccept = \"introspection\"\nclient_id = \"gate\"\nclient_secret = \"${file:/nowhere}\"";
        assert!(found("", missing).iter().any(|(message, ..)| message.contains("needs the file")));
        let shown =
            "provider = \"corp\"\naccept = \"introspection\"\nclient_id = \"gate\"\nclient_secret = \"visible\"";
        assert!(found("", shown).iter().any(|(message, _, fatal)| message.contains("stands in the file") && !fatal));
    }

    /// Two servers whose tokens cannot be told apart are told of.
    #[test]
    fn one_audience_for_two_servers_is_told() {
        let two = "provider = \"corp\"\naudience = \"api://all\"\n[servers.tasks]\nurl = \"https://tasks.example/mcp\"\n\
                   tools = { a = \"read\" }\n[servers.tasks.authorization]\nprovider = \"corp\"\naudience = \"api://all\"";
        let all = found("", two);
        assert!(all.iter().any(|(message, _, fatal)| message.contains("`notes` as well") && !fatal), "{all:?}");
    }
}
