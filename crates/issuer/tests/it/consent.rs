//! Who is asked what, and what a yes is worth.

use std::sync::Arc;

use http::StatusCode;
use sekisho_protocol::audit::ActKind;
use sekisho_protocol::catalogue::{ToolClass, ToolSeen};
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::{Client, ClientAuthentication, ClientOrigin};
use sekisho_protocol::secret::{AuthorizationCode, ClientSecret};
use sekisho_protocol::server::{ServerCard, ServerDirectory, TaskTemplate};
use sekisho_protocol::task::{TaskDefinition, TaskOrigin};
use serde_json::json;

use crate::harness::{Ask, BASE, Browser, FILES, NOTES, Reply, Site, card};

const LOOPBACK: &str = "http://127.0.0.1/callback";
const USED: &str = "http://127.0.0.1:51763/callback";
const HTTPS: &str = "https://client.example/callback";

fn registered(id: &str) -> Client {
    Client {
        id: ClientId::parse(id).unwrap(),
        origin: ClientOrigin::Registered,
        name: "Operator's Client".to_owned(),
        redirect_uris: vec![RedirectUri::parse(HTTPS).unwrap()],
        authentication: ClientAuthentication::ClientSecretBasic,
        refresh: true,
        jwks: None,
        jwks_uri: None,
        disabled: false,
    }
}

/// AS-16, RS-39: the page offers what this person may hand on, and a form that ticks more gets no more.
#[tokio::test]
async fn a_person_hands_on_no_more_than_the_person_has() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let mut reader = site.signed_in("reader").await;
    let ask = Ask::new(&site, &client, USED).set("scope", "mcp:read mcp:write mcp:destructive");
    let (path, page) = reader.open(&ask).await;
    assert_eq!(page.values("scope"), ["mcp:read"]);
    assert!(page.body.contains("Only what you may hand on is listed"), "{}", page.body);
    let fields = [("csrf", page.csrf()), ("decision", "approve".to_owned())];
    let mut fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fields.extend([("scope", "mcp:read"), ("scope", "mcp:destructive"), ("scope", "admin")]);
    let code = reader.post(&path, &fields).await.redirected()["code"].clone();
    let token = redeem(&site, &client, &code, &ask).await;
    assert_eq!(token.json()["scope"], "mcp:read");
    // At a server where the reader has no right there is nothing to allow.
    let (path, page) = reader.open(&Ask::new(&site, &client, USED).set("resource", FILES)).await;
    assert!(page.values("scope").is_empty());
    assert!(page.body.contains("value=\"approve\" disabled"), "{}", page.body);
    let forced = reader.post(&path, &[("csrf", &page.csrf()), ("decision", "approve"), ("scope", "mcp:read")]).await;
    assert_eq!(forced.redirected()["error"], "access_denied");
}

async fn redeem(site: &Site, client: &str, code: &str, ask: &Ask) -> Reply {
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("redirect_uri", USED),
        ("code_verifier", ask.verifier.expose()),
    ];
    site.post_form("/oauth/token", &fields).await
}

/// AS-17, ATK-79: a step-up beyond what was registered or granted before is asked of the person, not refused.
#[tokio::test]
async fn a_step_up_asks_the_person_again() {
    let site = Site::new().await;
    let metadata = serde_json::json!({ "redirect_uris": [LOOPBACK], "scope": "mcp:read" });
    let client = site.register(&metadata).await.json()["client_id"].as_str().unwrap().to_owned();
    let mut browser = site.signed_in("owner").await;
    for scope in ["mcp:read", "mcp:read mcp:destructive", "mcp:read mcp:destructive tool:wipe"] {
        let ask = Ask::new(&site, &client, USED).set("scope", scope);
        let (path, page) = browser.open(&ask).await;
        assert!(page.body.contains("value=\"approve\""));
        let code = browser.approve(&path, &page).await.redirected()["code"].clone();
        let granted = redeem(&site, &client, &code, &ask).await.json()["scope"].clone();
        let expected = if scope.contains("tool:") { "mcp:destructive mcp:read" } else { scope };
        let sorted: sekisho_protocol::scope::ScopeSet = expected.parse().unwrap();
        // `tool:wipe` does not exist, and what does not exist is not granted.
        assert_eq!(granted, sorted.to_string());
    }
}

