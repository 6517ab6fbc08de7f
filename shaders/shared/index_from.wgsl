// As `index`, in a dispatch of some of the workgroups: those from a given one on.

@group(1) @binding(0) var<uniform> first_workgroup: u32;

fn workgroup_index(workgroup: vec3u, workgroups: vec3u) -> u32 {
    return first_workgroup + workgroup.x + workgroup.y * workgroups.x;
}
