// Dispatches are one long row of workgroups, folded into y where x has a limit.

fn workgroup_index(workgroup: vec3u, workgroups: vec3u) -> u32 {
    return workgroup.x + workgroup.y * workgroups.x;
}
