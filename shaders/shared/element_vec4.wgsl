alias Element = vec4u; // slices aligned to four channels
