//! Reads the configuration file: every mistake at once, each with its place.
//!
//! Every member has a default, so each key of each table can be read on its own; whatever is wrong with one
//! does not hide what is wrong with another.

use std::collections::BTreeMap;
use std::path::Path;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceSpan};
use sekisho_policy::rights::{Fault, OWNERS};
use sekisho_protocol::ids::{ClientId, ServerName};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base_url::check_base_url;
use crate::config::server::unfilled;
use crate::config::{
    Access, Configuration, Filled, UNREAD_HELP, check_server, database, fill, policy_files, policy_folder,
};
use crate::error::CommandError;
use crate::heads::SecondPlace;
use crate::proxies::Proxies;
use crate::reach;
use names::StoreNames;

mod authorization;
mod login;
pub(crate) mod names;

/// One mistake in the file.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Mistake {
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: Option<String>,
    /// The place in the file, in bytes.
    pub(crate) span: std::ops::Range<usize>,
    /// Whether the file is refused for it.
    pub(crate) fatal: bool,
    /// Whether it is one of this machine: a variable that is not set here, a file that is not there.
    pub(crate) here: bool,
    file: NamedSource<String>,
}

impl Diagnostic for Mistake {
    fn severity(&self) -> Option<miette::Severity> {
        Some(if self.fatal { miette::Severity::Error } else { miette::Severity::Warning })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.file)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = SourceSpan::from(self.span.clone());
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".to_owned()), span))))
    }
}

/// The file as it is shown beside its mistakes: secrets that stand in it are replaced by as many asterisks, because what
/// `check` prints may be kept by others.
fn shown(text: &str) -> String {
    let mask = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let is_secret = ["client_secret", "secret"].contains(&key.trim()) && !value.contains("${");
        let (from, to) = (line.find('"')? + 1, line.rfind('"')?);
        let (head, rest) = line.split_at_checked(from)?;
        let (secret, tail) = rest.split_at_checked(to.checked_sub(from)?)?;
        is_secret.then(|| format!("{head}{}{tail}", "*".repeat(secret.len())))
    };
    text.split_inclusive('\n').map(|line| mask(line).unwrap_or_else(|| line.to_owned())).collect()
}

/// A file that was read, with all that is wrong with it.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The configuration, as far as it could be read.
    pub(crate) configuration: Configuration,
    /// The mistakes and the warnings.
    pub(crate) mistakes: Vec<Mistake>,
    source: NamedSource<String>,
}

impl Loaded {
    /// Whether the file can be used.
    pub(crate) fn is_usable(&self) -> bool {
        self.mistakes.iter().all(|mistake| !mistake.fatal)
    }

    /// Whether what it says can be used, on a machine where everything is there that it refers to: enough to judge by it.
    pub(crate) fn is_sound(&self) -> bool {
        self.mistakes.iter().all(|mistake| !mistake.fatal || mistake.here)
    }

    /// Adds what is wrong in view of what a store knows.
    pub(crate) fn compare(&mut self, known: &StoreNames) {
        let told: Vec<String> = self.mistakes.iter().map(|mistake| mistake.message.clone()).collect();
        let found = names::unknown(&self.configuration, Some(known));
        let found = found.into_iter().map(|found| of_name(&self.source, &self.configuration, found));
        let fresh: Vec<Mistake> = found.filter(|mistake| !told.contains(&mistake.message)).collect();
        self.mistakes.extend(fresh);
    }

    /// Adds a mistake of the file itself, at the first place where `key` stands.
    pub(crate) fn add(&mut self, key: &str, message: String, help: &str, fatal: bool) {
        let span = find_word(self.source.inner(), key);
        let (file, help) = (self.source.clone(), Some(help.to_owned()));
        self.mistakes.push(Mistake { message, help, span, fatal, here: true, file });
    }
}

