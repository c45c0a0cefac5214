//! The table in sentences, derived from the figures alone.

use std::fmt::Write;

use super::super::files::INFALLIBLE;
use super::row::{CostRow, means};
use super::{CostModel, MONTH_DAYS};

/// Errors nearer than this are called level.
const LEVEL: f64 = 0.002;
/// The account-month error that the product aims at.
pub(super) const AIM: f64 = 0.08;

/// One paragraph a set, in the order of the rows.
pub(super) fn read(rows: &[CostRow]) -> Vec<String> {
    rows.chunk_by(|a, b| a.set == b.set).map(of_set).collect()
}

fn of_set(rows: &[CostRow]) -> String {
    let mut text = format!("**{}.** ", rows[0].set);
    let means = means(rows);
    let mut horizons: Vec<usize> = rows.iter().map(|row| row.horizon_days).collect();
    horizons.sort_unstable();
    horizons.dedup();
    for horizon in horizons {
        let mut ranked: Vec<&CostRow> =
            means.iter().filter(|row| row.horizon_days == horizon).collect();
        ranked.sort_by(|a, b| a.wape_total.total_cmp(&b.wape_total));
        write!(text, "{horizon} days: {}", winner(&ranked)).expect(INFALLIBLE);
        text.push_str(&against_baselines(&ranked));
    }
    text.push_str(&total(rows));
    text.push_str(&aim(rows));
    text.push_str(&coverage(&means));
    text.trim_end().to_owned()
}

fn winner(ranked: &[&CostRow]) -> String {
    let Some(best) = ranked.first() else { return String::new() };
    let (name, error) = (&best.model, best.wape_total);
    match ranked.get(1) {
        None => format!("`{name}` {error:.3}. "),
        Some(second) if second.wape_total - error < LEVEL => {
            format!(
                "`{name}` {error:.3} and `{}` {:.3} are level. ",
                second.model, second.wape_total
            )
        }
        Some(second) => {
            format!(
                "`{name}` wins with {error:.3}, then `{}` {:.3}. ",
                second.model, second.wape_total
            )
        }
    }
}

/// Whether the champion is worth its trouble.
fn against_baselines(ranked: &[&CostRow]) -> String {
    let of = |model: CostModel| ranked.iter().find(|row| row.model == model.name());
    let Some(champion) = of(CostModel::Champion) else { return String::new() };
    let baselines = [CostModel::SeasonalNaive, CostModel::Ets, CostModel::Theta];
    let baseline = baselines.into_iter().filter_map(of);
    let Some(best) = baseline.min_by(|a, b| a.wape_total.total_cmp(&b.wape_total)) else {
        return String::new();
    };
    let gain = best.wape_total - champion.wape_total;
    let verdict = match gain {
        gain if gain >= LEVEL => format!("is ahead of the best plain baseline by {gain:.3}"),
        gain if gain <= -LEVEL => format!("is behind the best plain baseline by {:.3}", -gain),
        _ => "is level with the best plain baseline".to_owned(),
    };
    format!(
        "The champion ({:.3}) {verdict} (`{}` {:.3}). ",
        champion.wape_total, best.model, best.wape_total
    )
}

/// The bill as a whole a month ahead, where the set has one.
fn total(rows: &[CostRow]) -> String {
    let of_total = rows.iter().filter(|r| r.series == "total" && r.horizon_days == MONTH_DAYS);
    let mut ranked: Vec<&CostRow> = of_total.collect();
    ranked.sort_by(|a, b| a.wape_total.total_cmp(&b.wape_total));
    let all: Vec<String> =
        ranked.iter().map(|row| format!("`{}` {:.3}", row.model, row.wape_total)).collect();
    if all.is_empty() {
        return String::new();
    }
    format!("The whole bill, {MONTH_DAYS} days ahead, best first: {}. ", all.join(", "))
}

/// On how many series the aim is met a month ahead.
fn aim(rows: &[CostRow]) -> String {
    let of_champion: Vec<&CostRow> = rows
        .iter()
        .filter(|row| row.model == CostModel::Champion.name() && row.horizon_days == MONTH_DAYS)
        .collect();
    if of_champion.is_empty() {
        return String::new();
    }
    let met = of_champion.iter().filter(|row| row.wape_total <= AIM).count();
    format!(
        "An account-month error of {AIM} or less is met by the champion on {met} of {} series. ",
        of_champion.len()
    )
}

fn coverage(means: &[CostRow]) -> String {
    let of_champion = means.iter().filter(|row| row.model == CostModel::Champion.name());
    let shares: Vec<String> =
        of_champion.map(|row| format!("{:.2} at {}", row.coverage_80, row.horizon_days)).collect();
    if shares.is_empty() {
        return String::new();
    }
    format!("Of the days, between the champion's p10 and p90 lay {} days.", shares.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(model: &str, wape_total: f64) -> CostRow {
        CostRow {
            set: "mybinder".to_owned(),
            series: "total".to_owned(),
            model: model.to_owned(),
            horizon_days: 30,
            origins: 6,
            wape_total,
            wape_daily: 0.2,
            mase: None,
            coverage_80: 0.81,
            bias: 0.0,
        }
    }

    #[test]
    fn a_winning_baseline_is_said_to_win() {
        let text = &read(&[row("seasonal-naive", 0.1), row("champion", 0.15)])[0];
        assert!(text.contains("`seasonal-naive` wins with 0.100"), "{text}");
        assert!(text.contains("is behind the best plain baseline by 0.050"), "{text}");
        assert!(text.contains("on 0 of 1 series"), "{text}");
        assert!(text.contains("best first: `seasonal-naive` 0.100, `champion` 0.150. "), "{text}");
    }

    #[test]
    fn small_differences_are_level() {
        let text = &read(&[row("ets", 0.0501), row("champion", 0.05)])[0];
        assert!(text.contains("are level") && text.contains("is level with"), "{text}");
        assert!(text.contains("on 1 of 1 series") && text.contains("0.81 at 30 days"), "{text}");
    }
}
