//! Register-tiled products of small matrices: the innermost loops of a contraction, for each instruction set.

use crate::cpu::isa::Isa;

/// A tile `c[i, j] (+)= Σ_k a[i, k] · b[k, j]` of at most [`MAX_ROWS`] rows and exactly `columns` columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    /// Rows computed; 1..=`Kernels::rows`.
    pub(crate) rows: usize,
    /// Length of the sums.
    pub(crate) k: usize,
    pub(crate) a: *const f32,
    /// Elements between rows of `a`; 1 for a packed panel.
    pub(crate) a_row: usize,
    /// Elements between columns of `a`.
    pub(crate) a_k: usize,
    pub(crate) b: *const f32,
    /// Elements between rows of `b`.
    pub(crate) b_k: usize,
    pub(crate) c: *mut f32,
    /// Elements between rows of `c`.
    pub(crate) c_row: usize,
    /// Adds to what is in `c`.
    pub(crate) accumulate: bool,
}

type Function = unsafe fn(&Tile);

/// The most rows of any tile.
pub(crate) const MAX_ROWS: usize = 12;
/// The most columns of any tile.
pub(crate) const MAX_COLUMNS: usize = 32;

/// The tile functions of one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    /// Rows of a full tile.
    pub(crate) rows: usize,
    /// Columns of a tile.
    pub(crate) columns: usize,
    packed: [Function; MAX_ROWS + 1],
    strided: [Function; MAX_ROWS + 1],
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}×{}", self.rows, self.columns)
    }
}

macro_rules! table {
    ($function:ident, $packed:literal, [$($rows:literal),*]) => {
        [$($function::<$rows, $packed>),*]
    };
}

impl Kernels {
    pub(crate) fn new(isa: Isa) -> Kernels {
        match isa {
            Isa::Baseline => Kernels {
                rows: 4,
                columns: 8,
                packed: table!(portable, true, [1, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4]),
                strided: table!(portable, false, [1, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4]),
            },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Kernels {
                rows: 6,
                columns: 16,
                packed: table!(avx2, true, [1, 1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 6]),
                strided: table!(avx2, false, [1, 1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 6]),
            },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Kernels {
                rows: 12,
                columns: 32,
                packed: table!(avx512, true, [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
                strided: table!(avx512, false, [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
            },
        }
    }

    /// Computes a tile.
    ///
    /// # Safety
    /// The tile's pointers must reach all its elements, `columns` of them in every row of `b` and `c`; `a_row` is 1
    /// or not as packed says; the instruction set is that of this machine.
    pub(crate) unsafe fn run(&self, tile: &Tile) {
        let functions = if tile.a_row == 1 {
            &self.packed
        } else {
            &self.strided
        };
        // SAFETY: the caller's promise.
        unsafe { functions[tile.rows](tile) }
    }
}

/// Eight columns, for any instruction set.
///
/// # Safety
/// As for [`Kernels::run`].
unsafe fn portable<const ROWS: usize, const PACKED: bool>(t: &Tile) {
    const COLUMNS: usize = 8;
    let fused = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
    let a_row = if PACKED { 1 } else { t.a_row };
    let mut sums = [[0f32; COLUMNS]; ROWS];
    // SAFETY: the caller's promise.
    unsafe {
        for k in 0..t.k {
            let b: [f32; COLUMNS] = t.b.add(k * t.b_k).cast::<[f32; COLUMNS]>().read_unaligned();
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = *t.a.add(i * a_row + k * t.a_k);
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = if fused { a.mul_add(b, *sum) } else { a * b + *sum };
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, sum) in sums.iter().enumerate() {
                let c = t.c.add(i * t.c_row + j);
                *c = if t.accumulate { *c + sum } else { *sum };
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
macro_rules! x86_tile {
    ($name:ident, $features:literal, $lanes:literal, $zero:ident, $load:ident, $store:ident, $splat:ident, $fma:ident, $add:ident) => {
        /// Two vectors of columns.
        ///
        /// # Safety
        /// As for [`Kernels::run`].
        #[target_feature(enable = $features)]
        unsafe fn $name<const ROWS: usize, const PACKED: bool>(t: &Tile) {
            use std::arch::x86_64::*;
            let a_row = if PACKED { 1 } else { t.a_row };
            let mut sums = [[$zero(); 2]; ROWS];
            let (mut a, mut b) = (t.a, t.b);
            // SAFETY: the caller's promise.
            unsafe {
                for _ in 0..t.k {
                    let (b0, b1) = ($load(b), $load(b.add($lanes)));
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let x = $splat(*a.add(i * a_row));
                        sums[0] = $fma(x, b0, sums[0]);
                        sums[1] = $fma(x, b1, sums[1]);
                    }
                    a = a.wrapping_add(t.a_k);
                    b = b.wrapping_add(t.b_k);
                }
                for (i, sums) in sums.iter().enumerate() {
                    let c = t.c.add(i * t.c_row);
                    let [mut s0, mut s1] = *sums;
                    if t.accumulate {
                        s0 = $add($load(c), s0);
                        s1 = $add($load(c.add($lanes)), s1);
                    }
                    $store(c, s0);
                    $store(c.add($lanes), s1);
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
x86_tile!(
    avx2,
    "avx2,fma",
    8,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps
);
#[cfg(target_arch = "x86_64")]
x86_tile!(
    avx512,
    "avx512f",
    16,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps
);
