//! Reads `WWW-Authenticate` (RFC 9110 §11.6.1, RFC 6750 §3, RFC 9728 §5.1) as servers send it: several schemes in one
//! line, several lines, and every spelling that the grammar allows (CL-02).

use std::collections::HashSet;

use ::http::HeaderMap;
use ::http::header::WWW_AUTHENTICATE;
use sekisho_protocol::scope::ScopeSet;

/// The content of a server's `Bearer` (or `DPoP`) challenge. It is untrusted; only `resource_metadata` and `scope` are
/// used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BearerChallenge {
    /// The error code, as it was sent.
    pub error: Option<String>,
    /// The description of the error, for developers.
    pub error_description: Option<String>,
    /// The URL of the resource's metadata (RFC 9728 §5.1).
    pub resource_metadata: Option<String>,
    /// The scopes that the request needs; they are authoritative (CL-23). `None` if the value is not a list of scopes.
    pub scope: Option<ScopeSet>,
    /// Whether a challenge has the scheme `DPoP`: the server accepts bound tokens (RFC 9449 §7.1).
    pub dpop: bool,
}

/// A challenge of any scheme: its parameters, with names in lower case.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

/// How many bytes of one header line are read.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// Returns the challenge of a response: the first `Bearer` one that names its resource metadata, else the first `DPoP`
/// one that does, else the first of all.
/// A challenge that has a parameter twice is not used: two readers would use different values (RS-18).
pub fn bearer(headers: &HeaderMap) -> Option<BearerChallenge> {
    let mut found: Vec<BearerChallenge> = Vec::new();
    let mut bound: Vec<BearerChallenge> = Vec::new();
    for line in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(line) = line.to_str() else { continue };
        if line.len() <= LINE_BYTES_MAX {
            let challenges = challenges(line);
            found.extend(challenges.iter().filter_map(|challenge| read(challenge, "bearer")));
            bound.extend(challenges.iter().filter_map(|challenge| read(challenge, "dpop")));
        }
    }
    let dpop = !bound.is_empty();
    found.extend(bound);
    let at = found.iter().position(|challenge| challenge.resource_metadata.is_some()).unwrap_or(0);
    (at < found.len()).then(|| BearerChallenge { dpop, ..found.swap_remove(at) })
}

fn read(challenge: &Challenge, scheme: &str) -> Option<BearerChallenge> {
    if challenge.scheme != scheme {
        return None;
    }
    let mut names = HashSet::with_capacity(challenge.parameters.len());
    let twice = challenge.parameters.iter().any(|(name, _)| !names.insert(name));
    if twice {
        return None;
    }
    let value =
        |wanted: &str| challenge.parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    Some(BearerChallenge {
        error: value("error"),
        error_description: value("error_description"),
        resource_metadata: value("resource_metadata"),
        scope: value("scope").and_then(|scope| scope.parse().ok()),
        dpop: false,
    })
}

/// Returns the challenges of one line. At the first violation of the grammar, reading ends, and the complete ones are
/// kept.
fn challenges(line: &str) -> Vec<Challenge> {
    let mut rest = line;
    let mut all: Vec<Challenge> = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            return all;
        }
        if let (Some(current), Some((value, after))) = (all.last_mut(), parameter_value(after)) {
            current.parameters.push((word.to_ascii_lowercase(), value));
            rest = after;
            // A parameter must be followed by a comma or by the end of the line.
            if !rest.trim_start_matches([' ', '\t']).is_empty()
                && !rest.trim_start_matches([' ', '\t']).starts_with(',')
            {
                all.pop();
                return all;
            }
            continue;
        }
        all.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
        rest = skip_token68(after);
    }
}

/// Splits off a `token` (RFC 9110 §5.6.2). Returns it and the rest.
fn token(text: &str) -> (&str, &str) {
    let is_tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let length = text.bytes().position(|b| !is_tchar(b)).unwrap_or(text.len());
    text.split_at_checked(length).unwrap_or((text, ""))
}

/// Splits off `BWS "=" BWS ( token / quoted-string )`. Returns the value and the rest.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let blank = [' ', '\t'];
    let text = text.trim_start_matches(blank).strip_prefix('=')?.trim_start_matches(blank);
    match text.strip_prefix('"') {
        Some(quoted) => quoted_string(quoted),
        None => {
            let (word, after) = token(text);
            (!word.is_empty()).then(|| (word.to_owned(), after))
        }
    }
}

/// Reads the rest of a `quoted-string` after its opening quote (RFC 9110 §5.6.4). Returns the value and what follows
/// it.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            other => value.push(other),
        }
    }
    None
}

