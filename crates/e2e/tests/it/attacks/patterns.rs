//! Bounds on regular expressions, which limit the computation that a stranger can cause.

use std::time::Duration;

use sekisho_e2e::fakes::call::modern;
use sekisho_e2e::fakes::wire::Ask;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::field::{Field, UP, USER};

/// ATK-245: four expressions of some hundred states each, and texts of 300 kB. An expression with more states is
/// refused when the task is created, and a text that the expressions would take too long to match is refused when the
/// call arrives.
#[tokio::test(flavor = "multi_thread")]
async fn patterns_stop_nobody() {
    let field = Field::start().await;
    let granted = field.granted(USER, "mcp:read mcp:write").await;
    let grant = granted.claim("grant").as_str().unwrap().to_owned();
    let start = async |bounds: &Value| {
        let bounds = format!("keep={bounds}");
        let words = ["task", "start", "--grant", &grant, "--purpose", "p", "--bounds", &bounds];
        field.checkpoint.command(&words).await
    };
    // An expression with thousands of states, each of which is checked for each character.
    let large = start(&json!({ "properties": { "a": { "pattern": "^(?:[a-z]{0,60}-?){20}$" } } })).await;
    assert_ne!(large.code(), Some(0), "{}", large.stdout);
    assert!(large.stderr.contains("8 KiB"), "{}", large.stderr);
    let names = ["a", "b", "c", "d"];
    let properties: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!({ "pattern": "^(?:[a-z]{0,9}-?){5}x*$" }))).collect();
    let small = start(&json!({ "properties": properties })).await;
    assert_eq!(small.code(), Some(0), "{}", small.stderr);
    let call = |text: &str| {
        let arguments: serde_json::Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), json!(text))).collect();
        modern(UP, &granted.access, "tools/call", json!({ "name": "keep", "arguments": arguments }))
    };
    assert_eq!(field.ask(&call("abc-x")).await.status, 200, "what is inside of the bounds passes");
    let long = "x".repeat(300_000);
    let began = Instant::now();
    let (request, again, alive) = (call(&long), call(&long), Ask::get("/healthz"));
    let (one, other, health) = tokio::join!(field.ask(&request), field.ask(&again), field.ask(&alive));
    assert_eq!((one.status, other.status), (403, 403), "{}", one.text());
    assert_eq!(health.status, 200);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
