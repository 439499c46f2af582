//! The records: one chain per node that does not fork, and shows what was done to it.

use sekisho_protocol::audit::{Event, Record};
use sekisho_protocol::ids::{NodeId, RequestId};
use sekisho_store::{AuditFilter, AuditOrder, ChainCheck, StoredRecord};

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
        let between = AuditFilter { since: Some(world.at(1)), until: Some(world.at(3)), ..all() };
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
        let batch: Vec<Record> = (0..101).map(|number| record(&world, number, &format!("act {number}"))).collect();
        append(&world, node, &batch).await;
        append(&world, node, &batch[..32]).await;
        let kept = list(&world, AuditFilter { node: Some(node), ..AuditFilter::default() }).await;
        let expected: Vec<Record> = batch.iter().chain(&batch[..32]).cloned().collect();
        assert_eq!(kept.iter().map(|stored| stored.record.clone()).collect::<Vec<_>>(), expected);
        assert_eq!(kept.iter().map(|stored| stored.seq).collect::<Vec<_>>(), (1..=133).collect::<Vec<i64>>());
        assert!(matches!(verify(&world, node).await, ChainCheck::Intact(_)));
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
    let tampering: [(&'static str, i64); 9] = [
        ("UPDATE audit SET record = REPLACE(record, 'act 3', 'act 4') WHERE seq = 3", 3),
        ("UPDATE audit SET recorded_at = recorded_at + 1 WHERE seq = 2", 2),
        ("UPDATE audit SET request = 'rid_00000000000000000000000000000000' WHERE seq = 2", 2),
        ("UPDATE audit SET kept_at = kept_at + 1 WHERE seq = 4", 4),
        ("UPDATE audit SET mac = (SELECT mac FROM audit_heads) WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 5", 5),
        ("DELETE FROM audit WHERE seq = 1; UPDATE audit SET seq = seq - 1", 1),
        ("INSERT INTO audit SELECT node, 6, recorded_at, request, record, kept_at, mac FROM audit WHERE seq = 5", 6),
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
        let cut = "DELETE FROM audit WHERE seq = 2;
             UPDATE audit_heads SET seq = 1, mac = (SELECT mac FROM audit WHERE seq = 1)";
        world.raw().await.execute(cut).await;
        let ChainCheck::Intact(head) = verify(&world, node).await else { panic!("the chain is broken") };
        assert_ne!(head, kept_elsewhere);
    })
    .await;
}
