//! One program and its children: which child a message goes to, and who makes room when there are too many.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sekisho_protocol::mcp::message::{Id, Message};
use sekisho_protocol::mcp::method::{Direction, Era, Method};
use sekisho_protocol::mcp::splice;
use sekisho_protocol::mcp::strict::Limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::super::children::stop_wait;
use super::super::{ForwardError, ForwardLimits, ForwardRequest, Outgoing, UpstreamSession};
use super::connection::{Connection, Context, DRAIN};
use super::own_children::OwnChildren;
use super::sessions::SessionId;
use super::slot::{Scope, Slot, SlotKey, StartError, Up};
use crate::credential::CredentialSource;
use crate::settle::Cleared;
use crate::shares::Holder;
use crate::upstream::{EnvValue, Isolation, StdioSettings, UpstreamName};

/// How long a start waits for a child that was stopped to make room, in addition to the time that it has to stop.
const ROOM: Duration = Duration::from_secs(5);

/// One program and its children.
#[derive(Debug)]
pub(in super::super) struct StdioUpstream {
    pub(super) context: Arc<Context>,
    slots: Mutex<HashMap<SlotKey, Arc<Slot>>>,
    permits: Arc<Semaphore>,
    pub(super) own: OwnChildren,
    /// Where the environment of our own children comes from.
    pub(super) source: Arc<CredentialSource>,
    pub(super) next_session: AtomicU64,
    /// Stops the children if the upstream is dropped without [`StdioUpstream::stop`].
    _stop: DropGuard,
}

impl StdioUpstream {
    pub(in super::super) fn new(
        limits: ForwardLimits,
        server: UpstreamName,
        settings: StdioSettings,
        source: Arc<CredentialSource>,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(settings.children_max));
        let stopping = CancellationToken::new();
        let context = Context {
            server,
            settings: Arc::new(settings),
            limits,
            tasks: TaskTracker::new(),
            stopping: stopping.clone(),
        };
        Self {
            context: Arc::new(context),
            slots: Mutex::default(),
            permits,
            own: OwnChildren::default(),
            source,
            next_session: AtomicU64::new(0),
            _stop: stopping.drop_guard(),
        }
    }

    /// Stops all children and waits until they are gone (ST-13), but no longer than stopping may take.
    pub(in super::super) async fn stop(&self) {
        self.context.stopping.cancel();
        self.context.tasks.close();
        let patience = stop_wait(self.context.settings.stop_grace) + DRAIN * 2;
        if tokio::time::timeout(patience, self.context.tasks.wait()).await.is_err() {
            tracing::error!(server = %self.context.server, "a program could not be ended; it is left behind");
        }
    }

    /// Returns the child that a message goes to, and the session there.
    pub(super) fn place(&self, request: &ForwardRequest) -> Result<(Arc<Slot>, Option<SessionId>), ForwardError> {
        let subject = request.cleared.caller().subject().to_string();
        match request.far.0.era() {
            Era::Initialize => {
                let (slot, session) = self.session(request.session.as_ref(), &subject)?;
                // The value that its child was started with has changed, for example because its user has linked
                // another account. The session was with the old one.
                if slot.key.changing != request.credential.changing() {
                    slot.retire();
                    return Err(ForwardError::SessionGone);
                }
                Ok((slot, Some(session)))
            }
            Era::Stateless => {
                let scope = match self.context.settings.isolation {
                    Isolation::Shared => Scope::Shared,
                    Isolation::Session | Isolation::Subject => Scope::Subject(subject),
                };
                let key = SlotKey { scope, init: None, changing: request.credential.changing() };
                Ok((self.slot(key, holder(&request.cleared), None), None))
            }
        }
    }

    pub(super) fn session(
        &self,
        session: Option<&UpstreamSession>,
        subject: &str,
    ) -> Result<(Arc<Slot>, SessionId), ForwardError> {
        let Some(UpstreamSession::Stdio(session)) = session else { return Err(ForwardError::SessionGone) };
        let slot = session.slot.upgrade().ok_or(ForwardError::SessionGone)?;
        let is_ours = Arc::ptr_eq(&slot.context, &self.context);
        // It was checked before that the session is this caller's. Checking the child's subject again is cheap (PX-36).
        let is_subjects = !matches!(&slot.key.scope, Scope::Subject(owner) if owner != subject);
        if !is_ours || !is_subjects || !slot.router.lock().sessions().touch(session.id) {
            return Err(ForwardError::SessionGone);
        }
        Ok((slot, session.id))
    }

    pub(super) fn slot(&self, key: SlotKey, holder: Holder, initialize: Option<(Id, Bytes)>) -> Arc<Slot> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(&key) {
            return slot.clone();
        }
        // Slots that are no longer needed are removed whenever a new one is made.
        let now = Instant::now();
        // A child that was started with another value ends once it has answered what it was asked.
        let is_older = |old: &SlotKey| old.scope == key.scope && old.init == key.init && key.changing.is_some();
        slots.iter().filter(|(old, _)| is_older(old)).for_each(|(_, slot)| slot.retire());
        slots.retain(|_, slot| !slot.is_spent(now) || Arc::strong_count(slot) > 1);
        let slot = Arc::new(Slot::new(self.context.clone(), key.clone(), holder, initialize));
        slots.insert(key, slot.clone());
        slot
    }

    pub(super) async fn up(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        environment: &Arc<BTreeMap<String, EnvValue>>,
    ) -> Result<Arc<Up>, StartError> {
        slot.up(environment, || {
            let (upstream, holder) = (self.clone(), slot.holder.clone());
            async move { upstream.permit(&holder).await }
        })
        .await
    }

    /// Waits for permission to start one more child for this holder. If there is none left, another child makes room.
    async fn permit(&self, holder: &Holder) -> Result<OwnedSemaphorePermit, ForwardError> {
        let max = self.context.settings.children_max;
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        match self.in_the_way(holder) {
            InTheWay::Child(child) => child.give_way(),
            InTheWay::Stopping => {}
            InTheWay::Own => return Err(ForwardError::Share),
            InTheWay::Others => return Err(ForwardError::TooManyChildren { max }),
        }
        let patience = stop_wait(self.context.settings.stop_grace) + ROOM;
        match tokio::time::timeout(patience, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(ForwardError::TooManyChildren { max }),
        }
    }

    /// Returns the child that makes room for one of this holder: an idle child of this holder or of one that has more,
    /// otherwise a busy child of the holder with the most, if that has more than this one even afterwards. Among equals
    /// it is the one that was not needed for longest.
    fn in_the_way(&self, holder: &Holder) -> InTheWay {
        let slots = self.slots();
        let running: Vec<_> = slots.values().filter_map(|slot| Some((slot, slot.running()?))).collect();
        if running.iter().any(|(_, up)| up.connection.is_stopping()) {
            return InTheWay::Stopping;
        }
        let count = |of: &Holder| running.iter().filter(|(slot, _)| slot.holder == *of).count();
        let own = count(holder);
        let idle = running
            .iter()
            .filter(|(slot, up)| up.connection.is_idle() && (slot.holder == *holder || count(&slot.holder) > own));
        let child = idle.min_by_key(|(slot, _)| slot.used()).or_else(|| {
            // The holder that gives way must still have more than the other afterwards; otherwise the two would
            // displace each other without end.
            let busy = running.iter().filter(|(slot, _)| count(&slot.holder) > own + 1);
            busy.max_by_key(|(slot, _)| (count(&slot.holder), Reverse(slot.used())))
        });
        match child {
            Some((_, up)) => InTheWay::Child(up.connection.clone()),
            None if own > 0 => InTheWay::Own,
            None => InTheWay::Others,
        }
    }

    pub(super) fn slots(&self) -> MutexGuard<'_, HashMap<SlotKey, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The child that makes room, or why none does.
