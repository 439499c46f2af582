//! Ways to sign in: who tries to get into somebody's user by an account at a provider, or to shut somebody out.

use http::header::ORIGIN;
use sekisho_e2e::harness::{Answer, BrowserState, Caller, Form, Person, forms, links};
use serde_json::json;

use super::providers::{Company, PASSWORD, back, page, signed_in, stranger};

/// Signs in with a password. The browser.
async fn with_password(company: &Company, name: &str) -> Person {
    let mut person = Person::new(name, PASSWORD);
    person.try_answer(&company.url("/login")).await.unwrap_err();
    assert_eq!(signed_in(company, &mut person).await.as_deref(), Some(name));
    person
}

/// The page, and its address.
async fn ways(company: &Company, person: &mut Person) -> (String, Answer) {
    page(person.visit(&company.url("/ways")).await)
}

/// Goes from the page to the provider and back, as far as the address with the answer.
async fn answer_of(company: &Company, person: &mut Person, name: &str) -> String {
    let (at, shown) = ways(company, person).await;
    let link = links(&shown.text()).into_iter().find(|link| link.ends_with(&format!("/ways/{name}/add")));
    let link = link.unwrap_or_else(|| panic!("nothing can be added: {}", shown.text()));
    let link = url::Url::parse(&at).unwrap().join(&link).unwrap();
    match person.visit(link.as_str()).await {
        BrowserState::Away(away) => back(&away).await,
        BrowserState::Page { answer, .. } => panic!("nobody was sent away: {}", answer.text()),
    }
}

fn form_to(answer: &Answer, action: &str) -> Option<Form> {
    forms(&answer.text()).into_iter().find(|form| form.action.ends_with(action))
}

/// Goes all the way to the page that asks for a yes. Its address, and the form.
async fn to_confirm(company: &Company, person: &mut Person, name: &str) -> (String, Form) {
    let answer = answer_of(company, person, name).await;
    let (at, shown) = page(person.visit(&answer).await);
    let form = form_to(&shown, "/ways/add").unwrap_or_else(|| panic!("nothing to confirm: {}", shown.text()));
    (at, form)
}

async fn decide(person: &mut Person, (at, mut form): (String, Form), decision: &str) -> Answer {
    form.fill("decision", decision);
    page(person.submit(&at, &form).await).1
}

async fn count(company: &Company, kind: &str) -> usize {
    company.acts().await.iter().filter(|act| act["act"] == kind).count()
}

/// Both sessions and a yes add an account, and with it the person is the same user; without it they are nobody.
#[tokio::test]
async fn an_account_is_added_and_removed_by_its_user() {
    let company = Company::start("").await;
    company.checkpoint.add_user("bob", PASSWORD, false).await;
    let mut bob = with_password(&company, "bob").await;
    // No: nothing is added.
    let confirm = to_confirm(&company, &mut bob, "corp").await;
    decide(&mut bob, confirm, "no").await;
    assert_eq!(count(&company, "identity_linked").await, 0);
    let confirm = to_confirm(&company, &mut bob, "corp").await;
    let answer = decide(&mut bob, confirm, "yes").await;
    assert!(answer.status == 200 && answer.text().contains("ada-1"), "{}", answer.text());
    let mut elsewhere = stranger();
    company.sign_in(&mut elsewhere, "corp").await;
    assert_eq!(signed_in(&company, &mut elsewhere).await.as_deref(), Some("bob"));
    // The groups of the account are those of the user, at once.
    let words = ["explain", "--user", "bob", "--server", "notes", "--tool", "list_notes"];
    let rights = company.checkpoint.command(&words).await.stdout;
    assert!(rights.contains("a.cedar"), "{rights}");
    // Removed: signed out everywhere, and whoever signs in with it is somebody new.
    let (at, shown) = ways(&company, &mut bob).await;
    let form = form_to(&shown, "/ways/remove").expect("it can be removed");
    page(bob.submit(&at, &form).await);
    assert_eq!(signed_in(&company, &mut bob).await, None);
    assert_eq!(signed_in(&company, &mut elsewhere).await, None);
    company.sign_in(&mut elsewhere, "corp").await;
    assert_eq!(signed_in(&company, &mut elsewhere).await.as_deref(), Some("corp:ada"));
    let mut bob = with_password(&company, "bob").await;
    assert!(!ways(&company, &mut bob).await.1.text().contains("ada-1"));
    assert_eq!((count(&company, "identity_linked").await, count(&company, "identity_unlinked").await), (1, 1));
}

