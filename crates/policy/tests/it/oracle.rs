//! A second, very simple implementation of the three sets, over generated worlds: the answers must be equal.
//!
//! It shares no code with the policy: rules, tasks, arguments and scopes are small structures here, evaluated by hand.
//! They are written as Cedar, JSON, JSON Schema and scope tokens only for the policy. Arguments come in every spelling,
//! each with its meaning.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use sekisho_policy::decide::{Decision, Reason, decide, may_see};
use sekisho_policy::model::{Authority, Call, Target, ToolState, Trust};
use sekisho_policy::rights::{PolicyFile, Rights, RightsParts, RightsServer, RightsUser};
use sekisho_policy::task::{BoundTask, Need};
use sekisho_protocol::caller::{ActorPath, Basis, Caller, Granted, IssuedBy, Subject};
use sekisho_protocol::catalogue::ToolClass;
use sekisho_protocol::env::{SeededEntropy, after, random};
use sekisho_protocol::ids::{ClientId, GrantId, TaskId, TokenId};
use sekisho_protocol::task::{Task, TaskDefinition, TaskOrigin};
use serde_json::json;

use crate::world::{now, user};

mod arguments;
mod numbers;

use arguments::{Given, Is, Name, tool_schema};

/// The number of generated calls in a usual run. Most look at arguments, so no answer is kept between them.
const CASES_USUAL: u64 = 36_000;
const CASES_OF_A_WORLD: u64 = 150;
const USERS: u64 = 4;
const SERVERS: [&str; 3] = ["notes", "news", "mail"];
const TOOLS: [&str; 4] = ["look", "edit", "wipe", "odd"];
const PATHS: [&str; 3] = ["/tmp/a", "/etc/b", "/tmp/c"];

