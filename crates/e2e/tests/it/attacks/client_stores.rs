//! What several of our clients store in one folder: keys, tokens, registrations; and files of others that we rewrite.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use futures_util::future::join_all;
use sekisho_e2e::harness::{Finished, Outside};
use serde_json::json;

use super::issuers_outside::{Desk, Issuer, Manner, Visitor, flat};

/// How often tests that depend on timing are repeated. Decision 0053 refers to `SEKISHO_TEST_ROUNDS=200`, which takes
/// longer than nextest permits, so it is run with `cargo test -p sekisho-e2e --test it NAME`.
fn rounds() -> usize {
    std::env::var_os("SEKISHO_TEST_ROUNDS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(4)
}

fn issuer() -> Manner {
    Manner { registers: true, seconds: 600, ..Manner::default() }
}

/// Creates a keyring: a `secret-tool` that stores one file for each account, and refuses while there is a file
/// `locked`.
fn keyring(desk: &Desk, client: &Outside) -> Outside {
    let kept = desk.path("keyring");
    std::fs::create_dir_all(&kept).unwrap();
    let text = format!(
        "act=$1; for account; do :; done\n\
         kept='{0}'\n\
         if [ -e \"$kept/locked\" ]; then echo 'cannot be reached' >&2; exit 1; fi\n\
         case $act in\n\
         store) cat > \"$kept/$account.$$\" && mv \"$kept/$account.$$\" \"$kept/$account\" ;;\n\
         lookup) [ -e \"$kept/$account\" ] && cat \"$kept/$account\" ;;\n\
         clear) rm -f \"$kept/$account\" ;;\n\
         *) exit 2 ;;\n\
         esac",
        kept.display()
    );
    desk.program("secret-tool", &text);
    let path = std::env::var_os("PATH").and_then(|path| path.into_string().ok()).unwrap_or_default();
    let folder = desk.path("secret-tool").parent().unwrap().display().to_string();
    client.clone().variable("PATH", format!("{folder}:{path}")).variable("DBUS_SESSION_BUS_ADDRESS", "unix:path=/none")
}

const OWN: [&str; 5] = ["--client-id", "given", "--client-secret-env", "CLIENT_SECRET", "--client-credentials"];

fn given(desk: &Desk, folder: &Path) -> Outside {
    desk.client(folder).variable("CLIENT_SECRET", "secret")
}

/// Returns the token that all of them printed, if it is the same.
fn one_token(outcomes: &[Finished], round: usize) -> String {
    for outcome in outcomes {
        assert!(outcome.status.success(), "round {round}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, outcomes[0].stdout, "round {round}");
    }
    outcomes[0].stdout.clone()
}

/// ATK-211: eight clients start at the same time in a folder that does not exist yet, with a keyring and without one.
/// One of them requests a token, all of them get it, and what they stored can be opened afterwards.
/// `SEKISHO_TEST_ROUNDS` sets the number of rounds.
#[tokio::test(flavor = "multi_thread")]
async fn eight_clients_begin_at_once_in_a_fresh_folder() {
    let issuer = Issuer::start(issuer()).await;
    let server = issuer.server("a");
    let desk = Desk::new();
    for round in 0..rounds() {
        for with_keyring in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let client = given(&desk, &folder.path().join("data"));
            let client = if with_keyring { keyring(&desk, &client) } else { client };
            let before = issuer.asked().len();
            let words = [vec!["token", &server], OWN.to_vec()].concat();
            let outcomes = join_all((0..8).map(|_| client.run(&words))).await;
            let token = one_token(&outcomes, round);
            assert_eq!(issuer.asked().len() - before, 1, "round {round}, keyring: {with_keyring}");
            assert_eq!(client.run(&words).await.stdout, token, "round {round}, keyring: {with_keyring}");
            let key = std::fs::read_to_string(folder.path().join("data/client/key")).unwrap();
            assert_eq!(key.starts_with("keyring "), with_keyring, "round {round}");
        }
    }
    let keys = std::fs::read_dir(desk.path("keyring")).unwrap().count();
    assert_eq!(keys, rounds(), "one key in the keyring for each folder");
}

/// ATK-212: if something is sealed already, no new key is created: not without a session bus, not while the keyring
/// refuses, not when the file that names the key is gone. What was stored can be read again afterwards. A command that
/// only reads never creates a key.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_made_where_something_is_sealed() {
    let issuer = Issuer::start(issuer()).await;
    let server = issuer.server("a");
    let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
    let key = folder.path().join("client/key");
    let without = given(&desk, folder.path());
    let with = keyring(&desk, &without);
    let locked = desk.path("keyring/locked");
    for (client, words) in [
        (&with, vec!["whoami"]),
        (&without, vec!["whoami"]),
        (&with, vec!["token", &server]),
        (&without, vec!["token", &server]),
        (&without, vec!["logout", &server]),
    ] {
        let outcome = client.run(&words).await;
        assert_eq!(outcome.code(), Some(1), "{words:?}: {}", outcome.stderr);
        assert!(!key.exists(), "{words:?} made a key");
    }
    let own = [vec!["token", &server], OWN.to_vec()].concat();
    let token = with.run(&own).await;
    assert!(token.status.success(), "{}", token.stderr);
    let named = std::fs::read_to_string(&key).unwrap();
    let refused = async |client: &Outside, why: &str| {
        for words in [&own, &vec!["whoami"]] {
            let outcome = client.run(words).await;
            assert_eq!(outcome.code(), Some(3), "{why}: {}", outcome.stdout);
            assert!(flat(&outcome.stderr).contains("keyring"), "{why}: {}", outcome.stderr);
        }
    };
    refused(&without, "without a session bus").await;
    std::fs::write(&locked, "").unwrap();
    refused(&with, "with a keyring that says no").await;
    std::fs::remove_file(&locked).unwrap();
    assert_eq!(std::fs::read_to_string(&key).unwrap(), named);
    assert_eq!(with.run(&own).await.stdout, token.stdout);

    std::fs::rename(&key, folder.path().join("elsewhere")).unwrap();
    refused(&with, "without the file that names the key").await;
    assert!(!key.exists());
    std::fs::rename(folder.path().join("elsewhere"), &key).unwrap();
    assert_eq!(with.run(&own).await.stdout, token.stdout);
    assert_eq!(issuer.asked().len(), 1);
}

