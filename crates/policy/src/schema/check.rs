//! Checks a value against a compiled schema, reading the value in place.

use std::collections::HashSet;

use jsonschema::Validator;
use sekisho_protocol::canonical;
use sekisho_protocol::decimal::Decimal;
use sekisho_protocol::json::{Broken, Kind, Raw};
use sekisho_protocol::mcp::strict::{is_exact, loosely};
use serde_json::Value;

use super::node::{Compiled, ListRules, Node, NodeId, NumberRules, ObjectRules, Pattern, REFERENCES_MAX, TextRules};
use super::{COSTLY, FOLDED, Part, ROUNDED, Violation, shown};

/// The most steps of one check. A visit of a node at a value is one step, and so is each [`BYTES_A_STEP`] of the value.
/// A message has at most 100 000 members, and an ordinary schema looks at each a few times.
const STEPS_MAX: u32 = 500_000;
/// The number of bytes of a value that are read in one step.
const BYTES_A_STEP: usize = 256;
/// The deepest nesting of subschemas and values. A schema that refers to itself at the same value ends here.
const DEPTH_MAX: u32 = 256;

/// The most members that a message names.
const ALLOWED_MAX: usize = 12;

/// The steps that are left to one check.
pub(super) struct Steps {
    left: u32,
    depth: u32,
}

impl Default for Steps {
    fn default() -> Self {
        Self { left: STEPS_MAX, depth: 0 }
    }
}

impl Steps {
    /// Whether an expression fits a text. The steps that this may cost are taken before; a text that is too long for
    /// them is refused.
    fn matches(&mut self, pattern: &Pattern, text: &Value) -> Result<bool, Box<Violation>> {
        let bytes = text.as_str().map_or(0, str::len);
        let cost = u32::try_from(bytes).unwrap_or(u32::MAX).saturating_mul(pattern.steps_a_byte);
        self.left = self.left.checked_sub(cost).ok_or_else(|| no(COSTLY))?;
        Ok(pattern.check.is_valid(text))
    }
}

type Checked = Result<(), Box<Violation>>;

fn no(keyword: &'static str) -> Box<Violation> {
    Box::new(Violation::new(keyword))
}

/// The violation for a text that is not JSON.
fn broken(_: Broken) -> Box<Violation> {
    no("type")
}

/// Returns the same violation for the value around: its pointer begins with this name.
fn at(name: &str, mut violation: Box<Violation>) -> Box<Violation> {
    violation.at = format!("/{}{}", name.replace('~', "~0").replace('/', "~1"), violation.at);
    violation
}

/// One member of an object.
#[derive(Clone, Copy)]
struct Member<'a> {
    name: &'a str,
    value: Raw<'a>,
    /// Whether `properties` names it.
    declared: bool,
}

impl Compiled {
    /// Checks whether a value fits.
    pub(crate) fn check(&self, value: Raw<'_>) -> Checked {
        self.fits(self.root, value, &mut Steps::default()).map_err(|violation| self.told(violation))
    }

    fn fits(&self, id: NodeId, value: Raw<'_>, steps: &mut Steps) -> Checked {
        let cost = 1 + u32::try_from(value.text().len() / BYTES_A_STEP).unwrap_or(STEPS_MAX);
        steps.left = steps.left.checked_sub(cost).ok_or_else(|| no(COSTLY))?;
        if steps.depth >= DEPTH_MAX {
            return Err(no(COSTLY));
        }
        steps.depth += 1;
        let checked = self.node(id).map_or(Ok(()), |node| self.node_fits(id, node, value, steps));
        steps.depth -= 1;
        checked.map_err(|mut violation| {
            let below = violation.at.len();
            violation.part.get_or_insert(Part { node: id, below, is_choice: false });
            violation
        })
    }

