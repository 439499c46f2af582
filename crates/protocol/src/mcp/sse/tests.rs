use proptest::prelude::*;

use super::*;

fn pieces(chunks: &[&[u8]]) -> Vec<Piece> {
    let mut parser = Parser::new(1 << 20);
    chunks.iter().flat_map(|chunk| parser.push(chunk).unwrap()).collect()
}

/// What a client sees: type, data, id, retry.
type Seen = (Option<String>, Option<String>, Option<String>, Option<u64>);

fn events(pieces: &[Piece]) -> Vec<Seen> {
    let event = |piece: &Piece| match piece {
        Piece::Event(event) => {
            let Event { event, data, id, retry, .. } = event.clone();
            Some((event, data, id, retry))
        }
        Piece::Comment { .. } => None,
    };
    pieces.iter().filter_map(event).collect()
}

fn data(text: &str) -> Vec<Option<String>> {
    events(&pieces(&[text.as_bytes()])).into_iter().map(|(_, data, _, _)| data).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

const STREAM: &str = "\u{FEFF}: hello\r\n\r\nid: 1\r\ndata:\r\n\r\nevent: message\nid: 2\nretry: 3000\n\
    data: {\"jsonrpc\":\ndata: \"2.0\"}\n\n:\n\n:\r\n\r\ndata: a\r\rdata:  b\r: inside\rother: x\rdata\r\r\
    event: x\n\n\n\r\n\rretry: -1\nretry: 12a\nid: a\0b\nid\ndata: é€😀\n\n";

#[test]
fn a_stream_is_cut_into_its_events() {
    let none = None::<String>;
    assert_eq!(
        events(&pieces(&[STREAM.as_bytes()])),
        [
            (none.clone(), some(""), some("1"), None),
            (some("message"), some("{\"jsonrpc\":\n\"2.0\"}"), some("2"), Some(3000)),
            (none.clone(), some("a"), None, None),
            (none.clone(), some(" b\n"), None, None),
            (some("x"), None, None, None),
            (none, some("é€😀"), some(""), None),
        ]
    );
}

/// TR-10, TR-36: no byte is lost or moved, whatever the pieces.
#[test]
fn the_bytes_of_all_pieces_are_the_bytes_of_the_stream() {
    let pieces = pieces(&[STREAM.as_bytes()]);
    assert_eq!(pieces.iter().flat_map(Piece::raw).copied().collect::<Vec<_>>(), STREAM.as_bytes());
}

#[test]
fn a_stream_split_at_any_byte_gives_the_same_events() {
    let bytes = STREAM.as_bytes();
    let whole = events(&pieces(&[bytes]));
    for at in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(at);
        let split = pieces(&[head, tail]);
        assert_eq!(events(&split), whole, "at {at}");
        assert_eq!(split.iter().flat_map(Piece::raw).copied().collect::<Vec<_>>(), bytes);
    }
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(events(&pieces(&single)), whole);
}

/// TR-36: a keep-alive is given away when its line ends, not when the next event does.
#[test]
fn comments_between_events_are_given_at_once() {
    let mut parser = Parser::new(100);
    assert_eq!(parser.push(b": keep").unwrap(), []);
    assert_eq!(parser.push(b"-alive\n").unwrap(), [Piece::Comment { raw: b": keep-alive\n".to_vec() }]);
    assert!(parser.is_between_events());
    assert_eq!(parser.push(b":\r").unwrap(), [Piece::Comment { raw: b":\r".to_vec() }]);
    assert_eq!(parser.push(b"\n").unwrap(), [Piece::Comment { raw: b"\n".to_vec() }]);
    assert_eq!(parser.push(b"data: x\n").unwrap(), []);
    assert!(!parser.is_between_events());
    assert_eq!(parser.push(b": inside\n").unwrap(), []);
    assert_eq!(parser.push(b"\r").unwrap().len(), 1);
    assert!(parser.is_between_events());
}

/// An event that was not ended is not given: some clients would act on it, others not.
#[test]
fn an_unfinished_event_is_never_given() {
    let mut parser = Parser::new(100);
    assert_eq!(parser.push(b"data: {}\n").unwrap(), []);
    assert!(!parser.is_between_events());
    assert_eq!(data("data: 1\n\ndata: 2"), [some("1")]);
    assert_eq!(data("data: 1\n\ndata: 2\n"), [some("1")]);
}

