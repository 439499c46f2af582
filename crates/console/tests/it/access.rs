//! What the rules do not allow: asked of an owner, lent for a while, refused, taken back.

use http::StatusCode;
use sekisho_protocol::audit::{ActKind, Decision, Event, Need, Record, Verdict};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::ToolSeen;
use sekisho_protocol::env::{Clock as _, after};
use sekisho_protocol::ids::{GrantId, NodeId, RequestId};
use sekisho_protocol::refusal::SetName;
use sekisho_protocol::role::Role;
use sekisho_protocol::scope::ScopeSet;
use sekisho_store::Loan;

use crate::harness::{Reply, Site};

const REASON: &str = "the old notes of the project have to go";

impl Site {
    /// A call of this grant that rights refused, or another set.
    pub(crate) async fn refused(&self, grant: GrantId, tool: &str, set: SetName) -> RequestId {
        let (now, stored) = (self.clock.now(), self.stored_grant(grant).await);
        let call = RequestId::generate(now, &*self.entropy);
        let decision = Decision {
            subject: stored.subject,
            client: Some(stored.client),
            path: None,
            grant: Some(grant),
            token: None,
            issuer: None,
            task: None,
            server: stored.server,
            method: "tools/call".into(),
            target: Some(tool.to_owned()),
            arguments: None,
            verdict: Verdict::Deny,
            set: Some(set),
            need: Need::Undeclared,
            why: None,
            observed: None,
            because: std::sync::Arc::default(),
            scopes: ScopeSet::empty(),
        };
        let record = Record { at: now, request: call, event: Event::Decision(Box::new(decision)) };
        let mut tx = self.store.begin().await.unwrap();
        tx.audit().append(NodeId::generate(now, &*self.entropy), &[record], now).await.unwrap();
        tx.commit().await.unwrap();
        call
    }

    /// The notes server shows other definitions of these tools than those that were accepted.
    async fn hold_back(&self, tools: &[&str]) {
        let notes = "notes".parse().unwrap();
        let mut tx = self.store.begin().await.unwrap();
        let known = tx.catalogue().list(&notes).await.unwrap();
        let seen = |tool_known: &sekisho_protocol::catalogue::Tool| ToolSeen {
            name: tool_known.name.clone(),
            summary: tool_known.summary.clone(),
            proposed: tool_known.proposed,
            definition: if tools.contains(&tool_known.name.as_str()) {
                "another".to_owned()
            } else {
                tool_known.name.clone()
            },
        };
        tx.catalogue().sync(&notes, &known.iter().map(seen).collect::<Vec<_>>(), self.clock.now()).await.unwrap();
        for tool in tools {
            assert!(tx.catalogue().find(&notes, tool).await.unwrap().unwrap().is_held(), "{tool}");
        }
        tx.commit().await.unwrap();
    }

    async fn loans(&self) -> Vec<Loan> {
        self.store.read().await.unwrap().loans().list(self.clock.now()).await.unwrap()
    }
}

fn path(id: impl std::fmt::Display) -> String {
    format!("/access/{id}")
}

