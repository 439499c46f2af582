//! The frame of every page: the parts around its content, and the headers that all pages are sent with.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sekisho_protocol::secret::DoorToken;
use sekisho_protocol::text::for_page;

use crate::language::Language;
use crate::script;
use crate::sentence::Sentence;
use crate::session::{FormKind, Session, form_token};
use crate::session_secret::SessionSecret;
use crate::site::Site;
use crate::style::style;
use crate::visit::{self, Browser, Visit};

/// What every page shows around its content.
pub struct Chrome {
    /// The language of the page.
    pub language: Language,
    /// The path of the style sheet.
    pub stylesheet: String,
    /// The prefix of every link: the path of the issuer identifier, and the door.
    pub prefix: String,
    /// The path of the home page.
    pub home: String,
    /// The path of the issuer identifier.
    pub base: String,
    /// The door, if the page is behind one. The script of the page reads it.
    pub door: Option<String>,
    /// The path to open behind a door, on a page without one; for the script.
    pub entry: Option<String>,
    /// The script.
    pub script: &'static str,
    /// Host and port of the checkpoint.
    pub host: String,
    /// The identifier of the request.
    pub request: String,
    /// Who is signed in.
    pub who: Option<Who>,
}

/// Who is signed in, and the form to sign out.
pub struct Who {
    /// The user's name.
    pub name: String,
    /// The CSRF token of that form.
    pub csrf: String,
    /// The page to come back to after signing out.
    pub request: Option<String>,
}

impl Chrome {
    /// Makes the frame of a page for somebody who is not signed in.
    pub fn new(site: &Site, visit: &Visit) -> Self {
        let base = site.settings.prefix().to_owned();
        Self {
            language: visit.language,
            stylesheet: format!("{base}/assets/{}", site.style_name),
            prefix: visit.prefix(site),
            home: visit.path(site, "/"),
            door: visit.door.as_ref().map(|door| door.expose().to_owned()),
            entry: None,
            script: script::SCRIPT,
            host: site.settings.host(),
            request: visit.request.to_string(),
            who: None,
            base,
        }
    }

    /// Makes the frame of a page whose links lead behind no door: the browser has just been signed out, or is on its way in.
    pub fn signed_out(site: &Site, visit: &Visit) -> Self {
        let base = site.settings.prefix().to_owned();
        Self { prefix: base, home: visit::path(site, None, "/"), door: None, ..Self::new(site, visit) }
    }

    /// Adds who is signed in. With a `request`, signing out leads back to its page.
    pub fn with(mut self, visit: &Visit, session: &Session, request: Option<String>) -> Self {
        let csrf = form_token(visit, Some(session), FormKind::Logout, "").expose().to_owned();
        self.who = Some(Who { name: session.user.name.clone(), csrf, request });
        self
    }

    /// Returns a sentence in the language of the page.
    pub fn say(&self, sentence: impl std::borrow::Borrow<Sentence>) -> &'static str {
        self.language.say(*sentence.borrow())
    }

    /// Returns the parts of a sentence before and after the place of a name.
    pub fn around(&self, sentence: impl std::borrow::Borrow<Sentence>) -> (&'static str, &'static str) {
        self.language.around(*sentence.borrow())
    }
}

/// Makes a response of a page. `form_targets`: other sites that a form on it may lead to, because browsers apply
/// `form-action` also to the redirect after a form.
pub fn page(visit: &Visit, site: &Site, status: StatusCode, template: &impl Template, form_targets: &str) -> Response {
    let script = if visit.door.is_some() { site.script_policy.as_str() } else { "" };
    let mut response = written(visit, site, template);
    if response.status() == StatusCode::OK {
        *response.status_mut() = status;
    }
    protect(response.headers_mut(), script, form_targets);
    response
}

/// Makes a response of a page without a door, whose script may continue behind one.
pub fn entry_page(visit: &Visit, site: &Site, template: &impl Template, form_targets: &str) -> Response {
    let script = if site.settings.is_https() { "" } else { site.script_policy.as_str() };
    let mut response = written(visit, site, template);
    protect(response.headers_mut(), script, form_targets);
    response
}

