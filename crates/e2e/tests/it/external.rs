//! An authorization server that nobody here wrote, the npm `oidc-provider`, in place of ours at one server: signed and
//! opaque tokens, more scopes, a task, an approval, an end, and keys that change while calls are made.

use sekisho_e2e::harness::node::{Serving, serve};
use sekisho_e2e::harness::wait::until;
use sekisho_e2e::harness::{
    Agent, BrowserState, Caller, Checkpoint, Mcp, Person, REDIRECT, Reply, Tokens, binary, forms, links,
};
use sekisho_protocol::mcp::method::Revision;
use serde_json::{Value, json};

const SECRET: &str = "a secret: with % and /";

/// The provider, a checkpoint with two servers at which it grants access, and Ada, who has a browser at both.
struct World {
    provider: Serving,
    checkpoint: Checkpoint,
    /// Her browser, as far as she uses it at the provider.
    there: Person,
    /// Her browser, as far as she uses it at the checkpoint.
    here: Person,
}

impl World {
    async fn start() -> Self {
        let client = |id: &str, more: Value| {
            let mut client = json!({ "client_id": id, "redirect_uris": [REDIRECT] });
            client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            client
        };
        let world = json!({
            "clients": [
                client("agent", json!({ "token_endpoint_auth_method": "none", "application_type": "native" })),
                client("gate", json!({ "client_secret": SECRET, "response_types": [], "grant_types": [], "redirect_uris": [] })),
                client("sekisho", json!({ "client_secret": SECRET, "application_type": "native", "redirect_uris": ["http://localhost/login/corp/callback"] })),
            ],
            "people": { "ada": { "preferred_username": "ada", "email": "ada@example.com" } },
            "resources": {
                "notes": { "scope": "notes.read notes.edit", "format": "jwt" },
                "diary": { "scope": "notes.read notes.edit", "format": "opaque" },
            },
        });
        let provider = serve("provider", &["--world", &world.to_string()]).await;
        let program = binary().display().to_string();
        let server = |name: &str, accept: &str| {
            format!(
                "[servers.{name}]\ncommand = [{program:?}, \"bundled\", \"notes\"]\neveryone = \"read\"\n\
                 scopes_default = [\"mcp:read\"]\n\
                 tools = {{ list_notes = \"read\", read_note = \"read\", write_note = \"write\" }}\n\
                 [servers.{name}.authorization]\nprovider = \"corp\"\n{accept}\n\
                 scopes = {{ \"notes.read\" = [\"mcp:read\"], \"notes.edit\" = [\"mcp:write\"] }}\n"
            )
        };
        let toml = format!(
            "{}{}[[login.provider]]\nname = \"corp\"\nissuer = {:?}\nclient_id = \"sekisho\"\nclient_secret = {SECRET:?}\n",
            server("notes", ""),
            server("diary", &format!("accept = \"introspection\"\nclient_id = \"gate\"\nclient_secret = {SECRET:?}")),
            provider.url,
        );
        let setup = Checkpoint::configured(&toml).owner("alice", "correct horse battery staple");
        std::fs::create_dir(setup.folder().join("policies")).unwrap();
        let rules = ["notes", "diary"].map(|server| {
            format!("@approval @reason(\"it is kept\") permit(principal, action == Action::\"call\", resource == Tool::\"{server}/write_note\");")
        });
        std::fs::write(setup.folder().join("policies/a.cedar"), rules.join("\n")).unwrap();
        let checkpoint = setup.start().await;
        let person = || Person::new("ada", "unused");
        Self { provider, checkpoint, there: person(), here: person() }
    }

    /// Ada types her name at the provider if it asks, and is sent back.
    async fn answer(&mut self, url: &str) -> String {
        match self.there.visit(url).await {
            BrowserState::Away(back) => back,
            BrowserState::Page { url, answer } => {
                let mut form = forms(&answer.text()).remove(0);
                form.fill("username", "ada");
                match self.there.submit(&url, &form).await {
                    BrowserState::Away(back) => back,
                    BrowserState::Page { url, answer } => panic!("stuck at {url}: {}", answer.text()),
                }
            }
        }
    }

    /// The agent gets a token at the provider, where the server's own metadata lead it.
    async fn token(&mut self, server: &str, scope: &str) -> Tokens {
        let agent = Agent::known(&self.checkpoint.server_named(server), "agent", None).await;
        let invitation = agent.invite(Some(scope));
        let redirected = self.answer(&invitation.url).await;
        agent.redeem(&invitation, &redirected).await
    }

    async fn call(&self, server: &str, token: &str, tool: &str) -> Reply {
        let mut mcp = Mcp::new(&self.checkpoint.server_named(server), Revision::V2026_07_28, Some(token));
        let arguments = if tool == "write_note" { json!({ "title": "one", "text": "two" }) } else { json!({}) };
        mcp.tool(tool, arguments).await
    }

