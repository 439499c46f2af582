//! URLs that strangers name, and other listeners under our own host name.

use sekisho_e2e::fakes::canary::Canary;
use sekisho_e2e::fakes::documents::{Documents, Page};
use sekisho_e2e::harness::wait::until;
use sekisho_e2e::harness::{Outside, binary};
use serde_json::{Value, json};

use super::field::{OWNER, PASSWORD};

/// The members that a hostile server points at the canary, one at a time.
const NAMED: [&str; 8] = [
    "resource_metadata",
    "authorization_servers",
    "authorization_endpoint",
    "token_endpoint",
    "registration_endpoint",
    "revocation_endpoint",
    "jwks_uri",
    "registration_client_uri",
];

/// Publishes a server and its authorization server over https, with one URL that leads to the canary.
fn put(documents: &Documents, named: &str, canary: &Canary) {
    let origin = documents.url("");
    let place = |name: &str, path: &str| if name == named { canary.url(path) } else { format!("{origin}{path}") };
    let challenge = format!(
        "Bearer resource_metadata=\"{}\"",
        place("resource_metadata", "/.well-known/oauth-protected-resource/mcp")
    );
    documents.put("/mcp", Page::of("401 Unauthorized", "text/plain", b"").header("WWW-Authenticate", &challenge));
    let issuer = if named == "authorization_servers" { canary.url("") } else { origin.clone() };
    let resource = json!({ "resource": format!("{origin}/mcp"), "authorization_servers": [issuer] });
    documents.put("/.well-known/oauth-protected-resource/mcp", Page::json(&resource));
    let mut metadata = json!({ "issuer": origin, "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"] });
    for member in
        ["authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint", "jwks_uri"]
    {
        metadata[member] = Value::from(place(member, &format!("/{member}")));
    }
    documents.put("/.well-known/oauth-authorization-server", Page::json(&metadata));
    let registered = json!({ "client_id": "client", "registration_access_token": "CANARY-TOKEN",
        "registration_client_uri": place("registration_client_uri", "/registered") });
    documents.put("/registration_endpoint", Page::json(&registered));
}

/// ATK-222: an https server and its authorization server name an http port of this machine in every member that a
/// client uses. No command sends a request there, neither a `GET` nor one with a token; and the doctor reports the
/// error.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_https_server_points_at_nothing_here() {
    let documents = Documents::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &documents.certificate.cert).unwrap();
    let client = Outside::new(&folder.path().join("client"), OWNER, PASSWORD);
    let (url, ca) = (documents.url("/mcp"), ca.display().to_string());
    let way = ["--ca-file", &ca, "--allow-network", "127.0.0.0/8", "--allow-network", "::1/128"];
    for named in NAMED {
        let canary = Canary::start().await.unwrap();
        put(&documents, named, &canary);
        let words =
            |command: &[&str]| -> Vec<String> { command.iter().chain(&way).map(|word| (*word).to_owned()).collect() };
        let report = client.run(&words(&["--json", "doctor", &url, "--register"])).await;
        assert!(matches!(report.code(), Some(0 | 1)), "{named}: {}", report.stderr);
        let report: Value = serde_json::from_str(&report.stdout).unwrap();
        let broken: Vec<&str> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["standing"] == "broken")
            .filter_map(|finding| finding["id"].as_str())
            .collect();
        assert!(!broken.is_empty(), "{named}: {report:#}");
        let finished = client.run(&words(&["token", &url])).await;
        assert!(!finished.status.success(), "{named}");
        // The login ends, or waits for a person; by then, everything before that was requested.
        let login = client.start(&words(&["login", "--no-browser", &url]));
        until("the login waits or ends", async || {
            (!login.is_running() || login.stderr().now().contains("wants you to log in")).then_some(())
        })
        .await;
        drop(login);
        let mut bridge = client.start(&words(&["connect", "--no-browser", &url]));
        bridge.write("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n");
        until("the bridge waits or refuses", async || {
            let waits = bridge.stderr().now().contains("wants you to log in");
            (waits || bridge.stdout().now().contains("\"error\"")).then_some(())
        })
        .await;
        drop(bridge);
        assert!(canary.visits().is_empty(), "{named}: {:?}", canary.visits());
    }
}

/// ATK-221: another program on this machine uses the port on one of the two addresses of `localhost`. The checkpoint
/// does not start then, because clients that are told `localhost` would send their tokens to that program.
#[tokio::test(flavor = "multi_thread")]
async fn localhost_is_ours_at_both_addresses_or_there_is_no_start() {
    let folder = tempfile::tempdir().unwrap();
    for (theirs, ours) in [("[::1]", "127.0.0.1"), ("127.0.0.1", "[::1]")] {
        let Ok(taken) = tokio::net::TcpListener::bind(format!("{theirs}:0")).await else {
            // On a machine without IPv6, no other program can use that address either.
            continue;
        };
        let port = taken.local_addr().unwrap().port();
        let data = folder.path().join(format!("data-{port}"));
        let listen = format!("{ours}:{port}");
        let program = binary().display().to_string();
        let words = ["--json", "run", "--listen", &listen, "--name", "notes", "--", &program, "bundled", "notes"];
        let process = Outside::new(&data, OWNER, PASSWORD).start(&words);
        let ready = process.stdout().find(|text| text.contains("\"ready\"").then(|| text.to_owned())).await;
        assert_eq!(ready, None, "{theirs} is held, and it starts on {ours}");
        assert_eq!(process.ended().await.code(), Some(3), "{}", process.stderr().now());
        let told = process.stderr().now();
        assert!(told.contains(&format!("{theirs}:{port}")) && told.contains("localhost"), "{told}");
    }
}
