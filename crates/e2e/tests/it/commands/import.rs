//! `sekisho import`: moves servers from a client's file to a checkpoint, and leaves no secret behind.

use std::path::{Path, PathBuf};

use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::harness::wait::within;
use sekisho_e2e::harness::{Checkpoint, Finished, binary};
use serde_json::{Value, json};

use super::sekisho;

const PASSWORD: &str = "correct horse battery staple";
const SECRET: &str = "ghp_CANARYCANARYCANARY";

/// The content of the file is shown without its secrets. With `--write`, the file points to the checkpoint, the secret
/// is in a file that only we may read, and the checkpoint serves the imported server.
#[tokio::test(flavor = "multi_thread")]
async fn a_clients_servers_move_behind_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("mcp.json"));
    let config = folder.path().join("sekisho.toml");
    let program = binary().display().to_string();
    let before = format!(
        "{{\n  // mine\n  \"mcpServers\": {{\n    \"My Notes\": {{ \"command\": {}, \"args\": [\"bundled\", \"notes\"], \
         \"env\": {{ \"GITHUB_TOKEN\": \"{SECRET}\", \"LEVEL\": \"info\" }} }},\n  }},\n  \"other\": true\n}}\n",
        json!(program)
    );
    std::fs::write(&file, &before).unwrap();
    let words = |more: &[&str]| -> Vec<String> {
        let mut words =
            vec!["import".to_owned(), file.display().to_string(), "--config".into(), config.display().to_string()];
        words.extend(more.iter().map(|&word| word.to_owned()));
        words
    };
    let run = async |more: &[&str]| {
        let words = words(more);
        sekisho(&data, &words.iter().map(String::as_str).collect::<Vec<_>>(), "").await
    };

    let shown = run(&[]).await;
    assert!(shown.status.success(), "{}", shown.stderr);
    assert!(shown.stdout.contains("GITHUB_TOKEN") && shown.stdout.contains("Nothing was changed"), "{}", shown.stdout);
    assert!(!shown.stdout.contains("CANARY"), "{}", shown.stdout);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    assert!(!config.exists());

    let written = run(&["--write"]).await;
    assert!(written.status.success(), "{}", written.stderr);
    assert!(!written.stdout.contains("CANARY"), "{}", written.stdout);
    let after: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(
        after,
        json!({ "mcpServers": { "My Notes": { "url": "http://localhost:8420/mcp/my-notes" } }, "other": true })
    );
    let backup = folder.path().join("mcp.json.before-sekisho-1");
    assert_eq!(std::fs::read_to_string(&backup).unwrap(), before);
    let mode = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    let secret = data.join("imported/my-notes-GITHUB_TOKEN");
    assert_eq!((mode(&backup), mode(&secret)), (0o600, 0o600));
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), SECRET);
    let toml = std::fs::read_to_string(&config).unwrap();
    assert!(!toml.contains("CANARY") && toml.contains("LEVEL = \"info\""), "{toml}");

    // A second import is refused and changes nothing.
    std::fs::write(&file, &before).unwrap();
    let again = run(&["--write"]).await;
    assert_eq!(again.code(), Some(2), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    assert_eq!(std::fs::read_to_string(&config).unwrap(), toml);

    let checkpoint = Checkpoint::configured(&toml).owner("alice", PASSWORD).start().await;
    assert!(checkpoint.server().ends_with("/mcp/my-notes"), "{}", checkpoint.server());

    for (text, code) in [("{", 2), ("{\"mcp\":1}", 2)] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(run(&[]).await.code(), Some(code), "{text}");
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(run(&[]).await.code(), Some(3));
}

