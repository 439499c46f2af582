//! `sekisho check --login PROVIDER`: a sign-in that lets nobody in, and shows what the claims would make of a person. With
//! `--claims FILE` the same for claims that were saved, so that it runs without a person.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sekisho_client::http::HttpClient;
use sekisho_client::jwks::KeySets;
use sekisho_client::openid::provider::discover;
use sekisho_client::openid::sign_in::{SignInWish, begin};
use sekisho_issuer::login::upstream::{Asking, ProviderParts, person};
use sekisho_policy::grant::grantable;
use sekisho_policy::model::Party;
use sekisho_policy::rights::{NameOf, names};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::{Clock as _, Timestamp};
use sekisho_protocol::ids::{ClientId, ServerName, UserId};
use sekisho_protocol::openid::SignOutThere;
use sekisho_protocol::openid::groups::{Reading, Why, read};
use sekisho_protocol::openid::identity::{Identity, identity, meets, shown_name};
use sekisho_protocol::openid::quirk::{Quirk, SignInFacts};
use sekisho_protocol::role::Role;
use sekisho_protocol::text::for_terminal;
use sekisho_store::User;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::cli::{Common, LoginCheck};
use crate::config::Configuration;
use crate::config::login::LoginProvider;
use crate::error::CommandError;
use crate::instance::login::provider_parts;
use crate::os::{OsEntropy, SystemClock};
use crate::{reach, servers};

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long one request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(5);
/// The longest request that is read, in bytes.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// The longest file of claims, in bytes.
const CLAIMS_BYTES_MAX: u64 = 1 << 20;

/// The claims that came, and what they make of a person.
struct Found {
    claims: Map<String, Value>,
    identity: Result<Identity, String>,
    admitted: Result<(), String>,
    reading: Reading,
    /// How the claims were verified.
    believed: &'static str,
    asked_user_info: bool,
    asked_for_groups: bool,
    /// Whether the provider has a page to sign out. `None`: it was not asked.
    signs_out: Option<bool>,
    arrived_at: Option<Timestamp>,
}

/// Performs the check and prints what it found. Exit code 1 where nobody would be signed in.
pub(crate) async fn check_login(
    common: &Common,
    configuration: &Configuration,
    wish: &LoginCheck,
) -> Result<(), CommandError> {
    let Some(name) = wish.login.as_deref() else { return Ok(()) };
    let provider = configuration.login.provider.iter().find(|provider| provider.name == name).ok_or_else(|| {
        let all: Vec<&str> = configuration.login.provider.iter().map(|provider| provider.name.as_str()).collect();
        CommandError::usage(format!("there is no login provider `{name}`"), format!("there are: {}", all.join(", ")))
    })?;
    let parts = provider_parts(provider, &format!("http://localhost:{}", wish.port))?;
    let found = match &wish.claims {
        Some(file) => saved(&parts, file)?,
        None => signed_in(configuration, &parts, wish.port).await?,
    };
    report(common, configuration, (provider, &parts), &found, wish.shorten)
}

/// Reads an ID token or a JSON object of claims from a file.
fn saved(parts: &ProviderParts, file: &Path) -> Result<Found, CommandError> {
    use base64::Engine as _;
    let unread = |why: String| {
        let help = "give a file with an ID token, or with its claims as a JSON object";
        CommandError::usage(format!("`{}`: {why}", file.display()), help)
    };
    let length = std::fs::metadata(file).map_err(|error| unread(error.to_string()))?.len();
    if length > CLAIMS_BYTES_MAX {
        return Err(unread("longer than 1 MiB".to_owned()));
    }
    let text = std::fs::read_to_string(file).map_err(|error| unread(error.to_string()))?;
    let text = text.trim();
    let json = match text.split('.').collect::<Vec<_>>().as_slice() {
        [_, payload, _] if !text.starts_with('{') => {
            let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload);
            bytes.map_err(|_| unread("not an ID token".to_owned()))?
        }
        _ => text.as_bytes().to_vec(),
    };
    let claims: Map<String, Value> =
        serde_json::from_slice(&json).map_err(|error| unread(format!("no JSON object of claims: {error}")))?;
    Ok(found(parts, claims, "not checked: no signature, times or audience"))
}

