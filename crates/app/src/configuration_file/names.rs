//! Names in the configuration and in its policies that nothing has. A typing error in one of them makes a rule that
//! matches nothing, and then what was forbidden is allowed.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_policy::bounds::{self, BoundsError};
use sekisho_policy::rights::{NameOf, NameUse, OWNERS, PolicyFile, names};
use sekisho_protocol::ids::UserId;

use crate::builtin;
use crate::config::Configuration;

/// The most names that are reported at once: each is shown with its file.
const UNKNOWN_MAX: usize = 200;

/// The names that a store knows beside the configuration, if there is a store.
#[derive(Debug, Default)]
pub(crate) struct StoreNames {
    /// The names of all users.
    pub(crate) users: BTreeSet<String>,
    /// The tools that each server has, of those that were asked.
    pub(crate) tools: BTreeMap<String, BTreeSet<String>>,
    /// The accepted definitions of the tools of each server, by name.
    pub(crate) definitions: BTreeMap<String, BTreeMap<String, String>>,
}

impl StoreNames {
    fn definition(&self, server: &str, tool: &str) -> Option<&str> {
        self.definitions.get(server)?.get(tool).map(String::as_str)
    }
}

/// A name that nothing has.
#[derive(Debug)]
pub(crate) struct UnknownName {
    /// The policy file; `None`: the configuration itself.
    pub(crate) file: Option<String>,
    /// Where in the file, in bytes; `None`: look for `name`.
    pub(crate) span: Option<std::ops::Range<usize>>,
    /// The name as it is written.
    pub(crate) name: String,
    pub(crate) message: String,
    pub(crate) help: String,
    /// Whether it may open a hole.
    pub(crate) fatal: bool,
}

/// All names that nothing has, as far as that can be told.
pub(crate) fn unknown(configuration: &Configuration, store: Option<&StoreNames>) -> Vec<UnknownName> {
    let known_names = KnownNames::new(configuration, store);
    let policies = configuration.policy_files.iter();
    let mut found: Vec<UnknownName> = policies.flat_map(|file| in_policies(&known_names, file)).collect();
    found.extend(in_configuration(&known_names, configuration));
    found.extend(store.into_iter().flat_map(|store| in_bounds(store, configuration)));
    // Those for which the file is refused come first. The others are shown once these are corrected.
    found.sort_by_key(|unknown| !unknown.fatal);
    found.truncate(UNKNOWN_MAX);
    found
}

/// The names that exist.
struct KnownNames<'a> {
    groups: BTreeSet<&'a str>,
    /// Identity providers, whose names stand before those of their groups.
    providers: BTreeSet<&'a str>,
    server_groups: BTreeSet<&'a str>,
    servers: BTreeSet<&'a str>,
    /// Tools that are named in the configuration with a class or as a tool, by server.
    tools: BTreeMap<&'a str, Tools<'a>>,
    store: Option<&'a StoreNames>,
    users: BTreeSet<&'a str>,
    /// Whether `users` are all that there are.
    all_users: bool,
}

/// The tools of one server.
#[derive(Default)]
struct Tools<'a> {
    names: BTreeSet<&'a str>,
    /// Whether these are all that it has.
    all: bool,
}

/// Whether something has a name.
enum Stands {
    /// Nothing has the name. The name that was probably meant, if that is clear.
    Absent(Option<String>),
    /// Something has the name.
    There,
    /// It is not known here whether something has the name.
    Untold,
}

