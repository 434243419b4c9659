// Gathers a batch of images from a data set of bytes, as floats, in one pass.
#include "pack.cuh"

// images (B, H, W, C) in [0, 1] from pixels (N, H, W, C): image b is the one at indices[b], flipped horizontally if
// mirror is not null and mirror[b] is true. size is H W C. A thread computes COUNT adjacent elements of a row; COUNT is
// 1 unless C is 1.
template <int COUNT>
__global__ void gather_images(const unsigned char* pixels, const long long* indices, const bool* mirror, float* images,
                              int size, int W, int C) {
    const int at = (blockIdx.y * blockDim.x + threadIdx.x) * COUNT;
    if (at >= size) return;
    const bool mirrored = mirror && mirror[blockIdx.x];
    const int column = at / C % W;
    const int from = mirrored ? at + (W - COUNT - 2 * column) * C : at;
    // Offsets into the data set have 64 bits. The host has checked that the indices are in range.
    const auto read = read_pack<COUNT>(pixels + indices[blockIdx.x] * size + from);
    Pack<float, COUNT> numbers;
#pragma unroll
    for (int i = 0; i < COUNT; ++i)
        numbers.numbers[i] = (mirrored ? read.numbers[COUNT - 1 - i] : read.numbers[i]) / 255.0f;
    write_pack(images + (long long)blockIdx.x * size + at, numbers);
}
