//! The pages as a person sees them: in a narrow and a wide window, light and dark, in both languages, without script.
//! Contrast, keyboard, names and overflow are measured; the pictures are for looking at, in `target/screenshots`.

use std::path::PathBuf;

use sekisho_e2e::harness::{Agent, Checkpoint, Person, node};
use serde_json::Value;

use crate::clients::{OWNER, PASSWORD};

/// How a page is looked at.
const VIEWS: [&[&str]; 4] = [
    &["--width", "360", "--lang", "en"],
    &["--width", "1280", "--lang", "ja"],
    &["--width", "360", "--lang", "ja", "--dark"],
    &["--width", "1280", "--lang", "en", "--dark"],
];

fn folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(3).unwrap().join("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// One page in one view; what is measured must find nothing. `expected` are words of it in English and Japanese.
async fn look(name: &str, url: &str, options: &[&str], view: &[&str], expected: [&str; 2]) -> Value {
    let language = if view.contains(&"ja") { "ja" } else { "en" };
    let shade = if view.contains(&"--dark") { "dark" } else { "light" };
    let picture = folder().join(format!("{name}-{}-{shade}-{language}.png", view[1]));
    let mut arguments = vec![url, picture.to_str().unwrap(), "--check", "--no-script"];
    arguments.extend(view.iter().chain(options));
    let outcome = node::run("screenshot", &arguments).await;
    let seen = outcome.result;
    let words = expected[usize::from(language == "ja")];
    assert!(
        seen["text"].as_str().is_some_and(|text| text.contains(words)),
        "{name}: `{words}` is not there: {seen:#}\n{}",
        outcome.stderr
    );
    assert!(outcome.ok, "{name} in {view:?}: {:#}\n{}", seen["problems"], outcome.stderr);
    assert_eq!(seen["lang"], language, "{name}");
    // That an error page comes with an error's status is no fault of the page.
    let complaints = seen["complaints"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let complaints: Vec<_> = complaints.filter(|text| !text.contains("responded with a status of 400")).collect();
    assert!(complaints.is_empty(), "the browser complains about {name}: {complaints:?}");
    seen
}

/// AS-35, AS-36: the way of a person through the pages. The links are repeatable, so each view begins anew; nobody
/// decides, so that the owner's first consent stays the first.
#[tokio::test(flavor = "multi_thread")]
async fn the_pages_can_be_read_by_everybody() {
    let checkpoint = Checkpoint::notes().owner(OWNER, PASSWORD).user("bob", PASSWORD).start().await;
    let agent = Agent::register_as(checkpoint.server(), &serde_json::json!({ "client_name": "Travel planner" })).await;
    for view in VIEWS {
        let asked = agent.invite(Some("mcp:read mcp:write offline_access"));
        look(
            "client",
            &asked.url,
            &[],
            view,
            ["An application wants to connect", "アプリケーションが接続を求めています"],
        )
        .await;
        look("login", &format!("{}/login", checkpoint.base_url()), &[], view, ["Sign in", "ログイン"]).await;
        look(
            "error",
            &agent.invite_with(None, &[("redirect_uri", "https://elsewhere.example/")]).url,
            &[],
            view,
            ["This cannot continue", "続行できません"],
        )
        .await;
        look("home", checkpoint.base_url(), &[], view, ["This is a checkpoint", "関所"]).await;
    }
}

/// The link of the first start, on which the owner chooses a password.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_for_a_first_password_can_be_read_by_everybody() {
    let checkpoint = Checkpoint::notes().start().await;
    for view in VIEWS {
        look("setup", checkpoint.setup_url(), &[], view, ["Choose a password", "パスワードを決める"]).await;
    }
    let mut owner = Person::new("owner", PASSWORD);
    owner.set_up(checkpoint.setup_url()).await;
    let again = owner.visit(checkpoint.setup_url()).await.page();
    assert_ne!(again.status, 200, "the link works once");
}

/// PX-03, AS-35: the page that grants, with the tools of a new server and without them.
#[tokio::test(flavor = "multi_thread")]
async fn the_pages_that_grant_can_be_read_by_everybody() {
    let checkpoint = Checkpoint::notes().owner(OWNER, PASSWORD).start().await;
    let agent = Agent::register_as(checkpoint.server(), &serde_json::json!({ "client_name": "Travel planner" })).await;
    let words = ["Let this application in?", "このアプリケーションを通しますか？"];
    let url = agent.invite(Some("mcp:read mcp:write offline_access")).url;
    for view in VIEWS {
        let seen = grant("first-consent", &url, view, words).await;
        assert!(seen["text"].as_str().unwrap().contains("delete_all_notes"), "the owner classes the tools");
    }
    // The first consent is given; from now on the page is the short one.
    agent.be_let_in(&mut Person::new(OWNER, PASSWORD), Some("mcp:read")).await;
    let url = agent.invite(Some("mcp:read mcp:write offline_access")).url;
    for view in VIEWS {
        let seen = grant("grant", &url, view, words).await;
        assert!(!seen["text"].as_str().unwrap().contains("delete_all_notes"), "tools are classed once");
    }
}

/// Through the client page and the sign-in to the grant page.
async fn grant(name: &str, url: &str, view: &[&str], words: [&str; 2]) -> Value {
    look(name, url, &["--user", OWNER, "--password", PASSWORD], view, words).await
}
