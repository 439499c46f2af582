//! One call, one person, one answer.

use http::StatusCode;
use sekisho_protocol::audit::ActKind;
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::ids::{ApprovalId, TaskId};

use crate::given::{CALL, Call, tidy_up};
use crate::harness::{PASSWORD, Site};

fn path(id: ApprovalId) -> String {
    format!("/approvals/{id}")
}

/// RS-52: the person reads the very call and says yes; then it works once, and that is on record.
#[tokio::test]
async fn a_call_is_approved_once() {
    let site = Site::new().await;
    let grant = site.grant("owner", "mcp:destructive").await;
    let task = site.task(grant, tidy_up()).await;
    let id = site.asked(grant, &CALL).await;
    let mut owner = site.signed_in("owner").await;
    assert!(owner.get("/").await.body.contains(&format!("href=\"{}\"", path(id))));
    let page = owner.get(&path(id)).await;
    assert_eq!(page.status, StatusCode::OK);
    for words in [
        "<code>delete_note</code>",
        "{\n  &#34;id&#34;: 7,\n  &#34;why&#34;: &#34;old&#34;\n}",
        "what is deleted stays deleted",
        "<code>ask-first</code>",
        "<strong>Test Client</strong>",
        "class=\"label\"",
        "The notes server",
        "Tidy up the notes",
        &format!("href=\"/tasks/{task}\""),
        "10 min left",
    ] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    assert!(!site.consume(id).await, "nobody said yes yet");
    let answer = owner.post(&path(id), &[("csrf", &page.csrf()), ("decision", "approve")]).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, path(id)));
    let after = owner.get(&path(id)).await;
    assert!(after.body.contains("It works once, until"), "{}", after.body);
    assert!(!after.body.contains("value=\"approve\""));
    assert!(!owner.get("/").await.body.contains(&path(id)));
    assert!(site.consume(id).await);
    assert!(!site.consume(id).await);
    assert!(owner.get(&path(id)).await.body.contains("has used your approval"));
    // The old page's form is worth nothing any more.
    let again = owner.post(&path(id), &[("csrf", &page.csrf()), ("decision", "approve")]).await;
    assert_eq!(again.status, StatusCode::GONE);
    let given = site.acts().await.iter().filter(|act| **act == ActKind::ApprovalGiven).count();
    assert_eq!(given, 1);
}

/// Product §4: a no ends it.
#[tokio::test]
async fn a_call_is_declined_for_good() {
    let site = Site::new().await;
    let grant = site.grant("owner", "mcp:destructive").await;
    let id = site.asked(grant, &CALL).await;
    let mut owner = site.signed_in("owner").await;
    let csrf = owner.get(&path(id)).await.csrf();
    assert_eq!(owner.post(&path(id), &[("csrf", &csrf), ("decision", "decline")]).await.location(), path(id));
    assert!(owner.get(&path(id)).await.body.contains("You declined this call"));
    let changed = owner.post(&path(id), &[("csrf", &csrf), ("decision", "approve")]).await;
    assert_eq!(changed.status, StatusCode::GONE);
    assert!(changed.body.contains("You declined this call"));
    assert!(!site.consume(id).await);
    assert_eq!(site.approval(id).await.approved, Some(false));
    assert!(site.acts().await.contains(&ActKind::ApprovalDeclined));
    assert!(!site.acts().await.contains(&ActKind::ApprovalGiven));
}

