//! Headers, signatures and spellings that a verifier must refuse (ATK-54).

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::{ISSUER, World, claims, key, world};
use crate::forge;
use crate::verify::VerifyError;

const ALGORITHMS: &str =
    "none None NONE nOnE HS256 HS384 HS512 RS256 RS384 PS256 ES384 ES512 EdDSA ES256K es256 A128KW dir";
const TYPES: &str = "JWT jwt AT+JWT at+JWT id_token oauth-id-jag+jwt logout+jwt client-authentication+jwt secevent+jwt \
     dpop+jwt token-introspection+jwt sekisho-identity+jwt application/jwt application/at+jwt;v=1";
const KIDS: &str =
    "../../dev/null /etc/passwd key_* https://evil.example/key key_00000000000000000000000000000000 KEY 0 ' -- %00";

type Row = (String, VerifyError);

fn good_header(world: &World) -> Value {
    json!({ "typ": "at+jwt", "alg": "ES256", "kid": world.key.id().to_string() })
}

fn with(header: &Value, name: &str, value: Value) -> String {
    let mut header = header.clone();
    header[name] = value;
    header.to_string()
}

/// Headers in which one of our three members has another value, another type, or is missing.
fn altered_members(world: &World) -> Vec<Row> {
    let good = good_header(world);
    let kid = world.key.id().to_string();
    let (stranger, upper) = (key(99).id().to_string(), kid.to_uppercase());
    let (blank, nul, quoted) = (format!("{kid} "), format!("{kid}\0"), format!("{kid}' OR 1=1 --"));
    let mut rows = vec![];
    for (name, reason, values) in [
        ("alg", VerifyError::Algorithm, ALGORITHMS.split(' ').chain(["", "ES256 "]).collect::<Vec<_>>()),
        ("typ", VerifyError::Type, TYPES.split_whitespace().chain(["", " at+jwt", "at+jwt "]).collect()),
        (
            "kid",
            VerifyError::UnknownKey,
            KIDS.split(' ').chain(["", &stranger, &upper, &blank, &nul, &quoted]).collect(),
        ),
    ] {
        rows.extend(values.into_iter().map(|value| (with(&good, name, json!(value)), reason)));
        for value in [json!(1), json!(["ES256"]), json!({}), json!(true)] {
            rows.push((with(&good, name, value), VerifyError::Malformed));
        }
        let absent = if name == "alg" { VerifyError::Malformed } else { reason };
        rows.push((with(&good, name, Value::Null), absent));
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(name);
        rows.push((without.to_string(), absent));
    }
    rows
}

/// Headers with one member more. Each asks the verifier to trust what the token says about itself, or to read it
/// differently.
fn added_members(world: &World) -> Vec<Row> {
    let good = good_header(world);
    let added = json!({
        "jwk": world.key.public_jwk(), "jku": "https://evil.example/jwks", "x5c": ["MIIB"], "x5u": "https://evil.example/c",
        "x5t": "abc", "x5t#S256": "abc", "crit": [], "b64": false, "zip": "DEF", "enc": "A256GCM", "p2c": 2_000_000_000,
        "p2s": "c2FsdA", "epk": {}, "cty": "JWT", "nonce": "n", "url": "https://h", "iss": ISSUER, "Alg": "none",
    });
    let mut rows: Vec<Row> = vec![];
    for (name, value) in added.as_object().unwrap() {
        rows.push((with(&good, name, value.clone()), VerifyError::Malformed));
    }
    for (name, value) in [("crit", json!(["exp"])), ("crit", json!(["b64"])), ("b64", json!(true))] {
        rows.push((with(&good, name, value), VerifyError::Malformed));
    }
    rows
}

