//! `.npy` and `.npz` files: those of NumPy's (`tests/golden/numpy`), our own, and forged ones.

#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use kiln_graph::files::ReadBudget;
use kiln_graph::{DType, Error, Tensor, numpy};
use serde_json::Value as Json;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/numpy")
}

fn listed(what: &str) -> Vec<Json> {
    let text = std::fs::read_to_string(folder().join("files.json")).expect("files.json");
    let all: Json = serde_json::from_str(&text).expect("JSON");
    all[what].as_array().expect("a list").clone()
}

fn text<'a>(file: &'a Json, name: &str) -> &'a str {
    file[name].as_str().expect("text")
}

fn number(value: &Json) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().expect("a number").parse().expect("a float"))
}

#[test]
fn files_of_numpy_are_read() {
    let files = listed("files");
    assert!(files.len() > 25);
    for file in files {
        let name = text(&file, "file");
        let read = numpy::load(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(read.dtype().name(), text(&file, "dtype"), "{name}");
        let shape: Vec<u64> = read.shape().iter().map(|d| *d as u64).collect();
        assert_eq!(Json::from(shape), file["shape"], "{name}");
        // JSON's decimals are exact to the last bits of a float32 only.
        let narrow = read.dtype().is_float() && !read.dtype().is_wide();
        let stored = |x: f64| if narrow { f64::from(x as f32) } else { x };
        let expected: Vec<f64> =
            file["data"].as_array().expect("data").iter().map(|x| stored(number(x))).collect();
        let found = support::computed(&read).expect("values");
        let same = |(f, e): (&f64, &f64)| {
            let near = f == e || (f - e).abs() <= 1e-15 * e.abs() || f.is_nan() && e.is_nan();
            near && (f.is_nan() || f.is_sign_negative() == e.is_sign_negative())
        };
        assert!(found.len() == expected.len() && found.iter().zip(&expected).all(same), "{name}: {read}");
    }
}

#[test]
fn what_is_written_is_byte_for_byte_numpys() {
    let folder_of_ours = tempfile::tempdir().expect("a folder");
    let mut compared = 0;
    for file in listed("files").iter().filter(|file| file["canonical"] == true) {
        let (theirs, ours) = (folder().join(text(file, "file")), folder_of_ours.path().join("ours.npy"));
        numpy::save(&ours, &numpy::load(&theirs).expect("read")).expect("written");
        assert_eq!(
            std::fs::read(&ours).expect("ours"),
            std::fs::read(&theirs).expect("theirs"),
            "{theirs:?}"
        );
        compared += 1;
    }
    assert!(compared >= 9);
    // Computed values are computed; a shape too long for version 1 takes version 2.
    let path = folder_of_ours.path().join("made.npy");
    numpy::save(&path, &(Tensor::range(4) * 2)).expect("written");
    assert_eq!(numpy::load(&path).expect("read").to_vec::<i32>().expect("values"), [0, 2, 4, 6]);
}

#[test]
fn every_type_comes_back_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.npy");
    for dtype in DType::ALL {
        let numbers: Vec<f64> = (0..6).map(|n| (200.0 * support::unit(n, 1)).floor()).collect();
        let x = support::tensor_of(&numbers, &[2, 3], dtype);
        match numpy::save(&path, &x) {
            Ok(()) => {
                let back = numpy::load(&path).expect("read");
                assert_eq!((back.dtype(), back.shape()), (dtype, x.shape()));
                assert_eq!(support::computed(&back), support::computed(&x), "{dtype}");
            }
            Err(error) => {
                assert_eq!(dtype, DType::BF16, "{error}");
                assert!(error.to_string().contains("NumPy has no bfloat16; cast it"), "{error}");
            }
        }
    }
}

#[test]
fn wide_numbers_are_narrowed_or_refused() {
    let narrow = |name: &str| numpy::narrowed(&numpy::load(folder().join(name)).expect(name)).expect(name);
    assert_eq!(narrow("i8_big.npy").to_vec::<i32>(), Ok(vec![0, -1, -2, -100, -3, -7]));
    assert_eq!(narrow("u8_little.npy").to_vec::<i32>(), Ok(vec![0, 1, 2, 100, 3, 7]));
    let special = narrow("special_f8.npy").to_vec::<f32>().expect("floats");
    assert!(special[0].is_nan());
    assert_eq!(special[1..], [f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0, 0.1, 3.402_823_4e38]);
    assert_eq!(narrow("f2_big.npy").dtype(), DType::F16);
    let says = |tensor: Tensor, words: &str| {
        let error = numpy::narrowed(&tensor).expect_err(words).to_string();
        assert!(error.contains(words) && error.contains("numpy_files.rs"), "{error}");
    };
    says(Tensor::from([1i64, 1 << 31]), "2147483648 is beyond int32");
    says(Tensor::from([-(1i64 << 31) - 1]), "-2147483649 is beyond int32");
    says(Tensor::from([1e39f64]), "1e39 is beyond float32");
}

