// One workgroup per row of the result and 256 of its columns. All threads look for indices that name the row, in chunks
// of 256; the hits of a chunk are bits, folded in ascending order. No atomics on values: the result is deterministic.
var<workgroup> hits: array<atomic<u32>, 8>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let task = group.y * groups.x + group.x;
{{once}}
    let bucket = task / {{parts}};
    let column = (task % {{parts}}) * 256u + local;
    if (bucket >= {{targets}}) { return; }
    let inside = column < {{width}};
    let at = bucket * {{width}} + column;
    var value: {{register}};
    if (inside) { value = {{operand}}; }
    for (var first = 0u; first < {{updates}}; first += 256u) {
        if (local < 8u) { atomicStore(&hits[local], 0u); }
        workgroupBarrier();
        let mine = first + local;
        if (mine < {{updates}}) {
            if (u32(b1[mine]) == bucket) { atomicOr(&hits[local / 32u], 1u << (local % 32u)); }
        }
        workgroupBarrier();
        if (inside) {
            for (var word = 0u; word < 8u; word += 1u) {
                var bits = atomicLoad(&hits[word]);
                while (bits != 0u) {
                    let source = (first + word * 32u + firstTrailingBit(bits)) * {{width}} + column;
                    let term = {{update}};
                    value = {{fold}};
                    bits &= bits - 1u;
                }
            }
        }
        workgroupBarrier();
    }
    if (inside) { {{store}} }
}
