//! The checkpoint as an MCP server: it is protected like any other, and tells nobody what they may not know.

use sekisho_e2e::harness::{Agent, Checkpoint, Mcp, Person, node};
use sekisho_protocol::mcp::method::Revision;
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery staple";

/// Two sections, of which the second uses a term that the first defines.
const SPECIFICATION: &str = "# Entry\n\n## Permits\n\nA **permit** is a proof that a traveller may pass.\n\n## Gates\n\n\
    A gate MUST refuse a traveller without a [permit](#permits).\n";

/// Returns a configuration with the checkpoint's own server, where `advise` needs the right to write, and with a
/// notebook.
fn toml() -> String {
    let program = sekisho_e2e::harness::binary();
    format!(
        "[servers.sekisho]\nbuiltin = true\nusers = {{ bob = \"read\" }}\n\
         tools = {{ advise = \"write\" }}\n\
         [servers.notes]\ncommand = [{program:?}, \"bundled\", \"notes\"]\nusers = {{ bob = \"read\" }}\n\
         tools = {{ list_notes = \"read\", read_note = \"read\", write_note = \"write\" }}\n"
    )
}

async fn started() -> Checkpoint {
    Checkpoint::configured(&toml()).owner("alice", PASSWORD).user("bob", PASSWORD).start().await
}

/// One client of one person at both servers. The notebook is called in the newest revision.
struct Pair {
    own: Mcp,
    notes: Mcp,
}

async fn pair(checkpoint: &Checkpoint, user: &str, revision: Revision) -> Pair {
    let mut person = Person::new(user, PASSWORD);
    let first = Agent::register(&checkpoint.server_named("sekisho")).await;
    let second = Agent::known(&checkpoint.server_named("notes"), &first.client_id, None).await;
    let scopes = Some("mcp:read mcp:write");
    let own = first.be_let_in(&mut person, scopes).await;
    let notes = second.be_let_in(&mut person, scopes).await;
    let talk = async |server: &str, revision, token: &str| {
        let mut mcp = Mcp::new(&checkpoint.server_named(server), revision, Some(token));
        mcp.begin().await;
        mcp
    };
    let notes = talk("notes", Revision::V2026_07_28, &notes.access).await;
    Pair { own: talk("sekisho", revision, &own.access).await, notes }
}

impl Pair {
    async fn ask(&mut self, tool: &str, arguments: Value) -> Value {
        let reply = self.own.tool(tool, arguments).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.message["result"].clone()
    }

    /// Returns the text of a successful answer.
    async fn told(&mut self, tool: &str, arguments: Value) -> String {
        let result = self.ask(tool, arguments).await;
        assert_eq!(result["isError"], false, "{result}");
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }
}

/// RS-36, ATK-70: a refusal is explained to the client that was refused, in every revision, and is unknown to every
/// other client.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_explained_to_whom_it_concerns() {
    let checkpoint = started().await;
    let mut alice = pair(&checkpoint, "alice", Revision::V2026_07_28).await;
    for revision in Revision::ALL {
        let mut bob = pair(&checkpoint, "bob", revision).await;
        let refused = bob.notes.tool("write_note", json!({ "title": "a", "text": "b" })).await;
        assert_eq!(refused.status, 403, "{refused:?}");
        let request = refused.message["error"]["data"]["request"].as_str().unwrap().to_owned();
        let result = bob.ask("explain", json!({ "request": request })).await;
        let said = result["content"][0]["text"].as_str().unwrap();
        assert!(said.contains("the user's rights refused"), "{said}");
        let data = &result["structuredContent"];
        assert_eq!((data["decision"].as_str(), data["set"].as_str()), (Some("deny"), Some("rights")), "{data}");
        assert_eq!(data["remedy"]["url"], refused.message["error"]["data"]["remedy"]["url"], "{data}");
        let other = alice.ask("explain", json!({ "request": request })).await;
        assert_eq!(other["isError"], true, "{other}");
        assert!(other.to_string().contains("no call of this client is on record"), "{other}");
        // Another client of the same user does not get the explanation either.
        let mut second = pair(&checkpoint, "bob", revision).await;
        assert_eq!(second.ask("explain", json!({ "request": request })).await["isError"], true);
    }
}

/// RS-36, ATK-70: a refusal can be explained before the call; for a tool that the user may not use, not even whether it
/// exists.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_explained_before_it_is_made() {
    let checkpoint = started().await;
    let mut bob = pair(&checkpoint, "bob", Revision::V2025_11_25).await;
    let early = bob.ask("explain", json!({ "server": "nowhere", "tool": "list_notes" })).await;
    assert!(early.to_string().contains("nothing is known of the tools of `nowhere` yet"), "{early}");
    // The server was asked for its tools when bob let the client in.
    let passes = bob.told("explain", json!({ "server": "notes", "tool": "list_notes" })).await;
    assert!(passes.contains("it would pass; rights: inside; grant: inside; need: undeclared"), "{passes}");
    let mut answers = Vec::new();
    for (server, tool) in [("notes", "delete_all_notes"), ("notes", "nothing")] {
        let said = bob.told("explain", json!({ "server": server, "tool": tool })).await;
        answers.push(said.split_once(": ").unwrap().1.to_owned());
    }
    assert!(answers[0].contains("the user's rights would refuse"), "{answers:?}");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let mut alice = pair(&checkpoint, "alice", Revision::V2025_11_25).await;
    let steps = alice.told("explain", json!({ "server": "notes", "tool": "delete_all_notes" })).await;
    assert!(steps.contains("which this client was not granted"), "{steps}");
}

