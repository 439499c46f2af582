//! `sekisho request`: requesting access and granting loans at the command line.

use sekisho_e2e::harness::{Checkpoint, Person};
use sekisho_protocol::mcp::method::Revision;
use serde_json::json;

const PASSWORD: &str = "correct horse battery staple";

/// Access that the rules do not give is requested at the command line, with bounds, and granted as a loan. A request
/// that is not possible gets an error, and nothing is stored.
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
    // The same request a second time is still one request.
    assert_eq!(checkpoint.ask(&words).await[0]["requests"][0]["id"], id.as_str());
    let listed = checkpoint.ask(&["request", "list"]).await;
    assert_eq!(
        (listed[0]["requests"].as_array().unwrap().len(), &listed[0]["requests"][0]["subject"]),
        (1, &json!("bob"))
    );
    checkpoint.ask(&["request", "grant", &id, "--for", "1h"]).await;

    // The loan gives the right; the grant still needs the scope.
    let mut talk = checkpoint.talk(Revision::V2026_07_28, Some(&tokens.access));
    let draft = talk.tool("write_note", json!({ "title": "draft", "text": "x" })).await;
    assert_eq!((draft.status, &draft.message["error"]["data"]["set"]), (403, &json!("grant")), "{draft:?}");
    let other = talk.tool("write_note", json!({ "title": "other", "text": "x" })).await;
    assert_eq!((other.status, &other.message["error"]["data"]["set"]), (403, &json!("rights")), "{other:?}");
    // The loan has a bound, and the refusal names it.
    let reason = other.message["error"]["data"]["reason"].as_str().unwrap();
    let said = r#"the argument `/title` is beyond the bounds of what an owner lent; it has to fit {"const":"draft"}"#;
    assert!(reason.starts_with(said), "{reason}");
}

/// A loan of something that a rule forbids has no effect, and a loan of a tool that is held back has none yet. The
/// owner is told so beforehand, in the words of the page, whether a checkpoint runs or not.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_told_what_a_loan_would_not_change() {
    let program = json!(sekisho_e2e::harness::binary().display().to_string());
    let setup = Checkpoint::configured(&format!(
        "policies = \"rules\"\n[servers.notes]\ncommand = [{program}, \"bundled\", \"notes\"]\nusers = {{ bob = \"read\" }}\n\
         [servers.notes.tools]\nread_note = \"read\"\nlist_notes = \"read\"\nwrite_note = \"write\"\ndelete_all_notes = \"destructive\"\n"
    ));
    std::fs::create_dir(setup.folder().join("rules")).unwrap();
    let rule = "@id(\"never\") @reason(\"nobody deletes\")\n\
                forbid(principal, action == Action::\"call\", resource == Tool::\"notes/delete_all_notes\");\n";
    std::fs::write(setup.folder().join("rules/rules.cedar"), rule).unwrap();
    let checkpoint = setup.owner("alice", PASSWORD).user("bob", PASSWORD).start().await;
    let mut bob = Person::new("bob", PASSWORD);
    checkpoint.let_in(&mut bob, "mcp:read").await;
    let grant = checkpoint.ask(&["grant", "list"]).await[0]["grants"][0]["id"].as_str().unwrap().to_owned();
    let ask = async |tool: &str| {
        let words = ["request", "ask", "--grant", &grant, "--tool", tool, "--reason", "it has to be done"];
        checkpoint.ask(&words).await[0]["requests"][0]["id"].as_str().unwrap().to_owned()
    };
    let (forbidden, fine) = (ask("delete_all_notes").await, ask("write_note").await);
    let told = checkpoint.command(&["request", "grant", &forbidden]).await;
    assert_eq!(told.code(), Some(0), "{}", told.stderr);
    let warning = "A loan would not help: a rule forbids this, and counts for more than a loan. The rule: `never`";
    assert!(told.stderr.contains(warning) && told.stderr.contains("nobody deletes"), "{}", told.stderr);
    let silent = checkpoint.command(&["request", "grant", &fine]).await;
    assert_eq!((silent.code(), silent.stderr.as_str()), (Some(0), ""));
    // If no checkpoint runs, the rules come from the configuration.
    let again = ask("delete_all_notes").await;
    let file = checkpoint.configuration().display().to_string();
    let stopped = checkpoint.kill().await;
    let told = stopped.command(&["request", "grant", &again, "--config", &file]).await;
    assert!(told.stderr.contains(warning), "{}", told.stderr);
    assert_eq!(told.code(), Some(0), "{}", told.stderr);
}
