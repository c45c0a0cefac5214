//! The best split of some rows by one feature.

use super::Table;

/// Weights of the two classes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Weights {
    pub(super) negative: f64,
    pub(super) positive: f64,
}

impl Weights {
    pub(super) fn add(&mut self, is_positive: bool, weight: f64) {
        *(if is_positive { &mut self.positive } else { &mut self.negative }) += weight;
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let negative = self.negative + other.negative;
        Self { negative, positive: self.positive + other.positive }
    }

    fn minus(self, other: Self) -> Self {
        let negative = self.negative - other.negative;
        Self { negative, positive: self.positive - other.positive }
    }

    pub(super) fn sum(self) -> f64 {
        self.negative + self.positive
    }

    pub(super) fn is_pure(self) -> bool {
        self.negative <= 0.0 || self.positive <= 0.0
    }

    /// The sum's part of `Σ w_c² / w`, which grows as Gini impurity, `1 − Σ (w_c / w)²`, falls.
    fn purity(self) -> f64 {
        (self.negative * self.negative + self.positive * self.positive) / self.sum()
    }
}

/// A way to part rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Split {
    pub(super) feature: usize,
    pub(super) threshold: f32,
    pub(super) missing_below: bool,
    /// Of both sides together: greater is better.
    pub(super) purity: f64,
}

/// A row that is parted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) row: usize,
    pub(super) weight: f64,
    pub(super) is_positive: bool,
}

/// The best split by a feature that leaves at least `leaf_min` rows on either side, if it makes the
/// sides purer than `least`; of equal ones that with the lowest threshold.
pub(super) fn best(
    table: &Table,
    members: &[Member],
    feature: usize,
    leaf_min: usize,
    least: f64,
) -> Option<Split> {
    let (mut known, mut unknown) = (Vec::with_capacity(members.len()), Weights::default());
    let mut total = Weights::default();
    for member in members {
        let value = table.value(member.row, feature);
        if value.is_nan() {
            unknown.add(member.is_positive, member.weight);
        } else {
            known.push((value, member));
            total.add(member.is_positive, member.weight);
        }
    }
    // Rows of equal value keep their order, so sums do not depend on the sort.
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    let missing = members.len() - known.len();
    let mut best: Option<Split> = None;
    let mut try_split = |below: Weights, count: usize, threshold: f32, missing_below: bool| {
        let above = total.plus(unknown).minus(below);
        if count < leaf_min || members.len() - count < leaf_min {
            return;
        }
        let purity = below.purity() + above.purity();
        if purity > best.map_or(least, |best| best.purity) {
            best = Some(Split { feature, threshold, missing_below, purity });
        }
    };
    let mut below = Weights::default();
    for (at, (value, member)) in known.iter().enumerate() {
        below.add(member.is_positive, member.weight);
        let Some((next, _)) = known.get(at + 1) else { break };
        if next <= value {
            continue;
        }
        let (threshold, count) = (middle(*value, *next), at + 1);
        if missing == 0 {
            try_split(below, count, threshold, 2 * count > known.len());
        } else {
            try_split(below, count, threshold, false);
            try_split(below.plus(unknown), count + missing, threshold, true);
        }
    }
    if missing > 0 && !known.is_empty() {
        // Known or not: everything known lies below.
        try_split(total, known.len(), f32::MAX, false);
    }
    best
}

/// The largest `f32` not above the middle of two: a value goes the same way as by the middle itself.
fn middle(low: f32, high: f32) -> f32 {
    let middle = (f64::from(low) + f64::from(high)) / 2.0;
    let rounded = middle as f32;
    if f64::from(rounded) > middle { rounded.next_down() } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(values: &[f32], labels: &[bool], leaf_min: usize) -> Option<Split> {
        let table = Table::new(vec!["x".to_owned()], values.to_vec()).unwrap();
        let members: Vec<Member> = labels
            .iter()
            .enumerate()
            .map(|(row, label)| Member { row, weight: 1.0, is_positive: *label })
            .collect();
        best(&table, &members, 0, leaf_min, 0.0)
    }

    #[test]
    fn classes_are_parted_in_the_middle() {
        let found = split(&[4.0, 1.0, 3.0, 2.0], &[true, false, true, false], 1).unwrap();
        assert_eq!((found.threshold, found.purity), (2.5, 4.0));
        assert_eq!(split(&[4.0, 1.0, 3.0, 2.0], &[true, false, true, false], 3), None);
        assert_eq!(split(&[1.0; 4], &[true, false, true, false], 1), None);
    }

    #[test]
    fn what_is_not_known_goes_where_it_belongs() {
        let nan = f32::NAN;
        let values = [1.0, 2.0, nan, nan, 5.0, 6.0];
        let with_low = split(&values, &[true, true, true, true, false, false], 1).unwrap();
        assert!(with_low.missing_below && with_low.threshold == 3.5);
        let with_high = split(&values, &[true, true, false, false, false, false], 1).unwrap();
        assert!(!with_high.missing_below && with_high.threshold == 3.5);
        let alone = split(&values, &[true, true, false, false, true, true], 1).unwrap();
        assert!(!alone.missing_below && alone.threshold == f32::MAX);
    }

    #[test]
    fn a_threshold_is_never_above_the_middle() {
        let (low, high) = (1.0_f32, 1.0_f32.next_up());
        assert_eq!(middle(low, high), low);
        assert!(f64::from(middle(0.1, 0.3)) <= (f64::from(0.1_f32) + f64::from(0.3_f32)) / 2.0);
    }
}
