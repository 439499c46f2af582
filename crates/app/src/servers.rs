//! From definitions to what the surfaces work with: cards, routes, rights.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sekisho_acts::server::Add as ServerAdd;
use sekisho_gateway::{
    BuiltInSettings, EnvValue, HttpSettings, KeepArguments, Route, Routes, StdioSettings, Upstream, UpstreamSettings,
};
use sekisho_policy::rights::{Fault, Rights, RightsLoan, RightsParts, RightsServer, RightsUser, warnings};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::ids::ServerName;
use sekisho_protocol::resource::ResourceId;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::secret::UpstreamSecret;
use sekisho_protocol::server::{ServerCard, ServerDirectory, TaskTemplate};
use sekisho_store::{GroupSource, Loan, Membership, User};

use crate::config::login::{Login, Unusable};
use crate::config::{Access, Arguments, Configuration, Filled, Isolation, Observe, ServerDefinition};
use crate::error::CommandError;
use crate::{builtin, os};

mod credential;
mod filling;

use filling::filled;

/// A definition with its name and with the values that it must not hold itself.
#[derive(Debug, Clone)]
pub(crate) struct Defined {
    /// Its name.
    pub(crate) name: ServerName,
    /// What it says.
    pub(crate) definition: ServerDefinition,
    /// Sealed values: `env:NAME` or `header:NAME`.
    pub(crate) secrets: BTreeMap<String, UpstreamSecret>,
    /// Whether the owner's first consent classifies its tools.
    pub(crate) classify_at_consent: bool,
}

impl Defined {
    /// The classes that no person has to confirm: those of the configuration, and of the built-in tools.
    pub(crate) fn classes(&self) -> BTreeMap<String, ToolClass> {
        let mut classes = self.definition.tools.clone();
        for tool in builtin::TOOLS.iter().filter(|_| self.definition.builtin) {
            classes.entry((*tool).to_owned()).or_insert(ToolClass::Read);
        }
        classes
    }
}

/// What the issuer and the gateway know of all servers.
pub(crate) fn directory(servers: &[Defined], base_url: &str, login: &Login) -> Result<ServerDirectory, CommandError> {
    let cards: Result<Vec<ServerCard>, CommandError> =
        servers.iter().map(|server| card(server, base_url, login)).collect();
    Ok(ServerDirectory::new(cards?))
}

/// What routes are made with, beside the definitions of the servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RouteParts<'a> {
    /// The issuer identifier.
    pub(crate) base_url: &'a str,
    /// How many days sealed arguments are kept.
    pub(crate) arguments_days: u32,
    /// Certificate authorities that the configuration adds, as PEM.
    pub(crate) extra_ca: Option<&'a [u8]>,
    /// The checkpoint as a server.
    pub(crate) builtin: &'a BuiltInSettings,
    /// The login providers, whose people the tokens of external authorization servers are about.
    pub(crate) login: &'a Login,
}

/// What the gateway forwards to.
pub(crate) fn routes(servers: &[Defined], parts: RouteParts<'_>) -> Result<Routes, CommandError> {
    let RouteParts { base_url, arguments_days, extra_ca, builtin, login } = parts;
    let mut routes = BTreeMap::new();
    for server in servers {
        let definition = &server.definition;
        let upstream = match &definition.url {
            _ if definition.builtin => UpstreamSettings::BuiltIn(builtin.clone()),
            Some(url) => UpstreamSettings::Http(http(server, url, extra_ca)?),
            None => UpstreamSettings::Stdio(stdio(server)?),
        };
        let arguments = match definition.arguments {
            Arguments::Digest => KeepArguments::Digest,
            Arguments::None => KeepArguments::None,
            Arguments::Sealed => KeepArguments::Sealed { seconds: arguments_days.saturating_mul(86_400) },
        };
        let agent_tasks = definition.agent_tasks;
        let upstream = Upstream::behind(&server.name, upstream);
        let card = card(server, base_url, login)?;
        let external = match (&definition.authorization, &card.external) {
            (Some(authorization), Some(issuer)) => {
                let tokens = authorization.tokens(login, issuer.clone(), &card.resource);
                Some(tokens.map_err(|unusable| unusable_authorization(server, unusable))?)
            }
            _ => None,
        };
        let route = Route { card, upstream, arguments, agent_tasks, external };
        routes.insert(server.name.clone(), Arc::new(route));
    }
    Ok(Routes { servers: routes })
}

