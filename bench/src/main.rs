//! The tools of `scripts/bench`, which measure what the gateway costs in comparison with a bare proxy in the same run.
//!
//! They are not part of the product. `floor` and `stub` are servers, `token` signs in, `load` calls and measures one
//! proxy, `report` reads the output of `load` and gives the verdict. `README.md` explains the results.

mod floor;
mod form;
mod http1;
mod load;
mod login;
mod proc;
mod report;
mod stub;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::net::TcpListener;

// The gateway uses mimalloc. With another allocator in the floor, the ratio would also compare allocators.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit status if the machine, and not the proxy, spoiled a measurement: the caller may repeat it.
const EXIT_ENVIRONMENT: u8 = 3;

/// The instruments of scripts/bench.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A bare hyper reverse proxy on loopback: what any HTTP gateway in Rust has to pay
    Floor {
        /// Where calls go, an address on loopback
        #[arg(long)]
        upstream: SocketAddr,
    },
    /// Print a TCP port of loopback that is free now
    FreePort,
    /// Call one proxy at a steady rate, check every answer, print one line of JSON
    Load(load::LoadArguments),
    /// Read the lines that `load` printed, print the table, fail if a limit is passed
    Report(report::ReportArguments),
    /// A stub MCP server over Streamable HTTP on loopback
    Stub,
    /// Register, sign in, consent and print an access token for one protected server
    Token(login::TokenArguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Floor { upstream } => serving(|listener| floor::serve(listener, upstream)),
        Command::FreePort => free_port(),
        Command::Load(arguments) => {
            return load::run(&arguments).map_or_else(failed_load, finished);
        }
        Command::Report(arguments) => return report::run(&arguments).map_or_else(failed, finished),
        Command::Stub => serving(stub::serve),
        Command::Token(arguments) => return login::run(&arguments).map_or_else(failed, finished),
    };
    outcome.map_or_else(failed, |()| ExitCode::SUCCESS)
}

/// Runs a server on one thread: it is pinned to one core, where a second worker could only take turns with the first.
fn serving<F>(serve: impl FnOnce(TcpListener) -> F) -> Result<(), io::Error>
where
    F: Future<Output = Result<(), io::Error>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        line(&format!("http://{}", listener.local_addr()?))?;
        serve(listener).await
    })
}

fn free_port() -> Result<(), io::Error> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    line(&listener.local_addr()?.port().to_string())
}

fn line(text: &str) -> Result<(), io::Error> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

fn finished(text: String) -> ExitCode {
    line(&text).map_or_else(failed, |()| ExitCode::SUCCESS)
}

fn failed(error: impl std::fmt::Display) -> ExitCode {
    eprintln!("sekisho-bench: {error}");
    ExitCode::FAILURE
}

fn failed_load(error: load::LoadError) -> ExitCode {
    let spoiled = matches!(error, load::LoadError::CoreBusy { .. } | load::LoadError::Late { .. });
    let code = failed(error);
    if spoiled { ExitCode::from(EXIT_ENVIRONMENT) } else { code }
}
