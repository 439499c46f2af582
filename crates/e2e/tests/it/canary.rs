//! Marked tokens go through a whole story, with every log line written. They appear nowhere that they should not.

use std::path::{Path, PathBuf};

use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::harness::{Agent, Checkpoint, Person, Tokens, node, parameter};
use sekisho_protocol::mcp::method::Revision;
use serde_json::json;

use crate::clients::{OWNER, PASSWORD};

/// A password and a header value that nothing else contains.
const SECRET: &str = "canary-of-the-secret-header-7c1f0d92";
const CHILD_SECRET: &str = "canary-of-the-child-5b20aa41";

/// The name of the client. It is not a secret, and is stored as it is.
const CLIENT: &str = "End-to-end agent";

/// Texts that must not be found, each with a name.
struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    fn of(tokens: &Tokens, name: [&'static str; 3]) -> Self {
        let refresh = tokens.refresh.clone().expect("there is a refresh token");
        let mut all = Self(vec![(name[0], tokens.access.clone()), (name[1], refresh), (name[2], tokens.code.clone())]);
        // A signature is enough to finish a token whose payload is known.
        all.0.push(("the signature of an access token", tokens.access.rsplit('.').next().unwrap().to_owned()));
        all
    }

    fn search(&self, place: &str, bytes: &[u8]) {
        for (name, value) in &self.0 {
            assert!(value.len() >= 16, "{name} is too short to be told from chance");
            let found = bytes.windows(value.len()).position(|window| window == value.as_bytes());
            assert!(found.is_none(), "{name} stands in {place}, around: {}", around(bytes, found.unwrap_or_default()));
        }
    }

    fn search_folder(&self, folder: &Path) {
        let files = files(folder);
        assert!(files.iter().any(|file| file.ends_with("sekisho.db")), "the database is among the files");
        let mut control = false;
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            control |= bytes.windows(CLIENT.len()).any(|window| window == CLIENT.as_bytes());
            self.search(&file.display().to_string(), &bytes);
        }
        assert!(control, "what is no secret is found, so a secret would be");
    }
}

fn around(bytes: &[u8], at: usize) -> String {
    String::from_utf8_lossy(&bytes[at.saturating_sub(120)..at]).into_owned()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

/// Does everything that can happen to a token: login, consent, code, calls in every revision, refusals, refresh,
/// replay, revocation, and tokens in wrong places.
async fn live_through(checkpoint: &Checkpoint, revisions: &[Revision], tool: &str) -> Canaries {
    let mut owner = Person::new(OWNER, PASSWORD);
    let agent = Agent::register(checkpoint.server()).await;
    let invitation = agent.invite(Some("mcp:read mcp:write"));
    let redirected = owner.answer(&invitation.url).await;
    let tokens = agent.redeem(&invitation, &redirected).await;
    assert_eq!(parameter(&redirected, "code").as_deref(), Some(tokens.code.as_str()));
    let mut canaries = Canaries::of(&tokens, ["the access token", "the refresh token", "the code"]);
    canaries.0.push(("the verifier", invitation.verifier.clone()));
    canaries.0.push(("the password", PASSWORD.to_owned()));
    canaries.0.extend(owner.cookies().values().map(|value| ("a cookie", value.clone())));
    canaries.0.push(("the door", owner.door(checkpoint.base_url()).unwrap().to_owned()));
    for &revision in revisions {
        let mut mcp = checkpoint.talk(revision, Some(&tokens.access));
        assert_eq!(mcp.begin().await.status, 200);
        assert_eq!(mcp.tool(tool, json!({})).await.status, 200);
        assert_eq!(mcp.tool("no_such_tool", json!({})).await.status, 403);
        canaries.0.extend(mcp.session.clone().map(|session| ("a session", session)));
        // A token in the query, in the body, or beside a wrong one is refused, and is written nowhere (ATK-58).
        mcp.url = format!("{}?access_token={}", checkpoint.server(), tokens.access);
        mcp.token = None;
        assert_eq!(mcp.tool(tool, json!({ "access_token": tokens.access })).await.status, 401);
    }
    let renewed = agent.refresh(tokens.refresh.as_deref().unwrap()).await;
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    let renewed = Tokens::of(&renewed, &tokens.code);
    canaries.0.extend(Canaries::of(&renewed, ["the renewed token", "the renewed refresh token", "the code"]).0);
    assert_eq!(agent.redeem_code(&invitation, &tokens.code).await.status, 400, "a code works once");
    let revoked = agent.form_to("revocation_endpoint", &[("token", renewed.refresh.as_deref().unwrap())]).send().await;
    assert_eq!(revoked.status, 200);
    canaries
}

/// RS-37, RS-38, ATK-53, ATK-58: over HTTP, with a secret header of the operator's. The upstream writes down everything
/// that it receives.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_stands_in_no_log_no_file_and_no_request_behind() {
    for (speaks, revisions) in [
        (Speaks::Modern, &[Revision::V2026_07_28][..]),
        (Speaks::Legacy, &[Revision::V2025_11_25, Revision::V2025_06_18]),
    ] {
        let upstream = Upstream::start(speaks).await.unwrap();
        let checkpoint = Checkpoint::http(&upstream.url())
            .argument("--name")
            .argument("marked")
            .argument("--secret-header")
            .argument("X-Canary")
            .variable("X-Canary", SECRET)
            .variable("SEKISHO_LOG", "trace")
            .owner(OWNER, PASSWORD)
            .start()
            .await;
        let mut canaries = live_through(&checkpoint, revisions, "look").await;
        assert!(!upstream.calls().is_empty(), "calls arrive");
        for seen in upstream.seen() {
            canaries.search("a request to the upstream", seen.text().as_bytes());
            assert!(
                seen.headers.iter().any(|(name, value)| name == "x-canary" && value == SECRET),
                "its own credential does arrive"
            );
        }
        canaries.0.push(("the secret header", SECRET.to_owned()));
        let records = checkpoint.records().await;
        canaries.search("the records", serde_json::to_string(&records).unwrap().as_bytes());
        check_what_is_left(checkpoint, &canaries).await;
    }
}

