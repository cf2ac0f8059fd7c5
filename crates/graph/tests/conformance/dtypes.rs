//! The operations of the other groups in other types, called by those groups' lines.

use crate::Run;

pub(crate) const TABLE: &[(&str, Run)] = &[];
