//! The pages: what each shows, and the headers under which all are sent.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::digest::Digest;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::text::for_page;

use crate::consent::Stay;
use crate::login::SignedIn;
use crate::session::{FormKind, Session, form_token};
use crate::text::{Language, Sentence};
use crate::visit::{self, Browser, Visit};
use crate::{Issuer, door};

/// The style sheet of the pages.
const STYLE: &str = include_str!("../../../templates/issuer/sekisho.css");

/// All of it: the pages' own, and that of the figures on them.
fn style() -> String {
    format!("{STYLE}{}", sekisho_picture::sets::STYLE)
}

/// The name under which the style sheet is served: another text has another name, so it can be cached for good.
pub(crate) fn style_name() -> String {
    let digest = Digest::of(style().as_bytes()).to_string();
    format!("sekisho-{}.css", digest.get(..16).unwrap_or_default())
}

/// What every page shows around its content.
pub(crate) struct Chrome {
    pub(crate) language: Language,
    pub(crate) stylesheet: String,
    /// Before the path of every link: the path of the issuer identifier, and the door.
    pub(crate) prefix: String,
    /// The first page.
    pub(crate) home: String,
    /// The path of the issuer identifier.
    pub(crate) base: String,
    /// On a page behind a door, that door; for the script.
    pub(crate) door: Option<String>,
    /// On a page before the doors, what lies behind one; for the script.
    pub(crate) entry: Option<String>,
    /// The script.
    pub(crate) script: &'static str,
    pub(crate) host: String,
    pub(crate) request: String,
    pub(crate) who: Option<Who>,
}

/// Who is signed in, and the form to be somebody else.
pub(crate) struct Who {
    pub(crate) name: String,
    pub(crate) csrf: String,
    pub(crate) request: Option<String>,
}

impl Chrome {
    pub(crate) fn new(issuer: &Issuer, visit: &Visit) -> Self {
        let base = issuer.settings.prefix().to_owned();
        Self {
            language: visit.language,
            stylesheet: format!("{base}/assets/{}", issuer.style_name),
            prefix: visit.prefix(issuer),
            home: visit.path(issuer, "/"),
            door: visit.door.as_ref().map(|door| door.expose().to_owned()),
            entry: None,
            script: door::SCRIPT,
            host: issuer.settings.host(),
            request: visit.request.to_string(),
            who: None,
            base,
        }
    }

    /// The same, saying who is signed in. With a request, the way out leads back to it.
    pub(crate) fn with(mut self, visit: &Visit, session: &Session, request: Option<String>) -> Self {
        let csrf = form_token(visit, Some(session), FormKind::Logout, "").expose().to_owned();
        self.who = Some(Who { name: session.user.name.clone(), csrf, request });
        self
    }

    pub(crate) fn say(&self, sentence: impl std::borrow::Borrow<Sentence>) -> &'static str {
        self.language.say(*sentence.borrow())
    }

    pub(crate) fn around(&self, sentence: impl std::borrow::Borrow<Sentence>) -> (&'static str, &'static str) {
        self.language.around(*sentence.borrow())
    }
}

/// What is asked for, as both pages show it.
pub(crate) struct Ask {
    pub(crate) pending: String,
    pub(crate) client_name: String,
    pub(crate) initial: String,
    pub(crate) client_id: String,
    pub(crate) unverified: bool,
    pub(crate) origin_words: (&'static str, &'static str),
    pub(crate) origin_host: String,
    pub(crate) document_host: Option<String>,
    pub(crate) redirect_host: String,
    pub(crate) redirect_uri: String,
    pub(crate) warning: Option<Sentence>,
    pub(crate) server_title: String,
    pub(crate) server_initial: String,
    pub(crate) server_url: String,
    pub(crate) scopes: Vec<ScopeLine>,
}

/// One scope in words: what stands before and after the name in it.
pub(crate) struct ScopeLine {
    pub(crate) value: String,
    pub(crate) words: (&'static str, &'static str),
    pub(crate) name: String,
    /// It lets do what cannot be undone.
    pub(crate) is_grave: bool,
}

