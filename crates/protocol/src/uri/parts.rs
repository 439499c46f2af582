//! The parts and the characters of a URI (RFC 3986).

/// The components of a URI (RFC 3986 §3) without a fragment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) scheme: &'a str,
    /// Behind `//`.
    pub(super) authority: Option<&'a str>,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
        let (hierarchy, query) = match rest.split_once('?') {
            Some((hierarchy, query)) => (hierarchy, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = match hierarchy.strip_prefix("//") {
            Some(inner) => {
                let end = inner.find('/').unwrap_or(inner.len());
                let (authority, path) = inner.split_at_checked(end).unwrap_or((inner, ""));
                (Some(authority), path)
            }
            None => (None, hierarchy),
        };
        Self { scheme, authority, path, query }
    }

    /// The user name, if there is one, and the host with its port.
    pub(super) fn user_and_host(authority: &'a str) -> (Option<&'a str>, &'a str) {
        match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        }
    }
}

/// RFC 3986 §2.3.
pub(super) fn is_unreserved(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~".contains(character)
}

/// Percent-decoded once; what is not UTF-8 is replaced.
pub(super) fn decoded(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let hexadecimal = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match hexadecimal.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(octet) if *first == b'%' => {
                octets.push(octet);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                octets.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}
