//! The scenes of the demo.

use std::time::Duration;

use sekisho_client::mcp::McpAnswer;
use sekisho_client::token::{TokenEndpoint, Tokens};
use serde_json::{Value, json};

use crate::attacks;
use crate::checkpoint::{Checkpoint, Introduction, OWNER, POLICY, READER};
use crate::failure::{Failure, failure};
use crate::person::Person;
use crate::scene::Scene;

/// A scene that can be played.
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    story: Story,
}

enum Story {
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
pub(crate) const ALL: [Script; 12] = [
    Script {
        name: "first-contact",
        title: "an agent finds its way in, and a person lets it",
        story: Story::FirstContact,
    },
    Script { name: "step-up", title: "the grant is narrower than the user: ask again for more", story: Story::StepUp },
    Script {
        name: "rights",
        title: "the user is narrower than the grant: no agent exceeds its user",
        story: Story::Rights,
    },
    Script { name: "task", title: "the task is narrower than both: only what the work needs", story: Story::Task },
    Script { name: "approval", title: "one rule wants a person's yes to each single call", story: Story::Approval },
    Script {
        name: "loan",
        title: "what the rules do not allow is asked for, and lent for an hour",
        story: Story::Loan,
    },
    Script { name: "audience", title: "a token for one server is worth nothing at another", story: Story::Audience },
    Script { name: "advice", title: "the records say what could be narrower", story: Story::Advice },
    Script {
        name: "confused-deputy",
        title: "an attack: a client uses the consent that another one got",
        story: Story::ConfusedDeputy,
    },
    Script {
        name: "token-passthrough",
        title: "an attack: a server uses its caller's token elsewhere",
        story: Story::TokenPassthrough,
    },
    Script { name: "session-hijack", title: "an attack: a session is taken for its user", story: Story::SessionHijack },
    Script { name: "revocation", title: "what was granted can be taken back at once", story: Story::Revocation },
];

impl Script {
    /// Plays the scene.
    pub(crate) async fn play(&self, checkpoint: &Checkpoint, scene: &mut Scene) -> Result<(), Failure> {
        let played = match self.story {
            Story::Advice => advice(checkpoint, scene).await,
            Story::Approval => approval(checkpoint, scene).await,
            Story::Audience => audience(checkpoint, scene).await,
            Story::ConfusedDeputy => attacks::confused_deputy(checkpoint, scene).await,
            Story::FirstContact => first_contact(checkpoint, scene).await,
            Story::Loan => loan(checkpoint, scene).await,
            Story::Revocation => revocation(checkpoint, scene).await,
            Story::Rights => rights(checkpoint, scene).await,
            Story::SessionHijack => attacks::session_hijack(checkpoint, scene).await,
            Story::StepUp => step_up(checkpoint, scene).await,
            Story::Task => task(checkpoint, scene).await,
            Story::TokenPassthrough => attacks::token_passthrough(checkpoint, scene).await,
        };
        scene.legs("Agent", checkpoint.http.take());
        played
    }
}

async fn first_contact(checkpoint: &Checkpoint, scene: &mut Scene) -> Result<(), Failure> {
    let refused = checkpoint.tool(&checkpoint.notes, None, "read_note", json!({ "title": "welcome" })).await?;
    let named = refused.challenge.as_ref().is_some_and(|challenge| challenge.resource_metadata.is_some());
    scene.answer("agent calls read_note without a token", &refused, 401, "the challenge says where to ask");
    scene.step("  … WWW-Authenticate names the metadata", if named { "yes" } else { "no" }, "RFC 9728 §5.1", named);
    let Introduction { server, registration, scopes } = checkpoint.introduce(&checkpoint.notes).await?;
    scene.step("agent reads resource and issuer metadata", "200", &format!("the issuer is {}", server.issuer), true);
    scene.step("agent registers itself", "201", "unverified: it will never skip consent", true);
    let request = checkpoint.invite(&server, &registration, &checkpoint.notes, scopes.as_ref())?;
    let mut person = Person::new(OWNER, &checkpoint.password);
    let tokens = checkpoint.let_in(&mut person, &request, &server, &registration).await?;
    let granted = tokens.scopes.as_ref().map(ToString::to_string).unwrap_or_default();
    scene.step(&format!("{OWNER} logs in, reads the page, agrees"), "303", &format!("granted: {granted}"), true);
    let good = checkpoint.tool(&checkpoint.notes, Some(&tokens), "read_note", json!({ "title": "welcome" })).await?;
    scene.answer("agent calls read_note with its token", &good, 200, &format!("“{}”", text(good.result())));
    let replay = TokenEndpoint::new(&checkpoint.http, &server, &registration).map_err(failure)?;
    let fresh = replay.refresh(&tokens, checkpoint.clock.now()).await.map_err(failure)?;
    let renewed = fresh.refresh != tokens.refresh;
    scene.step("agent renews its token", "200", "the old refresh token is used up", renewed);
    Ok(())
}

async fn step_up(checkpoint: &Checkpoint, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = checkpoint.visitor(OWNER, &checkpoint.notes, "mcp:read").await?;
    let refused = checkpoint.tool(&checkpoint.notes, Some(&visitor.tokens), "write_note", note()).await?;
    scene.answer("agent with mcp:read calls write_note", &refused, 403, &refusal(refused.error()));
    let wanted = refused.challenge.as_ref().and_then(|challenge| challenge.scope.clone()).unwrap_or_default();
    scene.step("  … the challenge names what is needed", "403", &wanted.to_string(), wanted.to_string() == "mcp:write");
    let scopes = wanted.union(&"mcp:read".parse().map_err(failure)?);
    let request = checkpoint.invite(&visitor.server, &visitor.registration, &checkpoint.notes, Some(&scopes))?;
    let mut person = Person::new(OWNER, &checkpoint.password);
    let tokens = checkpoint.let_in(&mut person, &request, &visitor.server, &visitor.registration).await?;
    scene.step(&format!("{OWNER} agrees to more"), "303", &format!("granted: {scopes}"), true);
    let good = checkpoint.tool(&checkpoint.notes, Some(&tokens), "write_note", note()).await?;
    scene.answer("agent calls write_note again", &good, 200, &text(good.result()));
    Ok(())
}

async fn rights(checkpoint: &Checkpoint, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = checkpoint.visitor(READER, &checkpoint.notes, "mcp:read mcp:write").await?;
    let granted = visitor.tokens.scopes.clone().unwrap_or_default();
    scene.step(
        &format!("{READER}, who may read, lets an agent in that asks to write"),
        "200",
        &format!("granted: {granted}"),
        granted.to_string() == "mcp:read",
    );
    let good =
        checkpoint.tool(&checkpoint.notes, Some(&visitor.tokens), "read_note", json!({ "title": "welcome" })).await?;
    scene.answer("agent calls read_note", &good, 200, "inside what bob may do");
    let refused = checkpoint.tool(&checkpoint.notes, Some(&visitor.tokens), "write_note", note()).await?;
    scene.answer("agent calls write_note", &refused, 403, &refusal(refused.error()));
    let list = checkpoint.call(&checkpoint.notes, Some(&visitor.tokens), "tools/list", json!({})).await?;
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

async fn task(checkpoint: &Checkpoint, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = checkpoint.visitor(OWNER, &checkpoint.notes, "mcp:read mcp:write").await?;
    let tokens = Some(&visitor.tokens);
    let grant = checkpoint.newest_grant().await?;
    let drafts = r#"write_note={"type":"object","properties":{"title":{"pattern":"^draft"}}}"#;
    let words = ["task", "start", "--grant", &grant, "--purpose", "write a draft", "--calls", "50"];
    let bounds = ["--tool", "list_notes", "--bounds", drafts];
    let task = member(&checkpoint.operate(&[words.as_slice(), bounds.as_slice()].concat()).await?, "id")?;
    scene.step(
        "operator: sekisho task start --purpose \"write a draft\"",
        "done",
        "two tools, titles bounded, 50 calls",
        true,
    );
    let outside = until_bound(checkpoint, &visitor.tokens).await?;
    scene.answer("agent calls read_note, which was granted", &outside, 403, &refusal(outside.error()));
    let beyond =
        checkpoint.tool(&checkpoint.notes, tokens, "write_note", json!({ "title": "diary", "text": "x" })).await?;
    scene.answer("agent writes a note named otherwise", &beyond, 403, &reason(beyond.error()));
    let draft = json!({ "title": "draft 1", "text": "a beginning" });
    let good = checkpoint.tool(&checkpoint.notes, tokens, "write_note", draft).await?;
    scene.answer("agent writes a draft", &good, 200, &text(good.result()));
    let words = ["explain", "--user", OWNER, "--server", "notes", "--tool", "read_note"];
    let explained = checkpoint.operate(&words).await?;
    let inside = |set: &str| explained.pointer(&format!("/explanation/{set}/inside")) == Some(&Value::Bool(true));
    scene.step(
        "operator: sekisho explain --tool read_note",
        "no",
        "rights inside, grant inside, need outside: the task does not name it",
        inside("rights") && inside("grant") && !inside("need"),
    );
    checkpoint.operate(&["task", "finish", &task]).await?;
    let over = until_finished(checkpoint, &visitor.tokens).await?;
    scene.answer("the task is finished, and agent calls list_notes", &over, 403, &reason(over.error()));
    Ok(())
}

async fn approval(checkpoint: &Checkpoint, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = checkpoint.visitor(OWNER, &checkpoint.notes, "mcp:destructive").await?;
    let call = async || checkpoint.tool(&checkpoint.notes, Some(&visitor.tokens), "delete_all_notes", json!({})).await;
    let asked = call().await?;
    let url = approval_url(&asked);
    let waits = asked.status.as_u16() == 200 && url.is_some();
    scene.step("agent calls delete_all_notes", "200", "a tool error for the model: its user has to approve", waits);
    let url = url.ok_or_else(|| failure("there is no page to approve on"))?;
    let mut person = Person::new(OWNER, &checkpoint.password);
    person.say_yes(&checkpoint.http, &url).await?;
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

async fn loan(checkpoint: &Checkpoint, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = checkpoint.visitor(READER, &checkpoint.notes, "mcp:read").await?;
    let write = async |tokens| checkpoint.tool(&checkpoint.notes, Some(tokens), "write_note", note()).await;
    let refused = write(&visitor.tokens).await?;
    scene.answer("agent calls write_note", &refused, 403, &refusal(refused.error()));
    let url = refused.error().and_then(|error| error.get("data")?.get("remedy")?.get("url")?.as_str());
    let url = url.ok_or_else(|| failure("there is no page to ask on"))?.to_owned();
    let mut person = Person::new(READER, &checkpoint.password);
    person.say_yes(&checkpoint.http, &url).await?;
    scene.step(&format!("{READER} opens the link and says why"), "200", "an owner is asked", true);
    let listed = checkpoint.operate(&["request", "list"]).await?;
    let request = listed.pointer("/requests/0").ok_or_else(|| failure("nothing was asked"))?;
    let request = member(request, "id")?;
    let loan = member(&checkpoint.operate(&["request", "grant", &request, "--for", "1h"]).await?, "id")?;
    scene.step("operator: sekisho request grant --for 1h", "done", "this user, this client, this tool", true);
    let felt = until(async || write(&visitor.tokens).await, |answer| set(answer) == Some("grant")).await?;
    scene.answer("agent calls again", &felt, 403, &refusal(felt.error()));
    let scopes = "mcp:read mcp:write".parse().map_err(failure)?;
    let request = checkpoint.invite(&visitor.server, &visitor.registration, &checkpoint.notes, Some(&scopes))?;
    let tokens = checkpoint.let_in(&mut person, &request, &visitor.server, &visitor.registration).await?;
    scene.step(&format!("{READER} agrees to more"), "303", &format!("granted: {scopes}"), true);
    let good = write(&tokens).await?;
    scene.answer("agent calls write_note again", &good, 200, &text(good.result()));
    let other = checkpoint.visitor(READER, &checkpoint.notes, "mcp:read").await?;
    let refused = write(&other.tokens).await?;
    scene.answer(&format!("another agent of {READER} calls write_note"), &refused, 403, &refusal(refused.error()));
    checkpoint.operate(&["loan", "revoke", &loan]).await?;
    let over = until(async || write(&tokens).await, |answer| set(answer) == Some("rights")).await?;
    scene.answer("operator: sekisho loan revoke, and agent calls", &over, 403, &refusal(over.error()));
    Ok(())
}

/// Returns the URL on which the person decides about a waiting call.
fn approval_url(answer: &McpAnswer) -> Option<String> {
    let refusal = answer.result()?.get("_meta")?.get("io.sekisho/refusal")?;
    refusal.get("remedy")?.get("url")?.as_str().map(str::to_owned)
}

/// Calls a tool that the task does not need until that is refused; the product promises this within a second.
async fn until_bound(checkpoint: &Checkpoint, tokens: &Tokens) -> Result<McpAnswer, Failure> {
    until(
        async || checkpoint.tool(&checkpoint.notes, Some(tokens), "read_note", json!({ "title": "welcome" })).await,
        refuses,
    )
    .await
}

/// Calls a tool that the task needed until that is refused as well, after the task is finished.
async fn until_finished(checkpoint: &Checkpoint, tokens: &Tokens) -> Result<McpAnswer, Failure> {
    until(async || checkpoint.tool(&checkpoint.notes, Some(tokens), "list_notes", json!({})).await, refuses).await
}

/// The proposals of `advise` are replayed on the recorded calls: no call that was used would be refused.
async fn advice(checkpoint: &Checkpoint, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = checkpoint.visitor(OWNER, &checkpoint.notes, "mcp:destructive").await?;
    for title in ["draft 1", "draft 2", "draft 3"] {
        let draft = json!({ "title": title, "text": "more" });
        checkpoint.tool(&checkpoint.notes, Some(&visitor.tokens), "write_note", draft).await?;
    }
    scene.step("agent writes three drafts", "200", "it holds mcp:destructive, and needs less", true);
    let advice = checkpoint.operate(&["advise", "--since", "1d"]).await?;
    let proposals = || advice.as_array().into_iter().flatten();
    let bounds = proposals().find_map(|one| one.pointer("/proposal/task/tools/write_note")).map(ToString::to_string);
    scene.step(
        "operator: sekisho advise",
        "done",
        "a task for what was used, its arguments bounded",
        bounds.as_ref().is_some_and(|bounds| bounds.contains("draft 1")),
    );
    let policy = proposals().find_map(|one| Some((one, one.pointer("/proposal/policy")?.as_str()?)));
    let Some((one, policy)) = policy else { return Err(failure("no policy was proposed")) };
    let evidence = one.get("evidence").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let never = evidence.into_iter().find(|line| line.starts_with("never called")).unwrap_or_default();
    scene.step("  … and a policy without tools that were not used", "done", never, !never.is_empty());
    let report = replay(checkpoint, "advised", policy).await?;
    let calls = report.get("calls").and_then(Value::as_u64).unwrap_or_default();
    scene.step(
        "operator: sekisho replay --policies advised",
        "yes",
        "every call that was used still passes",
        calls > 0 && !breaks(&report),
    );
    let all = r#"@id("nothing") forbid(principal, action == Action::"call", resource == Tool::"notes/write_note");"#;
    let report = replay(checkpoint, "stricter", all).await?;
    scene.step("operator: sekisho replay --policies stricter", "no", "write_note would break", breaks(&report));
    Ok(())
}

/// Replays the recorded calls with the demo's policy and this additional one, in a folder with this name.
async fn replay(checkpoint: &Checkpoint, name: &str, policy: &str) -> Result<Value, Failure> {
    let folder = checkpoint.folder().join(name);
    std::fs::create_dir_all(&folder).map_err(failure)?;
    std::fs::write(folder.join("demo.cedar"), POLICY).map_err(failure)?;
    std::fs::write(folder.join(format!("{name}.cedar")), policy).map_err(failure)?;
    let folder = folder.display().to_string();
    checkpoint.operate(&["replay", "--policies", &folder, "--since", "1d"]).await
}

/// Whether a call that was permitted would be refused now.
fn breaks(report: &Value) -> bool {
    let mut changes = report.get("changes").and_then(Value::as_array).into_iter().flatten();
    changes.any(|change| change.get("becomes").and_then(Value::as_str) == Some("breaks"))
}

/// Returns a text from the output of a command.
fn member(printed: &Value, name: &str) -> Result<String, Failure> {
    let text = printed.get(name).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| failure(format!("`{name}` is missing in {printed}")))
}

async fn audience(checkpoint: &Checkpoint, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = checkpoint.visitor(OWNER, &checkpoint.notes, "mcp:read").await?;
    let mut stolen = visitor.tokens.clone();
    stolen.resource = checkpoint.diary.clone();
    let refused = checkpoint.tool(&checkpoint.diary, Some(&stolen), "list_notes", json!({})).await?;
    scene.answer("a token for notes is shown at diary", &refused, 401, "its audience is another server");
    let refused = checkpoint.tool(&checkpoint.diary, None, "list_notes", json!({})).await?;
    scene.answer("no token is shown at diary", &refused, 401, "loopback is no authority");
    Ok(())
}

async fn revocation(checkpoint: &Checkpoint, scene: &mut Scene) -> Result<(), Failure> {
    let visitor = checkpoint.visitor(OWNER, &checkpoint.notes, "mcp:read").await?;
    let good = checkpoint.tool(&checkpoint.notes, Some(&visitor.tokens), "list_notes", json!({})).await?;
    scene.answer("agent calls list_notes", &good, 200, "the grant is alive");
    let grants = checkpoint.grants().await?;
    let ended = grants.len();
    for grant in &grants {
        checkpoint.operate(&["grant", "revoke", grant]).await?;
    }
    scene.step("operator: sekisho grant revoke", "done", &format!("{ended} grants ended"), ended > 0);
    let refused = until_refused(checkpoint, &visitor.tokens).await?;
    scene.answer("agent calls list_notes with the same token", &refused, 401, "within a second, token lifetime or not");
    let renewed = TokenEndpoint::new(&checkpoint.http, &visitor.server, &visitor.registration)
        .map_err(failure)?
        .refresh(&visitor.tokens, checkpoint.clock.now())
        .await;
    scene.step("agent tries its refresh token", "400", "invalid_grant: the whole lineage has ended", renewed.is_err());
    Ok(())
}

/// Calls until the revocation has taken effect; the product promises this within a second.
async fn until_refused(checkpoint: &Checkpoint, tokens: &Tokens) -> Result<McpAnswer, Failure> {
    // A call that is under way when its grant ends is broken off, and the next one is refused with 401.
    let refuses = |answer: &McpAnswer| answer.status.as_u16() == 401;
    until(async || checkpoint.tool(&checkpoint.notes, Some(tokens), "list_notes", json!({})).await, refuses).await
}

/// Calls until the answer satisfies the condition. After a bounded time, the last answer counts.
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

/// Returns the set that refused.
fn set(answer: &McpAnswer) -> Option<&str> {
    answer.error()?.get("data")?.get("set")?.as_str()
}

fn note() -> Value {
    json!({ "title": "today", "text": "the checkpoint let this through" })
}

/// Returns the first text of a tool's answer.
fn text(result: Option<&Value>) -> String {
    let first = result.and_then(|result| result.get("content")?.get(0)?.get("text")?.as_str());
    first.unwrap_or_default().chars().take(60).collect()
}

/// Returns the reason of a refusal.
fn reason(error: Option<&Value>) -> String {
    let reason = error.and_then(|error| error.get("data")?.get("reason")?.as_str());
    let reason = reason.unwrap_or("no reason was given");
    reason.split(';').next().unwrap_or(reason).to_owned()
}

/// Returns the set, the reason and the remedy of a refusal.
fn refusal(error: Option<&Value>) -> String {
    let Some(data) = error.and_then(|error| error.get("data")) else { return "no reason was given".to_owned() };
    let word = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let remedy = data.get("remedy").and_then(|remedy| remedy.get("kind")?.as_str()).unwrap_or_default().to_owned();
    format!("set: {}, way out: {remedy}", word("set"))
}
