//! Logs: to standard error, one line each; JSON where a program reads.

use tracing_subscriber::EnvFilter;

use crate::os;
use crate::say::Log;

/// Starts logging. `SEKISHO_LOG` takes a filter such as `debug` or `sekisho_gateway=trace`.
pub(crate) fn start(json: bool) {
    let wanted = os::variable("SEKISHO_LOG")
        .unwrap_or_else(|| "warn,sekisho=info,sekisho_gateway=info,sekisho_issuer=info".to_owned());
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|_| EnvFilter::new("warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(move || Log { json });
    // A second start in one process (tests) keeps the first.
    let _ = if json { builder.json().try_init() } else { builder.with_target(false).compact().try_init() };
}

/// Starts logging for a command that tells its own story: warnings only.
pub(crate) fn start_quiet() {
    let wanted = os::variable("SEKISHO_LOG").unwrap_or_else(|| "error".to_owned());
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|_| EnvFilter::new("error"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let _ = builder.with_writer(|| Log { json: false }).compact().try_init();
}
