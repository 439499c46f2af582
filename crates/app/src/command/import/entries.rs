//! The servers of a client's configuration, and what authority each carries.

use sekisho_protocol::redirect::is_loopback_host;
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::Url;

use crate::config::{ServerDefinition, check_server};

/// One server as the client has it.
pub(super) struct Entry {
    /// As the client calls it.
    pub(super) name: String,
    /// As the checkpoint will.
    pub(super) server: String,
    pub(super) command: Vec<String>,
    pub(super) environment: Map<String, Value>,
    pub(super) url: String,
    pub(super) headers: Map<String, Value>,
    /// What it starts or calls, fit to be shown.
    pub(super) shown: String,
    /// The entry without its secrets.
    pub(super) masked: Value,
    pub(super) carries: Vec<Found>,
    /// Why it stays where it is, if the checkpoint cannot have it.
    pub(super) stays: Option<String>,
}

/// Something worth knowing of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Found {
    pub(super) weight: Weight,
    pub(super) says: String,
}

/// How much it weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Weight {
    /// It is so.
    Note,
    /// It should not be so.
    Warning,
}

/// What stands where a secret was.
const MASK: &str = "…";

/// Whether the file is VS Code's.
pub(super) fn is_vs_code(document: &Value) -> bool {
    document.get("mcpServers").is_none()
}

fn place(document: &Value) -> Option<&'static str> {
    let pointers = ["/mcpServers", "/servers", "/mcp/servers"];
    pointers.into_iter().find(|pointer| document.pointer(pointer).is_some_and(Value::is_object))
}

/// All servers of a configuration. `None`: it is none.
pub(super) fn of(document: &Value) -> Option<Vec<Entry>> {
    let servers = document.pointer(place(document)?)?.as_object()?;
    let mut entries: Vec<Entry> = Vec::new();
    for (name, value) in servers {
        let mut entry = Entry::read(name, value);
        // Two names of the client may be one to us.
        let taken = |server: &str| entries.iter().any(|known| known.server == server);
        let free =
            (1..).map(|number| if number == 1 { entry.server.clone() } else { format!("{}-{number}", entry.server) });
        let mut free = free.filter(|server| !taken(server));
        entry.server = free.next().unwrap_or_default();
        entries.push(entry);
    }
    Some(entries)
}

/// Puts something in the place of a server.
pub(super) fn put(document: &mut Value, name: &str, entry: Value) {
    let Some(pointer) = place(document) else { return };
    if let Some(servers) = document.pointer_mut(pointer).and_then(Value::as_object_mut) {
        servers.insert(name.to_owned(), entry);
    }
}

