//! Signing out, here and at the provider: attackers, and providers that do not answer as they should.

use std::time::Duration;

use http::header::ORIGIN;
use sekisho_e2e::fakes::provider::profile::Behaves;
use sekisho_e2e::fakes::provider::{Misconduct, Provider};
use sekisho_e2e::harness::{Answer, Caller, Form, Person, forms, links};
use serde_json::json;

use super::providers::{CLIENT, Company, back, page, setup, signed_in, stranger, table};

const ALWAYS: &str = "sign_out_there = \"always\"";

/// The form to sign out, on the first page, and the address of that page.
async fn sign_out_form(company: &Company, person: &mut Person) -> (String, Form) {
    let (at, home) = page(person.visit(&company.url("/")).await);
    let form = forms(&home.text()).into_iter().find(|form| form.action.ends_with("/logout"));
    (at, form.unwrap_or_else(|| panic!("nobody is signed in: {}", home.text())))
}

async fn sign_out(company: &Company, person: &mut Person) -> Answer {
    let (at, form) = sign_out_form(company, person).await;
    page(person.submit(&at, &form).await).1
}

/// The link to the provider's page.
fn link_out(answer: &Answer, provider: &Provider) -> Option<String> {
    links(&answer.text()).into_iter().find(|link| link.starts_with(&provider.endpoint("logout")))
}

