//! Scores to verdicts and alerts.
