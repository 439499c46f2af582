//! The rules for a new password.

use sekisho_protocol::secret::Password;
use sekisho_web::sentence::Sentence;

/// The shortest and the longest password, in characters.
pub const PASSWORD_CHARS_MIN: usize = 10;
const PASSWORD_CHARS_MAX: usize = 256;

/// Refuses a password that is too short, too long or easy to guess, or that differs from its repetition.
pub(crate) fn accept(password: &str, repeat: &str, username: &str) -> Result<Password, Sentence> {
    let length = password.chars().count();
    let folded = password.to_lowercase();
    let problem = if length < PASSWORD_CHARS_MIN {
        Some(Sentence::PasswordTooShort)
    } else if length > PASSWORD_CHARS_MAX {
        Some(Sentence::PasswordTooLong)
    } else if is_easy(&folded, &username.to_lowercase()) {
        Some(Sentence::PasswordTooEasy)
    } else if password != repeat {
        Some(Sentence::PasswordsDiffer)
    } else {
        None
    };
    match problem {
        Some(problem) => Err(problem),
        None => Ok(Password::from_outside(password)),
    }
}

/// Few different characters, a run along the keyboard or the alphabet, or words that name nothing but this place.
fn is_easy(folded: &str, username: &str) -> bool {
    let mut distinct: Vec<char> = folded.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let runs =
        ["abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiopasdfghjklzxcvbnm", "1q2w3e4r5t6y7u8i9o0p"];
    let reversed: String = folded.chars().rev().collect();
    let runs_along = runs.iter().any(|run| run.contains(folded) || run.contains(reversed.as_str()));
    let rest = ["password", "sekisho", "admin", "owner", "letmein", "welcome", username]
        .iter()
        .filter(|word| !word.is_empty())
        .fold(folded.to_owned(), |rest, word| rest.replace(word, ""));
    let rest = rest.trim_matches(|character: char| !character.is_alphabetic());
    distinct.len() < 4 || runs_along || rest.chars().count() < 3 && folded.chars().any(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::accept;
    use sekisho_web::sentence::Sentence;

    /// ATK-96: a first password is not one that everybody tries first.
    #[test]
    fn a_password_must_be_long_enough_and_not_obvious() {
        let cases = [
            ("short", Some(Sentence::PasswordTooShort)),
            ("aaaaaaaaaaaa", Some(Sentence::PasswordTooEasy)),
            ("abababababab", Some(Sentence::PasswordTooEasy)),
            ("abcdefghijkl", Some(Sentence::PasswordTooEasy)),
            ("lkjihgfedcba", Some(Sentence::PasswordTooEasy)),
            ("1234567890", Some(Sentence::PasswordTooEasy)),
            ("password123", Some(Sentence::PasswordTooEasy)),
            ("Password123!", Some(Sentence::PasswordTooEasy)),
            ("alice12345", Some(Sentence::PasswordTooEasy)),
            ("sekisho-admin", Some(Sentence::PasswordTooEasy)),
            ("correct horse battery", None),
            ("関所を通る人は誰ですか", None),
            ("8346109275", None),
        ];
        for (password, expected) in cases {
            let found = accept(password, password, "Alice").err();
            assert_eq!(found, expected, "{password}");
        }
        let differ = accept("correct horse battery", "correct horse batterx", "alice");
        assert!(matches!(differ, Err(Sentence::PasswordsDiffer)));
        let long = "x1 y2 z3 ".repeat(40);
        assert!(matches!(accept(&long, &long, "alice"), Err(Sentence::PasswordTooLong)));
    }
}
