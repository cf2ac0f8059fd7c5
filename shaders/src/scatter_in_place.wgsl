// One workgroup per update and 256 columns of its row, which is changed in place. All threads look for updates of the same
// row, in chunks of 256; the first of them folds all, in ascending order, and the others do nothing.
var<workgroup> hits: array<atomic<u32>, 8>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let task = group.y * groups.x + group.x;
{{once}}
    let own = task / {{parts}};
    let column = (task % {{parts}}) * 256u + local;
    if (own >= {{updates}}) { return; }
    let bucket = u32(b1[own]);
    let inside = column < {{width}} && bucket < {{targets}};
    let at = select(0u, bucket * {{width}} + column, inside);
    var first_update = true;
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
                    let position = first + word * 32u + firstTrailingBit(bits);
                    first_update = first_update && position >= own;
                    let source = position * {{width}} + column;
                    let term = {{update}};
                    value = {{fold}};
                    bits &= bits - 1u;
                }
            }
        }
        workgroupBarrier();
    }
    if (inside && first_update) { {{store}} }
}
