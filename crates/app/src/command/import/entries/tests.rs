use std::path::Path;

use serde_json::{Value, json};

use super::{Entry, Form, form, of, server_name, servers};
use crate::command::import::parts::{Named, Parts};

fn entry(value: Value) -> Entry {
    of(&json!({ "mcpServers": { "x": value } }), &Named::default()).unwrap().remove(0)
}

fn says(value: Value) -> String {
    entry(value).carries.iter().map(|found| found.says.clone()).collect::<Vec<_>>().join("\n")
}

/// Every kind of exposed authority is reported, and a good entry gets no warning.
#[test]
fn what_an_entry_carries_is_told() {
    for (value, expected) in [
        (json!({ "command": "x", "env": { "GITHUB_TOKEN": "ghp_CANARYCANARY" } }), "variable GITHUB_TOKEN"),
        (json!({ "command": "x", "env": { "PLAIN": "sk-CANARYCANARY12" } }), "variable PLAIN"),
        (json!({ "url": "https://h/mcp", "headers": { "Authorization": "Bearer CANARY" } }), "header Authorization"),
        (json!({ "command": "x", "args": ["--api-key", "CANARY"] }), "on the command line"),
        (json!({ "command": "x", "args": ["--token=CANARY"] }), "on the command line"),
        (json!({ "url": "https://h/mcp?api_key=CANARY" }), "in the URL"),
        (json!({ "url": "http://h.example/mcp" }), "plain http to h.example"),
        (json!({ "url": "http://localhost:3000/mcp" }), "without a credential"),
        (json!({ "command": "npx", "args": ["-y", "@scope/pkg"] }), "`@scope/pkg` is not pinned"),
        (json!({ "command": "npx", "args": ["postgres://u:CANARY@h/db"] }), "on the command line"),
        (json!({ "command": "sudo", "args": ["x"] }), "runs as root"),
        (json!({ "command": "bash", "args": ["-c", "sh -c x"] }), "a shell"),
        (json!({ "command": "x", "args": ["/home/a/.ssh"] }), "SSH keys"),
        (json!({ "command": "x", "args": ["/"] }), "whole disk"),
        (json!({ "command": "x", "args": ["$HOME"] }), "whole disk"),
    ] {
        assert!(says(value.clone()).contains(expected), "{value}: {}", says(value.clone()));
        let entry = entry(value);
        let shown = format!("{} {} {:?}", entry.shown(), entry.masked, entry.carries);
        assert!(!shown.contains("CANARY"), "{shown}");
    }
    let good = json!({ "command": "npx", "args": ["-y", "@scope/pkg@1.2.3"], "env": { "LEVEL": "info" } });
    assert_eq!(entry(good).carries.len(), 1);
    assert_eq!(entry(json!({ "type": "http", "url": "https://h/mcp" })).carries.len(), 0);
}

/// Nothing that is recognised is shown, wherever it stands in an entry.
#[test]
fn no_secret_is_shown() {
    for value in [
        json!({ "command": "npx", "args": ["-y", "s@1.0.0", "postgresql://app:CANARY-1@db.example.com:5432/app"] }),
        json!({ "command": "x", "env": { "DATABASE_URI": "postgresql://app:CANARY-2@localhost/app", "DB_PASS": "CANARY-3", "MYSQL_PWD": "CANARY-4" } }),
        json!({ "command": "npx", "args": ["-y", "b@1.0.0", "https://h/mcp", "--header", "Authorization: Bearer CANARY-5"] }),
        json!({ "command": "x", "env": { "API_HEADERS": "{\"Authorization\": \"Bearer CANARY-6\"}" } }),
        json!({ "command": "x", "args": ["--connection-string", "Server=db;User=sa;Password=CANARY-7"] }),
        json!({ "url": "https://h/api/s/CANARY8CANARY8CANARY8CANARY8CANARY8/mcp" }),
        json!({ "url": "https://h/mcp", "headers": { "Cookie": "sid=CANARY-9", "X-Auth": "CANARY-10" } }),
        json!({ "url": "https://h/mcp", "apiKey": "CANARY", "nested": { "password": 12345, "deep": [{ "token": "CANARY" }] } }),
        json!({ "command": "x", "env": { "A": "${A_TOKEN:-ghp_CANARYCANARY}" } }),
        json!({ "command": ["x", "--token", "CANARY"], "environment": { "API_KEY": "CANARY" } }),
    ] {
        let entry = entry(value);
        let shown = format!("{} {} {:?} {:?}", entry.shown(), entry.masked, entry.carries, entry.stays);
        assert!(!shown.contains("CANARY") && !shown.contains("12345"), "{shown}");
    }
}

