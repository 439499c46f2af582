//! `/consent/{pending}`: the client page before anybody signed in, and the grant page, which alone makes a grant.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_protocol::catalogue::Tool;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::PendingId;
use sekisho_protocol::registration::{Client, ClientOrigin};
use sekisho_protocol::server::ServerCard;
use sekisho_store::{Pending, StoreError, Tx};
use sekisho_web::choice::{End, ToolLine};
use sekisho_web::error::Fault;
use sekisho_web::frame::{self, Chrome};
use sekisho_web::parameters::Form;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{self, FormKind, Session, form_token};
use sekisho_web::{Visit, door};

use crate::authorize::Prompt;
use crate::clients::{self, LookupError};
use crate::grant::{RequestStanding, request_standing};
use crate::pages::{ClientPage, GrantPage, ReturnPage};
use crate::redirect::ProvenRedirect;
use crate::{Issuer, error};

mod answer;
mod view;

pub(crate) use answer::Answer;
pub(crate) use view::Stay;

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

/// What a person is shown next.
enum Step {
    /// An answer that needs no person: remembered consent, or `prompt=none` without it.
    Answered(Answer),
    Client(Box<ClientPage>),
    Grant(Box<GrantPage>),
    /// The person has to sign in (again) for this.
    Login,
}

/// `GET /consent/{pending}`.
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>, visit: Visit, Path(id): Path<String>) -> Response {
    match next(&issuer, &visit, &id).await {
        Ok((request, Step::Client(page))) => {
            let target = request.redirect.form_target().unwrap_or_default();
            frame::entry_page(&visit, &issuer.site, &*page, &target)
        }
        Ok((request, Step::Grant(page))) => {
            let target = request.redirect.form_target().unwrap_or_default();
            frame::page(&visit, &issuer.site, StatusCode::OK, &*page, &target)
        }
        Ok((request, Step::Login)) => {
            frame::go(&issuer.site, &visit, &format!("/login?request={}", request.pending.id))
        }
        Ok((request, Step::Answered(answer))) => send(&issuer, &visit, &request, &answer),
        Err(error) => error::consent(&issuer, &visit, &error),
    }
}

/// `POST /consent/{pending}`: continue, approve or deny.
pub(crate) async fn decide(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    match answer::decide(&issuer, &visit, &id, &form).await {
        Ok((request, Answer::Continue)) => {
            frame::go(&issuer.site, &visit, &format!("/login?request={}", request.pending.id))
        }
        Ok((request, Answer::SignInFirst)) => {
            frame::go(&issuer.site, &visit, &format!("/consent/{}", request.pending.id))
        }
        Ok((request, answer)) => send(&issuer, &visit, &request, &answer),
        Err(error) => error::consent(&issuer, &visit, &error),
    }
}

/// Sends the person back to the client, or offers the way as a link where a browser would not follow the form there.
fn send(issuer: &Issuer, visit: &Visit, request: &Request, answer: &Answer) -> Response {
    let base_url = &issuer.site.settings.base_url;
    let state = request.pending.state.as_deref();
    let (what, target) = match answer {
        Answer::Approved(code) => {
            (Sentence::ReturnApproved, request.redirect.answer(base_url, state, &[("code", code.expose())]))
        }
        Answer::Denied(why) => {
            let words = [("error", why.code().as_str()), ("error_description", why.description())];
            (Sentence::ReturnDenied, request.redirect.answer(base_url, state, &words))
        }
        Answer::Continue | Answer::SignInFirst => {
            return frame::go(&issuer.site, visit, &format!("/consent/{}", request.pending.id));
        }
    };
    if request.redirect.form_target().is_some() {
        return frame::see_other(&target);
    }
    let page = ReturnPage {
        chrome: Chrome::new(&issuer.site, visit),
        title: Sentence::ReturnTitle,
        what,
        code: String::new(),
        detail: String::new(),
        target,
        host: request.redirect.host(),
    };
    frame::page(visit, &issuer.site, StatusCode::OK, &page, "")
}

