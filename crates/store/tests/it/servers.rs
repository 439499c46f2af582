//! Servers that were handed over, their tools and credentials; signing keys; settings.

use sekisho_protocol::catalogue::{HeldTool, Tool, ToolClass, ToolSeen};
use sekisho_protocol::ids::KeyId;
use sekisho_protocol::secret::UpstreamSecret;
use sekisho_store::{
    ANNOUNCED_EVERY_MILLIS, ANNOUNCED_MAX, ChangeKind, FeedEvent, SecretBytes, SeenLater, ServerRow, SigningKeyRow,
    TOOLS_OF_CALLERS_MAX,
};

use crate::harness::{next, on_both, race, winners};
use crate::things::{digest, server};

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_is_what_was_put_last() {
    on_both(async |world| {
        let mut tx = world.begin().await;
        assert_eq!(tx.settings().get("name").await.unwrap(), None);
        tx.settings().put("name", "one").await.unwrap();
        tx.settings().put("name", "two").await.unwrap();
        assert!(!tx.settings().put_new("name", "three").await.unwrap());
        assert_eq!(tx.settings().get("name").await.unwrap().as_deref(), Some("two"));
        assert!(tx.settings().put_new("another", "one").await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_kept_replaced_and_forgotten() {
    on_both(async |world| {
        let notes = server("notes");
        let mut tx = world.begin().await;
        tx.servers().put(&server("files"), "{}", world.now).await.unwrap();
        tx.servers().put(&notes, r#"{"command": "one"}"#, world.now).await.unwrap();
        assert!(tx.servers().mark_consented(&notes, world.at(1)).await.unwrap());
        assert!(!tx.servers().mark_consented(&notes, world.at(2)).await.unwrap());
        assert!(!tx.servers().mark_consented(&server("missing"), world.at(2)).await.unwrap());
        tx.servers().put(&notes, r#"{"command": "two"}"#, world.at(3)).await.unwrap();
        let expected = ServerRow {
            name: notes.clone(),
            definition: r#"{"command": "two"}"#.to_owned(),
            created_at: world.now,
            first_consent_at: Some(world.at(1)),
        };
        assert_eq!(tx.servers().find(&notes).await.unwrap(), Some(expected));
        let names: Vec<_> = tx.servers().list().await.unwrap().into_iter().map(|row| row.name).collect();
        assert_eq!(names, [server("files"), notes.clone()]);
        assert!(tx.servers().remove(&notes).await.unwrap());
        assert!(!tx.servers().remove(&notes).await.unwrap());
        assert_eq!(tx.servers().find(&notes).await.unwrap(), None);
    })
    .await;
}

fn seen(name: &str, definition: &str) -> ToolSeen {
    let proposed = ToolClass::Write;
    ToolSeen { name: name.to_owned(), summary: String::new(), proposed, definition: definition.to_owned() }
}

fn tool(name: &str, seen: &str, accepted: Option<&str>) -> Tool {
    Tool {
        name: name.to_owned(),
        summary: String::new(),
        proposed: ToolClass::Write,
        class: None,
        seen: digest(seen),
        accepted: accepted.map(digest),
    }
}

/// What a server says about itself never changes what the owner decided about it.
#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_follows_the_server_and_keeps_what_the_owner_decided() {
    on_both(async |world| {
        let notes = server("notes");
        let mut tx = world.begin().await;
        let first = [seen("write", "v1"), seen("read", "v1")];
        assert_eq!(tx.catalogue().sync(&notes, &first, world.now).await.unwrap(), 2);
        assert!(tx.catalogue().classify(&notes, "read", ToolClass::Read, &digest("v1"), world.now).await.unwrap());
        for (at, name) in [(&notes, "none"), (&server("files"), "read")] {
            assert!(!tx.catalogue().classify(at, name, ToolClass::Read, &digest("v1"), world.now).await.unwrap());
        }
        let read = Tool { class: Some(ToolClass::Read), ..tool("read", "v1", Some("v1")) };
        let listed = [read.clone(), tool("write", "v1", Some("v1"))];
        assert_eq!(tx.catalogue().list(&notes).await.unwrap(), listed);
        assert_eq!(tx.catalogue().sync(&notes, &first, world.at(1)).await.unwrap(), 0);

        // One tool changes, one is gone, one is new.
        let second = [seen("read", "v2"), seen("delete", "v1")];
        assert_eq!(tx.catalogue().sync(&notes, &second, world.at(2)).await.unwrap(), 3);
        let changed = Tool { seen: digest("v2"), ..read };
        assert_eq!(tx.catalogue().list(&notes).await.unwrap(), [tool("delete", "v1", None), changed.clone()]);
        assert_eq!(tx.catalogue().find(&notes, "read").await.unwrap(), Some(changed));
        assert_eq!(tx.catalogue().find(&notes, "write").await.unwrap(), Some(tool("write", "v1", Some("v1"))));
        assert_eq!(tx.catalogue().find(&notes, "none").await.unwrap(), None);

        // What comes back is what it was.
        assert_eq!(tx.catalogue().sync(&notes, &[seen("write", "v1")], world.at(3)).await.unwrap(), 3);
        assert_eq!(tx.catalogue().list(&notes).await.unwrap(), [tool("write", "v1", Some("v1"))]);
        assert_eq!(tx.catalogue().list(&server("files")).await.unwrap(), []);
    })
    .await;
}

/// What a server did not show in its first list is told with when it was first seen, however it changes; and so is what it
/// shows to callers alone, of which so many are kept.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_seen_later_is_kept_with_its_time() {
    on_both(async |world| {
        let notes = server("notes");
        let mut tx = world.begin().await;
        tx.catalogue().sync(&notes, &[seen("read", "v1")], world.now).await.unwrap();
        assert_eq!(tx.catalogue().seen_later(&notes).await.unwrap(), []);
        tx.catalogue().sync(&notes, &[seen("read", "v2"), seen("new", "v1")], world.at(1)).await.unwrap();
        tx.catalogue().sync(&notes, &[seen("read", "v2"), seen("new", "v2")], world.at(2)).await.unwrap();
        let names = ["hidden".to_owned(), "new".to_owned()];
        tx.catalogue().seen_by_callers(&notes, &names, world.at(3)).await.unwrap();
        tx.catalogue().seen_by_callers(&notes, &names, world.at(4)).await.unwrap();
        let later = |name: &str, at: u32, listed| SeenLater { name: name.to_owned(), first_seen: world.at(at), listed };
        let expected = [later("hidden", 3, false), later("new", 1, true)];
        assert_eq!(tx.catalogue().seen_later(&notes).await.unwrap(), expected);
        let many: Vec<String> = (0..TOOLS_OF_CALLERS_MAX + 20).map(|at| format!("made-up-{at}")).collect();
        tx.catalogue().seen_by_callers(&notes, &many, world.at(5)).await.unwrap();
        let kept = tx.catalogue().seen_later(&notes).await.unwrap();
        assert_eq!(kept.iter().filter(|tool| !tool.listed).count(), usize::try_from(TOOLS_OF_CALLERS_MAX).unwrap() - 1);
        tx.catalogue().forget(&notes).await.unwrap();
        assert_eq!(tx.catalogue().seen_later(&notes).await.unwrap(), []);
        tx.commit().await.unwrap();
    })
    .await;
}

/// ATK-341: a tool that is held back is announced once in each form, and at most so many at a time and one time in a while for one
/// server. What was accepted meanwhile, or is not shown any more, is not announced.
#[tokio::test(flavor = "multi_thread")]
async fn each_form_of_a_held_tool_is_announced_once() {
    on_both(async |world| {
        let (notes, every) = (server("notes"), u32::try_from(ANNOUNCED_EVERY_MILLIS / 1000).unwrap());
        let mut tx = world.begin().await;
        let names = |tools: Vec<Tool>| tools.into_iter().map(|tool| tool.name).collect::<Vec<_>>();
        tx.catalogue().sync(&notes, &[seen("read", "v1"), seen("write", "v1")], world.now).await.unwrap();
        assert_eq!(tx.catalogue().with_unannounced(world.now).await.unwrap(), []);
        let later = [seen("read", "v1"), seen("write", "v2"), seen("new", "v1")];
        tx.catalogue().sync(&notes, &later, world.at(1)).await.unwrap();
        assert_eq!(tx.catalogue().with_unannounced(world.at(1)).await.unwrap(), std::slice::from_ref(&notes));
        let taken = tx.catalogue().take_unannounced(&notes, world.at(1)).await.unwrap();
        assert_eq!(taken.iter().map(|tool| tool.accepted.is_none()).collect::<Vec<_>>(), [true, false]);
        assert_eq!(names(taken), ["new", "write"]);
        // The same form is announced no second time, also when the server showed the accepted one in between.
        tx.catalogue()
            .sync(&notes, &[seen("read", "v1"), seen("write", "v1"), seen("new", "v1")], world.at(2))
            .await
            .unwrap();
        tx.catalogue().sync(&notes, &later, world.at(3)).await.unwrap();
        assert_eq!(tx.catalogue().with_unannounced(world.at(3 + every)).await.unwrap(), []);
        // Another form is, once enough time has passed.
        let later = [seen("read", "v2"), seen("write", "v2"), seen("new", "v2")];
        tx.catalogue().sync(&notes, &later, world.at(4)).await.unwrap();
        assert_eq!(tx.catalogue().with_unannounced(world.at(every)).await.unwrap(), []);
        assert_eq!(tx.catalogue().take_unannounced(&notes, world.at(every)).await.unwrap(), []);
        assert_eq!(tx.catalogue().with_unannounced(world.at(1 + every)).await.unwrap(), std::slice::from_ref(&notes));
        assert!(tx.catalogue().accept(&notes, "read", &digest("v2"), world.at(5)).await.unwrap());
        assert_eq!(names(tx.catalogue().take_unannounced(&notes, world.at(1 + every)).await.unwrap()), ["new"]);
        // So many at a time, and the rest next time.
        let many: Vec<ToolSeen> = (0..=ANNOUNCED_MAX).map(|at| seen(&format!("tool-{at:04}"), "v1")).collect();
        tx.catalogue().sync(&notes, &many, world.at(6)).await.unwrap();
        let first = tx.catalogue().take_unannounced(&notes, world.at(2 + 2 * every)).await.unwrap();
        assert_eq!(i64::try_from(first.len()).unwrap(), ANNOUNCED_MAX);
        let second = tx.catalogue().take_unannounced(&notes, world.at(3 + 3 * every)).await.unwrap();
        assert_eq!(names(second), [format!("tool-{ANNOUNCED_MAX:04}")]);
    })
    .await;
}

/// Of several nodes that find a held tool at the same moment, one announces it.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_tool_is_announced_by_one_node() {
    on_both(async |world| {
        let (notes, now) = (server("notes"), world.at(1));
        let mut tx = world.begin().await;
        tx.catalogue().sync(&notes, &[seen("read", "v1")], world.now).await.unwrap();
        tx.catalogue().sync(&notes, &[seen("read", "v2")], now).await.unwrap();
        tx.commit().await.unwrap();
        let found = race(&world, |store, _| async move {
            let mut tx = store.begin().await?;
            let tools = tx.catalogue().take_unannounced(&server("notes"), now).await?;
            tx.commit().await?;
            Ok(!tools.is_empty())
        })
        .await;
        assert_eq!(winners(found), 1);
    })
    .await;
}

/// ATK-76: only what a server shows first is accepted unseen; whatever is new or changed later waits for an owner, who
/// accepts exactly what was shown.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_the_first_list_is_held_until_it_is_accepted() {
    on_both(async |world| {
        let notes = server("notes");
        let mut tx = world.begin().await;
        // A server that shows nothing yet has not had its first list.
        tx.catalogue().sync(&notes, &[], world.now).await.unwrap();
        tx.catalogue().sync(&notes, &[seen("read", "v1")], world.now).await.unwrap();
        assert_eq!(tx.catalogue().held(&notes).await.unwrap(), []);
        tx.catalogue().sync(&notes, &[seen("read", "v2"), seen("new", "v1")], world.at(1)).await.unwrap();
        let held = tx.catalogue().held(&notes).await.unwrap();
        let expected = [
            HeldTool { tool: tool("new", "v1", None), definition: "v1".to_owned(), accepted: None },
            HeldTool {
                tool: tool("read", "v2", Some("v1")),
                definition: "v2".to_owned(),
                accepted: Some("v1".to_owned()),
            },
        ];
        assert_eq!(held, expected);
        assert_eq!(tx.catalogue().held_counts().await.unwrap(), [(notes.clone(), 2)]);

        // What was shown and has changed since is not accepted, neither with a class nor without.
        assert!(!tx.catalogue().accept(&notes, "read", &digest("v1"), world.at(2)).await.unwrap());
        assert!(!tx.catalogue().classify(&notes, "read", ToolClass::Read, &digest("v1"), world.at(2)).await.unwrap());
        assert_eq!(tx.catalogue().held(&notes).await.unwrap(), expected);
        assert!(tx.catalogue().accept(&notes, "read", &digest("v2"), world.at(2)).await.unwrap());
        assert!(tx.catalogue().classify(&notes, "new", ToolClass::Write, &digest("v1"), world.at(2)).await.unwrap());
        assert_eq!(tx.catalogue().held(&notes).await.unwrap(), []);
        assert_eq!(tx.catalogue().held_counts().await.unwrap(), []);

        // Several tools of one name are one entry, which is held back from the first list on, whatever is said of it.
        let (double, definition) = (server("double"), r#"[{"name":"read"},{"name":"read","title":"x"}]"#);
        tx.catalogue().sync(&double, &[seen("read", definition)], world.at(2)).await.unwrap();
        assert_eq!(tx.catalogue().held(&double).await.unwrap().len(), 1);
        let shown = digest(definition);
        assert!(!tx.catalogue().accept(&double, "read", &shown, world.at(2)).await.unwrap());
        assert!(!tx.catalogue().classify(&double, "read", ToolClass::Read, &shown, world.at(2)).await.unwrap());
        assert_eq!(tx.catalogue().held(&double).await.unwrap().len(), 1);

        // A server that is forgotten begins anew.
        tx.catalogue().sync(&notes, &[seen("read", "v3")], world.at(3)).await.unwrap();
        assert_eq!(tx.catalogue().held(&notes).await.unwrap().len(), 1);
        tx.catalogue().forget(&notes).await.unwrap();
        assert_eq!(tx.catalogue().list(&notes).await.unwrap(), []);
        tx.catalogue().sync(&notes, &[seen("read", "v4")], world.at(4)).await.unwrap();
        assert_eq!(tx.catalogue().held(&notes).await.unwrap(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_that_did_not_change_announces_nothing() {
    on_both(async |world| {
        let notes = server("notes");
        let mut feed = world.store.changes();
        for seconds in 0..3 {
            let mut tx = world.begin().await;
            tx.catalogue().sync(&notes, &[seen("read", "v1")], world.at(seconds)).await.unwrap();
            tx.commit().await.unwrap();
        }
        let mut tx = world.begin().await;
        tx.settings().put("end", "value").await.unwrap();
        tx.commit().await.unwrap();
        let mut kinds = Vec::new();
        while kinds.last() != Some(&ChangeKind::Setting) {
            let FeedEvent::Change(change) = next(&mut feed).await else { panic!("a gap") };
            kinds.push(change.kind);
        }
        assert_eq!(kinds, [ChangeKind::Catalogue, ChangeKind::Setting]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_kept_replaced_and_forgotten() {
    on_both(async |world| {
        let notes = server("notes");
        let mut tx = world.begin().await;
        for (name, value) in [("token", "one"), ("authorization", "two"), ("token", "three")] {
            tx.credentials().put(&notes, name, &UpstreamSecret::from_outside(value)).await.unwrap();
        }
        tx.credentials().put(&server("files"), "token", &UpstreamSecret::from_outside("four")).await.unwrap();
        assert_eq!(tx.credentials().list_names(&notes).await.unwrap(), ["authorization", "token"]);
        assert_eq!(tx.credentials().find(&notes, "token").await.unwrap(), Some(UpstreamSecret::from_outside("three")));
        assert!(tx.credentials().remove(&notes, "token").await.unwrap());
        assert!(!tx.credentials().remove(&notes, "token").await.unwrap());
        assert_eq!(tx.credentials().find(&notes, "token").await.unwrap(), None);
        assert!(tx.credentials().find(&server("files"), "token").await.unwrap().is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signing_key_is_listed_until_it_is_removed() {
    on_both(async |world| {
        let key = |seconds: u32| SigningKeyRow {
            id: KeyId::generate(world.at(seconds), &*world.entropy),
            algorithm: "EdDSA".to_owned(),
            private: SecretBytes::new(vec![1, 2, 3]),
            public_jwk: r#"{"kty": "OKP"}"#.to_owned(),
            created_at: world.now,
            active_from: world.at(seconds),
            retires_at: None,
            removed_at: None,
        };
        let (second, first) = (key(2), key(1));
        let mut tx = world.begin().await;
        tx.keys().insert(&second).await.unwrap();
        tx.keys().insert(&first).await.unwrap();
        assert!(tx.keys().retire(first.id, world.at(10)).await.unwrap());
        assert!(tx.keys().remove(first.id, world.at(20)).await.unwrap());
        let listed = tx.keys().list(world.at(19)).await.unwrap();
        assert_eq!(listed.iter().map(|key| key.id).collect::<Vec<_>>(), [first.id, second.id]);
        assert_eq!((listed[0].retires_at, listed[0].removed_at), (Some(world.at(10)), Some(world.at(20))));
        assert_eq!((listed[1].private.expose(), listed[1].public_jwk.as_str()), (&[1, 2, 3][..], r#"{"kty": "OKP"}"#));
        assert_eq!(tx.keys().list(world.at(20)).await.unwrap().len(), 1);
        assert!(!tx.keys().retire(key(3).id, world.now).await.unwrap());
        assert!(!tx.keys().remove(key(3).id, world.now).await.unwrap());
    })
    .await;
}
