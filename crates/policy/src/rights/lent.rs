//! Access that owners lent: one Cedar template, linked for every loan.
//!
//! A link is asked only where the loan is for this very call: its subject, client, task, tool and arguments, before its
//! end. A policy that forbids beats it like any other permission.

use std::collections::HashMap;

use cedar_policy::{PolicyId, Template};
use sekisho_protocol::audit::RuleId;
use sekisho_protocol::caller::{Principal, Subject};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, LoanId, ServerName, TaskId};
use serde_json::Value;

use crate::bounds::Bounds;
use crate::model::{Authority, Call, Target};
use crate::schema::Violation;
use crate::task::ArgumentScope;

const TEMPLATE: &str = r#"permit(principal == ?principal, action == Action::"call", resource == ?resource);"#;

/// Access to one tool that an owner lent.
#[derive(Debug, Clone, PartialEq)]
pub struct RightsLoan {
    /// The identifier.
    pub id: LoanId,
    /// To whom.
    pub subject: Subject,
    /// For use by which client, and by no other through it.
    pub client: ClientId,
    /// For which task only.
    pub task: Option<TaskId>,
    /// At which server.
    pub server: ServerName,
    /// Which tool.
    pub tool: String,
    /// With which arguments: a JSON Schema; `None` for any. One that cannot be checked lends nothing.
    pub bounds: Option<Value>,
    /// When it ends.
    pub expires: Timestamp,
}

impl RightsLoan {
    /// The rule that it is in records and explanations.
    pub(super) fn rule(&self) -> RuleId {
        RuleId::Loan(self.id)
    }

    fn is_for(&self, principal: Principal<'_>, authority: &Authority, call: &Call, now: Timestamp) -> bool {
        let direct = principal.path.is_some_and(|path| path.hops() == std::slice::from_ref(&self.client));
        let tool = matches!(&call.target, Target::Tool { name, .. } if *name == self.tool);
        let task = self.task.is_none_or(|id| authority.need.tasks().any(|task| task.id == id));
        now < self.expires && tool && task && direct
    }
}

/// All loans, by whom and where.
#[derive(Debug)]
pub(super) struct Lent {
    pub(super) template: Template,
    loans: HashMap<(Subject, ServerName), Vec<Loan>>,
}

#[derive(Debug)]
struct Loan {
    lent: RightsLoan,
    bounds: Option<Bounds>,
}

impl Lent {
    pub(super) fn new(loans: Vec<RightsLoan>) -> Self {
        #[expect(clippy::expect_used, reason = "a constant, and every loan of the tests goes through it")]
        let template = Template::parse(Some(PolicyId::new(RuleId::LOAN_PREFIX)), TEMPLATE).expect("a template");
        let mut all: HashMap<_, Vec<Loan>> = HashMap::new();
        for lent in loans {
            let bounds = lent.bounds.as_ref().map(|schema| Bounds::read(&lent.tool, schema));
            // Checked when it was lent; what cannot be checked now lends nothing.
            let Ok(bounds) = bounds.transpose() else { continue };
            all.entry((lent.subject.clone(), lent.server.clone())).or_default().push(Loan { lent, bounds });
        }
        Self { template, loans: all }
    }

    /// The loans that are for this call.
    pub(super) fn to(
        &self,
        principal: Principal<'_>,
        authority: &Authority,
        call: &Call,
        asked: ArgumentScope,
        now: Timestamp,
    ) -> Vec<&RightsLoan> {
        let fits = |bounds: &Option<Bounds>| match (bounds, asked) {
            (None, _) | (Some(_), ArgumentScope::Any) => true,
            (Some(bounds), ArgumentScope::This) => bounds.check(call.arguments.as_deref()).is_ok(),
        };
        let own = self.of(principal, authority, call, now).filter(|loan| fits(&loan.bounds));
        own.map(|loan| &loan.lent).collect()
    }

    /// The bound of the newest loan for such a call that these arguments do not keep.
    pub(super) fn beyond(
        &self,
        principal: Principal<'_>,
        authority: &Authority,
        call: &Call,
        now: Timestamp,
    ) -> Option<Box<Violation>> {
        let newest = self.of(principal, authority, call, now).max_by_key(|loan| loan.lent.id)?;
        newest.bounds.as_ref()?.check(call.arguments.as_deref()).err()
    }

    /// The loans for such a call, whatever its arguments are.
    fn of<'l, 'c>(
        &'l self,
        principal: Principal<'c>,
        authority: &'c Authority,
        call: &'c Call,
        now: Timestamp,
    ) -> impl Iterator<Item = &'l Loan> {
        let any = !self.loans.is_empty();
        let own = any.then(|| self.loans.get(&(principal.subject.clone(), call.server.clone()))).flatten();
        own.into_iter().flatten().filter(move |loan| loan.lent.is_for(principal, authority, call, now))
    }
}
