//! `sekisho trace`: one call, or one grant from its login on, drawn as it was. The records hold no secret, so neither
//! does the picture.

use sekisho_console::acts::{Act, Outcome, RecordRow};
use sekisho_picture::sequence::Sequence;
use sekisho_protocol::audit::{
    Authorization, AuthorizationAct, Decision, Event, Need, OutcomeResult, Rejection, Verdict, Why,
};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::{ClientId, GrantId, RequestId, ServerName};

use super::names::Names;
use super::{print_json, unexpected};
use crate::cli::{Common, DiagramFormat};
use crate::control;
use crate::error::CommandError;
use crate::say;

/// Records asked for at a time.
const PAGE: u32 = 1000;
/// Records in one picture.
const DRAWN_MAX: usize = 200;

const CLIENT: &str = "Client";
const GATEWAY: &str = "Gateway";
const ISSUER: &str = "Issuer";
const PERSON: &str = "Person";

/// Draws what the records say of a request or of a grant.
pub(crate) async fn trace(common: &Common, id: &str, format: DiagramFormat) -> Result<(), CommandError> {
    let (title, records) = match (id.parse::<RequestId>(), id.parse::<GrantId>()) {
        (Ok(request), _) => (format!("Request {request}"), all(common, Some(request)).await?),
        (_, Ok(grant)) => (format!("Grant {grant}"), of_grant(all(common, None).await?, grant)),
        _ => {
            let help = "give the id of a request (rid_…, in every answer and refusal) or of a grant (grt_…)";
            return Err(CommandError::usage(format!("`{id}` is neither a request nor a grant"), help));
        }
    };
    if records.is_empty() {
        return Err(CommandError::no(format!("no record of `{id}`")));
    }
    if common.json {
        return records.iter().try_for_each(print_json);
    }
    let sequence = drawn(&title, &records, &Names::read(common).await);
    say::lines(&format.write(&sequence));
    Ok(())
}

async fn all(common: &Common, request: Option<RequestId>) -> Result<Vec<RecordRow>, CommandError> {
    let (mut after, mut all) = (0, Vec::new());
    loop {
        let act = Act::AuditList { after, limit: PAGE, request };
        let records = match control::act(common, act).await? {
            Outcome::Records { records } => records,
            other => return Err(unexpected(&other)),
        };
        let Some(last) = records.last() else { return Ok(all) };
        after = last.seq;
        all.extend(records);
    }
}

/// What led to a grant, and what came of it: the client's registration, its person's last login before, and everything
/// under the grant.
fn of_grant(records: Vec<RecordRow>, grant: GrantId) -> Vec<RecordRow> {
    let given = records.iter().find_map(|row| match &row.record.event {
        Event::Authorization(event) if event.grant == Some(grant) => Some((event.clone(), row.seq)),
        _ => None,
    });
    let Some((given, at)) = given else { return Vec::new() };
    let is = |row: &RecordRow, act: AuthorizationAct| matches!(&row.record.event, Event::Authorization(event) if event.act == act);
    let login = records.iter().filter(|row| row.seq < at && is(row, AuthorizationAct::LoginSucceeded));
    let login = login.filter(|row| of(&row.record.event).is_some_and(|event| event.subject == given.subject));
    let login = login.map(|row| row.seq).next_back();
    // The yes came before there was a grant.
    let yes = records.iter().filter(|row| row.seq < at && is(row, AuthorizationAct::ConsentGiven));
    let yes = yes.filter(|row| of(&row.record.event).is_some_and(|event| event.client == given.client));
    let yes = yes.map(|row| row.seq).next_back();
    let requests: Vec<RequestId> =
        records.iter().filter(|row| under(&row.record.event) == Some(grant)).map(|row| row.record.request).collect();
    let belongs = |row: &RecordRow| {
        let registered = is(row, AuthorizationAct::ClientRegistered)
            && of(&row.record.event).is_some_and(|event| event.client == given.client);
        registered || [login, yes].contains(&Some(row.seq)) || requests.contains(&row.record.request)
    };
    records.into_iter().filter(belongs).take(DRAWN_MAX).collect()
}