impl Entry {
    fn read(name: &str, value: &Value) -> Self {
        let text = |member: &str| value.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        let object = |member: &str| value.get(member).and_then(Value::as_object).cloned().unwrap_or_default();
        let words = value.get("args").and_then(Value::as_array).into_iter().flatten();
        let words = words.map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned));
        let program = Some(text("command")).filter(|program| !program.is_empty());
        let url = Some(text("url")).filter(|url| !url.is_empty()).unwrap_or_else(|| text("serverUrl"));
        let command: Vec<String> = program.into_iter().chain(words).collect();
        let mut entry = Self {
            name: name.to_owned(),
            server: server_name(name),
            command,
            environment: object("env"),
            url,
            headers: object("headers"),
            shown: String::new(),
            masked: masked(value),
            carries: Vec::new(),
            stays: None,
        };
        entry.shown =
            if entry.command.is_empty() { masked_url(&entry.url) } else { masked_words(&entry.command).join(" ") };
        entry.carries = entry.found();
        entry.stays = entry.problem();
        entry
    }

    /// Why the checkpoint cannot have it: by the rule of its own configuration, and because what a client fills in, only
    /// that client can. `${file:…}` is filled in by us and by no client: whoever wrote it into a client's file would have
    /// us read a file of his choice and show it to a server of his choice (ATK-229).
    fn problem(&self) -> Option<String> {
        let words = self.command.iter().chain([&self.url]).map(String::as_str);
        let values = self.environment.values().chain(self.headers.values());
        let texts = values.clone().map(|value| value.as_str().unwrap_or_default());
        if values.clone().any(|value| value.is_object() || value.is_array()) {
            return Some("a variable or a header of it is no text".to_owned());
        }
        let in_words = words.flat_map(references).next();
        let in_values = texts.flat_map(references).find(|inside| !is_variable(inside));
        if let Some(inside) = in_words.or(in_values) {
            return Some(format!("only its client can fill in `${{{inside}`: write the value itself"));
        }
        let texts = |pairs: &Map<String, Value>| {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            pairs.iter().map(|(name, value)| (name.clone(), text(value))).collect()
        };
        let definition = ServerDefinition {
            command: self.command.clone(),
            url: Some(self.url.clone()).filter(|url| !url.is_empty() && self.command.is_empty()),
            environment: texts(&self.environment),
            headers: texts(&self.headers),
            ..ServerDefinition::default()
        };
        check_server(&definition).into_iter().find(|problem| problem.fatal).map(|problem| problem.message)
    }

    /// What it carries, most telling first.
    fn found(&self) -> Vec<Found> {
        let mut found = Vec::new();
        let mut warn = |says: String| found.push(Found { weight: Weight::Warning, says });
        for (what, pairs) in [("variable", &self.environment), ("header", &self.headers)] {
            for (name, value) in pairs {
                if value.as_str().is_some_and(|value| is_secret(name, value) && references(value).next().is_none()) {
                    warn(format!("a secret in plain text: {what} {name}"));
                }
            }
        }
        for (name, value) in self.environment.iter().chain(&self.headers) {
            for inside in references(value.as_str().unwrap_or_default()) {
                warn(format!("{name} is what `${{{inside}` is where the checkpoint runs"));
            }
        }
        if masked_words(&self.command) != self.command {
            warn("a secret on the command line, where every program of this machine can read it".to_owned());
        }
        if masked_url(&self.url) != self.url {
            warn("a secret in the URL, where logs keep it".to_owned());
        }
        if let Ok(url) = Url::parse(&self.url) {
            let local = url.host_str().is_some_and(is_loopback_host);
            if url.scheme() == "http" && !local {
                warn(format!(
                    "plain http to {}: whoever is on the way reads along",
                    url.host_str().unwrap_or_default()
                ));
            }
            if local && self.headers.is_empty() {
                warn(
                    "a port of this machine without a credential: every program and every web page can try it"
                        .to_owned(),
                );
            }
        }
        if let Some(package) = unpinned(&self.command) {
            warn(format!("`{package}` is not pinned: each start runs whatever was published last"));
        }
        let line = self.command.join(" ");
        for (sign, says) in [
            ("sudo", "runs as root"),
            ("sh -c", "a shell that takes a whole line"),
            (".ssh", "reaches your SSH keys"),
            (".aws", "reaches your cloud credentials"),
        ] {
            if line.split(' ').any(|word| word == sign) || (sign.contains([' ', '.']) && line.contains(sign)) {
                warn(says.to_owned());
            }
        }
        if self.command.iter().skip(1).any(|word| word == "/" || word == "~" || word == "$HOME") {
            warn("is given your whole home, or the whole disk".to_owned());
        }
        if !self.command.is_empty() {
            let says = "runs as you, with your files; who calls which tool is recorded nowhere".to_owned();
            found.push(Found { weight: Weight::Note, says });
        }
        found
    }

    /// The same server through the checkpoint.
    pub(super) fn through(&self, base: &str, bridge: bool, vs_code: bool) -> Value {
        let url = format!("{base}/mcp/{}", self.server);
        match (bridge, vs_code) {
            (true, _) => json!({ "command": "sekisho", "args": ["connect", url] }),
            (false, true) => json!({ "type": "http", "url": url }),
            (false, false) => json!({ "url": url }),
        }
    }
}

/// What stands in `${…}`, up to the brace or the end.
fn references(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).map(|rest| rest.split_inclusive('}').next().unwrap_or_default())
}

