//! Numbers of JSON, exactly as they are written, without rounding to a double.
//!
//! `500`, `500.0` and `5e2` are one number; `100.00000000000000001` is more than 100.

use std::cmp::Ordering;

use smallvec::SmallVec;

/// How many digits fit without an allocation; enough for most numbers.
const DIGITS_USUAL: usize = 24;
/// The largest exponent, as a power of ten. Doubles end at 308.
const EXPONENT_MAX: i32 = 1_000;
/// The most digits of a divisor, so that the remainder of a division fits into 128 bits.
const DIVISOR_DIGITS_MAX: usize = 18;

/// An exact decimal number: `0.DIGITS` times ten to the power of `point`. Zero has no digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// The first and the last are not 0.
    digits: SmallVec<[u8; DIGITS_USUAL]>,
    point: i32,
}

impl Decimal {
    /// Parses a number by the grammar of RFC 8259 §6. Returns `None` if it is not one, or if its exponent is too large.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, power(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let leads = whole.len() > 1 && whole.starts_with('0');
        let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
        if whole.is_empty() || leads || !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let mut point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
        let mut digits: SmallVec<[u8; DIGITS_USUAL]> =
            whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0').collect();
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Self { negative: false, digits, point: 0 });
        }
        point = point.checked_sub(i32::try_from(zeros).ok()?)?;
        Some(Self { negative, digits, point })
    }

    /// Returns whether it has no fraction.
    pub fn is_integer(&self) -> bool {
        self.fraction_digits() <= 0
    }

    /// Returns the number as an integer of 64 bits, if it is exactly one.
    pub fn to_i64(&self) -> Option<i64> {
        i64::try_from(self.scaled(0)?).ok()
    }

    /// Returns the number in the form of a Cedar `decimal`, if it is exactly one: at most four digits of fraction, and
    /// 64 bits in ten thousandths.
    pub fn to_four_places(&self) -> Option<String> {
        const UNIT: u64 = 10_000;
        let scaled = i64::try_from(self.scaled(4)?).ok()?;
        let sign = if scaled < 0 { "-" } else { "" };
        Some(format!("{sign}{}.{:04}", scaled.unsigned_abs() / UNIT, scaled.unsigned_abs() % UNIT))
    }

    /// Returns whether it is an integer multiple of another number. `None`: the other is zero or negative, or has too
    /// many digits.
    pub fn is_multiple_of(&self, divisor: &Self) -> Option<bool> {
        if divisor.negative || divisor.digits.is_empty() || divisor.digits.len() > DIVISOR_DIGITS_MAX {
            return None;
        }
        if self.digits.is_empty() {
            return Some(true);
        }
        // How many more digits of fraction the divisor has. If this number has more, it cannot be a multiple.
        let Ok(moved) = u32::try_from(divisor.fraction_digits() - self.fraction_digits()) else { return Some(false) };
        let unit = divisor.digits.iter().fold(0_u128, |sum, digit| sum * 10 + u128::from(*digit));
        let zeros = std::iter::repeat_n(&0_u8, usize::try_from(moved).ok()?);
        let rest = self.digits.iter().chain(zeros).fold(0_u128, |rest, digit| (rest * 10 + u128::from(*digit)) % unit);
        Some(rest == 0)
    }

    /// Returns the number of digits behind the point; negative if the number ends with zeros before it.
    fn fraction_digits(&self) -> i32 {
        i32::try_from(self.digits.len()).unwrap_or(i32::MAX).saturating_sub(self.point)
    }

    /// Returns the number times ten to the power of `places`. `None`: that is no integer, or has more than 37 digits.
    fn scaled(&self, places: i32) -> Option<i128> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let zeros = usize::try_from(places.checked_sub(self.fraction_digits())?).ok()?;
        if zeros + self.digits.len() > 37 {
            return None;
        }
        let zeros = std::iter::repeat_n(&0_u8, zeros);
        let size = self.digits.iter().chain(zeros).fold(0_i128, |sum, digit| sum * 10 + i128::from(*digit));
        Some(if self.negative { -size } else { size })
    }

    /// Compares the absolute values.
    fn cmp_size(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.cmp_size(other),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (true, true) => other.cmp_size(self),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn power(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let size: i32 = digits.parse().ok().filter(|size| *size <= EXPONENT_MAX)?;
    Some(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Decimal;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn one_number_has_many_spellings() {
        for (one, other) in [
            ("500", "500.0"),
            ("500", "5e2"),
            ("500", "0.5E+3"),
            ("500", "50000e-2"),
            ("0", "-0.000"),
            ("0", "0e5"),
            ("-1.5", "-15e-1"),
            ("0.0001", "1e-4"),
        ] {
            assert_eq!(number(one), number(other), "{one} {other}");
        }
        for text in ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x1", " 1", "1 ", "1e9999", "NaN", "1_0", "--1"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    /// ATK-112: what a double would round stays what it is.
    #[test]
    fn numbers_are_compared_exactly() {
        let ordered = [
            "-1e300",
            "-9007199254740993",
            "-9007199254740992.5",
            "-0.00000000000000000001",
            "0",
            "0.1",
            "0.10000000000000000001",
            "1",
            "9.5",
            "10",
            "99.99999999999999999",
            "100",
            "100.00000000000000001",
            "9007199254740992",
            "9007199254740993",
            "1e300",
        ];
        for (at, one) in ordered.iter().enumerate() {
            for (other_at, other) in ordered.iter().enumerate() {
                assert_eq!(number(one).cmp(&number(other)), at.cmp(&other_at), "{one} {other}");
            }
        }
    }

    #[test]
    fn an_integer_is_exact_or_none() {
        for (text, expected) in [
            ("5e2", Some(500)),
            ("-500.0", Some(-500)),
            ("0.0", Some(0)),
            ("1.5", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1e19", None),
            ("1e-1", None),
        ] {
            assert_eq!(number(text).to_i64(), expected, "{text}");
        }
    }

    #[test]
    fn four_places_are_exact_or_none() {
        for (text, expected) in [
            ("150.5", Some("150.5000")),
            ("1.00005", None),
            ("1.0001", Some("1.0001")),
            ("-0.5", Some("-0.5000")),
            ("100", Some("100.0000")),
            ("922337203685477.5807", Some("922337203685477.5807")),
            ("922337203685477.5808", None),
            ("-922337203685477.5808", Some("-922337203685477.5808")),
            ("1e15", None),
            ("0", Some("0.0000")),
        ] {
            assert_eq!(number(text).to_four_places().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_multiple_is_one_by_its_digits() {
        for (text, divisor, expected) in [
            ("19.99", "0.01", Some(true)),
            ("19.995", "0.01", Some(false)),
            ("0.3", "0.1", Some(true)),
            ("1e20", "3", Some(false)),
            ("3e20", "3", Some(true)),
            ("9007199254740993", "2", Some(false)),
            ("-10", "2.5", Some(true)),
            ("5", "100", Some(false)),
            ("0", "7", Some(true)),
            ("5", "0", None),
            ("5", "-1", None),
            ("5", "1.234567890123456789", None),
        ] {
            assert_eq!(number(text).is_multiple_of(&number(divisor)), expected, "{text} {divisor}");
        }
    }

    proptest! {
        #[test]
        fn integers_compare_as_integers(one in any::<i64>(), other in any::<i64>(), unit in 1_i64..10_000) {
            let (left, right) = (number(&one.to_string()), number(&other.to_string()));
            prop_assert_eq!(left.cmp(&right), one.cmp(&other));
            prop_assert_eq!(left.to_i64(), Some(one));
            prop_assert_eq!(left.is_multiple_of(&number(&unit.to_string())), Some(one % unit == 0));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+0-9.eE]{0,12}") {
            let is_json = serde_json::from_str::<serde_json::Number>(&text).is_ok();
            prop_assert!(Decimal::parse(&text).is_none() || is_json, "{}", text);
        }
    }
}
