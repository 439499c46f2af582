//! Numbers in every spelling that JSON has for them, each with its meaning, which is found with whole numbers alone and
//! without the code under test.

use super::Dice;
use super::arguments::{Is, Spelled};

/// The values at which programs, and rules, begin to differ.
const EDGES: [u128; 12] =
    [0, 1, 99, 100, 101, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64];

/// Returns the number `digits` times ten to the power of `exponent`, in one of its spellings.
pub(super) fn spelled(dice: &Dice) -> Spelled {
    let mut digits = match dice.roll(3) {
        0 => dice.pick(&EDGES),
        1 => dice.roll(1000) as u128,
        _ => (0..1 + dice.roll(19)).fold(0, |sum, _| sum * 10 + dice.roll(10) as u128),
    };
    let mut exponent = if dice.one_in(2) { 0 } else { dice.roll(13) as i32 - 6 };
    let is_negative = dice.one_in(3);
    // The same number with more zeros.
    if dice.one_in(4) && digits < 1 << 100 {
        (digits, exponent) = (digits * 10, exponent - 1);
    }
    let sign = if is_negative { "-" } else { "" };
    let (text, is_plain) = written(dice, digits, exponent);
    let text = format!("{sign}{text}");
    let is = match is_plain && is_rounded(digits * 10_u128.pow(exponent.max(0) as u32), is_negative, &text) {
        true => Is::Rounded,
        false => is(digits, exponent, is_negative),
    };
    (Box::leak(text.into_boxed_str()), is)
}

/// Returns the text, and whether it consists of digits alone.
fn written(dice: &Dice, digits: u128, exponent: i32) -> (String, bool) {
    let all = digits.to_string();
    let places = usize::try_from(-exponent).unwrap_or(0);
    if dice.one_in(3) {
        // Scientific notation: the point after any of the digits, and the exponent adjusted.
        let before = 1 + dice.roll(all.len());
        let (whole, fraction) = all.split_at(before);
        let moved = exponent + i32::try_from(fraction.len()).unwrap();
        let zeros = "0".repeat(dice.roll(3));
        let fraction =
            if fraction.is_empty() && zeros.is_empty() { String::new() } else { format!(".{fraction}{zeros}") };
        let sign = if moved < 0 { "-" } else { dice.pick(&["", "+"]) };
        let letter = dice.pick(&["e", "E"]);
        let lead = dice.pick(&["", "0", "00"]);
        return (format!("{whole}{fraction}{letter}{sign}{lead}{}", moved.abs()), false);
    }
    if places > 0 {
        let padded = format!("{all:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        return (format!("{whole}.{fraction}{}", "0".repeat(dice.roll(3))), false);
    }
    // Zero times any power of ten is written as one zero.
    let zeros = if digits == 0 { 0 } else { usize::try_from(exponent).unwrap() };
    let plain = format!("{all}{}", "0".repeat(zeros));
    if dice.one_in(3) { (format!("{plain}.{}", "0".repeat(1 + dice.roll(2))), false) } else { (plain, true) }
}

/// Whether some programs round this whole number: it is not a double's exact value, or it has more than 64 bits.
fn is_rounded(size: u128, is_negative: bool, text: &str) -> bool {
    let most = if is_negative { 1 << 63 } else { (1 << 64) - 1 };
    let nearest = format!("{:.0}", text.parse::<f64>().unwrap());
    size > most || (size != 0 && nearest != text)
}

fn is(digits: u128, exponent: i32, is_negative: bool) -> Is {
    let power = 10_u128.pow(exponent.unsigned_abs());
    let is_above = match (is_negative, exponent >= 0) {
        (true, _) => false,
        (false, true) => digits * power > 100,
        (false, false) => digits > 100 * power,
    };
    // The number times ten thousand, if that is whole: everything that `decimal` holds.
    let of = |places: u32| match exponent + i32::try_from(places).unwrap() {
        moved @ 0.. => Some(digits * 10_u128.pow(moved.unsigned_abs())),
        moved => digits
            .checked_rem(10_u128.pow(moved.unsigned_abs()))
            .filter(|rest| *rest == 0)
            .map(|_| digits / 10_u128.pow(moved.unsigned_abs())),
    };
    let most = if is_negative { 1 << 63 } else { (1 << 63) - 1 };
    let fits = |whole: Option<u128>| whole.is_some_and(|whole| whole <= most);
    Is::Number(is_above, of(0).is_some(), fits(of(0)), fits(of(4)))
}
