//! Clients: who they are, however they came to be known, and how their words are shown.

use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::ClientId;
use sekisho_protocol::registration::{Client, ClientAuthentication};
use sekisho_protocol::text::is_invisible;

use crate::Issuer;
use crate::error::Fault;
use crate::visit::Visit;

pub(crate) mod authenticate;
pub(crate) mod dynamic;
pub(crate) mod metadata_document;
pub(crate) mod registered;

use metadata_document::DocumentError;

/// A client that may ask, and the digest of its secret if it has one.
#[derive(Debug, Clone)]
pub(crate) struct KnownClient {
    pub(crate) client: Client,
    pub(crate) secret: Option<Digest>,
}

/// Why there is no such client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    #[error("the client has been disabled by the operator")]
    Disabled,
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Internal(#[from] Fault),
    #[error("no client of this identifier is registered here")]
    Unknown,
}

/// Finds a client: in the store, or by its metadata document (AS-22, AS-24). No transaction is held meanwhile.
pub(crate) async fn find(issuer: &Issuer, visit: &Visit, id: &ClientId) -> Result<KnownClient, LookupError> {
    let stored = registered::find(issuer, id).await?;
    if stored.as_ref().is_some_and(|known| known.client.disabled) {
        return Err(LookupError::Disabled);
    }
    if id.is_metadata_document() && stored.as_ref().is_none_or(KnownClient::came_from_its_document) {
        // What was kept of a document names the client in grants; what counts is what the document says now.
        let client = issuer.documents.find(issuer, visit, id, stored.is_some()).await?;
        return Ok(KnownClient { client: (*client).clone(), secret: None });
    }
    stored.ok_or(LookupError::Unknown)
}

/// The same for a client that comes with what it was given before. A document that cannot be fetched at the moment does not
/// end the work of a public client that somebody let in: what it is given depends on its code or its refresh token alone,
/// and nobody is sent to an address of the document here.
pub(crate) async fn find_again(issuer: &Issuer, visit: &Visit, id: &ClientId) -> Result<KnownClient, LookupError> {
    let passing = match find(issuer, visit, id).await {
        Err(LookupError::Document(error)) if error.is_passing() => error,
        other => return other,
    };
    let stored = registered::find(issuer, id).await?;
    stored
        .filter(|known| known.client.authentication == ClientAuthentication::None && !known.client.disabled)
        .ok_or(LookupError::Document(passing))
}

impl KnownClient {
    fn came_from_its_document(&self) -> bool {
        self.client.origin == sekisho_protocol::registration::ClientOrigin::MetadataDocument
    }
}

/// Text from outside as people may see it: one line, nothing invisible, nothing that turns the direction of
/// writing, at most `chars_max` characters (ATK-11). Escaping is the template's business.
pub(crate) fn plain_text(text: &str, chars_max: usize) -> String {
    let mut plain = String::new();
    let mut marks = 0;
    for character in text.chars() {
        let character = if character.is_whitespace() { ' ' } else { character };
        if is_invisible(character) || (character == ' ' && (plain.is_empty() || plain.ends_with(' '))) {
            continue;
        }
        marks = if is_combining(character) { marks + 1 } else { 0 };
        // Towers of marks reach into the lines above.
        if marks <= 2 {
            plain.push(character);
        }
    }
    let cut: String = plain.chars().take(chars_max).collect();
    cut.trim_end().to_owned()
}

fn is_combining(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}')
}

/// The name under which a client is shown: its own, or the address of its answers where it has none.
pub(crate) fn display_name(client: &Client) -> String {
    let name = plain_text(&client.name, 80);
    if !name.is_empty() {
        return name;
    }
    client
        .redirect_uris
        .first()
        .map_or_else(|| plain_text(client.id.as_str(), 80), sekisho_protocol::redirect::RedirectUri::host)
}

#[cfg(test)]
mod tests {
    use super::plain_text;

    /// ATK-11: nothing in a name may hide, reorder or break out of its line.
    #[test]
    fn a_name_is_shown_without_anything_that_hides_or_turns() {
        let cases = [
            ("Plain Name", "Plain Name"),
            ("  two\t\n words  ", "two words"),
            ("evil\u{202e}gpj.exe", "evilgpj.exe"),
            ("a\u{200b}b\u{feff}c\u{2066}d", "abcd"),
            ("\u{e0041}\u{e0042}tag", "tag"),
            ("nul\0 and \u{1b}[31mred", "nul and [31mred"),
            ("Z\u{300}\u{301}\u{302}\u{303}\u{304}algo", "Z\u{300}\u{301}algo"),
            ("関所クライアント", "関所クライアント"),
            ("\u{3164}\u{115f}\u{2800}", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(plain_text(text, 80), expected, "{text:?}");
        }
        assert_eq!(plain_text(&"x".repeat(500), 80).len(), 80);
    }
}
