//! The person of the story: reads the issuer's pages and fills in their forms, as a browser without script would.

use std::collections::BTreeMap;

use axum::http::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use sekisho_client::http::{Destination, HttpClient, Request, Response};

use crate::failure::{Failure, failure};

/// The highest number of pages between the first link and the last redirect.
const PAGES_MAX: usize = 12;

/// Where a link ended.
pub(crate) enum Landing {
    /// At another site, at this address.
    Away(String),
    /// At a page that waits for the person.
    Page(String),
}

/// A person with a name, a password and a cookie jar.
pub(crate) struct Person {
    name: String,
    password: String,
    cookies: BTreeMap<String, String>,
}

impl Person {
    /// A person who has visited no page yet.
    pub(crate) fn new(name: &str, password: &str) -> Self {
        Self { name: name.to_owned(), password: password.to_owned(), cookies: BTreeMap::new() }
    }

    /// Opens the link, logs in if asked, and agrees. Returns the address to which the browser is sent at the end.
    pub(crate) async fn approve(&mut self, http: &dyn HttpClient, url: &str) -> Result<String, Failure> {
        let origin = origin(url);
        let mut request = Request::get(Destination::given(url));
        let mut at = url.to_owned();
        for _ in 0..PAGES_MAX {
            let response = self.visit(http, request).await?;
            if let Some(location) = response.headers.get(LOCATION).and_then(|value| value.to_str().ok()) {
                at = absolute(&at, location);
                if !at.starts_with(&format!("{origin}/")) {
                    return Ok(at);
                }
                request = Request::get(Destination::given(at.as_str()));
                continue;
            }
            let page = String::from_utf8_lossy(&response.body).into_owned();
            if !response.status.is_success() {
                return Err(failure(format!("the page at {at} answered {}", response.status.as_u16())));
            }
            // The page has no form, only a link back to the client.
            let Some(form) = Form::first(&page) else {
                return link_out(&page, &origin)
                    .ok_or_else(|| failure(format!("the page at {at} has no form and no way on")));
            };
            at = absolute(&at, &form.action);
            let fields = form.filled(&self.name, &self.password);
            let pairs = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            request = Request::post_form(Destination::given(at.as_str()), pairs).header(ORIGIN, &origin);
        }
        Err(failure("the pages did not come to an end"))
    }

    /// Opens a link and follows redirects, up to the first page.
    pub(crate) async fn open(&mut self, http: &dyn HttpClient, url: &str) -> Result<Landing, Failure> {
        let origin = origin(url);
        let mut at = url.to_owned();
        for _ in 0..PAGES_MAX {
            let response = self.visit(http, Request::get(Destination::given(at.as_str()))).await?;
            let Some(location) = response.headers.get(LOCATION).and_then(|value| value.to_str().ok()) else {
                return Ok(Landing::Page(String::from_utf8_lossy(&response.body).into_owned()));
            };
            at = absolute(&at, location);
            if !at.starts_with(&format!("{origin}/")) {
                return Ok(Landing::Away(at));
            }
        }
        Err(failure("the link did not come to an end"))
    }

    /// Opens a page that asks for approval, logs in if asked, and approves.
    pub(crate) async fn say_yes(&mut self, http: &dyn HttpClient, url: &str) -> Result<(), Failure> {
        let origin = origin(url);
        let mut request = Request::get(Destination::given(url));
        let mut at = url.to_owned();
        let mut answered = false;
        for _ in 0..PAGES_MAX {
            let response = self.visit(http, request).await?;
            if let Some(location) = response.headers.get(LOCATION).and_then(|value| value.to_str().ok()) {
                at = absolute(&at, location);
                request = Request::get(Destination::given(at.as_str()));
                continue;
            }
            if answered || !response.status.is_success() {
                let status = response.status.as_u16();
                let good = response.status.is_success();
                return if good { Ok(()) } else { Err(failure(format!("the page at {at} answered {status}"))) };
            }
            let page = String::from_utf8_lossy(&response.body).into_owned();
            let form = Form::first(&page).ok_or_else(|| failure(format!("the page at {at} asks nothing")))?;
            answered = !form.has_password;
            at = absolute(&at, &form.action);
            let fields = form.filled(&self.name, &self.password);
            let pairs = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            request = Request::post_form(Destination::given(at.as_str()), pairs).header(ORIGIN, &origin);
        }
        Err(failure("the pages did not come to an end"))
    }

