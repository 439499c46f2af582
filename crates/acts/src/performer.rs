//! Who performs an act, when, and how it gets on record.

use sekisho_protocol::audit::{Act, ActKind, Actor, Event, Record};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::{Entropy, Timestamp};
use sekisho_protocol::ids::{NodeId, RequestId};
use sekisho_store::{Grant, StoreError, Tx};

/// Who performs an act and when, and under which node and request it is recorded.
#[derive(Debug, Clone, Copy)]
pub struct Performer<'a> {
    /// Who performs it.
    pub actor: Actor,
    /// The node whose chain of records is written.
    pub node: NodeId,
    /// The request under which it is recorded.
    pub request: RequestId,
    /// The time of the act.
    pub now: Timestamp,
    /// The source of new identifiers and secrets.
    pub entropy: &'a dyn Entropy,
}

impl Performer<'_> {
    /// Returns a record of this kind by this actor, with nothing else in it.
    pub fn act(&self, kind: ActKind) -> Act {
        Act::new(self.actor, kind)
    }

    /// Returns a record of this kind about a grant: it has the grant's user, client and server.
    pub fn act_on(&self, kind: ActKind, grant: &Grant) -> Act {
        Act {
            subject: Some(grant.subject.clone()),
            client: Some(grant.client.clone()),
            server: Some(grant.server.clone()),
            grant: Some(grant.id),
            ..self.act(kind)
        }
    }

    /// Writes the record of an act in the transaction that makes its change. Call it last in a transaction, because all
    /// writers of one node wait for the head of its chain.
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

    /// Returns the actor as text, for columns that keep who did something.
    pub(crate) fn by(&self) -> String {
        self.actor.to_string()
    }
}
