//! What is wrong, or unwise, with `[servers.NAME.authorization]`, beyond the types of its members.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_client::http::is_as_secure;
use sekisho_protocol::external::ScopeMap;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::scope::Scope;
use sekisho_protocol::text::for_terminal;

use super::authorization::{Accept, Authorization};
use super::login::{Login, LoginProvider, Unusable};
use super::model::ServerDefinition;
use super::values::{refers, stand_in};

/// Something wrong, or unwise, with the external authorization server of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthorizationProblem {
    /// The name of the server.
    pub(crate) server: String,
    /// The key at which it stands.
    pub(crate) key: &'static str,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: String,
    /// Whether the file is refused for it.
    pub(crate) fatal: bool,
}

/// Notes a problem: its key, what is wrong, what to do, whether the file is refused for it.
type Note<'a> = dyn FnMut(&'static str, &str, &str, bool) + 'a;

/// What is wrong with external authorization servers, beyond the types of their members.
pub(crate) fn check(
    servers: &BTreeMap<String, ServerDefinition>,
    login: &Login,
    base_url: Option<&str>,
) -> Vec<AuthorizationProblem> {
    let mut problems = Vec::new();
    for (server, definition) in servers {
        let Some(authorization) = &definition.authorization else { continue };
        let mut note = |key, message: &str, help: &str, fatal| {
            let (message, help) = (message.to_owned(), help.to_owned());
            problems.push(AuthorizationProblem { server: server.clone(), key, message, help, fatal });
        };
        check_form(authorization, &mut note);
        check_scopes(authorization, definition, &mut note);
        let Some(provider) = authorization.provider_of(login) else {
            let Unusable { key, message, help } = authorization.no_provider();
            note(key, &message, &help, true);
            continue;
        };
        check_issuer(authorization, provider, base_url, &mut note);
        check_audience(authorization, provider, &mut note);
        let same = servers.iter().take_while(|(other, _)| *other != server).find(|(_, other)| {
            let other = other.authorization.as_ref();
            other.is_some_and(|other| {
                let issuer = other.provider_of(login).map(|of| other.issuer_of(of));
                other.audience.is_some()
                    && other.audience == authorization.audience
                    && issuer == Some(authorization.issuer_of(provider))
            })
        });
        if let Some((other, _)) = same {
            let message = format!("a token for this server is good for the server `{other}` as well");
            note("audience", &message, "give each server its own audience, unless that is what you want", false);
        }
    }
    problems
}

/// What goes with which form of tokens.
fn check_form(authorization: &Authorization, note: &mut Note<'_>) {
    let Authorization { accept, client_id, client_secret, authentication, .. } = authorization;
    if *accept == Accept::Jwt {
        let client = [
            ("client_id", client_id.is_some()),
            ("client_secret", client_secret.is_some()),
            ("authentication", authentication.is_some()),
        ];
        for (key, _) in client.into_iter().filter(|(_, is)| *is) {
            note(key, "nobody is asked about signed tokens", "remove it, or say `accept = \"introspection\"`", true);
        }
        return;
    }
    if authorization.untyped {
        note("untyped", "the issuer says of each token what it is", "remove `untyped`", true);
    }
    if !authorization.algorithms.is_empty() {
        note(
            "algorithms",
            "no signature is checked of tokens that the issuer is asked about",
            "remove `algorithms`",
            true,
        );
    }
    if client_id.as_deref().is_none_or(|id| ClientId::parse(id).is_err()) {
        note(
            "client_id",
            "the issuer answers only a client that it knows",
            "register one there, and copy its identifier",
            true,
        );
    }
    match client_secret {
        None => note("client_secret", "a secret is needed", "give `client_secret = \"${file:PATH}\"`", true),
        Some(secret) if stand_in(secret).is_empty() => {
            note("client_secret", "the secret is empty", "give `${file:PATH}`", true);
        }
        Some(secret) if !refers(secret) => {
            let help = "write `${file:PATH}` or `${env:NAME}`";
            note("client_secret", "the secret stands in the file, for everybody who reads it", help, false);
        }
        Some(_) => {}
    }
    let with_secret = [ClientAuthentication::ClientSecretBasic, ClientAuthentication::ClientSecretPost];
    if authentication.is_some_and(|method| !with_secret.contains(&method)) {
        let help = "write `client_secret_basic` or `client_secret_post`";
        note("authentication", "a client with a secret does not prove itself like this", help, true);
    }
}

