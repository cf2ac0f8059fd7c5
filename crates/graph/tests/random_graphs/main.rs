//! Random expressions over the whole set of operations: fused execution, every node alone, gradients, and the same as
//! a function with state, against the interpreter.
//!
//! `KILN_RANDOM_GRAPHS` is the number of graphs on the CPU (2,000), `KILN_RANDOM_SEED` starts other sequences, and
//! `KILN_RANDOM_REPLAY` holds the genes that a failure printed.

mod compare;
mod contract;
mod decode;
mod elementwise;
mod fold;
#[path = "../support/gpu.rs"]
mod gpu;
mod layout;
mod recipe;
#[path = "../support/mod.rs"]
mod support;

use kiln_graph::Device;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use recipe::{Gene, from_hex, to_hex};

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Checks `count` random graphs of a sequence, or says how the smallest failing one fails.
fn search(device: &Device, count: u64, sequence: u64) -> Result<(), String> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number("KILN_RANDOM_SEED", 1).to_le_bytes());
    seed[8..16].copy_from_slice(&sequence.to_le_bytes());
    let config = Config {
        cases: count as u32,
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let checked = runner.run(&vec(any::<Gene>(), 5..40), |genes| {
        let failed = |text: String| {
            let text = format!("{text}replay with KILN_RANDOM_REPLAY={}\n", to_hex(&genes));
            TestCaseError::fail(text)
        };
        compare::check(&decode::decode(&genes), device).map_err(failed)
    });
    checked.map_err(|error| match error {
        proptest::test_runner::TestError::Fail(reason, genes) => {
            format!("{reason}\nKILN_RANDOM_REPLAY={}\n{}", to_hex(&genes), decode::decode(&genes))
        }
        other => other.to_string(),
    })
}

#[test]
fn random_graphs_agree_with_the_interpreter() {
    if let Ok(genes) = std::env::var("KILN_RANDOM_REPLAY") {
        let checked = compare::check(&decode::decode(&from_hex(&genes)), &Device::cpu());
        return checked.unwrap_or_else(|failure| panic!("{failure}"));
    }
    let count = number("KILN_RANDOM_GRAPHS", 2000).div_ceil(2);
    let searches = [0, 1].map(|n| std::thread::spawn(move || search(&Device::cpu(), count, n)));
    for found in searches {
        let found = found.join().unwrap_or_else(|_| Err("the search itself panicked".into()));
        found.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn random_graphs_agree_on_the_gpu() {
    if let Some(device) = gpu::gpu() {
        search(&device, 50, 2).unwrap_or_else(|failure| panic!("{failure}"));
    }
}
