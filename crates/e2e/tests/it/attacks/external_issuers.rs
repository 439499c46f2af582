//! Attacks on servers whose access an external authorization server grants.

use sekisho_e2e::fakes::provider::profile::Behaves;
use sekisho_e2e::fakes::provider::{Misconduct, Provider};
use sekisho_e2e::harness::wait::until;
use sekisho_e2e::harness::{Agent, Checkpoint, Mcp, Person, Reply, binary};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::mcp::method::Revision;
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery staple";
const SECRET: &str = "the secret of the checkpoint";

/// A provider that grants access to three servers, and a checkpoint that also has one of its own.
struct Company {
    provider: Provider,
    checkpoint: Checkpoint,
}

#[expect(clippy::disallowed_methods, reason = "the issuer lives in real time")]
fn now() -> i64 {
    Timestamp::now().as_second()
}

impl Company {
    async fn start() -> Self {
        let provider = Provider::start(Behaves::Generic).await.unwrap();
        provider.register("sekisho", SECRET);
        provider.register("gate", SECRET);
        let program = binary().display().to_string();
        let server = |name: &str, authorization: &str| {
            format!(
                "[servers.{name}]\ncommand = [{program:?}, \"bundled\", \"notes\"]\neveryone = \"read\"\n\
                 scopes_default = [\"mcp:read\"]\ntools = {{ list_notes = \"read\", write_note = \"write\" }}\n{authorization}\n"
            )
        };
        let external = |name: &str, more: &str| {
            let authorization = format!(
                "[servers.{name}.authorization]\nprovider = \"corp\"\naudience = \"{}\"\n\
                 scopes = {{ read = [\"mcp:read\"] }}\n{more}",
                // An opaque token of the provider says for whom it is, and has no colon.
                if name == "asked" { "asked-here".to_owned() } else { format!("api://{name}") }
            );
            server(name, &authorization)
        };
        let asked = format!("accept = \"introspection\"\nclient_id = \"gate\"\nclient_secret = {SECRET:?}");
        let toml = format!(
            "{}{}{}{}[[login.provider]]\nname = \"corp\"\nissuer = {:?}\nclient_id = \"sekisho\"\nclient_secret = {SECRET:?}\n",
            external("notes", ""),
            external("other", ""),
            external("asked", &asked),
            server("plain", ""),
            provider.issuer(),
        );
        let checkpoint = Checkpoint::configured(&toml).owner("alice", PASSWORD).start().await;
        Self { provider, checkpoint }
    }

    /// The claims of a good token for `notes`.
    fn claims(&self) -> Value {
        json!({ "iss": self.provider.issuer(), "sub": "ada-1", "aud": "api://notes", "client_id": "agent", "scope": "read",
            "jti": "one", "iat": now(), "exp": now() + 600 })
    }

    fn token(&self, changes: &[(&str, Value)]) -> String {
        let mut claims = self.claims();
        for (name, value) in changes {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(*name)),
                value => claims[*name] = value.clone(),
            }
        }
        self.provider.sign(Some("at+jwt"), &claims)
    }

    async fn call(&self, server: &str, token: &str) -> Reply {
        Mcp::new(&self.checkpoint.server_named(server), Revision::V2026_07_28, Some(token))
            .tool("list_notes", json!({}))
            .await
    }

    async fn is_good(&self, server: &str, token: &str) {
        let reply = self.call(server, token).await;
        assert!(reply.status == 200 && reply.message["result"]["isError"] != true, "{reply:?}");
    }

    async fn is_refused(&self, server: &str, token: &str, what: &str) {
        let reply = self.call(server, token).await;
        assert_eq!(reply.status, 401, "{what}: {reply:?}");
        assert_eq!(reply.answer.challenge()["error"], "invalid_token", "{what}");
    }

    /// A token of our own issuer for the server of our own.
    async fn own_token(&self) -> String {
        let agent = Agent::register(&self.checkpoint.server_named("plain")).await;
        agent.be_let_in(&mut Person::new("alice", PASSWORD), Some("mcp:read")).await.access
    }

    async fn grants(&self) -> Vec<Value> {
        let listed = self.checkpoint.ask(&["grant", "list"]).await;
        listed[0]["grants"].as_array().cloned().unwrap_or_default()
    }
}

