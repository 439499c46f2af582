//! `init`, `check`, `schema`, `serve`: a configuration is checked as a whole, and changes to it take effect while it is
//! served.

use sekisho_e2e::fakes::upstream::{Speaks, Upstream};
use sekisho_e2e::fakes::wire::{Ask, ask};
use sekisho_e2e::harness::Checkpoint;
use sekisho_e2e::harness::wait::within;

use super::{WATCHED, sekisho};

const BROKEN: &str = r#"listen = "0.0.0.0:8420"
base_url = "http://mcp.example.com/"
orgins = ["https://app.example"]

[tls]
cert = "/etc/sekisho/chain.pem"

[outbound]
allow_private = ["10.0.0.0/99"]

[servers.Notes]
command = ["notes"]
url = "http://127.0.0.1:1/mcp"

[servers.empty]

[servers.search]
url = "ftp://search/mcp"
everyone = "reed"
scopes_default = ["offline_access"]
access = "public"
"#;

/// All mistakes are reported at once, each with its line and a caret.
#[tokio::test]
async fn check_reports_every_mistake_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.toml");
    std::fs::write(&file, BROKEN).unwrap();
    let checked = sekisho(folder.path(), &["check", "-c", &file.display().to_string()], "").await;
    assert_eq!(checked.code(), Some(1));
    let said = checked.stderr.replace(&folder.path().display().to_string(), "FOLDER");
    insta::assert_snapshot!("check_broken", said);
    let json = sekisho(folder.path(), &["--json", "check", "-c", &file.display().to_string()], "").await;
    let mistakes: serde_json::Value = serde_json::from_str(json.stdout.trim()).unwrap();
    let fatal = mistakes.as_array().unwrap().iter().filter(|mistake| mistake["fatal"] == true).count();
    assert!(fatal >= 9, "{fatal} mistakes: {mistakes}");
    let served = sekisho(folder.path(), &["serve", "-c", &file.display().to_string()], "").await;
    assert_eq!(served.code(), Some(2), "{}", served.stderr);
}

/// The configuration that `init` writes is valid, and `schema` describes it.
#[tokio::test]
async fn what_init_writes_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sekisho.toml").display().to_string();
    assert_eq!(sekisho(folder.path(), &["init", &file], "").await.code(), Some(0));
    let checked = sekisho(folder.path(), &["check", "-c", &file], "").await;
    assert_eq!(checked.code(), Some(0), "{}", checked.stderr);
    for words in [
        &["policy", "check", "-c", &file][..],
        &["policy", "test", "-c", &file],
        &["policy", "format", "--check", "-c", &file],
    ] {
        let said = sekisho(folder.path(), words, "").await;
        assert_eq!(said.code(), Some(0), "{words:?}: {}{}", said.stdout, said.stderr);
    }
    let tested = sekisho(folder.path(), &["policy", "test", "-c", &file], "").await;
    assert_eq!(tested.stdout.trim(), "5 passed, 0 failed");
    let schema = sekisho(folder.path(), &["schema"], "").await;
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout).unwrap();
    assert!(schema["properties"]["servers"].is_object(), "{schema}");
}

fn toml(upstream: &Upstream, names: &[&str]) -> String {
    names
        .iter()
        .map(|name| {
            format!(
                "[servers.{name}]\nurl = \"{}\"\neveryone = \"read\"\ntools = {{ look = \"read\" }}\n",
                upstream.url()
            )
        })
        .collect()
}

async fn status(checkpoint: &Checkpoint, path: &str) -> u16 {
    let port = checkpoint.base_url().rsplit(':').next().unwrap();
    ask(format!("127.0.0.1:{port}").parse().unwrap(), &Ask::post(path)).await.unwrap().status
}

