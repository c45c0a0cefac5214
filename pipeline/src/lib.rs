//! Sources, sinks, checkpoints, configuration and the cloudops binary.
