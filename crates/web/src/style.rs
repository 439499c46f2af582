//! The style sheet of the pages.

use sekisho_protocol::digest::Digest;

/// The style sheet of the pages.
const STYLE: &str = include_str!("../../../templates/web/sekisho.css");

/// The whole style sheet: the pages' own, and that of the figures on them.
pub(crate) fn style() -> String {
    format!("{STYLE}{}", sekisho_picture::sets::STYLE)
}

/// The name under which the style sheet is served: another text has another name, so it can be cached for good.
pub(crate) fn style_name() -> String {
    let digest = Digest::of(style().as_bytes()).to_string();
    format!("sekisho-{}.css", digest.get(..16).unwrap_or_default())
}