#[test]
fn fields_are_read_as_the_standard_has_them() {
    assert_eq!(data("data:x\n\n"), [some("x")]);
    assert_eq!(data("data:  x\n\n"), [some(" x")]);
    assert_eq!(data("data: a:b\n\n"), [some("a:b")]);
    assert_eq!(data("data\n\n"), [some("")]);
    assert_eq!(data("data\ndata\n\n"), [some("\n")]);
    assert_eq!(data("Data: x\n\n"), [None]);
    assert_eq!(data(" data: x\n\n"), [None]);
    assert_eq!(data("\u{FEFF}data: x\n\n"), [some("x")]);
    assert_eq!(data("\n\u{FEFF}data: x\n\n"), [None]);
    assert_eq!(data("data: x\u{2028}y\u{85}\n\n"), [some("x\u{2028}y\u{85}")]);
    assert_eq!(data(""), []);
    assert_eq!(data("\n\r\r\n"), []);
}

/// ATK-93: one event is bounded, in one line or in many, finished or not.
#[test]
fn an_event_beyond_its_bound_ends_the_stream() {
    let too_large = Err(SseError::TooLarge { max: 16 });
    assert!(Parser::new(16).push(b"data: 12345678\n\n").is_ok());
    assert_eq!(Parser::new(16).push(b"data: 12345678901\n\n"), too_large);
    assert_eq!(Parser::new(16).push(&[b'x'; 17]), too_large);
    assert_eq!(Parser::new(16).push(&[b':'; 17]), too_large);
    let mut parser = Parser::new(16);
    assert!(parser.push(b"data: 1\n").is_ok());
    assert!(parser.push(b"data: 2\n").is_ok());
    assert_eq!(parser.push(b"data: 3\n"), too_large);
    let mut parser = Parser::new(16);
    for _ in 0..100 {
        assert!(parser.push(b"data: 12345\n\n").is_ok());
    }
}

#[test]
fn a_stream_that_is_not_utf8_is_refused() {
    assert_eq!(Parser::new(100).push(b"data: \xFF\n"), Err(SseError::NotUtf8));
    assert_eq!(Parser::new(100).push(b"data: \xC3\n\xA9\n"), Err(SseError::NotUtf8));
}

#[test]
fn events_that_were_written_read_back() {
    let mut out = Vec::new();
    write_event(&mut out, Some("message"), Some("7"), "{\"a\":\r\n1}");
    write_comment(&mut out);
    write_event(&mut out, None, None, "");
    write_event(&mut out, Some("a\nid: 9"), Some("1\r2"), "x");
    assert_eq!(
        events(&pieces(&[&out])),
        [
            (some("message"), some("{\"a\":\n1}"), some("7"), None),
            (None, some(""), None, None),
            (None, some("x"), None, None),
        ]
    );
}

fn stream() -> impl Strategy<Value = String> {
    let part = proptest::sample::select(vec![
        "data: ", "data:", "data", "event: x", "id: 1", "retry: 5", ":", "é", "{}", "\n", "\r", "\r\n", "\n\n", "\r\r",
        "\r\n\r\n", "\u{FEFF}", " ",
    ]);
    proptest::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn chunks_change_nothing(stream in stream(), cuts in proptest::collection::vec(0usize..200, 0..8)) {
        let bytes = stream.as_bytes();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<_> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let cut = pieces(&chunks);
        prop_assert_eq!(events(&cut), events(&pieces(&[bytes])));
        let raw: Vec<_> = cut.iter().flat_map(Piece::raw).copied().collect();
        prop_assert!(bytes.starts_with(&raw));
    }

    #[test]
    fn what_was_written_reads_back(data in any::<String>(), id in "[^\n\r\0]*", event in "[^\n\r\0]+") {
        let mut out = Vec::new();
        write_event(&mut out, Some(&event), Some(&id), &data);
        let lines = data.replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(events(&pieces(&[&out])), [(Some(event), Some(lines), Some(id), None)]);
    }
}
