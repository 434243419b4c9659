// A matrix product on the tiles of tile.cuh, for matrices of any size. cuBLAS is faster, but CuPy does not allow it to
// be captured in a CUDA graph.
#include "tile.cuh"

// A matrix in memory, line by line, of which a block copies LINES x LENGTH elements to shared memory at a time.
template <typename T, int LINES, int LENGTH> struct Lines {
    const T* numbers;
    int count, length;
    int line, position;            // of the next step's elements,
    int line_step, position_step;  // and the distance to the step after it
    Carrier<T, LINES, LENGTH> carrier;

    __device__ void fetch() {
#pragma unroll
        for (int i = 0; i < carrier.COUNT; ++i) carrier.packs[i] = read(line + carrier.line(i));
        line += line_step;
        position += position_step;
    }

    // Four elements of a line, zero outside the matrix. A pack is aligned only if lines are a multiple of it.
    __device__ Pack<T, 4> read(int at) const {
        const int first = position + carrier.position();
        const T* from = numbers + size_t(at) * length + first;
        if (at < count && first < length && length % 4 == 0) return read_pack<4>(from);
        Pack<T, 4> pack = {};
#pragma unroll
        for (int i = 0; i < 4; ++i)
            if (at < count && first + i < length) pack.numbers[i] = from[i];
        return pack;
    }
};

// The left matrix (rows, depth), stored as (depth, rows) if TRANSPOSED.
template <typename T, bool TRANSPOSED> struct Left;

template <typename T> struct Left<T, false> : Lines<T, TILE_ROWS, tile_depth<T>> {
    using Matrix = AlongDepth<T>;
    __device__ Left(const T* numbers, int rows, int depth, int row, int first)
        : Lines<T, TILE_ROWS, tile_depth<T>>{numbers, rows, depth, row, first, 0, tile_depth<T>} {}
};

template <typename T> struct Left<T, true> : Lines<T, tile_depth<T>, TILE_ROWS> {
    using Matrix = AlongRows<T>;
    __device__ Left(const T* numbers, int rows, int depth, int row, int first)
        : Lines<T, tile_depth<T>, TILE_ROWS>{numbers, depth, rows, first, row, tile_depth<T>, 0} {}
};

// The product (rows, columns) as partial sums, each over a part of the depth.
template <typename T, bool TF32, bool TRANSPOSED>
__global__ void __launch_bounds__(256) matmul(const T* a, const T* b, T* parts, int rows, int depth, int columns) {
    const int column_tiles = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
    const int row = blockIdx.x / column_tiles * TILE_ROWS, column = blockIdx.x % column_tiles * TILE_COLUMNS;
    const long long steps = (depth + tile_depth<T> - 1) / tile_depth<T>;
    const int first = steps * blockIdx.y / gridDim.y, end = steps * (blockIdx.y + 1) / gridDim.y;
    Left<T, TRANSPOSED> left(a, rows, depth, row, first * tile_depth<T>);
    Lines<T, tile_depth<T>, TILE_COLUMNS> right{b, depth, columns, first * tile_depth<T>, column, tile_depth<T>, 0};
    Sums<T> sums = {};
    multiply<TF32, typename Left<T, TRANSPOSED>::Matrix>(left, right, end - first, sums);
    write_tile(parts + size_t(blockIdx.y) * rows * columns, sums, row, column, rows, columns);
}
