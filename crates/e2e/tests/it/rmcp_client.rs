//! The Rust SDK as a client, with its own OAuth, and a real browser for the person.

use rmcp::ServiceError;
use rmcp::model::{CallToolRequestParams, ClientConfig, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationManager, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use sekisho_e2e::harness::{Checkpoint, REDIRECT, node};
use serde_json::{Value, json};

use crate::clients::{BOTH_ERAS, EVERYTHING, OWNER, PASSWORD, Tools, decision_on, everything_over_stdio, over_http};
use crate::picture::steady;

type Client = RunningService<RoleClient, ClientConfig>;

/// Does discovery, registration, approval by a person in Chromium, and the exchange of the code.
async fn authorized(checkpoint: &Checkpoint, tools: &Tools) -> AuthorizationManager {
    let mut oauth = OAuthState::new(checkpoint.server(), None).await.expect("a URL");
    let request =
        AuthorizationRequest::new(REDIRECT).with_client_name("End-to-end rmcp").with_initial_scope_selection();
    oauth.start_authorization(request).await.expect("discovery and registration go well");
    let url = oauth.get_authorization_url().await.expect("there is an address to open");
    let class = format!("{}=destructive", tools.refused.0);
    let arguments = [url.as_str(), "--user", OWNER, "--password", PASSWORD, "--class", &class];
    let seen = node::run("browser", &arguments).await.worked().result;
    oauth.handle_callback_url(seen["redirect"].as_str().expect("a redirect")).await.expect("the code is redeemed");
    oauth.into_authorization_manager().expect("it is authorized")
}

async fn connected(checkpoint: &Checkpoint, manager: AuthorizationManager, lifecycle: ClientLifecycleMode) -> Client {
    let http = rmcp_reqwest();
    let transport = StreamableHttpClientTransport::with_client(
        AuthClient::new(http, manager),
        StreamableHttpClientTransportConfig::with_uri(checkpoint.server()),
    );
    ClientConfig::default().serve_with_lifecycle(transport, lifecycle).await.expect("the server is met")
}

/// Returns a client of rmcp's own version of the library, which uses no proxy.
fn rmcp_reqwest() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client can be made")
}

async fn call(client: &Client, (name, arguments): (&'static str, &str)) -> Result<Value, ServiceError> {
    let arguments = serde_json::from_str(arguments).expect("arguments are JSON");
    let result = client.call_tool(CallToolRequestParams::new(name).with_arguments(arguments)).await?;
    Ok(serde_json::to_value(result).expect("a result is JSON"))
}

/// Returns what the library shows its caller of an error.
fn described(error: &ServiceError) -> Value {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        causes.push(inner.to_string());
        cause = inner.source();
    }
    let data = if let ServiceError::McpError(error) = error { json!(error) } else { Value::Null };
    json!({ "message": error.to_string(), "causes": causes, "data": data, "challenge": error.auth_challenge() })
}

async fn story(checkpoint: &Checkpoint, tools: &Tools, lifecycle: ClientLifecycleMode) -> String {
    let manager = authorized(checkpoint, tools).await;
    let client = connected(checkpoint, manager, lifecycle).await;
    let spoken = client.peer().peer_info().expect("it has met the server").protocol_version.to_string();
    let listed = client.list_all_tools().await.expect("the list is shown");
    assert!([tools.permitted.0, tools.refused.0].iter().all(|name| listed.iter().any(|tool| tool.name == *name)));
    let good = call(&client, tools.permitted).await.expect("what is permitted is answered");
    let refused = call(&client, tools.refused).await.expect_err("what was not granted is refused");
    assert_eq!(decision_on(checkpoint, tools.refused.0).await, "step_up");
    let shown = json!({ "client": "rmcp 3.11", "protocol": spoken, "permitted": good, "refused": described(&refused) });
    client.cancel().await.expect("it ends");
    steady(&shown, checkpoint)
}

fn newest() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

/// RS-13, RS-19, RS-21: in the older revisions at the reference server.
#[tokio::test(flavor = "multi_thread")]
async fn rmcp_calls_a_stdio_server_and_shows_a_refusal() {
    let checkpoint = everything_over_stdio().await;
    let shown = story(&checkpoint, &EVERYTHING, ClientLifecycleMode::Initialize).await;
    insta::assert_snapshot!("rmcp_legacy_refusal", shown);
}

/// RS-13, RS-19, RS-21: in 2026-07-28 over HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn rmcp_calls_an_http_server_and_shows_a_refusal() {
    let upstream = node::serve::<&str>("upstream", &[]).await;
    let checkpoint = over_http(&upstream).await;
    let shown = story(&checkpoint, &BOTH_ERAS, newest()).await;
    insta::assert_snapshot!("rmcp_modern_refusal", shown);
}
