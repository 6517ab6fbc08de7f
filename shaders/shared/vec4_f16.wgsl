alias Vec4 = vec4<f16>; // half precision: needs the feature SHADER_F16