    fn node_fits(&self, id: NodeId, node: &Node, value: Raw<'_>, steps: &mut Steps) -> Checked {
        if node.never {
            return Err(no("false"));
        }
        let kind = value.kind().map_err(broken)?;
        if node.types.is_some_and(|types| !types.has(kind)) {
            return Err(no("type"));
        }
        if kind == Kind::Number && (node.integers || node.number.is_some()) {
            number(node, value)?;
        }
        if let Some(choices) = &node.choices {
            chosen(choices, value, steps)?;
        }
        match kind {
            Kind::String => node.text.as_deref().map_or(Ok(()), |rules| text(rules, value, steps))?,
            Kind::Array => node.list.as_deref().map_or(Ok(()), |rules| self.list(rules, value, steps))?,
            Kind::Object => node.object.as_deref().map_or(Ok(()), |rules| self.object(rules, value, steps))?,
            Kind::Boolean | Kind::Null | Kind::Number => {}
        }
        if let Some(reference) = node.reference {
            self.fits(reference, value, steps)?;
        }
        for inner in &node.all {
            self.fits(*inner, value, steps)?;
        }
        self.choices(node, value, steps).map_err(|mut violation| {
            // A single branch would be misleading, so the whole part is quoted, unless it has a reference to a part
            // written elsewhere.
            if violation.part.is_none() || !node.said.contains("\"$ref\"") {
                violation.part = Some(Part { node: id, below: violation.at.len(), is_choice: true });
            }
            violation
        })
    }

    fn choices(&self, node: &Node, value: Raw<'_>, steps: &mut Steps) -> Checked {
        if !node.any.is_empty() {
            self.any(&node.any, value, steps)?;
        }
        if !node.one.is_empty() {
            let mut fitting = 0;
            for inner in &node.one {
                fitting += usize::from(self.does(*inner, value, steps)?);
            }
            if fitting != 1 {
                return Err(no("oneOf"));
            }
        }
        if let Some(inner) = node.not
            && self.surely_does(inner, value, steps)?
        {
            return Err(no("not"));
        }
        if let Some((condition, then, otherwise)) = node.condition {
            let next = if self.surely_does(condition, value, steps)? { then } else { otherwise };
            next.map_or(Ok(()), |next| self.fits(next, value, steps))?;
        }
        Ok(())
    }

    /// Adds to a violation what the schema requires in its place.
    fn told(&self, mut violation: Box<Violation>) -> Box<Violation> {
        violation.wants = self.wants(&violation).unwrap_or_default().into();
        violation
    }

    fn wants(&self, violation: &Violation) -> Option<String> {
        let part = violation.part.filter(|_| !matches!(violation.keyword, COSTLY | FOLDED))?;
        let node = self.node(part.node)?;
        match (violation.keyword, part.is_choice) {
            ("false", false) => return Some("it may not be there".to_owned()),
            ("additionalProperties", false) => return node.object.as_deref().and_then(allowed),
            ("required", false) => {
                let member = node.object.as_deref()?.member(violation.name.as_deref()?)?;
                return self.said(member.node?).map(|said| format!("it has to fit {said}"));
            }
            _ => {}
        }
        let said = self.said(part.node)?;
        let place = violation.at.len().checked_sub(part.below).and_then(|end| violation.at.get(..end))?;
        Some(match place {
            "" => format!("the arguments have to fit {said}"),
            place if place == violation.at => format!("it has to fit {said}"),
            place => format!("the argument `{}` has to fit {said}", shown(place)),
        })
    }

    /// Returns the text of a part, following references.
    fn said(&self, mut at: NodeId) -> Option<&str> {
        for _ in 0..REFERENCES_MAX {
            let node = self.node(at)?;
            match node.reference {
                Some(reference) if node.said.starts_with("{\"$ref\"") => at = reference,
                _ => return Some(node.said.as_ref()).filter(|said| !said.is_empty()),
            }
        }
        None
    }

