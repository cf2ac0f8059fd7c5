//! Random expressions over the whole set of operations: fused execution, every node alone, gradients, and the same as
//! a function with state, against the interpreter; branches and loops also against the same turns written out.
//!
//! How far an executor may be off is computed for every element (`bounds`): there is no tolerance to tune.
//!
//! `KILN_RANDOM_GRAPHS` is the number of graphs on the CPU, `KILN_RANDOM_GPU_GRAPHS` that on the WGSL path,
//! `KILN_RANDOM_SEED` starts other sequences, `KILN_RANDOM_REPLAY` holds the genes that a failure printed.

mod bounds;
mod compare;
mod coverage;
mod decode;
#[path = "../support/gpu.rs"]
mod gpu;
mod recipe;
mod steps;
#[path = "../support/mod.rs"]
mod support;

use compare::{Tally, Ways, check};
use kiln_graph::Device;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use recipe::{Gene, from_hex, to_hex};

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Most steps of a graph.
const MOST_STEPS: usize = 40;

/// Those of 5 to `most` steps.
fn genes(most: usize) -> impl Strategy<Value = Vec<Gene>> {
    vec(any::<Gene>(), 5..=most)
}

/// Runs `count` cases of a sequence.
fn runner(count: u64, sequence: u64) -> TestRunner {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number("KILN_RANDOM_SEED", 1).to_le_bytes());
    seed[8..16].copy_from_slice(&sequence.to_le_bytes());
    let config = Config {
        cases: count as u32,
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

/// So many graphs of a sequence, of so many steps at most, each compared in these ways.
#[derive(Clone, Copy)]
struct Part {
    count: u64,
    sequence: u64,
    most_steps: usize,
    ways: Ways,
}

/// Checks some random graphs, or says how the smallest failing one fails.
fn search(device: &Device, part: Part, tally: &Tally) -> Result<(), String> {
    let checked = runner(part.count, part.sequence).run(&genes(part.most_steps), |genes| {
        check(&decode::decode(&genes), device, part.ways, tally).map_err(TestCaseError::fail)
    });
    checked.map_err(|error| match error {
        TestError::Fail(reason, genes) => format!("{reason}\nKILN_RANDOM_REPLAY={}", to_hex(&genes)),
        other => other.to_string(),
    })
}

/// Searches beside one another.
fn search_all(device: &Device, parts: &[Part]) {
    let tally = Tally::default();
    if let Ok(genes) = std::env::var("KILN_RANDOM_REPLAY") {
        let recipe = decode::decode(&from_hex(&genes));
        return check(&recipe, device, Ways::All, &tally).unwrap_or_else(|failure| panic!("{failure}"));
    }
    let found: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let tally = &tally;
        let searches: Vec<_> =
            parts.iter().map(|part| scope.spawn(move || search(device, *part, tally))).collect();
        let panicked = |_| Err("the search itself panicked".into());
        searches.into_iter().map(|s| s.join().unwrap_or_else(panicked)).collect()
    });
    for found in found {
        found.unwrap_or_else(|failure| panic!("{failure}"));
    }
    let (close, words) = tally.shares();
    let words_of = |p: &Part| format!("{} graphs of up to {} steps ({})", p.count, p.most_steps, p.ways);
    let counts: Vec<String> = parts.iter().map(words_of).collect();
    eprintln!("{} on {device}: {words}", counts.join(", "));
    assert!(close > 0.85, "too little is compared closely: {words}");
}

#[test]
fn random_graphs_agree_with_the_interpreter() {
    let count = number("KILN_RANDOM_GRAPHS", 2000).div_ceil(2);
    let part = |sequence| Part { count, sequence, most_steps: MOST_STEPS, ways: Ways::All };
    search_all(&Device::cpu(), &[part(0), part(1)]);
}

/// Nearly all of the time goes into the driver's compiler, so most graphs are small, and the smallest go every way.
#[test]
fn random_graphs_agree_on_the_gpu() {
    let Some(device) = gpu::gpu() else { return };
    let count = number("KILN_RANDOM_GPU_GRAPHS", 150);
    let part = |share: u64, sequence, most_steps, ways| Part {
        count: (count * share).div_ceil(20),
        sequence,
        most_steps,
        ways,
    };
    let large = part(5, 2, MOST_STEPS, Ways::Fused);
    let small = part(13, 3, 12, Ways::Fused);
    let every_way = part(2, 4, 8, Ways::All);
    search_all(&device, &[large, small, every_way]);
}