/// RS-37, RS-38, ATK-53, ATK-58: with a child process and a secret variable. The child reports its whole environment,
/// and its standard error is part of the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_a_child_is_sealed_and_a_token_never_reaches_it() {
    let checkpoint = Checkpoint::program(node::everything_stdio())
        .argument("--name")
        .argument("child")
        .argument("--secret")
        .argument("CANARY_OF_CHILD")
        .variable("CANARY_OF_CHILD", CHILD_SECRET)
        .variable("SEKISHO_LOG", "trace")
        .owner(OWNER, PASSWORD)
        .start()
        .await;
    let mut canaries = live_through(&checkpoint, &[Revision::V2025_11_25], "get-env").await;
    let mut owner = Person::new(OWNER, PASSWORD);
    let (_, tokens) = checkpoint.let_in(&mut owner, "mcp:read mcp:write").await;
    let mut mcp = checkpoint.talk(Revision::V2025_11_25, Some(&tokens.access));
    mcp.begin().await;
    let environment = mcp.tool("get-env", json!({})).await.text();
    // Only the value itself is replaced, so the child had it.
    let replaced = r#""CANARY_OF_CHILD": "(removed by the checkpoint"#;
    assert!(environment.contains(replaced), "the child has what it was given: {environment}");
    canaries.0.extend(Canaries::of(&tokens, ["another token", "another refresh token", "another code"]).0);
    canaries.0.push(("the secret of the child", CHILD_SECRET.to_owned()));
    canaries.search("the environment of the child", environment.as_bytes());
    check_what_is_left(checkpoint, &canaries).await;
}

/// RS-37, RS-38: the secret of a confidential client is shown once, to the operator who created it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_secret_is_kept_as_its_digest() {
    let checkpoint = Checkpoint::notes().variable("SEKISHO_LOG", "trace").owner(OWNER, PASSWORD).start().await;
    let made = checkpoint
        .ask(&["client", "add", "backend", "--confidential", "--redirect-uri", "http://127.0.0.1:8765/callback"])
        .await;
    let text = |name: &str| made[0][name].as_str().or_else(|| made[0]["client"][name].as_str()).map(str::to_owned);
    let id = text("client_id").or_else(|| text("id")).unwrap_or_else(|| panic!("{made:#?}"));
    let secret = text("client_secret").or_else(|| text("secret")).unwrap_or_else(|| panic!("{made:#?}"));
    Agent::register(checkpoint.server()).await;
    let agent = Agent::known(checkpoint.server(), &id, Some(&secret)).await;
    let tokens = agent.be_let_in(&mut Person::new(OWNER, PASSWORD), Some("mcp:read")).await;
    let mut canaries = Canaries::of(&tokens, ["the access token", "the refresh token", "the code"]);
    canaries.0.push(("the client's secret", secret));
    check_what_is_left(checkpoint, &canaries).await;
}

/// Ends the checkpoint and searches everything that it wrote.
async fn check_what_is_left(checkpoint: Checkpoint, canaries: &Canaries) {
    let data = checkpoint.data_dir();
    canaries.search_folder(&data);
    let setup = checkpoint.folder().to_owned();
    assert!(setup.exists());
    let log = checkpoint.stderr().now();
    assert!(log.contains("TRACE"), "everything is logged, all {} bytes of it", log.len());
    canaries.search("standard output", checkpoint.process().stdout().now().as_bytes());
    canaries.search("the log", log.as_bytes());
}
