//! Sessions, jobs, cached lists: things that belong to one caller and would be useful to another.

use sekisho_e2e::fakes::call::{headers, initialize, legacy, legacy_tool, message, modern, tool};
use sekisho_e2e::fakes::oauth::Granted;
use sekisho_e2e::fakes::upstream::{Conduct, Speaks};
use sekisho_e2e::fakes::wire::Ask;
use serde_json::{Value, json};

use super::field::{Field, OTHER, OWNER, PASSWORD, UP, USER};

async fn session(field: &Field, path: &str, granted: &Granted) -> String {
    let reply = field.ask(&legacy(path, &granted.access, None, &initialize("2025-11-25"))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("mcp-session-id").unwrap().to_owned()
}

/// ATK-71, TR-49, RS-47, PX-19: a session belongs to one user, one client and one server; for everybody else it does
/// not exist.
#[tokio::test]
async fn a_session_is_its_owners_alone() {
    let field = Field::before(Speaks::Legacy, "").await;
    let victim = field.granted(OWNER, "mcp:read mcp:write").await;
    let id = session(&field, UP, &victim).await;
    let other_user = field.granted(USER, "mcp:read mcp:write").await;
    let other_client = field.granted(OWNER, "mcp:read mcp:write").await;
    let other_server = field.granted_other(&victim.client, OWNER).await;
    assert_eq!(
        field.ask(&legacy(UP, &victim.access, Some((&id, "2025-11-25")), &legacy_tool("look"))).await.status,
        200
    );
    let behind = field.upstream.calls()[0].headers.iter().find(|(name, _)| name == "mcp-session-id").unwrap().1.clone();
    field.upstream.forget();
    for (what, path, thief) in
        [("user", UP, &other_user), ("client", UP, &other_client), ("server", OTHER, &other_server)]
    {
        let call = legacy(path, &thief.access, Some((&id, "2025-11-25")), &legacy_tool("look"));
        let listen = Ask::get(path)
            .bearer(&thief.access)
            .header("accept", "text/event-stream")
            .header("mcp-session-id", &id)
            .header("mcp-protocol-version", "2025-11-25");
        let end = Ask::new("DELETE", path)
            .bearer(&thief.access)
            .header("mcp-session-id", &id)
            .header("mcp-protocol-version", "2025-11-25");
        let answer =
            legacy(path, &thief.access, Some((&id, "2025-11-25")), &json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
        for ask in [call, listen, end, answer] {
            assert_eq!(field.ask(&ask).await.status, 404, "another {what}: {ask:?}");
        }
    }
    // The id alone does not authenticate anybody.
    assert_eq!(
        field
            .ask(&legacy(UP, "", Some((&id, "2025-11-25")), &legacy_tool("look")).without("authorization"))
            .await
            .status,
        401
    );
    // The gateway's own requests to the second server's upstream are in separate sessions.
    let touched = field.upstream.seen().iter().filter(|seen| seen.text().contains(&behind)).count();
    assert_eq!((touched, field.upstream.calls().len()), (0, 0), "{:?}", field.upstream.seen());
    field.rejected("session_unknown").await;
    assert_eq!(
        field.ask(&legacy(UP, &victim.access, Some((&id, "2025-11-25")), &legacy_tool("look"))).await.status,
        200
    );
}

/// ATK-71, RS-48: session ids cannot be chosen or guessed, are not the upstream's, and are random.
#[tokio::test]
async fn a_session_id_is_chance() {
    let field = Field::before(Speaks::Legacy, "").await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let mut ids = std::collections::BTreeSet::new();
    // Fewer sessions than one grant may have at a time: otherwise the oldest would be closed.
    for _ in 0..25 {
        let fixed = legacy(UP, &granted.access, None, &initialize("2025-11-25"))
            .header("mcp-session-id", "chosen-by-the-attacker");
        let reply = field.ask(&fixed).await;
        if let Some(id) = reply.header("mcp-session-id") {
            assert_ne!(id, "chosen-by-the-attacker");
        }
        let id = session(&field, UP, &granted).await;
        assert!(id.len() >= 43 && !id.contains("upstream-session"), "{id}");
        ids.insert(id);
    }
    assert_eq!(ids.len(), 25);
    for bent in ["", "chosen-by-the-attacker", "upstream-session-1", "0", "../x"] {
        let status =
            field.ask(&legacy(UP, &granted.access, Some((bent, "2025-11-25")), &legacy_tool("look"))).await.status;
        assert!(matches!(status, 400 | 404), "{bent}: {status}");
    }
    let last = ids.pop_last().unwrap();
    for at in [last.len() / 2, last.len() - 1] {
        let other = if &last[at..=at] == "A" { "B" } else { "A" };
        let bent = format!("{}{other}{}", &last[..at], &last[at + 1..]);
        assert_eq!(
            field.ask(&legacy(UP, &granted.access, Some((&bent, "2025-11-25")), &legacy_tool("look"))).await.status,
            404
        );
    }
    field.untouched();
    assert_eq!(
        field.ask(&legacy(UP, &granted.access, Some((&last, "2025-11-25")), &legacy_tool("look"))).await.status,
        200
    );
}

/// ATK-71, TR-40: a session has one standing stream; a second one is refused and does not affect the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_standing_stream_is_refused() {
    let field = Field::before(Speaks::Legacy, "").await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let id = session(&field, UP, &granted).await;
    let listen = Ask::get(UP)
        .bearer(&granted.access)
        .header("accept", "text/event-stream")
        .header("mcp-session-id", &id)
        .header("mcp-protocol-version", "2025-11-25");
    let mut first = sekisho_e2e::fakes::wire::Connection::open(field.address).await.unwrap();
    first.send(&listen.bytes(&field.host())).await.unwrap();
    assert_eq!(first.head().await.unwrap().status, 200);
    assert_eq!(field.ask(&listen).await.status, 409);
    field.rejected("stream_taken").await;
    for _ in 0..3 {
        first.part().await.unwrap().expect("the first goes on");
    }
}

/// ATK-71, TR-22: 2026-07-28 has no sessions: an id is neither issued nor read.
#[tokio::test]
async fn the_newest_revision_has_no_sessions() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let reply = field.ask(&tool(UP, &granted.access, "look")).await;
    assert_eq!(reply.header("mcp-session-id"), None);
    let with = field.ask(&tool(UP, &granted.access, "look").header("mcp-session-id", "x")).await;
    assert!(matches!(with.status, 200 | 400 | 404), "{}", with.status);
    assert!(field.upstream.calls().iter().all(|call| !call.headers.iter().any(|(name, _)| name == "mcp-session-id")));
}

