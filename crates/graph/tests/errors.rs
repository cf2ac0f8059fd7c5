//! Bad calls: each is an error that says what was expected and what came, at the user's line; nothing panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kiln_device::ScatterOp;
use kiln_graph::{
    Axes, DType, Device, Function, Padding, Tensor, Variable, gradients, gradients_with, with_device,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[track_caller]
fn ones(shape: &[usize]) -> Tensor {
    Tensor::ones(shape)
}

fn labels(shape: &[usize]) -> Tensor {
    Tensor::full(shape, 0.0, DType::I32)
}

/// A bad call, and words that its error must have, the first at its start.
type Row = (Tensor, &'static [&'static str]);

/// Rows of bad calls, each on its own line.
macro_rules! rows {
    ($($call:expr => $($word:literal)+;)*) => { vec![$(($call, &[$($word),+] as &'static [&'static str])),*] };
}

fn shapes() -> Vec<Row> {
    let m = ones(&[2, 3]);
    rows! {
        &m + ones(&[2, 4]) => "[add]" "[2, 3]" "[2, 4]";
        Tensor::select(&ones(&[2]).less(0.0), ones(&[3]), 1.0) => "[select]" "[2]" "[3]";
        m.matmul(&ones(&[4, 5])) => "[matmul]" "[2, 3]" "[4, 5]";
        m.matmul(&ones(&[])) => "[matmul]" "[]";
        ones(&[2, 3, 4]).matmul(&ones(&[5, 4, 2])) => "[matmul]" "[2, 3, 4]" "[5, 4, 2]";
        m.reshape(&[7]) => "[reshape]" "[2, 3] has 6" "[7]";
        m.reshape(&[-1, -1]) => "[reshape]" "[-1, -1]";
        m.reshape(&[-1, 4]) => "[reshape]" "[-1, 4]";
        m.reshape(&[-2]) => "[reshape]" "[-2]";
        m.reshape(&[-1, 0]) => "[reshape]" "[-1, 0]";
        m.broadcast_to(&[3, 3]) => "[broadcast_to]" "[2, 3]" "[3, 3]";
        m.broadcast_to(&[3]) => "[broadcast_to]" "[2, 3]" "[3]";
        m.pad(&[(1, 1)], 0.0) => "[pad]" "expected 2 pairs, received 1";
        Tensor::concat(&[m.clone(), ones(&[3, 3])], 1) => "[concat]" "[2, 3]" "[3, 3]";
        Tensor::concat(&[m.clone(), ones(&[3])], 0) => "[concat]" "[3]";
        Tensor::concat(&[], 0) => "[concat]" "expected at least one";
        Tensor::from_vec(vec![1.0f32; 5], &[2, 3]) => "[from_vec]" "expected 6" "[2, 3]" "received 5";
        ones(&[3]).conv(&ones(&[3, 1, 1]), &[1], Padding::Valid, &[1], 1) => "[conv]" "[3]";
        ones(&[1, 5, 2]).conv(&ones(&[3, 3, 1]), &[1], Padding::Valid, &[1], 1) => "[conv]" "[1, 5, 2]" "[3, 3, 1]";
        ones(&[1, 2, 2]).conv(&ones(&[3, 2, 1]), &[1], Padding::Valid, &[1], 1) => "[conv]" "zero or negative";
        ones(&[1, 5, 2]).conv(&ones(&[3, 2, 1]), &[0], Padding::Valid, &[1], 1) => "[conv]" "[0]";
        ones(&[1, 5, 2]).conv(&ones(&[3, 1, 3]), &[1], Padding::Valid, &[1], 2) => "[conv]" "2 groups";
        ones(&[4]).max_pool(&[2], &[2], Padding::Valid) => "[max_pool]" "[4]";
        ones(&[1, 2, 1]).max_pool(&[3], &[1], Padding::Valid) => "[max_pool]" "zero" "[1, 2, 1]";
        ones(&[1, 4, 1]).average_pool(&[0], &[1], Padding::Same) => "[average_pool]" "[0]";
        m.sparse_softmax_cross_entropy(&labels(&[3])) => "[sparse_softmax_cross_entropy]" "[2]" "[3]";
        m.scatter_add(&labels(&[2]), &ones(&[2, 4])) => "[scatter]" "[2, 3]" "[2, 4]";
        m.take_along_axis(&labels(&[3, 3]), 1) => "[take_along_axis]" "[2, 3]" "[3, 3]";
        m.top_k(4).0 => "[top_k]" "4" "[2, 3]";
        m.keep_dims(&ones(&[2, 3, 4]), [1]) => "[keep_dims]" "[2, 3]";
        Tensor::random_bits(&m, &[2]) => "[random]";
    }
}

