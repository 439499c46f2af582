//! A browser: it keeps cookies, fills in forms and follows redirects. It runs no script except that of our own pages,
//! and a test can stop it at any point.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use url::Url;

use super::wire::{Ask, Reply, ask_from};
use crate::jar::{Jar, with_fragment};

/// The highest number of redirects and forms from a link to its end.
const STEPS_MAX: usize = 20;

/// One browser.
#[derive(Debug, Clone)]
pub struct Browser {
    origin: String,
    address: SocketAddr,
    source: IpAddr,
    headers: Vec<(String, String)>,
    jar: Jar,
}

/// Where a link ended.
#[derive(Debug)]
pub enum Landing {
    /// At a page of the checkpoint.
    Page(Box<Page>),
    /// At another site: the browser was redirected to this URL.
    Away(String),
}

/// A page of the checkpoint.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its URL.
    pub url: String,
    /// The response that contained it.
    pub reply: Reply,
}

/// A form on a page.
#[derive(Debug, Clone)]
pub struct PageForm {
    /// The URL to which it is sent.
    pub action: String,
    /// The fields with their values: hidden fields, ticked boxes, chosen options.
    pub fields: Vec<(String, String)>,
    /// Its named buttons.
    pub buttons: Vec<(String, String)>,
    /// Whether it asks for a password.
    pub asks_password: bool,
}

impl PageForm {
    /// Returns the form with this button pressed.
    #[must_use]
    pub fn press(mut self, value: &str) -> Self {
        let button = self.buttons.iter().find(|(_, found)| found == value).cloned();
        self.fields.push(button.unwrap_or_else(|| panic!("there is no button `{value}`: {:?}", self.buttons)));
        self
    }

    /// Returns the form with another value in a field.
    #[must_use]
    pub fn fill(mut self, field: &str, value: &str) -> Self {
        self.fields.retain(|(name, _)| name != field);
        self.fields.push((field.to_owned(), value.to_owned()));
        self
    }

