//! URIs and names in other spellings than the one in a rule.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sekisho_e2e::fakes::call::{headers, initialize, legacy, message};
use sekisho_e2e::fakes::oauth::{Client, Granted, REDIRECT};
use sekisho_e2e::fakes::upstream::Speaks;
use sekisho_e2e::fakes::wire::{Ask, Connection, Reply, ask};
use sekisho_e2e::harness::wait::within;
use sekisho_e2e::harness::{Checkpoint, node, sekisho_alone};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::field::{Field, OWNER, PASSWORD, UP, USER};
use super::folding::{Arrived, Folding, LISTED, folded};

/// Rules against certain resources and prompts, which must hold in every spelling.
const RULES: &str = r#"
@id("no-private-files") forbid(principal, action == Action::"read", resource) when { resource.uri like "file:///priv/*" };
@id("no-private-notes") forbid(principal, action == Action::"read", resource) when { resource.uri like "note://priv/*" };
@id("no-diary") forbid(principal, action == Action::"read", resource) when { resource.uri == "note://mine/b" };
@id("no-secret") forbid(principal, action == Action::"get", resource == Prompt::"up/secret");
"#;

/// Writes these rules to a folder. Returns the folder and the line of the configuration that names it.
fn rules(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.cedar"), text).unwrap();
    let line = format!("policies = \"{}\"", folder.path().display());
    (folder, line)
}

/// A checkpoint in front of one server that others wrote.
struct SpellingSetup {
    checkpoint: Checkpoint,
    address: SocketAddr,
    granted: Granted,
    _rules: TempDir,
}

impl SpellingSetup {
    async fn before(url: &str) -> Self {
        let (folder, line) = rules(RULES);
        // The test calls faster than one grant may.
        let toml =
            format!("{line}\n[limits]\ncalls_per_second = 0\n[servers.up]\nurl = \"{url}\"\neveryone = \"write\"\n");
        let checkpoint = Checkpoint::configured(&toml).owner(OWNER, PASSWORD).user(USER, PASSWORD).start().await;
        let port = checkpoint.base_url().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
        let resource = format!("{}{UP}", checkpoint.base_url());
        let client = Client::register(checkpoint.base_url(), "Honest client", REDIRECT).await;
        let granted = client.be_granted(&resource, "mcp:read", USER, PASSWORD).await;
        Self { checkpoint, address: SocketAddr::from(([127, 0, 0, 1], port)), granted, _rules: folder }
    }

    async fn ask(&self, method: &str, params: Value) -> Reply {
        ask(self.address, &request(&self.granted, method, params)).await.unwrap()
    }

    async fn read(&self, uri: &str) -> Reply {
        self.ask("resources/read", json!({ "uri": uri })).await
    }

    async fn get(&self, name: &str) -> Reply {
        self.ask("prompts/get", json!({ "name": name })).await
    }
}

/// Builds a request of 2026-07-28 whose header repeats any text.
fn request(granted: &Granted, method: &str, params: Value) -> Ask {
    let name = params.get("name").or(params.get("uri")).and_then(Value::as_str).map(str::to_owned);
    let ask = headers(UP, &granted.access, method).json(&message(method, params));
    match name {
        Some(name) => ask.header("mcp-name", &format!("=?base64?{}?=", STANDARD.encode(name))),
        None => ask,
    }
}

/// Returns what a server in another language reported on standard error.
fn told(stderr: &str) -> Arrived {
    let lines = stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("ARRIVED ")?).ok());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    lines.map(|line| (text(&line["kind"]), text(&line["value"]))).collect()
}

/// Whether the rules forbid this, by its value at the server.
fn is_forbidden(kind: &str, value: &str) -> bool {
    match kind {
        "prompt" => value.eq_ignore_ascii_case("secret"),
        _ => {
            let value = format!("{}/", folded(value));
            value.starts_with("file:/priv/") || value.starts_with("note:/priv/") || value == "note:/mine/b/"
        }
    }
}

