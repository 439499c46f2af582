//! HTTP clients of the checkpoint: for addresses that strangers name, and for addresses that its operator names.

use sekisho_client::http::{HttpSettings, SafeHttp};

use crate::builtin;
use crate::config::Configuration;
use crate::error::CommandError;

/// The HTTP client for documents and keys of OAuth clients, whose addresses strangers name.
pub(crate) fn outbound(configuration: &Configuration, extra_ca: Option<Vec<u8>>) -> Result<SafeHttp, CommandError> {
    SafeHttp::new(outbound_settings(configuration, extra_ca)?).map_err(no_outbound)
}

/// The HTTP client for documents that callers name. Their answers may be longer than those of OAuth.
pub(crate) fn documents(configuration: &Configuration, extra_ca: Option<Vec<u8>>) -> Result<SafeHttp, CommandError> {
    let settings = outbound_settings(configuration, extra_ca)?;
    SafeHttp::new(HttpSettings { body_bytes_max: builtin::DOCUMENT_BYTES_MAX, ..settings }).map_err(no_outbound)
}

/// The HTTP client for addresses that the operator named.
pub(crate) fn named(configuration: &Configuration, extra_ca: Option<Vec<u8>>) -> Result<SafeHttp, CommandError> {
    SafeHttp::new(named_settings(configuration, extra_ca)?).map_err(no_outbound)
}

/// Returns the settings for calling addresses that the operator names.
fn named_settings(configuration: &Configuration, extra_ca: Option<Vec<u8>>) -> Result<HttpSettings, CommandError> {
    Ok(HttpSettings { allow_http_loopback: true, ..outbound_settings(configuration, extra_ca)? })
}

/// Whether a URL of the configuration would be called, by the rule of the client that calls it.
pub(crate) fn check(configuration: &Configuration, url: &str) -> Result<(), String> {
    // Mistakes in these settings are reported at their own place.
    let Ok(settings) = named_settings(configuration, None) else { return Ok(()) };
    SafeHttp::check(url, &settings).map_err(|error| format!("`{url}` would not be called: {error}"))
}

fn outbound_settings(configuration: &Configuration, extra_ca: Option<Vec<u8>>) -> Result<HttpSettings, CommandError> {
    let mut settings = HttpSettings { extra_roots_pem: extra_ca.unwrap_or_default(), ..HttpSettings::default() };
    for network in &configuration.outbound.allow_private {
        let network = network
            .parse()
            .map_err(|_| CommandError::usage(format!("`{network}` is not a network"), "write it as `10.0.0.0/8`"))?;
        settings.allow_private.push(network);
    }
    Ok(settings)
}

fn no_outbound(error: sekisho_client::http::SetupError) -> CommandError {
    CommandError::environment(format!("no outbound HTTP: {error}"), "see `outbound.ca_file`")
}

/// The certificate authorities that the configuration adds, as PEM.
pub(crate) fn read_ca(configuration: &Configuration) -> Result<Option<Vec<u8>>, CommandError> {
    let Some(path) = &configuration.outbound.ca_file else { return Ok(None) };
    std::fs::read(path).map(Some).map_err(|error| {
        CommandError::environment(
            format!("`outbound.ca_file` `{}` cannot be read: {error}", path.display()),
            "give a PEM file",
        )
    })
}
