//! crates.io `rmcp` as a client for `scripts/clients`: the same story and output as `node/clients/driver.mjs`. Usage:
//! `client_rmcp URL FOLDER STEP...`
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "an observation: a step that fails ends it, with the reason"
)]

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, ClientConfig};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{
    AuthClient, AuthError, AuthorizationManager, AuthorizationRequest, CredentialStore, OAuthState, StoredCredentials,
};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};

type Client = RunningService<RoleClient, ClientConfig>;

const REDIRECT: &str = "http://localhost:3999/callback";

/// Stores the tokens in one file.
#[derive(Debug, Clone)]
struct InFile(PathBuf);

/// The return type of the methods of [`CredentialStore`]. The trait is declared with the macro `async_trait`, which is
/// not needed otherwise.
type Answer<'t, T> = Pin<Box<dyn Future<Output = Result<T, AuthError>> + Send + 't>>;

fn failed(error: impl ToString) -> AuthError {
    AuthError::InternalError(error.to_string())
}

impl CredentialStore for InFile {
    fn load<'a, 't>(&'a self) -> Answer<'t, Option<StoredCredentials>>
    where
        'a: 't,
        Self: 't,
    {
        let text = std::fs::read_to_string(&self.0).ok();
        Box::pin(async move { Ok(text.and_then(|text| serde_json::from_str(&text).ok())) })
    }

    fn save<'a, 't>(&'a self, credentials: StoredCredentials) -> Answer<'t, ()>
    where
        'a: 't,
        Self: 't,
    {
        let kept = serde_json::to_string(&credentials).map_err(failed);
        let kept = kept.and_then(|text| std::fs::write(&self.0, text).map_err(failed));
        Box::pin(async move { kept })
    }

    fn clear<'a, 't>(&'a self) -> Answer<'t, ()>
    where
        'a: 't,
        Self: 't,
    {
        let gone = std::fs::remove_file(&self.0).map_err(failed);
        Box::pin(async move { gone })
    }
}

/// Opens the authorization URL as a person who agrees at once. Returns the URL of the redirect.
async fn visit(url: &str) -> String {
    let http =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let answer = http.get(url).header("x-observed", "person").send().await.expect("the endpoint answers");
    answer.headers()["location"].to_str().expect("a URL").to_owned()
}

async fn manager(url: &str, folder: &Path) -> Result<AuthorizationManager, AuthError> {
    let store = InFile(folder.join("rmcp.json"));
    let mut kept = AuthorizationManager::new(url).await?;
    kept.set_credential_store(store.clone());
    if kept.initialize_from_store().await? {
        return Ok(kept);
    }
    let mut oauth = OAuthState::new(url, None).await?;
    let request = AuthorizationRequest::new(REDIRECT).with_client_name("observed").with_initial_scope_selection();
    if let OAuthState::Unauthorized(manager) = &mut oauth {
        manager.set_credential_store(store);
    }
    oauth.start_authorization(request).await?;
    let page = oauth.get_authorization_url().await?;
    oauth.handle_callback_url(&visit(&page).await).await?;
    oauth.into_authorization_manager().ok_or_else(|| AuthError::InternalError("not authorized".to_owned()))
}

async fn connected(url: &str, folder: &Path) -> Result<Client, String> {
    let manager = manager(url, folder).await.map_err(|error| error.to_string())?;
    let http = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
    let transport = StreamableHttpClientTransport::with_client(
        AuthClient::new(http, manager),
        StreamableHttpClientTransportConfig::with_uri(url),
    );
    let mode = ClientLifecycleMode::Initialize;
    ClientConfig::default().serve_with_lifecycle(transport, mode).await.map_err(|error| error.to_string())
}

async fn call(client: &Client, name: String) -> Value {
    let called =
        tokio::time::timeout(Duration::from_secs(20), client.call_tool(CallToolRequestParams::new(name.clone())));
    match called.await {
        Ok(Ok(result)) => json!({ "step": name, "result": result }),
        Ok(Err(error)) => {
            let mut message = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                message = format!("{message}: {inner}");
                cause = inner.source();
            }
            let data = if let rmcp::ServiceError::McpError(error) = &error { json!(error) } else { Value::Null };
            json!({ "step": name, "error": { "message": message, "code": data["code"], "data": data["data"] } })
        }
        Err(_) => json!({ "step": name, "error": { "message": "no answer in 20 s" } }),
    }
}

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1);
    let (url, folder) = (words.next().expect("a URL"), PathBuf::from(words.next().expect("a folder")));
    let report = match connected(&url, &folder).await {
        Err(message) => json!({ "ok": true, "connected": false, "error": { "message": message } }),
        Ok(client) => {
            let mut steps = Vec::new();
            for step in words {
                match step.strip_prefix("wait:") {
                    Some(time) => tokio::time::sleep(Duration::from_millis(time.parse().expect("milliseconds"))).await,
                    None => steps.push(call(&client, step).await),
                }
            }
            let _ = client.cancel().await;
            json!({ "ok": true, "connected": true, "steps": steps })
        }
    };
    println!("{report}");
}
