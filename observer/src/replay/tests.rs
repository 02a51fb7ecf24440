//! A recording is served as it was.
