//! The configuration: its types, the values that it refers to, and the policies beside it. `configuration_file.rs` reads it.

pub(crate) mod authorization;
pub(crate) mod authorization_check;
mod credential;
pub(crate) mod database;
pub(crate) mod login;
mod model;
mod policies;
pub(crate) mod server;
mod server_credential;
mod values;

pub(crate) use credential::{CredentialDefinition, CredentialKind, LinkWay};
pub(crate) use login::LoginProvider;
pub(crate) use model::{
    Access, Arguments, Configuration, Isolation, Observe, ServerDefinition, Template, Webhook, schema,
};
pub(crate) use policies::{UNREAD_HELP, policy_files, policy_folder};
pub(crate) use server::check_server;
pub(crate) use values::{Filled, fill};
