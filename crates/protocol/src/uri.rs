//! The URI of a resource, in the one spelling in which it is judged and forwarded.
//!
//! Servers find a resource by what their URL library makes of a text, rules compare the text. `file:/a`, `FILE:///a`
//! and `file:///./a` are one resource to most servers and three texts to a rule, so all but one of them are refused
//! (decision 0032). What a server may still fold, and what cannot be refused without refusing honest servers (case, a
//! query, a user name before the host), is in [`ResourceUri::readings`]: rules that take away look at those, too.

use std::fmt::{self, Display};

use url::Url;

use crate::text::{fold, is_invisible};

mod fold;
mod parts;
mod spelling;

pub use fold::{PatternPart, folded_pattern};
use parts::{Parts, decoded, is_unreserved};
use spelling::respelled;

/// Proof that a text is the canonical form of a resource's URI, or of an RFC 6570 template of such URIs.
///
/// No other constructor than [`ResourceUri::parse`] and [`ResourceUri::parse_template`]: whatever is judged by its URI
/// takes this type, so that nothing can be judged by an unchecked text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceUri {
    text: String,
    /// The text with every expression of a template replaced; absent for a URI.
    expanded: Option<String>,
}

/// Why a text is not the canonical form of a URI, and the canonical form where there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NotCanonical {
    /// What is wrong.
    pub why: UriFault,
    /// The spelling to use instead; absent where the text names nothing that could be served.
    pub canonical: Option<String>,
}

impl Display for NotCanonical {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "not the canonical form of a resource's URI: {}", self.why)?;
        match &self.canonical {
            Some(canonical) => write!(formatter, "; use `{canonical}`"),
            None => Ok(()),
        }
    }
}

/// What is wrong with a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UriFault {
    /// A character that RFC 3986 does not have, or not there.
    #[error("the character {0:?} must be percent-encoded")]
    Character(char),
    /// A path that climbs, in any encoding, also behind a path parameter (`..;x`).
    #[error("a segment is `.` or `..`")]
    DotSegment,
    /// `a//b`: some servers read it as `a/b`.
    #[error("a segment between two slashes is empty")]
    EmptySegment,
    /// `%2F`, `%5C`, `%00`, `%252e` and their like, and what looks like them to a server that normalises Unicode.
    #[error("an encoded slash, backslash, control character or percent sign is read differently by different servers")]
    Encoded,
    /// `%` without two upper-case hexadecimal digits.
    #[error("`%` must be followed by two hexadecimal digits in upper case")]
    EncodingDigits,
    /// A percent-encoded character that means the same without (RFC 3986 §6.2.2.2).
    #[error("the character {0:?} must not be percent-encoded")]
    EncodedNeedlessly(char),
    /// RFC 3986 §3.5: a fragment is for the client, and takes no part in finding a resource.
    #[error("a fragment is not part of a resource's URI")]
    Fragment,
    /// A `file:` URI of another machine; `localhost` is left out.
    #[error("a `file:` URI has no host")]
    FileHost,
    /// Nothing to see, but there: controls, marks of direction, fillers.
    #[error("it has an invisible character")]
    Invisible,
    /// Percent-encoded octets that are not UTF-8, such as overlong forms.
    #[error("its percent-encoded octets are not UTF-8")]
    NotUtf8,
    /// No scheme.
    #[error("it is not absolute: a URI begins with a scheme and `:`")]
    Relative,
    /// `note:/a`, which many servers take for `note:///a`.
    #[error("one slash after the scheme is read like three by many servers")]
    SingleSlash,
    /// Another spelling comes out of the parser of the WHATWG URL Standard.
    #[error("URL parsers write it in another way")]
    Spelling,
    /// A template with a broken expression.
    #[error("an expression in braces is not one of RFC 6570")]
    Template,
    /// Longer than [`ResourceUri::BYTES_MAX`].
    #[error("it is longer than {} bytes", ResourceUri::BYTES_MAX)]
    TooLong,
    /// A user name before the host of a URL of the web.
    #[error("a user name before the host is not part of a resource's URI")]
    UserInfo,
}

impl ResourceUri {
    /// The longest URI, in bytes: the longest path of common file systems (4,096 bytes) with each byte percent-encoded.
    pub const BYTES_MAX: usize = 3 * 4096;

    /// Reads a URI. What is not in its canonical form is refused, with that form.
    pub fn parse(text: &str) -> Result<Self, NotCanonical> {
        match check(text) {
            Ok(()) => Ok(Self { text: text.to_owned(), expanded: None }),
            Err(why) => Err(NotCanonical { why, canonical: canonical(text) }),
        }
    }

