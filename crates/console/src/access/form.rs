//! What a person wrote into one of the forms.

use sekisho_web::choice::End;
use sekisho_web::parameters::Parameters;

/// What a person wrote into one of the forms.
#[derive(Debug)]
pub(super) struct AccessForm {
    pub(super) reason: String,
    pub(super) end: End,
    pub(super) bounds: String,
    /// What is wrong with the bounds. Empty: nothing.
    pub(super) detail: String,
}

impl Default for AccessForm {
    fn default() -> Self {
        Self { reason: String::new(), end: End::Hour, bounds: String::new(), detail: String::new() }
    }
}

impl AccessForm {
    /// A loan always has an end.
    pub(super) const ENDS: [End; 4] = [End::Hour, End::Day, End::Week, End::Month];

    pub(super) fn read(form: &Parameters) -> Self {
        let text = |name: &str| form.one(name).unwrap_or_default().trim().to_owned();
        let end = form.one("end").unwrap_or_default();
        let end = Self::ENDS.into_iter().find(|choice| choice.word() == end).unwrap_or(End::Hour);
        Self { reason: text("reason"), end, bounds: text("bounds"), detail: String::new() }
    }
}
