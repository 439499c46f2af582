//! One bound for all bytes that bodies and answers hold in this process (ATK-188, ATK-189).
//!
//! [`Memory`] is the whole, and a [`Pool`] is the part that one holder may take: an address, all strangers together
//! (callers that have shown neither token nor session), or a grant. Taking some returns a [`Charge`], and dropping the
//! charge gives it back. A message travels as `Bytes` that own their charge (`Charge::seal`), so it counts wherever it
//! waits: in a queue, in the HTTP library, for a client that does not read.
//!
//! A message is charged twice its length, because two copies exist while it is read and edited.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use sekisho_protocol::caller::{Basis, Caller};
use sekisho_protocol::ids::{GrantId, ServerName};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The number of bytes in one unit of the count: the semaphores below count in 32 bits.
const UNIT_BYTES: usize = 1024;
/// The bound for all bytes together, unless the operator sets another. The share of one grant is twice the charge of
/// the longest answer (16 MiB), and eight such charges fit in all.
const BYTES_MAX: usize = 256 << 20;
/// All strangers together may have one part in this many: the rest is for callers that have shown a token or a session.
const STRANGERS_PART: usize = 4;
/// One grant, or all anonymous callers at one server, may have one part in this many.
const HOLDER_PART: usize = 4;
/// One address may have one part in this many.
const ADDRESS_PART: usize = 16;
/// Nothing more is sent to an upstream when less than one part in this many is left, because the answer to a call that
/// has an effect must have room.
const RESERVE_PART: usize = 16;
/// Messages up to this many bytes are not charged. Only as many of them exist as there are requests, and those have
/// bounds of their own.
pub const SMALL_BYTES: usize = 4 << 10;
/// How long one answer of an upstream waits for room, in all, before its request fails.
const WAIT: Duration = Duration::from_secs(10);

/// The memory for all bodies and answers.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes_max: usize,
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    holders: Mutex<HashMap<Holder, Weak<Semaphore>>>,
}

/// The holder to whom a message is charged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holder {
    Anonymous(ServerName),
    Grant(GrantId),
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(BYTES_MAX)
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

fn semaphore(bytes: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(bytes.div_ceil(UNIT_BYTES).min(Semaphore::MAX_PERMITS)))
}

impl Memory {
    /// Creates a memory of this many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Inner {
            bytes_max,
            all: semaphore(bytes_max),
            strangers: semaphore(bytes_max / STRANGERS_PART),
            holders: Mutex::default(),
        }))
    }

    /// Returns the share of one address. An address that many callers use has no share of its own.
    pub fn address(&self, stands_for_many: bool) -> AddressPools {
        let mut known = vec![self.0.all.clone()];
        if !stands_for_many {
            known.insert(0, semaphore(self.0.bytes_max / ADDRESS_PART));
        }
        let mut stranger = known.clone();
        stranger.insert(stranger.len().saturating_sub(1), self.0.strangers.clone());
        AddressPools { known: Pool(known.into()), stranger: Pool(stranger.into()) }
    }

    /// Returns the room for what is held for this caller at this server.
    pub(crate) fn room(&self, caller: &Caller, server: &ServerName) -> Room {
        let holder = match &caller.basis {
            Basis::Grant(granted) => Holder::Grant(granted.grant),
            Basis::Open => Holder::Anonymous(server.clone()),
        };
        Room { memory: self.clone(), holder: Some(holder) }
    }

    /// Returns the room for what we ask in our own name.
    pub(crate) fn own_room(&self) -> Room {
        Room { memory: self.clone(), holder: None }
    }

    /// Whether so little is left that nothing new should begin.
    pub(crate) fn is_tight(&self) -> bool {
        self.0.all.available_permits() < self.0.bytes_max / UNIT_BYTES / RESERVE_PART
    }

    /// Returns how many bytes are free.
    pub fn free_bytes(&self) -> usize {
        self.0.all.available_permits().saturating_mul(UNIT_BYTES)
    }

    fn share(&self, holder: &Holder) -> Arc<Semaphore> {
        let mut holders = self.0.holders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = holders.get(holder).and_then(Weak::upgrade) {
            return share;
        }
        // Holders that hold nothing any more are removed when another is added.
        holders.retain(|_, share| share.strong_count() > 0);
        let share = semaphore(self.0.bytes_max / HOLDER_PART);
        holders.insert(holder.clone(), Arc::downgrade(&share));
        share
    }
}

