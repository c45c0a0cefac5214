//! Features of a window of sensor rows: statistics and spectral bands of each channel.
//!
//! Input: a window batch whose `window` column holds the values, time-major.
//! Output: the same batch with `features` appended, statistic-major: element
//! `s · channels + c` is statistic `s` of channel `c`. Everything is summed as
//! `f64` in the order of the steps, without fused operations, so the bits
//! depend on the window's values alone; only the result is rounded to `f32`.
//!
//! Channels are worked on eight abreast, which is what vectorises: the code is
//! plain arithmetic on arrays of eight, the same on every processor.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float32Type, Schema};
use serde::{Deserialize, Serialize};

use super::spectrum::{LANES, Lanes, Spectrum};
use crate::schema::result::{FEATURES, WINDOW};
use crate::schema::{column, mismatch, vector_array, vectors};
use crate::{Error, Result};

/// What is computed of each channel of a window of `n` values `x`.
///
/// In TOML: `["mean", "std", { quantile = 0.95 }, { band-energy = 4 }]`. None is ever NaN or
/// infinite for finite values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// The arithmetic mean.
    Mean,
    /// The population standard deviation (divided by `n`); two passes, so 0 for a constant.
    Std,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The slope of the least-squares line against the step number; 0 for a single row.
    Slope,
    /// The root of the mean square.
    Rms,
    /// The greatest absolute value over the root mean square; 0 where all values are 0.
    CrestFactor,
    /// The fourth central moment over the squared variance (Pearson's, 3 for a normal
    /// distribution); 0 for a constant.
    Kurtosis,
    /// A quantile in `[0, 1]`, linearly interpolated between order statistics.
    Quantile(f64),
    /// The energies of this many equal frequency bands, one feature each, lowest first: the parts
    /// of the variance (they sum to it). Costs `n²` operations a channel.
    BandEnergy(usize),
}

/// The most bands: beyond that they would be single frequencies of any sensible window.
const BANDS_MAX: usize = 64;

impl Statistic {
    /// Features a channel.
    #[must_use]
    pub fn width(self) -> usize {
        match self {
            Self::BandEnergy(bands) => bands,
            _ => 1,
        }
    }

    /// Its features' names for a channel.
    fn names(self, channel: &str) -> Vec<String> {
        let plain = |name: &str| vec![format!("{name}({channel})")];
        match self {
            Self::Mean => plain("mean"),
            Self::Std => plain("std"),
            Self::Min => plain("min"),
            Self::Max => plain("max"),
            Self::Slope => plain("slope"),
            Self::Rms => plain("rms"),
            Self::CrestFactor => plain("crest-factor"),
            Self::Kurtosis => plain("kurtosis"),
            Self::Quantile(q) => vec![format!("quantile({channel}, {q})")],
            Self::BandEnergy(bands) => {
                (1..=bands).map(|band| format!("band-energy({channel}, {band}/{bands})")).collect()
            }
        }
    }

