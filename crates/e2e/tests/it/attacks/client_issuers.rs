//! Our client among several authorization servers, one of which is hostile: whose answer it accepts, and to whom it
//! sends its credentials.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_e2e::harness::{Finished, Outside, Process, wait};

use super::issuers_outside::{Desk, Issuer, Manner, Page, Visitor, flat};

const DOCUMENT: &str = "https://client.example/sekisho.json";
const LOOPBACK: &str = "http://127.0.0.1/callback";
const SECRET: &str = "s3cr3t-of-the-honest-issuer";

/// Starts a login and follows its instructions in a browser, if there are any. Returns the page on which the browser
/// ended.
async fn attempt(desk: &Desk, client: &Outside, words: &[&str]) -> (Process, Option<Page>) {
    let before = desk.command_lines().len();
    let login = client.start(words);
    let opened = wait::until("a browser or an end", async || match desk.command_lines().get(before) {
        Some(link) => Some(Some(link.clone())),
        None if !login.is_running() => Some(None),
        None => None,
    })
    .await;
    let page = match opened {
        Some(link) => Some(Visitor::default().browse(&link).await),
        None => None,
    };
    // If a login got an answer, it ends by itself.
    if page.as_ref().is_some_and(|page| page.text.contains("close this window")) {
        login.ended().await;
    }
    (login, page)
}

/// Does the same for a login that ends by itself.
async fn finished(desk: &Desk, client: &Outside, words: &[&str]) -> Finished {
    let (login, page) = attempt(desk, client, words).await;
    if let Some(page) = page {
        assert!(page.text.contains("close this window"), "{page:#?}\n{}", login.stderr().now());
    }
    let status = login.ended().await;
    Finished { status, stdout: login.stdout().now(), stderr: login.stderr().now() }
}

fn silent() -> Manner {
    Manner { seconds: 600, ..Manner::default() }
}

/// ATK-201: an authorization server that sends no `iss` redirects the browser to an honest one that sends none either
/// and knows the same metadata document. No code of the honest one reaches the other, whichever way the client became
/// known to that one. At issuers that send `iss`, the document is used.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_not_shown_where_answers_cannot_be_told_apart() {
    let honest = Issuer::start(Manner { documents: true, ..silent() }).await;
    honest.knows(DOCUMENT, &[LOOPBACK]);
    for registers in [false, true] {
        let sends_on = Some((honest.origin().to_owned(), Some(DOCUMENT.to_owned())));
        let evil = Issuer::start(Manner { documents: true, registers, sends_on, ..silent() }).await;
        for more in [vec![], vec!["--issuer", evil.origin()]] {
            let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
            let server = evil.server("a");
            let words = [vec!["login", &server, "--client-metadata-url", DOCUMENT], more].concat();
            let (login, _) = attempt(&desk, &desk.client(folder.path()), &words).await;
            let told = flat(&login.stderr().now());
            assert!(evil.asked().is_empty(), "{registers}: the code went to {:#?}\n{told}", evil.asked());
            assert!(honest.redirects().is_empty(), "{registers}: {:?}", honest.redirects());
            if !login.is_running() {
                assert!(told.contains("RFC 9207") && told.contains("--issuer"), "{told}");
            }
        }
    }
    let named = Issuer::start(Manner { documents: true, promises_iss: true, sends_iss: true, ..silent() }).await;
    named.knows(DOCUMENT, &[LOOPBACK]);
    let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
    let login = [&named.server("a"), "--client-metadata-url", DOCUMENT].map(str::to_owned);
    let words: Vec<&str> = ["login"].into_iter().chain(login.iter().map(String::as_str)).collect();
    let done = finished(&desk, &desk.client(folder.path()), &words).await;
    assert!(done.status.success(), "{}\n{}", done.stdout, done.stderr);
    assert_eq!(named.grants("authorization_code")[0].client, DOCUMENT);
}

