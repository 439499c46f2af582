//! A person's answer, and what follows from it, in one transaction each.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_acts::tool::{self, Shown};
use sekisho_acts::{ActError, Performer};
use sekisho_policy::grant::narrowed;
use sekisho_policy::task::check_bounds;
use sekisho_protocol::audit::{Act, ActKind, Actor};
use sekisho_protocol::caller::{ActorPath, Subject};
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::env::after;
use sekisho_protocol::oauth_error::OauthErrorCode;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::secret::AuthorizationCode;
use sekisho_protocol::task::{TaskDefinition, TaskOrigin};
use sekisho_protocol::text::plain_text;
use sekisho_store::{Code, Conditions, Consent, GrantTask, StoreError, Tx};
use sekisho_web::Visit;
use sekisho_web::choice::{End, reads, tool_key};
use sekisho_web::parameters::{Form, Parameters};
use sekisho_web::session::{self, FormKind, Session, is_ours};

use super::request::{ConsentError, Request, about_grant, find, needs_login};
use super::view::{self, Offer};
use crate::authorize::{Prompt, may_skip_consent};
use crate::clients::registered;
use crate::grant::approved_scopes;
use crate::{Issuer, records};

/// The result of an answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Yes: the client gets this code.
    Approved(AuthorizationCode),
    /// The person goes on to sign in.
    Continue,
    /// No.
    Denied(Denial),
    /// The session ended while the page was open.
    SignInFirst,
}

/// Why a client gets no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// Bounds of the task name an argument that its tool does not take: they would bind something else than they say.
    Bounds,
    /// Nothing was remembered, and `prompt=none` forbids to ask.
    Interaction,
    /// The person said no, or yes to nothing.
    Person,
}

impl Denial {
    pub(crate) fn code(self) -> OauthErrorCode {
        match self {
            Self::Bounds => OauthErrorCode::InvalidAuthorizationDetails,
            Self::Interaction => OauthErrorCode::InteractionRequired,
            Self::Person => OauthErrorCode::AccessDenied,
        }
    }

    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Bounds => "bounds of the task name an argument that the tool does not take, or could bind nothing",
            Self::Interaction => "a page is needed, and `prompt=none` forbids it",
            Self::Person => "the person denied the request",
        }
    }
}

/// The button that was pressed.
enum Decision {
    Approve,
    Continue,
    Deny,
}

/// Reads an answer and does what follows from it.
pub(crate) async fn decide(
    issuer: &Issuer,
    visit: &Visit,
    id: &str,
    form: &Form,
) -> Result<(Request, Answer), ConsentError> {
    let form = form.parameters.as_ref().map_err(|_| ConsentError::Malformed)?;
    if form.repeated(&["scope", "tool", "use"]).is_some() {
        return Err(ConsentError::Malformed);
    }
    let decision = match form.one("decision") {
        Some("approve") => Decision::Approve,
        Some("continue") => Decision::Continue,
        Some("deny") => Decision::Deny,
        _ => return Err(ConsentError::Malformed),
    };
    let request = find(issuer, visit, id).await?;
    let mut tx = session::begin(&issuer.site, visit).await?;
    let session = session::current(&mut tx, visit).await?;
    let answer = match decision {
        Decision::Continue => proceed(&mut tx, visit, &request, form).await?,
        Decision::Deny => deny(issuer, &mut tx, visit, &request, session.as_ref(), form).await?,
        Decision::Approve => match session {
            Some(session) if !needs_login(&request.pending, &session) => {
                approve(issuer, &mut tx, visit, &request, &session, form).await?
            }
            _ => Answer::SignInFirst,
        },
    };
    tx.commit().await?;
    Ok((request, answer))
}

/// The client page's yes binds the request to this browser (PX-09, ATK-81); nothing is granted by it.
async fn proceed(tx: &mut Tx, visit: &Visit, request: &Request, form: &Parameters) -> Result<Answer, ConsentError> {
    let about = request.pending.id.to_string();
    if !is_ours(visit, None, FormKind::Client, &about, form.one("csrf")) {
        return Err(ConsentError::Forgery);
    }
    bind(tx, visit, request, None).await?;
    Ok(Answer::Continue)
}