    async fn visit(&mut self, http: &dyn HttpClient, request: Request) -> Result<Response, Failure> {
        let jar = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let request = if jar.is_empty() { request } else { request.header(COOKIE, &jar) };
        let response = http.send(request).await.map_err(failure)?;
        for cookie in response.headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        Ok(response)
    }
}

/// A form on a page of the checkpoint.
struct Form {
    action: String,
    fields: Vec<(String, String)>,
    has_password: bool,
}

impl Form {
    /// Returns the first form whose button approves, or whose fields ask for a login.
    fn first(page: &str) -> Option<Self> {
        let forms = page.split("<form").skip(1).map(|part| part.split("</form>").next().unwrap_or_default());
        forms.map(Self::read).find(|form| form.has_password || form.fields.iter().any(|(name, _)| name == "decision"))
    }

    fn read(html: &str) -> Self {
        let mut form = Self { action: String::new(), fields: Vec::new(), has_password: false };
        let (head, body) = html.split_once('>').unwrap_or((html, ""));
        form.action = attribute(head, "action").unwrap_or_default();
        let mut select = None;
        for tag in body.split('<').skip(1).filter_map(|part| part.split('>').next()) {
            let name = attribute(tag, "name");
            let value = || attribute(tag, "value").unwrap_or_default();
            match (tag.split([' ', '\n', '/']).next().unwrap_or_default(), name) {
                ("input", Some(name)) => {
                    form.has_password |= name == "password";
                    let kind = attribute(tag, "type").unwrap_or_default();
                    let ticked = !matches!(kind.as_str(), "checkbox" | "radio") || has_word(tag, "checked");
                    if ticked && kind != "submit" {
                        form.fields.push((name, value()));
                    }
                }
                ("button", Some(name)) if matches!(value().as_str(), "approve" | "ask" | "continue") => {
                    form.fields.push((name, value()))
                }
                ("select", name) => select = name,
                ("option", _) if has_word(tag, "selected") => {
                    form.fields.extend(select.take().map(|name| (name, value())))
                }
                _ => {}
            }
        }
        form
    }

    fn filled(mut self, name: &str, password: &str) -> Vec<(String, String)> {
        for (field, value) in &mut self.fields {
            match field.as_str() {
                "username" => name.clone_into(value),
                "password" => password.clone_into(value),
                "reason" => "the draft has to be kept today".clone_into(value),
                _ => {}
            }
        }
        self.fields
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let quoted = tag.split_once(&format!(" {name}=\""))?.1.split('"').next()?;
    Some(
        quoted
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&#38;", "&")
            .replace("&amp;", "&"),
    )
}

fn has_word(tag: &str, word: &str) -> bool {
    tag.split([' ', '\n', '/']).any(|part| part == word || part.starts_with(&format!("{word}=")))
}

/// Returns the first link that leads away from the checkpoint.
fn link_out(page: &str, origin: &str) -> Option<String> {
    let links = page.split("<a").skip(1).filter_map(|part| attribute(part.split('>').next()?, "href"));
    links.filter(|link| link.contains("://") && !link.starts_with(origin)).find(|link| link.contains("code="))
}

fn origin(url: &str) -> String {
    url::Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

fn absolute(base: &str, location: &str) -> String {
    url::Url::parse(base).and_then(|base| base.join(location)).map_or_else(|_| location.to_owned(), String::from)
}

#[cfg(test)]
mod tests {
    use super::{Form, link_out};

    #[test]
    fn a_form_is_read_as_a_browser_sends_it() {
        let page = r#"<form action="/logout"><button name="x">no</button></form>
            <form method="post" action="/consent/1?a=b&amp;c=d"><input type="hidden" name="csrf" value="v">
            <input type="checkbox" name="scope" value="mcp:read" checked><input type="checkbox" name="scope" value="mcp:write">
            <select name="class.a"><option value="read">r</option><option value="write" selected>w</option></select>
            <button name="decision" value="deny">No</button><button name="decision" value="approve">Yes</button></form>"#;
        let form = Form::first(page).unwrap();
        assert_eq!(form.action, "/consent/1?a=b&c=d");
        let fields: Vec<_> = form.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(fields, ["csrf=v", "scope=mcp:read", "class.a=write", "decision=approve"]);
    }

    #[test]
    fn a_page_without_a_form_may_lead_on_by_a_link() {
        let page = r#"<a href="/help">?</a><a href="http://127.0.0.1:1/cb?code=x&amp;iss=y">back</a>"#;
        assert_eq!(link_out(page, "http://localhost:2").unwrap(), "http://127.0.0.1:1/cb?code=x&iss=y");
    }
}
