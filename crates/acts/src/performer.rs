//! Who performs an act, when, and how it gets on record.

use sekisho_protocol::audit::{Act, ActKind, Actor, Event, Record};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::{Entropy, Timestamp};
use sekisho_protocol::ids::{NodeId, RequestId};
use sekisho_store::{Grant, StoreError, Tx};

/// Who performs an act, when, and what it is recorded under.
#[derive(Debug, Clone, Copy)]
pub struct Performer<'a> {
    /// Who.
    pub actor: Actor,
    /// The node whose chain of records is written.
    pub node: NodeId,
    /// The exchange under which it is recorded.
    pub request: RequestId,
    /// When.
    pub now: Timestamp,
    /// For identifiers and secrets.
    pub entropy: &'a dyn Entropy,
}

impl Performer<'_> {
    /// An act of which only the actor and the kind are known.
    pub fn act(&self, kind: ActKind) -> Act {
        Act::new(self.actor, kind)
    }

    /// The same about a grant: its user, its client and its server.
    pub fn act_on(&self, kind: ActKind, grant: &Grant) -> Act {
        Act {
            subject: Some(grant.subject.clone()),
            client: Some(grant.client.clone()),
            server: Some(grant.server.clone()),
            grant: Some(grant.id),
            ..self.act(kind)
        }
    }

    /// Puts an act on record in the transaction of its effect. It comes last in a transaction: at the head of the chain the
    /// writers of one node wait for each other.
    pub async fn record(&self, tx: &mut Tx, act: Act) -> Result<(), StoreError> {
        let record = Record { at: self.now, request: self.request, event: Event::Act(act.bounded()) };
        tx.audit().append(self.node, &[record], self.now).await.map(drop)
    }

    /// Whether the actor may act on what belongs to this subject: an operator and the checkpoint on everything, a person on
    /// their own things. The endpoint that authenticated a client has bound it to its grant.
    pub(crate) fn may_touch(&self, owner: &Subject) -> bool {
        match self.actor {
            Actor::Agent | Actor::Checkpoint | Actor::Client | Actor::Operator => true,
            Actor::Anonymous | Actor::Provisioner => false,
            Actor::User(user) => *owner == Subject::User(user),
        }
    }

    /// For columns that keep who did something.
    pub(crate) fn by(&self) -> String {
        self.actor.to_string()
    }
}
