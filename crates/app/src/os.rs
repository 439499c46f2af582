//! Everything that depends on the machine: time, random values, environment, files that only we may read.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
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

/// Returns a name for this run of the machine. While it stays the same, [`since_boot_micros`] counts from the same
/// moment. `None`: the system does not say.
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

/// Whether a person sits at standard input.
pub(crate) fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdin())
}

/// Whether a child gets this variable without being asked for: where programs, home and temporary files are, the
/// language, which certificates are believed and which proxy leads out. Nothing that could be a credential (ATK-90): a
/// proxy whose URL has a user and a password is not passed.
pub(crate) fn is_inherited(name: &str, value: &str) -> bool {
    INHERITED.contains(&name) && !(name.to_ascii_uppercase().ends_with("_PROXY") && value.contains('@'))
}

/// What a shell sets for itself: it is neither passed nor named as withheld.
pub(crate) const SHELLS_OWN: [&str; 3] = ["OLDPWD", "SHLVL", "_"];

const INHERITED: [&str; 27] = [
    "ALL_PROXY",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "NODE_EXTRA_CA_CERTS",
    "NO_PROXY",
    "PATH",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_RUNTIME_DIR",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Where data is kept if nothing else is configured.
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

/// How long files may take to be read while requests are served.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Does something that may block beside the tasks that answer requests, and waits for it so long. `None`: it was not done
/// in time, or panicked. It may still be done later.
pub(crate) async fn beside<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::time::timeout(limit, tokio::task::spawn_blocking(work)).await.ok()?.ok()
}

/// Makes the kernel give a connection up if sent data is not acknowledged for this long.
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

/// Writes a file that only we may read, whole or not at all. A file that is there is not replaced. Several programs may
/// do this at the same time: each writes a file with a new name and gives it the wanted name, which fails if that name
/// is taken (renameat2 with RENAME_NOREPLACE, or link(2)). So the caller has to read the file afterwards and use what is
/// in it.
pub(crate) fn private_file(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let folder = folder_of(path);
    // The file is new (O_EXCL) and has mode 0600.
    let mut part = tempfile::NamedTempFile::new_in(folder)?;
    part.write_all(contents)?;
    part.as_file().sync_all()?;
    match part.persist_noclobber(path) {
        // After a power failure, the key must be on disk if anything is that was sealed with it.
        Ok(_) => std::fs::File::open(folder)?.sync_all(),
        Err(failed) if failed.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(failed) => Err(failed.error),
    }
}

/// Replaces the contents of a file, whole or not at all. Everything else stays as it was: a symbolic link still leads
/// to the file, and its mode and owner are kept. A file that was not there is ours alone.
pub(crate) fn replace_file(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    let is_new = path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    let target = if is_new { path.to_owned() } else { path.canonicalize()? };
    let folder = folder_of(&target);
    // The file is new (O_EXCL), so a link that another program put there is not followed.
    let mut part = tempfile::NamedTempFile::new_in(folder)?;
    part.write_all(contents)?;
    if !is_new {
        let (before, now) = (target.metadata()?, part.as_file().metadata()?);
        if (before.uid(), before.gid()) != (now.uid(), now.gid()) {
            std::os::unix::fs::fchown(part.as_file(), Some(before.uid()), Some(before.gid()))?;
        }
        // After chown, because chown clears some bits of the mode.
        part.as_file().set_permissions(before.permissions())?;
    }
    part.as_file().sync_all()?;
    part.persist(&target).map_err(|failed| failed.error)?;
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
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
    // The parent of a process has to wait for it, and the browser may run for hours.
    std::thread::spawn(move || child.wait());
    true
}

/// Whether a connection on loopback, named by its two ends (theirs, ours), comes from another user of this machine.
/// Linux tells it; elsewhere the answer is no. The superuser does not count as another user: it can do what we can, and
/// it forwards connections for others (WSL).
pub(crate) fn is_of_another_user(theirs: SocketAddr, ours: SocketAddr) -> bool {
    let own = rustix::process::geteuid().as_raw();
    // A program may reach an IPv4 address through a socket for IPv6.
    let mapped = |end: SocketAddr| match end.ip() {
        IpAddr::V4(address) => SocketAddr::new(address.to_ipv6_mapped().into(), end.port()),
        IpAddr::V6(_) => end,
    };
    let owner = |table: &str, (theirs, ours): (SocketAddr, SocketAddr)| {
        std::fs::read_to_string(table).ok().and_then(|table| owner_of(&table, theirs, ours))
    };
    let owner =
        owner("/proc/net/tcp", (theirs, ours)).or_else(|| owner("/proc/net/tcp6", (mapped(theirs), mapped(ours))));
    match owner {
        Some(Owner::Gone) => true,
        Some(Owner::User(user)) => user != own && user != 0,
        None => false,
    }
}

