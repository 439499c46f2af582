//! People whom a provider provisions over SCIM and who sign in there: one user each, by the provider's own identifier.

use http::Method;
use http::header::LOCATION;
use sekisho_e2e::fakes::provider::Provider;
use sekisho_e2e::fakes::provider::profile::Behaves;
use sekisho_e2e::harness::{Answer, BrowserState, Caller, Checkpoint, Person, links};
use serde_json::{Value, json};

use super::field::{OWNER, PASSWORD};
use super::provisioning::{Client, body, patch};

/// A checkpoint with one provider, at which people sign in and which provisions them.
struct Company {
    provider: Provider,
    checkpoint: Checkpoint,
    scim: Client,
}

impl Company {
    async fn start() -> Self {
        let provider = Provider::start(Behaves::Generic).await.unwrap();
        provider.register("checkpoint", "the secret of the checkpoint");
        let toml = format!(
            "[[login.provider]]\nname = \"corp\"\nissuer = \"{}\"\nclient_id = \"checkpoint\"\n\
             client_secret = \"the secret of the checkpoint\"\n",
            provider.issuer()
        );
        let checkpoint = Checkpoint::configured(&toml).owner(OWNER, PASSWORD).start().await;
        let scim = Client::of(&checkpoint).await;
        Self { provider, checkpoint, scim }
    }

    /// Signs somebody with these claims in, in a new browser. The last page.
    async fn sign_in(&self, claims: &Value) -> Answer {
        let mut person = Person::new("nobody", PASSWORD);
        let back = self.way_back(&mut person, claims).await;
        person.visit(&back).await.page()
    }

    /// Goes to the provider, where the person has these claims. The address to which the provider sends the browser back.
    async fn way_back(&self, person: &mut Person, claims: &Value) -> String {
        self.provider.person(claims);
        let login = format!("{}/login", self.checkpoint.base_url());
        let page = person.visit(&login).await.page();
        let link = links(&page.text()).into_iter().find(|link| link.contains("/login/corp")).expect("a button");
        let link = url::Url::parse(&login).unwrap().join(&link).unwrap();
        let BrowserState::Away(away) = person.visit(link.as_str()).await else { panic!("nobody was sent away") };
        let back = Caller::new().get(&away).send().await;
        back.headers[LOCATION].to_str().unwrap().to_owned()
    }

    /// The users but the owner, by name, each with its identifier.
    async fn people(&self) -> Vec<(String, String)> {
        let said = self.checkpoint.ask(&["user", "list"]).await;
        let users = said[0]["users"].as_array().unwrap().iter();
        let text = |user: &Value, member: &str| user[member].as_str().unwrap().to_owned();
        let mut people: Vec<_> = users.map(|user| (text(user, "name"), text(user, "id"))).collect();
        people.retain(|(name, _)| name != OWNER);
        people.sort();
        people
    }

    async fn names(&self) -> Vec<String> {
        self.people().await.into_iter().map(|(name, _)| name).collect()
    }
}

fn person(external_id: &str, user_name: &str) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "externalId": external_id,
        "userName": user_name, "emails": [{ "value": "ada@example.com", "type": "work" }] })
}

fn claims(sub: &str, name: &str) -> Value {
    json!({ "sub": sub, "preferred_username": name, "email": "ada@example.com" })
}

