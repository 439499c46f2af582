//! What the first consent shows of a server's tools, before they are known and once they are.

use std::sync::Arc;

use sekisho_protocol::catalogue::{ToolClass, ToolSeen};
use sekisho_protocol::secret::AuthorizationCode;
use sekisho_protocol::server::{ServerCard, ServerDirectory};

use crate::harness::{Ask, FILES, Site, card};

const LOOPBACK: &str = "http://127.0.0.1/callback";
const USED: &str = "http://127.0.0.1:51763/callback";

fn tool(name: &str, proposed: ToolClass, definition: &str) -> ToolSeen {
    ToolSeen { name: name.to_owned(), summary: String::new(), proposed, definition: definition.to_owned() }
}

/// Before any tool of a server is known, the grant page says so, draws the three sets with the classes of tools in them,
/// and has the server asked. Once the server shows its tools, they can be chosen one by one, also at the first consent.
#[tokio::test]
async fn the_first_consent_shows_what_is_known_of_the_tools() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let ask = || Ask::new(&site, &client, USED).set("scope", "mcp:read mcp:write");
    let mut owner = site.signed_in("owner").await;
    let (_, page) = owner.open(&ask()).await;
    assert!(page.body.contains("No tools of this server are known yet"), "{}", page.body);
    assert!(page.offered("use").is_empty() && page.body.contains("classes of tools: 3"), "{}", page.body);
    for drawn in ["rights and grant (2): mcp:read, mcp:write", "rights only (1): mcp:destructive"] {
        assert!(page.body.contains(drawn), "{drawn}: {}", page.body);
    }
    assert_eq!(*site.shows.asked.lock().unwrap(), ["notes".parse().unwrap()], "the server was asked");
    *site.shows.tools.lock().unwrap() = vec![
        tool("read_note", ToolClass::Read, "1"),
        tool("write_note", ToolClass::Write, "2"),
        tool("guess", ToolClass::Write, "3"),
    ];
    let classes = [("read_note".to_owned(), ToolClass::Read), ("write_note".to_owned(), ToolClass::Write)];
    let notes = ServerCard { classes: classes.into(), ..card("notes") };
    site.servers.send_replace(Arc::new(ServerDirectory::new([notes])));
    let (path, page) = owner.open(&ask()).await;
    assert!(!page.body.contains("No tools of this server are known yet"), "{}", page.body);
    assert_eq!(page.values("use"), ["read_note", "write_note"], "the tools are there at once");
    assert!(page.body.contains("rights only (1): guess"), "{}", page.body);
    // A tool without a class is covered by nothing on the page, and who may give it one is led there.
    assert!(page.body.contains("Tools without a class: 1."), "{}", page.body);
    assert!(page.body.contains("/servers/notes/tools\""), "{}", page.body);
    let csrf = page.csrf();
    let fields = [
        ("csrf", csrf.as_str()),
        ("decision", "approve"),
        ("scope", "mcp:read"),
        ("scope", "mcp:write"),
        ("narrow", "yes"),
        ("use", "write_note"),
        ("end", ""),
    ];
    let code = AuthorizationCode::parse(&owner.post(&path, &fields).await.redirected()["code"]).unwrap();
    let granted = site.store.read().await.unwrap().codes().find(&code.digest()).await.unwrap().unwrap().scopes;
    assert_eq!(granted.to_string(), "tool:write_note");
    assert_eq!(site.shows.asked.lock().unwrap().len(), 2, "a server whose tools are known is not asked");
}

/// ATK-340: nobody makes the checkpoint ask a server for its tools, or start its program, who has no right there or is
/// not signed in.
#[tokio::test]
async fn only_who_may_use_a_server_has_it_asked_for_its_tools() {
    let site = Site::new().await;
    let client = site.registered(LOOPBACK).await;
    let mut stranger = site.browser();
    stranger.open(&Ask::new(&site, &client, USED)).await;
    let mut reader = site.signed_in("reader").await;
    let (_, page) = reader.open(&Ask::new(&site, &client, USED).set("resource", FILES)).await;
    assert!(page.values("scope").is_empty(), "the reader has no right there");
    assert!(site.shows.asked.lock().unwrap().is_empty());
    let (_, page) = reader.open(&Ask::new(&site, &client, USED)).await;
    assert_eq!(page.values("scope"), ["mcp:read"]);
    assert!(!page.body.contains("/servers/notes/tools"), "only who administers is led to the page of the tools");
    assert_eq!(*site.shows.asked.lock().unwrap(), ["notes".parse().unwrap()]);
}
