// One thread per line: a running fold.
@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let task = group.y * groups.x + group.x;
{{once}}
    let line = task * 256u + local;
    if (line >= {{lines}}) { return; }
    let outer = line / {{inner}};
    let start = outer * {{length}} * {{inner}} + (line - outer * {{inner}});
    var value: {{register}} = {{identity}};
    for (var step = 0u; step < {{length}}; step += 1u) {
        let at = start + ({{position}}) * {{inner}};
        let term = {{load}};
        value = {{fold}};
        {{store}}
    }
}
