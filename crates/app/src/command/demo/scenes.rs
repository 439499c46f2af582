//! The scenes of the demo.

use std::collections::BTreeMap;
use std::time::Duration;

use sekisho_acts::command::{Command, Outcome};
use sekisho_acts::question::{Question, Report};
use sekisho_client::mcp::McpAnswer;
use sekisho_client::token::TokenEndpoint;
use sekisho_policy::advise::Proposal;
use sekisho_policy::replay::Replayed;
use sekisho_protocol::env::Clock as _;
use sekisho_protocol::task::TaskDefinition;
use serde_json::{Value, json};

use super::attacks;
use super::person::Person;
use super::scene::{Failure, Scene, failure};
use super::world::{OWNER, READER, World};
use crate::os::SystemClock;

/// A scene by name.
pub(super) struct Script {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    act: SceneAct,
}

enum SceneAct {
    Advice,
    Approval,
    Audience,
    ConfusedDeputy,
    FirstContact,
    Loan,
    Revocation,
    Rights,
    SessionHijack,
    StepUp,
    Task,
    TokenPassthrough,
}

/// All scenes in the order in which they are played.
pub(super) const ALL: [Script; 12] = [
    Script {
        name: "first-contact",
        title: "an agent finds its way in, and a person lets it",
        act: SceneAct::FirstContact,
    },
    Script { name: "step-up", title: "the grant is narrower than the user: ask again for more", act: SceneAct::StepUp },
    Script {
        name: "rights",
        title: "the user is narrower than the grant: no agent exceeds its user",
        act: SceneAct::Rights,
    },
    Script { name: "task", title: "the task is narrower than both: only what the work needs", act: SceneAct::Task },
    Script { name: "approval", title: "one rule wants a person's yes to each single call", act: SceneAct::Approval },
    Script {
        name: "loan",
        title: "what the rules do not allow is asked for, and lent for an hour",
        act: SceneAct::Loan,
    },
    Script { name: "audience", title: "a token for one server is worth nothing at another", act: SceneAct::Audience },
    Script { name: "advice", title: "the records say what could be narrower", act: SceneAct::Advice },
    Script {
        name: "confused-deputy",
        title: "an attack: a consent that was given to somebody else",
        act: SceneAct::ConfusedDeputy,
    },
    Script {
        name: "token-passthrough",
        title: "an attack: a server uses its caller's token elsewhere",
        act: SceneAct::TokenPassthrough,
    },
    Script {
        name: "session-hijack",
        title: "an attack: a session is taken for its user",
        act: SceneAct::SessionHijack,
    },
    Script { name: "revocation", title: "what was granted can be taken back at once", act: SceneAct::Revocation },
];

impl Script {
    /// Plays it.
    pub(super) async fn play(&self, world: &World, scene: &mut Scene) -> Result<(), Failure> {
        let played = match self.act {
            SceneAct::Advice => advice(world, scene).await,
            SceneAct::Approval => approval(world, scene).await,
            SceneAct::Audience => audience(world, scene).await,
            SceneAct::ConfusedDeputy => attacks::confused_deputy(world, scene).await,
            SceneAct::FirstContact => first_contact(world, scene).await,
            SceneAct::Loan => loan(world, scene).await,
            SceneAct::Revocation => revocation(world, scene).await,
            SceneAct::Rights => rights(world, scene).await,
            SceneAct::SessionHijack => attacks::session_hijack(world, scene).await,
            SceneAct::StepUp => step_up(world, scene).await,
            SceneAct::Task => task(world, scene).await,
            SceneAct::TokenPassthrough => attacks::token_passthrough(world, scene).await,
        };
        scene.legs("Agent", world.http.take());
        played
    }
}

