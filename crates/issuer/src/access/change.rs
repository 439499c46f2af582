//! What a person does: ask an owner; and what an owner does: lend, refuse, take back.

use sekisho_policy::bounds::check_schema;
use sekisho_protocol::audit::{Authorization, AuthorizationAct};
use sekisho_protocol::env::after;
use sekisho_protocol::ids::{AccessRequestId, LoanId, RequestId};
use sekisho_store::{ACCESS_REASON_CHARS_MAX, AccessRequest, NewAccessRequest, StoreError, Tx};
use serde_json::Value;

use super::{Found, Named, find, may_answer, refused};
use crate::clients::plain_text;
use crate::own::{self, OwnError};
use crate::pages::End;
use crate::parameters::{Form, Parameters};
use crate::place::Place;
use crate::session::{self, FormKind, Session, is_ours};
use crate::text::Sentence;
use crate::visit::Visit;
use crate::{Issuer, records};

/// How long an owner has to answer, in seconds.
const REQUEST_SECONDS: u32 = 7 * 24 * 60 * 60;
/// The longest bounds, in bytes.
const BOUNDS_BYTES_MAX: usize = 16 * 1024;

/// Characters of what is said to be wrong with bounds.
const DETAIL_CHARS_MAX: usize = 300;

/// What somebody wrote into one of the forms.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) reason: String,
    pub(super) end: End,
    pub(super) bounds: String,
    /// What exactly is wrong with the bounds, if something is.
    pub(super) detail: String,
}

impl Default for Draft {
    fn default() -> Self {
        Self { reason: String::new(), end: End::Hour, bounds: String::new(), detail: String::new() }
    }
}

impl Draft {
    /// A loan always has an end.
    pub(super) const ENDS: [End; 3] = [End::Hour, End::Day, End::Week];

    fn read(form: &Parameters) -> Self {
        let text = |name: &str| form.one(name).unwrap_or_default().trim().to_owned();
        let end = form.one("end").unwrap_or_default();
        let end = Self::ENDS.into_iter().find(|choice| choice.word() == end).unwrap_or(End::Hour);
        Self { reason: text("reason"), end, bounds: text("bounds"), detail: String::new() }
    }

    /// The reason on one line.
    fn reason(&self) -> Result<String, Sentence> {
        let reason = plain_text(&self.reason, ACCESS_REASON_CHARS_MAX + 1);
        let fits = !reason.is_empty() && reason.chars().count() <= ACCESS_REASON_CHARS_MAX;
        if fits { Ok(reason) } else { Err(Sentence::ProblemReason) }
    }

    /// The bounds that the owner set, or else those that were asked for; or what is wrong with them. `definition`: what
    /// the tool promises.
    fn bounds(&self, asked: &AccessRequest, definition: Option<&str>) -> Result<Option<Value>, String> {
        if self.bounds.is_empty() {
            return Ok(asked.bounds.clone());
        }
        if self.bounds.len() > BOUNDS_BYTES_MAX {
            return Err(format!("longer than {BOUNDS_BYTES_MAX} bytes"));
        }
        let schema: Value = serde_json::from_str(&self.bounds).map_err(|error| error.to_string())?;
        check_schema(&asked.tool, &schema, definition).map_err(|error| error.to_string())?;
        Ok(Some(schema))
    }
}

/// What came of a form.
pub(super) enum Changed {
    /// Nothing yet: what was written, and what is wrong with it.
    Not(Draft, Sentence),
    /// It is done, and this is where to see it.
    Now(Place),
}

/// Reads which button it was, and does it.
pub(super) async fn change(issuer: &Issuer, visit: &Visit, id: &str, form: &Form) -> Result<Changed, OwnError> {
    let named = Named::read(id)?;
    let form = own::fields(form, &[])?;
    let mut tx = session::begin(issuer, visit).await?;
    let session = session::current(&mut tx, visit).await?.ok_or(OwnError::Forgery)?;
    let kind = match (named, form.one("decision")) {
        (Named::Call(_), Some("ask")) => FormKind::AskAccess,
        (Named::Request(_), Some("lend" | "refuse")) => FormKind::AnswerAccess,
        (Named::Request(_), Some("take-back")) => FormKind::TakeBack,
        _ => return Err(OwnError::Malformed),
    };
    if !is_ours(visit, Some(&session), kind, id, form.one("csrf")) {
        return Err(OwnError::Forgery);
    }
    let changed = match named {
        Named::Call(call) => ask(issuer, &mut tx, visit, (call, session), form).await?,
        Named::Request(id) => {
            let (found, session) = find(&mut tx, visit, id, session).await?;
            // Who asked may look, and others answer.
            if !may_answer(&session, &found.asked) {
                return Err(OwnError::NotYours { place: Place::Access(id), session: Box::new(session) });
            }
            match form.one("decision") {
                Some("lend") => lend(issuer, &mut tx, visit, (found, session), form).await?,
                Some("refuse") => refuse(issuer, &mut tx, visit, (found, session)).await?,
                _ => take_back(issuer, &mut tx, visit, (found, session)).await?,
            }
        }
    };
    if matches!(changed, Changed::Now(_)) {
        tx.commit().await?;
    }
    Ok(changed)
}

