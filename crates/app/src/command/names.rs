//! Names to show beside identifiers: records hold identifiers, and people know names.

use std::collections::HashMap;

use sekisho_acts::command::{Command, Outcome};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::ClientId;

use super::visible;
use crate::cli::Common;
use crate::control;

/// The longest name of a client that is shown, in characters.
const NAME_CHARS_MAX: usize = 40;

/// The names of users and clients. Without a known name, the identifier alone is shown.
#[derive(Debug, Default)]
pub(crate) struct Names {
    users: HashMap<String, String>,
    clients: HashMap<String, String>,
}

impl Names {
    /// Reads the current names. If a list cannot be read, its identifiers are shown without names.
    pub(crate) async fn read(common: &Common) -> Self {
        let mut names = Self::default();
        if let Ok(Outcome::Users { users }) = control::act(common, Command::UserList).await {
            names.users = users.into_iter().map(|user| (user.id.to_string(), user.name)).collect();
        }
        if let Ok(Outcome::Clients { clients }) = control::act(common, Command::ClientList).await {
            names.clients = clients.into_iter().map(|client| (client.id.to_string(), client.name)).collect();
        }
        names
    }

    /// Returns a subject as `alice (usr_…)`.
    pub(crate) fn subject(&self, subject: &Subject) -> String {
        let id = subject.to_string();
        match subject {
            Subject::User(_) => with(self.users.get(&id), &id),
            Subject::Service(client) => with(self.clients.get(client.as_str()), &id),
            Subject::Anonymous => id,
        }
    }

    /// Returns a client as `"My Agent" (cli_…)`: in quotes, because the client chose the name itself.
    pub(crate) fn client(&self, client: &ClientId) -> String {
        let name = self.clients.get(client.as_str()).filter(|name| !name.trim().is_empty());
        let short = name.map(|name| name.chars().take(NAME_CHARS_MAX).collect::<String>());
        with(short.map(|name| format!("\"{}\"", visible(&name))).as_ref(), client.as_str())
    }

    /// Returns whether the names of both are known, if they have names. If not, the lists may be older than the record.
    pub(crate) fn know(&self, subject: Option<&Subject>, client: Option<&ClientId>) -> bool {
        let user =
            |subject: &Subject| !matches!(subject, Subject::User(_)) || self.users.contains_key(&subject.to_string());
        // A client with a metadata document, or of an external authorization server, has no name in the list.
        let client_is = |client: &ClientId| client.as_str().contains(':') || self.clients.contains_key(client.as_str());
        subject.is_none_or(user) && client.is_none_or(client_is)
    }
}

fn with(name: Option<&String>, id: &str) -> String {
    name.map_or_else(|| id.to_owned(), |name| format!("{name} ({id})"))
}
