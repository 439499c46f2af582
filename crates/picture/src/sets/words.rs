//! The texts of the figure: captions, titles, verdicts, and the description for those who cannot see it.

use std::fmt::Write as _;

use sekisho_protocol::label::clean;
use sekisho_protocol::refusal::SetName;

use super::model::{Captions, Chosen, Region, SetsFigure};
use super::parts::{Parts, listed};

/// The longest foreign text that is kept whole, in characters.
pub(super) const TEXT_CHARS_MAX: usize = 256;

/// How many names of one region the description contains at most.
const DESCRIBED_MAX: usize = 12;

impl Captions {
    /// The captions in Japanese.
    pub fn japanese() -> Self {
        Self {
            sets: ["権限", "許可", "必要"].map(str::to_owned),
            whose: ["{} ができること", "{} に許可されたこと", "{} に必要なこと"].map(str::to_owned),
            anybody: ["利用者", "クライアント", "タスク"].map(str::to_owned),
            all: "三つすべてに含まれる".to_owned(),
            all_but: "{}だけが欠ける".to_owned(),
            only: "{}のみ".to_owned(),
            both: "{}と{}".to_owned(),
            none: "どれにも含まれない".to_owned(),
            undeclared: "必要：宣言なし".to_owned(),
            undeclared_meaning: "宣言なし（タスクがありません）".to_owned(),
            more: "ほか {} 件".to_owned(),
            tools: "ツール {} 件".to_owned(),
            says_no: "「{}」により拒否".to_owned(),
            reasons: [
                "利用者にこの操作の権限がありません",
                "クライアントに許可されていません",
                "このタスクの範囲外です",
            ]
            .map(str::to_owned),
            permitted: "通過".to_owned(),
        }
    }

    /// Returns the name of one set.
    pub(super) fn set(&self, set: SetName) -> &str {
        pick(&self.sets, set)
    }

    /// Returns the name of a region.
    pub(super) fn region(&self, region: Region, need_declared: bool) -> String {
        let [rights, grant, need] = [SetName::Rights, SetName::Grant, SetName::Need].map(|set| self.set(set));
        match (region.rights, region.grant, region.need) {
            (true, true, true) => self.all.clone(),
            (true, true, false) if !need_declared => fill(&fill(&self.both, rights), grant),
            (true, true, false) => fill(&self.all_but, need),
            (true, false, true) => fill(&self.all_but, grant),
            (false, true, true) => fill(&self.all_but, rights),
            (true, false, false) => fill(&self.only, rights),
            (false, true, false) => fill(&self.only, grant),
            (false, false, true) => fill(&self.only, need),
            (false, false, false) => self.none.clone(),
        }
    }

    /// Returns `and 3 more`.
    pub(super) fn and_more(&self, count: usize) -> String {
        fill(&self.more, &count.to_string())
    }
}

/// Returns the title of the figure, which names its server.
pub(super) fn title(figure: &SetsFigure) -> String {
    let sets = figure.captions.sets.join(", ");
    format!("{}: {sets}", clean(&figure.server, TEXT_CHARS_MAX))
}

/// Returns how many tools the server has.
pub(super) fn tools(figure: &SetsFigure) -> String {
    fill(&figure.captions.tools, &figure.members.len().to_string())
}

/// Returns what one set contains, and whose set it is.
pub(super) fn whose(figure: &SetsFigure, set: SetName) -> String {
    if set == SetName::Need && !figure.need_declared {
        return figure.captions.undeclared_meaning.clone();
    }
    let who = pick(&figure.who, set);
    let who = if who.trim().is_empty() { pick(&figure.captions.anybody, set) } else { who };
    fill(pick(&figure.captions.whose, set), &clean(who, TEXT_CHARS_MAX))
}

/// Returns the answer to the call in question, in words.
pub(super) fn verdict(figure: &SetsFigure, chosen: &Chosen, parts: &Parts<'_>) -> String {
    let captions = &figure.captions;
    let Some(set) = chosen.refused_by else {
        let home =
            parts.parts.iter().find(|part| part.tools.iter().any(|tool| tool.chosen)).map(|part| part.place.region);
        return match home {
            Some(region) if region.rights && region.grant && (region.need || !figure.need_declared) => {
                let place = captions.region(region, figure.need_declared);
                let open = if figure.need_declared { String::new() } else { format!("; {}", captions.undeclared) };
                format!("{}: {place}{open}", captions.permitted)
            }
            _ => captions.permitted.clone(),
        };
    };
    format!("{}: {}", fill(&captions.says_no, captions.set(set)), pick(&captions.reasons, set))
}

/// Describes everything that is drawn, in words.
pub(super) fn description(figure: &SetsFigure, parts: &Parts<'_>) -> String {
    let captions = &figure.captions;
    let mut out = format!("{}. ", tools(figure));
    for set in [SetName::Rights, SetName::Grant, SetName::Need] {
        let text = whose(figure, set);
        let _ = write!(out, "{}: {text}. ", captions.set(set));
    }
    for part in parts.parts.iter().filter(|part| !part.tools.is_empty()) {
        let place = captions.region(part.place.region, figure.need_declared);
        let shown = listed(&part.tools, DESCRIBED_MAX);
        let mut names: Vec<String> = shown.iter().map(|tool| clean(&tool.member.name, TEXT_CHARS_MAX)).collect();
        if part.tools.len() > shown.len() {
            names.push(captions.and_more(part.tools.len() - shown.len()));
        }
        let _ = write!(out, "{place} ({}): {}. ", part.tools.len(), names.join(", "));
    }
    if parts.uncounted > 0 {
        let _ = write!(out, "{}. ", captions.and_more(parts.uncounted));
    }
    if let Some(chosen) = &figure.chosen {
        let _ = write!(out, "{}: {}.", clean(&chosen.name, TEXT_CHARS_MAX), verdict(figure, chosen, parts));
    }
    out.trim().to_owned()
}

/// Returns `template` with its next `{}` replaced. If a translation lacks the `{}`, the value is appended.
pub(super) fn fill(template: &str, value: &str) -> String {
    if template.contains("{}") { template.replacen("{}", value, 1) } else { format!("{template} {value}") }
}

fn pick(of: &[String; 3], set: SetName) -> &str {
    let [rights, grant, need] = of;
    match set {
        SetName::Grant => grant,
        SetName::Need => need,
        SetName::Rights => rights,
    }
}
