//! How text from outside is shown: names of clients, servers and tools, JSON, points in time.

use std::collections::BTreeMap;

use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, ServerName};
use sekisho_protocol::registration::{Client, ClientOrigin};
use sekisho_protocol::task::{ANY, TaskDefinition};
use sekisho_protocol::text::{is_invisible, plain_text, push_json_escape};
use sekisho_store::{StoreError, Tx};
use url::Url;

use crate::language::Language;
use crate::sentence::Sentence;
use crate::site::Site;

/// A client as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLine {
    /// Its name, as it may be shown.
    pub name: String,
    /// Whether nobody has checked its name, for example because it registered itself.
    pub unverified: bool,
    /// The host whose document vouches for it (AS-35).
    pub host: Option<String>,
}

/// The client of this identifier. A client that was removed is shown as one that registered itself.
pub async fn client(tx: &mut Tx, id: &ClientId) -> Result<ClientLine, StoreError> {
    let stored = tx.clients().find(id).await?;
    let document = id.is_metadata_document();
    let host = document.then(|| Url::parse(id.as_str()).ok()?.host_str().map(str::to_owned)).flatten();
    Ok(match stored {
        Some(stored) => {
            let origin = stored.client.origin;
            let host = host.filter(|_| origin == ClientOrigin::MetadataDocument);
            ClientLine { name: display_name(&stored.client), unverified: origin == ClientOrigin::Dynamic, host }
        }
        None => ClientLine { name: plain_text(id.as_str(), 80), unverified: !document, host },
    })
}

/// Returns the name to show for a client: its own, or the host of its redirect URI if it has none.
pub fn display_name(client: &Client) -> String {
    let name = plain_text(&client.name, 80);
    if !name.is_empty() {
        return name;
    }
    client
        .redirect_uris
        .first()
        .map_or_else(|| plain_text(client.id.as_str(), 80), sekisho_protocol::redirect::RedirectUri::host)
}

/// The clients on one page; each is looked up only once.
#[derive(Debug, Default)]
pub struct Clients(BTreeMap<ClientId, ClientLine>);

impl Clients {
    /// Returns the client of this identifier.
    pub async fn find(&mut self, tx: &mut Tx, id: &ClientId) -> Result<ClientLine, StoreError> {
        if let Some(known) = self.0.get(id) {
            return Ok(known.clone());
        }
        let line = client(tx, id).await?;
        self.0.insert(id.clone(), line.clone());
        Ok(line)
    }
}

/// Returns a user's name, or the subject if it is not that of a user.
pub async fn person(tx: &mut Tx, subject: &Subject) -> Result<String, StoreError> {
    let user = match subject {
        Subject::User(user) => tx.users().find(*user).await?,
        Subject::Anonymous | Subject::Service(_) => None,
    };
    Ok(user.map_or_else(|| subject.to_string(), |user| plain_text(&user.name, 80)))
}

/// A server as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLine {
    /// Its title, as it may be shown.
    pub title: String,
    /// Its URL; empty if it is not mounted any more.
    pub url: String,
}

/// Returns the server of this name. One that is not mounted any more has only its name.
pub fn server(site: &Site, name: &ServerName) -> ServerLine {
    match site.servers.borrow().find(name) {
        Some(card) => ServerLine { title: plain_text(&card.title, 80), url: card.resource.as_str().to_owned() },
        None => ServerLine { title: name.to_string(), url: String::new() },
    }
}

/// Returns the resources of a task, for a page.
pub fn resources(language: Language, task: &TaskDefinition) -> Vec<String> {
    named(language, &task.resources, Sentence::AllResources)
}

/// Returns the prompts of a task, for a page.
pub fn prompts(language: Language, task: &TaskDefinition) -> Vec<String> {
    named(language, &task.prompts, Sentence::AllPrompts)
}

fn named(language: Language, names: &[String], all: Sentence) -> Vec<String> {
    let shown = |name: &String| if name == ANY { language.say(all).to_owned() } else { exact(name, 300) };
    names.iter().map(shown).collect()
}

/// Returns the text of a badge for a name.
pub fn initial(name: &str) -> String {
    name.chars().find(|character| character.is_alphanumeric()).unwrap_or('?').to_uppercase().collect()
}

/// Formats a timestamp, to the minute.
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Formats a timestamp, to the second.
pub fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Returns the minutes from `now` until `end`, rounded up.
pub fn minutes_until(end: Timestamp, now: Timestamp) -> i64 {
    (end.as_second() - now.as_second() + 59).max(0) / 60
}