fn of(event: &Event) -> Option<&Authorization> {
    if let Event::Authorization(event) = event { Some(event) } else { None }
}

fn under(event: &Event) -> Option<GrantId> {
    match event {
        Event::Authorization(event) => event.grant,
        Event::Decision(decision) => decision.grant,
        Event::Act { .. }
        | Event::Child { .. }
        | Event::ClockSet { .. }
        | Event::Outcome(_)
        | Event::Refusals(_)
        | Event::Rejection(_) => None,
    }
}

fn drawn(title: &str, records: &[RecordRow], names: &Names) -> Sequence {
    let mut sequence = Sequence::new(title);
    for RecordRow { record, .. } in records {
        match &record.event {
            Event::Act { by, act, on } => sequence.message(by, GATEWAY, &format!("{act} {on}")),
            Event::Authorization(event) => authorization(&mut sequence, event, names),
            Event::Child { server, act, detail } => sequence.note(server.as_str(), &format!("{act} {detail}")),
            Event::Decision(decision) => decided(&mut sequence, decision, names),
            Event::Outcome(outcome) => {
                let said = format!("{} bytes", outcome.bytes);
                let came = match outcome.result {
                    OutcomeResult::Answered => said,
                    OutcomeResult::Cancelled => "the client went away".to_owned(),
                    OutcomeResult::Error => format!("an error of the protocol, {said}"),
                    OutcomeResult::Revoked => "the authority ended on the way".to_owned(),
                    OutcomeResult::Unknown => "nobody knows: the checkpoint ended first".to_owned(),
                    OutcomeResult::Stopping => "the checkpoint stopped on the way".to_owned(),
                    OutcomeResult::Unconfirmed => "nobody could say that the authority still stood".to_owned(),
                    OutcomeResult::UpstreamFailed => "nothing that could be passed on".to_owned(),
                };
                sequence.answer(outcome.server.as_str(), GATEWAY, &came);
                let after = format!("{} after {} ms", outcome.status, outcome.millis);
                sequence.answer(GATEWAY, CLIENT, &after);
            }
            // They are of no exchange in particular.
            Event::ClockSet { .. } | Event::Refusals(_) => {}
            Event::Rejection(rejection) => rejected(&mut sequence, rejection),
        }
    }
    sequence
}

fn at(server: Option<&ServerName>) -> String {
    server.map(|server| format!(" for {server}")).unwrap_or_default()
}

fn who(names: &Names, subject: Option<&Subject>, client: Option<&ClientId>) -> String {
    let subject = subject.map(|subject| names.subject(subject)).unwrap_or_default();
    let client = client.map(|client| format!(" through {}", names.client(client))).unwrap_or_default();
    format!("{subject}{client}")
}

