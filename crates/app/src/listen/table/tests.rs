use std::net::SocketAddr;
use std::sync::Arc;

use sekisho_gateway::memory::Memory;
use tokio::time::Instant;

use super::{Bounds, ConnectionSlot, IDLE, READ_GRACE, Table, network_of};

fn table(connections: usize, per_address: usize, reserve: usize) -> Arc<Table> {
    let proxies = vec!["10.9.0.0/16".parse().unwrap()];
    Table::new(Bounds { connections, per_address, reserve }, Memory::default(), proxies)
}

fn peer(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), 1)
}

fn admitted(table: &Arc<Table>, address: &str) -> ConnectionSlot {
    table.admit(peer(address)).expect("there is a place")
}

fn is_cut(place: &ConnectionSlot) -> bool {
    place.line.cut.is_cancelled()
}

/// A connection of a known caller, with a request that is being answered.
fn occupy(place: &ConnectionSlot) {
    place.line.recognition.recognize();
    place.line.begins(false);
    place.line.arrived();
}

/// ATK-186: when all places are taken, who has shown nothing for longest gives way, then who has nothing open; whose call
/// is being answered stays, and who comes then has a place in the reserve.
#[tokio::test]
async fn who_has_shown_nothing_gives_way_first() {
    let table = table(4, 4, 1);
    let places: Vec<_> = (1..=4).map(|at| admitted(&table, &format!("192.0.2.{at}"))).collect();
    places[0].line.recognition.recognize();
    occupy(&places[1]);
    let fifth = admitted(&table, "192.0.2.5");
    assert_eq!(places.iter().map(is_cut).collect::<Vec<_>>(), [false, false, true, false]);
    occupy(&places[3]);
    occupy(&fifth);
    let sixth = admitted(&table, "192.0.2.6");
    assert!(is_cut(&places[0]) && !sixth.line.is_reserve);
    occupy(&sixth);
    let seventh = admitted(&table, "192.0.2.7");
    assert!(seventh.line.is_reserve);
    let eighth = admitted(&table, "192.0.2.8");
    assert!(eighth.line.is_reserve && is_cut(&seventh) && !is_cut(&eighth));
    fifth.line.ends(true);
    assert!(!admitted(&table, "192.0.2.9").line.is_reserve);
    assert!(is_cut(&fifth));
}

/// ATK-186: one address has its share, in which its own connections give way, and a proxy and this machine have no share.
#[tokio::test]
async fn one_address_takes_places_from_itself() {
    let table = table(8, 2, 1);
    let other = admitted(&table, "198.51.100.1");
    let mut of_one: Vec<_> = (0..2).map(|_| admitted(&table, "2001:db8::1")).collect();
    of_one.push(admitted(&table, "2001:db8::ffff:2"));
    assert_eq!(of_one.iter().map(is_cut).collect::<Vec<_>>(), [true, false, false]);
    of_one[1..].iter().for_each(occupy);
    assert!(admitted(&table, "2001:db8::3").line.is_reserve);
    assert!(!admitted(&table, "2001:db8:0:1::3").line.is_reserve);
    drop(of_one);
    for many in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.9.1.1"] {
        let places: Vec<_> = (0..7).map(|_| admitted(&table, many)).collect();
        assert!(!places.iter().any(is_cut), "{many}");
        assert!(!is_cut(&other), "{many}");
    }
}

/// ATK-186: a place that is given back can be taken again, however its connection ended.
#[tokio::test]
async fn places_are_given_back() {
    let table = table(2, 2, 1);
    for round in 0..1000 {
        let place = admitted(&table, "192.0.2.1");
        if round % 3 == 0 {
            place.line.recognition.recognize();
        }
        let more: Vec<_> = (0..round % 5).map(|_| admitted(&table, "192.0.2.2")).collect();
        drop((place, more));
    }
    let state = table.lock();
    assert_eq!(state.alive, 0);
    assert!(state.strangers.is_empty() && state.known.is_empty() && state.reserve.is_empty());
    assert!(state.addresses.is_empty());
}

/// ATK-187: connections that were told to end and do not are counted, and there is an end to them, too.
#[tokio::test]
async fn what_is_ending_has_a_bound() {
    let table = table(1, 1, 1);
    let mut places = Vec::new();
    while let Some(place) = table.admit(peer("127.0.0.1")) {
        places.push(place);
        assert!(places.len() < 1000, "no end");
    }
    places.pop();
    assert!(table.admit(peer("127.0.0.1")).is_some());
}

/// ATK-190: an answer that is not read within its time ends its connection; one that is, or is given up, does not. A
/// connection that multiplexes and asks nothing ends, too.
#[tokio::test(start_paused = true)]
async fn what_is_not_read_ends_its_connection() {
    let table = table(8, 8, 1);
    let (slow, quick, idle) =
        (admitted(&table, "192.0.2.1"), admitted(&table, "192.0.2.1"), admitted(&table, "192.0.2.1"));
    for place in [&slow, &quick, &idle] {
        place.line.begins(true);
    }
    let _unread = slow.line.unread(1 << 20);
    drop(quick.line.unread(1 << 20));
    idle.line.ends(false);
    let began = Instant::now();
    table.sweep(began + READ_GRACE * 2);
    assert!(!is_cut(&slow) && !idle.line.leave.is_cancelled());
    table.sweep(began + READ_GRACE + std::time::Duration::from_secs(65));
    assert!(is_cut(&slow) && !is_cut(&quick));
    table.sweep(began + IDLE);
    assert!(idle.line.leave.is_cancelled() && !quick.line.leave.is_cancelled());
}

/// As many connections as there are descriptors for, and some in any case.
#[test]
fn the_table_fits_the_descriptors() {
    for (descriptors, connections) in [(None, 4096), (Some(20_000), 4096), (Some(1024), 384), (Some(16), 64)] {
        assert_eq!(Bounds::of(descriptors).connections, connections, "{descriptors:?}");
    }
    let of = |text: &str| network_of(text.parse().unwrap()).to_string();
    assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
    assert_eq!(of("2001:db8::1:2:3:4"), "2001:db8::");
}
