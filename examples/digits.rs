//! Trains a convolutional network on handwritten digits, saves its weights, and reloads them into a fresh model.
//!
//!     cargo run --release --example digits -- [--device cpu|gpu|software] [--epochs N] [--batch-size N] [--seed N]
//!
//! Downloads nothing: the 1797 images of 8×8 pixels come with the crate. Trains for 5 to 10 seconds on two CPU cores and ends
//! with a line like `test accuracy 0.9806`, on the last 360 images, which it was not trained on (0.978 to 0.989 by seed).

use std::error::Error;
use std::process::ExitCode;

use kiln::nn::layers::{GlobalAveragePooling2D, ReLU};
use kiln::nn::schedules::CosineDecay;
use kiln::prelude::*;

const USAGE: &str = "usage: digits [--device cpu|gpu|software] [--epochs N] [--batch-size N] [--seed N]";

struct Options {
    device: Option<String>,
    epochs: usize,
    batch_size: usize,
    seed: u64,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options { device: None, epochs: 20, batch_size: 32, seed: 1 };
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

/// Three normalized convolutions, the first two at full resolution, their features averaged over the image, and a dense
/// layer that gives a score for each digit.
fn network(seed: u64) -> Sequential {
    let convolution = |filters| Conv2D::new(filters, 3).padding(Padding::Same).use_bias(false);
    let normalization = || BatchNormalization::new().momentum(0.9);
    Sequential::new()
        .seed(seed)
        .add(Input::new([8, 8, 1]))
        .add(convolution(32))
        .add(normalization())
        .add(ReLU::new())
        .add(convolution(64))
        .add(normalization())
        .add(ReLU::new())
        .add(MaxPooling2D::new(2))
        .add(Dropout::new(0.3))
        .add(convolution(64))
        .add(normalization())
        .add(ReLU::new())
        .add(GlobalAveragePooling2D::new())
        .add(Dropout::new(0.3))
        .add(Dense::new(10))
}

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

    let ((x_train, y_train), (x_test, y_test)) = datasets::digits::load();
    let mut model = network(options.seed);
    println!("{}", model.summary());

    let loss = SparseCategoricalCrossentropy::new().from_logits(true);
    let steps = options.epochs * y_train.len().div_ceil(options.batch_size);
    let optimizer = Adam::new().learning_rate(CosineDecay::new(3e-3, steps));
    model.compile(Compile::new(optimizer, loss).metric("accuracy"))?;
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
