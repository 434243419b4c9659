// A tile of a matrix product: the part that a block of 256 threads computes, in shared memory and registers.
//
// The product has rows and columns; each element is a sum over the depth. A block computes TILE_ROWS x TILE_COLUMNS
// elements and advances along the depth, tile_depth at a time: while it multiplies the elements in one half of its
// shared memory, each thread loads those of the next step into registers.
//
// Its 8 warps are 4 x 2 parts of 32 x 32 elements. The elements of a thread are laid out as for mma.sync.m16n8k8 (PTX
// ISA, "Matrix Fragments for mma.m16n8k8"). The scalar product uses the same layout, so the rest of the code is shared.
#ifndef MINIDL_TILE
#define MINIDL_TILE
#include "pack.cuh"

constexpr int TILE_ROWS = 128, TILE_COLUMNS = 64, TILE_THREADS = 256;

template <typename T> constexpr int tile_depth = 64 / sizeof(T);

// A float as the tensor cores take it: rounded to 10 bits after the leading one, ties away from zero.
__device__ inline float to_tf32(float number) {
#if __CUDA_ARCH__ >= 800
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(number));
    return __int_as_float(bits);
#else
    if (number - number != 0) return number;  // infinite or NaN
    return __int_as_float((__float_as_int(number) + 0x1000) & ~0x1fff);
#endif
}

template <bool TF32, typename T> __device__ inline Pack<T, 4> as_multiplied(Pack<T, 4> pack) {
    if constexpr (TF32)
        for (T& number : pack.numbers) number = to_tf32(number);
    return pack;
}

// Where a thread's elements are: sums[i][j][e] is row 8 i + row, column 8 j + e + column of the tile.
struct Place {
    int row, column;
};

__device__ inline Place place_in_tile() {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    return {warp / 2 * 32 + lane / 4, warp % 2 * 32 + lane % 4 * 2};
}

template <typename T> using Sums = T[4][4][2];

// The left matrix in shared memory, in packs along the depth or along the rows, as it is in global memory. The padding
// of lines (by 4 and 8) lets the threads of a warp read from different banks.
template <typename T> struct alignas(32) AlongDepth {
    T numbers[TILE_ROWS][tile_depth<T> + 4];
    __device__ T at(int row, int depth) const { return numbers[row][depth]; }
    __device__ T* line(int row) { return numbers[row]; }
};

template <typename T> struct alignas(32) AlongRows {
    T numbers[tile_depth<T>][TILE_ROWS + 8];
    __device__ T at(int row, int depth) const { return numbers[depth][row]; }
    __device__ T* line(int depth) { return numbers[depth]; }
};

template <typename T> struct alignas(32) Right {
    T numbers[tile_depth<T>][TILE_COLUMNS + 8];
    __device__ T at(int depth, int column) const { return numbers[depth][column]; }
    __device__ T* line(int depth) { return numbers[depth]; }
};

#if __CUDA_ARCH__ >= 800
#define MINIDL_TENSOR_CORES

// Adds the product of a warp's 16 x 8 and 8 x 8 elements to its 16 x 8 sums. A thread has four, two and four of them.
__device__ inline void mma_m16n8k8(float (&top)[2], float (&bottom)[2], const float (&a)[4], const float (&b)[2]) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(top[0]), "+f"(top[1]), "+f"(bottom[0]), "+f"(bottom[1])
        : "r"(__float_as_int(a[0])), "r"(__float_as_int(a[1])), "r"(__float_as_int(a[2])), "r"(__float_as_int(a[3])),
          "r"(__float_as_int(b[0])), "r"(__float_as_int(b[1])));
}
#endif

#ifdef MINIDL_TENSOR_CORES
// Adds the product of the matrices in shared memory to the sums, on tensor cores.
template <typename Left>
__device__ inline void mma_tile_tf32(const Left& left, const Right<float>& right, Sums<float>& sums) {
    const Place place = place_in_tile();
    const int row = place.row, column = place.column - threadIdx.x % 4 * 2 + threadIdx.x % 32 / 4;
#pragma unroll
    for (int first = 0; first < tile_depth<float>; first += 8) {
        const int depth = first + threadIdx.x % 4;
        float b[4][2];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            b[j][0] = right.at(depth, column + 8 * j);
            b[j][1] = right.at(depth + 4, column + 8 * j);
        }
#pragma unroll
        for (int i = 0; i < 4; i += 2) {
            const float a[4] = {left.at(row + 8 * i, depth), left.at(row + 8 * i + 8, depth),
                                left.at(row + 8 * i, depth + 4), left.at(row + 8 * i + 8, depth + 4)};
#pragma unroll
            for (int j = 0; j < 4; ++j) mma_m16n8k8(sums[i][j], sums[i + 1][j], a, b[j]);
        }
    }
}
#endif