/// The owner of one end of a connection.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    /// The program has closed it, and Linux does not tell its owner any more.
    Gone,
    /// The user with this number.
    User(u32),
}

/// The owner of the other end of a connection, from the table of proc_net_tcp(5).
fn owner_of(table: &str, theirs: SocketAddr, ours: SocketAddr) -> Option<Owner> {
    let (theirs, ours) = (as_in_table(theirs), as_in_table(ours));
    table.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        // Number, local end, remote end, state; queues, timer, retransmissions, user.
        let (local, remote, state) = (words.nth(1)?, words.next()?, words.next()?);
        if local != theirs || remote != ours {
            return None;
        }
        let user = words.nth(3)?.parse().ok()?;
        Some(if state == ESTABLISHED { Owner::User(user) } else { Owner::Gone })
    })
}

/// The state of a connection that both ends have open.
const ESTABLISHED: &str = "01";

/// An end of a connection as the table has it: the address word by word in the byte order of the machine.
fn as_in_table(end: SocketAddr) -> String {
    let bytes = match end.ip() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let words = bytes.chunks_exact(4).filter_map(|word| word.try_into().ok()).map(u32::from_ne_bytes);
    let address: String = words.map(|word| format!("{word:08X}")).collect();
    format!("{address}:{:04X}", end.port())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use sekisho_protocol::env::random;

    use super::{OsEntropy, Owner, is_inherited, is_of_another_user, owner_of, replace_file};

    /// ATK-90: certificates and proxies are passed, because a company's laptop reaches nothing without them; whatever could be a
    /// credential is not, the password of a proxy among it.
    #[test]
    fn certificates_and_proxies_are_passed_and_credentials_are_not() {
        for (name, value, passed) in [
            ("PATH", "/bin", true),
            ("NODE_EXTRA_CA_CERTS", "/etc/company.pem", true),
            ("SSL_CERT_FILE", "/etc/user@company.pem", true),
            ("HTTPS_PROXY", "http://proxy.company:3128", true),
            ("https_proxy", "http://proxy.company:3128", true),
            ("HTTPS_PROXY", "http://ada:hush@proxy.company:3128", false),
            ("all_proxy", "socks5://ada:hush@proxy.company", false),
            ("NO_PROXY", "localhost", true),
            ("GITHUB_TOKEN", "hush", false),
            ("AWS_PROFILE", "ada", false),
            ("HTTPS_PROXY_PASSWORD", "hush", false),
        ] {
            assert_eq!(is_inherited(name, value), passed, "{name}={value}");
        }
    }

    /// ATK-208: the owner of a connection is read from the table of Linux; a connection of this test is our own.
    #[test]
    fn the_other_end_of_a_connection_has_an_owner() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \u{20}  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n\
            \u{20}  1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 2 1\n\
            \u{20}  2: 0100007F:C351 0100007F:1F90 05 00000000:00000000 00:00000000 00000000     0        0 0 1\n";
        let end = |text: &str| text.parse::<std::net::SocketAddr>().unwrap();
        let ours = end("127.0.0.1:8080");
        if cfg!(target_endian = "little") {
            assert_eq!(owner_of(table, end("127.0.0.1:50000"), ours), Some(Owner::User(1001)));
            assert_eq!(owner_of(table, end("127.0.0.1:50001"), ours), Some(Owner::Gone));
        }
        assert_eq!(owner_of(table, end("127.0.0.1:50002"), ours), None);
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
            let here = listener.local_addr().unwrap();
            let theirs = std::net::TcpStream::connect(here).unwrap();
            let (accepted, peer) = listener.accept().unwrap();
            assert!(!is_of_another_user(peer, here), "{address}");
            if cfg!(target_os = "linux") {
                drop(theirs);
                assert!(is_of_another_user(peer, here), "{address}");
            }
            drop(accepted);
        }
    }

    /// ATK-215: a file keeps its mode, a link still leads to it, and a name that another program prepared is not followed.
    #[test]
    fn a_file_is_replaced_and_stays_what_it_was() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (file, link, new) = (folder.path().join("f"), folder.path().join("link"), folder.path().join("new"));
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        std::fs::write(&file, "before").unwrap();
        symlink(&file, &link).unwrap();
        for wanted in [0o600, 0o640, 0o644] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(wanted)).unwrap();
            replace_file(&link, b"after").unwrap();
            assert_eq!((std::fs::read_to_string(&file).unwrap().as_str(), mode(&file)), ("after", wanted));
            assert!(link.symlink_metadata().unwrap().is_symlink());
        }
        replace_file(&new, b"new").unwrap();
        assert_eq!(mode(&new), 0o600);
        symlink(folder.path().join("nowhere"), folder.path().join("dangling")).unwrap();
        assert!(replace_file(&folder.path().join("dangling"), b"x").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    /// Random bytes from the stock are given out once, for requests of any length, and are overwritten there.
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
