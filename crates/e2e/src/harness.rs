//! A running checkpoint, and everybody who uses it.

mod checkpoint;
mod faults;
mod process;

mod agent;
mod caller;
mod chromium;
mod form;
mod mcp;
mod outside;
mod person;

pub mod node;
pub mod wait;

pub use agent::{Agent, Invitation, REDIRECT, Tokens, parameter};
pub use caller::{Answer, Call, Caller, Opened, raw};
pub use checkpoint::{Checkpoint, Finished, Setup, binary, example, sekisho_alone};
pub use chromium::Chromium;
pub use faults::{Disk, Faults, SmallDisk};
pub use form::{Form, forms, links};
pub use mcp::{Mcp, Reply, body_of, text_of};
pub use outside::Outside;
pub use person::{BrowserState, Decision, Person};
pub use process::{Process, Text};