impl ScopeLine {
    /// The lines of these scopes, what is least first: what cannot be undone stands last.
    pub(crate) fn of(language: Language, scopes: &ScopeSet) -> Vec<Self> {
        let mut lines: Vec<Self> = scopes.iter().map(|scope| Self::new(language, scope)).collect();
        let order = |line: &Self| match line.value.as_str() {
            "mcp:read" => 0,
            "mcp:write" => 1,
            "mcp:destructive" => 3,
            _ => 2,
        };
        lines.sort_by_key(order);
        lines
    }

    pub(crate) fn new(language: Language, scope: &Scope) -> Self {
        let value = scope.as_str().to_owned();
        let (sentence, name) = match (value.as_str(), value.strip_prefix("tool:")) {
            ("mcp:read", _) => (Sentence::ScopeRead, ""),
            ("mcp:write", _) => (Sentence::ScopeWrite, ""),
            ("mcp:destructive", _) => (Sentence::ScopeDestructive, ""),
            ("offline_access", _) => (Sentence::ScopeOffline, ""),
            (_, Some(tool)) => (Sentence::ScopeTool, tool),
            (other, None) => (Sentence::ScopeOther, other),
        };
        let is_grave = sentence == Sentence::ScopeDestructive;
        Self { words: language.around(sentence), name: name.to_owned(), value, is_grave }
    }
}

/// One tool on the owner's first consent.
pub(crate) struct ToolLine {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) choices: Vec<ClassChoice>,
}

/// One class that a tool may be given.
pub(crate) struct ClassChoice {
    pub(crate) value: &'static str,
    pub(crate) words: Sentence,
    pub(crate) chosen: bool,
}

impl ToolLine {
    pub(crate) fn new(tool: &Tool) -> Self {
        let choice =
            |class: ToolClass, words| ClassChoice { value: class.as_str(), words, chosen: tool.proposed == class };
        Self {
            key: tool_key(&tool.name),
            name: crate::shown::exact(&tool.name, 128),
            summary: crate::clients::plain_text(&tool.summary, 200),
            choices: vec![
                choice(ToolClass::Read, Sentence::ClassRead),
                choice(ToolClass::Write, Sentence::ClassWrite),
                choice(ToolClass::Destructive, Sentence::ClassDestructive),
            ],
        }
    }
}

/// A tool's name as a form can carry it unchanged: ordinary names are themselves, other bytes are `%XX`.
pub(crate) fn tool_key(name: &str) -> String {
    Scope::tool(name).as_str().chars().skip("tool:".len()).collect()
}

/// Before anybody has signed in: who asks for what.
#[derive(Template)]
#[template(path = "client.html")]
pub(crate) struct ClientPage {
    pub(crate) chrome: Chrome,
    pub(crate) ask: Ask,
    pub(crate) csrf: String,
}

/// The only page that makes a grant.
#[derive(Template)]
#[template(path = "grant.html")]
pub(crate) struct GrantPage {
    pub(crate) chrome: Chrome,
    pub(crate) ask: Ask,
    pub(crate) csrf: String,
    pub(crate) withheld: bool,
    /// Whether the access may outlast the browser session.
    pub(crate) stay: Stay,
    /// How long a browser session lasts at most.
    pub(crate) session_hours: u32,
    pub(crate) tools: Vec<ToolLine>,
    /// Single tools, to narrow what is granted.
    pub(crate) narrow: Vec<ToolChoice>,
    /// The task that the client declares.
    pub(crate) task: Option<TaskFacts>,
    /// Tasks of the owner's to choose from, where the client declares none.
    pub(crate) templates: Vec<TemplateChoice>,
    pub(crate) ends: [End; 4],
    /// The three sets, drawn; made by us, so it is not escaped.
    pub(crate) figure: Option<String>,
}

