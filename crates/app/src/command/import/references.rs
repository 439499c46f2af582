//! References to variables in a client's file, and how the checkpoint's configuration writes them.
//!
//! Each client has its own way: `${NAME}` and `${NAME:-default}` (Claude Code, Gemini), `${env:NAME}` and `${input:ID}`
//! (VS Code, Cursor), `{env:NAME}` (opencode), `$NAME` alone (Gemini).

use sekisho_protocol::text::for_terminal;

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A value that the client asks its user for.
    Input(String),
    /// Plain text.
    Text(String),
    /// A reference that only the client can resolve, as it is written.
    Unknown(String),
    /// An environment variable, with an optional default.
    Variable {
        /// Its name.
        name: String,
        /// The value to use if the variable is not set.
        default: Option<String>,
    },
}

/// Placeholders of clients that are not environment variables.
const OF_CLIENTS: [&str; 22] = [
    "cwd",
    "defaultBuildTask",
    "execPath",
    "extensionPath",
    "file",
    "fileBasename",
    "fileBasenameNoExtension",
    "fileDirname",
    "fileDirnameBasename",
    "fileExtname",
    "fileWorkspaceFolder",
    "lineNumber",
    "projectRoot",
    "relativeFile",
    "relativeFileDirname",
    "selectedText",
    "workspace",
    "workspaceFolder",
    "workspaceFolderBasename",
    "workspacePath",
    "workspaceRoot",
    "workspaceRootFolderName",
];

/// Divides a text into pieces, in order. Neighbours are never both [`Piece::Text`].
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    if let Some(name) = text.strip_prefix('$').filter(|name| is_name(name)) {
        return vec![Piece::Variable { name: name.to_owned(), default: None }];
    }
    let mut found = Vec::new();
    let mut plain = String::new();
    let mut left = text;
    while let Some((before, opened, rest)) = next(left) {
        plain.push_str(before);
        let (piece, after) = match rest.split_once('}') {
            // Clients disagree on how to read nested references.
            Some((inside, _)) if inside.contains("${") => (Piece::Unknown(format!("{opened}{rest}")), ""),
            Some((inside, after)) => (read(opened, inside), after),
            None => (Piece::Unknown(format!("{opened}{rest}")), ""),
        };
        match piece {
            Piece::Text(text) => plain.push_str(&text),
            piece => {
                push(&mut found, &mut plain);
                found.push(piece);
            }
        }
        left = after;
    }
    plain.push_str(left);
    push(&mut found, &mut plain);
    found
}

fn push(found: &mut Vec<Piece>, plain: &mut String) {
    if !plain.is_empty() {
        found.push(Piece::Text(std::mem::take(plain)));
    }
}

/// Finds the next reference: returns the text before it, its opening characters, and the rest. Looks at each character
/// once.
fn next(text: &str) -> Option<(&str, &'static str, &str)> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find(['$', '{'])?;
        let here = text.get(at..)?;
        if let Some(start) = ["${", "{env:", "{file:"].into_iter().find(|start| here.starts_with(start)) {
            return Some((text.get(..at)?, start, here.get(start.len()..)?));
        }
        from = at + 1;
    }
}

/// Reads one reference from its opening characters and its content.
fn read(opened: &str, inside: &str) -> Piece {
    let unknown = || Piece::Unknown(format!("{opened}{inside}}}"));
    let named = match opened {
        "{env:" => inside,
        "${" => match inside.strip_prefix("env:") {
            Some(name) => name,
            None if inside == "userHome" => "HOME",
            None if matches!(inside, "/" | "pathSeparator") => return Piece::Text("/".to_owned()),
            None if OF_CLIENTS.contains(&inside) => return unknown(),
            None => match inside.strip_prefix("input:") {
                Some(id) if !id.is_empty() && !id.contains(['/', '$', '{']) => return Piece::Input(id.to_owned()),
                Some(_) => return unknown(),
                None => inside,
            },
        },
        _ => return unknown(),
    };
    let (name, default) = match named.split_once(":-") {
        Some((name, default)) => (name, Some(default.to_owned())),
        None => (named, None),
    };
    if is_name(name) { Piece::Variable { name: name.to_owned(), default } } else { unknown() }
}

/// Returns whether a variable can have this name (POSIX.1-2024 §8.1).
pub(super) fn is_name(name: &str) -> bool {
    !name.starts_with(|character: char| character.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Piece {
    /// Returns the piece as a checkpoint's configuration writes it, if it can.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Input(id) => format!("${{input:{id}}}"),
            Self::Text(text) | Self::Unknown(text) => text.clone(),
            Self::Variable { name, default: None } => format!("${{env:{name}}}"),
            Self::Variable { name, default: Some(default) } => format!("${{env:{name}:-{default}}}"),
        }
    }

    /// Returns why the checkpoint cannot use the piece.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Unknown(text) => {
                let text = for_terminal(text);
                Some(format!("only its client can fill in `{text}`: write the value itself"))
            }
            Self::Input(_) | Self::Text(_) | Self::Variable { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Piece, pieces};

    fn written(text: &str) -> String {
        pieces(text).iter().map(Piece::written).collect()
    }

    /// References to variables are translated for every client; those that only the client can resolve are not guessed.
    #[test]
    fn references_of_every_client_are_translated() {
        for (text, expected) in [
            ("${API_TOKEN}", "${env:API_TOKEN}"),
            ("Bearer ${API_TOKEN}", "Bearer ${env:API_TOKEN}"),
            ("${env:API_TOKEN}", "${env:API_TOKEN}"),
            ("{env:API_TOKEN}", "${env:API_TOKEN}"),
            ("${DIR:-.}", "${env:DIR:-.}"),
            ("${URL:-https://h/x}/y", "${env:URL:-https://h/x}/y"),
            ("$USER", "${env:USER}"),
            ("${userHome}${/}notes", "${env:HOME}/notes"),
            ("a$USER", "a$USER"),
            ("pa$$word", "pa$$word"),
            ("$1", "$1"),
            ("{\"a\": 1}", "{\"a\": 1}"),
            ("", ""),
        ] {
            assert_eq!(written(text), expected, "{text}");
            assert!(pieces(text).iter().all(|piece| piece.problem().is_none()), "{text}");
        }
        assert_eq!(pieces("a${input:key}"), [Piece::Text("a".to_owned()), Piece::Input("key".to_owned())]);
    }

    /// ATK-229: references that only the client can resolve are not guessed, `${file:…}` above all.
    #[test]
    fn what_only_the_client_knows_is_not_guessed() {
        for text in [
            "${workspaceFolder}/server.py",
            "${command:pick}",
            "${file:/etc/passwd}",
            "{file:/etc/passwd}",
            "a ${ file:/etc/passwd}",
            "${FILE:/x}",
            "${env:A${file:/etc/passwd}}",
            "${env:A}${file:/x",
            "${input:}",
            "${input:../x}",
            "${A-b}",
            "${1}",
            "${}",
        ] {
            assert!(pieces(text).iter().any(|piece| piece.problem().is_some()), "{text}");
        }
    }
}
