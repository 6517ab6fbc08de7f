alias Factor = f32; // what matrices multiply: single precision
