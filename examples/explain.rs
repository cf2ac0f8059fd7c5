//! Prints the kernels of a whole training step, with the time of each.
//!
//!     cargo run --release --example explain -- [cpu|gpu|software]
//!
//! A two-layer perceptron with cross-entropy and Adam is 10 kernels.

use std::error::Error;
use std::process::ExitCode;

use kiln::prelude::*;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    if let Some(name) = std::env::args().nth(1) {
        set_default_device(&Device::open(&name)?);
    }
    let model =
        Sequential::new().add(Input::new([784])).add(Dense::new(128).activation(relu)).add(Dense::new(10));
    let variables = model.variables();
    let mut optimizer = Adam::new();
    optimizer.build(&variables)?;
    let loss = SparseCategoricalCrossentropy::new().from_logits(true);

    let step = Function::new("step", move |batch| {
        let loss = loss.reduced(&batch[1], &model.call(&batch[0], &Context::training()), None);
        let weights: Vec<Tensor> = variables.iter().map(Variable::read).collect();
        optimizer.apply(&gradients(&loss, &weights)?, &variables)?;
        Ok(vec![loss])
    });

    let labels: Vec<i32> = (0..64).map(|i| i % 10).collect();
    let batch = [Tensor::zeros(&[64, 784]), Tensor::from_slice(&labels)];
    step.call(&batch)?;
    println!("{}", step.profile(&batch)?);
    Ok(())
}
