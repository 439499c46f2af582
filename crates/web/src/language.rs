//! Languages of the pages.

use crate::sentence::Sentence;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Japanese.
    Japanese,
}

impl Language {
    /// The tags of `ui_locales_supported` (RFC 8414 §2).
    pub const TAGS: [&'static str; 2] = ["en", "ja"];

    /// Returns the best language for an `Accept-Language` header (RFC 9110 §12.5.4), or English if none fits.
    pub fn accepted(header: Option<&str>) -> Self {
        let mut best = (0.0_f32, Self::English);
        for range in header.unwrap_or_default().split(',').take(32) {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let weight =
                parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            let language = match tag.split('-').next() {
                Some("en" | "*") => Self::English,
                Some("ja") => Self::Japanese,
                _ => continue,
            };
            if weight > best.0 {
                best = (weight, language);
            }
        }
        best.1
    }

    /// The value of the page's `lang` attribute.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Japanese => "ja",
        }
    }

    /// Returns the sentence in this language.
    pub fn say(self, sentence: Sentence) -> &'static str {
        let (english, japanese) = sentence.row();
        match self {
            Self::English => english,
            Self::Japanese => japanese,
        }
    }

    /// Returns the parts of a sentence before and after the place of a name.
    pub fn around(self, sentence: Sentence) -> (&'static str, &'static str) {
        let text = self.say(sentence);
        text.split_once("{}").unwrap_or((text, ""))
    }
}
