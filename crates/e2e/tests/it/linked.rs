//! Each person's own account behind a server: linking it, calls with it, its renewal and its end, with the real binary
//! and a vendor that behaves or misbehaves.

use std::sync::Arc;
use std::time::Duration;

use sekisho_e2e::fakes::vendor::Vendor;
use sekisho_e2e::harness::wait;
use sekisho_e2e::harness::{
    Agent, Answer, BrowserState, Caller, Checkpoint, Form, Mcp, Person, Reply, Setup, Tokens, forms, links, text_of,
};
use sekisho_protocol::mcp::method::Revision;
use serde_json::{Value, json};

mod asking;
mod programs;
mod renewing;
mod secrets;
mod vendors;

pub(crate) const PASSWORD: &str = "correct horse battery staple";
const MODERN: Revision = Revision::V2026_07_28;
const OLDER: Revision = Revision::V2025_11_25;

/// A checkpoint in front of a vendor, at which `alice` and `bob` may use `files` and `more`.
pub(crate) struct World {
    pub(crate) vendor: Vendor,
    pub(crate) checkpoint: Checkpoint,
}

/// The table of a server at this vendor that is shown accounts.
pub(crate) fn table(name: &str, vendor: &Vendor, credential: &str) -> String {
    format!(
        "[servers.{name}]\ntitle = \"The {name}\"\nurl = \"{}\"\neveryone = \"read\"\ntools = {{ whoami = \"read\" }}\n\
         [servers.{name}.credential]\nkind = \"linked\"\nvendor = \"Acme\"\naccount_url = \"{}\"\n\
         account_name = \"/login\"\n{credential}\n",
        vendor.url("/mcp"),
        vendor.url("/user")
    )
}

pub(crate) fn setup(toml: &str) -> Setup {
    Checkpoint::configured(toml).owner("alice", PASSWORD).user("bob", PASSWORD)
}

impl World {
    /// Two servers at one vendor, whose accounts are linked there.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    pub(crate) async fn with(credential: &str) -> Self {
        let vendor = Vendor::start().await.unwrap();
        let toml = format!("{}{}", table("files", &vendor, credential), table("more", &vendor, credential));
        let checkpoint = setup(&toml).start().await;
        Self { vendor, checkpoint }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.checkpoint.base_url())
    }

    /// Lets a new client in at a server, for this person.
    pub(crate) async fn let_in(&self, person: &mut Person, server: &str) -> Tokens {
        let agent = Agent::register(&self.checkpoint.server_named(server)).await;
        agent.be_let_in(person, None).await
    }

    pub(crate) fn client(&self, server: &str, revision: Revision, tokens: &Tokens) -> Mcp {
        Mcp::new(&self.checkpoint.server_named(server), revision, Some(&tokens.access))
    }

    /// Opens a page behind the door of a person who is signed in.
    pub(crate) async fn page(&self, person: &mut Person, path: &str) -> Answer {
        let url = person.behind_door(&self.url(path));
        person.visit(&url).await.page()
    }

    /// Goes to the vendor and back, as far as the page that asks for the yes: its address and its text.
    pub(crate) async fn fetch(&self, person: &mut Person, server: &str, account: &str) -> (String, Answer) {
        let back = self.fetch_answer(person, server, account).await;
        match person.visit(&back).await {
            BrowserState::Page { url, answer } => (url, answer),
            BrowserState::Away(url) => panic!("away at {url}"),
        }
    }

    /// Goes to the vendor. Returns the address with its answer.
    pub(crate) async fn fetch_answer(&self, person: &mut Person, server: &str, account: &str) -> String {
        self.vendor.person(account);
        let page = person.behind_door(&self.url(&format!("/links/{server}")));
        let text = person.visit(&page).await.page().text();
        let go = links(&text).into_iter().find(|link| link.ends_with("/go"));
        let go = go.unwrap_or_else(|| panic!("no way to the vendor: {text}"));
        let BrowserState::Away(to) = person.visit(&self.url(&go)).await else { panic!("no redirect to the vendor") };
        let answer = Caller::new().get(&to).send().await;
        answer.location().unwrap_or_else(|| panic!("the vendor has no answer: {}", answer.text())).to_owned()
    }

    /// Links an account, by its name, and returns the page that follows.
    pub(crate) async fn link(&self, person: &mut Person, server: &str, account: &str) -> String {
        let (url, asking) = self.fetch(person, server, account).await;
        assert_eq!(asking.status, 200, "{}", asking.text());
        let form = form(&asking.text(), "confirm");
        assert!(asking.text().contains(account), "the account is named: {}", asking.text());
        let page = person.submit(&url, &form).await.page();
        assert_eq!(page.status, 200, "{}", page.text());
        page.text()
    }

    /// Links an account by a key that is pasted.
    pub(crate) async fn paste(&self, person: &mut Person, server: &str, key: &str) -> BrowserState {
        let page = person.behind_door(&self.url(&format!("/links/{server}")));
        let mut pasting = form(&person.visit(&page).await.page().text(), "link");
        pasting.fill("key", key);
        person.submit(&page, &pasting).await
    }

    pub(crate) async fn unlink(&self, person: &mut Person, server: &str) {
        let page = person.behind_door(&self.url(&format!("/links/{server}")));
        let unlinking = form(&person.visit(&page).await.page().text(), "unlink");
        assert_eq!(person.submit(&page, &unlinking).await.page().status, 200);
    }

    /// Calls until the answer is this account's name. A change is in force on every node within a second.
    pub(crate) async fn becomes(&self, client: &Mcp, account: &str) {
        let what = format!("calls are answered as {account}");
        wait::within(Duration::from_secs(20), &what, || {
            let mut client = client.clone();
            async move { (whoami(&mut client).await == account).then_some(()) }
        })
        .await;
    }
}

