//! The public conformance suites of the protocol, run directly against an upstream and through the checkpoint: whatever
//! passes directly must pass through the checkpoint.

use std::collections::BTreeSet;

use sekisho_e2e::harness::{Checkpoint, Person, example, node};
use sekisho_protocol::mcp::method::Revision;
use serde_json::{Value, json};

use crate::clients::{OWNER, PASSWORD};

/// All scopes, because the suites call every tool.
const ALL: &str = "mcp:read mcp:write mcp:destructive";

/// A checkpoint in front of the upstream. The owner accepts the proposed classes of its tools on the first consent
/// page; tools that a suite adds later do not matter.
async fn protected(upstream: &node::Serving) -> (Checkpoint, String) {
    let checkpoint =
        Checkpoint::http(&upstream.url).argument("--name").argument("suite").owner(OWNER, PASSWORD).start().await;
    let mut owner = Person::new(OWNER, PASSWORD).ticking("scope", "mcp:destructive");
    let (_, tokens) = checkpoint.let_in(&mut owner, ALL).await;
    let mut granted: Vec<_> = tokens.scope.split(' ').collect();
    granted.sort_unstable();
    assert_eq!(granted, ["mcp:destructive", "mcp:read", "mcp:write"]);
    let listed = checkpoint.talk(Revision::V2026_07_28, Some(&tokens.access)).tools().await;
    let classed = checkpoint.ask(&["server", "tools", "list", "suite"]).await;
    let classed: BTreeSet<_> = classed[0]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|tool| !tool["class"].is_null())
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert!(
        listed.len() > 10 && listed.iter().all(|name| classed.contains(name.as_str())),
        "{listed:?} against {classed:?}"
    );
    (checkpoint, tokens.access)
}

async fn nothing_is_lost(suite: &str, requirements: Option<&str>) {
    let upstream = node::serve::<&str>("upstream", &[]).await;
    let (checkpoint, token) = protected(&upstream).await;
    let mut arguments =
        vec!["--suite", suite, "--bare", &upstream.url, "--gateway", checkpoint.server(), "--token", &token];
    arguments.extend(requirements.iter().flat_map(|revision| ["--requirements", revision]));
    let outcome = node::run("conformance", &arguments).await;
    let report = outcome.result;
    assert_eq!(report["lost"], json!([]), "what passes bare must pass through us: {report:#}\n{}", outcome.stderr);
    assert!(outcome.ok, "{report:#}\n{}", outcome.stderr);
    assert_eq!(report["passed"]["bare"], report["passed"]["through"], "{:#}", report["scenarios"]);
    // A suite that no longer runs would lose nothing either, so there is a minimum.
    let passed = report["passed"]["through"].as_u64().unwrap_or_default();
    assert!(passed >= 20, "only {passed} scenarios passed: {:#}", report["scenarios"]);
    assert_eq!(report["alsoLost"], json!([]), "checks inside scenarios that fail bare anyway");
}

/// TR-10, TR-50: the suite of 2025.
#[tokio::test(flavor = "multi_thread")]
async fn conformance_0_1_loses_nothing_through_the_checkpoint() {
    nothing_is_lost("0.1", None).await;
}

/// TR-10, TR-50: the requirements of 2025-11-25.
#[tokio::test(flavor = "multi_thread")]
async fn conformance_0_2_loses_nothing_of_2025_11_25() {
    nothing_is_lost("0.2", Some("2025-11-25")).await;
}

/// TR-10, TR-12, TR-13, TR-16, TR-50: the requirements of 2026-07-28.
#[tokio::test(flavor = "multi_thread")]
async fn conformance_0_2_loses_nothing_of_2026_07_28() {
    nothing_is_lost("0.2", Some("2026-07-28")).await;
}

