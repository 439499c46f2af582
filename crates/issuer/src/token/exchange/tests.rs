//! Narrowing against a real store.

use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::{Clock as _, after};
use sekisho_protocol::registration::Client;
use sekisho_protocol::task::TaskOrigin;
use sekisho_web::parameters::Parameters;

use super::{ACCESS_TOKEN, ExchangeRequest};
use crate::testing::{FILES, NOTES, World, honest};
use crate::token::{GrantRequest, Issued, TokenError, perform};

async fn issued() -> (World, Client, Issued) {
    let world = World::new().await;
    let client = world.client("client", |_| {}).await;
    let (code, verifier) = world.code(&client).await;
    let issued = world.redeem(&client, honest(&code, &verifier)).await.unwrap();
    (world, client, issued)
}

fn plain(issued: &Issued) -> ExchangeRequest {
    ExchangeRequest { token: issued.access.clone(), scopes: None, resources: vec![], details: None }
}

async fn exchange(world: &World, client: &Client, request: ExchangeRequest) -> Result<Issued, TokenError> {
    let client = crate::clients::authenticate::AuthenticatedClient::for_tests(client.clone());
    perform(&world.issuer, &world.visit(), &client, &GrantRequest::Exchange(request)).await
}

const TIDY: &str = r#"[{"type":"mcp_task","purpose":"tidy up","tools":[{"name":"read_note"}],"calls":3}]"#;

/// Product §5, Narrow: fewer scopes, the same client, server and path, never a longer life, no refresh token.
#[tokio::test]
async fn a_token_is_narrowed_in_scope_and_never_lives_longer() {
    let (world, client, first) = issued().await;
    world.clock.advance_seconds(200);
    let request = ExchangeRequest {
        scopes: Some("mcp:read".parse().unwrap()),
        resources: vec![NOTES.to_owned()],
        ..plain(&first)
    };
    let narrowed = exchange(&world, &client, request).await.unwrap();
    assert!(narrowed.refresh.is_none());
    assert_eq!(narrowed.kind, Some(ACCESS_TOKEN));
    let (wide, narrow) = (world.claims(&first), world.claims(&narrowed));
    assert_eq!(narrow.scope.to_string(), "mcp:read");
    assert_eq!((narrow.exp, narrow.iat), (wide.exp, world.clock.now()));
    assert_eq!(
        u64::from(narrowed.expires_in_seconds),
        u64::try_from(wide.exp.as_second() - world.clock.now().as_second()).unwrap()
    );
    assert_eq!((&narrow.grant, &narrow.path, &narrow.client_id), (&wide.grant, &wide.path, &wide.client_id));
    // What was narrowed is narrow: the rest does not come back from it.
    let request = ExchangeRequest { scopes: Some("mcp:write".parse().unwrap()), ..plain(&narrowed) };
    assert!(matches!(exchange(&world, &client, request).await, Err(TokenError::Scope)));
    let again = exchange(&world, &client, plain(&narrowed)).await.unwrap();
    assert_eq!(world.claims(&again).scope.to_string(), "mcp:read");
}

