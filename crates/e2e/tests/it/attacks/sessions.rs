//! The list of sessions: who looks at those of somebody else, or ends them.

use http::header::{ORIGIN, USER_AGENT};
use sekisho_e2e::harness::{Answer, Caller, Checkpoint, Form, Person, forms, links};

use super::providers::{Company, PASSWORD, page, signed_in};

async fn with_password(company: &Company, name: &str) -> Person {
    let mut person = Person::new(name, PASSWORD);
    person.try_answer(&company.url("/login")).await.unwrap_err();
    person
}

async fn sessions(company: &Company, person: &mut Person, query: &str) -> (String, Answer) {
    page(person.visit(&company.url(&format!("/sessions{query}"))).await)
}

/// The forms that end one session each, and the one that ends several.
fn ends(answer: &Answer) -> (Vec<Form>, Option<Form>) {
    let all: Vec<Form> = forms(&answer.text()).into_iter().filter(|form| form.action.ends_with("/sessions")).collect();
    let (one, many): (Vec<Form>, Vec<Form>) = all.into_iter().partition(|form| form.has("session"));
    let press = |mut form: Form| {
        let (name, value) = form.buttons[0].clone();
        form.fields.push((name, value));
        form
    };
    (one, many.into_iter().next().map(press))
}

/// Ends with the record of who ended what.
async fn ended(company: &Company) -> Vec<String> {
    let acts = company.acts().await;
    let ended = acts.iter().filter(|act| act["act"] == "sessions_ended");
    ended.map(|act| act["detail"].as_str().unwrap().to_owned()).collect()
}

/// A person sees their browsers, and signs out of one and of all others. What could act only until then ends with them (ATK-368).
#[tokio::test]
async fn a_person_ends_their_own_sessions() {
    let company = Company::start("").await;
    company.checkpoint.add_user("bob", PASSWORD, false).await;
    let mut bob = with_password(&company, "bob").await;
    let mut second = with_password(&company, "bob").await;
    let mut third = with_password(&company, "bob").await;
    let old = second.behind_door(&company.url("/sessions"));
    let kept = second.clone();
    let (at, shown) = sessions(&company, &mut bob, "").await;
    let (one, others) = ends(&shown);
    assert_eq!(one.len(), 2, "not for the browser that asks: {}", shown.text());
    assert!(shown.text().contains("this browser") && shown.text().contains("with a password"), "{}", shown.text());
    page(bob.submit(&at, &one[0]).await);
    let out = [signed_in(&company, &mut second).await, signed_in(&company, &mut third).await];
    assert_eq!(out.iter().filter(|who| who.is_none()).count(), 1, "{out:?}");
    page(bob.submit(&at, &others.unwrap()).await);
    assert_eq!(signed_in(&company, &mut second).await, None);
    assert_eq!(signed_in(&company, &mut third).await, None);
    assert_eq!(signed_in(&company, &mut bob).await.as_deref(), Some("bob"));
    assert_eq!(ended(&company).await, ["`bob`; 1 sessions ended by its user"; 2]);
    // The cookie of an ended session opens nothing, with its door or without.
    let (_, shown) = page(kept.clone().visit(&old).await);
    assert!(!shown.text().contains("/logout"), "{}", shown.text());
}

