alias Element = vec4u; // four channels of 32 bits
