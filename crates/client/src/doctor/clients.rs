//! How known clients react to the traps, as data: each entry says where and when it was seen. Clients change, so an
//! entry older than [`VERIFIED_DAYS`] is shown as no longer verified.

use jiff::civil::Date;

use super::diagnosis::{Consequence, Trapped};
use super::traps::Trap;

/// For how many days an entry counts as verified.
pub const VERIFIED_DAYS: i32 = 180;

/// One observation of a client.
struct ClientObservation {
    client: &'static str,
    trap: Trap,
    does: &'static str,
    source: &'static str,
    checked: &'static str,
}

const fn known(client: &'static str, trap: Trap, [does, source, checked]: [&'static str; 3]) -> ClientObservation {
    ClientObservation { client, trap, does, source, checked }
}

const INSPECTOR: &str = "npm @modelcontextprotocol/inspector 2.12.0, which logs in by the SDK's client";

#[rustfmt::skip]
const KNOWN: [ClientObservation; 20] = [
    known("ChatGPT", Trap::NoS256, ["expects PKCE to be announced by the authorization server's metadata", "https://developers.openai.com/apps-sdk/build/auth", "2026-11-26"]),
    known("ChatGPT", Trap::RegistrationClosed, ["takes metadata documents, registration, or a client that was set up beforehand; with none of them the app cannot be linked", "https://developers.openai.com/apps-sdk/build/auth", "2026-11-26"]),
    known("Claude", Trap::EntraAndResource, ["sends the server's URL as `resource`, which Entra refuses (AADSTS9010010)", "https://github.com/anthropics/claude-code/issues/73460", "2026-11-26"]),
    known("Claude", Trap::PathAgainstOrigin, ["has been seen to send the origin with a slash as `resource` where one origin has several resources", "https://github.com/anthropics/claude-code/issues/52871", "2026-11-26"]),
    known("Claude", Trap::RegistrationClosed, ["needs registration, metadata documents, or a client identifier that its user enters", "https://claude.com/docs/connectors/building/authentication", "2026-11-26"]),
    known("Claude", Trap::TrailingSlash, ["has been seen to ask for a token with another slash than the document has, and to refuse the token then", "https://github.com/sigbit/mcp-auth-proxy/issues/123", "2026-11-26"]),
    known("Cursor", Trap::RegistrationClosed, ["needs a static client in mcp.json (`auth.CLIENT_ID`), with the redirect cursor://anysphere.cursor-mcp/oauth/callback", "https://developer.mittwald.de/docs/v2/mcp/getting-connected/cursor", "2026-11-26"]),
    known("Inspector", Trap::BehindAProxy, ["refuses: the resource does not match what is expected", INSPECTOR, "2026-11-26"]),
    known("Inspector", Trap::NoS256, ["refuses if the list is there without S256, and goes on if there is no list", INSPECTOR, "2026-11-26"]),
    known("Inspector", Trap::PathAgainstOrigin, ["goes on if the document is about a path above the one that is called, and refuses otherwise", INSPECTOR, "2026-11-26"]),
    known("Inspector", Trap::RegistrationClosed, ["refuses, unless it is started with --client-id or --client-metadata-url", INSPECTOR, "2026-11-26"]),
    known("Inspector", Trap::WrongScheme, ["refuses: the resource does not match what is expected", INSPECTOR, "2026-11-26"]),
    known("FastMCP 4", Trap::IssuerMismatch, ["refuses, also where a closing slash is the only difference", "PyPI fastmcp 4.2.3, observed by scripts/clients", "2026-11-30"]),
    known("Inspector", Trap::IssuerMismatch, ["refuses; where the difference is a closing slash, only if the metadata of the issuer have it", "npm @modelcontextprotocol/inspector 2.12.0, observed by scripts/clients", "2026-11-30"]),
    known("Python SDK 2", Trap::IssuerMismatch, ["refuses, also where a closing slash is the only difference", "PyPI mcp 2.3.0, observed by scripts/clients", "2026-11-30"]),
    known("TypeScript SDK 2", Trap::IssuerMismatch, ["refuses; where the difference is a closing slash, only if the metadata of the issuer have it", "npm @modelcontextprotocol/client 2.4.0, observed by scripts/clients", "2026-11-30"]),
    known("VS Code", Trap::EntraAndResource, ["sends the server's URL as `resource`, which Entra refuses (AADSTS9010010)", "https://github.com/microsoft/vscode/issues/321249", "2026-11-26"]),
    known("VS Code", Trap::RegistrationClosed, ["asks its user for a client identifier and secret", "https://github.com/microsoft/vscode-docs/pull/8689", "2026-11-26"]),
    known("mcp-remote", Trap::IssuerMismatch, ["refuses; where the difference is a closing slash, only if the metadata of the issuer have it", "npm mcp-remote 0.15.1, observed by scripts/clients", "2026-11-30"]),
    known("Claude, ChatGPT, VS Code, Cursor, Inspector", Trap::NotA401, ["begin to log in at a 401 and at nothing else", "https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization", "2026-11-26"]),
];

/// Returns what these traps cause at known clients.
pub(super) fn consequences(traps: &[Trapped]) -> Vec<Consequence> {
    let fell = |known: &&ClientObservation| traps.iter().any(|trapped| trapped.trap == known.trap);
    let say = |known: &ClientObservation| Consequence {
        client: known.client,
        trap: known.trap,
        does: known.does,
        source: known.source,
        checked: known.checked,
    };
    KNOWN.iter().filter(fell).map(say).collect()
}

impl Consequence {
    /// Whether the observation is so old that the client may behave differently by now.
    pub fn is_unverified(&self, today: Date) -> bool {
        let checked: Option<Date> = self.checked.parse().ok();
        checked.is_none_or(|checked| (today - checked).get_days() > VERIFIED_DAYS)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::{KNOWN, consequences};
    use crate::doctor::{Trap, Trapped};

    /// Every entry has a source and a date and depends on its trap alone; after half a year it counts as unverified.
    #[test]
    fn an_entry_has_a_source_and_an_age() {
        let traps: Vec<Trapped> = KNOWN.iter().map(|known| trapped(known.trap)).collect();
        for consequence in consequences(&traps) {
            let places = ["https://", "npm ", "PyPI "];
            assert!(places.iter().any(|place| consequence.source.starts_with(place)), "{consequence:?}");
            assert!(!consequence.is_unverified(consequence.checked.parse().unwrap()), "{consequence:?}");
            assert!(consequence.is_unverified(date(2028, 1, 1)), "{consequence:?}");
        }
        let one = consequences(&[trapped(Trap::EntraAndResource)]);
        assert_eq!(one.iter().map(|one| one.client).collect::<Vec<_>>(), ["Claude", "VS Code"]);
        assert_eq!(consequences(&[]), []);
    }

    fn trapped(trap: Trap) -> Trapped {
        Trapped { trap, title: "", evidence: String::new(), change: "" }
    }
}