/// ATK-355: an answer of somebody else's, in whoever's browser, adds nothing.
#[tokio::test]
async fn an_account_is_not_added_by_somebody_elses_answer() {
    let company = Company::start("").await;
    company.checkpoint.add_user("eve", PASSWORD, false).await;
    let (mut alice, mut eve) = (with_password(&company, "alice").await, with_password(&company, "eve").await);
    // Eve begins, and leads Alice to the address with her answer.
    let answer = answer_of(&company, &mut eve, "corp").await;
    let (_, shown) = page(alice.visit(&answer).await);
    assert!(shown.status == 400 && form_to(&shown, "/ways/add").is_none(), "{}", shown.text());
    // Eve goes on as far as the question, and leads Alice to it.
    let (at, form) = {
        let (at, shown) = page(eve.visit(&answer).await);
        (at, form_to(&shown, "/ways/add").expect("it waits for Eve"))
    };
    let question = format!("/ways?add={}", form.value("add").unwrap());
    let (_, shown) = page(alice.visit(&company.url(&question)).await);
    assert!(form_to(&shown, "/ways/add").is_none() && shown.text().contains("has ended"), "{}", shown.text());
    // Nor does Eve's form work in Alice's browser.
    let mut stolen = form.clone();
    stolen.fill("decision", "yes");
    let (_, refused) = page(alice.submit(&alice.behind_door(&company.url("/ways/add")), &stolen).await);
    assert!(refused.status == 403 || refused.status == 404, "{}", refused.text());
    assert_eq!(count(&company, "identity_linked").await, 0);
    assert_eq!(decide(&mut eve, (at, form), "yes").await.status, 200);
    assert_eq!(count(&company, "identity_linked").await, 1);
    let acts = company.acts().await;
    let linked = acts.iter().find(|act| act["act"] == "identity_linked").unwrap();
    assert!(linked["detail"].as_str().unwrap().contains("`eve`"), "{linked}");
}

/// ATK-356: only the form of our own page is a yes.
#[tokio::test]
async fn nothing_is_added_without_a_yes_on_our_page() {
    let company = Company::start("").await;
    let mut alice = with_password(&company, "alice").await;
    let (at, mut form) = to_confirm(&company, &mut alice, "corp").await;
    form.fill("decision", "yes");
    let to = url::Url::parse(&at).unwrap().join(&form.action).unwrap().to_string();
    let send = |pairs: Vec<(&str, &str)>| Caller::new().post(&to).form(&pairs);
    let without = |name: &str| form.pairs().into_iter().filter(|(found, _)| *found != name).collect::<Vec<_>>();
    let foreign = send(form.pairs()).header(ORIGIN.as_str(), "https://m.test");
    assert_eq!(alice.send(foreign).await.status, 403);
    assert_eq!(alice.send(send(without("csrf"))).await.status, 403);
    for missing in ["add", "provider", "decision"] {
        let answer = alice.send(send(without(missing))).await;
        assert!((400..500).contains(&answer.status), "{missing}: {}", answer.status);
    }
    assert_eq!(alice.send(send([form.pairs(), form.pairs()].concat())).await.status, 400);
    let get =
        format!("{to}?{}", url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form.pairs()).finish());
    assert_eq!(alice.send(Caller::new().get(&get)).await.status, 405);
    assert_eq!(count(&company, "identity_linked").await, 0);
    assert_eq!(decide(&mut alice, (at, form), "yes").await.status, 200);
    assert_eq!(count(&company, "identity_linked").await, 1);
}

/// ATK-357: what one user began is not finished by another one in the same browser.
#[tokio::test]
async fn another_user_of_the_same_browser_adds_nothing() {
    let company = Company::start("").await;
    company.checkpoint.add_user("bob", PASSWORD, false).await;
    let mut browser = with_password(&company, "alice").await;
    let (at, form) = to_confirm(&company, &mut browser, "corp").await;
    let question = at.rsplit("/ways").next().map(|query| format!("/ways{query}")).unwrap();
    // Alice leaves, and Bob signs in there.
    let (home, shown) = page(browser.visit(&company.url("/")).await);
    let out = form_to(&shown, "/logout").unwrap();
    page(browser.submit(&home, &out).await);
    let (login, shown) = page(browser.visit(&company.url("/login")).await);
    let mut sign_in = forms(&shown.text()).into_iter().find(|form| form.has("password")).unwrap();
    sign_in.fill("username", "bob");
    sign_in.fill("password", PASSWORD);
    page(browser.submit(&login, &sign_in).await);
    assert_eq!(signed_in(&company, &mut browser).await.as_deref(), Some("bob"));
    let (_, shown) = page(browser.visit(&company.url(&question)).await);
    assert!(form_to(&shown, "/ways/add").is_none(), "{}", shown.text());
    let mut old = form;
    old.fill("decision", "yes");
    old.action = "/ways/add".to_owned();
    let at = browser.behind_door(&company.url("/ways/add"));
    let call = Caller::new().post(&at).header(ORIGIN.as_str(), company.checkpoint.base_url()).form(&old.pairs());
    assert_eq!(browser.send(call).await.status, 403);
    assert_eq!(count(&company, "identity_linked").await, 0);
}