/// Users, their groups at identity providers, and what is lent to them at the moment.
#[derive(Debug)]
pub(crate) struct People {
    /// All users, also those who are disabled.
    pub(crate) users: Vec<User>,
    /// In which groups of identity providers they are.
    pub(crate) memberships: Vec<Membership>,
    /// Loans that have not ended.
    pub(crate) loans: Vec<Loan>,
}

/// Who may do what, in the users of the store.
pub(crate) fn rights(
    servers: &[Defined],
    people: People,
    configuration: &Configuration,
) -> Result<Rights, CommandError> {
    let People { users, memberships, loans } = people;
    let loans = loans.into_iter().map(lent).collect();
    Rights::new(RightsParts { loans, ..rights_parts(servers, &users, &memberships, configuration) }).map_err(|faults| {
        let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
        CommandError::usage(format!("the policies have mistakes: {}", all.join("; ")), "see `sekisho check`")
    })
}

fn lent(loan: Loan) -> RightsLoan {
    RightsLoan {
        id: loan.id,
        subject: loan.subject,
        client: loan.client,
        task: loan.task,
        server: loan.server,
        tool: loan.tool,
        bounds: loan.bounds,
        expires: loan.expires_at,
    }
}

/// Every mistake in the policies, for any users; and rules that are in force and probably not meant.
pub(crate) fn policy_faults(configuration: &Configuration) -> (Vec<Fault>, Vec<Fault>) {
    match Rights::new(rights_parts(&defined(configuration), &[], &[], configuration)) {
        Ok(rights) => {
            let unwise = rights.warnings().iter().cloned().chain(warnings(&configuration.policy_files));
            (Vec::new(), unwise.collect())
        }
        Err(faults) => (faults, Vec::new()),
    }
}

/// The rights of a configuration with this one user in it, who is in these groups, too: for tests of policies.
pub(crate) fn rights_with(
    configuration: &Configuration,
    user: User,
    groups: &[String],
) -> Result<Rights, CommandError> {
    let id = user.id;
    let mut parts = rights_parts(&defined(configuration), &[user], &[], configuration);
    if let Some(user) = parts.users.get_mut(&id) {
        user.groups.extend_from_slice(groups);
    }
    Rights::new(parts).map_err(|faults| {
        let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
        CommandError::usage(all.join("; "), "see `sekisho policy check`")
    })
}

/// The rights of a configuration with this one user in it, whom a provider puts into these groups.
pub(crate) fn rights_of_claims(
    configuration: &Configuration,
    user: User,
    provider: &str,
    groups: &BTreeSet<String>,
) -> Result<Rights, CommandError> {
    let member = |group: &String| Membership {
        user: user.id,
        provider: provider.to_owned(),
        group: group.clone(),
        source: GroupSource::Claims,
    };
    let members: Vec<Membership> = groups.iter().map(member).collect();
    Rights::new(rights_parts(&defined(configuration), &[user], &members, configuration)).map_err(|faults| {
        let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
        CommandError::usage(all.join("; "), "see `sekisho policy check`")
    })
}

/// The servers of a configuration, as far as they have names.
fn defined(configuration: &Configuration) -> Vec<Defined> {
    let servers = configuration.servers.iter().filter_map(|(name, definition)| {
        let name = name.parse().ok()?;
        let definition = definition.clone();
        Some(Defined { name, definition, secrets: BTreeMap::default(), classify_at_consent: false })
    });
    servers.collect()
}

/// The groups of a user: those of the file that name the user, or a group of a provider that the user is in, and those of
/// providers. A provider that is not in the configuration any more puts nobody into a group.
fn groups_of(user: &User, members: &[Membership], configuration: &Configuration) -> Vec<String> {
    let is_configured = |name: &str| configuration.login.provider.iter().any(|provider| provider.name == name);
    let of_user = members.iter().filter(|of| of.user == user.id && is_configured(&of.provider));
    let theirs: BTreeSet<&str> = of_user.map(|of| of.group.as_str()).collect();
    let named = |member: &String| *member == user.name || theirs.contains(member.as_str());
    let of_file = configuration.groups.iter().filter(|(_, members)| members.iter().any(named));
    let of_file: Vec<&str> = of_file.map(|(group, _)| group.as_str()).collect();
    of_file.into_iter().chain(theirs).map(str::to_owned).collect()
}

