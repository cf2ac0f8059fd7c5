//! Connectionist temporal classification (Graves et al. 2006): the loss, and decoding.

use std::collections::BTreeMap;

use kiln_device::{DType, size};

use super::control::scan;
use super::pointwise::{one_of, working};
use super::spatial::failed_of;
use crate::error::At;
use crate::tensor::{Tensor, here};

/// The logarithm of no probability: finite, so that differences of two of them are no NaN.
const NEVER: f64 = -1e30;

/// Checks extents: logits `[batch, frames, classes]`, lengths `[batch]`, `mask_index` a class.
fn check(output: &Tensor, lengths: &[&Tensor], mask_index: usize) -> Result<(), String> {
    let [batch, _, classes] = output.shape() else {
        return Err(format!("expected output [batch, frames, classes], received {:?}", output.shape()));
    };
    if mask_index >= *classes {
        return Err(format!("expected a mask index below the {classes} classes, received {mask_index}"));
    }
    match lengths.iter().find(|t| t.shape() != [*batch] || !t.dtype().is_integer()) {
        Some(wrong) => Err(format!(
            "expected one integer length for each of {batch} samples, received shape {:?} {}",
            wrong.shape(),
            wrong.dtype()
        )),
        None => Ok(()),
    }
}

/// `−log p(target)` of label sequences given logits of frames, one value a sample.
///
/// `target: [batch, labels]` integers, `output: [batch, frames, classes]` logits, of which the first `target_length` and
/// `output_length` (`[batch]`) count; `mask_index` is the blank class (Keras' default: 0). A target that does not fit into
/// its frames has loss ∞ and gradient 0. Computed with logarithms by a loop over the frames: in `float64` of `float64`, else in
/// `float32`.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// // One label in two frames of two equal classes: the paths 1-, -1 and 11 of the four.
/// let logits = Tensor::zeros(&[1, 2, 2]);
/// let (one, two) = (Tensor::from_slice(&[1]), Tensor::from_slice(&[2]));
/// let loss = ops::ctc_loss(&Tensor::from_vec(&[1], &[1, 1]), &logits, &one, &two, 0);
/// assert!((loss.item::<f32>()? + 0.75f32.ln()).abs() < 1e-6);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
///
/// # Errors
/// Where shapes or dtypes do not fit; a label that counts and is no class is an error of the run.
#[track_caller]
pub fn ctc_loss(
    target: &Tensor,
    output: &Tensor,
    target_length: &Tensor,
    output_length: &Tensor,
    mask_index: usize,
) -> Tensor {
    let at = here();
    if let Some(failed) = failed_of(&[target, output, target_length, output_length]) {
        return failed;
    }
    if let Err(message) = check(output, &[target_length, output_length], mask_index) {
        return Tensor::failed("ctc_loss", message, at);
    }
    if target.rank() != 2 || target.shape()[0] != output.shape()[0] || !target.dtype().is_integer() {
        let message = format!(
            "expected integer targets [{}, labels], received shape {:?} {}",
            output.shape()[0],
            target.shape(),
            target.dtype()
        );
        return Tensor::failed("ctc_loss", message, at);
    }
    let lengths = [target_length, output_length].map(|t| t.cast(DType::I32).expand_dims(-1));
    let loss =
        forward(&target.cast(DType::I32), &output.cast(working(output.dtype())), &lengths, mask_index as i32);
    let given = [target, output, target_length, output_length].map(Tensor::clone);
    loss.part_of("ctc_loss", at, &given)
}

/// Labels with blanks between and around them, `[batch, 2 · labels + 1]`, and where a path may skip the blank before one.
fn extended(labels: &Tensor, blank: i32) -> (Tensor, Tensor) {
    let (batch, count) = (labels.shape()[0], labels.shape()[1]);
    let blanks = Tensor::full(&[batch, count], f64::from(blank), DType::I32);
    let pairs = Tensor::stack(&[blanks, labels.clone()], 2);
    let last = Tensor::full(&[batch, 1], f64::from(blank), DType::I32);
    let states = Tensor::concat(&[pairs.reshape(&[batch as i64, 2 * count as i64]), last], 1);
    // A label may follow another one directly, if it differs.
    let earlier = shifted(&states, 2, f64::from(blank));
    let is_label = Tensor::iota(states.shape(), 1).modulo(2).equal(1);
    let skips = is_label.logical_and(states.not_equal(&earlier));
    (states, skips)
}

/// Columns moved right by `by`, with `fill` before them.
fn shifted(x: &Tensor, by: usize, fill: f64) -> Tensor {
    let extent = x.shape().get(1).copied().unwrap_or(0) as i64;
    x.pad(&[(0, 0), (by, 0)], fill).slice_axis(1, 0, extent)
}

