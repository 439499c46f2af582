use proptest::prelude::*;
use url::Url;

use super::{NotCanonical, PatternPart, ResourceUri, UriFault, folded_pattern};

fn fault(text: &str) -> Option<UriFault> {
    ResourceUri::parse(text).err().map(|refused| refused.why)
}

/// What real servers list: the reference server, the examples of the SDKs, FastMCP, the quick starts.
#[test]
fn what_real_servers_list_is_canonical() {
    for text in [
        "demo://resource/static/document/features.md",
        "demo://resource/static/document/how%20it%20works%3F.md",
        "demo://resource/dynamic/text/1",
        "demo://resource/session/my-file",
        "file:///example/file1.txt",
        "file:///home/user/",
        "file:///C:/Users/x/a.txt",
        "test://static-text",
        "test://template/123/data",
        "https://example.com/greetings/default",
        "http://localhost:8080/",
        "http://[::1]:8080/a",
        "greeting://Alice",
        "docs://README.md",
        "config://app",
        "notes://",
        "note:///inbox/1",
        "repo://owner/repo/sha/abc123/contents/src/main.rs",
        "postgres://user@db.internal:5432/shop/orders/schema",
        "search://items?q=a%26b&path=src%2Fmain.rs",
        "urn:isbn:0451450523",
        "urn:x:y",
        "mailto:a@b.example",
        "ui://widget/show.html",
        "note://%E8%AA%AD%E3%82%80/1",
        "file:///a/..b/c...d/.hidden",
        "file:///100%25%20done",
        "x-y.z+1:a",
    ] {
        assert_eq!(fault(text), None, "{text}");
    }
}