/// What claims make of a person.
fn found(parts: &ProviderParts, claims: Map<String, Value>, believed: &'static str) -> Found {
    let named_by: Vec<&str> = parts.named_by.iter().map(String::as_str).collect();
    Found {
        identity: identity(&parts.registration.issuer, &named_by, &claims).map_err(|error| error.to_string()),
        admitted: meets(&parts.require, &claims).map_err(|error| error.to_string()),
        reading: read(parts.group_rules(), &claims),
        claims,
        believed,
        asked_user_info: false,
        asked_for_groups: false,
        signs_out: None,
        arrived_at: None,
    }
}

/// Sends a person to the provider and waits on loopback.
async fn signed_in(configuration: &Configuration, parts: &ProviderParts, port: u16) -> Result<Found, CommandError> {
    let failed = |what: String| CommandError::no(format!("nobody would be signed in: {what}"));
    let chain = |error: &dyn std::error::Error| {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    };
    let http: Arc<dyn HttpClient> = Arc::new(reach::named(configuration, reach::read_ca(configuration)?)?);
    let described = discover(&*http, &parts.registration.issuer).await.map_err(|error| failed(chain(&error)))?;
    described.suits(parts.algorithm, parts.registration.authentication).map_err(|error| failed(error.to_string()))?;
    let wish = SignInWish {
        redirect_uri: &parts.redirect_uri,
        scopes: &parts.scopes,
        prompt: parts.prompt.as_deref(),
        max_age_seconds: parts.max_age_seconds,
        acr_values: &parts.acr_values,
        login_hint: None,
    };
    let busy = |error: std::io::Error| {
        CommandError::environment(format!("nothing can listen at port {port}: {error}"), "give another --port")
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(busy)?;
    let begun = begin(&described, &parts.registration, wish, SystemClock.now(), &OsEntropy);
    let (url, sign_in) = begun.map_err(|error| failed(error.to_string()))?;
    tell!(
        "The provider has to know this redirect URI, for as long as you test:\n\n  {}\n",
        parts.redirect_uri.as_str()
    );
    tell!("Open this in a browser on this machine, once. It lets nobody in here.\n\n  {url}\n");
    let waited = tokio::time::timeout(PATIENCE, arrival(&listener, parts.redirect_uri.as_str())).await;
    let back = waited.map_err(|_| failed("nobody came back within ten minutes".to_owned()))?;
    let keys = KeySets::new(Arc::clone(&http));
    let asking = Asking { http: &*http, keys: &keys, parts, described: &described, entropy: &OsEntropy };
    let now = SystemClock.now();
    let person = person(asking, &sign_in, &back, now).await.map_err(|error| failed(error.sentence()))?;
    Ok(Found {
        identity: Ok(person.identity),
        admitted: Ok(()),
        reading: person.reading,
        claims: person.claims,
        believed: "checked as in a sign-in",
        asked_user_info: person.asked_user_info,
        asked_for_groups: person.asked_for_groups,
        signs_out: Some(described.end_session_endpoint.is_some()),
        arrived_at: Some(now),
    })
}

/// The address at which a browser arrives. Other requests get no answer that they can use.
async fn arrival(listener: &TcpListener, redirect: &str) -> String {
    let expected = url::Url::parse(redirect).map(|url| url.path().to_owned()).unwrap_or_default();
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let target = tokio::time::timeout(ARRIVAL, target(&mut stream)).await.ok().flatten();
        let query = target.as_deref().and_then(|target| target.split_once('?'));
        let query = query.filter(|(path, _)| *path == expected).map(|(_, query)| query.to_owned());
        let said = if query.is_some() { "Thank you. Go back to the terminal.\n" } else { "Nothing is here.\n" };
        let status = if query.is_some() { "200 OK" } else { "404 Not Found" };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncache-control: no-store\r\nreferrer-policy: no-referrer\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{said}",
            said.len()
        );
        // Whether the browser reads it changes nothing.
        let _ = tokio::time::timeout(ARRIVAL, stream.write_all(answer.as_bytes())).await;
        if let Some(query) = query {
            return format!("{redirect}?{query}");
        }
    }
}

