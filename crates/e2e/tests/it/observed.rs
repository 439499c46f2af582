//! docs/clients.md says what real clients do; these tests check some of its cells again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_e2e::harness::{Agent, Caller, Checkpoint, Person, node, parameter};
use sekisho_e2e::refusals;
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery staple";

/// Returns the cell of a client in one section of the page.
fn cell(page: &str, section: &str, client: &str) -> String {
    let part = page.split("\n## ").find(|part| part.starts_with(section)).unwrap_or_else(|| panic!("no {section}"));
    let row = part.lines().find(|line| line.starts_with(&format!("| {client} | ")));
    let row = row.unwrap_or_else(|| panic!("{section} has no row of {client}"));
    row.trim_start_matches(&format!("| {client} | ")).trim_end_matches(" |").replace("\\|", "|")
}

/// Decision 0070: the page says how each client reacts to a refusal for lack of scope, and what its model sees of a
/// refusal by rights. The Rust SDK has its own test (`rmcp_client.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn clients_meet_refusals_as_the_page_says() {
    let page = std::fs::read_to_string(node::root().join("docs/clients.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let recorded = folder.path().join("refusals.json");
    std::fs::write(&recorded, refusals::real().await.to_string()).unwrap();
    let clients = [
        "TypeScript SDK 1",
        "TypeScript SDK 2",
        "Inspector",
        "mcp-remote",
        "AI SDK",
        "LangChain (JavaScript)",
        "Python SDK 1",
        "Python SDK 2",
        "FastMCP 3",
        "FastMCP 4",
        "LangChain (Python)",
    ];
    let mut arguments = vec!["--refusals".to_owned(), recorded.display().to_string()];
    arguments.extend(clients.iter().flat_map(|&client| ["--client".to_owned(), client.to_owned()]));
    arguments.extend(
        ["insufficient_scope", "refusal"].iter().flat_map(|&name| ["--observation".to_owned(), name.to_owned()]),
    );
    let outcome = node::run("clients/clients", &arguments).await.worked();
    let seen = &outcome.result["cells"];
    for client in clients {
        for (name, section) in
            [("insufficient_scope", "403 insufficient_scope"), ("refusal", "What is seen of a refusal")]
        {
            assert_eq!(seen[client][name].as_str().unwrap(), cell(&page, section, client), "{client}: {section}");
        }
    }
    // The subject of the decision: these clients have a refresh token, and succeed by themselves.
    for client in ["TypeScript SDK 1", "TypeScript SDK 2", "mcp-remote", "LangChain (JavaScript)"] {
        let told = seen[client]["insufficient_scope"].as_str().unwrap();
        assert!(told.contains("opens the page") && told.ends_with("is answered"), "{client}: {told}");
    }
}

/// RS-12, AS-03: a slash at the end of an issuer excludes different clients in different ways (docs/clients.md, “Slash
/// behind the issuer”). Our issuer is published without one, and has the same text wherever a client may compare it.
#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_has_no_slash_and_one_spelling() {
    let checkpoint = Checkpoint::notes().owner("ada", PASSWORD).start().await;
    let (base, caller) = (checkpoint.base_url().to_owned(), Caller::new());
    assert!(!base.ends_with('/'), "{base}");
    let document = async |path: &str| caller.get(&format!("{base}{path}")).send().await.json();
    let resource = document("/.well-known/oauth-protected-resource/mcp/notes").await;
    assert_eq!(resource["authorization_servers"], json!([base]));
    for place in ["oauth-authorization-server", "openid-configuration"] {
        assert_eq!(document(&format!("/.well-known/{place}")).await["issuer"], json!(base), "{place}");
    }
    let agent = Agent::register(checkpoint.server()).await;
    let invitation = agent.invite(Some("mcp:read"));
    let redirected = Person::new("ada", PASSWORD).answer(&invitation.url).await;
    assert_eq!(parameter(&redirected, "iss"), Some(base.clone()));
    let tokens = agent.redeem(&invitation, &redirected).await;
    let claims = tokens.access.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["iss"], json!(base));
}