    /// Calls until the answer has this status.
    async fn eventually(&self, server: &str, token: &str, status: u16) -> Reply {
        until(&format!("an answer with {status}"), async || {
            let reply = self.call(server, token, "list_notes").await;
            (reply.status == status).then_some(reply)
        })
        .await
    }

    /// Ada signs in at the checkpoint, by way of the provider, and opens a page of it.
    async fn page(&mut self, path: &str) -> (String, String) {
        let at = format!("{}{path}", self.checkpoint.base_url());
        let (mut url, mut text) = page(self.here.visit(&at).await);
        if let Some(link) = links(&text).into_iter().find(|link| link.contains("/login/corp")) {
            let link = url::Url::parse(&url).unwrap().join(&link).unwrap();
            let BrowserState::Away(away) = self.here.visit(link.as_str()).await else { panic!("she is not sent away") };
            let back = self.answer(&away).await;
            page(self.here.visit(&back).await);
            (url, text) = page(self.here.visit(&at).await);
        }
        (url, text)
    }

    /// Ada presses the button of a page that leads there.
    async fn press(&mut self, path: &str, pick: impl Fn(&sekisho_e2e::harness::Form) -> bool, fill: &[(&str, &str)]) {
        let (at, text) = self.page(path).await;
        let mut form =
            forms(&text).into_iter().find(|form| pick(form)).unwrap_or_else(|| panic!("no such form: {text}"));
        fill.iter().for_each(|(name, value)| form.fill(name, value));
        page(self.here.submit(&at, &form).await);
    }

    async fn grant(&self, server: &str) -> String {
        let listed = self.checkpoint.ask(&["grant", "list"]).await;
        let grants = listed[0]["grants"].as_array().unwrap();
        let found = grants.iter().find(|grant| grant["server"] == server && grant["ended"] == false);
        let found = found.unwrap_or_else(|| panic!("{grants:?}"));
        assert_eq!((&found["client"], &found["issuer"]), (&json!("corp:agent"), &json!(self.provider.url)));
        assert_eq!(found["subject"], "corp:person", "an access token says nothing of names");
        found["id"].as_str().unwrap().to_owned()
    }
}

fn page(state: BrowserState) -> (String, String) {
    match state {
        BrowserState::Page { url, answer } => (url, answer.text()),
        BrowserState::Away(url) => panic!("led away to {url}"),
    }
}

fn good(reply: &Reply) -> bool {
    reply.status == 200 && reply.message["result"].is_object() && reply.message["result"]["isError"] != true
}

