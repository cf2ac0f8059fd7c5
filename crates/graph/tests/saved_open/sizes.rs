//! Which sizes a file runs, and which functions have no program of open sizes.

use kiln_graph::{Device, Function, Padding, Tensor, Variable, gradients, ops, set_default_device};

use crate::{F, agrees, agrees_but_for, bits, saved, some, spec};

#[test]
fn open_dimensions_are_of_one_size_where_they_have_to_be() {
    set_default_device(&Device::cpu());
    let added = Function::new("added", |x| Ok(vec![(&x[0] + &x[1]).mean(())]))
        .signature([spec([-1, 4], F), spec([-1, 4], F)]);
    agrees(&added, &[4, 1, 2, 4, 9, 31].map(|n| vec![some(&[n, 4]), some(&[n, 4])]));
    let text = saved(&added).unwrap().call(&[some(&[3, 4]), some(&[5, 4])]).unwrap_err().to_string();
    let words = "size of axis 0 of argument 1: expected 3, as axis 0 of argument 0, received 5";
    assert!(text.contains(words), "{text}");

    let crossed = Function::new("crossed", |x| {
        let scores = x[0].matmul(&x[1].transpose(&[0, 2, 1])) * 0.5;
        Ok(vec![ops::softmax(&scores, -1).matmul(&x[2])])
    })
    .signature([spec([-1, -1, 4], F), spec([-1, -1, 4], F), spec([-1, -1, 2], F)]);
    let sizes = [(2, 3, 5), (1, 1, 1), (2, 4, 4), (3, 3, 3), (1, 2, 1), (2, 1, 3), (0, 1, 2)];
    agrees(&crossed, &sizes.map(|(b, t, s)| vec![some(&[b, t, 4]), some(&[b, s, 4]), some(&[b, s, 2])]));

    let features = Function::new("features", |x| Ok(vec![ops::concatenate(x, -1).sum(-1)]));
    let features = features.signature(vec![spec([-1, 1], F); 10]);
    agrees(&features, &[4, 1, 2, 0, 9, 31].map(|n| vec![some(&[n, 1]); 10]));
}

#[test]
fn the_file_runs_the_sizes_that_the_function_runs() {
    set_default_device(&Device::cpu());
    let refused = |f: &Function, x: Tensor| saved(f).unwrap().call(&[x]).unwrap_err().to_string();
    let table = some(&[20, 4]).eval().unwrap().clone();
    let placed =
        Function::new("placed", move |x| Ok(vec![&x[0] + table.slice_axis(0, 0, x[0].shape()[0] as i64)]))
            .signature([spec([-1, 4], F)]);
    agrees_but_for(&placed, &[4, 1, 2, 20, 19, 0, 21].map(|n| vec![some(&[n, 4])]), 1);
    let text = refused(&placed, some(&[21, 4]));
    assert!(text.contains("size of axis 0 of argument 0: expected 0 to 20, received 21"), "{text}");

    let w = Variable::new(&some(&[5, 2, 3])).unwrap();
    let wide = Function::new("wide", move |x| Ok(vec![x[0].conv(&w.read(), &[1], Padding::Valid, &[1], 1)]))
        .signature([spec([-1, -1, 2], F)]);
    agrees_but_for(
        &wide,
        &[(2, 9), (1, 5), (3, 4), (1, 40), (0, 6), (2, 5)].map(|(b, t)| vec![some(&[b, t, 2])]),
        1,
    );

    let paired = Function::new("paired", |x| {
        let n = x[0].shape()[0] as i64;
        Ok(vec![x[0].reshape(&[n / 2, 2]).sum(1), x[0].mean(())])
    })
    .signature([spec([-1], F)]);
    agrees_but_for(&paired, &[2, 4, 3, 0, 18, 1].map(|n| vec![some(&[n])]), 2);
    assert!(refused(&paired, some(&[7])).contains("a multiple of 2, received 7"));
}

