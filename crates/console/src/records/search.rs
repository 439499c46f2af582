//! The search in the records.

use std::collections::BTreeMap;
use std::time::Duration;

use sekisho_protocol::audit::{Event, Record};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ClientId, RequestId, ServerName};
use sekisho_protocol::refusal::SetName;
use sekisho_store::{StoreError, Tx};
use sekisho_web::error::PageError;
use sekisho_web::parameters::Parameters;
use sekisho_web::sentence::Sentence;
use sekisho_web::shown;

use super::parties::{People, parties};

/// The longest name that is looked for, in characters.
const NAME_CHARS_MAX: usize = 200;

/// How far back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Since {
    #[default]
    Ever,
    Hour,
    Day,
    Week,
}

impl Since {
    pub(super) const ALL: [Self; 4] = [Self::Ever, Self::Hour, Self::Day, Self::Week];

    /// The value in the form.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ever => "",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    pub(super) fn words(self) -> Sentence {
        match self {
            Self::Ever => Sentence::SinceEver,
            Self::Hour => Sentence::SinceHour,
            Self::Day => Sentence::SinceDay,
            Self::Week => Sentence::SinceWeek,
        }
    }

    fn moment(self, now: Timestamp) -> Option<Timestamp> {
        let hours = match self {
            Self::Ever => return None,
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 7 * 24,
        };
        now.checked_sub(Duration::from_secs(hours * 60 * 60)).ok()
    }
}

/// What is looked for; everything that is not given fits.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// A part of the name of the person.
    pub(super) who: String,
    /// A part of the name of the client, or its identifier.
    pub(super) client: String,
    pub(super) server: Option<ServerName>,
    /// The set that refused.
    pub(super) set: Option<SetName>,
    pub(super) since: Since,
}

impl Search {
    /// The sets, as the form has them.
    pub(super) const SETS: [(&'static str, Sentence); 3] =
        [("rights", Sentence::SetRights), ("grant", Sentence::SetGrant), ("need", Sentence::SetNeed)];

    pub(super) fn read(parameters: &Parameters) -> Result<Self, PageError> {
        let text = |name: &str| -> String {
            parameters.one(name).unwrap_or_default().trim().chars().take(NAME_CHARS_MAX).collect()
        };
        let server = match text("server").as_str() {
            "" => None,
            name => Some(name.parse().map_err(|_| PageError::Malformed)?),
        };
        let set = match text("set").as_str() {
            "" => None,
            "rights" => Some(SetName::Rights),
            "grant" => Some(SetName::Grant),
            "need" => Some(SetName::Need),
            _ => return Err(PageError::Malformed),
        };
        let since = text("since");
        let since = Since::ALL.into_iter().find(|choice| choice.word() == since).ok_or(PageError::Malformed)?;
        Ok(Self { who: text("who"), client: text("client"), server, set, since })
    }

    /// Whether everything is looked for.
    pub(super) fn is_all(&self) -> bool {
        let named = self.who.is_empty() && self.client.is_empty();
        named && self.server.is_none() && self.set.is_none() && self.since == Since::Ever
    }

    pub(super) fn from(&self, now: Timestamp) -> Option<Timestamp> {
        self.since.moment(now)
    }

    pub(super) fn set_word(&self) -> &'static str {
        match self.set {
            None => "",
            Some(SetName::Grant) => "grant",
            Some(SetName::Need) => "need",
            Some(SetName::Rights) => "rights",
        }
    }

    /// Returns the query of the page with the exchanges before this one, with the same search.
    pub(super) fn before(&self, request: RequestId) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("before", &request.to_string());
        let server = self.server.as_ref().map(ToString::to_string).unwrap_or_default();
        let words = [
            ("who", self.who.as_str()),
            ("client", &self.client),
            ("server", &server),
            ("set", self.set_word()),
            ("since", self.since.word()),
        ];
        for (name, value) in words.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        query.finish()
    }

    /// Whether an exchange is what is looked for.
    pub(super) async fn fits(&self, tx: &mut Tx, names: &mut Names, records: &[Record]) -> Result<bool, StoreError> {
        let (mut who, mut client) = (self.who.is_empty(), self.client.is_empty());
        let (mut server, mut set) = (self.server.is_none(), self.set.is_none());
        for record in records {
            let (subject, through, at) = parties(&record.event);
            server |= at.is_some() && at == self.server.as_ref();
            set |= matches!(&record.event, Event::Decision(decision) if self.set.is_some() && decision.set == self.set);
            if let (false, Some(subject)) = (who, subject) {
                who = contains(&names.people.name(tx, subject).await?, &self.who);
            }
            if let (false, Some(through)) = (client, through) {
                let named = contains(&names.client(tx, through).await?, &self.client);
                client = named || through.as_str() == self.client;
            }
        }
        Ok(who && client && server && set)
    }
}

fn contains(name: &str, part: &str) -> bool {
    name.to_lowercase().contains(&part.to_lowercase())
}

/// People and clients that were looked up for one page, each once.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) people: People,
    clients: BTreeMap<ClientId, String>,
}

impl Names {
    async fn client(&mut self, tx: &mut Tx, id: &ClientId) -> Result<String, StoreError> {
        if let Some(known) = self.clients.get(id) {
            return Ok(known.clone());
        }
        let name = shown::client(tx, id).await?.name;
        self.clients.insert(id.clone(), name.clone());
        Ok(name)
    }
}
