//! Where files of open programs end: small sizes together, large numbers, limits of sizes, forged programs.

use std::fmt::Debug;

use kiln_graph::{
    DType, Device, Function, Result, SavedFunction, Tensor, TreeFunction, ops, set_default_device,
};
use serde_json::{Value, json};

use crate::forged::with_text;
use crate::{F, agrees, bits, saved, some, spec};

/// The text of an error that is no fault of Kiln's own.
fn refused<T: Debug>(outcome: Result<T>) -> String {
    let text = outcome.unwrap_err().to_string();
    assert!(!text.contains("a bug in Kiln"), "{text}");
    text
}

/// It from a file with another description.
fn forged(function: &Function, change: impl Fn(&mut Value)) -> Result<SavedFunction> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("function.kiln");
    function.save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&whole).unwrap();
    let before: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["kiln_function"]).unwrap();
    let mut after = before.clone();
    change(&mut after);
    assert_ne!(after, before);
    std::fs::write(&path, with_text(&whole, &after.to_string())).unwrap();
    SavedFunction::load(&path)
}

/// Every case of the first signature.
fn cases(description: &mut Value) -> &mut Vec<Value> {
    description["open"][0]["cases"].as_array_mut().unwrap()
}

/// What a call says, outside and inside another function.
fn refused_everywhere(loaded: SavedFunction, x: Tensor) -> [String; 2] {
    let outside = refused(loaded.call(std::slice::from_ref(&x)));
    let outer = Function::new("outer", move |x| loaded.call(x));
    [outside, refused(outer.call(&[x]))]
}

/// Rows of a table, added to as many of an argument.
fn placed(table: &Tensor, x: &Tensor) -> Tensor {
    x + table.slice_axis(0, 0, x.shape()[0] as i64)
}

#[test]
fn two_small_sizes_together() {
    set_default_device(&Device::cpu());
    let rows = Function::new("rows", |x| Ok(vec![x[0].reshape(&[-1, 3]).squeeze(())]))
        .signature([spec([-1, -1, 3], F)]);
    let sizes = [(1, 1), (2, 1), (1, 2), (0, 1), (1, 0), (0, 0), (3, 2), (40, 1), (1, 40), (17, 9)];
    agrees(&rows, &sizes.map(|(a, b)| vec![some(&[a, b, 3])]));
    let rows = Function::new("rows", |x| Ok(vec![x[0].reshape(&[-1, 3]).squeeze(())]))
        .signature([spec([-1, -1, -1, 3], F)]);
    let sizes = [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 40), (0, 1, 1), (3, 2, 4)];
    agrees(&rows, &sizes.map(|(a, b, c)| vec![some(&[a, b, c, 3])]));
}

#[test]
fn another_way_within_a_narrow_range_is_refused() {
    set_default_device(&Device::cpu());
    let table = some(&[64]).eval().unwrap().clone();
    let five = Function::new("five", move |x| {
        let y = placed(&table, &x[0]);
        Ok(vec![if y.len() == 5 { -y } else { y }])
    })
    .signature([spec([-1], F)]);
    let text = refused(saved(&five));
    assert!(text.contains("at [5] it has one more `neg`") && text.contains("save_prepared"), "{text}");
}

#[test]
fn factors_that_no_file_may_hold_are_refused_when_it_is_written() {
    set_default_device(&Device::cpu());
    let scaled = |by: f64| {
        Function::new("scaled", move |x| Ok(vec![&x[0] * (x[0].shape()[0] as f64 * by)]))
            .signature([spec([-1], DType::F64)])
    };
    let text = refused(saved(&scaled(4e14)));
    assert!(text.contains("a number of `constant`") && text.contains("no formula of the sizes"), "{text}");

    let large = scaled(2e14);
    let loaded = saved(&large).unwrap();
    for n in [1, 2, 9, 100] {
        let x = [some(&[n]).cast(DType::F64)];
        let values = |made: Result<Vec<Tensor>>| made.unwrap()[0].to_vec::<f64>().unwrap();
        assert_eq!(values(loaded.call(&x)), values(large.call(&x)));
    }
}

#[test]
fn halves_are_divided_by_a_size() {
    set_default_device(&Device::cpu());
    for dtype in [DType::BF16, DType::F16] {
        let mean = Function::new("mean", |x| Ok(vec![(x[0].sum(0) / x[0].shape()[0] as f64).cast(F)]))
            .signature([spec([-1], dtype)]);
        // 257 and 2049 are no numbers of eight and of eleven bits.
        let sizes = [4, 1, 2, 3, 7, 100, 257, 1000, 2049];
        agrees(&mean, &sizes.map(|n| vec![some(&[n]).cast(dtype)]));
    }
}

#[test]
fn many_open_dimensions_of_few_sizes() {
    set_default_device(&Device::cpu());
    for count in [7, 8] {
        let table = some(&[8]).eval().unwrap().clone();
        let all = Function::new("all", move |x| Ok(x.iter().map(|x| placed(&table, x)).collect()))
            .signature(vec![spec([-1], F); count]);
        let text = refused(saved(&all));
        assert!(
            text.contains("too few sizes, as [2, 3, 4, 5, 6, 7, 8") && text.contains("save_prepared"),
            "{text}"
        );
    }
}