/// A grant that ends at the sign-out ends when the session is ended from another browser.
#[tokio::test]
async fn a_session_that_is_ended_from_elsewhere_ends_its_grants() {
    let company = Company::start("").await;
    let mut ada = super::providers::stranger();
    let (_, tokens) = company.let_in(&mut ada).await;
    assert!(company.reads(&tokens).await);
    let mut alice = with_password(&company, "alice").await;
    let (_, people) = sessions(&company, &mut alice, "").await;
    let link =
        links(&people.text()).into_iter().find(|link| link.contains("/sessions?person=")).expect("Ada is listed");
    let query = link.split("/sessions").nth(1).unwrap().to_owned();
    let (at, hers) = sessions(&company, &mut alice, &query).await;
    assert!(hers.text().contains("corp:ada") && hers.text().contains("at corp"), "{}", hers.text());
    page(alice.submit(&at, &ends(&hers).1.expect("all can be ended")).await);
    assert_eq!(signed_in(&company, &mut ada).await, None);
    sekisho_e2e::harness::wait::until("the end of the grant", async || (!company.reads(&tokens).await).then_some(()))
        .await;
    assert_eq!(ended(&company).await, ["`corp:ada`; 1 sessions ended by somebody who runs the checkpoint"]);
    let acts = company.acts().await;
    let act = acts.iter().find(|act| act["act"] == "sessions_ended").unwrap();
    assert!(act["actor"].as_str().unwrap().starts_with("usr_") && act["actor"] != act["subject"], "{act}");
}

/// ATK-364: nobody but an owner sees or ends sessions of somebody else, and what is told does not differ from nothing.
#[tokio::test]
async fn only_an_owner_sees_and_ends_sessions_of_others() {
    let company = Company::start("").await;
    for (name, role) in [("bob", "user"), ("mia", "administrator"), ("tom", "auditor")] {
        company.checkpoint.add_user(name, PASSWORD, false).await;
        assert_eq!(company.checkpoint.command(&["user", "role", name, role]).await.code(), Some(0), "{role}");
    }
    let mut alice = with_password(&company, "alice").await;
    let (_, hers) = sessions(&company, &mut alice, "").await;
    let own = forms(&hers.text()).into_iter().find_map(|form| form.value("person").map(str::to_owned));
    assert_eq!(own, None, "alone in one browser there is nothing to end");
    let alices = alice_id(&company).await;
    for name in ["bob", "mia", "tom"] {
        let mut other = with_password(&company, name).await;
        let (_, shown) = sessions(&company, &mut other, "").await;
        assert!(!shown.text().contains("alice") && !shown.text().contains("?person="), "{name}: {}", shown.text());
        let (_, there) = sessions(&company, &mut other, &format!("?person={alices}")).await;
        let (_, nobody) = sessions(&company, &mut other, &format!("?person=usr_{}", "0".repeat(32))).await;
        assert_eq!((there.status, nobody.status), (404, 404), "{name}");
        let plain = |answer: &Answer| answer.text().split("rid_").next().unwrap().to_owned();
        assert_eq!(plain(&there), plain(&nobody), "{name}");
        // A forged form: with the token of their own page, and another person in it.
        let mut more = with_password(&company, name).await;
        let (at, shown) = sessions(&company, &mut more, "").await;
        let mut form = ends(&shown).1.expect("two browsers");
        form.fill("person", &alices);
        form.fill("what", "all");
        assert_eq!(page(more.submit(&at, &form).await).1.status, 403, "{name}");
    }
    assert_eq!(signed_in(&company, &mut alice).await.as_deref(), Some("alice"));
    assert_eq!(ended(&company).await, Vec::<String>::new());
}

async fn alice_id(company: &Company) -> String {
    let users = company.users().await;
    let alice = users.iter().find(|user| user["name"] == "alice").unwrap();
    alice["id"].as_str().unwrap().to_owned()
}

