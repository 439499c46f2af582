//! Codes and refresh tokens against a real store: matrices, replays, races.

use std::sync::Arc;

use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::{Clock as _, after};
use sekisho_protocol::pkce::generate_verifier;
use sekisho_protocol::registration::Client;
use sekisho_protocol::role::Role;
use sekisho_protocol::secret::{AuthorizationCode, CodeVerifier, RefreshToken};
use sekisho_protocol::server::ServerDirectory;
use sekisho_protocol::task::{TaskDefinition, TaskOrigin};
use sekisho_store::{Conditions, GrantTask};

use super::{Issued, TokenError};
use crate::IssuerSettings;
use crate::testing::{BASE, FILES, NOTES, REDIRECT, ScriptedHttp, World, again, card, honest};
use crate::token::authorization_code::CodeRequest;
use crate::token::refresh::{RefreshRequest, successor};

async fn world() -> (World, Client) {
    let world = World::new().await;
    let client = world.client("client", |_| {}).await;
    (world, client)
}

async fn issued(world: &World, client: &Client) -> Issued {
    let (code, verifier) = world.code(client).await;
    world.redeem(client, honest(&code, &verifier)).await.unwrap()
}

/// What a request says of its verifier.
fn with_verifier(code: &AuthorizationCode, verifier: Option<CodeVerifier>, shown: bool) -> CodeRequest {
    CodeRequest { verifier, verifier_shown: shown, ..honest(code, &CodeVerifier::from_outside("")) }
}

/// AS-06, ATK-15, ATK-22: of all verifiers only the right one redeems a code, and the wrong ones spend nothing.
#[tokio::test]
async fn only_the_right_verifier_redeems_a_code() {
    let (world, client) = world().await;
    let (code, verifier) = world.code(&client).await;
    let (_, of_another_flow) = world.code(&client).await;
    let wrong = [
        with_verifier(&code, None, false),
        with_verifier(&code, None, true),
        with_verifier(&code, Some(generate_verifier(&*world.issuer.site.entropy)), true),
        with_verifier(&code, Some(of_another_flow), true),
        with_verifier(&code, Some(CodeVerifier::from_outside(format!("{}A", verifier.expose()))), true),
    ];
    for request in wrong {
        let error = world.redeem(&client, request).await.unwrap_err();
        assert!(matches!(error, TokenError::Grant(why) if why.contains("code_verifier")), "{error}");
    }
    let issued = world.redeem(&client, honest(&code, &verifier)).await.unwrap();
    assert_eq!(issued.scopes.to_string(), "mcp:read mcp:write");
    assert_eq!(world.claims(&issued).aud.as_str(), NOTES);
}

/// ATK-21: five wrong verifiers are borne, and then the code is dead for the right one too.
#[tokio::test]
async fn too_many_wrong_verifiers_kill_a_code() {
    let (world, client) = world().await;
    for (attempts, survives) in [(4, true), (5, false), (6, false)] {
        let (code, verifier) = world.code(&client).await;
        for _ in 0..attempts {
            let guess = Some(generate_verifier(&*world.issuer.site.entropy));
            world.redeem(&client, with_verifier(&code, guess, true)).await.unwrap_err();
        }
        assert_eq!(world.redeem(&client, honest(&code, &verifier)).await.is_ok(), survives, "{attempts}");
    }
}

