//! Translates a call for the policies: principal, action, resource, context.

use std::collections::{BTreeMap, HashSet};
use std::str::FromStr as _;

use cedar_policy::{Context, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression as Expression};
use sekisho_protocol::caller::{Principal, Subject};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::{ServerName, UserId};
use sekisho_protocol::text::fold;

use super::arguments::{Arguments, bags};
use super::looks::Bag;
use super::parts::{OWNERS, RightsServer, RightsUser};
use super::spelling::READINGS;
use super::uses::Uses;
use crate::model::{Authority, Call, Target, ToolState};

/// A question to the rights, with everything that policies may look at.
pub(super) struct Question<'a> {
    pub(super) principal: Principal<'a>,
    pub(super) authority: &'a Authority,
    pub(super) call: &'a Call,
    /// The arguments; read only if the policies look at them.
    pub(super) arguments: Option<&'a Arguments<'a>>,
    pub(super) uses: Uses,
    pub(super) now: Timestamp,
}

/// The types of the schema, read once.
pub(super) struct Terms {
    action: EntityTypeName,
    arguments: EntityTypeName,
    client: EntityTypeName,
    decimals: EntityTypeName,
    flags: EntityTypeName,
    pub(super) group: EntityTypeName,
    nobody: EntityTypeName,
    numbers: EntityTypeName,
    prompt: EntityTypeName,
    resource: EntityTypeName,
    pub(super) server: EntityTypeName,
    pub(super) server_group: EntityTypeName,
    service: EntityTypeName,
    tool: EntityTypeName,
    pub(super) user: EntityTypeName,
}

/// Returns the entity of this type and name.
pub(super) fn uid(kind: &EntityTypeName, name: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(name))
}

impl Terms {
    pub(super) fn new() -> Self {
        #[expect(clippy::expect_used, reason = "each is a plain identifier, and a test reads them all")]
        let term = |name: &str| EntityTypeName::from_str(name).expect("an identifier");
        Self {
            action: term("Action"),
            arguments: term("Arguments"),
            client: term("Client"),
            decimals: term("Decimals"),
            flags: term("Flags"),
            group: term("Group"),
            nobody: term("Nobody"),
            numbers: term("Numbers"),
            prompt: term("Prompt"),
            resource: term("Resource"),
            server: term("Server"),
            server_group: term("ServerGroup"),
            service: term("Service"),
            tool: term("Tool"),
            user: term("User"),
        }
    }

    fn bag(&self, bag: Bag) -> &EntityTypeName {
        match bag {
            Bag::Arguments => &self.arguments,
            Bag::Decimals => &self.decimals,
            Bag::Flags => &self.flags,
            Bag::Numbers => &self.numbers,
        }
    }

    /// Returns the principal of a subject.
    pub(super) fn subject(&self, subject: &Subject) -> EntityUid {
        match subject {
            Subject::Anonymous => uid(&self.nobody, "nobody"),
            Subject::Service(client) => uid(&self.service, client.as_str()),
            Subject::User(user) => uid(&self.user, &user.to_string()),
        }
    }

    /// Returns the resource of a tool.
    pub(super) fn tool(&self, server: &ServerName, name: &str) -> EntityUid {
        uid(&self.tool, &format!("{server}/{name}"))
    }

    /// Returns the question and its entities. `None` if some part of it cannot be expressed, which denies the call.
    pub(super) fn request(
        &self,
        users: &BTreeMap<UserId, RightsUser>,
        servers: &BTreeMap<ServerName, RightsServer>,
        asked: &Question<'_>,
    ) -> Option<(Request, Vec<Entity>)> {
        let call = asked.call;
        let mut entities = Vec::with_capacity(6);
        let principal = self.principal(users, asked.principal.subject, &mut entities)?;
        let definition = servers.get(&call.server)?;
        let server = self.server(definition, &call.server, &mut entities)?;
        let (action, resource) = self.resource(asked, (&server, definition), &mut entities)?;
        let context = self.context(asked, &mut entities)?;
        let request = Request::new(principal, uid(&self.action, action), resource, context, None).ok()?;
        Some((request, entities))
    }

    fn principal(
        &self,
        users: &BTreeMap<UserId, RightsUser>,
        subject: &Subject,
        entities: &mut Vec<Entity>,
    ) -> Option<EntityUid> {
        let principal = self.subject(subject);
        let (name, groups) = match subject {
            Subject::Anonymous => (None, HashSet::new()),
            Subject::Service(client) => (Some(client.as_str().to_owned()), HashSet::new()),
            Subject::User(user) => {
                // A disabled user is not among the users.
                let user = users.get(user)?;
                let mut groups: HashSet<_> = user.groups.iter().map(|group| uid(&self.group, group)).collect();
                groups.extend(user.owner.then(|| uid(&self.group, OWNERS)));
                (Some(user.name.clone()), groups)
            }
        };
        let name = name.map(|name| ("name".to_owned(), Expression::new_string(name)));
        entities.push(Entity::new(principal.clone(), name.into_iter().collect(), groups).ok()?);
        Some(principal)
    }

    fn server(&self, server: &RightsServer, name: &ServerName, entities: &mut Vec<Entity>) -> Option<EntityUid> {
        let own = uid(&self.server, name.as_str());
        let party = if server.third_party { "third" } else { "first" };
        let attributes = [
            ("name".to_owned(), Expression::new_string(name.to_string())),
            ("party".to_owned(), Expression::new_string(party.to_owned())),
        ];
        let groups = server.groups.iter().map(|group| uid(&self.server_group, group)).collect();
        entities.push(Entity::new(own.clone(), attributes.into(), groups).ok()?);
        Some(own)
    }

