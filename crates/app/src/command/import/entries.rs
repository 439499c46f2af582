//! The servers of a client's configuration, member by member.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use url::Url;

use super::findings::{self, EntryContents, Finding};
use super::parts::{MASK, Named, Part, Parts};
use super::references::Piece;
use super::secrets::TextPosition;
use crate::config::{ServerDefinition, check_server};

/// One server as the client has it.
#[derive(Debug)]
pub(super) struct Entry {
    /// The name that the client uses.
    pub(super) name: String,
    /// The name that the checkpoint will use.
    pub(super) server: String,
    pub(super) command: Vec<Parts>,
    pub(super) environment: BTreeMap<String, Parts>,
    pub(super) directory: Option<PathBuf>,
    pub(super) url: Option<Parts>,
    pub(super) headers: BTreeMap<String, Parts>,
    /// The entry without its secrets.
    pub(super) masked: Value,
    pub(super) carries: Vec<Finding>,
    /// Why the entry stays as it is, if the checkpoint cannot take it over.
    pub(super) stays: Option<String>,
    /// The name of the member that holds the URL.
    url_member: &'static str,
    /// The value of its `type`, if it has one.
    kind: Option<String>,
    /// Members that only the client uses, which are kept.
    own: Map<String, Value>,
}

/// How entries of one file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `{"type": "remote", "url": …}` (opencode).
    Remote,
    /// `{"type": "http", "url": …}` (VS Code, Claude Code).
    Typed,
    /// `{"url": …}`.
    Untyped,
}

/// The places in a document where servers can be, as JSON pointers.
const PLACES: [&str; 5] = ["/mcpServers", "/servers", "/mcp/servers", "/context_servers", "/mcp"];
/// The largest environment file that is read, in bytes.
const ENV_FILE_BYTES_MAX: u64 = 1 << 20;
/// Members that say which server an entry stands for. All others are for the client only.
const TAKEN: [&str; 16] = [
    "args",
    "command",
    "cwd",
    "disabled",
    "enabled",
    "env",
    "envFile",
    "environment",
    "headers",
    "httpUrl",
    "serverUrl",
    "transport",
    "transportType",
    "type",
    "url",
    "http_headers",
];
/// Members with which a client logs in to a server by itself.
const LOGINS: [&str; 5] = ["auth", "authProviderType", "oauth", "oauth_scopes", "oauthScopes"];
/// Values of `type` for the transports that the checkpoint supports, or for programs.
const TRANSPORTS: [&str; 8] =
    ["http", "local", "remote", "stdio", "streamable-http", "streamableHttp", "streamable_http", "streamablehttp"];

fn place(document: &Value) -> Option<&'static str> {
    PLACES.into_iter().find(|place| {
        let servers = document.pointer(place).and_then(Value::as_object);
        servers.is_some_and(|servers| *place != "/mcp" || servers.values().all(|entry| entry.get("type").is_some()))
    })
}

/// Returns how the entries of a file are written, from the entries or, for files that are known by name, from the
/// client.
pub(super) fn form(document: &Value, file: &Path) -> Form {
    let place = place(document);
    let servers = place.and_then(|place| document.pointer(place)).and_then(Value::as_object);
    let types = |wanted: &[&str]| {
        let entries = servers.into_iter().flat_map(Map::values);
        entries.filter_map(|entry| entry.get("type")?.as_str()).any(|found| wanted.contains(&found))
    };
    let name = file.file_name().and_then(|name| name.to_str());
    let of_claude_code = matches!(name, Some(".mcp.json" | ".claude.json"));
    if place == Some("/mcp") {
        Form::Remote
    } else if of_claude_code || matches!(place, Some("/servers" | "/mcp/servers")) || types(&["http", "stdio", "sse"]) {
        Form::Typed
    } else {
        Form::Untyped
    }
}

/// Returns all servers of a configuration, or `None` if the document is not one.
pub(super) fn of(document: &Value, named: &Named) -> Option<Vec<Entry>> {
    let servers = document.pointer(place(document)?)?.as_object()?;
    let mut entries: Vec<Entry> = Vec::with_capacity(servers.len());
    let mut names = Names::default();
    for (name, value) in servers {
        let mut entry = Entry::read(name, value, named);
        // Two names of the client may become the same name here.
        entry.server = names.free(&server_name(name));
        entries.push(entry);
    }
    Some(entries)
}

/// Gives out each name only once.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    /// For each name, the next number to try, so that many equal names take no longer than as many different ones.
    next: HashMap<String, u32>,
}

impl Names {
    /// Marks a name as taken.
    pub(super) fn take(&mut self, name: String) {
        self.taken.insert(name);
    }

