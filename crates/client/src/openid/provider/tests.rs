use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::registration::ClientAuthentication;
use serde_json::{Value, json};

use super::{Provider, ProviderError, discover};
use crate::http::Scripted;

const ISSUER: &str = "https://login.test/realm";
const LINE: &str = "GET https://login.test/realm/.well-known/openid-configuration";

pub(crate) fn document() -> Value {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://login.test/realm/authorize",
        "token_endpoint": "https://login.test/realm/token",
        "jwks_uri": "https://login.test/realm/keys",
        "userinfo_endpoint": "https://login.test/realm/userinfo",
        "end_session_endpoint": "https://login.test/realm/logout?fixed=1",
        "response_types_supported": ["code"],
        "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "authorization_response_iss_parameter_supported": true,
    })
}

async fn discovered(document: &Value) -> Result<Provider, ProviderError> {
    discover(&Scripted::default().json(LINE, 200, document), ISSUER).await
}

#[tokio::test]
async fn a_provider_describes_itself() {
    let provider = discovered(&document()).await.unwrap();
    assert_eq!(provider.issuer(), ISSUER);
    assert_eq!(provider.keys.as_str(), "https://login.test/realm/keys");
    assert_eq!(provider.id_token_algorithms, [SigningAlgorithm::Rs256]);
    assert!(provider.server.authorization_response_iss_parameter_supported);
    // Auth0 and authentik: the issuer ends in a slash, and the document's URL is the same as without it.
    let mut slashed = document();
    slashed["issuer"] = json!("https://login.test/realm/");
    let http = Scripted::default().json(LINE, 200, &slashed);
    assert_eq!(discover(&http, "https://login.test/realm/").await.unwrap().issuer(), "https://login.test/realm/");
}

/// ATK-85, ATK-298: metadata that name another issuer are refused.
#[tokio::test]
async fn a_provider_that_lies_about_its_issuer_is_refused() {
    for named in ["https://login.test/realm/", "https://evil.test/realm", "https://login.test/{tenantid}", ""] {
        let mut other = document();
        other["issuer"] = json!(named);
        let error = discovered(&other).await.unwrap_err();
        assert!(matches!(error, ProviderError::Mismatch { .. }), "{named}: {error}");
    }
    let mut shown = document();
    shown["issuer"] = json!("https://a.test/\u{1b}[2J");
    assert!(!discovered(&shown).await.unwrap_err().to_string().contains('\u{1b}'));
    for identifier in
        ["login.test", "http://login.test", "https://login.test/?a=b", "https://login.test/#f", "ftp://x", ""]
    {
        let http = Scripted::default();
        let error = discover(&http, identifier).await.unwrap_err();
        assert!(matches!(error, ProviderError::Identifier { .. }), "{identifier}: {error}");
        assert!(http.sent().is_empty());
    }
}

/// ATK-85, ATK-86, ATK-222: a provider cannot name a URL that is less secure than its own.
#[tokio::test]
async fn a_provider_names_no_less_secure_endpoint() {
    for member in [
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "userinfo_endpoint",
        "end_session_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
    ] {
        for url in [
            "http://login.test/x",
            "https://localhost/x",
            "https://10.0.0.1/x",
            "https://169.254.169.254/latest",
            "javascript:alert(1)",
            "https://user@login.test/x",
            "/relative",
        ] {
            let mut odd = document();
            odd[member] = json!(url);
            let error = discovered(&odd).await.unwrap_err();
            assert!(
                matches!(&error, ProviderError::Endpoint { member: named, .. } if *named == member),
                "{member} {url}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_no_metadata_is_told_with_its_place() {
    let without = |member: &str| {
        let mut document = document();
        document.as_object_mut().unwrap().remove(member);
        document
    };
    for body in [json!([]), json!({}), without("issuer"), without("jwks_uri"), without("token_endpoint")] {
        let error = discovered(&body).await.unwrap_err().to_string();
        assert!(error.contains("https://login.test/realm/.well-known/openid-configuration"), "{error}");
    }
    for status in [302, 404, 500] {
        let http = Scripted::default().json(LINE, status, &document());
        let error = discover(&http, ISSUER).await.unwrap_err();
        assert!(matches!(error, ProviderError::Malformed { status: found, .. } if found == status));
        assert_eq!(http.lines(), [LINE]);
    }
}

#[tokio::test]
async fn what_a_provider_does_not_support_is_told_before_anybody_tries() {
    let provider = discovered(&document()).await.unwrap();
    assert!(provider.suits(SigningAlgorithm::Rs256, ClientAuthentication::PrivateKeyJwt).is_ok());
    let error = provider.suits(SigningAlgorithm::Es256, ClientAuthentication::PrivateKeyJwt).unwrap_err().to_string();
    assert!(error.contains("ES256") && error.contains("it names RS256"), "{error}");
    let error = provider.suits(SigningAlgorithm::Rs256, ClientAuthentication::ClientSecretBasic).unwrap_err();
    assert!(error.to_string().contains("client_secret_basic"), "{error}");
    let mut silent = document();
    silent.as_object_mut().unwrap().remove("token_endpoint_auth_methods_supported");
    let provider = discovered(&silent).await.unwrap();
    assert!(provider.suits(SigningAlgorithm::Rs256, ClientAuthentication::ClientSecretBasic).is_ok());
    assert!(provider.suits(SigningAlgorithm::Rs256, ClientAuthentication::ClientSecretPost).is_err());
}
