//! Every endpoint that a stranger can reach is in the table of costs, and the document has a row for each.

use std::collections::BTreeSet;

use sekisho_e2e::strangers::ENDPOINTS;

use crate::sources::root;

/// The files in which routes are made, and what stands in front of each path.
const ROUTERS: [(&str, &str); 6] = [
    ("crates/issuer/src/endpoints.rs", ""),
    ("crates/gateway/src/lib.rs", ""),
    ("crates/console/src/lib.rs", ""),
    ("crates/console/src/scim.rs", "/scim/v2"),
    ("crates/web/src/routes.rs", ""),
    ("crates/app/src/serving.rs", ""),
];
/// What a route is written as where its path is no text of its own.
const NAMED: [(&str, &str); 2] = [
    ("metadata::ROOT", "/.well-known/oauth-protected-resource"),
    ("&described", "/.well-known/oauth-protected-resource/mcp/{name}"),
];

/// Returns `METHOD PATH` of every `.route(…)` in this text.
fn routes(text: &str, before: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for piece in text.split(".route(").skip(1) {
        let call = piece.split(".route(").next().unwrap_or_default();
        let named = NAMED.iter().find(|(name, _)| call.trim_start().starts_with(name));
        let path = match named {
            Some((_, path)) => (*path).to_owned(),
            None => call.split('"').nth(1).expect("a route has a path").replace("{prefix}", ""),
        };
        let end = call.find(";\n").unwrap_or(call.len());
        let rest = call.split_at(end).0;
        for (word, method) in [
            ("get(", "GET"),
            ("post(", "POST"),
            ("put(", "PUT"),
            ("patch(", "PATCH"),
            ("delete(", "DELETE"),
            ("any(", "ANY"),
        ] {
            let is_there = rest.match_indices(word).any(|(at, _)| {
                at == 0 || !rest.as_bytes()[at - 1].is_ascii_alphanumeric() && rest.as_bytes()[at - 1] != b'_'
            });
            if is_there {
                found.insert(format!("{method} {before}{path}"));
            }
        }
    }
    found
}

/// ATK-196: an endpoint can only be added with an entry about what strangers can make it cost.
#[test]
fn every_endpoint_is_in_the_table_of_strangers() {
    let mut routed = BTreeSet::new();
    for (file, before) in ROUTERS {
        let text = std::fs::read_to_string(root().join(file)).expect("a source file is text");
        routed.extend(routes(&text, before));
    }
    assert!(routed.len() > 25, "the routes were not found: {routed:?}");
    // Calls have no route of their own: everything below `/mcp/` goes to them.
    routed.extend(["GET", "POST", "DELETE"].map(|method| format!("{method} /mcp/{{name}}")));
    let listed: BTreeSet<String> = ENDPOINTS.iter().map(sekisho_e2e::strangers::Endpoint::title).collect();
    let missing: Vec<_> = routed.symmetric_difference(&listed).collect();
    assert!(missing.is_empty(), "routers and the table in crates/e2e/src/strangers.rs differ: {missing:?}");
    let document = std::fs::read_to_string(root().join("docs/threats.md")).expect("the document is there");
    let without: Vec<_> = listed.iter().filter(|title| !document.contains(&format!("| `{title}` |"))).collect();
    assert!(without.is_empty(), "docs/threats.md has no row for {without:?}: run scripts/strangers");
}

#[test]
fn routes_are_found_as_they_are_written() {
    let text = r#"
        let described = format!("{}/mcp/{{name}}", metadata::ROOT);
        Router::new()
            .route(&at("/consent/{pending}"), get(consent::show).post(consent::decide))
            .route(&format!("/.well-known/x{prefix}"), get(metadata::show))
            .route(metadata::ROOT, get(describe).options(cors::preflight))
            .route("/healthz", axum::routing::get(|| async { "ok" }))
    "#;
    let expected = [
        "GET /.well-known/oauth-protected-resource",
        "GET /.well-known/x",
        "GET /consent/{pending}",
        "GET /healthz",
        "POST /consent/{pending}",
    ];
    assert_eq!(routes(text, "").into_iter().collect::<Vec<_>>(), expected);
}
