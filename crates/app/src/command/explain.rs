//! `sekisho explain`

use sekisho_console::acts::{Act, Explained, Outcome, Question, RecordRow};
use sekisho_picture::sets::{Captions, Chosen, Member, SetsFigure, SvgUse};
use sekisho_protocol::audit::{Decision, Event};
use sekisho_protocol::ids::RequestId;
use sekisho_protocol::refusal::SetName;
use serde_json::Value;

use super::{print_json, unexpected};
use crate::cli::{Common, ExplainArguments, ExplainFormat};
use crate::control;
use crate::error::CommandError;

/// Explains a call that could be, or one that was.
pub(crate) async fn explain(common: &Common, arguments: &ExplainArguments) -> Result<(), CommandError> {
    if let Some(request) = arguments.request {
        return recorded(common, request).await;
    }
    let missing = |what: &str| CommandError::usage(format!("`--{what}` is missing"), "see `sekisho explain --help`");
    let question = Question {
        user: arguments.user.clone().ok_or_else(|| missing("user"))?,
        client: arguments.client.clone(),
        server: arguments.server.clone().ok_or_else(|| missing("server"))?,
        tool: arguments.tool.clone().ok_or_else(|| missing("tool"))?,
        arguments: arguments.arguments.clone(),
    };
    let explained = match control::act(common, Act::Explain(question.clone())).await? {
        Outcome::Explained(explained) => explained,
        other => return Err(unexpected(&other)),
    };
    match arguments.format {
        _ if common.json => print_json(&explained)?,
        ExplainFormat::Mermaid => anstream::println!("{}", figure(&question, &explained).to_mermaid()),
        ExplainFormat::Svg => anstream::println!("{}", figure(&question, &explained).to_svg(SvgUse::Standalone)),
        ExplainFormat::Text => say(&explained),
    }
    if decision(&explained) == "permit" { Ok(()) } else { Err(CommandError::no(String::new())) }
}

fn decision(explained: &Explained) -> &str {
    explained.explanation["decision"].as_str().unwrap_or_default()
}

fn say(explained: &Explained) {
    let said = &explained.explanation;
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().map(word).collect::<Vec<_>>().join(", ")
    };
    let inside = |value: &Value| if value["inside"] == true { "inside" } else { "outside" };
    let spoke = said["set"].as_str().map_or_else(String::new, |set| format!(" (set: {set})"));
    anstream::println!("{}{spoke}", decision(explained).replace('_', " "));
    let (rights, grant, need) = (&said["rights"], &said["grant"], &said["need"]);
    let mut because = list(&rights["because"]);
    if rights["exists"] == false {
        because = "there is no such tool, or it is held back".to_owned();
    } else if because.is_empty() {
        because = "no rule permits it".to_owned();
    }
    let reasons = list(&rights["reasons"]);
    let reasons = if reasons.is_empty() { reasons } else { format!(": {reasons}") };
    anstream::println!("  rights  {:<8} {because}{reasons}", inside(rights));
    for (member, words) in [("approval", "asks for approval"), ("task_required", "wants a task")] {
        if let Some(rule) = rights[member].as_str() {
            anstream::println!("                   {rule} {words}");
        }
    }
    let through = match (&explained.grant, &explained.client) {
        (Some(id), Some(client)) => format!("{id} of {client}: {}", word(&grant["scopes"])),
        _ => "nothing was granted".to_owned(),
    };
    anstream::println!("  grant   {:<8} needs {}; {through}", inside(grant), word(&grant["needed"]));
    if need["declared"] == true {
        let why = need["why"].as_str().map_or_else(String::new, |why| format!(": {why}"));
        anstream::println!("  need    {:<8} {}{why}", inside(need), list(&need["purposes"]));
    } else {
        anstream::println!("  need    undeclared: no task bounds it");
    }
}

/// The three sets with the server's tools in them.
fn figure(question: &Question, explained: &Explained) -> SetsFigure {
    let said = &explained.explanation;
    let member = |tool: &sekisho_console::acts::Standing| Member {
        name: tool.name.clone(),
        rights: tool.rights,
        grant: tool.grant,
        need: tool.need,
        detail: None,
    };
    let refused_by = match said["set"].as_str() {
        Some("grant") => Some(SetName::Grant),
        Some("need") => Some(SetName::Need),
        Some("rights") => Some(SetName::Rights),
        _ => None,
    };
    let purposes = said["need"]["purposes"].as_array().and_then(|all| all.last()).and_then(Value::as_str);
    SetsFigure {
        server: question.server.to_string(),
        captions: Captions::default(),
        who: [
            question.user.clone(),
            explained.client.as_ref().map(ToString::to_string).unwrap_or_default(),
            purposes.unwrap_or_default().to_owned(),
        ],
        need_declared: said["need"]["declared"] == true,
        members: explained.tools.iter().map(member).collect(),
        chosen: Some(Chosen { name: question.tool.clone(), refused_by }),
    }
}

/// What the records say of a request.
async fn recorded(common: &Common, request: RequestId) -> Result<(), CommandError> {
    let act = Act::AuditList { after: 0, limit: 100, request: Some(request) };
    let records = match control::act(common, act).await? {
        Outcome::Records { records } => records,
        other => return Err(unexpected(&other)),
    };
    if records.is_empty() {
        return Err(CommandError::no(format!("no record of `{request}`")));
    }
    if common.json {
        return records.iter().try_for_each(print_json);
    }
    for RecordRow { record, .. } in &records {
        match &record.event {
            Event::Decision(decision) => say_decision(decision),
            Event::Outcome(outcome) => {
                anstream::println!("  then    {:?}, status {}, {} ms", outcome.result, outcome.status, outcome.millis);
            }
            Event::Rejection(rejection) => {
                anstream::println!("not a call (status {}): {}", rejection.status, rejection.reason);
            }
            other => anstream::println!("{}", serde_json::to_string(other).unwrap_or_default()),
        }
    }
    Ok(())
}

fn say_decision(decision: &Decision) {
    let verdict = serde_json::to_value(decision.verdict).ok();
    let verdict = verdict.as_ref().and_then(Value::as_str).unwrap_or_default().replace('_', " ");
    let spoke = decision.set.map_or_else(String::new, |set| format!(" (set: {})", lower(&set)));
    anstream::println!("{verdict}{spoke}: {} {}", decision.method, decision.target.as_deref().unwrap_or_default());
    anstream::println!(
        "  who     {} through {}",
        decision.subject,
        decision.client.as_ref().map_or("nobody", |id| id.as_str())
    );
    anstream::println!("  rights  {}", decision.because.join(", "));
    if !decision.scopes.is_empty() {
        anstream::println!("  grant   needs {}", decision.scopes);
    }
    anstream::println!("  need    {}", lower(&decision.need));
    if let Some(why) = &decision.why {
        anstream::println!("  why     {}", why.replace('_', " "));
    }
    if let Some(observed) = &decision.observed {
        anstream::println!("  observed only; `{}` would have refused it", observed.replace('_', " "));
    }
}

fn lower(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}
