//! Whether `[store] url` can be used.

use sekisho_protocol::redirect::is_loopback_host;

use super::server::Problem;

/// What is wrong, or unwise, with the URL of a database. Never says the URL itself: it may hold a password.
pub(crate) fn check(url: &str) -> Vec<Problem> {
    let problem = |message: &str, help: &str, fatal| Problem {
        key: "url",
        message: message.to_owned(),
        help: Some(help.to_owned()),
        fatal,
    };
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        let help = "write `postgres://USER@HOST/DATABASE`, or leave it out for a SQLite file in `data_dir`";
        return vec![problem("`store.url` is no PostgreSQL connection URL", help, true)];
    }
    let bare = without_references(url);
    let authority = bare.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
    let (login, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let name = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(name, _)| name);
    let mut problems = Vec::new();
    let stays_here = name.is_empty() || is_loopback_host(name);
    if !stays_here && !url.contains("sslmode=verify-full") {
        let help = "add `?sslmode=verify-full`, with `&sslrootcert=FILE` for an authority of your own";
        problems.push(problem("the connection to the database may be read or redirected on its way", help, false));
    }
    if login.split_once(':').is_some_and(|(_, password)| password != REFERENCE) {
        let help = "write `${file:PATH}` or `${env:NAME}` in its place";
        problems.push(problem("the password of the database stands in this file", help, false));
    }
    problems
}

/// What stands for a reference in a URL that is looked at. It ends no part of a URL.
const REFERENCE: &str = "$";

/// The URL with [`REFERENCE`] in place of `${file:…}` and `${env:…}`, whose paths have slashes of their own.
fn without_references(url: &str) -> String {
    let mut parts = url.split("${");
    let mut bare = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        bare.push_str(REFERENCE);
        bare.push_str(part.split_once('}').map_or("", |(_, after)| after));
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::check;

    /// What is unwise is said, and nothing of the URL itself.
    #[test]
    fn a_database_url_is_checked_without_saying_it() {
        for (url, fatal, unwise) in [
            ("postgres://sekisho@localhost/sekisho", false, 0),
            ("postgres:///sekisho?host=/run/postgresql", false, 0),
            ("postgresql://u:${file:/run/pw}@[::1]:5432/s", false, 0),
            ("postgres://u:${file:/run/a@b}@db.example/s", false, 1),
            ("postgres://u:a${env:B}@localhost/s", false, 1),
            ("postgres://u:canary@127.0.0.1/s", false, 1),
            ("postgres://u@db.example/s", false, 1),
            ("postgres://u:canary@db.example:5432/s?sslmode=require", false, 2),
            ("postgres://u@db.example/s?sslmode=verify-full", false, 0),
            ("sqlite:canary", true, 0),
            ("mysql://u:canary@db/s", true, 0),
        ] {
            let problems = check(url);
            assert_eq!(problems.iter().filter(|problem| problem.fatal).count(), usize::from(fatal), "{url}");
            assert_eq!(problems.iter().filter(|problem| !problem.fatal).count(), unwise, "{url}");
            assert!(!format!("{problems:?}").contains("canary"), "{url}");
        }
    }
}
