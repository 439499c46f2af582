use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::mcp::message::{Kind, Message, Outcome, list_items};
use crate::mcp::strict::Limits;

fn text(bytes: Result<Vec<u8>, SpliceError>) -> String {
    let bytes = bytes.unwrap();
    Message::read(&bytes, &Limits::default()).unwrap();
    String::from_utf8(bytes).unwrap()
}

const CALL: &str = "{ \"id\" : 1,\t\"jsonrpc\":\"2.0\", \"method\":\"tools\\/call\" ,\"params\":{\"name\":\"x\", \
    \"_meta\" : { \"progressToken\" : \"p\" , \"a\":{\"id\":2} } , \"arguments\":{ \"id\":[1 , 2.50] } } } ";

/// TR-11: ids are replaced where they stand, and nowhere else.
#[test]
fn replacing_an_id_touches_nothing_else() {
    for id in [Id::Integer(-9), Id::String("a\"\\b\u{1}".to_owned())] {
        let written = serde_json::to_string(&id).unwrap();
        let expected = CALL.replacen("\"id\" : 1", &format!("\"id\" : {written}"), 1);
        assert_eq!(text(replace_id(CALL.as_bytes(), &id)), expected);
    }
    let escaped = r#"{"jsonrpc":"2.0","method":"ping","\u0069d":"q"}"#;
    assert_eq!(
        text(replace_id(escaped.as_bytes(), &Id::Integer(1))),
        r#"{"jsonrpc":"2.0","method":"ping","\u0069d":1}"#
    );
    let notification = br#"{"jsonrpc":"2.0","method":"x","params":{"id":1}}"#;
    assert!(matches!(replace_id(notification, &Id::Integer(1)), Err(SpliceError::Missing { member: "id" })));
}

#[test]
fn replacing_a_progress_token_touches_nothing_else() {
    let token = Id::String("wrapped".to_owned());
    assert_eq!(text(replace_progress_token(CALL.as_bytes(), &token)), CALL.replacen("\"p\"", "\"wrapped\"", 1));
    for without in [
        r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{},"progressToken":1}}"#,
    ] {
        assert!(replace_progress_token(without.as_bytes(), &token).is_err());
    }
}

/// PX-24: state is wrapped and unwrapped byte for byte; other members stay as they are.
#[test]
fn members_of_params_are_set_and_removed() {
    let set = |bytes: &str, name: &str, value: Value| text(set_param(bytes.as_bytes(), name, &value));
    let base = r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#;
    let with = set(base, "requestState", json!("s"));
    assert_eq!(with, r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"requestState":"s"}}"#);
    let with = set(&with, "requestState", json!("t"));
    assert_eq!(with, r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"requestState":"t"}}"#);
    let with = set(&with, "n", json!([1]));
    assert_eq!(with, r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"requestState":"t","n":[1]}}"#);
    assert_eq!(
        text(remove_param(with.as_bytes(), "requestState")),
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"n":[1]}}"#
    );
    assert_eq!(
        text(remove_param(with.as_bytes(), "n")),
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"requestState":"t"}}"#
    );
    let empty = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{ }}"#;
    assert_eq!(set(empty, "n", json!(1)), r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"n":1 }}"#);
    assert_eq!(text(remove_param(base.as_bytes(), "n")), base);
    assert_eq!(text(remove_param(CALL.as_bytes(), "nothing")), CALL);
}

#[test]
fn members_of_meta_are_set_and_removed() {
    let set = |bytes: &str| text(set_meta(bytes.as_bytes(), "dev.example/k", &"v"));
    assert_eq!(
        set(r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#),
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"dev.example/k":"v"}}}"#
    );
    assert_eq!(
        set(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1}}"#),
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1,"_meta":{"dev.example/k":"v"}}}"#
    );
    assert_eq!(
        set(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":null,"a":1}}"#),
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"dev.example/k":"v"},"a":1}}"#
    );
    let with = set(CALL);
    assert!(with.contains(r#""a":{"id":2},"dev.example/k":"v" }"#), "{with}");
    assert_eq!(text(remove_meta(with.as_bytes(), "dev.example/k")), CALL);
    assert_eq!(
        text(remove_meta(CALL.as_bytes(), "progressToken")),
        CALL.replacen("\"progressToken\" : \"p\" , ", "", 1)
    );
    assert_eq!(
        text(retain_meta(CALL.as_bytes(), |_| false)),
        CALL.replacen("\"progressToken\" : \"p\" , \"a\":{\"id\":2}", "", 1)
    );
}

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"cacheScope":"public" , "tools":[ {"name":"a","x":1.0},
    { "name" : "b" } ,{"name":"c","description":"]}\","},{"nameless":true}, 7 ],"nextCursor":"n","ttlMs":5}}"#;

