//! No call that may block is used where it could delay other tasks: the permitted ones are listed here, with the
//! reason.
//!
//! A worker thread of the runtime that waits in the kernel runs no other task, and on one core it is the only one. So
//! files, sockets, processes and terminals are used through tokio, or outside the workers (`os::beside`,
//! `spawn_blocking`, a thread).

use crate::sources::{files, root};

/// Calls that block, as they are written.
const BLOCKING: [&str; 22] = [
    "std::fs::",
    "File::open",
    "File::create",
    "OpenOptions::new",
    "DirBuilder::new",
    "std::os::unix::net::",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "ToSocketAddrs",
    "to_socket_addrs",
    "std::process::Command",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "pem_file_iter",
    "from_pem_file",
    "hash_password_with_salt",
    "verify_password",
    "blocking_send",
    "blocking_recv",
    "blocking_lock",
];

const AT_START: &str = "at start, before anything is served";
const COMMAND: &str = "of a command that serves nobody";
const THREAD: &str = "in a thread of its own";
const BESIDE: &str = "called through `os::beside` or `spawn_blocking`";

/// Where they are permitted: a file (or everything below a folder), the call, the reason.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("app/src/command/audit.rs", "std::fs::", COMMAND),
    ("app/src/command/check_login.rs", "std::fs::", COMMAND),
    ("app/src/command/connect.rs", "std::io::stdin", THREAD),
    ("app/src/command/connect.rs", "blocking_send", THREAD),
    ("app/src/command/doctor.rs", "std::fs::", COMMAND),
    ("app/src/command/import.rs", "std::fs::", COMMAND),
    ("app/src/command/import/", "std::fs::", COMMAND),
    ("app/src/command/import/", "OpenOptions::new", COMMAND),
    ("app/src/command/init.rs", "std::fs::", COMMAND),
    ("app/src/command/init.rs", "OpenOptions::new", COMMAND),
    ("app/src/command/policy.rs", "std::fs::", COMMAND),
    ("app/src/command/policy/", "std::fs::", COMMAND),
    ("app/src/command/serve.rs", "std::fs::", BESIDE),
    ("app/src/command/specmap/", "std::fs::", COMMAND),
    ("app/src/configuration_file.rs", "std::fs::", "at start, and through `os::beside` when it is read again"),
    ("app/src/config/policies.rs", "std::fs::", "at start, and through `os::beside` when it is read again"),
    ("app/src/config/values.rs", "std::fs::", "at start, and through `os::beside` when it is read again"),
    ("app/src/control.rs", "std::fs::", AT_START),
    ("app/src/data_dir.rs", "std::fs::", AT_START),
    ("app/src/heads.rs", "std::fs::", BESIDE),
    ("app/src/heads.rs", "OpenOptions::new", BESIDE),
    ("app/src/heads.rs", "File::open", BESIDE),
    ("app/src/listen.rs", "pem_file_iter", "at start, and through `os::beside` when it is read again"),
    ("app/src/listen.rs", "from_pem_file", "at start, and through `os::beside` when it is read again"),
    ("app/src/os.rs", "std::fs::", "at start, and of commands that serve nobody"),
    ("app/src/os.rs", "File::open", "at start, and of commands that serve nobody"),
    ("app/src/os.rs", "std::io::stdin", "asked whether it is a terminal, and not read"),
    ("app/src/os.rs", "std::process::Command", COMMAND),
    ("app/src/outside.rs", "std::fs::", COMMAND),
    ("app/src/outside/", "std::fs::", COMMAND),
    ("app/src/outside/", "std::io::stdin", COMMAND),
    ("app/src/outside/", "blocking_send", THREAD),
    ("app/src/reach.rs", "std::fs::", "at start, and through `os::beside` when it is read again"),
    ("app/src/reference.rs", "std::fs::", "of a test"),
    ("app/src/say.rs", "std::io::stderr", "a thread of its own, or a command that serves nobody"),
    ("app/src/serving.rs", "std::fs::", "when nothing is served any more"),
    ("client/src/token_store.rs", "std::fs::", COMMAND),
    ("client/src/token_store/", "std::fs::", COMMAND),
    ("client/src/token_store/", "File::open", COMMAND),
    ("client/src/token_store/", "OpenOptions::new", COMMAND),
    ("client/src/token_store/", "DirBuilder::new", COMMAND),
    ("demo/src/scene.rs", "std::fs::", COMMAND),
    ("demo/src/scenes.rs", "std::fs::", COMMAND),
    ("gateway/src/forward/children.rs", "std::fs::", BESIDE),
    ("gateway/src/forward/guard.rs", "std::process::Command", "of the guard, a process that serves nobody"),
    ("issuer/src/login/password.rs", "hash_password_with_salt", BESIDE),
    ("issuer/src/login/password.rs", "verify_password", BESIDE),
    ("store/src/reserve.rs", "std::fs::", "at start, beside the tasks afterwards, and on a full disk"),
    (
        "store/src/sqlite.rs",
        "std::fs::",
        "at start; then a look at the name of a file that is open, which the kernel answers from memory",
    ),
    ("store/src/sqlite.rs", "OpenOptions::new", AT_START),
    ("store/src/sqlite.rs", "File::open", AT_START),
];

/// ATK-194: every blocking call is in the list, and the list contains no others.
#[test]
fn nothing_that_blocks_stands_on_a_worker() {
    let crates = root().join("crates");
    let mut wrong = Vec::new();
    let mut used = vec![false; ALLOWED.len()];
    for path in files(&crates, "rs") {
        let name = path.strip_prefix(&crates).expect("below").to_string_lossy().into_owned();
        let is_product = name.contains("/src/") && !name.starts_with("e2e/");
        let is_test = name.ends_with("tests.rs") || name.contains("/fixture") || name.ends_with("/testing.rs");
        if !is_product || is_test {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source file is text");
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, line) in product.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for word in BLOCKING.iter().filter(|word| line.contains(**word)) {
                let allowed = ALLOWED.iter().position(|(place, allowed, _)| {
                    let is_there = if place.ends_with('/') { name.starts_with(place) } else { name == *place };
                    is_there && allowed == word
                });
                match allowed {
                    Some(at) => used[at] = true,
                    None => wrong.push(format!("crates/{name}:{}: `{word}`", number + 1)),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "these may block a worker; do them beside it:\n{}", wrong.join("\n"));
    let unused: Vec<_> = ALLOWED.iter().zip(used).filter(|(_, used)| !used).map(|(allowed, _)| allowed).collect();
    assert!(unused.is_empty(), "these are allowed and not there: {unused:?}");
}