fn written(visit: &Visit, site: &Site, template: &impl Template) -> Response {
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
        put(headers, SET_COOKIE, &site.cookies.set_browser(token));
    }
    response
}

/// Sets the security headers of every page and redirect (PX-05, ATK-08, ATK-09, ATK-50).
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
    // All values are our own or visible ASCII, so none should be left out here.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Redirects with a 303, because other statuses could make the browser send a form again (ATK-08).
pub fn see_other(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    put(response.headers_mut(), LOCATION, to);
    protect(response.headers_mut(), "", "");
    response
}

/// Redirects to a path of ours.
pub fn go(site: &Site, visit: &Visit, path: &str) -> Response {
    see_other(&visit.path(site, path))
}

/// A redirect to the same page without the door in its path, for a browser that may still be signed in behind another door.
pub(crate) fn before_door(site: &Site, door: &DoorToken, path: &str) -> Response {
    see_other(&format!("{}{path}#~{}", site.settings.prefix(), door.expose()))
}

/// A browser that was just signed in: its two cookies.
#[derive(Debug)]
pub struct SignedIn {
    /// The session.
    pub session: SessionSecret,
    /// The sealed note that this account signed in here.
    pub known: String,
}

/// Redirects to a path of ours, and signs the browser in.
pub fn signed_in(site: &Site, visit: &Visit, signed_in: &SignedIn, path: &str) -> Response {
    let response = see_other(&visit::path(site, signed_in.session.door(), path));
    with_session(site, visit, signed_in, response)
}

/// A browser that is signed in, on its way to the page behind its new door.
#[derive(Template)]
#[template(path = "entered.html")]
struct EnteredPage {
    chrome: Chrome,
    /// The page that follows.
    to: String,
}

/// The same for a browser that another site has just sent here. A redirect would count as sent by that site as well
/// (Fetch Metadata: `Sec-Fetch-Site`), and no other site leads through a door. So where there are doors, a page of ours goes
/// on by itself.
pub fn signed_in_from_elsewhere(site: &Site, visit: &Visit, signed_in: &SignedIn, path: &str) -> Response {
    if signed_in.session.door().is_none() {
        return self::signed_in(site, visit, signed_in, path);
    }
    let to = visit::path(site, signed_in.session.door(), path);
    let page = EnteredPage { chrome: Chrome::signed_out(site, visit), to };
    let response = self::page(visit, site, StatusCode::OK, &page, "");
    with_session(site, visit, signed_in, response)
}

fn with_session(site: &Site, visit: &Visit, signed_in: &SignedIn, mut response: Response) -> Response {
    // Deletes the cookie of the old session behind the door that the browser came through.
    let old = visit.door.as_ref().map(|door| site.cookies.clear_session(Some(door)));
    let new = [site.cookies.set_session(&signed_in.session), site.cookies.set_known(&signed_in.known)];
    for cookie in old.into_iter().chain(new) {
        // The cookie consists of our own names and base64, so it is a valid header value.
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
    response
}

/// Redirects to a path of ours, and signs the browser out.
pub fn signed_out(site: &Site, visit: &Visit, path: &str) -> Response {
    let mut response = match &visit.door {
        Some(door) => before_door(site, door, path),
        None => go(site, visit, path),
    };
    put(response.headers_mut(), SET_COOKIE, &site.cookies.clear_session(visit.door.as_ref()));
    response
}

/// Makes a response of a page, and signs the browser out.
pub fn page_signed_out(site: &Site, visit: &Visit, template: &impl Template) -> Response {
    let mut response = page(visit, site, StatusCode::OK, template, "");
    // The cookie consists of our own names, so it is a valid header value.
    if let Ok(value) = HeaderValue::from_str(&site.cookies.clear_session(visit.door.as_ref())) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

/// `GET /assets/{name}`: serves the style sheet, under its current name only.
pub async fn asset(State(site): State<Arc<Site>>, Path(name): Path<String>) -> Response {
    if name != site.style_name {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut response = style().into_response();
    put(response.headers_mut(), CONTENT_TYPE, "text/css; charset=utf-8");
    put(response.headers_mut(), CACHE_CONTROL, "public, max-age=31536000, immutable");
    put(response.headers_mut(), X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}