async fn first_contact(world: &World, scene: &mut Scene) -> Result<(), Failure> {
    let refused = world.tool(&world.notes, None, "read_note", json!({ "title": "welcome" })).await?;
    let named = refused.challenge.as_ref().is_some_and(|challenge| challenge.resource_metadata.is_some());
    scene.answer("agent calls read_note without a token", &refused, 401, "the challenge says where to ask");
    scene.step("  … WWW-Authenticate names the metadata", if named { "yes" } else { "no" }, "RFC 9728 §5.1", named);
    let (server, registration, scopes) = world.introduce(&world.notes).await?;
    scene.step("agent reads resource and issuer metadata", "200", &format!("the issuer is {}", server.issuer), true);
    scene.step("agent registers itself", "201", "unverified: it will never skip consent", true);
    let request = world.invite(&server, &registration, &world.notes, scopes.as_ref())?;
    let mut person = Person::new(OWNER, &world.password);
    let tokens = world.let_in(&mut person, &request, &server, &registration).await?;
    let granted = tokens.scopes.as_ref().map(ToString::to_string).unwrap_or_default();
    scene.step(&format!("{OWNER} logs in, reads the page, agrees"), "303", &format!("granted: {granted}"), true);
    let good = world.tool(&world.notes, Some(&tokens), "read_note", json!({ "title": "welcome" })).await?;
    scene.answer("agent calls read_note with its token", &good, 200, &format!("“{}”", text(good.result())));
    let replay = TokenEndpoint::new(&world.http, &server, &registration).map_err(failure)?;
    let fresh = replay.refresh(&tokens, SystemClock.now()).await.map_err(failure)?;
    let renewed = fresh.refresh != tokens.refresh;
    scene.step("agent renews its token", "200", "the old refresh token is used up", renewed);
    Ok(())
}

async fn step_up(world: &World, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = world.visitor(OWNER, &world.notes, "mcp:read").await?;
    let refused = world.tool(&world.notes, Some(&visitor.tokens), "write_note", note()).await?;
    scene.answer("agent with mcp:read calls write_note", &refused, 403, &refusal(refused.error()));
    let wanted = refused.challenge.as_ref().and_then(|challenge| challenge.scope.clone()).unwrap_or_default();
    scene.step("  … the challenge names what is needed", "403", &wanted.to_string(), wanted.to_string() == "mcp:write");
    let scopes = wanted.union(&"mcp:read".parse().map_err(failure)?);
    let request = world.invite(&visitor.server, &visitor.registration, &world.notes, Some(&scopes))?;
    let mut person = Person::new(OWNER, &world.password);
    let tokens = world.let_in(&mut person, &request, &visitor.server, &visitor.registration).await?;
    scene.step(&format!("{OWNER} agrees to more"), "303", &format!("granted: {scopes}"), true);
    let good = world.tool(&world.notes, Some(&tokens), "write_note", note()).await?;
    scene.answer("agent calls write_note again", &good, 200, &text(good.result()));
    Ok(())
}

async fn rights(world: &World, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = world.visitor(READER, &world.notes, "mcp:read mcp:write").await?;
    let granted = visitor.tokens.scopes.clone().unwrap_or_default();
    scene.step(
        &format!("{READER}, who may read, lets an agent in that asks to write"),
        "200",
        &format!("granted: {granted}"),
        granted.to_string() == "mcp:read",
    );
    let good = world.tool(&world.notes, Some(&visitor.tokens), "read_note", json!({ "title": "welcome" })).await?;
    scene.answer("agent calls read_note", &good, 200, "inside what bob may do");
    let refused = world.tool(&world.notes, Some(&visitor.tokens), "write_note", note()).await?;
    scene.answer("agent calls write_note", &refused, 403, &refusal(refused.error()));
    let list = world.call(&world.notes, Some(&visitor.tokens), "tools/list", json!({})).await?;
    let names: Vec<_> = list
        .result()
        .and_then(|result| result.get("tools")?.as_array().cloned())
        .unwrap_or_default()
        .iter()
        .filter_map(|tool| tool.get("name")?.as_str().map(str::to_owned))
        .collect();
    scene.step(
        "agent lists tools",
        &list.status.as_u16().to_string(),
        &format!("it sees {}", names.join(", ")),
        names == ["list_notes", "read_note"],
    );
    Ok(())
}

