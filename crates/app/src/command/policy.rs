//! `sekisho policy`

mod tested;

use std::path::Path;

use sekisho_policy::rights::{format_policies, schema_text};

use super::{check, print_json, visible};
use crate::cli::{Common, PolicyCommand};
use crate::config::{Configuration, policy_folder};
use crate::configuration_file::Loaded;
use crate::configuration_report as report;
use crate::error::CommandError;

/// Performs one of the `policy` commands.
pub(crate) async fn perform(common: &Common, command: PolicyCommand) -> Result<(), CommandError> {
    match command {
        PolicyCommand::Check { config } => {
            let mut loaded = report::read(&config)?;
            check::compare(common, &mut loaded).await;
            let configuration = usable(loaded, &config)?;
            let names: Vec<&str> = configuration.policy_files.iter().map(|file| file.name.as_str()).collect();
            if common.json {
                return print_json(&serde_json::json!({ "files": names.len(), "names": names }));
            }
            match names.len() {
                0 => say!(
                    "there are no policy files in `{}`: only the configuration itself gives rights",
                    policy_folder(&config, &configuration).display()
                ),
                1 => say!("1 policy file is good: {}", visible(&names.join(", "))),
                count => say!("{count} policy files are good: {}", visible(&names.join(", "))),
            }
            Ok(())
        }
        PolicyCommand::Format { config, check } => format(&config, check),
        PolicyCommand::Schema => {
            say_part!("{}", schema_text());
            Ok(())
        }
        PolicyCommand::Test { config } => tested::test(common, &usable(report::read(&config)?, &config)?, &config),
    }
}

/// Returns the configuration with its policies, if both are without mistakes.
fn usable(loaded: Loaded, path: &Path) -> Result<Configuration, CommandError> {
    // Warnings are reported too: a rule with a text that no URI can have never matches.
    report::report_sound(&loaded);
    if loaded.is_sound() {
        return Ok(loaded.configuration);
    }
    Err(CommandError::no(format!("`{}` and its policies have mistakes", path.display())))
}

fn format(path: &Path, only_check: bool) -> Result<(), CommandError> {
    let configuration = usable(report::read(path)?, path)?;
    let folder = policy_folder(path, &configuration);
    let mut others = Vec::new();
    for file in &configuration.policy_files {
        let text = format_policies(file).map_err(|fault| CommandError::no(fault.to_string()))?;
        if text == file.text {
            continue;
        }
        others.push(file.name.clone());
        if !only_check {
            let target = folder.join(&file.name);
            std::fs::write(&target, text).map_err(|error| {
                CommandError::environment(format!("`{}` cannot be written: {error}", target.display()), "see its mode")
            })?;
        }
    }
    match (others.is_empty(), only_check) {
        (true, _) => say!("all policy files are in their usual form"),
        (false, true) => return Err(CommandError::no(format!("not in their usual form: {}", others.join(", ")))),
        (false, false) => say!("written: {}", others.join(", ")),
    }
    Ok(())
}