/// ATK-202: a hostile authorization server assigns us the identifier that a client of ours has at an honest one, and
/// redirects the browser there. The answer would arrive at a path that the honest one does not know. The client itself
/// works at the honest one, with the registered redirect URI.
#[tokio::test(flavor = "multi_thread")]
async fn the_identifier_of_another_issuer_brings_no_code() {
    let honest = Issuer::start(silent()).await;
    honest.knows("static", &[LOOPBACK]);
    let sends_on = Some((honest.origin().to_owned(), None));
    let evil =
        Issuer::start(Manner { registers: true, registers_as: Some("static".to_owned()), sends_on, ..silent() }).await;
    let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
    let client = desk.client(folder.path());
    let (login, page) = attempt(&desk, &client, &["login", &evil.server("a")]).await;
    assert!(evil.asked().is_empty(), "the code went to {:#?}\n{}", evil.asked(), login.stderr().now());
    assert!(honest.redirects().is_empty(), "{:?}", honest.redirects());
    assert!(page.is_some_and(|page| page.status == 400), "{}", login.stderr().now());
    drop(login);

    let server = honest.server("a");
    let words = ["login", &server, "--client-id", "static", "--redirect-uri", LOOPBACK];
    let done = finished(&desk, &client, &words).await;
    assert!(done.status.success(), "{}\n{}", done.stdout, done.stderr);
    // Without the redirect URI, the error shows the one that has to be registered.
    let folder = tempfile::tempdir().unwrap();
    let (shown, _) = attempt(&desk, &desk.client(folder.path()), &words[..4]).await;
    let told = flat(&shown.stderr().now());
    assert!(told.contains("has to have the redirect URI `http://127.0.0.1:"), "{told}");
}

/// ATK-203: an issuer that has sent `iss` once has to send it from then on, whatever its metadata say; only a person
/// can lift that.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_named_itself_has_to_do_so_again() {
    let issuer = Issuer::start(Manner { registers: true, sends_iss: true, ..silent() }).await;
    let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
    let client = desk.client(folder.path());
    let server = issuer.server("a");
    let first = finished(&desk, &client, &["login", &server]).await;
    assert!(first.status.success(), "{}", first.stderr);
    issuer.change(|manner| manner.sends_iss = false);
    let second = finished(&desk, &client, &["login", &server, "--again"]).await;
    assert_eq!(second.code(), Some(3), "{}", second.stdout);
    assert!(flat(&second.stderr).contains("sekisho forget issuer"), "{}", second.stderr);
    assert_eq!(issuer.grants("authorization_code").len(), 1);

    assert!(client.run(&["forget", "issuer", issuer.origin()]).await.status.success());
    assert_eq!(client.run(&["forget", "issuer", issuer.origin()]).await.code(), Some(1));
    let third = finished(&desk, &client, &["login", &server]).await;
    assert!(third.status.success(), "{}", third.stderr);
}

/// ATK-204: a client that was given with a secret, but without the name of its issuer, is pinned to the first issuer.
/// Neither a login without that client, nor a refusal, nor a logout lets the next issuer have it; only a person can
/// remove the pin.
#[tokio::test(flavor = "multi_thread")]
async fn the_pin_of_a_given_client_is_lost_to_nobody() {
    let honest = Issuer::start(Manner { registers: true, ..silent() }).await;
    honest.knows("given", &[LOOPBACK, &redirect_of(&honest)]);
    let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
    let client = desk.client(folder.path()).variable("CLIENT_SECRET", SECRET);
    let given = ["--client-id", "given", "--client-secret-env", "CLIENT_SECRET"];
    let first = honest.server("a");
    let done = client.run(&[vec!["token", &first], given.to_vec(), vec!["--client-credentials"]].concat()).await;
    assert!(done.status.success(), "{}", done.stderr);
    assert_eq!(honest.asked()[0].secret.as_deref(), Some(SECRET));

    let evil = Issuer::start(Manner { registers: true, ..silent() }).await;
    let seen_by_evil = || evil.asked().into_iter().filter(|asked| asked.secret.is_some()).count();
    let moves =
        |to: Option<&Issuer>| honest.change(|manner| manner.named = to.map(|issuer| issuer.origin().to_owned()));
    // At a server at which nobody has logged in yet.
    let shown = async |server: &str| {
        moves(Some(&evil));
        let server = honest.server(server);
        let words = [vec!["token", &server], given.to_vec(), vec!["--client-credentials"]].concat();
        let outcome = client.run(&words).await;
        moves(None);
        outcome
    };
    let refused = async |after: &str| {
        let outcome = shown(after).await;
        assert_eq!(seen_by_evil(), 0, "after {after}: {:#?}", evil.asked());
        assert_eq!(outcome.code(), Some(3), "after {after}: {}", outcome.stdout);
        outcome
    };
    refused("nothing").await;
    // A client that registers itself is stored for the same issuer.
    let without = finished(&desk, &client, &["login", &honest.server("b")]).await;
    assert!(without.status.success(), "{}", without.stderr);
    refused("login").await;
    // The issuer says that it does not know the client.
    honest.change(|manner| manner.refuses = Some("invalid_client"));
    let server = honest.server("c");
    let outcome = finished(&desk, &client, &[vec!["login", &server], given.to_vec()].concat()).await;
    assert_eq!(outcome.code(), Some(3), "{}", outcome.stdout);
    refused("refusal").await;
    client.run(&["logout", &first]).await;
    let told = flat(&refused("logout").await.stderr);
    assert!(told.contains("sekisho forget client 'given'"), "{told}");

    assert!(client.run(&["forget", "client", "given"]).await.status.success());
    assert!(shown("forget").await.status.success());
    assert_eq!(seen_by_evil(), 1);
}