/// Headers that are not a single JSON object which every reader reads the same way.
fn other_shapes(world: &World) -> Vec<Row> {
    let good = good_header(world).to_string();
    let inner = good.trim_matches(['{', '}']);
    let list = format!(r#"["ES256","at+jwt","{}"]"#, world.key.id());
    let mut rows: Vec<Row> = vec![];
    for twice in [r#""alg":"none""#, r#""alg":"ES256""#, r#""\u0061lg":"none""#, r#""typ":"JWT""#, r#""kid":"x""#] {
        rows.push((format!("{{{twice},{inner}}}"), VerifyError::Malformed));
        rows.push((format!("{{{inner},{twice}}}"), VerifyError::Malformed));
    }
    for whole in [list.as_str(), "null", "\"x\"", "{", &format!("{good} {{}}"), &format!("\u{feff}{good}"), "{}{}"] {
        rows.push((whole.to_owned(), VerifyError::Malformed));
    }
    rows
}

/// RS-30, RS-32, ATK-43, ATK-54: only our own form of header is accepted, even if the key signed another one.
#[test]
fn a_crafted_header_is_refused_for_its_own_reason() {
    let world = world();
    let rows = [altered_members(&world), added_members(&world), other_shapes(&world)].concat();
    assert!(rows.len() >= 80, "{}", rows.len());
    for (header, reason) in rows {
        assert_eq!(world.verify(&world.headed(&header)), Err(reason), "{header}");
    }
    let long = json!({ "alg": "ES256", "typ": "application/at+jwt", "kid": world.key.id().to_string() });
    assert_eq!(world.verify(&world.headed(&long.to_string())), Ok(claims()));
}

/// The order of the curve P-256, for signatures with a half that is out of range (SEC 1 §4.1.4).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// ATK-54: signatures that are zero ("psychic"), out of range, shortened, lengthened, by another key, or in another
/// encoding are refused.
#[test]
fn a_crafted_signature_is_refused() {
    let world = world();
    let (header, payload) = (world.header(), world.payload().to_string());
    let good = world.good();
    let bytes = URL_SAFE_NO_PAD.decode(good.rsplit('.').next().unwrap()).unwrap();
    let (r, s) = bytes.split_at(32);
    let one = [&[0; 31][..], &[1]].concat();
    let signed = good.rsplit_once('.').unwrap().0;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &world.key.to_pkcs8()).unwrap();
    let der = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), signed.as_bytes()).unwrap();
    let rows: Vec<Vec<u8>> = vec![
        vec![],
        vec![0; 64],
        vec![0; 32],
        vec![0xff; 64],
        [&[0; 32], s].concat(),
        [r, &[0; 32]].concat(),
        [&ORDER[..], &ORDER].concat(),
        [r, &ORDER].concat(),
        [&ORDER, s].concat(),
        [one.as_slice(), &one].concat(),
        [s, r].concat(),
        bytes[..63].to_vec(),
        [&bytes[..], &[0]].concat(),
        [&[0], &bytes[..]].concat(),
        [&bytes[..], &bytes].concat(),
        der.as_ref().to_vec(),
    ];
    for signature in rows {
        let token = forge::with_signature(&header, &payload, &signature);
        assert_eq!(world.verify(&token), Err(VerifyError::Signature), "{signature:?}");
    }
    let stranger = forge::signed(&key(2), &header, &payload);
    assert_eq!(world.verify(&stranger), Err(VerifyError::Signature));
    let mut other = world.payload();
    other["scope"] = json!("mcp:destructive");
    assert_eq!(world.verify(&forge::with_signature(&header, &other.to_string(), &bytes)), Err(VerifyError::Signature));
}

/// ATK-54 (algorithm confusion): the public key, in every form that an attacker has, does not work as a shared secret.
#[test]
fn the_public_key_is_no_shared_secret() {
    let world = world();
    let kid = world.key.id().to_string();
    let point = match world.key.decoding().kind() {
        jsonwebtoken::DecodingKeyKind::SecretOrDer(bytes) => bytes.clone(),
        jsonwebtoken::DecodingKeyKind::RsaModulusExponent { .. } => unreachable!("ours are elliptic"),
    };
    let jwk = world.key.public_jwk().to_string().into_bytes();
    let jwks = world.keys.jwks().to_string().into_bytes();
    for secret in [point, jwk, jwks, vec![]] {
        for (name, algorithm) in [("HS256", Algorithm::HS256), ("HS512", Algorithm::HS512)] {
            let header = json!({ "alg": name, "typ": "at+jwt", "kid": kid }).to_string();
            let signed =
                format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(world.payload().to_string()));
            let mac =
                jsonwebtoken::crypto::sign(signed.as_bytes(), &EncodingKey::from_secret(&secret), algorithm).unwrap();
            assert_eq!(world.verify(&format!("{signed}.{mac}")), Err(VerifyError::Algorithm));
        }
    }
}

/// ATK-54: only one spelling of the compact form is accepted, and no other serialization.
#[test]
fn another_spelling_is_refused() {
    let world = world();
    let good = world.good();
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(signature.chars().last().unwrap()).unwrap();
    let loose = format!("{}{}", &signature[..signature.len() - 1], &alphabet[last + 1..last + 2]);
    let flat = json!({ "protected": header, "payload": payload, "signature": signature }).to_string();
    let standard = format!("{header}.{payload}.{}", STANDARD.encode([&[0xfb, 0xff], &raw[2..]].concat()));
    let none = format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#));
    let long = forge::signed(&world.key, &world.header(), &format!("{}{}", world.payload(), " ".repeat(9000)));
    let rows = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        header.to_owned(),
        format!("{header}.{payload}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.x"),
        format!("{header}.{payload}.{payload}.{payload}.{signature}"),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{good}="),
        format!("{good}=="),
        format!("{header}.{payload}.{}", URL_SAFE.encode(&raw)),
        format!("{header}.{payload}.{loose}"),
        standard,
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{header}\n.{payload}.{signature}"),
        format!("Bearer {good}"),
        good.replace('.', ".\u{200b}"),
        format!("{good}\0"),
        good.replace('.', "。"),
        format!("{good},{good}"),
        flat.clone(),
        format!("[{flat}]"),
        long,
    ];
    for row in rows {
        assert_eq!(world.verify(&row), Err(VerifyError::Malformed), "{row}");
    }
    assert_eq!(world.verify(&none), Err(VerifyError::Algorithm));
}