/// ATK-09, ATK-10: no value of another form, call, browser or session answers, no foreign page does, and no GET.
#[tokio::test]
async fn a_call_is_answered_only_on_its_own_page() {
    let site = Site::new().await;
    let grant = site.grant("owner", "mcp:destructive").await;
    let id = site.asked(grant, &CALL).await;
    let other = site.asked(grant, &Call { arguments: r#"{"id":8}"#, ..CALL }).await;
    let mut owner = site.signed_in("owner").await;
    let page = owner.get(&path(id)).await;
    let stolen = [
        String::new(),
        "nonsense".to_owned(),
        owner.get(&path(other)).await.csrf(),
        site.signed_in("owner").await.get(&path(id)).await.csrf(),
        owner.get("/login").await.csrf(),
        page.values("csrf").remove(0),
    ];
    for csrf in &stolen {
        let reply = owner.post(&path(id), &[("csrf", csrf), ("decision", "approve")]).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{csrf}");
    }
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let mut browser = owner.clone();
        browser.headers.insert(name, value.parse().unwrap());
        let reply = browser.post(&path(id), &[("csrf", &page.csrf()), ("decision", "approve")]).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{name}: {value}");
    }
    let got = owner.get(&format!("{}?decision=approve&csrf={}", path(id), page.csrf())).await;
    assert!(got.body.contains("value=\"approve\""));
    for fields in [vec![], vec![("decision", "yes")], vec![("decision", "approve"), ("decision", "decline")]] {
        let csrf = page.csrf();
        let fields: Vec<_> = fields.into_iter().chain([("csrf", csrf.as_str())]).collect();
        assert_eq!(owner.post(&path(id), &fields).await.status, StatusCode::BAD_REQUEST, "{fields:?}");
    }
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"));
    assert!(site.approval(id).await.decided_at.is_none());
    // Its own value still works.
    let reply = owner.post(&path(id), &[("csrf", &page.csrf()), ("decision", "approve")]).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert!(site.approval(other).await.decided_at.is_none());
}

/// ATK-10, RS-58: a person who is not asked learns nothing: a call of somebody else is as if it were not there, signed in or not.
#[tokio::test]
async fn nobody_else_learns_of_a_call() {
    let site = Site::new().await;
    let grant = site.grant("owner", "mcp:destructive").await;
    let id = site.asked(grant, &CALL).await;
    let unknown = ApprovalId::generate(site.clock.now(), &*site.entropy);
    let csrf = site.signed_in("owner").await.get(&path(id)).await.csrf();
    let mut nobody = site.browser();
    let mut reader = site.signed_in("reader").await;
    for id in [id, unknown] {
        let reply = nobody.get(&path(id)).await;
        assert_eq!((reply.status, reply.location()), (StatusCode::SEE_OTHER, format!("/login?request={id}")));
        let reply = nobody.post(&path(id), &[("csrf", &csrf), ("decision", "approve")]).await;
        assert_eq!(reply.location(), format!("/login?request={id}"));
        let reply = reader.post(&path(id), &[("csrf", &csrf), ("decision", "approve")]).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
    }
    let (foreign, missing) = (reader.get(&path(id)).await, reader.get(&path(unknown)).await);
    assert_eq!((foreign.status, missing.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(foreign.without(&id.to_string()), missing.without(&unknown.to_string()));
    assert!(foreign.body.contains("There is nothing like that here."));
    assert!(!reader.get("/").await.body.contains("delete_note"));
    assert_eq!(nobody.get("/approvals/x").await.status, StatusCode::NOT_FOUND);
    assert!(site.approval(id).await.decided_at.is_none());
}

/// ATK-04, RS-59: the page's URL signs nobody in; after signing in, the person is back at the page, and can be sent nowhere else.
#[tokio::test]
async fn a_login_leads_back_to_the_page_and_nowhere_else() {
    let site = Site::new().await;
    let grant = site.grant("owner", "mcp:destructive").await;
    let (task, id) = (site.task(grant, tidy_up()).await, site.asked(grant, &CALL).await);
    for page in [path(id), format!("/tasks/{task}"), format!("/grants/{grant}")] {
        let mut browser = site.browser();
        let login = browser.get(&page).await.location();
        let form = browser.get(&login).await;
        assert!(form.body.contains("Then you come back to the page you opened."));
        let request = form.values("request").remove(0);
        let (csrf, user) = (form.csrf(), ("username", "owner"));
        // The value belongs to this page alone.
        let other = [("csrf", csrf.as_str()), ("request", &grant.to_string()), user, ("password", PASSWORD)];
        if request != grant.to_string() {
            assert_eq!(browser.post("/login", &other).await.status, StatusCode::FORBIDDEN);
        }
        let fields = [("csrf", csrf.as_str()), ("request", request.as_str()), user, ("password", PASSWORD)];
        let reply = browser.post("/login", &fields).await;
        assert_eq!((reply.status, reply.location()), (StatusCode::SEE_OTHER, page.clone()));
        let shown = browser.get(&page).await;
        assert_eq!(shown.status, StatusCode::OK);
        // "Not you?" leads back here as well.
        let fields = [("csrf", shown.csrf_of("/logout")), ("request", request)];
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(browser.post("/logout", &fields).await.location(), page);
    }
    let unknown = TaskId::generate(site.clock.now(), &*site.entropy);
    for elsewhere in ["//evil.example", "https://evil.example/", "/approvals/../x", &format!("{unknown}/..")] {
        let mut browser = site.browser();
        let query = url::form_urlencoded::byte_serialize(elsewhere.as_bytes()).collect::<String>();
        let form = browser.get(&format!("/login?request={query}")).await;
        assert!(form.values("request").is_empty() && !form.body.contains("evil"), "{elsewhere}");
        let fields = [("csrf", form.csrf()), ("request", elsewhere.to_owned()), ("username", "owner".to_owned())];
        let mut fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fields.push(("password", PASSWORD));
        assert_eq!(browser.post("/login", &fields).await.status, StatusCode::BAD_REQUEST, "{elsewhere}");
    }
}

/// Product §4: what was answered, has expired or belongs to an ended grant says so, and cannot be answered.
#[tokio::test]
async fn an_answer_that_comes_too_late_is_none() {
    let site = Site::new().await;
    let mut owner = site.signed_in("owner").await;
    let (kept, revoked) = (site.grant("owner", "mcp:destructive").await, site.grant("owner", "mcp:destructive").await);
    let (expired, ended) = (site.asked(kept, &CALL).await, site.asked(revoked, &CALL).await);
    let (expired_csrf, ended_csrf) = (owner.get(&path(expired)).await.csrf(), owner.get(&path(ended)).await.csrf());
    site.revoke(revoked).await;
    site.clock.advance_seconds(60);
    let reply = owner.post(&path(ended), &[("csrf", &ended_csrf), ("decision", "approve")]).await;
    assert_eq!(reply.status, StatusCode::GONE);
    assert!(reply.body.contains("This access has ended"), "{}", reply.body);
    site.clock.advance_seconds(540);
    let reply = owner.post(&path(expired), &[("csrf", &expired_csrf), ("decision", "approve")]).await;
    assert_eq!(reply.status, StatusCode::GONE);
    assert!(reply.body.contains("This has expired") && !reply.body.contains("value=\"approve\""));
    assert_eq!(owner.get(&path(expired)).await.status, StatusCode::OK);
    for id in [expired, ended] {
        assert!(site.approval(id).await.decided_at.is_none());
    }
    assert!(!site.acts().await.contains(&ActKind::ApprovalGiven));
}

/// ATK-11: no name and no argument becomes anything but text, and what the eye does not see is written out.
#[tokio::test]
async fn what_is_approved_is_shown_as_it_is() {
    let site = Site::new().await;
    let grant = site.grant("owner", "mcp:destructive").await;
    let mut owner = site.signed_in("owner").await;
    let plain = site.asked(grant, &Call { tool: "x", arguments: r#"{"a":"b"}"#, reason: "y" }).await;
    let plain = owner.get(&path(plain)).await;
    for hostile in [
        "<script>alert(1)</script>",
        "</code></pre><button>Approve</button>",
        "\"><svg onload=alert(1)>",
        "'><form action=//evil.example>",
        "{{7*7}}",
        "read\u{200b}_note\u{202e}",
        "\u{e0041}tag\u{feff}",
    ] {
        let arguments = serde_json::json!({ "a": hostile }).to_string();
        let id = site.asked(grant, &Call { tool: hostile, arguments: &arguments, reason: hostile }).await;
        let page = owner.get(&path(id)).await;
        assert_eq!(page.body.matches('<').count(), plain.body.matches('<').count(), "{hostile:?}");
        assert_eq!(page.body.matches('"').count(), plain.body.matches('"').count(), "{hostile:?}");
        for hidden in ['\u{202e}', '\u{200b}', '\u{feff}', '\u{e0041}'] {
            assert!(!page.body.contains(hidden), "{hostile:?}");
        }
    }
    let id = site.asked(grant, &Call { tool: "read\u{200b}_note", arguments: "{}", reason: "" }).await;
    let page = owner.get(&path(id)).await;
    assert!(page.body.contains("<code>read\\u200b_note</code>") && page.body.contains("No arguments"));
    let long = serde_json::json!({ "text": "x".repeat(5000), "zz": "the end" }).to_string();
    let id = site.asked(grant, &Call { tool: "write_note", arguments: &long, reason: "" }).await;
    let page = owner.get(&path(id)).await;
    assert!(page.body.contains("Only the beginning is shown") && !page.body.contains("the end"));
    assert!(page.body.contains(&"x".repeat(3900)) && !page.body.contains(&"x".repeat(4001)));
}

/// Product §6: the page speaks Japanese, before and after the answer.
#[tokio::test]
async fn a_call_is_approved_in_japanese() {
    let site = Site::new().await;
    let grant = site.grant("owner", "mcp:destructive").await;
    let id = site.asked(grant, &CALL).await;
    let mut owner = site.signed_in("owner").await;
    owner.headers.insert("accept-language", "ja".parse().unwrap());
    let page = owner.get(&path(id)).await;
    for words in ["この呼び出しを承認しますか？", "今回だけ承認する", "承認しない", "引数", "残り 10 分"]
    {
        assert!(page.body.contains(words), "{words}");
    }
    owner.post(&path(id), &[("csrf", &page.csrf()), ("decision", "approve")]).await;
    assert!(owner.get(&path(id)).await.body.contains("この呼び出しを承認しました"));
}
