//! The oracle of `oracle.rs` for resources: generated rules about URIs, generated spellings of URIs, and a naive
//! reading of the expected decision.
//!
//! It folds nothing. A URI is made from a *value* (host and names) and from changes to its spelling. So it is known by
//! construction which texts are the same resource to some server, and which are canonical.

use std::collections::BTreeMap;

use sekisho_policy::decide::{Decision, Reason, decide};
use sekisho_policy::model::{Authority, Call, Target};
use sekisho_policy::rights::Rights;
use sekisho_protocol::env::{SeededEntropy, random};
use sekisho_protocol::uri::ResourceUri;

use crate::world::{caller, now, rights, user};

/// The number of compared calls, unless `SEKISHO_TEST_ORACLE` gives another; 200,000 were compared once.
const CASES: usize = 10_000;
const CASES_OF_A_WORLD: usize = 100;

struct Dice(SeededEntropy);

impl Dice {
    fn roll(&self, sides: usize) -> usize {
        usize::try_from(u32::from_be_bytes(random::<4>(&self.0))).unwrap() % sides
    }

    fn one_in(&self, times: usize) -> bool {
        self.roll(times) == 0
    }

    fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

/// The value of a resource: a host and the names below it.
#[derive(Clone, Debug, PartialEq)]
struct Thing {
    host: &'static str,
    names: Vec<&'static str>,
}

impl Thing {
    fn roll(dice: &Dice) -> Self {
        let count = 1 + dice.roll(2);
        let names = (0..count).map(|_| dice.pick(&["a", "b", "c,d", "s t", "é"])).collect();
        Self { host: dice.pick(&["priv", "pub"]), names }
    }

    /// Returns the usual spelling, as a server would list it, with `,` unescaped.
    fn text(&self) -> String {
        let encoded = |name: &&str| name.replace(' ', "%20").replace('é', "%C3%A9");
        format!("note://{}/{}", self.host, self.names.iter().map(encoded).collect::<Vec<_>>().join("/"))
    }
}

/// One spelling of a thing, canonical or not.
#[derive(Clone, Debug)]
struct Spelled {
    thing: Thing,
    text: String,
    canonical: bool,
}

impl Spelled {
    fn roll(dice: &Dice) -> Self {
        let thing = Thing::roll(dice);
        let mut spelled = Self { text: thing.text(), thing, canonical: true };
        // At most one change of each kind, in an order in which none undoes another.
        if dice.one_in(4) {
            spelled.text = spelled.text.replacen(spelled.thing.host, &spelled.thing.host.to_uppercase(), 1);
        }
        if dice.one_in(4) {
            spelled.text = spelled.text.replace("/b", "/B").replace("/a", "/A");
        }
        if dice.one_in(4) {
            spelled.text = spelled.text.replace(',', "%2C");
        }
        if dice.one_in(6) {
            spelled.text = spelled.text.replace("%C3%A9", "e%CC%81");
        }
        if dice.one_in(6) {
            spelled.text = spelled.text.replacen("://", dice.pick(&["://me@", "://me:x@"]), 1);
        }
        if dice.one_in(6) {
            let at = spelled.text.rfind('@').map_or("note://".len(), |at| at + 1);
            let end = spelled.text.split_at(at).1.find('/').map_or(spelled.text.len(), |end| at + end);
            spelled.text.insert_str(end, ":80");
        }
        spelled.text += dice.pick(&["", "", "", "/", ".", "%20", ";v=1"]);
        spelled.text += dice.pick(&["", "", "", "?x=1", "?x=%2Fy"]);
        if dice.one_in(4) {
            let before = spelled.text.clone();
            spelled.text = match dice.roll(6) {
                0 => spelled.text.replacen("note", "NOTE", 1),
                1 => spelled.text.replacen("note://", "note:/", 1),
                2 => format!("{}#x", spelled.text),
                3 => spelled.text.replacen("/note", "/./note", 1).replacen("note://", "note://x/../", 1),
                4 => spelled.text.replacen('r', "%72", 1).replacen("pub", "%70ub", 1),
                _ => spelled.text.replace("%20", " ").replacen("://", "://\\", 1),
            };
            // Some of these changes may find nothing to change.
            spelled.canonical = spelled.text == before;
        }
        spelled
    }
}

#[derive(Clone, Debug)]
enum What {
    /// `==`, or the scope: the thing itself.
    One(Thing),
    /// `like "note://HOST/*"`
    Under(&'static str),
}

#[derive(Clone, Debug)]
struct Rule {
    permits: bool,
    what: What,
    /// Whether the comparison stands behind `unless`.
    except: bool,
    approval: bool,
    scope: bool,
    /// The thing as the rule writes it.
    text: String,
}

impl Rule {
    fn roll(dice: &Dice) -> Self {
        let permits = !dice.one_in(3);
        let (what, text) = if dice.one_in(2) {
            let host = dice.pick(&["priv", "pub"]);
            (What::Under(host), format!("note://{host}/*"))
        } else {
            let thing = Thing::roll(dice);
            let text = thing.text();
            (What::One(thing), text)
        };
        let is_one = matches!(what, What::One(_));
        let except = dice.one_in(4);
        let scope = is_one && !except && dice.one_in(3);
        Self { permits, what, except, approval: permits && dice.one_in(4), scope, text }
    }