fn rights_parts(
    servers: &[Defined],
    users: &[User],
    members: &[Membership],
    configuration: &Configuration,
) -> RightsParts {
    let users = users.iter().filter(|user| !user.disabled);
    let known = users.clone().map(|user| {
        (
            user.id,
            RightsUser {
                name: user.name.clone(),
                owner: user.role.owns(),
                groups: groups_of(user, members, configuration),
            },
        )
    });
    let servers = servers.iter().map(|server| {
        let definition = &server.definition;
        let named = users.clone().filter_map(|user| Some((user.id, *definition.users.get(&user.name)?)));
        let rights = RightsServer {
            public: definition.access == Access::Public,
            everyone: definition.everyone,
            users: named.collect(),
            groups: definition.groups.clone(),
            third_party: definition.third_party,
            closed_world: definition.closed_world.clone(),
            observe_until: definition.rights.and_then(Observe::end),
        };
        (server.name.clone(), rights)
    });
    RightsParts {
        users: known.collect(),
        servers: servers.collect(),
        files: configuration.policy_files.clone(),
        loans: Vec::new(),
    }
}

fn unusable_authorization(server: &Defined, unusable: Unusable) -> CommandError {
    let Unusable { message, help, .. } = unusable;
    CommandError::usage(format!("server `{}`, `authorization`: {message}", server.name), help)
}

fn card(server: &Defined, base_url: &str, login: &Login) -> Result<ServerCard, CommandError> {
    let definition = &server.definition;
    let resource = ResourceId::parse(&format!("{base_url}/mcp/{}", server.name)).map_err(|error| {
        CommandError::environment(format!("`{base_url}`: {error}"), "change it with `sekisho base-url set URL`")
    })?;
    let scopes: Result<ScopeSet, _> =
        definition.scopes_default.iter().flatten().map(|scope| scope.parse::<Scope>()).collect();
    let scopes = scopes
        .map_err(|error| CommandError::usage(format!("server `{}`: {error}", server.name), "see `sekisho check`"))?;
    // Ordinary use reads and writes; what cannot be undone is asked for when it is needed.
    let scopes_default = if scopes.is_empty() { [Scope::read(), Scope::write()].into_iter().collect() } else { scopes };
    let external = definition.authorization.as_ref().map(|authorization| authorization.external_issuer(login));
    let external = external.transpose().map_err(|unusable| unusable_authorization(server, unusable))?;
    if external.as_ref().is_some_and(|external| external.issuer.trim_end_matches('/') == base_url) {
        let message =
            format!("server `{}`: its external authorization server is the checkpoint's own issuer", server.name);
        return Err(CommandError::usage(message, "remove the table `authorization`, or see `sekisho base-url show`"));
    }
    let account = credential::account(&server.name, definition)?.map(Arc::new);
    // The grant has to say that the client uses the account.
    let scopes_default = match &account {
        Some(_) => scopes_default.union(&std::iter::once(Scope::account()).collect()),
        None => scopes_default,
    };
    Ok(ServerCard {
        name: server.name.clone(),
        title: definition.title.clone().unwrap_or_else(|| server.name.to_string()),
        resource,
        scopes_default,
        public: definition.access == Access::Public,
        classes: server.classes(),
        templates: definition
            .templates
            .iter()
            .map(|(name, template)| TaskTemplate { name: name.clone(), definition: template.definition() })
            .collect(),
        classify_at_consent: server.classify_at_consent,
        external: external.map(Arc::new),
        account,
    })
}

fn http(server: &Defined, url: &str, extra_ca: Option<&[u8]>) -> Result<HttpSettings, CommandError> {
    let mut headers = Vec::new();
    let named = server
        .definition
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), UpstreamSecret::from_outside(value.clone())));
    let sealed = server
        .secrets
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("header:")?.to_owned(), value.clone())));
    for (name, value) in named.chain(sealed) {
        let wrong = || {
            CommandError::usage(
                format!("server `{}`: `{name}` is not a header", server.name),
                "use a name such as `Authorization`",
            )
        };
        let resolved = resolve(&format!("server `{}`", server.name), value)?;
        headers.push((axum::http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, resolved));
    }
    if let Some(fixed) = credential::fixed_header(&server.name, &server.definition)? {
        headers.push(fixed);
    }
    Ok(HttpSettings {
        url: filled(&format!("server `{}`", server.name), url, Filled::Value)?,
        headers,
        credential: credential::settings(&server.name, &server.definition)?,
        extra_ca_pem: extra_ca.map(<[u8]>::to_vec),
        connect_timeout: Duration::from_secs(10),
        // Many servers send the head of an answer only with the answer.
        answer_timeout: call_timeout(server).unwrap_or(CALL_TIMEOUT),
        call_timeout: call_timeout(server),
    })
}

