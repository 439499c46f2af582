//! The three sets that decide a call, drawn with a server's tools in them: **rights** (what the user may do), **grant**
//! (what was granted to the client) and **need** (what the task needs).
//!
//! Fill a [`SetsFigure`] and write it with [`SetsFigure::to_svg`] or [`SetsFigure::to_mermaid`]. The upper part shows
//! three circles with one dot for each tool; the lower part lists the names of the tools by region. The tool of the
//! call in question is circled, the set that refused it has a thick outline, and both are named in words.
//!
//! A need that was not declared is drawn open and restricts nothing. No tool is shown inside three sets then.
//!
//! An embedded figure contains no style, script or id, so that it works under a strict content security policy. It uses
//! the current colour, and the page's style sheet colours it through the class names `sets`, `sets-rights`,
//! `sets-grant`, `sets-need`, `sets-all` (inside all three), `sets-no` and `sets-yes` (the answer to the call in
//! question), `sets-word` (text, which has no outline), `sets-soft` (minor text) and `sets-rule` (lines between the
//! lists). `sets/standalone.css` is an example.

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
    /// Writes the figure as SVG. It is well-formed and stays within its frame, whatever the names contain.
    pub fn to_svg(&self, used: SvgUse) -> String {
        svg::write(&layout::Layout::new(self), &words::title(self), &words::description(self, &self.parts()), used)
    }

    /// Writes the figure as a Mermaid flowchart, with one box for each region that has members.
    pub fn to_mermaid(&self) -> String {
        flowchart::write(self, &self.parts())
    }
}

#[cfg(test)]
mod tests;
