//! `sekisho specmap`: draws a specification as a picture. The crate `specification` reads texts; they are fetched here.

use sekisho_specification::{self as specification, AskError, External, Map, Options, ReadError, Source};

use super::print_json;
use crate::cli::{
    Common, SpecmapArguments, SpecmapCommand, SpecmapDiffArguments, SpecmapDiffFormat, SpecmapExternal, SpecmapFormat,
    WayThere,
};
use crate::error::CommandError;
use crate::map_picture::{self, Format};
use crate::telemetry;

mod sources;

/// Reads the texts, and prints the chosen view of them.
pub(crate) async fn specmap(common: &Common, arguments: &SpecmapArguments) -> Result<(), CommandError> {
    telemetry::start_quiet();
    if let Some(SpecmapCommand::Diff(arguments)) = &arguments.command {
        return diff(common, arguments).await;
    }
    let map = read(&arguments.sources, &arguments.way).await?;
    let json = common.json || arguments.format == Some(SpecmapFormat::Json);
    if arguments.normative {
        let rows = map.normative();
        return match arguments.format {
            _ if json => print_json(&rows),
            None | Some(SpecmapFormat::Markdown) => print(&specification::normative_markdown(&rows)),
            Some(_) => Err(other_format("--normative", "json or markdown")),
        };
    }
    if arguments.reading_order {
        let order = map.reading_order();
        return match arguments.format {
            _ if json => print_json(&order),
            None | Some(SpecmapFormat::Markdown) => print(&order.to_string()),
            Some(_) => Err(other_format("--reading-order", "json or markdown")),
        };
    }
    if let Some(section) = &arguments.pack {
        return match arguments.format {
            None | Some(SpecmapFormat::Markdown) => print(&map.pack(section, arguments.size).map_err(unanswered)?),
            Some(_) => Err(other_format("--pack", "markdown")),
        };
    }
    let format = match arguments.format {
        _ if json => Format::Json,
        Some(SpecmapFormat::Dot) => Format::Dot,
        Some(SpecmapFormat::Markdown) => return Err(other_format("a picture", "mermaid, svg, dot or json")),
        Some(SpecmapFormat::Svg) => Format::Svg,
        None | Some(SpecmapFormat::Json | SpecmapFormat::Mermaid) => Format::Mermaid,
    };
    let external = match arguments.external {
        SpecmapExternal::All => External::All,
        SpecmapExternal::Collapsed => External::Collapsed,
        SpecmapExternal::None => External::None,
    };
    let options = Options { lines: arguments.lines, external, focus: arguments.focus.clone() };
    print(&map_picture::draw(&map, &options, format).map_err(unanswered)?)
}

async fn diff(common: &Common, arguments: &SpecmapDiffArguments) -> Result<(), CommandError> {
    let before = read(std::slice::from_ref(&arguments.before), &arguments.way).await?;
    let after = read(std::slice::from_ref(&arguments.after), &arguments.way).await?;
    let difference = specification::diff(&before, &after);
    let picture = difference.to_mermaid(arguments.lines).map_err(unanswered)?;
    match arguments.format {
        _ if common.json => print_json(&difference),
        SpecmapDiffFormat::Json => print_json(&difference),
        SpecmapDiffFormat::Markdown => print(&format!("```mermaid\n{picture}```\n\n{}", difference.to_markdown())),
        SpecmapDiffFormat::Mermaid => print(&picture),
    }
}

async fn read(names: &[String], way: &WayThere) -> Result<Map, CommandError> {
    let mut texts: Vec<Source> = Vec::new();
    for name in names {
        sources::add(name, way, &mut texts).await?;
    }
    specification::read(&texts).map_err(unread)
}

/// Makes an error of a text: the sentence before its colon, and the hint after it.
fn parted(text: &str) -> CommandError {
    let (message, help) = text.rsplit_once(": ").unwrap_or((text, "see `sekisho specmap --help`"));
    CommandError::usage(message, help)
}

fn unanswered(error: AskError) -> CommandError {
    match error {
        AskError::Ambiguous { section, candidates } => CommandError::usage(
            format!("`{section}` may be {candidates}"),
            "name one by its anchor, its number or its whole title",
        ),
        AskError::Unknown { section, candidates } => {
            CommandError::usage(format!("there is no section `{section}`"), format!("there are {candidates}"))
        }
        AskError::Lines { .. } | AskError::Size { .. } => parted(&error.to_string()),
    }
}

fn unread(error: ReadError) -> CommandError {
    parted(&error.to_string())
}

fn other_format(what: &str, formats: &str) -> CommandError {
    CommandError::usage(format!("{what} is not written in this format"), format!("name {formats}"))
}

/// Prints foreign text with control characters escaped, because a terminal would obey them (ATK-95).
fn print(text: &str) -> Result<(), CommandError> {
    let control = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    say_part!("{}", text.replace(control, "\u{fffd}"));
    Ok(())
}
