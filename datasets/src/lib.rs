//! Readers of real formats, seeded simulators with ground truth, and splits.
