//! Attacks through the form of arguments: a forbidden value is written so that a rule misses it but the upstream reads
//! it.
//!
//! The upstreams note what arrives *by value*, after every conversion in their language: the official SDKs, and a
//! server that reads member names like Go.

use std::net::SocketAddr;
use std::path::PathBuf;

use sekisho_e2e::fakes::call::{headers, meta};
use sekisho_e2e::fakes::oauth::{Client, Granted, REDIRECT};
use sekisho_e2e::fakes::wire::{Reply, ask};
use sekisho_e2e::harness::wait::within;
use sekisho_e2e::harness::{Checkpoint, node};
use serde_json::{Value, json};

use super::field::{OWNER, PASSWORD, USER};

/// The kinds of upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// Go-like, with a schema that declares the arguments.
    Folding,
    FastMcp,
    /// Go-like, with a schema that declares nothing.
    Open,
    PythonSdk,
    TypeScriptSdk,
}

impl Language {
    fn command(self, file: &str) -> Vec<String> {
        let python = |kind: &str| {
            let folder = node::root().join("crates/e2e/python");
            let program = folder.join(".venv/bin/python").display().to_string();
            vec![program, folder.join("pay.py").display().to_string(), kind.to_owned(), file.to_owned()]
        };
        match self {
            Self::Folding => python("folding"),
            Self::FastMcp => python("fastmcp"),
            Self::Open => python("open"),
            Self::PythonSdk => python("sdk"),
            Self::TypeScriptSdk => {
                let script = node::folder().join("pay.mjs").display().to_string();
                vec![node::node().display().to_string(), script, file.to_owned()]
            }
        }
    }
}

/// A checkpoint in front of a server that pays, with a client that bob approved.
pub(crate) struct Paying {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) granted: Granted,
    address: SocketAddr,
    file: PathBuf,
}

impl Paying {
    /// Starts with these policies, and with more lines in the configuration of the server.
    pub(crate) async fn start(language: Language, policies: &str, lines: &str) -> Self {
        Self::listening("127.0.0.1:0", language, policies, lines).await
    }

