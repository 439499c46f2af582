//! The agents that somebody let in, one by one, and what they are held to.

use http::StatusCode;
use sekisho_protocol::audit::ActKind;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock as _, after};
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::task::TaskOrigin;

use crate::given::{CALL, tidy_up};
use crate::harness::{Browser, Reply, Site};

fn path(id: GrantId) -> String {
    format!("/grants/{id}")
}

async fn begin(browser: &mut Browser, id: GrantId, page: &Reply, fields: &[(&str, &str)]) -> Reply {
    let csrf = page.csrf_of("name=\"purpose\"");
    let fields: Vec<_> = [("csrf", csrf.as_str())].into_iter().chain(fields.iter().copied()).collect();
    browser.post(&format!("{}/tasks", path(id)), &fields).await
}

/// ATK-14: the home page lists one's own living grants, each with what it is held to, and what waits for an answer.
#[tokio::test]
async fn the_home_page_shows_ones_own_agents() {
    let site = Site::new().await;
    let mut owner = site.signed_in("owner").await;
    assert!(owner.get("/").await.body.contains("None yet."));
    let (plain, held) = (site.grant("owner", "mcp:read mcp:write").await, site.grant("owner", "tool:x").await);
    let (foreign, ended) = (site.grant("reader", "mcp:read").await, site.grant("owner", "mcp:read").await);
    let task = site.task(held, tidy_up()).await;
    let (mine, theirs) = (site.asked(plain, &CALL).await, site.asked(foreign, &CALL).await);
    site.revoke(ended).await;
    let home = owner.get("/").await;
    for words in [
        "<h1>Your connected agents</h1>",
        "Waiting for your answer",
        &format!("href=\"/approvals/{mine}\""),
        &format!("href=\"{}\"", path(plain)),
        &format!("href=\"/tasks/{task}\">Tidy up the notes</a>"),
        "Use the tool <code>x</code>",
        "Change things",
        "not used yet",
        "class=\"label\"",
    ] {
        assert!(home.body.contains(words), "{words}: {}", home.body);
    }
    for hidden in [path(foreign), path(ended), theirs.to_string(), "Look at things".to_owned()] {
        assert!(!home.body.contains(&hidden), "{hidden}");
    }
    assert!(!site.browser().get("/").await.body.contains(&path(plain)));
}

/// Product §4: a person holds an agent to a task in the person's own words, once; it is on record.
#[tokio::test]
async fn a_person_begins_a_task() {
    let site = Site::new().await;
    site.three_tools().await;
    let grant = site.grant("owner", "mcp:write").await;
    let mut owner = site.signed_in("owner").await;
    let page = owner.get(&path(grant)).await;
    assert_eq!(page.offered("tool"), ["delete_note", "read_note", "write_note"]);
    assert!(page.body.contains("No task was declared"));
    let fields = [
        ("purpose", " Clean <b>up</b> "),
        ("tool", "read_note"),
        ("tool", "delete_note"),
        ("calls", "7"),
        ("end", "day"),
    ];
    let reply = begin(&mut owner, grant, &page, &fields).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    let task = site.stored_grant(grant).await.task.unwrap();
    assert_eq!(reply.location(), format!("/tasks/{task}"));
    let stored = site.stored_task(task).await;
    assert_eq!(stored.definition.purpose, "Clean <b>up</b>");
    assert_eq!(stored.definition.tools.keys().collect::<Vec<_>>(), ["delete_note", "read_note"]);
    assert_eq!((stored.origin, stored.calls_left), (TaskOrigin::Person, Some(7)));
    assert_eq!(stored.ends_at, Some(after(site.clock.now(), 24 * 3600)));
    assert!(site.acts().await.contains(&ActKind::TaskBegun));
    // While it runs there is no other, and the page that was open before is worth nothing.
    let now = owner.get(&path(grant)).await;
    assert!(!now.body.contains("name=\"purpose\"") && now.body.contains("Clean &#60;b&#62;up"), "{}", now.body);
    assert_eq!(begin(&mut owner, grant, &page, &fields).await.status, StatusCode::FORBIDDEN);
    // Without an end and without a budget, after that one.
    let mut tx = site.store.begin().await.unwrap();
    assert!(tx.tasks().finish(task, "test", site.clock.now()).await.unwrap());
    tx.commit().await.unwrap();
    let page = owner.get(&path(grant)).await;
    begin(&mut owner, grant, &page, &[("purpose", "Again"), ("tool", "read_note"), ("end", "")]).await;
    let second = site.stored_task(site.stored_grant(grant).await.task.unwrap()).await;
    assert_eq!((second.definition.purpose.as_str(), second.calls_left, second.ends_at), ("Again", None, None));
}

