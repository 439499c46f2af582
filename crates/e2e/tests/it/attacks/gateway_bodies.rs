//! Messages that different readers read differently.

use std::time::Duration;

use sekisho_e2e::fakes::call::{META_VERSION, headers, initialize, legacy, legacy_tool, message, tool};
use sekisho_e2e::fakes::oauth::Granted;
use sekisho_e2e::fakes::upstream::Speaks;
use sekisho_e2e::fakes::wire::{Ask, Reply};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::field::{Field, OWNER, UP, USER};

fn call_of(name: &str) -> Value {
    message("tools/call", json!({ "name": name, "arguments": {} }))
}

fn is_mismatch(reply: &Reply, what: &str) {
    assert_eq!(reply.status, 400, "{what}: {}", reply.text());
    assert_eq!(reply.json()["error"]["code"], -32020, "{what}: {}", reply.text());
}

/// ATK-65, PX-25, PX-26, TR-30: a header that contradicts the body, occurs twice or is empty is refused.
#[tokio::test]
async fn headers_that_disagree_with_the_body_are_refused() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let token = &granted.access;
    let plain = |method: &str| headers(UP, token, method).json(&call_of("wipe"));
    let bent = [
        ("another name", plain("tools/call").header("mcp-name", "look")),
        ("no name", plain("tools/call")),
        ("an empty name", plain("tools/call").header("mcp-name", "")),
        ("two names", plain("tools/call").header("mcp-name", "wipe").header("mcp-name", "wipe")),
        ("two different names", plain("tools/call").header("mcp-name", "wipe").header("mcp-name", "look")),
        ("a list of names", plain("tools/call").header("mcp-name", "wipe, look")),
        ("another case", plain("tools/call").header("mcp-name", "WIPE")),
        ("another name in base64", plain("tools/call").header("mcp-name", "=?base64?bG9vaw==?=")),
        ("broken base64", plain("tools/call").header("mcp-name", "=?base64?!!!?=")),
        ("base64 of another length", plain("tools/call").header("mcp-name", "=?base64?d2lwZQ=?=")),
        ("another method", plain("tools/list").header("mcp-name", "wipe")),
        ("another method's case", plain("Tools/Call").header("mcp-name", "wipe")),
        ("no method", plain("tools/call").without("mcp-method").header("mcp-name", "wipe")),
        ("two methods", plain("tools/call").header("mcp-method", "tools/list").header("mcp-name", "wipe")),
        ("a quoted name", plain("tools/call").header("mcp-name", "\"wipe\"")),
        ("an encoded name", plain("tools/call").header("mcp-name", "%77ipe")),
        ("no version", plain("tools/call").without("mcp-protocol-version").header("mcp-name", "wipe")),
        ("two versions", plain("tools/call").header("mcp-protocol-version", "2025-11-25").header("mcp-name", "wipe")),
    ];
    for (what, ask) in bent {
        let reply = field.ask(&ask).await;
        assert_eq!(reply.status, 400, "{what}: {}", reply.text());
        field.record_of(&reply).await;
    }
    is_mismatch(&field.ask(&plain("tools/call").header("mcp-name", "look")).await, "the plain lie");
    field.untouched();
    field.rejected("headers_disagree").await;
    let encoded = headers(UP, token, "tools/call").json(&call_of("look")).header("mcp-name", "=?base64?bG9vaw==?=");
    assert_eq!(field.ask(&encoded).await.status, 200, "an honest name may be encoded");
    field.is_healthy(&granted).await;
}

