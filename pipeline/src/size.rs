//! Sizes in bytes, as they are written and shown.

use serde::Deserialize;

/// Parses `512KiB`, `256MiB`, `2GiB`, or a number of bytes.
///
/// # Errors
/// When it is none of these.
pub fn parse(text: &str) -> Result<u64, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let wrong = || format!("{text:?} is no size: write a number and KiB, MiB or GiB, as \"2GiB\"");
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let shift = match unit.trim_start() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is too large"))
}

/// A size in the configuration.
pub(crate) fn bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(serde::de::Error::custom)
}

/// The same where none may be meant.
pub(crate) fn some_bytes<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    bytes(deserializer).map(Some)
}

/// A size for a person.
#[must_use]
pub fn show(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB"] {
        if size < 1024.0 {
            return format!("{size:.0} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.1} GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("17", 17), ("1B", 1), ("512KiB", 512 << 10), ("2 GiB", 2 << 30)] {
            assert_eq!(parse(text), Ok(bytes));
        }
        for wrong in ["", "GiB", "2GB", "-1MiB", "1.5GiB"] {
            assert!(parse(wrong).is_err_and(|error| error.contains("2GiB")), "{wrong}");
        }
        assert!(parse("99999999999999GiB").is_err_and(|error| error.contains("too large")));
    }
}
