//! A provider that misbehaves, or an attacker between it and us: nobody is signed in, and the error says why.

use serde_json::{Value, json};

use sekisho_client::authorization::FinishError;
use sekisho_client::http::HttpError;
use sekisho_client::openid::provider::ProviderError;
use sekisho_client::openid::sign_in::AnswerError;
use sekisho_client::openid::user_info::UserInfoError;
use sekisho_client::token::TokenError;
use sekisho_e2e::fakes::provider::Misconduct;
use sekisho_e2e::fakes::provider::profile::Behaves;
use sekisho_protocol::env::after;
use sekisho_protocol::openid::groups::{Fault, GROUPS_MAX, GroupRule, Shape};
use sekisho_token::{IdTokenError, VerifyError};

use crate::world::{Refused, World, now};

async fn refused(misconduct: Misconduct) -> Refused {
    let world = World::new(Behaves::Generic).await;
    world.provider.misbehave(misconduct);
    let refused = world.sign_in().await.unwrap_err();
    // The next honest sign-in succeeds.
    world.provider.behave();
    world.sign_in_at(after(now(), 61)).await.map(|_| ()).unwrap_or_else(|error| panic!("after {refused}: {error}"));
    refused
}

/// ATK-292, ATK-293: each bad ID token is refused for its own defect.
#[tokio::test]
async fn no_bad_id_token_lets_anybody_in() {
    let token = |error| move |refused: &Refused| matches!(refused, Refused::Token(IdTokenError::Token(found)) if *found == error);
    for (misconduct, expected) in [
        (Misconduct::AlgNone, VerifyError::Algorithm),
        (Misconduct::Expired, VerifyError::Expired),
        (Misconduct::OtherClient, VerifyError::Audience),
        (Misconduct::OtherKey, VerifyError::Signature),
        (Misconduct::Says("iss", json!("https://another.example")), VerifyError::Issuer),
        (Misconduct::Says("events", json!({})), VerifyError::Type),
    ] {
        let refused = refused(misconduct.clone()).await;
        assert!(token(expected)(&refused), "{misconduct:?}: {refused}");
    }
    for (misconduct, expected) in [
        (Misconduct::NoNonce, IdTokenError::Nonce),
        (Misconduct::Says("nonce", json!("another")), IdTokenError::Nonce),
        (Misconduct::Says("at_hash", json!("another")), IdTokenError::AccessTokenHash),
        (Misconduct::Says("azp", json!("another")), IdTokenError::AuthorizedParty),
        (Misconduct::Says("sub", json!("")), IdTokenError::Subject),
        (Misconduct::Says("sub", Value::Null), IdTokenError::Subject),
    ] {
        let refused = refused(misconduct.clone()).await;
        assert!(matches!(&refused, Refused::Token(found) if *found == expected), "{misconduct:?}: {refused}");
    }
}

/// Clocks: a difference of a minute is accepted, more is not.
#[tokio::test]
async fn a_provider_whose_clock_is_wrong_is_believed_up_to_a_minute() {
    let world = World::new(Behaves::Generic).await;
    for seconds in [50, -50] {
        world.provider.misbehave(Misconduct::Skewed(seconds));
        world.sign_in().await.unwrap_or_else(|error| panic!("{seconds}: {error}"));
    }
    for (seconds, expected) in [(75, VerifyError::NotYetValid), (-3700, VerifyError::Expired)] {
        world.provider.misbehave(Misconduct::Skewed(seconds));
        let refused = world.sign_in().await.unwrap_err();
        assert!(matches!(&refused, Refused::Token(IdTokenError::Token(found)) if *found == expected), "{refused}");
    }
    // A clock that is 200 seconds behind: the token has not ended yet, so it is accepted.
    world.provider.misbehave(Misconduct::Skewed(-200));
    world.sign_in().await.unwrap();
}

