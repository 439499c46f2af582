//! The requirements that can be seen from outside, in our own words. A table.

use serde::Serialize;

/// How strict a requirement is (BCP 14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// The server may choose.
    May,
    /// There can be reasons to deviate.
    Should,
    /// Required: otherwise something does not work, or is not safe.
    Must,
}

/// One requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its identifier (docs/conformance.md).
    pub id: &'static str,
    /// How strict it is.
    pub level: Level,
    /// What it demands.
    pub says: &'static str,
    /// The clause of the specification that demands it.
    pub clause: &'static str,
    /// How to fix a violation.
    pub change: &'static str,
    /// Why it may not be visible from outside.
    #[serde(skip)]
    pub unseen: &'static str,
}

const fn row(id: &'static str, level: Level, clause: &'static str, [says, change, unseen]: [&'static str; 3]) -> Row {
    Row { id, level, says, clause, change, unseen }
}

/// Why a row is not visible: checking it needs a permission that was not given.
const LOG_IN: &str = "it is seen only from inside (--login)";
const REGISTER: &str = "it is seen only with a client (--register)";
const NOT_REACHED: &str = "nothing was there to look at";

/// All rows, in the order in which a client meets them.
#[rustfmt::skip]
pub(super) const ROWS: [Row; 33] = [
    row("RS-42", Level::Must, "MCP authorization: communication security", ["tokens travel over https, or on loopback", "serve it over TLS", NOT_REACHED]),
    row("RS-13", Level::Must, "MCP authorization: error handling", ["a request without a token is a 401", "answer 401 before anything else is looked at", NOT_REACHED]),
    row("RS-15", Level::Must, "RFC 9110 §11.6.1, RFC 6750 §3", ["a 401 carries a `Bearer` challenge", "send `WWW-Authenticate: Bearer …` with every 401", NOT_REACHED]),
    row("RS-18", Level::Must, "RFC 9110 §11.6.1", ["a challenge can be read: each parameter once, quoted", "quote and escape every value, and give each parameter once", NOT_REACHED]),
    row("RS-08", Level::Should, "RFC 9728 §5.1", ["the challenge names the metadata", "add `resource_metadata=\"https://…\"`; 2025-06-18 demands it", NOT_REACHED]),
    row("RS-16", Level::Should, "RFC 6750 §3.1", ["no `error` where no token was shown, `invalid_token` where it was bad", "say `error=\"invalid_token\"` for bad tokens, and nothing without one", NOT_REACHED]),
    row("RS-11", Level::Should, "MCP authorization: refresh tokens", ["`offline_access` is neither in the challenge nor in the document", "leave it to the authorization server's metadata", NOT_REACHED]),
    row("RS-23", Level::Should, "MCP authorization: scope challenges", ["the same request gets the same challenge", "make the challenge of the request alone", NOT_REACHED]),
    row("RS-14", Level::Must, "RFC 6750 §3.1", ["a wrong token is a 401", "answer 401, neither 403 nor 500, and never 200 with an error in it", NOT_REACHED]),
    row("TR-02", Level::Must, "MCP transports: security warning", ["a foreign `Origin` is a 403", "compare `Origin` with a list before anything else", LOG_IN]),
    row("RS-03", Level::Must, "RFC 9728 §3", ["there is a protected resource metadata document", "serve one at /.well-known/oauth-protected-resource and the path of the server", NOT_REACHED]),
    row("RS-07", Level::Must, "RFC 9728 §3.1", ["it is found where clients look", "serve it where the challenge says, and at the well-known place", NOT_REACHED]),
    row("RS-09", Level::Must, "RFC 9728 §3.1", ["it needs no token", "take it out of what is protected", NOT_REACHED]),
    row("RS-05", Level::Must, "RFC 9728 §3.3", ["its `resource` is the URL that is called, byte for byte", "write the public URL of the server, as clients type it", NOT_REACHED]),
    row("RS-06", Level::Must, "RFC 9728 §1.2", ["that is an https URL without a fragment", "write the public URL", NOT_REACHED]),
    row("RS-04", Level::Must, "MCP authorization: authorization server location", ["it names an authorization server", "list the issuer under `authorization_servers`", NOT_REACHED]),
    row("RS-12", Level::Must, "RFC 8414 §3.3", ["the issuer that it names is what that issuer calls itself", "copy `issuer` out of its metadata, character by character", NOT_REACHED]),
    row("AS-02", Level::Must, "RFC 8414 §3.1", ["the authorization server describes itself", "serve its metadata at the well-known place", NOT_REACHED]),
    row("AS-03", Level::Must, "RFC 8414 §3.3", ["`issuer` is exactly the identifier that was asked for", "configure the public name of the issuer", NOT_REACHED]),
    row("AS-07", Level::Must, "OAuth 2.1 §1.5", ["every endpoint is https", "tell the server its public name and scheme (behind a proxy: the forwarded ones)", NOT_REACHED]),
    row("AS-05", Level::Must, "MCP authorization: code protection", ["it promises PKCE with S256", "list `S256` under `code_challenge_methods_supported`", NOT_REACHED]),
    row("AS-19", Level::Should, "RFC 9207 §3", ["it promises `iss` in its answers", "send `iss` with every answer, and say so", NOT_REACHED]),
    row("AS-23", Level::Should, "MCP authorization: client ID metadata documents", ["it takes client ID metadata documents", "support them; until then let clients register", NOT_REACHED]),
    row("AS-39", Level::May, "RFC 7591", ["clients can register themselves", "offer registration, or give identifiers out", NOT_REACHED]),
    row("AS-11", Level::Must, "OAuth 2.1 §4.1.2.1", ["nobody is sent to an address that was not registered", "show an error page instead", NOT_REACHED]),
    row("AS-09", Level::Must, "OAuth 2.1 §4.1.3", ["a redirect is compared as a whole", "compare it character by character", REGISTER]),
    row("AS-18", Level::Should, "RFC 9207 §2", ["`iss` stands in answers with errors, too", "send it with every answer", REGISTER]),
    row("AS-20", Level::Must, "OAuth 2.1 §3.2.3", ["answers with tokens are not to be stored", "send `Cache-Control: no-store`", LOG_IN]),
    row("RS-28", Level::Must, "RFC 8707 §2", ["a token is for this server alone", "put the resource that was asked for into the token, and check it", LOG_IN]),
    row("RS-32", Level::Must, "RFC 9068 §4", ["a token that was changed is refused", "check the signature of every token", LOG_IN]),
    row("RS-35", Level::Must, "OAuth 2.1 §5.1.1", ["a token in the query is worth nothing", "look at the header alone", LOG_IN]),
    row("AS-13", Level::Must, "OAuth 2.1 §4.3.1", ["a refresh token works once", "rotate it, and end the family where it comes back", LOG_IN]),
    row("AS-21", Level::Must, "OAuth 2.1 §4.1.3", ["a code works once", "use it up by the statement that finds it", LOG_IN]),
];