/// `env:NAME}`, which means the same to us as to the clients that know it.
fn is_variable(inside: &str) -> bool {
    let name = inside.strip_prefix("env:").and_then(|name| name.strip_suffix('}'));
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

/// A name that the checkpoint takes.
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

/// Beginnings of credentials that are known by them.
const KNOWN: [&str; 14] = [
    "ghp_",
    "github_pat_",
    "gho_",
    "sk-",
    "sk_live_",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "AIza",
    "glpat-",
    "ntn_",
    "secret_",
    "eyJ",
    "Bearer ",
];
/// What a name says that holds one.
const WORDS: [&str; 9] =
    ["token", "secret", "password", "passwd", "apikey", "api_key", "api-key", "authorization", "credential"];

/// Whether a value is a secret: by its name, or by what it looks like. A reference to one is none.
pub(super) fn is_secret(name: &str, value: &str) -> bool {
    if value.is_empty() || value.starts_with("${") || value.starts_with('$') {
        return false;
    }
    let name = name.to_ascii_lowercase();
    let named = WORDS.iter().any(|word| name.contains(word)) || name.ends_with("_key") || name.ends_with("_pat");
    named || KNOWN.iter().any(|known| value.starts_with(known) && value.len() > known.len() + 8)
}

fn masked(value: &Value) -> Value {
    let mut masked = value.clone();
    for member in ["env", "headers"] {
        for (name, value) in masked.get_mut(member).and_then(Value::as_object_mut).into_iter().flatten() {
            if value.as_str().is_some_and(|text| is_secret(name, text)) {
                *value = json!(MASK);
            }
        }
    }
    for member in ["url", "serverUrl"] {
        if let Some(url) = masked.get_mut(member) {
            *url = json!(masked_url(url.as_str().unwrap_or_default()));
        }
    }
    if let Some(words) = masked.get("args").and_then(Value::as_array).cloned() {
        let words: Vec<String> = words.iter().map(|word| word.as_str().unwrap_or_default().to_owned()).collect();
        if let Some(members) = masked.as_object_mut() {
            members.insert("args".to_owned(), json!(masked_words(&words)));
        }
    }
    masked
}

/// The words of a command without what follows `--token` and its kin.
fn masked_words(words: &[String]) -> Vec<String> {
    let mut before = String::new();
    let mut out = Vec::new();
    for word in words {
        let is_option = before.starts_with('-') && !before.contains('=');
        let shown = match word.split_once('=') {
            Some((name, value)) if is_secret(name, value) => format!("{name}={MASK}"),
            _ if is_secret(if is_option { &before } else { "" }, word) && !word.starts_with('-') => MASK.to_owned(),
            _ => word.clone(),
        };
        before.clone_from(word);
        out.push(shown);
    }
    out
}

fn masked_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return text.to_owned() };
    let secret = |(name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
        let hidden = is_secret(&name, &value) || matches!(name.as_ref(), "key" | "k" | "auth");
        (name.into_owned(), if hidden { MASK.to_owned() } else { value.into_owned() })
    };
    let pairs: Vec<_> = url.query_pairs().map(secret).collect();
    let any = pairs.iter().any(|(_, value)| value == MASK) || url.password().is_some();
    if !any {
        return text.to_owned();
    }
    // Neither can fail for a URL with a host.
    let _ = url.set_password(None);
    url.set_query(None);
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    if pairs.is_empty() { url.to_string() } else { format!("{url}?{pairs}") }
}

