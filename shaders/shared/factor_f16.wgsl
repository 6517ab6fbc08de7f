alias Factor = f16; // what matrices multiply: half precision
