use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::mcp::message::Message;

mod readers;
mod variants;

fn verdict(bytes: &[u8]) -> Result<(), StrictError> {
    check(bytes, &Limits::default())
}

/// ATK-66: every variant of a call is refused, or every kind of parser reads it as we do.
#[test]
fn every_variant_is_refused_or_read_alike_by_all_parsers() {
    let variants = variants::all();
    assert!(variants.len() >= 150, "{}", variants.len());
    for variant in variants {
        let shown = String::from_utf8_lossy(&variant.bytes);
        let read = Message::read(&variant.bytes, &Limits::default());
        assert_eq!(read.is_ok(), variant.is_accepted, "{}: {shown} {read:?}", variant.what);
        if let Ok(message) = read {
            readers::assert_all_agree(&message);
            assert_eq!(message.bytes(), variant.bytes);
        }
    }
}

/// ATK-66: the reason names what is wrong.
#[test]
fn refusals_say_what_and_where() {
    use StrictError as E;
    let cases: [(&[u8], E); 14] = [
        (b"", E::Empty),
        (b" \n", E::Empty),
        (b"[]", E::Batch),
        (b"1", E::NotObject),
        (b"\"x\"", E::NotObject),
        (b"{}x", E::Trailing { at: 2 }),
        (b"\xEF\xBB\xBF{}", E::ByteOrderMark),
        (b"{\"a\":\xFF}", E::NotUtf8 { at: 5 }),
        (b"{\"a\":1,\"a\":1}", E::Duplicate { name: "a".to_owned(), at: 7 }),
        (b"{\"a\\u0000\":1}", E::NulInName { at: 1 }),
        (b"{\"a\":\"\\ud800\"}", E::LoneSurrogate { at: 6 }),
        (b"{\"a\":1e999}", E::Number { at: 5 }),
        (b"{\"a\":\"\n\"}", E::ControlCharacter { at: 6 }),
        (b"{\"Method\":1}", E::Folded { name: "Method".to_owned(), known: "method".to_owned(), at: 1 }),
    ];
    for (bytes, error) in cases {
        assert_eq!(verdict(bytes), Err(error), "{}", String::from_utf8_lossy(bytes));
    }
}

