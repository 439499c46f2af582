//! Who reads the records, who changes what, and that neither is the other.

use http::StatusCode;
use sekisho_protocol::audit::{Act, ActKind, Actor, Decision, Event, Need, Outcome, OutcomeResult, Record, Verdict};
use sekisho_protocol::env::{Clock as _, after};
use sekisho_protocol::ids::{NodeId, RequestId};
use sekisho_protocol::role::Role;
use sekisho_protocol::scope::ScopeSet;

use crate::harness::Site;

const ARGUMENTS: &str = r#"{"title":"<b>plans</b>\u202e","to":"nobody"}"#;

impl Site {
    /// A call of the reader's that passed and was answered, its arguments kept.
    async fn passed(&self, tool: &str) -> RequestId {
        let now = self.clock.now();
        let reader = self.store.read().await.unwrap().users().find_by_name("reader").await.unwrap().unwrap();
        let request = RequestId::generate(now, &*self.entropy);
        let server: sekisho_protocol::ids::ServerName = "notes".parse().unwrap();
        let decision = Decision {
            subject: sekisho_protocol::caller::Subject::User(reader.id),
            client: None,
            path: None,
            grant: None,
            token: None,
            issuer: None,
            task: None,
            server: server.clone(),
            method: "tools/call".into(),
            target: Some(tool.to_owned()),
            arguments: None,
            verdict: Verdict::Permit,
            set: None,
            need: Need::Undeclared,
            why: None,
            observed: None,
            because: std::sync::Arc::default(),
            scopes: ScopeSet::empty(),
        };
        let outcome = Outcome { server, result: OutcomeResult::Answered, status: 200, bytes: 7, millis: 3 };
        let records = [Event::Decision(Box::new(decision)), Event::Outcome(outcome)];
        let records = records.map(|event| Record { at: now, request, event });
        let mut tx = self.store.begin().await.unwrap();
        tx.audit().append(NodeId::generate(now, &*self.entropy), &records, now).await.unwrap();
        tx.audit().keep_arguments(request, ARGUMENTS.as_bytes(), after(now, 60)).await.unwrap();
        tx.commit().await.unwrap();
        request
    }
}

fn path(request: RequestId) -> String {
    format!("/records/{request}")
}

/// Product §7: only auditors and owners read the records; for everybody else there are none, and no link to them.
#[tokio::test]
async fn the_records_are_there_for_who_audits_and_for_nobody_else() {
    let site = Site::new().await;
    let call = site.passed("read_note").await;
    for (role, reads) in [(Role::User, false), (Role::Administrator, false), (Role::Auditor, true), (Role::Owner, true)]
    {
        site.role("reader", role).await;
        let mut reader = site.signed_in("reader").await;
        assert_eq!(reader.get("/").await.body.contains("href=\"/records\""), reads, "{role}");
        let expected = if reads { StatusCode::OK } else { StatusCode::NOT_FOUND };
        for page in ["/records".to_owned(), path(call), format!("/records?before={call}")] {
            assert_eq!(reader.get(&page).await.status, expected, "{role} {page}");
        }
        // No form of another page opens what is kept.
        let csrf = reader.get("/").await.csrf();
        assert!(reader.post(&path(call), &[("csrf", csrf.as_str())]).await.status.is_client_error(), "{role}");
    }
    for page in ["/records?since=day".to_owned(), path(call)] {
        let shown = site.browser().get(&page).await;
        assert!(shown.body.contains("href=\"/login\"") && !shown.body.contains("read_note"), "{}", shown.body);
        // Somebody who is signed in behind a door goes on to this page.
        assert!(shown.body.contains(&format!("data-entry=\"{page}\"")), "{}", shown.body);
    }
    assert!(!site.acts().await.contains(&ActKind::ArgumentsRead));
}

