//! Texts of strangers that reach a terminal, through every command that can show them.

use axum::http::Method;
use sekisho_e2e::harness::Finished;
use sekisho_e2e::harness::wait::until;
use sekisho_protocol::text::is_invisible;
use serde_json::json;

use super::hostile::{Came, Hostile, User, answer, call, hello, with};

/// Sets a title, clears the screen, colours with one byte, reverses the writing direction, and hides a word.
const WORDS: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}txt.exe\u{e0041}\u{200b}";
/// The same for a header, which may not contain bytes below the space.
const HEADER: &str = "\u{9b}31m\u{202e}txt.exe\u{e0041}\u{200b}";
/// A picture that the reader of a report would fetch.
const PICTURE: &str = "![x](https://h.example/seen.png)";

/// Each scene is a separate server with the text in one place.
const SCENES: [&str; 9] = [
    "challenge",
    "issuer",
    "issuer lines",
    "metadata issuer",
    "endpoint",
    "registration",
    "token error",
    "token",
    "scopes",
];

fn plays(scene: &'static str, came: &Came) -> Option<axum::response::Response> {
    let path = came.target.split('?').next().unwrap_or_default();
    let (origin, words) = (&came.origin, WORDS);
    let metadata = |issuer: String, endpoint: String| {
        json!({ "issuer": issuer, "authorization_endpoint": endpoint, "token_endpoint": format!("{origin}/token"),
            "registration_endpoint": format!("{origin}/register"), "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256", words] })
    };
    let resource = |issuer: String| json!({ "resource": format!("{origin}/mcp"), "authorization_servers": [issuer] });
    let error = json!({ "error": words, "error_description": words });
    match (scene, path) {
        ("challenge", "/mcp") if came.authorization.is_empty() => {
            let challenge = format!("Bearer error=\"{HEADER}\", error_description=\"{HEADER} {PICTURE}\"");
            Some(with(401, &[("www-authenticate", &challenge)], ""))
        }
        ("issuer", "/.well-known/oauth-protected-resource/mcp") => {
            Some(answer(200, &resource(format!("{origin}/{words}"))))
        }
        ("issuer lines", "/.well-known/oauth-protected-resource/mcp") => {
            Some(answer(200, &resource(format!("{origin}/a\nsekisho: all is well\r{words}"))))
        }
        ("metadata issuer", "/.well-known/oauth-authorization-server") => {
            Some(answer(200, &metadata(words.to_owned(), format!("{origin}/authorize"))))
        }
        ("endpoint", "/.well-known/oauth-authorization-server") => {
            Some(answer(200, &metadata(origin.clone(), format!("{origin}/{words}"))))
        }
        ("registration", "/register") => Some(answer(400, &error)),
        ("token error", "/token") => Some(answer(400, &error)),
        ("token", "/token") => Some(answer(
            200,
            &json!({ "access_token": format!("good{words}"), "token_type": "Bearer", "expires_in": 3600 }),
        )),
        ("scopes", "/token") => Some(answer(
            200,
            &json!({ "access_token": "good", "token_type": "Bearer", "expires_in": 3600, "scope": "a b\u{202e}" }),
        )),
        _ => None,
    }
}

/// Checks that nothing in the text controls a terminal, reverses the writing direction or is hidden.
fn clean(what: &str, text: &str) {
    let found: Vec<char> = text.chars().filter(|&c| is_invisible(c) && !matches!(c, '\n' | '\t')).collect();
    assert!(found.is_empty(), "{what}: {found:?} in {text:?}");
}

fn both(what: &str, finished: &Finished) {
    clean(what, &finished.stdout);
    clean(what, &finished.stderr);
    let forged =
        finished.stdout.lines().chain(finished.stderr.lines()).any(|line| line.starts_with("sekisho: all is well"));
    assert!(!forged, "{what}: {}\n{}", finished.stdout, finished.stderr);
}

/// ATK-231, ATK-232: every command that contacts a server and its authorization server shows their texts visibly, as
/// text, as JSON, as Markdown and as SARIF; and a report contains none of their pictures.
#[tokio::test(flavor = "multi_thread")]
async fn no_word_of_a_server_commands_the_terminal() {
    let (mut shown, mut reports) = (String::new(), String::new());
    for scene in SCENES {
        let server = Hostile::start(move |came| plays(scene, came)).await;
        let folder = tempfile::tempdir().unwrap();
        let client = User::new(folder.path(), true).client;
        let url = server.url();
        let commands: [&[&str]; 11] = [
            &["doctor", &url, "--register"],
            &["--json", "doctor", &url],
            &["doctor", &url, "--format", "markdown"],
            &["doctor", &url, "--format", "sarif"],
            &["login", &url],
            &["--json", "login", &url, "--again"],
            &["token", &url],
            &["--json", "token", &url],
            &["whoami"],
            &["--json", "whoami"],
            &["logout", &url],
        ];
        for words in commands {
            let finished = client.run(words).await;
            both(&format!("{scene}: {words:?}"), &finished);
            if words.contains(&"markdown") {
                reports.push_str(&finished.stdout);
            }
            shown.push_str(&finished.stdout);
            shown.push_str(&finished.stderr);
        }
        let mut bridge = client.start(&["connect", &url]);
        bridge.write(&hello());
        bridge.stdout().find(|text| text.contains("\"id\":0").then_some(())).await;
        clean(&format!("{scene}: connect"), &bridge.stderr().now());
    }
    assert!(reports.contains("seen.png") && !reports.contains("![x]("), "{reports}");
    // The texts did arrive, and can be read, as text and as JSON.
    for written in ["\\u{202e}", "\\u202e", "txt.exe"] {
        assert!(shown.contains(written), "{written}");
    }
}

