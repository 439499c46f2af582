//! The records: one chain per node that does not fork, and shows what was done to it.

use sekisho_protocol::audit::{Act, ActKind, Actor, Event, Record};
use sekisho_protocol::ids::{NodeId, RequestId};
use sekisho_store::{
    AuditFilter, AuditOrder, ChainCheck, SealKey, SignedHead, Store, StoreSettings, StoreUrl, StoredRecord,
};

use crate::harness::{CONTENDERS, Raw, World, on_both, race};

fn record(world: &World, seconds: u32, act: &str) -> Record {
    Record {
        at: world.at(seconds),
        request: RequestId::generate(world.at(seconds), &*world.entropy),
        event: Event::Act(Act { detail: act.to_owned(), ..Act::new(Actor::Operator, ActKind::ServerAdded) }),
    }
}

fn node(world: &World) -> NodeId {
    NodeId::generate(world.now, &*world.entropy)
}

async fn append(world: &World, node: NodeId, records: &[Record]) {
    let mut tx = world.begin().await;
    tx.audit().append(node, records, world.now).await.unwrap();
    tx.commit().await.unwrap();
}

/// Each record as a link of its own.
async fn append_one_by_one(world: &World, node: NodeId, records: &[Record]) {
    for record in records {
        append(world, node, std::slice::from_ref(record)).await;
    }
}

async fn list(world: &World, filter: AuditFilter) -> Vec<StoredRecord> {
    world.store.read().await.unwrap().audit().list(&filter).await.unwrap()
}

