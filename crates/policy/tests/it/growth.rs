//! The judging of what a caller or an upstream sends: the work grows in proportion to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_policy::bounds::check_schema;
use sekisho_policy::decide::{decide, may_see};
use sekisho_policy::explain::explain;
use sekisho_policy::model::{Authority, Call, Target};
use sekisho_policy::rights::Rights;
use sekisho_policy::schema::ToolSchema;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::growth::{DOUBLINGS, check, in_proportion};
use sekisho_protocol::task::TaskDefinition;
use sekisho_protocol::uri::ResourceUri;
use serde_json::{Value, json};

use crate::world::{caller, declared, now, rights, task, tool, user};

/// Arguments that repeat one unit between a beginning and an end. `#` stands for the number of the unit.
const ARGUMENTS: &[(&str, &str, &str, &str)] = &[
    ("members", "{", r##""a#":#,"##, r#""z":0}"#),
    ("members that fold alike", "{", r##""A_-#":"eve","##, r#""z":0}"#),
    ("members inside", r#"{"to":{"#, r##""name#":"eve","##, r#""z":0}}"#),
    ("equal elements", r#"{"list":["#, "7,", "7]}"),
    ("different elements", r#"{"list":["#, "#,", "0]}"),
    ("different texts", r#"{"list":["#, r##""a#","##, r#""z"]}"#),
    ("objects in a list", r#"{"list":["#, r##"{"id":#},"##, "{}]}"),
    ("a long text", r#"{"to":""#, "word ", r#""}"#),
    ("a text of letters that fold", r#"{"to":""#, "ａé", r#""}"#),
    ("a text of escapes", r#"{"to":""#, "\\u0041", r#""}"#),
    ("a text that looks like JSON", r#"{"to":"["#, "1,", r#"1]"}"#),
    ("a text that looks like a path", r#"{"to":"/"#, "../a/", r#""}"#),
    ("a number", r#"{"amount":"#, "1", "}"),
    ("blanks", r#"{"amount":1"#, " ", "}"),
];

fn repeated(before: &str, unit: &str, after: &str, units: usize) -> String {
    let mut text = String::from(before);
    for at in 0..units.min(1_000_000 / unit.len()) {
        text.push_str(&unit.replace('#', &at.to_string()));
    }
    text + after
}

/// Schemas with the most expensive keywords.
fn schemas() -> Vec<(&'static str, Value)> {
    let list = |items: Value| json!({ "type": "object", "properties": { "list": items } });
    vec![
        ("no schema", json!({})),
        (
            "types",
            json!({ "type": "object", "properties": { "to": { "type": "string" }, "amount": { "type": "integer" } } }),
        ),
        ("uniqueItems", list(json!({ "type": "array", "uniqueItems": true }))),
        ("contains", list(json!({ "contains": { "const": "no" } }))),
        (
            "items with anyOf",
            list(json!({ "items": { "anyOf": [{ "type": "string" }, { "type": "object" }, { "type": "number" }] } })),
        ),
        ("enum", list(json!({ "items": { "enum": (1_000_000..1_000_500).chain([7]).collect::<Vec<_>>() } }))),
        ("propertyNames", json!({ "propertyNames": { "pattern": "^[a-zA-Z_0-9-]*$" } })),
        ("patternProperties", json!({ "patternProperties": { "^a": {}, "^b": {}, "^A_": { "type": "string" } } })),
        (
            "additionalProperties",
            json!({ "properties": { "z": {} }, "additionalProperties": { "type": ["string", "number", "object"] } }),
        ),
        ("a pattern", json!({ "properties": { "to": { "pattern": "^(word |a)*$" } } })),
        (
            "a reference to itself",
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "additionalProperties": { "$ref": "#/$defs/a" } } } }),
        ),
        (
            "unevaluatedProperties",
            json!({ "properties": { "z": {} }, "unevaluatedProperties": { "type": ["string", "number", "array", "object"] } }),
        ),
        ("multipleOf", list(json!({ "items": { "multipleOf": 0.01 } }))),
    ]
}

/// ATK-247: the cost of the check against a schema grows only in proportion to the arguments, whatever they are.
#[test]
fn a_schema_is_checked_in_proportion_to_the_arguments() {
    let inputs = |(name, before, unit, after): &(&'static str, &str, &str, &str)| {
        let inputs: Vec<String> = (0..=DOUBLINGS).map(|times| repeated(before, unit, after, 150 << times)).collect();
        (*name, inputs)
    };
    let arguments: Vec<_> = ARGUMENTS.iter().map(inputs).collect();
    for (keyword, schema) in schemas() {
        let schema = ToolSchema::read(&schema);
        assert_eq!(schema.unreadable(), None, "{keyword}");
        for (name, inputs) in &arguments {
            let what = format!("`{keyword}` with {name}");
            let time = check(&what, inputs, |text| schema.check(Some(text.as_bytes())).is_ok());
            println!("{what}: {time:?} for the largest");
        }
    }
}

/// ATK-247: the same for the schema itself, which an upstream writes: reading it, and checking small arguments against
/// it.
#[test]
fn a_schema_is_read_in_proportion_to_its_length() {
    let shapes: [(&str, &str, &str, &str); 9] = [
        ("properties", r#"{"properties":{"#, r##""a#":{"type":"string"},"##, r#""z":{}}}"#),
        ("properties that fold alike", r#"{"properties":{"#, r##""A_-#":{"type":"string"},"##, r#""z":{}}}"#),
        ("required", r#"{"required":["#, r##""a#","##, r#""z"]}"#),
        ("enum", r#"{"properties":{"z":{"enum":["#, "#,", "1]}}}"),
        ("anyOf", r#"{"anyOf":["#, r##"{"required":["a#"]},"##, "{}]}"),
        ("allOf", r#"{"allOf":["#, r##"{"properties":{"a#":{"type":"string"}}},"##, "{}]}"),
        ("definitions", r##"{"$ref":"#/$defs/a0","$defs":{"##, r##""a#":{"type":"object"},"##, r#""z":{}}}"#),
        ("patterns", r#"{"patternProperties":{"#, r##""^a#$":{"type":"string"},"##, r#""^z$":{}}}"#),
        ("a description", r#"{"description":""#, "word ", r#""}"#),
    ];
    for (name, before, unit, after) in shapes {
        let make = |units| repeated(before, unit, after, units);
        let what = format!("reading {name}");
        let time = in_proportion(&what, 64, make, |text| {
            serde_json::from_str::<Value>(text).map(|schema| ToolSchema::read(&schema).unreadable().is_none()).ok()
        });
        println!("{what}: {time:?} for the largest");
        let what = format!("small arguments and {name}");
        let time = in_proportion(
            &what,
            64,
            |units| ToolSchema::read(&serde_json::from_str(&make(units)).unwrap()),
            |schema| schema.check(Some(br#"{"z":1,"a1":"b","A_-2":"c"}"#)).is_ok(),
        );
        println!("{what}: {time:?} for the largest");
        let what = format!("bounds of {name}");
        in_proportion(&what, 64, make, |text| {
            serde_json::from_str::<Value>(text).map(|schema| check_schema("pay", &schema, None).is_ok()).ok()
        });
    }
}

/// Rules that look at arguments in every possible way.
fn looking() -> Rights {
    rights(
        r#"permit(principal, action, resource);
        forbid(principal, action == Action::"call", resource) when { context.numbers.hasTag("amount") && context.numbers.getTag("amount") > 100 };
        forbid(principal, action == Action::"call", resource) when { context.arguments.hasTag("to") && context.arguments.getTag("to") like "*eve*no*" };
        forbid(principal, action == Action::"call", resource) when { context.arguments.hasTag("to.name") && context.arguments.getTag("to.name") == "no" };
        forbid(principal, action == Action::"call", resource) when { context.flags.hasTag("force") && context.flags.getTag("force") };
        forbid(principal, action == Action::"read", resource) when { resource has uri && resource.uri like "file:///priv/*a*b*c" };"#,
    )
}

/// A task with bounds on every member of the arguments above.
fn bounded() -> Authority {
    let bound = json!({ "properties": {
        "to": { "type": "string", "pattern": "^(word |a)*$" },
        "list": { "type": "array", "uniqueItems": true, "items": { "type": "integer" } },
    } });
    declared(task(TaskDefinition {
        purpose: "pay".to_owned(),
        tools: BTreeMap::from([("pay".to_owned(), Some(bound))]),
        ..TaskDefinition::default()
    }))
}

/// ATK-247: the same for the whole decision, with rules and a task that look at the arguments, and for its explanation.
#[test]
fn a_decision_grows_with_the_arguments() {
    let rights = looking();
    let caller = caller(user(3), "mcp:write");
    let tasks = [("no task", Authority::default()), ("a task", bounded())];
    for (name, before, unit, after) in ARGUMENTS {
        let make = |units| {
            let arguments = Bytes::from(repeated(before, unit, after, units));
            Call { arguments: Some(arguments), ..tool("notes", "pay", ToolClass::Write, "") }
        };
        for (kind, authority) in &tasks {
            let what = format!("deciding on {name} with {kind}");
            let time = in_proportion(&what, 256, make, |call| decide(&rights, &caller, authority, call, now()));
            println!("{what}: {time:?} for the largest");
        }
        let what = format!("explaining {name}");
        in_proportion(&what, 256, make, |call| explain(&rights, &caller, &tasks[0].1, call, now()));
    }
}

/// ATK-247: the same for names and URIs, which an upstream lists and a caller asks for.
#[test]
fn a_decision_grows_with_a_uri() {
    let rights = looking();
    let caller = caller(user(3), "mcp:read");
    for (name, before, unit, after) in [
        ("segments", "file:///", "a/", "z"),
        ("letters of a pattern", "file:///priv/", "abc", ""),
        ("escapes", "file:///priv/", "%61", ""),
        ("parameters", "file:///priv/a", ";b=c", ""),
        ("a query", "https://example.org/?", "a=b&", "c=d"),
    ] {
        let make = |units| {
            let text = repeated(before, unit, after, units);
            let cut: String = text.chars().take(ResourceUri::BYTES_MAX).collect();
            ResourceUri::parse(&cut).ok().map(|uri| Call {
                method: "resources/read",
                target: Target::Resource { uri },
                ..tool("notes", "pay", ToolClass::Read, "")
            })
        };
        in_proportion(&format!("deciding on {name}"), 16, make, |call| {
            call.as_ref().map(|call| {
                let decided = decide(&rights, &caller, &Authority::default(), call, now());
                (decided, may_see(&rights, &caller, &Authority::default(), call, now()))
            })
        });
    }
}

/// ATK-248: the same for the names of tools in a server's list, each of which is judged on its own.
#[test]
fn the_view_of_a_list_grows_with_it() {
    let rights = Arc::new(looking());
    let caller = caller(user(3), "mcp:read");
    let authority = bounded();
    let time = in_proportion(
        "the view of a list",
        64,
        |units| {
            (0..units.min(20_000)).map(|at| tool("notes", &format!("t{at}"), ToolClass::Read, "")).collect::<Vec<_>>()
        },
        |calls| calls.iter().filter(|call| may_see(&rights, &caller, &authority, call, now())).count(),
    );
    println!("the view of a list: {time:?} for the largest");
}
