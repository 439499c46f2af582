//! The pages about signing in and out, as a person sees them: see `crate::pages`.

use sekisho_e2e::harness::{BrowserState, Person, links};

use crate::attacks::providers::{Company, PASSWORD, back, page, stranger};
use crate::pages::{VIEWS, look};

/// The cookies of a browser, as arguments.
fn cookies(person: &Person) -> Vec<String> {
    let pairs = person.cookies();
    pairs.iter().flat_map(|(name, value)| ["--cookie".to_owned(), format!("{name}={value}")]).collect()
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// A person with a password, who is signed in.
async fn with_password(company: &Company, name: &str) -> Person {
    let mut person = Person::new(name, PASSWORD);
    person.try_answer(&company.url("/login")).await.unwrap_err();
    person
}

const WAYS: [&str; 2] = ["Ways to sign in", "ログイン方法"];

/// The list of ways to sign in, and the question whether an account is to be added.
#[tokio::test(flavor = "multi_thread")]
async fn the_pages_about_ways_to_sign_in_can_be_read_by_everybody() {
    let company = Company::start("").await;
    let mut alice = with_password(&company, "alice").await;
    let (at, shown) = page(alice.visit(&company.url("/ways")).await);
    let link = links(&shown.text()).into_iter().find(|link| link.ends_with("/ways/corp/add")).unwrap();
    let link = url::Url::parse(&at).unwrap().join(&link).unwrap();
    let BrowserState::Away(away) = alice.visit(link.as_str()).await else { panic!("nobody was sent away") };
    let (question, shown) = page(alice.visit(&back(&away).await).await);
    let signed_in = cookies(&alice);
    for view in VIEWS {
        let asked = ["Add this account?", "このアカウントを追加しますか？"];
        look("ways-confirm", &question, &words(&signed_in), view, asked).await;
    }
    let mut form = sekisho_e2e::harness::forms(&shown.text()).into_iter().find(|form| form.has("add")).unwrap();
    form.fill("decision", "yes");
    page(alice.submit(&question, &form).await);
    let mut unfolded = words(&signed_in);
    unfolded.push("--unfold");
    for view in VIEWS {
        let seen = look("ways", &alice.behind_door(&company.url("/ways")), &unfolded, view, WAYS).await;
        assert!(seen["text"].as_str().unwrap().contains("ada-1"), "the account stands there");
    }
    // Somebody who was made for an account: it stays.
    company.provider.person(&serde_json::json!({ "sub": "grace-1", "preferred_username": "grace" }));
    let mut grace = stranger();
    company.sign_in(&mut grace, "corp").await;
    let signed_in = cookies(&grace);
    look("ways-own", &grace.behind_door(&company.url("/ways")), &words(&signed_in), VIEWS[0], WAYS).await;
}

/// The list of sessions, one's own and somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn the_pages_about_sessions_can_be_read_by_everybody() {
    let company = Company::start("").await;
    let (alice, _second) = (with_password(&company, "alice").await, with_password(&company, "alice").await);
    let mut ada = stranger();
    company.sign_in(&mut ada, "corp").await;
    let mut alice = alice;
    let (_, shown) = page(alice.visit(&company.url("/sessions")).await);
    let hers = links(&shown.text()).into_iter().find(|link| link.contains("?person=")).unwrap();
    let hers = hers.split("/sessions").nth(1).unwrap().to_owned();
    let signed_in = cookies(&alice);
    for view in VIEWS {
        let own = ["Where you are signed in", "ログイン中のブラウザー"];
        let seen = look("sessions", &alice.behind_door(&company.url("/sessions")), &words(&signed_in), view, own).await;
        assert!(seen["text"].as_str().unwrap().contains("corp:ada"), "who else is signed in");
        let others = ["Where corp:ada is signed in", "corp:ada のログイン中のブラウザー"];
        let at = alice.behind_door(&company.url(&format!("/sessions{hers}")));
        look("sessions-other", &at, &words(&signed_in), view, others).await;
    }
}

/// After a sign-out: what is left to do at the provider, and the way back from there.
#[tokio::test(flavor = "multi_thread")]
async fn the_pages_after_a_sign_out_can_be_read_by_everybody() {
    let company = Company::start("sign_out_there = \"offer\"").await;
    for view in VIEWS {
        let mut ada = stranger();
        company.sign_in(&mut ada, "corp").await;
        let mut arguments = cookies(&ada);
        let (press, go_on) = if view.contains(&"ja") {
            ("ログアウト", "からもログアウト")
        } else {
            ("Sign out", "Sign out at")
        };
        arguments.extend(["--press".to_owned(), press.to_owned()]);
        let home = ada.behind_door(&company.url("/"));
        look("signed-out", &home, &words(&arguments), view, ["You are signed out here", "ここからログアウトしました"])
            .await;
        let mut ada = stranger();
        company.sign_in(&mut ada, "corp").await;
        let mut arguments = cookies(&ada);
        for text in [press, go_on] {
            arguments.extend(["--press".to_owned(), text.to_owned()]);
        }
        let home = ada.behind_door(&company.url("/"));
        look("signed-out-there", &home, &words(&arguments), view, ["sent you back", "ここに戻りました"]).await;
    }
    let unknown = company.url("/login/corp/signed-out?state=x");
    look("signed-out-unknown", &unknown, &[], VIEWS[0], ["This cannot continue", "続行できません"]).await;
}
