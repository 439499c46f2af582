//! The one way to the terminal, for every command (ATK-231).
//!
//! What is printed may hold words of a server, of an authorization server, of a client or of whoever wrote a file. A
//! terminal obeys some characters, and others turn writing around or hide it. So everything goes through here and is
//! written as it can be seen; `clippy.toml` knows no other way. Not here: messages of a protocol on standard output,
//! which programs read.

use std::fmt::Arguments;
use std::io::Write;

use sekisho_protocol::text::{for_terminal, json_for_terminal, lines_for_terminal};

use crate::error::CommandError;

/// One line for a person, on standard output. Whatever is in it, it stays one line: a line feed in a stranger's words is
/// written out, so that it cannot begin a line that reads as one of ours (ATK-95).
macro_rules! say {
    () => { $crate::say::out(format_args!("\n")) };
    ($($words:tt)*) => { $crate::say::line(&format!($($words)*)) };
}

/// Several lines for a person, on standard output: text of ours in which the words of strangers are lines of their own.
macro_rules! say_lines {
    ($form:literal $($rest:tt)*) => { $crate::say::out(format_args!("{}\n", format_args!($form $($rest)*))) };
}

/// The same without a line feed at the end.
macro_rules! say_part {
    ($($text:tt)*) => { $crate::say::out(format_args!($($text)*)) };
}

/// A line for a person, on standard error.
macro_rules! tell {
    ($form:literal $($rest:tt)*) => { $crate::say::err(format_args!("{}\n", format_args!($form $($rest)*))) };
}

/// Writes one line to standard output.
pub(crate) fn line(text: &str) {
    out(format_args!("{}\n", for_terminal(text)));
}

/// Writes a text of ours that has lines to standard output: a diagram, a piece of configuration.
pub(crate) fn lines(text: &str) {
    text.lines().for_each(line);
}

/// Writes text to standard output.
#[expect(clippy::disallowed_macros, reason = "this is the one way")]
pub(crate) fn out(text: Arguments<'_>) {
    anstream::print!("{}", lines_for_terminal(&text.to_string()));
}

/// Writes text to standard error.
#[expect(clippy::disallowed_macros, reason = "this is the one way")]
pub(crate) fn err(text: Arguments<'_>) {
    anstream::eprint!("{}", lines_for_terminal(&text.to_string()));
}

/// Writes JSON to standard output, as one line.
#[expect(clippy::disallowed_macros, reason = "this is the one way")]
pub(crate) fn json(text: &str) {
    anstream::println!("{}", json_for_terminal(text));
}

/// Says why a command failed, to a program.
#[expect(clippy::disallowed_macros, reason = "this is the one way")]
pub(crate) fn json_error(text: &str) {
    anstream::eprintln!("{}", json_for_terminal(text));
}

/// Says why a command failed, to a person. The colours are ours; the words are made visible before.
#[expect(clippy::disallowed_macros, reason = "this is the one way")]
pub(crate) fn error(error: CommandError) {
    anstream::eprintln!("{:?}", miette::Report::new(error.for_terminal()));
}

/// Standard error for the log: one event at a time, each made visible.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    /// Whether events are JSON.
    pub(crate) json: bool,
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let text = if self.json { json_for_terminal(&text) } else { lines_for_terminal(&text) };
        std::io::stderr().lock().write_all(text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
