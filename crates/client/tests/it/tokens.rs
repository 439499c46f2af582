//! Other tokens of a provider, checked with the same cache of keys: logout tokens, assertions for enterprise-managed
//! authorization, access tokens of an external authorization server.

use std::sync::Arc;

use sekisho_client::introspection::{Introspection, IntrospectionError};
use sekisho_e2e::fakes::provider::Misconduct;
use sekisho_e2e::fakes::provider::profile::Behaves;
use sekisho_protocol::env::{SeededEntropy, after};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::openid::{AudienceForm, SigningAlgorithm};
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::secret::AccessToken;
use sekisho_token::{
    ForeignAccessExpectation, IdJag, IdJagExpectation, LogoutTokenExpectation, PublicKeys, TokenType, VerifyError,
    claimed_issuer, verify_foreign_access, verify_id_jag, verify_logout_token,
};
use serde_json::{Value, json};

use crate::world::{CLIENT, World, now};

const US: &str = "https://sekisho.example";
const SERVER: &str = "https://sekisho.example/mcp/notes";
const RS256: &[SigningAlgorithm] = &[SigningAlgorithm::Rs256];

/// ATK-294: the provider's logout token is accepted as one, its ID token is not.
#[tokio::test]
async fn a_logout_token_is_believed_and_an_id_token_is_not() {
    let world = World::new(Behaves::Generic).await;
    let provider = world.described().await.unwrap();
    let client = ClientId::parse(CLIENT).unwrap();
    let expect = LogoutTokenExpectation {
        issuer: provider.issuer(),
        client: &client,
        algorithm: SigningAlgorithm::Rs256,
        now: now(),
    };
    let check = async |token: &str| {
        let check = |keys: &str| verify_logout_token(&PublicKeys::parse(keys).unwrap(), token, &expect);
        world.keys.check(&provider.keys, now(), check, |error| error.lacks_key()).await.unwrap()
    };
    let token = world.provider.logout_token(CLIENT, "ada-1", Some("session-1"));
    let believed = check(&token).await.unwrap();
    assert_eq!((believed.subject.as_deref(), believed.session.as_deref()), (Some("ada-1"), Some("session-1")));
    assert!(check(&world.provider.logout_token("another", "ada-1", None)).await.is_err());
    let at = now().as_second();
    let id_token = json!({ "iss": provider.issuer(), "sub": "ada-1", "aud": CLIENT, "iat": at, "exp": at + 60,
        "nonce": "n", "jti": "one" });
    assert!(check(&world.provider.sign(Some("JWT"), &id_token)).await.is_err());
}

fn assertion(issuer: &str) -> Value {
    let at = now().as_second();
    json!({ "iss": issuer, "sub": "ada-1", "aud": US, "client_id": "agent", "resource": SERVER, "scope": "mcp:read",
        "jti": "one", "iat": at, "exp": at + 300 })
}

/// AS-49: an assertion is checked with the keys that the trusted provider publishes now. A flood of unknown keys does
/// not empty their cache.
#[tokio::test]
async fn an_assertion_is_believed_by_the_keys_of_its_provider() {
    let world = World::new(Behaves::Generic).await;
    // One moment for all of the test: within a second after a fetch the keys are not fetched again.
    let began = now();
    let provider = world.described().await.unwrap();
    let agent = ClientId::parse("agent").unwrap();
    let expect =
        IdJagExpectation { issuer: provider.issuer(), audience: US, client: &agent, algorithms: RS256, now: began };
    let check = async |token: &str, at| {
        let check = |keys: &str| verify_id_jag(&PublicKeys::parse(keys).unwrap(), token, &expect);
        world.keys.check(&provider.keys, at, check, |error| error.lacks_key()).await.unwrap()
    };
    let token = world.provider.sign(Some(IdJag::TYPE), &assertion(provider.issuer()));
    assert_eq!(claimed_issuer(&token).as_deref(), Some(provider.issuer()));
    let believed = check(&token, began).await.unwrap();
    assert_eq!((believed.subject.as_str(), believed.resources[0].as_str()), ("ada-1", SERVER));
    for (typ, claims) in [
        (Some("JWT"), assertion(provider.issuer())),
        (None, assertion(provider.issuer())),
        (Some(IdJag::TYPE), assertion("https://another.example")),
    ] {
        assert!(check(&world.provider.sign(typ, &claims), began).await.is_err());
    }
    // A second provider signs in the name of the first, with the name of the first one's key.
    let other = World::new(Behaves::Generic).await;
    let forged = other.provider.sign(Some(IdJag::TYPE), &assertion(provider.issuer()));
    assert!(check(&forged, began).await.is_err());
    world.provider.change_keys();
    let newer = world.provider.sign(Some(IdJag::TYPE), &assertion(provider.issuer()));
    assert!(check(&newer, began).await.unwrap_err().lacks_key());
    assert!(check(&newer, after(began, 61)).await.is_ok());
    for _ in 0..100 {
        let made_up = other.provider.sign(Some(IdJag::TYPE), &assertion(provider.issuer()));
        assert!(check(&made_up, after(began, 62)).await.is_err());
    }
    assert_eq!(world.provider.arrived("keys").len(), 3, "the first, the newer, and one for all that were made up");
}

