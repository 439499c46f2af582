//! Arguments in every spelling, each with its meaning.

use sekisho_policy::schema::ToolSchema;
use serde_json::json;

use super::numbers::spelled;
use super::{Dice, PATHS};

/// The meaning of a value, however it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Is {
    Flag(bool),
    List,
    Null,
    /// Whether it is above 100, is whole, fits into 64 bits, and fits into 64 bits of ten thousandths.
    Number(bool, bool, bool, bool),
    Object,
    /// A whole number that some programs round to another.
    Rounded,
    Text(&'static str),
}

pub(super) type Spelled = (&'static str, Is);

const SMALL: Is = Is::Number(false, true, true, true);
const MUCH: Is = Is::Number(true, true, true, true);

const NUMBERS: [Spelled; 19] = [
    ("5", SMALL),
    ("5.0", SMALL),
    ("1e2", SMALL),
    ("-0.0", SMALL),
    ("500", MUCH),
    ("500.0", MUCH),
    ("5e2", MUCH),
    ("1.5E+2", MUCH),
    ("50000e-2", MUCH),
    ("1000000000000000", Is::Number(true, true, true, false)),
    ("99.5", Is::Number(false, false, false, true)),
    ("150.5", Is::Number(true, false, false, true)),
    ("99.99995", Is::Number(false, false, false, false)),
    ("100.00000000000000001", Is::Number(true, false, false, false)),
    ("9223372036854775808", Is::Number(true, true, false, false)),
    ("-9223372036854775809", Is::Rounded),
    ("9007199254740993", Is::Rounded),
    ("1e30", Is::Number(true, true, false, false)),
    ("1e-7", Is::Number(false, false, false, false)),
];
const OTHERS: [Spelled; 16] = [
    (r#""500""#, Is::Text("500")),
    (r#"" 500 ""#, Is::Text(" 500 ")),
    (r#""0500""#, Is::Text("0500")),
    (r#""1.5e2""#, Is::Text("1.5e2")),
    (r#""true""#, Is::Text("true")),
    (r#""\u002fetc\/b""#, Is::Text("/etc/b")),
    (r#""/tmp/a""#, Is::Text("/tmp/a")),
    (r#"" /etc/b""#, Is::Text(" /etc/b")),
    ("true", Is::Flag(true)),
    ("false", Is::Flag(false)),
    ("null", Is::Null),
    ("[]", Is::List),
    ("[500]", Is::List),
    (r#"["/etc/b"]"#, Is::List),
    ("{}", Is::Object),
    (r#"{"value":500}"#, Is::Object),
];

/// The arguments that rules and schemas look for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Name {
    Amount,
    Force,
    Path,
    /// The argument inside `order`.
    Price,
}

impl Name {
    const ALL: [Self; 4] = [Self::Amount, Self::Force, Self::Path, Self::Price];

    fn written(self) -> &'static str {
        match self {
            Self::Amount => "amount",
            Self::Force => "force",
            Self::Path => "path",
            Self::Price => "price",
        }
    }

    /// A name that a lenient reader takes for this one.
    fn lookalike(self, dice: &Dice) -> &'static str {
        match self {
            Self::Amount => dice.pick(&["Amount", "AMOUNT", "am_ount", "\\uff41mount", "amount "]),
            Self::Force => dice.pick(&["Force", "for-ce", "\\uff46orce"]),
            Self::Path => dice.pick(&["Path", "pa_th", "pat\\u200bh"]),
            Self::Price => dice.pick(&["Price", "pri_ce"]),
        }
    }
}

/// The arguments of a call.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    values: Vec<(Name, Spelled)>,
    /// Arguments under a name that could be taken for this one.
    alike: Vec<(Name, &'static str, Spelled)>,
}

impl Given {
    pub(super) fn roll(dice: &Dice) -> Self {
        let mut given = Self::default();
        for (name, one_in) in [(Name::Path, 1), (Name::Amount, 3), (Name::Force, 4), (Name::Price, 5)] {
            if !dice.one_in(one_in) || (name == Name::Path && dice.one_in(3)) {
                continue;
            }
            let usual = match name {
                Name::Amount | Name::Price if dice.one_in(2) => spelled(dice),
                Name::Amount | Name::Price => dice.pick(&NUMBERS),
                Name::Force => dice.pick(&[("true", Is::Flag(true)), ("false", Is::Flag(false))]),
                Name::Path => dice.pick(&PATHS.map(|path| (path, Is::Text(path)))),
            };
            let odd = dice.one_in(6);
            given.values.push((name, if odd { dice.pick(&OTHERS) } else { usual }));
        }
        if dice.one_in(25) {
            let name = dice.pick(&Name::ALL);
            given.alike.push((name, name.lookalike(dice), dice.pick(&OTHERS)));
        }
        given
    }

    pub(super) fn of(&self, name: Name) -> Option<Is> {
        self.values.iter().find(|(own, _)| *own == name).map(|(_, (_, is))| *is)
    }

    pub(super) fn has_alike(&self, name: Name) -> bool {
        self.alike.iter().any(|(own, ..)| *own == name)
    }

    pub(super) fn json(&self) -> Option<String> {
        // The table has a path without its quotes.
        let text = |(json, is): Spelled| {
            if matches!(is, Is::Text(text) if text == json) { format!("\"{json}\"") } else { json.to_owned() }
        };
        let own = self.values.iter().map(|(name, value)| (*name, name.written(), text(*value)));
        let all = own.chain(self.alike.iter().map(|(name, written, value)| (*name, *written, text(*value))));
        let (inside, outside): (Vec<_>, Vec<_>) = all.partition(|(name, ..)| *name == Name::Price);
        let members = |list: &[(Name, &str, String)]| {
            list.iter().map(|(_, name, value)| format!("\"{name}\":{value}")).collect::<Vec<_>>().join(",")
        };
        let mut parts = vec![members(&outside)];
        if !inside.is_empty() {
            parts.push(format!("\"order\":{{{}}}", members(&inside)));
        }
        parts.retain(|part| !part.is_empty());
        (!parts.is_empty()).then(|| format!("{{{}}}", parts.join(",")))
    }

    /// Whether the arguments fit the schema that every tool here has, if it has one.
    pub(super) fn fits(&self) -> bool {
        self.alike.is_empty()
            && self.values.iter().all(|(name, (_, is))| match name {
                Name::Amount => matches!(is, Is::Number(_, true, ..) | Is::Null | Is::Rounded),
                Name::Force => matches!(is, Is::Flag(_)),
                Name::Path => matches!(is, Is::Text(_)),
                Name::Price => matches!(is, Is::Number(..) | Is::Rounded),
            })
    }
}

pub(super) fn tool_schema() -> ToolSchema {
    ToolSchema::read(&json!({
        "type": "object",
        "properties": {
            "amount": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "force": {"type": "boolean"},
            "path": {"type": "string"},
            "order": {"$ref": "#/$defs/Order"},
        },
        "$defs": {"Order": {"type": "object", "properties": {"price": {"type": "number"}}}},
    }))
}
