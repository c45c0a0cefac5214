//! What only the order of a partition tells of a bill's rows: when each became known, and which
//! days had closed by then.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, RecordBatch};

use crate::schema::cost::{day_of, judged};
use crate::schema::{TS, times};
use crate::watermark::Watermark;
use crate::{Error, Result};

/// Reads the time off a partition's rows, in offset order.
///
/// The clock shows the greatest `ts` so far, and a row is known on the clock's day. Days that ended
/// longer ago than the allowed lateness have closed. No row is refused: one that comes after its day
/// had closed changes what had been said of the day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    lateness_us: i64,
    now_us: i64,
}

impl Clock {
    /// A clock that has seen nothing.
    #[must_use]
    pub fn new(lateness_us: i64) -> Self {
        Self { lateness_us, now_us: i64::MIN }
    }

    /// A clock that continues at a committed watermark.
    #[must_use]
    pub fn resume(self, watermark: Watermark) -> Self {
        let now_us = match watermark {
            Watermark::MIN => i64::MIN,
            Watermark(us) => us.saturating_add(self.lateness_us),
        };
        Self { now_us, ..self }
    }

    /// The bound that days close by: the clock less the allowed lateness.
    #[must_use]
    pub fn watermark(&self) -> Watermark {
        Watermark(self.now_us.saturating_sub(self.lateness_us))
    }

    /// Appends to the next rows ([`crate::schema::cost::schema`], or more) what the clock says of them.
    ///
    /// # Errors
    /// [`Error::Column`] when they are not of that schema.
    pub fn judge(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut known_on = Vec::with_capacity(rows.num_rows());
        let mut closed_before = Vec::with_capacity(rows.num_rows());
        let mut last = None;
        for ts in times(rows, TS)? {
            // Where the clock has not moved, its days are at hand already.
            let (known, closed) = match last {
                Some(days) if *ts <= self.now_us => days,
                _ => {
                    self.now_us = self.now_us.max(*ts);
                    (day_of(self.now_us), day_of(self.watermark().0))
                }
            };
            last = Some((known, closed));
            known_on.push(known);
            closed_before.push(closed);
        }
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(Date32Array::from(known_on)) as ArrayRef);
        columns.push(Arc::new(Date32Array::from(closed_before)));
        RecordBatch::try_new(judged(&rows.schema()), columns).map_err(Error::from)
    }
}
