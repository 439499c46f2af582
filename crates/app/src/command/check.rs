//! `sekisho check` and `sekisho schema`

use std::path::Path;

use miette::{GraphicalReportHandler, GraphicalTheme};
use sekisho_console::acts::{Act, Outcome};
use sekisho_protocol::ids::ServerName;

use super::serve::PORT;
use crate::cli::Common;
use crate::config::{self, Configuration, Known, Loaded, Mistake};
use crate::data_dir::DataDir;
use crate::error::CommandError;
use crate::instance::is_local;
use crate::os::SystemClock;
use crate::{control, os};

/// Reports every mistake of a configuration file: all that `serve` would refuse, and names that nothing has.
pub(crate) async fn check(common: &Common, path: &Path) -> Result<(), CommandError> {
    let mut loaded = read(path)?;
    compare(common, &mut loaded).await;
    let fatal = loaded.mistakes.iter().filter(|mistake| mistake.fatal).count();
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

/// What the store knows, asked as every command asks.
async fn stored(folder: Option<&Path>, configuration: &Configuration) -> Result<(Known, Option<String>), CommandError> {
    let data = DataDir::open(folder)?;
    let lock = data.lock()?;
    let store = if lock.is_some() { Some(data.store().await?) } else { None };
    let node = data.node(&SystemClock)?;
    let ask = async |act: Act| match &store {
        Some(store) => control::perform_here(store, node, &SystemClock, act).await,
        None => control::act_in(&data, act).await,
    };
    let mut known = Known::default();
    if let Outcome::Users { users } = ask(Act::UserList).await? {
        known.users = users.into_iter().map(|user| user.name).collect();
    }
    for name in configuration.servers.keys() {
        let Ok(server) = name.parse::<ServerName>() else { continue };
        // A running checkpoint may have other servers in force than this file.
        if let Ok(Outcome::Tools { tools, .. }) = ask(Act::ToolsList { server: server.clone() }).await {
            known.tools.insert(name.clone(), tools.into_iter().map(|tool| tool.name).collect());
            if let Ok(Outcome::Definitions { definitions }) = ask(Act::ToolsDefinitions { server }).await {
                known.definitions.insert(name.clone(), definitions);
            }
        }
    }
    let base = match ask(Act::BaseUrlShow).await? {
        Outcome::BaseUrl { url } => url,
        other => return Err(super::unexpected(&other)),
    };
    if let Some(store) = store {
        store.close().await;
    }
    Ok((known, base))
}

/// The base URL is fixed at first start, and has to lead to where we listen.
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
        // Without `listen` in the file, `serve --listen` may say another port.
        loaded.add("listen", message, &help, listen.is_some());
    }
}

/// Reads a file, or says why it cannot be read.
pub(crate) fn read(path: &Path) -> Result<Loaded, CommandError> {
    config::load(path).map_err(|error| {
        CommandError::environment(
            format!("`{}` cannot be read: {error}", path.display()),
            "make one with `sekisho init`, or name another with -c FILE",
        )
    })
}

/// A configuration to judge by: nothing has to be there of what it needs to start.
pub(crate) fn sound(path: &Path) -> Result<Configuration, CommandError> {
    let loaded = read(path)?;
    if loaded.is_sound() {
        return Ok(loaded.configuration);
    }
    report(&loaded);
    let message = format!("`{}` has mistakes", path.display());
    Err(CommandError::usage(message, "correct them; `sekisho check` shows them all"))
}

/// Prints every mistake with its line and a caret.
pub(crate) fn report(loaded: &Loaded) {
    loaded.mistakes.iter().for_each(say);
}

/// The same without those that are mistakes on this machine alone.
pub(crate) fn report_sound(loaded: &Loaded) {
    loaded.mistakes.iter().filter(|mistake| !mistake.here).for_each(say);
}

fn say(mistake: &Mistake) {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    let mut text = String::new();
    match handler.render_report(&mut text, mistake) {
        Ok(()) => tell!("{text}"),
        Err(_) => tell!("{mistake}"),
    }
}

/// Logs what is unwise in a file that is used all the same.
pub(crate) fn warn(loaded: &Loaded) {
    for mistake in loaded.mistakes.iter().filter(|mistake| !mistake.fatal) {
        tracing::warn!(help = mistake.help.as_deref().unwrap_or_default(), "{mistake}");
    }
}

/// Prints the JSON Schema.
pub(crate) fn schema() -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(&config::schema())
        .map_err(|error| CommandError::environment(error.to_string(), "report this"))?;
    crate::say::json(&text);
    Ok(())
}
