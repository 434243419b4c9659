// Deterministic sums over the rows of a matrix: a fixed order, no atomic operations. Rows are split into parts; a
// second launch adds the parts.
#include "sums.cuh"

// sums (parts, columns) of x (rows, columns); a block sums 32 columns of one part.
template <typename T> __global__ void sum_rows(const T* x, T* sums, long long rows, int columns) {
    const int column = blockIdx.x * LANES + threadIdx.x;
    const long long first = rows * blockIdx.y / gridDim.y, end = rows * (blockIdx.y + 1) / gridDim.y;
    T sum = 0;
    for (long long row = first + threadIdx.y; row < end && column < columns; row += GROUPS)
        sum += x[row * columns + column];
    sum = sum_over_groups(sum);
    if (threadIdx.y == 0 && column < columns) sums[(long long)blockIdx.y * columns + column] = sum;
}
