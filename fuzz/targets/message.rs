//! A JSON-RPC message of a stranger: never a panic, and what is read strictly is JSON to every reader.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sekisho_protocol::mcp::message::Message;
use sekisho_protocol::mcp::strict::Limits;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::read(bytes, &Limits::default()) else { return };
    assert_eq!(message.bytes(), bytes);
    let method = message.method().map(str::to_owned);
    #[cfg(planted)]
    assert!(method.is_none() || message.id().is_none(), "planted");
    let _ = method;
});
