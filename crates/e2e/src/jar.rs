//! The storage of a browser: cookies with their paths, and the data that the script on our pages before and behind a
//! door stores.

use std::collections::BTreeMap;

/// The storage of one browser.
#[derive(Debug, Clone, Default)]
pub struct Jar {
    /// The cookies by name and path.
    cookies: BTreeMap<(String, String), String>,
    /// The doors by origin, as they are in the storage of that origin.
    doors: BTreeMap<String, String>,
}

impl Jar {
    /// Returns the value of `Cookie` for a path, or `None` if there are no cookies for it (RFC 6265 §5.1.4, §5.4).
    pub fn header(&self, path: &str) -> Option<String> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let mut found: Vec<_> = self.cookies.iter().filter(|((_, below), _)| is_below(path, below)).collect();
        // Cookies with longer paths come first.
        found.sort_by_key(|((_, below), _)| std::cmp::Reverse(below.len()));
        let pairs: Vec<_> = found.into_iter().map(|((name, _), value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Stores or deletes what a `Set-Cookie` says. A real browser always continues to the page behind a new door, whose
    /// script stores the door. A test may follow no redirect, so the door is stored here at once.
    pub fn keep(&mut self, origin: &str, set_cookie: &str) {
        let mut parts = set_cookie.split(';').map(str::trim);
        let (name, value) =
            parts.next().and_then(|pair| pair.split_once('=')).expect("a cookie has a name and a value");
        let attributes: Vec<_> = parts.collect();
        let path = attributes.iter().find_map(|part| part.strip_prefix("Path=")).unwrap_or("/");
        let key = (name.to_owned(), path.to_owned());
        if value.is_empty() || attributes.contains(&"Max-Age=0") {
            self.cookies.remove(&key);
        } else {
            self.cookies.insert(key, value.to_owned());
            if let Some(door) = path.rsplit('/').next().and_then(|last| last.strip_prefix('~')) {
                self.doors.insert(origin.to_owned(), door.to_owned());
            }
        }
    }

    /// Adds a cookie for every path.
    pub fn put(&mut self, name: &str, value: &str) {
        self.cookies.insert((name.to_owned(), "/".to_owned()), value.to_owned());
    }

    /// Returns the cookies by name, whatever their path.
    pub fn by_name(&self) -> BTreeMap<String, String> {
        self.cookies.iter().map(|((name, _), value)| (name.clone(), value.clone())).collect()
    }

    /// Returns the door in the storage of an origin.
    pub fn door(&self, origin: &str) -> Option<&str> {
        self.doors.get(origin).map(String::as_str)
    }

    /// Runs the script of a page from this URL, as `templates/web/door.js` is written. Returns the URL to which the
    /// script navigates.
    pub fn run_script(&mut self, origin: &str, url: &str, page: &str) -> Option<String> {
        let head = page.split_once("<script ")?.1.split('>').next()?;
        let attribute = |name: &str| {
            head.split_once(&format!("{name}=\""))?.1.split('"').next().map(|value| value.replace("&#38;", "&"))
        };
        let closed = url.split_once("#~").map(|(_, door)| door);
        if let Some(door) = attribute("data-door") {
            self.doors.insert(origin.to_owned(), door);
            return None;
        }
        let kept = self.doors.get(origin)?;
        if closed == Some(kept.as_str()) {
            self.doors.remove(origin);
            return None;
        }
        Some(format!("{origin}{}/~{kept}{}", attribute("data-base")?, attribute("data-entry")?))
    }
}

/// Returns where a page goes on by itself, at once (`http-equiv="refresh"`).
pub fn refresh(page: &str) -> Option<String> {
    let content = page.split_once("http-equiv=\"refresh\" content=\"0; url=")?.1.split('"').next()?;
    Some(content.replace("&#38;", "&").replace("&amp;", "&"))
}

/// Whether a path is below another (RFC 6265 §5.1.4).
fn is_below(path: &str, below: &str) -> bool {
    path == below || path.strip_prefix(below).is_some_and(|rest| below.ends_with('/') || rest.starts_with('/'))
}

/// Returns where a redirect leads. The fragment of the original URL is kept (RFC 9110 §10.2.2).
pub fn with_fragment(from: &str, to: String) -> String {
    match from.split_once('#') {
        Some((_, fragment)) if !to.contains('#') => format!("{to}#{fragment}"),
        _ => to,
    }
}

#[cfg(test)]
mod tests {
    use super::{Jar, with_fragment};

    #[test]
    fn a_cookie_is_shown_below_its_path_only() {
        let mut jar = Jar::default();
        jar.keep("http://localhost:1", "a=1; Path=/; HttpOnly");
        jar.keep("http://localhost:1", "b=2; Path=/~x; HttpOnly");
        for (path, expected) in
            [("/", "a=1"), ("/~x", "b=2; a=1"), ("/~x/records?y", "b=2; a=1"), ("/~xy", "a=1"), ("/y/~x", "a=1")]
        {
            assert_eq!(jar.header(path).as_deref(), Some(expected), "{path}");
        }
        jar.keep("http://localhost:1", "b=; Path=/~x; Max-Age=0");
        assert_eq!(jar.header("/~x").as_deref(), Some("a=1"));
    }

    #[test]
    fn the_script_finds_and_forgets_a_door() {
        let (mut jar, origin) = (Jar::default(), "http://localhost:1");
        let behind = r#"<script data-base="" data-door="d1">"#;
        let before = r#"<script data-base="" data-entry="/approvals/1">"#;
        assert_eq!(jar.run_script(origin, "http://localhost:1/approvals/1", before), None);
        assert_eq!(jar.run_script(origin, "http://localhost:1/~d1", behind), None);
        let through = "http://localhost:1/~d1/approvals/1".to_owned();
        assert_eq!(jar.run_script(origin, "http://localhost:1/approvals/1", before), Some(through.clone()));
        assert_eq!(jar.run_script(origin, "http://localhost:1/approvals/1#~d0", before), Some(through));
        assert_eq!(jar.run_script(origin, "http://localhost:1/approvals/1#~d1", before), None);
        assert_eq!(jar.run_script(origin, "http://localhost:1/approvals/1", before), None);
        assert_eq!(with_fragment("http://x/a#~d", "http://x/b".to_owned()), "http://x/b#~d");
    }
}
