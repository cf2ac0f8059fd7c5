//! A group's file: its cases, its tensors, and how near a result must be.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;

use kiln_graph::{DType, Tensor};
use safetensors::tensor::TensorInfo;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::support::computed;

/// One call and what must come of it.
pub(crate) struct Case {
    pub(crate) op: String,
    pub(crate) args: Value,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    tolerance: Tolerance,
    /// Whether gradients are checked too.
    pub(crate) grad: bool,
}

#[derive(Clone, Copy, Debug)]
enum Tolerance {
    Exact,
    /// Units in the last place, or 2·10⁻⁷.
    Ulp(f64),
    /// Of the largest finite reference.
    Relative(f64),
    Absolute(f64),
}

/// Operations whose zeros may have either sign, each with the reason.
pub(crate) const ANY_ZERO: &[(&str, &str)] = &[
    ("amax", EQUAL),
    ("amin", EQUAL),
    ("max", EQUAL),
    ("min", EQUAL),
    ("median", EQUAL),
    ("nanmax", EQUAL),
    ("nanmedian", EQUAL),
    ("nanmin", EQUAL),
    ("sort", EQUAL),
    ("celu", "Keras' backends differ at −0"),
    ("det", "a sum of products of either sign"),
    ("erfinv", "odd, so −0 at −0; SciPy gives 0"),
    ("mod", "WGSL may take a subnormal divisor for 0, and with it its sign"),
    ("nextafter", "of equal numbers C gives the second, NumPy's half precision the first"),
    ("sign", "−0 at −0 as in JAX; NumPy gives 0"),
    ("sinc", "the sine of a whole multiple of π is 0 of either sign"),
    ("slogdet", "a sum of products of either sign"),
    ("stft", "a sum of products of either sign"),
];

const EQUAL: &str = "of zeros of both signs, which are equal, either may come out, as in NumPy";

/// Whether the sign of a zero counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zeros {
    Signed,
    /// WGSL lets a driver take either for the other (floating point evaluation, "signed zeroes").
    Unsigned,
}

/// The unpacked file.
pub(crate) struct Golden {
    group: &'static str,
    data: Vec<u8>,
    /// Shape, type and bytes of every tensor.
    places: HashMap<String, (Vec<usize>, Dtype, Range<usize>)>,
    pub(crate) cases: Vec<Case>,
}

impl Golden {
    pub(crate) fn unpack(group: &'static str, packed: &[u8]) -> Golden {
        let mut data = vec![];
        flate2::read::GzDecoder::new(packed).read_to_end(&mut data).expect("a gzip file");
        let (header, metadata) = SafeTensors::read_metadata(&data).expect("a safetensors file");
        let texts = metadata.metadata().as_ref().expect("metadata");
        let list: Vec<Value> = serde_json::from_str(&texts["cases"]).expect("cases in JSON");
        // The header's length stands before it, in eight bytes.
        let place = |(name, info): (String, &TensorInfo)| {
            let (start, end) = info.data_offsets;
            (name, (info.shape.clone(), info.dtype, header + 8 + start..header + 8 + end))
        };
        let places = metadata.tensors().into_iter().map(place).collect();
        Golden { group, data, places, cases: list.iter().map(Case::read).collect() }
    }

    fn place(&self, name: &str) -> &(Vec<usize>, Dtype, Range<usize>) {
        self.places.get(name).unwrap_or_else(|| panic!("{} has no {name}", self.group))
    }

