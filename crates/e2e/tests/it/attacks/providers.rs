//! Company login from outside: the real binary, an OpenID provider that behaves or misbehaves, and browsers.

use http::header::LOCATION;
use sekisho_e2e::fakes::provider::profile::Behaves;
use sekisho_e2e::fakes::provider::{Misconduct, Provider};
use sekisho_e2e::harness::{
    Agent, Answer, BrowserState, Caller, Checkpoint, Mcp, Person, Setup, Tokens, binary, forms, links,
};
use sekisho_protocol::mcp::method::Revision;
use serde_json::{Value, json};

pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const CLIENT: &str = "sekisho";
pub(crate) const SECRET: &str = "the secret of the checkpoint";

/// A checkpoint whose people sign in at a provider. Engineers may read notes.
pub(crate) struct Company {
    pub(crate) provider: Provider,
    pub(crate) checkpoint: Checkpoint,
}

pub(crate) fn table(name: &str, provider: &Provider, more: &str) -> String {
    provider.register(CLIENT, SECRET);
    format!(
        "[[login.provider]]\nname = {name:?}\nlabel = \"The Company\"\nissuer = {:?}\nclient_id = {CLIENT:?}\n\
         client_secret = {SECRET:?}\n{more}\n",
        provider.issuer()
    )
}

pub(crate) fn setup(login: &str) -> Setup {
    let program = binary().display().to_string();
    let toml = format!(
        "[servers.notes]\ncommand = [{program:?}, \"bundled\", \"notes\"]\n\
         tools = {{ list_notes = \"read\", read_note = \"read\" }}\n\
         [groups]\nreaders = [\"corp/engineers\"]\n{login}"
    );
    let setup = Checkpoint::configured(&toml).owner("alice", PASSWORD);
    std::fs::create_dir(setup.folder().join("policies")).unwrap();
    let rule = "permit(principal in Group::\"readers\", action, resource in Server::\"notes\");";
    std::fs::write(setup.folder().join("policies/a.cedar"), rule).unwrap();
    setup
}

impl Company {
    pub(crate) async fn start(more: &str) -> Self {
        let provider = Provider::start(Behaves::Generic).await.unwrap();
        // The same provider twice, where we are two clients.
        provider.register("sekisho-2", SECRET);
        let other = table("other", &provider, "").replace("client_id = \"sekisho\"", "client_id = \"sekisho-2\"");
        let checkpoint = setup(&format!("[login]\n{}{other}", table("corp", &provider, more))).start().await;
        Self { provider, checkpoint }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.checkpoint.base_url())
    }

    /// Goes from a page with the button of this provider to the provider and back. The address with the answer.
    pub(crate) async fn fetch_answer(&self, person: &mut Person, name: &str, from: &str) -> String {
        let (url, page) = page(person.visit(from).await);
        let text = page.text();
        let link = links(&text).into_iter().find(|link| link.contains(&format!("/login/{name}")));
        let link = link.unwrap_or_else(|| panic!("no button of {name} at {url}: {text}"));
        let link = url::Url::parse(&url).unwrap().join(&link).unwrap();
        match person.visit(link.as_str()).await {
            BrowserState::Away(away) => back(&away).await,
            BrowserState::Page { answer, .. } => panic!("nobody was sent away: {}", answer.text()),
        }
    }

    /// Signs in from the front page.
    pub(crate) async fn sign_in(&self, person: &mut Person, name: &str) -> Answer {
        let answer = self.fetch_answer(person, name, &self.url("/login")).await;
        page(person.visit(&answer).await).1
    }

    /// Lets a client in, signing in on the way.
    pub(crate) async fn let_in(&self, person: &mut Person) -> (Agent, Tokens) {
        self.let_in_for(person, "mcp:read").await
    }

    /// Does the same with these scopes.
    async fn let_in_for(&self, person: &mut Person, scopes: &str) -> (Agent, Tokens) {
        let agent = Agent::register(&self.checkpoint.server_named("notes")).await;
        let invitation = agent.invite(Some(scopes));
        let (at, client_page) = page(person.visit(&invitation.url).await);
        let mut form =
            forms(&client_page.text()).into_iter().find(|form| form.has_button("decision", "continue")).unwrap();
        form.fill("decision", "continue");
        let (login, _) = page(person.submit(&at, &form).await);
        let answer = self.fetch_answer(person, "corp", &login).await;
        let (at, _) = page(person.visit(&answer).await);
        let redirect = person.answer(&at).await;
        let tokens = agent.redeem(&invitation, &redirect).await;
        (agent, tokens)
    }

    pub(crate) async fn reads(&self, tokens: &Tokens) -> bool {
        let notes = self.checkpoint.server_named("notes");
        let mut mcp = Mcp::new(&notes, Revision::V2025_06_18, Some(&tokens.access));
        mcp.begin().await;
        let reply = mcp.tool("list_notes", json!({})).await;
        reply.status == 200 && reply.message["result"].is_object() && reply.message["result"]["isError"] != true
    }

    pub(crate) async fn users(&self) -> Vec<Value> {
        let lines = self.checkpoint.ask(&["user", "list"]).await;
        lines.iter().filter_map(|line| line["users"].as_array()).flatten().cloned().collect()
    }

    pub(crate) async fn acts(&self) -> Vec<Value> {
        let records = self.checkpoint.records().await;
        records.into_iter().map(|row| row["record"]["event"].clone()).filter(|event| event["act"].is_string()).collect()
    }

    pub(crate) async fn last_failure(&self) -> String {
        let acts = self.acts().await;
        let failed = acts.iter().rfind(|act| act["act"] == "login_failed").expect("a record");
        failed["detail"].as_str().unwrap_or_default().to_owned()
    }
}

