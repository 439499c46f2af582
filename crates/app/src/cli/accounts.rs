//! Words of the commands about users and about what they granted.

use clap::Subcommand;
use sekisho_protocol::ids::{GrantId, ServerName};
use sekisho_protocol::role::Role;

/// `sekisho grant`
#[derive(Debug, Subcommand)]
pub(crate) enum GrantCommand {
    /// List grants
    List {
        /// Only those of this user
        #[arg(long)]
        user: Option<String>,
    },
    /// Let the client of an ended grant in again, at a server with an external authorization server
    Release {
        /// Its identifier
        grant: GrantId,
    },
    /// End a grant and everything derived from it; or every agent of one user, or of all
    Revoke {
        /// Its identifier
        #[arg(required_unless_present_any = ["user", "all"])]
        grant: Option<GrantId>,
        /// End every grant of this user
        #[arg(long, value_name = "NAME", conflicts_with = "grant")]
        user: Option<String>,
        /// End every grant of everybody
        #[arg(long, conflicts_with_all = ["grant", "user"])]
        all: bool,
    },
}

/// `sekisho link`
#[derive(Debug, Subcommand)]
pub(crate) enum LinkCommand {
    /// List the accounts that people linked for servers
    List {
        /// Only those of this user
        #[arg(long)]
        user: Option<String>,
    },
    /// Remove the account that a user linked for a server
    Remove {
        /// The user
        user: String,
        /// The server
        server: ServerName,
    },
}

/// `sekisho scim`
#[derive(Debug, Subcommand)]
pub(crate) enum ScimCommand {
    /// Make, list and take back the tokens with which provisioning clients come in
    #[command(subcommand)]
    Token(ScimTokenCommand),
}

/// `sekisho scim token`
#[derive(Debug, Subcommand)]
pub(crate) enum ScimTokenCommand {
    /// Make a token for one provisioning client; it is shown this once
    Add {
        /// What to call it
        name: String,
        /// The identity provider whose people the client provisions, by its name in the configuration
        #[arg(long, value_name = "NAME")]
        provider: String,
        /// For how long it is good, such as `365d` [default: until it is removed]
        #[arg(long, value_name = "TIME")]
        lasts: Option<String>,
    },
    /// List tokens, also those that were taken back
    List,
    /// Take a token back; what its client provisioned stays
    Remove {
        /// Which
        name: String,
        /// The identity provider that it is for
        #[arg(long, value_name = "NAME")]
        provider: String,
    },
}

/// `sekisho user`
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user
    Add {
        /// A name to log in with
        name: String,
        /// The user owns the checkpoint; the same as `--role owner`
        #[arg(long, conflicts_with = "role")]
        owner: bool,
        /// The user's part in running the checkpoint: `owner`, `administrator` (accepts tools, lends access), `auditor`
        /// (reads the records) or `user`
        #[arg(long, default_value_t)]
        role: Role,
        /// Read the password from standard input; otherwise a one-time link is printed
        #[arg(long)]
        password_stdin: bool,
    },
    /// Shut a user out at once: sessions, set-up links and grants end
    Disable {
        /// Which
        name: String,
    },
    /// Let a user sign in again who was shut out; applications have to be let in anew
    Enable {
        /// Which
        name: String,
    },
    /// Print a one-time link with which a user sets a password; it ends older links, and using it ends every agent
    Link {
        /// Which
        name: String,
    },
    /// List users
    List,
    /// Remove a user for good: sessions, set-up links and grants end; records keep the identifier, and the name is free
    Remove {
        /// Which
        name: String,
    },
    /// Give a user another part in running the checkpoint
    Role {
        /// Which
        name: String,
        /// `owner`, `administrator`, `auditor` or `user`
        role: Role,
    },
}
