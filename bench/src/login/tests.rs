//! Tests the sign-in with the smallest possible issuer, whose pages are in the order of the real one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use super::*;

const PASSWORD: &str = "correct horse";

/// A request that the issuer received.
struct Received {
    line: String,
    cookie: String,
    body: String,
}

fn receive(stream: &std::net::TcpStream) -> Received {
    let mut reader = BufReader::new(stream);
    let mut received = Received { line: String::new(), cookie: String::new(), body: String::new() };
    let mut length = 0;
    reader.read_line(&mut received.line).unwrap();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        match name {
            "Content-Length" => length = value.trim().parse().unwrap(),
            "Cookie" => received.cookie = value.trim().to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    received.body = String::from_utf8(body).unwrap();
    received
}

fn page(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Returns the issuer's response. Each page requires a value from the page before it.
fn respond(origin: &str, request: &Received) -> String {
    let (method, target) = request.line.split_once(' ').unwrap();
    let path = target.split([' ', '?']).next().unwrap();
    let json = |body: String| page("200 OK", "", &body);
    match (method, path) {
        ("GET", "/.well-known/oauth-protected-resource/mcp/bench") => {
            json(format!(r#"{{"resource":"{origin}/mcp/bench","authorization_servers":["{origin}/"]}}"#))
        }
        ("GET", "/.well-known/oauth-authorization-server") => json(format!(
            r#"{{"authorization_endpoint":"{origin}/authorize","registration_endpoint":"{origin}/register","token_endpoint":"{origin}/token"}}"#
        )),
        ("POST", "/register") => json(r#"{"client_id":"c-1"}"#.to_owned()),
        ("GET", "/authorize") if target.contains("client_id=c-1") => {
            page("303 See Other", "Location: /login?go=1\r\nSet-Cookie: pre=p1; HttpOnly\r\n", "")
        }
        ("GET", "/login") if request.cookie == "pre=p1" => page(
            "200 OK",
            "",
            r#"<form method="post"><input type="hidden" name="csrf" value="x&#39;y"><input name="username"><input type="password" name="password"></form>"#,
        ),
        ("POST", "/login") if request.body == "csrf=x%27y&username=bench&password=correct+horse" => page(
            "303 See Other",
            "Location: consent\r\nSet-Cookie: session=s1; HttpOnly\r\nSet-Cookie: pre=; Max-Age=0\r\n",
            "",
        ),
        ("POST", "/login") => {
            page("401 Unauthorized", "", r#"<form method="post"><input type="password" name="password"></form>"#)
        }
        ("GET", "/consent") if request.cookie == "session=s1" => page(
            "200 OK",
            "",
            r#"<form method="post" action="/decide"><button name="decision" value="deny">No</button><button name="decision" value="approve">Yes</button></form>"#,
        ),
        ("POST", "/decide") if request.body == "decision=approve" => {
            page("302 Found", &format!("Location: {REDIRECT_URI}?code=k-1&state={STATE}\r\n"), "")
        }
        ("POST", "/token") if request.body.contains("code=k-1&") && request.body.contains(CODE_VERIFIER) => {
            json(r#"{"access_token":"the-token","token_type":"Bearer"}"#.to_owned())
        }
        _ => page("400 Bad Request", "", &format!("not expected: {}", request.line)),
    }
}

fn small_issuer() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let known_as = origin.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = receive(&stream);
            stream.write_all(respond(&known_as, &request).as_bytes()).unwrap();
        }
    });
    origin
}

fn token_with(password: &str, name: &str) -> Result<String, LoginError> {
    let password_file = std::env::temp_dir().join(format!("sekisho-bench-{}-{name}", std::process::id()));
    fs::write(&password_file, format!("{password}\n")).unwrap();
    let url = Url::parse(&format!("{}/mcp/bench", small_issuer())).unwrap();
    let username = "bench".to_owned();
    let outcome = run(&TokenArguments { url, username, password_file: password_file.clone(), scope: None });
    fs::remove_file(password_file).unwrap();
    outcome
}

#[test]
fn a_token_is_had_by_filling_in_every_page_on_the_way() {
    assert_eq!(token_with(PASSWORD, "right").unwrap(), "the-token");
}

#[test]
fn a_wrong_password_ends_instead_of_being_tried_for_ever() {
    assert!(matches!(token_with("wrong", "wrong"), Err(LoginError::Lost(_))));
}

#[test]
fn coming_back_without_a_code_is_told_as_the_issuer_said_it() {
    for query in ["error=access_denied&state=bench", "code=k-1", "code=k-1&state=other"] {
        let callback = Url::parse(&format!("{REDIRECT_URI}?{query}")).unwrap();
        assert!(matches!(code_of(&callback), Err(LoginError::Denied(said)) if said == query), "{query}");
    }
}