/// The form with this decision, with its button pressed.
pub(crate) fn form(page: &str, decision: &str) -> Form {
    let found = forms(page).into_iter().find(|form| form.has_button("decision", decision));
    let mut form = found.unwrap_or_else(|| panic!("no form to {decision}: {page}"));
    form.fields.push(("decision".to_owned(), decision.to_owned()));
    form
}

/// Calls the tool, and returns what it says: the name of the account.
pub(crate) async fn whoami(client: &mut Mcp) -> String {
    let reply = client.tool("whoami", json!({})).await;
    text_of(&reply.message["result"])
}

pub(crate) fn remedy(reply: &Reply) -> Value {
    let result = reply.message.pointer("/result/_meta/io.sekisho~1refusal/remedy");
    let error = reply.message.pointer("/error/data/remedy");
    let in_session = reply.message.pointer("/error/data/io.sekisho~1refusal/remedy");
    result.or(in_session).or(error).cloned().unwrap_or_default()
}

/// PX-11: a person links an account, sees it, and unlinks it. Calls are answered with it and with no other; agents that may use
/// it are named; the vendor gets its token back.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_links_an_account_sees_it_and_unlinks_it() {
    let world = World::start().await;
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    assert!(tokens.scope.contains("mcp:account"), "{}", tokens.scope);
    let page = world.page(&mut alice, "/links/files").await.text();
    assert!(page.contains("Link your account") && page.contains("Acme"), "{page}");
    let page = world.link(&mut alice, "files", "ada-at-acme").await;
    assert!(page.contains("Your linked account") && page.contains("ada-at-acme"), "{page}");
    assert!(page.contains("End-to-end agent"), "the agents that may use it are named: {page}");
    let mut client = world.client("files", MODERN, &tokens);
    assert_eq!(whoami(&mut client).await, "ada-at-acme");
    let mut older = world.client("files", OLDER, &tokens);
    older.begin().await;
    assert_eq!(whoami(&mut older).await, "ada-at-acme");
    // The list shows the tools, and the page of all accounts shows this one beside a server without one.
    assert_eq!(client.tools().await, ["whoami"]);
    let list = world.page(&mut alice, "/links").await.text();
    assert!(list.contains("ada-at-acme") && list.contains("The more") && list.contains("Not linked"), "{list}");
    // The request names the resource and uses PKCE, and the token was sent to the vendor's own server only.
    let token = world.vendor.seen().into_iter().find(|seen| seen.path == "/token").unwrap();
    assert_eq!(token.fields["resource"], world.vendor.url("/mcp"));
    assert!(token.fields.contains_key("code_verifier"));
    world.unlink(&mut alice, "files").await;
    wait::until("the vendor got the token back", || async { (!world.vendor.revoked().is_empty()).then_some(()) }).await;
    wait::until("calls ask for an account", || {
        let mut client = client.clone();
        async move {
            let reply = client.tool("whoami", json!({})).await;
            (remedy(&reply)["kind"] == "link_account").then_some(())
        }
    })
    .await;
    let records = world.checkpoint.ask(&["audit", "export"]).await;
    for act in ["account_linked", "account_unlinked"] {
        assert!(records.iter().any(|record| record.to_string().contains(act)), "{act}: {records:?}");
    }
}