/// A server that is added, changed or removed in the file is so within moments; an invalid file changes nothing.
#[tokio::test]
async fn a_changed_file_is_taken_over_and_a_broken_one_is_not() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let checkpoint = Checkpoint::configured(&toml(&upstream, &["one"])).start().await;
    let file = checkpoint.configuration();
    assert_eq!((status(&checkpoint, "/mcp/one").await, status(&checkpoint, "/mcp/two").await), (401, 404));
    std::fs::write(&file, toml(&upstream, &["one", "two"])).unwrap();
    within(WATCHED, "the second server", async || (status(&checkpoint, "/mcp/two").await == 401).then_some(())).await;
    std::fs::write(
        &file,
        format!("{}\n[servers.three]\nurl = \"{}\"\n[servers.broken", toml(&upstream, &["one"]), upstream.url()),
    )
    .unwrap();
    checkpoint.stderr().contains("the old one stays").await;
    assert_eq!(
        (
            status(&checkpoint, "/mcp/one").await,
            status(&checkpoint, "/mcp/two").await,
            status(&checkpoint, "/mcp/three").await
        ),
        (401, 401, 404)
    );
    // Editors write a file beside it and move it into place.
    let beside = file.with_extension("new");
    std::fs::write(&beside, toml(&upstream, &["two"])).unwrap();
    std::fs::rename(&beside, &file).unwrap();
    within(WATCHED, "the first server is gone", async || (status(&checkpoint, "/mcp/one").await == 404).then_some(()))
        .await;
    assert_eq!(status(&checkpoint, "/mcp/two").await, 401);
}

/// A public server that listens beyond loopback needs a second setting.
#[tokio::test]
async fn a_public_server_beyond_loopback_is_said_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sekisho.toml");
    let public = "base_url = \"https://mcp.example.com\"\n[tls]\nterminated_in_front = true\n[servers.open]\nurl = \"http://127.0.0.1:9/mcp\"\naccess = \"public\"\n";
    std::fs::write(&file, public).unwrap();
    let path = file.display().to_string();
    let refused = sekisho(&folder.path().join("data"), &["serve", "-c", &path, "--listen", "127.0.0.1:0"], "").await;
    assert_eq!(refused.code(), Some(2), "{}", refused.stderr);
    let said: String = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("public_beyond_loopback"), "{said}");
    let warned = sekisho(&folder.path().join("data"), &["check", "-c", &path], "").await;
    assert!(warned.stderr.contains("anybody who can reach"), "{}", warned.stderr);
    std::fs::write(&file, "listen = \"0.0.0.0:0\"\n[servers.one]\nurl = \"http://127.0.0.1:9/mcp\"\n").unwrap();
    let plain = sekisho(&folder.path().join("data"), &["serve", "-c", &path], "").await;
    assert_eq!(plain.code(), Some(2), "plain HTTP beyond loopback: {}", plain.stderr);
}

/// A second `serve` on the same data directory is refused, and the first one is not disturbed.
#[tokio::test]
async fn one_data_directory_has_one_instance() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let checkpoint = Checkpoint::configured(&toml(&upstream, &["one"])).start().await;
    let second = sekisho(
        &checkpoint.data_dir(),
        &["serve", "-c", &checkpoint.configuration().display().to_string(), "--listen", "127.0.0.1:0"],
        "",
    )
    .await;
    assert_eq!(second.code(), Some(3), "{}", second.stderr);
    assert_eq!(status(&checkpoint, "/mcp/one").await, 401);
}

/// The bounds of a template name an argument that the tool does not declare: `check` reports it as soon as the store
/// knows the tool, and so does the command that would start a task with these bounds.
#[tokio::test(flavor = "multi_thread")]
async fn check_finds_an_argument_in_bounds_that_its_tool_does_not_take() {
    let program = serde_json::json!(sekisho_e2e::harness::binary().display().to_string());
    let toml = format!(
        "[servers.notes]\ncommand = [{program}, \"bundled\", \"notes\"]\ntools = {{ write_note = \"write\" }}\n\
         [servers.notes.templates.draft]\npurpose = \"write a draft\"\n\
         bounds.write_note = {{ properties = {{ titel = {{ pattern = \"^draft\" }} }} }}\n"
    );
    let checkpoint = Checkpoint::configured(&toml).owner("alice", "correct horse battery staple").start().await;
    checkpoint.ask(&["server", "tools", "propose", "notes"]).await;
    let file = checkpoint.configuration().display().to_string();
    let checked = checkpoint.command(&["check", "-c", &file]).await;
    let said = format!("{}{}", checked.stdout, checked.stderr);
    let flat = said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    assert!(flat.contains("the tool `write_note` has no argument `titel`; did you mean `title`?"), "{said}");
    assert_eq!(checked.code(), Some(0), "{said}");
    let mut person = sekisho_e2e::harness::Person::new("alice", "correct horse battery staple");
    checkpoint.let_in(&mut person, "mcp:write").await;
    let grant = checkpoint.ask(&["grant", "list"]).await[0]["grants"][0]["id"].as_str().unwrap().to_owned();
    let started =
        checkpoint.command(&["task", "start", "--grant", &grant, "--template", "notes/draft", "-c", &file]).await;
    assert_ne!(started.code(), Some(0));
    assert!(started.stderr.contains("has no argument `titel`; did you mean `title`?"), "{}", started.stderr);
}

