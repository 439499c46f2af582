//! `/consent/{pending}`: the client page before the login, and the grant page, which alone makes a grant.

use sekisho_protocol::registration::ClientOrigin;
use sekisho_web::choice::{End, ToolLine};
use sekisho_web::frame::Chrome;
use sekisho_web::session::{self, FormKind, Session, form_token};
use sekisho_web::{Visit, door};

use crate::Issuer;
use crate::authorize::Prompt;
use crate::pages::{ClientPage, GrantPage};

mod answer;
mod listing;
mod request;
mod stay;
mod view;

pub(crate) use answer::{Answer, decide};
pub use listing::ListingRequest;
pub(crate) use request::{ConsentError, Request, find};
pub(crate) use stay::Stay;

use listing::Listing;
use request::{about_grant, needs_login};

/// The next step of a person.
pub(crate) enum Step {
    /// An answer that needs no person: remembered consent, or `prompt=none` without it.
    Answered(Answer),
    Client(Box<ClientPage>),
    Grant(Box<GrantPage>),
    /// The person has to sign in (again) for this.
    Login,
}

/// Finds the request and what to show of it.
pub(crate) async fn next(issuer: &Issuer, visit: &Visit, id: &str) -> Result<(Request, Step), ConsentError> {
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
        let offer = learned(issuer, visit, &request, &session, offer).await?;
        Step::Grant(Box::new(grant_page(issuer, visit, &request, &session, &offer)))
    };
    Ok((request, step))
}

/// The offer with the server's tools in it. If none is known, the server is asked for them first; nobody who has no right
/// there can cause that.
async fn learned(
    issuer: &Issuer,
    visit: &Visit,
    request: &Request,
    session: &Session,
    offer: view::Offer,
) -> Result<view::Offer, ConsentError> {
    let server = &request.server.name;
    if offer.listing != Listing::Unknown || offer.scopes.is_empty() || !listing::ask(&issuer.listings, server).await {
        return Ok(offer);
    }
    let mut tx = issuer.site.store.read().await?;
    Ok(view::offer(issuer, &mut tx, request, session, visit.now).await?)
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
        // At a first consent, scopes for what cannot be undone are not ticked beforehand.
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
        tools_note: view::tools_note(visit.language, offer),
        unclassified: view::unclassified(request, session, offer),
        narrow: offer.known.iter().map(|tool| view::tool_choice(tool, request.pending.task.as_ref())).collect(),
        task: request.pending.task.as_ref().map(|task| view::task_facts(visit.language, task)),
        templates: view::templates(visit.language, request, offer),
        ends: End::ALL,
        // A grant to a client that an operator registered has no end by default. One to any other client ends after a month.
        chosen_end: if request.client.origin == ClientOrigin::Registered { End::Never } else { End::Month },
        figure: view::figure(visit, request, session, offer),
    }
}
