//! Rows of variables are updated where they are, alone or in a slab, and mean what copies would.

#[path = "support/gpu.rs"]
mod gpu;

use kiln_graph::{Device, Function, Report, Result, Tensor, Variable, gradients, ops, with_device};

/// What an update makes of an element.
#[derive(Clone, Copy, Debug)]
enum Fold {
    Set,
    Add,
    Subtract,
    Multiply,
    Smaller,
    Larger,
}

const FOLDS: [Fold; 6] = [Fold::Set, Fold::Add, Fold::Subtract, Fold::Multiply, Fold::Smaller, Fold::Larger];

/// What rows are updated with.
#[derive(Clone, Copy, Debug)]
enum Source {
    Number(i32),
    /// The rows of another variable that the same indices name.
    Rows(usize),
    /// The first rows of another variable.
    First(usize),
    Total(usize),
}

/// A line of a program; variables by number.
#[derive(Clone, Debug)]
enum Line {
    Update { to: usize, fold: Fold, rows: Vec<i32>, source: Source },
    Affine { to: usize, from: usize, factor: i32, term: i32 },
    Reverse(usize),
    Read(usize),
    ReadRows(usize, Vec<i32>),
}

/// Rows and elements of a row of the variables: some begin at multiples of their rows, some do not.
const FORMS: [[usize; 2]; 6] = [[6, 4], [8, 4], [1, 3], [6, 4], [9, 2], [6, 6]];

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % end
    }

    fn rows(&mut self, of: usize) -> Vec<i32> {
        (0..1 + self.below(3)).map(|_| self.below(of) as i32).collect()
    }

    fn line(&mut self) -> Line {
        let to = self.below(FORMS.len());
        let [rows, width] = FORMS[to];
        let alike = |n: &usize| FORMS[*n][1] == width && FORMS[*n][0] >= rows;
        let others: Vec<usize> = (0..FORMS.len()).filter(alike).collect();
        let other = others[self.below(others.len())];
        match self.below(10) {
            0..5 => {
                let source = match self.below(4) {
                    0 => Source::Number(self.below(7) as i32 - 3),
                    1 => Source::Rows(other),
                    2 => Source::First(other),
                    _ => Source::Total(self.below(FORMS.len())),
                };
                Line::Update { to, fold: FOLDS[self.below(FOLDS.len())], rows: self.rows(rows), source }
            }
            5 | 6 => {
                let from = if FORMS[other] == FORMS[to] { other } else { to };
                Line::Affine { to, from, factor: self.below(5) as i32 - 2, term: self.below(3) as i32 }
            }
            7 => Line::Reverse(to),
            8 => Line::Read(to),
            _ => Line::ReadRows(to, self.rows(rows)),
        }
    }
}

/// Executes a program on arrays, each line a copy.
fn copying(program: &[Line], states: &mut [Vec<i32>]) -> Vec<Vec<i32>> {
    let row = |states: &[Vec<i32>], n: usize, row: usize| {
        let width = FORMS[n][1];
        states[n][row * width..][..width].to_vec()
    };
    let mut outputs = vec![];
    for line in program {
        match line {
            Line::Update { to, fold, rows, source } => {
                let total = |n: usize| states[n].iter().fold(0i32, |sum, x| sum.wrapping_add(*x));
                let width = FORMS[*to][1];
                let terms: Vec<Vec<i32>> = (0..rows.len())
                    .map(|i| match source {
                        Source::Number(number) => vec![*number; width],
                        Source::Rows(n) => row(states, *n, rows[i] as usize),
                        Source::First(n) => row(states, *n, i % FORMS[*n][0]),
                        Source::Total(n) => vec![total(*n); width],
                    })
                    .collect();
                for (at, terms) in rows.iter().zip(terms) {
                    let target = &mut states[*to][*at as usize * width..][..width];
                    for (x, term) in target.iter_mut().zip(terms) {
                        *x = match fold {
                            Fold::Set => term,
                            Fold::Add => x.wrapping_add(term),
                            Fold::Subtract => x.wrapping_sub(term),
                            Fold::Multiply => x.wrapping_mul(term),
                            Fold::Smaller => term.min(*x),
                            Fold::Larger => term.max(*x),
                        };
                    }
                }
            }
            Line::Affine { to, from, factor, term } => {
                let value = |x: &i32| x.wrapping_mul(*factor).wrapping_add(*term);
                states[*to] = states[*from].iter().map(value).collect();
            }
            Line::Reverse(to) => states[*to].reverse(),
            Line::Read(n) => outputs.push(states[*n].clone()),
            Line::ReadRows(n, rows) => {
                outputs.push(rows.iter().flat_map(|r| row(states, *n, *r as usize)).collect());
            }
        }
    }
    outputs
}