    /// Returns this name if it is free, otherwise the name with the first free number appended.
    pub(super) fn free(&mut self, name: &str) -> String {
        let number = self.next.entry(name.to_owned()).or_insert(1);
        loop {
            let wanted = if *number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            *number += 1;
            if self.taken.insert(wanted.clone()) {
                return wanted;
            }
        }
    }
}

/// Returns the servers of a document, mutably.
pub(super) fn servers(document: &mut Value) -> Option<&mut Map<String, Value>> {
    let place = place(document)?;
    document.pointer_mut(place)?.as_object_mut()
}

/// Reads the members of an entry, and notes the first one of a wrong type.
struct Members<'a> {
    entry: &'a Value,
    /// The first member of a wrong type.
    wrong: Option<&'static str>,
}

impl<'a> Members<'a> {
    fn text(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.entry.get(name).filter(|value| !value.is_null())?;
        self.typed(name, value.as_str())
    }

    fn flag(&mut self, name: &'static str) -> Option<bool> {
        let value = self.entry.get(name)?;
        self.typed(name, value.as_bool())
    }

    fn words(&mut self, name: &'static str) -> Vec<String> {
        let Some(value) = self.entry.get(name).filter(|value| !value.is_null()) else { return Vec::new() };
        let words = value.as_array().map(|words| words.iter().map(scalar).collect::<Option<Vec<_>>>());
        self.typed(name, words.flatten()).unwrap_or_default()
    }

    fn pairs(&mut self, name: &'static str) -> BTreeMap<String, String> {
        let Some(value) = self.entry.get(name).filter(|value| !value.is_null()) else { return BTreeMap::new() };
        let pairs = value.as_object().map(|pairs| {
            pairs.iter().map(|(name, value)| Some((name.clone(), scalar(value)?))).collect::<Option<BTreeMap<_, _>>>()
        });
        self.typed(name, pairs.flatten()).unwrap_or_default()
    }

    fn typed<T>(&mut self, name: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.wrong = self.wrong.or(Some(name));
        }
        value
    }
}

/// Returns a text, or a number or boolean as text.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Null | Value::Object(_) => None,
    }
}

