//! What a browser calls itself, in a few words for the person who signed in with it.

use http::HeaderMap;
use http::header::USER_AGENT;
use sekisho_protocol::text::plain_text;

/// How much of the header is looked at, in bytes.
const HEADER_BYTES_MAX: usize = 512;
/// The longest name that is not one of the usual ones, in characters.
const NAME_CHARS_MAX: usize = 40;

/// Usual browsers by the word in the header. Some browsers name others as well, so the order matters.
const BROWSERS: [(&str, &str); 7] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrom", "Chrome"),
    ("Safari/", "Safari"),
];

/// Usual systems by the word in the header. Android calls itself Linux as well.
const SYSTEMS: [(&str, &str); 7] = [
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
];

/// Returns the name of the browser that sent these headers, such as `Firefox, Linux`. It proves nothing. Empty: the browser
/// does not say.
pub(crate) fn browser_name(headers: &HeaderMap) -> String {
    let header = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let header = header.get(..HEADER_BYTES_MAX).unwrap_or(header);
    let find =
        |table: &[(&str, &'static str)]| table.iter().find(|(word, _)| header.contains(word)).map(|(_, name)| *name);
    let own = || plain_text(header.split(['/', ' ']).next().unwrap_or_default(), NAME_CHARS_MAX);
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser}, {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, Some(system)) => format!("{}, {system}", own()),
        (None, None) => own(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::browser_name;

    /// ATK-367: the name is short plain text, whatever the header says.
    #[test]
    fn a_browser_is_named_in_a_few_words() {
        let long = format!("{}/1 (X11; Linux)", "x".repeat(5000));
        let cases = [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox, Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0",
                "Edge, Windows",
            ),
            (
                "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36",
                "Chrome, Android",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_0) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18 Safari/605.1.15",
                "Safari, macOS",
            ),
            ("curl/8.5.0", "curl"),
            ("<script>alert(1)</script>", "<script>alert(1)<"),
            ("", ""),
        ];
        let named = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("user-agent", value.parse().unwrap());
            browser_name(&headers)
        };
        for (header, expected) in cases {
            assert_eq!(named(header), expected, "{header}");
        }
        assert_eq!(named(&long).chars().count(), 40);
        assert_eq!(browser_name(&HeaderMap::new()), "");
    }
}
