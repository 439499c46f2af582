//! Sending a person to an authorization server: by the browser of this machine, or by a line to copy.

use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sekisho_client::authorization::{AuthorizationAnswer, AuthorizationRequest, finish};
use sekisho_client::callback::{CallbackAddress, CallbackError, CallbackListener};
use sekisho_client::login::{Browser, Visit, VisitError};
use sekisho_protocol::redirect::RedirectUri;
use tokio::sync::mpsc;

use crate::command::visible;
use crate::os::{self, OsEntropy};

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

    /// Whether a person reads what is printed. With `--no-browser` that person opens the page that is printed.
    fn is_read(self) -> bool {
        self.paste && !self.browser
    }
}

impl Browser for Terminal {
    fn ready<'a>(&'a self, place: &'a CallbackAddress) -> BoxFuture<'a, Result<Box<dyn Visit>, VisitError>> {
        Box::pin(async move {
            let listener = CallbackListener::bind(place, os::is_of_another_user, &OsEntropy).await?;
            Ok(Box::new(At { terminal: *self, listener }) as Box<dyn Visit>)
        })
    }

    fn warn(&self, text: &str) {
        tell!("Warning: {}", visible(text));
    }

    fn show(&self, url: &str) {
        tell!("\nA person has to decide:\n\n  {url}\n");
        if self.browser {
            os::open_in_browser(url);
        }
    }
}

/// Opens the page from this machine.
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
    ) -> BoxFuture<'a, Result<AuthorizationAnswer, VisitError>> {
        Box::pin(async move {
            // Every user of this machine can read a command line, so the browser gets the address of our own page.
            let link = self.listener.link();
            let opened = self.terminal.browser && os::open_in_browser(&link);
            let paste = self.terminal.can_paste();
            if !opened && !paste && !self.terminal.is_read() {
                // No person would see the page.
                return Err(VisitError::Nobody(self.terminal.instead.to_owned()));
            }
            tell(request, &link, Way { opened, paste });
            let here = self.listener.wait(request, PATIENCE);
            if !paste {
                return Ok(here.await?);
            }
            tokio::select! {
                answer = here => Ok(answer?),
                answer = pasted(request) => Ok(answer?),
            }
        })
    }
}

/// How a person gets to the page and back.
struct Way {
    opened: bool,
    paste: bool,
}

/// Says where to go, and what it needs.
fn tell(request: &AuthorizationRequest, link: &str, way: Way) {
    tell!("\n`{}` wants you to log in at `{}`.", request.resource(), request.issuer());
    if let Some(client) = request.by_hand() {
        let redirect = request.redirect_uri();
        tell!("The client `{client}` has to have the redirect URI `{redirect}` there; the port may differ");
        tell!("each time. If it has another one, give that with --redirect-uri.");
    }
    if way.opened {
        tell!("It was opened in your browser. If it was not, open this on this machine, once:\n\n  {link}\n");
    } else {
        tell!("Open this in a browser on this machine, once:\n\n  {link}\n");
        let port = url::Url::parse(link).ok().and_then(|link| link.port()).unwrap_or_default();
        tell!("On another machine, forward the port first: ssh -L {port}:127.0.0.1:{port} THIS_MACHINE");
    }
    if way.paste {
        // Only the person reads this terminal.
        tell!("Or open this in any browser, also on another machine:\n\n  {}\n", request.url());
        tell!("and paste the address of the page on which you end here:");
    }
}

/// The answer that a person pastes. What is not one is told, and the next line is waited for.
async fn pasted(request: &AuthorizationRequest) -> Result<AuthorizationAnswer, CallbackError> {
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        match finish(request, line.trim()) {
            Ok(answer) => return Ok(answer),
            Err(error) if line.trim().is_empty() => drop(error),
            Err(error) => {
                tell!("{error}; paste the whole address that begins with {}", request.redirect_uri())
            }
        }
    }
    // The terminal has ended; the listener still waits.
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

/// No browser and no person: for programs that must not wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nobody {
    /// What to do instead.
    pub(crate) instead: &'static str,
}

impl Browser for Nobody {
    fn ready<'a>(&'a self, _: &'a CallbackAddress) -> BoxFuture<'a, Result<Box<dyn Visit>, VisitError>> {
        Box::pin(async { Err(VisitError::Nobody(self.instead.to_owned())) })
    }

    fn show(&self, _: &str) {}

    fn warn(&self, _: &str) {}

    fn is_there(&self) -> bool {
        false
    }
}
