//! The responses with which the real gateway refuses, for the server that replays them to other clients
//! (`node/clients/observatory.mjs`).

use sekisho_protocol::mcp::method::Revision;
use serde_json::{Value, json};

use crate::fakes::upstream::{Speaks, Upstream};
use crate::harness::{Agent, Checkpoint, Mcp, Person};

const PASSWORD: &str = "correct horse battery staple";

/// Returns one call that was refused for lack of scope (`stepUp`) and one for lack of rights (`denied`), each with its
/// status, its challenge, its body, and the URLs in it. The client was granted `mcp:read` and lacks `mcp:write`.
pub async fn real() -> Value {
    let upstream = Upstream::start(Speaks::Legacy).await.expect("an upstream can be started");
    let toml = format!(
        "[servers.up]\nurl = \"{}\"\neveryone = \"write\"\ntools = {{ look = \"read\", keep = \"write\" }}\n",
        upstream.url()
    );
    let checkpoint = Checkpoint::configured(&toml).owner("alice", PASSWORD).user("bob", PASSWORD).start().await;
    let server = format!("{}/mcp/up", checkpoint.base_url());
    let agent = Agent::register(&server).await;
    let mut bob = Person::new("bob", PASSWORD);
    let tokens = agent.be_let_in(&mut bob, Some("mcp:read")).await;
    let mut mcp = Mcp::new(&server, Revision::V2025_11_25, Some(&tokens.access));
    mcp.begin().await;
    let step_up = refused(&mut mcp, "keep", checkpoint.base_url()).await;
    let denied = refused(&mut mcp, "nothing-of-this-name", checkpoint.base_url()).await;
    json!({ "stepUp": step_up, "denied": denied })
}

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
