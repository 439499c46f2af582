//! The three sets in the real binary: policies, the different kinds of tasks, budgets across a crash, approvals.

use std::time::Duration;

use sekisho_e2e::fakes::call::{modern, tool};
use sekisho_e2e::fakes::oauth::{Client, Granted, REDIRECT};
use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::fakes::wire::{Reply, ask};
use sekisho_e2e::harness::wait::within;
use sekisho_e2e::harness::{Checkpoint, Person};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery staple";
const UP: &str = "/mcp/up";

fn address(checkpoint: &Checkpoint) -> std::net::SocketAddr {
    let port = checkpoint.base_url().rsplit(':').next().unwrap();
    format!("127.0.0.1:{port}").parse().unwrap()
}

fn toml(upstream: &Upstream) -> String {
    let url = upstream.url();
    format!(
        "[servers.up]\nurl = \"{url}\"\neveryone = \"write\"\ntools = {{ look = \"read\", keep = \"write\", wipe = \"destructive\" }}\n"
    )
}

async fn started() -> (Checkpoint, Upstream) {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let checkpoint = Checkpoint::configured(&toml(&upstream)).owner("alice", PASSWORD).user("bob", PASSWORD);
    (checkpoint.start().await, upstream)
}

async fn let_in(checkpoint: &Checkpoint, scope: &str) -> Granted {
    let client = Client::register(checkpoint.base_url(), "Honest client", REDIRECT).await;
    client.be_granted(&format!("{}{UP}", checkpoint.base_url()), scope, "alice", PASSWORD).await
}

async fn call(checkpoint: &Checkpoint, token: &str, name: &str) -> Reply {
    ask(address(checkpoint), &tool(UP, token, name)).await.unwrap()
}

/// Calls until the change has taken effect, which must happen within a second.
async fn felt(checkpoint: &Checkpoint, token: &str, name: &str, status: u16) -> Reply {
    within(Duration::from_secs(1), &format!("{status} for {name}"), async || {
        let reply = call(checkpoint, token, name).await;
        (reply.status == status).then_some(reply)
    })
    .await
}

async fn start_task(checkpoint: &Checkpoint, granted: &Granted, more: &[&str]) -> String {
    let grant = granted.claim("grant").as_str().unwrap().to_owned();
    let mut words = vec!["task", "start", "--grant", &grant, "--purpose", "look around"];
    words.extend_from_slice(more);
    checkpoint.ask(&words).await[0]["id"].as_str().unwrap().to_owned()
}

fn refusal(reply: &Reply) -> Value {
    reply.json()["error"]["data"].clone()
}