/// ATK-412: Another account at a new link is named beside the one that it replaces, and only the person's yes replaces it.
#[tokio::test(flavor = "multi_thread")]
async fn another_account_is_asked_for_and_never_swapped_silently() {
    let world = World::start().await;
    let mut alice = Person::new("alice", PASSWORD);
    let tokens = world.let_in(&mut alice, "files").await;
    world.link(&mut alice, "files", "ada-one").await;
    let client = world.client("files", MODERN, &tokens);
    world.becomes(&client, "ada-one").await;
    let (url, asking) = world.fetch(&mut alice, "files", "ada-two").await;
    let text = asking.text();
    assert!(text.contains("Another account is linked now") && text.contains("ada-one"), "{text}");
    assert!(text.contains("ada-two"), "{text}");
    assert_eq!(whoami(&mut client.clone()).await, "ada-one");
    assert_eq!(alice.submit(&url, &form(&text, "confirm")).await.page().status, 200);
    world.becomes(&client, "ada-two").await;
    // The same account again replaces nothing.
    let (_, asking) = world.fetch(&mut alice, "files", "ada-two").await;
    assert!(!asking.text().contains("Another account is linked now"), "{}", asking.text());
}

/// ATK-411: The grant page says in words that the account is used; without that in its grant, a client is told to ask for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_uses_an_account_only_if_its_grant_says_so() {
    let world = World::start().await;
    let mut alice = Person::new("alice", PASSWORD);
    let with = world.let_in(&mut alice, "files").await;
    world.link(&mut alice, "files", "ada").await;
    let agent = Agent::register(&world.checkpoint.server_named("files")).await;
    let mut without = alice.clone().unticking("scope", "mcp:account");
    let tokens = agent.be_let_in(&mut without, None).await;
    assert!(!tokens.scope.contains("mcp:account"), "{}", tokens.scope);
    let refused = world.client("files", MODERN, &tokens).tool("whoami", json!({})).await;
    assert_eq!(refused.status, 403, "{:?}", refused.message);
    let challenge = refused.answer.challenge();
    assert!(challenge["scope"].as_str().unwrap().contains("mcp:account"), "{challenge}");
    assert_eq!(challenge["error"], "insufficient_scope");
    assert_eq!(whoami(&mut world.client("files", MODERN, &with)).await, "ada");
    let invitation = agent.invite(None);
    let page = alice.visit(&invitation.url).await.page().text();
    assert!(page.contains("Work with your own linked account") && page.contains("Acme"), "{page}");
}