async fn verify(world: &World, node: NodeId) -> ChainCheck {
    world.store.read().await.unwrap().audit().verify(node).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_back_as_they_were_written_and_by_what_is_asked() {
    on_both(async |world| {
        let (one, other) = (node(&world), node(&world));
        let records: Vec<Record> = (0..6).map(|number| record(&world, number, &format!("act {number}"))).collect();
        append(&world, one, &records[..4]).await;
        append(&world, one, &[]).await;
        append(&world, other, &records[4..]).await;

        let acts = |found: Vec<StoredRecord>| found.into_iter().map(|stored| stored.record).collect::<Vec<_>>();
        let all = AuditFilter::default;
        assert_eq!(acts(list(&world, all()).await), records);
        let newest = AuditFilter { order: AuditOrder::NewestFirst, limit: 2, ..all() };
        assert_eq!(acts(list(&world, newest).await), [records[5].clone(), records[4].clone()]);
        let between = AuditFilter { since: Some(world.at(1)), before: Some(records[3].request), ..all() };
        assert_eq!(acts(list(&world, between).await), records[1..3]);
        let exchange = AuditFilter { request: Some(records[2].request), ..all() };
        assert_eq!(acts(list(&world, exchange).await), records[2..3]);
        let newest = AuditFilter { request: Some(records[2].request), order: AuditOrder::NewestFirst, ..all() };
        assert_eq!(acts(list(&world, newest).await), records[2..3]);
        let newest = AuditFilter { node: Some(other), order: AuditOrder::NewestFirst, ..all() };
        assert_eq!(acts(list(&world, newest).await), [records[5].clone(), records[4].clone()]);
        let rest = list(&world, AuditFilter { node: Some(one), after_seq: Some(2), ..all() }).await;
        assert_eq!(rest.iter().map(|stored| stored.seq).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(world.store.read().await.unwrap().audit().nodes().await.unwrap(), [one, other]);
        let head = world.store.read().await.unwrap().audit().head(one).await.unwrap().unwrap();
        assert_eq!((head.seq, head.mac), (4, rest[1].mac));
        assert_eq!(verify(&world, one).await, ChainCheck::Intact(head));
        assert!(world.store.read().await.unwrap().audit().head(node(&world)).await.unwrap().is_none());
    })
    .await;
}

/// A batch is a few links, and the same records in the same order as if each had come alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_is_one_chain_in_order() {
    on_both(|world| async move {
        let node = node(&world);
        let batch: Vec<Record> =
            (0..3_001).map(|number| record(&world, number / 100, &format!("act {number}"))).collect();
        append(&world, node, &batch).await;
        append(&world, node, &batch[..32]).await;
        let expected: Vec<Record> = batch.iter().chain(&batch[..32]).cloned().collect();
        let mut kept: Vec<StoredRecord> = Vec::new();
        loop {
            let after_seq = kept.last().map(|stored| stored.seq);
            let page = list(&world, AuditFilter { node: Some(node), after_seq, ..AuditFilter::default() }).await;
            if page.is_empty() {
                break;
            }
            kept.extend(page);
        }
        assert_eq!(kept.iter().map(|stored| stored.record.clone()).collect::<Vec<_>>(), expected);
        assert_eq!(kept.iter().map(|stored| stored.seq).collect::<Vec<_>>(), (1..=3_033).collect::<Vec<i64>>());
        assert!(matches!(verify(&world, node).await, ChainCheck::Intact(_)));

        // By the moment, there and back, page by page: everything once, in the order in which exchanges began.
        let mut by_moment = expected;
        by_moment.sort_by_key(|record| record.request);
        let newest = AuditFilter { order: AuditOrder::NewestFirst, limit: 700, ..AuditFilter::default() };
        let mut pages: Vec<Record> = Vec::new();
        let mut before = None;
        loop {
            let page = list(&world, AuditFilter { before, ..newest.clone() }).await;
            let Some(last) = page.last() else { break };
            before = Some(last.record.request);
            // The next page begins before this exchange. Here no page ends between two records of one: those are the oldest.
            pages.extend(page.into_iter().map(|stored| stored.record));
        }
        pages.reverse();
        assert_eq!(pages, by_moment);
        // A page that is far shorter than what began in one span, which two links hold: the first of both, there and back.
        let first = AuditFilter { limit: 7, ..AuditFilter::default() };
        let found = list(&world, first.clone()).await.into_iter().map(|stored| stored.record).collect::<Vec<_>>();
        assert_eq!(found, by_moment[..7]);
        let last = AuditFilter { order: AuditOrder::NewestFirst, before: Some(by_moment[132].request), ..first };
        let found = list(&world, last).await.into_iter().map(|stored| stored.record).collect::<Vec<_>>();
        assert!(found.iter().eq(by_moment[125..132].iter().rev()));
        let since = AuditFilter { since: Some(world.at(29)), ..AuditFilter::default() };
        let found = list(&world, since).await.into_iter().map(|stored| stored.record).collect::<Vec<_>>();
        assert_eq!(found, by_moment[by_moment.len() - 101..]);
    })
    .await;
}

/// What was written together is one link: its records come back one by one, each in its place, and a page may begin or end
/// between them.
#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_a_batch_share_a_link_and_are_counted_one_by_one() {
    on_both(async |world| {
        let node = node(&world);
        let again = |first: &Record, act: &str| Record { request: first.request, ..record(&world, 9, act) };
        let (one, two) = (record(&world, 1, "one"), record(&world, 1, "two"));
        let (one_ended, one_more, two_ended) =
            (again(&one, "one ended"), again(&one, "more"), again(&two, "two ended"));
        append(&world, node, &[one.clone(), two.clone(), one_ended.clone(), one_more.clone()]).await;
        append(&world, node, std::slice::from_ref(&two_ended)).await;

        let expected = [(1, &one), (2, &two), (3, &one_ended), (4, &one_more), (5, &two_ended)];
        let told = |found: &[StoredRecord]| found.iter().map(|it| (it.seq, it.record.clone())).collect::<Vec<_>>();
        let expected: Vec<_> = expected.into_iter().map(|(seq, record)| (seq, record.clone())).collect();
        let of_node = || AuditFilter { node: Some(node), ..AuditFilter::default() };
        let all = list(&world, of_node()).await;
        assert_eq!(told(&all), expected);
        assert!(all[0].mac == all[3].mac && all[3].mac != all[4].mac);
        for after in 0..=5 {
            let after_seq = Some(i64::try_from(after).unwrap());
            assert_eq!(told(&list(&world, AuditFilter { after_seq, ..of_node() }).await), expected[after..]);
            let limit = u32::try_from(after).unwrap();
            if limit > 0 {
                assert_eq!(told(&list(&world, AuditFilter { limit, ..of_node() }).await), expected[..after]);
                let newest = AuditFilter { limit, order: AuditOrder::NewestFirst, ..of_node() };
                let newest = list(&world, newest).await;
                assert!(told(&newest).into_iter().eq(expected.iter().rev().take(after).cloned()));
            }
        }
        // By exchange, whichever way: all that is known of it, and of no other.
        let of_two = AuditFilter { request: Some(two.request), ..AuditFilter::default() };
        assert_eq!(told(&list(&world, of_two.clone()).await), [expected[1].clone(), expected[4].clone()]);
        assert_eq!(told(&list(&world, AuditFilter { node: Some(node), ..of_two }).await).len(), 2);
        let ended = record(&world, 1, "began in the same span");
        assert!(list(&world, AuditFilter { request: Some(ended.request), ..AuditFilter::default() }).await.is_empty());
        assert!(matches!(verify(&world, node).await, ChainCheck::Intact(head) if head.seq == 5));
    })
    .await;
}

