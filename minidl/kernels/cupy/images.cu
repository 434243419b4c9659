// Pictures of a data set, which lie there as bytes, as numbers for a network: those of a batch in one pass.
#include "pack.cuh"

// images (B, H, W, C) in [0, 1] of pixels (N, H, W, C): picture b is the one at indices[b], each of its rows from right to
// left where mirror[b] (if mirror is not null). size is H W C. A thread has COUNT numbers that lie together in a row;
// several only where C is 1.
template <int COUNT>
__global__ void gather_images(const unsigned char* pixels, const long long* indices, const bool* mirror, float* images,
                              int size, int W, int C) {
    const int at = (blockIdx.y * blockDim.x + threadIdx.x) * COUNT;
    if (at >= size) return;
    const bool mirrored = mirror && mirror[blockIdx.x];
    const int column = at / C % W;
    const int from = mirrored ? at + (W - COUNT - 2 * column) * C : at;
    // Offsets in the whole data set have 64 bits. That indices lie in it is checked where they come from, on the host.
    const auto read = read_pack<COUNT>(pixels + indices[blockIdx.x] * size + from);
    Pack<float, COUNT> numbers;
#pragma unroll
    for (int i = 0; i < COUNT; ++i)
        numbers.numbers[i] = (mirrored ? read.numbers[COUNT - 1 - i] : read.numbers[i]) / 255.0f;
    write_pack(images + (long long)blockIdx.x * size + at, numbers);
}
