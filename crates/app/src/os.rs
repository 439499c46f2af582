//! What is bound to the machine: real time, real chance, environment, files that only we may read.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sekisho_protocol::env::{Clock, Entropy, Timestamp};

/// The machine's clock as it is set, for commands that end soon. A checkpoint that runs has a `SteadyClock`.
#[derive(Debug, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is where `now` comes from")]
        Timestamp::now()
    }
}

/// How long the machine has been running, in microseconds: a count of time that nobody sets. It goes on while the machine
/// sleeps.
pub(crate) fn since_boot_micros() -> i64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    // Elsewhere this one goes on while the machine sleeps.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(CLOCK);
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000)
}

/// What names this run of the machine: as long as it is the same, so is the beginning of [`since_boot_micros`]. `None`: the
/// system does not say.
pub(crate) fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

/// The operating system's generator, through aws-lc-rs.
#[derive(Debug)]
pub(crate) struct OsEntropy;

impl Entropy for OsEntropy {
    /// Identifiers are drawn for every call, and each draw asks the processor for fresh randomness: short draws, which
    /// no secret is, come from a stock that each thread draws at once.
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > STOCK_DRAW_MAX {
            return draw(bytes);
        }
        STOCK.with_borrow_mut(|stock| {
            if stock.left < bytes.len() {
                draw(&mut stock.bytes);
                stock.left = stock.bytes.len();
            }
            let from = stock.left - bytes.len();
            match stock.bytes.get(from..stock.left) {
                Some(fresh) => bytes.copy_from_slice(fresh),
                None => draw(bytes),
            }
            stock.left = from;
        });
    }
}

/// The longest draw that comes from the stock: an identifier's. Secrets have at least twice as many bytes.
const STOCK_DRAW_MAX: usize = 16;

/// Randomness that was drawn and is handed out once, from its end.
struct Stock {
    bytes: [u8; 512],
    left: usize,
}

thread_local! {
    static STOCK: RefCell<Stock> = const { RefCell::new(Stock { bytes: [0; 512], left: 0 }) };
}

#[expect(clippy::expect_used, reason = "without randomness nothing here may go on; aws-lc aborts rather than fail")]
fn draw(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the operating system gives randomness");
}

/// One variable of our environment.
#[expect(clippy::disallowed_methods, reason = "environment is read here and nowhere else")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// All variables of our environment that are valid text.
pub(crate) fn variables() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Variables that a child may have without being asked for: where programs, home and temporary files are, and
/// the language. Nothing that could be a credential (ATK-90).
pub(crate) const INHERITED: [&str; 12] = [
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_RUNTIME_DIR",
];

/// Where data is kept when nobody says otherwise.
pub(crate) fn default_data_dir() -> Option<PathBuf> {
    if let Some(data) = variable("XDG_DATA_HOME").filter(|path| Path::new(path).is_absolute()) {
        return Some(PathBuf::from(data).join("sekisho"));
    }
    let home = PathBuf::from(variable("HOME")?);
    let below = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
    Some(home.join(below).join("sekisho"))
}

/// Lets this process have so many descriptors, as far as it may, and gives how many it has; `None`: there is no bound.
/// Not all that it may: programs that we start inherit the number, and some close every one that there could be.
pub(crate) fn raise_descriptors(wanted: u64) -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current?;
    let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if raised <= current || setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }).is_err() {
        return Some(current);
    }
    Some(raised)
}

/// Does something that may block beside the tasks that answer requests, and waits for it so long. `None`: it was not done
/// in time, or panicked. It may still be done later.
pub(crate) async fn beside<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::time::timeout(limit, tokio::task::spawn_blocking(work)).await.ok()?.ok()
}

/// Has the kernel give a connection up when nothing that was sent on it has been taken for so long.
pub(crate) fn give_up_after(stream: &tokio::net::TcpStream, limit: Duration) {
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, u32::try_from(limit.as_millis()).unwrap_or(u32::MAX));
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, limit);
}

/// Makes a folder that only we may enter.
pub(crate) fn private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

/// Writes a file that only we may read, whole or not at all; does not replace one that is there.
pub(crate) fn private_file(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(contents)?;
    file.sync_all()?;
    match std::fs::hard_link(&part, path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => std::fs::remove_file(&part),
    }
}

/// Opens a page in the browser of this machine, if there is one: the program gets the URL as one argument, and no shell
/// sees it (CL-46, CL-47, ATK-86). Whether a browser was started.
pub(crate) fn open_in_browser(url: &str) -> bool {
    let web = url.starts_with("https://") || url.starts_with("http://");
    if !web || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    let chosen = variable("BROWSER").filter(|program| !program.is_empty());
    let program = match chosen {
        // Several are separated by colons; the first is taken.
        Some(programs) => programs.split(':').next().unwrap_or_default().to_owned(),
        None if cfg!(target_os = "macos") => "open".to_owned(),
        None if variable("DISPLAY").is_some() || variable("WAYLAND_DISPLAY").is_some() => "xdg-open".to_owned(),
        None => return false,
    };
    let null = std::process::Stdio::null;
    let started = std::process::Command::new(program).arg(url).stdin(null()).stdout(null()).stderr(null()).spawn();
    let Ok(mut child) = started else { return false };
    // Whoever starts a child waits for it; the browser may stay for hours.
    std::thread::spawn(move || child.wait());
    true
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use sekisho_protocol::env::random;

    use super::OsEntropy;

    /// What comes from the stock is given out once, whatever the lengths, and never left as it was.
    #[test]
    fn no_draw_is_given_twice() {
        let mut seen = HashSet::new();
        for _ in 0..2_000 {
            let (short, long): ([u8; 10], [u8; 16]) = (random(&OsEntropy), random(&OsEntropy));
            assert!(short != [0; 10] && long != [0; 16]);
            assert!(seen.insert(short.to_vec()) && seen.insert(long.to_vec()));
            // Nor does a part of one stand in another.
            assert!(!long.windows(10).any(|part| seen.contains(part)));
        }
        assert_ne!(random::<32>(&OsEntropy), random::<32>(&OsEntropy));
    }
}