/// What happened at the issuer: who turned to it, and the clause that it follows.
fn authorization(sequence: &mut Sequence, event: &Authorization, names: &Names) {
    use AuthorizationAct as A;
    let about = at(event.server.as_ref());
    let scopes = if event.scopes.is_empty() { String::new() } else { format!(" [{}]", event.scopes) };
    let (from, what, clause) = match event.act {
        A::ClientRegistered => (CLIENT, "registers", "RFC 7591 §3.1"),
        A::ClientRefused => (CLIENT, "is not registered", "RFC 7591 §3.2.2"),
        A::AuthorizationRefused => (CLIENT, "authorization request refused", "OAuth 2.1 §4.1.2.1"),
        A::LoginSucceeded => (PERSON, "logs in", "OAuth 2.1 §3.1"),
        A::LoginFailed => (PERSON, "fails to log in", "OAuth 2.1 §3.1"),
        A::PasswordSet => (PERSON, "sets a password", "OAuth 2.1 §3.1"),
        A::ConsentGiven => (PERSON, "says yes", "OAuth 2.1 §4.1.1"),
        A::ConsentDenied => (PERSON, "says no", "OAuth 2.1 §4.1.2.1"),
        A::TokenIssued => (CLIENT, "gets a token", "OAuth 2.1 §3.2, RFC 9068"),
        A::TokenRefused => (CLIENT, "gets no token", "OAuth 2.1 §3.2.4"),
        A::CodeReplayed => (CLIENT, "uses a code twice", "OAuth 2.1 §4.1.3"),
        A::RefreshReplayed => (CLIENT, "uses a refresh token twice", "OAuth 2.1 §4.3.1"),
        A::GrantRevoked => (PERSON, "ends the grant", "RFC 7009"),
        A::AccessAsked => (PERSON, "asks for access", "a loan"),
        A::AccessLent => (PERSON, "lends access", "a loan"),
        A::AccessRefused => (PERSON, "refuses access", "a loan"),
        A::AccessTakenBack => (PERSON, "takes access back", "a loan"),
        A::ApprovalGiven => (PERSON, "approves the call", "an approval"),
        A::ApprovalDeclined => (PERSON, "declines the call", "an approval"),
        A::TaskBegun => (PERSON, "begins a task", "RFC 9396"),
        A::TaskFinished => (PERSON, "ends the task", "RFC 9396"),
        A::TaskResumed => (PERSON, "goes on without the task", "RFC 9396"),
        A::TaskWidened => (PERSON, "widens the task", "RFC 9396"),
        A::ArgumentsRead => (PERSON, "reads the arguments of a call", "the records"),
        A::ToolAccepted => (PERSON, "accepts a tool", "pinning"),
    };
    sequence.message(from, ISSUER, &format!("{what}{about}{scopes} ({clause})"));
    let told = who(names, event.subject.as_ref(), event.client.as_ref());
    if !told.is_empty() || !event.detail.is_empty() {
        sequence.note(ISSUER, format!("{told} {}", event.detail).trim());
    }
}

fn decided(sequence: &mut Sequence, decision: &Decision, names: &Names) {
    let target = decision.target.as_deref().unwrap_or_default();
    sequence.message(CLIENT, GATEWAY, &format!("{} {target} (MCP authorization: token requirements)", decision.method));
    let need = match decision.need {
        Need::Inside => "inside",
        Need::Outside => "outside",
        Need::Undeclared => "undeclared",
    };
    let rules = if decision.because.is_empty() { "no rule".to_owned() } else { super::rules(&decision.because) };
    let whose = who(names, Some(&decision.subject), decision.client.as_ref());
    sequence.note(GATEWAY, &format!("rights by {rules}, need {need}, of {whose}"));
    let why = decision.why.map_or("", Why::as_str);
    match decision.verdict {
        Verdict::Permit => {
            let passed = "the authorized bytes, our own credential (security best practices: token passthrough)";
            sequence.message(GATEWAY, decision.server.as_str(), passed);
        }
        Verdict::Ask => sequence.answer(GATEWAY, CLIENT, "a person has to approve (MCP elicitation)"),
        Verdict::Deny => sequence.answer(GATEWAY, CLIENT, &format!("403 {why} (RFC 6750 §3.1)")),
        Verdict::StepUp => {
            sequence.answer(GATEWAY, CLIENT, &format!("403 insufficient_scope: {} (RFC 6750 §3.1)", decision.scopes));
        }
    }
}

fn rejected(sequence: &mut Sequence, rejection: &Rejection) {
    sequence.message(CLIENT, GATEWAY, &format!("a request{}", at(rejection.server.as_ref())));
    let clause = if rejection.status == 401 { "RFC 6750 §3.1, RFC 9728 §5.1" } else { "MCP transports" };
    sequence.answer(
        GATEWAY,
        CLIENT,
        &format!("{} {} {} ({clause})", rejection.status, rejection.reason, rejection.detail),
    );
}
