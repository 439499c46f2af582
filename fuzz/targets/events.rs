//! An event stream of a stranger: never a panic, the same events however it is cut, and every byte in one piece.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sekisho_protocol::mcp::sse::{Parser, Piece};

const MAX: usize = 4096;

/// What a reader sees: events without the bytes they came in. A line feed that comes late is a piece of its own.
fn events(pieces: &[Piece]) -> Vec<(Option<&str>, Option<&str>, Option<&str>, Option<u64>)> {
    let seen = pieces.iter().filter_map(|piece| match piece {
        Piece::Comment { .. } => None,
        Piece::Event(event) => Some((event.data.as_deref(), event.event.as_deref(), event.id.as_deref(), event.retry)),
    });
    seen.collect()
}

fn pieces(bytes: &[u8], step: usize) -> Option<Vec<Piece>> {
    let mut parser = Parser::new(MAX);
    let mut all = Vec::new();
    for chunk in bytes.chunks(step) {
        all.extend(parser.push(chunk).ok()?);
    }
    Some(all)
}

fuzz_target!(|bytes: &[u8]| {
    let (whole, cut) = (pieces(bytes, bytes.len().max(1)), pieces(bytes, 1));
    let (Some(whole), Some(cut)) = (whole, cut) else { return };
    assert_eq!(events(&whole), events(&cut));
    for all in [&whole, &cut] {
        let raw: Vec<u8> = all.iter().flat_map(|piece| piece.raw().to_vec()).collect();
        assert!(bytes.starts_with(&raw));
    }
    #[cfg(planted)]
    for piece in &whole {
        if let Piece::Event(event) = piece {
            assert!(event.id.is_none() || event.data.is_none(), "planted");
        }
    }
});