fn nothing_forbidden(arrived: &Arrived) {
    let forbidden: Vec<_> = arrived.iter().filter(|(kind, value)| is_forbidden(kind, value)).collect();
    assert!(forbidden.is_empty(), "{forbidden:#?}");
}

/// ATK-101, ATK-104: each spelling of a forbidden URI is refused before it reaches the server, and the refusal names
/// the form to use; the canonical form is refused by the rule itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_uri_is_refused_in_every_spelling() {
    let server = node::serve::<&str>("spellings", &[]).await;
    let place = SpellingSetup::before(&server.url).await;
    for uri in [
        "FILE:///priv/b",
        "file:/priv/b",
        "file:priv/b",
        "file://localhost/priv/b",
        "file:///./priv/b",
        "file:///x/../priv/b",
        "file:///x/%2e%2e/priv/b",
        "file:///x/..;/priv/b",
        "file:///x/%252e%252e/priv/b",
        "file:///%70riv/b",
        "file:\\\\\\priv\\b",
        "file:///priv\\b",
        "file:///pub/%2e%2e%2Fpriv%2Fb",
        "file:///priv%2Fb",
        "file:///priv%5Cb",
        "file:///priv/%C1%A2",
        "file:///priv/b#",
        " file:///priv/b",
        "file:///pri\tv/b",
        "file:////priv/b",
        "file:///priv//b",
        "NOTE://priv/b",
        "note:/priv/b",
        "note://priv/%62",
        "note://priv:/b",
        "note://priv/x/../b",
    ] {
        let reply = place.read(uri).await;
        let error = reply.json();
        assert_eq!((reply.status, error["error"]["code"].as_i64()), (400, Some(-32602)), "{uri}: {}", reply.text());
        assert!(error["error"]["message"].as_str().unwrap().contains("params.uri"), "{uri}: {}", reply.text());
    }
    let reply = place.read("FILE:///priv/b").await;
    assert!(reply.text().contains("use `file:///priv/b`"), "{}", reply.text());
    for uri in
        ["file:///priv/b", "file:///Priv/B", "file:///priv/b/", "note://priv/b?x=1", "note://x@priv/b", "note://PRIV/b"]
    {
        let reply = place.read(uri).await;
        assert_eq!(reply.status, 403, "{uri}: {}", reply.text());
    }
    for uri in ["file:///pub/a", "note://pub/a", "greeting://Alice", "urn:pub:a"] {
        let reply = place.read(uri).await;
        assert_eq!(reply.status, 200, "{uri}: {}", reply.text());
        assert!(reply.text().contains(&format!("read {uri}")), "{uri}: {}", reply.text());
    }
    nothing_forbidden(&told(&server.stderr()));
    within(Duration::from_secs(10), "a record of the refusal", async || {
        let rows = place.checkpoint.records().await;
        rows.iter().any(|row| row["record"]["event"]["reason"] == "resource_uri").then_some(())
    })
    .await;
}

/// ATK-105: a forbidden prompt cannot be fetched by any name that its server could take for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_prompt_is_refused_in_every_spelling() {
    let server = Folding::start().await;
    let place = SpellingSetup::before(&server.url()).await;
    for (name, status) in [
        ("secret", 403),
        ("Secret", 403),
        ("SECRET", 403),
        ("ｓｅｃｒｅｔ", 403),
        ("ſecret", 403),
        (" secret", 400),
        ("secret\u{a0}", 400),
        ("sec\u{200b}ret", 400),
        ("sec\u{ad}ret", 400),
        ("open", 200),
    ] {
        let reply = place.get(name).await;
        assert_eq!(reply.status, status, "{name:?}: {}", reply.text());
    }
    assert_eq!(server.arrived(), [("prompt".to_owned(), "open".to_owned())]);
}

