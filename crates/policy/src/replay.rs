//! Judges recorded calls again by other rights.

use sekisho_protocol::env::Timestamp;
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::rights::Rights;

/// What happened to a call when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// Whether rights permitted the call.
    pub permitted: bool,
    /// Whether all sets permitted the call, so that it was used.
    pub used: bool,
    /// Whether a person was asked.
    pub asked: bool,
}

/// What would change under other rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replayed {
    /// The call would not pass any more.
    Breaks,
    /// A person would be asked, and was not before.
    Asks,
    /// Rights would permit the call, and did not before.
    Passes,
    /// Nothing would change.
    Same,
    /// Some rules look at something that is not on record.
    Undecidable,
}

/// What is known of a recorded call, apart from its principal, tool and time. The address that it came from is not on
/// record, so it is never known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Whether the call's arguments are those that it had.
    pub arguments: bool,
    /// Whether the trust of the clients on its path is that of its grant.
    pub path: bool,
    /// Whether its task is still known, if it had one.
    pub task: bool,
}

/// Judges a call again, at the time at which it was made. The result is undecidable if the rules that can concern the
/// call look at something that was not kept.
pub fn replay(
    rights: &Rights,
    Case { principal, authority, call }: Case<'_>,
    kept: Kept,
    before: Before,
    at: Timestamp,
) -> Replayed {
    let looks = rights.looks_at(principal.subject, &call.server);
    let missing =
        [looks.arguments && !kept.arguments, looks.path && !kept.path, looks.source, looks.task && !kept.task];
    if missing.contains(&true) {
        return Replayed::Undecidable;
    }
    let answer = rights.judge(principal, authority, call, at);
    let asks = answer.approval.is_some() && before.used && !before.asked;
    match (before.permitted, answer.permitted) {
        (true, false) if before.used || before.asked => Replayed::Breaks,
        (false, true) => Replayed::Passes,
        (true, true) if asks => Replayed::Asks,
        // A call that another set refused is refused either way.
        (true, true | false) | (false, false) => Replayed::Same,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sekisho_protocol::caller::{ActorPath, Principal, Subject};
    use sekisho_protocol::catalogue::ToolClass;
    use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy};
    use sekisho_protocol::ids::{ClientId, UserId};

    use super::{Before, Kept, Replayed, replay};
    use crate::case::Case;
    use crate::model::{Authority, Call, Target, ToolState};
    use crate::rights::{PolicyFile, Rights, RightsParts, RightsServer, RightsUser};

    const USED: Before = Before { permitted: true, used: true, asked: false };
    const ASKED: Before = Before { permitted: true, used: false, asked: true };
    const ELSEWHERE: Before = Before { permitted: true, used: false, asked: false };
    const REFUSED: Before = Before { permitted: false, used: false, asked: false };

    /// ATK-241: a call is judged by what is on record of it, or not at all.
    #[test]
    fn a_call_comes_to_what_the_other_rights_say() {
        let now = ManualClock::default().now();
        let user = UserId::generate(now, &SeededEntropy::default());
        let client = ClientId::parse("cli_a").unwrap();
        let (subject, path) = (Subject::User(user), ActorPath::direct(client));
        let principal = Principal { subject: &subject, path: Some(&path) };
        let target = Target::Tool { name: "write".to_owned(), standing: ToolState::Classified(ToolClass::Write) };
        let call = Call::bare("notes".parse().unwrap(), "tools/call", target);
        let under = |text: &str, kept, before| {
            let files = vec![PolicyFile { name: "a.cedar".to_owned(), text: text.to_owned() }];
            let users = BTreeMap::from([(user, RightsUser::default())]);
            let servers = BTreeMap::from([("notes".parse().unwrap(), RightsServer::default())]);
            let rights = Rights::new(RightsParts { users, servers, files, ..RightsParts::default() }).unwrap();
            let case = Case { principal, authority: &Authority::default(), call: &call };
            replay(&rights, case, kept, before, now)
        };
        let all = Kept { arguments: true, path: true, task: true };
        let no_arguments = Kept { arguments: false, ..all };
        let (no_path, no_task) = (Kept { path: false, ..all }, Kept { task: false, ..all });
        let yes = "permit(principal, action, resource);";
        let asks = "@approval permit(principal, action, resource);";
        let looks =
            "permit(principal, action == Action::\"call\", resource) when { !(context.arguments.hasTag(\"a\")) };";
        let source = "permit(principal, action, resource);\n\
            forbid(principal, action, resource) when { context has source && context.source.isLoopback() };";
        let unless_source = "permit(principal, action, resource);\n\
            forbid(principal, action, resource) unless { context has source };";
        let trusted = "permit(principal, action, resource) when { context has path && context.path.trust >= 1 };";
        let tidy = "permit(principal, action, resource) when { context has task && context.task.purpose == \"tidy\" };";
        for (text, kept, before, becomes) in [
            (yes, no_arguments, USED, Replayed::Same),
            ("", no_arguments, USED, Replayed::Breaks),
            ("", no_arguments, ASKED, Replayed::Breaks),
            ("", no_arguments, ELSEWHERE, Replayed::Same),
            ("", no_arguments, REFUSED, Replayed::Same),
            (yes, no_arguments, REFUSED, Replayed::Passes),
            (asks, no_arguments, USED, Replayed::Asks),
            (asks, no_arguments, ASKED, Replayed::Same),
            (asks, no_arguments, ELSEWHERE, Replayed::Same),
            (looks, no_arguments, USED, Replayed::Undecidable),
            (looks, all, USED, Replayed::Same),
            (source, all, USED, Replayed::Undecidable),
            (unless_source, all, USED, Replayed::Undecidable),
            (trusted, all, USED, Replayed::Breaks),
            (trusted, no_path, USED, Replayed::Undecidable),
            (tidy, all, USED, Replayed::Breaks),
            (tidy, no_task, USED, Replayed::Undecidable),
            (yes, Kept { arguments: false, path: false, task: false }, USED, Replayed::Same),
        ] {
            assert_eq!(under(text, kept, before), becomes, "{text} {before:?}");
        }
    }
}
