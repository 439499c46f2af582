//! Things outside that do not respond: waiting for them delays nobody else, even on one core.

use std::process::{Command, Stdio};
use std::time::Duration;

use sekisho_e2e::fakes::call::tool;
use sekisho_e2e::fakes::upstream::Speaks;
use sekisho_e2e::fakes::wire::{Ask, ask};
use sekisho_e2e::harness::Setup;
use sekisho_e2e::harness::wait::within;
use tokio::time::{Instant, timeout};

use super::field::{Field, OWNER, UP};

/// Restricts the checkpoint to one core, where one thread does everything.
fn on_one_core(setup: Setup) -> Setup {
    setup.started_by(["taskset", "-c", "0"].map(str::to_owned).to_vec())
}

async fn is_answered(field: &Field) {
    let reply = timeout(Duration::from_secs(10), ask(field.address, &Ask::get("/healthz"))).await;
    assert!(reply.is_ok_and(|reply| reply.is_ok_and(|reply| reply.status == 200)), "health is not answered");
}

/// ATK-194: a syslog daemon that reads nothing delays neither requests nor the end of the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_syslog_that_hangs_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let silent = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let mut filled = 0;
    let filler = std::os::unix::net::UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"x", &path).is_ok() {
        filled += 1;
        assert!(filled < 100_000, "it takes everything");
    }
    let heads = format!("[audit]\nheads = \"syslog:{}\"\nheads_every = 1\n", path.display());
    let field = Field::changed(Speaks::Modern, &heads, async |setup| on_one_core(setup)).await;
    let granted = field.granted(OWNER, "mcp:read").await;
    for _ in 0..5 {
        let reply = timeout(Duration::from_secs(10), field.ask(&tool(UP, &granted.access, "keep"))).await;
        assert!(reply.is_ok(), "a call is not answered");
        is_answered(&field).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let stderr = field.checkpoint.stderr();
    within(Duration::from_secs(20), "a word about it", async || {
        stderr.now().contains("does not read what it is sent").then_some(())
    })
    .await;
    let began = Instant::now();
    field.checkpoint.process().terminate();
    let ended = timeout(Duration::from_secs(30), field.checkpoint.process().ended()).await;
    assert!(ended.is_ok_and(|status| status.success()), "it did not end well");
    assert!(began.elapsed() < Duration::from_secs(15), "it took {:?} to end", began.elapsed());
    drop(silent);
}

/// ATK-193: a secret in a file that never returns data, such as a pipe, does not delay anything else when the
/// configuration is reloaded.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_hangs_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "s3cret").unwrap();
    let server = format!(
        "[servers.third]\nurl = \"http://127.0.0.1:9/mcp\"\nheaders = {{ X-Key = \"${{file:{}}}\" }}\n",
        secret.display()
    );
    let field = Field::changed(Speaks::Modern, &server, async |setup| on_one_core(setup)).await;
    let granted = field.granted(OWNER, "mcp:read").await;
    std::fs::remove_file(&secret).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &secret, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let file = field.checkpoint.configuration();
    let changed = std::fs::read_to_string(&file).unwrap().replace("everyone = \"write\"", "everyone = \"read\"");
    std::fs::write(&file, changed).unwrap();
    for _ in 0..10 {
        is_answered(&field).await;
        field.is_healthy(&granted).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let stderr = field.checkpoint.stderr();
    within(Duration::from_secs(20), "a word about it", async || stderr.now().contains("in time").then_some(())).await;
    field.is_healthy(&granted).await;
}

/// ATK-195: nobody reads its standard error, and a caller makes it write there: it still responds, and it ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_up_nothing() {
    let field = Field::start().await;
    // One data directory cannot have two instances, so this is a separate checkpoint.
    let data = tempfile::tempdir().unwrap();
    let mut child = Command::new("taskset")
        .args(["-c", "0"])
        .arg(sekisho_e2e::harness::binary())
        .args(["--json", "run", "--listen", "127.0.0.1:0", "--name", "up", "--http", &field.upstream.url()])
        .env("SEKISHO_DATA_DIR", data.path())
        .env("SEKISHO_LOG", "trace")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let ready = tokio::task::spawn_blocking(move || {
        use std::io::BufRead as _;
        let mut line = String::new();
        std::io::BufReader::new(stdout).read_line(&mut line).map(|_| line)
    });
    let line = timeout(Duration::from_secs(30), ready).await;
    let answered = async {
        let line = line.ok()?.ok()?.ok()?;
        let ready: serde_json::Value = serde_json::from_str(&line).ok()?;
        let port: u16 = ready["base_url"].as_str()?.rsplit(':').next()?.parse().ok()?;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        for _ in 0..400 {
            let reply = timeout(Duration::from_secs(5), ask(address, &Ask::get("/login"))).await;
            reply.ok()?.ok().filter(|reply| reply.status == 200)?;
        }
        Some(())
    };
    let answered = answered.await;
    let pid = rustix::process::Pid::from_child(&child);
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let ended = within_ten(&mut child).await;
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(answered, Some(()), "requests are not answered while nobody reads the log");
    assert!(ended, "it does not end while nobody reads the log");
}

async fn within_ten(child: &mut std::process::Child) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}
