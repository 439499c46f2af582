//! `sekisho init`

use std::io::Write as _;
use std::path::Path;

use crate::error::CommandError;

/// The text of a new configuration: an example that loads (see `examples/`).
const STARTER: &str = include_str!("../../../../examples/sekisho.toml");
/// The policy files beside it, and the tests for them.
const POLICIES: [(&str, &str); 2] = [
    ("everything.cedar", include_str!("../../../../examples/policies/everything.cedar")),
    ("everything.test.toml", include_str!("../../../../examples/policies/everything.test.toml")),
];

/// Writes a commented configuration and a folder of policies. Never overwrites a file.
pub(crate) fn write(path: &Path) -> Result<(), CommandError> {
    let folder = path.parent().unwrap_or(Path::new("")).join("policies");
    write_new(path, STARTER)?;
    std::fs::create_dir_all(&folder).map_err(|error| cannot(&folder, &error))?;
    for (name, text) in POLICIES {
        write_new(&folder.join(name), text)?;
    }
    say_lines!(
        "wrote {0} and {1}\nnext: edit them, then `sekisho check -c {0}`, `sekisho policy test -c {0}` and `sekisho serve -c {0}`",
        path.display(),
        folder.display()
    );
    Ok(())
}

fn write_new(path: &Path, text: &str) -> Result<(), CommandError> {
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    made.map_err(|error| cannot(path, &error))
}

fn cannot(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::environment(format!("`{}` cannot be written: {error}", path.display()), "name another file")
}
