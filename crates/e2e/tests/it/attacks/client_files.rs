//! Configurations and clients' files, before anything is started from them.

use sekisho_e2e::fakes::call::{modern, tool};
use sekisho_e2e::harness::{Checkpoint, sekisho_alone};
use serde_json::{Value, json};

use super::field::{Field, OWNER, PASSWORD, UP};
use super::hostile::User;

/// ATK-228: a URL that would not be called, or a header that would not be sent, is an error of the configuration. The
/// rule for it is that of the client that calls.
#[tokio::test]
async fn what_would_not_be_called_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let server = "[servers.x]\nurl = \"https://h.example/mcp\"\n";
    let webhook = |url: &str| format!("{server}[webhook]\nurl = \"{url}\"\nsecret = \"0123456789abcdef01234567\"\n");
    let heads = |url: &str| format!("{server}[audit]\nheads = \"{url}\"\n");
    let upstream = |line: &str| format!("[servers.x]\n{line}\n");
    let bad_urls = [
        "http://collector.example/x",
        "https://10.0.0.5/x",
        "https://169.254.169.254/x",
        "https://[fd00::1]/x",
        "https://localhost/x",
        "https://user:word@h.example/x",
        "https://h.example:25/x",
        "https://h.example:6379/x",
        "https://h.example/x#y",
    ];
    let mut cases: Vec<(String, bool)> = Vec::new();
    for url in bad_urls {
        cases.extend([(webhook(url), false), (heads(url), false)]);
    }
    for url in ["https://h.example/x", "http://127.0.0.1:9999/x", "http://localhost:9999/x"] {
        cases.extend([(webhook(url), true), (heads(url), true)]);
    }
    let allowed = |text: String| format!("{text}[outbound]\nallow_private = [\"10.0.0.0/8\"]\n");
    cases.extend([(allowed(webhook("https://10.0.0.5/x")), true), (allowed(heads("https://10.1.0.5/x")), true)]);
    cases.extend([
        (upstream("url = \"https://user:word@h.example/mcp\""), false),
        (upstream("url = \"https://h.example/mcp\"\nheaders = { \"a b\" = \"c\" }"), false),
        (upstream("url = \"https://h.example/mcp\"\nheaders = { A = \"b\\nc\" }"), false),
        (upstream("command = [\"x\"]\nenvironment = { \"A=B\" = \"c\" }"), false),
        (upstream("command = [\"x\"]\nenvironment = { A = \"b\\u0000c\" }"), false),
        (upstream("url = \"https://h.example/mcp\"\nheaders = { A = \"${env:SEKISHO_TEST_NOT_SET}\" }"), false),
        (upstream("url = \"https://h.example/mcp\"\nheaders = { A = \"${file:/nowhere/at/all}\" }"), false),
        (upstream("url = \"https://${env:SEKISHO_TEST_NOT_SET}/mcp\""), false),
        (upstream("command = [\"x\", \"${env:SEKISHO_TEST_NOT_SET}\"]"), false),
        (upstream("command = [\"x\", \"${env:SEKISHO_TEST_NOT_SET:-y}\", \"${HOME}\"]"), true),
        (upstream("url = \"http://10.0.0.5:8080/mcp\"\nheaders = { Authorization = \"Bearer ${env:PATH}\" }"), true),
    ]);
    let file = folder.path().join("sekisho.toml");
    for (text, good) in cases {
        std::fs::write(&file, &text).unwrap();
        let finished = sekisho_alone(&["check", "-c", &file.display().to_string()]).await;
        assert_eq!(finished.code(), Some(i32::from(!good)), "{text}\n{}{}", finished.stdout, finished.stderr);
    }
}