async fn bind(tx: &mut Tx, visit: &Visit, request: &Request, session: Option<&Session>) -> Result<(), ConsentError> {
    let browser = visit.browser.token().digest();
    let user = session.map(|session| session.user.id);
    if tx.pendings().bind(request.pending.id, &browser, user).await? { Ok(()) } else { Err(ConsentError::OtherBrowser) }
}

/// Either page can say no.
async fn deny(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    request: &Request,
    session: Option<&Session>,
    form: &Parameters,
) -> Result<Answer, ConsentError> {
    let shown = form.one("csrf");
    let from_client_page = is_ours(visit, None, FormKind::Client, &request.pending.id.to_string(), shown);
    let from_grant_page = match session {
        Some(session) => {
            let offer = view::offer(issuer, tx, request, session, visit.now).await?;
            is_ours(visit, Some(session), FormKind::Grant, &about_grant(&request.pending, &offer.tools), shown)
        }
        None => false,
    };
    if !from_client_page && !from_grant_page {
        return Err(ConsentError::Forgery);
    }
    denied(issuer, tx, visit, request, session, Denial::Person).await
}

async fn denied(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    request: &Request,
    session: Option<&Session>,
    why: Denial,
) -> Result<Answer, ConsentError> {
    if !tx.pendings().answer(request.pending.id, visit.now).await? {
        return Err(ConsentError::RequestGone);
    }
    let act = match why {
        Denial::Bounds | Denial::Interaction => ActKind::AuthorizationRefused,
        Denial::Person => ActKind::ConsentDenied,
    };
    let entry = Act { detail: why.description().to_owned(), ..of_request(act, request, session) };
    match session {
        Some(_) => records::append(issuer, tx, visit, entry).await?,
        None => records::append_of_stranger(issuer, tx, visit, entry).await?,
    }
    Ok(Answer::Denied(why))
}

/// The grant page's yes.
async fn approve(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    request: &Request,
    session: &Session,
    form: &Parameters,
) -> Result<Answer, ConsentError> {
    let offer = view::offer(issuer, tx, request, session, visit.now).await?;
    let about = about_grant(&request.pending, &offer.tools);
    if !is_ours(visit, Some(session), FormKind::Grant, &about, form.one("csrf")) {
        return Err(ConsentError::Forgery);
    }
    bind(tx, visit, request, Some(session)).await?;
    let scopes = approved_scopes(form.all("scope"), &offer.scopes.union(&offer.stay.scope()));
    let tools = ToolChoices::of(&offer, form);
    // With everything left ticked, what is granted is what was asked for.
    let fewer = tools.used.len() < tools.shown.len();
    let scopes = if fewer { narrowed(&scopes, &offer.known, &tools.used) } else { scopes };
    let conditions = conditions(visit, request, form, &tools)?;
    let needs_nothing = conditions.task.as_ref().is_some_and(|task| task.definition.check().is_err());
    if needs_nothing || scopes.without(&Scope::offline_access()).without(&Scope::account()).is_empty() {
        return denied(issuer, tx, visit, request, Some(session), Denial::Person).await;
    }
    // The user has a right to these tools, so their schemas may be checked now. Before the login they could not.
    if let Some(task) = &conditions.task {
        let mut definitions: BTreeMap<_, _> =
            tx.catalogue().definitions(&request.pending.server).await?.into_iter().collect();
        definitions.retain(|name, _| offer.known.iter().any(|tool| tool.name == *name));
        if check_bounds(&task.definition, &definitions).is_err() {
            return denied(issuer, tx, visit, request, Some(session), Denial::Bounds).await;
        }
    }
    let agreed = Agreed { scopes: scopes.clone(), conditions: conditions.clone() };
    let code = grant(issuer, tx, visit, request, session, agreed).await?;
    let by = records::performer(issuer, visit, Actor::User(session.user.id));
    classify(tx, &by, request, &offer, form).await?;
    if may_skip_consent(&request.client) && scopes == request.pending.scopes && conditions == Conditions::default() {
        tx.grants().remember_consent(&consent(request, session, &scopes), visit.now).await?;
    }
    let entry = of_request(ActKind::ConsentGiven, request, Some(session));
    records::append(issuer, tx, visit, Act { scopes, ..entry }).await?;
    Ok(Answer::Approved(code))
}