/// `log(e^a + e^b + e^c)` of finite numbers.
fn log_sum(terms: &[Tensor; 3]) -> Tensor {
    let [a, b, c] = terms;
    let largest = a.maximum(b).maximum(c).stop_gradient();
    let sum = (a - &largest).exp() + (b - &largest).exp() + (c - &largest).exp();
    sum.log() + largest
}

fn forward(target: &Tensor, output: &Tensor, lengths: &[Tensor; 2], blank: i32) -> Tensor {
    let [target_length, output_length] = lengths;
    let (batch, frames) = (output.shape()[0], output.shape()[1]);
    let counts = Tensor::iota(target.shape(), 1).less(target_length);
    let (states, skips) = extended(&Tensor::select(&counts, target, blank), blank);
    let width = states.shape()[1];
    let index = states.expand_dims(1).broadcast_to(&[batch, frames, width]);
    let emitted = output.log_softmax(-1).take_along_axis(&index, -1).maximum(NEVER);
    // Before the first frame, a path stands at the first blank.
    let first = Tensor::iota(&[batch, width], 1).equal(0);
    let start = one_of(&first, [0.0, NEVER], output.dtype());
    let frame = |alpha: &[Tensor], row: &[Tensor]| {
        let (alpha, emitted, number) = (&alpha[0], &row[0], &row[1]);
        let before = shifted(alpha, 1, NEVER);
        let skipped = Tensor::select(&skips, shifted(alpha, 2, NEVER), NEVER);
        let next = log_sum(&[alpha.clone(), before, skipped]) + emitted;
        let counts = output_length.greater(number).broadcast_to(&[batch, width]);
        (vec![Tensor::select(&counts, next, alpha)], vec![])
    };
    let rows = [emitted.transpose(&[1, 0, 2]), Tensor::iota(&[frames], 0)];
    let (alpha, _) = scan(frame, &[start], &rows, None, false);
    let alpha = &alpha[0];
    // A path ends at the last label or at the blank behind it.
    let state = Tensor::iota(&[batch, width], 1);
    let end = target_length * 2;
    let last = state.equal(&end).logical_or(state.equal(end - 1));
    let loss = -Tensor::select(&last, alpha, NEVER).logsumexp(1);
    Tensor::select(&loss.greater(NEVER * -0.5), f64::INFINITY, &loss)
}

/// How [`ctc_decode`] finds label sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CtcStrategy {
    /// The best class of every frame.
    Greedy {
        /// Whether a class that goes on for several frames is one label; Keras' default is true.
        merge_repeated: bool,
    },
    /// The most probable sequences among the best prefixes of every frame, computed on the host.
    BeamSearch {
        /// Prefixes that are kept after each frame; Keras' default is 100.
        beam_width: usize,
        /// Sequences that are returned; Keras' default is 1.
        top_paths: usize,
    },
}

/// Label sequences of frames `[batch, frames, classes]`, of which the first `sequence_lengths` (`[batch]`) count: labels
/// `int32 [paths, batch, frames]`, −1 behind the last one, and scores `[batch, paths]`.
///
/// The greedy score is the negative sum of the largest input of every frame, as with TensorFlow; that of a beam search is
/// the logarithm of the sequence's probability, with the inputs as logits. A beam search reads the inputs, so that it cannot
/// be traced.
///
/// Scores are `float64` for `float64`, else `float32`.
///
/// # Errors
/// Where shapes or dtypes do not fit; a beam search inside a function being traced.
#[track_caller]
pub fn ctc_decode(
    inputs: &Tensor,
    sequence_lengths: &Tensor,
    strategy: CtcStrategy,
    mask_index: usize,
) -> (Tensor, Tensor) {
    let at = here();
    let both = |failed: Tensor| (failed.clone(), failed);
    if let Some(failed) = failed_of(&[inputs, sequence_lengths]) {
        return both(failed);
    }
    if let Err(message) = check(inputs, &[sequence_lengths], mask_index) {
        return both(Tensor::failed("ctc_decode", message, at));
    }
    let (inputs, lengths) = (inputs.cast(working(inputs.dtype())), sequence_lengths.cast(DType::I32));
    match strategy {
        CtcStrategy::Greedy { merge_repeated } => {
            let (labels, scores) = greedy(&inputs, &lengths, merge_repeated, mask_index as i32);
            (labels.part_of("ctc_decode", at, &[]), scores.part_of("ctc_decode", at, &[]))
        }
        CtcStrategy::BeamSearch { beam_width, top_paths } if top_paths == 0 || top_paths > beam_width => {
            let message = format!(
                "expected 1 ≤ top_paths ≤ beam_width, received top_paths {top_paths}, beam_width {beam_width}"
            );
            both(Tensor::failed("ctc_decode", message, at))
        }
        CtcStrategy::BeamSearch { beam_width, top_paths } => {
            match beam_search(&inputs, &lengths, beam_width, top_paths, mask_index, at) {
                Ok(pair) => pair,
                Err(error) => both(Tensor::from_error(error, at)),
            }
        }
    }
}

