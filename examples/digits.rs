//! Trains a convolutional network on handwritten digits, saves its weights, and reloads them into a fresh model.
//!
//!     cargo run --release --example digits -- [--device cpu|gpu|software] [--epochs N] [--batch-size N] [--seed N]
//!
//! Downloads nothing: the 1797 images of 8×8 pixels come with the crate. Takes some seconds on two CPU cores and ends with
//! a line like `test accuracy 0.9806` (0.97 or more on the last 360 images, which it was not trained on).

use std::error::Error;

use kiln_graph::{Device, Padding, default_device, set_default_device};
use kiln_nn::activations::relu;
use kiln_nn::datasets::digits;
use kiln_nn::layers::{Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D};
use kiln_nn::losses::SparseCategoricalCrossentropy;
use kiln_nn::optimizers::Adam;
use kiln_nn::training::{Compile, Fit, Model};
use kiln_nn::{Layer, Sequential};

const USAGE: &str = "usage: digits [--device cpu|gpu|software] [--epochs N] [--batch-size N] [--seed N]";

struct Options {
    device: Option<String>,
    epochs: usize,
    batch_size: usize,
    seed: u64,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options { device: None, epochs: 15, batch_size: 32, seed: 1 };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value; {USAGE}"))?;
        match name.as_str() {
            "--device" => options.device = Some(value),
            "--epochs" => options.epochs = value.parse()?,
            "--batch-size" => options.batch_size = value.parse()?,
            "--seed" => options.seed = value.parse()?,
            _ => return Err(format!("unknown option {name}; {USAGE}").into()),
        }
    }
    Ok(options)
}

/// Two convolutions, each halved by a pooling layer, and a dense layer that gives a score for each digit.
fn network(seed: u64) -> Sequential {
    Sequential::new()
        .seed(seed)
        .add(Input::new([8, 8, 1]))
        .add(Conv2D::new(32, 3).padding(Padding::Same).activation(relu))
        .add(MaxPooling2D::new(2))
        .add(Conv2D::new(64, 3).padding(Padding::Same).activation(relu))
        .add(MaxPooling2D::new(2))
        .add(Flatten::new())
        .add(Dropout::new(0.5))
        .add(Dense::new(10))
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let why = match &options.device {
        Some(name) => {
            set_default_device(&Device::open(name)?);
            "by --device"
        }
        None if std::env::var_os("KILN_DEVICE").is_some() => "by KILN_DEVICE",
        None => "chosen automatically: a GPU where there is one, else the CPU",
    };
    println!("device: {} ({why})", default_device()?);

    let ((x_train, y_train), (x_test, y_test)) = digits::load();
    let mut model = network(options.seed);
    println!("{}", model.summary());

    let loss = SparseCategoricalCrossentropy::new().from_logits(true);
    model.compile(Compile::new(Adam::new().learning_rate(2e-3), loss).metric("accuracy"))?;
    let settings = Fit::new().epochs(options.epochs).batch_size(options.batch_size).seed(options.seed);
    model.fit(&x_train, &y_train, settings)?;

    let path = std::env::temp_dir().join("kiln-digits.safetensors");
    model.save_weights(&path)?;
    let mut fresh = network(options.seed + 1);
    fresh.load_weights(&path)?;
    println!(
        "saved {} parameters to {} and loaded them into a fresh model",
        fresh.count_params(),
        path.display()
    );

    // Predictions of the fresh model, counted by hand: what anyone would do with them.
    let best = fresh.predict(&x_test)?.argmax(-1).to_vec::<i32>()?;
    let right = best.iter().zip(y_test.to_vec::<i32>()?).filter(|(found, label)| **found == *label).count();
    println!("test accuracy {:.4}", right as f64 / best.len() as f64);
    Ok(())
}
