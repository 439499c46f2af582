//! What users are called, for lists.

use std::collections::BTreeMap;

use sekisho_protocol::caller::Subject;
use sekisho_store::{StoreError, Tx};

/// The names of all users.
#[derive(Debug)]
pub struct Names(BTreeMap<Subject, String>);

impl Names {
    /// Reads them.
    pub async fn read(tx: &mut Tx) -> Result<Self, StoreError> {
        Ok(Self(tx.users().list().await?.into_iter().map(|user| (Subject::User(user.id), user.name)).collect()))
    }

    /// The name, or the subject where it is no user's.
    pub fn of(&self, subject: &Subject) -> String {
        self.0.get(subject).cloned().unwrap_or_else(|| subject.to_string())
    }
}
