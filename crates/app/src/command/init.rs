//! `sekisho init`

use std::io::Write as _;
use std::path::Path;

use crate::error::CommandError;

/// What a new configuration begins with. It is an example that loads (see `examples/`).
const STARTER: &str = include_str!("../../../../examples/sekisho.toml");

/// Writes a commented configuration; never over a file that is there.
pub(crate) fn write(path: &Path) -> Result<(), CommandError> {
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(STARTER.as_bytes()));
    made.map_err(|error| {
        CommandError::environment(format!("`{}` cannot be written: {error}", path.display()), "name another file")
    })?;
    anstream::println!(
        "wrote {0}\nnext: edit it, then `sekisho check -c {0}` and `sekisho serve -c {0}`",
        path.display()
    );
    Ok(())
}