/// A name given by the user as that of a secret is treated as one, whatever it names.
#[test]
fn a_name_that_is_given_is_that_of_a_secret() {
    let named = Named::new(&["TEAM".to_owned(), "--where".to_owned()]);
    let value = json!({ "mcpServers": { "x": { "command": "x", "args": ["--where", "CANARY", "--where=CANARY", "-e", "TEAM=CANARY"],
        "env": { "team": "CANARY", "OTHER": "open" } } } });
    let entry = of(&value, &named).unwrap().remove(0);
    let shown = format!("{} {}", entry.shown(), entry.masked);
    assert!(!shown.contains("CANARY") && shown.contains("open"), "{shown}");
    assert!(entry.environment["team"].has_secret());
}

/// ATK-229: entries with values that only the client can fill in stay with the client, `${file:…}` above all. So do
/// entries of an unknown form and disabled ones.
#[test]
fn what_cannot_be_taken_over_stays() {
    for (value, stays) in [
        (json!({ "url": "https://h/mcp", "headers": { "X": "${file:/etc/passwd}" } }), true),
        (json!({ "url": "https://h/mcp", "headers": { "X": "a ${ file:/etc/passwd}" } }), true),
        (json!({ "url": "https://h/mcp", "headers": { "X": "${env:A${file:/etc/passwd}}" } }), true),
        (json!({ "url": "https://h/mcp", "headers": { "X": "${env:A}${file:/x" } }), true),
        (json!({ "command": "x", "env": { "X": "${FILE:/x}" } }), true),
        (json!({ "command": "x", "env": { "X": "{file:/x}" } }), true),
        (json!({ "command": "x", "args": ["${workspaceFolder}"] }), true),
        (json!({ "command": "x", "env": { "X": ["a"] } }), true),
        (json!({ "command": "x", "args": "a b" }), true),
        (json!({ "command": "x", "args": [["a"]] }), true),
        (json!({ "command": "x", "disabled": "yes" }), true),
        (json!({ "command": "x", "disabled": true }), true),
        (json!({ "command": ["x"], "enabled": false }), true),
        (json!({ "command": "x", "cwd": "relative" }), true),
        (json!({ "command": "x", "cwd": "${workspaceFolder}/x" }), true),
        (json!({ "command": "x", "envFile": "/nowhere/at/all/.env" }), true),
        (json!({ "command": "x", "envFile": "${workspaceFolder}/.env" }), true),
        (json!({ "url": "https://h/mcp", "headers": { "a b": "c" } }), true),
        (json!({ "url": "https://h/mcp", "headers": { "X": "a\nb" } }), true),
        (json!({ "url": "https://user@h/mcp" }), true),
        (json!({ "url": "https://h/mcp", "serverUrl": "https://other/mcp" }), true),
        (json!({ "url": "https://h/mcp", "command": "x" }), true),
        (json!({ "type": "sse", "url": "https://h/sse" }), true),
        (json!({ "type": "ws", "url": "https://h/mcp" }), true),
        (json!({ "url": "https://h/mcp", "auth": { "CLIENT_ID": "x" } }), true),
        (json!({ "command": "npx", "args": ["-y", "mcp-remote", "https://h/mcp"] }), true),
        (json!({ "command": "npx", "args": ["mcp-remote@0.15.1", "https://h/mcp", "--header", "X-Team: a"] }), true),
        (json!({ "type": "sse" }), true),
        (json!({}), true),
        (json!(1), true),
        (
            json!({ "command": "npx", "args": ["mcp-remote@1", "https://h/mcp", "--header", "Authorization: Bearer CANARY"] }),
            false,
        ),
        (json!({ "command": "x", "env": { "X": "${env:GITHUB_TOKEN}" } }), false),
        (json!({ "command": "x", "env": { "X": "${HOME}" } }), false),
        (json!({ "command": "x", "env": { "X": "${input:token}" } }), false),
        (json!({ "url": "https://${env:HOST}/mcp" }), false),
        (json!({ "command": "x", "env": { "X": 1, "Y": "$HOME" } }), false),
        (json!({ "command": "x", "disabled": false, "args": null }), false),
        (json!({ "serverUrl": "https://h/mcp" }), false),
        (json!({ "httpUrl": "https://h/mcp" }), false),
        (json!({ "type": "http", "url": "https://h/mcp" }), false),
        (json!({ "type": "local", "command": ["node", "server.js"], "enabled": true }), false),
    ] {
        let why = entry(value.clone()).stays;
        assert_eq!(why.is_some(), stays, "{value}: {why:?}");
    }
    let told = says(json!({ "command": "x", "env": { "X": "${env:GITHUB_TOKEN}" } }));
    assert!(told.contains("X is what `${env:GITHUB_TOKEN}` is"), "{told}");
    let unset = says(json!({ "command": "x", "env": { "X": "${SEKISHO_TEST_NOT_SET_ANYWHERE}" } }));
    assert!(unset.contains("it is not set here"), "{unset}");
}