    async fn listening(listen: &str, language: Language, policies: &str, lines: &str) -> Self {
        let setup = Checkpoint::configured_at(listen, "");
        let file = setup.folder().join("paid.jsonl");
        let command = json!(language.command(&file.display().to_string()));
        // Without TLS, other addresses may only be reached behind a proxy.
        let open = if listen.starts_with("127.") { "" } else { "[tls]\nterminated_in_front = true\n" };
        let toml = format!("{open}[servers.pay]\ncommand = {command}\ntools = {{ pay = \"write\" }}\n{lines}\n");
        std::fs::write(setup.folder().join("sekisho.toml"), toml).unwrap();
        let folder = setup.folder().join("policies");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("pay.cedar"), policies).unwrap();
        let checkpoint = setup.owner(OWNER, PASSWORD).user(USER, PASSWORD).start().await;
        let port = checkpoint.base_url().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
        let client = Client::register(checkpoint.base_url(), "Honest client", REDIRECT).await;
        let resource = format!("{}/mcp/pay", checkpoint.base_url());
        let granted = client.be_granted(&resource, "mcp:read mcp:write", USER, PASSWORD).await;
        Self { checkpoint, granted, address: SocketAddr::from(([127, 0, 0, 1], port)), file }
    }

    /// Calls `pay` with these arguments, exactly as they are written.
    pub(crate) async fn pay(&self, arguments: &str) -> Reply {
        self.pay_as(&self.granted.access, arguments).await
    }

    async fn pay_as(&self, token: &str, arguments: &str) -> Reply {
        let params = format!(r#"{{"name":"pay","arguments":{arguments},"_meta":{}}}"#, meta());
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        let request = headers("/mcp/pay", token, "tools/call")
            .header("mcp-name", "pay")
            .header("content-type", "application/json")
            .body(body.as_bytes());
        ask(self.address, &request).await.unwrap()
    }

    /// Returns what the upstream was asked to pay, by value.
    pub(crate) fn paid(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Checks that none of these calls is paid, and that an honest call of this amount still is.
    pub(crate) async fn refuses<S: AsRef<str>>(&self, all: &[S]) {
        for arguments in all {
            let reply = self.pay(arguments.as_ref()).await;
            assert!(!is_paid(&reply), "{}: {}", arguments.as_ref(), reply.text());
            assert_eq!(self.paid(), Vec::<Value>::new(), "{}", arguments.as_ref());
        }
    }

    pub(crate) async fn pays<S: AsRef<str>>(&self, all: &[S]) {
        for arguments in all {
            let reply = self.pay(arguments.as_ref()).await;
            assert!(is_paid(&reply), "{}: {} {}", arguments.as_ref(), reply.text(), self.checkpoint.stderr().now());
        }
        assert_eq!(self.paid().len(), all.len());
        std::fs::remove_file(&self.file).unwrap();
    }

    fn grant(&self) -> String {
        self.granted.claim("grant").as_str().unwrap().to_owned()
    }
}

pub(crate) fn is_paid(reply: &Reply) -> bool {
    reply.status == 200 && reply.text().contains("paid") && !reply.text().contains("\"isError\":true")
}

/// Permits paying to everybody, but never more than 100.
pub(crate) const NOT_OVER_100: &str = r#"
@id("pay") permit(principal, action in [Action::"call", Action::"list"], resource in Server::"pay");
@id("not-over-100") @reason("too much")
forbid(principal, action == Action::"call", resource == Tool::"pay/pay")
when { context.numbers.hasTag("amount") && context.numbers.getTag("amount") > 100 };
"#;

const EVERYONE: &str = "everyone = \"write\"";

/// ATK-111: the official Python SDK alone pays 500 for each of these spellings. A rule that forbids more than 100 stops
/// all of them, and no refusal repeats a value.
#[tokio::test]
async fn no_spelling_of_a_forbidden_amount_is_paid() {
    let paying = Paying::start(Language::PythonSdk, NOT_OVER_100, EVERYONE).await;
    paying
        .refuses(&[
            r#"{"amount":500}"#,
            r#"{"amount":500.0}"#,
            r#"{"amount":5e2}"#,
            r#"{"amount":"500"}"#,
            r#"{"amount":" 500 "}"#,
            r#"{"amount":"0500"}"#,
            r#"{"amount":"500.0"}"#,
            r#"{"amount":"5_00"}"#,
            r#"{"amount":"\u0035\u0030\u0030"}"#,
        ])
        .await;
    let reply = paying.pay(r#"{"amount":"31337"}"#).await;
    assert!(!reply.text().contains("31337"), "{}", reply.text());
    paying.pays(&[r#"{"amount":100}"#, r#"{"amount":1e2,"to":"eve"}"#, r#"{"amount":5.0}"#]).await;
}

/// ATK-112: a number that Cedar cannot represent, or one with a fraction, does not get around a limit on whole numbers,
/// at an upstream that accepts any number.
#[tokio::test]
async fn a_number_beyond_its_limit_is_refused_however_it_is_written() {
    let paying = Paying::start(Language::Open, NOT_OVER_100, EVERYONE).await;
    paying
        .refuses(&[
            r#"{"amount": 101}"#,
            r#"{"amount": 150.0}"#,
            r#"{"amount": 1.5e2}"#,
            r#"{"amount": 1e3}"#,
            r#"{"amount": 150.5}"#,
            r#"{"amount": 9223372036854775808}"#,
            r#"{"amount": 1e30}"#,
            r#"{"amount": 100.00000000000000001}"#,
        ])
        .await;
    paying.pays(&[r#"{"amount": 100.0}"#, r#"{"amount": 99}"#]).await;
}

/// ATK-113: Go's encoding/json reads `Amount` as `amount`, and .NET and pydantic accept other names. A member that
/// could be read as one that a rule uses is refused, even if the tool declares no arguments.
#[tokio::test]
async fn no_other_name_reaches_a_forbidden_argument() {
    for language in [Language::Folding, Language::Open] {
        let paying = Paying::start(language, NOT_OVER_100, EVERYONE).await;
        paying
            .refuses(&[
                r#"{"Amount":500}"#,
                r#"{"AMOUNT":500}"#,
                r#"{"am_ount":500}"#,
                r#"{"amount ":500}"#,
                r#"{"amount":5,"AMOUNT":500}"#,
                r#"{"AMOUNT":500,"amount":5}"#,
                r#"{"amount":5,"am_ount":500}"#,
                r#"{"\uff21mount":500}"#,
            ])
            .await;
        paying.pays(&[r#"{"amount":5,"note":"for the coffee"}"#]).await;
    }
}

/// ATK-114, RS-61: an argument that a tool does not declare never reaches it, whether a rule uses it or not. The model
/// is told where it is and why it was refused, in the form of the revision.
#[tokio::test]
async fn arguments_that_a_tool_does_not_take_never_reach_it() {
    let paying = Paying::start(Language::PythonSdk, "", EVERYONE).await;
    let bad = [
        ("{}", "the argument `amount` is missing"),
        (r#"{"amount":"500"}"#, "the argument `/amount` does not fit `type`"),
        (r#"{"amount":1.5}"#, "the argument `/amount` does not fit `type`"),
        (r#"{"amount":1,"force":"yes"}"#, "the argument `/force` does not fit `type`"),
        (r#"{"amount":1,"to":["eve"]}"#, "the argument `/to` does not fit `type`"),
        (r#"{"amount":1,"Force":true}"#, "the argument `/Force` could be taken for `force`"),
    ];
    for (arguments, why) in bad {
        let reply = paying.pay(arguments).await;
        let result = reply.json()["result"].clone();
        assert_eq!((reply.status, &result["isError"]), (200, &json!(true)), "{arguments}: {}", reply.text());
        assert!(result["content"][0]["text"].as_str().unwrap().contains(why), "{arguments}: {}", reply.text());
    }
    assert_eq!(paying.paid(), Vec::<Value>::new());
    let rows = within(std::time::Duration::from_secs(10), "the records", async || {
        let rows = paying.checkpoint.records().await;
        let why = |row: &&Value| row["record"]["event"]["why"] == "arguments_invalid";
        (rows.iter().filter(why).count() == bad.len()).then_some(rows)
    })
    .await;
    assert!(!rows.iter().any(|row| row.to_string().contains("\"500\"")), "no value is in a record");
    paying.pays(&[r#"{"amount":5}"#, r#"{"amount":5,"other":[1]}"#]).await;
}

/// ATK-115: a rule that permits calls without a flag cannot be used by writing the flag in another form.
#[tokio::test]
async fn a_permit_by_absence_is_not_had_by_another_form() {
    let rule = r#"
permit(principal, action == Action::"list", resource in Server::"pay");
permit(principal, action == Action::"call", resource in Server::"pay") unless { context.flags.hasTag("force") };"#;
    let paying = Paying::start(Language::Open, rule, "").await;
    paying
        .refuses(&[
            r#"{"amount":1,"force":true}"#,
            r#"{"amount":1,"force":"true"}"#,
            r#"{"amount":1,"force":1}"#,
            r#"{"amount":1,"force":[true]}"#,
            r#"{"amount":1,"force":{"value":true}}"#,
            r#"{"amount":1,"force":null}"#,
            r#"{"amount":1,"FORCE":true}"#,
        ])
        .await;
    paying.pays(&[r#"{"amount":1}"#, r#"{"amount":1,"to":"eve"}"#]).await;
}

/// ATK-115: if a rule demands approval above a limit, nothing above it is paid without approval, in whatever form it is
/// written.
#[tokio::test]
async fn no_other_form_of_an_amount_goes_without_approval() {
    let rule = r#"
permit(principal, action, resource in Server::"pay");
@approval permit(principal, action == Action::"call", resource == Tool::"pay/pay")
when { context.numbers.hasTag("amount") && context.numbers.getTag("amount") > 100 };"#;
    let paying = Paying::start(Language::Open, rule, "").await;
    paying.refuses(&[r#"{"amount":500}"#, r#"{"amount":"500"}"#, r#"{"amount":500.5}"#, r#"{"AMOUNT":500}"#]).await;
    paying.pays(&[r#"{"amount":100}"#]).await;
}

/// ATK-116: a listener for IPv4 and IPv6 sees an IPv4 caller as `::ffff:127.0.0.1`, which is in no range of IPv4. A
/// rule that forbids the range applies all the same.
#[tokio::test]
async fn a_dual_stack_listener_knows_callers_by_ipv4() {
    let rule = r#"
permit(principal, action, resource in Server::"pay");
forbid(principal, action == Action::"call", resource in Server::"pay")
when { context has source && context.source.isInRange(ip("127.0.0.0/8")) };"#;
    let paying = Paying::listening("[::]:0", Language::Open, rule, "").await;
    paying.refuses(&[r#"{"amount":1}"#]).await;
    let elsewhere = rule.replace("127.0.0.0/8", "10.0.0.0/8");
    let paying = Paying::listening("[::]:0", Language::Open, &elsewhere, "").await;
    paying.pays(&[r#"{"amount":1}"#]).await;
}

const PAST_A_BOUND: [&str; 8] = [
    r#"{"amount":500}"#,
    r#"{"amount":"500"}"#,
    r#"{"amount":[500]}"#,
    r#"{"amount":{"value":500}}"#,
    r#"{"amount":100.00000000000000001}"#,
    r#"{"AMOUNT":500}"#,
    r#"{"amount":5,"am_ount":500}"#,
    "{}",
];

/// ATK-117: no text, list or other name gets around a number's bound in a task, and neither does leaving the argument
/// out.
#[tokio::test]
async fn a_bound_of_a_task_binds_every_type() {
    let paying = Paying::start(Language::Open, "", EVERYONE).await;
    let bounds = r#"pay={"properties":{"amount":{"maximum":100}}}"#;
    let words = ["task", "start", "--grant", &paying.grant(), "--purpose", "pay a little", "--bounds", bounds];
    paying.checkpoint.ask(&words).await;
    within(std::time::Duration::from_secs(10), "the task is felt", async || {
        (!is_paid(&paying.pay(r#"{"amount":101}"#).await)).then_some(())
    })
    .await;
    let _ = std::fs::remove_file(&paying.file);
    paying.refuses(&PAST_A_BOUND).await;
    paying.pays(&[r#"{"amount":100}"#, r#"{"amount":1e2,"to":["other"]}"#]).await;
}

/// ATK-118: the same for a loan's bound, in the form that the README shows.
#[tokio::test]
async fn a_bound_of_a_loan_binds_every_type() {
    // The client may request access for some arguments, and these are others.
    let rule = r#"
permit(principal, action == Action::"list", resource in Server::"pay");
permit(principal, action == Action::"call", resource in Server::"pay")
when { context.flags.hasTag("paid_by_company") && context.flags.getTag("paid_by_company") };"#;
    let paying = Paying::start(Language::Open, rule, "").await;
    paying.refuses(&[r#"{"amount":1}"#]).await;
    let ask = ["request", "ask", "--grant", &paying.grant(), "--tool", "pay", "--reason", "lunch"];
    let asked = paying.checkpoint.ask(&ask).await;
    let request = asked[0]["requests"][0]["id"].as_str().unwrap().to_owned();
    let bounds = r#"{"properties":{"amount":{"maximum":100},"to":{"pattern":"^bob"}}}"#;
    paying.checkpoint.ask(&["request", "grant", &request, "--for", "1h", "--bounds", bounds]).await;
    within(std::time::Duration::from_secs(10), "the loan is felt", async || {
        is_paid(&paying.pay(r#"{"amount":1,"to":"bob"}"#).await).then_some(())
    })
    .await;
    std::fs::remove_file(&paying.file).unwrap();
    paying.refuses(&PAST_A_BOUND.map(|arguments| arguments.replace('}', r#","to":"bob"}"#).replace("{,", "{"))).await;
    paying.refuses(&[r#"{"amount":5,"to":["eve"]}"#, r#"{"amount":5,"to":"eve"}"#, r#"{"amount":5}"#]).await;
    paying.pays(&[r#"{"amount":100,"to":"bobby"}"#]).await;
}

/// ATK-119: a bound that could never apply is refused wherever it is created, and the message says what was probably
/// meant.
#[tokio::test]
async fn a_bound_that_binds_nothing_is_refused_where_it_is_made() {
    let paying = Paying::start(Language::PythonSdk, "", "everyone = \"write\"\nagent_tasks = true").await;
    assert_eq!(paying.pay(r#"{"amount":1}"#).await.status, 200);
    let (checkpoint, grant) = (&paying.checkpoint, paying.grant());
    for (bounds, says) in [
        ("{}", "say nothing of the arguments"),
        (r#"{"properties":{"to":{"maxlength":5}}}"#, "did you mean `maxLength`?"),
        (r#"{"properties":{"ammount":{"maximum":5}}}"#, "did you mean `amount`?"),
        (r#"{"amount":{"maximum":5}}"#, "under `properties`"),
        (r#"{"properties":{"amount":{"pattern":"^1"}}}"#, "`pattern` speaks of a string"),
    ] {
        let of_tool = format!("pay={bounds}");
        for words in [
            ["task", "start", "--grant", &grant, "--purpose", "p", "--bounds", &of_tool].as_slice(),
            &["request", "ask", "--grant", &grant, "--tool", "pay", "--reason", "r", "--bounds", bounds],
        ] {
            let said = checkpoint.command(words).await;
            assert_ne!(said.code(), Some(0), "{words:?}");
            assert!(said.stderr.contains(says), "{words:?}: {}", said.stderr);
        }
        let arguments = format!(r#"{{"purpose":"p","tools":[{{"name":"pay","arguments":{bounds}}}]}}"#);
        let reply = paying.begin_task(&arguments).await;
        assert!(reply.text().replace("\\\"", "\"").contains(says), "{bounds}: {}", reply.text());
    }
    // A configuration knows nothing about the tool, but its bounds are checked all the same.
    let file = checkpoint.folder().join("other.toml");
    let template = "[servers.pay]\ncommand = [\"true\"]\n[servers.pay.templates.few]\npurpose = \"pay a little\"\n\
                    bounds = { pay = { properties = { to = { maxlength = 5 } } } }\n";
    std::fs::write(&file, template).unwrap();
    let said = checkpoint.command(&["check", "--config", &file.display().to_string()]).await;
    assert_ne!(said.code(), Some(0));
    assert!(said.stderr.replace(['\n', '│', ' '], "").contains("didyoumean`maxLength`?"), "{}", said.stderr);
}

impl Paying {
    async fn begin_task(&self, arguments: &str) -> Reply {
        let params = format!(r#"{{"name":"begin_task","arguments":{arguments},"_meta":{}}}"#, meta());
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        let request = headers("/mcp/pay", &self.granted.access, "tools/call")
            .header("mcp-name", "begin_task")
            .header("content-type", "application/json")
            .body(body.as_bytes());
        ask(self.address, &request).await.unwrap()
    }
}
