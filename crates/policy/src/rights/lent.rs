//! Access that owners lent: one Cedar template, which is linked for every loan.
//!
//! A link is evaluated only if the loan is for this very call: its subject, client, task, tool and arguments, before it
//! expires. A policy that forbids beats a loan like any other permission.

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
use crate::task::WhichArguments;

const TEMPLATE: &str = r#"permit(principal == ?principal, action == Action::"call", resource == ?resource);"#;

/// Access to one tool that an owner lent.
#[derive(Debug, Clone, PartialEq)]
pub struct RightsLoan {
    /// The identifier.
    pub id: LoanId,
    /// The subject that gets it.
    pub subject: Subject,
    /// The only client through which it may be used.
    pub client: ClientId,
    /// The only task in which it may be used, if it is for one.
    pub task: Option<TaskId>,
    /// The server of the tool.
    pub server: ServerName,
    /// The tool.
    pub tool: String,
    /// The bounds on its arguments, as a JSON Schema; `None` allows any. A loan whose bounds cannot be read allows
    /// nothing.
    pub bounds: Option<Value>,
    /// When it ends.
    pub expires: Timestamp,
}

impl RightsLoan {
    /// Returns the rule that records and explanations name.
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

/// All loans, by subject and server.
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
            // Bounds were checked when they were made. A loan whose bounds cannot be read now allows nothing.
            let Ok(bounds) = bounds.transpose() else { continue };
            all.entry((lent.subject.clone(), lent.server.clone())).or_default().push(Loan { lent, bounds });
        }
        Self { template, loans: all }
    }

    /// Returns the loans that allow this call.
    pub(super) fn to(
        &self,
        principal: Principal<'_>,
        authority: &Authority,
        call: &Call,
        asked: WhichArguments,
        now: Timestamp,
    ) -> Vec<&RightsLoan> {
        let fits = |bounds: &Option<Bounds>| match (bounds, asked) {
            (None, _) | (Some(_), WhichArguments::Any) => true,
            (Some(bounds), WhichArguments::This) => bounds.check(call.arguments.as_deref()).is_ok(),
        };
        let own = self.of(principal, authority, call, now).filter(|loan| fits(&loan.bounds));
        own.map(|loan| &loan.lent).collect()
    }

    /// Returns the bound of the newest loan for such a call that these arguments do not keep.
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

    /// Returns the loans for such a call, whatever its arguments are.
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
