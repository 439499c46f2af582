//! `sekisho audit`

use std::time::Duration;

use sekisho_console::acts::{Act, Outcome, RecordRow};
use sekisho_protocol::audit::{Event, Verdict};

use super::unexpected;
use crate::cli::{AuditCommand, Common};
use crate::control;
use crate::error::CommandError;

/// How often new records are asked for.
const EVERY: Duration = Duration::from_millis(500);
/// How many records are asked for at a time.
const PAGE: u32 = 500;

/// Performs one of the commands.
pub(crate) async fn perform(common: &Common, command: AuditCommand) -> Result<(), CommandError> {
    match command {
        AuditCommand::Export { request } => {
            let mut after = 0;
            loop {
                let records = page(common, Act::AuditList { after, limit: PAGE, request }).await?;
                let Some(last) = records.last() else { return Ok(()) };
                after = last.seq;
                records.iter().try_for_each(super::print_json)?;
            }
        }
        AuditCommand::Tail { lines, once } => tail(common, lines, once).await,
        AuditCommand::Verify => verify(common).await,
    }
}

async fn verify(common: &Common) -> Result<(), CommandError> {
    let chains = match control::act(common, Act::AuditVerify).await? {
        Outcome::Audit { chains } => chains,
        other => return Err(unexpected(&other)),
    };
    if common.json {
        super::print_json(&chains)?;
    }
    let broken: Vec<String> = chains
        .iter()
        .filter_map(|chain| {
            Some(format!("{}: the record at {} is missing or not what was written", chain.node, chain.broken_at?))
        })
        .collect();
    if !broken.is_empty() {
        return Err(CommandError::no(broken.join("\n")));
    }
    if !common.json {
        for chain in &chains {
            let (records, head) = (chain.records.unwrap_or_default(), chain.head.as_deref().unwrap_or_default());
            anstream::println!("{}: {records} records as they were written, head {head}", chain.node);
        }
    }
    Ok(())
}

async fn tail(common: &Common, lines: u32, once: bool) -> Result<(), CommandError> {
    let mut after = 0;
    let mut next = Act::AuditList { after: -1, limit: lines, request: None };
    loop {
        for row in page(common, next).await? {
            after = row.seq;
            if common.json { super::print_json(&row)? } else { anstream::println!("{}", line(&row)) }
        }
        if once {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
        next = Act::AuditList { after, limit: PAGE, request: None };
    }
}

async fn page(common: &Common, act: Act) -> Result<Vec<RecordRow>, CommandError> {
    match control::act(common, act).await? {
        Outcome::Records { records } => Ok(records),
        other => Err(unexpected(&other)),
    }
}

/// One record on one line; control characters of foreign texts are escaped (ATK-95).
fn line(row: &RecordRow) -> String {
    let at = row.record.at.strftime("%F %T");
    let what = match &row.record.event {
        Event::Act { by, act, on } => format!("{by} {act} {on}"),
        Event::Authorization(event) => {
            let act =
                serde_json::to_value(event.act).ok().and_then(|word| word.as_str().map(|word| word.replace('_', " ")));
            let client = event.client.as_ref().map(ToString::to_string).unwrap_or_default();
            let detail = if event.detail.is_empty() { String::new() } else { format!(" ({})", event.detail) };
            format!("{} {client} {}{detail}", act.unwrap_or_default(), event.scopes)
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
            format!(
                "{verdict}{} {} {} {target} for {}",
                set.unwrap_or_default(),
                decision.server,
                decision.method,
                decision.subject
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
    };
    format!("{at}  {}  {}", row.record.request, super::visible(&what))
}