/// ATK-322: whoever is provisioned first and signs in then, or the other way round, is one user with one form of name, whatever
/// they are called in between; and somebody with the same address or name is somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_provisioned_and_signs_in_is_one_user() {
    let company = Company::start().await;
    let made = company.scim.send(Method::POST, "/Users", &person("ada-1", "ada@example.com")).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    assert_eq!(company.sign_in(&claims("ada-1", "ada")).await.status, 200);
    assert_eq!(
        company.people().await,
        [("corp:ada@example.com".to_owned(), body(&made)["id"].as_str().unwrap().to_owned())]
    );

    assert_eq!(company.sign_in(&claims("grace-1", "grace")).await.status, 200);
    let made = company.scim.send(Method::POST, "/Users", &person("grace-1", "grace@example.com")).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    let grace = ("corp:grace".to_owned(), body(&made)["id"].as_str().unwrap().to_owned());
    assert!(company.people().await.contains(&grace), "{:?}", company.people().await);
    assert_eq!(company.names().await.len(), 2);

    // The same name and address, but another person of the provider; then one who is provisioned with the name of a user.
    assert_eq!(company.sign_in(&claims("eve-1", "ada@example.com")).await.status, 200);
    let mallory = company.scim.send(Method::POST, "/Users", &person("mallory-1", "grace")).await;
    assert_eq!(mallory.status, 201);
    let names = ["corp:ada@example.com", "corp:ada@example.com-2", "corp:grace", "corp:grace-2"];
    assert_eq!(company.names().await, names);

    // Whom the provider shuts out does not come in, under whichever name they were made.
    for (sub, id) in [("ada-1", 0), ("grace-1", 2)] {
        let id = company.people().await[id].1.clone();
        company.scim.set_active(&id, false).await;
        assert_eq!(company.sign_in(&claims(sub, "another name")).await.status, 403);
        let gone = company.scim.send(Method::DELETE, &format!("/Users/{id}"), &Value::Null).await;
        assert_eq!(gone.status, 204);
        assert_eq!(company.sign_in(&claims(sub, "another name")).await.status, 403, "still");
    }
    assert_eq!(company.names().await, names, "nobody new");
}

/// ATK-379: whoever signs in at the same moment at which the provider provisions them, in many browsers and by many requests,
/// becomes one user.
#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_while_being_provisioned_is_one_user() {
    const TIMES: usize = 8;
    let company = Company::start().await;
    let sent = person("ada-1", "ada@example.com");
    let provisioned =
        futures_util::future::join_all((0..TIMES).map(|_| company.scim.send(Method::POST, "/Users", &sent)));
    let claims = claims("ada-1", "ada");
    let signed_in = futures_util::future::join_all((0..TIMES).map(|_| company.sign_in(&claims)));
    let (provisioned, signed_in) = tokio::join!(provisioned, signed_in);
    let statuses: Vec<u16> = provisioned.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), TIMES - 1, "{statuses:?}");
    let refused: Vec<String> = signed_in.iter().filter(|page| page.status != 200).map(Answer::text).collect();
    assert!(refused.is_empty(), "{refused:#?}\n{:?}", company.checkpoint.records().await);
    let people = company.people().await;
    assert_eq!(people.len(), 1, "{people:?}");
    let off = patch(&json!([{ "op": "replace", "path": "active", "value": false }]));
    assert_eq!(company.scim.send(Method::PATCH, &format!("/Users/{}", people[0].1), &off).await.status, 200);
    assert_eq!(company.sign_in(&claims).await.status, 403);
}

/// A browser says of every redirect on the way back from a provider that another site led it there, and behind a door nobody is let
/// in who was led there. A page of ours leads on (decision 0102).
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_comes_back_from_a_provider_is_led_on() {
    let company = Company::start().await;
    let mut person = Person::new("nobody", PASSWORD);
    let back = company.way_back(&mut person, &claims("ada-1", "ada")).await;
    let foreign = |url: &str| Caller::new().get(url).header("sec-fetch-site", "cross-site");
    let page = person.send(foreign(&back)).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    let (_, refresh) = text.split_once("http-equiv=\"refresh\" content=\"0; url=").unwrap();
    let to = refresh.split_once('"').unwrap().0.to_owned();
    assert!(to.starts_with("/~") && page.text().contains(&format!("href=\"{to}\"")), "{}", page.text());
    let url = format!("{}{to}", company.checkpoint.base_url());
    let led = person.send(foreign(&url)).await;
    assert_eq!(led.status, 303, "another site leads nobody behind a door");
    assert!(person.visit(&url).await.page().text().contains("corp:ada"));
}
