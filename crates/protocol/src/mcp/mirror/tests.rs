use super::*;

fn annotations(schema: &str) -> Result<Annotations, AnnotationError> {
    let raw: &RawValue = serde_json::from_str(schema).unwrap();
    Annotations::read(raw)
}

const SCHEMA: &str = r#"{"type":"object","properties":{
    "region":{"type":"string","x-mcp-header":"Region"},
    "count":{"type":"integer","x-mcp-header":"Count"},
    "dry":{"type":["boolean","null"],"x-mcp-header":"Dry-Run"},
    "where":{"type":"object","properties":{"tenant":{"type":"string","x-mcp-header":"Tenant"}}},
    "query":{"type":"string"}}}"#;

fn agree(headers: &[(&str, &str)], arguments: &str) -> Result<(), HeaderError> {
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
    params_agree(&annotations(SCHEMA).unwrap(), &HeaderView::read(headers), Some(arguments))
}

#[test]
fn annotations_are_found_along_properties() {
    let found: Vec<_> = annotations(SCHEMA)
        .unwrap()
        .iter()
        .map(|annotation| (annotation.path.join("."), annotation.header.clone()))
        .collect();
    let expected = [
        ("count", "mcp-param-count"),
        ("dry", "mcp-param-dry-run"),
        ("region", "mcp-param-region"),
        ("where.tenant", "mcp-param-tenant"),
    ];
    assert_eq!(found, expected.map(|(path, header)| (path.to_owned(), header.to_owned())));
}