    fn validate(self) -> Result<()> {
        match self {
            Self::Quantile(q) if !(0.0..=1.0).contains(&q) => {
                Err(Error::Configuration(format!("features: quantile = {q} is not within 0 and 1")))
            }
            Self::BandEnergy(bands) if !(1..=BANDS_MAX).contains(&bands) => {
                Err(Error::Configuration(format!(
                    "features: band-energy = {bands} must be from 1 to {BANDS_MAX}"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// The operator: computes the same statistics of every channel.
#[derive(Debug, Clone)]
pub struct Features {
    statistics: Vec<Statistic>,
    channels: usize,
    needs: Needs,
}

/// Which passes over a window the statistics ask for, besides the first.
#[derive(Debug, Clone, Copy, Default)]
struct Needs {
    deviations: bool,
    sorted: bool,
    bands: bool,
}

impl Features {
    /// An operator for windows of so many channels.
    ///
    /// # Errors
    /// [`Error::Configuration`] when there is no statistic or channel, or a parameter is out of
    /// its range.
    pub fn new(statistics: Vec<Statistic>, channels: usize) -> Result<Self> {
        if statistics.is_empty() || channels == 0 {
            return Err(Error::Configuration(
                "features: name at least one statistic and one channel".to_owned(),
            ));
        }
        let mut needs = Needs::default();
        for statistic in &statistics {
            statistic.validate()?;
            match statistic {
                Statistic::Std | Statistic::Kurtosis => needs.deviations = true,
                Statistic::BandEnergy(_) => (needs.deviations, needs.bands) = (true, true),
                Statistic::Quantile(_) => needs.sorted = true,
                Statistic::Mean
                | Statistic::Min
                | Statistic::Max
                | Statistic::Slope
                | Statistic::Rms
                | Statistic::CrestFactor => {}
            }
        }
        Ok(Self { statistics, channels, needs })
    }

    /// Features of a window.
    #[must_use]
    pub fn width(&self) -> usize {
        self.statistics.iter().map(|statistic| statistic.width()).sum::<usize>() * self.channels
    }

    /// The features' names in their order, like `mean(ch_00)`, for as many channels as promised.
    #[must_use]
    pub fn names(&self, channels: &[String]) -> Vec<String> {
        let mut names = Vec::with_capacity(self.width());
        for statistic in &self.statistics {
            let of_channels: Vec<_> = channels.iter().map(|name| statistic.names(name)).collect();
            for part in 0..statistic.width() {
                names.extend(of_channels.iter().map(|names| names[part].clone()));
            }
        }
        names
    }

    /// Appends the `features` column, a vector, to a window batch. A `window` column of windows
    /// of varying length is taken away: what comes after reads features only.
    ///
    /// # Errors
    /// [`Error::Column`] when `window` is missing or holds something other than whole rows of the
    /// channels.
    pub fn append(&self, windows: &RecordBatch) -> Result<RecordBatch> {
        let array = column(windows, WINDOW)?;
        let mut features = vec![0.0; windows.num_rows() * self.width()];
        let mut kernel = Kernel::new(self);
        let mut rows = features.chunks_exact_mut(self.width());
        let varying = matches!(array.data_type(), DataType::List(_));
        if varying {
            let (values, bounds) = lists(array)?;
            for (bounds, out) in bounds.windows(2).zip(&mut rows) {
                kernel.compute(&values[bounds[0] as usize..bounds[1] as usize], out)?;
            }
        } else {
            let (values, width) = vectors(windows, WINDOW)?;
            for (window, out) in values.chunks_exact(width.max(1)).zip(&mut rows) {
                kernel.compute(window, out)?;
            }
        }
        let array = vector_array(self.width(), features);
        let mut fields: Vec<_> = windows.schema_ref().fields().iter().cloned().collect();
        let mut columns = windows.columns().to_vec();
        if varying {
            let place = windows.schema_ref().index_of(WINDOW)?;
            fields.remove(place);
            columns.remove(place);
        }
        fields.push(Arc::new(Field::new(FEATURES, array.data_type().clone(), false)));
        columns.push(Arc::new(array));
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }
}

/// A list column's values and the bounds of its rows among them.
fn lists(array: &dyn Array) -> Result<(&[f32], &[i32])> {
    let list = array.as_list_opt::<i32>();
    let values = list.and_then(|list| list.values().as_primitive_opt::<Float32Type>());
    match (list, values) {
        (Some(list), Some(values)) => Ok((values.values(), list.value_offsets())),
        _ => Err(mismatch(WINDOW, "a list of f32", array)),
    }
}

/// What the computation of windows, one after the other, needs.
#[derive(Debug)]
struct Kernel<'a> {
    features: &'a Features,
    /// The window's values of the channels at hand.
    values: Vec<[f32; LANES]>,
    /// The same less their means.
    deviations: Vec<Lanes>,
    /// The same in ascending order, each channel for itself.
    sorted: Vec<[f32; LANES]>,
    /// Sorts windows of the length that stands before it.
    network: (usize, Vec<(usize, usize)>),
    /// Made for the last window's length.
    spectrum: Option<Spectrum>,
}

impl<'a> Kernel<'a> {
    fn new(features: &'a Features) -> Self {
        Self {
            features,
            values: Vec::new(),
            deviations: Vec::new(),
            sorted: Vec::new(),
            network: (0, Vec::new()),
            spectrum: None,
        }
    }

    /// The features of one window.
    fn compute(&mut self, window: &[f32], out: &mut [f32]) -> Result<()> {
        let channels = self.features.channels;
        if window.is_empty() || !window.len().is_multiple_of(channels) {
            return Err(Error::Column {
                column: WINDOW.to_owned(),
                expected: format!("whole rows of {channels} channels"),
                found: format!("{} values", window.len()),
            });
        }
        for from in (0..channels).step_by(LANES) {
            self.take(window, from);
            self.channels(from, out);
        }
        Ok(())
    }

    /// Takes [`LANES`] channels out of the window. Lanes beyond the last channel hold whatever
    /// follows in memory, or zeros; their results are not used.
    fn take(&mut self, window: &[f32], from: usize) {
        let channels = self.features.channels;
        self.values.resize(window.len() / channels, [0.0; LANES]);
        for (step, lanes) in self.values.iter_mut().enumerate() {
            let at = step * channels + from;
            match window.get(at..at + LANES) {
                Some(values) => lanes.copy_from_slice(values),
                None => {
                    *lanes = [0.0; LANES];
                    let last = &window[at..(step + 1) * channels];
                    lanes[..last.len()].copy_from_slice(last);
                }
            }
        }
    }

    /// The features of the channels taken.
    fn channels(&mut self, from: usize, out: &mut [f32]) {
        let (steps, needs) = (self.values.len(), self.features.needs);
        let n = steps as f64;
        let sums = Sums::of(&self.values);
        let mean = sums.sum.map(|sum| sum / n);
        let rms = sums.squares.map(|squares| (squares / n).sqrt());
        let central = if needs.deviations {
            deviate(&self.values, &mean, &mut self.deviations)
        } else {
            Central::default()
        };
        if needs.sorted {
            self.sorted.clone_from(&self.values);
            if self.network.0 != steps && steps <= NETWORK_MAX {
                self.network = (steps, network(steps));
            }
            sort(&mut self.sorted, &self.network.1);
        }
        if needs.bands && self.spectrum.as_ref().is_none_or(|made| made.steps() != steps) {
            self.spectrum = Some(Spectrum::new(steps));
        }
        let mut write = Write { channels: self.features.channels, from, next: 0, out };
        for statistic in &self.features.statistics {
            match *statistic {
                Statistic::Mean => write.put(&mean),
                Statistic::Std => write.put(&central.second.map(|sum| (sum / n).sqrt())),
                Statistic::Min => write.put(&sums.min.map(f64::from)),
                Statistic::Max => write.put(&sums.max.map(f64::from)),
                Statistic::Slope => {
                    let spread = n * (n * n - 1.0) / 12.0;
                    write.put(&sums.slope.map(|sum| ratio(sum, spread)));
                }
                Statistic::Rms => write.put(&rms),
                Statistic::CrestFactor => {
                    let peak = |lane: usize| sums.max[lane].abs().max(sums.min[lane].abs());
                    write.put(&lanes(|lane| ratio(peak(lane).into(), rms[lane])));
                }
                Statistic::Kurtosis => write.put(&lanes(|lane| {
                    let (second, fourth) = (central.second[lane], central.fourth[lane]);
                    ratio(n * fourth, second * second)
                })),
                Statistic::Quantile(q) => write.put(&quantile(&self.sorted, q)),
                Statistic::BandEnergy(bands) => {
                    if let Some(spectrum) = &mut self.spectrum {
                        let mut energies = [[0.0; LANES]; BANDS_MAX];
                        let energies = &mut energies[..bands];
                        spectrum.bands(&self.deviations, energies);
                        energies.iter().for_each(|energy| write.put(energy));
                    }
                }
            }
        }
    }
}

/// Writes statistics of the channels at hand, one after the other.
struct Write<'a> {
    channels: usize,
    from: usize,
    next: usize,
    out: &'a mut [f32],
}

impl Write<'_> {
    #[inline]
    fn put(&mut self, values: &Lanes) {
        let at = self.next * self.channels;
        let out = &mut self.out[at + self.from..at + self.channels];
        for (out, value) in out.iter_mut().zip(values) {
            // The energy of values near the greatest f32 is beyond it.
            *out = (*value as f32).clamp(f32::MIN, f32::MAX);
        }
        self.next += 1;
    }
}

/// The sums of the first pass.
struct Sums {
    sum: Lanes,
    squares: Lanes,
    /// Of the values times their steps, counted from the middle.
    slope: Lanes,
    min: [f32; LANES],
    max: [f32; LANES],
}

impl Sums {
    #[inline]
    fn of(values: &[[f32; LANES]]) -> Self {
        let mut sums = Self {
            sum: [0.0; LANES],
            squares: [0.0; LANES],
            slope: [0.0; LANES],
            min: values[0],
            max: values[0],
        };
        // Half the lanes at a time, so that all sums stay in the registers of any processor.
        for from in [0, HALF] {
            let half = from..from + HALF;
            let [mut sum, mut squares, mut slope] = [[0.0; HALF]; 3];
            let (mut min, mut max) = ([f32::MAX; HALF], [f32::MIN; HALF]);
            let mut step = -(values.len() as f64 - 1.0) / 2.0;
            for row in values {
                let row = &row[half.clone()];
                for lane in 0..HALF {
                    let x = f64::from(row[lane]);
                    sum[lane] += x;
                    squares[lane] += x * x;
                    slope[lane] += x * step;
                    min[lane] = if row[lane] < min[lane] { row[lane] } else { min[lane] };
                    max[lane] = if row[lane] > max[lane] { row[lane] } else { max[lane] };
                }
                step += 1.0;
            }
            sums.sum[half.clone()].copy_from_slice(&sum);
            sums.squares[half.clone()].copy_from_slice(&squares);
            sums.slope[half.clone()].copy_from_slice(&slope);
            sums.min[half.clone()].copy_from_slice(&min);
            sums.max[half].copy_from_slice(&max);
        }
        sums
    }
}

/// Half of [`LANES`].
const HALF: usize = LANES / 2;

/// Sums of the second pass: of the second and fourth powers of deviations from the mean.
#[derive(Debug, Default)]
struct Central {
    second: Lanes,
    fourth: Lanes,
}

#[inline]
fn deviate(values: &[[f32; LANES]], mean: &Lanes, deviations: &mut Vec<Lanes>) -> Central {
    let (mut second, mut fourth) = ([0.0; LANES], [0.0; LANES]);
    deviations.resize(values.len(), [0.0; LANES]);
    for (row, deviation) in values.iter().zip(deviations) {
        for lane in 0..LANES {
            let d = f64::from(row[lane]) - mean[lane];
            let square = d * d;
            deviation[lane] = d;
            second[lane] += square;
            fourth[lane] += square * square;
        }
    }
    Central { second, fourth }
}

/// Windows up to this long are sorted by a network, which vectorises but needs `n log² n` steps.
const NETWORK_MAX: usize = 128;

/// Which pairs to put in order, one after the other, to sort `n` values: Batcher's odd–even merge
/// exchange (Knuth, volume 3, 5.2.2 M).
fn network(n: usize) -> Vec<(usize, usize)> {
    let top = n.next_power_of_two() / 2;
    let mut pairs = Vec::new();
    let mut p = top;
    while p > 0 {
        let (mut q, mut r, mut d) = (top, 0, p);
        loop {
            pairs.extend((0..n - d).filter(|i| i & p == r).map(|i| (i, i + d)));
            if q == p {
                break;
            }
            (d, q, r) = (q - p, q / 2, p);
        }
        p /= 2;
    }
    pairs
}

/// Sorts each channel for itself, by the network if there is one.
fn sort(values: &mut [[f32; LANES]], network: &[(usize, usize)]) {
    if values.len() > NETWORK_MAX {
        let mut channel = Vec::with_capacity(values.len());
        for lane in 0..LANES {
            channel.clear();
            channel.extend(values.iter().map(|row| row[lane]));
            channel.sort_unstable_by(f32::total_cmp);
            values.iter_mut().zip(&channel).for_each(|(row, value)| row[lane] = *value);
        }
        return;
    }
    for &(low, high) in network {
        let (a, b) = (values[low], values[high]);
        let (mut least, mut greatest) = (a, b);
        for lane in 0..LANES {
            least[lane] = if b[lane] < a[lane] { b[lane] } else { a[lane] };
            greatest[lane] = if b[lane] < a[lane] { a[lane] } else { b[lane] };
        }
        values[low] = least;
        values[high] = greatest;
    }
}

fn quantile(sorted: &[[f32; LANES]], q: f64) -> Lanes {
    let at = q * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let part = at - below as f64;
    lanes(|lane| {
        let (a, b) = (f64::from(sorted[below][lane]), f64::from(sorted[above][lane]));
        a + (b - a) * part
    })
}

#[inline]
fn lanes(of: impl Fn(usize) -> f64) -> Lanes {
    std::array::from_fn(of)
}

/// A quotient that is 0 where it is not defined.
#[inline]
fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Float32Array, ListArray};
    use arrow::buffer::OffsetBuffer;

    use super::*;

    fn all() -> Vec<Statistic> {
        vec![
            Statistic::Mean,
            Statistic::Std,
            Statistic::Min,
            Statistic::Max,
            Statistic::Slope,
            Statistic::Rms,
            Statistic::CrestFactor,
            Statistic::Kurtosis,
            Statistic::Quantile(0.1),
            Statistic::Quantile(0.95),
            Statistic::BandEnergy(4),
        ]
    }

    /// Features of windows of equal length, by way of a batch.
    fn features(statistics: Vec<Statistic>, channels: usize, windows: &[Vec<f32>]) -> Vec<f32> {
        let array = vector_array(windows[0].len(), windows.concat());
        let batch = RecordBatch::try_from_iter([(WINDOW, Arc::new(array) as ArrayRef)]).unwrap();
        let batch = Features::new(statistics, channels).unwrap().append(&batch).unwrap();
        vectors(&batch, FEATURES).unwrap().0.to_vec()
    }

    #[test]
    fn features_agree_with_numpy_and_scipy() {
        for line in include_str!("../../tests/golden/sensor_features.csv").lines() {
            let parts: Vec<&str> = line.split(';').collect();
            let numbers = |part: &str| -> Vec<f32> {
                part.split(' ').map(|number| number.parse().unwrap()).collect()
            };
            let (steps, channels) = (parts[0].parse::<usize>().unwrap(), parts[1].parse().unwrap());
            let window = numbers(parts[2]);
            assert_eq!(window.len(), steps * channels);
            let wanted = numbers(parts[3]);
            let found = features(all(), channels, &[window]);
            assert_eq!(found.len(), wanted.len());
            let names = Features::new(all(), channels).unwrap();
            let names =
                names.names(&(0..channels).map(|c| format!("ch_{c:02}")).collect::<Vec<_>>());
            for ((name, found), wanted) in names.iter().zip(&found).zip(&wanted) {
                // A constant's slope and energies are noise around 0 over there.
                let near = (found - wanted).abs() <= 1e-6 * wanted.abs() + 1e-12;
                assert!(near, "{name} of {steps} × {channels}: {found}, wanted {wanted}");
            }
        }
    }

    #[test]
    fn names_are_in_the_order_of_the_values() {
        let features = Features::new(vec![Statistic::Mean, Statistic::BandEnergy(2)], 2).unwrap();
        let channels = ["a".to_owned(), "b".to_owned()];
        assert_eq!(
            features.names(&channels),
            [
                "mean(a)",
                "mean(b)",
                "band-energy(a, 1/2)",
                "band-energy(b, 1/2)",
                "band-energy(a, 2/2)",
                "band-energy(b, 2/2)",
            ]
        );
        assert_eq!(features.width(), 6);
    }

    #[test]
    fn extremes_stay_finite() {
        for value in [0.0, -0.0, 1e-45, 3e38, f32::MAX, f32::MIN] {
            let steps =
                |flip: f32| (0..30).map(move |t| if t % 2 == 0 { value } else { value * flip });
            for window in [steps(1.0), steps(-1.0)].map(Iterator::collect::<Vec<_>>) {
                let found = features(all(), 1, &[window]);
                assert!(found.iter().all(|feature| feature.is_finite()), "{value}: {found:?}");
            }
        }
    }

    #[test]
    fn windows_of_varying_length_give_the_same_and_lose_their_column() {
        let windows: Vec<Vec<f32>> = [4_usize, 1, 9, 9]
            .iter()
            .map(|&steps| (0..steps * 3).map(|i| ((i * i) % 17) as f32).collect())
            .collect();
        let list = ListArray::new(
            Arc::new(Field::new("item", DataType::Float32, false)),
            OffsetBuffer::from_lengths(windows.iter().map(Vec::len)),
            Arc::new(Float32Array::from(windows.concat())),
            None,
        );
        let batch = RecordBatch::try_from_iter([(WINDOW, Arc::new(list) as ArrayRef)]).unwrap();
        let operator = Features::new(all(), 3).unwrap();
        for from in 0..4 {
            let found = operator.append(&batch.slice(from, 4 - from)).unwrap();
            assert!(found.column_by_name(WINDOW).is_none());
            let wanted: Vec<f32> = windows[from..]
                .iter()
                .flat_map(|window| features(all(), 3, std::slice::from_ref(window)))
                .collect();
            assert_eq!(vectors(&found, FEATURES).unwrap().0, wanted);
        }
    }

    #[test]
    fn what_cannot_be_computed_is_refused() {
        let refused = |statistics, channels, reason: &str| {
            let error = Features::new(statistics, channels).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        refused(vec![], 3, "at least one statistic");
        refused(vec![Statistic::Mean], 0, "one channel");
        refused(vec![Statistic::Quantile(f64::NAN)], 3, "quantile = NaN");
        refused(vec![Statistic::BandEnergy(0)], 3, "band-energy = 0");

        let array = vector_array(7, vec![0.0; 7]);
        let batch = RecordBatch::try_from_iter([(WINDOW, Arc::new(array) as ArrayRef)]).unwrap();
        let error = Features::new(all(), 3).unwrap().append(&batch).unwrap_err();
        assert!(error.to_string().contains("whole rows of 3 channels"), "{error}");
    }
}