/// A client's file, a configuration and a data directory.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(servers: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mcp.json"), json!({ "mcpServers": servers }).to_string()).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn toml(&self) -> String {
        std::fs::read_to_string(self.path("s.toml")).unwrap()
    }

    fn servers(&self) -> Value {
        let text = std::fs::read_to_string(self.path("mcp.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["mcpServers"].take()
    }

    async fn run(&self, words: &[&str]) -> Finished {
        sekisho(&self.path("data"), words, "").await
    }

    async fn import(&self, more: &[&str]) -> Finished {
        let (file, config) = (self.path("mcp.json"), self.path("s.toml"));
        let mut words = vec!["import", file.to_str().unwrap(), "-c", config.to_str().unwrap()];
        words.extend(more);
        self.run(&words).await
    }
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// ATK-281: no recognised secret is shown or written into the configuration, whatever its name and form; the program
/// later gets its original value. Only we can read the configuration.
#[tokio::test]
async fn no_secret_of_a_clients_file_is_shown_or_written() {
    let servers = json!({
        "database": { "command": "npx", "args": ["-y", "some-db-server@1.0.0", "postgresql://app:CANARY-1@db.example.com:5432/app"] },
        "database-2": { "command": "uvx", "args": ["some-db-server==1.0"], "env": { "DATABASE_URI": "postgresql://app:CANARY-2@localhost/app", "DB_PASS": "CANARY-3", "MYSQL_PWD": "CANARY-4" } },
        "bridge": { "command": "npx", "args": ["-y", "some-bridge@1.0.0", "https://api.example.com/mcp", "--header", "Authorization: Bearer CANARY-5"] },
        "headers-in-env": { "command": "npx", "args": ["-y", "x@1.0.0"], "env": { "API_HEADERS": "{\"Authorization\": \"Bearer CANARY-6\"}" } },
        "connection": { "command": "x", "args": ["--connection-string", "Server=db;User=sa;Password=CANARY-7"] },
        "path": { "url": "https://mcp.example.com/api/s/CANARY8CANARY8CANARY8CANARY8CANARY8/mcp" },
        "cookie": { "url": "https://mcp.example.com/mcp", "headers": { "Cookie": "sid=CANARY-9", "X-Auth": "CANARY-10" } },
        "named": { "command": "x", "args": ["--team", "CANARY-11"], "env": { "PLAIN": "CANARY-12" } },
    });
    let desk = Desk::new(&servers);
    let secrets = ["--offline", "--secret", "team", "--secret", "PLAIN"];
    let wrong = desk.import(&["--offline", "--secret", "tema"]).await;
    assert_eq!(wrong.code(), Some(2), "{}", wrong.stderr);
    for more in [&[][..], &["--json"], &["--write"]] {
        let said = desk.import(&[&secrets[..], more].concat()).await;
        assert!(said.status.success(), "{}", said.stderr);
        assert!(!said.stdout.contains("CANARY") && !said.stderr.contains("CANARY"), "{more:?}: {}", said.stdout);
    }
    let toml = desk.toml();
    assert!(!toml.contains("CANARY"), "{toml}");
    assert_eq!(mode(&desk.path("s.toml")), 0o600);
    let mut kept = String::new();
    for entry in std::fs::read_dir(desk.path("data/imported")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        kept.push_str(&std::fs::read_to_string(path).unwrap());
        kept.push('\n');
    }
    for number in 1..=12 {
        let canary =
            if number == 8 { "CANARY8CANARY8CANARY8CANARY8CANARY8".to_owned() } else { format!("CANARY-{number}") };
        assert!(kept.contains(&canary), "{canary} is lost: {kept}");
    }
    let config = desk.path("s.toml").display().to_string();
    let checked = desk.run(&["check", "-c", &config]).await;
    assert_eq!(checked.code(), Some(0), "{}", checked.stderr);
    assert!(!checked.stderr.contains("CANARY") && !checked.stdout.contains("CANARY"), "{}", checked.stderr);
}

/// A reference becomes the same variable on the checkpoint's machine, with the same default. A variable that only the
/// client has stays with the client, and its file is not changed. `check` and `serve` report the same variables as
/// missing here. A secret from a command line is moved to a file, and reaches the program unchanged.
#[tokio::test(flavor = "multi_thread")]
async fn references_mean_what_they_meant() {
    let scratch = tempfile::tempdir().unwrap();
    let seen = scratch.path().join("seen");
    let program = scratch.path().join("program.sh");
    let body = format!(
        "#!/bin/sh\necho \"$IMPORT_TOKEN,$IMPORT_DIR,$WHO,$1\" > {}\nexec {} bundled notes\n",
        seen.display(),
        binary().display()
    );
    std::fs::write(&program, body).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let three =
        json!({ "command": "python3", "args": ["${workspaceFolder}/server.py"], "env": { "KEY": "${input:key}" } });
    let asks = json!({ "command": "python3", "env": { "KEY": "${input:key}" } });
    let desk = Desk::new(&json!({
        "one": { "command": program, "args": ["postgresql://app:CANARY@h/db"],
            "env": { "IMPORT_TOKEN": "${IMPORT_TOKEN}", "IMPORT_DIR": "${IMPORT_DIR:-a:b}", "WHO": "$USER" } },
        "two": { "type": "http", "url": "https://api.example.com/mcp", "headers": { "Authorization": "Bearer ${IMPORT_TOKEN}" } },
        "three": three,
        "asks": asks,
    }));
    let written = desk.import(&["--write", "--offline"]).await;
    assert!(written.status.success(), "{}", written.stderr);
    assert!(written.stdout.contains("it is not set here"), "{}", written.stdout);
    let (servers, toml) = (desk.servers(), desk.toml());
    assert_eq!((&servers["three"], &servers["asks"]), (&three, &asks));
    assert_eq!(servers["one"]["url"], "http://localhost:8420/mcp/one");
    assert!(toml.contains("Bearer ${env:IMPORT_TOKEN}") && toml.contains("${env:IMPORT_DIR:-a:b}"), "{toml}");
    assert!(!toml.contains("three") && !toml.contains("workspaceFolder"), "{toml}");
    let config = desk.path("s.toml").display().to_string();
    let checked = desk.run(&["check", "-c", &config]).await;
    let served = desk.run(&["serve", "-c", &config, "--listen", "127.0.0.1:0"]).await;
    assert_eq!((checked.code(), served.code()), (Some(1), Some(3)), "{}{}", checked.stderr, served.stderr);
    for said in [&checked.stderr, &served.stderr] {
        assert!(said.contains("the variable `IMPORT_TOKEN`, which is not set"), "{said}");
    }
    let setup = Checkpoint::configured(&toml).variable("IMPORT_TOKEN", "token").variable("USER", "somebody");
    let checkpoint = setup.owner("alice", PASSWORD).start().await;
    let proposed = checkpoint.command(&["server", "tools", "propose", "one"]).await;
    assert!(proposed.stdout.contains("[servers.one.tools]"), "{}{}", proposed.stdout, proposed.stderr);
    let told = within(super::WATCHED, "the program ran", async || std::fs::read_to_string(&seen).ok()).await;
    assert_eq!(told.trim(), "token,a:b,somebody,postgresql://app:CANARY@h/db");
}

/// No member is lost or switched on. Members that the checkpoint supports are written with its words; any other stays
/// with the client, which is reported.
#[tokio::test]
async fn no_member_of_an_entry_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let variables = folder.path().join(".env");
    std::fs::write(&variables, "LEVEL=info\nAPI_KEY=CANARY\n").unwrap();
    let off = json!({ "command": "node", "args": ["server.js"], "disabled": true });
    let old = json!({ "type": "sse", "url": "https://api.example.com/sse" });
    let list =
        json!({ "type": "local", "command": ["node", "server.js"], "environment": { "A": "b" }, "enabled": false });
    let missing = json!({ "command": "node", "envFile": "/nowhere/at/all/.env" });
    let desk = Desk::new(&json!({
        "folder": { "command": "node", "args": ["server.js"], "cwd": folder.path(), "envFile": variables },
        "off": off, "old-transport": old, "list": list, "empty": {}, "missing": missing,
        "typed": { "type": "http", "url": "https://api.example.com/mcp", "alwaysAllow": ["look"] },
        "stream": { "httpUrl": "https://api.example.com/mcp2", "trust": true },
    }));
    let written = desk.import(&["--write", "--offline"]).await;
    assert!(written.status.success(), "{}", written.stderr);
    let (servers, toml) = (desk.servers(), desk.toml());
    for (name, before) in
        [("off", &off), ("old-transport", &old), ("list", &list), ("empty", &json!({})), ("missing", &missing)]
    {
        assert_eq!(&servers[name], before, "{name}");
        assert!(!toml.contains(&format!("[servers.{name}]")), "{name}: {toml}");
    }
    assert_eq!(written.stdout.matches("  stays ").count(), 5, "{}", written.stdout);
    let typed = json!({ "type": "http", "url": "http://localhost:8420/mcp/typed", "alwaysAllow": ["look"] });
    assert_eq!(servers["typed"], typed);
    assert_eq!(servers["stream"], json!({ "httpUrl": "http://localhost:8420/mcp/stream", "trust": true }));
    let toml: toml::Table = toml.parse().unwrap();
    let server = &toml["servers"]["folder"];
    assert_eq!(server["directory"].as_str(), folder.path().to_str());
    assert_eq!(server["command"].as_array().unwrap().len(), 2);
    let kept = server["environment"]["API_KEY"].as_str().unwrap();
    let file = kept.strip_prefix("${file:").and_then(|file| file.strip_suffix('}')).unwrap();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "CANARY");
    assert!(server["environment"].get("LEVEL").is_some());
    assert_eq!(toml["servers"]["stream"]["url"].as_str(), Some("https://api.example.com/mcp2"));
}

