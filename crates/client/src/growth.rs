//! The work to read texts of strangers grows in proportion to their length (ATK-273). Challenges are tested in
//! `challenge.rs`.

use ::http::{HeaderMap, HeaderValue, StatusCode};
use sekisho_protocol::env::SeededEntropy;
use sekisho_protocol::growth::in_proportion;
use sekisho_protocol::mcp::sse::{Parser, Piece};
use sekisho_protocol::metadata::{AuthorizationServer, ProtectedResource};
use sekisho_protocol::redirect::RedirectUri;
use serde::de::DeserializeOwned;

use crate::authorization::{AuthorizationParameters, begin, finish};
use crate::discovery::{is_same_issuer, select_scopes};
use crate::fixtures::{ISSUER, RESOURCE, redirect_uri, registration, resource_id, server};
use crate::http::{Response, is_as_secure};

fn repeated(before: &str, unit: &str, after: &str, count: usize) -> String {
    let mut text = String::from(before);
    for at in 0..count.min(2_000_000 / unit.len()) {
        text.push_str(&unit.replace('#', &at.to_string()));
    }
    text + after
}

/// ATK-273: event streams, in one piece and cut into single bytes.
#[test]
fn reading_an_event_stream_grows_with_it() {
    for unit in ["data: x\n", "\r", "id: #\n", "event: e\ndata: #\n\n", "data"] {
        for chunk in [1, usize::MAX] {
            in_proportion(
                &format!("{unit:?} in chunks of {chunk}"),
                256,
                |count| repeated("", unit, "", count),
                |text| {
                    let mut parser = Parser::new(usize::MAX);
                    let chunks = text.as_bytes().chunks(chunk.min(text.len()));
                    chunks
                        .flat_map(|chunk| parser.push(chunk).unwrap())
                        .filter(|piece| matches!(piece, Piece::Event(_)))
                        .count()
                },
            );
        }
    }
}

fn document<T: DeserializeOwned>(body: &str) -> Option<T> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    Response { status: StatusCode::OK, headers, body: body.to_owned().into() }.json()
}

/// ATK-273: both metadata documents, and the handling of their lists.
#[test]
fn reading_metadata_grows_with_it() {
    let resource = format!("{{\"resource\":\"{RESOURCE}\",\"authorization_servers\":[\"{ISSUER}\"");
    let issuer = format!(
        "{{\"issuer\":\"{ISSUER}\",\"authorization_endpoint\":\"{ISSUER}/a\",\"token_endpoint\":\"{ISSUER}/t\",\"response_types_supported\":[\"code\""
    );
    for (before, unit, after) in [
        ("", ",\"https://i#.test\"", "]}"),
        ("],\"scopes_supported\":[\"x\"", ",\"a#\"", "]}"),
        ("],\"x\":\"", "\\u0041", "\"}"),
        ("]", ",\"x#\":1", "}"),
        ("],\"x\":", "[", ""),
    ] {
        for (start, is_resource) in [(&resource, true), (&issuer, false)] {
            in_proportion(
                &format!("{unit} {is_resource}"),
                256,
                |count| repeated(&format!("{start}{before}"), unit, after, count),
                |text| match is_resource {
                    true => document::<ProtectedResource>(text).map(|document| {
                        let scopes = select_scopes(None, &document, &server()).map_or(0, |scopes| scopes.len());
                        let same =
                            document.authorization_servers.iter().filter(|issuer| is_same_issuer(issuer, ISSUER));
                        same.count() + scopes
                    }),
                    false => document::<AuthorizationServer>(text).map(|document| document.scopes_supported.len()),
                },
            );
        }
    }
}

/// ATK-273: the URL to which a browser was sent back.
#[test]
fn reading_an_answer_grows_with_it() {
    let (resource, redirect) = (resource_id(), redirect_uri());
    let wish = AuthorizationParameters { resource: &resource, redirect_uri: &redirect, scopes: None, by_hand: false };
    let request = begin(&server(), &registration(), wish, &SeededEntropy::default()).unwrap();
    for unit in ["a#=b&", "&", "%41", "%", "a=%F0&", "?"] {
        in_proportion(
            unit,
            256,
            |count| repeated(&format!("{}?state=x&", redirect.as_str()), unit, "&code=c", count),
            |url| finish(&request, url).is_ok(),
        );
    }
}

/// ATK-273: redirect URIs and URLs that metadata name, with the unit in the path and in the host.
#[test]
fn reading_a_url_grows_with_it() {
    for unit in ["../", "%2e%2e/", "a.", "@", "ü", "["] {
        for before in ["https://h.test/", "https://"] {
            let make = |count: usize| repeated(before, unit, "/x", count);
            in_proportion(unit, 256, make, |url| (is_as_secure(ISSUER, url), RedirectUri::parse(url).is_ok()));
        }
    }
}
