//! Provisioning clients and readers of SCIM that nobody here wrote: PyPI `scim2-cli` and `scim2-tester`, npm `scimmy`.

use std::fmt::Write as _;

use http::Method;
use sekisho_e2e::harness::node::{self, company_program};
use sekisho_e2e::harness::{Caller, Checkpoint, Process};
use serde_json::{Value, json};

use super::{OWNER, PASSWORD, people};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A checkpoint with a token for a provisioning client of `corp`.
struct Site {
    checkpoint: Checkpoint,
    token: String,
}

/// What a command of `scim2` said.
struct Said {
    ok: bool,
    shown: Value,
    text: String,
}

impl Site {
    async fn start() -> Self {
        let toml = "[[login.provider]]\nname = \"corp\"\nissuer = \"https://login.example.com\"\nclient_id = \"a\"\n\
                    client_secret = \"a-secret-of-this-client\"\n";
        let checkpoint = Checkpoint::configured(toml).owner(OWNER, PASSWORD).start().await;
        let said = checkpoint.ask(&["scim", "token", "add", "cli", "--provider", "corp"]).await;
        let token = said[0]["token"].as_str().unwrap().to_owned();
        Self { checkpoint, token }
    }

    fn base(&self) -> String {
        format!("{}/scim/v2", self.checkpoint.base_url())
    }

    /// Runs `scim2` with these words, and this document on its standard input.
    async fn scim2(&self, words: &[&str], input: &Value) -> Said {
        let mut command = company_program("scim2");
        command
            .env("SCIM_CLI_URL", self.base())
            .env("SCIM_CLI_HEADERS", format!("Authorization: Bearer {}", self.token));
        let mut process = Process::start(command.args(words).env("NO_COLOR", "1"));
        if !input.is_null() {
            process.write(&input.to_string());
        }
        process.close_stdin();
        let ok = process.ended().await.success();
        let (shown, text) = (process.stdout().now(), process.stderr().now());
        Said {
            ok,
            shown: serde_json::from_str(&shown).unwrap_or_default(),
            text: format!("{words:?}:\n{shown}\n{text}"),
        }
    }

    /// The same for a command that has to succeed.
    async fn done(&self, words: &[&str], input: &Value) -> Value {
        let said = self.scim2(words, input).await;
        assert!(said.ok, "{}", said.text);
        said.shown
    }

    /// Deletes something, which is gone then.
    async fn removes(&self, kind: &str, id: &str) {
        self.done(&["delete", kind, id], &Value::Null).await;
        let gone = self.scim2(&["query", kind, id], &Value::Null).await;
        assert!(!gone.ok && gone.shown["status"] == "404", "{}", gone.text);
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let call = Caller::new().request(method, &format!("{}{path}", self.base())).bearer(&self.token);
        let call = call.header("content-type", "application/scim+json");
        let answer = call.body(if body.is_null() { String::new() } else { body.to_string() }).send().await;
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }
}

