//! The routes that all surfaces share, around the pages of each.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;

use crate::site::Site;
use crate::{door, frame, seen};

/// Serves the pages of all surfaces: also behind doors, and with the style sheet. Every other address is answered with what
/// is here.
pub fn serve(site: Arc<Site>, pages: Router) -> Router {
    let assets = Router::new().route(&site.at("/assets/{name}"), get(frame::asset)).with_state(Arc::clone(&site));
    // What lies behind a door is the pages for people and nothing else.
    let behind = pages.clone();
    let noting = from_fn_with_state(Arc::clone(&site), seen::keep);
    let enter = move |request: axum::extract::Request| door::enter(site, behind, request);
    pages.merge(assets).fallback(enter).layer(noting)
}
