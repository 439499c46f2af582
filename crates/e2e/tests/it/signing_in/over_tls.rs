//! A provider behind https: our cookies are `__Host-` cookies, all the way.

use sekisho_e2e::fakes::documents::certificate;
use sekisho_e2e::fakes::provider::Provider;
use sekisho_e2e::fakes::provider::profile::Behaves;
use sekisho_e2e::harness::{Checkpoint, Chromium};
use serde_json::{Value, json};

use super::free_port;
use crate::attacks::providers::{PASSWORD, table};

/// PX-06: sign-in at a provider and sign-out over https, in a real browser: every cookie of ours is a `__Host-` cookie, and
/// there is no door.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_over_https_has_host_cookies_only() {
    let provider = Provider::start(Behaves::Generic).await.unwrap();
    let port = free_port();
    let made = certificate(&["localhost"]);
    let login = table("corp", &provider, "sign_out_there = \"offer\"");
    let setup = Checkpoint::configured_at(&format!("127.0.0.1:{port}"), "");
    let folder = setup.folder().to_owned();
    std::fs::write(folder.join("cert.pem"), &made.cert).unwrap();
    std::fs::write(folder.join("key.pem"), &made.key).unwrap();
    let toml = format!(
        "base_url = \"https://localhost:{port}\"\n[tls]\ncert = \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"\n[login]\n{login}",
        folder.display()
    );
    std::fs::write(folder.join("sekisho.toml"), toml).unwrap();
    let checkpoint = setup.owner("alice", PASSWORD).start().await;
    let base = checkpoint.base_url().to_owned();
    assert!(base.starts_with("https://"), "{base}");
    let mut browser = Chromium::trusting_all().await;
    browser.goto(&format!("{base}/login")).await;
    browser.press("Sign in with The Company").await;
    let home = browser.expect("Signed in as corp:ada").await;
    assert_eq!(home["url"], format!("{base}/"), "no door");
    let cookies = browser.step(&json!({ "cookies": true })).await["cookies"].as_array().unwrap().clone();
    let ours: Vec<&Value> = cookies.iter().filter(|cookie| cookie["domain"] == "localhost").collect();
    assert_eq!(ours.len(), 3, "{cookies:#?}");
    for cookie in ours {
        assert!(cookie["name"].as_str().unwrap().starts_with("__Host-"), "{cookie}");
        assert!(cookie["secure"] == true && cookie["httpOnly"] == true && cookie["path"] == "/", "{cookie}");
        assert_eq!(cookie["sameSite"], "Lax", "{cookie}");
    }
    browser.goto(&format!("{base}/ways")).await;
    let ways = browser.expect("Ways to sign in").await;
    assert!(ways["text"].as_str().unwrap().contains("ada-1"), "{ways:#}");
    browser.press("Sign out").await;
    browser.press("Sign out at The Company").await;
    let back = browser.expect("sent you back").await;
    assert!(back["url"].as_str().unwrap().starts_with(&format!("{base}/login/corp/signed-out")), "{back:#}");
    let cookies = browser.step(&json!({ "cookies": true })).await["cookies"].as_array().unwrap().clone();
    assert!(cookies.iter().all(|cookie| cookie["name"] != "__Host-sekisho"), "the session is gone: {cookies:#?}");
}
