//! A resource's URI of a stranger: never a panic, and what is accepted has one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sekisho_protocol::uri::{PatternPart, ResourceUri, folded_pattern};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = ResourceUri::is_beginning(text);
    let _ = ResourceUri::parse_template(text).map(|uri| uri.readings());
    match ResourceUri::parse(text) {
        Ok(uri) => {
            assert_eq!(uri.as_str(), text);
            #[cfg(planted)]
            assert!(!text.contains('?'), "planted");
            // It stands for itself in a rule.
            let folded = folded_pattern(&[PatternPart::Text(text.to_owned())]);
            let [first, ..] = uri.readings();
            assert_eq!(folded, [PatternPart::Text(first)]);
        }
        Err(refused) => {
            // The form that a refusal names is served.
            let Some(canonical) = refused.canonical else { return };
            assert!(ResourceUri::parse(&canonical).is_ok(), "{canonical}");
        }
    }
});
