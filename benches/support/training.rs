//! Training steps.

use super::{Options, Outcome};
use kiln::prelude::*;

pub fn run(_device: &Device, _options: &Options) -> Outcome<()> {
    Ok(())
}
