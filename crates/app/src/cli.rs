//! The command line. Each variant has its file in `command/`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use sekisho_protocol::ids::{AccessRequestId, ClientId, GrantId, LoanId, RequestId, ServerName, TaskId};

use crate::os;

mod accounts;
mod client;
mod client_options;
mod server;
mod specmap;

pub(crate) use accounts::{GrantCommand, LinkCommand, ScimCommand, ScimTokenCommand, UserCommand};
pub(crate) use client::{
    ConnectArguments, DiagramFormat, DoctorArguments, DoctorFormat, ForgetCommand, ImportArguments, LoginArguments,
    ServerUrl,
};
pub(crate) use client_options::ClientOptions;
pub(crate) use server::{ServerCommand, ToolsCommand};
pub(crate) use specmap::{
    SpecmapArguments, SpecmapCommand, SpecmapDiffArguments, SpecmapDiffFormat, SpecmapExternal, SpecmapFormat, WayThere,
};

/// An authorization checkpoint for the Model Context Protocol.
///
/// Sekisho stands in front of MCP servers and decides, for every single call, whether this user, through this
/// client, for this task, may do this.
#[derive(Debug, Parser)]
#[command(name = "sekisho", version, max_term_width = 100, after_help = FIRST_STEPS)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The command line, with what depends on this machine: where data is kept.
    pub(crate) fn described() -> clap::Command {
        let folder =
            os::default_data_dir().map_or_else(|| "none: HOME is not set".to_owned(), |dir| dir.display().to_string());
        Self::command()
            .mut_arg("data_dir", |argument| argument.help(format!("Where everything is kept [default: {folder}]")))
            .after_help(format!("{FIRST_STEPS}\n\n{ENVIRONMENT}"))
    }
}

const ENVIRONMENT: &str = "Environment variables:
  SEKISHO_DATA_DIR  where everything is kept, as --data-dir
  SEKISHO_LOG       what is logged, such as `debug` or `warn,sekisho_gateway=trace`
  NO_COLOR          no colours in messages";

const FIRST_STEPS: &str = "First steps:
  sekisho demo                                   see it work, on this machine only
  sekisho run -- npx -y @modelcontextprotocol/server-everything
  sekisho run --http http://127.0.0.1:3000/mcp

Exit codes: 0 yes, 1 no, 2 usage, 3 environment.";