/// The target of a request. `None`: it is none, or too long.
async fn target(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        if read.len() >= REQUEST_BYTES_MAX {
            return None;
        }
        read.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(read).ok()?;
    let mut words = text.lines().next()?.split(' ');
    (words.next()? == "GET").then(|| words.next().map(str::to_owned)).flatten()
}

/// Prints what was found.
fn report(
    common: &Common,
    configuration: &Configuration,
    (provider, parts): (&LoginProvider, &ProviderParts),
    found: &Found,
    shorten: bool,
) -> Result<(), CommandError> {
    let quirks = quirks(provider, parts, found);
    let groups = found.reading.groups().cloned().unwrap_or_default();
    let rights = rights(configuration, parts, found, &groups)?;
    let absent = absent(configuration, parts, &groups);
    let problem = problem(found);
    let claims = shown(parts, &found.claims, shorten);
    if common.json {
        super::print_json(&json!({
            "provider": parts.name.as_str(), "checked": found.believed, "claims": claims, "problem": problem,
            "groups": groups, "rights": rights, "groups_not_had": absent, "unread": found.reading.unread,
            "quirks": quirks.iter().map(|(quirk, seen)| json!({ "says": quirk.sentence, "seen": seen })).collect::<Vec<_>>(),
            "source": provider.profile.row().source, "checked_on": provider.profile.row().checked,
        }))?;
    } else {
        print(parts, found, &claims, shorten);
        say_lines!("Rights");
        for (server, scopes) in &rights {
            say_lines!("  {server}: {}", if scopes.is_empty() { "none" } else { scopes });
        }
        for group in &absent {
            say_lines!("The configuration names `{}`, which this person does not have", for_terminal(group));
        }
        print_quirks(provider, found, &quirks);
    }
    problem.map_or(Ok(()), |problem| Err(CommandError::no(format!("nobody would be signed in: {problem}"))))
}

/// In what this kind of provider differs, and what of that was seen.
fn quirks(provider: &LoginProvider, parts: &ProviderParts, found: &Found) -> Vec<(Quirk, bool)> {
    let facts = SignInFacts {
        issuer: &parts.registration.issuer,
        claims: &found.claims,
        reading: &found.reading,
        asked_user_info: found.asked_user_info,
        asked_for_groups: found.asked_for_groups,
        signs_out: found.signs_out,
        arrived_at: found.arrived_at,
    };
    provider.profile.row().quirks.iter().map(|quirk| (*quirk, quirk.sign.is_seen(&facts))).collect()
}

fn print_quirks(provider: &LoginProvider, found: &Found, quirks: &[(Quirk, bool)]) {
    let row = provider.profile.row();
    if !quirks.is_empty() {
        say_lines!("{} (from {}, read on {})", row.label, row.source, row.checked);
    }
    for (quirk, is_seen) in quirks {
        say_lines!("  {}{}", if *is_seen { "seen here: " } else { "" }, quirk.sentence);
    }
    if provider.sign_out_there != SignOutThere::Never && found.signs_out == Some(false) {
        say_lines!(
            "`sign_out_there` has no effect: the provider names no page to sign out (`end_session_endpoint`), so people stay \
             signed in there"
        );
    }
}

/// Why nobody would be signed in with these claims.
fn problem(found: &Found) -> Option<String> {
    let groups = found.reading.groups().err().map(ToString::to_string);
    found.identity.as_ref().err().or(found.admitted.as_ref().err()).cloned().or(groups)
}