/// Reads a configuration file.
pub(crate) fn load(path: &Path) -> std::io::Result<Loaded> {
    let text = std::fs::read_to_string(path)?;
    let mut loaded = Reader::new(&path.display().to_string(), &text).read();
    let folder = policy_folder(path, &loaded.configuration);
    match policy_files(&folder, loaded.configuration.policies.is_some()) {
        Ok(found) => {
            loaded.configuration.policy_files = found.files;
            loaded.mistakes.extend(found.unread.iter().map(|unread| Mistake {
                message: unread.sentence(&folder),
                help: Some(UNREAD_HELP.to_owned()),
                span: 0..0,
                fatal: unread.is_policy,
                here: false,
                file: NamedSource::new(path.display().to_string(), text.clone()),
            }));
        }
        Err(error) => loaded.mistakes.push(Mistake {
            message: format!("`{}` cannot be read: {error}", folder.display()),
            help: Some("name a folder with policy files".to_owned()),
            span: text.find("policies").map_or(0..0, |at| at..at + "policies".len()),
            fatal: true,
            here: true,
            file: NamedSource::new(path.display().to_string(), text.clone()),
        }),
    }
    let (faults, warnings) = crate::servers::policy_faults(&loaded.configuration);
    loaded.mistakes.extend(faults.into_iter().map(|fault| of_policy(&loaded.configuration, fault)));
    let odd = warnings.into_iter().map(|fault| Mistake { fatal: false, ..of_policy(&loaded.configuration, fault) });
    loaded.mistakes.extend(odd.collect::<Vec<_>>());
    let unknown = names::unknown(&loaded.configuration, None).into_iter();
    let unknown = unknown.map(|found| of_name(&loaded.source, &loaded.configuration, found));
    loaded.mistakes.extend(unknown.collect::<Vec<_>>());
    Ok(loaded)
}

fn of_policy(configuration: &Configuration, fault: Fault) -> Mistake {
    let file = configuration.policy_files.iter().find(|file| file.name == fault.file);
    let span = fault.span.map_or(0..0, |span| span.at..span.at + span.len);
    let text = file.map(|file| file.text.clone()).unwrap_or_default();
    let file = NamedSource::new(fault.file, text);
    Mistake { message: fault.message, help: fault.help, span, fatal: true, here: false, file }
}

/// Reports a name that nothing has as a mistake of the file that contains it.
fn of_name(source: &NamedSource<String>, configuration: &Configuration, found: names::UnknownName) -> Mistake {
    let policy = found.file.as_ref().and_then(|name| configuration.policy_files.iter().find(|file| file.name == *name));
    let file = policy.map_or_else(|| source.clone(), |file| NamedSource::new(&file.name, file.text.clone()));
    let span = found.span.unwrap_or_else(|| find_word(file.inner(), &found.name));
    Mistake { message: found.message, help: Some(found.help), span, fatal: found.fatal, here: false, file }
}

/// The first place where a word stands by itself; the beginning, if it stands nowhere.
fn find_word(text: &str, word: &str) -> std::ops::Range<usize> {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    let whole = |at: &usize| {
        let (before, after) = (text.get(..*at).unwrap_or_default(), text.get(at + word.len()..).unwrap_or_default());
        !is_part(before.chars().next_back()) && !is_part(after.chars().next())
    };
    let found = text.match_indices(word).map(|(at, _)| at).find(whole);
    found.map_or(0..0, |at| at..at + word.len())
}

struct Reader<'t> {
    text: &'t str,
    source: NamedSource<String>,
    mistakes: Vec<Mistake>,
}

impl<'t> Reader<'t> {
    fn new(name: &str, text: &'t str) -> Self {
        Self { text, source: NamedSource::new(name, shown(text)), mistakes: Vec::new() }
    }

