use serde_json::value::RawValue;

use super::*;
use crate::mcp::method::ListKind;

fn read(text: &str) -> Result<Message<'_>, ReadError> {
    Message::read(text.as_bytes(), &Limits::default())
}

fn refusal(text: &str) -> ReadError {
    read(text).expect_err(text)
}

#[test]
fn messages_are_classified_by_their_own_shape() {
    let request = read(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).unwrap();
    assert!(matches!(
        request.kind(),
        Kind::Request { id: Id::Integer(1), method, params: None } if method == "ping"
    ));
    let notification = read(r#"{"method":"notifications/x","jsonrpc":"2.0","params":{}}"#).unwrap();
    assert!(matches!(notification.kind(), Kind::Notification { params: Some(_), .. }));
    let result = read(r#"{"jsonrpc":"2.0","id":"a","result":{}}"#).unwrap();
    assert!(matches!(result.kind(), Kind::Response { id: Some(_), outcome: Outcome::Result(_) }));
    let error = read(r#"{"jsonrpc":"2.0","id":3,"error":{"code":-32601,"message":"no"}}"#).unwrap();
    assert!(matches!(error.kind(), Kind::Response { outcome: Outcome::Error(_), .. }));
    for id in ["", r#""id":null,"#] {
        let text = format!(r#"{{"jsonrpc":"2.0",{id}"error":{{"code":-32700,"message":"no"}}}}"#);
        let error = read(&text).unwrap();
        assert!(matches!(error.kind(), Kind::Response { id: None, .. }), "{text}");
    }
}

/// TR-08: what is two things at once, or nothing, is refused.
#[test]
fn mixed_shapes_are_refused() {
    for members in [
        r#""id":1"#,
        r#""params":{}"#,
        r#""id":1,"method":"ping","result":{}"#,
        r#""id":1,"method":"ping","error":{"code":1,"message":""}"#,
        r#""id":1,"result":{},"error":{"code":1,"message":""}"#,
        r#""id":1,"result":{},"params":{}"#,
        r#""error":{"code":1,"message":""},"params":{}"#,
        r#""method":"ping","result":null"#,
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0",{members}}}"#);
        assert_eq!(refusal(&text), ReadError::Shape, "{text}");
    }
    for text in [r#"{"id":1,"method":"ping"}"#, r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#] {
        assert_eq!(refusal(text), ReadError::Jsonrpc);
    }
}

/// TR-11: an id is a string or an integer, never null, never anything that parsers disagree about.
#[test]
fn ids_are_strings_or_plain_integers() {
    for (written, id) in [
        ("0", Id::Integer(0)),
        ("-7", Id::Integer(-7)),
        ("9007199254740991", Id::Integer(9_007_199_254_740_991)),
        (r#""""#, Id::String(String::new())),
        (r#""a\u00e9\"\ud83d\ude00""#, Id::String("aé\"😀".to_owned())),
        (r#""1""#, Id::String("1".to_owned())),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{written},"method":"ping"}}"#);
        let message = read(&text).unwrap();
        assert_eq!(message.id(), Some(&id));
        let rewritten = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<Id>(&rewritten).unwrap(), id);
    }
    for written in ["null", "1.0", "1e3", "-0", "true", "{}", "[1]", "9223372036854775808"] {
        for rest in [r#""method":"ping""#, r#""result":{}"#] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{written},{rest}}}"#);
            assert_eq!(refusal(&text), ReadError::Id, "{text}");
        }
    }
    assert_eq!(refusal(r#"{"jsonrpc":"2.0","result":{}}"#), ReadError::Id);
    assert_ne!(Id::Integer(1), Id::String("1".to_owned()));
}

#[test]
fn integer_ids_come_back_byte_for_byte() {
    for written in ["0", "-1", "9223372036854775000", "-9223372036854775808"] {
        let id = Id::read(written).unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), written);
    }
}

/// TR-18: the code says whose mistake it was and of which kind.
#[test]
fn refusals_carry_the_code_of_their_kind() {
    for (text, code) in [
        ("{", -32700),
        ("{}x", -32700),
        ("\u{FEFF}{}", -32700),
        ("[]", -32600),
        ("1", -32600),
        (r#"{"a":1,"a":2}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"name":1}}"#, -32602),
    ] {
        assert_eq!(refusal(text).code().code(), code, "{text}");
    }
}

#[test]
fn params_are_viewed_in_their_own_bytes() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{
        "name":"t\u006fol","arguments":{ "a" : [1,  2] },"requestState":"s","inputResponses":{"k":{}},
        "task":{"ttl":1},"_meta":{"progressToken":7,"traceparent":"00-1-2-01",
        "io.modelcontextprotocol/protocolVersion":"2026-07-28",
        "io.modelcontextprotocol/clientCapabilities":{"elicitation":{}},
        "io.modelcontextprotocol/clientInfo":{"name":"c"},"io.modelcontextprotocol/logLevel":"info",
        "io.modelcontextprotocol/related-task":{"taskId":"j"}}}}"#;
    let message = read(text).unwrap();
    let params = message.params().unwrap();
    assert_eq!(params.name.as_deref(), Some("tool"));
    assert_eq!(params.arguments.unwrap(), r#"{ "a" : [1,  2] }"#);
    assert_eq!(params.request_state.as_deref(), Some("s"));
    assert_eq!(params.input_responses.unwrap(), r#"{"k":{}}"#);
    assert_eq!(params.uri, None);
    let meta = message.meta().unwrap();
    assert_eq!(meta.protocol_version.as_deref(), Some("2026-07-28"));
    assert_eq!(meta.client_capabilities.unwrap(), r#"{"elicitation":{}}"#);
    assert_eq!(meta.log_level.as_deref(), Some("info"));
    assert_eq!(meta.progress_token, Some(Id::Integer(7)));
    assert!(meta.is_modern());
    assert_eq!(message.bytes(), text.as_bytes());
}

/// The walk keeps what is known in its place: a name that were read and not known there would be lost without a word.
#[test]
fn whatever_is_read_was_kept() {
    let meta = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28",
        "io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/serverInfo":{},
        "io.modelcontextprotocol/logLevel":"info","progressToken":1,"io.modelcontextprotocol/subscriptionId":2}"#;
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"name":"a","uri":"b:c","arguments":{{}},"taskId":"j",
        "requestState":"s","inputResponses":{{}},"inputRequests":{{}},"protocolVersion":"v","capabilities":{{}},
        "notifications":{{"promptsListChanged":true,"resourcesListChanged":true,"toolsListChanged":true,
        "resourceSubscriptions":["b:c"],"taskIds":["j"]}},"ref":{{"type":"ref/prompt","name":"p"}},
        "progressToken":3,"requestId":"r","_meta":{meta}}}}}"#
    );
    let message = read(&text).unwrap();
    let assert_meta = |meta: &Meta<'_>| {
        assert!(meta.is_modern() && meta.protocol_version.is_some() && meta.client_capabilities.is_some());
        assert!(meta.server_info.is_some() && meta.log_level.is_some());
        assert_eq!((&meta.progress_token, &meta.subscription_id), (&Some(Id::Integer(1)), &Some(Id::Integer(2))));
    };
    let params = message.params().unwrap();
    assert!(params.name.is_some() && params.uri.is_some() && params.arguments.is_some() && params.task_id.is_some());
    assert!(params.request_state.is_some() && params.input_responses.is_some() && params.input_requests.is_some());
    assert!(params.protocol_version.is_some() && params.capabilities.is_some() && params.reference.is_some());
    assert!(params.progress_token.is_some() && params.request_id.is_some());
    let wish = params.notifications.as_ref().unwrap();
    assert!(wish.prompts_list_changed && wish.resources_list_changed && wish.tools_list_changed);
    assert!(!wish.resource_subscriptions.is_empty() && !wish.task_ids.is_empty());
    assert_meta(&params.meta);
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"resultType":"complete","cacheScope":"public","nextCursor":"n",
        "inputRequests":{{}},"requestState":"s","taskId":"j","protocolVersion":"v","supportedVersions":["v"],
        "capabilities":{{}},"_meta":{meta}}}}}"#
    );
    let message = read(&text).unwrap();
    let Kind::Response { outcome: Outcome::Result(result), .. } = message.kind() else { panic!() };
    assert!(result.result_type.is_some() && result.cache_scope.is_some() && result.next_cursor.is_some());
    assert!(result.input_requests.is_some() && result.request_state.is_some() && result.task_id.is_some());
    assert!(result.protocol_version.is_some() && result.capabilities.is_some());
    assert!(!result.supported_versions.is_empty());
    assert_meta(&result.meta);
    let message = read(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"m","data":[]}}"#).unwrap();
    let Kind::Response { outcome: Outcome::Error(error), .. } = message.kind() else { panic!() };
    assert_eq!((error.code, error.message.as_ref(), error.data.is_some()), (-1, "m", true));
}