/// AS-18, ATK-12: a no is told to the client, with `iss`, from either page.
#[tokio::test]
async fn a_no_is_an_answer() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    for mut browser in [site.browser(), site.signed_in("owner").await] {
        let (path, page) = browser.open(&Ask::new(&site, &client, USED)).await;
        let answer = browser.post(&path, &[("csrf", &page.csrf()), ("decision", "deny")]).await.redirected();
        assert_eq!(
            (answer["error"].as_str(), answer["iss"].as_str(), answer["state"].as_str()),
            ("access_denied", BASE, "the state")
        );
        // It was answered: there is nothing left to approve.
        assert_eq!(browser.get(&path).await.status, StatusCode::GONE);
    }
    let denied = site.acts().await.iter().filter(|act| **act == ActKind::ConsentDenied).count();
    assert_eq!(denied, 2);
}

/// AS-21: one request has one answer.
#[tokio::test]
async fn a_request_is_answered_once() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let mut browser = site.signed_in("owner").await;
    let (path, page) = browser.open(&Ask::new(&site, &client, USED)).await;
    assert!(browser.approve(&path, &page).await.redirected().contains_key("code"));
    assert_eq!(browser.approve(&path, &page).await.status, StatusCode::GONE);
    let (path, page) = browser.open(&Ask::new(&site, &client, USED)).await;
    site.clock.advance_seconds(600);
    assert_eq!(browser.approve(&path, &page).await.status, StatusCode::GONE);
    assert_eq!(browser.get("/consent/req_00000000000000000000000000000000").await.status, StatusCode::GONE);
    assert_eq!(browser.get("/consent/nonsense").await.status, StatusCode::GONE);
}

/// ATK-81, PX-09: what one browser began no other browser finishes, signed in or not.
#[tokio::test]
async fn a_request_stays_in_its_browser() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let mut attacker = site.browser();
    let (path, page) = attacker.open(&Ask::new(&site, &client, USED)).await;
    attacker.post(&path, &[("csrf", &page.csrf()), ("decision", "continue")]).await;
    let mut victim = site.signed_in("owner").await;
    let page = victim.get(&path).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.body.contains("another browser"), "{}", page.body);
    let forced = victim.post(&path, &[("csrf", &page.csrf()), ("decision", "approve"), ("scope", "mcp:read")]).await;
    assert_eq!(forced.status, StatusCode::FORBIDDEN);
}

async fn granted(browser: &mut Browser, ask: &Ask) -> bool {
    let (path, page) = browser.open(ask).await;
    if page.status == StatusCode::SEE_OTHER {
        return page.redirected().contains_key("code");
    }
    assert!(page.body.contains("value=\"approve\""), "{}", page.body);
    browser.approve(&path, &page).await.redirected();
    false
}