/// What most commands understand.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Where everything is kept [default: the user's data folder]
    #[arg(long, global = true, env = "SEKISHO_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Answer in JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what the records show could be narrower, as text ready to apply
    Advise(SinceArguments),
    /// Read the records of decisions, logins and administrative acts
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Show or change the URL under which clients reach this checkpoint
    #[command(subcommand)]
    BaseUrl(BaseUrlCommand),
    /// A bundled MCP server over standard input and output
    #[command(hide = true)]
    Bundled {
        /// Which
        name: String,
    },
    /// Check a configuration file and report every mistake
    Check {
        /// The configuration file
        #[arg(short, long, default_value = "sekisho.toml", value_name = "FILE")]
        config: PathBuf,
        #[command(flatten)]
        login: LoginCheck,
    },
    /// Watch over one child process, so that it ends when we do
    #[command(hide = true)]
    ChildGuard {
        /// Program and arguments
        #[arg(last = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
    /// Become one program, without what keeps the guard before it small
    #[command(hide = true)]
    ChildUnburdened {
        /// Program and arguments
        #[arg(last = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
    /// Add, list and remove OAuth clients
    #[command(subcommand)]
    Client(ClientCommand),
    /// Carry messages between standard input and output and a server over HTTP, with the whole login
    Connect(Box<ConnectArguments>),
    /// Start everything on loopback and play the story of one protected server
    Demo(DemoArguments),
    /// Look at a server and its authorization server from outside: what is met, what is broken, what to change
    Doctor(Box<DoctorArguments>),
    /// Say whether a call would pass, or why one did not: rights, grant and need, one by one
    Explain(Box<ExplainArguments>),
    /// Remove what this user's clients remember about authorization servers until a person removes it
    #[command(subcommand)]
    Forget(ForgetCommand),
    /// List and revoke what users granted to clients
    #[command(subcommand)]
    Grant(GrantCommand),
    /// List and remove the accounts that people linked for servers
    #[command(subcommand)]
    Link(LinkCommand),
    /// Show what authority a client's MCP configuration carries, and move its servers behind a checkpoint
    Import(ImportArguments),
    /// Write a commented configuration file to start from
    Init {
        /// Where to write it
        #[arg(default_value = "sekisho.toml")]
        file: PathBuf,
    },
    /// List and take back what was lent to users for a time
    #[command(subcommand)]
    Loan(LoanCommand),
    /// Log in to a server, so that `connect` and `token` ask nobody
    Login(Box<LoginArguments>),
    /// Give back what was granted for a server, and forget it
    Logout(Box<ServerUrl>),
    /// Check, format and test the policy files
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Judge recorded calls again by other policies: exit 1 if one that was used would break or cannot be judged
    Replay(ReplayArguments),
    /// List what users ask for beyond their rights; lend it for a time, or refuse
    #[command(subcommand)]
    Request(RequestCommand),
    /// Protect one MCP server: a program, or one that listens somewhere
    Run(Box<RunArguments>),
    /// Print the JSON Schema of the configuration file
    Schema,
    /// Let provisioning clients of identity providers in (SCIM 2.0)
    #[command(subcommand)]
    Scim(ScimCommand),
    /// Protect the servers of a configuration file
    Serve {
        /// The configuration file
        #[arg(short, long, default_value = "sekisho.toml", value_name = "FILE")]
        config: PathBuf,
        /// Where to listen; port 0 takes a free one [default: the file's, else port 8420 on loopback]
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Option<SocketAddr>,
    },
    /// List and remove servers that `run` keeps, and classify their tools
    #[command(subcommand)]
    Server(ServerCommand),
    /// Draw how the sections of a specification relate, and cut out what one question needs
    Specmap(Box<SpecmapArguments>),
    /// Begin, list and end tasks: what a grant is held to for a piece of work
    #[command(subcommand)]
    Task(TaskCommand),
    /// Print an access token for a server, renewed if it has to be; for scripts
    Token(Box<ServerUrl>),
    /// Draw one recorded request, or one grant from its login on, as a sequence diagram
    Trace {
        /// The id of a request (rid_…) or of a grant (grt_…)
        id: String,
        /// How to draw it
        #[arg(long, value_enum, default_value_t = DiagramFormat::Mermaid)]
        format: DiagramFormat,
    },
    /// Add, list, disable and enable users
    #[command(subcommand)]
    User(UserCommand),
    /// Show to which servers this user's clients are logged in
    Whoami,
}

/// What is asked of the records.
#[derive(Debug, Args)]
pub(crate) struct SinceArguments {
    /// Only what was recorded in this time, such as `12h` or `30d`
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub(crate) since: String,
    /// The configuration file, where no checkpoint runs [default: the servers that `run` keeps]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// `sekisho replay`
#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    /// A folder with the policy files to judge by, in place of those in force
    #[arg(long, value_name = "DIR")]
    pub(crate) policies: PathBuf,
    /// Exit 0 although some calls could not be judged, if no other would break
    #[arg(long)]
    pub(crate) allow_undecidable: bool,
    #[command(flatten)]
    pub(crate) of: SinceArguments,
}

/// `sekisho audit`
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Print the arguments of a call, where they were kept (`arguments = "sealed"`); this goes on record
    Arguments {
        /// Its id in the records
        request: RequestId,
    },
    /// All records
    Export {
        /// Only records of this request
        #[arg(long)]
        request: Option<RequestId>,
        /// How they are written
        #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
        format: ExportFormat,
    },
    /// Remove old records; where the chain begins then is sealed
    Prune {
        /// Only those that were kept for longer than this, such as `90d`
        #[arg(long, value_name = "TIME")]
        older_than: String,
    },
    /// The last records, and new ones as they come
    Tail {
        /// How many to begin with
        #[arg(short = 'n', default_value_t = 20)]
        lines: u32,
        /// Stop after those, do not wait for more
        #[arg(long)]
        once: bool,
    },
    /// Recompute the chains of records: exit 1 if anything was changed, removed, moved or cut off
    Verify {
        /// Heads that were kept elsewhere, to compare with: if not given, those of the second place (`audit.heads`)
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    /// A table with the members that most records have
    Csv,
    /// One JSON object a line
    Jsonl,
}

/// `sekisho base-url`
#[derive(Debug, Subcommand)]
pub(crate) enum BaseUrlCommand {
    /// Change it; every grant ends, because tokens carry it
    Set {
        /// Such as `https://mcp.example.com`
        url: String,
    },
    /// Print it
    Show,
}

/// `sekisho client`
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Register a client
    Add {
        /// A name for people
        name: String,
        /// Where answers may be sent; may be given several times
        #[arg(long = "redirect-uri", value_name = "URL", required = true)]
        redirect_uris: Vec<String>,
        /// Give it a secret (a client that runs on a server)
        #[arg(long)]
        confidential: bool,
    },
    /// List clients
    List,
    /// Remove a client and end its grants
    Remove {
        /// Its identifier
        client: ClientId,
    },
}

