//! A record as one line of JSON. Every call leaves two, so those of calls are written member by member, without the
//! machinery of a serializer: to the same characters that the derived form comes to.

use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Serialize};

use super::{Decision, Event, Outcome, Record, RuleId};
use crate::caller::Subject;
use crate::env::Timestamp;
use crate::ids::{ClientId, RequestId, TEXT_BYTES};
use crate::mcp::scan::plain_length;

/// What a line says after the exchange and a space.
#[derive(Serialize, Deserialize)]
struct Line<E> {
    at: Timestamp,
    event: E,
}

impl Record {
    /// Appends the line, without a line break. It begins with the exchange, so that whoever looks for one need not read the
    /// others.
    pub fn write_line(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let Self { at, request, event } = self;
        out.extend_from_slice(request.encode(&mut [0; TEXT_BYTES]).as_bytes());
        out.push(b' ');
        match event {
            Event::Decision(decision) => line(out, *at, |members| decision_members(members, decision)),
            Event::Outcome(outcome) => line(out, *at, |members| outcome_members(members, outcome)),
            Event::Act(_) | Event::Child { .. } | Event::ClockSet { .. } | Event::Refusals(_) | Event::Rejection(_) => {
                serde_json::to_writer(out, &Line { at: *at, event })
            }
        }
    }

    /// Which exchange a line is of. `None`: it is not a line of ours.
    pub fn request_of_line(line: &str) -> Option<RequestId> {
        parts(line).map(|(request, _)| request)
    }

    /// Reads a line.
    pub fn read_line(line: &str) -> Result<Self, serde_json::Error> {
        let (request, rest) = parts(line).ok_or_else(|| serde::de::Error::custom("a line begins with its exchange"))?;
        let Line { at, event } = serde_json::from_str(rest)?;
        Ok(Self { at, request, event })
    }
}

fn parts(line: &str) -> Option<(RequestId, &str)> {
    let (request, rest) = line.split_once(' ')?;
    Some((request.parse().ok()?, rest))
}

type Written = Result<(), serde_json::Error>;

fn line(out: &mut Vec<u8>, at: Timestamp, event: impl FnOnce(&mut Members<'_>) -> Written) -> Written {
    out.extend_from_slice(b"{\"at\":\"");
    DateTimePrinter::new().print_timestamp(&at, &mut *out).map_err(serde::ser::Error::custom)?;
    out.extend_from_slice(b"\",\"event\":{");
    event(&mut Members(out))?;
    out.extend_from_slice(b"}}");
    Ok(())
}

fn decision_members(members: &mut Members<'_>, decision: &Decision) -> Written {
    // All of them: a member that is added later has to be written, too.
    #[rustfmt::skip]
    let Decision {
        subject, client, path, grant, token, issuer, task, server, method, target, arguments, verdict, set, need, why, observed,
        because, scopes,
    } = decision;
    members.text("kind", "decision")?;
    match subject {
        Subject::User(user) => members.plain("subject", user.encode(&mut [0; TEXT_BYTES])),
        Subject::Anonymous | Subject::Service(_) => members.any("subject", subject)?,
    }
    if let Some(client) = client {
        members.text("client", client.as_str())?;
    }
    if let Some(path) = path {
        members.list("path", path.hops().iter().map(ClientId::as_str))?;
    }
    if let Some(grant) = grant {
        members.plain("grant", grant.encode(&mut [0; TEXT_BYTES]));
    }
    if let Some(token) = token {
        members.plain("token", token.encode(&mut [0; TEXT_BYTES]));
    }
    if let Some(issuer) = issuer {
        members.text("issuer", issuer)?;
    }
    if let Some(task) = task {
        members.plain("task", task.encode(&mut [0; TEXT_BYTES]));
    }
    members.text("server", server.as_str())?;
    members.text("method", method)?;
    if let Some(target) = target {
        members.text("target", target)?;
    }
    members.some("arguments", arguments.as_ref())?;
    members.any("verdict", verdict)?;
    members.some("set", set.as_ref())?;
    members.any("need", need)?;
    members.some("why", why.as_ref())?;
    members.some("observed", observed.as_ref())?;
    if !because.is_empty() {
        members.list("because", because.iter().map(RuleId::text))?;
    }
    members.some("scopes", Some(scopes).filter(|scopes| !scopes.is_empty()))
}

fn outcome_members(members: &mut Members<'_>, outcome: &Outcome) -> Written {
    let Outcome { server, result, status, bytes, millis } = outcome;
    members.text("kind", "outcome")?;
    members.text("server", server.as_str())?;
    members.any("result", result)?;
    members.any("status", status)?;
    members.any("bytes", bytes)?;
    members.any("millis", millis)
}

/// The inside of an object that is being written.
struct Members<'o>(&'o mut Vec<u8>);