pub(crate) fn page(state: BrowserState) -> (String, Answer) {
    match state {
        BrowserState::Page { url, answer } => (url, answer),
        BrowserState::Away(url) => panic!("led away to {url}"),
    }
}

/// What the provider answers a browser that was sent to it.
pub(crate) async fn back(away: &str) -> String {
    let answer = Caller::new().get(away).send().await;
    answer.headers[LOCATION].to_str().unwrap().to_owned()
}

pub(crate) fn stranger() -> Person {
    Person::new("ada", PASSWORD)
}

/// Who is signed in, as the first page says.
pub(crate) async fn signed_in(company: &Company, person: &mut Person) -> Option<String> {
    let (_, answer) = page(person.visit(&company.url("/")).await);
    let text = answer.text();
    let who = text.split_once("<strong>")?.1.split("</strong>").next()?.to_owned();
    text.contains("/logout").then_some(who)
}

/// ATK-80, PX-08: the client page comes first, then the provider, then the grant page. Groups of claims are rights at the next call, and their loss takes rights from tokens that are out already.
#[tokio::test]
async fn groups_of_the_provider_give_and_take_rights() {
    let company = Company::start("").await;
    let mut ada = stranger();
    let (_, tokens) = company.let_in(&mut ada).await;
    assert!(company.reads(&tokens).await);
    let asked = company.provider.arrived("authorize");
    assert!(asked.iter().all(|one| one.fields.contains_key("nonce") && one.fields["code_challenge_method"] == "S256"));
    // Out of the group: the token stays, and is worth nothing from the next sign-in on.
    company.provider.person(&json!({ "groups": ["auditors"] }));
    company.sign_in(&mut stranger(), "corp").await;
    sekisho_e2e::harness::wait::within(std::time::Duration::from_secs(5), "the loss of rights", async || {
        (!company.reads(&tokens).await).then_some(())
    })
    .await;
    company.provider.person(&json!({ "groups": ["engineers"] }));
    company.sign_in(&mut stranger(), "corp").await;
    sekisho_e2e::harness::wait::within(std::time::Duration::from_secs(5), "the gain of rights", async || {
        company.reads(&tokens).await.then_some(())
    })
    .await;
    let acts = company.acts().await;
    assert_eq!(acts.iter().filter(|act| act["act"] == "identity_signed_in").count(), 3);
    assert_eq!(company.users().await.len(), 2, "one user for one identity");
}

