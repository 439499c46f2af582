//! Consent, set-up links, resets and owners: a person's decisions take effect, and access that has ended stays ended.

use std::time::Duration;

use sekisho_e2e::fakes::browser::{Browser, Landing, PageForm};
use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::oauth::{Client, Granted, Parameters, code_in};
use sekisho_e2e::fakes::upstream::Speaks;
use sekisho_e2e::harness::Person;
use sekisho_e2e::harness::wait::within;
use sekisho_protocol::env::Timestamp;

use super::field::{Field, OWNER, PASSWORD, UP, USER};

const STAYING: &str = "mcp:read mcp:write offline_access";

/// Lets this browser approve a client, with a changed form on the grant page. Returns what the client gets.
async fn let_in(
    browser: &mut Browser,
    client: &Client,
    wish: &Parameters,
    change: impl FnOnce(PageForm) -> PageForm,
) -> Granted {
    let page = browser.to_grant_page(&client.link(wish), OWNER, PASSWORD).await;
    let form = change(page.form().unwrap()).press("approve");
    let Landing::Away(url) = browser.submit(&form).await else { panic!("consent leads to the client") };
    let code = code_in(&url).unwrap_or_else(|| panic!("no code in {url}"));
    client.granted(&client.token(&client.redemption(&code)).await)
}

fn without(mut form: PageForm, name: &str, value: &str) -> PageForm {
    let before = form.fields.len();
    form.fields.retain(|(found, other)| found != name || other != value);
    assert_ne!(form.fields.len(), before, "there is no ticked box {name}={value}");
    form
}

async fn status(field: &Field, granted: &Granted, name: &str) -> u16 {
    field.ask(&tool(UP, &granted.access, name)).await.status
}

/// Checks that the grant's end takes effect within a second.
async fn ends(field: &Field, granted: &Granted) {
    within(Duration::from_secs(2), "the end of an access token", async || {
        (status(field, granted, "look").await == 401).then_some(())
    })
    .await;
    assert_eq!(refreshed(granted).await, 400);
}

async fn refreshed(granted: &Granted) -> u16 {
    granted.client.token(&granted.client.refreshing(&granted.refresh)).await.status
}

/// ATK-123: a client stays connected while its person is away only if the person agreed: not if the box was unticked,
/// and not if the client never asked. Until the person signs out, all refresh tokens work.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_stays_connected_unasked() {
    let field = Field::start().await;
    let mut browser = Browser::new(field.base_url());
    let client = field.client().await;
    let asks = client.wish(&field.resource(UP), "mcp:read offline_access");
    let silent = client.wish(&field.resource(UP), "mcp:read");
    let kept = let_in(&mut browser, &client, &asks, |form| form).await;
    let unticked = let_in(&mut browser, &client, &asks, |form| without(form, "scope", "offline_access")).await;
    let never = let_in(&mut browser, &client, &silent, |form| form).await;
    let ticked = let_in(&mut browser, &client, &silent, |mut form| {
        form.fields.push(("scope".to_owned(), "offline_access".to_owned()));
        form
    })
    .await;
    for granted in [&kept, &unticked, &never, &ticked] {
        assert_eq!(status(&field, granted, "look").await, 200);
    }
    assert!(matches!(browser.press_at_home("/logout").await, Landing::Page(_)));
    for granted in [&unticked, &never] {
        ends(&field, granted).await;
    }
    for granted in [&kept, &ticked] {
        assert_eq!((refreshed(granted).await, status(&field, granted, "look").await), (200, 200));
    }
    // A code that was not exchanged yet when the person signs out is worthless.
    let page = browser.to_grant_page(&client.link(&silent), OWNER, PASSWORD).await;
    let form = page.form().unwrap().press("approve");
    let Landing::Away(url) = browser.submit(&form).await else { panic!("consent leads to the client") };
    let _ = browser.press_at_home("/logout").await;
    let late = client.token(&client.redemption(&code_in(&url).unwrap())).await;
    assert_eq!((late.status, &late.json()["error"]), (400, &"invalid_grant".into()));
    field.noted("token_refused").await;
    field.lets_in().await;
}

/// ATK-124: every other box on the consent page has an effect: a scope, a tool, a task from a template, a purpose, an
/// end.
#[tokio::test(flavor = "multi_thread")]
async fn every_box_on_the_consent_page_counts() {
    let template = "[servers.up.templates.glance]\npurpose = \"look around\"\ntools = [\"look\"]\n";
    let field = Field::before(Speaks::Modern, template).await;
    // The server's tools are known after its first call.
    field.is_healthy(&field.granted(OWNER, "mcp:read").await).await;
    let mut browser = Browser::new(field.base_url());
    let client = field.client().await;
    let wish = client.wish(&field.resource(UP), STAYING);
    let whole = let_in(&mut browser, &client, &wish, |form| form).await;
    assert_eq!((status(&field, &whole, "look").await, status(&field, &whole, "keep").await), (200, 200));
    type Narrowing = fn(PageForm) -> PageForm;
    let narrowings: [(&str, Narrowing); 5] = [
        ("a scope", |form| without(form, "scope", "mcp:write")),
        ("a tool", |form| without(form, "use", "keep")),
        ("a template", |form| form.fill("template", "glance")),
        ("a purpose", |form| without(form.fill("purpose", "look around"), "use", "keep")),
        ("an end", |form| form.fill("end", "hour")),
    ];
    for (what, change) in narrowings {
        let granted = let_in(&mut browser, &client, &wish, change).await;
        assert_eq!(status(&field, &granted, "look").await, 200, "{what}");
        let keep = status(&field, &granted, "keep").await;
        if what == "an end" {
            let id = granted.claim("grant");
            let listed = field.checkpoint.ask(&["grant", "list"]).await[0]["grants"].clone();
            let grant = listed.as_array().unwrap().iter().find(|grant| grant["id"] == id).unwrap().clone();
            let time = |member: &str| grant[member].as_str().unwrap().parse::<Timestamp>().unwrap();
            let lasts = time("ends").duration_since(time("created")).as_secs();
            assert!(keep == 200 && (3590..=3600).contains(&lasts), "{keep}, {lasts} seconds: {grant}");
        } else {
            assert_eq!(keep, 403, "{what}");
        }
    }
    field.is_healthy(&whole).await;
}

