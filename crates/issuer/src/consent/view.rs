//! The facts of a request, for the pages.

use std::sync::Arc;

use sekisho_acts::reading;
use std::collections::BTreeSet;

use sekisho_picture::sets::{Captions, Member, SetsFigure, SvgUse};
use sekisho_policy::grant::{grantable, grantable_of};
use sekisho_policy::model::Party;
use sekisho_protocol::caller::Subject;
use sekisho_protocol::catalogue::{Tool, ToolClass};
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::registration::ClientOrigin;
use sekisho_protocol::scope::{Scope, ScopeSet};
use sekisho_protocol::server::TaskTemplate;
use sekisho_protocol::task::TaskDefinition;
use sekisho_protocol::text::plain_text;
use sekisho_store::{GrantFilter, StoreError, Tx};
use sekisho_web::Visit;
use sekisho_web::choice::{ScopeLine, class_words, tool_key};
use sekisho_web::language::Language;
use sekisho_web::sentence::Sentence;
use sekisho_web::session::Session;
use sekisho_web::shown::{self, display_name};
use url::Url;

use super::listing::Listing;
use super::request::{Request, tools_to_classify};
use super::stay::Stay;
use crate::Issuer;
use crate::pages::{Ask, TaskFacts, TemplateChoice, ToolChoice, Unclassified};

/// The part of the request that this person may hand on (RS-39: `policy::grantable`, nothing more).
#[derive(Debug)]
pub(crate) struct Offer {
    /// The scopes that can be ticked.
    pub(crate) scopes: ScopeSet,
    /// Every scope that the person could hand on at this server, whether it was asked for or not.
    most: ScopeSet,
    /// Whether more was asked for.
    pub(crate) withheld: bool,
    /// The tools to classify on the way; empty on all but the owner's first consent.
    pub(crate) tools: Vec<Tool>,
    /// The known tools that what can be ticked would cover, to narrow it down to some of them.
    pub(crate) known: Vec<Tool>,
    /// The known tools that the person has a right to, whether they are covered or not.
    rightful: Vec<Tool>,
    /// What is known of the server's tools.
    pub(crate) listing: Listing,
    /// Whether the person can let it stay connected when they are away (`offline_access`).
    pub(crate) stay: Stay,
    /// Whether the person has let this client in at this server before, and it still is.
    pub(crate) again: bool,
}

/// The most tools that a page lists one by one. If there are more, the access can be narrowed by class only.
const LISTED_MAX: usize = 200;

/// Characters of bounds that are shown of one tool.
const BOUNDS_CHARS_MAX: usize = 4000;

/// Works out what this person may hand on.
pub(crate) async fn offer(
    issuer: &Issuer,
    tx: &mut Tx,
    request: &Request,
    session: &Session,
    now: Timestamp,
) -> Result<Offer, StoreError> {
    let rights = Arc::clone(&issuer.rights.borrow());
    let servers = Arc::clone(&issuer.site.servers.borrow());
    let classes = servers.find(&request.server.name).map(|card| &card.classes);
    let known = reading::tools(tx, classes, &request.server.name).await?;
    let is_unknown = known.is_empty() && tx.catalogue().list(&request.server.name).await?.is_empty();
    let subject = Subject::User(session.user.id);
    let party = Party { subject: &subject, client: &request.pending.client };
    let most = grantable(&rights, party, &request.server.name, &known, now);
    // `offline_access` is about how long, not about what: it has a box of its own.
    let wish = request.pending.scopes.without(&Scope::offline_access());
    let scopes = grantable_of(&wish, &most);
    // The use of a linked account is nothing by itself.
    let scopes = if scopes.without(&Scope::account()).is_empty() { ScopeSet::empty() } else { scopes };
    let withheld = scopes.len() < wish.len();
    // Access to nothing stays nowhere.
    let stay = if scopes.is_empty() { Stay::Never } else { Stay::of(issuer, request) };
    let tools = if scopes.is_empty() { Vec::new() } else { tools_to_classify(tx, request, session).await? };
    let covered = |tool: &Tool| {
        let by_class = tool.class.is_some_and(|class| scopes.satisfies(&Scope::of_class(class)));
        by_class || scopes.contains(&Scope::tool(&tool.name))
    };
    let rightful: Vec<Tool> = known.into_iter().filter(|tool| most.satisfies(&Scope::tool(&tool.name))).collect();
    let mut known: Vec<Tool> = rightful.iter().filter(|tool| covered(tool)).cloned().collect();
    let listing = match known.len() {
        // While classes are still being given, there is nothing to narrow by.
        _ if !tools.is_empty() => Listing::New,
        _ if is_unknown => Listing::Unknown,
        count if count > LISTED_MAX => Listing::Many(count),
        _ => Listing::Listed,
    };
    if listing != Listing::Listed {
        known.clear();
    }
    let again = has_grant(tx, request, session, now).await?;
    Ok(Offer { scopes, most, withheld, tools, known, rightful, listing, stay, again })
}

