//! Enterprise-managed authorization from end to end: npm `oidc-provider` as the identity provider, `sekisho connect` as the client,
//! and the checkpoint that takes the assertion.

use sekisho_e2e::fakes::oauth::{CHALLENGE, REDIRECT, VERIFIER, answer_in};
use sekisho_e2e::harness::{BrowserState, Caller, Checkpoint, Outside, Person, Process, forms, node};
use serde_json::{Value, json};

use super::{OWNER, PASSWORD};

/// As which client the provider knows the agent.
const AT_PROVIDER: &str = "agent-at-the-provider";
const FILES: &str = "tools = { list_notes = \"read\", read_note = \"read\", write_note = \"write\" }";

/// Signs somebody in at the provider, for the agent; the ID token.
async fn id_token(provider: &str, name: &str) -> String {
    let mut url = url::Url::parse(&format!("{provider}/auth")).unwrap();
    url.query_pairs_mut()
        .append_pair("client_id", AT_PROVIDER)
        .append_pair("redirect_uri", REDIRECT)
        .append_pair("response_type", "code")
        .append_pair("scope", "openid")
        .append_pair("state", "s")
        .append_pair("nonce", "n")
        .append_pair("code_challenge", CHALLENGE)
        .append_pair("code_challenge_method", "S256");
    let mut person = Person::new(name, PASSWORD);
    let mut seen = person.visit(url.as_str()).await;
    while let BrowserState::Page { url, answer } = &seen {
        let mut form = forms(&answer.text()).into_iter().next().unwrap_or_else(|| panic!("{url}: {}", answer.text()));
        form.fill("username", name);
        let at = url.clone();
        seen = person.submit(&at, &form).await;
    }
    let BrowserState::Away(back) = seen else { unreachable!() };
    let code = answer_in(&back, "code").unwrap_or_else(|| panic!("{back}"));
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", AT_PROVIDER),
        ("code", &code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    let answer = Caller::new().post(&format!("{provider}/token")).form(&form).send().await;
    let tokens: Value = serde_json::from_slice(&answer.body).unwrap();
    tokens["id_token"].as_str().unwrap_or_else(|| panic!("{tokens}")).to_owned()
}

fn call(id: u32, method: &str, params: &Value) -> String {
    format!("{}\n", json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
}

/// The answer to this request on the other end of the bridge.
async fn answer(process: &Process, id: u32) -> Value {
    let find = |text: &str| {
        let mut answers = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        answers.find(|answer| answer["id"] == id)
    };
    let found = process.stdout().find(find).await;
    found.unwrap_or_else(|| panic!("no answer to {id}: {}\n{}", process.stdout().now(), process.stderr().now()))
}

/// One conversation of a client with the notes, over the bridge. The last answer.
async fn conversation(process: &mut Process) -> Value {
    let who = json!({ "name": "e2e", "version": "1" });
    let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": who });
    process.write(&call(1, "initialize", &hello));
    let first = answer(process, 1).await;
    if first["result"].is_null() {
        return first;
    }
    process.write(&format!("{}\n", json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })));
    process.write(&call(2, "tools/call", &json!({ "name": "list_notes", "arguments": {} })));
    answer(process, 2).await
}

/// CL-54, CL-55, AS-53, AS-55: our own client signs in nowhere: it trades the ID token of its person at the provider for an
/// assertion, that for an access token here, and calls a tool. A person whom the provider does not let in, and one whom nobody has
/// provisioned here, get nothing, and no page is opened.
#[tokio::test(flavor = "multi_thread")]
async fn our_client_comes_in_by_an_assertion_of_the_npm_provider() {
    let world = json!({
        "clients": [{ "client_id": AT_PROVIDER, "token_endpoint_auth_method": "none", "redirect_uris": [REDIRECT],
            "grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:token-exchange"] }],
        "people": { "ada": {}, "eve": {}, "mallory": {} },
        "assertions": ["ada", "eve"],
    });
    let provider = node::serve("provider", &["--world", &world.to_string()]).await;
    let program = sekisho_e2e::harness::binary().display().to_string();
    let toml = format!(
        "[servers.notes]\ncommand = [{program:?}, \"bundled\", \"notes\"]\neveryone = \"read\"\n{FILES}\n\
         [[login.provider]]\nname = \"corp\"\nissuer = \"{}\"\nclient_id = \"sekisho\"\nclient_secret = \"secret\"\n\
         assertions = true\n",
        provider.url
    );
    let checkpoint = Checkpoint::configured(&toml).owner(OWNER, PASSWORD).start().await;
    let made = checkpoint.ask(&["client", "add", "Agent", "--redirect-uri", REDIRECT, "--confidential"]).await;
    let (client, secret) = (made[0]["id"].as_str().unwrap(), made[0]["secret"].as_str().unwrap());
    let elsewhere = Caller::new().request(http::Method::PUT, &format!("{}/admin/elsewhere/{client}", provider.url));
    assert_eq!(elsewhere.send().await.status, 204);
    let said = checkpoint.ask(&["scim", "token", "add", "npm", "--provider", "corp"]).await;
    let user =
        json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada", "externalId": "ada" });
    let users = format!("{}/scim/v2/Users", checkpoint.base_url());
    let call = Caller::new().post(&users).bearer(said[0]["token"].as_str().unwrap()).json(&user);
    assert_eq!(call.send().await.status, 201);
    for (name, expected) in [("ada", None), ("mallory", Some("access_denied")), ("eve", Some("invalid_grant"))] {
        let folder = tempfile::tempdir().unwrap();
        let outside = Outside::new(folder.path(), "nobody", PASSWORD)
            .variable("AGENT_SECRET", secret)
            .variable("ID_TOKEN", id_token(&provider.url, name).await)
            // A browser that opens nothing, and says so.
            .variable("BROWSER", "/bin/false");
        let words = [
            "connect",
            &checkpoint.server_named("notes"),
            "--client-id",
            client,
            "--client-secret-env",
            "AGENT_SECRET",
        ]
        .map(str::to_owned);
        let more =
            ["--idp", &provider.url, "--idp-client-id", AT_PROVIDER, "--id-token-env", "ID_TOKEN"].map(str::to_owned);
        let mut process = outside.start(&[&words[..], &more].concat());
        let last = conversation(&mut process).await;
        let told = format!("{name}: {last:#}\n{}\n{}", process.stderr().now(), provider.stderr());
        assert_eq!(last["result"]["content"].is_array(), expected.is_none(), "{told}");
        assert!(expected.is_none_or(|word| last["error"]["message"].to_string().contains(word)), "{told}");
    }
    let grants = checkpoint.ask(&["grant", "list"]).await[0]["grants"].clone();
    assert_eq!(grants.as_array().unwrap().len(), 1, "{grants}");
    let people = super::people(&checkpoint).await;
    assert_eq!(people, ["corp:ada"], "no assertion makes a user");
}