/// A hostile name reaches no log line as it is.
#[test]
fn foreign_names_are_shown_escaped_and_short() {
    let name = format!("{}\\n", "x".repeat(500));
    let text = format!(r#"{{"{name}":1,"{name}":1}}"#);
    let message = verdict(text.as_bytes()).unwrap_err().to_string();
    assert!(message.len() < 200, "{message}");
    let message = verdict(br#"{"a\nb":1,"a\nb":1}"#).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
}

/// ATK-66: numbers that overflow or vanish are refused; an integer that some programs round passes, and is known as
/// one that cannot be compared.
#[test]
fn numbers_are_bounded_and_those_that_are_rounded_are_known() {
    for (number, exact) in [
        ("0", true),
        ("-1", true),
        ("9007199254740991", true),
        ("9007199254740992", true),
        ("9007199254740993", false),
        ("-9007199254740993", false),
        ("9007199254740994", true),
        ("9223372036854775807", false),
        ("9223372036854775808", true),
        ("18446744073709551616", false),
        ("0.1", true),
        ("100.00000000000000001", true),
        ("1e30", true),
    ] {
        assert_eq!(is_exact(number), exact, "{number}");
    }
    let cases = [
        ("0", true, true),
        ("-0", true, true),
        ("1.5", true, true),
        ("1e22", true, true),
        ("0.1", true, true),
        ("0e-999", true, true),
        ("9007199254740991", true, true),
        ("9007199254740992", true, true),
        ("9007199254740993", true, true),
        ("9223372036854775807", true, true),
        ("9223372036854775808", true, true),
        ("-9223372036854775808", true, true),
        ("-9223372036854775809", true, true),
        ("18446744073709551616", true, true),
        ("123456789012345678901234567890123456789012345678901234567890123", true, true),
        ("1e309", false, false),
        ("-1e309", false, false),
        ("1e999999999999999999999", false, false),
        ("1e-999", false, true),
        ("1.0000000000000000000000000000000000000000000000000000000000000000000001", false, true),
    ];
    for (number, bounded, finite) in cases {
        let text = format!(r#"{{"a":{number}}}"#);
        assert_eq!(verdict(text.as_bytes()).is_ok(), bounded, "{number}");
        assert_eq!(check(text.as_bytes(), &Limits::upstream()).is_ok(), finite, "{number}");
    }
}

/// ATK-93: depth is bounded and costs no stack, even where the bound is absurd.
#[test]
fn a_million_levels_end_at_the_bound_and_never_the_stack() {
    for open in ["[", "{\"a\":", "[{\"a\":"] {
        let bomb = format!("{{\"params\":{}", open.repeat(1_000_000));
        assert!(matches!(verdict(bomb.as_bytes()), Err(StrictError::Depth { max: 64, .. })));
        let limits = Limits { depth_max: usize::MAX, members_max: usize::MAX, ..Limits::default() };
        // Never closed, so it is refused in the end; what counts is that the end is reached.
        assert!(matches!(check(bomb.as_bytes(), &limits), Err(StrictError::Syntax { .. })));
    }
}

#[test]
fn the_deepest_and_the_fullest_message_allowed_are_read() {
    let limits = Limits { depth_max: 5, members_max: 6, ..Limits::default() };
    assert_eq!(check(br#"{"a":{"b":[[[1]]]}}"#, &limits), Ok(()));
    let over = check(br#"{"a":{"b":[[[[1]]]]}}"#, &limits);
    assert_eq!(over, Err(StrictError::Depth { at: 13, max: 5 }));
    assert_eq!(check(br#"{"a":1,"b":[1,2,3,4]}"#, &limits), Ok(()));
    let over = check(br#"{"a":1,"b":[1,2,3,4,5]}"#, &limits);
    assert_eq!(over, Err(StrictError::Members { at: 20, max: 6 }));
    let limits = Limits { name_bytes_max: 3, string_bytes_max: 4, ..Limits::default() };
    assert_eq!(check(br#"{"a":"12"}"#, &limits), Ok(()));
    assert!(matches!(check(br#"{"ab":1}"#, &limits), Err(StrictError::NameTooLong { .. })));
    assert!(matches!(check(br#"{"a":"123"}"#, &limits), Err(StrictError::StringTooLong { .. })));
}

/// ATK-93: the work grows with the bytes and not with their square, whatever they are. The bound is far above what
/// an unoptimised build takes on a busy machine and far below what anything quadratic would.
#[test]
fn bombs_of_members_names_and_strings_are_answered_in_bounded_time() {
    let many_members = {
        let members: Vec<_> = (0..300_000).map(|index| format!("\"m{index}\":1")).collect();
        format!("{{{}}}", members.join(","))
    };
    let same_name = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(1_000_000));
    let elements = format!("{{\"a\":[{}1]}}", "1,".repeat(1_000_000));
    let escapes = format!("{{\"a\":\"{}\"}}", "\\u0041".repeat(1_000_000));
    let backslashes = format!("{{\"a\":\"{}", "\\\\".repeat(2_000_000));
    let digits = format!("{{\"a\":{}}}", "9".repeat(2_000_000));
    let blanks = " ".repeat(4_000_000);
    let folded = format!("{{\"params\":{{\"{}\":1}}}}", "İ".repeat(500_000));
    let upstream = Limits { members_max: usize::MAX, ..Limits::upstream() };
    for text in [many_members, same_name, elements, escapes, backslashes, digits, blanks, folded] {
        for limits in [&Limits::default(), &upstream] {
            let (done, wait) = std::sync::mpsc::channel();
            std::thread::scope(|scope| {
                scope.spawn(|| done.send(check(text.as_bytes(), limits)));
                let verdict = wait.recv_timeout(Duration::from_secs(20));
                assert!(verdict.is_ok(), "{} bytes took too long", text.len());
            });
        }
    }
}

/// ATK-69: an array at the top is a batch, however long and however nested.
#[test]
fn batches_of_any_length_are_refused() {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for count in [0, 1, 2, 10_000] {
        let batch = format!("[{}]", vec![call; count].join(","));
        assert_eq!(verdict(batch.as_bytes()), Err(StrictError::Batch));
        assert_eq!(verdict(format!(" \r\n[{batch}]").as_bytes()), Err(StrictError::Batch));
    }
}

/// Names repeat in different objects, arguments are free to be anything else, and nothing legal is lost.
#[test]
fn ordinary_messages_pass() {
    let texts = [
        r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"x","arguments":{"name":"y","n":{"name":1,"Name":2},"method":2,"params":{"Params":3}}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","inputSchema":{"properties":{"Name":{},"name":{}}}},{"name":"a"}]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"structuredContent":{"Tools":1,"tools":2},"x_meta":1,"meta":2}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":{"Level":1}}}"#,
        r#"{"a":[],"b":{},"c":[{}],"d":[[],[]],"e":null,"f":true,"g":false,"h":-1.5E+3,"i":"\ud83d\ude00\u0000"}"#,
        "\t{\r\n \"a\" : [ 1 , 2 ] }\n ",
    ];
    for text in texts {
        assert_eq!(verdict(text.as_bytes()), Ok(()), "{text}");
    }
}

/// What a tool takes its arguments by is not known here, so two that differ by case alone are refused side by side.
#[test]
fn arguments_that_differ_by_case_alone_are_refused_beside_each_other() {
    let call = |arguments: &str| format!(r#"{{"params":{{"arguments":{arguments}}}}}"#);
    assert!(verdict(call(r#"{"path":1,"PATH":2}"#).as_bytes()).is_err());
    assert!(verdict(call(r#"{"path":1,"ｐath":2}"#).as_bytes()).is_err());
    assert_eq!(verdict(call(r#"{"path":1,"p_ath":2}"#).as_bytes()), Ok(()));
    assert_eq!(verdict(call(r#"{"counts":{"a":1,"A":2}}"#).as_bytes()), Ok(()));
}

#[test]
fn duplicates_are_found_among_few_and_among_many() {
    for count in [2, 15, 16, 17, 18, 40, 1000] {
        let names: Vec<_> = (0..count).map(|index| format!("\"n{index}\":0")).collect();
        let unique = format!("{{{}}}", names.join(","));
        assert_eq!(verdict(unique.as_bytes()), Ok(()), "{count}");
        for twice in [0, count / 2, count - 1] {
            let text = format!("{{{},\"\\u006e{twice}\":0}}", names.join(","));
            let refused = matches!(verdict(text.as_bytes()), Err(StrictError::Duplicate { .. }));
            assert!(refused, "{count} {twice}");
        }
    }
}

proptest! {
    /// ATK-66: what we accept every parser accepts and reads alike; what is not JSON is never accepted.
    #[test]
    fn accepted_messages_are_read_alike_by_all_parsers(text in readers::message_text()) {
        if let Ok(message) = Message::read(text.as_bytes(), &Limits::default()) {
            readers::assert_all_agree(&message);
        }
        if serde_json::from_str::<Value>(&text).is_err() {
            prop_assert!(verdict(text.as_bytes()).is_err());
        }
    }

    /// A message with distinct, harmless names is accepted however it is spaced and escaped.
    #[test]
    fn unambiguous_messages_are_accepted(text in readers::plain_text()) {
        prop_assert_eq!(verdict(text.as_bytes()), Ok(()));
    }

    /// Total on any bytes, and never more lenient than a JSON parser.
    #[test]
    fn any_bytes_get_a_verdict(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if verdict(&bytes).is_ok() {
            prop_assert!(serde_json::from_slice::<Value>(&bytes).is_ok());
        }
    }

    /// The same around a real message: one byte changed, one gone, one more.
    #[test]
    fn a_damaged_message_is_refused_or_still_read_alike(
        at in 0usize..200,
        byte in proptest::sample::select(br#"{}[]",:\ 019.eE-+tfnu/aA_"#.to_vec()),
        how in 0u8..3,
    ) {
        let mut bytes = variants::CALL.as_bytes().to_vec();
        let at = at % bytes.len();
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => { bytes.remove(at); }
        }
        if let Ok(message) = Message::read(&bytes, &Limits::default()) {
            readers::assert_all_agree(&message);
        }
        if verdict(&bytes).is_ok() {
            prop_assert!(serde_json::from_slice::<Value>(&bytes).is_ok());
        }
    }
}