/// ATK-358: a yes counts once.
#[tokio::test]
async fn an_account_that_waits_is_answered_once() {
    let company = Company::start("").await;
    let mut alice = with_password(&company, "alice").await;
    let confirm = to_confirm(&company, &mut alice, "corp").await;
    assert_eq!(decide(&mut alice, confirm.clone(), "no").await.status, 200);
    let again = decide(&mut alice, confirm.clone(), "yes").await;
    assert_eq!(again.status, 410, "{}", again.text());
    // Many at once: one of them adds it.
    let (at, mut form) = to_confirm(&company, &mut alice, "corp").await;
    form.fill("decision", "yes");
    let to = url::Url::parse(&at).unwrap().join(&form.action).unwrap().to_string();
    let sent = (0..16).map(|_| {
        let (mut browser, to, form) = (alice.clone(), to.clone(), form.clone());
        let origin = company.checkpoint.base_url().to_owned();
        tokio::spawn(async move {
            let call = Caller::new().post(&to).header(ORIGIN.as_str(), origin).form(&form.pairs());
            browser.send(call).await.status
        })
    });
    let mut statuses = Vec::new();
    for one in sent.collect::<Vec<_>>() {
        statuses.push(one.await.unwrap());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 303 | 410)), "{statuses:?}");
    assert_eq!(count(&company, "identity_linked").await, 1);
}

/// ATK-359: an account that another user has stays with that user.
#[tokio::test]
async fn an_account_of_another_user_is_not_taken_over() {
    let company = Company::start("").await;
    let mut ada = stranger();
    company.sign_in(&mut ada, "corp").await;
    assert_eq!(signed_in(&company, &mut ada).await.as_deref(), Some("corp:ada"));
    let mut alice = with_password(&company, "alice").await;
    let answer = answer_of(&company, &mut alice, "corp").await;
    let (_, shown) = page(alice.visit(&answer).await);
    assert!(form_to(&shown, "/ways/add").is_none(), "{}", shown.text());
    assert!(shown.text().contains("Another user here signs in with this account"), "{}", shown.text());
    let mut ada = stranger();
    company.sign_in(&mut ada, "corp").await;
    assert_eq!(signed_in(&company, &mut ada).await.as_deref(), Some("corp:ada"));
    // Both wait for a yes; the account is of the first who says it.
    company.provider.person(&json!({ "sub": "grace-1", "preferred_username": "grace" }));
    company.checkpoint.add_user("bob", PASSWORD, false).await;
    let mut bob = with_password(&company, "bob").await;
    let (first, second) =
        (to_confirm(&company, &mut alice, "corp").await, to_confirm(&company, &mut bob, "corp").await);
    assert_eq!(decide(&mut bob, second, "yes").await.status, 200);
    let late = decide(&mut alice, first, "yes").await;
    assert!(late.status == 409 && late.text().contains("Another user here"), "{}", late.text());
    assert!(company.last_failure().await.contains("another user signs in with it"));
    let mut grace = stranger();
    company.sign_in(&mut grace, "corp").await;
    assert_eq!(signed_in(&company, &mut grace).await.as_deref(), Some("bob"));
}

