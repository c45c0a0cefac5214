//! Has the input distribution moved?