/// One tool that can be left out of a grant.
pub(crate) struct ToolChoice {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) class: Option<Sentence>,
    pub(crate) ticked: bool,
    /// What a task lets its arguments be, as JSON Schema.
    pub(crate) bounds: String,
}

/// A task that can be chosen.
pub(crate) struct TemplateChoice {
    pub(crate) name: String,
    pub(crate) facts: TaskFacts,
    pub(crate) tools: Vec<String>,
}

/// A task on the page that grants it.
pub(crate) struct TaskFacts {
    pub(crate) purpose: String,
    /// Resources and prompts.
    pub(crate) others: Vec<String>,
    pub(crate) calls: Option<u32>,
    pub(crate) minutes: Option<u32>,
}

/// When a grant ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Day,
    Hour,
    Never,
    Week,
}

impl End {
    /// In the order of the page.
    pub(crate) const ALL: [Self; 4] = [Self::Never, Self::Hour, Self::Day, Self::Week];

    /// The value in the form.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Never => "",
            Self::Week => "week",
        }
    }

    pub(crate) fn words(self) -> Sentence {
        match self {
            Self::Day => Sentence::EndDay,
            Self::Hour => Sentence::EndHour,
            Self::Never => Sentence::EndNever,
            Self::Week => Sentence::EndWeek,
        }
    }

    /// Seconds from now.
    pub(crate) fn seconds(self) -> Option<u32> {
        match self {
            Self::Day => Some(24 * 60 * 60),
            Self::Hour => Some(60 * 60),
            Self::Never => None,
            Self::Week => Some(7 * 24 * 60 * 60),
        }
    }
}

/// What a class of tools can do, in one word.
pub(crate) fn class_words(class: ToolClass) -> Sentence {
    match class {
        ToolClass::Destructive => Sentence::ClassDestructive,
        ToolClass::Read => Sentence::ClassRead,
        ToolClass::Write => Sentence::ClassWrite,
    }
}

/// User name and password.
#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct LoginPage {
    pub(crate) chrome: Chrome,
    pub(crate) csrf: String,
    pub(crate) request: Option<String>,
    /// Whether the person comes back to a page of their own.
    pub(crate) returns: bool,
    pub(crate) client_name: Option<String>,
    pub(crate) username: String,
    pub(crate) problem: Option<Sentence>,
}

/// A first password.
#[derive(Template)]
#[template(path = "setup.html")]
pub(crate) struct SetupPage {
    pub(crate) chrome: Chrome,
    pub(crate) csrf: String,
    pub(crate) action: String,
    pub(crate) username: String,
    /// There is a password already, and what was done with it ends.
    pub(crate) is_reset: bool,
    pub(crate) problem: Option<Sentence>,
}

/// Something went wrong, and there is nowhere to send the person.
#[derive(Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage {
    pub(crate) chrome: Chrome,
    pub(crate) what: Sentence,
    pub(crate) detail: String,
    pub(crate) hint: Sentence,
}

/// At an address that leads nowhere: what is here.
#[derive(Template)]
#[template(path = "nothing.html")]
pub(crate) struct NothingPage {
    pub(crate) chrome: Chrome,
    /// Where the servers are.
    pub(crate) calls: String,
}

/// A link to the application, where a redirect must not or cannot be automatic.
#[derive(Template)]
#[template(path = "return.html")]
pub(crate) struct ReturnPage {
    pub(crate) chrome: Chrome,
    pub(crate) title: Sentence,
    pub(crate) what: Sentence,
    pub(crate) code: String,
    pub(crate) detail: String,
    pub(crate) target: String,
    pub(crate) host: String,
}

/// A page as a response. `form_targets`: where a form on it may lead beyond this site, for browsers hold
/// `form-action` against the redirect after a form, too.
pub(crate) fn page(
    visit: &Visit,
    issuer: &Issuer,
    status: StatusCode,
    template: &impl Template,
    form_targets: &str,
) -> Response {
    let script = if visit.door.is_some() { issuer.script_policy.as_str() } else { "" };
    let mut response = written(visit, issuer, template);
    if response.status() == StatusCode::OK {
        *response.status_mut() = status;
    }
    protect(response.headers_mut(), script, form_targets);
    response
}