/// ATK-14, PX-02: for a confidential client of the operator the identical request is remembered, and every variation
/// of user, client, redirect, server or scopes is asked again.
#[tokio::test]
async fn only_the_identical_request_is_remembered() {
    let site = Site::new().await;
    let secret = ClientSecret::from_outside("a secret").digest();
    let mut client = registered("confidential");
    client.redirect_uris.push(RedirectUri::parse("https://client.example/other").unwrap());
    site.keep(&client, Some(secret)).await;
    site.keep(&registered("another"), Some(secret)).await;
    let mut owner = site.signed_in("owner").await;
    let same = Ask::new(&site, "confidential", HTTPS).set("scope", "mcp:read");
    assert!(!granted(&mut owner, &same).await);
    assert!(granted(&mut owner, &same).await);
    for other in [
        same.clone().set("scope", "mcp:read mcp:write"),
        same.clone().set("scope", "mcp:write"),
        same.clone().set("resource", FILES),
        same.clone().set("redirect_uri", "https://client.example/other"),
        same.clone().set("client_id", "another"),
        same.clone().set("prompt", "consent"),
    ] {
        assert!(!granted(&mut owner, &other).await);
    }
    assert!(!granted(&mut site.signed_in("reader").await, &same).await);
    // Whoever signs in for a remembered request is sent on by the login form: browsers must let it lead there.
    let mut fresh = site.browser();
    let (path, page) = fresh.open(&same).await;
    let on = fresh.post(&path, &[("csrf", &page.csrf()), ("decision", "continue")]).await;
    let login = fresh.get(&on.location()).await;
    assert!(login.header("content-security-policy").contains("form-action 'self' https://client.example;"));
    // `prompt=none` succeeds where something was remembered, and says so where not.
    let (_, silent) = owner.open(&same.clone().set("prompt", "none")).await;
    assert!(silent.redirected().contains_key("code"));
    let (_, refused) = site.browser().open(&same.set("prompt", "none")).await;
    assert_eq!(refused.redirected()["error"], "interaction_required");
}

/// AS-36, ATK-07, ATK-23, ATK-80, PX-01: a client that could be impersonated is asked about every time, with a warning.
#[tokio::test]
async fn consent_is_never_skipped_for_a_client_that_can_be_impersonated() {
    let site = Site::new().await;
    let dynamic = site.registered(LOOPBACK).await;
    let mut browser = site.signed_in("owner").await;
    for _ in 0..3 {
        let (path, page) = browser.open(&Ask::new(&site, &dynamic, USED)).await;
        assert!(page.body.contains("a program on this computer"), "{}", page.body);
        browser.approve(&path, &page).await.redirected();
    }
    let mut public = registered("public");
    public.authentication = ClientAuthentication::None;
    site.keep(&public, None).await;
    assert!(!granted(&mut browser, &Ask::new(&site, "public", HTTPS)).await);
    assert!(!granted(&mut browser, &Ask::new(&site, "public", HTTPS)).await);
}

/// OpenID Connect Core §3.1.2.1: `prompt=login` wants the password for this very request.
#[tokio::test]
async fn a_fresh_login_can_be_demanded() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let mut browser = site.signed_in("owner").await;
    site.clock.advance_seconds(1);
    let (path, page) = browser.open(&Ask::new(&site, &client, USED).set("prompt", "login")).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    let login = browser.get(&page.location()).await;
    let request = login.values("request").pop().unwrap();
    let fields = [("csrf", login.csrf()), ("request", request)];
    let mut fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fields.extend([("username", "owner"), ("password", crate::harness::PASSWORD)]);
    assert_eq!(browser.post("/login", &fields).await.location(), path);
    assert!(browser.get(&path).await.body.contains("value=\"approve\""));
}

fn tool(name: &str, proposed: ToolClass, definition: &str) -> ToolSeen {
    let (name, summary) = (name.to_owned(), format!("About {name}"));
    ToolSeen { name, summary, proposed, definition: definition.to_owned() }
}

/// A server of `run` with three tools that nobody has classified.
async fn with_new_server(site: &Site) {
    let now = site.clock.now();
    let mut tx = site.store.begin().await.unwrap();
    let name = "notes".parse().unwrap();
    tx.servers().put(&name, "{}", now).await.unwrap();
    let tools = [
        tool("read_note", ToolClass::Read, "1"),
        tool("wipe <all>", ToolClass::Destructive, "2"),
        tool("add_note", ToolClass::Write, "3"),
    ];
    tx.catalogue().sync(&name, &tools, now).await.unwrap();
    tx.commit().await.unwrap();
    let notes = ServerCard { classify_at_consent: true, ..card("notes") };
    site.servers.send_replace(Arc::new(ServerDirectory::new([notes])));
}

