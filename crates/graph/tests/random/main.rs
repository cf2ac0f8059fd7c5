//! `kiln_graph::random`: distributions against SciPy's (Kolmogorov and Smirnov's test, χ², moments; fixed seeds, level
//! 10⁻³), repeatability, independence, gradients, errors.

#[path = "../support/gpu.rs"]
mod gpu;
#[allow(clippy::approx_constant, clippy::excessive_precision, reason = "numbers of SciPy's")]
mod table;

use kiln_graph::random::{self, Seed, SeedGenerator};
use kiln_graph::{DType, Device, Function, Tensor, gradients, with_device};
use table::{Known, TABLE};

const SAMPLES: usize = 100_000;
/// A normal number is further than this from 0 with probability 10⁻³.
const NORMAL_LIMIT: f64 = 3.290_526_7;
/// √n · sup |Fₙ − F| is larger with probability 10⁻³ (Kolmogorov's distribution).
const KOLMOGOROV_LIMIT: f64 = 1.949_475;

/// Numbers of a distribution of the table.
fn sampled(name: &str, shape: &[usize], seed: impl Into<Seed>) -> Tensor {
    let f32 = DType::F32;
    match name {
        "uniform" => random::uniform(shape, -2.0, 3.0, f32, seed),
        "normal" => random::normal(shape, 1.0, 2.0, f32, seed),
        "truncated_normal" => random::truncated_normal(shape, 0.5, 2.0, f32, seed),
        "exponential" => random::exponential(shape, 1.5, f32, seed),
        "laplace" => random::laplace(shape, -1.0, 0.5, f32, seed),
        "gumbel" => random::gumbel(shape, 0.3, 2.0, f32, seed),
        "gamma_0_1" => random::gamma(shape, 0.1, f32, seed),
        "gamma_1" => random::gamma(shape, 1.0, f32, seed),
        "gamma_2_5" => random::gamma(shape, 2.5, f32, seed),
        "gamma_300" => random::gamma(shape, 300, f32, seed),
        "beta_half" => random::beta(shape, 0.5, 0.5, f32, seed),
        "beta_2_5" => random::beta(shape, 2, 5, f32, seed),
        "beta_tiny" => random::beta(shape, 0.05, 0.1, f32, seed),
        "binomial_10" => random::binomial(shape, 10, 0.3, f32, seed),
        "binomial_100_small" => random::binomial(shape, 100, 0.02, f32, seed),
        "binomial_40" => random::binomial(shape, 40, 0.25, f32, seed),
        "binomial_100" => random::binomial(shape, 100, 0.5, f32, seed),
        "binomial_1000" => random::binomial(shape, 1000, 0.93, f32, seed),
        "binomial_million" => random::binomial(shape, 1_000_000, 0.4, f32, seed),
        "poisson_half" => random::poisson(shape, 0.5, f32, seed),
        "poisson_9" => random::poisson(shape, 9.9, f32, seed),
        "poisson_10" => random::poisson(shape, 10.5, f32, seed),
        "poisson_100" => random::poisson(shape, 100, f32, seed),
        "poisson_million" => random::poisson(shape, 1_000_000, f32, seed),
        "randint" => random::randint(shape, -3, 8, DType::I32, seed).cast(f32),
        "categorical" => {
            let logits = Tensor::from_vec([0.1f32, 0.2, 0.3, 0.4], &[1, 4]).log();
            let count = shape.iter().product();
            random::categorical(&logits, count, DType::I32, seed).squeeze(0).cast(f32)
        }
        other => panic!("no distribution {other}"),
    }
}

fn mean(numbers: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = numbers.len() as f64;
    numbers.sum::<f64>() / count
}

