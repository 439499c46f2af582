use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// What the schema of each revision has (`method: "…"` of every interface), sorted into the unions `ClientRequest`,
/// `ClientNotification`, `ServerRequest`, `ServerNotification`; `asks` are the members of `InputRequest`, and the
/// jobs of 2026-07-28 are those of its extension.
struct Schema {
    revision: Revision,
    client_requests: &'static [&'static str],
    client_notifications: &'static [&'static str],
    server_requests: &'static [&'static str],
    server_notifications: &'static [&'static str],
    asks: &'static [&'static str],
}

/// What 2024-11-05 and 2025-03-26 have: neither knows elicitation or jobs.
const fn before_elicitation(revision: Revision) -> Schema {
    Schema {
        revision,
        client_requests: &[
            "completion/complete",
            "initialize",
            "logging/setLevel",
            "ping",
            "prompts/get",
            "prompts/list",
            "resources/list",
            "resources/read",
            "resources/subscribe",
            "resources/templates/list",
            "resources/unsubscribe",
            "tools/call",
            "tools/list",
        ],
        client_notifications: &[
            "notifications/cancelled",
            "notifications/initialized",
            "notifications/progress",
            "notifications/roots/list_changed",
        ],
        server_requests: &["ping", "roots/list", "sampling/createMessage"],
        server_notifications: &[
            "notifications/cancelled",
            "notifications/message",
            "notifications/progress",
            "notifications/prompts/list_changed",
            "notifications/resources/list_changed",
            "notifications/resources/updated",
            "notifications/tools/list_changed",
        ],
        asks: &[],
    }
}

const SCHEMAS: [Schema; 5] = [
    before_elicitation(Revision::V2024_11_05),
    before_elicitation(Revision::V2025_03_26),
    Schema {
        revision: Revision::V2025_06_18,
        client_requests: &[
            "completion/complete",
            "initialize",
            "logging/setLevel",
            "ping",
            "prompts/get",
            "prompts/list",
            "resources/list",
            "resources/read",
            "resources/subscribe",
            "resources/templates/list",
            "resources/unsubscribe",
            "tools/call",
            "tools/list",
        ],
        client_notifications: &[
            "notifications/cancelled",
            "notifications/initialized",
            "notifications/progress",
            "notifications/roots/list_changed",
        ],
        server_requests: &["elicitation/create", "ping", "roots/list", "sampling/createMessage"],
        server_notifications: &[
            "notifications/cancelled",
            "notifications/message",
            "notifications/progress",
            "notifications/prompts/list_changed",
            "notifications/resources/list_changed",
            "notifications/resources/updated",
            "notifications/tools/list_changed",
        ],
        asks: &[],
    },
    Schema {
        revision: Revision::V2025_11_25,
        client_requests: &[
            "completion/complete",
            "initialize",
            "logging/setLevel",
            "ping",
            "prompts/get",
            "prompts/list",
            "resources/list",
            "resources/read",
            "resources/subscribe",
            "resources/templates/list",
            "resources/unsubscribe",
            "tasks/cancel",
            "tasks/get",
            "tasks/list",
            "tasks/result",
            "tools/call",
            "tools/list",
        ],
        client_notifications: &[
            "notifications/cancelled",
            "notifications/initialized",
            "notifications/progress",
            "notifications/roots/list_changed",
            "notifications/tasks/status",
        ],
        server_requests: &[
            "elicitation/create",
            "ping",
            "roots/list",
            "sampling/createMessage",
            "tasks/cancel",
            "tasks/get",
            "tasks/list",
            "tasks/result",
        ],
        server_notifications: &[
            "notifications/cancelled",
            "notifications/elicitation/complete",
            "notifications/message",
            "notifications/progress",
            "notifications/prompts/list_changed",
            "notifications/resources/list_changed",
            "notifications/resources/updated",
            "notifications/tasks/status",
            "notifications/tools/list_changed",
        ],
        asks: &[],
    },
    Schema {
        revision: Revision::V2026_07_28,
        client_requests: &[
            "completion/complete",
            "prompts/get",
            "prompts/list",
            "resources/list",
            "resources/read",
            "resources/templates/list",
            "server/discover",
            "subscriptions/listen",
            "tasks/cancel",
            "tasks/get",
            "tasks/update",
            "tools/call",
            "tools/list",
        ],
        client_notifications: &["notifications/cancelled"],
        server_requests: &[],
        server_notifications: &[
            "notifications/cancelled",
            "notifications/message",
            "notifications/progress",
            "notifications/prompts/list_changed",
            "notifications/resources/list_changed",
            "notifications/resources/updated",
            "notifications/subscriptions/acknowledged",
            "notifications/tasks",
            "notifications/tools/list_changed",
        ],
        asks: &["elicitation/create", "roots/list", "sampling/createMessage"],
    },
];

fn named(revision: Revision, direction: Direction, shape: Shape) -> BTreeSet<&'static str> {
    rows(revision, direction).filter(|row| row.shape == shape).map(|row| row.name).collect()
}

/// TR-19, TR-35, TR-55, TR-56: the table has exactly the methods of the schemas, in their direction and shape.
#[test]
fn the_table_has_exactly_the_methods_of_every_schema() {
    for schema in SCHEMAS {
        let expected = [
            (Direction::ClientToServer, Shape::Request, schema.client_requests),
            (Direction::ClientToServer, Shape::Notification, schema.client_notifications),
            (Direction::ClientToServer, Shape::InputRequest, &[]),
            (Direction::ServerToClient, Shape::Request, schema.server_requests),
            (Direction::ServerToClient, Shape::Notification, schema.server_notifications),
            (Direction::ServerToClient, Shape::InputRequest, schema.asks),
        ];
        for (direction, shape, names) in expected {
            assert_eq!(
                named(schema.revision, direction, shape),
                names.iter().copied().collect(),
                "{} {direction:?} {shape:?}",
                schema.revision
            );
        }
    }
}

