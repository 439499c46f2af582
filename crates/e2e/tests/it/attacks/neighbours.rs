//! Servers at other ports of our host name: cookies do not depend on the port (RFC 6265 §8.5), so browsers send ours
//! there too.

use std::collections::BTreeSet;

use sekisho_e2e::fakes::browser::{Browser, Landing};
use sekisho_e2e::fakes::oauth::code_in;
use sekisho_e2e::fakes::wire::Ask;
use sekisho_e2e::harness::{BrowserState, Person, node};
use serde_json::{Value, json};

use super::field::{Field, OWNER, PASSWORD, UP};

/// ATK-142: Debian's Chromium signs in, and visits another port of the same name at every path that could matter. What
/// that server receives opens nothing of ours, and it does not learn the door. The person continues without signing in
/// again, and a closed door is forgotten without redirect loops.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_at_another_port_gets_nothing_of_a_session() {
    let field = Field::start().await;
    for script in [true, false] {
        let mut arguments = vec![field.base_url(), "--user", OWNER, "--password", PASSWORD];
        arguments.extend((!script).then_some("--no-script"));
        let outcome = node::run("neighbour", &arguments).await.worked();
        let seen = &outcome.result;
        // Without script, the person has to sign in again at a URL without a door.
        assert_eq!((&seen["own"], &seen["back"]), (&json!(true), &json!(script)), "{seen:#}");
        assert_eq!(seen["doors"], json!({ "there": true, "told": false }), "{seen:#}");
        let port = field.address.port();
        let shown: BTreeSet<&str> = seen["shown"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let names = [format!("sekisho_{port}_browser"), format!("sekisho_{port}_known")];
        assert_eq!(shown, names.iter().map(String::as_str).collect(), "what a neighbour is shown");
        let replies = seen["replies"].as_array().unwrap();
        assert!(replies.len() > 8, "{seen:#}");
        for reply in replies {
            assert_eq!(reply["own"], json!(false), "a replay shows the person's page: {reply}");
            assert!(!reply["location"].as_str().unwrap().starts_with("/~"), "a replay is let through a door: {reply}");
        }
        assert_eq!((&seen["storage"], &seen["stale"]["own"]), (&json!({}), &json!(false)), "{seen:#}");
        assert_eq!(seen["stale"]["path"], json!("/"), "{seen:#}");
        // The first page through the closed door and back, and once more to the closed door.
        assert!(seen["stale"]["navigations"].as_u64().unwrap() <= 6, "{seen:#}");
        assert_eq!(seen["complaints"], json!([]), "the browser complains");
    }
}