/// A task of the exchange's own is named by the token, ends with it, and holds nobody else's token.
#[tokio::test]
async fn a_token_is_narrowed_to_a_task_inside_its_own() {
    let (world, client, first) = issued().await;
    let outer = exchange(&world, &client, ExchangeRequest { details: Some(TIDY.to_owned()), ..plain(&first) }).await;
    let outer = outer.unwrap();
    let details = outer.details.clone().unwrap();
    assert_eq!((&details["purpose"], &details["calls"]), (&"tidy up".into(), &3.into()));
    let inner = exchange(&world, &client, ExchangeRequest { details: Some(TIDY.to_owned()), ..plain(&outer) }).await;
    let inner = inner.unwrap();
    let (outer, inner) = (world.claims(&outer), world.claims(&inner));
    let mut tx = world.issuer.site.store.read().await.unwrap();
    let task = tx.tasks().find(inner.task.unwrap()).await.unwrap().unwrap();
    assert_eq!((task.parent, task.origin), (outer.task, TaskOrigin::Exchange));
    assert_eq!(task.ends_at, Some(world.claims(&first).exp));
    assert_eq!(tx.grants().find(outer.grant).await.unwrap().unwrap().task, None);
    drop(tx);
    // What is inside something that is over cannot begin.
    let mut tx = world.issuer.site.store.begin().await.unwrap();
    assert!(tx.tasks().finish(outer.task.unwrap(), "test", world.clock.now()).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = world.issuer.site.store.read().await.unwrap();
    assert!(tx.tasks().find(inner.task.unwrap()).await.unwrap().unwrap().is_over(world.clock.now()));
}

/// ATK-41: a token of another client, for another server, of an ended grant, changed or over gives nothing.
#[tokio::test]
async fn only_its_own_client_narrows_a_token_that_lives() {
    let (world, client, first) = issued().await;
    let other = world.client("other", |_| {}).await;
    assert!(matches!(exchange(&world, &other, plain(&first)).await, Err(TokenError::Exchange(_))));
    for resources in [vec![FILES.to_owned()], vec![NOTES.to_owned(), FILES.to_owned()]] {
        let request = ExchangeRequest { resources, ..plain(&first) };
        assert!(matches!(exchange(&world, &client, request).await, Err(TokenError::Target)));
    }
    for scope in ["mcp:destructive", "tool:read_note mcp:destructive", "offline_access"] {
        let request = ExchangeRequest { scopes: Some(scope.parse().unwrap()), ..plain(&first) };
        assert!(matches!(exchange(&world, &client, request).await, Err(TokenError::Scope)), "{scope}");
    }
    for details in [
        "[]x",
        r#"[{"type":"payment","purpose":"x"}]"#,
        r#"[{"type":"mcp_task","purpose":"x","tools":[]}]"#,
        r#"[{"type":"mcp_task","purpose":"x","tools":[{"name":"a"}],"calls":0}]"#,
        r#"[{"type":"mcp_task","purpose":"x","tools":[{"name":"a"}],"locations":["https://sekisho.example/mcp/files"]}]"#,
    ] {
        let request = ExchangeRequest { details: Some(details.to_owned()), ..plain(&first) };
        assert!(matches!(exchange(&world, &client, request).await, Err(TokenError::Details(_))), "{details}");
    }
    let explosive = r##"[{"type":"mcp_task","purpose":"x","tools":[{"name":"a","arguments":{"$ref":"#"}}]}]"##;
    let request = ExchangeRequest { details: Some(explosive.to_owned()), ..plain(&first) };
    assert!(matches!(exchange(&world, &client, request).await, Err(TokenError::Bounds(_))));
    let mut changed = first.access.expose().to_owned();
    let last = changed.pop();
    changed.push(if last == Some('A') { 'Q' } else { 'A' });
    let token = sekisho_protocol::secret::AccessToken::from_outside(changed);
    assert!(matches!(
        exchange(&world, &client, ExchangeRequest { token, ..plain(&first) }).await,
        Err(TokenError::Exchange(_))
    ));
    assert!(exchange(&world, &client, plain(&first)).await.is_ok());
    world.clock.advance_seconds(600);
    assert!(matches!(exchange(&world, &client, plain(&first)).await, Err(TokenError::Exchange(_))));
    let (world, client, first) = issued().await;
    let (grant, _) = world.grant_of(&first);
    let mut tx = world.issuer.site.store.begin().await.unwrap();
    tx.grants().revoke(grant, "test", world.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(matches!(exchange(&world, &client, plain(&first)).await, Err(TokenError::Exchange(_))));
}

/// RFC 8693 §2.1: what is shown is an access token and says so, what is wanted is one, and nobody else acts; `resource`
/// and `audience` both name the server.
#[test]
fn a_request_is_for_an_access_token_in_exchange_for_one() {
    let other = "urn:ietf:params:oauth:token-type:refresh_token";
    let read = |changes: &[(&str, &str)]| {
        let mut fields = vec![("subject_token", "the-token"), ("subject_token_type", ACCESS_TOKEN)];
        fields.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let fields = fields.iter().chain(changes);
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        ExchangeRequest::read(&Parameters::read(&query).unwrap())
    };
    for changes in [&[][..], &[("requested_token_type", ACCESS_TOKEN)]] {
        let plain = read(changes).unwrap();
        assert_eq!((plain.token.expose(), plain.scopes, plain.details), ("the-token", None, None));
        assert!(plain.resources.is_empty());
    }
    let all = [
        ("scope", "mcp:read"),
        ("audience", FILES),
        ("resource", NOTES),
        ("resource", FILES),
        ("authorization_details", "[]"),
    ];
    let all = read(&all).unwrap();
    assert_eq!(all.scopes, Some("mcp:read".parse().unwrap()));
    assert_eq!(
        (all.resources, all.details.as_deref()),
        (vec![NOTES.to_owned(), FILES.to_owned(), FILES.to_owned()], Some("[]"))
    );
    for changes in [
        &[("subject_token_type", other)][..],
        &[("requested_token_type", other)],
        &[("subject_token_type", other), ("requested_token_type", other)],
        &[("actor_token", "another")],
        &[("actor_token_type", ACCESS_TOKEN)],
        &[("actor_token", "another"), ("actor_token_type", ACCESS_TOKEN)],
    ] {
        assert!(matches!(read(changes), Err(TokenError::Exchange(_))), "{changes:?}");
    }
    for name in ["subject_token", "subject_token_type"] {
        assert!(matches!(read(&[(name, "")]), Err(TokenError::Missing(missing)) if missing == name), "{name}");
    }
    assert!(matches!(read(&[("scope", "\"")]), Err(TokenError::Scope)));
}

/// Product §5, Narrow: what was given is on record, with whose it is and of which grant.
#[tokio::test]
async fn the_records_say_what_an_exchange_gave() {
    let (world, client, first) = issued().await;
    let scopes: sekisho_protocol::scope::ScopeSet = "mcp:read".parse().unwrap();
    exchange(&world, &client, ExchangeRequest { scopes: Some(scopes.clone()), ..plain(&first) }).await.unwrap();
    let mut entries = world.entries(ActKind::TokenIssued).await;
    entries.retain(|entry| entry.detail != "code");
    let expected = Act {
        subject: Some(Subject::User(world.owner)),
        client: Some(client.id.clone()),
        server: Some("notes".parse().unwrap()),
        grant: Some(world.grant_of(&first).0),
        scopes,
        detail: "exchange".to_owned(),
        ..Act::new(Actor::Client, ActKind::TokenIssued)
    };
    assert_eq!(entries, [expected]);
}

/// ATK-55: what is over gives nothing new, not even within the leeway that a server gives; a task that asks for longer
/// than the token has ends with it, and one that asks for less ends by itself.
#[tokio::test]
async fn nothing_that_was_exchanged_outlives_its_token() {
    let (world, client, first) = issued().await;
    world.clock.advance_seconds(599);
    assert_eq!(exchange(&world, &client, plain(&first)).await.unwrap().expires_in_seconds, 1);
    let (world, client, first) = issued().await;
    for (wanted, seconds) in [(3600, 600), (60, 60)] {
        let details =
            format!(r#"[{{"type":"mcp_task","purpose":"x","tools":[{{"name":"a"}}],"expires_in":{wanted}}}]"#);
        let narrowed = exchange(&world, &client, ExchangeRequest { details: Some(details), ..plain(&first) }).await;
        let id = world.claims(&narrowed.unwrap()).task.unwrap();
        let task = world.issuer.site.store.read().await.unwrap().tasks().find(id).await.unwrap().unwrap();
        assert_eq!(task.ends_at, Some(after(world.clock.now(), seconds)));
    }
}
