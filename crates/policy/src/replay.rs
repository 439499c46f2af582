//! Recorded calls, judged again by other rights.

use sekisho_protocol::caller::Caller;
use sekisho_protocol::env::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Authority, Call};
use crate::rights::Rights;

/// What rights said to a call when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// Whether the user might.
    pub permitted: bool,
    /// Whether all sets said yes, so that it was used.
    pub used: bool,
    /// Whether a person was asked.
    pub asked: bool,
}

/// What other rights would come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replayed {
    /// It would not pass any more.
    Breaks,
    /// A person would be asked who was not.
    Asks,
    /// It would pass, and did not.
    Passes,
    /// The same as before.
    Same,
    /// Rules look at arguments, and those were not kept.
    Undecidable,
}

/// Judges a call again, at the moment at which it was made. `kept`: whether its arguments are those that it had.
pub fn replay(
    rights: &Rights,
    (caller, authority): (&Caller, &Authority),
    (call, kept): (&Call, bool),
    before: Before,
    at: Timestamp,
) -> Replayed {
    if !kept && rights.looks_at_arguments(&caller.subject, &call.server) {
        return Replayed::Undecidable;
    }
    let answer = rights.judge(caller, authority, call, at);
    let asks = answer.approval.is_some() && before.used && !before.asked;
    match (before.permitted, answer.permitted) {
        (true, false) if before.used || before.asked => Replayed::Breaks,
        (false, true) => Replayed::Passes,
        (true, true) if asks => Replayed::Asks,
        // What another set refused is refused either way.
        (true, true | false) | (false, false) => Replayed::Same,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sekisho_protocol::caller::{ActorPath, Caller, Subject};
    use sekisho_protocol::catalogue::ToolClass;
    use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy};
    use sekisho_protocol::ids::{ClientId, UserId};
    use sekisho_protocol::scope::ScopeSet;

    use super::{Before, Replayed, replay};
    use crate::model::{Authority, Call, Target, ToolStanding};
    use crate::rights::{PolicyFile, Rights, RightsParts, RightsServer, RightsUser};

    const USED: Before = Before { permitted: true, used: true, asked: false };
    const ASKED: Before = Before { permitted: true, used: false, asked: true };
    const ELSEWHERE: Before = Before { permitted: true, used: false, asked: false };
    const REFUSED: Before = Before { permitted: false, used: false, asked: false };

    #[test]
    fn a_call_comes_to_what_the_other_rights_say() {
        let now = ManualClock::default().now();
        let user = UserId::generate(now, &SeededEntropy::default());
        let client = ClientId::parse("cli_a").unwrap();
        let caller = Caller {
            subject: Subject::User(user),
            path: Some(ActorPath::direct(client.clone())),
            client: Some(client),
            ..Caller::anonymous(ScopeSet::empty())
        };
        let call = Call {
            server: "notes".parse().unwrap(),
            method: "tools/call",
            target: Target::Tool { name: "write".to_owned(), standing: ToolStanding::Classified(ToolClass::Write) },
            arguments: None,
            params: None,
            arguments_digest: None,
            round: None,
            source: None,
        };
        let under = |text: &str, kept, before| {
            let files = vec![PolicyFile { name: "a.cedar".to_owned(), text: text.to_owned() }];
            let users = BTreeMap::from([(user, RightsUser::default())]);
            let servers = BTreeMap::from([("notes".parse().unwrap(), RightsServer::default())]);
            let rights = Rights::new(RightsParts { users, servers, files, ..RightsParts::default() }).unwrap();
            replay(&rights, (&caller, &Authority::default()), (&call, kept), before, now)
        };
        let yes = "permit(principal, action, resource);";
        let asks = "@approval permit(principal, action, resource);";
        let looks =
            "permit(principal, action == Action::\"call\", resource) when { !(context.arguments.hasTag(\"a\")) };";
        for (text, kept, before, becomes) in [
            (yes, false, USED, Replayed::Same),
            ("", false, USED, Replayed::Breaks),
            ("", false, ASKED, Replayed::Breaks),
            ("", false, ELSEWHERE, Replayed::Same),
            ("", false, REFUSED, Replayed::Same),
            (yes, false, REFUSED, Replayed::Passes),
            (asks, false, USED, Replayed::Asks),
            (asks, false, ASKED, Replayed::Same),
            (asks, false, ELSEWHERE, Replayed::Same),
            (looks, false, USED, Replayed::Undecidable),
            (looks, true, USED, Replayed::Same),
        ] {
            assert_eq!(under(text, kept, before), becomes, "{text} {before:?}");
        }
    }
}
