//! Rights: what a subject may do at a server, independent of any grant.
//!
//! Every right is a Cedar policy: those in the policy files, those made from the short words of the configuration
//! (owner, `everyone`, `users`, `access = "public"`), and those of the owners' loans. What no policy permits is
//! refused; a `forbid` beats every `permit`; a policy that cannot be evaluated denies.
//!
//! The cost of a question does not grow with the number of policies: those that cannot concern this subject at this
//! server are left out beforehand (`index`), and an answer that depends on neither arguments nor time is kept. All of
//! this belongs to one [`Rights`], which is made anew on every change, so there is nothing to invalidate.

mod answer;
mod arguments;
mod index;
mod lent;
mod load;
mod looks;
mod names;
mod parts;
mod request;
mod spelling;
mod uses;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use cedar_policy::{Authorizer, Decision, Entities, PolicySet, Request};
use quick_cache::sync::Cache;
use sekisho_protocol::caller::{ActorPath, Principal, Subject};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ServerName, UserId};

use crate::case::Case;
use crate::model::{Authority, Call, Target, ToolState, Trust};
use crate::schema::Violation;
use crate::task::WhichArguments;
use arguments::Arguments;
use index::{Clashing, Index, Slice};
use lent::Lent;
use request::{Question, Terms};

pub use answer::{Answer, Unread};
pub use lent::RightsLoan;
pub use load::{Fault, Span, format_policies, schema_text, warnings};
pub use names::{NameOf, NameUse, names};
pub use parts::{OWNERS, PolicyFile, RightsParts, RightsServer, RightsUser};
pub use sekisho_protocol::audit::RuleId;

/// The most answers that are kept; each takes about 200 bytes.
const ANSWERS_MAX: usize = 100_000;
/// The most selections of policies that are kept: one for each subject at each server.
const SLICES_MAX: usize = 10_000;

/// The circumstances of a call that some rules look at. If one of them is not known of a call, check this before the
/// call is judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    /// The arguments.
    pub arguments: bool,
    /// The path, and the trust of the clients on it.
    pub path: bool,
    /// The address that the call came from.
    pub source: bool,
    /// The task that it is part of.
    pub task: bool,
}

/// The rights in force. Made anew when users, configuration or policies change; never changed in place.
pub struct Rights {
    users: BTreeMap<UserId, RightsUser>,
    servers: BTreeMap<ServerName, RightsServer>,
    index: Index,
    lent: Lent,
    terms: Terms,
    authorizer: Authorizer,
    slices: Cache<(Subject, ServerName), Arc<Slice>>,
    answers: Cache<Key, Arc<Answer>>,
    odd: Vec<Fault>,
}

impl fmt::Debug for Rights {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Rights")
            .field("users", &self.users.len())
            .field("servers", &self.servers.len())
            .finish_non_exhaustive()
    }
}

impl Rights {
    /// Reads and checks all parts. Reports all mistakes at once.
    pub fn new(parts: RightsParts) -> Result<Self, Vec<Fault>> {
        let terms = Terms::new();
        let (policies, odd) = load::policies(&parts, &terms)?;
        Ok(Self {
            odd,
            index: Index::new(policies),
            lent: Lent::new(parts.loans),
            users: parts.users,
            servers: parts.servers,
            terms,
            authorizer: Authorizer::new(),
            slices: Cache::new(SLICES_MAX),
            answers: Cache::new(ANSWERS_MAX),
        })
    }

    /// Returns rights by which nobody may do anything.
    pub fn none() -> Self {
        let terms = Terms::new();
        Self {
            index: Index::new(Vec::new()),
            lent: Lent::new(Vec::new()),
            users: BTreeMap::new(),
            servers: BTreeMap::new(),
            terms,
            authorizer: Authorizer::new(),
            slices: Cache::new(SLICES_MAX),
            answers: Cache::new(ANSWERS_MAX),
            odd: Vec::new(),
        }
    }

    /// Returns what is in force but probably not meant. It is reported on loading, and is no reason to refuse the
    /// rights.
    pub fn warnings(&self) -> &[Fault] {
        &self.odd
    }

    /// Whether this server only records refusals by rights or need at this moment.
    pub fn observes(&self, server: &ServerName, now: Timestamp) -> bool {
        self.servers.get(server).and_then(|server| server.observe_until).is_some_and(|end| now < end)
    }