// The same with scalar operations, on any card and for any type.
template <typename Left, typename T>
__device__ inline void mma_tile_scalar(const Left& left, const Right<T>& right, Sums<T>& sums) {
    const Place place = place_in_tile();
#pragma unroll
    for (int depth = 0; depth < tile_depth<T>; ++depth) {
        T a[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) a[i] = left.at(place.row + 8 * i, depth);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                const T b = right.at(depth, place.column + 8 * j + e);
#pragma unroll
                for (int i = 0; i < 4; ++i) sums[i][j][e] += a[i] * b;
            }
        }
    }
}

// Uses tensor cores if the kernel is compiled for a card that has them.
template <bool TF32, typename Left, typename T>
__device__ inline void mma_tile(const Left& left, const Right<T>& right, Sums<T>& sums) {
#ifdef MINIDL_TENSOR_CORES
    if constexpr (TF32)
        mma_tile_tf32(left, right, sums);
    else
#endif
        mma_tile_scalar(left, right, sums);
}

// The elements that a thread copies from global to shared memory in one step. The step's part of a matrix has LINES
// lines of LENGTH elements; a thread has a pack of four from every STRIDE-th line.
template <typename T, int LINES, int LENGTH> struct Carrier {
    static constexpr int PACKS = LENGTH / 4, STRIDE = TILE_THREADS / PACKS;
    static constexpr int COUNT = (LINES + STRIDE - 1) / STRIDE;
    Pack<T, 4> packs[COUNT];

    __device__ static int line(int i) { return threadIdx.x / PACKS + i * STRIDE; }
    __device__ static int position() { return threadIdx.x % PACKS * 4; }

    template <bool TF32, typename Matrix> __device__ void put(Matrix& matrix) const {
#pragma unroll
        for (int i = 0; i < COUNT; ++i)
            if (line(i) < LINES) write_pack(matrix.line(line(i)) + position(), as_multiplied<TF32>(packs[i]));
    }
};

// The whole product: left.fetch() and right.fetch() read from global memory, carrier.put() writes to shared memory.
template <bool TF32, typename LeftMatrix, typename T, typename LeftSource, typename RightSource>
__device__ inline void multiply(LeftSource& left, RightSource& right, int steps, Sums<T>& sums) {
    __shared__ LeftMatrix lefts[2];
    __shared__ Right<T> rights[2];
    if (steps > 0) {
        left.fetch();
        right.fetch();
        left.carrier.template put<TF32>(lefts[0]);
        right.carrier.template put<TF32>(rights[0]);
    }
    __syncthreads();
    for (int step = 0; step < steps; ++step) {
        const bool more = step + 1 < steps;
        const int half = step % 2;
        if (more) {
            left.fetch();
            right.fetch();
        }
        mma_tile<TF32>(lefts[half], rights[half], sums);
        if (more) {
            left.carrier.template put<TF32>(lefts[1 - half]);
            right.carrier.template put<TF32>(rights[1 - half]);
        }
        __syncthreads();
    }
}

// Writes a tile to its place in a matrix (rows, columns), two elements at once if the number of columns is even.
template <typename T>
__device__ inline void write_tile(T* matrix, const Sums<T>& sums, int first_row, int first_column, int rows,
                                  int columns) {
    const Place place = place_in_tile();
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int row = first_row + place.row + 8 * i;
        if (row >= rows) continue;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int column = first_column + place.column + 8 * j;
            T* to = matrix + size_t(row) * columns + column;
            if (columns % 2 == 0) {
                if (column < columns) write_pack(to, Pack<T, 2>{sums[i][j][0], sums[i][j][1]});
            } else {
                if (column < columns) to[0] = sums[i][j][0];
                if (column + 1 < columns) to[1] = sums[i][j][1];
            }
        }
    }
}

#endif
