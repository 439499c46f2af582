//! `/consent/{pending}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_web::Visit;
use sekisho_web::frame::{self, Chrome};
use sekisho_web::parameters::Form;
use sekisho_web::sentence::Sentence;

use crate::consent::{self, Answer, Request, Step};
use crate::pages::ReturnPage;
use crate::{Issuer, error};

/// `GET /consent/{pending}`.
pub(crate) async fn show(State(issuer): State<Arc<Issuer>>, visit: Visit, Path(id): Path<String>) -> Response {
    match consent::next(&issuer, &visit, &id).await {
        Ok((request, Step::Client(page))) => {
            let target = request.redirect.form_target().unwrap_or_default();
            frame::entry_page(&visit, &issuer.site, &*page, &target)
        }
        Ok((request, Step::Grant(page))) => {
            let target = request.redirect.form_target().unwrap_or_default();
            frame::page(&visit, &issuer.site, StatusCode::OK, &*page, &target)
        }
        Ok((request, Step::Login)) => {
            frame::go(&issuer.site, &visit, &format!("/login?request={}", request.pending.id))
        }
        Ok((request, Step::Answered(answer))) => send(&issuer, &visit, &request, &answer),
        Err(error) => error::consent(&issuer, &visit, &error),
    }
}

/// `POST /consent/{pending}`: continue, approve or deny.
pub(crate) async fn decide(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(id): Path<String>,
    form: Form,
) -> Response {
    match consent::decide(&issuer, &visit, &id, &form).await {
        Ok((request, Answer::Continue)) => {
            frame::go(&issuer.site, &visit, &format!("/login?request={}", request.pending.id))
        }
        Ok((request, Answer::SignInFirst)) => {
            frame::go(&issuer.site, &visit, &format!("/consent/{}", request.pending.id))
        }
        Ok((request, answer)) => send(&issuer, &visit, &request, &answer),
        Err(error) => error::consent(&issuer, &visit, &error),
    }
}

/// Sends the person back to the client, or offers the way as a link where a browser would not follow the form there.
fn send(issuer: &Issuer, visit: &Visit, request: &Request, answer: &Answer) -> Response {
    let base_url = &issuer.site.settings.base_url;
    let state = request.pending.state.as_deref();
    let (what, target) = match answer {
        Answer::Approved(code) => {
            (Sentence::ReturnApproved, request.redirect.answer(base_url, state, &[("code", code.expose())]))
        }
        Answer::Denied(why) => {
            let words = [("error", why.code().as_str()), ("error_description", why.description())];
            (Sentence::ReturnDenied, request.redirect.answer(base_url, state, &words))
        }
        Answer::Continue | Answer::SignInFirst => {
            return frame::go(&issuer.site, visit, &format!("/consent/{}", request.pending.id));
        }
    };
    if request.redirect.form_target().is_some() {
        return frame::see_other(&target);
    }
    let page = ReturnPage {
        chrome: Chrome::new(&issuer.site, visit),
        title: Sentence::ReturnTitle,
        what,
        code: String::new(),
        detail: String::new(),
        target,
        host: request.redirect.host(),
    };
    frame::page(visit, &issuer.site, StatusCode::OK, &page, "")
}
