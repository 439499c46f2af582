//! Crafted tokens as data: each differs from a valid one only in the named way.
#![expect(clippy::string_slice, reason = "tokens are ASCII")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey};
use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert, prop_assert_eq, prop_assume, proptest};
use sekisho_protocol::caller::{ActorPath, Subject};
use sekisho_protocol::env::SeededEntropy;
use sekisho_protocol::ids::{ClientId, GrantId, KeyId, TaskId, TokenId, UserId};
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::secret::{AuthorizationCode, ClientSecret, RefreshToken, SessionToken};
use serde_json::{Value, json};

use super::{Expectation, VerifyError, claimed_audience, verify};
use crate::claims::AccessClaims;
use crate::forge;
use crate::jws::Compact;
use crate::keys::{KeyDuty, KeyEntry, Keys, SigningKey};
use crate::sign::{SignError, sign};

mod crafted;

const ISSUER: &str = "https://sekisho.example";
const RESOURCE: &str = "https://sekisho.example/mcp/notes";
const NOW: i64 = 1_767_225_600;

struct World {
    key: SigningKey,
    keys: Keys,
    audience: ResourceId,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn key(seed: u64) -> SigningKey {
    SigningKey::generate(KeyId::generate(at(NOW), &SeededEntropy::from_seed(seed))).unwrap()
}

fn world() -> World {
    let key = key(1);
    let keys = Keys::new(vec![KeyEntry { key: key.clone(), duty: KeyDuty::Sign }]).unwrap();
    World { key, keys, audience: ResourceId::parse(RESOURCE).unwrap() }
}

fn client(name: &str) -> ClientId {
    ClientId::parse(name).unwrap()
}

fn claims() -> AccessClaims {
    let entropy = SeededEntropy::default();
    AccessClaims {
        iss: ISSUER.to_owned(),
        sub: Subject::User(UserId::generate(at(NOW), &entropy)),
        aud: ResourceId::parse(RESOURCE).unwrap(),
        client_id: client("cli_b"),
        scope: "mcp:read tool:add".parse().unwrap(),
        grant: GrantId::generate(at(NOW), &entropy),
        epoch: 3,
        path: ActorPath::new(vec![client("cli_a"), client("cli_b")]).unwrap(),
        task: Some(TaskId::generate(at(NOW), &entropy)),
        iat: at(NOW),
        exp: at(NOW + 600),
        jti: TokenId::generate(at(NOW), &entropy),
    }
}

impl World {
    fn expect(&self) -> Expectation<'_> {
        Expectation::new(ISSUER, &self.audience, at(NOW + 1))
    }

    fn verify(&self, token: &str) -> Result<AccessClaims, VerifyError> {
        verify(&self.keys, token, &self.expect())
    }

    fn good(&self) -> String {
        sign(&self.keys, &claims()).unwrap().expose().to_owned()
    }

    fn header(&self) -> String {
        part(&self.good(), 0)
    }

    fn payload(&self) -> Value {
        serde_json::from_str(&part(&self.good(), 1)).unwrap()
    }

    /// Signs a valid payload under this header.
    fn headed(&self, header: &str) -> String {
        forge::signed(&self.key, header, &self.payload().to_string())
    }

    /// Signs this payload under a valid header, and verifies the token.
    fn claiming(&self, payload: &Value) -> Result<AccessClaims, VerifyError> {
        self.verify(&forge::signed(&self.key, &self.header(), &payload.to_string()))
    }
}

fn part(token: &str, index: usize) -> String {
    let encoded = token.split('.').nth(index).unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
}

/// RS-27, RS-32: the claims that were signed are returned; the header names type, algorithm and key.
#[test]
fn a_good_token_is_believed() {
    let world = world();
    assert_eq!(world.verify(&world.good()), Ok(claims()));
    let header: Value = serde_json::from_str(&world.header()).unwrap();
    assert_eq!(header, json!({ "typ": "at+jwt", "alg": "ES256", "kid": world.key.id().to_string() }));
}

/// RFC 9068 §2.2, RFC 8693 §4.1: the claims have their registered names, and the nested actor is a copy of the path.
#[test]
fn the_claims_have_their_registered_names() {
    let payload = world().payload();
    let mut names: Vec<&str> = payload.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = "act aud client_id epoch exp grant iat iss jti path scope sub task";
    assert_eq!(names.join(" "), expected);
    assert_eq!(payload["aud"], json!(RESOURCE));
    assert_eq!(payload["path"], json!(["cli_a", "cli_b"]));
    assert_eq!(payload["act"], json!({ "sub": "cli_b", "act": { "sub": "cli_a" } }));
}