/// ATK-380, ATK-383, ATK-384, ATK-398, ATK-399: a token is good at the server that it is for, from the issuer of that
/// server, and nowhere else.
#[tokio::test]
async fn tokens_of_two_issuers_are_never_confused() {
    let company = Company::start().await;
    let (theirs, ours) = (company.token(&[]), company.own_token().await);
    company.is_good("notes", &theirs).await;
    company.is_good("plain", &ours).await;
    for server in ["other", "asked", "plain"] {
        company.is_refused(server, &theirs, server).await;
    }
    for server in ["notes", "other", "asked"] {
        company.is_refused(server, &ours, server).await;
    }
    let base = company.checkpoint.base_url();
    for (what, changes) in [
        ("the issuer claims to be ours", vec![("iss", json!(base))]),
        ("another issuer", vec![("iss", json!("https://evil.example"))]),
        ("two of our servers", vec![("aud", json!(["api://notes", "api://other"]))]),
        ("somebody else as well", vec![("aud", json!(["api://notes", "https://evil.example"]))]),
        ("the URL of the server", vec![("aud", json!(company.checkpoint.server_named("notes")))]),
        ("no audience", vec![("aud", Value::Null)]),
    ] {
        for server in ["notes", "plain"] {
            company.is_refused(server, &company.token(&changes), what).await;
        }
    }
    // Our issuer gives out nothing for a server that does not accept it.
    let agent = Agent::register(&company.checkpoint.server_named("plain")).await;
    let resource = company.checkpoint.server_named("notes");
    let invitation = agent.invite_with(Some("mcp:read"), &[("resource", &resource)]);
    let answer = sekisho_e2e::harness::Caller::new().get(&invitation.url).send().await;
    let told = format!("{} {}", answer.location().unwrap_or_default(), answer.text());
    assert!(told.contains("invalid_target"), "{told}");
    // Both sides still work.
    company.is_good("notes", &theirs).await;
    company.is_good("plain", &ours).await;
    assert_eq!(company.grants().await.len(), 2);
}

/// ATK-382, ATK-385, ATK-386, ATK-387, ATK-391: what is not a good access token about a person gives nothing, and scopes
/// that only sound like ours permit nothing.
#[tokio::test]
async fn what_is_no_access_token_of_a_person_gives_no_access() {
    let company = Company::start().await;
    for (what, changes) in [
        ("an ID token", vec![("nonce", json!("n"))]),
        ("an ID token by its hash", vec![("at_hash", json!("h"))]),
        ("a logout token", vec![("events", json!({}))]),
        ("a refresh token", vec![("typ", json!("Refresh"))]),
        ("bound to a key", vec![("cnf", json!({ "jkt": "x" }))]),
        ("a client in its own name", vec![("sub", json!("agent"))]),
        ("nobody", vec![("sub", Value::Null)]),
        ("no client", vec![("client_id", Value::Null)]),
        ("expired", vec![("iat", json!(now() - 7200)), ("exp", json!(now() - 3600))]),
        ("not valid yet", vec![("nbf", json!(now() + 3600))]),
        ("for years", vec![("exp", json!(now() + 400 * 24 * 3600))]),
    ] {
        company.is_refused("notes", &company.token(&changes), what).await;
    }
    for typ in [None, Some("JWT"), Some("logout+jwt"), Some("oauth-id-jag+jwt")] {
        company.is_refused("notes", &company.provider.sign(typ, &company.claims()), "another type").await;
    }
    let good = company.token(&[]);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other = company.token(&[("jti", json!("two"))]);
    let (_, of_other) = other.rsplit_once('.').unwrap();
    for bad in [format!("{signed}."), format!("{signed}.{of_other}"), signed.to_owned(), format!("{good}.{signature}")]
    {
        company.is_refused("notes", &bad, "another signature").await;
    }
    assert!(company.grants().await.is_empty());
    let loud = company.token(&[("scope", json!("mcp:destructive mcp:read tool:list_notes"))]);
    let reply = company.call("notes", &loud).await;
    assert_eq!((reply.status, reply.answer.challenge()["scope"].clone()), (403, json!("read")));
    company.is_good("notes", &good).await;
}

/// ATK-381, ATK-396: an issuer that calls itself otherwise, or does not answer, lets nobody in, and nobody is let in for it.
#[tokio::test]
async fn an_issuer_that_lies_or_fails_lets_nobody_in() {
    let company = Company::start().await;
    let token = company.token(&[]);
    for misconduct in [
        Misconduct::Lies("https://evil.example".to_owned()),
        Misconduct::Lies(company.checkpoint.base_url().to_owned()),
        Misconduct::Fails("openid-configuration"),
    ] {
        company.provider.misbehave(misconduct.clone());
        let asked = company.provider.arrived("openid-configuration").len();
        // The issuer is asked again some seconds after a failure.
        until("the issuer is asked again", async || {
            for (server, token) in [("notes", token.as_str()), ("asked", "opaque-asked-here")] {
                let reply = company.call(server, token).await;
                assert_eq!(reply.status, 503, "{server}, {misconduct:?}: {reply:?}");
                assert_eq!(reply.answer.header("www-authenticate"), None);
                assert!(reply.answer.header("retry-after").is_some());
            }
            (company.provider.arrived("openid-configuration").len() > asked).then_some(())
        })
        .await;
    }
    company.provider.misbehave(Misconduct::Fails("introspect"));
    until("the issuer is asked about the token", async || {
        assert_eq!(company.call("asked", "opaque-asked-here").await.status, 503);
        (!company.provider.arrived("introspect").is_empty()).then_some(())
    })
    .await;
    company.provider.behave();
    company.is_good("asked", "opaque-asked-here").await;
    until("a good answer", async || (company.call("notes", &token).await.status == 200).then_some(())).await;
}

