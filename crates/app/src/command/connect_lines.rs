//! Prints the lines to paste into each client.

pub(crate) use sekisho_protocol::connect_lines::connect_lines;
use sekisho_protocol::ids::ServerName;

/// Prints the lines for each client, and a hint if the address is a loopback one.
pub(crate) fn print_connect_lines(name: &ServerName, url: &str) {
    say_lines!("\nConnect a client to {name}:");
    for (client, line) in connect_lines(name, url) {
        say_lines!("  {client:<12} {line}");
    }
    if url.starts_with("http://") {
        say_lines!("  Clients that run in somebody's cloud cannot reach this address: it is this machine's loopback.");
    }
}
