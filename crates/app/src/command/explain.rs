//! `sekisho explain`

use sekisho_acts::command::{Command, Outcome};
use sekisho_acts::question::{Explained, Question, RecordRow, ToolSets};
use sekisho_picture::sets::{Captions, Chosen, Member, SetsFigure, SvgUse};
use sekisho_policy::explain::{Explanation, UnreadSays};
use sekisho_protocol::audit::{Decision, Event, Verdict};
use sekisho_protocol::ids::RequestId;

use super::names::Names;
use super::{print_json, unexpected};
use crate::cli::{Common, ExplainArguments, ExplainFormat};
use crate::error::CommandError;
use crate::{control, say};

/// Explains a possible call, or a recorded one.
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
    let explained =
        match control::judge(common, arguments.config.as_deref(), Command::Explain(question.clone())).await? {
            Outcome::Explained(explained) => explained,
            other => return Err(unexpected(&other)),
        };
    match arguments.format {
        _ if common.json => print_json(&explained)?,
        ExplainFormat::Mermaid => say::lines(&figure(&question, &explained).to_mermaid()),
        ExplainFormat::Svg => say::lines(&figure(&question, &explained).to_svg(SvgUse::Standalone)),
        // A configuration may have its own data directory, so the names in ours would be the wrong ones.
        ExplainFormat::Text if arguments.config.is_some() => say(&explained, &Names::default()),
        ExplainFormat::Text => say(&explained, &Names::read(common).await),
    }
    // The exit code says whether the call would be permitted.
    if explained.explanation.decision == Verdict::Permit { Ok(()) } else { Err(CommandError::no("")) }
}

fn say(explained: &Explained, names: &Names) {
    let Explanation { decision, set, rights, grant, need, invalid, observed } = &explained.explanation;
    let spoke = set.map_or_else(String::new, |set| format!(" (set: {})", lower(&set)));
    say!("{}{spoke}", verdict(*decision));
    if let Some(invalid) = invalid {
        say!("  call    {invalid}");
    }
    let inside = |inside: bool| if inside { "inside" } else { "outside" };
    let because = match (rights.exists, rights.broken.is_empty(), rights.because.is_empty()) {
        _ if rights.held => "the tool is new or changed, and held back until an owner accepts it".to_owned(),
        (false, ..) if explained.tools.is_empty() => {
            "it is not known which tools the server has: it was never asked, or does not answer".to_owned()
        }
        (false, ..) => "there is no such tool".to_owned(),
        (_, false, _) => format!("cannot be evaluated: {}", rights.broken.join(", ")),
        (.., true) => "no rule permits it".to_owned(),
        (.., false) => rights.because.join(", "),
    };
    let reasons = rights.reasons.iter().map(|reason| format!(": {reason}")).collect::<String>();
    say!("  rights  {:<8} {because}{reasons}", inside(rights.inside));
    for (rule, wants) in [(&rights.approval, "asks for approval"), (&rights.task_required, "wants a task")] {
        if let Some(rule) = rule {
            say!("                   {rule} {wants}");
        }
    }
    for unread in &rights.unread {
        let UnreadSays { rule, argument } = unread;
        say!("                   {rule} cannot compare the argument `{}` as it is sent", argument.escape_debug());
    }
    let through = match (&explained.grant, &explained.client) {
        (Some(id), Some(client)) => {
            let by = explained.issuer.as_ref().map_or_else(String::new, |issuer| format!(", let in by {issuer}"));
            format!("{id} of {}{by}: {}", names.client(client), grant.scopes)
        }
        _ => "nothing was granted".to_owned(),
    };
    say!("  grant   {:<8} needs {}; {through}", inside(grant.inside), grant.needed);
    if need.declared {
        let why = need.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        say!("  need    {:<8} {}{why}", inside(need.inside), need.purposes.join(", "));
    } else {
        say!("  need    undeclared: no task bounds it");
    }
    if let Some(observed) = observed {
        say!("  observed only; `{}` would refuse it", observed.replace('_', " "));
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ask => "ask",
        Verdict::Deny => "deny",
        Verdict::Permit => "permit",
        Verdict::StepUp => "step up",
    }
}

/// Returns the figure of the three sets with the server's tools in them.
fn figure(question: &Question, explained: &Explained) -> SetsFigure {
    let said = &explained.explanation;
    let member = |tool: &ToolSets| Member {
        name: tool.name.clone(),
        rights: tool.rights,
        grant: tool.grant,
        need: tool.need,
        detail: None,
    };
    SetsFigure {
        server: question.server.to_string(),
        captions: Captions::default(),
        who: [
            question.user.clone(),
            explained.client.as_ref().map(ToString::to_string).unwrap_or_default(),
            said.need.purposes.last().cloned().unwrap_or_default(),
        ],
        need_declared: said.need.declared,
        members: explained.tools.iter().map(member).collect(),
        chosen: Some(Chosen { name: question.tool.clone(), refused_by: said.set }),
    }
}

/// Prints what the records say about a request.
async fn recorded(common: &Common, request: RequestId) -> Result<(), CommandError> {
    let act = Command::AuditList { after: 0, limit: 100, request: Some(request) };
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
    let names = Names::read(common).await;
    for RecordRow { record, .. } in &records {
        match &record.event {
            Event::Decision(decision) => say_decision(decision, &names),
            Event::Outcome(outcome) => {
                say!("  then    {:?}, status {}, {} ms", outcome.result, outcome.status, outcome.millis);
            }
            Event::Rejection(rejection) => {
                say!("not a call (status {}): {}", rejection.status, rejection.reason);
            }
            other => crate::say::json(&serde_json::to_string(other).unwrap_or_default()),
        }
    }
    Ok(())
}

fn say_decision(decision: &Decision, names: &Names) {
    let spoke = decision.set.map_or_else(String::new, |set| format!(" (set: {})", lower(&set)));
    say!(
        "{}{spoke}: {} {}",
        verdict(decision.verdict),
        decision.method,
        decision.target.as_deref().unwrap_or_default()
    );
    let client = decision.client.as_ref().map_or_else(|| "nobody".to_owned(), |client| names.client(client));
    say!("  who     {} through {client}", names.subject(&decision.subject));
    if let Some(issuer) = &decision.issuer {
        say!("  token   of {issuer}");
    }
    say!("  rights  {}", super::rules(&decision.because));
    if !decision.scopes.is_empty() {
        say!("  grant   needs {}", decision.scopes);
    }
    say!("  need    {}", lower(&decision.need));
    if let Some(why) = &decision.why {
        say!("  why     {}", why.as_str().replace('_', " "));
    }
    if let Some(observed) = &decision.observed {
        say!("  observed only; `{}` would have refused it", observed.as_str().replace('_', " "));
    }
}

fn lower(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}
