//! Elementary functions: the same polynomials as `shaders/src/math.wgsl`.
