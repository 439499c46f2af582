//! Our three cookies: the session, the browser that forms are made for, and the account that signed in here before.
//!
//! On https they carry the `__Host-` prefix (PX-06), so that no other host, subdomain or plain-http page can set
//! them. On loopback http there is no such protection: cookies know no ports (RFC 6265 §8.5), so a server at another port
//! of the same name gets them. The port in the name only keeps two instances apart. There the session's cookie is set
//! below its door, and is worth nothing without it (see [`crate::door`]).

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

/// For how many days a browser is remembered as one in which an account has signed in.
const KNOWN_DAYS: u32 = 180;

impl Cookies {
    /// Those of a site with these settings.
    pub fn new(settings: &SiteSettings) -> Self {
        let secure = settings.is_https();
        let port = settings.host().rsplit_once(':').map_or_else(|| "80".to_owned(), |(_, port)| port.to_owned());
        let session = if secure { "__Host-sekisho".to_owned() } else { format!("sekisho_{port}") };
        let browser = if secure { "__Host-sekisho-browser".to_owned() } else { format!("sekisho_{port}_browser") };
        let known = if secure { "__Host-sekisho-known".to_owned() } else { format!("sekisho_{port}_known") };
        Self { session, browser, known, secure, prefix: settings.prefix().to_owned() }
    }

    /// The cookie of a session that a request shows.
    pub fn session(&self, headers: &HeaderMap) -> Option<SessionToken> {
        SessionToken::parse(only(headers, &self.session)?).ok()
    }

    /// The browser that a request shows.
    pub fn browser(&self, headers: &HeaderMap) -> Option<CsrfToken> {
        CsrfToken::parse(only(headers, &self.browser)?).ok()
    }

    /// What a request shows of an account that signed in here before; not opened yet.
    pub fn known(&self, headers: &HeaderMap) -> Option<String> {
        only(headers, &self.known).map(str::to_owned)
    }

    /// `Set-Cookie` for a browser in which an account has signed in.
    pub fn set_known(&self, sealed: &str) -> String {
        self.set(&self.known, sealed, "/", &format!("; Max-Age={}", KNOWN_DAYS * 24 * 60 * 60))
    }

    /// `Set-Cookie` for a session. It ends with the browser at the latest; the store ends it sooner.
    pub fn set_session(&self, secret: &SessionSecret) -> String {
        self.set(&self.session, secret.cookie().expose(), &self.path(secret.door()), "")
    }

    /// `Set-Cookie` that forgets the session, which on plain http is the one behind this door.
    pub fn clear_session(&self, door: Option<&DoorToken>) -> String {
        self.set(&self.session, "", &self.path(door), "; Max-Age=0")
    }

    /// Below which path a browser shows the cookie of a session.
    fn path(&self, door: Option<&DoorToken>) -> String {
        door.map_or_else(|| "/".to_owned(), |door| behind_door(&self.prefix, door))
    }

    /// `Set-Cookie` for a browser.
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
        // ATK-142: below the door, where no server at another port gets it.
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

    /// ATK-81: a second cookie of the same name, tossed in by another host, makes both worthless.
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
