//! `sekisho demo`: a whole checkpoint on loopback, and the story of a few calls through real HTTP.

mod attacks;
mod naive;
mod person;
mod scene;
mod scenes;
mod world;

use scene::Scene;
use world::World;

use super::connect_lines::print_connect_lines;
use super::serve::stop_signal;
use crate::cli::{Common, DemoArguments};
use crate::error::CommandError;
use crate::telemetry;

/// Plays the story; then stays up unless told otherwise.
pub(crate) async fn play(common: &Common, arguments: &DemoArguments) -> Result<(), CommandError> {
    telemetry::start_quiet();
    let chosen: Vec<_> =
        scenes::ALL.iter().filter(|scene| arguments.scene.as_deref().is_none_or(|name| name == scene.name)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = scenes::ALL.iter().map(|scene| scene.name).collect();
        return Err(CommandError::usage("there is no such scene", format!("scenes: {}", names.join(", "))));
    }
    let world = World::start(arguments.listen).await?;
    if !common.json {
        say_lines!(
            "A checkpoint at {} in front of three small servers, in a folder that is gone afterwards.\n",
            world.base_url
        );
    }
    let mut failed = Vec::new();
    for script in chosen {
        let mut scene = Scene::begin(script, common.json);
        let played = script.play(&world, &mut scene).await;
        scene.end(played, arguments.out.as_deref())?;
        if !scene.is_good() {
            failed.push(script.name);
        }
    }
    if !failed.is_empty() {
        world.stop().await;
        return Err(CommandError::no(format!("these scenes went otherwise: {}", failed.join(", "))));
    }
    if !arguments.once {
        stay(common, &world).await;
    }
    world.stop().await;
    Ok(())
}

async fn stay(common: &Common, world: &World) {
    if common.json {
        let _ = super::print_json(
            &serde_json::json!({ "ready": true, "base_url": world.base_url, "servers": [{ "name": "notes", "url": world.notes.as_str() }], "pid": std::process::id() }),
        );
    } else {
        say_lines!("It stays up until Ctrl-C. Try it yourself:");
        say_lines!(
            "  log in as `{}` (owner) or `{}` (may read) with the password `{}`",
            world::OWNER,
            world::READER,
            world.password
        );
        if let Ok(name) = "notes".parse() {
            print_connect_lines(&name, world.notes.as_str());
        }
        say_lines!("\nYour own server: sekisho run -- PROGRAM, or sekisho run --http URL");
    }
    if let Ok(mut stop) = stop_signal() {
        let _ = stop.wait_for(|stop| *stop).await;
    }
}