async fn task(world: &World, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = world.visitor(OWNER, &world.notes, "mcp:read mcp:write").await?;
    let tokens = Some(&visitor.tokens);
    let grant = world.newest_grant().await?;
    let drafts = json!({ "type": "object", "properties": { "title": { "pattern": "^draft" } } });
    let definition = TaskDefinition {
        purpose: "write a draft".to_owned(),
        tools: BTreeMap::from([("list_notes".to_owned(), None), ("write_note".to_owned(), Some(drafts))]),
        calls: Some(50),
        ..TaskDefinition::default()
    };
    let task = match world.operate(Command::TaskStart { grant, definition }).await? {
        Outcome::Task { id } => id,
        other => return Err(failure(format!("unexpected: {other:?}"))),
    };
    scene.step(
        "operator: sekisho task start --purpose \"write a draft\"",
        "done",
        "two tools, titles bounded, 50 calls",
        true,
    );
    let outside = until_bound(world, &visitor.tokens).await?;
    scene.answer("agent calls read_note, which was granted", &outside, 403, &refusal(outside.error()));
    let beyond = world.tool(&world.notes, tokens, "write_note", json!({ "title": "diary", "text": "x" })).await?;
    scene.answer("agent writes a note named otherwise", &beyond, 403, &reason(beyond.error()));
    let draft = json!({ "title": "draft 1", "text": "a beginning" });
    let good = world.tool(&world.notes, tokens, "write_note", draft).await?;
    scene.answer("agent writes a draft", &good, 200, &text(good.result()));
    let question = Question {
        user: OWNER.to_owned(),
        client: None,
        server: "notes".parse().map_err(failure)?,
        tool: "read_note".to_owned(),
        arguments: None,
    };
    let explained = match world.operate(Command::Explain(question)).await? {
        Outcome::Explained(explained) => explained.explanation,
        other => return Err(failure(format!("unexpected: {other:?}"))),
    };
    scene.step(
        "operator: sekisho explain --tool read_note",
        "no",
        "rights inside, grant inside, need outside: the task does not name it",
        explained.rights.inside && explained.grant.inside && !explained.need.inside,
    );
    world.operate(Command::TaskFinish { task }).await?;
    let over = until_finished(world, &visitor.tokens).await?;
    scene.answer("the task is finished, and agent calls list_notes", &over, 403, &reason(over.error()));
    Ok(())
}

async fn approval(world: &World, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = world.visitor(OWNER, &world.notes, "mcp:destructive").await?;
    let call = async || world.tool(&world.notes, Some(&visitor.tokens), "delete_all_notes", json!({})).await;
    let asked = call().await?;
    let url = approval_url(&asked);
    let waits = asked.status.as_u16() == 200 && url.is_some();
    scene.step("agent calls delete_all_notes", "200", "a tool error for the model: its user has to approve", waits);
    let url = url.ok_or_else(|| failure("there is no page to approve on"))?;
    let mut person = Person::new(OWNER, &world.password);
    person.say_yes(&world.http, &url).await?;
    scene.step(
        &format!("{OWNER} opens the link, reads the very call, approves"),
        "200",
        "good once, for these arguments",
        true,
    );
    let good = call().await?;
    scene.answer("agent calls again", &good, 200, &text(good.result()));
    let again = call().await?;
    scene.step(
        "agent calls once more",
        "200",
        "the yes is used up: it is asked for anew",
        approval_url(&again).is_some(),
    );
    Ok(())
}

async fn loan(world: &World, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = world.visitor(READER, &world.notes, "mcp:read").await?;
    let write = async |tokens| world.tool(&world.notes, Some(tokens), "write_note", note()).await;
    let refused = write(&visitor.tokens).await?;
    scene.answer("agent calls write_note", &refused, 403, &refusal(refused.error()));
    let url = refused.error().and_then(|error| error.get("data")?.get("remedy")?.get("url")?.as_str());
    let url = url.ok_or_else(|| failure("there is no page to ask on"))?.to_owned();
    let mut person = Person::new(READER, &world.password);
    person.say_yes(&world.http, &url).await?;
    scene.step(&format!("{READER} opens the link and says why"), "200", "an owner is asked", true);
    let asked = match world.operate(Command::RequestList).await? {
        Outcome::AccessRequests { requests } => requests,
        other => return Err(failure(format!("unexpected: {other:?}"))),
    };
    let request = asked.first().map(|asked| asked.id).ok_or_else(|| failure("nothing was asked"))?;
    let lent = match world.operate(Command::RequestGrant { request, seconds: 60 * 60, bounds: None }).await? {
        Outcome::Loan { id, .. } => id,
        other => return Err(failure(format!("unexpected: {other:?}"))),
    };
    scene.step("operator: sekisho request grant --for 1h", "done", "this user, this client, this tool", true);
    let felt = until(async || write(&visitor.tokens).await, |answer| set(answer) == Some("grant")).await?;
    scene.answer("agent calls again", &felt, 403, &refusal(felt.error()));
    let scopes = "mcp:read mcp:write".parse().map_err(failure)?;
    let request = world.invite(&visitor.server, &visitor.registration, &world.notes, Some(&scopes))?;
    let tokens = world.let_in(&mut person, &request, &visitor.server, &visitor.registration).await?;
    scene.step(&format!("{READER} agrees to more"), "303", &format!("granted: {scopes}"), true);
    let good = write(&tokens).await?;
    scene.answer("agent calls write_note again", &good, 200, &text(good.result()));
    let other = world.visitor(READER, &world.notes, "mcp:read").await?;
    let refused = write(&other.tokens).await?;
    scene.answer(&format!("another agent of {READER} calls write_note"), &refused, 403, &refusal(refused.error()));
    world.operate(Command::LoanRevoke { loan: lent }).await?;
    let over = until(async || write(&tokens).await, |answer| set(answer) == Some("rights")).await?;
    scene.answer("operator: sekisho loan revoke, and agent calls", &over, 403, &refusal(over.error()));
    Ok(())
}

