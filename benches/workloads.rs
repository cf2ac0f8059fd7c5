//! Times Kiln on the workloads that its peers' scripts time, one JSON object a line.
//!
//! `cargo bench --bench workloads -- [--device cpu|gpu|software] [--only PREFIX …] [--seconds S] [--explain]`
//!
//! `ms` is the median time of one call with data on the device and no read-back inside the timed region; `first_ms` the
//! first call, trace and compile included. Every workload is first checked at a small size against the reference
//! interpreter.

use std::time::Instant;

use kiln::prelude::*;
use serde_json::{Map, json};

mod support;

use support::{Options, random};

type Body = Box<dyn Fn(&[Tensor]) -> kiln::graph::Result<Vec<Tensor>> + Send + Sync>;

/// Arguments at a size; `true` is the size that is timed, `false` a small one that is checked.
type Arguments = Box<dyn Fn(bool) -> Vec<Tensor>>;

struct Workload {
    name: String,
    arguments: Arguments,
    body: fn() -> Body,
    /// Bytes that must move, or floating-point operations that must be done, per call.
    work: Work,
}

enum Work {
    Bytes(f64),
    Flops(f64),
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse()?;
    let device = match &options.device {
        Some(name) => Device::open(name)?,
        None => Device::auto()?,
    };
    kiln::graph::set_default_device(&device);
    let gpu = device.info().kind == DeviceKind::Gpu;
    let doubles: Vec<Workload> = if device.supports(DType::F64) {
        operations(gpu).into_iter().map(in_doubles).collect()
    } else {
        vec![]
    };
    for workload in operations(gpu).into_iter().chain(doubles) {
        if options.wants(&workload.name) {
            workload.check()?;
            workload.time(&device, &options)?;
        }
    }
    support::training::run(&device, &options)?;
    support::lengths::run(&device, &options)?;
    support::indices::run(&device, &options)
}

fn operations(gpu: bool) -> Vec<Workload> {
    let many: usize = if gpu { 1 << 28 } else { 1 << 24 };
    let (rows, columns) = if gpu { (32768, 4096) } else { (4096, 1024) };
    let sized = move |large: bool| if large { [rows, columns] } else { [6, 37] };
    let elements = (rows * columns) as f64;
    let mut all = vec![
        Workload {
            name: "elementwise_chain".into(),
            arguments: Box::new(move |large| vec![random(&[if large { many } else { 1000 }], 1)]),
            body: || Box::new(|x| Ok(vec![(&x[0] * 1.5 + 1.0).tanh() * &x[0] - 0.5])),
            work: Work::Bytes(8.0 * many as f64),
        },
        Workload {
            name: "softmax".into(),
            arguments: Box::new(move |large| vec![random(&sized(large), 2)]),
            body: || Box::new(|x| Ok(vec![x[0].softmax(-1)])),
            work: Work::Bytes(8.0 * elements),
        },
        Workload {
            name: "layernorm".into(),
            arguments: Box::new(move |large| {
                let [rows, columns] = sized(large);
                vec![random(&[rows, columns], 3), random(&[columns], 4), random(&[columns], 5)]
            }),
            body: || Box::new(|x| Ok(vec![x[0].normalize_moments(-1, 1e-5) * &x[1] + &x[2]])),
            work: Work::Bytes(8.0 * elements),
        },
        Workload {
            name: "sum_all".into(),
            arguments: Box::new(move |large| vec![random(&sized(large), 6)]),
            body: || Box::new(|x| Ok(vec![x[0].sum(())])),
            work: Work::Bytes(4.0 * elements),
        },
        Workload {
            name: "sum_columns".into(),
            arguments: Box::new(move |large| vec![random(&sized(large), 7)]),
            body: || Box::new(|x| Ok(vec![x[0].sum(0)])),
            work: Work::Bytes(4.0 * elements),
        },
    ];
    for n in if gpu { [1024, 4096, 8192] } else { [256, 512, 1024] } {
        all.push(Workload {
            name: format!("matmul_f32_{n}"),
            arguments: Box::new(move |large| {
                let n = if large { n } else { 33 };
                vec![random(&[n, n], 8), random(&[n, n], 9)]
            }),
            body: || Box::new(|x| Ok(vec![x[0].matmul(&x[1])])),
            work: Work::Flops(2.0 * (n as f64).powi(3)),
        });
    }
    let (n, extent, inputs, filters) = if gpu { (64, 56, 128, 128) } else { (8, 28, 64, 64) };
    all.push(Workload {
        name: "conv3x3_f32".into(),
        arguments: Box::new(move |large| match large {
            true => vec![random(&[n, extent, extent, inputs], 10), random(&[3, 3, inputs, filters], 11)],
            false => vec![random(&[2, 7, 6, 5], 10), random(&[3, 3, 5, 4], 11)],
        }),
        body: || Box::new(|x| Ok(vec![x[0].conv(&x[1], &[1, 1], Padding::Same, &[1, 1], 1)])),
        work: Work::Flops((2 * n * extent * extent * filters * inputs * 9) as f64),
    });
    all
}

/// The workload in `float64`.
fn in_doubles(workload: Workload) -> Workload {
    let single = workload.arguments;
    let double = move |large| single(large).iter().map(|x| x.cast(DType::F64)).collect();
    Workload {
        name: format!("f64_{}", workload.name.replace("_f32", "")),
        arguments: Box::new(double),
        body: workload.body,
        work: match workload.work {
            Work::Bytes(bytes) => Work::Bytes(2.0 * bytes),
            Work::Flops(flops) => Work::Flops(flops),
        },
    }
}

impl Workload {
    /// The same computation at a small size against the interpreter.
    fn check(&self) -> Result<(), Box<dyn std::error::Error>> {
        let arguments = (self.arguments)(false);
        let outputs = (self.body)()(&arguments)?;
        let expected = kiln::graph::interpret::interpret_tensors(&outputs)?;
        for (output, expected) in outputs.iter().zip(expected) {
            let largest = expected.iter().fold(1.0f64, |m, x| m.max(x.abs()));
            for (got, want) in output.cast(DType::F32).to_vec::<f32>()?.iter().zip(&expected) {
                if (*got as f64 - want).abs() > 2e-5 * largest {
                    return Err(format!("{}: {got} is not {want}", self.name).into());
                }
            }
        }
        Ok(())
    }

    fn time(&self, device: &Device, options: &Options) -> Result<(), Box<dyn std::error::Error>> {
        let arguments = (self.arguments)(true);
        Tensor::eval_all(&arguments)?;
        device.synchronize()?;
        let function = Function::new(self.name.as_str(), (self.body)());
        let start = Instant::now();
        function.call(&arguments)?;
        device.synchronize()?;
        let first = start.elapsed().as_secs_f64() * 1e3;
        let ms = support::median_ms(
            options.seconds,
            || {
                function.call(&arguments)?;
                Ok(())
            },
            || Ok(device.synchronize()?),
        )?;
        let report = function.explain(&arguments)?;
        let mut extra = Map::new();
        match self.work {
            Work::Bytes(bytes) => extra.insert("gbs".into(), json!(support::rounded(bytes / ms / 1e6))),
            Work::Flops(flops) => extra.insert("tflops".into(), json!(support::rounded(flops / ms / 1e9))),
        };
        extra.insert("kernels".into(), json!(report.kernels.len()));
        extra.insert(
            "peak_mib".into(),
            json!(support::rounded(report.peak_bytes() as f64 / (1 << 20) as f64)),
        );
        support::emit(device, &self.name, ms, first, extra);
        Ok(())
    }
}