/// PX-23, ATK-70: kept items stand as they stood, others are gone, and the list is one caller's.
#[test]
fn a_filtered_list_keeps_items_verbatim_and_becomes_private() {
    let filter = |keep: &[&str]| text(filter_list(LIST.as_bytes(), ListKind::Tools, |item| keep.contains(&item.key())));
    let private = LIST.replacen("public", "private", 1);
    let tail = r#",{"nameless":true}, 7"#;
    assert_eq!(filter(&["a", "b", "c"]), private.replacen(tail, "", 1));
    let only = |item: &str| {
        let (head, rest) = private.split_once("{\"name\":\"a\"").unwrap();
        let (_, end) = rest.split_once("7 ]").unwrap();
        format!("{head}{item} ]{end}")
    };
    assert_eq!(filter(&["a"]), only(r#"{"name":"a","x":1.0}"#));
    assert_eq!(filter(&["b"]), only(r#"{ "name" : "b" }"#));
    assert_eq!(filter(&["c"]), only(r#"{"name":"c","description":"]}\","}"#));
    assert_eq!(filter(&["a", "c"]), only(r#"{"name":"a","x":1.0} ,{"name":"c","description":"]}\","}"#));
    assert_eq!(filter(&[]), only(""));
}

#[test]
fn a_list_without_a_scope_gets_none() {
    let list = br#"{"jsonrpc":"2.0","id":1,"result":{"prompts":[{"name":"a"}]}}"#;
    let same = filter_list(list, ListKind::Prompts, |_| true).unwrap();
    assert_eq!(same, list);
    assert!(filter_list(list, ListKind::Tools, |_| true).is_err());
    assert!(filter_list(br#"{"jsonrpc":"2.0","id":1,"error":{}}"#, ListKind::Tools, |_| true).is_err());
    let text = text(set_result(list, "cacheScope", &"private"));
    assert!(text.ends_with(r#""prompts":[{"name":"a"}],"cacheScope":"private"}}"#), "{text}");
    assert_eq!(remove_result(text.as_bytes(), "cacheScope").unwrap(), list);
}

/// TR-42: refused resources are left out of a subscription, and of its acknowledgement.
#[test]
fn subscriptions_lose_what_was_refused() {
    let listen = r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a","b","\u0063"],"taskIds":["a"],"toolsListChanged":true}}}"#;
    let filter = |list, keep: &str| text(filter_subscriptions(listen.as_bytes(), list, |entry| entry == keep));
    assert_eq!(filter(SubscriptionList::Resources, "c"), listen.replacen(r#""a","b","\u0063""#, r#""\u0063""#, 1));
    assert_eq!(filter(SubscriptionList::Tasks, "x"), listen.replacen(r#"["a"]"#, "[]", 1));
}

#[test]
fn our_own_tools_are_appended_once() {
    let own = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    let items = [own(r#"{"name":"b"}"#), own(r#"{"name":"d"}"#), own(r#"{"name":"d","x":1}"#)];
    let appended = text(append_to_list(LIST.as_bytes(), ListKind::Tools, &items));
    assert_eq!(appended, LIST.replacen(" 7 ]", r#" 7,{"name":"d"} ]"#, 1));
    let empty = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[ ]}}"#;
    let appended = text(append_to_list(empty.as_bytes(), ListKind::Tools, &items));
    assert_eq!(appended, empty.replacen("[ ]", r#"[{"name":"b"},{"name":"d"} ]"#, 1));
}

/// The functions are total even on what was never checked.
#[test]
fn unchecked_bytes_are_refused_or_edited_but_never_a_panic() {
    for end in 0..=LIST.len() {
        for bytes in [LIST.get(..end), CALL.get(..end), LIST.get(end..)].into_iter().flatten() {
            let bytes = bytes.as_bytes();
            let _ = replace_id(bytes, &Id::Integer(1));
            let _ = replace_progress_token(bytes, &Id::Integer(1));
            let _ = set_meta(bytes, "a", &1);
            let _ = retain_meta(bytes, |_| false);
            let _ = filter_list(bytes, ListKind::Tools, |_| false);
        }
    }
    assert!(replace_id(b"\xFF", &Id::Integer(1)).is_err());
}

fn spaces() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec!["", "", " ", "\n  ", "\t"])
}

fn value() -> impl Strategy<Value = String> {
    proptest::sample::select(vec![
        "1",
        "-2.50",
        "1e3",
        "null",
        "true",
        "\"\"",
        "\"\\\"]}\"",
        "\"\\u00e9\\\\\"",
        "[]",
        "[ 1 ,[ ] ]",
        "{}",
        "{ \"id\" :1, \"_meta\":{\"progressToken\":0} }",
    ])
    .prop_map(str::to_owned)
}

/// Members with distinct harmless names around those that are edited, in any spacing.
fn object(inner: Vec<(&'static str, String)>) -> impl Strategy<Value = String> {
    let noise = proptest::collection::vec((0u32..1000, value()), 0..4);
    (noise, spaces(), spaces(), any::<proptest::sample::Index>()).prop_map(move |(noise, one, other, at)| {
        let mut members: Vec<(String, String)> =
            noise.into_iter().map(|(name, value)| (format!("n\\u0031{name}"), value)).collect();
        members.sort();
        members.dedup_by(|one, other| one.0 == other.0);
        let at = at.index(members.len() + 1);
        let inner = inner.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        members.splice(at..at, inner);
        let members: Vec<_> =
            members.into_iter().map(|(name, value)| format!("{one}\"{name}\"{other}:{one}{value}{other}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn call() -> impl Strategy<Value = String> {
    object(vec![("progressToken", "\"p\"".to_owned()), ("k", "[0]".to_owned())])
        .prop_flat_map(|meta| object(vec![("name", "\"t\"".to_owned()), ("_meta", meta)]))
        .prop_flat_map(|params| {
            object(vec![
                ("jsonrpc", "\"2.0\"".to_owned()),
                ("id", "1".to_owned()),
                ("method", "\"tools/call\"".to_owned()),
                ("params", params),
            ])
        })
}

fn listing() -> impl Strategy<Value = (String, Vec<String>)> {
    let item = object(Vec::new());
    (proptest::collection::vec((item, any::<bool>()), 0..6), spaces()).prop_flat_map(|(items, space)| {
        let items: Vec<_> = items
            .into_iter()
            .enumerate()
            .map(|(index, (item, keep))| {
                let kind = if keep { "keep" } else { "drop" };
                let rest = if item.contains(':') { "," } else { "" };
                let item = item.trim_start_matches('{');
                format!("{{\"uri\":\"{kind}{index}\"{rest}{item}")
            })
            .collect();
        let list = format!("[{space}{}{space}]", items.join(&format!("{space},{space}")));
        object(vec![("cacheScope", "\"public\"".to_owned()), ("resources", list)])
            .prop_flat_map(|result| {
                object(vec![("jsonrpc", "\"2.0\"".to_owned()), ("id", "1".to_owned()), ("result", result)])
            })
            .prop_map(move |text| (text, items.clone()))
    })
}

proptest! {
    /// After any edit the message reads as intended, and with the old value put back it is the old message.
    #[test]
    fn edits_change_their_member_and_nothing_else(call in call(), id in any::<String>(), token in any::<i32>()) {
        Message::read(call.as_bytes(), &Limits::default()).unwrap();
        let (id, token) = (Id::String(id), Id::Integer(token.into()));
        let edited = replace_id(call.as_bytes(), &id).unwrap();
        let edited = replace_progress_token(&edited, &token).unwrap();
        let message = Message::read(&edited, &Limits::default()).unwrap();
        prop_assert_eq!(message.id(), Some(&id));
        prop_assert_eq!(&message.meta().unwrap().progress_token, &Some(token));
        let back = replace_id(&edited, &Id::Integer(1)).unwrap();
        let back = replace_progress_token(&back, &Id::String("p".to_owned())).unwrap();
        prop_assert_eq!(back, call.as_bytes());
    }

    /// The same seen by a JSON library: an edit is what it would have done, and the rest is equal.
    #[test]
    fn edits_agree_with_a_json_library(call in call(), name in proptest::sample::select(vec!["k", "new", "progressToken"])) {
        let original: Value = serde_json::from_str(&call).unwrap();
        let parsed = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).unwrap();
        let mut expected = original.clone();
        expected["params"]["_meta"][name] = json!("set");
        prop_assert_eq!(parsed(set_meta(call.as_bytes(), name, &"set").unwrap()), expected);
        let mut expected = original.clone();
        expected["params"]["_meta"].as_object_mut().unwrap().remove(name);
        prop_assert_eq!(parsed(remove_meta(call.as_bytes(), name).unwrap()), expected);
        let mut expected = original.clone();
        expected["params"][name] = json!({"a": [1]});
        prop_assert_eq!(parsed(set_param(call.as_bytes(), name, &json!({"a": [1]})).unwrap()), expected);
        let mut expected = original;
        expected["params"].as_object_mut().unwrap().remove("_meta");
        prop_assert_eq!(parsed(remove_param(call.as_bytes(), "_meta").unwrap()), expected);
    }

    /// PX-23, ATK-70: what is kept is byte for byte what came, in order, and nothing else is there.
    #[test]
    fn filtered_lists_hold_exactly_the_kept_items((text, items) in listing()) {
        let filtered =
            filter_list(text.as_bytes(), ListKind::Resources, |item| item.key().starts_with("keep")).unwrap();
        let message = Message::read(&filtered, &Limits::default()).unwrap();
        let Kind::Response { outcome: Outcome::Result(result), .. } = message.kind() else {
            return Err(TestCaseError::fail("not a result"));
        };
        let kept: Vec<_> = list_items(result.raw, ListKind::Resources)
            .unwrap()
            .iter()
            .map(|item| item.raw().get().to_owned())
            .collect();
        let expected: Vec<_> =
            items.iter().filter(|item| item.contains("\"keep")).map(|item| item.trim().to_owned()).collect();
        prop_assert_eq!(kept, expected);
        prop_assert_eq!(result.cache_scope.as_deref(), Some("private"));
        let mut original: Value = serde_json::from_str(&text).unwrap();
        let mut edited: Value = serde_json::from_slice(&filtered).unwrap();
        for value in [&mut original, &mut edited] {
            let result = value["result"].as_object_mut().unwrap();
            result.remove("resources");
            result.remove("cacheScope");
        }
        prop_assert_eq!(edited, original);
    }
}
