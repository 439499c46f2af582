//! What is filled into values of the configuration, so that a secret need not stand in the file: `${env:NAME}`,
//! `${env:NAME:-DEFAULT}` and `${file:PATH}`.

use crate::os;

/// Why a value cannot be filled in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValueError {
    /// A file that cannot be read.
    #[error("needs the file `{path}`: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Neither of the forms.
    #[error("holds `${{` without one of the forms that are filled in")]
    Form,
    /// A variable that is not set.
    #[error("needs the variable `{name}`, which is not set")]
    Variable {
        /// Which.
        name: String,
    },
}

impl ValueError {
    /// What to do.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::File { .. } => "make it readable for us only".to_owned(),
            Self::Form => "write `${env:NAME}`, `${env:NAME:-DEFAULT}` or `${file:PATH}`".to_owned(),
            Self::Variable { name } => format!("set it: {name}=… sekisho serve"),
        }
    }

    /// Whether the file is good, and this machine is not as it says.
    pub(crate) fn is_of_machine(&self) -> bool {
        !matches!(self, Self::Form)
    }
}

/// A part of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    File(&'a str),
    /// `${` that begins none of the forms.
    Odd(&'a str),
    Text(&'a str),
    Variable {
        name: &'a str,
        default: Option<&'a str>,
    },
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    let mut left = text;
    while let Some(at) = left.find("${") {
        let (before, reference) = left.split_at(at);
        found.push(Part::Text(before));
        let end = reference.find('}').map_or(reference.len(), |end| end + 1);
        let (reference, after) = reference.split_at(end);
        let inside = reference.strip_prefix("${").and_then(|inside| inside.strip_suffix('}'));
        found.push(match inside.and_then(|inside| inside.split_once(':')) {
            Some(("env", named)) => match named.split_once(":-") {
                Some((name, default)) => Part::Variable { name, default: Some(default) },
                None => Part::Variable { name: named, default: None },
            },
            Some(("file", path)) => Part::File(path),
            _ => Part::Odd(reference),
        });
        left = after;
    }
    found.push(Part::Text(left));
    found
}

/// What kind of value a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// A header, a variable, a URL, a secret: another `${` is a mistake.
    Value,
    /// A word of a command, which may be a line for a shell: another `${` stays as it is.
    Word,
}

/// The text with everything filled in.
pub(crate) fn fill(text: &str, filled: Filled) -> Result<String, ValueError> {
    let mut out = String::new();
    for part in parts(text) {
        match part {
            Part::File(path) => {
                let read = std::fs::read_to_string(path);
                let read = read.map_err(|source| ValueError::File { path: path.to_owned(), source })?;
                out.push_str(read.trim_end_matches(['\n', '\r']));
            }
            Part::Odd(text) if filled == Filled::Word => out.push_str(text),
            Part::Odd(_) => return Err(ValueError::Form),
            Part::Text(text) => out.push_str(text),
            Part::Variable { name, default } => match (os::variable(name), default) {
                (Some(value), _) => out.push_str(&value),
                (None, Some(default)) => out.push_str(default),
                (None, None) => return Err(ValueError::Variable { name: name.to_owned() }),
            },
        }
    }
    Ok(out)
}

/// The text with `x` in place of each reference, to check its form: the form does not depend on the value.
pub(crate) fn stand_in(text: &str) -> String {
    parts(text).iter().map(|part| if let Part::Text(text) | Part::Odd(text) = part { text } else { "x" }).collect()
}

/// Whether something is filled in.
pub(crate) fn refers(text: &str) -> bool {
    parts(text).iter().any(|part| matches!(part, Part::File(_) | Part::Variable { .. }))
}

#[cfg(test)]
mod tests {
    use super::{Filled, ValueError, fill, refers, stand_in};

    #[test]
    fn variables_and_files_are_filled_in() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "kept\r\n").unwrap();
        let named = format!("${{file:{}}}", file.display());
        // PATH is set wherever tests run.
        let path = crate::os::variable("PATH").unwrap();
        for (text, expected) in [
            ("", String::new()),
            ("plain $x {y}", "plain $x {y}".to_owned()),
            ("a${env:PATH}b", format!("a{path}b")),
            ("${env:SEKISHO_TEST_NOT_SET:-a:b}", "a:b".to_owned()),
            ("${env:PATH:-x}", path.clone()),
            (named.as_str(), "kept".to_owned()),
        ] {
            assert_eq!(fill(text, Filled::Value).unwrap(), expected, "{text}");
            assert_eq!(refers(text), text.contains("${"), "{text}");
        }
        assert!(matches!(fill("${env:SEKISHO_TEST_NOT_SET}", Filled::Value), Err(ValueError::Variable { .. })));
        assert!(matches!(fill("${file:/nowhere/at/all}", Filled::Word), Err(ValueError::File { .. })));
        for odd in ["${", "${x", "${HOME}", "${input:a}", "${env}"] {
            assert!(matches!(fill(odd, Filled::Value), Err(ValueError::Form)), "{odd}");
            assert_eq!(fill(odd, Filled::Word).unwrap(), odd);
        }
        assert_eq!(stand_in("https://${env:HOST}/${file:/x}"), "https://x/x");
    }
}
