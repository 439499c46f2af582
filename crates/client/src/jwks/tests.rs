use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::{KeySetError, KeySets};
use crate::http::{Destination, Scripted};

const URL: &str = "https://client.test/jwks";
const LINE: &str = "GET https://client.test/jwks";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn sets(http: Scripted) -> (Arc<Scripted>, KeySets) {
    let http = Arc::new(http);
    (Arc::clone(&http), KeySets::new(http))
}

/// ATK-60: a set is cached while it is fresh, and then fetched again once.
#[tokio::test]
async fn a_key_set_is_fetched_once_while_fresh() {
    let (http, sets) =
        sets(Scripted::default().json(LINE, 200, &json!({ "keys": [1] })).json(LINE, 200, &json!({ "keys": [2] })));
    for second in [0, 1, 899] {
        assert_eq!(&*sets.current(&Destination::given(URL), at(second)).await.unwrap(), r#"{"keys":[1]}"#, "{second}");
    }
    assert_eq!(http.lines().len(), 1);
    assert_eq!(&*sets.current(&Destination::given(URL), at(900)).await.unwrap(), r#"{"keys":[2]}"#);
    assert_eq!(http.lines().len(), 2);
}

/// ATK-60, ATK-389, RS-32: unknown key names cost the owner of the keys four fetches in a row at most, and one a minute
/// in the long run.
#[tokio::test]
async fn a_flood_of_unknown_keys_costs_one_fetch_a_minute() {
    let (http, sets) = sets(Scripted::default().json(LINE, 200, &json!({ "keys": [] })));
    for attempt in 0..100_000 {
        sets.renewed(&Destination::given(URL), at(attempt / 1000)).await.unwrap();
    }
    assert_eq!(http.lines().len(), 6);
    for second in 100..700 {
        sets.renewed(&Destination::given(URL), at(second)).await.unwrap();
    }
    assert_eq!(http.lines().len(), 16);
}

/// A key that is published just after a fetch is found at once, and it is known how old the cached set is.
#[tokio::test]
async fn a_key_that_is_published_just_after_a_fetch_is_found() {
    let (http, sets) =
        sets(Scripted::default().json(LINE, 200, &json!({ "keys": [1] })).json(LINE, 200, &json!({ "keys": [2] })));
    let url = Destination::given(URL);
    assert_eq!(sets.fetched_at(&url).await, None);
    sets.current(&url, at(0)).await.unwrap();
    assert_eq!(&*sets.renewed(&url, at(0)).await.unwrap(), r#"{"keys":[1]}"#);
    assert_eq!(&*sets.renewed(&url, at(1)).await.unwrap(), r#"{"keys":[2]}"#);
    assert_eq!((http.lines().len(), sets.fetched_at(&url).await), (2, Some(at(1))));
}

/// ATK-60: the last set is used for a bounded time while fetches fail; failed fetches are not repeated at once.
#[tokio::test]
async fn a_failing_owner_is_not_asked_again_and_again() {
    let html: &[(&'static str, &str)] = &[("content-type", "text/html")];
    let (http, sets) = sets(Scripted::default().json(LINE, 200, &json!({ "keys": [] })).with(LINE, 503, html, "busy"));
    sets.current(&Destination::given(URL), at(0)).await.unwrap();
    for second in [900, 910, 959, 14_399] {
        assert!(sets.current(&Destination::given(URL), at(second)).await.is_ok(), "{second}");
    }
    assert_eq!(http.lines().len(), 3);
    assert!(matches!(
        sets.current(&Destination::given(URL), at(14_460)).await,
        Err(KeySetError::Malformed { status: 503 })
    ));
    assert!(matches!(sets.current(&Destination::given(URL), at(14_461)).await, Err(KeySetError::Wait)));
    assert_eq!(http.lines().len(), 4);
}

/// ATK-31, ATK-32: a redirect, a page, or anything but a JSON object is not a key set, and is not cached.
#[tokio::test]
async fn what_is_no_key_set_is_refused() {
    for (status, media, body) in [
        (302, "application/json", "{}"),
        (404, "application/json", "{}"),
        (200, "text/html", "{}"),
        (200, "application/json", "[]"),
        (200, "application/json", ""),
        (200, "application/json", "{"),
    ] {
        let answer: &[(&'static str, &str)] = &[("content-type", media), ("location", "https://evil.test/")];
        let (http, sets) = sets(Scripted::default().with(LINE, status, answer, body));
        assert!(
            matches!(sets.current(&Destination::given(URL), at(0)).await, Err(KeySetError::Malformed { .. })),
            "{status} {media} {body}"
        );
        assert_eq!(http.lines(), [LINE]);
    }
    let jwk_set: &[(&'static str, &str)] = &[("content-type", "application/jwk-set+json")];
    let (_, sets) = sets(Scripted::default().with(LINE, 200, jwk_set, "{}"));
    assert!(sets.current(&Destination::given(URL), at(0)).await.is_ok());
}

/// ATK-32: many simultaneous requests for the same set cause one fetch.
#[tokio::test]
async fn a_crowd_causes_one_fetch() {
    let (http, sets) = sets(Scripted::default().json(LINE, 200, &json!({ "keys": [] })));
    let there = Destination::given(URL);
    let crowd = (0..64).map(|_| sets.current(&there, at(0)));
    for answer in futures_util::future::join_all(crowd).await {
        answer.unwrap();
    }
    assert_eq!(http.lines().len(), 1);
}

/// ATK-32: the cache is bounded, however many URLs are asked for.
#[tokio::test]
async fn the_cache_is_bounded() {
    let (_, sets) = sets(Scripted::default());
    for n in 0..5000 {
        sets.current(&Destination::given(format!("https://client.test/{n}")), at(0)).await.unwrap_err();
    }
    sets.known.run_pending_tasks();
    assert!(sets.known.entry_count() <= KeySets::URLS_MAX);
}

/// ATK-60: a token with a new key is accepted after one more fetch, and a flood of made-up keys causes a few fetches
/// and then one a minute.
#[tokio::test]
async fn a_check_that_lacks_a_key_gets_newer_ones_once() {
    let (old, new) = (json!({ "keys": [1] }), json!({ "keys": [2] }));
    let (http, sets) = sets(Scripted::default().json(LINE, 200, &old).json(LINE, 200, &new));
    let there = Destination::given(URL);
    let wants = |text: &'static str| move |keys: &str| if keys.contains(text) { Ok(()) } else { Err("unknown key") };
    let lacks = |error: &&str| *error == "unknown key";
    assert_eq!(sets.check(&there, at(0), wants("[1]"), lacks).await.unwrap(), Ok(()));
    assert_eq!(sets.check(&there, at(0), wants("[2]"), lacks).await.unwrap(), Err("unknown key"));
    assert_eq!(http.lines().len(), 1, "within a second nothing is fetched again");
    assert_eq!(sets.check(&there, at(60), wants("[2]"), lacks).await.unwrap(), Ok(()));
    assert_eq!(http.lines().len(), 2);
    for second in 61..120 {
        assert_eq!(sets.check(&there, at(second), wants("[3]"), lacks).await.unwrap(), Err("unknown key"));
    }
    assert_eq!(http.lines().len(), 6);
    // There is no further fetch for an error that newer keys cannot fix.
    let other = |_: &str| Err::<(), &str>("wrong signature");
    assert_eq!(sets.check(&there, at(600), other, lacks).await.unwrap(), Err("wrong signature"));
    assert_eq!(http.lines().len(), 6);
}
