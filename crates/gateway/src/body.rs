//! A body as a whole or not at all, as it comes from clients and from upstreams.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;

/// Why there is no body.
#[derive(Debug)]
pub(crate) enum Unread<E> {
    /// It broke off.
    Broken(E),
    /// It is larger than it may be; the rest was not read.
    TooLarge,
}

/// All of a body, of at most `max` bytes: never a prefix of it (ATK-68). What came in one piece is not copied.
pub(crate) async fn whole<B: Body<Data = Bytes> + Unpin>(mut body: B, max: usize) -> Result<Bytes, Unread<B::Error>> {
    let (mut first, mut joined) = (Bytes::new(), BytesMut::new());
    while !body.is_end_stream()
        && let Some(frame) = body.frame().await
    {
        // Trailers say nothing that is asked for here.
        let Ok(data) = frame.map_err(Unread::Broken)?.into_data() else { continue };
        if first.len().max(joined.len()).saturating_add(data.len()) > max {
            return Err(Unread::TooLarge);
        }
        if first.is_empty() {
            first = data;
            continue;
        }
        if joined.is_empty() {
            joined.extend_from_slice(&first);
        }
        joined.extend_from_slice(&data);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;
    use http::HeaderMap;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::{Unread, whole};

    async fn read(pieces: &[Result<&'static str, &'static str>], max: usize) -> Result<Bytes, Unread<&'static str>> {
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| match *piece {
                Ok("trailers") => Ok(Frame::trailers(HeaderMap::new())),
                Ok(data) => Ok(Frame::data(Bytes::from_static(data.as_bytes()))),
                Err(error) => Err(error),
            })
            .collect();
        whole(StreamBody::new(stream::iter(frames)), max).await
    }

    /// ATK-68, ATK-93: all of it within the bound, or nothing.
    #[tokio::test]
    async fn a_body_is_read_whole_or_not_at_all() {
        for pieces in [&[][..], &[Ok("")], &[Ok("abc")], &[Ok(""), Ok("a"), Ok(""), Ok("b"), Ok("trailers"), Ok("c")]] {
            let expected: String =
                pieces.iter().filter_map(|piece| piece.ok()).filter(|it| *it != "trailers").collect();
            assert_eq!(read(pieces, 3).await.unwrap(), expected, "{pieces:?}");
        }
        for pieces in [&[Ok("abcd")][..], &[Ok("abc"), Ok("d")], &[Ok("a"), Ok("b"), Ok("c"), Ok("d")]] {
            assert!(matches!(read(pieces, 3).await, Err(Unread::TooLarge)), "{pieces:?}");
        }
        for pieces in [&[Err("off")][..], &[Ok("a"), Err("off")], &[Ok("a"), Ok("b"), Err("off")]] {
            assert!(matches!(read(pieces, 3).await, Err(Unread::Broken("off"))), "{pieces:?}");
        }
        // What came in one piece is the same piece.
        let piece = Bytes::from(vec![b'x'; 9]);
        assert_eq!(whole(Full::new(piece.clone()), 9).await.unwrap().as_ptr(), piece.as_ptr());
    }
}