/// `scim2-cli` makes, changes, shuts out, lists, filters and deletes users. It reads our schemas first, and checks every answer
/// against them.
#[tokio::test(flavor = "multi_thread")]
async fn scim2_cli_provisions_users() {
    let site = Site::start().await;
    let ada = site
        .done(
            &[
                "create",
                "user",
                "--user-name",
                "ada@example.com",
                "--external-id",
                "ada-1",
                "--name",
                r#"{"givenName": "Ada"}"#,
                "--emails",
                r#"[{"value": "ada@example.com", "type": "work", "primary": true}]"#,
            ],
            &Value::Null,
        )
        .await;
    let id = ada["id"].as_str().unwrap();
    assert_eq!(
        (&ada["userName"], &ada["active"], &ada["name"]["givenName"]),
        (&json!("ada@example.com"), &json!(true), &json!("Ada"))
    );
    let grace = json!({ "schemas": [USER, ENTERPRISE], "userName": "grace@example.com", "externalId": "grace-1",
        ENTERPRISE: { "department": "Compilers" } });
    let grace = site.done(&["create"], &grace).await;
    assert_eq!(grace[ENTERPRISE]["department"], "Compilers", "{grace:#}");
    assert_eq!(people(&site.checkpoint).await, ["corp:ada@example.com", "corp:grace@example.com"]);

    let shown = site.done(&["query", "user", id], &Value::Null).await;
    assert_eq!(shown["externalId"], "ada-1");
    let all = site.done(&["query", "user"], &Value::Null).await;
    assert_eq!((&all["totalResults"], all["Resources"].as_array().map(Vec::len)), (&json!(2), Some(2)));
    let found = site.done(&["query", "user", "--filter", "userName eq \"GRACE@example.com\""], &Value::Null).await;
    assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &grace["id"]));
    let search = site
        .done(&["search", "user", "--filter", "userName sw \"ada\"", "--attribute", "userName"], &Value::Null)
        .await;
    assert_eq!((&search["totalResults"], &search["Resources"][0]["id"]), (&json!(1), &ada["id"]));
    let none = site.done(&["query", "user", "--filter", "name.givenName sw \"x\"", "--count", "1"], &Value::Null).await;
    assert_eq!(none["totalResults"], 0);
    let names = site.done(&["query", "user", id, "--attribute", "userName"], &Value::Null).await;
    assert!(names.get("emails").is_none(), "{names:#}");

    let changed = site
        .done(
            &["modify", "user", id, "replace", "displayName", "Ada Lovelace", "replace", "active", "false"],
            &Value::Null,
        )
        .await;
    assert_eq!((&changed["displayName"], &changed["active"]), (&json!("Ada Lovelace"), &json!(false)), "{changed:#}");
    let users = site.checkpoint.ask(&["user", "list"]).await[0]["users"].clone();
    assert!(users.as_array().unwrap().iter().any(|user| user["id"] == id && user["disabled"] == true), "{users:#}");
    let whole = json!({ "schemas": [USER], "id": id, "userName": "ada@example.com", "externalId": "ada-1", "active": true, "title": "Countess" });
    let replaced = site.done(&["replace", "user"], &whole).await;
    assert_eq!(
        (&replaced["title"], &replaced["active"], replaced.get("displayName")),
        (&json!("Countess"), &json!(true), None)
    );

    // A refusal is understood as one.
    let twice = site.scim2(&["create", "user", "--user-name", "ada@example.com"], &Value::Null).await;
    assert!(!twice.ok && twice.shown["scimType"] == "uniqueness", "{}", twice.text);
    for id in [id, grace["id"].as_str().unwrap()] {
        site.removes("user", id).await;
    }
    let acts = site.checkpoint.records().await;
    let made = acts.iter().filter(|row| row["record"]["event"]["act"] == "user_added").count();
    assert_eq!(made, 3, "with the owner, who was added on the command line");
}

/// The same with groups and their members.
#[tokio::test(flavor = "multi_thread")]
async fn scim2_cli_provisions_groups() {
    let site = Site::start().await;
    let mut ids = Vec::new();
    for name in ["ada", "grace"] {
        let made = site.send(Method::POST, "/Users", &json!({ "schemas": [USER], "userName": name })).await;
        ids.push(made.1["id"].as_str().unwrap().to_owned());
    }
    let [id, grace] = ids.as_slice() else { unreachable!() };
    let members = json!([{ "value": id }]).to_string();
    let group =
        site.done(&["create", "group", "--display-name", "Engineers", "--members", &members], &Value::Null).await;
    let group = group["id"].as_str().unwrap();
    let member = json!([{ "value": grace }]).to_string();
    let by_value = format!("members[value eq \"{id}\"]");
    site.done(&["modify", "group", group, "add", "members", &member, "remove", &by_value], &Value::Null).await;
    let shown = site.done(&["query", "group", group], &Value::Null).await;
    assert_eq!(
        (shown["members"].as_array().unwrap().len(), &shown["members"][0]["value"]),
        (1, &json!(grace)),
        "{shown:#}"
    );
    let found = site.done(&["query", "group", "--filter", "displayName eq \"engineers\""], &Value::Null).await;
    assert_eq!(found["totalResults"], 1);
    site.removes("group", group).await;
}

/// `scim2-tester` finds nothing that is against RFC 7643 and RFC 7644, with one exception: it takes `active` away and expects that it
/// is gone. Here nobody is let in by an update that does not say so, so it stays as it was (decision 0094).
#[tokio::test(flavor = "multi_thread")]
async fn scim2_tester_finds_nothing() {
    let site = Site::start().await;
    let said = site.scim2(&["test"], &Value::Null).await;
    let lines: Vec<&str> = said.text.lines().collect();
    let found = lines.windows(2).filter(|pair| !pair[0].starts_with(' ') && !pair[0].starts_with("SUCCESS"));
    let found: Vec<_> = found.filter(|pair| pair[0].contains('_')).map(|pair| (pair[0], pair[1].trim())).collect();
    let no_search = "POST /.search: searching several resource types at once is not supported by the server";
    assert_eq!(
        found,
        [
            ("SKIPPED search_with_attributes", no_search),
            ("ERROR check_remove_attribute", "PATCH modify() did not remove attribute 'active'"),
            ("SKIPPED search_with_attributes", no_search),
        ],
        "{}",
        said.text
    );
    assert!(lines.iter().filter(|line| line.starts_with("SUCCESS")).count() > 100, "{}", said.text);
}