/// ATK-205: the same if the first response to the given client is a refusal: the client is pinned to the issuer that
/// refused it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_client_still_belongs_to_its_issuer() {
    let honest = Issuer::start(Manner { refuses: Some("invalid_client"), ..silent() }).await;
    let evil = Issuer::start(silent()).await;
    for issuer in [&honest, &evil] {
        issuer.knows("given", &[LOOPBACK, &redirect_of(issuer)]);
    }
    let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
    let client = desk.client(folder.path()).variable("CLIENT_SECRET", SECRET);
    let server = honest.server("a");
    let words = ["login", &server, "--client-id", "given", "--client-secret-env", "CLIENT_SECRET"];
    let (login, _) = attempt(&desk, &client, &words).await;
    assert_eq!(login.ended().await.code(), Some(3), "{}", login.stderr().now());
    assert_eq!(honest.asked()[0].secret.as_deref(), Some(SECRET));
    honest.change(|manner| manner.named = Some(evil.origin().to_owned()));
    let (login, _) = attempt(&desk, &client, &words).await;
    assert!(evil.asked().is_empty(), "{:#?}", evil.asked());
    assert_eq!(login.ended().await.code(), Some(3), "{}", login.stderr().now());
}

/// Returns the redirect URI of our client at an issuer, without its port.
fn redirect_of(issuer: &Issuer) -> String {
    let parts: [&[u8]; 2] = [b"redirect path of an issuer", issuer.origin().as_bytes()];
    let digest = sekisho_protocol::digest::Digest::of_list(&parts).to_string();
    format!("{LOOPBACK}/{}", &digest[..32])
}

/// ATK-206: a platform's assertion about this workload is sent to the issuer that it names, and to no other issuer that
/// a server names.
#[tokio::test(flavor = "multi_thread")]
async fn the_statement_of_a_platform_goes_to_whom_it_names() {
    let (honest, evil) = (Issuer::start(silent()).await, Issuer::start(silent()).await);
    let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("statement");
    let (bad, good) = (evil.server("a"), honest.server("a"));
    let run = async |server: &str| {
        let file = file.display().to_string();
        // Each time as a client that has never met an issuer.
        let data = tempfile::tempdir().unwrap();
        desk.client(data.path()).run(&["token", server, "--client-id", "workload", "--workload-token", &file]).await
    };
    let claims = [
        format!("{{\"aud\":\"{}\"}}", honest.origin()),
        format!("{{\"aud\":[\"{}/token\"]}}", honest.origin()),
        format!("{{\"aud\":\"{}\"}}", honest.server("a")),
        "{}".to_owned(),
    ];
    for (at, claims) in claims.iter().enumerate() {
        std::fs::write(&file, format!("e30.{}.sig\n", URL_SAFE_NO_PAD.encode(claims))).unwrap();
        let outcome = run(&bad).await;
        assert!(evil.asked().is_empty(), "{claims}: {:#?}", evil.asked());
        assert_eq!(outcome.code(), Some(3), "{claims}: {}", outcome.stdout);
        assert!(flat(&outcome.stderr).contains("it was not sent"), "{}", outcome.stderr);
        assert_eq!(run(&good).await.status.success(), at < 2, "{claims}");
    }
    std::fs::write(&file, "opaque").unwrap();
    assert_eq!(run(&good).await.code(), Some(3));
    assert_eq!(honest.asked().len(), 2);
}