/// Where the person is sent for a call that waits.
fn approval_url(answer: &McpAnswer) -> Option<String> {
    let refusal = answer.result()?.get("_meta")?.get("io.sekisho/refusal")?;
    refusal.get("remedy")?.get("url")?.as_str().map(str::to_owned)
}

/// Calls what the task does not need until that is felt; the product promises a second.
async fn until_bound(world: &World, tokens: &sekisho_client::token::Tokens) -> Result<McpAnswer, Failure> {
    until(async || world.tool(&world.notes, Some(tokens), "read_note", json!({ "title": "welcome" })).await, refuses)
        .await
}

/// The same for what it needs, once it is finished.
async fn until_finished(world: &World, tokens: &sekisho_client::token::Tokens) -> Result<McpAnswer, Failure> {
    until(async || world.tool(&world.notes, Some(tokens), "list_notes", json!({})).await, refuses).await
}

/// What is proposed is tried on what was recorded: nothing that was used breaks.
async fn advice(world: &World, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = world.visitor(OWNER, &world.notes, "mcp:destructive").await?;
    for title in ["draft 1", "draft 2", "draft 3"] {
        let draft = json!({ "title": title, "text": "more" });
        world.tool(&world.notes, Some(&visitor.tokens), "write_note", draft).await?;
    }
    scene.step("agent writes three drafts", "200", "it holds mcp:destructive, and needs less", true);
    let now = SystemClock.now();
    let since = a_day_before(now);
    let advice = match world.operate(Command::Advise { since }).await? {
        Outcome::Advice { advice } => advice,
        other => return Err(failure(format!("unexpected: {other:?}"))),
    };
    let policy = advice.iter().find_map(|one| match &one.proposal {
        Proposal::Policy(text) => Some((one, text.clone())),
        _ => None,
    });
    let task = advice.iter().find_map(|one| match &one.proposal {
        Proposal::Task(definition) => Some(definition),
        _ => None,
    });
    let bounds = task.and_then(|task| task.tools.get("write_note")?.as_ref()).map(ToString::to_string);
    scene.step(
        "operator: sekisho advise",
        "done",
        "a task for what was used, its arguments bounded",
        bounds.as_ref().is_some_and(|bounds| bounds.contains("draft 1")),
    );
    let Some((one, policy)) = policy else { return Err(failure("no policy was proposed")) };
    let never = one.evidence.iter().find(|line| line.starts_with("never called")).cloned().unwrap_or_default();
    scene.step("  … and a policy without what nobody used", "done", &never, !never.is_empty());
    let own = ("demo.cedar".to_owned(), super::world::POLICY.to_owned());
    let replay = async |files| match world.operate(Command::Replay { files, since }).await? {
        Outcome::Replayed(report) => Ok(report),
        other => Err(failure(format!("unexpected: {other:?}"))),
    };
    let breaks = |report: &Report| report.changes.iter().any(|change| change.becomes == Replayed::Breaks);
    let report = replay(vec![own.clone(), ("advised.cedar".to_owned(), policy)]).await?;
    scene.step(
        "operator: sekisho replay --policies advised",
        "yes",
        "every call that was used still passes",
        report.calls > 0 && !breaks(&report),
    );
    let all = r#"@id("nothing") forbid(principal, action == Action::"call", resource == Tool::"notes/write_note");"#;
    let report = replay(vec![own, ("strict.cedar".to_owned(), all.to_owned())]).await?;
    scene.step("operator: sekisho replay --policies stricter", "no", "write_note would break", breaks(&report));
    Ok(())
}

