//! Values of a definition, with everything filled in that they refer to.

use crate::config::{Filled, fill};
use crate::error::CommandError;

/// Fills in what a text refers to.
pub(super) fn filled(whose: &str, text: &str, place: Filled) -> Result<String, CommandError> {
    fill(text, place).map_err(|error| {
        let message = format!("{whose} {error}");
        if error.is_of_machine() {
            CommandError::environment(message, error.help())
        } else {
            CommandError::usage(message, error.help())
        }
    })
}