/// A request about a job, by a client that declared support for jobs.
fn about_job(method: &str, granted: &Granted, params: Value, name: &str) -> Ask {
    let mut body = message(method, params);
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    headers(UP, &granted.access, method).json(&body).header("mcp-name", name)
}

/// ATK-72, RS-53, RS-54: a job belongs to the user who started it and the client it was started with; for others it
/// does not exist.
#[tokio::test]
async fn a_job_of_somebody_else_is_not_there() {
    let field = Field::start().await;
    let owner = field.granted(OWNER, "mcp:read mcp:write mcp:destructive").await;
    let other_client = field.granted(OWNER, "mcp:read mcp:write mcp:destructive").await;
    let user = field.granted(USER, "mcp:read mcp:write").await;
    field.upstream.behave(Conduct::Job);
    let begun = field.ask(&about_job("tools/call", &owner, json!({ "name": "look", "arguments": {} }), "look")).await;
    assert_eq!(begun.json()["result"]["taskId"], "job-1", "{}", begun.text());
    for (what, thief) in [("another user", &user), ("another client", &other_client), ("its owner", &owner)] {
        for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
            for id in ["job-1", "job-2", "", "*", "../x"] {
                if what == "its owner" && id == "job-1" {
                    continue;
                }
                let ask = about_job(method, thief, json!({ "taskId": id, "inputResponses": {} }), id);
                let reply = field.ask(&ask).await;
                assert!(matches!(reply.status, 400 | 403 | 404), "{what}, {method} {id:?}: {}", reply.text());
            }
        }
    }
    let asked = || field.upstream.seen().iter().filter(|seen| seen.rpc().starts_with("tasks/")).count();
    assert_eq!(asked(), 0);
    let own = field.ask(&about_job("tasks/get", &owner, json!({ "taskId": "job-1" }), "job-1")).await;
    assert_eq!((own.status, asked()), (200, 1), "{}", own.text());
    field.upstream.behave(Conduct::Honest);
    field.is_healthy(&owner).await;
}

/// ATK-74, PX-23: a response that was filtered for one caller is marked as private, whatever the upstream says about
/// caching.
#[tokio::test]
async fn what_was_filtered_for_one_is_for_one() {
    let field = Field::start().await;
    let owner = field.granted(OWNER, "mcp:read mcp:write mcp:destructive").await;
    let user = field.granted(USER, "mcp:read mcp:write").await;
    let mut views = Vec::new();
    for granted in [&owner, &user, &owner] {
        let reply = field.ask(&modern(UP, &granted.access, "tools/list", json!({}))).await;
        let json: Value = reply.json();
        assert_eq!(json["result"]["cacheScope"], "private", "{json}");
        assert!(
            reply.header("cache-control").is_none_or(|value| value.contains("no-store") || value.contains("private")),
            "{reply:?}"
        );
        views.push(json["result"]["tools"].as_array().unwrap().len());
    }
    assert_eq!(views, [4, 2, 4]);
    field.upstream.behave(Conduct::PublicCache);
    let called = field.ask(&tool(UP, &owner.access, "look")).await.json();
    assert_eq!(called["result"]["cacheScope"], "private", "{called}");
}