/// Executes a program on variables.
fn execute(program: &[Line], variables: &[Variable]) -> Result<Vec<Tensor>> {
    let mut outputs = vec![];
    for line in program {
        match line {
            Line::Update { to, fold, rows, source } => {
                let indices = Tensor::from_slice(rows);
                let first: Vec<i32> = (0..rows.len()).map(|i| i as i32).collect();
                let updates = match source {
                    Source::Number(number) => Tensor::scalar(*number),
                    Source::Rows(n) => variables[*n].sparse_read(&indices),
                    Source::First(n) => {
                        let taken = first.iter().map(|i| i % FORMS[*n][0] as i32).collect::<Vec<_>>();
                        match taken == first {
                            true => variables[*n].read().slice_axis(0, 0, rows.len() as i64),
                            false => variables[*n].sparse_read(&Tensor::from_slice(&taken)),
                        }
                    }
                    Source::Total(n) => variables[*n].read().sum(()),
                };
                let to = &variables[*to];
                match fold {
                    Fold::Set => to.scatter_update(&indices, &updates),
                    Fold::Add => to.scatter_add(&indices, &updates),
                    Fold::Subtract => to.scatter_sub(&indices, &updates),
                    Fold::Multiply => to.scatter_mul(&indices, &updates),
                    Fold::Smaller => to.scatter_min(&indices, &updates),
                    Fold::Larger => to.scatter_max(&indices, &updates),
                }?;
            }
            Line::Affine { to, from, factor, term } => {
                variables[*to].assign(variables[*from].read() * *factor + *term)?;
            }
            Line::Reverse(to) => variables[*to].assign(variables[*to].read().flip([0, 1]))?,
            Line::Read(n) => outputs.push(variables[*n].read()),
            Line::ReadRows(n, rows) => {
                outputs.push(variables[*n].sparse_read(&Tensor::from_slice(rows)));
            }
        }
    }
    Ok(outputs)
}

fn start(n: usize) -> Vec<i32> {
    let [rows, width] = FORMS[n];
    (0..rows * width).map(|i| (i * 5 + n * 3) as i32 % 11 - 5).collect()
}

fn variables(packed: bool) -> Result<Vec<Variable>> {
    let variable = |n| Variable::new(&Tensor::from_vec(start(n), &FORMS[n]));
    let variables = (0..FORMS.len()).map(variable).collect::<Result<Vec<_>>>()?;
    if packed {
        Variable::pack(&variables)?;
    }
    Ok(variables)
}

fn check(program: &[Line], traced: bool, packed: bool) -> Result<()> {
    let variables = variables(packed)?;
    let mut states: Vec<Vec<i32>> = (0..FORMS.len()).map(start).collect();
    let step = {
        let (program, variables) = (program.to_vec(), variables.clone());
        Function::new("step", move |_| execute(&program, &variables))
    };
    for turn in 0..2 {
        let expected = copying(program, &mut states);
        let outputs = if traced { step.call(&[])? } else { execute(program, &variables)? };
        let what = format!("turn {turn}, traced {traced}, packed {packed}: {program:#?}");
        for (found, expected) in outputs.iter().zip(&expected) {
            assert_eq!(found.to_vec::<i32>()?, *expected, "an output; {what}");
        }
        for (n, variable) in variables.iter().enumerate() {
            assert_eq!(variable.read().to_vec::<i32>()?, states[n], "variable {n}; {what}");
        }
    }
    Ok(())
}