/// ATK-282: a name that matches nothing is reported, with the name that was probably meant. If it makes the
/// configuration less strict, it is an error for `check`, `policy check` and a start.
#[tokio::test]
async fn a_typing_error_that_opens_a_hole_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let (file, rules) = (folder.path().join("sekisho.toml"), folder.path().join("policies"));
    std::fs::create_dir(&rules).unwrap();
    let config = file.display().to_string();
    let good = "[groups]\nsupport = [\"alice\"]\n[servers.tickets]\ncommand = [\"x\"]\n[servers.tickets.tools]\nlist = \"read\"\n\
        [servers.billing]\ncommand = [\"x\"]\n[servers.billing.tools]\nrefund = \"destructive\"\n";
    let permit =
        |condition: &str| format!("permit(principal, action == Action::\"call\", resource) when {{ {condition} }};");
    let forbid =
        |condition: &str| format!("forbid(principal, action == Action::\"call\", resource) when {{ {condition} }};");
    let template = "[servers.billing.templates.t]\npurpose = \"p\"\n";
    let none = String::new();
    // More lines of the configuration, the rule, the message, and whether it is refused.
    let cases = [
        ("", permit("principal in Group::\"suport\""), "did you mean `support`?", false),
        ("", forbid("principal in Group::\"suport\""), "did you mean `support`?", true),
        ("", forbid("resource in Server::\"tickts\""), "did you mean `tickets`?", true),
        ("", forbid("resource == Tool::\"billing/refnd\""), "did you mean `refund`?", true),
        ("", forbid("resource.class == \"reed\""), "did you mean `read`?", true),
        ("", forbid("principal == User::\"alice\""), "principal.name", true),
        (
            &format!("{template}bounds.refund = {{ properties = {{ note = {{ maxlength = 5 }} }} }}\n"),
            none.clone(),
            "did you mean `maxLength`?",
            true,
        ),
        (
            &format!("{template}bounds.refnd = {{ properties = {{ note = {{ maxLength = 5 }} }} }}\n"),
            none.clone(),
            "did you mean `refund`?",
            true,
        ),
        (&format!("{template}tools = [\"refnd\"]\n"), none.clone(), "did you mean `refund`?", false),
        ("[servers.x]\ncommand = [\"x\"]\ntools = { a = \"reed\" }\n", none.clone(), "reed", true),
        (
            "[servers.x]\ncommand = [\"x\"]\nenvironment = { A = \"${env:SEKISHO_TEST_NOT_SET}\" }\ntools = { a = \"read\" }\n",
            none.clone(),
            "SEKISHO_TEST_NOT_SET",
            true,
        ),
        (
            "[servers.x]\ncommand = [\"x\"]\nrights = \"observe until 2020-01-01\"\ntools = { a = \"read\" }\n",
            none.clone(),
            "ended on 2020-01-01",
            false,
        ),
        ("[servers.x]\ncommand = [\"x\"]\n", none.clone(), "server tools propose", false),
        (
            "[webhook]\nurl = \"https://h.example/x\"\nsecret = \"${env:SEKISHO_TEST_NOT_SET}\"\n",
            none.clone(),
            "SEKISHO_TEST_NOT_SET",
            true,
        ),
        ("[outbound]\nca_file = \"/nowhere/at/all.pem\"\n", none.clone(), "/nowhere/at/all.pem", true),
        ("[tls]\ncert = \"/nowhere/a.pem\"\nkey = \"/nowhere/b.pem\"\n", none.clone(), "/nowhere/a.pem", true),
    ];
    for (more, rule, says, refused) in cases {
        std::fs::write(&file, format!("{good}{more}")).unwrap();
        std::fs::write(rules.join("rules.cedar"), &rule).unwrap();
        let checked = sekisho(folder.path(), &["check", "-c", &config], "").await;
        assert_eq!(checked.code(), Some(i32::from(refused)), "{more}{rule}\n{}", checked.stderr);
        let said = checked.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(says), "{more}{rule}: {said}");
        let of_policy = sekisho(folder.path(), &["policy", "check", "-c", &config], "").await;
        // A variable that is not set on this machine is not a mistake in a policy.
        let of_machine = says.starts_with("SEKISHO") || says.starts_with("/nowhere");
        assert_eq!(of_policy.code(), Some(i32::from(refused && !of_machine)), "{more}{rule}\n{}", of_policy.stderr);
        if refused {
            let served = sekisho(folder.path(), &["serve", "-c", &config, "--listen", "127.0.0.1:0"], "").await;
            assert_eq!(served.code(), Some(if of_machine { 3 } else { 2 }), "{more}{rule}\n{}", served.stderr);
        }
    }
}

