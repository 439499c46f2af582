//! Step 9: every message to the client, on every stream, is judged by its own kind and not by the stream it came on.
//!
//! Lists show what `decide` would permit or let a client step up to. Not passed on are answers that nobody asked for,
//! requests that the revision does not have, and notifications about things that the caller may not read.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_policy::decide::{Decision, approval_key, decide, may_see};
use sekisho_policy::model::{Authority, Call, Target};
use sekisho_policy::rights::Rights;
use sekisho_protocol::caller::{Basis, Caller};
use sekisho_protocol::decimal::Decimal;
use sekisho_protocol::env::Timestamp;
use sekisho_protocol::ids::GrantId;
use sekisho_protocol::mcp::error::notification;
use sekisho_protocol::mcp::message::{Id, Kind, ListItem, Message, Outcome, Params, ResultView, list_items};
use sekisho_protocol::mcp::method::{Direction, Era, ListKind, Method, MethodRow, Need};
use sekisho_protocol::mcp::mirror::Annotations;
use sekisho_protocol::mcp::splice::{self, SpliceError, SubscriptionList};
use sekisho_protocol::mcp::strict::{self, Limits};
use sekisho_protocol::text::check_name;
use sekisho_protocol::uri::ResourceUri;

use sekisho_store::StoreError;

use crate::Gateway;
use crate::asking;
use crate::call::Wish;
use crate::catalogue::Snapshot;
use crate::era::stateless::Declared;
use crate::own;
use crate::revision::{FarRevision, NearRevision};
use crate::rounds;
use crate::route::Routed;
use crate::session::{Owner, Session};
use crate::shares::Holder;

/// The stream on which messages arrive.
#[derive(Debug)]
pub(crate) enum StreamKind {
    /// The answer to one request.
    Answer(Question),
    /// The stream of `subscriptions/listen`. What it may carry is known once the upstream has acknowledged it.
    Listen { question: Question, wish: Wish, heard: Option<Wish> },
    /// The standing stream of a session.
    Standing,
}