/// ATK-60: the keys change between two requests, and again.
#[tokio::test]
async fn a_provider_that_changes_its_keys_is_believed_after_one_more_fetch() {
    let world = World::new(Behaves::Generic).await;
    world.sign_in().await.unwrap();
    world.provider.change_keys();
    let refused = world.sign_in().await.unwrap_err();
    assert!(matches!(&refused, Refused::Token(error) if error.lacks_key()), "{refused}");
    assert_eq!(world.provider.arrived("keys").len(), 1, "asked again within a minute");
    world.sign_in_at(after(now(), 61)).await.unwrap();
    assert_eq!(world.provider.arrived("keys").len(), 2);
    world.sign_in_at(after(now(), 62)).await.unwrap();
    assert_eq!(world.provider.arrived("keys").len(), 2);
}

/// ATK-298: a provider that names another issuer, and one that does not respond, or responds with 500, at each of its
/// endpoints.
#[tokio::test]
async fn a_provider_that_lies_hangs_or_fails_lets_nobody_in() {
    let lies = refused(Misconduct::Lies("https://another.example".to_owned())).await;
    assert!(matches!(lies, Refused::Discovery(ProviderError::Mismatch { .. })), "{lies}");
    let late = |refused: &Refused| match refused {
        Refused::Discovery(ProviderError::Http { source, .. }) => matches!(source, HttpError::Deadline { .. }),
        Refused::TokenEndpoint(TokenError::Http { source, .. }) => matches!(source, HttpError::Deadline { .. }),
        Refused::KeySet(error) => error.to_string().contains("could not be fetched"),
        _ => false,
    };
    for endpoint in ["openid-configuration", "token", "keys"] {
        let hung = refused(Misconduct::Hangs(endpoint)).await;
        assert!(late(&hung), "{endpoint}: {hung:?}");
        let failed = refused(Misconduct::Fails(endpoint)).await;
        assert!(failed.to_string().contains("status 500"), "{endpoint}: {failed}");
    }
    let world = World::new(Behaves::Lemonldap).await;
    world.provider.misbehave(Misconduct::Hangs("userinfo"));
    let hung = world.sign_in().await.unwrap_err();
    assert!(
        matches!(hung, Refused::UserInfo(UserInfoError::Http { source: HttpError::Deadline { .. }, .. })),
        "{hung}"
    );
    world.provider.misbehave(Misconduct::Fails("userinfo"));
    assert!(world.sign_in().await.unwrap_err().to_string().contains("status 500"));
}

/// ATK-299: a UserInfo response about another person.
#[tokio::test]
async fn claims_of_another_person_are_not_taken() {
    let world = World::new(Behaves::Lemonldap).await;
    world.provider.misbehave(Misconduct::OtherPerson("eve-2".to_owned()));
    let refused = world.sign_in().await.unwrap_err();
    assert!(matches!(refused, Refused::UserInfo(UserInfoError::OtherSubject { .. })), "{refused}");
}

/// ATK-12, ATK-81, ATK-83: an answer of another provider, one that comes twice, and one of another sign-in.
#[tokio::test]
async fn an_answer_is_taken_from_the_provider_that_was_asked_and_once() {
    let world = World::new(Behaves::Generic).await;
    let provider = world.described().await.unwrap();
    world.provider.misbehave(Misconduct::AnswersAsAnother);
    let (sign_in, back) = world.begun(&provider, now()).await;
    let refused = world.finish(&provider, &sign_in, &back, now()).await.unwrap_err();
    assert!(matches!(refused, Refused::Answer(AnswerError::Answer(FinishError::Issuer))), "{refused}");
    assert!(world.provider.arrived("token").is_empty(), "no code was sent");
    world.provider.behave();
    let (sign_in, back) = world.begun(&provider, now()).await;
    world.finish(&provider, &sign_in, &back, now()).await.unwrap();
    let again = world.finish(&provider, &sign_in, &back, now()).await.unwrap_err();
    assert!(again.to_string().contains("invalid_grant"), "{again}");
    let (other, _) = world.begun(&provider, now()).await;
    let (_, theirs) = world.begun(&provider, now()).await;
    let mixed = world.finish(&provider, &other, &theirs, now()).await.unwrap_err();
    assert!(matches!(mixed, Refused::Answer(AnswerError::Answer(FinishError::State))), "{mixed}");
}