/// A record that came hours after its exchange began belongs to the moment at which it began.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_outcome_is_found_with_its_exchange() {
    on_both(async |world| {
        let node = node(&world);
        let early = record(&world, 0, "begins");
        let between: Vec<Record> = (1..200).map(|at| record(&world, at, "another")).collect();
        let ended = Record { request: early.request, ..record(&world, 9_999, "ends") };
        append(&world, node, std::slice::from_ref(&early)).await;
        append(&world, node, &between).await;
        append(&world, node, &[record(&world, 9_999, "last"), ended.clone()]).await;

        let records =
            async |filter| list(&world, filter).await.into_iter().map(|stored| stored.record).collect::<Vec<_>>();
        let both = [early.clone(), ended.clone()];
        let request = Some(early.request);
        assert_eq!(records(AuditFilter { request, ..AuditFilter::default() }).await, both);
        assert_eq!(records(AuditFilter { limit: 2, ..AuditFilter::default() }).await, both);
        let since = records(AuditFilter { since: Some(world.at(1)), ..AuditFilter::default() }).await;
        assert_eq!(since.len(), 200);
        assert!(!since.contains(&ended));
        assert!(matches!(verify(&world, node).await, ChainCheck::Intact(head) if head.seq == 202));
    })
    .await;
}

/// ATK-98: each bit of what was written counts, and what says how much it is is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn one_bit_of_a_link_that_is_changed_is_found() {
    on_both(async |world| {
        let node = node(&world);
        let records: Vec<Record> = (1..=4).map(|number| record(&world, 1, &format!("act {number}"))).collect();
        append(&world, node, &records).await;
        append(&world, node, &[record(&world, 2, "another")]).await;
        let mut raw = world.raw().await;
        let first = "SELECT records AS found FROM audit WHERE place = (SELECT MIN(place) FROM audit)";
        let written = raw.blobs(first).await.remove(0);
        const CHANGE: &str = "UPDATE audit SET records = $1 WHERE place = (SELECT MIN(place) FROM audit)";
        for at in (0..written.len()).step_by(7) {
            let mut changed = written.clone();
            changed[at] ^= 1;
            raw.execute_with(CHANGE, changed).await;
            assert_eq!(verify(&world, node).await, ChainCheck::Broken { seq: 1 }, "byte {at}");
        }
        raw.execute_with(CHANGE, written.clone()).await;
        assert!(matches!(verify(&world, node).await, ChainCheck::Intact(_)));
        // Records that cannot be read are an error for whoever reads them, not a shorter list.
        raw.execute_with(CHANGE, written[..written.len() - 1].to_vec()).await;
        assert!(world.store.read().await.unwrap().audit().list(&AuditFilter::default()).await.is_err());
    })
    .await;
}

/// ATK-98: two writers of one node, here even 64, do not fork its chain.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_of_one_node_make_one_chain() {
    on_both(async |world| {
        let node = node(&world);
        let records: Vec<[Record; 2]> =
            (0..CONTENDERS).map(|number| [record(&world, number, "first"), record(&world, number, "second")]).collect();
        let now = world.now;
        let found = race(&world, |store, number| {
            let batch = records[number as usize].clone();
            async move {
                let mut tx = store.begin().await?;
                tx.audit().append(node, &batch, now).await?;
                tx.commit().await
            }
        })
        .await;
        assert!(found.iter().all(Result::is_ok), "{found:?}");
        let ChainCheck::Intact(head) = verify(&world, node).await else { panic!("the chain is broken") };
        assert_eq!(head.seq, i64::from(CONTENDERS) * 2);
    })
    .await;
}

