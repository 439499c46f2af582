//! Arguments of `sekisho specmap`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `sekisho specmap`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(crate) struct SpecmapArguments {
    #[command(subcommand)]
    pub(crate) command: Option<SpecmapCommand>,
    /// Files, folders or URLs: Markdown, MDX, HTML, or RFCs as plain text
    #[arg(value_name = "FILE|DIR|URL", required = true)]
    pub(crate) sources: Vec<String>,
    /// How many lines of Mermaid the picture may take, 10 to 300; what has no room is folded and counted
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) lines: usize,
    /// How to write it; `json` is the whole graph with its facts, `markdown` goes with --normative
    #[arg(long, value_enum)]
    pub(crate) format: Option<SpecmapFormat>,
    /// Give this section, with what is around it, the room: its anchor, number or title
    #[arg(long, value_name = "SECTION")]
    pub(crate) focus: Option<String>,
    /// How to show documents that are referred to and were not read
    #[arg(long, value_enum, default_value_t = SpecmapExternal::Collapsed)]
    pub(crate) external: SpecmapExternal,
    /// List what to read first, and why
    #[arg(long, conflicts_with_all = ["pack", "normative", "focus"])]
    pub(crate) reading_order: bool,
    /// Print this section with the definitions it uses and its neighbours, ready to paste
    #[arg(long, value_name = "SECTION", conflicts_with_all = ["normative", "focus"])]
    pub(crate) pack: Option<String>,
    /// How many bytes the pack may have
    #[arg(long, value_name = "BYTES", default_value_t = 20_000, requires = "pack")]
    pub(crate) size: usize,
    /// List every MUST, SHOULD and MAY with its section and whom it binds
    #[arg(long, conflicts_with = "focus")]
    pub(crate) normative: bool,
    #[command(flatten)]
    pub(crate) way: WayThere,
}

const EXAMPLES: &str = "Examples:
  sekisho specmap docs/ --lines 80 > map.mmd
  sekisho specmap rfc6749.txt rfc8707.txt --format svg > map.svg
  sekisho specmap spec.md --focus token-handling
  sekisho specmap spec.md --pack 'Token Handling' --size 8000
  sekisho specmap diff 2025-06-18/ 2025-11-25/ > changes.md

An arrow says how a section relates to another: `requires` (a MUST is about it), `then` (the next step), `links`,
`uses` (a term of it). What is drawn is chosen by how central it is among these. A file called `diff` is `./diff`.";

/// What else there is to do.
#[derive(Debug, Subcommand)]
pub(crate) enum SpecmapCommand {
    /// Show what changed between two revisions: sections and demands, as a picture and a list
    Diff(SpecmapDiffArguments),
}

/// `sekisho specmap diff`
#[derive(Debug, Args)]
pub(crate) struct SpecmapDiffArguments {
    /// The revision before: a file, a folder or a URL
    #[arg(value_name = "BEFORE")]
    pub(crate) before: String,
    /// The revision after
    #[arg(value_name = "AFTER")]
    pub(crate) after: String,
    /// How many lines of Mermaid the picture may take, 10 to 300
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) lines: usize,
    /// How to write it; `markdown` is the picture and the list
    #[arg(long, value_enum, default_value_t = SpecmapDiffFormat::Markdown)]
    pub(crate) format: SpecmapDiffFormat,
    #[command(flatten)]
    pub(crate) way: WayThere,
}

/// How URLs are fetched.
#[derive(Debug, Args)]
pub(crate) struct WayThere {
    /// Certificate authorities to trust beside the system's, as PEM
    #[arg(long, value_name = "FILE", help_heading = "The way to a URL")]
    pub(crate) ca_file: Option<PathBuf>,
    /// A network that may be called although it is not public, such as 10.0.0.0/8
    #[arg(long, value_name = "NETWORK", help_heading = "The way to a URL")]
    pub(crate) allow_network: Vec<String>,
}

/// How `specmap` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SpecmapFormat {
    /// Graphviz
    Dot,
    /// JSON, for programs
    Json,
    /// Markdown, for documents
    Markdown,
    /// Mermaid
    Mermaid,
    /// SVG, for light and dark
    Svg,
}

/// What `specmap` shows of documents outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SpecmapExternal {
    /// One node each
    All,
    /// One node with their names
    Collapsed,
    /// Nothing
    None,
}

/// How `specmap diff` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SpecmapDiffFormat {
    /// JSON, for programs
    Json,
    /// Markdown, with the picture in it
    Markdown,
    /// The picture alone
    Mermaid,
}