enum InTheWay {
    /// A child that has to make room.
    Child(Arc<Connection>),
    /// None: no child gives way, and this holder has none.
    Others,
    /// None: no child gives way, and this holder has at least one.
    Own,
    /// A child is making room already.
    Stopping,
}

/// Returns the holder to whose share a cleared message counts.
pub(super) fn holder(cleared: &Cleared) -> Holder {
    Holder::of(cleared.caller(), cleared.call().source)
}

/// Returns the request as the child gets it: with our id and progress token, and otherwise the authorised bytes. It is
/// read again strictly, and must be the call that was cleared (house rule for every edit).
pub(super) fn outgoing(request: &ForwardRequest, method: Method, number: i64) -> Result<Vec<u8>, ForwardError> {
    let id = Id::Integer(number);
    let mut bytes = splice::replace_id(&request.body, &id).map_err(|error| edit(&error))?;
    if matches!(&request.kind, Outgoing::Request { progress_token: Some(_), .. }) {
        bytes = splice::replace_progress_token(&bytes, &id).map_err(|error| edit(&error))?;
    }
    let changed = || ForwardError::Edit { reason: "it says something else afterwards".to_owned() };
    let before = Message::read(&request.body, &Limits::default()).map_err(|error| edit(&error))?;
    let after = Message::read(&bytes, &Limits::default()).map_err(|error| edit(&error))?;
    let row = after.row(request.far.0, Direction::ClientToServer).ok_or_else(changed)?;
    let target = |message: &Message<'_>| {
        message.params().map(|params| {
            let text = |value: &Option<std::borrow::Cow<'_, str>>| value.as_deref().map(str::to_owned);
            let arguments = params.arguments.map(ToOwned::to_owned);
            (text(&params.name), text(&params.uri), text(&params.task_id), arguments)
        })
    };
    let is_same = row.method == method
        && row.name == request.cleared.call().method
        && after.id() == Some(&id)
        && target(&before) == target(&after);
    if is_same { Ok(bytes) } else { Err(changed()) }
}

pub(super) fn edit(error: &dyn std::fmt::Display) -> ForwardError {
    ForwardError::Edit { reason: error.to_string() }
}
