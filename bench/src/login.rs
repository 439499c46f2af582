//! Gets the generator's token in the same way as every client, and fills in the forms in place of a browser.
//!
//! Resource metadata → issuer metadata → registration → authorization → sign-in and consent pages → code → token.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::{Url, form_urlencoded};

use crate::form::Form;
use crate::http1::{Connection, HttpError, host_header, loopback_address};

/// The highest number of pages between the authorization request and the code: client page, sign-in, consent, and
/// redirects.
const STEPS_MAX: usize = 12;
/// Nothing listens there: the code is read from the redirect itself.
const REDIRECT_URI: &str = "http://127.0.0.1:1/callback";
const STATE: &str = "bench";
// The values of RFC 7636 Appendix B. Nobody could steal the code here, so a benchmark needs no random ones.
const CODE_VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CODE_CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// One sign-in.
#[derive(clap::Args)]
pub(crate) struct TokenArguments {
    /// The protected server, on loopback
    #[arg(long)]
    url: Url,
    /// The user who signs in
    #[arg(long)]
    username: String,
    /// A file with the user's password
    #[arg(long)]
    password_file: PathBuf,
    /// Scopes to ask for, divided by blanks; by default the server's own choice
    #[arg(long)]
    scope: Option<String>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// An endpoint refused.
    #[error("`{url}` answered {status}: {body}")]
    Answer { url: Url, status: u16, body: String },
    /// The issuer sent the browser back without a code.
    #[error("the issuer came back with `{0}` instead of a code")]
    Denied(String),
    /// A request could not be made.
    #[error("`{url}`: {source}")]
    Exchange { url: Url, source: HttpError },
    /// A document is not what its specification says.
    #[error("`{url}` did not answer what was expected: {source}")]
    Json { url: Url, source: serde_json::Error },
    /// There are too many pages.
    #[error("no code after {STEPS_MAX} pages; the last was `{0}`: is the password right?")]
    Lost(Url),
    /// A page has nothing to press.
    #[error("the page `{url}` (status {status}) has no form: {body}")]
    NoForm { url: Url, status: u16, body: String },
    /// The password could not be read.
    #[error("cannot read the password in `{path}`: {source}")]
    Password { path: PathBuf, source: std::io::Error },
    /// An address in a document or a page is not a URL.
    #[error("not a URL: {0}")]
    Url(#[from] url::ParseError),
}

/// RFC 9728 §2.
#[derive(Deserialize)]
struct ResourceMetadata {
    resource: String,
    authorization_servers: Vec<String>,
}

/// RFC 8414 §2.
#[derive(Deserialize)]
struct IssuerMetadata {
    authorization_endpoint: String,
    registration_endpoint: String,
    token_endpoint: String,
}

/// RFC 7591 §3.2.1.
#[derive(Deserialize)]
struct Registered {
    client_id: String,
}

/// RFC 6749 §5.1.
#[derive(Deserialize)]
struct Issued {
    access_token: String,
}

/// Signs in and returns the access token.
pub(crate) fn run(arguments: &TokenArguments) -> Result<String, LoginError> {
    let path = &arguments.password_file;
    let password = fs::read_to_string(path).map_err(|source| LoginError::Password { path: path.clone(), source })?;
    let mut browser = Browser { cookies: BTreeMap::new() };

    let resource: ResourceMetadata = browser.document(well_known(&arguments.url, "oauth-protected-resource")?)?;
    let issuer = match resource.authorization_servers.first() {
        Some(issuer) => Url::parse(issuer)?,
        None => arguments.url.clone(),
    };
    let metadata: IssuerMetadata = browser.document(well_known(&issuer, "oauth-authorization-server")?)?;

    let registration = serde_json::json!({
        "client_name": "sekisho bench",
        "redirect_uris": [REDIRECT_URI],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    });
    let client: Registered =
        browser.post_document(Url::parse(&metadata.registration_endpoint)?, JSON, &registration.to_string())?;

    let mut authorization = Url::parse(&metadata.authorization_endpoint)?;
    authorization
        .query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &client.client_id)
        .append_pair("redirect_uri", REDIRECT_URI)
        .append_pair("state", STATE)
        .append_pair("code_challenge", CODE_CHALLENGE)
        .append_pair("code_challenge_method", "S256")
        .append_pair("resource", &resource.resource)
        .extend_pairs(arguments.scope.iter().map(|scope| ("scope", scope)));
    let code = browser.sign_in(authorization, &arguments.username, password.trim_end_matches('\n'))?;

    let exchange = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "authorization_code")
        .append_pair("code", &code)
        .append_pair("redirect_uri", REDIRECT_URI)
        .append_pair("client_id", &client.client_id)
        .append_pair("code_verifier", CODE_VERIFIER)
        .append_pair("resource", &resource.resource)
        .finish();
    let issued: Issued = browser.post_document(Url::parse(&metadata.token_endpoint)?, FORM, &exchange)?;
    Ok(issued.access_token)
}

