//! A text of a client's file in parts: plain text, secrets, and references that are filled in later.

use std::collections::BTreeSet;

use super::references::{Piece, pieces};
use super::secrets::{Cut, TextPosition, cut, cut_word};

/// The text shown in place of a secret.
pub(super) const MASK: &str = "…";

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// A reference that is filled in later.
    Reference(Piece),
    /// A secret: neither shown nor written into a configuration.
    Secret(String),
    /// Plain text.
    Text(String),
}

/// A text as a list of parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts(pub(super) Vec<Part>);

/// Names given with `--secret`, in addition to those that are recognised; in lower case.
#[derive(Debug, Clone, Default)]
pub(super) struct Named(BTreeSet<String>);

impl Named {
    pub(super) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| name.trim_start_matches('-').to_ascii_lowercase()).collect())
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(&name.trim_start_matches('-').to_ascii_lowercase())
    }

    /// Divides the value of a variable, a header or a member into parts.
    pub(super) fn value(&self, place: TextPosition, name: &str, text: &str) -> Parts {
        if self.has(name) {
            Parts::of(text, |text| vec![Cut { secret: true, text }])
        } else {
            Parts::of(text, |text| cut(place, name, text))
        }
    }

    /// Divides the words of a command into parts.
    pub(super) fn words(&self, words: &[String]) -> Vec<Parts> {
        let mut before = "";
        let mut all = Vec::new();
        for word in words {
            let assigned = word.split_once('=').filter(|(name, value)| self.has(name) && !value.is_empty());
            let parts = match assigned {
                Some((_, value)) => {
                    let (start, _) = word.split_at(word.len() - value.len());
                    let mut parts = Parts(vec![Part::Text(start.to_owned())]);
                    parts.0.extend(Parts::of(value, |text| vec![Cut { secret: true, text }]).0);
                    parts
                }
                None if before.starts_with('-') && self.has(before) => {
                    Parts::of(word, |text| vec![Cut { secret: true, text }])
                }
                None => Parts::of(word, |text| cut_word(before, text)),
            };
            before = word;
            all.push(parts);
        }
        all
    }
}

impl Parts {
    fn of<'a>(text: &'a str, cut: impl for<'t> Fn(&'t str) -> Vec<Cut<'t>>) -> Self {
        let mut parts = Vec::new();
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => {
                    parts.extend(cut(&text).into_iter().filter(|cut| !cut.text.is_empty()).map(|cut| {
                        if cut.secret { Part::Secret(cut.text.to_owned()) } else { Part::Text(cut.text.to_owned()) }
                    }))
                }
                Piece::Variable { name, default: Some(default) } if cut(&default).iter().any(|cut| cut.secret) => {
                    // A secret that is the default of a variable cannot have a file of its own.
                    parts.push(Part::Reference(Piece::Unknown(format!("${{{name}:-{MASK}}}"))));
                }
                piece => parts.push(Part::Reference(piece)),
            }
        }
        Self(parts)
    }

    /// Returns the text with secrets masked.
    pub(super) fn shown(&self) -> String {
        let mut shown = String::new();
        for part in &self.0 {
            match part {
                Part::Reference(piece) => shown.push_str(&piece.written()),
                Part::Secret(_) if shown.ends_with(MASK) => {}
                Part::Secret(_) => shown.push_str(MASK),
                Part::Text(text) => shown.push_str(text),
            }
        }
        shown
    }

    /// Returns whether the text contains a secret.
    pub(super) fn has_secret(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Secret(_)))
    }

    /// Returns the references in the text.
    pub(super) fn references(&self) -> impl Iterator<Item = &Piece> {
        self.0.iter().filter_map(|part| match part {
            Part::Reference(piece) => Some(piece),
            Part::Secret(_) | Part::Text(_) => None,
        })
    }

    /// Returns the text for the configuration. `keep` stores secrets and the answers of the user, and returns what to
    /// write instead.
    pub(super) fn written<E>(&self, mut keep: impl FnMut(StoredValue<'_>) -> Result<String, E>) -> Result<String, E> {
        let mut written = String::new();
        for part in &self.0 {
            match part {
                Part::Reference(Piece::Input(id)) => written.push_str(&keep(StoredValue::Input(id))?),
                Part::Reference(piece) => written.push_str(&piece.written()),
                Part::Secret(text) => written.push_str(&keep(StoredValue::Secret(text))?),
                Part::Text(text) => written.push_str(text),
            }
        }
        Ok(written)
    }
}

/// A value that is kept in a file of its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum StoredValue<'a> {
    /// A value that a person is asked for, by its name.
    Input(&'a str),
    /// A secret of the client's file.
    Secret(&'a str),
}
