//! What is never called, in any spelling (ATK-28, ATK-29, ATK-30, ATK-85, CL-42 to CL-45, AS-31).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{Canary, HttpClient, HttpError, HttpSettings, Names, Request, SafeHttp, Server, loopback, plain};
use futures_util::future::BoxFuture;

use super::Resolve;
use crate::http::{Destination, Named, SystemResolver};

async fn refusal(settings: &HttpSettings, names: &Names, url: &str) -> HttpError {
    let http = SafeHttp::with_resolver(settings.clone(), Box::new(names.clone())).unwrap();
    http.send(Request::get(Destination::given(url))).await.map(|response| response.status).expect_err(url)
}

/// Spellings of addresses that are not on the public Internet; most of them are the canary's own.
const SPELLINGS: [&str; 56] = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7F.0.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "0177.1",
    "127.0.0.1.",
    "0",
    "0.0.0.0",
    "0x0",
    "%31%32%37.0.0.1",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "１２７.0.0.1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:7f00:1::1]",
    "[2001::1]",
    "10.0.0.1",
    "10.255.255.255",
    "0xa000001",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "3232235521",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "[::ffff:a9fe:a9fe]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "224.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "[2001:db8::1]",
];

/// ATK-28, CL-44, AS-31: no spelling of such an address is connected to, even if loopback http is allowed, which does
/// not apply to https; nothing reaches the canary.
#[tokio::test]
async fn no_spelling_of_a_forbidden_address_is_called() {
    let canary = Canary::new();
    let names = Names::of(&[&["127.0.0.1"]]);
    for settings in [HttpSettings::default(), loopback()] {
        for host in SPELLINGS {
            let url = format!("https://{host}:{}/", canary.port());
            let error = refusal(&settings, &names, &url).await;
            assert!(matches!(error, HttpError::Address { .. }), "{host}: {error:?}");
        }
    }
    assert!(canary.is_silent());
}