/// AS-04, AS-06: the suite's own client, a real browser and our authorization server: metadata, and the exchange of a
/// code for a token.
#[tokio::test(flavor = "multi_thread")]
async fn conformance_of_the_authorization_server() {
    let checkpoint = Checkpoint::notes().owner(OWNER, PASSWORD).start().await;
    for resource in [None, Some(checkpoint.server())] {
        let mut arguments =
            vec!["--authorization", "--issuer", checkpoint.base_url(), "--user", OWNER, "--password", PASSWORD];
        arguments.extend(resource.iter().flat_map(|resource| ["--resource", resource]));
        let outcome = node::run("conformance", &arguments).await.worked();
        let succeeded: BTreeSet<_> = outcome.result["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|check| check["status"] == "SUCCESS")
            .filter_map(|check| check["id"].as_str())
            .collect();
        assert!(
            succeeded.contains("authorization-server-metadata") && succeeded.contains("authorization-code-grant"),
            "{:#}",
            outcome.result
        );
        let failed = |check: &&Value| check["status"] == "FAILURE";
        assert!(
            !outcome.result["checks"].as_array().unwrap().iter().any(|check| failed(&check)),
            "{:#}",
            outcome.result
        );
    }
}

/// Scenarios about features that our client does not have.
const NOT_OURS: [&str; 4] = [
    // Skills (SEP-2640): documents for models, which a bridge passes on and does not read.
    "sep-2640-client-no-prefetch",
    "sep-2640-client-verify-digest",
    "sep-2640-client-verify-frontmatter",
    "sep-2640-client-verify-size",
];

/// Runs each scenario separately, through the bridge of `sekisho connect`: its checks, and the exit code of the client.
async fn the_client_passes(suite: &str, requirements: &str, at_least: usize) {
    let program = example("conformance").display().to_string();
    let names = node::run("conformance", &["--suite", suite, "--list"]).await.worked().result;
    let listed = names["client"].as_array().unwrap();
    let is_of = |scenario: &&Value, revisions: &[&str]| {
        scenario["revisions"].as_array().unwrap().iter().any(|known| revisions.iter().any(|&one| known == one))
    };
    let of_this = listed.iter().filter(|scenario| is_of(scenario, &[requirements, "draft", "extension"]));
    let names: Vec<&str> = of_this.filter_map(|scenario| scenario["name"].as_str()).collect();
    let mut arguments = vec!["--suite", suite, "--client", &program, "--requirements", requirements];
    let ours: Vec<_> = names.iter().filter(|name| !NOT_OURS.contains(name)).collect();
    arguments.extend(ours.iter().flat_map(|name| ["--scenario", name]));
    let outcome = node::run("conformance", &arguments).await;
    assert!(outcome.ok, "{:#}\n{}", outcome.result, outcome.stderr);
    let scenarios = outcome.result["scenarios"].as_object().unwrap();
    for (name, scenario) in scenarios {
        assert_eq!((&scenario["failed"], &scenario["warned"]), (&json!([]), &json!([])), "{name}: {scenario:#}");
    }
    assert!(scenarios.len() >= at_least, "{:?}", scenarios.keys());
}

/// CL-01 to CL-09, CL-22, CL-24, CL-26: the suite of 2025.
#[tokio::test(flavor = "multi_thread")]
async fn our_client_passes_conformance_0_1() {
    the_client_passes("0.1", "2025-11-25", 22).await;
}

/// CL-01, CL-03, CL-11, CL-12, CL-14, CL-53, CL-55: the requirements of 2025-11-25, and the extensions.
#[tokio::test(flavor = "multi_thread")]
async fn our_client_passes_conformance_0_2_in_2025_11_25() {
    the_client_passes("0.2", "2025-11-25", 24).await;
}

/// CL-09, CL-18, CL-25, CL-32, CL-33, CL-40, TR-33: the requirements of 2026-07-28, and the extensions.
#[tokio::test(flavor = "multi_thread")]
async fn our_client_passes_conformance_0_2_in_2026_07_28() {
    the_client_passes("0.2", "2026-07-28", 36).await;
}

/// The login of 2025-03-26, in both suites: no protected resource metadata, and the endpoints at the origin, with and
/// without metadata there. The suites list these scenarios for that revision only.
#[tokio::test(flavor = "multi_thread")]
async fn our_client_logs_in_to_servers_of_2025_03_26() {
    let program = example("conformance").display().to_string();
    for suite in ["0.1", "0.2"] {
        let mut arguments = vec!["--suite", suite, "--client", &program, "--requirements", "2025-03-26"];
        let names = ["auth/2025-03-26-oauth-metadata-backcompat", "auth/2025-03-26-oauth-endpoint-fallback"];
        arguments.extend(names.iter().flat_map(|&name| ["--scenario", name]));
        let outcome = node::run("conformance", &arguments).await;
        assert!(outcome.ok, "{suite}: {:#}\n{}", outcome.result, outcome.stderr);
        for name in names {
            let scenario = &outcome.result["scenarios"][name];
            assert_eq!((&scenario["failed"], &scenario["warned"]), (&json!([]), &json!([])), "{name}: {scenario:#}");
            assert!(scenario["passed"].as_u64().is_some_and(|passed| passed >= 3), "{name}: {scenario:#}");
        }
    }
}