/// Logs in to these servers at the same time, and approves in every browser that is opened.
async fn log_in(desk: &Desk, client: &Outside, servers: &[String]) {
    let before = desk.command_lines().len();
    let logins: Vec<_> = servers.iter().map(|server| client.start(&["login", server])).collect();
    for nth in 1..=servers.len() {
        let page = Visitor::default().browse(&desk.opened(before + nth).await).await;
        assert!(page.text.contains("close this window"), "{page:?}");
    }
    for login in logins {
        assert!(login.ended().await.success(), "{}", login.stderr().now());
    }
}

/// ATK-209: two logins to one issuer at the same time. Each is refreshed once, as the client with which it was made;
/// nothing is lost, and both are given back. `SEKISHO_TEST_ROUNDS` sets the number of rounds.
#[tokio::test(flavor = "multi_thread")]
async fn two_logins_to_one_issuer_leave_each_other_alone() {
    let desk = Desk::new();
    for round in 0..rounds() {
        // The first token has to be refreshed at once, and the second one lives for ten minutes.
        let issuer = Issuer::start(Manner { seconds: 20, ..issuer() }).await;
        let folder = tempfile::tempdir().unwrap();
        let client = desk.client(folder.path());
        let servers = [issuer.server("a"), issuer.server("b")];
        log_in(&desk, &client, &servers).await;
        let words: Vec<[&str; 2]> = (0..4).map(|at| ["token", servers[at % 2].as_str()]).collect();
        let again = join_all(words.iter().map(|words| client.run(words))).await;
        for outcome in &again {
            assert!(outcome.status.success(), "round {round}: {}", outcome.stderr);
        }
        assert_eq!((&again[0].stdout, &again[1].stdout), (&again[2].stdout, &again[3].stdout), "round {round}");
        let refreshed = issuer.grants("refresh_token");
        assert!(refreshed.iter().all(|asked| asked.status == 200), "round {round}: {refreshed:#?}");
        assert_eq!((refreshed.len(), issuer.grants("authorization_code").len()), (2, 2), "round {round}");
        for server in &servers {
            let out = client.run(&["logout", server]).await;
            assert!(out.stdout.contains("was given back"), "round {round}: {}\n{}", out.stdout, out.stderr);
        }
        assert_eq!((issuer.living(), issuer.revoked().len()), (0, 2), "round {round}");
    }
}

