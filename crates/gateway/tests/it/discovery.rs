//! What can be learned of a server without a token, and from which host names and pages it can be asked.

use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{Plan, World};

const PRM: &str = "/.well-known/oauth-protected-resource";

/// Sends bytes unchanged and returns the status and the whole response.
async fn raw(world: &World, request: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(world.base.trim_start_matches("http://")).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // A connection that is reset after the response has still answered.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), socket.read_to_string(&mut answer)).await.unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}

/// RS-03, RS-04, RS-05, RS-07, RS-09, RS-10, RS-11, RS-12: everybody can read where tokens come from, from any page.
#[tokio::test]
async fn metadata_says_who_we_are_and_who_grants() {
    let world = World::new().await;
    for origin in [None, Some("https://evil.example"), Some("null")] {
        let mut ask = world.ask(Method::GET, &format!("{PRM}/mcp/notes"));
        if let Some(origin) = origin {
            ask = ask.header("origin", origin);
        }
        let reply = ask.send().await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_eq!(reply.header("access-control-allow-credentials"), None);
        assert_eq!(
            reply.json(),
            json!({
                "resource": format!("{}/mcp/notes", world.base),
                "authorization_servers": [world.base],
                "bearer_methods_supported": ["header"],
                "scopes_supported": ["mcp:read"],
                "resource_name": "notes",
            })
        );
    }
    // There are two servers, so the root has no metadata.
    assert_eq!(world.ask(Method::GET, PRM).send().await.status, 404);
    let mut routes = (**world.routes.borrow()).clone();
    routes.servers.remove("other");
    world.routes.send(std::sync::Arc::new(routes)).unwrap();
    let reply = world.ask(Method::GET, PRM).send().await;
    assert_eq!(reply.json()["resource"], format!("{}/mcp/notes", world.base));
    for path in ["/mcp/ghost", "/mcp/notes/", "/notes", "/mcp/%6eotes", "/mcp/notes/x.css"] {
        assert_eq!(world.ask(Method::GET, &format!("{PRM}{path}")).send().await.status, 404, "{path}");
    }
}

/// RS-07, RS-08, RS-15, RS-16, RS-17, RS-18: a call without a token is told where to get one.
#[tokio::test]
async fn a_call_without_a_token_is_challenged() {
    let world = World::new().await;
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let reply = world.ask(method, "/mcp/notes").send().await;
        assert_eq!(reply.status, 401);
        let expected = format!("Bearer scope=\"mcp:read\", resource_metadata=\"{}{PRM}/mcp/notes\"", world.base);
        assert_eq!(reply.header("www-authenticate"), Some(expected.as_str()));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let url = expected.split('"').nth(3).unwrap().strip_prefix(world.base.as_str()).unwrap().to_owned();
        assert_eq!(world.ask(Method::GET, &url).send().await.status, 200);
    }
    assert!(world.fake.seen().is_empty());
}

/// ATK-13, TR-03, ATK-78, RS-09: names come from configuration. Another host is refused before anything else, and
/// forwarded headers change nothing.
#[tokio::test]
async fn a_foreign_host_is_refused_and_forwarded_names_change_nothing() {
    let world = World::new().await;
    let host = world.base.trim_start_matches("http://").to_owned();
    let token = world.owner_token("mcp:read").await;
    for path in ["/mcp/notes".to_owned(), format!("{PRM}/mcp/notes"), PRM.to_owned()] {
        for (headers, expected) in [
            ("Host: evil.example\r\n".to_owned(), 421),
            (format!("Host: {host}.evil.example\r\n"), 421),
            ("Host: localhost\"; x=\"\r\n".to_owned(), 421),
            (format!("Host: {host}\r\nHost: evil.example\r\n"), 400),
            (String::new(), 400),
        ] {
            let request =
                format!("GET {path} HTTP/1.1\r\n{headers}Authorization: Bearer {token}\r\nConnection: close\r\n\r\n");
            let (status, answer) = raw(&world, &request).await;
            assert_eq!(status, expected, "{headers} {answer}");
            assert!(!answer.contains("evil.example"), "{answer}");
        }
    }
    let plain = world.ask(Method::GET, "/mcp/notes").send().await;
    let spoofed = world
        .ask(Method::GET, "/mcp/notes")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-port", "1")
        .header("forwarded", "host=\"evil.example\";proto=https")
        .header("x-original-url", "/mcp/other")
        .send()
        .await;
    assert_eq!(plain.header("www-authenticate"), spoofed.header("www-authenticate"));
    let described =
        world.ask(Method::GET, &format!("{PRM}/mcp/notes")).header("x-forwarded-host", "evil.example").send().await;
    assert!(!described.body.contains("evil"), "{}", described.body);
}

/// TR-01, TR-02, ATK-51: a page of another origin is refused before its token and its body are looked at.
#[tokio::test]
async fn a_foreign_origin_is_refused_before_authentication() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    let before = world.fake.seen().len();
    for origin in ["https://evil.example", "null", "http://localhost", "http://127.0.0.1:1"] {
        for method in [Method::POST, Method::GET, Method::DELETE, Method::OPTIONS] {
            let reply = world.ask(method, "/mcp/notes").header("origin", origin).body("not json").send().await;
            assert_eq!(reply.status, 403, "{origin}");
            assert_eq!(reply.header("access-control-allow-origin"), None);
            assert_eq!(reply.header("www-authenticate"), None);
            assert!(reply.json().get("id").is_none());
        }
        let reply = world.modern(&token, "server/discover", json!({})).header("origin", origin).send().await;
        assert_eq!(reply.status, 403);
    }
    assert_eq!(world.fake.seen().len(), before);
    let reply = world.call(&token, "get_note").header("origin", &world.base).send().await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), Some(world.base.as_str()));
    assert_eq!(reply.header("access-control-allow-credentials"), None);
    assert!(reply.header("access-control-expose-headers").unwrap().contains("mcp-session-id"));
    assert_eq!(reply.header("vary"), Some("origin"));
}

