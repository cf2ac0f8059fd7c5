//! Many sequence lengths, each met once: what a new length costs after the first few.

use std::sync::Arc;
use std::time::Instant;

use kiln::prelude::*;
use serde_json::{Map, json};

use super::gpt::{Gpt, Sizes};
use super::{Options, Outcome, emit, rounded};

const NAME: &str = "many_lengths";
const SIZES: Sizes = Sizes { vocabulary: 256, context: 256, width: 128, heads: 4, blocks: 4 };
const WARM_UP: [usize; 3] = [5, 64, 256];
/// 64 lengths, none of them among the first.
fn lengths() -> impl Iterator<Item = usize> {
    (0..64).map(|i| 7 + 3 * i + i % 2).filter(|n| !WARM_UP.contains(n))
}

fn tokens(length: usize) -> Tensor {
    let numbers: Vec<i32> = (0..length as i32).map(|i| (i * 37 + 11) % 256).collect();
    Tensor::from_vec(numbers, &[1, length])
}

pub(crate) fn run(device: &Device, options: &Options) -> Outcome<()> {
    if !options.wants(NAME) {
        return Ok(());
    }
    let gpt = Arc::new(Gpt::new(SIZES)?);
    let forward = Function::new(NAME, move |x| Ok(vec![gpt.logits(&x[0])]));
    // Milliseconds and new shaders of a call; the check of its result is not counted.
    let call = |length: usize| -> Outcome<(f64, usize)> {
        let tokens = tokens(length);
        let (start, known) = (Instant::now(), device.shader_count());
        let logits = forward.call(&[tokens])?.remove(0);
        device.synchronize()?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        let shaders = device.shader_count() - known;
        if !logits.abs().max(()).is_finite().item::<bool>()? {
            return Err(format!("{NAME}: a logit of length {length} is not finite").into());
        }
        Ok((ms, shaders))
    };
    let (first, _) = call(WARM_UP[0])?;
    WARM_UP[1..].iter().try_for_each(|n| call(*n).map(drop))?;
    let (mut new, shaders): (Vec<f64>, Vec<usize>) =
        lengths().map(call).collect::<Outcome<Vec<_>>>()?.into_iter().unzip();
    let (mut again, _): (Vec<f64>, Vec<usize>) =
        lengths().map(call).collect::<Outcome<Vec<_>>>()?.into_iter().unzip();
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let worst = new.iter().copied().fold(0.0, f64::max);
    let mut extra = Map::new();
    extra.insert("lengths".into(), json!(new.len()));
    extra.insert("worst_ms".into(), json!(rounded(worst)));
    extra.insert("again_ms".into(), json!(rounded(median(&mut again))));
    extra.insert("new_shaders".into(), json!(shaders.iter().sum::<usize>()));
    emit(device, NAME, median(&mut new), first, extra);
    Ok(())
}
