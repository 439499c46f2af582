//! What the pages of linked accounts show.

use askama::Template;
use sekisho_protocol::account::AccountWay;
use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::scope::Scope;
use sekisho_protocol::secret::CsrfToken;
use sekisho_protocol::text::plain_text;
use sekisho_store::{GrantFilter, LinkStep, LinkTaker, LinkedAccount, StoreError, Tx};
use sekisho_web::Visit;
use sekisho_web::error::PageError;
use sekisho_web::frame::Chrome;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::{FormKind, Session, form_token};
use sekisho_web::shown;

use super::failure::LinkError;
use super::flow::{Linkable, key_of, signed_in};
use super::kept::Found;
use crate::Issuer;

/// The accounts of the person who is signed in, by server.
#[derive(Template)]
#[template(path = "links.html")]
pub(crate) struct LinksPage {
    chrome: Chrome,
    servers: Vec<LinkLine>,
}

/// One server, and the account there.
struct LinkLine {
    name: String,
    title: String,
    vendor: String,
    account: Option<AccountFacts>,
}

/// One server: the account there, and how to link one.
#[derive(Template)]
#[template(path = "link.html")]
pub(crate) struct LinkPage {
    chrome: Chrome,
    server: String,
    title: String,
    initial: String,
    vendor: String,
    vendor_initial: String,
    account: Option<AccountFacts>,
    /// The account that waits for the person's yes.
    found: Option<FoundFacts>,
    /// Whether a key is pasted; otherwise the person goes to the vendor.
    by_key: bool,
    link_csrf: String,
    unlink_csrf: String,
    problem: Option<Sentence>,
}

/// A linked account.
struct AccountFacts {
    /// Empty if the vendor does not tell it.
    name: String,
    issuer: String,
    scopes: String,
    since: String,
    last_used: Option<String>,
    ended: Option<String>,
    agents: Vec<AgentLine>,
}

/// An agent that may use the account.
struct AgentLine {
    grant: GrantId,
    client: String,
}

/// An account that waits for the person's yes.
struct FoundFacts {
    name: String,
    issuer: String,
    scopes: String,
    confirm: String,
    csrf: String,
    /// The account that it would replace, if that is another one.
    replaces: Option<String>,
}

impl LinkPage {
    /// The heading, and what it means.
    fn words(&self) -> (Sentence, Sentence) {
        match (&self.found, &self.account) {
            (Some(_), _) => (Sentence::LinkConfirmTitle, Sentence::LinkConfirmLead),
            (None, Some(account)) if account.ended.is_some() => (Sentence::LinkExpiredTitle, Sentence::LinkExpiredLead),
            (None, Some(_)) => (Sentence::LinkedTitle, Sentence::LinkedLead),
            (None, None) => (Sentence::LinkMissingTitle, Sentence::LinkMissingLead),
        }
    }
}

/// The page with all servers that work with accounts.
pub(crate) async fn all(issuer: &Issuer, visit: &Visit) -> Result<LinksPage, LinkError> {
    let mut tx = issuer.site.store.read().await?;
    let session = signed_in(&mut tx, visit).await?;
    let servers = std::sync::Arc::clone(&issuer.site.servers.borrow());
    let mut lines = Vec::new();
    for card in servers.iter() {
        let Some(rule) = card.account.clone() else { continue };
        let linkable = Linkable { card: card.clone(), rule };
        lines.push(LinkLine {
            name: card.name.to_string(),
            title: plain_text(&card.title, 80),
            vendor: plain_text(&linkable.rule.vendor, 80),
            account: facts(&mut tx, visit, &session, &linkable).await?,
        });
    }
    let chrome = Chrome::new(&issuer.site, visit).with(visit, &session, None);
    Ok(LinksPage { chrome, servers: lines })
}