const BOUNDS: [Bound; 3] = [Bound::AmountAtMost100, Bound::PathBegins("/tmp"), Bound::PathBegins("/etc")];

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

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Anyone,
    Editors,
    Owners,
    User(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Anything,
    Office,
    Server(&'static str),
    Tool(&'static str, &'static str),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Always,
    AmountAbove,
    ClassAtMost(u8),
    PathIs(&'static str),
    PriceAbove,
    Task,
    TrustAtLeast(u8),
    /// The amount is neither above 100 nor unknown.
    Unamounted,
    Unforced,
}

impl How {
    /// Returns the argument that it looks at.
    fn name(self) -> Option<Name> {
        match self {
            Self::AmountAbove | Self::Unamounted => Some(Name::Amount),
            Self::PathIs(_) => Some(Name::Path),
            Self::PriceAbove => Some(Name::Price),
            Self::Unforced => Some(Name::Force),
            Self::Always | Self::ClassAtMost(_) | Self::Task | Self::TrustAtLeast(_) => None,
        }
    }

    /// Returns whether the condition holds for an argument; `None` if it cannot compare the argument.
    fn of(self, is: Option<Is>) -> Option<bool> {
        match (self, is) {
            (Self::AmountAbove | Self::PathIs(_) | Self::PriceAbove, None) => Some(false),
            (Self::Unamounted | Self::Unforced, None) => Some(true),
            (Self::AmountAbove, Some(Is::Number(above, _, true, _))) => Some(above),
            (Self::Unamounted, Some(Is::Number(above, _, true, _))) => Some(!above),
            (Self::PriceAbove, Some(Is::Number(above, _, _, true))) => Some(above),
            (Self::PathIs(path), Some(Is::Text(text))) => Some(path == text),
            (Self::Unforced, Some(Is::Flag(_))) => Some(false),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Rule {
    permits: bool,
    who: Who,
    what: What,
    how: How,
    approval: bool,
    task_required: bool,
}

impl Rule {
    fn roll(dice: &Dice) -> Self {
        let permits = !dice.one_in(6);
        let who = match dice.roll(5) {
            0 => Who::Anyone,
            1 | 2 => Who::Editors,
            3 => Who::Owners,
            _ => Who::User(dice.roll(4) as u64),
        };
        let what = match dice.roll(if permits { 5 } else { 3 }) {
            0 => What::Tool(dice.pick(&SERVERS), dice.pick(&TOOLS)),
            1 => What::Tool(dice.pick(&SERVERS), dice.pick(&TOOLS)),
            2 => What::Server(dice.pick(&SERVERS)),
            3 => What::Office,
            _ => What::Anything,
        };
        let how = match dice.roll(11) {
            0 | 1 => How::ClassAtMost(u8::try_from(dice.roll(3)).unwrap()),
            2 => How::PathIs(dice.pick(&PATHS)),
            3 => How::TrustAtLeast(u8::try_from(dice.roll(3)).unwrap()),
            4 => How::Task,
            5 => How::AmountAbove,
            6 => How::PriceAbove,
            7 => dice.pick(&[How::Unamounted, How::Unforced]),
            _ => How::Always,
        };
        Self { permits, who, what, how, approval: permits && dice.one_in(3), task_required: permits && dice.one_in(16) }
    }

    fn cedar(&self) -> String {
        let mut text = String::new();
        if self.approval {
            text.push_str("@approval ");
        }
        if self.task_required {
            text.push_str("@task_required ");
        }
        text.push_str(if self.permits { "permit(" } else { "forbid(" });
        match self.who {
            Who::Anyone => text.push_str("principal is User"),
            Who::Editors => text.push_str("principal in Group::\"editors\""),
            Who::Owners => text.push_str("principal in Group::\"owners\""),
            Who::User(seed) => write!(text, "principal == User::\"{}\"", user(seed)).unwrap(),
        }
        text.push_str(", action == Action::\"call\", ");
        match self.what {
            What::Anything => text.push_str("resource"),
            What::Office => text.push_str("resource in ServerGroup::\"office\""),
            What::Server(name) => write!(text, "resource in Server::\"{name}\"").unwrap(),
            What::Tool(server, name) => write!(text, "resource == Tool::\"{server}/{name}\"").unwrap(),
        }
        text.push(')');
        match self.how {
            How::Always => {}
            How::ClassAtMost(level) => write!(text, " when {{ resource.level <= {level} }}").unwrap(),
            How::PathIs(path) => write!(
                text,
                " when {{ context.arguments.hasTag(\"path\") && context.arguments.getTag(\"path\") == \"{path}\" }}"
            )
            .unwrap(),
            How::AmountAbove => text
                .push_str(" when { context.numbers.hasTag(\"amount\") && context.numbers.getTag(\"amount\") > 100 }"),
            How::Unamounted => text
                .push_str(" unless { context.numbers.hasTag(\"amount\") && context.numbers.getTag(\"amount\") > 100 }"),
            How::Unforced => text.push_str(" when { !(context.flags.hasTag(\"force\")) }"),
            How::PriceAbove => text.push_str(
                " when { context.decimals.hasTag(\"order.price\")
                    && context.decimals.getTag(\"order.price\").greaterThan(decimal(\"100.0\")) }",
            ),
            How::Task => text.push_str(" when { context has task }"),
            How::TrustAtLeast(trust) => {
                write!(text, " when {{ context has path && context.path.trust >= {trust} }}").unwrap();
            }
        }
        text.push_str(";\n");
        text
    }

    fn fits(&self, case: &Case) -> bool {
        self.is_about(case) && self.how_fits(case)
    }

    fn is_about(&self, case: &Case) -> bool {
        let who = match self.who {
            Who::Anyone => true,
            Who::Editors => case.user % 2 == 1,
            Who::Owners => case.user == 0,
            Who::User(seed) => seed == case.user,
        };
        let what = match self.what {
            What::Anything => true,
            What::Office => case.server != "mail",
            What::Server(name) => name == case.server,
            What::Tool(server, name) => server == case.server && name == case.tool,
        };
        who && what
    }

    fn how_fits(&self, case: &Case) -> bool {
        match self.how {
            How::Always => true,
            How::ClassAtMost(level) => case.level() <= level,
            How::Task => case.tasked.is_some(),
            How::TrustAtLeast(trust) => case.trust >= trust,
            looks => {
                let name = looks.name().unwrap();
                // If the schema gives `null` a meaning, it counts as absent.
                let is = case.given.of(name).filter(|is| !(*is == Is::Null && name == Name::Amount && case.schema));
                // What cannot be compared is forbidden, and not permitted.
                let said = if case.given.has_alike(name) { None } else { looks.of(is) };
                said.unwrap_or(!self.permits)
            }
        }
    }

    /// Whether the rule's approval or task is required: if the rule fits, or if it cannot compare.
    fn wants(&self, case: &Case) -> bool {
        self.permits && self.is_about(case) && (self.how_fits(case) || Self { permits: false, ..*self }.how_fits(case))
    }
}

/// A simple task: which tools, under which path, and whether it is over or spent.
#[derive(Clone, Debug)]
struct Tasked {
    tools: Vec<(&'static str, Option<Bound>)>,
    over: bool,
    left: Option<i64>,
}

/// A task's bound on one argument.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AmountAtMost100,
    PathBegins(&'static str),
}

impl Bound {
    /// Returns the bound in the form that the README shows.
    fn schema(self) -> serde_json::Value {
        match self {
            Self::AmountAtMost100 => json!({"properties": {"amount": {"maximum": 100}}}),
            Self::PathBegins(beginning) => json!({"properties": {"path": {"pattern": format!("^{beginning}")}}}),
        }
    }

    fn holds(self, given: &Given) -> bool {
        match self {
            Self::AmountAtMost100 => {
                !given.has_alike(Name::Amount) && matches!(given.of(Name::Amount), Some(Is::Number(false, ..)))
            }
            Self::PathBegins(beginning) => {
                let path = given.of(Name::Path);
                !given.has_alike(Name::Path) && matches!(path, Some(Is::Text(text)) if text.starts_with(beginning))
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Case {
    user: u64,
    server: &'static str,
    tool: &'static str,
    /// 0 to 2 for a class, 3 for an unclassified tool, 4 for one that does not exist.
    standing: u8,
    given: Given,
    /// Whether the tool has a schema.
    schema: bool,
    /// The highest class that was granted, if any.
    granted: Option<u8>,
    by_name: bool,
    trust: u8,
    tasked: Option<Tasked>,
    expired: bool,
}

impl Case {
    fn roll(dice: &Dice) -> Self {
        let tasked = dice.one_in(2).then(|| Tasked {
            tools: TOOLS
                .iter()
                .filter(|_| !dice.one_in(3))
                .map(|tool| (*tool, dice.one_in(4).then(|| dice.pick(&BOUNDS))))
                .chain(std::iter::once(("always", None)))
                .collect(),
            over: dice.one_in(12),
            left: dice.one_in(3).then(|| i64::try_from(dice.roll(4)).unwrap()),
        });
        let granted = dice.roll(4);
        Self {
            user: dice.roll(USERS as usize) as u64,
            server: dice.pick(&SERVERS),
            tool: dice.pick(&TOOLS),
            standing: if dice.one_in(20) { 4 } else { u8::try_from(dice.roll(4)).unwrap() },
            given: Given::roll(dice),
            schema: dice.one_in(3),
            granted: (granted < 3).then(|| u8::try_from(granted).unwrap()),
            by_name: dice.one_in(8),
            trust: u8::try_from(dice.roll(3)).unwrap(),
            tasked,
            expired: dice.one_in(60),
        }
    }

    fn level(&self) -> u8 {
        self.standing.min(2)
    }

    /// Returns the row of the table (product §4), worked out by hand.
    fn row(&self, rules: &[Rule]) -> &'static str {
        let fitting: Vec<&Rule> = rules.iter().filter(|rule| rule.fits(self)).collect();
        let forbidden = fitting.iter().any(|rule| !rule.permits);
        let permits: Vec<&&Rule> = fitting.iter().filter(|rule| rule.permits).collect();
        let owner = self.user == 0;
        if self.schema && !self.given.fits() {
            return match () {
                () if self.standing == 4 || !self.may_some(rules) => "rights",
                () if self.expired => "expired",
                () => "invalid",
            };
        }
        if self.standing == 4 || forbidden || (permits.is_empty() && !owner) {
            return "rights";
        }
        if self.expired {
            return "expired";
        }
        if let Some(task) = &self.tasked {
            let named = task.tools.iter().find(|(tool, _)| *tool == self.tool);
            let bounded = |bound: &Option<Bound>| match bound {
                None => true,
                Some(bound) => bound.holds(&self.given),
            };
            if task.over || task.left == Some(0) || !named.is_some_and(|(_, bound)| bounded(bound)) {
                return "need";
            }
        }
        let wanting = || rules.iter().filter(|rule| rule.wants(self));
        if self.tasked.is_none() && wanting().any(|rule| rule.task_required) {
            return "need";
        }
        let enough =
            if self.standing == 3 { false } else { self.granted.is_some_and(|granted| granted >= self.level()) };
        if !enough && !self.by_name {
            return "step_up";
        }
        if wanting().any(|rule| rule.approval) { "ask" } else { "permit" }
    }

    /// Whether some arguments would be permitted.
    fn may_some(&self, rules: &[Rule]) -> bool {
        let mut about = rules.iter().filter(|rule| rule.is_about(self));
        let forbidden = about.clone().any(|rule| !rule.permits && rule.how.name().is_none() && rule.how_fits(self));
        let permitted = about.any(|rule| rule.permits && (rule.how.name().is_some() || rule.how_fits(self)));
        !forbidden && (self.user == 0 || permitted)
    }

    fn call(&self) -> Call {
        let class = [ToolClass::Read, ToolClass::Write, ToolClass::Destructive];
        let standing = match self.standing {
            level @ 0..=2 => ToolState::Classified(class[usize::from(level)]),
            3 => ToolState::Unclassified,
            _ => ToolState::Unknown,
        };
        Call {
            server: self.server.parse().unwrap(),
            method: "tools/call",
            target: Target::Tool { name: self.tool.to_owned(), standing },
            arguments: self.given.json().map(Bytes::from),
            schema: self.schema.then(|| Arc::new(tool_schema())),
            params: None,
            arguments_digest: None,
            round: None,
            source: None,
        }
    }

    fn caller(&self) -> Caller {
        let mut scopes: Vec<String> = Vec::new();
        scopes
            .extend(self.granted.map(|level| format!("mcp:{}", ["read", "write", "destructive"][usize::from(level)])));
        scopes.extend(self.by_name.then(|| format!("tool:{}", self.tool)));
        let client = ClientId::parse("cli_a").unwrap();
        Caller {
            scopes: scopes.join(" ").parse().unwrap(),
            basis: Basis::Grant(Granted {
                subject: Subject::User(user(self.user)),
                path: ActorPath::direct(client.clone()),
                client,
                grant: GrantId::generate(now(), &SeededEntropy::default()),
                task: None,
                token: TokenId::generate(now(), &SeededEntropy::default()),
                expires: if self.expired { now() } else { after(now(), 60) },
                issued_by: IssuedBy::Checkpoint,
            }),
        }
    }

    fn authority(&self) -> Authority {
        let trust = [Trust::Unverified, Trust::Published, Trust::Registered][usize::from(self.trust)];
        let Some(tasked) = &self.tasked else { return Authority { trust, need: Need::undeclared() } };
        let tools: BTreeMap<_, _> =
            tasked.tools.iter().map(|(tool, bound)| ((*tool).to_owned(), bound.map(Bound::schema))).collect();
        let entropy = SeededEntropy::default();
        let task = Task {
            id: TaskId::generate(now(), &entropy),
            grant: GrantId::generate(now(), &entropy),
            parent: None,
            server: self.server.parse().unwrap(),
            definition: TaskDefinition { purpose: "work".to_owned(), tools, ..TaskDefinition::default() },
            origin: TaskOrigin::Person,
            calls_left: tasked.left,
            created_at: now(),
            ends_at: tasked.over.then(now),
            ended_at: None,
        };
        Authority { trust, need: Need::of([Arc::new(BoundTask::new(task).unwrap())]) }
    }
}

fn rights(rules: &[Rule]) -> Rights {
    let person = |seed: u64| RightsUser {
        name: format!("user{seed}"),
        owner: seed == 0,
        groups: if seed % 2 == 1 { vec!["editors".to_owned()] } else { Vec::new() },
    };
    let server = |name: &str| RightsServer {
        groups: if name == "mail" { Vec::new() } else { vec!["office".to_owned()] },
        ..RightsServer::default()
    };
    let text: String = rules.iter().map(Rule::cedar).collect();
    Rights::new(RightsParts {
        users: (0..USERS).map(|seed| (user(seed), person(seed))).collect(),
        servers: SERVERS.iter().map(|name| (name.parse().unwrap(), server(name))).collect(),
        files: vec![PolicyFile { name: "rules.cedar".to_owned(), text }],
        ..RightsParts::default()
    })
    .unwrap()
}

fn row(decision: &Decision) -> &'static str {
    match decision {
        Decision::Ask(_) => "ask",
        Decision::Deny(denial) => match denial.reason {
            Reason::Arguments(_) => "invalid",
            Reason::Expired => "expired",
            Reason::OutsideTask(_) | Reason::TaskRequired => "need",
            Reason::Rights => "rights",
        },
        Decision::Permit(_) => "permit",
        Decision::StepUp(_) => "step_up",
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a test runs is its caller's to say")]
fn cases() -> u64 {
    std::env::var("SEKISHO_TEST_ORACLE_CASES").map_or(CASES_USUAL, |asked| asked.parse().unwrap())
}

/// Product §4: on generated calls (`SEKISHO_TEST_ORACLE_CASES=200000` asks for that many) the decision is the one that
/// a naive reading of the table gives, and every row of the table occurs. What is permitted for these arguments is in
/// the list, and what is in the list is refused only because of its arguments.
///
/// The test has four parts, which run in parallel.
#[test]
fn the_decision_is_the_one_that_a_naive_reading_gives_part_1() {
    compare(0);
}

#[test]
fn the_decision_is_the_one_that_a_naive_reading_gives_part_2() {
    compare(1);
}

#[test]
fn the_decision_is_the_one_that_a_naive_reading_gives_part_3() {
    compare(2);
}

#[test]
fn the_decision_is_the_one_that_a_naive_reading_gives_part_4() {
    compare(3);
}

fn compare(part: u64) {
    let mut rows: BTreeMap<&str, u64> = BTreeMap::new();
    for world in (part..cases() / CASES_OF_A_WORLD).step_by(4) {
        let dice = Dice(SeededEntropy::from_seed(world));
        let rules: Vec<Rule> = (0..6 + dice.roll(8)).map(|_| Rule::roll(&dice)).collect();
        let rights = rights(&rules);
        for case in (0..CASES_OF_A_WORLD).map(|_| Case::roll(&dice)) {
            let (caller, authority, call) = (case.caller(), case.authority(), case.call());
            let expected = case.row(&rules);
            let decision = decide(&rights, &caller, &authority, &call, now());
            assert_eq!(row(&decision), expected, "world {world}: {case:?}\n{rules:#?}");
            let shown = may_see(&rights, &caller, &authority, &call, now());
            let denied = matches!(decision, Decision::Deny(_));
            assert!(shown || denied, "not in the list, though it may be called: {case:?}");
            let by_arguments = rules.iter().any(|rule| rule.how.name().is_some())
                || expected == "invalid"
                || case.tasked.as_ref().is_some_and(|task| task.tools.iter().any(|(_, bound)| bound.is_some()));
            // A list leaves nothing out because of a task: that a task is required is told with the call.
            if !by_arguments {
                assert_eq!(shown, !denied, "in the list, though it may not be called: {case:?}");
            }
            *rows.entry(expected).or_default() += 1;
        }
    }
    let total: u64 = rows.values().sum();
    assert!(total * 5 >= cases());
    for expected in ["ask", "invalid", "need", "permit", "rights", "step_up"] {
        let share = rows.get(expected).copied().unwrap_or_default();
        assert!(share * 40 >= total, "{expected}: {share} of {total}; {rows:?}");
    }
}