    /// The shape of a tensor.
    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        &self.place(name).0
    }

    /// The type of a tensor.
    pub(crate) fn dtype(&self, name: &str) -> DType {
        match self.place(name).1 {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            Dtype::I64 => DType::I64,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::I32 => DType::I32,
            Dtype::U32 => DType::U32,
            Dtype::U8 => DType::U8,
            Dtype::BOOL => DType::Bool,
            other => panic!("{} {name} has dtype {other:?}", self.group),
        }
    }

    /// A fresh leaf.
    pub(crate) fn tensor(&self, name: &str) -> Tensor {
        let (shape, _, range) = self.place(name);
        let bytes = &self.data[range.clone()];
        macro_rules! leaf {
            ($type:ty) => {
                Tensor::from_vec(<$type as kiln_graph::Element>::from_bytes(bytes), shape)
            };
        }
        match self.dtype(name) {
            DType::F32 => leaf!(f32),
            DType::F64 => leaf!(f64),
            DType::I64 => leaf!(i64),
            DType::F16 => leaf!(half::f16),
            DType::BF16 => leaf!(half::bf16),
            DType::I32 => leaf!(i32),
            DType::U32 => leaf!(u32),
            DType::U8 => leaf!(u8),
            DType::Bool => leaf!(bool),
        }
    }

    /// What is wrong with the outputs of a case.
    pub(crate) fn compare(&self, case: &Case, outputs: &[Tensor], zeros: Zeros) -> Result<(), String> {
        if outputs.len() != case.outputs.len() {
            return Err(format!("{} outputs, not {}", outputs.len(), case.outputs.len()));
        }
        for (name, output) in case.outputs.iter().zip(outputs) {
            let reference = self.tensor(name);
            if (output.shape(), output.dtype()) != (reference.shape(), reference.dtype()) {
                return Err(format!("{output:?}, not {reference:?}"));
            }
            if reference.dtype() == DType::I64 {
                let whole = |t: &Tensor| t.to_vec::<i64>().map_err(|e| e.to_string());
                let (got, want) = (whole(output)?, whole(&reference)?);
                if got != want {
                    return Err(format!("{name}: {got:?}, not {want:?}"));
                }
                continue;
            }
            let got = computed(output).map_err(|e| e.to_string())?;
            let want = computed(&reference).map_err(|e| e.to_string())?;
            let largest = want.iter().filter(|x| x.is_finite()).fold(0.0f64, |m, x| m.max(x.abs()));
            let off = |i: &usize| !case.tolerance.admits(got[*i], want[*i], largest, output.dtype());
            if let Some(i) = (0..want.len()).find(off) {
                return Err(format!("{name}[{i}]: {}, not {} ({:?})", got[i], want[i], case.tolerance));
            }
            // The sign of a zero counts where a standard or NumPy fixes it.
            let turned = |i: &usize| {
                got[*i] == 0.0 && want[*i] == 0.0 && got[*i].is_sign_negative() != want[*i].is_sign_negative()
            };
            let signed = zeros == Zeros::Signed && !ANY_ZERO.iter().any(|(op, _)| *op == case.op);
            if let Some(i) = (0..want.len()).find(turned).filter(|_| signed) {
                return Err(format!("{name}[{i}]: {:?}, not {:?} (the sign of zero)", got[i], want[i]));
            }
        }
        Ok(())
    }
}

impl Case {
    fn read(value: &Value) -> Case {
        let names = |key: &str| {
            let list = value[key].as_array().expect("names");
            list.iter().map(|v| v.as_str().expect("a name").to_owned()).collect()
        };
        Case {
            op: value["op"].as_str().expect("an operation").to_owned(),
            args: value["args"].clone(),
            inputs: names("inputs"),
            outputs: names("outputs"),
            tolerance: Tolerance::read(value["tol"].as_str().expect("a tolerance")),
            grad: value["grad"].as_bool().expect("grad"),
        }
    }
}

impl Tolerance {
    fn read(text: &str) -> Tolerance {
        let (kind, number) = text.split_once(':').unwrap_or((text, "0"));
        let number: f64 = number.parse().expect("a number");
        match kind {
            "exact" => Tolerance::Exact,
            "ulp" => Tolerance::Ulp(number),
            "rel" => Tolerance::Relative(number),
            "abs" => Tolerance::Absolute(number),
            other => panic!("no tolerance {other}"),
        }
    }

    fn admits(self, got: f64, want: f64, largest: f64, dtype: DType) -> bool {
        // Subnormal numbers may be flushed, by the reference too.
        let tiny = |x: f64| x.abs() < f64::from(f32::MIN_POSITIVE);
        if got == want || (got.is_nan() && want.is_nan()) || (tiny(got) && tiny(want) && dtype == DType::F32)
        {
            return true;
        }
        if !got.is_finite() || !want.is_finite() || !dtype.is_float() {
            return false;
        }
        let unit = match dtype {
            DType::F16 => 2f64.powi(-10),
            DType::BF16 => 2f64.powi(-7),
            DType::F64 => 2f64.powi(-52),
            _ => 2f64.powi(-23),
        };
        // Of elementary functions near 0.
        let least = if dtype == DType::F64 { 4e-16 } else { 2e-7 };
        let limit = match self {
            Tolerance::Exact => return false,
            Tolerance::Ulp(count) => (count * unit * want.abs()).max(least),
            Tolerance::Relative(share) => share * largest,
            Tolerance::Absolute(distance) => distance,
        };
        (got - want).abs() <= limit
    }
}