/// Product §7: what is on record of a call is shown with nothing hidden in it; its arguments only when they are asked for,
/// and that they were is on record.
#[tokio::test]
async fn an_auditor_reads_a_call_and_its_arguments_on_record() {
    let site = Site::new().await;
    site.role("reader", Role::Auditor).await;
    let call = site.passed("read_note").await;
    let mut auditor = site.signed_in("reader").await;
    let list = auditor.get("/records").await;
    assert!(list.body.contains("<code>read_note</code>") && list.body.contains("permit · answered"), "{}", list.body);
    // In Japanese there are no words of machines.
    auditor.headers.insert("accept-language", "ja".parse().unwrap());
    let japanese = auditor.get("/records").await.body;
    assert!(japanese.contains("許可 · 応答あり") && japanese.contains("ログイン"), "{japanese}");
    assert!(!["permit", "answered", "login_succeeded"].iter().any(|word| japanese.contains(word)), "{japanese}");
    auditor.headers.remove("accept-language");
    let page = auditor.get(&path(call)).await;
    for words in ["read_note", "permit", "answered", "undeclared", "<dd>reader</dd>", "Show the arguments"] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    assert!(!page.body.contains("plans"), "{}", page.body);
    let other = site.passed("other_note").await;
    let csrf = page.csrf();
    assert_eq!(auditor.post(&path(other), &[("csrf", csrf.as_str())]).await.status, StatusCode::FORBIDDEN);
    assert!(!site.acts().await.contains(&ActKind::ArgumentsRead));

    let shown = auditor.post(&path(call), &[("csrf", csrf.as_str())]).await;
    assert!(shown.body.contains("&#60;b&#62;plans&#60;/b&#62;\\u202e"), "{}", shown.body);
    let acts = site.acts().await;
    assert_eq!(acts.iter().filter(|act| **act == ActKind::ArgumentsRead).count(), 1);
    // Beyond their time they are gone, and nobody reads them.
    site.store.sweep(after(site.clock.now(), 60)).await.unwrap();
    assert_eq!(auditor.post(&path(call), &[("csrf", csrf.as_str())]).await.status, StatusCode::GONE);
    assert!(!auditor.get(&path(call)).await.body.contains("Show the arguments"));
    let acts = site.acts().await;
    assert_eq!(acts.iter().filter(|act| **act == ActKind::ArgumentsRead).count(), 1);
}

/// Every exchange is on one page and on no other, whole, however many there are.
#[tokio::test]
async fn older_records_are_on_the_next_page() {
    let site = Site::new().await;
    let mut calls = Vec::new();
    for number in 0..120 {
        calls.push((site.passed(&format!("tool_{number}")).await, number));
        site.clock.advance_seconds(1);
    }
    let mut owner = site.signed_in("owner").await;
    let (mut next, mut seen) = ("/records".to_owned(), Vec::new());
    for _ in 0..5 {
        let page = owner.get(&next).await;
        assert_eq!(page.status, StatusCode::OK, "{next}");
        for (_, number) in calls.iter().rev() {
            if page.body.contains(&format!("<code>tool_{number}</code>")) {
                seen.push(*number);
            }
        }
        assert!(!page.body.contains(">permit</span>"), "an exchange was cut: {}", page.body);
        let Some((_, rest)) = page.body.split_once("/records?before=") else { break };
        next = format!("/records?before={}", rest.split('"').next().unwrap());
    }
    assert_eq!(seen, (0..120).rev().collect::<Vec<_>>());
    assert_eq!(owner.get("/records?before=a&before=b").await.status, StatusCode::BAD_REQUEST);
    for wrong in ["/records?before=x", "/records/x", "/records/rid_00000000000000000000000000000000"] {
        assert_eq!(owner.get(wrong).await.status, StatusCode::NOT_FOUND, "{wrong}");
    }
}

/// The records of one person, one server, one set or one time, however far back they are; the way to older ones looks for the
/// same.
#[tokio::test]
async fn records_can_be_looked_for() {
    let site = Site::new().await;
    let old = site.passed("old_note").await;
    site.clock.advance_seconds(2 * 3600);
    for number in 0..130 {
        let mut tx = site.store.begin().await.unwrap();
        let now = site.clock.now();
        let request = RequestId::generate(now, &*site.entropy);
        let act = Act { detail: format!("act_{number}"), ..Act::new(Actor::Operator, ActKind::ServerAdded) };
        let record = Record { at: now, request, event: Event::Act(act) };
        tx.audit().append(NodeId::generate(now, &*site.entropy), &[record], now).await.unwrap();
        tx.commit().await.unwrap();
        site.clock.advance_seconds(1);
    }
    site.passed("new_note").await;
    let mut owner = site.signed_in("owner").await;
    let (new, is_old) = ("<code>new_note</code>", "<code>old_note</code>");
    for (query, finds_new, finds_old, finds_acts) in [
        ("", true, false, true),
        ("who=READ", true, true, false),
        ("who=nobody", false, false, false),
        ("server=notes", true, true, false),
        ("server=files", false, false, false),
        ("who=reader&since=hour", true, false, false),
        ("set=rights", false, false, false),
        ("client=x", false, false, false),
    ] {
        let page = owner.get(&format!("/records?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        let found = (page.body.contains(new), page.body.contains(is_old), page.body.contains("act_129"));
        assert_eq!(found, (finds_new, finds_old, finds_acts), "{query}: {}", page.body);
    }
    let kept = owner.get("/records?who=%22%3E%3Cb%3E&since=week").await;
    assert!(kept.body.contains("value=\"&#34;&#62;&#60;b&#62;\"") && kept.body.contains("value=\"week\" selected"));
    let first = owner.get("/records?since=week").await;
    assert!(first.body.contains("&#38;since=week\""), "the way to older records looks for the same: {}", first.body);
    for wrong in ["set=x", "since=x", "server=%3C"] {
        assert_eq!(owner.get(&format!("/records?{wrong}")).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert!(owner.get(&path(old)).await.body.contains("old_note"));
}
