use sekisho_acts::command::Command;
use sekisho_protocol::role::Role;

use super::{Instance, Parts, Source, advertises_localhost, base_url, check_base_url, hosts, stored_port};
use crate::config::{Configuration, Tls};
use crate::control::{Control, Reply};
use crate::data_dir::DataDir;

/// AS-03, AS-07, RS-06: an issuer identifier has one spelling and is https, but for loopback.
#[test]
fn a_base_url_is_bare_and_secure() {
    for good in
        ["https://mcp.example.com", "https://mcp.example.com:8443", "http://localhost:8420", "http://127.0.0.1:1"]
    {
        assert_eq!(check_base_url(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "mcp.example.com",
        "http://mcp.example.com",
        "https://mcp.example.com/",
        "https://mcp.example.com/x",
        "https://h?q",
        "https://h#f",
        "https://u@h",
        "https://H.example",
        "https://h:443",
        "ftp://h",
    ] {
        assert!(check_base_url(bad).is_err(), "{bad}");
    }
}

/// With TLS and no base URL, clients are told `https`; and what was stored once is not changed by a setting.
#[tokio::test]
async fn without_a_base_url_the_scheme_is_the_one_that_is_spoken() {
    let plain = Configuration::default();
    let tls = Tls { cert: Some("cert.pem".into()), key: Some("key.pem".into()), ..Tls::default() };
    let tls = Configuration { tls, ..Configuration::default() };
    for (configuration, other, expected) in
        [(&plain, &tls, "http://localhost:8420"), (&tls, &plain, "https://localhost:8420")]
    {
        let folder = tempfile::tempdir().unwrap();
        let store = DataDir::open(Some(folder.path())).unwrap().store().await.unwrap();
        for _ in 0..2 {
            assert_eq!(base_url(&store, configuration, 8420).await.unwrap(), expected);
        }
        assert!(advertises_localhost(&store, None).await);
        assert_eq!(stored_port(&store).await, Some(8420));
        let error = base_url(&store, other, 8420).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(base_url(&store, configuration, 8421).await.is_err());
    }
}

/// Whoever was just added can be let in at once, and who is shut out is out: nothing follows the feed here.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_did_is_in_force_when_the_command_returns() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(Some(folder.path())).unwrap();
    let (lock, store) = (data.lock().unwrap().unwrap(), data.store().await.unwrap());
    let (configuration, source) = (Configuration::default(), Source::Store);
    let instance = Instance::start(Parts { data, lock, store, configuration, source, port: 1 }).await.unwrap();
    let control = Control::of(&instance);
    let mut rights = instance.rights.subscribe();
    for act in [
        Command::UserAdd { name: "bob".to_owned(), role: Role::User, password: None },
        Command::UserRole { name: "bob".to_owned(), role: Role::Administrator },
        Command::UserDisable { name: "bob".to_owned() },
    ] {
        assert!(!rights.has_changed().unwrap(), "{act:?}");
        let reply = control.perform(act).await;
        assert!(matches!(reply, Reply::Done(_)), "{reply:?}");
        assert!(rights.has_changed().unwrap());
        rights.mark_unchanged();
    }
}

#[test]
fn a_loopback_address_has_three_spellings() {
    assert_eq!(hosts("http://localhost:8420"), ["localhost:8420", "127.0.0.1:8420", "[::1]:8420"]);
    assert_eq!(hosts("https://mcp.example.com"), ["mcp.example.com"]);
}
