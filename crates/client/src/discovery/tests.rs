use serde_json::json;

use super::{
    IssuerError, ResourceError, discover_any_issuer, discover_issuer, discover_origin, discover_resource, is_as_secure,
    is_same_issuer, select_scopes,
};
use crate::challenge::BearerChallenge;
use crate::fixtures::{ISSUER, RESOURCE, issuer_json, resource, resource_id, resource_json, server};
use crate::http::Scripted;
use sekisho_protocol::resource::ResourceId;

const INSERTED: &str = "GET https://server.test/.well-known/oauth-protected-resource/mcp/notes";
const ROOT: &str = "GET https://server.test/.well-known/oauth-protected-resource";

fn challenge(url: &str) -> BearerChallenge {
    BearerChallenge { resource_metadata: Some(url.to_owned()), ..BearerChallenge::default() }
}

/// CL-01, CL-03: the URL in the challenge comes first; otherwise the well-known URL with the path, then the root; no
/// other URL is called.
#[tokio::test]
async fn metadata_is_looked_for_in_order() {
    let named = Scripted::default().json("GET https://server.test/meta", 200, &resource_json()).json(
        INSERTED,
        200,
        &resource_json(),
    );
    discover_resource(&named, &resource_id(), Some(&challenge("https://server.test/meta"))).await.unwrap();
    assert_eq!(named.lines(), ["GET https://server.test/meta"]);
    for without in [None, Some(BearerChallenge::default())] {
        let inserted = Scripted::default().json(INSERTED, 200, &resource_json());
        discover_resource(&inserted, &resource_id(), without.as_ref()).await.unwrap();
        assert_eq!(inserted.lines(), [INSERTED]);
    }
    let root = Scripted::default().json(ROOT, 200, &resource_json());
    discover_resource(&root, &resource_id(), None).await.unwrap();
    assert_eq!(root.lines(), [INSERTED, ROOT]);
    let bare = ResourceId::parse("https://server.test").unwrap();
    let nothing = Scripted::default();
    assert!(matches!(discover_resource(&nothing, &bare, None).await, Err(ResourceError::Missing { .. })));
    assert_eq!(nothing.lines(), [ROOT]);
}