/// Returns the one-time link that the operator creates for a user.
async fn link(field: &Field, user: &str) -> String {
    let said = field.checkpoint.ask(&["user", "link", user]).await;
    format!("{}/setup/{}", field.base_url(), said[0]["token"].as_str().unwrap())
}

/// ATK-128, ATK-129: only the newest set-up link works. With the new password, every browser is signed out and every
/// agent of the user loses its access.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_ends_what_came_before() {
    let field = Field::start().await;
    let granted = field.granted(USER, "mcp:read offline_access").await;
    let owners = field.granted(OWNER, "mcp:read").await;
    let mut before = Browser::new(field.base_url());
    assert_eq!(before.sign_in(USER, PASSWORD).await, 303);
    let (older, newer) = (link(&field, USER).await, link(&field, USER).await);
    let mut browser = Browser::new(field.base_url());
    let Landing::Page(page) = browser.open(&older).await else { panic!("a link leads to a page") };
    assert_eq!(page.reply.status, 404, "an older link does not work: {}", page.reply.text());
    assert_eq!(status(&field, &granted, "look").await, 200, "nothing has happened yet");
    Person::new(USER, "seven green bicycles").set_up(&newer).await;
    ends(&field, &granted).await;
    let Landing::Page(home) = before.open(&format!("{}/", field.base_url())).await else { panic!("no home page") };
    assert!(
        !home.reply.text().contains("/logout"),
        "a browser of the old password is signed in: {}",
        home.reply.text()
    );
    assert_eq!(status(&field, &owners, "look").await, 200, "nobody else is concerned");
    field.noted("password_set").await;
    field.is_healthy(&owners).await;
}

/// ATK-129: one command, or one button on the page, ends every agent of a person, or those of everybody.
#[tokio::test(flavor = "multi_thread")]
async fn all_agents_end_at_once() {
    let field = Field::start().await;
    let user = async || [field.granted(USER, "mcp:read").await, field.granted(USER, "mcp:write offline_access").await];
    let owners = field.granted(OWNER, "mcp:read offline_access").await;
    let by_page = user().await;
    let mut browser = Browser::new(field.base_url());
    assert_eq!(browser.sign_in(USER, PASSWORD).await, 303);
    assert!(matches!(browser.press_at_home("/agents/end").await, Landing::Page(_)));
    for granted in &by_page {
        ends(&field, granted).await;
    }
    field
        .recorded("the end of all", |event| {
            event["act"] == "grants_revoked"
                && event["detail"].as_str().is_some_and(|detail| detail.contains("2 grants"))
        })
        .await;
    let by_command = user().await;
    field.checkpoint.ask(&["grant", "revoke", "--user", USER]).await;
    for granted in &by_command {
        ends(&field, granted).await;
    }
    assert_eq!(status(&field, &owners, "look").await, 200, "another user's agent goes on");
    field.checkpoint.ask(&["grant", "revoke", "--all"]).await;
    ends(&field, &owners).await;
    field.lets_in().await;
}

/// ATK-130: the only owner who can sign in cannot be disabled or made a user. A disabled user can be enabled again, but
/// grants that have ended stay ended.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_owner_stays() {
    let field = Field::start().await;
    for words in [&["user", "disable", OWNER][..], &["user", "role", OWNER, "user"]] {
        let refused = field.checkpoint.command(words).await;
        assert_eq!(refused.code(), Some(1), "{words:?}: {}", refused.stdout);
        assert!(refused.stderr.contains("only owner"), "{}", refused.stderr);
    }
    let granted = field.granted(USER, "mcp:read offline_access").await;
    let (old, mut browser) = (link(&field, USER).await, Browser::new(field.base_url()));
    field.checkpoint.ask(&["user", "disable", USER]).await;
    assert_eq!(browser.sign_in(USER, PASSWORD).await, 401);
    // No link is created for a disabled user, because it would not work.
    let refused = field.checkpoint.command(&["user", "link", USER]).await;
    assert_eq!(refused.code(), Some(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("sekisho user enable"), "{}", refused.stderr);
    field.checkpoint.ask(&["user", "enable", USER]).await;
    assert_eq!(browser.sign_in(USER, PASSWORD).await, 303);
    ends(&field, &granted).await;
    let Landing::Page(page) = browser.open(&old).await else { panic!("a link leads to a page") };
    assert_eq!(page.reply.status, 404, "a link from before does not come back");
    field.lets_in().await;
}
