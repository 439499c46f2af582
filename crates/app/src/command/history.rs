//! `sekisho advise` and `sekisho replay`: what the records say.

use std::collections::BTreeMap;
use std::path::Path;

use sekisho_acts::command::{Command, Outcome};
use sekisho_acts::question::Report;
use sekisho_policy::advise::{Advice, Proposal};
use sekisho_policy::replay::Replayed;
use sekisho_protocol::env::{Clock as _, Timestamp};

use super::{print_json, unexpected, visible};
use crate::cli::{Common, ReplayArguments, SinceArguments};
use crate::config::{Template, UNREAD_HELP, policy_files};
use crate::error::CommandError;
use crate::os::SystemClock;
use crate::{control, say};

/// Performs `sekisho advise`.
pub(crate) async fn advise(common: &Common, arguments: &SinceArguments) -> Result<(), CommandError> {
    let act = Command::Advise { since: since(&arguments.since)? };
    let advice = match control::judge(common, arguments.config.as_deref(), act).await? {
        Outcome::Advice { advice } => advice,
        other => return Err(unexpected(&other)),
    };
    if common.json {
        return print_json(&advice);
    }
    if advice.is_empty() {
        say!("nothing to say: no calls are on record, or they used all that was granted");
    }
    for (at, one) in advice.iter().enumerate() {
        if at > 0 {
            say!();
        }
        say::lines(&text(one));
    }
    Ok(())
}

/// Returns one proposal as text that can be applied as it is; its evidence stands there as comments.
pub(crate) fn text(advice: &Advice) -> String {
    let mark = match advice.proposal {
        Proposal::Policy(_) => "//",
        Proposal::Look | Proposal::Scopes(_) | Proposal::Task(_) => "#",
    };
    let mut lines = vec![format!("{mark} {}: {}", advice.server, visible(&advice.what))];
    lines.extend(advice.evidence.iter().map(|line| format!("{mark}   {}", visible(line))));
    lines.extend(advice.undecidable.iter().map(|line| format!("{mark}   undecidable: {}", visible(line))));
    lines.extend(change(advice));
    lines.join("\n")
}

/// Returns the change itself: a piece of `sekisho.toml`, or a policy file.
pub(crate) fn change(advice: &Advice) -> Option<String> {
    let server = &advice.server;
    let text = match &advice.proposal {
        Proposal::Look => return None,
        Proposal::Policy(text) => text.clone(),
        Proposal::Scopes(scopes) => {
            let scopes: Vec<String> = scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
            format!("[servers.{server}]\nscopes_default = {}", toml::Value::from(scopes))
        }
        Proposal::Task(definition) => {
            let template = Template::of(definition);
            let table = toml::to_string(&BTreeMap::from([("template", &template)])).ok()?;
            table.replace("[template", &format!("[servers.{server}.templates.used"))
        }
    };
    Some(text.trim_end().to_owned())
}

/// Performs `sekisho replay`.
pub(crate) async fn replay(common: &Common, arguments: &ReplayArguments) -> Result<(), CommandError> {
    let files = read(&arguments.policies)?;
    let act = Command::Replay { files, since: since(&arguments.of.since)? };
    let report = match control::judge(common, arguments.of.config.as_deref(), act).await? {
        Outcome::Replayed(report) => report,
        other => return Err(unexpected(&other)),
    };
    if common.json {
        print_json(&report)?;
    } else {
        say(&report);
    }
    // Exit code 0 says that every recorded call would still pass. That is not known of a call that cannot be judged.
    let breaks = report.changes.iter().any(|change| change.becomes == Replayed::Breaks);
    let unknown = report.undecidable > 0 && !arguments.allow_undecidable;
    if breaks || unknown { Err(CommandError::no("")) } else { Ok(()) }
}

fn read(folder: &Path) -> Result<Vec<(String, String)>, CommandError> {
    let found = policy_files(folder, true).map_err(|error| {
        CommandError::usage(
            format!("`{}` cannot be read: {error}", folder.display()),
            "name a folder with policy files",
        )
    })?;
    if let Some(unread) = found.unread.iter().find(|unread| unread.is_policy) {
        return Err(CommandError::usage(unread.sentence(folder), UNREAD_HELP));
    }
    Ok(found.files.into_iter().map(|file| (file.name, file.text)).collect())
}

fn say(report: &Report) {
    for change in &report.changes {
        let becomes = match change.becomes {
            Replayed::Asks => "would ask a person",
            Replayed::Breaks => "would break",
            Replayed::Passes => "would pass",
            Replayed::Same | Replayed::Undecidable => continue,
        };
        let (who, tool) = (visible(&change.who), visible(&change.tool));
        say!("{becomes}: {who} at {} {tool}, {} calls, last {}", change.server, change.count, change.last);
    }
    let changed: u64 = report.changes.iter().map(|change| change.count).sum();
    let unjudged = report.undecidable.saturating_add(report.gone);
    let same = report.calls.saturating_sub(changed).saturating_sub(unjudged);
    say!("{} calls judged again: {same} stay as they were", report.calls);
    if report.undecidable > 0 {
        say!(
            "{} cannot be judged: the policies look at what is not on record (the address that a call came from, arguments \
             that were not kept, tasks and grants that were removed)",
            report.undecidable
        );
    }
    if report.gone > 0 {
        say!("{} are not judged: their tool or their user is not there any more", report.gone);
    }
    if report.lent > 0 {
        say!("{} were lent, and are not judged", report.lent);
    }
    if report.cut {
        say!("there are more: name a shorter time with --since");
    }
}

fn since(text: &str) -> Result<Timestamp, CommandError> {
    let now = SystemClock.now();
    let seconds = super::seconds(text)?;
    Ok(Timestamp::from_second(now.as_second().saturating_sub(i64::from(seconds))).unwrap_or(now))
}
