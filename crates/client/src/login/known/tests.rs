use std::sync::Arc;

use sekisho_protocol::ids::ClientId;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::registration::ClientAuthentication;
use sekisho_protocol::secret::ClientSecret;
use serde_json::{Value, json};

use crate::authorization::redirect_path;
use crate::fixtures::{ISSUER, issuer_json, registration, resource_id, resource_json};
use crate::http::Scripted;
use crate::login::tests::{DOCUMENT, METADATA, Setup, TOKEN, granted};
use crate::login::{KnownClient, LoginError, MetadataDocument};
use crate::registration::Registration;
use crate::token::Tokens;
use crate::token_store::Pin;

const CLIENT: &str = "https://client.test/document.json";

fn document(issuer: Option<&str>) -> Option<MetadataDocument> {
    Some(MetadataDocument { client: ClientId::parse(CLIENT).unwrap(), issuer: issuer.map(str::to_owned) })
}

fn known(client: &str, secret: Option<&str>) -> Vec<KnownClient> {
    vec![KnownClient {
        issuer: None,
        client: ClientId::parse(client).unwrap(),
        authentication: None,
        secret: secret.map(ClientSecret::from_outside),
        key: None,
    }]
}

/// An issuer that accepts metadata documents and offers no registration.
fn world(promises_iss: bool) -> Scripted {
    let mut metadata = issuer_json(ISSUER);
    metadata["client_id_metadata_document_supported"] = json!(true);
    metadata["authorization_response_iss_parameter_supported"] = json!(promises_iss);
    metadata.as_object_mut().unwrap().remove("registration_endpoint");
    Scripted::default().json(DOCUMENT, 200, &resource_json()).json(METADATA, 200, &metadata)
}

async fn logged_in(setup: &Setup) -> Result<Tokens, LoginError> {
    setup.login().renew(&resource_id(), None, None).await
}

fn redirect_sent(setup: &Setup) -> String {
    let sent = setup.http.sent();
    sent.iter().find(|sent| sent.line == TOKEN).unwrap().form()["redirect_uri"].clone()
}

/// ATK-201: the document is used at an issuer that sends `iss`, with the shared path; at any other issuer only if a
/// person named it, and with the issuer's own path.
#[tokio::test]
async fn a_document_needs_an_issuer_that_names_itself() {
    let answers = |promises| world(promises).json(TOKEN, 200, &granted("at"));
    let setup = Setup { document: document(None), ..Setup::new(answers(true)) };
    assert_eq!(logged_in(&setup).await.unwrap().client.client.as_str(), CLIENT);
    assert_eq!(redirect_sent(&setup), "http://127.0.0.1:4711/callback");

    for issuer in [None, Some("https://other.test")] {
        let setup = Setup { document: document(issuer), ..Setup::new(answers(false)) };
        let error = logged_in(&setup).await.unwrap_err();
        let own = format!("http://127.0.0.1{}", redirect_path(ISSUER));
        assert!(matches!(&error, LoginError::Unnamed { redirect, .. } if *redirect == own), "{error}");
        assert!(setup.forms().is_empty());
        // An issuer that has sent `iss` before counts like one that announces it.
        setup.store.pin(Pin::Iss(ISSUER), ISSUER).unwrap();
        logged_in(&setup).await.unwrap();
        assert_eq!(redirect_sent(&setup), "http://127.0.0.1:4711/callback");
    }
    let setup = Setup { document: document(Some(ISSUER)), ..Setup::new(answers(false)) };
    logged_in(&setup).await.unwrap();
    assert_eq!(redirect_sent(&setup), format!("http://127.0.0.1:4711{}", redirect_path(ISSUER)));
}

/// ATK-203: `iss` is remembered when an answer contained it, and not when the metadata announce it.
#[tokio::test]
async fn what_was_seen_is_remembered_and_not_what_was_promised() {
    let setup = Setup { document: document(None), ..Setup::new(world(true).json(TOKEN, 200, &granted("at"))) };
    setup.login().issuer(&serde_json::from_value(resource_json()).unwrap()).await.unwrap();
    assert_eq!(setup.store.pinned(Pin::Iss(ISSUER)).unwrap(), None);
    logged_in(&setup).await.unwrap();
    assert_eq!(setup.store.pinned(Pin::Iss(ISSUER)).unwrap().as_deref(), Some(ISSUER));
}

