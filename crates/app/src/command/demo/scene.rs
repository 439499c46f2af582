//! One scene: what is printed, what is checked, what is drawn.

use std::fmt::Write as _;
use std::path::Path;

use sekisho_client::http::Leg;
use sekisho_client::mcp::McpAnswer;
use sekisho_picture::sequence::Sequence;
use serde_json::Value;

use super::scenes::Script;
use crate::command::legs::{answered, path, said};
use crate::error::CommandError;

/// Why a scene could not be played to its end.
#[derive(Debug)]
pub(super) struct Failure(String);

/// Wraps whatever stopped a scene, causes included.
pub(super) fn failure(error: impl Into<Reason>) -> Failure {
    Failure(error.into().0)
}

/// An error with its causes, or a plain sentence.
pub(super) struct Reason(String);

impl<E: Into<Box<dyn std::error::Error>>> From<E> for Reason {
    fn from(error: E) -> Self {
        let error: Box<dyn std::error::Error> = error.into();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let _ = write!(text, ": {inner}");
            cause = inner.source();
        }
        Self(text)
    }
}

/// A scene while it is played.
pub(super) struct Scene {
    script: &'static Script,
    json: bool,
    steps: usize,
    good: bool,
    sequence: Sequence,
    exchange: String,
}

impl Scene {
    /// Prints its title.
    pub(super) fn begin(script: &'static Script, json: bool) -> Self {
        if !json {
            say_lines!("{} — {}", script.name, script.title);
        }
        Self { script, json, steps: 0, good: true, sequence: Sequence::new(script.title), exchange: String::new() }
    }

    /// Whether everything went as it should.
    pub(super) fn is_good(&self) -> bool {
        self.good
    }

    /// Takes what really went over the wire into the picture.
    pub(super) fn legs(&mut self, who: &str, legs: Vec<Leg>) {
        for leg in legs {
            let path = path(&leg.url);
            let gateway = path.starts_with("/mcp/") || path.starts_with("/.well-known/oauth-protected-resource");
            let party = if gateway { "Gateway" } else { "Issuer" };
            let who = if matches!(path.split('/').nth(1), Some("login" | "consent"))
                || path.starts_with("/oauth/authorize")
            {
                "Browser"
            } else {
                who
            };
            self.sequence.message(who, party, &format!("{} {path}{}", leg.method, said(&leg)));
            let status = leg.outcome.as_ref().map_or_else(String::clone, ToString::to_string);
            self.sequence.answer(party, who, &format!("{status}{}", answered(&leg)));
            self.write_exchange(&leg, &status);
        }
    }

    /// The same between two parties of a story about an attack, each arrow with the clause that it is about.
    pub(super) fn arrows(&mut self, who: &str, party: &str, clause: &str, legs: Vec<Leg>) {
        for leg in legs {
            let what = format!("{} {}{}", leg.method, path(&leg.url), said(&leg));
            self.sequence.message(who, party, &format!("{what} ({clause})"));
            let status = leg.outcome.as_ref().map_or_else(String::clone, ToString::to_string);
            self.sequence.answer(party, who, &format!("{status}{}", answered(&leg)));
            self.write_exchange(&leg, &status);
        }
    }

    fn write_exchange(&mut self, leg: &Leg, status: &str) {
        let _ = writeln!(self.exchange, "{} {}", leg.method, leg.url);
        for (name, value) in &leg.request_headers {
            let _ = writeln!(self.exchange, "{name}: {value}");
        }
        let _ = writeln!(self.exchange, "\n{}\n\n← {status}", leg.request_body);
        for (name, value) in &leg.response_headers {
            let _ = writeln!(self.exchange, "{name}: {value}");
        }
        let _ = writeln!(self.exchange, "\n{}\n\n", leg.response_body);
    }

    /// One step of the story: what was done, what came of it, and whether that is what should come.
    pub(super) fn step(&mut self, what: &str, came: &str, why: &str, as_it_should: bool) {
        self.steps += 1;
        self.good &= as_it_should;
        if self.json {
            let line = serde_json::json!({ "scene": self.script.name, "step": self.steps, "what": what, "came": came, "why": why, "good": as_it_should });
            crate::say::json(&line.to_string());
        } else {
            let mark = if as_it_should { ' ' } else { '!' };
            say_lines!(" {mark}{:>2}  {what:<58} {came:<5} {why}", self.steps);
        }
    }

    /// A step that is one HTTP answer with an expected status.
    pub(super) fn answer(&mut self, what: &str, answer: &McpAnswer, expected: u16, why: &str) {
        let status = answer.status.as_u16();
        let failed = answer.result().is_some_and(|result| result.get("isError") == Some(&Value::Bool(true)));
        self.step(what, &status.to_string(), why, status == expected && !failed);
    }

    /// Prints how it ended, and writes its picture where asked.
    pub(super) fn end(&mut self, played: Result<(), Failure>, out: Option<&Path>) -> Result<(), CommandError> {
        if let Err(Failure(reason)) = played {
            self.step("the scene stopped", "-", &reason, false);
        }
        if !self.json {
            say!();
        }
        let Some(folder) = out else { return Ok(()) };
        let failed = |error: std::io::Error| {
            CommandError::environment(
                format!("`{}` cannot be written: {error}", folder.display()),
                "name another folder with --out DIR",
            )
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        std::fs::write(folder.join(format!("{}.mmd", self.script.name)), self.sequence.to_mermaid()).map_err(failed)?;
        std::fs::write(folder.join(format!("{}.svg", self.script.name)), self.sequence.to_svg()).map_err(failed)?;
        std::fs::write(folder.join(format!("{}.http", self.script.name)), &self.exchange).map_err(failed)
    }
}
