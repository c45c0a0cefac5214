//! HitRate@P%: were the channels at fault ranked first?
//!
//! Su, Zhao, Niu, Liu, Sun, Pei: "Robust Anomaly Detection for Multivariate
//! Time Series through Stochastic Recurrent Neural Network" (OmniAnomaly), KDD
//! 2019, and Li et al., "InterFusion", KDD 2021, who apply it to a labelled
//! segment as a whole, as is done here.

/// Channel indices by descending value; equal values keep their order.
#[must_use]
pub fn rank_descending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    order
}

/// The share of the channels at fault found among the first `⌊percent/100 · |at fault|⌋` of a ranking.
///
/// `None` where no channel is at fault.
#[must_use]
pub fn hit_rate(ranking: &[usize], at_fault: &[usize], percent: usize) -> Option<f64> {
    if at_fault.is_empty() {
        return None;
    }
    let looked_at = (at_fault.len() * percent / 100).min(ranking.len());
    let hits = ranking[..looked_at].iter().filter(|channel| at_fault.contains(channel)).count();
    Some(hits as f64 / at_fault.len() as f64)
}