/// Returns a name for a decision, on one line: invisible characters are written out, so that two different names look
/// different (ATK-11).
pub fn exact(name: &str, chars_max: usize) -> String {
    let mut shown: String = name.chars().take(chars_max).map(seen).collect();
    if name.chars().nth(chars_max).is_some() {
        shown.push('…');
    }
    shown
}

fn seen(character: char) -> String {
    let blank = character.is_whitespace() && character != ' ';
    let mut shown = String::new();
    if blank || is_invisible(character) {
        push_json_escape(&mut shown, character)
    } else {
        shown.push(character)
    }
    shown
}

/// JSON as it is shown, and how much of it was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText {
    /// The shown part.
    pub shown: String,
    /// How many characters were left out.
    pub left_out: usize,
}

/// Formats JSON with line breaks, at most `chars_max` characters of it.
///
/// The text is laid out but not parsed: every digit of a number is shown as it was written, and invisible characters in
/// a string are shown as their escapes, which mean the same (ATK-11).
pub fn json(text: &str, chars_max: usize) -> JsonText {
    let laid_out = lay_out(text);
    let mut characters = laid_out.chars();
    let shown = characters.by_ref().take(chars_max).collect();
    JsonText { shown, left_out: characters.count() }
}

/// The deepest level that is indented; lines of deeper levels are indented like it.
const INDENT_MAX: usize = 12;

fn lay_out(text: &str) -> String {
    let mut out = String::new();
    let mut depth: usize = 0;
    let mut string = false;
    let mut characters = text.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth.min(INDENT_MAX)));
    };
    while let Some(character) = characters.next() {
        match character {
            '\\' if string => {
                out.push(character);
                out.extend(characters.next().map(seen));
            }
            '"' => {
                string = !string;
                out.push(character);
            }
            _ if string => out.push_str(&seen(character)),
            '{' | '[' => {
                out.push(character);
                let close = if character == '{' { '}' } else { ']' };
                if characters.next_if_eq(&close).is_some() {
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(character);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            other => out.push_str(&seen(other)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use sekisho_protocol::env::{Clock as _, ManualClock, after};

    use super::{exact, json, minutes_until};

    /// ATK-11: JSON that somebody decides about is shown unchanged: every digit, every character, nothing invisible.
    #[test]
    fn json_is_laid_out_and_not_changed() {
        let cases = [
            ("{}", "{}"),
            (r#"{"a":[]}"#, "{\n  \"a\": []\n}"),
            (
                r#"{"a":[1,2],"b":{"c":null}}"#,
                "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {\n    \"c\": null\n  }\n}",
            ),
            (r#"{"n":10000000000000000001.50}"#, "{\n  \"n\": 10000000000000000001.50\n}"),
            (r#"{"s":"a,b:{}[] \"q\" \\"}"#, "{\n  \"s\": \"a,b:{}[] \\\"q\\\" \\\\\"\n}"),
            ("{\"s\":\"x\u{202e}y\u{200b}\u{e0041}\"}", "{\n  \"s\": \"x\\u202ey\\u200b\\udb40\\udc41\"\n}"),
            ("not JSON }]", "not JSON \n}\n]"),
        ];
        for (text, expected) in cases {
            let found = json(text, 4000);
            assert_eq!((found.shown.as_str(), found.left_out), (expected, 0), "{text}");
        }
        let long = json(&format!("{{\"s\":\"{}\"}}", "x".repeat(5000)), 4000);
        assert_eq!((long.shown.chars().count(), long.left_out), (4000, 1013));
        assert!(json(&"[".repeat(100_000), 4000).shown.len() <= 4000);
    }

    /// ATK-11: two tools whose names differ in invisible characters do not look alike.
    #[test]
    fn a_name_that_is_decided_about_hides_nothing() {
        assert_eq!(exact("read_note", 128), "read_note");
        assert_eq!(exact("read\u{200b}_note", 128), "read\\u200b_note");
        assert_eq!(exact("a\u{202e}b\nc", 128), "a\\u202eb\\u000ac");
        assert_eq!(exact(&"x".repeat(200), 3), "xxx…");
    }

    #[test]
    fn minutes_are_rounded_up() {
        let now = ManualClock::default().now();
        for (seconds, minutes) in [(0, 0), (1, 1), (60, 1), (61, 2), (600, 10)] {
            assert_eq!(minutes_until(after(now, seconds), now), minutes);
        }
    }
}
