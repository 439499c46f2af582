use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy};
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::secret::AccessToken;
use serde_json::Value;

use super::{ClientKey, DpopKey, KeyError, ProofOf};

fn parts(token: &str) -> (Value, Value, String, Vec<u8>) {
    let pieces: Vec<&str> = token.split('.').collect();
    let read = |at: usize| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(pieces[at]).unwrap()).unwrap();
    let signed = format!("{}.{}", pieces[0], pieces[1]);
    (read(0), read(1), signed, URL_SAFE_NO_PAD.decode(pieces[2]).unwrap())
}

/// RFC 9449 §4.2: a proof names the request and the token, contains only the public key, and is never repeated.
#[test]
fn a_proof_is_of_one_request() {
    let (clock, entropy) = (ManualClock::default(), SeededEntropy::from_seed(1));
    let key = DpopKey::generate().unwrap();
    let token = AccessToken::from_outside("the token");
    let request = ProofOf { method: "POST", url: "https://server.test/mcp?x=1#y", nonce: Some("n1") };
    let proof = key.proof(request, Some(&token), clock.now(), &entropy).unwrap();
    let (header, claims, signed, signature) = parts(&proof);
    assert_eq!((&header["typ"], &header["alg"]), (&"dpop+jwt".into(), &"ES256".into()));
    assert!(header["jwk"].get("d").is_none());
    assert_eq!(claims["htm"], "POST");
    assert_eq!(claims["htu"], "https://server.test/mcp");
    assert_eq!(claims["nonce"], "n1");
    assert_eq!(claims["iat"], clock.now().as_second());
    assert_eq!(claims["ath"].as_str().unwrap().len(), 43);
    let point: Vec<u8> = [vec![4], decode(&header["jwk"]["x"]), decode(&header["jwk"]["y"])].concat();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &signature).unwrap();

    let again = key.proof(request, Some(&token), clock.now(), &entropy).unwrap();
    assert_ne!(parts(&again).1["jti"], claims["jti"]);
    let kept = DpopKey::from_pkcs8(key.expose_pkcs8()).unwrap();
    assert_eq!(kept, key);
    assert_ne!(DpopKey::generate().unwrap(), key);
    assert_eq!(format!("{key:?}"), "DpopKey");
}

fn decode(value: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap()
}

/// CL-53: an assertion is for one issuer, short-lived, and signed with the algorithm of the key.
#[test]
fn a_client_speaks_for_itself() {
    let (clock, entropy) = (ManualClock::default(), SeededEntropy::from_seed(2));
    let client = ClientId::parse("cli_1").unwrap();
    for (algorithm, name) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "ES256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "ES384"),
        (&rcgen::PKCS_ED25519, "EdDSA"),
        (&rcgen::PKCS_RSA_SHA256, "RS256"),
    ] {
        let pem = rcgen::KeyPair::generate_for(algorithm).unwrap().serialize_pem();
        let key = ClientKey::from_pem(pem.as_bytes(), Some("k1".to_owned())).unwrap();
        let assertion = key.assertion(&client, "https://issuer.test", clock.now(), &entropy).unwrap();
        let (header, claims, _, signature) = parts(&assertion);
        assert_eq!((header["alg"].as_str(), header["kid"].as_str()), (Some(name), Some("k1")));
        assert_eq!((&claims["iss"], &claims["sub"]), (&"cli_1".into(), &"cli_1".into()));
        assert_eq!(claims["aud"], "https://issuer.test");
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
        assert!(signature.len() >= 64);
        assert_eq!(format!("{key:?}"), format!("ClientKey {{ algorithm: {name:?}, .. }}"));
    }
    for broken in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        assert_eq!(ClientKey::from_pem(broken.as_bytes(), None).unwrap_err(), KeyError::Unreadable);
    }
}
