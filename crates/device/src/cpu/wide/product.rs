//! The inner loops of products: panels of both operands, and tiles of the result.

use crate::cpu::address::Walk;
use crate::cpu::block;
use crate::cpu::isa::{Isa, multiversion};
use crate::cpu::wide::memory;
use crate::dtype::DType;

/// Columns of a tile.
pub(crate) const COLUMNS: usize = 8;

/// Numbers that products are made of.
pub(crate) trait Number: Copy + Default + Send + Sync + bytemuck::Pod {
    fn add(self, other: Self) -> Self;
    fn multiply_add<const FUSED: bool>(self, b: Self, sum: Self) -> Self;
    /// Loads the points `start..` of a walk; 0 outside its guards.
    fn load(base: *const u8, dtype: DType, walk: &Walk, start: usize, out: &mut [Self]);
    /// `sums += a · b` for one tile: `a` holds columns of `rows` elements, `b` rows of [`COLUMNS`].
    fn tile(isa: Isa, rows: usize, a: &[Self], b: &[Self], sums: &mut [Self]);
}

#[inline(always)]
fn tile_of<T: Number, const FUSED: bool, const ROWS: usize>(a: &[T], b: &[T], sums: &mut [T]) {
    let mut total = [[T::default(); COLUMNS]; ROWS];
    let (a, b) = (a.as_chunks::<ROWS>().0, b.as_chunks::<COLUMNS>().0);
    for (a, b) in a.iter().zip(b) {
        for (total, a) in total.iter_mut().zip(a) {
            for (total, b) in total.iter_mut().zip(b) {
                *total = a.multiply_add::<FUSED>(*b, *total);
            }
        }
    }
    for (sums, total) in sums.as_chunks_mut::<COLUMNS>().0.iter_mut().zip(total) {
        for (sum, total) in sums.iter_mut().zip(total) {
            *sum = sum.add(total);
        }
    }
}

/// Rows of a tile: as many as the registers of an instruction set hold.
pub(crate) fn rows(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => TALL,
        _ => FLAT,
    }
}

const TALL: usize = 8;
const FLAT: usize = 4;
/// The most rows of a tile.
pub(crate) const MAX_ROWS: usize = TALL;

// Expressions, not closures: those would be compiled for the instruction set of the program.
macro_rules! number {
    (
        $type:ident, $lane:ident, $tall:ident, $flat:ident,
        |$a:ident, $b:ident| $add:expr, |$fused:ident, $x:ident, $y:ident, $sum:ident| $multiply_add:expr
    ) => {
        #[inline(always)]
        fn $tall<const FUSED: bool>(a: &[$type], b: &[$type], sums: &mut [$type]) {
            tile_of::<$type, FUSED, TALL>(a, b, sums);
        }

        #[inline(always)]
        fn $flat<const FUSED: bool>(a: &[$type], b: &[$type], sums: &mut [$type]) {
            tile_of::<$type, FUSED, FLAT>(a, b, sums);
        }

        impl Number for $type {
            #[inline(always)]
            fn add(self, other: $type) -> $type {
                let ($a, $b) = (self, other);
                $add
            }

            #[inline(always)]
            fn multiply_add<const FUSED: bool>(self, b: $type, sum: $type) -> $type {
                let ($fused, $x, $y, $sum) = (FUSED, self, b, sum);
                $multiply_add
            }

            fn load(base: *const u8, dtype: DType, walk: &Walk, start: usize, out: &mut [$type]) {
                load::$lane(base, dtype, walk, start, bytemuck::cast_slice_mut(out));
            }

            fn tile(isa: Isa, rows: usize, a: &[$type], b: &[$type], sums: &mut [$type]) {
                multiversion! {
                    fn tall(a: &[$type], b: &[$type], sums: &mut [$type]) = $tall<FUSED>
                }
                multiversion! {
                    fn flat(a: &[$type], b: &[$type], sums: &mut [$type]) = $flat<FUSED>
                }
                if rows == TALL { tall(isa, a, b, sums) } else { flat(isa, a, b, sums) }
            }
        }
    };
}

mod load {
    use super::{DType, Walk, block, memory};

    pub(super) fn word(base: *const u8, dtype: DType, walk: &Walk, start: usize, out: &mut [u32]) {
        block::load(base, dtype, walk, 0, start, out);
    }

    pub(super) fn long(base: *const u8, _: DType, walk: &Walk, start: usize, out: &mut [u64]) {
        memory::load_words(base, walk, start, out);
    }
}

number!(f64, long, tall_f64, flat_f64, |a, b| a + b, |fused, a, b, sum| if fused {
    a.mul_add(b, sum)
} else {
    a * b + sum
});
number!(f32, word, tall_f32, flat_f32, |a, b| a + b, |fused, a, b, sum| if fused {
    a.mul_add(b, sum)
} else {
    a * b + sum
});
number!(i64, long, tall_i64, flat_i64, |a, b| a.wrapping_add(b), |_fused, a, b, sum| a
    .wrapping_mul(b)
    .wrapping_add(sum));
number!(u32, word, tall_u32, flat_u32, |a, b| a.wrapping_add(b), |_fused, a, b, sum| a
    .wrapping_mul(b)
    .wrapping_add(sum));

/// One operand of a product, and how it is walked to be packed: its lines run along the sum or across it.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) buffer: usize,
    pub(crate) dtype: DType,
    pub(crate) walk: Walk,
    /// Lines run along the sum.
    pub(crate) along: bool,
}

/// What of an operand is packed at once; ranges are a first one and how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// The batch, and the rows (or columns) and terms of the sum that belong to each.
    pub(crate) batch: (usize, usize, usize),
    /// Rows (or columns) of the batch.
    pub(crate) lines: (usize, usize),
    /// Terms of the sum.
    pub(crate) terms: (usize, usize),
    /// Rows (or columns) of a panel.
    pub(crate) width: usize,
}

impl Side {
    /// Packs a piece as panels: in a panel term after term, each with as many elements as the panel is wide, zeros where
    /// there are none. `line` is scratch.
    pub(crate) fn pack<T: Number>(
        &self,
        base: *const u8,
        piece: Piece,
        (panels, line): (&mut Vec<T>, &mut Vec<T>),
    ) {
        let Piece { batch: (batch, extent, terms), lines: (first, count), terms: k, width } = piece;
        let need = count.next_multiple_of(width) * k.1;
        panels.clear();
        panels.resize(need, T::default());
        let start = batch * extent * terms;
        if self.along {
            line.resize(k.1, T::default());
            for i in 0..count {
                T::load(base, self.dtype, &self.walk, start + (first + i) * terms + k.0, line);
                let panel = &mut panels[i / width * width * k.1..];
                for (slot, value) in panel.iter_mut().skip(i % width).step_by(width).zip(&*line) {
                    *slot = *value;
                }
            }
            return;
        }
        line.resize(count, T::default());
        for term in 0..k.1 {
            T::load(base, self.dtype, &self.walk, start + (k.0 + term) * extent + first, line);
            for (number, part) in line.chunks(width).enumerate() {
                let at = (number * k.1 + term) * width;
                panels[at..at + part.len()].copy_from_slice(part);
            }
        }
    }
}
