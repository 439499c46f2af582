//! Who has a connection, and who gives way when there is no place left (ATK-186, ATK-187).
//!
//! A place is for one connection. When all are taken, the oldest connection on which nobody has shown who he is gives
//! way, and if there is none, one on which nothing is being answered. What is left then is a small reserve: its
//! connections are asked for health and pages, once each, and everything else on them is told to come back later.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ipnet::IpNet;
use sekisho_gateway::memory::{AddressPools, Memory, Pool};
use sekisho_protocol::caller::Recognition;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections that are served at one time.
const CONNECTIONS_MAX: usize = 4096;
/// One address may have an eighth of the places, unless it stands for many callers, as this machine and a proxy do.
const ADDRESS_PART: usize = 8;
/// Connections beyond, which are asked once. A monitor needs one, a person who looks for the reason a few.
const RESERVE: usize = 64;
/// Connections that were told to end and have not yet, beyond all these.
const ENDING_MAX: usize = 256;
/// Descriptors that are not for connections: the store, the records, logs, programs, what is fetched.
const DESCRIPTORS_KEPT: u64 = 256;
/// How many descriptors a connection may need: its own, and one to an upstream.
const DESCRIPTORS_EACH: u64 = 2;
/// The descriptors that a full table needs.
pub(crate) const DESCRIPTORS: u64 = DESCRIPTORS_KEPT + DESCRIPTORS_EACH * CONNECTIONS_MAX as u64;
/// How many connections of known callers are examined to find one that can be closed for a new one.
const LOOKED_AT_MAX: usize = 64;
/// How long a connection that multiplexes may be open without a request. (One of HTTP/1.1 has the time for a head.)
const IDLE: Duration = Duration::from_secs(120);
/// How often idle connections and unread answers are checked.
pub(crate) const SWEEP: Duration = Duration::from_secs(1);
/// From an answer's being written to its being read, beside the time that its length takes (ATK-190).
pub(crate) const READ_GRACE: Duration = Duration::from_secs(15);
/// The slowest rate at which a client may read what waits for it, in bytes a second: 128 kbit/s.
pub(crate) const READ_BYTES_PER_SECOND: usize = 16 << 10;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) connections: usize,
    pub(crate) per_address: usize,
    pub(crate) reserve: usize,
}

impl Bounds {
    /// As many as the bound allows and this process has descriptors for.
    pub(crate) fn of(descriptors: Option<u64>) -> Self {
        let fits = descriptors.map_or(u64::MAX, |all| all.saturating_sub(DESCRIPTORS_KEPT) / DESCRIPTORS_EACH);
        let connections = usize::try_from(fits).unwrap_or(usize::MAX).clamp(RESERVE, CONNECTIONS_MAX);
        Self { connections, per_address: (connections / ADDRESS_PART).max(1), reserve: RESERVE }
    }
}

/// One connection, shared by all tasks that work for it.
#[derive(Debug)]
pub(crate) struct Line {
    number: u64,
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// Whether a caller has authenticated on it.
    pub(crate) recognition: Recognition,
    /// Set when it is to end as soon as what is open has been answered.
    pub(crate) leave: CancellationToken,
    /// Set when it is to end at once.
    pub(crate) cut: CancellationToken,
    /// Whether its place is in the reserve.
    pub(crate) is_reserve: bool,
    /// Whether it has asked anything.
    asked: AtomicBool,
    /// Whether it speaks HTTP/2.
    multiplexes: AtomicBool,
    /// Requests that have begun and are not over.
    open: AtomicUsize,
    /// How many of these have arrived whole.
    answering: AtomicUsize,
    /// When the last request was over.
    quiet_since: Mutex<Instant>,
    pools: AddressPools,
    table: Weak<Table>,
}

impl Line {
    /// The memory that its requests may hold.
    pub(crate) fn pool(&self) -> &Pool {
        if self.recognition.is_recognized() { &self.pools.known } else { &self.pools.stranger }
    }

    pub(crate) fn has_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// One more request has begun. Gives how many were open before.
    pub(crate) fn begins(&self, multiplexes: bool) -> usize {
        self.asked.store(true, Ordering::Relaxed);
        if multiplexes {
            self.multiplexes.store(true, Ordering::Relaxed);
        }
        self.open.fetch_add(1, Ordering::Relaxed)
    }

    /// One request has arrived whole.
    pub(crate) fn arrived(&self) {
        self.answering.fetch_add(1, Ordering::Relaxed);
    }

