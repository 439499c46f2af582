//! A disk that is full, fails or hangs: an act that could not be recorded was not done, and everything recovers by
//! itself.
//!
//! `SEKISHO_TEST_FAULT_ROUNDS` sets how often each fault is repeated; the default is three.

use std::collections::BTreeSet;
use std::time::Duration;

use sekisho_e2e::fakes::browser::{Browser, Landing};
use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::oauth::Granted;
use sekisho_e2e::fakes::upstream::Speaks;
use sekisho_e2e::fakes::wire::{Ask, Reply, ask};
use sekisho_e2e::harness::wait::within;
use sekisho_e2e::harness::{Checkpoint, Disk, Faults, SmallDisk};
use tokio::time::Instant;

use super::field::{Field, PASSWORD, UP, USER};

/// Two seconds, and one more for a machine that runs other tests.
const SOON: Duration = Duration::from_secs(3);
/// The size of the small disk, in mebibytes: a reserve of 8 for a full disk, and twice as much for the database and its
/// log.
const DISK_MEBIBYTES: u32 = 24;
/// How many writes the log's file may still have room for on a full disk.
const WRITES_UNTIL_FULL: usize = 3_000;

pub(crate) fn rounds() -> usize {
    number_in("SEKISHO_TEST_FAULT_ROUNDS").unwrap_or(3)
}

