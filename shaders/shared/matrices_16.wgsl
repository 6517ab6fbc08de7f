// Factors and sums of 16 rows and columns.

alias MatrixA = coop_mat16x16<Factor, A>;
alias MatrixB = coop_mat16x16<Factor, B>;
alias MatrixC = coop_mat16x16<f32, C>;
