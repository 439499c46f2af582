use sekisho_console::acts::Act;
use sekisho_protocol::role::Role;

use super::{Instance, Parts, Source, check_base_url, hosts};
use crate::config::Configuration;
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
        Act::UserAdd { name: "bob".to_owned(), role: Role::User, password: None },
        Act::UserRole { name: "bob".to_owned(), role: Role::Administrator },
        Act::UserDisable { name: "bob".to_owned() },
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
