//! Register-tiled products of small matrices: the innermost loops of a contraction, for each instruction set.

use crate::cpu::isa::Isa;

/// A tile `c[i, j] (+)= Σ_k a[i, k] · b[k, j]` of at most [`MAX_ROWS`] rows and exactly `columns` columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    /// Rows computed; 1..=`Kernels::rows`.
    pub(crate) rows: usize,
    /// Length of the sums, or of one run of them.
    pub(crate) k: usize,
    /// Runs of columns of `a`.
    pub(crate) runs: usize,
    /// The left matrix.
    pub(crate) a: Left,
    /// `runs × k` rows of `Kernels::columns` elements.
    pub(crate) b: *const f32,
    /// Elements between rows of `b`.
    pub(crate) b_row: isize,
    pub(crate) c: *mut f32,
    /// Elements between rows of `c`.
    pub(crate) c_row: usize,
    /// Adds to what is in `c`.
    pub(crate) accumulate: bool,
}

/// The left matrix of a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    /// A panel of columns of `Kernels::rows` elements; a single run.
    Packed(*const f32),
    /// Pointers to where each run starts in each row, runs `pitch` apart. A run whose first pointer is null is all zeros.
    Rows {
        /// The first run's.
        table: *const *const f32,
        /// Pointers between runs.
        pitch: usize,
    },
    /// Pointers to the tile's rows of each column, which follow each other; a single run.
    Columns {
        /// The first column's.
        table: *const *const f32,
        /// Elements from where a pointer points to the first row.
        offset: usize,
    },
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
    functions: [Function; MAX_ROWS + 1],
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}×{}", self.rows, self.columns)
    }
}

macro_rules! table {
    ($function:ident, [$($rows:literal),*]) => {
        [$($function::<$rows>),*]
    };
}

