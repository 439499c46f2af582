//! Linked accounts: `/links` and `/links/{server}`, where a person links an account of their own for a server.
//!
//! INVARIANT (the account of somebody else): an account counts only after the person confirmed it by its name, in the
//! browser and the session in which the link was begun, once, within ten minutes. What another person or another browser
//! brings changes nothing (ATK-81, ATK-82).

pub(crate) mod failure;
pub(crate) mod flow;
pub(crate) mod kept;
pub(crate) mod page;