#[test]
fn programs_mean_what_copies_would() {
    for (device, count) in [(Some(Device::cpu()), 400), (gpu::gpu(), 12)] {
        let Some(device) = device else { continue };
        with_device(&device, || {
            for seed in 0..count {
                let mut numbers = Numbers(seed);
                let program: Vec<Line> = (0..2 + seed as usize % 9).map(|_| numbers.line()).collect();
                for (traced, packed) in [(true, true), (true, false), (false, true)] {
                    check(&program, traced, packed)
                        .unwrap_or_else(|e| panic!("{device} {seed}: {e}\n{program:#?}"));
                }
            }
        });
    }
}

const ROWS: usize = 4000;
const WIDTH: usize = 16;

/// Bytes of the rows that the functions below update, and of little else.
const FEW_BYTES: u64 = 20_000;

fn table() -> Result<Variable> {
    Variable::new(&Tensor::ones(&[ROWS, WIDTH]))
}

/// Plans a function of 16 indices and rows.
fn plan(
    function: impl Fn(&Tensor, &Tensor) -> Result<Vec<Tensor>> + Send + Sync + 'static,
) -> Result<Report> {
    let function = Function::new("f", move |x| function(&x[0], &x[1]));
    let indices: Vec<i32> = (0..16).map(|i| i * 37 % 100).collect();
    function.explain(&[Tensor::from_slice(&indices), Tensor::ones(&[16, WIDTH])])
}

fn on_the_cpu(test: impl FnOnce() -> Result<()>) {
    with_device(&Device::cpu(), || test().unwrap_or_else(|e| panic!("{e}")));
}

fn assert_in_place(report: &Report, kernels: usize, what: &str) {
    assert!(report.temporary_bytes < FEW_BYTES, "{what}\n{report}");
    assert_eq!(report.kernels.len(), kernels, "{what}\n{report}");
}

#[test]
fn a_table_anywhere_in_a_slab_is_updated_in_place() {
    on_the_cpu(|| {
        for (before, kernels) in [(0, 2), (WIDTH, 2), (4, 3), (3, 3)] {
            let (table, after) = (table()?, Variable::new(&Tensor::zeros(&[5]))?);
            let mut all = vec![table.clone(), after];
            if before > 0 {
                all.insert(0, Variable::new(&Tensor::zeros(&[before]))?);
            }
            Variable::pack(&all)?;
            let report = plan(move |ids, rows| table.scatter_add(ids, rows).map(|()| vec![]))?;
            assert_in_place(&report, kernels, &format!("after {before} elements"));
        }
        Ok(())
    });
}

/// A step of Adam on the rows of a table that a batch has looked up.
fn lazy_adam(all: [Variable; 3], decays_all: bool) -> Result<Report> {
    plan(move |ids, x| {
        let [w, m, v] = &all;
        let rows = w.sparse_read(ids);
        let loss = (&rows * x).square().sum(());
        let g = gradients(&loss, std::slice::from_ref(&rows))?.remove(0);
        if decays_all {
            m.assign(m * 0.9)?;
            v.assign(v * 0.99)?;
        } else {
            m.scatter_mul(ids, 0.9)?;
            v.scatter_mul(ids, 0.99)?;
        }
        m.scatter_add(ids, &g * 0.1)?;
        v.scatter_add(ids, g.square() * 0.01)?;
        w.scatter_sub(ids, m.sparse_read(ids) / (v.sparse_read(ids).sqrt() + 1e-7) * 0.001)?;
        Ok(vec![loss])
    })
}

#[test]
fn rows_are_updated_one_after_the_other_in_place() {
    on_the_cpu(|| {
        for packed in [false, true] {
            for decays_all in [false, true] {
                let all = [table()?, table()?, table()?];
                if packed {
                    let bias = Variable::new(&Tensor::zeros(&[WIDTH / 2]))?;
                    Variable::pack(&[&[bias][..], &all].concat())?;
                }
                let report = lazy_adam(all, decays_all)?;
                let what = format!("packed: {packed}, all of the table decays: {decays_all}\n{report}");
                assert!(report.temporary_bytes < FEW_BYTES, "{what}");
            }
        }
        Ok(())
    });
}

