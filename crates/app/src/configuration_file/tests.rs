use super::Reader;

fn mistakes(text: &str) -> Vec<(String, String)> {
    let loaded = Reader::new("test.toml", text).read();
    let place = |range: &std::ops::Range<usize>| text.get(range.clone()).unwrap_or_default().to_owned();
    loaded
        .mistakes
        .iter()
        .filter(|mistake| mistake.fatal)
        .map(|mistake| (mistake.message.clone(), place(&mistake.span)))
        .collect()
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let text = r#"
listen = "nowhere"
surprise = 1
[tls]
cert = "a.pem"
[servers.Notes]
command = ["notes"]
acess = "public"
everyone = "sometimes"
[servers.both]
command = ["a"]
url = "https://h/"
[servers.neither]
title = "x"
[servers.asks]
url = "ftp://h"
scopes_default = ["offline_access"]
"#;
    let found = mistakes(text);
    let places: Vec<&str> = found.iter().map(|(_, place)| place.as_str()).collect();
    for expected in [
        "\"nowhere\"",
        "surprise",
        "Notes",
        "acess",
        "\"sometimes\"",
        "\"https://h/\"",
        "neither",
        "\"ftp://h\"",
        "[\"offline_access\"]",
        "tls",
    ] {
        assert!(places.contains(&expected), "{expected} is not among {found:#?}");
    }
}

#[test]
fn a_misspelt_member_gets_a_suggestion() {
    let loaded = Reader::new("test.toml", "[servers.a]\ncomand = [\"x\"]\n").read();
    let help: Vec<_> = loaded.mistakes.iter().filter_map(|mistake| mistake.help.clone()).collect();
    assert!(help.iter().any(|help| help == "did you mean `command`?"), "{help:?}");
}

#[test]
fn text_that_is_no_toml_is_a_mistake_and_not_a_crash() {
    for text in ["[", "a = ", "a = 1\na = 2", "\u{0}", "[servers]\nx = 1", "servers = 3", &"[a]\n".repeat(2000)] {
        assert!(!mistakes(text).is_empty(), "{text:?}");
    }
}

#[test]
fn the_starting_configuration_has_no_mistake() {
    let text = include_str!("../../../../examples/sekisho.toml");
    let loaded = Reader::new("sekisho.toml", text).read();
    assert!(loaded.mistakes.is_empty(), "{:?}", loaded.mistakes);
    assert_eq!(loaded.configuration.servers.len(), 1);
}

/// RS-42, AS-07, RS-02: beyond loopback, tokens do not travel over plain HTTP unless the file says what protects them.
#[test]
fn plain_http_beyond_loopback_is_a_mistake() {
    let server = "[servers.a]\ncommand = [\"x\"]\n";
    assert_eq!(mistakes(&format!("listen = \"0.0.0.0:80\"\n{server}")).len(), 1);
    assert!(mistakes(&format!("listen = \"0.0.0.0:80\"\ntls.terminated_in_front = true\n{server}")).is_empty());
    assert!(mistakes(&format!("listen = \"127.0.0.1:80\"\n{server}")).is_empty());
}

/// RS-11: a server does not demand `offline_access`.
#[test]
fn a_server_cannot_demand_offline_access() {
    assert_eq!(
        mistakes("[servers.a]\ncommand = [\"x\"]\nscopes_default = [\"mcp:read\", \"offline_access\"]\n").len(),
        1
    );
}

/// The checkpoint itself is a server like a program or a URL: one of them, and shown no credential.
#[test]
fn the_checkpoint_itself_is_nothing_else() {
    assert!(mistakes("[servers.own]\nbuiltin = true\nclosed_world = [\"explain\"]\n").is_empty());
    for more in ["command = [\"x\"]", "url = \"https://h/\"", "environment = { A = \"b\" }", "headers = { A = \"b\" }"]
    {
        assert!(!mistakes(&format!("[servers.own]\nbuiltin = true\n{more}\n")).is_empty(), "{more}");
    }
}

#[test]
fn a_public_server_is_warned_about() {
    let loaded = Reader::new("test.toml", "[servers.a]\ncommand = [\"x\"]\naccess = \"public\"\n").read();
    assert!(loaded.is_usable());
    assert_eq!(loaded.mistakes.len(), 1);
}

/// A secret that stands in the file is not printed with a mistake, and every other byte stays at its place.
#[test]
fn a_secret_in_the_file_is_not_shown() {
    let text = "client_secret = \"a \u{e9} secret\"\nsecret=\"x\" # y\nclient_secret = \"${env:A}\"\nname = \"secret\"\nsecret = 1\n";
    let shown = super::shown(text);
    assert_eq!(shown.len(), text.len());
    assert_eq!(
        shown,
        "client_secret = \"***********\"\nsecret=\"*\" # y\nclient_secret = \"${env:A}\"\nname = \"secret\"\nsecret = 1\n"
    );
}
