// Factors and sums of 8 rows and columns.

alias MatrixA = coop_mat8x8<Factor, A>;
alias MatrixB = coop_mat8x8<Factor, B>;
alias MatrixC = coop_mat8x8<f32, C>;