/// The request that a stream answers.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) id: Id,
    pub(crate) row: &'static MethodRow,
    /// The token under which its progress is reported.
    pub(crate) progress: Option<Id>,
    /// Whether its client wants log messages (TR-24).
    pub(crate) logs: bool,
    /// The request's bytes, from which rarely needed members are read again.
    pub(crate) body: Bytes,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judged {
    /// It is the answer to this stream's request; `error` says whether it is a protocol error.
    Answer { data: Bytes, error: bool },
    /// It cannot be passed on, and nothing that follows can be trusted.
    Broken(&'static str),
    /// It is dropped.
    Drop(&'static str),
    /// It asks something back, but too many calls of this client wait for that already.
    Full,
    /// It is passed on.
    Pass(Bytes),
}

/// Judges the messages of one stream or answer.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) routed: Routed,
    pub(crate) caller: Arc<Caller>,
    /// The authority when the request was judged.
    pub(crate) authority: Authority,
    /// The revision that the client reads.
    pub(crate) near: NearRevision,
    /// The revision that the upstream writes.
    pub(crate) far: FarRevision,
    pub(crate) session: Option<Arc<Session>>,
    /// The call that was permitted.
    pub(crate) call: Arc<Call>,
    /// The grant for which something was taken. Later rounds of the call go on without taking it again.
    pub(crate) paid_by: Option<GrantId>,
    pub(crate) stream: StreamKind,
}

/// The rights and the catalogue at the moment of one message. After a change, the next message sees new ones (ATK-59).
struct Moment {
    rights: Arc<Rights>,
    authority: Authority,
    snapshot: Arc<Snapshot>,
    now: Timestamp,
}

impl Filter {
    /// Judges one message as the upstream sent it.
    pub(crate) async fn judge(&mut self, data: Bytes) -> Judged {
        let Ok(message) = Message::read(&data, &Limits::upstream()) else {
            return Judged::Broken("the upstream sent something that is not one readable JSON-RPC message");
        };
        match message.kind() {
            // Boxed so that these rarer messages do not enlarge the future of every call.
            Kind::Notification { .. } => Box::pin(self.notification(&message, &data)).await,
            Kind::Request { .. } => self.request(&message, &data),
            Kind::Response { id: Some(id), outcome } => self.response(id, outcome, &data).await,
            // An error to a request that could not be understood (JSON-RPC 2.0 §5). On these streams only one request
            // can be meant.
            Kind::Response { id: None, .. } => match &self.stream {
                StreamKind::Answer(_) | StreamKind::Listen { .. } => Judged::Answer { data: data.clone(), error: true },
                StreamKind::Standing => Judged::Drop("an error that belongs to no request"),
            },
        }
    }

    /// Returns the notification that the list of tools may have changed here, because of a task, a right, or a tool
    /// that was accepted. `None` if this stream does not carry it.
    pub(crate) fn tools_changed(&self) -> Option<Vec<u8>> {
        const METHOD: &str = "notifications/tools/list_changed";
        match &self.stream {
            StreamKind::Answer(_) => None,
            StreamKind::Listen { question, heard, .. } => {
                heard.as_ref().filter(|heard| heard.tools)?;
                let mut meta = serde_json::Map::new();
                let id = serde_json::to_value(&question.id).ok()?;
                meta.insert(sekisho_protocol::mcp::message::Meta::SUBSCRIPTION_ID.to_owned(), id);
                notification(METHOD, Some(&serde_json::json!({ "_meta": meta }))).ok()
            }
            StreamKind::Standing => {
                let has_tools = self.session.as_ref().is_some_and(|session| session.has_tools);
                has_tools.then(|| notification(METHOD, None::<&()>).ok()).flatten()
            }
        }
    }

    /// Waits until a question is over for which the client of this stream sent its user to a page, and returns the
    /// notification of that (2025-11-25 Elicitation, Completion Notifications). Never returns on a stream that does not
    /// carry it.
    pub(crate) async fn question_over(&self) -> Vec<u8> {
        const METHOD: &str = "notifications/elicitation/complete";
        let (StreamKind::Standing, Some(session)) = (&self.stream, &self.session) else {
            return std::future::pending().await;
        };
        let question = session.next_over().await;
        notification(METHOD, Some(&serde_json::json!({ "elicitationId": question }))).unwrap_or_default()
    }

    /// Returns the request that is answered on this stream.
    pub(crate) fn question(&self) -> Option<&Question> {
        match &self.stream {
            StreamKind::Answer(question) | StreamKind::Listen { question, .. } => Some(question),
            StreamKind::Standing => None,
        }
    }

    fn is_stateless(&self) -> bool {
        self.near.0.era() == Era::Stateless
    }

    async fn moment(&self) -> Moment {
        // This comes first because it may have to ask the store. The rest is then read at the moment of the answer.
        let authority = self.authority_now().await;
        Moment {
            rights: self.gateway.rights.borrow().clone(),
            authority,
            snapshot: self.gateway.catalogues.snapshot(self.routed.server()),
            // The answer to one request may finish after the token has expired; a standing stream may not.
            now: match &self.stream {
                StreamKind::Answer(_) => self.routed.now,
                StreamKind::Listen { .. } | StreamKind::Standing => self.gateway.clock.now(),
            },
        }
    }

    /// Returns the authority with the tasks in force, so that the next message sees tasks that began, ended or were
    /// widened meanwhile. If the store does not answer, returns the authority of when the request was judged.
    async fn authority_now(&self) -> Authority {
        let granted = match &self.caller.basis {
            Basis::Grant(granted) => granted,
            Basis::Open => return self.authority.clone(),
        };
        let snapshot = self.gateway.authenticator.grants().snapshot(granted.grant).await;
        snapshot.map_or_else(|_| self.authority.clone(), |snapshot| snapshot.authority(granted.task))
    }

    fn call(&self, method: &'static str, target: Target) -> Call {
        Call { source: self.routed.source, ..Call::bare(self.routed.server().clone(), method, target) }
    }

    /// Whether the caller may read this resource. A URI that is not canonical cannot be asked for, so it cannot be
    /// read.
    fn may_read(&self, moment: &Moment, uri: &str) -> bool {
        let Ok(uri) = ResourceUri::parse(uri) else { return false };
        let call = self.call("resources/read", Target::Resource { uri });
        matches!(decide(&moment.rights, &self.caller, &moment.authority, &call, moment.now), Decision::Permit(_))
    }

    fn is_own_job(&self, id: &str) -> bool {
        self.gateway.jobs.is_own(self.routed.server(), id, self.owner().as_ref())
    }

    fn owner(&self) -> Option<Owner> {
        Owner::of(&self.caller, self.session.as_deref())
    }

    /// Judges a request to the client. Such requests exist only in the older revisions (TR-35), and there by the table.
    fn request(&self, message: &Message<'_>, data: &Bytes) -> Judged {
        match message.row(self.far.0, Direction::ServerToClient) {
            Some(_) if !self.is_stateless() => Judged::Pass(data.clone()),
            Some(_) | None => Judged::Drop("a request that this revision does not have"),
        }
    }

    async fn notification(&mut self, message: &Message<'_>, data: &Bytes) -> Judged {
        let Some(row) = message.row(self.far.0, Direction::ServerToClient) else {
            return Judged::Drop("a notification that this revision does not have");
        };
        if row.method == Method::NotificationsToolsListChanged {
            Gateway::list_soon(&self.gateway, self.routed.server());
        }
        match &self.stream {
            StreamKind::Listen { .. } => self.subscribed(row, message, data).await,
            StreamKind::Answer(question) if self.is_stateless() => related(question, row, message, data),
            StreamKind::Answer(_) | StreamKind::Standing => self.news(row, message, data).await,
        }
    }

    /// Judges a notification of the older revisions. The session is one caller's, but what the caller may hear of is
    /// judged all the same.
    async fn news(&self, row: &MethodRow, message: &Message<'_>, data: &Bytes) -> Judged {
        let params = message.params();
        let allowed = match row.method {
            Method::NotificationsResourcesUpdated => self.hears_of_resource(params).await,
            Method::NotificationsTasksStatus => self.hears_of_job(params),
            _ => true,
        };
        if allowed {
            Judged::Pass(data.clone())
        } else {
            Judged::Drop("news of something that the caller may not read")
        }
    }

    async fn hears_of_resource(&self, params: Option<&Params<'_>>) -> bool {
        let Some(uri) = params.and_then(|params| params.uri.as_deref()) else { return false };
        self.may_read(&self.moment().await, uri)
    }

    fn hears_of_job(&self, params: Option<&Params<'_>>) -> bool {
        params.and_then(|params| params.task_id.as_deref()).is_some_and(|id| self.is_own_job(id))
    }

    /// Judges a notification for a subscription. Only what was asked for, acknowledged and may be heard of passes,
    /// marked with the id of this subscription (TR-41, TR-42).
    async fn subscribed(&mut self, row: &MethodRow, message: &Message<'_>, data: &Bytes) -> Judged {
        let StreamKind::Listen { question, heard, .. } = &self.stream else {
            return Judged::Drop("not a subscription");
        };
        let marked = message.meta().and_then(|meta| meta.subscription_id.as_ref()) == Some(&question.id);
        if !marked {
            return Judged::Drop("a notification of no or another subscription");
        }
        if row.method == Method::NotificationsSubscriptionsAcknowledged {
            return self.acknowledged(message, data).await;
        }
        let Some(heard) = heard else { return Judged::Drop("a notification before the acknowledgement") };
        let params = message.params();
        let wanted = match row.method {
            Method::NotificationsPromptsListChanged => heard.prompts,
            Method::NotificationsResourcesListChanged => heard.resource_list,
            Method::NotificationsToolsListChanged => heard.tools,
            // The server may report a resource below one that was asked for.
            Method::NotificationsResourcesUpdated => {
                !heard.resources.is_empty() && self.hears_of_resource(params).await
            }
            Method::NotificationsTasks => {
                let id = params.and_then(|params| params.task_id.as_deref()).unwrap_or_default();
                heard.jobs.contains(id) && self.is_own_job(id) && self.may_ask(question, params)
            }
            Method::NotificationsCancelled => true,
            _ => false,
        };
        if wanted { Judged::Pass(data.clone()) } else { Judged::Drop("a notification that was not subscribed to") }
    }

    fn may_ask(&self, question: &Question, params: Option<&Params<'_>>) -> bool {
        let asks = params.and_then(|params| params.input_requests);
        asks.is_none_or(|asks| Declared::in_request(&question.body).allows(asks))
    }

    /// Judges the acknowledgement of a subscription, and leaves out what the caller may not hear of.
    async fn acknowledged(&mut self, message: &Message<'_>, data: &Bytes) -> Judged {
        let promised =
            message.params().and_then(|params| params.notifications.as_ref()).map(Wish::promised).unwrap_or_default();
        let moment = self.moment().await;
        let edited = splice::filter_subscriptions(data, SubscriptionList::Resources, |uri| self.may_read(&moment, uri))
            .and_then(|edited| {
                splice::filter_subscriptions(&edited, SubscriptionList::Tasks, |id| self.is_own_job(id))
            });
        let may_read = |uri: &ResourceUri| self.may_read(&moment, uri.as_str());
        let resources: BTreeSet<ResourceUri> = promised.resources.into_iter().filter(may_read).collect();
        let jobs: BTreeSet<String> = promised.jobs.into_iter().filter(|id| self.is_own_job(id)).collect();
        let StreamKind::Listen { wish, heard, .. } = &mut self.stream else {
            return Judged::Drop("not a subscription");
        };
        *heard = Some(Wish {
            prompts: promised.prompts && wish.prompts,
            resource_list: promised.resource_list && wish.resource_list,
            resources: resources.intersection(&wish.resources).cloned().collect(),
            jobs: jobs.intersection(&wish.jobs).cloned().collect(),
            tools: promised.tools && wish.tools,
        });
        edited.map_or(Judged::Broken(UNREADABLE), |edited| Judged::Pass(edited.into()))
    }

    /// Judges an answer by the request that it answers, on whatever stream it arrives.
    async fn response(&mut self, id: &Id, outcome: &Outcome<'_>, data: &Bytes) -> Judged {
        let of_session = self.session.as_ref().and_then(|session| session.answered(id));
        let own = self.question().filter(|question| question.id == *id).map(|question| question.row);
        let Some(row) = own.or(of_session) else {
            return Judged::Drop("an answer to a request that nobody made here");
        };
        let (passed, error) = match outcome {
            Outcome::Error(_) => (Ok(data.clone()), true),
            Outcome::Result(result) => (self.result(row, result, data).await, false),
        };
        match passed {
            Ok(data) if own.is_some() => Judged::Answer { data, error },
            Ok(data) => Judged::Pass(data),
            Err(unfit) => unfit,
        }
    }

    /// Returns the result without what the caller may not see. It is filtered by what it holds and not by what was
    /// asked, because a late answer may belong to an earlier request that had the same id.
    async fn result(&self, row: &'static MethodRow, result: &ResultView<'_>, data: &Bytes) -> Result<Bytes, Judged> {
        const BROKEN: Judged = Judged::Broken(UNREADABLE);
        self.check_type(row, result).map_err(Judged::Broken)?;
        if let (Need::Tool, Some(id), Some(owner)) = (row.need, result.task_id.as_deref(), self.owner()) {
            let holder = Holder::of(&self.caller, self.routed.source);
            self.gateway.jobs.started(self.routed.server(), id, owner, holder);
        }
        let mut edited = self.with_own_state(row, result, data).await?;
        let asked = match row.need {
            Need::List(kind) => Some(kind),
            _ => None,
        };
        // If a list was asked for, the result has to hold it.
        let missing = asked.filter(|kind| !result.lists.contains(kind));
        for kind in result.lists.iter().copied().chain(missing) {
            let whole = edited.as_deref().unwrap_or(data);
            let trimming = self.trimmed(kind, asked == Some(kind), result, whole);
            edited = Some(Box::pin(trimming).await.map_err(|_| BROKEN)?);
        }
        // A filtered result is for one caller, and no shared cache may hand it to another (PX-23, ATK-74).
        if result.cache_scope.as_deref() == Some("public") {
            let whole = edited.as_deref().unwrap_or(data);
            edited = Some(splice::set_result(whole, "cacheScope", &"private").map_err(|_| BROKEN)?);
        }
        // An upstream may not choose for how long a client shows what was revoked.
        if result.ttl_ms.is_some_and(is_kept_too_long) {
            let whole = edited.as_deref().unwrap_or(data);
            edited = Some(splice::set_result(whole, "ttlMs", &TTL_MS_MAX).map_err(|_| BROKEN)?);
        }
        match edited {
            None => Ok(data.clone()),
            Some(edited) => strict::check(&edited, &Limits::upstream()).map(|()| edited.into()).map_err(|_| BROKEN),
        }
    }

    /// Returns the result with our state in place of the upstream's, if the client is to come back with a state.
    async fn with_own_state(
        &self,
        row: &MethodRow,
        result: &ResultView<'_>,
        data: &Bytes,
    ) -> Result<Option<Vec<u8>>, Judged> {
        let state = result.request_state.as_deref();
        let asks = result.result_type.as_deref() == Some("input_required");
        let goes_on = state.is_some() || (asks && self.paid_by.is_some());
        if !row.may_ask || !goes_on {
            return Ok(None);
        }
        let call = (approval_key(self.caller.principal(), &self.call), self.paid_by.filter(|_| asks));
        let wrapping = rounds::wrap(&self.gateway, &self.caller, &self.routed, call, state);
        match Box::pin(wrapping).await {
            Ok(None) => Ok(None),
            Ok(Some(state)) => {
                splice::set_result(data, "requestState", &state).map(Some).map_err(|_| Judged::Broken(UNREADABLE))
            }
            Err(StoreError::Conflict { .. }) => Err(Judged::Full),
            Err(error) => {
                tracing::error!(server = %self.routed.server(), %error, "a round of a call could not be kept");
                Err(Judged::Broken("what the upstream asks could not be kept"))
            }
        }
    }

    /// Checks that this method, for this client, can have a result of this kind (TR-20, TR-45, TR-56, TR-57).
    fn check_type(&self, row: &MethodRow, result: &ResultView<'_>) -> Result<(), &'static str> {
        if !self.is_stateless() {
            return Ok(());
        }
        let declared = || self.question().map(|question| Declared::in_request(&question.body)).unwrap_or_default();
        let asks_allowed = || result.input_requests.is_none_or(|asks| declared().allows(asks));
        match result.result_type.as_deref() {
            None | Some("complete") => {}
            Some("input_required")
                if row.may_ask && (result.input_requests.is_some() || result.request_state.is_some()) => {}
            Some("task") if row.need == Need::Tool && declared().jobs() => {}
            Some(_) => return Err("the upstream gave a kind of result that this request cannot have"),
        }
        if asks_allowed() { Ok(()) } else { Err("the upstream asks for what the client did not declare") }
    }

    /// Returns a list with only what the caller may use or step up to. If the catalogue does not know a tool in this
    /// form, the upstream's tools are listed again first.
    async fn trimmed(
        &self,
        kind: ListKind,
        was_asked: bool,
        result: &ResultView<'_>,
        data: &[u8],
    ) -> Result<Vec<u8>, SpliceError> {
        let server = self.routed.server();
        let news = kind == ListKind::Tools
            && list_items(result.raw, kind)
                .is_ok_and(|items| items.iter().any(|item| self.gateway.catalogues.is_news(server, item)));
        if news {
            let asking = asking::credential(&self.gateway, &self.routed, &self.caller).await;
            Gateway::list_now(&self.gateway, self.routed.route.mount(asking.as_ref()), self.routed.now).await;
            self.tell_unknown(result);
        }
        self.tell_of_unusable(kind, result);
        let moment = self.moment().await;
        let trimmed = splice::filter_list(data, kind, |item| self.shows(&moment, item))?;
        // Our own tools come at the end of the last page.
        let own = kind == ListKind::Tools
            && was_asked
            && own::are_offered(&self.routed.route, &self.caller)
            && result.next_cursor.is_none();
        if own { splice::append_to_list(&trimmed, kind, &own::definitions()) } else { Ok(trimmed) }
    }

    /// Tells the operator of tools that this caller is shown and we are not.
    fn tell_unknown(&self, result: &ResultView<'_>) {
        let Ok(items) = list_items(result.raw, ListKind::Tools) else { return };
        let names = items.iter().map(ListItem::key).filter(|name| check_name(name).is_ok());
        let names = names.filter(|name| own::is_ours(&self.routed.route, name).is_none());
        self.gateway.catalogues.tell_unknown(self.routed.server(), names, self.gateway.clock.now());
    }

    /// Warns the operator about entries of a list that no client can ask for: one warning for each list.
    fn tell_of_unusable(&self, kind: ListKind, result: &ResultView<'_>) {
        let Ok(items) = list_items(result.raw, kind) else { return };
        let mut faults = items.iter().filter_map(|item| Some((item.key(), unusable(item)?)));
        let Some((first, why)) = faults.next() else { return };
        let first: String = first.chars().take(TOLD_CHARACTERS_MAX).collect();
        tracing::warn!(
            server = %self.routed.server(),
            list = kind.member(),
            first = ?first,
            others = faults.count(),
            "entries of the upstream's list are left out, for they cannot be asked for: {why}"
        );
    }

    fn shows(&self, moment: &Moment, item: &ListItem<'_>) -> bool {
        let (method, target) = match item {
            // RS-54: a list shows only the caller's own jobs.
            ListItem::Job { task_id, .. } => return self.is_own_job(task_id),
            ListItem::Prompt { name, .. } if check_name(name).is_err() => return false,
            ListItem::Prompt { name, .. } => ("prompts/get", Target::Prompt { name: name.clone().into_owned() }),
            ListItem::Resource { uri, .. } => match ResourceUri::parse(uri) {
                Ok(uri) => ("resources/read", Target::Resource { uri }),
                Err(_) => return false,
            },
            ListItem::ResourceTemplate { uri_template, .. } => match ResourceUri::parse_template(uri_template) {
                Ok(uri) => ("resources/read", Target::Resource { uri }),
                Err(_) => return false,
            },
            ListItem::Tool { name, input_schema, .. } => {
                // A tool whose annotations for mirrored arguments are invalid is left out; the others stay (TR-32).
                if self.is_stateless() && input_schema.is_some_and(|schema| Annotations::read(schema).is_err()) {
                    tracing::warn!(server = %self.routed.server(), "a tool with an invalid `x-mcp-header` is left out");
                    return false;
                }
                if own::is_ours(&self.routed.route, name).is_some() {
                    return false;
                }
                let known = moment.snapshot.standing_as(name, &self.gateway.catalogues.digest(item));
                let standing = self.routed.route.standing(name, known);
                ("tools/call", Target::Tool { name: name.clone().into_owned(), standing })
            }
        };
        may_see(&moment.rights, &self.caller, &moment.authority, &self.call(method, target), moment.now)
    }
}

/// The longest time that a client is told to keep a result, in milliseconds: a revocation may take this long to be
/// seen.
const TTL_MS_MAX: u32 = 10_000;

/// Whether a `ttlMs` is longer than that, or is no number that can be compared.
fn is_kept_too_long(ttl_ms: &str) -> bool {
    Decimal::parse(ttl_ms).and_then(|ttl| ttl.to_i64()).is_none_or(|ttl| ttl > i64::from(TTL_MS_MAX))
}

/// Returns why no client can ask for an entry of a list: its URI is not canonical, or its name has several spellings.
fn unusable(item: &ListItem<'_>) -> Option<String> {
    match item {
        ListItem::Job { .. } => None,
        ListItem::Prompt { name, .. } | ListItem::Tool { name, .. } => {
            check_name(name).err().map(|fault| format!("the name is not one: {fault}"))
        }
        ListItem::Resource { uri, .. } => ResourceUri::parse(uri).err().map(|refused| refused.to_string()),
        ListItem::ResourceTemplate { uri_template, .. } => {
            ResourceUri::parse_template(uri_template).err().map(|refused| refused.to_string())
        }
    }
}

/// The most characters of an upstream's text in a line of the log.
const TOLD_CHARACTERS_MAX: usize = 200;
const UNREADABLE: &str = "the upstream's answer cannot be read as what it should be";

/// Judges a notification before the answer of a stateless request: the request's own progress passes, and log messages
/// if its client wants them (TR-24, TR-35).
fn related(question: &Question, row: &MethodRow, message: &Message<'_>, data: &Bytes) -> Judged {
    let progress = message.params().and_then(|params| params.progress_token.as_ref());
    let belongs = match row.method {
        Method::NotificationsProgress => progress.is_some() && progress == question.progress.as_ref(),
        Method::NotificationsMessage => question.logs,
        _ => false,
    };
    if belongs {
        Judged::Pass(data.clone())
    } else {
        Judged::Drop("a notification that does not belong to the request")
    }
}
