//! The number of kernels of known programs, pinned: a fusion lost shows here.

use kiln_graph::{Device, Function, Result, Tensor, Variable, gradients, with_device};

fn assert_kernels(function: &Function, arguments: &[Tensor], count: usize) {
    let report = with_device(&Device::cpu(), || function.explain(arguments)).expect("compiles");
    assert_eq!(report.kernels.len(), count, "\n{report}");
}

fn input(shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
    Tensor::from_vec(values, shape)
}

fn variable(shape: &[usize]) -> Variable {
    with_device(&Device::cpu(), || Variable::new(&input(shape))).expect("variable")
}

/// Adam on a flat slab, as Keras defines it, with its state in variables.
struct Adam {
    parameters: Variable,
    m: Variable,
    v: Variable,
    iterations: Variable,
    rate: Variable,
}

impl Adam {
    fn new(variables: &[Variable]) -> Adam {
        with_device(&Device::cpu(), || {
            let parameters = Variable::pack(variables)?;
            let zeros = Tensor::zeros(&[parameters.len()]);
            Ok::<_, kiln_graph::Error>(Adam {
                m: Variable::new(&zeros)?,
                v: Variable::new(&zeros)?,
                iterations: Variable::new(&Tensor::scalar(0))?,
                rate: Variable::new(&Tensor::scalar(1e-3f32))?,
                parameters,
            })
        })
        .expect("optimizer")
    }

    fn apply(&self, gradients: &[Tensor]) -> Result<()> {
        let flat: Vec<Tensor> = gradients.iter().map(|g| g.reshape(&[-1])).collect();
        let g = Tensor::concat(&flat, 0);
        let step = self.iterations.read() + 1;
        let t = step.to_float();
        let scale = (1.0 - Tensor::scalar(0.999f32).pow(&t)).sqrt() / (1.0 - Tensor::scalar(0.9f32).pow(&t));
        let m = self.m.read() * 0.9 + &g * 0.1;
        let v = self.v.read() * 0.999 + g.square() * 0.001;
        let rate = self.rate.read() * scale;
        self.parameters.assign(&(self.parameters.read() - rate * &m / (v.sqrt() + 1e-7)))?;
        self.m.assign(&m)?;
        self.v.assign(&v)?;
        self.iterations.assign(&step)
    }
}

#[test]
fn softmax_is_one_kernel() {
    let f = Function::new("softmax", |x| Ok(vec![x[0].softmax(-1)]));
    assert_kernels(&f, &[input(&[32, 100])], 1);
}

#[test]
fn layer_normalization_is_one_kernel() {
    let (gamma, beta) = (variable(&[100]), variable(&[100]));
    let f = Function::new("layer_norm", move |x| {
        Ok(vec![x[0].normalize_moments(-1, 1e-3) * gamma.read() + beta.read()])
    });
    assert_kernels(&f, &[input(&[32, 100])], 1);
}

#[test]
fn softmax_backward_is_one_kernel() {
    let f = Function::new("softmax_backward", |x| {
        let y = x[0].softmax(-1);
        kiln_graph::gradients_with(&y, &x[1], &[x[0].clone()])
    });
    assert_kernels(&f, &[input(&[32, 100]), input(&[32, 100])], 1);
}

#[test]
fn linear_relu_sum_with_adam_is_four_kernels() {
    let (w, b) = (variable(&[20, 30]), variable(&[30]));
    let adam = Adam::new(&[w.clone(), b.clone()]);
    let f = Function::new("linear", move |x| {
        let (w, b) = (w.read(), b.read());
        let loss = (x[0].matmul(&w) + &b).relu().sum(());
        adam.apply(&gradients(&loss, &[w, b])?)?;
        Ok(vec![])
    });
    assert_kernels(&f, &[input(&[16, 20])], 4);
}

#[test]
fn two_layer_mlp_with_cross_entropy_and_adam_is_ten_kernels() {
    let all = [variable(&[784, 128]), variable(&[128]), variable(&[128, 10]), variable(&[10])];
    let adam = Adam::new(&all);
    let f = Function::new("mlp", move |x| {
        let [w1, b1, w2, b2] = all.each_ref().map(Variable::read);
        let hidden = (x[0].matmul(&w1) + &b1).relu();
        let logits = hidden.matmul(&w2) + &b2;
        let loss = logits.sparse_softmax_cross_entropy(&x[1]).mean(());
        adam.apply(&gradients(&loss, &[w1, b1, w2, b2])?)?;
        Ok(vec![loss])
    });
    let labels = Tensor::from_vec((0..64).map(|i| i % 10).collect::<Vec<i32>>(), &[64]);
    assert_kernels(&f, &[input(&[64, 784]), labels], 10);
}

#[test]
fn many_small_values_are_joined_by_few_kernels() {
    let x = |count: usize, len: usize| (0..count).map(|_| input(&[len])).collect::<Vec<_>>();
    let joined = Function::new("joined", |x| Ok(vec![Tensor::concat(x, 0)]));
    assert_kernels(&joined, &x(100, 16), 4);
    let stacked = Function::new("stacked", |x| Ok(vec![Tensor::stack(x, 1)]));
    assert_kernels(&stacked, &x(100, 16), 4);
    let used = Function::new("used", |x| Ok(vec![Tensor::concat(x, 0) * 2.0]));
    assert_kernels(&used, &x(100, 16), 5);
    // Of other lengths: few threads without work are cheaper than a launch, many are not.
    let lengths =
        |long: usize| (0..20).map(|i| input(&[if i == 7 { long } else { 30 + i }])).collect::<Vec<_>>();
    assert_kernels(&joined, &lengths(300), 1);
    assert_kernels(&joined, &lengths(1_000_000), 3);
}

/// A driver may round `x · w + b` differently in two kernels, and then no element would be the largest.
#[test]
fn what_is_compared_with_its_maximum_is_computed_once() {
    let (x, w, b) = (input(&[64, 100]), variable(&[100]), variable(&[100]));
    let slope = Function::new("slope", move |a| {
        let largest = (&a[0] * w.read() + b.read()).max(-1);
        gradients(&largest.sum(()).square(), &[a[0].clone(), w.read()])
    });
    let report = with_device(&Device::cpu(), || slope.explain(&[x])).expect("compiles");
    let computing = report.kernels.iter().filter(|k| k.name.contains("mul+add")).count();
    assert_eq!(computing, 1, "\n{report}");
}