    /// If all branches refuse, returns the violation of the one that got furthest into the value, which says most.
    fn any(&self, some: &[NodeId], value: Raw<'_>, steps: &mut Steps) -> Checked {
        let mut deepest: Option<Box<Violation>> = None;
        for inner in some {
            match self.fits(*inner, value, steps) {
                Ok(()) => return Ok(()),
                Err(violation) if violation.keyword == COSTLY => return Err(violation),
                Err(violation) if deepest.as_ref().is_none_or(|known| known.at.len() < violation.at.len()) => {
                    deepest = Some(violation);
                }
                Err(_) => {}
            }
        }
        Err(deepest.filter(|violation| !violation.at.is_empty()).unwrap_or_else(|| no("anyOf")))
    }

    /// Whether a value fits, where both answers are possible. A check that costs too much gives an error, and so does a
    /// number that some programs round.
    fn does(&self, id: NodeId, value: Raw<'_>, steps: &mut Steps) -> Result<bool, Box<Violation>> {
        match self.fits(id, value, steps) {
            Ok(()) => Ok(true),
            Err(violation) if matches!(violation.keyword, COSTLY | ROUNDED) => Err(violation),
            Err(_) => Ok(false),
        }
    }

    /// Does the same where a refusal lets something pass: a member that could be taken for another is then an error,
    /// too.
    fn surely_does(&self, id: NodeId, value: Raw<'_>, steps: &mut Steps) -> Result<bool, Box<Violation>> {
        match self.fits(id, value, steps) {
            Ok(()) => Ok(true),
            Err(violation) if matches!(violation.keyword, COSTLY | FOLDED | ROUNDED) => Err(violation),
            Err(_) => Ok(false),
        }
    }

    fn list(&self, rules: &ListRules, value: Raw<'_>, steps: &mut Steps) -> Checked {
        let (mut length, mut contained) = (0_u64, 0_u64);
        let mut distinct = HashSet::new();
        let mut first = rules.first.iter();
        for item in value.elements() {
            let item = item.map_err(broken)?;
            if let Some(inner) = first.next().copied().or(rules.rest) {
                self.fits(inner, item, steps).map_err(|violation| at(&length.to_string(), violation))?;
            }
            if let Some(inner) = rules.contains {
                contained += u64::from(self.does(inner, item, steps)?);
            }
            if rules.unique && !distinct.insert(canonical_text(item)?) {
                return Err(no("uniqueItems"));
            }
            length += 1;
        }
        let too_few = rules.contains.is_some() && contained < rules.contains_min;
        let too_many = rules.contains.is_some() && rules.contains_max.is_some_and(|max| contained > max);
        match () {
            () if rules.min.is_some_and(|min| length < min) => Err(no("minItems")),
            () if rules.max.is_some_and(|max| length > max) => Err(no("maxItems")),
            () if too_few || too_many => Err(no("contains")),
            () => Ok(()),
        }
    }

    fn object(&self, rules: &ObjectRules, value: Raw<'_>, steps: &mut Steps) -> Checked {
        let (mut count, mut required) = (0_u64, 0_usize);
        for member in value.members() {
            let (name, inner) = member.map_err(broken)?;
            count += 1;
            let known = rules.member(&name);
            required += usize::from(known.is_some_and(|known| known.required));
            let declared = known.and_then(|known| known.node);
            if let Some(node) = declared {
                self.fits(node, inner, steps).map_err(|violation| at(&name, violation))?;
            }
            if declared.is_none() || !rules.patterns.is_empty() {
                self.undeclared(rules, Member { name: &name, value: inner, declared: declared.is_some() }, steps)
                    .map_err(|v| at(&name, v))?;
            }
            if let Some(node) = rules.names {
                let quoted = Value::from(name.as_ref()).to_string();
                if !self.does(node, Raw::new(&quoted), steps)? {
                    return Err(at(&name, no("propertyNames")));
                }
            }
        }
        if required < rules.required {
            return Err(missing(rules, value));
        }
        if rules.min.is_some_and(|min| count < min) {
            return Err(no("minProperties"));
        }
        if rules.max.is_some_and(|max| count > max) {
            return Err(no("maxProperties"));
        }
        self.dependent(rules, value, steps)
    }

