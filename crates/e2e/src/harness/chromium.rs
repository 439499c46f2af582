//! A real browser that a test drives step by step.

use serde_json::{Value, json};

use super::Process;
use super::node;

/// A running Chromium with a fresh profile. It ends when it is dropped.
#[derive(Debug)]
pub struct Chromium {
    process: Process,
    /// How many lines it has answered.
    answers: usize,
}

impl Chromium {
    /// Opens a browser.
    pub async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// Opens a browser that takes every certificate.
    pub async fn trusting_all() -> Self {
        Self::open_with(&["--trust-all"]).await
    }

    async fn open_with(arguments: &[&str]) -> Self {
        let mut browser = Self { process: node::start("browse", arguments), answers: 0 };
        let opened = browser.next().await;
        assert_eq!(opened["ok"], true, "the browser does not open: {opened:#}\n{}", browser.process.stderr().now());
        browser
    }

    /// Takes a step and returns what is seen then: `url`, `title`, `text`. The test fails if it cannot be taken.
    pub async fn step(&mut self, step: &Value) -> Value {
        self.process.write(&format!("{step}\n"));
        let seen = self.next().await;
        assert_eq!(seen["ok"], true, "{step}: {seen:#}\n{}", self.process.stderr().now());
        seen
    }

    /// Opens a URL.
    pub async fn goto(&mut self, url: &str) -> Value {
        self.step(&json!({ "goto": url })).await
    }

    /// Presses the first link or button with this text.
    pub async fn press(&mut self, text: &str) -> Value {
        self.step(&json!({ "press": text })).await
    }

    /// Waits until the page has this text.
    pub async fn expect(&mut self, text: &str) -> Value {
        self.step(&json!({ "expect": text })).await
    }

    /// Fills a field, by its name.
    pub async fn fill(&mut self, name: &str, value: &str) {
        self.step(&json!({ "fill": [name, value] })).await;
    }

    async fn next(&mut self) -> Value {
        let wanted = self.answers;
        let line = self
            .process
            .stdout()
            .find(|text| {
                let complete = text.rsplit_once('\n')?.0;
                complete.lines().nth(wanted).map(str::to_owned)
            })
            .await;
        let Some(line) = line else { panic!("the browser says nothing more:\n{}", self.process.stderr().now()) };
        self.answers += 1;
        serde_json::from_str(&line).expect("an answer is JSON")
    }
}