/// ATK-304, ATK-312: whatever a provider does wrong, nobody is signed in, no user is made, and the record says why.
#[tokio::test]
async fn a_provider_that_misbehaves_signs_nobody_in() {
    let company = Company::start("").await;
    let wrong = [
        (Misconduct::AlgNone, 403, "alg"),
        (Misconduct::Expired, 403, "exp"),
        (Misconduct::NoNonce, 403, "nonce"),
        (Misconduct::OtherClient, 403, "aud"),
        (Misconduct::OtherKey, 403, "signature"),
        (Misconduct::AnswersAsAnother, 403, "authorization server"),
        (Misconduct::Fails("token"), 502, "token"),
        (Misconduct::Skewed(3600), 403, "clock"),
        (Misconduct::Skewed(-7200), 403, "exp"),
        (Misconduct::Says("sub", json!(7)), 403, ""),
        (Misconduct::Says("sub", Value::Null), 403, "sub"),
        (Misconduct::Says("groups", json!([{ "id": 1 }])), 403, "groups"),
        (Misconduct::Says("groups", json!((0..5_001).map(|n| format!("g{n}")).collect::<Vec<_>>())), 403, "groups"),
    ];
    for (misconduct, status, words) in wrong {
        company.provider.misbehave(misconduct.clone());
        let mut ada = stranger();
        let answer = company.sign_in(&mut ada, "corp").await;
        let text = answer.text();
        assert_eq!(answer.status, status, "{misconduct:?}: {text}");
        assert!(text.contains("The Company") && text.contains("rid_"), "{misconduct:?}: {text}");
        assert_eq!(signed_in(&company, &mut ada).await, None, "{misconduct:?}");
        let why = company.last_failure().await;
        assert!(why.starts_with("at `corp`") && why.contains(words), "{misconduct:?}: {why}");
    }
    assert_eq!(company.users().await.len(), 1, "nobody was made");
    company.provider.behave();
    company.provider.person(&json!({ "email": null, "groups": "engineers" }));
    let mut ada = stranger();
    assert_eq!(company.sign_in(&mut ada, "corp").await.status, 200);
    assert_eq!(signed_in(&company, &mut ada).await.as_deref(), Some("corp:ada"));
}

/// ATK-305: metadata in another name, or none at all: a page, a record, and nobody is sent anywhere.
#[tokio::test]
async fn a_provider_that_lies_or_fails_at_first_is_a_page() {
    for misconduct in [Misconduct::Lies("https://login.example".to_owned()), Misconduct::Fails("openid-configuration")]
    {
        let company = Company::start("").await;
        company.provider.misbehave(misconduct.clone());
        let mut ada = stranger();
        page(ada.visit(&company.url("/login")).await);
        let (_, answer) = page(ada.visit(&company.url("/login/corp")).await);
        assert_eq!(answer.status, 502, "{misconduct:?}: {}", answer.text());
        assert!(company.last_failure().await.contains("metadata"), "{misconduct:?}");
    }
}

/// ATK-306, ATK-80, ATK-83, PX-08, PX-09: an answer counts once, in the browser that was sent, at the provider that was asked.
#[tokio::test]
async fn an_answer_counts_once_in_its_own_browser() {
    let company = Company::start("").await;
    let mut ada = stranger();
    let answer = company.fetch_answer(&mut ada, "corp", &company.url("/login")).await;
    // The browser of somebody else, who is led there to be signed in as Ada.
    let mut eve = stranger();
    page(eve.visit(&company.url("/login")).await);
    assert_eq!(page(eve.visit(&answer).await).1.status, 400);
    assert_eq!(page(stranger().visit(&answer).await).1.status, 400);
    // Another provider's address.
    assert_eq!(page(ada.visit(&answer.replace("/corp/", "/other/")).await).1.status, 400);
    let state = url::Url::parse(&answer).unwrap();
    let twice = format!("{answer}&{}", state.query().unwrap());
    assert_eq!(page(ada.visit(&twice).await).1.status, 400);
    assert_eq!(page(ada.visit(&answer).await).1.status, 200);
    assert_eq!(signed_in(&company, &mut ada).await.as_deref(), Some("corp:ada"));
    assert_eq!(page(ada.visit(&answer).await).1.status, 400);
    assert_eq!(company.provider.arrived("token").len(), 1, "one code was traded");
    assert_eq!(company.acts().await.iter().filter(|act| act["act"] == "login_failed").count(), 5);
}

