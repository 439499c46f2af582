//! Other users of the machine on which a person logs in: they can see every command line, and can connect to every port
//! on loopback.

use sekisho_e2e::harness::wait;

use super::issuers_outside::{Desk, Issuer, Manner, Visitor, flat};

fn issuer() -> Manner {
    Manner { registers: true, seconds: 600, ..Manner::default() }
}

/// Returns the `state` of a request, from a URL that contains it.
fn state(url: &str) -> Option<String> {
    url::Url::parse(url).unwrap().query_pairs().find(|(name, _)| name == "state").map(|(_, value)| value.into_owned())
}

/// ATK-207: the browser's command line contains no `state`. An answer from another browser is not accepted, even with
/// the right `state` and a code of its own; the browser that was sent can still bring its answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_another_session_is_not_taken() {
    let issuer = Issuer::start(Manner { asks: true, ..issuer() }).await;
    let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
    let login = desk.client(folder.path()).start(&["login", &issuer.server("a")]);
    let shown = desk.opened(1).await;
    assert_eq!(state(&shown), None, "{shown}");
    assert!(!shown.contains("code_challenge") && !shown.contains("client_id"), "{shown}");
    let mut person = Visitor::default();
    let page = person.browse(&shown).await;
    assert_eq!((page.status, page.text.as_str()), (200, "log in"), "{page:?}");
    let request = page.way.last().unwrap().clone();
    assert!(state(&request).is_some(), "{request}");

    issuer.change(|manner| manner.asks = false);
    let theirs = Visitor::default().browse(&request).await;
    assert_eq!(theirs.status, 403, "{theirs:?}");
    assert!(login.is_running() && issuer.asked().is_empty(), "{}", login.stderr().now());
    let ours = person.browse(&request).await;
    assert!(ours.text.contains("close this window"), "{ours:?}");
    assert!(login.ended().await.success(), "{}", login.stderr().now());
    let code = |page: &super::issuers_outside::Page| page.way.last().unwrap().split("code=").nth(1).unwrap().to_owned();
    let asked = issuer.asked();
    assert_eq!(asked.len(), 1);
    assert!(code(&ours).starts_with(&asked[0].form["code"]) && !code(&theirs).starts_with(&asked[0].form["code"]));
}

/// ATK-208: if another user opens the page that begins the login before the person's browser does, the login ends with
/// an error, and no answer is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_somebody_else_opened_first_ends_the_login() {
    let issuer = Issuer::start(Manner { asks: true, ..issuer() }).await;
    let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
    let client = desk.client(folder.path());
    let login = client.start(&["login", &issuer.server("a")]);
    let shown = desk.opened(1).await;
    let mut other = Visitor::default();
    let taken = other.browse(&shown).await;
    let page = Visitor::default().browse(&shown).await;
    assert_eq!(page.status, 403, "{page:?}");
    assert!(page.text.contains("Another browser has opened this page before"), "{page:?}");
    assert_eq!(login.ended().await.code(), Some(3), "{}", login.stderr().now());
    assert!(flat(&login.stderr().now()).contains("opened by two browsers"), "{}", login.stderr().now());
    issuer.change(|manner| manner.asks = false);
    other.browse(taken.way.last().unwrap()).await;
    assert!(issuer.asked().is_empty(), "{:#?}", issuer.asked());
    assert_eq!(client.run(&["whoami"]).await.code(), Some(1));
}

/// ATK-207: without a browser, the URL of the same page is printed. It can be opened once, and the login belongs to the
/// browser that opened it.
#[tokio::test(flavor = "multi_thread")]
async fn a_printed_page_begins_a_login_without_a_browser() {
    let issuer = Issuer::start(issuer()).await;
    let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
    let login = desk.client(folder.path()).start(&["login", &issuer.server("a"), "--no-browser"]);
    let link = login
        .stderr()
        .find(|text| {
            let line = text
                .split_inclusive('\n')
                .find(|line| line.ends_with('\n') && line.contains("http://127.0.0.1:") && line.contains("/begin/"));
            line.map(|line| line.trim().to_owned()).filter(|_| text.contains("ssh -L"))
        })
        .await;
    let link = link.unwrap_or_else(|| panic!("{}", login.stderr().now()));
    assert_eq!(state(&link), None, "{link}");
    assert!(desk.command_lines().is_empty());
    let page = Visitor::default().browse(&link).await;
    assert!(page.text.contains("close this window"), "{page:?}");
    assert!(login.ended().await.success(), "{}", login.stderr().now());
}

/// ATK-214: while a person has not finished a login, `token` reports that at once; if no login has begun, it reports
/// that.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_not_wait_for_a_person() {
    let issuer = Issuer::start(Manner { asks: true, ..issuer() }).await;
    let (desk, folder) = (Desk::new(), tempfile::tempdir().unwrap());
    let client = desk.client(folder.path());
    let server = issuer.server("a");
    let token = async || {
        let done = tokio::time::timeout(std::time::Duration::from_secs(15), client.run(&["token", &server])).await;
        done.expect("it waits for nobody")
    };
    let nobody = token().await;
    assert_eq!(nobody.code(), Some(1), "{}", nobody.stderr);
    assert!(flat(&nobody.stderr).contains("run `sekisho login"), "{}", nobody.stderr);

    let login = client.start(&["login", &server]);
    let link = desk.opened(1).await;
    let unfinished = token().await;
    assert_eq!(unfinished.code(), Some(1), "{}", unfinished.stderr);
    assert!(flat(&unfinished.stderr).contains("is not finished"), "{}", unfinished.stderr);
    assert!(login.is_running());
    issuer.change(|manner| manner.asks = false);
    assert!(Visitor::default().browse(&link).await.text.contains("close this window"));
    assert!(login.ended().await.success());
    wait::until("a token", async || token().await.status.success().then_some(())).await;
}