/// What is wrong with samples of a distribution.
fn failures(known: &Known, samples: &[f32]) -> Vec<String> {
    let n = samples.len() as f64;
    let mut found = vec![];
    let mut sorted = samples.to_vec();
    sorted.sort_by(f32::total_cmp);
    let below = |x: f32| sorted.partition_point(|s| *s <= x) as f64 / n;
    // The supremum over the points of the table is at most the one over all numbers.
    let apart = known.points.iter().map(|(x, f)| (below(*x) - f).abs()).fold(0.0, f64::max) * n.sqrt();
    if apart > KOLMOGOROV_LIMIT {
        found.push(format!("{}: √n · sup |Fₙ − F| = {apart}", known.name));
    }
    let mut square = 0.0;
    let (mut before, mut counted) = (0.0, 0.0);
    for (x, f) in known.points.iter().map(|(x, f)| (below(*x), *f)).chain([(1.0, 1.0)]) {
        let (expected, got) = (f - before, x - counted);
        square += n * (got - expected).powi(2) / expected;
        (before, counted) = (f, x);
    }
    if square > known.limit {
        found.push(format!("{}: χ² = {square}, limit {}", known.name, known.limit));
    }
    let wide = |s: &f32| f64::from(*s);
    let average = mean(samples.iter().map(wide));
    let off = (average - known.mean) / (known.variance / n).sqrt();
    if off.abs() > NORMAL_LIMIT {
        found.push(format!("{}: mean {average}, not {} ({off} standard errors)", known.name, known.mean));
    }
    let squares: Vec<f64> = samples.iter().map(|s| (wide(s) - known.mean).powi(2)).collect();
    let variance = mean(squares.iter().copied());
    let error = (mean(squares.iter().map(|s| (s - variance).powi(2))) / n).sqrt();
    let off = (variance - known.variance) / error;
    if off.abs() > NORMAL_LIMIT {
        let (name, expected) = (known.name, known.variance);
        found.push(format!("{name}: variance {variance}, not {expected} ({off} standard errors)"));
    }
    found
}

