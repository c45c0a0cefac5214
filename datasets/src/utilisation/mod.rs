//! What was measured of resources, hour by hour, and what became of them.
//!
//! - [`Recorded`]: one resource's rows, as the kernels of [`cloudops_operators::utilisation`] read them
//! - [`bitbrains`]: GWA-T-12 Bitbrains Rnd, virtual machines of a hosting company

use cloudops_operators::utilisation::Rows;

pub use cloudops_operators::utilisation::CHANNELS;

use crate::{Error, Result};

pub mod bitbrains;

/// One resource's rows, without a hole; `NaN` where nothing is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its name within its set.
    pub name: String,
    /// When the first row begins, seconds since 1970-01-01.
    pub start: i64,
    /// Seconds of a row.
    pub step: i64,
    /// By [`cloudops_operators::utilisation::Channel::ALL`]; empty where not measured.
    pub channels: [Vec<f64>; CHANNELS],
}

impl Recorded {
    /// The rows, borrowed.
    ///
    /// # Errors
    /// [`Error::Configuration`] when they are none: channels differ in length, say.
    pub fn rows(&self) -> Result<Rows<'_>> {
        let channels = self.channels.each_ref().map(Vec::as_slice);
        Rows::new(self.start, self.step, channels)
            .map_err(|error| Error::Configuration(format!("{}: {error}", self.name)))
    }
}