/// An operator starts a task on a live session at the command line. It restricts the existing token, is listed, and
/// ends; the grant is unrestricted again after it is resumed, and the client then refreshes by itself.
#[tokio::test]
async fn an_operator_begins_and_ends_a_task() {
    let (checkpoint, upstream) = started().await;
    let granted = let_in(&checkpoint, "mcp:read mcp:write").await;
    assert_eq!(call(&checkpoint, &granted.access, "keep").await.status, 200);
    let task = start_task(&checkpoint, &granted, &["--tool", "look", "--calls", "5", "--for", "1h"]).await;
    let refused = felt(&checkpoint, &granted.access, "keep", 403).await;
    let data = refusal(&refused);
    assert_eq!((data["set"].as_str(), data["remedy"]["kind"].as_str()), (Some("need"), Some("widen_task")));
    assert_eq!(data["remedy"]["url"], format!("{}/tasks/{task}", checkpoint.base_url()));
    assert!(data["reason"].as_str().unwrap().contains("“look around”"), "{data}");
    upstream.forget();
    assert_eq!(call(&checkpoint, &granted.access, "look").await.status, 200);
    let listed = checkpoint.ask(&["task", "list"]).await;
    assert_eq!(listed[0]["tasks"][0]["calls_left"], 4, "{listed:?}");
    let listing =
        ask(address(&checkpoint), &modern(UP, &granted.access, "tools/list", json!({}))).await.unwrap().json();
    let names: Vec<&str> =
        listing["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["look"]);
    checkpoint.ask(&["task", "finish", &task]).await;
    let over = felt(&checkpoint, &granted.access, "look", 403).await;
    assert!(refusal(&over)["reason"].as_str().unwrap().contains("is finished"), "{}", over.text());
    checkpoint.ask(&["task", "resume", "--grant", granted.claim("grant").as_str().unwrap()]).await;
    felt(&checkpoint, &granted.access, "look", 401).await;
    let fresh = granted.client.granted(&granted.client.token(&granted.client.refreshing(&granted.refresh)).await);
    assert_eq!(call(&checkpoint, &fresh.access, "keep").await.status, 200);
}

/// A task that an owner offers on the grant page can be started by its name at the command line, with further bounds.
#[tokio::test]
async fn an_operator_begins_what_the_configuration_offers() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let offered =
        "[servers.up.templates.glance]\npurpose = \"look once\"\ntools = [\"look\"]\ncalls = 7\nseconds = 60\n";
    let checkpoint = Checkpoint::configured(&format!("{}{offered}", toml(&upstream))).owner("alice", PASSWORD);
    let checkpoint = checkpoint.start().await;
    let granted = let_in(&checkpoint, "mcp:read mcp:write").await;
    let file = checkpoint.configuration().display().to_string();
    let grant = granted.claim("grant").as_str().unwrap().to_owned();
    let start = ["task", "start", "--grant", &grant, "-c", &file, "--template"];
    let unknown = checkpoint.command(&[&start[..], &["up/stare"]].concat()).await;
    assert!(unknown.stderr.contains("offers no task `up/stare`"), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("it offers up/glance"), "{}", unknown.stderr);
    checkpoint.ask(&[&start[..], &["up/glance", "--calls", "2"]].concat()).await;
    felt(&checkpoint, &granted.access, "keep", 403).await;
    assert_eq!(call(&checkpoint, &granted.access, "look").await.status, 200);
    let task = checkpoint.ask(&["task", "list"]).await[0]["tasks"][0].clone();
    let definition = &task["definition"];
    assert_eq!((definition["purpose"].as_str(), task["calls_left"].as_i64()), (Some("look once"), Some(1)), "{task}");
    assert_eq!(definition["expires_in"], 60, "{task}");
}

/// RFC 9396: a task that the client declares is shown, approved, starts with the grant, and is in the token response;
/// one that is unknown, invalid or for another server is refused with an error that says so.
#[tokio::test]
async fn a_client_declares_a_task() {
    let (checkpoint, _upstream) = started().await;
    let client = Client::register(checkpoint.base_url(), "Honest client", REDIRECT).await;
    let resource = format!("{}{UP}", checkpoint.base_url());
    let details = json!([{ "type": "mcp_task", "purpose": "look around", "locations": [resource],
        "tools": [{ "name": "look", "arguments": { "type": "object", "maxProperties": 0 } }], "calls": 2 }]);
    let wish = client.wish(&resource, "mcp:read mcp:write").set("authorization_details", &details.to_string());
    let redirected = Person::new("alice", PASSWORD).answer(&client.link(&wish)).await;
    let code = sekisho_e2e::fakes::oauth::code_in(&redirected).unwrap();
    let reply = client.token(&client.redemption(&code)).await;
    let told = reply.json()["authorization_details"].clone();
    assert_eq!((told[0]["type"].as_str(), told[0]["calls"].as_i64()), (Some("mcp_task"), Some(2)), "{}", reply.text());
    let granted = client.granted(&reply);
    assert_eq!(told[0]["task"], granted.claim("task"));
    assert_eq!(call(&checkpoint, &granted.access, "look").await.status, 200);
    assert_eq!(refusal(&call(&checkpoint, &granted.access, "keep").await)["set"], "need");
    let bent = modern(UP, &granted.access, "tools/call", json!({ "name": "look", "arguments": { "a": 1 } }));
    assert_eq!(refusal(&ask(address(&checkpoint), &bent).await.unwrap())["set"], "need");
    let renewed = client.token(&client.refreshing(&granted.refresh)).await;
    assert_eq!(renewed.json()["authorization_details"], told);
    for wrong in [
        json!([{ "type": "payment_initiation" }]),
        json!([{ "type": "mcp_task", "purpose": "x", "tools": [{ "name": "look" }], "calls": 0 }]),
        json!([{ "type": "mcp_task", "purpose": "x", "tools": [{ "name": "look", "arguments": { "$ref": "#" } }] }]),
        json!([{ "type": "mcp_task", "purpose": "x", "locations": ["https://elsewhere.example/mcp"], "tools": [{ "name": "look" }] }]),
    ] {
        let wish = client.wish(&resource, "mcp:read").set("authorization_details", &wrong.to_string());
        let page = Person::new("alice", PASSWORD).try_answer(&client.link(&wish)).await;
        let said = format!("{page:?}");
        assert!(said.contains("invalid_authorization_details"), "{wrong}: {said}");
    }
}