impl Entry {
    fn read(name: &str, value: &Value, named: &Named) -> Self {
        let mut members = Members { entry: value, wrong: None };
        // `command` is one word, or the list of all words.
        let mut words = match value.get("command") {
            Some(Value::Array(_)) => members.words("command"),
            _ => members.text("command").filter(|word| !word.is_empty()).map(str::to_owned).into_iter().collect(),
        };
        words.extend(members.words("args"));
        let mut environment = members.pairs("environment");
        environment.extend(members.pairs("env"));
        let variables =
            environment.iter().map(|(name, value)| (name.clone(), named.value(TextPosition::Named, name, value)));
        let mut environment: BTreeMap<String, Parts> = variables.collect();
        let mut headers = members.pairs("http_headers");
        headers.extend(members.pairs("headers"));
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), named.value(TextPosition::Header, name, value)));
        let headers = headers.collect();
        let urls = ["url", "serverUrl", "httpUrl"].map(|member| (member, members.text(member)));
        let mut urls: Vec<_> = urls.into_iter().filter_map(|(member, url)| Some((member, url?))).collect();
        urls.retain(|(_, url)| !url.is_empty());
        let (url_member, url) = urls.first().map_or(("url", None), |(member, url)| (*member, Some(*url)));
        let directory = members.text("cwd").filter(|folder| !folder.is_empty());
        let env_file = members.text("envFile").filter(|file| !file.is_empty());
        let transport = members.text("type").or(members.text("transport")).or(members.text("transportType"));
        let is_off = members.flag("disabled") == Some(true) || members.flag("enabled") == Some(false);
        let from_file = env_file.map(read_variables).transpose();
        let stays = match (value.as_object(), members.wrong) {
            (None, _) => Some("its entry is no object".to_owned()),
            (_, Some(wrong)) => Some(format!("its `{wrong}` is of a form that is not known here")),
            _ if urls.iter().any(|(_, other)| Some(*other) != url) => Some("it has several URLs".to_owned()),
            _ if is_off => Some("it is switched off in its client, and nothing switches it on".to_owned()),
            _ => transport.and_then(other_transport).or_else(|| other_folder(directory)),
        };
        let stays = stays.or_else(|| from_file.as_ref().err().cloned());
        // Variables of the entry itself take precedence over those of the file.
        for (name, value) in from_file.ok().flatten().into_iter().flatten() {
            let parts = if value.is_empty() { Parts::default() } else { Parts(vec![Part::Secret(value)]) };
            environment.entry(name).or_insert(parts);
        }
        let own = value.as_object().into_iter().flatten().filter(|(name, _)| !TAKEN.contains(&name.as_str()));
        let own: Map<String, Value> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut entry = Self {
            name: name.to_owned(),
            server: String::new(),
            command: named.words(&words),
            environment,
            directory: directory.map(PathBuf::from),
            url: url.map(|url| named.value(TextPosition::Named, "", url)),
            headers,
            masked: masked(named, "", value),
            carries: Vec::new(),
            stays,
            url_member,
            kind: value.get("type").and_then(Value::as_str).map(str::to_owned),
            own,
        };
        entry.carries = findings::of(entry.contents(), env_file);
        entry.stays = entry.stays.take().or_else(|| entry.problem(value));
        entry
    }

    /// Returns the command or URL with secrets masked.
    pub(super) fn shown(&self) -> String {
        match &self.url {
            Some(url) if self.command.is_empty() => url.shown(),
            _ => self.command.iter().map(Parts::shown).collect::<Vec<_>>().join(" "),
        }
    }

    /// Returns all texts of the entry, each with its name; words of the command have none.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &Parts)> {
        self.contents().texts()
    }

    fn contents(&self) -> EntryContents<'_> {
        let Self { command, environment, url, headers, .. } = self;
        EntryContents { command, environment, url: url.as_ref(), headers }
    }

    /// Returns the inputs that the client asks its user for.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &str> {
        self.texts().flat_map(|(_, parts)| parts.references()).filter_map(|piece| match piece {
            Piece::Input(id) => Some(id.as_str()),
            Piece::Text(_) | Piece::Unknown(_) | Piece::Variable { .. } => None,
        })
    }

    /// Returns the member that shows that the client itself logs in to the server, if there is one.
    fn logs_in(&self, value: &Value) -> Option<String> {
        if let Some(member) = LOGINS.iter().find(|member| value.get(**member).is_some()) {
            return Some(format!("its client logs in there by itself (`{member}`)"));
        }
        let words: Vec<String> = self.command.iter().map(Parts::shown).collect();
        let is_remote = |word: &&String| {
            let package = word.rsplit('/').next().unwrap_or_default();
            package.split('@').next() == Some("mcp-remote")
        };
        let has_header = words.iter().any(|word| word.to_ascii_lowercase().contains("authorization:"));
        let bridge = words.iter().find(is_remote).filter(|_| !has_header);
        bridge.map(|word| format!("`{word}` logs in there by itself"))
    }

    /// Returns why the checkpoint cannot take the entry over: its own configuration forbids it, or only the client can
    /// fill in a value. `${file:…}` is filled in by us and by no client: whoever writes it into a client's file would
    /// have us read a file of their choice and show it to a server of their choice (ATK-229).
    fn problem(&self, value: &Value) -> Option<String> {
        if let Some(why) = self.texts().flat_map(|(_, parts)| parts.references()).find_map(Piece::problem) {
            return Some(why);
        }
        if let Some(why) = self.logs_in(value) {
            return Some(why);
        }
        let plain = |parts: &Parts| -> String {
            let text = |part: &Part| match part {
                Part::Secret(text) | Part::Text(text) => text.clone(),
                Part::Reference(_) => "x".to_owned(),
            };
            parts.0.iter().map(text).collect()
        };
        let pairs =
            |pairs: &BTreeMap<String, Parts>| pairs.iter().map(|(name, parts)| (name.clone(), plain(parts))).collect();
        let definition = ServerDefinition {
            command: self.command.iter().map(plain).collect(),
            url: self.url.as_ref().map(plain),
            environment: pairs(&self.environment),
            headers: pairs(&self.headers),
            ..ServerDefinition::default()
        };
        check_server(&definition).into_iter().find(|problem| problem.fatal).map(|problem| problem.message)
    }

    /// Leaves the entry as it is if it goes through the checkpoint at this base URL already, or through `connect`.
    pub(super) fn stay_behind(&mut self, base: &str) {
        let program = self.command.first().map(Parts::shown).unwrap_or_default();
        let connects = program.rsplit('/').next() == Some("sekisho")
            && self.command.get(1).is_some_and(|word| word.shown() == "connect");
        let is_ours = self.url.as_ref().is_some_and(|url| url.shown().starts_with(&format!("{base}/mcp/")));
        if (connects || is_ours) && self.stays.is_none() {
            self.stays = Some("it is behind a checkpoint already".to_owned());
        }
    }

    /// Returns the URL if we can ask the server whether it wants a login: if the entry sends it no credential.
    pub(super) fn asks_nobody(&self) -> Option<String> {
        let url =
            self.url.as_ref().filter(|_| self.stays.is_none() && self.headers.values().all(|value| !carries(value)))?;
        let plain = url.0.iter().map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Reference(_) | Part::Secret(_) => None,
        });
        let text = plain.collect::<Option<String>>()?;
        Url::parse(&text).is_ok().then_some(text)
    }

    /// Returns the entry for the same server through the checkpoint. Members for the client only are kept.
    pub(super) fn through(&self, base: &str, bridge: bool, form: Form) -> Value {
        let url = format!("{base}/mcp/{}", self.server);
        // An entry keeps its form; one without a type is written like the others of the file.
        let (form, kind) = match self.kind.as_deref() {
            Some("local" | "remote") => (Form::Remote, "remote"),
            Some(kind) if kind != "stdio" => (Form::Typed, kind),
            Some(_) => (Form::Typed, "http"),
            // The names `httpUrl` and `serverUrl` imply the transport.
            None if self.url_member != "url" => (Form::Untyped, "http"),
            None => (form, "http"),
        };
        let mut entry = self.own.clone();
        let mut put = |name: &str, value: Value| drop(entry.insert(name.to_owned(), value));
        match (bridge, form) {
            (true, Form::Remote) => {
                put("type", json!("local"));
                put("command", json!(["sekisho", "connect", url]));
            }
            (true, _) => {
                put("command", json!("sekisho"));
                put("args", json!(["connect", url]));
            }
            (false, Form::Remote) => {
                put("type", json!("remote"));
                put("url", json!(url));
            }
            (false, Form::Typed) => {
                put("type", json!(kind));
                put(self.url_member, json!(url));
            }
            (false, Form::Untyped) => put(self.url_member, json!(url)),
        }
        Value::Object(entry)
    }
}

