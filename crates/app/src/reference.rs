//! The pages of `docs/reference/`, written from the code. The test fails when a page is not what the code says;
//! `SEKISHO_WRITE=1` writes the pages anew.

mod records;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, Command, CommandFactory as _};
use serde_json::Value;

use crate::cli::Cli;
use crate::config;

const WRITTEN: &str =
    "<!-- Written from the code by `SEKISHO_WRITE=1 cargo test -p sekisho reference`. Do not edit. -->\n\n";

#[test]
fn the_reference_pages_say_what_the_code_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let pages = [
        ("commands.md", commands()),
        ("configuration.md", configuration()),
        ("policies.md", policies()),
        ("records.md", records::records()),
        ("refusals.md", records::refusals()),
    ];
    for (name, page) in pages {
        let (file, page) = (folder.join(name), format!("{WRITTEN}{page}"));
        if std::env::var_os("SEKISHO_WRITE").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &page).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == page,
            "docs/reference/{name} is out of date: run `SEKISHO_WRITE=1 cargo test -p sekisho reference`"
        );
    }
}

/// A cell of a table in Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

// --- Commands ---

fn commands() -> String {
    let mut page = String::from(
        "# Commands\n\nEvery command takes `--data-dir DIR` (or the variable `SEKISHO_DATA_DIR`) and `--json`. Exit codes: 0 yes, 1 no, \
         2 usage, 3 environment.\n",
    );
    let mut cli = Cli::command();
    cli.build();
    for command in cli.get_subcommands() {
        describe(&mut page, command, "sekisho", 2);
    }
    page
}

fn describe(page: &mut String, command: &Command, parent: &str, depth: usize) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(
        page,
        "\n{} `{name}`\n\n{}{}",
        "#".repeat(depth),
        about.trim(),
        if about.ends_with('.') { "" } else { "." }
    );
    let arguments: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !arg.is_global_set() && arg.get_id() != "help")
        .collect();
    if !arguments.is_empty() {
        page.push_str("\n| Argument | Meaning |\n|---|---|\n");
    }
    for argument in arguments {
        let _ = writeln!(page, "| {} | {} |", cell(&spelling(argument)), cell(&meaning(argument)));
    }
    for inner in command.get_subcommands() {
        describe(page, inner, &name, depth + 1);
    }
}

fn spelling(argument: &Arg) -> String {
    let values: Vec<String> =
        argument.get_value_names().unwrap_or_default().iter().map(|name| name.to_string()).collect();
    let takes_value = argument.get_num_args().is_none_or(|count| count.takes_values());
    let value = if takes_value { format!(" {}", values.join(" ")) } else { String::new() };
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    match short.into_iter().chain(long).collect::<Vec<_>>() {
        names if names.is_empty() => format!("`{}`", values.join(" ")),
        names => format!("`{}{value}`", names.join(", ")),
    }
}

fn meaning(argument: &Arg) -> String {
    let mut text = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> =
        argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    let takes_value = argument.get_num_args().is_none_or(|count| count.takes_values());
    if takes_value && !values.is_empty() && !values.contains(&"`true`".to_owned()) {
        let _ = write!(text, ": {}", values.join(", "));
    }
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    if takes_value && !defaults.is_empty() {
        let _ = write!(text, " (default {})", defaults.join(", "));
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(text, " (variable `{}`)", variable.to_string_lossy());
    }
    text
}

// --- Configuration ---

fn configuration() -> String {
    let schema = config::schema().to_value();
    let mut page = String::from(
        "# Configuration\n\n`sekisho init` writes a commented file to start from, `sekisho check` reports every mistake in it, and \
         `sekisho schema` prints the JSON Schema of it. A value that is a secret may be written as `${env:NAME}` or `${file:PATH}`.\n",
    );
    table(&mut page, "The file", &schema);
    let definitions = schema["$defs"].as_object().unwrap();
    for (name, definition) in definitions {
        if definition["properties"].is_object() {
            table(&mut page, name, definition);
        }
    }
    page
}

fn table(page: &mut String, name: &str, schema: &Value) {
    let about = schema["description"].as_str().unwrap_or_default();
    let _ = writeln!(page, "\n## {name}\n\n{about}\n\n| Key | Type | Meaning | Default |\n|---|---|---|---|");
    for (key, member) in schema["properties"].as_object().into_iter().flatten() {
        let default = match &member["default"] {
            Value::Null => String::new(),
            Value::Object(_) => String::new(),
            value => format!("`{value}`"),
        };
        let about = member["description"].as_str().unwrap_or_default();
        let _ = writeln!(page, "| `{key}` | {} | {} | {} |", cell(&kind(member)), cell(about), cell(&default));
    }
}

fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    }
    for several in ["anyOf", "oneOf", "allOf"] {
        if let Some(kinds) = schema[several].as_array() {
            let kinds = kinds.iter().map(kind).filter(|kind| kind != "null");
            return kinds.collect::<Vec<_>>().join(" or ");
        }
    }
    match &schema["type"] {
        Value::String(text) if text == "array" => format!("list of {}", kind(&schema["items"])),
        Value::String(text) if text == "object" && schema["additionalProperties"].is_object() => {
            format!("table of {}", kind(&schema["additionalProperties"]))
        }
        Value::String(text) => text.clone(),
        Value::Array(kinds) => {
            let kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
            kinds
                .map(|kind| {
                    if kind == "array" { format!("list of {}", self::kind(&schema["items"])) } else { kind.to_owned() }
                })
                .collect::<Vec<_>>()
                .join(" or ")
        }
        _ if schema["const"].is_string() => format!("`{}`", schema["const"]),
        _ => "any".to_owned(),
    }
}

// --- Policies ---

fn policies() -> String {
    format!(
        "# What policies may speak of\n\nThis is the Cedar schema that policies are checked against. `sekisho policy schema` prints it. \
         [Writing rules](../policies.md) explains what a rule compares.\n\n```cedarschema\n{}\n```\n",
        sekisho_policy::rights::schema_text().trim_end()
    )
}