/// ATK-17, ATK-21, ATK-22, AS-10, AS-15: one bad attempt of each kind is refused, and the code still works.
#[tokio::test]
async fn a_bad_request_spends_no_code() {
    let (world, client) = world().await;
    let other = world.client("other", |_| {}).await;
    let (code, verifier) = world.code(&client).await;
    let error = world.redeem(&other, honest(&code, &verifier)).await.unwrap_err();
    assert!(matches!(error, TokenError::Grant(why) if why.contains("another client")), "{error}");
    let bad = [
        CodeRequest { redirect_uri: None, ..honest(&code, &verifier) },
        CodeRequest { redirect_uri: Some(format!("{REDIRECT}/")), ..honest(&code, &verifier) },
        CodeRequest {
            redirect_uri: Some("https://client.example:443/callback".to_owned()),
            ..honest(&code, &verifier)
        },
        CodeRequest { resources: vec![FILES.to_owned()], ..honest(&code, &verifier) },
        CodeRequest { resources: vec![format!("{NOTES}/")], ..honest(&code, &verifier) },
        CodeRequest { resources: vec![NOTES.to_owned(), FILES.to_owned()], ..honest(&code, &verifier) },
        CodeRequest { resources: vec!["nonsense".to_owned()], ..honest(&code, &verifier) },
        CodeRequest {
            code: Some(AuthorizationCode::generate(&*world.issuer.site.entropy)),
            ..honest(&code, &verifier)
        },
        CodeRequest { code: None, ..honest(&code, &verifier) },
    ];
    let count = bad.len() + 1;
    for request in bad {
        let error = world.redeem(&client, request).await.unwrap_err();
        assert!(matches!(error, TokenError::Grant(_) | TokenError::Target), "{error}");
    }
    assert_eq!(world.recorded(ActKind::TokenRefused).await, count);
    assert!(world.redeem(&client, honest(&code, &verifier)).await.is_ok());
}

/// AS-21: a code lives for its minute.
#[tokio::test]
async fn a_code_expires() {
    let (world, client) = world().await;
    let (code, verifier) = world.code(&client).await;
    world.clock.advance_seconds(60);
    let error = world.redeem(&client, honest(&code, &verifier)).await.unwrap_err();
    assert!(matches!(error, TokenError::Grant("the code has expired")), "{error}");
}

/// AS-21, ATK-19: a code works only once, and its second use by its own client ends what the first produced.
#[tokio::test]
async fn a_code_works_only_once_and_a_replay_revokes_the_grant() {
    let (world, client) = world().await;
    let (code, verifier) = world.code(&client).await;
    let issued = world.redeem(&client, honest(&code, &verifier)).await.unwrap();
    assert!(world.is_alive(&issued).await);
    // Weeks later it is still a replay.
    world.clock.advance_seconds(3600);
    world.redeem(&client, honest(&code, &verifier)).await.unwrap_err();
    let mut tx = world.issuer.site.store.read().await.unwrap();
    let digest = issued.refresh.as_ref().unwrap().digest();
    let row = tx.refresh_tokens().find(&digest).await.unwrap().unwrap();
    assert!(tx.grants().find(row.grant).await.unwrap().unwrap().revoked_at.is_some());
    drop(tx);
    world.refresh(&client, again(&issued)).await.unwrap_err();
    assert_eq!(world.recorded(ActKind::CodeReplayed).await, 1);
}

/// ATK-20, ATK-57: a replay that is forged in any character, or comes from another client, changes nothing.
#[tokio::test]
async fn a_forged_replay_revokes_nothing() {
    let (world, client) = world().await;
    let other = world.client("other", |_| {}).await;
    let (code, verifier) = world.code(&client).await;
    let issued = world.redeem(&client, honest(&code, &verifier)).await.unwrap();
    world.redeem(&other, honest(&code, &verifier)).await.unwrap_err();
    let text = code.expose().to_owned();
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let forged = AuthorizationCode::parse(std::str::from_utf8(&bytes).unwrap()).ok();
        world.redeem(&client, CodeRequest { code: forged, ..honest(&code, &verifier) }).await.unwrap_err();
    }
    assert!(world.is_alive(&issued).await);
    assert_eq!(world.recorded(ActKind::CodeReplayed).await, 0);
}

/// ATK-18: of 64 that redeem one code at the same moment exactly one gets tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_redeem_one_code_at_once_one_succeeds() {
    let (world, client) = world().await;
    let world = Arc::new(world);
    for _ in 0..4 {
        let (code, verifier) = world.code(&client).await;
        let barrier = Arc::new(tokio::sync::Barrier::new(64));
        let mut racers = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let (world, client, barrier) = (world.clone(), client.clone(), barrier.clone());
            let request = honest(&code, &verifier);
            racers.spawn(async move {
                barrier.wait().await;
                world.redeem(&client, request).await
            });
        }
        let outcomes = racers.join_all().await;
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(TokenError::Grant(_)))).count();
        assert_eq!((won, refused), (1, 63));
    }
}

