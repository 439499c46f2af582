//! Selects the policies that can concern one subject at one server; the others are never evaluated.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    ActionConstraint, AuthorizationError, Decision, Effect, EntityUid, Policy, PolicyId, PolicySet,
    PrincipalConstraint, ResourceConstraint, Response, SlotId, Template,
};
use sekisho_protocol::audit::RuleId;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::text::fold;

use super::answer::{Answer, Unread};
use super::arguments::Arguments;
use super::lent::RightsLoan;
use super::looks::Looks;
use super::request::Terms;
use super::uses::Uses;
use crate::model::Target;
use crate::schema::ToolSchema;
use crate::task::WhichArguments;

/// One policy, with what was found out when it was loaded.
#[derive(Debug, Clone)]
pub(super) struct Indexed {
    /// The policy as it was written.
    pub(super) policy: Policy,
    /// The policy as it is evaluated: comparisons that take something away are widened.
    pub(super) spelled: Policy,
    /// The widened form of a policy that permits by URI or name and requires an approval or a task.
    pub(super) mark: Option<Policy>,
    pub(super) rule: RuleId,
    pub(super) uses: Uses,
    pub(super) approval: bool,
    pub(super) task_required: bool,
    pub(super) reason: Option<String>,
    /// The same policy without its conditions, for lists; only if it permits and looks at arguments.
    pub(super) open: Option<Policy>,
    /// The arguments that it looks at, if any.
    pub(super) looking: Option<Looking>,
}

/// See [`Indexed::looking`].
#[derive(Debug, Clone)]
pub(super) struct Looking {
    pub(super) looks: Looks,
    /// A policy that permits if this one could apply with some arguments.
    pub(super) guard: Policy,
}

/// All policies, by the server or the group of servers that their scope names.
#[derive(Debug, Default)]
pub(super) struct Index {
    policies: Vec<Indexed>,
    /// The policies whose scope names a server or a group of servers, by that entity.
    named: HashMap<EntityUid, Vec<usize>>,
    /// The policies whose scope names a tool, a resource or a prompt, by its server.
    inside: HashMap<String, Vec<usize>>,
    anywhere: Vec<usize>,
}

impl Index {
    pub(super) fn new(policies: Vec<Indexed>) -> Self {
        let mut index = Self { policies, ..Self::default() };
        for (at, indexed) in index.policies.iter().enumerate() {
            match indexed.policy.resource_constraint() {
                ResourceConstraint::Any | ResourceConstraint::Is(_) => index.anywhere.push(at),
                ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => {
                    match uid.type_name().basename() {
                        "Tool" | "Resource" | "Prompt" => {
                            let server = uid.id().unescaped().split('/').next().unwrap_or_default().to_owned();
                            index.inside.entry(server).or_default().push(at);
                        }
                        _ => index.named.entry(uid).or_default().push(at),
                    }
                }
            }
        }
        index
    }

    /// Returns the reasons of those of these rules that forbid, if there are any.
    pub(super) fn forbidding(&self, rules: &[RuleId]) -> Option<Vec<String>> {
        let named = self.policies.iter().filter(|known| rules.contains(&known.rule));
        let forbidding: Vec<_> = named.filter(|known| known.policy.effect() == Effect::Forbid).collect();
        (!forbidding.is_empty()).then(|| forbidding.iter().filter_map(|known| known.reason.clone()).collect())
    }

    /// Returns the policies that can concern this subject at this server. `around` holds the subject and its groups,
    /// `at` the server and its groups.
    pub(super) fn slice(&self, around: &[EntityUid], at: &[EntityUid], server: &ServerName) -> Slice {
        let lists = at.iter().filter_map(|uid| self.named.get(uid));
        let lists = lists.chain(self.inside.get(server.as_str())).chain(std::iter::once(&self.anywhere));
        let mut slice = Slice::default();
        for indexed in lists.flatten().filter_map(|at| self.policies.get(*at)) {
            if concerns(&indexed.policy, around) {
                slice.add(indexed);
            }
        }
        slice
    }
}

fn concerns(policy: &Policy, around: &[EntityUid]) -> bool {
    let is = |kind: &cedar_policy::EntityTypeName| around.first().is_some_and(|own| own.type_name() == kind);
    match policy.principal_constraint() {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) => around.contains(&uid),
        PrincipalConstraint::Is(kind) => is(&kind),
        PrincipalConstraint::IsIn(kind, uid) => is(&kind) && around.contains(&uid),
    }
}

fn reads_by_name(indexed: &Indexed) -> bool {
    let is_read = |action: &EntityUid| matches!(action.id().unescaped(), "get" | "read");
    let reads = match indexed.policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(action) => is_read(&action),
        ActionConstraint::In(actions) => actions.iter().any(is_read),
    };
    let (named, of_kind) = match indexed.policy.resource_constraint() {
        ResourceConstraint::Any => (false, true),
        ResourceConstraint::Is(kind) | ResourceConstraint::IsIn(kind, _) if kind.basename() == "Tool" => (false, false),
        ResourceConstraint::Is(_) => (false, true),
        ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => {
            let kind = uid.type_name().basename();
            (matches!(kind, "Prompt" | "Resource"), kind != "Tool")
        }
    };
    indexed.policy.effect() == Effect::Permit && reads && of_kind && (named || indexed.uses.identity)
}

