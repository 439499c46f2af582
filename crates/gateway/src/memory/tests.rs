use bytes::Bytes;
use sekisho_protocol::caller::Caller;
use tokio::time::Instant;

use super::{Collecting, Memory, SMALL_BYTES, WAIT, instead_of};

const MIB: usize = 1 << 20;

fn caller(seed: u64) -> Caller {
    Caller::of_test(seed, |_| {})
}

fn message(bytes: usize) -> Bytes {
    Bytes::from(vec![b'x'; bytes])
}

/// ATK-189: one grant gets its share and no more. Its bytes count wherever they wait, and other grants have their own
/// shares.
#[test]
fn one_holder_has_its_share() {
    let memory = Memory::new(16 * MIB);
    let server = "notes".parse().unwrap();
    let (one, other) = (memory.room(&caller(1), &server), memory.room(&caller(2), &server));
    let held = one.try_seal(message(MIB)).unwrap();
    let part = held.slice(10..20);
    let second = one.try_seal(message(MIB)).unwrap();
    assert!(one.try_seal(message(MIB)).is_none());
    assert!(memory.room(&caller(1), &server).try_seal(message(MIB)).is_none(), "the same grant, another call");
    assert!(other.try_seal(message(MIB)).is_some());
    drop(held);
    assert!(one.try_seal(message(MIB)).is_none(), "a part of it is still held");
    drop(part);
    assert!(one.try_seal(message(MIB)).is_some());
    drop(second);
    assert_eq!(memory.free_bytes(), 16 * MIB);
}

/// ATK-189: there is one bound for all holders, and what is made from a message keeps that message's charge.
#[test]
fn all_holders_have_one_bound() {
    let memory = Memory::new(16 * MIB);
    let server = "notes".parse().unwrap();
    let take = |seed| memory.room(&caller(seed), &server).try_seal(message(2 * MIB));
    let held: Vec<_> = (1..=4).map(|seed| take(seed).unwrap()).collect();
    assert!(memory.is_tight() && take(5).is_none());
    let mut held = held.into_iter();
    let made = instead_of(held.next().unwrap(), message(10));
    drop(held);
    assert_eq!(memory.free_bytes(), 12 * MIB);
    drop(made);
    assert_eq!(memory.free_bytes(), 16 * MIB);
    assert!(memory.own_room().try_seal(message(SMALL_BYTES)).is_some());
    assert_eq!(memory.free_bytes(), 16 * MIB);
}

/// ATK-188: strangers leave most of the memory to others, and one address leaves most of that to other addresses. What
/// a stranger was charged is given back to the strangers once the caller is known.
#[test]
fn strangers_have_a_part_together() {
    let memory = Memory::new(16 * MIB);
    let remote = memory.address(false);
    let held = remote.stranger.try_take(MIB).unwrap();
    assert!(remote.stranger.try_take(1).is_none());
    assert!(remote.known.try_take(1).is_none());
    drop(held);
    let local = memory.address(true);
    let mut held = local.stranger.try_take(4 * MIB).unwrap();
    assert!(local.stranger.try_take(1).is_none() && remote.stranger.try_take(1).is_none());
    let known = local.known.try_take(12 * MIB).unwrap();
    assert!(local.known.try_take(1).is_none());
    drop(known);
    held.narrow_to(&local.known);
    assert!(remote.stranger.try_take(1).is_some());
    assert_eq!(memory.free_bytes(), 12 * MIB);
    drop(held);
    assert_eq!(memory.free_bytes(), 16 * MIB);
}

/// ATK-189: a message that waits for room gets it when some is given back, and fails in time if none is.
#[tokio::test(start_paused = true)]
async fn waiting_for_room_has_an_end() {
    let memory = Memory::new(16 * MIB);
    let room = memory.own_room();
    let held = room.try_seal(message(7 * MIB)).unwrap();
    assert!(!Collecting::new(room.clone()).reach(2 * MIB).await);
    let mut collecting = Collecting::new(room);
    assert!(collecting.try_reach(MIB / 2));
    let waiting = collecting.waiting(2 * MIB);
    let (waited, ()) = tokio::join!(waiting, async { drop(held) });
    collecting.add(waited.unwrap());
    let sealed = collecting.seal(message(2 * MIB));
    collecting.clear();
    assert_eq!(memory.free_bytes(), 12 * MIB);
    drop(sealed);
    assert_eq!(memory.free_bytes(), 16 * MIB);
}

/// ATK-189: two messages that each hold a part of what both need stop waiting after one time, not after one for each
/// part.
#[tokio::test(start_paused = true)]
async fn two_halves_do_not_wait_for_each_other_for_long() {
    let memory = Memory::new(16 * MIB);
    let began = Instant::now();
    let grow = async |mut collecting: Collecting| {
        for step in 1..=64 {
            if !collecting.reach(step * MIB / 8).await {
                return false;
            }
            tokio::task::yield_now().await;
        }
        true
    };
    let all = (0..12).map(|_| grow(Collecting::new(memory.own_room())));
    futures_util::future::join_all(all).await;
    assert!(began.elapsed() <= WAIT + WAIT / 2, "{:?}", began.elapsed());
    assert_eq!(memory.free_bytes(), 16 * MIB);
}
