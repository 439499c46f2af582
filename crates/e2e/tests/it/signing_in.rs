//! People who sign in at a company's provider, from the first page to the last: a real browser, providers of others, and each
//! kind of provider as it behaves.

mod browser;
mod check;
mod guide;
mod kinds;
mod over_tls;
mod pages;

use std::net::TcpListener;

/// A port of loopback that is free now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
