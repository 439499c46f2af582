//! What a person may do with a running task, and nobody else.

use http::StatusCode;
use sekisho_protocol::audit::ActKind;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{Clock as _, after};
use sekisho_protocol::ids::TaskId;
use sekisho_protocol::task::TaskDefinition;

use crate::given::tidy_up;
use crate::harness::{Browser, Reply, Site};

fn path(id: TaskId) -> String {
    format!("/tasks/{id}")
}

async fn widen(browser: &mut Browser, id: TaskId, page: &Reply, fields: &[(&str, &str)]) -> Reply {
    let csrf = page.csrf_of("value=\"widen\"");
    let fields: Vec<_> =
        [("csrf", csrf.as_str()), ("act", "widen")].into_iter().chain(fields.iter().copied()).collect();
    browser.post(&path(id), &fields).await
}

/// Product §4: only a person widens: tools, arguments, calls and time; each is shown, kept and on record.
#[tokio::test]
async fn a_person_gives_a_task_more_room() {
    let site = Site::new().await;
    site.three_tools().await;
    let grant = site.grant("owner", "mcp:write").await;
    let id = site.task(grant, tidy_up()).await;
    let mut owner = site.signed_in("owner").await;
    let page = owner.get(&path(id)).await;
    for words in [
        "<h1>Tidy up the notes</h1>",
        "<strong>10</strong> of 10",
        "declared by the application",
        "&#34;const&#34;: 7",
        "any arguments",
        "Let it use <code>write_note</code> with any arguments",
        "needs a permission that it will ask you for",
    ] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    assert_eq!(page.offered("tool"), ["delete_note"]);
    let began = site.stored_task(id).await;
    let more = [("tool", "delete_note"), ("unbound", "write_note"), ("calls", "5"), ("end", "hour")];
    let reply = widen(&mut owner, id, &page, &more).await;
    assert_eq!((reply.status, reply.location()), (StatusCode::SEE_OTHER, path(id)));
    let task = site.stored_task(id).await;
    assert_eq!(task.definition.tools.keys().collect::<Vec<_>>(), ["delete_note", "read_note", "write_note"]);
    assert!(task.definition.tools.values().all(Option::is_none));
    assert_eq!((task.definition.calls, task.calls_left), (Some(15), Some(15)));
    assert_eq!(task.ends_at, Some(after(began.created_at, 7200)));
    assert_eq!((task.definition.expires_in, task.definition.purpose), (Some(7200), began.definition.purpose));
    assert!(owner.get(&path(id)).await.body.contains("Every tool you may use is in the task already."));
    // What was shown is not what is there any more.
    assert_eq!(widen(&mut owner, id, &page, &more).await.status, StatusCode::FORBIDDEN);
    assert_eq!(site.acts().await.iter().filter(|act| **act == ActKind::TaskWidened).count(), 1);
}