/// What is no task is said beside what was written; nothing begins.
#[tokio::test]
async fn what_is_no_task_does_not_begin() {
    let site = Site::new().await;
    site.three_tools().await;
    let grant = site.grant("owner", "mcp:write").await;
    let mut owner = site.signed_in("owner").await;
    let page = owner.get(&path(grant)).await;
    let (long, tool) = ("x".repeat(201), ("tool", "read_note"));
    for (fields, words) in [
        (vec![tool], "one plain line"),
        (vec![("purpose", "a\nb"), tool], "one plain line"),
        (vec![("purpose", "a\u{202e}b"), tool], "one plain line"),
        (vec![("purpose", long.as_str()), tool], "one plain line"),
        (vec![("purpose", "a")], "at least one tool"),
        (vec![("purpose", "a"), ("tool", "no_such_tool")], "at least one tool"),
        (vec![("purpose", "a"), tool, ("calls", "0")], "whole number"),
        (vec![("purpose", "a"), tool, ("calls", "1000001")], "whole number"),
        (vec![("purpose", "a"), tool, ("calls", "1e3")], "whole number"),
    ] {
        let reply = begin(&mut owner, grant, &page, &fields).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}");
        assert!(reply.body.contains(words), "{fields:?}: {}", reply.body);
        assert_eq!(reply.body.contains("value=\"read_note\" checked"), fields.contains(&tool), "{fields:?}");
    }
    let reply = begin(&mut owner, grant, &page, &[("purpose", "a"), tool, ("end", "year")]).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(site.stored_grant(grant).await.task.is_none());
}

/// RS-39: a task holds what its person may do, and a tool beyond that is not even named.
#[tokio::test]
async fn a_task_begins_within_the_persons_own_rights() {
    let site = Site::new().await;
    site.tools(&[("look", ToolClass::Read), ("wipe", ToolClass::Destructive)]).await;
    let grant = site.grant("reader", "mcp:read").await;
    let mut reader = site.signed_in("reader").await;
    let page = reader.get(&path(grant)).await;
    assert_eq!(page.offered("tool"), ["look"]);
    assert!(!page.body.contains("wipe"));
    begin(&mut reader, grant, &page, &[("purpose", "a"), ("tool", "look"), ("tool", "wipe")]).await;
    let task = site.stored_task(site.stored_grant(grant).await.task.unwrap()).await;
    assert_eq!(task.definition.tools.keys().collect::<Vec<_>>(), ["look"]);
}

