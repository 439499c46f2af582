//! Many spellings of arguments, sent to the official SDKs and to readers that work like Go's: a value that a `forbid`
//! covers never arrives *by value at the upstream*, and honest values do.

use std::cell::Cell;

use serde_json::Value;

use super::arguments::{Language, NOT_OVER_100, Paying, is_paid};

/// Forbids to pay more than 100, to pay eve, and to force anything.
const RULES: &str = r#"
@id("not-eve") forbid(principal, action == Action::"call", resource == Tool::"pay/pay")
when { context.arguments.hasTag("to") && context.arguments.getTag("to") == "eve" };
@id("not-forced") forbid(principal, action == Action::"call", resource == Tool::"pay/pay")
when { context.flags.hasTag("force") && context.flags.getTag("force") };
"#;

/// The number of calls to each upstream. `SEKISHO_TEST_SPELLINGS` sets the number for all upstreams together.
const CALLS_USUAL: usize = 120;

/// Random numbers that are the same in every run (SplitMix64).
struct Dice(Cell<u64>);

impl Dice {
    fn roll(&self, sides: usize) -> usize {
        self.0.set(self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
        let mixed = (self.0.get() ^ (self.0.get() >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % sides
    }

    fn pick(&self, from: &[&str]) -> String {
        from[self.roll(from.len())].to_owned()
    }

    fn one_in(&self, times: usize) -> bool {
        self.roll(times) == 0
    }
}

/// Returns a number in some spelling, mostly as text.
fn amount(dice: &Dice) -> String {
    let value = dice.pick(&["5", "42", "99", "100", "101", "150", "500", "31337"]);
    if dice.one_in(3) {
        return dice.pick(&["5", "42", "100", "7.0", "1e2", "500"]);
    }
    let spelled = match dice.roll(13) {
        0 | 1 => value,
        2 => format!("{value}.0"),
        3 => format!("{value}e0"),
        4 => format!("{value}0e-1"),
        5 => format!("\"{value}\""),
        6 => format!("\" {value} \""),
        7 => format!("\"0{value}\""),
        8 => format!("\"{value}.0\""),
        9 => format!("\"{value}e0\""),
        10 => format!("{value}.5"),
        11 => dice.pick(&[
            "null",
            "true",
            "[]",
            "{}",
            "\"\"",
            "\"1_0_1\"",
            "\"\\u0035\\u0030\\u0030\"",
            "\"+500\"",
            "\"500\\n\"",
            "1e30",
            "9223372036854775808",
            "-5",
            "\"٥٠٠\"",
        ]),
        _ => format!("-{value}"),
    };
    wrapped(dice, spelled)
}

fn to(dice: &Dice) -> String {
    let spelled = dice.pick(&[
        "\"bob\"",
        "\"bob\"",
        "\"carol\"",
        "\"eve\"",
        "\"\\u0065ve\"",
        "7",
        "null",
        "[\"eve\"]",
        "\"eve \"",
    ]);
    wrapped(dice, spelled)
}

fn force(dice: &Dice) -> String {
    let spelled = dice.pick(&[
        "false",
        "false",
        "true",
        "\"true\"",
        "\"false\"",
        "1",
        "0",
        "\"yes\"",
        "\"on\"",
        "\"1\"",
        "null",
        "\"t\"",
        "1.0",
    ]);
    wrapped(dice, spelled)
}

/// Sometimes wraps a value in an array, an object or a text.
fn wrapped(dice: &Dice, value: String) -> String {
    match dice.roll(14) {
        0 => format!("[{value}]"),
        1 => format!("{{\"value\":{value}}}"),
        2 => Value::from(value).to_string(),
        _ => value,
    }
}

fn name(dice: &Dice, own: &str, others: &[&str]) -> String {
    if dice.one_in(8) { dice.pick(others) } else { own.to_owned() }
}

fn arguments(dice: &Dice) -> String {
    let mut members =
        vec![(name(dice, "amount", &["Amount", "AMOUNT", "am_ount", "amount ", "\\uff21mount"]), amount(dice))];
    if dice.one_in(3) {
        members.push((name(dice, "to", &["To", "TO", "t_o"]), to(dice)));
    }
    if dice.one_in(3) {
        members.push((name(dice, "force", &["Force", "FORCE", "for_ce"]), force(dice)));
    }
    if dice.one_in(8) {
        // The amount a second time, under another name.
        members.push((dice.pick(&["AMOUNT", "am_ount", "Amount"]), amount(dice)));
    }
    if dice.one_in(8) {
        members.push(("note".to_owned(), "\"for the coffee\"".to_owned()));
    }
    if dice.one_in(2) {
        members.reverse();
    }
    let members: Vec<String> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

const HONEST: [&str; 6] = [
    r#"{"amount":5}"#,
    r#"{"amount":100,"to":"bob"}"#,
    r#"{"amount":1e2,"force":false}"#,
    r#"{"amount":7.0,"to":"carol","force":false}"#,
    r#"{"to":"bob","amount":-5}"#,
    r#"{"amount":99,"to":"eve and bob"}"#,
];

#[expect(clippy::disallowed_methods, reason = "how long a test runs is its caller's to say")]
fn calls() -> usize {
    std::env::var("SEKISHO_TEST_SPELLINGS").map_or(CALLS_USUAL, |asked| asked.parse::<usize>().unwrap() / 5)
}

async fn compare(language: Language, seed: u64) {
    let paying = Paying::start(language, &format!("{NOT_OVER_100}{RULES}"), "everyone = \"write\"").await;
    let dice = Dice(Cell::new(seed));
    let mut arrived = 0;
    for count in 0..calls() {
        let sent = arguments(&dice);
        let reply = paying.pay(&sent).await;
        for paid in paying.paid().into_iter().skip(arrived) {
            arrived += 1;
            let forbidden = paid["amount"].as_f64().unwrap() > 100.0 || paid["to"] == "eve" || paid["force"] == true;
            assert!(!forbidden, "{language:?} {count}: {sent} came to {paid}: {}", reply.text());
        }
    }
    assert!(arrived * 20 > calls(), "{language:?}: of {} calls only {arrived} arrived", calls());
    let before = paying.paid().len();
    for sent in HONEST {
        assert!(is_paid(&paying.pay(sent).await), "{language:?}: {sent}");
    }
    assert_eq!(paying.paid().len(), before + HONEST.len(), "{language:?}");
}

/// ATK-120: as described above; `SEKISHO_TEST_SPELLINGS=5000` sends that many calls to the five upstreams together.
#[tokio::test]
async fn what_a_forbid_covers_never_arrives_at_the_python_sdk() {
    compare(Language::PythonSdk, 1).await;
}

/// ATK-120.
#[tokio::test]
async fn what_a_forbid_covers_never_arrives_at_fastmcp() {
    compare(Language::FastMcp, 2).await;
}

/// ATK-120.
#[tokio::test]
async fn what_a_forbid_covers_never_arrives_at_the_typescript_sdk() {
    compare(Language::TypeScriptSdk, 3).await;
}

/// ATK-120.
#[tokio::test]
async fn what_a_forbid_covers_never_arrives_at_a_reader_that_folds_names() {
    compare(Language::Folding, 4).await;
}

/// ATK-120.
#[tokio::test]
async fn what_a_forbid_covers_never_arrives_where_nothing_is_declared() {
    compare(Language::Open, 5).await;
}