/// The whole life of an agent at a server whose access another authorization server grants, with signed and with opaque
/// tokens: more scopes, an approval on the page that the refusal names, a task, an end, and a return.
async fn life(server: &str) {
    let mut world = World::start().await;
    let metadata = format!("{}/.well-known/oauth-protected-resource/mcp/{server}", world.checkpoint.base_url());
    let metadata = Caller::new().get(&metadata).send().await.json();
    assert_eq!(metadata["authorization_servers"], json!([world.provider.url]));
    assert_eq!(metadata["scopes_supported"], json!(["notes.read"]));
    let read = world.token(server, "notes.read").await;
    let first = world.call(server, &read.access, "list_notes").await;
    assert!(good(&first), "{first:?}");
    // Ada signs in: the user that the token made is hers.
    let grant = world.grant(server).await;
    let (_, text) = world.page(&format!("/grants/{grant}")).await;
    assert!(text.contains(&world.provider.url), "{text}");
    // Step up at the provider.
    let refused = world.call(server, &read.access, "write_note").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let challenge = refused.answer.challenge();
    assert_eq!((&challenge["error"], &challenge["scope"]), (&json!("insufficient_scope"), &json!("notes.edit")));
    let edit = world.token(server, "notes.edit").await;
    // A person approves the call, on a page of the checkpoint.
    let asked = world.call(server, &edit.access, "write_note").await;
    let text = asked.answer.text();
    let (_, id) = text.split_once("/approvals/").unwrap_or_else(|| panic!("{text}"));
    let id: String = id.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-')).collect();
    let path = format!("/approvals/{id}");
    world.press(&path, |form| form.has_button("decision", "approve"), &[("decision", "approve")]).await;
    let approved = world.call(server, &edit.access, "write_note").await;
    assert!(good(&approved), "{approved:?}");
    // Held to a task, by a person.
    let task =
        world.checkpoint.ask(&["task", "start", "--grant", &grant, "--purpose", "look", "--tool", "read_note"]).await;
    let held = world.eventually(server, &read.access, 403).await;
    assert_eq!(held.refusal()["set"], "need");
    world.checkpoint.ask(&["task", "finish", task[0]["id"].as_str().unwrap()]).await;
    world.checkpoint.ask(&["task", "resume", "--grant", &grant]).await;
    world.eventually(server, &read.access, 200).await;
    // Cut, by its person. A new token does not help, and the page does.
    world.press(&format!("/grants/{grant}"), |form| form.action.ends_with("/end"), &[]).await;
    let cut = world.eventually(server, &read.access, 403).await;
    assert_eq!(cut.answer.header("www-authenticate"), None);
    let fresh = world.token(server, "notes.read").await;
    let cut = world.call(server, &fresh.access, "list_notes").await;
    assert_eq!(cut.status, 403, "{cut:?}");
    let body: Value = cut.answer.json();
    let remedy = &body["error"]["data"]["remedy"];
    let url = format!("{}/grants/{grant}", world.checkpoint.base_url());
    assert_eq!(
        (&body["error"]["data"]["set"], &remedy["kind"], &remedy["url"]),
        (&json!("grant"), &json!("let_in"), &json!(url))
    );
    world.press(&format!("/grants/{grant}"), |form| form.action.ends_with("/release"), &[]).await;
    world.eventually(server, &fresh.access, 200).await;
    assert_ne!(world.grant(server).await, grant);
    // The records say whose token it was.
    let request = body["error"]["data"]["request"].as_str().unwrap();
    until("the refusal is on record", async || {
        let told = world.checkpoint.command(&["trace", request]).await;
        told.stdout.contains("grant_ended").then_some(())
    })
    .await;
    let told = world.checkpoint.command(&["trace", &grant]).await;
    assert!(
        told.stdout.contains(&world.provider.url) && told.stdout.contains("lets the client in again"),
        "{}",
        told.stdout
    );
    let configuration = world.checkpoint.configuration().display().to_string();
    let words = ["explain", "-c", &configuration, "--user", "corp:person", "--server", server, "--tool", "list_notes"];
    let told = world.checkpoint.command(&words).await;
    assert!(told.stdout.contains(&format!("let in by {}", world.provider.url)), "{} {}", told.stdout, told.stderr);
}

/// Signed tokens.
#[tokio::test]
async fn an_agent_lives_with_signed_tokens_of_the_npm_provider() {
    life("notes").await;
}

/// Opaque tokens.
#[tokio::test]
async fn an_agent_lives_with_opaque_tokens_of_the_npm_provider() {
    life("diary").await;
}

/// While many calls are made, the provider changes its keys twice. Tokens that were known go on, new ones are good at
/// once, forged ones never are, and nothing else is ever answered.
#[tokio::test(flavor = "multi_thread")]
async fn keys_change_while_calls_are_made() {
    let mut world = World::start().await;
    let old = world.token("notes", "notes.read").await.access;
    assert!(good(&world.call("notes", &old, "list_notes").await));
    let forged = forged(&old);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (old, forged, checkpoint) = (old.as_str(), forged.as_str(), world.checkpoint.server_named("notes"));
    let load = |token: &str, status: u16| {
        let (token, checkpoint, stop) = (token.to_owned(), checkpoint.clone(), &stop);
        async move {
            let mut calls = 0;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let reply =
                    Mcp::new(&checkpoint, Revision::V2026_07_28, Some(&token)).tool("list_notes", json!({})).await;
                assert_eq!(reply.status, status, "{reply:?}");
                calls += 1;
            }
            calls
        }
    };
    let change = async {
        for _ in 0..2 {
            let answer = Caller::new().post(&format!("{}/admin/keys", world.provider.url)).send().await;
            assert_eq!(answer.status, 204);
            world.there = Person::new("ada", "unused");
            let new = world.token("notes", "notes.read").await.access;
            for _ in 0..5 {
                // Keys are asked for at most once a second. Until then, whether the token is good is not known.
                let reply = until("the new key is known", async || {
                    let mut client = Mcp::new(&checkpoint, Revision::V2026_07_28, Some(&new));
                    let reply = client.tool("list_notes", json!({})).await;
                    (reply.status != 503).then_some(reply)
                })
                .await;
                assert!(good(&reply), "{reply:?}");
            }
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let (good_calls, more, bad_calls, ()) =
        futures_util::future::join4(load(old, 200), load(old, 200), load(forged, 401), change).await;
    println!(
        "{good_calls} and {more} calls with a known token, {bad_calls} with a forged one, across two changes of keys"
    );
    assert!(good_calls > 0 && more > 0 && bad_calls > 0);
}

/// The token with another signature.
fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other: String = signature.chars().rev().collect();
    format!("{signed}.{other}")
}
