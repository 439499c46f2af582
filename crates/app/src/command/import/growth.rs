//! Tests that the work of an import grows linearly with the file (ATK-244).

use serde_json::{Map, Value, json};

use super::entries::{self, Names};
use super::jsonc;
use super::parts::Named;
use sekisho_protocol::growth::in_proportion;

/// Makes one server of a file from its number.
type Shape = fn(usize) -> (String, Value);

/// Up to 2,000 servers and far more, whose names become the same name here; equal entries and long entries.
#[test]
fn reading_a_clients_file_grows_with_it() {
    let shapes: [(&str, Shape); 5] = [
        ("equal names", |at| {
            ("日本".repeat(at % 7 + 1) + &"!".repeat(at / 7 % 50) + &"?".repeat(at / 350), json!({ "command": "x" }))
        }),
        ("names with the numbers that equal names get", |at| match at % 2 {
            0 => (format!("a-{}", at / 2 + 2), json!({ "command": "x" })),
            _ => (format!("a{}", "!".repeat(at / 2 % 60) + &"?".repeat(at / 120)), json!({ "command": "x" })),
        }),
        ("secrets", |at| (format!("s{at}"), json!({ "command": "x", "env": { "TOKEN": format!("ghp_{at:0>20}") } }))),
        ("references", |at| {
            (format!("s{at}"), json!({ "command": "x", "args": [format!("${{A{at}}}${{B:-c}}${{HOME}}")] }))
        }),
        ("URLs", |at| (format!("s{at}"), json!({ "url": format!("https://h.example/{at}/a?b=c&d=e") }))),
    ];
    for (name, shape) in shapes {
        let make = |count: usize| {
            let servers: Map<String, Value> = (0..count).map(shape).collect();
            json!({ "mcpServers": servers }).to_string()
        };
        let time = in_proportion(&format!("import of {name}"), 62, make, |text| {
            let document = jsonc::parse(text).unwrap();
            entries::of(&document, &Named::default()).unwrap().len()
        });
        println!("import of {name}: {time:?} for the largest");
    }
}

/// Texts of one entry that could take a reader quadratic time.
#[test]
fn reading_one_text_grows_with_it() {
    let units = ["${", "$", "{", "${A}", "{env:", "a=", "://", "a@", "/a", "?a=b&", "{\"a\":", "password=x;", "-"];
    for unit in units {
        for member in ["args", "url"] {
            let make = |count: usize| {
                let text = unit.repeat(count);
                match member {
                    "args" => json!({ "mcpServers": { "x": { "command": "x", "args": ["--a", text] } } }),
                    _ => json!({ "mcpServers": { "x": { "url": format!("https://h/{text}") } } }),
                }
            };
            in_proportion(&format!("{unit:?} in {member}"), 64, make, |document| {
                entries::of(document, &Named::default()).unwrap().len()
            });
        }
    }
}

/// Comments and trailing commas.
#[test]
fn reading_json_with_comments_grows_with_it() {
    for (before, unit, after) in [
        ("[", "1, /* a */", "]"),
        ("[", "[", ""),
        ("[", "[],", "]"),
        ("[1", ",", "]"),
        ("[1", " ", "]"),
        ("", "// a\n", "1"),
        ("[", "1,\n]", ""),
    ] {
        in_proportion(
            &format!("{unit:?}"),
            256,
            |count| format!("{before}{}{after}", unit.repeat(count)),
            |text| jsonc::parse(text).is_ok(),
        );
    }
}

/// Each name is given out once, whichever names are in use.
#[test]
fn equal_names_become_different_ones() {
    let mut names = Names::default();
    names.take("a-2".to_owned());
    assert_eq!(["a", "a", "a", "a-2", "b"].map(|name| names.free(name)), ["a", "a-3", "a-4", "a-2-2", "b"]);
}