impl<'a> KnownNames<'a> {
    fn new(configuration: &'a Configuration, store: Option<&'a StoreNames>) -> Self {
        let servers = || configuration.servers.iter();
        let mut groups: BTreeSet<&str> = configuration.groups.keys().map(String::as_str).collect();
        groups.insert(OWNERS);
        let of_provider = |name: &&String| name.contains('/');
        let mut users: BTreeSet<&str> =
            configuration.groups.values().flatten().filter(|name| !of_provider(name)).map(String::as_str).collect();
        users.extend(servers().flat_map(|(_, server)| server.users.keys().map(String::as_str)));
        if let Some(store) = store {
            users = store.users.iter().map(String::as_str).collect();
        }
        let tools = servers().map(|(name, server)| {
            let listed = store.and_then(|store| store.tools.get(name)).filter(|tools| !tools.is_empty());
            let mut names: BTreeSet<&str> = server.tools.keys().map(String::as_str).collect();
            if server.builtin {
                names.extend(builtin::TOOLS);
            }
            if let Some(listed) = listed {
                names = listed.iter().map(String::as_str).collect();
            }
            if server.agent_tasks {
                names.extend(["begin_task", "end_task"]);
            }
            (name.as_str(), Tools { names, all: server.builtin || listed.is_some() })
        });
        Self {
            groups,
            providers: configuration.login.provider.iter().map(|provider| provider.name.as_str()).collect(),
            server_groups: servers().flat_map(|(_, server)| server.groups.iter().map(String::as_str)).collect(),
            servers: servers().map(|(name, _)| name.as_str()).collect(),
            tools: tools.collect(),
            store,
            users,
            all_users: store.is_some_and(|store| !store.users.is_empty()),
        }
    }

    /// A tool of a server that exists.
    fn tool(&self, server: &str, tool: &str) -> Stands {
        let Some(tools) = self.tools.get(server) else { return Stands::Untold };
        stands(&tools.names, tools.all, tool)
    }

    /// A tool of any server.
    fn any_tool(&self, name: &str) -> Stands {
        let mut all: BTreeSet<&str> = self.tools.values().flat_map(|tools| tools.names.iter().copied()).collect();
        // The same attribute is the name of a server and of a prompt.
        all.extend(&self.servers);
        stands(&all, false, name)
    }

    fn user(&self, name: &str) -> Stands {
        stands(&self.users, self.all_users, name)
    }
}

/// Whether a name is among these; `all`: there are no others.
fn stands(names: &BTreeSet<&str>, all: bool, name: &str) -> Stands {
    if names.contains(name) {
        return Stands::There;
    }
    match near(names, name) {
        Some(meant) => Stands::Absent(Some(meant)),
        None if all => Stands::Absent(None),
        None => Stands::Untold,
    }
}

/// The name that this one nearly is: so alike that a person who reads quickly takes one for the other.
pub(crate) fn near(names: &BTreeSet<&str>, name: &str) -> Option<String> {
    let length = name.chars().count();
    let most = if length < 4 { 1 } else { 2 };
    let alike = names.iter().map(|known| (strsim::damerau_levenshtein(known, name), *known));
    let nearest = alike.filter(|(distance, known)| (1..=most).contains(distance) && known.chars().count() > *distance);
    // Numbers at the end tell names apart that are meant to be alike.
    let stem = |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let differs = |known: &str| stem(known) != stem(name);
    nearest.filter(|(_, known)| differs(known)).min().map(|(_, known)| known.to_owned())
}

/// What to do about it.
fn meant(meant: Option<String>, otherwise: &str) -> String {
    meant.map_or_else(|| otherwise.to_owned(), |meant| format!("did you mean `{meant}`?"))
}

/// Why a name of a policy matches nothing, and what to do.
fn why(known_names: &KnownNames<'_>, found: &NameUse) -> Option<(String, String)> {
    let name = found.name.as_str();
    let fixed = |names: &[&'static str], what: &str| {
        let names: BTreeSet<&str> = names.iter().copied().collect();
        let all = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        (!names.contains(name))
            .then(|| (format!("no {what} is `{name}`"), meant(near(&names, name), &format!("there are {all}"))))
    };
    let of = |names: &BTreeSet<&str>, message: String, otherwise: &str| match stands(names, true, name) {
        Stands::Absent(near) => Some((message, meant(near, otherwise))),
        Stands::There | Stands::Untold => None,
    };
    match found.of {
        NameOf::Class => fixed(&["destructive", "read", "unclassified", "write"], "class of a tool"),
        NameOf::Argument | NameOf::Client | NameOf::Service => None,
        NameOf::Group if name.contains('/') => of_provider(known_names, name),
        NameOf::Group => {
            let message = format!("no user is in the group `{name}`");
            of(&known_names.groups, message, "groups stand in the table `groups` of the configuration")
        }
        NameOf::Nobody => fixed(&["nobody"], "`Nobody`"),
        NameOf::Party => fixed(&["first", "third"], "party"),
        NameOf::Prompt | NameOf::Resource | NameOf::Tool => {
            let Some((server, inner)) = name.split_once('/') else {
                return Some((format!("`{name}` names no server"), "write it as `SERVER/NAME`".to_owned()));
            };
            if let Some(found) = of_server(known_names, server) {
                return Some(found);
            }
            if found.of != NameOf::Tool {
                return None;
            }
            absent_tool(known_names.tool(server, inner), server, inner)
        }
        NameOf::ResourceName => match known_names.any_tool(name) {
            Stands::Absent(Some(near)) => {
                let help = format!("did you mean `{near}`? If not, give `{name}` a class in a table `tools`");
                Some((format!("no tool is known as `{name}`"), help))
            }
            Stands::Absent(None) | Stands::There | Stands::Untold => None,
        },
        NameOf::Server => of_server(known_names, name),
        NameOf::ServerGroup => {
            let message = format!("no server is in the group `{name}`");
            of(&known_names.server_groups, message, "groups of servers stand in `groups` of a server")
        }
        NameOf::User if name.parse::<UserId>().is_err() => {
            let help = format!("compare names: `principal is User && principal.name == \"{name}\"`");
            Some((format!("no user has the identifier `{name}`"), help))
        }
        NameOf::User => None,
        NameOf::UserName => match known_names.user(name) {
            Stands::Absent(near) => {
                Some((format!("there is no user `{name}`"), meant(near, "`sekisho user list` shows who there is")))
            }
            Stands::There | Stands::Untold => None,
        },
    }
}

