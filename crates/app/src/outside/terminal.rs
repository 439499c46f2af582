//! Sending a person to an authorization server: by the browser of this machine, or by a line to copy.

use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sekisho_client::authorization::{AuthorizationRequest, finish};
use sekisho_client::callback::{CallbackError, CallbackListener};
use sekisho_client::login::{Browser, Visit, VisitError};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::secret::AuthorizationCode;
use tokio::sync::mpsc;

use crate::os;

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// The longest address that is pasted.
const PASTED_BYTES_MAX: u64 = 16 * 1024;

/// A person at this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// Whether a browser may be opened.
    pub(crate) browser: bool,
    /// Whether standard input is the person's; for `connect` it is the client's.
    pub(crate) paste: bool,
    /// What to do where there is neither.
    pub(crate) instead: &'static str,
}

impl Terminal {
    fn can_paste(self) -> bool {
        self.paste && std::io::stdin().is_terminal()
    }
}

impl Browser for Terminal {
    fn ready<'a>(&'a self, before: Option<&'a RedirectUri>) -> BoxFuture<'a, Result<Box<dyn Visit>, VisitError>> {
        Box::pin(async move {
            let listener = CallbackListener::bind(before).await?;
            Ok(Box::new(At { terminal: *self, listener }) as Box<dyn Visit>)
        })
    }

    fn show(&self, url: &str) {
        tell!("\nA person has to decide:\n\n  {url}\n");
        if self.browser {
            os::open_in_browser(url);
        }
    }
}

/// A visit from here.
struct At {
    terminal: Terminal,
    listener: CallbackListener,
}

impl Visit for At {
    fn redirect_uri(&self) -> &RedirectUri {
        self.listener.redirect_uri()
    }

    fn go<'a>(
        self: Box<Self>,
        request: &'a AuthorizationRequest,
    ) -> BoxFuture<'a, Result<AuthorizationCode, VisitError>> {
        Box::pin(async move {
            let url = request.url();
            let opened = self.terminal.browser && os::open_in_browser(url);
            let paste = self.terminal.can_paste();
            if !opened && !paste {
                // Nobody would ever see the page.
                return Err(VisitError::Nobody(self.terminal.instead.to_owned()));
            }
            tell!("\n`{}` wants you to log in at `{}`:\n", request.resource(), request.issuer());
            tell!("  {url}\n");
            if opened {
                tell!("It was opened in your browser.");
            } else {
                tell!("Open it in any browser, also on another machine.");
            }
            if paste {
                tell!("If you end on a page that cannot be reached, paste its address here:");
            }
            let here = self.listener.wait(request, PATIENCE);
            if !paste {
                return Ok(here.await?);
            }
            tokio::select! {
                code = here => Ok(code?),
                code = pasted(request) => Ok(code?),
            }
        })
    }
}

/// The answer that a person pastes. What is not one is told, and the next line is waited for.
async fn pasted(request: &AuthorizationRequest) -> Result<AuthorizationCode, CallbackError> {
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        match finish(request, line.trim()) {
            Ok(code) => return Ok(code),
            Err(error) if line.trim().is_empty() => drop(error),
            Err(error) => {
                tell!("{error}; paste the whole address that begins with {}", request.redirect_uri())
            }
        }
    }
    // Nothing more comes from there; the listener still waits.
    std::future::pending().await
}

/// Lines of standard input, read by a thread that ends with the process.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = String::new();
            let read = std::io::Read::take(&mut input, PASTED_BYTES_MAX).read_line(&mut line);
            if !matches!(read, Ok(1..)) || sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Nobody is there: for programs that must not wait for anybody.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nobody {
    /// What to do instead.
    pub(crate) instead: &'static str,
}

impl Browser for Nobody {
    fn ready<'a>(&'a self, _: Option<&'a RedirectUri>) -> BoxFuture<'a, Result<Box<dyn Visit>, VisitError>> {
        Box::pin(async { Err(VisitError::Nobody(self.instead.to_owned())) })
    }

    fn show(&self, _: &str) {}
}