/// ATK-98: what is changed, removed, put in or cut off by whoever has the database is found by recomputing.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_the_records_is_found() {
    let tampering: [(&'static str, i64); 11] = [
        ("DELETE FROM audit_heads", 1),
        (
            "UPDATE audit SET records = (SELECT records FROM audit WHERE place % 1099511627776 = 4)
             WHERE place % 1099511627776 = 3",
            3,
        ),
        ("UPDATE audit SET began = began + 1 WHERE place % 1099511627776 = 2", 2),
        ("UPDATE audit SET kept_at = kept_at + 1 WHERE place % 1099511627776 = 4", 4),
        ("UPDATE audit SET mac = (SELECT mac FROM audit_heads) WHERE place % 1099511627776 = 2", 2),
        ("DELETE FROM audit WHERE place % 1099511627776 = 2", 2),
        ("DELETE FROM audit WHERE place % 1099511627776 = 5", 5),
        ("DELETE FROM audit WHERE place % 1099511627776 = 1", 1),
        ("UPDATE audit SET place = place + 3 WHERE place % 1099511627776 = 5", 5),
        (
            "UPDATE audit SET place = place + 90 WHERE place % 1099511627776 = 3;
             UPDATE audit SET place = place - 1 WHERE place % 1099511627776 = 4;
             UPDATE audit SET place = place - 89 WHERE place % 1099511627776 = 93",
            3,
        ),
        (
            "INSERT INTO audit SELECT place + 1, began, kept_at, records, mac FROM audit
             WHERE place % 1099511627776 = 5",
            6,
        ),
    ];
    on_both(async |world| {
        for (sql, broken) in tampering {
            let node = node(&world);
            let records: Vec<Record> = (1..=5).map(|number| record(&world, number, &format!("act {number}"))).collect();
            append_one_by_one(&world, node, &records).await;
            assert!(matches!(verify(&world, node).await, ChainCheck::Intact(_)));
            world.raw().await.execute(sql).await;
            assert_eq!(verify(&world, node).await, ChainCheck::Broken { seq: broken }, "{sql}");
            world.raw().await.execute("DELETE FROM audit; DELETE FROM audit_heads").await;
        }
    })
    .await;
}

/// A tail that is cut together with the head is only seen by whoever kept the head elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn the_head_tells_of_a_cut_that_the_chain_cannot_tell_of() {
    on_both(async |world| {
        let node = node(&world);
        append_one_by_one(&world, node, &[record(&world, 1, "one"), record(&world, 2, "two")]).await;
        let kept_elsewhere = world.store.read().await.unwrap().audit().head(node).await.unwrap().unwrap();
        let cut = "DELETE FROM audit WHERE place % 1099511627776 = 2;
             UPDATE audit_heads SET seq = 1, mac = (SELECT mac FROM audit)";
        world.raw().await.execute(cut).await;
        let ChainCheck::Intact(head) = verify(&world, node).await else { panic!("the chain is broken") };
        assert_ne!(head, kept_elsewhere);
    })
    .await;
}

/// ATK-98: old records can go; what stays is still one chain, and who moves its beginning is found.
#[tokio::test(flavor = "multi_thread")]
async fn a_pruned_chain_begins_where_it_was_sealed() {
    on_both(async |world| {
        let node = node(&world);
        for at in 0..6 {
            let mut tx = world.begin().await;
            tx.audit().append(node, &[record(&world, at, &format!("act {at}"))], world.at(at)).await.unwrap();
            tx.commit().await.unwrap();
        }
        let prune = async |before| {
            let mut tx = world.begin().await;
            let until = match tx.audit().prunable(node, before).await.unwrap() {
                Ok(until) => until.unwrap_or(0),
                Err(broken) => return Err(broken),
            };
            let gone = tx.audit().prune(node, until, world.at(9)).await.unwrap();
            assert_eq!(tx.audit().prune(node, until, world.at(9)).await.unwrap(), 0);
            tx.commit().await.unwrap();
            Ok(gone)
        };
        assert_eq!(prune(world.at(0)).await, Ok(0));
        assert_eq!(prune(world.at(3)).await, Ok(3));
        let kept = list(&world, AuditFilter { node: Some(node), ..AuditFilter::default() }).await;
        assert_eq!(kept.iter().map(|stored| stored.seq).collect::<Vec<_>>(), [4, 5, 6]);
        let ChainCheck::Intact(head) = verify(&world, node).await else { panic!("broken") };
        assert_eq!(head.seq, 6);
        assert_eq!(prune(world.at(3)).await, Ok(0));
        // All of it: the next record goes on where the last one was.
        assert_eq!(prune(world.at(9)).await, Ok(3));
        append(&world, node, &[record(&world, 9, "after")]).await;
        assert!(matches!(verify(&world, node).await, ChainCheck::Intact(head) if head.seq == 7));

        world.raw().await.execute("UPDATE audit_checkpoints SET seq = seq - 1").await;
        assert!(matches!(verify(&world, node).await, ChainCheck::Broken { .. }));
        assert!(matches!(prune(world.at(99)).await, Err(ChainCheck::Broken { .. })));
        world.raw().await.execute("UPDATE audit_checkpoints SET seq = seq + 1").await;
        assert!(matches!(verify(&world, node).await, ChainCheck::Intact(_)));
        world.raw().await.execute("DELETE FROM audit_checkpoints").await;
        assert!(matches!(verify(&world, node).await, ChainCheck::Broken { .. }));
    })
    .await;
}

