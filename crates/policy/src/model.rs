//! What is judged: one call, as the gateway read it from the authorized bytes.

use core::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::uri::ResourceUri;

use crate::schema::ToolSchema;

pub use crate::authority::{Authority, Trust};

/// One element to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// At which server.
    pub server: ServerName,
    /// The method, as the method table spells it.
    pub method: &'static str,
    /// What it touches.
    pub target: Target,
    /// The arguments as they were sent: the JSON text of an object. `None`: none were.
    pub arguments: Option<Bytes>,
    /// What the tool takes: its accepted `inputSchema`. `None`: it has none, or the call is about no tool.
    pub schema: Option<Arc<ToolSchema>>,
    /// All of `params` as they were sent: an approval is also for what stands beside the arguments.
    pub params: Option<Bytes>,
    /// The digest of the canonical arguments, where the records keep one.
    pub arguments_digest: Option<Digest>,
    /// The round that this goes on with: the same call was permitted and paid for before, and its upstream asked
    /// something back. It is used up in place of approval and budgets.
    pub round: Option<Digest>,
    /// Where it came from, as far as that is known.
    pub source: Option<IpAddr>,
}

impl Call {
    /// A call without arguments, from an unknown place, that goes on with nothing.
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

/// What a call touches, with what the catalogue knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A tool of the checkpoint's own: it can only take away from what the caller may do.
    Checkpoint {
        /// Its name.
        name: &'static str,
    },
    /// A deferred result. `own`: it was started by this subject, client and grant.
    Job {
        /// Its identifier as the upstream gave it.
        id: String,
        /// Whether the caller started it.
        own: bool,
    },
    /// A prompt.
    Prompt {
        /// Its name.
        name: String,
    },
    /// A resource, or a template of resources.
    Resource {
        /// Its URI. Nothing is judged by a text that is not canonical.
        uri: ResourceUri,
    },
    /// Nothing beyond the server itself: a handshake, a list (which is filtered item by item), a notification.
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
    /// The name to show and to record.
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
    /// The server has it, and it is new or not what was accepted: until an owner accepts it, it is not there.
    Held,
    /// It exists, and nobody has classified it: it needs its own `tool:NAME` scope.
    Unclassified,
    /// The server does not have it.
    Unknown,
}

impl Call {
    /// How much this call can do to the world. What is unclassified could do anything.
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

    /// Whether the record may follow the effect by a moment (product rule: decisions on anything but reads are
    /// on record before their effect).
    pub fn is_read(&self) -> bool {
        self.class() == ToolClass::Read
    }

    /// Whether a budget counts it.
    pub fn is_counted(&self) -> bool {
        match &self.target {
            Target::Prompt { .. } | Target::Resource { .. } | Target::Tool { .. } => true,
            Target::Checkpoint { .. } | Target::Job { .. } | Target::Server => false,
        }
    }

    /// Every scope this call needs, of which the token must satisfy all (RS-20). For a tool, its own
    /// `tool:NAME` serves as well: see [`Call::is_granted_by`].
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

    /// Whether `held` covers this call.
    pub fn is_granted_by(&self, held: &ScopeSet) -> bool {
        let by_name = || match &self.target {
            Target::Tool { name, .. } => held.contains(&Scope::tool(name)),
            _ => false,
        };
        self.scope().is_none_or(|scope| held.satisfies(&scope)) || by_name()
    }
}
