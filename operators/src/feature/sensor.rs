//! Features of a window of sensor rows: statistics and spectral bands.
