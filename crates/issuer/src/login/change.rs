//! `/password`: a person who is signed in chooses another password.

use sekisho_acts::ActError;
use sekisho_acts::password::{Basis, set};
use sekisho_protocol::audit::Actor;
use sekisho_protocol::secret::Password;
use sekisho_store::SignInMethod;
use sekisho_web::Visit;
use sekisho_web::error::{Fault, PageError};
use sekisho_web::frame::{Chrome, SignedIn};
use sekisho_web::parameters::Form;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{self, FormKind, Session, form_token, is_ours};

use super::failure::LoginError;
use super::lanes::Lanes;
use super::{known, open, password_rules};
use crate::pages::PasswordPage;
use crate::{Issuer, records};

/// Why the password stays as it was.
pub(crate) enum ChangeRefusal {
    /// There is no page to say it on.
    Page(PageError),
    /// This is wrong with what was typed.
    Problem(Box<Session>, Sentence),
}

impl<E: Into<PageError>> From<E> for ChangeRefusal {
    fn from(error: E) -> Self {
        Self::Page(error.into())
    }
}

/// The page, with what is wrong with what was typed.
pub(crate) fn page(issuer: &Issuer, visit: &Visit, session: &Session, problem: Option<Sentence>) -> PasswordPage {
    PasswordPage {
        chrome: Chrome::new(&issuer.site, visit).with(visit, session, None),
        csrf: form_token(visit, Some(session), FormKind::Password, "").expose().to_owned(),
        username: session.user.name.clone(),
        problem,
    }
}

/// Checks the present password, under the same limits as a login, and sets the new one.
pub(crate) async fn change(issuer: &Issuer, visit: &Visit, form: &Form) -> Result<SignedIn, ChangeRefusal> {
    let form = form.parameters.as_ref().map_err(|_| PageError::Malformed)?;
    if form.repeated(&[]).is_some() {
        return Err(PageError::Malformed.into());
    }
    let (session, lanes) = {
        let mut tx = issuer.site.store.read().await?;
        let session = session::current(&mut tx, visit).await?.ok_or(PageError::Forgery)?;
        if !is_ours(visit, Some(&session), FormKind::Password, "", form.one("csrf")) {
            return Err(PageError::Forgery.into());
        }
        let browser = known::browser(issuer, &mut tx, visit, session.user.id).await?;
        let lanes = Lanes::of(visit, &session.user.name, browser);
        (session, lanes)
    };
    let text = |name: &str| form.one(name).unwrap_or_default();
    let chosen = match password_rules::accept(text("password"), text("repeat"), &session.user.name) {
        Ok(chosen) => chosen,
        Err(problem) => return Err(ChangeRefusal::Problem(Box::new(session), problem)),
    };
    let phc = match check(issuer, visit, &session, (&lanes, text("present")), chosen).await {
        Ok(phc) => phc,
        Err(LoginError::Wrong) => {
            return Err(ChangeRefusal::Problem(Box::new(session), Sentence::PasswordPresentWrong));
        }
        Err(LoginError::Throttled) => return Err(ChangeRefusal::Problem(Box::new(session), Sentence::LoginThrottled)),
        Err(LoginError::Internal(fault)) => return Err(PageError::Internal(fault).into()),
        Err(LoginError::Busy) => return Err(ChangeRefusal::Problem(Box::new(session), Sentence::ErrorBusy)),
        Err(LoginError::Forgery | LoginError::Malformed) => return Err(PageError::Malformed.into()),
    };
    let mut tx = issuer.site.store.begin().await?;
    lanes.forgive(&mut tx).await?;
    let by = records::performer(issuer, visit, Actor::User(session.user.id));
    let user = set(&mut tx, &by, Basis::Present(session.user.id), &phc).await.map_err(|error| match error {
        ActError::Absent { .. } => PageError::Ended,
        ActError::Store(error) => error.into(),
        other => PageError::Internal(Fault::internal(other)),
    })?;
    let signed_in = open(issuer, &mut tx, visit, user, SignInMethod::Password).await?;
    tx.commit().await?;
    Ok(signed_in)
}

/// The hash of the new password, once the one before was right.
async fn check(
    issuer: &Issuer,
    visit: &Visit,
    session: &Session,
    (lanes, present): (&Lanes, &str),
    chosen: Password,
) -> Result<String, LoginError> {
    {
        let mut tx = issuer.site.store.read().await?;
        lanes.look(issuer, &mut tx, visit).await?;
    }
    lanes.take(issuer, visit).await?;
    let kept = session.user.password.clone();
    if !issuer.passwords.verify(Password::from_outside(present), kept, lanes.is_known()).await? {
        return Err(LoginError::Wrong);
    }
    issuer.passwords.hash(chosen, &*issuer.site.entropy).await
}