/// The tools that stood on the page one by one.
struct ToolChoices<'o> {
    /// All of them; none if the page did not list them.
    shown: BTreeSet<&'o str>,
    /// Those that were left ticked.
    used: BTreeSet<&'o str>,
}

impl<'o> ToolChoices<'o> {
    fn of(offer: &'o Offer, form: &Parameters) -> Self {
        let listed = form.one("narrow").is_some();
        let ticked = |tool: &&Tool| form.all("use").any(|key| key == tool_key(&tool.name));
        Self {
            shown: offer.known.iter().filter(|_| listed).map(|tool| tool.name.as_str()).collect(),
            used: offer.known.iter().filter(ticked).map(|tool| tool.name.as_str()).collect(),
        }
    }
}

/// What a person agreed to.
struct Agreed {
    scopes: ScopeSet,
    conditions: Conditions,
}

/// What the person set beside the scopes. A task of the client's stays one, with fewer tools if some were unticked; a
/// template that was chosen and a purpose in the person's own words each make one.
fn conditions(
    visit: &Visit,
    request: &Request,
    form: &Parameters,
    ToolChoices { shown, used }: &ToolChoices<'_>,
) -> Result<Conditions, ConsentError> {
    let word = form.one("end").unwrap_or_default();
    let end = End::ALL.into_iter().find(|end| end.word() == word).ok_or(ConsentError::Malformed)?;
    let template = match form.one("template") {
        None => None,
        Some(name) => {
            let templates = &request.server.templates;
            Some(templates.iter().find(|template| template.name == name).ok_or(ConsentError::Malformed)?)
        }
    };
    let purpose = plain_text(form.one("purpose").unwrap_or_default(), TaskDefinition::PURPOSE_CHARS_MAX);
    let task = match (&request.pending.task, template) {
        (Some(declared), _) => {
            let mut definition = declared.clone();
            if form.one("narrow").is_some() {
                definition.tools.retain(|name, _| used.contains(name.as_str()));
            }
            Some(GrantTask { origin: TaskOrigin::Details, definition })
        }
        (None, Some(template)) => {
            let mut definition = template.definition.clone();
            // Tools that were on the page and were unticked are left out of the template, too.
            let unticked = |name: &String| shown.contains(name.as_str()) && !used.contains(name.as_str());
            definition.tools.retain(|name, _| !unticked(name));
            Some(GrantTask { origin: TaskOrigin::Template, definition })
        }
        (None, None) if purpose.is_empty() => None,
        (None, None) => {
            let tools = used.iter().map(|name| ((*name).to_owned(), None)).collect();
            let definition = TaskDefinition { purpose, tools, ..reads(form) };
            Some(GrantTask { origin: TaskOrigin::Person, definition })
        }
    };
    Ok(Conditions { ends_at: end.seconds().map(|seconds| after(visit.now, seconds)), task, session: None })
}

/// Pending → approved: the request is answered, and a code holds what it will become.
async fn grant(
    issuer: &Issuer,
    tx: &mut Tx,
    visit: &Visit,
    request: &Request,
    session: &Session,
    Agreed { scopes, conditions }: Agreed,
) -> Result<AuthorizationCode, ConsentError> {
    if !tx.pendings().answer(request.pending.id, visit.now).await? {
        return Err(ConsentError::RequestGone);
    }
    // Access that may not outlast this browser session ends with it, refresh tokens included.
    let ends_with_session = request.client.refresh && !scopes.contains(&Scope::offline_access());
    let conditions = Conditions { session: ends_with_session.then_some(session.row.digest), ..conditions };
    let code = AuthorizationCode::generate(&*issuer.site.entropy);
    let row = Code {
        digest: code.digest(),
        client: request.client.id.clone(),
        redirect_uri: request.redirect.as_str().to_owned(),
        challenge: request.pending.challenge.clone(),
        subject: Subject::User(session.user.id),
        server: request.server.name.clone(),
        resource: request.server.resource.as_str().to_owned(),
        scopes,
        path: ActorPath::direct(request.client.id.clone()),
        conditions,
        issued_at: visit.now,
        expires_at: after(visit.now, issuer.settings.code_seconds()),
        used_at: None,
        grant: None,
        failures: 0,
    };
    registered::remember(tx, visit.now, &request.client).await?;
    tx.codes().insert(&row).await?;
    Ok(code)
}