async fn classes(site: &Site) -> Vec<(String, Option<ToolClass>, bool)> {
    let mut tx = site.store.read().await.unwrap();
    let tools = tx.catalogue().list(&"notes".parse().unwrap()).await.unwrap();
    tools.into_iter().map(|tool| (tool.name, tool.class, tool.accepted == Some(tool.seen))).collect()
}

/// Product §4: the owner's first consent proposes a class for each tool; what is ticked becomes configuration, and the
/// table is not shown again. A user who is not the owner never sees it.
#[tokio::test]
async fn the_owners_first_consent_classifies_tools() {
    let site = Site::new().await;
    with_new_server(&site).await;
    let client = site.registered(LOOPBACK).await;
    let mut reader = site.signed_in("reader").await;
    let (_, page) = reader.open(&Ask::new(&site, &client, USED)).await;
    assert!(page.values("tool").is_empty());
    let mut owner = site.signed_in("owner").await;
    let (path, page) = owner.open(&Ask::new(&site, &client, USED)).await;
    assert_eq!(page.values("tool"), ["add_note", "read_note", "wipe%20<all>"]);
    assert!(page.body.contains("<option value=\"destructive\" selected>"), "{}", page.body);
    let csrf = page.csrf();
    let fields = [
        ("csrf", csrf.as_str()),
        ("decision", "approve"),
        ("scope", "mcp:read"),
        ("tool", "read_note"),
        ("class.read_note", "read"),
        ("tool", "wipe%20<all>"),
        ("class.wipe%20<all>", "destructive"),
        ("class.add_note", "read"),
        ("tool", "invented"),
        ("class.invented", "read"),
    ];
    assert!(owner.post(&path, &fields).await.redirected().contains_key("code"));
    let expected = [
        ("add_note".to_owned(), None, true),
        ("read_note".to_owned(), Some(ToolClass::Read), true),
        ("wipe <all>".to_owned(), Some(ToolClass::Destructive), true),
    ];
    assert_eq!(classes(&site).await, expected);
    let (_, page) = owner.open(&Ask::new(&site, &client, USED)).await;
    assert!(page.values("tool").is_empty());
}

