//! What the figure is made from: the server, the three sets, its tools, and the words.

use sekisho_protocol::refusal::SetName;

/// Where one tool stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Whether the user may call it.
    pub rights: bool,
    /// Whether it was granted to the client.
    pub grant: bool,
    /// Whether the task needs it; without meaning where no need was declared.
    pub need: bool,
    /// A word about it, such as its class.
    pub detail: Option<String>,
}

/// The call in question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The name of the member that was called.
    pub name: String,
    /// The set that said no; `None` if the call was permitted.
    pub refused_by: Option<SetName>,
}

/// What the figure is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SvgUse {
    /// To stand inside an HTML page, whose style sheet colours it.
    Embedded,
    /// To be a file of its own, with its own colours in light and dark.
    Standalone,
}

/// The three sets of one server, for one user, one client and one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetsFigure {
    /// The name of the server.
    pub server: String,
    /// The words of the figure.
    pub captions: Captions,
    /// Whose the sets are, in the order rights, grant, need: the user, the client, the purpose of the task.
    pub who: [String; 3],
    /// Whether a task declared what it needs. If not, the need is drawn open and counts for nothing.
    pub need_declared: bool,
    /// The tools of the server, in any order.
    pub members: Vec<Member>,
    /// The call in question, if there is one.
    pub chosen: Option<Chosen>,
}

/// The words of the figure, for translation. `{}` stands for what is filled in. Lists of three are in the order rights,
/// grant, need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captions {
    /// The names of the sets.
    pub sets: [String; 3],
    /// What each set holds; `{}` is whose it is.
    pub whose: [String; 3],
    /// Whose a set is if that has no name.
    pub anybody: [String; 3],
    /// Inside every set.
    pub all: String,
    /// Inside two sets; `{}` is the third.
    pub all_but: String,
    /// Inside one set alone.
    pub only: String,
    /// Inside two sets where there are no more: `{}` twice.
    pub both: String,
    /// Inside no set.
    pub none: String,
    /// In the place of a need that was not declared.
    pub undeclared: String,
    /// What that means.
    pub undeclared_meaning: String,
    /// How many are not named.
    pub more: String,
    /// How many tools there are.
    pub tools: String,
    /// The answer of a set that refused.
    pub says_no: String,
    /// Why a set refuses.
    pub reasons: [String; 3],
    /// The answer if no set refused.
    pub permitted: String,
}

impl Default for Captions {
    /// English.
    fn default() -> Self {
        Self {
            sets: ["rights", "grant", "need"].map(str::to_owned),
            whose: ["what {} may do", "what was granted to {}", "needed for: {}"].map(str::to_owned),
            anybody: ["the user", "the client", "the task"].map(str::to_owned),
            all: "in all three".to_owned(),
            all_but: "all but {}".to_owned(),
            only: "{} only".to_owned(),
            both: "{} and {}".to_owned(),
            none: "in none".to_owned(),
            undeclared: "need: undeclared".to_owned(),
            undeclared_meaning: "undeclared: there is no task".to_owned(),
            more: "and {} more".to_owned(),
            tools: "tools: {}".to_owned(),
            says_no: "{} says no".to_owned(),
            reasons: ["the user may not do this", "this was not granted to the client", "this is not part of the task"]
                .map(str::to_owned),
            permitted: "permitted".to_owned(),
        }
    }
}

/// One of the seven regions of three circles, or what is outside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) rights: bool,
    pub(super) grant: bool,
    pub(super) need: bool,
}

impl SetsFigure {
    /// The region in which a member stands.
    pub(super) fn region(&self, member: &Member) -> Region {
        Region { rights: member.rights, grant: member.grant, need: member.need && self.need_declared }
    }
}