/// Which scopes permit what.
fn check_scopes(authorization: &Authorization, definition: &ServerDefinition, note: &mut Note<'_>) {
    for (theirs, ours) in &authorization.scopes {
        if theirs.parse::<Scope>().is_err() {
            note("scopes", &format!("`{}` is not a scope", for_terminal(theirs)), "write it as the issuer does", true);
        }
        if ours.is_empty() {
            note(
                "scopes",
                &format!("`{}` permits nothing", for_terminal(theirs)),
                "remove it: so does every other",
                true,
            );
        }
        let is_ours = |scope: &String| scope.parse::<Scope>().is_ok_and(|scope| ScopeMap::is_ours(&scope));
        if let Some(bad) = ours.iter().find(|scope| !is_ours(scope)) {
            let message = format!("`{}` is none of the scopes of this server", for_terminal(bad));
            note("scopes", &message, "use `mcp:read`, `mcp:write`, `mcp:destructive` or `tool:NAME`", true);
        }
    }
    let usual = || vec!["mcp:read".to_owned(), "mcp:write".to_owned()];
    let wanted = definition.scopes_default.clone().unwrap_or_else(usual);
    let map = authorization.scope_map();
    let without = wanted.iter().filter_map(|scope| scope.parse::<Scope>().ok());
    for scope in without.filter(|scope| map.theirs(&[scope.clone()].into_iter().collect()).is_none()) {
        let message = format!("no scope of the issuer gives `{scope}`, which ordinary use needs");
        let help = "name a scope for it in `scopes`, or set `scopes_default` of the server";
        note("scopes", &message, help, true);
    }
}

/// Whose tokens are accepted.
fn check_issuer(authorization: &Authorization, provider: &LoginProvider, base_url: Option<&str>, note: &mut Note<'_>) {
    let issuer = authorization.issuer_of(provider);
    let plain = url::Url::parse(issuer).is_ok_and(|url| url.query().is_none() && url.fragment().is_none());
    if authorization.issuer.is_some() && (!plain || !is_as_secure(issuer, issuer)) {
        let help = "copy `issuer` out of its metadata, character by character";
        note("issuer", "not an issuer identifier: expected an https URL without query and fragment", help, true);
    }
    if base_url.is_some_and(|own| own == issuer.trim_end_matches('/')) {
        note("issuer", "this is the checkpoint's own issuer", "remove the table `authorization`", true);
    }
    if issuer != provider.issuer && provider.named_by() == ["sub"] {
        let message = "another issuer than the provider's can use the same `sub` for another person";
        let help = "set `identity` of the login provider to claims that both issuers write alike, such as `oid`";
        note("issuer", message, help, true);
    }
}

/// For whom the tokens are.
fn check_audience(authorization: &Authorization, provider: &LoginProvider, note: &mut Note<'_>) {
    let row = provider.profile.row();
    match authorization.audience.as_deref() {
        Some("") => note("audience", "an audience is a text", "remove `audience`, or fill it", true),
        Some(audience) if audience == provider.client_id => {
            let help = "register the server there on its own, and name that one";
            note("audience", "this is the client of the sign-in: its ID tokens would give access", help, true);
        }
        Some(_) => {}
        None if !row.takes_resource => {
            let message = format!("{} issues no token for the URL of a server", row.label);
            note("audience", &message, "name the audience that its tokens have, such as `api://notes`", true);
        }
        None => {}
    }
    let mut seen = BTreeSet::new();
    for other in &authorization.other_audiences {
        if other.is_empty() || !seen.insert(other) || Some(other.as_str()) == authorization.audience.as_deref() {
            let help = "list each further audience once";
            note("other_audiences", "an empty text, or an audience that is named already", help, true);
        }
    }
}