/// Arguments are kept beside the chain, sealed, for their time; the chain does not miss them.
#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_kept_for_their_time_beside_the_chain() {
    on_both(async |world| {
        let node = node(&world);
        let entry = record(&world, 0, "call");
        let mut tx = world.begin().await;
        tx.audit().append(node, std::slice::from_ref(&entry), world.now).await.unwrap();
        tx.audit().keep_arguments(entry.request, br#"{"secret":1}"#, world.at(60)).await.unwrap();
        tx.commit().await.unwrap();
        let kept = async || {
            let mut tx = world.begin().await;
            let kept = tx.audit().arguments(entry.request).await.unwrap();
            kept.map(|bytes| String::from_utf8(bytes.expose().to_vec()).unwrap())
        };
        assert_eq!(kept().await.as_deref(), Some(r#"{"secret":1}"#));
        world.store.sweep(world.at(59)).await.unwrap();
        assert!(kept().await.is_some());
        world.store.sweep(world.at(60)).await.unwrap();
        assert_eq!(kept().await, None);
        assert!(matches!(verify(&world, node).await, ChainCheck::Intact(_)));
    })
    .await;
}

/// A head is signed for whoever has our public key and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_signed_head_is_ours_as_it_stands() {
    on_both(async |world| {
        let node = node(&world);
        append(&world, node, &[record(&world, 0, "one")]).await;
        let head = world.store.read().await.unwrap().audit().head(node).await.unwrap().unwrap();
        let signed = world.store.sign_head(node, head, world.now);
        let key = world.store.head_key();
        let read: SignedHead = serde_json::from_str(&serde_json::to_string(&signed).unwrap()).unwrap();
        assert!(read.is_signed_by(&key));
        assert_eq!(world.store.read().await.unwrap().audit().mac_at(node, 1).await.unwrap(), Some(signed.mac));
        let other = SignedHead { seq: 2, ..signed.clone() };
        assert!(!other.is_signed_by(&key));
        let forged = SignedHead { key: "00".repeat(32), ..signed.clone() };
        assert!(!forged.is_signed_by(&key) && !forged.is_signed_by(&"00".repeat(32)));
        assert!(!SignedHead { signature: "zz".to_owned(), ..signed }.is_signed_by(&key));
    })
    .await;
}

/// ATK-98: whoever has the database and not the key cannot make a chain of their own: all hashes computed anew are wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_computed_anew_without_the_key_is_found() {
    on_both(async |world| {
        let folder = tempfile::tempdir().unwrap();
        let forgery = || StoreUrl::Sqlite(folder.path().join("forged.db"));
        let settings = StoreSettings::new(forgery(), SealKey::from_bytes([9; 32]));
        let forged_store = Store::open(settings).await.unwrap();
        let node = node(&world);
        let mut records: Vec<Record> = (1..=3).map(|number| record(&world, 1, &format!("act {number}"))).collect();
        append(&world, node, &records).await;
        records[1] = Record { request: records[1].request, ..record(&world, 1, "another act") };
        // The forger's own store, with a key of its own, computes what fits the changed record.
        let mut tx = forged_store.begin().await.unwrap();
        tx.audit().append(node, &records, world.now).await.unwrap();
        let mac = tx.audit().head(node).await.unwrap().unwrap().mac;
        tx.commit().await.unwrap();
        let forged = Raw::connect(&forgery()).await.blobs("SELECT records AS found FROM audit").await.remove(0);
        let mut raw = world.raw().await;
        raw.execute_with("UPDATE audit SET records = $1", forged).await;
        let hashes = format!("UPDATE audit SET mac = '{mac}'; UPDATE audit_heads SET mac = '{mac}'");
        raw.execute(Box::leak(hashes.into_boxed_str())).await;
        let shown = list(&world, AuditFilter { node: Some(node), ..AuditFilter::default() }).await;
        assert_eq!(shown.into_iter().map(|stored| stored.record).collect::<Vec<_>>(), records, "what it was to show");
        assert_eq!(verify(&world, node).await, ChainCheck::Broken { seq: 1 });
    })
    .await;
}
