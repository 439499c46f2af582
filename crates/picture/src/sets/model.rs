//! The data of the figure: the server, the three sets, its tools, and the captions.

use sekisho_protocol::refusal::SetName;

/// One tool, and the sets that contain it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Whether the user may call it.
    pub rights: bool,
    /// Whether it was granted to the client.
    pub grant: bool,
    /// Whether the task needs it. Has no meaning if no need was declared.
    pub need: bool,
    /// A detail about it, such as its class.
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

/// Where the SVG is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SvgUse {
    /// Inside an HTML page, whose style sheet colours it.
    Embedded,
    /// In a file of its own, with its own colours in light and dark.
    Standalone,
}

/// The three sets of one server, for one user, one client and one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetsFigure {
    /// The name of the server.
    pub server: String,
    /// The captions of the figure.
    pub captions: Captions,
    /// Whose the sets are, in the order rights, grant, need: the user, the client, the purpose of the task.
    pub who: [String; 3],
    /// Whether a task declared what it needs. If not, the need is drawn open and restricts nothing.
    pub need_declared: bool,
    /// The tools of the server, in any order.
    pub members: Vec<Member>,
    /// The call in question, if there is one.
    pub chosen: Option<Chosen>,
}

/// The captions of the figure, for translation. `{}` is replaced with a value. Lists of three are in the order rights,
/// grant, need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captions {
    /// The names of the sets.
    pub sets: [String; 3],
    /// What each set contains; `{}` is whose set it is.
    pub whose: [String; 3],
    /// Whose a set is, if there is no name.
    pub anybody: [String; 3],
    /// The caption of the region inside every set.
    pub all: String,
    /// The caption of a region inside two sets; `{}` is the third set.
    pub all_but: String,
    /// The caption of a region inside one set alone; `{}` is that set.
    pub only: String,
    /// The caption of the region inside two sets, if there are only two: `{}` occurs twice.
    pub both: String,
    /// The caption of the region outside every set.
    pub none: String,
    /// The text in place of a need that was not declared.
    pub undeclared: String,
    /// An explanation of a need that was not declared.
    pub undeclared_meaning: String,
    /// How many tools are not named.
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
    /// The captions in English.
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

/// One of the seven regions of three circles, or the region outside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) rights: bool,
    pub(super) grant: bool,
    pub(super) need: bool,
}

impl SetsFigure {
    /// Returns the region that contains a member.
    pub(super) fn region(&self, member: &Member) -> Region {
        Region { rights: member.rights, grant: member.grant, need: member.need && self.need_declared }
    }
}
