alias Vec4 = vec4<f32>; // single precision
