//! Members of `tf.Variable`.

use kiln_graph::{DType, Device, Tensor, Variable, with_device};

#[test]
fn members() {
    let device = Device::cpu();
    let made = with_device(&device, || Variable::new(&Tensor::from([[1.0f32, 2.0], [3.0, 4.0]])));
    let v = made.expect("a variable").named("weights");
    assert_eq!((v.name(), v.dtype(), v.shape()), ("weights".to_owned(), DType::F32, &[2, 2][..]));
    assert_eq!(v.device(), device);
    assert!(v.is_trainable());
    v.set_trainable(false);
    assert!(!v.is_trainable());
    let ints = with_device(&device, || Variable::new(&Tensor::scalar(1))).expect("a variable");
    assert!(!ints.is_trainable() && ints.id() != v.id() && ints != v && v == v.clone());
    v.assign_sub(Tensor::ones(&[2, 2])).expect("assigned");
    let value = v.read();
    assert_eq!(value.to_vec::<f32>(), Ok(vec![0.0, 1.0, 2.0, 3.0]));
    assert_eq!(value.eval().expect("a value").shape(), [2, 2]);
    // Rows and elements of a variable are those of its value.
    assert_eq!(
        kiln_graph::ops::gather(&value, &Tensor::from([1, 0]), 0, 0).to_vec::<f32>(),
        Ok(vec![2.0, 3.0, 0.0, 1.0])
    );
    let picked = kiln_graph::ops::gather_nd(&value, &Tensor::from([[1, 0], [0, 1]]), 0);
    assert_eq!(picked.to_vec::<f32>(), Ok(vec![2.0, 1.0]));
}
