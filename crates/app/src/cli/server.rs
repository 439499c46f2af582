//! Arguments of `sekisho server`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::ids::ServerName;

/// Whose servers are meant where no checkpoint runs.
#[derive(Debug, Args)]
pub(crate) struct OfConfiguration {
    /// The configuration file, where no checkpoint runs [default: the servers that `run` keeps]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// `sekisho server`
#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Let a user use the tools of a server of `run`, up to a class
    Allow {
        /// Which server
        server: ServerName,
        /// Who
        user: String,
        /// `read`, `write` (which includes `read`) or `destructive` (which includes both)
        class: ToolClass,
    },
    /// Give a tool a class
    Classify {
        /// Which server
        server: ServerName,
        /// Such as `create_note=write`; may be given several times
        #[arg(required = true, value_name = "TOOL=CLASS")]
        classes: Vec<String>,
    },
    /// Take from a user what `allow` gave; the user's agents at this server are refused from then on
    Deny {
        /// Which server
        server: ServerName,
        /// Who
        user: String,
    },
    /// List servers
    List(OfConfiguration),
    /// Remove a server
    Remove {
        /// Which
        name: ServerName,
    },
    /// A server's tools: list them, see what is held back, accept it
    #[command(subcommand)]
    Tools(ToolsCommand),
}

/// `sekisho server tools`
#[derive(Debug, Subcommand)]
pub(crate) enum ToolsCommand {
    /// Accept tools that are held back because they are new or changed
    Accept {
        /// Which server
        server: ServerName,
        /// Such as `get_note@3f9a…`: name and fingerprint as `diff` prints them, or the name alone
        #[arg(value_name = "TOOL[@FINGERPRINT]", required_unless_present = "all")]
        tools: Vec<String>,
        /// All that are held back, whatever they are
        #[arg(long, conflicts_with = "tools")]
        all: bool,
    },
    /// Show what is held back, and in what it differs from what was accepted; exit 1 if there is anything
    Diff {
        /// Which server
        server: ServerName,
    },
    /// List a server's tools with their classes
    List {
        /// Which server
        server: ServerName,
        #[command(flatten)]
        of: OfConfiguration,
    },
    /// Ask a server for its tools, and print a class for each as a table for the configuration
    Propose {
        /// Which server
        server: ServerName,
        #[command(flatten)]
        of: OfConfiguration,
    },
}
