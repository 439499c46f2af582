//! A wrong clock that is corrected: durations stay as promised, and nobody has to sign in again.
//!
//! `SEKISHO_TEST_FAULT_ROUNDS` sets how often each fault is repeated; the default is three.

use std::time::Duration;

use sekisho_e2e::fakes::browser::{Browser, Landing};
use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::oauth::{Client, Granted};
use sekisho_e2e::fakes::upstream::Speaks;
use sekisho_e2e::fakes::wire::ask;
use sekisho_e2e::harness::Faults;
use sekisho_e2e::harness::wait::within;

use super::faults_of_disks::rounds;
use super::field::{Field, PASSWORD, UP, USER};

const HOUR: i64 = 3_600;
const YEAR: i64 = 365 * 24 * HOUR;
/// A clock step is noticed within half a second; a machine that runs other tests may take longer.
const SOON: Duration = Duration::from_secs(5);

async fn call(field: &Field, granted: &Granted) -> u16 {
    field.ask(&tool(UP, &granted.access, "look")).await.status
}

async fn refreshed(client: &Client, granted: &Granted) -> Granted {
    client.granted(&client.token(&client.refreshing(&granted.refresh)).await)
}

/// Returns the browser of a person who is signed in.
async fn signed_in(field: &Field) -> Browser {
    let mut browser = Browser::new(field.base_url());
    let Landing::Page(page) = browser.open("/login").await else { panic!("a page") };
    let reply = browser.post(&page.form().unwrap().fill("username", USER).fill("password", PASSWORD)).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    browser
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    let Landing::Page(page) = browser.open("/").await else { panic!("a page") };
    page.reply.status == 200 && !page.reply.text().contains("href=\"/login\"")
}

/// Returns how long a token is still valid, by the machine's own clock.
fn seconds_left(granted: &Granted) -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    granted.claim("exp").as_i64().unwrap() - now.tv_sec
}

/// ATK-173: the clock was ahead and is corrected. No token lives longer than promised, the step is recorded, and
/// neither a client nor a person has to be approved again.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_ahead_and_is_set_right_lengthens_nothing() {
    let faults = Faults::new();
    let field = Field::changed(Speaks::Modern, "", async |setup| faults.below(setup)).await;
    let client = field.client().await;
    let mut granted = client.be_granted(&field.resource(UP), "mcp:read", USER, PASSWORD).await;
    for round in 0..rounds() {
        let ahead = 2 * HOUR + i64::try_from(round).unwrap() * 600;
        faults.clock_ahead(ahead);
        // Noticed: by this clock, earlier tokens have ended.
        within(SOON, "the step ahead is noticed", async || (call(&field, &granted).await == 401).then_some(())).await;
        granted = refreshed(&client, &granted).await;
        assert_eq!(call(&field, &granted).await, 200);
        assert!(seconds_left(&granted) > ahead, "it is from the future: {}", seconds_left(&granted));
        let mut browser = signed_in(&field).await;
        assert!(is_signed_in(&mut browser).await);

        faults.clock_ahead(0);
        within(SOON, "a token from the future is refused", async || {
            (call(&field, &granted).await == 401).then_some(())
        })
        .await;
        granted = refreshed(&client, &granted).await;
        assert_eq!(call(&field, &granted).await, 200);
        let left = seconds_left(&granted);
        assert!((0..=660).contains(&left), "a token of ten minutes lasts {left} seconds");
        assert!(is_signed_in(&mut browser).await, "the person is still signed in");
        is_on_record(&field, 2 * (round + 1)).await;
    }
}

/// ATK-173: the clock was far behind and is corrected while the checkpoint runs, as on a machine without a battery.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_behind_and_is_set_right_ends_nothing() {
    let faults = Faults::new();
    faults.clock_ahead(-YEAR);
    let field = Field::changed(Speaks::Modern, "", async |setup| faults.below(setup)).await;
    let client = field.client().await;
    let mut granted = client.be_granted(&field.resource(UP), "mcp:read", USER, PASSWORD).await;
    let mut browser = signed_in(&field).await;
    // The users were added before, with the right clock. That this is later than the next records is recorded as a
    // step.
    is_on_record(&field, 1).await;
    for round in 0..rounds() {
        faults.clock_ahead(0);
        within(SOON, "the step is noticed", async || (call(&field, &granted).await == 401).then_some(())).await;
        granted = refreshed(&client, &granted).await;
        assert_eq!(call(&field, &granted).await, 200);
        assert!(is_signed_in(&mut browser).await, "round {round}");
        faults.clock_ahead(-YEAR);
        within(SOON, "the step is noticed", async || (call(&field, &granted).await == 401).then_some(())).await;
        granted = refreshed(&client, &granted).await;
        assert_eq!(call(&field, &granted).await, 200);
        assert!(is_signed_in(&mut browser).await, "round {round}");
        is_on_record(&field, 2 * (round + 1) + 1).await;
    }
}

/// Checks that this many steps are recorded, each once.
async fn is_on_record(field: &Field, steps: usize) {
    within(SOON, "the steps are on record", async || {
        let records = field.checkpoint.records().await;
        let found = records.iter().filter(|row| row["record"]["event"]["kind"] == "clock_set").count();
        assert!(found <= steps, "{found} of {steps}");
        (found == steps).then_some(())
    })
    .await;
}

/// ATK-174: while the checkpoint did not run, the clock was set to a time before everything stored, and later back
/// again. It starts each time, and existing clients can continue.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_clock_that_is_behind_works() {
    let faults = Faults::new();
    faults.clock_ahead(3 * HOUR);
    let field = Field::changed(Speaks::Modern, "", async |setup| faults.below(setup)).await;
    let client = field.client().await;
    let mut granted = client.be_granted(&field.resource(UP), "mcp:read", USER, PASSWORD).await;
    let mut browser = signed_in(&field).await;
    let Field { mut checkpoint, upstream, address } = field;
    for ahead in [0, -YEAR, 0, YEAR, 0] {
        faults.clock_ahead(ahead);
        checkpoint = checkpoint.restart().await;
        granted = refreshed(&client, &granted).await;
        let reply = ask(address, &tool(UP, &granted.access, "look")).await.unwrap();
        assert_eq!(reply.status, 200, "{ahead}: {}", reply.text());
        assert!(is_signed_in(&mut browser).await, "{ahead}");
        let verified = checkpoint.command(&["audit", "verify"]).await;
        assert_eq!(verified.code(), Some(0), "{}", verified.stderr);
    }
    let said = checkpoint.stderr().now();
    assert!(!said.contains("key rotate"), "{said}");
    drop(upstream);
}
