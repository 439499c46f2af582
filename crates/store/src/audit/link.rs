//! The content of a link: records that were written together, one per line, compressed. Lines of calls are similar, so
//! a full batch shrinks to a tenth or less, and the database has little to write.

use std::collections::BTreeMap;

use lz4_flex::block;
use sekisho_protocol::audit::Record;
use sekisho_protocol::ids::RequestId;

use crate::error::StoreError;
use crate::sql::corrupt;

/// A link is full when its lines have reached this many bytes.
const LINK_BYTES_USUAL: usize = 256 * 1024;
/// The most bytes that are unpacked, whatever length the row claims: enough for a nearly full link and one more record,
/// whose texts are bounded elsewhere.
const LINK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The usual length of a line in bytes, for allocating memory.
const LINE_BYTES_USUAL: usize = 512;
/// The size of a span: 2^10 milliseconds, about a second. The exchanges of one link began in the same span, so few
/// links have to be searched for an exchange. An outcome that comes hours later gets a link of its own.
const SPAN_BITS: u32 = 10;

/// Returns the span in which an exchange began, which is the key to find its links.
pub(super) fn span(request: RequestId) -> i64 {
    request.began_at_millisecond() >> SPAN_BITS
}

/// Records to be added to the chain as one link.
#[derive(Debug)]
pub(super) struct NewLink {
    /// The span in which all their exchanges began; see [`span`].
    pub(super) began: i64,
    /// The number of records, at least one.
    pub(super) count: i64,
    /// Their lines, compressed.
    pub(super) packed: Vec<u8>,
}

/// Divides a batch into links by the spans in which exchanges began, keeping the order of the batch within each.
pub(super) fn links<'r>(batch: impl IntoIterator<Item = &'r Record>) -> Result<Vec<NewLink>, StoreError> {
    let mut spans: BTreeMap<i64, Vec<&Record>> = BTreeMap::new();
    for record in batch {
        spans.entry(span(record.request)).or_default().push(record);
    }
    let mut links = Vec::with_capacity(spans.len());
    for (began, records) in spans {
        let mut lines = Vec::with_capacity(LINK_BYTES_USUAL.min(records.len().saturating_mul(LINE_BYTES_USUAL)));
        let mut count = 0_i64;
        for record in records {
            record.write_line(&mut lines).map_err(|error| StoreError::Corrupt { what: error.to_string() })?;
            lines.push(b'\n');
            count = count.saturating_add(1);
            if lines.len() >= LINK_BYTES_USUAL {
                links.push(pack(began, count, &lines)?);
                lines.clear();
                count = 0;
            }
        }
        if count > 0 {
            links.push(pack(began, count, &lines)?);
        }
    }
    Ok(links)
}

fn pack(began: i64, count: i64, lines: &[u8]) -> Result<NewLink, StoreError> {
    if lines.len() > LINK_BYTES_MAX {
        return Err(corrupt("a record is too long to be kept"));
    }
    Ok(NewLink { began, count, packed: block::compress_prepend_size(lines) })
}

/// Returns the lines of a link.
pub(super) fn unpack(packed: &[u8]) -> Result<String, StoreError> {
    let unreadable = |_| corrupt("records");
    let (bytes, packed) = block::uncompressed_size(packed).map_err(unreadable)?;
    if bytes > LINK_BYTES_MAX {
        return Err(corrupt("records"));
    }
    let lines = block::decompress(packed, bytes).map_err(unreadable)?;
    if lines.len() != bytes {
        return Err(corrupt("records"));
    }
    String::from_utf8(lines).map_err(|_| corrupt("records"))
}

#[cfg(test)]
mod tests {
    use sekisho_protocol::audit::{Act, ActKind, Actor, Event, Record};
    use sekisho_protocol::env::{Clock as _, ManualClock, SeededEntropy, Timestamp, after};
    use sekisho_protocol::ids::RequestId;

    use super::{LINK_BYTES_MAX, LINK_BYTES_USUAL, links, unpack};

    fn record(began: Timestamp, on: String) -> Record {
        let request = RequestId::generate(began, &SeededEntropy::default());
        Record {
            at: began,
            request,
            event: Event::Act(Act { detail: on, ..Act::new(Actor::Operator, ActKind::ServerAdded) }),
        }
    }

    fn read(packed: &[u8]) -> Vec<Record> {
        unpack(packed).unwrap().lines().map(|line| Record::read_line(line).unwrap()).collect()
    }

    #[test]
    fn a_batch_is_a_link_for_each_span_in_which_exchanges_began() {
        let now = ManualClock::default().now();
        let records: Vec<Record> =
            [0, 9, 0, 9, 3].map(|seconds| record(after(now, seconds), format!("{seconds}"))).into_iter().collect();
        let links = links(&records).unwrap();
        assert_eq!(links.iter().map(|link| link.count).collect::<Vec<_>>(), [2, 1, 2]);
        assert!(links[0].began < links[1].began && links[1].began < links[2].began);
        let kept: Vec<Record> = links.iter().flat_map(|link| read(&link.packed)).collect();
        assert_eq!(kept, [0, 2, 4, 1, 3].map(|at: usize| records[at].clone()));
    }

    /// Similar lines take little space, and a full link is followed by another one.
    #[test]
    fn a_link_is_short_and_not_longer_than_may_be_read() {
        let now = ManualClock::default().now();
        let records: Vec<Record> = (0..5_000).map(|number| record(now, format!("tool {number}"))).collect();
        let links = links(&records).unwrap();
        assert!(links.len() > 1);
        let mut lines = 0;
        for link in &links {
            let text = unpack(&link.packed).unwrap();
            assert!(
                text.len() <= LINK_BYTES_USUAL + 200 && link.packed.len() < text.len() / 5,
                "{}",
                link.packed.len()
            );
            lines += text.lines().count();
        }
        assert_eq!(lines, records.len());
        assert!(super::links(&[record(now, "x".repeat(LINK_BYTES_MAX))]).is_err());
    }

    /// A row's claim about its own length is not trusted.
    #[test]
    fn what_cannot_be_read_is_an_error() {
        let good = links(&[record(ManualClock::default().now(), "notes".to_owned())]).unwrap().remove(0).packed;
        for at in 0..good.len() {
            assert!(unpack(&good[..at]).is_err(), "{at}");
        }
        let mut huge = good;
        huge[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(unpack(&huge).is_err());
    }
}