/// ATK-109: when rules are checked, the operator is told of a text that no URI can have, and where it is.
#[tokio::test]
async fn a_rule_about_no_uri_is_told_when_rules_are_checked() {
    let (folder, line) = rules(
        r#"@id("odd") forbid(principal, action == Action::"read", resource) when { resource.uri == "file:/priv/b" };"#,
    );
    let file = folder.path().join("sekisho.toml");
    std::fs::write(&file, format!("{line}\n[servers.up]\nurl = \"http://127.0.0.1:1/mcp\"\n")).unwrap();
    let checked = sekisho_alone(&["policy", "check", "-c", file.to_str().unwrap()]).await;
    assert!(checked.status.success(), "it is a warning: {}", checked.stderr);
    for word in ["odd", "file:/priv/b", "file:///priv/b", "rules.cedar"] {
        assert!(checked.stderr.contains(word), "{word}: {}", checked.stderr);
    }
}

/// ATK-102: a completion has the same limits as a read: a reference cannot climb out of its path, and a template that a
/// rule forbids is refused in every spelling.
#[tokio::test]
async fn a_completion_is_held_to_what_a_read_is() {
    let (_folder, line) = rules(RULES);
    let field = Field::before(Speaks::Modern, &line).await;
    let granted = field.granted(USER, "mcp:read mcp:write").await;
    field.upstream.forget();
    let complete = |reference: Value| {
        let params = json!({ "ref": reference, "argument": { "name": "name", "value": "a" } });
        request(&granted, "completion/complete", params)
    };
    for (uri, status) in [
        ("file:///x/../priv/{name}", 400),
        ("FILE:///priv/{name}", 400),
        ("file:/priv/{name}", 400),
        ("file:///x/%2e%2e/priv/b", 400),
        ("../{name}", 400),
        ("file:///priv/{name}", 403),
        ("file:///Priv/{name}", 403),
        ("file:///priv/b?x", 403),
    ] {
        let reply = field.ask(&complete(json!({ "type": "ref/resource", "uri": uri }))).await;
        assert_eq!(reply.status, status, "{uri}: {}", reply.text());
    }
    for (name, status) in [("secret", 403), ("Secret", 403), ("ｓecret", 403), ("sec\u{200b}ret", 400), ("", 400)] {
        let reply = field.ask(&complete(json!({ "type": "ref/prompt", "name": name }))).await;
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
    }
    let seen: Vec<String> = field.upstream.seen().iter().map(|seen| seen.text()).collect();
    assert!(seen.iter().all(|text| !text.contains("completion/complete")), "{seen:#?}");
    let reply = field.ask(&complete(json!({ "type": "ref/resource", "uri": "file:///pub/{name}" }))).await;
    assert_eq!(reply.status, 200, "an honest one is asked: {}", reply.text());
    field.is_healthy(&granted).await;
}

/// ATK-103: a task cannot be started with a resource whose text nobody can ask for.
#[tokio::test]
async fn a_task_names_resources_by_canonical_uris() {
    let field = Field::start().await;
    let granted = field.granted(USER, "mcp:read").await;
    let grant = granted.claim("grant").as_str().unwrap().to_owned();
    let begin = |resource: &'static str| {
        ["task", "start", "--grant", &grant, "--purpose", "read", "--resource", resource].map(str::to_owned)
    };
    for resource in ["FILE:///pub/*", "file:/pub/a", "file:///pub/../*", "file:///%70ub/a", "note://pub//a"] {
        let finished = field.checkpoint.command(&begin(resource)).await;
        assert!(!finished.status.success(), "{resource}: {}", finished.stdout);
        assert!(finished.stderr.contains("can never be read"), "{resource}: {}", finished.stderr);
    }
    field.checkpoint.ask(&begin("file:///pub/*")).await;
}