/// Long enough ago for everything that this demo has recorded.
fn a_day_before(now: sekisho_protocol::env::Timestamp) -> sekisho_protocol::env::Timestamp {
    sekisho_protocol::env::Timestamp::from_second(now.as_second().saturating_sub(86_400)).unwrap_or(now)
}

async fn audience(world: &World, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = world.visitor(OWNER, &world.notes, "mcp:read").await?;
    let mut stolen = visitor.tokens.clone();
    stolen.resource = world.diary.clone();
    let refused = world.tool(&world.diary, Some(&stolen), "list_notes", json!({})).await?;
    scene.answer("a token for notes is shown at diary", &refused, 401, "its audience is another server");
    let refused = world.tool(&world.diary, None, "list_notes", json!({})).await?;
    scene.answer("no token is shown at diary", &refused, 401, "loopback is no authority");
    Ok(())
}

async fn revocation(world: &World, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = world.visitor(OWNER, &world.notes, "mcp:read").await?;
    let good = world.tool(&world.notes, Some(&visitor.tokens), "list_notes", json!({})).await?;
    scene.answer("agent calls list_notes", &good, 200, "the grant is alive");
    let grants = match world.operate(Command::GrantList { user: Some(OWNER.to_owned()) }).await? {
        Outcome::Grants { grants } => grants,
        other => return Err(failure(format!("unexpected: {other:?}"))),
    };
    let mut ended = 0;
    for grant in grants.iter().filter(|grant| !grant.revoked) {
        world.operate(Command::GrantRevoke { grant: grant.id }).await?;
        ended += 1;
    }
    scene.step("operator: sekisho grant revoke", "done", &format!("{ended} grants ended"), ended > 0);
    let refused = until_refused(world, &visitor.tokens).await?;
    scene.answer("agent calls list_notes with the same token", &refused, 401, "within a second, token lifetime or not");
    let renewed = TokenEndpoint::new(&world.http, &visitor.server, &visitor.registration)
        .map_err(failure)?
        .refresh(&visitor.tokens, SystemClock.now())
        .await;
    scene.step("agent tries its refresh token", "400", "invalid_grant: the whole lineage has ended", renewed.is_err());
    Ok(())
}

/// Calls until the revocation has arrived; the product promises a second.
async fn until_refused(world: &World, tokens: &sekisho_client::token::Tokens) -> Result<McpAnswer, Failure> {
    // A call that is under way when its authority ends is broken off as such, and the next one is refused.
    let refuses = |answer: &McpAnswer| answer.status.as_u16() == 401;
    until(async || world.tool(&world.notes, Some(tokens), "list_notes", json!({})).await, refuses).await
}

/// Calls until the answer is that; the product promises a second, after which the last answer counts.
async fn until(
    ask: impl AsyncFn() -> Result<McpAnswer, Failure>,
    is: impl Fn(&McpAnswer) -> bool,
) -> Result<McpAnswer, Failure> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
    loop {
        let answer = ask().await?;
        if is(&answer) || tokio::time::Instant::now() > deadline {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn refuses(answer: &McpAnswer) -> bool {
    answer.status.as_u16() != 200
}

/// The set that refused.
fn set(answer: &McpAnswer) -> Option<&str> {
    answer.error()?.get("data")?.get("set")?.as_str()
}

fn note() -> Value {
    json!({ "title": "today", "text": "the checkpoint let this through" })
}

/// The first text of a tool's answer.
fn text(result: Option<&Value>) -> String {
    let first = result.and_then(|result| result.get("content")?.get(0)?.get("text")?.as_str());
    first.unwrap_or_default().chars().take(60).collect()
}

/// The sentence of a refusal.
fn reason(error: Option<&Value>) -> String {
    let reason = error.and_then(|error| error.get("data")?.get("reason")?.as_str());
    let reason = reason.unwrap_or("no reason was given");
    reason.split(';').next().unwrap_or(reason).to_owned()
}

/// Set, reason and way out of a refusal.
fn refusal(error: Option<&Value>) -> String {
    let Some(data) = error.and_then(|error| error.get("data")) else { return "no reason was given".to_owned() };
    let word = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let remedy = data.get("remedy").and_then(|remedy| remedy.get("kind")?.as_str()).unwrap_or_default().to_owned();
    format!("set: {}, way out: {remedy}", word("set"))
}
