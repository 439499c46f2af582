//! Linked accounts from outside: links that somebody else finishes, answers at the wrong place, upstreams and vendors
//! that want a credential elsewhere, and every place where a credential could be seen.

use http::header::ORIGIN;
use sekisho_e2e::fakes::canary::Canary;
use sekisho_e2e::harness::{BrowserState, Caller, Form, Mcp, Person, links, text_of, wait};
use sekisho_protocol::mcp::method::Revision;
use serde_json::json;

use crate::linked::{PASSWORD, World, form, remedy, setup, table, whoami};

const MODERN: Revision = Revision::V2026_07_28;

/// Two people who are signed in, each in a browser of their own.
async fn two(world: &World) -> (Person, Person) {
    let (mut mallory, mut victim) = (Person::new("alice", PASSWORD), Person::new("bob", PASSWORD));
    world.let_in(&mut mallory, "files").await;
    world.let_in(&mut victim, "files").await;
    (mallory, victim)
}

/// Nothing is linked for anybody, and no code was exchanged.
async fn nothing_linked(world: &World) {
    let listed = world.checkpoint.ask(&["link", "list"]).await;
    assert!(listed.iter().all(|row| row["links"].as_array().is_none_or(Vec::is_empty)), "{listed:?}");
    assert!(world.vendor.seen().iter().all(|seen| seen.path != "/token"), "a code went to the vendor");
}

async fn is_recorded(world: &World) {
    let records = world.checkpoint.ask(&["audit", "export"]).await;
    assert!(records.iter().any(|record| record.to_string().contains("account_link_refused")), "{records:?}");
}

/// ATK-400, ATK-82, PX-14: an attacker begins a link and has somebody else finish it, who is signed in, signed out, or in
/// the attacker's own second browser. Nothing is stored, and the attacker's own browser can still finish it.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_finished_by_the_browser_that_began_it() {
    let world = World::start().await;
    let (mut mallory, mut victim) = two(&world).await;
    let back = world.fetch_answer(&mut mallory, "files", "victims-account").await;
    let mut second = Person::new("alice", PASSWORD);
    world.let_in(&mut second, "files").await;
    for browser in [&mut victim, &mut Person::new("nobody", PASSWORD), &mut second] {
        let BrowserState::Page { answer, .. } = browser.visit(&back).await else { panic!("away") };
        assert_eq!(answer.status, 410, "{}", answer.text());
        assert!(answer.text().contains("Nothing was linked"), "{}", answer.text());
    }
    nothing_linked(&world).await;
    is_recorded(&world).await;
    let BrowserState::Page { url, answer } = mallory.visit(&back).await else { panic!("away") };
    assert_eq!(mallory.submit(&url, &form(&answer.text(), "confirm")).await.page().status, 200);
}

/// ATK-401, ATK-81: an answer counts once, and so does the person's yes; the yes of one person is not that of another in
/// the same browser.
#[tokio::test(flavor = "multi_thread")]
async fn each_step_of_a_link_counts_once_and_for_its_own_session() {
    let world = World::start().await;
    let mut alice = Person::new("alice", PASSWORD);
    world.let_in(&mut alice, "files").await;
    let back = world.fetch_answer(&mut alice, "files", "ada").await;
    let BrowserState::Page { url, answer } = alice.visit(&back).await else { panic!("away") };
    let yes = form(&answer.text(), "confirm");
    assert_eq!(alice.visit(&back).await.page().status, 410, "the answer came twice");
    // The browser is signed in as somebody else when the yes is sent.
    let mut stolen = alice.clone();
    let page = stolen.behind_door(&world.url("/"));
    let out = sekisho_e2e::harness::forms(&stolen.visit(&page).await.page().text());
    let out = out.into_iter().find(|form| form.action.ends_with("/logout")).expect("a way to sign out");
    stolen.submit(&page, &out).await;
    let refused = stolen.submit(&url, &yes).await;
    if let BrowserState::Page { answer, .. } = refused {
        assert!(!answer.text().contains("Your linked account"), "{}", answer.text());
    }
    let mut again = Person::new("alice", PASSWORD);
    world.let_in(&mut again, "files").await;
    let (url, asking) = world.fetch(&mut again, "files", "ada").await;
    let yes = form(&asking.text(), "confirm");
    assert_eq!(again.submit(&url, &yes).await.page().status, 200);
    let twice = again.submit(&url, &yes).await.page();
    assert_eq!(twice.status, 410, "{}", twice.text());
    is_recorded(&world).await;
}

