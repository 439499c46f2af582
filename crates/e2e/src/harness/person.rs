//! A person at a browser: cookies, the script of the pages before and behind a door, forms, and a decision.

use std::collections::BTreeMap;

use http::header::{COOKIE, ORIGIN, SET_COOKIE};
use url::Url;

use crate::jar::{Jar, refresh, with_fragment};

use super::form::{Form, forms, links};
use super::{Answer, Call, Caller};

/// The highest number of pages and redirects between the first link and the last one.
const STEPS_MAX: usize = 20;

/// A person with a name, a password, a decision and a cookie jar.
#[derive(Debug, Clone)]
pub struct Person {
    name: String,
    password: String,
    decision: Decision,
    ticked: Vec<(String, String)>,
    unticked: Vec<(String, String)>,
    chosen: Vec<(String, String)>,
    language: String,
    caller: Caller,
    jar: Jar,
    /// Whether the browser runs the script of our pages.
    runs_script: bool,
}

/// The decision of a person on the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Approves.
    Approve,
    /// Cancels on the client page, before signing in.
    Cancel,
    /// Denies on the grant page.
    Deny,
}

/// Where the browser is.
#[derive(Debug, Clone)]
pub enum BrowserState {
    /// At another site, to which it was redirected: the client's redirect URI.
    Away(String),
    /// At a page of the checkpoint.
    Page {
        /// Its address.
        url: String,
        /// The response that contained the page.
        answer: Answer,
    },
}

impl Person {
    /// Creates a person who has visited no page yet, and who approves.
    pub fn new(name: &str, password: &str) -> Self {
        Self {
            name: name.to_owned(),
            password: password.to_owned(),
            decision: Decision::Approve,
            ticked: Vec::new(),
            unticked: Vec::new(),
            chosen: Vec::new(),
            language: "en".to_owned(),
            caller: Caller::new(),
            jar: Jar::default(),
            runs_script: true,
        }
    }

    /// Changes the decision.
    #[must_use]
    pub fn deciding(mut self, decision: Decision) -> Self {
        self.decision = decision;
        self
    }

