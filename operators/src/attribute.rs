//! Which channel, when: rows that sum to the score.
