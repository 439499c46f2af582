use http::{HeaderMap, HeaderName, HeaderValue};

use super::{CallFault, accepts, admit, is_resource_uri};

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

/// TR-07: a client lists what it takes; ranges count, a weight of 0 does not.
#[test]
fn accept_lists_both_kinds_of_answer() {
    for (accept, both) in [
        ("application/json, text/event-stream", true),
        ("text/event-stream,application/json", true),
        ("*/*", true),
        ("application/*, text/*", true),
        ("APPLICATION/JSON;q=0.9, Text/Event-Stream;q=0.1", true),
        ("application/json", false),
        ("text/event-stream", false),
        ("application/json, text/event-stream;q=0", false),
        ("application/json, text/html", false),
        ("", false),
    ] {
        let map = headers(&[("accept", accept), ("content-type", "application/json")]);
        assert_eq!(admit(&map).is_ok(), both, "{accept}");
    }
    assert!(!accepts(&HeaderMap::new(), "application/json"));
}

/// ATK-68: what is not plain JSON is not read at all.
#[test]
fn only_plain_json_is_read() {
    let accept = ("accept", "*/*");
    for (pairs, expected) in [
        (&[accept, ("content-type", "application/json")][..], "ok"),
        (&[accept, ("content-type", "application/json; charset=utf-8")], "ok"),
        (&[accept, ("content-type", "Application/JSON")], "ok"),
        (&[accept], "type"),
        (&[accept, ("content-type", "text/plain")], "type"),
        (&[accept, ("content-type", "application/jsonp")], "type"),
        (&[accept, ("content-type", "multipart/form-data; boundary=application/json")], "type"),
        (&[accept, ("content-type", "application/json"), ("content-encoding", "gzip")], "encoding"),
        (&[accept, ("content-type", "application/json"), ("content-encoding", "identity")], "encoding"),
    ] {
        let found = match admit(&headers(pairs)) {
            Ok(()) => "ok",
            Err(CallFault::ContentType) => "type",
            Err(CallFault::ContentEncoding) => "encoding",
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, expected, "{pairs:?}");
    }
    let mut twice = headers(&[accept, ("content-type", "application/json")]);
    twice.append("content-type", HeaderValue::from_static("application/json"));
    assert!(matches!(admit(&twice), Err(CallFault::ContentType)));
}

/// RS-62: a resource is named by an absolute URI that climbs out of nothing.
#[test]
fn a_resource_uri_is_absolute_and_does_not_climb() {
    for (uri, fine) in [
        ("file:///notes/a.txt", true),
        ("demo://resource/static/1", true),
        ("urn:x:y", true),
        ("file:///a/..b/c", true),
        ("", false),
        ("notes", false),
        ("/etc/passwd", false),
        (":x", false),
        ("1a:x", false),
        ("file:", false),
        ("file:///../../etc/passwd", false),
        ("file:///a/%2e%2e/%2E%2e/etc/passwd", false),
        ("file:///a%2f..%2fb", false),
        ("file:///a\\..\\b", false),
        ("file:///a/..?x", false),
        ("file:///a\nb", false),
    ] {
        assert_eq!(is_resource_uri(uri), fine, "{uri}");
    }
}
