alias Element = vec2u; // four channels of 16 bits