/// Why nobody can be in this group of an identity provider, and what to do. Which groups a provider has is not known here:
/// claims and SCIM may name others any day. `check --login` shows those that people have.
fn of_provider(known_names: &KnownNames<'_>, name: &str) -> Option<(String, String)> {
    let before = name.split('/').next().unwrap_or_default();
    match stands(&known_names.providers, true, before) {
        Stands::Absent(near) => {
            let help = meant(near, "a group of an identity provider is written `PROVIDER/GROUP`");
            Some((format!("no identity provider is called `{before}`, so nobody is in `{name}`"), help))
        }
        Stands::There | Stands::Untold => None,
    }
}

fn of_server(known_names: &KnownNames<'_>, server: &str) -> Option<(String, String)> {
    match stands(&known_names.servers, true, server) {
        Stands::Absent(near) => {
            let message = format!("there is no server `{server}` in the configuration");
            Some((message, meant(near, "servers are the tables `[servers.NAME]`")))
        }
        Stands::There | Stands::Untold => None,
    }
}

fn absent_tool(stands: Stands, server: &str, tool: &str) -> Option<(String, String)> {
    match stands {
        Stands::Absent(Some(near)) => {
            let help = format!("did you mean `{near}`? If not, give `{tool}` a class in `[servers.{server}.tools]`");
            Some((format!("the server `{server}` has no tool `{tool}`, as far as is known"), help))
        }
        Stands::Absent(None) => {
            let help = format!("`sekisho server tools list {server}` shows what it has");
            Some((format!("the server `{server}` has no tool `{tool}`"), help))
        }
        Stands::There | Stands::Untold => None,
    }
}

/// An argument that its tool does not declare. `None`: it does, or that cannot be told. Where the tool may take others, too,
/// it is no mistake that is certain.
fn absent_argument(known_names: &KnownNames<'_>, found: &NameUse) -> Option<UnknownName> {
    let (server, tool) = found.tool.as_deref()?.split_once('/')?;
    let lacking = bounds::lacking(known_names.store?.definition(server, tool)?, &found.name)?;
    let so = if lacking.closed { ", so this matches nothing" } else { ", as far as its input schema says" };
    let name = &found.name;
    Some(UnknownName {
        file: None,
        span: found.span.map(|span| span.at..span.at + span.len),
        message: format!("rule `{}`: the tool `{server}/{tool}` has no argument `{name}`{so}", found.rule),
        help: lacking.hint.trim_start_matches("; ").to_owned(),
        fatal: found.takes && lacking.closed,
        name: name.clone(),
    })
}

