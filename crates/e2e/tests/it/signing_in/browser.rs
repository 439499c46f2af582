//! Chromium at the npm `oidc-provider`: sign-in, groups, sign-out from both sides, and a provider that is restarted, away or
//! wrong.

use std::time::Duration;

use sekisho_e2e::fakes::provider::profile::Behaves;
use sekisho_e2e::fakes::provider::{Misconduct, Provider};
use sekisho_e2e::harness::node::{self, Serving};
use sekisho_e2e::harness::{Caller, Checkpoint, Chromium, wait};
use serde_json::{Value, json};

use super::free_port;
use crate::attacks::providers::{CLIENT, PASSWORD, SECRET};

/// A provider of others, and a checkpoint that is registered there.
struct Company {
    provider: Serving,
    port: u16,
    world: Value,
    checkpoint: Checkpoint,
}

async fn serve(world: &Value, port: u16) -> Serving {
    node::serve("provider", &["--world", &world.to_string(), "--port", &port.to_string()]).await
}

impl Company {
    async fn start(more: &str) -> Self {
        let (port, own) = (free_port(), free_port());
        let base = format!("http://localhost:{own}");
        let world = json!({
            "clients": [{
                "client_id": CLIENT, "client_secret": SECRET, "redirect_uris": [format!("{base}/login/corp/callback")],
                "post_logout_redirect_uris": [format!("{base}/login/corp/signed-out")],
                "backchannel_logout_uri": format!("{base}/login/corp/backchannel"),
                "backchannel_logout_session_required": true,
            }],
            "people": { "ada": { "email": "ada@example.com", "groups": ["engineers"], "preferred_username": "ada" } },
        });
        let provider = serve(&world, port).await;
        let toml = format!(
            "[groups]\nreaders = [\"corp/engineers\"]\n[[login.provider]]\nname = \"corp\"\nlabel = \"The Company\"\n\
             issuer = {:?}\nclient_id = {CLIENT:?}\nclient_secret = {SECRET:?}\nscopes = [\"profile\", \"email\", \"groups\"]\n\
             {more}\n",
            provider.url
        );
        let setup = Checkpoint::configured_at(&format!("127.0.0.1:{own}"), &toml).owner("alice", PASSWORD);
        Self { provider, port, world, checkpoint: setup.start().await }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.checkpoint.base_url())
    }

    /// Ends the provider and starts it again at the same address: it remembers nobody.
    async fn restart_provider(&mut self) {
        let stopped = std::mem::replace(&mut self.provider, serve(&self.world, 0).await);
        drop(stopped);
        let (world, port) = (self.world.clone(), self.port);
        self.provider = serve(&world, port).await;
    }

    async fn acts(&self, kind: &str) -> Vec<String> {
        let records = self.checkpoint.records().await;
        let events = records.iter().map(|row| &row["record"]["event"]).filter(|event| event["act"] == kind);
        events.map(|event| event["detail"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn groups(&self, name: &str) -> String {
        let words = ["explain", "--user", "corp:ada", "--server", "notes", "--tool", name];
        self.checkpoint.command(&words).await.stdout
    }
}

/// Signs in from the first page, through the provider's own form.
async fn sign_in(company: &Company, browser: &mut Chromium) -> Value {
    browser.goto(&company.url("/login")).await;
    browser.press("Sign in with The Company").await;
    browser.fill("username", "ada").await;
    browser.press("sign in").await;
    browser.expect("Signed in as corp:ada").await
}

fn has(seen: &Value, words: &str) -> bool {
    seen["text"].as_str().unwrap().contains(words)
}

/// Sign-in through the pages, sign-out that is offered and done at the provider, and back on our page.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_and_out_at_a_provider_of_others() {
    let company = Company::start("sign_out_there = \"offer\"").await;
    let mut browser = Chromium::open().await;
    let home = sign_in(&company, &mut browser).await;
    assert!(home["complaints"].as_array().unwrap().is_empty(), "{home:#}");
    let out = browser.press("Sign out").await;
    assert!(has(&out, "You are signed out here") && has(&out, "still signed in at The Company"), "{out:#}");
    // With the provider's session alone a press brings the person back: that is what the page warned of.
    browser.press("Sign in again").await;
    browser.press("Sign in with The Company").await;
    browser.expect("Signed in as corp:ada").await;
    browser.press("Sign out").await;
    browser.press("Sign out at The Company").await;
    browser.expect("Do you want to sign-out").await;
    browser.press("Yes, sign me out").await;
    let back = browser.expect("sent you back").await;
    assert!(back["url"].as_str().unwrap().contains("/login/corp/signed-out?state="), "{back:#}");
    // Now the provider asks again. The first page forgets the door of the session that ended.
    browser.goto(&company.url("/")).await;
    browser.expect("Sign in to see").await;
    browser.goto(&company.url("/login")).await;
    browser.press("Sign in with The Company").await;
    let asked = browser.step(&json!({ "see": true })).await;
    assert!(asked["url"].as_str().unwrap().starts_with(&company.provider.url), "{asked:#}");
    browser.fill("username", "ada").await;
    assert_eq!(
        company.acts("sessions_ended").await.len(),
        2,
        "once for each sign-out: {:?}",
        company.acts("sessions_ended").await
    );
}

/// With `always` the browser goes to the provider by itself, without a script.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_sent_on_to_sign_out_there() {
    let company = Company::start("sign_out_there = \"always\"").await;
    let mut browser = Chromium::open().await;
    sign_in(&company, &mut browser).await;
    browser.press("Sign out").await;
    browser.expect("Do you want to sign-out").await;
    browser.press("Yes, sign me out").await;
    let back = browser.expect("sent you back").await;
    assert!(has(&back, "You are signed out"), "{back:#}");
    let home = browser.goto(&company.url("/")).await;
    assert!(has(&home, "Sign in to see"), "{home:#}");
}