fn axes() -> Vec<Row> {
    let m = ones(&[2, 3]);
    rows! {
        m.sum(2) => "[sum]" "axis 2" "rank 2";
        m.max([-3]) => "[max]" "axis -3";
        m.mean([0, 0]) => "[mean]" "twice";
        m.variance(5) => "[variance]" "axis 5";
        m.any([0, -2]) => "[any]" "twice";
        m.argmax(2) => "[argmax]" "axis 2";
        m.argmin(i64::MIN) => "[argmin]" "out of range";
        m.softmax(2) => "[softmax]" "axis 2";
        m.log_softmax(-3) => "[log_softmax]" "axis -3";
        m.logsumexp([0, 3]) => "[logsumexp]" "axis 3";
        m.normalize_moments(4, 1e-3) => "[normalize_moments]" "axis 4";
        m.cumsum(2) => "[cumsum]" "axis 2";
        m.flip(2) => "[flip]" "axis 2";
        m.sort(3) => "[sort]" "axis 3";
        m.argsort(-3, false) => "[argsort]" "axis -3";
        m.transpose(&[0]) => "[transpose]" "permutation of 2 axes" "[0]";
        m.transpose(&[0, 0]) => "[transpose]" "[0, 0]";
        m.swap_axes(0, 2) => "[swap_axes]" "2";
        m.expand_dims(4) => "[expand_dims]" "axis 4";
        m.squeeze(0) => "[squeeze]" "axis 0" "[2, 3]";
        m.squeeze(2) => "[squeeze]" "axis 2";
        m.slice_axis(0, 1, 3) => "[slice]" "1..3" "2";
        m.slice_axis(0, 2, 1) => "[slice]" "2..1";
        m.slice_axis(2, 0, 1) => "[slice]" "axis 2";
        m.flatten_from(3) => "[flatten]" "axis 3";
        m.window(2, 1, 1, 1) => "[window]" "axis";
        m.window(0, 0, 1, 1) => "[window]" "size";
        m.take(&labels(&[1]), 2) => "[take]" "axis 2";
        Tensor::concat(&[m.clone(), m.clone()], 2) => "[concat]" "axis 2";
        Tensor::stack(&[m.clone(), m.clone()], 3) => "[stack]" "axis 3";
        Tensor::iota(&[2, 3], 2) => "[iota]" "axis";
    }
}

fn types() -> Vec<Row> {
    let (m, whole) = (ones(&[2]), labels(&[2]));
    rows! {
        m.logical_and(&m) => "[and]" "float32";
        m.left_shift(&m) => "[shl]" "float32";
        Tensor::select(&m, &m, &m) => "[select]" "float32";
        m.take(&m, 0) => "[take]" "float32";
        m.one_hot(3, DType::F32) => "[one_hot]" "float32";
        m.bitcast(DType::Bool) => "[bitcast]" "bool";
        m.bitcast(DType::F16) => "[bitcast]" "float16";
        m.check_labels(3, "my_loss") => "[my_loss]" "float32";
        m.scatter_add(&whole, &labels(&[2])) => "[scatter]" "float32" "int32";
    }
}