/// ATK-402, ATK-83: an answer for one server counts at no other server's address; one that names another issuer, or says
/// something twice, or has another `state`, exchanges nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_counts_at_its_own_address_and_from_its_own_vendor() {
    let world = World::start().await;
    let mut alice = Person::new("alice", PASSWORD);
    world.let_in(&mut alice, "files").await;
    let back = world.fetch_answer(&mut alice, "files", "ada").await;
    let elsewhere = back.replace("/links/files/", "/links/more/");
    assert_eq!(alice.visit(&elsewhere).await.page().status, 410);
    for forged in [format!("{back}&code=other"), back.replace("state=", "state=x"), back.replace("state=", "other=")] {
        assert_eq!(alice.visit(&forged).await.page().status, 410, "{forged}");
    }
    nothing_linked(&world).await;
    let issuer = url::form_urlencoded::byte_serialize(world.vendor.url("").as_bytes()).collect::<String>();
    let mixed = back.replace(&issuer, "https%3A%2F%2Fevil.example");
    assert_ne!(mixed, back);
    assert_eq!(alice.visit(&mixed).await.page().status, 403);
    nothing_linked(&world).await;
    is_recorded(&world).await;
}

/// ATK-403, ATK-10: a page of another site begins no link, pastes no key, says no yes and removes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_changes_no_link() {
    let world = World::start().await;
    let mut alice = Person::new("alice", PASSWORD);
    world.let_in(&mut alice, "files").await;
    world.link(&mut alice, "files", "ada").await;
    let page = alice.behind_door(&world.url("/links/files"));
    let go = Caller::new().get(&format!("{page}/go")).header("sec-fetch-site", "cross-site");
    let led = alice.send(go).await;
    let vendor = world.vendor.url("");
    assert!(led.location().is_some_and(|to| to.starts_with("/links/files") && !to.contains(&vendor)), "{led:?}");
    let good = form(&alice.visit(&page).await.page().text(), "unlink");
    let without = Form { fields: vec![("decision".to_owned(), "unlink".to_owned())], ..good.clone() };
    assert_eq!(alice.submit(&page, &without).await.page().status, 403);
    let foreign = Caller::new().post(&page).header(ORIGIN.as_str(), "https://evil.example").form(&good.pairs());
    assert_eq!(alice.send(foreign).await.status, 403);
    let listed = world.page(&mut alice, "/links").await.text();
    assert!(listed.contains("ada"), "{listed}");
}

/// ATK-404, ATK-53, PX-10, PX-15: what a caller sends in headers, arguments or `_meta` chooses no account, and the
/// caller's token reaches no vendor.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_caller_sends_chooses_the_account() {
    let world = World::start().await;
    let (mut alice, mut bob) = (Person::new("alice", PASSWORD), Person::new("bob", PASSWORD));
    let tokens = world.let_in(&mut alice, "files").await;
    world.let_in(&mut bob, "files").await;
    world.link(&mut alice, "files", "ada").await;
    world.link(&mut bob, "files", "bobs-account").await;
    let mut client = Mcp::new(&world.checkpoint.server_named("files"), MODERN, Some(&tokens.access));
    world.becomes(&client, "ada").await;
    let meta = json!({ "io.sekisho/user": "bob", "authorization": "Bearer canary-of-the-caller", "sub": "bob" });
    let params = json!({ "name": "whoami", "arguments": { "user": "bob", "sub": "bob" }, "_meta": meta });
    let reply = client.call("tools/call", params).await;
    assert_eq!(text_of(&reply.message["result"]), "ada", "{:?}", reply.message);
    let body = client.request("tools/call", json!({ "name": "whoami", "arguments": {} }));
    let call = client.post(&body);
    let call = ["x-user", "x-forwarded-user", "x-upstream-authorization", "x-api-key", "cookie", "dpop"]
        .into_iter()
        .fold(call, |call, name| call.header(name, "canary-of-the-caller"));
    assert_eq!(call.send().await.status, 200);
    for seen in world.vendor.seen() {
        let headers = format!("{:?}", seen.headers);
        assert!(!headers.contains(&tokens.access) && !seen.body.contains(&tokens.access), "the caller's token went on");
        assert!(!headers.contains("canary-of-the-caller"), "{headers}");
    }
}