#[test]
fn refused_files_say_why() {
    let refused = listed("refused");
    assert!(refused.len() > 20);
    for file in refused {
        let name = text(&file, "file");
        let error = numpy::load(folder().join(name)).expect_err(name);
        assert!(matches!(error, Error::File { .. }), "{name}: {error}");
        assert!(error.to_string().contains(text(&file, "says")), "{name}: {error}");
    }
    let error = numpy::load("/nowhere/x.npy").expect_err("no file").to_string();
    assert!(error.contains("there is no such file"), "{error}");
    let small = ReadBudget { max_bytes: 100, ..ReadBudget::default() };
    let error = numpy::load_within(folder().join("f4_little.npy"), &small).expect_err("a budget").to_string();
    assert!(error.contains("raise the read budget"), "{error}");
}

/// Every file cut at every place, and with every byte of its header changed in several ways: an array or an error.
#[test]
fn damaged_files_never_panic() {
    let scratch = tempfile::tempdir().expect("a folder");
    let path = scratch.path().join("damaged.npy");
    for name in ["f4_little.npy", "i8_big.npy", "fortran.npy", "version_3.npy"] {
        let whole = std::fs::read(folder().join(name)).expect("a file");
        let cuts = (0..whole.len()).map(|n| whole[..n].to_vec());
        let flips = (0..whole.len().min(140)).flat_map(|n| {
            [1, 0x20, 0x80, 0xff].map(|bit| {
                let mut changed = whole.clone();
                changed[n] ^= bit;
                changed
            })
        });
        for bytes in cuts.chain(flips) {
            std::fs::write(&path, &bytes).expect("written");
            if let Ok(tensor) = numpy::load(&path) {
                assert!(tensor.len() <= whole.len(), "{bytes:?}");
            }
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 2000, ..Default::default() })]

    /// Headers of words that headers are made of, in any order: an array or an error.
    #[test]
    fn any_header_is_an_array_or_an_error(
        words in proptest::collection::vec(0..HEADER_WORDS.len(), 0..24),
        version in 0u8..5,
        data in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
    ) {
        let text: String = words.iter().map(|word| HEADER_WORDS[*word]).collect();
        let length = text.len() as u32;
        let length = if version == 1 { length.to_le_bytes()[..2].to_vec() } else { length.to_le_bytes().to_vec() };
        let file = [b"\x93NUMPY", &[version, 0][..], &length, text.as_bytes(), &data].concat();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.npy");
        std::fs::write(&path, file).expect("written");
        if let Ok(tensor) = numpy::load(&path) {
            proptest::prop_assert!(tensor.len() <= data.len());
        }
    }
}

/// Half of them make a whole header when they stand in this order.
const HEADER_WORDS: &[&str] = &[
    "{'descr': '<f4', 'fortran_order': False, 'shape': ",
    "{",
    "'descr': ",
    "'|u1'",
    ", ",
    "'fortran_order': ",
    "True",
    "'shape': ",
    "(",
    "0",
    "2, ",
    "18446744073709551615",
    ")",
    "}",
    "\"",
    "L",
    "é",
    "(1,), }",
    "'>i8'",
    "\n",
    "\0",
];

