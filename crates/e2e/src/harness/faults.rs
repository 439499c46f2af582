//! Faults below the binary: a full disk, a failing disk, a clock that is set.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::checkpoint::Setup;
use super::process::Process;

/// The library that is loaded between the binary and the C library.
const LIBRARY: &str = include_str!("faults.c");

/// How a disk behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Every write and every sync fails.
    Fails,
    /// Every sync takes this many milliseconds.
    Stalls(i64),
    /// The disk works.
    Works,
}

/// Faults that a test switches on and off while the binary runs.
#[derive(Debug)]
pub struct Faults {
    said: File,
    path: PathBuf,
    _folder: TempDir,
}

impl Faults {
    /// Builds the library, once for all tests of a process. It needs a C compiler as `cc`, as Rust does.
    #[expect(clippy::new_without_default, reason = "it starts a compiler")]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("said");
        std::fs::write(&path, [0; 24]).expect("a file can be written");
        let said = File::options().write(true).open(&path).expect("the file can be opened");
        Self { said, path, _folder: folder }
    }

    /// Puts these faults below a checkpoint.
    #[must_use]
    pub fn below(&self, setup: Setup) -> Setup {
        setup
            .variable("LD_PRELOAD", library().display().to_string())
            .variable("SEKISHO_TEST_FAULTS", self.path.display().to_string())
    }

    /// Sets the clock of the binary this many seconds ahead of the machine's.
    pub fn clock_ahead(&self, seconds: i64) {
        self.say(0, seconds);
    }

    /// Sets how the disk behaves for the database from now on.
    pub fn disk(&self, disk: Disk) {
        let (mode, millis) = match disk {
            Disk::Fails => (1, 0),
            Disk::Stalls(millis) => (2, millis),
            Disk::Works => (0, 0),
        };
        self.say(2, millis);
        self.say(1, mode);
    }

    fn say(&self, at: u64, number: i64) {
        self.said.write_all_at(&number.to_ne_bytes(), at * 8).expect("the file can be written");
    }
}

fn library() -> &'static Path {
    static LIBRARY_FILE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LIBRARY_FILE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (source, library) = (folder.path().join("faults.c"), folder.path().join("faults.so"));
        std::fs::write(&source, LIBRARY).expect("a file can be written");
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).output();
        let compiled = compiled.expect("a C compiler is there as `cc`");
        assert!(compiled.status.success(), "cc: {}", String::from_utf8_lossy(&compiled.stderr));
        (folder, library)
    });
    path
}

/// A small disk in a folder, visible only to processes that are started inside: a tmpfs in its own mount namespace,
/// which ends together with it.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Process,
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk of this many mebibytes on a folder. It needs root, or a kernel that permits user namespaces to
    /// everybody.
    pub async fn mount(folder: &Path, mebibytes: u32) -> Self {
        let script =
            format!("mount -t tmpfs -o size={mebibytes}m,mode=700 tmpfs \"$0\" && echo mounted && exec sleep 1000000");
        let mut command = Command::new("unshare");
        if !is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]).arg(folder);
        let holder = Process::start(&mut command);
        let mounted = holder.stdout().find(|said| said.contains("mounted").then_some(())).await;
        assert!(
            mounted.is_some(),
            "no small disk could be mounted (run as root, or allow user namespaces): {}",
            holder.stderr().now()
        );
        Self { holder, folder: folder.to_owned() }
    }

    /// Returns the words that start a program inside.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec!["nsenter".to_owned(), "--target".to_owned(), self.holder.pid().to_string()];
        if !is_root() {
            words.extend(["--user".to_owned(), "--preserve-credentials".to_owned()]);
        }
        words.push("--mount".to_owned());
        words
    }

    /// Fills all free space.
    pub fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.filler()).expect("the disk can be written");
        for bytes in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![1; bytes]).is_ok() {}
        }
    }

    /// Frees that space again.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).expect("the disk was filled");
    }

    /// Returns the path of the disk as it is visible from outside.
    pub fn outside(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.pid()));
        root.join(self.folder.strip_prefix("/").expect("the folder is named from the root"))
    }

    fn filler(&self) -> PathBuf {
        self.outside().join("filler")
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
