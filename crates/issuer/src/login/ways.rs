//! `/ways`: by which ways a person signs in, one more account at a provider, and one less.
//!
//! INVARIANT: an account is added to a user only by that user's own session, after a sign-in at the provider in the same
//! browser, and after a yes on a page that names both. An e-mail address or a name adds nothing.

use sekisho_acts::identity::OpenWays;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::openid::identity::Identity;
use sekisho_protocol::text::plain_text;
use sekisho_store::{LinkedIdentity, Tx};
use sekisho_web::error::PageError;
use sekisho_web::frame::Chrome;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{FormKind, Session, form_token, is_fresh};
use sekisho_web::{Visit, shown};

use super::upstream::KnownProvider;
use crate::Issuer;
use crate::pages::{ProviderButton, WayLine, WaysPage};

pub(crate) mod adding;
pub(crate) mod removing;

/// How long ago a person may have signed in who adds an account, in seconds: an unattended browser adds none.
const FRESH_SECONDS: i64 = 600;
/// The most characters of a provider's label, of a name there and of an identifier that are shown.
const TEXT_CHARS_MAX: usize = 128;

/// Something to say above the list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notice<'a> {
    /// The sentence.
    pub(crate) what: Sentence,
    /// The provider's label, for the place of a name.
    pub(crate) label: &'a str,
}

/// The page of a person who is signed in. `add`: the token of an account that waits for their yes.
pub(crate) async fn page(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    session: &Session,
    notice: Option<Notice<'_>>,
) -> Result<WaysPage, PageError> {
    let all = tx.identities().of_user(session.user.id).await?;
    let issuers = issuers(issuer);
    let open = OpenWays { passwords: issuer.upstream.passwords, issuers: &issuers };
    let ways = all
        .iter()
        .map(|linked| line(issuer, visit, session, linked, open.remain(&session.user, &all, &linked.identity)));
    let is_made = all.iter().any(|linked| linked.made_user);
    let password = match (issuer.upstream.passwords, session.user.password.is_some()) {
        (false, _) => Sentence::WayPasswordOff,
        (true, true) => Sentence::WayPasswordSet,
        // Nobody sets a password for a user who was made for an account.
        (true, false) if is_made => Sentence::WayPasswordNever,
        (true, false) => Sentence::WayPasswordNone,
    };
    let button = |(name, label): (&str, &str)| ProviderButton {
        path: visit.path(&issuer.site, &format!("/ways/{name}/add")),
        label: plain_text(label, TEXT_CHARS_MAX),
    };
    Ok(WaysPage {
        chrome: Chrome::new(&issuer.site, visit).with(visit, session, None),
        notice: notice.map(|notice| (notice.what, plain_text(notice.label, TEXT_CHARS_MAX))),
        confirm: None,
        password,
        passwords: issuer.upstream.passwords && session.user.password.is_some(),
        ways: ways.collect(),
        offers: issuer.upstream.labels().map(button).collect(),
        is_fresh: proved_lately(visit, session),
    })
}

/// Whether the person signed in a short time ago.
fn proved_lately(visit: &Visit, session: &Session) -> bool {
    let since = visit.now.as_second().saturating_sub(FRESH_SECONDS);
    Timestamp::from_second(since).is_ok_and(|since| is_fresh(session, since))
}

/// The issuer identifiers of all providers.
fn issuers(issuer: &Issuer) -> Vec<&str> {
    issuer.upstream.providers.iter().map(|known| known.parts.registration.issuer.as_str()).collect()
}

/// The providers of an identity: several clients may be registered at one issuer.
fn providers_of<'i>(issuer: &'i Issuer, identity: &Identity) -> Vec<&'i KnownProvider> {
    let of = |known: &&KnownProvider| known.parts.registration.issuer == identity.issuer;
    issuer.upstream.providers.iter().filter(of).collect()
}

fn line(issuer: &Issuer, visit: &Visit, session: &Session, linked: &LinkedIdentity, remains: bool) -> WayLine {
    let identity = &linked.identity;
    let label = providers_of(issuer, identity).first().map(|known| plain_text(&known.parts.label, TEXT_CHARS_MAX));
    let handle = handle(identity);
    WayLine {
        is_known: label.is_some(),
        label: label.unwrap_or_else(|| plain_text(&identity.issuer, TEXT_CHARS_MAX)),
        subject: shown::exact(&identity.subject, TEXT_CHARS_MAX),
        since: shown::moment(linked.created_at),
        last: linked.signed_in_at.map(shown::moment),
        made_user: linked.made_user,
        remains,
        csrf: form_token(visit, Some(session), FormKind::UnlinkIdentity, &handle).expose().to_owned(),
        handle,
    }
}

/// What a form calls an identity.
fn handle(identity: &Identity) -> String {
    Digest::of_list(&[identity.issuer.as_bytes(), identity.subject.as_bytes()]).to_string()
}
