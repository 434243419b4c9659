// How a window slides over an image: the fields of minidl.kernels.window.Window, and the windows over a pixel.
#ifndef MINIDL_WINDOW
#define MINIDL_WINDOW

struct Window {
    int H, W, KH, KW, SH, SW, top, bottom, left, right, OH, OW;
};

// A row or column of the padded image is in the windows first_window ... last_window along that axis.
__device__ inline int first_window(int position, int kernel, int stride) {
    return position < kernel ? 0 : (position - kernel) / stride + 1;
}

__device__ inline int last_window(int position, int stride, int windows) { return min(position / stride, windows - 1); }

// Whether a position is in 0 ... size - 1: one comparison, because negative integers become large unsigned ones.
__device__ inline bool inside(int position, int size) { return unsigned(position) < unsigned(size); }

// dx (N, H, W, C): every pixel accumulates the contributions of the windows over it, in the order of their taps.
// given(window, tap, c) is the contribution of channel c of a tap, for windows 0 to N OH OW - 1. Blocks follow the rows
// of dx.
template <typename T, typename Given> __device__ inline void gather(T* dx, Window window, int C, Given given) {
    const int n = blockIdx.x / window.H, h = blockIdx.x % window.H + window.top;
    const int column = blockIdx.y * blockDim.x + threadIdx.x;
    if (column >= window.W * C) return;
    const int w = column / C + window.left, c = column % C;
    const int first_row = first_window(h, window.KH, window.SH), first = first_window(w, window.KW, window.SW);
    const int last_row = last_window(h, window.SH, window.OH), last = last_window(w, window.SW, window.OW);
    T sum = 0;
    for (int oh = last_row; oh >= first_row; --oh) {
        for (int ow = last; ow >= first; --ow) {
            const int tap = (h - oh * window.SH) * window.KW + w - ow * window.SW;
            sum += given((size_t(n) * window.OH + oh) * window.OW + ow, tap, c);
        }
    }
    dx[size_t(blockIdx.x) * window.W * C + column] = sum;
}

// Whether a value replaces the maximum so far: of equal values the first is kept, and so is the first NaN.
template <typename T> __device__ inline bool wins(T value, T best) {
    return value > best || (value != value && best == best);
}

// max(value, 0), where NaN stays NaN.
template <typename T> __device__ inline T relu(T value) { return value < T(0) ? T(0) : value; }

#endif
