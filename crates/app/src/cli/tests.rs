use std::path::{Path, PathBuf};

use clap::Command;

use super::Cli;

/// The words after which `sekisho` begins a command in texts: in backquotes, at the beginning of a line, after a prompt.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start().trim_start_matches(['$', '"', '/', '!', ' ', '>']);
        if let Some(rest) = bare.strip_prefix("sekisho ") {
            // In a text of its own, a line is a command up to a comment or a gap.
            found.push(rest.split("  ").next().unwrap_or_default().split(" #").next().unwrap_or_default().to_owned());
        }
        for rest in line.split("`sekisho ").skip(1) {
            found.push(rest.split('`').next().unwrap_or_default().to_owned());
        }
    }
    found
}

/// Why these words are no command; prose that only begins with the name is none, and is left alone.
fn problem(root: &Command, words: &str) -> Option<String> {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let mut command = root;
    let mut at_command = true;
    for word in words.split_whitespace().map(|word| word.trim_end_matches(['.', ',', ';', ':', ')', '"', '\\', '\''])) {
        if word == "--" {
            return None;
        }
        if let Some(option) = word.strip_prefix("--") {
            let option = option.split(['=', '[', '`']).next().unwrap_or_default();
            let has = |command: &Command| command.get_arguments().any(|argument| argument.get_long() == Some(option));
            let help = matches!(option, "help" | "version");
            if !help
                && !has(command)
                && !root.get_arguments().any(|argument| argument.get_long() == Some(option) && argument.is_global_set())
            {
                return Some(format!("`{}` has no option `--{option}`", command.get_name()));
            }
            continue;
        }
        if !at_command || !command.has_subcommands() {
            at_command = false;
            continue;
        }
        match command.find_subcommand(word) {
            Some(next) => command = next,
            // `sekisho specmap FILE`, `sekisho server …`, `sekisho {words}`
            None if !is_word(word) => at_command = false,
            None if command.get_name() == "specmap" => at_command = false,
            None => return Some(format!("`{}` has no command `{word}`", command.get_name())),
        }
    }
    None
}

/// Files with texts that people read: sources, documents, pages, examples.
fn texts(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "node_modules" | "target" | ".venv" | "snapshots") {
            texts(&path, found);
        } else if ["rs", "md", "toml", "html", "txt", "cedar"]
            .iter()
            .any(|ending| name.ends_with(&format!(".{ending}")))
        {
            found.push(path);
        }
    }
}

/// Every command and option that a message, a page or a document names is there.
#[test]
fn every_command_that_a_text_names_exists() {
    let root = Cli::described();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = vec![repository.join("README.md"), repository.join("CONTRIBUTING.md")];
    for folder in ["crates", "docs", "examples", "templates"] {
        texts(&repository.join(folder), &mut files);
    }
    let (mut wrong, mut named) = (Vec::new(), 0);
    // The examples of mistakes in this test itself are none.
    for file in files.iter().filter(|file| !file.ends_with("cli/tests.rs")) {
        for words in commands(&std::fs::read_to_string(file).unwrap_or_default()) {
            named += 1;
            if let Some(why) = problem(&root, &words) {
                wrong.push(format!("{}: `sekisho {words}`: {why}", file.display()));
            }
        }
    }
    assert!(named > 200, "only {named} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let root = Cli::described();
    for text in [
        "see `sekisho key rotate`",
        "  sekisho server tool list",
        "run `sekisho check --configuration x`",
        "$ sekisho srve",
    ] {
        let found = commands(text);
        assert!(found.iter().any(|words| problem(&root, words).is_some()), "{text}: {found:?}");
    }
    for text in [
        "`sekisho run --http URL`",
        "`sekisho server tools list {server}`",
        "`sekisho run -- npx x --y`",
        "`sekisho specmap diff A B`",
    ] {
        assert!(commands(text).iter().all(|words| problem(&root, words).is_none()), "{text}");
    }
}

/// The help says where data is kept on this machine, and which variables are read.
#[test]
fn the_help_names_the_data_folder_and_the_variables() {
    let help = Cli::described().render_long_help().to_string();
    let folder = crate::os::default_data_dir().unwrap().display().to_string();
    for expected in [folder.as_str(), "SEKISHO_DATA_DIR", "SEKISHO_LOG", "Exit codes"] {
        assert!(help.replace('\n', " ").contains(expected), "{expected}: {help}");
    }
}