/// ATK-231: the pages and notices of a bridge, when a refusal names a page of the login's own issuer.
#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_a_refusal_commands_the_terminal() {
    let server = Hostile::start(|came| {
        if came.method == Method::GET && came.target == "/mcp" {
            return Some(with(200, &[("content-type", "text/event-stream")], format!("data: {WORDS}\n\n")));
        }
        (came.rpc() == "tools/call").then(|| {
            let refusal = json!({ "set": "rights", "reason": WORDS, "request": "rid_0198c9a1d7c17c3c8f5f0d3b1a2c3d4e",
                "remedy": { "kind": "approve", "url": format!("{}/approve?{WORDS}", came.origin) } });
            came.result(&json!({ "content": [], "isError": true, "_meta": { "io.sekisho/refusal": refusal } }))
        })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let user = User::new(folder.path(), true);
    let mut bridge = user.client.start(&["connect", &server.url()]);
    bridge.write(&hello());
    bridge.write(&call(1, "x"));
    bridge.stdout().contains("\"id\":1").await;
    bridge.stderr().contains("left out").await;
    clean("connect", &bridge.stderr().now());
    until("the first page", async || (!user.pages().is_empty()).then_some(())).await;
    for page in user.pages() {
        clean("the browser", &page);
    }
}

/// ATK-231: strangers' files and documents, names of a server's tools and typed text, in the other commands.
#[tokio::test(flavor = "multi_thread")]
async fn no_word_of_a_file_or_of_a_tool_commands_the_terminal() {
    let tools = json!({ "tools": [{ "name": format!("look{HEADER}"), "description": WORDS, "inputSchema": { "type": "object" } }] });
    let server = Hostile::start(move |came| match (came.target.as_str(), came.rpc()) {
        ("/open", "tools/list") => Some(came.result(&tools)),
        ("/open", "initialize") => Some(came.result(&json!({ "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {} }, "serverInfo": { "name": WORDS, "version": WORDS } }))),
        ("/open", "notifications/initialized") => Some(with(202, &[], "")),
        ("/bad", _) => Some(answer(500, &json!({ "error": { "code": 1, "message": WORDS } }))),
        ("/spec.md", _) => Some(with(
            200,
            &[("content-type", "text/markdown")],
            format!("# A {WORDS}\n\n## B\n\nSee {WORDS} [B](#b).\n"),
        )),
        ("/elsewhere", _) => Some(with(302, &[("location", &format!("https://h.example/{HEADER}"))], "")),
        _ => None,
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let client = User::new(folder.path(), false).client;
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let entries = json!({ "mcpServers": { WORDS: { "command": format!("run{WORDS}"), "args": [WORDS], "env": { WORDS: WORDS } },
        "url": { "url": format!("https://h/{WORDS}"), "headers": { "X": WORDS } } } });
    let imported = file("mcp.json", &entries.to_string());
    let broken = file("broken.json", &format!("{{ \"{WORDS}\": }}"));
    let escaped = WORDS.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect::<String>();
    let toml = file(
        "sekisho.toml",
        &format!(
            "\"{escaped}\" = 1\n[servers.\"{escaped}\"]\nurl = \"{escaped}\"\n[servers.x]\ncommand = [\"{escaped}\"]\nwrong = 2\n[audit]\nheads = \"{escaped}\"\n"
        ),
    );
    let (spec, elsewhere) = (format!("{}/spec.md", server.origin), format!("{}/elsewhere", server.origin));
    let bad = format!("{}/bad", server.origin);
    let typed = format!("https://h/{WORDS}");
    let commands: [&[&str]; 16] = [
        &["import", &imported],
        &["--json", "import", &imported],
        &["import", &broken],
        &["check", "-c", &toml],
        &["--json", "check", "-c", &toml],
        &["serve", "-c", &toml],
        &["specmap", &spec],
        &["specmap", &spec, "--format", "json"],
        &["specmap", &elsewhere],
        &["run", "--listen", "127.0.0.1:0", "--name", "bad", "--http", &bad],
        &["--json", "run", "--listen", "127.0.0.1:0", "--name", "bad", "--http", &bad],
        &["login", &typed],
        &["--json", "doctor", &typed],
        &[&typed],
        &["login", "--scope", &typed, "https://h"],
        &["--json", "explain", &typed],
    ];
    for words in commands {
        let finished = client.run(words).await;
        both(&format!("{words:?}"), &finished);
    }
    let url = format!("{}/open", server.origin);
    let running = client.start(&["--json", "run", "--listen", "127.0.0.1:0", "--name", "up", "--http", &url]);
    running.stdout().contains("\"ready\"").await;
    for words in [
        &["server", "tools", "up"][..],
        &["--json", "server", "tools", "up"],
        &["server", "list"],
        &["audit", "export"],
        &["audit", "export", "--format", "csv"],
        &["advise"],
    ] {
        let finished = client.run(words).await;
        both(&format!("{words:?}"), &finished);
    }
    running.terminate();
    running.ended().await;
    clean("run", &running.stdout().now());
    clean("run", &running.stderr().now());
}
