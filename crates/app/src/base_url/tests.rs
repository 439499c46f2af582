use super::{BaseUrlSettings, advertises_localhost, check_base_url, hosts, settle, stored_port};
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
    let (plain, tls) = (
        BaseUrlSettings { configured: None, scheme: "http", port: 8420 },
        BaseUrlSettings { configured: None, scheme: "https", port: 8420 },
    );
    for (wish, other, expected) in [(plain, tls, "http://localhost:8420"), (tls, plain, "https://localhost:8420")] {
        let folder = tempfile::tempdir().unwrap();
        let store = DataDir::open(Some(folder.path())).unwrap().store().await.unwrap();
        for _ in 0..2 {
            assert_eq!(settle(&store, wish).await.unwrap(), expected);
        }
        assert!(advertises_localhost(&store, None).await);
        assert_eq!(stored_port(&store).await, Some(8420));
        let error = settle(&store, other).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(settle(&store, BaseUrlSettings { port: 8421, ..wish }).await.is_err());
    }
}

#[test]
fn a_loopback_address_has_three_spellings() {
    assert_eq!(hosts("http://localhost:8420"), ["localhost:8420", "127.0.0.1:8420", "[::1]:8420"]);
    assert_eq!(hosts("https://mcp.example.com"), ["mcp.example.com"]);
}
