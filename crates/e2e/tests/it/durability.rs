//! `kill -9` at the worst moments: everything acknowledged is there afterwards, and nothing counts twice.

use std::time::Duration;

use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::oauth::{Client, Granted, Parameters, REDIRECT};
use sekisho_e2e::fakes::wire::{Ask, Reply, ask};
use sekisho_e2e::harness::Checkpoint;

const PASSWORD: &str = "correct horse battery staple";
const ROUNDS: u32 = 50;

fn address(checkpoint: &Checkpoint) -> std::net::SocketAddr {
    let port = checkpoint.base_url().rsplit(':').next().unwrap();
    format!("127.0.0.1:{port}").parse().unwrap()
}

async fn started() -> (Checkpoint, Client) {
    let checkpoint = Checkpoint::notes().owner("alice", PASSWORD).start().await;
    checkpoint.classify(&["list_notes=read"]).await;
    let client = Client::register(checkpoint.base_url(), "Durable", REDIRECT).await;
    (checkpoint, client)
}

/// Returns how long after the request the kill comes in this round: from at once to well after the response.
fn moment(round: u32) -> Duration {
    Duration::from_micros(u64::from(round * round) * 12)
}

/// Sends the token request and kills the checkpoint a moment later. Returns the response, if one came, and the
/// restarted checkpoint.
async fn interrupted(
    checkpoint: Checkpoint,
    client: &Client,
    request: &Parameters,
    after: Duration,
) -> (Checkpoint, Option<Reply>) {
    let asked: Ask = request.post("/oauth/token");
    let address = address(&checkpoint);
    let asking = tokio::spawn(async move { ask(address, &asked).await.ok() });
    tokio::time::sleep(after).await;
    checkpoint.process().kill();
    let answer = asking.await.unwrap();
    assert!(answer.as_ref().is_none_or(|reply| reply.status == 200), "{answer:?}");
    let checkpoint = checkpoint.crash().await;
    assert_eq!(checkpoint.base_url().rsplit(':').next(), Some(client_port(client).as_str()), "the same address");
    (checkpoint, answer.filter(|reply| reply.json()["access_token"].is_string()))
}

fn client_port(client: &Client) -> String {
    client
        .link(&Parameters(Vec::new()))
        .split(':')
        .nth(2)
        .and_then(|rest| rest.split('/').next())
        .unwrap_or_default()
        .to_owned()
}

async fn works(checkpoint: &Checkpoint, granted: &Granted) {
    let reply = ask(address(checkpoint), &tool("/mcp/notes", &granted.access, "list_notes")).await.unwrap();
    assert_eq!(reply.status, 200, "an acknowledged token: {}", reply.text());
}

/// Checks that every record is there once, with consecutive numbers.
async fn records_are_whole(checkpoint: &Checkpoint) {
    let mut numbers: Vec<i64> = checkpoint.records().await.iter().map(|row| row["seq"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.first(), Some(&1));
    assert_eq!(numbers.last().copied(), i64::try_from(numbers.len()).ok(), "a record is missing");
}

/// ATK-18, ATK-38, AS-21: a code whose exchange was interrupted by a kill is redeemed once or not at all, and a
/// response that was sent stays true.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_during_redemption_neither_doubles_nor_loses_a_grant() {
    let (mut checkpoint, client) = started().await;
    let (mut answered, mut taken, mut untaken) = (0, 0, 0);
    for round in 0..ROUNDS {
        let code = client.code(checkpoint.server(), "mcp:read tool:list_notes", "alice", PASSWORD).await;
        let request = client.redemption(&code);
        let (again, answer) = interrupted(checkpoint, &client, &request, moment(round)).await;
        checkpoint = again;
        match answer {
            Some(reply) => {
                answered += 1;
                let granted = client.granted(&reply);
                works(&checkpoint, &granted).await;
                let next = client.granted(&client.token(&client.refreshing(&granted.refresh)).await);
                works(&checkpoint, &next).await;
                let second = client.token(&request).await;
                assert_eq!(second.status, 400, "round {round}: redeemed twice");
            }
            None => match client.token(&request).await {
                reply if reply.status == 200 => {
                    untaken += 1;
                    let granted = client.granted(&reply);
                    works(&checkpoint, &granted).await;
                    assert_eq!(client.token(&request).await.status, 400, "round {round}: redeemed twice");
                }
                reply => {
                    taken += 1;
                    assert_eq!(
                        (reply.status, reply.json()["error"].as_str()),
                        (400, Some("invalid_grant")),
                        "round {round}: {}",
                        reply.text()
                    );
                }
            },
        }
    }
    records_are_whole(&checkpoint).await;
    assert!(
        answered > 0 && taken + untaken > 0,
        "the kill never hit: {answered} answered, {taken} taken, {untaken} not"
    );
}

/// ATK-36, ATK-38, AS-13: a refresh that was interrupted by a kill can be repeated and gives the same successor;
/// replaced tokens stay invalid.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_during_refresh_loses_no_grant() {
    let (mut checkpoint, client) = started().await;
    let mut granted = client.be_granted(checkpoint.server(), "mcp:read tool:list_notes", "alice", PASSWORD).await;
    let (mut answered, mut silent) = (0, 0);
    for round in 0..ROUNDS {
        let request = client.refreshing(&granted.refresh);
        let (again, answer) = interrupted(checkpoint, &client, &request, moment(round)).await;
        checkpoint = again;
        // Within the grace period the same client gets the same successor, whether it got the first response or not.
        let retried = client.granted(&client.token(&request).await);
        match answer {
            Some(reply) => {
                answered += 1;
                let first = client.granted(&reply);
                assert_eq!(first.refresh, retried.refresh, "round {round}: two successors");
                works(&checkpoint, &first).await;
            }
            None => silent += 1,
        }
        works(&checkpoint, &retried).await;
        assert_ne!(retried.refresh, granted.refresh, "round {round}: not rotated");
        granted = retried;
    }
    assert!(answered > 0 && silent > 0, "the kill never hit: {answered} answered, {silent} not");
    records_are_whole(&checkpoint).await;
    // None of the restarts makes a replaced token valid again.
    let newest = client.granted(&client.token(&client.refreshing(&granted.refresh)).await);
    let newest = client.granted(&client.token(&client.refreshing(&newest.refresh)).await);
    let checkpoint = checkpoint.crash().await;
    assert_eq!(client.token(&client.refreshing(&granted.refresh)).await.status, 400);
    assert_eq!(client.token(&client.refreshing(&newest.refresh)).await.status, 400, "the family died with the replay");
    drop(checkpoint);
}

/// ATK-19, ATK-38: an acknowledged revocation survives a kill at the same moment.
#[tokio::test]
async fn a_kill_after_a_revocation_revives_nothing() {
    let (mut checkpoint, client) = started().await;
    for _ in 0..5 {
        let granted = client.be_granted(checkpoint.server(), "mcp:read tool:list_notes", "alice", PASSWORD).await;
        let id = granted.claim("grant").as_str().unwrap().to_owned();
        checkpoint.ask(&["grant", "revoke", &id]).await;
        checkpoint = checkpoint.crash().await;
        assert_eq!(
            ask(address(&checkpoint), &tool("/mcp/notes", &granted.access, "list_notes")).await.unwrap().status,
            401
        );
        assert_eq!(client.token(&client.refreshing(&granted.refresh)).await.status, 400);
    }
}