/// ATK-307: only our own sign-in page leads to a provider.
#[tokio::test]
async fn a_page_of_another_site_does_not_choose_where_somebody_signs_in() {
    let company = Company::start("").await;
    let mut ada = stranger();
    // Without the cookie of the sign-in page.
    let (at, _) = page(ada.visit(&company.url("/login/corp")).await);
    assert!(at.ends_with("/login"), "{at}");
    let led = Caller::new().get(&company.url("/login/corp")).header("sec-fetch-site", "cross-site");
    let answer = ada.send(led).await;
    assert_eq!((answer.status, answer.location()), (303, Some("/login")));
    assert_eq!(company.provider.arrived("authorize").len(), 0);
    assert_eq!(page(ada.visit(&company.url("/login/nobody")).await).1.status, 404);
}

/// ATK-308, ATK-84: a name that somebody chose at a provider makes them nobody here, and one subject at two providers is two users.
#[tokio::test]
async fn nobody_gets_a_local_name_or_the_groups_of_another_provider() {
    let company = Company::start("").await;
    company.provider.person(&json!({ "preferred_username": "alice", "groups": ["engineers", "owners"] }));
    let mut eve = stranger();
    company.sign_in(&mut eve, "corp").await;
    assert_eq!(signed_in(&company, &mut eve).await.as_deref(), Some("corp:alice"));
    company.provider.person(&json!({ "sub": "mallory-2", "preferred_username": "alice", "groups": [] }));
    let mut mallory = stranger();
    company.sign_in(&mut mallory, "corp").await;
    assert_eq!(signed_in(&company, &mut mallory).await.as_deref(), Some("corp:alice-2"));
    let users = company.users().await;
    let owners: Vec<_> = users.iter().filter(|user| user["role"] == "owner").map(|user| &user["name"]).collect();
    assert_eq!(owners, ["alice"], "{users:?}");
    // The issuer and the subject are the person, by whichever of our clients they sign in there.
    company.provider.person(&json!({ "preferred_username": "alice", "groups": [] }));
    let mut again = stranger();
    company.sign_in(&mut again, "other").await;
    assert_eq!(signed_in(&company, &mut again).await.as_deref(), Some("corp:alice"));
}

/// ATK-309: a user who is shut out stays out, also with the provider's word.
#[tokio::test]
async fn a_user_who_is_shut_out_stays_out() {
    let company = Company::start("").await;
    let mut ada = stranger();
    company.sign_in(&mut ada, "corp").await;
    assert_eq!(company.checkpoint.command(&["user", "disable", "corp:ada"]).await.code(), Some(0));
    assert_eq!(signed_in(&company, &mut ada).await, None);
    let answer = company.sign_in(&mut ada, "corp").await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert_eq!(signed_in(&company, &mut ada).await, None);
    assert!(company.last_failure().await.contains("shut out"));
}

