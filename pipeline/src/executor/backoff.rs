//! Pauses between attempts that a provider has turned away.
//!
//! They grow, have a limit, and are spread by the step's token and the attempt's number instead of by
//! chance: many steps do not come back at once, and one step waits the same each time it is run.

use std::time::Duration;

/// How a call is repeated that is known to have had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Calls in all.
    pub attempts: u32,
    /// The pause after the first call, which then doubles.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Backoff {
    /// The pause after a number of attempts; `None` once there have been enough. It is between half and
    /// all of what doubling comes to.
    #[must_use]
    pub fn pause(&self, attempts: u32, seed: &str) -> Option<Duration> {
        if attempts >= self.attempts {
            return None;
        }
        let doubled =
            self.first.saturating_mul(1_u32.checked_shl(attempts - 1).unwrap_or(u32::MAX));
        let most = doubled.min(self.longest);
        Some(most / 2 + (most / 2).mul_f64(spread(seed, attempts)))
    }

    /// The longest pause: what a caller is told to wait when the attempts are used up.
    #[must_use]
    pub fn after(&self) -> Duration {
        self.longest
    }
}

/// A number from 0 to 1 that a text and a count decide: FNV-1a, its bits mixed once more.
fn spread(seed: &str, attempts: u32) -> f64 {
    let bytes = seed.bytes().chain(attempts.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    #[allow(clippy::cast_precision_loss, reason = "24 bits are exact")]
    let share = mixed as f64 / f64::from(1 << 24);
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_have_a_limit_and_are_reproducible() {
        let second = Duration::from_secs(1);
        let backoff = Backoff { attempts: 9, first: second, longest: 20 * second };
        for attempts in 1..9 {
            let most = second * (1 << (attempts - 1)).min(20);
            let pause = backoff.pause(attempts, "step-1").unwrap();
            assert!(pause >= most / 2 && pause <= most, "{attempts}: {pause:?}");
            assert_eq!(backoff.pause(attempts, "step-1"), Some(pause));
        }
        assert_eq!(backoff.pause(9, "step-1"), None);
        assert_ne!(backoff.pause(5, "step-1"), backoff.pause(5, "step-2"));
        let endless = Backoff { attempts: u32::MAX, ..backoff };
        assert!(endless.pause(1000, "step-1").unwrap() <= 20 * second);
    }
}
