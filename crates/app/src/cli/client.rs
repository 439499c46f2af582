//! Arguments of the commands that are a client.

use std::path::PathBuf;

use clap::Args;

use super::client_options::ClientOptions;

/// `sekisho connect`
#[derive(Debug, Args)]
pub(crate) struct ConnectArguments {
    /// The server's URL, as its operator gives it
    pub(crate) url: String,
    /// Open no browser on this machine
    #[arg(long)]
    pub(crate) no_browser: bool,
    #[command(flatten)]
    pub(crate) client: ClientOptions,
}

/// `sekisho login`
#[derive(Debug, Args)]
pub(crate) struct LoginArguments {
    /// The server's URL, as its operator gives it
    pub(crate) url: String,
    /// Open no browser on this machine; the page's address is printed
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// Also when we are logged in already
    #[arg(long)]
    pub(crate) again: bool,
    #[command(flatten)]
    pub(crate) client: ClientOptions,
}

/// `sekisho doctor`
#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// The server's URL, as its operator gives it
    pub(crate) url: String,
    /// Register a client, to be thrown away, and see how its requests are refused
    #[arg(long)]
    pub(crate) register: bool,
    /// Log in, and see what tokens and codes are good for; this registers a client, too
    #[arg(long)]
    pub(crate) login: bool,
    /// How to write the report
    #[arg(long, value_enum, default_value_t = DoctorFormat::Text)]
    pub(crate) format: DoctorFormat,
    /// Also write the exchange as a sequence diagram: SVG where the name ends so, else Mermaid
    #[arg(long, value_name = "FILE")]
    pub(crate) diagram: Option<PathBuf>,
    /// Exit 1 also where only a SHOULD is broken
    #[arg(long)]
    pub(crate) strict: bool,
    /// Open no browser on this machine
    #[arg(long)]
    pub(crate) no_browser: bool,
    #[command(flatten)]
    pub(crate) client: ClientOptions,
}

/// `sekisho forget`
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ForgetCommand {
    /// The authorization server to which a given client identifier belongs
    Client {
        /// The identifier
        id: String,
    },
    /// That an authorization server has to send `iss` in its answers (RFC 9207)
    Issuer {
        /// The authorization server
        url: String,
    },
    /// The authorization server to which the path of a --redirect-uri belongs
    Redirect {
        /// The path, such as /callback
        path: String,
    },
}

/// How `doctor` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DoctorFormat {
    /// Markdown, for documents
    Markdown,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// For people
    Text,
}

/// How a sequence diagram is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DiagramFormat {
    /// Text, for documents
    Mermaid,
    /// A picture, legible in light and dark
    Svg,
}

impl DiagramFormat {
    /// As the ending of a file's name says.
    pub(crate) fn of(file: &std::path::Path) -> Self {
        if file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("svg")) {
            Self::Svg
        } else {
            Self::Mermaid
        }
    }

    pub(crate) fn write(self, sequence: &sekisho_picture::sequence::Sequence) -> String {
        match self {
            Self::Mermaid => sequence.to_mermaid(),
            Self::Svg => sequence.to_svg(),
        }
    }
}

/// A server, and as whom it is called.
#[derive(Debug, Args)]
pub(crate) struct ServerUrl {
    /// The server's URL, as its operator gives it
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) client: ClientOptions,
}

/// `sekisho import`
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The client's file: `mcpServers` (Claude, Cursor and others), or VS Code's mcp.json or settings.json
    pub(crate) file: PathBuf,
    /// Rewrite it, keep a backup, and add its servers to the configuration
    #[arg(long)]
    pub(crate) write: bool,
    /// The configuration of the checkpoint
    #[arg(short, long, value_name = "FILE", default_value = "sekisho.toml")]
    pub(crate) config: PathBuf,
    /// Under which URL the checkpoint is reached
    #[arg(long, value_name = "URL", default_value = "http://localhost:8420")]
    pub(crate) base_url: String,
    /// For a client that starts programs only: through `sekisho connect`
    #[arg(long)]
    pub(crate) bridge: bool,
    /// Also a secret, though it does not look like one: a variable, a header or an option by its name; several times
    #[arg(long = "secret", value_name = "NAME")]
    pub(crate) secrets: Vec<String>,
    /// Ask no server whether it wants a login
    #[arg(long)]
    pub(crate) offline: bool,
}
