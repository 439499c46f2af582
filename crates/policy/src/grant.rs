//! What may be granted: a consent page shows this and nothing more.

use sekisho_protocol::caller::Caller;
use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::scope::{Scope, ScopeSet};

use crate::model::{Authority, Call, Target, ToolStanding};
use crate::rights::Rights;
use crate::task::Asked;

/// Every scope this subject could hand on at this server: the classes of which it may call some tool, and the names
/// of the tools that it may call. Empty where there is no right at all.
///
/// A class stands for tools that are not there yet, too: it may be handed on if the rights allow a tool of that
/// class that has no name they know, or any that they do.
pub fn grantable(rights: &Rights, subject: &Subject, server: &ServerName, tools: &[Tool], now: Timestamp) -> ScopeSet {
    let may = |target: Target| {
        let caller = Caller { subject: subject.clone(), ..Caller::anonymous(ScopeSet::empty()) };
        let call =
            Call { server: server.clone(), method: "", target, arguments: None, arguments_digest: None, source: None };
        rights.answer(&caller, &Authority::default(), &call, Asked::Any, now).permitted
    };
    let may_call = |name: &str, standing| may(Target::Tool { name: name.to_owned(), standing });
    let standing = |tool: &Tool| tool.class.map_or(ToolStanding::Unclassified, ToolStanding::Classified);
    let classes = [ToolClass::Read, ToolClass::Write, ToolClass::Destructive].into_iter().filter(|class| {
        let any = may_call("", ToolStanding::Classified(*class));
        let known = || tools.iter().any(|tool| tool.class == Some(*class) && may_call(&tool.name, standing(tool)));
        // Resources and prompts are read, too.
        let looks = || {
            *class == ToolClass::Read
                && (may(Target::Resource { uri: String::new() }) || may(Target::Prompt { name: String::new() }))
        };
        any || known() || looks()
    });
    let by_class = classes.map(Scope::of_class);
    let by_name = tools.iter().filter(|tool| may_call(&tool.name, standing(tool))).map(|tool| Scope::tool(&tool.name));
    by_class.chain(by_name).collect()
}

/// What is left of a wish: what may be granted, and `offline_access`, which is about the token and not about
/// the server.
pub fn grantable_of(wish: &ScopeSet, grantable: &ScopeSet) -> ScopeSet {
    wish.iter().filter(|scope| **scope == Scope::offline_access() || grantable.satisfies(scope)).cloned().collect()
}
