use http::{HeaderMap, HeaderName, HeaderValue};

use super::{CallFault, accepts, admit};

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

/// TR-07: a client lists what it takes. Ranges count, a weight of 0 does not.
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

/// ATK-68: a body that is not plain JSON is not read at all.
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