/// What one address may take: before it has shown who calls, and afterwards.
#[derive(Clone, Debug)]
pub struct AddressPools {
    /// For connections on which a valid token or session was shown.
    pub known: Pool,
    /// For all other connections.
    pub stranger: Pool,
}

/// Nested shares, the narrowest first. What is taken counts against each of them.
#[derive(Clone, Debug)]
pub struct Pool(Arc<[Arc<Semaphore>]>);

impl Pool {
    /// Takes this many bytes, if all of them are free now.
    pub fn try_take(&self, bytes: usize) -> Option<Charge> {
        let mut charge = Charge { pool: Some(self.clone()), units: 0 };
        charge.try_reach(bytes).then_some(charge)
    }

    fn add(&self, units: u32) -> bool {
        for (taken, share) in self.0.iter().enumerate() {
            match share.try_acquire_many(units) {
                Ok(permit) => permit.forget(),
                Err(_) => {
                    self.0.iter().take(taken).for_each(|share| share.add_permits(units as usize));
                    return false;
                }
            }
        }
        true
    }

    async fn add_until(&self, until: Instant, units: u32) -> bool {
        let mut permits = Vec::with_capacity(self.0.len());
        let taking = async {
            for share in self.0.iter() {
                match share.acquire_many(units).await {
                    Ok(permit) => permits.push(permit),
                    Err(_) => return false,
                }
            }
            true
        };
        let taken = tokio::time::timeout_at(until, taking).await.unwrap_or(false);
        if taken {
            permits.into_iter().for_each(tokio::sync::SemaphorePermit::forget);
        }
        taken
    }
}

/// What a holder has taken. Dropping it gives it back.
#[derive(Debug, Default)]
pub struct Charge {
    pool: Option<Pool>,
    units: u32,
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.0.iter().for_each(|share| share.add_permits(self.units as usize));
        }
    }
}

impl Charge {
    /// Whether nothing was taken.
    pub fn is_empty(&self) -> bool {
        self.units == 0
    }

    /// Takes more until the charge has at least this many bytes, if they are free now.
    pub fn try_reach(&mut self, bytes: usize) -> bool {
        let Some(pool) = &self.pool else { return false };
        let more = units(bytes).saturating_sub(self.units);
        let taken = more == 0 || pool.add(more);
        if taken {
            self.units += more;
        }
        taken
    }

    /// Gives back what was taken from shares that are not in this pool, and belongs to this pool from now on.
    pub fn narrow_to(&mut self, pool: &Pool) {
        let Some(old) = self.pool.replace(pool.clone()) else { return };
        let is_kept = |share: &Arc<Semaphore>| pool.0.iter().any(|kept| Arc::ptr_eq(kept, share));
        old.0.iter().filter(|share| !is_kept(share)).for_each(|share| share.add_permits(self.units as usize));
    }

    /// Returns the same bytes, which own this charge from now on.
    fn seal(self, bytes: Bytes) -> Bytes {
        if self.units == 0 { bytes } else { Bytes::from_owner(Sealed { bytes, _kept: self }) }
    }

    /// Splits off a part as large as the charge of a message of this many bytes.
    fn split(&mut self, bytes: usize) -> Self {
        let units = units(charged(bytes)).min(self.units);
        self.units -= units;
        Self { pool: self.pool.clone(), units }
    }
}

struct Sealed<K> {
    bytes: Bytes,
    _kept: K,
}

