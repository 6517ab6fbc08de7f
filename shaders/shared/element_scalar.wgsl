alias Element = u32; // slices of any alignment
