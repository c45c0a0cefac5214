//! Which windows to cut: the specification, as written in the configuration.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The most windows that may overlap at one instant, so that one row costs bounded work.
const OVERLAP_MAX: u64 = 1_024;

/// How an entity's rows are cut into windows.
///
/// In TOML: `window = { kind = "count", length = 30, hop = 5 }`. Times are event times in µs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum WindowSpec {
    /// Window `k` holds the entity's rows `hop·k .. hop·k + length`; only whole windows are given.
    Count {
        /// Rows in a window, at least 1.
        length: u32,
        /// Rows from one window's first to the next one's, at least 1; beyond `length` it samples.
        hop: u32,
    },
    /// Windows `[s, s + duration)` side by side, aligned to 1970-01-01 UTC; empty ones are not given.
    Tumbling {
        /// A window's extent, µs.
        duration_us: i64,
    },
    /// Windows `[s, s + duration)` for every multiple `s` of the hop; empty ones are not given.
    Sliding {
        /// A window's extent, µs.
        duration_us: i64,
        /// Time from one window's start to the next one's, µs; at most 1,024 windows overlap.
        hop_us: i64,
    },
    /// Rows less than `gap` apart; ends at `min(last row + gap, first row + max duration)`.
    Session {
        /// The silence that ends a session, µs.
        gap_us: i64,
        /// The longest a session may last, µs: bounds the state that a busy entity needs.
        max_duration_us: i64,
    },
}

impl WindowSpec {
    /// Checks that the windows can be cut.
    ///
    /// # Errors
    /// [`Error::Configuration`] naming the field and the fix.
    pub fn validate(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::Configuration(reason));
        match *self {
            Self::Count { length, hop } => {
                if length == 0 || hop == 0 {
                    return refuse("window: length and hop must be at least 1 row".to_owned());
                }
                if u64::from(length.div_ceil(hop)) > OVERLAP_MAX {
                    return refuse(format!(
                        "window: {} windows overlap at each row, at most {OVERLAP_MAX} may: \
                         raise hop",
                        length.div_ceil(hop)
                    ));
                }
            }
            Self::Tumbling { duration_us } => {
                if duration_us <= 0 {
                    return refuse("window: duration_us must be positive".to_owned());
                }
            }
            Self::Sliding { duration_us, hop_us } => {
                if duration_us <= 0 || hop_us <= 0 {
                    return refuse("window: duration_us and hop_us must be positive".to_owned());
                }
                if (duration_us as u64).div_ceil(hop_us as u64) > OVERLAP_MAX {
                    return refuse(format!(
                        "window: hop_us {hop_us} makes more than {OVERLAP_MAX} windows of \
                         {duration_us} µs overlap: raise it"
                    ));
                }
            }
            Self::Session { gap_us, max_duration_us } => {
                if gap_us <= 0 || max_duration_us <= 0 {
                    return refuse(
                        "window: gap_us and max_duration_us must be positive".to_owned(),
                    );
                }
            }
        }
        Ok(())
    }

    /// Rows in every window, where that is fixed.
    #[must_use]
    pub fn length(&self) -> Option<usize> {
        match *self {
            Self::Count { length, .. } => Some(length as usize),
            Self::Tumbling { .. } | Self::Sliding { .. } | Self::Session { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: WindowSpec, fault: Option<&str>) {
        match (spec.validate(), fault) {
            (Ok(()), None) => {}
            (Err(error), Some(fault)) => {
                assert!(error.to_string().contains(fault), "{error} lacks {fault}");
            }
            (found, wanted) => panic!("{spec:?}: {found:?}, wanted {wanted:?}"),
        }
    }

    #[test]
    fn impossible_windows_are_refused_with_the_field() {
        check(WindowSpec::Count { length: 30, hop: 5 }, None);
        check(WindowSpec::Count { length: 3, hop: 7 }, None);
        check(WindowSpec::Count { length: 0, hop: 5 }, Some("length"));
        check(WindowSpec::Count { length: 5_000, hop: 1 }, Some("hop"));
        check(WindowSpec::Tumbling { duration_us: 0 }, Some("duration_us"));
        check(WindowSpec::Sliding { duration_us: 10, hop_us: -1 }, Some("hop_us"));
        check(WindowSpec::Sliding { duration_us: i64::MAX, hop_us: 1 }, Some("hop_us"));
        check(WindowSpec::Sliding { duration_us: 10, hop_us: 20 }, None);
        check(WindowSpec::Session { gap_us: 1, max_duration_us: 0 }, Some("max_duration_us"));
    }
}
