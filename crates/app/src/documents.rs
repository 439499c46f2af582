//! Documents at URLs: each is fetched once, no redirect is followed, and its kind is known by its media type.

use std::time::Duration;

use http::header::{ACCEPT, LOCATION};
use http::{Method, StatusCode};
use sekisho_client::http::{Destination, HttpClient, HttpError, Request};
use sekisho_specification::{Kind, Source};

/// How long a document may take to begin.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no document. The text may say what is inside the network, so it is not for strangers (ATK-29).
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    /// It cannot be reached, or is too large.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It is not a text in UTF-8.
    #[error("it is not a text")]
    NotText,
    /// The server says that it is at another place.
    #[error("it leads to `{there}`")]
    Redirect {
        /// The place, as the server names it; foreign text.
        there: String,
    },
    /// The server has something else to say.
    #[error("it answered {0}")]
    Status(StatusCode),
}

/// Fetches the document at a URL, up to this many bytes.
pub(crate) async fn fetch(http: &dyn HttpClient, to: Destination, bytes_max: usize) -> Result<Source, DocumentError> {
    let address = to.as_str().to_owned();
    let mut request = Request::new(Method::GET, to, bytes::Bytes::new())
        .header(ACCEPT, "text/markdown, text/plain, text/html;q=0.9, */*;q=0.1");
    request.body_bytes_max = bytes_max;
    request.begins_within = Some(BEGINS_WITHIN);
    let answer = http.send(request).await?;
    if answer.status.is_redirection() {
        let there = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("elsewhere");
        return Err(DocumentError::Redirect { there: there.to_owned() });
    }
    if !answer.status.is_success() {
        return Err(DocumentError::Status(answer.status));
    }
    let html = answer.media_type().is_some_and(|kind| kind == "text/html" || kind == "application/xhtml+xml");
    let text = String::from_utf8(answer.body.to_vec()).map_err(|_| DocumentError::NotText)?;
    let mut source = Source::new(&address, text);
    if html {
        source.kind = Kind::Html;
    }
    Ok(source)
}