/// The folder, the variables of a file and the list of words are kept as they were.
#[test]
fn no_member_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".env");
    std::fs::write(&file, "# mine\nexport A=1\nB = \"two words\"\nC='x' \nTOKEN=CANARY # not mine\n\n").unwrap();
    let value = json!({ "command": ["node", "server.js"], "environment": { "A": "nearer" }, "cwd": folder.path(), "envFile": file });
    let entry = entry(value);
    assert_eq!(entry.stays, None);
    let plain = |parts: &Parts| {
        parts
            .written(|kept| match kept {
                super::super::parts::StoredValue::Input(id) | super::super::parts::StoredValue::Secret(id) => {
                    Ok::<_, ()>(id.to_owned())
                }
            })
            .unwrap()
    };
    assert_eq!(entry.command.iter().map(plain).collect::<Vec<_>>(), ["node", "server.js"]);
    assert_eq!(entry.directory.as_deref(), Some(folder.path()));
    let variables: Vec<(&str, String)> =
        entry.environment.iter().map(|(name, parts)| (name.as_str(), plain(parts))).collect();
    let expected = [("A", "nearer"), ("B", "two words"), ("C", "x"), ("TOKEN", "CANARY")];
    assert_eq!(variables, expected.map(|(name, value)| (name, value.to_owned())));
    assert!(entry.environment["B"].has_secret());
}

/// Names become distinct server names, and the new entries are of the form that the client reads.
#[test]
fn names_and_places_are_kept() {
    for (name, expected) in
        [("GitHub", "github"), ("My Server!", "my-server"), ("9lives", "server-9lives"), ("日本", "server")]
    {
        assert_eq!(server_name(name), expected);
    }
    let two = json!({ "servers": { "A B": { "url": "https://h" }, "a-b": { "url": "https://h" } } });
    let two = of(&two, &Named::default()).unwrap();
    assert_eq!(two.iter().map(|entry| entry.server.as_str()).collect::<Vec<_>>(), ["a-b", "a-b-2"]);
    let url = "http://localhost:8420/mcp/x";
    for (name, before, after) in [
        ("mcp.json", json!({ "mcpServers": { "x": { "command": "y" } } }), json!({ "url": url })),
        (".mcp.json", json!({ "mcpServers": { "x": { "command": "y" } } }), json!({ "type": "http", "url": url })),
        ("mcp.json", json!({ "servers": { "x": { "command": "y" } } }), json!({ "type": "http", "url": url })),
        ("s.json", json!({ "mcp": { "servers": { "x": { "command": "y" } } } }), json!({ "type": "http", "url": url })),
        (
            "s.json",
            json!({ "mcpServers": { "x": { "httpUrl": "https://h", "trust": true } } }),
            json!({ "httpUrl": url, "trust": true }),
        ),
        (
            "s.json",
            json!({ "mcpServers": { "x": { "serverUrl": "https://h", "alwaysAllow": ["a"] } } }),
            json!({ "serverUrl": url, "alwaysAllow": ["a"] }),
        ),
        (
            "s.json",
            json!({ "mcpServers": { "x": { "type": "http", "url": "https://h" } } }),
            json!({ "type": "http", "url": url }),
        ),
        (
            "s.json",
            json!({ "mcpServers": { "x": { "type": "streamable-http", "url": "https://h" } } }),
            json!({ "type": "streamable-http", "url": url }),
        ),
        (
            "s.json",
            json!({ "mcpServers": { "x": { "type": "stdio", "command": "y" } } }),
            json!({ "type": "http", "url": url }),
        ),
        (
            "opencode.json",
            json!({ "mcp": { "x": { "type": "local", "command": ["y"] } } }),
            json!({ "type": "remote", "url": url }),
        ),
    ] {
        let entries = of(&before, &Named::default()).unwrap();
        let through = entries[0].through("http://localhost:8420", false, form(&before, Path::new(name)));
        assert_eq!(through, after, "{name} {before}");
        let mut written = before.clone();
        servers(&mut written).unwrap().insert("x".to_owned(), through);
        assert!(written.to_string().contains(url), "{written}");
    }
    let bridge = entry(json!({ "command": "y" })).through("http://localhost:8420", true, Form::Untyped);
    assert_eq!(bridge, json!({ "command": "sekisho", "args": ["connect", url] }));
    for none in [json!({ "mcpServers": [] }), json!({}), json!({ "mcp": 1 }), json!({ "mcp": { "x": 1 } })] {
        assert!(of(&none, &Named::default()).is_none(), "{none}");
    }
}

/// An entry that is behind a checkpoint already is not moved behind it again.
#[test]
fn what_is_behind_a_checkpoint_stays() {
    let url = "http://localhost:8420/mcp/x";
    for value in [json!({ "url": url }), json!({ "command": "/usr/bin/sekisho", "args": ["connect", url] })] {
        let mut entry = entry(value);
        entry.stay_behind("http://localhost:8420");
        assert!(entry.stays.is_some_and(|why| why.contains("already")));
    }
    let mut other = entry(json!({ "url": "http://localhost:8421/mcp/x" }));
    other.stay_behind("http://localhost:8420");
    assert_eq!(other.stays, None);
}