/// 32 simultaneous calls on a budget of 10, and `kill -9` in the middle, fifty times: there are never more than 10
/// effects, and the budget counts at least as many calls as had an effect.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_during_budgeted_calls_never_overspends() {
    const ROUNDS: u32 = 50;
    const CALLS: u32 = 32;
    let (mut checkpoint, upstream) = started().await;
    let granted = let_in(&checkpoint, "mcp:read mcp:write").await;
    let (mut fewer, mut all) = (0, 0);
    for round in 0..ROUNDS {
        let access = granted.access.clone();
        let task = start_task(&checkpoint, &granted, &["--tool", "look", "--tool", "keep", "--calls", "10"]).await;
        // The task is in effect when a tool that it does not need is refused.
        felt(&checkpoint, &access, "wipe", 403).await;
        upstream.forget();
        let (done, mut answered) = tokio::sync::mpsc::unbounded_channel();
        let calls = (0..CALLS).map(|at| {
            let name = if at % 2 == 0 { "look" } else { "keep" };
            let (to, request, done) = (address(&checkpoint), tool(UP, &access, name), done.clone());
            tokio::spawn(async move {
                let status = ask(to, &request).await.ok().map(|reply| reply.status);
                let _ = done.send(());
                status
            })
        });
        let calls: Vec<_> = calls.collect();
        // The kill comes at every moment from before the first response to after the last, however fast the machine is.
        for _ in 0..round % (CALLS + 1) {
            answered.recv().await;
        }
        checkpoint.process().kill();
        let mut passed = 0;
        for call in calls {
            passed += u64::from(call.await.unwrap() == Some(200));
        }
        checkpoint = checkpoint.crash().await;
        let effects = upstream.calls().len() as u64;
        let tasks = checkpoint.ask(&["task", "list", "--all"]).await;
        let tasks = tasks[0]["tasks"].as_array().unwrap().clone();
        let row = tasks.iter().find(|row| row["id"] == task.as_str()).unwrap();
        let counted = 10 - row["calls_left"].as_u64().unwrap();
        assert!(
            effects <= 10 && passed <= effects && effects <= counted,
            "round {round}: {passed} {effects} {counted}"
        );
        if counted < 10 {
            fewer += 1
        } else {
            all += 1
        }
        checkpoint.ask(&["task", "finish", &task]).await;
    }
    // Both outcomes have to occur; otherwise the moments of the kills were badly chosen.
    assert!(fewer > 0 && all > 0, "{fewer} rounds were cut short, {all} were not");
}

