//! Tensors from Rust values.

use std::sync::Arc;

use kiln_device::{DType, Scalar, Value, size};

use crate::op::Op;
use crate::shape::Shape;
use crate::tensor::{Element, Tensor, here};

/// `number` as a constant of an element type: rounded towards zero and saturating for integers.
pub(crate) fn value_of(number: f64, dtype: DType) -> Value {
    match dtype.scalar() {
        Scalar::F32 => Value::F32(match dtype {
            DType::F16 => kiln_device::nearest_f16(number).to_f32(),
            DType::BF16 => kiln_device::nearest_bf16(number).to_f32(),
            _ => number as f32,
        }),
        Scalar::F64 => Value::F64(number),
        Scalar::I32 => Value::I32(number as i32),
        Scalar::I64 => Value::I64(number as i64),
        Scalar::U32 => Value::U32(if dtype == DType::U8 { number as u8 as u32 } else { number as u32 }),
        Scalar::Bool => Value::Bool(number != 0.0),
    }
}

impl Tensor {
    /// A table of numbers in a float type, rounded once to it, or to `float32` on the way to a half.
    #[track_caller]
    pub(crate) fn table(values: &[f64], shape: &[usize], dtype: DType) -> Tensor {
        if dtype == DType::F64 {
            return Tensor::from_vec(values, shape);
        }
        let values: Vec<f32> = values.iter().map(|x| *x as f32).collect();
        Tensor::from_vec(values, shape).cast(dtype)
    }

    /// A vector of the slice's elements.
    #[doc(alias("tensor", "constant", "asarray"))]
    #[track_caller]
    pub fn from_slice<T: Element>(elements: &[T]) -> Tensor {
        Tensor::from_vec(elements, &[elements.len()])
    }

    /// Elements in row-major order under a shape.
    ///
    /// ```
    /// use kiln_graph::Tensor;
    /// let m = Tensor::from_vec(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
    /// assert_eq!(m.sum(0).to_vec::<f32>()?, [4.0, 6.0]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[doc(alias("tensor", "constant", "asarray"))]
    #[track_caller]
    pub fn from_vec<T: Element>(elements: impl AsRef<[T]>, shape: &[usize]) -> Tensor {
        let at = here();
        let elements = elements.as_ref();
        match size::element_count(shape) {
            Ok(count) if count == elements.len() => {
                Tensor::from_host(Arc::from(T::to_bytes(elements)), shape.to_vec(), T::DTYPE, at)
            }
            Ok(count) => {
                let message =
                    format!("expected {count} elements for shape {shape:?}, received {}", elements.len());
                Tensor::failed("from_vec", message, at)
            }
            Err(error) => Tensor::failed("from_vec", error.to_string(), at),
        }
    }

    /// A scalar constant. Part of the expression, not data: another value is another program. Use
    /// [`Tensor::from_slice`] or a [`crate::Variable`] for numbers that change.
    #[track_caller]
    pub fn scalar<T: Element + Into<f64>>(value: T) -> Tensor {
        Tensor::constant(value_of(value.into(), T::DTYPE), vec![], T::DTYPE, here())
    }

    /// A tensor of one value, in any element type.
    #[track_caller]
    pub fn full(shape: &[usize], value: f64, dtype: DType) -> Tensor {
        Tensor::constant(value_of(value, dtype), shape.to_vec(), dtype, here())
    }

    /// Zeros, `float32`.
    #[track_caller]
    pub fn zeros(shape: &[usize]) -> Tensor {
        Tensor::full(shape, 0.0, DType::F32)
    }

    /// Ones, `float32`.
    #[track_caller]
    pub fn ones(shape: &[usize]) -> Tensor {
        Tensor::full(shape, 1.0, DType::F32)
    }

    /// Zeros of this tensor's shape and dtype.
    #[track_caller]
    pub fn zeros_like(&self) -> Tensor {
        self.like(Tensor::full(self.shape(), 0.0, self.dtype()))
    }

    /// Ones of this tensor's shape and dtype.
    #[track_caller]
    pub fn ones_like(&self) -> Tensor {
        self.like(Tensor::full(self.shape(), 1.0, self.dtype()))
    }

    fn like(&self, made: Tensor) -> Tensor {
        if self.error().is_some() { self.clone() } else { made }
    }

    /// The coordinate along an axis, `int32`.
    #[track_caller]
    pub fn iota(shape: &[usize], axis: usize) -> Tensor {
        Tensor::op(Op::Iota { axis }, vec![], shape.to_vec(), DType::I32, here())
    }

    /// `0, 1, … n − 1`, `int32`.
    #[track_caller]
    pub fn range(n: usize) -> Tensor {
        Tensor::iota(&[n], 0).part_of("range", here(), &[])
    }

    /// `n` evenly spaced values from `start` to `stop`, both included, `float32`.
    #[track_caller]
    pub fn linspace(start: f32, stop: f32, n: usize) -> Tensor {
        let step = if n > 1 { (stop as f64 - start as f64) / (n - 1) as f64 } else { 0.0 };
        let values: Vec<f32> = (0..n).map(|i| (start as f64 + i as f64 * step) as f32).collect();
        Tensor::from_slice(&values)
    }

    /// The identity matrix, `float32`.
    #[track_caller]
    pub fn eye(n: usize) -> Tensor {
        let shape: Shape = vec![n, n];
        let diagonal = Tensor::iota(&shape, 0).equal(Tensor::iota(&shape, 1)).cast(DType::F32);
        diagonal.part_of("eye", here(), &[])
    }

    /// 1 where the class along a new last axis is the label, else 0. Labels outside `0..classes` give zeros.
    #[track_caller]
    pub fn one_hot(&self, classes: usize, dtype: DType) -> Tensor {
        if self.error().is_some() {
            return self.clone();
        }
        if !self.dtype().is_integer() {
            return Tensor::failed(
                "one_hot",
                format!("expected integer labels, received {}", self.dtype()),
                here(),
            );
        }
        let mut shape = self.shape().to_vec();
        shape.push(classes);
        // Those of `int64` stay what they are: a label that `int32` cannot hold is outside, not another one.
        let label = if self.dtype() == DType::I64 { self.clone() } else { self.cast(DType::I32) };
        let label = label.expand_dims(-1).broadcast_to(&shape);
        let hot = Tensor::iota(&shape, shape.len() - 1).equal(&label).cast(dtype);
        hot.part_of("one_hot", here(), std::slice::from_ref(self))
    }
}

macro_rules! from_number {
    ($($type:ty),*) => { $(
        impl From<$type> for Tensor {
            #[track_caller]
            fn from(value: $type) -> Tensor {
                Tensor::scalar(value)
            }
        }
    )* };
}
from_number!(f32, f64, half::f16, half::bf16, i32, u32, u8, bool);

impl From<i64> for Tensor {
    #[track_caller]
    fn from(value: i64) -> Tensor {
        Tensor::constant(Value::I64(value), vec![], DType::I64, here())
    }
}

impl From<&Tensor> for Tensor {
    fn from(tensor: &Tensor) -> Tensor {
        tensor.clone()
    }
}
