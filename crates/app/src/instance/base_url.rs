//! The URL under which clients reach this instance: stored at first start, because tokens carry it.

use sekisho_store::Store;

use crate::config::Configuration;
use crate::error::CommandError;

/// Reads a base URL: https, or http on loopback; no path, query, fragment, userinfo or trailing slash (AS-03, AS-07).
pub(crate) fn check_base_url(url: &str) -> Result<(), String> {
    let parsed = url::Url::parse(url).map_err(|error| format!("`{url}` is not a URL: {error}"))?;
    let loopback = parsed.host_str().is_some_and(sekisho_protocol::redirect::is_loopback_host);
    let secure = parsed.scheme() == "https" || (parsed.scheme() == "http" && loopback);
    if !secure {
        return Err(format!("`{url}`: plain http is for loopback only, use https"));
    }
    let bare =
        parsed.path() == "/" && parsed.query().is_none() && parsed.fragment().is_none() && parsed.username().is_empty();
    if !bare || url.ends_with('/') || parsed.as_str().trim_end_matches('/') != url {
        return Err(format!(
            "`{url}` must be scheme, host and port in lower case only, such as `https://mcp.example.com`"
        ));
    }
    Ok(())
}

/// The base URL: what was stored at first start, else what is wanted, which is then stored; else `localhost` with the
/// scheme that is spoken here.
pub(super) async fn base_url(store: &Store, configuration: &Configuration, port: u16) -> Result<String, CommandError> {
    let wanted = configuration.base_url.as_deref();
    let failed = |error: sekisho_store::StoreError| {
        CommandError::environment(format!("the store failed: {error}"), "see the disk")
    };
    let scheme = if configuration.tls.cert.is_some() { "https" } else { "http" };
    let local = format!("{scheme}://localhost:{port}");
    let wanted_or_local = wanted.unwrap_or(&local);
    check_base_url(wanted_or_local).map_err(|message| CommandError::usage(message, "correct `base_url`"))?;
    // Read first: nothing has to be written at a later start, which may be one on a full disk.
    let mut tx = store.read().await.map_err(failed)?;
    let stored = match tx.settings().get("base_url").await.map_err(failed)? {
        Some(stored) => stored,
        None => {
            let mut tx = store.begin().await.map_err(failed)?;
            tx.settings().put_new("base_url", wanted_or_local).await.map_err(failed)?;
            let stored = tx.settings().get("base_url").await.map_err(failed)?;
            tx.commit().await.map_err(failed)?;
            stored.unwrap_or_else(|| wanted_or_local.to_owned())
        }
    };
    match wanted {
        Some(wanted) if wanted != stored => Err(CommandError::environment(
            format!("the base URL is `{stored}` since first start, and `{wanted}` is configured"),
            format!("changing it ends all grants: `sekisho base-url set {wanted}`"),
        )),
        None if is_local(&stored) && stored != local => Err(CommandError::environment(
            format!("the base URL is `{stored}` since first start, and {scheme} is spoken on port {port}"),
            format!("listen there as before, or change it, which ends all grants: `sekisho base-url set {local}`"),
        )),
        _ => Ok(stored),
    }
}

/// The port of a stored base URL on loopback, for an instance that was started on a free port once.
pub(crate) async fn stored_port(store: &Store) -> Option<u16> {
    let mut tx = store.read().await.ok()?;
    let stored = tx.settings().get("base_url").await.ok()??;
    is_local(&stored).then(|| url::Url::parse(&stored).ok()?.port())?
}

/// Whether clients are, or will be, told `localhost:PORT`.
pub(crate) async fn advertises_localhost(store: &Store, wanted: Option<&str>) -> bool {
    let stored = match store.read().await {
        Ok(mut tx) => tx.settings().get("base_url").await.ok().flatten(),
        Err(_) => None,
    };
    stored.as_deref().or(wanted).is_none_or(is_local)
}

pub(crate) fn is_local(base_url: &str) -> bool {
    ["http://localhost:", "https://localhost:"].iter().any(|local| base_url.starts_with(local))
}
