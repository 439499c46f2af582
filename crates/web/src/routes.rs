//! The routes that all surfaces share, around the pages of each.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::site::Site;
use crate::{door, frame, log_out};

/// Serves the pages of all surfaces: also behind doors, with the way out of a session and the style sheet. Every other
/// address is answered with what is here.
pub fn serve(site: Arc<Site>, pages: Router) -> Router {
    let own = Router::new().route(&site.at("/logout"), post(log_out::log_out)).with_state(Arc::clone(&site));
    let pages = pages.merge(own);
    let assets = Router::new().route(&site.at("/assets/{name}"), get(frame::asset)).with_state(Arc::clone(&site));
    // What lies behind a door is the pages for people and nothing else.
    let behind = pages.clone();
    let enter = move |request: axum::extract::Request| door::enter(site, behind, request);
    pages.merge(assets).fallback(enter)
}
