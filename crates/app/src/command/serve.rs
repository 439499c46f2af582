//! `sekisho serve`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::Watcher as _;
use sekisho_protocol::digest::Digest;
use tokio::sync::mpsc;

use crate::base_url::{advertises_localhost, at_stored_port, stored_port};
use crate::cli::Common;
use crate::config::{Configuration, policy_folder};
use crate::data_dir::DataDir;
use crate::error::CommandError;
use crate::instance::{Instance, Parts, Source};
use crate::listen::{self, PORT};
use crate::os::{self, READ_TIMEOUT};
use crate::signals::stop_signal;
use crate::{configuration_report as report, serving, telemetry};

/// How long to wait after a change before reading the files: editors write a file in several steps.
const SETTLE: Duration = Duration::from_millis(150);

/// Protects the servers of a configuration file until it is told to stop.
pub(crate) async fn serve(common: &Common, path: &Path, listen: Option<SocketAddr>) -> Result<(), CommandError> {
    let _log = telemetry::start(common.json);
    let loaded = report::read(path)?;
    if !loaded.is_usable() {
        report::report(&loaded);
        if loaded.is_sound() {
            return Err(CommandError::environment(
                format!("this machine has not what `{}` needs", path.display()),
                "`sekisho check` shows all of it",
            ));
        }
        return Err(CommandError::usage(
            format!("`{}` has mistakes", path.display()),
            "correct them; `sekisho check` shows them all",
        ));
    }
    report::warn(&loaded);
    let mut configuration = loaded.configuration;
    configuration.listen = listen.or(configuration.listen);
    let data = DataDir::open(common.data_dir.as_deref().or(configuration.data_dir.as_deref()))?;
    let lock = data.lock()?.ok_or_else(|| {
        CommandError::environment(
            format!("another instance uses `{}`", data.path().display()),
            "end it, or choose another data directory with --data-dir DIR",
        )
    })?;
    refuse_plain_http(&configuration)?;
    data.choose_database(configuration.store.url.as_deref())?;
    let store = data.store().await?;
    let wanted = at_stored_port(configuration.listen, stored_port(&store).await);
    let listeners = listen::bind(wanted, PORT).await?;
    if !listeners.is_localhost() && advertises_localhost(&store, configuration.base_url.as_deref()).await {
        return Err(CommandError::usage(
            format!("clients would be told `localhost`, and what they send there does not reach {}", listeners.address),
            "say in `base_url` under which URL clients reach this address",
        ));
    }
    let certificate = match (&configuration.tls.cert, &configuration.tls.key) {
        (Some(cert), Some(key)) => Some(listen::Certificate::load(cert, key)?),
        _ => None,
    };
    let port = listeners.address.port();
    let instance =
        Instance::start(Parts { data, lock, store, configuration: configuration.clone(), source: Source::File, port })
            .await?;
    // Before we say that we are ready: a script that waits for that may change a file, or stop us, at once.
    let stop = stop_signal()?;
    let _watcher = watch_files(path, &configuration, instance.clone(), certificate.clone());
    let ready = || announce(common, &instance, &configuration);
    serving::serve(&instance, serving::Entry { listeners, certificate, stop }, ready).await
}

/// Refuses plain HTTP beyond loopback, where it would show every token to the network (RS-42, AS-07).
fn refuse_plain_http(configuration: &Configuration) -> Result<(), CommandError> {
    let open = configuration.listen.is_some_and(|listen| !listen.ip().is_loopback());
    let protected = configuration.tls.cert.is_some() || configuration.tls.terminated_in_front;
    if open && !protected {
        return Err(CommandError::usage(
            "beyond loopback, plain HTTP would show every token to the network",
            "give `tls.cert` and `tls.key`, or say `tls.terminated_in_front = true` if a proxy in front does it",
        ));
    }
    let reachable = open || configuration.tls.terminated_in_front;
    let opened = configuration.servers.iter().find(|(_, server)| {
        server.access == crate::config::Access::Public && reachable && !server.public_beyond_loopback
    });
    match opened {
        None => Ok(()),
        Some((name, _)) => Err(CommandError::usage(
            format!("server `{name}` is public and this address is reachable beyond loopback"),
            "say `public_beyond_loopback = true` as well if the whole network may call it",
        )),
    }
}

