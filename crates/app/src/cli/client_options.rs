//! How a server is called, and as whom: arguments that several commands share.

use std::path::PathBuf;

use clap::Args;

/// How a server is called, and as whom.
#[derive(Debug, Default, Args)]
pub(crate) struct ClientOptions {
    /// The client identifier that the server's operator gave you
    #[arg(long, value_name = "ID", help_heading = "Who we are")]
    pub(crate) client_id: Option<String>,
    /// The variable that holds the client's secret
    #[arg(long, value_name = "NAME", requires = "client_id", help_heading = "Who we are")]
    pub(crate) client_secret_env: Option<String>,
    /// The client's private key, as PEM
    #[arg(long, value_name = "FILE", requires = "client_id", help_heading = "Who we are")]
    pub(crate) client_key: Option<PathBuf>,
    /// The authorization server that gave the identifier [default: the first that is met, from then on]
    #[arg(long, value_name = "URL", help_heading = "Who we are")]
    pub(crate) issuer: Option<String>,
    /// The https URL of our client metadata document; with --issuer also for one that sends no `iss` (RFC 9207)
    #[arg(long, value_name = "URL", help_heading = "Who we are")]
    pub(crate) client_metadata_url: Option<String>,
    /// The loopback redirect URI that is registered for it [default: one for each authorization server, which is shown]
    #[arg(long, value_name = "URI", help_heading = "Who we are")]
    pub(crate) redirect_uri: Option<String>,
    /// What to ask for [default: what the server names]
    #[arg(long, value_name = "SCOPES", help_heading = "By what right")]
    pub(crate) scope: Option<String>,
    /// The variable that holds a token for this server; nobody logs in then
    #[arg(long, value_name = "NAME", help_heading = "By what right", conflicts_with_all = ["client_credentials", "workload_token", "id_token_env"])]
    pub(crate) token_env: Option<String>,
    /// In the client's own name, for no user
    #[arg(long, requires = "client_id", help_heading = "By what right", conflicts_with_all = ["workload_token", "id_token_env"])]
    pub(crate) client_credentials: bool,
    /// A file with the statement of a platform about this workload (a JWT)
    #[arg(
        long,
        value_name = "FILE",
        requires = "client_id",
        help_heading = "By what right",
        conflicts_with = "id_token_env"
    )]
    pub(crate) workload_token: Option<PathBuf>,
    /// The variable that holds the ID token of a login at your company (enterprise-managed authorization)
    #[arg(long, value_name = "NAME", requires_all = ["client_id", "idp", "idp_client_id"], help_heading = "By what right")]
    pub(crate) id_token_env: Option<String>,
    /// The identity provider of that login
    #[arg(long, value_name = "URL", requires = "id_token_env", help_heading = "By what right")]
    pub(crate) idp: Option<String>,
    /// Our identifier there
    #[arg(long, value_name = "ID", requires = "id_token_env", help_heading = "By what right")]
    pub(crate) idp_client_id: Option<String>,
    /// Certificate authorities to trust beside the system's, as PEM
    #[arg(long, value_name = "FILE", help_heading = "The way there")]
    pub(crate) ca_file: Option<PathBuf>,
    /// A network that may be called although it is not public, such as 10.0.0.0/8
    #[arg(long, value_name = "NETWORK", help_heading = "The way there")]
    pub(crate) allow_network: Vec<String>,
}