/// Returns the URL of `/.well-known/{name}`, inserted between host and path (RFC 8414 §3.1, RFC 9728 §3.1).
fn well_known(url: &Url, name: &str) -> Result<Url, url::ParseError> {
    url.join(&format!("/.well-known/{name}{}", url.path().trim_end_matches('/')))
}

/// The state of a browser that matters here.
struct Browser {
    cookies: BTreeMap<String, String>,
}

/// A response, copied out of the connection's buffers.
struct Fetched {
    url: Url,
    status: u16,
    location: Option<String>,
    body: String,
}

impl Fetched {
    fn excerpt(&self) -> String {
        self.body.chars().take(600).collect()
    }

    fn document<T: DeserializeOwned>(self) -> Result<T, LoginError> {
        if !matches!(self.status, 200 | 201) {
            return Err(LoginError::Answer { body: self.excerpt(), url: self.url, status: self.status });
        }
        serde_json::from_str(&self.body).map_err(|source| LoginError::Json { url: self.url, source })
    }
}

impl Browser {
    fn document<T: DeserializeOwned>(&mut self, url: Url) -> Result<T, LoginError> {
        self.fetch(url, "GET", None)?.document()
    }

    fn post_document<T: DeserializeOwned>(&mut self, url: Url, kind: &str, body: &str) -> Result<T, LoginError> {
        self.fetch(url, "POST", Some((kind, body)))?.document()
    }

    /// Follows redirects and sends the form of each page until the browser would leave with a code.
    fn sign_in(&mut self, start: Url, username: &str, password: &str) -> Result<String, LoginError> {
        let mut page = self.fetch(start, "GET", None)?;
        for _ in 0..STEPS_MAX {
            if let Some(location) = page.location.take() {
                let next = page.url.join(&location)?;
                if next.as_str().starts_with(REDIRECT_URI) {
                    return code_of(&next);
                }
                page = self.fetch(next, "GET", None)?;
                continue;
            }
            let Some(form) = Form::find(&page.body) else {
                return Err(LoginError::NoForm { body: page.excerpt(), url: page.url, status: page.status });
            };
            // An error page is final, unless it asks for a sign-in, which may come with a 401.
            if page.status >= 400 && !form.signs_in() {
                return Err(LoginError::Answer { body: page.excerpt(), url: page.url, status: page.status });
            }
            page = self.send(&page.url, &form, username, password)?;
        }
        Err(LoginError::Lost(page.url))
    }

    fn send(&mut self, page: &Url, form: &Form, username: &str, password: &str) -> Result<Fetched, LoginError> {
        let mut target = page.join(&form.action)?;
        let fields = form.filled_in(username, password);
        if form.posts {
            return self.fetch(target, "POST", Some((FORM, &fields)));
        }
        target.set_query(Some(&fields));
        self.fetch(target, "GET", None)
    }

    fn fetch(&mut self, url: Url, method: &str, body: Option<(&str, &str)>) -> Result<Fetched, LoginError> {
        let request = self.request(&url, method, body);
        match self.exchange(&url, request.as_bytes()) {
            Ok((status, location, body)) => Ok(Fetched { url, status, location, body }),
            Err(source) => Err(LoginError::Exchange { url, source }),
        }
    }

    fn request(&self, url: &Url, method: &str, body: Option<(&str, &str)>) -> String {
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut head = format!(
            "{method} {}{query} HTTP/1.1\r\nHost: {}\r\nAccept: text/html, application/json\r\nConnection: close\r\n",
            url.path(),
            host_header(url),
        );
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            head.push_str(&format!("Cookie: {}\r\n", pairs.join("; ")));
        }
        if let Some((kind, body)) = body {
            let origin = url.origin().ascii_serialization();
            head.push_str(&format!("Origin: {origin}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len()));
        }
        format!("{head}\r\n{}", body.unwrap_or_default().1)
    }

    fn exchange(&mut self, url: &Url, request: &[u8]) -> Result<(u16, Option<String>, String), HttpError> {
        let mut connection = Connection::open(loopback_address(url)?)?;
        let answer = connection.exchange(request)?;
        for cookie in answer.headers("set-cookie") {
            self.keep(cookie);
        }
        let redirects = (300..400).contains(&answer.status);
        let location = answer.headers("location").next().filter(|_| redirects).map(str::to_owned);
        Ok((answer.status, location, String::from_utf8_lossy(answer.body).into_owned()))
    }

    /// Stores a cookie by its name alone: there is only one host, and every cookie is for it.
    fn keep(&mut self, set_cookie: &str) {
        let mut parts = set_cookie.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        if value.is_empty() || parts.any(|part| part.eq_ignore_ascii_case("max-age=0")) {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

fn code_of(callback: &Url) -> Result<String, LoginError> {
    let parameter = |wanted: &str| callback.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value);
    match (parameter("code"), parameter("state").as_deref()) {
        (Some(code), Some(STATE)) => Ok(code.into_owned()),
        _ => Err(LoginError::Denied(callback.query().unwrap_or_default().to_owned())),
    }
}

#[cfg(test)]
mod tests;
