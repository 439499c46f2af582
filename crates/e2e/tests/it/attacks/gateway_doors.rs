//! Other ways in: other paths, other spellings, other host names, headers that claim authority.

use std::collections::BTreeSet;

use sekisho_e2e::fakes::call::{headers, message, tool};
use sekisho_e2e::fakes::upstream::Speaks;
use sekisho_e2e::fakes::wire::{Ask, Connection, Reply};
use serde_json::json;

use super::field::{Field, OTHER, OWNER, UP};

const METHODS: [&str; 10] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND"];

/// The paths that everybody may request.
const PUBLIC: [(&str, &str); 12] = [
    ("GET", "/"),
    ("GET", "/login"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/oauth/jwks"),
    ("GET", "/.well-known/oauth-authorization-server"),
    ("GET", "/.well-known/openid-configuration"),
    ("GET", "/.well-known/oauth-protected-resource/mcp/up"),
    ("GET", "/.well-known/oauth-protected-resource/mcp/other"),
    ("HEAD", "*"),
    ("OPTIONS", "*"),
    ("POST", "/oauth/register"),
];

/// ATK-61, RS-27: of all paths and methods, only the published ones respond to a stranger, and none leads to an
/// upstream.
#[tokio::test]
async fn only_what_is_public_answers_a_stranger() {
    let field = Field::start().await;
    let paths = [
        "/",
        "/login",
        "/logout",
        "/healthz",
        "/readyz",
        "/setup",
        "/setup/x",
        "/consent/x",
        "/consent/x/",
        "/grants/x/end",
        "/assets/x",
        "/assets/sekisho.css",
        "/oauth/authorize",
        "/oauth/token",
        "/oauth/revoke",
        "/oauth/register",
        "/oauth/jwks",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp/up",
        "/.well-known/oauth-protected-resource/mcp/other",
        "/.well-known/oauth-protected-resource/mcp/nothing",
        "/.well-known/oauth-authorization-server/mcp/up",
        UP,
        OTHER,
        "/mcp",
        "/mcp/nothing",
        "/mcp/up/sse",
        "/mcp/up/messages",
        "/sse",
        "/message",
        "/messages",
        "/ws",
        "/mcp/up/ws",
        "/metrics",
        "/health",
        "/debug",
        "/debug/vars",
        "/admin",
        "/admin/users",
        "/api",
        "/status",
        "/info",
        "/actuator",
        "/preview",
        "/config",
        "/.env",
        "/.git/config",
        "/server-status",
        "/control",
        "/control.sock",
        "/mcp/up/tools/list",
        "/rpc",
        "/graphql",
        "/v1/mcp/up",
        "/index.html",
        "/favicon.ico",
        "/robots.txt",
        "/swagger.json",
        "/openapi.json",
    ];
    let body = message("tools/call", json!({ "name": "look", "arguments": {} }));
    for path in paths {
        for method in METHODS {
            let bodies =
                [headers(path, "", "tools/call").header("mcp-name", "look").json(&body), Ask::new(method, path)];
            for ask in bodies.into_iter().map(|ask| ask.method(method)) {
                let reply = field.ask(&ask).await;
                let open = PUBLIC.iter().any(|(allowed, at)| *allowed == method && (*at == path || *at == "*"));
                assert!(reply.status < 500, "{method} {path}: {}", reply.status);
                assert!(
                    open || reply.status >= 400 || (method, path) == ("GET", "/assets/sekisho.css"),
                    "{method} {path} answers {} to a stranger:\n{}",
                    reply.status,
                    reply.text()
                );
                assert!(!reply.text().contains("look"), "{method} {path} tells of tools");
            }
        }
    }
    field.untouched();
    field.rejected("token_missing").await;
    field.lets_in().await;
}

/// ATK-61, ATK-100: a configuration that names no user gives nobody access.
#[tokio::test]
async fn an_empty_list_is_nobody() {
    let field = Field::before(Speaks::Modern, "origins = []\n").await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let reply = field.ask(&tool(UP, &granted.access, "look").header("origin", "https://any.example")).await;
    assert_eq!(reply.status, 403);
    field.untouched();
    field.rejected("origin_forbidden").await;
    field.is_healthy(&granted).await;
}

/// ATK-62, ATK-48: no header weakens a check, chooses an upstream or changes the method; and none of them is forwarded.
#[tokio::test]
async fn no_header_opens_a_door() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let promising = [
        ("x-forwarded-user", "alice"),
        ("x-remote-user", "alice"),
        ("remote-user", "alice"),
        ("x-authenticated-user", "alice"),
        ("x-user", "alice"),
        ("x-sekisho-user", "alice"),
        ("x-sekisho-internal", "1"),
        ("x-sekisho-subject", "alice"),
        ("x-internal", "true"),
        ("x-internal-token", "secret"),
        ("x-api-key", "admin"),
        ("x-admin", "1"),
        ("x-debug", "1"),
        ("x-original-url", UP),
        ("x-rewrite-url", "/healthz"),
        ("x-http-method-override", "GET"),
        ("x-http-method", "GET"),
        ("x-method-override", "OPTIONS"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-client-ip", "127.0.0.1"),
        ("true-client-ip", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1;host=localhost"),
        ("x-forwarded-host", "localhost"),
        ("x-mcp-host", "127.0.0.1:9"),
        ("mcp-init-host", "127.0.0.1:9"),
        ("x-mcp-upstream", "http://127.0.0.1:9/"),
        ("x-upstream", "http://127.0.0.1:9/"),
        ("x-ssl-client-cert", "cert"),
        ("x-ssl-client-verify", "SUCCESS"),
        ("x-client-cert", "x"),
        ("ssl-client-cert", "x"),
        ("x-forwarded-client-cert", "x"),
        ("x-amzn-oidc-identity", "alice"),
        ("cf-access-authenticated-user-email", "alice@x"),
        ("x-ms-client-principal", "x"),
        ("x-goog-authenticated-user-email", "x"),
        ("x-token", "x"),
        ("mcp-session-id", "x"),
        ("x-scope", "mcp:destructive"),
        ("x-tool-class", "read"),
        ("x-skip-auth", "1"),
        ("authorization-bypass", "1"),
        ("x-envoy-internal", "true"),
        ("x-envoy-original-path", UP),
        ("x-permit", "1"),
        ("cookie", "admin=1"),
    ];
    for (name, value) in promising {
        let stranger = field.ask(&tool(UP, "", "look").header(name, value)).await;
        assert!(matches!(stranger.status, 400 | 401), "{name}: {}", stranger.status);
        let weak = field.ask(&tool(UP, &granted.access, "wipe").header(name, value)).await;
        assert!(matches!(weak.status, 400 | 403 | 404), "{name}: {}", weak.status);
    }
    field.untouched();
    for (name, value) in promising.into_iter().filter(|(name, _)| *name != "mcp-session-id") {
        let reply = field.ask(&tool(UP, &granted.access, "look").header(name, value)).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
    }
    for call in field.upstream.calls() {
        for (name, _) in promising {
            assert!(!call.headers.iter().any(|(found, _)| found == name), "{name} went on: {}", call.text());
        }
    }
    field.upstream.forget();
    field.is_healthy(&granted).await;
}

/// Returns spellings that one reader could take for `path` and another for something else.
fn spellings(path: &str) -> BTreeSet<String> {
    let bare = path.trim_start_matches('/');
    let (first, rest) = bare.split_once('/').unwrap_or((bare, ""));
    let mut found: BTreeSet<String> = [
        format!("//{bare}"),
        format!("/{first}//{rest}"),
        format!("///{bare}"),
        format!("/./{bare}"),
        format!("/{first}/./{rest}"),
        format!("/x/../{bare}"),
        format!("/{first}/../{first}/{rest}"),
        format!("/../{bare}"),
        format!("/{first}\\{rest}"),
        format!("\\{bare}"),
        format!("/\\{bare}"),
        format!("/{first};/{rest}"),
        format!("/{first};x=1/{rest}"),
        format!("/;/{bare}"),
        format!("/..;/{bare}"),
        format!("/{first}/..;/{first}/{rest}"),
        path.to_uppercase(),
        format!("/{}/{rest}", first.to_uppercase()),
        format!("/healthz/../{bare}"),
        format!("/healthz/..%2f{bare}"),
        format!("/healthz;/../{bare}"),
        format!("/oauth/..%2f{bare}"),
        format!("/.well-known/../{bare}"),
        format!("/%2e/{bare}"),
        format!("/%2e%2e/{bare}"),
        format!("/.%2e/{bare}"),
        format!("/%2e./{bare}"),
        format!("/{first}%2f{rest}"),
        format!("/{first}%2F{rest}"),
        format!("/{first}%5c{rest}"),
        format!("%2f{bare}"),
        format!("/{first}%252f{rest}"),
        format!("/%252e%252e/{bare}"),
        format!("/{first}/%c0%ae/{rest}"),
        format!("/{first}/%e2%81%84{rest}"),
        format!("/{first}/\u{ff0e}/{rest}"),
        format!("/{first}\u{2215}{rest}"),
        format!("/static/../{bare}"),
    ]
    .into();
    for tail in [
        "/",
        "//",
        "/.",
        "/..",
        "/%2e",
        ";",
        ";x",
        ";x=1",
        ";jsessionid=1",
        "%20",
        "%00",
        "%0a",
        "%0d%0a",
        "%09",
        "%3b",
        "%3f",
        "%23",
        ".",
        "..",
        ".json",
        ".css",
        ".php",
        "~",
        "/x",
        "/x/..",
        "\\",
        "%5c",
        "%",
        "%zz",
        "%u002f",
        ",",
        "*",
        "'",
        "\"",
        "|",
        "^",
        "`",
        "{}",
        "[",
        "%ff",
        "%c0%af",
        "/index",
        "&x=1",
        "@",
        ":80",
        "%2f",
        "%252f",
        "%25",
        "/*",
    ] {
        found.insert(format!("{path}{tail}"));
    }
    for (at, character) in path.char_indices().filter(|(_, character)| character.is_ascii_alphanumeric()) {
        let (left, right) = (&path[..at], &path[at + 1..]);
        let code = u32::from(character);
        found.insert(format!("{left}%{code:02x}{right}"));
        found.insert(format!("{left}%{code:02X}{right}"));
        found.insert(format!("{left}%25{code:02x}{right}"));
        found.insert(format!("{left}{}{right}", character.to_ascii_uppercase()));
        found.insert(format!("{left}%00{character}{right}"));
        found.insert(format!("{left}{character}%20{right}"));
        found.insert(format!("{left};{character}{right}"));
        found.insert(format!("{left}%{right}"));
        found.insert(format!("{left}/{character}{right}"));
        found.insert(format!("{left}.{character}{right}"));
        found.insert(format!("{left}%e{code:x}{right}"));
    }
    for letter in "abcdefghijklmnopqrstuvwxyz0123456789".chars() {
        found.insert(format!("{path}{letter}"));
        found.insert(format!("{path}%{:02x}", u32::from(letter)));
        found.insert(format!("/{letter}{path}"));
    }
    found.remove(path);
    found
}

/// ATK-63: a path has one spelling; any other one reaches nothing, with and without a token, except a slash at the end.
#[tokio::test]
async fn a_path_in_another_spelling_reaches_nothing() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let all = spellings(UP);
    assert!(all.len() >= 200, "{} spellings", all.len());
    // One slash at the end is removed before any check: see `a_slash_at_the_end_leads_to_the_same_resource`.
    let slashed = format!("{UP}/");
    assert!(all.contains(&slashed));
    for spelling in all.iter().filter(|spelling| **spelling != slashed) {
        for token in ["", &granted.access] {
            let mut connection = Connection::open(field.address).await.unwrap();
            let _ = connection.send(&tool(spelling, token, "look").bytes(&field.host())).await;
            let reply = connection.reply("POST").await.unwrap_or_else(|error| panic!("{spelling}: {error}"));
            assert!(matches!(reply.status, 400 | 401 | 404 | 405 | 414), "{spelling:?}: {}", reply.status);
        }
    }
    // The absolute form is the same resource with its host (RFC 9112 §3.2.2); with another host it is refused.
    let absolute = field.ask(&tool(&format!("http://{}{UP}", field.host()), "", "look")).await;
    assert_eq!(absolute.status, 401, "the same door");
    let foreign = field.ask(&tool(&format!("http://evil.test{UP}"), &granted.access, "look")).await;
    assert!(matches!(foreign.status, 400 | 421), "{}", foreign.status);
    field.untouched();
    field.is_healthy(&granted).await;
}

/// ATK-63: the paths of the issuer have no second spelling either.
#[tokio::test]
async fn the_issuers_paths_have_one_spelling() {
    let field = Field::start().await;
    let good = ["/oauth/token", "/oauth/register", "/login", "/consent/x", "/setup/x", "/logout"];
    let wanted = field.ask(&Ask::post("/oauth/token").form(&[("grant_type", "x")])).await.status;
    assert!(matches!(wanted, 400 | 401));
    for path in good {
        for spelling in spellings(path).iter().step_by(2) {
            let mut connection = Connection::open(field.address).await.unwrap();
            let _ = connection.send(&Ask::post(spelling).form(&[("x", "y")]).bytes(&field.host())).await;
            let reply = connection.reply("POST").await.unwrap_or_else(|error| panic!("{spelling}: {error}"));
            let other = path == "/consent/x" || path == "/setup/x";
            assert!(
                matches!(reply.status, 400 | 404 | 405 | 414) || (other && (400..500).contains(&reply.status)),
                "{spelling:?}: {}",
                reply.status
            );
            assert!(!reply.text().contains("access_token") && reply.header("location").is_none(), "{spelling:?}");
        }
    }
    field.lets_in().await;
}

fn refused_host(reply: &Reply) -> bool {
    matches!(reply.status, 400 | 403 | 421)
}

/// ATK-78, TR-01, TR-02, TR-03: a page that rebinds its host name to us is refused by its `Host` and its `Origin`; an
/// honest caller is not.
#[tokio::test]
async fn a_rebound_name_reaches_nothing() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let port = field.address.port();
    let hosts = [
        "evil.test".to_owned(),
        format!("evil.test:{port}"),
        format!("localhost.evil.test:{port}"),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1.evil.test:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::]:{port}"),
        format!("127.0.0.2:{port}"),
        format!("localhost:{}", port ^ 1),
        format!("localhost.:{port}"),
        format!("user@localhost:{port}"),
        format!("localhost:{port}/"),
        format!("localhost:0{port}"),
        String::new(),
        format!("2130706433:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
    ];
    for path in [
        UP,
        "/",
        "/login",
        "/oauth/token",
        "/oauth/register",
        "/healthz",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource/mcp/up",
    ] {
        for host in &hosts {
            let ask = if path == UP { tool(UP, &granted.access, "look") } else { Ask::get(path) };
            let reply = field.ask(&ask.header("host", host)).await;
            assert!(refused_host(&reply), "{path} as {host:?}: {}", reply.status);
        }
    }
    for origin in [
        "null",
        "https://evil.test",
        "http://localhost",
        "http://localhost.evil.test",
        "file://",
        "http://127.0.0.1",
        "chrome-extension://x",
        "",
        "http://[::1]",
        "https://localhost",
        "http://0.0.0.0",
    ] {
        for method in ["POST", "GET", "DELETE", "OPTIONS"] {
            let reply = field.ask(&tool(UP, &granted.access, "look").method(method).header("origin", origin)).await;
            assert_eq!(reply.status, 403, "{method} from {origin:?}");
        }
    }
    field.untouched();
    field.rejected("origin_forbidden").await;
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        assert_eq!(field.ask(&tool(UP, &granted.access, "look").header("host", &host)).await.status, 200, "{host}");
    }
}