/// Bounds of templates, against what the tools take: as they are looked at when a task begins with them.
fn in_bounds(store: &StoreNames, configuration: &Configuration) -> Vec<UnknownName> {
    let servers = configuration.servers.iter();
    let templates = servers.flat_map(|(server, it)| it.templates.iter().map(move |(name, of)| (server, name, of)));
    let bounds = templates.flat_map(|(server, name, of)| of.bounds.iter().map(move |bound| (server, name, bound)));
    let unfit = |(server, template, (tool, schema)): (&String, &String, (&String, &serde_json::Value))| {
        let definition = store.definition(server, tool)?;
        // Bounds that are wrong by themselves are reported elsewhere.
        bounds::check_schema(tool, schema, None).ok()?;
        let error = bounds::check_schema(tool, schema, Some(definition)).err()?;
        let message = format!("`servers.{server}.templates.{template}`: {error}");
        let (name, help, fatal) = match error {
            BoundsError::NoSuchArgument { name, closed: true, .. } => {
                (name, "the tool takes no others, so no call can keep this bound", true)
            }
            BoundsError::NoSuchArgument { name, closed: false, .. } => {
                (name, "a task with this bound cannot begin: write the name as the tool declares it", false)
            }
            _ => (tool.clone(), "a task with these bounds cannot begin, because they could bind nothing", true),
        };
        Some(UnknownName { file: None, span: None, name, message, help: help.to_owned(), fatal })
    };
    bounds.filter_map(unfit).collect()
}

fn in_policies(known_names: &KnownNames<'_>, file: &PolicyFile) -> Vec<UnknownName> {
    let unknown = |found: NameUse| {
        if found.of == NameOf::Argument {
            let absent = absent_argument(known_names, &found)?;
            return Some(UnknownName { file: Some(file.name.clone()), ..absent });
        }
        let (why, help) = why(known_names, &found)?;
        Some(UnknownName {
            file: Some(file.name.clone()),
            span: found.span.map(|span| span.at..span.at + span.len),
            message: format!("rule `{}`: {why}, so this matches nothing", found.rule),
            help,
            // Names of people resemble one another, and without a store there may be users that are not known here.
            fatal: found.takes && (found.of != NameOf::UserName || known_names.all_users),
            name: found.name,
        })
    };
    names(file).into_iter().filter_map(unknown).collect()
}

fn in_configuration(known_names: &KnownNames<'_>, configuration: &Configuration) -> Vec<UnknownName> {
    let mut found = Vec::new();
    let mut note = |name: &str, (message, help): (String, String), fatal: bool| {
        found.push(UnknownName { file: None, span: None, name: name.to_owned(), message, help, fatal });
    };
    let members = configuration
        .groups
        .iter()
        .flat_map(|(group, members)| members.iter().map(move |user| (format!("groups.{group}"), user)));
    let named = configuration
        .servers
        .iter()
        .flat_map(|(server, it)| it.users.keys().map(move |user| (format!("servers.{server}.users"), user)));
    for (place, group) in members.clone().filter(|(_, name)| name.contains('/')) {
        if let Some((message, help)) = of_provider(known_names, group) {
            note(group, (format!("`{place}`: {message}"), help), true);
        }
    }
    for (place, user) in members.filter(|(_, name)| !name.contains('/')).chain(named) {
        if known_names.all_users
            && let Stands::Absent(near) = known_names.user(user)
        {
            let help = meant(near, &format!("make one with `sekisho user add {user}`, or correct the name"));
            note(user, (format!("`{place}`: there is no user `{user}`"), help), false);
        }
    }
    for (server, it) in &configuration.servers {
        let listed = it.closed_world.iter().map(|tool| (tool, "closed_world", false));
        let classes = it.tools.keys().map(|tool| (tool, "tools", false));
        let templates = it.templates.values();
        let tasks = templates.clone().flat_map(|template| template.tools.iter().map(|tool| (tool, "templates", false)));
        let bounds = templates.flat_map(|template| template.bounds.keys().map(|tool| (tool, "templates", true)));
        for (tool, place, fatal) in listed.chain(classes).chain(tasks).chain(bounds) {
            if let Some((message, help)) = absent_tool(known_names.tool(server, tool), server, tool) {
                note(tool, (format!("`servers.{server}.{place}`: {message}"), help), fatal);
            }
        }
        for scope in it.scopes_default.iter().flatten() {
            if let Some(tool) = scope.strip_prefix("tool:")
                && let Some((message, help)) = absent_tool(known_names.tool(server, tool), server, tool)
            {
                note(scope, (format!("`servers.{server}.scopes_default`: {message}"), help), false);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
