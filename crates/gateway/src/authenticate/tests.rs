//! The `Authorization` header as data.

use http::{HeaderMap, HeaderValue};

use super::{AuthenticateError, bearer};

fn headers(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append("authorization", HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// RS-13, ATK-47: every shape of the header is a token, absent, or malformed; nothing is guessed.
#[test]
fn an_authorization_header_is_a_token_or_absent_or_malformed() {
    for (values, expected) in [
        (&[][..], "missing"),
        (&["Bearer abc"], "abc"),
        (&["bearer abc"], "abc"),
        (&["BEARER  abc "], "abc"),
        (&["Bearer abc=="], "abc=="),
        (&["Basic dXNlcjpwYXNz"], "missing"),
        (&["DPoP abc"], "missing"),
        (&["Bearer"], "malformed"),
        (&["Bearer "], "malformed"),
        (&["Bearer ="], "malformed"),
        (&["Bearer a=b"], "malformed"),
        (&["Bearer a b"], "malformed"),
        (&["Bearer a,Bearer b"], "malformed"),
        (&["Bearer \"abc\""], "malformed"),
        (&["Bearer\tabc"], "malformed"),
        (&["Bearer é"], "malformed"),
        (&[""], "malformed"),
        (&[" abc"], "malformed"),
        (&["Bearer abc", "Bearer abc"], "malformed"),
        (&["Bearer abc", "Basic abc"], "malformed"),
    ] {
        let found = match bearer(&headers(values)) {
            Ok(token) => token.to_owned(),
            Err(AuthenticateError::Missing) => "missing".to_owned(),
            Err(AuthenticateError::Malformed) => "malformed".to_owned(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, expected, "{values:?}");
    }
}