    /// Checks a member against `patternProperties`, and one that no property declares against its look-alikes and
    /// `additionalProperties`.
    fn undeclared(
        &self,
        rules: &ObjectRules,
        Member { name, value, declared }: Member<'_>,
        steps: &mut Steps,
    ) -> Checked {
        if !declared
            && !rules.loose.is_empty()
            && let Some(known) = rules.loose.get(loosely(name).as_ref())
        {
            return Err(Box::new(Violation { name: Some(known.to_string()), ..Violation::new(FOLDED) }));
        }
        let mut matched = declared;
        if !rules.patterns.is_empty() {
            let text = Value::from(name);
            for (pattern, node) in &rules.patterns {
                if steps.matches(pattern, &text)? {
                    matched = true;
                    self.fits(*node, value, steps)?;
                }
            }
        }
        match rules.additional {
            Some(node) if !matched => self.fits(node, value, steps).map_err(|violation| {
                // `false` only says that there must be no such member.
                if violation.keyword == "false" && violation.at.is_empty() {
                    no("additionalProperties")
                } else {
                    violation
                }
            }),
            _ => Ok(()),
        }
    }

    fn dependent(&self, rules: &ObjectRules, value: Raw<'_>, steps: &mut Steps) -> Checked {
        if rules.together.is_empty() && rules.then.is_empty() {
            return Ok(());
        }
        let names: Result<HashSet<_>, Broken> = value.members().map(|member| Ok(member?.0)).collect();
        let names = names.map_err(broken)?;
        for (_, others) in rules.together.iter().filter(|(name, _)| names.contains(name.as_ref())) {
            if let Some(other) = others.iter().find(|other| !names.contains(other.as_str())) {
                return Err(Box::new(Violation { name: Some(other.clone()), ..Violation::new("required") }));
            }
        }
        for (_, node) in rules.then.iter().filter(|(name, _)| names.contains(name.as_ref())) {
            self.fits(*node, value, steps)?;
        }
        Ok(())
    }
}

/// Returns the members that are allowed, as many as a message names.
fn allowed(rules: &ObjectRules) -> Option<String> {
    let declared: Vec<String> = rules
        .members
        .iter()
        .filter(|(_, member)| member.node.is_some())
        .map(|(name, _)| format!("`{}`", shown(name)))
        .collect();
    let more = if declared.len() > ALLOWED_MAX { ", …" } else { "" };
    let named = declared.get(..ALLOWED_MAX).unwrap_or(&declared).join(", ");
    (!named.is_empty()).then(|| format!("only these may be there: {named}{more}"))
}

/// Returns the first required member that is missing.
fn missing(rules: &ObjectRules, value: Raw<'_>) -> Box<Violation> {
    let there: HashSet<_> = value.members().filter_map(|member| Some(member.ok()?.0)).collect();
    let mut required = rules.members.iter().filter(|(_, member)| member.required);
    let name = required.find(|(name, _)| !there.contains(name.as_ref())).map(|(name, _)| name.to_string());
    Box::new(Violation { name, ..Violation::new("required") })
}

fn number(node: &Node, value: Raw<'_>) -> Checked {
    let is_plain = value.text().bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let Some(rules) = &node.number else {
        let fits = is_plain || Decimal::parse(value.text()).is_some_and(|number| number.is_integer());
        return if fits { Ok(()) } else { Err(no("type")) };
    };
    let number = Decimal::parse(value.text()).ok_or_else(|| no("type"))?;
    if node.integers && !number.is_integer() {
        return Err(no("type"));
    }
    if !is_exact(value.text()) {
        return Err(no(ROUNDED));
    }
    within(rules, &number)
}

fn within(rules: &NumberRules, number: &Decimal) -> Checked {
    match () {
        () if rules.minimum.as_ref().is_some_and(|bound| number < bound) => Err(no("minimum")),
        () if rules.maximum.as_ref().is_some_and(|bound| number > bound) => Err(no("maximum")),
        () if rules.above.as_ref().is_some_and(|bound| number <= bound) => Err(no("exclusiveMinimum")),
        () if rules.below.as_ref().is_some_and(|bound| number >= bound) => Err(no("exclusiveMaximum")),
        () if rules.multiple_of.as_ref().is_some_and(|unit| number.is_multiple_of(unit) != Some(true)) => {
            Err(no("multipleOf"))
        }
        () => Ok(()),
    }
}

