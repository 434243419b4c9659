// Convolution with stride 1, bias, ReLU and max pooling of images with few channels, in one pass: the output of the
// convolution, four times as large as the output of the pooling and the largest array of the network, is never stored.
//
// The kernel size (KH, KW) and the pooling window (PH, PW, also its stride) are template parameters, so the pixels of a
// pooling window and its PH PW sums are kept in registers. Few channels mean few multiplications per output element:
// the speed is bound by writing y.
#include "pack.cuh"
#include "sums.cuh"
#include "window.cuh"

// y (N, POH, POW, K) and the tap that held each maximum (not written if argmax is null), for x (N, H, W, C) and
// w (KH, KW, C, K). A thread computes FILTERS filters for one pooling window; K must be a multiple of FILTERS.
template <typename T, int KH, int KW, int PH, int PW, int FILTERS>
__global__ void __launch_bounds__(256) convolve_and_pool(const T* x, const T* w, const T* b, T* y,
                                                         unsigned char* argmax, Window conv, Window pool, int C,
                                                         int K) {
    const int n = blockIdx.x / pool.OH, row = blockIdx.x % pool.OH * PH - conv.top;
    const int column = blockIdx.y * blockDim.x + threadIdx.x;
    if (column >= pool.OW * (K / FILTERS)) return;
    const int k = column % (K / FILTERS) * FILTERS, left = column / (K / FILTERS) * PW - conv.left;

    T sums[PH * PW][FILTERS] = {};
    for (int c = 0; c < C; ++c) {
        T pixels[PH + KH - 1][PW + KW - 1];
#pragma unroll
        for (int i = 0; i < PH + KH - 1; ++i) {
#pragma unroll
            for (int j = 0; j < PW + KW - 1; ++j) {
                const bool pixel = inside(row + i, conv.H) && inside(left + j, conv.W);
                pixels[i][j] = pixel ? x[((size_t(n) * conv.H + row + i) * conv.W + left + j) * C + c] : T(0);
            }
        }
#pragma unroll
        for (int kernel_tap = 0; kernel_tap < KH * KW; ++kernel_tap) {
            const int kh = kernel_tap / KW, kw = kernel_tap % KW;
#pragma unroll
            for (int f = 0; f < FILTERS; ++f) {
                const T weight = w[(kernel_tap * C + c) * K + k + f];
#pragma unroll
                for (int tap = 0; tap < PH * PW; ++tap) sums[tap][f] += weight * pixels[tap / PW + kh][tap % PW + kw];
            }
        }
    }

    Pack<T, FILTERS> maxima;
    Pack<unsigned char, FILTERS> taps;
#pragma unroll
    for (int f = 0; f < FILTERS; ++f) {
        T best = sums[0][f];
        taps.numbers[f] = 0;
#pragma unroll
        for (int tap = 1; tap < PH * PW; ++tap) {
            if (wins(sums[tap][f], best)) {
                best = sums[tap][f];
                taps.numbers[f] = tap;
            }
        }
        maxima.numbers[f] = relu(best + b[k + f]);
    }
    const size_t at = size_t(blockIdx.x) * pool.OW * K + size_t(column) * FILTERS;
    write_pack(y + at, maxima);
    if (argmax) write_pack(argmax + at, taps);
}

// dw and db as partial sums (parts, KH KW C + 1, K); the last row is db. Only one pixel of a pooling window has a
// cotangent, so dw gathers x around it. A block computes 32 filters, one channel and one part of the pooling windows.
template <typename T, int KH, int KW, int PH, int PW>
__global__ void __launch_bounds__(256) weight_gradients(const T* x, const T* dy, const T* y,
                                                        const unsigned char* argmax, T* parts, Window conv,
                                                        Window pool, int N, int C, int K) {
    const int k = blockIdx.y * LANES + threadIdx.x, c = blockIdx.z;
    const long long windows = (long long)N * pool.OH * pool.OW;
    const int first = windows * blockIdx.x / gridDim.x, end = windows * (blockIdx.x + 1) / gridDim.x;
    T sums[KH * KW + 1] = {};
    for (int window = first + threadIdx.y; window < end && k < K; window += GROUPS) {
        const size_t at = size_t(window) * K + k;
        if (!(y[at] > T(0))) continue;  // ReLU let nothing through
        const T cotangent = dy[at];
        const int tap = argmax[at], n = window / (pool.OH * pool.OW);
        const int row = window / pool.OW % pool.OH * PH + tap / PW - conv.top;
        const int left = window % pool.OW * PW + tap % PW - conv.left;
#pragma unroll
        for (int i = 0; i < KH * KW; ++i) {
            const int h = row + i / KW, w = left + i % KW;
            if (inside(h, conv.H) && inside(w, conv.W))
                sums[i] += cotangent * x[((size_t(n) * conv.H + h) * conv.W + w) * C + c];
        }
        sums[KH * KW] += cotangent;
    }

    T* part = parts + size_t(blockIdx.x) * (KH * KW * C + 1) * K;
#pragma unroll
    for (int i = 0; i <= KH * KW; ++i) {
        const T sum = sum_over_groups(sums[i]);
        if (threadIdx.y == 0 && k < K && (i < KH * KW || c == 0))
            part[(i < KH * KW ? i * C + c : KH * KW * C) * K + k] = sum;
    }
}
