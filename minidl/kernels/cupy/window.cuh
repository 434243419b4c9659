// How a window slides over an image: minidl.kernels.window.Window, field for field, and how to go back from a pixel.
#ifndef MINIDL_WINDOW
#define MINIDL_WINDOW

struct Window {
    int H, W, KH, KW, SH, SW, top, bottom, left, right, OH, OW;
};

// A row or column of the padded image lies under the windows first_window ... last_window along that axis.
__device__ inline int first_window(int position, int kernel, int stride) {
    return position < kernel ? 0 : (position - kernel) / stride + 1;
}

__device__ inline int last_window(int position, int stride, int windows) { return min(position / stride, windows - 1); }

// Whether a position outside 0 ... size - 1 is padding: one comparison, as negative numbers become large ones.
__device__ inline bool inside(int position, int size) { return unsigned(position) < unsigned(size); }

// dx (N, H, W, C): every pixel adds up what the windows over it give, in the order of their taps. given(window, tap, c)
// is what channel c of a tap gives to the pixel under it, for windows numbered from 0 to N OH OW - 1. Blocks walk along
// the rows of dx.
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

// Whether a value takes the place of the maximum so far: of equal values the first stays, and so does the first NaN.
template <typename T> __device__ inline bool wins(T value, T best) {
    return value > best || (value != value && best == best);
}

// max(value, 0), where NaN stays NaN.
template <typename T> __device__ inline T relu(T value) { return value < T(0) ? T(0) : value; }

#endif
