//! The records: one chain per node that does not fork, and shows what was done to it.

use sekisho_protocol::audit::{Event, Record};
use sekisho_protocol::ids::{NodeId, RequestId};
use sekisho_store::{
    AuditFilter, AuditOrder, ChainCheck, SealKey, SignedHead, Store, StoreSettings, StoreUrl, StoredRecord,
};

use crate::harness::{CONTENDERS, World, on_both, race};

fn record(world: &World, seconds: u32, act: &str) -> Record {
    Record {
        at: world.at(seconds),
        request: RequestId::generate(world.at(seconds), &*world.entropy),
        event: Event::Act { by: "ada".to_owned(), act: act.to_owned(), on: "notes".to_owned() },
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

/// A batch is written by a few statements, and is the same chain as if each record had come alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_is_one_chain_in_order() {
    on_both(|world| async move {
        let node = node(&world);
        let batch: Vec<Record> = (0..301).map(|number| record(&world, number, &format!("act {number}"))).collect();
        append(&world, node, &batch).await;
        append(&world, node, &batch[..32]).await;
        let kept = list(&world, AuditFilter { node: Some(node), ..AuditFilter::default() }).await;
        let expected: Vec<Record> = batch.iter().chain(&batch[..32]).cloned().collect();
        assert_eq!(kept.iter().map(|stored| stored.record.clone()).collect::<Vec<_>>(), expected);
        assert_eq!(kept.iter().map(|stored| stored.seq).collect::<Vec<_>>(), (1..=333).collect::<Vec<i64>>());
        assert!(matches!(verify(&world, node).await, ChainCheck::Intact(_)));
    })
    .await;
}

/// What is known of one exchange and was written together is one link: its records come back one by one, each in its
/// place, and a page may begin or end between them.
#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_an_exchange_share_a_link_and_are_counted_one_by_one() {
    on_both(async |world| {
        let node = node(&world);
        let again = |first: &Record, act: &str| Record { request: first.request, ..record(&world, 9, act) };
        let (one, two) = (record(&world, 1, "one"), record(&world, 2, "two"));
        let (one_ended, one_more, two_ended) =
            (again(&one, "one ended"), again(&one, "more"), again(&two, "two ended"));
        append(&world, node, &[one.clone(), two.clone(), one_ended.clone(), one_more.clone()]).await;
        append(&world, node, std::slice::from_ref(&two_ended)).await;

        let expected = [(1, &one), (2, &one_ended), (3, &one_more), (4, &two), (5, &two_ended)];
        let told = |found: &[StoredRecord]| found.iter().map(|it| (it.seq, it.record.clone())).collect::<Vec<_>>();
        let expected: Vec<_> = expected.into_iter().map(|(seq, record)| (seq, record.clone())).collect();
        let of_node = || AuditFilter { node: Some(node), ..AuditFilter::default() };
        let all = list(&world, of_node()).await;
        assert_eq!(told(&all), expected);
        assert!(all[0].mac == all[2].mac && all[2].mac != all[3].mac && all[3].mac != all[4].mac);
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
        let of_two = list(&world, AuditFilter { request: Some(two.request), ..AuditFilter::default() }).await;
        assert_eq!(told(&of_two), expected[3..]);
        // By the moment at which exchanges began, not at which they ended.
        let since = list(&world, AuditFilter { since: Some(world.at(2)), ..AuditFilter::default() }).await;
        assert_eq!(told(&since), expected[3..]);
        assert!(matches!(verify(&world, node).await, ChainCheck::Intact(head) if head.seq == 5));
        // A line that is taken out of a link is missed like a link.
        world
            .raw()
            .await
            .execute("UPDATE audit SET records = REPLACE(records, 'more', 'less') WHERE place % 1099511627776 = 3")
            .await;
        assert_eq!(verify(&world, node).await, ChainCheck::Broken { seq: 1 });
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
        ("UPDATE audit SET records = REPLACE(records, 'act 3', 'act 4') WHERE place % 1099511627776 = 3", 3),
        ("UPDATE audit SET request = 'rid_00000000000000000000000000000000' WHERE place % 1099511627776 = 2", 2),
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
            "INSERT INTO audit SELECT place + 1, request, records, kept_at, mac FROM audit
             WHERE place % 1099511627776 = 5",
            6,
        ),
    ];
    on_both(async |world| {
        for (sql, broken) in tampering {
            let node = node(&world);
            let records: Vec<Record> = (1..=5).map(|number| record(&world, number, &format!("act {number}"))).collect();
            append(&world, node, &records).await;
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
        append(&world, node, &[record(&world, 1, "one"), record(&world, 2, "two")]).await;
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
            let gone = tx.audit().prune(node, before, world.at(9)).await.unwrap();
            tx.commit().await.unwrap();
            gone
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
    let folder = tempfile::tempdir().unwrap();
    let settings = StoreSettings::new(StoreUrl::Sqlite(folder.path().join("forged.db")), SealKey::from_bytes([9; 32]));
    let forged_store = Store::open(settings).await.unwrap();
    on_both(async |world| {
        let node = node(&world);
        let mut records: Vec<Record> = (1..=3).map(|number| record(&world, number, &format!("act {number}"))).collect();
        append(&world, node, &records).await;
        records[1] = record(&world, 2, "another act");
        // The forger's own store, with a key of its own, computes what fits the changed record.
        let mut tx = forged_store.begin().await.unwrap();
        tx.audit().append(node, &records, world.now).await.unwrap();
        let forged = tx.audit().list(&AuditFilter { node: Some(node), ..AuditFilter::default() }).await.unwrap();
        tx.commit().await.unwrap();
        let mut statements = String::new();
        for forged in forged {
            let (text, mac) = (serde_json::to_string(&forged.record).unwrap(), forged.mac);
            let request = forged.record.request;
            statements.push_str(&format!(
                "UPDATE audit SET records = '{text}', mac = '{mac}', request = '{request}'
                 WHERE place % 1099511627776 = {};",
                forged.seq
            ));
            statements.push_str(&format!("UPDATE audit_heads SET mac = '{mac}';"));
        }
        world.raw().await.execute(Box::leak(statements.into_boxed_str())).await;
        assert_eq!(verify(&world, node).await, ChainCheck::Broken { seq: 1 });
    })
    .await;
}
