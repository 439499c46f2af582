//! Finds the refused call or the request that a page is about, for those who may see it.

use sekisho_acts::reading::is_alive;
use sekisho_protocol::audit::{Decision, Event, Verdict};
use sekisho_protocol::ids::{AccessRequestId, RequestId};
use sekisho_protocol::refusal::SetName;
use sekisho_store::{AccessRequest, AuditFilter, Loan, Tx};
use sekisho_web::Visit;
use sekisho_web::error::PageError;
use sekisho_web::place::Place;
use sekisho_web::session::Session;

use crate::own;

/// What a page is about, by the identifier in its path.
#[derive(Debug, Clone, Copy)]
pub(super) enum PageSubject {
    /// A call that was refused.
    Call(RequestId),
    /// A request for access.
    Request(AccessRequestId),
}

impl PageSubject {
    pub(super) fn read(id: &str) -> Result<Self, PageError> {
        let request = || id.parse().map(Self::Request);
        id.parse().map(Self::Call).or_else(|_| request()).map_err(|_| PageError::NotThere)
    }

    pub(super) fn place(self) -> Place {
        match self {
            Self::Call(id) => Place::Refused(id),
            Self::Request(id) => Place::Access(id),
        }
    }
}

/// A call that rights refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) decision: Decision,
    pub(super) tool: String,
}

/// Returns the refused call of this identifier, if it was made for the person who is signed in.
pub(super) async fn refused(
    tx: &mut Tx,
    visit: &Visit,
    call: RequestId,
    session: Session,
) -> Result<(Refused, Session), PageError> {
    let subject = own::subject(&session);
    let filter = AuditFilter { request: Some(call), ..AuditFilter::default() };
    let found = tx.audit().list(&filter).await?.into_iter().find_map(|stored| match stored.record.event {
        Event::Decision(decision)
            if decision.subject == subject
                && decision.verdict == Verdict::Deny
                && decision.set == Some(SetName::Rights)
                && decision.method == "tools/call" =>
        {
            let tool = decision.target.clone()?;
            Some(Refused { decision: *decision, tool })
        }
        _ => None,
    });
    let (refused, session) = own::only(found, session, Place::Refused(call))?;
    match refused.decision.grant {
        Some(grant) if is_alive(tx, grant, visit.now).await? => Ok((refused, session)),
        _ => Err(PageError::Ended),
    }
}

/// A request with its loan, for the user who asked and for owners.
pub(super) struct RequestAndLoan {
    pub(super) asked: AccessRequest,
    pub(super) loan: Option<Loan>,
    /// Whether its grant is alive.
    pub(super) alive: bool,
}

pub(super) async fn find(
    tx: &mut Tx,
    visit: &Visit,
    id: AccessRequestId,
    session: Session,
) -> Result<(RequestAndLoan, Session), PageError> {
    let subject = own::subject(&session);
    let found = tx.access_requests().find(id).await?;
    let found = found.filter(|asked| session.user.role.administers() || asked.subject == subject);
    let (asked, session) = own::only(found, session, Place::Access(id))?;
    let loan = match asked.loan {
        Some(loan) => tx.loans().find(loan).await?,
        None => None,
    };
    let alive = is_alive(tx, asked.grant, visit.now).await?;
    Ok((RequestAndLoan { asked, loan, alive }, session))
}

/// Whether this page offers to answer: to an owner, and to an administrator if it is not the administrator's own request. The
/// act asks again.
pub(super) fn may_answer(session: &Session, asked: &AccessRequest) -> bool {
    let role = session.user.role;
    role.owns() || (role.administers() && asked.subject != own::subject(session))
}
