//! Narrowing against a real store.

use sekisho_protocol::env::Clock as _;
use sekisho_protocol::registration::Client;
use sekisho_protocol::task::TaskOrigin;

use super::ExchangeRequest;
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
    assert_eq!(narrowed.kind, Some(super::ACCESS_TOKEN));
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
    let mut tx = world.issuer.store.read().await.unwrap();
    let task = tx.tasks().find(inner.task.unwrap()).await.unwrap().unwrap();
    assert_eq!((task.parent, task.origin), (outer.task, TaskOrigin::Exchange));
    assert_eq!(task.ends_at, Some(world.claims(&first).exp));
    assert_eq!(tx.grants().find(outer.grant).await.unwrap().unwrap().task, None);
    drop(tx);
    // What is inside something that is over cannot begin.
    let mut tx = world.issuer.store.begin().await.unwrap();
    assert!(tx.tasks().finish(outer.task.unwrap(), "test", world.clock.now()).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = world.issuer.store.read().await.unwrap();
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
    changed.pop();
    changed.push('A');
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
    let mut tx = world.issuer.store.begin().await.unwrap();
    tx.grants().revoke(grant, "test", world.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(matches!(exchange(&world, &client, plain(&first)).await, Err(TokenError::Exchange(_))));
}