impl Kernels {
    pub(crate) fn new(isa: Isa) -> Kernels {
        match isa {
            Isa::Baseline => Kernels {
                rows: 4,
                columns: 8,
                functions: table!(portable, [1, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4]),
            },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Kernels {
                rows: 6,
                columns: 16,
                functions: table!(avx2, [1, 1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 6]),
            },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Kernels {
                rows: 12,
                columns: 32,
                functions: table!(avx512, [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
            },
        }
    }

    /// Computes a tile.
    ///
    /// # Safety
    /// The tile's pointers must reach all its elements, `columns` of them in every row of `b` and `c`; the
    /// instruction set is that of this machine.
    pub(crate) unsafe fn run(&self, tile: &Tile) {
        // SAFETY: the caller's promise.
        unsafe { self.functions[tile.rows](tile) }
    }
}

/// Eight columns, for any instruction set.
///
/// # Safety
/// As for [`Kernels::run`].
unsafe fn portable<const ROWS: usize>(t: &Tile) {
    const COLUMNS: usize = 8;
    const PANEL: usize = 4;
    let fused = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
    let mut sums = [[0f32; COLUMNS]; ROWS];
    // SAFETY: the caller's promise.
    unsafe {
        for k in 0..t.runs * t.k {
            let b = t.b.wrapping_offset(k as isize * t.b_row);
            let b: [f32; COLUMNS] = b.cast::<[f32; COLUMNS]>().read_unaligned();
            if let Left::Rows { table, pitch } = t.a
                && (*table.add(k / t.k * pitch)).is_null()
            {
                continue;
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = match t.a {
                    Left::Packed(a) => *a.add(k * PANEL + i),
                    Left::Rows { table, pitch } => *(*table.add(k / t.k * pitch + i)).add(k % t.k),
                    Left::Columns { table, offset } => *(*table.add(k)).add(offset + i),
                };
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
    ($name:ident, $features:literal, $lanes:literal, $panel:literal, $zero:ident, $load:ident, $store:ident,
     $splat:ident, $fma:ident, $add:ident) => {
        /// Two vectors of columns.
        ///
        /// # Safety
        /// As for [`Kernels::run`].
        #[target_feature(enable = $features)]
        unsafe fn $name<const ROWS: usize>(t: &Tile) {
            use std::arch::x86_64::*;
            let mut sums = [[$zero(); 2]; ROWS];
            let mut b = t.b;
            // SAFETY: the caller's promise.
            unsafe {
                match t.a {
                    Left::Packed(a) => {
                        for k in 0..t.k {
                            let (b0, b1) = ($load(b), $load(b.add($lanes)));
                            for (i, sums) in sums.iter_mut().enumerate() {
                                let x = $splat(*a.add(k * $panel + i));
                                sums[0] = $fma(x, b0, sums[0]);
                                sums[1] = $fma(x, b1, sums[1]);
                            }
                            b = b.wrapping_offset(t.b_row);
                        }
                    }
                    Left::Rows { table, pitch } => {
                        for run in 0..t.runs {
                            let rows = table.add(run * pitch).cast::<[*const f32; ROWS]>().read();
                            if rows[0].is_null() {
                                b = b.wrapping_offset(t.k as isize * t.b_row);
                                continue;
                            }
                            for k in 0..t.k {
                                let (b0, b1) = ($load(b), $load(b.add($lanes)));
                                for (row, sums) in rows.iter().zip(&mut sums) {
                                    let x = $splat(*row.add(k));
                                    sums[0] = $fma(x, b0, sums[0]);
                                    sums[1] = $fma(x, b1, sums[1]);
                                }
                                b = b.wrapping_offset(t.b_row);
                            }
                        }
                    }
                    Left::Columns { table, offset } => {
                        for k in 0..t.k {
                            let a = (*table.add(k)).add(offset);
                            let (b0, b1) = ($load(b), $load(b.add($lanes)));
                            for (i, sums) in sums.iter_mut().enumerate() {
                                let x = $splat(*a.add(i));
                                sums[0] = $fma(x, b0, sums[0]);
                                sums[1] = $fma(x, b1, sums[1]);
                            }
                            b = b.wrapping_offset(t.b_row);
                        }
                    }
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
    6,
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
    12,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_of_every_instruction_set_are_products() {
        let number = |i: usize| ((i * 37 + 11) % 23) as f32 - 11.0;
        let (k, runs) = (7, 3);
        for isa in Isa::runnable() {
            let kernels = Kernels::new(isa);
            let columns = kernels.columns;
            for rows in 1..=kernels.rows {
                let a: Vec<f32> = (0..runs * k * kernels.rows).map(number).collect();
                let b: Vec<f32> = (0..runs * k * columns).map(|i| number(i + 5)).collect();
                // The same matrix row by row, for the form that points to rows.
                let lines: Vec<f32> =
                    (0..rows * runs * k).map(|i| a[i % (runs * k) * kernels.rows + i / (runs * k)]).collect();
                let at =
                    |n: usize| lines[(n % MAX_ROWS).min(rows - 1) * runs * k + n / MAX_ROWS * k..].as_ptr();
                let table: Vec<*const f32> = (0..runs * MAX_ROWS).map(at).collect();
                let columns_of: Vec<*const f32> =
                    (0..runs * k).map(|s| a[s * kernels.rows..].as_ptr()).collect();
                for (left, k, runs) in [
                    (Left::Packed(a.as_ptr()), runs * k, 1),
                    (Left::Rows { table: table.as_ptr(), pitch: MAX_ROWS }, k, runs),
                    (Left::Columns { table: columns_of.as_ptr(), offset: 0 }, runs * k, 1),
                ] {
                    let mut c = vec![1.0f32; rows * columns];
                    let tile = Tile {
                        rows,
                        k,
                        runs,
                        a: left,
                        b: b.as_ptr(),
                        b_row: columns as isize,
                        c: c.as_mut_ptr(),
                        c_row: columns,
                        accumulate: true,
                    };
                    // SAFETY: the operands have the sizes of the tile; the instruction set is this machine's.
                    unsafe { kernels.run(&tile) };
                    for (at, got) in c.iter().enumerate() {
                        let (i, j) = (at / columns, at % columns);
                        let sum: f32 =
                            (0..k * runs).map(|s| a[s * kernels.rows + i] * b[s * columns + j]).sum();
                        assert_eq!(*got, sum + 1.0, "{isa:?} {left:?} row {i} column {j}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_run_of_zeros_is_left_out() {
        for isa in Isa::runnable() {
            let kernels = Kernels::new(isa);
            let (k, columns) = (3, kernels.columns);
            let a = [2.0f32; 3];
            let b = vec![1.0f32; 2 * k * columns];
            let mut table = [std::ptr::null(); 2 * MAX_ROWS];
            table[MAX_ROWS..].fill(a.as_ptr());
            let mut c = vec![0.0f32; columns];
            let tile = Tile {
                rows: 1,
                k,
                runs: 2,
                a: Left::Rows { table: table.as_ptr(), pitch: MAX_ROWS },
                b: b.as_ptr(),
                b_row: columns as isize,
                c: c.as_mut_ptr(),
                c_row: columns,
                accumulate: false,
            };
            // SAFETY: the operands have the sizes of the tile; the instruction set is this machine's.
            unsafe { kernels.run(&tile) };
            assert!(c.iter().all(|c| *c == 6.0), "{isa:?}");
        }
    }
}