    /// One request is over.
    pub(crate) fn ends(&self, had_arrived: bool) {
        if had_arrived {
            self.answering.fetch_sub(1, Ordering::Relaxed);
        }
        let was_last = self.open.fetch_sub(1, Ordering::Relaxed) == 1;
        if was_last && self.multiplexes.load(Ordering::Relaxed) {
            *self.quiet_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    /// Notes an answer of so many bytes that waits to be read; if it is not in time, the connection is cut.
    pub(crate) fn unread(self: &Arc<Self>, bytes: usize) -> Option<Ticket> {
        let seconds = u64::try_from(bytes / READ_BYTES_PER_SECOND).unwrap_or(u64::MAX);
        let until = Instant::now().checked_add(READ_GRACE.saturating_add(Duration::from_secs(seconds)))?;
        let table = self.table.upgrade()?;
        let key = {
            let mut state = table.lock();
            state.next += 1;
            let key = (until, state.next);
            state.unread.insert(key, Arc::downgrade(self));
            key
        };
        Some(Ticket { table, key })
    }

    fn is_idle(&self, now: Instant) -> bool {
        let quiet_since = *self.quiet_since.lock().unwrap_or_else(PoisonError::into_inner);
        self.multiplexes.load(Ordering::Relaxed)
            && self.open.load(Ordering::Relaxed) == 0
            && now.duration_since(quiet_since) >= IDLE
    }
}

/// An answer that waits to be read; it was read, or given up, when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    table: Arc<Table>,
    key: (Instant, u64),
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.table.lock().unread.remove(&self.key);
    }
}

/// A place for one connection; free again when dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    table: Arc<Table>,
    pub(crate) line: Arc<Line>,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut state = self.table.lock();
        state.alive = state.alive.saturating_sub(1);
        state.remove(&self.line);
    }
}

/// A connection that is to get a slot.
#[derive(Debug, Clone, Copy)]
struct SlotRequest {
    peer: SocketAddr,
    /// The network that the peer counts for.
    address: IpAddr,
    /// Whether the peer is a proxy, which speaks for many callers.
    for_many: bool,
    /// Whether the slot is one of the reserve.
    is_reserve: bool,
}

/// The connections of one address, by what is known of their callers.
#[derive(Debug)]
struct Address {
    open: usize,
    strangers: BTreeSet<u64>,
    pools: AddressPools,
}

#[derive(Debug, Default)]
struct State {
    /// All connections whose tasks run.
    alive: usize,
    next: u64,
    /// Connections without a known caller when they were last looked at, by age.
    strangers: BTreeMap<u64, Arc<Line>>,
    known: BTreeMap<u64, Arc<Line>>,
    reserve: BTreeMap<u64, Arc<Line>>,
    addresses: HashMap<IpAddr, Address>,
    /// Where the next search for a connection that can be closed goes on.
    hand: u64,
    unread: BTreeMap<(Instant, u64), Weak<Line>>,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Table {
    bounds: Bounds,
    memory: Memory,
    /// Addresses behind which many callers stand.
    proxies: Vec<IpNet>,
    /// Ends every connection once it has answered, and at once.
    leave: CancellationToken,
    cut: CancellationToken,
    state: Mutex<State>,
}

impl Table {
    pub(crate) fn new(bounds: Bounds, memory: Memory, proxies: Vec<IpNet>) -> Arc<Self> {
        let (leave, cut) = (CancellationToken::new(), CancellationToken::new());
        Arc::new(Self { bounds, memory, proxies, leave, cut, state: Mutex::default() })
    }

    /// A place for a connection of this peer; `None` when there is none, not even in the reserve.
    pub(crate) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<ConnectionSlot> {
        let address = network_of(peer.ip());
        let for_many = address.is_loopback() || self.proxies.iter().any(|network| network.contains(&address));
        let share = if for_many { self.bounds.connections } else { self.bounds.per_address };
        let mut state = self.lock();
        if state.alive >= self.bounds.connections + self.bounds.reserve + ENDING_MAX {
            return None;
        }
        let open_here = state.addresses.get(&address).map_or(0, |address| address.open);
        let gives_way = if open_here >= share {
            state.oldest_stranger_of(address).map(Some)
        } else if state.strangers.len() + state.known.len() >= self.bounds.connections {
            state.oldest_stranger().or_else(|| state.unoccupied()).map(Some)
        } else {
            Some(None)
        };
        let is_reserve = gives_way.is_none();
        let gives_way = match gives_way {
            Some(gives_way) => gives_way,
            None if state.reserve.len() >= self.bounds.reserve => state.reserve.values().next().cloned(),
            None => None,
        };
        if let Some(line) = gives_way {
            state.remove(&line);
            line.cut.cancel();
        }
        Some(self.slot(&mut state, SlotRequest { peer, address, for_many, is_reserve }))
    }