/// ATK-296: each form of audience, and a token for another one.
#[tokio::test]
async fn a_foreign_access_token_is_good_at_the_server_that_it_names() {
    let world = World::new(Behaves::Entra).await;
    let provider = world.described().await.unwrap();
    let resource = ResourceId::parse(SERVER).unwrap();
    let at = now().as_second();
    let token = |typ, aud: &str| {
        let claims = json!({ "iss": provider.issuer(), "sub": "ada-1", "aud": aud, "azp": "agent", "scp": "read", "jti": "one",
            "iat": at - 300, "exp": at + 3600 });
        world.provider.sign(Some(typ), &claims)
    };
    for (form, typed, typ, aud) in [
        (AudienceForm::Resource, TokenType::AtJwt, "at+jwt", SERVER),
        (AudienceForm::ClientId("f00d".to_owned()), TokenType::Untyped, "JWT", "f00d"),
        (AudienceForm::Text("api://notes".to_owned()), TokenType::Untyped, "JWT", "api://notes"),
    ] {
        let audiences = form.audiences(&resource);
        let expect = ForeignAccessExpectation {
            issuer: provider.issuer(),
            audiences: &audiences,
            algorithms: RS256,
            typed,
            now: now(),
        };
        let check = async |token: String| {
            let check = |keys: &str| verify_foreign_access(&PublicKeys::parse(keys).unwrap(), &token, &expect);
            let lacks_key = |error: &VerifyError| *error == VerifyError::UnknownKey;
            world.keys.check(&provider.keys, now(), check, lacks_key).await.unwrap()
        };
        assert_eq!(check(token(typ, aud)).await.unwrap().client.as_str(), "agent", "{form:?}");
        for other in ["https://sekisho.example/mcp/mail", "api://mail", CLIENT] {
            assert_eq!(check(token(typ, other)).await, Err(VerifyError::Audience), "{form:?} {other}");
        }
    }
}

/// ATK-297: opaque tokens, introspected over a socket.
#[tokio::test]
async fn an_opaque_token_is_asked_about() {
    let world = World::new(Behaves::Generic).await;
    let provider = world.described().await.unwrap();
    let endpoint = provider.introspection_endpoint.clone().unwrap();
    let introspection = Introspection::new(
        Arc::clone(&world.http),
        provider.server.clone(),
        world.registration(),
        endpoint,
        Arc::new(SeededEntropy::default()),
    );
    let audiences = [SERVER.to_owned()];
    let ask = async |token: &str| introspection.ask(&AccessToken::from_outside(token), &audiences, now()).await;
    let good = format!("opaque-{SERVER}");
    assert_eq!(ask(&good).await.unwrap().subject, "ada-1");
    assert_eq!(ask(&good).await.unwrap().client.as_str(), "agent");
    assert_eq!(world.provider.arrived("introspect").len(), 1);
    assert!(matches!(ask("opaque-https://sekisho.example/mcp/mail").await, Err(IntrospectionError::Audience)));
    assert!(matches!(ask("unknown").await, Err(IntrospectionError::Inactive)));
    world.provider.misbehave(Misconduct::Fails("introspect"));
    assert!(matches!(ask("opaque-another").await, Err(IntrospectionError::Ask(_))));
    world.provider.misbehave(Misconduct::Hangs("introspect"));
    assert!(matches!(ask("opaque-another").await, Err(IntrospectionError::Ask(_))));
}
