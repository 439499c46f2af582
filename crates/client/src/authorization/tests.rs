use std::collections::HashMap;

use sekisho_protocol::env::SeededEntropy;
use sekisho_protocol::metadata::AuthorizationServer;
use sekisho_protocol::pkce::CodeChallenge;
use sekisho_protocol::redirect::RedirectUri;
use url::Url;

use super::{AuthorizationParameters, AuthorizationRequest, BeginError, FinishError, begin, finish, redirect_path};
use crate::fixtures::{ISSUER, REDIRECT, RESOURCE, redirect_uri, registration, resource_id, server};

fn begun(server: &AuthorizationServer, seed: u64) -> AuthorizationRequest {
    let (resource, redirect) = (resource_id(), redirect_uri());
    let scopes = "mcp:read tool:x".parse().unwrap();
    let wish =
        AuthorizationParameters { resource: &resource, redirect_uri: &redirect, scopes: Some(&scopes), by_hand: false };
    let mut registration = registration();
    registration.issuer.clone_from(&server.issuer);
    begin(server, &registration, wish, &SeededEntropy::from_seed(seed)).unwrap()
}

fn refused(server: &AuthorizationServer, redirect: &str) -> BeginError {
    let (resource, redirect) = (resource_id(), RedirectUri::parse(redirect).unwrap());
    let wish = AuthorizationParameters { resource: &resource, redirect_uri: &redirect, scopes: None, by_hand: false };
    begin(server, &registration(), wish, &SeededEntropy::default()).unwrap_err()
}

fn parameters(request: &AuthorizationRequest) -> HashMap<String, String> {
    Url::parse(request.url()).unwrap().query_pairs().into_owned().collect()
}