/// The content of the store is compared as well: users, tools, and the base URL that clients were told.
#[tokio::test]
async fn check_compares_the_file_with_the_store() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let checkpoint =
        Checkpoint::configured(&toml(&upstream, &["up"])).owner("alice", "correct horse battery staple").start().await;
    checkpoint.ask(&["server", "tools", "propose", "up"]).await;
    let more = |line: &str| format!("{}{line}", toml(&upstream, &["up"]));
    let file = checkpoint.folder().join("other.toml");
    let config = file.display().to_string();
    let check = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        let checked = checkpoint.command(&["check", "-c", &config]).await;
        (checked.code(), checked.stderr.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let (code, said) = check(&more("users = { alise = \"write\" }\n")).await;
    assert!(code == Some(0) && said.contains("did you mean `alice`?"), "{said}");
    let (code, said) = check(&more("closed_world = [\"wype\"]\n")).await;
    assert!(code == Some(0) && said.contains("has no tool `wype`"), "{said}");
    let (code, said) = check(&format!("base_url = \"https://other.example\"\n{}", more(""))).await;
    assert!(code == Some(1) && said.contains("since first start"), "{said}");
    let (code, said) = check(&more("users = { alice = \"write\" }\n")).await;
    assert!(!said.contains("did you mean"), "{code:?} {said}");
}

/// Under `serve`, the commands about servers use the configuration: its servers, its classes, and tools that nobody has
/// called yet. A server without classes gets instructions to set them.
#[tokio::test]
async fn commands_about_servers_know_the_file() {
    let upstream = Upstream::start(Speaks::Modern).await.unwrap();
    let bare = format!("[servers.bare]\nurl = \"{}\"\n", upstream.url());
    let text = format!("{}{bare}", toml(&upstream, &["one"]));
    let checkpoint = Checkpoint::configured(&text).owner("alice", "correct horse battery staple").start().await;
    checkpoint.stderr().contains("server tools propose").await;
    let listed = checkpoint.command(&["server", "list"]).await.stdout;
    assert!(listed.contains("one") && listed.contains("bare") && listed.contains(&upstream.url()), "{listed}");
    let explain = async |server: &str, tool: &str| {
        let words = ["explain", "--user", "alice", "--server", server, "--tool", tool];
        checkpoint.command(&words).await
    };
    let explained = explain("one", "look").await.stdout;
    assert!(!explained.contains("there is no such tool") && explained.contains("owner"), "{explained}");
    let nothing = explain("one", "nothing").await.stdout;
    assert!(nothing.contains("there is no such tool"), "{nothing}");
    let other = explain("other", "look").await;
    assert!(other.stderr.contains("there is no server `other`; there are `bare`, `one`"), "{}", other.stderr);
    let tools = checkpoint.command(&["server", "tools", "list", "one"]).await.stdout;
    let look = tools.lines().find(|line| line.starts_with("look")).unwrap();
    assert!(look.contains("read") && !look.contains("not classified"), "{tools}");
    let proposed = checkpoint.command(&["server", "tools", "propose", "bare"]).await;
    let table: toml::Table = proposed.stdout.parse().unwrap_or_else(|error| panic!("{error}: {}", proposed.stdout));
    let classes = table["servers"]["bare"]["tools"].as_table().unwrap();
    assert!(classes.len() >= 3 && classes.values().all(|class| class.is_str()), "{}", proposed.stdout);
    // The output is a configuration in which every tool has a class.
    let file = checkpoint.folder().join("with.toml");
    std::fs::write(&file, format!("{text}{}", proposed.stdout)).unwrap();
    let config = file.display().to_string();
    let checked = checkpoint.command(&["check", "-c", &config]).await;
    assert!(checked.code() == Some(0) && !checked.stderr.contains("tools propose"), "{}", checked.stderr);
    // If no instance runs, the file is read.
    let data = checkpoint.data_dir();
    let _kept = checkpoint.kill().await;
    let listed = sekisho(&data, &["server", "list", "-c", &config], "").await.stdout;
    assert!(listed.contains("one") && listed.contains("bare"), "{listed}");
    let tools = sekisho(&data, &["server", "tools", "list", "one", "-c", &config], "").await.stdout;
    assert!(tools.lines().any(|line| line.starts_with("look") && line.contains("read")), "{tools}");
}

