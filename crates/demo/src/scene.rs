//! One scene: what is printed, what is checked, and what is drawn.

use std::fmt::Write as _;
use std::path::Path;

use sekisho_client::http::Leg;
use sekisho_client::legs::{error_summary, path, request_summary};
use sekisho_client::mcp::McpAnswer;
use sekisho_picture::sequence::Sequence;
use serde_json::Value;

use crate::failure::Failure;
use crate::output::Output;

/// A scene while it is played.
pub(crate) struct Scene {
    name: &'static str,
    output: Output,
    steps: usize,
    good: bool,
    sequence: Sequence,
    exchange: String,
}

impl Scene {
    /// Begins a scene, and prints its title.
    pub(crate) fn begin(name: &'static str, title: &'static str, output: Output) -> Self {
        if let Output::Text(print) = output {
            print(&format!("{name} — {title}"));
        }
        Self { name, output, steps: 0, good: true, sequence: Sequence::new(title), exchange: String::new() }
    }

    /// Whether every step had the expected outcome.
    pub(crate) fn is_good(&self) -> bool {
        self.good
    }

    /// Adds the recorded HTTP exchanges to the diagram.
    pub(crate) fn legs(&mut self, who: &str, legs: Vec<Leg>) {
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
            self.sequence.message(who, party, &format!("{} {path}{}", leg.method, request_summary(&leg)));
            let status = leg.outcome.as_ref().map_or_else(String::clone, ToString::to_string);
            self.sequence.answer(party, who, &format!("{status}{}", error_summary(&leg)));
            self.write_exchange(&leg, &status);
        }
    }

    /// Does the same between two parties of a scene about an attack. Each arrow has the clause that it is about.
    pub(crate) fn arrows(&mut self, who: &str, party: &str, clause: &str, legs: Vec<Leg>) {
        for leg in legs {
            let what = format!("{} {}{}", leg.method, path(&leg.url), request_summary(&leg));
            self.sequence.message(who, party, &format!("{what} ({clause})"));
            let status = leg.outcome.as_ref().map_or_else(String::clone, ToString::to_string);
            self.sequence.answer(party, who, &format!("{status}{}", error_summary(&leg)));
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

    /// Adds one step of the story: what was done, what came of it, and whether that was expected.
    pub(crate) fn step(&mut self, what: &str, came: &str, why: &str, as_it_should: bool) {
        self.steps += 1;
        self.good &= as_it_should;
        match self.output {
            Output::Json(print) => {
                let line = serde_json::json!({ "scene": self.name, "step": self.steps, "what": what, "came": came, "why": why, "good": as_it_should });
                print(&line.to_string());
            }
            Output::Text(print) => {
                let mark = if as_it_should { ' ' } else { '!' };
                print(&format!(" {mark}{:>2}  {what:<58} {came:<5} {why}", self.steps));
            }
        }
    }

    /// Adds a step that is one HTTP response with an expected status.
    pub(crate) fn answer(&mut self, what: &str, answer: &McpAnswer, expected: u16, why: &str) {
        let status = answer.status.as_u16();
        let failed = answer.result().is_some_and(|result| result.get("isError") == Some(&Value::Bool(true)));
        self.step(what, &status.to_string(), why, status == expected && !failed);
    }

    /// Prints how the scene ended, and writes its diagram if a folder is given.
    pub(crate) fn end(&mut self, played: Result<(), Failure>, out: Option<&Path>) -> std::io::Result<()> {
        if let Err(Failure(reason)) = played {
            self.step("the scene stopped", "-", &reason, false);
        }
        if let Output::Text(print) = self.output {
            print("");
        }
        let Some(folder) = out else { return Ok(()) };
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join(format!("{}.mmd", self.name)), self.sequence.to_mermaid())?;
        std::fs::write(folder.join(format!("{}.svg", self.name)), self.sequence.to_svg())?;
        std::fs::write(folder.join(format!("{}.http", self.name)), &self.exchange)
    }
}
