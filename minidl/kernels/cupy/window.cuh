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

// Whether a value takes the place of the maximum so far: of equal values the first stays, and NaN stays for good.
template <typename T> __device__ inline bool wins(T value, T best) { return value > best || value != value; }

// max(value, 0), where NaN stays NaN.
template <typename T> __device__ inline T relu(T value) { return value < T(0) ? T(0) : value; }

#endif