async fn has_grant(tx: &mut Tx, request: &Request, session: &Session, now: Timestamp) -> Result<bool, StoreError> {
    let filter = GrantFilter {
        subject: Some(Subject::User(session.user.id)),
        client: Some(request.client.id.clone()),
        server: Some(request.server.name.clone()),
    };
    let grants: Vec<GrantId> = tx.grants().list(&filter).await?.into_iter().map(|grant| grant.id).collect();
    Ok(!tx.grants().alive_among(&grants, now).await?.is_empty())
}

/// The facts of a request for a page (PX-03, AS-35).
pub(crate) fn ask(visit: &Visit, request: &Request, scopes: &ScopeSet) -> Ask {
    let client_name = display_name(&request.client);
    let server_title = plain_text(&request.server.title, 80);
    let document_host = document_host(request);
    let note = match request.client.origin {
        ClientOrigin::Dynamic => Sentence::UnverifiedNote,
        ClientOrigin::MetadataDocument => Sentence::DocumentNote,
        ClientOrigin::Registered => Sentence::RegisteredNote,
    };
    Ask {
        pending: request.pending.id.to_string(),
        initial: initial(&client_name),
        client_id: request.client.id.to_string(),
        unverified: request.client.origin == ClientOrigin::Dynamic,
        origin_words: visit.language.around(note),
        origin_host: document_host.clone().unwrap_or_default(),
        document_host,
        redirect_host: request.redirect.host(),
        redirect_uri: request.redirect.as_str().to_owned(),
        warning: warning(request),
        server_initial: initial(&server_title),
        server_url: request.server.resource.as_str().to_owned(),
        scopes: scope_lines(visit, request, scopes),
        client_name,
        server_title,
    }
}

/// The scopes in words, with the vendor whose account is used.
fn scope_lines(visit: &Visit, request: &Request, scopes: &ScopeSet) -> Vec<ScopeLine> {
    let mut lines = ScopeLine::of(visit.language, scopes);
    if let Some(rule) = &request.server.account {
        let of_account = lines.iter_mut().filter(|line| line.value == Scope::account().as_str());
        of_account.for_each(|line| line.name = plain_text(&rule.vendor, 80));
    }
    lines
}

/// One tool on the page, to be unticked.
pub(crate) fn tool_choice(tool: &Tool, task: Option<&TaskDefinition>) -> ToolChoice {
    let bounds = task.and_then(|task| task.tools.get(&tool.name));
    ToolChoice {
        key: tool_key(&tool.name),
        name: shown::exact(&tool.name, 128),
        summary: plain_text(&tool.summary, 200),
        class: tool.class.map(class_words),
        // With a task, what it does not name is not needed.
        ticked: task.is_none() || bounds.is_some(),
        bounds: bounds
            .and_then(Option::as_ref)
            .map(|bounds| shown::exact(&bounds.to_string(), BOUNDS_CHARS_MAX))
            .unwrap_or_default(),
    }
}

/// Returns the client's task, for the page.
pub(crate) fn task_facts(language: Language, task: &TaskDefinition) -> TaskFacts {
    TaskFacts {
        purpose: plain_text(&task.purpose, TaskDefinition::PURPOSE_CHARS_MAX),
        others: shown::resources(language, task).into_iter().chain(shown::prompts(language, task)).collect(),
        calls: task.calls,
        minutes: task.expires_in.map(|seconds| seconds.div_ceil(60)),
    }
}

/// The owner's templates, where there is something to grant and the client declares no task of its own.
pub(crate) fn templates(language: Language, request: &Request, offer: &Offer) -> Vec<TemplateChoice> {
    if request.pending.task.is_some() || offer.scopes.is_empty() {
        return Vec::new();
    }
    let choice = |template: &TaskTemplate| TemplateChoice {
        name: template.name.clone(),
        facts: task_facts(language, &template.definition),
        tools: template.definition.tools.keys().map(|name| shown::exact(name, 128)).collect(),
    };
    request.server.templates.iter().map(choice).collect()
}