/// RS-62, ATK-101: every other spelling is refused, for its own reason, and the canonical form is named where there is one.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of spellings")]
fn every_other_spelling_is_refused() {
    let b = Some("file:///priv/b");
    let mut others = Vec::new();
    for (text, why, canonical) in [
        ("FILE:///priv/b", UriFault::Spelling, b),
        ("File:///priv/b", UriFault::Spelling, b),
        ("file:/priv/b", UriFault::SingleSlash, b),
        ("file:priv/b", UriFault::Spelling, b),
        ("file://localhost/priv/b", UriFault::FileHost, b),
        ("file://LOCALHOST/priv/b", UriFault::FileHost, b),
        ("file://127.0.0.1/priv/b", UriFault::FileHost, None),
        ("file:///./priv/b", UriFault::DotSegment, b),
        ("file:///x/../priv/b", UriFault::DotSegment, b),
        ("file:///x/%2e%2e/priv/b", UriFault::EncodingDigits, b),
        ("file:///x/%2E%2E/priv/b", UriFault::EncodedNeedlessly('.'), b),
        ("file:///x/..;/priv/b", UriFault::DotSegment, None),
        ("file:///x/.;y/priv/b", UriFault::DotSegment, None),
        ("file:///x/..%20/priv/b", UriFault::DotSegment, None),
        ("file:///x/%252e%252e/priv/b", UriFault::Encoded, None),
        ("file:///x%252f../priv/b", UriFault::Encoded, None),
        ("file:///priv%2Fb", UriFault::Encoded, None),
        ("file:///priv%2fb", UriFault::EncodingDigits, None),
        ("file:///priv%5Cb", UriFault::Encoded, None),
        ("file:///priv\\b", UriFault::Character('\\'), b),
        ("file:\\\\\\priv\\b", UriFault::Character('\\'), b),
        ("file:///%70riv/b", UriFault::EncodedNeedlessly('p'), b),
        ("file:///priv//b", UriFault::EmptySegment, None),
        ("file:////priv/b", UriFault::EmptySegment, b),
        ("file:///priv/b#", UriFault::Fragment, b),
        ("file:///priv/b#x", UriFault::Fragment, b),
        (" file:///priv/b", UriFault::Relative, b),
        ("file:///priv/b ", UriFault::Character(' '), b),
        ("file:///pri\tv/b", UriFault::Character('\t'), b),
        ("file:///priv/b\n", UriFault::Character('\n'), b),
        ("file:///priv/b%00", UriFault::Encoded, None),
        ("file:///priv/%C0%AE%C0%AE", UriFault::NotUtf8, None),
        ("file:///priv/%C1%A2", UriFault::NotUtf8, None),
        ("file:///priv/%ED%A0%80", UriFault::NotUtf8, None),
        ("file:///pr%E2%80%8Biv/b", UriFault::Invisible, None),
        ("file:///pr%C2%ADiv/b", UriFault::Invisible, None),
        ("file:///priv%EF%BC%8Fb", UriFault::Encoded, None),
        ("file:///x/%EF%BC%8E%EF%BC%8E/priv/b", UriFault::DotSegment, None),
        ("file:///x/%EF%BC%852e./priv", UriFault::Encoded, None),
        ("file:///C|/b", UriFault::Character('|'), Some("file:///C%7C/b")),
        ("note:/priv/b", UriFault::SingleSlash, Some("note:///priv/b")),
        ("NOTE://priv/b", UriFault::Spelling, Some("note://priv/b")),
        ("note://priv:/b", UriFault::Spelling, Some("note://priv/b")),
        ("note://@priv/b", UriFault::Spelling, Some("note://priv/b")),
        ("note://priv/a/../b", UriFault::DotSegment, Some("note://priv/b")),
        ("note://priv/é", UriFault::Character('é'), Some("note://priv/%C3%A9")),
        ("note://priv/%c3%a9", UriFault::EncodingDigits, Some("note://priv/%C3%A9")),
        ("note://priv/a b", UriFault::Character(' '), Some("note://priv/a%20b")),
        ("note://priv/a[1]", UriFault::Character('['), None),
        ("note://priv/?path=../x", UriFault::DotSegment, None),
        ("note://priv/?path=..%2Fx", UriFault::DotSegment, None),
        ("note://priv/?path=./x", UriFault::DotSegment, None),
        ("https://example.com", UriFault::Spelling, Some("https://example.com/")),
        ("https://EXAMPLE.com/", UriFault::Spelling, Some("https://example.com/")),
        ("https://example.com:443/", UriFault::Spelling, Some("https://example.com/")),
        ("https://example.com./", UriFault::Spelling, None),
        ("https://user@example.com/", UriFault::UserInfo, None),
        ("http://0x7f.1/", UriFault::Spelling, Some("http://127.0.0.1/")),
        ("http://bücher.example/", UriFault::Character('ü'), Some("http://xn--bcher-kva.example/")),
        ("urn:x:../y", UriFault::DotSegment, None),
        ("urn:x%2Fy", UriFault::Encoded, None),
        ("", UriFault::Relative, None),
        ("notes", UriFault::Relative, None),
        ("/etc/passwd", UriFault::Relative, None),
        (":x", UriFault::Relative, None),
        ("1a:x", UriFault::Relative, None),
        ("file:", UriFault::Relative, Some("file:///")),
    ] {
        let refused = ResourceUri::parse(text).expect_err(text);
        if (refused.why, refused.canonical.as_deref()) != (why, canonical) {
            others.push((text, refused));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
    let long = format!("note://priv/{}", "a".repeat(ResourceUri::BYTES_MAX));
    assert_eq!(ResourceUri::parse(&long), Err(NotCanonical { why: UriFault::TooLong, canonical: None }));
}

#[test]
fn a_refusal_names_the_form_to_use() {
    let told = |text: &str| ResourceUri::parse(text).unwrap_err().to_string();
    assert_eq!(
        told("file:/priv/b"),
        "not the canonical form of a resource's URI: one slash after the scheme is read like three by many servers; use `file:///priv/b`"
    );
    assert_eq!(
        told("file:///a%2Fb"),
        "not the canonical form of a resource's URI: an encoded slash, backslash, control character or percent sign is read differently by different servers"
    );
    assert!(!told("file:///a\u{202e}b").contains('\u{202e}'), "what turns the direction of writing is not repeated");
}

/// ATK-102: a template is held to the same form, its expressions apart.
#[test]
fn a_template_is_canonical_but_for_its_expressions() {
    for text in [
        "file:///priv/{name}",
        "file:///{+path}",
        "repo://{owner}/{repo}/contents{/path*}",
        "search://items{?q,page*}",
        "search://items?kind=a{&q}",
        "demo://resource/dynamic/text/{resourceId}",
        "greeting://{name}",
        "note://a{;version}/b{.format}",
        "note://plain",
    ] {
        assert!(ResourceUri::parse_template(text).is_ok(), "{text}");
    }
    for text in [
        "FILE:///priv/{name}",
        "file:/priv/{name}",
        "file:///x/../priv/{name}",
        "file:///priv//{name}",
        "file:///%70riv/{name}",
        "file:///priv/{name",
        "file:///priv/name}",
        "file:///priv/{}",
        "file:///priv/{..}/{na me}",
        "file:///priv/{#name}",
        "file:///priv/{{name}}",
        "../{name}",
        "{+uri}",
    ] {
        assert!(ResourceUri::parse_template(text).is_err(), "{text}");
    }
    let template = ResourceUri::parse_template("file:///priv/{name}").unwrap();
    assert_eq!(template.as_str(), "file:///priv/{name}");
    assert_eq!(template.readings()[0], "file:priv/x/");
}

/// ATK-103: what a task or a rule names by its beginning is a beginning of something that can be asked for.
#[test]
fn a_beginning_is_one_of_a_canonical_uri() {
    for text in ["", "file", "file:", "file://", "file:///", "file:///pub/", "file:///pub/a", "note://p", "https://h"] {
        assert!(ResourceUri::is_beginning(text), "{text}");
    }
    for text in ["FILE:///", "file:/pub/", "file:///pub/../", "file:///a//", "file:///%70", "file:///a b", "File", "/"]
    {
        assert!(!ResourceUri::is_beginning(text), "{text}");
    }
}

fn whole(text: &str) -> String {
    match folded_pattern(&[PatternPart::Text(text.to_owned())]).as_slice() {
        [PatternPart::Text(text)] => text.clone(),
        other => panic!("{other:?}"),
    }
}

/// ATK-104: what a server may fold beyond its URL parser is one of the readings, and a rule's text is folded alike.
#[test]
fn what_a_server_may_fold_is_a_reading() {
    let named = whole("note://priv/Straße, b");
    for text in [
        "note://priv/Stra%C3%9Fe,%20b",
        "note://priv/stra%C3%9Fe,%20b",
        "note://PRIV/STRASSE%2C%20B",
        "note://priv/strasse,%20b/",
        "note://priv/strasse,%20b.",
        "note://priv/strasse,%20b%20",
        "note://priv/strasse,%20b?x=1",
        "note://priv/strasse,%20b;x=1",
        "note://someone@priv/strasse,%20b",
        "note:///priv/strasse,%20b",
        "note://priv:80/strasse,%20b",
        "note://someone@priv:80/strasse,%20b?x#".trim_end_matches('#'),
    ] {
        let readings = ResourceUri::parse(text).expect(text).readings();
        assert!(readings.contains(&named), "{text}: {readings:?}");
    }
    for text in
        ["note://priv/strasse", "note://pub/strasse,%20b", "note://priv/strasse,_b", "notes://priv/strasse,%20b"]
    {
        let readings = ResourceUri::parse(text).unwrap().readings();
        assert!(!readings.contains(&named), "{text}: {readings:?}");
    }
}

#[test]
fn a_pattern_folds_around_its_wildcards() {
    let text = |text: &str| PatternPart::Text(text.to_owned());
    let wild = PatternPart::Wildcard;
    for (pattern, folded) in [
        (vec![text("file:///Priv/"), wild.clone()], vec![text("file:priv/"), wild.clone()]),
        (vec![text("file:///a."), wild.clone()], vec![text("file:a."), wild.clone()]),
        (vec![wild.clone(), text(".Secret")], vec![wild.clone(), text(".secret/")]),
        (vec![text("x://a?q="), wild.clone(), text("B")], vec![text("x:a/?q="), wild.clone(), text("b")]),
        (vec![wild.clone(), text("?Q")], vec![wild.clone(), text("?q")]),
    ] {
        assert_eq!(folded_pattern(&pattern), folded, "{pattern:?}");
    }
}

fn anything() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        4 => "[a-zA-Z0-9]{1,4}",
        3 => "[/:?#@;&=.,\\\\ |^\\[\\]{}<>\"'!*()$+~_-]{1,3}",
        2 => "%[0-9a-fA-F]{2}",
        1 => Just("%252e".to_owned()),
        1 => Just("..".to_owned()),
        1 => "\\PC",
        1 => prop_oneof![Just("é".to_owned()), Just("／".to_owned()), Just("\u{200b}".to_owned()), Just("．．".to_owned())],
    ];
    let scheme = prop_oneof![
        Just("file:///"),
        Just("FILE:///"),
        Just("file:"),
        Just("note://"),
        Just("http://"),
        Just("https://H/"),
        Just("urn:"),
        Just("note:/"),
        Just("")
    ];
    (scheme, proptest::collection::vec(pieces, 0..8))
        .prop_map(|(scheme, pieces)| format!("{scheme}{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// ATK-101: what is accepted comes back unchanged from a WHATWG parser (Node, pydantic), from RFC 3986 §6.2.2, and
    /// from a server that decodes, cleans the path and encodes again; and the form that a refusal names is accepted.
    #[test]
    fn an_accepted_text_is_what_every_normalisation_gives_back(text in anything()) {
        match ResourceUri::parse(&text) {
            Ok(uri) => {
                prop_assert_eq!(uri.as_str(), &text);
                let url = Url::parse(&text).unwrap();
                prop_assert_eq!(url.as_str(), &text);
                prop_assert!(!text.contains(['#', '\\']) && text.is_ascii());
                let path = url.path();
                prop_assert!(!path.split('/').any(|segment| segment == "." || segment == ".."));
                prop_assert!(!path.contains("//"));
                let scheme = text.split(':').next().unwrap();
                prop_assert_eq!(scheme, scheme.to_ascii_lowercase());
                // Decoded once or twice, nothing climbs and no segment is won.
                let once = super::decoded(path);
                let twice = super::decoded(&once);
                prop_assert_eq!(&once, &twice);
                prop_assert_eq!(once.matches(['/', '\\']).count(), path.matches('/').count());
                // One reading is always the whole of it.
                prop_assert_eq!(uri.readings()[0].matches('?').count() >= text.matches('?').count(), true);
            }
            Err(refused) => {
                if let Some(canonical) = refused.canonical {
                    prop_assert_ne!(&canonical, &text);
                    prop_assert!(ResourceUri::parse(&canonical).is_ok());
                }
            }
        }
    }

    /// A URI stands for itself in a rule: its own text, folded, is its first reading.
    #[test]
    fn a_uri_folds_to_its_first_reading(text in anything()) {
        if let Ok(uri) = ResourceUri::parse(&text) {
            prop_assert_eq!(whole(&text), uri.readings()[0].clone());
        }
    }
}
