//! The members of the figure, by region.

use super::geometry::{self, RegionShape};
use super::model::{Member, SetsFigure};

/// How many members are placed; further ones are only counted.
const MEMBERS_MAX: usize = 500;

impl SetsFigure {
    /// Returns the members by region, sorted by name. Every region is there, in the order in which regions are listed.
    pub(super) fn parts(&self) -> Parts<'_> {
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
}

/// A member, and whether it is the tool in question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool<'a> {
    pub(super) member: &'a Member,
    pub(super) chosen: bool,
}

/// One region with its members.
#[derive(Debug, Clone)]
pub(super) struct Part<'a> {
    pub(super) place: &'static RegionShape,
    pub(super) tools: Vec<Tool<'a>>,
}

/// The members by region, and how many were not placed.
#[derive(Debug, Clone)]
pub(super) struct Parts<'a> {
    pub(super) parts: Vec<Part<'a>>,
    pub(super) uncounted: usize,
}

/// Returns the first `count` tools in order of their names. The tool in question is always among them.
pub(super) fn listed<'a>(tools: &[Tool<'a>], count: usize) -> Vec<Tool<'a>> {
    let mut shown: Vec<Tool<'a>> = tools.iter().take(count).copied().collect();
    if let (Some(chosen), Some(last)) = (tools.iter().skip(count).find(|tool| tool.chosen), shown.last_mut()) {
        *last = *chosen;
    }
    shown
}
