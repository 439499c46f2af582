use super::RedirectUri;

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