/// Asks for what a refusal was about; the address of what was asked.
async fn ask(site: &Site, user: &str, call: RequestId) -> (Reply, String) {
    let mut browser = site.signed_in(user).await;
    let page = browser.get(&path(call)).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let fields = [("csrf", page.csrf()), ("reason", REASON.to_owned()), ("decision", "ask".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = browser.post(&path(call), &fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let at = answer.location();
    (browser.get(&at).await, at)
}

/// Product §4: from the refusal to the loan and back, each step on record.
#[tokio::test]
async fn what_is_refused_can_be_asked_for_lent_and_taken_back() {
    let site = Site::new().await;
    let grant = site.grant("reader", "mcp:read").await;
    let call = site.refused(grant, "delete_note", SetName::Rights).await;
    let (waiting, at) = ask(&site, "reader", call).await;
    for words in ["An owner has been asked", "<code>delete_note</code>", REASON, "Test Client", "The notes server"] {
        assert!(waiting.body.contains(words), "{words}: {}", waiting.body);
    }
    assert!(!waiting.body.contains("value=\"lend\""), "who asks does not answer");
    assert!(site.loans().await.is_empty());
    let mut owner = site.signed_in("owner").await;
    assert!(owner.get("/").await.body.contains(&format!("href=\"{at}\"")));
    let page = owner.get(&at).await;
    assert!(page.body.contains(REASON) && page.body.contains("<strong>reader</strong>"), "{}", page.body);
    let csrf = page.csrf();
    for bounds in ["{", r##"{"$ref":"#"}"##, "7"] {
        let fields = [("csrf", csrf.as_str()), ("end", "day"), ("bounds", bounds), ("decision", "lend")];
        let again = owner.post(&at, &fields).await;
        assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "{bounds}");
        assert!(
            again.body.contains("role=\"alert\"") && again.body.contains("value=\"day\" selected"),
            "{}",
            again.body
        );
    }
    let bounds = r#"{"properties":{"all":{"const":false}}}"#;
    let fields = [("csrf", csrf.as_str()), ("end", "hour"), ("bounds", bounds), ("decision", "lend")];
    assert_eq!(owner.post(&at, &fields).await.location(), at);
    let loans = site.loans().await;
    assert_eq!(loans.len(), 1);
    let (loan, stored) = (&loans[0], site.stored_grant(grant).await);
    assert_eq!((&loan.subject, &loan.client, loan.grant), (&stored.subject, &stored.client, grant));
    assert_eq!((loan.tool.as_str(), loan.expires_at), ("delete_note", after(site.clock.now(), 3600)));
    assert_eq!(loan.bounds.as_ref().unwrap().to_string(), bounds);
    assert_eq!(owner.post(&at, &fields).await.status, StatusCode::GONE, "an answer is given once");
    let lent = owner.get(&at).await;
    assert!(lent.body.contains("This is lent") && lent.body.contains("all"), "{}", lent.body);
    let seen = site.signed_in("reader").await.get(&at).await;
    assert!(seen.body.contains("This is lent") && !seen.body.contains("take-back"), "{}", seen.body);
    let fields = [("csrf", lent.csrf()), ("decision", "take-back".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(owner.post(&at, &fields).await.status, StatusCode::SEE_OTHER);
    assert!(site.loans().await.is_empty());
    assert!(owner.get(&at).await.body.contains("What was lent has ended"));
    let acts = site.acts().await;
    for act in [ActKind::AccessAsked, ActKind::AccessLent, ActKind::AccessTakenBack] {
        assert_eq!(acts.iter().filter(|found| **found == act).count(), 1, "{act:?}");
    }
}

/// Product §7: an administrator answers for others, never for oneself; an auditor answers nobody.
#[tokio::test]
async fn an_administrator_lends_to_others_and_an_auditor_to_nobody() {
    let site = Site::new().await;
    let grant = site.grant("reader", "mcp:read").await;
    let call = site.refused(grant, "delete_note", SetName::Rights).await;
    let (_, at) = ask(&site, "reader", call).await;
    // The one who asked becomes an administrator: that is no answer to the own question.
    site.role("reader", Role::Administrator).await;
    let mut asker = site.signed_in("reader").await;
    assert!(!asker.get("/").await.body.contains(&at));
    let own = asker.get(&at).await;
    assert!(!own.body.contains("value=\"lend\""), "{}", own.body);
    let csrf = asker.get("/").await.csrf();
    let fields = [("csrf", csrf.as_str()), ("end", "hour"), ("decision", "lend")];
    assert!(asker.post(&at, &fields).await.status.is_client_error());
    // The owner, now with each of these parts.
    let mut owner = site.signed_in("owner").await;
    site.role("reader", Role::Owner).await;
    for (role, answers) in [(Role::Auditor, false), (Role::User, false), (Role::Administrator, true)] {
        site.role("owner", role).await;
        assert_eq!(owner.get("/").await.body.contains(&at), answers, "{role}");
        assert_eq!(owner.get(&at).await.body.contains("value=\"lend\""), answers, "{role}");
    }
    let csrf = owner.get(&at).await.csrf();
    let fields = [("csrf", csrf.as_str()), ("end", "hour"), ("decision", "lend")];
    site.role("owner", Role::Auditor).await;
    assert!(owner.post(&at, &fields).await.status.is_client_error(), "who was an administrator is none any more");
    assert!(site.loans().await.is_empty());
    site.role("owner", Role::Administrator).await;
    assert_eq!(owner.post(&at, &fields).await.location(), at);
    assert_eq!(site.loans().await.len(), 1);
}

/// ATK-70: only owners answer, whoever has the address and a form; a refusal of somebody else, or of another set, is no page.
#[tokio::test]
async fn only_an_owner_lends_and_only_what_rights_refused_is_asked_for() {
    let site = Site::new().await;
    let grant = site.grant("reader", "mcp:read").await;
    let call = site.refused(grant, "delete_note", SetName::Rights).await;
    let by_need = site.refused(grant, "delete_note", SetName::Need).await;
    let mut reader = site.signed_in("reader").await;
    let mut owner = site.signed_in("owner").await;
    assert_eq!(reader.get(&path(by_need)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(owner.get(&path(call)).await.status, StatusCode::NOT_FOUND, "it was not the owner's call");
    for reason in ["", " \u{200b} ", &"x".repeat(501)] {
        let page = reader.get(&path(call)).await;
        let csrf = page.csrf();
        let fields = [("csrf", csrf.as_str()), ("reason", reason), ("decision", "ask")];
        assert_eq!(reader.post(&path(call), &fields).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{reason:?}");
    }
    let (_, at) = ask(&site, "reader", call).await;
    // The page of the user who asked has no form that lends, and the form of another page is refused there.
    let csrf = reader.get(&path(call)).await.csrf();
    for decision in ["lend", "refuse", "take-back"] {
        let answer = reader.post(&at, &[("csrf", &csrf), ("end", "hour"), ("decision", decision)]).await;
        assert_ne!(answer.status, StatusCode::SEE_OTHER, "{decision}");
    }
    let stranger = site.browser().get(&at).await;
    assert!(stranger.location().starts_with("/login?request="), "{}", stranger.location());
    assert!(site.loans().await.is_empty());
    let page = owner.get(&at).await;
    let forged = owner.post(&at, &[("csrf", "x"), ("end", "hour"), ("decision", "lend")]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN, "{}", forged.body);
    let csrf = page.csrf();
    assert_eq!(owner.post(&at, &[("csrf", &csrf), ("decision", "refuse")]).await.status, StatusCode::SEE_OTHER);
    assert!(site.signed_in("reader").await.get(&at).await.body.contains("An owner said no"));
    assert!(site.loans().await.is_empty());
    // With the grant ends what it could ask for.
    let call = site.refused(grant, "other", SetName::Rights).await;
    site.revoke(grant).await;
    assert_eq!(reader.get(&path(call)).await.status, StatusCode::GONE);
    assert_eq!(Subject::User(site.user("reader").await), site.stored_grant(grant).await.subject);
}

/// What nobody answers expires; what was lent ends by the clock; and nobody asks for more than owners can read.
#[tokio::test]
async fn time_ends_what_is_asked_and_what_is_lent() {
    let site = Site::new().await;
    let grant = site.grant("reader", "mcp:read").await;
    let call = site.refused(grant, "delete_note", SetName::Rights).await;
    let (_, at) = ask(&site, "reader", call).await;
    let mut owner = site.signed_in("owner").await;
    let csrf = owner.get(&at).await.csrf();
    owner.post(&at, &[("csrf", &csrf), ("end", "hour"), ("decision", "lend")]).await;
    site.clock.advance_seconds(3599);
    assert!(owner.get(&at).await.body.contains("This is lent"));
    site.clock.advance_seconds(1);
    let over = owner.get(&at).await;
    assert!(over.body.contains("What was lent has ended") && !over.body.contains("take-back"), "{}", over.body);
    let mut last = String::new();
    for at in 0..16 {
        let call = site.refused(grant, &format!("tool{at}"), SetName::Rights).await;
        last = ask(&site, "reader", call).await.1;
    }
    let call = site.refused(grant, "one-too-many", SetName::Rights).await;
    let mut reader = site.signed_in("reader").await;
    let csrf = reader.get(&path(call)).await.csrf();
    let fields = [("csrf", csrf.as_str()), ("reason", REASON), ("decision", "ask")];
    assert_eq!(reader.post(&path(call), &fields).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    site.clock.advance_seconds(7 * 24 * 60 * 60);
    let expired = site.signed_in("owner").await.get(&last).await;
    assert!(expired.body.contains("This has expired") && !expired.body.contains("value=\"lend\""), "{}", expired.body);
}

/// Where a rule forbids the tool, nobody is sent to ask for it, and an owner who was asked before is told that a loan would not
/// help; the rule's reason stands on both pages.
#[tokio::test]
async fn what_a_rule_forbids_is_not_offered_to_be_lent() {
    let site = Site::new().await;
    site.three_tools().await;
    let grant = site.grant("reader", "mcp:read").await;
    let before = site.refused(grant, "delete_note", SetName::Rights).await;
    let (_, at) = ask(&site, "reader", before).await;
    let mut owner = site.signed_in("owner").await;
    let helps = owner.get(&at).await;
    assert!(helps.body.contains("value=\"lend\"") && !helps.body.contains("a loan would not help"), "{}", helps.body);
    site.rules(
        r#"@reason("what is kept stays") forbid(principal, action == Action::"call", resource == Tool::"notes/delete_note");"#,
    );
    let page = owner.get(&at).await;
    assert!(page.body.contains("A loan would not help") && page.body.contains("what is kept stays"), "{}", page.body);
    assert!(page.body.contains("value=\"refuse\"") && !page.body.contains("value=\"lend\""), "{}", page.body);
    let call = site.refused(grant, "delete_note", SetName::Rights).await;
    let mut reader = site.signed_in("reader").await;
    let page = reader.get(&path(call)).await;
    assert!(page.body.contains("A rule forbids this") && page.body.contains("what is kept stays"), "{}", page.body);
    assert!(!page.body.contains("value=\"ask\""), "{}", page.body);
    reader.headers.insert("accept-language", "ja".parse().unwrap());
    assert!(reader.get(&path(call)).await.body.contains("規則で禁止されています"));
}

/// A tool that is held back needs no loan: who may use it is told so, who may not is told nothing of it (RS-36), and an owner
/// who is asked for it is led to where it is let through.
#[tokio::test]
async fn a_tool_that_is_held_back_is_not_lent_but_let_through() {
    let site = Site::new().await;
    site.three_tools().await;
    let grant = site.grant("reader", "mcp:read").await;
    site.hold_back(&["read_note", "delete_note"]).await;
    let mut reader = site.signed_in("reader").await;
    let own = reader.get(&path(site.refused(grant, "read_note", SetName::Rights).await)).await;
    assert!(own.body.contains("This tool is held back") && !own.body.contains("value=\"ask\""), "{}", own.body);
    let call = site.refused(grant, "delete_note", SetName::Rights).await;
    let others = reader.get(&path(call)).await;
    assert!(!others.body.contains("held back") && others.body.contains("value=\"ask\""), "{}", others.body);
    let (_, at) = ask(&site, "reader", call).await;
    let page = site.signed_in("owner").await.get(&at).await;
    assert!(page.body.contains("A loan alone does not help"), "{}", page.body);
    assert!(
        page.body.contains("href=\"/servers/notes/tools\"") && page.body.contains("value=\"lend\""),
        "{}",
        page.body
    );
}