fn greedy(inputs: &Tensor, lengths: &Tensor, merge_repeated: bool, blank: i32) -> (Tensor, Tensor) {
    let frames = inputs.shape()[1];
    let best = inputs.argmax(-1);
    let frame = Tensor::iota(best.shape(), 1);
    let counts = frame.less(lengths.expand_dims(-1));
    let mut labels = Tensor::select(&counts, &best, blank);
    let scores = -Tensor::select(&counts, inputs.max(-1), 0.0).sum(1).expand_dims(-1);
    if merge_repeated {
        let repeated = labels.equal(shifted(&labels, 1, -1.0));
        labels = Tensor::select(&repeated, blank, &labels);
    }
    let empty = labels.equal(blank);
    // Labels in their order, then the empty places.
    let order = Tensor::select(&empty, frames as i32, frame).argsort(-1, false);
    let packed = Tensor::select(&empty, -1, &labels).take_along_axis(&order, -1);
    (packed.expand_dims(0), scores)
}

/// Logarithms of the probability that the frames so far spell a prefix, ending with a blank or with its last label.
#[derive(Clone, Copy)]
struct Odds {
    blank: f64,
    label: f64,
}

impl Default for Odds {
    fn default() -> Odds {
        Odds { blank: f64::NEG_INFINITY, label: f64::NEG_INFINITY }
    }
}

impl Odds {
    fn total(&self) -> f64 {
        log_add(self.blank, self.label)
    }
}

fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if high == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// The most probable prefixes and their odds, best first; equal ones in the order of their labels.
fn decoded(frames: &[Vec<f64>], beam_width: usize, blank: usize) -> Vec<(Vec<i32>, f64)> {
    let mut beams = vec![(vec![], Odds { blank: 0.0, label: f64::NEG_INFINITY })];
    for frame in frames {
        let mut next: BTreeMap<Vec<i32>, Odds> = BTreeMap::new();
        for (prefix, odds) in &beams {
            let stay = next.entry(prefix.clone()).or_default();
            stay.blank = log_add(stay.blank, odds.total() + frame[blank]);
            let last = prefix.last().copied();
            if let Some(last) = last {
                stay.label = log_add(stay.label, odds.label + frame[last as usize]);
            }
            for (class, odds_of_class) in frame.iter().enumerate().filter(|(class, _)| *class != blank) {
                let mut longer = prefix.clone();
                longer.push(class as i32);
                let from = if last == Some(class as i32) { odds.blank } else { odds.total() };
                let grown = next.entry(longer).or_default();
                grown.label = log_add(grown.label, from + odds_of_class);
            }
        }
        beams = next.into_iter().collect();
        beams.sort_by(|a, b| b.1.total().total_cmp(&a.1.total()));
        beams.truncate(beam_width);
    }
    beams.into_iter().map(|(prefix, odds)| (prefix, odds.total())).collect()
}

fn beam_search(
    inputs: &Tensor,
    lengths: &Tensor,
    beam_width: usize,
    top_paths: usize,
    blank: usize,
    at: At,
) -> crate::Result<(Tensor, Tensor)> {
    crate::trace::forbid_reading(at)?;
    let [batch, frames, classes] = *inputs.shape() else {
        return Err(crate::Error::Internal("frames of another rank".into()));
    };
    let log_probabilities = inputs.log_softmax(-1);
    let dtype = log_probabilities.dtype();
    let log_probabilities: Vec<f64> = match dtype {
        DType::F64 => log_probabilities.to_vec()?,
        _ => log_probabilities.to_vec::<f32>()?.into_iter().map(f64::from).collect(),
    };
    let lengths = lengths.to_vec::<i32>()?;
    let mut labels = vec![-1i32; size::element_count(&[top_paths, batch, frames])?];
    let mut scores = vec![f64::NEG_INFINITY; size::element_count(&[batch, top_paths])?];
    for (sample, length) in lengths.iter().enumerate() {
        let length = usize::try_from(*length).unwrap_or(0).min(frames);
        let row = |frame: usize| {
            let start = (sample * frames + frame) * classes;
            log_probabilities[start..start + classes].to_vec()
        };
        let rows: Vec<Vec<f64>> = (0..length).map(row).collect();
        for (path, (prefix, score)) in
            decoded(&rows, beam_width, blank).into_iter().take(top_paths).enumerate()
        {
            let start = (path * batch + sample) * frames;
            labels[start..start + prefix.len()].copy_from_slice(&prefix);
            scores[sample * top_paths + path] = score;
        }
    }
    let scores = Tensor::table(&scores, &[batch, top_paths], dtype);
    Ok((Tensor::from_vec(labels, &[top_paths, batch, frames]), scores))
}