#[test]
fn what_reads_the_value_from_before_runs_before() {
    on_the_cpu(|| {
        let (a, b) = (table()?, table()?);
        Variable::pack(&[b.clone(), a.clone()])?;
        let of_step = a.clone();
        let report = plan(move |ids, rows| {
            let before = of_step.read().sum(());
            of_step.scatter_add(ids, rows)?;
            Ok(vec![before, of_step.read().sum(()), b.read().sum(())])
        })?;
        assert!(report.temporary_bytes < FEW_BYTES, "{report}");
        // An update of its own value from before: that is copied.
        let report = plan(move |ids, rows| {
            let before = a.read();
            a.scatter_add(ids, rows)?;
            Ok(vec![(a.read() - before).sum(())])
        })?;
        assert!(report.temporary_bytes >= (ROWS * WIDTH * 4) as u64, "{report}");
        Ok(())
    });
}

#[test]
fn parts_of_a_slab_change_places() {
    on_the_cpu(|| {
        for orders in [[1, 2, 0], [1, 0, 2], [2, 1, 0]] {
            let parts: Vec<Variable> = (0..3)
                .map(|i| Variable::new(&Tensor::full(&[5], i as f64, kiln_graph::DType::F32)))
                .collect::<Result<_>>()?;
            Variable::pack(&parts)?;
            let of_step = parts.clone();
            let step = Function::new("step", move |_| {
                let before: Vec<Tensor> = of_step.iter().map(Variable::read).collect();
                orders.iter().zip(&of_step).try_for_each(|(n, part)| part.assign(&before[*n]))?;
                Ok(vec![Tensor::concat(&before, 0), Tensor::stack(&before, 1)])
            });
            let mut expected = [0, 1, 2];
            for _ in 0..3 {
                let outputs = step.call(&[])?;
                let rows = outputs[0].to_vec::<f32>()?;
                assert!(
                    rows.iter().enumerate().all(|(i, x)| *x == expected[i / 5] as f32),
                    "{orders:?}: {rows:?}"
                );
                assert_eq!(outputs[1].to_vec::<f32>()?[..3], expected.map(|n| n as f32), "{orders:?}");
                expected = orders.map(|n| expected[n]);
                for (part, expected) in parts.iter().zip(expected) {
                    assert_eq!(part.read().to_vec::<f32>()?, [expected as f32; 5], "{orders:?}");
                }
            }
        }
        Ok(())
    });
}

/// All of a variable is what its own rows are updated with.
#[test]
fn rows_are_updated_with_their_own_variable() {
    on_the_cpu(|| {
        let start = [2.0f32, 3.0, 5.0];
        let (ids, before) = (Tensor::from_slice(&[1, 2, 1]), Variable::new(&Tensor::zeros(&[2]))?);
        let x = Variable::new(&Tensor::from_slice(&start))?;
        Variable::pack(&[before, x.clone()])?;
        let of_step = x.clone();
        let step = Function::new("step", move |a| {
            let rows = of_step.read();
            of_step.scatter_add(&a[0], &rows)?;
            Ok(vec![of_step.read() * 1.0])
        });
        let expected = [2.0, 3.0 + 2.0 + 5.0, 5.0 + 3.0];
        assert_eq!(step.call(&[ids])?[0].to_vec::<f32>()?, expected);
        assert_eq!(x.read().to_vec::<f32>()?, expected);
        Ok(())
    });
}

/// A body takes its input from the start of a buffer, which a part of a slab is not.
#[test]
fn a_branch_updates_rows_of_a_part_of_a_slab() {
    on_the_cpu(|| {
        let x = Variable::new(&Tensor::from_slice(&[2.0f32, 3.0, 5.0]))?;
        Variable::pack(&[Variable::new(&Tensor::zeros(&[3]))?, x.clone()])?;
        let step = Function::new("step", move |a| {
            let rows = x.read();
            let (at, ten) = (Tensor::from_slice(&[1]), Tensor::from_slice(&[10.0f32]));
            Ok(ops::cond(&a[0], || vec![rows.scatter_add(&at, &ten)], || vec![&rows * 2.0]))
        });
        for (condition, expected) in [(true, [2.0, 13.0, 5.0]), (false, [4.0, 6.0, 10.0])] {
            assert_eq!(step.call(&[Tensor::scalar(condition)])?[0].to_vec::<f32>()?, expected);
        }
        Ok(())
    });
}