fn print(parts: &ProviderParts, found: &Found, claims: &Map<String, Value>, shorten: bool) {
    say_lines!("Claims ({})", found.believed);
    for (name, value) in claims {
        say_lines!("  {} = {}", for_terminal(name), for_terminal(&value.to_string()));
    }
    if let Ok(identity) = &found.identity {
        let subject = if shorten { short(&identity.subject) } else { identity.subject.clone() };
        say_lines!("Person\n  {} at {}", for_terminal(&subject), for_terminal(&identity.issuer));
    }
    say_lines!("Groups");
    let rule = |at: usize| parts.rules.get(at).map_or_else(String::new, |rule| rule.path());
    for made in &found.reading.matches {
        let value = for_terminal(&made.value);
        say_lines!("  {} by the rule for `{}`, from `{value}`", for_terminal(&made.group), rule(made.rule));
    }
    for left in &found.reading.ignored {
        match (&left.value, &left.why) {
            (Some(value), why) => say_lines!("  `{}` makes no group: {why}", for_terminal(value)),
            (None, Why::Absent) => say_lines!("  the claim `{}` is not there", rule(left.rule)),
            (None, why) => say_lines!("  `{}`: {why}", rule(left.rule)),
        }
    }
    for (at, name) in &found.reading.unused {
        say_lines!("  `{}` stands in `names` of the rule for `{}` and did not come", for_terminal(name), rule(*at));
    }
    for claim in &found.reading.unread {
        say_lines!("  the claim `{}` looks as if it were about groups, and no rule reads it", for_terminal(claim));
    }
}

/// The claims as they came, or with identifiers cut off: only what rules read for groups stays whole.
fn shown(parts: &ProviderParts, claims: &Map<String, Value>, shorten: bool) -> Map<String, Value> {
    let is_read = |name: &str| parts.rules.iter().any(|rule| rule.claim.first().is_some_and(|first| first == name));
    let cut = |(name, value): (&String, &Value)| {
        let whole = !shorten || is_read(name) || name == "iss";
        (name.clone(), if whole { value.clone() } else { shortened(value) })
    };
    claims.iter().map(cut).collect()
}

fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(short(text)),
        Value::Array(items) => items.iter().map(shortened).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), shortened(value))).collect())
        }
        Value::Bool(_) | Value::Null | Value::Number(_) => value.clone(),
    }
}

/// The first characters of a text.
fn short(text: &str) -> String {
    let first: String = text.chars().take(4).collect();
    if first.len() == text.len() { first } else { format!("{first}…") }
}

/// What a new user with these groups could hand on at each server, as scopes.
fn rights(
    configuration: &Configuration,
    parts: &ProviderParts,
    found: &Found,
    groups: &BTreeSet<String>,
) -> Result<BTreeMap<String, String>, CommandError> {
    let now = SystemClock.now();
    let id = UserId::generate(now, &OsEntropy);
    let name = format!("{}:{}", parts.name, shown_name(&found.claims).unwrap_or_else(|| "person".to_owned()));
    let user = User { id, name, password: None, role: Role::User, disabled: false, created_at: now, epoch: 0 };
    let rights = servers::rights_of_claims(configuration, user, parts.name.as_str(), groups)?;
    let client = ClientId::generate(now, &OsEntropy);
    let mut all = BTreeMap::new();
    for (server, definition) in &configuration.servers {
        let Ok(name) = server.parse::<ServerName>() else { continue };
        let tool = |(name, class): (&String, &ToolClass)| Tool {
            name: name.clone(),
            summary: String::new(),
            proposed: *class,
            class: Some(*class),
            seen: Digest::of(b""),
            accepted: None,
        };
        let tools: Vec<Tool> = definition.tools.iter().map(tool).collect();
        let scopes = grantable(&rights, Party { subject: &Subject::User(id), client: &client }, &name, &tools, now);
        all.insert(server.clone(), scopes.to_string());
    }
    Ok(all)
}

/// Groups of this provider that the configuration or the policies name and the person does not have.
fn absent(configuration: &Configuration, parts: &ProviderParts, groups: &BTreeSet<String>) -> BTreeSet<String> {
    let prefix = format!("{}/", parts.name);
    let of_policies = configuration.policy_files.iter().flat_map(names);
    let of_policies = of_policies.filter(|found| found.of == NameOf::Group).map(|found| found.name);
    let of_file = configuration.groups.values().flatten().cloned();
    of_policies.chain(of_file).filter(|name| name.starts_with(&prefix) && !groups.contains(name)).collect()
}
