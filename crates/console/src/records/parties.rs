//! Who is in a record.

use std::collections::BTreeMap;

use sekisho_protocol::audit::{Actor, Event};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::{ClientId, ServerName};
use sekisho_store::{StoreError, Tx};
use sekisho_web::language::Language;
use sekisho_web::shown;

use super::words;

/// Returns the subject, the client and the server of a record.
pub(super) fn parties(event: &Event) -> (Option<&Subject>, Option<&ClientId>, Option<&ServerName>) {
    match event {
        Event::ClockSet { .. } | Event::Refusals(_) => (None, None, None),
        Event::Act(it) => (it.subject.as_ref(), it.client.as_ref(), it.server.as_ref()),
        Event::Decision(it) => (Some(&it.subject), it.client.as_ref(), Some(&it.server)),
        Event::Outcome(it) => (None, None, Some(&it.server)),
        Event::Rejection(it) => (None, None, it.server.as_ref()),
        Event::Child { server, .. } => (None, None, Some(server)),
    }
}

/// Users that were looked up for one page, each once.
#[derive(Debug, Default)]
pub(super) struct People(BTreeMap<Subject, String>);

impl People {
    /// The name of a user, or the subject where it is no user's.
    pub(super) async fn name(&mut self, tx: &mut Tx, subject: &Subject) -> Result<String, StoreError> {
        if let Some(known) = self.0.get(subject) {
            return Ok(known.clone());
        }
        let name = shown::person(tx, subject).await?;
        self.0.insert(subject.clone(), name.clone());
        Ok(name)
    }

    /// Returns who did it: the name of a person, or the word for another kind of actor. `None`: a client or an unknown
    /// actor; the subject of the record says more.
    pub(super) async fn actor(
        &mut self,
        tx: &mut Tx,
        language: Language,
        event: &Event,
    ) -> Result<Option<String>, StoreError> {
        let Event::Act(act) = event else { return Ok(None) };
        Ok(match act.actor {
            Actor::User(user) => Some(self.name(tx, &Subject::User(user)).await?),
            Actor::Checkpoint | Actor::Operator | Actor::Provisioner => {
                Some(language.say(words::actor(act.actor)).to_owned())
            }
            Actor::Agent | Actor::Anonymous | Actor::Client => None,
        })
    }
}
