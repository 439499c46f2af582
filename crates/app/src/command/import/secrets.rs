//! Finds the secrets in a text: by the name of the text, and by what it looks like.
//!
//! Nothing that is recognised here is shown or written into a configuration. A false match does no harm: the text is
//! masked, and kept in a file of its own.

use serde_json::Value;

/// A part of a text, and whether it is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut<'a> {
    pub(super) secret: bool,
    pub(super) text: &'a str,
}

impl<'a> Cut<'a> {
    fn plain(text: &'a str) -> Self {
        Self { secret: false, text }
    }

    fn secret(text: &'a str) -> Self {
        Self { secret: true, text }
    }
}

/// Where a text was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextPosition {
    /// A header of HTTP: its value is a secret unless its name says otherwise.
    Header,
    /// A variable, an option or a member.
    Named,
}

/// Known prefixes of credentials.
const KNOWN: [&str; 28] = [
    "AIza",
    "AKIA",
    "ASIA",
    "eyJ",
    "dapi",
    "dop_v1_",
    "figd_",
    "gho_",
    "ghp_",
    "ghr_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "gsk_",
    "hf_",
    "lin_api_",
    "npm_",
    "ntn_",
    "pk_live_",
    "pypi-",
    "rk_live_",
    "secret_",
    "sk-",
    "sk_live_",
    "sk_test_",
    "xapp-",
    "xox",
];
/// How many bytes have to follow such a prefix at least.
const KNOWN_REST_MIN: usize = 8;
/// Texts that make a name that of a secret, wherever they occur in it.
const INSIDE: [&str; 18] = [
    "accesskey",
    "apikey",
    "authkey",
    "authorization",
    "bearer",
    "connectionstring",
    "connstr",
    "cookie",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "secretkey",
    "signature",
    "subscriptionkey",
    "token",
];
/// Texts that make a name that of a secret only as a whole word of it.
const WORDS: [&str; 15] =
    ["auth", "cred", "creds", "jwt", "key", "otp", "pass", "passcode", "pat", "pin", "psk", "pw", "pwd", "sid", "sig"];
/// Last words of names that hold something about a secret, not the secret itself.
const ABOUT: [&str; 38] = [
    "alg",
    "algorithm",
    "audience",
    "count",
    "dir",
    "directory",
    "enabled",
    "endpoint",
    "expiry",
    "file",
    "folder",
    "format",
    "host",
    "id",
    "issuer",
    "length",
    "level",
    "limit",
    "max",
    "method",
    "min",
    "mode",
    "name",
    "path",
    "port",
    "prefix",
    "provider",
    "scope",
    "scopes",
    "server",
    "size",
    "timeout",
    "ttl",
    "type",
    "uri",
    "url",
    "user",
    "version",
];
/// Names that are those of secrets only in the query of a URL.
const IN_QUERIES: [&str; 5] = ["code", "k", "s", "sas", "t"];
/// Segments of a path after which a secret follows.
const BEFORE_SECRETS: [&str; 7] = ["api-key", "api_key", "apikey", "key", "secret", "token", "webhook"];
/// Headers that are not credentials.
const OPEN_HEADERS: [&str; 13] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-type",
    "host",
    "mcp-protocol-version",
    "origin",
    "prefer",
    "referer",
    "user-agent",
    "x-mcp-readonly",
    "x-mcp-toolsets",
];
/// Values that are not secrets, and names of authentication schemes, which come before a secret.
const HARMLESS: [&str; 16] = [
    "", "0", "1", "apikey", "basic", "bearer", "digest", "false", "no", "none", "null", "off", "on", "token", "true",
    "yes",
];
/// Prefixes of packages that runners use: `npm:name@1.0` is not a user with a password.
const SCHEMES_OF_PACKAGES: [&str; 12] =
    ["docker", "file", "git", "github", "gitlab", "jsr", "link", "node", "npm", "oci", "pkg", "workspace"];

/// Divides a text into parts, in order; joined, they are the text again.
pub(super) fn cut<'a>(place: TextPosition, name: &str, text: &'a str) -> Vec<Cut<'a>> {
    if is_harmless(text) {
        return vec![Cut::plain(text)];
    }
    let named = match place {
        TextPosition::Header => !OPEN_HEADERS.contains(&name.to_ascii_lowercase().as_str()),
        TextPosition::Named => is_secret_name(name),
    };
    if named {
        return vec![Cut::secret(text)];
    }
    if let Some((before, value)) = header_line(text)
        && (is_secret_name(before.trim_end_matches([':', ' '])) || is_header_option(name))
    {
        let mut parts = vec![Cut::plain(before)];
        parts.extend(cut(TextPosition::Header, before.trim_end_matches([':', ' ']), value));
        return parts;
    }
    if text.contains("://") && !text.contains(char::is_whitespace) {
        return cut_url(text);
    }
    if looks_secret(text) { vec![Cut::secret(text)] } else { vec![Cut::plain(text)] }
}