/// ATK-365: what a form calls a session works for the person of that form only.
#[tokio::test]
async fn a_session_of_somebody_else_is_not_ended_by_its_name() {
    let company = Company::start("").await;
    company.checkpoint.add_user("bob", PASSWORD, false).await;
    company.checkpoint.add_user("eve", PASSWORD, false).await;
    let (mut bob, mut bobs) = (with_password(&company, "bob").await, with_password(&company, "bob").await);
    let (mut eve, _eves) = (with_password(&company, "eve").await, with_password(&company, "eve").await);
    let (_, shown) = sessions(&company, &mut bob, "").await;
    let handle = ends(&shown).0[0].value("session").unwrap().to_owned();
    let (at, shown) = sessions(&company, &mut eve, "").await;
    let mut form = ends(&shown).0[0].clone();
    form.fill("session", &handle);
    assert_eq!(page(eve.submit(&at, &form).await).1.status, 410);
    for bad in ["", "x", &"0".repeat(64)] {
        form.fill("session", bad);
        let status = page(eve.submit(&at, &form).await).1.status;
        assert!((400..=410).contains(&status), "{bad}: {status}");
    }
    // Neither all nor others at once with one.
    form.fill("session", &handle);
    form.fill("what", "others");
    assert_eq!(page(eve.submit(&at, &form).await).1.status, 400);
    assert_eq!(signed_in(&company, &mut bobs).await.as_deref(), Some("bob"));
    assert_eq!(ended(&company).await, Vec::<String>::new());
}

/// ATK-366: a page of another site ends no session.
#[tokio::test]
async fn a_forged_form_ends_no_session() {
    let company = Company::start("").await;
    let (mut alice, mut second) = (with_password(&company, "alice").await, with_password(&company, "alice").await);
    let (at, shown) = sessions(&company, &mut alice, "").await;
    let form = ends(&shown).1.unwrap();
    let to = url::Url::parse(&at).unwrap().join(&form.action).unwrap().to_string();
    let send = |pairs: &[(&str, &str)]| Caller::new().post(&to).form(pairs);
    assert_eq!(alice.send(send(&form.pairs()).header(ORIGIN.as_str(), "https://m.test")).await.status, 403);
    let without: Vec<_> = form.pairs().into_iter().filter(|(name, _)| *name != "csrf").collect();
    assert_eq!(alice.send(send(&without)).await.status, 403);
    assert_eq!(alice.send(send(&[form.pairs(), form.pairs()].concat())).await.status, 400);
    // The token of another form of the same page.
    let (_, home) = page(alice.visit(&company.url("/")).await);
    let out = forms(&home.text()).into_iter().find(|form| form.action.ends_with("/logout")).unwrap();
    let mut other = form.clone();
    other.fill("csrf", out.value("csrf").unwrap());
    assert_eq!(page(alice.submit(&at, &other).await).1.status, 403);
    assert_eq!(signed_in(&company, &mut second).await.as_deref(), Some("alice"));
    assert_eq!(ended(&company).await, Vec::<String>::new());
}

/// ATK-367: what a browser calls itself is short text on the page of its person, whatever it says.
#[tokio::test]
async fn a_browser_cannot_write_on_the_page() {
    let checkpoint = Checkpoint::notes().owner("alice", PASSWORD).start().await;
    let base = checkpoint.base_url().to_owned();
    for name in ["<script>alert(1)</script>", &"Q".repeat(6000), "a\u{202e}b\u{200b}", "Mozilla/5.0 \"><b>x"] {
        let mut person = Person::new("alice", PASSWORD);
        let login = person.send(Caller::new().get(&format!("{base}/login"))).await;
        let mut form = forms(&login.text()).into_iter().find(|form| form.has("password")).unwrap();
        form.fill("username", "alice");
        form.fill("password", PASSWORD);
        let call = Caller::new().post(&format!("{base}/login")).header(ORIGIN.as_str(), &base);
        let answer = person.send(call.header(USER_AGENT.as_str(), name).form(&form.pairs())).await;
        assert_eq!(answer.status, 303, "{name}");
    }
    let mut alice = Person::new("alice", PASSWORD);
    alice.try_answer(&format!("{base}/login")).await.unwrap_err();
    let (_, shown) = page(alice.visit(&format!("{base}/sessions")).await);
    let text = shown.text();
    assert_eq!(ends(&shown).0.len(), 4, "{text}");
    assert!(!text.contains("<script>alert") && !text.contains("<b>x") && !text.contains(&"Q".repeat(41)), "{text}");
    assert!(!text.contains('\u{202e}') && !text.contains('\u{200b}'), "{text}");
}