/// ATK-76: a tool that changes while the owner reads is not accepted in its new form.
#[tokio::test]
async fn a_tool_that_changes_while_the_owner_reads_is_not_accepted() {
    let site = Site::new().await;
    with_new_server(&site).await;
    let client = site.registered(LOOPBACK).await;
    let mut owner = site.signed_in("owner").await;
    let (path, page) = owner.open(&Ask::new(&site, &client, USED)).await;
    let mut tx = site.store.begin().await.unwrap();
    let changed = [tool("read_note", ToolClass::Read, "changed")];
    tx.catalogue().sync(&"notes".parse().unwrap(), &changed, site.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    let csrf = page.csrf();
    let fields = [
        ("csrf", csrf.as_str()),
        ("decision", "approve"),
        ("scope", "mcp:read"),
        ("tool", "read_note"),
        ("class.read_note", "read"),
    ];
    assert_eq!(owner.post(&path, &fields).await.status, StatusCode::FORBIDDEN);
    assert!(classes(&site).await.iter().all(|(_, class, _)| class.is_none()));
}

/// ATK-14: whoever let an application in sees it and can end it; nobody else can.
#[tokio::test]
async fn a_person_ends_a_grant() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let mut owner = site.signed_in("owner").await;
    let ask = Ask::new(&site, &client, USED);
    let (path, page) = owner.open(&ask).await;
    let code = owner.approve(&path, &page).await.redirected()["code"].clone();
    let token = redeem(&site, &client, &code, &ask).await.json();
    let home = owner.get("/").await;
    assert!(home.body.contains("Test Client") && home.body.contains(NOTES), "{}", home.body);
    let end = home.body.split("action=\"").find(|part| part.starts_with("/grants/")).unwrap();
    let csrf = end.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let end = end.split('"').next().unwrap().to_owned();
    let mut reader = site.signed_in("reader").await;
    assert_eq!(reader.post(&end, &[("csrf", &csrf)]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(owner.get(&end).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(owner.post(&end, &[("csrf", &csrf)]).await.status, StatusCode::SEE_OTHER);
    let refresh = token["refresh_token"].as_str().unwrap();
    let fields = [("grant_type", "refresh_token"), ("client_id", client.as_str()), ("refresh_token", refresh)];
    assert_eq!(site.post_form("/oauth/token", &fields).await.json()["error"], "invalid_grant");
    assert!(site.acts().await.contains(&ActKind::GrantRevoked));
}

/// CSP has no notation for IPv6 addresses, and browsers hold `form-action` against redirects: there the way back is
/// a link.
#[tokio::test]
async fn where_a_form_cannot_lead_the_way_back_is_a_link() {
    let site = Site::new().await;
    let client = site.registered("http://[::1]/callback").await;
    let mut browser = site.signed_in("owner").await;
    let (path, page) = browser.open(&Ask::new(&site, &client, "http://[::1]:51763/callback")).await;
    let answer = browser.approve(&path, &page).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.body.contains("href=\"http://[::1]:51763/callback?code=sks_ac_"), "{}", answer.body);
}

/// Product §4: a task that the owner offers and the person chooses begins with the grant, without what was unticked; and
/// a template that nobody offers is no answer.
#[tokio::test]
async fn a_template_that_is_chosen_becomes_the_task_of_the_grant() {
    let site = Site::new().await;
    site.three_tools().await;
    let bounds = json!({ "type": "object", "maxProperties": 1 });
    let definition = TaskDefinition {
        purpose: "tidy <up>".to_owned(),
        tools: [
            ("read_note".to_owned(), None),
            ("write_note".to_owned(), Some(bounds)),
            ("elsewhere".to_owned(), None),
        ]
        .into(),
        calls: Some(7),
        ..TaskDefinition::default()
    };
    let template = TaskTemplate { name: "tidy".to_owned(), definition: definition.clone() };
    let notes = ServerCard { templates: vec![template], ..card("notes") };
    site.servers.send_replace(Arc::new(ServerDirectory::new([notes])));
    let client = site.registered(LOOPBACK).await;
    let mut owner = site.signed_in("owner").await;
    let ask = || Ask::new(&site, &client, USED).set("scope", "mcp:read mcp:write");
    let mut given = async |template: &str| {
        let (path, page) = owner.open(&ask()).await;
        assert!(page.body.contains("tidy &#60;up&#62;"), "{}", page.body);
        let csrf = page.csrf();
        let fields = [
            ("csrf", csrf.as_str()),
            ("decision", "approve"),
            ("scope", "mcp:read"),
            ("scope", "mcp:write"),
            ("template", template),
            ("narrow", "yes"),
            ("use", "read_note"),
        ];
        owner.post(&path, &fields).await
    };
    let reply = given("tidy").await;
    let code = AuthorizationCode::parse(&reply.redirected()["code"]).unwrap();
    let mut tx = site.store.read().await.unwrap();
    let task = tx.codes().find(&code.digest()).await.unwrap().unwrap().conditions.task.unwrap();
    drop(tx);
    // What did not stand on the page is not left out by not being ticked.
    let tools = [("elsewhere".to_owned(), None), ("read_note".to_owned(), None)].into();
    assert_eq!((task.origin, task.definition), (TaskOrigin::Template, TaskDefinition { tools, ..definition }));
    assert_eq!(given("invented").await.status, StatusCode::BAD_REQUEST);
}

/// A purpose in the person's words holds the grant to what is ticked: the tools, and all resources and prompts where their box
/// is ticked, as it is at first.
#[tokio::test]
async fn a_purpose_keeps_resources_and_prompts_unless_they_are_unticked() {
    let site = Site::new().await;
    site.three_tools().await;
    let client = site.registered(LOOPBACK).await;
    let mut owner = site.signed_in("owner").await;
    for (reads, expected) in [(true, vec!["*".to_owned()]), (false, Vec::new())] {
        let ask = Ask::new(&site, &client, USED);
        let (path, page) = owner.open(&ask).await;
        assert_eq!(page.values("reads"), ["yes"], "the box is ticked at first");
        let csrf = page.csrf();
        let mut fields = vec![
            ("csrf", csrf.as_str()),
            ("decision", "approve"),
            ("scope", "mcp:read"),
            ("purpose", "look around"),
            ("narrow", "yes"),
            ("use", "read_note"),
            ("end", ""),
        ];
        fields.extend(reads.then_some(("reads", "yes")));
        let code = owner.post(&path, &fields).await.redirected()["code"].clone();
        let details = redeem(&site, &client, &code, &ask).await.json()["authorization_details"][0].clone();
        let task = site.stored_task(details["task"].as_str().unwrap().parse().unwrap()).await;
        assert_eq!(task.definition.tools.keys().collect::<Vec<_>>(), ["read_note"]);
        assert_eq!((&task.definition.resources, &task.definition.prompts), (&expected, &expected));
        let shown = owner.get(&format!("/tasks/{}", task.id)).await;
        assert_eq!(shown.body.contains("all resources") && shown.body.contains("all prompts"), reads, "{}", shown.body);
    }
}

/// The first consent: what cannot be undone stands last and is not ticked, and the access ends after 30 days unless the person
/// says otherwise. Let in anew, the client has one grant: the older one ends a minute later, so that a session can go on with the
/// new token, and what was lent to it is passed on at once.
#[tokio::test]
async fn a_client_that_is_let_in_anew_replaces_its_grant() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let ask = Ask::new(&site, &client, USED).set("scope", "mcp:destructive mcp:read mcp:write");
    let mut owner = site.signed_in("owner").await;
    let (path, page) = owner.open(&ask).await;
    assert_eq!(page.offered("scope")[..3], ["mcp:read", "mcp:write", "mcp:destructive"]);
    assert_eq!(page.values("scope")[..2], ["mcp:read", "mcp:write"], "what cannot be undone is not ticked");
    assert!(!page.values("scope").contains(&"mcp:destructive".to_owned()));
    assert!(page.body.contains("<option value=\"month\" selected>30 days</option>"), "{}", page.body);
    let code = owner.approve(&path, &page).await.redirected()["code"].clone();
    redeem(&site, &client, &code, &ask).await;
    let subject = sekisho_protocol::caller::Subject::User(site.owner);
    let living = async || {
        let mut tx = site.store.read().await.unwrap();
        let filter = sekisho_store::GrantFilter { subject: Some(subject.clone()), ..Default::default() };
        let grants = tx.grants().list(&filter).await.unwrap();
        let lives = |grant: &sekisho_store::Grant| grant.expires_at.is_none_or(|end| site.clock.now() < end);
        grants.into_iter().filter(lives).map(|grant| grant.id).collect::<Vec<_>>()
    };
    let first = living().await;
    assert_eq!(first.len(), 1);
    let loan = {
        let (now, grant) = (site.clock.now(), site.stored_grant(first[0]).await);
        let new = sekisho_store::NewLoan {
            id: sekisho_protocol::ids::LoanId::generate(now, &*site.entropy),
            subject: grant.subject,
            client: grant.client,
            grant: grant.id,
            task: None,
            server: grant.server,
            tool: "delete_note".to_owned(),
            bounds: None,
            expires_at: sekisho_protocol::env::after(now, 3600),
        };
        let mut tx = site.store.begin().await.unwrap();
        assert!(tx.loans().lend(&new, "test", now).await.unwrap());
        tx.commit().await.unwrap();
        new.id
    };
    // It is known by now, so what it asks for is ticked.
    let again = Ask::new(&site, &client, USED).set("scope", "mcp:destructive mcp:read mcp:write");
    let (path, page) = owner.open(&again).await;
    assert!(page.values("scope").contains(&"mcp:destructive".to_owned()));
    let code = owner.approve(&path, &page).await.redirected()["code"].clone();
    redeem(&site, &client, &code, &again).await;
    assert_eq!(living().await.len(), 2, "a session of the older one can go on");
    site.clock.advance_seconds(60);
    let second = living().await;
    assert_eq!(second.len(), 1);
    assert_ne!(first, second);
    let acts = site.acts().await;
    assert!(acts.contains(&ActKind::GrantReplaced) && !acts.contains(&ActKind::GrantRevoked), "{acts:?}");
    let loans = site.store.read().await.unwrap().loans().list(site.clock.now()).await.unwrap();
    assert_eq!(loans.iter().map(|loan| (loan.id, loan.grant)).collect::<Vec<_>>(), [(loan, second[0])]);
}

/// A client of the operator's may run on several machines under one identifier: each keeps its grant.
#[tokio::test]
async fn a_client_of_the_operators_keeps_every_grant() {
    let site = Site::new().await;
    let client = Client { authentication: ClientAuthentication::None, ..registered("shared") };
    site.keep(&client, None).await;
    let mut owner = site.signed_in("owner").await;
    for _ in 0..2 {
        let ask = Ask::new(&site, "shared", HTTPS).set("prompt", "consent");
        let (path, page) = owner.open(&ask).await;
        let code = owner.approve(&path, &page).await.redirected()["code"].clone();
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", "shared"),
            ("code", &code),
            ("redirect_uri", HTTPS),
            ("code_verifier", ask.verifier.expose()),
        ];
        assert_eq!(site.post_form("/oauth/token", &fields).await.status, StatusCode::OK);
    }
    let mut tx = site.store.read().await.unwrap();
    let grants = tx.grants().list(&sekisho_store::GrantFilter::default()).await.unwrap();
    assert_eq!(grants.iter().filter(|grant| grant.revoked_at.is_none()).count(), 2);
}