#[test]
fn distributions_are_those_of_scipy() {
    let cpu = Device::cpu();
    let mut found = vec![];
    for (number, known) in TABLE.iter().enumerate() {
        let samples =
            with_device(&cpu, || sampled(known.name, &[SAMPLES], 1000 + number as u64).to_vec::<f32>());
        found.extend(failures(known, &samples.unwrap()));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_tests_of_distributions_can_fail() {
    let samples = sampled("normal", &[SAMPLES], 1).to_vec::<f32>().unwrap();
    let normal = TABLE.iter().find(|known| known.name == "normal").unwrap();
    assert!(failures(normal, &samples).is_empty());
    let moved: Vec<f32> = samples.iter().map(|x| x + 0.05).collect();
    assert!(failures(normal, &moved).iter().any(|f| f.contains("sup")));
    assert!(failures(normal, &moved).iter().any(|f| f.contains("mean")));
    let wider: Vec<f32> = samples.iter().map(|x| (x - 1.0) * 1.05 + 1.0).collect();
    assert!(failures(normal, &wider).iter().any(|f| f.contains("χ²")));
    assert!(failures(normal, &wider).iter().any(|f| f.contains("variance")));
}

#[test]
fn a_seed_gives_the_same_bits_on_every_device() {
    let numbers = |device: &Device, name: &str| {
        with_device(device, || sampled(name, &[64], 42).to_vec::<f32>().unwrap())
    };
    let cpu = Device::cpu();
    let gpu = gpu::gpu();
    for known in TABLE {
        let first = numbers(&cpu, known.name);
        assert_eq!(first, numbers(&cpu, known.name), "{}", known.name);
        let Some(gpu) = &gpu else { continue };
        let other = numbers(gpu, known.name);
        // The bits are the same; functions of them may round differently, and a sampler then chooses otherwise at times.
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * a.abs().max(1e-3);
        let apart = first.iter().zip(&other).filter(|pair| !near(*pair)).count();
        assert!(apart <= 1, "{}: {apart} of 64 differ: {first:?} {other:?}", known.name);
    }
    let bits = |device: &Device| {
        with_device(device, || random::randint(&[4], 0, 1 << 32, DType::U32, 42).to_vec::<u32>().unwrap())
    };
    // Pinned, so that they stay the same from version to version.
    let expected = bits(&cpu);
    assert_eq!(expected, PINNED);
    if let Some(gpu) = &gpu {
        assert_eq!(bits(gpu), expected);
    }
}

/// As JAX' threefry2x32 has them for the key that the counter 0 has under the key [42, 0].
const PINNED: [u32; 4] = [2_619_066_336, 1_250_760_476, 3_770_584_571, 4_201_825_533];

#[test]
fn streams_are_independent() {
    let uniform = |seed: Seed| random::uniform(&[SAMPLES], 0.0, 1.0, DType::F32, seed.key());
    let seeds = SeedGenerator::new(5).unwrap();
    let draws: Vec<Vec<f32>> =
        [Seed::from(5), Seed::from(6), Seed::from(&seeds), Seed::from(&seeds), Seed::from(&seeds)]
            .into_iter()
            .map(|seed| uniform(seed).to_vec::<f32>().unwrap())
            .collect();
    assert_eq!(draws[0], draws[2], "the first draw of a generator is that of its seed");
    let shifted: Vec<f32> = draws[0].iter().skip(1).chain(&draws[0][..1]).copied().collect();
    let cells = 16usize;
    // χ² of 255 degrees of freedom is larger with probability 10⁻³.
    let limit = 330.519_7;
    for (a, b) in [(0, 1), (0, 3), (3, 4)] {
        pairs_are_uniform(&draws[a], &draws[b], cells, limit);
    }
    pairs_are_uniform(&draws[0], &shifted, cells, limit);
}

fn pairs_are_uniform(a: &[f32], b: &[f32], cells: usize, limit: f64) {
    let mut counts = vec![0.0f64; cells * cells];
    for (a, b) in a.iter().zip(b) {
        counts[(*a * cells as f32) as usize * cells + (*b * cells as f32) as usize] += 1.0;
    }
    let expected = a.len() as f64 / counts.len() as f64;
    let square: f64 = counts.iter().map(|c| (c - expected).powi(2) / expected).sum();
    assert!(square < limit, "χ² = {square}");
}

#[test]
fn a_generator_advances_in_every_call_of_a_function() {
    let seeds = SeedGenerator::new(9).unwrap();
    let inside = seeds.clone();
    let draw = move || random::normal(&[3], 0.0, 1.0, DType::F32, &inside);
    let function = Function::new("draws", move |_| Ok(vec![draw(), draw()]));
    let numbers = |t: &Tensor| t.to_vec::<f32>().unwrap();
    let mut seen = vec![];
    for _ in 0..3 {
        seen.extend(function.call(&[]).unwrap().iter().map(numbers));
    }
    assert_eq!(function.trace_count(), 1);
    seen.push(numbers(&random::normal(&[3], 0.0, 1.0, DType::F32, &seeds)));
    // As many draws without a function are the same.
    let plain = SeedGenerator::new(9).unwrap();
    let expected: Vec<Vec<f32>> =
        (0..7).map(|_| numbers(&random::normal(&[3], 0.0, 1.0, DType::F32, &plain))).collect();
    assert_eq!(seen, expected);
    let distinct: std::collections::HashSet<String> = seen.iter().map(|s| format!("{s:?}")).collect();
    assert_eq!(distinct.len(), 7);
    assert_eq!(plain.state().read().to_vec::<u32>().unwrap(), seeds.state().read().to_vec::<u32>().unwrap());
}

#[test]
fn draws_without_a_seed_follow_the_process() {
    let draw = || random::uniform(&[4], 0.0, 1.0, DType::F32, ());
    random::set_seed(3);
    let first: Vec<Vec<f32>> = (0..2).map(|_| draw().to_vec::<f32>().unwrap()).collect();
    assert_ne!(first[0], first[1]);
    random::set_seed(3);
    assert_eq!(first[0], draw().to_vec::<f32>().unwrap());
    let function = Function::new("unseeded", move |_| Ok(vec![draw()]));
    let text = function.call(&[]).unwrap_err().to_string();
    assert!(text.contains("SeedGenerator"), "{text}");
}

#[test]
fn gradients_flow_to_the_parameters() {
    let (a, b) = (Tensor::scalar(-1.0f32), Tensor::scalar(3.0f32));
    let y = random::uniform(&[100], &a, &b, DType::F32, 8);
    let g = gradients(&y.sum(()), &[a, b]).unwrap();
    let unit = ((&y + 1.0) / 4.0).sum(()).item::<f32>().unwrap();
    assert!((g[0].item::<f32>().unwrap() - (100.0 - unit)).abs() < 1e-2);
    assert!((g[1].item::<f32>().unwrap() - unit).abs() < 1e-2);
    let (mean, deviation) = (Tensor::scalar(0.5f32), Tensor::scalar(2.0f32));
    type Draw = fn(&Tensor, &Tensor) -> Tensor;
    let draws: [(&str, Draw); 4] = [
        ("normal", |a, b| random::normal(&[100], a, b, DType::F32, 8)),
        ("truncated_normal", |a, b| random::truncated_normal(&[100], a, b, DType::F32, 8)),
        ("laplace", |a, b| random::laplace(&[100], a, b, DType::F32, 8)),
        ("gumbel", |a, b| random::gumbel(&[100], a, b, DType::F32, 8)),
    ];
    for (name, draw) in draws {
        let y = draw(&mean, &deviation);
        let g = gradients(&y.sum(()), &[mean.clone(), deviation.clone()]).unwrap();
        let standard = ((&y - 0.5) / 2.0).sum(()).item::<f32>().unwrap();
        assert!((g[0].item::<f32>().unwrap() - 100.0).abs() < 1e-3, "{name}");
        assert!((g[1].item::<f32>().unwrap() - standard).abs() < 1e-3, "{name}");
    }
}

/// The mean of the gradients of many numbers is the derivative of their mean.
#[test]
fn gradients_of_gamma_and_beta_are_those_of_the_mean() {
    let near = |numbers: Vec<f32>, expected: f64, what: &str| {
        let average = mean(numbers.iter().map(|g| f64::from(*g)));
        let variance = mean(numbers.iter().map(|g| (f64::from(*g) - average).powi(2)));
        let off = (average - expected) / (variance / numbers.len() as f64).sqrt();
        assert!(off.abs() < NORMAL_LIMIT, "{what}: {average}, not {expected} ({off} standard errors)");
    };
    for alpha in [0.1f32, 0.8, 2.0, 20.0, 40.0] {
        let a = Tensor::full(&[SAMPLES], f64::from(alpha), DType::F32);
        let y = random::gamma(&[SAMPLES], &a, DType::F32, 11);
        let g = gradients(&y.sum(()), std::slice::from_ref(&a)).unwrap()[0].to_vec::<f32>().unwrap();
        near(g, 1.0, &format!("gamma {alpha}"));
        let g = gradients(&y.square().sum(()), &[a]).unwrap()[0].to_vec::<f32>().unwrap();
        near(g, 2.0 * f64::from(alpha) + 1.0, &format!("gamma {alpha} squared"));
    }
    for (alpha, beta) in [(0.5f32, 0.5f32), (2.0, 5.0), (0.05, 3.0)] {
        let full = |x: f32| Tensor::full(&[SAMPLES], f64::from(x), DType::F32);
        let (a, b) = (full(alpha), full(beta));
        let y = random::beta(&[SAMPLES], &a, &b, DType::F32, 12);
        let g = gradients(&y.sum(()), &[a, b]).unwrap();
        let square = f64::from(alpha + beta).powi(2);
        near(
            g[0].to_vec::<f32>().unwrap(),
            f64::from(beta) / square,
            &format!("beta {alpha} {beta} by alpha"),
        );
        near(
            g[1].to_vec::<f32>().unwrap(),
            -f64::from(alpha) / square,
            &format!("beta {alpha} {beta} by beta"),
        );
    }
}

#[test]
fn parameters_broadcast_and_edges_hold() {
    let rates = Tensor::from_vec([0.0f32, 1.0], &[2, 1]);
    let coins = random::bernoulli(&[2, 50], &rates, DType::I32, 1).to_vec::<i32>().unwrap();
    assert!(coins[..50].iter().all(|c| *c == 0) && coins[50..].iter().all(|c| *c == 1));
    let trials = Tensor::from_vec([0.0f32, 7.0, 1e6], &[3, 1]);
    let none = random::binomial(&[3, 9], &trials, 0.0, DType::F32, 1).to_vec::<f32>().unwrap();
    assert!(none.iter().all(|k| *k == 0.0));
    let all = random::binomial(&[3, 9], &trials, 1.0, DType::F32, 1).to_vec::<f32>().unwrap();
    assert!(all[..9].iter().all(|k| *k == 0.0) && all[9..18].iter().all(|k| *k == 7.0));
    assert!(all[18..].iter().all(|k| *k == 1e6));
    let wrong = random::binomial(&[3], Tensor::from_slice(&[-1.0f32, 5.0, 5.0]), 1.5, DType::F32, 1);
    assert!(wrong.to_vec::<f32>().unwrap().iter().all(|k| k.is_nan()));
    assert_eq!(random::poisson(&[4], 0.0, DType::F32, 1).to_vec::<f32>().unwrap(), [0.0; 4]);
    assert!(random::gamma(&[2], -1.0, DType::F32, 1).to_vec::<f32>().unwrap().iter().all(|x| x.is_nan()));
    // 2²⁴ numbers would be needed to see the upper bound in float32; in float16 it is near.
    let low = random::uniform(&[20_000], 1.0, 2.0, DType::F16, 4).to_vec::<half::f16>().unwrap();
    assert!(low.iter().all(|x| (1.0..2.0).contains(&x.to_f32())));
    assert_eq!(random::uniform(&[0, 3], 0.0, 1.0, DType::F32, 1).shape(), [0, 3]);
    let wide = random::randint(&[1000], i64::from(i32::MIN), 1 << 31, DType::I32, 1).to_vec::<i32>().unwrap();
    assert!(wide.iter().any(|x| *x < -(1 << 30)) && wide.iter().any(|x| *x > 1 << 30));
    let bytes = random::randint(&[5000], 250, 256, DType::U8, 1).to_vec::<u8>().unwrap();
    assert!((250..=255).all(|b| bytes.contains(&b)) && bytes.iter().all(|b| *b >= 250));
}

#[test]
fn dropout_and_shuffle_do_what_they_say() {
    let x = Tensor::ones(&[100, 50]);
    let y = random::dropout(&x, 0.25, None, 3).to_vec::<f32>().unwrap();
    let kept = y.iter().filter(|v| **v != 0.0).count() as f64;
    assert!(y.iter().all(|v| *v == 0.0 || (*v - 4.0 / 3.0).abs() < 1e-6));
    assert!((kept - 3750.0).abs() < NORMAL_LIMIT * (5000.0f64 * 0.25 * 0.75).sqrt());
    let rows = random::dropout(&x, 0.5, Some(&[None, Some(1)]), 3).to_vec::<f32>().unwrap();
    assert!(rows.chunks(50).all(|row| row.iter().all(|v| *v == row[0])));
    assert_eq!(random::dropout(&x, 0.0, None, 3).to_vec::<f32>().unwrap(), vec![1.0; 5000]);
    assert_eq!(random::dropout(&x, 1.0, None, 3).to_vec::<f32>().unwrap(), vec![0.0; 5000]);
    let table = Tensor::range(12).reshape(&[4, 3]);
    let columns = random::shuffle(&table, 1, 1).to_vec::<i32>().unwrap();
    assert!((0..3).all(|c| (0..4).all(|r| columns[3 * r + c] == columns[c] + 3 * r as i32)));
    // Every order of three is equally likely: χ² of 5 degrees of freedom.
    let mut counts = std::collections::HashMap::new();
    let seeds = SeedGenerator::new(1).unwrap();
    let order = Function::new("order", move |_| Ok(vec![random::shuffle(&Tensor::range(3), 0, &seeds)]));
    for _ in 0..1200 {
        *counts.entry(order.call(&[]).unwrap()[0].to_vec::<i32>().unwrap()).or_insert(0.0) += 1.0;
    }
    let square: f64 = counts.values().map(|c: &f64| (c - 200.0).powi(2) / 200.0).sum();
    assert!(counts.len() == 6 && square < 20.515, "{counts:?}");
}

#[test]
fn wrong_calls_say_so() {
    let m = Tensor::ones(&[2, 3]);
    let rows: [(Tensor, &str); 12] = [
        (random::uniform(&[2], 0.0, 1.0, DType::I32, 1), "[uniform] expected a float dtype, received int32"),
        (random::normal(&[2], &m, 1.0, DType::F32, 1), "[normal] shape [2, 3] does not broadcast to [2]"),
        (random::normal(&[usize::MAX, 2], 0.0, 1.0, DType::F32, 1), "[normal]"),
        (random::truncated_normal(&[2], 0.0, 1.0, DType::Bool, 1), "[truncated_normal]"),
        (random::gamma(&[2], &m, DType::F32, 1), "[gamma]"),
        (random::beta(&[2], 1.0, &m, DType::F32, 1), "[beta]"),
        (random::binomial(&[2], 3, 0.5, DType::I32, 1), "[binomial]"),
        (random::randint(&[2], 3, 3, DType::I32, 1), "[randint]"),
        (random::randint(&[2], -1, 3, DType::U8, 1), "[randint]"),
        (random::categorical(&Tensor::ones(&[3]), 2, DType::I32, 1), "[categorical]"),
        (random::dropout(&m, 1.5, None, 1), "[dropout] expected a rate between 0 and 1, received 1.5"),
        (random::shuffle(&m, 2, 1), "[shuffle] axis 2"),
    ];
    for (tensor, start) in rows {
        let text = tensor.to_vec::<f32>().unwrap_err().to_string();
        assert!(text.starts_with(start) && text.contains("random/main.rs"), "{text}");
    }
    let key = random::uniform(&[2], 0.0, 1.0, DType::F32, &m);
    assert!(key.error().is_some());
}