async fn ask(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    (call, session): (RequestId, Session),
    form: &Parameters,
) -> Result<Changed, OwnError> {
    let (refused, _) = refused(tx, visit, call, session).await?;
    let draft = Draft::read(form);
    let reason = match draft.reason() {
        Ok(reason) => reason,
        Err(problem) => return Ok(Changed::Not(draft, problem)),
    };
    let decision = refused.decision;
    let (Some(grant), Some(client)) = (decision.grant, decision.client) else { return Err(OwnError::Ended) };
    let new = NewAccessRequest {
        id: AccessRequestId::generate(visit.now, &*issuer.entropy),
        subject: decision.subject,
        client,
        grant,
        task: decision.task,
        server: decision.server,
        tool: refused.tool,
        bounds: None,
        reason,
        created_at: visit.now,
        expires_at: after(visit.now, REQUEST_SECONDS),
    };
    let asked = match tx.access_requests().file(&new).await {
        Ok(asked) => asked,
        Err(StoreError::Conflict { .. }) => return Err(OwnError::Ended),
        Err(StoreError::Full { .. }) => return Ok(Changed::Not(draft, Sentence::ProblemManyRequests)),
        Err(error) => return Err(error.into()),
    };
    let detail = format!("`{}`: `{}` for the call `{}`", asked.id, asked.tool, refused.call);
    records::append(issuer, tx, visit, entry(AuthorizationAct::AccessAsked, &asked, detail)).await?;
    Ok(Changed::Now(Place::Access(asked.id)))
}

async fn lend(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    (found, session): (Found, Session),
    form: &Parameters,
) -> Result<Changed, OwnError> {
    let asked = found.asked;
    let mut draft = Draft::read(form);
    let definition = tx.catalogue().definition(&asked.server, &asked.tool).await?;
    let bounds = match draft.bounds(&asked, definition.as_deref()) {
        Ok(bounds) => bounds,
        Err(why) => {
            draft.detail = plain_text(&why, DETAIL_CHARS_MAX);
            return Ok(Changed::Not(draft, Sentence::ProblemBounds));
        }
    };
    let end = after(visit.now, draft.end.seconds().unwrap_or(60 * 60));
    let loan = asked.loan_of(LoanId::generate(visit.now, &*issuer.entropy), bounds, end);
    if !tx.access_requests().grant(asked.id, &by(&session), &loan, visit.now).await? {
        return Err(OwnError::Ended);
    }
    let detail = format!("`{}`: `{}`, lent by `{}` as `{}` until {end}", asked.id, asked.tool, by(&session), loan.id);
    records::append(issuer, tx, visit, entry(AuthorizationAct::AccessLent, &asked, detail)).await?;
    Ok(Changed::Now(Place::Access(asked.id)))
}

async fn refuse(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    (found, session): (Found, Session),
) -> Result<Changed, OwnError> {
    let asked = found.asked;
    if !tx.access_requests().refuse(asked.id, &by(&session), visit.now).await? {
        return Err(OwnError::Ended);
    }
    let detail = format!("`{}`: `{}`, refused by `{}`", asked.id, asked.tool, by(&session));
    records::append(issuer, tx, visit, entry(AuthorizationAct::AccessRefused, &asked, detail)).await?;
    Ok(Changed::Now(Place::Access(asked.id)))
}

async fn take_back(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    (found, session): (Found, Session),
) -> Result<Changed, OwnError> {
    let asked = found.asked;
    let loan = asked.loan.ok_or(OwnError::Ended)?;
    if !tx.loans().revoke(loan, visit.now).await? {
        return Err(OwnError::Ended);
    }
    let detail = format!("`{loan}`: `{}`, taken back by `{}`", asked.tool, by(&session));
    records::append(issuer, tx, visit, entry(AuthorizationAct::AccessTakenBack, &asked, detail)).await?;
    Ok(Changed::Now(Place::Access(asked.id)))
}

/// An owner, for the records.
fn by(session: &Session) -> String {
    session.user.id.to_string()
}

fn entry(act: AuthorizationAct, asked: &AccessRequest, detail: String) -> Authorization {
    Authorization {
        subject: Some(asked.subject.clone()),
        client: Some(asked.client.clone()),
        server: Some(asked.server.clone()),
        grant: Some(asked.grant),
        detail,
        ..records::entry(act)
    }
}