/// Skips the `token68` that a scheme may have in place of parameters (`Negotiate YII=`).
fn skip_token68(text: &str) -> &str {
    let Some(word) = text.strip_prefix(' ') else { return text };
    let word = word.trim_start_matches(' ');
    let is_68 = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    let length = word.bytes().position(|b| !is_68(b)).unwrap_or(word.len());
    let (head, after) = word.split_at_checked(length).unwrap_or((word, ""));
    let after = after.trim_start_matches('=');
    let ends = after.trim_start_matches([' ', '\t']);
    if !head.is_empty() && (ends.is_empty() || ends.starts_with(',')) { after } else { text }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::{prop_assert_eq, proptest};
    use sekisho_protocol::challenge::{Challenge, ChallengeError};
    use sekisho_protocol::growth::in_proportion;

    use super::{BearerChallenge, bearer};

    fn read(lines: &[&str]) -> Option<BearerChallenge> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("www-authenticate", line.parse().unwrap());
        }
        bearer(&headers)
    }

    /// CL-02: the metadata URL is found in every spelling that the grammar allows, and nowhere else.
    #[test]
    fn the_metadata_url_is_found_in_every_spelling() {
        for lines in [
            &[r#"Bearer resource_metadata="https://h/m""#][..],
            &[r#"bearer Resource_Metadata="https://h/m""#],
            &[r#"BEARER   resource_metadata  =  "https://h/m"  "#],
            &[r#"Bearer realm="a, b=c", resource_metadata="https://h/m", error=invalid_token"#],
            &[r#"Bearer ,, error="x" ,, resource_metadata="https://h/m",,"#],
            &[r#"Basic realm="x", Bearer resource_metadata="https://h/m""#],
            &[r#"Negotiate, Bearer resource_metadata="https://h/m""#],
            &[r#"Negotiate YIIabc+/==, Bearer resource_metadata="https://h/m""#],
            &[r#"Digest realm="\"Bearer resource_metadata=\"", nonce=abc, Bearer resource_metadata="https:\/\/h/m""#],
            &[r#"Basic realm="x""#, r#"Bearer resource_metadata="https://h/m""#],
            &[r#"Bearer realm="first""#, r#"Bearer resource_metadata="https://h/m""#],
            &[r#"Bearer x_resource_metadata="https://evil/", resource_metadata="https://h/m""#],
            &[r#"Bearer resource_metadata="https://h/m", resource_metadata_x="https://evil/""#],
            &[r#"DPoP resource_metadata="https://evil/", Bearer resource_metadata="https://h/m""#],
        ] {
            let challenge = read(lines).unwrap_or_else(|| panic!("{lines:?}"));
            assert_eq!(challenge.resource_metadata.as_deref(), Some("https://h/m"), "{lines:?}");
        }
    }

    /// CL-02: similar names, other schemes and broken lines name no metadata.
    #[test]
    fn nothing_is_taken_from_what_is_no_bearer_challenge() {
        for lines in [
            &[][..],
            &[""],
            &["Basic realm=x"],
            &[r#"X-Bearer resource_metadata="https://h/m""#],
            &[r#"Bearer x_resource_metadata="https://h/m""#],
            &[r#"Bearer realm="resource_metadata=\"https://h/m\"""#],
            &[r#"Bearer resource_metadata="https://h/m"#],
            &[r#"Bearer resource_metadata="https://h/m" oops"#],
            &[r#"Bearer resource_metadata="https://h/m", resource_metadata="https://evil/""#],
            &[r#"Basic realm=", Bearer resource_metadata=https://h/m""#],
            &["Bearer"],
        ] {
            assert_eq!(read(lines).and_then(|challenge| challenge.resource_metadata), None, "{lines:?}");
        }
    }

    /// CL-22, CL-23: scopes are read as a set; a value that is not a list of scopes counts as absent.
    #[test]
    fn scopes_are_read() {
        let challenge =
            read(&[r#"Bearer error="insufficient_scope", scope="b a", error_description="why \"so\"""#]).unwrap();
        assert_eq!(challenge.scope, Some("a b".parse().unwrap()));
        assert_eq!(challenge.error.as_deref(), Some("insufficient_scope"));
        assert_eq!(challenge.error_description.as_deref(), Some("why \"so\""));
        assert_eq!(read(&[r#"Bearer scope="a \"b""#]).unwrap().scope, None);
    }

    /// ATK-273: the cost of reading a line grows in proportion to its length, even if it repeats something. (In use,
    /// lines are cut at 8 KiB.)
    #[test]
    fn reading_a_challenge_grows_with_the_line() {
        for (before, unit, after) in [
            ("Bearer ", "a#=b, ", "scope=x"),
            ("Bearer ", "a#=\"b\", ", ""),
            ("Bearer a=\"", "\\\"", "\""),
            ("Bearer a=\"", "x", ""),
            ("", "Bearer a=b, ", ""),
            ("", "Bearer ", ""),
            ("", "Negotiate abc+/==, ", ""),
            ("Bearer ", ", ", ""),
            ("Bearer ", "= ", ""),
            ("Bearer", " ", "x"),
        ] {
            let make = |count: usize| {
                let units = (0..count.min(2_000_000 / unit.len())).map(|at| unit.replace('#', &at.to_string()));
                format!("{before}{}{after}", units.collect::<String>())
            };
            in_proportion(unit, 256, make, |line| {
                let challenges = super::challenges(line);
                challenges.iter().filter_map(|challenge| super::read(challenge, "bearer")).count()
            });
        }
    }

    proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// The challenges that our gateway writes can be read here; a hostile value stays one parameter.
        #[test]
        fn writing_and_reading_are_inverse(url in "[ -~]{0,60}", scope in "[a-z]{1,5}( [a-z]{1,5}){0,3}") {
            let written = Challenge {
                error: Some(ChallengeError::InvalidToken),
                description: Some("a, b=\"c\" \\"),
                resource_metadata: url.clone(),
                scope: scope.parse().unwrap(),
            };
            let read = read(&[&written.to_header()]).unwrap();
            prop_assert_eq!(read.resource_metadata, Some(url));
            prop_assert_eq!(read.scope, Some(written.scope));
            prop_assert_eq!(read.error_description.as_deref(), written.description);
        }

        #[test]
        fn any_line_is_answered(line in "[ -~\t]{0,120}") {
            read(&[&line]);
        }
    }
}