fn sizes() -> Vec<Row> {
    let huge = 1usize << 40;
    rows! {
        ones(&[huge, huge]) => "[constant]" "overflows";
        ones(&[huge, huge, 0]) => "[constant]" "overflows";
        ones(&[huge, 1]).broadcast_to(&[huge, huge]) => "[broadcast_to]" "overflows";
        &ones(&[huge, 1]) + &ones(&[1, huge]) => "[broadcast_to]" "overflows";
        ones(&[huge, 1]).matmul(&ones(&[1, huge])) => "[matmul]" "overflows";
        ones(&[2]).pad(&[(usize::MAX, 1)], 0.0) => "[pad]" "overflows";
        ones(&[2]).pad(&[(usize::MAX / 2, 0)], 0.0) => "[pad]" "overflows";
        Tensor::eye(usize::MAX) => "[eye]" "overflows";
        Tensor::range(usize::MAX) => "[range]" "overflows";
        labels(&[huge]).one_hot(huge, DType::F32) => "[one_hot]" "overflows";
        ones(&[2, 3]).reshape(&[i64::MAX, i64::MAX]) => "[reshape]" "[2, 3] has 6";
        ones(&[4]).window(0, usize::MAX, 1, usize::MAX) => "[window]";
        Tensor::concat(&vec![ones(&[usize::MAX / 64]); 5], 0) => "[concat]" "overflows";
        Tensor::random_normal(&Tensor::full(&[2], 1.0, DType::U32), &[huge, huge]) => "[random]" "overflows";
    }
}