/// ATK-09, ATK-10: a grant is ended and held to a task only from its own page, and by no GET.
#[tokio::test]
async fn a_grant_is_changed_only_on_its_own_page() {
    let site = Site::new().await;
    site.three_tools().await;
    let (grant, other) = (site.grant("owner", "mcp:write").await, site.grant("owner", "mcp:write").await);
    let mut owner = site.signed_in("owner").await;
    let (page, other_page) = (owner.get(&path(grant)).await, owner.get(&path(other)).await);
    let elsewhere = site.signed_in("owner").await.get(&path(grant)).await;
    let (purpose, end) = ("name=\"purpose\"", "/end\"");
    let fields = [("purpose", "a"), ("tool", "read_note")];
    for csrf in [
        String::new(),
        "nonsense".to_owned(),
        page.csrf_of("/logout"),
        other_page.csrf_of(purpose),
        other_page.csrf_of(end),
        elsewhere.csrf_of(purpose),
        elsewhere.csrf_of(end),
    ] {
        let all: Vec<_> = [("csrf", csrf.as_str())].into_iter().chain(fields).collect();
        assert_eq!(owner.post(&format!("{}/tasks", path(grant)), &all).await.status, StatusCode::FORBIDDEN, "{csrf}");
        let reply = owner.post(&format!("{}/end", path(grant)), &[("csrf", &csrf)]).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{csrf}");
    }
    let crossed = owner.post(&format!("{}/end", path(grant)), &[("csrf", &page.csrf_of(purpose))]).await;
    assert_eq!(crossed.status, StatusCode::FORBIDDEN);
    let mut foreign = owner.clone();
    foreign.headers.insert("origin", "https://evil.example".parse().unwrap());
    assert_eq!(begin(&mut foreign, grant, &page, &fields).await.status, StatusCode::FORBIDDEN);
    for path in [format!("{}/tasks", path(grant)), format!("{}/end", path(grant))] {
        assert_eq!(owner.get(&path).await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    let stored = site.stored_grant(grant).await;
    assert!(stored.task.is_none() && stored.revoked_at.is_none());
    let reply = owner.post(&format!("{}/end", path(grant)), &[("csrf", &page.csrf_of(end))]).await;
    assert_eq!(reply.location(), "/");
    assert!(site.stored_grant(grant).await.revoked_at.is_some());
    assert!(site.acts().await.contains(&ActKind::GrantRevoked));
}

/// ATK-10: somebody else's grant is as if it were not there.
#[tokio::test]
async fn nobody_else_learns_of_a_grant() {
    let site = Site::new().await;
    site.three_tools().await;
    let grant = site.grant("owner", "mcp:write").await;
    let unknown = GrantId::generate(site.clock.now(), &*site.entropy);
    let page = site.signed_in("owner").await.get(&path(grant)).await;
    let (mut nobody, mut reader) = (site.browser(), site.signed_in("reader").await);
    for id in [grant, unknown] {
        assert_eq!(nobody.get(&path(id)).await.location(), format!("/login?request={id}"));
        let fields = [("purpose", "a"), ("tool", "read_note")];
        assert_eq!(begin(&mut nobody, id, &page, &fields).await.location(), format!("/login?request={id}"));
        assert_eq!(begin(&mut reader, id, &page, &fields).await.status, StatusCode::NOT_FOUND);
    }
    let (foreign, missing) = (reader.get(&path(grant)).await, reader.get(&path(unknown)).await);
    assert_eq!((foreign.status, missing.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(foreign.without(&grant.to_string()), missing.without(&unknown.to_string()));
    assert!(site.stored_grant(grant).await.task.is_none());
}

/// A revoked grant is shown as ended, with nothing to press.
#[tokio::test]
async fn an_ended_grant_is_only_shown() {
    let site = Site::new().await;
    site.three_tools().await;
    let grant = site.grant("owner", "mcp:write").await;
    let mut owner = site.signed_in("owner").await;
    let page = owner.get(&path(grant)).await;
    site.revoke(grant).await;
    let reply = begin(&mut owner, grant, &page, &[("purpose", "a"), ("tool", "read_note")]).await;
    assert_eq!(reply.status, StatusCode::GONE);
    let now = owner.get(&path(grant)).await;
    assert!(now.body.contains("This access has ended"));
    assert!(!now.body.contains("name=\"purpose\"") && !now.body.contains("/end\""));
    assert!(site.stored_grant(grant).await.task.is_none());
}

/// Product §6: the pages speak Japanese.
#[tokio::test]
async fn agents_are_shown_in_japanese() {
    let site = Site::new().await;
    site.three_tools().await;
    let grant = site.grant("owner", "mcp:write").await;
    site.asked(grant, &CALL).await;
    let mut owner = site.signed_in("owner").await;
    owner.headers.insert("accept-language", "ja".parse().unwrap());
    let (home, page) = (owner.get("/").await, owner.get(&path(grant)).await);
    for words in ["接続中のエージェント", "あなたの回答を待っています", "許可を取り消す", "まだ使われていません"]
    {
        assert!(home.body.contains(words), "{words}");
    }
    for words in ["作業を始める", "必要なツール", "許可した内容", "取り消すまで"] {
        assert!(page.body.contains(words), "{words}");
    }
}

/// An agent that the list shows is one whose own page calls it alive: also where its client was disabled.
#[tokio::test]
async fn the_list_and_the_page_of_an_agent_agree() {
    let site = Site::new().await;
    let mut owner = site.signed_in("owner").await;
    let grant = site.grant("owner", "mcp:read").await;
    let client = site.stored_grant(grant).await.client;
    let lives = async |owner: &mut Browser| {
        let (home, page) = (owner.get("/").await.body, owner.get(&path(grant)).await.body);
        (home.contains(&format!("href=\"{}\"", path(grant))), page.contains("/end\""))
    };
    assert_eq!(lives(&mut owner).await, (true, true));
    for disabled in [true, false] {
        let mut tx = site.store.begin().await.unwrap();
        assert!(tx.clients().set_disabled(&client, disabled).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(lives(&mut owner).await, (!disabled, !disabled), "disabled: {disabled}");
    }
}