    fn resource(
        &self,
        asked: &Question<'_>,
        (server, definition): (&EntityUid, &RightsServer),
        entities: &mut Vec<Entity>,
    ) -> Option<(&'static str, EntityUid)> {
        let call = asked.call;
        let name = |name: &str| ("name".to_owned(), Expression::new_string(name.to_owned()));
        let (action, kind, own, mut attributes) = match &call.target {
            Target::Job { own: false, .. } => return None,
            // Following up on a job of one's own, and giving rights up, are part of using the server.
            Target::Checkpoint { .. } | Target::Job { own: true, .. } | Target::Server => {
                return Some(("list", server.clone()));
            }
            Target::Prompt { name: own } => ("get", &self.prompt, own.as_str(), vec![name(own)]),
            Target::Resource { uri } => {
                let uri = uri.as_str();
                ("read", &self.resource, uri, vec![("uri".to_owned(), Expression::new_string(uri.to_owned()))])
            }
            Target::Tool { standing: ToolState::Held | ToolState::Unknown, .. } => return None,
            Target::Tool { name: own, standing } => {
                let (class, level) = match standing {
                    ToolState::Classified(class) => (class.as_str(), level(*class)),
                    ToolState::Held | ToolState::Unclassified | ToolState::Unknown => {
                        ("unclassified", level(ToolClass::Destructive))
                    }
                };
                let attributes = vec![
                    name(own),
                    ("class".to_owned(), Expression::new_string(class.to_owned())),
                    ("level".to_owned(), Expression::new_long(level)),
                    ("open_world".to_owned(), Expression::new_bool(!definition.closed_world.contains(own))),
                ];
                ("call", &self.tool, own.as_str(), attributes)
            }
        };
        if asked.uses.spellings {
            attributes.extend(readings(&call.target));
        }
        let own = uid(kind, &format!("{}/{own}", call.server));
        let parents = HashSet::from([server.clone()]);
        entities.push(Entity::new(own.clone(), attributes.into_iter().collect(), parents).ok()?);
        Some((action, own))
    }

    /// Builds the context. It has only what the policies look at.
    fn context(&self, asked: &Question<'_>, entities: &mut Vec<Entity>) -> Option<Context> {
        let uses = asked.uses;
        let mut pairs = Vec::new();
        if uses.path {
            pairs.extend(self.path(asked, entities)?.map(|path| ("path".to_owned(), path)));
        }
        if uses.task
            && let Some(purpose) = asked.authority.need.purpose()
        {
            let purpose = ("purpose".to_owned(), Expression::new_string(purpose.to_owned()));
            pairs.push(("task".to_owned(), Expression::new_record([purpose]).ok()?));
        }
        if uses.source
            && let Some(source) = asked.call.source
        {
            // An IPv4 address that is written as IPv6 would be in no IPv4 range.
            pairs.push(("source".to_owned(), Expression::new_ip(source.to_canonical().to_string())));
        }
        if uses.time {
            pairs.push(("now".to_owned(), Expression::new_datetime(datetime(asked.now))));
        }
        if let Some(arguments) = asked.arguments {
            for (bag, tags) in bags(arguments) {
                let own = uid(self.bag(bag), "call");
                entities.push(Entity::new_with_tags(own.clone(), [], [], tags).ok()?);
                pairs.push((bag.attribute().to_owned(), Expression::new_entity_uid(own)));
            }
        }
        if pairs.is_empty() {
            return Some(Context::empty());
        }
        Context::from_pairs(pairs).ok()
    }

    /// Returns the path; the inner `None` is for a principal that has none.
    #[expect(clippy::option_option, reason = "outside: cannot be said; inside: there is none")]
    fn path(&self, asked: &Question<'_>, entities: &mut Vec<Entity>) -> Option<Option<Expression>> {
        let Some(path) = asked.principal.path else { return Some(None) };
        let trust = asked.authority.trust.level();
        let client = |id: &sekisho_protocol::ids::ClientId| uid(&self.client, id.as_str());
        for hop in path.hops() {
            let attributes = [("trust".to_owned(), Expression::new_long(trust))];
            entities.push(Entity::new(client(hop), attributes.into(), HashSet::new()).ok()?);
        }
        let (first, last) = (path.hops().first()?, path.hops().last()?);
        let hops = path.hops().iter().map(|hop| Expression::new_entity_uid(client(hop)));
        let record = Expression::new_record([
            ("first".to_owned(), Expression::new_entity_uid(client(first))),
            ("last".to_owned(), Expression::new_entity_uid(client(last))),
            ("hops".to_owned(), Expression::new_set(hops)),
            ("depth".to_owned(), Expression::new_long(i64::try_from(path.hops().len()).ok()?)),
            ("trust".to_owned(), Expression::new_long(trust)),
        ]);
        record.ok().map(Some)
    }
}

/// Returns the attributes that widened comparisons look at.
fn readings(target: &Target) -> Vec<(String, Expression)> {
    let texts = match target {
        Target::Prompt { name } | Target::Tool { name, .. } => vec![fold(name).into_owned()],
        Target::Resource { uri } => uri.readings().into(),
        Target::Checkpoint { .. } | Target::Job { .. } | Target::Server => Vec::new(),
    };
    READINGS.iter().zip(texts).map(|(name, text)| ((*name).to_owned(), Expression::new_string(text))).collect()
}

/// Returns the number by which policies compare classes.
pub(super) fn level(class: ToolClass) -> i64 {
    match class {
        ToolClass::Read => 0,
        ToolClass::Write => 1,
        ToolClass::Destructive => 2,
    }
}

/// Returns the time as Cedar reads it, in milliseconds.
fn datetime(now: Timestamp) -> String {
    let utc = now.to_zoned(jiff::tz::TimeZone::UTC);
    utc.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