/// ATK-405, ATK-88: an upstream and a vendor that redirect get no credential sent after them.
#[tokio::test(flavor = "multi_thread")]
async fn no_credential_follows_a_redirect() {
    let world = World::start().await;
    let canary = Canary::start().await.unwrap();
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    world.link(&mut alice, "files", "ada").await;
    let mut client = Mcp::new(&world.checkpoint.server_named("files"), MODERN, Some(&tokens.access));
    world.becomes(&client, "ada").await;
    world.vendor.conduct(|conduct| conduct.redirects = Some(canary.url("/mcp")));
    let reply = client.tool("whoami", json!({})).await;
    assert_eq!(reply.status, 502, "{:?}", reply.message);
    // A new link asks the vendor whose account it is, and is redirected there as well.
    let back = world.fetch_answer(&mut alice, "files", "ada").await;
    assert_eq!(alice.visit(&back).await.page().status, 502);
    assert!(canary.visits().is_empty(), "{:?}", canary.visits());
}

/// ATK-406, ATK-87: an upstream that names another authorization server later gets no token of the old one: the account
/// is renewed where it was linked.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_only_where_it_was_granted() {
    let world = World::start().await;
    let canary = Canary::start().await.unwrap();
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    world.link(&mut alice, "files", "ada").await;
    let client = Mcp::new(&world.checkpoint.server_named("files"), MODERN, Some(&tokens.access));
    world.becomes(&client, "ada").await;
    let stolen = canary.url("/mcp");
    world.vendor.conduct(|conduct| {
        conduct.claims = vec![("token_endpoint", stolen.clone()), ("revocation_endpoint", stolen.clone())];
    });
    world.vendor.end_access("ada");
    assert_eq!(whoami(&mut client.clone()).await, "ada");
    assert_eq!(world.vendor.refreshes(), 1);
    world.unlink(&mut alice, "files").await;
    wait::until("the token was given back where it was granted", || async {
        (!world.vendor.revoked().is_empty()).then_some(())
    })
    .await;
    assert!(canary.visits().is_empty(), "{:?}", canary.visits());
}

/// ATK-407, ATK-86: an authorization endpoint that is no https URL sends nobody anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_a_url_that_is_none_for_browsers() {
    let world = World::start().await;
    let mut alice = Person::new("alice", PASSWORD);
    world.let_in(&mut alice, "files").await;
    let page = alice.behind_door(&world.url("/links/files"));
    for endpoint in [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "data:text/html,x",
        "http://evil.example/authorize",
        "https://user:pass@evil.example/authorize",
        "-x",
        "",
    ] {
        world.vendor.conduct(|conduct| conduct.claims = vec![("authorization_endpoint", endpoint.to_owned())]);
        let text = alice.visit(&page).await.page().text();
        let go = links(&text).into_iter().find(|link| link.ends_with("/go")).expect("a way to the vendor");
        match alice.visit(&world.url(&go)).await {
            BrowserState::Page { answer, .. } => assert_eq!(answer.status, 502, "{endpoint}: {}", answer.text()),
            BrowserState::Away(to) => panic!("{endpoint} led to {to}"),
        }
    }
    is_recorded(&world).await;
}

/// ATK-408, PX-13, ATK-79: an upstream that refuses the account is not relayed: the client sees no challenge and no
/// address of the upstream, only the page of the checkpoint.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstreams_challenge_is_not_relayed() {
    let world = World::start().await;
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    world.link(&mut alice, "files", "ada").await;
    let mut client = Mcp::new(&world.checkpoint.server_named("files"), MODERN, Some(&tokens.access));
    world.becomes(&client, "ada").await;
    world.vendor.conduct(|conduct| conduct.refuses_all = true);
    let reply = client.tool("whoami", json!({})).await;
    assert_eq!(remedy(&reply)["url"], world.url("/links/files"), "{:?}", reply.message);
    let vendor = world.vendor.url("");
    assert!(reply.answer.header("www-authenticate").is_none() && !reply.answer.text().contains(&vendor));
}

