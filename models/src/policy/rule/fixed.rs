//! Always so many instances.

use super::{Controller, Observation};

/// The number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed(pub usize);

impl Controller for Fixed {
    fn decide(&mut self, seen: &Observation) -> isize {
        self.0 as isize - seen.committed() as isize
    }
}
