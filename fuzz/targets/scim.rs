//! What a provisioning client sends: a filter and a change. Never a panic; a filter is read as it was written; what a change
//! makes of a user has what a user must have.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sekisho_scim::filter::Filter;
use sekisho_scim::patch::{Patch, SCHEMA, Target};
use sekisho_scim::resource;
use sekisho_scim::schema::{ENTERPRISE, Kind, USER};
use serde_json::{Map, Value, json};

static ADA: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let body = json!({
        "schemas": [USER], "userName": "ada", "active": true, "name": { "givenName": "Ada" },
        "emails": [{ "value": "a@work", "type": "work", "primary": true }, { "value": "a@home" }],
        ENTERPRISE: { "department": "Engines" },
    });
    resource::read(Kind::User, &body).expect("it is a user")
});

fuzz_target!(|text: &str| {
    if let Ok(filter) = Filter::parse(text) {
        #[cfg(planted)]
        assert!(!text.contains("eq"), "planted");
        assert_eq!(Filter::parse(&filter.to_string()), Ok(filter.clone()));
        let _ = filter.matches(Kind::User, &ADA);
    }
    let _ = Target::parse(text);
    // One operation, if it is JSON; else the text as a path and as a value.
    let operation =
        serde_json::from_str(text).unwrap_or_else(|_| json!({ "op": "replace", "path": text, "value": text }));
    if let Ok(patch) = Patch::read(&json!({ "schemas": [SCHEMA], "Operations": [operation] }))
        && let Ok(after) = patch.apply(Kind::User, &ADA)
    {
        assert!(after["userName"].is_string());
        let mut body = after.clone();
        body.insert("schemas".to_owned(), json!([USER]));
        // What a change makes is a user that could have been sent whole.
        assert_eq!(resource::read(Kind::User, &Value::Object(body)), Ok(after));
    }
});