/// Product §4: a rule demands a person's approval; the page shows exactly the call; only the person who was asked can
/// approve.
#[tokio::test]
async fn a_person_approves_one_call() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let setup = Checkpoint::configured(&toml(&upstream)).owner("alice", PASSWORD).user("bob", PASSWORD);
    let folder = setup.folder().join("policies");
    std::fs::create_dir(&folder).unwrap();
    let rule = "@approval @reason(\"it keeps for good\") permit(principal in Group::\"owners\", action == Action::\"call\", resource == Tool::\"up/keep\");\n";
    std::fs::write(folder.join("up.cedar"), rule).unwrap();
    let checkpoint = setup.start().await;
    let granted = let_in(&checkpoint, "mcp:read mcp:write").await;
    let asked = call(&checkpoint, &granted.access, "keep").await;
    assert_eq!(asked.status, 200, "{}", asked.text());
    let url = asked.json()["result"]["_meta"]["io.sekisho/refusal"]["remedy"]["url"].as_str().unwrap().to_owned();
    assert!(upstream.calls().is_empty());
    // Another user finds nothing there, and can change nothing.
    let mut bob = Person::new("bob", PASSWORD);
    assert_eq!(bob.say_yes(&url).await.status, 404);
    assert_eq!(call(&checkpoint, &granted.access, "keep").await.json()["result"]["isError"], true);
    let mut alice = Person::new("alice", PASSWORD);
    assert_eq!(alice.say_yes(&url).await.status, 200);
    let passed = call(&checkpoint, &granted.access, "keep").await;
    assert_ne!(passed.json()["result"]["isError"], true, "{}", passed.text());
    assert_eq!(upstream.calls().len(), 1);
    assert_eq!(call(&checkpoint, &granted.access, "keep").await.json()["result"]["isError"], true);
}

/// Rights are files: a mistake is reported with its line and changes nothing; a valid change takes effect while it
/// runs.
#[tokio::test]
async fn policies_are_taken_over_while_it_runs() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let setup = Checkpoint::configured(&toml(&upstream)).owner("alice", PASSWORD);
    let folder = setup.folder().join("policies");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("up.cedar");
    std::fs::write(&file, "").unwrap();
    let checkpoint = setup.start().await;
    let granted = let_in(&checkpoint, "mcp:read mcp:write").await;
    assert_eq!(call(&checkpoint, &granted.access, "look").await.status, 200);
    std::fs::write(&file, "forbid(principal, action == Action::\"call\", resource == Tool::\"up/look\") when { resource.colour == \"red\" };").unwrap();
    within(Duration::from_secs(20), "the mistake is told", async || {
        let said = checkpoint.stderr().now();
        (said.contains("colour") && said.contains("up.cedar")).then_some(())
    })
    .await;
    assert_eq!(call(&checkpoint, &granted.access, "look").await.status, 200);
    std::fs::write(
        &file,
        "@id(\"no-looking\") forbid(principal, action == Action::\"call\", resource == Tool::\"up/look\");",
    )
    .unwrap();
    let refused = within(Duration::from_secs(20), "the rule is in force", async || {
        let reply = call(&checkpoint, &granted.access, "look").await;
        (reply.status == 403).then_some(reply)
    })
    .await;
    assert_eq!(refusal(&refused)["set"], "rights");
    let words = ["explain", "--user", "alice", "--server", "up", "--tool", "look"];
    let said = checkpoint.command(&words).await;
    assert_eq!(said.code(), Some(1));
    for line in ["deny (set: rights)", "rights  outside  no-looking", "grant   inside", "need    undeclared"] {
        assert!(said.stdout.contains(line), "{line}: {}", said.stdout);
    }
    let drawn = checkpoint.command(&[&words[..], &["--format", "svg"]].concat()).await;
    assert!(drawn.stdout.starts_with("<svg") && drawn.stdout.contains("keep"), "{}", drawn.stdout);
    let id = refused.header("x-request-id").unwrap().to_owned();
    let recorded = checkpoint.command(&["explain", &id]).await;
    assert!(recorded.stdout.contains("no-looking"), "{}", recorded.stdout);
}

