//! Servers of 2025-03-26: they do not say who grants access, and their own origin does (Authorization, §2.3).

use crate::challenge::BearerChallenge;
use crate::discovery::{ResourceError, is_same_issuer, origin_of};
use crate::token::Tokens;

/// Whether the server may be treated as one of 2025-03-26: the challenge names no protected resource metadata, and no
/// well-known place has any. A wrong document rules it out, because such a server knows the newer revisions.
pub(super) fn is_for(error: &ResourceError, challenge: Option<&BearerChallenge>) -> bool {
    let is_led = challenge.is_some_and(|challenge| challenge.resource_metadata.is_some());
    match error {
        // Some servers answer every unknown path with their front page.
        ResourceError::Missing { .. } | ResourceError::Malformed { .. } => !is_led,
        ResourceError::Http { .. }
        | ResourceError::Insecure
        | ResourceError::Mismatch { .. }
        | ResourceError::NoIssuer { .. } => false,
    }
}

/// Whether the tokens were issued by the server's own origin.
pub(super) fn is_of_the_origin(tokens: &Tokens) -> bool {
    is_same_issuer(&tokens.issuer, origin_of(&tokens.resource))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::challenge::BearerChallenge;
    use crate::fixtures::{issuer_json, resource_id, resource_json};
    use crate::http::Scripted;
    use crate::login::LoginError;
    use crate::login::tests::{DOCUMENT, Setup, Willing, granted};

    const ORIGIN: &str = "https://server.test";
    const ROOT: &str = "GET https://server.test/.well-known/oauth-protected-resource";
    const METADATA: &str = "GET https://server.test/.well-known/oauth-authorization-server";
    const REGISTER: &str = "POST https://server.test/register";
    const TOKEN: &str = "POST https://server.test/token";

    fn world() -> Scripted {
        let registered = json!({ "client_id": "cli_1" });
        Scripted::default().json(REGISTER, 201, &registered).json(TOKEN, 200, &granted("at"))
    }

    fn setup(http: Scripted) -> Setup {
        Setup { browser: Willing { bend: Some(("iss", ORIGIN)), ..Willing::default() }, ..Setup::new(http) }
    }

    /// ATK-272: the two variants of 2025-03-26: metadata at the origin, or only the fixed paths. The person is warned
    /// each time, and a refresh finds the same issuer.
    #[tokio::test]
    async fn an_older_server_is_logged_in_to_with_a_warning() {
        let html: &[(&'static str, &str)] = &[("content-type", "text/html")];
        let pages = world().with(DOCUMENT, 200, html, "<p>").with(ROOT, 200, html, "<p>");
        for http in [world().json(METADATA, 200, &issuer_json(ORIGIN)), world(), pages.with(METADATA, 200, html, "<p>")]
        {
            let setup = setup(http);
            let tokens = setup.login().renew(&resource_id(), None, None).await.unwrap();
            assert_eq!((tokens.issuer.as_str(), tokens.access.expose()), (ORIGIN, "at"));
            let warned = setup.browser.warned.lock().unwrap().clone();
            assert!(warned.len() == 1 && warned[0].contains(ORIGIN) && warned[0].contains("2025-03-26"), "{warned:?}");
            let renewed = setup.login().renew(&resource_id(), Some(&tokens.access), None).await.unwrap();
            assert_eq!(renewed.issuer, ORIGIN);
            let sent = setup.http.sent();
            let forms: Vec<_> = sent.iter().filter(|sent| sent.line == TOKEN).map(|sent| sent.form()).collect();
            let grants: Vec<&str> = forms.iter().map(|form| form["grant_type"].as_str()).collect();
            assert_eq!(grants, ["authorization_code", "refresh_token"]);
            assert_eq!(setup.visits(), 1);
        }
    }

    /// ATK-272: a server with wrong protected resource metadata is not logged in to in the older way, nor is one whose
    /// origin describes another issuer.
    #[tokio::test]
    async fn the_older_way_is_no_way_around_a_wrong_document() {
        let mut other = resource_json();
        other["resource"] = json!("https://evil.test/mcp");
        let mut nobody = resource_json();
        nobody["authorization_servers"] = json!([]);
        let led = BearerChallenge {
            resource_metadata: Some("https://server.test/meta".to_owned()),
            ..BearerChallenge::default()
        };
        for (http, challenge) in [
            (world(), Some(&led)),
            (world().json(DOCUMENT, 200, &other), None),
            (world().json(DOCUMENT, 200, &nobody), None),
            (world().with("GET https://server.test/meta", 200, &[("content-type", "text/html")], "<p>"), Some(&led)),
            (world().json(METADATA, 200, &issuer_json("https://issuer.test")), None),
        ] {
            let setup = setup(http);
            let error = setup.login().renew(&resource_id(), None, challenge).await.unwrap_err();
            assert!(matches!(error, LoginError::Resource(_)), "{error:?}");
            assert!(!setup.http.lines().iter().any(|line| line.starts_with("POST ")), "{:?}", setup.http.lines());
            assert!(setup.browser.warned.lock().unwrap().is_empty());
        }
    }
}