/// ATK-310: a logout token ends the sessions that it names, once; an ID token is none.
#[tokio::test]
async fn a_provider_signs_people_out_by_a_logout_token() {
    let company = Company::start("logout_ends_grants = true").await;
    let mut ada = stranger();
    let (_, tokens) = company.let_in(&mut ada).await;
    assert!(company.reads(&tokens).await);
    let send = async |token: &str| {
        let call = Caller::new().post(&company.url("/login/corp/backchannel")).form(&[("logout_token", token)]);
        call.send().await.status
    };
    let now = company.provider.sign(Some("JWT"), &json!({}));
    assert_eq!(send(&now).await, 400);
    let others = company.provider.logout_token("another-client", "ada-1", Some("session-1"));
    assert_eq!(send(&others).await, 400);
    let unknown = company.provider.logout_token(CLIENT, "grace-1", None);
    assert_eq!(send(&unknown).await, 200);
    assert_eq!(signed_in(&company, &mut ada).await.as_deref(), Some("corp:ada"));
    let token = company.provider.logout_token(CLIENT, "ada-1", Some("session-1"));
    assert_eq!(send(&token).await, 200);
    assert_eq!(signed_in(&company, &mut ada).await, None);
    assert!(!company.reads(&tokens).await, "the grant ended as well");
    assert_eq!(send(&token).await, 400, "once");
    let acts = company.acts().await;
    let ended: Vec<_> = acts.iter().filter(|act| act["act"] == "sessions_ended").collect();
    assert_eq!(ended.len(), 1);
    assert!(ended[0]["detail"].as_str().unwrap().contains("by `corp`; 1 sessions"), "{ended:?}");
}

/// A grant that may outlast the session outlasts a sign-out at the provider, unless the configuration ends grants with it.
#[tokio::test]
async fn a_sign_out_at_the_provider_ends_lasting_grants_only_if_it_is_to() {
    for (more, lives) in [("", true), ("logout_ends_grants = true", false)] {
        let company = Company::start(more).await;
        let mut ada = stranger().ticking("scope", "offline_access");
        let (_, tokens) = company.let_in_for(&mut ada, "mcp:read offline_access").await;
        assert!(company.reads(&tokens).await && tokens.refresh.is_some());
        let token = company.provider.logout_token(CLIENT, "ada-1", Some("session-1"));
        let call = Caller::new().post(&company.url("/login/corp/backchannel")).form(&[("logout_token", &token)]);
        assert_eq!(call.send().await.status, 200);
        assert_eq!(signed_in(&company, &mut ada).await, None, "{more}: the session ends either way");
        assert_eq!(company.reads(&tokens).await, lives, "{more}");
        let acts = company.acts().await;
        let ended = acts.iter().find(|act| act["act"] == "sessions_ended").unwrap();
        let grants = if lives { "0 grants" } else { "1 grants" };
        assert!(ended["detail"].as_str().unwrap().contains(grants), "{more}: {ended}");
    }
}

/// ATK-311: where there are no passwords, none lets anybody in; a link from the machine lets an owner in, and nobody else.
#[tokio::test]
async fn without_passwords_only_an_owner_comes_in_by_a_link() {
    let provider = Provider::start(Behaves::Generic).await.unwrap();
    let login = format!("[login]\npasswords = false\n{}", table("corp", &provider, ""));
    let checkpoint = setup(&login).user("bob", PASSWORD).start().await;
    let company = Company { provider, checkpoint };
    let mut alice = Person::new("alice", PASSWORD);
    let (_, login) = page(alice.visit(&company.url("/login")).await);
    assert!(!login.text().contains("type=\"password\"") && login.text().contains("/login/corp"), "{}", login.text());
    let forced = Caller::new().post(&company.url("/login")).form(&[("username", "alice"), ("password", PASSWORD)]);
    assert_eq!(alice.send(forced).await.status, 405);
    let link = async |name: &str| {
        let made = company.checkpoint.command(&["user", "link", name]).await;
        made.stdout.split_whitespace().find(|word| word.contains("/setup/")).expect("a link").to_owned()
    };
    alice.set_up(&link("alice").await).await;
    assert_eq!(signed_in(&company, &mut alice).await.as_deref(), Some("alice"));
    let (_, refused) = page(Person::new("bob", PASSWORD).visit(&link("bob").await).await);
    assert_eq!(refused.status, 404, "{}", refused.text());
    assert_eq!(company.provider.arrived("authorize").len(), 0);
}