#[test]
fn sizes_that_have_to_be_multiples() {
    set_default_device(&Device::cpu());
    let w = Variable::new(&some(&[3, 3, 2, 4])).unwrap();
    let image = Function::new("image", move |x| {
        let [_, height, width, _] = x[0].shape()[..] else { return Err("an image".into()) };
        if height % 4 != 0 || width % 4 != 0 {
            return Err("sides are multiples of 4".into());
        }
        let y = x[0].conv(&w.read(), &[2, 2], Padding::Same, &[1, 1], 1);
        let y = ops::relu(&y).max_pool(&[2, 2], &[2, 2], Padding::Valid);
        let slope = gradients(&y.square().mean(()), &[w.read()])?.remove(0);
        Ok(vec![y, slope])
    })
    .signature([spec([-1, -1, -1, 2], F)]);
    let sizes = [(2, 8, 4), (1, 4, 4), (3, 16, 12), (0, 4, 8), (5, 8, 8), (1, 36, 4), (1, 6, 4)];
    agrees_but_for(&image, &sizes.map(|(n, h, w)| vec![some(&[n, h, w, 2])]), 1);

    let strided = Variable::new(&some(&[3, 2, 4])).unwrap();
    let strided =
        Function::new("strided", move |x| Ok(vec![x[0].conv(&strided.read(), &[2], Padding::Same, &[1], 1)]));
    let text = saved(&strided.signature([spec([1, -1, 2], F)])).unwrap_err().to_string();
    assert!(text.contains("no multiples of a stride"), "{text}");
}

#[test]
fn programs_that_depend_on_sizes_are_refused() {
    set_default_device(&Device::cpu());
    let refused = |words: &str, body: fn(&Tensor) -> Tensor| {
        let function = Function::new("f", move |x| Ok(vec![body(&x[0])])).signature([spec([-1], F)]);
        let text = saved(&function).unwrap_err().to_string();
        assert!(text.contains(words) && text.contains("save_prepared"), "{text}");
        assert!(text.matches("sizes.rs:").count() > 0, "the line of the operation: {text}");
    };
    fn branch(limit: usize, x: &Tensor) -> Tensor {
        if x.len() > limit { x * 2.0 } else { x.exp() }
    }
    let own = Function::new("own", |x| Ok(vec![branch(1, &x[0])])).signature([spec([-1], F)]);
    agrees(&own, &[3, 1, 0, 2, 16, 40].map(|n| vec![some(&[n])]));
    refused("at [2] it has another `exp`", |x| branch(2, x));
    refused("at [2] it has another `exp`", |x| branch(10, x));
    refused("`constant` made at", |x| branch(50, x));
    refused("at [4096] it has another", |x| branch(2000, x));
    refused("at [2] it has one more `neg`", |x| if x.len().is_power_of_two() { -x } else { x.clone() });
    refused("is one more", |x| (0..x.len()).fold(x.clone(), |y, i| y + i as f64));
    refused("holds other values", |x| x * Tensor::from_vec(vec![2.0f32; x.len()], x.shape()));
    refused("a number of `constant`", |x| x * (x.len() as f64).ln());
    refused("a number of `pad`", |x| x.pad(&[(x.len() % 7, 0)], 0.0));
}

#[test]
fn a_closure_that_panics_for_some_sizes_is_saved_for_the_others() {
    set_default_device(&Device::cpu());
    let last = Function::new("last", |x| {
        let n = x[0].shape()[0].checked_sub(1).expect("at least one row");
        Ok(vec![x[0].slice_axis(0, n as i64, n as i64 + 1)])
    })
    .signature([spec([-1], F)]);
    let loaded = saved(&last).unwrap();
    assert_eq!(bits(&loaded.call(&[some(&[9])]).unwrap()), bits(&[some(&[9]).slice_axis(0, 8, 9)]));
    let text = loaded.call(&[some(&[0])]).unwrap_err().to_string();
    assert!(text.contains("expected 1 or more, received 0"), "{text}");
}
