//! `sekisho doctor`

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use sekisho_client::doctor::{
    Depth, Diagnosis, ExamineError, Finding, Insider, Level, RecordingBrowser, RowState, Shared,
};
use sekisho_client::http::{HttpClient, Recording};
use sekisho_client::legs::{error_summary, path, request_summary};
use sekisho_client::login::{Login, LoginParts};
use sekisho_client::token_store::MemoryStore;
use sekisho_picture::sequence::Sequence;
use sekisho_protocol::env::Clock as _;
use serde_json::{Value, json};

use super::{print_json, visible};
use crate::cli::{Common, DiagramFormat, DoctorArguments, DoctorFormat};
use crate::error::CommandError;
use crate::os::{OsEntropy, SystemClock};
use crate::outside::{self, Terminal, failed};
use crate::telemetry;

/// Examines a server and prints the findings.
pub(crate) async fn examine(common: &Common, arguments: &DoctorArguments) -> Result<(), CommandError> {
    telemetry::start_quiet();
    let server = outside::server(&arguments.url)?;
    let http = Arc::new(Recording::new(arguments.client.http()?));
    let insider = if arguments.login { Some(insider(arguments, &http).await?) } else { None };
    let depth = Depth { register: arguments.register || arguments.login, login: insider.as_ref() };
    let diagnosis = sekisho_client::doctor::examine(&http, &server, depth).await.map_err(|error| match &error {
        ExamineError::NotThere { .. } => {
            CommandError::environment(error.to_string(), "see the path: many servers are at /mcp, and some at /")
        }
        ExamineError::Unreachable { .. } => failed(&error),
    })?;
    if let Some(file) = &arguments.diagram {
        write(file, &DiagramFormat::of(file).write(&diagram(&diagnosis)))?;
    }
    match arguments.format {
        _ if common.json => print_json(&report(&diagnosis))?,
        DoctorFormat::Markdown => say_part!("{}", markdown(&diagnosis)),
        DoctorFormat::Sarif => print_json(&sarif(&diagnosis))?,
        DoctorFormat::Text => say(&diagnosis),
    }
    let least = if arguments.strict { Level::Should } else { Level::Must };
    if diagnosis.broken(least).next().is_some() { Err(CommandError::no("")) } else { Ok(()) }
}

/// Logs in with a temporary token store, so that nothing is left behind.
async fn insider<H: HttpClient + 'static>(
    arguments: &DoctorArguments,
    http: &Arc<Recording<H>>,
) -> Result<Insider, CommandError> {
    let instead = "there is neither a browser nor a terminal here";
    let browser = Terminal { browser: !arguments.no_browser, paste: true, instead };
    let seen = RecordingBrowser::new(Box::new(browser));
    let (identity, grant) = arguments.client.who(&**http).await?;
    let login = Login::new(LoginParts {
        http: Arc::clone(http) as Arc<dyn HttpClient>,
        store: Arc::new(MemoryStore::default()),
        browser: Arc::new(Shared(Arc::clone(&seen))),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
        identity,
        grant,
    });
    Ok(Insider { login, seen })
}

fn write(file: &Path, text: &str) -> Result<(), CommandError> {
    std::fs::write(file, text).map_err(|error| {
        CommandError::environment(format!("`{}` cannot be written: {error}", file.display()), "name another file")
    })
}

/// Draws the messages that really went over the wire.
fn diagram(diagnosis: &Diagnosis) -> Sequence {
    let mut sequence = Sequence::new(&format!("Examination of {}", diagnosis.server));
    for step in &diagnosis.steps {
        let party = step.party.name();
        let asked =
            format!("{} {}{} ({})", step.leg.method, path(&step.leg.url), request_summary(&step.leg), step.clause);
        sequence.message("Doctor", party, &asked);
        let status = step.leg.outcome.as_ref().map_or_else(String::clone, ToString::to_string);
        sequence.answer(party, "Doctor", &format!("{status}{}", error_summary(&step.leg)));
    }
    sequence
}

fn today() -> jiff::civil::Date {
    SystemClock.now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn word(standing: RowState) -> &'static str {
    match standing {
        RowState::Broken => "broken",
        RowState::Met => "met",
        RowState::NotVisible => "not visible",
    }
}

fn weight(level: Level) -> &'static str {
    match level {
        Level::May => "MAY",
        Level::Must => "MUST",
        Level::Should => "SHOULD",
    }
}

fn counts(diagnosis: &Diagnosis) -> String {
    let of = |standing| diagnosis.findings.iter().filter(|finding| finding.standing == standing).count();
    format!("{} met, {} broken, {} not visible", of(RowState::Met), of(RowState::Broken), of(RowState::NotVisible))
}

