//! Values as the golden file has them, to and from tensors.

use kiln_graph::{
    Axes, DType, RaggedOrDense, RaggedStrings, RaggedTensor, SparseStrings, SparseTensor, StringTensor,
    Tensor, Values,
};
use serde_json::Value as Json;

#[path = "../support/mod.rs"]
mod support;
pub(crate) use support::{computed, tensor_of, unit as support_unit};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    Numbers(DType, Vec<f64>),
    Strings(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dense {
    shape: Vec<usize>,
    data: Data,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Dense(Dense),
    Sparse {
        indices: Vec<i32>,
        shape: Vec<usize>,
        values: Dense,
    },
    /// `uniform` holds the row lengths that are promised; empty where none is.
    Ragged {
        splits: Vec<Vec<i32>>,
        uniform: Vec<Option<usize>>,
        flat: Dense,
    },
}

fn numbers<T: TryFrom<i64>>(json: &Json) -> Vec<T> {
    let number = |n: &Json| n.as_i64().and_then(|n| T::try_from(n).ok()).expect("an integer");
    json.as_array().expect("a list").iter().map(number).collect()
}

fn float(json: &Json) -> f64 {
    match json {
        Json::Bool(flag) => f64::from(u8::from(*flag)),
        Json::String(special) => special.parse().expect("inf or nan"),
        number => number.as_f64().expect("a number"),
    }
}

impl Dense {
    fn parse(json: &Json) -> Dense {
        let data = json["data"].as_array().expect("data");
        let numbers_of = |dtype| {
            // What is read from decimals is not exact until it is rounded to the stored type.
            let stored = |x: f64| if dtype == DType::F32 { f64::from(x as f32) } else { x };
            Data::Numbers(dtype, data.iter().map(float).map(stored).collect())
        };
        Dense {
            shape: numbers(&json["shape"]),
            data: match json["t"].as_str() {
                Some("str") => {
                    Data::Strings(data.iter().map(|s| s.as_str().expect("a string").to_owned()).collect())
                }
                Some("f32") => numbers_of(DType::F32),
                Some("i32") => numbers_of(DType::I32),
                Some("u8") => numbers_of(DType::U8),
                Some("bool") => numbers_of(DType::Bool),
                other => panic!("type {other:?}"),
            },
        }
    }

    fn is_text(&self) -> bool {
        matches!(self.data, Data::Strings(_))
    }

    fn tensor(&self) -> Tensor {
        match &self.data {
            Data::Numbers(dtype, data) => tensor_of(data, &self.shape, *dtype),
            Data::Strings(_) => panic!("expected numbers, received {self:?}"),
        }
    }

    fn strings(&self) -> StringTensor {
        match &self.data {
            Data::Strings(data) => StringTensor::from_vec(data, &self.shape),
            Data::Numbers(..) => panic!("expected strings, received {self:?}"),
        }
    }

    /// Equal, but for a relative error of floats.
    fn near(&self, other: &Dense, tolerance: f64) -> bool {
        match (&self.data, &other.data) {
            (Data::Numbers(DType::F32, a), Data::Numbers(DType::F32, b)) => {
                let largest = b.iter().filter(|x| x.is_finite()).fold(0.0f64, |m, x| m.max(x.abs()));
                let near = |(a, b): (&f64, &f64)| {
                    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * largest
                };
                self.shape == other.shape && a.iter().zip(b).all(near)
            }
            _ => self == other,
        }
    }
}

impl Value {
    pub(crate) fn parse(json: &Json) -> Value {
        let lists =
            |json: &Json| json.as_array().expect("lists").iter().map(numbers::<i32>).collect::<Vec<_>>();
        if let Some(indices) = json.get("indices") {
            return Value::Sparse {
                indices: lists(indices).concat(),
                shape: numbers(&json["dense_shape"]),
                values: Dense::parse(&json["values"]),
            };
        }
        match json.get("splits") {
            Some(splits) => {
                let extent = |extent: &Json| extent.as_u64().map(|extent| extent as usize);
                let uniform = json["uniform"].as_array().map(|all| all.iter().map(extent).collect());
                let flat = Dense::parse(&json["flat"]);
                Value::Ragged { splits: lists(splits), uniform: uniform.unwrap_or_default(), flat }
            }
            None => Value::Dense(Dense::parse(json)),
        }
    }

    pub(crate) fn near(&self, other: &Value, tolerance: f64) -> bool {
        match (self, other) {
            (Value::Dense(a), Value::Dense(b)) => a.near(b, tolerance),
            (
                Value::Sparse { indices, shape, values },
                Value::Sparse { indices: other_indices, shape: other_shape, values: other_values },
            ) => indices == other_indices && shape == other_shape && values.near(other_values, tolerance),
            (
                Value::Ragged { splits, flat, .. },
                Value::Ragged { splits: other_splits, flat: other_flat, .. },
            ) => splits == other_splits && flat.near(other_flat, tolerance),
            // Rows of one length may as well be a dense axis.
            (Value::Dense(a), Value::Ragged { splits, flat, .. }) => {
                let mut shape = vec![splits[0].len() - 1];
                for splits in splits {
                    let lengths: Vec<i32> = splits.windows(2).map(|pair| pair[1] - pair[0]).collect();
                    if lengths.windows(2).any(|pair| pair[0] != pair[1]) {
                        return false;
                    }
                    shape.push(lengths.first().map_or(0, |length| *length as usize));
                }
                shape.extend(&flat.shape[1..]);
                a.near(&Dense { shape, data: flat.data.clone() }, tolerance)
            }
            _ => false,
        }
    }
}

impl From<&Tensor> for Dense {
    fn from(tensor: &Tensor) -> Dense {
        let data = computed(tensor).unwrap_or_else(|error| panic!("{error}"));
        Dense { shape: tensor.shape().to_vec(), data: Data::Numbers(tensor.dtype(), data) }
    }
}

impl From<&StringTensor> for Dense {
    fn from(strings: &StringTensor) -> Dense {
        let data = strings.to_vec().unwrap_or_else(|error| panic!("{error}"));
        Dense { shape: strings.shape().to_vec(), data: Data::Strings(data) }
    }
}

macro_rules! from {
    ($($values:ty),*) => { $(
        impl From<$values> for Value {
            fn from(values: $values) -> Value {
                Value::Dense((&values).into())
            }
        }

        impl From<SparseTensor<$values>> for Value {
            fn from(sparse: SparseTensor<$values>) -> Value {
                Value::Sparse {
                    values: sparse.values().into(),
                    indices: sparse.indices().to_vec(),
                    shape: sparse.dense_shape().to_vec(),
                }
            }
        }

        impl From<RaggedTensor<$values>> for Value {
            fn from(ragged: RaggedTensor<$values>) -> Value {
                Value::Ragged {
                    flat: ragged.flat_values().into(),
                    splits: ragged.nested_row_splits(),
                    uniform: vec![],
                }
            }
        }

        impl From<RaggedOrDense<$values>> for Value {
            fn from(either: RaggedOrDense<$values>) -> Value {
                match either {
                    RaggedOrDense::Ragged(ragged) => ragged.into(),
                    RaggedOrDense::Dense(values) => values.into(),
                }
            }
        }
    )* };
}
from!(Tensor, StringTensor);

impl From<Vec<i32>> for Value {
    fn from(numbers: Vec<i32>) -> Value {
        Tensor::from_slice(&numbers).into()
    }
}

/// Values under partitions, of which some promise a row length.
fn divided<V: Values>(
    mut values: RaggedOrDense<V>,
    splits: &[Vec<i32>],
    uniform: &[Option<usize>],
) -> RaggedTensor<V> {
    for (level, splits) in splits.iter().enumerate().rev() {
        let rows = splits.len() - 1;
        values = match uniform.get(level).copied().flatten() {
            Some(length) => RaggedTensor::from_uniform_row_length(values, length, Some(rows)).into(),
            None => RaggedTensor::from_row_splits(values, splits).into(),
        };
    }
    values.ragged()
}

/// One call of the golden file.
pub(crate) struct Call {
    pub(crate) inputs: Vec<Value>,
    pub(crate) args: Json,
}

impl Call {
    fn dense(&self, i: usize) -> &Dense {
        match &self.inputs[i] {
            Value::Dense(dense) => dense,
            other => panic!("expected a dense value, received {other:?}"),
        }
    }

    /// True where the values of an input are strings.
    pub(crate) fn is_text(&self, i: usize) -> bool {
        match &self.inputs[i] {
            Value::Dense(dense) => dense.is_text(),
            Value::Sparse { values, .. } => values.is_text(),
            Value::Ragged { flat, .. } => flat.is_text(),
        }
    }

    pub(crate) fn x(&self, i: usize) -> Tensor {
        self.dense(i).tensor()
    }

    pub(crate) fn s(&self, i: usize) -> StringTensor {
        self.dense(i).strings()
    }

    pub(crate) fn sparse(&self, i: usize) -> SparseTensor {
        match &self.inputs[i] {
            Value::Sparse { indices, shape, values } => {
                SparseTensor::from_flat_indices(indices.clone(), values.tensor(), shape)
            }
            other => panic!("expected a sparse value, received {other:?}"),
        }
    }

    pub(crate) fn sparse_strings(&self, i: usize) -> SparseStrings {
        match &self.inputs[i] {
            Value::Sparse { indices, shape, values } => {
                SparseTensor::from_flat_indices(indices.clone(), values.strings(), shape)
            }
            other => panic!("expected a sparse value, received {other:?}"),
        }
    }

    pub(crate) fn ragged(&self, i: usize) -> RaggedTensor {
        match &self.inputs[i] {
            Value::Ragged { splits, uniform, flat } => divided(flat.tensor().into(), splits, uniform),
            other => panic!("expected a ragged value, received {other:?}"),
        }
    }

    pub(crate) fn ragged_strings(&self, i: usize) -> RaggedStrings {
        match &self.inputs[i] {
            Value::Ragged { splits, uniform, flat } => divided(flat.strings().into(), splits, uniform),
            other => panic!("expected a ragged value, received {other:?}"),
        }
    }

    pub(crate) fn either(&self, i: usize) -> RaggedOrDense {
        match &self.inputs[i] {
            Value::Ragged { .. } => self.ragged(i).into(),
            _ => self.x(i).into(),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.args.get(name).is_some_and(|value| !value.is_null())
    }

    pub(crate) fn int(&self, name: &str) -> i64 {
        self.args[name].as_i64().unwrap_or_else(|| panic!("argument {name}"))
    }

    pub(crate) fn size(&self, name: &str) -> Option<usize> {
        self.has(name).then(|| usize::try_from(self.int(name)).expect("a size"))
    }

    pub(crate) fn float(&self, name: &str) -> f32 {
        self.args[name].as_f64().unwrap_or_else(|| panic!("argument {name}")) as f32
    }

    pub(crate) fn float_or(&self, name: &str, default: f32) -> f32 {
        if self.has(name) { self.float(name) } else { default }
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.args.get(name).and_then(Json::as_bool).unwrap_or(false)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.args.get(name).and_then(Json::as_str)
    }

    pub(crate) fn ints(&self, name: &str) -> Vec<i32> {
        numbers(&self.args[name])
    }

    pub(crate) fn longs(&self, name: &str) -> Vec<i64> {
        numbers(&self.args[name])
    }

    pub(crate) fn sizes(&self, name: &str) -> Vec<usize> {
        numbers(&self.args[name])
    }

    pub(crate) fn lists(&self, name: &str) -> Vec<Vec<i32>> {
        self.args[name].as_array().expect("lists").iter().map(numbers).collect()
    }

    pub(crate) fn flags(&self, name: &str) -> Vec<bool> {
        let flag = |flag: &Json| flag.as_bool().expect("a flag");
        self.args[name].as_array().expect("flags").iter().map(flag).collect()
    }

    pub(crate) fn axes(&self) -> Axes {
        match self.args.get("axis") {
            None | Some(Json::Null) => Axes::All,
            Some(Json::Array(_)) => Axes::Of(self.longs("axis")),
            Some(_) => Axes::Of(vec![self.int("axis")]),
        }
    }
}