/// The page of one server. `confirm`: the secret of an account that waits for the person's yes.
pub(crate) async fn one(
    issuer: &Issuer,
    visit: &Visit,
    linkable: &Linkable,
    confirm: Option<&str>,
    problem: Option<Sentence>,
) -> Result<LinkPage, LinkError> {
    let mut tx = issuer.site.store.read().await?;
    let session = signed_in(&mut tx, visit).await?;
    let account = facts(&mut tx, visit, &session, linkable).await?;
    let found = match confirm {
        Some(token) => Some(found(&mut tx, visit, &session, (linkable, account.as_ref()), token).await?),
        None => None,
    };
    let name = linkable.card.name.as_str();
    let token = |kind| form_token(visit, Some(&session), kind, name).expose().to_owned();
    let (title, vendor) = (plain_text(&linkable.card.title, 80), plain_text(&linkable.rule.vendor, 80));
    Ok(LinkPage {
        link_csrf: token(FormKind::LinkAccount),
        unlink_csrf: token(FormKind::UnlinkAccount),
        chrome: Chrome::new(&issuer.site, visit).with(visit, &session, None),
        server: name.to_owned(),
        initial: shown::initial(&title),
        vendor_initial: shown::initial(&vendor),
        title,
        vendor,
        account,
        found,
        by_key: linkable.rule.way == AccountWay::Key,
        problem,
    })
}

async fn found(
    tx: &mut Tx,
    visit: &Visit,
    session: &Session,
    (linkable, before): (&Linkable, Option<&AccountFacts>),
    token: &str,
) -> Result<FoundFacts, LinkError> {
    let token = CsrfToken::parse(token).map_err(|_| LinkError::Gone)?;
    let (digest, browser) = (token.digest(), visit.browser.token().digest());
    let taker = LinkTaker {
        digest: &digest,
        step: LinkStep::Confirm,
        server: &linkable.card.name,
        browser: &browser,
        session: Some(&session.row.digest),
    };
    let flow = tx.link_flows().find(taker, visit.now).await?.ok_or(LinkError::Gone)?;
    let found: Found = serde_json::from_slice(flow.kept.expose()).map_err(|_| LinkError::Gone)?;
    let name = found.account.as_deref().map(|name| shown::exact(name, 120)).unwrap_or_default();
    // Without names nobody can tell whether it is the same account, so the person is asked.
    let replaces = before.filter(|before| before.name.is_empty() || before.name != name);
    Ok(FoundFacts {
        replaces: replaces.map(|before| before.name.clone()),
        name,
        issuer: plain_text(&found.issuer, 200),
        scopes: plain_text(found.scopes.as_deref().unwrap_or_default(), 400),
        csrf: form_token(visit, Some(session), FormKind::ConfirmLink, token.expose()).expose().to_owned(),
        confirm: token.expose().to_owned(),
    })
}

async fn facts(
    tx: &mut Tx,
    visit: &Visit,
    session: &Session,
    linkable: &Linkable,
) -> Result<Option<AccountFacts>, StoreError> {
    let found = tx.linked_accounts().find(&key_of(session, linkable)).await?;
    let Some(account) = found.filter(|account| linkable.rule.admits(&account.issuer)) else { return Ok(None) };
    let agents = agents(tx, visit, session, &account).await?;
    Ok(Some(AccountFacts {
        name: account.account.as_deref().map(|name| shown::exact(name, 120)).unwrap_or_default(),
        issuer: plain_text(&account.issuer, 200),
        scopes: plain_text(account.scopes.as_deref().unwrap_or_default(), 400),
        since: shown::moment(account.created_at),
        last_used: account.last_used_at.map(shown::moment),
        ended: account.ended_reason.as_deref().map(|reason| plain_text(reason, 300)),
        agents,
    }))
}

/// The agents whose grants say that they may use the account.
async fn agents(
    tx: &mut Tx,
    visit: &Visit,
    session: &Session,
    account: &LinkedAccount,
) -> Result<Vec<AgentLine>, StoreError> {
    let filter = GrantFilter {
        subject: Some(Subject::User(session.user.id)),
        client: None,
        server: Some(account.key.server.clone()),
    };
    let grants = tx.grants().list(&filter).await?;
    let ids: Vec<GrantId> = grants.iter().map(|grant| grant.id).collect();
    let alive = tx.grants().alive_among(&ids, visit.now).await?;
    let mut names = shown::Clients::default();
    let mut agents = Vec::new();
    for grant in grants.iter().filter(|grant| alive.contains(&grant.id) && grant.scopes.contains(&Scope::account())) {
        agents.push(AgentLine { grant: grant.id, client: names.find(tx, &grant.client).await?.name });
    }
    Ok(agents)
}

/// What another page of the checkpoint would answer to a name that is no server with accounts.
pub(crate) fn absent() -> LinkError {
    PageError::NotThere.into()
}