/// ATK-74, ATK-59: a change of rights shows in the next list.
#[tokio::test]
async fn a_change_of_rights_is_in_the_next_list() {
    let field = Field::start().await;
    let user = field.granted(USER, "mcp:read mcp:write").await;
    let count = async || {
        field.ask(&modern(UP, &user.access, "tools/list", json!({}))).await.json()["result"]["tools"]
            .as_array()
            .map(Vec::len)
    };
    assert_eq!(count().await, Some(2));
    let file = field.checkpoint.configuration();
    let narrowed = std::fs::read_to_string(&file).unwrap().replace("everyone = \"write\"", "everyone = \"read\"");
    std::fs::write(&file, narrowed).unwrap();
    sekisho_e2e::harness::wait::until("the narrower list", async || (count().await == Some(1)).then_some(())).await;
    let reply = field.ask(&tool(UP, &user.access, "keep")).await;
    assert_eq!(
        (reply.status, reply.json()["error"]["data"]["set"].as_str()),
        (403, Some("rights")),
        "{}",
        reply.text()
    );
    field.untouched();
    field.is_healthy(&user).await;
}

/// ATK-284: after a restart, a session can be continued by its own user, client and grant, at its own server, and by
/// nobody else; not with another spelling of its id, and not after it has ended.
#[tokio::test]
async fn a_session_goes_on_after_a_restart_for_its_own_caller_alone() {
    let mut field = Field::before(Speaks::Legacy, "").await;
    let victim = field.granted(OWNER, "mcp:read").await;
    let id = session(&field, UP, &victim).await;
    let ended = session(&field, UP, &victim).await;
    let other_user = field.granted(USER, "mcp:read").await;
    let other_client = field.granted(OWNER, "mcp:read").await;
    let other_server = field.granted_other(&victim.client, OWNER).await;
    let call = |path: &str, granted: &Granted, id: &str| {
        legacy(path, &granted.access, Some((id, "2025-11-25")), &legacy_tool("look"))
    };
    assert_eq!(field.ask(&call(UP, &victim, &id)).await.status, 200);
    let behind = field.upstream.calls()[0].headers.iter().find(|(name, _)| name == "mcp-session-id").unwrap().1.clone();
    assert!(!id.contains(&behind), "the upstream's identifier is sealed");
    field.checkpoint = field.checkpoint.crash().await;
    field.upstream.forget();
    let (token, sealed) = id.split_once('.').expect("a session over HTTP can be gone on with");
    let changed = format!("{token}.{}{}", if sealed.starts_with('A') { 'B' } else { 'A' }, &sealed[1..]);
    let foreign = ended.split_once('.').unwrap().1;
    for (what, path, thief, id) in [
        ("user", UP, &other_user, id.clone()),
        ("client", UP, &other_client, id.clone()),
        ("server", OTHER, &other_server, id.clone()),
        ("bare", UP, &victim, token.to_owned()),
        ("changed", UP, &victim, changed),
        ("of another", UP, &victim, format!("{token}.{foreign}")),
        ("longer", UP, &victim, format!("{id}A")),
    ] {
        assert_eq!(field.ask(&call(path, thief, &id)).await.status, 404, "{what}");
    }
    assert_eq!(field.upstream.calls().len(), 0);
    assert_eq!(field.ask(&call(UP, &victim, &id)).await.status, 200);
    let sent = field.upstream.calls()[0].headers.iter().find(|(name, _)| name == "mcp-session-id").unwrap().1.clone();
    assert_eq!(sent, behind, "it is the same session at the upstream");
    assert_eq!(field.ask(&call(UP, &other_user, &id)).await.status, 404);
    let end = Ask::new("DELETE", UP).bearer(&victim.access).header("mcp-session-id", &ended);
    assert!(field.ask(&end).await.status < 300);
    assert_eq!(field.ask(&call(UP, &victim, &ended)).await.status, 404, "it has ended in this process");
    // A client that was approved again has to start a new session: the sealed session belongs to the old grant.
    let again = victim.client.be_granted(&field.resource(UP), "mcp:read", OWNER, PASSWORD).await;
    assert_eq!(field.ask(&call(UP, &again, &ended)).await.status, 404);
}
