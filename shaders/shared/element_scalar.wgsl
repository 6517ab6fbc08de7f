alias Element = u32; // a channel of 32 bits, or two of 16
