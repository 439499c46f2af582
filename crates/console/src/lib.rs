//! What signed-in people, owners and auditors see and do: the home page, agents, tasks, approvals, access that is asked for,
//! the tools of each server, the browsers in which somebody is signed in, and the records; and what provisioning clients
//! say about people ([`scim`]).
//!
//! It performs nothing by itself: each form is read here and handed to one function of `sekisho-acts`, and each page shows what
//! a question there answers. It knows no OAuth and does not sign anybody in; that is `issuer`.
//!
//! Start from [`Console`], served by [`Console::pages`] inside `sekisho_web::serve`. A request enters as a `Visit`, is looked
//! at by the page of its noun, and leaves through `sekisho_web::frame` or `sekisho_web::error`.
//!
//! To add a page: a file of its noun, a template in `templates/console`, a route in [`Console::pages`].

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

mod console;

mod access;
mod agents;
mod approvals;
mod home;
mod records;
pub mod scim;
mod sessions;
mod tasks;
mod tools;

mod form_page;
mod offer;
mod own;
mod task_line;
mod task_problem;

pub use console::Console;

impl Console {
    /// The routes of every page.
    pub fn pages(self: Arc<Self>) -> Router {
        let at = |path: &str| self.site.at(path);
        Router::new()
            .route(&at("/"), get(home::show))
            .route(&at("/approvals/{id}"), get(approvals::show).post(approvals::answer))
            .route(&at("/access/{id}"), get(access::show).post(access::change))
            .route(&at("/tasks/{id}"), get(tasks::show).post(tasks::change))
            .route(&at("/agents/end"), post(agents::end_all))
            .route(&at("/grants/{id}"), get(agents::show))
            .route(&at("/grants/{id}/end"), post(agents::end))
            .route(&at("/grants/{id}/release"), post(agents::release))
            .route(&at("/grants/{id}/tasks"), post(agents::begin))
            .route(&at("/servers/{name}/tools"), get(tools::show).post(tools::accept))
            .route(&at("/sessions"), get(sessions::show).post(sessions::end))
            .route(&at("/records"), get(records::list))
            .route(&at("/records/{request}"), get(records::show).post(records::reveal))
            .with_state(Arc::clone(&self))
    }
}
