//! The texts that `specmap` reads: files, folders and URLs.

use std::path::{Path, PathBuf};

use sekisho_client::http::Destination;
use sekisho_specification::{BYTES_MAX, SOURCES_MAX, Source};

use crate::cli::ClientOptions;
use crate::cli::WayThere;
use crate::command::visible;
use crate::documents::{self, DocumentError};
use crate::error::CommandError;

/// The file name extensions of texts in a folder.
const ENDINGS: [&str; 6] = ["htm", "html", "markdown", "md", "mdx", "txt"];
/// How many levels of folders are read.
const DEPTH_MAX: usize = 32;
/// How many entries of folders are read.
const ENTRIES_MAX: usize = 200_000;

/// Adds the texts of a file, a folder or a URL.
pub(super) async fn add(name: &str, way: &WayThere, texts: &mut Vec<Source>) -> Result<(), CommandError> {
    if name.starts_with("https://") || name.starts_with("http://") {
        texts.push(fetch(name, way).await?);
        return Ok(());
    }
    let path = Path::new(name);
    let paths = if path.is_dir() { within(path)? } else { vec![path.to_owned()] };
    let mut bytes: u64 = texts.iter().map(|source| source.text.len() as u64).sum();
    for path in paths {
        // The length is checked first, so that a text which would be refused is not read.
        let length = std::fs::metadata(&path).map_err(|error| unreadable(&path, &error))?.len();
        bytes = bytes.saturating_add(length);
        if bytes > BYTES_MAX as u64 {
            return Err(CommandError::usage(
                format!("with `{}` these texts have {bytes} bytes, and at most {BYTES_MAX} are read", path.display()),
                "name fewer",
            ));
        }
        let read = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?;
        let text = String::from_utf8(read).map_err(|_| no_text(&path.display().to_string()))?;
        texts.push(Source::new(path.display().to_string(), text));
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::environment(format!("`{}` cannot be read: {error}", path.display()), "check the path")
}

fn no_text(name: &str) -> CommandError {
    CommandError::usage(
        format!("`{name}` is not a text"),
        "give Markdown, MDX, HTML, or an RFC as plain text, in UTF-8",
    )
}

/// Returns the texts in a folder and below, sorted by path. Does not follow links or enter hidden folders.
fn within(folder: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), 0)];
    let mut entries = 0;
    while let Some((folder, depth)) = open.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))? {
            let entry = entry.map_err(|error| unreadable(&folder, &error))?;
            let kind = entry.file_type().map_err(|error| unreadable(&entry.path(), &error))?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            entries += 1;
            let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
            if name.starts_with('.') || matches!(name.as_str(), "node_modules" | "target") {
            } else if kind.is_dir() && depth < DEPTH_MAX {
                open.push((path, depth + 1));
            } else if kind.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
                found.push(path);
            }
            if found.len() > SOURCES_MAX || entries > ENTRIES_MAX {
                return Err(CommandError::usage(
                    format!("`{}` holds more than {SOURCES_MAX} texts, or too much else", folder.display()),
                    "name a folder in it",
                ));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Fetches the text at a URL; addresses inside the network are refused unless that is allowed.
async fn fetch(url: &str, way: &WayThere) -> Result<Source, CommandError> {
    let address = url.split('#').next().unwrap_or(url);
    let options = ClientOptions {
        ca_file: way.ca_file.clone(),
        allow_network: way.allow_network.clone(),
        ..ClientOptions::default()
    };
    let to = Destination::given(address);
    documents::fetch(options.http()?.as_ref(), to, BYTES_MAX).await.map_err(|error| match error {
        DocumentError::Http(error) => CommandError::environment(
            format!("`{address}`: {error}"),
            "check the URL; `--allow-network` and `--ca-file` widen the way there",
        ),
        DocumentError::NotText => no_text(address),
        DocumentError::Redirect { there } => CommandError::environment(
            format!("`{address}` leads to `{}`", visible(&there)),
            "give that URL, if you mean it: redirects are not followed",
        ),
        DocumentError::Status(status) => CommandError::environment(
            format!("`{address}` answered {}", status.as_u16()),
            "open it in a browser to see what is there",
        ),
    })
}
