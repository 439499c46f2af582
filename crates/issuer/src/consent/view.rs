//! What the pages show of a request.

use std::sync::Arc;

use sekisho_policy::grant::{grantable, grantable_of};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::registration::ClientOrigin;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_store::{StoreError, Tx};
use url::Url;

use super::{Request, tools_to_classify};
use crate::Issuer;
use crate::clients::{display_name, plain_text};
use crate::pages::{Ask, ScopeLine};
use crate::session::Session;
use crate::text::Sentence;
use crate::visit::Visit;

/// What this person may hand on of what is asked for (RS-39: `policy::grantable`, nothing more).
#[derive(Debug)]
pub(crate) struct Offer {
    /// What can be ticked.
    pub(crate) scopes: ScopeSet,
    /// Whether more was asked for.
    pub(crate) withheld: bool,
    /// The tools to classify on the way; empty on all but the owner's first consent.
    pub(crate) tools: Vec<Tool>,
}

/// Works out what this person may hand on.
pub(crate) async fn offer(
    issuer: &Issuer,
    tx: &mut Tx,
    request: &Request,
    session: &Session,
    now: Timestamp,
) -> Result<Offer, StoreError> {
    let rights = Arc::clone(&issuer.rights.borrow());
    let known = tx.catalogue().list(&request.server.name).await?;
    let most = grantable(&rights, &Subject::User(session.user.id), &request.server.name, &known, now);
    let scopes = grantable_of(&request.pending.scopes, &most);
    // `offline_access` alone is access to nothing.
    let scopes = if scopes.without(&Scope::offline_access()).is_empty() { ScopeSet::empty() } else { scopes };
    let withheld = scopes.len() < request.pending.scopes.len();
    let tools = if scopes.is_empty() { Vec::new() } else { tools_to_classify(tx, request, session).await? };
    Ok(Offer { scopes, withheld, tools })
}

/// The facts of a request for a page (PX-03, AS-35).
pub(crate) fn ask(visit: &Visit, request: &Request, scopes: &ScopeSet) -> Ask {
    let client_name = display_name(&request.client);
    let server_title = plain_text(&request.server.title, 80);
    let document_host = document_host(request);
    let note = match request.client.origin {
        ClientOrigin::Dynamic => Sentence::UnverifiedNote,
        ClientOrigin::MetadataDocument => Sentence::DocumentNote,
        ClientOrigin::Registered => Sentence::RegisteredNote,
    };
    Ask {
        pending: request.pending.id.to_string(),
        initial: initial(&client_name),
        client_id: request.client.id.to_string(),
        unverified: request.client.origin == ClientOrigin::Dynamic,
        origin_words: visit.language.around(note),
        origin_host: document_host.clone().unwrap_or_default(),
        document_host,
        redirect_host: request.redirect.host(),
        redirect_uri: request.redirect.as_str().to_owned(),
        warning: warning(request),
        server_initial: initial(&server_title),
        server_url: request.server.resource.as_str().to_owned(),
        scopes: scopes.iter().map(|scope| ScopeLine::new(visit.language, scope)).collect(),
        client_name,
        server_title,
    }
}

/// AS-35: the host that vouches for a document. It is the only part of such a client's identity that is proven.
fn document_host(request: &Request) -> Option<String> {
    if request.client.origin != ClientOrigin::MetadataDocument {
        return None;
    }
    let url = Url::parse(request.client.id.as_str()).ok()?;
    url.host_str().map(str::to_owned)
}

/// AS-36, ATK-07: whoever listens on this machine may not be who it says.
fn warning(request: &Request) -> Option<Sentence> {
    match (request.redirect.is_local(), request.redirect.is_private_scheme()) {
        (true, true) => Some(Sentence::SchemeWarning),
        (true, false) => Some(Sentence::LoopbackWarning),
        (false, _) => None,
    }
}

fn initial(name: &str) -> String {
    name.chars().find(|character| character.is_alphanumeric()).unwrap_or('?').to_uppercase().collect()
}
