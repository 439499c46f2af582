//! A login for the examination, with a browser that keeps what came back to it.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::secret::AuthorizationCode;

use crate::authorization::{AuthorizationAnswer, AuthorizationRequest};
use crate::callback::CallbackAddress;
use crate::login::{Browser, Login, Visit, VisitError};

/// A login, and what its browser saw.
#[derive(Debug)]
pub struct Insider {
    /// The way in; its browser has to be a [`RecordingBrowser`].
    pub login: Login,
    /// What its browser saw.
    pub seen: Arc<RecordingBrowser>,
}

/// A browser that remembers what came back, so that it can be tried twice.
#[derive(Debug)]
pub struct RecordingBrowser {
    inner: Box<dyn Browser>,
    pub(super) last: Mutex<Option<(AuthorizationRequest, AuthorizationCode)>>,
}

impl RecordingBrowser {
    /// Records what comes back to this browser.
    pub fn new(inner: Box<dyn Browser>) -> Arc<Self> {
        Arc::new(Self { inner, last: Mutex::default() })
    }
}

/// A browser that shares what it saw.
#[derive(Debug)]
pub struct Shared(pub Arc<RecordingBrowser>);

struct Watched {
    visit: Box<dyn Visit>,
    seen: Arc<RecordingBrowser>,
}

impl Browser for Shared {
    fn ready<'a>(&'a self, place: &'a CallbackAddress) -> BoxFuture<'a, Result<Box<dyn Visit>, VisitError>> {
        Box::pin(async move {
            let visit = self.0.inner.ready(place).await?;
            Ok(Box::new(Watched { visit, seen: Arc::clone(&self.0) }) as Box<dyn Visit>)
        })
    }

    fn show(&self, url: &str) {
        self.0.inner.show(url);
    }

    fn warn(&self, text: &str) {
        self.0.inner.warn(text);
    }

    fn is_there(&self) -> bool {
        self.0.inner.is_there()
    }
}

impl Visit for Watched {
    fn redirect_uri(&self) -> &RedirectUri {
        self.visit.redirect_uri()
    }

    fn go<'a>(
        self: Box<Self>,
        request: &'a AuthorizationRequest,
    ) -> BoxFuture<'a, Result<AuthorizationAnswer, VisitError>> {
        Box::pin(async move {
            let answer = self.visit.go(request).await?;
            let seen = Some((request.clone(), answer.code.clone()));
            *self.seen.last.lock().unwrap_or_else(PoisonError::into_inner) = seen;
            Ok(answer)
        })
    }
}
