//! `float64` and `int64`: a few cases of every other group, called by that group's table.

use super::Run;

/// The tables of the other groups hold the lines.
pub(super) const TABLE: &[(&str, Run)] = &[];
