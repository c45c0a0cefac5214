//! Areas under curves over all thresholds, point by point.

/// Areas need both classes and one score a label; this pairs them by descending score.
fn descending(scores: &[f32], labels: &[bool]) -> Vec<(f32, bool)> {
    let mut points: Vec<(f32, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    points.sort_by(|a, b| b.0.total_cmp(&a.0));
    points
}

/// Average precision: `Σ (recall_k − recall_{k−1}) · precision_k` over the distinct scores.
///
/// Points of equal score are flagged together, as in scikit-learn's
/// `average_precision_score`. `None` where no point is labelled.
#[must_use]
pub fn average_precision(scores: &[f32], labels: &[bool]) -> Option<f64> {
    let positives = labels.iter().filter(|&&label| label).count();
    if positives == 0 {
        return None;
    }
    let (mut found, mut area) = (0_usize, 0.0);
    let mut flagged = 0_usize;
    for tied in descending(scores, labels).chunk_by(|a, b| a.0 == b.0) {
        let hits = tied.iter().filter(|point| point.1).count();
        found += hits;
        flagged += tied.len();
        area += hits as f64 / positives as f64 * (found as f64 / flagged as f64);
    }
    Some(area)
}

/// Area under the receiver operating characteristic: the chance that a labelled
/// point scores above an unlabelled one, ties counting half.
///
/// `None` unless both kinds of point are there.
#[must_use]
pub fn auroc(scores: &[f32], labels: &[bool]) -> Option<f64> {
    let positives = labels.iter().filter(|&&label| label).count();
    let negatives = labels.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    // Twice the number of ordered pairs stays an integer, hence exact.
    let (mut above, mut twice_pairs) = (0_u64, 0_u64);
    for tied in descending(scores, labels).chunk_by(|a, b| a.0 == b.0) {
        let hits = tied.iter().filter(|point| point.1).count() as u64;
        let misses = tied.len() as u64 - hits;
        twice_pairs += misses * (2 * above + hits);
        above += hits;
    }
    Some(twice_pairs as f64 / (2.0 * positives as f64 * negatives as f64))
}
