//! `sekisho trace`: draws one call, or one grant from its login on, as a sequence. The records hold no secret, so
//! neither does the picture.

use sekisho_acts::command::{Command, Outcome};
use sekisho_acts::question::RecordRow;
use sekisho_picture::sequence::Sequence;
use sekisho_protocol::audit::{Act, ActKind, Actor, Decision, Event, Need, OutcomeResult, Rejection, Verdict, Why};
use sekisho_protocol::caller::Subject;
use sekisho_protocol::ids::{ClientId, GrantId, RequestId, ServerName};

use super::names::Names;
use super::{print_json, unexpected};
use crate::cli::{Common, DiagramFormat};
use crate::error::CommandError;
use crate::{control, say};

/// How many records are asked for at a time.
const PAGE: u32 = 1000;
/// The most records in one picture.
const DRAWN_MAX: usize = 200;

const CLIENT: &str = "Client";
const GATEWAY: &str = "Gateway";
const ISSUER: &str = "Issuer";
const PERSON: &str = "Person";

/// Draws what the records say about a request or a grant.
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
        let act = Command::AuditList { after, limit: PAGE, request };
        let records = match control::act(common, act).await? {
            Outcome::Records { records } => records,
            other => return Err(unexpected(&other)),
        };
        let Some(last) = records.last() else { return Ok(all) };
        after = last.seq;
        all.extend(records);
    }
}

/// Returns the records that led to a grant and those that followed: the client's registration, its person's last login
/// before, and everything under the grant.
fn of_grant(records: Vec<RecordRow>, grant: GrantId) -> Vec<RecordRow> {
    let given = records.iter().find_map(|row| match &row.record.event {
        Event::Act(event) if event.grant == Some(grant) => Some((event.clone(), row.seq)),
        _ => None,
    });
    let Some((given, at)) = given else { return Vec::new() };
    let is = |row: &RecordRow, act: ActKind| matches!(&row.record.event, Event::Act(event) if event.act == act);
    let signs_in = |row: &RecordRow| is(row, ActKind::LoginSucceeded) || is(row, ActKind::IdentitySignedIn);
    let login = records.iter().filter(|row| row.seq < at && signs_in(row));
    let login = login.filter(|row| of(&row.record.event).is_some_and(|event| event.subject == given.subject));
    let login = login.map(|row| row.seq).next_back();
    // The consent is recorded before the grant exists.
    let yes = records.iter().filter(|row| row.seq < at && is(row, ActKind::ConsentGiven));
    let yes = yes.filter(|row| of(&row.record.event).is_some_and(|event| event.client == given.client));
    let yes = yes.map(|row| row.seq).next_back();
    let requests: Vec<RequestId> =
        records.iter().filter(|row| under(&row.record.event) == Some(grant)).map(|row| row.record.request).collect();
    let belongs = |row: &RecordRow| {
        let registered = is(row, ActKind::ClientRegistered)
            && of(&row.record.event).is_some_and(|event| event.client == given.client);
        let ended = row.seq > at && of(&row.record.event).is_some_and(|event| ends(event, &given));
        registered || ended || [login, yes].contains(&Some(row.seq)) || requests.contains(&row.record.request)
    };
    records.into_iter().filter(belongs).take(DRAWN_MAX).collect()
}

fn of(event: &Event) -> Option<&Act> {
    if let Event::Act(event) = event { Some(event) } else { None }
}

/// Returns whether an act ended the grant together with others: those of its user, its client or its server, or all.
fn ends(event: &Act, given: &Act) -> bool {
    match event.act {
        ActKind::BaseUrlChanged => true,
        ActKind::ClientRemoved => event.client == given.client,
        ActKind::GrantsRevoked => event.subject.is_none() || event.subject == given.subject,
        ActKind::PasswordSet | ActKind::SessionsEnded | ActKind::UserDisabled | ActKind::UserRemoved => {
            event.subject == given.subject
        }
        ActKind::ServerRemoved => event.server == given.server,
        _ => false,
    }
}

fn under(event: &Event) -> Option<GrantId> {
    match event {
        Event::Act(event) => event.grant,
        Event::Decision(decision) => decision.grant,
        Event::Child { .. } | Event::ClockSet { .. } | Event::Outcome(_) | Event::Refusals(_) | Event::Rejection(_) => {
            None
        }
    }
}

