//! What is wrong with the credential of a server.

use sekisho_gateway::check_upstream_url;
use sekisho_protocol::account::profile::VENDORS;
use sekisho_protocol::ids::ClientId;

use super::credential::{COMMAND_SECONDS_MAX, CredentialDefinition, CredentialKind, LinkWay};
use super::model::{Access, Isolation, ServerDefinition};
use super::values::stand_in;

/// What is wrong with the credential of a server: what, and what to do.
pub(crate) fn check_credential(server: &ServerDefinition) -> Vec<(String, String)> {
    let Some(credential) = &server.credential else { return Vec::new() };
    let mut wrong = Vec::new();
    let mut note = |what: &str, help: &str| wrong.push((what.to_owned(), help.to_owned()));
    if server.builtin {
        note("the checkpoint is shown no credential", "remove `credential`");
        return wrong;
    }
    for (name, kind) in credential.set() {
        let fits = match kind {
            None => credential.kind != CredentialKind::None,
            Some(kind) => credential.kind == kind,
        };
        if !fits {
            let what = format!("`{name}` says nothing for a credential of this kind");
            note(&what, "remove it, or write another `kind`: `none`, `secret` or `linked`");
        }
    }
    match credential.kind {
        CredentialKind::None => {}
        CredentialKind::Secret => {
            check_place(server, credential, &mut note);
            check_secret(credential, &mut note);
        }
        CredentialKind::Linked => {
            check_place(server, credential, &mut note);
            check_person(server, &mut note);
            check_vendor(server, credential, &mut note);
        }
    }
    wrong
}

/// Where it is put.
fn check_place(server: &ServerDefinition, credential: &CredentialDefinition, note: &mut impl FnMut(&str, &str)) {
    let (header, _) = credential.header();
    match (server.url.is_some(), &credential.variable) {
        (true, Some(_)) => note("a URL has no variables", "write `header` in place of `variable`"),
        (true, None) => {
            if http::HeaderName::from_bytes(header.as_bytes()).is_err() {
                note("`header` is no name of a header", "use a name such as `Authorization`");
            }
            if credential.prefix.as_deref().is_some_and(|prefix| http::HeaderValue::from_str(prefix).is_err()) {
                note("`prefix` cannot stand in a header", "write it on one line");
            }
            if server.headers.keys().any(|name| name.eq_ignore_ascii_case(header)) {
                let what = format!("`headers` and `credential` both set `{header}`");
                note(&what, "remove it from `headers`: nobody is shown the one in place of the other");
            }
        }
        (false, None) => note("a program needs `variable`", "name the variable that the program reads"),
        (false, Some(name)) => {
            if name.is_empty() || name.contains(['=', '\0']) {
                note("`variable` is no name of a variable", "use a name such as `API_KEY`");
            }
            if credential.header.is_some() || credential.prefix.is_some() {
                note("a program is shown no headers", "remove `header` and `prefix`");
            }
        }
    }
}

fn check_secret(credential: &CredentialDefinition, note: &mut impl FnMut(&str, &str)) {
    match (&credential.value, credential.command.is_empty()) {
        (None, true) => note("a secret needs `value` or `command`", "write `value = \"${env:NAME}\"`, for example"),
        (Some(_), false) => note("a secret has either `value` or `command`", "remove one of them"),
        (Some(_), true) => {
            if !credential.pass.is_empty()
                || credential.lifetime_seconds.is_some()
                || credential.timeout_seconds.is_some()
            {
                let help = "remove `pass`, `lifetime_seconds` and `timeout_seconds`";
                note("only a command takes time, and its output has a lifetime", help);
            }
        }
        (None, false) => {}
    }
    if credential.lifetime_seconds == Some(0) {
        note("`lifetime_seconds` is at least 1", "remove it to have the default, 300");
    }
    if credential.timeout_seconds.is_some_and(|seconds| seconds == 0 || seconds > COMMAND_SECONDS_MAX) {
        note("`timeout_seconds` is at least 1 and at most 60", "remove it to have the default, 10");
    }
}

/// Who calls, and with whom they share a process.
fn check_person(server: &ServerDefinition, note: &mut impl FnMut(&str, &str)) {
    if server.access == Access::Public {
        note("a caller without a token has no account", "remove `access = \"public\"`, or write another `kind`");
    }
    if server.isolation == Isolation::Shared && server.url.is_none() {
        note(
            "the program gets the account of one person, and `isolation = \"shared\"` would show it to all",
            "remove `isolation`, so that each user has a process",
        );
    }
}

fn check_vendor(server: &ServerDefinition, credential: &CredentialDefinition, note: &mut impl FnMut(&str, &str)) {
    let profile = credential.vendor_profile();
    if credential.profile.is_some() && profile.is_none() {
        let names: Vec<&str> = VENDORS.iter().map(|profile| profile.name).collect();
        note("there is no such `profile`", &format!("use one of {}, or name the endpoints", names.join(", ")));
    }
    if profile.is_none() && credential.vendor.as_deref().is_none_or(|vendor| vendor.trim().is_empty()) {
        note("`vendor` is missing", "write the name by which people know whose account it is");
    }
    let urls = [
        ("authorization_url", &credential.authorization_url),
        ("token_url", &credential.token_url),
        ("revocation_url", &credential.revocation_url),
        ("account_url", &credential.account_url),
    ];
    for (name, url) in urls {
        if url.as_ref().is_some_and(|url| check_upstream_url(&stand_in(url)).is_err()) {
            note(&format!("`{name}` is no URL"), "write it as `https://host/path`");
        }
    }
    if credential.account_url.is_some() != credential.account_name.is_some() {
        note("`account_url` and `account_name` belong together", "give both, or neither");
    }
    if credential.account_name.as_deref().is_some_and(|pointer| !pointer.starts_with('/')) {
        note("`account_name` is no JSON Pointer", "write it as `/login`");
    }
    let of_oauth = ["authorization_url", "token_url", "revocation_url", "client_id", "client_secret", "scopes"];
    if credential.link == Some(LinkWay::Key) {
        if credential.set().iter().any(|(name, _)| of_oauth.contains(name)) {
            note("a key needs no endpoints, client or scopes", "remove them, or write `link = \"oauth\"`");
        }
        return;
    }
    let has_both = credential.authorization_url.is_some() && credential.token_url.is_some();
    if credential.authorization_url.is_some() != credential.token_url.is_some() {
        note("`authorization_url` and `token_url` belong together", "give both, or neither");
    }
    let is_given = has_both || profile.is_some();
    if !is_given && server.url.is_none() {
        note(
            "a program does not say where its vendor is",
            "write `authorization_url` and `token_url`, a `profile`, or `link = \"key\"`",
        );
    }
    if is_given && credential.client_id.is_none() {
        note("`client_id` is missing", "register the checkpoint at the vendor, and write the identifier that it gives");
    }
    if credential.client_id.as_deref().is_some_and(|id| ClientId::parse(id).is_err()) {
        note("`client_id` is no identifier of a client", "copy it as the vendor shows it");
    }
}
