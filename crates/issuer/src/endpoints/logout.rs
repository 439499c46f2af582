//! `/logout`, and `/login/{provider}/signed-out`, to which a provider sends browsers back after a sign-out.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_protocol::openid::SignOutThere;
use sekisho_protocol::text::plain_text;
use sekisho_web::frame::{self, Chrome};
use sekisho_web::parameters::Form;
use sekisho_web::place::Place;
use sekisho_web::sentence::Sentence;
use sekisho_web::{Visit, error};

use crate::Issuer;
use crate::login::sign_out::{self, NoWay, SignedOut, There};
use crate::login::upstream::failure;
use crate::pages::SignedOutPage;

/// The most characters of a provider's label that are shown.
const LABEL_CHARS_MAX: usize = 128;

/// `POST /logout`: ends the session. With a request it leads back to its page, where another person can sign in. Who signed in
/// at a provider may sign out there as well.
pub(crate) async fn submit(State(issuer): State<Arc<Issuer>>, visit: Visit, form: Form) -> Response {
    match sign_out::sign_out(&issuer, &visit, &form).await {
        Ok(SignedOut { place, there: Some(there) }) => {
            frame::page_signed_out(&issuer.site, &visit, &page(&issuer, &visit, place, &there))
        }
        Ok(SignedOut { place, there: None }) => frame::signed_out(&issuer.site, &visit, &path(place)),
        Err(error) => error::page(&issuer.site, &visit, &error),
    }
}

fn path(place: Option<Place>) -> String {
    place.map_or_else(|| "/".to_owned(), Place::path)
}

fn page(issuer: &Issuer, visit: &Visit, place: Option<Place>, there: &There<'_>) -> SignedOutPage {
    let parts = &there.known.parts;
    let is_sent = parts.sign_out_there == SignOutThere::Always;
    let what = match &there.url {
        Ok(_) if is_sent => Sentence::SignedOutSent,
        Ok(_) => Sentence::SignedOutOffer,
        Err(NoWay::NotOffered) => Sentence::SignedOutNotOffered,
        Err(NoWay::Unreachable) => Sentence::SignedOutUnreachable,
    };
    SignedOutPage {
        chrome: Chrome::signed_out(&issuer.site, visit),
        title: Sentence::SignedOutHere,
        label: plain_text(&parts.label, LABEL_CHARS_MAX),
        what,
        is_sent: is_sent && there.url.is_ok(),
        url: there.url.as_ref().ok().cloned(),
        on: format!("{}{}", on(issuer, place), forget(visit)),
    }
}

/// The end of an address at which the browser forgets its door.
fn forget(visit: &Visit) -> String {
    visit.door.as_ref().map(|door| format!("#~{}", door.expose())).unwrap_or_default()
}

/// Where a person goes on who is signed out, outside of any door.
fn on(issuer: &Issuer, place: Option<Place>) -> String {
    issuer.site.at(&place.map_or_else(|| "/login".to_owned(), Place::login))
}

/// `GET /login/{provider}/signed-out`.
pub(crate) async fn come_back(
    State(issuer): State<Arc<Issuer>>,
    visit: Visit,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let known = match issuer.upstream.find(&name) {
        Ok(known) => known,
        Err(error) => return failure::page(&issuer.site, &visit, &name, &error),
    };
    let place = match sign_out::came_back(&issuer, &visit, known, query.as_deref().unwrap_or_default()) {
        Ok(place) => place,
        Err(sign_out::NotSent) => {
            let telling = error::tell(StatusCode::BAD_REQUEST, Sentence::SignedOutUnknown, Sentence::HintSignOutCheck);
            let detail = plain_text(&known.parts.label, LABEL_CHARS_MAX);
            return error::told(&issuer.site, &visit, error::Telling { detail, ..telling });
        }
    };
    let page = SignedOutPage {
        chrome: Chrome::signed_out(&issuer.site, &visit),
        title: Sentence::SignedOutTitle,
        label: plain_text(&known.parts.label, LABEL_CHARS_MAX),
        what: Sentence::SignedOutBoth,
        is_sent: false,
        url: None,
        on: on(&issuer, place),
    };
    frame::page(&visit, &issuer.site, StatusCode::OK, &page, "")
}