/// A spent budget grows by what is added, whatever was left.
#[tokio::test]
async fn calls_are_added_to_what_is_left() {
    let site = Site::new().await;
    let grant = site.grant("owner", "mcp:write").await;
    let id = site.task(grant, TaskDefinition { calls: Some(1), ..tidy_up() }).await;
    let mut owner = site.signed_in("owner").await;
    let mut tx = site.store.begin().await.unwrap();
    tx.tasks().take(id, site.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    let page = owner.get(&path(id)).await;
    assert!(page.body.contains("no calls left"));
    widen(&mut owner, id, &page, &[("calls", "2")]).await;
    let task = site.stored_task(id).await;
    assert_eq!((task.calls_left, task.definition.calls), (Some(2), Some(3)));
}

/// What cannot be is said beside what was written, and nothing of it is kept.
#[tokio::test]
async fn what_cannot_be_widened_is_said() {
    let site = Site::new().await;
    site.three_tools().await;
    let grant = site.grant("owner", "mcp:write").await;
    let id = site.task(grant, TaskDefinition { expires_in: Some(31 * 24 * 3600), ..tidy_up() }).await;
    let before = site.stored_task(id).await;
    let mut owner = site.signed_in("owner").await;
    let page = owner.get(&path(id)).await;
    for (fields, words) in [
        (vec![], "Choose what to add."),
        (vec![("calls", "0")], "Choose what to add."),
        (vec![("calls", "-5")], "whole number"),
        (vec![("calls", "many")], "whole number"),
        (vec![("calls", "1000000"), ("tool", "delete_note")], "whole number"),
        (vec![("calls", "4294967295")], "whole number"),
        (vec![("end", "hour"), ("tool", "delete_note")], "at most 31 days"),
        (vec![("end", "year")], "at most 31 days"),
        (vec![("tool", "no_such_tool")], "Choose what to add."),
        (vec![("unbound", "read_note")], "Choose what to add."),
    ] {
        let reply = widen(&mut owner, id, &page, &fields).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}");
        assert!(reply.body.contains(words), "{fields:?}: {}", reply.body);
        assert_eq!(site.stored_task(id).await, before, "{fields:?}");
    }
    let kept = widen(&mut owner, id, &page, &[("tool", "delete_note"), ("calls", "x")]).await;
    assert!(kept.body.contains("value=\"delete_note\" checked") && kept.body.contains("name=\"calls\" value=\"x\""));
}

/// RS-39: a person widens no further than the person's own rights; a tool beyond them is not even named.
#[tokio::test]
async fn nobody_widens_beyond_their_own_rights() {
    let site = Site::new().await;
    site.tools(&[("look", ToolClass::Read), ("read_note", ToolClass::Read), ("wipe", ToolClass::Destructive)]).await;
    let grant = site.grant("reader", "mcp:read").await;
    let id = site.task(grant, tidy_up()).await;
    let mut reader = site.signed_in("reader").await;
    let page = reader.get(&path(id)).await;
    assert_eq!(page.offered("tool"), ["look"]);
    assert!(!page.body.contains("wipe"));
    let reply = widen(&mut reader, id, &page, &[("tool", "look"), ("tool", "wipe")]).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert_eq!(
        site.stored_task(id).await.definition.tools.keys().collect::<Vec<_>>(),
        ["look", "read_note", "write_note"]
    );
}

/// Product §4: a finished task stops everything that is held to it, until its person resumes the grant.
#[tokio::test]
async fn a_task_is_finished_and_the_grant_resumed() {
    let site = Site::new().await;
    let grant = site.grant("owner", "mcp:write").await;
    let id = site.task(grant, tidy_up()).await;
    let mut owner = site.signed_in("owner").await;
    let page = owner.get(&path(id)).await;
    assert!(!page.body.contains("value=\"resume\""), "a running task is not resumed");
    let finish = page.csrf_of("value=\"finish\"");
    let reply = owner.post(&path(id), &[("csrf", &finish), ("act", "finish")]).await;
    assert_eq!(reply.location(), path(id));
    assert!(site.stored_task(id).await.ended_at.is_some());
    // Once is all; and what is over is not widened.
    assert_eq!(owner.post(&path(id), &[("csrf", &finish), ("act", "finish")]).await.status, StatusCode::GONE);
    assert_eq!(widen(&mut owner, id, &page, &[("calls", "1")]).await.status, StatusCode::GONE);
    let over = owner.get(&path(id)).await;
    assert!(over.body.contains("Go on without this task?") && !over.body.contains("value=\"widen\""));
    for stopped in ["/".to_owned(), format!("/grants/{grant}")] {
        assert!(owner.get(&stopped).await.body.contains("Stopped: nothing passes"), "{stopped}");
    }
    let epoch = site.stored_grant(grant).await.epoch;
    let resume = over.csrf_of("value=\"resume\"");
    let reply = owner.post(&path(id), &[("csrf", &resume), ("act", "resume")]).await;
    assert_eq!(reply.location(), format!("/grants/{grant}"));
    let after = site.stored_grant(grant).await;
    assert_eq!((after.task, after.epoch), (None, epoch + 1));
    assert_eq!(owner.post(&path(id), &[("csrf", &resume), ("act", "resume")]).await.status, StatusCode::GONE);
    assert!(!owner.get(&path(id)).await.body.contains("value=\"resume\""));
    let acts = site.acts().await;
    for act in [ActKind::TaskFinished, ActKind::TaskResumed] {
        assert_eq!(acts.iter().filter(|found| **found == act).count(), 1, "{act:?}");
    }
}

