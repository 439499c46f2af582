//! Examines a server and its authorization server from outside: which requirements are met, which are broken, and which
//! cannot be seen. Nothing is harmed: the examination reads, and sends wrong tokens. It registers a client, and logs a
//! person in, only if it was asked to.
//!
//! [`examine`] takes the same steps as a client, with one function for each, and notes what it sees. `rows` says what a
//! row means, [`Trap`] what a known trap looks like, and [`clients`] how certain clients react to it.

use std::collections::BTreeMap;

use ::http::header::{ACCEPT, CONTENT_TYPE, HeaderName, LOCATION, ORIGIN, WWW_AUTHENTICATE};
use ::http::{HeaderMap, Method};
use sekisho_protocol::resource::ResourceId;
use serde_json::{Value, json};

use crate::challenge::{BearerChallenge, bearer};
use crate::discovery::resource_metadata_urls;
use crate::http::{Destination, HttpClient, HttpError, Leg, Named, Recording, Request, Response, is_as_secure};
use crate::text::presentable;

pub mod clients;
mod diagnosis;
mod inside;
mod insider;
mod issuer;
mod registered;
mod rows;
mod traps;

pub use diagnosis::{Consequence, Diagnosis, Finding, Party, RowState, Step, Trapped};
pub use insider::{Insider, RecordingBrowser, Shared};
pub use rows::{Level, Row};
pub use traps::Trap;

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// Something answers there, but it is not an MCP server.
    #[error("there is no MCP server at `{server}`: a request is answered with {status}")]
    NotThere {
        /// The server.
        server: String,
        /// The HTTP status of the answer.
        status: u16,
    },
    /// The server does not answer.
    #[error("`{server}` does not answer")]
    Unreachable {
        /// The server.
        server: String,
        /// The cause.
        #[source]
        source: HttpError,
    },
}

/// How deep the examination goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Depth<'a> {
    /// Whether to register a client, and remove it afterwards.
    pub register: bool,
    /// The login to use, if there is one.
    pub login: Option<&'a Insider>,
}

/// A token that was never issued.
const WRONG_TOKEN: &str = "sekisho-doctor-this-is-no-token";
/// A redirect URI that is never registered (RFC 2606).
const NOWHERE: &str = "https://doctor.invalid/callback";

/// Examines a server.
pub async fn examine<H: HttpClient>(
    http: &Recording<H>,
    server: &ResourceId,
    depth: Depth<'_>,
) -> Result<Diagnosis, ExamineError> {
    let mut doctor = Doctor::new(http, server);
    let first = doctor.without_a_token().await?;
    if first.asks_for_a_token {
        doctor.with_a_wrong_token().await;
        doctor.once_more(&first).await;
    }
    doctor.foreign_page().await;
    if first.is_open {
        // Nothing is protected, so nothing has to be described.
        return Ok(doctor.diagnosis());
    }
    let described = doctor.resource_metadata(first.challenge.as_ref()).await;
    if let Some(issuer) = described
        && let Some(metadata) = doctor.issuer_metadata(&issuer).await
    {
        doctor.nobody_is_sent_to_strangers(&metadata).await;
        if depth.register {
            doctor.registered(&metadata).await;
        }
        if let Some(insider) = depth.login {
            doctor.inside(insider).await;
        }
    }
    Ok(doctor.diagnosis())
}

/// What the answer to the first request showed.
struct First {
    is_open: bool,
    asks_for_a_token: bool,
    challenge: Option<BearerChallenge>,
    lines: Vec<String>,
}

struct Doctor<'a, H> {
    http: &'a Recording<H>,
    server: &'a ResourceId,
    issuer: Option<String>,
    notes: BTreeMap<&'static str, (RowState, String)>,
    traps: Vec<Trapped>,
    steps: Vec<Step>,
}

impl<'a, H: HttpClient> Doctor<'a, H> {
    fn new(http: &'a Recording<H>, server: &'a ResourceId) -> Self {
        Self { http, server, issuer: None, notes: BTreeMap::new(), traps: Vec::new(), steps: Vec::new() }
    }

    /// Sends a request and records the exchange.
    async fn ask(&mut self, party: Party, clause: &'static str, request: Request) -> Result<Response, HttpError> {
        let answer = self.http.send(request).await;
        self.keep(party, clause);
        answer
    }