    /// The same, ticking a box of the grant page such as (`scope`, `mcp:destructive`) that is not ticked by itself.
    #[must_use]
    pub fn ticking(mut self, name: &str, value: &str) -> Self {
        self.ticked.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, unticking a box such as (`scope`, `mcp:write`).
    #[must_use]
    pub fn unticking(mut self, name: &str, value: &str) -> Self {
        self.unticked.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes the person set the class of a tool on the owner's first consent page.
    #[must_use]
    pub fn classifying(mut self, tool: &str, class: &str) -> Self {
        self.chosen.push((format!("class.{tool}"), class.to_owned()));
        self
    }

    /// Makes the person fill in this text if a form has the field.
    #[must_use]
    pub fn filling(mut self, field: &str, text: &str) -> Self {
        self.chosen.push((field.to_owned(), text.to_owned()));
        self
    }

    /// Makes the person read pages in another language.
    #[must_use]
    pub fn reading(mut self, language: &str) -> Self {
        language.clone_into(&mut self.language);
        self
    }

    /// Makes the browser run no script.
    #[must_use]
    pub fn without_script(mut self) -> Self {
        self.runs_script = false;
        self
    }

    /// Returns the cookies of the browser, by name.
    pub fn cookies(&self) -> BTreeMap<String, String> {
        self.jar.by_name()
    }

    /// Returns the door of this browser's session at the checkpoint with this URL.
    pub fn door(&self, url: &str) -> Option<&str> {
        self.jar.door(&origin(url))
    }

    /// Returns the URL of the same page behind the door of this browser's session, if there is one.
    pub fn behind_door(&self, url: &str) -> String {
        let origin = origin(url);
        let door = self.jar.door(&origin).unwrap_or_else(|| panic!("no door at {origin}: sign in first"));
        let path = url.strip_prefix(&origin).unwrap_or_default();
        format!("{origin}/~{door}{}", if path == "/" { "" } else { path })
    }

    /// Deletes everything that the browser has stored, as in a new browser.
    pub fn forget_cookies(&mut self) {
        self.jar = Jar::default();
    }

    /// Opens a URL and follows redirects until there is a page, or another site.
    pub async fn visit(&mut self, url: &str) -> BrowserState {
        let call = self.caller.get(url);
        self.go(url.to_owned(), call).await
    }

    /// Sends a form of the page at `from`, and follows redirects.
    pub async fn submit(&mut self, from: &str, form: &Form) -> BrowserState {
        let to = absolute(from, &form.action);
        let call = self.caller.post(&to).header(ORIGIN.as_str(), origin(&to)).form(&form.pairs());
        self.go(to, call).await
    }

    async fn go(&mut self, mut at: String, mut call: Call) -> BrowserState {
        let site = site(&at);
        for _ in 0..STEPS_MAX {
            let answer = self.send(call).await;
            let to = match answer.location() {
                Some(location) => Some(with_fragment(&at, absolute(&at, location))),
                None => self.goes_on(&at, &answer.text()),
            };
            let Some(to) = to else { return BrowserState::Page { url: at, answer } };
            at = to;
            if self::site(&at) != site {
                return BrowserState::Away(at);
            }
            call = self.caller.get(&at);
        }
        panic!("redirects without end, now at {at}")
    }

    /// Where a page of the checkpoint goes on by itself, within the checkpoint.
    fn goes_on(&mut self, at: &str, page: &str) -> Option<String> {
        let by_script = if self.runs_script { self.jar.run_script(&origin(at), at, page) } else { None };
        by_script.or_else(|| refresh(page).map(|to| absolute(at, &to)).filter(|to| site(to) == site(at)))
    }

    /// Sends one request with the cookies, and stores the cookies of the response. Follows no redirect.
    pub async fn send(&mut self, call: Call) -> Answer {
        let mut call = call.header("accept-language", &self.language);
        if let Some(cookies) = self.jar.header(&call.path()) {
            call = call.header(COOKIE.as_str(), cookies);
        }
        let origin = call.origin();
        let answer = call.send().await;
        for cookie in answer.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().expect("a cookie is text")) {
            self.jar.keep(&origin, cookie);
        }
        answer
    }

    /// Opens an authorization request, signs in if asked, and decides. Returns the URL of the redirect to the client.
    pub async fn answer(&mut self, url: &str) -> String {
        match self.try_answer(url).await {
            Ok(redirect) => redirect,
            Err((at, answer)) => panic!("no way on from {at}, status {}:\n{}", answer.status, answer.text()),
        }
    }

    /// Does the same. Returns the page on which it ended if there was no redirect.
    pub async fn try_answer(&mut self, url: &str) -> Result<String, (String, Answer)> {
        let mut seen = self.visit(url).await;
        let mut signed_in = false;
        for _ in 0..STEPS_MAX {
            let (at, answer) = match seen {
                BrowserState::Away(redirect) => return Ok(redirect),
                BrowserState::Page { url, answer } => (url, answer),
            };
            let page = answer.text();
            let Some(form) = self.next_form(&page) else {
                let site = site(&at);
                let out = links(&page).into_iter().find(|link| link.contains("://") && self::site(link) != site);
                return out.ok_or((at, answer));
            };
            // A second sign-in form means that the first was refused: further attempts would only be slowed down.
            if form.has("password") && std::mem::replace(&mut signed_in, true) {
                return Err((at, answer));
            }
            seen = self.submit(&at, &form).await;
        }
        panic!("pages without end, from {url}")
    }

    /// Opens a page that asks for approval, signs in if asked, and approves. Returns the page that follows.
    pub async fn say_yes(&mut self, url: &str) -> Answer {
        match self.try_answer(url).await {
            Ok(redirect) => panic!("{url} leads away to {redirect}"),
            Err((_, answer)) => answer,
        }
    }

    /// Sets the password with a one-time link. The browser is signed in afterwards.
    pub async fn set_up(&mut self, link: &str) {
        let BrowserState::Page { url, answer } = self.visit(link).await else { panic!("{link} leads away") };
        let page = answer.text();
        let form = forms(&page).into_iter().find(|form| form.has("repeat"));
        let mut form = form.unwrap_or_else(|| panic!("no form to set a password: {page}"));
        form.fill("password", &self.password);
        form.fill("repeat", &self.password);
        let BrowserState::Page { answer, .. } = self.submit(&url, &form).await else {
            panic!("setting a password leads away")
        };
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Returns the form that this person would send next, filled in and with the button pressed.
    fn next_form(&self, page: &str) -> Option<Form> {
        let mut forms = forms(page).into_iter();
        let mut form =
            forms.find(|form| form.has("password") || form.buttons.iter().any(|(name, _)| name == "decision"))?;
        if form.has("password") {
            form.fill("username", &self.name);
            form.fill("password", &self.password);
            return Some(form);
        }
        let client_page = form.has_button("decision", "continue");
        let said = match (client_page, self.decision) {
            (true, Decision::Cancel) | (false, Decision::Cancel | Decision::Deny) => "deny",
            (true, _) => "continue",
            (false, Decision::Approve) if form.has_button("decision", "ask") => "ask",
            (false, Decision::Approve) => "approve",
        };
        for (name, value) in &self.unticked {
            form.untick(name, value);
        }
        for (name, value) in self.ticked.iter().filter(|_| !client_page) {
            form.untick(name, value);
            form.fields.push((name.clone(), value.clone()));
        }
        for (name, value) in self.chosen.iter().filter(|(name, _)| form.has(name)).collect::<Vec<_>>() {
            form.fill(name, value);
        }
        form.fields.push(("decision".to_owned(), said.to_owned()));
        Some(form)
    }
}

impl BrowserState {
    /// Returns the page. The test fails if there is none.
    pub fn page(self) -> Answer {
        match self {
            Self::Away(url) => panic!("there should be a page, not a redirect to {url}"),
            Self::Page { answer, .. } => answer,
        }
    }
}

fn absolute(base: &str, location: &str) -> String {
    Url::parse(base)
        .and_then(|base| base.join(location))
        .unwrap_or_else(|_| panic!("not an address: {location}"))
        .into()
}

fn origin(url: &str) -> String {
    Url::parse(url).unwrap_or_else(|_| panic!("not an address: {url}")).origin().ascii_serialization()
}

/// Returns scheme, host and port as a text that also distinguishes private schemes.
fn site(url: &str) -> String {
    let url = Url::parse(url).unwrap_or_else(|_| panic!("not an address: {url}"));
    format!("{}://{}:{:?}", url.scheme(), url.host_str().unwrap_or_default(), url.port_or_known_default())
}