/// `null` is what some clients send for "none"; nothing is taken from it.
#[test]
fn null_members_count_as_absent() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":null,"name":null,"arguments":null,"_meta":null,"ref":null,"notifications":null}}"#;
    let message = read(text).unwrap();
    let params = message.params().unwrap();
    assert!(params.name.is_none() && params.arguments.is_none());
    assert!(params.reference.is_none() && params.notifications.is_none());
    assert!(!params.meta.is_modern());
}

#[test]
fn members_that_are_judged_must_have_their_type() {
    for member in [
        r#""uri":1"#,
        r#""arguments":"{}""#,
        r#""taskId":{}"#,
        r#""requestState":{}"#,
        r#""inputResponses":[]"#,
        r#""requestId":1.5"#,
        r#""progressToken":[]"#,
        r#""protocolVersion":20250618"#,
        r#""_meta":"x""#,
        r#""_meta":{"progressToken":true}"#,
        r#""_meta":{"io.modelcontextprotocol/protocolVersion":1}"#,
        r#""_meta":{"io.modelcontextprotocol/clientCapabilities":"all"}"#,
        r#""notifications":{"toolsListChanged":"yes"}"#,
        r#""notifications":{"resourceSubscriptions":"file:///a"}"#,
        r#""notifications":{"resourceSubscriptions":[1]}"#,
        r#""ref":"ref/prompt""#,
        r#""ref":{"type":"ref/prompt"}"#,
        r#""ref":{"type":"ref/prompt","name":"a","uri":"b"}"#,
        r#""ref":{"type":"ref/tool","name":"a"}"#,
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{{member}}}}}"#);
        assert!(matches!(refusal(&text), ReadError::WrongType { .. }), "{text}");
    }
}

