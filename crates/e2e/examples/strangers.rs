//! Measures what one request of a stranger costs, by endpoint: `scripts/strangers`.
//!
//! Starts the binary, sends the requests of [`sekisho_e2e::strangers::ENDPOINTS`] and writes a table. Processor time is
//! given as a multiple of that of `GET /healthz` in the same run. Rows and bytes are what was added for each request,
//! counted after the process ended. Memory is what a fresh process holds in addition for each of 64 requests whose
//! bodies lack their last byte.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a measurement: a step that fails ends it, with the reason"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sekisho_e2e::fakes::provider::Provider;
use sekisho_e2e::fakes::provider::profile::Behaves;
use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::fakes::wire::{Ask, Connection, Reply, ask};
use sekisho_e2e::harness::{Checkpoint, forms};
use sekisho_e2e::strangers::{Carries, ENDPOINTS, Endpoint};
use sekisho_protocol::secret::ScimToken;
use serde_json::json;

/// How many requests of each kind are sent, unless the first argument gives another number.
const REQUESTS: u32 = 1000;
/// How many unfinished requests are held at one time.
const HELD: usize = 64;
fn processor_ticks(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // Fields 14 and 15 of proc(5), counted from the third.
    fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
}

/// Counts the rows of all tables. The standard library of Python reads SQLite; this crate cannot.
fn rows(data: &Path) -> f64 {
    const COUNT: &str = "
import glob, sqlite3, sys
total = 0
for path in glob.glob(sys.argv[1] + '/*.db') + glob.glob(sys.argv[1] + '/*.sqlite*'):
    if path.endswith(('-wal', '-shm')): continue
    db = sqlite3.connect('file:' + path + '?mode=ro', uri=True)
    for (name,) in db.execute(\"SELECT name FROM sqlite_master WHERE type = 'table'\").fetchall():
        total += db.execute('SELECT count(*) FROM \"' + name + '\"').fetchone()[0]
print(total)";
    let counted = Command::new("python3").args(["-c", COUNT]).arg(data).output().expect("python3 runs");
    assert!(counted.status.success(), "{}", String::from_utf8_lossy(&counted.stderr));
    String::from_utf8_lossy(&counted.stdout).trim().parse().expect("a number")
}

/// Returns the size of the data directory in bytes. After the process has ended, the write-ahead log has been merged.
fn bytes(data: &Path) -> f64 {
    let files = std::fs::read_dir(data).expect("a folder").flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len() as f64).sum()
}

/// The identity provider of the configuration, and somebody who has a key of the same name.
struct Providers {
    corp: Provider,
    stranger: Provider,
}

impl Providers {
    async fn start() -> Self {
        let provider = async || Provider::start(Behaves::Generic).await.expect("a port is free");
        Self { corp: provider().await, stranger: provider().await }
    }

    fn forged_logout(&self, at: u32) -> String {
        let token = self.corp.logout_token("checkpoint", "ada-1", None);
        let mut claims = sekisho_e2e::fakes::oauth::claims(&token);
        claims["jti"] = json!(format!("logout-{at}"));
        self.stranger.sign(Some("logout+jwt"), &claims)
    }
}

fn cookies(page: &Reply) -> String {
    let cookies = page.headers.iter().filter(|(name, _)| name == "set-cookie");
    let cookies: Vec<&str> = cookies.filter_map(|(_, value)| value.split(';').next()).collect();
    cookies.join("; ")
}

async fn get(address: SocketAddr, target: &str) -> Reply {
    ask(address, &Ask::get(target)).await.expect("a page")
}

async fn request(address: SocketAddr, endpoint: &Endpoint, providers: &Providers, at: u32) -> Ask {
    let asked = Ask::new(endpoint.verb(), &endpoint.target());
    match endpoint.carries {
        Carries::Nothing => asked,
        Carries::Form(pairs) => asked.form(pairs),
        Carries::Json(text) => asked.header("content-type", "application/json").body(text.as_bytes()),
        Carries::OwnForm => {
            let page = get(address, &endpoint.target()).await;
            let mut form = forms(&page.text()).into_iter().next().expect("a form");
            form.fill("username", &format!("nobody{at}"));
            form.fill("password", "wrong");
            asked.form(&form.pairs()).header("cookie", &cookies(&page))
        }
        Carries::CookiesOf(target) => asked.header("cookie", &cookies(&get(address, target).await)),
        Carries::Begun => {
            let cookie = cookies(&get(address, "/login").await);
            let sent = ask(address, &Ask::get("/login/corp").header("cookie", &cookie)).await.expect("an answer");
            let location = sent.header("location").unwrap_or_default();
            let state = sekisho_e2e::fakes::oauth::answer_in(location, "state").unwrap_or_else(|| "x".to_owned());
            let both = format!("{cookie}; {}", cookies(&sent));
            Ask::get(&format!("/login/corp/callback?code=x&state={state}")).header("cookie", &both)
        }
        Carries::ForgedLogout => asked.form(&[("logout_token", &providers.forged_logout(at))]),
        Carries::UnknownToken(text) => {
            let asked = asked.bearer(ScimToken::from_key([7; 32]).expose());
            if text.is_empty() { asked } else { asked.header("content-type", "application/json").body(text.as_bytes()) }
        }
    }
}

