//! The scopes that can be granted: a consent page shows these and nothing more.

use std::collections::BTreeSet;

use sekisho_protocol::caller::{ActorPath, Principal};
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::uri::ResourceUri;

use crate::model::{Authority, Call, Party, Target, ToolState};
use crate::rights::Rights;
use crate::task::WhichArguments;

/// Returns every scope that this subject could grant at this server: the classes of which it may call some tool, and
/// the names of the tools that it may call. Empty if there is no right at all.
///
/// A class stands for future tools, too. It can be granted if the rights allow a tool of that class whose name they do
/// not know, or any tool that they do know.
///
/// The client of `party` gets the grant: a loan to the subject is for one client only.
pub fn grantable(
    rights: &Rights,
    Party { subject, client }: Party<'_>,
    server: &ServerName,
    tools: &[Tool],
    now: Timestamp,
) -> ScopeSet {
    let path = ActorPath::direct(client.clone());
    let principal = Principal { subject, path: Some(&path) };
    let may = |target: Target| {
        let call = Call::bare(server.clone(), "", target);
        rights.answer(principal, &Authority::default(), &call, WhichArguments::Any, now).permitted
    };
    let may_call = |name: &str, standing| may(Target::Tool { name: name.to_owned(), standing });
    let standing = |tool: &Tool| tool.class.map_or(ToolState::Unclassified, ToolState::Classified);
    let classes = [ToolClass::Read, ToolClass::Write, ToolClass::Destructive].into_iter().filter(|class| {
        let any = may_call("", ToolState::Classified(*class));
        let known = || tools.iter().any(|tool| tool.class == Some(*class) && may_call(&tool.name, standing(tool)));
        // Reading includes resources and prompts: those that no rule names, or some that only a rule knows by name.
        let may_read = || ResourceUri::parse("urn:sekisho:unnamed").is_ok_and(|uri| may(Target::Resource { uri }));
        let looks =
            || may_read() || may(Target::Prompt { name: String::new() }) || rights.reads_by_name(subject, server);
        let looks = || *class == ToolClass::Read && looks();
        any || known() || looks()
    });
    let by_class = classes.map(Scope::of_class);
    let by_name = tools.iter().filter(|tool| may_call(&tool.name, standing(tool))).map(|tool| Scope::tool(&tool.name));
    by_class.chain(by_name).collect()
}

/// Returns the part of the requested scopes that can be granted. Two are not about the user's rights and stay:
/// `offline_access` is about the token, and `mcp:account` about what the server is shown.
pub fn grantable_of(wish: &ScopeSet, grantable: &ScopeSet) -> ScopeSet {
    let has_no_right = |scope: &Scope| *scope == Scope::offline_access() || *scope == Scope::account();
    wish.iter().filter(|scope| has_no_right(scope) || grantable.satisfies(scope)).cloned().collect()
}

/// Returns what is left of a grant when single tools are unticked: exactly the ticked ones. A class is kept if all its
/// known tools are ticked; otherwise the single tools are named.
///
/// `tools` are the known tools of the server, `ticked` the names of those that stay.
pub fn narrowed(scopes: &ScopeSet, tools: &[Tool], ticked: &BTreeSet<&str>) -> ScopeSet {
    let classes = [ToolClass::Read, ToolClass::Write, ToolClass::Destructive];
    let held = classes.into_iter().filter(|class| scopes.satisfies(&Scope::of_class(*class))).max();
    let is_whole = |class: ToolClass| {
        tools
            .iter()
            .filter(|tool| tool.class.is_some_and(|own| own <= class))
            .all(|tool| ticked.contains(tool.name.as_str()))
    };
    let kept = classes.into_iter().filter(|class| held.is_some_and(|held| *class <= held) && is_whole(*class)).max();
    let by_class = kept.map(Scope::of_class);
    let by_name = tools.iter().filter(|tool| {
        let granted = scopes.contains(&Scope::tool(&tool.name))
            || tool.class.is_some_and(|class| held.is_some_and(|held| class <= held));
        let covered = tool.class.is_some_and(|class| kept.is_some_and(|kept| class <= kept));
        granted && !covered && ticked.contains(tool.name.as_str())
    });
    let by_name = by_name.map(|tool| Scope::tool(&tool.name));
    let others = [Scope::offline_access(), Scope::account()].into_iter().filter(|scope| scopes.contains(scope));
    by_class.into_iter().chain(by_name).chain(others).collect()
}

#[cfg(test)]
mod tests;