/// Says why no tool can be chosen one by one, where that is so.
pub(crate) fn tools_note(language: Language, offer: &Offer) -> Option<String> {
    match offer.listing {
        _ if offer.scopes.is_empty() => None,
        Listing::Listed | Listing::New => None,
        Listing::Many(count) => {
            let (before, after) = language.around(Sentence::ToolsMany);
            Some(format!("{before}{count}{after}"))
        }
        Listing::Unknown => Some(language.say(Sentence::ToolsUnknown).to_owned()),
    }
}

/// The tools that the person has a right to and that no scope on the page covers, because they have no class. Who may give them
/// one is led there.
pub(crate) fn unclassified(request: &Request, session: &Session, offer: &Offer) -> Option<Unclassified> {
    let is_left_out = |tool: &&Tool| tool.class.is_none() && !offer.scopes.contains(&Scope::tool(&tool.name));
    let count = offer.rightful.iter().filter(is_left_out).count();
    if count == 0 || offer.scopes.is_empty() || offer.listing == Listing::New {
        return None;
    }
    let page = session.user.role.administers().then(|| format!("/servers/{}/tools", request.server.name));
    Some(Unclassified { count, page })
}

/// The three sets with the server's tools in them, as they would be if everything offered were ticked. While no tool is
/// known, the classes of tools stand for them.
pub(crate) fn figure(visit: &Visit, request: &Request, session: &Session, offer: &Offer) -> Option<String> {
    let task = request.pending.task.as_ref();
    let mut captions = match visit.language {
        Language::English => Captions::default(),
        Language::Japanese => Captions::japanese(),
    };
    let members = match offer.listing {
        _ if offer.scopes.is_empty() => return None,
        Listing::Listed if !offer.rightful.is_empty() => members_by_tool(offer, task),
        // A task says by tool what it needs, which cannot be compared with classes.
        Listing::Unknown if task.is_none() => {
            let (before, after) = visit.language.around(Sentence::FigureClasses);
            captions.tools = format!("{before}{{}}{after}");
            members_by_class(offer)
        }
        Listing::Listed | Listing::Many(_) | Listing::New | Listing::Unknown => return None,
    };
    let figure = SetsFigure {
        server: plain_text(&request.server.title, 80),
        captions,
        who: [
            plain_text(&session.user.name, 64),
            display_name(&request.client),
            task.map(|task| plain_text(&task.purpose, 80)).unwrap_or_default(),
        ],
        need_declared: task.is_some(),
        members,
        chosen: None,
    };
    Some(figure.to_svg(SvgUse::Embedded))
}

fn members_by_tool(offer: &Offer, task: Option<&TaskDefinition>) -> Vec<Member> {
    let covered: BTreeSet<&str> = offer.known.iter().map(|tool| tool.name.as_str()).collect();
    let member = |tool: &Tool| Member {
        name: shown::exact(&tool.name, 128),
        rights: true,
        grant: covered.contains(tool.name.as_str()),
        need: task.is_none_or(|task| task.tools.contains_key(&tool.name)),
        detail: None,
    };
    offer.rightful.iter().map(member).collect()
}

/// The classes of tools that the person could hand on.
fn members_by_class(offer: &Offer) -> Vec<Member> {
    let classes = [ToolClass::Read, ToolClass::Write, ToolClass::Destructive].map(Scope::of_class);
    let could = classes.into_iter().filter(|scope| offer.most.satisfies(scope));
    let member = |scope: Scope| Member {
        name: scope.as_str().to_owned(),
        rights: true,
        grant: offer.scopes.satisfies(&scope),
        need: true,
        detail: None,
    };
    could.map(member).collect()
}

/// AS-35: the host that vouches for a document. It is the only part of such a client's identity that is proven.
fn document_host(request: &Request) -> Option<String> {
    if request.client.origin != ClientOrigin::MetadataDocument {
        return None;
    }
    let url = Url::parse(request.client.id.as_str()).ok()?;
    url.host_str().map(str::to_owned)
}

/// AS-36, ATK-07: a program that listens on this machine may be another one than it says.
fn warning(request: &Request) -> Option<Sentence> {
    match (request.redirect.is_local(), request.redirect.is_private_scheme()) {
        (true, true) => Some(Sentence::SchemeWarning),
        (true, false) => Some(Sentence::LoopbackWarning),
        (false, _) => None,
    }
}

fn initial(name: &str) -> String {
    name.chars().find(|character| character.is_alphanumeric()).unwrap_or('?').to_uppercase().collect()
}
