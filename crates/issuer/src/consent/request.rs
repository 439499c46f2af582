//! The request that a person answers: found again by its identifier, and seen from this browser.

use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::PendingId;
use sekisho_protocol::registration::Client;
use sekisho_protocol::server::ServerCard;
use sekisho_store::{Pending, StoreError, Tx};
use sekisho_web::Visit;
use sekisho_web::error::Fault;
use sekisho_web::session::{self, Session};

use crate::Issuer;
use crate::authorize::Prompt;
use crate::clients::{self, LookupError};
use crate::grant::{RequestStanding, request_standing};
use crate::redirect::ProvenRedirect;

/// Why a request cannot be shown or answered. The person sees a page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConsentError {
    #[error(transparent)]
    Client(#[from] LookupError),
    #[error("the form did not come from this browser's page for this request")]
    Forgery,
    #[error("the form cannot be read")]
    Malformed,
    #[error("the request was begun in another browser")]
    OtherBrowser,
    #[error("the request was answered, has expired, or never was")]
    RequestGone,
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl From<StoreError> for ConsentError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

/// An open request with everything that is known of it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) pending: Pending,
    pub(crate) client: Client,
    pub(crate) server: ServerCard,
    pub(crate) redirect: ProvenRedirect,
}

/// The open request of this name, seen from this browser.
pub(crate) async fn find(issuer: &Issuer, visit: &Visit, id: &str) -> Result<Request, ConsentError> {
    let id: PendingId = id.parse().map_err(|_| ConsentError::RequestGone)?;
    let mut tx = issuer.site.store.read().await?;
    let pending = tx.pendings().find(id).await?.ok_or(ConsentError::RequestGone)?;
    drop(tx);
    match request_standing(&pending, &visit.browser.token().digest(), visit.now) {
        RequestStanding::Open => {}
        RequestStanding::Answered | RequestStanding::Expired => return Err(ConsentError::RequestGone),
        RequestStanding::OtherBrowser => return Err(ConsentError::OtherBrowser),
    }
    let client = clients::find(issuer, visit, &pending.client).await?.client;
    // The client may have withdrawn the address since (ATK-32).
    let redirect = ProvenRedirect::prove(&client, Some(&pending.redirect_uri)).ok_or(ConsentError::RequestGone)?;
    let server = issuer.site.servers.borrow().find(&pending.server).cloned().ok_or(ConsentError::RequestGone)?;
    Ok(Request { pending, client, server, redirect })
}

/// `prompt=login`: the person proves who they are for this very request.
pub(super) fn needs_login(pending: &Pending, session: &Session) -> bool {
    Prompt::kept(&pending.prompt_flags).login && !session::is_fresh(session, pending.created_at)
}

/// What the grant page is about: this request, and these definitions of the tools on it. A tool that changes while
/// the owner reads makes the form worthless (ATK-76).
pub(super) fn about_grant(pending: &Pending, tools: &[Tool]) -> String {
    let parts: Vec<&[u8]> =
        tools.iter().flat_map(|tool| [tool.name.as_bytes(), tool.seen.as_bytes().as_slice()]).collect();
    format!("{} {}", pending.id, Digest::of_list(&parts))
}

/// The tools that the owner's first consent classifies (product §4, Scopes); none on any other consent.
pub(super) async fn tools_to_classify(
    tx: &mut Tx,
    request: &Request,
    session: &Session,
) -> Result<Vec<Tool>, StoreError> {
    if !request.server.classify_at_consent || !session.user.role.owns() {
        return Ok(Vec::new());
    }
    let row = tx.servers().find(&request.server.name).await?;
    if row.is_none_or(|row| row.first_consent_at.is_some()) {
        return Ok(Vec::new());
    }
    let mut tools = tx.catalogue().list(&request.server.name).await?;
    tools.retain(|tool| !tool.is_held());
    Ok(tools)
}