fn text(rules: &TextRules, value: Raw<'_>, steps: &mut Steps) -> Checked {
    let text = value.string().map_err(broken)?;
    if rules.min.is_some() || rules.max.is_some() {
        let length = text.chars().count() as u64;
        if rules.min.is_some_and(|min| length < min) {
            return Err(no("minLength"));
        }
        if rules.max.is_some_and(|max| length > max) {
            return Err(no("maxLength"));
        }
    }
    if rules.pattern.is_none() && rules.format.is_none() {
        return Ok(());
    }
    let text = Value::String(text.into_owned());
    if let Some(pattern) = &rules.pattern
        && !steps.matches(pattern, &text)?
    {
        return Err(no("pattern"));
    }
    let says_no = |check: &Validator| !check.is_valid(&text);
    if rules.format.as_ref().is_some_and(says_no) { Err(no("format")) } else { Ok(()) }
}

/// Checks that a value is one of these.
fn chosen(choices: &[Value], value: Raw<'_>, steps: &mut Steps) -> Checked {
    let is_one = if value.kind() == Ok(Kind::String) {
        // The text is unescaped once, and not for every choice.
        let text = value.string().map_err(broken)?;
        choices.iter().any(|choice| choice.as_str() == Some(text.as_ref()))
    } else if value.kind() == Ok(Kind::Number) && !is_exact(value.text()) {
        return Err(no(ROUNDED));
    } else {
        let cost = choices.len().saturating_mul(1 + value.text().len() / BYTES_A_STEP);
        steps.left = steps.left.checked_sub(u32::try_from(cost).unwrap_or(STEPS_MAX)).ok_or_else(|| no(COSTLY))?;
        choices.iter().any(|choice| equals(value, choice))
    };
    if is_one { Ok(()) } else { Err(no("enum")) }
}

/// Whether a value equals this one, whatever the order of members and the spelling of numbers.
fn equals(raw: Raw<'_>, value: &Value) -> bool {
    match (raw.kind(), value) {
        (Ok(Kind::Null), Value::Null) => true,
        (Ok(Kind::Boolean), Value::Bool(flag)) => raw.text() == if *flag { "true" } else { "false" },
        (Ok(Kind::String), Value::String(text)) => raw.string().is_ok_and(|own| own == text.as_str()),
        (Ok(Kind::Number), Value::Number(number)) => {
            let number = Decimal::parse(&number.to_string());
            number.is_some() && Decimal::parse(raw.text()) == number
        }
        (Ok(Kind::Array), Value::Array(items)) => {
            let mut items = items.iter();
            let same = raw.elements().all(|own| {
                let item = items.next();
                own.is_ok_and(|own| item.is_some_and(|item| equals(own, item)))
            });
            same && items.next().is_none()
        }
        (Ok(Kind::Object), Value::Object(members)) => {
            let mut count = 0;
            let same = raw.members().all(|own| {
                count += 1;
                own.is_ok_and(|(name, own)| members.get(name.as_ref()).is_some_and(|value| equals(own, value)))
            });
            same && count == members.len()
        }
        _ => false,
    }
}

/// Returns a text that is the same for equal values, for lists whose values must be distinct.
fn canonical_text(raw: Raw<'_>) -> Result<String, Box<Violation>> {
    if raw.kind() == Ok(Kind::Number) {
        if !is_exact(raw.text()) {
            return Err(no(ROUNDED));
        }
        // A number stays as it is written, unless it is an integer: two spellings of a fraction count as two numbers.
        let integer = Decimal::parse(raw.text()).and_then(|number| number.to_i64());
        return Ok(integer.map_or_else(|| raw.text().to_owned(), |integer| integer.to_string()));
    }
    let value: Value = serde_json::from_str(raw.text()).map_err(|_| no("type"))?;
    Ok(canonical::write(&value))
}
