//! The endpoint for provisioning clients from outside: browsers, tokens of other kinds, other spellings, slow bodies, names.

use std::time::Duration;

use http::Method;
use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::wire::{Ask, Connection};
use sekisho_e2e::harness::wait::within;
use sekisho_e2e::harness::{Caller, Person};
use serde_json::{Value, json};

use super::field::{Field, OWNER, PASSWORD, UP};
use super::provisioning::{Client, body, patch};

const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

async fn users_of(field: &Field) -> Vec<Value> {
    field.checkpoint.ask(&["user", "list"]).await[0]["users"].as_array().unwrap().clone()
}

/// ATK-371: a browser in which the owner is signed in provisions nobody, whichever page sends it; and no page of another site may
/// send a token or read an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_provisions_nobody() {
    let field = Field::start().await;
    let client = Client::of(&field.checkpoint).await;
    let mut owner = Person::new(OWNER, PASSWORD);
    owner.say_yes(&format!("{}/login", field.base_url())).await;
    assert!(!owner.cookies().is_empty(), "the owner is signed in");
    let url = owner.behind_door(&format!("{}/scim/v2/Users", field.base_url()));
    let made = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "eve" }).to_string();
    let plain = format!("{}/scim/v2/Users", field.base_url());
    for (address, status) in [(&plain, 401), (&url, 404)] {
        for media in ["application/scim+json", "text/plain", "application/x-www-form-urlencoded"] {
            let call = Caller::new().post(address).header("content-type", media).header("origin", field.base_url());
            let answer = owner.send(call.body(made.clone())).await;
            assert_eq!(answer.status, status, "{address} {media}");
        }
    }
    let asked = Caller::new()
        .request(Method::OPTIONS, &plain)
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization");
    let answer = asked.send().await;
    assert!(answer.status >= 400 && !answer.headers.contains_key("access-control-allow-origin"), "{answer:?}");
    // With a token in force, another type of body is refused, and no site is allowed to read the answer.
    let call = Caller::new().post(&plain).bearer(&client.token).header("origin", "https://evil.example");
    let answer = call.header("content-type", "text/plain").body(made).send().await;
    assert_eq!(answer.status, 415);
    let answer = Caller::new().get(&plain).bearer(&client.token).header("origin", "https://evil.example").send().await;
    assert_eq!((answer.status, answer.headers["cache-control"].to_str().unwrap()), (200, "no-store"));
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    assert!(users_of(&field).await.iter().all(|user| !user["name"].as_str().unwrap().contains("eve")));
    field.noted("provisioning_refused").await;
    field.lets_in().await;
}

/// ATK-372: a token of a provisioning client is good for provisioning alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_provisioning_is_good_for_nothing_else() {
    let field = Field::start().await;
    let token = Client::of(&field.checkpoint).await.token;
    assert_eq!(field.ask(&tool(UP, &token, "look")).await.status, 401);
    let confidential = field.confidential(sekisho_e2e::fakes::oauth::REDIRECT).await;
    let id = confidential.id.as_str();
    let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    let access = "urn:ietf:params:oauth:token-type:access_token";
    let bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    for pairs in [
        &[("grant_type", "client_credentials"), ("client_id", id), ("client_secret", &token)][..],
        &[("grant_type", "refresh_token"), ("refresh_token", &token), ("client_id", id)],
        &[("grant_type", "authorization_code"), ("code", &token), ("client_id", id)],
        &[("grant_type", exchange), ("subject_token", &token), ("subject_token_type", access), ("client_id", id)],
        &[("grant_type", bearer), ("assertion", &token), ("client_id", id)],
    ] {
        let reply = field.ask(&Ask::post("/oauth/token").form(pairs)).await;
        assert!((400..500).contains(&reply.status), "{pairs:?}: {}", reply.text());
        assert!(!reply.text().contains("access_token"), "{pairs:?}");
    }
    for page in ["/", "/records", "/login"] {
        let reply = field.ask(&Ask::get(page).bearer(&token)).await;
        assert!(!reply.text().contains("/logout"), "{page} knows somebody");
    }
    field.untouched();
    field.lets_in().await;
}