/// ATK-361: the last way in of an owner stays, also if two accounts are removed at once.
#[tokio::test]
async fn the_last_way_in_of_an_owner_stays() {
    let company = Company::start("").await;
    // Ada was made for her account: it stays.
    let mut ada = stranger();
    company.sign_in(&mut ada, "corp").await;
    assert_eq!(company.checkpoint.command(&["user", "role", "corp:ada", "owner"]).await.code(), Some(0));
    let (_, shown) = ways(&company, &mut ada).await;
    assert!(form_to(&shown, "/ways/remove").is_none(), "{}", shown.text());
    assert!(shown.text().contains("made for this account"), "{}", shown.text());
    // Olga has no password, and two accounts: one of them stays.
    let added = company.checkpoint.command(&["user", "add", "olga", "--owner"]).await;
    let link = added.stdout.split_whitespace().find(|word| word.contains("/setup/")).expect("a link").to_owned();
    let mut olga = Person::new("olga", PASSWORD);
    olga.set_up(&link).await;
    for sub in ["olga-1", "olga-2"] {
        company.provider.person(&json!({ "sub": sub, "preferred_username": sub }));
        let confirm = to_confirm(&company, &mut olga, "corp").await;
        assert_eq!(decide(&mut olga, confirm, "yes").await.status, 200);
    }
    // Without passwords the two accounts are all that she has.
    let configuration = company.checkpoint.configuration();
    let text = std::fs::read_to_string(&configuration).unwrap();
    std::fs::write(&configuration, text.replace("[login]", "[login]\npasswords = false")).unwrap();
    let Company { provider, checkpoint } = company;
    let company = Company { provider, checkpoint: checkpoint.restart().await };
    let (at, shown) = ways(&company, &mut olga).await;
    let both: Vec<Form> =
        forms(&shown.text()).into_iter().filter(|form| form.action.ends_with("/ways/remove")).collect();
    assert_eq!(both.len(), 2, "{}", shown.text());
    let to = url::Url::parse(&at).unwrap().join(&both[0].action).unwrap().to_string();
    let sent = both.iter().map(|form| {
        let (mut browser, to, form) = (olga.clone(), to.clone(), form.clone());
        let origin = company.checkpoint.base_url().to_owned();
        tokio::spawn(async move {
            let call = Caller::new().post(&to).header(ORIGIN.as_str(), origin).form(&form.pairs());
            browser.send(call).await.status
        })
    });
    let mut statuses = Vec::new();
    for one in sent.collect::<Vec<_>>() {
        statuses.push(one.await.unwrap());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    assert_eq!(count(&company, "identity_unlinked").await, 1);
    // She still comes in with the other one, which is her last.
    let left = if signs_in(&company, &mut stranger(), "olga-1").await { "olga-1" } else { "olga-2" };
    let mut again = stranger();
    assert!(signs_in(&company, &mut again, left).await);
    let (_, shown) = ways(&company, &mut again).await;
    assert!(
        form_to(&shown, "/ways/remove").is_none() && shown.text().contains("only way to sign in"),
        "{}",
        shown.text()
    );
}

async fn signs_in(company: &Company, browser: &mut Person, sub: &str) -> bool {
    company.provider.person(&json!({ "sub": sub, "preferred_username": sub }));
    company.sign_in(browser, "corp").await;
    signed_in(company, browser).await.as_deref() == Some("olga")
}

/// ATK-362: nobody removes an account of somebody else, or without the form of our page.
#[tokio::test]
async fn an_account_of_somebody_else_is_not_removed() {
    let company = Company::start("").await;
    company.checkpoint.add_user("bob", PASSWORD, false).await;
    let (mut alice, mut bob) = (with_password(&company, "alice").await, with_password(&company, "bob").await);
    let confirm = to_confirm(&company, &mut alice, "corp").await;
    decide(&mut alice, confirm, "yes").await;
    company.provider.person(&json!({ "sub": "bob-1", "preferred_username": "bob" }));
    let confirm = to_confirm(&company, &mut bob, "corp").await;
    decide(&mut bob, confirm, "yes").await;
    let (at, shown) = ways(&company, &mut alice).await;
    let hers = form_to(&shown, "/ways/remove").unwrap();
    let (bobs_at, shown) = ways(&company, &mut bob).await;
    let mut his = form_to(&shown, "/ways/remove").unwrap();
    // Bob's token with Alice's account, and Alice's form in Bob's browser.
    his.fill("way", hers.value("way").unwrap());
    assert_eq!(page(bob.submit(&bobs_at, &his).await).1.status, 403);
    let mut stolen = hers.clone();
    stolen.action.clone_from(&his.action);
    assert_eq!(page(bob.submit(&bobs_at, &stolen).await).1.status, 403);
    let to = url::Url::parse(&at).unwrap().join(&hers.action).unwrap().to_string();
    let foreign = Caller::new().post(&to).header(ORIGIN.as_str(), "https://m.test").form(&hers.pairs());
    assert_eq!(alice.send(foreign).await.status, 403);
    assert_eq!(count(&company, "identity_unlinked").await, 0);
    assert_eq!(signed_in(&company, &mut alice).await.as_deref(), Some("alice"));
}

/// ATK-363: only our own page leads to a provider, and only for somebody who is signed in.
#[tokio::test]
async fn a_page_of_another_site_does_not_begin_to_add_an_account() {
    let company = Company::start("").await;
    let mut alice = with_password(&company, "alice").await;
    let (at, shown) = ways(&company, &mut alice).await;
    let link = links(&shown.text()).into_iter().find(|link| link.ends_with("/ways/corp/add")).unwrap();
    let link = url::Url::parse(&at).unwrap().join(&link).unwrap();
    let led = Caller::new().get(link.as_str()).header("sec-fetch-site", "cross-site");
    let answer = alice.send(led).await;
    assert!(answer.status == 303 && answer.location().is_some_and(|to| !to.contains("authorize")), "{answer:?}");
    let (_, nobody) = page(stranger().visit(&company.url("/ways/corp/add")).await);
    assert!(nobody.text().contains("type=\"password\""), "who is not signed in is asked to: {}", nobody.text());
    assert_eq!(page(alice.visit(&company.url("/ways/nobody/add")).await).1.status, 404);
    assert_eq!(company.provider.arrived("authorize").len(), 0);
}