/// ATK-229: the servers in a client's file are imported as far as the checkpoint supports them. `${file:…}` in it reads
/// no file of ours; two headers whose names become the same get two files; an entry of unknown form stays in the file,
/// and the configuration works.
#[tokio::test]
async fn a_clients_file_reads_none_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    let (file, config) = (folder.path().join("mcp.json"), folder.path().join("sekisho.toml"));
    let secret = folder.path().join("private");
    std::fs::write(&secret, "CANARY").unwrap();
    let read = format!("${{file:{}}}", secret.display());
    let before = json!({ "mcpServers": {
        "good": { "url": "https://h.example/mcp", "headers": { "X-Api-Key": "one-one-one", "XApi_Key": "two-two-two",
            "X-Api_Key": "three-three", "Authorization": "Bearer ${env:HOME}" } },
        "reads": { "url": "https://evil.example/mcp", "headers": { "X-Note": read } },
        "reads, too": { "command": "x", "env": { "NOTE": format!("a{read}b") } },
        "asks": { "command": "x", "env": { "TOKEN": "${input:token}" } },
        "other": { "httpUrl": "https://h.example/mcp" },
        "none": 7,
    } });
    std::fs::write(&file, before.to_string()).unwrap();
    let user = User::new(folder.path(), false);
    let (file_name, config_name) = (file.display().to_string(), config.display().to_string());
    let words = ["import", &file_name, "--config", &config_name, "--write", "--offline"];
    let finished = user.client.run(&words).await;
    assert!(finished.status.success(), "{}{}", finished.stdout, finished.stderr);
    let after: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    for name in ["reads", "reads, too", "asks", "none"] {
        assert_eq!(after["mcpServers"][name], before["mcpServers"][name], "{name}");
    }
    assert_eq!(after["mcpServers"]["good"]["url"], "http://localhost:8420/mcp/good");
    assert_eq!(after["mcpServers"]["other"], json!({ "httpUrl": "http://localhost:8420/mcp/other" }));
    let toml = std::fs::read_to_string(&config).unwrap();
    assert!(!toml.contains("private") && !toml.contains("input:"), "{toml}");
    let mut kept: Vec<String> = toml
        .split("${file:")
        .skip(1)
        .map(|rest| std::fs::read_to_string(rest.split('}').next().unwrap()).unwrap())
        .collect();
    kept.sort();
    assert_eq!(kept, ["one-one-one", "three-three", "two-two-two"], "{toml}");
    assert!(toml.contains("Bearer ${env:HOME}"), "{toml}");
    let checked = user.client.run(&["check", "-c", &config_name]).await;
    assert!(checked.status.success(), "{}{}", checked.stdout, checked.stderr);
    Checkpoint::configured(&toml).owner(OWNER, PASSWORD).start().await.stop().await;
}

/// ATK-230: calls of the checkpoint's own tools do not lead to advice about scopes, rules or tasks.
#[tokio::test]
async fn no_advice_is_about_our_own_tools() {
    let upstream =
        sekisho_e2e::fakes::upstream::Upstream::start(sekisho_e2e::fakes::upstream::Speaks::Modern).await.unwrap();
    let toml = format!(
        "[servers.up]\nurl = \"{}\"\neveryone = \"write\"\nagent_tasks = true\ntools = {{ look = \"read\", keep = \"write\", wipe = \"destructive\" }}\n",
        upstream.url()
    );
    let checkpoint = Checkpoint::configured(&toml).owner(OWNER, PASSWORD).start().await;
    let port = checkpoint.base_url().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
    let field = Field { checkpoint, upstream, address: std::net::SocketAddr::from(([127, 0, 0, 1], port)) };
    let granted = field.granted(OWNER, "mcp:read mcp:write").await;
    assert_eq!(field.ask(&tool(UP, &granted.access, "look")).await.status, 200);
    let task = json!({ "name": "begin_task", "arguments": { "purpose": "look", "tools": [{ "name": "look" }] } });
    let begun = field.ask(&modern(UP, &granted.access, "tools/call", task)).await;
    assert!(begun.status == 200 && begun.json()["result"]["isError"] != true, "{}", begun.text());
    let end = json!({ "name": "end_task", "arguments": {} });
    let ended = field.ask(&modern(UP, &granted.access, "tools/call", end)).await;
    assert_eq!(ended.status, 200, "{}", ended.text());
    field.recorded("the calls", |event| event["target"] == "end_task" || event.to_string().contains("end_task")).await;
    let advice = field.checkpoint.ask(&["advise"]).await;
    let text = serde_json::to_string(&advice).unwrap();
    assert!(text.contains("look"), "{text}");
    assert!(!text.contains("begin_task") && !text.contains("end_task"), "{text}");
}
