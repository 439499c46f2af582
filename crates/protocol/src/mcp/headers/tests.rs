use proptest::prelude::*;

use super::*;
use crate::mcp::strict::Limits;

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

fn modern(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}{META}}}}}"#)
}

fn old(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#)
}

fn verdict(headers: &[(&str, &str)], body: &str, default: Option<Revision>) -> Result<Revision, HeaderError> {
    let message = Message::read(body.as_bytes(), &Limits::default()).unwrap();
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
    agree(&HeaderView::read(headers), &message, default)
}

const CALL: &[(&str, &str)] = &[(PROTOCOL_VERSION, "2026-07-28"), (METHOD, "tools/call"), (NAME, "safe")];

fn call_body() -> String {
    modern("tools/call", r#""name":"safe","arguments":{},"#)
}

#[test]
fn a_modern_request_with_all_its_headers_agrees() {
    assert_eq!(verdict(CALL, &call_body(), None), Ok(Revision::V2026_07_28));
    for (method, params, name) in [
        ("prompts/get", r#""name":"p","#, "p"),
        ("resources/read", r#""uri":"file:\/\/\/é","#, "=?base64?ZmlsZTovLy/DqQ==?="),
        ("tasks/get", r#""taskId":"j","#, "j"),
        ("tasks/update", r#""taskId":"j","#, "j"),
        ("tasks/cancel", r#""taskId":" j","#, "=?base64?IGo=?="),
        ("tools/call", r#""name":"=?base64?eA==?=","#, "=?base64?PT9iYXNlNjQ/ZUE9PT89?="),
        ("tools/call", r#""name":"x","#, " \tx "),
        ("tools/call", r#""name":"x","#, "=?base64?eA==?="),
        ("tools/call", r#""name":"=?BASE64?eA==?=","#, "=?BASE64?eA==?="),
    ] {
        let headers = [(PROTOCOL_VERSION, "2026-07-28"), (METHOD, method), (NAME, name)];
        let verdict = verdict(&headers, &modern(method, params), None);
        assert_eq!(verdict, Ok(Revision::V2026_07_28), "{method} {name}");
    }
    // TR-19: a method that is gone is refused as unknown later, with its name or without.
    let headers = [(PROTOCOL_VERSION, "2026-07-28"), (METHOD, "resources/subscribe"), (NAME, "x")];
    assert_eq!(verdict(&headers, &modern("resources/subscribe", ""), None), Ok(Revision::V2026_07_28));
    for method in ["tools/list", "server/discover", "subscriptions/listen", "unknown/method"] {
        let headers = [(PROTOCOL_VERSION, "2026-07-28"), (METHOD, method)];
        assert_eq!(verdict(&headers, &modern(method, ""), None), Ok(Revision::V2026_07_28));
    }
}

/// ATK-65, TR-26, TR-27, TR-28, TR-29, TR-30, PX-27: whatever a header says that the body does not is refused.
#[test]
fn every_disagreement_between_header_and_body_is_refused() {
    let body = call_body();
    let cases: &[(&str, Option<&str>)] = &[
        (PROTOCOL_VERSION, None),
        (PROTOCOL_VERSION, Some("2025-11-25")),
        (PROTOCOL_VERSION, Some("2025-06-18")),
        (PROTOCOL_VERSION, Some("2026-07-29")),
        (PROTOCOL_VERSION, Some("")),
        (PROTOCOL_VERSION, Some("=?base64?MjAyNi0wNy0yOA==?=")),
        (METHOD, None),
        (METHOD, Some("tools/list")),
        (METHOD, Some("TOOLS/CALL")),
        (METHOD, Some("Tools/call")),
        (METHOD, Some("tools/call, tools/call")),
        (METHOD, Some("tools/call\0")),
        (METHOD, Some("=?base64?dG9vbHMvY2FsbA==?=")),
        (METHOD, Some("")),
        (NAME, None),
        (NAME, Some("danger")),
        (NAME, Some("Safe")),
        (NAME, Some("SAFE")),
        (NAME, Some("safe, safe")),
        (NAME, Some("\"safe\"")),
        (NAME, Some("safe\r\nX: y")),
        (NAME, Some("")),
        (NAME, Some("=?base64?c2FmZQ?=")),
        (NAME, Some("=?base64?c2FmZQ===?=")),
        (NAME, Some("=?base64?c2Fm ZQ==?=")),
        (NAME, Some("=?base64?c2FmZR==?=")),
        (NAME, Some("=?base64?ZGFuZ2Vy?=")),
        (NAME, Some("=?base64?/w==?=")),
        (NAME, Some("=?base64??=")),
        (NAME, Some("=?base64?=")),
        (NAME, Some("=?BASE64?c2FmZQ==?=")),
        (NAME, Some("=?base64?c2FmZQ==?= ?=")),
        (NAME, Some("c2FmZQ==")),
        (NAME, Some("sáfe")),
    ];
    for (header, value) in cases {
        let mut headers: Vec<_> = CALL.iter().copied().filter(|(name, _)| name != header).collect();
        headers.extend(value.map(|value| (*header, value)));
        let error = verdict(&headers, &body, None).expect_err(&format!("{header} {value:?}"));
        assert_eq!(error.code(), ErrorCode::HeaderMismatch, "{header} {value:?}: {error}");
        // Knowing the session's revision changes nothing about a modern request.
        for default in Revision::ALL {
            assert_eq!(verdict(&headers, &body, Some(default)), Err(error.clone()));
        }
    }
}

/// TR-30: a header that came twice, even with the same value, is refused in every revision.
#[test]
fn duplicate_headers_are_refused() {
    for twice in CALL {
        let headers = [CALL, &[*twice]].concat();
        assert_eq!(verdict(&headers, &call_body(), None), Err(HeaderError::Duplicate { header: twice.0.to_owned() }));
    }
    let headers = [(PROTOCOL_VERSION, "2025-11-25"), (PROTOCOL_VERSION, "2025-11-25")];
    assert!(verdict(&headers, &old("tools/list", ""), None).is_err());
}

/// TR-27: a name where the body has none to repeat, and none where the method needs one.
#[test]
fn a_name_without_counterpart_is_refused() {
    let with = |method: &str, name: Option<&'static str>, params: &str| {
        let mut headers = vec![(PROTOCOL_VERSION, "2026-07-28"), (METHOD, method)];
        headers.extend(name.map(|name| (NAME, name)));
        verdict(&headers, &modern(method, params), None).map_err(|error| error.code())
    };
    let mismatch = Err(ErrorCode::HeaderMismatch);
    assert_eq!(with("tools/list", Some("x"), ""), mismatch);
    assert_eq!(with("tools/call", Some("x"), ""), mismatch);
    assert_eq!(with("tools/call", None, ""), mismatch);
    assert_eq!(with("tools/call", Some("x"), r#""uri":"x","#), mismatch);
    assert_eq!(with("resources/read", Some("x"), r#""name":"x","#), mismatch);
    assert_eq!(with("tasks/get", Some("x"), r#""name":"x","#), mismatch);
}

/// TR-16: both required members of `_meta`, each dropped in turn, give −32602.
#[test]
fn a_modern_request_without_its_meta_is_refused() {
    let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
    let capabilities = r#""io.modelcontextprotocol/clientCapabilities":{}"#;
    for (meta, member) in [
        (String::new(), Meta::PROTOCOL_VERSION),
        (r#","_meta":{}"#.to_owned(), Meta::PROTOCOL_VERSION),
        (format!(r#","_meta":{{{capabilities}}}"#), Meta::PROTOCOL_VERSION),
        (format!(r#","_meta":{{{version}}}"#), Meta::CLIENT_CAPABILITIES),
        (
            format!(r#","_meta":{{{version},"io.modelcontextprotocol/clientCapabilities":null}}"#),
            Meta::CLIENT_CAPABILITIES,
        ),
    ] {
        let error = verdict(CALL, &old("tools/call", &format!(r#""name":"safe"{meta}"#)), None);
        assert_eq!(error, Err(HeaderError::MissingMeta { member }), "{meta}");
        assert_eq!(error.unwrap_err().code().code(), -32602);
    }
    let none = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let headers = [(PROTOCOL_VERSION, "2026-07-28"), (METHOD, "tools/list")];
    assert!(verdict(&headers, none, None).is_err());
}

/// TR-51, TR-30, PX-25, ATK-67: a request that is modern in one place is modern everywhere or refused.
#[test]
fn no_half_modern_request_passes_for_an_older_one() {
    let old_call = old("tools/call", r#""name":"safe""#);
    let modern_call = call_body();
    let capabilities_only =
        old("tools/call", r#""name":"safe","_meta":{"io.modelcontextprotocol/clientCapabilities":{}}"#);
    let mut cases = Vec::new();
    for version in [None, Some("2025-06-18"), Some("2025-11-25")] {
        let version = version.map(|version| (PROTOCOL_VERSION, version));
        for headers in [
            vec![(METHOD, "tools/list")],
            vec![(NAME, "danger")],
            vec![(METHOD, "tools/list"), (NAME, "safe")],
            vec![(METHOD, "tools/call"), (NAME, "danger")],
            vec![("mcp-param-tenant", "other")],
        ] {
            cases.push(([version.into_iter().collect(), headers].concat(), &old_call));
        }
        let version: Vec<_> = version.into_iter().collect();
        cases.push((version.clone(), &modern_call));
        cases.push((version, &capabilities_only));
    }
    for (headers, body) in cases {
        for default in [None].into_iter().chain(Revision::ALL.map(Some)) {
            let error = verdict(&headers, body, default).expect_err(&format!("{headers:?} {body}"));
            assert_eq!(error.code(), ErrorCode::HeaderMismatch, "{headers:?} {body}");
        }
    }
}

/// TR-12, TR-15: older requests go by their header, or by what the gateway knows of the session; else they are refused.
#[test]
fn older_requests_go_by_header_or_session() {
    let body = old("tools/call", r#""name":"safe","_meta":{"progressToken":1,"traceparent":"x"}"#);
    for revision in [Revision::V2025_06_18, Revision::V2025_11_25] {
        let headers = [(PROTOCOL_VERSION, revision.as_str())];
        assert_eq!(verdict(&headers, &body, None), Ok(revision));
        assert_eq!(verdict(&[], &body, Some(revision)), Ok(revision));
    }
    let missing = Err(HeaderError::missing(PROTOCOL_VERSION));
    assert_eq!(verdict(&[], &body, None), missing);
    assert_eq!(verdict(&[], &body, Some(Revision::V2026_07_28)), missing);
}

/// TR-15, ATK-67: within a session, 2025-03-26 says no more than no header; elsewhere it is a version that is not served.
#[test]
fn the_version_that_is_assumed_changes_no_session() {
    let body = old("tools/call", r#""name":"safe""#);
    let headers = [(PROTOCOL_VERSION, "2025-03-26")];
    for revision in [Revision::V2025_06_18, Revision::V2025_11_25] {
        assert_eq!(verdict(&headers, &body, Some(revision)), Ok(revision));
        assert!(verdict(&[headers[0], (METHOD, "tools/list")], &body, Some(revision)).is_err());
        assert!(verdict(&headers, &call_body(), Some(revision)).is_err());
    }
    let unsupported = Err(HeaderError::Unsupported { requested: "2025-03-26".to_owned() });
    assert_eq!(verdict(&headers, &body, None), unsupported);
    assert_eq!(verdict(&headers, &body, Some(Revision::V2026_07_28)), unsupported);
}

/// TR-15, TR-49: the two revisions before those that are served exist in a session that agreed on one of them, and
/// nowhere else.
#[test]
fn an_older_version_is_known_where_the_session_agreed_on_it() {
    let body = old("tools/call", r#""name":"safe""#);
    for revision in [Revision::V2024_11_05, Revision::V2025_03_26] {
        let headers = [(PROTOCOL_VERSION, revision.as_str())];
        assert_eq!(verdict(&headers, &body, Some(revision)), Ok(revision));
        assert_eq!(verdict(&[], &body, Some(revision)), Ok(revision));
        assert!(verdict(&headers, &call_body(), Some(revision)).is_err());
        assert!(verdict(&headers, &body, None).is_err());
    }
    let headers = [(PROTOCOL_VERSION, "2024-11-05")];
    let unsupported = Err(HeaderError::Unsupported { requested: "2024-11-05".to_owned() });
    for other in [Revision::V2025_03_26, Revision::V2025_06_18, Revision::V2025_11_25, Revision::V2026_07_28] {
        assert_eq!(verdict(&headers, &body, Some(other)), unsupported);
    }
}

/// TR-51, ATK-65, ATK-67: an older request may repeat its method and its name in headers, if it repeats them truly.
/// mcp-remote 0.15.1 sends both with every message, `initialize` without a version header among them.
#[test]
fn an_older_request_may_repeat_its_method_and_its_name() {
    let initialize = old("initialize", r#""protocolVersion":"2025-11-25","capabilities":{}"#);
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let call = old("tools/call", r#""name":"é""#);
    let read = old("resources/read", r#""uri":"file:///a""#);
    let list = old("tools/list", "");
    let version = (PROTOCOL_VERSION, "2025-11-25");
    let november = Revision::V2025_11_25;
    assert_eq!(verdict(&[(METHOD, "initialize")], &initialize, None), Ok(november));
    for (headers, body) in [
        (vec![(METHOD, "initialize")], initialize.as_str()),
        (vec![(METHOD, "notifications/initialized")], initialized),
        (vec![(METHOD, "tools/call"), (NAME, "=?base64?w6k=?=")], &call),
        (vec![(METHOD, "tools/call")], &call),
        (vec![(NAME, "=?base64?w6k=?=")], &call),
        (vec![(METHOD, "resources/read"), (NAME, "file:///a")], &read),
        (vec![(METHOD, "tools/list")], &list),
    ] {
        let with = [&[version], headers.as_slice()].concat();
        assert_eq!(verdict(&with, body, None), Ok(november), "{with:?}");
        assert_eq!(verdict(&headers, body, Some(november)), Ok(november), "{headers:?}");
        // ATK-65: whatever is wrong with one of them refuses the request.
        for index in 0..headers.len() {
            for wrong in ["ping", "Tools/Call", "=?base64?dG9vbHMvY2FsbA==?=", "", "é", "x"] {
                let mut headers = with.clone();
                headers[index + 1].1 = wrong;
                let error = verdict(&headers, body, None).expect_err(&format!("{headers:?}"));
                assert_eq!(error.code(), ErrorCode::HeaderMismatch, "{headers:?}");
            }
            let twice = [with.as_slice(), &with[index + 1..=index + 1]].concat();
            assert!(verdict(&twice, body, None).is_err(), "{twice:?}");
        }
    }
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    for (headers, body) in [
        (vec![version, (METHOD, "initialize"), (NAME, "safe")], initialize.as_str()),
        (vec![version, (METHOD, "tools/list"), ("mcp-param-tenant", "other")], &list),
        (vec![version, (METHOD, "tools/list")], answer),
        (vec![version, (NAME, "")], &list),
        (vec![(METHOD, "tools/list")], &list),
    ] {
        let error = verdict(&headers, body, None).expect_err(&format!("{headers:?}"));
        assert_eq!(error.code(), ErrorCode::HeaderMismatch, "{headers:?}");
    }
}

/// TR-14, ATK-67: versions that are not served, old, new and invented, are named in a −32022.
#[test]
fn unsupported_versions_are_refused_by_name() {
    for version in ["1900-01-01", "2024-11-05", "2025-03-26", "2027-01-01", "DRAFT-2026", "x"] {
        let body = old("tools/list", "");
        let error = verdict(&[(PROTOCOL_VERSION, version)], &body, None).unwrap_err();
        assert_eq!(error, HeaderError::Unsupported { requested: version.to_owned() });
        assert_eq!(error.code().code(), -32022);
        let body = call_body().replace("2026-07-28", version);
        let headers = [(PROTOCOL_VERSION, version), (METHOD, "tools/call"), (NAME, "safe")];
        assert_eq!(verdict(&headers, &body, None), Err(error));
    }
    let long = "9".repeat(500);
    let error = verdict(&[(PROTOCOL_VERSION, &long)], &old("ping", ""), None).unwrap_err();
    assert!(error.to_string().len() < 100);
}

/// TR-50: `initialize` comes before there is a version, and stays in the older era whatever it proposes.
#[test]
fn initialize_belongs_to_the_revision_it_proposes() {
    for (proposed, revision) in [
        ("2025-06-18", Revision::V2025_06_18),
        ("2025-11-25", Revision::V2025_11_25),
        ("2024-11-05", Revision::V2025_11_25),
        ("2026-07-28", Revision::V2025_11_25),
    ] {
        let body = old("initialize", &format!(r#""protocolVersion":"{proposed}","capabilities":{{}}"#));
        assert_eq!(verdict(&[], &body, None), Ok(revision), "{proposed}");
        let headers = [(PROTOCOL_VERSION, "2025-11-25")];
        assert_eq!(verdict(&headers, &body, None), Ok(revision), "{proposed}");
        assert!(verdict(&[(METHOD, "tools/list")], &body, None).is_err());
    }
    let told = r#"{"jsonrpc":"2.0","method":"initialize","params":{}}"#;
    assert!(verdict(&[], told, None).is_err());
}

/// TR-08: clients answer nothing in the modern revision; in the older ones they do.
#[test]
fn answers_from_clients_exist_in_the_older_revisions_only() {
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert_eq!(verdict(&[(PROTOCOL_VERSION, "2026-07-28")], answer, None), Err(HeaderError::Response));
    assert_eq!(verdict(&[(PROTOCOL_VERSION, "2025-11-25")], answer, None), Ok(Revision::V2025_11_25));
}

/// TR-09: a modern notification needs its version; what else it carries must agree.
#[test]
fn modern_notifications_need_only_their_version() {
    let body = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let version = (PROTOCOL_VERSION, "2026-07-28");
    assert_eq!(verdict(&[version], body, None), Ok(Revision::V2026_07_28));
    let method = (METHOD, "notifications/cancelled");
    assert_eq!(verdict(&[version, method], body, None), Ok(Revision::V2026_07_28));
    assert!(verdict(&[version, (METHOD, "ping")], body, None).is_err());
    assert!(verdict(&[method], body, None).is_err());
}

/// PX-30: too long and too many are refused before anything is decoded.
#[test]
fn oversize_headers_are_refused() {
    let long = "x".repeat(VALUE_BYTES_MAX + 1);
    let headers = [(PROTOCOL_VERSION, "2026-07-28"), (METHOD, "tools/call"), (NAME, &long)];
    assert_eq!(verdict(&headers, &call_body(), None), Err(HeaderError::Oversize));
    let headers = [CALL, &[("mcp-param-x", long.as_str())]].concat();
    assert_eq!(verdict(&headers, &call_body(), None), Err(HeaderError::Oversize));
    let params: Vec<_> = (0..5000).map(|index| format!("mcp-param-{index}")).collect();
    let many: Vec<_> = params.iter().map(|name| (name.as_str(), "x")).collect();
    let headers = [CALL, &many].concat();
    assert_eq!(verdict(&headers, &call_body(), None), Err(HeaderError::Oversize));
    let headers = [CALL, &many[..PARAMS_MAX]].concat();
    assert_eq!(verdict(&headers, &call_body(), None), Ok(Revision::V2026_07_28));
}

/// GET and DELETE have a version and no body.
#[test]
fn requests_without_a_body_name_their_version_too() {
    let revision = |headers: &[(&'static str, &'static str)]| {
        HeaderView::read(headers.iter().map(|(name, value)| (*name, value.as_bytes()))).revision(None)
    };
    assert_eq!(revision(&[]), Ok(None));
    assert_eq!(revision(&[(PROTOCOL_VERSION, " 2025-06-18")]), Ok(Some(Revision::V2025_06_18)));
    assert!(revision(&[(PROTOCOL_VERSION, "2025-03-26")]).is_err());
    assert!(revision(&[(PROTOCOL_VERSION, "2025-06-18"); 2]).is_err());
}

/// TR-28: the examples of the specification.
#[test]
fn values_are_encoded_as_the_specification_shows() {
    for (value, encoded) in [
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("=?base64?=", "=?base64?PT9iYXNlNjQ/PQ==?="),
        ("=?base64?open", "=?base64?open"),
        ("a b", "a b"),
        ("", ""),
    ] {
        assert_eq!(encode_value(value), encoded);
        assert_eq!(decode_value(encoded.as_bytes()).unwrap(), value);
    }
}

proptest! {
    /// TR-28: whatever is encoded is a header value, and decodes to what it was.
    #[test]
    fn every_value_survives_the_header(value in any::<String>()) {
        let encoded = encode_value(&value);
        prop_assert!(encoded.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')));
        prop_assert_eq!(trim(encoded.as_bytes()), encoded.as_bytes());
        prop_assert_eq!(decode_value(encoded.as_bytes()).unwrap(), value.as_str());
    }

    #[test]
    fn any_header_bytes_decode_or_are_refused(
        value in proptest::collection::vec(any::<u8>(), 0..60),
        wrapped in any::<bool>(),
    ) {
        let (start, end): (&[u8], &[u8]) = if wrapped { (b"=?base64?", b"?=") } else { (b"", b"") };
        let value = [start, &value, end].concat();
        if let Ok(decoded) = decode_value(&value) {
            // One value has one encoded spelling, and the plain one.
            let again = encode_value(&decoded);
            let canonical = format!("=?base64?{}?=", STANDARD.encode(decoded.as_bytes()));
            let sent = trim(&value);
            prop_assert!(sent == again.as_bytes() || sent == canonical.as_bytes());
        }
    }
}