/// Divides one word of a command into parts; `before` is the word before it.
pub(super) fn cut_word<'a>(before: &str, word: &'a str) -> Vec<Cut<'a>> {
    let option = if before.starts_with('-') && !before.contains('=') { before.trim_start_matches('-') } else { "" };
    let is_option = word.starts_with("--") || (word.starts_with('-') && word.len() <= 2);
    if !option.is_empty() && !is_option && !is_harmless(word) && is_secret_name(option) {
        return vec![Cut::secret(word)];
    }
    // An assignment, such as `-e NAME=VALUE` or `--name=value`. The `=` in the query of a URL is none.
    let assigned =
        word.split_once('=').filter(|(name, _)| !name.contains("://") && !name.contains(char::is_whitespace));
    if let Some((name, value)) = assigned {
        let name = name.trim_start_matches('-');
        let parts = cut(TextPosition::Named, name, value);
        let (start, _) = word.split_at(word.len() - value.len());
        // A connection string may have its password in any part.
        let whole = looks_secret(word) && parts.iter().all(|part| !part.secret);
        let mut all = vec![Cut::plain(start)];
        all.extend(if whole { vec![Cut::secret(value)] } else { parts });
        return all;
    }
    if is_option {
        return vec![Cut::plain(word)];
    }
    if matches!(option, "u" | "user") && word.split_once(':').is_some_and(|(_, password)| !password.is_empty()) {
        return vec![Cut::secret(word)];
    }
    cut(TextPosition::Named, option, word)
}

/// Returns whether an option takes an HTTP header line.
fn is_header_option(name: &str) -> bool {
    matches!(name, "H" | "header" | "headers" | "http-header")
}

/// Returns whether a name is that of a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let words = words(name);
    let joined = words.concat();
    if words.iter().any(|word| word == "sid" || word == "session") && !joined.ends_with("timeout") {
        return words.len() > 1 || joined == "sid";
    }
    if words.last().is_some_and(|last| ABOUT.contains(&last.as_str())) {
        return false;
    }
    INSIDE.iter().any(|inside| joined.contains(inside)) || words.iter().any(|word| WORDS.contains(&word.as_str()))
}

/// Returns the words of a name, in lower case: `X-ApiKey` has x, api and key.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let characters: Vec<char> = name.chars().collect();
    for (at, character) in characters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| characters.get(at));
        let after = characters.get(at + 1);
        let begins = character.is_ascii_uppercase()
            && (before.is_some_and(char::is_ascii_lowercase)
                || (before.is_some_and(char::is_ascii_uppercase) && after.is_some_and(char::is_ascii_lowercase)));
        if !character.is_alphanumeric() || begins {
            words.push(String::new());
        }
        if character.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(character.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn is_harmless(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    HARMLESS.contains(&text.as_str())
}

/// Splits `Name: value` before the value.
fn header_line(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once(':')?;
    let is_name = !name.is_empty()
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if !is_name || rest.starts_with("//") {
        return None;
    }
    let value = rest.trim_start();
    Some(text.split_at(text.len() - value.len()))
}

/// Divides a URL of any scheme: its password, and the secrets in its path and its query.
fn cut_url(text: &str) -> Vec<Cut<'_>> {
    let Some(scheme) = text.find("://").map(|at| at + 3) else { return vec![Cut::plain(text)] };
    let (start, rest) = text.split_at(scheme);
    let mut parts = vec![Cut::plain(start)];
    // A password may hold any character, and readers disagree where it ends: we take everything up to the last `@`.
    let first = rest.find(['/', '@', '?', '#']).unwrap_or(rest.len());
    let (authority, _) = rest.split_at(first);
    let rest = match (authority.find(':'), rest.rfind('@')) {
        (Some(colon), Some(at)) if colon < at && (at == first || !is_port(authority, colon)) => {
            let (user, tail) = rest.split_at(colon + 1);
            let (password, tail) = tail.split_at(at - colon - 1);
            parts.extend([Cut::plain(user), Cut::secret(password)]);
            tail
        }
        // A token in place of a user name.
        (None, Some(at)) if at == first => {
            let (user, tail) = rest.split_at(at);
            parts.push(Cut { secret: is_opaque(user) || is_known(user), text: user });
            tail
        }
        _ => rest,
    };
    let path = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, rest) = rest.split_at(path);
    let mut at_secret = false;
    for label in host.split_inclusive(['.', ':']) {
        parts.push(Cut { secret: is_opaque(label.trim_end_matches(['.', ':'])), text: label });
    }
    let query = rest.find(['?', '#']).unwrap_or(rest.len());
    let (path, query) = rest.split_at(query);
    for segment in path.split_inclusive('/') {
        let (bare, slash) = match segment.strip_suffix('/') {
            Some(bare) => (bare, "/"),
            None => (segment, ""),
        };
        let secret = !bare.is_empty() && (at_secret || is_opaque(bare) || is_known(bare));
        parts.push(Cut { secret, text: bare });
        parts.push(Cut::plain(slash));
        at_secret = BEFORE_SECRETS.contains(&bare.to_ascii_lowercase().as_str());
    }
    for pair in query.split_inclusive(['?', '&', '#']) {
        let end = pair.len() - pair.chars().next_back().filter(|last| matches!(last, '?' | '&' | '#')).map_or(0, |_| 1);
        let (pair, separator) = pair.split_at(end);
        match pair.split_once('=') {
            Some((name, value)) => {
                let (start, _) = pair.split_at(pair.len() - value.len());
                parts.push(Cut::plain(start));
                if IN_QUERIES.contains(&name.to_ascii_lowercase().as_str()) && !is_harmless(value) {
                    parts.push(Cut::secret(value));
                } else {
                    parts.extend(cut(TextPosition::Named, name, value));
                }
            }
            None => parts.push(Cut { secret: is_opaque(pair) || is_known(pair), text: pair }),
        }
        parts.push(Cut::plain(separator));
    }
    parts.retain(|part| !part.text.is_empty());
    parts
}

