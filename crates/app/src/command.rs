//! One file per command.

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod base_url;
pub(crate) mod check;
mod check_login;
pub(crate) mod child_guard;
pub(crate) mod client;
pub(crate) mod connect;
pub(crate) mod connect_lines;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod grant;
pub(crate) mod link;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod login;
pub(crate) mod names;
pub(crate) mod policy;
pub(crate) mod run;
pub(crate) mod scim;
pub(crate) mod serve;
pub(crate) mod server;
pub(crate) mod specmap;
pub(crate) mod task;
pub(crate) mod trace;
pub(crate) mod user;

use sekisho_acts::command::Outcome;
use sekisho_protocol::audit::RuleId;
use sekisho_protocol::text::for_terminal;
use serde::Serialize;

use crate::error::CommandError;
use crate::say;

/// Prints a value as JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), CommandError> {
    let text =
        serde_json::to_string(value).map_err(|error| CommandError::environment(error.to_string(), "report this"))?;
    say::json(&text);
    Ok(())
}

/// Prints rows under headings, each column as wide as its widest cell.
pub(crate) fn print_table(headings: &[&str], rows: &[Vec<String>]) {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| for_terminal(cell).into_owned()).collect()).collect();
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .chain([heading.len()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        say!("{}", padded.join("  ").trim_end());
    };
    line(&mut headings.iter().copied());
    for row in &rows {
        line(&mut row.iter().map(String::as_str));
    }
}

/// Returns the error for an outcome that does not belong to the act: the running instance has another version.
pub(crate) fn unexpected(outcome: &Outcome) -> CommandError {
    let kind = serde_json::to_value(outcome)
        .ok()
        .and_then(|value| value.get("is").map(ToString::to_string))
        .unwrap_or_default();
    CommandError::environment(
        format!("the running instance answered with {kind}"),
        "it is of another version: restart it",
    )
}

/// Parses a duration of the command line, and returns it in seconds.
pub(crate) fn seconds(text: &str) -> Result<u32, CommandError> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()?.checked_mul(86_400));
    let span: Result<jiff::SignedDuration, _> = text.parse();
    let other = || span.ok().and_then(|span| u32::try_from(span.as_secs()).ok());
    days.or_else(other).filter(|seconds| *seconds > 0).ok_or_else(|| {
        CommandError::usage(format!("`{text}` is not a length of time"), "write `45m`, `2h`, `1h 30m`, `30d`")
    })
}

/// Returns foreign text on one line, with control characters escaped (ATK-95).
pub(crate) fn visible(text: &str) -> String {
    for_terminal(text).into_owned()
}

/// Joins the names of rules on one line.
pub(crate) fn rules(rules: &[RuleId]) -> String {
    rules.iter().map(RuleId::text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn a_length_of_time_is_positive_and_whole() {
        for (text, expected) in [
            ("45m", Some(2700)),
            ("1h 30m", Some(5400)),
            ("2d", Some(172_800)),
            ("0s", None),
            ("0d", None),
            ("-1h", None),
            ("x", None),
            ("99999999d", None),
        ] {
            assert_eq!(seconds(text).ok(), expected, "{text}");
        }
    }
}