/// Bounds that name an argument which the tool does not take bind something else than the person read: nothing is granted, and
/// the client is told what is wrong with them. Where the tool takes it, the grant is made.
#[tokio::test]
async fn a_task_with_bounds_on_an_argument_that_is_not_there_is_not_granted() {
    for (argument, granted) in [("titel", false), ("title", true)] {
        let site = Site::new().await;
        let definition = r#"{"inputSchema":{"properties":{"title":{"type":"string"}}},"name":"write_note"}"#;
        let mut tx = site.store.begin().await.unwrap();
        let (now, notes) = (site.clock.now(), "notes".parse().unwrap());
        let seen = tool("write_note", ToolClass::Write, definition);
        tx.catalogue().sync(&notes, std::slice::from_ref(&seen), now).await.unwrap();
        assert!(tx.catalogue().classify(&notes, "write_note", ToolClass::Write, &seen.digest(), now).await.unwrap());
        tx.commit().await.unwrap();
        let bounds = json!({ "properties": { argument: { "pattern": "^draft" } } });
        let tools = [("write_note".to_owned(), Some(bounds))].into();
        let definition = TaskDefinition { purpose: "draft".to_owned(), tools, ..TaskDefinition::default() };
        let template = TaskTemplate { name: "draft".to_owned(), definition };
        let notes = ServerCard { templates: vec![template], ..card("notes") };
        site.servers.send_replace(Arc::new(ServerDirectory::new([notes])));
        let client = site.registered(LOOPBACK).await;
        let mut owner = site.signed_in("owner").await;
        let (path, page) = owner.open(&Ask::new(&site, &client, USED).set("scope", "mcp:write")).await;
        let csrf = page.csrf();
        let fields = [
            ("csrf", csrf.as_str()),
            ("decision", "approve"),
            ("scope", "mcp:write"),
            ("template", "draft"),
            ("end", ""),
        ];
        let answer = owner.post(&path, &fields).await.redirected();
        assert_eq!(answer.contains_key("code"), granted, "{answer:?}");
        let expected = (!granted).then_some("invalid_authorization_details");
        assert_eq!(answer.get("error").map(String::as_str), expected, "{answer:?}");
    }
}