/// CL-04: a document about another URL than the one that was called is dropped, wherever it was found. A document about
/// the whole origin counts only at the well-known URL of the origin.
#[tokio::test]
async fn metadata_of_another_resource_is_refused() {
    let mut origin = resource_json();
    origin["resource"] = json!("https://server.test");
    let at_root = Scripted::default().json(ROOT, 200, &origin);
    assert_eq!(discover_resource(&at_root, &resource_id(), None).await.unwrap().resource, "https://server.test");
    let elsewhere = Scripted::default().json(INSERTED, 200, &origin);
    let error = discover_resource(&elsewhere, &resource_id(), None).await.unwrap_err();
    assert!(matches!(error, ResourceError::Mismatch { .. }), "{error:?}");
    let led = Scripted::default().json(ROOT, 200, &origin);
    let root = challenge("https://server.test/.well-known/oauth-protected-resource");
    let error = discover_resource(&led, &resource_id(), Some(&root)).await.unwrap_err();
    assert!(matches!(error, ResourceError::Mismatch { .. }), "{error:?}");
    for other in [
        "http://server.test",
        "https://server.test:444",
        "https://server.test/mcp",
        "https://server.test/mcp/notes/",
        "https://server.test/mcp/Notes",
        "https://evil.test/mcp/notes",
        "http://server.test/mcp/notes",
        "x",
        "",
    ] {
        let mut document = resource_json();
        document["resource"] = json!(other);
        for place in [INSERTED, ROOT] {
            let http = Scripted::default().json(place, 200, &document);
            let error = discover_resource(&http, &resource_id(), None).await.unwrap_err();
            assert!(matches!(error, ResourceError::Mismatch { .. }), "{other} at {place}: {error:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_resource_document_is_refused() {
    let without = |name: &str| {
        let mut document = resource_json();
        document.as_object_mut().unwrap().remove(name);
        document
    };
    for document in [json!([]), json!("x"), json!({}), without("resource"), without("authorization_servers")] {
        let http = Scripted::default().json(INSERTED, 200, &document);
        let error = discover_resource(&http, &resource_id(), None).await.unwrap_err();
        assert!(matches!(error, ResourceError::Malformed { .. }), "{document}: {error:?}");
    }
    let twice = format!("{{\"resource\":\"https://evil.test\",{}", resource_json().to_string().trim_start_matches('{'));
    for (media, body) in [("text/html", resource_json().to_string()), ("application/json", twice)] {
        let http = Scripted::default().with(INSERTED, 200, &[("content-type", media)], body);
        assert!(
            matches!(discover_resource(&http, &resource_id(), None).await, Err(ResourceError::Malformed { .. })),
            "{media}"
        );
    }
    let http = Scripted::default().json(INSERTED, 200, &json!({ "resource": RESOURCE, "authorization_servers": [] }));
    assert!(matches!(discover_resource(&http, &resource_id(), None).await, Err(ResourceError::NoIssuer { .. })));
}

/// CL-42, CL-43, ATK-85: a challenge cannot send us to a less secure URL, nor to our own machine.
#[tokio::test]
async fn a_challenge_cannot_lower_security() {
    for url in [
        "http://server.test/meta",
        "http://localhost:1/meta",
        "http://127.0.0.1/",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "/meta",
        "",
        "https://u:p@server.test/",
    ] {
        let http = Scripted::default();
        let error = discover_resource(&http, &resource_id(), Some(&challenge(url))).await.unwrap_err();
        assert!(matches!(error, ResourceError::Insecure), "{url}: {error:?}");
        assert!(http.lines().is_empty(), "{url}");
    }
}

/// CL-07, CL-08: both kinds of metadata, in the order of the specification.
#[tokio::test]
async fn issuer_metadata_is_looked_for_in_order() {
    let tenant = "https://issuer.test/t";
    let places = [
        "GET https://issuer.test/.well-known/oauth-authorization-server/t",
        "GET https://issuer.test/.well-known/openid-configuration/t",
        "GET https://issuer.test/t/.well-known/openid-configuration",
    ];
    for (at, place) in places.iter().enumerate() {
        let http = Scripted::default().json(place, 200, &issuer_json(tenant));
        assert_eq!(discover_issuer(&http, tenant).await.unwrap().issuer, tenant);
        assert_eq!(http.lines(), places[..=at]);
    }
    let nothing = Scripted::default();
    assert!(matches!(discover_issuer(&nothing, ISSUER).await, Err(IssuerError::Missing { .. })));
    let root =
        ["oauth-authorization-server", "openid-configuration"].map(|name| format!("GET {ISSUER}/.well-known/{name}"));
    assert_eq!(nothing.lines(), root);
}

const METADATA: &str = "GET https://issuer.test/.well-known/oauth-authorization-server";

/// A web application answers every unknown path with its page and status 200. Discovery goes on to the next place for
/// both documents; if no place has one, the error says what was found.
#[tokio::test]
async fn a_page_in_place_of_a_document_does_not_end_the_search() {
    let page: &[(&'static str, &str)] = &[("content-type", "text/html")];
    let html = "<!doctype html><title>app</title>";
    let http = Scripted::default().with(INSERTED, 200, page, html).json(ROOT, 200, &resource_json());
    assert_eq!(discover_resource(&http, &resource_id(), None).await.unwrap().resource, RESOURCE);
    let issuer = "https://issuer.test/realms/x";
    let [first, second, last] = [
        "https://issuer.test/.well-known/oauth-authorization-server/realms/x",
        "https://issuer.test/.well-known/openid-configuration/realms/x",
        "https://issuer.test/realms/x/.well-known/openid-configuration",
    ]
    .map(|url| format!("GET {url}"));
    for (media, body) in [
        ("text/html", html),
        ("application/json", "{}"),
        ("application/json", "{\"error\":\"not found\"}"),
        ("text/plain", ""),
    ] {
        let world = || {
            let page: &[(&'static str, &str)] = &[("content-type", media)];
            Scripted::default().with(&first, 200, page, body).with(&second, 200, page, body)
        };
        let http = world().json(&last, 200, &issuer_json(issuer));
        assert_eq!(discover_issuer(&http, issuer).await.unwrap().issuer, issuer, "{media} {body}");
        assert!(
            matches!(discover_issuer(&world(), issuer).await, Err(IssuerError::Malformed { .. })),
            "{media} {body}"
        );
        // A document of another issuer ends the search: it is not a page, and no better document follows.
        let other = world().json(&last, 200, &issuer_json(ISSUER));
        assert!(matches!(discover_issuer(&other, issuer).await, Err(IssuerError::Mismatch { .. })), "{media} {body}");
    }
}

/// An origin with a slash and one without are the same issuer; the name in its document is used. All other differences
/// make another issuer.
#[tokio::test]
async fn an_origin_is_the_same_issuer_with_its_slash() {
    for (named, calls_itself) in [
        (ISSUER, "https://issuer.test/"),
        ("https://issuer.test/", ISSUER),
        ("https://issuer.test/", "https://issuer.test/"),
    ] {
        let mut document = issuer_json(ISSUER);
        document["issuer"] = json!(calls_itself);
        let http = Scripted::default().json(METADATA, 200, &document);
        assert_eq!(discover_issuer(&http, named).await.unwrap().issuer, calls_itself, "{named}");
    }
    for (one, other) in [
        ("https://issuer.test/t", "https://issuer.test/t/"),
        ("https://issuer.test", "https://issuer.test//"),
        ("https://issuer.test", "https://ISSUER.test/"),
        ("https://issuer.test", "https://issuer.test:443/"),
        ("https://issuer.test", "http://issuer.test/"),
        ("https://issuer.test", "https://issuer.test/?"),
        ("https://issuer.test", "https://issuer.test/#"),
        ("https://", "https:///"),
        ("", "/"),
    ] {
        assert!(!is_same_issuer(one, other) && !is_same_issuer(other, one), "{one} {other}");
        assert!(is_same_issuer(one, one));
    }
}

/// 2025-03-26 Authorization §2.3: the metadata at the origin, whatever the server's path; without metadata, the paths
/// that the revision names. Metadata of another issuer there is an error.
#[tokio::test]
async fn an_older_server_is_its_own_issuer() {
    let at = "GET https://server.test/.well-known/oauth-authorization-server";
    let http = Scripted::default().json(at, 200, &issuer_json("https://server.test"));
    let found = discover_origin(&http, &resource_id()).await.unwrap();
    assert_eq!(
        (found.issuer.as_str(), found.token_endpoint.as_str()),
        ("https://server.test", "https://server.test/token")
    );
    // The metadata may name another issuer within the origin; the origin is used.
    let http = Scripted::default().json(at, 200, &issuer_json("https://server.test/oauth"));
    let found = discover_origin(&http, &resource_id()).await.unwrap();
    assert_eq!(
        (found.issuer.as_str(), found.token_endpoint.as_str()),
        ("https://server.test", "https://server.test/oauth/token")
    );
    let nothing = Scripted::default();
    let found = discover_origin(&nothing, &resource_id()).await.unwrap();
    assert_eq!(found.authorization_endpoint, "https://server.test/authorize");
    assert_eq!(found.registration_endpoint.as_deref(), Some("https://server.test/register"));
    assert_eq!(found.code_challenge_methods_supported, ["S256"]);
    for other in [
        ISSUER,
        "https://server.test:444",
        "https://server.test.evil.test",
        "https://server.test@evil.test/",
        "http://server.test",
    ] {
        let mut document = issuer_json("https://server.test");
        document["issuer"] = json!(other);
        let http = Scripted::default().json(at, 200, &document);
        let error = discover_origin(&http, &resource_id()).await.unwrap_err();
        assert!(matches!(error, IssuerError::Mismatch { .. }), "{other}: {error:?}");
    }
}

/// CL-09: metadata is used only if it names the issuer that was asked for.
#[tokio::test]
async fn metadata_of_another_issuer_is_refused() {
    for other in [
        "https://issuer.test//",
        "https://issuer.test/t",
        "https://ISSUER.test",
        "https://issuer.test:443",
        "https://evil.test",
        "http://issuer.test",
        "",
    ] {
        let mut document = issuer_json(ISSUER);
        document["issuer"] = json!(other);
        let http = Scripted::default().json(METADATA, 200, &document);
        let error = discover_issuer(&http, ISSUER).await.unwrap_err();
        assert!(matches!(error, IssuerError::Mismatch { .. }), "{other}: {error:?}");
        assert_eq!(http.lines(), [METADATA]);
    }
}

/// URLs that a browser or a request must not be sent to (CL-43, CL-46, ATK-85, ATK-86).
const PAYLOADS: &str = "javascript:alert(1) JavaScript:alert(1) java&#115;cript:alert(1) data:text/html,x vbscript:x file:///etc/passwd \
    file://host/share blob:https://h/x about:blank ftp://h/ ws://h/ wss://h/ mailto:a@b tel:1 ssh://h/ smb://h/ ms-msdt:x ms-settings: \
    search-ms:query=x vscode://x cursor://x x-apple:x intent://x#Intent;end jar:https://h!/x view-source:https://h/ chrome://settings \
    http://issuer.test/ http://127.0.0.1/ http://localhost/ http://[::1]/ http://10.0.0.1/ http://169.254.169.254/latest //issuer.test/ \
    /authorize authorize ?x #x . .. - -- --help -e;id $(id) `id` |id &calc;x ;id https:// https:/// https://# https://? https://u@issuer.test/ \
    https://u:p@issuer.test/ https://issuer.test@evil.test/ https://issuer.test/#f https://issuer.test/\"x\" https://issuer.test/'x' \
    https://issuer.test/`id` https://issuer.test\\@evil.test/ https://issuer.test/<x> https:\\\\issuer.test https://[::1 https://issuer.test:99999/ \
    https://ıssuer.test/é https://issuer.test/\u{202e} \\\\host\\share C:\\x %00 null";

/// ATK-85, ATK-86, CL-43, CL-46: no endpoint of an https issuer is anything but an https URL.
#[tokio::test]
async fn a_hostile_endpoint_is_refused() {
    let payloads: Vec<&str> = PAYLOADS
        .split_whitespace()
        .chain(["", " https://issuer.test/", "https://issuer.test/\n--x", "https://issuer.test/ -x"])
        .collect();
    assert!(payloads.len() >= 60, "{}", payloads.len());
    for payload in payloads {
        assert!(!is_as_secure(ISSUER, payload), "{payload}");
        for member in
            ["authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint", "jwks_uri"]
        {
            let mut document = issuer_json(ISSUER);
            document[member] = json!(payload);
            let http = Scripted::default().json(METADATA, 200, &document);
            let error = discover_issuer(&http, ISSUER).await.unwrap_err();
            assert!(matches!(error, IssuerError::Endpoint { .. }), "{member}: {payload}: {error:?}");
        }
    }
    assert!(is_as_secure("http://localhost:1/x", "http://127.0.0.1:2/y"));
    assert!(is_as_secure("http://localhost:1/x", "https://issuer.test/y"));
}

/// CL-42, ATK-85: an issuer must be an https URL, otherwise no request is sent.
#[tokio::test]
async fn a_hostile_issuer_is_not_asked() {
    for issuer in [
        "http://issuer.test",
        "https://issuer.test?x",
        "https://issuer.test/#x",
        "https://u@issuer.test",
        "x",
        "",
        "http://10.0.0.1",
    ] {
        let http = Scripted::default();
        assert!(matches!(discover_issuer(&http, issuer).await, Err(IssuerError::Identifier { .. })), "{issuer}");
        assert!(http.lines().is_empty());
    }
    let mut listing = resource();
    listing.authorization_servers = vec!["http://localhost:1".to_owned(), "http://127.0.0.1:2".to_owned()];
    let http = Scripted::default();
    assert!(matches!(discover_any_issuer(&http, &listing).await, Err(IssuerError::Identifier { .. })));
    assert!(http.lines().is_empty());
}

/// CL-05: an authorization server that does not answer is skipped; a long list is not followed to its end.
#[tokio::test]
async fn the_next_authorization_server_is_tried() {
    let mut listing = resource();
    listing.authorization_servers = vec!["https://dead.test".to_owned(), ISSUER.to_owned()];
    let http = Scripted::default().json(METADATA, 200, &issuer_json(ISSUER));
    assert_eq!(discover_any_issuer(&http, &listing).await.unwrap().issuer, ISSUER);
    listing.authorization_servers = (0..100).map(|n| format!("https://dead{n}.test")).collect();
    let http = Scripted::default();
    assert!(matches!(discover_any_issuer(&http, &listing).await, Err(IssuerError::Missing { .. })));
    assert_eq!(http.lines().len(), 2 * super::ISSUERS_TRIED_MAX);
}

/// CL-22, CL-23, CL-40: the challenge's scopes, else the resource's, else none; never the issuer's list.
#[test]
fn the_least_scopes_are_asked_for() {
    let challenged = BearerChallenge { scope: Some("tool:unlisted".parse().unwrap()), ..BearerChallenge::default() };
    let (mut resource, mut server) = (resource(), server());
    let text = |scopes: Option<sekisho_protocol::scope::ScopeSet>| scopes.map(|scopes| scopes.to_string());
    server.scopes_supported = vec!["admin".parse().unwrap()];
    assert_eq!(text(select_scopes(Some(&challenged), &resource, &server)).as_deref(), Some("tool:unlisted"));
    assert_eq!(text(select_scopes(None, &resource, &server)).as_deref(), Some("mcp:read"));
    assert_eq!(text(select_scopes(Some(&BearerChallenge::default()), &resource, &server)).as_deref(), Some("mcp:read"));
    server.scopes_supported.push("offline_access".parse().unwrap());
    assert_eq!(
        text(select_scopes(Some(&challenged), &resource, &server)).as_deref(),
        Some("offline_access tool:unlisted")
    );
    resource.scopes_supported.clear();
    assert_eq!(select_scopes(None, &resource, &server), None);
}

/// ATK-88: a redirect in place of metadata is no metadata.
#[tokio::test]
async fn a_redirect_is_no_metadata() {
    let to: &[(&'static str, &str)] = &[("location", "https://evil.test/meta"), ("content-type", "application/json")];
    let http = Scripted::default().with(INSERTED, 302, to, resource_json().to_string()).json(
        "GET https://evil.test/meta",
        200,
        &resource_json(),
    );
    assert!(matches!(discover_resource(&http, &resource_id(), None).await, Err(ResourceError::Missing { .. })));
    assert_eq!(http.lines(), [INSERTED, ROOT]);
}
