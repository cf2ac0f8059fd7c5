//! Elementary functions: the same polynomials as `shaders/src/math.wgsl`.
/// threefry
pub fn threefry2x32(_key: [u32; 2], _counter: [u32; 2]) -> [u32; 2] {
    todo!()
}
