//! Conversions between all types, bits of floats, and random numbers.

use kiln_graph::{DType, Tensor};

use crate::decode::Decoder;

/// What every executor has.
pub(crate) const TYPES: [DType; 7] =
    [DType::F32, DType::I32, DType::F16, DType::BF16, DType::Bool, DType::U8, DType::U32];

pub(super) fn conversion(d: &mut Decoder) -> Option<usize> {
    match d.choose(8) {
        0 => random(d),
        1 => {
            let bits = |t: DType| matches!(t, DType::F32 | DType::I32 | DType::U32);
            let x = d.pick(|f| bits(f.dtype))?;
            let to = d.of(&[DType::I32, DType::U32, DType::F32]);
            if to == d.facts(x).dtype {
                return None;
            }
            if to == DType::F32 {
                // Of small whole numbers: all others are subnormal, or not numbers.
                return d.push("bits of x and 255, in 1..2", &[x], |x| {
                    let high = Tensor::full(&[], 8_388_608.0 * 127.0, x[0].dtype());
                    let low = x[0].logical_and(Tensor::full(&[], 255.0, x[0].dtype()));
                    low.left_shift(Tensor::full(&[], 12.0, x[0].dtype())).logical_or(high).bitcast(DType::F32)
                });
            }
            d.push(format!("bitcast {to}"), &[x], move |x| x[0].bitcast(to))
        }
        2 => {
            let x = d.pick(|f| f.plain())?;
            let to = d.of(&[DType::F16, DType::BF16]);
            d.push(format!("cast {to} and back"), &[x], move |x| x[0].cast(to).cast(DType::F32))
        }
        _ => {
            let (from, to) = (d.of(&TYPES), d.of(&TYPES));
            let shape = d.shape();
            let x = match d.pick(|f| !f.special && f.dtype == from) {
                Some(x) => x,
                None => d.leaf_of(shape, from)?,
            };
            d.push(format!("cast {from} to {to}"), &[x], move |x| x[0].cast(to))
        }
    }
}

fn random(d: &mut Decoder) -> Option<usize> {
    let shape = d.shape();
    let key = d.leaf_in(vec![2], DType::U32, (0, 1 << 20))?;
    match d.choose(3) {
        0 => d.push(format!("random_uniform {shape:?}"), &[key], move |x| {
            Tensor::random_uniform(&x[0], &shape)
        }),
        1 => d.push(format!("tanh of random_normal {shape:?}"), &[key], move |x| {
            Tensor::random_normal(&x[0], &shape).tanh()
        }),
        _ => d.push(format!("random_bits {shape:?}"), &[key], move |x| Tensor::random_bits(&x[0], &shape)),
    }
}