/// TR-41, TR-42: the filter of a subscription, all of it.
#[test]
fn the_filter_of_a_subscription_is_read() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":
        {"toolsListChanged":true,"promptsListChanged":false,"resourceSubscriptions":["a:\/\/b","c"],"taskIds":["t"]}}}"#;
    let message = read(text).unwrap();
    let filter = message.params().unwrap().notifications.as_ref().unwrap();
    assert_eq!(
        *filter,
        Filter {
            tools_list_changed: true,
            resource_subscriptions: vec!["a://b".into(), "c".into()],
            task_ids: vec!["t".into()],
            ..Filter::default()
        }
    );
}

#[test]
fn completions_name_a_prompt_or_a_resource() {
    let reference = |reference: &str| {
        let text =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{{"ref":{reference}}}}}"#);
        format!("{:?}", read(&text).unwrap().params().unwrap().reference)
    };
    assert_eq!(reference(r#"{"type":"ref/prompt","name":"p"}"#), r#"Some(Prompt("p"))"#);
    assert_eq!(reference(r#"{"type":"ref/resource","uri":"f:///{x}"}"#), r#"Some(Resource("f:///{x}"))"#);
}

/// TR-20, TR-45: results and what they ask of the client.
#[test]
fn results_are_viewed_with_what_they_ask() {
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"s",
        "inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"url","url":"https:\/\/x","elicitationId":"e"}},
        "b":{"method":"roots/list"}},"_meta":{"io.modelcontextprotocol/subscriptionId":4}}}"#;
    let message = read(text).unwrap();
    let Kind::Response { outcome: Outcome::Result(result), .. } = message.kind() else { panic!() };
    assert_eq!(result.result_type.as_deref(), Some("input_required"));
    assert_eq!(result.request_state.as_deref(), Some("s"));
    assert_eq!(result.meta.subscription_id, Some(Id::Integer(4)));
    assert_eq!(asked_methods(result.input_requests.unwrap()).unwrap(), ["elicitation/create", "roots/list"]);
    for wrong in [r#"{"a":1}"#, r#"{"a":{}}"#, "[]", r#"{"a":{"method":"x","params":[]}}"#] {
        assert!(asked_methods(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn jobs_are_found_in_both_shapes_of_result() {
    for result in
        [r#"{"task":{"taskId":"j","status":"working"}}"#, r#"{"resultType":"task","taskId":"j","status":"working"}"#]
    {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        let message = read(&text).unwrap();
        let Kind::Response { outcome: Outcome::Result(result), .. } = message.kind() else { panic!() };
        assert_eq!(result.task_id.as_deref(), Some("j"));
    }
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{"task":"a word"}}"#;
    assert!(read(text).is_ok());
    for result in ["1", "null", "[]", "\"x\""] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        assert!(matches!(refusal(&text), ReadError::WrongType { .. }), "{text}");
    }
}

#[test]
fn list_items_are_named_by_what_calls_them() {
    let result: &RawValue = serde_json::from_str(
        r#"{"tools":[{"name":"a","title":"A","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}},{"title":"nameless"},7],
        "prompts":[{"name":"p"}],"resources":[{"uri":"u","name":"n"}],"resourceTemplates":[{"uriTemplate":"t","name":"n"}],"tasks":[{"taskId":"j"}]}"#,
    )
    .unwrap();
    for (kind, keys) in ListKind::ALL.into_iter().zip(["j", "p", "t", "u", "a"]) {
        let items = list_items(result.get(), kind).unwrap();
        let found: Vec<_> = items.iter().map(ListItem::key).collect();
        assert_eq!(found, [keys], "{kind:?}");
    }
    let items = list_items(result.get(), ListKind::Tools).unwrap();
    let ListItem::Tool { title, input_schema, annotations, description, .. } = &items[0] else { panic!() };
    assert_eq!(title.as_deref(), Some("A"));
    assert_eq!(input_schema.unwrap().get(), r#"{"type":"object"}"#);
    assert_eq!(annotations.unwrap().get(), r#"{"readOnlyHint":true}"#);
    assert_eq!(*description, None);
    let none: &RawValue = serde_json::from_str(r#"{"tools":{}}"#).unwrap();
    assert!(list_items(none.get(), ListKind::Tools).is_err());
}

/// TR-19, TR-35: a method has a row only as the kind of message it is, in its direction and revision.
#[test]
fn a_message_has_a_row_only_in_its_own_shape() {
    let row = |text: &str, revision, direction| read(text).unwrap().row(revision, direction).map(|row| row.name);
    use Direction::{ClientToServer, ServerToClient};
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#;
    let told = r#"{"jsonrpc":"2.0","method":"tools/call"}"#;
    let asked = r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create"}"#;
    let news = r#"{"jsonrpc":"2.0","id":1,"method":"notifications/progress"}"#;
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    for revision in Revision::ALL {
        assert_eq!(row(call, revision, ClientToServer), Some("tools/call"));
        assert_eq!(row(told, revision, ClientToServer), None);
        assert_eq!(row(call, revision, ServerToClient), None);
        assert_eq!(row(news, revision, ServerToClient), None);
        assert_eq!(row(answer, revision, ServerToClient), None);
    }
    assert_eq!(row(asked, Revision::V2025_11_25, ServerToClient), Some("elicitation/create"));
    assert_eq!(row(asked, Revision::V2026_07_28, ServerToClient), None);
}
