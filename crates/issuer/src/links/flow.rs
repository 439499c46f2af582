//! The steps of a link: to the vendor and back, or a key that is pasted; then the person's yes; and the end of a link.

use std::sync::Arc;

use sekisho_acts::link;
use sekisho_client::vendor::{
    AccountClient, AccountTokens, AskingClient, TOKEN_BYTES_MAX, VendorError, begin, describe, finish, revoke, whose,
};
use sekisho_protocol::account::{AccountRule, AccountWay, OAuthVendor};
use sekisho_protocol::audit::Actor;
use sekisho_protocol::digest::Digest;
use sekisho_protocol::env::after;
use sekisho_protocol::ids::{ClientId, ServerName, UserId};
use sekisho_protocol::redirect::RedirectUri;
use sekisho_protocol::secret::{CsrfToken, DoorToken, UpstreamSecret};
use sekisho_protocol::server::ServerCard;
use sekisho_store::{AccountKey, LinkFlow, LinkStep, LinkTaker, NewLinkedAccount, SecretBytes, Tx};
use sekisho_web::error::{Fault, PageError};
use sekisho_web::parameters::{Form, Parameters};
use sekisho_web::place::Place;
use sekisho_web::session::{self, FormKind, Session, is_ours};
use sekisho_web::{Visit, visit};
use serde::Serialize;

use super::failure::LinkError;
use super::kept::{Found, Sent};
use crate::{Issuer, records};

/// How long each step of a link may take, in seconds.
const STEP_SECONDS: u32 = 600;
/// The name under which the client is kept as which the checkpoint registered itself at a vendor.
const CLIENT: &str = "oauth client";
/// The name under which the checkpoint registers itself.
const CLIENT_NAME: &str = "Sekisho";

/// A server that is shown accounts, and its rule for them.
pub(crate) struct Linkable {
    /// The server.
    pub(crate) card: ServerCard,
    /// Its rule.
    pub(crate) rule: Arc<AccountRule>,
}

/// What a form asks for.
pub(crate) enum Done {
    /// An account waits for the person's yes; this is the path of the page that asks.
    Found(String),
    /// The account was linked or removed.
    Changed,
    /// The vendor does not accept the key.
    NotAccepted,
}

/// The server of this name, if it is shown accounts.
pub(crate) fn linkable(issuer: &Issuer, name: &str) -> Result<Linkable, PageError> {
    let servers = Arc::clone(&issuer.site.servers.borrow());
    let card = name.parse::<ServerName>().ok().and_then(|name| servers.find(&name).cloned());
    let card = card.ok_or(PageError::NotThere)?;
    let rule = card.account.clone().ok_or(PageError::NotThere)?;
    Ok(Linkable { card, rule })
}

/// Who is signed in; or the way to sign in.
pub(crate) async fn signed_in(tx: &mut Tx, visit: &Visit) -> Result<Session, PageError> {
    session::current(tx, visit).await?.ok_or(PageError::SignIn(Place::Links))
}

pub(crate) fn key_of(session: &Session, linkable: &Linkable) -> AccountKey {
    AccountKey { user: session.user.id, server: linkable.card.name.clone() }
}

/// Keeps what the answer is checked against, and says where the browser goes.
pub(crate) async fn depart(issuer: &Issuer, visit: &Visit, linkable: &Linkable) -> Result<String, LinkError> {
    let AccountWay::OAuth(vendor) = &linkable.rule.way else { return Err(PageError::NotThere.into()) };
    let session = signed_in(&mut issuer.site.store.read().await?, visit).await?;
    if !issuer.limits.may_authorize(visit.peer) {
        return Err(LinkError::Busy);
    }
    let redirect = redirect_uri(issuer, linkable)?;
    let endpoint = described(issuer, vendor, linkable, &redirect).await?;
    let (url, request) = begin(vendor, endpoint, &redirect, &*issuer.site.entropy)?;
    let door = visit.door.as_ref().map(|door| door.expose().to_owned());
    let step = (LinkStep::Sent, request.state().digest());
    let flow = kept(visit, linkable, (session.user.id, session.row.digest), step, &Sent::new(&request, door));
    let mut tx = issuer.site.store.begin().await?;
    tx.link_flows().insert(&flow).await?;
    tx.commit().await?;
    Ok(url)
}