/// Advice is about the user's own calls through the client that asks. It shows nobody's rules.
#[tokio::test(flavor = "multi_thread")]
async fn advice_is_on_ones_own_calls() {
    let checkpoint = started().await;
    let mut alice = pair(&checkpoint, "alice", Revision::V2026_07_28).await;
    let mut bob = pair(&checkpoint, "bob", Revision::V2026_07_28).await;
    assert_eq!(bob.notes.tool("read_note", json!({ "title": "welcome" })).await.status, 200);
    assert_eq!(alice.notes.tool("list_notes", json!({})).await.status, 200);
    let recorded = async || {
        let records = checkpoint.records().await;
        records.iter().any(|row| row["record"]["event"]["target"] == "list_notes").then_some(())
    };
    sekisho_e2e::harness::wait::until("the record of the call", recorded).await;
    let said = alice.told("advise", json!({})).await;
    assert!(said.contains("list_notes") && !said.contains("read_note,"), "{said}");
    assert!(!said.contains("permit") && !said.contains("forbid"), "{said}");
    // Bob has no right to ask for advice.
    assert_eq!(bob.own.tool("advise", json!({})).await.status, 403);
}

/// ATK-28, ATK-29: a document is drawn and packed as it was sent. If one cannot be fetched, the error is the same
/// whether its URL is internal, invalid, or does not respond.
#[tokio::test(flavor = "multi_thread")]
async fn a_specification_is_read_for_whoever_sends_it() {
    let checkpoint = started().await;
    let mut bob = pair(&checkpoint, "bob", Revision::V2025_06_18).await;
    let drawn = bob.told("specmap", json!({ "text": SPECIFICATION, "lines": 20 })).await;
    assert!(drawn.contains("flowchart") && drawn.contains("Gates"), "{drawn}");
    let packed = bob.told("specmap_pack", json!({ "text": SPECIFICATION, "section": "gates" })).await;
    assert!(packed.contains("MUST refuse a traveller") && packed.contains("is a proof"), "{packed}");
    for (arguments, expected) in [
        (json!({}), "give either `text` or `url`"),
        (json!({ "text": "a", "url": "https://example.com/" }), "give either `text` or `url`"),
        (json!({ "text": SPECIFICATION, "focus": "Walls" }), "Walls"),
        (json!({ "url": "file:///etc/passwd" }), "file:///etc/passwd could not be read: it must be public"),
        (json!({ "url": "https://127.0.0.1/" }), "https://127.0.0.1/ could not be read: it must be public"),
        (json!({ "url": "https://[::1]:1/" }), "https://[::1]:1/ could not be read: it must be public"),
        (
            json!({ "url": format!("{}/healthz", checkpoint.base_url()) }),
            "/healthz could not be read: it must be public",
        ),
    ] {
        let result = bob.ask("specmap", arguments).await;
        assert_eq!(result["isError"], true, "{result}");
        assert!(result["content"][0]["text"].as_str().unwrap().contains(expected), "{result}");
    }
    let unknown = bob.own.tool("specmap", json!({ "text": "a", "path": "/etc/passwd" })).await;
    assert_eq!(unknown.message["error"]["code"], -32602, "{unknown:?}");
    let arguments = json!({ "text": SPECIFICATION, "lines": "20" });
    let prompt = bob.own.call("prompts/get", json!({ "name": "read_specification", "arguments": arguments })).await;
    let text = prompt.message["result"]["messages"][0]["content"]["text"].as_str().unwrap();
    assert!(text.contains("```mermaid") && text.contains("within 20 lines"), "{text}");
    let prompts = bob.own.call("prompts/list", json!({})).await;
    assert_eq!(prompts.message["result"]["prompts"][0]["name"], "read_specification", "{prompts:?}");
}

/// A client that others wrote, for a user with access and one without, in both eras.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_client_uses_the_checkpoint_itself() {
    let checkpoint = started().await;
    let url = checkpoint.server_named("sekisho");
    let drawing = format!("specmap={}", json!({ "text": SPECIFICATION }));
    for era in ["legacy", "modern"] {
        for (user, may_be_advised) in [("alice", true), ("bob", false)] {
            let words =
                [&url, "--user", user, "--password", PASSWORD, "--era", era, "--call", &drawing, "--call", "advise={}"];
            let shown = node::run("client-sdk2", &words.map(str::to_owned)).await.worked().result;
            assert_eq!(shown["server"], "sekisho", "{user} {era}: {shown:#}");
            let calls = &shown["calls"];
            let drawn = calls[0]["result"]["content"][0]["text"].as_str().unwrap_or_default();
            assert!(drawn.contains("Gates"), "{user} {era}: {calls:#}");
            let advised = calls[1]["result"]["isError"] == false;
            assert_eq!(advised, may_be_advised, "{user} {era}: {calls:#}");
        }
    }
}

/// ATK-244: a document that is made to be expensive is refused, and costs so little that the next caller does not
/// notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_made_to_be_expensive_stops_nobody() {
    let checkpoint = started().await;
    let mut alice = pair(&checkpoint, "alice", Revision::V2026_07_28).await;
    let names: String = (0..300_000).map(|at| format!(" a{at}")).collect();
    let began = tokio::time::Instant::now();
    // As many as are processed at once, and more.
    for _ in 0..4 {
        let result = alice.ask("specmap", json!({ "text": format!("<!doctype html><h1>A</h1><p{names}>") })).await;
        assert_eq!(result["isError"], true, "{result}");
        let said = result["content"][0]["text"].as_str().unwrap();
        assert!(said.contains("too many attributes"), "{said}");
    }
    alice.told("specmap", json!({ "text": SPECIFICATION })).await;
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
}