/// Returns whether a header carries something that could be a credential.
fn carries(value: &Parts) -> bool {
    value.has_secret() || value.references().next().is_some()
}

fn other_transport(name: &str) -> Option<String> {
    match name {
        known if TRANSPORTS.contains(&known) => None,
        "sse" => Some("it is called over HTTP+SSE (2024-11-05), which the checkpoint does not speak".to_owned()),
        _ => Some("its transport is not known here".to_owned()),
    }
}

fn other_folder(folder: Option<&str>) -> Option<String> {
    let folder = folder?;
    if folder.contains("${") {
        return Some(
            "only its client can fill in the folder in which it is started: write the folder itself".to_owned(),
        );
    }
    (!Path::new(folder).is_absolute()).then(|| "the folder in which it is started (`cwd`) is not absolute".to_owned())
}

/// Reads the variables of a file as editors do: `NAME=value` lines, comments, and quotes that are dropped.
fn read_variables(path: &str) -> Result<BTreeMap<String, String>, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("`{path}` (`envFile`) cannot be read: {why}");
    if path.contains("${") || !Path::new(path).is_absolute() {
        return Err("only its client knows which file `envFile` is: write an absolute path".to_owned());
    }
    let length = std::fs::metadata(path).map_err(|error| wrong(&error))?;
    if !length.is_file() || length.len() > ENV_FILE_BYTES_MAX {
        return Err(wrong(&"it is no file, or longer than 1 MiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let mut variables = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or_else(|| wrong(&"a line in it is not NAME=value"))?;
        let value = value.trim();
        let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        let value = quoted.unwrap_or_else(|| value.split_once(" #").map_or(value, |(value, _)| value.trim_end()));
        variables.insert(name.trim().to_owned(), value.to_owned());
    }
    Ok(variables)
}

/// Turns a name into one that the checkpoint accepts.
fn server_name(name: &str) -> String {
    let plain: String =
        name.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    let name: String = words.join("-").chars().take(50).collect();
    let name = name.trim_end_matches('-');
    if name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name.to_owned()
    } else {
        format!("server-{name}").trim_end_matches('-').to_owned()
    }
}

/// Returns the value with secrets masked, also in members that are not known.
fn masked(named: &Named, name: &str, value: &Value) -> Value {
    match value {
        Value::Array(items) if matches!(name, "args" | "command") && items.iter().all(Value::is_string) => {
            let words: Vec<String> = items.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            named.words(&words).iter().map(|parts| json!(parts.shown())).collect()
        }
        Value::Array(items) => items.iter().map(|item| masked(named, name, item)).collect(),
        Value::Object(members) => {
            let in_headers = matches!(name, "headers" | "http_headers");
            let member = |(member, value): (&String, &Value)| {
                let masked = match scalar(value) {
                    Some(text) if in_headers => json!(named.value(TextPosition::Header, member, &text).shown()),
                    _ => masked(named, member, value),
                };
                (member.clone(), masked)
            };
            Value::Object(members.iter().map(member).collect())
        }
        Value::String(text) => json!(named.value(TextPosition::Named, name, text).shown()),
        Value::Number(number) if named.value(TextPosition::Named, name, &number.to_string()).has_secret() => {
            json!(MASK)
        }
        Value::Bool(_) | Value::Null | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests;
