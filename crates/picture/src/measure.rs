//! Estimates how wide a text is at most. The reader's fonts are not known, so the estimate is on the wide side.

/// The fonts for sentences. The reader's browser uses the first one that it has.
pub(crate) const SANS: &str =
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Hiragino Sans', 'Noto Sans JP', 'Yu Gothic UI', sans-serif";

/// A font and size. All sizes are in units of the figure, which are pixels at its natural width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
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
    pub(crate) const fn size(self) -> i32 {
        match self {
            Self::Body | Self::Code | Self::CodeBold => 12,
            Self::Bold => 13,
            Self::Title => 16,
        }
    }

    pub(crate) const fn is_bold(self) -> bool {
        matches!(self, Self::Bold | Self::CodeBold | Self::Title)
    }

    pub(crate) const fn is_code(self) -> bool {
        matches!(self, Self::Code | Self::CodeBold)
    }

    /// The width of a text, rounded up.
    pub(crate) fn width(self, text: &str) -> i32 {
        let thousandths: i32 = text.chars().map(|character| self.advance(character)).sum();
        (thousandths * self.size() + 999) / 1000
    }

    /// Returns the width of a character in thousandths of the size: that of DejaVu Sans, the widest of the usual fonts,
    /// or more.
    fn advance(self, character: char) -> i32 {
        let plain = match character {
            wide if very_wide(wide) => 5000,
            '…' if self.is_code() => 620,
            '\u{2010}'..='\u{2027}' => 1050,
            full if full >= '\u{590}' => 1250,
            _ if self.is_code() => 620,
            ' ' | '!' | '\'' | ',' | '.' | ':' | ';' | 'I' | 'i' | 'j' | 'l' | '|' => 370,
            '(' | ')' | '-' | '/' | 'f' | 'r' | 't' => 430,
            'c' | 'k' | 's' | 'v' | 'x' | 'y' | 'z' => 600,
            'M' | 'W' | 'm' | 'w' | '@' | '%' => 1050,
            upper if upper.is_ascii_uppercase() => 800,
            other if other.is_ascii() => 645,
            _ => 900,
        };
        if self.is_bold() && !self.is_code() { plain * 9 / 8 } else { plain }
    }

    /// Breaks a text into at most `lines_max` lines, at spaces if possible. The last line is shortened.
    pub(crate) fn wrap(self, text: &str, width_max: i32, lines_max: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = text.to_owned();
        while lines.len() + 1 < lines_max && self.width(&rest) > width_max {
            let (mut fitting, mut space, mut width) = (0, None, 0);
            for (at, character) in rest.chars().enumerate() {
                width += self.advance(character) * self.size();
                if width > width_max * 1000 {
                    break;
                }
                fitting = at + 1;
                space = if character == ' ' { Some(at) } else { space };
            }
            // A break at a space must not leave most of the line empty.
            let cut = space.filter(|at| at * 3 > fitting).unwrap_or(fitting).max(1);
            lines.push(rest.chars().take(cut).collect::<String>().trim().to_owned());
            rest = rest.chars().skip(cut).collect::<String>().trim().to_owned();
        }
        lines.push(self.shorten(&rest, width_max));
        lines
    }

    /// Returns the text, or as much of its beginning and its end as fits.
    pub(crate) fn shorten(self, text: &str, width_max: i32) -> String {
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

/// Whether fonts draw this character as wide as a word.
fn very_wide(character: char) -> bool {
    matches!(character, '\u{a9c1}'..='\u{a9cf}' | '\u{2e3a}' | '\u{2e3b}' | '\u{fdf0}'..='\u{fdff}' | '\u{12000}'..='\u{1254f}')
}

#[cfg(test)]
mod tests {
    use super::Face;

    #[test]
    fn a_long_name_keeps_its_beginning_and_its_end() {
        let face = Face::Code;
        assert_eq!(
            face.shorten("create_pull_request_review_comment", face.width("create_pu…w_comment")),
            "create_pu…w_comment"
        );
        assert_eq!(face.wrap("needed for a thing", face.width("needed for "), 2), ["needed for", "a thing"]);
        assert_eq!(face.wrap("長い長い目的", face.width("長い長"), 2), ["長い長", "い目的"]);
        assert_eq!(face.shorten("short", 60), "short");
        assert_eq!(face.shorten("looong", 1), "…");
        assert!(face.width("課題") >= 2 * face.width("ab") - 1);
    }
}
