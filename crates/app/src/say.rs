//! The way from here to the terminal, for every command whose words may hold what strangers wrote: names of tools and
//! clients, reasons, purposes, details of records. A terminal obeys escape sequences, and a line that somebody else ended
//! early reads as one of ours (ATK-95).

use sekisho_protocol::text::for_terminal;

/// Prints one line, formatted as `println!` does. Whatever is in it, it stays one line, and nothing in it is obeyed.
macro_rules! say {
    () => { $crate::say::line("") };
    ($($words:tt)*) => { $crate::say::line(&format!($($words)*)) };
}
pub(crate) use say;

/// Prints one line.
pub(crate) fn line(text: &str) {
    anstream::println!("{}", for_terminal(text));
}

/// Prints a text of ours that has lines: a diagram, a piece of configuration. Nothing in a line is obeyed.
pub(crate) fn lines(text: &str) {
    text.lines().for_each(line);
}