/// AS-13: each use gives a new token, a chain of five, and the records say so.
#[tokio::test]
async fn a_refresh_token_is_used_once_and_followed_by_another() {
    let (world, client) = world().await;
    let mut current = issued(&world, &client).await;
    let mut seen = vec![current.refresh.as_ref().unwrap().expose().to_owned()];
    for _ in 0..5 {
        world.clock.advance_seconds(300);
        current = world.refresh(&client, again(&current)).await.unwrap();
        seen.push(current.refresh.as_ref().unwrap().expose().to_owned());
        assert!(world.is_alive(&current).await);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 6);
    assert_eq!(world.recorded(ActKind::TokenIssued).await, 6);
}

/// ATK-36: a retry within 30 seconds gets the very same successor, and a fresh access token, as often as it asks.
#[tokio::test]
async fn a_lost_answer_is_given_again() {
    let (world, client) = world().await;
    let first = issued(&world, &client).await;
    let second = world.refresh(&client, again(&first)).await.unwrap();
    for _ in 0..3 {
        world.clock.advance_seconds(9);
        let retried = world.refresh(&client, again(&first)).await.unwrap();
        assert_eq!(retried.refresh, second.refresh);
        assert_ne!(retried.access, second.access);
        assert!(world.is_alive(&retried).await);
    }
    assert!(world.refresh(&client, again(&second)).await.is_ok());
}

/// ATK-36, ATK-38: each ancestor in a chain of five, replayed, ends the family; so does a retry after its
/// successor was used, and one that is late.
#[tokio::test]
async fn any_other_second_use_ends_the_family() {
    for ancestor in 0..5 {
        let (world, client) = world().await;
        let mut chain = vec![issued(&world, &client).await];
        for _ in 0..5 {
            let next = world.refresh(&client, again(chain.last().unwrap())).await.unwrap();
            chain.push(next);
        }
        let error = world.refresh(&client, again(&chain[ancestor])).await;
        if ancestor == 4 {
            // The last but one is a retry: its successor is unused.
            assert!(error.is_ok());
            world.clock.advance_seconds(30);
            assert!(world.refresh(&client, again(&chain[ancestor])).await.is_err());
        } else {
            assert!(error.is_err());
        }
        assert!(!world.is_alive(chain.last().unwrap()).await, "{ancestor}");
        assert!(world.refresh(&client, again(chain.last().unwrap())).await.is_err());
        assert_eq!(world.recorded(ActKind::RefreshReplayed).await, 1);
    }
}

/// ATK-37: of 64 that use one refresh token at the same moment all get the same successor: one is alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_refresh_at_once_all_get_one_successor() {
    let (world, client) = world().await;
    let first = issued(&world, &client).await;
    let world = Arc::new(world);
    let barrier = Arc::new(tokio::sync::Barrier::new(64));
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (world, client, barrier, request) = (world.clone(), client.clone(), barrier.clone(), again(&first));
        racers.spawn(async move {
            barrier.wait().await;
            world.refresh(&client, request).await
        });
    }
    let outcomes = racers.join_all().await;
    let mut successors: Vec<String> =
        outcomes.into_iter().map(|outcome| outcome.unwrap().refresh.unwrap().expose().to_owned()).collect();
    successors.dedup();
    assert_eq!(successors.len(), 1);
    let mut tx = world.issuer.site.store.read().await.unwrap();
    assert!(tx.refresh_tokens().is_unused(&RefreshToken::parse(&successors[0]).unwrap().digest()).await.unwrap());
}

/// ATK-17, ATK-43, ATK-57: nobody else's token, no other kind of token, no mutant of it; and nothing follows from
/// the attempt.
#[tokio::test]
async fn a_foreign_or_mutated_refresh_token_changes_nothing() {
    let (world, client) = world().await;
    let other = world.client("other", |_| {}).await;
    let first = issued(&world, &client).await;
    assert!(world.refresh(&other, again(&first)).await.is_err());
    let second = world.refresh(&client, again(&first)).await.unwrap();
    // Also a used one, in foreign hands.
    assert!(world.refresh(&other, again(&first)).await.is_err());
    let (code, _) = world.code(&client).await;
    let kinds = [code.expose(), first.access.expose(), "", "sks_rt_"];
    for kind in kinds {
        let token = RefreshToken::parse(kind).ok();
        assert!(token.is_none(), "{kind}");
        assert!(world.refresh(&client, RefreshRequest { token, ..again(&first) }).await.is_err());
    }
    assert!(world.refresh(&client, again(&second)).await.is_ok());
    assert_eq!(world.recorded(ActKind::RefreshReplayed).await, 0);
}

