use super::{RedirectUri, RedirectUriError, loopback_parts};

fn uri(text: &str) -> RedirectUri {
    RedirectUri::parse(text).unwrap()
}

/// AS-10, RFC 8252 §7.3: only the port of a loopback redirect may differ.
#[test]
fn the_port_of_a_loopback_redirect_is_free() {
    assert!(uri("http://127.0.0.1/cb").admits("http://127.0.0.1:51763/cb"));
    assert!(uri("http://127.0.0.1:1/cb").admits("http://127.0.0.1:2/cb"));
    assert!(uri("http://localhost:1/cb").admits("http://localhost/cb"));
    assert!(uri("http://[::1]:1/cb").admits("http://[::1]:2/cb"));
    assert!(uri("http://[::1]/cb").admits("http://[::1]:2/cb"));
    assert!(!uri("http://127.0.0.1/cb").admits("http://localhost/cb"));
    assert!(!uri("http://127.0.0.1/cb").admits("http://127.0.0.2/cb"));
    assert!(!uri("https://c.test/cb").admits("https://c.test:444/cb"));
    assert!(!uri("https://localhost/cb").admits("https://localhost:444/cb"));
}

/// AS-08: plain http is for loopback only.
#[test]
fn plain_http_is_for_loopback_only() {
    assert!(RedirectUri::parse("http://evil.example/cb").is_err());
    assert!(RedirectUri::parse("http://localhost.evil.example/cb").is_err());
    assert!(RedirectUri::parse("http://127.0.0.1.evil.example/cb").is_err());
}

/// ATK-03: schemes that run code, read files or belong to nobody; also in disguise.
#[test]
fn a_dangerous_scheme_cannot_be_registered() {
    let schemes = [
        "javascript",
        "data",
        "file",
        "vbscript",
        "blob",
        "intent",
        "about",
        "ftp",
        "ws",
        "myapp",
        "chrome",
        "view-source",
        "mailto",
        "tel",
    ];
    for scheme in schemes {
        for text in [
            format!("{scheme}:alert(1)"),
            format!("{scheme}://host/path"),
            format!(" {scheme}:x"),
            format!("\t{scheme}:x"),
            format!("{}:x", scheme.to_uppercase()),
            format!("java\nscript:{scheme}"),
        ] {
            assert!(RedirectUri::parse(&text).is_err(), "{text}");
        }
    }
    assert!(RedirectUri::parse("com.example.app:/oauth").is_ok());
    assert!(RedirectUri::parse("cursor://anysphere.cursor-mcp/oauth/callback").is_ok());
}

/// ATK-05: a registered redirect cannot carry what the response sets.
#[test]
fn a_redirect_with_a_reserved_parameter_is_refused() {
    for name in ["code", "state", "iss", "error", "error_description", "%63ode"] {
        assert!(RedirectUri::parse(&format!("https://c.test/cb?{name}=x")).is_err(), "{name}");
    }
    assert!(RedirectUri::parse("https://c.test/cb?tenant=1").is_ok());
}

/// AS-08: what two readers could take for different addresses is none, and there is a longest one.
#[test]
fn an_address_that_could_be_read_in_two_ways_cannot_be_registered() {
    let start = "https://c.test/";
    let of_bytes = |bytes: usize| format!("{start}{}", "x".repeat(bytes - start.len()));
    assert!(RedirectUri::parse(&of_bytes(RedirectUri::BYTES_MAX)).is_ok());
    let mut bad = vec![of_bytes(RedirectUri::BYTES_MAX + 1)];
    bad.extend("#\\\"<>`{}|^".chars().map(|character| format!("https://c.test/cb?a={character}")));
    bad.extend(["https://c.test:/cb", "https://c.test:0443/cb", "https://c.test./cb"].map(str::to_owned));
    bad.extend(["/./cb", "/x/../cb", "/%2e/cb", "/.%2E/cb", "/cb/.."].map(|path| format!("https://c.test{path}")));
    bad.extend(["%00", "%0d", "%0A", "%2f", "%5C"].map(|encoded| format!("https://c.test/a{encoded}b")));
    for text in bad {
        assert_eq!(RedirectUri::parse(&text), Err(RedirectUriError::Malformed), "{text}");
    }
}

/// RFC 8252 §7.1: a private-use scheme is a domain name in reverse, label by label.
#[test]
fn a_private_use_scheme_is_a_reversed_domain() {
    for (text, fits) in [
        ("com.example.app:/cb", true),
        ("com.my-app:/cb", true),
        ("com..app:/cb", false),
        ("com.:/cb", false),
        ("com.my+app:/cb", false),
        ("vscode-insiders://publisher.extension/cb", true),
        ("my-app:/cb", false),
    ] {
        assert_eq!(RedirectUri::parse(text).is_ok(), fits, "{text}");
    }
}

/// ATK-07: a person is shown who listens, and whether that is any program on their own machine.
#[test]
fn a_redirect_says_who_listens() {
    for (text, host, local) in [
        ("https://c.test/cb", "c.test", false),
        ("https://c.test:8443/cb", "c.test", false),
        ("https://localhost/cb", "localhost", true),
        ("http://127.0.0.1:8765/cb", "127.0.0.1", true),
        ("http://[::1]/cb", "[::1]", true),
        ("com.example.app:/cb", "com.example.app:", true),
        ("com.example.app:///cb", "com.example.app:", true),
        ("cursor://anysphere.cursor-mcp/cb", "anysphere.cursor-mcp", true),
    ] {
        let redirect = uri(text);
        assert_eq!((redirect.host().as_str(), redirect.is_local()), (host, local), "{text}");
        assert_eq!((redirect.as_str(), redirect.to_string().as_str()), (text, text));
    }
}

