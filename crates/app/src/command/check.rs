//! `sekisho check` and `sekisho schema`

use std::path::Path;

use sekisho_acts::command::{Command, Outcome};
use sekisho_protocol::ids::ServerName;

use super::check_login::check_login;
use crate::base_url::is_local;
use crate::cli::{Common, LoginCheck};
use crate::config::{self, Configuration};
use crate::configuration_file::Loaded;
use crate::configuration_file::names::StoreNames;
use crate::data_dir::DataDir;
use crate::error::CommandError;
use crate::listen::PORT;
use crate::os::SystemClock;
use crate::{control, os};

pub(crate) use crate::configuration_report::{read, report, sound};

/// Reports every mistake of a configuration file: everything that `serve` would refuse, and names that do not exist.
pub(crate) async fn check(common: &Common, path: &Path, login: &LoginCheck) -> Result<(), CommandError> {
    let mut loaded = read(path)?;
    compare(common, &mut loaded).await;
    let fatal = loaded.mistakes.iter().filter(|mistake| mistake.fatal).count();
    if fatal == 0 && login.login.is_some() {
        report(&loaded);
        return check_login(common, &loaded.configuration, login).await;
    }
    if common.json {
        let mistakes: Vec<_> = loaded
            .mistakes
            .iter()
            .map(|mistake| serde_json::json!({ "message": mistake.message, "help": mistake.help, "fatal": mistake.fatal, "from": mistake.span.start, "to": mistake.span.end }))
            .collect();
        super::print_json(&mistakes)?;
    } else {
        report(&loaded);
    }
    match (fatal, loaded.configuration.servers.len()) {
        (0, _) if common.json => Ok(()),
        (0, servers) => {
            say_lines!("{} is good: {servers} {}", path.display(), if servers == 1 { "server" } else { "servers" });
            Ok(())
        }
        (count, _) => Err(CommandError::no(format!("{count} mistakes in {}", path.display()))),
    }
}

/// Compares the file with the store that `serve` would open, if there is one: users, tools, and the base URL.
pub(crate) async fn compare(common: &Common, loaded: &mut Loaded) {
    let configured = common.data_dir.clone().or_else(|| loaded.configuration.data_dir.clone());
    let folder = configured.clone().or_else(os::default_data_dir);
    let mut base = None;
    if folder.is_some_and(|folder| folder.join("sekisho.db").exists()) {
        match stored(configured.as_deref(), &loaded.configuration).await {
            Ok((known, stored)) => {
                loaded.compare(&known);
                base = stored;
            }
            Err(error) => tell!("users and tools are not compared, because the store cannot be asked: {error}"),
        }
    }
    compare_base(loaded, base.as_deref());
}

/// Returns what the store knows, through the running instance if there is one.
async fn stored(
    folder: Option<&Path>,
    configuration: &Configuration,
) -> Result<(StoreNames, Option<String>), CommandError> {
    let data = DataDir::open(folder)?;
    let lock = data.lock()?;
    let store = if lock.is_some() { Some(data.store().await?) } else { None };
    let node = data.node(&SystemClock)?;
    let ask = async |command: Command| match &store {
        Some(store) => control::perform_here(store, node, &SystemClock, command).await,
        None => control::act_in(&data, command).await,
    };
    let mut known = StoreNames::default();
    if let Outcome::Users { users } = ask(Command::UserList).await? {
        known.users = users.into_iter().map(|user| user.name).collect();
    }
    for name in configuration.servers.keys() {
        let Ok(server) = name.parse::<ServerName>() else { continue };
        // A running checkpoint may have other servers than this file.
        if let Ok(Outcome::Tools { tools, .. }) = ask(Command::ToolsList { server: server.clone() }).await {
            known.tools.insert(name.clone(), tools.into_iter().map(|tool| tool.name).collect());
            if let Ok(Outcome::Definitions { definitions }) = ask(Command::ToolsDefinitions { server }).await {
                known.definitions.insert(name.clone(), definitions);
            }
        }
    }
    let base = match ask(Command::BaseUrlShow).await? {
        Outcome::BaseUrl { url } => url,
        other => return Err(super::unexpected(&other)),
    };
    if let Some(store) = store {
        store.close().await;
    }
    Ok((known, base))
}

/// Checks the base URL, which is fixed at the first start and has to lead to the address that we listen at.
fn compare_base(loaded: &mut Loaded, stored: Option<&str>) {
    let (wanted, listen) = (loaded.configuration.base_url.clone(), loaded.configuration.listen);
    match (&wanted, stored) {
        (Some(wanted), Some(stored)) if wanted != stored => {
            let message = format!("the base URL is `{stored}` since first start, and `{wanted}` is configured");
            let help = format!("changing it ends all grants: `sekisho base-url set {wanted}`");
            return loaded.add("base_url", message, &help, true);
        }
        _ => {}
    }
    let base = stored.or(wanted.as_deref());
    let is_localhost = |ip: std::net::IpAddr| ip.is_loopback() || ip.is_unspecified();
    if base.is_none_or(is_local)
        && let Some(listen) = listen.filter(|listen| !is_localhost(listen.ip()))
    {
        let message = format!("clients would be told `localhost`, and what they send there does not reach {listen}");
        let help = "say in `base_url` under which URL clients reach this address";
        return loaded.add("listen", message, help, true);
    }
    let port = listen.map_or(PORT, |listen| listen.port());
    let local = format!("http://localhost:{port}");
    if let (None, Some(stored)) = (&wanted, stored)
        && is_local(stored)
        && port != 0
        && stored != local
    {
        let message = format!("the base URL is `{stored}` since first start, and port {port} is listened on");
        let help = format!("listen on that port, or change it, which ends all grants: `sekisho base-url set {local}`");
        // Without `listen` in the file, `serve --listen` may choose another port.
        loaded.add("listen", message, &help, listen.is_some());
    }
}

/// Prints the JSON Schema.
pub(crate) fn schema() -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(&config::schema())
        .map_err(|error| CommandError::environment(error.to_string(), "report this"))?;
    crate::say::json(&text);
    Ok(())
}