/// `sekisho demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Stop after the story: exit 0 if every step went as it should
    #[arg(long)]
    pub(crate) once: bool,
    /// Play one scene only
    #[arg(long, value_name = "NAME")]
    pub(crate) scene: Option<String>,
    /// Write each scene as a Mermaid sequence diagram with its redacted exchange
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
}

/// `sekisho explain`
#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// A request on record, by the id in its refusal
    #[arg(value_name = "REQUEST", conflicts_with_all = ["user", "server", "tool"])]
    pub(crate) request: Option<RequestId>,
    /// The user
    #[arg(long, required_unless_present = "request")]
    pub(crate) user: Option<String>,
    /// The client [default: the one that was let in last]
    #[arg(long)]
    pub(crate) client: Option<ClientId>,
    /// The server
    #[arg(long, required_unless_present = "request")]
    pub(crate) server: Option<ServerName>,
    /// The tool
    #[arg(long, required_unless_present = "request")]
    pub(crate) tool: Option<String>,
    /// Its arguments
    #[arg(long, value_name = "JSON")]
    pub(crate) arguments: Option<String>,
    /// The configuration file, where no checkpoint runs [default: the servers that `run` keeps]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How to say it
    #[arg(long, value_enum, default_value_t = ExplainFormat::Text)]
    pub(crate) format: ExplainFormat,
}

/// How an explanation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExplainFormat {
    /// The three sets as a Mermaid flowchart
    Mermaid,
    /// The three sets as a picture
    Svg,
    /// In words
    Text,
}

/// A test of an identity provider, as a part of `sekisho check`.
#[derive(Debug, clap::Args)]
pub(crate) struct LoginCheck {
    /// Also sign in at this provider, and show what the claims make of a person. Nobody is let in
    #[arg(long, value_name = "PROVIDER")]
    pub(crate) login: Option<String>,
    /// In place of a sign-in, read a saved ID token or its claims as JSON. Its signature is not checked
    #[arg(long, value_name = "FILE", requires = "login")]
    pub(crate) claims: Option<PathBuf>,
    /// Show the first characters of identifiers only
    #[arg(long, requires = "login")]
    pub(crate) shorten: bool,
    /// The port of loopback at which the browser comes back
    #[arg(long, default_value_t = 8429, value_name = "PORT", requires = "login")]
    pub(crate) port: u16,
}

/// `sekisho policy`
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Report every mistake in the policy files
    Check {
        /// The configuration file beside which they are
        #[arg(short, long, default_value = "sekisho.toml", value_name = "FILE")]
        config: PathBuf,
    },
    /// Write the policy files in their usual form
    Format {
        /// The configuration file beside which they are
        #[arg(short, long, default_value = "sekisho.toml", value_name = "FILE")]
        config: PathBuf,
        /// Change nothing; exit 1 if a file is not in that form
        #[arg(long)]
        check: bool,
    },
    /// Print what policies may speak of
    Schema,
    /// Run the tests beside the policy files (`*.test.toml`): exit 1 if one fails, or if there are none
    Test {
        /// The configuration file beside which they are
        #[arg(short, long, default_value = "sekisho.toml", value_name = "FILE")]
        config: PathBuf,
    },
}

/// `sekisho task`
#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// End a task; its grant is refused as finished until it is resumed
    Finish {
        /// Its identifier
        task: TaskId,
    },
    /// List tasks
    List {
        /// Only those of this user
        #[arg(long)]
        user: Option<String>,
        /// Also those that are over
        #[arg(long)]
        all: bool,
    },
    /// Free a grant of its finished task
    Resume {
        /// The grant
        #[arg(long)]
        grant: GrantId,
    },
    /// Begin a task on a living grant: nothing outside it passes any more
    Start(Box<TaskStart>),
}

