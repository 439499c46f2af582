use std::collections::BTreeMap;

use sekisho_protocol::task::TaskDefinition;
use serde_json::{Value, json};

use super::{Bounds, BoundsError, check_schema};
use crate::task::check_bounds;

fn fits(bounds: &Value, arguments: &str) -> bool {
    Bounds::read("t", bounds)
        .unwrap_or_else(|error| panic!("{bounds}: {error}"))
        .check(Some(arguments.as_bytes()))
        .is_ok()
}

/// ATK-117: a value of another type, a list around a value or a missing argument does not get past a bound. The same
/// holds inside other arguments, and where there is a choice.
#[test]
fn a_bound_implies_its_type_and_its_presence() {
    let title = json!({"properties": {"title": {"pattern": "^draft"}}});
    let amount = json!({"properties": {"amount": {"maximum": 100}}});
    let nested = json!({"properties": {"to": {"properties": {"folder": {"maxLength": 5}}}}});
    let list = json!({"properties": {"ids": {"items": {"minimum": 1}, "maxItems": 2}}});
    let tuple = json!({"properties": {"pair": {"prefixItems": [{"const": "a"}, {"maximum": 5}], "items": false}}});
    let choice = json!({"properties": {"n": {"anyOf": [{"maximum": 5}, {"const": "all"}]}}});
    let either = json!({"anyOf": [{"properties": {"a": {"maximum": 5}}}, {"properties": {"b": {"const": true}}}]});
    let both = json!({"properties": {"n": {"allOf": [{"minimum": 1}, {"maximum": 5}]}}});
    let open = json!({"properties": {"m": {"additionalProperties": {"maximum": 5}}}});
    let not = json!({"properties": {"path": {"not": {"pattern": "^/etc"}}}});
    let but = json!({"properties": {"role": {"not": {"enum": ["admin", "root"]}}}});
    let absent = json!({"properties": {"force": false, "path": {"minLength": 1}}});
    let optional = json!({"properties": {"a": {"maximum": 5}, "b": {"maximum": 5}}, "required": ["a"]});
    let closed = json!({"properties": {"a": {"const": 1}, "b": {}}, "additionalProperties": false});
    for (bounds, arguments, expected) in [
        (&title, r#"{"title":"draft 1"}"#, true),
        (&title, r#"{"title":"other"}"#, false),
        (&title, r#"{"title":["other"]}"#, false),
        (&title, r#"{"title":{"0":"other"}}"#, false),
        (&title, r#"{"title":7}"#, false),
        (&title, r#"{"title":null}"#, false),
        (&title, "{}", false),
        (&title, r#"{"Title":"draft"}"#, false),
        (&title, r#"{"title":"draft","TITLE_":"other"}"#, false),
        (&amount, r#"{"amount":100}"#, true),
        (&amount, r#"{"amount":1e2,"to":"bob"}"#, true),
        (&amount, r#"{"amount":"500"}"#, false),
        (&amount, r#"{"amount":" 500 "}"#, false),
        (&amount, r#"{"amount":[5]}"#, false),
        (&amount, r#"{"amount":true}"#, false),
        (&amount, r#"{"amount":1.5e2}"#, false),
        (&amount, r#"{"amount":100.00000000000000001}"#, false),
        (&amount, "{}", false),
        (&nested, r#"{"to":{"folder":"tmp"}}"#, true),
        (&nested, r#"{"to":{"folder":["a long name"]}}"#, false),
        (&nested, r#"{"to":{}}"#, false),
        (&nested, r#"{"to":"{\"folder\":\"a long name\"}"}"#, false),
        (&list, r#"{"ids":[1,2]}"#, true),
        (&list, r#"{"ids":["0"]}"#, false),
        (&list, r#"{"ids":"0"}"#, false),
        (&tuple, r#"{"pair":["a",5]}"#, true),
        (&tuple, r#"{"pair":["a","6"]}"#, false),
        (&tuple, r#"{"pair":["a"]}"#, false),
        (&choice, r#"{"n":"all"}"#, true),
        (&choice, r#"{"n":"6"}"#, false),
        (&either, r#"{"b":true}"#, true),
        (&either, "{}", false),
        (&either, r#"{"a":"9"}"#, false),
        (&both, r#"{"n":5}"#, true),
        (&both, r#"{"n":"9"}"#, false),
        (&open, r#"{"m":{"x":5}}"#, true),
        (&open, r#"{"m":{"x":"9"}}"#, false),
        (&not, r#"{"path":"/tmp"}"#, true),
        (&not, r#"{"path":"/etc/passwd"}"#, false),
        (&not, r#"{"path":["/etc/passwd"]}"#, false),
        (&not, "{}", false),
        (&but, r#"{"role":"user"}"#, true),
        (&but, r#"{"role":["admin"]}"#, false),
        (&absent, r#"{"path":"a"}"#, true),
        (&absent, r#"{"path":"a","force":true}"#, false),
        (&optional, r#"{"a":5}"#, true),
        (&optional, r#"{"a":5,"b":"9"}"#, false),
        (&optional, r#"{"b":5}"#, false),
        (&closed, r#"{"a":1,"b":["x"]}"#, true),
        (&closed, r#"{"a":1}"#, true),
        (&closed, r#"{"a":1,"c":1}"#, false),
    ] {
        assert_eq!(fits(bounds, arguments), expected, "{bounds} {arguments}");
    }
}

/// A schema with one bounded property.
fn one(inner: &Value) -> Value {
    json!({"properties": {"a": inner}})
}

fn tells(bounds: &Value, arguments: &str, said: &str) {
    let read = Bounds::read("t", bounds).unwrap();
    let told = read.check(Some(arguments.as_bytes())).expect_err(arguments).of_bounds("it");
    assert!(told.contains(said), "{bounds} {arguments}: {told}");
}

/// The refusal of a call beyond its bounds lets a model that never saw them call again correctly, whatever the keyword.
#[test]
fn a_refusal_names_the_bound_that_is_not_kept() {
    for (bounds, arguments, said) in [
        (
            one(&json!({"maximum": 5})),
            r#"{"a":6}"#,
            r#"`/a` is beyond the bounds of it; it has to fit {"maximum":5,"type":["number"]}"#,
        ),
        (
            one(&json!({"exclusiveMinimum": 0, "multipleOf": 0.01})),
            r#"{"a":0}"#,
            r#"{"exclusiveMinimum":0,"multipleOf":0.01,"#,
        ),
        (one(&json!({"type": "integer"})), r#"{"a":"x"}"#, r#"it has to fit {"type":"integer"}"#),
        (one(&json!({"const": "x"})), r#"{"a":"y"}"#, r#"it has to fit {"const":"x"}"#),
        (
            one(&json!({"enum": ["x", "y"], "title": "said to nobody"})),
            r#"{"a":"z"}"#,
            r#"it has to fit {"enum":["x","y"]}"#,
        ),
        (
            one(&json!({"pattern": "^draft", "maxLength": 9})),
            r#"{"a":"other"}"#,
            r#"{"maxLength":9,"pattern":"^draft","type":["string"]}"#,
        ),
        (one(&json!({"format": "uuid"})), r#"{"a":"x"}"#, r#"{"format":"uuid","type":["string"]}"#),
        (
            one(&json!({"items": {"maximum": 5}, "maxItems": 2})),
            r#"{"a":[1,6]}"#,
            r#"`/a/1` is beyond the bounds of it; it has to fit {"maximum":5,"#,
        ),
        (
            one(&json!({"maxItems": 2, "uniqueItems": true})),
            r#"{"a":[1,1]}"#,
            r#"{"maxItems":2,"type":["array"],"uniqueItems":true}"#,
        ),
        (one(&json!({"contains": {"const": "x"}})), r#"{"a":["y"]}"#, r#"{"contains":{"const":"x"},"type":["array"]}"#),
        (
            one(&json!({"not": {"enum": ["root"]}})),
            r#"{"a":"root"}"#,
            r#"it has to fit {"not":{"enum":["root"]},"type":["string"]}"#,
        ),
    ] {
        tells(&bounds, arguments, said);
    }
}

/// The same holds for choices, for members that may not be there, and for missing ones.
#[test]
fn a_refusal_names_the_choice_that_there_is() {
    let closed = json!({"properties": {"a": {"const": 1}, "b": {}}, "additionalProperties": false});
    let either = json!({"anyOf": [{"properties": {"a": {"maximum": 5}}}, {"properties": {"b": {"const": true}}}]});
    for (bounds, arguments, said) in [
        (
            one(&json!({"anyOf": [{"maximum": 5}, {"const": "all"}]})),
            r#"{"a":9}"#,
            r#"it has to fit {"anyOf":[{"maximum":5,"type":["number"]},{"const":"all"}]}"#,
        ),
        (one(&json!({"allOf": [{"minimum": 1}, {"maximum": 5}]})), r#"{"a":9}"#, r#"it has to fit {"maximum":5,"#),
        (
            one(&json!({"patternProperties": {"^x": {"maximum": 5}}})),
            r#"{"a":{"xy":9}}"#,
            r#"`/a/xy` is beyond the bounds of it; it has to fit {"maximum":5,"#,
        ),
        (one(&json!({"minProperties": 2})), r#"{"a":{"b":1}}"#, r#"it has to fit {"minProperties":2,"#),
        (one(&json!(false)), r#"{"a":1}"#, "`/a` is beyond the bounds of it; it may not be there"),
        (
            one(&json!({"maximum": 5})),
            "{}",
            r#"the argument `a` is missing, and it is bounded by it; it has to fit {"maximum":5,"#,
        ),
        (one(&json!({"maximum": 5})), r#"{"A":1,"a":1}"#, "the argument `/A` could be taken for `a`; spell it exactly"),
        (
            one(&json!({"maximum": 5})),
            r#"{"a":9007199254740993}"#,
            r#"that some programs round, and there is a bound on it; send one up to 2^53; it has to fit {"maximum":5,"#,
        ),
        (closed, r#"{"a":1,"c":1}"#, "`/c` is beyond the bounds of it; only these may be there: `a`, `b`"),
        (
            either.clone(),
            r#"{"a":9}"#,
            r#"`/a` is beyond the bounds of it; the arguments have to fit {"anyOf":[{"properties":{"a":{"maximum":5,"#,
        ),
        (either, "{}", r#"the arguments are beyond the bounds of it; the arguments have to fit {"anyOf":["#),
    ] {
        tells(&bounds, arguments, said);
    }
}

/// ATK-280: however large bounds are and whatever they hold, a refusal is one short line, and quotes nothing that was
/// sent.
#[test]
fn a_refusal_by_bounds_is_short_and_quotes_nothing_that_was_sent() {
    let long: Vec<String> = (0..400).map(|at| format!("value {at}\u{202e}\n")).collect();
    for bounds in [
        json!({"properties": {"a": {"enum": long}}}),
        json!({"properties": {"a": {"anyOf": [{"enum": long}, {"pattern": "^x"}]}}}),
        json!({"properties": {"a": {"const": "x".repeat(5000)}}}),
    ] {
        let read = Bounds::read("t", &bounds).unwrap();
        let violation = read.check(Some(br#"{"a":"hunter2"}"#)).unwrap_err();
        let told = violation.of_bounds("the task");
        assert!(told.ends_with('…') && told.chars().count() < 500, "{told}");
        assert!(!told.contains("hunter2") && !told.chars().any(sekisho_protocol::text::is_invisible), "{told}");
    }
}

fn refused(bounds: &Value, definition: Option<&str>) -> String {
    check_schema("pay", bounds, definition).expect_err(&bounds.to_string()).to_string()
}

/// ATK-119: a bound that cannot restrict anything is refused when it is made, with a hint at what may have been meant.
#[test]
fn a_bound_that_binds_nothing_is_refused_with_a_hint() {
    let pay = r##"{"name":"pay","inputSchema":{"type":"object","properties":{"amount":{"type":"integer"},"to":{"anyOf":[{"type":"string"},{"type":"null"}]},"at":{"$ref":"#/$defs/At"}},"$defs":{"At":{"type":"object","properties":{"folder":{"type":"string"}}}}}}"##;
    for (bounds, says) in [
        (json!({}), "say nothing of the arguments"),
        (json!(true), "say nothing of the arguments"),
        (json!({"title": "a remark"}), "say nothing of the arguments"),
        (json!({"properties": {"to": {}}}), "say nothing of the argument `to`"),
        (json!({"properties": {}}), "say nothing of the arguments"),
        (json!({"additionalProperties": true}), "say nothing of the arguments"),
        (json!({"properties": {"to": {"maxlength": 5}}}), "did you mean `maxLength`?"),
        (json!({"properties": {"to": {"max_length": 5}}}), "did you mean `maxLength`?"),
        (json!({"propertys": {"to": {"maxLength": 5}}}), "did you mean `properties`?"),
        (json!({"amount": {"maximum": 100}}), r#"under `properties`: {"properties":{"amount":…}}"#),
        (json!({"properties": {"ammount": {"maximum": 100}}}), "has no argument `ammount`; did you mean `amount`?"),
        (json!({"properties": {"Amount": {"maximum": 100}}}), "did you mean `amount`?"),
        (json!({"properties": {"from": {"const": "x"}}}), "has no argument `from`; it has `amount`, `at`, `to`"),
        (json!({"required": ["sum"]}), "has no argument `sum`"),
        (json!({"properties": {"at": {"properties": {"folders": {"const": "x"}}}}}), "did you mean `folder`?"),
        (
            json!({"properties": {"amount": {"pattern": "^1"}}}),
            "`pattern` speaks of a string, and the argument `amount` is a number",
        ),
        (
            json!({"properties": {"to": {"maximum": 5}}}),
            "`maximum` speaks of a number, and the argument `to` is null or a string",
        ),
        (json!({"properties": {"amount": {"type": "string"}}}), "`type` speaks of a string"),
        (json!({"properties": {"to": {"type": "string", "maximum": 5}}}), "`maximum` speaks of a number"),
        (json!({"maximum": 100}), "`maximum` speaks of a number, and the arguments is an object"),
        (json!({"properties": {"x": {"type": ["number", "string"], "maximum": 5}}}), "has no argument `x`"),
        (
            json!({"oneOf": [{"required": ["to"]}]}),
            "`oneOf`, which is not used in bounds; list what is allowed with `anyOf`",
        ),
        (json!({"if": {"required": ["to"]}}), "`if`, which is not used in bounds"),
        (json!({"properties": {"to": {"not": {"properties": {}}}}}), "`not`, which is not used"),
        (json!({"properties": {"to": {"not": {"const": null}}}}), "`not`, which is not used"),
        (json!({"properties": {"to": {"contentEncoding": "base64"}}}), "`contentEncoding`"),
        (json!({"properties": {"to": {"type": "string", "nullable": true}}}), "add \"null\" to `type`"),
        (json!({"properties": {"to": {"format": "nothing-known"}}}), "not a JSON Schema"),
    ] {
        let said = refused(&bounds, Some(pay));
        assert!(said.contains(says), "{bounds}: {said}");
    }
    let open = json!({"properties": {"x": {"type": ["number", "string"], "maximum": 5}}});
    assert!(refused(&open, None).contains("let any string through as the argument `x`"));
    // If a tool takes any arguments, or is unknown, every argument can be bounded.
    for definition in [None, Some("{}"), Some(r#"{"inputSchema":{"type":"object"}}"#), Some("not JSON")] {
        assert_eq!(check_schema("pay", &json!({"properties": {"ammount": {"maximum": 100}}}), definition), Ok(()));
    }
    for bounds in [
        json!({"properties": {"amount": {"maximum": 100}, "to": {"type": ["string", "null"], "maxLength": 5}}}),
        json!({"properties": {"at": {"properties": {"folder": {"format": "uuid"}}}}}),
        json!({"type": "object"}),
        json!(false),
    ] {
        assert_eq!(check_schema("pay", &bounds, Some(pay)), Ok(()), "{bounds}");
    }
}

/// A tool is said to lack an argument only if its schema shows all of them; also whether it can take others.
#[test]
fn an_argument_that_a_tool_lacks_is_told_where_that_is_certain() {
    let of = |schema: Value| json!({"name": "pay", "inputSchema": schema}).to_string();
    let properties = || json!({"amount": {}, "to": {"properties": {"folder": {}}}, "a.b": {}});
    let open = of(json!({"properties": properties()}));
    let closed = of(json!({"properties": properties(), "additionalProperties": false}));
    let none = of(json!({"properties": {}, "additionalProperties": false}));
    let patterns = of(json!({"properties": properties(), "patternProperties": {"^x-": {}}}));
    let either = of(json!({"properties": properties(), "anyOf": [{"properties": {"other": {}}}, {}]}));
    for (definition, argument, expected) in [
        (&open, "amount", None),
        (&open, "to.folder", None),
        (&open, "a.b", None),
        (&open, "ammount", Some(("; did you mean `amount`?", false))),
        (&open, "to.folders", Some(("; did you mean `folder`?", false))),
        (&open, "amount.0", None),
        (&closed, "ammount", Some(("; did you mean `amount`?", true))),
        (&closed, "from", Some(("; it has `a.b`, `amount`, `to`", true))),
        (&none, "amount", Some(("; it takes none", true))),
        (&patterns, "ammount", None),
        (&either, "ammount", None),
        (&of(json!({"type": "object"})), "ammount", None),
        (&"not JSON".to_owned(), "ammount", None),
    ] {
        let found = super::lacking(definition, argument);
        let found = found.as_ref().map(|lacking| (lacking.hint.as_str(), lacking.closed));
        assert_eq!(found, expected, "{definition} {argument}");
    }
    // Bounds give the same hints.
    let bounds = json!({"properties": {"ammount": {"maximum": 100}}});
    for (definition, expected) in [(&open, Some(false)), (&closed, Some(true)), (&patterns, None), (&either, None)] {
        let found = match check_schema("pay", &bounds, Some(definition)) {
            Err(BoundsError::NoSuchArgument { closed, .. }) => Some(closed),
            other => {
                assert_eq!(other, Ok(()), "{definition}");
                None
            }
        };
        assert_eq!(found, expected, "{definition}");
    }
}

/// A schema that somebody else wrote is refused before anybody agrees to it, if the cost of its check has no bound:
/// both alone and as a part of a task.
#[test]
fn a_schema_that_is_broken_or_explosive_is_refused() {
    let invalid = |error: &BoundsError| matches!(error, BoundsError::Invalid { .. });
    let reference = |error: &BoundsError| matches!(error, BoundsError::Reference { .. });
    let too_large = |error: &BoundsError| matches!(error, BoundsError::TooLarge { .. });
    let within = |inner: Value| json!({"properties": {"a": inner}});
    let wide = |values: usize| json!({"enum": (2..values).collect::<Vec<_>>()});
    // Three levels are around it (the schema, its properties and the schema of one), and one is inside.
    let deep = |levels: usize| within((4..levels).fold(json!({"minItems": 1}), |inner, _| json!({"items": inner})));
    // Lists count like objects: each step adds two levels, an object and the list in it.
    let deep_lists = |levels: usize| (1..levels / 2).fold(json!({"enum": []}), |inner, _| json!({"allOf": [inner]}));
    let word = |word: &str| within(json!({word: "#"}));
    let fine: Option<fn(&BoundsError) -> bool> = None;
    for (schema, expected) in [
        (json!({"type": "object", "$comment": "fine"}), fine),
        (json!(false), fine),
        (within(json!({"pattern": "^/srv/[a-z]{1,40}/[0-9a-f-]{36}$"})), fine),
        (json!({"type": "nothing"}), Some(invalid)),
        (json!(7), Some(invalid)),
        (within(json!({"pattern": "("})), Some(invalid)),
        (within(json!({"pattern": "(a+)+\\1"})), Some(invalid)),
        (within(json!({"pattern": "^(?!a)"})), Some(invalid)),
        (within(json!({"pattern": "(((a{1,100}){1,100}){1,100}){1,100}"})), Some(invalid)),
        (word("$ref"), Some(reference)),
        (word("$dynamicRef"), Some(reference)),
        (word("$id"), Some(reference)),
        (word("$defs"), Some(reference)),
        (wide(512), fine),
        (wide(513), Some(too_large)),
        (wide(600), Some(too_large)),
        (deep(16), fine),
        (deep(17), Some(too_large)),
        (deep(40), Some(too_large)),
        (deep_lists(16), fine),
        (deep_lists(18), Some(too_large)),
    ] {
        let tools = BTreeMap::from([("t".to_owned(), Some(schema.clone()))]);
        let whole = check_bounds(&TaskDefinition { tools, ..TaskDefinition::default() }, &BTreeMap::new());
        assert_eq!(check_schema("t", &schema, None), whole, "{schema}");
        let is_expected = match (&whole, expected) {
            (Ok(()), None) => true,
            (Err(error), Some(is)) => is(error),
            _ => false,
        };
        assert!(is_expected, "{schema}: {whole:?}");
    }
}

/// A stranger's schema is quoted in one short line, because the text is shown to people and recorded.
#[test]
fn a_refused_schema_is_told_in_a_short_line() {
    let long = "x".repeat(1000);
    for (schema, beginning) in [
        (json!({ format!("$\u{1b}[2J\nref{long}"): "#" }), "the bounds on `t` hold `$[2Jrefxxx"),
        (json!({ "type": format!("odd\n{long}") }), "the bounds on `t` are not a JSON Schema: \"odd\\nxxx"),
        (json!(7), "the bounds on `t` are not a JSON Schema: 7 is not"),
        (json!({ format!("odd\u{1b}[2J\n{long}"): 1 }), "the bounds on `t` hold `odd[2Jxxx"),
        (
            json!({"properties": { format!("odd\u{1b}[2J\n{long}"): {} }}),
            "the bounds on `t` say nothing of the argument `odd[2Jx",
        ),
    ] {
        let said = check_schema("t", &schema, None).unwrap_err().to_string();
        assert!(said.starts_with(beginning), "{said}");
        assert!(said.chars().count() < 300 && !said.chars().any(char::is_control), "{said:?}");
    }
}

/// ATK-245: an expression in bounds has a bounded number of states, and one call makes it read a bounded number of
/// bytes. A longer text is refused, whether it would fit or not.
#[test]
fn a_pattern_costs_a_bounded_number_of_steps() {
    for large in ["^(?:[a-z]{0,60}-?){20}$", "^(?:ab?c){1,2000}$"] {
        let schema = json!({"properties": {"a": {"pattern": large}}});
        assert!(matches!(Bounds::read("t", &schema), Err(BoundsError::Invalid { .. })), "{large}");
    }
    let one = json!({"properties": {"a": {"pattern": "^x*$"}}});
    let four = json!({"properties": {"a": {"pattern": "^x*$"}, "b": {"pattern": "^x*$"}, "c": {"pattern": "^x*$"}, "d": {"pattern": "^x*$"}}});
    let text = |names: &[&str], bytes: usize| {
        let members = names.iter().map(|name| ((*name).to_owned(), Value::from("x".repeat(bytes))));
        Value::Object(members.collect()).to_string()
    };
    let all = ["a", "b", "c", "d"];
    assert!(fits(&one, &text(&["a"], 100_000)) && !fits(&one, &text(&["a"], 200_000)));
    assert!(fits(&four, &text(&all, 25_000)) && !fits(&four, &text(&all, 50_000)));
    // If the length is bounded as well, it is checked first.
    let short = json!({"properties": {"a": {"pattern": "^x*$", "maxLength": 10}}});
    assert!(!fits(&short, &text(&["a"], 3_000_000)));
}
