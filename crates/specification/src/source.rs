//! A text to read, with its format.

use serde::{Deserialize, Serialize};

/// The format of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A page of the web.
    Html,
    /// Markdown.
    Markdown,
    /// Markdown with JSX in it.
    Mdx,
    /// An RFC or an Internet-Draft as plain text.
    Rfc,
}

/// A text to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path or address of the text. Links between sources are resolved by it.
    pub name: String,
    /// The text itself.
    pub text: String,
    /// The format of the text.
    pub kind: Kind,
}

impl Source {
    /// Creates a source. Its format is guessed from the name, or else from the text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let (name, text) = (name.into(), text.into());
        let kind = Kind::of(&name, &text);
        Self { name, text, kind }
    }
}

impl Kind {
    fn of(name: &str, text: &str) -> Self {
        let name = name.split(['?', '#']).next().unwrap_or_default().to_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        let begins: String = text.trim_start().chars().take(16).collect::<String>().to_lowercase();
        if ends(&[".mdx"]) {
            Self::Mdx
        } else if ends(&[".md", ".markdown"]) {
            Self::Markdown
        } else if ends(&[".html", ".htm", ".xhtml"])
            || ["<!doctype", "<html", "<?xml"].iter().any(|tag| begins.starts_with(tag))
        {
            Self::Html
        } else if is_rfc(text) {
            Self::Rfc
        } else {
            Self::Markdown
        }
    }
}

/// Whether a text looks like an RFC or a draft.
fn is_rfc(text: &str) -> bool {
    let head: String = text.chars().take(3_000).collect();
    let said = ["Request for Comments:", "Internet-Draft", "Internet Engineering Task Force", "Network Working Group"];
    let markdown = head.lines().any(|line| line.starts_with("# ") || line.starts_with("---"));
    !markdown && said.iter().any(|words| head.contains(words))
}

#[cfg(test)]
mod tests {
    use super::is_rfc;

    #[test]
    fn an_rfc_is_known_by_its_first_page() {
        assert!(is_rfc("Network Working Group                A. Writer\nRequest for Comments: 9999\n"));
        assert!(is_rfc("Internet Engineering Task Force (IETF)                        A. Author\n"));
        assert!(!is_rfc("# Title\n\nInternet-Draft"));
    }
}
