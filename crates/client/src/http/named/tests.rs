//! The table in docs/threats.md is made from [`Named`], and no request goes to a URL that is not in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sekisho_protocol::metadata::{AuthorizationServer, ProtectedResource};
use serde_json::Value;

use super::Named;

const HEADING: &str = "### What a stranger's document can name";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn table() -> String {
    let mut out = "| What | Where it stands | Who names it | Who follows it | What holds it |\n|---|---|---|---|---|\n"
        .to_owned();
    for row in Named::ALL.iter().map(|named| named.row()) {
        let members = row.members.iter().map(|member| format!("`{member}`")).collect::<Vec<_>>().join(", ");
        let followed = if row.followed_by.is_empty() { "nobody" } else { row.followed_by };
        out.push_str(&format!("| {} | {members} | {} | {followed} | {} |\n", row.what, row.by, row.rule));
    }
    out
}

/// ATK-222: docs/threats.md shows what a stranger can name, who follows it and which rule applies. `UPDATE=1` writes
/// it.
#[test]
fn the_table_of_what_can_be_named_is_true() {
    let path = root().join("docs/threats.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, after) = text.split_once(HEADING).expect("the heading is there");
    let (introduction, table_and_rest) = after.split_once("\n| ").expect("a table follows it");
    let (rows, rest) = table_and_rest.split_once("\n\n").unwrap_or((table_and_rest.trim_end(), ""));
    if std::env::var_os("UPDATE").is_some() {
        let rest = if rest.is_empty() { String::new() } else { format!("\n{rest}") };
        std::fs::write(&path, format!("{before}{HEADING}{introduction}\n{}{rest}", table())).unwrap();
        return;
    }
    assert_eq!(format!("| {rows}\n"), table(), "UPDATE=1 writes it again");
}

/// ATK-222: every URL in the documents that we read has a row. A new member has to be added here.
#[test]
fn every_url_of_a_document_has_a_row() {
    let url = || "https://x.test".to_owned();
    let server = AuthorizationServer {
        issuer: url(),
        authorization_endpoint: url(),
        token_endpoint: url(),
        registration_endpoint: Some(url()),
        revocation_endpoint: Some(url()),
        jwks_uri: Some(url()),
        scopes_supported: Vec::new(),
        response_types_supported: Vec::new(),
        response_modes_supported: Vec::new(),
        grant_types_supported: Vec::new(),
        token_endpoint_auth_methods_supported: Vec::new(),
        token_endpoint_auth_signing_alg_values_supported: Vec::new(),
        revocation_endpoint_auth_methods_supported: Vec::new(),
        code_challenge_methods_supported: Vec::new(),
        authorization_details_types_supported: Vec::new(),
        authorization_response_iss_parameter_supported: false,
        client_id_metadata_document_supported: false,
        dpop_signing_alg_values_supported: Vec::new(),
        ui_locales_supported: Vec::new(),
    };
    let resource = ProtectedResource {
        resource: url(),
        authorization_servers: vec![url()],
        bearer_methods_supported: Vec::new(),
        scopes_supported: Vec::new(),
        resource_name: None,
        dpop_signing_alg_values_supported: Vec::new(),
        dpop_bound_access_tokens_required: false,
    };
    let mut seen = 0;
    for document in [serde_json::to_value(server).unwrap(), serde_json::to_value(resource).unwrap()] {
        for (member, value) in document.as_object().unwrap() {
            let is_url = match value {
                Value::Array(values) => values.iter().any(|value| value == "https://x.test"),
                value => value == "https://x.test",
            };
            let has_row = Named::ALL.iter().any(|named| named.row().members.contains(&member.as_str()));
            assert!(!is_url || has_row, "`{member}` has no row");
            seen += usize::from(is_url);
        }
    }
    assert_eq!(seen, 8);
}

/// The places that call a URL which no stranger named, with the reason. A new place needs a reason here.
const GIVEN: &[(&str, usize, &str)] = &[
    ("app/src/command/import/logins.rs", 1, "the server's URL, as the client's file has it that a person named"),
    ("app/src/command/login.rs", 1, "the server's URL, as a person typed it"),
    ("app/src/command/specmap/sources.rs", 1, "a document's URL, as a person typed it"),
    ("app/src/heads.rs", 1, "configuration"),
    ("app/src/webhook.rs", 1, "configuration"),
    ("client/src/bridge/line.rs", 1, "the server's URL, as a person typed it"),
    ("client/src/bridge/request.rs", 1, "the server's URL, as a person typed it"),
    ("client/src/bridge/state.rs", 1, "the server's URL, as a person typed it"),
    ("client/src/doctor.rs", 1, "the server's URL, as a person typed it"),
    ("client/src/doctor/inside.rs", 1, "the server's URL, as a person typed it"),
    ("client/src/mcp.rs", 2, "the server's URL, as a person typed it"),
    ("client/src/vendor.rs", 2, "configuration: the server, and the question whose account a key or token is for"),
    ("demo/src/attacks.rs", 4, "the demonstration's own servers"),
    ("demo/src/person.rs", 7, "a person in a browser, who follows every link"),
    ("issuer/src/login/upstream/person.rs", 1, "where the kind of provider that is configured keeps group memberships"),
];
/// The places that open connections.
const OPENS: &[(&str, &str)] = &[
    ("client/src/http/safe.rs", "everything that has a `Destination`"),
    ("gateway/src/forward/http/connect.rs", "to what the operator configured; no redirect is followed"),
];

fn sources() -> BTreeMap<String, String> {
    let crates = root().join("crates");
    let mut found = BTreeMap::new();
    let mut open: Vec<PathBuf> =
        std::fs::read_dir(&crates).unwrap().map(|folder| folder.unwrap().path().join("src")).collect();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&crates).unwrap().display().to_string();
                let text = std::fs::read_to_string(path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
                let of_tests = name.starts_with("e2e/")
                    || ["/tests", "fixture", "testing.rs"].iter().any(|part| name.contains(part));
                if !of_tests {
                    found.insert(name, text);
                }
            }
        }
    }
    found
}

/// ATK-222: the places that call a URL which nobody named are listed; every followed link is called under its own name;
/// and nothing else opens connections.
#[test]
fn nothing_is_asked_for_but_what_is_known() {
    let sources = sources();
    assert!(sources.len() > 200, "{}", sources.len());
    let count = |word: &str| -> BTreeMap<&str, usize> {
        let counted = sources.iter().map(|(name, text)| (name.as_str(), text.matches(word).count()));
        counted.filter(|(name, count)| *count > 0 && *name != "client/src/http/destination.rs").collect()
    };
    let given: BTreeMap<&str, usize> = GIVEN.iter().map(|(name, times, _)| (*name, *times)).collect();
    assert_eq!(count("Destination::given("), given);
    let opens: Vec<&str> = ["TcpStream::connect(", "HttpConnector::", "legacy::Client"]
        .iter()
        .flat_map(|word| count(word).into_keys())
        .collect();
    assert!(!opens.is_empty());
    for name in opens {
        assert!(OPENS.iter().any(|(known, _)| *known == name), "{name} opens connections");
    }
    for named in Named::ALL {
        let word = format!("Named::{named:?}");
        let used = sources.iter().any(|(name, text)| !name.ends_with("http/named.rs") && text.contains(&word));
        assert_eq!(used, !named.row().followed_by.is_empty(), "{word}: the table says who follows it");
    }
}