/// CL-20, CL-21, CL-27, CL-28, CL-30: the request contains each parameter once; the endpoint's own query stays.
#[test]
fn the_request_is_complete() {
    let request = begun(&server(), 1);
    let parameters = parameters(&request);
    assert!(request.url().starts_with("https://issuer.test/authorize?fixed=1&response_type=code&"));
    for (name, value) in [
        ("client_id", "cli_1"),
        ("redirect_uri", REDIRECT),
        ("code_challenge_method", "S256"),
        ("resource", RESOURCE),
        ("scope", "mcp:read tool:x"),
        ("code_challenge", CodeChallenge::of(request.verifier()).as_str()),
    ] {
        assert_eq!(parameters.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(parameters.len(), 9);
    let other = begun(&server(), 2);
    assert_ne!(parameters["state"], self::parameters(&other)["state"]);
    assert_ne!(parameters["code_challenge"], self::parameters(&other)["code_challenge"]);
    assert!(!format!("{request:?}").contains(&parameters["state"]));
}

/// CL-29: if the issuer does not announce S256, nobody is sent there.
#[test]
fn an_issuer_without_pkce_is_refused() {
    for methods in [&[][..], &["plain"], &["s256"], &["S512"]] {
        let mut server = server();
        server.code_challenge_methods_supported = methods.iter().map(|&method| method.to_owned()).collect();
        assert_eq!(refused(&server, REDIRECT), BeginError::Pkce { issuer: ISSUER.to_owned() });
    }
}

/// CL-18, CL-19, ATK-87: a registration cannot be used at another issuer.
#[test]
fn a_registration_stays_with_its_issuer() {
    let mut server = server();
    server.issuer = "https://evil.test".to_owned();
    assert!(matches!(refused(&server, REDIRECT), BeginError::OtherIssuer { .. }));
}

/// CL-35, CL-46, ATK-86: only registered redirects, only https endpoints.
#[test]
fn nobody_is_sent_to_a_strange_place() {
    assert_eq!(refused(&server(), "http://127.0.0.1:4711/other"), BeginError::Redirect);
    assert_eq!(refused(&server(), "https://evil.test/callback"), BeginError::Redirect);
    for endpoint in
        ["javascript:alert(1)", "http://issuer.test/a", "http://localhost/a", "https://u@issuer.test/", "/a", ""]
    {
        let mut server = server();
        server.authorization_endpoint = endpoint.to_owned();
        assert_eq!(refused(&server, REDIRECT), BeginError::Endpoint { issuer: ISSUER.to_owned() }, "{endpoint}");
    }
    // RFC 8252 §7.3: the port of a loopback redirect is free.
    let (resource, other_port) = (resource_id(), RedirectUri::parse(&REDIRECT.replace("4711", "999")).unwrap());
    let wish = AuthorizationParameters { resource: &resource, redirect_uri: &other_port, scopes: None, by_hand: false };
    assert!(begin(&server(), &registration(), wish, &SeededEntropy::default()).is_ok());
}

/// Returns the outcome of an answer with this query; `STATE` stands for the request's own `state`.
fn answer(iss_promised: bool, query: &str) -> Result<String, FinishError> {
    let mut server = server();
    server.authorization_response_iss_parameter_supported = iss_promised;
    let request = begun(&server, 1);
    let query = query.replace("STATE", &parameters(&request)["state"]);
    finish(&request, &format!("{REDIRECT}?{query}")).map(|answer| answer.code.expose().to_owned())
}

const ISS: &str = "iss=https%3A%2F%2Fissuer.test";

/// CL-32: the table of the specification, row by row.
#[test]
fn iss_is_checked_as_the_table_says() {
    let other = || Some(FinishError::Issuer);
    for (promised, query, error) in [
        (true, "iss=https%3A%2F%2Fissuer.test", None),
        (true, "", Some(FinishError::Unnamed { issuer: ISSUER.to_owned() })),
        (true, "iss=", other()),
        (true, "iss=https%3A%2F%2Fevil.test", other()),
        (false, "iss=https%3A%2F%2Fissuer.test", None),
        (false, "", None),
        (false, "iss=https%3A%2F%2Fevil.test", other()),
        (false, "iss=", other()),
    ] {
        let expected = error.map_or_else(|| Ok("c".to_owned()), Err);
        assert_eq!(answer(promised, &format!("code=c&state=STATE&{query}")), expected, "{promised} {query}");
    }
}

/// CL-33: decoded once, then compared as it is.
#[test]
fn iss_is_not_normalized() {
    assert!(answer(true, "code=c&state=STATE&iss=https://issuer.test").is_ok());
    for other in [
        "https://issuer.test/",
        "https://ISSUER.test",
        "HTTPS://issuer.test",
        "https://issuer.test:443",
        "https://issuer.test%2520",
        "https%253A%252F%252Fissuer.test",
        "https://issuer.test+",
    ] {
        assert_eq!(answer(true, &format!("code=c&state=STATE&iss={other}")), Err(FinishError::Issuer), "{other}");
    }
}

/// CL-34: nothing from an answer that fails the check is shown, not even its error.
#[test]
fn an_error_from_elsewhere_is_not_shown() {
    let error = answer(true, "error=access_denied&error_description=CANARY&state=STATE&iss=https%3A%2F%2Fevil.test")
        .unwrap_err();
    assert_eq!(error, FinishError::Issuer);
    assert!(!error.to_string().contains("CANARY"));
    let refused =
        answer(true, &format!("error=access_denied&error_description=not+today%1b&state=STATE&{ISS}")).unwrap_err();
    assert_eq!(refused, FinishError::Refused { code: "access_denied".to_owned(), description: "not today".to_owned() });
    // If an answer has both an error and a code, the error counts.
    assert!(matches!(answer(true, &format!("error=x&code=c&state=STATE&{ISS}")), Err(FinishError::Refused { .. })));
}

/// CL-30: if `state` is wrong, nothing else in the answer is read.
#[test]
fn a_forged_answer_is_dropped() {
    for state in ["", "state=", "state=other", "state=STATEx", "State=STATE", "state=%20STATE"] {
        assert_eq!(answer(true, &format!("code=c&{state}&{ISS}")), Err(FinishError::State), "{state}");
    }
    for query in [
        format!("code=c&code=c&state=STATE&{ISS}"),
        format!("code=c&state=STATE&state=STATE&{ISS}"),
        format!("code=c&state=STATE&{ISS}&{ISS}"),
    ] {
        assert_eq!(answer(true, &query), Err(FinishError::Malformed), "{query}");
    }
    assert_eq!(answer(true, &format!("state=STATE&{ISS}")), Err(FinishError::Malformed));
    assert_eq!(answer(true, &format!("code=&state=STATE&{ISS}")), Err(FinishError::Malformed));
}

/// CL-31, ATK-83: if the answers of two logins at two issuers are swapped, both are refused.
#[test]
fn crossed_answers_are_refused() {
    let mut evil = server();
    evil.issuer = "https://evil.test".to_owned();
    evil.authorization_endpoint = "https://evil.test/authorize".to_owned();
    let (honest, crossed) = (begun(&server(), 1), begun(&evil, 2));
    let url =
        |of: &AuthorizationRequest, iss: &str| format!("{REDIRECT}?code=c&state={}&iss={iss}", parameters(of)["state"]);
    assert_eq!(finish(&honest, &url(&crossed, "https://evil.test")), Err(FinishError::State));
    assert_eq!(finish(&crossed, &url(&honest, ISSUER)), Err(FinishError::State));
    // The evil issuer knows its own state and sends an honest issuer's code with it.
    assert_eq!(finish(&crossed, &url(&crossed, ISSUER)), Err(FinishError::Issuer));
    assert!(finish(&honest, &url(&honest, ISSUER)).is_ok());
}

/// ATK-201, RFC 9700 §4.4.2: each issuer has its own path. The path never changes, because it is registered there.
#[test]
fn each_issuer_has_a_path_of_its_own() {
    assert_eq!(REDIRECT, format!("http://127.0.0.1:4711{}", redirect_path(ISSUER)));
    let issuers = [ISSUER, "https://issuer.test/", "https://issuer.test/t", "http://issuer.test", "https://evil.test"];
    let paths: std::collections::HashSet<_> = issuers.iter().map(|issuer| redirect_path(issuer)).collect();
    assert_eq!(paths.len(), issuers.len());
}

#[test]
fn an_answer_elsewhere_is_dropped() {
    let request = begun(&server(), 1);
    let query = format!("code=c&state={}&{ISS}", parameters(&request)["state"]);
    for base in [
        "http://127.0.0.1:4711/other",
        &REDIRECT.replace("4711", "4712"),
        &REDIRECT.replace("http:", "https:"),
        &REDIRECT.replace("127.0.0.1", "localhost"),
        "",
        &format!("{REDIRECT}/"),
        // The path that several issuers share, and the path of another issuer.
        "http://127.0.0.1:4711/callback",
        &format!("http://127.0.0.1:4711{}", redirect_path("https://evil.test")),
    ] {
        assert_eq!(finish(&request, &format!("{base}?{query}")), Err(FinishError::Elsewhere), "{base}");
    }
    assert_eq!(finish(&request, &format!("{REDIRECT}?x=1#{query}")).unwrap_err(), FinishError::Elsewhere);
}