/// Returns bodies that two readers could read differently: a call of `look` to one and of `wipe` to another, or no
/// JSON.
fn differentials() -> Vec<String> {
    let meta = call_of("look")["params"]["_meta"].to_string();
    let call = |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
    let named = |members: &str| call(&format!(r#"{{{members},"arguments":{{}},"_meta":{meta}}}"#));
    let mut all = vec![
        named(r#""name":"look","name":"wipe""#),
        named(r#""name":"wipe","name":"look""#),
        named(r#""n\u0061me":"wipe","name":"look""#),
        named(r#""name":"look","n\u0061me":"wipe""#),
        format!(r#"{{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":{{"name":"look","_meta":{meta}}}}}"#),
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{{"name":"look","_meta":{meta}}}}}"#
        ),
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"look","_meta":{meta}}},"params":{{"name":"wipe","_meta":{meta}}}}}"#
        ),
        format!(
            r#"{{"jsonrpc":"2.0","jsonrpc":"1.0","id":1,"method":"tools/call","params":{{"name":"look","_meta":{meta}}}}}"#
        ),
    ];
    // Names that only look similar are other names to every reader: they may be forwarded, exactly as they are.
    for alike in ["nam\u{212f}", "\u{ff4e}ame", "n\u{0430}me"] {
        all.push(named(&format!(r#""name":"look","{alike}":"x""#)));
    }
    for folded in ["Name", "NAME", "naMe"] {
        all.push(named(&format!(r#""name":"look","{folded}":"wipe""#)));
        all.push(named(&format!(r#""{folded}":"wipe","name":"look""#)));
    }
    for folded in ["Method", "METHOD", "methoD", "m\u{0435}thod"] {
        all.push(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","{folded}":"tools/list","params":{{"name":"look","_meta":{meta}}}}}"#));
    }
    for folded in ["Params", "PARAMS", "param\u{017f}", "ParamS"] {
        all.push(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"look","_meta":{meta}}},"{folded}":{{"name":"wipe"}}}}"#));
    }
    for folded in ["Id", "ID", "\u{0131}d"] {
        all.push(format!(
            r#"{{"jsonrpc":"2.0","id":1,"{folded}":2,"method":"tools/call","params":{{"name":"look","_meta":{meta}}}}}"#
        ));
    }
    let good = named(r#""name":"look""#);
    for (before, after) in [
        ("\u{feff}", ""),
        ("", "x"),
        ("", "{}"),
        ("", "\n{}"),
        ("", &good),
        ("// x\n", ""),
        ("/* x */", ""),
        ("", "// x"),
        ("[", "]"),
        ("[[", "]]"),
        ("", ","),
        ("", "\0"),
        ("\0", ""),
        (")]}'\n", ""),
        ("", "]"),
        ("", "}"),
        ("\u{a0}", ""),
        ("\u{2028}", ""),
        ("\x0c", ""),
        ("{\"x\":", ""),
    ] {
        all.push(format!("{before}{good}{after}"));
    }
    for (from, to) in [
        (r#""id":1"#, r#""id":01"#),
        (r#""id":1"#, r#""id":1.5"#),
        (r#""id":1"#, r#""id":1e400"#),
        (r#""id":1"#, r#""id":-"#),
        (r#""id":1"#, r#""id":0x1"#),
        (r#""id":1"#, r#""id":NaN"#),
        (r#""id":1"#, r#""id":Infinity"#),
        (r#""id":1"#, r#""id":null"#),
        (r#""id":1"#, r#""id":true"#),
        (r#""id":1"#, r#""id":[1]"#),
        (r#""id":1"#, r#""id":{}"#),
        (r#""id":1"#, r#""id":+1"#),
        (r#""id":1"#, r#""id":.5"#),
        (r#""id":1"#, r#""id":1."#),
        (r#""id":1"#, r#"'id':1"#),
        (r#""id":1"#, r#"id:1"#),
        (r#""id":1"#, r#""id":1,"#),
        (r#""id":1"#, r#""id" 1"#),
        (r#""jsonrpc":"2.0""#, r#""jsonrpc":"1.0""#),
        (r#""jsonrpc":"2.0""#, r#""jsonrpc":2.0"#),
        (r#""jsonrpc":"2.0","#, ""),
        (r#""jsonrpc":"2.0""#, r#""jsonrpc":"2.00""#),
        (r#""jsonrpc":"2.0""#, r#""jsonrpc":null"#),
        (r#""look""#, "\"lo\nok\""),
        (r#""look""#, "\"lo\tok\""),
        (r#""look""#, r#""lo\xok""#),
        (r#""look""#, r#""lo\u12""#),
        (r#""look""#, r#""\ud800""#),
        (r#""look""#, r#""\udc00\ud800""#),
        (r#""look""#, "'look'"),
        (r#""look""#, "look"),
        (r#""look""#, "null"),
        (r#""look""#, "1"),
        (r#""look""#, r#"["look"]"#),
        (r#""look""#, r#"{"x":"look"}"#),
        (r#""look""#, "\"look"),
        (r#""method":"tools/call""#, r#""method":["tools/call"]"#),
        (r#""method":"tools/call""#, r#""method":null"#),
        (r#""method":"tools/call""#, r#""method":1"#),
        (r#""method":"tools/call""#, r#""method":"tools/call ""#),
        (r#""method":"tools/call""#, r#""method":"Tools/Call""#),
        (r#""method":"tools/call""#, r#""method":"tools//call""#),
        (r#""method":"tools/call""#, r#""method":"tools\/call\u0000""#),
        (r#""params":{"#, r#""params":[{"#),
        (r#""arguments":{}"#, r#""arguments":[]"#),
        (r#""arguments":{}"#, r#""arguments":"x""#),
        (r#""arguments":{}"#, r#""arguments":{"a":1,"a":2}"#),
        (r#""arguments":{}"#, r#""arguments":{"x":{"y":[{"z":1,"z":2}]}}"#),
        (r#""arguments":{}"#, r#""arguments":{,}"#),
        (r#""arguments":{}"#, r#""arguments":{"a":1,}"#),
        (r#""arguments":{}"#, r#""arguments":{"a":[1,]}"#),
        (r#""arguments":{}"#, r#""arguments":{},"Arguments":{}"#),
        (r#""arguments":{}"#, r#""arguments":{},"argument\u017f":{}"#),
        (r#""arguments":{}"#, r#""arguments":{"__proto__":1,"__proto__":2}"#),
        ("\"_meta\"", "\"_Meta\""),
        ("\"_meta\"", "\"_META\""),
        (META_VERSION, "io.modelcontextprotocol/ProtocolVersion"),
        ("2026-07-28", "2025-11-25"),
        ("2026-07-28", "2099-01-01"),
        (r#""2026-07-28""#, "20260728"),
    ] {
        all.push(good.replacen(from, to, 1));
    }
    // Every letter of every important name, in its other case and escaped.
    for name in [
        "name",
        "method",
        "params",
        "arguments",
        "jsonrpc",
        "_meta",
        "cursor",
        "uri",
        "protocolVersion",
        "capabilities",
    ] {
        for (at, letter) in name.char_indices().filter(|(_, letter)| letter.is_ascii_lowercase()) {
            let other = format!("{}{}{}", &name[..at], letter.to_ascii_uppercase(), &name[at + 1..]);
            let value = match name {
                "params" | "arguments" | "_meta" => "{}",
                _ => "\"wipe\"",
            };
            let beside = match name {
                "method" | "params" | "jsonrpc" => good.replacen('{', &format!(r#"{{"{other}":{value},"#), 1),
                _ => good.replacen(r#""params":{"#, &format!(r#""params":{{"{other}":{value},"#), 1),
            };
            all.push(beside);
        }
    }
    all
}

/// ATK-66: a body that could be read in two ways is refused, or is forwarded exactly as it was checked.
#[tokio::test]
async fn a_body_has_one_reading() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let all = differentials();
    assert!(all.len() >= 150, "{} variants", all.len());
    for body in &all {
        field.upstream.forget();
        let ask = headers(UP, &granted.access, "tools/call")
            .header("mcp-name", "look")
            .header("content-type", "application/json")
            .body(body.as_bytes());
        let reply = field.ask(&ask).await;
        assert!(reply.status < 500, "{body}: {}", reply.status);
        let seen = field.upstream.calls();
        if reply.status == 200 {
            // It was checked, permitted and forwarded: byte for byte, and nothing in it calls another tool.
            assert_eq!(seen.len(), 1, "{body}");
            assert_eq!(seen[0].body, body.as_bytes(), "what went on is what was judged");
            assert!(!body.contains("wipe"), "another reader would have called `wipe`: {body}");
        } else {
            assert!(seen.is_empty(), "{body} went on, and was answered {}", reply.status);
            assert!(matches!(reply.status, 400 | 403 | 404), "{body}: {}", reply.status);
        }
    }
    field.upstream.forget();
    field.rejected("body_unreadable").await;
    field.is_healthy(&granted).await;
}

/// ATK-67, TR-14, TR-51: no protocol version gets around the rules.
#[tokio::test]
async fn no_version_is_a_way_around() {
    for speaks in [Speaks::Modern, Speaks::Legacy] {
        let field = Field::before(speaks, "").await;
        let granted = field.granted(OWNER, "mcp:read").await;
        let token = &granted.access;
        for version in [
            "2024-11-05",
            "2025-03-26",
            "2025-06-18",
            "2025-11-25",
            "2026-07-28",
            "2099-01-01",
            "",
            "DRAFT-2026",
            "1",
            "2026-07-28 ",
            "2025-11-25, 2026-07-28",
        ] {
            for body in [call_of("wipe"), legacy_tool("wipe")] {
                let ask = Ask::post(UP)
                    .bearer(token)
                    .header("accept", "application/json, text/event-stream")
                    .json(&body)
                    .header("mcp-protocol-version", version);
                for ask in [
                    ask.clone(),
                    ask.clone().header("mcp-method", "tools/call").header("mcp-name", "wipe"),
                    ask.header("mcp-session-id", "guess"),
                ] {
                    let reply = field.ask(&ask).await;
                    assert!(
                        matches!(reply.status, 400 | 403 | 404),
                        "{version} {body}: {} {}",
                        reply.status,
                        reply.text()
                    );
                }
            }
        }
        let bare = Ask::post(UP)
            .bearer(token)
            .header("accept", "application/json, text/event-stream")
            .json(&legacy_tool("wipe"));
        assert!(matches!(field.ask(&bare).await.status, 400 | 403 | 404));
        if speaks == Speaks::Legacy {
            for revision in ["2025-06-18", "2025-11-25"] {
                let session = field
                    .ask(&legacy(UP, token, None, &initialize(revision)))
                    .await
                    .header("mcp-session-id")
                    .unwrap()
                    .to_owned();
                let weak = field.ask(&legacy(UP, token, Some((&session, revision)), &legacy_tool("wipe"))).await;
                assert_eq!(
                    (weak.status, weak.json()["error"]["code"].as_i64()),
                    (403, Some(1403)),
                    "{revision}: {}",
                    weak.text()
                );
                let other = if revision == "2025-06-18" { "2025-11-25" } else { "2025-06-18" };
                assert_eq!(
                    field.ask(&legacy(UP, token, Some((&session, other)), &legacy_tool("look"))).await.status,
                    400,
                    "a session has one revision"
                );
                assert_eq!(
                    field.ask(&legacy(UP, token, Some((&session, revision)), &legacy_tool("look"))).await.status,
                    200
                );
            }
        }
        assert!(field.upstream.calls().iter().all(|call| !call.text().contains("wipe")));
    }
}

/// ATK-69, TR-08: a batch is refused; no revision that is served here has batches.
#[tokio::test]
async fn a_batch_is_refused() {
    for speaks in [Speaks::Modern, Speaks::Legacy] {
        let field = Field::before(speaks, "").await;
        let granted = field.granted(OWNER, "mcp:read").await;
        for body in [
            json!([]),
            json!([call_of("look")]),
            json!([call_of("look"), call_of("wipe")]),
            json!([[call_of("wipe")]]),
            json!(vec![legacy_tool("look"); 1000]),
            json!([legacy_tool("look"), legacy_tool("wipe")]),
        ] {
            for version in ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"] {
                let ask = Ask::post(UP)
                    .bearer(&granted.access)
                    .header("accept", "application/json, text/event-stream")
                    .header("mcp-protocol-version", version)
                    .header("mcp-method", "tools/call")
                    .header("mcp-name", "look")
                    .json(&body);
                assert_eq!(field.ask(&ask).await.status, 400, "{version}");
            }
        }
        field.untouched();
        field.rejected("body_unreadable").await;
    }
}

/// Returns the tools that are listed for a caller.
async fn listed(field: &Field, granted: &Granted) -> Vec<String> {
    let reply = field.ask(&sekisho_e2e::fakes::call::modern(UP, &granted.access, "tools/list", json!({}))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let json = reply.json();
    json["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// ATK-70, RS-36, RS-44: a user cannot call a tool that the user cannot see, nor tell it from one that does not exist.
#[tokio::test]
async fn what_is_hidden_cannot_be_called() {
    let field = Field::start().await;
    let owner = field.granted(OWNER, "mcp:read mcp:write mcp:destructive").await;
    let user = field.granted(USER, "mcp:read mcp:write").await;
    let all = listed(&field, &owner).await;
    assert_eq!(all, ["look", "keep", "wipe", "unlisted"]);
    let visible = listed(&field, &user).await;
    assert_eq!(visible, ["look", "keep"]);
    let plain = |reply: &Reply| {
        // The responses are equal byte for byte, except for the identifier of the request.
        let id = reply.json()["error"]["data"]["request"].as_str().unwrap_or("none").to_owned();
        let json: Value = serde_json::from_str(&reply.text().replace(&id, "-")).unwrap();
        (reply.status, json, reply.header("www-authenticate").map(str::to_owned))
    };
    let nothing = plain(&field.ask(&tool(UP, &user.access, "no-such-tool")).await);
    assert_eq!(
        (nothing.0, nothing.1["error"]["code"].as_i64(), nothing.1["error"]["data"]["set"].as_str()),
        (403, Some(1403), Some("rights"))
    );
    for hidden in all.iter().filter(|name| !visible.contains(name)) {
        for spelling in [
            hidden.clone(),
            hidden.to_uppercase(),
            format!("{hidden} "),
            format!(" {hidden}"),
            format!("{hidden}\u{200b}"),
            format!("./{hidden}"),
            format!("up/{hidden}"),
            format!("up__{hidden}"),
            hidden.replace('i', "\u{0456}"),
        ] {
            let encoded = if spelling.is_ascii() && spelling.trim() == spelling {
                spelling.clone()
            } else {
                use base64::Engine as _;
                format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(&spelling))
            };
            let reply = field
                .ask(&headers(UP, &user.access, "tools/call").header("mcp-name", &encoded).json(&call_of(&spelling)))
                .await;
            assert_eq!(plain(&reply), nothing, "{spelling:?}");
            assert_eq!(field.record_of(&reply).await["verdict"], "deny", "{spelling:?}");
        }
    }
    field.untouched();
    field.is_healthy(&user).await;
}

/// ATK-79, RS-20, RS-21, RS-22: a challenge names the scopes that this call needs and those that were granted before,
/// and no others. A scope that another one includes is left out.
#[tokio::test]
async fn a_challenge_names_what_the_call_needs() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    for (name, scope) in [("keep", "mcp:write"), ("wipe", "mcp:destructive"), ("unlisted", "mcp:read tool:unlisted")] {
        let reply = field.ask(&tool(UP, &granted.access, name)).await;
        assert_eq!(reply.status, 403, "{name}: {}", reply.text());
        let challenge = reply.header("www-authenticate").unwrap();
        assert!(
            challenge.contains("error=\"insufficient_scope\"") && challenge.contains(&format!("scope=\"{scope}\"")),
            "{name}: {challenge}"
        );
        let data = &reply.json()["error"]["data"];
        assert_eq!((&data["set"], &data["remedy"]["kind"]), (&json!("grant"), &json!("step_up")), "{data}");
        assert_eq!(field.record_of(&reply).await["verdict"], "step_up");
    }
    let stranger = field.ask(&tool(UP, "", "wipe")).await;
    assert!(
        stranger.header("www-authenticate").unwrap().contains("scope=\"mcp:read mcp:write\""),
        "what ordinary use needs"
    );
    field.untouched();
    field.is_healthy(&granted).await;
}

/// ATK-93: a decompression or nesting bomb is refused quickly, and the memory of the process does not grow.
#[tokio::test]
async fn a_bomb_is_refused_quickly() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let pid = field.checkpoint.process().pid();
    let resident = || {
        std::fs::read_to_string(format!("/proc/{pid}/statm"))
            .ok()
            .and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok())
            .unwrap_or_default()
            * 4096
    };
    let meta = call_of("look")["params"]["_meta"].to_string();
    let with = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"look","arguments":{arguments},"_meta":{meta}}}}}"#
        )
    };
    let keys: Vec<String> = (0..100_000).map(|at| format!("\"k{at}\":0")).collect();
    let bombs = [
        ("depth", with(&format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)))),
        ("objects in depth", with(&format!("{}1{}", "{\"a\":".repeat(50_000), "}".repeat(50_000)))),
        ("unclosed", "[".repeat(1_000_000)),
        ("unclosed objects", "{\"a\":".repeat(200_000)),
        ("members", with(&format!("{{{}}}", keys.join(",")))),
        ("digits", with(&format!("{{\"a\":{}}}", "9".repeat(1_000_000)))),
        ("exponent", with("{\"a\":1e999999999}")),
        ("escapes", with(&format!("{{\"a\":\"{}\"}}", "\\u0000".repeat(300_000)))),
        ("spaces", format!("{}{}", " ".repeat(3_000_000), "x")),
        ("name", call_of(&"n".repeat(1_000_000)).to_string()),
        (
            "id",
            format!(
                r#"{{"jsonrpc":"2.0","id":"{}","method":"tools/call","params":{{"name":"look","_meta":{meta}}}}}"#,
                "i".repeat(1_000_000)
            ),
        ),
    ];
    field.is_healthy(&granted).await;
    let before = resident();
    for (what, bomb) in &bombs {
        let begun = Instant::now();
        let ask = headers(UP, &granted.access, "tools/call")
            .header("mcp-name", "look")
            .header("content-type", "application/json")
            .body(bomb.as_bytes());
        let reply = field.ask(&ask).await;
        assert!(reply.status < 500, "{what}: {}", reply.status);
        assert!(begun.elapsed() < Duration::from_secs(3), "{what} took {:?} in a debug build", begun.elapsed());
        if !matches!(*what, "members" | "digits" | "exponent" | "escapes" | "id") {
            assert!(matches!(reply.status, 400 | 413), "{what}: {}", reply.status);
        }
    }
    field.upstream.forget();
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "the process grew by {} MiB", grown >> 20);
    field.is_healthy(&granted).await;
}

/// ATK-95: whatever a name contains, a record is one line of JSON and a log line is one line.
#[tokio::test]
async fn no_name_forges_a_record() {
    let field = Field::start().await;
    let granted = field.granted(OWNER, "mcp:read").await;
    let before = field.checkpoint.records().await.len();
    let names = [
        "a\nb",
        "a\r\n{\"seq\":1}",
        "\u{1b}[2J\u{1b}[31mpermit",
        "a\0b",
        "a\u{85}b",
        "a\u{2028}b",
        "\"},{\"x\":\"",
        "%0a%0dpermit",
        "${jndi:ldap://127.0.0.1:9/x}",
        "{}{}{}",
        "\u{202e}timrep",
    ];
    for name in names {
        use base64::Engine as _;
        let encoded = format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(name));
        let reply = field
            .ask(&headers(UP, &granted.access, "tools/call").header("mcp-name", &encoded).json(&call_of(name)))
            .await;
        assert!(matches!(reply.status, 400 | 403), "{name:?}: {} {}", reply.status, reply.text());
        field.record_of(&reply).await;
    }
    field.untouched();
    // The harness reads `audit export` line by line as JSON; `audit tail` is for terminals.
    let records = field.checkpoint.records().await;
    assert!(records.len() >= before + names.len());
    assert!(records.iter().all(|row| row["seq"].is_i64() && row["record"]["event"]["kind"].is_string()));
    let tail = field.checkpoint.command(&["audit", "tail", "--once", "-n", "100"]).await;
    for line in tail.stdout.lines() {
        assert!(
            line.starts_with("20")
                && !line
                    .chars()
                    .any(|character| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')),
            "{line:?}"
        );
    }
    for line in field.checkpoint.stderr().now().lines() {
        assert!(!line.contains('\u{1b}'), "{line:?}");
        serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("a log line under --json is JSON: {line}"));
    }
    field.is_healthy(&granted).await;
}
