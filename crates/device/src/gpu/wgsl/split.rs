//! Long sums of few results: a contraction split into partial ones, and a kernel that adds them in order.
//!
//! Gradients of weights are such: few results, sums over batch and positions. A part of one inner axis becomes
//! a batch axis; the partial results go to a buffer of their own. Both kernels are in the language of the contract.

use super::contract::{Sizes, reduced};
use crate::dtype::{DType, Scalar, Value};
use crate::error::Result;
use crate::kernel::{Access, Affine, Binding, Body, Instr, Kernel, Map, Operand, Tape};

/// Workgroups that a split aims for.
const ENOUGH: usize = 256;
/// Fewest terms of a partial sum.
const TERMS: usize = 128;
/// Most bytes of partial results.
const MOST_BYTES: usize = 64 << 20;

/// Two kernels in place of one. The partial results are the last buffer of both; the first has the operands before it,
/// the second all buffers of the original.
pub(crate) struct Split {
    pub(crate) partial: Kernel,
    pub(crate) total: Kernel,
    /// Which buffers of the original the first kernel reads.
    pub(crate) operands: [usize; 2],
    /// Size of the partial results.
    pub(crate) bytes: usize,
}

/// The inner axis to split and the number of parts, the largest that helps.
fn parts(kernel: &Kernel, sizes: &Sizes) -> Option<(usize, usize)> {
    let wanted = ENOUGH.div_ceil(sizes.tiles_small()).min(sizes.k / TERMS).min(64);
    let outputs = sizes.batch * sizes.m * sizes.n;
    let most = wanted.min(MOST_BYTES / (4 * outputs.max(1)));
    let divisors = |extent: usize| (2..=most).rev().find(|p| extent.is_multiple_of(*p));
    (0..kernel.inner.len())
        .filter_map(|axis| divisors(kernel.inner[axis]).map(|parts| (axis, parts)))
        .max_by_key(|(_, parts)| *parts)
}

/// Splits a contraction where it pays.
pub(crate) fn split(kernel: &Kernel) -> Result<Option<Split>> {
    let Body::Contract { batch, m, lhs, rhs, epilogue } = &kernel.body else {
        return Ok(None);
    };
    let sizes = Sizes::of(kernel, *batch, *m)?;
    if sizes.m.min(sizes.n) < 16 || sizes.k < 4 * TERMS || sizes.tiles_small() * 2 > ENOUGH {
        return Ok(None);
    }
    let Some((axis, parts)) = parts(kernel, &sizes) else {
        return Ok(None);
    };
    let results = sizes.batch * sizes.m * sizes.n;
    let dtype = match kernel.buffers[lhs.buffer].dtype.scalar() {
        Scalar::Bool => DType::F32,
        scalar => scalar.dtype(),
    };
    let strides = dense(&kernel.rows);
    let operand =
        |buffer, operand: &Operand| Operand { buffer, map: with_part(&operand.map, kernel, axis, parts) };
    let mut partial = kernel.clone();
    partial.name = format!("{} (parts)", kernel.name);
    partial.once = Tape::default();
    partial.rows.insert(0, parts);
    partial.inner[axis] /= parts;
    let mut coefficients = [&[results as i64], strides.as_slice()].concat();
    coefficients.resize(partial.variables(), 0);
    let operands = [lhs.buffer, rhs.buffer];
    let binding = |dtype, access| Binding { dtype, access };
    let read = |buffer: usize| binding(kernel.buffers[buffer].dtype, Access::Read);
    partial.buffers = vec![read(lhs.buffer), read(rhs.buffer), binding(dtype, Access::Write)];
    partial.body = Body::Contract {
        batch: batch + 1,
        m: *m,
        lhs: operand(0, lhs),
        rhs: operand(1, rhs),
        epilogue: Tape {
            instrs: vec![
                Instr::Accumulator,
                Instr::Store { buffer: 2, map: address(coefficients), value: 0 },
            ],
        },
    };
    let mut total = kernel.clone();
    total.inner = vec![parts];
    total.buffers.push(binding(dtype, Access::Read));
    let load = Instr::Load {
        buffer: kernel.buffers.len(),
        map: address([strides.as_slice(), &[results as i64]].concat()),
        fill: Value::zero(dtype.scalar()),
    };
    let (tape, last) = (resized(epilogue, kernel), dtype.scalar());
    total.body = reduced(vec![load], &tape, last);
    total.once = resized(&kernel.once, kernel);
    Ok(Some(Split { partial, total, operands, bytes: 4 * parts * results }))
}

fn address(coefficients: Vec<i64>) -> Map {
    Map { base: Affine { coefficients, offset: 0 }, guards: vec![] }
}

/// Strides of a dense row-major array.
fn dense(extents: &[usize]) -> Vec<i64> {
    let mut strides = vec![1; extents.len()];
    for axis in (1..extents.len()).rev() {
        strides[axis - 1] = strides[axis] * extents[axis] as i64;
    }
    strides
}

/// The map with a leading variable that counts parts of an inner axis.
fn with_part(map: &Map, kernel: &Kernel, axis: usize, parts: usize) -> Map {
    let length = (kernel.inner[axis] / parts) as i64;
    let mut map = map.clone();
    for_each(&mut map, |affine| {
        let step = affine.coefficients[kernel.rows.len() + axis];
        affine.coefficients.insert(0, step * length);
    });
    map
}

/// A tape of row values for one inner axis instead of the kernel's.
fn resized(tape: &Tape, kernel: &Kernel) -> Tape {
    let mut tape = tape.clone();
    let resize = |affine: &mut Affine| {
        affine.coefficients.truncate(kernel.rows.len());
        affine.coefficients.push(0);
    };
    for instr in &mut tape.instrs {
        match instr {
            Instr::Index(affine) => resize(affine),
            Instr::Load { map, .. } | Instr::Store { map, .. } => for_each(map, resize),
            _ => {}
        }
    }
    tape
}

fn for_each(map: &mut Map, change: impl Fn(&mut Affine)) {
    change(&mut map.base);
    map.guards.iter_mut().for_each(|g| change(&mut g.position));
}