    fn keep(&mut self, party: Party, clause: &'static str) {
        let step = |leg: Leg| {
            let at_resource = leg.url.contains("/.well-known/oauth-protected-resource");
            Step { party: if at_resource { Party::Resource } else { party }, leg, clause }
        };
        self.steps.extend(self.http.take().into_iter().map(step));
    }

    /// Notes the result for a row. A row that was broken once stays broken.
    fn note(&mut self, id: &'static str, standing: RowState, evidence: impl Into<String>) {
        let known = self.notes.get(id).map(|(standing, _)| *standing);
        let keep = match (known, standing) {
            (Some(RowState::Broken), _) | (Some(RowState::Met), RowState::NotVisible | RowState::Met) => true,
            (Some(RowState::Met | RowState::NotVisible) | None, _) => false,
        };
        if !keep {
            self.notes.insert(id, (standing, evidence.into()));
        }
    }

    fn judge(&mut self, id: &'static str, good: bool, evidence: impl Into<String>) {
        self.note(id, if good { RowState::Met } else { RowState::Broken }, evidence);
    }

    /// Notes that a row cannot be seen because another one is broken, so that one defect counts as one broken row.
    fn follows(&mut self, id: &'static str, of: &'static str) {
        self.note(id, RowState::NotVisible, format!("what {of} says comes first"));
    }

    fn trap(&mut self, trap: Trap, evidence: impl Into<String>) {
        if !self.traps.iter().any(|known| known.trap == trap) {
            let (title, change) = trap.words();
            self.traps.push(Trapped { trap, title, evidence: evidence.into(), change });
        }
    }

