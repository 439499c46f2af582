//! The call that is judged, as the gateway read it from the authorized bytes.

use core::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::{ClientId, ServerName};
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::uri::ResourceUri;

use crate::schema::ToolSchema;

pub use crate::authority::{Authority, Trust};

/// One call to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The server that is called.
    pub server: ServerName,
    /// The method, as the method table spells it.
    pub method: &'static str,
    /// What it touches.
    pub target: Target,
    /// The arguments as they were sent: the JSON text of an object. `None` if there were none.
    pub arguments: Option<Bytes>,
    /// The tool's accepted `inputSchema`. `None` if it has none, or the call is about no tool.
    pub schema: Option<Arc<ToolSchema>>,
    /// All of `params` as they were sent, because an approval also covers what is sent beside the arguments.
    pub params: Option<Bytes>,
    /// The digest of the canonical arguments, if the records keep one.
    pub arguments_digest: Option<Digest>,
    /// The earlier round that this call continues: the same call was permitted and paid for, and its upstream asked
    /// something back. The round is used up in place of approval and budgets.
    pub round: Option<Digest>,
    /// The address that the call came from, if known.
    pub source: Option<IpAddr>,
}

impl Call {
    /// Returns a call without arguments, from an unknown address, that continues no earlier round.
    pub fn bare(server: ServerName, method: &'static str, target: Target) -> Self {
        Self {
            server,
            method,
            target,
            arguments: None,
            schema: None,
            params: None,
            arguments_digest: None,
            round: None,
            source: None,
        }
    }
}

/// A subject, and the client through which it acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Party<'a> {
    /// The subject.
    pub subject: &'a Subject,
    /// The client.
    pub client: &'a ClientId,
}

/// What a call touches, with what the catalogue knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A tool of the checkpoint's own. It can only reduce what the caller may do.
    Checkpoint {
        /// Its name.
        name: &'static str,
    },
    /// A job, which is a deferred result.
    Job {
        /// Its identifier as the upstream gave it.
        id: String,
        /// Whether this subject, client and grant started it.
        own: bool,
    },
    /// A prompt.
    Prompt {
        /// Its name.
        name: String,
    },
    /// A resource, or a template of resources.
    Resource {
        /// Its URI. A text that is not canonical is never judged.
        uri: ResourceUri,
    },
    /// Only the server itself: a handshake, a list (which is filtered item by item), a notification.
    Server,
    /// A tool.
    Tool {
        /// Its name.
        name: String,
        /// What is known of it.
        standing: ToolState,
    },
}

impl Target {
    /// Returns the name to show and to record.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Checkpoint { name } => Some(name),
            Self::Job { id, .. } => Some(id),
            Self::Prompt { name } | Self::Tool { name, .. } => Some(name),
            Self::Resource { uri } => Some(uri.as_str()),
            Self::Server => None,
        }
    }
}

/// What the catalogue knows of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToolState {
    /// The owner gave it a class.
    Classified(ToolClass),
    /// The server has it, but it is new or not what was accepted. It does not exist until an owner accepts it.
    Held,
    /// It exists but nobody has classified it, so it needs its own `tool:NAME` scope.
    Unclassified,
    /// The server does not have it.
    Unknown,
}

impl Call {
    /// Returns how much this call can change. An unclassified tool could do anything.
    pub fn class(&self) -> ToolClass {
        match &self.target {
            Target::Tool { standing: ToolState::Classified(class), .. } => *class,
            Target::Tool { .. } => ToolClass::Destructive,
            Target::Checkpoint { .. }
            | Target::Job { .. }
            | Target::Prompt { .. }
            | Target::Resource { .. }
            | Target::Server => ToolClass::Read,
        }
    }

    /// Whether the record may follow the effect by a moment (product rule: every decision on anything but a read is on
    /// record before its effect).
    pub fn is_read(&self) -> bool {
        self.class() == ToolClass::Read
    }

    /// Whether the call counts against a budget.
    pub fn is_counted(&self) -> bool {
        match &self.target {
            Target::Prompt { .. } | Target::Resource { .. } | Target::Tool { .. } => true,
            Target::Checkpoint { .. } | Target::Job { .. } | Target::Server => false,
        }
    }

    /// Returns every scope this call needs; the token must satisfy all of them (RS-20). For a tool, its own `tool:NAME`
    /// is enough as well: see [`Call::is_granted_by`].
    pub fn scopes(&self) -> ScopeSet {
        self.scope().into_iter().collect()
    }

    fn scope(&self) -> Option<Scope> {
        match &self.target {
            Target::Checkpoint { .. } | Target::Job { .. } | Target::Server => None,
            Target::Prompt { .. } | Target::Resource { .. } => Some(Scope::read()),
            Target::Tool { standing: ToolState::Classified(class), .. } => Some(Scope::of_class(*class)),
            Target::Tool { name, .. } => Some(Scope::tool(name)),
        }
    }

    /// Whether the scopes `held` cover this call.
    pub fn is_granted_by(&self, held: &ScopeSet) -> bool {
        let by_name = || match &self.target {
            Target::Tool { name, .. } => held.contains(&Scope::tool(name)),
            _ => false,
        };
        self.scope().is_none_or(|scope| held.satisfies(&scope)) || by_name()
    }
}