#[test]
fn no_method_has_two_rows_in_one_revision_and_direction() {
    for revision in KNOWN.iter().copied() {
        for direction in [Direction::ClientToServer, Direction::ServerToClient] {
            let names: Vec<_> = rows(revision, direction).map(|row| row.name).collect();
            let unique: BTreeSet<_> = names.iter().collect();
            assert_eq!(unique.len(), names.len(), "{revision} {direction:?}");
        }
    }
}

/// A name always means the same method, and a method has one name.
#[test]
fn names_and_methods_are_one_to_one() {
    let mut by_name = BTreeMap::new();
    let mut by_method = BTreeMap::new();
    for row in ROWS {
        let method = format!("{:?}", row.method);
        assert_eq!(by_name.entry(row.name).or_insert(row.method), &row.method);
        assert_eq!(by_method.entry(method).or_insert(row.name), &row.name);
    }
    assert_eq!(by_name.len(), 36);
}

/// TR-19, ATK-67: methods of other revisions are unknown, as is every other spelling.
#[test]
fn what_is_not_in_the_table_is_unknown() {
    let unknown = [
        (Revision::V2026_07_28, "initialize"),
        (Revision::V2026_07_28, "ping"),
        (Revision::V2026_07_28, "tasks/list"),
        (Revision::V2026_07_28, "tasks/result"),
        (Revision::V2026_07_28, "logging/setLevel"),
        (Revision::V2026_07_28, "resources/subscribe"),
        (Revision::V2026_07_28, "notifications/initialized"),
        (Revision::V2025_11_25, "server/discover"),
        (Revision::V2025_11_25, "subscriptions/listen"),
        (Revision::V2025_11_25, "tasks/update"),
        (Revision::V2025_06_18, "tasks/get"),
        (Revision::V2025_11_25, "tools/Call"),
        (Revision::V2025_11_25, "tools/call "),
        (Revision::V2025_11_25, "tools/call\0"),
        (Revision::V2025_11_25, "/tools/call"),
        (Revision::V2025_11_25, "tools//call"),
        (Revision::V2025_11_25, "rpc.discover"),
        (Revision::V2025_11_25, ""),
    ];
    for (revision, name) in unknown {
        assert_eq!(lookup(revision, Direction::ClientToServer, name), None, "{revision} {name:?}");
    }
    assert_eq!(lookup(Revision::V2025_11_25, Direction::ServerToClient, "tools/call"), None);
}

/// TR-27: `Mcp-Name` repeats the tool, the prompt, the resource, and the job of the extension.
#[test]
fn mcp_name_repeats_what_the_specification_says() {
    let sources: BTreeMap<_, _> = rows(Revision::V2026_07_28, Direction::ClientToServer)
        .filter(|row| row.name_header != NameSource::None)
        .map(|row| (row.name, row.name_header))
        .collect();
    let expected = BTreeMap::from([
        ("prompts/get", NameSource::Name),
        ("resources/read", NameSource::Uri),
        ("tasks/cancel", NameSource::TaskId),
        ("tasks/get", NameSource::TaskId),
        ("tasks/update", NameSource::TaskId),
        ("tools/call", NameSource::Name),
    ]);
    assert_eq!(sources, expected);
}

/// TR-45, TR-48, TR-56: who may ask for input, who carries caching hints, what needs the extension.
#[test]
fn marks_of_the_modern_revision_are_where_the_specification_has_them() {
    let marked = |is_marked: fn(&MethodRow) -> bool| {
        rows(Revision::V2026_07_28, Direction::ClientToServer)
            .filter(|row| is_marked(row))
            .map(|row| row.name)
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(marked(|row| row.may_ask), BTreeSet::from(["prompts/get", "resources/read", "tools/call"]));
    assert_eq!(
        marked(|row| row.cacheable),
        BTreeSet::from([
            "prompts/list",
            "resources/list",
            "resources/read",
            "resources/templates/list",
            "server/discover",
            "tools/list",
        ])
    );
    assert_eq!(marked(|row| row.extension.is_some()), BTreeSet::from(["tasks/cancel", "tasks/get", "tasks/update"]));
}

/// ATK-70: whatever names a tool, resource, prompt or job needs more than a session.
#[test]
fn only_harmless_methods_need_nothing_but_a_session() {
    for revision in KNOWN.iter().copied() {
        for row in rows(revision, Direction::ClientToServer) {
            let harmless =
                matches!(row.target, Target::None | Target::Request | Target::User) || row.shape == Shape::Notification;
            assert_eq!(row.need == Need::Session, harmless, "{revision} {}", row.name);
        }
        for row in rows(revision, Direction::ServerToClient) {
            let need = if row.shape == Shape::Notification { Need::News } else { Need::Answer };
            assert_eq!(row.need, need, "{revision} {}", row.name);
        }
    }
}

#[test]
fn revisions_are_written_as_dates_and_ordered_by_them() {
    for revision in Revision::ALL {
        assert_eq!(revision.to_string().parse(), Ok(revision));
    }
    assert!(Revision::ALL.is_sorted());
    assert!(KNOWN.is_sorted());
    for revision in KNOWN {
        assert_eq!(Revision::of_upstream(revision.as_str()), Some(*revision));
    }
    assert_eq!(Revision::of_upstream("2024-10-07"), None);
    for unknown in ["2025-03-26", "2024-11-05", "2026-07-28 ", "", "1900-01-01", "2026-7-28"] {
        assert_eq!(unknown.parse::<Revision>(), Err(UnknownRevision));
    }
}
