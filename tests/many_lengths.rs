//! A new sequence length is another plan, not another shader.

use kiln::prelude::*;

#[path = "../benches/support/gpt.rs"]
mod gpt;

use gpt::{Gpt, Sizes};

const SIZES: Sizes = Sizes { vocabulary: 11, context: 40, width: 8, heads: 2, blocks: 1 };

fn logits(device: &Device, gpt: &std::sync::Arc<Gpt>, forward: &Function, length: usize) {
    let numbers: Vec<i32> = (0..length as i32).map(|i| (i * 7 + 3) % 11).collect();
    let tokens = Tensor::from_vec(numbers, &[1, length]);
    let got = forward.call(std::slice::from_ref(&tokens)).unwrap()[0].to_vec::<f32>().unwrap();
    let expected = kiln::graph::interpret::interpret_tensors(&[gpt.logits(&tokens)]).unwrap().remove(0);
    let near = |(a, b): (&f32, &f64)| (*a as f64 - b).abs() < 1e-5;
    assert!(got.iter().zip(&expected).all(near), "length {length} on {device}");
}

#[test]
fn a_new_length_compiles_no_shader_after_the_first_few() {
    for name in ["cpu", "software"] {
        let device = match Device::open(name) {
            Ok(device) => device,
            Err(error) => {
                assert!(
                    std::env::var_os("KILN_REQUIRE_GPU").is_none(),
                    "KILN_REQUIRE_GPU is set, but: {error}"
                );
                eprintln!("skipped: no Vulkan driver ({error})");
                continue;
            }
        };
        kiln::graph::with_device(&device, || {
            let gpt = std::sync::Arc::new(Gpt::new(SIZES).unwrap());
            let model = gpt.clone();
            let forward = Function::new("forward", move |x| Ok(vec![model.logits(&x[0])]));
            [2, 9, 16].iter().for_each(|n| logits(&device, &gpt, &forward, *n));
            let before = device.shader_count();
            (3..40).step_by(4).for_each(|n| logits(&device, &gpt, &forward, n));
            assert_eq!(device.shader_count(), before, "shaders compiled for new lengths on {device}");
            assert_eq!(before > 0, name == "software");
        });
    }
}