/// Signing out at the provider signs out here, over the back channel, in another browser of the same session.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_at_the_provider_reaches_us() {
    let company = Company::start("logout_ends_grants = true").await;
    let mut browser = Chromium::open().await;
    sign_in(&company, &mut browser).await;
    browser.goto(&format!("{}/session/end", company.provider.url)).await;
    browser.press("Yes, sign me out").await;
    let begun = tokio::time::Instant::now();
    while !company.acts("sessions_ended").await.iter().any(|detail| detail.contains("by `corp`; 1 sessions")) {
        let failed = company.acts("login_failed").await;
        assert!(begun.elapsed() < wait::LONG, "no sign-out arrived: {failed:?}\n{}", company.provider.stderr());
    }
    let home = browser.goto(&company.url("/")).await;
    assert!(!has(&home, "Signed in as"), "{home:#}\n{}", company.provider.stderr());
}

/// Groups give rights at the next sign-in, and take them.
#[tokio::test(flavor = "multi_thread")]
async fn groups_of_a_provider_of_others_give_and_take_rights() {
    let mut company = Company::start("").await;
    let program = sekisho_e2e::harness::binary().display().to_string();
    let text = std::fs::read_to_string(company.checkpoint.configuration()).unwrap();
    let server = format!(
        "[servers.notes]\ncommand = [{program:?}, \"bundled\", \"notes\"]\ntools = {{ list_notes = \"read\" }}\n"
    );
    std::fs::write(company.checkpoint.configuration(), format!("{server}{text}")).unwrap();
    std::fs::create_dir(company.checkpoint.folder().join("policies")).unwrap();
    let rule = "permit(principal in Group::\"readers\", action, resource in Server::\"notes\");";
    std::fs::write(company.checkpoint.folder().join("policies/a.cedar"), rule).unwrap();
    company.checkpoint = company.checkpoint.restart().await;
    let mut browser = Chromium::open().await;
    for (groups, expected) in [(json!(["engineers"]), true), (json!([]), false), (json!(["engineers"]), true)] {
        let person = json!({ "groups": groups, "preferred_username": "ada" });
        let url = format!("{}/admin/people/ada", company.provider.url);
        let put = Caller::new().request(http::Method::PUT, &url).json(&person).send().await;
        assert_eq!(put.status, 204);
        browser.goto(&company.url("/login")).await;
        browser.press("Sign in with The Company").await;
        if browser.step(&json!({ "see": true })).await["url"].as_str().unwrap().starts_with(&company.provider.url) {
            browser.fill("username", "ada").await;
            browser.press("sign in").await;
        }
        browser.expect("Signed in as corp:ada").await;
        let said = company.groups("list_notes").await;
        assert_eq!(said.contains("readers") || said.contains("a.cedar"), expected, "{groups}: {said}");
        browser.press("Sign out").await;
    }
}