/// Returns a number from the environment, which makes a test larger.
pub(crate) fn number_in(variable: &str) -> Option<usize> {
    let text = std::env::var_os(variable)?;
    Some(text.to_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{variable} is a number")))
}

/// A checkpoint whose acknowledged writes are noted.
struct Watched {
    field: Field,
    granted: Granted,
    /// The requests that were acknowledged.
    done: Vec<String>,
}

impl Watched {
    async fn over(field: Field) -> Self {
        let granted = field.granted(USER, "mcp:read mcp:write").await;
        let mut watched = Self { field, granted, done: Vec::new() };
        assert_eq!(watched.write().await, 200);
        watched
    }

    /// Makes a call that changes something. Returns its status.
    async fn write(&mut self) -> u16 {
        let reply = self.field.ask(&tool(UP, &self.granted.access, "keep")).await;
        if reply.status == 200 {
            self.done.push(reply.header("x-request-id").unwrap().to_owned());
        } else {
            assert_eq!(reply.status, 503, "{}", reply.text());
        }
        reply.status
    }

    async fn readiness(&self) -> u16 {
        self.field.ask(&Ask::get("/readyz")).await.status
    }

    /// Writes until a write is refused, and checks that readiness reports that soon.
    async fn until_refused(&mut self) {
        let mut writes = 0;
        while self.write().await == 200 {
            writes += 1;
            assert!(writes < WRITES_UNTIL_FULL, "the fault does not reach the database");
        }
        let refused = Instant::now();
        while self.readiness().await != 503 {
            assert!(refused.elapsed() < SOON, "nothing can be recorded, and readiness does not say so");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(self.field.ask(&Ask::get("/healthz")).await.status, 200);
        assert!(self.field.checkpoint.process().is_running());
    }

    /// After the fault: checks that everything soon works again, and that readiness reports it.
    async fn until_done(&mut self) {
        let began = Instant::now();
        while self.write().await != 200 {
            assert!(began.elapsed() < SOON, "no write is done although nothing is in its way");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        while self.readiness().await != 200 {
            assert!(began.elapsed() < SOON, "writes are done, and readiness does not say so");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Checks that every acknowledged request is recorded with its outcome, and that the records are complete.
    async fn nothing_is_lost(&self) {
        within(Duration::from_secs(10), "every call and its end on record", async || {
            let records = self.field.checkpoint.records().await;
            let of = |kind: &str| -> BTreeSet<String> {
                let rows = records.iter().filter(|row| row["record"]["event"]["kind"] == kind);
                rows.map(|row| row["record"]["request"].as_str().unwrap().to_owned()).collect()
            };
            let (decisions, outcomes) = (of("decision"), of("outcome"));
            self.done.iter().all(|request| decisions.contains(request) && outcomes.contains(request)).then_some(())
        })
        .await;
        let verified = self.field.checkpoint.command(&["audit", "verify"]).await;
        assert_eq!(verified.code(), Some(0), "{}", verified.stderr);
    }
}

/// Signs in with the right password. Returns the status.
async fn sign_in(checkpoint: &Checkpoint) -> u16 {
    let mut browser = Browser::new(checkpoint.base_url());
    let Landing::Page(page) = browser.open("/login").await else { panic!("a page") };
    match page.form() {
        None => page.reply.status,
        Some(form) => browser.post(&form.fill("username", USER).fill("password", PASSWORD)).await.status,
    }
}

async fn on_a_small_disk() -> (Field, SmallDisk) {
    let mut disk = None;
    let field = Field::changed(Speaks::Modern, "", async |setup| {
        let mounted = SmallDisk::mount(&setup.data_dir(), DISK_MEBIBYTES).await;
        let setup = setup.started_by(mounted.words());
        disk = Some(mounted);
        setup
    });
    let field = field.await;
    (field, disk.unwrap())
}

/// ATK-166: the disk is full, and later has room again. Nothing is acknowledged without a record, readiness reports the
/// true state, and no restart is needed.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_survived() {
    let (field, disk) = on_a_small_disk().await;
    let pid = field.checkpoint.process().pid();
    let mut watched = Watched::over(field).await;
    for _ in 0..rounds() {
        disk.fill();
        watched.until_refused().await;
        // A person who signs in is told that it is not possible at the moment.
        assert_eq!(sign_in(&watched.field.checkpoint).await, 503);
        let read = watched.field.checkpoint.command(&["audit", "tail", "--once"]).await;
        assert_eq!(read.code(), Some(0), "the records can be read: {}", read.stderr);
        disk.free();
        watched.until_done().await;
        assert_eq!(sign_in(&watched.field.checkpoint).await, 303);
    }
    assert_eq!(watched.field.checkpoint.process().pid(), pid);
    watched.nothing_is_lost().await;
}

/// ATK-167: on a full disk the checkpoint starts, however it ended; its records can be read and pruned, and pruning
/// makes room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_nobody_from_starting_reading_and_pruning() {
    let (field, disk) = on_a_small_disk().await;
    let mut watched = Watched::over(field).await;
    for _ in 0..400 {
        watched.write().await;
    }
    let Watched { field, granted, .. } = watched;
    let Field { mut checkpoint, upstream, address } = field;
    for crash in [true, false] {
        // The running instance restores the reserved space to its full size.
        let reserve = disk.outside().join("sekisho.db-reserve");
        let kept = within(SOON, "room is kept", async || reserve.exists().then_some(()));
        let _ = tokio::time::timeout(SOON / 2, kept).await;
        disk.fill();
        checkpoint = if crash { checkpoint.crash().await } else { checkpoint.restart().await };
        assert_eq!(ask(address, &Ask::get("/healthz")).await.unwrap().status, 200);
        let read = checkpoint.command(&["audit", "tail", "--once"]).await;
        assert_eq!(read.code(), Some(0), "{}", read.stderr);
        // Records older than a second are pruned; then there is room for new ones.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let pruned = checkpoint.command(&["audit", "prune", "--older-than", "1s"]).await;
        assert_eq!(pruned.code(), Some(0), "{}", pruned.stderr);
        within(SOON, "a write after pruning", async || {
            let reply = ask(address, &tool(UP, &granted.access, "keep")).await.unwrap();
            (reply.status == 200).then_some(())
        })
        .await;
        disk.free();
        let verified = checkpoint.command(&["audit", "verify"]).await;
        assert_eq!(verified.code(), Some(0), "{}", verified.stderr);
    }
    drop(upstream);
}

/// ATK-168: every write to the disk fails for a second. Afterwards everything works without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_disk_is_survived() {
    let faults = Faults::new();
    let field = Field::changed(Speaks::Modern, "", async |setup| faults.below(setup)).await;
    let mut watched = Watched::over(field).await;
    for round in 0..rounds() {
        faults.disk(Disk::Fails);
        watched.until_refused().await;
        // In some rounds, while many requests are under way.
        if round % 2 == 0 {
            let calls = (0..32).map(|_| {
                let (address, call) = (watched.field.address, tool(UP, &watched.granted.access, "keep"));
                tokio::spawn(async move { ask(address, &call).await.unwrap().status })
            });
            for call in calls.collect::<Vec<_>>() {
                assert_eq!(call.await.unwrap(), 503);
            }
        }
        assert_eq!(sign_in(&watched.field.checkpoint).await, 503);
        faults.disk(Disk::Works);
        watched.until_done().await;
    }
    watched.nothing_is_lost().await;
}

/// ATK-168: the disk hangs for longer than anybody waits. Requests that were given up half-way cause no harm later.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_is_survived() {
    let faults = Faults::new();
    let field = Field::changed(Speaks::Modern, "", async |setup| faults.below(setup)).await;
    let mut watched = Watched::over(field).await;
    for _ in 0..rounds() {
        faults.disk(Disk::Stalls(3_000));
        watched.until_refused().await;
        faults.disk(Disk::Works);
        // A call that hangs already hangs until the fault is over.
        let hung = Instant::now();
        while watched.write().await != 200 {
            assert!(hung.elapsed() < Duration::from_secs(10), "no write is done although the disk answers again");
        }
        watched.until_done().await;
    }
    watched.nothing_is_lost().await;
}

/// ATK-169: readiness checks cause no more than one small write a second, however many there are.
#[tokio::test(flavor = "multi_thread")]
async fn asking_for_readiness_is_cheap() {
    let field = Field::start().await;
    let log = field.checkpoint.data_dir().join("sekisho.db-wal");
    let before = std::fs::metadata(&log).unwrap().len();
    let began = Instant::now();
    for _ in 0..40 {
        let asked: Vec<_> = (0..25)
            .map(|_| {
                let address = field.address;
                tokio::spawn(async move { ask(address, &Ask::get("/readyz")).await })
            })
            .collect();
        for asked in asked {
            let reply: Reply = asked.await.unwrap().unwrap();
            assert_eq!(reply.status, 200);
        }
    }
    // A check writes one or two pages of the log.
    let grown = std::fs::metadata(&log).unwrap().len().saturating_sub(before);
    let seconds = began.elapsed().as_secs() + 2;
    assert!(grown <= seconds * 4 * 4_120, "1000 questions in {seconds} s wrote {grown} bytes");
    let probed = sekisho_e2e::harness::Process::start(std::process::Command::new("python3").args([
        "-c",
        "import sqlite3,sys\nprint(sqlite3.connect(sys.argv[1]).execute(\"SELECT value FROM counters WHERE name='probe'\").fetchone()[0])",
        &field.checkpoint.data_dir().join("sekisho.db").display().to_string(),
    ]));
    probed.ended().await;
    let probes: u64 = probed.stdout().now().trim().parse().expect("readiness writes");
    assert!((1..=seconds).contains(&probes), "{probes} in {seconds} s");
}