/// ATK-416: Two people with two accounts each at one vendor, and calls in turn while tokens end, are renewed, and accounts are
/// unlinked and linked anew: each call is answered with the right account's name. `SEKISHO_LINKED_CALLS` sets how many.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_answered_with_another_account_and_none_is_lost() {
    let count: usize =
        std::env::var_os("SEKISHO_LINKED_CALLS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(300);
    let world = Arc::new(World::start().await);
    // Every token ends within the test, many times.
    world.vendor.conduct(|conduct| {
        conduct.lives = Duration::from_millis(2500);
        conduct.expires_in = Some(json!(2));
    });
    let mut seats = Vec::new();
    for name in ["alice", "bob"] {
        let mut person = Person::new(name, PASSWORD);
        for server in ["files", "more"] {
            let tokens = world.let_in(&mut person, server).await;
            let account = format!("{name}-{server}-0");
            world.link(&mut person, server, &account).await;
            let client = world.client(server, MODERN, &tokens);
            world.becomes(&client, &account).await;
            seats.push((name, server, client));
        }
        PEOPLE.lock().await.insert(name, person);
    }
    let each = count.div_ceil(seats.len());
    let mut working = Vec::new();
    for (name, server, client) in seats {
        let world = Arc::clone(&world);
        working.push(tokio::spawn(async move {
            let mut account = format!("{name}-{server}-0");
            let mut number = 0;
            // At least until a token was renewed, however fast the machine is.
            while number < each || world.vendor.refreshes() == 0 {
                let said = whoami(&mut client.clone()).await;
                assert_eq!(said, account, "call {number} of {name} at {server}");
                // Now and then the person links another account; one more time, after removing the old one.
                if number % 25 == 24 {
                    let mut people = PEOPLE.lock().await;
                    let person = people.get_mut(name).expect("the person is there");
                    if number % 50 == 49 {
                        world.unlink(person, server).await;
                    }
                    account = format!("{name}-{server}-{number}");
                    world.link(person, server, &account).await;
                    drop(people);
                    world.becomes(&client, &account).await;
                }
                number += 1;
            }
            number
        }));
    }
    let mut answered = 0;
    for work in working {
        answered += work.await.unwrap();
    }
    println!("{answered} calls answered with the right account, {} refreshes", world.vendor.refreshes());
    assert!(world.vendor.refreshes() > 0, "tokens were renewed meanwhile");
    assert_eq!(world.vendor.shown_twice(), 0, "no refresh token was shown twice");
}

/// The people of the test above. A person has one browser, which one task uses at a time.
static PEOPLE: std::sync::LazyLock<tokio::sync::Mutex<std::collections::BTreeMap<&'static str, Person>>> =
    std::sync::LazyLock::new(Default::default);

/// An operator sees who has linked what, without any secret, and removes an account; calls ask for another one then.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lists_and_removes_accounts() {
    let world = World::start().await;
    let mut bob = Person::new("bob", PASSWORD);
    let tokens = world.let_in(&mut bob, "files").await;
    world.link(&mut bob, "files", "bob-at-acme").await;
    let client = world.client("files", MODERN, &tokens);
    world.becomes(&client, "bob-at-acme").await;
    let listed = world.checkpoint.command(&["link", "list"]).await;
    for word in ["bob", "files", "bob-at-acme", "linked"] {
        assert!(listed.stdout.contains(word), "{word}: {}", listed.stdout);
    }
    assert!(world.vendor.secrets().iter().all(|secret| !listed.stdout.contains(secret.as_str())));
    let absent = world.checkpoint.command(&["link", "remove", "alice", "files"]).await;
    assert_eq!(absent.code(), Some(1), "{}", absent.stderr);
    let removed = world.checkpoint.command(&["link", "remove", "bob", "files"]).await;
    assert_eq!(removed.code(), Some(0), "{}", removed.stderr);
    wait::until("calls ask for an account", || {
        let mut client = client.clone();
        async move {
            let reply = client.tool("whoami", json!({})).await;
            (remedy(&reply)["kind"] == "link_account").then_some(())
        }
    })
    .await;
}