/// A page before the doors: the script on it may lead through one.
pub(crate) fn entry_page(visit: &Visit, issuer: &Issuer, template: &impl Template, form_targets: &str) -> Response {
    let script = if issuer.settings.is_https() { "" } else { issuer.script_policy.as_str() };
    let mut response = written(visit, issuer, template);
    protect(response.headers_mut(), script, form_targets);
    response
}

fn written(visit: &Visit, issuer: &Issuer, template: &impl Template) -> Response {
    let html = match template.render() {
        Ok(html) => for_page(html),
        Err(error) => {
            tracing::error!(request = %visit.request, error = &error as &dyn std::error::Error, "a page could not be written");
            return (StatusCode::INTERNAL_SERVER_ERROR, visit.request.to_string()).into_response();
        }
    };
    let mut response = html.into_response();
    let headers = response.headers_mut();
    put(headers, CONTENT_TYPE, "text/html; charset=utf-8");
    put(headers, http::header::CONTENT_LANGUAGE, visit.language.tag());
    put(headers, http::header::VARY, "Accept-Language, Cookie");
    if let Browser::New(token) = &visit.browser {
        put(headers, SET_COOKIE, &issuer.cookies.set_browser(token));
    }
    response
}

/// The headers of every page and redirect (PX-05, ATK-08, ATK-09, ATK-50).
fn protect(headers: &mut HeaderMap, script: &str, form_targets: &str) {
    let policy = format!(
        "default-src 'none'; {script}style-src 'self'; img-src 'self' data:; form-action 'self'{form_targets}; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    put(headers, CONTENT_SECURITY_POLICY, &policy);
    put(headers, X_FRAME_OPTIONS, "DENY");
    put(headers, REFERRER_POLICY, "no-referrer");
    put(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(headers, CACHE_CONTROL, "no-store");
    put(headers, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // What is put here is ours or visible ASCII; a value that no header can hold would only be left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A 303 to somewhere: after a form never a status that repeats the form (ATK-08).
pub(crate) fn see_other(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    put(response.headers_mut(), LOCATION, to);
    protect(response.headers_mut(), "", "");
    response
}

/// A 303 to a path of ours.
pub(crate) fn go(issuer: &Issuer, visit: &Visit, path: &str) -> Response {
    see_other(&visit.path(issuer, path))
}

/// A 303 to a path of ours, with the browser signed in.
pub(crate) fn signed_in(issuer: &Issuer, visit: &Visit, signed_in: &SignedIn, path: &str) -> Response {
    let mut response = see_other(&visit::path(issuer, signed_in.session.door(), path));
    // The door that the browser came through has no session behind it any more.
    let old = visit.door.as_ref().map(|door| issuer.cookies.clear_session(Some(door)));
    let new = [issuer.cookies.set_session(&signed_in.session), issuer.cookies.set_known(&signed_in.known)];
    for cookie in old.into_iter().chain(new) {
        // Made of our own names and of base64, so that a header can hold it.
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
    response
}

/// A 303 to a path of ours, with the browser signed out.
pub(crate) fn signed_out(issuer: &Issuer, visit: &Visit, path: &str) -> Response {
    let mut response = match &visit.door {
        Some(door) => door::closed(issuer, door, path),
        None => go(issuer, visit, path),
    };
    put(response.headers_mut(), SET_COOKIE, &issuer.cookies.clear_session(visit.door.as_ref()));
    response
}

/// `GET /assets/{name}`: the style sheet, under its one name.
pub(crate) async fn asset(State(issuer): State<Arc<Issuer>>, Path(name): Path<String>) -> Response {
    if name != issuer.style_name {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut response = style().into_response();
    put(response.headers_mut(), CONTENT_TYPE, "text/css; charset=utf-8");
    put(response.headers_mut(), CACHE_CONTROL, "public, max-age=31536000, immutable");
    put(response.headers_mut(), X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}
