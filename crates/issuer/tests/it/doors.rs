//! The doors behind which sessions lie on plain http (ATK-142).

use http::StatusCode;
use http::header::SET_COOKIE;

use crate::harness::{Ask, PASSWORD, Reply, Site};

const LOOPBACK: &str = "http://127.0.0.1/callback";
const USED: &str = "http://127.0.0.1:51763/callback";

fn cookies(reply: &Reply) -> Vec<&str> {
    reply.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect()
}

/// What the script reads on a page: the door, or what lies behind one.
fn told<'a>(page: &'a Reply, name: &str) -> Option<&'a str> {
    page.body.split_once(&format!(" data-{name}=\""))?.1.split('"').next()
}

/// ATK-142: signing in leads behind a door, where every link and form stays; the pages tell the script no more than it needs.
#[tokio::test]
async fn a_session_lies_behind_its_door() {
    let site = Site::new().await;
    let mut browser = site.browser();
    let login = browser.get("/login").await;
    assert_eq!((told(&login, "entry"), told(&login, "door")), (Some(""), None));
    let fields = [("csrf", login.csrf()), ("username", "owner".to_owned()), ("password", PASSWORD.to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let wrong = browser.post("/login", &[("csrf", &login.csrf()), ("username", "owner"), ("password", "no")]).await;
    assert_eq!((told(&wrong, "entry"), wrong.body.contains("<script")), (None, false), "what was wrong stays there");
    let reply = browser.post("/login", &fields).await;
    let door = reply.header("location").to_owned();
    assert!(door.starts_with("/~sks_bd_") && door.matches('/').count() == 1, "{door}");
    let set = cookies(&reply);
    assert!(set[0].starts_with("sekisho_8420=sks_bs_") && set[0].contains(&format!("; Path={door};")), "{set:?}");
    assert!(set[1].starts_with("sekisho_8420_known=") && set[1].contains("; Path=/;"), "{set:?}");
    let home = browser.get(&door).await;
    assert_eq!((told(&home, "entry"), told(&home, "door")), (None, door.strip_prefix("/~")));
    for (tag, name) in [("<a ", "href"), ("<form ", "action")] {
        for link in home.as_sent.split(tag).skip(1).filter_map(|rest| rest.split_once(&format!("{name}=\""))) {
            assert!(link.1.starts_with(&door), "a link out of the session: {}", link.1);
        }
    }
}

/// ATK-142: proving who one is once more closes the old door, and leads behind the new one.
#[tokio::test]
async fn signing_in_again_changes_the_door() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let mut owner = site.signed_in("owner").await;
    let old = owner.door.clone().unwrap();
    site.clock.advance_seconds(1);
    let (path, on) = owner.open(&Ask::new(&site, &client, USED).set("prompt", "login")).await;
    assert!(on.header("location").starts_with(&format!("{old}/login?request=")), "{:?}", on.headers);
    let login = owner.get(on.header("location")).await;
    assert_eq!((told(&login, "entry"), told(&login, "door")), (None, old.strip_prefix("/~")), "no way around the form");
    let fields = [
        ("csrf", login.csrf()),
        ("request", login.values("request").remove(0)),
        ("username", "owner".to_owned()),
        ("password", PASSWORD.to_owned()),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let reply = owner.post("/login", &fields).await;
    let new = owner.door.clone().unwrap();
    assert_ne!(new, old);
    assert_eq!(reply.header("location"), format!("{new}{path}"));
    let set = cookies(&reply);
    assert!(set[0].contains(&format!("=; Path={old};")) && set[0].ends_with("Max-Age=0"), "{set:?}");
    assert!(owner.get(&path).await.body.contains("value=\"approve\""));
    let closed = owner.get(&format!("{old}/records?before=x")).await;
    let expected = format!("/records?before=x{}", old.replacen('/', "#", 1));
    assert_eq!((closed.status, closed.header("location")), (StatusCode::SEE_OTHER, expected.as_str()));
}

/// A door that we did not make, or behind which nobody is signed in, leads nowhere else and tells nothing.
#[tokio::test]
async fn a_door_without_a_session_leads_before_it() {
    let site = Site::new().await;
    let owner = site.signed_in("owner").await;
    let door = owner.door.clone().unwrap();
    let mut stranger = site.browser();
    let closed = stranger.get(&door).await;
    assert_eq!(
        (closed.status, closed.header("location")),
        (StatusCode::SEE_OTHER, format!("/{}", door.replacen('/', "#", 1)).as_str())
    );
    let unknown = door.replace("sks_bd_", "sks_bs_");
    for (path, status) in [(unknown.as_str(), 404), ("/~", 404), ("/~x/records", 404), ("/nope", 404)] {
        stranger.headers.insert("accept", "text/html".parse().unwrap());
        let page = stranger.get(path).await;
        assert_eq!(page.status.as_u16(), status, "{path}");
        assert!(page.body.contains("There is no page here") && page.body.contains("/mcp/NAME"), "{}", page.body);
        stranger.headers.remove("accept");
        assert!(stranger.get(path).await.body.starts_with("there is nothing at this address"), "{path}");
    }
    // A form that is sent through a closed door is answered as one of somebody who is not signed in.
    let form = stranger.post(&format!("{door}/agents/end"), &[("csrf", "x")]).await;
    assert_eq!((form.status, form.body.contains(&door)), (StatusCode::FORBIDDEN, false), "{}", form.body);
}

/// On https nothing has a door: the cookie is a `__Host-` cookie for all paths, and no page has a script.
#[tokio::test]
async fn there_are_no_doors_on_https() {
    let site = Site::at("https://sekisho.example", |settings| settings).await;
    let mut browser = site.browser();
    let login = browser.get("/login").await;
    assert!(!login.body.contains("<script") && !login.header("content-security-policy").contains("script-src"));
    let fields = [("csrf", login.csrf()), ("username", "owner".to_owned()), ("password", PASSWORD.to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let reply = browser.post("/login", &fields).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/"));
    assert!(cookies(&reply)[0].starts_with("__Host-sekisho=sks_bs_") && cookies(&reply)[0].contains("; Path=/;"));
    let home = browser.get("/").await;
    assert!(home.body.contains("<strong>owner</strong>") && !home.body.contains("<script"), "{}", home.body);
    assert!(!home.header("content-security-policy").contains("script-src"));
    let door = site.signed_in("owner").await;
    assert_eq!(door.door, None);
}
