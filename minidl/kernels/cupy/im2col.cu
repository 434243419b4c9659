// The windows of images as rows of a matrix, which makes a convolution one matrix product; and the transpose.
// Chellapilla, Puri and Simard, "High Performance Convolutional Neural Networks for Document Processing" (2006).
#include "window.cuh"

// columns (N OH OW, KH KW C) of images x (N, H, W, C). Blocks walk along the windows of one output row.
template <typename T> __global__ void im2col(const T* x, T* columns, Window window, int C) {
    const int n = blockIdx.x / window.OH, oh = blockIdx.x % window.OH;
    const int length = window.OW * window.KH * window.KW * C;
    const int at = blockIdx.y * blockDim.x + threadIdx.x;
    if (at >= length) return;
    const int c = at % C, kw = at / C % window.KW, kh = at / (C * window.KW) % window.KH;
    const int ow = at / (C * window.KW * window.KH);
    const int h = oh * window.SH + kh - window.top, w = ow * window.SW + kw - window.left;
    const bool pixel = inside(h, window.H) && inside(w, window.W);
    columns[size_t(blockIdx.x) * length + at] =
        pixel ? x[((size_t(n) * window.H + h) * window.W + w) * C + c] : T(0);
}

// dx (N, H, W, C): every pixel accumulates the elements of columns that it was copied to.
template <typename T> __global__ void col2im(const T* columns, T* dx, Window window, int C) {
    const int taps = window.KH * window.KW;
    gather(dx, window, C, [=](size_t row, int tap, int c) { return columns[(row * taps + tap) * C + c]; });
}
