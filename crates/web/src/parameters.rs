//! Parameters of queries and forms (RFC 6749 appendix B), read strictly: ambiguous input is an error.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

/// The longest form or JSON body, in bytes. The largest honest one is the owner's first consent.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// How long a body may take to arrive (ATK-91).
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Decoded parameters in the order in which they were sent.
#[derive(Debug, Clone, Default)]
pub struct Parameters(Vec<(String, String)>);

/// Why a query or a form cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    /// The body came too late or is too long.
    #[error("the body did not arrive in time, or is longer than {BODY_BYTES_MAX} bytes")]
    Body,
    /// Percent-encoding that is not UTF-8.
    #[error("the parameters are not well-formed percent-encoded UTF-8")]
    Encoding,
    /// The media type is not that of a form.
    #[error("the body must be `application/x-www-form-urlencoded`")]
    MediaType,
    /// The URL of a form has a query.
    #[error("a POST takes its parameters from the body: its URL must not have a query")]
    Query,
    /// There are more parameters than any form has.
    #[error("there are more than {} parameters", Parameters::LEN_MAX)]
    TooMany,
}

impl Parameters {
    /// The most parameters in one request: a first consent has two for each tool.
    const LEN_MAX: usize = 2048;

    /// Reads `application/x-www-form-urlencoded` text strictly: input that two readers could read differently is an
    /// error (ATK-05).
    pub fn read(text: &str) -> Result<Self, ParametersError> {
        let mut all = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            all.push((decode(name)?, decode(value)?));
            if all.len() > Self::LEN_MAX {
                return Err(ParametersError::TooMany);
            }
        }
        Ok(Self(all))
    }

    /// The value of a parameter; none when it is absent or empty (RFC 6749 §3.1). The caller has to refuse
    /// repeated parameters first.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Returns every non-empty value of a parameter that may be repeated.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(found, value)| found == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Returns a parameter that occurs twice and is not one of `may_repeat` (RFC 6749 §3.1, ATK-05).
    pub fn repeated(&self, may_repeat: &[&str]) -> Option<&str> {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let twice = |pair: &[&str]| match pair {
            [one, two] => (one == two && !may_repeat.contains(one)).then(|| (*one).to_owned()),
            _ => None,
        };
        let found = names.windows(2).find_map(twice)?;
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| *name == found)
    }
}

/// Decodes one name or value.
pub fn decode(text: &str) -> Result<String, ParametersError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let high = rest.next().and_then(hex).ok_or(ParametersError::Encoding)?;
                let low = rest.next().and_then(hex).ok_or(ParametersError::Encoding)?;
                bytes.push((high << 4) | low);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| ParametersError::Encoding)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The body of a form, and the header that may hold a client's credentials.
#[derive(Debug)]
pub struct Form {
    /// The posted parameters, if they can be read.
    pub parameters: Result<Parameters, ParametersError>,
    /// Every `Authorization` header.
    pub authorization: Vec<HeaderValue>,
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let authorization = parts.headers.get_all(AUTHORIZATION).iter().cloned().collect();
        let queried = parts.uri.query().is_some_and(|query| !query.is_empty());
        let parameters = if queried {
            Err(ParametersError::Query)
        } else if is_form(&parts.headers) {
            match whole_body(body, BODY_BYTES_MAX).await {
                Some(bytes) => {
                    std::str::from_utf8(&bytes).map_err(|_| ParametersError::Encoding).and_then(Parameters::read)
                }
                None => Err(ParametersError::Body),
            }
        } else {
            Err(ParametersError::MediaType)
        };
        Ok(Self { parameters, authorization })
    }
}

/// Reads a body, or returns `None` if it does not arrive in time or is longer than `bytes_max`.
pub async fn whole_body(body: Body, bytes_max: usize) -> Option<Bytes> {
    tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, bytes_max)).await.ok()?.ok()
}

fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use super::{Parameters, ParametersError};

    /// ATK-05: a repeated parameter is found in any position, also if one of the two is empty.
    #[test]
    fn a_repeated_parameter_is_found() {
        let found = |text: &str| Parameters::read(text).unwrap().repeated(&["resource"]).map(str::to_owned);
        assert_eq!(found("a=1&b=2&a=1"), Some("a".to_owned()));
        assert_eq!(found("a=&b=2&a=1"), Some("a".to_owned()));
        assert_eq!(found("client%5Fid=1&client_id=2"), Some("client_id".to_owned()));
        assert_eq!(found("resource=1&resource=2"), None);
        assert_eq!(found("a=1&b=1"), None);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_read() {
        for bad in ["a=%", "a=%2", "a=%zz", "a=%ff", "%c3=1", "a=%+1"] {
            assert_eq!(Parameters::read(bad).unwrap_err(), ParametersError::Encoding, "{bad}");
        }
        let many = "a=1&".repeat(3000);
        assert_eq!(Parameters::read(&many).unwrap_err(), ParametersError::TooMany);
    }

    #[test]
    fn an_empty_parameter_is_an_absent_one() {
        let parameters = Parameters::read("a=&b&c=x+y%20z").unwrap();
        assert_eq!(parameters.one("a"), None);
        assert_eq!(parameters.one("b"), None);
        assert_eq!(parameters.one("c"), Some("x y z"));
    }
}
