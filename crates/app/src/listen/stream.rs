//! A connection whose other end has to take what is sent to it (ATK-190).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::table::{READ_BYTES_PER_SECOND, READ_GRACE};

/// Fails once something has waited to be written for [`READ_GRACE`] and too little of it was taken meanwhile. While
/// everything is taken at once, it costs nothing.
#[derive(Debug)]
pub(crate) struct Paced<S> {
    inner: S,
    /// Set while something waits.
    stalled: Option<Pin<Box<Sleep>>>,
    taken: usize,
}

impl<S> Paced<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, stalled: None, taken: 0 }
    }

    /// Notes that this many bytes were taken. Enough of them begin a new period.
    fn took(&mut self, bytes: usize) {
        if self.stalled.is_some() {
            self.taken = self.taken.saturating_add(bytes);
            let seconds = usize::try_from(READ_GRACE.as_secs()).unwrap_or(usize::MAX);
            if self.taken >= READ_BYTES_PER_SECOND.saturating_mul(seconds) {
                self.caught_up();
            }
        }
    }

    fn caught_up(&mut self) {
        self.stalled = None;
        self.taken = 0;
    }

    fn waits<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(READ_GRACE)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read"))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn written(&mut self, polled: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match polled {
            Poll::Ready(Ok(bytes)) => {
                self.took(bytes);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.waits(context),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.written(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, parts);
        self.written(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// The HTTP library flushes when it has written all it had: nothing waits any more.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_flush(context) {
            Poll::Ready(Ok(())) => {
                self.caught_up();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.waits(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_shutdown(context) {
            Poll::Pending => self.waits(context),
            done => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::{Paced, READ_BYTES_PER_SECOND, READ_GRACE};

    /// ATK-190: who reads nothing is cut, who reads slower than the bound is cut, and who reads faster, or has nothing to
    /// read for long, is not.
    #[tokio::test(start_paused = true)]
    async fn a_client_has_to_read() {
        for (bytes_per_second, expected) in [
            (0, Err(ErrorKind::TimedOut)),
            (READ_BYTES_PER_SECOND / 2, Err(ErrorKind::TimedOut)),
            (READ_BYTES_PER_SECOND * 2, Ok(())),
        ] {
            let (near, mut far) = tokio::io::duplex(1024);
            let mut near = Paced::new(near);
            let reading = tokio::spawn(async move {
                let mut part = vec![0; bytes_per_second];
                while bytes_per_second > 0 && far.read_exact(&mut part).await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                std::future::pending::<()>().await;
            });
            let began = Instant::now();
            let written = near.write_all(&vec![0; 2 << 20]).await.map_err(|error| error.kind());
            assert_eq!(written, expected, "{bytes_per_second} bytes per second");
            assert!(written.is_ok() || began.elapsed() <= READ_GRACE + Duration::from_secs(1));
            reading.abort();
        }
        let (near, mut far) = tokio::io::duplex(1024);
        let mut near = Paced::new(near);
        for _ in 0..3 {
            near.write_all(&[0; 1000]).await.unwrap();
            near.flush().await.unwrap();
            tokio::time::sleep(READ_GRACE * 2).await;
            far.read_exact(&mut [0; 1000]).await.unwrap();
        }
    }
}