/// Returns whether a port follows the colon of an authority; a later `@` then belongs to the path.
fn is_port(authority: &str, colon: usize) -> bool {
    let port = authority.get(colon + 1..).unwrap_or_default();
    port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether a text that is not a URL looks like a secret, or contains one.
fn looks_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    if text.contains("PRIVATE KEY-----") || is_login(text) {
        return true;
    }
    let scheme = ["bearer ", "basic ", "token "].iter().find_map(|scheme| lower.strip_prefix(scheme));
    if scheme.is_some_and(|rest| rest.trim().len() >= 6 && !rest.trim().contains(' ')) {
        return true;
    }
    if holds_pair(text) || in_json(text) {
        return true;
    }
    if text.contains("://") && text.split_whitespace().any(|word| cut_url(word).iter().any(|part| part.secret)) {
        return true;
    }
    let is_path = text.starts_with(['/', '~', '.']);
    let separators = |c: char| c.is_whitespace() || ",;\"'&=:@/()[]{}<>|".contains(c);
    let is_digest = text.contains("sha256:") || text.contains("github.com") || text.starts_with("git+");
    text.split(separators).any(|word| is_known(word) || (!is_path && !is_digest && is_opaque(word)))
        || (!is_path && is_base64(text))
}

/// Returns whether a text is `user:password@host`, which some drivers accept without a scheme.
fn is_login(text: &str) -> bool {
    let Some((user, rest)) = text.split_once(':') else { return false };
    let is_word = !user.is_empty() && !user.contains(|c: char| c.is_whitespace() || "/@\"'{}".contains(c));
    let password = rest.split_once('@').map(|(password, _)| password);
    is_word
        && !SCHEMES_OF_PACKAGES.contains(&user)
        && password.is_some_and(|password| !password.is_empty() && !password.contains(['/', ' ']))
}

/// Returns whether a text has `password=…` among its pairs, as connection strings do.
fn holds_pair(text: &str) -> bool {
    let pairs = text.split(|c: char| c.is_whitespace() || matches!(c, ';' | '&' | ','));
    pairs.filter_map(|pair| pair.split_once('=')).any(|(name, value)| is_secret_name(name) && !is_harmless(value))
}

/// Returns whether a text is JSON with a secret in it, such as the headers of a request.
fn in_json(text: &str) -> bool {
    fn walk(name: &str, value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| walk(name, item)),
            Value::Object(members) => members.iter().any(|(name, value)| walk(name, value)),
            Value::Number(number) => is_secret_name(name) && !is_harmless(&number.to_string()),
            Value::String(text) => cut(TextPosition::Named, name, text).iter().any(|part| part.secret),
            Value::Bool(_) | Value::Null => false,
        }
    }
    let starts = text.trim_start().starts_with(['{', '[']);
    starts && serde_json::from_str::<Value>(text).is_ok_and(|value| walk("", &value))
}

/// Returns whether a word has a known prefix of credentials.
fn is_known(word: &str) -> bool {
    KNOWN.iter().any(|known| word.strip_prefix(known).is_some_and(|rest| rest.len() >= KNOWN_REST_MIN))
}

/// Returns whether a word looks random, as generated secrets do.
fn is_opaque(word: &str) -> bool {
    let word = word.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+');
    if word.len() < 20 || !word.bytes().all(allowed) {
        return false;
    }
    if is_uuid(word) {
        return true;
    }
    let mixed = |part: &str| {
        let digits = part.bytes().filter(u8::is_ascii_digit).count();
        part.len() >= 16 && digits >= 1 && part.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    word.split(['-', '_', '+']).any(mixed) || (word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns whether a word is a UUID (RFC 9562 §4), a form that many services use for keys.
fn is_uuid(word: &str) -> bool {
    let lengths: Vec<usize> = word.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Returns whether a text is Base64 with slashes (RFC 4648 §4), of a length that keys have.
fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    body.len() >= 32
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        && body.bytes().any(|byte| byte.is_ascii_digit())
        && body.bytes().any(|byte| byte.is_ascii_uppercase())
        && body.bytes().any(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests;