    /// Reads a URI or a template of URIs (RFC 6570), as `resources/templates/list` and `completion/complete` name it.
    pub fn parse_template(text: &str) -> Result<Self, NotCanonical> {
        if !text.contains(['{', '}']) {
            return Self::parse(text);
        }
        let refused = |why| NotCanonical { why, canonical: None };
        if text.len() > Self::BYTES_MAX {
            return Err(refused(UriFault::TooLong));
        }
        let expanded = expanded(text).ok_or(refused(UriFault::Template))?;
        check(&expanded).map_err(refused)?;
        Ok(Self { text: text.to_owned(), expanded: Some(expanded) })
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a text is how a canonical URI can begin: what a task names with `*` behind it, or a rule with `like`.
    pub fn is_beginning(text: &str) -> bool {
        // The shortest continuations that make a whole of any beginning: of a segment, of a host, of the slashes.
        const CONTINUED: [&str; 6] = ["", "x", "/x", "//x", "///x", ":x"];
        let of_scheme = |character: char| character.is_ascii_lowercase() || "+-.".contains(character);
        text.chars().all(of_scheme) || CONTINUED.iter().any(|rest| check(&format!("{text}{rest}")).is_ok())
    }

    /// What servers may make of this URI that fold more than URL parsers do: see [`fold`]. Rules that take away hold
    /// for each of these readings. Of one URI: all of it; without user name and port; without query and path
    /// parameters; without either.
    pub fn readings(&self) -> [String; 4] {
        let parts = Parts::of(self.expanded.as_deref().unwrap_or(&self.text));
        [(false, false), (true, false), (false, true), (true, true)]
            .map(|(host_only, path_only)| fold::reading(&parts, host_only, path_only))
    }
}

impl Display for ResourceUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// The schemes whose URLs the WHATWG URL Standard gives a host of DNS, but for `file`.
const WEB: [&str; 5] = ["ftp", "http", "https", "ws", "wss"];

fn check(text: &str) -> Result<(), UriFault> {
    if text.len() > ResourceUri::BYTES_MAX {
        return Err(UriFault::TooLong);
    }
    let (scheme, rest) = text.split_once(':').ok_or(UriFault::Relative)?;
    let first = scheme.chars().next().ok_or(UriFault::Relative)?;
    let of_scheme = |character: char| character.is_ascii_alphanumeric() || "+-.".contains(character);
    if !first.is_ascii_alphabetic() || !scheme.chars().all(of_scheme) || rest.is_empty() {
        return Err(UriFault::Relative);
    }
    if text.contains('#') {
        return Err(UriFault::Fragment);
    }
    let parts = Parts::of(text);
    if let Some(authority) = parts.authority {
        component(authority, "[]@:")?;
    }
    component(parts.path, "/:@")?;
    component(parts.query.unwrap_or_default(), "/?:@")?;
    check_authority(&parts)?;
    check_path(&parts)?;
    check_query(parts.query.unwrap_or_default())?;
    match Url::parse(text) {
        Ok(url) if url.as_str() == text => Ok(()),
        Ok(_) | Err(_) => Err(UriFault::Spelling),
    }
}

/// The characters of one component: RFC 3986 `unreserved`, `sub-delims`, `extra`, and what must be encoded, encoded.
fn component(text: &str, extra: &str) -> Result<(), UriFault> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character == '%' {
            let digits = rest.as_str().get(..2).ok_or(UriFault::EncodingDigits)?;
            let is_upper = digits.bytes().all(|digit| digit.is_ascii_digit() || (b'A'..=b'F').contains(&digit));
            let octet = u8::from_str_radix(digits, 16).ok().filter(|_| is_upper).ok_or(UriFault::EncodingDigits)?;
            if is_unreserved(char::from(octet)) {
                return Err(UriFault::EncodedNeedlessly(char::from(octet)));
            }
            octets.push(octet);
            rest.nth(1);
            // `%252e` is `%2e` to who decodes once, and `.` to who decodes twice.
            let next = rest.as_str().get(..2).unwrap_or_default();
            if octet == b'%' && next.len() == 2 && next.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(UriFault::Encoded);
            }
        } else if is_unreserved(character) || "!$&'()*+,;=".contains(character) || extra.contains(character) {
            octets.push(u8::try_from(character).map_err(|_| UriFault::Character(character))?);
        } else {
            return Err(UriFault::Character(character));
        }
    }
    let decoded = String::from_utf8(octets).map_err(|_| UriFault::NotUtf8)?;
    if decoded.chars().any(char::is_control) {
        return Err(UriFault::Encoded);
    }
    if decoded.chars().any(is_invisible) { Err(UriFault::Invisible) } else { Ok(()) }
}