fn parameter(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// RP-Initiated Logout 1.0 §2 and §3: the browser is sent with the ID token, comes back with its state, and the page says so.
/// The state works in its own browser only, and changes nothing (ATK-351).
#[tokio::test]
async fn a_return_from_a_sign_out_is_believed_only_in_its_browser() {
    let company = Company::start(ALWAYS).await;
    let mut ada = stranger();
    company.sign_in(&mut ada, "corp").await;
    let answer = sign_out(&company, &mut ada).await;
    let out = link_out(&answer, &company.provider).unwrap_or_else(|| panic!("no way out: {}", answer.text()));
    assert!(answer.text().contains("http-equiv=\"refresh\""), "the browser goes on by itself");
    assert_eq!(signed_in(&company, &mut ada).await, None);
    let hint = parameter(&out, "id_token_hint").expect("an ID token");
    assert_eq!(sekisho_e2e::fakes::oauth::claims(&hint)["sub"], "ada-1");
    assert_eq!(parameter(&out, "client_id").as_deref(), Some(CLIENT));
    assert_eq!(parameter(&out, "post_logout_redirect_uri"), Some(company.url("/login/corp/signed-out")));
    let returned = back(&out).await;
    let (_, done) = page(ada.visit(&returned).await);
    assert!(done.status == 200 && done.text().contains("sent you back"), "{}", done.text());
    // Another browser, another provider, another text, and none: the page claims nothing.
    let mut eve = stranger();
    company.sign_in(&mut eve, "corp").await;
    for bad in [
        returned.clone(),
        returned.replace("/corp/", "/other/"),
        format!("{returned}x"),
        format!("{returned}&state=x"),
        company.url("/login/corp/signed-out"),
        company.url("/login/corp/signed-out?state=x"),
    ] {
        let (_, answer) = page(eve.visit(&bad).await);
        assert!(answer.status == 400 && !answer.text().contains("sent you back"), "{bad}: {}", answer.text());
    }
    assert_eq!(page(ada.visit(&returned.replace("/corp/", "/other/")).await).1.status, 400);
    assert_eq!(signed_in(&company, &mut eve).await.as_deref(), Some("corp:ada"), "nobody was signed out by it");
    assert_eq!(page(eve.visit(&company.url("/login/nobody/signed-out?state=x")).await).1.status, 404);
}

/// ATK-350: a page of another site signs nobody out, here or there.
#[tokio::test]
async fn a_page_of_another_site_signs_nobody_out() {
    let company = Company::start(ALWAYS).await;
    let mut ada = stranger();
    company.sign_in(&mut ada, "corp").await;
    let (at, form) = sign_out_form(&company, &mut ada).await;
    let to = url::Url::parse(&at).unwrap().join(&form.action).unwrap();
    let foreign = Caller::new().post(to.as_str()).header(ORIGIN.as_str(), "https://m.test").form(&form.pairs());
    assert_eq!(ada.send(foreign).await.status, 403);
    let guess = Caller::new().post(to.as_str()).form(&[("csrf", "guess")]);
    assert_eq!(ada.send(guess).await.status, 403);
    let twice = Caller::new().post(to.as_str()).form(&[form.pairs(), form.pairs()].concat());
    assert_eq!(ada.send(twice).await.status, 403);
    assert_eq!(signed_in(&company, &mut ada).await.as_deref(), Some("corp:ada"));
    assert_eq!(company.provider.arrived("logout").len(), 0);
    assert!(company.acts().await.iter().all(|act| act["act"] != "sessions_ended"));
}

/// ATK-352: a provider cannot have browsers sent to a page that is less secure than itself, or to a script.
#[tokio::test]
async fn a_page_to_sign_out_is_as_secure_as_its_provider() {
    for url in ["javascript:alert(1)", "http://evil.example/logout", "data:text/html,x", "https://10.0.0.1/\nx"] {
        let company = Company::start(ALWAYS).await;
        company.provider.misbehave(Misconduct::Describes("end_session_endpoint", json!(url)));
        let mut ada = stranger();
        page(ada.visit(&company.url("/login")).await);
        let (_, answer) = page(ada.visit(&company.url("/login/corp")).await);
        assert_eq!(answer.status, 502, "{url}: {}", answer.text());
        assert!(company.last_failure().await.contains("end_session_endpoint"), "{url}");
    }
}

/// ATK-353: whatever the provider does, the session here has ended when the page is there, and the page comes soon.
#[tokio::test]
async fn a_provider_that_is_away_keeps_nobody_signed_in_here() {
    for misconduct in [Misconduct::Hangs("openid-configuration"), Misconduct::Fails("openid-configuration")] {
        // After a restart nothing is known of the provider any more, so it has to be asked.
        let Company { provider, checkpoint } = Company::start("sign_out_there = \"offer\"").await;
        let mut company = Company { provider, checkpoint };
        let mut ada = stranger();
        company.sign_in(&mut ada, "corp").await;
        company.provider.misbehave(misconduct.clone());
        let port = company.checkpoint.base_url().rsplit(':').next().unwrap().to_owned();
        company.checkpoint = company.checkpoint.restart().await;
        assert!(company.checkpoint.base_url().ends_with(&port), "the same address");
        let begun = tokio::time::Instant::now();
        let answer = sign_out(&company, &mut ada).await;
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        assert!(answer.text().contains("cannot be reached now"), "{misconduct:?}: {}", answer.text());
        assert_eq!(signed_in(&company, &mut ada).await, None);
        let acts = company.acts().await;
        let ended: Vec<_> = acts.iter().filter(|act| act["act"] == "sessions_ended").collect();
        assert!(ended.len() == 1 && ended[0]["detail"].as_str().unwrap().contains("by its user"), "{ended:?}");
    }
}

/// ATK-354: an ID token leaves in the browser of its person, for the provider that issued it, and is written nowhere.
#[tokio::test]
async fn an_id_token_leaves_for_its_own_provider_only() {
    // Two providers: one is signed out at, the other is not.
    let (corp, other) =
        (Provider::start(Behaves::Generic).await.unwrap(), Provider::start(Behaves::Generic).await.unwrap());
    other.person(&json!({ "sub": "grace-1", "preferred_username": "grace" }));
    let login =
        format!("[login]\n{}{}", table("corp", &corp, "sign_out_there = \"offer\""), table("other", &other, ""));
    let checkpoint = setup(&login).start().await;
    let company = Company { provider: corp, checkpoint };
    let (mut ada, mut grace) = (stranger(), stranger());
    company.sign_in(&mut ada, "corp").await;
    company.sign_in(&mut grace, "other").await;
    let answer = sign_out(&company, &mut grace).await;
    let text = answer.text();
    assert!(!text.contains("id_token_hint") && !text.contains(other.issuer()), "{text}");
    let answer = sign_out(&company, &mut ada).await;
    let out = link_out(&answer, &company.provider).expect("a way out");
    assert!(!answer.text().contains("http-equiv"), "it is offered, not done");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let token = parameter(&out, "id_token_hint").unwrap();
    let signature = token.rsplit('.').next().unwrap();
    let records = serde_json::to_string(&company.checkpoint.records().await).unwrap();
    assert!(!records.contains(signature) && !company.checkpoint.stderr().now().contains(signature));
    // At rest it is sealed, and gone with the session.
    for entry in std::fs::read_dir(company.checkpoint.data_dir()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        let found = bytes.windows(signature.len()).any(|window| window == signature.as_bytes());
        assert!(!found, "an ID token is in {}", path.display());
    }
    // A session that began with a password says nothing to a provider.
    let mut alice = Person::new("alice", super::providers::PASSWORD);
    alice.try_answer(&company.url("/login")).await.unwrap_err();
    let answer = sign_out(&company, &mut alice).await;
    assert!(!answer.text().contains("id_token_hint"), "{}", answer.text());
}
