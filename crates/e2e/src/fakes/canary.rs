//! A listener on loopback that nobody may contact. It remembers every visit.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How many bytes of one visit are kept.
const KEPT_BYTES: usize = 4096;

/// The listener. It stops when it is dropped.
#[derive(Debug)]
pub struct Canary {
    /// The address at which it listens.
    pub address: SocketAddr,
    visits: Arc<Mutex<Vec<Vec<u8>>>>,
    serving: JoinHandle<()>,
}

impl Canary {
    /// Listens on 127.0.0.1 at a free port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let visits = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&visits);
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                // The visit counts from its start, whatever is sent afterwards.
                let at = {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.push(Vec::new());
                    kept.len() - 1
                };
                tokio::spawn(async move {
                    let mut bytes = vec![0; KEPT_BYTES];
                    if let Ok(Ok(length)) = timeout(Duration::from_secs(2), stream.read(&mut bytes)).await {
                        bytes.truncate(length);
                        if let Some(visit) = kept.lock().unwrap_or_else(PoisonError::into_inner).get_mut(at) {
                            *visit = bytes;
                        }
                    }
                });
            }
        });
        Ok(Self { address, visits, serving })
    }

    /// Returns what visitors sent, with one entry for each visit.
    pub fn visits(&self) -> Vec<String> {
        let visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        visits.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// Returns `http://127.0.0.1:PORT` with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::Canary;
    use crate::fakes::wire::Connection;

    /// A canary that remembers nothing would prove nothing.
    #[tokio::test]
    async fn a_visit_is_remembered() {
        let canary = Canary::start().await.unwrap();
        assert_eq!(canary.visits().len(), 0);
        let mut connection = Connection::open(canary.address).await.unwrap();
        connection.send(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        while canary.visits().first().is_none_or(String::is_empty) {
            tokio::task::yield_now().await;
        }
        assert!(canary.visits()[0].starts_with("GET / "));
    }
}
