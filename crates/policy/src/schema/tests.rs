use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ToolSchema, Violation};

fn check(schema: &Value, arguments: &str) -> Result<(), Box<Violation>> {
    let read = ToolSchema::read(schema);
    assert_eq!(read.unreadable(), None, "{schema}");
    read.check(Some(arguments.as_bytes()))
}

/// The schema that FastMCP 4 makes of `amount: int, to: str | None = None, to_whom: Person, tags: list[str] = []`.
fn pydantic() -> Value {
    json!({
        "$defs": {"Person": {"properties": {"name": {"type": "string"}, "boss": {"anyOf": [{"$ref": "#/$defs/Person"}, {"type": "null"}], "default": null}}, "required": ["name"], "title": "Person", "type": "object"}},
        "properties": {
            "amount": {"title": "Amount", "type": "integer"},
            "to": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": null},
            "person": {"$ref": "#/$defs/Person"},
            "tags": {"items": {"type": "string"}, "type": "array", "default": []},
        },
        "required": ["amount"],
        "type": "object",
    })
}

/// RS-61: types are strict, however an upstream would convert a value.
#[test]
fn arguments_are_held_to_their_types_without_coercion() {
    let schema = pydantic();
    for arguments in [
        r#"{"amount":500}"#,
        r#"{"amount":500.0,"to":null}"#,
        r#"{"amount":5e2,"to":"bob","tags":["a"],"other":{"x":1}}"#,
        r#"{"amount":1,"person":{"name":"a","boss":{"name":"b","boss":null}}}"#,
        r#" { "amount" : 1 } "#,
    ] {
        assert_eq!(check(&schema, arguments), Ok(()), "{arguments}");
    }
    for (arguments, at, keyword) in [
        ("{}", "", "required"),
        (r#"{"amount":"500"}"#, "/amount", "type"),
        (r#"{"amount":" 500 "}"#, "/amount", "type"),
        (r#"{"amount":150.5}"#, "/amount", "type"),
        (r#"{"amount":true}"#, "/amount", "type"),
        (r#"{"amount":null}"#, "/amount", "type"),
        (r#"{"amount":[500]}"#, "/amount", "type"),
        (r#"{"amount":1,"to":7}"#, "/to", "anyOf"),
        (r#"{"amount":1,"tags":"a"}"#, "/tags", "type"),
        (r#"{"amount":1,"tags":["a",7]}"#, "/tags/1", "type"),
        (r#"{"amount":1,"person":{"name":"a","boss":{"name":7}}}"#, "/person/boss/name", "type"),
        (r#"{"amount":1,"person":{"name":"a","boss":{}}}"#, "/person", "anyOf"),
        ("[]", "", "type"),
        ("{\"amount\":1", "", "type"),
    ] {
        let violation = check(&schema, arguments).unwrap_err();
        if keyword == "anyOf" {
            assert!(violation.at.starts_with(at), "{arguments}: {violation:?}");
        } else {
            assert_eq!((violation.at.as_str(), violation.keyword), (at, keyword), "{arguments}");
        }
    }
    let missing = ToolSchema::read(&schema).check(None).unwrap_err().to_string();
    assert_eq!(missing, r#"the argument `amount` is missing; it has to fit {"type":"integer"}"#);
}

/// LangChain's adapters show a model neither `anyOf` nor `oneOf` nor `if`. So the refusal says what is required, for
/// every kind of keyword.
#[test]
fn a_refusal_says_what_the_schema_wants() {
    let person = json!({"$defs": {"P": {"type": "object", "minProperties": 2}}, "properties": {"p": {"$ref": "#/$defs/P"}}, "required": ["p"]});
    let when =
        json!({"if": {"properties": {"kind": {"const": "a"}}, "required": ["kind"]}, "then": {"required": ["b"]}});
    for (schema, arguments, said) in [
        (
            json!({"properties": {"n": {"type": "integer", "description": "how many"}}}),
            r#"{"n":"5"}"#,
            r#"`/n` does not fit `type` of the tool's input schema; it has to fit {"type":"integer"}"#,
        ),
        (
            json!({"properties": {"n": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}),
            r#"{"n":5}"#,
            r#"`anyOf` of the tool's input schema; it has to fit {"anyOf":[{"type":"string"},{"type":"null"}]}"#,
        ),
        (
            json!({"properties": {"n": {"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}}}),
            r#"{"n":6}"#,
            r#"`oneOf` of the tool's input schema; it has to fit {"oneOf":[{"multipleOf":2},{"multipleOf":3}]}"#,
        ),
        (
            when,
            r#"{"kind":"a"}"#,
            r#"the argument `b` is missing; the arguments have to fit {"if":{"properties":{"kind":{"const":"a"}},"required":["kind"]},"then":{"required":["b"]}}"#,
        ),
        (json!({"dependentRequired": {"a": ["b"]}}), r#"{"a":1}"#, "the argument `b` is missing"),
        (
            json!({"properties": {"a": {}}, "additionalProperties": false}),
            r#"{"b":1}"#,
            "`/b` does not fit `additionalProperties` of the tool's input schema; only these may be there: `a`",
        ),
        (
            json!({"propertyNames": {"pattern": "^x"}}),
            r#"{"b":1}"#,
            r#"the arguments have to fit {"propertyNames":{"pattern":"^x"}}"#,
        ),
        (
            person.clone(),
            r#"{"p":{}}"#,
            r#"`/p` does not fit `minProperties` of the tool's input schema; it has to fit {"minProperties":2,"type":"object"}"#,
        ),
        (person, "{}", r#"the argument `p` is missing; it has to fit {"minProperties":2,"type":"object"}"#),
    ] {
        let told = check(&schema, arguments).unwrap_err().to_string();
        assert!(told.contains(said), "{schema} {arguments}: {told}");
    }
}

/// ATK-113: a lenient reader takes one name for another; the schema says which names exist.
#[test]
fn a_member_that_could_be_taken_for_a_declared_one_is_refused() {
    let schema = json!({"properties": {"dryRun": {"type": "boolean"}, "at": {"properties": {"path": {}}}}});
    for (arguments, taken) in [
        (r#"{"DryRun":false}"#, "dryRun"),
        (r#"{"dry_run":false}"#, "dryRun"),
        (r#"{"ｄryrun":false}"#, "dryRun"),
        (r#"{"dry\u200bRun":false}"#, "dryRun"),
        (r#"{"dryRun":true,"dry-run":false}"#, "dryRun"),
        (r#"{"at":{"Path":"x"}}"#, "path"),
    ] {
        let violation = check(&schema, arguments).unwrap_err();
        assert_eq!((violation.keyword, violation.name.as_deref()), ("properties", Some(taken)), "{arguments}");
        assert!(violation.to_string().contains("spell it exactly"), "{violation}");
    }
    for arguments in [r#"{"dryRuns":false}"#, r#"{"dryRun":true,"at":{"path":1,"paths":2}}"#, "{}"] {
        assert_eq!(check(&schema, arguments), Ok(()), "{arguments}");
    }
    // Both names are declared, so each stands for itself.
    let both = json!({"properties": {"taskId": {}, "task_id": {}}});
    assert_eq!(check(&both, r#"{"taskId":1,"task_id":2}"#), Ok(()));
    // Under `not`, a look-alike does not get past.
    let not = json!({"not": {"properties": {"path": {"const": "/etc"}}, "required": ["path"]}});
    assert!(check(&not, r#"{"Path":"/etc"}"#).is_err());
}

/// Numbers are compared as they are written, and never as the nearest double.
#[test]
fn numbers_are_held_exactly() {
    let bounded = json!({"properties": {"n": {"maximum": 100, "multipleOf": 0.01}}});
    for (number, fits) in [
        ("100", true),
        ("19.99", true),
        ("1e2", true),
        ("100.00000000000000001", false),
        ("19.999", false),
        ("99.990000000000000001", false),
    ] {
        assert_eq!(check(&bounded, &format!(r#"{{"n":{number}}}"#)).is_ok(), fits, "{number}");
    }
    let large = json!({"properties": {"n": {"maximum": 9_007_199_254_740_992_u64}}});
    assert!(check(&large, r#"{"n":9007199254740993}"#).is_err());
    // A number that some programs round passes if nothing looks at its size, and is refused by every bound, on either
    // side of a `not`.
    for (schema, fits) in [
        (json!({"type": "integer"}), true),
        (json!({"type": ["integer", "null"]}), true),
        (json!({}), true),
        (json!({"anyOf": [{"type": "integer", "maximum": 5}, {"type": "integer"}]}), true),
        (json!({"minimum": 0}), false),
        (json!({"maximum": 9_007_199_254_740_993_u64}), false),
        (json!({"multipleOf": 1}), false),
        (json!({"enum": [9_007_199_254_740_993_u64]}), false),
        (json!({"not": {"const": 9_007_199_254_740_992_u64}}), false),
        (json!({"not": {"maximum": 5}}), false),
        (json!({"oneOf": [{"maximum": 5}, {"type": "integer"}]}), false),
        (json!({"if": {"minimum": 5}, "then": {}, "else": false}), false),
    ] {
        let schema = json!({"properties": {"n": schema}});
        for number in ["9007199254740993", "-9007199254740993", "9223372036854775807", "36893488147419103233"] {
            assert_eq!(check(&schema, &format!(r#"{{"n":{number}}}"#)).is_ok(), fits, "{schema} {number}");
        }
    }
    let choice = json!({"properties": {"n": {"enum": [1, 0.5]}}});
    for (number, fits) in [("1.0", true), ("5e-1", true), ("1.00000000000000000001", false)] {
        assert_eq!(check(&choice, &format!(r#"{{"n":{number}}}"#)).is_ok(), fits, "{number}");
    }
}

#[test]
fn what_cannot_be_read_holds_nothing_and_says_so() {
    for schema in [
        json!({"properties": {"a": {"$ref": "https://example.com/a.json"}}}),
        json!({"properties": {"a": {"$ref": "#anchor"}}}),
        json!({"properties": {"a": {"$ref": "#/$defs/none"}}}),
        json!({"properties": {"a": {"type": "int"}}}),
        json!({"properties": {"a": {"pattern": "("}}}),
        json!({"properties": {"a": {"$dynamicRef": "#a"}}}),
        json!({"$schema": "https://example.com/own"}),
        json!({"properties": 7}),
        json!(7),
        (0..70).fold(json!({}), |inner, _| json!({"not": inner})),
        json!({"allOf": vec![json!({}); 5000]}),
    ] {
        let read = ToolSchema::read(&schema);
        assert!(read.unreadable().is_some(), "{schema:.100}");
        assert_eq!(read.check(Some(b"{\"a\":1}")), Ok(()));
    }
    assert_eq!(ToolSchema::of_definition("{}").map(|_| ()), None);
}

/// Drafts and spellings that real servers use.
#[test]
fn schemas_of_the_field_are_read() {
    let zod = json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {"a": {"type": "array", "items": [{"type": "string"}, {"type": "number"}], "additionalItems": false}, "b": {"$ref": "#/properties/a", "description": "beside a reference"}}, "additionalProperties": false});
    assert_eq!(check(&zod, r#"{"a":["x",1],"b":["x"]}"#), Ok(()));
    for (arguments, at, keyword) in [
        (r#"{"a":["x","y"]}"#, "/a/1", "type"),
        (r#"{"a":["x",1,2]}"#, "/a/2", "false"),
        (r#"{"c":1}"#, "/c", "additionalProperties"),
    ] {
        let violation = check(&zod, arguments).unwrap_err();
        assert_eq!((violation.at.as_str(), violation.keyword), (at, keyword), "{arguments}");
    }
    let look_around = json!({"properties": {"a": {"pattern": "^(?!secret)[a-z]+$"}}});
    assert_eq!(check(&look_around, r#"{"a":"plain"}"#), Ok(()));
    assert!(check(&look_around, r#"{"a":"secrets"}"#).is_err());
    let digits = json!({"properties": {"a": {"pattern": "^\\d+$"}}});
    assert!(check(&digits, r#"{"a":"٣"}"#).is_err());
    let openapi = json!({"properties": {"a": {"minimum": 0, "exclusiveMinimum": true}}});
    assert!(check(&openapi, r#"{"a":0}"#).is_err() && check(&openapi, r#"{"a":1}"#).is_ok());
    let typespec = json!({"properties": {"a": {"type": "number"}}, "unevaluatedProperties": false});
    assert!(check(&typespec, r#"{"a":"1"}"#).is_err() && check(&typespec, r#"{"b":1}"#).is_err());
    assert_eq!(check(&typespec, r#"{"a":1}"#), Ok(()));
}

/// ATK-93, ATK-121: the check of a schema that makes its own check explode ends at a bound.
#[test]
fn an_explosive_schema_ends_at_its_bound() {
    let mut definitions = serde_json::Map::new();
    for at in 0..40 {
        let next = format!("#/$defs/d{}", at + 1);
        definitions.insert(format!("d{at}"), json!({"allOf": [{"$ref": next}, {"$ref": next}]}));
    }
    definitions.insert("d40".to_owned(), json!({"type": "object"}));
    let schema = json!({"$defs": definitions, "$ref": "#/$defs/d0"});
    assert_eq!(check(&schema, "{}").unwrap_err().keyword, super::COSTLY);
    let endless = json!({"$ref": "#"});
    assert_eq!(check(&endless, "{}").unwrap_err().keyword, super::COSTLY);
    let chain: serde_json::Map<String, Value> =
        (0..3_000).map(|at| (format!("d{at}"), json!({"$ref": format!("#/$defs/d{}", at + 1)}))).collect();
    let read = ToolSchema::read(&json!({"$defs": chain, "$ref": "#/$defs/d0"}));
    assert!(read.unreadable().is_some());
    // A long list is checked completely.
    let long = json!({"properties": {"a": {"items": {"type": "integer"}}}});
    let mut list = String::from("{\"a\":[0");
    (1..90_000).for_each(|at| write!(list, ",{at}").unwrap());
    assert_eq!(check(&long, &format!("{list}]}}")), Ok(()));
    assert!(check(&long, &format!("{list},\"1\"]}}")).is_err());
}

/// Values without fractions, so that the other validator, too, compares them exactly.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..8).prop_map(Value::from),
        "[ab]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[abc]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn schemas() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec!["array", "boolean", "integer", "null", "number", "object", "string"]);
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        word.clone().prop_map(|kind| json!({ "type": kind })),
        prop::collection::vec(word, 1..3).prop_map(|kinds| {
            let kinds: std::collections::BTreeSet<_> = kinds.into_iter().collect();
            json!({ "type": kinds })
        }),
        (-3_i64..8, -3_i64..8).prop_map(|(low, high)| json!({"minimum": low, "exclusiveMaximum": high})),
        (1_i64..4).prop_map(|unit| json!({ "multipleOf": unit })),
        (0_u64..3, 0_u64..4).prop_map(|(low, high)| json!({"minLength": low, "maxLength": high})),
        (0_u64..3, 0_u64..4).prop_map(|(low, high)| json!({"minItems": low, "maxItems": high, "uniqueItems": true})),
        (0_u64..3, 0_u64..4).prop_map(|(low, high)| json!({"minProperties": low, "maxProperties": high})),
        prop::sample::select(vec!["^a", "b$", "^(?:ab)+$"]).prop_map(|pattern| json!({ "pattern": pattern })),
        prop::collection::vec(values(), 1..3).prop_map(|choices| json!({ "enum": choices })),
        prop::collection::btree_set("[abc]", 0..3).prop_map(|names| json!({ "required": names })),
        Just(json!({"$ref": "#"})),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let some = prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            (prop::collection::btree_map("[abc]", inner.clone(), 0..3), inner.clone(), any::<bool>()).prop_map(
                |(properties, rest, closed)| {
                    let mut schema = json!({ "properties": properties });
                    if closed {
                        schema["additionalProperties"] = rest;
                    }
                    schema
                }
            ),
            (some.clone(), inner.clone()).prop_map(|(first, rest)| json!({"prefixItems": first, "items": rest})),
            (inner.clone(), 0_u64..2, 0_u64..3)
                .prop_map(|(one, low, high)| json!({"contains": one, "minContains": low, "maxContains": high})),
            inner.clone().prop_map(|name| json!({ "propertyNames": name })),
            ("[abc]", inner.clone()).prop_map(|(name, one)| json!({"patternProperties": {name: one}})),
            ("[abc]", inner.clone()).prop_map(|(name, one)| json!({"dependentSchemas": {name: one}})),
            ("[abc]", "[abc]").prop_map(|(name, other)| json!({"dependentRequired": {name: [other]}})),
            some.clone().prop_map(|all| json!({ "allOf": all })),
            some.clone().prop_map(|any| json!({ "anyOf": any })),
            some.prop_map(|one| json!({ "oneOf": one })),
            inner.clone().prop_map(|one| json!({ "not": one })),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| json!({"if": a, "then": b, "else": c})),
        ]
    })
}

/// Whether a reference leads back to the same value. In that case there is no answer, and each implementation stops in
/// its own way.
fn loops(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(name, inner)| match name.as_str() {
            "$ref" => true,
            "allOf" | "anyOf" | "oneOf" => inner.as_array().is_some_and(|all| all.iter().any(loops)),
            "not" | "if" | "then" | "else" => loops(inner),
            "dependentSchemas" => inner.as_object().is_some_and(|all| all.values().any(loops)),
            _ => false,
        }),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// ATK-114: a second implementation of JSON Schema, over generated schemas and values, gives the same answers.
    #[test]
    fn another_validator_says_the_same(schema in schemas(), value in values()) {
        prop_assume!(!loops(&schema));
        let Ok(other) = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&schema) else {
            return Err(TestCaseError::reject("not a schema"));
        };
        let own = ToolSchema::read(&schema);
        prop_assert_eq!(own.unreadable(), None);
        let said = own.check(Some(value.to_string().as_bytes()));
        prop_assert_eq!(said.is_ok(), other.is_valid(&value), "{} {}: {:?}", schema, value, said);
    }
}