/// The models of npm `scimmy` read every answer: resources, lists, documents and errors.
#[tokio::test(flavor = "multi_thread")]
async fn scimmys_models_read_every_answer() {
    let site = Site::start().await;
    let full = json!({ "schemas": [USER, ENTERPRISE], "userName": "ada@example.com", "externalId": "ada-1", "active": true,
        "name": { "formatted": "Ada Lovelace", "givenName": "Ada", "familyName": "Lovelace" }, "title": "Countess",
        "profileUrl": "https://example.com/ada", "locale": "en-GB", "timezone": "Europe/London",
        "emails": [{ "value": "ada@example.com", "type": "work", "primary": true }, { "value": "a@example.org", "type": "home" }],
        "phoneNumbers": [{ "value": "tel:+44-20-5550100", "type": "work" }],
        "addresses": [{ "type": "work", "country": "GB", "locality": "London" }],
        "roles": [{ "value": "analyst" }],
        ENTERPRISE: { "department": "Engines", "employeeNumber": "1", "manager": { "value": "grace-1" } } });
    let (_, user) = site.send(Method::POST, "/Users", &full).await;
    let id = user["id"].as_str().unwrap_or_else(|| panic!("{user:#}"));
    let group = json!({ "schemas": [GROUP], "displayName": "Engineers", "members": [{ "value": id }] });
    let (_, group) = site.send(Method::POST, "/Groups", &group).await;
    let (path, group) = (format!("/Users/{id}"), format!("/Groups/{}", group["id"].as_str().unwrap()));
    let off = json!({ "schemas": [PATCH], "Operations": [{ "op": "Replace", "path": "active", "value": "False" }] });
    let no_target = json!({ "schemas": [PATCH], "Operations": [{ "op": "replace", "path": "ims[type eq \"x\"].value", "value": "y" }] });
    let twice = json!({ "schemas": [USER], "userName": "ada@example.com" });
    let read_only = json!({ "schemas": [PATCH], "Operations": [{ "op": "replace", "path": "groups", "value": [] }] });
    let requests = [
        (Method::GET, path.as_str(), Value::Null),
        (Method::PATCH, &path, off),
        (Method::PUT, &path, full),
        (Method::GET, &group, Value::Null),
        (Method::GET, "/Users", Value::Null),
        (Method::GET, "/Users?filter=userName+sw+%22a%22&count=1", Value::Null),
        (Method::GET, "/Users?count=0", Value::Null),
        (Method::GET, "/Groups", Value::Null),
        (Method::GET, "/ServiceProviderConfig", Value::Null),
        (Method::GET, "/ResourceTypes", Value::Null),
        (Method::GET, "/Schemas", Value::Null),
        (Method::GET, "/Users/nobody", Value::Null),
        (Method::GET, "/Users?filter=userName", Value::Null),
        (Method::GET, "/Users?count=x", Value::Null),
        (Method::GET, "/Users?sortBy=userName", Value::Null),
        (Method::POST, "/Users/.search", json!({ "schemas": [SEARCH], "filter": "userName pr", "count": 1 })),
        (Method::POST, "/Groups/.search", json!({ "schemas": [SEARCH], "attributes": ["displayName"] })),
        (Method::POST, "/.search", json!({ "schemas": [SEARCH] })),
        (Method::POST, "/Users", twice),
        (Method::POST, "/Users", json!([])),
        (Method::PATCH, &path, no_target),
        (Method::PATCH, &path, read_only),
    ];
    let mut lines = String::new();
    let count = requests.len();
    for (method, path, body) in requests {
        let (status, body) = site.send(method.clone(), path, &body).await;
        let line = json!({ "request": format!("{method} {path}"), "status": status, "body": body });
        writeln!(lines, "{line}").unwrap();
    }
    let file = site.checkpoint.folder().join("answers.jsonl");
    std::fs::write(&file, lines).unwrap();
    let outcome = node::run("scimmy", &[file.to_str().unwrap()]).await.worked().result;
    assert_eq!(outcome["refused"], json!([]), "of {count}: {outcome:#}");
    for kind in ["User", "Group", "List", "ServiceProviderConfig", "ResourceType", "Schema", "Error"] {
        assert!(outcome["read"][kind].as_u64().is_some_and(|count| count > 0), "no {kind} was read: {outcome:#}");
    }
}
