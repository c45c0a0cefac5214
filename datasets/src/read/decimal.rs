//! Exact decimal numbers from text, without going through floats.

/// `digits × 10^exponent`, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    digits: i128,
    exponent: i32,
}

/// Reads `[+-]digits[.digits][(e|E)[+-]digits]`.
///
/// Digits past the 37th significant one are dropped: they are beyond any scale we keep.
pub(crate) fn parse(text: &str) -> Option<Decimal> {
    let bytes = text.as_bytes();
    let (negative, bytes) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, bytes),
    };
    let mut digits: i128 = 0;
    let mut significant = 0;
    let mut exponent: i32 = 0;
    let mut seen = false;
    let mut point = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => {
                seen = true;
                if significant < 37 {
                    digits = digits * 10 + i128::from(byte - b'0');
                    significant += i32::from(digits != 0);
                    exponent = exponent.checked_sub(i32::from(point))?;
                } else {
                    exponent = exponent.checked_add(i32::from(!point))?;
                }
            }
            b'.' if !point => point = true,
            b'e' | b'E' if seen => {
                let written: i32 = std::str::from_utf8(&bytes[at + 1..]).ok()?.parse().ok()?;
                exponent = exponent.checked_add(written)?;
                break;
            }
            _ => return None,
        }
        at += 1;
    }
    seen.then_some(Decimal { digits: if negative { -digits } else { digits }, exponent })
}

impl Decimal {
    /// The number in units of `10^-scale`, rounded half to even; none when it has more than 38 digits.
    pub(crate) fn at_scale(self, scale: i32) -> Option<i128> {
        if self.digits == 0 {
            return Some(0);
        }
        let shift = self.exponent.checked_add(scale)?;
        let scaled = if shift >= 0 {
            let factor = 10_i128.checked_pow(shift.try_into().ok()?)?;
            self.digits.checked_mul(factor)?
        } else {
            let Some(divisor) = 10_i128.checked_pow(shift.unsigned_abs()) else {
                return Some(0);
            };
            let (quotient, rest) = (self.digits / divisor, self.digits % divisor);
            let twice = rest.unsigned_abs() * 2;
            let up = twice > divisor.unsigned_abs()
                || (twice == divisor.unsigned_abs() && quotient % 2 != 0);
            quotient + if up { self.digits.signum() } else { 0 }
        };
        (scaled.unsigned_abs() < 10_u128.pow(38)).then_some(scaled)
    }

    /// The number, when it is whole and fits.
    pub(crate) fn whole(self) -> Option<i64> {
        let whole = self.at_scale(0)?;
        let exact = self.exponent >= 0
            || 10_i128
                .checked_pow(self.exponent.unsigned_abs())
                .is_some_and(|unit| self.digits % unit == 0);
        exact.then(|| i64::try_from(whole).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact() {
        let check = |text: &str, expected: Option<i128>| {
            assert_eq!(parse(text).and_then(|d| d.at_scale(12)), expected, "{text}");
        };
        check("0.00000080000", Some(800_000));
        check("-2.61370000000", Some(-2_613_700_000_000));
        check("1e-7", Some(100_000));
        check("1.5E+2", Some(150_000_000_000_000));
        check(".5", Some(500_000_000_000));
        check("7.", Some(7_000_000_000_000));
        check("0.0000000000005", Some(0));
        check("0.0000000000015", Some(2));
        check("0.30000000000000004", Some(300_000_000_000));
        check(
            "99999999999999999999999999",
            Some(99_999_999_999_999_999_999_999_999_000_000_000_000),
        );
        check("100000000000000000000000000", None);
        check("1e999999999", None);
        check("1e-999999999", Some(0));
        check("0e999999999", Some(0));
        for bad in ["", "-", ".", "e5", "1e", "1,5", "NaN", "inf", "1 2", "0x1", "1e99999999999"] {
            check(bad, None);
        }
    }

    #[test]
    fn whole_numbers_only() {
        assert_eq!(parse("17").and_then(Decimal::whole), Some(17));
        assert_eq!(parse("1.70e1").and_then(Decimal::whole), Some(17));
        assert_eq!(parse("17.5").and_then(Decimal::whole), None);
    }
}
