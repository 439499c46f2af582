//! Doors: on plain http, the pages of a session are at a secret path that no other server knows.
//!
//! Cookies ignore ports (RFC 6265 §8.5): a browser sends our cookies for `http://localhost:8420` also to servers at
//! other ports of that host, which could replay them. So there a session has two parts: the cookie, and a door, which
//! is part of the path of every page of the session, as in `/~DOOR/records`. The cookie is set for that path only, so a
//! browser sends it nowhere else; and the session is stored under the digest of both, so neither part is of use alone.
//!
//! Links that are given to others, such as `/oauth/authorize` or `/approvals/{id}`, have no door. The pages that answer
//! them carry a small script that finds the door in the storage of this origin, which does respect ports, and continues
//! behind it. Without scripts, the person signs in once more. If nobody is signed in behind a door any more, `#~DOOR`
//! at the end of the address tells the script to forget it, so that it never goes in circles. On https there are no
//! doors: the cookies are `__Host-` cookies.
//!
//! A browser that comes back from an identity provider was led here by another site, so a page of ours leads it behind the
//! door that it just got: see [`frame::signed_in`].
//!
//! INVARIANT: only the browser that signed in learns a door: it is in no log, record, document or link to elsewhere,
//! and pages send no referrer.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::ACCEPT;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Uri};
use sekisho_protocol::secret::DoorToken;
use sekisho_store::StoreError;
use tower::ServiceExt as _;

use crate::error::{self, PageError};
use crate::settings::SiteSettings;
use crate::site::Site;
use crate::visit::Visit;
use crate::{frame, session};

/// Where a page that was opened without a door sends a browser that has one: to this path behind it. `None` where there are
/// no doors, and behind one.
pub fn entry(site: &Site, visit: &Visit, path: &str) -> Option<String> {
    let is_before = !site.settings.is_https() && visit.door.is_none();
    is_before.then(|| if path == "/" { String::new() } else { path.to_owned() })
}

/// Everything that no route has: what lies behind a door, or nothing.
pub async fn enter(site: Arc<Site>, people: Router, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let Some((door, inside)) = through(&site.settings, &parts.uri) else {
        let visit = Visit::read(&parts, &site);
        return nothing_here(&site, &visit, &parts.headers);
    };
    parts.extensions.insert(door.clone());
    let visit = Visit::read(&parts, &site);
    let is_form = !matches!(parts.method, Method::GET | Method::HEAD);
    // A page of another site does not know the door of this browser's session, so it could only lead into a session of
    // its own. Each page checks where forms come from.
    let is_open = match is_signed_in(&site, &visit).await {
        Ok(signed_in) => signed_in && (is_form || !is_led_here(&parts.headers)),
        Err(error) => return error::page(&site, &visit, &PageError::from(error)),
    };
    if !is_open {
        parts.extensions.remove::<DoorToken>();
        if !is_form {
            return frame::before_door(&site, &door, inside.path_and_query().map_or("/", PathAndQuery::as_str));
        }
    }
    let mut whole = site.settings.prefix().to_owned();
    whole.push_str(inside.path_and_query().map_or("/", PathAndQuery::as_str));
    let Ok(uri) = Uri::try_from(whole) else { return StatusCode::BAD_REQUEST.into_response() };
    parts.uri = uri;
    match people.oneshot(Request::from_parts(parts, body)).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Splits a path into the door and the path behind it, without the path of the issuer identifier.
fn through(settings: &SiteSettings, uri: &Uri) -> Option<(DoorToken, Uri)> {
    if settings.is_https() {
        return None;
    }
    let rest = uri.path_and_query()?.as_str().strip_prefix(settings.prefix())?.strip_prefix("/~")?;
    let (door, inside) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
    let door = DoorToken::parse(door).ok()?;
    let inside = if inside.starts_with('/') { inside.to_owned() } else { format!("/{inside}") };
    Some((door, Uri::try_from(inside).ok()?))
}

async fn is_signed_in(site: &Site, visit: &Visit) -> Result<bool, StoreError> {
    let mut tx = site.store.read().await?;
    Ok(session::current(&mut tx, visit).await?.is_some())
}

/// Returns whether the browser says that a page of another site, or of another port of this host, led here (Fetch
/// Metadata).
fn is_led_here(headers: &HeaderMap) -> bool {
    headers.get_all("sec-fetch-site").iter().any(|site| !matches!(site.as_bytes(), b"none" | b"same-origin"))
}

/// Answers an unknown address: a browser gets a page, a program gets one line.
fn nothing_here(site: &Site, visit: &Visit, headers: &HeaderMap) -> Response {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepts.into_iter().any(|value| value.contains("text/html")) {
        return error::nothing_here(site, visit);
    }
    (StatusCode::NOT_FOUND, format!("there is nothing at this address\nrequest {}\n", visit.request)).into_response()
}

#[cfg(test)]
mod tests {
    use http::Uri;
    use sekisho_protocol::env::SeededEntropy;
    use sekisho_protocol::secret::DoorToken;

    use super::through;
    use crate::settings::SiteSettings;

    /// ATK-142: a door has one spelling and one place in the path, and none exists on https.
    #[test]
    fn a_door_is_read_where_it_stands() {
        let door = DoorToken::generate(&SeededEntropy::default());
        let word = door.expose();
        let read = |base_url: &str, uri: &str| {
            let settings = SiteSettings { base_url: base_url.to_owned(), ..SiteSettings::default() };
            through(&settings, &uri.parse::<Uri>().unwrap()).map(|(found, inside)| {
                assert_eq!(found, door);
                inside.to_string()
            })
        };
        let (root, below) = ("http://localhost:8420", "http://localhost:8420/t");
        let good = [
            (root, format!("/~{word}"), "/"),
            (root, format!("/~{word}/"), "/"),
            (root, format!("/~{word}?a=/b"), "/?a=/b"),
            (root, format!("/~{word}/records?before=1"), "/records?before=1"),
            (below, format!("/t/~{word}/records"), "/records"),
        ];
        for (base_url, uri, expected) in good {
            assert_eq!(read(base_url, &uri).as_deref(), Some(expected), "{uri}");
        }
        let bad = [
            (root, "/".to_owned()),
            (root, "/~x/records".to_owned()),
            (root, format!("/%7E{word}/records")),
            (root, format!("/x/~{word}/records")),
            (root, format!("/~{word}x/records")),
            (root, format!("/~{}/records", word.to_uppercase())),
            (below, format!("/~{word}/records")),
            ("https://sekisho.example", format!("/~{word}/records")),
        ];
        for (base_url, uri) in bad {
            assert_eq!(read(base_url, &uri), None, "{uri}");
        }
    }
}
