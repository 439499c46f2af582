//! Every reader of this crate that a stranger's text reaches, on the shapes of text that quadratic readers are slow at.

use serde_json::value::RawValue;

use super::{DOUBLINGS, check};
use crate::mcp::message::{Id, Message, list_items};
use crate::mcp::method::ListKind;
use crate::mcp::mirror::Annotations;
use crate::mcp::splice::{self, SubscriptionList};
use crate::mcp::strict::{self, Limits};
use crate::mcp::{headers, sse};
use crate::redirect::RedirectUri;
use crate::scope::ScopeSet;
use crate::uri::ResourceUri;
use crate::{canonical, text};

/// A text made of one unit, repeated between a beginning and an end. `#` stands for the number of the unit.
struct Shape {
    name: &'static str,
    before: &'static str,
    unit: &'static str,
    after: &'static str,
}

impl Shape {
    fn make(&self, units: usize) -> String {
        let mut text = String::from(self.before);
        for at in 0..units.min(2_000_000 / self.unit.len()) {
            text.push_str(&self.unit.replace('#', &at.to_string()));
        }
        text + self.after
    }
}

const fn shape(name: &'static str, before: &'static str, unit: &'static str, after: &'static str) -> Shape {
    Shape { name, before, unit, after }
}

/// Messages that a caller or an upstream can send. Units end with a comma, so the end holds one more item.
const MESSAGES: &[Shape] = &[
    shape("members", r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"#, r#""a#":#,"#, r#""z":0}}"#),
    shape(
        "members with escapes",
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"#,
        r#""\u0061#":1,"#,
        r#""z":0}}"#,
    ),
    shape("members that fold", r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"#, r#""A_-#":1,"#, r#""z":0}}"#),
    shape("elements", r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"a":["#, "0,", "0]}}"),
    shape("numbers", r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"a":["#, "1.5e1,", "0]}}"),
    shape("a long text", r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"a":""#, "word ", r#""}}"#),
    shape("a text of escapes", r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"a":""#, "\\u00e9\\n", r#""}}"#),
    shape("backslashes", r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"a":""#, "\\\\", r#""}}"#),
    shape("blanks", r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"a":1"#, " ", "}}"),
    shape(
        "members of `_meta`",
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"#,
        r#""a#":1,"#,
        r#""z":0}}}"#,
    ),
    shape(
        "subscriptions",
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"notifications":{"resourceSubscriptions":["#,
        r#""file:///a#","#,
        r#""file:///z"]}}}"#,
    ),
    shape(
        "tools",
        r#"{"jsonrpc":"2.0","id":1,"result":{"cacheScope":"public","tools":["#,
        r#"{"name":"t#","inputSchema":{"type":"object"}},"#,
        r#"{"name":"z"}]}}"#,
    ),
    shape("equal tools", r#"{"jsonrpc":"2.0","id":1,"result":{"tools":["#, r#"{"name":"t"},"#, r#"{"name":"z"}]}}"#),
    shape(
        "resources",
        r#"{"jsonrpc":"2.0","id":1,"result":{"resources":["#,
        r#"{"uri":"file:///a#","name":"n"},"#,
        r#"{"uri":"file:///z"}]}}"#,
    ),
    shape(
        "questions",
        r#"{"jsonrpc":"2.0","id":1,"result":{"inputRequests":{"#,
        r#""q#":{"method":"roots/list"},"#,
        r#""z":{"method":"roots/list"}}}}"#,
    ),
    shape("open arrays", r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"a":"#, "[", ""),
    shape("open objects", "", r#"{"a":"#, ""),
];

type Work = fn(&str) -> usize;

/// Functions that read a message or a part of it.
const READING: &[(&str, Work)] = &[
    ("the strict walk", |text| usize::from(strict::check(text.as_bytes(), &Limits::upstream()).is_ok())),
    ("reading a message", |text| usize::from(Message::read(text.as_bytes(), &Limits::upstream()).is_ok())),
    ("the arguments' digest", |text| canonical::digest_of_text(Some(text.as_bytes())).as_bytes().len()),
    ("what stands beside the arguments", |text| canonical::beside(Some(text.as_bytes())).map_or(0, |text| text.len())),
    ("mirrored arguments", |text| {
        serde_json::from_str(text).map_or(0, |raw| usize::from(Annotations::read(raw).is_ok()))
    }),
    ("items of a list", |text| list_items(text, ListKind::Tools).map_or(0, |items| items.len())),
    ("for a terminal", |text| text::lines_for_terminal(text).len()),
    ("JSON for a terminal", |text| text::json_for_terminal(text).len()),
];

/// Functions that write a message again with a change in it.
const EDITING: &[(&str, Work)] = &[
    ("a new id", |text| edited(splice::replace_id(text.as_bytes(), &Id::Integer(7)))),
    ("a new progress token", |text| edited(splice::replace_progress_token(text.as_bytes(), &Id::Integer(7)))),
    ("a parameter set", |text| edited(splice::set_param(text.as_bytes(), "a", &1))),
    ("a parameter removed", |text| edited(splice::remove_param(text.as_bytes(), "z"))),
    ("`_meta` filtered", |text| edited(splice::retain_meta(text.as_bytes(), |name| name.len() % 2 == 0))),
    ("`_meta` set", |text| edited(splice::set_meta(text.as_bytes(), "z", &1))),
    ("subscriptions filtered", |text| {
        let list = SubscriptionList::Resources;
        edited(splice::filter_subscriptions(text.as_bytes(), list, |uri| ResourceUri::parse(uri).is_ok()))
    }),
    ("tools filtered", |text| {
        edited(splice::filter_list(text.as_bytes(), ListKind::Tools, |item| item.key().len() % 2 == 0))
    }),
    ("resources filtered", |text| {
        edited(splice::filter_list(text.as_bytes(), ListKind::Resources, |item| item.key().len() % 2 == 0))
    }),
    ("tools appended", |text| {
        let own = RawValue::from_string(r#"{"name":"own"}"#.to_owned()).map(|own| [own]);
        own.map_or(0, |own| edited(splice::append_to_list(text.as_bytes(), ListKind::Tools, &own)))
    }),
];

fn edited<E>(result: Result<Vec<u8>, E>) -> usize {
    result.map_or(0, |bytes| bytes.len())
}

/// The inputs of a shape: each twice as long as the one before.
fn inputs(shape: &Shape) -> Vec<String> {
    (0..=DOUBLINGS).map(|times| shape.make(250 << times)).collect()
}

fn grows(works: &[(&str, Work)]) {
    for shape in MESSAGES {
        let inputs = inputs(shape);
        for (name, work) in works {
            let what = format!("{name} of {}", shape.name);
            let time = check(&what, &inputs, |text| work(text));
            println!("{what}: {time:?} for the largest");
        }
    }
}

/// ATK-246: reading any message takes time in proportion to its length.
#[test]
fn reading_a_message_grows_with_it() {
    grows(READING);
}

/// ATK-246: the same for writing it anew with a change in it.
#[test]
fn editing_a_message_grows_with_it() {
    grows(EDITING);
}

/// ATK-246: the same for a stream of events, however it is cut into chunks.
#[test]
fn a_stream_of_events_grows_with_its_length() {
    let shapes = [
        shape("events", "", "data: {\"a\":#}\n\n", ""),
        shape("lines of one event", "", "data: a\n", "\n"),
        shape("comments", "", ": ping\n\n", ""),
        shape("empty lines", "", "\r", ""),
        shape("one line", "data: ", "word ", "\n\n"),
        shape("fields", "", "id: #\nretry: 1\nevent: a\nx: y\n", "\n"),
        shape("lines of a comment", "", ": a\r\n", "\r\n"),
    ];
    for shape in &shapes {
        let inputs = inputs(shape);
        for chunk_bytes in [1, 7, 4096, usize::MAX] {
            let what = format!("{} in chunks of {chunk_bytes}", shape.name);
            let time = check(&what, &inputs, |text| {
                let mut parser = sse::Parser::new(64 << 20);
                let chunks = text.as_bytes().chunks(chunk_bytes.min(text.len().max(1)));
                chunks.map(|chunk| parser.push(chunk).map_or(0, |pieces| pieces.len())).sum::<usize>()
            });
            println!("{what}: {time:?} for the largest");
        }
    }
}

/// ATK-246: the same for what is short: each reader has a bound of its own, and the longest text here reaches it.
#[test]
fn short_texts_grow_with_their_length() {
    let uris = [
        shape("segments", "file:///", "a/", ""),
        shape("dots", "file:///", "../", ""),
        shape("escapes", "file:///", "%41", ""),
        shape("escapes of escapes", "file:///%", "25", "41"),
        shape("parameters", "file:///a", ";b=c", ""),
        shape("a query", "https://example.org/?", "a=b&", ""),
        shape("escapes in a query", "https://example.org/?%", "25", "41"),
        shape("labels", "https://", "a.", "example.org/"),
        shape("a user name", "https://", "a:b@", "example.org/"),
        shape("expressions", "file:///", "{a}", ""),
        shape("an open expression", "file:///", "{a,", ""),
        shape("letters of other alphabets", "file:///", "é", ""),
        shape("slashes", "file:", "/", ""),
    ];
    let readers: [(&str, usize, Work); 4] = [
        ("a resource", ResourceUri::BYTES_MAX, |text| {
            ResourceUri::parse(text).map_or(0, |uri| uri.readings().concat().len())
        }),
        ("a template", ResourceUri::BYTES_MAX, |text| {
            ResourceUri::parse_template(text).map_or(0, |uri| uri.readings().concat().len())
        }),
        ("a redirect", RedirectUri::BYTES_MAX, |text| RedirectUri::parse(text).map_or(0, |uri| uri.host().len())),
        ("a header", headers::VALUE_BYTES_MAX, |text| {
            headers::decode_value(text.as_bytes()).map_or(0, |text| text.len())
        }),
    ];
    for shape in &uris {
        for (name, bytes_max, work) in readers {
            grows_up_to(bytes_max, name, shape, work);
        }
    }
    for shape in
        [shape("scopes", "", "a# ", "z"), shape("equal scopes", "", "a ", "a"), shape("one scope", "", "a", "")]
    {
        grows_up_to(64 << 10, "a set", &shape, |text| text.parse::<ScopeSet>().map_or(0, |set| set.len()));
    }
    let folding = shape("letters that fold", "", "A_-é", "");
    grows_up_to(64 << 10, "a name", &folding, |text| strict::loosely(text).len() + text::fold(text).len());
}

/// The longest text has as many units as fit into the bound.
fn grows_up_to(bytes_max: usize, reader: &str, shape: &Shape, work: Work) {
    let units = bytes_max.saturating_sub(shape.before.len() + shape.after.len()) / shape.unit.len();
    let inputs: Vec<String> = (0..=DOUBLINGS).rev().map(|halvings| shape.make(units >> halvings)).collect();
    let what = format!("{reader} of {}", shape.name);
    let time = check(&what, &inputs, |text| work(text));
    println!("{what}: {time:?} for the largest");
}
