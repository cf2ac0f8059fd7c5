//! Kiln: trace once, compile the whole training step, run it anywhere.
//!
//! A deep-learning framework in Rust: tensors, automatic differentiation, functions traced into a static graph, whole
//! training steps compiled and fused, and Keras' layers, models and training loops on top. It runs on Vulkan, Metal and
//! DX12 through wgpu, and on the CPU where there is no GPU.
//!
//! ```
//! use kiln::prelude::*;
//!
//! let ((x, y), (x_test, y_test)) = datasets::digits::load();
//! let mut model = Sequential::new()
//!     .add(Flatten::new())
//!     .add(Dense::new(64).activation(relu))
//!     .add(Dense::new(10));
//! let loss = SparseCategoricalCrossentropy::new().from_logits(true);
//! model.compile(Compile::new(Adam::new(), loss).metric("accuracy"))?;
//! model.fit(&x, &y, Fit::new().epochs(2).verbose(0))?;
//! assert!(model.evaluate(&x_test, &y_test)?["accuracy"] > 0.5);
//! # Ok::<(), kiln::nn::Error>(())
//! ```
//!
//! This crate only gives the parts their names: [`graph`] is tensors, gradients and functions, [`nn`] layers and models,
//! [`prelude`] what most programs use of both; the modules beside them have Keras' names. `docs/from_keras.md` says what
//! things of Keras, TensorFlow and NumPy are called here.
#![forbid(unsafe_code)]

pub use kiln_graph as graph;
pub use kiln_nn as nn;

pub use kiln_graph::{lookup, numpy, ops, queue, ragged, random, s, sets, sparse, text, tree};
pub use kiln_nn::{
    activations, callbacks, constraints, datasets, initializers, layers, losses, metrics, optimizers,
    regularizers, schedules,
};

/// What most programs use.
pub mod prelude {
    pub use kiln_graph::{
        Axes, DType, Device, DeviceKind, Function, HostArray, Padding, RaggedTensor, SavedFunction,
        SparseTensor, StringTensor, Tensor, TensorArray, TensorSpec, TreeFunction, Variable, checkpoint,
        custom_gradient, default_device, gradients, hessian, host_call, hvp, jacobian, jvp, ops, random, s,
        set_default_device, tree, vjp, with_device,
    };
    pub use kiln_nn::activations::{relu, sigmoid, softmax, tanh};
    pub use kiln_nn::callbacks::{Callback, EarlyStopping, ModelCheckpoint};
    pub use kiln_nn::datasets;
    pub use kiln_nn::layers::{
        Activation, AveragePooling2D, BatchNormalization, Conv2D, Dense, Dropout, Embedding, Flatten, Input,
        LayerNormalization, MaxPooling2D, Reshape,
    };
    pub use kiln_nn::losses::{
        BinaryCrossentropy, CategoricalCrossentropy, Loss, MeanSquaredError, SparseCategoricalCrossentropy,
    };
    pub use kiln_nn::metrics::Metric;
    pub use kiln_nn::optimizers::{Adam, AdamW, RmsProp, Sgd};
    pub use kiln_nn::training::{Compile, Evaluate, Fit, Model, Predict};
    pub use kiln_nn::{Context, Layer, Seeds, Sequential};
}

/// The program of the README, so that it is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The snippets of the page for those who know Keras, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../docs/from_keras.md")]
struct FromKeras;