/// Takes the vendor's answer, asks whose account it is, and returns the path of the page that asks the person.
pub(crate) async fn arrive(
    issuer: &Issuer,
    visit: &Visit,
    linkable: &Linkable,
    query: &str,
) -> Result<String, LinkError> {
    let AccountWay::OAuth(vendor) = &linkable.rule.way else { return Err(PageError::NotThere.into()) };
    let parameters = Parameters::read(query).unwrap_or_default();
    // An answer that says something twice is none, and takes nothing.
    if parameters.repeated(&[]).is_some() {
        return Err(LinkError::Gone);
    }
    let state = parameters.one("state").and_then(|state| CsrfToken::parse(state).ok()).ok_or(LinkError::Gone)?;
    let flow = take(issuer, visit, linkable, (LinkStep::Sent, &state.digest())).await?;
    let sent: Sent = serde_json::from_slice(flow.kept.expose()).map_err(|_| LinkError::Gone)?;
    let request = sent.request().ok_or(LinkError::Gone)?;
    let back = format!("{}?{query}", redirect_uri(issuer, linkable)?.as_str());
    let http = &*issuer.upstream.http;
    let tokens = finish(http, vendor, &request, &back, visit.now).await?;
    let account = match &linkable.rule.lookup {
        Some(lookup) => Some(whose(http, lookup, &tokens.access).await?),
        None => None,
    };
    let found = Found::new(request.issuer(), account, &tokens);
    let path = ask(issuer, visit, linkable, (flow.user, flow.session), &found).await?;
    let door = sent.door.and_then(|door| DoorToken::parse(&door).ok());
    Ok(visit::path(&issuer.site, door.as_ref(), &path))
}