/// An e-mail address is not needed, and a new address does not make another person (ATK-84).
#[tokio::test]
async fn a_person_without_an_e_mail_address_comes_in_as_themselves() {
    let world = World::new(Behaves::Generic).await;
    let first = world.sign_in().await.unwrap().identity;
    world.provider.misbehave(Misconduct::Says("email", Value::Null));
    assert_eq!(world.sign_in().await.unwrap().identity, first);
    world.provider.person(&json!({ "email": "new@example.com", "preferred_username": "countess" }));
    world.provider.behave();
    assert_eq!(world.sign_in().await.unwrap().identity, first);
    world.provider.person(&json!({ "sub": "eve-2" }));
    assert_ne!(world.sign_in().await.unwrap().identity, first);
}

/// ATK-291: groups as one text, as objects, 5,000 of them, and one more: each is read, or refused with the reason.
#[tokio::test]
async fn groups_in_every_shape_are_read_or_refused_with_the_reason() {
    let mut world = World::new(Behaves::Generic).await;
    world.provider.misbehave(Misconduct::Says("groups", json!("engineers")));
    assert_eq!(world.sign_in().await.unwrap().reading.groups().unwrap().iter().collect::<Vec<_>>(), ["corp/engineers"]);

    let objects = json!([{ "id": 1, "name": "engineers" }, { "id": 2, "name": "auditors" }]);
    world.provider.misbehave(Misconduct::Says("groups", objects));
    let signed_in = world.sign_in().await.unwrap();
    let fault = signed_in.reading.groups().unwrap_err();
    assert!(matches!(fault, Fault::Shape { .. }) && fault.to_string().contains("name its `member`"), "{fault}");
    world.rules = vec![GroupRule { member: Some("name".to_owned()), ..GroupRule::of(&["groups"], Shape::Values) }];
    assert_eq!(world.sign_in().await.unwrap().reading.groups().unwrap().len(), 2);

    world.rules = vec![GroupRule::of(&["groups"], Shape::Values)];
    let many = |count: usize| json!((0..count).map(|n| format!("{n:036}")).collect::<Vec<_>>());
    world.provider.misbehave(Misconduct::Says("groups", many(GROUPS_MAX)));
    assert_eq!(world.sign_in().await.unwrap().reading.groups().unwrap().len(), GROUPS_MAX);
    world.provider.misbehave(Misconduct::Says("groups", many(GROUPS_MAX + 1)));
    assert!(matches!(world.sign_in().await.unwrap().reading.groups(), Err(Fault::TooMany { .. })));
    // A response that is too large to be read signs nobody in.
    world.provider.misbehave(Misconduct::Says("groups", many(20_000)));
    let refused = world.sign_in().await.unwrap_err();
    assert!(
        matches!(&refused, Refused::TokenEndpoint(TokenError::Http { source: HttpError::BodyTooLarge { .. }, .. })),
        "{refused}"
    );
}

/// Okta silently omits groups beyond a hundred: with a hundred or more, nobody can say which are missing.
#[tokio::test]
async fn groups_that_a_provider_may_have_cut_off_are_not_relied_on() {
    let world = World::new(Behaves::Okta).await;
    let list = |count: usize| json!((0..count).map(|n| format!("g{n}")).collect::<Vec<_>>());
    world.provider.misbehave(Misconduct::Says("groups", list(99)));
    assert_eq!(world.sign_in().await.unwrap().reading.groups().unwrap().len(), 99);
    world.provider.misbehave(Misconduct::Says("groups", list(100)));
    assert!(matches!(world.sign_in().await.unwrap().reading.groups(), Err(Fault::Cut { count: 100, .. })));
}
