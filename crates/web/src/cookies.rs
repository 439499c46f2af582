//! Our three cookies: the session, the browser that a form is made for, and the account that has signed in here before.
//!
//! On https they carry the `__Host-` prefix (PX-06), so that no other host, subdomain or plain-http page can set them.
//! On loopback http there is no such protection: cookies ignore ports (RFC 6265 §8.5), so a server at another port of
//! the same host gets them too. The port in the cookie's name only keeps two instances apart. There, the session cookie
//! is set for the path behind its door, and is useless without that door (see [`crate::door`]).

use http::HeaderMap;
use http::header::COOKIE;
use sekisho_protocol::secret::{CsrfToken, DoorToken, SessionToken};

use crate::session_secret::SessionSecret;
use crate::settings::{SiteSettings, behind_door};

/// The names and attributes of the cookies of one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookies {
    session: String,
    browser: String,
    known: String,
    secure: bool,
    /// The path of the issuer identifier.
    prefix: String,
}

/// How many days a browser is remembered as one in which an account has signed in.
const KNOWN_DAYS: u32 = 180;

impl Cookies {
    /// Makes the cookies of a site with these settings.
    pub fn new(settings: &SiteSettings) -> Self {
        let secure = settings.is_https();
        let port = settings.host().rsplit_once(':').map_or_else(|| "80".to_owned(), |(_, port)| port.to_owned());
        let session = if secure { "__Host-sekisho".to_owned() } else { format!("sekisho_{port}") };
        let browser = if secure { "__Host-sekisho-browser".to_owned() } else { format!("sekisho_{port}_browser") };
        let known = if secure { "__Host-sekisho-known".to_owned() } else { format!("sekisho_{port}_known") };
        Self { session, browser, known, secure, prefix: settings.prefix().to_owned() }
    }

    /// Returns the session token in a request's cookies.
    pub fn session(&self, headers: &HeaderMap) -> Option<SessionToken> {
        SessionToken::parse(only(headers, &self.session)?).ok()
    }

    /// Returns the browser token in a request's cookies.
    pub fn browser(&self, headers: &HeaderMap) -> Option<CsrfToken> {
        CsrfToken::parse(only(headers, &self.browser)?).ok()
    }

    /// Returns the sealed cookie that says that an account has signed in here before.
    pub fn known(&self, headers: &HeaderMap) -> Option<String> {
        only(headers, &self.known).map(str::to_owned)
    }

    /// Returns the `Set-Cookie` for a browser in which an account has signed in.
    pub fn set_known(&self, sealed: &str) -> String {
        self.set(&self.known, sealed, "/", &format!("; Max-Age={}", KNOWN_DAYS * 24 * 60 * 60))
    }

    /// Returns the `Set-Cookie` for a session. The cookie ends with the browser session; the store may end the session
    /// before.
    pub fn set_session(&self, secret: &SessionSecret) -> String {
        self.set(&self.session, secret.cookie().expose(), &self.path(secret.door()), "")
    }

    /// Returns the `Set-Cookie` that deletes the session cookie; on plain http, the one behind this door.
    pub fn clear_session(&self, door: Option<&DoorToken>) -> String {
        self.set(&self.session, "", &self.path(door), "; Max-Age=0")
    }

    /// Returns the `Path` of the session cookie.
    fn path(&self, door: Option<&DoorToken>) -> String {
        door.map_or_else(|| "/".to_owned(), |door| behind_door(&self.prefix, door))
    }

    /// Returns the `Set-Cookie` for a browser.
    pub fn set_browser(&self, token: &CsrfToken) -> String {
        self.set(&self.browser, token.expose(), "/", "")
    }

    fn set(&self, name: &str, value: &str, path: &str, age: &str) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{name}={value}; Path={path}; HttpOnly; SameSite=Lax{secure}{age}")
    }
}

/// The value of the only cookie of this name. If there are two of one name, another host has set one (ATK-81), and none counts.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::COOKIE;
    use sekisho_protocol::env::SeededEntropy;
    use sekisho_protocol::secret::SessionToken;

    use super::Cookies;
    use crate::session_secret::SessionSecret;
    use crate::settings::SiteSettings;

    fn settings(base_url: &str) -> SiteSettings {
        SiteSettings { base_url: base_url.to_owned(), ..SiteSettings::default() }
    }

    fn cookies(base_url: &str) -> Cookies {
        Cookies::new(&settings(base_url))
    }

    /// PX-06, ATK-10: the attributes that keep a cookie where it belongs.
    #[test]
    fn a_cookie_carries_every_attribute_that_protects_it() {
        let entropy = SeededEntropy::default();
        let secret = |base_url: &str| SessionSecret::generate(&settings(base_url), &entropy);
        let https = secret("https://sekisho.example");
        assert_eq!(
            cookies("https://sekisho.example").set_session(&https),
            format!("__Host-sekisho={}; Path=/; HttpOnly; SameSite=Lax; Secure", https.cookie().expose())
        );
        assert!(cookies("https://sekisho.example").clear_session(https.door()).ends_with("; Secure; Max-Age=0"));
        // ATK-142: behind the door, so that no server at another port gets it.
        for (base_url, prefix) in [("http://localhost:8420", ""), ("http://localhost:8420/t", "/t")] {
            let loopback = secret(base_url);
            let (value, door) = (loopback.cookie().expose(), loopback.door().unwrap().expose());
            let path = format!("Path={prefix}/~{door}");
            assert_eq!(
                cookies(base_url).set_session(&loopback),
                format!("sekisho_8420={value}; {path}; HttpOnly; SameSite=Lax")
            );
            assert!(cookies(base_url).clear_session(loopback.door()).contains(&path));
        }
    }

    /// ATK-81: if another host sets a second cookie of the same name, neither of them counts.
    #[test]
    fn a_cookie_that_occurs_twice_counts_as_none() {
        let cookies = cookies("http://localhost:8420");
        let token = SessionToken::generate(&SeededEntropy::default());
        let mut headers = HeaderMap::new();
        let line = format!("a=b; sekisho_8420={}", token.expose());
        headers.append(COOKIE, line.parse().unwrap());
        assert_eq!(cookies.session(&headers), Some(token.clone()));
        headers.append(COOKIE, format!("sekisho_8420={}", token.expose()).parse().unwrap());
        assert_eq!(cookies.session(&headers), None);
    }
}
