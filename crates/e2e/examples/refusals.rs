//! What the real gateway answers where it refuses, as JSON, for `scripts/clients`: one call for want of scope, one for want of
//! rights. Each with its status, its challenge, its body, and the addresses in it.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a program for developers: a step that fails ends it, with the reason")]

use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::harness::{Checkpoint, Mcp, Person};
use sekisho_protocol::mcp::method::Revision;
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery staple";

async fn refused(mcp: &mut Mcp, tool: &str, origin: &str) -> Value {
    let reply = mcp.tool(tool, json!({})).await;
    assert_eq!(reply.status, 403, "{reply:?}");
    json!({
        "status": reply.status,
        "challenge": reply.answer.header("www-authenticate"),
        "body": reply.message,
        "server": mcp.url,
        "origin": origin,
    })
}

#[tokio::main]
async fn main() {
    let upstream = Upstream::start(Speaks::Both).await.expect("an upstream can be started");
    let toml = format!(
        "[servers.up]\nurl = \"{}\"\neveryone = \"write\"\ntools = {{ look = \"read\", keep = \"write\", wipe = \"destructive\" }}\n",
        upstream.url()
    );
    let checkpoint = Checkpoint::configured(&toml).owner("alice", PASSWORD).user("bob", PASSWORD).start().await;
    let origin = checkpoint.base_url().to_owned();
    let server = format!("{origin}/mcp/up");
    let agent = sekisho_e2e::harness::Agent::register(&server).await;
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = agent.be_let_in(&mut alice, Some("mcp:read")).await;
    let mut mcp = Mcp::new(&server, Revision::V2025_11_25, Some(&tokens.access));
    mcp.begin().await;
    let step_up = refused(&mut mcp, "keep", &origin).await;
    let denied = refused(&mut mcp, "nothing-of-this-name", &origin).await;
    println!("{}", json!({ "stepUp": step_up, "denied": denied }));
}
