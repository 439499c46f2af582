//! A disk that is full, fails or hangs: what could not be recorded was not done, and everything works again by itself.
//!
//! `SEKISHO_TEST_FAULT_ROUNDS` says how often each fault comes; three times if it is not set.

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

/// Within two seconds, and one more for a machine that runs other tests.
const SOON: Duration = Duration::from_secs(3);
/// The small disk, in mebibytes: 8 that are kept for a full disk, and as many again for the database and its log, twice.
const DISK_MEBIBYTES: u32 = 24;
/// Writes that a log may still take whose file has room.
const WRITES_UNTIL_FULL: usize = 3_000;

pub(crate) fn rounds() -> usize {
    number_in("SEKISHO_TEST_FAULT_ROUNDS").unwrap_or(3)
}

/// A number in the environment, by which a test is made larger.
pub(crate) fn number_in(variable: &str) -> Option<usize> {
    let text = std::env::var_os(variable)?;
    Some(text.to_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{variable} is a number")))
}

/// A checkpoint whose writes are watched.
struct Watched {
    field: Field,
    granted: Granted,
    /// Requests that were answered as done.
    done: Vec<String>,
}

impl Watched {
    async fn over(field: Field) -> Self {
        let granted = field.granted(USER, "mcp:read mcp:write").await;
        let mut watched = Self { field, granted, done: Vec::new() };
        assert_eq!(watched.write().await, 200);
        watched
    }

    /// A call that changes something; its status.
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

    /// Writes until one is refused, and sees that readiness says so soon.
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

    /// After the fault: everything works again soon, and readiness says so.
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

    /// Everything that was answered as done is on record, with its end; and the records are whole.
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

/// Signs in with the right password; the status of what comes.
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

/// ATK-166: the disk is full, and then there is room again. Nothing is acknowledged that is not on record, readiness tells
/// the truth, and nobody has to restart anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_survived() {
    let (field, disk) = on_a_small_disk().await;
    let pid = field.checkpoint.process().pid();
    let mut watched = Watched::over(field).await;
    for _ in 0..rounds() {
        disk.fill();
        watched.until_refused().await;
        // Who signs in is told that it cannot be done at the moment.
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

/// ATK-167: on a full disk the checkpoint starts, however it ended; its records can be read and pruned, and that makes room.
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
        // The room that is kept is made whole by the running instance.
        let reserve = disk.outside().join("sekisho.db-reserve");
        let kept = within(SOON, "room is kept", async || reserve.exists().then_some(()));
        let _ = tokio::time::timeout(SOON / 2, kept).await;
        disk.fill();
        checkpoint = if crash { checkpoint.crash().await } else { checkpoint.restart().await };
        assert_eq!(ask(address, &Ask::get("/healthz")).await.unwrap().status, 200);
        let read = checkpoint.command(&["audit", "tail", "--once"]).await;
        assert_eq!(read.code(), Some(0), "{}", read.stderr);
        // What was kept for longer than a second goes; then there is room for what is done next.
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

/// ATK-168: every write to the disk fails for a second. Afterwards everything works, without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_disk_is_survived() {
    let faults = Faults::new();
    let field = Field::changed(Speaks::Modern, "", async |setup| faults.below(setup)).await;
    let mut watched = Watched::over(field).await;
    for round in 0..rounds() {
        faults.disk(Disk::Fails);
        watched.until_refused().await;
        // Sometimes while many are on their way.
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

/// ATK-168: the disk does not answer for longer than anybody waits. What was given up half-way harms nobody later.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_is_survived() {
    let faults = Faults::new();
    let field = Field::changed(Speaks::Modern, "", async |setup| faults.below(setup)).await;
    let mut watched = Watched::over(field).await;
    for _ in 0..rounds() {
        faults.disk(Disk::Stalls(3_000));
        watched.until_refused().await;
        faults.disk(Disk::Works);
        // What hangs already hangs until it is over.
        let hung = Instant::now();
        while watched.write().await != 200 {
            assert!(hung.elapsed() < Duration::from_secs(10), "no write is done although the disk answers again");
        }
        watched.until_done().await;
    }
    watched.nothing_is_lost().await;
}

/// ATK-169: asking for readiness costs nobody more than one small write a second.
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
    // A probe is a page of the log or two.
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