/// ATK-106: a subscription asks the server for nothing that its caller may not read, and for no job of others.
#[tokio::test]
async fn a_subscription_forwards_what_was_permitted() {
    let (_folder, line) = rules(RULES);
    let field = Field::before(Speaks::Modern, &line).await;
    let granted = field.granted(USER, "mcp:read mcp:write").await;
    let listen = |uris: Value| {
        let wish = json!({ "toolsListChanged": true, "resourceSubscriptions": uris, "taskIds": ["job-of-another"] });
        request(&granted, "subscriptions/listen", json!({ "notifications": wish }))
    };
    field.upstream.forget();
    for uri in ["FILE:///priv/b", "file:/priv/b", "file:///x/../priv/b", "note:/priv/b"] {
        let mut refused = Connection::open(field.address).await.unwrap();
        refused.send(&listen(json!(["note://pub/a", uri])).bytes(&field.host())).await.unwrap();
        assert_eq!(refused.head().await.unwrap().status, 400, "{uri}");
    }
    assert!(field.upstream.seen().iter().all(|seen| seen.rpc() != "subscriptions/listen"), "nothing is forwarded");
    let mut stream = Connection::open(field.address).await.unwrap();
    let wish = listen(json!(["note://priv/b", "note://pub/a", "file:///Priv/x", "note://priv/c?x=1"]));
    stream.send(&wish.bytes(&field.host())).await.unwrap();
    assert_eq!(stream.head().await.unwrap().status, 200);
    let first = String::from_utf8(stream.part().await.unwrap().unwrap()).unwrap();
    let asked = field.upstream.seen().into_iter().find(|seen| seen.rpc() == "subscriptions/listen").unwrap();
    let asked: Value = serde_json::from_slice(&asked.body).unwrap();
    let forwarded = &asked["params"]["notifications"];
    assert_eq!(
        forwarded,
        &json!({ "toolsListChanged": true, "resourceSubscriptions": ["note://pub/a"], "taskIds": [] }),
        "what the server is asked for"
    );
    assert!(first.contains("note://pub/a") && !first.contains("priv"), "{first}");
    drop(stream);
    field.is_healthy(&granted).await;
}

/// ATK-108: a notification about a resource is forwarded only if it names the resource as it may be read.
#[tokio::test(flavor = "multi_thread")]
async fn news_of_a_forbidden_resource_is_told_in_no_spelling() {
    let (_folder, line) = rules(RULES);
    let field = Field::before(Speaks::Legacy, &line).await;
    let user = field.granted(USER, "mcp:read mcp:write").await;
    let opened = field.ask(&legacy(UP, &user.access, None, &initialize("2025-11-25"))).await;
    let id = opened.header("mcp-session-id").unwrap().to_owned();
    let listen = Ask::get(UP)
        .bearer(&user.access)
        .header("accept", "text/event-stream")
        .header("mcp-session-id", &id)
        .header("mcp-protocol-version", "2025-11-25");
    let mut stream = Connection::open(field.address).await.unwrap();
    stream.send(&listen.bytes(&field.host())).await.unwrap();
    assert_eq!(stream.head().await.unwrap().status, 200);
    let _ = stream.part().await.unwrap();
    let updated =
        |uri: &str| json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } });
    for uri in ["file:///priv/b", "FILE:///priv/b", "file:/priv/b", "file:///Priv/b", "note://priv/b?x", "note:/priv/b"]
    {
        field.upstream.push(&updated(uri));
    }
    field.upstream.push(&updated("note://pub/the-end"));
    let mut text = String::new();
    while !text.contains("the-end") {
        text += &String::from_utf8_lossy(&stream.part().await.unwrap().expect("the stream stands"));
    }
    assert!(!text.to_lowercase().contains("priv"), "{text}");
    // Subscribing counts as reading.
    for (method, uri, status) in [
        ("resources/subscribe", "FILE:///priv/b", 400),
        ("resources/unsubscribe", "file:/priv/b", 400),
        ("resources/subscribe", "file:///priv/b", 403),
        ("resources/subscribe", "file:///PRIV/b", 403),
    ] {
        let body = json!({ "jsonrpc": "2.0", "id": 3, "method": method, "params": { "uri": uri } });
        let reply = field.ask(&legacy(UP, &user.access, Some((&id, "2025-11-25")), &body)).await;
        assert_eq!(reply.status, status, "{method} {uri}: {}", reply.text());
    }
    let seen = field.upstream.seen();
    assert!(seen.iter().all(|seen| !seen.rpc().ends_with("subscribe")), "a refused subscription was forwarded");
}