/// ATK-28, ATK-85, AS-31, PX-16: a name is forbidden if its addresses are. A set with one forbidden address is refused
/// as a whole, wherever in the set that address is.
#[tokio::test]
async fn a_name_with_any_forbidden_address_is_refused() {
    let canary = Canary::new();
    for set in [
        &["127.0.0.1"][..],
        &["::1"],
        &["169.254.169.254"],
        &["10.0.0.1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["0.0.0.0"],
        &["8.8.8.8", "127.0.0.1"],
        &["127.0.0.1", "8.8.8.8"],
        &["2606:4700::1111", "::1"],
        &["1.1.1.1", "8.8.8.8", "9.9.9.9", "1.0.0.1", "127.0.0.1"],
    ] {
        let error =
            refusal(&HttpSettings::default(), &Names::of(&[set]), &format!("https://name.test:{}/", canary.port()))
                .await;
        assert!(matches!(error, HttpError::Address { .. }), "{set:?}: {error:?}");
    }
    let error = refusal(&HttpSettings::default(), &Names::of(&[&[]]), "https://name.test/").await;
    assert!(matches!(error, HttpError::Resolve { .. }), "{error:?}");
    assert!(canary.is_silent());
}

/// AS-31: the real resolver's answers are checked too.
#[tokio::test]
async fn localhost_is_refused_over_https() {
    let canary = Canary::new();
    let http = SafeHttp::with_resolver(loopback(), Box::new(SystemResolver)).unwrap();
    let error =
        http.send(Request::get(Destination::given(format!("https://localhost:{}/", canary.port())))).await.unwrap_err();
    assert!(matches!(error, HttpError::Address { .. }), "{error:?}");
    assert!(canary.is_silent());
}

/// ATK-30, CL-45: for a name whose address changes between look-ups, there is one look-up for each connection, and the
/// connection goes to a checked address. The allowed address answers with something that is not TLS.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_name_that_flips_never_reaches_the_other_address() {
    let (allowed, canary) = loop {
        let allowed = tokio::net::TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).await.unwrap();
        let port = allowed.local_addr().unwrap().port();
        // The port may be in use on the other address: then another port is tried.
        if let Ok(canary) = Canary::at(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            break (allowed, canary);
        }
    };
    let port = canary.port();
    let settings = HttpSettings { allow_private: vec!["127.0.0.2/32".parse().unwrap()], ..HttpSettings::default() };
    let names = Names::of(&[&["127.0.0.2"], &["127.0.0.1"], &["127.0.0.2", "127.0.0.1"], &["::ffff:127.0.0.2"]]);
    let http = SafeHttp::with_resolver(settings, Box::new(names.clone())).unwrap();
    let server = tokio::spawn(async move {
        let mut reached = 0;
        // Every second attempt reaches us; the connection is closed at once.
        while reached < 500 {
            drop(allowed.accept().await.unwrap());
            reached += 1;
        }
    });
    let mut refused = 0;
    for _ in 0..1000 {
        match http.send(Request::get(Destination::given(format!("https://name.test:{port}/")))).await.unwrap_err() {
            HttpError::Address { .. } => refused += 1,
            HttpError::Tls { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    server.await.unwrap();
    assert_eq!((refused, names.lookups()), (500, 1000));
    assert!(canary.is_silent());
}

/// CL-43, ATK-85: plain http works only for loopback, where it is allowed; a host name does not change that.
#[tokio::test]
async fn plain_http_is_for_loopback_only() {
    let canary = Canary::new();
    let port = canary.port();
    let names = Names::of(&[&["127.0.0.1"]]);
    for url in ["http://127.0.0.1", "http://localhost", "http://[::1]", "http://example.com"] {
        let error = refusal(&HttpSettings::default(), &names, &format!("{url}:{port}/")).await;
        assert!(matches!(error, HttpError::Scheme), "{url}: {error:?}");
    }
    for url in [
        "http://name.test",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://localhost.",
        "http://localhost.name.test",
        "http://[::ffff:127.0.0.1]",
    ] {
        let error = refusal(&loopback(), &names, &format!("{url}:{port}/")).await;
        assert!(matches!(error, HttpError::Scheme), "{url}: {error:?}");
    }
    let error = refusal(&loopback(), &Names::of(&[&["8.8.8.8"]]), &format!("http://localhost:{port}/")).await;
    assert!(matches!(error, HttpError::Address { .. }), "{error:?}");
    assert!(canary.is_silent());
    let server = Server::answering(plain("{}")).await;
    let http = SafeHttp::with_resolver(loopback(), Box::new(names)).unwrap();
    assert!(
        http.send(Request::get(Destination::given(format!("http://localhost:{}/", server.address.port()))))
            .await
            .is_ok()
    );
}

/// CL-46, ATK-86: other schemes, user information, fragments and texts that are not URLs.
#[tokio::test]
async fn only_plain_web_urls_are_called() {
    let names = Names::of(&[&["127.0.0.1"]]);
    for url in [
        "",
        "x",
        "//h/",
        "https://",
        "https:///",
        "https://u@h/",
        "https://u:p@h/",
        "https://h/#f",
        "https://h:99999/",
        "https://[::1",
        "https://[fe80::1%25eth0]/",
        "https://a b/",
        "https://999.1.1.1/",
    ] {
        let error = refusal(&loopback(), &names, url).await;
        assert!(matches!(error, HttpError::Url), "{url}: {error:?}");
    }
    for url in [
        "ftp://h/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:,x",
        "gopher://h/",
        "ws://h/",
        "unix:/run/x",
        "dict://h/",
    ] {
        let error = refusal(&loopback(), &names, url).await;
        assert!(matches!(error, HttpError::Scheme), "{url}: {error:?}");
    }
    for port in [0, 1, 22, 25, 53, 110, 139, 445, 587, 1023, 2375, 3306, 5432, 6000, 6379, 10250, 11211, 27017] {
        let error = refusal(&loopback(), &names, &format!("http://127.0.0.1:{port}/")).await;
        assert!(matches!(error, HttpError::Port { .. }), "{port}: {error:?}");
    }
}

/// A private network that was allowed is called, and no other.
#[tokio::test]
async fn an_allowed_network_is_called() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings = HttpSettings {
        allow_private: vec!["127.0.0.1/32".parse().unwrap()],
        timeout: Duration::from_secs(20),
        ..HttpSettings::default()
    };
    let names = Names::of(&[&["127.0.0.1"]]);
    let (accepted, error) = tokio::join!(async { drop(listener.accept().await.unwrap()) }, async {
        refusal(&settings, &names, &format!("https://name.test:{port}/")).await
    });
    let ((), HttpError::Tls { .. }) = (accepted, error) else { panic!("the connection was not made") };
    let error = refusal(&settings, &Names::of(&[&["127.0.0.2"]]), &format!("https://name.test:{port}/")).await;
    assert!(matches!(error, HttpError::Address { .. }), "{error:?}");
}

/// A resolver with a different address for each name; `moved.test` is public at first and internal ever after.
#[derive(Debug, Default)]
struct Places(std::sync::atomic::AtomicUsize);

impl Resolve for Places {
    fn lookup<'a>(&'a self, host: &'a str) -> BoxFuture<'a, std::io::Result<Vec<std::net::IpAddr>>> {
        let address = match host {
            "inside.test" | "localhost" => "127.0.0.1",
            "neighbour.test" => "127.0.0.2",
            "moved.test" if self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0 => "127.0.0.3",
            "moved.test" | "outside.test" => "8.8.8.8",
            _ => return Box::pin(async { Err(std::io::ErrorKind::NotFound.into()) }),
        };
        Box::pin(async move { Ok(vec![address.parse().unwrap()]) })
    }
}

/// ATK-222: an allowed private network is reached by what a person names, and by links from inside it. A host outside
/// can name nothing there, whatever its names look like, and wherever it moves afterwards.
#[tokio::test]
async fn nobody_outside_names_an_allowed_network() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings = HttpSettings {
        allow_private: vec!["127.0.0.0/8".parse().unwrap()],
        connect_timeout: Duration::from_millis(500),
        ..HttpSettings::default()
    };
    let http = SafeHttp::with_resolver(settings, Box::new(Places::default())).unwrap();
    let target = format!("https://inside.test:{port}/register");
    let named = |by: &str| Destination::named(Named::RegistrationEndpoint, &format!("https://{by}"), &target).unwrap();
    let sent = async |to: Destination| http.send(Request::get(to)).await.map(drop).unwrap_err();
    for by in ["outside.test", "unknown.test", "8.8.8.8"] {
        let error = sent(named(by)).await;
        assert!(matches!(&error, HttpError::Named { .. }), "{by}: {error:?}");
    }
    // This makes the host known as public. Whether the connection succeeds does not matter.
    sent(Destination::given(format!("https://moved.test:{port}/"))).await;
    let error = sent(named("moved.test")).await;
    assert!(matches!(&error, HttpError::Named { by, .. } if by == "moved.test"), "{error:?}");
    let accepts = async {
        for _ in 0..3 {
            drop(listener.accept().await.unwrap());
        }
    };
    let asks = async {
        for to in [Destination::given(target.as_str()), named("neighbour.test"), named("inside.test")] {
            let error = sent(to).await;
            assert!(matches!(error, HttpError::Tls { .. }), "{error:?}");
        }
    };
    tokio::join!(accepts, asks);
}