    /// Judges whether the subject may make this call. Every input has an answer, and what is unknown is refused.
    pub fn judge<'a>(
        &self,
        principal: impl Into<Principal<'a>>,
        authority: &Authority,
        call: &Call,
        now: Timestamp,
    ) -> Arc<Answer> {
        self.answer(principal.into(), authority, call, WhichArguments::This, now)
    }

    /// Returns the reasons of those of these rules that are in force and forbid; `None` if there are none.
    pub fn forbidding(&self, rules: &[RuleId]) -> Option<Vec<String>> {
        self.index.forbidding(rules)
    }

    /// Returns the bound that the arguments of this call do not keep, if the tool is lent to its caller within bounds.
    pub(crate) fn beyond(
        &self,
        principal: Principal<'_>,
        authority: &Authority,
        call: &Call,
        now: Timestamp,
    ) -> Option<Box<Violation>> {
        self.lent.beyond(principal, authority, call, now)
    }

    /// Returns what the rules look at that can concern this subject at this server.
    pub fn looks_at(&self, subject: &Subject, server: &ServerName) -> Looks {
        let uses = self.slice(subject, server).asked(WhichArguments::This).1;
        Looks { arguments: uses.arguments, path: uses.path, source: uses.source, task: uses.task }
    }

    /// Whether the subject may read some resources or prompts that only the rules know by name.
    pub(crate) fn reads_by_name(&self, subject: &Subject, server: &ServerName) -> bool {
        self.slice(subject, server).reads_by_name()
    }

    pub(crate) fn answer(
        &self,
        principal: Principal<'_>,
        authority: &Authority,
        call: &Call,
        asked: WhichArguments,
        now: Timestamp,
    ) -> Arc<Answer> {
        let lent = self.lent.to(principal, authority, call, asked, now);
        if !lent.is_empty() {
            let slice = self.slice(principal.subject, &call.server).with(&lent, &self.lent.template, &self.terms);
            return Arc::new(self.evaluate(Case { principal, authority, call }, &slice, asked, now));
        }
        let slice = self.slice(principal.subject, &call.server);
        // Only lasting answers are kept, so one that is found here is still right.
        let key = Key::of(principal, authority, call, asked, &slice);
        if let Some(known) = self.answers.get(&key) {
            return known;
        }
        let answer = Arc::new(self.evaluate(Case { principal, authority, call }, &slice, asked, now));
        if slice.asked(asked).1.is_lasting() {
            self.answers.insert(key, Arc::clone(&answer));
        }
        answer
    }

    fn evaluate(
        &self,
        Case { principal, authority, call }: Case<'_>,
        slice: &Slice,
        asked: WhichArguments,
        now: Timestamp,
    ) -> Answer {
        let (policies, uses) = slice.asked(asked);
        let arguments = match uses.arguments {
            true => match Arguments::read(call.arguments.as_deref()) {
                Some(arguments) => Some(arguments),
                None => return Answer::default(),
            },
            false => None,
        };
        let question = Question { principal, authority, call, arguments: arguments.as_ref(), uses, now };
        let Some((request, entities)) = self.terms.request(&self.users, &self.servers, &question) else {
            return Answer::default();
        };
        let entities = Entities::from_entities(entities, None);
        let Ok(entities) = entities else { return Answer::default() };
        let response = self.authorizer.is_authorized(&request, policies, &entities);
        let unread = match (&arguments, asked) {
            (Some(arguments), WhichArguments::This) => {
                let clashing = slice.clashing(arguments, call.schema.as_deref());
                self.applying(clashing, &request, &entities)
            }
            _ => Vec::new(),
        };
        let mut answer = slice.read(&response, asked, &unread);
        if answer.permitted
            && let Some(marks) = slice.marks(asked)
        {
            slice.mark(&mut answer, &self.authorizer.is_authorized(&request, marks, &entities));
        }
        answer
    }

    /// Returns those of these policies that could apply to this question with other arguments. Usually there are none.
    fn applying<'a>(&self, clashing: Vec<Clashing<'a>>, request: &Request, entities: &Entities) -> Vec<Clashing<'a>> {
        let applies = |clashing: &Clashing<'_>| {
            let mut guard = PolicySet::new();
            // A policy whose guard cannot be evaluated is taken to apply.
            if guard.add(clashing.guard.clone()).is_err() {
                return true;
            }
            let response = self.authorizer.is_authorized(request, &guard, entities);
            response.decision() == Decision::Allow || response.diagnostics().errors().next().is_some()
        };
        clashing.into_iter().filter(applies).collect()
    }

    fn slice(&self, subject: &Subject, server: &ServerName) -> Arc<Slice> {
        let key = (subject.clone(), server.clone());
        let selected = self.slices.get_or_insert_with(&key, || {
            let groups = |groups: &[String], term: &cedar_policy::EntityTypeName| -> Vec<_> {
                groups.iter().map(|name| request::uid(term, name)).collect()
            };
            let mut around = vec![self.terms.subject(subject)];
            if let Subject::User(user) = subject
                && let Some(user) = self.users.get(user)
            {
                around.extend(groups(&user.groups, &self.terms.group));
                around.extend(user.owner.then(|| request::uid(&self.terms.group, OWNERS)));
            }
            let mut at = vec![request::uid(&self.terms.server, server.as_str())];
            if let Some(known) = self.servers.get(server) {
                at.extend(groups(&known.groups, &self.terms.server_group));
            }
            Ok(Arc::new(self.index.slice(&around, &at, server)))
        });
        selected.unwrap_or_else(|never: Infallible| match never {})
    }
}

/// Everything that an answer depends on, if it depends on neither arguments nor circumstances.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    subject: Subject,
    server: ServerName,
    path: Option<ActorPath>,
    trust: Trust,
    kind: Kind,
    /// Empty if the rules do not tell single tools, resources or prompts apart.
    name: String,
    asked: WhichArguments,
}

/// The kind of thing that a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Another caller's job. Rights are not asked about it, and its answer must not be used for a job of the caller's
    /// own.
    ForeignJob,
    Prompt,
    Resource,
    Server,
    Tool(ToolState),
}

impl Key {
    fn of(principal: Principal<'_>, authority: &Authority, call: &Call, asked: WhichArguments, slice: &Slice) -> Self {
        let (kind, name) = match &call.target {
            Target::Job { own: false, .. } => (Kind::ForeignJob, ""),
            Target::Checkpoint { .. } | Target::Job { own: true, .. } | Target::Server => (Kind::Server, ""),
            Target::Prompt { name } => (Kind::Prompt, name.as_str()),
            Target::Resource { uri } => (Kind::Resource, uri.as_str()),
            Target::Tool { name, standing } => (Kind::Tool(*standing), name.as_str()),
        };
        Self {
            subject: principal.subject.clone(),
            server: call.server.clone(),
            path: principal.path.cloned(),
            trust: authority.trust,
            kind,
            name: if slice.tells_apart(&call.target) { name.to_owned() } else { String::new() },
            asked,
        }
    }
}

#[cfg(test)]
mod tests;
