//! `WWW-Authenticate` of a stranger: never a panic, and what is read was written there.
#![no_main]

use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use sekisho_client::challenge::bearer;

fuzz_target!(|lines: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n').take(4) {
        if let Ok(value) = line.try_into() {
            headers.append("www-authenticate", value);
        }
    }
    let Some(challenge) = bearer(&headers) else { return };
    if let Some(named) = &challenge.resource_metadata {
        // Escapes only take characters away.
        let text = String::from_utf8_lossy(lines).replace('\\', "");
        assert!(text.contains(named.replace('\\', "").as_str()), "{named}");
    }
    #[cfg(planted)]
    assert!(challenge.resource_metadata.is_none() || challenge.error.is_none(), "planted");
});