/// Takes a key that a person pasted, and asks its vendor whose account it is for.
pub(crate) async fn paste(
    issuer: &Issuer,
    visit: &Visit,
    linkable: &Linkable,
    form: &Parameters,
) -> Result<Done, LinkError> {
    let (AccountWay::Key, Some(vendor)) = (&linkable.rule.way, &linkable.rule.issuer) else {
        return Err(PageError::Malformed.into());
    };
    let session = signed_in(&mut issuer.site.store.read().await?, visit).await?;
    of_this_page(visit, &session, FormKind::LinkAccount, linkable.card.name.as_str(), form)?;
    if !issuer.limits.may_authorize(visit.peer) {
        return Err(LinkError::Busy);
    }
    let key = form.one("key").unwrap_or_default().trim();
    let is_key = !key.is_empty() && key.len() <= TOKEN_BYTES_MAX && key.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_key {
        return Ok(Done::NotAccepted);
    }
    let tokens = AccountTokens::key(key);
    let account = match &linkable.rule.lookup {
        Some(lookup) => match whose(&*issuer.upstream.http, lookup, &tokens.access).await {
            Ok(account) => Some(account),
            Err(sekisho_client::vendor::LookupError::Refused { .. }) => return Ok(Done::NotAccepted),
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let found = Found::new(vendor, account, &tokens);
    let path = ask(issuer, visit, linkable, (session.user.id, session.row.digest), &found).await?;
    Ok(Done::Found(path))
}

/// Links the account that the person was shown.
pub(crate) async fn confirm(
    issuer: &Issuer,
    visit: &Visit,
    linkable: &Linkable,
    form: &Parameters,
) -> Result<Done, LinkError> {
    let token = form.one("confirm").and_then(|token| CsrfToken::parse(token).ok()).ok_or(LinkError::Gone)?;
    let mut tx = session::begin(&issuer.site, visit).await?;
    let session = signed_in(&mut tx, visit).await?;
    of_this_page(visit, &session, FormKind::ConfirmLink, token.expose(), form)?;
    let (digest, browser) = (token.digest(), visit.browser.token().digest());
    let taker = LinkTaker {
        digest: &digest,
        step: LinkStep::Confirm,
        server: &linkable.card.name,
        browser: &browser,
        session: Some(&session.row.digest),
    };
    let flow = tx.link_flows().consume(taker, visit.now).await?.ok_or(LinkError::Gone)?;
    let found: Found = serde_json::from_slice(flow.kept.expose()).map_err(|_| LinkError::Gone)?;
    let tokens = found.tokens().ok_or(LinkError::Gone)?;
    let secret = SecretBytes::new(found.sealed_tokens());
    let new = NewLinkedAccount {
        key: &key_of(&session, linkable),
        issuer: &found.issuer,
        account: found.account.as_deref(),
        scopes: found.scopes.as_deref(),
        secret: &secret,
        token_expires_at: tokens.renew_at(visit.now),
    };
    let by = records::performer(issuer, visit, Actor::User(session.user.id));
    link::link(&mut tx, &by, &new).await?;
    tx.commit().await?;
    Ok(Done::Changed)
}

/// Removes the account, and gives its tokens back to the vendor, if it takes them.
pub(crate) async fn remove(
    issuer: &Issuer,
    visit: &Visit,
    linkable: &Linkable,
    form: &Parameters,
) -> Result<Done, LinkError> {
    let mut tx = session::begin(&issuer.site, visit).await?;
    let session = signed_in(&mut tx, visit).await?;
    of_this_page(visit, &session, FormKind::UnlinkAccount, linkable.card.name.as_str(), form)?;
    let by = records::performer(issuer, visit, Actor::User(session.user.id));
    let removed = link::unlink(&mut tx, &by, &key_of(&session, linkable)).await?;
    tx.commit().await?;
    let tokens = issuer.site.store.open_account(&removed)?;
    let http = Arc::clone(&issuer.upstream.http);
    // The account is not used any more, whether the vendor answers or not.
    tokio::spawn(async move {
        let Some(tokens) = AccountTokens::from_bytes(tokens.expose()) else { return };
        match revoke(&*http, &tokens).await {
            Ok(()) | Err(VendorError::NotOffered) => {}
            Err(error) => tracing::warn!(
                server = %removed.key.server, error = &error as &dyn std::error::Error, "the vendor did not take a token back"
            ),
        }
    });
    Ok(Done::Changed)
}

/// Reads what a form of these pages wants.
pub(crate) async fn change(
    issuer: &Issuer,
    visit: &Visit,
    linkable: &Linkable,
    form: &Form,
) -> Result<Done, LinkError> {
    let form = form.parameters.as_ref().map_err(|_| PageError::Malformed)?;
    if form.repeated(&[]).is_some() {
        return Err(PageError::Malformed.into());
    }
    match form.one("decision") {
        Some("confirm") => confirm(issuer, visit, linkable, form).await,
        Some("link") => paste(issuer, visit, linkable, form).await,
        Some("unlink") => remove(issuer, visit, linkable, form).await,
        _ => Err(PageError::Malformed.into()),
    }
}

/// Keeps an account until the person says yes, and returns the path of the page that asks.
async fn ask(
    issuer: &Issuer,
    visit: &Visit,
    linkable: &Linkable,
    who: (UserId, Digest),
    found: &Found,
) -> Result<String, LinkError> {
    let token = CsrfToken::generate(&*issuer.site.entropy);
    let flow = kept(visit, linkable, who, (LinkStep::Confirm, token.digest()), found);
    let mut tx = issuer.site.store.begin().await?;
    tx.link_flows().insert(&flow).await?;
    tx.commit().await?;
    Ok(format!("/links/{}?confirm={}", linkable.card.name, token.expose()))
}

fn kept(
    visit: &Visit,
    linkable: &Linkable,
    (user, session): (UserId, Digest),
    (step, digest): (LinkStep, Digest),
    kept: &impl Serialize,
) -> LinkFlow {
    LinkFlow {
        digest,
        step,
        user,
        server: linkable.card.name.clone(),
        browser: visit.browser.token().digest(),
        session,
        // Texts and numbers always serialise, so the default is never taken.
        kept: SecretBytes::new(serde_json::to_vec(kept).unwrap_or_default()),
        expires_at: after(visit.now, STEP_SECONDS),
    }
}

/// Takes a step of this browser. On plain http a vendor's answer does not come through the person's door, so that the
/// session cannot be seen; it has to be alive, and the last step sees it.
async fn take(
    issuer: &Issuer,
    visit: &Visit,
    linkable: &Linkable,
    (step, digest): (LinkStep, &Digest),
) -> Result<LinkFlow, LinkError> {
    let browser = visit.browser.token().digest();
    let session = visit.session.as_ref().map(sekisho_web::session::SessionSecret::digest);
    let taker = LinkTaker { digest, step, server: &linkable.card.name, browser: &browser, session: session.as_ref() };
    let mut tx = issuer.site.store.begin_for_stranger().await?;
    let flow = tx.link_flows().consume(taker, visit.now).await?.ok_or(LinkError::Gone)?;
    tx.commit().await?;
    Ok(flow)
}

fn of_this_page(
    visit: &Visit,
    session: &Session,
    kind: FormKind,
    about: &str,
    form: &Parameters,
) -> Result<(), PageError> {
    if is_ours(visit, Some(session), kind, about, form.one("csrf")) { Ok(()) } else { Err(PageError::Forgery) }
}

/// Where the answers of this server's vendor arrive. Each server has its own (ATK-83).
pub(crate) fn redirect_uri(issuer: &Issuer, linkable: &Linkable) -> Result<RedirectUri, PageError> {
    let uri = issuer.site.settings.url(&format!("/links/{}/callback", linkable.card.name));
    RedirectUri::parse(&uri).map_err(|error| PageError::Internal(Fault::internal(error)))
}

/// Our metadata document (draft-ietf-oauth-client-id-metadata-document), where vendors can reach it.
pub(crate) fn document(issuer: &Issuer) -> Option<ClientId> {
    issuer.site.settings.is_https().then(|| ClientId::parse(&issuer.site.settings.url("/links/client.json")).ok())?
}

/// Finds out where the vendor's endpoints are. A client that the checkpoint registers there is kept.
async fn described(
    issuer: &Issuer,
    vendor: &OAuthVendor,
    linkable: &Linkable,
    redirect: &RedirectUri,
) -> Result<sekisho_client::vendor::VendorEndpoint, LinkError> {
    let server = &linkable.card.name;
    let kept = issuer.site.store.read().await?.credentials().find(server, CLIENT).await?;
    let known = kept.as_ref().and_then(|kept| kept.expose().split_once(' '));
    let known = known.and_then(|(at, client)| Some((at, AccountClient::from_bytes(client.as_bytes())?)));
    let document = document(issuer);
    let asking = AskingClient { name: CLIENT_NAME, redirect_uri: redirect, document: document.as_ref() };
    let before = known.as_ref().map(|(at, client)| (*at, client));
    let endpoint = describe(&*issuer.upstream.http, vendor, asking, before).await?;
    let client = AccountClient {
        id: endpoint.client.clone(),
        secret: endpoint.secret.clone(),
        authentication: endpoint.authentication,
    };
    let is_registered = vendor.client.is_none() && document.as_ref() != Some(&client.id);
    let is_known = known.is_some_and(|(at, known)| at == endpoint.issuer && known == client);
    if is_registered && !is_known {
        let text = String::from_utf8(client.to_bytes().to_vec()).unwrap_or_default();
        let value = UpstreamSecret::from_outside(format!("{} {text}", endpoint.issuer));
        let mut tx = issuer.site.store.begin().await?;
        tx.credentials().put(server, CLIENT, &value).await?;
        tx.commit().await?;
    }
    Ok(endpoint)
}
