//! Credentials of a program in what it writes to its callers: a program that prints its environment into an answer shows
//! no caller the value. The answer says that something was removed.

use std::collections::BTreeMap;

use bytes::Bytes;
use memchr::memmem::{Finder, find};

use crate::upstream::EnvValue;

/// The shortest value that is removed, in bytes. A shorter one occurs by chance, and removing it would break answers.
const VALUE_BYTES_MIN: usize = 8;

/// What stands in place of a value. It needs no escaping in JSON.
const REMOVED: &[u8] = b"(removed by the checkpoint: a credential of this server)";

/// The secret values of one program, as they may stand in a JSON text.
#[derive(Debug)]
pub(super) struct Secrets(Vec<Finder<'static>>);

impl Secrets {
    pub(super) fn of(environment: &BTreeMap<String, EnvValue>) -> Self {
        let mut finders = Vec::new();
        for value in environment.values() {
            let EnvValue::Secret(secret) = value else { continue };
            if secret.expose().len() < VALUE_BYTES_MIN {
                continue;
            }
            // A text always serialises.
            let quoted = serde_json::to_string(secret.expose()).unwrap_or_default();
            let escaped = quoted.trim_matches('"');
            finders.push(Finder::new(secret.expose().as_bytes()).into_owned());
            if escaped != secret.expose() {
                finders.push(Finder::new(escaped.as_bytes()).into_owned());
            }
        }
        Self(finders)
    }

    /// Returns the line without the values, and whether there were any.
    pub(super) fn removed(&self, line: &Bytes) -> (Bytes, bool) {
        let mut kept = line.clone();
        for finder in &self.0 {
            if finder.find(&kept).is_some() {
                kept = Bytes::from(replaced(&kept, finder.needle()));
            }
        }
        let was_removed = kept != *line;
        (kept, was_removed)
    }
}

fn replaced(line: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut left = line;
    while let Some(at) = find(left, value) {
        let (before, rest) = left.split_at(at);
        out.extend_from_slice(before);
        out.extend_from_slice(REMOVED);
        left = rest.get(value.len()..).unwrap_or_default();
    }
    out.extend_from_slice(left);
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use sekisho_protocol::secret::UpstreamSecret;

    use super::Secrets;
    use crate::upstream::EnvValue;

    /// ATK-413: A value is removed however JSON writes it, and the text stays JSON. What is no secret, or too short, stays.
    #[test]
    fn a_credential_is_removed_from_an_answer() {
        let secret = |text: &str| EnvValue::Secret(UpstreamSecret::from_outside(text));
        let environment = BTreeMap::from([
            ("A".to_owned(), secret("hush-hush-hush")),
            ("B".to_owned(), secret("with \"quotes\" in it")),
            ("C".to_owned(), secret("short")),
            ("D".to_owned(), EnvValue::Plain("not a secret".to_owned())),
        ]);
        let secrets = Secrets::of(&environment);
        let told = serde_json::json!({
            "text": "A=hush-hush-hush hush-hush-hush B=with \"quotes\" in it C=short D=not a secret"
        });
        let (kept, was_removed) = secrets.removed(&Bytes::from(told.to_string()));
        let read: serde_json::Value = serde_json::from_slice(&kept).unwrap();
        let text = read["text"].as_str().unwrap();
        assert!(was_removed && !text.contains("hush") && !text.contains("quotes"), "{text}");
        assert_eq!(text.matches("removed by the checkpoint").count(), 3, "{text}");
        assert!(text.contains("C=short D=not a secret"), "{text}");
        let plain = Bytes::from_static(b"{\"text\":\"nothing\"}");
        assert_eq!(secrets.removed(&plain), (plain.clone(), false));
    }
}