/// Returns all cookies of a browser that are valid for every path, as a neighbour receives them.
fn shown_to_neighbours(browser: &Browser) -> String {
    let session = format!("sekisho_{}", browser.origin().rsplit(':').next().unwrap());
    let pairs = browser.cookies().into_iter().filter(|(name, _)| *name != session);
    pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

/// ATK-142: neither the cookie alone nor the door alone opens any page; together they are a session.
#[tokio::test]
async fn neither_half_of_a_session_is_worth_anything_alone() {
    let field = Field::start().await;
    let mut browser = Browser::new(field.base_url());
    assert_eq!(browser.sign_in(OWNER, PASSWORD).await, 303);
    let name = format!("sekisho_{}", field.address.port());
    let cookie = format!("{name}={}", browser.cookies()[&name]);
    let door = browser.door().unwrap().to_owned();
    let mut other = Browser::new(field.base_url());
    assert_eq!(other.sign_in(OWNER, PASSWORD).await, 303);
    let other_door = other.door().unwrap().to_owned();
    let own = |text: &str| text.contains(&format!("<strong>{OWNER}</strong>"));
    for page in ["", "/records", "/servers/up/tools"] {
        let whole = field.ask(&Ask::get(&format!("/~{door}{page}")).header("cookie", &cookie)).await;
        assert_eq!((whole.status, own(&whole.text())), (200, true), "{page}");
        let at = if page.is_empty() { "/" } else { page };
        for (what, ask) in [
            ("the cookie without a door", Ask::get(at).header("cookie", &cookie)),
            ("the cookie with no door of ours", Ask::get(&format!("/~x{page}")).header("cookie", &cookie)),
            ("the cookie and another door", Ask::get(&format!("/~{other_door}{page}")).header("cookie", &cookie)),
            ("the door without the cookie", Ask::get(&format!("/~{door}{page}"))),
            ("the door in another spelling", Ask::get(&format!("/%7E{door}{page}")).header("cookie", &cookie)),
        ] {
            let reply = field.ask(&ask).await;
            assert!(!own(&reply.text()), "{what} at {page}: {}", reply.text());
            assert!(reply.header("location").is_none_or(|to| !to.starts_with("/~")), "{what} at {page}: {reply:?}");
        }
    }
    // Only pages for people are behind a door.
    for (method, path) in [("POST", "/oauth/token"), ("GET", "/oauth/jwks"), ("POST", UP), ("GET", "/healthz")] {
        let reply = field.ask(&Ask::new(method, &format!("/~{door}{path}")).header("cookie", &cookie)).await;
        assert_eq!(reply.status, 404, "{method} {path}: {}", reply.text());
    }
    field.lets_in().await;
}

/// ATK-142: with the cookies that a neighbour does receive, it can compute form values for pages without a session.
/// They cannot grant, end or sign out anything, even if the neighbour knows the request.
#[tokio::test]
async fn a_neighbour_can_send_no_form_of_a_session() {
    let field = Field::start().await;
    let client = field.client().await;
    let mut victim = Browser::new(field.base_url());
    let link = client.link(&client.wish(&field.resource(UP), "mcp:read"));
    let page = victim.to_grant_page(&link, OWNER, PASSWORD).await;
    let form = page.form().unwrap().press("approve");
    let pending = form.action.rsplit('/').next().unwrap().to_owned();
    let stolen = shown_to_neighbours(&victim);
    assert!(stolen.contains("_browser=") && stolen.contains("_known="), "{stolen}");
    let client_page = field.ask(&Ask::get(&format!("/consent/{pending}")).header("cookie", &stolen)).await.text();
    let home = field.ask(&Ask::get("/login").header("cookie", &stolen)).await.text();
    let values: Vec<String> = [client_page, home]
        .iter()
        .flat_map(|page| sekisho_e2e::fakes::browser::forms(page))
        .map(|form| form.value("csrf").to_owned())
        .collect();
    assert!(values.iter().filter(|value| value.starts_with("sks_cf_")).count() == 2, "{values:?}");
    for csrf in &values {
        for path in [format!("/consent/{pending}"), "/logout".to_owned(), "/agents/end".to_owned()] {
            let fields = [("csrf", csrf.as_str()), ("decision", "approve"), ("scope", "mcp:read")];
            let reply = field.ask(&Ask::post(&path).header("cookie", &stolen).form(&fields)).await;
            assert!(reply.header("location").is_none_or(|to| code_in(to).is_none()), "{path}: {reply:?}");
        }
    }
    assert_eq!(field.checkpoint.ask(&["grant", "list"]).await[0]["grants"], json!([]));
    // The person is still signed in, and answers the request.
    let Landing::Away(to) = victim.submit(&form).await else { panic!("the honest answer still works") };
    assert!(code_in(&to).is_some());
    field.lets_in().await;
}

/// ATK-142: a neighbour with its own account puts its own session into a person's browser and redirects that browser to
/// it. The session is not accepted from there.
#[tokio::test]
async fn nobody_is_led_into_a_foreign_session() {
    let field = Field::start().await;
    let mut browser = Browser::new(field.base_url());
    assert_eq!(browser.sign_in(OWNER, PASSWORD).await, 303);
    let door = format!("/~{}", browser.door().unwrap());
    for (site, status) in [("none", 200), ("same-origin", 200), ("same-site", 303), ("cross-site", 303)] {
        let reply = browser.send(Ask::get(&door).header("sec-fetch-site", site)).await;
        assert_eq!(reply.status, status, "{site}: {}", reply.text());
        let closed = format!("/#{}", door.trim_start_matches('/'));
        assert_eq!(reply.header("location"), (status == 303).then_some(closed.as_str()), "{site}");
    }
}

/// ATK-142: a browser without script has to sign in once more at a URL without a door, and loses nothing else: links
/// and forms keep the door, an approval is accepted, and a closed door leads back to the page before it.
#[tokio::test]
async fn a_browser_without_script_loses_nothing_but_a_sign_in() {
    let field = Field::start().await;
    let client = field.client().await;
    let mut person = Person::new(OWNER, PASSWORD).without_script();
    let link = client.link(&client.wish(&field.resource(UP), "mcp:read"));
    for _ in 0..2 {
        let code = code_in(&person.answer(&link).await).expect("a code");
        client.granted(&client.token(&client.redemption(&code)).await);
    }
    let BrowserState::Page { url, answer } = person.visit(&format!("{}/login", field.base_url())).await else {
        panic!("a page")
    };
    let login = sekisho_e2e::harness::forms(&answer.text()).into_iter().find(|form| form.has("password"));
    let mut login = login.expect("a form to sign in");
    login.fill("username", OWNER);
    login.fill("password", PASSWORD);
    let BrowserState::Page { url: home, answer } = person.submit(&url, &login).await else { panic!("a page") };
    assert!(home.contains("/~"), "{home}");
    let text = answer.text();
    let links: Vec<_> = sekisho_e2e::harness::links(&text).into_iter().filter(|link| link.starts_with('/')).collect();
    assert!(links.len() > 2, "{links:?}");
    for link in links {
        let page = person.visit(&format!("{}{link}", field.base_url())).await.page().text();
        assert!(page.contains(&format!("<strong>{OWNER}</strong>")), "{link} leads out of the session");
    }
    let out = sekisho_e2e::harness::forms(&text).into_iter().find(|form| form.action.ends_with("/logout")).unwrap();
    let BrowserState::Page { url, .. } = person.submit(&home, &out).await else { panic!("a page") };
    assert!(!url.contains("/~"), "{url}");
    let BrowserState::Page { url, answer } = person.visit(&home).await else { panic!("a page") };
    assert!(!url.contains("/~") && answer.text().contains("href=\"/login\""), "{url}: {}", answer.text());
}