/// Groups the rows that could not be examined by their reason: each reason once, with its rows.
fn unseen(diagnosis: &Diagnosis) -> Vec<(&str, Vec<&'static str>)> {
    let mut all: Vec<(&str, Vec<&'static str>)> = Vec::new();
    for finding in diagnosis.findings.iter().filter(|finding| finding.evidence == finding.row.unseen) {
        match all.iter_mut().find(|(why, _)| *why == finding.evidence) {
            Some((_, rows)) => rows.push(finding.row.id),
            None => all.push((&finding.evidence, vec![finding.row.id])),
        }
    }
    all
}

fn is_among(unseen: &[(&str, Vec<&'static str>)], finding: &Finding) -> bool {
    finding.standing == RowState::NotVisible && unseen.iter().any(|(_, rows)| rows.contains(&finding.row.id))
}

fn say(diagnosis: &Diagnosis) {
    say_lines!("{}", diagnosis.server);
    if let Some(issuer) = &diagnosis.issuer {
        say_lines!("  access is granted by {}", visible(issuer));
    }
    say!();
    let unseen = unseen(diagnosis);
    for finding in diagnosis.findings.iter().filter(|finding| !is_among(&unseen, finding)) {
        let Finding { row, standing, evidence } = finding;
        say_lines!("{:<6} {:<6} {:<11}  {}", row.id, weight(row.level), word(*standing), row.says);
        if *standing == RowState::Broken {
            say_lines!("{:27}seen    {}", "", visible(evidence));
            say_lines!("{:27}change  {} ({})", "", row.change, row.clause);
        } else if *standing == RowState::NotVisible {
            say_lines!("{:27}{}", "", visible(evidence));
        }
    }
    for (why, rows) in &unseen {
        say_lines!("\n{} not visible: {why}", rows.join(", "));
    }
    for trapped in &diagnosis.traps {
        say_lines!("\ntrap: {}", trapped.title);
        say_lines!("  seen    {}", visible(&trapped.evidence));
        say_lines!("  change  {}", trapped.change);
        for told in diagnosis.consequences.iter().filter(|told| told.trap == trapped.trap) {
            let age = if told.is_unverified(today()) { ", not verified any more" } else { "" };
            say_lines!("  {}: {} ({}, {}{age})", told.client, told.does, told.source, told.checked);
        }
    }
    say_lines!("\n{}", counts(diagnosis));
}

fn report(diagnosis: &Diagnosis) -> Value {
    let mut report = serde_json::to_value(diagnosis).unwrap_or_default();
    let told = report.get_mut("consequences").and_then(Value::as_array_mut).into_iter().flatten();
    for (told, consequence) in told.zip(&diagnosis.consequences) {
        if let Some(members) = told.as_object_mut() {
            members.insert("unverified".to_owned(), json!(consequence.is_unverified(today())));
        }
    }
    report
}

/// Escapes foreign text for a table cell or a sentence beside it: no markup, and above all no picture, which the
/// reader's program would fetch (ATK-232).
fn cell(text: &str) -> String {
    let mut out = visible(text).replace('\\', "\\\\");
    for (markup, plain) in [("|", "\\|"), ("<", "&lt;"), ("![", "!\\["), ("](", "]\\("), ("][", "]\\["), ("]:", "]\\:")]
    {
        out = out.replace(markup, plain);
    }
    out
}

fn markdown(diagnosis: &Diagnosis) -> String {
    let mut out = format!("{}\n\n", counts(diagnosis));
    if let Some(issuer) = &diagnosis.issuer {
        let _ = writeln!(out, "Access to `{}` is granted by `{}`.\n", cell(&diagnosis.server), cell(issuer));
    }
    out.push_str("| Row | Weight | Stands | Asks that | Seen |\n|---|---|---|---|---|\n");
    let unseen = unseen(diagnosis);
    let seen = diagnosis.findings.iter().filter(|finding| !is_among(&unseen, finding));
    for Finding { row, standing, evidence } in seen {
        let stands = word(*standing);
        let _ = writeln!(out, "| {} | {} | {stands} | {} | {} |", row.id, weight(row.level), row.says, cell(evidence));
    }
    for (why, rows) in &unseen {
        let _ = writeln!(out, "\nNot visible, because {why}: {}.", rows.join(", "));
    }
    for trapped in &diagnosis.traps {
        let _ = writeln!(out, "\n**{}**: {}. {}.", trapped.title, cell(&trapped.evidence), trapped.change);
        for told in diagnosis.consequences.iter().filter(|told| told.trap == trapped.trap) {
            let _ = writeln!(out, "- {}: {} ([source]({}), {})", told.client, told.does, told.source, told.checked);
        }
    }
    out
}

/// Returns the diagnosis as SARIF 2.1.0 for code scanning: the broken rows as results, all rows as rules.
fn sarif(diagnosis: &Diagnosis) -> Value {
    let rule = |finding: &Finding| {
        json!({ "id": finding.row.id, "shortDescription": { "text": finding.row.says },
            "help": { "text": format!("{} ({})", finding.row.change, finding.row.clause) } })
    };
    let result = |finding: &Finding| {
        let level = if finding.row.level == Level::Must { "error" } else { "warning" };
        json!({ "ruleId": finding.row.id, "level": level, "message": { "text": format!("{}: {}", finding.row.says, finding.evidence) },
            "locations": [{ "physicalLocation": { "artifactLocation": { "uri": diagnosis.server } } }] })
    };
    let broken = diagnosis.findings.iter().filter(|finding| finding.standing == RowState::Broken);
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "sekisho doctor", "version": env!("CARGO_PKG_VERSION"),
                "rules": diagnosis.findings.iter().map(rule).collect::<Vec<_>>() } },
            "results": broken.map(result).collect::<Vec<_>>(),
        }],
    })
}