/// ATK-09, ATK-10: each button has a value of its own, bound to task, session and browser; no GET changes anything.
#[tokio::test]
async fn a_task_is_changed_only_on_its_own_page() {
    let site = Site::new().await;
    site.three_tools().await;
    let (grant, other_grant) = (site.grant("owner", "mcp:write").await, site.grant("owner", "mcp:write").await);
    let (id, other) = (site.task(grant, tidy_up()).await, site.task(other_grant, tidy_up()).await);
    let before = site.stored_task(id).await;
    let mut owner = site.signed_in("owner").await;
    let (page, other_page) = (owner.get(&path(id)).await, owner.get(&path(other)).await);
    let elsewhere = site.signed_in("owner").await.get(&path(id)).await;
    for act in ["widen", "finish", "resume"] {
        let mut stolen = vec![String::new(), "nonsense".to_owned(), page.csrf_of("/logout")];
        for button in ["widen", "finish"] {
            let marker = format!("value=\"{button}\"");
            stolen.extend([other_page.csrf_of(&marker), elsewhere.csrf_of(&marker)]);
            stolen.extend((button != act).then(|| page.csrf_of(&marker)));
        }
        for csrf in &stolen {
            let reply = owner.post(&path(id), &[("csrf", csrf), ("act", act), ("calls", "5")]).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{act}: {csrf}");
        }
    }
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "same-site")] {
        let mut browser = owner.clone();
        browser.headers.insert(name, value.parse().unwrap());
        assert_eq!(widen(&mut browser, id, &page, &[("calls", "5")]).await.status, StatusCode::FORBIDDEN);
    }
    owner.get(&format!("{}?act=finish&csrf={}", path(id), page.csrf_of("value=\"finish\""))).await;
    let csrf = page.csrf_of("value=\"widen\"");
    for act in ["", "narrow"] {
        let reply = owner.post(&path(id), &[("csrf", &csrf), ("act", act)]).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(site.stored_task(id).await, before);
    assert_eq!(widen(&mut owner, id, &page, &[("calls", "5")]).await.status, StatusCode::SEE_OTHER);
}

