//! The lowest point of a function of a few numbers, without its gradient.

/// Nelder & Mead 1965 (*A simplex method for function minimization*), from `start` with edges `step`.
///
/// Deterministic; stops after `evaluations` of the function, or when the simplex is flat. A value
/// that is not finite counts as infinitely high, which is how bounds are said.
pub(super) fn minimise(
    start: &[f64],
    step: f64,
    evaluations: usize,
    mut of: impl FnMut(&[f64]) -> f64,
) -> Vec<f64> {
    let mut left = evaluations;
    let mut value = |at: &[f64]| {
        left = left.saturating_sub(1);
        let value = of(at);
        (if value.is_finite() { value } else { f64::INFINITY }, left)
    };
    let mut simplex: Vec<(f64, Vec<f64>)> = Vec::with_capacity(start.len() + 1);
    for corner in 0..=start.len() {
        let mut at = start.to_vec();
        if let Some(axis) = corner.checked_sub(1) {
            at[axis] += step;
        }
        simplex.push((value(&at).0, at));
    }
    loop {
        simplex.sort_by(|a, b| a.0.total_cmp(&b.0));
        let last = simplex.len() - 1;
        let (best, worst) = (simplex[0].0, simplex[last].0);
        if (worst - best).abs() <= 1e-10 * best.abs().max(1e-12) {
            break;
        }
        let centre: Vec<f64> = (0..start.len())
            .map(|axis| simplex[..last].iter().map(|c| c.1[axis]).sum::<f64>() / last as f64)
            .collect();
        let along = |share: f64| -> Vec<f64> {
            let outer = &simplex[last].1;
            centre.iter().zip(outer).map(|(c, o)| c + share * (o - c)).collect()
        };
        let reflected = along(-1.0);
        let (height, left) = value(&reflected);
        let replacement = if height < best {
            let expanded = along(-2.0);
            let (further, _) = value(&expanded);
            Some(if further < height { (further, expanded) } else { (height, reflected) })
        } else if height < simplex[last - 1].0 {
            Some((height, reflected))
        } else {
            let inner = along(if height < worst { -0.5 } else { 0.5 });
            let (nearer, _) = value(&inner);
            (nearer < worst.min(height)).then_some((nearer, inner))
        };
        match replacement {
            Some(corner) => simplex[last] = corner,
            None => {
                let lowest = simplex[0].1.clone();
                for (height, at) in &mut simplex[1..] {
                    at.iter_mut().zip(&lowest).for_each(|(a, l)| *a = f64::midpoint(*a, *l));
                    *height = value(at).0;
                }
            }
        }
        if left == 0 {
            break;
        }
    }
    simplex.sort_by(|a, b| a.0.total_cmp(&b.0));
    simplex.swap_remove(0).1
}

/// Any number to one in `(low, high)`, so that a search without bounds stays within them.
pub(super) fn within(low: f64, high: f64, x: f64) -> f64 {
    low + (high - low) / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valley_of_rosenbrock_is_found() {
        let valley = |x: &[f64]| (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0].powi(2)).powi(2);
        let found = minimise(&[-1.2, 1.0], 0.5, 2_000, valley);
        assert!((found[0] - 1.0).abs() < 1e-3 && (found[1] - 1.0).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn one_dimension_and_infinite_heights_do() {
        let found = minimise(&[1.0], 0.5, 200, |x| if x[0] < 0.5 { f64::NAN } else { x[0] });
        assert!((found[0] - 0.5).abs() < 1e-3, "{found:?}");
    }
}
