//! The lines of a child's output, each of bounded length.

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// The bytes that are read at one time.
const BUFFER_BYTES: usize = 64 << 10;

/// One line, without its line break.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) enum Line {
    /// The whole line.
    Whole(Bytes),
    /// The first bytes of a line that is longer than allowed; the rest was skipped.
    TooLong(Bytes),
}

/// Reads lines that end with LF, with CR LF, or with the end of the output.
#[derive(Debug)]
pub(in super::super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    bytes_max: usize,
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Creates a reader; a line may have `bytes_max` bytes.
    pub(in super::super) fn new(reader: R, bytes_max: usize) -> Self {
        let reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        Self { reader, line: Vec::new(), bytes_max, skipping: false }
    }

    /// Returns the next line that is not empty; `None` at the end. Dropping the future loses nothing.
    pub(in super::super) async fn next(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            // This is the only place that waits, and nothing is taken before it returns.
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(self.finish());
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            let room = self.bytes_max.saturating_sub(self.line.len());
            if part.len() > room {
                self.skipping = true;
            }
            self.line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
            let consumed = part.len() + usize::from(end.is_some());
            self.reader.consume(consumed);
            if end.is_some()
                && let Some(line) = self.finish()
            {
                return Ok(Some(line));
            }
        }
    }

    fn finish(&mut self) -> Option<Line> {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.skipping) {
            return Some(Line::TooLong(Bytes::from(line)));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        (!line.is_empty()).then(|| Line::Whole(Bytes::from(line)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Line, Lines};

    async fn all(input: &'static [u8], bytes_max: usize) -> Vec<Line> {
        let mut lines = Lines::new(input, bytes_max);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    fn whole(text: &'static str) -> Line {
        Line::Whole(Bytes::from(text))
    }

    /// ST-04, ATK-90: lines are bounded, and a line that is too long does not run into the next.
    #[tokio::test]
    async fn lines_are_cut_and_bounded() {
        assert_eq!(all(b"a\r\n\n\nbc\nd", 4).await, [whole("a"), whole("bc"), whole("d")]);
        assert_eq!(all(b"12345\nok\n", 4).await, [Line::TooLong(Bytes::from("1234")), whole("ok")]);
        assert_eq!(all(b"1234\n12345", 4).await, [whole("1234"), Line::TooLong(Bytes::from("1234"))]);
        assert_eq!(all(b"", 4).await, []);
    }
}
