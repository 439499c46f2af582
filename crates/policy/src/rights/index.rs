//! Which policies can concern one subject at one server: the others are never evaluated.

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
use crate::task::ArgumentScope;

/// One policy, with what is known of it from reading it once.
#[derive(Debug, Clone)]
pub(super) struct Indexed {
    /// As it was written.
    pub(super) policy: Policy,
    /// As it is evaluated: what it takes away is widened.
    pub(super) spelled: Policy,
    /// Its widened form, if it permits and asks for a person or a task by URI or name.
    pub(super) mark: Option<Policy>,
    pub(super) rule: RuleId,
    pub(super) uses: Uses,
    pub(super) approval: bool,
    pub(super) task_required: bool,
    pub(super) reason: Option<String>,
    /// The same policy without its conditions, if it permits and looks at arguments: for lists.
    pub(super) open: Option<Policy>,
    /// At which arguments it looks, if it looks at any.
    pub(super) looking: Option<Looking>,
}

/// See [`Indexed::looking`].
#[derive(Debug, Clone)]
pub(super) struct Looking {
    pub(super) looks: Looks,
    /// Permits where the policy could apply with some arguments.
    pub(super) guard: Policy,
}

/// All policies, by the server or the group of servers that their scope names.
#[derive(Debug, Default)]
pub(super) struct Index {
    policies: Vec<Indexed>,
    /// By the entity of the scope: a server, a group of servers.
    named: HashMap<EntityUid, Vec<usize>>,
    /// By the server of a tool, a resource or a prompt that the scope names.
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

    /// The reasons of those of these rules that forbid, if there are any.
    pub(super) fn forbidding(&self, rules: &[RuleId]) -> Option<Vec<String>> {
        let named = self.policies.iter().filter(|known| rules.contains(&known.rule));
        let forbidding: Vec<_> = named.filter(|known| known.policy.effect() == Effect::Forbid).collect();
        (!forbidding.is_empty()).then(|| forbidding.iter().filter_map(|known| known.reason.clone()).collect())
    }

    /// The policies that can concern this subject (`around`: itself and its groups) at this server (`at`: itself and
    /// its groups).
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
    /// Widened rules that ask for a person or a task: where one fits a permitted call, that is asked.
    marks: PolicySet,
    open_marks: PolicySet,
    /// The tools and prompts that some scope names, folded.
    singled_out: HashSet<String>,
    /// Whether some scope names a resource.
    singles_out_resources: bool,
    /// Whether some rule permits to read resources or to get prompts that it names.
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
        // The same identifier twice cannot be: loading refuses it.
        let _ = self.closed.add(indexed.spelled.clone());
        let open = match (&indexed.open, indexed.uses.arguments, indexed.policy.effect()) {
            (Some(open), ..) => Some((open, Uses::default())),
            // What forbids some arguments leaves others.
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

    /// The policies to ask, and what they look at.
    ///
    /// For a list the question is whether there are any arguments with which something may be called: a policy that
    /// permits by arguments could, and one that forbids by arguments need not.
    pub(super) fn asked(&self, asked: ArgumentScope) -> (&PolicySet, Uses) {
        match asked {
            ArgumentScope::Any => (&self.open, self.open_uses),
            ArgumentScope::This => (&self.closed, self.closed_uses),
        }
    }

    /// Whether an answer depends on which of the server's tools, resources or prompts this is, and not on its class
    /// alone. Where it does not, one answer is good for all of its class: a list costs a few evaluations.
    pub(super) fn tells_apart(&self, target: &Target) -> bool {
        // The policies that are asked for lists look at nothing beyond what those for calls do.
        self.closed_uses.identity
            || match target {
                Target::Resource { .. } => self.singles_out_resources,
                Target::Prompt { name } | Target::Tool { name, .. } => {
                    !self.singled_out.is_empty() && self.singled_out.contains(fold(name).as_ref())
                }
                Target::Checkpoint { .. } | Target::Job { .. } | Target::Server => false,
            }
    }

    /// Whether some resource or prompt may be read that only its rule knows by name.
    pub(super) fn reads_by_name(&self) -> bool {
        self.reads_by_name
    }

    /// The marks to look for, if there are any.
    pub(super) fn marks(&self, asked: ArgumentScope) -> Option<&PolicySet> {
        let marks = match asked {
            ArgumentScope::Any => &self.open_marks,
            ArgumentScope::This => &self.marks,
        };
        (!marks.is_empty()).then_some(marks)
    }

    /// The same, and what was lent for this very call.
    pub(super) fn with(&self, lent: &[&RightsLoan], template: &Template, terms: &Terms) -> Self {
        let mut with = self.clone();
        for set in [&mut with.closed, &mut with.open] {
            // Neither can be there already: rules of that name are refused at load.
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

    /// What the marks of a permitted call ask for beside what its rules do.
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

    /// Lets a permitted call be asked for what these rules ask.
    fn ask(answer: &mut Answer, mut rules: Vec<&Indexed>) {
        rules.sort_by(|one, other| one.rule.text().cmp(&other.rule.text()));
        for known in rules {
            if known.approval && answer.approval.is_none() {
                answer.approval = Some(known.rule.clone());
                // The reason of the rule that asks is what the person reads.
                answer.reasons.splice(0..0, known.reason.clone());
            }
            if known.task_required && answer.task_required.is_none() {
                answer.task_required = Some(known.rule.clone());
            }
        }
    }

    /// The rule that could not be evaluated.
    fn failed(&self, error: &AuthorizationError) -> RuleId {
        match error {
            AuthorizationError::PolicyEvaluationError(error) => {
                let known = self.known.get(error.policy_id());
                known.map_or_else(|| RuleId::read(error.policy_id().as_ref()), |known| known.rule.clone())
            }
        }
    }

    /// The policies that look for an argument that is there in a form that they cannot compare.
    pub(super) fn clashing(&self, arguments: &Arguments<'_>, schema: Option<&ToolSchema>) -> Vec<Clashing<'_>> {
        let loose = arguments.loose();
        let looking = self.known.values().filter_map(|known| Some((known, known.looking.as_ref()?)));
        let clashing = looking.filter_map(|(known, looking)| {
            let argument = looking.looks.clash(arguments, &loose, schema)?;
            Some(Clashing { known, guard: &looking.guard, argument })
        });
        clashing.collect()
    }

    /// What an evaluation came to. `unread`: policies that could apply, and could not compare an argument. One that
    /// forbids does; one that permits does not, and what it wants beside, an approval or a task, is still wanted.
    pub(super) fn read(&self, response: &Response, asked: ArgumentScope, unread: &[Clashing<'_>]) -> Answer {
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
        // For a list, a rule that looks at arguments wants its task for some of them only, unless all rules do.
        let all_want = determining.iter().all(|known| known.task_required);
        let task_required = match asked {
            ArgumentScope::Any if !all_want => wants(|known| known.task_required && !known.uses.arguments),
            ArgumentScope::Any | ArgumentScope::This => wants(|known| known.task_required),
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