/// `sekisho task start`
#[derive(Debug, Args)]
pub(crate) struct TaskStart {
    /// The grant that is held to it (`sekisho grant list`)
    #[arg(long)]
    pub(crate) grant: GrantId,
    /// A task that the configuration offers; what is said beside it counts in its place
    #[arg(long, value_name = "SERVER/NAME", requires = "config")]
    pub(crate) template: Option<String>,
    /// The configuration file that offers it
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What it is for
    #[arg(long, required_unless_present = "template")]
    pub(crate) purpose: Option<String>,
    /// A tool it needs; may be given several times
    #[arg(long = "tool", value_name = "NAME", conflicts_with = "template")]
    pub(crate) tools: Vec<String>,
    /// Bounds on a tool's arguments, as a JSON Schema
    #[arg(long = "bounds", value_name = "TOOL=SCHEMA", conflicts_with = "template")]
    pub(crate) bounds: Vec<String>,
    /// A resource it reads, or its beginning and `*`; may be given several times
    #[arg(long = "resource", value_name = "URI", conflicts_with = "template")]
    pub(crate) resources: Vec<String>,
    /// A prompt it gets; may be given several times
    #[arg(long = "prompt", value_name = "NAME", conflicts_with = "template")]
    pub(crate) prompts: Vec<String>,
    /// How many calls it may make in all
    #[arg(long, value_name = "N")]
    pub(crate) calls: Option<u32>,
    /// How long it lasts, such as `45m` or `2h` [default: as its template says, or as long as the grant]
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) lasts: Option<String>,
}

/// `sekisho loan`
#[derive(Debug, Subcommand)]
pub(crate) enum LoanCommand {
    /// List what is lent
    List,
    /// Take something back
    Revoke {
        /// Its identifier
        loan: LoanId,
    },
}

/// `sekisho request`
#[derive(Debug, Subcommand)]
pub(crate) enum RequestCommand {
    /// Ask owners for a tool that the rules do not allow
    Ask {
        /// For the user, the client and the task of this grant (`sekisho grant list`)
        #[arg(long)]
        grant: GrantId,
        /// Which tool
        #[arg(long)]
        tool: String,
        /// Why, in a sentence
        #[arg(long)]
        reason: String,
        /// Only with arguments that fit this JSON Schema
        #[arg(long, value_name = "SCHEMA")]
        bounds: Option<String>,
    },
    /// Lend what is asked for: to this user, through this client, for this tool, for a time
    Grant {
        /// Its identifier
        request: AccessRequestId,
        /// For how long, such as `45m` or `2h`; at most 31 days
        #[arg(long = "for", value_name = "TIME", default_value = "1h")]
        lasts: String,
        /// Only with arguments that fit this JSON Schema
        #[arg(long, value_name = "SCHEMA")]
        bounds: Option<String>,
        /// The configuration file, where no checkpoint runs: whose rules may forbid it in spite of the loan
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// List what waits for an answer
    List,
    /// Say no
    Refuse {
        /// Its identifier
        request: AccessRequestId,
    },
}

/// `sekisho run`
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Where to listen; port 0 takes a free one [default: port 8420 on loopback]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// The server's name in `/mcp/NAME` [default: from the command]
    #[arg(long)]
    pub(crate) name: Option<ServerName>,
    /// Protect the MCP server that listens at this URL
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    pub(crate) http: Option<String>,
    /// Protect the checkpoint's own server: specifications as pictures, and why a call was refused
    #[arg(long, conflicts_with_all = ["command", "environment", "http", "secrets"])]
    pub(crate) builtin: bool,
    /// Give the program a variable: `NAME` passes ours through, `NAME=VALUE` sets one
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) environment: Vec<String>,
    /// Give the program a secret variable: asked for once, kept sealed
    #[arg(long = "secret", value_name = "NAME")]
    pub(crate) secrets: Vec<String>,
    /// Show the HTTP server a secret header: asked for once, kept sealed
    #[arg(long = "secret-header", value_name = "NAME", requires = "http")]
    pub(crate) secret_headers: Vec<String>,
    /// How long the program may be silent while it starts [default: 120]
    #[arg(long, value_name = "SECONDS", requires = "command", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) start_seconds: Option<u32>,
    /// How long a call may take without an answer or progress [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) call_seconds: Option<u32>,
    /// The name of the owner, made on first start
    #[arg(long, default_value = "owner")]
    pub(crate) owner: String,
    /// The program and its arguments
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

#[cfg(test)]
mod tests;