/// Gives each ticked tool its class. The other tools stay unclassified.
async fn classify(
    tx: &mut Tx,
    by: &Performer<'_>,
    request: &Request,
    offer: &Offer,
    form: &Parameters,
) -> Result<(), ConsentError> {
    if offer.tools.is_empty() {
        return Ok(());
    }
    for held in &offer.tools {
        let key = tool_key(&held.name);
        let class = form.one(&format!("class.{key}")).and_then(|word| word.parse::<ToolClass>().ok());
        let ticked = form.all("tool").any(|ticked| ticked == key);
        if let (true, Some(class)) = (ticked, class) {
            let shown = Shown { name: &held.name, seen: &held.seen };
            tool::classify(tx, by, &request.server.name, shown, class).await.map_err(|error| match error {
                ActError::Store(error) => error.into(),
                // The definition that was shown has changed or is gone.
                _ => ConsentError::Forgery,
            })?;
        }
    }
    tx.servers().mark_consented(&request.server.name, by.now).await?;
    Ok(())
}

/// Whether exactly this was agreed to before, by this person, for a client whose consent may be remembered (ATK-14).
pub(super) async fn is_remembered(
    tx: &mut Tx,
    request: &Request,
    session: &Session,
    offer: &Offer,
) -> Result<bool, StoreError> {
    let prompt = Prompt::kept(&request.pending.prompt_flags);
    // A declared task is a wish of its own, and was not what was agreed to before.
    let plain = request.pending.task.is_none();
    let whole = plain && !offer.withheld && !offer.scopes.is_empty() && offer.tools.is_empty();
    if !may_skip_consent(&request.client) || prompt.consent || !whole {
        return Ok(false);
    }
    tx.grants().consented(&consent(request, session, &request.pending.scopes)).await
}

/// Answers with what was agreed to before.
pub(super) async fn approve_remembered(
    issuer: &Issuer,
    visit: &Visit,
    request: &Request,
    session: &Session,
    offer: &Offer,
) -> Result<Answer, ConsentError> {
    let mut tx = issuer.site.store.begin().await?;
    // Whether it may stay was a part of what was agreed to.
    let asked = if offer.stay.is_ticked() { offer.stay.scope() } else { ScopeSet::empty() };
    let scopes = offer.scopes.union(&asked);
    let agreed = Agreed { scopes: scopes.clone(), conditions: Conditions::default() };
    let code = grant(issuer, &mut tx, visit, request, session, agreed).await?;
    let entry = of_request(ActKind::ConsentGiven, request, Some(session));
    let entry = Act { scopes, detail: "remembered".to_owned(), ..entry };
    records::append(issuer, &mut tx, visit, entry).await?;
    tx.commit().await?;
    Ok(Answer::Approved(code))
}

/// `prompt=none`, and nothing to go by.
pub(super) async fn interaction_required(
    issuer: &Issuer,
    request: &Request,
    visit: &Visit,
) -> Result<Answer, ConsentError> {
    let mut tx = issuer.site.store.begin_for_stranger().await?;
    let answer = denied(issuer, &mut tx, visit, request, None, Denial::Interaction).await?;
    tx.commit().await?;
    Ok(answer)
}

fn consent(request: &Request, session: &Session, scopes: &ScopeSet) -> Consent {
    Consent {
        user: session.user.id,
        client: request.client.id.clone(),
        redirect_uri: request.redirect.as_str().to_owned(),
        server: request.server.name.clone(),
        scopes: scopes.clone(),
    }
}

fn of_request(act: ActKind, request: &Request, session: Option<&Session>) -> Act {
    Act {
        subject: session.map(|session| Subject::User(session.user.id)),
        client: Some(request.client.id.clone()),
        server: Some(request.server.name.clone()),
        scopes: request.pending.scopes.clone(),
        ..Act::new(session.map_or(Actor::Anonymous, |session| Actor::User(session.user.id)), act)
    }
}