fn drawn(title: &str, records: &[RecordRow], names: &Names) -> Sequence {
    let mut sequence = Sequence::new(title);
    for RecordRow { record, .. } in records {
        match &record.event {
            Event::Act(act) => acted(&mut sequence, act, names),
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
            // These records belong to no single exchange.
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

/// Draws an act: who did it, what it was, and the clause of the specification that it follows.
fn acted(sequence: &mut Sequence, act: &Act, names: &Names) {
    let from = match act.actor {
        Actor::Agent | Actor::Client => CLIENT.to_owned(),
        Actor::Anonymous if act.act == ActKind::LoginFailed => PERSON.to_owned(),
        Actor::Anonymous => CLIENT.to_owned(),
        Actor::Checkpoint => GATEWAY.to_owned(),
        Actor::Operator => "operator".to_owned(),
        Actor::Provisioner => "provisioner".to_owned(),
        Actor::User(user) if act.subject.as_ref().is_none_or(|subject| *subject == Subject::User(user)) => {
            PERSON.to_owned()
        }
        // An owner or an administrator who acts on somebody else's grant.
        Actor::User(user) => names.subject(&Subject::User(user)),
    };
    let (what, clause) = words(act.act);
    let about = at(act.server.as_ref());
    let scopes = if act.scopes.is_empty() { String::new() } else { format!(" [{}]", act.scopes) };
    sequence.message(&from, ISSUER, &format!("{what}{about}{scopes} ({clause})"));
    let told = who(names, act.subject.as_ref(), act.client.as_ref());
    if !told.is_empty() || !act.detail.is_empty() {
        sequence.note(ISSUER, format!("{told} {}", act.detail).trim());
    }
}

/// Returns words for an act, and the clause of the specification that it follows.
fn words(kind: ActKind) -> (&'static str, &'static str) {
    use ActKind as K;
    match kind {
        K::AccessAsked => ("asks for access", "a loan"),
        K::AccessLent => ("lends access", "a loan"),
        K::AccessRefused => ("refuses access", "a loan"),
        K::AccessTakenBack => ("takes access back", "a loan"),
        K::AccountExpired => ("cannot use the linked account any more", "RFC 6749 §5.2"),
        K::AccountLinkRefused => ("links no account", "RFC 6749 §4.1.2.1"),
        K::AccountLinked => ("links an account", "RFC 6749 §4.1"),
        K::AccountUnlinked => ("removes a linked account", "RFC 7009"),
        K::ApprovalDeclined => ("declines the call", "an approval"),
        K::ApprovalGiven => ("approves the call", "an approval"),
        K::ArgumentsRead => ("reads the arguments of a call", "the records"),
        K::AuthorizationRefused => ("authorization request refused", "OAuth 2.1 §4.1.2.1"),
        K::BaseUrlChanged => ("changes the base URL", "RFC 8414 §2"),
        K::ClientAdded => ("registers a client", "OAuth 2.1 §2"),
        K::ClientRegistered => ("registers", "RFC 7591 §3.1"),
        K::ClientRefused => ("is not registered", "RFC 7591 §3.2.2"),
        K::ClientRemoved => ("removes the client", "OAuth 2.1 §2"),
        K::CodeReplayed => ("uses a code twice", "OAuth 2.1 §4.1.3"),
        K::ConsentDenied => ("refuses", "OAuth 2.1 §4.1.2.1"),
        K::ConsentGiven => ("lets the client in", "OAuth 2.1 §4.1.1"),
        K::GrantMade => ("comes with a token of an external authorization server", "RFC 9068 §4"),
        K::GrantReleased => ("lets the client in again", "configuration"),
        K::GrantReplaced => ("is let in anew", "OAuth 2.1 §4.1.3"),
        K::GrantRevoked => ("ends the grant", "RFC 7009"),
        K::GrantWidened => ("comes with a token that permits more", "RFC 9068 §4"),
        K::GrantsRevoked => ("ends grants", "RFC 7009"),
        K::GroupAdded => ("makes a group", "RFC 7644 §3.3"),
        K::GroupChanged => ("changes a group", "RFC 7644 §3.5"),
        K::GroupRemoved => ("removes a group", "RFC 7644 §3.6"),
        K::IdentityLinked => ("links an account at a provider", "OpenID Connect Core 1.0 §5.7"),
        K::IdentitySignedIn => ("signs in at a provider", "OpenID Connect Core 1.0 §3.1"),
        K::IdentityUnlinked => ("undoes the link to a provider", "configuration"),
        K::LoginFailed => ("fails to sign in", "OAuth 2.1 §3.1"),
        K::LoginSucceeded => ("signs in", "OAuth 2.1 §3.1"),
        K::PasswordSet => ("sets a password", "OAuth 2.1 §3.1"),
        K::ProvisioningRefused => ("is refused", "RFC 7644 §3.12"),
        K::ReachChanged => ("changes what a user may use", "configuration"),
        K::RecordsContradicted => ("finds the records contradicted", "the records"),
        K::RecordsPruned => ("removes old records", "the records"),
        K::RefreshReplayed => ("uses a refresh token twice", "OAuth 2.1 §4.3.1"),
        K::ScimTokenAdded => ("makes a token for a provisioning client", "RFC 7644 §2"),
        K::ScimTokenRemoved => ("revokes the token of a provisioning client", "RFC 7644 §2"),
        K::ServerAdded => ("adds the server", "configuration"),
        K::ServerRemoved => ("removes the server", "configuration"),
        K::SessionsEnded => ("signs the user out", "Back-Channel Logout 1.0 §2.6"),
        K::SetupLinkMade => ("makes a link for a password", "configuration"),
        K::TaskBegun => ("begins a task", "RFC 9396"),
        K::TaskFinished => ("ends the task", "RFC 9396"),
        K::TaskResumed => ("goes on without the task", "RFC 9396"),
        K::TaskWidened => ("widens the task", "RFC 9396"),
        K::TokenIssued => ("gets a token", "OAuth 2.1 §3.2, RFC 9068"),
        K::TokenRefused => ("gets no token", "OAuth 2.1 §3.2.4"),
        K::ToolAccepted => ("accepts a tool", "pinning"),
        K::ToolClassified => ("classifies a tool", "pinning"),
        K::UserAdded => ("adds a user", "configuration"),
        K::UserChanged => ("changes the user", "RFC 7644 §3.5"),
        K::UserDisabled => ("shuts the user out", "configuration"),
        K::UserEnabled => ("lets the user in again", "configuration"),
        K::UserRemoved => ("removes the user", "configuration"),
        K::UserRoleChanged => ("changes the role", "configuration"),
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
    let by = decision.issuer.as_ref().map_or_else(String::new, |issuer| format!(", token of {issuer}"));
    sequence.note(GATEWAY, &format!("rights by {rules}, need {need}, of {whose}{by}"));
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