/// Product §4, ATK-70: access that rights refuse is requested by the refusal's link, lent to one client for a time, and
/// ends at once when it is taken back. The link tells nobody else anything, not even whether there is such a tool.
#[tokio::test]
async fn access_is_asked_for_lent_and_taken_back() {
    let (checkpoint, upstream) = started().await;
    let at = format!("{}{UP}", checkpoint.base_url());
    let client = Client::register(checkpoint.base_url(), "Honest client", REDIRECT).await;
    let granted = client.be_granted(&at, "mcp:read mcp:write", "bob", PASSWORD).await;
    let refused = call(&checkpoint, &granted.access, "wipe").await;
    let unknown = call(&checkpoint, &granted.access, "nothing").await;
    let plain = |reply: &Reply| reply.text().replace(reply.header("x-request-id").unwrap(), "");
    assert_eq!(plain(&refused), plain(&unknown), "the same for what there is and what there is not");
    let data = refusal(&refused);
    assert_eq!((data["set"].as_str(), data["remedy"]["kind"].as_str()), (Some("rights"), Some("ask_access")));
    let url = data["remedy"]["url"].as_str().unwrap().to_owned();
    assert_eq!(Person::new("alice", PASSWORD).say_yes(&url).await.status, 404, "it is not her refusal");
    let mut bob = Person::new("bob", PASSWORD).filling("reason", "the old notes have to go");
    let asked = bob.say_yes(&url).await;
    assert!(asked.text().contains("An owner has been asked"), "{}", asked.text());
    let request = checkpoint.ask(&["request", "list"]).await[0]["requests"][0].clone();
    assert_eq!((request["subject"].as_str(), request["tool"].as_str()), (Some("bob"), Some("wipe")), "{request}");
    let id = request["id"].as_str().unwrap();
    for wrong in [&["--for", "0s"][..], &["--for", "800h"], &["--bounds", "{\"$ref\":\"#\"}"]] {
        let said = checkpoint.command(&[&["request", "grant", id][..], wrong].concat()).await;
        assert_ne!(said.code(), Some(0), "{wrong:?}: {}", said.stdout);
    }
    let lent = checkpoint.ask(&["request", "grant", id, "--for", "1h"]).await[0].clone();
    let loan = lent["id"].as_str().unwrap();
    let step_up = within(Duration::from_secs(1), "the loan is felt", async || {
        let reply = call(&checkpoint, &granted.access, "wipe").await;
        (refusal(&reply)["set"] == "grant").then_some(reply)
    })
    .await;
    assert_eq!(refusal(&step_up)["remedy"]["scopes"], "mcp:destructive");
    let more = client.be_granted(&at, "mcp:read mcp:destructive", "bob", PASSWORD).await;
    upstream.forget();
    assert_eq!(call(&checkpoint, &more.access, "wipe").await.status, 200);
    assert_eq!(upstream.calls().len(), 1);
    let other = Client::register(checkpoint.base_url(), "Another client", REDIRECT).await;
    let other = other.be_granted(&at, "mcp:read", "bob", PASSWORD).await;
    assert_eq!(refusal(&call(&checkpoint, &other.access, "wipe").await)["set"], "rights");
    let recorded = checkpoint.records().await;
    let by_loan = |row: &&Value| row.to_string().contains(&format!("\"loan:{loan}\""));
    assert_eq!(recorded.iter().filter(by_loan).count(), 2, "a step-up and a call that passed, by this loan");
    checkpoint.ask(&["loan", "revoke", loan]).await;
    let over = felt(&checkpoint, &more.access, "wipe", 403).await;
    assert_eq!(refusal(&over)["set"], "rights");
    assert!(checkpoint.ask(&["loan", "list"]).await[0]["loans"].as_array().unwrap().is_empty());
}
