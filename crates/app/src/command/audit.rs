//! `sekisho audit`

use std::path::Path;
use std::time::Duration;

use sekisho_acts::command::{Command, Outcome};
use sekisho_acts::question::RecordRow;
use sekisho_protocol::audit::{Actor, Event, Verdict};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::env::{Clock as _, Timestamp};
use sekisho_protocol::ids::RequestId;
use sekisho_protocol::text::for_terminal;

use super::names::Names;
use super::unexpected;
use crate::cli::{AuditCommand, Common, ExportFormat};
use crate::error::CommandError;
use crate::os::SystemClock;
use crate::{control, heads};

/// How often to ask for new records while following them.
const EVERY: Duration = Duration::from_millis(500);
/// How many records are asked for at a time.
const PAGE: u32 = 500;

/// Performs one of the `audit` commands.
pub(crate) async fn perform(common: &Common, command: AuditCommand) -> Result<(), CommandError> {
    match command {
        AuditCommand::Arguments { request } => arguments(common, request).await,
        AuditCommand::Export { request, format } => export(common, request, format).await,
        AuditCommand::Prune { older_than } => prune(common, &older_than).await,
        AuditCommand::Tail { lines, once } => tail(common, lines, once).await,
        AuditCommand::Verify { checkpoint } => verify(common, checkpoint.as_deref()).await,
    }
}

async fn export(common: &Common, request: Option<RequestId>, format: ExportFormat) -> Result<(), CommandError> {
    let mut after = 0;
    if format == ExportFormat::Csv {
        say!("{}", CSV.join(","));
    }
    loop {
        let records = page(common, Command::AuditList { after, limit: PAGE, request }).await?;
        let Some(last) = records.last() else { return Ok(()) };
        after = last.seq;
        match format {
            ExportFormat::Csv => records.iter().for_each(|row| say!("{}", csv(row))),
            ExportFormat::Jsonl => records.iter().try_for_each(super::print_json)?,
        }
    }
}

/// The columns of the CSV output; each is a member of the record or of its event.
const CSV: [&str; 17] = [
    "seq", "node", "at", "request", "kind", "subject", "client", "grant", "task", "server", "method", "target",
    "verdict", "set", "why", "status", "detail",
];

/// Returns one record as a line of CSV (RFC 4180).
fn csv(row: &RecordRow) -> String {
    let record = serde_json::to_value(&row.record).unwrap_or_default();
    let event = record.get("event").cloned().unwrap_or_default();
    let cell = |name: &str| match name {
        "seq" => row.seq.to_string(),
        "node" => row.node.to_string(),
        name => {
            let found = record.get(name).or_else(|| event.get(name));
            let other = || event.get(if name == "detail" { "act" } else { "" });
            match found.or_else(other) {
                None | Some(serde_json::Value::Null) => String::new(),
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
            }
        }
    };
    CSV.iter().map(|name| quoted(&cell(name))).collect::<Vec<_>>().join(",")
}

