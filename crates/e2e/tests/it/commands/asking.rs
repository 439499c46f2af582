//! `sekisho request`: asking and lending at the command line.

use sekisho_e2e::harness::{Checkpoint, Person};
use sekisho_protocol::mcp::method::Revision;
use serde_json::json;

const PASSWORD: &str = "correct horse battery staple";

/// What the rules do not allow is asked for at the command line, with its bounds, and lent; what cannot be asked for is
/// told, and nothing is filed.
#[tokio::test(flavor = "multi_thread")]
async fn access_is_asked_for_at_the_command_line() {
    let checkpoint = Checkpoint::configured(&format!(
        "[servers.notes]\ncommand = [{}, \"bundled\", \"notes\"]\nusers = {{ bob = \"read\" }}\n\
         [servers.notes.tools]\nread_note = \"read\"\nlist_notes = \"read\"\nwrite_note = \"write\"\n",
        json!(sekisho_e2e::harness::binary().display().to_string())
    ))
    .owner("alice", PASSWORD)
    .user("bob", PASSWORD)
    .start()
    .await;
    let mut bob = Person::new("bob", PASSWORD);
    let (_, tokens) = checkpoint.let_in(&mut bob, "mcp:read").await;
    let grant = checkpoint.ask(&["grant", "list"]).await[0]["grants"][0]["id"].as_str().unwrap().to_owned();
    let bounds = r#"{"properties":{"title":{"const":"draft"}}}"#;
    let ask = ["request", "ask", "--grant", &grant, "--tool", "write_note", "--reason", "a draft has to be kept"];
    for (more, code) in [(["--bounds", "{"], 1), (["--bounds", r##"{"$ref":"#"}"##], 1)] {
        let words: Vec<&str> = ask.iter().chain(&more).copied().collect();
        let refused = checkpoint.command(&words).await;
        assert_ne!(refused.code(), Some(0), "{code}: {}", refused.stdout);
    }
    let nobody = format!("grt_{}", "0".repeat(32));
    let words = ["request", "ask", "--grant", &nobody, "--tool", "write_note", "--reason", "x"];
    assert_ne!(checkpoint.command(&words).await.code(), Some(0));
    assert_eq!(checkpoint.ask(&["request", "list"]).await[0]["requests"], json!([]));

    let words: Vec<&str> = ask.iter().chain(&["--bounds", bounds]).copied().collect();
    let asked = checkpoint.ask(&words).await;
    let id = asked[0]["requests"][0]["id"].as_str().unwrap().to_owned();
    // Twice is once.
    assert_eq!(checkpoint.ask(&words).await[0]["requests"][0]["id"], id.as_str());
    let listed = checkpoint.ask(&["request", "list"]).await;
    assert_eq!(
        (listed[0]["requests"].as_array().unwrap().len(), &listed[0]["requests"][0]["subject"]),
        (1, &json!("bob"))
    );
    checkpoint.ask(&["request", "grant", &id, "--for", "1h"]).await;

    // The loan is a right; the grant still has to have the scope.
    let mut talk = checkpoint.talk(Revision::V2026_07_28, Some(&tokens.access));
    let draft = talk.tool("write_note", json!({ "title": "draft", "text": "x" })).await;
    assert_eq!((draft.status, &draft.message["error"]["data"]["set"]), (403, &json!("grant")), "{draft:?}");
    let other = talk.tool("write_note", json!({ "title": "other", "text": "x" })).await;
    assert_eq!((other.status, &other.message["error"]["data"]["set"]), (403, &json!("rights")), "{other:?}");
}