/// TR-32: names that are no token, repeat, or stand where no argument can be found.
#[test]
fn invalid_annotations_make_the_definition_invalid() {
    use AnnotationError::{Name, Primitive, Repeated, Unreachable};
    let property = |property: &str| format!(r#"{{"properties":{{"a":{property}}}}}"#);
    let cases = [
        (property(r#"{"type":"string","x-mcp-header":""}"#), Name),
        (property(r#"{"type":"string","x-mcp-header":"a b"}"#), Name),
        (property(r#"{"type":"string","x-mcp-header":"a:b"}"#), Name),
        (property(r#"{"type":"string","x-mcp-header":"a\r\nb"}"#), Name),
        (property(r#"{"type":"string","x-mcp-header":"é"}"#), Name),
        (property(r#"{"type":"string","x-mcp-header":true}"#), Name),
        (property(r#"{"type":"string","x-mcp-\u0068eader":""}"#), Name),
        (property(r#"{"type":"number","x-mcp-header":"A"}"#), Primitive),
        (property(r#"{"type":"object","x-mcp-header":"A"}"#), Primitive),
        (property(r#"{"type":"array","x-mcp-header":"A"}"#), Primitive),
        (property(r#"{"type":["string","integer"],"x-mcp-header":"A"}"#), Primitive),
        (property(r#"{"x-mcp-header":"A"}"#), Primitive),
        (r#"{"type":"string","x-mcp-header":"A"}"#.to_owned(), Unreachable),
        (property(r#"{"items":{"type":"string","x-mcp-header":"A"}}"#), Unreachable),
        (property(r#"{"prefixItems":[{"type":"string","x-mcp-header":"A"}]}"#), Unreachable),
        (property(r#"{"anyOf":[{"type":"string","x-mcp-header":"A"}]}"#), Unreachable),
        (property(r#"{"not":{"type":"string","x-mcp-header":"A"}}"#), Unreachable),
        (
            r#"{"then":{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}"#.to_owned(),
            Unreachable,
        ),
        (
            r##"{"$defs":{"d":{"type":"string","x-mcp-header":"A"}},"properties":{"a":{"$ref":"#/$defs/d"}}}"##
                .to_owned(),
            Unreachable,
        ),
        (
            r#"{"additionalProperties":{"type":"string","x-mcp-header":"A"}}"#.to_owned(),
            Unreachable,
        ),
        (
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"Same"},"b":{"type":"string","x-mcp-header":"sAME"}}}"#
                .to_owned(),
            Repeated,
        ),
    ];
    for (schema, error) in cases {
        assert_eq!(annotations(&schema), Err(error), "{schema}");
    }
}

#[test]
fn what_only_looks_like_an_annotation_is_none() {
    for schema in [
        r#"{"properties":{"x-mcp-header":{"type":"string"}}}"#,
        r#"{"properties":{"a":{"default":{"x-mcp-header":""},"enum":[{"x-mcp-header":1}],"const":{"x-mcp-header":1}}}}"#,
        r#"{"description":"x-mcp-header"}"#,
        "{}",
        "true",
    ] {
        assert_eq!(annotations(schema), Ok(Annotations::default()), "{schema}");
    }
}

/// PX-18, ATK-93: a schema of very many subschemas is refused rather than walked.
#[test]
fn huge_schemas_are_refused() {
    let many = vec![r#"{"x":{"y":{}}}"#; 20_000].join(",");
    let schema = format!(r#"{{"x-mcp-header":"A","anyOf":[{many}]}}"#);
    assert!(annotations(&schema).is_err());
    let schema = format!(r#"{{"anyOf":[{many},{{"x-mcp-header":"A"}}]}}"#);
    assert!(annotations(&schema).is_err());
    let deep = format!(r#"{{"a":{}"x-mcp-header"{}}}"#, "[".repeat(300), "]".repeat(300));
    assert_eq!(annotations(&deep), Err(AnnotationError::Schema));
}

/// TR-34: the four scenarios of the specification, for each type, and every way to disagree.
#[test]
fn mirrored_arguments_agree_with_the_body_or_are_refused() {
    let region = "mcp-param-region";
    let tenant = "mcp-param-tenant";
    let accepted: &[(&[(&str, &str)], &str)] = &[
        (&[], "{}"),
        (&[], r#"{"region":null,"where":null,"count":null}"#),
        (&[], r#"{"where":{}}"#),
        (&[], r#"{"where":"elsewhere","query":"x"}"#),
        (&[(region, "eu")], r#"{"region":"eu"}"#),
        (&[(region, " eu ")], r#"{"region":"\u0065u"}"#),
        (&[(region, "=?base64?4oKs?=")], r#"{"region":"€"}"#),
        (&[(region, "")], r#"{"region":""}"#),
        (&[(tenant, "t")], r#"{"where":{"tenant":"t"}}"#),
        (&[("mcp-param-dry-run", "true")], r#"{"dry":true}"#),
        (&[("mcp-param-unknown", "x")], "{}"),
    ];
    for (headers, arguments) in accepted {
        assert_eq!(agree(headers, arguments), Ok(()), "{headers:?} {arguments}");
    }
    let refused: &[(&[(&str, &str)], &str)] = &[
        (&[], r#"{"region":"eu"}"#),
        (&[], r#"{"where":{"tenant":"t"}}"#),
        (&[], r#"{"dry":false}"#),
        (&[(region, "eu")], "{}"),
        (&[(region, "eu")], r#"{"region":null}"#),
        (&[(region, "null")], r#"{"region":null}"#),
        (&[(region, "")], "{}"),
        (&[(region, "us")], r#"{"region":"eu"}"#),
        (&[(region, "EU")], r#"{"region":"eu"}"#),
        (&[(region, "eu"), (region, "eu")], r#"{"region":"eu"}"#),
        (&[(region, "e\u{1}u")], r#"{"region":"e\u0001u"}"#),
        (&[(region, "€")], r#"{"region":"€"}"#),
        (&[(region, "=?base64?4oKs")], r#"{"region":"€"}"#),
        (&[(region, "=?base64?!?=")], r#"{"region":"!"}"#),
        (&[(region, "1")], r#"{"region":1}"#),
        (&[(region, "[]")], r#"{"region":[]}"#),
        (&[(tenant, "other")], r#"{"where":{"tenant":"t"}}"#),
        (&[(tenant, "t")], r#"{"where.tenant":"t","tenant":"t"}"#),
        (&[("mcp-param-dry-run", "True")], r#"{"dry":true}"#),
        (&[("mcp-param-dry-run", "1")], r#"{"dry":true}"#),
        (&[("mcp-param-dry-run", "true")], r#"{"dry":"true"}"#),
    ];
    for (headers, arguments) in refused {
        let error = agree(headers, arguments).expect_err(arguments);
        assert_eq!(error.code().code(), -32020, "{headers:?} {arguments}");
    }
}

/// TR-31: integers are compared as numbers. `@modelcontextprotocol/client` 2.4.0 writes `1e+21` for `1e21`, as JavaScript does.
#[test]
fn integers_are_compared_as_numbers() {
    let count =
        |sent: &str, value: &str| agree(&[("mcp-param-count", sent)], &format!(r#"{{"count":{value}}}"#)).is_ok();
    for (sent, value) in [
        ("42", "42"),
        ("42.0", "42"),
        ("42", "42.0"),
        ("4.2e1", "42"),
        ("-7", "-7"),
        ("0", "-0"),
        ("9007199254740991", "9007199254740991"),
        ("9007199254740992", "9007199254740992"),
        ("1e+21", "1e21"),
        ("1e300", "1e300"),
        ("42", "4.20e+1"),
    ] {
        assert!(count(sent, value), "{sent} {value}");
    }
    for (sent, value) in [
        ("43", "42"),
        ("42.5", "42.5"),
        ("0x2A", "42"),
        ("+42", "42"),
        ("042", "42"),
        ("42 0", "42"),
        ("\"42\"", "42"),
        ("", "42"),
        ("42", "\"42\""),
        ("9007199254740993", "9007199254740993"),
        ("9007199254740992", "9007199254740993"),
        ("12.3", "123e-1"),
        ("1e301", "1e300"),
    ] {
        assert!(!count(sent, value), "{sent} {value}");
    }
}

/// TR-33, PX-31: what we send ourselves agrees with the body we send it with.
#[test]
fn our_own_headers_agree_with_the_body() {
    let annotations = annotations(SCHEMA).unwrap();
    let arguments = r#"{"region":" €\n","count":42.0,"dry":false,"where":{"tenant":"=?base64?x?="},"query":"q"}"#;
    let sent = annotations.headers(Some(arguments));
    let expected = [
        ("mcp-param-count", "42"),
        ("mcp-param-dry-run", "false"),
        ("mcp-param-region", "=?base64?IOKCrAo=?="),
        ("mcp-param-tenant", "=?base64?PT9iYXNlNjQ/eD89?="),
    ];
    assert_eq!(sent, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let view = HeaderView::read(sent.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    assert_eq!(params_agree(&annotations, &view, Some(arguments)), Ok(()));
    assert!(annotations.headers(None).is_empty());
}
