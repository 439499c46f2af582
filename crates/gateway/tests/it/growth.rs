//! Long lists, of an upstream or of a caller: the work grows in proportion to them.
//!
//! The gateway, the upstream and the client share one thread here, so the processor time is that of all three.

use sekisho_protocol::growth::{DOUBLINGS, check};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::world::{World, name};

/// The entries of the shortest list. `SEKISHO_TEST_LIST=1875` makes the longest one have 60,000.
#[expect(clippy::disallowed_methods, reason = "how long the lists of this test are is said from outside")]
fn shortest() -> usize {
    std::env::var("SEKISHO_TEST_LIST").map_or(100, |text| text.parse().expect("SEKISHO_TEST_LIST is a number"))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn sizes(shortest: usize) -> Vec<usize> {
    (0..=DOUBLINGS).map(|times| shortest << times).collect()
}

/// A caller's message has at most 100,000 members, so the longest subscription request has so many entries in each of
/// its two lists.
const WISH_SHORTEST_MAX: usize = 1_500;

/// One entry of a list, by its number.
type Entry = fn(usize) -> Value;

/// ATK-248: reading, keeping and showing an upstream's list costs in proportion to its length, even with equal names.
#[test]
fn a_list_is_shown_in_proportion_to_its_length() {
    let lists: [(&str, &str, Entry); 5] = [
        ("tools/list", "tools", |at| json!({ "name": format!("get_{at}"), "inputSchema": { "type": "object" } })),
        ("tools/list", "tools", |_| json!({ "name": "get_note", "inputSchema": { "type": "object" } })),
        ("resources/list", "resources", |at| json!({ "name": "a", "uri": format!("file:///{at}") })),
        ("resources/list", "resources", |at| json!({ "name": "a", "uri": format!("FILE:///{at}/../{at}") })),
        ("prompts/list", "prompts", |at| json!({ "name": format!("p{at}") })),
    ];
    for (method, member, entry) in lists {
        let runtime = runtime();
        let world = runtime.block_on(async { World::new().await.classified().await });
        let token = runtime.block_on(world.owner_token("mcp:read"));
        let lists: Vec<Value> = sizes(shortest()).into_iter().map(|size| (0..size).map(entry).collect()).collect();
        let what = format!("{method} such as {}", lists[0][1]);
        let time = check(&what, &lists, |list| {
            let answer = json!({ "resultType": "complete", member: list, "ttlMs": 1, "cacheScope": "public" });
            runtime.block_on(async {
                world.fake.unscript(method);
                world.fake.script_answer(method, json!({ "jsonrpc": "2.0", "result": answer }));
                if method == "tools/list" {
                    world.gateway.probe(&name("notes")).await.unwrap();
                }
                let reply = world.modern(&token, method, json!({})).send().await;
                assert_eq!(reply.status, 200, "{}", reply.body);
            });
        });
        println!("{what}: {time:?} for the largest");
    }
}

/// ATK-248: the same for what a caller asks to be notified of, half of which it may not hear of.
#[test]
fn a_subscription_is_narrowed_in_proportion_to_its_length() {
    let runtime = runtime();
    let world = runtime.block_on(async { World::new().await.classified().await });
    let token = runtime.block_on(world.owner_token("mcp:read"));
    let wishes: Vec<Value> = sizes(shortest().min(WISH_SHORTEST_MAX))
        .into_iter()
        .map(|size| {
            let uris: Vec<String> = (0..size).map(|at| format!("file:///{at}")).collect();
            let jobs: Vec<String> = (0..size).map(|at| format!("job-{at}")).collect();
            json!({ "notifications": { "resourceSubscriptions": uris, "taskIds": jobs } })
        })
        .collect();
    let time = check("subscriptions/listen", &wishes, |wish| {
        runtime.block_on(async {
            let mut stream = world.modern(&token, "subscriptions/listen", wish.clone()).open().await;
            assert_eq!(stream.status, 200);
            let first = stream.next().await.unwrap();
            assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
        });
    });
    println!("subscriptions/listen: {time:?} for the largest");
}
