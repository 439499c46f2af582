//! Reads a body from a client or an upstream, as a whole or not at all.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;

use crate::memory::{Collecting, Room};

/// Why there is no body.
#[derive(Debug)]
pub(crate) enum Unread<E> {
    /// The body broke off.
    Broken(E),
    /// Too much is held in memory already; the rest was not read.
    NoRoom,
    /// The body is larger than allowed; the rest was not read.
    TooLarge,
}

/// When memory is charged for a body.
#[derive(Debug)]
pub(crate) enum Growth {
    /// As bytes arrive: a sender that declares much and sends nothing is charged nothing.
    AsItComes,
    /// For the declared length before anything is read: two answers that are half read must not wait for each other.
    AtOnce,
}

/// Reads the whole body, of at most `max` bytes, and never returns a prefix of it (ATK-68). A body that comes in one
/// piece is not copied. With a `room`, memory is charged there as the body grows, reading stops while there is none,
/// and the result owns its charge.
pub(crate) async fn whole<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    max: usize,
    room: Option<(Room, Growth)>,
) -> Result<Bytes, Unread<B::Error>> {
    let (mut first, mut joined) = (Bytes::new(), BytesMut::new());
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > max {
        return Err(Unread::TooLarge);
    }
    let at_once = matches!(room, Some((_, Growth::AtOnce)));
    let mut collecting = room.map(|(room, _)| Collecting::new(room));
    if let Some(collecting) = &mut collecting
        && at_once
        && !collecting.reach(declared).await
    {
        return Err(Unread::NoRoom);
    }
    while !body.is_end_stream()
        && let Some(frame) = body.frame().await
    {
        // Trailers hold nothing that is needed here.
        let Ok(data) = frame.map_err(Unread::Broken)?.into_data() else { continue };
        let length = first.len().max(joined.len()).saturating_add(data.len());
        if length > max {
            return Err(Unread::TooLarge);
        }
        if let Some(collecting) = &mut collecting
            && !collecting.reach(length).await
        {
            return Err(Unread::NoRoom);
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
    let all = if joined.is_empty() { first } else { joined.freeze() };
    Ok(match &mut collecting {
        Some(collecting) => collecting.seal(all),
        None => all,
    })
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
        whole(StreamBody::new(stream::iter(frames)), max, None).await
    }

    /// ATK-68, ATK-93: a body is returned whole if it is within the bound, and otherwise not at all.
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
        // A body that comes in one piece is not copied.
        let piece = Bytes::from(vec![b'x'; 9]);
        assert_eq!(whole(Full::new(piece.clone()), 9, None).await.unwrap().as_ptr(), piece.as_ptr());
    }
}