/// ATK-10: somebody else's task is as if it were not there.
#[tokio::test]
async fn nobody_else_learns_of_a_task() {
    let site = Site::new().await;
    let grant = site.grant("owner", "mcp:write").await;
    let id = site.task(grant, tidy_up()).await;
    let unknown = TaskId::generate(site.clock.now(), &*site.entropy);
    let csrf = site.signed_in("owner").await.get(&path(id)).await.csrf_of("value=\"finish\"");
    let (mut nobody, mut reader) = (site.browser(), site.signed_in("reader").await);
    for id in [id, unknown] {
        assert_eq!(nobody.get(&path(id)).await.location(), format!("/login?request={id}"));
        for browser in [&mut nobody, &mut reader] {
            let reply = browser.post(&path(id), &[("csrf", &csrf), ("act", "finish")]).await;
            assert!([StatusCode::NOT_FOUND, StatusCode::SEE_OTHER].contains(&reply.status));
        }
    }
    let (foreign, missing) = (reader.get(&path(id)).await, reader.get(&path(unknown)).await);
    assert_eq!((foreign.status, missing.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(foreign.without(&id.to_string()), missing.without(&unknown.to_string()));
    assert_eq!(reader.get("/tasks/x").await.status, StatusCode::NOT_FOUND);
    assert!(site.stored_task(id).await.ended_at.is_none());
}

/// What has ended by revocation or by itself is not changed any more, and its page offers nothing.
#[tokio::test]
async fn a_task_that_has_ended_is_only_shown() {
    let site = Site::new().await;
    let (kept, revoked) = (site.grant("owner", "mcp:write").await, site.grant("owner", "mcp:write").await);
    let (expired, ended) = (site.task(kept, tidy_up()).await, site.task(revoked, tidy_up()).await);
    let mut owner = site.signed_in("owner").await;
    let (expired_page, ended_page) = (owner.get(&path(expired)).await, owner.get(&path(ended)).await);
    site.revoke(revoked).await;
    site.clock.advance_seconds(3600);
    for (id, page) in [(expired, &expired_page), (ended, &ended_page)] {
        let before = site.stored_task(id).await;
        assert_eq!(widen(&mut owner, id, page, &[("calls", "5")]).await.status, StatusCode::GONE);
        let finish = page.csrf_of("value=\"finish\"");
        assert_eq!(owner.post(&path(id), &[("csrf", &finish), ("act", "finish")]).await.status, StatusCode::GONE);
        assert_eq!(site.stored_task(id).await, before);
        let now = owner.get(&path(id)).await;
        assert!(now.body.contains("finished") && !now.body.contains("value=\"widen\""));
        assert_eq!(now.body.contains("value=\"resume\""), id == expired);
    }
}

/// ATK-11: a tool's name and a task's bounds are text and nothing else.
#[tokio::test]
async fn a_hostile_task_is_text_and_nothing_else() {
    let site = Site::new().await;
    let mut owner = site.signed_in("owner").await;
    let mut counts = Vec::new();
    for name in ["plain", "</code><script>alert(1)</script>", "\"><b onclick=x>", "a\u{202e}b\u{200b}", "{{7*7}}"] {
        site.tools(&[(name, ToolClass::Read)]).await;
        let grant = site.grant("owner", "mcp:read").await;
        let need = TaskDefinition {
            purpose: name.replace(['\u{202e}', '\u{200b}'], ""),
            tools: [(format!("{name}2"), Some(serde_json::json!({ "const": name })))].into(),
            // A resource can only be a canonical URI, which holds none of these characters.
            resources: vec!["note://plain".to_owned()],
            prompts: vec![name.to_owned()],
            ..TaskDefinition::default()
        };
        let id = site.task(grant, need).await;
        for page in [path(id), format!("/grants/{grant}"), "/".to_owned()] {
            let page = owner.get(&page).await;
            assert!(!page.body.contains(['\u{202e}', '\u{200b}']), "{name:?}");
            counts.push((page.body.matches('<').count(), page.body.matches('"').count()));
        }
        let page = owner.get(&path(id)).await;
        let key = page.offered("tool").remove(0);
        assert_eq!(widen(&mut owner, id, &page, &[("tool", &key)]).await.status, StatusCode::SEE_OTHER, "{name:?}");
        assert!(site.stored_task(id).await.definition.tools.contains_key(name), "{name:?}");
        site.revoke(grant).await;
    }
    for found in counts.chunks(3) {
        assert_eq!(found, &counts[..3]);
    }
}

/// Product §6: the page speaks Japanese.
#[tokio::test]
async fn a_task_is_shown_in_japanese() {
    let site = Site::new().await;
    site.three_tools().await;
    let grant = site.grant("owner", "mcp:write").await;
    let id = site.task(grant, tidy_up()).await;
    let mut owner = site.signed_in("owner").await;
    owner.headers.insert("accept-language", "ja".parse().unwrap());
    let page = owner.get(&path(id)).await;
    for words in ["作業を広げる", "ツールを加える", "作業を終える", "全 10 回", "実行中"] {
        assert!(page.body.contains(words), "{words}");
    }
}