/// RFC 9700 §4.4.2: among issuers that send no `iss`, a given redirect path belongs to one issuer.
#[tokio::test]
async fn a_given_path_belongs_to_one_issuer() {
    let redirect = |text: &str| Some(RedirectUri::parse(text).unwrap());
    let setup = Setup {
        known: known("given", None),
        redirect: redirect("http://127.0.0.1/done"),
        ..Setup::new(world(false).json(TOKEN, 200, &granted("at")))
    };
    logged_in(&setup).await.unwrap();
    assert_eq!(redirect_sent(&setup), "http://127.0.0.1:4711/done");
    setup.store.forget_tokens(&resource_id()).unwrap();
    setup.store.unpin(Pin::Redirect("/done")).unwrap();
    setup.store.pin(Pin::Redirect("/done"), "https://other.test").unwrap();
    // The first answer contained `iss`, so it is required now, and the path may be shared.
    logged_in(&setup).await.unwrap();
    setup.store.forget_tokens(&resource_id()).unwrap();
    setup.store.unpin(Pin::Iss(ISSUER)).unwrap();
    let error = logged_in(&setup).await.unwrap_err();
    assert!(matches!(&error, LoginError::RedirectTaken { path, .. } if path == "/done"), "{error}");
    assert!(error.to_string().contains("sekisho forget redirect '/done'"), "{error}");
    let unusable =
        Setup { known: known("given", None), redirect: redirect("https://a.test/x"), ..Setup::new(world(true)) };
    assert!(matches!(logged_in(&unusable).await, Err(LoginError::RedirectUnusable { .. })));
}

/// ATK-209, ATK-210: tokens are refreshed and given back as the client to which they were granted, even if another
/// client is registered now. If the secret of that client is missing, the tokens stay stored.
#[tokio::test]
async fn tokens_belong_to_their_client() {
    let first = Registration {
        client: ClientId::parse("first").unwrap(),
        authentication: ClientAuthentication::ClientSecretPost,
        secret: Some(ClientSecret::from_outside("its secret")),
        ..registration()
    };
    let revoke = "POST https://issuer.test/revoke";
    let all = || crate::login::tests::world().json(TOKEN, 200, &granted("fresh")).json(revoke, 200, &json!({}));
    let setup = Setup::new(all());
    setup.store.keep_registration(&registration()).unwrap();
    let kept = Tokens { client: first.clone(), ..setup.keep("old", 5) };
    setup.store.keep_tokens(&resource_id(), &kept).unwrap();
    let fresh = logged_in(&setup).await.unwrap();
    assert_eq!((fresh.access.expose(), &fresh.client), ("fresh", &first));
    setup.login().logout(&resource_id()).await.unwrap().unwrap().unwrap();
    for line in [TOKEN, revoke] {
        let sent = setup.http.sent();
        let form = sent.iter().find(|sent| sent.line == line).unwrap().form();
        assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("first", "its secret"), "{line}");
    }
    assert_eq!(setup.store.registration(ISSUER).unwrap(), Some(registration()));

    let setup = Setup::new(all());
    let given = Registration { secret: None, ..first };
    let kept = Tokens { client: given, ..setup.keep("old", 5) };
    setup.store.keep_tokens(&resource_id(), &kept).unwrap();
    let error = logged_in(&setup).await.unwrap_err();
    assert!(matches!(&error, LoginError::Credentials { client, .. } if client == "first"), "{error}");
    assert!(matches!(setup.login().logout(&resource_id()).await, Err(LoginError::Credentials { .. })));
    assert_eq!(setup.store.tokens(&resource_id()).unwrap(), Some(kept));
    assert!(setup.forms().is_empty());
    let with =
        Setup { known: known("first", Some("given again")), store: Arc::clone(&setup.store), ..Setup::new(all()) };
    let fresh = logged_in(&with).await.unwrap();
    assert_eq!((fresh.client.secret, with.forms()[0]["client_secret"].as_str()), (None, "given again"));
}

/// Tokens of another client than the given one are not used. When they are replaced, they are given back.
#[tokio::test]
async fn tokens_of_another_client_are_replaced_and_given_back() {
    let revoke = "POST https://issuer.test/revoke";
    let http = crate::login::tests::world().json(TOKEN, 200, &granted("at")).json(revoke, 200, &json!({}));
    let setup = Setup { known: known("given", None), ..Setup::new(http) };
    setup.keep("another's", 600);
    assert_eq!(setup.login().held(&resource_id()).unwrap(), None);
    let tokens = logged_in(&setup).await.unwrap();
    assert_eq!((tokens.client.client.as_str(), setup.visits()), ("given", 1));
    let sent = setup.http.sent();
    let form = sent.iter().find(|sent| sent.line == revoke).unwrap().form();
    assert_eq!((form["token"].as_str(), form["client_id"].as_str()), ("kept-rt", "cli_1"));
}

/// A temporary refusal does not end a login.
#[tokio::test]
async fn a_passing_refusal_keeps_the_login() {
    for (code, is_kept) in [("temporarily_unavailable", true), ("slow_down", true), ("invalid_grant", false)] {
        let refused: Value = json!({ "error": code });
        let answers = crate::login::tests::world().json(TOKEN, 400, &refused).json(TOKEN, 200, &granted("anew"));
        let setup = Setup::new(answers);
        setup.keep("old", 5);
        let outcome = logged_in(&setup).await;
        assert_eq!((outcome.is_err(), setup.visits()), (is_kept, usize::from(!is_kept)), "{code}");
        let kept = setup.store.tokens(&resource_id()).unwrap().unwrap();
        assert_eq!(kept.access.expose(), if is_kept { "old" } else { "anew" });
    }
}
