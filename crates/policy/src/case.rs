//! A call together with its caller, as a decision takes both.

use sekisho_protocol::caller::Principal;

use crate::model::{Authority, Call};

/// A call, with who makes it and on which authority.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// Who makes it.
    pub principal: Principal<'a>,
    /// The tasks that hold the caller, and how far its path is trusted.
    pub authority: &'a Authority,
    /// The call.
    pub call: &'a Call,
}