#[test]
fn a_bad_operation_says_what_came_and_where() {
    let mut wrong = vec![];
    let mut last_line = 0;
    for (tensor, words) in [shapes(), axes(), types(), sizes()].concat() {
        let Some(error) = tensor.error() else {
            wrong.push(format!("after line {last_line}: no error for {words:?}"));
            continue;
        };
        let text = error.to_string();
        assert_eq!(tensor.to_vec::<f32>().expect_err("an error").to_string(), text);
        let line = text
            .rsplit_once("tests/errors.rs:")
            .and_then(|(_, line)| line.trim_end_matches(')').parse().ok());
        let missing: Vec<&&str> = words.iter().filter(|w| !text.contains(**w)).collect();
        // The rows stand in order, so an error of another row's line is seen.
        if !missing.is_empty() || !text.starts_with(words[0]) || line.is_none_or(|l: u32| l <= last_line) {
            wrong.push(format!("{text}\n    misses {missing:?} after line {last_line}"));
        }
        last_line = line.unwrap_or(last_line);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn errors_of_reading_and_of_devices() {
    let cpu = Device::cpu();
    let other = Device::cpu_with_threads(1).expect("device");
    with_device(&cpu, || {
        let x = ones(&[2]);
        let here = with_device(&cpu, || Variable::new(&x)).expect("variable");
        let there = with_device(&other, || Variable::new(&x)).expect("variable");
        let gathered = |index: i32| x.take(&Tensor::from_slice(&[index]), 0).to_vec::<f32>();
        let rows = [
            (x.to_vec::<i32>().map(drop), "[to_vec] expected a int32 tensor, received float32"),
            (x.item::<f32>().map(drop), "[item] expected one element, received shape [2]"),
            (gathered(2).map(drop), "[take] index 2 at position 0 is out of range, expected 0 ≤ index < 2"),
            (gathered(-3).map(drop), "[take] index -3 at position 0"),
            (ones(&[0]).take(&labels(&[1]), 0).to_vec::<f32>().map(drop), "[take]"),
            (here.assign(ones(&[3])), "[assign] expected shape [2] float32"),
            (here.assign(1.0), "[assign] expected shape [2] float32 for an unnamed variable of shape [2]"),
            (
                (here.read() + there.read()).to_vec::<f32>().map(drop),
                "[device] expected tensors and variables on one device",
            ),
            (
                Variable::pack(&[here.clone(), there.clone()]).map(drop),
                "[pack] expected variables of one dtype",
            ),
            (Variable::pack(&[here.clone(), here.clone()]).map(drop), "[pack] expected distinct variables"),
            (Variable::pack(&[]).map(drop), "[pack] expected at least one variable"),
            (
                gradients(&x, std::slice::from_ref(&x)).map(drop),
                "[gradients] expected a float scalar, received shape [2]",
            ),
            (
                gradients(&labels(&[]), &[]).map(drop),
                "[gradients] expected a float scalar, received shape [] int32",
            ),
            (gradients(&x.sum(()), &[labels(&[])]).map(drop), "[gradients] expected float tensors"),
            (gradients_with(&x, &ones(&[3]), &[]).map(drop), "[gradients] cotangent [3]"),
            (Function::new("f", |_| Ok(vec![ones(&[2]) + ones(&[3])])).call(&[]).map(drop), "[add]"),
            (Device::open("quantum").map(drop).map_err(Into::into), "[device] no device named `quantum`"),
            (Variable::new(&ones(&[1 << 40])).map(drop), "[memory]"),
            (ones(&[1 << 40]).to_vec::<f32>().map(drop), "[memory]"),
        ];
        for (result, start) in rows {
            let text = result.expect_err(start).to_string();
            assert!(text.starts_with(start), "{text}\nexpected {start}");
        }
        assert_eq!(gathered(1).expect("in range"), [1.0]);
        assert_eq!(gathered(-1).expect("from the end"), [1.0]);
    });
}

#[test]
fn more_axes_than_a_kernel_has_loops_are_an_error() {
    // Reversed, so that no two axes can be walked as one.
    let reversed =
        |rank: i64| ones(&vec![2; rank as usize]).cumsum(0).transpose(&(0..rank).rev().collect::<Vec<_>>());
    with_device(&Device::cpu(), || {
        assert!((reversed(12) + 1.0).to_vec::<f32>().is_ok());
        let axes: Vec<i64> = [2].into_iter().chain([1; 30]).collect();
        assert!(ones(&[2]).reshape(&axes).tanh().to_vec::<f32>().is_ok());
        // 2^25 elements are not computed: the kernel is refused first.
        let error = (reversed(25) + 1.0).to_vec::<f32>().expect_err("too many loops");
        assert!(error.to_string().contains("above the limit 24"), "{error}");
    });
}

#[test]
fn reductions_of_nothing_have_a_value_or_are_errors() {
    with_device(&Device::cpu(), || {
        let none = ones(&[0, 3]);
        assert_eq!(none.sum(()).item::<f32>().expect("0"), 0.0);
        assert_eq!(none.prod(0).to_vec::<f32>().expect("1"), [1.0; 3]);
        assert!(none.mean(()).item::<f32>().expect("NaN").is_nan());
        assert!(!none.less(0.0).any(()).item::<bool>().expect("false"));
        assert!(none.less(0.0).all(()).item::<bool>().expect("true"));
        assert_eq!(none.max(0).to_vec::<f32>().expect("-inf"), [f32::NEG_INFINITY; 3]);
        let text = none.argmax(0).to_vec::<i32>().expect_err("undefined").to_string();
        assert!(
            text.starts_with("[argmax]") && text.contains("[0, 3]") && text.contains("errors.rs"),
            "{text}"
        );
    });
}

/// Arguments that make sense and ones that do not.
fn tensors() -> impl Strategy<Value = Tensor> {
    let extent = prop_oneof![8 => 0usize..5, 1 => Just(1usize << 40), 1 => any::<usize>()];
    let dtype = proptest::sample::select(DType::ALL.to_vec());
    (proptest::collection::vec(extent, 0..4), dtype)
        .prop_map(|(shape, dtype)| Tensor::full(&shape, 1.0, dtype))
}

fn numbers() -> impl Strategy<Value = i64> {
    prop_oneof![8 => -4i64..5, 1 => any::<i64>()]
}

#[derive(Clone, Debug)]
struct Arguments {
    tensors: [Tensor; 3],
    numbers: Vec<i64>,
    same: bool,
    /// What is made is computed too.
    computed: bool,
}

impl Arguments {
    fn unsigned(&self, i: usize) -> usize {
        self.numbers[i % self.numbers.len()] as usize
    }

    fn sizes(&self) -> Vec<usize> {
        self.numbers.iter().map(|n| *n as usize).collect()
    }

    fn axes(&self) -> Axes {
        if self.same { Axes::All } else { Axes::Of(self.numbers.clone()) }
    }

    fn padding(&self) -> Padding {
        if self.same { Padding::Same } else { Padding::Valid }
    }
}

type Method = (&'static str, fn(&Arguments) -> Tensor);

/// Every method that makes a tensor of arguments that may be bad.
const METHODS: &[Method] = &[
    ("binary", |a| {
        let [x, y, _] = &a.tensors;
        let all = [
            x + y,
            x / y,
            x.pow(y),
            x.modulo(y),
            x.logical_and(y),
            x.left_shift(y),
            x.floor_divide(y),
            x.less(y),
        ];
        all.last().map_or(x.clone(), Clone::clone)
    }),
    ("unary", |a| {
        let x = &a.tensors[0];
        let all = [
            x.exp(),
            -x,
            x.sign(),
            x.logical_not(),
            x.is_nan(),
            x.is_finite(),
            x.tan(),
            x.square(),
            x.reciprocal(),
        ];
        all.last().map_or(x.clone(), Clone::clone)
    }),
    ("select", |a| Tensor::select(&a.tensors[0], &a.tensors[1], &a.tensors[2])),
    ("clip", |a| a.tensors[0].clip(&a.tensors[1], 1)),
    ("cast", |a| a.tensors[0].cast(a.tensors[1].dtype())),
    ("bitcast", |a| a.tensors[0].bitcast(a.tensors[1].dtype())),
    ("sum", |a| a.tensors[0].sum(a.axes())),
    ("prod", |a| a.tensors[0].prod(a.axes())),
    ("max", |a| a.tensors[0].max(a.axes())),
    ("mean", |a| a.tensors[0].mean(a.axes())),
    ("variance", |a| a.tensors[0].variance(a.axes())),
    ("any", |a| a.tensors[0].any(a.axes())),
    ("argmax", |a| a.tensors[0].argmax(a.numbers[0])),
    ("argmin", |a| a.tensors[0].argmin(a.numbers[0])),
    ("softmax", |a| a.tensors[0].softmax(a.numbers[0])),
    ("log_softmax", |a| a.tensors[0].log_softmax(a.numbers[0])),
    ("logsumexp", |a| a.tensors[0].logsumexp(a.axes())),
    ("normalize_moments", |a| a.tensors[0].normalize_moments(a.axes(), 0.1)),
    ("keep_dims", |a| a.tensors[0].keep_dims(&a.tensors[1], a.axes())),
    ("cumsum", |a| a.tensors[0].cumsum(a.numbers[0])),
    ("cumprod", |a| a.tensors[0].cumprod(a.numbers[0])),
    ("reverse_cumsum", |a| a.tensors[0].reverse_cumsum(a.numbers[0])),
    ("reshape", |a| a.tensors[0].reshape(&a.numbers)),
    ("flatten_from", |a| a.tensors[0].flatten_from(a.unsigned(0))),
    ("expand_dims", |a| a.tensors[0].expand_dims(a.numbers[0])),
    ("squeeze", |a| a.tensors[0].squeeze(a.axes())),
    ("broadcast_to", |a| a.tensors[0].broadcast_to(&a.sizes())),
    ("transpose", |a| a.tensors[0].transpose(&a.numbers)),
    ("swap_axes", |a| a.tensors[0].swap_axes(a.numbers[0], a.numbers[1])),
    ("slice_axis", |a| a.tensors[0].slice_axis(a.numbers[0], a.numbers[1], a.numbers[2])),
    ("flip", |a| a.tensors[0].flip(a.axes())),
    ("pad", |a| {
        let pairs: Vec<(usize, usize)> =
            a.sizes().into_iter().map(|n| (n, 1)).take(a.tensors[0].rank()).collect();
        a.tensors[0].pad(&pairs, 0.5)
    }),
    ("window", |a| a.tensors[0].window(a.unsigned(0), a.unsigned(1), a.unsigned(2), a.unsigned(3))),
    ("concat", |a| Tensor::concat(&a.tensors, a.numbers[0])),
    ("stack", |a| Tensor::stack(&a.tensors, a.numbers[0])),
    ("matmul", |a| a.tensors[0].matmul(&a.tensors[1])),
    ("conv", |a| {
        let sizes = a.sizes();
        let half = sizes.len() / 2;
        a.tensors[0].conv(&a.tensors[1], &sizes[..half], a.padding(), &sizes[half..], a.unsigned(0))
    }),
    ("conv of a fitting rank", |a| {
        let spatial = a.tensors[0].rank().saturating_sub(2);
        let sizes = a.sizes();
        let (strides, dilations) = (&sizes[..spatial], &sizes[spatial..2 * spatial]);
        a.tensors[0].conv(&a.tensors[1], strides, a.padding(), dilations, a.unsigned(3))
    }),
    ("max_pool", |a| {
        let (spatial, sizes) = (a.tensors[0].rank().saturating_sub(2), a.sizes());
        a.tensors[0].max_pool(&sizes[..spatial], &sizes[1..=spatial], a.padding())
    }),
    ("average_pool", |a| {
        let (spatial, sizes) = (a.tensors[0].rank().saturating_sub(2), a.sizes());
        a.tensors[0].average_pool(&sizes[..spatial], &sizes[1..=spatial], a.padding())
    }),
    ("take", |a| a.tensors[0].take(&a.tensors[1].cast(DType::I32), a.numbers[0])),
    ("take_along_axis", |a| a.tensors[0].take_along_axis(&a.tensors[1].cast(DType::I32), a.numbers[0])),
    ("scatter", |a| a.tensors[0].scatter(&a.tensors[1].cast(DType::I32), &a.tensors[2], ScatterOp::Set)),
    ("argsort", |a| a.tensors[0].argsort(a.numbers[0], a.same)),
    ("sort", |a| a.tensors[0].sort(a.numbers[0])),
    ("top_k", |a| a.tensors[0].top_k(a.unsigned(0)).0),
    ("one_hot", |a| a.tensors[0].one_hot(a.unsigned(0), a.tensors[1].dtype())),
    ("check_labels", |a| a.tensors[0].check_labels(a.unsigned(0), "labels")),
    ("sparse_softmax_cross_entropy", |a| {
        a.tensors[0].sparse_softmax_cross_entropy(&a.tensors[1].cast(DType::I32))
    }),
    ("matches_argmax", |a| a.tensors[0].matches_argmax(&a.tensors[1])),
    ("random_normal", |a| Tensor::random_normal(&a.tensors[0], &a.sizes())),
    ("full", |a| Tensor::full(&a.sizes(), a.numbers[0] as f64, a.tensors[0].dtype())),
    ("iota", |a| Tensor::iota(&a.sizes(), a.unsigned(1))),
    ("range", |a| Tensor::range(a.unsigned(0))),
    ("eye", |a| Tensor::eye(a.unsigned(0))),
    ("from_vec", |a| Tensor::from_vec([1.0f32; 6], &a.sizes())),
];

/// Few enough elements to compute in a test.
const SMALL: usize = 1 << 10;

/// Calls a method and, where it makes something small of small things, computes it and its gradient.
fn call(method: Method, arguments: &Arguments) -> Result<(), String> {
    let tried = catch_unwind(AssertUnwindSafe(|| {
        let made = (method.1)(arguments);
        let is_small = |t: &Tensor| t.error().is_none() && t.len() <= SMALL;
        if arguments.computed && is_small(&made) && arguments.tensors.iter().all(is_small) {
            made.eval().map_or_else(|e| internal(&e), |_| Ok(()))?;
            if made.dtype().is_float() {
                let of: Vec<Tensor> =
                    arguments.tensors.iter().filter(|t| t.dtype().is_float()).cloned().collect();
                let found = gradients(&made.sum(()).cast(DType::F32), &of);
                return found.and_then(|g| Tensor::eval_all(&g)).map_or_else(|e| internal(&e), Ok);
            }
        }
        Ok(())
    }));
    tried.map_err(|_| format!("{} panicked", method.0))?
}

/// Errors that a user can make are well; those of Kiln are not.
fn internal(error: &kiln_graph::Error) -> Result<(), String> {
    let text = error.to_string();
    if text.contains("bug in Kiln") { Err(text) } else { Ok(()) }
}

#[test]
fn no_arguments_make_a_method_panic() {
    let config = Config { cases: 1000, failure_persistence: None, ..Config::default() };
    for method in METHODS {
        let numbers = proptest::collection::vec(numbers(), 4..6);
        let arguments =
            ([tensors(), tensors(), tensors()], numbers, any::<bool>(), proptest::bool::weighted(0.02))
                .prop_map(|(tensors, numbers, same, computed)| Arguments {
                    tensors,
                    numbers,
                    same,
                    computed,
                });
        let mut runner = TestRunner::new_with_rng(config.clone(), TestRunner::deterministic().rng().clone());
        let checked = with_device(&Device::cpu(), || {
            runner.run(&arguments, |a| call(*method, &a).map_err(TestCaseError::fail))
        });
        checked.unwrap_or_else(|e| panic!("{}: {e}", method.0));
    }
}
