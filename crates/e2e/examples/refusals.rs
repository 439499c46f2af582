//! Prints the responses with which the real gateway refuses, as JSON, for `scripts/clients`.
#![allow(clippy::print_stdout, reason = "a program for developers")]

#[tokio::main]
async fn main() {
    println!("{}", sekisho_e2e::refusals::real().await);
}