/// ATK-107: an entry that nobody can ask for is left out of every list, and the log tells the owner.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_only_what_can_be_asked_for() {
    let server = Folding::start().await;
    let place = SpellingSetup::before(&server.url()).await;
    let listed = place.ask("resources/list", json!({})).await.json();
    let uris: Vec<&str> =
        listed["result"]["resources"].as_array().unwrap().iter().filter_map(|entry| entry["uri"].as_str()).collect();
    assert_eq!(uris, ["note://pub/a"], "of {LISTED:?}");
    assert_eq!(place.read(uris[0]).await.status, 200);
    let prompts = place.ask("prompts/list", json!({})).await.json();
    let names: Vec<&str> =
        prompts["result"]["prompts"].as_array().unwrap().iter().filter_map(|entry| entry["name"].as_str()).collect();
    assert_eq!(names, ["open"]);
    place.checkpoint.stderr().find(|text| (text.matches("cannot be asked for").count() >= 2).then_some(())).await;
    let log = place.checkpoint.stderr().now();
    assert!(log.contains("NOTE://priv/b") && log.contains("note://priv/b"), "{log}");
}

/// Random numbers that are the same for the same seed (SplitMix64).
struct Dice(Cell<u64>);

impl Dice {
    fn roll(&self, sides: usize) -> usize {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % sides
    }