fn announce(common: &Common, instance: &Instance, configuration: &Configuration) -> Result<(), CommandError> {
    let servers: Vec<_> =
        configuration.servers.keys().map(|name| (name, format!("{}/mcp/{name}", instance.base_url))).collect();
    if common.json {
        let servers: Vec<_> =
            servers.iter().map(|(name, url)| serde_json::json!({ "name": name, "url": url })).collect();
        return super::print_json(
            &serde_json::json!({ "ready": true, "base_url": instance.base_url, "servers": servers, "pid": std::process::id() }),
        );
    }
    // Whether the servers answer is not known before they are called.
    let count = match servers.len() {
        1 => "1 server".to_owned(),
        count => format!("{count} servers"),
    };
    say_lines!(
        "Sekisho is up at {}. It stands in front of {count}, each of which is asked when it is called:",
        instance.base_url
    );
    for (name, url) in servers {
        say_lines!("  {name:<20} {url}");
    }
    say_lines!(
        "Stop with Ctrl-C. Users: `sekisho user add NAME`, first of all an owner: `--owner`. Records: `sekisho audit tail`."
    );
    Ok(())
}

/// Watches the folders of the configuration and of the certificate (in a container, a mounted file changes by a swapped
/// link), and SIGHUP.
fn watch_files(
    path: &Path,
    configuration: &Configuration,
    instance: Arc<Instance>,
    certificate: Option<Arc<listen::Certificate>>,
) -> Option<notify::RecommendedWatcher> {
    let (sender, mut changed) = mpsc::channel::<()>(1);
    let hup = sender.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if is_news(&event) {
            let _ = sender.try_send(());
        }
    })
    .ok()?;
    let files = [Some(path.to_owned()), configuration.tls.cert.clone(), configuration.tls.key.clone()];
    let files: Vec<PathBuf> = files.into_iter().flatten().collect();
    let parents = files.iter().filter_map(|file| std::path::absolute(file).ok()?.parent().map(PathBuf::from));
    let policies = policy_folder(path, configuration);
    for folder in parents.chain(policies.is_dir().then(|| policies.clone())) {
        if let Err(error) = watcher.watch(&folder, notify::RecursiveMode::NonRecursive) {
            tracing::warn!(%error, folder = %folder.display(), "changes are not noticed there; send SIGHUP after a change");
        }
    }
    tokio::spawn(async move {
        if let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
            while signal.recv().await.is_some() {
                let _ = hup.try_send(());
            }
        }
    });
    let path = path.to_owned();
    let mut last = configuration.clone();
    // No fingerprint yet, so the first event also takes over what changed while we started.
    let mut seen = None;
    tokio::spawn(async move {
        while changed.recv().await.is_some() {
            tokio::time::sleep(SETTLE).await;
            while changed.try_recv().is_ok() {}
            let (looked_at, rules) = (files.clone(), policies.clone());
            let now = os::beside(READ_TIMEOUT, move || fingerprint(&looked_at, &rules)).await;
            if now.is_some() && std::mem::replace(&mut seen, now) == now {
                // Another file of these folders has changed.
                continue;
            }
            reload(&path, &mut last, &instance, certificate.clone()).await;
        }
    });
    Some(watcher)
}

/// Returns whether an event may mean a change. Opening a file is an event too, so reading the files in response would
/// cause the next event. A failed notification may stand for a change.
fn is_news(event: &notify::Result<notify::Event>) -> bool {
    !event.as_ref().is_ok_and(|event| event.kind.is_access())
}