/// Returns the memory that is held for each of several requests that lack the last byte of the largest permitted body.
async fn held(checkpoint: &Checkpoint, address: SocketAddr, endpoint: &Endpoint) -> f64 {
    if endpoint.body_bytes_max == 0 {
        return 0.0;
    }
    let kind = match endpoint.carries {
        Carries::Json(_) | Carries::UnknownToken(_) => "application/json",
        Carries::Begun
        | Carries::CookiesOf(_)
        | Carries::ForgedLogout
        | Carries::Form(_)
        | Carries::Nothing
        | Carries::OwnForm => "application/x-www-form-urlencoded",
    };
    let length = endpoint.body_bytes_max;
    let mut head = Ask::new(endpoint.verb(), &endpoint.target());
    if matches!(endpoint.carries, Carries::UnknownToken(_)) {
        head = head.bearer(ScimToken::from_key([7; 32]).expose());
    }
    let head = head
        .header("content-type", kind)
        .header("accept", "application/json, text/event-stream")
        .header("content-length", &length.to_string())
        .bytes(&format!("localhost:{}", address.port()));
    let part = vec![b'a'; length - 1];
    let before = checkpoint.resident_bytes();
    let mut open = Vec::new();
    for _ in 0..HELD {
        let mut connection = Connection::open(address).await.expect("it listens");
        let _ = connection.send(&head).await;
        // If a request is refused before its body, the body is not read.
        let _ = tokio::time::timeout(Duration::from_millis(200), connection.send(&part)).await;
        open.push(connection);
    }
    let after = checkpoint.resident_bytes();
    drop(open);
    after.saturating_sub(before) as f64 / HELD as f64
}

#[tokio::main]
async fn main() {
    let requests: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(REQUESTS);
    let upstream = Upstream::start(Speaks::Modern).await.expect("a port is free");
    let providers = Providers::start().await;
    providers.corp.register("checkpoint", "the secret of the checkpoint");
    let toml = format!(
        "[[login.provider]]\nname = \"corp\"\nissuer = \"{}\"\nclient_id = \"checkpoint\"\n\
         client_secret = \"the secret of the checkpoint\"\n\
         [servers.up]\nurl = \"{}\"\neveryone = \"write\"\ntools = {{ look = \"read\" }}\n",
        providers.corp.issuer(),
        upstream.url()
    );
    let setup = Checkpoint::configured(&toml).owner("alice", "correct horse battery staple");
    let mut checkpoint = setup.start().await.restart().await;
    let data = checkpoint.data_dir();
    println!("| Endpoint | Processor time | Rows | Bytes on disk | Memory while held | Bounded in all by |");
    println!("|---|---|---|---|---|---|");
    let mut unit = None;
    for endpoint in ENDPOINTS {
        let port = checkpoint.base_url().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let memory = held(&checkpoint, address, endpoint).await;
        checkpoint = checkpoint.restart().await;
        let (rows_before, bytes_before) = (rows(&data), bytes(&data));
        let mut ticks = 0.0;
        // Preparations for a request are not part of its cost.
        for at in 0..requests {
            let request = request(address, endpoint, &providers, at).await;
            let before = processor_ticks(checkpoint.process().pid());
            let _ = ask(address, &request).await;
            ticks += processor_ticks(checkpoint.process().pid()) - before;
        }
        checkpoint = checkpoint.restart().await;
        let each = |more: f64| more / f64::from(requests);
        let unit = *unit.get_or_insert(each(ticks).max(f64::MIN_POSITIVE));
        println!(
            "| `{}` | {:.1} | {:.2} | {:.0} | {:.0} KiB | {} |",
            endpoint.title(),
            each(ticks) / unit,
            each(rows(&data) - rows_before),
            each(bytes(&data) - bytes_before),
            memory / 1024.0,
            endpoint.bound
        );
    }
}