/// How long a call may take where its server says nothing of it; the gateway's own default.
const CALL_TIMEOUT: Duration = Duration::from_mins(5);

fn call_timeout(server: &Defined) -> Option<Duration> {
    server.definition.call_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)))
}

fn stdio(server: &Defined) -> Result<StdioSettings, CommandError> {
    let definition = &server.definition;
    let (program, arguments) = definition.command.split_first().ok_or_else(|| {
        CommandError::usage(
            format!("server `{}` has neither a command nor a URL", server.name),
            "give `command` or `url`",
        )
    })?;
    let words = arguments.iter().map(|word| filled(&format!("server `{}`", server.name), word, Filled::Word));
    let arguments = words.map(|word| word.map(OsString::from)).collect::<Result<Vec<_>, _>>()?;
    let own = os::variables();
    let mut environment = BTreeMap::new();
    let mut withheld = Vec::new();
    for (name, value) in own {
        if os::is_inherited(&name, &value) || definition.pass.contains(&name) {
            environment.insert(name, EnvValue::Plain(value));
        } else if !os::SHELLS_OWN.contains(&name.as_str()) {
            withheld.push(name);
        }
    }
    for (name, value) in &definition.environment {
        environment.insert(
            name.clone(),
            EnvValue::Secret(resolve(
                &format!("server `{}`", server.name),
                UpstreamSecret::from_outside(value.clone()),
            )?),
        );
    }
    for (name, value) in &server.secrets {
        if let Some(name) = name.strip_prefix("env:") {
            environment.insert(name.to_owned(), EnvValue::Secret(value.clone()));
        }
    }
    if let Some((name, value)) = credential::fixed_variable(&server.name, definition)? {
        environment.insert(name, EnvValue::Secret(value));
    }
    withheld.retain(|name| !environment.contains_key(name));
    let usual = StdioSettings::new(program);
    let start_seconds = definition.start_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
    Ok(StdioSettings {
        start_timeout: start_seconds.unwrap_or(usual.start_timeout),
        call_timeout: call_timeout(server),
        arguments,
        directory: definition.directory.clone(),
        environment,
        credential: credential::settings(&server.name, &server.definition)?,
        withheld,
        isolation: match definition.isolation {
            Isolation::Session => sekisho_gateway::Isolation::Session,
            Isolation::Shared => sekisho_gateway::Isolation::Shared,
            Isolation::Subject => sekisho_gateway::Isolation::Subject,
        },
        guard: std::env::current_exe().ok(),
        ..usual
    })
}

/// Refuses that a server takes the name of another server, because the grants of that server would lead to it.
pub(crate) fn keep_name(before: Option<&ServerAdd>, after: &ServerAdd) -> Result<(), CommandError> {
    let Some(before) = before else { return Ok(()) };
    let read = |add: &ServerAdd| serde_json::from_str::<ServerDefinition>(&add.definition).ok();
    let same = match (read(before), read(after)) {
        (Some(before), Some(after)) => is_same(&before, &after),
        _ => false,
    };
    if same {
        return Ok(());
    }
    let name = &after.name;
    Err(CommandError::usage(
        format!("there is another server called `{name}`, and what was granted at it would lead to this one"),
        format!("choose another name with --name NAME; or end that one and its grants: `sekisho server remove {name}`"),
    ))
}

/// Whether two definitions start the same program, or call the same URL. The folder counts where a word of the command
/// is one of its files.
fn is_same(before: &ServerDefinition, after: &ServerDefinition) -> bool {
    let folders = || [&before.directory, &after.directory].into_iter().flatten();
    let is_file = |word: &String| {
        !Path::new(word).is_absolute() && !word.is_empty() && folders().any(|folder| folder.join(word).exists())
    };
    let same_folder = before.directory == after.directory || !after.command.iter().any(is_file);
    before.builtin == after.builtin && before.url == after.url && before.command == after.command && same_folder
}

/// Fills in what a value refers to: a secret need not stand in the file.
pub(crate) fn resolve(whose: &str, value: UpstreamSecret) -> Result<UpstreamSecret, CommandError> {
    filled(whose, value.expose(), Filled::Value).map(UpstreamSecret::from_outside)
}

#[cfg(test)]
mod tests;