impl<K> AsRef<[u8]> for Sealed<K> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Returns what was made from a message, with the charge of that message.
pub(crate) fn instead_of(message: Bytes, made: Bytes) -> Bytes {
    let is_same = made.as_ptr() == message.as_ptr() && made.len() == message.len();
    if is_same || message.len() <= SMALL_BYTES {
        made
    } else {
        Bytes::from_owner(Sealed { bytes: made, _kept: message })
    }
}

/// Returns what a message of this many bytes is charged.
fn charged(bytes: usize) -> usize {
    if bytes <= SMALL_BYTES { 0 } else { bytes.saturating_mul(2) }
}

/// The memory for the messages of one holder. Cheap to create: its share is only looked up when a charged message is
/// held.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    memory: Memory,
    /// `None` stands for the gateway itself.
    holder: Option<Holder>,
}

impl Room {
    fn empty(&self) -> Charge {
        let all = self.memory.0.all.clone();
        let shares = match &self.holder {
            Some(holder) => vec![self.memory.share(holder), all],
            None => vec![all],
        };
        Charge { pool: Some(Pool(shares.into())), units: 0 }
    }

    /// Makes a charge large enough for a message of this many bytes, if that much is free now.
    pub(crate) fn try_reach(&self, charge: &mut Charge, bytes: usize) -> bool {
        if charged(bytes) == 0 {
            return true;
        }
        if charge.pool.is_none() {
            *charge = self.empty();
        }
        charge.try_reach(charged(bytes))
    }

    /// Charges a message that is there already, and returns it with its charge; `None` if there is no room.
    pub(crate) fn try_seal(&self, message: Bytes) -> Option<Bytes> {
        let mut charge = Charge::default();
        self.try_reach(&mut charge, message.len()).then(|| charge.seal(message))
    }
}

/// A message that is being collected, with its charge so far.
#[derive(Debug)]
pub(crate) struct Collecting {
    room: Room,
    charge: Charge,
    /// When waiting for room ends, set at the first wait. With a new time for each part, two messages that each hold a
    /// part of what both need would wait for each other again and again.
    until: Option<Instant>,
}

impl Collecting {
    pub(crate) fn new(room: Room) -> Self {
        Self { room, charge: Charge::default(), until: None }
    }

    /// Waits for room for this many bytes. Returns `false` if there is none.
    pub(crate) async fn reach(&mut self, bytes: usize) -> bool {
        if self.try_reach(bytes) {
            return true;
        }
        let found = self.waiting(bytes).await;
        let is_there = found.is_some();
        found.into_iter().for_each(|charge| self.add(charge));
        is_there
    }

    /// Does the same without waiting.
    pub(crate) fn try_reach(&mut self, bytes: usize) -> bool {
        self.room.try_reach(&mut self.charge, bytes)
    }

    /// Waits, without borrowing this, for the additional room that this many bytes need.
    pub(crate) fn waiting(&mut self, bytes: usize) -> impl Future<Output = Option<Charge>> + Send + use<> {
        let until = *self.until.get_or_insert_with(|| Instant::now() + WAIT);
        let room = self.room.clone();
        let pool = self.charge.pool.clone();
        let more = units(charged(bytes)).saturating_sub(self.charge.units);
        async move {
            let pool = pool.or_else(|| room.empty().pool.clone())?;
            let taken = pool.add_until(until, more).await;
            taken.then(|| Charge { pool: Some(pool), units: more })
        }
    }

    /// Adds a charge that was waited for.
    pub(crate) fn add(&mut self, mut charge: Charge) {
        self.charge.units += std::mem::take(&mut charge.units);
        if self.charge.pool.is_none() {
            self.charge.pool = charge.pool.take();
        }
    }

    /// Returns the whole message with its charge.
    pub(crate) fn seal(&mut self, message: Bytes) -> Bytes {
        self.charge.split(message.len()).seal(message)
    }

    /// Gives back everything that is left.
    pub(crate) fn clear(&mut self) {
        self.charge = Charge::default();
        self.until = None;
    }
}

#[cfg(test)]
mod tests;