/// ATK-409, ATK-58, PX-14: a vendor's tokens, a key, a client secret and a refresh token are in no log at TRACE level, no record,
/// no page, no error and no answer, and in the data directory only sealed.
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_seen_nowhere() {
    let vendor = sekisho_e2e::fakes::vendor::Vendor::start().await.unwrap();
    let toml = format!("{}{}", table("files", &vendor, ""), table("keyed", &vendor, "link = \"key\""));
    let checkpoint = setup(&toml).variable("SEKISHO_LOG", "trace").variable("RUST_LOG", "trace").start().await;
    let world = World { vendor, checkpoint };
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    let keyed = world.let_in(&mut alice, "keyed").await;
    let mut pages = vec![world.link(&mut alice, "files", "ada").await];
    let key = world.vendor.key("ada-by-key");
    let BrowserState::Page { url, answer } = world.paste(&mut alice, "keyed", &key).await else { panic!("away") };
    pages.push(answer.text());
    pages.push(alice.submit(&url, &form(&answer.text(), "confirm")).await.page().text());
    let client = Mcp::new(&world.checkpoint.server_named("files"), MODERN, Some(&tokens.access));
    world.becomes(&client, "ada").await;
    let by_key = Mcp::new(&world.checkpoint.server_named("keyed"), MODERN, Some(&keyed.access));
    world.becomes(&by_key, "ada-by-key").await;
    world.vendor.end_access("ada");
    assert_eq!(whoami(&mut client.clone()).await, "ada");
    world.vendor.end_account("ada");
    pages.push(client.clone().tool("whoami", json!({})).await.answer.text());
    pages.push(world.page(&mut alice, "/links").await.text());
    pages.push(world.page(&mut alice, "/links/files").await.text());
    pages.push(world.page(&mut alice, "/records").await.text());
    pages.push(format!("{:?}", world.checkpoint.ask(&["audit", "export"]).await));
    pages.push(format!("{:?}", world.checkpoint.ask(&["link", "list"]).await));
    pages.push(format!("{} {}", world.checkpoint.stderr().now(), world.checkpoint.process().stdout().now()));
    let mut stored = Vec::new();
    for entry in
        std::fs::read_dir(world.checkpoint.data_dir()).unwrap().flatten().filter(|entry| entry.path().is_file())
    {
        stored.extend(std::fs::read(entry.path()).unwrap());
    }
    pages.push(String::from_utf8_lossy(&stored).into_owned());
    let secrets: Vec<String> = world
        .vendor
        .seen()
        .iter()
        .flat_map(|seen| [seen.fields.get("refresh_token").cloned(), seen.fields.get("code").cloned()])
        .flatten()
        .chain(world.vendor.seen().iter().filter_map(|seen| {
            seen.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned))
        }))
        .chain([key])
        .collect();
    assert!(secrets.len() >= 6, "{}", secrets.len());
    for secret in secrets {
        for (place, text) in pages.iter().enumerate() {
            assert!(!text.contains(&secret), "a credential is seen at place {place}");
        }
    }
}

/// ATK-410, ATK-11: an account's name is foreign text: it is shown as text, with what is invisible in it written out.
#[tokio::test(flavor = "multi_thread")]
async fn an_accounts_name_is_only_text() {
    let world = World::start().await;
    let mut alice = Person::new("alice", PASSWORD);
    world.let_in(&mut alice, "files").await;
    let (_, asking) = world.fetch(&mut alice, "files", "<script>alert(1)</script>\u{202e}gnp").await;
    let text = asking.text();
    assert!(!text.contains("<script>alert") && !text.contains('\u{202e}'), "{text}");
    assert!(text.contains("&lt;script&gt;") || text.contains("&#60;script&#62;"), "{text}");
}