/// AS-10: what is compared without its port is an address on loopback with a port that can be one.
#[test]
fn only_a_sound_loopback_address_is_compared_without_its_port() {
    for (text, expected) in [
        ("http://127.0.0.1:8765/cb", Some(("127.0.0.1", "/cb"))),
        ("http://[::1]/cb", Some(("[::1]", "/cb"))),
        ("http://[::1]:1?x", Some(("[::1]", "?x"))),
        ("http://localhost:65535", Some(("localhost", ""))),
        ("http://localhost:65536/cb", None),
        ("http://localhost:0/cb", None),
        ("http://localhost:08765/cb", None),
        ("http://localhost:+80/cb", None),
        ("http://localhost:/cb", None),
        ("http://c.test:8765/cb", None),
        ("http://c.test/cb", None),
        ("https://localhost:8765/cb", None),
    ] {
        assert_eq!(loopback_parts(text), expected, "{text}");
    }
}

/// ATK-02: over 300 mutants of registered URIs; only loopback port changes are admitted.
#[test]
fn no_mutant_of_a_registered_redirect_is_admitted() {
    let registered = [
        "https://c.test/cb",
        "https://c.test/a/b?x=1",
        "http://127.0.0.1:8765/cb",
        "http://localhost/cb",
        "com.example.app:/cb",
    ];
    let mut tried = 0;
    for own in registered {
        let own = uri(own);
        for mutant in mutants(own.as_str()) {
            tried += 1;
            assert!(!own.admits(&mutant), "{own} admits {mutant}");
        }
        assert!(own.admits(own.as_str()));
    }
    assert!(tried >= 300, "{tried} mutants only");
}

const SUFFIXES: &[&str] = &[
    "/",
    "//",
    "/..",
    "/.",
    "?",
    "?a=b",
    "&a=b",
    "#",
    "#f",
    "%00",
    "%0d%0a",
    "%20",
    " ",
    ";x",
    ".evil.test",
    "@evil.test",
    "/%2e%2e",
    "\\",
    "\u{0}",
    "\u{200b}",
    "x",
    "/x",
    "?code=1",
];

const PREFIXES: &[&str] = &[" ", "\t", "x", "//", "https://evil.test/", "https://evil.test?", "javascript:", "https:"];

const CHANGES: &[(&str, &str)] = &[
    ("://", ":/"),
    ("://", ":///"),
    ("://", "://user@"),
    ("://", "://evil.test\\@"),
    ("://", "://evil.test@"),
    ("://", ":\\\\"),
    ("://", "://www."),
    ("/cb", "/CB"),
    ("/cb", "//cb"),
    ("/cb", "/./cb"),
    ("/cb", "/x/../cb"),
    ("/cb", "/%63b"),
    ("/cb", "/c%62"),
    ("/cb", "\\cb"),
    ("/cb", "/%2e/cb"),
    ("/cb", "/cb/.."),
    ("/cb", ":443/cb"),
    ("/cb", ".:443/cb"),
    ("/cb", "./cb"),
    ("c.test", "C.test"),
    ("c.test", "c.test."),
    ("c.test", "c%2etest"),
    ("c.test", "с.test"),
    ("c.test", "evil.test/c.test"),
    ("c.test", "c.test.evil.test"),
    ("c.test", "xn--c.test"),
    ("c.test", "c.test:0443"),
    ("https", "http"),
    ("https", "HTTPS"),
    ("http://", "https://"),
    ("127.0.0.1", "127.1"),
    ("127.0.0.1", "2130706433"),
    ("127.0.0.1", "0x7f.1"),
    ("127.0.0.1", "127.0.0.1.evil.test"),
    ("127.0.0.1", "127.0.0.2"),
    ("127.0.0.1", "[::1]"),
    ("127.0.0.1", "[::ffff:127.0.0.1]"),
    ("127.0.0.1", "0.0.0.0"),
    ("127.0.0.1", "localhost"),
    ("localhost", "LOCALHOST"),
    ("localhost", "localhost."),
    ("localhost", "localhost.evil.test"),
    ("localhost", "127.0.0.1"),
    (":8765", ":08765"),
    (":8765", ":"),
    (":8765", ":99999"),
    (":8765", ":-1"),
    (":8765", ":+80"),
    (":8765", ":80:81"),
    (":8765", ":8765@evil.test:1"),
    ("x=1", "x=2"),
    ("x=1", "X=1"),
    ("?x=1", ""),
    ("?x=1", "?x=1&x=2"),
    ("com.", "COM."),
    ("com.example", "com.evil"),
    (":/cb", "://cb"),
    (":/cb", ":cb"),
];

fn mutants(own: &str) -> Vec<String> {
    let mut all = Vec::new();
    all.extend(SUFFIXES.iter().map(|suffix| format!("{own}{suffix}")));
    all.extend(PREFIXES.iter().map(|prefix| format!("{prefix}{own}")));
    for (from, to) in CHANGES {
        // A port on a loopback redirect is the one allowed difference.
        let port = own == "http://localhost/cb" && *to == ":443/cb";
        if own.contains(from) && !port {
            all.push(own.replacen(from, to, 1));
        }
    }
    for (at, _) in own.char_indices() {
        let mut shorter = own.to_owned();
        shorter.remove(at);
        // A shorter port is another port of the same loopback redirect, which is the one allowed difference.
        let port = own.contains(":8765") && shorter.starts_with("http://127.0.0.1:") && shorter.ends_with("/cb");
        if !port {
            all.push(shorter);
        }
        let mut encoded = own.to_owned();
        let byte = encoded.remove(at);
        encoded.insert_str(at, &format!("%{:02x}", byte as u32));
        all.push(encoded);
    }
    all.retain(|mutant| mutant != own);
    all
}
