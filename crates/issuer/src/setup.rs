//! `/setup/{token}`: the link, printed locally, with which somebody sets a first password (ATK-100: there is no
//! default one, and no first visitor becomes the owner).

use sekisho_acts::ActError;
use sekisho_acts::password::{self, Basis};
use sekisho_protocol::audit::Actor;
use sekisho_protocol::env::{Entropy, Timestamp, after};
use sekisho_protocol::ids::UserId;
use sekisho_protocol::secret::SetupToken;
use sekisho_store::{SetupLink, SignInMethod, StoreError, Tx, User};
use sekisho_web::Visit;
use sekisho_web::error::Fault;
use sekisho_web::frame::{Chrome, SignedIn};
use sekisho_web::parameters::Form;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{FormKind, form_token, is_ours};

use crate::login::{self, LoginError, password_rules};
use crate::pages::SetupPage;
use crate::{Issuer, records};

/// How long a link works, in seconds.
pub const SETUP_LINK_SECONDS: u32 = 30 * 60;

/// Makes a link for a user: `{base_url}/setup/{token}`, once, within [`SETUP_LINK_SECONDS`]. Older links of the user end.
pub async fn create_link(
    tx: &mut Tx,
    user: UserId,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<SetupToken, StoreError> {
    let token = SetupToken::generate(entropy);
    let link = SetupLink { digest: token.digest(), user, expires_at: after(now, SETUP_LINK_SECONDS), used_at: None };
    tx.setup_links().insert(&link, now).await?;
    Ok(token)
}

/// Why no password was set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("too many passwords are being hashed")]
    Busy,
    #[error("the form did not come from this browser's page")]
    Forgery,
    #[error("the link was used, has expired, or never was")]
    Link,
    #[error("the form cannot be read")]
    Malformed,
    #[error("the password is not accepted")]
    Password(Sentence),
    #[error(transparent)]
    Internal(#[from] Fault),
}

impl From<StoreError> for SetupError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<LoginError> for SetupError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Internal(fault) => Self::Internal(fault),
            _ => Self::Busy,
        }
    }
}

pub(crate) async fn find(issuer: &Issuer, visit: &Visit, token: &str) -> Result<(SetupToken, User), SetupError> {
    let token = SetupToken::parse(token).map_err(|_| SetupError::Link)?;
    let mut tx = issuer.site.store.read().await?;
    let link = tx.setup_links().find(&token.digest()).await?.ok_or(SetupError::Link)?;
    let ends_as_planned = link.expires_at <= after(visit.now, SETUP_LINK_SECONDS);
    if link.used_at.is_some() || link.expires_at <= visit.now || !ends_as_planned {
        return Err(SetupError::Link);
    }
    let user = tx.users().find(link.user).await?.filter(|user| !user.disabled).ok_or(SetupError::Link)?;
    // If passwords are off, the link only lets an owner in who cannot reach a provider.
    if !issuer.upstream.passwords && !user.role.owns() {
        return Err(SetupError::Link);
    }
    Ok((token, user))
}

pub(crate) fn setup_page(
    issuer: &Issuer,
    visit: &Visit,
    token: &str,
    user: &User,
    problem: Option<Sentence>,
) -> SetupPage {
    SetupPage {
        chrome: Chrome::new(&issuer.site, visit),
        csrf: form_token(visit, None, FormKind::Setup, token).expose().to_owned(),
        action: visit.path(&issuer.site, &format!("/setup/{token}")),
        username: user.name.clone(),
        is_reset: user.password.is_some(),
        problem,
    }
}

pub(crate) async fn set_password(
    issuer: &Issuer,
    visit: &Visit,
    link: &SetupToken,
    user: &User,
    form: &Form,
) -> Result<SignedIn, SetupError> {
    let form = form.parameters.as_ref().map_err(|_| SetupError::Malformed)?;
    if form.repeated(&[]).is_some() {
        return Err(SetupError::Malformed);
    }
    if !is_ours(visit, None, FormKind::Setup, link.expose(), form.one("csrf")) {
        return Err(SetupError::Forgery);
    }
    let password = password_rules::accept(
        form.one("password").unwrap_or_default(),
        form.one("repeat").unwrap_or_default(),
        &user.name,
    )
    .map_err(SetupError::Password)?;
    let phc = issuer.passwords.hash(password, &*issuer.site.entropy).await?;
    let mut tx = issuer.site.store.begin().await?;
    // From here on the person who holds the link counts as its user.
    let by = records::performer(issuer, visit, Actor::User(user.id));
    let user = password::set(&mut tx, &by, Basis::Link(link), &phc).await.map_err(|error| match error {
        ActError::Absent { .. } => SetupError::Link,
        ActError::Store(error) => error.into(),
        other => SetupError::Internal(Fault::internal(other)),
    })?;
    let signed_in = login::open(issuer, &mut tx, visit, user, SignInMethod::Link).await?;
    tx.commit().await?;
    Ok(signed_in)
}
