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

mod flowchart;
mod geometry;
mod layout;
mod model;
mod parts;
mod svg;
mod words;

pub use model::{Captions, Chosen, Member, SetsFigure, SvgUse};
pub use svg::STYLE;

impl SetsFigure {
    /// The figure as SVG: well-formed and within its frame whatever the names contain.
    pub fn to_svg(&self, used: SvgUse) -> String {
        svg::write(&layout::Layout::new(self), &words::title(self), &words::description(self, &self.parts()), used)
    }

    /// The figure as a Mermaid flowchart, one box for each part of it that has members.
    pub fn to_mermaid(&self) -> String {
        flowchart::write(self, &self.parts())
    }
}

#[cfg(test)]
mod tests;
