//! `evaluate cost` on the public sets, where the environment says where they are.

use std::path::{Path, PathBuf};

use cloudops_models::evaluate::Silent;
use cloudops_models::evaluate::cost::{
    CostEvaluation, CostModel, CostOptions, CostSet, evaluate_cost,
};

/// The real sets, where the environment says they are; else the test is skipped.
fn real() -> Option<PathBuf> {
    let dir = std::env::var_os("CLOUDOPS_DATASETS");
    if dir.is_none() {
        eprintln!("skipped: CLOUDOPS_DATASETS is not set");
    }
    dir.map(Into::into)
}

#[test]
fn real_sets_are_read_and_judged() {
    let Some(dir) = real() else { return };
    let options = CostOptions { quick: true, ..CostOptions::default() };
    let found = evaluate_cost(&dir, &options, &mut Silent).unwrap();
    for set in [CostSet::Mybinder, CostSet::Radian, CostSet::Elec2, CostSet::Nab] {
        for model in CostModel::ALL {
            for horizon in [30, 60, 90] {
                let is_it = |row: &&cloudops_models::evaluate::cost::CostRow| {
                    (&*row.set, &*row.model, row.horizon_days)
                        == (set.name(), model.name(), horizon)
                };
                let row = found.rows.iter().find(is_it).unwrap();
                assert!(row.wape_total.is_finite() && row.wape_total < 1.0, "{row:?}");
                assert!(row.origins >= 6, "{row:?}");
            }
        }
    }
}

#[test]
#[ignore = "takes minutes; regenerates models/evaluation from the real sets"]
fn the_committed_report() {
    let dir = real().expect("CLOUDOPS_DATASETS names the real sets");
    let found: CostEvaluation = evaluate_cost(&dir, &CostOptions::default(), &mut Silent).unwrap();
    let output = std::env::var_os("COST_OUTPUT").map(PathBuf::from);
    let output = output.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("evaluation"));
    found.write(&output).unwrap();
}