    fn pick<'a>(&self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

/// Cuts a text between two characters.
fn cut(dice: &Dice, text: &str) -> (String, String) {
    let at = dice.roll(text.chars().count() + 1);
    (text.chars().take(at).collect(), text.chars().skip(at).collect())
}

/// Returns the URI with one more difference that some server ignores.
fn bent(dice: &Dice, uri: &str) -> String {
    let (scheme, rest) = uri.split_once(':').unwrap_or((uri, ""));
    let slashes = rest.len() - rest.trim_start_matches(['/', '\\']).len();
    let (front, path) = rest.split_at(slashes);
    let (before, after) = cut(dice, path);
    let next = after.chars().next();
    let rest_of = || after.chars().skip(1).collect::<String>();
    let octets = |form: fn(u8) -> String| {
        let mut buffer = [0; 4];
        next.map(|next| next.encode_utf8(&mut buffer).bytes().map(form).collect::<String>()).unwrap_or_default()
    };
    match dice.roll(26) {
        0 => format!("{}:{rest}", scheme.to_uppercase()),
        1 => format!("{scheme}:{}{path}", dice.pick(&["", "/", "//", "///", "////", "\\\\\\", "/\\/"])),
        2 => format!(
            "{scheme}://{}{}{path}",
            dice.pick(&["localhost", "127.0.0.1", "LOCALHOST", "x@localhost"]),
            if path.starts_with('/') { "" } else { "/" }
        ),
        3 => format!(
            "{scheme}:{front}{}{path}",
            dice.pick(&[
                "./",
                "x/../",
                "x/%2e%2e/",
                "x/..;/",
                "x/%252e%252e/",
                "x/..%2F",
                "x/.%2e/",
                "/",
                "x/．．/",
                "x/%C0%AE%C0%AE/"
            ])
        ),
        4 => format!("{scheme}:{front}{before}{}{}", octets(|octet| format!("%{octet:02X}")), rest_of()),
        5 => format!("{scheme}:{front}{before}{}{}", octets(|octet| format!("%{octet:02x}")), rest_of()),
        6 => format!("{scheme}:{front}{before}{}{}", octets(|octet| format!("%25{octet:02X}")), rest_of()),
        7 => uri.replacen('/', "\\", 1 + dice.roll(4)),
        8 => format!(
            "{scheme}:{front}{}",
            path.replacen('/', dice.pick(&["//", "%2F", "%2f", "%5C", "/./", "／", "%EF%BC%8F"]), 1)
        ),
        9 | 10 => format!(
            "{scheme}:{front}{before}{}{}",
            next.map(|next| next.to_uppercase().to_string()).unwrap_or_default(),
            rest_of()
        ),
        11 => format!("{uri}{}", dice.pick(&["/", ".", "%20", "/.", "/./", "//", " ", "%2E", "%00", "/x/.."])),
        12 => format!("{uri}{}", dice.pick(&["?", "?x=1", "?x=../y", "#", "#x", "?#"])),
        13 => format!("{uri}{}", dice.pick(&[";x=1", ";", "/;x", ";/"])),
        14 => format!("{scheme}://{}{path}", dice.pick(&["x@", "x:y@", "@", ":@"])),
        15 => path.split_once('/').map_or(uri.to_owned(), |(host, path)| {
            format!("{scheme}:{front}{host}{}/{path}", dice.pick(&[":80", ":", ":0080", ".", "%2E"]))
        }),
        16 => format!(
            "{scheme}:{front}{before}{}{}",
            next.filter(char::is_ascii_graphic)
                .and_then(|next| char::from_u32(u32::from(next) + 0xfee0))
                .map(String::from)
                .unwrap_or_default(),
            rest_of()
        ),
        17 => format!(
            "{scheme}:{front}{before}{}{after}",
            dice.pick(&["\u{200b}", "%E2%80%8B", "\u{ad}", "%C2%AD", "\t", "\n", "%09", "\u{202e}"])
        ),
        18 => format!("{}{uri}{}", dice.pick(&[" ", "\t", "", "\u{feff}"]), dice.pick(&[" ", "\n", ""])),
        19 => format!(
            "{scheme}:{front}{before}{}{}",
            next.and_then(|next| u32::from(next).checked_add(0).filter(|code| *code < 0x80))
                .map(|code| format!("%C{:X}%{:02X}", code >> 6, 0x80 | (code & 0x3f)))
                .unwrap_or_default(),
            rest_of()
        ),
        20 => uri.to_uppercase(),
        21 => format!(
            "{scheme}:{front}{before}{}{}",
            next.filter(char::is_ascii_lowercase)
                .and_then(|next| char::from_u32(0x1d41a + u32::from(next) - 97))
                .map(String::from)
                .unwrap_or_default(),
            rest_of()
        ),
        22 => format!("{scheme}:{}{}", dice.pick(&["///", "//", ""]), path.trim_start_matches('/')),
        23 => format!(
            "{scheme}:{front}{}",
            path.replacen("priv", dice.pick(&["pub/../priv", "pub/%2E%2E/priv", "pri%76", "PRIV", "prıv", "ｐriv"]), 1)
        ),
        24 => {
            format!("{scheme}:{front}{before}{}{}", octets(|octet| format!("%{octet:02X}")).to_lowercase(), rest_of())
        }
        _ => format!("{scheme}:{front}pub/../{path}"),
    }
}

/// Does the same for a name.
fn bent_name(dice: &Dice, name: &str) -> String {
    let (before, after) = cut(dice, name);
    let next = after.chars().next();
    let rest: String = after.chars().skip(1).collect();
    let with = |text: Option<String>| format!("{before}{}{rest}", text.or(next.map(String::from)).unwrap_or_default());
    match dice.roll(8) {
        0 => name.to_uppercase(),
        1 => with(next.map(|next| next.to_uppercase().to_string())),
        2 => with(
            next.filter(char::is_ascii_graphic)
                .and_then(|next| char::from_u32(u32::from(next) + 0xfee0))
                .map(String::from),
        ),
        3 => format!("{before}{}{after}", dice.pick(&["\u{200b}", "\u{ad}", "\u{200d}", "\0"])),
        4 => format!("{}{name}{}", dice.pick(&[" ", "", "\t"]), dice.pick(&[" ", "\u{a0}", "\n"])),
        5 => name.replacen('s', "ſ", 1),
        6 => with(
            next.filter(char::is_ascii_lowercase)
                .and_then(|next| char::from_u32(0x1d41a + u32::from(next) - 97))
                .map(String::from),
        ),
        _ => name.to_owned(),
    }
}

/// Returns how many spellings each server is asked for: `SEKISHO_TEST_SPELLINGS`, or 300.
fn spellings() -> usize {
    std::env::var_os("SEKISHO_TEST_SPELLINGS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(300)
}

/// Asks for forbidden resources in generated spellings, and in between for permitted ones.
async fn differ(url: &str, seed: u64, completes: bool, arrived: impl Fn() -> Arrived) {
    let place = SpellingSetup::before(url).await;
    let dice = Dice(Cell::new(seed));
    let mut honest = 0;
    let mut refused = [0; 2];
    for turn in 0..spellings() {
        let mut uri = dice
            .pick(&["file:///priv/b", "note://priv/b", "note://mine/b", "note://mine/b", "file:///priv/x.y"])
            .to_owned();
        for _ in 0..dice.roll(4) {
            uri = bent(&dice, &uri);
        }
        let (asked, reply) = match dice.roll(8) {
            0 => {
                let mut name = "secret".to_owned();
                for _ in 0..dice.roll(3) {
                    name = bent_name(&dice, &name);
                }
                (name.clone(), place.get(&name).await)
            }
            1 if completes => {
                let params = json!({ "ref": { "type": "ref/resource", "uri": uri }, "argument": { "name": "name", "value": "a" } });
                (uri.clone(), place.ask("completion/complete", params).await)
            }
            _ => (uri.clone(), place.read(&uri).await),
        };
        assert!(matches!(reply.status, 200 | 400 | 403 | 404), "{asked:?}: {} {}", reply.status, reply.text());
        // A changed text may name something else, which is not forbidden then.
        if reply.status == 200 {
            let contents = &reply.json()["result"]["contents"][0]["text"];
            let value = contents.as_str().and_then(|text| text.strip_prefix("read ")).unwrap_or_default();
            assert!(!is_forbidden("resource", value), "{asked:?} is {value:?} there: {}", reply.text());
            assert!(!reply.text().to_lowercase().contains("got secret"), "{asked:?}: {}", reply.text());
        } else {
            refused[usize::from(reply.status == 403)] += 1;
        }
        if turn % 5 == 0 {
            let uri = dice.pick(&["file:///pub/a", "note://pub/a", "note://pub/%C3%A9", "note://pub/A.b"]);
            let reply = place.read(uri).await;
            assert_eq!(reply.status, 200, "{uri}: {}", reply.text());
            assert!(reply.text().contains("read "), "{uri}: {}", reply.text());
            assert_eq!(place.get("open").await.status, 200);
            honest += 1;
        }
    }
    // The server says what arrived on its own output, so the last lines of it may come after the last answer.
    let arrived = within(Duration::from_secs(10), "what may be had arrives", async || {
        let arrived = arrived();
        let delivered = |kind: &str| arrived.iter().filter(|(found, _)| found == kind).count();
        (delivered("resource") >= honest && delivered("prompt") >= honest).then_some(arrived)
    })
    .await;
    nothing_forbidden(&arrived);
    // Both nets are tried: the form of the text, and the rule.
    assert!(refused.iter().all(|count| *count * 20 >= spellings()), "{refused:?}");
}

/// ATK-101, ATK-104, ATK-105: generated spellings at the official TypeScript SDK (`SEKISHO_TEST_SPELLINGS` of them, 300
/// by default): no value that a rule forbids arrives, and permitted ones do.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_gets_by_a_rule_at_the_typescript_sdk() {
    let server = node::serve::<&str>("spellings", &[]).await;
    differ(&server.url, 1, true, || told(&server.stderr())).await;
}

/// ATK-101, ATK-104, ATK-105: the same at the official Python SDK.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_gets_by_a_rule_at_the_python_sdk() {
    let server = node::serve_python("spellings.py", &["mcp"]).await;
    differ(&server.url, 2, false, || told(&server.stderr())).await;
}

/// ATK-101, ATK-104, ATK-105: the same at FastMCP, which cuts off queries and fragments.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_gets_by_a_rule_at_fastmcp() {
    let server = node::serve_python("spellings.py", &["fastmcp"]).await;
    differ(&server.url, 3, false, || told(&server.stderr())).await;
}

/// ATK-101, ATK-104, ATK-105: the same at a server that treats all similar spellings as equal.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_gets_by_a_rule_at_a_server_that_folds() {
    let server = Folding::start().await;
    differ(&server.url(), 4, true, || server.arrived()).await;
}