/// The package that a runner fetches anew, if no version is said.
fn unpinned(command: &[String]) -> Option<&str> {
    let program = command.first()?.rsplit('/').next()?;
    let words = || command.iter().skip(1).map(String::as_str);
    let first = || words().find(|word| !word.starts_with('-'));
    match program {
        "npx" | "bunx" | "pnpx" => first().filter(|package| !package.trim_start_matches('@').contains('@')),
        "uvx" | "pipx" => words()
            .find(|word| !word.starts_with('-') && *word != "run")
            .filter(|package| !package.contains(['=', '@'])),
        "docker" | "podman" => {
            let image = words().filter(|word| !word.starts_with('-')).find(|word| word.contains('/'));
            image.filter(|image| {
                !image.contains('@')
                    && image.rsplit('/').next().is_some_and(|last| !last.contains(':') || last.ends_with(":latest"))
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Entry, of, put, server_name, unpinned};

    fn entry(value: serde_json::Value) -> Entry {
        of(&json!({ "mcpServers": { "x": value } })).unwrap().remove(0)
    }

    fn says(value: serde_json::Value) -> String {
        entry(value).carries.iter().map(|found| found.says.clone()).collect::<Vec<_>>().join("\n")
    }

    /// Every way in which authority lies about is told, and nothing of a good entry is warned about.
    #[test]
    fn what_an_entry_carries_is_told() {
        for (value, expected) in [
            (json!({ "command": "x", "env": { "GITHUB_TOKEN": "ghp_CANARYCANARY" } }), "variable GITHUB_TOKEN"),
            (json!({ "command": "x", "env": { "PLAIN": "sk-CANARYCANARY12" } }), "variable PLAIN"),
            (
                json!({ "url": "https://h/mcp", "headers": { "Authorization": "Bearer CANARY" } }),
                "header Authorization",
            ),
            (json!({ "command": "x", "args": ["--api-key", "CANARY"] }), "on the command line"),
            (json!({ "command": "x", "args": ["--token=CANARY"] }), "on the command line"),
            (json!({ "url": "https://h/mcp?api_key=CANARY" }), "in the URL"),
            (json!({ "url": "http://h.example/mcp" }), "plain http to h.example"),
            (json!({ "url": "http://localhost:3000/mcp" }), "without a credential"),
            (json!({ "command": "npx", "args": ["-y", "@scope/pkg"] }), "`@scope/pkg` is not pinned"),
            (json!({ "command": "sudo", "args": ["x"] }), "runs as root"),
            (json!({ "command": "bash", "args": ["-c", "sh -c x"] }), "a shell"),
            (json!({ "command": "x", "args": ["/home/a/.ssh"] }), "SSH keys"),
            (json!({ "command": "x", "args": ["/"] }), "whole disk"),
        ] {
            assert!(says(value.clone()).contains(expected), "{value}: {}", says(value.clone()));
            let entry = entry(value);
            let shown = format!("{} {} {:?}", entry.shown, entry.masked, entry.carries);
            assert!(!shown.contains("CANARY"), "{shown}");
        }
        let good = json!({ "command": "npx", "args": ["-y", "@scope/pkg@1.2.3"], "env": { "LEVEL": "info" } });
        assert_eq!(entry(good).carries.len(), 1);
        assert_eq!(entry(json!({ "type": "http", "url": "https://h/mcp" })).carries.len(), 0);
    }

    /// ATK-229: what only the client can fill in stays with the client; `${file:…}` above all.
    #[test]
    fn what_cannot_be_taken_over_stays() {
        for (value, stays) in [
            (json!({ "url": "https://h/mcp", "headers": { "X": "${file:/etc/passwd}" } }), true),
            (json!({ "url": "https://h/mcp", "headers": { "X": "a ${ file:/etc/passwd}" } }), true),
            (json!({ "url": "https://h/mcp", "headers": { "X": "${env:A${file:/etc/passwd}}" } }), true),
            (json!({ "url": "https://h/mcp", "headers": { "X": "${env:A}${file:/x" } }), true),
            (json!({ "command": "x", "env": { "X": "${FILE:/x}" } }), true),
            (json!({ "command": "x", "env": { "X": "${input:token}" } }), true),
            (json!({ "command": "x", "env": { "X": "${HOME}" } }), true),
            (json!({ "command": "x", "args": ["${workspaceFolder}"] }), true),
            (json!({ "url": "https://${env:HOST}/mcp" }), true),
            (json!({ "command": "x", "env": { "X": ["a"] } }), true),
            (json!({ "url": "https://h/mcp", "headers": { "a b": "c" } }), true),
            (json!({ "url": "https://h/mcp", "headers": { "X": "a\nb" } }), true),
            (json!({ "url": "https://user@h/mcp" }), true),
            (json!({ "httpUrl": "https://h/mcp" }), true),
            (json!({ "type": "sse" }), true),
            (json!(1), true),
            (json!({ "command": "x", "env": { "X": "${env:GITHUB_TOKEN}" } }), false),
            (json!({ "command": "x", "env": { "X": 1, "Y": "$HOME" } }), false),
            (json!({ "serverUrl": "https://h/mcp" }), false),
        ] {
            let why = entry(value.clone()).stays;
            assert_eq!(why.is_some(), stays, "{value}: {why:?}");
        }
        let told = says(json!({ "command": "x", "env": { "X": "${env:GITHUB_TOKEN}" } }));
        assert!(told.contains("X is what `${env:GITHUB_TOKEN}` is"), "{told}");
    }

    #[test]
    fn a_runner_without_a_version_is_known() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (line, expected) in [
            ("npx pkg", Some("pkg")),
            ("npx -y @a/b@latest", None),
            ("/usr/bin/npx @a/b", Some("@a/b")),
            ("uvx tool", Some("tool")),
            ("uvx tool==1.0", None),
            ("pipx run tool", Some("tool")),
            ("docker run -i --rm ghcr.io/a/b", Some("ghcr.io/a/b")),
            ("docker run ghcr.io/a/b:latest", Some("ghcr.io/a/b:latest")),
            ("docker run ghcr.io/a/b:1.2", None),
            ("docker run ghcr.io/a/b@sha256:00", None),
            ("node server.js", None),
        ] {
            assert_eq!(unpinned(&words(line)), expected, "{line}");
        }
    }

    /// Names become names of servers, each its own; and what is put in their place is what the client reads.
    #[test]
    fn names_and_places_are_kept() {
        for (name, expected) in
            [("GitHub", "github"), ("My Server!", "my-server"), ("9lives", "server-9lives"), ("日本", "server")]
        {
            assert_eq!(server_name(name), expected);
        }
        let two = of(&json!({ "servers": { "A B": { "url": "https://h" }, "a-b": { "url": "https://h" } } })).unwrap();
        assert_eq!(two.iter().map(|entry| entry.server.as_str()).collect::<Vec<_>>(), ["a-b", "a-b-2"]);
        let mut settings = json!({ "editor": 1, "mcp": { "servers": { "x": { "command": "y" } } } });
        let through = of(&settings).unwrap()[0].through("http://localhost:8420", false, true);
        put(&mut settings, "x", through);
        assert_eq!(
            settings,
            json!({ "editor": 1, "mcp": { "servers": { "x": { "type": "http", "url": "http://localhost:8420/mcp/x" } } } })
        );
        assert!(of(&json!({ "mcpServers": [] })).is_none() && of(&json!({})).is_none());
    }
}