/// A provider that is restarted while somebody stands before its form, and after it has answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_restarted_in_the_middle() {
    let mut company = Company::start("").await;
    let mut browser = Chromium::open().await;
    browser.goto(&company.url("/login")).await;
    browser.press("Sign in with The Company").await;
    browser.fill("username", "ada").await;
    company.restart_provider().await;
    // Its form is void now. The person begins again at our page and comes in.
    browser.press("sign in").await;
    sign_in(&company, &mut browser).await;
    // The keys are new as well, so the next sign-in has to fetch them.
    company.restart_provider().await;
    browser.press("Sign out").await;
    // One fetch a minute at most: until then the page says what to do.
    let begun = tokio::time::Instant::now();
    loop {
        browser.goto(&company.url("/login")).await;
        browser.press("Sign in with The Company").await;
        let seen = browser.step(&json!({ "see": true })).await;
        if seen["url"].as_str().unwrap().starts_with(&company.provider.url) {
            browser.fill("username", "ada").await;
            browser.press("sign in").await;
        }
        let seen = browser.step(&json!({ "see": true })).await;
        if has(&seen, "Signed in as corp:ada") {
            break;
        }
        assert!(has(&seen, "cannot be believed") || has(&seen, "cannot be reached"), "{seen:#}");
        assert!(begun.elapsed() < Duration::from_secs(180), "the new keys are never fetched: {seen:#}");
    }
}

/// A provider that hangs, fails or lies: a page within bounded time that says what to do, and a record that says what was wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_told_what_to_do_when_a_provider_is_away() {
    let provider = Provider::start(Behaves::Generic).await.unwrap();
    provider.register(CLIENT, SECRET);
    let toml = format!(
        "[[login.provider]]\nname = \"corp\"\nlabel = \"The Company\"\nissuer = {:?}\nclient_id = {CLIENT:?}\n\
         client_secret = {SECRET:?}\n",
        provider.issuer()
    );
    let checkpoint = Checkpoint::configured(&toml).owner("alice", PASSWORD).start().await;
    let mut browser = Chromium::open().await;
    for (misconduct, says, hint) in [
        (Misconduct::Hangs("token"), "cannot be reached, or does not answer", "Try again in a minute"),
        (Misconduct::Fails("token"), "cannot be reached, or does not answer", "Try again in a minute"),
        (Misconduct::OtherKey, "cannot be believed", "Tell the operator"),
        (
            Misconduct::Says("groups", json!([{ "id": 1 }])),
            "in which groups you are cannot be told",
            "Tell the operator",
        ),
    ] {
        provider.misbehave(misconduct.clone());
        let begun = tokio::time::Instant::now();
        browser.goto(&format!("{}/login", checkpoint.base_url())).await;
        browser.press("Sign in with The Company").await;
        let seen = browser.expect(says).await;
        assert!(has(&seen, hint) && has(&seen, "rid_"), "{misconduct:?}: {seen:#}");
        assert!(begun.elapsed() < Duration::from_secs(40), "{misconduct:?}: {:?}", begun.elapsed());
    }
    // UserInfo about somebody else: only where the token lacks a claim that is read.
    provider.misbehave_in(&[Misconduct::Says("groups", Value::Null), Misconduct::OtherPerson("grace-1".to_owned())]);
    browser.goto(&format!("{}/login", checkpoint.base_url())).await;
    browser.press("Sign in with The Company").await;
    browser.expect("cannot be reached, or does not answer").await;
    let records = checkpoint.records().await;
    let last = records.iter().rfind(|row| row["record"]["event"]["act"] == "login_failed").unwrap();
    assert!(last["record"]["event"]["detail"].as_str().unwrap().contains("about somebody else"), "{last}");
    provider.behave();
    browser.goto(&format!("{}/login", checkpoint.base_url())).await;
    browser.press("Sign in with The Company").await;
    browser.expect("Signed in as corp:ada").await;
}