/// A server that asks for a login stays with the client that logs in there; any other is moved.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_a_login_stays() {
    let (protected, open) = (Checkpoint::notes().start().await, Upstream::start(Speaks::Modern).await.unwrap());
    let login = json!({ "url": protected.server() });
    let bridge = json!({ "command": "npx", "args": ["-y", "mcp-remote@0.15.1", protected.server()] });
    let desk = Desk::new(
        &json!({ "login": login, "bridge": bridge, "open": { "url": open.url() }, "gone": { "url": "http://127.0.0.1:9/mcp" } }),
    );
    let written = desk.import(&["--write"]).await;
    assert!(written.status.success(), "{}", written.stderr);
    let servers = desk.servers();
    assert_eq!((&servers["login"], &servers["bridge"]), (&login, &bridge), "{}", written.stdout);
    assert_eq!(written.stdout.matches("logs in there by itself").count(), 2, "{}", written.stdout);
    for moved in ["open", "gone"] {
        assert_eq!(servers[moved]["url"], format!("http://localhost:8420/mcp/{moved}"));
    }
    assert!(written.stdout.contains("it was not seen whether it asks for a login"), "{}", written.stdout);
}

/// Two thousand servers whose names become the same here are imported within seconds, each with its own name.
#[tokio::test]
async fn two_thousand_equal_names_are_imported() {
    let servers: serde_json::Map<String, Value> = (0..2000)
        .map(|at| {
            (format!("日{}", "!".repeat(at)), json!({ "command": "x", "env": { "TOKEN": format!("CANARY-{at}") } }))
        })
        .collect();
    let desk = Desk::new(&Value::Object(servers));
    let written = desk.import(&["--write", "--offline"]).await;
    assert!(written.status.success(), "{}", written.stderr);
    let toml: toml::Table = desk.toml().parse().unwrap();
    assert_eq!(toml["servers"].as_table().unwrap().len(), 2000);
    assert_eq!(std::fs::read_dir(desk.path("data/imported")).unwrap().count(), 2000);
}
