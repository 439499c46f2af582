//! Prints what to paste into which client.

pub(crate) use sekisho_protocol::connect_lines::connect_lines;
use sekisho_protocol::ids::ServerName;

/// Prints them, with what a loopback address means.
pub(crate) fn print_connect_lines(name: &ServerName, url: &str) {
    say_lines!("\nConnect a client to {name}:");
    for (client, line) in connect_lines(name, url) {
        say_lines!("  {client:<12} {line}");
    }
    if url.starts_with("http://") {
        say_lines!("  Clients that run in somebody's cloud cannot reach this address: it is this machine's loopback.");
    }
}
