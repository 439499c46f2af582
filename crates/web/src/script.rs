//! The one script of the pages (see [`crate::door`]).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sekisho_protocol::digest::Digest;

/// The script of the pages before and behind a door. Nothing is put into it: what it needs stands in its attributes.
pub(crate) const SCRIPT: &str = include_str!("../../../templates/web/door.js");

/// What `Content-Security-Policy` says so that this script runs and no other (CSP Level 3 §2.3.1, hash sources).
pub(crate) fn script_policy() -> String {
    format!("script-src 'sha256-{}'; ", STANDARD.encode(Digest::of(SCRIPT.as_bytes()).as_bytes()))
}