impl Members<'_> {
    fn name(&mut self, name: &'static str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// A text that has nothing in it to escape.
    fn plain(&mut self, name: &'static str, value: &str) {
        self.name(name);
        self.0.push(b'"');
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'"');
    }

    fn text(&mut self, name: &'static str, value: &str) -> Written {
        self.name(name);
        text(self.0, value)
    }

    fn list(&mut self, name: &'static str, values: impl Iterator<Item = impl AsRef<str>>) -> Written {
        self.name(name);
        self.0.push(b'[');
        for (at, value) in values.enumerate() {
            if at > 0 {
                self.0.push(b',');
            }
            text(self.0, value.as_ref())?;
        }
        self.0.push(b']');
        Ok(())
    }

    /// What is short or seldom, as it is derived.
    fn any(&mut self, name: &'static str, value: &impl Serialize) -> Written {
        self.name(name);
        serde_json::to_writer(&mut *self.0, value)
    }

    fn some(&mut self, name: &'static str, value: Option<&impl Serialize>) -> Written {
        value.map_or(Ok(()), |value| self.any(name, value))
    }
}

fn text(out: &mut Vec<u8>, value: &str) -> Written {
    if plain_length(value.as_bytes()) < value.len() {
        return serde_json::to_writer(out, value);
    }
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Line;
    use crate::audit::{Decision, Event, Need, Outcome, OutcomeResult, Record, Rejection, RuleId, Verdict, Why};
    use crate::caller::{ActorPath, Subject};
    use crate::digest::Digest;
    use crate::env::{Clock as _, ManualClock, SeededEntropy, Timestamp};
    use crate::ids::{ClientId, GrantId, RequestId, TaskId, TokenId, UserId};
    use crate::refusal::SetName;
    use crate::scope::{Scope, ScopeSet};

    fn assert_as_derived(at: Timestamp, event: Event) {
        let request = RequestId::generate(ManualClock::default().now(), &SeededEntropy::default());
        let record = Record { at, request, event };
        let mut line = Vec::new();
        record.write_line(&mut line).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert_eq!(line, format!("{request} {}", serde_json::to_string(&Line { at, event: &record.event }).unwrap()));
        assert!(!line.contains('\n'));
        assert_eq!(Record::request_of_line(&line), Some(request));
        assert_eq!(Record::read_line(&line).unwrap(), record);
    }

    proptest! {
        /// A call is on record in the same words, whoever writes them: every member, there or not, with anything in it.
        #[test]
        fn the_lines_of_calls_are_those_of_the_derive(
            there in any::<[bool; 14]>(),
            words in prop::collection::vec(any::<String>(), 3),
            rules in prop::collection::vec(any::<String>(), 0..3),
            (picked, numbers) in (0usize..12, any::<(u16, u64, u64)>()),
            at in -1_000_000_000_000_i64..10_000_000_000_000,
        ) {
            let (clock, entropy) = (ManualClock::default(), SeededEntropy::default());
            let at = Timestamp::from_microsecond(at).unwrap();
            let mut there = there.into_iter();
            let mut is = || there.next().unwrap();
            let clients: Vec<ClientId> =
                ["https://client.example/a\"b\\c", "plain"].iter().map(|text| text.parse().unwrap()).collect();
            let subject = match picked % 3 {
                0 => Subject::Anonymous,
                1 => Subject::Service(clients[0].clone()),
                _ => Subject::User(UserId::generate(clock.now(), &entropy)),
            };
            let decision = Decision {
                subject,
                client: is().then(|| clients[picked % 2].clone()),
                path: is().then(|| ActorPath::new(clients.clone()).unwrap()),
                grant: is().then(|| GrantId::generate(clock.now(), &entropy)),
                token: is().then(|| TokenId::generate(clock.now(), &entropy)),
                issuer: is().then(|| words[2].as_str().into()),
                task: is().then(|| TaskId::generate(clock.now(), &entropy)),
                server: "notes".parse().unwrap(),
                method: words[0].clone().into(),
                target: is().then(|| words[1].clone()),
                arguments: is().then(|| Digest::of(b"arguments")),
                verdict: [Verdict::Ask, Verdict::Deny, Verdict::Permit, Verdict::StepUp][picked % 4],
                set: is().then(|| [SetName::Grant, SetName::Need, SetName::Rights][picked % 3]),
                need: [Need::Inside, Need::Outside, Need::Undeclared][picked % 3],
                why: is().then(|| [Why::Rights, Why::BudgetSpent][picked % 2]),
                observed: is().then(|| [Why::OutsideTask, Why::Rights][picked % 2]),
                because: rules.iter().map(|rule| RuleId::read(rule)).collect(),
                scopes: if is() { [Scope::read(), Scope::tool("a")].into_iter().collect() } else { ScopeSet::empty() },
            };
            assert_as_derived(at, Event::Decision(Box::new(decision)));
            use OutcomeResult as R;
            let results = [R::Answered, R::Cancelled, R::Error, R::Revoked, R::Stopping, R::Unconfirmed, R::UpstreamFailed];
            let result = results[picked % results.len()];
            let (status, bytes, millis) = numbers;
            assert_as_derived(at, Event::Outcome(Outcome { server: "notes".parse().unwrap(), result, status, bytes, millis }));
            let (reason, detail) = (words[1].clone(), words[2].clone());
            assert_as_derived(at, Event::Rejection(Rejection { server: None, status, reason, detail }));
        }
    }
}