/// ATK-51: a preflight is answered for allowed origins only, and never allows credentials of the browser.
#[tokio::test]
async fn a_preflight_is_answered_for_allowed_origins_only() {
    let world = World::new().await;
    let preflight = |origin: &str| {
        world
            .ask(Method::OPTIONS, "/mcp/notes")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization, mcp-param-region, x-evil, bad name")
    };
    let reply = preflight(&world.base).send().await;
    assert_eq!(reply.status, 204);
    assert_eq!(reply.header("access-control-allow-origin"), Some(world.base.as_str()));
    let allowed = reply.header("access-control-allow-headers").unwrap();
    assert!(allowed.contains("authorization") && allowed.contains("mcp-param-region"), "{allowed}");
    assert!(!allowed.contains("x-evil") && !allowed.contains("bad name"), "{allowed}");
    assert_eq!(reply.header("access-control-allow-credentials"), None);
    assert_eq!(preflight("https://evil.example").send().await.status, 403);
    assert_eq!(world.ask(Method::OPTIONS, "/mcp/notes").send().await.status, 405);
    // The metadata is for every page, and for clients in a page that send a version header.
    let ask = world.ask(Method::OPTIONS, &format!("{PRM}/mcp/notes")).header("origin", "https://anywhere.example");
    let reply = ask.header("access-control-request-headers", "mcp-protocol-version").send().await;
    assert_eq!((reply.status.as_u16(), reply.header("access-control-allow-origin")), (204, Some("*")));
    assert!(reply.header("access-control-allow-headers").unwrap().contains("mcp-protocol-version"));
}

/// ATK-61, ATK-63, ATK-62: no other path, spelling or HTTP method reaches an upstream without a token.
#[tokio::test]
async fn no_other_path_or_method_reaches_an_upstream() {
    let world = World::new().await.classified().await;
    let host = world.base.trim_start_matches("http://").to_owned();
    let before = world.fake.seen().len();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_note"}}"#;
    let mut paths: Vec<String> = [
        "/",
        "/mcp",
        "/mcp/",
        "/sse",
        "/message",
        "/messages",
        "/metrics",
        "/debug",
        "/admin",
        "/mcp/notes/",
        "/mcp/notes/message",
        "/mcp/notes/sse",
        "/mcp/notes;x",
        "/mcp/notes;a=b",
        "//mcp/notes",
        "/./mcp/notes",
        "/mcp/./notes",
        "/mcp//notes",
        "/mcp/../mcp/notes",
        "/x/../mcp/notes",
        "/mcp/%6eotes",
        "/mcp%2fnotes",
        "/%6dcp/notes",
        "/MCP/notes",
        "/mcp/NOTES",
        "/mcp/notes.",
        "/mcp/notes%20",
        "/mcp/notes%00",
        "/mcp/notes%2f",
        "/mcp/notes/..%2fother",
        "/mcp/notes%3fx",
        "/mcp\\notes",
        "/mcp/notes/../notes",
        "/mcp/notes#x",
        "/mcp/ghost",
        "/mcp/notes,other",
        "*",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    paths.push(format!("http://{host}/mcp/notes/../notes"));
    paths.push(format!("http://{host}//mcp/notes"));
    for method in ["POST", "GET", "PUT", "DELETE", "PATCH", "HEAD", "TRACE", "CONNECT", "PROPFIND", "BREW"] {
        for path in paths.iter().map(String::as_str).chain(["/mcp/notes", "/mcp/notes?access_token=x"]) {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\nAccept: */*\r\n\
                 X-Forwarded-User: owner\r\nX-HTTP-Method-Override: POST\r\nX-Original-URL: /mcp/notes\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let (status, answer) = raw(&world, &request).await;
            assert!((400..500).contains(&status), "{method} {path}: {answer}");
        }
    }
    assert_eq!(world.fake.seen().len(), before);
}

/// ATK-61, TR-06: with a token, too, only three HTTP methods are answered.
#[tokio::test]
async fn an_http_method_that_is_not_offered_is_named_as_such() {
    let world = World::new().await.classified().await;
    let token = world.owner_token("mcp:read").await;
    for method in [Method::PUT, Method::PATCH, Method::HEAD] {
        let reply = world.ask(method, "/mcp/notes").header("authorization", &format!("Bearer {token}")).send().await;
        assert_eq!(reply.status, 405);
        assert_eq!(reply.header("allow"), Some("GET, POST, DELETE"));
    }
}

/// Product §2: a call to a server that is public on purpose passes through the same steps, as an anonymous caller.
#[tokio::test]
async fn a_public_server_is_open_through_the_same_pipeline() {
    let world = World::with(Plan { public: true, ..Plan::default() }).await.classified().await;
    let anonymous = |tool: &str| world.call("x", tool).without("authorization");
    assert_eq!(anonymous("get_note").send().await.status, 200);
    let reply = anonymous("add_note").send().await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.json()["error"]["data"]["remedy"]["kind"], "step_up");
    // A token that is shown must be valid, and the other server is not public.
    assert_eq!(world.call("not-a-token", "get_note").send().await.status, 401);
    assert_eq!(anonymous("get_note").path("/mcp/other").send().await.status, 401);
}
