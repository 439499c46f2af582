//! Each kind of provider, as it behaves: who is signed in, and with which groups.

use std::sync::Arc;

use sekisho_client::signing::ClientKey;
use sekisho_e2e::fakes::oauth::claims;
use sekisho_e2e::fakes::provider::Provider;
use sekisho_e2e::fakes::provider::keys::Signs;
use sekisho_e2e::fakes::provider::profile::Behaves;
use sekisho_protocol::openid::SigningAlgorithm;
use sekisho_protocol::openid::groups::Shape;
use sekisho_protocol::registration::ClientAuthentication;

use crate::world::{CLIENT, SignedIn, World};

fn groups(signed_in: &SignedIn) -> Vec<&str> {
    signed_in.reading.groups().unwrap().iter().map(String::as_str).collect()
}

const BOTH: [&str; 2] = ["corp/auditors", "corp/engineers"];
const BY_IDENTIFIER: [&str; 2] =
    ["corp/3f2b8a60-91f4-4d3a-8b57-2c1de07a6f10", "corp/6f1c2d3e-4a5b-4c6d-8e7f-90a1b2c3d4e5"];

/// The profile of each provider reads its own claims, and identifies people by claims that do not change.
#[tokio::test]
async fn each_kind_of_provider_signs_people_in() {
    for (behaves, subject, expected) in [
        (Behaves::Authentik, "ada-1", &BOTH[..]),
        (Behaves::Entra, "8d2c6a2e-5b0e-4b6e-9d40-b24a7c0a5b11/0b9f4d1c-7f1e-4c55-8a41-8a0f5c3f7e21", &BY_IDENTIFIER),
        (
            Behaves::EntraOverage,
            "8d2c6a2e-5b0e-4b6e-9d40-b24a7c0a5b11/0b9f4d1c-7f1e-4c55-8a41-8a0f5c3f7e21",
            &BY_IDENTIFIER,
        ),
        (Behaves::Generic, "ada-1", &BOTH),
        (Behaves::Google, "ada-1", &[]),
        (Behaves::Keycloak, "ada-1", &["corp//auditors", "corp//engineers"]),
        (Behaves::Lemonldap, "ada-1", &BOTH),
        (Behaves::Okta, "ada-1", &BOTH),
    ] {
        let world = World::new(behaves).await;
        let signed_in = world.sign_in().await.unwrap();
        assert_eq!(signed_in.identity.subject, subject, "{behaves:?}");
        assert_eq!(signed_in.identity.issuer, world.provider.issuer(), "{behaves:?}");
        assert_eq!(groups(&signed_in), expected, "{behaves:?}");
        assert_eq!(signed_in.asked_user_info, !world.provider.arrived("userinfo").is_empty(), "{behaves:?}");
    }
}

/// A configured rule for claims that the profile does not read: the claim of Auth0 is named by a URL, the roles of
/// Keycloak are nested.
#[tokio::test]
async fn a_rule_of_the_configuration_reads_what_the_profile_does_not() {
    let world = World::new(Behaves::Auth0).await;
    let signed_in = world.sign_in().await.unwrap();
    assert_eq!(signed_in.reading.unread, ["https://example.com/groups"], "it is told which claim looks like groups");
    let world = world.reads(&["https://example.com/groups"], Shape::Values);
    assert_eq!(groups(&world.sign_in().await.unwrap()), BOTH);
    assert!(world.provider.issuer().ends_with('/'));

    let mut world = World::new(Behaves::Keycloak).await.reads(&["groups"], Shape::Values);
    world.rules[0].prefix = Some("/".to_owned());
    assert_eq!(groups(&world.sign_in().await.unwrap()), BOTH);
    let world = world.reads(&["realm_access", "roles"], Shape::Values);
    assert_eq!(groups(&world.sign_in().await.unwrap()), BOTH);
}

#[tokio::test]
async fn a_provider_may_sign_with_another_algorithm_if_the_client_is_registered_so() {
    let provider = Provider::start_with(Behaves::Generic, Signs::Es256).await.unwrap();
    let world = World::with(Behaves::Generic, provider, SigningAlgorithm::Es256);
    assert_eq!(world.sign_in().await.unwrap().id_token.session.as_deref(), Some("session-1"));
    let provider = Provider::start_with(Behaves::Generic, Signs::Es256).await.unwrap();
    let world = World::with(Behaves::Generic, provider, SigningAlgorithm::Rs256);
    let refused = world.sign_in().await.unwrap_err().to_string();
    assert!(refused.contains("algorithm"), "{refused}");
    let told = world.described().await.unwrap().suits(world.algorithm, world.authentication).unwrap_err().to_string();
    assert!(told.contains("does not sign ID tokens with RS256: it names ES256"), "{told}");
}

#[tokio::test]
async fn a_client_proves_itself_as_it_is_registered() {
    for method in [ClientAuthentication::ClientSecretBasic, ClientAuthentication::ClientSecretPost] {
        let mut world = World::new(Behaves::Generic).await;
        world.authentication = method;
        world.sign_in().await.unwrap();
        let sent = world.provider.arrived("token");
        assert_eq!(sent[0].authorization.is_empty(), method == ClientAuthentication::ClientSecretPost);
        assert_eq!(sent[0].fields.contains_key("client_secret"), method == ClientAuthentication::ClientSecretPost);
    }
}

#[tokio::test]
async fn a_client_with_a_key_signs_who_it_is() {
    let mut world = World::new(Behaves::Generic).await;
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = |pem: &str| Some(Arc::new(ClientKey::from_pem(pem.as_bytes(), Some("k1".to_owned())).unwrap()));
    world.provider.register_key(CLIENT, pair.public_key_raw());
    world.authentication = ClientAuthentication::PrivateKeyJwt;
    // The provider checks the signature: the key of somebody else proves nothing.
    world.key = key(&rcgen::KeyPair::generate().unwrap().serialize_pem());
    assert!(world.sign_in().await.is_err());
    world.key = key(&pair.serialize_pem());
    world.sign_in().await.unwrap();
    let sent = &world.provider.arrived("token")[1].fields;
    assert!(!sent.contains_key("client_secret"));
    let said = claims(&sent["client_assertion"]);
    assert_eq!((said["sub"].as_str(), said["aud"].as_str()), (Some(CLIENT), Some(world.provider.issuer())));
}
