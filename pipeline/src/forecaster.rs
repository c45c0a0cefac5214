//! What the forecast operator asks: the candidates of [`cloudops_models::forecast`], and the champion
//! among them.

use anyhow::{Context, Result, ensure};
use cloudops_models::forecast::bilstm::{BiLstm, PRETRAINED};
use cloudops_models::forecast::champion::Champion;
use cloudops_models::forecast::ets::Ets;
use cloudops_models::forecast::prophet::Prophet;
use cloudops_models::forecast::robust::Robust;
use cloudops_models::forecast::seasonal_naive::SeasonalNaive;
use cloudops_models::forecast::theta::Theta;
use cloudops_models::forecast::{self, Cadence, History};
use cloudops_operators::forecast::{Ahead, DayAhead, ForecastConfig, Forecaster};
use cloudops_operators::key::hex;
use sha2::{Digest, Sha256};

/// Names of the candidates.
pub(crate) const CANDIDATES: [&str; 6] =
    ["seasonal-naive", "ets", "theta", "robust", "prophet", "bilstm"];

/// Checks the names of candidates.
///
/// # Errors
/// Naming one that is unknown, or named twice.
pub(crate) fn validate(config: &ForecastConfig) -> Result<()> {
    config.validate()?;
    for (at, name) in config.candidates.iter().enumerate() {
        ensure!(
            CANDIDATES.contains(&name.as_str()),
            "candidates: unknown model {name:?}: choose of {}",
            CANDIDATES.join(", ")
        );
        ensure!(!config.candidates[..at].contains(name), "candidates: {name} is named twice");
    }
    Ok(())
}

/// The champion among a stream's candidates.
pub(crate) struct Champions {
    champion: Champion,
    seasons: Prophet,
    horizon: usize,
    seed: u64,
    version: String,
}

impl Champions {
    /// # Errors
    /// When a candidate is unknown, or the ONNX Runtime is missing.
    pub(crate) fn new(config: &ForecastConfig) -> Result<Self> {
        validate(config)?;
        let member = |name: &String| -> Result<Box<dyn forecast::Forecaster>> {
            Ok(match name.as_str() {
                "seasonal-naive" => Box::new(SeasonalNaive),
                "ets" => Box::new(Ets),
                "theta" => Box::new(Theta),
                "robust" => Box::new(Robust),
                "prophet" => Box::new(Prophet::default()),
                _ => Box::new(BiLstm::open(PRETRAINED).context("the bilstm")?),
            })
        };
        let members = config.candidates.iter().map(member).collect::<Result<_>>()?;
        let learned: String = hex(&Sha256::digest(PRETRAINED)[..4]);
        Ok(Self {
            champion: Champion::new(members),
            seasons: Prophet::default(),
            horizon: config.horizon_days as usize,
            seed: config.seed,
            version: format!("{}-{learned}", env!("CARGO_PKG_VERSION")),
        })
    }
}

impl Forecaster for Champions {
    fn version(&self) -> &str {
        &self.version
    }

    fn ahead(&mut self, first_day: i32, values: &[f64]) -> cloudops_operators::Result<Ahead> {
        let failed = |error: cloudops_models::Error| cloudops_operators::Error::Model {
            model: format!("forecast {}", self.version),
            reason: error.to_string(),
        };
        let history = History::new(Cadence::Daily, first_day, values);
        let (forecast, choice) =
            self.champion.decide(&history, self.horizon, self.seed).map_err(failed)?;
        let next = first_day + values.len() as i32;
        let ahead: Vec<i32> = (next..next + self.horizon as i32).collect();
        let parts = self.seasons.fit(&history).map_err(failed)?.components(&ahead);
        let day = |at: usize| {
            let three = |q: &forecast::Quantiles| [q.p10, q.p50, q.p90];
            let part = &parts[at];
            DayAhead {
                quantiles: three(&forecast.days[at]),
                totals: three(&forecast.totals[at]),
                components: Some([
                    part.trend,
                    part.weekly,
                    part.monthly,
                    part.yearly,
                    part.holidays,
                ]),
            }
        };
        let said = forecast.days.len().min(forecast.totals.len()).min(parts.len());
        Ok(Ahead {
            days: (0..said).map(day).collect(),
            chosen: choice.champion.to_owned(),
            candidates: choice
                .errors
                .into_iter()
                .map(|(name, error)| (name.to_owned(), error))
                .collect(),
        })
    }
}