/// ATK-210: another program uses the port of the first login's redirect URI, so the second login registers a new
/// client. The first login is still refreshed and given back as its own client.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_port_ends_no_other_login() {
    let issuer = Issuer::start(Manner { seconds: 20, ..issuer() }).await;
    let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
    let client = desk.client(folder.path());
    log_in(&desk, &client, &[issuer.server("a")]).await;
    let port = url::Url::parse(&issuer.redirects()[0]).unwrap().port().unwrap();
    let held = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    log_in(&desk, &client, &[issuer.server("b")]).await;
    drop(held);
    assert_eq!(issuer.clients(), 2);
    let first = issuer.grants("authorization_code")[0].client.clone();
    let out = client.run(&["logout", &issuer.server("a")]).await;
    assert!(out.stdout.contains("was given back"), "{}\n{}", out.stdout, out.stderr);
    assert_eq!(issuer.revoked()[0].client, first);
    assert_eq!(issuer.living(), 1);
    let other = client.run(&["token", &issuer.server("b")]).await;
    assert!(other.status.success(), "{}", other.stderr);
    // A new login gives the old grant back as well.
    let before = desk.command_lines().len();
    let login = client.start(&["login", &issuer.server("b"), "--again"]);
    Visitor::default().browse(&desk.opened(before + 1).await).await;
    assert!(login.ended().await.success(), "{}", login.stderr().now());
    assert_eq!(issuer.living(), 1);
}

/// ATK-213: a client is told to stop while its refresh is under way. It waits for the response first, because the
/// stored refresh token is used up. The next program can use the login.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_is_finished_before_the_end() {
    // These tokens have to be refreshed at every use.
    let issuer = Issuer::start(Manner { seconds: 20, refreshed_seconds: 20, ..issuer() }).await;
    let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
    let client = desk.client(folder.path());
    let server = issuer.server("a");
    for words in [["login", &server], ["token", &server], ["connect", &server]] {
        let (before, opened) = (issuer.grants("refresh_token").len(), desk.command_lines().len());
        issuer.hold();
        let mut refreshing = client.start(&words);
        match words[0] {
            "login" => {
                let page = Visitor::default().browse(&desk.opened(opened + 1).await).await;
                assert!(page.text.contains("close this window"), "{page:?}");
            }
            "connect" => {
                let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
                    "clientInfo": { "name": "t", "version": "1" } });
                let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
                refreshing.write(&format!("{hello}\n"));
            }
            _ => {}
        }
        issuer.arrived(u32::try_from(before).unwrap() + 1).await;
        refreshing.terminate();
        let told = refreshing.stderr().find(|text| text.contains("is finished first").then_some(())).await;
        issuer.release();
        refreshing.ended().await;
        let next = client.run(&["token", &server]).await;
        assert!(next.status.success(), "{words:?}: {}", next.stderr);
        let refreshed = issuer.grants("refresh_token");
        assert_eq!(refreshed.len(), before + 2, "{words:?}: {refreshed:#?}");
        assert!(refreshed.iter().all(|asked| asked.status == 200), "{words:?}: {refreshed:#?}");
        assert!(told.is_some(), "{words:?}: {}", refreshing.stderr().now());
    }
    assert_eq!(issuer.grants("authorization_code").len(), 1, "nobody had to log in again");
}

/// ATK-215: `import --write` keeps a file's mode, a link to it stays a link, and a link that somebody prepared beside
/// it is not followed.
#[tokio::test(flavor = "multi_thread")]
async fn an_imported_file_stays_what_it_was() {
    let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let client = desk.client(&path("data"));
    for (round, wanted) in [(0, 0o600), (1, 0o640), (2, 0o644)] {
        let (file, link) = (path(&format!("real-{round}.json")), path(&format!("mcp-{round}.json")));
        let config = path(&format!("sekisho-{round}.toml"));
        let victim = path("victim");
        std::fs::write(&victim, "untouched").unwrap();
        let before = json!({ "mcpServers": { "n": { "url": "https://mcp.example.com/mcp" } } }).to_string();
        std::fs::write(&file, before).unwrap();
        std::fs::write(&config, "# mine\n").unwrap();
        for each in [&file, &config] {
            std::fs::set_permissions(each, std::fs::Permissions::from_mode(wanted)).unwrap();
            symlink(&victim, format!("{}.new", each.display())).unwrap();
        }
        symlink(&file, &link).unwrap();
        symlink(&victim, format!("{}.new", link.display())).unwrap();
        let (from, to) = (link.display().to_string(), config.display().to_string());
        let done = client.run(&["import", &from, "--write", "--offline", "--config", &to]).await;
        assert!(done.status.success(), "{}", done.stderr);
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched", "{round}");
        assert!(link.symlink_metadata().unwrap().is_symlink(), "{round}");
        assert!(std::fs::read_to_string(&file).unwrap().contains("/mcp/n"), "{round}");
        assert!(std::fs::read_to_string(&config).unwrap().contains("[servers.n]"), "{round}");
        assert_eq!((mode(&file), mode(&config)), (wanted, wanted), "{round}");
    }
}
