//! ADWIN: a window over a sequence that shrinks when its older part differs from its newer.
//!
//! Bifet & Gavaldà, "Learning from time-changing data with adaptive windowing" (2007), with the
//! exponential histogram that makes it logarithmic in memory.

/// Buckets of one size before the two oldest are merged.
const BUCKETS_MAX: usize = 5;

/// Values that either part must hold for the two to be compared.
const PART_MIN: u64 = 5;

/// Values before any comparison.
const GRACE: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    total: f64,
    /// Sum of squared deviations from the bucket's mean.
    squares: f64,
}

/// How two parts of the window compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// Difference of the parts' means.
    pub effect: f64,
    /// The bound on it for data that have not changed.
    pub limit: f64,
}

/// The adaptive window.
#[derive(Debug, Clone, PartialEq)]
pub struct Adwin {
    delta: f64,
    clock: u64,
    seen: u64,
    width: u64,
    total: f64,
    squares: f64,
    /// Row `i`: buckets of `2^i` values each, oldest first.
    rows: Vec<Vec<Bucket>>,
}

impl Adwin {
    /// An empty window. `delta` bounds the probability of a cut where nothing has changed; the
    /// parts are compared at every `clock`-th value.
    #[must_use]
    pub fn new(delta: f64, clock: u64) -> Self {
        Self {
            delta,
            clock: clock.max(1),
            seen: 0,
            width: 0,
            total: 0.0,
            squares: 0.0,
            rows: Vec::new(),
        }
    }

    /// Takes up the next value. Gives the comparison that came closest to its limit, or the
    /// farthest beyond it, in which case the older part has been dropped; `None` where nothing
    /// was compared.
    pub fn update(&mut self, value: f64) -> Option<Cut> {
        self.insert(value);
        self.seen += 1;
        if !self.seen.is_multiple_of(self.clock) || self.width <= GRACE {
            return None;
        }
        let mut most: Option<Cut> = None;
        loop {
            let found = self.compare();
            if let Some(cut) = found {
                let stands = |cut: &Cut| cut.effect / cut.limit;
                if most.as_ref().is_none_or(|most| stands(&cut) > stands(most)) {
                    most = Some(cut);
                }
            }
            if !found.is_some_and(|cut| cut.effect > cut.limit) {
                return most;
            }
            self.drop_oldest();
        }
    }

    /// Values in the window.
    #[must_use]
    pub fn width(&self) -> u64 {
        self.width
    }

    fn insert(&mut self, value: f64) {
        if self.width > 0 {
            let before = self.width as f64;
            let away = value - self.total / before;
            self.squares += before * away * away / (before + 1.0);
        }
        self.width += 1;
        self.total += value;
        if self.rows.is_empty() {
            self.rows.push(Vec::new());
        }
        self.rows[0].push(Bucket { total: value, squares: 0.0 });
        self.compress();
    }

    /// Merges the two oldest buckets of any size that has too many.
    fn compress(&mut self) {
        let mut at = 0;
        while self.rows.get(at).is_some_and(|row| row.len() > BUCKETS_MAX) {
            let (a, b) = (self.rows[at].remove(0), self.rows[at].remove(0));
            let size = (1u64 << at) as f64;
            let away = (a.total - b.total) / size;
            let merged = Bucket {
                total: a.total + b.total,
                squares: a.squares + b.squares + size * away * away / 2.0,
            };
            if at + 1 == self.rows.len() {
                self.rows.push(Vec::new());
            }
            self.rows[at + 1].push(merged);
            at += 1;
        }
    }

    /// Compares old and new at every border of buckets, oldest first, up to the first that differs.
    fn compare(&self) -> Option<Cut> {
        let mut most: Option<Cut> = None;
        let (mut old, mut old_total) = (0u64, 0.0);
        for (at, row) in self.rows.iter().enumerate().rev() {
            for bucket in row {
                old += 1 << at;
                old_total += bucket.total;
                let new = self.width - old;
                if old < PART_MIN || new < PART_MIN {
                    continue;
                }
                let cut = self.cut(old, old_total, new);
                if cut.effect > cut.limit {
                    return Some(cut);
                }
                if most.is_none_or(|most| cut.effect * most.limit > most.effect * cut.limit) {
                    most = Some(cut);
                }
            }
        }
        most
    }

    fn cut(&self, old: u64, old_total: f64, new: u64) -> Cut {
        let width = self.width as f64;
        let effect = (old_total / old as f64 - (self.total - old_total) / new as f64).abs();
        let confidence = (2.0 * width.ln() / self.delta).ln();
        let parts = 1.0 / (old - PART_MIN + 1) as f64 + 1.0 / (new - PART_MIN + 1) as f64;
        let variance = (self.squares / width).max(0.0);
        let limit = (2.0 * parts * variance * confidence).sqrt() + 2.0 / 3.0 * confidence * parts;
        Cut { effect, limit }
    }

    fn drop_oldest(&mut self) {
        let Some(at) = self.rows.iter().rposition(|row| !row.is_empty()) else { return };
        let bucket = self.rows[at].remove(0);
        let size = 1u64 << at;
        self.width -= size;
        self.total -= bucket.total;
        if self.width > 0 {
            let (size, rest) = (size as f64, self.width as f64);
            let away = bucket.total / size - self.total / rest;
            self.squares -= bucket.squares + size * rest * away * away / (size + rest);
        } else {
            self.squares = 0.0;
        }
        self.rows.truncate(at + usize::from(!self.rows[at].is_empty()));
    }

    /// Its state as numbers: values seen, sums, then each row's length and buckets.
    pub(super) fn numbers(&self) -> Vec<f64> {
        let mut numbers = vec![self.seen as f64, self.width as f64, self.total, self.squares];
        for row in &self.rows {
            numbers.push(row.len() as f64);
            numbers.extend(row.iter().flat_map(|bucket| [bucket.total, bucket.squares]));
        }
        numbers
    }

    /// A window with the state that [`Adwin::numbers`] gave; `None` when it is cut short.
    pub(super) fn with_numbers(delta: f64, clock: u64, numbers: &[f64]) -> Option<Self> {
        let (head, mut rest) = numbers.split_at_checked(4)?;
        let mut rows = Vec::new();
        while let Some((length, after)) = rest.split_first() {
            let (row, after) = after.split_at_checked(2 * *length as usize)?;
            let bucket = |pair: &[f64]| Bucket { total: pair[0], squares: pair[1] };
            rows.push(row.chunks_exact(2).map(bucket).collect());
            rest = after;
        }
        let (seen, width) = (head[0] as u64, head[1] as u64);
        Some(Self { delta, clock, seen, width, total: head[2], squares: head[3], rows })
    }
}