/// ATK-373: an address in another spelling is no way around the token, and none to the people of another provider.
#[tokio::test(flavor = "multi_thread")]
async fn another_spelling_of_an_address_opens_nothing() {
    let field = Field::start().await;
    let client = Client::of(&field.checkpoint).await;
    let id = client.provision("ada@example.com").await;
    let said = field.checkpoint.ask(&["scim", "token", "add", "okta", "--provider", "other"]).await;
    let other = said[0]["token"].as_str().unwrap().to_owned();
    let user = format!("/scim/v2/Users/{id}");
    let targets = [
        "/scim/v2//Users".to_owned(),
        "/scim//v2/Users".to_owned(),
        "//scim/v2/Users".to_owned(),
        "/scim/v2/%55sers".to_owned(),
        "/scim/v2/Users/".to_owned(),
        "/SCIM/V2/USERS".to_owned(),
        "/scim/v2/Users;a=b".to_owned(),
        "/scim/v2/x/../Users".to_owned(),
        "/scim/v2/./Users".to_owned(),
        "/assets/..%2fscim%2fv2%2fUsers".to_owned(),
        format!("/scim/v2/Users%2f{id}"),
        format!("{user}%00"),
        format!("{user}/"),
        format!("{user}.json"),
        format!("/scim/v2/Groups/..%2fUsers/{id}"),
        format!("/scim/v2/Groups/../Users/{id}"),
        user.clone(),
    ];
    let off = patch(&json!([{ "op": "replace", "path": "active", "value": false }])).to_string();
    for target in &targets {
        for token in [None, Some(other.as_str())] {
            for method in ["GET", "PATCH", "DELETE"] {
                let ask = Ask::new(method, target).header("content-type", "application/scim+json");
                let ask = if method == "PATCH" { ask.body(off.as_bytes()) } else { ask };
                let ask = token.iter().fold(ask, |ask, token| ask.bearer(token));
                let reply = field.ask(&ask).await;
                let empty = reply.status == 200 && reply.json()["totalResults"] == 0;
                assert!((300..500).contains(&reply.status) || empty, "{method} {target}: {}", reply.text());
                assert!(!reply.text().contains("ada@example.com"), "{method} {target}: {}", reply.text());
            }
        }
    }
    let shown = client.send(Method::GET, &format!("/Users/{id}"), &Value::Null).await;
    assert_eq!((shown.status, &body(&shown)["active"]), (200, &json!(true)));
    field.lets_in().await;
}

/// ATK-374: a change is not made with a token that was taken back while the body arrived.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_taken_back_meanwhile_changes_nothing() {
    let field = Field::start().await;
    let client = Client::of(&field.checkpoint).await;
    let sent = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "eve" }).to_string();
    let ask = Ask::post("/scim/v2/Users").bearer(&client.token).header("content-type", "application/scim+json");
    let bytes = ask.body(sent.as_bytes()).bytes(&field.host());
    let (first, last) = bytes.split_at(bytes.len() - 1);
    let mut connection = Connection::open(field.address).await.unwrap();
    connection.send(first).await.unwrap();
    // The first use of a token is noted: then the head was read, and the token was good.
    within(Duration::from_secs(30), "the use of the token", async || {
        let said = field.checkpoint.ask(&["scim", "token", "list"]).await;
        said[0].to_string().contains("\"last_used_at\":\"").then_some(())
    })
    .await;
    field.checkpoint.ask(&["scim", "token", "remove", "entra", "--provider", "corp"]).await;
    connection.send(last).await.unwrap();
    assert_eq!(connection.reply("POST").await.unwrap().status, 401);
    assert_eq!(users_of(&field).await.len(), 2, "nobody was made");
    field.noted("provisioning_refused").await;
    field.lets_in().await;
}

/// ATK-378: a name that a provider writes is a name on every page and in every list: no part of a page, no command for a terminal,
/// no formula in a table.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_a_provider_is_a_name_everywhere() {
    let field = Field::start().await;
    let client = Client::of(&field.checkpoint).await;
    for hidden in ["eve\u{1b}[2J", "eve\u{7}", "eve\nrid_0", "\u{202e}eve", "eve\u{200b}", " eve"] {
        let user = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": hidden });
        assert_eq!(client.send(Method::POST, "/Users", &user).await.status, 400, "{hidden:?}");
        let group = json!({ "schemas": [GROUP], "displayName": hidden });
        assert_eq!(client.send(Method::POST, "/Groups", &group).await.status, 400, "{hidden:?}");
    }
    let marks = "=x\"><script>owned()</script>";
    let id = client.provision(marks).await;
    let group = json!({ "schemas": [GROUP], "displayName": marks, "members": [{ "value": id }] });
    assert_eq!(client.send(Method::POST, "/Groups", &group).await.status, 201);
    let names: Vec<Value> = users_of(&field).await.into_iter().map(|user| user["name"].clone()).collect();
    assert!(names.contains(&json!("corp:-x---script-owned----script-")), "{names:?}");
    let mut owner = Person::new(OWNER, PASSWORD);
    owner.say_yes(&format!("{}/login", field.base_url())).await;
    let page = owner.visit(&owner.behind_door(&format!("{}/records", field.base_url()))).await.page();
    assert!(page.text().contains("owned()") && !page.text().contains("<script>owned"), "{}", page.text());
    for words in
        [&["user", "list"][..], &["audit", "tail", "--once", "-n", "500"], &["audit", "export", "--format", "csv"]]
    {
        let said = field.checkpoint.command(words).await;
        let bad = said.stdout.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(bad, None, "{words:?}: {}", said.stdout);
        assert!(!said.stdout.contains(",=x") && !said.stdout.contains(",\"=x"), "{words:?}: {}", said.stdout);
    }
    field.lets_in().await;
}