fn check_authority(parts: &Parts<'_>) -> Result<(), UriFault> {
    let Some(authority) = parts.authority else {
        return if parts.path.starts_with('/') { Err(UriFault::SingleSlash) } else { Ok(()) };
    };
    if parts.scheme == "file" && !authority.is_empty() {
        return Err(UriFault::FileHost);
    }
    let (user, host) = Parts::user_and_host(authority);
    let is_of_web = WEB.contains(&parts.scheme);
    if user.is_some() && is_of_web {
        return Err(UriFault::UserInfo);
    }
    // The root of DNS: `example.com.` is `example.com` to most servers.
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if is_of_web && name.ends_with('.') {
        return Err(UriFault::Spelling);
    }
    segment(&decoded(authority))
}

fn check_path(parts: &Parts<'_>) -> Result<(), UriFault> {
    let segments: Vec<&str> = match parts.path.strip_prefix('/') {
        Some(rest) if parts.authority.is_some() => rest.split('/').collect(),
        _ => parts.path.split('/').collect(),
    };
    for (at, raw) in segments.iter().enumerate() {
        // One slash at the end is a folder; elsewhere nothing between two slashes is nothing.
        if raw.is_empty() && at + 1 < segments.len() {
            return Err(UriFault::EmptySegment);
        }
        segment(&decoded(raw))?;
    }
    Ok(())
}

/// One decoded segment, also as a server reads it that normalises Unicode (`／`, `．．`) or cuts path parameters.
fn segment(decoded: &str) -> Result<(), UriFault> {
    let folded = fold(decoded);
    for text in [decoded, folded.as_ref()] {
        if text.contains(['/', '\\']) || text.chars().any(char::is_control) {
            return Err(UriFault::Encoded);
        }
        // A colon divides names of a URN, and a drive from a path.
        let mut names = text.split(':').map(|name| name.split(';').next().unwrap_or_default().trim_end_matches(' '));
        if names.any(|name| matches!(name, "." | "..")) {
            return Err(UriFault::DotSegment);
        }
    }
    // A percent sign that only comes of folding (`％2e`) is decoded by who folds first.
    if folded.matches('%').count() > decoded.matches('%').count() { Err(UriFault::Encoded) } else { Ok(()) }
}

/// Values of a query may hold slashes, which RFC 6570 encodes there; but no value climbs.
fn check_query(query: &str) -> Result<(), UriFault> {
    for value in query.split(['&', '=']) {
        let folded = fold(&decoded(value)).replace('\\', "/");
        let segments: Vec<&str> = folded.split('/').map(str::trim).collect();
        let climbs = segments.contains(&"..") || (segments.len() > 1 && segments.contains(&"."));
        if climbs {
            return Err(UriFault::DotSegment);
        }
    }
    Ok(())
}

/// The canonical form of what this text means to URL parsers, if it can be served at all.
fn canonical(text: &str) -> Option<String> {
    if text.len() > ResourceUri::BYTES_MAX {
        return None;
    }
    let found = respelled(text)?;
    (check(&found).is_ok() && found != text).then_some(found)
}

/// A template with each expression (RFC 6570 §2.2) replaced by the shortest thing that it can expand to.
fn expanded(template: &str) -> Option<String> {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    let mut has_query = false;
    while let Some((before, after)) = rest.split_once('{') {
        let (expression, behind) = after.split_once('}')?;
        has_query |= before.contains('?');
        text.push_str(before);
        let (operator, names) = match expression.chars().next()? {
            operator @ ('+' | '.' | '/' | ';' | '?' | '&') => (Some(operator), expression.get(1..)?),
            _ => (None, expression),
        };
        let is_name = |name: &str| {
            let plain = name.trim_end_matches('*').split(':').next().unwrap_or_default();
            !plain.is_empty() && plain.chars().all(|c| c.is_ascii_alphanumeric() || "_.%$-".contains(c))
        };
        if !names.split(',').all(is_name) {
            return None;
        }
        match operator {
            None | Some('+') => {}
            Some('?') if has_query => text.push('&'),
            Some('?') => {
                text.push('?');
                has_query = true;
            }
            Some(operator) => text.push(operator),
        }
        text.push('x');
        rest = behind;
    }
    if rest.contains('}') {
        return None;
    }
    text.push_str(rest);
    Some(text)
}

#[cfg(test)]
mod tests;