    fn cedar(&self) -> String {
        let effect = match (self.permits, self.approval) {
            (true, true) => "@approval permit",
            (true, false) => "permit",
            (false, _) => "forbid",
        };
        if self.scope {
            return format!(
                "{effect}(principal, action == Action::\"read\", resource == Resource::\"notes/{}\");\n",
                self.text
            );
        }
        let operator = if matches!(self.what, What::Under(_)) { "like" } else { "==" };
        let word = if self.except { "unless" } else { "when" };
        format!(
            "{effect}(principal, action == Action::\"read\", resource) {word} {{ resource.uri {operator} \"{}\" }};\n",
            self.text
        )
    }

    /// Whether the comparison holds for the text itself.
    fn is_text(&self, uri: &Spelled) -> bool {
        match &self.what {
            What::One(_) => uri.text == self.text,
            What::Under(host) => uri.text.starts_with(&format!("note://{host}/")),
        }
    }

    /// Whether it holds for a thing that some server takes the text for.
    fn is_value(&self, uri: &Spelled) -> bool {
        match &self.what {
            What::One(thing) => *thing == uri.thing,
            What::Under(host) => *host == uri.thing.host,
        }
    }

    fn gives(&self, uri: &Spelled) -> bool {
        if self.except { !self.is_value(uri) } else { self.is_text(uri) }
    }

    fn takes(&self, uri: &Spelled) -> bool {
        if self.except { !self.is_text(uri) } else { self.is_value(uri) }
    }
}

fn expected(rules: &[Rule], uri: &Spelled) -> &'static str {
    if !uri.canonical {
        return "refused";
    }
    let forbidden = rules.iter().any(|rule| !rule.permits && rule.takes(uri));
    let permitted = rules.iter().any(|rule| rule.permits && rule.gives(uri));
    let asked = rules.iter().any(|rule| rule.approval && rule.takes(uri));
    match (permitted && !forbidden, asked) {
        (false, _) => "rights",
        (true, true) => "ask",
        (true, false) => "permit",
    }
}

fn found(rights: &Rights, uri: &Spelled) -> &'static str {
    let Ok(uri) = ResourceUri::parse(&uri.text) else { return "refused" };
    let call = Call {
        server: "notes".parse().unwrap(),
        method: "resources/read",
        target: Target::Resource { uri },
        arguments: None,
        schema: None,
        params: None,
        arguments_digest: None,
        round: None,
        source: None,
    };
    match decide(rights, &caller(user(2), "mcp:read"), &Authority::default(), &call, now()) {
        Decision::Ask(_) => "ask",
        Decision::Deny(denial) if denial.reason == Reason::Rights => "rights",
        Decision::Permit(_) => "permit",
        other => panic!("{other:?}"),
    }
}

/// ATK-101, ATK-104: the decision about a generated spelling is the one that a naive reading of its value gives.
/// `SEKISHO_TEST_ORACLE=200000` compares that many.
#[test]
fn the_decision_about_a_uri_is_the_one_that_its_value_gives() {
    let cases = std::env::var_os("SEKISHO_TEST_ORACLE").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(CASES);
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    for world in 0..cases.div_ceil(CASES_OF_A_WORLD) {
        let dice = Dice(SeededEntropy::from_seed(world as u64));
        let rules: Vec<Rule> = (0..1 + dice.roll(4)).map(|_| Rule::roll(&dice)).collect();
        let rights = rights(&rules.iter().map(Rule::cedar).collect::<String>());
        for uri in (0..CASES_OF_A_WORLD).map(|_| Spelled::roll(&dice)) {
            let expected = expected(&rules, &uri);
            assert_eq!(found(&rights, &uri), expected, "world {world}: {uri:?}\n{rules:#?}");
            *rows.entry(expected).or_default() += 1;
        }
    }
    let total: usize = rows.values().sum();
    for row in ["ask", "permit", "refused", "rights"] {
        assert!(rows.get(row).copied().unwrap_or_default() * 20 >= total, "{row} of {total}: {rows:?}");
    }
}