/// Finds the request and what to show of it.
async fn next(issuer: &Issuer, visit: &Visit, id: &str) -> Result<(Request, Step), ConsentError> {
    let request = find(issuer, visit, id).await?;
    let mut tx = issuer.site.store.read().await?;
    let Some(session) = session::current(&mut tx, visit).await? else {
        let step = if Prompt::kept(&request.pending.prompt_flags).none {
            drop(tx);
            Step::Answered(answer::interaction_required(issuer, &request, visit).await?)
        } else {
            Step::Client(Box::new(client_page(issuer, visit, &request)))
        };
        return Ok((request, step));
    };
    if needs_login(&request.pending, &session) {
        return Ok((request, Step::Login));
    }
    let offer = view::offer(issuer, &mut tx, &request, &session, visit.now).await?;
    let remembered = answer::is_remembered(&mut tx, &request, &session, &offer).await?;
    drop(tx);
    let step = if remembered {
        Step::Answered(answer::approve_remembered(issuer, visit, &request, &session, &offer).await?)
    } else if Prompt::kept(&request.pending.prompt_flags).none {
        Step::Answered(answer::interaction_required(issuer, &request, visit).await?)
    } else {
        Step::Grant(Box::new(grant_page(issuer, visit, &request, &session, &offer)))
    };
    Ok((request, step))
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
fn needs_login(pending: &Pending, session: &Session) -> bool {
    Prompt::kept(&pending.prompt_flags).login && !session::is_fresh(session, pending.created_at)
}

fn client_page(issuer: &Issuer, visit: &Visit, request: &Request) -> ClientPage {
    let about = request.pending.id.to_string();
    let mut chrome = Chrome::new(&issuer.site, visit);
    chrome.entry = door::entry(&issuer.site, visit, &format!("/consent/{about}"));
    ClientPage {
        chrome,
        csrf: form_token(visit, None, FormKind::Client, &about).expose().to_owned(),
        ask: view::ask(visit, request, &request.pending.scopes),
    }
}

fn grant_page(issuer: &Issuer, visit: &Visit, request: &Request, session: &Session, offer: &view::Offer) -> GrantPage {
    let about = about_grant(&request.pending, &offer.tools);
    let mut ask = view::ask(visit, request, &offer.scopes);
    if !offer.again {
        // At first nobody hands on what cannot be undone without saying so.
        for line in &mut ask.scopes {
            line.ticked = !line.is_grave || offer.scopes.len() == 1;
        }
    }
    GrantPage {
        chrome: Chrome::new(&issuer.site, visit).with(visit, session, Some(request.pending.id.to_string())),
        csrf: form_token(visit, Some(session), FormKind::Grant, &about).expose().to_owned(),
        ask,
        withheld: offer.withheld && !offer.scopes.is_empty(),
        stay: offer.stay,
        session_hours: issuer.site.settings.session_ttl_seconds.div_ceil(60 * 60),
        tools: offer.tools.iter().map(ToolLine::new).collect(),
        narrow: offer.known.iter().map(|tool| view::tool_choice(tool, request.pending.task.as_ref())).collect(),
        task: request.pending.task.as_ref().map(|task| view::task_facts(visit.language, task)),
        templates: view::templates(visit.language, request, offer),
        ends: End::ALL,
        // A client of the operator's is let in until somebody ends it; one that nobody vouches for, for a month.
        chosen_end: if request.client.origin == ClientOrigin::Registered { End::Never } else { End::Month },
        figure: view::figure(visit, request, session, offer),
    }
}

/// What the grant page is about: this request, and these definitions of the tools on it. A tool that changes while
/// the owner reads makes the form worthless (ATK-76).
fn about_grant(pending: &Pending, tools: &[Tool]) -> String {
    let parts: Vec<&[u8]> =
        tools.iter().flat_map(|tool| [tool.name.as_bytes(), tool.seen.as_bytes().as_slice()]).collect();
    format!("{} {}", pending.id, Digest::of_list(&parts))
}

/// The tools that the owner's first consent classifies (product §4, Scopes); none on any other consent.
async fn tools_to_classify(tx: &mut Tx, request: &Request, session: &Session) -> Result<Vec<Tool>, StoreError> {
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