    fn slot(self: &Arc<Self>, state: &mut State, request: SlotRequest) -> ConnectionSlot {
        let SlotRequest { peer, address, for_many, is_reserve } = request;
        state.alive += 1;
        state.next += 1;
        let number = state.next;
        let here = state.addresses.entry(address).or_insert_with(|| Address {
            open: 0,
            strangers: BTreeSet::new(),
            pools: self.memory.address(for_many),
        });
        here.open += 1;
        let line = Arc::new(Line {
            number,
            peer,
            recognition: Recognition::default(),
            leave: self.leave.child_token(),
            cut: self.cut.child_token(),
            is_reserve,
            asked: AtomicBool::new(false),
            multiplexes: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            answering: AtomicUsize::new(0),
            quiet_since: Mutex::new(Instant::now()),
            pools: here.pools.clone(),
            table: Arc::downgrade(self),
        });
        if is_reserve {
            state.reserve.insert(number, line.clone());
        } else {
            here.strangers.insert(number);
            state.strangers.insert(number, line.clone());
        }
        ConnectionSlot { table: self.clone(), line }
    }

    /// Lets what is open be answered, and nothing else begin.
    pub(crate) fn leave_all(&self) {
        self.leave.cancel();
    }

    /// Ends what is open.
    pub(crate) fn cut_all(&self) {
        self.cut.cancel();
    }

    /// Ends connections whose answers were not read in time, and those that multiplex and have been idle.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut state = self.lock();
        while let Some(entry) = state.unread.first_entry().filter(|entry| entry.key().0 <= now) {
            if let Some(line) = entry.remove().upgrade() {
                tracing::debug!(peer = %line.peer, "a client did not read its answers in time");
                line.cut.cancel();
            }
        }
        let lines = state.strangers.values().chain(state.known.values());
        lines.filter(|line| line.is_idle(now)).for_each(|line| line.leave.cancel());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a connection out; it may have been taken out before.
    fn remove(&mut self, line: &Line) {
        let tables = [&mut self.strangers, &mut self.known, &mut self.reserve];
        if !tables.into_iter().any(|table| table.remove(&line.number).is_some()) {
            return;
        }
        let address = network_of(line.peer.ip());
        let Some(here) = self.addresses.get_mut(&address) else { return };
        here.open = here.open.saturating_sub(1);
        here.strangers.remove(&line.number);
        if here.open == 0 {
            self.addresses.remove(&address);
        }
    }

    /// Moves a connection from the strangers to the known callers if its caller has been recognized since. Says whether
    /// it was moved.
    fn move_if_recognized(&mut self, line: &Arc<Line>) -> bool {
        if !line.recognition.is_recognized() {
            return false;
        }
        self.strangers.remove(&line.number);
        self.known.insert(line.number, line.clone());
        if let Some(here) = self.addresses.get_mut(&network_of(line.peer.ip())) {
            here.strangers.remove(&line.number);
        }
        true
    }

    fn oldest_stranger(&mut self) -> Option<Arc<Line>> {
        while let Some(line) = self.strangers.values().next().cloned() {
            if !self.move_if_recognized(&line) {
                return Some(line);
            }
        }
        None
    }

    fn oldest_stranger_of(&mut self, address: IpAddr) -> Option<Arc<Line>> {
        loop {
            let number = *self.addresses.get(&address)?.strangers.first()?;
            let line = self.strangers.get(&number).cloned()?;
            if !self.move_if_recognized(&line) {
                return Some(line);
            }
        }
    }

    /// A connection of a known caller on which nothing is being answered. Looks at a few, from where it looked last.
    fn unoccupied(&mut self) -> Option<Arc<Line>> {
        let around = self.known.range(self.hand..).chain(self.known.range(..self.hand)).take(LOOKED_AT_MAX);
        let mut hand = self.hand;
        let mut found = None;
        for (number, line) in around {
            hand = number.saturating_add(1);
            if line.answering.load(Ordering::Relaxed) == 0 {
                found = Some(line.clone());
                break;
            }
        }
        self.hand = hand;
        found
    }
}

/// Returns an address in the form in which it is counted: IPv4 also if it came over IPv6, and the /64 of an IPv6
/// address, because one caller can have a whole /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests;
