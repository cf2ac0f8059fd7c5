//! Members and operators of `tf.Tensor`.

use kiln_graph::{DType, Tensor};

fn ints(tensor: Tensor) -> Vec<i32> {
    tensor.to_vec::<i32>().unwrap_or_else(|error| panic!("{error}"))
}

fn floats(tensor: Tensor) -> Vec<f32> {
    tensor.to_vec::<f32>().unwrap_or_else(|error| panic!("{error}"))
}

fn flags(tensor: Tensor) -> Vec<bool> {
    tensor.to_vec::<bool>().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn members() {
    let x = Tensor::from([[1, 2, 3], [4, 5, 6]]) * 2;
    assert_eq!((x.dtype(), x.rank(), x.shape()), (DType::I32, 2, &[2, 3][..]));
    assert_eq!(ints(x.eval().expect("a value").clone()), [2, 4, 6, 8, 10, 12]);
    // A handle is cheap to clone, and clones are one tensor.
    assert_eq!(ints(x.clone()), ints(x));
}

#[test]
fn operators() {
    let (x, y) = (Tensor::from([7, -7, 6]), Tensor::from([2, 2, 4]));
    assert_eq!(ints(&x + &y), [9, -5, 10]);
    assert_eq!(ints(1 + &x), [8, -6, 7]);
    assert_eq!(ints(&x - 1), [6, -8, 5]);
    assert_eq!(ints(1 - &x), [-6, 8, -5]);
    assert_eq!(ints(&x * &y), [14, -14, 24]);
    assert_eq!(ints(3 * &x), [21, -21, 18]);
    assert_eq!(floats(&x / &y), [3.5, -3.5, 1.5]);
    assert_eq!(floats(7 / Tensor::from([2])), [3.5]);
    // As in Python, the remainder has the sign of the divisor.
    assert_eq!(ints(&x % &y), [1, 1, 2]);
    assert_eq!(ints(7 % Tensor::from([-4])), [-1]);
    assert_eq!(ints(-&x), [-7, 7, -6]);
    assert_eq!(ints(!&x), [-8, 6, -7]);
    assert_eq!(ints(&x & &y), [2, 0, 4]);
    assert_eq!(ints(&x | 8), [15, -7, 14]);
    assert_eq!(ints(1 ^ &x), [6, -8, 7]);
    assert_eq!(ints(&x << 1), [14, -14, 12]);
    assert_eq!(ints(&x >> &y), [1, -2, 0]);
    assert_eq!(ints(Tensor::from([1, 1]) << Tensor::from([31, 40])), [i32::MIN, 0]);
    assert_eq!(ints(Tensor::from([8, -8]) >> 40), [0, -1]);
    let (p, q) = (Tensor::from([true, true, false]), Tensor::from([true, false, false]));
    assert_eq!(flags(&p & &q), [true, false, false]);
    assert_eq!(flags(&p | &q), [true, true, false]);
    assert_eq!(flags(&p ^ &q), [false, true, false]);
    assert_eq!(flags(!&p), [false, false, true]);
    let z = Tensor::from([1.0f32]);
    for failed in [&z & 1, 1 | &z, &z ^ &z, !&z, &z << 1, 1 >> &z] {
        let error = failed.error().expect("floats have no bits").to_string();
        assert!(error.contains("float32") && error.contains("tensors.rs"), "{error}");
    }
}

#[test]
fn assignments() {
    let mut x = Tensor::from([1, 2]);
    let before = x.clone();
    x += 3;
    x *= &x.clone();
    x -= Tensor::from([1, 1]);
    assert_eq!(ints(x.clone()), [15, 24]);
    x %= 7;
    x <<= 2;
    x |= 1;
    x &= 5;
    x ^= &before;
    x >>= 1;
    assert_eq!(ints(x), [(((15 % 7) << 2 | 1) & 5 ^ 1) >> 1, (((24 % 7) << 2 | 1) & 5 ^ 2) >> 1]);
    let mut y = Tensor::from([1.0f32, 3.0]);
    y /= 2.0;
    assert_eq!(floats(y.clone()), [0.5, 1.5]);
    y += Tensor::zeros(&[3]);
    let error = y.error().expect("shapes").to_string();
    assert!(error.contains("tensors.rs"), "{error}");
    assert_eq!(ints(before), [1, 2], "a tensor never changes");
}

#[test]
fn what_python_has_operators_for() {
    let (x, y) = (Tensor::from([7, -7]), Tensor::from([2, 2]));
    assert_eq!(ints(x.floor_divide(&y)), [3, -4]);
    assert_eq!(ints(kiln_graph::ops::floor_divide(7, &y)), [3, 3]);
    assert_eq!(floats(Tensor::from([2.0f32, 3.0]).pow(2.0)), [4.0, 9.0]);
    assert_eq!(floats(kiln_graph::ops::power(2.0, Tensor::from([2.0f32, 3.0]))), [4.0, 8.0]);
    let m = Tensor::from([[1.0f32, 2.0], [3.0, 4.0]]);
    assert_eq!(floats(m.matmul(&m)), [7.0, 10.0, 15.0, 22.0]);
    assert_eq!(ints(x.abs()), [7, 7]);
    assert_eq!(flags(x.less(&y)), [false, true]);
    assert_eq!(flags(x.less_equal(7)), [true, true]);
    assert_eq!(flags(x.greater(&y)), [true, false]);
    assert_eq!(flags(x.greater_equal(7)), [true, false]);
    assert_eq!(flags(x.equal(7)), [true, false]);
    assert_eq!(flags(x.not_equal(7)), [false, true]);
    assert_eq!(m.shape()[0], 2);
    assert_eq!(Tensor::scalar(3).greater(2).item::<bool>(), Ok(true));
    assert_eq!(m.to_nested::<[[f32; 2]; 2]>(), Ok([[1.0, 2.0], [3.0, 4.0]]));
    assert_eq!(floats(kiln_graph::ops::unstack(&m, None, 0)[1].clone()), [3.0, 4.0]);
    assert_eq!(floats(Tensor::from([0.5f32, 1.5]).round()), [0.0, 2.0]);
    assert_eq!(floats(m.index((1, 0))), [3.0]);
}
