//! A company with identity software that nobody here wrote: providers behind a real browser, provisioning clients, and programs
//! that read what we answer.

use std::time::Duration;

use sekisho_e2e::harness::node::Conversation;
use sekisho_e2e::harness::wait::within;
use sekisho_e2e::harness::{Agent, Checkpoint, Invitation, Mcp, Setup, Tokens, binary};
use sekisho_protocol::mcp::method::Revision;
use serde_json::{Value, json};

mod assertions;
mod canaille;
mod lemonldap;
mod provisioning;

/// The owner, who has a password here.
const OWNER: &str = "alice";
/// The owner's password, and that of people at a provider that lets one choose it.
const PASSWORD: &str = "correct horse battery staple";
/// As which client the provider knows the checkpoint, and its secret there.
const CLIENT: &str = "sekisho";
const SECRET: &str = "the-secret-of-the-checkpoint";

/// What clients ask for. With the second word a grant does not end when its person signs out.
const GRANTED: &str = "mcp:read offline_access";

/// A checkpoint whose people sign in at a provider, where the engineers of the provider may read notes.
fn setup(issuer: &str, more: &str) -> Setup {
    let program = binary().display().to_string();
    let toml = format!(
        "[servers.notes]\ncommand = [{program:?}, \"bundled\", \"notes\"]\n\
         tools = {{ list_notes = \"read\", read_note = \"read\" }}\n\
         [groups]\nreaders = [\"corp/engineers\"]\n\
         [[login.provider]]\nname = \"corp\"\nlabel = \"The Company\"\nissuer = {issuer:?}\n\
         client_id = {CLIENT:?}\nclient_secret = {SECRET:?}\n{more}\n"
    );
    let setup = Checkpoint::configured(&toml).owner(OWNER, PASSWORD);
    std::fs::create_dir(setup.folder().join("policies")).unwrap();
    let rule = "permit(principal in Group::\"readers\", action, resource in Server::\"notes\");";
    std::fs::write(setup.folder().join("policies/a.cedar"), rule).unwrap();
    setup
}

/// Opens a browser for somebody of the company who has this password at the provider.
async fn browser_of(checkpoint: &Checkpoint, user: &str, password: &str) -> Conversation {
    let arguments = ["--site", checkpoint.base_url(), "--provider", "corp", "--user", user, "--password", password];
    Conversation::start("company", &arguments).await
}

/// Lets a client in, in this browser: on the way somebody signs in, where nobody is.
async fn let_in(checkpoint: &Checkpoint, browser: &mut Conversation) -> Tokens {
    let agent = Agent::register(&checkpoint.server_named("notes")).await;
    let invitation = agent.invite(Some(GRANTED));
    let seen = browser.ask(&json!({ "go": invitation.url })).await;
    redeem(checkpoint, &agent, &invitation, &seen).await
}

async fn redeem(checkpoint: &Checkpoint, agent: &Agent, invitation: &Invitation, seen: &Value) -> Tokens {
    let Some(redirect) = seen["redirect"].as_str() else {
        let records = checkpoint.records().await;
        let why = records.iter().rev().find(|row| row["record"]["event"]["act"] == "login_failed");
        panic!("the pages led to no redirect: {seen:#}\n{why:#?}")
    };
    agent.redeem(invitation, redirect).await
}

async fn reads(checkpoint: &Checkpoint, tokens: &Tokens) -> bool {
    let mut mcp = Mcp::new(&checkpoint.server_named("notes"), Revision::V2025_06_18, Some(&tokens.access));
    mcp.begin().await;
    let reply = mcp.tool("list_notes", json!({})).await;
    reply.status == 200 && reply.message["result"].is_object() && reply.message["result"]["isError"] != true
}

/// Waits until these tokens are worth that.
async fn comes_to_read(checkpoint: &Checkpoint, tokens: &Tokens, expected: bool) {
    let what = format!("reading becomes {expected}");
    let same = async || (reads(checkpoint, tokens).await == expected).then_some(());
    within(Duration::from_secs(10), &what, same).await;
}

/// The names of all users but the owner.
async fn people(checkpoint: &Checkpoint) -> Vec<String> {
    let said = checkpoint.ask(&["user", "list"]).await;
    let names = said[0]["users"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap().to_owned());
    names.filter(|name| name != OWNER).collect()
}

/// Opens the sign-in page, and signs in at the provider.
async fn sign_in(checkpoint: &Checkpoint, browser: &mut Conversation) -> Value {
    browser.ask(&json!({ "go": format!("{}/login", checkpoint.base_url()) })).await
}

/// Signs out here.
async fn sign_out(checkpoint: &Checkpoint, browser: &mut Conversation) {
    let home = browser.ask(&json!({ "go": checkpoint.base_url() })).await;
    assert!(text(&home).contains("corp:"), "somebody is signed in: {home:#}");
    let out = browser.ask(&json!({ "press": "Sign out" })).await;
    assert!(!text(&out).contains("corp:"), "{out:#}");
}

fn text(seen: &Value) -> &str {
    seen["page"]["text"].as_str().unwrap_or_default()
}
