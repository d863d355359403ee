//! Building and pulling (to come).
