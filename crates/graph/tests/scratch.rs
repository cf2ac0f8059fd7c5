use kiln_graph::*;
#[test]
fn scratch() {
    let x0 = Tensor::from_slice(&[0.5f32,1.0,-1.0,2.0]).reshape(&[2,2,1]);
    let device = Device::cpu();
    with_device(&device, || {
    let f = Function::new("f", |x| {
        let v1 = x[0].softmax(2).barrier();
        let v2 = Tensor::concat(&[x[0].clone(), x[0].clone()], 0).barrier();
        let v3 = v2.sigmoid().barrier();
        let loss = v1.sum(()) + (&v3).sum(());
        let g = gradients(&loss, &[x[0].clone()])?;
        println!("{}", kiln_graph::interpret::graph_of(&[], &[]).unwrap().0);
        Ok(vec![v1, v3, g[0].clone()])
    });
    println!("{:?}", f.call(&[x0.clone()]).unwrap().iter().map(|t| t.to_vec::<f32>().unwrap()).collect::<Vec<_>>());
    println!("{}", f.explain(&[x0.clone()]).unwrap());
    for s in f.kernel_sources(&[x0.clone()]).unwrap() { println!("{s}"); }
    });
}
