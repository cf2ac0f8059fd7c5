//! What the benchmarks share: options, clock, output.

use std::time::Instant;

use kiln::prelude::*;
use serde_json::{Map, Value, json};

pub(crate) mod gpt;
pub(crate) mod indices;
pub(crate) mod lengths;
pub(crate) mod training;

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The command line.
pub(crate) struct Options {
    pub(crate) device: Option<String>,
    pub(crate) only: Vec<String>,
    pub(crate) seconds: f64,
    /// Print what each training step does, with times.
    pub(crate) explain: bool,
}

impl Options {
    pub(crate) fn parse() -> Outcome<Options> {
        let mut options = Options { device: None, only: vec![], seconds: 0.6, explain: false };
        let mut words = std::env::args().skip(1).peekable();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--device" => options.device = Some(words.next().ok_or("--device needs a name")?),
                "--seconds" => options.seconds = words.next().ok_or("--seconds needs a number")?.parse()?,
                "--explain" => options.explain = true,
                "--only" => {
                    while let Some(prefix) = words.next_if(|w| !w.starts_with("--")) {
                        options.only.push(prefix);
                    }
                }
                // What cargo adds by itself.
                "--bench" => {}
                other => {
                    return Err(format!(
                        "expected --device, --only, --seconds or --explain, received {other}"
                    )
                    .into());
                }
            }
        }
        Ok(options)
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// Standard normal values, the same in every run.
pub(crate) fn random(shape: &[usize], stream: u64) -> Tensor {
    Tensor::random_normal(&Tensor::from_slice(&kiln::graph::random_key(0, stream)), shape)
}

/// Median time of a call in milliseconds; `wait` ends a batch of calls.
pub(crate) fn median_ms(
    seconds: f64,
    call: impl Fn() -> Outcome<()>,
    wait: impl Fn() -> Outcome<()>,
) -> Outcome<f64> {
    for _ in 0..3 {
        call()?;
    }
    wait()?;
    let start = Instant::now();
    call()?;
    wait()?;
    let one = start.elapsed().as_secs_f64();
    let inner = ((0.05 / one.max(1e-6)) as usize).clamp(1, 200);
    let end = Instant::now() + std::time::Duration::from_secs_f64(seconds);
    let mut times = vec![];
    while Instant::now() < end || times.len() < 5 {
        let start = Instant::now();
        for _ in 0..inner {
            call()?;
        }
        wait()?;
        times.push(start.elapsed().as_secs_f64() / inner as f64 * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// One line of JSON.
pub(crate) fn emit(device: &Device, workload: &str, ms: f64, first_ms: f64, extra: Map<String, Value>) {
    let mut line = Map::new();
    line.insert("peer".into(), json!(concat!("kiln ", env!("CARGO_PKG_VERSION"))));
    line.insert("device".into(), json!(device.to_string()));
    line.insert("workload".into(), json!(workload));
    line.insert("mode".into(), json!("graph"));
    line.insert("ms".into(), json!(rounded(ms)));
    line.insert("first_ms".into(), json!(rounded(first_ms)));
    line.extend(extra);
    println!("{}", Value::Object(line));
}