/// Returns the fingerprint of all watched files as they are on the disk. Taking it costs less than reading the
/// configuration and the policies.
fn fingerprint(files: &[PathBuf], policies: &Path) -> Digest {
    let mut paths = files.to_vec();
    let mut rules: Vec<PathBuf> =
        std::fs::read_dir(policies).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    rules.sort();
    paths.append(&mut rules);
    let mut parts = Vec::with_capacity(2 * paths.len());
    for path in paths {
        parts.push(path.as_os_str().as_encoded_bytes().to_vec());
        // An unreadable file must not look like an empty one.
        parts.push(std::fs::read(&path).unwrap_or_else(|error| error.to_string().into_bytes()));
    }
    Digest::of_list(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

async fn reload(
    path: &Path,
    last: &mut Configuration,
    instance: &Instance,
    certificate: Option<Arc<listen::Certificate>>,
) {
    if let Some(certificate) = certificate {
        match os::beside(READ_TIMEOUT, move || certificate.reload()).await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::error!(%error, "the certificate could not be read again; the old one stays");
            }
            None => tracing::error!("the certificate could not be read again in time; the old one stays"),
        }
    }
    let file = path.to_owned();
    let loaded = match os::beside(READ_TIMEOUT, move || report::read(&file)).await {
        Some(Ok(loaded)) => loaded,
        Some(Err(error)) => {
            return tracing::error!(%error, "the configuration could not be read again; the old one stays");
        }
        None => return tracing::error!("the configuration could not be read again in time; the old one stays"),
    };
    // What is missing on this machine is reported where it is used.
    if !loaded.is_sound() {
        report::report(&loaded);
        return tracing::error!("the configuration has mistakes; the old one stays");
    }
    report::warn(&loaded);
    let mut configuration = loaded.configuration;
    configuration.listen = last.listen.or(configuration.listen);
    if configuration == *last {
        return;
    }
    if let Err(error) = refuse_plain_http(&configuration) {
        return tracing::error!(%error, "the configuration was not taken over; the old one stays");
    }
    warn_of_restart(last, &configuration);
    match instance.reload(&configuration).await {
        Ok(()) => {
            tracing::info!(servers = configuration.servers.len(), "the changed configuration is in force");
            *last = configuration;
        }
        Err(error) => tracing::error!(%error, "the configuration was not taken over; the old one stays"),
    }
}

/// Warns about changed settings that are read only at the start.
fn warn_of_restart(before: &Configuration, after: &Configuration) {
    let settings = [
        ("base_url", before.base_url != after.base_url),
        ("data_dir", before.data_dir != after.data_dir),
        ("store", before.store != after.store),
        ("tls", (&before.tls.cert, &before.tls.key) != (&after.tls.cert, &after.tls.key)),
    ];
    for (setting, _) in settings.iter().filter(|(_, changed)| *changed) {
        tracing::warn!(setting, "this setting changed, and a restart is needed before the change counts");
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, CreateKind, ModifyKind, RemoveKind};
    use notify::{Error, Event, EventKind};

    use super::{fingerprint, is_news};

    /// Reading a watched file must not look like a change, or it would be read again for ever.
    #[test]
    fn looking_at_a_file_is_no_change() {
        for (kind, expected) in [
            (EventKind::Access(AccessKind::Any), false),
            (EventKind::Any, true),
            (EventKind::Create(CreateKind::Any), true),
            (EventKind::Modify(ModifyKind::Any), true),
            (EventKind::Remove(RemoveKind::Any), true),
        ] {
            assert_eq!(is_news(&Ok(Event::new(kind))), expected, "{kind:?}");
        }
        assert!(is_news(&Err(Error::generic("too many were told"))));
    }

    #[test]
    fn whatever_is_watched_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (file, policies) = (folder.path().join("sekisho.toml"), folder.path().join("policies"));
        std::fs::create_dir(&policies).unwrap();
        let mut seen = Vec::new();
        let mut look = || {
            let now = fingerprint(std::slice::from_ref(&file), &policies);
            assert_eq!(now, fingerprint(std::slice::from_ref(&file), &policies));
            assert!(!seen.contains(&now), "{now}");
            seen.push(now);
        };
        look();
        std::fs::write(&file, "").unwrap();
        look();
        std::fs::write(&file, "a").unwrap();
        look();
        std::fs::write(policies.join("a.cedar"), "").unwrap();
        look();
        std::fs::write(policies.join("a.cedar"), "b").unwrap();
        look();
        std::fs::rename(policies.join("a.cedar"), policies.join("b.cedar")).unwrap();
        look();
    }
}