    fn read(mut self) -> Loaded {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            self.note(error.span().unwrap_or(0..0), error.message().to_owned(), None);
        }
        let mut configuration = Configuration::default();
        let table = table.into_inner();
        for (key, value) in &table {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("servers", DeValue::Table(servers)) => self.servers(&mut configuration, servers),
                ("tls", DeValue::Table(inner)) => configuration.tls = self.table(inner),
                ("outbound", DeValue::Table(inner)) => configuration.outbound = self.table(inner),
                ("clients", DeValue::Table(inner)) => configuration.clients = self.table(inner),
                ("audit", DeValue::Table(inner)) => configuration.audit = self.table(inner),
                ("webhook", DeValue::Table(inner)) => configuration.webhook = Some(self.table(inner)),
                ("limits", DeValue::Table(inner)) => configuration.limits = self.table(inner),
                ("store", DeValue::Table(inner)) => configuration.store = self.table(inner),
                ("groups", DeValue::Table(inner)) => self.groups(&mut configuration, inner),
                ("login", DeValue::Table(inner)) => configuration.login = self.login(inner),
                _ => {}
            }
        }
        let plain = table.iter().filter(|(key, value)| {
            let nested = matches!(
                key.get_ref().as_ref(),
                "servers"
                    | "tls"
                    | "outbound"
                    | "clients"
                    | "audit"
                    | "webhook"
                    | "limits"
                    | "login"
                    | "groups"
                    | "store"
            );
            !(nested && matches!(value.get_ref(), DeValue::Table(_)))
        });
        let plain: DeTable<'_> = plain.map(|(key, value)| (key.clone(), value.clone())).collect();
        let top: Configuration = self.table(&plain);
        configuration.listen = top.listen;
        configuration.base_url = top.base_url;
        configuration.data_dir = top.data_dir;
        configuration.origins = top.origins;
        configuration.policies = top.policies;
        self.check(&configuration, &table);
        self.check_login(&configuration, &table);
        self.check_authorization(&configuration, &table);
        Loaded { configuration, mistakes: self.mistakes, source: self.source }
    }

    fn servers(&mut self, configuration: &mut Configuration, servers: &DeTable<'_>) {
        for (name, value) in servers {
            if let Err(error) = name.get_ref().parse::<ServerName>() {
                self.note(name.span(), error.to_string(), None);
            }
            let DeValue::Table(inner) = value.get_ref() else {
                self.note(value.span(), "expected a table with `command` or `url`".to_owned(), None);
                continue;
            };
            let server = self.server(inner);
            for problem in check_server(&server) {
                let span = place(inner, problem.key).unwrap_or_else(|| name.span());
                self.push(span, problem.message, problem.help, problem.fatal);
            }
            for (key, message, help) in unfilled(&server) {
                self.push_here(place(inner, key).unwrap_or_else(|| name.span()), message, help);
            }
            configuration.servers.insert(name.get_ref().to_string(), server);
        }
    }

    /// The group `owners` has the owners of the checkpoint. A line in a file makes no user an owner.
    fn groups(&mut self, configuration: &mut Configuration, groups: &DeTable<'_>) {
        for (name, value) in groups {
            if name.get_ref() == OWNERS {
                let help = "make an owner with `sekisho user add NAME --owner`, and name this group otherwise";
                self.note(name.span(), "`owners` is the group of all owners".to_owned(), Some(help.to_owned()));
            }
            let mut one = DeTable::new();
            one.insert(name.clone(), value.clone());
            match read::<BTreeMap<String, Vec<String>>>(one, name.span()) {
                Ok(group) => configuration.groups.extend(group),
                Err(error) => self.note(value.span(), error.message().to_owned(), None),
            }
        }
    }

    /// Reads a table key by key, so that every wrong one is reported.
    fn table<T: DeserializeOwned + Default>(&mut self, table: &DeTable<'_>) -> T {
        let mut good = DeTable::new();
        for (key, value) in table {
            let mut one = DeTable::new();
            one.insert(key.clone(), value.clone());
            match read::<T>(one, key.span()) {
                Ok(_) => drop(good.insert(key.clone(), value.clone())),
                Err(error) => {
                    let span = error.span().filter(|span| !span.is_empty()).unwrap_or_else(|| key.span());
                    self.note(span, error.message().to_owned(), suggestion(error.message(), key.get_ref()));
                }
            }
        }
        read(good, 0..0).unwrap_or_default()
    }

    fn check(&mut self, configuration: &Configuration, table: &DeTable<'_>) {
        let at = |key: &str| place(table, key).unwrap_or(0..0);
        self.check_address(configuration, table);
        self.check_proxies(configuration, at("tls"));
        if let Some(url) = &configuration.store.url {
            for problem in database::check(url) {
                self.push(at("store"), problem.message, problem.help, problem.fatal);
            }
        }
        self.check_here(configuration, table);
        if configuration.clients.registered_max == 0 {
            let help = "say `registration = false` to keep clients from registering themselves";
            self.note(at("clients"), "`registered_max` is at least 1".to_owned(), Some(help.to_owned()));
        }
        if let Some(heads) = &configuration.audit.heads
            && let Err(message) = check_heads(configuration, heads)
        {
            let help = "write `file:/var/log/sekisho-heads.jsonl`, `syslog`, `syslog:/path/of/its/socket`, or `https://collector.example/heads`";
            self.note(at("audit"), message, Some(help.to_owned()));
        }
        if configuration.audit.heads_every == 0 || configuration.audit.arguments_days == 0 {
            self.note(at("audit"), "`heads_every` and `arguments_days` are at least 1".to_owned(), None);
        }
        if let Some(webhook) = &configuration.webhook
            && let Err(message) =
                crate::webhook::check(webhook).and_then(|()| reach::check(configuration, &webhook.url))
        {
            self.note(at("webhook"), message, None);
        }
        for client in &configuration.clients.tool_errors {
            if ClientId::parse(client).is_err() {
                self.note(at("clients"), format!("`{client}` is not the identifier of a client"), None);
            }
        }
        for network in &configuration.outbound.allow_private {
            if network.parse::<ipnet::IpNet>().is_err() {
                self.note(at("outbound"), format!("`{network}` is not a network such as `10.0.0.0/8`"), None);
            }
        }
        let limits = &configuration.limits;
        if limits.result_mib == 0 || limits.result_mib > limits.memory_mib.max(128) / 8 {
            let help = "two results have to fit into what one client has, a fourth of `memory_mib`: raise that as well";
            let message = "`result_mib` is at least 1 and at most an eighth of `memory_mib`";
            self.note(at("limits"), message.to_owned(), Some(help.to_owned()));
        }
        if configuration.servers.is_empty() {
            self.push(
                0..0,
                "no server is protected".to_owned(),
                Some("add a table `[servers.NAME]` with `command` or `url`".to_owned()),
                false,
            );
        }
    }

    /// Where it listens, and what is protected there.
    fn check_address(&mut self, configuration: &Configuration, table: &DeTable<'_>) {
        let at = |key: &str| place(table, key).unwrap_or(0..0);
        if configuration.tls.cert.is_some() != configuration.tls.key.is_some() {
            self.note(
                at("tls"),
                "`cert` and `key` belong together".to_owned(),
                Some("give both, or neither".to_owned()),
            );
        }
        if let Some(url) = &configuration.base_url
            && let Err(message) = check_base_url(url)
        {
            self.note(at("base_url"), message, None);
        }
        if let Some(listen) = configuration.listen
            && !listen.ip().is_loopback()
            && configuration.tls.cert.is_none()
            && !configuration.tls.terminated_in_front
        {
            let help = "give `tls.cert` and `tls.key`, or say `tls.terminated_in_front = true` if a proxy does it";
            self.note(
                at("listen"),
                "beyond loopback, plain HTTP would show every token to the network".to_owned(),
                Some(help.to_owned()),
            );
        }
    }

    /// Checks what a start needs of this machine, with the code that a start uses.
    fn check_here(&mut self, configuration: &Configuration, table: &DeTable<'_>) {
        let at = |key: &str| place(table, key).unwrap_or(0..0);
        let mut told = |key: &str, error: &CommandError| {
            self.push_here(at(key), error.to_string(), error.hint().unwrap_or_default());
        };
        if let (Some(cert), Some(key)) = (&configuration.tls.cert, &configuration.tls.key)
            && let Err(error) = crate::listen::Certificate::load(cert, key)
        {
            told("tls", &error);
        }
        match reach::read_ca(configuration) {
            Err(error) => told("outbound", &error),
            // An entry that is not a network is reported at its place.
            Ok(extra)
                if configuration
                    .outbound
                    .allow_private
                    .iter()
                    .all(|network| network.parse::<ipnet::IpNet>().is_ok()) =>
            {
                if let Err(error) = reach::named(configuration, extra) {
                    told("outbound", &error);
                }
            }
            Ok(_) => {}
        }
        if let Some(webhook) = &configuration.webhook
            && let Err(error) = fill(&webhook.secret, Filled::Value)
        {
            self.push_here(at("webhook"), format!("the webhook {error}"), error.help());
        }
        let reachable = configuration.tls.terminated_in_front
            || configuration.listen.is_some_and(|listen| !listen.ip().is_loopback());
        for (name, _) in configuration
            .servers
            .iter()
            .filter(|(_, server)| reachable && server.access == Access::Public && !server.public_beyond_loopback)
        {
            let message = format!("server `{name}` is public and this address is reachable beyond loopback");
            let help = "say `public_beyond_loopback = true` as well if the whole network may call it";
            self.note(find_word(self.text, name), message, Some(help.to_owned()));
        }
    }

    /// Which proxies are believed about where requests come from.
    fn check_proxies(&mut self, configuration: &Configuration, at: std::ops::Range<usize>) {
        let proxies = &configuration.tls.trusted_proxies;
        if let Err(text) = Proxies::read(proxies) {
            let help = "name the networks or addresses of the proxies, such as `10.0.0.0/8` or `192.0.2.7`";
            self.note(at.clone(), format!("`{text}` is not a network"), Some(help.to_owned()));
        }
        if let Some(text) = proxies.iter().find(|text| text.ends_with("/0")) {
            let help = "name only the proxies: whoever is in that network can write any address into a header";
            self.note(at.clone(), format!("`{text}` is every address"), Some(help.to_owned()));
        }
        if configuration.tls.terminated_in_front && proxies.is_empty() {
            let message = "all callers count as one address, that of the proxy: for records, policies and limits";
            let help = "name the proxy in `tls.trusted_proxies`; it has to set `Forwarded` or `X-Forwarded-For`";
            self.push(at, message.to_owned(), Some(help.to_owned()), false);
        }
    }

    fn note(&mut self, span: std::ops::Range<usize>, message: String, help: Option<String>) {
        self.push(span, message, help, true);
    }

    fn push(&mut self, span: std::ops::Range<usize>, message: String, help: Option<String>, fatal: bool) {
        self.mistakes.push(Mistake { message, help, span, fatal, here: false, file: self.source.clone() });
    }

    /// Reports what is right in the file and missing on this machine.
    fn push_here(&mut self, span: std::ops::Range<usize>, message: String, help: String) {
        let (help, file) = (Some(help), self.source.clone());
        self.mistakes.push(Mistake { message, help, span, fatal: true, here: true, file });
    }
}

