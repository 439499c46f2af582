//! References to variables in a client's file, as the clients write them, and what they are here.
//!
//! Each client has its own way: `${NAME}` and `${NAME:-default}` (Claude Code, Gemini), `${env:NAME}` and `${input:ID}`
//! (VS Code, Cursor), `{env:NAME}` (opencode), `$NAME` alone (Gemini).

use sekisho_protocol::text::for_terminal;

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A value that the client asks its user for.
    Input(String),
    /// As it stands.
    Text(String),
    /// Something that only the client can fill in, as it is written.
    Unknown(String),
    /// A variable of the environment, and what is taken where it is not set.
    Variable {
        /// Its name.
        name: String,
        /// What is taken where it is not set.
        default: Option<String>,
    },
}

/// Words that clients fill in and that are no variables.
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

/// The pieces of a text, in order. Neighbours are never both [`Piece::Text`].
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
            // Programs read nested forms differently.
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

/// What is before the next reference, how that begins, and what follows. Each character is looked at once.
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

/// One reference, by how it begins and what is in it.
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

/// Whether a variable can have this name (POSIX.1-2024 §8.1).
pub(super) fn is_name(name: &str) -> bool {
    !name.starts_with(|character: char| character.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Piece {
    /// As the configuration of a checkpoint has it, as far as it has it.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Input(id) => format!("${{input:{id}}}"),
            Self::Text(text) | Self::Unknown(text) => text.clone(),
            Self::Variable { name, default: None } => format!("${{env:{name}}}"),
            Self::Variable { name, default: Some(default) } => format!("${{env:{name}:-{default}}}"),
        }
    }

    /// Why the checkpoint cannot have it.
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

    /// What a client writes for a variable is that variable here; what only the client knows is not guessed.
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

    /// ATK-229: `${file:…}` above all.
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
