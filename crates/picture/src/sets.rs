//! The three sets that decide a call, drawn with a server's tools in them: **rights** (what the user may do), **grant**
//! (what was granted to the client) and **need** (what the task needs).
//!
//! Fill a [`SetsFigure`] and write it with [`SetsFigure::to_svg`] or [`SetsFigure::to_mermaid`]. Above, three circles
//! with one dot for each tool; below, the names of the tools by the part of the figure they stand in. The call in
//! question has a ring, and the set that refused it a thick outline, and both are named in words.
//!
//! A need that was not declared is drawn open and bounds nothing. Then no tool is shown as inside three sets.
//!
//! An embedded figure holds neither style nor script nor id, as a strict content security policy wants it: it draws in
//! the current colour, and the page's sheet colours it through the class names `sets`, `sets-rights`, `sets-grant`,
//! `sets-need`, `sets-all` (what is inside all three), `sets-no` and `sets-yes` (the answer to the call in question),
//! `sets-word` (text, which has no outline), `sets-soft` (minor text) and `sets-rule` (lines between the lists).
//! `sets/standalone.css` shows how.

use sekisho_protocol::refusal::SetName;

mod flowchart;
mod geometry;
mod layout;
mod svg;
mod words;

pub use words::Captions;

/// How many members are placed; those beyond are counted.
const MEMBERS_MAX: usize = 500;

/// The colours of the figure, light and dark: what a page that embeds it puts into its style sheet.
pub const STYLE: &str = include_str!("sets/standalone.css");

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

impl SetsFigure {
    /// The figure as SVG: well-formed and within its frame whatever the names contain.
    pub fn to_svg(&self, used: SvgUse) -> String {
        svg::write(&layout::Layout::new(self), &words::title(self), &words::description(self, &self.parts()), used)
    }

    /// The figure as a Mermaid flowchart, one box for each part of it that has members.
    pub fn to_mermaid(&self) -> String {
        flowchart::write(self, &self.parts())
    }

    /// The members, sorted by name and then by the part they stand in. Every part is there, in the order of its place.
    fn parts(&self) -> Parts<'_> {
        let mut members: Vec<&Member> = self.members.iter().collect();
        members.sort_unstable();
        let chosen = self.chosen.as_ref().and_then(|chosen| members.iter().position(|m| m.name == chosen.name));
        let uncounted = members.len().saturating_sub(MEMBERS_MAX);
        if let Some(at) = chosen.filter(|at| *at >= MEMBERS_MAX) {
            members.swap(at, MEMBERS_MAX - 1);
        }
        let chosen = chosen.map(|at| at.min(MEMBERS_MAX - 1));
        members.truncate(MEMBERS_MAX);
        let parts = geometry::places(self.need_declared)
            .iter()
            .map(|place| {
                let here = members.iter().enumerate().filter(|(_, member)| self.region(member) == place.region);
                let tools = here.map(|(at, member)| Tool { member, chosen: chosen == Some(at) }).collect();
                Part { place, tools }
            })
            .collect();
        Parts { parts, uncounted }
    }

    fn region(&self, member: &Member) -> Region {
        Region { rights: member.rights, grant: member.grant, need: member.need && self.need_declared }
    }
}

/// One of the seven regions of three circles, or what is outside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    rights: bool,
    grant: bool,
    need: bool,
}

/// A member, and whether it is the one in question.
#[derive(Debug, Clone, Copy)]
struct Tool<'a> {
    member: &'a Member,
    chosen: bool,
}

/// One region with what stands in it.
#[derive(Debug, Clone)]
struct Part<'a> {
    place: &'static geometry::RegionShape,
    tools: Vec<Tool<'a>>,
}

/// The members by region, and how many were not placed.
#[derive(Debug, Clone)]
struct Parts<'a> {
    parts: Vec<Part<'a>>,
    uncounted: usize,
}

/// The first `count` tools in order of their names; the one in question is always among them.
fn listed<'a>(tools: &[Tool<'a>], count: usize) -> Vec<Tool<'a>> {
    let mut shown: Vec<Tool<'a>> = tools.iter().take(count).copied().collect();
    if let (Some(chosen), Some(last)) = (tools.iter().skip(count).find(|tool| tool.chosen), shown.last_mut()) {
        *last = *chosen;
    }
    shown
}

#[cfg(test)]
mod tests;