/// Returns a CSV cell: on one line, without control characters. Text that a spreadsheet would take for a formula gets a
/// leading `'`; some spreadsheets also accept the full-width forms of the formula characters (ATK-95).
fn quoted(text: &str) -> String {
    const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let text = for_terminal(text);
    let text = if text.trim_start().starts_with(FORMULA) { format!("'{text}") } else { text.into_owned() };
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

async fn arguments(common: &Common, request: RequestId) -> Result<(), CommandError> {
    match control::act(common, Command::AuditArguments { request }).await? {
        Outcome::Arguments { text: Some(text) } => crate::say::json(&text),
        Outcome::Arguments { text: None } => {
            return Err(CommandError::no(format!("the arguments of `{request}` were not kept, or are not any more")));
        }
        other => return Err(unexpected(&other)),
    }
    Ok(())
}

async fn prune(common: &Common, older_than: &str) -> Result<(), CommandError> {
    let seconds = super::seconds(older_than)?;
    let now = SystemClock.now();
    let before = Timestamp::from_second(now.as_second().saturating_sub(i64::from(seconds))).unwrap_or(now);
    match control::act(common, Command::AuditPrune { before }).await? {
        outcome @ Outcome::Done { .. } if common.json => super::print_json(&outcome),
        Outcome::Done { count } => {
            say!("{count} records removed; where the chain begins now is sealed");
            Ok(())
        }
        other => Err(unexpected(&other)),
    }
}

async fn verify(common: &Common, checkpoint: Option<&Path>) -> Result<(), CommandError> {
    let heads = match checkpoint {
        None => Vec::new(),
        Some(path) => {
            let bad = |error: &dyn std::fmt::Display| {
                CommandError::usage(format!("`{}`: {error}", path.display()), "name the file that `audit.heads` writes")
            };
            let text = std::fs::read_to_string(path).map_err(|error| bad(&error))?;
            heads::read(&text).map_err(|error| bad(&error))?
        }
    };
    let (chains, uncompared) = match control::act(common, Command::AuditVerify { heads }).await? {
        Outcome::Audit { chains, uncompared } => (chains, uncompared),
        other => return Err(unexpected(&other)),
    };
    if common.json {
        super::print_json(&chains)?;
    }
    let mut wrong = Vec::new();
    for chain in &chains {
        let broken = chain.broken_at.map(|at| format!("record {at} or one written with it is missing or was changed"));
        wrong.extend([&broken, &chain.contradicted].into_iter().flatten().map(|why| format!("{}: {why}", chain.node)));
    }
    if !wrong.is_empty() {
        return Err(CommandError::no(wrong.join("\n")));
    }
    if !common.json {
        for chain in &chains {
            let (records, head) = (chain.records.unwrap_or_default(), chain.head.as_deref().unwrap_or_default());
            let heads = if chain.heads > 0 { format!(", as {} signed heads say", chain.heads) } else { String::new() };
            say!("{}: {records} records as they were written{heads}, head {head}", chain.node);
        }
    }
    if let Some(why) = uncompared {
        tell!(
            "not compared with a second place: {why}. Only that shows a chain that was removed or whose end was cut off; \
             give kept heads with --checkpoint FILE"
        );
    }
    Ok(())
}

async fn tail(common: &Common, lines: u32, once: bool) -> Result<(), CommandError> {
    let mut after = 0;
    let mut next = Command::AuditList { after: -1, limit: lines, request: None };
    let mut names = if common.json { Names::default() } else { Names::read(common).await };
    loop {
        let rows = page(common, next).await?;
        // A user or client was added after the names were read. They are read again once for all records of this page.
        if !common.json && rows.iter().any(|row| !known(&names, row)) {
            names = Names::read(common).await;
        }
        for row in rows {
            after = row.seq;
            if common.json { super::print_json(&row)? } else { say!("{}", line(&row, &names)) }
        }
        if once {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
        next = Command::AuditList { after, limit: PAGE, request: None };
    }
}

async fn page(common: &Common, command: Command) -> Result<Vec<RecordRow>, CommandError> {
    match control::act(common, command).await? {
        Outcome::Records { records } => Ok(records),
        other => Err(unexpected(&other)),
    }
}

fn known(names: &Names, row: &RecordRow) -> bool {
    match &row.record.event {
        Event::Act(event) => {
            let actor = match event.actor {
                Actor::User(user) => names.know(Some(&Subject::User(user)), None),
                _ => true,
            };
            names.know(event.subject.as_ref(), event.client.as_ref()) && actor
        }
        Event::Decision(decision) => names.know(Some(&decision.subject), decision.client.as_ref()),
        _ => true,
    }
}

/// One record on one line, with names beside identifiers; control characters of foreign texts are escaped (ATK-95).
fn line(row: &RecordRow, names: &Names) -> String {
    let at = row.record.at.strftime("%F %T");
    let what = match &row.record.event {
        Event::Act(event) => {
            let kind = event.act.as_str().replace('_', " ");
            let by = match event.actor {
                Actor::User(user) => format!(" by {}", names.subject(&Subject::User(user))),
                actor => format!(" by {actor}"),
            };
            let client = event.client.as_ref().map(|client| format!(" {}", names.client(client))).unwrap_or_default();
            let server = event.server.as_ref().map(|server| format!(" at {server}")).unwrap_or_default();
            let who = event.subject.as_ref().map(|subject| format!(" for {}", names.subject(subject)));
            let scopes = if event.scopes.is_empty() { String::new() } else { format!(" [{}]", event.scopes) };
            let detail = if event.detail.is_empty() { String::new() } else { format!(" ({})", event.detail) };
            format!("{kind}{by}{client}{server}{scopes}{}{detail}", who.unwrap_or_default())
        }
        Event::Decision(decision) => {
            let verdict = match decision.verdict {
                Verdict::Ask => "ask",
                Verdict::Deny => "deny",
                Verdict::Permit => "permit",
                Verdict::StepUp => "step up",
            };
            let set = decision
                .set
                .and_then(|set| serde_json::to_value(set).ok())
                .and_then(|set| set.as_str().map(|set| format!(" by {set}")));
            let target = decision.target.as_deref().unwrap_or("-");
            let client = decision.client.as_ref().map(|client| format!(" through {}", names.client(client)));
            format!(
                "{verdict}{} {} {} {target} for {}{}",
                set.unwrap_or_default(),
                decision.server,
                decision.method,
                names.subject(&decision.subject),
                client.unwrap_or_default()
            )
        }
        Event::Outcome(outcome) => format!(
            "{} answered {} after {} ms, {} bytes",
            outcome.server, outcome.status, outcome.millis, outcome.bytes
        ),
        Event::Rejection(rejection) => {
            format!("rejected {} {} {}", rejection.status, rejection.reason, rejection.detail)
        }
        Event::Child { server, act, detail } => format!("child of {server} {act} {detail}"),
        Event::ClockSet { from, to } => format!("the clock was set from {from} to {to}"),
        Event::Refusals(refused) => {
            let source = refused.source.as_deref().unwrap_or("other addresses");
            format!("{} more of {} from {source}", refused.count, refused.what)
        }
    };
    format!("{at}  {}  {}", row.record.request, super::visible(&what))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    /// ATK-95: a stranger's text stays text in the CSV output, whichever program opens it.
    #[test]
    fn a_cell_is_text() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a,\"b\"\nc"), "\"a,\"\"b\"\"\\nc\"");
        assert_eq!(quoted("a\u{1b}[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
        for formula in ["+1", "@SUM(A1)", "\t=1", " =1", "＝1", "－1", "＋1", "＠x"] {
            assert!(quoted(formula).starts_with(['\'', '\\']), "{formula}");
        }
        assert_eq!(quoted("=cmd()"), "'=cmd()");
        assert_eq!(quoted("-1,2"), "\"'-1,2\"");
    }
}
