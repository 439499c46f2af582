//! Identity assertions (ID-JAG) at the real binary: copies, keys that an assertion names, people who left.

use std::net::Ipv4Addr;
use std::time::Duration;

use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::oauth::{Client, REDIRECT, basic};
use sekisho_e2e::fakes::provider::Provider;
use sekisho_e2e::fakes::provider::keys::{Key, Signs};
use sekisho_e2e::fakes::provider::profile::Behaves;
use sekisho_e2e::fakes::upstream::Speaks;
use sekisho_e2e::fakes::wire::{Ask, Reply, ask_from};
use sekisho_e2e::harness::wait::{LONG, within};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::faults_of_disks::number_in;
use super::field::{Field, UP};
use super::provisioning;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TYPE: &str = "oauth-id-jag+jwt";
/// How many assertions are shown at once, unless `SEKISHO_TEST_ASSERTIONS` gives another number; half of them are copies.
const ASSERTIONS: usize = 1_000;

/// A checkpoint that trusts a provider for assertions, a client of it, and somebody whom the provider provisions.
struct Company {
    field: Field,
    provider: Provider,
    client: Client,
    scim: provisioning::Client,
    ada: String,
}

impl Company {
    async fn start() -> Self {
        let provider = Provider::start(Behaves::Generic).await.unwrap();
        provider.register("checkpoint", "the secret of the checkpoint");
        let login = format!(
            "[[login.provider]]\nname = \"corp\"\nissuer = \"{}\"\nclient_id = \"checkpoint\"\n\
             client_secret = \"the secret of the checkpoint\"\nassertions = true\n",
            provider.issuer()
        );
        let field = Field::before(Speaks::Modern, &login).await;
        let client = field.confidential(REDIRECT).await;
        let scim = provisioning::Client::of(&field.checkpoint).await;
        let ada = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada",
            "externalId": "ada-1" });
        let made = scim.send(http::Method::POST, "/Users", &ada).await;
        assert_eq!(made.status, 201, "{:?}", made.body);
        let ada = provisioning::body(&made)["id"].as_str().unwrap().to_owned();
        let company = Self { field, provider, client, scim, ada };
        // What somebody new may do is in force a moment later.
        let first = company.assertion("to begin with");
        within(LONG, "the rights of somebody new", async || (company.show(&first).await.status == 200).then_some(()))
            .await;
        company
    }

    fn claims(&self, jti: &str) -> Value {
        let now = self.provider.now();
        json!({ "iss": self.provider.issuer(), "sub": "ada-1", "aud": self.field.base_url(),
            "client_id": self.client.id, "resource": self.field.resource(UP), "scope": "mcp:read",
            "jti": jti, "iat": now, "exp": now + 300 })
    }

    fn assertion(&self, jti: &str) -> String {
        self.provider.sign(Some(TYPE), &self.claims(jti))
    }

    fn request(&self, assertion: &str) -> Ask {
        let secret = self.client.secret.as_deref().unwrap();
        let form = [("grant_type", GRANT_TYPE), ("assertion", assertion)];
        Ask::post("/oauth/token").form(&form).header("authorization", &basic(&self.client.id, secret))
    }

    async fn show(&self, assertion: &str) -> Reply {
        self.field.ask(&self.request(assertion)).await
    }
}

