//! How wide a text will be, guessed on the side of too wide: whoever shows the figure has fonts that we do not know.

/// A way of writing. All sizes are in units of the figure, which are pixels at its natural width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    /// Sentences.
    Body,
    /// Numbers within the circles, and names of sets.
    Bold,
    /// Names of tools: every character has one width.
    Code,
    /// The name of the tool in question.
    CodeBold,
    /// The name of the server.
    Title,
}

impl Face {
    pub(super) const fn size(self) -> i32 {
        match self {
            Self::Body | Self::Code | Self::CodeBold => 12,
            Self::Bold => 13,
            Self::Title => 16,
        }
    }

    pub(super) const fn is_bold(self) -> bool {
        matches!(self, Self::Bold | Self::CodeBold | Self::Title)
    }

    pub(super) const fn is_code(self) -> bool {
        matches!(self, Self::Code | Self::CodeBold)
    }

    /// The width of a text, rounded up.
    pub(super) fn width(self, text: &str) -> i32 {
        let thousandths: i32 = text.chars().map(|character| self.advance(character)).sum();
        (thousandths * self.size() + 999) / 1000
    }

    /// In thousandths of the size.
    fn advance(self, character: char) -> i32 {
        match character {
            wide if very_wide(wide) => 5000,
            '…' if self.is_code() => 620,
            '\u{2010}'..='\u{2027}' => 1050,
            full if full >= '\u{590}' => 1250,
            _ if self.is_code() => 620,
            ' ' | '!' | '\'' | '(' | ')' | ',' | '.' | ':' | ';' | 'I' | 'f' | 'i' | 'j' | 'l' | 'r' | 't' | '|' => 450,
            'M' | 'W' | 'm' | 'w' | '@' | '%' => 1050,
            upper if upper.is_ascii_uppercase() => 780,
            other if other.is_ascii() => if self.is_bold() { 700 } else { 630 },
            _ => 900,
        }
    }

    /// The text, or as much of its beginning and its end as fits.
    pub(super) fn shorten(self, text: &str, width_max: i32) -> String {
        if self.width(text) <= width_max {
            return text.to_owned();
        }
        let characters: Vec<char> = text.chars().collect();
        let mut kept = String::from("…");
        for take in 1..characters.len() {
            let (head, tail) = (take.div_ceil(2), take / 2);
            let longer: String = characters
                .iter()
                .take(head)
                .chain(std::iter::once(&'…'))
                .chain(characters.iter().skip(characters.len() - tail))
                .collect();
            if self.width(&longer) > width_max {
                break;
            }
            kept = longer;
        }
        kept
    }
}

/// Signs that fonts draw as wide as a word.
fn very_wide(character: char) -> bool {
    matches!(character, '\u{a9c1}'..='\u{a9cf}' | '\u{2e3a}' | '\u{2e3b}' | '\u{fdf0}'..='\u{fdff}' | '\u{12000}'..='\u{1254f}')
}

#[cfg(test)]
mod tests {
    use super::Face;

    #[test]
    fn a_long_name_keeps_its_beginning_and_its_end() {
        let face = Face::Code;
        assert_eq!(face.shorten("create_pull_request_review_comment", face.width("create_pu…w_comment")), "create_pul…w_comment");
        assert_eq!(face.shorten("short", 60), "short");
        assert_eq!(face.shorten("looong", 1), "…");
        assert!(face.width("課題") >= 2 * face.width("ab") - 1);
    }
}
