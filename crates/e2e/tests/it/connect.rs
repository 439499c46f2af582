//! `sekisho connect`: real clients over standard input and output, at protected servers over HTTP: our checkpoint, and
//! servers that others built.

use std::path::Path;

use sekisho_e2e::harness::{Checkpoint, Outside, binary, node, wait};
use sekisho_protocol::mcp::method::Revision;
use serde_json::{Value, json};

use crate::clients::{BOTH_ERAS, EVERYTHING, OWNER, PASSWORD, Tools, everything_over_stdio, over_http};

/// Returns the arguments of a client program that uses the bridge.
fn through(data: &Path, url: &str, tools: &Tools, options: &[&str]) -> Vec<String> {
    let (program, data) = (binary().display().to_string(), data.display().to_string());
    let mut all = tools.arguments(url, &[]);
    for word in [program.as_str(), "connect", "--data-dir", &data] {
        all.push(format!("--bridge={word}"));
    }
    all.extend(options.iter().map(|&option| option.to_owned()));
    all
}

fn texts(shown: &Value) -> Vec<String> {
    let calls = shown["calls"].as_array().unwrap_or_else(|| panic!("{shown:#}"));
    calls.iter().map(|call| call["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The person logs in once and approves more scopes once; the client only sees results.
async fn a_client_over_lines(program: &str, options: &[&str], tools: &Tools, checkpoint: &Checkpoint) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("client");
    let arguments = through(&data, checkpoint.server(), tools, options);
    let shown = node::run(program, &arguments).await.worked();
    assert_eq!(shown.result["connected"], true, "{:#}\n{}", shown.result, shown.stderr);
    for call in shown.result["calls"].as_array().unwrap() {
        assert!(call["error"].is_null(), "{call:#}\n{}", shown.stderr);
    }
    let grants = async || checkpoint.ask(&["grant", "list"]).await[0]["grants"].as_array().unwrap().len();
    assert_eq!(grants().await, 2, "once to come in, once to step up:\n{}", shown.stderr);
    // Another client of the same person is logged in without a browser.
    let again = node::run(program, &arguments).await.worked();
    assert_eq!(texts(&again.result), texts(&shown.result));
    assert_eq!(grants().await, 2, "nobody had to log in again:\n{}", again.stderr);
    shown.result
}

/// CL-01, CL-24, CL-25, ST-04: a client of 2025-11-25 that speaks only over lines is logged in, and later gets more
/// scopes.
#[tokio::test(flavor = "multi_thread")]
async fn sdk1_over_lines_gets_in_and_steps_up() {
    let checkpoint = everything_over_stdio().await;
    let shown = a_client_over_lines("client-sdk1", &[], &EVERYTHING, &checkpoint).await;
    assert_eq!(texts(&shown), ["Echo: hello", "The sum of 1 and 2 is 3."]);
}

/// CL-01, CL-24, ST-07: the same in 2026-07-28, where the message contains everything and headers repeat parts of it.
#[tokio::test(flavor = "multi_thread")]
async fn sdk2_over_lines_gets_in_in_the_newer_era() {
    let upstream = node::serve::<&str>("upstream", &[]).await;
    let checkpoint = over_http(&upstream).await;
    let shown = a_client_over_lines("client-sdk2", &["--era", "modern"], &BOTH_ERAS, &checkpoint).await;
    assert_eq!(shown["protocol"], "2026-07-28");
}

/// ST-10, ST-11: a client that tries the newest revision first falls back through the bridge as it does without it.
#[tokio::test(flavor = "multi_thread")]
async fn sdk2_over_lines_falls_back() {
    let everything = node::serve::<&str>("everything", &[]).await;
    let checkpoint = over_http(&everything).await;
    let shown = a_client_over_lines("client-sdk2", &["--era", "auto"], &EVERYTHING, &checkpoint).await;
    assert_eq!((shown["era"].as_str(), shown["protocol"].as_str()), (Some("legacy"), Some("2025-11-25")), "{shown:#}");
}

const VENDOR: Tools = Tools { permitted: ("echo", r#"{"message":"hello"}"#), refused: ("cut", "{}") };

async fn stats(vendor: &node::Serving) -> Value {
    let url = vendor.url.replace("/mcp", "/stats");
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

/// A server that others built: npm `oidc-provider`, and the SDK's own server. Its stream is cut in the middle of a
/// call, and the answer still arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendors_server_is_reached_and_a_cut_stream_taken_up() {
    let vendor = node::serve::<&str>("vendor", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let shown = node::run("client-sdk1", &through(folder.path(), &vendor.url, &VENDOR, &[])).await.worked();
    assert_eq!(texts(&shown.result), ["Echo: hello", "after the cut"], "{:#}\n{}", shown.result, shown.stderr);
    assert_eq!(
        stats(&vendor).await,
        json!({ "authorization_code": 1, "refresh_token": 0, "registrations": 1 }),
        "{}",
        shown.stderr
    );
}

/// CL-38, CL-41: tokens end during a session, and two bridges that share a store refresh one after the other: no
/// refresh token is used twice, and nobody has to log in again.
#[tokio::test(flavor = "multi_thread")]
async fn two_bridges_outlive_their_tokens_together() {
    let vendor = node::serve("vendor", &["--ttl", "20"]).await;
    let folder = tempfile::tempdir().unwrap();
    let first = node::run("client-sdk1", &through(folder.path(), &vendor.url, &VENDOR, &[])).await.worked();
    assert_eq!(texts(&first.result).len(), 2, "{}", first.stderr);
    // Tokens are renewed half a minute before they end: these, at every call.
    let nobody = Tools { permitted: VENDOR.permitted, refused: VENDOR.permitted };
    let arguments = through(folder.path(), &vendor.url, &nobody, &["--repeat", "4"]);
    let (one, other) = tokio::join!(node::run("client-sdk1", &arguments), node::run("client-sdk1", &arguments));
    for shown in [one.worked(), other.worked()] {
        assert_eq!(texts(&shown.result), vec!["Echo: hello"; 8], "{:#}\n{}", shown.result, shown.stderr);
    }
    let asked = stats(&vendor).await;
    assert_eq!(asked["authorization_code"], 1, "nobody had to log in again: {asked}");
    assert!(asked["refresh_token"].as_u64().unwrap() >= 1, "{asked}");
}

/// Without a browser, the client is told at once what its person can do, and does not hang.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_browser_the_client_is_told_what_to_do() {
    let checkpoint = Checkpoint::notes().owner(OWNER, PASSWORD).start().await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = through(folder.path(), checkpoint.server(), &EVERYTHING, &["--bridge=--no-browser"]);
    let shown = node::run("client-sdk1", &arguments).await.worked().result;
    assert_eq!(shown["connected"], false, "{shown:#}");
    let message = shown["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("sekisho login"), "{shown:#}");
}

/// `login`, `whoami`, `token` and `logout`: the token for scripts is the one from the person's login, and ends with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_has_a_token_until_its_person_logs_out() {
    let checkpoint = everything_over_stdio().await;
    let folder = tempfile::tempdir().unwrap();
    let client = Outside::new(folder.path(), OWNER, PASSWORD);
    let nowhere = client.run(&["token", checkpoint.server()]).await;
    assert_eq!(nowhere.status.code(), Some(1), "{}", nowhere.stderr);
    assert!(nowhere.stderr.contains("sekisho login"), "{}", nowhere.stderr);
    assert_eq!(client.run(&["whoami"]).await.status.code(), Some(1));

    let login = client.run(&["login", checkpoint.server()]).await;
    assert!(login.status.success(), "{}\n{}", login.stdout, login.stderr);
    assert!(login.stdout.contains("Logged in to"), "{}", login.stdout);
    let again = client.run(&["login", checkpoint.server()]).await;
    assert!(!again.stderr.contains("wants you to log in"), "{}", again.stderr);
    let known = client.run(&["--json", "whoami"]).await;
    let known: Value = serde_json::from_str(&known.stdout).unwrap();
    assert_eq!(known[0]["server"], checkpoint.server());
    assert_eq!(known[0]["issuer"], checkpoint.base_url());

    let token = client.run(&["token", checkpoint.server()]).await.stdout.trim().to_owned();
    let mut talk = checkpoint.talk(Revision::V2025_11_25, Some(&token));
    talk.begin().await;
    let tools = talk.tools().await;
    assert!(tools.iter().any(|tool| tool == "echo"), "{tools:?}");

    let logout = client.run(&["logout", checkpoint.server()]).await;
    assert!(logout.stdout.contains("was given back"), "{}\n{}", logout.stdout, logout.stderr);
    let grants = &checkpoint.ask(&["grant", "list"]).await[0]["grants"];
    assert_eq!((grants.as_array().map(Vec::len), &grants[0]["revoked"]), (Some(1), &json!(true)), "{grants}");
    assert_eq!(client.run(&["logout", checkpoint.server()]).await.status.code(), Some(1));
}

/// Starts a server whose authorization server names this authorization endpoint.
async fn leading_to(endpoint: &str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let document = json!({ "resource": format!("{origin}/mcp"), "authorization_servers": [origin] });
    let metadata = json!({ "issuer": origin, "authorization_endpoint": endpoint.replace("ORIGIN", &origin),
        "token_endpoint": format!("{origin}/token"), "registration_endpoint": format!("{origin}/register"),
        "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"] });
    let registered = json!({ "client_id": "cli_1" });
    let json = |value: Value| axum::routing::any(move || async move { axum::Json(value) });
    let challenge = format!("Bearer resource_metadata=\"{origin}/.well-known/oauth-protected-resource/mcp\"");
    let refused = axum::routing::post(move || async move {
        (axum::http::StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)])
    });
    let router = axum::Router::new()
        .route("/mcp", refused)
        .route("/.well-known/oauth-protected-resource/mcp", json(document))
        .route("/.well-known/oauth-authorization-server", json(metadata))
        .route("/register", json(registered));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("{origin}/mcp")
}

/// Returns URLs that do not lead to a web page, or contain a command for programs that pass them to a shell.
fn hostile(command: &str) -> Vec<String> {
    let mut hostile: Vec<String> = [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "ftp://h/a",
        "ssh://h",
        "-a",
        "--help",
        "calc.exe",
        "\\\\h\\share",
        "//h/a",
        "/authorize",
        "",
        " ",
        "https://",
        "http://h.example/a",
        "https://user@h.example/a",
        "https://user:word@h.example/a",
        "https://h.example/a#b",
        "https://h.example/\u{202e}a",
        "https://h.example/a b",
        "https://h.example/\"a",
        "https://h.example/'a",
        "https://h.example/<a>",
        "https://h.example\\@evil.example/",
        "x-apple:a",
        "ms-calculator:",
        "mailto:a@b",
        "blob:https://h",
        "about:blank",
        "view-source:https://h",
        "search-ms:query",
        "\u{1b}[2Jhttps://h.example",
        "https://h.example/\r\na",
    ]
    .map(str::to_owned)
    .to_vec();
    for wrapped in
        ["`X`", "\"; X; \"", "'; X; '", "|X", "&X", ";X", "\nX\n", "$(X)", "${X}", "<(X)", ">X", "%0AX", "\tX"]
    {
        let line = wrapped.replace('X', command);
        hostile.extend([line.clone(), format!("https://h.example/{line}"), format!("https://h.example{line}")]);
    }
    hostile
}

/// CL-46, CL-47, ATK-86: whatever an authorization server names as its authorization endpoint, no command is run.
/// Anything but a web page is refused, and a web page reaches the browser as one argument.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_authorization_url_runs_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (marker, opened) = (folder.path().join("marker"), folder.path().join("opened"));
    let browser = folder.path().join("browser.sh");
    std::fs::write(&browser, format!("#!/bin/sh\nprintf '%s\\n' \"$#\" \"$@\" >> '{}'\n", opened.display())).unwrap();
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).unwrap();
    let client =
        Outside::new(&folder.path().join("client"), OWNER, PASSWORD).variable("BROWSER", browser.display().to_string());
    let hostile = hostile(&format!("touch {}", marker.display()));
    assert!(hostile.len() >= 60, "{}", hostile.len());
    for endpoint in &hostile {
        let url = leading_to(endpoint).await;
        let finished = client.run(&["login", url.as_str()]).await;
        assert_eq!(finished.code(), Some(3), "{endpoint:?}: {}\n{}", finished.stdout, finished.stderr);
        assert!(!marker.exists() && !opened.exists(), "{endpoint:?}");
        assert!(!finished.stderr.contains('\u{1b}'), "{endpoint:?}: {:?}", finished.stderr);
    }
    // Characters that a URL may contain, and that mean something to a shell.
    let marked = marker.display().to_string();
    for endpoint in
        ["https://h.example/$(touch${IFS}MARK)", "https://h.example/;touch${IFS}MARK;", "https://h.example/a&touch"]
    {
        let url = leading_to(&endpoint.replace("MARK", &marked)).await;
        let login = client.start(&["login", url.as_str()]);
        let told = login.stderr().find(|text| text.contains("It was opened").then_some(())).await;
        assert!(told.is_some(), "{}", login.stderr().now());
        let seen = wait::until("the browser", async || {
            std::fs::read_to_string(&opened).ok().filter(|text| text.ends_with('\n'))
        })
        .await;
        // The browser gets a page of ours, which redirects it.
        assert!(seen.starts_with("1\nhttp://127.0.0.1:") && seen.lines().count() == 2, "{seen}");
        let stay = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let page = stay.get(seen.lines().nth(1).unwrap()).send().await.unwrap();
        let to = page.headers()["location"].to_str().unwrap();
        assert!(to.starts_with("https://h.example/"), "{to}");
        assert!(!marker.exists(), "{endpoint}");
        std::fs::remove_file(&opened).unwrap();
    }
}