/// RFC 7515 appendix A.3: a published token that others made is read as they read it.
#[test]
fn the_example_of_the_rfc_verifies() {
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let key = DecodingKey::from_ec_components(
        "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    )
    .unwrap();
    assert_eq!(Compact::read(token).unwrap().verify(&key, Algorithm::ES256), Ok(()));
}

/// ATK-55: every claim with every wrong type and a valid signature: a value that cannot be read is refused, and never
/// taken as absent.
#[test]
fn a_mistyped_claim_is_refused() {
    let world = world();
    let values = [
        "null",
        "true",
        "0",
        "-1",
        "1.5",
        "1e3",
        "1e400",
        "99999999999999999999",
        "-9223372036854775808",
        "9223372036854775807",
        "\"\"",
        "\"x\"",
        "\"1767226200\"",
        "[]",
        "[1]",
        "[[\"x\"]]",
        "[null]",
        "{}",
        "{\"a\":{\"b\":[]}}",
        "[\"cli_b\"]",
    ];
    // These have the right type and are valid: an empty scope, a scope named `x`, any epoch, an `nbf` in the past.
    let passing = |name: &str, value: &str| match name {
        "scope" => value.starts_with('"'),
        "epoch" => ["0", "-1", "-9223372036854775808", "9223372036854775807"].contains(&value),
        "nbf" => value == "0",
        _ => false,
    };
    let names = [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "scope",
        "cnf",
        "act",
        "client_id",
        "grant",
        "epoch",
        "path",
        "task",
    ];
    for name in names {
        for value in values {
            let mut payload = world.payload();
            payload.as_object_mut().unwrap().remove(name);
            let inner = payload.to_string();
            let inner = inner.strip_suffix('}').unwrap();
            let token = forge::signed(&world.key, &world.header(), &format!("{inner},\"{name}\":{value}}}"));
            assert_eq!(world.verify(&token).is_ok(), passing(name, value), "{name}: {value}");
        }
    }
}

/// RS-32, ATK-55: a missing claim is refused, unless it is optional.
#[test]
fn a_missing_claim_is_refused() {
    let world = world();
    for name in
        ["iss", "sub", "aud", "exp", "iat", "jti", "scope", "act", "client_id", "grant", "epoch", "path", "task"]
    {
        let mut payload = world.payload();
        payload.as_object_mut().unwrap().remove(name);
        assert_eq!(world.claiming(&payload).is_ok(), name == "task", "{name}");
    }
}

/// ATK-55: a duplicate claim is refused, whichever of the two is the valid one.
#[test]
fn a_claim_that_occurs_twice_is_refused() {
    let world = world();
    let payload = world.payload();
    for (name, value) in payload.as_object().unwrap() {
        let inner = payload.to_string();
        let (head, tail) = (inner.strip_suffix('}').unwrap(), inner.strip_prefix('{').unwrap());
        for twice in [format!("{{\"{name}\":{value},{tail}"), format!("{head},\"{name}\":{value}}}")] {
            let token = forge::signed(&world.key, &world.header(), &twice);
            assert_eq!(world.verify(&token), Err(VerifyError::Claims), "{twice}");
        }
    }
}

/// RS-28, RS-29: only this server's own identifier is accepted as the audience.
#[test]
fn only_the_asked_server_is_the_audience() {
    let world = world();
    let claim = |aud: Value| {
        let mut payload = world.payload();
        payload["aud"] = aud;
        world.claiming(&payload).map(|claims| claims.aud)
    };
    for good in [
        json!(RESOURCE),
        json!([RESOURCE]),
        json!(["https://other.example", RESOURCE]),
        json!("HTTPS://Sekisho.example/mcp/notes"),
    ] {
        assert_eq!(claim(good.clone()), Ok(world.audience.clone()), "{good}");
    }
    for bad in [
        json!("api"),
        json!("*"),
        json!("https://sekisho.example"),
        json!("https://sekisho.example/mcp"),
        json!("https://sekisho.example/mcp/"),
        json!("https://sekisho.example/mcp/note"),
        json!("https://sekisho.example/mcp/notes/"),
        json!("https://sekisho.example/mcp/Notes"),
        json!("https://sekisho.example/mcp/notes?x"),
        json!("https://sekisho.example:443/mcp/notes"),
        json!("http://sekisho.example/mcp/notes"),
        json!([]),
        json!(["https://sekisho.example/mcp/other"]),
    ] {
        assert_eq!(claim(bad.clone()), Err(VerifyError::Audience), "{bad}");
    }
}

/// RFC 8693: a token that is to be exchanged names its server as a single string; any other audience counts as none.
#[test]
fn the_claimed_audience_is_one_server_or_none() {
    let world = world();
    assert_eq!(claimed_audience(&world.good()), Some(world.audience.clone()));
    for aud in [json!([RESOURCE]), json!(["https://other.example", RESOURCE]), json!([]), json!("api"), json!(1)] {
        let mut payload = world.payload();
        payload["aud"] = aud.clone();
        let token = forge::signed(&world.key, &world.header(), &payload.to_string());
        assert_eq!(claimed_audience(&token), None, "{aud}");
    }
    assert_eq!(claimed_audience("nonsense"), None);
}

/// RS-30, RS-31, ATK-56: a token of another issuer is refused, although the same key signed it.
#[test]
fn only_the_pinned_issuer_is_believed() {
    let world = world();
    for iss in [
        "",
        "https://sekisho.example/",
        "https://sekisho.example/tenant",
        "https://SEKISHO.example",
        "http://sekisho.example",
    ] {
        let mut payload = world.payload();
        payload["iss"] = json!(iss);
        assert_eq!(world.claiming(&payload), Err(VerifyError::Issuer), "{iss}");
    }
}

/// ATK-55: expiry and the other times are checked to the second, with at most a minute of leeway.
#[test]
fn a_token_is_good_from_its_making_to_its_end() {
    let world = world();
    let good = world.good();
    let ask = |now: i64, leeway_seconds: u32| {
        let expect = Expectation { leeway_seconds, now: at(now), ..world.expect() };
        verify(&world.keys, &good, &expect).map(|_| ())
    };
    for (now, leeway, answer) in [
        (NOW, 0, Ok(())),
        (NOW - 1, 0, Err(VerifyError::NotYetValid)),
        (NOW - 30, 30, Ok(())),
        (NOW - 31, 30, Err(VerifyError::NotYetValid)),
        (NOW + 599, 0, Ok(())),
        (NOW + 600, 0, Err(VerifyError::Expired)),
        (NOW + 629, 30, Ok(())),
        (NOW + 630, 30, Err(VerifyError::Expired)),
        (NOW + 659, u32::MAX, Ok(())),
        (NOW + 660, u32::MAX, Err(VerifyError::Expired)),
        (NOW - 61, u32::MAX, Err(VerifyError::NotYetValid)),
    ] {
        assert_eq!(ask(now, leeway), answer, "{} {leeway}", now - NOW);
    }
    for (name, value, answer) in [
        ("nbf", NOW + 31, Ok(())),
        ("nbf", NOW + 32, Err(VerifyError::NotYetValid)),
        ("exp", NOW, Err(VerifyError::Claims)),
        ("exp", NOW - 1, Err(VerifyError::Claims)),
        ("exp", NOW + 86_400, Ok(())),
        ("exp", NOW + 86_401, Err(VerifyError::Claims)),
        ("exp", 253_402_207_201, Err(VerifyError::Claims)),
        ("iat", -1, Err(VerifyError::Claims)),
    ] {
        let mut payload = world.payload();
        payload[name] = json!(value);
        assert_eq!(world.claiming(&payload).map(|_| ()), answer, "{name} {}", value - NOW);
    }
}

/// ATK-60: a key whose window is over is treated like an unknown one.
#[test]
fn a_token_of_a_retired_key_is_refused() {
    let world = world();
    let good = world.good();
    let retired = |until| {
        let old = KeyEntry { key: world.key.clone(), duty: KeyDuty::Verify { until: at(until) } };
        let keys = Keys::new(vec![old, KeyEntry { key: key(2), duty: KeyDuty::Sign }]).unwrap();
        verify(&keys, &good, &world.expect()).map(|_| ())
    };
    assert_eq!(retired(NOW + 2), Ok(()));
    assert_eq!(retired(NOW + 1), Err(VerifyError::UnknownKey));
}

/// The path decides, so a token whose copy of it differs is not ours (product: paths).
#[test]
fn path_client_and_act_agree() {
    let world = world();
    for (name, value) in [
        ("client_id", json!("cli_a")),
        ("path", json!(["cli_b"])),
        ("path", json!(["cli_b", "cli_a"])),
        ("path", json!(["cli_a", "cli_b", "cli_a"])),
        ("act", json!({ "sub": "cli_b" })),
        ("act", json!({ "sub": "cli_a", "act": { "sub": "cli_b" } })),
        ("act", json!({ "sub": "cli_b", "act": { "sub": "cli_a" }, "x": 1 })),
    ] {
        let mut payload = world.payload();
        payload[name] = value.clone();
        assert_eq!(world.claiming(&payload), Err(VerifyError::Claims), "{name} {value}");
    }
}

/// RS-30, ATK-43: nothing else that we hand out is accepted as an access token.
#[test]
fn no_other_artefact_is_an_access_token() {
    let world = world();
    let entropy = SeededEntropy::default();
    let opaque = [
        RefreshToken::generate(&entropy).expose().to_owned(),
        AuthorizationCode::generate(&entropy).expose().to_owned(),
        ClientSecret::generate(&entropy).expose().to_owned(),
        SessionToken::generate(&entropy).expose().to_owned(),
    ];
    for token in opaque {
        assert_eq!(world.verify(&token), Err(VerifyError::Malformed), "{token}");
    }
}

/// Claims that a verifier would refuse are not signed.
#[test]
fn an_impossible_token_is_not_signed() {
    let world = world();
    let refused = |change: &dyn Fn(&mut AccessClaims)| {
        let mut claims = claims();
        change(&mut claims);
        sign(&world.keys, &claims).unwrap_err()
    };
    assert!(matches!(refused(&|claims| claims.exp = claims.iat), SignError::Lifetime));
    assert!(matches!(refused(&|claims| claims.exp = at(NOW + 86_401)), SignError::Lifetime));
    assert!(matches!(refused(&|claims| claims.client_id = client("cli_a")), SignError::Path));
    let many = (0..250).map(|n| Scope::tool(&format!("{n}{}", "x".repeat(100)))).collect::<ScopeSet>();
    assert!(matches!(refused(&|claims| claims.scope = many.clone()), SignError::TooLong));
}

fn any_claims() -> impl Strategy<Value = AccessClaims> {
    let names = prop::collection::btree_set("[a-z]{1,12}", 1..=ActorPath::HOPS_MAX);
    let scopes = prop::collection::btree_set("[!#-\\[\\]-~]{1,20}", 0..8);
    (names, scopes, any::<i64>(), 1..86_400_i64, any::<bool>(), any::<bool>()).prop_map(
        |(names, scopes, epoch, life, task, service)| {
            let path = ActorPath::new(names.iter().map(|name| client(name)).collect()).unwrap();
            let client_id = path.last().unwrap().clone();
            let scope = scopes.iter().map(|scope| scope.parse::<Scope>().unwrap()).collect();
            let base = claims();
            let sub = if service { Subject::Service(client_id.clone()) } else { base.sub.clone() };
            AccessClaims {
                sub,
                client_id,
                scope,
                epoch,
                task: base.task.filter(|_| task),
                exp: at(NOW + life),
                path,
                ..base
            }
        },
    )
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Every token that can be signed is accepted, with the same claims.
    #[test]
    fn signing_and_verifying_are_inverse(claims in any_claims()) {
        let world = world();
        let token = sign(&world.keys, &claims).unwrap();
        prop_assert_eq!(world.verify(token.expose()), Ok(claims));
    }

    /// ATK-54: changing any one character of a token makes it invalid.
    #[test]
    fn no_character_of_a_token_can_be_changed(place in any::<prop::sample::Index>(), other in "[A-Za-z0-9_.=-]") {
        let world = world();
        let good = world.good();
        let index = place.index(good.len());
        let mutant = format!("{}{other}{}", &good[..index], &good[index + 1..]);
        prop_assume!(mutant != good);
        prop_assert!(world.verify(&mutant).is_err());
    }

    /// No text makes the reader panic: it returns an error.
    #[test]
    fn any_text_is_answered(text in ".{0,200}") {
        prop_assert!(world().verify(&text).is_err());
    }
}