/// The policies for one subject at one server.
#[derive(Debug, Clone, Default)]
pub(super) struct Slice {
    closed: PolicySet,
    closed_uses: Uses,
    open: PolicySet,
    open_uses: Uses,
    known: HashMap<PolicyId, Indexed>,
    /// The widened forms of rules that require an approval or a task. If one matches a permitted call, the call needs
    /// that.
    marks: PolicySet,
    open_marks: PolicySet,
    /// The tools and prompts that the scope of a policy names, folded.
    singled_out: HashSet<String>,
    /// Whether the scope of a policy names a resource.
    singles_out_resources: bool,
    /// Whether some rule permits reading resources or getting prompts that it names.
    reads_by_name: bool,
    /// The rules of loans, whose policies are linked and not indexed.
    lent: Vec<RuleId>,
}

impl Slice {
    fn add(&mut self, indexed: &Indexed) {
        if let ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) =
            indexed.policy.resource_constraint()
            && let Some((_, name)) = uid.id().unescaped().split_once('/')
        {
            self.singled_out.insert(fold(name).into_owned());
            self.singles_out_resources |= uid.type_name().basename() == "Resource";
        }
        self.closed_uses = self.closed_uses.and(indexed.uses);
        self.reads_by_name |= reads_by_name(indexed);
        // The same identifier cannot occur twice: loading refuses it.
        let _ = self.closed.add(indexed.spelled.clone());
        let open = match (&indexed.open, indexed.uses.arguments, indexed.policy.effect()) {
            (Some(open), ..) => Some((open, Uses::default())),
            // A policy that forbids some arguments leaves others.
            (None, true, Effect::Forbid) => None,
            (None, ..) => Some((&indexed.spelled, indexed.uses)),
        };
        if let Some(mark) = &indexed.mark {
            let _ = self.marks.add(mark.clone());
            if !indexed.uses.arguments {
                self.open_uses = self.open_uses.and(indexed.uses);
                let _ = self.open_marks.add(mark.clone());
            }
        }
        if let Some((policy, uses)) = open {
            self.open_uses = self.open_uses.and(uses);
            let _ = self.open.add(policy.clone());
        }
        self.known.insert(indexed.policy.id().clone(), indexed.clone());
    }

    /// Returns the policies to evaluate, and what they look at.
    ///
    /// For a list the question is whether any arguments are permitted: a policy that permits by arguments might allow
    /// some, and one that forbids by arguments need not forbid all.
    pub(super) fn asked(&self, asked: WhichArguments) -> (&PolicySet, Uses) {
        match asked {
            WhichArguments::Any => (&self.open, self.open_uses),
            WhichArguments::This => (&self.closed, self.closed_uses),
        }
    }

    /// Whether an answer depends on the name of the tool, resource or prompt, and not only on its class. If it does
    /// not, one answer holds for the whole class, so that a list costs only a few evaluations.
    pub(super) fn tells_apart(&self, target: &Target) -> bool {
        // The policies for lists look at nothing more than those for calls.
        self.closed_uses.identity
            || match target {
                Target::Resource { .. } => self.singles_out_resources,
                Target::Prompt { name } | Target::Tool { name, .. } => {
                    !self.singled_out.is_empty() && self.singled_out.contains(fold(name).as_ref())
                }
                Target::Checkpoint { .. } | Target::Job { .. } | Target::Server => false,
            }
    }

    /// Whether a resource or prompt may be read that only its rule knows by name.
    pub(super) fn reads_by_name(&self) -> bool {
        self.reads_by_name
    }

    /// Returns the marks to evaluate, if there are any.
    pub(super) fn marks(&self, asked: WhichArguments) -> Option<&PolicySet> {
        let marks = match asked {
            WhichArguments::Any => &self.open_marks,
            WhichArguments::This => &self.marks,
        };
        (!marks.is_empty()).then_some(marks)
    }

    /// Returns the same selection with the loans for this very call.
    pub(super) fn with(&self, lent: &[&RightsLoan], template: &Template, terms: &Terms) -> Self {
        let mut with = self.clone();
        for set in [&mut with.closed, &mut with.open] {
            // Neither can be there already: loading refuses rules with such names.
            let _ = set.add_template(template.clone());
            for loan in lent {
                let slots = HashMap::from([
                    (SlotId::principal(), terms.subject(&loan.subject)),
                    (SlotId::resource(), terms.tool(&loan.server, &loan.tool)),
                ]);
                let _ = set.link(template.id().clone(), PolicyId::new(loan.rule().text()), slots);
            }
        }
        with.lent.extend(lent.iter().map(|loan| loan.rule()));
        with
    }

    /// Adds what the matching marks of a permitted call require.
    pub(super) fn mark(&self, answer: &mut Answer, response: &Response) {
        let broken = response.diagnostics().errors().map(|error| self.failed(error));
        let broken: Vec<RuleId> = broken.collect();
        if !broken.is_empty() {
            answer.permitted = false;
            answer.broken = broken.into();
            return;
        }
        let found = response.diagnostics().reason().filter_map(|id| self.known.get(id));
        Self::ask(answer, found.collect());
    }

    /// Adds the approval and the task that these rules require of a permitted call.
    fn ask(answer: &mut Answer, mut rules: Vec<&Indexed>) {
        rules.sort_by(|one, other| one.rule.text().cmp(&other.rule.text()));
        for known in rules {
            if known.approval && answer.approval.is_none() {
                answer.approval = Some(known.rule.clone());
                // The person reads the reason of the rule that requires the approval.
                answer.reasons.splice(0..0, known.reason.clone());
            }
            if known.task_required && answer.task_required.is_none() {
                answer.task_required = Some(known.rule.clone());
            }
        }
    }

    /// Returns the rule that could not be evaluated.
    fn failed(&self, error: &AuthorizationError) -> RuleId {
        match error {
            AuthorizationError::PolicyEvaluationError(error) => {
                let known = self.known.get(error.policy_id());
                known.map_or_else(|| RuleId::read(error.policy_id().as_ref()), |known| known.rule.clone())
            }
        }
    }

    /// Returns the policies that look for an argument that is there in a form that they cannot compare.
    pub(super) fn clashing(&self, arguments: &Arguments<'_>, schema: Option<&ToolSchema>) -> Vec<Clashing<'_>> {
        let loose = arguments.loose();
        let looking = self.known.values().filter_map(|known| Some((known, known.looking.as_ref()?)));
        let clashing = looking.filter_map(|(known, looking)| {
            let argument = looking.looks.clash(arguments, &loose, schema)?;
            Some(Clashing { known, guard: &looking.guard, argument })
        });
        clashing.collect()
    }

    /// Reads the result of an evaluation. `unread` holds the policies that could apply but could not compare an
    /// argument. Such a `forbid` forbids and such a `permit` does not permit, but an approval or a task that it
    /// requires is still required.
    pub(super) fn read(&self, response: &Response, asked: WhichArguments, unread: &[Clashing<'_>]) -> Answer {
        let allowed = response.decision() == Decision::Allow;
        let diagnostics = response.diagnostics();
        let broken: Vec<RuleId> = diagnostics.errors().map(|error| self.failed(error)).collect();
        let is_unread = |id: &PolicyId| unread.iter().any(|clashing| clashing.known.policy.id() == id);
        let counting = || diagnostics.reason().filter(|id| !(allowed && is_unread(id)));
        let forbidding = unread.iter().filter(|clashing| clashing.known.policy.effect() == Effect::Forbid);
        let forbidding: Vec<&Indexed> = forbidding.map(|clashing| clashing.known).collect();
        let permitted = allowed && broken.is_empty() && forbidding.is_empty() && counting().next().is_some();
        let mut determining: Vec<&Indexed> = match (allowed, permitted) {
            (true, false) if broken.is_empty() => unread.iter().map(|clashing| clashing.known).collect(),
            _ => counting().filter_map(|id| self.known.get(id)).chain(forbidding).collect(),
        };
        determining.sort_by(|one, other| one.rule.text().cmp(&other.rule.text()));
        let wanting = || determining.iter().copied().chain(unread.iter().map(|clashing| clashing.known));
        let wants = |is: fn(&Indexed) -> bool| wanting().find(|known| is(known)).map(|known| known.rule.clone());
        let mut because: Vec<RuleId> = determining.iter().map(|known| known.rule.clone()).collect();
        let lent = |id: &PolicyId| self.lent.iter().find(|rule| rule.text() == AsRef::<str>::as_ref(id)).cloned();
        because.extend(counting().filter_map(lent));
        because.dedup();
        // In a list, a rule that looks at arguments requires its task only for some of them, unless all rules require
        // one.
        let all_want = determining.iter().all(|known| known.task_required);
        let task_required = match asked {
            WhichArguments::Any if !all_want => wants(|known| known.task_required && !known.uses.arguments),
            WhichArguments::Any | WhichArguments::This => wants(|known| known.task_required),
        };
        Answer {
            permitted,
            approval: wants(|known| known.approval),
            task_required,
            reasons: determining.iter().filter_map(|known| known.reason.clone()).collect(),
            because: because.into(),
            broken: broken.into(),
            unread: unread.iter().map(Clashing::say).collect(),
        }
    }
}

/// A policy that cannot compare an argument.
pub(super) struct Clashing<'a> {
    pub(super) known: &'a Indexed,
    pub(super) guard: &'a Policy,
    argument: String,
}

impl Clashing<'_> {
    fn say(&self) -> Unread {
        Unread { rule: self.known.rule.clone(), argument: self.argument.clone() }
    }
}