    /// Builds the request that introduces us (2025-11-25 lifecycle), which changes nothing.
    fn hello(&self) -> Request {
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "sekisho doctor", "version": env!("CARGO_PKG_VERSION") } });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
        Request::new(Method::POST, Destination::given(self.server.as_str()), body.to_string().into())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
    }

    /// RS-13, RS-15, RS-16, RS-18, RS-08, RS-11, RS-42: examines the answer to a request without a token.
    async fn without_a_token(&mut self) -> Result<First, ExamineError> {
        let secure = is_as_secure(self.server.as_str(), self.server.as_str());
        self.judge("RS-42", secure, format!("the server's URL is {}", self.server));
        let hello = self.hello();
        let answer = self.ask(Party::Resource, "MCP authorization: a request without a token", hello).await;
        let answer = answer.map_err(|source| ExamineError::Unreachable { server: self.server.to_string(), source })?;
        let status = answer.status.as_u16();
        if matches!(status, 404 | 410) {
            return Err(ExamineError::NotThere { server: self.server.to_string(), status });
        }
        let lines = lines(&answer.headers);
        let challenge = bearer(&answer.headers);
        let first = First { is_open: answer.status.is_success(), asks_for_a_token: status == 401, challenge, lines };
        if first.is_open {
            self.note("RS-13", RowState::Broken, format!("a request without a token is answered with {status}"));
            self.trap(Trap::Unprotected, format!("status {status} without a token"));
            return Ok(first);
        }
        self.judge("RS-13", status == 401, format!("a request without a token is answered with {status}"));
        if status == 401 {
            self.challenge(&first);
        } else {
            self.trap(Trap::NotA401, format!("status {status} without a token"));
        }
        Ok(first)
    }

    fn challenge(&mut self, first: &First) {
        let shown = presentable(&first.lines.join(" | "));
        let names_bearer = first.lines.iter().any(|line| {
            let line = line.to_ascii_lowercase();
            line.contains("bearer") || line.contains("dpop")
        });
        let Some(challenge) = &first.challenge else {
            if names_bearer {
                self.note("RS-18", RowState::Broken, format!("cannot be read: {shown}"));
                self.follows("RS-15", "RS-18");
                self.trap(Trap::ChallengeUnreadable, shown);
            } else {
                self.note("RS-15", RowState::Broken, format!("the 401 carries no Bearer challenge: {shown}"));
            }
            return;
        };
        self.note("RS-15", RowState::Met, shown.clone());
        // The parameter is in the text, but a reader does not find it.
        let torn = challenge.resource_metadata.is_none() && shown.contains("resource_metadata");
        if torn {
            self.note("RS-18", RowState::Broken, format!("cannot be read: {shown}"));
            self.trap(Trap::ChallengeUnreadable, shown);
            return;
        }
        self.note("RS-18", RowState::Met, shown.clone());
        let named = challenge.resource_metadata.clone();
        self.judge("RS-08", named.is_some(), named.unwrap_or_else(|| format!("no `resource_metadata`: {shown}")));
        self.judge("RS-16", challenge.error.is_none(), shown.clone());
        let offline = challenge.scope.as_ref().is_some_and(|scope| scope.to_string().contains("offline_access"));
        self.judge("RS-11", !offline, shown);
    }

    /// RS-14, RS-16: examines the answer to a request with a wrong token.
    async fn with_a_wrong_token(&mut self) {
        let request = self.hello().bearer(&sekisho_protocol::secret::AccessToken::from_outside(WRONG_TOKEN));
        let Ok(answer) = self.ask(Party::Resource, "MCP authorization: an invalid token", request).await else {
            return;
        };
        let status = answer.status.as_u16();
        self.judge("RS-14", status == 401, format!("a token that nobody issued is answered with {status}"));
        if status != 401 {
            self.trap(Trap::NotA401, format!("status {status} for a token that nobody issued"));
            return;
        }
        let error = bearer(&answer.headers).and_then(|challenge| challenge.error);
        let shown = presentable(&lines(&answer.headers).join(" | "));
        self.judge("RS-16", error.as_deref() == Some("invalid_token"), format!("for a wrong token: {shown}"));
    }

    /// RS-23: checks that the same request gets the same challenge.
    async fn once_more(&mut self, first: &First) {
        let hello = self.hello();
        let Ok(answer) = self.ask(Party::Resource, "RFC 9728 §5.1", hello).await else { return };
        let same = lines(&answer.headers) == first.lines;
        self.judge("RS-23", same, "the same request, twice");
    }

    /// TR-02: checks what happens if a web page of another origin calls the server from a user's browser.
    async fn foreign_page(&mut self) {
        let request = self.hello().header(ORIGIN, "https://stranger.invalid");
        let Ok(answer) = self.ask(Party::Resource, "MCP transports: Origin", request).await else { return };
        match answer.status.as_u16() {
            403 => self.note("TR-02", RowState::Met, "a foreign `Origin` is answered with 403"),
            200..=299 => self.note("TR-02", RowState::Broken, "a foreign `Origin` is answered like our own"),
            status => {
                self.note("TR-02", RowState::NotVisible, format!("the answer is {status} before `Origin` counts"))
            }
        }
    }

    /// RS-03 to RS-09, RS-11: examines the metadata of the server. Returns the issuer that it names.
    async fn resource_metadata(&mut self, challenge: Option<&BearerChallenge>) -> Option<String> {
        let named = challenge.and_then(|challenge| challenge.resource_metadata.clone());
        let mut places: Vec<String> = named.clone().into_iter().collect();
        places.extend(resource_metadata_urls(self.server, None).into_iter().filter(|url| named.as_ref() != Some(url)));
        let mut found: Option<(String, Value)> = None;
        let mut missed = None;
        for url in places {
            let led = named.as_ref() == Some(&url);
            let what = if led { Named::ResourceMetadata } else { Named::WellKnown };
            let Ok(to) = Destination::named(what, self.server.as_str(), &url) else {
                self.names_inside(&url);
                continue;
            };
            let Some(document) = self.document(Party::Resource, "RFC 9728 §3.1", to, "resource").await else {
                if led {
                    missed = Some(url);
                }
                continue;
            };
            // Clients use the first document that they find.
            found = found.or(Some((url, document)));
            break;
        }
        let Some((url, document)) = found else {
            self.no_resource_metadata();
            return None;
        };
        if let Some(url) = missed {
            self.note("RS-07", RowState::Broken, format!("nothing at {url}, which the challenge names"));
        }
        self.note("RS-03", RowState::Met, url.clone());
        self.note("RS-07", RowState::Met, url.clone());
        self.note("RS-09", RowState::Met, format!("{url} is answered without a token"));
        let resource = document.get("resource").and_then(Value::as_str).unwrap_or_default();
        self.identifier(resource);
        let listed = |name: &str| -> Vec<String> {
            let values = document.get(name).and_then(Value::as_array).into_iter().flatten();
            values.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let offline = listed("scopes_supported").iter().any(|scope| scope == "offline_access");
        self.judge("RS-11", !offline, "scopes of the document");
        let issuers = listed("authorization_servers");
        self.judge("RS-04", !issuers.is_empty(), format!("it names {}", shown(&issuers)));
        issuers.into_iter().next()
    }

    /// RS-03, RS-07: notes that no document was found, unless a broken row that was noted before explains it.
    fn no_resource_metadata(&mut self) {
        let is_broken = |id: &str| matches!(self.notes.get(id), Some((RowState::Broken, _)));
        match ["RS-09", "RS-07"].into_iter().find(|id| is_broken(id)) {
            Some(first) => {
                self.follows("RS-03", first);
                self.follows("RS-07", first);
            }
            None => {
                self.note("RS-03", RowState::Broken, "no protected resource metadata at any place");
                self.follows("RS-07", "RS-03");
            }
        }
    }

    /// RS-07: notes that the challenge names a URL that is less secure than the server. No client may call it, and
    /// neither do we.
    fn names_inside(&mut self, url: &str) {
        let evidence = format!("the challenge names `{}`, which is less secure than the server", presentable(url));
        self.note("RS-07", RowState::Broken, evidence.clone());
        self.trap(traps::of_names(self.server.as_str(), url).unwrap_or(Trap::WrongScheme), evidence);
    }

    /// RS-05, RS-06: checks which resource the document says it describes.
    fn identifier(&mut self, named: &str) {
        let called = self.server.as_str();
        let evidence = format!("the document is about `{}`, and `{called}` is called", presentable(named));
        let whole = ResourceId::parse(named).is_ok() && is_as_secure(named, named);
        self.judge("RS-06", whole, evidence.clone());
        if whole {
            self.judge("RS-05", named == called, evidence.clone());
        } else {
            self.follows("RS-05", "RS-06");
        }
        if named != called
            && let Some(trap) = traps::of_names(called, named)
        {
            self.trap(trap, evidence);
        }
    }

    /// Returns the authorization server, or an empty text if none was found.
    fn named_issuer(&self) -> String {
        self.issuer.clone().unwrap_or_default()
    }

    /// Fetches a document, if there is one. Anything else that is found there is noted.
    async fn document(
        &mut self,
        party: Party,
        clause: &'static str,
        to: Destination,
        member: &'static str,
    ) -> Option<Value> {
        let url = to.as_str().to_owned();
        let answer = self.ask(party, clause, Request::get(to)).await.ok()?;
        let status = answer.status.as_u16();
        match status {
            200 => {}
            401 | 403 if party == Party::Resource => {
                self.note("RS-09", RowState::Broken, format!("{url} is answered with {status}"));
                self.trap(Trap::MetadataProtected, format!("{url} is answered with {status}"));
                return None;
            }
            300..=399 => {
                if party == Party::Resource {
                    self.note("RS-07", RowState::Broken, format!("{url} is answered with {status}"));
                }
                self.trap(Trap::MetadataRedirects, format!("{url} is answered with {status}"));
                return None;
            }
            _ => return None,
        }
        let document = answer.json::<Value>().filter(|document| document.get(member).is_some_and(Value::is_string));
        if document.is_none() {
            let media = answer.media_type().unwrap_or_else(|| "no type".to_owned());
            self.trap(Trap::NotADocument, format!("{url} is answered with 200 and {}", presentable(&media)));
        }
        document
    }

    fn diagnosis(self) -> Diagnosis {
        let mut notes = self.notes;
        let finding = |row: &Row| {
            let unseen = || (RowState::NotVisible, row.unseen.to_owned());
            let (standing, evidence) = notes.remove(row.id).unwrap_or_else(unseen);
            Finding { row: *row, standing, evidence }
        };
        let findings = rows::ROWS.iter().map(finding).collect();
        let consequences = clients::consequences(&self.traps);
        Diagnosis {
            server: self.server.to_string(),
            issuer: self.issuer,
            findings,
            traps: self.traps,
            consequences,
            steps: self.steps,
        }
    }
}

fn lines(headers: &HeaderMap) -> Vec<String> {
    let text = |value: &::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.get_all(WWW_AUTHENTICATE).iter().map(text).collect()
}

fn location(answer: &Response) -> Option<&str> {
    answer.headers.get(LOCATION)?.to_str().ok()
}

fn shown(list: &[String]) -> String {
    if list.is_empty() { "none".to_owned() } else { presentable(&list.join(", ")) }
}

/// The header of a session, if there is one.
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

#[cfg(test)]
mod tests;
