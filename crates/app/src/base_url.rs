//! The URL under which clients reach this instance. It is stored at first start, because tokens carry it.

use std::net::SocketAddr;

use sekisho_store::Store;

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

/// What the configuration and the socket say of the base URL.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BaseUrlSettings<'a> {
    /// `base_url` of the configuration.
    pub(crate) configured: Option<&'a str>,
    /// `http` or `https`: what is spoken on the socket.
    pub(crate) scheme: &'a str,
    /// The port that is listened on.
    pub(crate) port: u16,
}

/// The base URL: the one that was stored at first start. At first start it is the configured one, otherwise `localhost` with
/// the scheme that is spoken here, and it is stored. Fails if the configuration contradicts the stored one.
pub(crate) async fn settle(store: &Store, wish: BaseUrlSettings<'_>) -> Result<String, CommandError> {
    let BaseUrlSettings { configured: wanted, scheme, port } = wish;
    let failed = |error: sekisho_store::StoreError| {
        CommandError::environment(format!("the store failed: {error}"), "see the disk")
    };
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

/// A free port was asked for, and one was taken at the first start. Clients know that port.
pub(crate) fn at_stored_port(wanted: Option<SocketAddr>, stored: Option<u16>) -> Option<SocketAddr> {
    match (wanted, stored) {
        (Some(mut wanted), Some(port)) if wanted.port() == 0 => {
            wanted.set_port(port);
            Some(wanted)
        }
        _ => wanted,
    }
}

/// Values of `Host` under which a base URL is reached: itself, and for loopback the three spellings.
pub(crate) fn hosts(base_url: &str) -> Vec<String> {
    let authority = base_url.split("://").nth(1).unwrap_or_default().to_owned();
    let Ok(url) = url::Url::parse(base_url) else { return vec![authority] };
    if !url.host_str().is_some_and(sekisho_protocol::redirect::is_loopback_host) {
        return vec![authority];
    }
    let port = url.port_or_known_default().unwrap_or(80);
    ["localhost", "127.0.0.1", "[::1]"].iter().map(|host| format!("{host}:{port}")).collect()
}

#[cfg(test)]
mod tests;
