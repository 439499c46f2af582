//! A table: the variants of one call that make parsers disagree (ATK-66), and a few that must not be refused.

pub(in crate::mcp) const CALL: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","#,
    r#""params":{"name":"safe","arguments":{"path":"/a"},"_meta":{"progressToken":"t"}}}"#
);

pub(super) struct Variant {
    pub(super) what: String,
    pub(super) bytes: Vec<u8>,
    pub(super) is_accepted: bool,
}

fn refused(what: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Variant {
    Variant { what: what.into(), bytes: bytes.into(), is_accepted: false }
}

fn accepted(what: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Variant {
    Variant { is_accepted: true, ..refused(what, bytes) }
}

pub(super) fn all() -> Vec<Variant> {
    let mut variants = vec![accepted("as it is", CALL)];
    added_members(&mut variants);
    replaced_names(&mut variants);
    framing(&mut variants);
    values(&mut variants);
    shapes(&mut variants);
    harmless(&mut variants);
    variants
}

/// Where a member can be added: at the front and at the back of the message, of `params`, of `_meta` and of `arguments`.
fn with(place: &str, member: &str) -> [String; 2] {
    let (front, back) = match place {
        "top" => (r#"{"jsonrpc""#, r#""t"}}}"#),
        "params" => (r#"{"name""#, r#""t"}}}"#),
        "_meta" => (r#"{"progressToken""#, r#""t"}}}"#),
        _ => (r#"{"path""#, r#""/a"}"#),
    };
    let after = match place {
        "top" => format!(r#""t"}}}},{member}}}"#),
        "params" => format!(r#""t"}},{member}}}}}"#),
        "_meta" => format!(r#""t",{member}}}}}}}"#),
        _ => format!(r#""/a",{member}}}"#),
    };
    let before = front.replacen('{', &format!("{{{member},"), 1);
    [CALL.replacen(front, &before, 1), CALL.replacen(back, &after, 1)]
}

/// The same thing said twice: exactly, escaped, in another case, folded, with other separators, cut by NUL.
#[expect(clippy::too_many_lines, reason = "a table")]
fn added_members(variants: &mut Vec<Variant>) {
    let members = [
        (
            "top",
            vec![
                r#""method":"tools/list""#,
                r#""Method":"tools/list""#,
                r#""METHOD":"tools/list""#,
                r#""mEtHoD":"tools/list""#,
                r#""m\u0065thod":"tools/list""#,
                r#""\u004dethod":"tools/list""#,
                r#""ｍethod":"tools/list""#,
                r#""method ":"tools/list""#,
                r#"" method":"tools/list""#,
                r#""method\u0000":"tools/list""#,
                r#""method\u200b":"tools/list""#,
                r#""me_thod":"tools/list""#,
                r#""me-thod":"tools/list""#,
                r#""params":{"name":"evil"}"#,
                r#""Params":{"name":"evil"}"#,
                r#""PARAMS":{"name":"evil"}"#,
                r#""paramſ":{"name":"evil"}"#,
                r#""param\u017f":{"name":"evil"}"#,
                r#""p\u0061rams":{"name":"evil"}"#,
                r#""id":2"#,
                r#""ID":2"#,
                r#""Id":2"#,
                r#""ıd":2"#,
                r#""İd":2"#,
                r#""i\u0064":2"#,
                r#""id":1"#,
                r#""jsonrpc":"1.0""#,
                r#""JSONRPC":"2.0""#,
                r#""jsonRpc":"2.0""#,
                r#""json_rpc":"2.0""#,
                r#""result":{}"#,
                r#""Result":{}"#,
                r#""error":{"code":1,"message":""}"#,
                r#""ERROR":{}"#,
            ],
        ),
        (
            "params",
            vec![
                r#""name":"evil""#,
                r#""Name":"evil""#,
                r#""NAME":"evil""#,
                r#""n\u0061me":"evil""#,
                r#""\u006eame":"evil""#,
                r#""nａme":"evil""#,
                r#""name\u0000x":"evil""#,
                r#""na_me":"evil""#,
                r#""arguments":{"path":"/etc"}"#,
                r#""Arguments":{"path":"/etc"}"#,
                r#""argumentſ":{"path":"/etc"}"#,
                r#""ARGUMENTS":null"#,
                r#""URI":"file:///etc""#,
                r#""Uri":"file:///etc""#,
                r#""uRı":"file:///etc""#,
                r#""_meta":{}"#,
                r#""_Meta":{}"#,
                r#""_META":{}"#,
                r#""meta":{}"#,
                r#""__meta":{}"#,
                r#""_m\u0065ta":{}"#,
                r#""task_id":"x""#,
                r#""TaskId":"x""#,
                r#""tas\u212aId":"x""#,
                r#""request_state":"x""#,
                r#""RequestState":"x""#,
                r#""input_responses":{}"#,
                r#""inputresponses":{}"#,
                r#""Cursor":"x""#,
                r#""protocol_version":"2025-11-25""#,
                r#""Ref":{}"#,
                r#""Task":{}"#,
                r#""Notifications":{}"#,
                r#""request-id":1"#,
            ],
        ),
        (
            "_meta",
            vec![
                r#""progressToken":"u""#,
                r#""ProgressToken":"u""#,
                r#""progress_token":"u""#,
                r#""progreſſToken":"u""#,
                r#""progressTo\u212aen":"u""#,
                r#""io.modelcontextprotocol/ProtocolVersion":"2025-11-25""#,
                r#""IO.modelcontextprotocol/protocolVersion":"2025-11-25""#,
                r#""io.modelcontextprotocol/protocol_version":"2025-11-25""#,
                r#""io.modelcontextprotocol/clientcapabilities":{}"#,
                r#""io.modelcontextprotocol/protocolVersıon":"2025-11-25""#,
            ],
        ),
        (
            "arguments",
            vec![
                r#""path":"/etc""#,
                r#""Path":"/etc""#,
                r#""PATH":"/etc""#,
                r#""p\u0061th":"/etc""#,
                r#""ｐath":"/etc""#,
                r#""path\u0000":"/etc""#,
                r#""deep":{"a":1,"a":2}"#,
                r#""deep":[{"a":1,"\u0061":2}]"#,
                r#""deep":{"b":{"c":[[{"d":1,"e":{},"d":2}]]}}"#,
            ],
        ),
    ];
    for (place, members) in members {
        for member in members {
            for (text, end) in with(place, member).into_iter().zip(["front", "back"]) {
                assert_ne!(text, CALL);
                variants.push(refused(format!("{member} at the {end} of {place}"), text));
            }
        }
    }
}

/// The known member is missing, and a lenient parser finds another in its place.
fn replaced_names(variants: &mut Vec<Variant>) {
    let names = [
        ("method", "Method"),
        ("method", "METHOD"),
        ("method", "ｍｅｔｈｏｄ"),
        ("params", "Params"),
        ("params", "paramſ"),
        ("params", "PARAMS"),
        ("jsonrpc", "Jsonrpc"),
        ("jsonrpc", "JSONRPC"),
        ("id", "Id"),
        ("id", "ID"),
        ("name", "Name"),
        ("name", "NAME"),
        ("arguments", "Arguments"),
        ("_meta", "meta"),
        ("_meta", "_Meta"),
        ("progressToken", "progress_token"),
        ("progressToken", "progressto\u{212A}en"),
    ];
    for (name, other) in names {
        let text = CALL.replacen(&format!("\"{name}\""), &format!("\"{other}\""), 1);
        assert_ne!(text, CALL);
        variants.push(refused(format!("{name} as {other}"), text));
    }
}

fn framing(variants: &mut Vec<Variant>) {
    let utf16 = |order: fn(u16) -> [u8; 2]| CALL.encode_utf16().flat_map(order).collect::<Vec<_>>();
    variants.extend([
        refused("UTF-8 byte order mark", format!("\u{FEFF}{CALL}")),
        refused("byte order mark after a blank", format!(" \u{FEFF}{CALL}")),
        refused("byte order mark at the end", format!("{CALL}\u{FEFF}")),
        refused("UTF-16 little endian", utf16(u16::to_le_bytes)),
        refused("UTF-16 big endian", utf16(u16::to_be_bytes)),
        refused("UTF-16 with its mark", [b"\xFF\xFE".to_vec(), utf16(u16::to_le_bytes)].concat()),
        refused("line comment in front", format!("// x\n{CALL}")),
        refused("block comment in front", format!("/* x */{CALL}")),
        refused("block comment inside", CALL.replacen(':', ":/**/", 1)),
        refused("hash comment at the end", format!("{CALL}# x")),
        refused("trailing data", format!("{CALL}x")),
        refused("trailing brace", format!("{CALL}}}")),
        refused("second message", format!("{CALL}{CALL}")),
        refused("second message on its own line", format!("{CALL}\n{CALL}")),
        refused("trailing NUL", format!("{CALL}\0")),
        refused("trailing comma", format!("{CALL},")),
        refused("record separator", format!("\u{1E}{CALL}\n")),
        refused("anti-hijacking prefix", format!(")]}}'\n{CALL}")),
        refused("vertical tab", format!("\u{0B}{CALL}")),
        refused("no-break space", format!("\u{A0}{CALL}")),
        refused("line separator", format!("{CALL}\u{2028}")),
        refused("batch", format!("[{CALL}]")),
        refused("batch of two", format!("[{CALL},{CALL}]")),
        refused("empty batch", "[]"),
        refused("string with a message in it", serde_json::to_string(CALL).unwrap()),
        refused("empty", ""),
        refused("cut", CALL.strip_suffix('}').unwrap()),
        refused("Content-Length framing", format!("Content-Length: {}\r\n\r\n{CALL}", CALL.len())),
        refused("event stream framing", format!("data: {CALL}\n\n")),
    ]);
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn values(variants: &mut Vec<Variant>) {
    let swap = |from: &str, to: &str| {
        let text = CALL.replacen(from, to, 1);
        assert_ne!(text, CALL, "{from}");
        text
    };
    for number in [
        "1.0",
        "1e0",
        "1E2",
        "-0",
        "+1",
        "01",
        "0x1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "1_000",
        "9223372036854775808",
        "99999999999999999999999",
        "null",
        "true",
        "{}",
        "[1]",
        "0.5",
        "9007199254740993",
        "-",
        "1e-400",
    ] {
        variants.push(refused(format!("id {number}"), swap("\"id\":1", &format!("\"id\":{number}"))));
    }
    for number in ["01", "1e999", "+1", "NaN", "0x10", "1,0", "1.0f", "1n", "1e-999"] {
        let text = swap("\"/a\"", number);
        variants.push(refused(format!("argument {number}"), text));
    }
    for text in [
        r"\ud800",
        r"\udc00",
        r"\ud800\ud800",
        r"\ud800x",
        r"\udc00\ud800",
        r"\uD83D\u0041",
        r"\x41",
        r"\'",
        r"\0",
        r"\u12",
        r"\u00G0",
        r"\U0041",
        "\u{1}",
        "\n",
        "\t",
        "\\\n",
        r"\u{41}",
    ] {
        let name = swap("\"safe\"", &format!("\"{text}\""));
        variants.push(refused(format!("name {text:?}"), name));
        variants.push(refused(format!("argument {text:?}"), swap("\"/a\"", &format!("\"{text}\""))));
    }
    for (what, bytes) in [
        ("overlong", &b"\xC0\xAF"[..]),
        ("surrogate", b"\xED\xA0\x80"),
        ("cut", b"\xE2\x82"),
        ("beyond", b"\xF4\x90\x80\x80"),
        ("Latin-1", b"\xE9"),
        ("lone", b"\x80"),
    ] {
        let (before, after) = CALL.split_once("safe").unwrap();
        let bytes = [before.as_bytes(), bytes, after.as_bytes()].concat();
        variants.push(refused(format!("{what} UTF-8"), bytes));
    }
    for (from, to) in [
        ("\"method\"", "method"),
        ("\"method\"", "'method'"),
        ("\"safe\"", "'safe'"),
        ("\"safe\"", "safe"),
        ("\"safe\"", "True"),
        ("\"safe\"", "undefined"),
        ("\"/a\"", "\"/a\","),
        ("\"t\"", "\"t\",,"),
        (",\"id\"", " \"id\""),
        ("\"id\":1", "\"id\"=1"),
        ("\"id\":1", "\"id\"1"),
        ("\"id\":1", "\"id\":"),
        ("\"id\":1", "\"id\":1 2"),
        ("\"id\":1", "id:1"),
        ("{\"path\"", "{,\"path\""),
        ("\"/a\"", "[1,]"),
    ] {
        variants.push(refused(format!("{to} for {from}"), swap(from, to)));
    }
}

fn shapes(variants: &mut Vec<Variant>) {
    let swap = |from: &str, to: &str| CALL.replacen(from, to, 1);
    for (from, to) in [
        ("\"2.0\"", "\"1.0\""),
        ("\"2.0\"", "2.0"),
        ("\"2.0\"", "2"),
        ("\"2.0\"", "\"2.0 \""),
        ("\"2.0\"", "null"),
        ("\"jsonrpc\":\"2.0\",", ""),
        ("\"tools/call\"", "1"),
        ("\"tools/call\"", "null"),
        ("\"tools/call\"", "[\"tools/call\"]"),
        ("\"method\":\"tools/call\",", ""),
        ("\"safe\"", "1"),
        ("\"safe\"", "[\"safe\"]"),
        ("\"safe\"", "{\"a\":1}"),
        ("{\"path\":\"/a\"}", "[]"),
        ("{\"path\":\"/a\"}", "\"{}\""),
        ("{\"progressToken\":\"t\"}", "[]"),
        ("\"t\"", "1.5"),
        ("\"t\"", "{}"),
    ] {
        let text = swap(from, to);
        assert_ne!(text, CALL, "{from}");
        variants.push(refused(format!("{to} for {from}"), text));
    }
    for params in ["null", "[]", "[\"safe\"]", "\"x\"", "1", "true"] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        variants.push(refused(format!("params {params}"), text));
    }
}

/// Read alike by everybody, so nobody is turned away for them.
fn harmless(variants: &mut Vec<Variant>) {
    for (what, from, to) in [
        ("escaped method", "tools/call", "tools\\/call"),
        ("escaped tool", "\"safe\"", "\"s\\u0061fe\""),
        ("escaped member", "\"method\"", "\"m\\u0065thod\""),
        ("a pair of surrogates", "\"/a\"", "\"\\ud83d\\ude00\""),
        ("a character beyond the first plane", "\"/a\"", "\"😀\""),
        ("NUL in a value", "\"/a\"", "\"\\u0000\""),
        ("blanks", ":", " \t\r\n: "),
        ("an unknown member", "\"id\":1", "\"id\":1,\"extra\":{\"Method\":1}"),
        ("another argument", "\"/a\"", "\"/a\",\"other\":1.5e3"),
        ("a string id", "\"id\":1", "\"id\":\"1\""),
        ("a negative id", "\"id\":1", "\"id\":-1"),
        ("no arguments", "{\"path\":\"/a\"}", "null"),
        ("a foreign key in _meta", "\"t\"", "\"t\",\"traceparent\":\"00-0-0-01\""),
    ] {
        let text = CALL.replacen(from, to, 1);
        assert_ne!(text, CALL, "{from}");
        variants.push(accepted(what, text));
    }
}
