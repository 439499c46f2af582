//! The page kit: the parts that all pages for people are made with, whichever surface shows them.
//!
//! A request is read as a [`Visit`] (its only `now`, its name, its language, its browser), a page is written inside the
//! [`frame`], and an error that concerns people becomes a page in [`error`]. Here are browser [`session`]s and the values
//! that tie a form to a browser, [`cookies`], the [`door`]s of sessions on plain http, [`parameters`] of forms, the
//! [`sentence`]s of the pages in both languages, and how names and moments are [`shown`].
//!
//! This crate knows no OAuth, no act and no page of its own but those of errors. A surface makes a [`Site`], shares it with the
//! others, implements [`HasSite`] for its state, and hands the routes of its pages to [`serve`].
//!
//! To add a sentence: a row in `sentence.rs`. To add a form: a kind in [`session::FormKind`].

mod browser_name;
pub mod choice;
pub mod cookies;
pub mod door;
pub mod error;
pub mod frame;
pub mod language;
pub mod parameters;
pub mod place;
mod routes;
mod script;
mod seen;
pub mod sentence;
pub mod session;
mod session_secret;
mod settings;
pub mod shown;
mod site;
mod style;
pub mod visit;

pub use routes::serve;
pub use seen::Seen;
pub use sekisho_protocol::caller::PeerAddress;
pub use settings::SiteSettings;
pub use site::{HasSite, Site, SiteParts};
pub use visit::Visit;