/// ATK-338, AS-54: of a thousand assertions that are shown at the same moment, half of them copies, each gives one token, and the
/// tokens are good. `SEKISHO_TEST_ASSERTIONS` shows another number.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_assertions_at_once_each_is_used_once() {
    let half = number_in("SEKISHO_TEST_ASSERTIONS").unwrap_or(ASSERTIONS) / 2;
    let company = Company::start().await;
    let assertions: Vec<String> = (0..half).map(|n| company.assertion(&format!("a{n}"))).collect();
    let mut showing = JoinSet::new();
    for (n, assertion) in assertions.iter().chain(&assertions).enumerate() {
        let (address, request) = (company.field.address, company.request(assertion));
        // Several callers: one alone would have a part of the connections only.
        let from = Ipv4Addr::new(127, 0, 0, u8::try_from(n % 8 + 1).unwrap());
        showing.spawn(async move {
            // With so many at once some are told to come again (503): nothing happened then.
            let shown = async || {
                let reply = ask_from(from.into(), address, &request).await.unwrap();
                (reply.status != 503).then_some(reply)
            };
            (n % half, within(LONG, "an answer", shown).await)
        });
    }
    let mut tokens: Vec<Vec<String>> = vec![Vec::new(); half];
    while let Some(shown) = showing.join_next().await {
        let (n, reply) = shown.unwrap();
        match reply.status {
            200 => tokens[n].push(reply.json()["access_token"].as_str().unwrap().to_owned()),
            400 => assert_eq!(reply.json()["error"], "invalid_grant", "{}", reply.text()),
            other => panic!("{other}: {}", reply.text()),
        }
    }
    assert!(tokens.iter().all(|of_one| of_one.len() == 1), "each assertion gives one token");
    for token in [&tokens[0][0], &tokens[half - 1][0]] {
        assert_eq!(company.field.ask(&tool(UP, token, "look")).await.status, 200);
    }
    let grants = company.field.checkpoint.ask(&["grant", "list"]).await;
    assert_eq!(grants[0]["grants"].as_array().unwrap().len(), half + 1, "with the one to begin with");
}

/// ATK-376: an assertion does not say where its key is, and unknown keys do not have us ask the provider again and again.
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_does_not_choose_its_key() {
    const FORGED: usize = 40;
    let company = Company::start().await;
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", trap.local_addr().unwrap());
    let asked = company.provider.arrived("keys").len();
    for n in 0..FORGED {
        let own = Key::generate(&format!("unknown-{n}"), Signs::Rs256);
        let claims = company.claims(&format!("forged-{n}"));
        let token = match n % 4 {
            0 => own.token(Some(TYPE), &claims),
            1 => own.token_with(&json!({ "typ": TYPE, "jku": url }), &claims),
            2 => own.token_with(&json!({ "typ": TYPE, "x5u": url }), &claims),
            _ => own.token_with(&json!({ "typ": TYPE, "jwk": own.jwk() }), &claims),
        };
        let reply = company.show(&token).await;
        assert_eq!((reply.status, reply.json()["error"].as_str()), (400, Some("invalid_grant")), "{}", reply.text());
    }
    // Four in a row for keys that are missing, and one a minute.
    let fetches = company.provider.arrived("keys").len() - asked;
    assert!(fetches <= 6, "{fetches} fetches for {FORGED} keys");
    let came = tokio::time::timeout(Duration::from_millis(300), trap.accept()).await;
    assert!(came.is_err(), "somebody asked for the keys that an assertion names");
    company.field.noted("token_refused").await;
    assert_eq!(company.show(&company.assertion("last")).await.status, 200);
}

/// ATK-377: whoever leaves loses what an assertion gave, and the next assertion gives nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_keeps_nothing_of_an_assertion() {
    let company = Company::start().await;
    let reply = company.show(&company.assertion("1")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json().get("refresh_token"), None);
    let token = reply.json()["access_token"].as_str().unwrap().to_owned();
    let call = tool(UP, &token, "look");
    assert_eq!(company.field.ask(&call).await.status, 200);
    company.scim.set_active(&company.ada, false).await;
    within(LONG, "the end of the grant", async || (company.field.ask(&call).await.status == 401).then_some(())).await;
    let next = company.assertion("2");
    assert_eq!(company.show(&next).await.json()["error"], "invalid_grant");
    company.scim.set_active(&company.ada, true).await;
    assert_eq!(company.field.ask(&call).await.status, 401, "what ended stays ended");
    within(LONG, "an assertion that was not used up", async || (company.show(&next).await.status == 200).then_some(()))
        .await;
}
