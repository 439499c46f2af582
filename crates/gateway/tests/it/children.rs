//! Servers that are programs: a shell that speaks a little MCP, behind the whole gateway.

use std::sync::Arc;

use http::Method;
use sekisho_gateway::{EnvValue, StdioSettings, Upstream, UpstreamSettings};
use sekisho_policy::rights::{Rights, RightsParts, RightsServer, RightsUser};
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::secret::UpstreamSecret;
use serde_json::{Value, json};

use crate::world::{JUNE, MODERN, NOVEMBER, World, name};

/// Answers `initialize`, `tools/list` and `tools/call` of 2025-11-25. `get_note` returns its process id and the
/// environment it was given.
const SHELL: &str = r#"
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%[!0-9]*}
  answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
  case "$line" in
    *'"notifications/'*) ;;
    *'"initialize"'*) answer '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"shell","version":"1"}}' ;;
    *'"tools/list"'*) answer '{"tools":[{"name":"get_note","inputSchema":{"type":"object"}},{"name":"crash","inputSchema":{"type":"object"}}]}' ;;
    *'"crash"'*) echo "stderr-canary $TOKEN" >&2; exit 3 ;;
    *'"tools/call"'*) answer "{\"content\":[{\"type\":\"text\",\"text\":\"pid=$$ mode=$MODE home=$HOME\"}]}" ;;
    *) printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"unknown"}}\n' "$id" ;;
  esac
done
"#;

/// A world whose `notes` is this program.
async fn world(settings: StdioSettings) -> World {
    let world = World::new().await;
    let server: ServerName = name("notes");
    let mut routes = (**world.routes.borrow()).clone();
    let mut route = (*routes.servers[&server]).clone();
    route.upstream = Upstream::behind(&route.card.name, UpstreamSettings::Stdio(settings));
    routes.servers.insert(server.clone(), Arc::new(route));
    world.routes.send(Arc::new(routes)).unwrap();
    for _ in 0..400 {
        // The reload takes a moment; the program's name shows when it is done.
        let found = world.gateway.probe(&server).await;
        if found.is_ok_and(|probe| probe.server_info.is_some_and(|info| info.contains("shell"))) {
            return world;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the program did not answer")
}

fn shell() -> StdioSettings {
    let mut settings = StdioSettings::new("/bin/sh");
    settings.arguments = vec!["-c".into(), SHELL.into()];
    settings.environment.insert("MODE".to_owned(), EnvValue::Plain("given".to_owned()));
    settings.environment.insert("TOKEN".to_owned(), EnvValue::Secret(UpstreamSecret::from_outside("secret-canary")));
    settings
}

async fn call(world: &World, token: &str, session: &str, tool: &str) -> Value {
    world.legacy(token, session, NOVEMBER, "tools/call", json!({ "name": tool })).send().await.messages_or_json()
}

fn text(answer: &Value) -> String {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// PX-36, ATK-73, ATK-90: a program serves one subject, with exactly the environment it was given. If it does not speak
/// the client's revision, the error makes the client fall back.
#[tokio::test]
async fn a_program_serves_one_subject_with_what_it_was_given() {
    let world = world(shell()).await;
    let owner = world.owner_token("tool:get_note").await;
    let sessions = [world.session(&owner, NOVEMBER).await, world.session(&owner, NOVEMBER).await];
    let first = text(&call(&world, &owner, &sessions[0], "get_note").await);
    assert_eq!(text(&call(&world, &owner, &sessions[1], "get_note").await), first);
    assert!(first.ends_with("mode=given home="), "{first}");
    let other = world.user("other").await;
    let servers = [(name("notes"), RightsServer::default())].into();
    let user = |id| (id, RightsUser { owner: true, ..RightsUser::default() });
    let users = [user(world.owner()), user(other)].into();
    let rights = Rights::new(RightsParts { users, servers, ..RightsParts::default() }).unwrap();
    world.rights.send(Arc::new(rights)).unwrap();
    let token = world.token(&world.grant(other, "cli_alpha", "notes", "tool:get_note").await);
    let session = world.session(&token, NOVEMBER).await;
    assert_ne!(text(&call(&world, &token, &session, "get_note").await), first, "two subjects share a process");
    let reply = world.call(&token, "get_note").send().await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, -32022), "{}", reply.body);
    assert_eq!(reply.json()["error"]["data"], json!({ "supported": [JUNE, NOVEMBER], "requested": MODERN }));
}

/// A program of a revision older than those we serve answers in its own revision, and the client goes on in that, as it
/// would without us (2025-11-25 Lifecycle, Version Negotiation). That revision is not used at other servers.
#[tokio::test]
async fn a_program_of_an_older_revision_serves_clients_that_go_down_to_it() {
    for older in ["2024-11-05", "2025-03-26"] {
        let mut settings = shell();
        settings.arguments = vec!["-c".into(), SHELL.replace("2025-11-25", older).into()];
        let world = world(settings).await;
        let token = world.owner_token("tool:get_note").await;
        for proposed in [JUNE, NOVEMBER, older, "2099-01-01"] {
            let reply = world.initialize(&token, proposed).await;
            assert_eq!(reply.json()["result"]["protocolVersion"], older, "{proposed}: {}", reply.body);
            let session = reply.header("mcp-session-id").unwrap().to_owned();
            for header in [Some(older), None] {
                let ask = world.legacy(&token, &session, older, "tools/call", json!({ "name": "get_note" }));
                let ask = if header.is_some() { ask } else { ask.without("mcp-protocol-version") };
                let answer = ask.send().await.messages_or_json();
                assert!(text(&answer).contains("mode=given"), "{answer}");
            }
            let listed = world.legacy(&token, &session, older, "tools/list", json!({})).send().await.messages_or_json();
            assert_eq!(listed["result"]["tools"][0]["name"], "get_note", "{listed}");
            // TR-49: the session does not accept another revision.
            let other = world.legacy(&token, &session, NOVEMBER, "tools/list", json!({})).send().await;
            assert_eq!(other.status, 400, "{}", other.body);
            for (method, status) in [(Method::DELETE, 204), (Method::DELETE, 404)] {
                let ask = world.ask(method, "/mcp/notes").header("authorization", &format!("Bearer {token}"));
                let ask = ask.header("mcp-session-id", &session).header("mcp-protocol-version", older);
                assert_eq!(ask.send().await.status, status);
            }
        }
        // A client of the newest revision gets the list of revisions that would do.
        let reply = world.call(&token, "get_note").send().await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, -32022), "{}", reply.body);
        assert_eq!(reply.json()["error"]["data"], json!({ "supported": [older], "requested": MODERN }));
    }
}

/// RS-26, ST-05: a program that ends gives a 502 without any of its output, and is started again.
#[tokio::test]
async fn a_program_that_ends_is_told_without_its_words_and_started_again() {
    let world = world(shell()).await;
    let token = world.owner_token("tool:get_note tool:crash").await;
    let session = world.session(&token, NOVEMBER).await;
    let reply = world.legacy(&token, &session, NOVEMBER, "tools/call", json!({ "name": "crash" })).send().await;
    assert!(!reply.body.contains("canary"), "{}", reply.body);
    let answer = if reply.status == 200 { reply.messages_or_json() } else { reply.json() };
    assert_eq!(answer["error"]["code"], -32603, "{}", reply.body);
    for _ in 0..400 {
        let reply = world.initialize(&token, NOVEMBER).await;
        if reply.status == 200 {
            let session = reply.header("mcp-session-id").unwrap().to_owned();
            assert!(text(&call(&world, &token, &session, "get_note").await).contains("mode=given"));
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("the program was not started again");
}