/// ATK-312: what claims make of a person is shown before anybody is let in, and lets nobody in.
#[tokio::test]
async fn check_shows_what_claims_make_of_a_person() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sekisho.toml");
    let toml = "[servers.notes]\nurl = \"https://notes.example/mcp\"\ntools = { look = \"read\", keep = \"write\" }\n\
                [groups]\nauditors = [\"corp/auditors\"]\n[[login.provider]]\nname = \"corp\"\n\
                issuer = \"https://login.example\"\nclient_id = \"sekisho\"\nclient_secret = \"${env:HOME}\"\n\
                [[login.provider.groups]]\nclaim = \"groups\"\nprefix = \"app-\"\n";
    std::fs::write(&file, toml).unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    let rule = "permit(principal in Group::\"corp/engineers\", action, resource == Tool::\"notes/look\");";
    std::fs::write(folder.path().join("policies/a.cedar"), rule).unwrap();
    let claims = folder.path().join("claims.json");
    let check = async |said: serde_json::Value, more: &[&str]| {
        std::fs::write(&claims, said.to_string()).unwrap();
        let (file, claims) = (file.display().to_string(), claims.display().to_string());
        let mut words = vec!["check", "-c", &file, "--login", "corp", "--claims", &claims];
        words.extend_from_slice(more);
        sekisho(folder.path(), &words, "").await
    };
    let person = serde_json::json!({ "sub": "0123456789", "email": "ada@example.com",
        "groups": ["app-engineers", "everyone"], "roles": ["admin"] });
    let good = check(person.clone(), &["--shorten"]).await;
    assert_eq!(good.code(), Some(0), "{}{}", good.stdout, good.stderr);
    for expected in [
        "corp/engineers by the rule for `groups`, from `app-engineers`",
        "`everyone` makes no group",
        "no rule reads it",
        "notes: mcp:read tool:look",
        "names `corp/auditors`, which this person does not have",
    ] {
        assert!(good.stdout.contains(expected), "{expected}: {}", good.stdout);
    }
    assert!(!good.stdout.contains("0123456789") && !good.stdout.contains("ada@example.com"), "{}", good.stdout);
    let whole = check(person, &[]).await;
    assert!(whole.stdout.contains("0123456789"), "{}", whole.stdout);
    let objects = check(serde_json::json!({ "sub": "1", "groups": [{ "id": 7 }] }), &[]).await;
    assert_eq!(objects.code(), Some(1), "{}", objects.stdout);
    assert!(objects.stderr.contains("an object"), "{}", objects.stderr);
    let nobody = check(serde_json::json!({ "groups": [] }), &[]).await;
    assert!(nobody.stderr.contains("`sub`"), "{}", nobody.stderr);
}