fn read<T: for<'de> Deserialize<'de>>(table: DeTable<'_>, span: std::ops::Range<usize>) -> Result<T, toml::de::Error> {
    T::deserialize(toml::de::ValueDeserializer::from(Spanned::new(span, DeValue::Table(table))))
}

fn place(table: &DeTable<'_>, key: &str) -> Option<std::ops::Range<usize>> {
    table.iter().find(|(name, _)| name.get_ref() == key).map(|(name, value)| match value.get_ref() {
        DeValue::Table(_) => name.span(),
        _ => value.span(),
    })
}

/// "did you mean", where serde lists the names it knows.
fn suggestion(message: &str, unknown: &str) -> Option<String> {
    let known = message.split_once("expected one of ")?.1;
    let names = known.split(", ").map(|name| name.trim_matches('`'));
    let near = names.map(|name| (strsim::jaro_winkler(name, unknown), name)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (near.0 > 0.8).then(|| format!("did you mean `{}`?", near.1))
}

/// Checks the place of the signed heads: that it exists, and that it would be called.
fn check_heads(configuration: &Configuration, heads: &str) -> Result<(), String> {
    match SecondPlace::read(heads)? {
        SecondPlace::File(_) | SecondPlace::Syslog(_) => Ok(()),
        SecondPlace::Url(url) => reach::check(configuration, &url),
    }
}

#[cfg(test)]
mod tests;
