//! The demo: a story of a few calls through real HTTP, its notebook server, and a proxy that is naive on purpose.
//!
//! `app` starts a checkpoint with the servers of the story and passes it to [`play`]. From then on this crate acts from
//! outside: as a client of the checkpoint, a person with a browser, and an operator who runs commands. It knows nothing
//! about the issuer, the gateway or the console. Production builds leave it out, because the naive proxy is vulnerable.
//!
//! Start from [`play`]. To add a scene: a function in `scenes.rs` or `attacks.rs`, a variant of `Story`, a row in
//! `ALL`.

mod attacks;
mod checkpoint;
mod failure;
mod naive;
pub mod notes;
mod output;
mod person;
mod scene;
mod scenes;

use std::path::{Path, PathBuf};

pub use checkpoint::{CheckpointParts, OWNER, POLICY, READER};
pub use naive::NaiveProxy;
pub use output::Output;

use checkpoint::Checkpoint;
use scene::Scene;
use scenes::{ALL, Script};

/// Why the demo did not end well.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The story could not begin.
    #[error("the story cannot begin: {0}")]
    Begin(String),
    /// Scenes had another outcome than expected.
    #[error("these scenes went otherwise: {0}")]
    Otherwise(String),
    /// The pictures could not be written.
    #[error("`{}` cannot be written: {error}", folder.display())]
    Write {
        /// The folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        error: std::io::Error,
    },
}

/// Which scenes are played, and where they are printed and drawn.
#[derive(Debug, Clone, Copy)]
pub struct Performance<'a> {
    /// The name of the only scene to play; `None` plays all.
    pub scene: Option<&'a str>,
    /// How steps are printed.
    pub output: Output,
    /// The folder for the diagrams of the scenes.
    pub out: Option<&'a Path>,
}

/// The names of all scenes, in the order in which they are played.
pub fn scene_names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|script| script.name)
}

/// Plays the story at a running checkpoint. A scene that fails does not stop the later ones.
pub async fn play(checkpoint: CheckpointParts, performance: Performance<'_>) -> Result<(), DemoError> {
    let checkpoint = Checkpoint::new(checkpoint).map_err(|failure| DemoError::Begin(failure.0))?;
    if let Output::Text(print) = performance.output {
        let base_url = &checkpoint.base_url;
        print(&format!(
            "A checkpoint at {base_url} in front of three small servers, in a folder that is gone afterwards."
        ));
        print("");
    }
    let mut otherwise = Vec::new();
    let is_chosen = |script: &&Script| performance.scene.is_none_or(|name| name == script.name);
    for script in ALL.iter().filter(is_chosen) {
        let mut scene = Scene::begin(script.name, script.title, performance.output);
        let played = script.play(&checkpoint, &mut scene).await;
        let folder = performance.out.map(Path::to_owned).unwrap_or_default();
        scene.end(played, performance.out).map_err(|error| DemoError::Write { folder, error })?;
        if !scene.is_good() {
            otherwise.push(script.name);
        }
    }
    if otherwise.is_empty() { Ok(()) } else { Err(DemoError::Otherwise(otherwise.join(", "))) }
}