#[test]
fn a_refused_call_is_no_structure_to_be_saved() {
    set_default_device(&Device::cpu());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scaled.kiln");
    let scaled = TreeFunction::new("scaled", |(x, by, refuse): (Tensor, Option<Tensor>, bool)| {
        if refuse {
            return Err("refused".into());
        }
        Ok(by.map_or(x.clone(), |by| &x * by) + 1.0)
    })
    .signature([spec([-1, 2], F)]);
    let given = |n: usize| (some(&[n, 2]), None, false);
    scaled.prepare(&given(3)).unwrap();
    let by = Some(some(&[2]));
    for (wrong, words) in [
        ((some(&[3, 2]), None, true), "refused"),
        ((some(&[3, 2]), by, false), "expected 1 arguments, received 2"),
    ] {
        let text = refused(scaled.call(&wrong));
        assert!(text.contains(words), "{text}");
        scaled.save(&path).unwrap();
        let loaded = SavedFunction::load(&path).unwrap();
        assert_eq!(loaded.signatures().len(), 1);
        for n in [1, 5, 0] {
            let live = scaled.call(&given(n)).unwrap();
            assert_eq!(bits(&loaded.call_tree(&given(n)).unwrap()), bits(&[live]));
        }
    }
}

#[test]
fn forged_arguments_are_an_error_inside_another_function_too() {
    set_default_device(&Device::cpu());
    let doubled = Function::new("doubled", |x| Ok(vec![&x[0] * 2.0])).signature([spec([-1], F)]);
    let more = forged(&doubled, |description| {
        for case in cases(description) {
            let program = &mut case["program"];
            let first = program["arguments"][0].clone();
            program["arguments"].as_array_mut().unwrap().push(first);
            program["leaves"][0]["bound"] = json!({"argument": 1});
        }
    });
    let longer = forged(&doubled, |description| {
        for case in cases(description) {
            for formula in case["formulas"].as_array_mut().unwrap() {
                formula["terms"] = json!([[3, [1]]]);
            }
        }
    });
    for loaded in [longer, more] {
        for text in refused_everywhere(loaded.unwrap(), some(&[3])) {
            assert!(
                text.contains("open dimensions of [3]") && text.contains("takes other arguments"),
                "{text}"
            );
        }
    }
}

#[test]
fn a_forged_step_is_an_error() {
    set_default_device(&Device::cpu());
    let first = |x: &[Tensor]| Ok(vec![x[0].slice_axis(0, 0, x[0].shape()[0] as i64 - 1)]);
    let first = Function::new("first", first).signature([spec([-1], F)]);
    // The last element would be at 2⁶⁴, and at 2⁶⁴ + 2⁴⁸.
    for n in [65_538, 65_539] {
        let loaded = forged(&first, |description| {
            let text = description.to_string().replace(r#""step":[1]"#, r#""step":[281474976710656]"#);
            *description = serde_json::from_str(&text).unwrap();
        });
        for text in refused_everywhere(loaded.unwrap(), some(&[n])) {
            assert!(
                text.contains(&format!("open dimensions of [{n}]")) && text.contains("range of slice"),
                "{text}"
            );
        }
    }
}

#[test]
fn sizes_beyond_those_compared_are_refused_where_the_program_does_not_stand() {
    set_default_device(&Device::cpu());
    let table = some(&[70_000]).eval().unwrap().clone();
    let long = Function::new("long", move |x| Ok(vec![placed(&table, &x[0])])).signature([spec([-1], F)]);
    agrees(&long, &[70_000, 1, 65_537].map(|n| vec![some(&[n])]));
    for text in refused_everywhere(saved(&long).unwrap(), some(&[70_001])) {
        assert!(text.contains("no program for open dimensions of [70001]"), "{text}");
    }
}

#[test]
fn a_limit_of_two_sizes_together() {
    set_default_device(&Device::cpu());
    let table = some(&[512]).eval().unwrap().clone();
    let both = Function::new("both", move |x| Ok(vec![placed(&table, &ops::concatenate(x, 0))]))
        .signature([spec([-1], F), spec([-1], F)]);
    let of = |(a, b): (usize, usize)| vec![some(&[a]), some(&[b])];
    agrees(&both, &[(20, 20), (1, 1), (0, 3), (1, 40), (300, 212)].map(of));
    let loaded = saved(&both).unwrap();
    for (sizes, words) in [
        ((500, 5), "size of axis 0 of argument 0: expected 0 to 493, received 500"),
        ((300, 300), "no program for open dimensions of [300, 300]"),
        ((490, 490), "no program for open dimensions of [490, 490]"),
    ] {
        let text = refused(loaded.call(&of(sizes)));
        assert!(text.contains(words), "{text}");
    }
}