/// ATK-39, AS-15: a refresh never widens anything, and a refused one leaves the token as it was (trap 22: one that
/// names the same resource, or none, works).
#[tokio::test]
async fn a_refresh_only_ever_shrinks() {
    let (world, client) = world().await;
    let first = issued(&world, &client).await;
    let scopes = |text: &str| Some(text.parse().unwrap());
    let resources = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let bad = [
        RefreshRequest { scopes: scopes("mcp:destructive"), ..again(&first) },
        RefreshRequest { scopes: scopes("mcp:read tool:wipe"), ..again(&first) },
        RefreshRequest { scopes: scopes(""), ..again(&first) },
        RefreshRequest { resources: resources(&[FILES]), ..again(&first) },
        RefreshRequest { resources: resources(&[NOTES, FILES]), ..again(&first) },
        RefreshRequest { resources: resources(&[&format!("{NOTES}/")]), ..again(&first) },
        RefreshRequest { resources: resources(&[BASE]), ..again(&first) },
    ];
    for request in bad {
        let error = world.refresh(&client, request).await.unwrap_err();
        assert!(matches!(error, TokenError::Scope | TokenError::Target), "{error}");
    }
    let less = world.refresh(&client, RefreshRequest { scopes: scopes("mcp:read"), ..again(&first) }).await.unwrap();
    assert_eq!(world.claims(&less).scope.to_string(), "mcp:read");
    // RFC 6749 §6: the grant is what it was; the next token may have all of it again.
    let all = world.refresh(&client, RefreshRequest { resources: Vec::new(), ..again(&less) }).await.unwrap();
    assert_eq!(world.claims(&all).scope.to_string(), "mcp:read mcp:write");
    assert_eq!(world.claims(&all).aud.as_str(), NOTES);
}