#[test]
fn an_error_of_the_tensor_is_the_error_of_the_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let bad = Tensor::zeros(&[2]).matmul(&Tensor::zeros(&[3, 3]));
    let error = numpy::save(folder.path().join("x.npy"), &bad).expect_err("a failed tensor");
    assert!(matches!(error, Error::Operation { op: "matmul", .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[cfg(feature = "npz")]
mod archives {
    use super::*;

    #[test]
    fn archives_of_numpy_are_read() {
        for name in ["stored.npz", "compressed.npz"] {
            let arrays = numpy::load_npz(folder().join(name)).expect(name);
            assert_eq!(arrays.keys().collect::<Vec<_>>(), ["layer/y", "x"]);
            assert_eq!(arrays["x"].shape(), [2, 3]);
            assert_eq!(arrays["x"].to_vec::<f32>(), Ok(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
            assert_eq!(arrays["layer/y"].to_vec::<i64>(), Ok(vec![1, 2]));
        }
    }

    #[test]
    fn every_type_of_numpy_is_read_from_a_compressed_archive() {
        let arrays = numpy::load_npz(folder().join("types.npz")).expect("read");
        let types: Vec<(&str, &str)> =
            arrays.iter().map(|(name, x)| (name.as_str(), x.dtype().name())).collect();
        let expected = [
            ("bool", "bool"),
            ("float16", "float16"),
            ("float32", "float32"),
            ("float64", "float64"),
            ("int16", "int32"),
            ("int32", "int32"),
            ("int64", "int64"),
            ("int8", "int32"),
            ("uint16", "uint32"),
            ("uint32", "uint32"),
            ("uint64", "int64"),
            ("uint8", "uint8"),
        ];
        assert_eq!(types, expected);
        for (name, x) in arrays {
            let found = support::computed(&x).expect("values");
            let numbers: Vec<f64> = (0..600).map(|n| f64::from(n % 2)).collect();
            assert!(x.shape() == [20, 30] && found == numbers, "{name}");
        }
    }

    #[test]
    fn archives_come_back_and_are_the_same_every_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let (x, y) = (Tensor::range(1000), Tensor::zeros(&[2, 0]));
        numpy::savez(path("a"), [("x", &x), ("y", &y)]).expect("written");
        numpy::savez(path("b"), [("y", y.clone()), ("x", x.clone())]).expect("written");
        numpy::savez_compressed(path("c"), [("x", &x), ("y", &y)]).expect("written");
        let bytes = |name: &str| std::fs::read(path(name)).expect("a file");
        assert_eq!(bytes("a"), bytes("b"));
        assert!(bytes("c").len() < bytes("a").len());
        for name in ["a", "c"] {
            let arrays = numpy::load_npz(path(name)).expect("read");
            assert_eq!(arrays["x"].to_vec::<i32>(), x.to_vec::<i32>());
            assert_eq!(arrays["y"].shape(), [2, 0]);
        }
        let error = numpy::savez(path("d"), [("x", &x), ("x", &y)]).expect_err("two names").to_string();
        assert!(error.contains("two arrays are named `x`"), "{error}");
        let half = x.cast(DType::BF16);
        let error = numpy::savez(path("d"), [("h", &half)]).expect_err("no bfloat16").to_string();
        assert!(error.contains("array `h`: NumPy has no bfloat16"), "{error}");
        assert!(!path("d").exists());
    }

    #[test]
    fn bombs_and_damaged_archives_are_errors() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.npz");
        let zeros = Tensor::from_slice(&vec![0u8; 80 << 20]);
        numpy::savez_compressed(&path, [("zeros", &zeros)]).expect("written");
        let error = numpy::load_npz(&path).expect_err("a bomb").to_string();
        assert!(
            error.contains("array `zeros`") && error.contains("raise `max_bytes` or `max_ratio`"),
            "{error}"
        );
        let generous = ReadBudget { max_ratio: 2000, ..ReadBudget::default() };
        let small = ReadBudget { max_bytes: 79 << 20, ..generous };
        assert!(numpy::load_npz_within(&path, &small).expect_err("small").to_string().contains("`zeros`"));
        assert_eq!(numpy::load_npz_within(&path, &generous).expect("allowed")["zeros"].len(), 80 << 20);

        numpy::savez(&path, [("a", &Tensor::range(3)), ("b", &Tensor::range(3))]).expect("written");
        let few = ReadBudget { max_tensors: 1, ..ReadBudget::default() };
        assert!(
            numpy::load_npz_within(&path, &few).expect_err("two").to_string().contains("at most 1 arrays")
        );

        let whole = std::fs::read(&path).expect("a file");
        for n in 0..whole.len() {
            std::fs::write(&path, &whole[..n]).expect("written");
            assert!(numpy::load_npz(&path).is_err(), "cut at {n}");
        }
        for n in 0..whole.len() {
            for bit in [1, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[n] ^= bit;
                std::fs::write(&path, &changed).expect("written");
                // Bytes of no meaning may change; a wrong number never comes out, for every member has a checksum.
                if let Ok(arrays) = numpy::load_npz(&path) {
                    assert!(arrays.values().all(|t| t.to_vec::<i32>() == Ok(vec![0, 1, 2])), "byte {n}");
                }
            }
        }
    }
}

#[cfg(feature = "ndarray")]
#[test]
fn arrays_of_ndarray_come_and_go() {
    use ndarray::{Array, Array2, array, s};
    let a = Array::from_shape_fn((2, 3), |(i, j)| (10 * i + j) as f32);
    assert_eq!(Tensor::from(&a).to_vec::<f32>(), Ok(vec![0.0, 1.0, 2.0, 10.0, 11.0, 12.0]));
    let turned = Tensor::from(a.t());
    assert_eq!(turned.shape(), [3, 2]);
    assert_eq!(turned.to_vec::<f32>(), Ok(vec![0.0, 10.0, 1.0, 11.0, 2.0, 12.0]));
    assert_eq!(
        Tensor::from(a.slice(s![.., ..;-1])).to_vec::<f32>(),
        Ok(vec![2.0, 1.0, 0.0, 12.0, 11.0, 10.0])
    );
    assert_eq!(turned.to_ndarray::<f32>().expect("values"), a.t().to_owned().into_dyn());
    assert_eq!(Tensor::from(ndarray::arr0(7i32)).item::<i32>(), Ok(7));
    assert_eq!(Tensor::from(Array2::<bool>::default((0, 4))).shape(), [0, 4]);
    assert_eq!(Tensor::from(array![1u8, 2]).dtype(), DType::U8);
    assert!(turned.to_ndarray::<i32>().expect_err("a type").to_string().contains("cast it first"));
}
