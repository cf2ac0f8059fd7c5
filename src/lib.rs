//! Kiln: trace once, compile the whole training step, run it anywhere.

pub use kiln_graph as graph;
pub use kiln_nn as nn;

/// What most programs use.
pub mod prelude {
    pub use kiln_graph::{
        Axes, DType, Device, DeviceKind, Function, Padding, Tensor, Variable, gradients, with_device,
    };
}