/// Decision 0070, ATK-271: the first refresh after a call was refused for want of scope is told that a person is needed, and spends
/// nothing; the next one is answered.
#[tokio::test]
async fn a_refresh_that_cannot_help_after_a_step_up_is_refused_once() {
    let (world, client) = world().await;
    let held = issued(&world, &client).await;
    let note = async |lacks: &str| {
        let (grant, _) = world.grant_of(&held);
        let mut tx = world.issuer.site.store.begin().await.unwrap();
        tx.grants().note_step_up(grant, &lacks.parse().unwrap(), world.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
    };
    note("mcp:destructive").await;
    // Another client's request, and one that is wrong, are refused for their own reasons and use nothing up.
    let other = world.client("other", |_| {}).await;
    assert!(matches!(world.refresh(&other, again(&held)).await, Err(TokenError::Grant(_))));
    let wide = RefreshRequest { scopes: Some("mcp:destructive".parse().unwrap()), ..again(&held) };
    assert!(matches!(world.refresh(&client, wide).await, Err(TokenError::Scope)));
    let error = world.refresh(&client, again(&held)).await.unwrap_err();
    assert!(matches!(error, TokenError::StepUp), "{error}");
    let answer = crate::error::token(&world.visit(), &error);
    assert_eq!(answer.status(), 400);
    let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"], "server_error", "{body}");
    let next = world.refresh(&client, again(&held)).await.unwrap();
    assert_eq!(world.claims(&next).scope.to_string(), "mcp:read mcp:write");
    // Where the grant has what was lacking, the refresh helps.
    world.clock.advance_seconds(60);
    note("mcp:read").await;
    world.refresh(&client, again(&next)).await.unwrap();
    assert_eq!(world.recorded(ActKind::RefreshReplayed).await, 0);
}

/// A disabled user, a revoked grant, a server that is gone, a refresh token that lay too long: no token.
#[tokio::test]
async fn nothing_is_issued_for_what_has_ended() {
    let (world, client) = world().await;
    let held = issued(&world, &client).await;
    let (code, verifier) = world.code(&client).await;
    let disable = async |disabled: bool| {
        let mut tx = world.issuer.site.store.begin().await.unwrap();
        assert!(tx.users().set_disabled(world.owner, disabled).await.unwrap());
        tx.commit().await.unwrap();
    };
    let mut tx = world.issuer.site.store.begin().await.unwrap();
    // The only owner cannot be disabled.
    assert!(tx.users().set_role(world.reader, Role::Owner).await.unwrap());
    tx.commit().await.unwrap();
    disable(true).await;
    assert!(world.refresh(&client, again(&held)).await.is_err());
    assert!(world.redeem(&client, honest(&code, &verifier)).await.is_err());
    disable(false).await;
    world.servers.send_replace(Arc::new(ServerDirectory::new([card("files", FILES)])));
    assert!(matches!(world.refresh(&client, again(&held)).await, Err(TokenError::Target)));
    assert!(matches!(world.redeem(&client, honest(&code, &verifier)).await, Err(TokenError::Target)));
    world.servers.send_replace(Arc::new(ServerDirectory::new([card("notes", NOTES)])));
    let held = world.refresh(&client, again(&held)).await.unwrap();
    world.clock.advance_seconds(world.issuer.settings.refresh_ttl_seconds);
    assert!(world.refresh(&client, again(&held)).await.is_err());
    let held = issued(&world, &client).await;
    let mut tx = world.issuer.site.store.begin().await.unwrap();
    tx.grants().revoke(world.grant_of(&held).0, "test", world.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(world.refresh(&client, again(&held)).await.is_err());
}

/// AS-14, AS-12: whether there is a refresh token is the issuer's decision and the client's registration; without
/// one the grant is over with its access token.
#[tokio::test]
async fn a_client_gets_a_refresh_token_only_where_both_allow_it() {
    let (world, _) = world().await;
    let without = world.client("without", |client| client.refresh = false).await;
    let once = issued(&world, &without).await;
    assert!(once.refresh.is_none());
    assert!(world.is_alive(&once).await);
    world.clock.advance_seconds(600);
    let mut tx = world.issuer.site.store.read().await.unwrap();
    let grants = tx.grants().list(&sekisho_store::GrantFilter::default()).await.unwrap();
    assert!(grants.iter().all(|grant| grant.expires_at == Some(world.clock.now())), "{grants:?}");
    drop(tx);
    let settings = IssuerSettings { refresh_ttl_seconds: 0, ..IssuerSettings::default() };
    let world = World::with(settings, ScriptedHttp::default()).await;
    let client = world.client("client", |_| {}).await;
    assert!(issued(&world, &client).await.refresh.is_none());
}

/// RFC 9396 §7: a grant begins with the task that was agreed to, and every token names it; it ends when the person said,
/// or sooner.
#[tokio::test]
async fn a_grant_begins_with_what_a_person_set() {
    let (world, with) = world().await;
    let without = world.client("without", |client| client.refresh = false).await;
    let tools = [("read_note".to_owned(), None)].into();
    let definition = TaskDefinition { purpose: "tidy up".to_owned(), tools, ..TaskDefinition::default() };
    for (client, set_seconds, seconds) in [(&with, 3600, 3600), (&without, 3600, 600), (&without, 60, 60)] {
        let conditions = Conditions {
            ends_at: Some(after(world.clock.now(), set_seconds)),
            task: Some(GrantTask { origin: TaskOrigin::Details, definition: definition.clone() }),
            session: None,
        };
        let (code, verifier) = world.code_with(client, conditions).await;
        let issued = world.redeem(client, honest(&code, &verifier)).await.unwrap();
        let claims = world.claims(&issued);
        let mut tx = world.issuer.site.store.read().await.unwrap();
        let grant = tx.grants().find(claims.grant).await.unwrap().unwrap();
        assert_eq!(grant.expires_at, Some(after(world.clock.now(), seconds)));
        let task = tx.tasks().find(claims.task.unwrap()).await.unwrap().unwrap();
        assert_eq!((grant.task, task.grant, task.parent), (claims.task, claims.grant, None));
        assert_eq!((task.definition, task.origin), (definition.clone(), TaskOrigin::Details));
        drop(tx);
        assert_eq!(issued.details.as_ref().unwrap()["purpose"], "tidy up");
        if issued.refresh.is_some() {
            let next = world.refresh(client, again(&issued)).await.unwrap();
            assert_eq!((world.claims(&next).task, next.details), (claims.task, issued.details));
        }
    }
}

/// House rule: a successor is a function of token and family key, and of nothing else.
#[tokio::test]
async fn a_successor_is_computed_and_not_kept() {
    let key = sekisho_store::SecretKey::from_bytes([1; 32]);
    let other = sekisho_store::SecretKey::from_bytes([2; 32]);
    let token = RefreshToken::from_key([3; 32]);
    assert_eq!(successor(&key, &token), successor(&key, &token));
    assert_ne!(successor(&key, &token), successor(&other, &token));
    assert_ne!(successor(&key, &token), token);
    assert!(RefreshToken::parse(successor(&key, &token).expose()).is_ok());
}

/// ATK-43: the token says what it is for, by whom, through whom, and nothing that was not granted.
#[tokio::test]
async fn an_access_token_says_what_was_granted() {
    let (world, client) = world().await;
    let claims = world.claims(&issued(&world, &client).await);
    assert_eq!(claims.iss, BASE);
    assert_eq!(claims.sub.to_string(), world.owner.to_string());
    assert_eq!(claims.client_id, client.id);
    assert_eq!(claims.path.hops(), std::slice::from_ref(&client.id));
    assert_eq!(claims.exp.as_second() - claims.iat.as_second(), 600);
    assert_ne!(world.reader, world.owner);
}

/// What the records must say of the grant behind a token, whatever happened to it.
fn of_grant(world: &World, client: &Client, issued: &Issued, act: ActKind) -> Act {
    Act {
        subject: Some(Subject::User(world.owner)),
        client: Some(client.id.clone()),
        server: Some("notes".parse().unwrap()),
        grant: Some(world.grant_of(issued).0),
        ..Act::new(Actor::Client, act)
    }
}

/// ATK-19: a code that becomes a token, and one that comes back, are on record with whose it was and what it became.
#[tokio::test]
async fn the_records_say_what_a_code_became() {
    let (world, client) = world().await;
    let (code, verifier) = world.code(&client).await;
    let issued = world.redeem(&client, honest(&code, &verifier)).await.unwrap();
    world.redeem(&client, honest(&code, &verifier)).await.unwrap_err();
    let entry = |act, detail: &str| Act {
        scopes: issued.scopes.clone(),
        detail: detail.to_owned(),
        ..of_grant(&world, &client, &issued, act)
    };
    let [first, replay] = [ActKind::TokenIssued, ActKind::CodeReplayed];
    assert_eq!(world.entries(first).await, [entry(first, "code")]);
    assert_eq!(world.entries(replay).await, [entry(replay, "")]);
}

/// ATK-36: each refresh, and a used token that comes back, are on record with whose they were and what was given.
#[tokio::test]
async fn the_records_say_what_a_refresh_gave() {
    let (world, client) = world().await;
    let first = issued(&world, &client).await;
    let fewer = RefreshRequest { scopes: Some("mcp:read".parse().unwrap()), ..again(&first) };
    let second = world.refresh(&client, fewer).await.unwrap();
    world.refresh(&client, again(&second)).await.unwrap();
    world.refresh(&client, again(&first)).await.unwrap_err();
    let entry = |act, scopes: &str, detail: &str| Act {
        scopes: scopes.parse().unwrap(),
        detail: detail.to_owned(),
        ..of_grant(&world, &client, &first, act)
    };
    let [given, replay] = [ActKind::TokenIssued, ActKind::RefreshReplayed];
    let mut refreshed = world.entries(given).await;
    refreshed.retain(|entry| entry.detail != "code");
    assert_eq!(refreshed, [entry(given, "mcp:read", "refresh"), entry(given, "mcp:read mcp:write", "refresh")]);
    assert_eq!(world.entries(replay).await, [entry(replay, "", "")]);
}