    /// Returns the value of a field.
    pub fn value(&self, field: &str) -> &str {
        self.fields.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

impl Page {
    /// Returns the form that leads on: the one with a password field, or with a button that approves or continues.
    pub fn form(&self) -> Option<PageForm> {
        forms(&self.reply.text())
            .into_iter()
            .find(|form| form.asks_password || form.buttons.iter().any(|(name, _)| name == "decision"))
    }
}

impl Browser {
    /// Creates a browser for this checkpoint.
    pub fn new(base_url: &str) -> Self {
        let url = Url::parse(base_url).expect("a base URL is a URL");
        let port = url.port_or_known_default().expect("a base URL has a port");
        Self {
            origin: url.origin().ascii_serialization(),
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            source: IpAddr::from([127, 0, 0, 1]),
            headers: Vec::new(),
            jar: Jar::default(),
        }
    }

    /// Moves the browser to another machine, that is, to another loopback address.
    #[must_use]
    pub fn at(mut self, source: [u8; 4]) -> Self {
        self.source = IpAddr::from(source);
        self
    }

    /// Puts the browser behind a proxy that adds this header.
    #[must_use]
    pub fn behind(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(found, _)| found != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Signs in on the login page. Returns the status of the response to the form: 303 if it worked.
    pub async fn sign_in(&mut self, name: &str, password: &str) -> u16 {
        let Landing::Page(page) = self.open(&format!("{}/login", self.origin)).await else { panic!("no login page") };
        let form = page.form().unwrap_or_else(|| panic!("no form to sign in: {}", page.reply.text()));
        self.post(&form.fill("username", name).fill("password", password)).await.status
    }

    /// Submits the form of the home page with this path, and follows redirects.
    pub async fn press_at_home(&mut self, action: &str) -> Landing {
        let Landing::Page(home) = self.open(&format!("{}/", self.origin)).await else { panic!("no home page") };
        let text = home.reply.text();
        let form = forms(&text).into_iter().find(|form| form.action.ends_with(action));
        self.submit(&form.unwrap_or_else(|| panic!("no form to {action}: {text}"))).await
    }

    /// Returns the cookies, by name.
    pub fn cookies(&self) -> BTreeMap<String, String> {
        self.jar.by_name()
    }

    /// Returns scheme, host and port of the checkpoint.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Returns the door of this browser's session.
    pub fn door(&self) -> Option<&str> {
        self.jar.door(&self.origin)
    }

    /// Adds a cookie.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.jar.put(name, value);
    }

    /// Sends one request with the cookies, and stores the cookies of the response. Follows no redirect.
    pub async fn send(&mut self, request: Ask) -> Reply {
        let request = match self.jar.header(request.target()) {
            Some(cookies) => request.header("cookie", &cookies),
            None => request,
        };
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        let reply = ask_from(self.source, self.address, &request).await.expect("the checkpoint answers");
        for (_, cookie) in reply.headers.iter().filter(|(name, _)| name == "set-cookie") {
            self.jar.keep(&self.origin, cookie);
        }
        reply
    }

    /// Opens a link and follows redirects, without pressing anything.
    pub async fn open(&mut self, url: &str) -> Landing {
        let reply = self.send(Ask::get(&self.target(url))).await;
        self.follow(url.to_owned(), reply).await
    }

    /// Submits a form of a page and follows redirects.
    pub async fn submit(&mut self, form: &PageForm) -> Landing {
        let reply = self.post(form).await;
        self.follow(self.absolute(&form.action), reply).await
    }

    /// Submits a form of a page and follows no redirect.
    pub async fn post(&mut self, form: &PageForm) -> Reply {
        let pairs: Vec<(&str, &str)> =
            form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let origin = self.origin.clone();
        self.send(Ask::post(&self.target(&form.action)).header("origin", &origin).form(&pairs)).await
    }

    async fn follow(&mut self, mut at: String, mut reply: Reply) -> Landing {
        for _ in 0..STEPS_MAX {
            let to = match reply.header("location") {
                Some(location) => Some(with_fragment(&at, self.absolute(location))),
                None => self.jar.run_script(&self.origin, &at, &reply.text()),
            };
            let Some(to) = to else { return Landing::Page(Box::new(Page { url: at, reply })) };
            at = to;
            if !at.starts_with(&format!("{}/", self.origin)) {
                return Landing::Away(at);
            }
            reply = self.send(Ask::get(&self.target(&at))).await;
        }
        panic!("redirects without end, at last to {at}")
    }

    /// Does the whole way of a person who agrees to everything: signs in if asked, and presses the buttons that lead
    /// on.
    pub async fn agree(&mut self, url: &str, name: &str, password: &str) -> Landing {
        let mut landing = self.open(url).await;
        for _ in 0..STEPS_MAX {
            let Landing::Page(page) = &landing else { return landing };
            let Some(form) = page.form() else { return landing };
            landing = self.submit(&agreed(form, name, password)).await;
        }
        panic!("forms without end at {url}")
    }

    /// Does the same, up to the page on which the grant is given or denied.
    pub async fn to_grant_page(&mut self, url: &str, name: &str, password: &str) -> Page {
        let mut landing = self.open(url).await;
        for _ in 0..STEPS_MAX {
            let page = match landing {
                Landing::Page(page) => page,
                Landing::Away(to) => panic!("no grant page was shown, but a redirect to {to}"),
            };
            let form = page.form().unwrap_or_else(|| panic!("no form on {}:\n{}", page.url, page.reply.text()));
            if form.buttons.iter().any(|(_, value)| value == "approve") {
                return *page;
            }
            landing = self.submit(&agreed(form, name, password)).await;
        }
        panic!("no grant page at {url}")
    }

    fn absolute(&self, url: &str) -> String {
        if url.starts_with('/') { format!("{}{url}", self.origin) } else { url.to_owned() }
    }

    fn target(&self, url: &str) -> String {
        let path = url.strip_prefix(&self.origin).unwrap_or(url);
        path.split('#').next().unwrap_or_default().to_owned()
    }
}

fn agreed(form: PageForm, name: &str, password: &str) -> PageForm {
    if form.asks_password {
        return form.fill("username", name).fill("password", password);
    }
    let decision = if form.buttons.iter().any(|(_, value)| value == "approve") { "approve" } else { "continue" };
    form.press(decision)
}

/// Returns every form of a page, as a browser would send it.
pub fn forms(page: &str) -> Vec<PageForm> {
    let parts = page.split("<form").skip(1).map(|part| part.split("</form>").next().unwrap_or_default());
    parts.map(read_form).collect()
}

fn read_form(html: &str) -> PageForm {
    let (head, body) = html.split_once('>').unwrap_or((html, ""));
    let action = attribute(head, "action").unwrap_or_default();
    let mut form = PageForm { action, fields: Vec::new(), buttons: Vec::new(), asks_password: false };
    let mut select = None;
    for tag in body.split('<').skip(1).filter_map(|part| part.split('>').next()) {
        let word = tag.split([' ', '\n', '/']).next().unwrap_or_default();
        let value = attribute(tag, "value").unwrap_or_default();
        match (word, attribute(tag, "name")) {
            ("input", Some(name)) => {
                form.asks_password |= name == "password";
                let is_box = matches!(attribute(tag, "type").as_deref(), Some("checkbox" | "radio"));
                if !is_box || tag.split([' ', '\n']).any(|word| word == "checked") {
                    form.fields.push((name, value));
                }
            }
            ("button", Some(name)) => form.buttons.push((name, value)),
            ("select", name) => select = name,
            ("option", _) if tag.contains("selected") => form.fields.extend(select.take().map(|name| (name, value))),
            _ => {}
        }
    }
    form
}

/// Returns the value of an attribute of a tag, unescaped.
pub fn attribute(tag: &str, name: &str) -> Option<String> {
    let quoted = tag.split_once(&format!(" {name}=\""))?.1.split('"').next()?;
    let plain = quoted.replace("&#34;", "\"").replace("&quot;", "\"").replace("&#39;", "'").replace("&#x27;", "'");
    Some(
        plain
            .replace("&#60;", "<")
            .replace("&lt;", "<")
            .replace("&#62;", ">")
            .replace("&gt;", ">")
            .replace("&#38;", "&")
            .replace("&amp;", "&"),
    )
}

#[cfg(test)]
mod tests {
    use super::forms;

    #[test]
    fn a_form_is_read_as_a_browser_sends_it() {
        let page = r#"<form method="post" action="/consent/1?a=b&amp;c=d"><input type="hidden" name="csrf" value="v">
            <input type="checkbox" name="scope" value="r" checked><input type="checkbox" name="scope" value="w">
            <select name="class.a"><option value="read">r</option><option value="write" selected>w</option></select>
            <button name="decision" value="deny">No</button><button name="decision" value="approve">Yes</button></form>"#;
        let form = forms(page).remove(0).press("approve");
        let fields: Vec<_> = form.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            (form.action.as_str(), fields),
            (
                "/consent/1?a=b&c=d",
                ["csrf=v", "scope=r", "class.a=write", "decision=approve"].map(str::to_owned).to_vec()
            )
        );
    }
}