/// ATK-388, ATK-392, ATK-397: names and addresses make nobody a user of this checkpoint, a client is never one of ours, and
/// who was shut out stays out.
#[tokio::test]
async fn nobody_is_taken_for_somebody_else() {
    let company = Company::start().await;
    company.own_token().await;
    let ours = company.grants().await[0]["client"].as_str().unwrap().to_owned();
    let posing = [
        ("email", json!("alice")),
        ("preferred_username", json!("alice")),
        ("name", json!("alice")),
        ("client_id", json!(ours)),
    ];
    company.is_good("notes", &company.token(&posing)).await;
    let grants = company.grants().await;
    let made = grants.iter().find(|grant| grant["server"] == "notes").unwrap();
    assert_eq!((&made["subject"], &made["client"]), (&json!("corp:alice"), &json!(format!("corp:{ours}"))));
    let users = company.checkpoint.ask(&["user", "list"]).await;
    let user = users[0]["users"].as_array().unwrap().iter().find(|user| user["name"] == "corp:alice").unwrap().clone();
    assert_eq!((&user["role"], &user["password"]), (&json!("user"), &json!(false)));
    company.checkpoint.ask(&["user", "disable", "corp:alice"]).await;
    let posing: Vec<_> = posing.into_iter().chain([("jti", json!("another"))]).collect();
    let token = company.token(&posing);
    let reply =
        until("a refusal", async || Some(company.call("notes", &token).await).filter(|reply| reply.status == 403))
            .await;
    assert_eq!((reply.answer.header("www-authenticate"), &reply.refusal()["remedy"]["kind"]), (None, &json!("none")));
    company.checkpoint.ask(&["user", "enable", "corp:alice"]).await;
    let reply = company.call("notes", &token).await;
    assert_eq!((reply.status, &reply.refusal()["remedy"]["kind"]), (403, &json!("let_in")), "{reply:?}");
}

/// ATK-389, ATK-393, ATK-394: made-up tokens cost the issuer a few requests, and it never sees one of ours.
#[tokio::test]
async fn strangers_cost_the_issuer_little_and_it_sees_none_of_our_tokens() {
    let company = Company::start().await;
    company.is_good("notes", &company.token(&[])).await;
    let asked = company.provider.arrived("keys").len();
    let stranger = Provider::start(Behaves::Generic).await.unwrap();
    stranger.change_keys();
    for n in 0..60 {
        let mut claims = company.claims();
        (claims["jti"], claims["iat"]) = (json!(n.to_string()), json!(now() - 300));
        company.is_refused("notes", &stranger.sign(Some("at+jwt"), &claims), "an unknown key").await;
    }
    let more = company.provider.arrived("keys").len() - asked;
    assert!(more <= 6, "{more} requests for keys");
    company.is_refused("asked", &company.own_token().await, "one of ours").await;
    for _ in 0..30 {
        company.is_refused("asked", "made-up", "an opaque token").await;
    }
    let told: Vec<String> =
        company.provider.arrived("introspect").into_iter().map(|one| one.fields["token"].clone()).collect();
    assert!(told.len() <= 10 && told.iter().all(|token| token == "made-up"), "{told:?}");
    company.is_good("asked", "opaque-asked-here").await;
}

/// ATK-390: an agent whose access was ended gets new tokens, and no access.
#[tokio::test]
async fn new_tokens_do_not_bring_an_ended_grant_back() {
    let company = Company::start().await;
    company.is_good("notes", &company.token(&[])).await;
    let grant = company.grants().await[0]["id"].as_str().unwrap().to_owned();
    company.checkpoint.ask(&["grant", "revoke", &grant]).await;
    for n in 0..5 {
        let token = company.token(&[("jti", json!(n.to_string())), ("iat", json!(now()))]);
        let reply =
            until("a refusal", async || Some(company.call("notes", &token).await).filter(|one| one.status == 403))
                .await;
        assert_eq!((&reply.refusal()["set"], &reply.refusal()["remedy"]["kind"]), (&json!("grant"), &json!("let_in")));
    }
    company.checkpoint.ask(&["grant", "release", &grant]).await;
    let token = company.token(&[]);
    until("a good answer", async || (company.call("notes", &token).await.status == 200).then_some(())).await;
    assert_eq!(company.grants().await.len(), 2);
}
